/* SPDX-License-Identifier: Apache-2.0 */
/* own_ids(), find_owned(), list_owned(), disown_ids(): what upstreams keep for a key besides responses. */
CREATE FUNCTION test.page(scope bigint, kind text, rising bool, "limit" int, after text DEFAULT NULL,
	before text DEFAULT NULL, accounts bigint[] DEFAULT '{7,8}') RETURNS text
LANGUAGE sql AS $$
	SELECT string_agg(coalesce(l.id, 'NULL'), ' ') FROM posthouse.list_owned(scope, kind, accounts, after, before, rising,
		"limit") l
$$;

SET ROLE posthouse_node;

DO $$ -- remembered once, for its scope alone; the first word stands
DECLARE
	found text;
BEGIN
	PERFORM posthouse.own_ids(1, 7, '{files,batches}', '{f_1,b_1}');
	PERFORM posthouse.own_ids(1, 8, '{files}', '{f_1}');
	PERFORM posthouse.own_ids(2, 8, '{files}', '{f_1}');
	SELECT string_agg(format('%s:%s', f.id, f.account_id), ' ') INTO found FROM posthouse.find_owned(1, '{f_1,b_1,none}') f;
	ASSERT found = ':7 f_1:7 b_1:7' OR found = ':7 b_1:7 f_1:7', found;
	SELECT string_agg(format('%s:%s', f.id, f.account_id), ' ') INTO found FROM posthouse.find_owned(2, '{f_1,b_1}') f;
	ASSERT found = ':8 f_1:8', found;
	ASSERT (SELECT count(*) FROM posthouse.find_owned(3, '{f_1}')) = 1, 'nothing, and no home';
	ASSERT (SELECT f.account_id IS NULL FROM posthouse.find_owned(3, '{f_1}') f);
END $$;

DO $$ -- the newest says where the scope's next one goes
BEGIN
	PERFORM posthouse.own_ids(4, 7, '{files}', '{a}');
	PERFORM posthouse.own_ids(4, 8, '{batches}', '{b}');
	ASSERT (SELECT f.account_id FROM posthouse.find_owned(4, '{}') f) = 8;
	PERFORM posthouse.own_ids(4, 7, '{files}', '{c}');
	ASSERT (SELECT f.account_id FROM posthouse.find_owned(4, '{}') f) = 7;
END $$;

DO $$ -- owner rows of responses are none of these
BEGIN
	PERFORM test.turn(5, test.id(50), keep => false, upstream => true, items => '{fc_50}');
	ASSERT (SELECT count(*) FROM posthouse.find_owned(5, ARRAY[test.id(50), 'fc_50'])) = 1;
	ASSERT (SELECT f.account_id IS NULL FROM posthouse.find_owned(5, '{}') f);
	PERFORM posthouse.own_ids(5, 7, '{files}', '{file-x}');
	PERFORM posthouse.hide_response(5, 'file-x');
	ASSERT (SELECT count(*) FROM posthouse.find_owned(5, '{file-x}')) = 2, 'it is no response';
END $$;

DO $$ -- pages in both orders, behind and before a cursor, at the accounts that count
DECLARE
	all_ids text[] := '{v_1,v_2,v_3,v_4,v_5}';
BEGIN
	FOR i IN 1 .. 5 LOOP
		PERFORM posthouse.own_ids(6, 7 + i % 2, '{vector_stores}', all_ids[i : i]);
	END LOOP;
	PERFORM posthouse.own_ids(6, 7, '{files}', '{f}');
	PERFORM posthouse.own_ids(7, 7, '{vector_stores}', '{v_0}');
	ASSERT test.page(6, 'vector_stores', true, 9) = 'v_1 v_2 v_3 v_4 v_5';
	ASSERT test.page(6, 'vector_stores', false, 9) = 'v_5 v_4 v_3 v_2 v_1';
	ASSERT test.page(6, 'vector_stores', true, 2, after => 'v_2') = 'v_3 v_4';
	ASSERT test.page(6, 'vector_stores', false, 2, after => 'v_4') = 'v_3 v_2';
	ASSERT test.page(6, 'vector_stores', true, 2, before => 'v_4') = 'v_2 v_3';
	ASSERT test.page(6, 'vector_stores', false, 2, before => 'v_2') = 'v_4 v_3';
	ASSERT test.page(6, 'vector_stores', true, 9, accounts => '{8}') = 'v_1 v_3 v_5';
	ASSERT test.page(6, 'vector_stores', true, 9, after => 'v_5') IS NULL;
	ASSERT test.page(6, 'vector_stores', true, 9, after => 'v_0') = 'NULL', 'another scope''s cursor';
	ASSERT test.page(6, 'vector_stores', true, 9, after => 'f') = 'NULL', 'of another kind';
END $$;

DO $$ -- forgotten in its own scope
BEGIN
	PERFORM posthouse.disown_ids(1, '{f_1,none}');
	ASSERT (SELECT count(*) FROM posthouse.find_owned(1, '{f_1}')) = 1;
	ASSERT (SELECT count(*) FROM posthouse.find_owned(2, '{f_1}')) = 2, 'another scope''s stays';
	PERFORM posthouse.own_ids(1, 8, '{files}', '{f_1}');
	ASSERT (SELECT f.account_id FROM posthouse.find_owned(1, '{f_1}') f WHERE f.id = 'f_1') = 8;
END $$;
RESET ROLE;
