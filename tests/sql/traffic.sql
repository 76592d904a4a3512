/* SPDX-License-Identifier: Apache-2.0 */
/* Minutes as nodes report them, and the picture that is made of them. */

DO $$ -- times are found between the ends of their step
DECLARE
	v float8;
BEGIN
	ASSERT posthouse.step_ms(1) = 1 AND abs(posthouse.step_ms(21) - 1024) < 1e-9;
	ASSERT posthouse.share_ms('{0,0,0}', 0.5) IS NULL AND posthouse.share_ms('{}', 0.5) IS NULL AND posthouse.share_ms(NULL, 0.5) IS NULL;
	v := posthouse.share_ms('{10,0,0}', 0.5);
	ASSERT v = 0.5, v::text;
	v := posthouse.share_ms('{0,0,10}', 0.5);
	ASSERT v > posthouse.step_ms(2) AND v < posthouse.step_ms(3), v::text;
	v := posthouse.share_ms('{90,0,0,0,0,10}', 0.99); -- nine tenths into the last step
	ASSERT v > posthouse.step_ms(5) AND v < posthouse.step_ms(6), v::text;
	ASSERT posthouse.share_ms('{90,0,0,0,0,10}', 0.5) < 1;
END $$;

SET ROLE posthouse_node;
DO $$ -- a minute grows; a call that comes late takes nothing back
DECLARE
	n1 uuid := gen_random_uuid();
	n2 uuid := gen_random_uuid();
	v_minute bigint := extract(epoch FROM date_trunc('minute', now()));
BEGIN
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 3, '{1,0,0,1,0}', '{0,2}', '{0,0,2}');
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 1, '{2,0,1,1,1}', '{0,4}', '{0,0,4}');
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 3, '{1,0,0,1,0}', '{0,2}', '{0,0,2}');
	PERFORM posthouse.put_traffic(n2, 'n2', v_minute, 2, '{5,0,0,0,0}', '{5,0}', '{5,0,0}');
	PERFORM posthouse.put_traffic(n2, 'n2', v_minute - 86400 - 7200, 0, '{5,0,0,0,0}', '{5,0}', '{5,0,0}');
	PERFORM posthouse.put_traffic(n2, 'n2', v_minute, 2, '{5,0,0,0,0}', '{5,0}', '{5,0,0}');
END $$;
RESET ROLE;

DO $$
DECLARE
	r record;
	s jsonb := posthouse.status()::jsonb;
BEGIN
	SELECT count(*) AS rows, sum(t.turns) AS turns, sum(t.running) AS running, sum(t.failed) AS failed INTO r
	FROM posthouse_admin.traffic t WHERE t.node IN ('n1', 'n2');
	ASSERT r.rows = 2 AND r.turns = 9 AND r.running = 3 AND r.failed = 1, r::text; -- the day before is gone
	SELECT * INTO r FROM posthouse.recent_traffic() t WHERE t.turns > 0;
	ASSERT r.turns = 9 AND r.forwarded = 1 AND r.replayed = 1 AND r.running = 3 AND r.failed = 1, r::text;
	ASSERT r.first_event_p50_ms BETWEEN 0.8 AND 1 AND r.p99_ms > posthouse.step_ms(2), r::text;
	ASSERT (SELECT count(*) FROM posthouse.recent_traffic()) = 60;
	ASSERT jsonb_array_length(s->'minutes') = 60 AND s->'errors' IS NOT NULL AND s->'nodes' IS NOT NULL;
END $$;

DO $$ -- turns that run: as long as their node says so, and is there
DECLARE
	n1 uuid := gen_random_uuid();
	n2 uuid := gen_random_uuid();
	v_minute bigint := extract(epoch FROM date_trunc('minute', now()));
	v_key bigint := posthouse.create_key('runs', '\x01', 'ph_x', NULL, 0, NULL, NULL);
	v_turns jsonb := format('[{"request_id": "r1", "model": "m", "state": "RELAY", "first_event_ms": 20, "key_id": %s, "account_id": 0,
		"attempts": 2, "shown": true, "age_ms": 90000}, {"request_id": "r2", "model": "", "state": "AUTH", "key_id": 0, "account_id": 0,
		"attempts": 0, "shown": false, "age_ms": 2000}]', v_key);
	r record;
BEGIN
	PERFORM posthouse.register_node(n1, 'n1', '1', 15000);
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 3, '{0,0,0,0,0}', '{}', '{}', v_turns);
	PERFORM posthouse.put_traffic(n2, 'n2', v_minute, 3, '{0,0,0,0,0}', '{}', '{}', v_turns); -- nobody knows it
	ASSERT (SELECT array_agg(t.request_id) = '{r1,r2}' AND bool_and(t.node = 'n1') FROM posthouse_admin.running_turns t);
	SELECT * INTO r FROM posthouse_admin.running_turns t WHERE t.request_id = 'r1';
	ASSERT r.key_name = 'runs' AND r.model = 'm' AND r.state = 'relay' AND r.first_event_ms = 20 AND r.shown AND r.attempts = 2
		AND r.account IS NULL AND r.duration_ms BETWEEN 90000 AND 95000
		AND clock_timestamp() - r.started BETWEEN '90 s' AND '95 s', r::text;
	ASSERT posthouse.status()::jsonb #>> '{running,1,request_id}' = 'r2';
	UPDATE posthouse.running_turns SET written = written - interval '16 seconds';
	ASSERT (SELECT count(*) = 0 FROM posthouse_admin.running_turns), 'what was said long ago';
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 3, '{0,0,0,0,0}', '{}', '{}', v_turns);
	ASSERT (SELECT count(*) = 2 FROM posthouse_admin.running_turns);
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 0, '{1,0,0,0,0}', '{}', '{}', NULL);
	ASSERT (SELECT count(*) = 0 FROM posthouse.running_turns), 'they ended';
	PERFORM posthouse.put_traffic(n1, 'n1', v_minute, 3, '{1,0,0,0,0}', '{}', '{}', v_turns);
	PERFORM posthouse.leave_node(n1);
	ASSERT (SELECT count(*) = 0 FROM posthouse.running_turns), 'their node left';
END $$;

SET ROLE posthouse_viewer;
DO $$ -- who may only look sees the view, and not what nodes call
BEGIN
	ASSERT (SELECT count(*) FROM posthouse_admin.traffic t WHERE t.p50_ms > 0) > 0;
	BEGIN
		PERFORM posthouse.status();
		RAISE EXCEPTION 'a viewer called it';
	EXCEPTION WHEN insufficient_privilege THEN NULL;
	END;
END $$;
RESET ROLE;
