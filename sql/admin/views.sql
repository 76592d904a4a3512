/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What operators see: nouns in the plural. Columns are only ever added. Views run with their owner's rights, so that a
 * viewer needs none on the tables; nothing here shows a secret, a key's digest or a body.
 */
CREATE OR REPLACE VIEW posthouse_admin.accounts WITH (security_barrier) AS
SELECT a.name, a.kind, a.state,
	CASE WHEN h.until <= now() THEN 'active' ELSE coalesce(h.state, 'active') END AS health,
	CASE WHEN h.until > now() THEN h.until END AS health_until,
	CASE WHEN h.state <> 'active' AND (h.until IS NULL OR h.until > now()) THEN h.reason END AS health_reason,
	a.base_url, a.max_streams, a.weight, a.priority, a.models,
	encode(s.key_id, 'hex') AS secret_key, s.updated AS secret_updated, a.created, a.updated, a.account_id,
	a.identity, a.plan,
	(SELECT max(u.used_percent) FROM posthouse.account_usage u
		WHERE u.account_id = a.account_id AND (u.resets IS NULL OR u.resets > now())) AS used_percent,
	a.max_used_percent
FROM posthouse.accounts a
LEFT JOIN posthouse.account_secrets s ON s.account_id = a.account_id
LEFT JOIN posthouse.account_health h ON h.account_id = a.account_id
WHERE a.state <> 'removed' ORDER BY a.name;
COMMENT ON VIEW posthouse_admin.accounts IS 'Upstream accounts; removed ones are left out';
COMMENT ON COLUMN posthouse_admin.accounts.name IS 'Unique among accounts that were not removed';
COMMENT ON COLUMN posthouse_admin.accounts.kind IS 'platform, codex or stateless';
COMMENT ON COLUMN posthouse_admin.accounts.state IS 'What the operator wants: active, paused or draining';
COMMENT ON COLUMN posthouse_admin.accounts.health IS 'What nodes found: active, cooling, exhausted, reauth or disabled';
COMMENT ON COLUMN posthouse_admin.accounts.health_until IS 'When a cooling or exhausted account is used again';
COMMENT ON COLUMN posthouse_admin.accounts.health_reason IS 'The signal behind its health; NULL: it is active';
COMMENT ON COLUMN posthouse_admin.accounts.base_url IS 'What stands before /responses';
COMMENT ON COLUMN posthouse_admin.accounts.max_streams IS 'Concurrent turns in the whole cluster; NULL: no limit';
COMMENT ON COLUMN posthouse_admin.accounts.weight IS 'Share of the turns, relative to other accounts';
COMMENT ON COLUMN posthouse_admin.accounts.priority IS 'Lower is preferred; accounts of equal priority share the turns';
COMMENT ON COLUMN posthouse_admin.accounts.models IS 'Models that it serves; NULL: every model';
COMMENT ON COLUMN posthouse_admin.accounts.secret_key IS 'Id of the master key that sealed its secret; NULL: no secret';
COMMENT ON COLUMN posthouse_admin.accounts.secret_updated IS 'When its secret was last written';
COMMENT ON COLUMN posthouse_admin.accounts.created IS 'When it was added';
COMMENT ON COLUMN posthouse_admin.accounts.updated IS 'When its settings or state last changed';
COMMENT ON COLUMN posthouse_admin.accounts.account_id IS 'Its number in the log and in metrics';
COMMENT ON COLUMN posthouse_admin.accounts.identity IS
	'Whose login it is, as its tokens say: account, workspace, person; NULL: not a login, or not told';
COMMENT ON COLUMN posthouse_admin.accounts.plan IS 'The plan, as its tokens or its upstream said last; NULL: not told';
COMMENT ON COLUMN posthouse_admin.accounts.used_percent IS 'How full its fullest usage window is; NULL: unknown';
COMMENT ON COLUMN posthouse_admin.accounts.max_used_percent IS
	'Fuller than that it gets no new conversation, and no other turn that another account can take; NULL: no bound';

CREATE OR REPLACE VIEW posthouse_admin.account_health WITH (security_barrier) AS
SELECT a.name, CASE WHEN h.until <= now() THEN 'active' ELSE coalesce(h.state, 'active') END AS state, h.until,
	CASE WHEN h.until > now() THEN date_trunc('milliseconds', h.until - now()) END AS remaining,
	h.reason, h.evidence, h.node, coalesce(h.version, 0) AS version, h.changed, coalesce(h.strikes, 0) AS strikes,
	p.used_percent AS primary_used_percent, p.minutes * interval '1 minute' AS primary_length,
	p.resets AS primary_resets, p.observed AS primary_observed,
	s.used_percent AS secondary_used_percent, s.minutes * interval '1 minute' AS secondary_length,
	s.resets AS secondary_resets, s.observed AS secondary_observed
FROM posthouse.accounts a
LEFT JOIN posthouse.account_health h ON h.account_id = a.account_id
LEFT JOIN posthouse.account_usage p ON p.account_id = a.account_id AND p."window" = 'primary'
LEFT JOIN posthouse.account_usage s ON s.account_id = a.account_id AND s."window" = 'secondary'
WHERE a.state <> 'removed' ORDER BY a.name;
COMMENT ON VIEW posthouse_admin.account_health IS 'What nodes found out: why an account is blocked, until when, what it has left';
COMMENT ON COLUMN posthouse_admin.account_health.name IS 'The account';
COMMENT ON COLUMN posthouse_admin.account_health.state IS 'active, cooling, exhausted, reauth or disabled: as it is now';
COMMENT ON COLUMN posthouse_admin.account_health.until IS 'When the last block ends or ended; NULL: it has no end';
COMMENT ON COLUMN posthouse_admin.account_health.remaining IS 'How long that is from now; NULL: it has passed, or there is no end';
COMMENT ON COLUMN posthouse_admin.account_health.reason IS 'The signal, or the verb, behind the last change';
COMMENT ON COLUMN posthouse_admin.account_health.evidence IS 'What upstream said, without secrets';
COMMENT ON COLUMN posthouse_admin.account_health.node IS 'The node that found it; NULL: an operator';
COMMENT ON COLUMN posthouse_admin.account_health.version IS 'Rises with every change';
COMMENT ON COLUMN posthouse_admin.account_health.changed IS 'When the last change was made';
COMMENT ON COLUMN posthouse_admin.account_health.strikes IS 'Blocks in a row without a time from upstream: each doubles the next';
COMMENT ON COLUMN posthouse_admin.account_health.primary_used_percent IS 'How full the primary usage window was';
COMMENT ON COLUMN posthouse_admin.account_health.primary_length IS 'How long that window is';
COMMENT ON COLUMN posthouse_admin.account_health.primary_resets IS 'When it begins anew';
COMMENT ON COLUMN posthouse_admin.account_health.primary_observed IS 'When that was seen';
COMMENT ON COLUMN posthouse_admin.account_health.secondary_used_percent IS 'How full the secondary usage window was';
COMMENT ON COLUMN posthouse_admin.account_health.secondary_length IS 'How long that window is';
COMMENT ON COLUMN posthouse_admin.account_health.secondary_resets IS 'When it begins anew';
COMMENT ON COLUMN posthouse_admin.account_health.secondary_observed IS 'When that was seen';

CREATE OR REPLACE VIEW posthouse_admin.nodes WITH (security_barrier) AS
SELECT n.name, CASE WHEN n.heartbeat + n.ttl <= clock_timestamp() THEN 'silent' WHEN n.draining THEN 'draining' ELSE 'alive' END
		AS state,
	n.version, n.started, n.heartbeat, date_trunc('milliseconds', clock_timestamp() - n.heartbeat) AS silent_for, n.draining,
	coalesce(l.slots, 0) AS slots, coalesce(l.running, 0) AS running, n.ttl AS lease_ttl, n.node_id, n.report,
	(SELECT t.running FROM posthouse.traffic t WHERE t.node_id = n.node_id AND t.minute > now() - interval '5 minutes'
		AND t.written > now() - interval '90 seconds' ORDER BY t.minute DESC LIMIT 1) AS turns
FROM posthouse.nodes n
LEFT JOIN LATERAL (SELECT sum(r.slots)::int AS slots, sum(r.running)::int AS running FROM posthouse.account_leases r
	WHERE r.node_id = n.node_id AND r.expires_at > clock_timestamp()) l ON true
ORDER BY n.name, n.started;
COMMENT ON VIEW posthouse_admin.nodes IS
	'Processes that serve, one row for each start; those that ended without a word stay for an hour';
COMMENT ON COLUMN posthouse_admin.nodes.name IS 'POSTHOUSE_NODE_NAME; with several workers NAME/1, NAME/2 ...';
COMMENT ON COLUMN posthouse_admin.nodes.state IS 'alive; draining: an operator said so; silent: not heard of for its lease_ttl';
COMMENT ON COLUMN posthouse_admin.nodes.version IS 'Of the program';
COMMENT ON COLUMN posthouse_admin.nodes.started IS 'When it came';
COMMENT ON COLUMN posthouse_admin.nodes.heartbeat IS 'When it was last heard of, on the database''s clock';
COMMENT ON COLUMN posthouse_admin.nodes.silent_for IS 'How long ago that is; it says something every third of its lease_ttl';
COMMENT ON COLUMN posthouse_admin.nodes.draining IS 'Whether drain_node() was called for it';
COMMENT ON COLUMN posthouse_admin.nodes.slots IS 'Slots of limited accounts that it holds now';
COMMENT ON COLUMN posthouse_admin.nodes.running IS 'Turns on limited accounts, as it said last';
COMMENT ON COLUMN posthouse_admin.nodes.lease_ttl IS 'How long its leases last from its last heartbeat';
COMMENT ON COLUMN posthouse_admin.nodes.node_id IS 'New at every start';
COMMENT ON COLUMN posthouse_admin.nodes.report IS 'What its own checks said last; NULL: nothing yet';
COMMENT ON COLUMN posthouse_admin.nodes.turns IS 'Turns that run, on whatever account, as it said last; NULL: it has had none lately';

CREATE OR REPLACE VIEW posthouse_admin.leases WITH (security_barrier) AS
SELECT a.name AS account, n.name AS node, l.slots, l.running, greatest(l.wanted - l.slots, 0) AS missing, a.max_streams,
	l.expires_at AS expires,
	CASE WHEN l.expires_at > clock_timestamp() THEN date_trunc('milliseconds', l.expires_at - clock_timestamp()) END AS remaining,
	l.version, l.node_id
FROM posthouse.account_leases l
JOIN posthouse.accounts a ON a.account_id = l.account_id
LEFT JOIN posthouse.nodes n ON n.node_id = l.node_id
ORDER BY a.name, n.name, l.node_id;
COMMENT ON VIEW posthouse_admin.leases IS 'Slots of accounts that have max_streams: which node may run how many turns, until when';
COMMENT ON COLUMN posthouse_admin.leases.account IS 'The account';
COMMENT ON COLUMN posthouse_admin.leases.node IS 'The node that holds them; NULL: one that was forgotten';
COMMENT ON COLUMN posthouse_admin.leases.slots IS 'Turns that it may run; above max_streams in all nodes together: turns that ran already';
COMMENT ON COLUMN posthouse_admin.leases.running IS 'Turns that it runs, as it said last';
COMMENT ON COLUMN posthouse_admin.leases.missing IS 'Slots that its waiting turns would need besides, as it said last';
COMMENT ON COLUMN posthouse_admin.leases.max_streams IS 'The limit of the account, for all nodes together';
COMMENT ON COLUMN posthouse_admin.leases.expires IS 'When they are free again if the node is silent from now on';
COMMENT ON COLUMN posthouse_admin.leases.remaining IS 'How long that is from now; NULL: it has passed, the slots are free';
COMMENT ON COLUMN posthouse_admin.leases.version IS 'Another one with every change';
COMMENT ON COLUMN posthouse_admin.leases.node_id IS 'Which start of the node';

CREATE OR REPLACE VIEW posthouse_admin.api_keys WITH (security_barrier) AS
SELECT k.name, k.prefix,
	CASE WHEN k.revoked IS NOT NULL THEN 'revoked' WHEN k.expires <= now() THEN 'expired' ELSE 'active' END AS state,
	k.snapshots, k.models,
	(SELECT array_agg(a.name ORDER BY a.name) FROM posthouse.accounts a WHERE a.account_id = ANY (k.account_ids)) AS accounts,
	k.created, k.expires, k.revoked, k.key_id,
	(SELECT array_agg(l.name ORDER BY l.what, l.size)
		FROM posthouse.limits_named l WHERE l.key_id = k.key_id) AS limits
FROM posthouse.api_keys k ORDER BY k.name;
COMMENT ON VIEW posthouse_admin.api_keys IS 'API keys of clients; each is a scope of its own';
COMMENT ON COLUMN posthouse_admin.api_keys.name IS 'Unique, for ever';
COMMENT ON COLUMN posthouse_admin.api_keys.prefix IS 'The first characters of the key, to recognise it by';
COMMENT ON COLUMN posthouse_admin.api_keys.state IS 'active, expired or revoked';
COMMENT ON COLUMN posthouse_admin.api_keys.snapshots IS 'Which turns are kept: all, stored or none; NULL: as the node is set';
COMMENT ON COLUMN posthouse_admin.api_keys.models IS 'Models that it may use; NULL: every model';
COMMENT ON COLUMN posthouse_admin.api_keys.accounts IS 'Accounts that may serve it; NULL: every account';
COMMENT ON COLUMN posthouse_admin.api_keys.created IS 'When it was created';
COMMENT ON COLUMN posthouse_admin.api_keys.expires IS 'When it ends; NULL: never';
COMMENT ON COLUMN posthouse_admin.api_keys.revoked IS 'When it was revoked';
COMMENT ON COLUMN posthouse_admin.api_keys.key_id IS 'Its number: the scope of what it stored';
COMMENT ON COLUMN posthouse_admin.api_keys.limits IS 'What it may use; key_limits says how far it has come. NULL: no limits';

CREATE OR REPLACE VIEW posthouse_admin.requests WITH (security_barrier) AS
SELECT r.started, r.request_id, k.name AS key_name, r.node, r.route, r.model, a.name AS account, r.continuity, r.outcome,
	r.status, r.error, r.stream, r.attempts, r.hops, r.chain_bytes, round(r.duration_us / 1000.0, 3) AS duration_ms,
	round(r.first_event_us / 1000.0, 3) AS first_event_ms, r.bytes_in, r.bytes_out, r.input_tokens, r.cached_tokens,
	r.output_tokens, r.response_id, r.turn, r.day, round(r.queued_us / 1000.0, 3) AS queued_ms, r.reasoning_tokens,
	trim_scale(r.cost_nanos * 0.000000001) AS cost, r.transport, r.chosen, r.parent_id AS previous_response_id,
	r.started + r.duration_us * interval '1 microsecond' AS ended, r.logged
FROM posthouse.request_log r
LEFT JOIN posthouse.api_keys k ON k.key_id = r.scope
LEFT JOIN posthouse.accounts a ON a.account_id = r.account_id;
COMMENT ON VIEW posthouse_admin.requests IS
	'One row per turn: why it was slow, why it went to that account, what it cost. Name a day where you can: the log has one partition for each';
COMMENT ON COLUMN posthouse_admin.requests.started IS 'When the request arrived, on the database''s clock';
COMMENT ON COLUMN posthouse_admin.requests.request_id IS 'What the client got as x-request-id';
COMMENT ON COLUMN posthouse_admin.requests.key_name IS 'The API key; NULL: authentication was off';
COMMENT ON COLUMN posthouse_admin.requests.node IS 'The node that served it';
COMMENT ON COLUMN posthouse_admin.requests.route IS 'The endpoint';
COMMENT ON COLUMN posthouse_admin.requests.model IS 'The model that was asked for';
COMMENT ON COLUMN posthouse_admin.requests.account IS 'The account that answered; NULL: none did';
COMMENT ON COLUMN posthouse_admin.requests.continuity IS 'How the conversation went on: none, live, forwarded or replayed';
COMMENT ON COLUMN posthouse_admin.requests.outcome IS 'How the turn ended';
COMMENT ON COLUMN posthouse_admin.requests.status IS 'HTTP status that the client got';
COMMENT ON COLUMN posthouse_admin.requests.error IS 'Name of the error, as in metrics; NULL: none';
COMMENT ON COLUMN posthouse_admin.requests.stream IS 'Whether events were streamed';
COMMENT ON COLUMN posthouse_admin.requests.attempts IS 'Accounts that were tried';
COMMENT ON COLUMN posthouse_admin.requests.hops IS 'Turns of the chain that was replayed';
COMMENT ON COLUMN posthouse_admin.requests.chain_bytes IS 'Bytes of the chain that was replayed';
COMMENT ON COLUMN posthouse_admin.requests.duration_ms IS 'Milliseconds from arrival to the end of the answer';
COMMENT ON COLUMN posthouse_admin.requests.first_event_ms IS 'Milliseconds from arrival to upstream''s first event';
COMMENT ON COLUMN posthouse_admin.requests.bytes_in IS 'Bytes of the client''s body';
COMMENT ON COLUMN posthouse_admin.requests.bytes_out IS 'Bytes of the answer''s body';
COMMENT ON COLUMN posthouse_admin.requests.input_tokens IS 'Input tokens, as upstream counted them';
COMMENT ON COLUMN posthouse_admin.requests.cached_tokens IS 'Input tokens that came from upstream''s prompt cache';
COMMENT ON COLUMN posthouse_admin.requests.output_tokens IS 'Output tokens, as upstream counted them';
COMMENT ON COLUMN posthouse_admin.requests.response_id IS 'Id of the response, where there was one';
COMMENT ON COLUMN posthouse_admin.requests.turn IS 'The turn''s own id';
COMMENT ON COLUMN posthouse_admin.requests.day IS 'Day (UTC) on which it ended: the partition of its row';
COMMENT ON COLUMN posthouse_admin.requests.queued_ms IS
	'Of first_event_ms, the milliseconds that it waited for a slot of an account; 0: one was free';
COMMENT ON COLUMN posthouse_admin.requests.reasoning_tokens IS 'Of output_tokens, the ones that the model thought with';
COMMENT ON COLUMN posthouse_admin.requests.cost IS
	'US dollars, by the prices that held when it ended; NULL: the model had none in model_prices, or upstream counted no tokens';
COMMENT ON COLUMN posthouse_admin.requests.transport IS 'How the client spoke: http or websocket';
COMMENT ON COLUMN posthouse_admin.requests.chosen IS
	'Why that account. live: its socket had the anchor; owner: the anchor''s or a named id''s; bound: only that one could; preferred: the conversation stays there; chosen: by strategy; moved: the owner or preferred one could not';
COMMENT ON COLUMN posthouse_admin.requests.previous_response_id IS 'The anchor that it named; NULL: none';
COMMENT ON COLUMN posthouse_admin.requests.ended IS 'When its last byte was sent';
COMMENT ON COLUMN posthouse_admin.requests.logged IS
	'The transaction that wrote the row. What was not to be seen in a snapshot has at least its pg_snapshot_xmin(): an index finds it';

CREATE OR REPLACE VIEW posthouse_admin.audit WITH (security_barrier) AS
SELECT a.at, a.actor, a.verb, a.object, a.reason, a.audit_id FROM posthouse.audit a ORDER BY a.audit_id DESC;
COMMENT ON VIEW posthouse_admin.audit IS 'Who changed what, newest first';
COMMENT ON COLUMN posthouse_admin.audit.at IS 'When';
COMMENT ON COLUMN posthouse_admin.audit.actor IS 'The database role that was logged in';
COMMENT ON COLUMN posthouse_admin.audit.verb IS 'What was done';
COMMENT ON COLUMN posthouse_admin.audit.object IS 'Name of the account, key, node or setting';
COMMENT ON COLUMN posthouse_admin.audit.reason IS 'Why, in the words of whoever did it';
COMMENT ON COLUMN posthouse_admin.audit.audit_id IS 'Running number';
