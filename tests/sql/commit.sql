/* SPDX-License-Identifier: Apache-2.0 */
/* commit_turn(): what is written, what is written once, and how long it is promised. */
SET ROLE posthouse_node;

DO $$ -- the same turn, then another one under its id
DECLARE
	once uuid := gen_random_uuid();
	r record;
	n bigint;
BEGIN
	r := test.turn(1, test.id(1), turn => once);
	ASSERT r.result = 'ok' AND r.chain_until = test.today() + 60, r;
	r := test.turn(1, test.id(1), turn => once);
	ASSERT r.result = 'duplicate' AND r.chain_until = test.today() + 60, r;
	ASSERT test.status(1, test.id(1)) = 'ok';
	r := test.turn(1, test.id(1), input => 'other');
	ASSERT r.result = 'conflict', r;
	ASSERT test.status(1, test.id(1)) = 'ambiguous';
	SELECT count(*) INTO n FROM posthouse.read_response(1, test.id(1));
	ASSERT n = 0, 'an ambiguous id is no resource';
	SELECT count(*) INTO n FROM posthouse.request_log l WHERE l.turn = once;
	ASSERT n = 1, 'the log has one row per turn';
END $$;

DO $$ -- the conflict is told again when its turn is sent again, and logged once
DECLARE
	second uuid := gen_random_uuid();
	n bigint;
BEGIN
	PERFORM test.turn(1, test.id(2));
	FOR i IN 1 .. 2 LOOP
		ASSERT (test.turn(1, test.id(2), turn => second)).result = 'conflict';
	END LOOP;
	SELECT count(*) INTO n FROM posthouse.request_log l WHERE l.turn = second;
	ASSERT n = 1, n;
END $$;

DO $$ -- an id is one thing per scope: in the other class too, but another scope has its own
BEGIN
	PERFORM test.turn(1, test.id(3), class => 1);
	ASSERT (test.turn(1, test.id(3), class => 0)).result = 'conflict';
	ASSERT (test.turn(2, test.id(3), class => 0)).result = 'ok';
	ASSERT test.status(2, test.id(3)) = 'ok';
END $$;

RESET ROLE;
DO $$ -- yesterday's id; and a short one of long ago
DECLARE
	midnight uuid := gen_random_uuid();
BEGIN
	INSERT INTO posthouse.snapshots (scope, created, day, chain_until, depth, class, flags, codec, turn, response_id,
		turn_status)
	VALUES (1, now(), test.today() - 1, test.today() + 59, 1, 0, 0, 0, midnight, test.id(4), 'completed'),
		(1, now(), test.today() - 20, test.today() + 40, 1, 0, 0, 0, gen_random_uuid(), 'resp_12', 'completed');
	ASSERT (test.turn(1, test.id(4), turn => midnight)).result = 'duplicate', 'a retry after midnight';
	ASSERT (test.turn(1, test.id(4))).result = 'conflict';
	ASSERT (test.turn(1, 'resp_12')).result = 'conflict', 'short ids are looked for everywhere';
	ASSERT test.status(1, 'resp_12') = 'ambiguous';
END $$;
SET ROLE posthouse_node;

DO $$ -- without a snapshot
DECLARE
	once uuid := gen_random_uuid();
	n bigint;
BEGIN
	ASSERT (test.turn(1, NULL, turn => once)).result = 'ok';
	ASSERT (test.turn(1, NULL, turn => once)).result = 'duplicate';
	SELECT count(*) INTO n FROM posthouse.request_log l WHERE l.turn = once;
	ASSERT n = 1, n;
	once := gen_random_uuid();
	ASSERT (test.turn(1, test.id(5), keep => false, upstream => true, items => '{fc_5}', turn => once)).result = 'ok';
	ASSERT (test.turn(1, test.id(5), keep => false, upstream => true, items => '{fc_5}', turn => once)).result = 'duplicate';
	ASSERT test.status(1, test.id(5)) = 'owned';
	ASSERT (SELECT i.account_id = 7 AND i.flags = 1 AND i.output IS NULL FROM posthouse.find_items(1, '{fc_5}') i);
	PERFORM test.turn(1, test.id(6), keep => false);
	ASSERT test.status(1, test.id(6)) = 'none', 'nobody keeps it';
END $$;

DO $$ -- how long: the shorter of the parent's promise and its own
BEGIN
	ASSERT (test.turn(1, test.id(10), class => 1)).chain_until = test.today() + 2;
	ASSERT (test.turn(1, test.id(11), parent => test.id(10), parent_day => test.today(), parent_class => 1,
		parent_until => test.today() + 2)).chain_until = test.today() + 2;
	ASSERT (test.turn(1, test.id(12), parent => test.id(10), parent_day => test.today(), parent_class => 1,
		parent_until => test.today() + 200)).chain_until = test.today() + 60;
	ASSERT (test.turn(1, test.id(13), parent => test.id(10), parent_day => test.today(), parent_class => 1,
		parent_until => test.today() - 5)).result = 'ok', 'a promise that has passed is no reason to lose the turn';
END $$;

DO $$ -- items: places count from 0, those without an id are skipped, the rest is found
DECLARE
	found text;
BEGIN
	PERFORM test.turn(1, test.id(20), items => '{rs_1,"",msg_1}', output => 'abc');
	SELECT string_agg(i.item_id || i.position || convert_from(i.output, 'UTF8'), ' ' ORDER BY i.position) INTO found
	FROM posthouse.find_items(1, '{msg_1,rs_1,rs_1,"",none}') i;
	ASSERT found = 'rs_10abc msg_12abc', found;
	ASSERT (SELECT count(*) FROM posthouse.find_items(2, '{msg_1,rs_1}')) = 0, 'of another scope';
	PERFORM posthouse.hide_response(1, test.id(20));
	ASSERT (SELECT count(*) FROM posthouse.find_items(1, '{msg_1,rs_1}')) = 0, 'of a deleted response';
END $$;

DO $$ -- bytes are bytes
DECLARE
	r record;
BEGIN
	PERFORM posthouse.commit_turn(gen_random_uuid(), 'n', 1, 'r', '/', 'm', NULL, 'none', 'completed', 200, NULL, 1, 0, 0,
		false, 1, 1, 1, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, test.id(30), true, true, 0, NULL, NULL, NULL, NULL, 36, 'incomplete', 1, 2,
		'\x0001ff', '', '\x07', '\x00', '{}');
	SELECT * INTO r FROM posthouse.resolve(1, test.id(30), '{}', 100, 10);
	ASSERT r.status = 'ok' AND r.input = '\x0001ff' AND r.output = '' AND r.runs = '\x07' AND r.codec = 2
		AND r.flags = 36 AND r.account_id IS NULL, r;
	SELECT * INTO r FROM posthouse.read_response(1, test.id(30));
	ASSERT r.envelope = '\x00' AND r.turn_status = 'incomplete', r;
END $$;
RESET ROLE;

DO $$ -- warming leaves nothing
DECLARE
	before bigint := (SELECT count(*) FROM posthouse.snapshots);
BEGIN
	PERFORM posthouse.warm();
	ASSERT (SELECT count(*) FROM posthouse.snapshots) = before;
	ASSERT (SELECT count(*) FROM posthouse.request_log WHERE scope = 0) = 0;
END $$;
