/* SPDX-License-Identifier: Apache-2.0 */
/* Every verb: what it does, twice; its row in the audit; what nodes hear of it; what it refuses. */
\ir 00_helpers.sql
SELECT no_plan();
CREATE ROLE test_operator LOGIN IN ROLE posthouse_operator;
INSERT INTO posthouse.accounts (account_id, name, kind, base_url, max_streams) VALUES (9, 'a', 'stateless', 'http://x', 4);
INSERT INTO posthouse.api_keys (name, hash, prefix) VALUES ('k', sha256('k'), 'ph_abcdefg');
SELECT posthouse.register_node('00000000-0000-0000-0000-000000000001', 'n1', '1', 15000);
INSERT INTO posthouse.account_leases (account_id, node_id, slots, expires_at)
VALUES (9, '00000000-0000-0000-0000-000000000001', 2, clock_timestamp() + interval '1 minute');

/* A call that works and one that names nothing; its object in the audit; the topic that nodes hear of. */
CREATE TABLE test.call (verb text PRIMARY KEY, works text, fails text, object text, topic text);
GRANT USAGE ON SCHEMA test TO test_operator;
GRANT SELECT ON test.call TO test_operator;
INSERT INTO test.call VALUES
	('pause_account', $$pause_account('a', 'why')$$, $$pause_account('nobody')$$, 'a', 'accounts'),
	('resume_account', $$resume_account('a', 'why')$$, $$resume_account('nobody')$$, 'a', 'accounts'),
	('drain_account', $$drain_account('a', 'why')$$, $$drain_account('nobody')$$, 'a', 'accounts'),
	('set_account_limit', $$set_account_limit('a', 2, 'why')$$, $$set_account_limit('nobody', 2)$$, 'a', 'accounts'),
	('release_leases', $$release_leases('a', 'why')$$, $$release_leases('nobody')$$, 'a', NULL),
	('drain_node', $$drain_node('n1', 'why')$$, $$drain_node('nobody')$$, 'n1', NULL),
	('forget_node', $$forget_node('n1', 'why')$$, NULL, 'n1', NULL),
	('create_api_key', $$create_api_key('new' || random(), '{"expires": "30d"}')$$, $$create_api_key('k')$$, NULL, 'api_keys'),
	('revoke_api_key', $$revoke_api_key('k', 'why')$$, $$revoke_api_key('nobody')$$, 'k', 'api_keys'),
	('purge_snapshots', $$purge_snapshots('k', 'why')$$, $$purge_snapshots('nobody')$$, 'k', NULL),
	('set_setting', $$set_setting('retention', '7d', 'why')$$, $$set_setting('nothing', '7d')$$, 'retention', 'settings'),
	('set_key_limits', $$set_key_limits('k', '{"concurrent": 2}', 'why')$$, $$set_key_limits('nobody', '{}')$$, 'k', 'api_keys'),
	('set_model_price', $$set_model_price('m', 1, 1, 1, 'why')$$, NULL, 'm', 'prices'),
	('remove_model_price', $$remove_model_price('m', 'why')$$, NULL, 'm', NULL),
	('remove_account', $$remove_account('a', 'why')$$, $$remove_account('nobody')$$, 'a', 'accounts');
SELECT is_empty($$
	SELECT p.proname FROM pg_proc p WHERE p.pronamespace = 'posthouse_admin'::regnamespace AND p.proname <> 'chain'
		AND p.proname NOT IN (SELECT c.verb FROM test.call c)
	$$, 'this file calls every verb');
DELETE FROM test.call c WHERE NOT EXISTS (SELECT FROM pg_proc p
	WHERE p.pronamespace = 'posthouse_admin'::regnamespace AND p.proname = c.verb);

/* Runs it as an operator who is logged in: rows, audit rows, and how often its topic moved. */
CREATE FUNCTION test.run(c test.call, OUT rows bigint, OUT noted bigint, OUT told bigint)
LANGUAGE plpgsql AS $$
DECLARE
	v_audit bigint := coalesce((SELECT max(a.audit_id) FROM posthouse.audit a), 0);
	v_version bigint := (SELECT t.version FROM posthouse.topics t WHERE t.topic = c.topic);
BEGIN
	SET LOCAL SESSION AUTHORIZATION test_operator;
	EXECUTE 'SELECT count(*) FROM posthouse_admin.' || c.works INTO rows;
	RESET SESSION AUTHORIZATION;
	SELECT count(*) INTO noted FROM posthouse.audit a
	WHERE a.audit_id > v_audit AND a.actor = 'test_operator' AND a.verb = c.verb AND a.object = coalesce(c.object, a.object)
		AND (c.object IS NULL OR a.reason LIKE '%why');
	told := (SELECT t.version FROM posthouse.topics t WHERE t.topic = c.topic) - v_version;
END $$;
SELECT results_eq(format($$ SELECT rows, noted, coalesce(told > 0, true) OR %s = 2 FROM test.call c, test.run(c) WHERE c.verb = %L $$, n, c.verb),
	'VALUES (1::bigint, 1::bigint, true)', format('%s, call %s: one row, one row in the audit, told to nodes', c.verb, n))
FROM test.call c, generate_series(1, 2) AS n ORDER BY c.verb = 'remove_account', c.verb = 'remove_model_price', c.verb, n;
SELECT is(test.as_role('posthouse_operator', 'SELECT * FROM posthouse_admin.' || c.fails), 'P0001', c.fails || ' is refused')
FROM test.call c WHERE c.fails IS NOT NULL;

/* ---- what they did ---- */
SELECT results_eq($$ SELECT state FROM posthouse.accounts WHERE name = 'a' $$, $$ VALUES ('removed') $$, 'the account is removed');
SELECT is((SELECT revoked IS NOT NULL FROM posthouse.api_keys WHERE name = 'k'), true, 'the key is revoked');
SELECT is_empty('SELECT FROM posthouse.nodes', 'the node is forgotten');
SELECT is((SELECT value FROM posthouse_admin.settings WHERE name = 'retention'), '604800', 'the setting is set');

/* ---- settings ---- */
SELECT is((SELECT new_value FROM posthouse_admin.set_setting(s.name, s.given)), s.kept, format('%s = %s', s.name, s.given))
FROM (VALUES ('retention', '12h', '43200'), ('retention_unstored', '90m', '5400'), ('request_log_retention', '86400', '86400'),
	('usage_retention', '36500d', '3153600000'), ('strategy', 'fill_first', 'fill_first')) AS s (name, given, kept);
SELECT throws_ok(format('SELECT * FROM posthouse_admin.set_setting(%L, %L)', s.name, s.given), 'P0001', NULL,
	format('%s = %s is refused', s.name, s.given))
FROM (VALUES ('retention', '0'), ('retention', '-1d'), ('retention', '30 days'), ('retention', NULL), ('retention', '36501d'),
	('request_log_retention', '1h'), ('strategy', 'luck'), ('strategy', NULL), ('master_key', 'x'), (NULL, '1d')) AS s (name, given);
SELECT results_eq($$ SELECT name, value FROM posthouse_admin.settings WHERE updated IS NULL $$,
	$$ SELECT name, "default" FROM posthouse_admin.settings WHERE updated IS NULL $$, 'what nobody set has its default');
SELECT is((SELECT p.keep_until - p.day FROM posthouse.partitions p WHERE p.parent = 'snapshots_stored' ORDER BY p.day LIMIT 1), 60,
	'a lower retention takes nothing from what was promised');
SELECT lives_ok($$ SELECT posthouse_admin.set_setting('retention', '90d') $$);
SELECT is((SELECT p.keep_until - p.day FROM posthouse.partitions p WHERE p.parent = 'snapshots_stored' ORDER BY p.day LIMIT 1), 180,
	'a longer one holds at once');

/* ---- keys ---- */
SELECT is(posthouse.crc32('123456789'), 3421780262, 'the checksum is the CRC-32 of zlib');
SELECT is(posthouse.base62(61 * 62 + 10, 4), '00zA', 'digits 0-9 A-Z a-z, the most significant first');
SELECT matches(posthouse_admin.create_api_key('form'), '^ph_[0-9A-Za-z]{49}$', 'the form of a key');
CREATE TABLE test.made AS SELECT posthouse_admin.create_api_key('made ' || n) AS key FROM generate_series(1, 50) AS n;
SELECT is((SELECT count(DISTINCT key) FROM test.made), 50::bigint, 'no two are the same');
SELECT is((SELECT count(*) FROM test.made m WHERE substr(m.key, 47) = posthouse.base62(posthouse.crc32(convert_to(left(m.key, 46), 'UTF8')), 6)),
	50::bigint, 'the last six characters are the checksum');
SELECT is((SELECT count(*) FROM test.made m, posthouse.find_api_key(sha256(convert_to(m.key, 'UTF8')))), 50::bigint,
	'a node finds a key by its digest');
SELECT is((SELECT count(*) FROM test.made m JOIN posthouse_admin.api_keys k ON k.prefix = left(m.key, 10)), 50::bigint,
	'the view shows how it begins');
SELECT unalike((SELECT string_agg(a::text, '') FROM posthouse.audit a), '%' || substr(m.key, 4, 40) || '%', 'the audit does not')
FROM test.made m LIMIT 1;
INSERT INTO posthouse.accounts (account_id, name, kind, base_url) VALUES (10, 'b', 'stateless', 'http://x');
SELECT isnt(posthouse_admin.create_api_key('all', '{"snapshots": "stored", "expires": "2h", "models": ["m", "n"], "accounts": ["b"]}'), NULL);
SELECT results_eq($$ SELECT snapshots, models, accounts, expires - created, state FROM posthouse_admin.api_keys WHERE name = 'all' $$,
	$$ VALUES ('stored', '{m,n}'::text[], '{b}'::text[], interval '2 hours', 'active') $$, 'all options');
SELECT throws_ok(format('SELECT posthouse_admin.create_api_key(%L, %L)', o.name, o.options), 'P0001', NULL, o.options || ' is refused')
FROM (VALUES ('x', '{"snapshot": "all"}'), ('x', '{"snapshots": "some"}'), ('x', '{"expires": "soon"}'), ('x', '{"expires": "0s"}'),
	('x', '{"models": "m"}'), ('x', '{"models": []}'), ('x', '{"models": [1]}'), ('x', '{"models": [""]}'), ('x', '{"accounts": ["nobody"]}'),
	('x', '[]'), ('x', NULL), ('', '{}'), (NULL, '{}'), (repeat('x', 129), '{}'), ('all', '{}')) AS o (name, options);
SELECT throws_like($$ SELECT posthouse_admin.create_api_key('x', '{"snapshot": "all", "limit": {}}') $$, '%limit, snapshot%',
	'unknown options are named');

/* ---- purge ---- */
SELECT test.keep(k.key_id, 'resp_' || n, n % 2, 'in', 'out')
FROM posthouse.api_keys k, generate_series(1, 30) AS n WHERE k.name IN ('all', 'form');
SELECT results_eq($$ SELECT * FROM posthouse_admin.purge_snapshots('all', 'left') $$, $$ VALUES ('all', 30::bigint, true) $$, 'all of them');
SELECT results_eq($$ SELECT * FROM posthouse_admin.purge_snapshots('all', 'left') $$, $$ VALUES ('all', 0::bigint, true) $$, 'and then none');
SELECT results_eq($$ SELECT DISTINCT k.name FROM posthouse.snapshots s JOIN posthouse.api_keys k ON k.key_id = s.scope $$,
	$$ VALUES ('form') $$, 'the other key has its own');
SELECT results_eq($$ SELECT k.name, count(*) FROM posthouse.snapshot_items s JOIN posthouse.api_keys k ON k.key_id = s.scope GROUP BY 1 $$,
	$$ VALUES ('form', 30::bigint) $$, 'and its items');
SELECT is((SELECT reason FROM posthouse_admin.audit WHERE object = 'all' AND verb = 'purge_snapshots' LIMIT 1 OFFSET 1), '30 turns: left',
	'the audit says how many');
CREATE OR REPLACE FUNCTION posthouse.patience() RETURNS interval LANGUAGE sql AS $$ SELECT interval '0' $$;
SELECT results_eq($$ SELECT * FROM posthouse_admin.purge_snapshots('form') $$, format('VALUES (%L, %s::bigint, %L::bool)', 'form', x.purged, x.complete),
	'whose time is over says how far it came: ' || x.n)
FROM (VALUES (1, 15, false), (2, 15, false), (3, 0, true)) AS x (n, purged, complete);
SELECT * FROM finish();
ROLLBACK;
