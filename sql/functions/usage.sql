/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures by hour, key, account and model, from the request log. Each row of the log counts once: what is added and how
 * far it was added are one transaction, so a run that dies has added nothing, and whoever comes late adds more. Rows of
 * transactions that still run are left for a later run, however late they commit.
 */

/* The rows of transactions p_from to p_until, without it. Returns how many. */
CREATE OR REPLACE FUNCTION posthouse.add_usage(p_day date, p_from bigint, p_until bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
	v_turns bigint;
BEGIN
	WITH fresh AS (
		SELECT date_trunc('hour', l.started, 'UTC') AS hour, l.scope, coalesce(l.account_id, 0) AS account_id,
			coalesce(l.model, '') AS model, count(*) AS requests, count(*) FILTER (WHERE l.outcome = 'failed') AS failed,
			count(*) FILTER (WHERE l.continuity = 'replayed') AS replayed,
			count(*) FILTER (WHERE l.cost_nanos IS NULL AND l.input_tokens + l.output_tokens > 0) AS unpriced,
			coalesce(sum(l.input_tokens), 0) AS input_tokens, coalesce(sum(l.cached_tokens), 0) AS cached_tokens,
			coalesce(sum(l.output_tokens), 0) AS output_tokens, coalesce(sum(l.reasoning_tokens), 0) AS reasoning_tokens,
			coalesce(sum(l.cost_nanos), 0) AS cost_nanos, coalesce(sum(l.duration_us), 0) AS duration_us
		FROM posthouse.request_log l
		WHERE l.day >= p_day AND l.logged >= p_from AND l.logged < p_until
		GROUP BY 1, 2, 3, 4
	), added AS (
		INSERT INTO posthouse.usage_hours AS u (hour, scope, account_id, model, requests, failed, replayed, unpriced,
			input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nanos, duration_us)
		SELECT f.hour, f.scope, f.account_id, f.model, f.requests, f.failed, f.replayed, f.unpriced, f.input_tokens,
			f.cached_tokens, f.output_tokens, f.reasoning_tokens, f.cost_nanos, f.duration_us
		FROM fresh f
		ON CONFLICT (hour, scope, account_id, model) DO UPDATE SET requests = u.requests + excluded.requests,
			failed = u.failed + excluded.failed, replayed = u.replayed + excluded.replayed,
			unpriced = u.unpriced + excluded.unpriced, input_tokens = u.input_tokens + excluded.input_tokens,
			cached_tokens = u.cached_tokens + excluded.cached_tokens,
			output_tokens = u.output_tokens + excluded.output_tokens,
			reasoning_tokens = u.reasoning_tokens + excluded.reasoning_tokens,
			cost_nanos = u.cost_nanos + excluded.cost_nanos, duration_us = u.duration_us + excluded.duration_us
	)
	SELECT coalesce(sum(f.requests), 0) INTO v_turns FROM fresh f;
	RETURN v_turns;
END $$;

/*
 * The tables were restored from a dump, into a server that has not come as far: what its transactions write looks old, and
 * rows of the dump look new. Whatever ended after the last run, or was new to it, is made new (0), all else old (-1).
 * Returns where to begin.
 */
CREATE OR REPLACE FUNCTION posthouse.adopt_log(m posthouse.usage_mark) RETURNS bigint
LANGUAGE sql AS $$
	UPDATE posthouse.request_log l
	SET logged = CASE WHEN l.logged >= m.next OR l.started + l.duration_us * interval '1 microsecond' > m.ran THEN 0 ELSE -1 END
	WHERE l.day >= m.day - 1;
	SELECT 0::bigint
$$;

/*
 * Adds what came since the last run, for about a second; behind: there is more, call again. Whoever finds another run at
 * work does nothing.
 */
CREATE OR REPLACE FUNCTION posthouse.roll_up(OUT turns bigint, OUT behind bool)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
DECLARE
	m posthouse.usage_mark;
	v_until bigint := pg_snapshot_xmin(pg_current_snapshot())::text::bigint; -- whoever is older has ended
	v_today date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
	v_enough timestamptz := clock_timestamp() + interval '1 second';
	v_step bigint := 20000; -- transactions
	v_from bigint;
	v_more bigint;
BEGIN
	turns := 0;
	behind := false;
	SELECT u.* INTO m FROM posthouse.usage_mark u FOR UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN;
	END IF;
	IF m.next > pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
		m.next := posthouse.adopt_log(m);
	END IF;
	WHILE m.next < v_until AND clock_timestamp() < v_enough LOOP
		v_from := m.next;
		m.next := least(v_until, v_from + v_step);
		v_more := posthouse.add_usage(m.day - 1, v_from, m.next);
		turns := turns + v_more;
		IF v_more < 20000 THEN
			v_step := v_step * 4;
		END IF;
	END LOOP;
	behind := m.next < v_until;
	DELETE FROM posthouse.usage_hours u WHERE u.hour < clock_timestamp() - interval '1 second'
		* coalesce((SELECT s.value::float8 FROM posthouse.settings s WHERE s.name = 'usage_retention'), 400 * 86400);
	UPDATE posthouse.usage_mark u SET next = m.next, day = CASE WHEN behind THEN m.day ELSE v_today END,
		ran = clock_timestamp();
END $$;
