/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs before every other file, as the user who migrates: roles, schemas, and the tables in which migrations are noted.
 * May be repeated. Roles belong to the whole server: a user who may not create or change them gets notices, and the
 * schema then belongs to that user. Every later file runs as the owner of the schema posthouse.
 */
DO $$
DECLARE
	role_line text;
BEGIN
	FOREACH role_line IN ARRAY ARRAY[
		'posthouse_owner NOLOGIN', 'posthouse_node LOGIN', 'posthouse_operator NOLOGIN', 'posthouse_viewer NOLOGIN']
	LOOP
		BEGIN
			IF to_regrole(split_part(role_line, ' ', 1)) IS NULL THEN
				EXECUTE 'CREATE ROLE ' || role_line;
			END IF;
		EXCEPTION
			WHEN insufficient_privilege THEN
				RAISE NOTICE 'role % was not created: user % lacks CREATEROLE',
					split_part(role_line, ' ', 1), current_user;
			WHEN duplicate_object OR unique_violation THEN NULL; -- another database of this server was faster
		END;
	END LOOP;
END $$;

DO $$
DECLARE
	setting text;
BEGIN
	IF to_regrole('posthouse_node') IS NULL THEN
		RETURN;
	END IF;
	/* They hold for the role that logs in, through any pooler. 4 s stays below the bound of a commit. */
	FOREACH setting IN ARRAY ARRAY[
		'statement_timeout = ''4s''', 'lock_timeout = ''1s''', 'idle_in_transaction_session_timeout = ''5s''',
		'jit = off', 'timezone = ''UTC''',
		'tcp_keepalives_idle = 3', 'tcp_keepalives_interval = 2', 'tcp_keepalives_count = 3']
	LOOP
		EXECUTE 'ALTER ROLE posthouse_node SET ' || setting;
	END LOOP;
EXCEPTION
	WHEN insufficient_privilege THEN
		RAISE NOTICE 'settings of role posthouse_node were not changed: user % may not', current_user;
	WHEN OTHERS THEN -- two databases of one server at once: "tuple concurrently updated"
		IF SQLSTATE <> 'XX000' THEN
			RAISE;
		END IF;
END $$;

/*
 * To hand the schema over one must be able to become its owner, and to work with it afterwards one must inherit from it.
 * Until 15 membership is the first of the two, and the user's own INHERIT the second. From 16 on each membership says
 * both for itself, and a user who creates a role without being a superuser gets neither, only the right to grant them.
 */
DO $$
DECLARE
	apart bool := current_setting('server_version_num')::int >= 160000;
	become text := CASE WHEN apart THEN 'SET' ELSE 'MEMBER' END;
	options text := CASE WHEN apart THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;
	owner_role text := current_user;
BEGIN
	IF to_regnamespace('posthouse') IS NOT NULL THEN
		SELECT pg_get_userbyid(nspowner) INTO owner_role FROM pg_namespace WHERE nspname = 'posthouse';
	ELSIF to_regrole('posthouse_owner') IS NOT NULL THEN
		BEGIN
			IF NOT (pg_has_role('posthouse_owner', become) AND pg_has_role('posthouse_owner', 'USAGE')) THEN
				EXECUTE format('GRANT posthouse_owner TO %I', current_user) || options;
			END IF;
			IF NOT pg_has_role('posthouse_owner', 'USAGE') THEN
				RAISE insufficient_privilege; -- NOINHERIT, until 15; takes the GRANT back
			END IF;
			owner_role := 'posthouse_owner';
		EXCEPTION WHEN insufficient_privilege THEN
			RAISE NOTICE 'the schema belongs to %: that user may not become posthouse_owner', current_user;
		END;
	END IF;
	EXECUTE format('CREATE SCHEMA IF NOT EXISTS posthouse AUTHORIZATION %I', owner_role);
	EXECUTE format('CREATE SCHEMA IF NOT EXISTS posthouse_admin AUTHORIZATION %I', owner_role);
	EXECUTE format('SET LOCAL ROLE %I', owner_role);
END $$;

CREATE TABLE IF NOT EXISTS posthouse.schema_migrations (
	version int PRIMARY KEY,
	name text NOT NULL,
	checksum bytea NOT NULL,
	contracting bool NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now(),
	applied_by text NOT NULL DEFAULT session_user,
	ms int NOT NULL
);
COMMENT ON TABLE posthouse.schema_migrations IS 'Numbered migrations that were applied; contracting: older programs cannot go on';

CREATE TABLE IF NOT EXISTS posthouse.schema_files (
	name text PRIMARY KEY,
	checksum bytea NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE posthouse.schema_files IS 'Files that are replaced as a whole when their text changes: functions, views, grants';
