/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream's events to the client, byte for byte. The scanner cuts a stream into units, a WebSocket brings
 * them as messages; each is let pass, held, or changed, and this is all that is ever changed:
 *
 *   - lifecycle events and the head are held until the first other event, or HOLD_TIMEOUT: meanwhile a
 * failure is retried and nobody sees it;
 *   - the terminal event is held until the turn is committed;
 *   - [DONE] is written by us, once, at the end of a stream;
 *   - where the client reads another framing than upstream writes, an event's JSON goes into the other one,
 *     and on a WebSocket gets the stream_id of its turn;
 *   - keepalive events are ours, and then sequence numbers behind them are shifted;
 *   - `codex.*` and response.metadata events are dropped: they describe one account;
 *   - an empty `output` in the terminal event is filled with the items that came;
 *   - a failure that would tell one account's limit says server_error;
 *   - a broken stream ends in response.failed with the id that was shown and the next number.
 *
 * For a client that wants one object from an account that only streams, nothing is shown: the terminal
 * event's response becomes the answer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chat.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

#define HELD_MAX    (1024 * 1024)
#define CREATED_MAX (8 * 1024 * 1024)
#define HEADERS_MAX (64 * 1024)
#define EVENT_KEPT  (64 * 1024) /* of the memory that events are changed in */

/* ---- towards the client ---- */

static void send_head(struct ph_request *r)
{
	struct ph_buf headers;

	if (r->head_sent)
		return;
	r->head_sent = true;
	r->http_status = r->attempt.status;
	ph_buf_init(&headers, HEADERS_MAX);
	ph_buf_puts(&headers, ph_buf_str(&r->attempt.headers));
	ph_reply_common(r->g, r->x, &headers);
	ph_reply_continuity(&headers, ph_request_mode(r));
	r->x->ops->head(r->x->end, r->attempt.status, &headers, -1);
	ph_buf_deinit(&headers);
	ph_buf_deinit(&r->attempt.headers);
}

/* From here on nothing is sent again, and a stream may be silent for long. */
static void first_shown(struct ph_request *r)
{
	r->shown = true;
	ph_turn_body_shrink(&r->body, r->lane || ph_record_keeps(r));
	ph_chat_forget(r->chat);
	r->choice.model = r->body.model;
}

/* The one place where the client gets bytes of an answer. */
static void push(struct ph_request *r, struct ph_str bytes)
{
	if (!r->x || bytes.n == 0)
		return;
	send_head(r);
	if (!r->shown)
		first_shown(r);
	r->bytes_out += bytes.n;
	if (r->x->ops->push(r->x->end, bytes) <= 0)
		ph_attempt_pause(r);
}

/* Counts from the last event: comments do not reset the idle timers of clients. */
static void start_keepalive(struct ph_request *r)
{
	const struct ph_relay *y = &r->relay;

	/* Not between the terminal event and its release: the number of that one is settled. */
	if (y->phase == PH_RELAY_SHOWN && y->open && !y->ended)
		ph_timer_start(&r->hold, r->g->config->keepalive_interval_ms);
}

static void flush_run(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	struct ph_str run = ph_str(y->run_p, y->run_n);

	y->run_p = NULL;
	y->run_n = 0;
	push(r, run);
}

static void show_turn_state(struct ph_request *r)
{
	struct ph_buf event;

	ph_buf_init(&event, HEADERS_MAX);
	ph_turn_state_put_event(r, &event);
	push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
}

/* Lets go what is held. */
static void show(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (y->phase != PH_RELAY_HELD || r->attempt.collected)
		return;
	y->phase = PH_RELAY_SHOWN;
	show_turn_state(r);
	if (y->held.n)
		push(r, ph_buf_str(&y->held));
	ph_buf_deinit(&y->held);
	start_keepalive(r);
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
	flush_run(r);
	if (!of_this_read(y, raw)) {
		push(r, raw);
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

/* Appends the event as the client may see it. response: what stands in place of its response, or none. */
static void put_unit(
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
	put_unit(r, changed, e, PH_STR_NONE);
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
	if (number->kind == PH_JSON_NUMBER)
		r->relay.shift--;
}

/* ---- the terminal event ---- */

/* With the output filled in if it was empty. */
static void hold_terminal(struct ph_request *r, const struct ph_event *e)
{
	struct ph_str response = PH_STR_NONE;
	struct ph_buf filled;

	ph_buf_init(&filled, 2 * PH_COLLECT_MAX);
	if (r->collect.output_missing) {
		ph_collect_filled(&r->collect, e->m[PH_EV_RESPONSE].value, &filled);
		response = ph_buf_str(&filled);
	}
	put_unit(r, &r->relay.terminal, e, response);
	ph_buf_deinit(&filled);
}

/* What is ours follows the terminal event: its blank line must be whole, also where upstream ended without
 * it, or where the LF of a CRLF comes with the next read. */
static void complete_unit(struct ph_relay *y)
{
	if (!y->raw)
		return;
	if (y->finishing)
		ph_buf_puts(&y->terminal, PH_STR("\n\n"));
	else if (ph_str_ends(ph_buf_str(&y->terminal), PH_STR("\n\r")))
		ph_buf_putc(&y->terminal, '\n');
}

/* Nothing that comes behind this event is an event of this turn. */
static void stop(struct ph_request *r)
{
	r->relay.open = false;
	if (r->relay.sse)
		ph_sse_stop(r->relay.sse);
}

static void end_with(struct ph_request *r, enum ph_terminal terminal)
{
	flush_run(r);
	ph_timer_stop(&r->hold);
	complete_unit(&r->relay);
	r->relay.ended = terminal;
	r->terminal_ns = ph_clock_ns();
	stop(r);
	ph_request_event(r, 1);
}

/* The attempt failed: another account, or a well-formed end. */
static void fall(struct ph_request *r, int code)
{
	flush_run(r);
	stop(r);
	ph_request_event(r, code);
}

/* What cannot be read cannot be relayed either. */
static void break_off(struct ph_request *r, const char *why)
{
	fall(r, ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "%s", why));
}

static void on_finished(struct ph_request *r, enum ph_terminal terminal, const struct ph_event *e)
{
	if (e->m[PH_EV_RESPONSE].kind != PH_JSON_OBJECT ||
		!ph_collect_response(&r->collect, e->m[PH_EV_RESPONSE].value)) {
		break_off(r, "a terminal event without a response");
		return;
	}
	if (r->attempt.collected)
		ph_buf_puts(&r->attempt.body, e->m[PH_EV_RESPONSE].value);
	else
		hold_terminal(r, e);
	end_with(r, terminal);
}

/* response.failed or error. While nothing was shown it is classified first, and may become a retry. After
 * that one account's limit is told as server_error; what concerns the request is told as it came. */
static void on_failed(struct ph_request *r, enum ph_terminal terminal, const struct ph_event *e)
{
	int code = ph_attempt_failure(r, e->unit->data, 0);
	bool told = ph_err_info(code)->remedy == PH_GIVE_UP && terminal == PH_TERMINAL_FAILED &&
		    r->relay.saw_created && !r->attempt.collected;

	if (told) {
		if (e->m[PH_EV_RESPONSE].kind == PH_JSON_OBJECT)
			(void)!ph_collect_response(&r->collect, e->m[PH_EV_RESPONSE].value);
		put_unit(r, &r->relay.terminal, e, PH_STR_NONE);
		end_with(r, terminal);
		return;
	}
	fall(r, code);
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
	if (response->kind != PH_JSON_OBJECT || response->value.n > CREATED_MAX)
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
		on_finished(r, PH_TERMINAL_COMPLETED, e);
		return;
	case PH_EVENT_INCOMPLETE:
		on_finished(r, PH_TERMINAL_INCOMPLETE, e);
		return;
	case PH_EVENT_FAILED:
		on_failed(r, PH_TERMINAL_FAILED, e);
		return;
	case PH_EVENT_ERROR:
		on_failed(r, PH_TERMINAL_ERROR, e);
		return;
	case PH_EVENT_CREATED:
		note_created(r, &e->m[PH_EV_RESPONSE]);
		hold_or_pass(r, e);
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

static void show_refused_steer(struct ph_request *r, struct ph_str input)
{
	struct ph_buf event;

	ph_buf_init(&event, 2 * r->g->config->max_body);
	ph_steer_put_failed(&event, &r->dress, input, ph_steer_running_id(r), "steering_not_supported");
	push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
}

/* What one account says of itself. */
static void on_telemetry(struct ph_request *r, struct ph_str json)
{
	ph_health_event(r->g, r->account, json);
	ph_turn_state_hear(r, json);
	if (r->relay.phase == PH_RELAY_SHOWN)
		show_turn_state(r);
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
			break_off(r, "an event that is no JSON object");
		return;
	}
	if (is_rest(r, e.class))
		return;
	if (ph_steer_answered(r, &e, &steer)) {
		show_refused_steer(r, steer);
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
	ph_buf_init(&y->held, HELD_MAX + CREATED_MAX);
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

void ph_relay_end(struct ph_request *r)
{
	end_with(r, PH_TERMINAL_COMPLETED);
}

void ph_relay_fault(struct ph_request *r, struct ph_str json)
{
	fall(r, ph_attempt_failure(r, json, 0));
}

void ph_relay_break(struct ph_request *r, const char *why)
{
	break_off(r, why);
}

/* ---- a read ---- */

static int fed(struct ph_request *r, int rc)
{
	struct ph_relay *y = &r->relay;

	flush_run(r);
	if (y->heard)
		start_keepalive(r);
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

/* ---- events of ours ---- */

static void send_keepalive(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	char json[80];
	struct ph_buf event;
	int n = snprintf(json, sizeof json, "{\"type\":\"keepalive\",\"sequence_number\":%lld}",
		(long long)y->next_number);

	y->next_number++;
	y->shift++;
	start_keepalive(r);
	ph_buf_init(&event, 1024);
	if (r->attempt.chat)
		ph_buf_puts(&event, PH_CHAT_ALIVE);
	else
		ph_put_event(&event, &r->dress, PH_STR("keepalive"), ph_str(json, (size_t)n));
	push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
	ph_metric_add(PH_M_KEEPALIVES, 0, 0, 1);
}

/* HOLD_TIMEOUT first; once something is shown, KEEPALIVE_INTERVAL of silence. */
void ph_relay_timer(void *arg)
{
	struct ph_request *r = arg;

	if (r->relay.phase == PH_RELAY_HELD) {
		show(r);
		return;
	}
	if (r->relay.saw_created && r->x)
		send_keepalive(r);
}

static void finish(struct ph_request *r)
{
	struct ph_exchange *x = r->x;

	ph_timer_stop(&r->hold);
	r->x = NULL;
	x->ops->finish(x->end);
}

static void put_done(const struct ph_request *r, struct ph_buf *out)
{
	if (r->dress.framing == PH_FRAMING_SSE)
		ph_buf_puts(out, PH_SSE_DONE);
}

void ph_relay_release(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (!r->x)
		return;
	show(r);
	y->phase = PH_RELAY_ENDED;
	put_done(r, &y->terminal);
	push(r, ph_buf_str(&y->terminal));
	finish(r);
}

/* A chat has no well-formed end for a broken answer but to end. */
static void fail_chat(struct ph_request *r)
{
	struct ph_exchange *x = r->x;

	ph_timer_stop(&r->hold);
	push(r, PH_CHAT_BROKEN);
	r->x = NULL;
	x->ops->cut(x->end);
}

void ph_relay_fail(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	struct ph_buf event;

	if (!r->x)
		return;
	flush_run(r);
	if (r->attempt.chat) {
		fail_chat(r);
		return;
	}
	ph_buf_init(&event, 3 * CREATED_MAX);
	ph_put_failed_event(&event, &r->dress, ph_str(y->created, y->created_n), y->next_number);
	put_done(r, &event);
	push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
	finish(r);
}
