/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures by hour are added up while turns come in (roll_up()). Which rows of the log are new is told by the transaction
 * that wrote them: once no older one runs, nothing older can come. One index for that and for "the last hour": it is
 * coarse, and so costs the turn nothing.
 */
ALTER TABLE posthouse.request_log ADD logged bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint;
CREATE INDEX request_log_new ON posthouse.request_log USING brin (logged, started) WITH (autosummarize = on);

ALTER TABLE posthouse.usage_hours ADD unpriced bigint NOT NULL DEFAULT 0; -- turns with tokens, of a model without a price

/* How far it was added up. */
CREATE TABLE posthouse.usage_mark (
	one bool PRIMARY KEY DEFAULT true CHECK (one), -- a table of one row
	next bigint NOT NULL DEFAULT 0, -- all that older transactions than this one wrote is in usage_hours
	day date NOT NULL DEFAULT '-infinity', -- when everything was, last
	ran timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO posthouse.usage_mark DEFAULT VALUES;
