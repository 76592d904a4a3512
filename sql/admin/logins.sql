/* SPDX-License-Identifier: Apache-2.0 */
/* Accounts as logins: whose they are, when their tokens are renewed, what polls of them brought. */
CREATE OR REPLACE VIEW posthouse_admin.account_logins WITH (security_barrier) AS
SELECT a.name, a.identity, a.email, a.plan, s.updated AS secret_updated, r.renewed AS last_renewal, p.renews AS next_renewal,
	coalesce(r.failures, 0) AS renewal_failures, CASE WHEN r.rests_until > now() THEN r.rests_until END AS renewal_rests_until,
	CASE WHEN r.claimed_until > now() THEN n.name END AS renewing_node, p.polled AS last_poll, p.result AS poll_result,
	coalesce(p.failures, 0) AS poll_failures, p.answered AS last_answer, p.node AS poll_node, a.account_id
FROM posthouse.accounts a
LEFT JOIN posthouse.account_secrets s ON s.account_id = a.account_id
LEFT JOIN posthouse.account_refresh r ON r.account_id = a.account_id
LEFT JOIN posthouse.account_polls p ON p.account_id = a.account_id
LEFT JOIN posthouse.nodes n ON n.node_id = r.node_id
WHERE a.kind = 'codex' AND a.state <> 'removed' ORDER BY a.name;
COMMENT ON VIEW posthouse_admin.account_logins IS 'Accounts of kind codex: whose they are, the renewal of their tokens, polls of their usage';
COMMENT ON COLUMN posthouse_admin.account_logins.name IS 'The account';
COMMENT ON COLUMN posthouse_admin.account_logins.identity IS 'Whose login it is: account, workspace, person; NULL: not told';
COMMENT ON COLUMN posthouse_admin.account_logins.email IS 'As its usage endpoint said last; NULL: not told';
COMMENT ON COLUMN posthouse_admin.account_logins.plan IS 'The plan, as its tokens or its upstream said last; NULL: not told';
COMMENT ON COLUMN posthouse_admin.account_logins.secret_updated IS 'When its tokens were last written, by a login or a renewal';
COMMENT ON COLUMN posthouse_admin.account_logins.last_renewal IS 'When its token was last renewed; NULL: never';
COMMENT ON COLUMN posthouse_admin.account_logins.next_renewal IS 'When its token is to be renewed, as the node planned it that polled last; NULL: not known, or never';
COMMENT ON COLUMN posthouse_admin.account_logins.renewal_failures IS 'Renewals in a row of which nothing came';
COMMENT ON COLUMN posthouse_admin.account_logins.renewal_rests_until IS 'No renewal is tried before; NULL: one may be';
COMMENT ON COLUMN posthouse_admin.account_logins.renewing_node IS 'The node that renews it at this moment; NULL: none';
COMMENT ON COLUMN posthouse_admin.account_logins.last_poll IS 'When its usage endpoint was last asked';
COMMENT ON COLUMN posthouse_admin.account_logins.poll_result IS 'ok, or what went wrong: a status, or why there was no answer';
COMMENT ON COLUMN posthouse_admin.account_logins.poll_failures IS 'Polls in a row that were not ok';
COMMENT ON COLUMN posthouse_admin.account_logins.last_answer IS 'When a poll was last ok';
COMMENT ON COLUMN posthouse_admin.account_logins.poll_node IS 'The node that polled last';
COMMENT ON COLUMN posthouse_admin.account_logins.account_id IS 'Its number in the log and in metrics';

CREATE OR REPLACE VIEW posthouse_admin.account_models WITH (security_barrier) AS
SELECT a.name, l.model, m.fetched, m.changed, m.node
FROM posthouse.account_models m
JOIN posthouse.accounts a ON a.account_id = m.account_id AND a.state <> 'removed'
CROSS JOIN LATERAL (SELECT coalesce(e ->> 'id', e ->> 'slug') AS model
	FROM json_array_elements(coalesce(m.list, '[]')::json) e WHERE json_typeof(e) = 'object') l
WHERE l.model IS NOT NULL ORDER BY a.name, l.model;
COMMENT ON VIEW posthouse_admin.account_models IS 'Models that accounts list themselves; an account that is not here has not told any';
COMMENT ON COLUMN posthouse_admin.account_models.name IS 'The account';
COMMENT ON COLUMN posthouse_admin.account_models.model IS 'One that it lists';
COMMENT ON COLUMN posthouse_admin.account_models.fetched IS 'When its list was last read';
COMMENT ON COLUMN posthouse_admin.account_models.changed IS 'When its list was last another one than before';
COMMENT ON COLUMN posthouse_admin.account_models.node IS 'The node that asked last';
