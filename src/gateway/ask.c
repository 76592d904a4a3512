/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may be asked for besides an answer: a conversation made shorter (compact), and how many tokens it
 * would be (input_tokens). Both are turns of the same machine: their anchors are resolved, their ids looked
 * up and their accounts chosen as for a turn, and a compact call is written like one, so that what its item
 * replaced is found again. They differ by the table below, and in that nothing is streamed, live, or an
 * anchor.
 */
#include "posthouse/clock.h"
#include "request_priv.h"

static const struct {
	const char *name;
	struct ph_str path;
	int kinds; /* of accounts that have it */
} asks[] = {
	[PH_ASK_RESPONSE] = {"responses", PH_STR_INIT("/responses"), 0},
	[PH_ASK_COMPACT] = {"compact", PH_STR_INIT("/responses/compact"), 1 << PH_PLATFORM | 1 << PH_CODEX},
	[PH_ASK_TOKENS] = {"input_tokens", PH_STR_INIT("/responses/input_tokens"), 1 << PH_PLATFORM},
};

const char *ph_ask_name(const struct ph_request *r)
{
	return asks[r->ask].name;
}

int ph_ask_kinds(const struct ph_request *r)
{
	return r->body.background ? 1 << PH_PLATFORM : asks[r->ask].kinds;
}

int ph_ask_read(struct ph_request *r)
{
	struct ph_turn_body *b = &r->body;

	if (r->ask == PH_ASK_RESPONSE && b->background && !b->store)
		return ph_fail_param(&r->fault, PH_E_PARAM_BAD, "background",
			"Background mode requires 'store' to be true.");
	if (r->ask == PH_ASK_RESPONSE)
		return 0;
	if (r->ask == PH_ASK_COMPACT && b->model.n == 0)
		return ph_fail_param(
			&r->fault, PH_E_PARAM_MISSING, "model", "Missing required parameter: 'model'.");
	b->stream = b->background = false;
	b->generate = true;
	return 0;
}

int ph_ask_possible(struct ph_request *r)
{
	int kinds = ph_ask_kinds(r);

	if (kinds == 0)
		return 0;
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (kinds & 1 << a->kind && ph_key_allows_account(r->door.key, a->id))
			return 0;
	}
	if (r->body.background)
		return ph_fail_param(&r->fault, PH_E_MODE_NONE, "background", "%s", "");
	return ph_fail(&r->fault, PH_E_ENDPOINT_NONE, "%s", "");
}

/* ---- at the Codex backend (protocol, 6.2) ---- */

bool ph_ask_is_trigger(const struct ph_request *r)
{
	return r->ask == PH_ASK_COMPACT && r->account->kind == PH_CODEX;
}

struct ph_str ph_ask_path(const struct ph_request *r)
{
	return asks[ph_ask_is_trigger(r) ? PH_ASK_RESPONSE : r->ask].path;
}

void ph_ask_plan(const struct ph_request *r, struct ph_body_plan *plan)
{
	static const struct ph_str name = PH_STR_INIT("parallel_tool_calls");
	struct ph_json_member m;

	if (!ph_ask_is_trigger(r))
		return;
	if (ph_json_find(ph_str_trim(ph_buf_str(&r->body.buf)), &name, 1, &m) && m.kind == PH_JSON_ABSENT)
		plan->also = PH_STR("\"parallel_tool_calls\":false");
}

int ph_ask_put_trigger(const struct ph_request *r, struct ph_buf *items)
{
	if (!ph_ask_is_trigger(r))
		return 0;
	if (items->n)
		ph_buf_putc(items, ',');
	ph_buf_puts(items, PH_STR("{\"type\":\"compaction_trigger\"}"));
	return items->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}

/* ---- the answer ---- */

bool ph_ask_answered(const struct ph_request *r)
{
	static const struct ph_str count = PH_STR_INIT("input_tokens");
	struct ph_json_member m;

	if (r->ask == PH_ASK_COMPACT)
		return r->collect.id.n && ph_items_compacted(r->collect.output);
	if (r->ask == PH_ASK_TOKENS)
		return ph_json_find(ph_str_trim(ph_buf_str(&r->collect.response)), &count, 1, &m) &&
		       m.kind == PH_JSON_NUMBER;
	return true;
}

void ph_ask_put_compaction(const struct ph_request *r, struct ph_buf *out)
{
	enum {
		CREATED,
		USAGE,
		NR
	};
	static const struct ph_str names[NR] = {PH_STR_INIT("created_at"), PH_STR_INIT("usage")};
	struct ph_json_member m[NR];
	bool found = ph_json_find(ph_str_trim(ph_buf_str(&r->collect.response)), names, NR, m);

	ph_buf_puts(out, PH_STR("{\"id\":\""));
	ph_buf_json(out, r->collect.id);
	ph_buf_puts(out, PH_STR("\",\"object\":\"response.compaction\",\"created_at\":"));
	if (found && m[CREATED].kind == PH_JSON_NUMBER)
		ph_buf_puts(out, m[CREATED].value);
	else
		ph_buf_u64(out, ph_clock_unix_ms() / 1000);
	ph_buf_puts(out, PH_STR(",\"output\":["));
	ph_buf_puts(out, r->collect.output);
	ph_buf_puts(out, PH_STR("],\"usage\":"));
	ph_buf_puts(out, found && m[USAGE].kind == PH_JSON_OBJECT ? m[USAGE].value : PH_STR("null"));
	ph_buf_putc(out, '}');
}
