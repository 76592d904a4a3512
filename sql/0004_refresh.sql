/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of accounts are renewed: which secret is the newest, and when the next try may be made. */
ALTER TABLE posthouse.account_secrets ADD version bigint NOT NULL DEFAULT 1; -- rises with every change

/* Its column `version` is the epoch of the claim. */
ALTER TABLE posthouse.account_refresh
	ADD rests_until timestamptz, -- no claim before: it failed, or the token is brand new
	ADD failures int NOT NULL DEFAULT 0, -- in a row, none of them final: each doubles the next rest
	ADD renewed timestamptz;

DROP FUNCTION IF EXISTS posthouse.load_accounts(); -- it returns more now
