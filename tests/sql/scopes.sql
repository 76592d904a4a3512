/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: the second wall, and the roles. */
DO $$
BEGIN
	PERFORM test.turn(8, test.id(1), upstream => true, items => '{msg_8}');
END $$;
SET ROLE posthouse_node;

DO $$ -- without a scope, nothing; with one, its own
BEGIN
	PERFORM set_config('posthouse.scope', '', true);
	ASSERT (SELECT count(*) FROM posthouse.snapshots) = 0;
	ASSERT (SELECT count(*) FROM posthouse.snapshot_items) = 0;
	ASSERT (SELECT count(*) FROM posthouse.resource_owners) = 0;
	PERFORM set_config('posthouse.scope', '8', true);
	ASSERT (SELECT count(*) FROM posthouse.snapshots) = 1;
	ASSERT (SELECT count(*) FROM posthouse.snapshots WHERE scope <> 8) = 0;
	ASSERT test.failure($q$INSERT INTO posthouse.snapshot_items VALUES (9, test.today(), 0, 0, 'a', 'b')$q$) = '42501',
		'no row for another scope';
END $$;

DO $$ -- what a node may not
DECLARE
	part text := 'posthouse.snapshots_stored_' || to_char(test.today(), 'YYYYMMDD');
	forbidden text;
BEGIN
	FOREACH forbidden IN ARRAY ARRAY[
		'SELECT FROM ' || part, 'SELECT FROM posthouse.snapshots_stored',
		'SELECT node FROM posthouse.request_log', 'SELECT FROM posthouse.audit', 'DELETE FROM posthouse.snapshots',
		'UPDATE posthouse.snapshots SET input = NULL', 'UPDATE posthouse.accounts SET state = ''paused''',
		'DELETE FROM posthouse.api_keys', 'SELECT FROM posthouse.master_keys', 'CREATE TABLE posthouse.x ()',
		'CREATE TABLE posthouse_admin.x ()', 'DROP TABLE ' || part,
		'SELECT posthouse.create_partition(''request_log'', ''2001-01-01'')',
		'SELECT posthouse.drop_partition(''9999-01-01'')', 'SELECT posthouse.bump(''accounts'')',
		'SELECT posthouse.note(''a'', ''b'', ''c'')',
		'SELECT posthouse.set_account_state(''a'', ''active'', ''v'', NULL)']
	LOOP
		ASSERT test.failure(forbidden) = '42501', forbidden;
	END LOOP;
	ASSERT (SELECT NOT rolsuper AND NOT rolbypassrls FROM pg_roles WHERE rolname = 'posthouse_node');
END $$;

DO $$ -- every verb and every function of the schema, by those who may not call it
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT p.oid, p.oid::regprocedure AS name, p.pronamespace::regnamespace::text AS schema FROM pg_proc p
		WHERE p.pronamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace)
	LOOP
		ASSERT NOT EXISTS (SELECT FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
			WHERE p.oid = f.oid AND a.grantee = 0), format('%s: PUBLIC may call it', f.name);
		ASSERT NOT has_function_privilege('posthouse_viewer', f.oid, 'EXECUTE') OR f.name::text ~ 'chain\(|share_ms\(',
			format('%s: a viewer may call it', f.name);
	END LOOP;
	ASSERT has_function_privilege('posthouse_operator', 'posthouse_admin.pause_account(text, text)', 'EXECUTE');
	ASSERT NOT has_function_privilege('posthouse_operator', 'posthouse.maintain()', 'EXECUTE');
END $$;
RESET ROLE;

SET ROLE posthouse_viewer;
DO $$
BEGIN
	ASSERT test.failure('SELECT * FROM posthouse_admin.accounts, posthouse_admin.account_health, posthouse_admin.api_keys, '
		'posthouse_admin.requests, posthouse_admin.settings, posthouse_admin.audit') = '';
	ASSERT test.failure('SELECT FROM posthouse.accounts') = '42501';
	ASSERT test.failure('SELECT FROM posthouse.account_secrets') = '42501';
	ASSERT test.failure('SELECT posthouse_admin.pause_account(''a'')') = '42501';
END $$;
RESET ROLE;

DO $$ -- hygiene: rights of the owner only with a search path that nobody else can fill; nothing granted on partitions
DECLARE
	o record;
BEGIN
	FOR o IN
		SELECT p.oid::regprocedure AS name FROM pg_proc p
		WHERE p.pronamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND p.prosecdef
			AND NOT coalesce('search_path=pg_catalog, posthouse, pg_temp' = ANY (p.proconfig), false)
	LOOP
		ASSERT false, format('%s has no search path of its own', o.name);
	END LOOP;
	FOR o IN
		SELECT c.oid::regclass AS name FROM pg_class c
		WHERE c.relispartition AND c.relnamespace = 'posthouse'::regnamespace AND c.relkind IN ('r', 'p')
			AND EXISTS (SELECT FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner)
	LOOP
		ASSERT false, format('%s: something is granted on a partition', o.name);
	END LOOP;
	FOR o IN
		SELECT c.oid::regclass AS name FROM pg_class c
		WHERE c.relname IN ('snapshots', 'snapshot_items', 'resource_owners', 'preferences')
			AND c.relnamespace = 'posthouse'::regnamespace AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
	LOOP
		ASSERT false, format('%s has no row-level security', o.name);
	END LOOP;
END $$;

DO $$ -- the interface is documented
DECLARE
	o record;
BEGIN
	FOR o IN
		SELECT c.relname || coalesce('.' || a.attname, '') AS name
		FROM pg_class c
		LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v'
			AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
		UNION ALL
		SELECT p.proname FROM pg_proc p
		WHERE p.pronamespace = 'posthouse_admin'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
	LOOP
		ASSERT false, format('%s has no comment', o.name);
	END LOOP;
END $$;

DO $$ -- settings that hold for the role that logs in
BEGIN
	ASSERT (SELECT setconfig @> ARRAY['statement_timeout=4s', 'lock_timeout=1s',
			'idle_in_transaction_session_timeout=5s', 'jit=off', 'TimeZone=UTC']
		FROM pg_db_role_setting WHERE setrole = 'posthouse_node'::regrole AND setdatabase = 0);
END $$;
