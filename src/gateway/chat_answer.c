/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer of the Responses API as a chat completion, whole or in chunks. Pure. Strings are copied as the
 * JSON that they are. Told are text, refusals and calls of functions; reasoning, annotations and items of
 * other types have no place in a chat. What came only with a finished item, or only with the terminal event,
 * is told then.
 */
#include <stdlib.h>

#include "chat_priv.h"

#define HEAD_MAX  (16 * 1024)
#define ITEMS_MAX 65536

struct ph_chat_item {
	bool told;   /* something of its text or its arguments */
	bool called; /* its call was begun, as number `call` */
	unsigned call;
};

/* ---- chunks ---- */

/* The members of the delta follow. */
static void begin_chunk(const struct ph_chat_answer *a, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("data: "));
	ph_buf_puts(out, ph_buf_str(&a->head));
	ph_buf_puts(out, PH_STR("{\"index\":0,\"delta\":{"));
}

static void end_chunk(const struct ph_chat_answer *a, struct ph_buf *out, const char *finish)
{
	ph_buf_puts(out, PH_STR("},\"logprobs\":null,\"finish_reason\":"));
	if (finish)
		ph_buf_printf(out, "\"%s\"}]", finish);
	else
		ph_buf_puts(out, PH_STR("null}]"));
	ph_buf_puts(out, a->usage ? PH_STR(",\"usage\":null}\n\n") : PH_STR("}\n\n"));
}

static void begin(struct ph_chat_answer *a, struct ph_buf *out)
{
	if (a->begun)
		return;
	a->begun = true;
	begin_chunk(a, out);
	ph_buf_puts(out, PH_STR("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null"));
	end_chunk(a, out, NULL);
}

/* text as JSON. */
static void put_text(struct ph_chat_answer *a, struct ph_buf *out, const char *name, struct ph_str text)
{
	begin(a, out);
	begin_chunk(a, out);
	ph_buf_printf(out, "\"%s\":", name);
	ph_buf_puts(out, text);
	end_chunk(a, out, NULL);
}

static void put_arguments(struct ph_chat_answer *a, struct ph_buf *out, const struct ph_chat_item *item,
	struct ph_str arguments)
{
	begin_chunk(a, out);
	ph_buf_printf(out, "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", item->call);
	ph_buf_puts(out, arguments);
	ph_buf_puts(out, PH_STR("}}]"));
	end_chunk(a, out, NULL);
}

/* ---- items ---- */

/* What stands at an index; without one, at the newest. NULL: beyond any answer. */
static struct ph_chat_item *item_at(struct ph_chat_answer *a, const struct ph_json_member *index)
{
	uint64_t i = a->last;

	if (index->kind == PH_JSON_NUMBER && !ph_json_u64(index->value, &i))
		return NULL;
	if (i >= ITEMS_MAX)
		return NULL;
	if (i >= a->item_count) {
		size_t count = (size_t)i + 8;

		a->items = ph_realloc(a->items, count * sizeof *a->items);
		memset(a->items + a->item_count, 0, (count - a->item_count) * sizeof *a->items);
		a->item_count = count;
	}
	a->last = (size_t)i;
	return &a->items[i];
}

static void begin_call(struct ph_chat_answer *a, struct ph_buf *out, struct ph_chat_item *item,
	const struct ph_json_member *m)
{
	if (item->called || m[PH_CHAT_I_CALL_ID].kind != PH_JSON_STRING ||
		m[PH_CHAT_I_NAME].kind != PH_JSON_STRING)
		return;
	item->called = true;
	item->call = a->calls++;
	begin(a, out);
	begin_chunk(a, out);
	ph_buf_printf(out, "\"tool_calls\":[{\"index\":%u,\"id\":", item->call);
	ph_buf_puts(out, m[PH_CHAT_I_CALL_ID].value);
	ph_buf_puts(out, PH_STR(",\"type\":\"function\",\"function\":{\"name\":"));
	ph_buf_puts(out, m[PH_CHAT_I_NAME].value);
	ph_buf_puts(out, PH_STR(",\"arguments\":\"\"}}]"));
	end_chunk(a, out, NULL);
}

struct telling {
	struct ph_chat_answer *a;
	struct ph_buf *out;
};

static void tell_text(void *arg, const char *name, const struct ph_json_member *text)
{
	struct telling *t = arg;

	if (text->value.n > 2)
		put_text(t->a, t->out, name, text->value);
}

/* A finished item: what of it was not told yet. */
static void catch_up(
	struct ph_chat_answer *a, struct ph_buf *out, struct ph_chat_item *item, struct ph_str json)
{
	struct telling t = {a, out};
	struct ph_json_member m[PH_CHAT_I_NR];
	bool told = item->told;

	ph_chat_read(json, ph_chat_item_names, PH_CHAT_I_NR, m);
	if (ph_chat_is_word(&m[PH_CHAT_I_TYPE], "message")) {
		item->told = true;
		if (!told)
			ph_chat_each_text(&m[PH_CHAT_I_CONTENT], tell_text, &t);
	} else if (ph_chat_is_word(&m[PH_CHAT_I_TYPE], "function_call")) {
		begin_call(a, out, item, m);
		item->told = item->called;
		if (!told && item->called && m[PH_CHAT_I_ARGUMENTS].kind == PH_JSON_STRING &&
			m[PH_CHAT_I_ARGUMENTS].value.n > 2)
			put_arguments(a, out, item, m[PH_CHAT_I_ARGUMENTS].value);
	}
}

/* ---- events ---- */

enum {
	E_TYPE,
	E_RESPONSE,
	E_INDEX,
	E_ITEM,
	E_DELTA,
	E_NR
};
static const struct ph_str event_names[E_NR] = {PH_STR_INIT("type"), PH_STR_INIT("response"),
	PH_STR_INIT("output_index"), PH_STR_INIT("item"), PH_STR_INIT("delta")};

static void on_created(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	struct ph_json_member r[PH_CHAT_R_NR];
	struct ph_buf head = a->head;
	struct ph_chat_names none = {.id = ""};

	if (!a->begun && m[E_RESPONSE].kind == PH_JSON_OBJECT) {
		ph_chat_look(&m[E_RESPONSE], ph_chat_response_names, PH_CHAT_R_NR, r);
		if (r[PH_CHAT_R_ID].kind == PH_JSON_STRING && r[PH_CHAT_R_MODEL].kind == PH_JSON_STRING &&
			r[PH_CHAT_R_CREATED].kind == PH_JSON_NUMBER) {
			ph_buf_init(&a->head, HEAD_MAX);
			ph_chat_put_head(&a->head, "chat.completion.chunk", &none, r);
			ph_buf_deinit(&head);
		}
	}
	begin(a, out);
}

static void tell_delta(
	struct ph_chat_answer *a, const struct ph_json_member *m, const char *name, struct ph_buf *out)
{
	struct ph_chat_item *item = item_at(a, &m[E_INDEX]);

	if (!item || m[E_DELTA].kind != PH_JSON_STRING)
		return;
	item->told = true;
	put_text(a, out, name, m[E_DELTA].value);
}

static void on_text(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	tell_delta(a, m, "content", out);
}

static void on_refusal(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	tell_delta(a, m, "refusal", out);
}

static void on_added(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	struct ph_chat_item *item = item_at(a, &m[E_INDEX]);
	struct ph_json_member i[PH_CHAT_I_NR];

	ph_chat_look(&m[E_ITEM], ph_chat_item_names, PH_CHAT_I_NR, i);
	if (item && ph_chat_is_word(&i[PH_CHAT_I_TYPE], "function_call"))
		begin_call(a, out, item, i);
}

static void on_arguments(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	struct ph_chat_item *item = item_at(a, &m[E_INDEX]);

	if (!item || !item->called || m[E_DELTA].kind != PH_JSON_STRING)
		return;
	item->told = true;
	put_arguments(a, out, item, m[E_DELTA].value);
}

static void on_done(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	struct ph_chat_item *item = item_at(a, &m[E_INDEX]);

	if (item)
		catch_up(a, out, item, m[E_ITEM].value);
}

static void put_usage_chunk(struct ph_chat_answer *a, struct ph_buf *out, const struct ph_json_member *usage)
{
	if (!a->usage)
		return;
	ph_buf_puts(out, PH_STR("data: "));
	ph_buf_puts(out, ph_buf_str(&a->head));
	ph_buf_puts(out, PH_STR("],\"usage\":"));
	ph_chat_put_usage(out, usage);
	ph_buf_puts(out, PH_STR("}\n\n"));
}

/* The items of an answer that had no events for them. */
static void tell_output(struct ph_chat_answer *a, struct ph_str output, struct ph_buf *out)
{
	struct ph_str json;
	size_t offset = 0;

	if (ph_json_kind(output) != PH_JSON_ARRAY)
		return;
	for (uint64_t i = 0; ph_json_next(output, &offset, &json); i++) {
		char text[PH_INT_TEXT];
		struct ph_json_member index = {.kind = PH_JSON_NUMBER};
		struct ph_chat_item *item;

		index.value = ph_str(text, ph_u64_text(text, i));
		item = item_at(a, &index);
		if (item)
			catch_up(a, out, item, json);
	}
}

static void end(struct ph_chat_answer *a, const struct ph_json_member *m, bool cut, struct ph_buf *out)
{
	struct ph_json_member r[PH_CHAT_R_NR];

	ph_chat_look(&m[E_RESPONSE], ph_chat_response_names, PH_CHAT_R_NR, r);
	begin(a, out);
	if (!a->items)
		tell_output(a, r[PH_CHAT_R_OUTPUT].value, out);
	begin_chunk(a, out);
	end_chunk(a, out, ph_chat_finish_reason(&r[PH_CHAT_R_INCOMPLETE], cut, a->calls));
	put_usage_chunk(a, out, &r[PH_CHAT_R_USAGE]);
	ph_buf_puts(out, PH_STR("data: [DONE]\n\n"));
	a->ended = true;
}

static void on_completed(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	end(a, m, false, out);
}

static void on_incomplete(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	end(a, m, true, out);
}

static void on_failed(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	struct ph_json_member r[PH_CHAT_R_NR];

	(void)a;
	ph_chat_look(&m[E_RESPONSE], ph_chat_response_names, PH_CHAT_R_NR, r);
	ph_buf_puts(out, PH_STR("data: "));
	ph_chat_put_error(out, &r[PH_CHAT_R_ERROR]);
	ph_buf_puts(out, PH_STR("\n\n"));
}

static void on_keepalive(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out)
{
	(void)a;
	(void)m;
	ph_buf_puts(out, PH_CHAT_ALIVE);
}

static const struct {
	const char *type;
	void (*tell)(struct ph_chat_answer *a, const struct ph_json_member *m, struct ph_buf *out);
} events[] = {
	{"response.output_text.delta", on_text},
	{"response.function_call_arguments.delta", on_arguments},
	{"response.output_item.added", on_added},
	{"response.output_item.done", on_done},
	{"response.refusal.delta", on_refusal},
	{"response.created", on_created},
	{"response.completed", on_completed},
	{"response.incomplete", on_incomplete},
	{"response.failed", on_failed},
	{"keepalive", on_keepalive},
};

void ph_chat_answer_event(struct ph_chat_answer *a, struct ph_str event, struct ph_buf *out)
{
	struct ph_json_member m[E_NR];

	if (a->ended)
		return;
	ph_chat_read(event, event_names, E_NR, m);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		if (ph_chat_is_word(&m[E_TYPE], events[i].type)) {
			events[i].tell(a, m, out);
			return;
		}
	}
}

void ph_chat_answer_init(struct ph_chat_answer *a, bool usage, const struct ph_chat_names *names)
{
	*a = (struct ph_chat_answer){.usage = usage};
	ph_buf_init(&a->head, HEAD_MAX);
	ph_chat_put_head(&a->head, "chat.completion.chunk", names, NULL);
}

void ph_chat_answer_deinit(struct ph_chat_answer *a)
{
	ph_buf_deinit(&a->head);
	free(a->items);
	a->items = NULL;
	a->item_count = 0;
}
