/* SPDX-License-Identifier: Apache-2.0 */
/* resolve(): whole chains or a verdict. */
DO $$
BEGIN
	PERFORM test.past(21, 50);
	PERFORM test.chain(3, 1000, 200, 10);
	PERFORM test.chain(3, 2000, 1000, 1);
	PERFORM test.chain(3, 4000, 1000, 50);
	PERFORM test.chain(3, 6000, 3, 1, 5000);
END $$;
SET ROLE posthouse_node;

DO $$ -- newest first, nothing missing, over one partition and over many
DECLARE
	c record;
	n bigint;
	wrong bigint;
BEGIN
	FOR c IN SELECT * FROM (VALUES (1000, 200), (2000, 1000), (4000, 1000), (6000, 3)) AS c (first, n) LOOP
		SELECT count(*), count(*) FILTER (WHERE r.hop <> r.place OR r.response_id <> test.id(c.first + c.n - r.place::int)
			OR r.status <> 'ok' OR rtrim(convert_from(r.input, 'UTF8'), 'i') <> (c.n - r.place)::text
			OR rtrim(convert_from(r.output, 'UTF8'), 'o') <> (c.n - r.place)::text OR r.depth <> c.n - r.place + 1)
		INTO n, wrong
		FROM (SELECT *, row_number() OVER () AS place
			FROM posthouse.resolve(3, test.id(c.first + c.n - 1), '{}', 100000000, 4096)) r;
		ASSERT n = c.n AND wrong = 0, format('%s: %s rows, %s wrong', c.first, n, wrong);
	END LOOP;
END $$;

DO $$ -- bounds are exact
DECLARE
	size bigint := (SELECT sum(octet_length(input) + octet_length(output)) FROM posthouse.resolve(3, test.id(1199), '{}', 100000000, 4096));
BEGIN
	ASSERT test.status(3, test.id(1199), max_bytes => size) = 'ok';
	ASSERT test.status(3, test.id(1199), max_bytes => size - 1) = 'too_large';
	ASSERT test.status(3, test.id(1199), max_hops => 200) = 'ok';
	ASSERT test.status(3, test.id(1199), max_hops => 199) = 'too_deep';
	ASSERT (SELECT count(*) = 1 AND bool_and(r.input IS NULL AND r.chain_until = test.today() + 60)
		FROM posthouse.resolve(3, test.id(1199), '{}', 100, 4096) r);
END $$;

DO $$ -- the tip alone
DECLARE
	r record;
BEGIN
	PERFORM test.turn(3, test.id(1), flags => 1, upstream => true);
	PERFORM test.turn(3, test.id(2), flags => 3, upstream => true);
	PERFORM test.turn(3, test.id(3), parent => test.id(2), parent_day => test.today(), parent_class => 0);
	SELECT * INTO r FROM posthouse.resolve(3, test.id(1), '{5,7}', 0, 1);
	ASSERT r.status = 'tip' AND r.account_id = 7 AND r.input IS NULL AND r.day = test.today() AND r.created_ms > 0, r;
	ASSERT test.status(3, test.id(1), '{5}') = 'ok';
	ASSERT test.status(3, test.id(2), '{7}') = 'tip', 'partial rows can be forwarded';
	ASSERT test.status(3, test.id(2), '{5}') = 'partial';
	ASSERT test.status(3, test.id(3), '{7}') = 'partial', 'and so is whatever leans on them';
	ASSERT test.status(3, test.id(1), NULL) = 'ok';
END $$;

RESET ROLE;
UPDATE posthouse.snapshots SET created = now() - interval '31 days' WHERE scope = 3 AND response_id = test.id(1);
DO $$ -- a link that is gone, in this partition and in an older one
BEGIN
	DELETE FROM posthouse.snapshots WHERE scope = 3 AND response_id IN (test.id(2500), test.id(4500));
END $$;
SET ROLE posthouse_node;
DO $$
BEGIN
	ASSERT test.status(3, test.id(1), '{7}') = 'ok', 'upstream has forgotten it';
	ASSERT test.status(3, test.id(2999)) = 'broken';
	ASSERT test.status(3, test.id(4999)) = 'broken';
	ASSERT test.status(3, test.id(2499)) = 'ok', 'what lies before the gap is whole';
END $$;

DO $$ -- who owns an id
BEGIN
	PERFORM test.turn(3, test.id(10), upstream => true, flags => 1);
	ASSERT test.status(4, test.id(10)) = 'foreign';
	ASSERT test.status(4, test.id(11)) = 'none';
	PERFORM test.turn(3, test.id(12));
	ASSERT test.status(4, test.id(12)) = 'none', 'it was stored nowhere but here';
	ASSERT (SELECT r.account_id IS NULL AND r.day IS NULL AND r.model IS NULL
		FROM posthouse.resolve(4, test.id(10), '{7}', 100, 10) r), 'a foreign id tells nothing';
END $$;

DO $$ -- deleted: as anchor and resource, but what leans on it goes on
DECLARE
	r record;
BEGIN
	PERFORM test.turn(3, test.id(20), upstream => true, flags => 1);
	PERFORM test.turn(3, test.id(21), parent => test.id(20), parent_day => test.today(), parent_class => 0);
	SELECT * INTO r FROM posthouse.hide_response(3, test.id(20));
	ASSERT r.account_id = 7 AND r.flags = 9, r;
	ASSERT (SELECT count(*) FROM posthouse.hide_response(3, test.id(20))) = 0, 'once';
	ASSERT (SELECT count(*) FROM posthouse.hide_response(4, test.id(21))) = 0, 'by its owner';
	ASSERT test.status(3, test.id(20), '{7}') = 'hidden';
	ASSERT (SELECT count(*) FROM posthouse.read_response(3, test.id(20))) = 0;
	ASSERT (SELECT count(*) FROM posthouse.resolve(3, test.id(21), '{}', 1000, 10)) = 2;
	PERFORM test.turn(3, test.id(22), keep => false, upstream => true);
	ASSERT (SELECT h.account_id FROM posthouse.hide_response(3, test.id(22)) h) = 7;
	ASSERT test.status(3, test.id(22)) = 'hidden';
END $$;
RESET ROLE;

DO $$ -- a short id that stands on two days
BEGIN
	INSERT INTO posthouse.snapshots (scope, created, day, chain_until, depth, class, flags, codec, turn, response_id,
		turn_status)
	SELECT 3, now(), d, test.today(), 1, 0, 0, 0, gen_random_uuid(), 'resp_77', 'completed'
	FROM unnest(ARRAY[test.today(), test.today() - 9]) d;
	ASSERT test.status(3, 'resp_77') = 'ambiguous';
END $$;

/*
 * Pages, not microseconds: plans that were made while a partition was empty must not read a scope's rows one after the
 * other when it is full, nor may the planner hash a table because it is small.
 */
DO $$
DECLARE
	c record;
	plan json;
	pages bigint;
BEGIN
	DELETE FROM posthouse.snapshots WHERE scope = 5;
	PERFORM test.chain(5, 100000, 200, 10);
	PERFORM posthouse.resolve(5, test.id(100199), '{}', 100000000, 4096);
	PERFORM test.chain(5, 200000, 20000, 40);
	FOR c IN SELECT * FROM (VALUES (100199), (200199)) AS c (tip) LOOP -- 200 hops each
		EXECUTE format('EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM posthouse.resolve(5, %L, ''{}'', 1000000000, 4096)',
			test.id(c.tip)) INTO plan;
		pages := (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
		ASSERT pages < 4000, format('%s: %s pages', c.tip, pages);
		RAISE NOTICE 'resolve %: % pages', c.tip, pages;
	END LOOP;
END $$;
