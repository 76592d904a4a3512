/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins by browser and by device code. What is begun by one run of the command can be completed by another one, on any
 * machine, until it expires. One run alone spends the code that the person brought: the one that takes the flow.
 */

/* A run that took it and died leaves it taken: after this time nobody waits for it any more. */
CREATE OR REPLACE FUNCTION posthouse.login_stands(f posthouse.login_flows) RETURNS text
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN f.flow IS NULL THEN 'gone'
		WHEN f.state = 'taken' AND f.changed < clock_timestamp() - interval '1 minute' THEN 'failed'
		WHEN f.state = 'open' AND f.expires <= clock_timestamp() THEN 'expired'
		ELSE f.state END
$$;

/* What the account is that a login is for. No row: there is none of that name yet. */
CREATE OR REPLACE FUNCTION posthouse.login_target(p_name text) RETURNS TABLE (kind text, base_url text, token_url text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT a.kind, a.base_url, a.token_url FROM posthouse.accounts a WHERE a.name = p_name AND a.state <> 'removed'
$$;

/*
 * The flow that is in force for that name: the one that waits already, if it is of that method and issuer, else the given
 * one. p_flow NULL: only looks; no row where none waits.
 */
CREATE OR REPLACE FUNCTION posthouse.open_login(p_flow uuid, p_name text, p_method text, p_issuer text, p_sealed bytea,
	p_key_id bytea, p_lasts_ms bigint)
RETURNS TABLE (flow text, sealed bytea, remaining_ms bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('login ' || p_name, 0));
	DELETE FROM posthouse.login_flows f WHERE f.expires < clock_timestamp() - interval '1 day';
	IF p_flow IS NOT NULL AND NOT EXISTS (SELECT FROM posthouse.login_flows f WHERE f.name = p_name AND f.method = p_method
		AND f.issuer = p_issuer AND posthouse.login_stands(f) = 'open') THEN
		DELETE FROM posthouse.login_flows f WHERE f.name = p_name;
		INSERT INTO posthouse.login_flows (flow, name, method, issuer, sealed, key_id, expires)
		VALUES (p_flow, p_name, p_method, p_issuer, p_sealed, p_key_id,
			clock_timestamp() + least(p_lasts_ms, 3600000) * interval '1 millisecond');
		PERFORM posthouse.note('login_account', p_name, p_method);
	END IF;
	RETURN QUERY SELECT f.flow::text, f.sealed, ceil(extract(epoch FROM f.expires - clock_timestamp()) * 1000)::bigint
		FROM posthouse.login_flows f WHERE f.name = p_name AND f.method = p_method AND f.issuer = p_issuer
			AND posthouse.login_stands(f) = 'open';
END $$;

/* How it stands: open, taken (by a run that is completing it), done, failed, expired, gone (replaced by another one). */
CREATE OR REPLACE FUNCTION posthouse.look_login(p_flow uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT coalesce((SELECT posthouse.login_stands(f) FROM posthouse.login_flows f WHERE f.flow = p_flow), 'gone')
$$;

/* The right to complete it. False: another run has it, or it no longer waits. */
CREATE OR REPLACE FUNCTION posthouse.take_login(p_flow uuid) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	UPDATE posthouse.login_flows f SET state = 'taken', changed = clock_timestamp()
	WHERE f.flow = p_flow AND f.state = 'open' AND f.expires > clock_timestamp();
	RETURN FOUND;
END $$;

/* What came of it; nothing that it held is needed any more. */
CREATE OR REPLACE FUNCTION posthouse.end_login(p_flow uuid, p_done bool) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	UPDATE posthouse.login_flows f SET state = CASE WHEN p_done THEN 'done' ELSE 'failed' END, sealed = '',
		changed = clock_timestamp()
	WHERE f.flow = p_flow
$$;
