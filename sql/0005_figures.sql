/* SPDX-License-Identifier: Apache-2.0 */
/* What a turn waited for, why it went where it went, and what it cost. Money is in billionths of a US dollar. */
ALTER TABLE posthouse.request_log
	ADD queued_us bigint, -- spent in the queue of an account; 0: it found a slot
	ADD reasoning_tokens bigint, -- of the output tokens
	ADD cost_nanos bigint, -- NULL: the model has no price
	ADD transport text, -- the client's: http or websocket
	ADD chosen text, -- why this account: live, owner, bound, preferred, chosen, or moved; sql/README.md
	ADD parent_id text; -- the previous_response_id it named

ALTER TABLE posthouse.usage_hours
	ADD reasoning_tokens bigint NOT NULL DEFAULT 0,
	ADD cost_nanos bigint NOT NULL DEFAULT 0,
	ADD replayed bigint NOT NULL DEFAULT 0, -- turns
	ADD duration_us bigint NOT NULL DEFAULT 0; -- summed over requests
