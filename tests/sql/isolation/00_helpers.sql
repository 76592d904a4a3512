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
