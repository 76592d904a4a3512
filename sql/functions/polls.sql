/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes ask of accounts in the background, one node at a time for each: how much is left, and which models there are.
 * A list is written under the claim of its job, so that one that was asked for before the account changed comes too late.
 */

/* One poll of an account's usage endpoint; its windows are report_usage()'s. p_renew_ms: until its token is renewed. */
CREATE OR REPLACE FUNCTION posthouse.note_poll(p_account bigint, p_result text, p_email text, p_renew_ms bigint, p_node text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_ok bool := p_result = 'ok';
BEGIN
	INSERT INTO posthouse.account_polls AS p (account_id, polled, result, failures, answered, renews, node)
	SELECT a.account_id, clock_timestamp(), p_result, (NOT v_ok)::int, CASE WHEN v_ok THEN clock_timestamp() END,
		clock_timestamp() + p_renew_ms * interval '1 millisecond', p_node
	FROM posthouse.accounts a WHERE a.account_id = p_account AND a.state <> 'removed'
	ON CONFLICT (account_id) DO UPDATE SET polled = excluded.polled, result = excluded.result,
		failures = CASE WHEN v_ok THEN 0 ELSE p.failures + 1 END, answered = coalesce(excluded.answered, p.answered),
		renews = excluded.renews, node = excluded.node;
	UPDATE posthouse.accounts a SET email = p_email
	WHERE a.account_id = p_account AND p_email <> '' AND a.email IS DISTINCT FROM p_email;
END $$;

/* Both windows of every account, as far as they run: what the pool has left. A window that has begun anew is empty. */
CREATE OR REPLACE FUNCTION posthouse.load_usage()
RETURNS TABLE (account_id bigint, "window" text, used_percent float8, minutes int, remaining_ms bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT u.account_id, u."window", CASE WHEN u.resets <= now() THEN 0 ELSE u.used_percent END::float8,
		coalesce(u.minutes, 0),
		greatest(0, coalesce(ceil(extract(epoch FROM u.resets - clock_timestamp()) * 1000)::bigint, 0))
	FROM posthouse.account_usage u JOIN posthouse.accounts a USING (account_id)
	WHERE a.state <> 'removed' ORDER BY u.account_id, u."window"
$$;

/* What all accounts list. list NULL: it was asked, and has none. */
CREATE OR REPLACE FUNCTION posthouse.load_models() RETURNS TABLE (account_id bigint, format text, list text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT m.account_id, m.format, m.list FROM posthouse.account_models m JOIN posthouse.accounts a USING (account_id)
	WHERE a.state <> 'removed' ORDER BY m.account_id
$$;

/*
 * An account's answer; p_list NULL: it gave none, and the one before stays. Nothing is written where the job is no longer
 * that node's. Others hear of it where there is something new.
 */
CREATE OR REPLACE FUNCTION posthouse.put_models(p_account bigint, p_job text, p_node uuid, p_epoch bigint, p_format text,
	p_list text, p_node_name text) RETURNS bool
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_before posthouse.account_models;
BEGIN
	PERFORM FROM posthouse.accounts a WHERE a.account_id = p_account AND a.state <> 'removed' FOR NO KEY UPDATE;
	IF NOT FOUND OR NOT EXISTS (SELECT FROM posthouse.jobs j
		WHERE j.name = p_job AND j.node_id = p_node AND j.epoch = p_epoch) THEN
		RETURN false;
	END IF;
	SELECT m.* INTO v_before FROM posthouse.account_models m WHERE m.account_id = p_account;
	INSERT INTO posthouse.account_models AS m (account_id, format, list, asked, fetched, changed, node)
	VALUES (p_account, p_format, p_list, clock_timestamp(), CASE WHEN p_list IS NOT NULL THEN clock_timestamp() END,
		clock_timestamp(), p_node_name)
	ON CONFLICT (account_id) DO UPDATE SET asked = excluded.asked, fetched = coalesce(excluded.fetched, m.fetched),
		format = CASE WHEN p_list IS NULL THEN m.format ELSE excluded.format END, list = coalesce(p_list, m.list),
		changed = CASE WHEN p_list IS NOT NULL AND p_list IS DISTINCT FROM m.list THEN excluded.changed ELSE m.changed END,
		node = excluded.node;
	IF v_before.account_id IS NULL OR (p_list IS NOT NULL AND p_list IS DISTINCT FROM v_before.list) THEN
		PERFORM posthouse.bump('models');
	END IF;
	RETURN true;
END $$;

/* The account is another one now, or gone: whatever it listed says nothing, and it is asked anew at once. */
CREATE OR REPLACE FUNCTION posthouse.forget_models(p_account bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM posthouse.account_models m WHERE m.account_id = p_account;
	IF FOUND THEN
		PERFORM posthouse.bump('models');
	END IF;
	DELETE FROM posthouse.jobs j WHERE j.name IN ('models ' || p_account, 'usage ' || p_account);
END $$;
