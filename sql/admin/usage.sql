/* SPDX-License-Identifier: Apache-2.0 */
/* Figures by hour, and prices. Added up by the nodes a few times a minute, kept longer than the request log. */
CREATE OR REPLACE VIEW posthouse_admin.usage_by_key WITH (security_barrier) AS
SELECT u.hour, k.name AS key_name, sum(u.requests)::bigint AS requests, sum(u.failed)::bigint AS failed,
	sum(u.replayed)::bigint AS replayed, sum(u.input_tokens)::bigint AS input_tokens,
	sum(u.cached_tokens)::bigint AS cached_tokens, sum(u.output_tokens)::bigint AS output_tokens,
	sum(u.reasoning_tokens)::bigint AS reasoning_tokens, trim_scale(sum(u.cost_nanos) * 0.000000001) AS cost,
	sum(u.unpriced)::bigint AS unpriced, round(sum(u.duration_us) / sum(u.requests) / 1000, 3) AS mean_ms,
	u.scope AS key_id
FROM posthouse.usage_hours u LEFT JOIN posthouse.api_keys k ON k.key_id = u.scope
GROUP BY u.hour, u.scope, k.name;

CREATE OR REPLACE VIEW posthouse_admin.usage_by_account WITH (security_barrier) AS
SELECT u.hour, a.name AS account, sum(u.requests)::bigint AS requests, sum(u.failed)::bigint AS failed,
	sum(u.replayed)::bigint AS replayed, sum(u.input_tokens)::bigint AS input_tokens,
	sum(u.cached_tokens)::bigint AS cached_tokens, sum(u.output_tokens)::bigint AS output_tokens,
	sum(u.reasoning_tokens)::bigint AS reasoning_tokens, trim_scale(sum(u.cost_nanos) * 0.000000001) AS cost,
	sum(u.unpriced)::bigint AS unpriced, round(sum(u.duration_us) / sum(u.requests) / 1000, 3) AS mean_ms,
	nullif(u.account_id, 0) AS account_id
FROM posthouse.usage_hours u LEFT JOIN posthouse.accounts a ON a.account_id = u.account_id
GROUP BY u.hour, u.account_id, a.name;

CREATE OR REPLACE VIEW posthouse_admin.usage_by_model WITH (security_barrier) AS
SELECT u.hour, nullif(u.model, '') AS model, sum(u.requests)::bigint AS requests, sum(u.failed)::bigint AS failed,
	sum(u.replayed)::bigint AS replayed, sum(u.input_tokens)::bigint AS input_tokens,
	sum(u.cached_tokens)::bigint AS cached_tokens, sum(u.output_tokens)::bigint AS output_tokens,
	sum(u.reasoning_tokens)::bigint AS reasoning_tokens, trim_scale(sum(u.cost_nanos) * 0.000000001) AS cost,
	sum(u.unpriced)::bigint AS unpriced, round(sum(u.duration_us) / sum(u.requests) / 1000, 3) AS mean_ms
FROM posthouse.usage_hours u
GROUP BY u.hour, u.model;

COMMENT ON VIEW posthouse_admin.usage_by_key IS
	'Turns, tokens and cost by hour and API key, some seconds behind, kept for the setting usage_retention';
COMMENT ON COLUMN posthouse_admin.usage_by_key.key_name IS 'The API key; NULL: authentication was off';
COMMENT ON COLUMN posthouse_admin.usage_by_key.key_id IS 'Its number; 0: authentication was off';
COMMENT ON VIEW posthouse_admin.usage_by_account IS
	'Turns, tokens and cost by hour and account, some seconds behind, kept for the setting usage_retention';
COMMENT ON COLUMN posthouse_admin.usage_by_account.account IS 'The account that answered; NULL: none did';
COMMENT ON COLUMN posthouse_admin.usage_by_account.account_id IS 'Its number; two with one name: one was removed';
COMMENT ON VIEW posthouse_admin.usage_by_model IS
	'Turns, tokens and cost by hour and model, some seconds behind, kept for the setting usage_retention';
COMMENT ON COLUMN posthouse_admin.usage_by_model.model IS 'The model that was asked for; NULL: none was named';

DO $$ -- what the three have in common
DECLARE
	v text;
	c text[];
BEGIN
	FOREACH v IN ARRAY ARRAY['usage_by_key', 'usage_by_account', 'usage_by_model']
	LOOP
		FOREACH c SLICE 1 IN ARRAY ARRAY[
			['hour', 'When the turns arrived: the hour that begins then'],
			['requests', 'Turns'],
			['failed', 'Of those, the ones that ended with an error'],
			['replayed', 'Of those, the ones whose conversation was sent again to an account'],
			['input_tokens', 'Input tokens, as upstream counted them'],
			['cached_tokens', 'Of those, the ones that came from upstream''s prompt cache'],
			['output_tokens', 'Output tokens, as upstream counted them'],
			['reasoning_tokens', 'Of those, the ones that the model thought with'],
			['cost', 'US dollars, by the prices that held when the turns ended'],
			['unpriced', 'Turns that cost is silent about: their model had no price in model_prices'],
			['mean_ms', 'Milliseconds from arrival to the end of the answer, on average']]
		LOOP
			EXECUTE format('COMMENT ON COLUMN posthouse_admin.%I.%I IS %L', v, c[1], c[2]);
		END LOOP;
	END LOOP;
END $$;
