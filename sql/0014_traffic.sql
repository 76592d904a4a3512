/* SPDX-License-Identifier: Apache-2.0 */
/* What every node did in each minute, for a look at the last hours: counts and times, written by the node alone. */
CREATE TABLE posthouse.traffic (
	minute timestamptz NOT NULL,
	node_id uuid NOT NULL,
	node text NOT NULL,
	running int NOT NULL, -- turns, when it was last written
	counts bigint[] NOT NULL, -- turns that ended: not continued, live, forwarded, replayed, failed; the last also among the others
	first_event bigint[] NOT NULL, -- turns by their time to the first event: posthouse.step_ms() says how steps are numbered
	duration bigint[] NOT NULL, -- the same of whole turns
	written timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (minute, node_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

/* Turns that went well cost it nothing. */
CREATE INDEX request_log_errors ON posthouse.request_log (started) WHERE error IS NOT NULL;
