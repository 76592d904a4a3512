/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor finds what is wrong: each fault is made, and undone. */
\ir 00_helpers.sql
SELECT no_plan();
CREATE FUNCTION test.says(p_check text) RETURNS text LANGUAGE sql AS $$
	SELECT d.status || ': ' || d.detail FROM posthouse_admin.doctor d WHERE d."check" = p_check $$;
SELECT set_eq($$ SELECT d."check" FROM posthouse_admin.doctor d $$, ARRAY['server', 'schema', 'roles', 'row-level security',
	'statement timeouts', 'partitions', 'retention', 'connections', 'notifications', 'nodes', 'clock', 'accounts', 'secrets', 'leases',
	'long transactions', 'periodic work', 'figures by hour', 'bloat'], 'what it looks at');
SELECT is_empty($$ SELECT d."check" FROM posthouse_admin.doctor d
	WHERE d.status NOT IN ('ok', 'warn', 'fail') OR d.detail IS NULL OR (d.status <> 'ok') <> (d.remedy IS NOT NULL) $$,
	'every row says what was found, and what to do where something is wrong');
SELECT is(test.says(c), NULL, c || ' has no row') FROM unnest(ARRAY['no such check']) AS c;
SELECT matches(test.says(c), '^ok', c || ' is well at first')
FROM unnest(ARRAY['schema', 'roles', 'row-level security', 'partitions', 'retention', 'notifications', 'clock', 'secrets', 'leases',
	'periodic work', 'bloat']) AS c;

SELECT matches(test.says('nodes'), '^fail: 0 alive');
SELECT posthouse.register_node('00000000-0000-0000-0000-000000000001', 'n1', '1.0', 15000);
SELECT is(test.says('nodes'), 'ok: 1 alive');
SELECT posthouse.register_node('00000000-0000-0000-0000-000000000002', 'n2', '1.1', 15000);
SELECT is(test.says('nodes'), 'warn: 2 alive; versions: 1.0, 1.1');
UPDATE posthouse.nodes SET heartbeat = clock_timestamp() - interval '1 minute' WHERE name = 'n2';
SELECT matches(test.says('nodes'), '^warn: 1 alive; silent: n2 for 00:01:0');
UPDATE posthouse.nodes SET draining = true WHERE name = 'n1';
SELECT matches(test.says('nodes'), 'draining: n1');
UPDATE posthouse.nodes SET heartbeat = clock_timestamp() + interval '1 hour' WHERE name = 'n1';
SELECT matches(test.says('clock'), '^fail');

SELECT is(test.says('accounts'), 'fail: 0 of 0 usable');
INSERT INTO posthouse.accounts (account_id, name, kind, base_url, max_streams) VALUES (9, 'a', 'codex', 'http://x', 2), (10, 'b', 'codex', 'http://x', NULL);
SELECT is(test.says('accounts'), 'ok: 2 of 2 usable');
INSERT INTO posthouse.account_health (account_id, state, reason) VALUES (9, 'reauth', 'REFRESH_REUSED');
UPDATE posthouse.accounts SET state = 'paused' WHERE name = 'b';
SELECT is(test.says('accounts'), 'fail: 0 of 2 usable; a: reauth, REFRESH_REUSED; paused or draining: b');
UPDATE posthouse.accounts SET state = 'active' WHERE name = 'b';
SELECT matches(test.says('accounts'), '^warn: 1 of 2');

INSERT INTO posthouse.account_secrets (account_id, sealed, key_id) VALUES (9, 'x', '\x0102030405060708');
SELECT matches(test.says('secrets'), '^fail: .* a$');
INSERT INTO posthouse.master_keys (key_id) VALUES ('\x0102030405060708');
SELECT is(test.says('secrets'), 'ok: 1 sealed, with known keys');

SELECT is(test.says('leases'), 'ok: 0 of 2 slots are with nodes');
INSERT INTO posthouse.account_leases (account_id, node_id, slots, wanted, expires_at)
VALUES (9, '00000000-0000-0000-0000-000000000001', 3, 5, clock_timestamp() + interval '1 minute');
SELECT is(test.says('leases'),
	'warn: 3 of 2 slots are with nodes; a: 1 over its limit of 2, because of turns that ran already; a: 2 turns wait for one of its 2');

INSERT INTO posthouse.jobs (name, due) VALUES ('partitions', clock_timestamp() - interval '1 hour');
SELECT matches(test.says('periodic work'), '^warn: partitions is late by 01:00:0');
UPDATE posthouse.usage_mark SET ran = clock_timestamp() - interval '1 hour';
SELECT matches(test.says('figures by hour'), '^warn: 01:00:0');
UPDATE posthouse.usage_mark SET ran = clock_timestamp();
SELECT matches(test.says('figures by hour'), '^ok');

UPDATE posthouse.partitions SET keep_until = current_date - 3 WHERE parent = 'request_log' AND day = current_date + 3;
SELECT matches(test.says('retention'), '^warn: 1 partitions should be gone');
DELETE FROM posthouse.partitions WHERE parent = 'request_log' AND day = (now() AT TIME ZONE 'UTC')::date + 3;
SELECT matches(test.says('partitions'), '^warn: missing: request_log');
DELETE FROM posthouse.partitions WHERE parent = 'request_log' AND day = (now() AT TIME ZONE 'UTC')::date + 1;
SELECT matches(test.says('partitions'), '^fail: missing: request_log');
ALTER TABLE posthouse.preferences NO FORCE ROW LEVEL SECURITY;
SELECT is(test.says('row-level security'), 'fail: not in force on preferences');

CREATE ROLE test_alice LOGIN IN ROLE posthouse_viewer;
SELECT is(test.says('statement timeouts'), 'warn: none for test_alice');
ALTER ROLE test_alice SET statement_timeout = '30s';
SELECT is(test.says('statement timeouts'), 'ok: every login of an operator or viewer has one');

UPDATE posthouse.nodes SET heartbeat = clock_timestamp(),
	report = '[{"check": "disk", "status": "fail", "detail": "full", "remedy": "free some"}, {"check": "odd", "status": "x"}]' WHERE name = 'n1';
SELECT is((SELECT string_agg(d::text, ' ' ORDER BY d."check") FROM posthouse_admin.doctor d WHERE d."check" LIKE 'node %'),
	'("node n1: disk",fail,full,"free some") ("node n1: odd",warn,,)', 'what a node says');
UPDATE posthouse.nodes SET report = '"nonsense"';
SELECT is_empty($$ SELECT FROM posthouse_admin.doctor WHERE "check" LIKE 'node %' $$, 'nonsense is left out');
UPDATE posthouse.nodes SET report = '["nonsense"]';
SELECT is_empty($$ SELECT FROM posthouse_admin.doctor WHERE "check" LIKE 'node %' $$, 'also within an array');
SELECT is((SELECT string_agg(DISTINCT status, ' ' ORDER BY status) FROM (SELECT status FROM posthouse_admin.doctor LIMIT 1) d), 'fail', 'the gravest first');
SELECT * FROM finish();
ROLLBACK;
