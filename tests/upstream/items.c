/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The items of an answer: reasoning, message, calls, and what a script has ready. Each is a run of events and
 * a finished item in the output. Without streaming the events go nowhere.
 */
#include <stdlib.h>

#include "turn.h"

/* Members that name the item at hand. */
static void put_place(struct fake_emitter *e, struct ph_str item_id)
{
	ph_buf_puts(&e->event, PH_STR(",\"item_id\":\""));
	ph_buf_puts(&e->event, item_id);
	ph_buf_printf(&e->event, "\",\"output_index\":%zu", e->t->items);
}

static void emit_item(struct fake_emitter *e, const char *type, struct ph_str item)
{
	if (!fake_event_begin(e, type))
		return;
	ph_buf_printf(&e->event, ",\"output_index\":%zu,\"item\":", e->t->items);
	fake_put_line(&e->event, item);
	fake_event_finish(e, type);
}

static void emit_added(struct fake_emitter *e, struct ph_str item)
{
	emit_item(e, "response.output_item.added", item);
	fake_event_reach(e, FAKE_AT_ADDED);
}

/* The finished item, as an event and in the output. After a fault it was never finished. */
static void emit_item_done(struct fake_emitter *e, struct ph_str item)
{
	if (e->stopped)
		return;
	emit_item(e, "response.output_item.done", item);
	if (e->t->output.n)
		ph_buf_putc(&e->t->output, ',');
	fake_put_line(&e->t->output, item);
	e->t->items++;
	if (e->t->stream)
		fake_event_progress(e);
	fake_event_reach(e, FAKE_AT_ITEM_DONE);
}

/* The length of the next piece of text, at most max bytes, ending between characters. */
static size_t piece(struct ph_str text, size_t max)
{
	size_t n = text.n < max ? text.n : max;

	while (n < text.n && ((unsigned char)text.p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

static size_t piece_size(const struct fake_emitter *e, struct ph_str text)
{
	int64_t deltas = FAKE_DO(e->d, deltas, 0), bytes = FAKE_DO(e->d, delta_bytes, 48);

	if (deltas > 0 && FAKE_DO(e->d, delta_bytes, 0) == 0)
		return (text.n + (size_t)deltas - 1) / (size_t)deltas;
	return bytes > 0 ? (size_t)bytes : 48;
}

static void emit_deltas(
	struct fake_emitter *e, const char *type, struct ph_str id, const char *more, struct ph_str text)
{
	size_t size = piece_size(e, text);

	while (text.n && fake_event_begin(e, type)) {
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
		fake_event_finish(e, type);
		text = ph_str_from(text, part.n);
		fake_event_reach(e, FAKE_AT_ITEM);
	}
}

/* One event that ends or begins a part: more, name:{..text..} */
static void emit_part(struct fake_emitter *e, const char *type, struct ph_str id, const char *more,
	const char *before, struct ph_str text, const char *behind)
{
	if (!fake_event_begin(e, type))
		return;
	put_place(e, id);
	ph_buf_puts(&e->event, ph_str_c(more));
	ph_buf_puts(&e->event, ph_str_c(before));
	fake_put_string(&e->event, text);
	ph_buf_puts(&e->event, ph_str_c(behind));
	fake_event_finish(e, type);
}

#define THOUGHT PH_STR("**Thinking** about what was said.")

static void put_reasoning(struct fake_emitter *e, struct ph_buf *b, struct ph_str id, bool whole)
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

static void make_reasoning(struct fake_emitter *e)
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

static void put_message(struct fake_emitter *e, struct ph_buf *b, struct ph_str id, bool whole)
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
static struct ph_str mint_item(struct fake_emitter *e, const char *prefix)
{
	struct fake_turn *t = e->t;

	return ph_str_c(ph_arena_printf(&t->x->arena, "%s_%s_%zu%s", prefix, t->tag, t->items,
		t->reasoning && t->items == 1 ? "r" : ""));
}

static void make_message(struct fake_emitter *e)
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

static void make_call(struct fake_emitter *e, const struct call *c)
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
static void make_scripted_call(struct fake_emitter *e, struct ph_str json)
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

static void make_raw_item(struct fake_emitter *e, struct ph_str item)
{
	emit_added(e, item);
	emit_item_done(e, item);
}

static void each(struct fake_emitter *e, struct ph_str array,
	void (*make)(struct fake_emitter *e, struct ph_str element))
{
	struct ph_str element;
	size_t offset = 0;

	while (array.p && ph_json_next(array, &offset, &element))
		make(e, element);
}

static void make_compaction(struct fake_emitter *e)
{
	struct ph_buf item;

	ph_buf_init(&item, FAKE_BODY_MAX);
	fake_compact_item(e->t, &item);
	make_raw_item(e, ph_buf_str(&item));
	ph_buf_deinit(&item);
}

void fake_items_make(struct fake_emitter *e)
{
	bool has_calls = e->d && e->d->calls.p;

	if (e->t->warm)
		return;
	if (e->t->trigger) {
		make_compaction(e);
		return;
	}
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
