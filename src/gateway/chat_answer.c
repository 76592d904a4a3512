/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer of the Responses API as a chat completion, whole or in chunks. Pure. Strings are copied as the
 * JSON that they are. Told are text, refusals and calls of functions; reasoning, annotations and items of
 * other types have no place in a chat. What came only with a finished item, or only with the terminal event,
 * is told then.
 */
#include <stdlib.h>

#include "chat.h"

#define HEAD_MAX  (16 * 1024)
#define TEXT_MAX  (256u * 1024 * 1024)
#define ITEMS_MAX 65536

struct ph_chat_item {
	bool told;   /* something of its text or its arguments */
	bool called; /* its call was begun, as number `call` */
	unsigned call;
};

/* ---- small things ---- */

static void look(struct ph_str object, const struct ph_str *wanted, size_t n, struct ph_json_member *ret)
{
	if (ph_json_kind(object) != PH_JSON_OBJECT || !ph_json_find(object, wanted, n, ret))
		memset(ret, 0, n * sizeof *ret);
}

/* A string's bytes between its quotes. */
static struct ph_str inside(const struct ph_json_member *m)
{
	return m->kind == PH_JSON_STRING ? ph_str(m->value.p + 1, m->value.n - 2) : PH_STR("");
}

static uint64_t number(const struct ph_json_member *m)
{
	uint64_t n = 0;

	if (m->kind == PH_JSON_NUMBER)
		(void)!ph_json_u64(m->value, &n);
	return n;
}

/* ---- what an answer says of itself ---- */

enum {
	R_ID,
	R_CREATED,
	R_MODEL,
	R_STATUS,
	R_OUTPUT,
	R_USAGE,
	R_ERROR,
	R_INCOMPLETE,
	R_TIER,
	R_NR
};
static const struct ph_str response_names[R_NR] = {
	[R_ID] = PH_STR_INIT("id"),
	[R_CREATED] = PH_STR_INIT("created_at"),
	[R_MODEL] = PH_STR_INIT("model"),
	[R_STATUS] = PH_STR_INIT("status"),
	[R_OUTPUT] = PH_STR_INIT("output"),
	[R_USAGE] = PH_STR_INIT("usage"),
	[R_ERROR] = PH_STR_INIT("error"),
	[R_INCOMPLETE] = PH_STR_INIT("incomplete_details"),
	[R_TIER] = PH_STR_INIT("service_tier"),
};

/* Some tell the time with a fraction. */
static struct ph_str whole_seconds(const struct ph_json_member *m)
{
	size_t n = 0;

	while (m->kind == PH_JSON_NUMBER && n < m->value.n && m->value.p[n] >= '0' && m->value.p[n] <= '9')
		n++;
	return ph_str(m->value.p, n);
}

/* m NULL: nothing is known but the names. Up to the choices, which follow. */
static void put_head(struct ph_buf *out, const char *object, const struct ph_chat_names *names,
	const struct ph_json_member *m)
{
	struct ph_str id = m ? inside(&m[R_ID]) : PH_STR("");
	struct ph_str created = m ? whole_seconds(&m[R_CREATED]) : PH_STR("");
	struct ph_str model = m && m[R_MODEL].kind == PH_JSON_STRING ? m[R_MODEL].value : names->model;

	if (ph_str_starts(id, PH_STR("resp_")))
		id = ph_str_from(id, 5);
	ph_buf_puts(out, PH_STR("{\"id\":\"chatcmpl-"));
	ph_buf_puts(out, id.n ? id : ph_str_c(names->id));
	ph_buf_puts(out, PH_STR("\",\"object\":\""));
	ph_buf_puts(out, ph_str_c(object));
	ph_buf_puts(out, PH_STR("\",\"created\":"));
	if (created.n)
		ph_buf_puts(out, created);
	else
		ph_buf_u64(out, names->created_s);
	ph_buf_puts(out, PH_STR(",\"model\":"));
	ph_buf_puts(out, model.n ? model : PH_STR("\"\""));
	ph_buf_puts(out, PH_STR(",\"choices\":["));
}

static void put_usage(struct ph_buf *out, const struct ph_json_member *usage)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("input_tokens"), PH_STR_INIT("output_tokens"),
		PH_STR_INIT("total_tokens"), PH_STR_INIT("input_tokens_details"),
		PH_STR_INIT("output_tokens_details")};
	static const struct ph_str cached = PH_STR_INIT("cached_tokens");
	static const struct ph_str reasoning = PH_STR_INIT("reasoning_tokens");
	struct ph_json_member m[5], in, of;

	look(usage->value, wanted, 5, m);
	look(m[3].value, &cached, 1, &in);
	look(m[4].value, &reasoning, 1, &of);
	ph_buf_printf(out,
		"{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
		"\"prompt_tokens_details\":{\"cached_tokens\":%llu,\"audio_tokens\":0},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":%llu,\"audio_tokens\":0,"
		"\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
		(unsigned long long)number(&m[0]), (unsigned long long)number(&m[1]),
		(unsigned long long)(m[2].kind == PH_JSON_NUMBER ? number(&m[2])
								 : number(&m[0]) + number(&m[1])),
		(unsigned long long)number(&in), (unsigned long long)number(&of));
}

/* Cut short is "length", whatever cut it, so that it never looks whole. */
static const char *finish_reason(const struct ph_json_member *incomplete, bool cut, unsigned calls)
{
	static const struct ph_str name = PH_STR_INIT("reason");
	struct ph_json_member reason;

	if (!cut)
		return calls ? "tool_calls" : "stop";
	look(incomplete->value, &name, 1, &reason);
	if (reason.kind == PH_JSON_STRING && ph_json_text_is(reason.value, PH_STR("content_filter")))
		return "content_filter";
	return "length";
}

/* ---- errors ---- */

static const struct {
	const char *code, *type;
	int status;
} errors[] = {
	{"server_error", "server_error", 500},
	{"vector_store_timeout", "server_error", 500},
	{"rate_limit_exceeded", "rate_limit_error", 429},
};

/* {"error":{..}} of a response's error; returns the HTTP status that it would have had. */
static int put_error(struct ph_buf *out, const struct ph_json_member *error)
{
	static const struct ph_str wanted[] = {
		PH_STR_INIT("code"), PH_STR_INIT("message"), PH_STR_INIT("param")};
	struct ph_json_member m[3];
	const char *type = "invalid_request_error";
	int status = 400;

	look(error->value, wanted, 3, m);
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		if (m[0].kind == PH_JSON_STRING ? ph_json_text_is(m[0].value, ph_str_c(errors[i].code))
						: i == 0) {
			type = errors[i].type;
			status = errors[i].status;
		}
	}
	ph_buf_puts(out, PH_STR("{\"error\":{\"message\":"));
	ph_buf_puts(out, m[1].kind == PH_JSON_STRING ? m[1].value : PH_STR("\"The upstream failed.\""));
	ph_buf_printf(out, ",\"type\":\"%s\",\"param\":", type);
	ph_buf_puts(out, m[2].kind == PH_JSON_STRING ? m[2].value : PH_STR("null"));
	ph_buf_puts(out, PH_STR(",\"code\":"));
	ph_buf_puts(out, m[0].kind == PH_JSON_STRING ? m[0].value : PH_STR("null"));
	ph_buf_puts(out, PH_STR("}}"));
	return status;
}

/* What the request said in other words. Indices are left out: they count other things. */
static const struct {
	struct ph_str theirs;
	const char *ours;
} renamed[] = {
	{PH_STR_INIT("input"), "messages"},
	{PH_STR_INIT("max_output_tokens"), "max_completion_tokens"},
	{PH_STR_INIT("reasoning"), "reasoning_effort"},
	{PH_STR_INIT("text.verbosity"), "verbosity"},
	{PH_STR_INIT("text"), "response_format"},
};

static const char *renamed_to(struct ph_str param)
{
	for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++) {
		struct ph_str rest = ph_str_from(param, renamed[i].theirs.n);

		if (ph_str_starts(param, renamed[i].theirs) &&
			(rest.n == 0 || rest.p[0] == '.' || rest.p[0] == '['))
			return renamed[i].ours;
	}
	return NULL;
}

void ph_chat_answer_error(struct ph_str envelope, struct ph_buf *out)
{
	static const struct ph_str error = PH_STR_INIT("error"), param = PH_STR_INIT("param");
	struct ph_json_member e, p;
	const char *name;
	size_t at;

	look(envelope, &error, 1, &e);
	look(e.value, &param, 1, &p);
	name = renamed_to(inside(&p));
	if (!name) {
		ph_buf_puts(out, envelope);
		return;
	}
	at = (size_t)(p.value.p - envelope.p);
	ph_buf_puts(out, ph_str(envelope.p, at));
	ph_buf_printf(out, "\"%s\"", name);
	ph_buf_puts(out, ph_str_from(envelope, at + p.value.n));
}

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

enum {
	I_TYPE,
	I_CONTENT,
	I_CALL_ID,
	I_NAME,
	I_ARGUMENTS,
	I_NR
};
static const struct ph_str item_names[I_NR] = {PH_STR_INIT("type"), PH_STR_INIT("content"),
	PH_STR_INIT("call_id"), PH_STR_INIT("name"), PH_STR_INIT("arguments")};

static bool is_type(const struct ph_json_member *m, const char *type)
{
	return m->kind == PH_JSON_STRING && ph_json_text_is(m->value, ph_str_c(type));
}

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
	if (item->called || m[I_CALL_ID].kind != PH_JSON_STRING || m[I_NAME].kind != PH_JSON_STRING)
		return;
	item->called = true;
	item->call = a->calls++;
	begin(a, out);
	begin_chunk(a, out);
	ph_buf_printf(out, "\"tool_calls\":[{\"index\":%u,\"id\":", item->call);
	ph_buf_puts(out, m[I_CALL_ID].value);
	ph_buf_puts(out, PH_STR(",\"type\":\"function\",\"function\":{\"name\":"));
	ph_buf_puts(out, m[I_NAME].value);
	ph_buf_puts(out, PH_STR(",\"arguments\":\"\"}}]"));
	end_chunk(a, out, NULL);
}

enum {
	C_TYPE,
	C_TEXT,
	C_REFUSAL,
	C_NR
};

/* Calls told() with each text and refusal of a message: the name in a chat, and the string as JSON. */
static void each_text(struct ph_str content,
	void (*told)(void *arg, const char *name, const struct ph_json_member *text), void *arg)
{
	static const struct ph_str wanted[C_NR] = {
		PH_STR_INIT("type"), PH_STR_INIT("text"), PH_STR_INIT("refusal")};
	struct ph_json_member m[C_NR];
	struct ph_str part;
	size_t offset = 0;

	if (ph_json_kind(content) != PH_JSON_ARRAY)
		return;
	while (ph_json_next(content, &offset, &part)) {
		look(part, wanted, C_NR, m);
		if (is_type(&m[C_TYPE], "output_text") && m[C_TEXT].kind == PH_JSON_STRING)
			told(arg, "content", &m[C_TEXT]);
		else if (is_type(&m[C_TYPE], "refusal") && m[C_REFUSAL].kind == PH_JSON_STRING)
			told(arg, "refusal", &m[C_REFUSAL]);
	}
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
	struct ph_json_member m[I_NR];
	bool told = item->told;

	look(json, item_names, I_NR, m);
	if (is_type(&m[I_TYPE], "message")) {
		item->told = true;
		if (!told)
			each_text(m[I_CONTENT].value, tell_text, &t);
	} else if (is_type(&m[I_TYPE], "function_call")) {
		begin_call(a, out, item, m);
		item->told = item->called;
		if (!told && item->called && m[I_ARGUMENTS].kind == PH_JSON_STRING &&
			m[I_ARGUMENTS].value.n > 2)
			put_arguments(a, out, item, m[I_ARGUMENTS].value);
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
	struct ph_json_member r[R_NR];
	struct ph_buf head = a->head;
	struct ph_chat_names none = {.id = ""};

	if (!a->begun && m[E_RESPONSE].kind == PH_JSON_OBJECT) {
		look(m[E_RESPONSE].value, response_names, R_NR, r);
		if (r[R_ID].kind == PH_JSON_STRING && r[R_MODEL].kind == PH_JSON_STRING &&
			r[R_CREATED].kind == PH_JSON_NUMBER) {
			ph_buf_init(&a->head, HEAD_MAX);
			put_head(&a->head, "chat.completion.chunk", &none, r);
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
	struct ph_json_member i[I_NR];

	look(m[E_ITEM].value, item_names, I_NR, i);
	if (item && is_type(&i[I_TYPE], "function_call"))
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
	put_usage(out, usage);
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
	struct ph_json_member r[R_NR];

	look(m[E_RESPONSE].value, response_names, R_NR, r);
	begin(a, out);
	if (!a->items)
		tell_output(a, r[R_OUTPUT].value, out);
	begin_chunk(a, out);
	end_chunk(a, out, finish_reason(&r[R_INCOMPLETE], cut, a->calls));
	put_usage_chunk(a, out, &r[R_USAGE]);
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
	struct ph_json_member r[R_NR];

	(void)a;
	look(m[E_RESPONSE].value, response_names, R_NR, r);
	ph_buf_puts(out, PH_STR("data: "));
	put_error(out, &r[R_ERROR]);
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
	look(event, event_names, E_NR, m);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
		if (is_type(&m[E_TYPE], events[i].type)) {
			events[i].tell(a, m, out);
			return;
		}
	}
}

void ph_chat_answer_init(struct ph_chat_answer *a, bool usage, const struct ph_chat_names *names)
{
	*a = (struct ph_chat_answer){.usage = usage};
	ph_buf_init(&a->head, HEAD_MAX);
	put_head(&a->head, "chat.completion.chunk", names, NULL);
}

void ph_chat_answer_deinit(struct ph_chat_answer *a)
{
	ph_buf_deinit(&a->head);
	free(a->items);
	a->items = NULL;
	a->item_count = 0;
}

/* ---- a whole answer ---- */

/* Its parts, as the insides of strings and of a list. */
struct message {
	struct ph_buf content, refusal, calls;
	bool said, refused;
	unsigned call_count;
};

static void add_text(void *arg, const char *name, const struct ph_json_member *text)
{
	struct message *g = arg;
	bool refusal = name[0] == 'r';

	g->said |= !refusal;
	g->refused |= refusal;
	ph_buf_puts(refusal ? &g->refusal : &g->content, inside(text));
}

static void add_call(struct message *g, const struct ph_json_member *m)
{
	if (m[I_CALL_ID].kind != PH_JSON_STRING || m[I_NAME].kind != PH_JSON_STRING)
		return;
	ph_buf_puts(&g->calls, g->call_count++ ? PH_STR(",{\"id\":") : PH_STR("{\"id\":"));
	ph_buf_puts(&g->calls, m[I_CALL_ID].value);
	ph_buf_puts(&g->calls, PH_STR(",\"type\":\"function\",\"function\":{\"name\":"));
	ph_buf_puts(&g->calls, m[I_NAME].value);
	ph_buf_puts(&g->calls, PH_STR(",\"arguments\":"));
	ph_buf_puts(&g->calls, m[I_ARGUMENTS].kind == PH_JSON_STRING ? m[I_ARGUMENTS].value : PH_STR("\"\""));
	ph_buf_puts(&g->calls, PH_STR("}}"));
}

static void add_items(struct message *g, struct ph_str output)
{
	struct ph_json_member m[I_NR];
	struct ph_str json;
	size_t offset = 0;

	if (ph_json_kind(output) != PH_JSON_ARRAY)
		return;
	while (ph_json_next(output, &offset, &json)) {
		look(json, item_names, I_NR, m);
		if (is_type(&m[I_TYPE], "message"))
			each_text(m[I_CONTENT].value, add_text, g);
		else if (is_type(&m[I_TYPE], "function_call"))
			add_call(g, m);
	}
}

static void put_string(struct ph_buf *out, const char *name, bool there, const struct ph_buf *text)
{
	ph_buf_printf(out, ",\"%s\":", name);
	if (!there) {
		ph_buf_puts(out, PH_STR("null"));
		return;
	}
	ph_buf_putc(out, '"');
	ph_buf_puts(out, ph_buf_str(text));
	ph_buf_putc(out, '"');
}

static void put_choice(struct ph_buf *out, const struct message *g, const char *finish)
{
	ph_buf_puts(out, PH_STR("{\"index\":0,\"message\":{\"role\":\"assistant\""));
	put_string(out, "content", g->said, &g->content);
	put_string(out, "refusal", g->refused, &g->refusal);
	if (g->call_count) {
		ph_buf_puts(out, PH_STR(",\"tool_calls\":["));
		ph_buf_puts(out, ph_buf_str(&g->calls));
		ph_buf_putc(out, ']');
	}
	ph_buf_printf(out, ",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish);
}

static void put_completion(
	struct ph_buf *out, const struct ph_json_member *m, const struct ph_chat_names *names)
{
	struct message g = {.said = false};

	ph_buf_init(&g.content, TEXT_MAX);
	ph_buf_init(&g.refusal, TEXT_MAX);
	ph_buf_init(&g.calls, TEXT_MAX);
	add_items(&g, m[R_OUTPUT].value);
	put_head(out, "chat.completion", names, m);
	put_choice(
		out, &g, finish_reason(&m[R_INCOMPLETE], is_type(&m[R_STATUS], "incomplete"), g.call_count));
	if (m[R_USAGE].kind == PH_JSON_OBJECT) {
		ph_buf_puts(out, PH_STR(",\"usage\":"));
		put_usage(out, &m[R_USAGE]);
	}
	if (m[R_TIER].kind == PH_JSON_STRING) {
		ph_buf_puts(out, PH_STR(",\"service_tier\":"));
		ph_buf_puts(out, m[R_TIER].value);
	}
	ph_buf_putc(out, '}');
	ph_buf_deinit(&g.content);
	ph_buf_deinit(&g.refusal);
	ph_buf_deinit(&g.calls);
}

int ph_chat_answer_whole(struct ph_str response, const struct ph_chat_names *names, struct ph_buf *out)
{
	struct ph_json_member m[R_NR];

	look(response, response_names, R_NR, m);
	if (is_type(&m[R_STATUS], "failed") || is_type(&m[R_STATUS], "cancelled"))
		return put_error(out, &m[R_ERROR]);
	put_completion(out, m, names);
	return 200;
}
