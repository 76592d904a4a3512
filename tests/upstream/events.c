/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of a turn: events in the order that OpenAI sends them, in the look that the script wants, up to
 * the point where the script lets it fail. Without streaming nothing is emitted, and what stays is the list
 * of items.
 */
#include <stdlib.h>

#include "socket.h"

struct emitter {
	struct fake_turn *t;
	struct fake_do *d;
	struct fake_play *play;
	struct ph_buf event; /* the JSON of one */
	uint64_t number, emitted;
	uint64_t delay_ms; /* before the next event */
	bool stopped;      /* a fault ended the stream */
	bool struck;       /* the fault has happened */
};

static void strike(struct emitter *e);

/* ---- one event ---- */

static struct ph_str line_end(const struct fake_do *d)
{
	int64_t which = d ? d->line_end - 1 : FAKE_LF;

	return which == FAKE_CRLF ? PH_STR("\r\n") : which == FAKE_CR ? PH_STR("\r") : PH_STR("\n");
}

static void put_event(struct emitter *e, struct ph_str type, struct ph_str json)
{
	struct ph_buf *b = &e->play->payload;
	struct ph_str nl = line_end(e->d);

	if (e->t->x->lane) {
		fake_frame_put(e->t->x, json);
		return;
	}
	if (FAKE_DO(e->d, comments, false)) {
		ph_buf_printf(b, ": comment %llu", (unsigned long long)e->emitted);
		ph_buf_puts(b, nl);
	}
	if (!FAKE_DO(e->d, no_event, false)) {
		ph_buf_puts(b, PH_STR("event: "));
		ph_buf_puts(b, type);
		ph_buf_puts(b, nl);
	}
	if (FAKE_DO(e->d, pretty, false)) {
		fake_put_pretty(b, json, nl, PH_STR("data: "));
	} else {
		ph_buf_puts(b, PH_STR("data: "));
		ph_buf_puts(b, json);
	}
	ph_buf_puts(b, nl);
	ph_buf_puts(b, nl);
}

static bool is_skipped(const struct emitter *e, struct ph_str type)
{
	struct ph_str element;
	size_t offset = 0;

	if (!e->d || !e->d->skip.p)
		return false;
	while (ph_json_next(e->d->skip, &offset, &element))
		if (ph_json_text_is(element, type))
			return true;
	return false;
}

/* How far the stream is behind the newest step. */
static void note_progress(struct emitter *e)
{
	struct fake_play *p = e->play;

	p->progress = (struct fake_progress){e->t->items, e->number};
	p->steps[p->step_count - 1].progress = p->progress;
}

static void emit(struct emitter *e, struct ph_str type, struct ph_str json)
{
	static const struct ph_str mark = {"\"fake_ns\":\"", 11};
	size_t from = e->play->payload.n, stamp = 0;

	if (e->stopped || !e->t->stream || is_skipped(e, type))
		return;
	put_event(e, type, json);
	if (FAKE_DO(e->d, stamp, false)) {
		ptrdiff_t at = ph_str_find(ph_str_from(ph_buf_str(&e->play->payload), from), mark);

		stamp = at < 0 ? 0 : from + (size_t)at + mark.n;
	}
	fake_play_mark(e->t->x, e->delay_ms, stamp);
	e->delay_ms = 0;
	e->number++;
	e->emitted++;
	note_progress(e);
	if (e->d && e->d->at_event != FAKE_UNSET && (int64_t)e->emitted == e->d->at_event)
		strike(e);
}

/* {"type":TYPE,"sequence_number":N: members are appended, close() ends it. False: nobody would see it. */
static bool begin(struct emitter *e, const char *type)
{
	if (e->stopped || !e->t->stream)
		return false;
	ph_buf_reset(&e->event);
	ph_buf_puts(&e->event, PH_STR("{\"type\":\""));
	ph_buf_puts(&e->event, ph_str_c(type));
	ph_buf_printf(&e->event, "\",\"sequence_number\":%llu", (unsigned long long)e->number);
	return true;
}

static void finish(struct emitter *e, const char *type)
{
	ph_buf_putc(&e->event, '}');
	emit(e, ph_str_c(type), ph_buf_str(&e->event));
}

static void emit_lifecycle(
	struct emitter *e, const char *type, enum fake_status status, enum fake_output output)
{
	if (!begin(e, type))
		return;
	ph_buf_puts(&e->event, PH_STR(",\"response\":"));
	fake_object_put(e->t, &e->event, status, output);
	finish(e, type);
}

/* Events of the script: objects are events under their own type, strings go out as they are. */
static void emit_scripted(struct emitter *e, struct ph_str events)
{
	static const struct ph_str name = {"type", 4};
	struct ph_json_member type;
	struct ph_str event, text;
	size_t offset = 0;

	if (!events.p || e->stopped || !e->t->stream)
		return;
	while (ph_json_next(events, &offset, &event)) {
		if (ph_json_kind(event) == PH_JSON_STRING && ph_json_text(event, &e->t->x->arena, &text)) {
			ph_buf_puts(&e->play->payload, text);
			if (e->t->x->lane)
				ph_buf_putc(&e->play->payload, '\n');
			fake_play_mark(e->t->x, e->delay_ms, 0);
			e->delay_ms = 0;
			continue;
		}
		if (!ph_json_find(event, &name, 1, &type) ||
			!ph_json_text(type.value, &e->t->x->arena, &text))
			text = PH_STR("message");
		ph_buf_reset(&e->event);
		fake_put_line(&e->event, event);
		emit(e, text, ph_buf_str(&e->event));
	}
}

static void emit_done(struct emitter *e)
{
	struct ph_str nl = line_end(e->d);

	if (!e->t->stream || e->t->x->lane)
		return;
	for (int64_t i = FAKE_DO(e->d, done, 1); i > 0; i--) {
		ph_buf_puts(&e->play->payload, PH_STR("data: [DONE]"));
		ph_buf_puts(&e->play->payload, nl);
		ph_buf_puts(&e->play->payload, nl);
		fake_play_mark(e->t->x, 0, 0);
	}
}

/* ---- faults ---- */

static void stop(struct emitter *e, enum fake_ending ending)
{
	e->stopped = true;
	e->play->ending = ending;
}

/* The members of the script's error object, flat: its type gives way to the event's own. */
static void put_flat(struct emitter *e, struct ph_str error)
{
	struct ph_str name, value;
	size_t offset = 0;

	while (fake_member_next(error, &offset, &name, &value)) {
		ph_buf_printf(&e->event, ",\"%s%.*s\":", ph_str_eq(name, PH_STR("type")) ? "error_" : "",
			PH_STR_ARG(name));
		fake_put_line(&e->event, value);
	}
}

static void emit_error(struct emitter *e, bool nested)
{
	struct fake_do *d = e->d;

	if (!begin(e, "error"))
		return;
	if (d->error.p) {
		if (nested) {
			ph_buf_puts(&e->event, PH_STR(",\"error\":"));
			fake_put_line(&e->event, d->error);
		} else {
			put_flat(e, d->error);
		}
		finish(e, "error");
		return;
	}
	if (nested) {
		ph_buf_puts(&e->event, PH_STR(",\"error\":{\"type\":"));
		fake_put_string(&e->event, d->type.p ? d->type : PH_STR("server_error"));
	}
	ph_buf_puts(&e->event, PH_STR(",\"code\":"));
	fake_put_string(&e->event, d->code.p ? d->code : PH_STR("server_error"));
	ph_buf_puts(&e->event, PH_STR(",\"message\":"));
	fake_put_string(
		&e->event, d->message.p ? d->message : PH_STR("The fake upstream failed as it was told."));
	ph_buf_puts(&e->event, PH_STR(",\"param\":"));
	fake_put_string(&e->event, d->param);
	if (nested)
		ph_buf_putc(&e->event, '}');
	finish(e, "error");
}

/* As the answer to a refused turn, but in the midst of one that runs. */
static void emit_error_wrapped(struct emitter *e)
{
	struct fake_exchange *x = e->t->x;

	if (!x->lane) {
		emit_error(e, true);
		return;
	}
	fake_put_error(e->d, &e->play->payload, (int)FAKE_DO(e->d, error_status, 500));
	fake_frame_wrap(x, (int)FAKE_DO(e->d, error_status, 500));
	fake_play_mark(x, e->delay_ms, 0);
}

/* response.failed without response id and without number. */
static void emit_failed_bare(struct emitter *e)
{
	ph_buf_reset(&e->event);
	ph_buf_puts(&e->event, PH_STR("{\"type\":\"response.failed\",\"response\":{\"status\":\"failed\","
				      "\"error\":"));
	fake_object_failure(e->d, &e->event);
	ph_buf_puts(&e->event, PH_STR("}}"));
	emit(e, PH_STR("response.failed"), ph_buf_str(&e->event));
}

static void fail_with(struct emitter *e, enum fake_fault fault)
{
	switch (fault) {
	case FAKE_NO_FAULT:
		return;
	case FAKE_END:
	case FAKE_SHUT:
		stop(e, e->t->x->lane ? FAKE_CLOSE : FAKE_KEEP);
		return;
	case FAKE_EOF:
		stop(e, FAKE_CUT);
		return;
	case FAKE_RESET:
		stop(e, FAKE_ABORT);
		return;
	case FAKE_SILENCE:
		stop(e, FAKE_HOLD);
		return;
	case FAKE_FAILED:
		emit_lifecycle(e, "response.failed", FAKE_STATUS_FAILED, FAKE_OUTPUT_FULL);
		break;
	case FAKE_FAILED_BARE:
		emit_failed_bare(e);
		break;
	case FAKE_INCOMPLETE:
		emit_lifecycle(e, "response.incomplete", FAKE_STATUS_INCOMPLETE, FAKE_OUTPUT_FULL);
		e->t->finished = true;
		break;
	case FAKE_ERROR:
	case FAKE_ERROR_NESTED:
		emit_error(e, fault == FAKE_ERROR_NESTED);
		break;
	case FAKE_ERROR_WRAPPED:
		emit_error_wrapped(e);
		break;
	}
	emit_done(e);
	stop(e, FAKE_KEEP);
}

/* The fault, now. A silence of some time is a delay, with what comes then. */
static void strike(struct emitter *e)
{
	enum fake_fault fault = (enum fake_fault)e->d->fault;

	if (e->struck || e->stopped)
		return;
	e->struck = true;
	if (fault != FAKE_SILENCE || FAKE_DO(e->d, for_ms, 0) == 0) {
		fail_with(e, fault);
		return;
	}
	fake_play_mark(e->t->x, (uint64_t)e->d->for_ms, 0);
	fail_with(e, (enum fake_fault)e->d->then);
}

static void reach(struct emitter *e, enum fake_point point)
{
	if (!e->d || !e->d->fault || !e->t->stream)
		return;
	if (!e->d->at && e->d->at_event == FAKE_UNSET && point == FAKE_AT_OUTPUT)
		strike(e);
	if (e->d->at == (int64_t)point || (e->d->at == FAKE_AT_BODY && point == FAKE_AT_ITEM))
		strike(e);
}

/* ---- items ---- */

/* Members that name the item at hand. */
static void put_place(struct emitter *e, struct ph_str item_id)
{
	ph_buf_puts(&e->event, PH_STR(",\"item_id\":\""));
	ph_buf_puts(&e->event, item_id);
	ph_buf_printf(&e->event, "\",\"output_index\":%zu", e->t->items);
}

static void emit_item(struct emitter *e, const char *type, struct ph_str item)
{
	if (!begin(e, type))
		return;
	ph_buf_printf(&e->event, ",\"output_index\":%zu,\"item\":", e->t->items);
	fake_put_line(&e->event, item);
	finish(e, type);
}

static void emit_added(struct emitter *e, struct ph_str item)
{
	emit_item(e, "response.output_item.added", item);
	reach(e, FAKE_AT_ADDED);
}

/* The finished item, as an event and in the output. After a fault it was never finished. */
static void emit_item_done(struct emitter *e, struct ph_str item)
{
	if (e->stopped)
		return;
	emit_item(e, "response.output_item.done", item);
	if (e->t->output.n)
		ph_buf_putc(&e->t->output, ',');
	fake_put_line(&e->t->output, item);
	e->t->items++;
	if (e->t->stream)
		note_progress(e);
	reach(e, FAKE_AT_ITEM_DONE);
}

/* The length of the next piece of text, at most max bytes, ending between characters. */
static size_t piece(struct ph_str text, size_t max)
{
	size_t n = text.n < max ? text.n : max;

	while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static size_t piece_size(const struct emitter *e, struct ph_str text)
{
	int64_t deltas = FAKE_DO(e->d, deltas, 0), bytes = FAKE_DO(e->d, delta_bytes, 48);

	if (deltas > 0 && FAKE_DO(e->d, delta_bytes, 0) == 0)
		return (text.n + (size_t)deltas - 1) / (size_t)deltas;
	return bytes > 0 ? (size_t)bytes : 48;
}

static void emit_deltas(
	struct emitter *e, const char *type, struct ph_str id, const char *more, struct ph_str text)
{
	size_t size = piece_size(e, text);

	while (text.n && begin(e, type)) {
		struct ph_str part = ph_str(text.p, piece(text, size ? size : 1));

		put_place(e, id);
		ph_buf_puts(&e->event, ph_str_c(more));
		ph_buf_puts(&e->event, PH_STR(",\"delta\":"));
		fake_put_string(&e->event, part);
		if (FAKE_DO(e->d, obfuscation, false))
			ph_buf_printf(&e->event, ",\"obfuscation\":\"%.*s\"", (int)(16 - part.n % 16),
				"0123456789abcdef");
		if (FAKE_DO(e->d, stamp, false))
			ph_buf_puts(&e->event, PH_STR(",\"fake_ns\":\"00000000000000000000\""));
		e->delay_ms += (uint64_t)FAKE_DO(e->d, delay_ms, 0);
		finish(e, type);
		text = ph_str_from(text, part.n);
		reach(e, FAKE_AT_ITEM);
	}
}

/* One event that ends or begins a part: more, name:{..text..} */
static void emit_part(struct emitter *e, const char *type, struct ph_str id, const char *more,
	const char *before, struct ph_str text, const char *behind)
{
	if (!begin(e, type))
		return;
	put_place(e, id);
	ph_buf_puts(&e->event, ph_str_c(more));
	ph_buf_puts(&e->event, ph_str_c(before));
	fake_put_string(&e->event, text);
	ph_buf_puts(&e->event, ph_str_c(behind));
	finish(e, type);
}

#define THOUGHT PH_STR("**Thinking** about what was said.")

static void put_reasoning(struct emitter *e, struct ph_buf *b, struct ph_str id, bool whole)
{
	ph_buf_printf(b, "{\"id\":\"%.*s\",\"type\":\"reasoning\",\"summary\":[", PH_STR_ARG(id));
	if (whole) {
		ph_buf_puts(b, PH_STR("{\"type\":\"summary_text\",\"text\":"));
		fake_put_string(b, THOUGHT);
		ph_buf_putc(b, '}');
	}
	ph_buf_putc(b, ']');
	if (e->t->sealed) {
		ph_buf_puts(b, PH_STR(",\"encrypted_content\":\""));
		if (whole)
			fake_object_encrypted(e->t, b);
		else
			ph_buf_puts(b, PH_STR("enc:partial"));
		ph_buf_putc(b, '"');
	}
	ph_buf_putc(b, '}');
}

static void make_reasoning(struct emitter *e)
{
	static const char more[] = ",\"summary_index\":0";
	struct ph_arena *a = &e->t->x->arena;
	struct ph_str id = ph_str_c(ph_arena_printf(a, "rs_%s_0", e->t->tag));
	struct ph_buf item;

	ph_buf_init(&item, 65536);
	put_reasoning(e, &item, id, false);
	emit_added(e, ph_buf_str(&item));
	emit_part(e, "response.reasoning_summary_part.added", id, more,
		",\"part\":{\"type\":\"summary_text\",\"text\":", PH_STR(""), "}");
	emit_deltas(e, "response.reasoning_summary_text.delta", id, more, THOUGHT);
	emit_part(e, "response.reasoning_summary_text.done", id, more, ",\"text\":", THOUGHT, "");
	emit_part(e, "response.reasoning_summary_part.done", id, more,
		",\"part\":{\"type\":\"summary_text\",\"text\":", THOUGHT, "}");
	ph_buf_reset(&item);
	put_reasoning(e, &item, id, true);
	emit_item_done(e, ph_buf_str(&item));
	ph_buf_deinit(&item);
}

static const char odd_members[] =
	",\"fake_odd\":{\"nul\":\"a\\u0000b\",\"huge\":1e400,\"long\":12345678901234567890,\"twice\":1,"
	"\"twice\":2,"
	"\"minus_zero\":-0.0,\"exact\":0.1000,\"escaped\":\"\\u00e9\\ud83d\\ude00\\/\"}";

static void put_message(struct emitter *e, struct ph_buf *b, struct ph_str id, bool whole)
{
	ph_buf_printf(b,
		"{\"id\":\"%.*s\",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\",\"content\":"
		"[",
		PH_STR_ARG(id), whole ? "completed" : "in_progress");
	if (whole) {
		ph_buf_puts(b, PH_STR("{\"type\":\"output_text\",\"text\":"));
		fake_put_string(b, e->t->text);
		ph_buf_puts(b, PH_STR(",\"annotations\":[],\"logprobs\":[]}"));
	}
	ph_buf_putc(b, ']');
	if (whole && FAKE_DO(e->d, odd, false))
		ph_buf_puts(b, ph_str_c(odd_members));
	ph_buf_putc(b, '}');
}

/* An id for the item that comes now; 'r' at its end: it stands right behind a reasoning item. */
static struct ph_str mint_item(struct emitter *e, const char *prefix)
{
	struct fake_turn *t = e->t;

	return ph_str_c(ph_arena_printf(&t->x->arena, "%s_%s_%zu%s", prefix, t->tag, t->items,
		t->reasoning && t->items == 1 ? "r" : ""));
}

static void make_message(struct emitter *e)
{
	static const char more[] = ",\"content_index\":0", tail[] = ",\"annotations\":[],\"logprobs\":[]}";
	static const char part[] = ",\"part\":{\"type\":\"output_text\",\"text\":";
	struct ph_str id = mint_item(e, "msg");
	struct ph_buf item;

	ph_buf_init(&item, FAKE_ANSWER_MAX);
	put_message(e, &item, id, false);
	emit_added(e, ph_buf_str(&item));
	emit_part(e, "response.content_part.added", id, more, part, PH_STR(""), tail);
	emit_deltas(e, "response.output_text.delta", id, ",\"content_index\":0,\"logprobs\":[]", e->t->text);
	emit_part(e, "response.output_text.done", id, ",\"content_index\":0,\"logprobs\":[]",
		",\"text\":", e->t->text, "");
	emit_part(e, "response.content_part.done", id, more, part, e->t->text, tail);
	ph_buf_reset(&item);
	put_message(e, &item, id, true);
	emit_item_done(e, ph_buf_str(&item));
	ph_buf_deinit(&item);
}

/* ---- calls ---- */

struct call {
	bool custom;
	struct ph_str id, call_id, name, arguments;
};

static void put_call(struct ph_buf *b, const struct call *c, bool whole)
{
	ph_buf_printf(b, "{\"id\":\"%.*s\",\"type\":\"%s\",\"status\":\"%s\",\"call_id\":", PH_STR_ARG(c->id),
		c->custom ? "custom_tool_call" : "function_call", whole ? "completed" : "in_progress");
	fake_put_string(b, c->call_id);
	ph_buf_puts(b, PH_STR(",\"name\":"));
	fake_put_string(b, c->name);
	ph_buf_puts(b, c->custom ? PH_STR(",\"input\":") : PH_STR(",\"arguments\":"));
	fake_put_string(b, whole ? c->arguments : PH_STR(""));
	ph_buf_putc(b, '}');
}

static void make_call(struct emitter *e, const struct call *c)
{
	struct ph_buf item;

	ph_buf_init(&item, FAKE_ANSWER_MAX);
	put_call(&item, c, false);
	emit_added(e, ph_buf_str(&item));
	emit_deltas(e,
		c->custom ? "response.custom_tool_call_input.delta"
			  : "response.function_call_arguments.delta",
		c->id, "", c->arguments);
	emit_part(e,
		c->custom ? "response.custom_tool_call_input.done" : "response.function_call_arguments.done",
		c->id, "", c->custom ? ",\"input\":" : ",\"arguments\":", c->arguments, "");
	ph_buf_reset(&item);
	put_call(&item, c, true);
	emit_item_done(e, ph_buf_str(&item));
	ph_buf_deinit(&item);
}

/* The text of a member that is a string; else what stands there stays. */
static void read_text(struct ph_arena *a, const struct ph_json_member *m, struct ph_str *ret)
{
	struct ph_str text;

	if (m->kind == PH_JSON_STRING && ph_json_text(m->value, a, &text))
		*ret = text;
}

/* A script's call: {"name":..,"arguments":"text" or object,"call_id":..}; with "input" it is a custom tool's.
 */
static void make_scripted_call(struct emitter *e, struct ph_str json)
{
	enum {
		NAME,
		ARGUMENTS,
		INPUT,
		CALL_ID,
		NR
	};
	static const struct ph_str names[NR] = {
		[NAME] = {"name", 4},
		[ARGUMENTS] = {"arguments", 9},
		[INPUT] = {"input", 5},
		[CALL_ID] = {"call_id", 7},
	};
	struct ph_arena *a = &e->t->x->arena;
	struct ph_json_member m[NR];
	struct call c = {.name = PH_STR("tool"), .arguments = PH_STR("{}")};

	if (!ph_json_find(json, names, NR, m))
		return;
	c.custom = m[INPUT].kind != PH_JSON_ABSENT;
	c.id = mint_item(e, c.custom ? "ctc" : "fc");
	c.call_id = ph_str_c(ph_arena_printf(a, "call_%s_%zu", e->t->tag, e->t->items));
	const struct ph_json_member *args = &m[c.custom ? INPUT : ARGUMENTS];
	if (args->kind == PH_JSON_OBJECT)
		c.arguments = args->value;
	else
		read_text(a, args, &c.arguments);
	read_text(a, &m[NAME], &c.name);
	read_text(a, &m[CALL_ID], &c.call_id);
	make_call(e, &c);
}

static void make_raw_item(struct emitter *e, struct ph_str item)
{
	emit_added(e, item);
	emit_item_done(e, item);
}

static void each(
	struct emitter *e, struct ph_str array, void (*make)(struct emitter *e, struct ph_str element))
{
	struct ph_str element;
	size_t offset = 0;

	while (array.p && ph_json_next(array, &offset, &element))
		make(e, element);
}

static void make_items(struct emitter *e)
{
	bool has_calls = e->d && e->d->calls.p;

	if (e->t->warm)
		return;
	if (e->t->reasoning)
		make_reasoning(e);
	if (FAKE_DO(e->d, say, !has_calls))
		make_message(e);
	if (has_calls)
		each(e, e->d->calls, make_scripted_call);
	if (FAKE_DO(e->d, odd, false))
		make_raw_item(
			e, PH_STR("{\"type\":\"fake_unknown_item\",\"payload\":{\"n\":1E+2,\"a\":[ ]}}"));
	if (e->d)
		each(e, e->d->items, make_raw_item);
}

/* ---- the whole ---- */

/* What the Codex backend says in headers over HTTP, it says on a socket in frames. They are no events: they
 * have no number, and a script does not count them. */
static void emit_telemetry(struct emitter *e)
{
	struct ph_str type;

	ph_buf_reset(&e->event);
	for (size_t i = 0; fake_telemetry_put(e->t->x, &e->event, i, &type); i++) {
		if (!is_skipped(e, type)) {
			fake_frame_put(e->t->x, ph_buf_str(&e->event));
			fake_play_mark(e->t->x, 0, 0);
		}
		ph_buf_reset(&e->event);
	}
}

static void open_stream(struct emitter *e)
{
	struct fake_do *d = e->d;

	if (FAKE_DO(d, bom, false) && !e->t->x->lane)
		ph_buf_puts(&e->play->payload, PH_STR("\xef\xbb\xbf"));
	emit_telemetry(e);
	reach(e, FAKE_AT_OPEN);
	if (d)
		emit_scripted(e, d->before);
	emit_lifecycle(e, "response.created", FAKE_IN_PROGRESS, FAKE_OUTPUT_EMPTY);
	if (FAKE_DO(d, queued, false))
		emit_lifecycle(e, "response.queued", FAKE_QUEUED, FAKE_OUTPUT_EMPTY);
	if (!e->t->warm)
		emit_lifecycle(e, "response.in_progress", FAKE_IN_PROGRESS, FAKE_OUTPUT_EMPTY);
	if (d)
		emit_scripted(e, d->events);
	if (FAKE_DO(d, odd, false) && begin(e, "response.fake_unknown"))
		finish(e, "response.fake_unknown");
	reach(e, FAKE_AT_CREATED);
}

/* The event that begins at `from` loses its second half. */
static void cut_last(struct emitter *e, size_t from)
{
	struct fake_play *p = e->play;
	struct fake_step *s = &p->steps[p->step_count - 1];
	size_t lost = (p->payload.n - from) / 2;

	p->payload.n -= lost;
	s->end = s->made = p->payload.n;
	if (e->t->x->lane)
		s->lacks = lost - 1; /* the line end was never part of the frame */
}

static void close_stream(struct emitter *e)
{
	struct fake_turn *t = e->t;
	size_t from;

	reach(e, FAKE_AT_OUTPUT);
	if (e->stopped)
		return;
	from = e->play->payload.n;
	t->finished = true;
	emit_lifecycle(e, "response.completed", FAKE_COMPLETED,
		e->d && e->d->output                ? (enum fake_output)(e->d->output)
		: t->x->account->kind == FAKE_CODEX ? FAKE_OUTPUT_EMPTY
						    : FAKE_OUTPUT_FULL);
	e->play->terminal = e->play->step_count;
	if (e->d && e->d->fault && e->d->at == FAKE_AT_CUT && !e->stopped && t->stream) {
		t->finished = false;
		cut_last(e, from);
		strike(e);
	}
	reach(e, FAKE_AT_TERMINAL);
	if (e->d)
		emit_scripted(e, e->d->after);
	if (!e->stopped)
		emit_done(e);
}

void fake_events_make(struct fake_turn *t)
{
	struct emitter e = {.t = t, .d = t->todo, .play = &t->x->play};

	ph_buf_init(&e.event, FAKE_ANSWER_MAX);
	e.number = (uint64_t)FAKE_DO(e.d, sequence, 0);
	open_stream(&e);
	make_items(&e);
	close_stream(&e);
	ph_buf_deinit(&e.event);
}
