/* SPDX-License-Identifier: Apache-2.0 */
/* Health that is known to all nodes: why an account is blocked and for how long, how much it has left, who it is. */
ALTER TABLE posthouse.account_health
	ADD evidence text, -- what upstream said
	ADD strikes int NOT NULL DEFAULT 0, -- blocks in a row for which upstream gave no time: each doubles the next
	ADD CHECK ((state IN ('cooling', 'exhausted')) = (until IS NOT NULL));
DROP FUNCTION IF EXISTS posthouse.load_accounts(); -- it returns more now

CREATE TABLE posthouse.account_usage (
	account_id bigint NOT NULL REFERENCES posthouse.accounts ON DELETE CASCADE,
	"window" text NOT NULL CHECK ("window" IN ('primary', 'secondary')),
	used_percent real NOT NULL,
	minutes int, -- length of the window; NULL: not said
	resets timestamptz,
	observed timestamptz NOT NULL DEFAULT now(),
	node text,
	PRIMARY KEY (account_id, "window")
) WITH (fillfactor = 50);

/*
 * Whose credential it is, as its tokens say: account and workspace or e-mail. Two rows of one identity would share, and
 * so destroy, one refresh token.
 */
ALTER TABLE posthouse.accounts ADD identity text, ADD plan text;
CREATE UNIQUE INDEX accounts_identity ON posthouse.accounts (identity) WHERE state <> 'removed';
