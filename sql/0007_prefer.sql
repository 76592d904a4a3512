/* SPDX-License-Identifier: Apache-2.0 */
/* Which account a turn goes to: how far one may be used, where conversations stay, who tries one again after a block. */
ALTER TABLE posthouse.accounts
	ADD max_used_percent int CHECK (max_used_percent BETWEEN 1 AND 100); -- of its fullest usage window; NULL: no bound

ALTER TABLE posthouse.preferences
	ADD moved timestamptz, -- when it last went to another account; NULL: it is where it began
	SET (fillfactor = 70);
/* No index on `updated`: it would end HOT updates. */
DO $$
BEGIN
	EXECUTE format('CREATE POLICY owner_sweeps ON posthouse.preferences FOR DELETE TO %I USING (true)', current_user);
END $$;

/* The turn that goes first after a block: of which version of the row, and until when the others wait for it. */
ALTER TABLE posthouse.account_health
	ADD probe_version bigint,
	ADD probe_until timestamptz;

DROP FUNCTION IF EXISTS posthouse.load_accounts(); -- it returns more now
DROP FUNCTION IF EXISTS posthouse.hello(); -- likewise
/* They take one parameter more. */
DROP FUNCTION IF EXISTS posthouse.put_account(bigint, text, text, text, bytea, bytea, int, int, int, text[], text);
DROP FUNCTION IF EXISTS posthouse.put_login(bigint, text, text, text, bytea, bytea, int, int, int, text[], text, text, text);
