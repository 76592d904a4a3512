/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns that run in the background at an account: all of them but their output, which only the account has until somebody
 * asks for it. When the turn's snapshot is there only the id stays, so that whoever looked for the snapshot a moment too
 * early knows; rows go with what upstream keeps.
 */
CREATE TABLE posthouse.background_turns (
	scope bigint NOT NULL,
	account_id bigint NOT NULL,
	day date NOT NULL,
	parent_day date,
	parent_until date,
	parent_flags int NOT NULL,
	parent_depth int NOT NULL,
	class smallint NOT NULL,
	parent_class smallint,
	codec smallint NOT NULL, -- of input and runs, as in snapshots
	keep bool NOT NULL, -- it will have a snapshot
	fold bool NOT NULL, -- which is to hold the whole context: runs
	partial bool NOT NULL,
	ended bool NOT NULL DEFAULT false, -- its snapshot is there
	turn uuid NOT NULL,
	id text COLLATE "C" NOT NULL,
	parent_id text COLLATE "C",
	model text,
	runs bytea,
	input bytea,
	PRIMARY KEY (scope, id)
);
CREATE INDEX background_turns_day ON posthouse.background_turns (day);

ALTER TABLE posthouse.background_turns ENABLE ROW LEVEL SECURITY;
ALTER TABLE posthouse.background_turns FORCE ROW LEVEL SECURITY;
CREATE POLICY scope ON posthouse.background_turns
	USING (scope = nullif(current_setting('posthouse.scope', true), '')::bigint);
DO $$
BEGIN
	EXECUTE format('CREATE POLICY owner_reads ON posthouse.background_turns FOR SELECT TO %I USING (true)', current_user);
	EXECUTE format('CREATE POLICY owner_purges ON posthouse.background_turns FOR DELETE TO %I USING (true)', current_user);
END $$;
