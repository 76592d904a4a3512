/* SPDX-License-Identifier: Apache-2.0 */
/* Each verb and each table by each role; secrets; what runs with its owner's rights. */
\ir 00_helpers.sql
SELECT no_plan();
CREATE ROLE test_stranger;

/* ---- the roles themselves ---- */
SELECT is_empty($$
	SELECT r.rolname FROM pg_roles r WHERE r.rolname ~ '^posthouse_'
		AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication)
	$$, 'no role has more than it needs');
SELECT is_empty($$
	SELECT m.roleid::regrole, m.member::regrole FROM pg_auth_members m
	WHERE m.member IN ('posthouse_node'::regrole, 'posthouse_operator'::regrole, 'posthouse_viewer'::regrole)
	$$, 'no role is a member of another one');
SELECT is((SELECT string_agg(r.rolname || CASE WHEN r.rolcanlogin THEN ' logs in' ELSE '' END, ', ' ORDER BY r.rolname) FROM pg_roles r
		WHERE r.rolname ~ '^posthouse_'),
	'posthouse_node logs in, posthouse_operator, posthouse_owner, posthouse_viewer', 'only nodes log in as a role of ours');
SELECT is_empty($$
	SELECT c.oid::regclass::text FROM pg_class c
	WHERE c.relnamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND c.relowner <> 'posthouse_owner'::regrole
	UNION ALL
	SELECT p.oid::regprocedure::text FROM pg_proc p
	WHERE p.pronamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND p.proowner <> 'posthouse_owner'::regrole
	$$, 'everything belongs to posthouse_owner');

/* ---- each verb by each role, really called ---- */
CREATE TABLE test.verb AS
SELECT p.oid, p.proname, format('SELECT * FROM posthouse_admin.%I(%s)', p.proname,
	(SELECT string_agg('NULL::' || t::regtype, ', ') FROM unnest(p.proargtypes) AS t)) AS call
FROM pg_proc p WHERE p.pronamespace = 'posthouse_admin'::regnamespace AND p.proname <> 'chain';
SELECT is(test.as_role(r, v.call), '42501', format('%s is refused to %s', v.proname, r))
FROM test.verb v, unnest('{posthouse_viewer,pg_monitor,test_stranger}'::name[]) AS r;
SELECT isnt(test.as_role(r, v.call), '42501', format('%s is allowed to %s', v.proname, r))
FROM test.verb v, unnest('{posthouse_operator,posthouse_node}'::name[]) AS r;
SELECT is(test.as_role(r, $$SELECT * FROM posthouse_admin.chain('nobody', 'x')$$), 'P0001', 'chain is allowed to ' || r)
FROM unnest('{posthouse_node,posthouse_viewer,posthouse_operator,pg_monitor}'::name[]) AS r;
SELECT is(test.as_role('test_stranger', $$SELECT * FROM posthouse_admin.chain('nobody', 'x')$$), '42501', 'but not to others');

/* ---- each view by each role ---- */
SELECT is(test.as_role(r, format('SELECT count(v::text) FROM posthouse_admin.%I v', c.relname)),
	CASE r WHEN 'test_stranger' THEN '42501' ELSE '' END, format('%s by %s', c.relname, r))
FROM pg_class c, unnest('{posthouse_node,posthouse_viewer,posthouse_operator,pg_monitor,test_stranger}'::name[]) AS r
WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v';
SELECT is_empty(format($$
	SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v'
		AND has_table_privilege(%L, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
	$$, r), r || ' writes to no view')
FROM unnest('{posthouse_node,posthouse_viewer,posthouse_operator,pg_monitor,test_stranger}'::name[]) AS r;

/* ---- the private schema ---- */
SELECT is_empty(format($$
	SELECT c.oid::regclass FROM pg_class c
	WHERE c.relnamespace = 'posthouse'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
		AND c.relname NOT IN ('schema_migrations', 'schema_files') -- whether program and schema fit each other
		AND (has_any_column_privilege(%1$L, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
			OR has_table_privilege(%1$L, c.oid, 'DELETE, TRUNCATE, TRIGGER'))
	$$, r), r || ' has no right on any table, view or sequence of the schema posthouse')
FROM unnest('{posthouse_viewer,posthouse_operator,pg_monitor,test_stranger}'::name[]) AS r;
SELECT ok(NOT has_table_privilege(r, 'posthouse.' || t, 'INSERT, UPDATE, DELETE, TRUNCATE'), format('%s only reads %s', r, t))
FROM unnest('{posthouse_viewer,posthouse_operator,posthouse_node}'::name[]) AS r, unnest('{schema_migrations,schema_files}'::text[]) AS t;
SELECT is_empty($$
	SELECT c.oid::regclass FROM pg_class c
	WHERE c.relnamespace = 'posthouse'::regnamespace AND c.relispartition AND c.relkind IN ('r', 'p')
		AND (has_any_column_privilege('posthouse_node', c.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
			OR has_table_privilege('posthouse_node', c.oid, 'DELETE, TRUNCATE, TRIGGER'))
	$$, 'posthouse_node has no right on any partition');
SELECT is(test.as_role(r, format('SELECT FROM posthouse.%I LIMIT 0', c.relname)), '42501', format('%s itself, by %s', c.relname, r))
FROM pg_class c, unnest('{posthouse_node,posthouse_operator,posthouse_viewer}'::name[]) AS r
WHERE c.relnamespace = 'posthouse'::regnamespace AND c.relispartition AND c.relkind IN ('r', 'p');
SELECT is_empty($$
	SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'posthouse'::regnamespace AND c.relkind IN ('r', 'p')
		AND has_table_privilege('posthouse_node', c.oid, 'DELETE, TRUNCATE')
	$$, 'posthouse_node deletes nothing with its own rights');
SELECT ok(NOT has_any_column_privilege('posthouse_node', 'posthouse.audit', 'SELECT, INSERT, UPDATE'), 'nodes do not touch the audit');

/* ---- secrets ---- */
SELECT is_empty($$
	SELECT a.attrelid::regclass || '.' || a.attname, r.rolname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, pg_roles r
	WHERE c.relnamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND c.relkind IN ('r', 'p', 'v')
		AND a.attname IN ('sealed', 'hash') AND NOT r.rolsuper
		AND r.rolname NOT IN ('posthouse_owner', 'posthouse_node', 'pg_read_all_data')
		AND NOT pg_has_role(r.oid, 'posthouse_node', 'USAGE') AND NOT pg_has_role(r.oid, 'posthouse_owner', 'USAGE')
		AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'USAGE')
		AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
	$$, 'no role but the node''s reads sealed secrets or digests of keys');
INSERT INTO posthouse.accounts (account_id, name, kind, base_url) VALUES (9, 'nine', 'platform', 'http://x');
INSERT INTO posthouse.account_secrets (account_id, sealed, key_id) VALUES (9, 'canary-sealed-secret', '\x0102030405060708');
INSERT INTO posthouse.api_keys (name, hash, prefix) VALUES ('k', sha256('canary'), 'ph_abcdefg');
SELECT test.keep(k.key_id, 'resp_canary', 0, '"canary-of-the-input"', '"canary-of-the-output"') FROM posthouse.api_keys k WHERE k.name = 'k';
SELECT unalike((xpath('string(.)', query_to_xml(format('SELECT v::text FROM posthouse_admin.%I v', c.relname), true, false, '')))[1]::text
	|| coalesce(query_to_xml(format('SELECT v::text FROM posthouse_admin.%I v', c.relname), true, false, '')::text, ''), s.pattern,
	format('%s does not show %s', c.relname, s.pattern))
FROM pg_class c, (VALUES ('%canary-%'), ('%' || encode('canary-sealed-secret', 'hex') || '%'), ('%' || encode(sha256('canary'), 'hex') || '%'),
	('%' || encode('"canary-of-the-input"', 'hex') || '%')) AS s (pattern)
WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v';
SELECT unalike((SELECT string_agg(h::text, '') FROM posthouse_admin.chain('k', 'resp_canary') h), '%canary-%', 'nor does chain()');
SELECT is((SELECT count(*) FROM posthouse_admin.chain('k', 'resp_canary')), 1::bigint, 'which finds the turn');

/* ---- hygiene ---- */
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc p
	WHERE p.pronamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND p.prosecdef
		AND NOT coalesce('search_path=pg_catalog, posthouse, pg_temp' = ANY (p.proconfig), false)
	$$, 'what runs with its owner''s rights has a search path that nobody else can fill');
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
	WHERE p.pronamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND a.grantee = 0
	$$, 'PUBLIC may call nothing');
SELECT is_empty($$
	SELECT c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
	WHERE c.relnamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) AND a.grantee = 0
	$$, 'PUBLIC may read nothing');
SELECT ok(NOT has_schema_privilege('test_stranger', s, 'USAGE, CREATE'), 'strangers do not enter ' || s)
FROM unnest('{posthouse,posthouse_admin}'::text[]) AS s;
SELECT ok(NOT has_schema_privilege(r, s, 'CREATE'), format('%s makes nothing in %s', r, s))
FROM unnest('{posthouse,posthouse_admin}'::text[]) AS s, unnest('{posthouse_node,posthouse_operator,posthouse_viewer,pg_monitor}'::name[]) AS r;
SELECT is_empty($$ SELECT d.* FROM pg_default_acl d WHERE d.defaclnamespace IN ('posthouse'::regnamespace, 'posthouse_admin'::regnamespace) $$,
	'nothing is granted by default: a new partition would be open');
SELECT * FROM finish();
ROLLBACK;
