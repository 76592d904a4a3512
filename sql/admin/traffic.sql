/* SPDX-License-Identifier: Apache-2.0 */
CREATE OR REPLACE VIEW posthouse_admin.traffic WITH (security_barrier) AS
SELECT t.minute, t.node, t.running, t.counts[1] + t.counts[2] + t.counts[3] + t.counts[4] AS turns, t.counts[2] AS live,
	t.counts[3] AS forwarded, t.counts[4] AS replayed, t.counts[5] AS failed,
	posthouse.share_ms(t.first_event, 0.5) AS first_event_p50_ms, posthouse.share_ms(t.first_event, 0.99) AS first_event_p99_ms,
	posthouse.share_ms(t.duration, 0.5) AS p50_ms, posthouse.share_ms(t.duration, 0.99) AS p99_ms, t.written, t.node_id
FROM posthouse.traffic t ORDER BY t.minute DESC, t.node;
COMMENT ON VIEW posthouse_admin.traffic IS
	'What each node did in each minute of the last 25 hours; a minute in which it had nothing to do has no row';
COMMENT ON COLUMN posthouse_admin.traffic.minute IS 'When the minute began';
COMMENT ON COLUMN posthouse_admin.traffic.node IS 'The node';
COMMENT ON COLUMN posthouse_admin.traffic.running IS 'Turns that ran when the row was last written';
COMMENT ON COLUMN posthouse_admin.traffic.turns IS 'Turns that ended';
COMMENT ON COLUMN posthouse_admin.traffic.live IS 'Of these, turns that went on where their anchor was made, on the socket that had it';
COMMENT ON COLUMN posthouse_admin.traffic.forwarded IS 'Of these, turns whose anchor was left to the account that has it';
COMMENT ON COLUMN posthouse_admin.traffic.replayed IS 'Of these, turns whose conversation was read from the store';
COMMENT ON COLUMN posthouse_admin.traffic.failed IS 'Of these, turns that ended with an error';
COMMENT ON COLUMN posthouse_admin.traffic.first_event_p50_ms IS 'Half of the turns had their first event after at most so many milliseconds';
COMMENT ON COLUMN posthouse_admin.traffic.first_event_p99_ms IS 'The same of 99 of 100 turns';
COMMENT ON COLUMN posthouse_admin.traffic.p50_ms IS 'Half of the turns were over after at most so many milliseconds';
COMMENT ON COLUMN posthouse_admin.traffic.p99_ms IS 'The same of 99 of 100 turns';
COMMENT ON COLUMN posthouse_admin.traffic.written IS 'When the node last wrote it';
COMMENT ON COLUMN posthouse_admin.traffic.node_id IS 'Which start of the node';

CREATE OR REPLACE VIEW posthouse_admin.running_turns WITH (security_barrier) AS
SELECT r.written - t.age_ms::float8 * interval '1 millisecond' AS started, t.request_id, k.name AS key_name, n.name AS node, t.model,
	a.name AS account, lower(t.state) AS state,
	round(t.age_ms + 1000 * extract(epoch FROM clock_timestamp() - r.written), 3) AS duration_ms, t.first_event_ms, t.shown,
	t.attempts, r.written, r.node_id
FROM posthouse.running_turns r
JOIN posthouse.nodes n ON n.node_id = r.node_id
CROSS JOIN LATERAL jsonb_to_recordset(r.turns) AS t (request_id text, key_id bigint, model text, account_id bigint,
	state text, age_ms numeric, first_event_ms numeric, shown bool, attempts int)
LEFT JOIN posthouse.api_keys k ON k.key_id = t.key_id
LEFT JOIN posthouse.accounts a ON a.account_id = t.account_id
WHERE r.written > clock_timestamp() - interval '15 seconds'
ORDER BY 1;
COMMENT ON VIEW posthouse_admin.running_turns IS
	'Turns that run now: of each node the five that have been running longest, if longer than a second, as it said at most some seconds ago. Those that ended: requests';
COMMENT ON COLUMN posthouse_admin.running_turns.started IS 'When the request arrived';
COMMENT ON COLUMN posthouse_admin.running_turns.request_id IS 'What the client gets as x-request-id';
COMMENT ON COLUMN posthouse_admin.running_turns.key_name IS 'The API key; NULL: not known yet, or authentication is off';
COMMENT ON COLUMN posthouse_admin.running_turns.node IS 'The node that serves it';
COMMENT ON COLUMN posthouse_admin.running_turns.model IS 'The model that is asked for; empty: not read yet';
COMMENT ON COLUMN posthouse_admin.running_turns.account IS 'The account that it was given to last; NULL: none yet';
COMMENT ON COLUMN posthouse_admin.running_turns.state IS
	'What it does. auth, body: the request comes; resolve: its conversation is looked up; limit: what its key has left; lease: it waits for a slot of an account, or a new token; connect, send: it goes to the account; await: nothing came back yet; relay: the answer passes; commit: it is written';
COMMENT ON COLUMN posthouse_admin.running_turns.duration_ms IS 'Milliseconds since it arrived';
COMMENT ON COLUMN posthouse_admin.running_turns.first_event_ms IS
	'Milliseconds from the whole request to upstream''s first event; NULL: there was none yet';
COMMENT ON COLUMN posthouse_admin.running_turns.shown IS
	'Whether the client was shown something of the answer: from then on no other account can take the turn';
COMMENT ON COLUMN posthouse_admin.running_turns.attempts IS 'Accounts that were tried';
COMMENT ON COLUMN posthouse_admin.running_turns.written IS 'When its node said so; what it said over 15 s ago is not shown';
COMMENT ON COLUMN posthouse_admin.running_turns.node_id IS 'Which start of the node';
