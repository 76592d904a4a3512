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
