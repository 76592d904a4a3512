/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of API keys and prices of models: what operators see of them, and how they change them. */
/* Who reads a view needs no right on its tables, but one on every function in it: so the next two call none of ours. */

/* With the name that the command line takes: requests:1000/day, cost:5usd/month, concurrent:4. */
CREATE OR REPLACE VIEW posthouse.limits_named AS
SELECT l.key_id, l.what, l.per, l.size,
	l.what || ':' || CASE l.what WHEN 'cost' THEN trim_scale(l.size / 1e9) || 'usd' ELSE l.size::text END
		|| CASE l.per WHEN '' THEN '' ELSE '/' || l.per END AS name
FROM posthouse.key_limits l;

/*
 * How far each key has come: used by turns that ended, reserved by those that run on nodes that live. In the units of
 * the tables; resets is NULL where the limit is of turns at a time.
 */
CREATE OR REPLACE VIEW posthouse.limits_now AS
SELECT l.key_id, l.what, l.per, l.size, l.name,
	coalesce(CASE l.what WHEN 'requests' THEN u.requests WHEN 'input_tokens' THEN u.input WHEN 'output_tokens' THEN u.output
		WHEN 'tokens' THEN u.input + u.output WHEN 'cost' THEN u.cost END, 0) AS used,
	CASE l.what WHEN 'input_tokens' THEN r.input WHEN 'output_tokens' THEN r.output WHEN 'tokens' THEN r.input + r.output
		WHEN 'cost' THEN r.cost ELSE r.turns END AS reserved,
	CASE WHEN l.per <> '' THEN (b.began + ('1 ' || l.per)::interval) AT TIME ZONE 'UTC' END AS resets
FROM posthouse.limits_named l
CROSS JOIN LATERAL (SELECT date_trunc(nullif(l.per, ''), now() AT TIME ZONE 'UTC') AS began) b
CROSS JOIN LATERAL (SELECT count(*) AS turns, coalesce(sum(v.input_tokens), 0)::bigint AS input,
		coalesce(sum(v.output_tokens), 0)::bigint AS output, coalesce(sum(v.cost_nanos), 0)::bigint AS cost
	FROM posthouse.key_reservations v JOIN posthouse.nodes n ON n.node_id = v.node_id
	WHERE v.key_id = l.key_id AND n.heartbeat + n.ttl > now()) r
CROSS JOIN LATERAL (SELECT sum(w.requests)::bigint AS requests, sum(w.input_tokens)::bigint AS input,
		sum(w.output_tokens)::bigint AS output, sum(w.cost_nanos)::bigint AS cost
	FROM posthouse.usage_windows w
	WHERE w.scope = l.key_id AND w.per = CASE WHEN l.per IN ('minute', 'hour') THEN l.per ELSE 'day' END
		AND w.window_start >= b.began AT TIME ZONE 'UTC') u;

CREATE OR REPLACE VIEW posthouse_admin.key_limits WITH (security_barrier) AS
SELECT k.name AS key_name, l.what, nullif(l.per, '') AS per, trim_scale(l.size / d.unit) AS "limit",
	trim_scale(l.used / d.unit) AS used, trim_scale(l.reserved / d.unit) AS reserved,
	trim_scale(greatest(0, l.size - l.used - l.reserved) / d.unit) AS remaining, l.resets,
	l.name
FROM posthouse.limits_now l JOIN posthouse.api_keys k ON k.key_id = l.key_id
CROSS JOIN LATERAL (SELECT CASE l.what WHEN 'cost' THEN 1e9 ELSE 1 END) AS d (unit)
ORDER BY k.name, l.what, l.size;
COMMENT ON VIEW posthouse_admin.key_limits IS
	'What API keys may use, and how far they have come; one row per limit. Windows are those of the calendar, in UTC';
COMMENT ON COLUMN posthouse_admin.key_limits.key_name IS 'The API key';
COMMENT ON COLUMN posthouse_admin.key_limits.what IS
	'requests (turns), input_tokens, output_tokens, tokens (both), cost (US dollars) or concurrent (turns at a time)';
COMMENT ON COLUMN posthouse_admin.key_limits.per IS 'minute, hour, day, week (from Monday) or month; NULL: at a time';
COMMENT ON COLUMN posthouse_admin.key_limits."limit" IS 'As much as that';
COMMENT ON COLUMN posthouse_admin.key_limits.used IS 'By turns that ended in this window, since the key has limits';
COMMENT ON COLUMN posthouse_admin.key_limits.reserved IS 'Set aside for turns that run, by estimate; for concurrent: their number';
COMMENT ON COLUMN posthouse_admin.key_limits.remaining IS 'What the next turn may set aside';
COMMENT ON COLUMN posthouse_admin.key_limits.resets IS 'When the window ends and the count begins anew; NULL: at a time';
COMMENT ON COLUMN posthouse_admin.key_limits.name IS 'The limit as the command line takes it: requests:1000/day';

CREATE OR REPLACE VIEW posthouse_admin.model_prices WITH (security_barrier) AS
SELECT p.model, p.input_per_million, p.cached_per_million, p.output_per_million, p.updated
FROM posthouse.model_prices p ORDER BY p.model;
COMMENT ON VIEW posthouse_admin.model_prices IS
	'What turns cost: a turn''s model is looked up by its whole name, else by the longest name here that it begins with; without one its cost is unknown. Defaults are list prices of December 2025: check them';
COMMENT ON COLUMN posthouse_admin.model_prices.model IS 'A model, or how the names of several begin';
COMMENT ON COLUMN posthouse_admin.model_prices.input_per_million IS 'US dollars per million input tokens that were not cached';
COMMENT ON COLUMN posthouse_admin.model_prices.cached_per_million IS 'US dollars per million input tokens from the prompt cache';
COMMENT ON COLUMN posthouse_admin.model_prices.output_per_million IS 'US dollars per million output tokens, reasoning included';
COMMENT ON COLUMN posthouse_admin.model_prices.updated IS 'When it was written';

CREATE OR REPLACE FUNCTION posthouse_admin.set_key_limits(name text, limits jsonb, reason text DEFAULT NULL)
RETURNS TABLE (key_name text, new_limits text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_id bigint;
BEGIN
	SELECT k.key_id INTO v_id FROM posthouse.api_keys k WHERE k.name = set_key_limits.name FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'there is no key named "%"', set_key_limits.name;
	END IF;
	PERFORM posthouse.put_key_limits(v_id, set_key_limits.limits);
	PERFORM posthouse.note('set_key_limits', set_key_limits.name, reason);
	PERFORM posthouse.bump('api_keys');
	RETURN QUERY SELECT set_key_limits.name, ARRAY(SELECT l.name
		FROM posthouse.limits_named l WHERE l.key_id = v_id ORDER BY l.what, l.size);
END $$;
COMMENT ON FUNCTION posthouse_admin.set_key_limits(text, jsonb, text) IS
	'What the key may use from now on, in place of the limits that it had; what it used in a window goes on to count. name: the key; limits: {"requests": {"minute": 60, "day": 1000}, "cost": {"month": 5.5}, "concurrent": 4} with requests, input_tokens, output_tokens, tokens and cost (US dollars) per minute, hour, day, week or month; NULL for none; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.set_model_price(model text, input_per_million numeric, cached_per_million numeric,
	output_per_million numeric, reason text DEFAULT NULL)
RETURNS TABLE (model_name text, input numeric, cached numeric, output numeric)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
BEGIN
	INSERT INTO posthouse.model_prices AS p (model, input_per_million, cached_per_million, output_per_million)
	VALUES (set_model_price.model, set_model_price.input_per_million,
		coalesce(set_model_price.cached_per_million, set_model_price.input_per_million), set_model_price.output_per_million)
	ON CONFLICT (model) DO UPDATE SET input_per_million = excluded.input_per_million,
		cached_per_million = excluded.cached_per_million, output_per_million = excluded.output_per_million, updated = now();
	PERFORM posthouse.note('set_model_price', set_model_price.model, reason);
	RETURN QUERY SELECT p.model, p.input_per_million, p.cached_per_million, p.output_per_million
		FROM posthouse.model_prices p WHERE p.model = set_model_price.model;
END $$;
COMMENT ON FUNCTION posthouse_admin.set_model_price(text, numeric, numeric, numeric, text) IS
	'What turns cost from now on, in US dollars per million tokens. model: its name, or how the names of several begin; input_per_million; cached_per_million: NULL for the same; output_per_million; reason: for the audit';

CREATE OR REPLACE FUNCTION posthouse_admin.remove_model_price(model text, reason text DEFAULT NULL)
RETURNS TABLE (model_name text, removed bool)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, posthouse, pg_temp AS $$
#variable_conflict use_column
DECLARE
	v_found bool;
BEGIN
	DELETE FROM posthouse.model_prices p WHERE p.model = remove_model_price.model;
	v_found := FOUND;
	PERFORM posthouse.note('remove_model_price', remove_model_price.model, reason);
	RETURN QUERY SELECT remove_model_price.model, v_found;
END $$;
COMMENT ON FUNCTION posthouse_admin.remove_model_price(text, text) IS
	'The model has no price of its own any more. model: as model_prices has it; reason: for the audit';
