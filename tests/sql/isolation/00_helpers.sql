/* SPDX-License-Identifier: Apache-2.0 */
/* What the permutations share: account 1 of 3 slots, nodes 1 to 3, calls whose rows are the same in every run. */
CREATE SCHEMA test;
INSERT INTO posthouse.accounts (account_id, name, kind, base_url, max_streams) VALUES (1, 'a', 'platform', 'http://a', 3);
CREATE FUNCTION test.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;
SELECT posthouse.register_node(test.node(n), 'n' || n, '0.1.0', 15000) FROM generate_series(1, 3) n;

/* version: of the row as it was when the permutation began; a node knows its own. */
CREATE FUNCTION test.take(n int, running int, needed int, wanted int, version bigint, OUT result text, OUT slots int)
LANGUAGE sql AS $$
	SELECT result, slots FROM posthouse.lease_slots(1, test.node(n), version, (SELECT life FROM posthouse.server_life),
		running, needed, wanted) $$;
CREATE FUNCTION test.beat(n int, OUT renewed bigint) LANGUAGE sql AS $$
	SELECT count(account_id) FROM posthouse.heartbeat(test.node(n), (SELECT life FROM posthouse.server_life), '{}', '{}') $$;

/* Rows with versions that are known beforehand: 1001 is node 1's. */
CREATE FUNCTION test.row(n int, p_slots int, left_over interval DEFAULT '15 s', p_wanted int DEFAULT 0) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO posthouse.account_leases (account_id, node_id, slots, wanted, version, life, expires_at)
	SELECT 1, test.node(n), p_slots, p_wanted, 1000 + n, life, clock_timestamp() + left_over FROM posthouse.server_life $$;
CREATE FUNCTION test.clear() RETURNS void LANGUAGE sql AS $$
	DELETE FROM posthouse.account_leases;
	DELETE FROM posthouse.jobs;
	DELETE FROM posthouse.account_secrets;
	DELETE FROM posthouse.account_refresh;
	DELETE FROM posthouse.account_health;
	DELETE FROM posthouse.request_log;
	DELETE FROM posthouse.usage_hours;
	DELETE FROM posthouse.key_reservations;
	DELETE FROM posthouse.usage_windows;
	DELETE FROM posthouse.preferences;
	DELETE FROM posthouse.account_models;
	DELETE FROM posthouse.login_flows;
	UPDATE posthouse.accounts SET max_streams = 3, hold_until = NULL $$;
CREATE VIEW test.held AS
	SELECT right(node_id::text, 1) AS node, slots, expires_at > clock_timestamp() + interval '5 s' AS lasting
	FROM posthouse.account_leases ORDER BY node_id;
/* That all is told which runs, in this life. */
CREATE FUNCTION test.tell(n int, p_life bigint, OUT present bool) LANGUAGE sql AS $$
	SELECT life = p_life FROM posthouse.heartbeat(test.node(n), p_life, '{}', '{}') $$;

/* Account 2 has a login. */
INSERT INTO posthouse.accounts (account_id, name, kind, base_url) VALUES (2, 'b', 'codex', 'http://b');
CREATE FUNCTION test.login() RETURNS void LANGUAGE sql AS $$
	INSERT INTO posthouse.account_secrets (account_id, sealed, key_id) VALUES (2, 'old', 'key-0001') $$;
CREATE FUNCTION test.replace() RETURNS text LANGUAGE sql AS $$
	SELECT posthouse.put_account(2, 'b', 'codex', NULL, 'other', 'key-0001', NULL, NULL, NULL, NULL, NULL) $$;
/* Logins that wait; the flow's number is its last digit. */
CREATE FUNCTION test.open(n int) RETURNS text LANGUAGE sql AS $$
	SELECT right(flow, 1) FROM posthouse.open_login(('00000000-0000-0000-0000-00000000010' || n)::uuid, 'me', 'browser', 'http://i',
		'sealed', 'key-0001', 60000) $$;
CREATE VIEW test.secret AS
	SELECT convert_from(s.sealed, 'UTF8') AS sealed, s.version, coalesce(h.state, 'active') AS health
	FROM posthouse.account_secrets s LEFT JOIN posthouse.account_health h USING (account_id);

CREATE FUNCTION test.log() RETURNS void LANGUAGE sql AS $$
	INSERT INTO posthouse.request_log (scope, started, duration_us, day, turn, node, request_id, route, outcome)
	VALUES (1, now(), 1, (now() AT TIME ZONE 'UTC')::date, gen_random_uuid(), 'n1', 'req_1', 'responses', 'completed') $$;
/* Once nobody writes any more; it may be that the server itself does. */
CREATE FUNCTION test.roll_up(OUT turns bigint) LANGUAGE plpgsql AS $$
BEGIN
	WHILE pg_snapshot_xmin(pg_current_snapshot()) <> pg_snapshot_xmax(pg_current_snapshot()) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
	SELECT r.turns INTO turns FROM posthouse.roll_up() r;
END $$;
/* Key 1 has limits; turns have numbers. */
INSERT INTO posthouse.api_keys (key_id, name, hash, prefix) OVERRIDING SYSTEM VALUE VALUES (1, 'k', sha256('k'), 'ph_k');
CREATE FUNCTION test.limit_to(n int) RETURNS void LANGUAGE sql AS $$
	SELECT posthouse.put_key_limits(1, format('{"requests": {"month": %s}}', n)::jsonb) $$;
CREATE FUNCTION test.reserve(turn int, node int) RETURNS text LANGUAGE sql AS $$
	SELECT result || ' after ' || used || '+' || reserved FROM posthouse.reserve_turn(test.node(turn), 1, test.node(node), 1, 1, 0) $$;
CREATE FUNCTION test.settle(turn int, node int) RETURNS void LANGUAGE sql AS $$
	SELECT posthouse.settle_turns(ARRAY[test.node(turn)], '{1}', ARRAY[test.node(node)], '{1}', '{1}', '{1}', '{0}') $$;
CREATE FUNCTION test.forget(n int) RETURNS void LANGUAGE sql AS $$ SELECT posthouse.drop_reservations(test.node(n)) $$;
CREATE FUNCTION test.sweep() RETURNS void LANGUAGE sql AS $$
	UPDATE posthouse.nodes SET heartbeat = heartbeat - interval '1 minute';
	SELECT posthouse.sweep_limits();
	UPDATE posthouse.nodes SET heartbeat = clock_timestamp() $$;
CREATE FUNCTION test.keep(n int) RETURNS int LANGUAGE sql AS $$ SELECT posthouse.keep_reservations(test.node(n), '{}', -1000) $$;
CREATE VIEW test.counted AS
	SELECT used, reserved, (SELECT count(*) FROM posthouse.key_reservations) AS rows FROM posthouse.limits_now WHERE key_id = 1;
/* A conversation, and an account whose block has just ended. */
CREATE FUNCTION test.prefer(name text, able bigint[], choice bigint, OUT account bigint, OUT was bigint) LANGUAGE sql AS $$
	SELECT account_id, was FROM posthouse.prefer(5, convert_to(name, 'UTF8'), able, choice) $$;
CREATE FUNCTION test.cooled() RETURNS void LANGUAGE sql AS $$
	INSERT INTO posthouse.account_health (account_id, state, until, version)
	VALUES (1, 'cooling', clock_timestamp(), 7) $$;
