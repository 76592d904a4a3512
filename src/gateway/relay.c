/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream's events to the client, byte for byte. The scanner cuts a stream into units, a WebSocket brings
 * them as messages; each is let pass, held, or changed, and this is all that is ever changed:
 *
 *   - lifecycle events and the head are held until the first other event, or HOLD_TIMEOUT: meanwhile a
 *     failure is retried and nobody sees it;
 *   - of a background response nothing is shown until it is written whose it is, and its numbers stay as they
 *     are: no keepalive of ours, and none counted out;
 *   - the terminal event is held until the turn is committed;
 *   - [DONE] is written by us, once, at the end of a stream;
 *   - where the client reads another framing than upstream writes, an event's JSON goes into the other one,
 *     and on a WebSocket gets the stream_id of its turn;
 *   - keepalive events are ours, and then sequence numbers behind them are shifted;
 *   - `codex.*` and response.metadata events are dropped: they describe one account; Codex clients get the
 *     pool's figures instead (pool.c), in the head, or on a WebSocket as the event that they know;
 *   - an empty `output` in the terminal event is filled with the items that came;
 *   - a failure that would tell one account's limit says server_error;
 *   - a broken stream ends in response.failed with the id that was shown and the next number.
 *
 * For a client that wants one object from an account that only streams, nothing is shown: the terminal
 * event's response becomes the answer.
 *
 * Here is what passes. When the client is shown the first of it, and what we say ourselves, is relay_show.c;
 * the terminal event and every other end is relay_end.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/clock.h"
#include "relay_priv.h"

#define HELD_MAX   (1024 * 1024)
#define EVENT_KEPT (64 * 1024) /* of the memory that events are changed in */

/* ---- bytes that pass ---- */

void ph_relay_flush(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	struct ph_str run = ph_str(y->run_p, y->run_n);

	y->run_p = NULL;
	y->run_n = 0;
	ph_relay_push(r, run);
}

/* Whether a slice is part of the read that is being fed: only then does it outlive its unit. */
static bool of_this_read(const struct ph_relay *y, struct ph_str raw)
{
	return raw.p >= y->fed.p && raw.p + raw.n <= y->fed.p + y->fed.n;
}

/* Bytes that pass: held while the head is held, else joined with their neighbours of this read. */
static void pass(struct ph_request *r, struct ph_str raw)
{
	struct ph_relay *y = &r->relay;

	if (r->attempt.collected)
		return;
	if (y->phase == PH_RELAY_HELD) {
		ph_buf_puts(&y->held, raw);
		return;
	}
	if (y->run_p && y->run_p + y->run_n == raw.p) {
		y->run_n += raw.n;
		return;
	}
	ph_relay_flush(r);
	if (!of_this_read(y, raw)) {
		ph_relay_push(r, raw);
		return;
	}
	y->run_p = raw.p;
	y->run_n = raw.n;
}

/* ---- changed events ---- */

/* The number as the client may see it, where events of ours came before. False: it stays. */
static bool shifted(const struct ph_relay *y, const struct ph_json_member *number, char text[24])
{
	uint64_t n;

	if (y->shift == 0 || number->kind != PH_JSON_NUMBER || !ph_json_u64(number->value, &n))
		return false;
	snprintf(text, 24, "%lld", (long long)((int64_t)n + y->shift));
	return true;
}

void ph_relay_put_unit(
	struct ph_request *r, struct ph_buf *out, const struct ph_event *e, struct ph_str response)
{
	const struct ph_sse_unit *u = e->unit;
	struct ph_patch p[2];
	char number[24];
	size_t n = 0;

	if (shifted(&r->relay, &e->m[PH_EV_NUMBER], number))
		p[n++] = ph_patch_of(u, &e->m[PH_EV_NUMBER], ph_str_c(number));
	if (response.p)
		p[n++] = ph_patch_of(u, &e->m[PH_EV_RESPONSE], response);
	if (n == 2 && p[0].from > p[1].from) {
		struct ph_patch swap = p[0];

		p[0] = p[1];
		p[1] = swap;
	}
	if (!r->relay.raw)
		ph_patch_put_dressed(out, &r->dress, e, p, n);
	else if (n)
		ph_patch_put(out, u, p, n);
	else
		ph_buf_puts(out, u->raw);
}

static void pass_unit(struct ph_request *r, const struct ph_event *e)
{
	struct ph_buf *changed = &r->g->event;

	if (r->relay.shift == 0 && r->relay.raw) {
		pass(r, e->unit->raw);
		return;
	}
	ph_buf_reset(changed);
	ph_relay_put_unit(r, changed, e, PH_STR_NONE);
	pass(r, ph_buf_str(changed));
	if (changed->cap > EVENT_KEPT)
		ph_buf_deinit(changed);
}

static void note_number(struct ph_relay *y, const struct ph_json_member *number)
{
	uint64_t n;

	if (number->kind == PH_JSON_NUMBER && ph_json_u64(number->value, &n) && n < INT64_MAX / 2)
		y->next_number = (int64_t)n + y->shift + 1;
	else
		y->next_number++;
}

static void drop_unit(struct ph_request *r, const struct ph_json_member *number)
{
	if (number->kind == PH_JSON_NUMBER && !r->body.background)
		r->relay.shift--;
}

/* ---- the scanner's units ---- */

/* As long as it is: many streams hold it at a time. */
static void note_created(struct ph_request *r, const struct ph_json_member *response)
{
	struct ph_relay *y = &r->relay;

	y->saw_created = true;
	free(y->created);
	y->created = NULL;
	y->created_n = 0;
	if (response->kind != PH_JSON_OBJECT || response->value.n > PH_CREATED_MAX)
		return;
	y->created_n = response->value.n;
	y->created = ph_realloc(NULL, y->created_n);
	memcpy(y->created, response->value.p, y->created_n);
}

static void start_hold(struct ph_request *r)
{
	if (r->relay.phase == PH_RELAY_HELD && !r->attempt.collected && !ph_timer_active(&r->hold))
		ph_timer_start(&r->hold, r->g->config->hold_timeout_ms);
}

static void hold_or_pass(struct ph_request *r, const struct ph_event *e)
{
	pass_unit(r, e);
	start_hold(r);
}

/* Before the first event that is more than a sign of life. */
static void show(struct ph_request *r)
{
	if (r->relay.phase == PH_RELAY_HELD)
		ph_relay_show_held(r);
}

static void first_event(struct ph_request *r)
{
	if (r->relay.saw_event)
		return;
	r->relay.saw_event = true;
	r->first_event_ns = ph_clock_ns();
	ph_request_event(r, 1); /* AWAIT -> RELAY */
}

static void on_event(struct ph_request *r, const struct ph_event *e)
{
	switch (e->class) {
	case PH_EVENT_COMPLETED:
		ph_relay_on_finished(r, PH_TERMINAL_COMPLETED, e);
		return;
	case PH_EVENT_INCOMPLETE:
		ph_relay_on_finished(r, PH_TERMINAL_INCOMPLETE, e);
		return;
	case PH_EVENT_FAILED:
		ph_relay_on_failed(r, PH_TERMINAL_FAILED, e);
		return;
	case PH_EVENT_ERROR:
		ph_relay_on_failed(r, PH_TERMINAL_ERROR, e);
		return;
	case PH_EVENT_CREATED:
		note_created(r, &e->m[PH_EV_RESPONSE]);
		hold_or_pass(r, e);
		if (r->body.background && !r->shown)
			ph_relay_close_gate(r);
		break;
	case PH_EVENT_LIFECYCLE:
		hold_or_pass(r, e);
		break;
	case PH_EVENT_ITEM_DONE:
		ph_collect_item(&r->collect, e->m[PH_EV_INDEX].value, e->m[PH_EV_ITEM].value);
		/* fall through */
	default:
		show(r);
		pass_unit(r, e);
	}
	note_number(&r->relay, &e->m[PH_EV_NUMBER]);
	r->relay.heard = true;
}

/* Upstream ended inside a unit: only a terminal event counts. The rest is not shown, or what we write behind
 * it would become part of it. */
static bool is_rest(const struct ph_request *r, enum ph_event_class class)
{
	return r->relay.finishing && class < PH_EVENT_COMPLETED;
}

/* What one account says of itself. */
static void on_telemetry(struct ph_request *r, struct ph_str json)
{
	ph_health_event(r->g, r->account, json);
	ph_turn_state_hear(r, json);
	if (r->relay.phase == PH_RELAY_SHOWN)
		ph_relay_show_turn_state(r);
}

static void on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct ph_request *r = owner;
	struct ph_str data = ph_str_trim(u->data), steer;
	struct ph_event e;

	if (data.n == 0) {
		if (!r->relay.finishing && r->relay.raw)
			pass(r, u->raw);
		return;
	}
	if (ph_str_eq(data, PH_STR("[DONE]")))
		return;
	if (!ph_event_read(u, &e)) {
		if (!r->relay.finishing)
			ph_relay_break(r, "an event that is no JSON object");
		return;
	}
	if (is_rest(r, e.class))
		return;
	if (ph_steer_answered(r, &e, &steer)) {
		ph_relay_refuse_steer(r, steer);
		return;
	}
	if (e.class == PH_EVENT_TELEMETRY)
		on_telemetry(r, u->data);
	if (e.class == PH_EVENT_TELEMETRY ||
		(e.class == PH_EVENT_KEEPALIVE && r->relay.phase == PH_RELAY_HELD)) {
		drop_unit(r, &e.m[PH_EV_NUMBER]);
		return;
	}
	if (e.class < PH_EVENT_COMPLETED)
		first_event(r);
	on_event(r, &e);
}

/* ---- a stream begins and ends ---- */

static void free_scanner(void *sse)
{
	ph_sse_free(sse);
}

void ph_relay_close(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	ph_timer_stop(&r->hold);
	y->open = false;
	if (y->sse) {
		/* The scanner may be on the stack: it was its event that ended the attempt. */
		ph_sse_stop(y->sse);
		ph_loop_bury(r->g->loop, y->sse, free_scanner);
		y->sse = NULL;
	}
	ph_buf_deinit(&y->held);
	ph_buf_deinit(&y->terminal);
	free(y->created);
	y->created = NULL;
	y->created_n = 0;
}

static void open_anew(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	ph_relay_close(r);
	*y = (struct ph_relay){.phase = PH_RELAY_HELD, .open = true};
	ph_buf_init(&y->held, HELD_MAX + PH_CREATED_MAX);
	ph_buf_init(&y->terminal, 2 * PH_COLLECT_MAX);
}

void ph_relay_open(struct ph_request *r, bool messages)
{
	open_anew(r);
	r->relay.raw = !messages && r->dress.framing == PH_FRAMING_SSE;
	if (!messages)
		r->relay.sse = ph_sse_new(r->g->config->max_body, on_unit, r);
}

/* ---- units that somebody else reads ---- */

void ph_relay_open_with(struct ph_request *r, void (*on_foreign)(void *owner, const struct ph_sse_unit *unit))
{
	open_anew(r);
	r->relay.raw = true;
	r->relay.sse = ph_sse_new(r->g->config->max_body, on_foreign, r);
}

void ph_relay_begin(struct ph_request *r)
{
	first_event(r);
	r->relay.saw_created = true;
	r->relay.heard = true;
}

void ph_relay_hold(struct ph_request *r, struct ph_str raw)
{
	pass(r, raw);
	start_hold(r);
}

void ph_relay_show(struct ph_request *r, struct ph_str raw)
{
	show(r);
	pass(r, raw);
}

/* ---- a read ---- */

static int fed(struct ph_request *r, int rc)
{
	struct ph_relay *y = &r->relay;

	ph_relay_flush(r);
	if (y->heard)
		ph_relay_keep_alive(r);
	y->heard = false;
	y->fed = PH_STR_NONE;
	if (rc == 0 && (y->held.failed || y->terminal.failed))
		rc = -PH_E_BODY_TOO_LARGE;
	return rc ? -PH_E_UPSTREAM_BAD : 0;
}

int ph_relay_feed(struct ph_request *r, struct ph_str bytes)
{
	r->relay.fed = bytes;
	return fed(r, ph_sse_feed(r->relay.sse, bytes));
}

int ph_relay_message(struct ph_request *r, struct ph_str json)
{
	const struct ph_sse_unit u = {.raw = json, .data = json, .has_data = true};

	if (!r->relay.open)
		return 0;
	on_unit(r, &u);
	return fed(r, 0);
}

void ph_relay_finish_feed(struct ph_request *r)
{
	r->relay.finishing = true;
	ph_sse_finish(r->relay.sse);
}
