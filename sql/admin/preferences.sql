/* SPDX-License-Identifier: Apache-2.0 */
CREATE OR REPLACE VIEW posthouse_admin.preferences WITH (security_barrier) AS
SELECT k.name AS key_name, encode(p.signal, 'hex') AS conversation, a.name AS account,
	CASE a.state WHEN 'active' THEN CASE WHEN h.until <= now() THEN 'active' ELSE coalesce(h.state, 'active') END
		ELSE a.state END AS account_state,
	p.updated
FROM posthouse.preferences p
LEFT JOIN posthouse.api_keys k ON k.key_id = p.scope
JOIN posthouse.accounts a ON a.account_id = p.account_id
LEFT JOIN posthouse.account_health h ON h.account_id = p.account_id;
COMMENT ON VIEW posthouse_admin.preferences IS 'On which account conversations stay for the sake of its prompt cache';
COMMENT ON COLUMN posthouse_admin.preferences.key_name IS 'The API key; NULL: authentication was off';
COMMENT ON COLUMN posthouse_admin.preferences.conversation IS
	'Digest of what names it: the chain''s root, thread-id, session-id or prompt_cache_key';
COMMENT ON COLUMN posthouse_admin.preferences.account IS 'Where its turns go if that account can take them';
COMMENT ON COLUMN posthouse_admin.preferences.account_state IS
	'How that account stands: active, or why the conversation''s next turn will move it';
COMMENT ON COLUMN posthouse_admin.preferences.updated IS 'When its last turn chose; up to a minute old';
