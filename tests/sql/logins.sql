/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts that are logins: found again by whom they belong to, never doubled, never replaced by a made-up name. */
SET SESSION AUTHORIZATION posthouse_node;

CREATE FUNCTION pg_temp.add(p_name text, p_number int, p_identity text, p_plan text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM posthouse.account_for_login(p_name, p_number, p_identity);
	RETURN r.name || ' ' || posthouse.put_login(r.account_id, r.name, 'codex', 'http://x', '\xaa', '\x0102030405060708', NULL,
		NULL, NULL, NULL, NULL, p_identity, p_plan);
END $$;

DO $$
DECLARE
	r record;
BEGIN
	ASSERT pg_temp.add('main', 1, 'acc ann', 'plus') = 'main added';
	ASSERT pg_temp.add('main', 2, 'acc bob', 'team') = 'main-2 added';
	ASSERT pg_temp.add('other', 1, 'acc ann', 'pro') = 'main updated', 'the same login under another name';
	SELECT a.identity, a.plan INTO r FROM posthouse_admin.accounts a WHERE a.name = 'main';
	ASSERT r.identity = 'acc ann' AND r.plan = 'pro', r;
	ASSERT pg_temp.add('main', 2, 'acc eve', NULL) = 'main-3 added', 'no login gives way to a number';
	ASSERT pg_temp.add('main', 2, 'acc bob', 'team') = 'main-2 updated';
	ASSERT pg_temp.add('main', 1, 'acc zoe', NULL) = 'main updated', 'a name that was written takes the new login';
	SELECT a.identity, a.plan INTO r FROM posthouse_admin.accounts a WHERE a.name = 'main';
	ASSERT r.identity = 'acc zoe' AND r.plan IS NULL, r;
	ASSERT pg_temp.add('main', 1, 'acc bob', 'team') = 'main-2 updated', 'but not one that another account has';
	ASSERT (SELECT count(*) FROM posthouse_admin.accounts) = 3;
END $$;

DO $$ -- logins that do not say whose they are
BEGIN
	ASSERT pg_temp.add('unknown', 1, NULL, NULL) = 'unknown added';
	ASSERT pg_temp.add('unknown', 1, NULL, NULL) = 'unknown updated';
	ASSERT pg_temp.add('unknown', 2, NULL, NULL) = 'unknown-2 added';
	ASSERT pg_temp.add('unknown', 2, NULL, NULL) = 'unknown-3 added';
END $$;

DO $$ -- two at the same moment: the index is the last wall
DECLARE
	id bigint := posthouse.account_id_for('late', 'codex');
	call text := $q$SELECT posthouse.put_login(%s, 'late', 'codex', 'http://x', '\xaa', '\x0102030405060708', NULL, NULL, NULL,
		NULL, NULL, 'acc bob', NULL)$q$;
BEGIN
	ASSERT test.failure(format(call, id)) = 'P0001';
	ASSERT NOT EXISTS (SELECT FROM posthouse_admin.accounts WHERE name = 'late'), 'and nothing is left of it';
END $$;

DO $$ -- another secret, another owner; settings alone change nothing; a removed login is free
DECLARE
	id bigint := posthouse.account_id_for('main-2', 'codex');
	r record;
BEGIN
	PERFORM posthouse.put_account(id, 'main-2', 'codex', NULL, NULL, NULL, NULL, 7, NULL, NULL, NULL);
	SELECT a.identity, a.plan, a.weight INTO r FROM posthouse_admin.accounts a WHERE a.name = 'main-2';
	ASSERT r.identity = 'acc bob' AND r.plan = 'team' AND r.weight = 7, r;
	PERFORM posthouse.put_account(id, 'main-2', 'codex', NULL, '\xbb', '\x0102030405060708', NULL, NULL, NULL, NULL, NULL);
	SELECT a.identity, a.plan INTO r FROM posthouse_admin.accounts a WHERE a.name = 'main-2';
	ASSERT r.identity IS NULL AND r.plan IS NULL, r;
	ASSERT pg_temp.add('bob', 1, 'acc bob', 'team') = 'bob added';
	ASSERT posthouse.remove_account('bob', '');
	ASSERT pg_temp.add('bob', 1, 'acc bob', 'team') = 'bob added';
	PERFORM posthouse.put_account(posthouse.account_id_for('key', 'platform'), 'key', 'platform', 'http://x', '\xaa',
		'\x0102030405060708', NULL, NULL, NULL, NULL, NULL);
	ASSERT test.failure($q$SELECT posthouse.account_for_login('key', 1, 'acc new')$q$) = 'P0001', 'a name of another kind';
END $$;
