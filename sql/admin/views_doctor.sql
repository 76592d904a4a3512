/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What SQL can say of the cluster's health, and what each node said of its own. Statistics and small tables only: it may be
 * asked every few seconds. What other roles' connections do is told to superusers and members of pg_read_all_stats.
 */
CREATE OR REPLACE VIEW posthouse_admin.doctor WITH (security_barrier) AS
WITH node AS (
	SELECT n.*, n.heartbeat + n.ttl > clock_timestamp() AS alive FROM posthouse.nodes n
), backend AS (
	SELECT a.*, a.application_name LIKE 'posthouse node %' AS is_node FROM pg_catalog.pg_stat_activity a
	WHERE a.datname = current_database()
), clock AS (
	SELECT clock_timestamp() AS now, (clock_timestamp() AT TIME ZONE 'UTC')::date AS today
), checks (place, "check", status, detail, remedy) AS (
	SELECT 1, 'server',
		CASE WHEN pg_is_in_recovery() OR current_setting('server_version_num')::int < 140000 THEN 'fail'
			WHEN current_setting('fsync') = 'off' OR current_setting('full_page_writes') = 'off' THEN 'warn' ELSE 'ok' END,
		'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)
			|| CASE WHEN pg_is_in_recovery() THEN ', a standby' ELSE '' END
			|| ', fsync ' || current_setting('fsync') || ', full_page_writes ' || current_setting('full_page_writes'),
		'version 14 or later, the primary, fsync and full_page_writes on: without them a crash of the machine loses turns'
	UNION ALL
	SELECT 2, 'schema', CASE WHEN m.version IS NULL THEN 'fail' ELSE 'ok' END,
		format('version %s, applied %s by %s', m.version, date_trunc('second', m.applied_at), m.applied_by),
		'posthouse migrate'
	FROM (VALUES (1)) AS one (x)
	LEFT JOIN LATERAL (SELECT s.* FROM posthouse.schema_migrations s ORDER BY s.version DESC LIMIT 1) m ON true
	UNION ALL
	SELECT 3, 'roles', CASE WHEN r.missing IS NULL AND r.strong IS NULL THEN 'ok' ELSE 'warn' END,
		concat_ws('; ', 'missing: ' || r.missing, 'nodes log in as ' || r.strong || ', whom row-level security does not bind',
			CASE WHEN r.missing IS NULL AND r.strong IS NULL THEN 'owner, node, operator and viewer are there' END),
		'migrate as a user with CREATEROLE; let nodes log in as posthouse_node'
	FROM (SELECT
		(SELECT string_agg(w.name, ', ') FROM unnest(ARRAY['posthouse_owner', 'posthouse_node', 'posthouse_operator',
			'posthouse_viewer']) AS w (name) WHERE to_regrole(w.name) IS NULL) AS missing,
		(SELECT string_agg(DISTINCT b.usename::text, ', ') FROM backend b JOIN pg_catalog.pg_roles p ON p.oid = b.usesysid
			WHERE b.is_node AND (p.rolsuper OR p.rolbypassrls)) AS strong) r
	UNION ALL
	SELECT 4, 'row-level security', CASE WHEN count(*) FILTER (WHERE NOT on_) = 0 AND count(*) = 4 THEN 'ok' ELSE 'fail' END,
		coalesce('not in force on ' || string_agg(t.relname, ', ') FILTER (WHERE NOT on_), 'in force on ' || count(*) || ' tables'),
		'ALTER TABLE ... ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'
	FROM (SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity AS on_ FROM pg_catalog.pg_class c
		WHERE c.relnamespace = 'posthouse'::regnamespace
			AND c.relname IN ('snapshots', 'snapshot_items', 'resource_owners', 'preferences')) t
	UNION ALL
	SELECT 5, 'statement timeouts', CASE WHEN count(*) = 0 THEN 'ok' ELSE 'warn' END,
		coalesce('none for ' || string_agg(r.rolname, ', ' ORDER BY r.rolname), 'every login of an operator or viewer has one'),
		'ALTER ROLE name SET statement_timeout = ''30s'': a slow query of a person must not hold back turns'
	FROM pg_catalog.pg_roles r
	WHERE r.rolcanlogin AND NOT r.rolsuper AND EXISTS (SELECT FROM unnest(ARRAY['posthouse_operator', 'posthouse_viewer']) g (name)
			WHERE CASE WHEN to_regrole(g.name) IS NOT NULL THEN pg_has_role(r.oid, to_regrole(g.name), 'MEMBER') END)
		AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS c (line)
			WHERE s.setrole = r.oid AND c.line LIKE 'statement_timeout=%')
	UNION ALL
	SELECT 6, 'partitions', CASE WHEN count(*) FILTER (WHERE w.ahead < 2) > 0 THEN 'fail' WHEN count(w.ahead) > 0 THEN 'warn' ELSE 'ok' END,
		coalesce('missing: ' || string_agg(w.parent || ' of ' || c.today + w.ahead, ', ' ORDER BY w.ahead, w.parent),
			'there until ' || max(c.today) + 3),
		'a node must run and reach the database; SELECT posthouse.maintain() as the owner makes them'
	FROM clock c LEFT JOIN LATERAL (SELECT p.parent, d.ahead FROM (SELECT DISTINCT x.parent FROM posthouse.partitions x) p,
			generate_series(0, 3) AS d (ahead)
		WHERE NOT EXISTS (SELECT FROM posthouse.partitions x JOIN pg_catalog.pg_class k ON k.relname = x.name
			AND k.relnamespace = 'posthouse'::regnamespace AND k.relispartition
			WHERE x.parent = p.parent AND x.day = c.today + d.ahead)) w ON true
	UNION ALL
	SELECT 7, 'retention', CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
		CASE WHEN count(*) > 0 THEN format('%s partitions should be gone, the oldest since %s', count(*), min(p.keep_until))
			ELSE (SELECT string_agg(format('%s %s', s.name, justify_hours(make_interval(secs => s.value::float8))), ', ' ORDER BY s.name)
				FROM posthouse_admin.settings s WHERE s.unit = 's') END,
		'look for long readers of those tables in pg_stat_activity; nodes drop one partition a second'
	FROM posthouse.partitions p, clock c WHERE p.keep_until < c.today - 1
	UNION ALL
	SELECT 8, 'connections', CASE WHEN c.used > 0.9 * c.most THEN 'fail' WHEN c.used > 0.75 * c.most THEN 'warn' ELSE 'ok' END,
		format('%s of %s, %s of nodes', c.used, c.most, c.nodes),
		'four per node and worker; raise max_connections, or put PgBouncer in front and name POSTHOUSE_DATABASE_DIRECT_URL'
	FROM (SELECT (SELECT sum(d.numbackends) FROM pg_catalog.pg_stat_database d) AS used,
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most,
		(SELECT count(*) FROM backend b WHERE b.is_node) AS nodes) c
	UNION ALL
	SELECT 9, 'notifications', CASE WHEN q.used > 0.5 THEN 'fail' WHEN q.used > 0.05 THEN 'warn' ELSE 'ok' END,
		format('the queue is %s %% full', round(q.used * 100)),
		'a session that has said LISTEN stays in a transaction: find and end it (pg_stat_activity, oldest xact_start)'
	FROM (SELECT pg_notification_queue_usage()::numeric AS used) q
	UNION ALL
	SELECT 10, 'nodes', CASE WHEN count(*) FILTER (WHERE n.alive) = 0 THEN 'fail' WHEN count(*) FILTER (WHERE NOT n.alive) > 0
			OR count(DISTINCT n.version) FILTER (WHERE n.alive) > 1 THEN 'warn' ELSE 'ok' END,
		concat_ws('; ', format('%s alive', count(*) FILTER (WHERE n.alive)),
			'draining: ' || string_agg(n.name, ', ' ORDER BY n.name) FILTER (WHERE n.alive AND n.draining),
			'silent: ' || string_agg(format('%s for %s', n.name, date_trunc('second', clock_timestamp() - n.heartbeat)), ', '
				ORDER BY n.name) FILTER (WHERE NOT n.alive),
			CASE WHEN count(DISTINCT n.version) FILTER (WHERE n.alive) > 1
				THEN 'versions: ' || string_agg(DISTINCT n.version, ', ') FILTER (WHERE n.alive) END),
		'posthouse serve; one that is dead: forget_node(name, reason), else it stays here for an hour; several versions: end the upgrade'
	FROM (VALUES (1)) AS one (x) LEFT JOIN node n ON true
	UNION ALL
	SELECT 11, 'clock', CASE WHEN max(n.heartbeat) > clock_timestamp() + interval '1 second'
			OR max(n.started) > clock_timestamp() + interval '1 second' THEN 'fail' ELSE 'ok' END,
		format('%s here, last heard of a node at %s', date_trunc('second', clock_timestamp()),
			coalesce(date_trunc('second', max(n.heartbeat))::text, 'no time')),
		'the clock of the database''s machine was set back: leases and blocks last longer by as much; let it run by NTP'
	FROM node n
	UNION ALL
	SELECT 12, 'accounts', CASE WHEN count(*) FILTER (WHERE a.state = 'active' AND a.health = 'active') = 0 THEN 'fail'
			WHEN count(*) FILTER (WHERE a.health IN ('reauth', 'disabled')) > 0 THEN 'warn' ELSE 'ok' END,
		concat_ws('; ', format('%s of %s usable', count(*) FILTER (WHERE a.state = 'active' AND a.health = 'active'), count(a.name)),
			string_agg(format('%s: %s, %s', a.name, a.health, coalesce(a.health_reason, 'no reason')), '; ' ORDER BY a.name)
				FILTER (WHERE a.health <> 'active'),
			'paused or draining: ' || string_agg(a.name, ', ' ORDER BY a.name) FILTER (WHERE a.state <> 'active')),
		'reauth: posthouse account login; disabled: posthouse account add with a new key; paused: resume_account(name, reason)'
	FROM (VALUES (1)) AS one (x) LEFT JOIN posthouse_admin.accounts a ON true
	UNION ALL
	SELECT 13, 'secrets', CASE WHEN count(*) FILTER (WHERE k.key_id IS NULL) > 0 THEN 'fail' ELSE 'ok' END,
		coalesce('sealed with a key that no node ever had: ' || string_agg(a.name, ', ' ORDER BY a.name) FILTER (WHERE k.key_id IS NULL),
			count(*) || ' sealed, with known keys'),
		'add the key to POSTHOUSE_MASTER_KEY (several with commas), or posthouse account add again'
	FROM posthouse.account_secrets s JOIN posthouse.accounts a ON a.account_id = s.account_id AND a.state <> 'removed'
	LEFT JOIN posthouse.master_keys k ON k.key_id = s.key_id
	UNION ALL
	SELECT 14, 'leases', CASE WHEN count(*) FILTER (WHERE l.slots > l.most OR l.missing > 0) > 0 THEN 'warn' ELSE 'ok' END,
		concat_ws('; ', format('%s of %s slots are with nodes', coalesce(sum(l.slots), 0), coalesce(sum(l.most), 0)),
			string_agg(CASE WHEN l.slots > l.most THEN format('%s: %s over its limit of %s, because of turns that ran already',
				l.name, l.slots - l.most, l.most) END, '; ' ORDER BY l.name),
			string_agg(CASE WHEN l.missing > 0 THEN format('%s: %s turns wait for one of its %s', l.name, l.missing, l.most) END, '; '
				ORDER BY l.name)),
		'set_account_limit() raises a limit; release_leases() takes back slots that nobody uses'
	FROM (SELECT a.name, a.max_streams AS most, coalesce(sum(r.slots), 0) AS slots,
			coalesce(sum(greatest(r.wanted - r.slots, 0)), 0) AS missing
		FROM posthouse.accounts a
		LEFT JOIN posthouse.account_leases r ON r.account_id = a.account_id AND r.expires_at > clock_timestamp()
		WHERE a.state <> 'removed' AND a.max_streams IS NOT NULL GROUP BY a.account_id) l
	UNION ALL
	SELECT 15, 'long transactions', CASE WHEN max(clock_timestamp() - b.xact_start) > interval '15 minutes' THEN 'fail'
			WHEN max(clock_timestamp() - b.xact_start) > interval '1 minute' THEN 'warn' ELSE 'ok' END,
		concat_ws('; ', coalesce('the oldest runs for ' || date_trunc('second', max(clock_timestamp() - b.xact_start)), 'none runs'),
			'not told to you: what ' || nullif(count(*) FILTER (WHERE b.backend_type IS NULL AND b.usesysid IS NOT NULL), 0) || ' connections of other roles do'),
		'vacuum and the figures by hour wait for it: SELECT pid, usename, query FROM pg_stat_activity ORDER BY xact_start; to see all of them: GRANT pg_read_all_stats'
	FROM pg_catalog.pg_stat_activity b
	WHERE b.xact_start IS NOT NULL AND (b.backend_xid IS NOT NULL OR b.backend_xmin IS NOT NULL) AND b.pid <> pg_backend_pid()
		OR b.backend_type IS NULL
	UNION ALL
	SELECT 16, 'periodic work', CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
		coalesce(string_agg(format('%s is late by %s', j.name, date_trunc('second', clock_timestamp() - j.due)), '; ' ORDER BY j.due),
			'nothing is late'),
		'a node that lives and does not drain does it; its log says why it could not'
	FROM posthouse.jobs j
	WHERE j.due < clock_timestamp() - interval '5 minutes' AND (j.held_until IS NULL OR j.held_until < clock_timestamp())
	UNION ALL
	SELECT 17, 'figures by hour', CASE WHEN m.ran < clock_timestamp() - interval '10 minutes' THEN 'warn' ELSE 'ok' END,
		CASE WHEN m.ran = '-infinity' THEN 'nothing was added up yet'
			ELSE format('%s behind', date_trunc('second', clock_timestamp() - m.ran)) END,
		'a node must live; SELECT posthouse.roll_up() as the owner adds up what is missing'
	FROM posthouse.usage_mark m
	UNION ALL
	SELECT 18, 'bloat', CASE WHEN count(*) > 0 THEN 'warn' ELSE 'ok' END,
		coalesce(string_agg(format('%s takes %s for %s rows', t.relname, pg_size_pretty(pg_relation_size(t.relid)), t.n_live_tup), '; '),
			'the small tables are small'),
		'a long transaction, or autovacuum off? then VACUUM FULL of the table named, which takes a moment'
	FROM pg_catalog.pg_stat_user_tables t
	WHERE t.schemaname = 'posthouse' AND t.relname IN ('nodes', 'account_leases', 'topics', 'jobs', 'accounts', 'account_health',
			'account_usage', 'account_refresh', 'server_life', 'usage_mark', 'preferences', 'running_turns')
		AND pg_relation_size(t.relid) > 16777216 + 1024 * t.n_live_tup
	UNION ALL
	SELECT 19, format('node %s: %s', n.name, r.said ->> 'check'),
		CASE WHEN r.said ->> 'status' IN ('ok', 'warn', 'fail') THEN r.said ->> 'status' ELSE 'warn' END,
		r.said ->> 'detail', r.said ->> 'remedy'
	FROM node n, jsonb_array_elements(CASE jsonb_typeof(n.report) WHEN 'array' THEN n.report ELSE '[]' END) AS r (said)
	WHERE n.alive AND jsonb_typeof(r.said) = 'object'
)
SELECT c."check", c.status, c.detail, CASE c.status WHEN 'ok' THEN NULL ELSE c.remedy END AS remedy
FROM checks c ORDER BY array_position(ARRAY['fail', 'warn', 'ok'], c.status), c.place, c."check";
COMMENT ON VIEW posthouse_admin.doctor IS
	'What is wrong, and what to do: one row for each thing that SQL can look at, and the last report of each node that lives. Cheap';
COMMENT ON COLUMN posthouse_admin.doctor."check" IS 'What was looked at; node NAME: a finding of that node';
COMMENT ON COLUMN posthouse_admin.doctor.status IS 'ok; warn: it works, but should be seen to; fail: turns fail or will fail';
COMMENT ON COLUMN posthouse_admin.doctor.detail IS 'What was found';
COMMENT ON COLUMN posthouse_admin.doctor.remedy IS 'What to do; NULL: nothing';
