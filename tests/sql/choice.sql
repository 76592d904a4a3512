/* SPDX-License-Identifier: Apache-2.0 */
/* Where conversations stay, who goes first after a block, and bounds of accounts. */
SET SESSION AUTHORIZATION posthouse_node;
CREATE FUNCTION pg_temp.put(p_name text, p_most int DEFAULT NULL) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	id bigint := posthouse.account_id_for(p_name, 'codex');
BEGIN
	PERFORM posthouse.put_account(id, p_name, 'codex', 'http://a', NULL, NULL, NULL, NULL, NULL, NULL, NULL, p_most);
	RETURN id;
END $$;
CREATE FUNCTION pg_temp.prefer(p_scope bigint, p_name text, p_able bigint[], p_choice bigint) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(r.account_id, 0) || ' ' || coalesce(r.was, 0)
	FROM posthouse.prefer(p_scope, convert_to(p_name, 'UTF8'), p_able, p_choice) r $$;

DO $$ -- insert if absent; it stays while its account is able, moves once, and stays moved
DECLARE
	a bigint := pg_temp.put('one');
	b bigint := pg_temp.put('two');
BEGIN
	ASSERT pg_temp.prefer(1, 'c', ARRAY[a, b], NULL) = '0 0', 'looking makes nothing';
	ASSERT pg_temp.prefer(1, 'c', ARRAY[a, b], a) = a || ' 0';
	ASSERT pg_temp.prefer(1, 'c', ARRAY[b, a], b) = a || ' ' || a;
	ASSERT pg_temp.prefer(2, 'c', ARRAY[a, b], b) = b || ' 0', 'of another key';
	ASSERT pg_temp.prefer(1, 'c', ARRAY[b], NULL) = '0 ' || a, 'it cannot serve, and nobody else was named';
	ASSERT pg_temp.prefer(1, 'c', ARRAY[b], b) = b || ' ' || a;
	ASSERT pg_temp.prefer(1, 'c', ARRAY[a, b], a) = b || ' ' || b, 'it stays moved';
	ASSERT pg_temp.prefer(1, 'c', '{}', NULL) = '0 ' || b;
END $$;
RESET SESSION AUTHORIZATION;

DO $$ -- it is touched at most once a minute; a row that nobody needs to change is not written
DECLARE
	b bigint := posthouse.account_id_for('two', 'codex');
	t timestamptz;
BEGIN
	SELECT p.updated INTO t FROM posthouse.preferences p WHERE p.scope = 1;
	PERFORM posthouse.prefer(1, 'c', ARRAY[b], b);
	ASSERT (SELECT p.updated = t AND p.moved IS NOT NULL FROM posthouse.preferences p WHERE p.scope = 1);
	UPDATE posthouse.preferences p SET updated = clock_timestamp() - interval '59 s' WHERE p.scope = 1;
	PERFORM posthouse.prefer(1, 'c', ARRAY[b], b);
	ASSERT (SELECT p.updated < clock_timestamp() - interval '50 s' FROM posthouse.preferences p WHERE p.scope = 1);
	UPDATE posthouse.preferences p SET updated = clock_timestamp() - interval '61 s' WHERE p.scope = 1;
	PERFORM posthouse.prefer(1, 'c', ARRAY[b], b);
	ASSERT (SELECT p.updated > clock_timestamp() - interval '50 s' FROM posthouse.preferences p WHERE p.scope = 1);
END $$;

DO $$ -- what operators see: whose, named by what, where
DECLARE
	r record;
BEGIN
	PERFORM posthouse.prefer(1, '\x03aabb', ARRAY[posthouse.account_id_for('one', 'codex')],
		posthouse.account_id_for('one', 'codex'));
	SELECT * INTO r FROM posthouse_admin.preferences p WHERE p.conversation = '03aabb';
	ASSERT r.account = 'one' AND r.account_state = 'active' AND r.named_by = 'prompt_cache_key' AND r.moved IS NULL
		AND r.scope = 1 AND r.updated > now() - interval '1 minute', r;
	PERFORM posthouse_admin.pause_account('one', 'test');
	ASSERT (SELECT p.account_state FROM posthouse_admin.preferences p WHERE p.conversation = '03aabb') = 'paused';
	PERFORM posthouse_admin.resume_account('one', 'test');
END $$;

SET SESSION AUTHORIZATION posthouse_node;
DO $$ -- a node sees no other conversation's preference but through the function
BEGIN
	ASSERT test.failure('SELECT 1 FROM posthouse.preferences') = '42501';
	ASSERT test.failure('DELETE FROM posthouse.preferences') = '42501';
END $$;
RESET SESSION AUTHORIZATION;

DO $$ -- those that were silent for a day go, some at a time
BEGIN
	UPDATE posthouse.preferences SET updated = clock_timestamp() - interval '23 hours';
	ASSERT posthouse.sweep_preferences(10) = 0;
	UPDATE posthouse.preferences SET updated = clock_timestamp() - interval '25 hours';
	SET LOCAL ROLE posthouse_node;
	ASSERT posthouse.sweep_preferences(2) = 2 AND posthouse.sweep_preferences(2) = 1 AND posthouse.sweep_preferences(2) = 0;
END $$;

DO $$ -- the first turn after a block: one, for a while; of other blocks and versions nobody waits
DECLARE
	a bigint := posthouse.account_id_for('one', 'codex');
	v bigint;
	r record;
BEGIN
	SELECT l.version INTO v FROM posthouse.load_accounts() l WHERE l.account_id = a;
	SELECT * INTO r FROM posthouse.report_health(a, v, 'cooling', 0, 1000, 0, 0, false, 0, 'limit', '', 'n');
	ASSERT r.result = 'done';
	v := r.version;
	UPDATE posthouse.account_health SET until = clock_timestamp() WHERE account_id = a;
	SET LOCAL ROLE posthouse_node;
	SELECT * INTO r FROM posthouse.claim_probe(a, v - 1, 10000);
	ASSERT r.result = 'over' AND r.wait_ms = 0, r;
	SELECT * INTO r FROM posthouse.claim_probe(a, v, 10000);
	ASSERT r.result = 'ours' AND r.wait_ms = 10000, r;
	SELECT * INTO r FROM posthouse.claim_probe(a, v, 10000);
	ASSERT r.result = 'held' AND r.wait_ms BETWEEN 9000 AND 10000, r;
	RESET ROLE;
	UPDATE posthouse.account_health SET probe_until = clock_timestamp() WHERE account_id = a;
	SET LOCAL ROLE posthouse_node;
	SELECT * INTO r FROM posthouse.claim_probe(a, v, 10000);
	ASSERT r.result = 'over' AND r.wait_ms = 0, r;
	SELECT * INTO r FROM posthouse.end_probe(a, v - 1, 'n');
	ASSERT r.result = 'kept' AND r.version = v, r;
	SELECT * INTO r FROM posthouse.end_probe(a, v, 'n');
	ASSERT r.result = 'done' AND r.health = 'active' AND r.version = v + 1, r;
	SELECT * INTO r FROM posthouse.claim_probe(a, v + 1, 10000);
	ASSERT r.result = 'over', r;
	SELECT * INTO r FROM posthouse.report_health(a, v + 1, 'exhausted', 0, 1000, 0, 0, false, 0, 'quota', '', 'n');
	SELECT * INTO r FROM posthouse.claim_probe(a, r.version, 10000);
	ASSERT r.result = 'over', r;
	ASSERT (SELECT count(*) FROM posthouse.end_probe(0, 1, 'n')) = 0;
END $$;

DO $$ -- the bound of an account: set, kept, shown; others hear when it is passed
DECLARE
	id bigint := pg_temp.put('bound', 40);
	v bigint;
	topic CONSTANT text := 'SELECT version FROM posthouse.topics WHERE topic = ''accounts''';
	later bigint;
BEGIN
	ASSERT (SELECT l.max_used_percent FROM posthouse.load_accounts() l WHERE l.account_id = id) = 40;
	PERFORM pg_temp.put('bound');
	ASSERT (SELECT a.max_used_percent FROM posthouse_admin.accounts a WHERE a.name = 'bound') = 40;
	ASSERT (SELECT l.max_used_percent FROM posthouse.load_accounts() l WHERE l.name = 'one') = 0;
	ASSERT test.failure(format('SELECT posthouse.put_account(%s, %L, %L, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 101)',
		id, 'bound', 'codex')) = '23514';
	EXECUTE topic INTO v;
	PERFORM posthouse.report_usage(id, 0, 40.9, 300, NULL, NULL, NULL, NULL, false, '', 0, 'n');
	EXECUTE topic INTO later;
	ASSERT later = v;
	PERFORM posthouse.report_usage(id, 0, 41.0, 300, NULL, NULL, NULL, NULL, false, '', 0, 'n');
	EXECUTE topic INTO later;
	ASSERT later = v + 1;
	PERFORM posthouse.report_usage(id, 0, 80.0, 300, NULL, NULL, NULL, NULL, false, '', 0, 'n');
	EXECUTE topic INTO later;
	ASSERT later = v + 1;
	PERFORM posthouse.report_usage(id, 0, 96.0, 300, NULL, NULL, NULL, NULL, false, '', 0, 'n');
	EXECUTE topic INTO later;
	ASSERT later = v + 2;
END $$;
