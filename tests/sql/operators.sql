/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts, keys, the verbs of operators: what they change, and what others learn of it. */
SET SESSION AUTHORIZATION test_staff;

DO $$
DECLARE
	id bigint := posthouse.account_id_for('a', 'platform');
	was bigint := (SELECT version FROM posthouse.topics() WHERE topic = 'accounts');
	r record;
BEGIN
	ASSERT posthouse.put_account(id, 'a', 'platform', 'http://x', '\xaa', '\x0102030405060708', 3, NULL, NULL, '{m,n}', NULL) = 'added';
	ASSERT (SELECT version FROM posthouse.topics() WHERE topic = 'accounts') = was + 1;
	ASSERT posthouse.account_id_for('a', 'platform') = id;
	ASSERT test.failure($q$SELECT posthouse.account_id_for('a', 'codex')$q$) = 'P0001';
	ASSERT posthouse.put_account(id, 'a', 'platform', NULL, NULL, NULL, NULL, 5, NULL, NULL, NULL) = 'updated';
	SELECT * INTO r FROM posthouse.load_accounts() l WHERE l.account_id = id;
	ASSERT r.base_url = 'http://x' AND r.sealed = '\xaa' AND r.max_streams = 3 AND r.weight = 5 AND r.priority = 0
		AND r.models = '{m,n}' AND r.state = 'active' AND r.headers IS NULL, r;
	ASSERT test.failure(format($q$SELECT posthouse.put_account(%s, 'a', 'platform', 'http://y', NULL, NULL, NULL,
		NULL, NULL, NULL, NULL)$q$, id + 100)) = 'P0001', 'two that add the same name at once';
END $$;

DO $$ -- pause, resume, remove
DECLARE
	id bigint := posthouse.account_id_for('a', 'platform');
	r record;
BEGIN
	SELECT * INTO r FROM posthouse_admin.pause_account('a', 'invoice unpaid');
	ASSERT r.account = 'a' AND r.state = 'paused', r;
	PERFORM posthouse_admin.pause_account('a', 'again');
	ASSERT (SELECT l.state FROM posthouse.load_accounts() l WHERE l.account_id = id) = 'paused';
	PERFORM posthouse.put_account(id, 'a', 'platform', NULL, '\xbb', '\x0102030405060708', NULL, NULL, NULL, NULL, NULL);
	ASSERT (SELECT l.state FROM posthouse.load_accounts() l WHERE l.account_id = id) = 'paused', 'an update is no resume';
	PERFORM posthouse_admin.resume_account('a', '');
	ASSERT (SELECT l.state FROM posthouse.load_accounts() l WHERE l.account_id = id) = 'active';
	ASSERT test.failure($q$SELECT posthouse_admin.pause_account('nobody')$q$) = 'P0001';
	SELECT * INTO r FROM posthouse_admin.audit ORDER BY audit_id DESC OFFSET 3 LIMIT 1;
	ASSERT r.actor = 'test_staff' AND r.verb = 'pause_account' AND r.object = 'a' AND r.reason = 'invoice unpaid', r;
	ASSERT posthouse.remove_account('a', 'gone');
	ASSERT NOT posthouse.remove_account('a', 'gone');
	ASSERT (SELECT count(*) FROM posthouse.load_accounts() l WHERE l.account_id = id) = 0;
	ASSERT posthouse.account_id_for('a', 'codex') <> id, 'a removed name begins anew, with any kind';
	ASSERT test.failure(format($q$SELECT posthouse.put_account(%s, 'a', 'platform', 'http://y', NULL, NULL, NULL,
		NULL, NULL, NULL, NULL)$q$, id)) = 'P0001', 'a removed account does not come back under its id';
END $$;

DO $$ -- keys
DECLARE
	id bigint := posthouse.account_id_for('b', 'stateless');
	key bigint;
	r record;
BEGIN
	PERFORM posthouse.put_account(id, 'b', 'stateless', 'http://b', NULL, NULL, NULL, NULL, NULL, NULL, NULL);
	key := posthouse.create_key('k', sha256('k'), 'ph_abcd', 'stored', 3600, '{m}', '{b}');
	SELECT * INTO r FROM posthouse.find_api_key(sha256('k'));
	ASSERT r.key_id = key AND r.name = 'k' AND r.snapshots = 'stored' AND r.models = '{m}' AND r.account_ids = ARRAY[id]
		AND r.expires_ms > extract(epoch FROM now()) * 1000, r;
	ASSERT (SELECT count(*) FROM posthouse.load_api_keys() l WHERE l.key_id = key) = 1;
	ASSERT test.failure($q$SELECT posthouse.create_key('k', sha256('l'), 'ph_', NULL, NULL, NULL, NULL)$q$) = 'P0001';
	ASSERT test.failure($q$SELECT posthouse.create_key('l', sha256('l'), 'ph_', NULL, NULL, NULL, '{b,nobody}')$q$) = 'P0001';
	PERFORM posthouse.create_key('ended', sha256('e'), 'ph_e', NULL, 0, NULL, NULL);
	ASSERT (SELECT count(*) FROM posthouse.find_api_key(sha256('e'))) = 0, 'an expired key is none';
	ASSERT (SELECT state = 'expired' AND accounts IS NULL FROM posthouse_admin.api_keys WHERE name = 'ended');
	PERFORM posthouse_admin.revoke_api_key('k', 'lost');
	PERFORM posthouse_admin.revoke_api_key('k', 'still lost');
	ASSERT (SELECT count(*) FROM posthouse.find_api_key(sha256('k'))) = 0;
	ASSERT (SELECT state = 'revoked' AND accounts = '{b}' FROM posthouse_admin.api_keys WHERE name = 'k');
	ASSERT test.failure($q$SELECT posthouse_admin.revoke_api_key('nobody')$q$) = 'P0001';
END $$;

DO $$ -- a conversation, as operators see it
DECLARE
	scope bigint := (SELECT key_id FROM posthouse_admin.api_keys WHERE name = 'k');
	seen text;
BEGIN
	PERFORM test.turn(scope, test.id(1), input => 'hello');
	PERFORM test.turn(scope, test.id(2), parent => test.id(1), parent_day => test.today(), parent_class => 0, class => 1, flags => 4);
	SELECT string_agg(format('%s:%s:%s:%s', c.hop, c.class, c.flags, c.input_bytes), ' ' ORDER BY c.hop) INTO seen
	FROM posthouse_admin.chain('k', test.id(2)) c;
	ASSERT seen = '1:unstored:self-contained:2 2:stored::5', seen;
	ASSERT (SELECT count(*) FROM posthouse_admin.chain('k', 'nothing')) = 0;
	ASSERT test.failure($q$SELECT posthouse_admin.chain('nobody', 'x')$q$) = 'P0001';
	ASSERT (SELECT count(*) FROM posthouse_admin.requests WHERE key_name = 'k' AND duration_ms = 1.000) = 2;
END $$;

DO $$ -- master keys
BEGIN
	ASSERT posthouse.check_master_key(ARRAY['\x1111111111111111'::bytea]) = 'registered';
	ASSERT posthouse.check_master_key(ARRAY['\x2222222222222222'::bytea]) = 'unknown 1111111111111111';
	ASSERT posthouse.check_master_key(ARRAY['\x2222222222222222'::bytea, '\x1111111111111111']) = 'ok', 'rotation';
	ASSERT posthouse.check_master_key(ARRAY['\x2222222222222222'::bytea]) = 'ok';
END $$;

DO $$
DECLARE
	h record;
BEGIN
	SELECT * INTO h FROM posthouse.hello();
	ASSERT h.schema_version >= 1 AND h.needs_version <= h.schema_version AND h.today = test.today()
		AND h.retention_days = 30 AND h.retention_unstored_days = 1, h;
END $$;
RESET SESSION AUTHORIZATION;
