/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routing mark of the Codex backend (x-codex-turn-state): one account's, and so seen by clients with its
 * issuer in front ("42.value"), so that any node can tell whom it may go back to (handbook, protocol 6.3). It
 * comes in an answer's head or in an event, and goes out the way the client reads it: in its head, or on a
 * WebSocket in an event (3.3).
 */
#include "request_priv.h"

#define EVENT_MAX (8 * PH_FIELD_MAX)

bool ph_turn_state_of(struct ph_str seen, int64_t account, struct ph_str *ret)
{
	struct ph_str rest = seen, issuer = ph_str_split(&rest, '.');
	uint64_t id;

	if (!ph_str_u64(issuer, INT64_MAX, &id) || (int64_t)id != account || rest.n == 0)
		return false;
	*ret = rest;
	return true;
}

void ph_turn_state_note(struct ph_request *r, struct ph_str issued)
{
	struct ph_attempt *a = &r->attempt;
	bool over_http = r->dress.framing == PH_FRAMING_SSE;
	char *seen;

	if (over_http && r->head_sent)
		return; /* too late, and its own head is gone */
	if (issued.n == 0 || issued.n > PH_FIELD_MAX || r->account->kind != PH_CODEX || !r->x ||
		!ph_is_codex_client(r->x) || a->turn_state.n)
		return;
	seen = ph_arena_printf(&r->arena, "%lld.%.*s", (long long)r->account->id, PH_STR_ARG(issued));
	if (!seen)
		return;
	a->turn_state = ph_str_c(seen);
	if (over_http)
		ph_http_put_header(&a->headers, PH_STR("x-codex-turn-state"), a->turn_state);
}

void ph_turn_state_hear(struct ph_request *r, struct ph_str json)
{
	static const struct ph_str names[2] = {PH_STR_INIT("headers"), PH_STR_INIT("x-codex-turn-state")};
	struct ph_json_member headers, state;

	if (!ph_json_find(json, &names[0], 1, &headers) || headers.kind != PH_JSON_OBJECT ||
		!ph_json_find(headers.value, &names[1], 1, &state) || state.kind != PH_JSON_STRING ||
		state.escaped)
		return;
	ph_turn_state_note(r, ph_str(state.value.p + 1, state.value.n - 2));
}

void ph_turn_state_put_event(struct ph_request *r, struct ph_buf *out)
{
	struct ph_attempt *a = &r->attempt;
	struct ph_buf json;

	if (r->dress.framing != PH_FRAMING_WS || a->turn_state.n == 0 || a->turn_state_shown)
		return;
	a->turn_state_shown = true;
	ph_buf_init(&json, EVENT_MAX);
	ph_buf_puts(&json, PH_STR("{\"type\":\"response.metadata\",\"headers\":{\"x-codex-turn-state\":\""));
	ph_buf_json(&json, a->turn_state);
	ph_buf_puts(&json, PH_STR("\"}}"));
	ph_put_event(out, &r->dress, PH_STR_NONE, ph_buf_str(&json));
	ph_buf_deinit(&json);
}
