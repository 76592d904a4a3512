/* SPDX-License-Identifier: Apache-2.0 */
/* What the other scripts call. A script is a list of DO blocks; an assertion that fails ends it. */
CREATE SCHEMA test;
GRANT USAGE ON SCHEMA test TO PUBLIC;

DO $$ -- who may do what a node may and what an operator may; roles belong to the whole server
BEGIN
	IF to_regrole('test_staff') IS NULL THEN
		CREATE ROLE test_staff LOGIN IN ROLE posthouse_node, posthouse_operator;
	END IF;
END $$;

CREATE FUNCTION test.today() RETURNS date LANGUAGE sql AS $$ SELECT (now() AT TIME ZONE 'UTC')::date $$;
CREATE FUNCTION test.id(n int) RETURNS text LANGUAGE sql AS $$ SELECT 'resp_' || md5(n::text) $$;

/* commit_turn() with everything that a test does not speak of. */
CREATE FUNCTION test.turn(scope bigint, id text, parent text DEFAULT NULL, parent_day date DEFAULT NULL,
	parent_class int DEFAULT NULL, parent_until date DEFAULT NULL, class int DEFAULT 0, flags int DEFAULT 0,
	keep bool DEFAULT true, upstream bool DEFAULT false, items text[] DEFAULT '{}', input text DEFAULT 'in',
	output text DEFAULT 'out', turn uuid DEFAULT gen_random_uuid(), OUT result text, OUT chain_until date)
LANGUAGE sql AS $$
	SELECT * FROM posthouse.commit_turn(turn, 'node', scope, 'req_1', '/v1/responses', 'gpt', 7, 'none', 'completed',
		200, NULL, 1, 0, 0, true, 1000, 500, 100, 200, 1, 2, 3, id, keep, upstream, class, parent, parent_day,
		parent_class, parent_until, flags, 'completed', 1, 0, convert_to(input, 'UTF8'),
		convert_to(output, 'UTF8'), NULL, '{}', items)
$$;

/* A chain of n turns, spread over some days, the last one today; ids test.id(first) and on. */
CREATE FUNCTION test.chain(scope bigint, first int, n int, days int DEFAULT 1, size int DEFAULT 10) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO posthouse.snapshots (scope, account_id, created, day, parent_day, chain_until, depth, class,
		parent_class, flags, codec, turn, response_id, parent_id, turn_status, model, input, output, envelope)
	SELECT scope, 7, now(), test.today() - (days - 1 - (i * days) / n),
		CASE WHEN i > 0 THEN test.today() - (days - 1 - ((i - 1) * days) / n) END, test.today() + 60, i + 1, 0,
		CASE WHEN i > 0 THEN 0 END, 0, 0, gen_random_uuid(), test.id(first + i),
		CASE WHEN i > 0 THEN test.id(first + i - 1) END, 'completed', 'gpt',
		convert_to(rpad(i::text, size, 'i'), 'UTF8'), convert_to(rpad(i::text, size, 'o'), 'UTF8'), '{}'
	FROM generate_series(0, n - 1) AS i
$$;

CREATE FUNCTION test.status(scope bigint, id text, forward bigint[] DEFAULT '{}', max_bytes bigint DEFAULT 1000000000,
	max_hops int DEFAULT 4096) RETURNS text
LANGUAGE sql AS $$ SELECT r.status FROM posthouse.resolve(scope, id, forward, max_bytes, max_hops) AS r LIMIT 1 $$;

/* The SQLSTATE with which a statement fails; '' if it does not. */
CREATE FUNCTION test.failure(statement text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN '';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END $$;

/* Partitions for the past: what maintain() would have made. */
CREATE FUNCTION test.past(first int, last int) RETURNS bigint
LANGUAGE sql AS $$
	SELECT count(posthouse.create_partition(p, (test.today() - d)::date))
	FROM unnest(ARRAY['snapshots_stored', 'snapshots_unstored', 'snapshot_items_stored', 'snapshot_items_unstored',
		'resource_owners', 'request_log']) AS p, generate_series(first, last) AS d
$$;
SELECT test.past(1, 20);
