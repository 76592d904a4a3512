/* SPDX-License-Identifier: Apache-2.0 */
CREATE OR REPLACE VIEW posthouse_admin.preferences WITH (security_barrier) AS
SELECT k.name AS key_name, encode(p.signal, 'hex') AS conversation, a.name AS account,
	CASE a.state WHEN 'active' THEN CASE WHEN h.until <= now() THEN 'active' ELSE coalesce(h.state, 'active') END
		ELSE a.state END AS account_state,
	p.updated, p.moved, (ARRAY['chain', 'thread-id', 'session-id', 'prompt_cache_key'])[get_byte(p.signal, 0) + 1] AS named_by,
	p.scope, p.account_id
FROM posthouse.preferences p
LEFT JOIN posthouse.api_keys k ON k.key_id = p.scope
JOIN posthouse.accounts a ON a.account_id = p.account_id
LEFT JOIN posthouse.account_health h ON h.account_id = p.account_id;
COMMENT ON VIEW posthouse_admin.preferences IS
	'On which account conversations stay for the sake of its prompt cache; those that were silent for a day are forgotten';
COMMENT ON COLUMN posthouse_admin.preferences.key_name IS 'The API key; NULL: authentication was off';
COMMENT ON COLUMN posthouse_admin.preferences.conversation IS
	'Digest of what names it';
COMMENT ON COLUMN posthouse_admin.preferences.account IS 'Where its turns go if that account can take them';
COMMENT ON COLUMN posthouse_admin.preferences.account_state IS
	'How that account stands: active, or why the conversation''s next turn will move it';
COMMENT ON COLUMN posthouse_admin.preferences.updated IS 'When its last turn chose; up to a minute old';
COMMENT ON COLUMN posthouse_admin.preferences.moved IS 'When it last went to another account; NULL: it is where it began';
COMMENT ON COLUMN posthouse_admin.preferences.named_by IS
	'What names it: the first response of its chain, or the first that its first turn had of thread-id, session-id and prompt_cache_key';
COMMENT ON COLUMN posthouse_admin.preferences.scope IS 'The number of the key';
COMMENT ON COLUMN posthouse_admin.preferences.account_id IS 'The number of the account';
