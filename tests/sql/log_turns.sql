/* SPDX-License-Identifier: Apache-2.0 */
/* log_turns(): many rows of the request log at once, each written once, with owner rows where commit_turn() has them. */

/* Of turns with these ids, in these scopes; what a test does not speak of as test.turn() has it. */
CREATE FUNCTION test.log(scopes bigint[], ids text[], turns uuid[], limited uuid DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT posthouse.log_turns(turns, array_agg('node'::text), scopes, array_agg('req_1'::text),
		array_agg('/v1/responses'::text), array_agg('gpt'::text), array_agg(7::bigint), array_agg('none'::text),
		array_agg('completed'::text), array_agg(200), array_agg(NULL::text), array_agg(1), array_agg(0),
		array_agg(0::bigint), array_agg(true), array_agg(1000::bigint), array_agg(500::bigint), array_agg(100::bigint),
		array_agg(200::bigint), array_agg(1::bigint), array_agg(2::bigint), array_agg(3::bigint), array_agg(1::bigint),
		array_agg(5000::bigint), array_agg(9::bigint), array_agg('http'::text), array_agg('chosen'::text),
		array_agg(NULL::text), array_agg(limited), ids)
	FROM unnest(turns)
$$;
CREATE FUNCTION test.logged(turns uuid[]) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM posthouse.request_log WHERE turn = ANY (turns)
$$;
SET ROLE posthouse_node;

DO $$ -- each once, also where the call comes again with others; and no owner row without a platform account
DECLARE
	a uuid := gen_random_uuid();
	b uuid := gen_random_uuid();
	c uuid := gen_random_uuid();
BEGIN
	PERFORM test.log('{1,2}', ARRAY[test.id(1), test.id(2)], ARRAY[a, b]);
	PERFORM test.log('{1,2}', ARRAY[test.id(1), test.id(2)], ARRAY[a, b]);
	PERFORM test.log('{2,1}', ARRAY[test.id(2), NULL], ARRAY[b, c]);
	ASSERT test.logged(ARRAY[a, b, c]) = 3;
	ASSERT test.status(1, test.id(1)) = 'none' AND test.status(2, test.id(2)) = 'none';
END $$;
RESET ROLE;

DO $$ -- the same row as commit_turn() writes
DECLARE
	a uuid := gen_random_uuid();
	b uuid := gen_random_uuid();
	rows bigint;
BEGIN
	PERFORM test.log('{1}', ARRAY[test.id(3)], ARRAY[a]);
	PERFORM test.turn(1, test.id(3), keep => false, turn => b);
	SELECT count(DISTINCT to_jsonb(l) - 'turn') INTO rows FROM posthouse.request_log l WHERE l.turn IN (a, b);
	ASSERT test.logged(ARRAY[a, b]) = 2 AND rows = 1, rows;
END $$;

INSERT INTO posthouse.accounts (name, kind, base_url) VALUES ('shared', 'platform', 'http://127.0.0.1');
SET ROLE posthouse_node;
DO $$ -- somebody's ids, scope by scope
DECLARE
	turns uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 4));
BEGIN
	PERFORM test.log('{1,2,1,3}', ARRAY[test.id(11), test.id(12), test.id(13), NULL], turns);
	PERFORM test.log('{1,2,1,3}', ARRAY[test.id(11), test.id(12), test.id(13), NULL], turns);
	ASSERT test.logged(turns) = 4;
	ASSERT test.status(1, test.id(11)) = 'owned' AND test.status(1, test.id(13)) = 'owned';
	ASSERT test.status(2, test.id(12)) = 'owned' AND test.status(2, test.id(11)) = 'foreign';
END $$;
RESET ROLE;
