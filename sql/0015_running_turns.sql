/* SPDX-License-Identifier: Apache-2.0 */
/* The turns of each node that have been running longest, as it said last: one row, of the node alone, and none where nothing lasts. */
CREATE TABLE posthouse.running_turns (
	node_id uuid PRIMARY KEY REFERENCES posthouse.nodes ON DELETE CASCADE,
	turns jsonb NOT NULL, -- an array, the oldest first; its members: posthouse_admin.running_turns
	written timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

DROP FUNCTION IF EXISTS posthouse.put_traffic(uuid, text, bigint, int, bigint[], bigint[], bigint[]); -- it takes more now
DROP FUNCTION IF EXISTS posthouse.load_accounts(); -- it returns more now
DROP FUNCTION IF EXISTS posthouse.node_facts(uuid); -- likewise
