/* SPDX-License-Identifier: Apache-2.0 */
/* Turns in the background: begun, found, ended, purged; and compact calls, which are no responses. */
CREATE FUNCTION test.begin(scope bigint, id text, turn uuid DEFAULT gen_random_uuid()) RETURNS void
LANGUAGE sql AS $$
	SELECT posthouse.begin_background(scope, id, turn, 7, true, 0, 'gpt', NULL, NULL, NULL, NULL, 0, 0, false, false, 0,
		'in', NULL)
$$;
SET ROLE posthouse_node;

DO $$ -- its scope's alone, from its beginning
DECLARE
	b record;
	turn uuid := gen_random_uuid();
BEGIN
	PERFORM test.begin(8, test.id(1), turn);
	PERFORM test.begin(8, test.id(1));
	ASSERT (SELECT count(*) FROM posthouse.background_turns) = 1, 'twice is once';
	ASSERT test.status(8, test.id(1)) = 'owned';
	ASSERT test.status(9, test.id(1)) = 'foreign';
	SELECT * INTO b FROM posthouse.find_background(8, test.id(1));
	ASSERT b.account_id = 7 AND b.turn = turn AND b.keep AND NOT b.ended AND convert_from(b.input, 'UTF8') = 'in';
	ASSERT NOT EXISTS (SELECT FROM posthouse.find_background(9, test.id(1)));
	ASSERT NOT EXISTS (SELECT FROM posthouse.find_background(8, test.id(2)));
END $$;

DO $$ -- when its snapshot is there, nothing of it is kept twice; no other scope can end it
DECLARE
	b record;
BEGIN
	PERFORM posthouse.end_background(9, test.id(1));
	SELECT * INTO b FROM posthouse.find_background(8, test.id(1));
	ASSERT NOT b.ended;
	PERFORM test.turn(8, test.id(1), turn => b.turn, upstream => true, flags => 1);
	PERFORM test.turn(8, test.id(1), turn => b.turn, upstream => true, flags => 1);
	PERFORM posthouse.end_background(8, test.id(1));
	PERFORM posthouse.end_background(8, test.id(1));
	SELECT * INTO b FROM posthouse.find_background(8, test.id(1));
	ASSERT b.ended AND b.input IS NULL AND b.account_id = 7;
	ASSERT test.status(8, test.id(1)) = 'ok';
END $$;

DO $$ -- deleted while it runs
BEGIN
	PERFORM test.begin(8, test.id(3));
	ASSERT (SELECT h.account_id FROM posthouse.hide_response(8, test.id(3)) h) = 7;
	ASSERT NOT EXISTS (SELECT FROM posthouse.find_background(8, test.id(3)));
	ASSERT test.status(8, test.id(3)) = 'hidden';
END $$;

DO $$ -- the second wall
BEGIN
	PERFORM set_config('posthouse.scope', '9', true);
	ASSERT (SELECT count(*) FROM posthouse.background_turns) = 0;
	ASSERT test.failure('UPDATE posthouse.background_turns SET scope = 9') = '42501';
	ASSERT test.failure('DELETE FROM posthouse.background_turns') = '42501';
	ASSERT test.failure('SELECT posthouse.purge_background()') = '42501';
END $$;
RESET ROLE;

DO $$ -- what upstream has forgotten
BEGIN
	PERFORM test.begin(8, test.id(4));
	UPDATE posthouse.background_turns SET day = day - 32 WHERE id = test.id(4);
	PERFORM posthouse.maintain();
	ASSERT NOT EXISTS (SELECT FROM posthouse.find_background(8, test.id(4)));
	ASSERT EXISTS (SELECT FROM posthouse.find_background(8, test.id(1)));
END $$;

DO $$ -- what a compact call stored cannot be hidden: it is what an item stands for
BEGIN
	PERFORM test.turn(8, test.id(5), flags => 128, items => '{cmp_5}');
	ASSERT NOT EXISTS (SELECT FROM posthouse.hide_response(8, test.id(5)));
	ASSERT (SELECT i.response_id FROM posthouse.read_items(8, '{cmp_5}', '{}') i) = test.id(5);
	ASSERT test.status(8, test.id(5)) = 'ok';
END $$;
