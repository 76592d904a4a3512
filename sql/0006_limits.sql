/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of API keys. What a key used is counted in rows that one node writes each, and added up by whoever asks; what
 * its running turns may still use is reserved in a row per turn. Money is in billionths of a US dollar.
 */
CREATE TABLE posthouse.key_limits (
	key_id bigint NOT NULL REFERENCES posthouse.api_keys ON DELETE CASCADE,
	what text NOT NULL CHECK (what IN ('requests', 'input_tokens', 'output_tokens', 'tokens', 'cost', 'concurrent')),
	per text NOT NULL CHECK (per IN ('minute', 'hour', 'day', 'week', 'month', '')), -- '': at a time
	size bigint NOT NULL CHECK (size > 0),
	PRIMARY KEY (key_id, what, per),
	CHECK ((what = 'concurrent') = (per = ''))
);

/*
 * A minute, an hour or a day of a key, as one node wrote it; weeks and months are days added up. Nobody wrote such rows
 * before. The node is its id: a name comes back with another process, whose last batch may still be under way.
 */
DROP TABLE posthouse.usage_windows;
CREATE TABLE posthouse.usage_windows (
	scope bigint NOT NULL,
	node_id uuid NOT NULL,
	window_start timestamptz NOT NULL,
	requests bigint NOT NULL DEFAULT 0,
	input_tokens bigint NOT NULL DEFAULT 0,
	output_tokens bigint NOT NULL DEFAULT 0,
	cost_nanos bigint NOT NULL DEFAULT 0,
	per text NOT NULL CHECK (per IN ('minute', 'hour', 'day')),
	PRIMARY KEY (scope, per, window_start, node_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
CREATE INDEX usage_windows_age ON posthouse.usage_windows (per, window_start); -- to sweep by

CREATE TABLE posthouse.key_reservations (
	turn uuid PRIMARY KEY,
	key_id bigint NOT NULL,
	node_id uuid NOT NULL, -- void once that node is silent for its TTL
	input_tokens bigint NOT NULL,
	output_tokens bigint NOT NULL,
	cost_nanos bigint NOT NULL,
	made timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX key_reservations_key ON posthouse.key_reservations (key_id);
CREATE INDEX key_reservations_node ON posthouse.key_reservations (node_id);
CREATE INDEX usage_hours_scope ON posthouse.usage_hours (scope, hour);

/*
 * US dollars per million tokens. A turn's model is looked up by its whole name, else by the longest name here that it
 * begins with. The bounds keep sums within 64 bits. The defaults are list prices as published in December 2025, standard
 * tier; where there is no price for cached input it is that of input. They are a help, not an offer: check them.
 */
ALTER TABLE posthouse.model_prices
	ADD CHECK (model <> '' AND length(model) <= 128),
	ADD CHECK (input_per_million BETWEEN 0 AND 9000),
	ADD CHECK (cached_per_million BETWEEN 0 AND 9000),
	ADD CHECK (output_per_million BETWEEN 0 AND 9000);
INSERT INTO posthouse.model_prices (model, input_per_million, cached_per_million, output_per_million) VALUES
	('gpt-5.2', 1.75, 0.175, 14), ('gpt-5.2-pro', 21, 21, 168),
	('gpt-5.1', 1.25, 0.125, 10), ('gpt-5.1-codex-mini', 0.25, 0.025, 2),
	('gpt-5', 1.25, 0.125, 10), ('gpt-5-mini', 0.25, 0.025, 2), ('gpt-5-nano', 0.05, 0.005, 0.4), ('gpt-5-pro', 15, 15, 120),
	('gpt-4.1', 2, 0.5, 8), ('gpt-4.1-mini', 0.4, 0.1, 1.6), ('gpt-4.1-nano', 0.1, 0.025, 0.4),
	('gpt-4o', 2.5, 1.25, 10), ('gpt-4o-2024-05-13', 5, 5, 15), ('gpt-4o-mini', 0.15, 0.075, 0.6),
	('gpt-4-turbo', 10, 10, 30), ('gpt-4', 30, 30, 60), ('gpt-3.5-turbo', 0.5, 0.5, 1.5),
	('o1', 15, 7.5, 60), ('o1-mini', 1.1, 0.55, 4.4), ('o1-pro', 150, 150, 600),
	('o3', 2, 0.5, 8), ('o3-mini', 1.1, 0.55, 4.4), ('o3-pro', 20, 20, 80), ('o3-deep-research', 10, 2.5, 40),
	('o4-mini', 1.1, 0.275, 4.4), ('o4-mini-deep-research', 2, 0.5, 8),
	('codex-mini-latest', 1.5, 0.375, 6), ('computer-use-preview', 3, 3, 12)
ON CONFLICT (model) DO NOTHING;
INSERT INTO posthouse.topics (topic) VALUES ('prices') ON CONFLICT DO NOTHING;

DROP FUNCTION IF EXISTS posthouse.load_api_keys(); -- they return more now
DROP FUNCTION IF EXISTS posthouse.find_api_key(bytea);
/* They take more now: what 0005_figures.sql added, and whose limits are settled. */
DROP FUNCTION IF EXISTS posthouse.commit_turn(uuid, text, bigint, text, text, text, bigint, text, text, int, text, int, int,
	bigint, bool, bigint, bigint, bigint, bigint, bigint, bigint, bigint, text, bool, bool, int, text, date, int, date, int,
	text, int, int, bytea, bytea, bytea, bytea, text[]);
DROP FUNCTION IF EXISTS posthouse.log_turns(uuid[], text[], bigint[], text[], text[], text[], bigint[], text[], text[], int[],
	text[], int[], int[], bigint[], bool[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], text[]);
