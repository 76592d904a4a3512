/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of accounts: who may have how many, for how long, and what a server's restart, a limit and an operator change. */
SET SESSION AUTHORIZATION posthouse_node;
DO $$
DECLARE
	id bigint := posthouse.account_id_for('a', 'platform');
BEGIN
	PERFORM posthouse.put_account(id, 'a', 'platform', 'http://a', NULL, NULL, 3, NULL, NULL, NULL, NULL);
END $$;
RESET SESSION AUTHORIZATION;

CREATE FUNCTION test.account() RETURNS bigint LANGUAGE sql AS $$
	SELECT account_id FROM posthouse.accounts WHERE name = 'a' AND state <> 'removed' $$;
CREATE FUNCTION test.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;
CREATE FUNCTION test.join(n int) RETURNS bigint LANGUAGE sql AS $$
	SELECT posthouse.register_node(test.node(n), 'n' || n, '0.1.0', 15000) $$;
CREATE FUNCTION test.life() RETURNS bigint LANGUAGE sql AS $$ SELECT life FROM posthouse.server_life $$;
CREATE FUNCTION test.version(n int) RETURNS bigint LANGUAGE sql AS $$ SELECT coalesce((SELECT version
	FROM posthouse.account_leases WHERE account_id = test.account() AND node_id = test.node(n)), 0) $$;
/* A node that knows its row and the server's life, unless the test says otherwise. */
CREATE FUNCTION test.slots(n int, running int, needed int, wanted int DEFAULT NULL, version bigint DEFAULT NULL,
	life bigint DEFAULT NULL, OUT result text, OUT slots int, OUT seen bigint, OUT max_streams int, OUT others int,
	OUT server bigint, OUT retry_ms bigint)
LANGUAGE sql AS $$
	SELECT * FROM posthouse.lease_slots(test.account(), test.node(n), coalesce(version, test.version(n)),
		coalesce(life, test.life()), running, needed, coalesce(wanted, needed)) $$;
/* NODE:SLOTS of all rows */
CREATE FUNCTION test.held() RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(right(node_id::text, 1) || ':' || slots, ' ' ORDER BY node_id), '')
	FROM posthouse.account_leases WHERE account_id = test.account() $$;
/* All leases of a node have ended, or the server's clock stands there. */
CREATE FUNCTION test.lapse(n int) RETURNS void LANGUAGE sql AS $$
	UPDATE posthouse.account_leases SET expires_at = clock_timestamp() WHERE node_id = test.node(n) $$;
CREATE FUNCTION test.clear() RETURNS void LANGUAGE sql AS $$ DELETE FROM posthouse.account_leases $$;
/* The server was restarted: what was noted is of another life. */
CREATE FUNCTION test.restart() RETURNS void LANGUAGE sql AS $$
	UPDATE posthouse.account_leases SET life = life + 1;
	UPDATE posthouse.nodes SET life = life + 1;
	UPDATE posthouse.server_life SET life = life + 1 $$;
SELECT test.join(n) FROM generate_series(1, 3) n;

DO $$ -- one after the other, up to the limit and not above it
DECLARE
	r record;
	v bigint;
BEGIN
	r := test.slots(1, 0, 2);
	ASSERT r.result = 'ok' AND r.slots = 2 AND r.seen > 0 AND r.max_streams = 3 AND r.others = 0 AND r.retry_ms IS NULL, r;
	v := r.seen;
	r := test.slots(2, 0, 2);
	ASSERT r.slots = 1 AND r.others = 2 AND r.retry_ms BETWEEN 10000 AND 15000, r;
	r := test.slots(3, 0, 1);
	ASSERT r.slots = 0 AND r.seen > 0 AND r.others = 3, 'a row that says what it misses';
	ASSERT test.held() = '1:2 2:1 3:0', test.held();
	r := test.slots(1, 1, 1);
	ASSERT r.result = 'ok' AND r.slots = 1 AND r.seen > v, 'given back; the version rises';
	r := test.slots(2, 1, 2);
	ASSERT r.slots = 2 AND test.held() = '1:1 2:2 3:0', test.held();
	r := test.slots(1, 0, 0);
	ASSERT r.slots = 0 AND r.seen = 0 AND test.held() = '2:2 3:0', 'nothing is left of who wants nothing';
	PERFORM test.clear();
END $$;

DO $$ -- more than it needs, for the next ones: not where another has too little
DECLARE
	r record;
BEGIN
	r := test.slots(1, 0, 1, 2);
	ASSERT r.slots = 2, r;
	r := test.slots(2, 0, 2, 3);
	ASSERT r.slots = 1, r;
	PERFORM test.slots(1, 0, 0);
	r := test.slots(3, 0, 1, 3);
	ASSERT r.slots = 1, 'node 2 waits for one more';
	r := test.slots(2, 0, 2, 3);
	ASSERT r.slots = 2, r;
	r := test.slots(2, 0, 2, 3);
	ASSERT r.slots = 2 AND r.others = 1, r;
	PERFORM test.slots(3, 0, 0);
	r := test.slots(2, 0, 2, 3);
	ASSERT r.slots = 3, 'nobody else';
	r := test.slots(3, 0, 1);
	r := test.slots(2, 0, 1, 3);
	ASSERT r.slots = 3, 'what is held is not taken away';
	PERFORM test.clear();
END $$;

DO $$ -- what runs is written down, also above the limit, and nobody gets one until the excess is gone
DECLARE
	r record;
BEGIN
	PERFORM test.slots(1, 2, 2);
	r := test.slots(2, 4, 4);
	ASSERT r.result = 'ok' AND r.slots = 4 AND r.others = 2, r;
	ASSERT (test.slots(3, 0, 1)).slots = 0;
	ASSERT (test.slots(2, 2, 3, 3)).slots = 3, 'as long as it wants to keep them';
	ASSERT (test.slots(2, 1, 2, 1)).slots = 1;
	ASSERT (test.slots(3, 0, 1)).slots = 0;
	ASSERT (test.slots(1, 1, 1)).slots = 1;
	ASSERT (test.slots(3, 0, 1)).slots = 1;
	PERFORM test.clear();
END $$;

DO $$ -- a lease ends by the database's clock; who comes too late finds nothing, and is told what it has
DECLARE
	r record;
	v bigint;
BEGIN
	v := (test.slots(1, 3, 3)).seen;
	PERFORM test.lapse(1);
	ASSERT (SELECT count(*) FROM posthouse.heartbeat(test.node(1), test.life(), '{}', '{}') h WHERE h.account_id IS NOT NULL) = 0;
	r := test.slots(2, 0, 2);
	ASSERT r.slots = 2 AND test.held() = '2:2', test.held();
	r := test.slots(1, 1, 3, version => v);
	ASSERT r.result = 'ok' AND r.slots = 1 AND r.others = 2 AND r.seen > v, 'one that still runs';
	PERFORM test.clear();
	PERFORM test.slots(1, 1, 1);
	r := test.slots(1, 1, 3, version => v);
	ASSERT r.result = 'stale' AND r.slots = 1 AND r.seen = test.version(1), 'a call of long ago changes nothing';
	ASSERT (test.slots(1, 1, 3, version => 0)).result = 'stale';
	PERFORM test.clear();
END $$;

DO $$ -- one statement renews all leases of a node, and nobody else's
DECLARE
	b bigint := posthouse.account_id_for('b', 'platform');
	r record;
	n int := 0;
BEGIN
	PERFORM posthouse.put_account(b, 'b', 'platform', 'http://b', NULL, NULL, 5, NULL, NULL, NULL, NULL);
	PERFORM test.slots(1, 0, 2), test.slots(2, 0, 1);
	PERFORM posthouse.lease_slots(b, test.node(1), 0, test.life(), 1, 1, 4);
	UPDATE posthouse.account_leases SET expires_at = clock_timestamp() + interval '1 s';
	FOR r IN SELECT * FROM posthouse.heartbeat(test.node(1), test.life(), ARRAY[test.account(), b], '{2,1}') LOOP
		ASSERT r.life = test.life() AND NOT r.draining AND r.slots = CASE r.account_id WHEN b THEN 4 ELSE 2 END AND r.version > 0, r;
		n := n + 1;
	END LOOP;
	ASSERT n = 2;
	ASSERT (SELECT array_agg(l.running ORDER BY l.account_id) = '{2,1}' AND min(l.expires_at) > clock_timestamp() + interval '10 s'
		FROM posthouse.account_leases l WHERE l.node_id = test.node(1));
	ASSERT (SELECT l.expires_at < clock_timestamp() + interval '2 s' FROM posthouse.account_leases l WHERE l.node_id = test.node(2));
	PERFORM test.clear();
	SELECT * INTO r FROM posthouse.heartbeat(test.node(1), test.life(), '{}', '{}');
	ASSERT r.life = test.life() AND r.account_id IS NULL, 'a node without leases is heard all the same';
	ASSERT (SELECT n.heartbeat > clock_timestamp() - interval '5 s' FROM posthouse.nodes n WHERE n.node_id = test.node(1));
	ASSERT (SELECT count(*) FROM posthouse.heartbeat(test.node(9), test.life(), '{}', '{}')) = 0, 'nobody';
	ASSERT (test.slots(9, 0, 1)).result = 'unknown' AND test.held() = '';
	PERFORM posthouse.remove_account('b', 'test');
END $$;

DO $$ -- a new life of the server: what was granted is void for its holder, and counts for the others until it ends
DECLARE
	old bigint := test.life();
	r record;
BEGIN
	PERFORM test.slots(1, 1, 2), test.slots(2, 0, 1);
	PERFORM test.restart();
	UPDATE posthouse.nodes SET heartbeat = clock_timestamp() - interval '20 s'; -- the server was away for that long
	r := test.slots(1, 1, 2, life => old + 1);
	ASSERT r.result = 'life' AND r.server = old AND test.life() = old AND r.slots = 0, r;
	r := test.slots(1, 1, 2);
	ASSERT r.result = 'ok' AND r.slots = 1 AND r.seen > 0 AND r.retry_ms BETWEEN 1 AND 250, 'only what runs, in spite of its old row';
	ASSERT (SELECT h.account_id IS NULL FROM posthouse.heartbeat(test.node(2), 0, '{}', '{}') h), 'no renewal from before';
	PERFORM test.join(4);
	ASSERT (test.slots(4, 0, 1)).slots = 0, 'nodes have not told yet';
	PERFORM posthouse.heartbeat(test.node(n), test.life(), '{}', '{}') FROM generate_series(1, 2) n;
	ASSERT (test.slots(4, 0, 1)).slots = 0, 'node 3 has not';
	PERFORM posthouse.heartbeat(test.node(3), test.life(), '{}', '{}');
	ASSERT (test.slots(4, 0, 9)).slots = 1, 'its own is told, node 2''s row lasts on';
	PERFORM test.lapse(2);
	ASSERT (test.slots(4, 0, 9)).slots = 2 AND test.held() = '1:1 4:2', test.held();
	PERFORM test.clear();
	PERFORM posthouse.leave_node(test.node(4));
END $$;

DO $$ -- who does not come back is waited for no longer than its TTL, and not at all where it was silent long before
BEGIN
	PERFORM test.restart();
	ASSERT (test.slots(1, 0, 1, life => 0)).result = 'life';
	ASSERT (test.slots(1, 0, 1)).slots = 0;
	UPDATE posthouse.server_life SET began = clock_timestamp() - interval '15 s';
	ASSERT (test.slots(1, 0, 1)).slots = 1;
	PERFORM test.clear();
	PERFORM posthouse.heartbeat(test.node(n), test.life(), '{}', '{}') FROM generate_series(1, 3) n;
	UPDATE posthouse.nodes SET heartbeat = clock_timestamp() - interval '1 minute' WHERE node_id = test.node(3);
	PERFORM test.restart();
	ASSERT (test.slots(1, 0, 1, life => 0)).result = 'life';
	PERFORM posthouse.heartbeat(test.node(n), test.life(), '{}', '{}') FROM generate_series(1, 2) n;
	ASSERT (test.slots(1, 0, 1)).slots = 1, 'node 3 was gone when the life before ended';
	PERFORM test.clear();
	/* No node: nobody to wait for. */
	DELETE FROM posthouse.nodes;
	PERFORM test.restart();
	PERFORM test.join(n) FROM generate_series(1, 3) n;
	ASSERT (test.slots(1, 0, 3)).slots = 3;
	PERFORM test.clear();
END $$;

DO $$ -- limits that change; an account without one, or without itself, has no leases
DECLARE
	was bigint;
	r record;
BEGIN
	PERFORM test.slots(1, 3, 3);
	SELECT version INTO was FROM posthouse.topics WHERE topic = 'accounts';
	SELECT * INTO r FROM posthouse_admin.set_account_limit('a', 5, 'more seats');
	ASSERT r.account = 'a' AND r.new_limit = 5, r;
	ASSERT (SELECT version FROM posthouse.topics WHERE topic = 'accounts') = was + 1;
	ASSERT (test.slots(2, 0, 3)).slots = 2;
	PERFORM posthouse_admin.set_account_limit('a', 2);
	r := test.slots(1, 3, 3);
	ASSERT r.slots = 3 AND r.others = 2 AND r.max_streams = 2, 'its holder sees the excess';
	PERFORM posthouse_admin.set_account_limit('a', NULL, 'no limit');
	r := test.slots(1, 3, 3);
	ASSERT r.result = 'none' AND r.slots = 0 AND r.seen = 0 AND r.max_streams IS NULL AND test.held() = '2:2', r;
	ASSERT test.failure($q$SELECT posthouse_admin.set_account_limit('a', 0)$q$) = 'P0001';
	ASSERT test.failure($q$SELECT posthouse_admin.set_account_limit('nobody', 1)$q$) = 'P0001';
	PERFORM posthouse_admin.set_account_limit('a', 3);
	ASSERT (SELECT count(*) FROM posthouse_admin.audit WHERE verb = 'set_account_limit' AND object = 'a') = 4;
	PERFORM test.clear();
	ASSERT (SELECT l.result = 'none' FROM posthouse.lease_slots(-1, test.node(1), 0, test.life(), 0, 1, 1) l);
END $$;

DO $$ -- slots taken back: for a second only what runs
DECLARE
	v bigint := (test.slots(1, 1, 2)).seen;
	r record;
BEGIN
	PERFORM test.slots(2, 0, 1);
	SELECT * INTO r FROM posthouse_admin.release_leases('a', 'stuck');
	ASSERT r.account_name = 'a' AND r.released = 3 AND test.held() = '', r;
	r := test.slots(3, 0, 1);
	ASSERT r.slots = 0 AND r.retry_ms BETWEEN 1 AND 250, r;
	r := test.slots(1, 1, 2, version => v);
	ASSERT r.result = 'ok' AND r.slots = 1, r;
	UPDATE posthouse.accounts SET hold_until = clock_timestamp();
	ASSERT (test.slots(3, 0, 9)).slots = 2;
	ASSERT (SELECT released = 3 FROM posthouse_admin.release_leases('a'));
	ASSERT (SELECT released = 0 FROM posthouse_admin.release_leases('a'));
	ASSERT test.failure($q$SELECT posthouse_admin.release_leases('nobody')$q$) = 'P0001';
	UPDATE posthouse.accounts SET hold_until = NULL;
END $$;

DO $$ -- as operators see it
DECLARE
	r record;
BEGIN
	PERFORM test.slots(1, 1, 2), test.slots(2, 0, 2);
	SELECT * INTO r FROM posthouse_admin.leases WHERE node = 'n2';
	ASSERT r.account = 'a' AND r.slots = 1 AND r.running = 0 AND r.missing = 1 AND r.max_streams = 3
		AND r.remaining BETWEEN '10 s' AND '15 s' AND r.version = test.version(2) AND r.node_id = test.node(2), r;
	PERFORM test.lapse(2);
	ASSERT (SELECT remaining IS NULL FROM posthouse_admin.leases WHERE node = 'n2');
	ASSERT (SELECT slots = 2 AND running = 1 FROM posthouse_admin.nodes WHERE name = 'n1');
	ASSERT (SELECT slots = 0 AND running = 0 FROM posthouse_admin.nodes WHERE name = 'n2'), 'lapsed';
	ASSERT (SELECT count(*) FROM posthouse_admin.leases) = 2;
	ASSERT posthouse.sweep_nodes() = 0 AND test.held() = '1:2', 'a lapsed row is swept';
	PERFORM test.clear();
END $$;

DO $$ -- grants do not wait for the disk, and say so until the commit
BEGIN
	PERFORM set_config('synchronous_commit', 'on', true);
	PERFORM test.slots(1, 0, 1);
	ASSERT current_setting('synchronous_commit') = 'off';
	PERFORM test.clear();
END $$;

SET ROLE posthouse_node;
DO $$ -- nodes change leases through these functions only
DECLARE
	forbidden text;
BEGIN
	FOREACH forbidden IN ARRAY ARRAY['SELECT FROM posthouse.account_leases', 'DELETE FROM posthouse.account_leases',
		'UPDATE posthouse.nodes SET draining = true', 'SELECT FROM posthouse.server_life', 'SELECT FROM posthouse.jobs',
		'SELECT posthouse.drop_node(test.node(1))', 'SELECT posthouse.tell_starved(1)', 'SELECT posthouse.present_life()']
	LOOP
		ASSERT test.failure(forbidden) = '42501', forbidden;
	END LOOP;
	ASSERT test.failure('SELECT posthouse.ask_slots(1, gen_random_uuid())') = '';
	ASSERT test.failure('SELECT FROM posthouse_admin.leases, posthouse_admin.nodes') = '';
END $$;
RESET ROLE;
