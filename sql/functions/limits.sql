/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of API keys. A turn of a limited key reserves what it may use before it is sent, under the key's lock, and is
 * settled by commit_turn() or log_turns(), exactly once, with what it used. Nothing here is updated by two: a row of
 * usage_windows is its node's, a reservation its turn's; whoever wants the sum adds them up. Both are read in one
 * statement, or a turn that is just settled would be in neither. Windows are those of the calendar, in UTC, on this
 * server's clock; a turn counts in the window in which it ends. limits_now, which adds up, stands in admin/limits.sql, before
 * the view that is made of it.
 */

/* When the window of this length that we are in began. Weeks begin on Mondays. */
CREATE OR REPLACE FUNCTION posthouse.window_start(p_per text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
	SELECT date_trunc(p_per, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
$$;

/*
 * What a turn may use is set aside, or it is refused: then nothing is. One row per limit, none where the key has none;
 * reserved is what other turns set aside. result:
 *   ok       this limit leaves room
 *   spent    refused until the window ends
 *   busy     refused because of turns that run: any of them may end sooner, or use less than it reserved
 *   unknown  the node was forgotten: nothing is reserved (one row)
 * resets_ms: until the window ends; 0 for turns at a time. An estimate that is larger than the limit counts as all of
 * it: such a turn gets in where nothing was used.
 */
CREATE OR REPLACE FUNCTION posthouse.reserve_turn(p_turn uuid, p_key bigint, p_node uuid, p_input_tokens bigint,
	p_output_tokens bigint, p_cost_nanos bigint)
RETURNS TABLE (result text, what text, per text, size bigint, used bigint, reserved bigint, resets_ms bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
	v_limits int := 0;
	v_refused int := 0;
	v_resets timestamptz;
	v_need bigint;
BEGIN
	PERFORM pg_advisory_xact_lock(hashtextextended('posthouse:6:' || p_key, 0)); -- alone: what follows sees newer rows
	PERFORM set_config('synchronous_commit', 'off', true);
	PERFORM FROM posthouse.nodes n WHERE n.node_id = p_node FOR KEY SHARE; -- it may be forgotten just now
	IF NOT FOUND THEN
		result := 'unknown';
		RETURN NEXT;
		RETURN;
	END IF;
	FOR what, per, size, used, reserved, v_resets IN SELECT l.what, l.per, l.size, l.used, l.reserved,
		l.resets FROM posthouse.limits_now l WHERE l.key_id = p_key
	LOOP
		v_need := greatest(1, least(size, CASE what WHEN 'input_tokens' THEN p_input_tokens
			WHEN 'output_tokens' THEN p_output_tokens WHEN 'tokens' THEN p_input_tokens + p_output_tokens
			WHEN 'cost' THEN p_cost_nanos ELSE 1 END));
		result := CASE WHEN used + reserved + v_need <= size THEN 'ok' WHEN used + v_need > size THEN 'spent' ELSE 'busy' END;
		resets_ms := CASE WHEN v_resets IS NULL THEN 0
			ELSE greatest(1, ceil(extract(epoch FROM v_resets - clock_timestamp()) * 1000)) END;
		v_limits := v_limits + 1;
		v_refused := v_refused + (result <> 'ok')::int;
		RETURN NEXT;
	END LOOP;
	IF v_limits > 0 AND v_refused = 0 THEN
		INSERT INTO posthouse.key_reservations (turn, key_id, node_id, input_tokens, output_tokens, cost_nanos)
		VALUES (p_turn, p_key, p_node, p_input_tokens, p_output_tokens, p_cost_nanos) ON CONFLICT (turn) DO NOTHING;
	END IF;
END $$;

/* A turn is a request of its key once an account answered it: a failure before that is none. */
CREATE OR REPLACE FUNCTION posthouse.is_counted(p_account bigint, p_outcome text, p_bytes_out bigint) RETURNS bool
LANGUAGE sql IMMUTABLE AS $$
	SELECT p_account IS NOT NULL AND (p_outcome IN ('completed', 'incomplete') OR p_bytes_out > 0)
$$;

/*
 * Turns have ended, which were not settled before: what was set aside for them is free, and what they used is counted.
 * One element of each array per turn; those without a node reserved nothing. For commit_turn() and log_turns(), in
 * their transaction.
 */
CREATE OR REPLACE FUNCTION posthouse.settle_turns(p_turn uuid[], p_scope bigint[], p_node uuid[], p_requests bigint[],
	p_input_tokens bigint[], p_output_tokens bigint[], p_cost_nanos bigint[])
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
	DELETE FROM posthouse.key_reservations r WHERE r.turn = ANY (p_turn);
	INSERT INTO posthouse.usage_windows AS u (scope, per, window_start, node_id, requests, input_tokens, output_tokens,
		cost_nanos)
	SELECT t.scope, p.per, posthouse.window_start(p.per), t.node, sum(t.requests), sum(t.input_tokens),
		sum(t.output_tokens), coalesce(sum(t.cost_nanos), 0)
	FROM unnest(p_scope, p_node, p_requests, p_input_tokens, p_output_tokens, p_cost_nanos)
		AS t (scope, node, requests, input_tokens, output_tokens, cost_nanos)
	CROSS JOIN LATERAL (SELECT 'day' AS per UNION SELECT l.per FROM posthouse.key_limits l
		WHERE l.key_id = t.scope AND l.per IN ('minute', 'hour')) p
	WHERE t.node IS NOT NULL AND t.requests + t.input_tokens + t.output_tokens > 0
	GROUP BY t.scope, p.per, t.node ORDER BY t.scope, p.per, t.node
	ON CONFLICT (scope, per, window_start, node_id) DO UPDATE SET requests = u.requests + excluded.requests,
		input_tokens = u.input_tokens + excluded.input_tokens, output_tokens = u.output_tokens + excluded.output_tokens,
		cost_nanos = u.cost_nanos + excluded.cost_nanos;
END $$;

/* A turn that never went out gives back what was set aside. */
CREATE OR REPLACE FUNCTION posthouse.release_turn(p_turn uuid) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	DELETE FROM posthouse.key_reservations r WHERE r.turn = p_turn
$$;

/*
 * A node tells which turns with reservations it runs: others of it that are older than p_older_ms were left by calls
 * whose outcome it does not know, or by turns whose end could not be written. What is just being settled is locked.
 */
CREATE OR REPLACE FUNCTION posthouse.keep_reservations(p_node uuid, p_turns uuid[], p_older_ms bigint) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_left int;
BEGIN
	DELETE FROM posthouse.key_reservations r WHERE r.ctid = ANY (ARRAY(SELECT e.ctid FROM posthouse.key_reservations e
		WHERE e.node_id = p_node AND e.turn <> ALL (p_turns)
			AND e.made < clock_timestamp() - p_older_ms * interval '1 millisecond'
		FOR UPDATE SKIP LOCKED));
	GET DIAGNOSTICS v_left = ROW_COUNT;
	RETURN v_left;
END $$;

/* Reservations of nodes that are silent, which count for nothing, and windows that no limit looks at any more. */
CREATE OR REPLACE FUNCTION posthouse.sweep_limits() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM posthouse.key_reservations r WHERE r.ctid = ANY (ARRAY(SELECT e.ctid FROM posthouse.key_reservations e
		WHERE NOT EXISTS (SELECT FROM posthouse.nodes n
			WHERE n.node_id = e.node_id AND n.heartbeat + n.ttl > clock_timestamp())
		FOR UPDATE SKIP LOCKED));
	DELETE FROM posthouse.usage_windows w WHERE w.ctid = ANY (ARRAY(SELECT e.ctid
		FROM (VALUES ('minute', interval '10 minutes'), ('hour', '3 hours'), ('day', '40 days')) AS p (per, age)
		JOIN posthouse.usage_windows e ON e.per = p.per AND e.window_start < now() - p.age));
END $$;

/* A node is gone, and what its turns had set aside with it. */
CREATE OR REPLACE FUNCTION posthouse.drop_reservations(p_node uuid) RETURNS void
LANGUAGE sql AS $$
	DELETE FROM posthouse.key_reservations r WHERE r.ctid = ANY (ARRAY(SELECT e.ctid FROM posthouse.key_reservations e
		WHERE e.node_id = p_node FOR UPDATE SKIP LOCKED))
$$;

/*
 * The limits of a key from now on, in place of those that it had; NULL or {}: none. What was used in a window goes on to
 * count. {"requests": {"minute": 60, "day": 1000}, "tokens": {"hour": 1000000}, "cost": {"month": 5.5}, "concurrent": 4}:
 * requests, input_tokens, output_tokens, tokens (both) and cost (US dollars) per minute, hour, day, week and month.
 */
CREATE OR REPLACE FUNCTION posthouse.put_key_limits(p_key bigint, p_limits jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v record;
	v_size numeric;
BEGIN
	IF jsonb_typeof(coalesce(p_limits, '{}')) NOT IN ('object', 'null') THEN
		RAISE EXCEPTION 'limits are an object like {"requests": {"day": 1000}, "concurrent": 4}';
	END IF;
	DELETE FROM posthouse.key_limits l WHERE l.key_id = p_key;
	IF p_limits IS NULL OR p_limits = 'null' THEN
		RETURN;
	END IF;
	FOR v IN SELECT m.key AS what, CASE WHEN m.key = 'concurrent' THEN '' ELSE w.key END AS per,
			CASE WHEN m.key = 'concurrent' THEN m.value ELSE w.value END AS size
		FROM jsonb_each(p_limits) m
		LEFT JOIN LATERAL jsonb_each(CASE jsonb_typeof(m.value) WHEN 'object' THEN m.value ELSE '{}' END) w
			ON m.key <> 'concurrent'
	LOOP
		IF v.what NOT IN ('requests', 'input_tokens', 'output_tokens', 'tokens', 'cost', 'concurrent') THEN
			RAISE EXCEPTION 'there is no limit of "%": there are requests, input_tokens, output_tokens, tokens, cost and concurrent',
				v.what;
		ELSIF v.per IS NULL OR v.per NOT IN ('minute', 'hour', 'day', 'week', 'month', '') OR (v.per = '') <> (v.what = 'concurrent') THEN
			RAISE EXCEPTION 'a limit of % is per minute, hour, day, week or month, like {"%": {"day": 1000}}', v.what, v.what;
		ELSIF jsonb_typeof(v.size) <> 'number' THEN
			RAISE EXCEPTION 'a limit of % is a number, not %', v.what, v.size;
		END IF;
		v_size := (v.size #>> '{}')::numeric * CASE v.what WHEN 'cost' THEN 1000000000 ELSE 1 END;
		IF v_size < 1 OR v_size > 1e18 OR (v_size <> trunc(v_size) AND v.what <> 'cost') THEN
			RAISE EXCEPTION 'a limit of % is a % above zero, at most %, not %', v.what, CASE v.what WHEN 'cost' THEN 'number of dollars'
				ELSE 'whole number' END, CASE v.what WHEN 'cost' THEN '1e9' ELSE '1e18' END, v.size;
		END IF;
		INSERT INTO posthouse.key_limits (key_id, what, per, size) VALUES (p_key, v.what, v.per, v_size::bigint);
	END LOOP;
END $$;

/* A key with limits, in one transaction; the rest as create_key(). */
CREATE OR REPLACE FUNCTION posthouse.create_limited_key(p_name text, p_hash bytea, p_prefix text, p_snapshots text,
	p_expires_s bigint, p_models text[], p_accounts text[], p_limits jsonb)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	v_id bigint := posthouse.create_key(p_name, p_hash, p_prefix, p_snapshots, p_expires_s, p_models, p_accounts);
BEGIN
	PERFORM posthouse.put_key_limits(v_id, p_limits);
	RETURN v_id;
END $$;

/*
 * GET /v1/usage: the answer as JSON (docs/limits.md). The totals are the larger of two counts: the roll-up of the log,
 * which is some minutes old, and what the key's limits are judged by, which counts from when it got some.
 */
CREATE OR REPLACE FUNCTION posthouse.usage_of(p_key bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT json_build_object('object', 'usage', 'created_at', extract(epoch FROM now())::bigint,
		'limits', coalesce((SELECT json_agg(json_build_object('limit', l.what, 'per', nullif(l.per, ''),
				'size', trim_scale(l.size / unit), 'used', trim_scale(l.used / unit), 'reserved', trim_scale(l.reserved / unit),
				'remaining', trim_scale(greatest(0, l.size - l.used - l.reserved) / unit),
				'resets_at', extract(epoch FROM l.resets)::bigint) ORDER BY l.what, l.size)
			FROM posthouse.limits_now l, LATERAL (SELECT CASE l.what WHEN 'cost' THEN 1e9 ELSE 1 END) AS d (unit)
			WHERE l.key_id = p_key), '[]'),
		'today', (SELECT to_json(t) FROM posthouse.total_of(p_key, posthouse.window_start('day')) t),
		'this_month', (SELECT to_json(t) FROM posthouse.total_of(p_key, posthouse.window_start('month')) t))::text
$$;

CREATE OR REPLACE FUNCTION posthouse.total_of(p_key bigint, p_since timestamptz)
RETURNS TABLE (requests bigint, input_tokens bigint, output_tokens bigint, cost_usd numeric)
LANGUAGE sql STABLE AS $$
	SELECT greatest(h.requests, w.requests), greatest(h.input, w.input), greatest(h.output, w.output),
		trim_scale(greatest(h.cost, w.cost) / 1e9)
	FROM (SELECT coalesce(sum(u.requests - u.failed), 0)::bigint AS requests, coalesce(sum(u.input_tokens), 0)::bigint AS input,
			coalesce(sum(u.output_tokens), 0)::bigint AS output, coalesce(sum(u.cost_nanos), 0)::bigint AS cost
		FROM posthouse.usage_hours u WHERE u.scope = p_key AND u.hour >= p_since) h,
		(SELECT coalesce(sum(u.requests), 0)::bigint AS requests, coalesce(sum(u.input_tokens), 0)::bigint AS input,
			coalesce(sum(u.output_tokens), 0)::bigint AS output, coalesce(sum(u.cost_nanos), 0)::bigint AS cost
		FROM posthouse.usage_windows u WHERE u.scope = p_key AND u.per = 'day' AND u.window_start >= p_since) w
$$;

/* ---- prices ---- */

/* Billionths of a dollar per million tokens; the longest names first. */
CREATE OR REPLACE FUNCTION posthouse.load_prices() RETURNS TABLE (model text, input bigint, cached bigint, output bigint)
LANGUAGE sql STABLE AS $$
	SELECT p.model, round(p.input_per_million * 1000000000)::bigint, round(p.cached_per_million * 1000000000)::bigint,
		round(p.output_per_million * 1000000000)::bigint
	FROM posthouse.model_prices p ORDER BY length(p.model) DESC
$$;

/* However the table is edited, every node hears of it. */
CREATE OR REPLACE FUNCTION posthouse.tell_prices() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM posthouse.bump('prices');
	RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER told AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON posthouse.model_prices
	FOR EACH STATEMENT EXECUTE FUNCTION posthouse.tell_prices();
