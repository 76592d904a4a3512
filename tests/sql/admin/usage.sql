/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures by hour. What is written in a transaction is counted after it has ended, so each step commits. What several
 * sessions see: isolation/usage.spec.
 */
\ir 00_helpers.sql
COMMIT;
SELECT no_plan();
INSERT INTO posthouse.accounts (account_id, name, kind, base_url) VALUES (9, 'a', 'stateless', 'http://x');
INSERT INTO posthouse.api_keys (name, hash, prefix) VALUES ('k', sha256('k'), 'ph_abcdefg');
CREATE FUNCTION test.hour(n int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT date_trunc('hour', now(), 'UTC') - n * interval '1 hour' $$;
CREATE FUNCTION test.key() RETURNS bigint LANGUAGE sql AS $$ SELECT key_id FROM posthouse.api_keys WHERE name = 'k' $$;
/* Once nobody writes any more; it may be that the server itself does. */
CREATE FUNCTION test.roll_up(OUT turns bigint, OUT behind bool) LANGUAGE plpgsql AS $$
BEGIN
	WHILE pg_snapshot_xmin(pg_current_snapshot()) <> pg_snapshot_xmax(pg_current_snapshot()) LOOP
		PERFORM pg_sleep(0.01);
	END LOOP;
	SELECT * INTO turns, behind FROM posthouse.roll_up() r;
END $$;

SELECT is((r.turns, r.behind), (0::bigint, false), 'nothing to add') FROM test.roll_up() r;
SELECT test.turn(test.key(), 'r1', 'm', test.hour(1) + interval '59 minutes', 'completed', 9, 2000000000);
SELECT test.turn(test.key(), 'r2', 'm', test.hour(1), 'failed', 9, 500000000);
SELECT test.turn(test.key(), 'r3', 'n', test.hour(0), 'client_gone', 9, NULL);
SELECT test.turn(0, 'r4', NULL, test.hour(0), 'failed', NULL, NULL);
SELECT is((r.turns, r.behind), (4::bigint, false), 'four turns') FROM test.roll_up() r;
SELECT is((r.turns, r.behind), (0::bigint, false), 'once') FROM test.roll_up() r;
SELECT results_eq($$ SELECT hour, key_name, requests, failed, replayed, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost,
		unpriced, mean_ms FROM posthouse_admin.usage_by_key ORDER BY hour, key_name $$,
	$$ VALUES (test.hour(1), 'k', 2::bigint, 1::bigint, 2::bigint, 20::bigint, 8::bigint, 10::bigint, 4::bigint, 2.5, 0::bigint, 2000.0),
		(test.hour(0), 'k', 1, 0, 1, 10, 4, 5, 2, 0, 1, 2000.0), (test.hour(0), NULL, 1, 1, 1, 10, 4, 5, 2, 0, 1, 2000.0) $$, 'by key');
SELECT results_eq($$ SELECT hour, account, account_id, requests, cost FROM posthouse_admin.usage_by_account ORDER BY hour, account $$,
	$$ VALUES (test.hour(1), 'a', 9::bigint, 2::bigint, 2.5), (test.hour(0), 'a', 9, 1, 0), (test.hour(0), NULL, NULL, 1, 0) $$, 'by account');
SELECT results_eq($$ SELECT hour, model, requests, cost FROM posthouse_admin.usage_by_model ORDER BY hour, model $$,
	$$ VALUES (test.hour(1), 'm', 2::bigint, 2.5), (test.hour(0), 'n', 1, 0), (test.hour(0), NULL, 1, 0) $$, 'by model');

/* More of the same hour is added to it. */
SELECT test.turn(test.key(), 'r5', 'm', test.hour(1), 'completed', 9, 1);
SELECT is(r.turns, 1::bigint) FROM test.roll_up() r;
SELECT is((SELECT cost FROM posthouse_admin.usage_by_key WHERE hour = test.hour(1)), 2.500000001, 'to the billionth');

/* A run that dies has added nothing and forgot nothing. */
SELECT test.turn(test.key(), 'r6', 'm', test.hour(1), 'completed', 9, 9);
BEGIN;
SELECT is(r.turns, 1::bigint) FROM test.roll_up() r;
ROLLBACK;
SELECT is(r.turns, 1::bigint, 'again') FROM test.roll_up() r;
SELECT is((SELECT cost FROM posthouse_admin.usage_by_key WHERE hour = test.hour(1)), 2.500000010, 'once');

/* Through the index, in the partitions that can have something new. */
CREATE FUNCTION test.plan() RETURNS SETOF text LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
	RETURN QUERY EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT FROM posthouse.request_log l
		WHERE l.day >= current_date - 1 AND l.logged >= 9223372036854775806 AND l.logged < 9223372036854775807;
END $$;
SELECT is((SELECT count(*) FROM test.plan() p WHERE p ~ 'Seq Scan'), 0::bigint, 'no partition is read whole');

/* The log's rows go, the figures stay, until their own time. */
TRUNCATE posthouse.request_log;
SELECT is(r.turns, 0::bigint) FROM test.roll_up() r;
SELECT is((SELECT sum(requests) FROM posthouse_admin.usage_by_key), 6::numeric, 'figures outlive the log');
INSERT INTO posthouse.usage_hours (hour, scope, account_id, model, requests)
VALUES (now() - interval '399 days', 1, 1, 'old', 1), (now() - interval '401 days', 1, 1, 'older', 1);
SELECT test.roll_up();
SELECT results_eq($$ SELECT model FROM posthouse.usage_hours WHERE model LIKE 'old%' $$, $$ VALUES ('old') $$, 'usage_retention');

/* Restored from a dump into a server that has not come as far: nothing twice, nothing missed. */
SELECT test.turn(test.key(), 'counted', 'd', now() - interval '1 hour');
SELECT is(r.turns, 1::bigint) FROM test.roll_up() r;
UPDATE posthouse.request_log SET logged = 1000000000000 - 1 WHERE response_id = 'counted';
SELECT test.turn(test.key(), 'not counted', 'd', now() - interval '1 hour');
UPDATE posthouse.request_log SET logged = 1000000000000 WHERE response_id = 'not counted';
UPDATE posthouse.usage_mark SET next = 1000000000000;
SELECT test.turn(test.key(), 'new', 'd', clock_timestamp() - interval '1 second');
SELECT is(r.turns, 2::bigint, 'what the dump had not counted, and what came since') FROM test.roll_up() r;
SELECT test.turn(test.key(), 'newer', 'd');
SELECT is(r.turns, 1::bigint, 'and on') FROM test.roll_up() r;
SELECT is((SELECT sum(requests) FROM posthouse_admin.usage_by_model WHERE model = 'd'), 4::numeric, 'each once');

/* Far behind: in steps, to the end. */
UPDATE posthouse.usage_mark SET next = 0;
TRUNCATE posthouse.usage_hours, posthouse.request_log;
SELECT count(test.turn(test.key(), 'r', 'far')) FROM generate_series(1, 1000) AS n;
SELECT is((r.turns, r.behind), (1000::bigint, false)) FROM test.roll_up() r;
SELECT * FROM finish();
