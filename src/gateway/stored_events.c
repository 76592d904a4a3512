/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stored response told as a stream: the events that an account would have sent, as far as they can be known
 * from what it became. Each text is one delta; how it once came in pieces is not kept.
 */
#include <stdlib.h>

#include "stored.h"

#define REPLACED_MAX 8

struct telling {
	struct ph_buf *out;
	uint64_t number; /* of the next event */
	int64_t after;   /* what the client has already; -1: nothing */
	bool failed;     /* an event was too large */
};

/* A member of an object, and what stands there instead. */
struct replaced {
	struct ph_str name, with;
};

static int by_place(const void *a, const void *b)
{
	const struct ph_json_member *x = a, *y = b;

	return x->value.p < y->value.p ? -1 : x->value.p > y->value.p;
}

/* The object with these values in place of its own, where it has such members. */
static void put_replaced(struct ph_buf *out, struct ph_str object, const struct replaced *r, size_t n)
{
	struct ph_str names[REPLACED_MAX], with[REPLACED_MAX];
	struct ph_json_member m[REPLACED_MAX], sorted[REPLACED_MAX];
	const char *at = object.p;

	for (size_t i = 0; i < n; i++)
		names[i] = r[i].name;
	if (!ph_json_find(object, names, n, m)) {
		ph_buf_puts(out, object);
		return;
	}
	memcpy(sorted, m, n * sizeof *m);
	qsort(sorted, n, sizeof *sorted, by_place);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			if (m[k].value.p == sorted[i].value.p)
				with[i] = r[k].with;
	for (size_t i = 0; i < n; i++) {
		if (sorted[i].kind == PH_JSON_ABSENT)
			continue;
		ph_buf_puts(out, ph_str(at, (size_t)(sorted[i].value.p - at)));
		ph_buf_puts(out, with[i]);
		at = sorted[i].value.p + sorted[i].value.n;
	}
	ph_buf_puts(out, ph_str(at, (size_t)(object.p + object.n - at)));
}

/* ---- one event ---- */

/* JSON as it came may stand on several lines. */
static void join_lines(struct ph_buf *json)
{
	for (size_t i = 0; i < json->n; i++)
		if (json->p[i] == '\n' || json->p[i] == '\r')
			json->p[i] = ' ';
}

/* rest: what it says behind its type and number. */
static void tell(struct telling *t, const char *type, struct ph_str rest)
{
	struct ph_buf json;

	if ((int64_t)t->number > t->after) {
		ph_buf_init(&json, PH_STORED_ANSWER_MAX);
		ph_buf_printf(&json, "{\"type\":\"%s\",\"sequence_number\":%llu,", type,
			(unsigned long long)t->number);
		ph_buf_puts(&json, rest);
		ph_buf_putc(&json, '}');
		t->failed |= json.failed;
		join_lines(&json);
		ph_sse_put(t->out, ph_str_c(type), ph_buf_str(&json));
		ph_buf_deinit(&json);
	}
	t->number++;
}

static void tell_response(struct telling *t, const char *type, struct ph_str response)
{
	struct ph_buf rest;

	ph_buf_init(&rest, PH_STORED_ANSWER_MAX);
	ph_buf_puts(&rest, PH_STR("\"response\":"));
	ph_buf_puts(&rest, response);
	tell(t, type, ph_buf_str(&rest));
	ph_buf_deinit(&rest);
}

/* ---- items ---- */

enum {
	TYPE,
	ID,
	CONTENT,
	ARGUMENTS,
	INPUT,
	NR
};
static const struct ph_str item_names[NR] = {
	[TYPE] = PH_STR_INIT("type"),
	[ID] = PH_STR_INIT("id"),
	[CONTENT] = PH_STR_INIT("content"),
	[ARGUMENTS] = PH_STR_INIT("arguments"),
	[INPUT] = PH_STR_INIT("input"),
};

/* Where in the answer an event belongs. */
static void put_place(struct ph_buf *b, const struct ph_json_member *m, size_t index)
{
	ph_buf_puts(b, PH_STR("\"item_id\":"));
	ph_buf_puts(b, m[ID].kind == PH_JSON_STRING ? m[ID].value : PH_STR("\"\""));
	ph_buf_printf(b, ",\"output_index\":%zu", index);
}

static void tell_item(struct telling *t, const char *type, struct ph_str item, size_t index)
{
	struct ph_buf rest;

	ph_buf_init(&rest, PH_STORED_ANSWER_MAX);
	ph_buf_printf(&rest, "\"output_index\":%zu,\"item\":", index);
	ph_buf_puts(&rest, item);
	tell(t, type, ph_buf_str(&rest));
	ph_buf_deinit(&rest);
}

/* A text as one delta, and as the whole that it is. member: its name in the second. */
static void tell_text(struct telling *t, const char *family, const char *member, struct ph_str place,
	struct ph_str text, const char *more)
{
	char type[64];
	struct ph_buf rest;

	ph_buf_init(&rest, PH_STORED_ANSWER_MAX);
	snprintf(type, sizeof type, "response.%s.delta", family);
	ph_buf_printf(&rest, "%.*s,\"delta\":", PH_STR_ARG(place));
	ph_buf_puts(&rest, text);
	ph_buf_puts(&rest, ph_str_c(more));
	tell(t, type, ph_buf_str(&rest));
	ph_buf_reset(&rest);
	snprintf(type, sizeof type, "response.%s.done", family);
	ph_buf_printf(&rest, "%.*s,\"%s\":", PH_STR_ARG(place), member);
	ph_buf_puts(&rest, text);
	ph_buf_puts(&rest, ph_str_c(more));
	tell(t, type, ph_buf_str(&rest));
	ph_buf_deinit(&rest);
}

static void tell_part(struct telling *t, const char *type, struct ph_str place, struct ph_str part)
{
	struct ph_buf rest;

	ph_buf_init(&rest, PH_STORED_ANSWER_MAX);
	ph_buf_printf(&rest, "%.*s,\"part\":", PH_STR_ARG(place));
	ph_buf_puts(&rest, part);
	tell(t, type, ph_buf_str(&rest));
	ph_buf_deinit(&rest);
}

static void tell_content(struct telling *t, const struct ph_json_member *item, size_t index,
	struct ph_str part, size_t content_index)
{
	static const struct ph_str names[] = {PH_STR_INIT("text"), PH_STR_INIT("refusal")};
	static const struct replaced bare[] = {{PH_STR_INIT("text"), PH_STR_INIT("\"\"")},
		{PH_STR_INIT("refusal"), PH_STR_INIT("\"\"")},
		{PH_STR_INIT("annotations"), PH_STR_INIT("[]")},
		{PH_STR_INIT("logprobs"), PH_STR_INIT("[]")}};
	struct ph_json_member m[2];
	struct ph_buf place, empty;

	if (!ph_json_find(part, names, 2, m))
		return;
	ph_buf_init(&place, PH_STORED_ANSWER_MAX);
	ph_buf_init(&empty, PH_STORED_ANSWER_MAX);
	put_place(&place, item, index);
	ph_buf_printf(&place, ",\"content_index\":%zu", content_index);
	put_replaced(&empty, part, bare, 4);
	tell_part(t, "response.content_part.added", ph_buf_str(&place), ph_buf_str(&empty));
	if (m[0].kind == PH_JSON_STRING)
		tell_text(t, "output_text", "text", ph_buf_str(&place), m[0].value, ",\"logprobs\":[]");
	else if (m[1].kind == PH_JSON_STRING)
		tell_text(t, "refusal", "refusal", ph_buf_str(&place), m[1].value, "");
	tell_part(t, "response.content_part.done", ph_buf_str(&place), part);
	ph_buf_deinit(&place);
	ph_buf_deinit(&empty);
}

/* What comes between the item's beginning and its end. */
static void tell_inside(struct telling *t, const struct ph_json_member *m, size_t index)
{
	struct ph_str part;
	struct ph_buf place;
	size_t n = 0;

	ph_buf_init(&place, PH_STORED_ANSWER_MAX);
	put_place(&place, m, index);
	if (ph_json_text_is(m[TYPE].value, PH_STR("message")) && m[CONTENT].kind == PH_JSON_ARRAY)
		for (size_t at = 0; ph_json_next(m[CONTENT].value, &at, &part); n++)
			tell_content(t, m, index, part, n);
	else if (ph_json_text_is(m[TYPE].value, PH_STR("function_call")) &&
		 m[ARGUMENTS].kind == PH_JSON_STRING)
		tell_text(t, "function_call_arguments", "arguments", ph_buf_str(&place), m[ARGUMENTS].value,
			"");
	else if (ph_json_text_is(m[TYPE].value, PH_STR("custom_tool_call")) &&
		 m[INPUT].kind == PH_JSON_STRING)
		tell_text(t, "custom_tool_call_input", "input", ph_buf_str(&place), m[INPUT].value, "");
	ph_buf_deinit(&place);
}

static void tell_whole_item(struct telling *t, struct ph_str item, size_t index)
{
	static const struct replaced message[] = {{PH_STR_INIT("content"), PH_STR_INIT("[]")},
		{PH_STR_INIT("status"), PH_STR_INIT("\"in_progress\"")}};
	static const struct replaced call[] = {{PH_STR_INIT("arguments"), PH_STR_INIT("\"\"")},
		{PH_STR_INIT("input"), PH_STR_INIT("\"\"")},
		{PH_STR_INIT("status"), PH_STR_INIT("\"in_progress\"")}};
	struct ph_json_member m[NR];
	struct ph_buf begun;

	if (!ph_json_find(item, item_names, NR, m))
		return;
	ph_buf_init(&begun, PH_STORED_ANSWER_MAX);
	if (ph_json_text_is(m[TYPE].value, PH_STR("message")))
		put_replaced(&begun, item, message, 2);
	else if (ph_json_text_is(m[TYPE].value, PH_STR("function_call")) ||
		 ph_json_text_is(m[TYPE].value, PH_STR("custom_tool_call")))
		put_replaced(&begun, item, call, 3);
	else
		ph_buf_puts(&begun, item);
	tell_item(t, "response.output_item.added", ph_buf_str(&begun), index);
	tell_inside(t, m, index);
	tell_item(t, "response.output_item.done", item, index);
	ph_buf_deinit(&begun);
}

/* ---- the whole ---- */

static void tell_begin(struct telling *t, struct ph_str envelope)
{
	static const struct replaced running[] = {{PH_STR_INIT("status"), PH_STR_INIT("\"in_progress\"")},
		{PH_STR_INIT("output"), PH_STR_INIT("[]")}, {PH_STR_INIT("usage"), PH_STR_INIT("null")},
		{PH_STR_INIT("completed_at"), PH_STR_INIT("null")},
		{PH_STR_INIT("incomplete_details"), PH_STR_INIT("null")}};
	struct ph_buf begun;

	ph_buf_init(&begun, PH_STORED_ANSWER_MAX);
	put_replaced(&begun, envelope, running, 5);
	tell_response(t, "response.created", ph_buf_str(&begun));
	tell_response(t, "response.in_progress", ph_buf_str(&begun));
	ph_buf_deinit(&begun);
}

bool ph_stored_put_events(struct ph_buf *out, const struct ph_response *r, int64_t after)
{
	static const struct ph_str name = PH_STR_INIT("status");
	struct telling t = {.out = out, .after = after};
	struct ph_json_member status;
	struct ph_str item, envelope = ph_str_trim(r->envelope);
	struct ph_buf whole;
	bool incomplete;
	size_t index = 0;

	incomplete = ph_json_find(envelope, &name, 1, &status) &&
		     ph_json_text_is(status.value, PH_STR("incomplete"));
	ph_buf_init(&whole, PH_STORED_ANSWER_MAX);
	ph_stored_put_object(&whole, r);
	tell_begin(&t, envelope);
	for (size_t at = 0; ph_json_next_bare(r->output, &at, NULL, &item); index++)
		tell_whole_item(&t, item, index);
	tell_response(&t, incomplete ? "response.incomplete" : "response.completed", ph_buf_str(&whole));
	ph_buf_puts(out, PH_SSE_DONE);
	ph_buf_deinit(&whole);
	return !t.failed && !out->failed;
}
