/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of now and of the last hour: what nodes report of each minute, and all that a status page shows. */

/* The upper end of a step of times: half an octave each, step 1 ends at 1 ms. */
CREATE OR REPLACE FUNCTION posthouse.step_ms(p_step int) RETURNS float8
LANGUAGE sql IMMUTABLE AS $$
	SELECT 2 ^ ((p_step - 1) / 2.0::float8)
$$;

/*
 * The time that the share p_share of turns stayed under, as near as the steps tell; NULL: there were none. Operators' views
 * call it, and a view's functions run with the rights of whoever looks.
 */
CREATE OR REPLACE FUNCTION posthouse.share_ms(p_steps bigint[], p_share float8) RETURNS float8
LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT CASE WHEN s.i = 1 THEN posthouse.step_ms(1) * (s.want - s.before) / s.n
		ELSE posthouse.step_ms(s.i - 1) * 2 ^ (0.5 * (s.want - s.before) / s.n) END
	FROM (SELECT t.i::int AS i, t.n, sum(t.n) OVER (ORDER BY t.i) - t.n AS before, sum(t.n) OVER () * p_share AS want
		FROM unnest(p_steps) WITH ORDINALITY AS t (n, i)) s
	WHERE s.n > 0 AND s.before + s.n >= s.want ORDER BY s.i LIMIT 1
$$;

/* Element by element. */
CREATE OR REPLACE FUNCTION posthouse.add_steps(p_a bigint[], p_b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE AS $$
	SELECT array_agg(coalesce(t.a, 0) + coalesce(t.b, 0) ORDER BY t.i)
	FROM unnest(p_a, p_b) WITH ORDINALITY AS t (a, b, i)
$$;

CREATE OR REPLACE AGGREGATE posthouse.sum_steps(bigint[]) (SFUNC = posthouse.add_steps, STYPE = bigint[], INITCOND = '{}');

/*
 * What a node did in the minute that began at p_minute_s (unix), up to now; called again as the minute goes on. Of two
 * calls that overtake one another the fuller one stays. p_turns: those that have been running longest; NULL: none lasts.
 */
CREATE OR REPLACE FUNCTION posthouse.put_traffic(p_node_id uuid, p_node text, p_minute_s bigint, p_running int,
	p_counts bigint[], p_first_event bigint[], p_duration bigint[], p_turns jsonb DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
BEGIN
	PERFORM set_config('synchronous_commit', 'off', true); -- a picture, not a ledger
	INSERT INTO posthouse.traffic AS t (minute, node_id, node, running, counts, first_event, duration, written)
	VALUES (to_timestamp(p_minute_s), p_node_id, p_node, p_running, p_counts, p_first_event, p_duration, clock_timestamp())
	ON CONFLICT (minute, node_id) DO UPDATE SET running = excluded.running, counts = excluded.counts,
		first_event = excluded.first_event, duration = excluded.duration, written = excluded.written
	WHERE t.counts <= excluded.counts;
	DELETE FROM posthouse.traffic t WHERE t.minute < clock_timestamp() - interval '25 hours';
	IF p_turns IS NULL THEN
		DELETE FROM posthouse.running_turns r WHERE r.node_id = p_node_id;
	ELSE
		INSERT INTO posthouse.running_turns (node_id, turns, written)
		SELECT n.node_id, p_turns, clock_timestamp() FROM posthouse.nodes n WHERE n.node_id = p_node_id
		ON CONFLICT (node_id) DO UPDATE SET turns = excluded.turns, written = excluded.written;
	END IF;
END $$;

/* The cluster's last hour, minute by minute; minutes in which nothing ran are there too. */
CREATE OR REPLACE FUNCTION posthouse.recent_traffic() RETURNS TABLE (minute timestamptz, running bigint, turns bigint,
	live bigint, forwarded bigint, replayed bigint, failed bigint, first_event_p50_ms float8, first_event_p99_ms float8,
	p50_ms float8, p99_ms float8)
LANGUAGE sql STABLE AS $$
	SELECT m.minute, coalesce(s.running, 0), coalesce(s.counts[1] + s.counts[2] + s.counts[3] + s.counts[4], 0),
		coalesce(s.counts[2], 0), coalesce(s.counts[3], 0), coalesce(s.counts[4], 0), coalesce(s.counts[5], 0),
		posthouse.share_ms(s.first_event, 0.5), posthouse.share_ms(s.first_event, 0.99),
		posthouse.share_ms(s.duration, 0.5), posthouse.share_ms(s.duration, 0.99)
	FROM generate_series(date_trunc('minute', now()) - interval '59 minutes', date_trunc('minute', now()),
		interval '1 minute') AS m (minute)
	LEFT JOIN (SELECT t.minute, sum(t.running) AS running, posthouse.sum_steps(t.counts) AS counts,
			posthouse.sum_steps(t.first_event) AS first_event, posthouse.sum_steps(t.duration) AS duration
		FROM posthouse.traffic t WHERE t.minute > now() - interval '61 minutes' GROUP BY t.minute) s
		ON s.minute = m.minute
	ORDER BY m.minute
$$;

/* Errors of the last hour by what they were, the latest kind first, with one request of each to look at. */
CREATE OR REPLACE FUNCTION posthouse.recent_errors() RETURNS TABLE (error text, turns bigint, last timestamptz,
	account text, key_name text, request_id text, status int)
LANGUAGE sql STABLE AS $$
	SELECT e.error, e.turns, e.started, a.name, k.name, e.request_id, e.status
	FROM (SELECT r.*, count(*) OVER (PARTITION BY r.error) AS turns,
			row_number() OVER (PARTITION BY r.error ORDER BY r.started DESC) AS place
		FROM posthouse.request_log r
		WHERE r.error IS NOT NULL AND r.started > now() - interval '1 hour'
			AND r.day >= (now() AT TIME ZONE 'UTC')::date - 1) e
	LEFT JOIN posthouse.accounts a ON a.account_id = e.account_id
	LEFT JOIN posthouse.api_keys k ON k.key_id = e.scope
	WHERE e.place = 1 ORDER BY e.started DESC LIMIT 20
$$;

/* Everything that the status page shows, as one JSON object. No secret; of a client's words, names of models and requests. */
CREATE OR REPLACE FUNCTION posthouse.status() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
	SELECT jsonb_build_object(
		'now', now(),
		'nodes', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', n.name, 'state', n.state, 'version', n.version,
				'started', n.started, 'silent_for_s', extract(epoch FROM n.silent_for),
				'running', n.turns, 'slots', n.slots) ORDER BY n.name, n.started), '[]') FROM posthouse_admin.nodes n),
		'accounts', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', a.name, 'kind', a.kind, 'plan', a.plan,
				'state', CASE a.state WHEN 'active' THEN h.state ELSE a.state END,
				'until', CASE WHEN h.until > now() THEN h.until END, 'reason', h.reason, 'evidence', h.evidence,
				'max_streams', a.max_streams, 'slots', l.slots, 'running', l.running, 'missing', l.missing,
				'primary_percent', CASE WHEN h.primary_resets > now() THEN h.primary_used_percent END,
				'primary_resets', h.primary_resets, 'primary_s', extract(epoch FROM h.primary_length),
				'secondary_percent', CASE WHEN h.secondary_resets > now() THEN h.secondary_used_percent END,
				'secondary_resets', h.secondary_resets, 'secondary_s', extract(epoch FROM h.secondary_length))
				ORDER BY a.name), '[]')
			FROM posthouse_admin.accounts a JOIN posthouse_admin.account_health h ON h.name = a.name
			LEFT JOIN (SELECT x.account, sum(x.slots) AS slots, sum(x.running) AS running, sum(x.missing) AS missing
				FROM posthouse_admin.leases x WHERE x.remaining IS NOT NULL GROUP BY x.account) l ON l.account = a.name),
		'running', (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t.started), '[]') FROM posthouse_admin.running_turns t),
		'minutes', (SELECT jsonb_agg(to_jsonb(t) ORDER BY t.minute) FROM posthouse.recent_traffic() t),
		'doctor', (SELECT coalesce(jsonb_agg(to_jsonb(d)), '[]') FROM posthouse_admin.doctor d
			WHERE d.status <> 'ok' AND d."check" NOT IN ('accounts', 'nodes')),
		'errors', (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.last DESC), '[]') FROM posthouse.recent_errors() e)
	)::text
$$;
