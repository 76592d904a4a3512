/* SPDX-License-Identifier: Apache-2.0 */
/*
 * response.steer: words for a response that is running (handbook, protocol 3.8). They go to the account that
 * runs it, where that is spoken to on a WebSocket; its answers pass like other events. Where the response
 * then ends as `incomplete` with the reason `steered`, the account goes on by itself with a response that
 * nobody asked for: that becomes a turn of its own, from the ended response with the words that were
 * accepted, so that it is stored, continued and replayed like any other.
 */
#include "request_priv.h"

#define WORDS_MAX (8 * 1024 * 1024)

/* ---- to the account ---- */

static struct ph_str member(struct ph_str object, const char *name)
{
	struct ph_str wanted = ph_str_c(name);
	struct ph_json_member m;

	if (!ph_json_find(object, &wanted, 1, &m))
		return PH_STR_NONE;
	return m.value;
}

struct ph_str ph_steer_running_id(const struct ph_request *r)
{
	return member(ph_str(r->relay.created, r->relay.created_n), "id");
}

static void send_on(struct ph_request *r, struct ph_str input)
{
	struct ph_buf frame;

	ph_buf_init(&frame, r->g->config->max_body);
	ph_buf_puts(&frame, PH_STR("{\"type\":\"response.steer\",\"previous_response_id\":"));
	ph_buf_puts(&frame, ph_steer_running_id(r));
	ph_buf_puts(&frame, PH_STR(",\"input\":"));
	ph_buf_puts(&frame, input);
	ph_buf_putc(&frame, '}');
	ph_upsocket_send(r->lane->socket, &frame);
	ph_buf_deinit(&frame);
}

const char *ph_request_steer(struct ph_request *r, struct ph_str json)
{
	struct ph_str input = member(json, "input");

	if (r->sm.state < REQ_AWAIT || r->sm.state > REQ_RELAY || r->relay.ended || !r->relay.created)
		return "response_not_active";
	if (!r->attempt.socket)
		return "steering_not_supported";
	if (!ph_str_eq(member(json, "previous_response_id"), ph_steer_running_id(r)))
		return "response_not_found";
	if (ph_json_kind(input) != PH_JSON_STRING && ph_json_kind(input) != PH_JSON_ARRAY)
		return "invalid_input";
	if (r->steer_count == PH_STEERS_MAX)
		return "too_many_pending_steers";
	if (!r->steers && !(r->steers = ph_arena_alloc(&r->arena, PH_STEERS_MAX * sizeof *r->steers)))
		return "too_many_pending_steers";
	r->steers[r->steer_count++] = ph_arena_dup(&r->arena, input);
	send_on(r, input);
	return NULL;
}

/* ---- what the account says of it ---- */

/* The words as items, behind those that were accepted before. */
static void take_words(struct ph_request *r, struct ph_str input)
{
	if (r->steered.max == 0)
		ph_buf_init(&r->steered, WORDS_MAX);
	if (r->steered.n)
		ph_buf_putc(&r->steered, ',');
	if (ph_json_kind(input) == PH_JSON_ARRAY) {
		ph_buf_puts(&r->steered, ph_str(input.p + 1, input.n - 2));
		return;
	}
	ph_buf_puts(&r->steered, PH_STR("{\"type\":\"message\",\"role\":\"user\",\"content\":"));
	ph_buf_puts(&r->steered, input);
	ph_buf_putc(&r->steered, '}');
}

/* In the order in which they were sent. */
static struct ph_str answered(struct ph_request *r)
{
	struct ph_str first = r->steers[0];

	r->steer_count--;
	memmove(r->steers, r->steers + 1, r->steer_count * sizeof *r->steers);
	return first;
}

/* An account that knows no steering refuses the frame, and the response runs on. */
static bool is_refusal(const struct ph_event *e)
{
	uint64_t status = 0;

	return e->class == PH_EVENT_ERROR && ph_json_u64(member(e->unit->data, "status"), &status) &&
	       status == 400;
}

bool ph_steer_answered(struct ph_request *r, const struct ph_event *e, struct ph_str *refused)
{
	*refused = PH_STR_NONE;
	if (r->steer_count == 0)
		return false;
	if (ph_str_eq(e->name, PH_STR("response.steer.accepted")))
		take_words(r, answered(r));
	else if (ph_str_eq(e->name, PH_STR("response.steer.failed")))
		answered(r);
	else if (is_refusal(e))
		*refused = answered(r);
	return refused->p != NULL;
}

void ph_steer_put_failed(struct ph_buf *out, const struct ph_dress *d, struct ph_str input,
	struct ph_str previous, const char *code)
{
	struct ph_buf json;

	ph_buf_init(&json, out->max);
	ph_buf_printf(&json,
		"{\"type\":\"response.steer.failed\",\"error\":{\"code\":\"%s\",\"message\":\"The response "
		"was "
		"not steered. Send the input as a turn of its own.\",\"type\":\"invalid_request_error\"},"
		"\"steer\":{\"input\":",
		code);
	ph_buf_puts(&json, input.n ? input : PH_STR("null"));
	ph_buf_puts(&json, PH_STR(",\"previous_response_id\":"));
	ph_buf_puts(&json, previous.n ? previous : PH_STR("null"));
	ph_buf_puts(&json, PH_STR("}}"));
	ph_put_event(out, d, PH_STR_NONE, ph_buf_str(&json));
	ph_buf_deinit(&json);
}

/* ---- the turn behind it ---- */

static bool ended_steered(const struct ph_request *r)
{
	struct ph_str details = member(ph_buf_str(&r->collect.response), "incomplete_details");

	return r->relay.ended == PH_TERMINAL_INCOMPLETE && ph_json_kind(details) == PH_JSON_OBJECT &&
	       ph_json_text_is(member(details, "reason"), PH_STR("steered"));
}

void ph_steer_plan_successor(struct ph_request *r)
{
	struct ph_buf *out = &r->lane->successor;

	if (r->steered.n == 0 || r->steered.failed || !r->attempt.socket || !ended_steered(r))
		return;
	ph_buf_reset(out);
	ph_buf_puts(out, PH_STR("{\"type\":\"response.create\",\"model\":\""));
	ph_buf_json(out, r->body.model);
	ph_buf_printf(out, "\",\"store\":%s,\"previous_response_id\":\"", r->body.store ? "true" : "false");
	ph_buf_json(out, r->collect.id);
	ph_buf_puts(out, PH_STR("\",\"input\":["));
	ph_buf_puts(out, ph_buf_str(&r->steered));
	ph_buf_puts(out, PH_STR("]}"));
	if (out->failed)
		ph_buf_reset(out);
	else
		ph_upsocket_read(r->lane->socket, false); /* what comes next is that turn's */
}
