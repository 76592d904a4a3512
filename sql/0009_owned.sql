/* SPDX-License-Identifier: Apache-2.0 */
/* Of what upstreams keep for a key besides responses: the collection in which it stands, and since when. For lists. */
ALTER TABLE posthouse.resource_owners
	ADD kind text COLLATE "C", -- files, batches, fine_tuning/jobs ...; NULL: a response or an item
	ADD made timestamptz;
CREATE INDEX resource_owners_lists ON posthouse.resource_owners_lasting (scope, kind, made, id);
CREATE INDEX resource_owners_newest ON posthouse.resource_owners_lasting (scope, made);
