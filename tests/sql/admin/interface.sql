/* SPDX-License-Identifier: Apache-2.0 */
/* The interface is complete, and every part of it says what it is. */
\ir 00_helpers.sql
SELECT no_plan();

SELECT has_view('posthouse_admin', v, v || ' is there')
FROM unnest('{nodes,accounts,account_health,leases,api_keys,requests,snapshot_stats,preferences,settings,audit,doctor,usage_by_key,usage_by_account,usage_by_model}'::text[]) AS v;

SELECT has_function('posthouse_admin', f.name, f.arguments, f.name || ' is there')
FROM (VALUES ('pause_account', '{text,text}'::name[]), ('resume_account', '{text,text}'), ('drain_account', '{text,text}'),
	('set_account_limit', '{text,integer,text}'), ('release_leases', '{text,text}'), ('drain_node', '{text,text}'),
	('forget_node', '{text,text}'), ('create_api_key', '{text,jsonb}'), ('revoke_api_key', '{text,text}'),
	('purge_snapshots', '{text,text}'), ('set_setting', '{text,text,text}'), ('remove_account', '{text,text}'),
	('chain', '{text,text}')) AS f (name, arguments);
SELECT function_returns('posthouse_admin', 'create_api_key', '{text,jsonb}'::name[], 'text');

/* Comments: 100 %. */
SELECT is_empty($$
	SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c
	LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v'
		AND (coalesce(obj_description(c.oid, 'pg_class'), '') = '' OR coalesce(col_description(c.oid, a.attnum), '') = '')
	$$, 'every view and column has a comment');
SELECT is_empty($$
	SELECT p.oid::regprocedure FROM pg_proc p
	WHERE p.pronamespace = 'posthouse_admin'::regnamespace AND coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
	$$, 'every function has a comment');
SELECT is_empty($$
	SELECT p.oid::regprocedure || ' ' || a.name FROM pg_proc p, unnest(p.proargnames[:p.pronargs]) AS a (name)
	WHERE p.pronamespace = 'posthouse_admin'::regnamespace
		AND obj_description(p.oid, 'pg_proc') !~ ('\m' || a.name || '[:;]')
	$$, 'the comment of a function names each of its arguments');
SELECT is_empty($$
	SELECT c.relname FROM pg_class c
	WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind NOT IN ('v', 'c')
	$$, 'the interface has views only, no table of its own');
SELECT is_empty($$
	SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v'
		AND NOT coalesce(c.reloptions @> '{security_barrier=true}', false)
	$$, 'every view is a security barrier');

/* Every view can be read whole, also where everything is empty and where there is something. */
SELECT lives_ok(format('SELECT count(v::text) FROM posthouse_admin.%I v', c.relname), c.relname || ' can be read')
FROM pg_class c WHERE c.relnamespace = 'posthouse_admin'::regnamespace AND c.relkind = 'v';
SELECT test.turn(0, 'resp_1', p_cost => 1234567890);
SELECT results_eq($$
	SELECT key_name, queued_ms, first_event_ms, duration_ms, reasoning_tokens, cost, transport, chosen, ended - started
	FROM posthouse_admin.requests
	$$, $$ VALUES (NULL, 1.5, 500.0, 2000.0, 2::bigint, 1.23456789, 'http', 'chosen', interval '2 seconds') $$,
	'a request says why it was slow, why that account, and what it cost');
SELECT results_eq($$ SELECT day, class, days_left FROM posthouse_admin.snapshot_stats WHERE day = (now() AT TIME ZONE 'UTC')::date $$,
	$$ VALUES ((now() AT TIME ZONE 'UTC')::date, 'stored', 60), ((now() AT TIME ZONE 'UTC')::date, 'unstored', 2) $$,
	'snapshots have a row for each day and class');
SELECT * FROM finish();
ROLLBACK;
