/* SPDX-License-Identifier: Apache-2.0 */
/* Logins that wait for a person, what polls of accounts brought, and the models that accounts list. */
CREATE TABLE posthouse.login_flows (
	flow uuid PRIMARY KEY,
	name text NOT NULL UNIQUE, -- of the account that it is for
	method text NOT NULL CHECK (method IN ('browser', 'device')),
	issuer text NOT NULL,
	state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'taken', 'done', 'failed')),
	sealed bytea NOT NULL, -- what proves that whoever completes it began it
	key_id bytea NOT NULL,
	created timestamptz NOT NULL DEFAULT now(),
	changed timestamptz NOT NULL DEFAULT now(),
	expires timestamptz NOT NULL
);

ALTER TABLE posthouse.accounts ADD email text; -- as upstream's usage endpoint said last; NULL: not told

CREATE TABLE posthouse.account_polls (
	account_id bigint PRIMARY KEY REFERENCES posthouse.accounts ON DELETE CASCADE,
	polled timestamptz NOT NULL, -- its usage endpoint, by whichever node
	result text NOT NULL, -- ok, or what went wrong
	failures int NOT NULL DEFAULT 0, -- in a row
	answered timestamptz, -- the last one that was ok
	renews timestamptz, -- when its token is to be renewed; NULL: never
	node text
) WITH (fillfactor = 50);

CREATE TABLE posthouse.account_models (
	account_id bigint PRIMARY KEY REFERENCES posthouse.accounts ON DELETE CASCADE,
	format text NOT NULL CHECK (format IN ('openai', 'codex')), -- of the elements of `list`
	list text, -- a JSON array, as the account answered; NULL: it never did
	asked timestamptz NOT NULL,
	fetched timestamptz, -- when `list` came
	changed timestamptz NOT NULL, -- when it last differed from the one before
	node text
);

INSERT INTO posthouse.topics (topic) VALUES ('models') ON CONFLICT DO NOTHING;
