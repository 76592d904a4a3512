/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The health of accounts. Every transition is one function, and one compare-and-set on the version that the node has
 * seen; all times are made here, on this clock. A block whose time has passed needs no transition: it reads as active.
 */
CREATE OR REPLACE FUNCTION posthouse.load_accounts()
RETURNS TABLE (account_id bigint, name text, kind text, base_url text, sealed bytea, max_streams int, weight int,
	priority int, models text[], state text, headers text, health text, remaining_ms bigint, version bigint, strikes int,
	used_percent int, used_ms bigint, secret_version bigint, secret_ms bigint, now_ms bigint, max_used_percent int,
	changed_us bigint, changed_by text)
LANGUAGE sql STABLE AS $$
	SELECT a.account_id, a.name, a.kind, a.base_url, s.sealed, a.max_streams, a.weight, a.priority, a.models, a.state,
		a.headers::text, coalesce(h.health, 'active'), coalesce(h.remaining_ms, 0), coalesce(h.version, 0),
		coalesce(h.strikes, 0), coalesce(u.percent, 0), coalesce(u.remaining_ms, 0), coalesce(s.version, 0),
		coalesce(extract(epoch FROM s.updated) * 1000, 0)::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
		coalesce(a.max_used_percent, 0),
		coalesce(greatest(extract(epoch FROM clock_timestamp() - c.changed) * 1000000, 0), 0)::bigint, coalesce(c.node, '')
	FROM posthouse.accounts a
	LEFT JOIN posthouse.account_secrets s ON s.account_id = a.account_id
	LEFT JOIN LATERAL posthouse.read_health(a.account_id) h ON true
	LEFT JOIN posthouse.account_health c ON c.account_id = a.account_id
	LEFT JOIN LATERAL (
		SELECT floor(u.used_percent)::int AS percent,
			ceil(extract(epoch FROM u.resets - now()) * 1000)::bigint AS remaining_ms
		FROM posthouse.account_usage u
		WHERE u.account_id = a.account_id AND (u.resets IS NULL OR u.resets > now())
		ORDER BY u.used_percent DESC LIMIT 1) u ON true
	WHERE a.state <> 'removed' ORDER BY a.account_id
$$;

/* How an account stands now, also behind a wait for its row. remaining_ms: of cooling and exhausted, at least 1; else 0. */
CREATE OR REPLACE FUNCTION posthouse.read_health(p_account bigint)
RETURNS TABLE (health text, remaining_ms bigint, version bigint, strikes int)
LANGUAGE sql STABLE AS $$
	SELECT CASE WHEN h.until <= c.now THEN 'active' ELSE h.state END,
		CASE WHEN h.until > c.now THEN ceil(extract(epoch FROM h.until - c.now) * 1000)::bigint ELSE 0 END, h.version, h.strikes
	FROM posthouse.account_health h, (SELECT clock_timestamp() AS now OFFSET 0) c WHERE h.account_id = p_account
$$;

/* The graver of two states stays. */
CREATE OR REPLACE FUNCTION posthouse.severity(p_state text) RETURNS int
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_position(ARRAY['active', 'cooling', 'exhausted', 'reauth', 'disabled'], p_state)
$$;

/* The row, locked; made where there is none. NULL: the account is gone. Behind it now() is too early by the wait. */
CREATE OR REPLACE FUNCTION posthouse.lock_health(p_account bigint) RETURNS posthouse.account_health
LANGUAGE plpgsql AS $$
DECLARE
	h posthouse.account_health;
BEGIN
	INSERT INTO posthouse.account_health (account_id, state, version)
	SELECT a.account_id, 'active', 0 FROM posthouse.accounts a WHERE a.account_id = p_account AND a.state <> 'removed'
	ON CONFLICT DO NOTHING;
	SELECT r.* INTO h FROM posthouse.account_health r WHERE r.account_id = p_account FOR UPDATE;
	RETURN h;
END $$;

/* Ends every block, and forgets what led to one. The version rises, so that what a node found before loses. */
CREATE OR REPLACE FUNCTION posthouse.clear_health(p_account bigint, p_reason text) RETURNS void
LANGUAGE sql AS $$
	DELETE FROM posthouse.account_usage WHERE account_id = p_account;
	INSERT INTO posthouse.account_health (account_id, state, reason, changed)
	VALUES (p_account, 'active', p_reason, clock_timestamp())
	ON CONFLICT (account_id) DO UPDATE SET state = 'active', until = NULL, reason = excluded.reason, evidence = NULL,
		node = NULL, strikes = 0, version = account_health.version + 1, changed = excluded.changed
$$;

/* When a block ends: in upstream's words, else after a floor that each strike doubles; p_found: when it was found. */
CREATE OR REPLACE FUNCTION posthouse.end_of_block(p_found timestamptz, p_until_s bigint, p_after_ms bigint, p_floor_ms bigint,
	p_most_ms bigint, p_strikes int) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
	SELECT least(greatest(CASE WHEN p_until_s > 0 THEN to_timestamp(p_until_s)
		ELSE p_found + interval '1 millisecond' * CASE WHEN p_after_ms > 0 THEN p_after_ms
			ELSE least(f.ms * 2 ^ least(greatest(p_strikes - 1, 0), 20), greatest(f.ms, p_most_ms)) END END,
		p_found + interval '1 second'), p_found + interval '366 days')
	FROM (VALUES (greatest(p_floor_ms, 30000))) AS f (ms)
$$;

/*
 * A node's finding. result: done; kept (what stands is no weaker); lost (another change came first: a block stands or has
 * ended by itself, decide again); cleared (another change came first, and made the account active: the finding is void).
 * No row: the account is gone.
 */
CREATE OR REPLACE FUNCTION posthouse.report_health(p_account bigint, p_version bigint, p_state text, p_until_s bigint,
	p_after_ms bigint, p_floor_ms bigint, p_most_ms bigint, p_strike bool, p_age_ms bigint, p_reason text, p_evidence text,
	p_node text)
RETURNS TABLE (result text, health text, remaining_ms bigint, version bigint, strikes int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	h posthouse.account_health := posthouse.lock_health(p_account);
	v_now timestamptz := clock_timestamp();
	v_was text := CASE WHEN h.until <= v_now THEN 'active' ELSE h.state END;
	v_strikes int := h.strikes + p_strike::int;
	v_until timestamptz;
	v_result text := 'kept';
BEGIN
	IF h.account_id IS NULL THEN
		RETURN;
	END IF;
	IF p_state IN ('cooling', 'exhausted') THEN
		v_until := posthouse.end_of_block(v_now - p_age_ms * interval '1 millisecond', p_until_s, p_after_ms, p_floor_ms,
			p_most_ms, v_strikes);
	END IF;
	IF h.version <> p_version THEN
		v_result := CASE h.state WHEN 'active' THEN 'cleared' ELSE 'lost' END;
	ELSIF v_until <= v_now THEN
		NULL; -- it could not be written in time
	ELSIF posthouse.severity(p_state) > posthouse.severity(v_was)
		OR (v_was IN ('cooling', 'exhausted') AND v_until > h.until) THEN
		IF posthouse.severity(p_state) < posthouse.severity(v_was) THEN
			p_state := v_was;
		ELSIF v_was <> 'active' AND v_until < h.until THEN
			v_until := h.until;
		END IF;
		UPDATE posthouse.account_health u SET state = p_state, until = v_until, reason = p_reason, evidence = p_evidence,
			node = p_node, strikes = v_strikes, version = u.version + 1, changed = v_now
		WHERE u.account_id = p_account;
		PERFORM posthouse.bump('accounts');
		v_result := 'done';
	END IF;
	RETURN QUERY SELECT v_result, r.* FROM posthouse.read_health(p_account) r;
END $$;

/* An answer that worked ends the strikes. No transition: nobody need hear of it. */
CREATE OR REPLACE FUNCTION posthouse.end_strikes(p_account bigint, p_version bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	UPDATE posthouse.account_health SET strikes = 0
	WHERE account_id = p_account AND version = p_version AND strikes > 0 AND (state = 'active' OR until <= now())
$$;

/* Whether a window that runs is fuller than that. */
CREATE OR REPLACE FUNCTION posthouse.is_used(p_account bigint, p_percent real, p_windows text[]) RETURNS bool
LANGUAGE sql STABLE AS $$
	SELECT EXISTS (SELECT FROM posthouse.account_usage u WHERE u.account_id = p_account AND u.used_percent >= p_percent
		AND u."window" = ANY (p_windows) AND (u.resets IS NULL OR u.resets > now()))
$$;

/* What nodes act upon, in whole percents: a window near its end, and above max_used_percent. Those that a running window has reached. */
CREATE OR REPLACE FUNCTION posthouse.bounds_passed(p_account bigint) RETURNS real[]
LANGUAGE sql STABLE AS $$
	SELECT coalesce(array_agg(b.percent ORDER BY b.percent), '{}')
	FROM (SELECT 95::real AS percent UNION SELECT a.max_used_percent + 1 FROM posthouse.accounts a
		WHERE a.account_id = p_account AND a.max_used_percent IS NOT NULL) b
	WHERE posthouse.is_used(p_account, b.percent, '{primary,secondary}')
$$;

/*
 * What an account has left: percent, length and reset of both windows, NULL where unknown. Lifts an `exhausted` that the
 * node knows and the evidence is newer than, where no window has ended. result: lifted or kept; no row: the account is gone.
 * Others hear of it where a block was lifted, or a window came near its end or passed the account's own bound.
 */
CREATE OR REPLACE FUNCTION posthouse.report_usage(p_account bigint, p_version bigint, p_primary real,
	p_primary_minutes int, p_primary_resets_s bigint, p_secondary real, p_secondary_minutes int, p_secondary_resets_s bigint,
	p_credits bool, p_plan text, p_age_ms bigint, p_node text)
RETURNS TABLE (result text, health text, remaining_ms bigint, version bigint, strikes int)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_both CONSTANT text[] := '{primary,secondary}';
	v_seen timestamptz := clock_timestamp() - p_age_ms * interval '1 millisecond';
	h posthouse.account_health;
	v_bounds real[];
	v_lifted bool;
BEGIN
	UPDATE posthouse.accounts a SET plan = p_plan
	WHERE a.account_id = p_account AND a.state <> 'removed' AND p_plan <> '' AND a.plan IS DISTINCT FROM p_plan;
	h := posthouse.lock_health(p_account);
	IF h.account_id IS NULL THEN
		RETURN;
	END IF;
	v_bounds := posthouse.bounds_passed(p_account);
	INSERT INTO posthouse.account_usage AS u (account_id, "window", used_percent, minutes, resets, observed, node)
	SELECT p_account, w.name, w.used, w.minutes, least(to_timestamp(w.resets_s), v_seen + interval '366 days'), v_seen, p_node
	FROM (VALUES ('primary', p_primary, p_primary_minutes, p_primary_resets_s),
		('secondary', p_secondary, p_secondary_minutes, p_secondary_resets_s)) AS w (name, used, minutes, resets_s)
	WHERE w.used IS NOT NULL
	ON CONFLICT (account_id, "window") DO UPDATE SET used_percent = excluded.used_percent, minutes = excluded.minutes,
		resets = excluded.resets, observed = excluded.observed, node = excluded.node
	WHERE u.observed <= excluded.observed;
	UPDATE posthouse.account_health u SET state = 'active', until = NULL, reason = 'usage', evidence = NULL, node = p_node,
		version = u.version + 1, changed = clock_timestamp()
	WHERE u.account_id = p_account AND u.version = p_version AND u.state = 'exhausted' AND u.changed < v_seen
		AND coalesce(p_primary, p_secondary) IS NOT NULL AND NOT posthouse.is_used(p_account, 100,
			CASE WHEN p_credits THEN '{primary}' ELSE v_both END);
	v_lifted := FOUND;
	IF v_lifted OR v_bounds <> posthouse.bounds_passed(p_account) THEN
		PERFORM posthouse.bump('accounts');
	END IF;
	RETURN QUERY SELECT CASE WHEN v_lifted THEN 'lifted' ELSE 'kept' END, r.* FROM posthouse.read_health(p_account) r;
END $$;
