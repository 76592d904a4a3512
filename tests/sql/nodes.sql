/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes come, are seen, leave, are forgotten; periodic work is one node's at a time. */
SET SESSION AUTHORIZATION test_staff;
CREATE FUNCTION pg_temp.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;
CREATE FUNCTION pg_temp.states() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(n.name || ' ' || n.state, ', ' ORDER BY n.name, n.started) FROM posthouse_admin.nodes n $$;

DO $$
DECLARE
	life bigint := posthouse.register_node(pg_temp.node(1), 'a', '0.1.0', 9000);
	r record;
BEGIN
	ASSERT posthouse.register_node(pg_temp.node(1), 'a', '0.1.0', 9000) = life, 'said twice';
	PERFORM posthouse.register_node(pg_temp.node(2), 'b/1', '0.1.0', 9000);
	PERFORM posthouse.register_node(pg_temp.node(3), 'b/2', '0.2.0', 9000);
	PERFORM posthouse.register_node(pg_temp.node(4), 'b', '0.2.0', 9000);
	PERFORM posthouse.register_node(pg_temp.node(5), 'b/x', '0.2.0', 9000);
	ASSERT pg_temp.states() = 'a alive, b alive, b/1 alive, b/2 alive, b/x alive', pg_temp.states();
	SELECT * INTO r FROM posthouse_admin.nodes WHERE name = 'b/2';
	ASSERT r.version = '0.2.0' AND r.started > now() - interval '1 minute' AND r.silent_for < '5 s' AND NOT r.draining
		AND r.slots = 0 AND r.running = 0 AND r.lease_ttl = '9 s' AND r.node_id = pg_temp.node(3) AND r.report IS NULL, r;
END $$;

DO $$ -- draining is the operator's word, and holds for all workers of a node
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM posthouse_admin.drain_node('b', 'new kernel');
	ASSERT r.node = 'b' AND r.processes = 3, r;
	ASSERT pg_temp.states() = 'a alive, b draining, b/1 draining, b/2 draining, b/x alive', pg_temp.states();
	ASSERT (SELECT bool_and(h.draining) FROM posthouse.heartbeat(pg_temp.node(2), 0, '{}', '{}') h);
	PERFORM posthouse_admin.drain_node('b');
	ASSERT (SELECT processes = 1 FROM posthouse_admin.drain_node('b/x', 'one alone'));
	ASSERT test.failure($q$SELECT posthouse_admin.drain_node('nobody')$q$) = 'P0001';
	ASSERT (SELECT count(*) FROM posthouse_admin.audit WHERE verb = 'drain_node' AND object = 'b' AND reason = 'new kernel') = 1;
END $$;

DO $$ -- a node that is forgotten hears of it; the same name may come again
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM posthouse_admin.forget_node('b', 'burnt down');
	ASSERT r.node = 'b' AND r.processes = 3, r;
	ASSERT (SELECT processes = 0 FROM posthouse_admin.forget_node('b'));
	ASSERT (SELECT count(*) FROM posthouse.heartbeat(pg_temp.node(2), 0, '{}', '{}')) = 0;
	PERFORM posthouse.register_node(pg_temp.node(6), 'b', '0.2.0', 9000);
	PERFORM posthouse.leave_node(pg_temp.node(5));
	PERFORM posthouse.leave_node(pg_temp.node(5));
	ASSERT pg_temp.states() = 'a alive, b alive', pg_temp.states();
END $$;
RESET SESSION AUTHORIZATION;

DO $$ -- silent after a TTL, swept after an hour
BEGIN
	UPDATE posthouse.nodes SET heartbeat = now() - interval '59 minutes' WHERE name = 'b';
	ASSERT pg_temp.states() = 'a alive, b silent', pg_temp.states();
	ASSERT posthouse.sweep_nodes() = 0;
	UPDATE posthouse.nodes SET heartbeat = now() - interval '61 minutes' WHERE name = 'b';
	ASSERT posthouse.sweep_nodes() = 1 AND pg_temp.states() = 'a alive', pg_temp.states();
END $$;

/* The time of a job's row, as if it had passed. */
CREATE FUNCTION pg_temp.later(by interval) RETURNS void LANGUAGE sql AS $$
	UPDATE posthouse.jobs SET due = due - by, held_until = held_until - by $$;

DO $$ -- due at once, then one at a time, then not before it is due again
DECLARE
	r record;
	first bigint;
BEGIN
	SELECT * INTO r FROM posthouse.claim_job('roll-up', pg_temp.node(1), 20000);
	ASSERT r.epoch = 1 AND r.wait_ms IS NULL, r;
	first := r.epoch;
	SELECT * INTO r FROM posthouse.claim_job('roll-up', pg_temp.node(2), 20000);
	ASSERT r.epoch IS NULL AND r.wait_ms BETWEEN 10000 AND 20000, r;
	SELECT * INTO r FROM posthouse.claim_job('roll-up', pg_temp.node(1), 20000);
	ASSERT r.epoch IS NULL, 'not to whoever has it either';
	ASSERT NOT posthouse.finish_job('roll-up', pg_temp.node(2), first, 60000), 'another''s';
	ASSERT posthouse.finish_job('roll-up', pg_temp.node(1), first, 60000);
	ASSERT NOT posthouse.finish_job('roll-up', pg_temp.node(1), first, 60000), 'it was finished';
	SELECT * INTO r FROM posthouse.claim_job('roll-up', pg_temp.node(2), 20000);
	ASSERT r.epoch IS NULL AND r.wait_ms BETWEEN 50000 AND 60000, r;
	PERFORM pg_temp.later('1 minute');
	SELECT * INTO r FROM posthouse.claim_job('roll-up', pg_temp.node(2), 20000);
	ASSERT r.epoch = first + 1, r;
END $$;

DO $$ -- a node that died, or was too slow, loses it: to the next one, and with it every later word
BEGIN
	ASSERT (SELECT epoch IS NULL FROM posthouse.claim_job('roll-up', pg_temp.node(1), 20000));
	PERFORM pg_temp.later('20 s');
	ASSERT (SELECT epoch = 3 FROM posthouse.claim_job('roll-up', pg_temp.node(1), 20000));
	ASSERT NOT posthouse.finish_job('roll-up', pg_temp.node(2), 2, 1000);
	PERFORM posthouse.leave_node(pg_temp.node(1));
	ASSERT (SELECT epoch = 4 FROM posthouse.claim_job('roll-up', pg_temp.node(2), 20000)), 'a node that left has nothing';
	ASSERT (SELECT epoch = 1 FROM posthouse.claim_job('another', pg_temp.node(2), 20000));
	ASSERT posthouse.finish_job('roll-up', pg_temp.node(2), 4, NULL);
	ASSERT (SELECT array_agg(name) = '{another}' FROM posthouse.jobs), 'done for good';
END $$;
