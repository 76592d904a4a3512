/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream's events to the client, byte for byte. The scanner cuts the stream into units; each is let pass,
 * held, or changed, and this is all that is ever changed:
 *
 *   - lifecycle events and the head are held until the first other event, or HOLD_TIMEOUT: meanwhile a
 * failure is retried and nobody sees it;
 *   - the terminal event is held until the turn is committed;
 *   - [DONE] is written by us, once, at the end;
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

#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

#define HELD_MAX    (1024 * 1024)
#define CREATED_MAX (8 * 1024 * 1024)
#define HEADERS_MAX (64 * 1024)
#define NAMES_MAX   4096

enum {
	U_TYPE,
	U_NUMBER,
	U_RESPONSE,
	U_INDEX,
	U_ITEM,
	U_NR
};
static const struct ph_str unit_names[U_NR] = {
	[U_TYPE] = PH_STR_INIT("type"),
	[U_NUMBER] = PH_STR_INIT("sequence_number"),
	[U_RESPONSE] = PH_STR_INIT("response"),
	[U_INDEX] = PH_STR_INIT("output_index"),
	[U_ITEM] = PH_STR_INIT("item"),
};

enum event_class {
	EVENT_OTHER,
	EVENT_CREATED,
	EVENT_LIFECYCLE,
	EVENT_ITEM_DONE,
	EVENT_TELEMETRY, /* one account's; dropped */
	EVENT_KEEPALIVE, /* upstream's own */
	EVENT_COMPLETED,
	EVENT_INCOMPLETE,
	EVENT_FAILED,
	EVENT_ERROR,
};

static const struct {
	struct ph_str type;
	enum event_class class;
} classes[] = {
	{PH_STR_INIT("response.output_item.done"), EVENT_ITEM_DONE},
	{PH_STR_INIT("response.created"), EVENT_CREATED},
	{PH_STR_INIT("response.queued"), EVENT_LIFECYCLE},
	{PH_STR_INIT("response.in_progress"), EVENT_LIFECYCLE},
	{PH_STR_INIT("response.completed"), EVENT_COMPLETED},
	{PH_STR_INIT("response.incomplete"), EVENT_INCOMPLETE},
	{PH_STR_INIT("response.failed"), EVENT_FAILED},
	{PH_STR_INIT("error"), EVENT_ERROR},
	{PH_STR_INIT("keepalive"), EVENT_KEEPALIVE},
	{PH_STR_INIT("response.metadata"), EVENT_TELEMETRY},
};

/* Some send their errors without a type. */
static bool is_bare_error(struct ph_str json)
{
	static const struct ph_str name = PH_STR_INIT("error");
	struct ph_json_member m;

	return ph_json_find(json, &name, 1, &m) && m.kind == PH_JSON_OBJECT;
}

static enum event_class class_of(struct ph_str type)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (ph_str_eq(type, classes[i].type))
			return classes[i].class;
	return ph_str_starts(type, PH_STR("codex.")) ? EVENT_TELEMETRY : EVENT_OTHER;
}

static enum event_class class_of_untyped(const struct ph_sse_unit *u)
{
	return u->event.n == 0 && is_bare_error(u->data) ? EVENT_ERROR : class_of(u->event);
}

/* What is wanted of one event. */
struct reading {
	struct ph_json_member *m;
	struct ph_arena texts; /* of names and types that hold escapes */
	bool typed;
	enum event_class class;
};

static void take_member(struct reading *g, struct ph_str quoted, struct ph_str value)
{
	struct ph_str name, type;
	size_t i = 0;

	if (!ph_json_text(quoted, &g->texts, &name))
		return;
	while (i < U_NR && !ph_str_eq(name, unit_names[i]))
		i++;
	if (i == U_NR)
		return;
	g->m[i] = (struct ph_json_member){.kind = ph_json_kind(value), .value = value};
	if (i != U_TYPE || g->m[i].kind != PH_JSON_STRING)
		return;
	g->typed = true;
	g->class = ph_json_text(value, &g->texts, &type) ? class_of(type) : EVENT_OTHER;
}

/* Nothing else is wanted of an event that passes as it is. */
static bool knows_enough(const struct reading *g)
{
	return g->typed && g->class == EVENT_OTHER && g->m[U_NUMBER].kind != PH_JSON_ABSENT;
}

/* Member by member, and only as far as anything is wanted: type and number stand in front. False: no object.
 */
static bool read_members(struct reading *g, struct ph_str json)
{
	size_t at = 0, end = 0;
	struct ph_str name, value;

	while (!knows_enough(g)) {
		if (!ph_json_pair(json, &at, &name, &value)) {
			json = ph_str_trim(ph_str_from(json, end));
			return ph_str_eq(json, PH_STR("}")) ||
			       (end == 0 && ph_str_starts(json, PH_STR("{")) &&
				       ph_str_eq(ph_str_trim(ph_str_from(json, 1)), PH_STR("}")));
		}
		take_member(g, name, value);
		end = at;
	}
	return true;
}

static bool take_word(struct ph_str *rest, struct ph_str word)
{
	if (!ph_str_starts(*rest, word))
		return false;
	*rest = ph_str_from(*rest, word.n);
	return true;
}

/* What nearly every event is: {"type":"EVENT","sequence_number":N and something behind it, EVENT being its
 * name that also stands in front of the JSON, and one of those that pass as they are. */
static bool is_plain(const struct ph_sse_unit *u, struct ph_json_member *number)
{
	struct ph_str rest = u->data;
	size_t n = 0;

	if (u->event.n == 0 || !take_word(&rest, PH_STR("{\"type\":\"")) || !take_word(&rest, u->event) ||
		!take_word(&rest, PH_STR("\",\"sequence_number\":")))
		return false;
	while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
		n++;
	if (n == 0 || n == rest.n || rest.p[n] != ',' || class_of(u->event) != EVENT_OTHER)
		return false;
	*number = (struct ph_json_member){.kind = PH_JSON_NUMBER, .value = ph_str(rest.p, n)};
	return true;
}

static bool read_event(const struct ph_sse_unit *u, struct ph_json_member *m, enum event_class *class)
{
	struct reading g = {.m = m, .class = EVENT_OTHER};
	bool read;

	memset(m, 0, U_NR * sizeof *m);
	*class = EVENT_OTHER;
	if (is_plain(u, &m[U_NUMBER]))
		return true;
	ph_arena_init(&g.texts, NAMES_MAX);
	read = read_members(&g, u->data);
	ph_arena_deinit(&g.texts);
	*class = g.typed || !read ? g.class : class_of_untyped(u);
	return read;
}

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
	ph_turn_body_shrink(&r->body, ph_record_keeps(r));
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
	if (r->x->ops->push(r->x->end, bytes) <= 0 && r->attempt.call) {
		r->paused = true;
		ph_call_read(r->attempt.call, false);
	}
}

/* Counts from the last event: comments do not reset the idle timers of clients. */
static void start_keepalive(struct ph_request *r)
{
	const struct ph_relay *y = &r->relay;

	/* Not between the terminal event and its release: the number of that one is settled. */
	if (y->phase == PH_RELAY_SHOWN && y->sse && !y->ended)
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

/* Lets go what is held. */
static void show(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (y->phase != PH_RELAY_HELD || r->attempt.collected)
		return;
	y->phase = PH_RELAY_SHOWN;
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

/* Appends the unit as the client may see it. response: what stands in place of its response, or none. */
static void put_unit(struct ph_request *r, struct ph_buf *out, const struct ph_sse_unit *u,
	const struct ph_json_member *m, struct ph_str response)
{
	struct ph_patch p[2];
	char number[24];
	size_t n = 0;

	if (shifted(&r->relay, &m[U_NUMBER], number))
		p[n++] = ph_patch_of(u, &m[U_NUMBER], ph_str_c(number));
	if (response.p)
		p[n++] = ph_patch_of(u, &m[U_RESPONSE], response);
	if (n == 2 && p[0].from > p[1].from) {
		struct ph_patch swap = p[0];

		p[0] = p[1];
		p[1] = swap;
	}
	if (n)
		ph_patch_put(out, u, p, n);
	else
		ph_buf_puts(out, u->raw);
}

static void pass_unit(struct ph_request *r, const struct ph_sse_unit *u, const struct ph_json_member *m)
{
	struct ph_buf changed;

	if (r->relay.shift == 0) {
		pass(r, u->raw);
		return;
	}
	ph_buf_init(&changed, 2 * r->g->config->max_body);
	put_unit(r, &changed, u, m, PH_STR_NONE);
	pass(r, ph_buf_str(&changed));
	ph_buf_deinit(&changed);
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
static void hold_terminal(struct ph_request *r, const struct ph_sse_unit *u, const struct ph_json_member *m)
{
	struct ph_str response = PH_STR_NONE;
	struct ph_buf filled;

	ph_buf_init(&filled, 2 * PH_COLLECT_MAX);
	if (r->collect.output_missing) {
		ph_collect_filled(&r->collect, m[U_RESPONSE].value, &filled);
		response = ph_buf_str(&filled);
	}
	put_unit(r, &r->relay.terminal, u, m, response);
	ph_buf_deinit(&filled);
}

/* What is ours follows the terminal event: its blank line must be whole, also where upstream ended without
 * it, or where the LF of a CRLF comes with the next read. */
static void complete_unit(struct ph_relay *y)
{
	if (y->finishing)
		ph_buf_puts(&y->terminal, PH_STR("\n\n"));
	else if (ph_str_ends(ph_buf_str(&y->terminal), PH_STR("\n\r")))
		ph_buf_putc(&y->terminal, '\n');
}

static void end_with(struct ph_request *r, enum ph_terminal terminal)
{
	flush_run(r);
	ph_timer_stop(&r->hold);
	complete_unit(&r->relay);
	r->relay.ended = terminal;
	r->terminal_ns = ph_clock_ns();
	ph_sse_stop(r->relay.sse);
	ph_request_event(r, 1);
}

/* What cannot be read cannot be relayed either: another account, or a well-formed end. */
static void break_off(struct ph_request *r, const char *why)
{
	flush_run(r);
	ph_sse_stop(r->relay.sse);
	ph_request_event(r, ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "%s", why));
}

static void on_finished(struct ph_request *r, enum ph_terminal terminal, const struct ph_sse_unit *u,
	const struct ph_json_member *m)
{
	if (m[U_RESPONSE].kind != PH_JSON_OBJECT || !ph_collect_response(&r->collect, m[U_RESPONSE].value)) {
		break_off(r, "a terminal event without a response");
		return;
	}
	if (r->attempt.collected)
		ph_buf_puts(&r->attempt.body, m[U_RESPONSE].value);
	else
		hold_terminal(r, u, m);
	end_with(r, terminal);
}

/* response.failed or error. While nothing was shown it is classified first, and may become a retry. After
 * that one account's limit is told as server_error; what concerns the request is told as it came. */
static void on_failed(struct ph_request *r, enum ph_terminal terminal, const struct ph_sse_unit *u,
	const struct ph_json_member *m)
{
	int code = ph_attempt_failure(r, u->data, 0);
	bool told = ph_err_info(code)->remedy == PH_GIVE_UP && terminal == PH_TERMINAL_FAILED &&
		    r->relay.saw_created && !r->attempt.collected;

	if (told) {
		if (m[U_RESPONSE].kind == PH_JSON_OBJECT)
			(void)!ph_collect_response(&r->collect, m[U_RESPONSE].value);
		put_unit(r, &r->relay.terminal, u, m, PH_STR_NONE);
		end_with(r, terminal);
		return;
	}
	flush_run(r);
	ph_sse_stop(r->relay.sse);
	ph_request_event(r, code);
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

static void hold_or_pass(struct ph_request *r, const struct ph_sse_unit *u, const struct ph_json_member *m)
{
	pass_unit(r, u, m);
	if (r->relay.phase == PH_RELAY_HELD && !r->attempt.collected && !ph_timer_active(&r->hold))
		ph_timer_start(&r->hold, r->g->config->hold_timeout_ms);
}

static void first_event(struct ph_request *r)
{
	if (r->relay.saw_event)
		return;
	r->relay.saw_event = true;
	r->first_event_ns = ph_clock_ns();
	ph_request_event(r, 1); /* AWAIT -> RELAY */
}

static void on_event(struct ph_request *r, const struct ph_sse_unit *u, const struct ph_json_member *m,
	enum event_class class)
{
	switch (class) {
	case EVENT_COMPLETED:
		on_finished(r, PH_TERMINAL_COMPLETED, u, m);
		return;
	case EVENT_INCOMPLETE:
		on_finished(r, PH_TERMINAL_INCOMPLETE, u, m);
		return;
	case EVENT_FAILED:
		on_failed(r, PH_TERMINAL_FAILED, u, m);
		return;
	case EVENT_ERROR:
		on_failed(r, PH_TERMINAL_ERROR, u, m);
		return;
	case EVENT_CREATED:
		note_created(r, &m[U_RESPONSE]);
		hold_or_pass(r, u, m);
		break;
	case EVENT_LIFECYCLE:
		hold_or_pass(r, u, m);
		break;
	case EVENT_ITEM_DONE:
		ph_collect_item(&r->collect, m[U_INDEX].value, m[U_ITEM].value);
		/* fall through */
	default:
		show(r);
		pass_unit(r, u, m);
	}
	note_number(&r->relay, &m[U_NUMBER]);
	r->relay.heard = true;
}

/* Upstream ended inside a unit: only a terminal event counts. The rest is not shown, or what we write behind
 * it would become part of it. */
static bool is_rest(const struct ph_request *r, enum event_class class)
{
	return r->relay.finishing && class < EVENT_COMPLETED;
}

static void on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct ph_request *r = owner;
	struct ph_str data = ph_str_trim(u->data);
	struct ph_json_member m[U_NR];
	enum event_class class;

	if (data.n == 0) {
		if (!r->relay.finishing)
			pass(r, u->raw);
		return;
	}
	if (ph_str_eq(data, PH_STR("[DONE]")))
		return;
	if (!read_event(u, m, &class)) {
		if (!r->relay.finishing)
			break_off(r, "an event that is no JSON object");
		return;
	}
	if (is_rest(r, class))
		return;
	if (class == EVENT_TELEMETRY)
		ph_health_event(r->g, r->account, u->data);
	if (class == EVENT_TELEMETRY || (class == EVENT_KEEPALIVE && r->relay.phase == PH_RELAY_HELD)) {
		drop_unit(r, &m[U_NUMBER]);
		return;
	}
	if (class < EVENT_COMPLETED)
		first_event(r);
	on_event(r, u, m, class);
}

static void free_scanner(void *sse)
{
	ph_sse_free(sse);
}

void ph_relay_close(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	ph_timer_stop(&r->hold);
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

void ph_relay_open(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	ph_relay_close(r);
	*y = (struct ph_relay){.phase = PH_RELAY_HELD};
	y->sse = ph_sse_new(r->g->config->max_body, on_unit, r);
	ph_buf_init(&y->held, HELD_MAX + CREATED_MAX);
	ph_buf_init(&y->terminal, 2 * PH_COLLECT_MAX);
}

int ph_relay_feed(struct ph_request *r, struct ph_str bytes)
{
	int rc;

	r->relay.fed = bytes;
	rc = ph_sse_feed(r->relay.sse, bytes);
	flush_run(r);
	if (r->relay.heard)
		start_keepalive(r);
	r->relay.heard = false;
	r->relay.fed = PH_STR_NONE;
	if (rc == 0 && (r->relay.held.failed || r->relay.terminal.failed))
		rc = -PH_E_BODY_TOO_LARGE;
	return rc ? -PH_E_UPSTREAM_BAD : 0;
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
	ph_buf_init(&event, 256);
	ph_sse_put(&event, PH_STR("keepalive"), ph_str(json, (size_t)n));
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

void ph_relay_release(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (!r->x)
		return;
	show(r);
	y->phase = PH_RELAY_ENDED;
	ph_buf_puts(&y->terminal, PH_SSE_DONE);
	push(r, ph_buf_str(&y->terminal));
	finish(r);
}

void ph_relay_fail(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	struct ph_buf event;

	if (!r->x)
		return;
	flush_run(r);
	ph_buf_init(&event, 3 * CREATED_MAX);
	ph_put_failed_event(&event, ph_str(y->created, y->created_n), y->next_number);
	ph_buf_puts(&event, PH_SSE_DONE);
	push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
	finish(r);
}
