/* SPDX-License-Identifier: Apache-2.0 */
/* read_items(): who made an item, and the output that holds it. */
SET ROLE posthouse_node;

DO $$ -- makers without bodies; places count from 0, those without an id are skipped, what nobody made is not there
DECLARE
	found text;
BEGIN
	PERFORM test.turn(1, test.id(20), items => '{rs_1,"",msg_1}', output => 'abc', upstream => true, flags => 1);
	SELECT string_agg(format('%s:%s:%s:%s:%s', i.item_id, i.account_id, i.flags, i.position, i.response_id = test.id(20)), ' ')
	INTO found FROM posthouse.read_items(1, '{msg_1,rs_1,rs_1,"",none}', '{}') i WHERE NOT i.body AND i.output IS NULL;
	ASSERT found = 'rs_1:7:1:0:t msg_1:7:1:2:t', found;
	ASSERT (SELECT count(*) FROM posthouse.read_items(2, '{msg_1,rs_1}', '{msg_1,rs_1}')) = 0, 'of another scope';
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{}', '{msg_1}')) = 0, 'only what is asked for';
END $$;

DO $$ -- an output comes once, with the first of its items that has a body
DECLARE
	found text;
BEGIN
	PERFORM test.turn(1, test.id(21), items => '{a_0,a_1,a_2,a_3}', output => 'one');
	PERFORM test.turn(1, test.id(22), items => '{b_0,b_1}', output => 'two');
	SELECT string_agg(format('%s:%s:%s', i.item_id, i.body, convert_from(i.output, 'UTF8')), ' ') INTO found
	FROM posthouse.read_items(1, '{b_1,a_3,b_0,a_0,a_2,a_1}', '{a_3,a_1,b_1}') i;
	ASSERT found IN ('a_0:f: a_1:t:one a_2:f: a_3:t: b_0:f: b_1:t:two', 'b_0:f: b_1:t:two a_0:f: a_1:t:one a_2:f: a_3:t:'),
		found;
END $$;

DO $$ -- what only has an owner row: the account that keeps it, if it is one
DECLARE
	r record;
BEGIN
	PERFORM test.turn(1, test.id(5), keep => false, upstream => true, items => '{fc_5}');
	SELECT * INTO r FROM posthouse.read_items(1, '{fc_5}', '{fc_5}');
	ASSERT r.account_id = 7 AND r.flags = 1 AND r.body AND r.response_id IS NULL AND r.position IS NULL AND r.output IS NULL, r;
	INSERT INTO posthouse.resource_owners (scope, account_id, day, id) VALUES (1, 0, test.today(), 'kept_nowhere');
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{kept_nowhere}', '{}')) = 0;
	INSERT INTO posthouse.resource_owners (scope, account_id, day, id) VALUES (1, 7, test.today() - 1, 'fc_5');
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{fc_5}', '{}')) = 1, 'kept there on two days';
	INSERT INTO posthouse.resource_owners (scope, account_id, day, id) VALUES (1, 8, test.today() - 2, 'fc_5');
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{fc_5}', '{}')) = 0, 'of two accounts';
END $$;

DO $$ -- an id that two responses used is nobody's; neither is one of a response that is hidden or ambiguous
BEGIN
	PERFORM test.turn(1, test.id(30), items => '{twice,once}');
	PERFORM test.turn(1, test.id(31), items => '{twice}');
	ASSERT (SELECT string_agg(i.item_id, ' ') FROM posthouse.read_items(1, '{twice,once}', '{twice}') i) = 'once';
	PERFORM test.turn(1, test.id(32), items => '{twice}', keep => false, upstream => true);
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{twice}', '{}')) = 0, 'nor its owner''s';
	PERFORM test.turn(1, test.id(33), items => '{twice_within,twice_within}');
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{twice_within}', '{}')) = 1, 'of one response all the same';
	PERFORM posthouse.hide_response(1, test.id(30));
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{once}', '{once}')) = 0;
	PERFORM test.turn(1, test.id(34), items => '{muddled}');
	ASSERT (test.turn(1, test.id(34), items => '{other}')).result = 'conflict';
	ASSERT (SELECT count(*) FROM posthouse.read_items(1, '{muddled,other}', '{muddled}')) = 0;
END $$;
RESET ROLE;

DO $$ -- today's and yesterday's before older ones
DECLARE
	found text;
BEGIN
	PERFORM test.turn(1, test.id(40), items => '{old,moved}', output => 'new');
	PERFORM test.turn(1, test.id(41), items => '{moved_too}', output => 'old');
	UPDATE posthouse.snapshots SET day = test.today() - 9 WHERE scope = 1 AND response_id = test.id(41);
	UPDATE posthouse.snapshot_items SET day = test.today() - 9 WHERE scope = 1 AND response_id = test.id(41);
	INSERT INTO posthouse.snapshot_items VALUES (1, test.today() - 9, 0, 0, 'moved', test.id(41));
	SELECT string_agg(format('%s:%s', i.item_id, convert_from(i.output, 'UTF8')), ' ' ORDER BY i.item_id) INTO found
	FROM posthouse.read_items(1, '{moved,moved_too}', '{moved,moved_too}') i;
	ASSERT found = 'moved:new moved_too:old', found;
END $$;

/*
 * Pages, not microseconds: a client that sends its whole history asks for hundreds of ids with each turn, also where
 * nothing is kept of it.
 */
CREATE FUNCTION test.ids(first int, last int) RETURNS text[] LANGUAGE sql AS $$
	SELECT array_agg(t || n ORDER BY n, t) FROM unnest(ARRAY['rs_', 'msg_', 'fc_']) t, generate_series(first, last) n
$$;
CREATE FUNCTION test.cost(ids text[], OUT n int, OUT pages bigint) LANGUAGE plpgsql AS $$
DECLARE
	plan json;
BEGIN
	EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM posthouse.read_items(6, %L, ''{}'')', ids) INTO plan;
	n := (plan -> 0 -> 'Plan' ->> 'Actual Rows')::float;
	pages := (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
DO $$
DECLARE
	r record;
BEGIN
	FOR i IN 1 .. 100 LOOP
		PERFORM test.turn(6, test.id(i), items => ARRAY['rs_' || i, 'msg_' || i, 'fc_' || i], output => repeat('x', 5000));
	END LOOP;
	PERFORM test.turn(6, test.id(101), items => '{msg_2000}', keep => false, upstream => true);
	PERFORM posthouse.read_items(6, test.ids(1, 1), '{}');
	SELECT * INTO r FROM test.cost(test.ids(1, 100));
	ASSERT r.n = 300 AND r.pages < 6000, r;
	SELECT * INTO r FROM test.cost(test.ids(1001, 1100));
	ASSERT r.n = 0 AND r.pages < 6000, r;
	SELECT * INTO r FROM test.cost(test.ids(1, 2) || test.ids(1001, 1020));
	ASSERT r.n = 6, 'what is recent is found in any case';
	/* One of the last few is known, and older ones are found wherever they are. */
	UPDATE posthouse.snapshots SET day = test.today() - 9 WHERE scope = 6 AND response_id <> test.id(100);
	UPDATE posthouse.snapshot_items SET day = test.today() - 9 WHERE scope = 6 AND response_id <> test.id(100);
	SELECT * INTO r FROM test.cost(test.ids(1, 100) || '{unknown}');
	ASSERT r.n = 300, r;
	SELECT * INTO r FROM test.cost(test.ids(1, 99));
	ASSERT r.n = 297, 'a conversation that rested for days';
	SELECT * INTO r FROM test.cost(test.ids(1, 99) || test.ids(1001, 1002));
	ASSERT r.n = 0, 'of which the end is not kept';
	SELECT * INTO r FROM test.cost(test.ids(1, 99) || '{msg_2000}');
	ASSERT r.n = 298, 'or is kept upstream only';
	ASSERT (SELECT count(*) FROM posthouse.read_items(6, test.ids(1, 99) || test.ids(1001, 1002), '{rs_1,fc_2}')) = 2,
		'references are looked for everywhere';
END $$;
