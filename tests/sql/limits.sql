/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of keys: what is reserved, refused, settled and given back; which windows count; prices. */
CREATE FUNCTION test.key(p_name text) RETURNS bigint LANGUAGE sql AS $$ SELECT key_id FROM posthouse.api_keys WHERE name = p_name $$;
CREATE FUNCTION test.node(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid $$;
CREATE FUNCTION test.limit(p_limits jsonb) RETURNS void LANGUAGE sql AS $$
	DELETE FROM posthouse.key_reservations;
	DELETE FROM posthouse.usage_windows;
	SELECT posthouse.put_key_limits(test.key('k'), p_limits) $$;
/* 'requests ok, tokens busy': what reserve_turn() says of each limit. */
CREATE FUNCTION test.reserve(turn uuid DEFAULT gen_random_uuid(), node int DEFAULT 1, input bigint DEFAULT 10, output bigint DEFAULT 10,
	cost bigint DEFAULT 0) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(string_agg(concat_ws(' ', r.what, r.result), ', ' ORDER BY r.what), '')
	FROM posthouse.reserve_turn(turn, test.key('k'), test.node(node), input, output, cost) r $$;
CREATE FUNCTION test.settle(p_turn uuid, node int DEFAULT 1, p_outcome text DEFAULT 'completed') RETURNS text LANGUAGE sql AS $$
	SELECT result FROM test.turn(test.key('k'), 'resp_' || replace(p_turn::text, '-', ''), turn => p_turn, limited => test.node(node),
		outcome => p_outcome, keep => p_outcome = 'completed') $$;
CREATE FUNCTION test.used(p_what text) RETURNS text LANGUAGE sql AS $$
	SELECT used || '+' || reserved FROM posthouse.limits_now WHERE key_id = test.key('k') AND what = p_what $$;
SELECT posthouse.register_node(test.node(n), 'n' || n, '0.1.0', 15000) FROM generate_series(1, 3) n;
SELECT posthouse.create_limited_key('k', sha256('k'), 'ph_k', NULL, NULL, NULL, NULL, '{"requests": {"day": 2}}');

DO $$ -- what is accepted as limits, and what is not
DECLARE
	bad text;
BEGIN
	ASSERT (SELECT limits = '{requests:2/day}' FROM posthouse_admin.api_keys WHERE name = 'k');
	PERFORM test.limit('{"requests": {"minute": 60, "day": 1000}, "tokens": {"hour": 1000000}, "cost": {"month": 5.5}, "concurrent": 4}');
	ASSERT (SELECT limits = '{concurrent:4,cost:5.5usd/month,requests:60/minute,requests:1000/day,tokens:1000000/hour}'
		FROM posthouse_admin.api_keys WHERE name = 'k');
	ASSERT (SELECT limited FROM posthouse.load_api_keys() WHERE name = 'k');
	ASSERT (SELECT limited FROM posthouse.find_api_key(sha256('k')));
	FOREACH bad IN ARRAY ARRAY['[]', '7', '{"turns": {"day": 1}}', '{"requests": 5}', '{"requests": {"year": 5}}', '{"requests": {"": 5}}',
		'{"requests": {"day": 0}}', '{"requests": {"day": 1.5}}', '{"requests": {"day": -1}}', '{"requests": {"day": "7"}}',
		'{"requests": {"day": null}}', '{"requests": {"day": 1e19}}', '{"concurrent": {"day": 5}}', '{"cost": {"day": 0}}', '{"cost": 5}',
		'{"requests": {}}']
	LOOP
		ASSERT test.failure(format('SELECT test.limit(%L)', bad)) = 'P0001', bad;
	END LOOP;
	ASSERT (SELECT count(*) FROM posthouse.key_limits) = 5, 'what is refused changes nothing';
	PERFORM test.limit('{}');
	ASSERT (SELECT limits IS NULL FROM posthouse_admin.api_keys WHERE name = 'k');
	PERFORM test.limit(NULL), test.limit('null');
	ASSERT NOT (SELECT limited FROM posthouse.load_api_keys() WHERE name = 'k');
	ASSERT test.reserve() = '' AND NOT EXISTS (SELECT FROM posthouse.key_reservations), 'no limits, nothing to reserve';
END $$;

DO $$ -- requests: as many as that, those that run among them; settled once
DECLARE
	a uuid := gen_random_uuid();
	b uuid := gen_random_uuid();
BEGIN
	PERFORM test.limit('{"requests": {"day": 2}}');
	ASSERT test.reserve(a) = 'requests ok' AND test.reserve(b, 2) = 'requests ok' AND test.used('requests') = '0+2';
	ASSERT test.reserve(node => 3) = 'requests busy', 'either of them may yet come to nothing';
	ASSERT test.settle(a) = 'ok' AND test.used('requests') = '1+1';
	ASSERT test.settle(a) = 'duplicate' AND test.used('requests') = '1+1', 'once';
	ASSERT test.reserve() = 'requests busy';
	ASSERT test.settle(b, 2) = 'ok' AND test.used('requests') = '2+0';
	ASSERT test.reserve() = 'requests spent';
	ASSERT (SELECT count(*) FROM posthouse.usage_windows) = 2, 'each node its own';
	ASSERT (SELECT r.resets_ms BETWEEN 1 AND 86400000 AND r.per = 'day' AND r.size = 2 AND r.used = 2
		FROM posthouse.reserve_turn(gen_random_uuid(), test.key('k'), test.node(1), 1, 1, 0) r);
	/* Another limit does not forget what was used. */
	PERFORM posthouse.put_key_limits(test.key('k'), '{"requests": {"month": 3}}');
	ASSERT test.used('requests') = '2+0';
END $$;

DO $$ -- what came to nothing is given back: failed, its client gone, never sent; what had begun counts
DECLARE
	t uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 4));
BEGIN
	PERFORM test.limit('{"requests": {"day": 9}, "concurrent": 9}');
	PERFORM test.reserve(u) FROM unnest(t) u;
	ASSERT test.used('requests') = '0+4' AND test.used('concurrent') = '0+4';
	UPDATE posthouse.key_limits SET size = 9;
	PERFORM posthouse.release_turn(t[1]);
	PERFORM posthouse.settle_turns(ARRAY[t[2]], ARRAY[test.key('k')], ARRAY[test.node(1)], '{0}', '{0}', '{0}', '{NULL}');
	ASSERT test.used('requests') = '0+2';
	ASSERT test.settle(t[3], p_outcome => 'failed') = 'ok' AND test.used('requests') = '0+1';
	ASSERT test.settle(t[4], p_outcome => 'client_gone') = 'ok' AND test.used('requests') = '1+0';
	ASSERT posthouse.is_counted(1, 'completed', 0) AND posthouse.is_counted(1, 'incomplete', 0) AND posthouse.is_counted(1, 'failed', 1)
		AND NOT posthouse.is_counted(1, 'failed', 0) AND NOT posthouse.is_counted(1, 'client_gone', 0)
		AND NOT posthouse.is_counted(NULL, 'completed', 100);
END $$;

DO $$ -- tokens and money: by estimate before, as upstream counted after (1 in, 3 out, 5000 billionths)
DECLARE
	a uuid := gen_random_uuid();
BEGIN
	PERFORM test.limit('{"tokens": {"hour": 100}, "input_tokens": {"day": 60}, "output_tokens": {"week": 70}, "cost": {"month": 0.00001}}');
	ASSERT test.reserve(a, 1, 40, 50, 8000) = 'cost ok, input_tokens ok, output_tokens ok, tokens ok';
	ASSERT test.used('tokens') = '0+90' AND test.used('input_tokens') = '0+40' AND test.used('cost') = '0+8000';
	ASSERT test.reserve(input => 10, output => 1, cost => 1) = 'cost ok, input_tokens ok, output_tokens ok, tokens busy';
	ASSERT test.reserve(input => 30, output => 1, cost => 3000) = 'cost busy, input_tokens busy, output_tokens ok, tokens busy';
	ASSERT test.used('tokens') = '0+90', 'what is refused reserves nothing';
	PERFORM test.settle(a);
	ASSERT test.used('tokens') = '4+0' AND test.used('input_tokens') = '1+0' AND test.used('output_tokens') = '3+0'
		AND test.used('cost') = '5000+0';
	ASSERT test.reserve(input => 1, output => 1, cost => 6000) = 'cost spent, input_tokens ok, output_tokens ok, tokens ok';
	/* More than there is at all: where something was used it waits, and where nothing was it gets in. */
	ASSERT test.reserve(input => 5000, output => 1) LIKE '%, input_tokens spent, output_tokens ok, tokens spent';
	PERFORM test.limit('{"tokens": {"hour": 100}}');
	ASSERT test.reserve(a, 1, 5000, 5000) = 'tokens ok' AND test.reserve() = 'tokens busy';
	PERFORM posthouse.settle_turns(ARRAY[a], ARRAY[test.key('k')], ARRAY[test.node(1)], '{1}', '{5000}', '{7}', '{NULL}');
	ASSERT test.used('tokens') = '5007+0' AND test.reserve(input => 0, output => 0) = 'tokens spent', 'used more: the next is refused';
END $$;

DO $$ -- at a time: those of nodes that live
DECLARE
	a uuid := gen_random_uuid();
	b uuid := gen_random_uuid();
BEGIN
	PERFORM test.limit('{"concurrent": 2}');
	ASSERT test.reserve(a, 1) = 'concurrent ok' AND test.reserve(a, 1) = 'concurrent ok', 'asked again: one';
	ASSERT (SELECT count(*) FROM posthouse.key_reservations) = 1;
	ASSERT test.reserve(b, 2) = 'concurrent ok' AND test.reserve(node => 3) = 'concurrent busy';
	ASSERT (SELECT r.resets_ms = 0 AND r.per = '' FROM posthouse.reserve_turn(gen_random_uuid(), test.key('k'), test.node(3), 1, 1, 0) r);
	UPDATE posthouse.nodes SET heartbeat = clock_timestamp() - interval '16 s' WHERE node_id = test.node(2);
	ASSERT test.used('concurrent') = '0+1', 'node 2 is silent';
	PERFORM posthouse.sweep_nodes();
	ASSERT (SELECT array_agg(turn) = ARRAY[a] FROM posthouse.key_reservations);
	UPDATE posthouse.nodes SET heartbeat = clock_timestamp() WHERE node_id = test.node(2);
	/* Settled late all the same. */
	PERFORM posthouse.put_key_limits(test.key('k'), '{"concurrent": 2, "requests": {"day": 5}}');
	ASSERT test.settle(b, 2) = 'ok' AND test.used('requests') = '1+1';
	PERFORM posthouse.leave_node(test.node(1));
	ASSERT NOT EXISTS (SELECT FROM posthouse.key_reservations), 'it left';
	ASSERT test.reserve(node => 1) = 'unknown' AND NOT EXISTS (SELECT FROM posthouse.key_reservations);
	PERFORM posthouse.register_node(test.node(1), 'n1', '0.1.0', 15000);
	PERFORM test.reserve(a, 1);
	PERFORM posthouse_admin.forget_node('n1');
	ASSERT NOT EXISTS (SELECT FROM posthouse.key_reservations);
	PERFORM posthouse.register_node(test.node(1), 'n1', '0.1.0', 15000);
END $$;

DO $$ -- what a node does not run any more is given back, once it is old enough to be no call under way
DECLARE
	t uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 4));
BEGIN
	PERFORM test.limit('{"concurrent": 9}');
	PERFORM test.reserve(t[n], 1 + n / 4) FROM generate_series(1, 4) n;
	ASSERT posthouse.keep_reservations(test.node(1), t[1:1], 5000) = 0, 'too young';
	UPDATE posthouse.key_reservations SET made = made - interval '6 s' WHERE turn <> t[3];
	ASSERT posthouse.keep_reservations(test.node(1), t[1:1], 5000) = 1;
	ASSERT (SELECT array_agg(turn ORDER BY turn) = ARRAY(SELECT unnest(ARRAY[t[1], t[3], t[4]]) ORDER BY 1) FROM posthouse.key_reservations);
END $$;

DO $$ -- windows of the calendar, in UTC: each limit counts in its own
DECLARE
	v_key bigint := test.key('k');
BEGIN
	PERFORM test.limit('{"requests": {"minute": 100, "hour": 100, "day": 100, "week": 100, "month": 100}}');
	PERFORM test.settle(gen_random_uuid()), test.settle(gen_random_uuid());
	ASSERT (SELECT array_agg(w.per || ' ' || w.requests ORDER BY w.per) = '{"day 2","hour 2","minute 2"}' FROM posthouse.usage_windows w);
	ASSERT (SELECT count(*) = 5 AND min(used) = 2 AND max(used) = 2 FROM posthouse.limits_now WHERE key_id = v_key);
	SET LOCAL timezone = 'Pacific/Auckland';
	ASSERT (SELECT bool_and(resets > now() AND resets <= now() + ('1 ' || per)::interval AND used = 2) FROM posthouse.limits_now WHERE key_id = v_key);
	ASSERT (SELECT resets AT TIME ZONE 'UTC' = date_trunc('month', now() AT TIME ZONE 'UTC') + interval '1 month'
		FROM posthouse.limits_now WHERE key_id = v_key AND per = 'month');
	ASSERT (SELECT extract(isodow FROM resets AT TIME ZONE 'UTC') = 1 FROM posthouse.limits_now WHERE key_id = v_key AND per = 'week');
	UPDATE posthouse.usage_windows SET window_start = window_start - ('1 ' || per)::interval;
	ASSERT (SELECT used = 0 FROM posthouse.limits_now WHERE key_id = v_key AND per = 'minute');
	ASSERT (SELECT used = 0 FROM posthouse.limits_now WHERE key_id = v_key AND per = 'hour');
	ASSERT (SELECT used = 0 FROM posthouse.limits_now WHERE key_id = v_key AND per = 'day');
	ASSERT (SELECT bool_and(used = CASE WHEN posthouse.window_start('day') - interval '1 day' >= posthouse.window_start(per) THEN 2 ELSE 0 END)
		FROM posthouse.limits_now WHERE key_id = v_key AND per IN ('week', 'month'));
	UPDATE posthouse.usage_windows SET window_start = window_start - interval '41 days';
	PERFORM posthouse.sweep_nodes();
	ASSERT NOT EXISTS (SELECT FROM posthouse.usage_windows), 'no limit looks at them';
END $$;

DO $$ -- many at once (log_turns): the same, and once
DECLARE
	v_key bigint := test.key('k');
	t uuid[] := ARRAY(SELECT gen_random_uuid() FROM generate_series(1, 3));
	log text := $q$SELECT posthouse.log_turns(%L, '{n,n,n}', '{%s,%s,99}', '{r,r,r}', '{/,/,/}', '{m,m,m}', '{7,NULL,7}', '{none,none,none}',
		'{completed,failed,completed}', '{200,503,200}', '{NULL,NULL,NULL}', '{1,0,1}', '{0,0,0}', '{0,0,0}', '{t,t,t}', '{1,1,1}', '{1,1,1}',
		'{1,1,1}', '{1,0,1}', '{5,0,5}', '{0,0,0}', '{6,0,6}', '{1,0,1}', '{70,NULL,70}', '{0,0,0}', '{http,http,http}', '{chosen,NULL,chosen}',
		'{NULL,NULL,NULL}', %L, '{NULL,NULL,NULL}')$q$;
BEGIN
	PERFORM test.limit('{"requests": {"day": 9}, "tokens": {"day": 900}, "cost": {"day": 1}}');
	PERFORM test.reserve(t[1]), test.reserve(t[2]);
	log := format(log, t, v_key, v_key, ARRAY[test.node(1), test.node(1), NULL]);
	EXECUTE log;
	ASSERT test.used('requests') = '1+0' AND test.used('tokens') = '11+0' AND test.used('cost') = '70+0';
	EXECUTE log;
	ASSERT test.used('requests') = '1+0' AND (SELECT count(*) FROM posthouse.usage_windows) = 1;
	ASSERT (SELECT cost_nanos = 70 AND transport = 'http' AND chosen = 'chosen' FROM posthouse.request_log WHERE turn = t[1]);
END $$;

DO $$ -- as operators see and change it; an audit row, and the nodes hear of it
DECLARE
	was bigint := (SELECT version FROM posthouse.topics WHERE topic = 'api_keys');
	r record;
BEGIN
	PERFORM test.limit('{}');
	SELECT * INTO r FROM posthouse_admin.set_key_limits('k', '{"cost": {"month": 5.5}, "concurrent": 2}', 'too much');
	ASSERT r.key_name = 'k' AND r.new_limits = '{concurrent:2,cost:5.5usd/month}', r;
	ASSERT (SELECT version FROM posthouse.topics WHERE topic = 'api_keys') = was + 1;
	ASSERT (SELECT object = 'k' AND reason = 'too much' FROM posthouse_admin.audit WHERE verb = 'set_key_limits');
	ASSERT test.reserve(cost => 1500000000) = 'concurrent ok, cost ok';
	SELECT * INTO r FROM posthouse_admin.key_limits WHERE key_name = 'k' AND what = 'cost';
	ASSERT r."limit" = 5.5 AND r.used = 0 AND r.reserved = 1.5 AND r.remaining = 4 AND r.per = 'month' AND r.resets > now()
		AND r.name = 'cost:5.5usd/month', r;
	SELECT * INTO r FROM posthouse_admin.key_limits WHERE key_name = 'k' AND what = 'concurrent';
	ASSERT r."limit" = 2 AND r.used = 0 AND r.reserved = 1 AND r.remaining = 1 AND r.per IS NULL AND r.resets IS NULL, r;
	ASSERT (SELECT new_limits = '{}' FROM posthouse_admin.set_key_limits('k', NULL));
	ASSERT test.failure($q$SELECT posthouse_admin.set_key_limits('nobody', NULL)$q$) = 'P0001';
	ASSERT test.failure($q$SELECT posthouse_admin.set_key_limits('k', '{"x": 1}')$q$) = 'P0001';
END $$;

DO $$ -- what a key is told of itself
DECLARE
	j jsonb;
BEGIN
	PERFORM test.limit('{"cost": {"month": 5.5}, "requests": {"day": 10}}');
	PERFORM test.settle(gen_random_uuid());
	PERFORM test.reserve(cost => 1500000000);
	j := posthouse.usage_of(test.key('k'))::jsonb;
	ASSERT j ->> 'object' = 'usage' AND jsonb_array_length(j -> 'limits') = 2, j;
	ASSERT (j -> 'limits' -> 0) - 'resets_at' = '{"limit": "cost", "per": "month", "size": 5.5, "used": 0.000005, "reserved": 1.5,
		"remaining": 3.999995}', j;
	ASSERT (j -> 'limits' -> 1) - 'resets_at' = '{"limit": "requests", "per": "day", "size": 10, "used": 1, "reserved": 1, "remaining": 8}', j;
	ASSERT (j -> 'limits' -> 1 ->> 'resets_at')::bigint BETWEEN extract(epoch FROM now()) AND extract(epoch FROM now()) + 86400, j;
	ASSERT j -> 'today' = '{"requests": 1, "input_tokens": 1, "output_tokens": 3, "cost_usd": 0.000005}' AND j -> 'this_month' = j -> 'today', j;
	INSERT INTO posthouse.usage_hours (hour, scope, account_id, model, requests, failed, input_tokens, cost_nanos)
	VALUES (posthouse.window_start('hour'), test.key('k'), 0, 'm', 7, 2, 90, 1000000000);
	j := posthouse.usage_of(test.key('k'))::jsonb;
	ASSERT j -> 'today' = '{"requests": 5, "input_tokens": 90, "output_tokens": 3, "cost_usd": 1}', j;
	ASSERT posthouse.usage_of(0)::jsonb -> 'limits' = '[]';
END $$;

DO $$ -- prices: however they are edited, the nodes hear of it
DECLARE
	was bigint := (SELECT version FROM posthouse.topics WHERE topic = 'prices');
	r record;
BEGIN
	ASSERT (SELECT count(*) > 20 AND bool_and(cached_per_million <= input_per_million) FROM posthouse_admin.model_prices);
	SELECT * INTO r FROM posthouse_admin.set_model_price('mine', 0.5, NULL, 2, 'contract');
	ASSERT r.model_name = 'mine' AND r.input = 0.5 AND r.cached = 0.5 AND r.output = 2, r;
	ASSERT (SELECT input = 500000000 AND cached = 500000000 AND output = 2000000000 FROM posthouse.load_prices() WHERE model = 'mine');
	PERFORM posthouse_admin.set_model_price('mine', 1, 0.25, 2);
	UPDATE posthouse.model_prices SET output_per_million = 3 WHERE model = 'mine';
	ASSERT (SELECT version FROM posthouse.topics WHERE topic = 'prices') >= was + 3;
	ASSERT (SELECT removed FROM posthouse_admin.remove_model_price('mine')) AND NOT (SELECT removed FROM posthouse_admin.remove_model_price('mine'));
	ASSERT test.failure($q$SELECT posthouse_admin.set_model_price('', 1, 1, 1)$q$) = '23514';
	ASSERT test.failure($q$SELECT posthouse_admin.set_model_price('m', -1, 1, 1)$q$) = '23514';
	ASSERT (SELECT array_agg(length(model)) = ARRAY(SELECT length(model) FROM posthouse.model_prices ORDER BY 1 DESC) FROM posthouse.load_prices());
	ASSERT (SELECT count(*) FROM posthouse_admin.audit WHERE verb IN ('set_model_price', 'remove_model_price')) = 4;
END $$;

SET ROLE posthouse_node;
DO $$ -- nodes change all this through these functions only
DECLARE
	forbidden text;
BEGIN
	FOREACH forbidden IN ARRAY ARRAY['SELECT FROM posthouse.key_reservations', 'SELECT FROM posthouse.usage_windows',
		'DELETE FROM posthouse.key_limits', 'DELETE FROM posthouse.model_prices', 'SELECT posthouse.drop_reservations(test.node(1))',
		'SELECT posthouse.sweep_limits()', 'SELECT posthouse.put_key_limits(1, NULL)', 'SELECT FROM posthouse.limits_now']
	LOOP
		ASSERT test.failure(forbidden) = '42501', forbidden;
	END LOOP;
	ASSERT test.reserve(gen_random_uuid()) = 'cost ok, requests ok';
	ASSERT test.failure('SELECT FROM posthouse_admin.key_limits, posthouse_admin.model_prices') = '';
END $$;
RESET ROLE;
