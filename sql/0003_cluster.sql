/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes as one cluster: who is there, which slots of an account each may use, and who does the periodic work. */
ALTER TABLE posthouse.nodes
	ADD ttl interval NOT NULL DEFAULT '15 s', -- of its leases
	ADD life bigint NOT NULL DEFAULT 0; -- of the server: the last one in which it has told all that it runs

ALTER TABLE posthouse.account_leases
	ADD life bigint NOT NULL DEFAULT 0, -- of the server: what was granted in another one counts for others only
	ADD running int NOT NULL DEFAULT 0, -- turns, as the node said last
	ADD wanted int NOT NULL DEFAULT 0; -- slots for what runs and waits there; more than `slots`: it is starved
/* A version that was used once never comes back, also where a row is deleted and made again. */
CREATE SEQUENCE posthouse.lease_versions;

ALTER TABLE posthouse.accounts ADD hold_until timestamptz; -- leases were taken back: until then running turns alone

/*
 * Since when the server runs, and who ran turns before. A restart and a promotion begin another life: the last grants
 * may be lost then, for they are committed without waiting for the disk.
 */
CREATE TABLE posthouse.server_life (
	one bool PRIMARY KEY DEFAULT true CHECK (one), -- a table of one row
	life bigint NOT NULL,
	began timestamptz NOT NULL, -- when the first node came
	heard timestamptz -- when a node was last heard of in the life before; NULL: none was
) WITH (fillfactor = 50);

/* Periodic work: whoever comes first when it is due has it until it says done, or until its time is over. */
CREATE TABLE posthouse.jobs (
	name text PRIMARY KEY,
	due timestamptz NOT NULL,
	node_id uuid, -- who has it; NULL: nobody
	held_until timestamptz,
	epoch bigint NOT NULL DEFAULT 1, -- rises with every claim
	CHECK ((node_id IS NULL) = (held_until IS NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
