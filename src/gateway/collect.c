/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn produced, picked from the answer that passes by: finished items, and the terminal response
 * object. All as spans of the bytes that came; nothing is printed anew.
 */
#include <stdlib.h>

#include "request_priv.h"

#define TEXTS_MAX 65536 /* of decoded ids and names */
#define INDEX_MAX 65536

enum {
	R_ID,
	R_STATUS,
	R_OUTPUT,
	R_USAGE,
	R_MODEL,
	R_NR
};
static const struct ph_str response_names[R_NR] = {
	[R_ID] = PH_STR_INIT("id"),
	[R_STATUS] = PH_STR_INIT("status"),
	[R_OUTPUT] = PH_STR_INIT("output"),
	[R_USAGE] = PH_STR_INIT("usage"),
	[R_MODEL] = PH_STR_INIT("model"),
};

void ph_collect_reset(struct ph_collect *c)
{
	for (size_t i = 0; i < c->item_count; i++)
		free((void *)(uintptr_t)c->items[i].p);
	free(c->items);
	ph_buf_deinit(&c->response);
	ph_buf_deinit(&c->joined);
	ph_buf_deinit(&c->envelope);
	ph_arena_deinit(&c->texts);
	*c = (struct ph_collect){.items = NULL};
	ph_buf_init(&c->response, PH_COLLECT_MAX);
	ph_buf_init(&c->joined, PH_COLLECT_MAX);
	ph_buf_init(&c->envelope, PH_COLLECT_MAX);
	ph_arena_init(&c->texts, TEXTS_MAX);
}

void ph_collect_item(struct ph_collect *c, struct ph_str index, struct ph_str item)
{
	uint64_t i = c->item_count;
	char *copy;

	(void)!ph_json_u64(index, &i);
	if (ph_json_kind(item) != PH_JSON_OBJECT || i >= INDEX_MAX || c->bytes + item.n > PH_COLLECT_MAX)
		return;
	if (i >= c->item_cap) {
		size_t cap = i < 16 ? 16 : 2 * (size_t)i;

		c->items = ph_realloc(c->items, cap * sizeof *c->items);
		memset(c->items + c->item_cap, 0, (cap - c->item_cap) * sizeof *c->items);
		c->item_cap = cap;
	}
	if (i >= c->item_count)
		c->item_count = (size_t)i + 1;
	copy = ph_alloc(item.n + 1);
	memcpy(copy, item.p, item.n);
	c->bytes -= c->items[i].n;
	free((void *)(uintptr_t)c->items[i].p);
	c->items[i] = ph_str(copy, item.n);
	c->bytes += item.n;
}

static struct ph_str inside(struct ph_str array)
{
	return ph_str_trim(ph_str(array.p + 1, array.n - 2));
}

/* A string value's text; what is no string, or does not fit, is none. */
static struct ph_str text_of(struct ph_collect *c, const struct ph_json_member *m)
{
	struct ph_str text;

	return m->kind == PH_JSON_STRING && ph_json_text(m->value, &c->texts, &text) ? text : PH_STR_NONE;
}

static uint64_t number(const struct ph_json_member *m)
{
	uint64_t n = 0;

	if (m->kind == PH_JSON_NUMBER)
		(void)!ph_json_u64(m->value, &n);
	return n;
}

static uint64_t detail(const struct ph_json_member *details, struct ph_str name)
{
	struct ph_json_member m;

	return details->kind == PH_JSON_OBJECT && ph_json_find(details->value, &name, 1, &m) ? number(&m) : 0;
}

static void read_usage(struct ph_collect *c, const struct ph_json_member *usage)
{
	enum {
		INPUT,
		OUTPUT,
		INPUT_DETAILS,
		OUTPUT_DETAILS,
		NR
	};
	static const struct ph_str names[NR] = {
		PH_STR_INIT("input_tokens"),
		PH_STR_INIT("output_tokens"),
		PH_STR_INIT("input_tokens_details"),
		PH_STR_INIT("output_tokens_details"),
	};
	struct ph_json_member m[NR];

	if (usage->kind != PH_JSON_OBJECT || !ph_json_find(usage->value, names, NR, m))
		return;
	c->input_tokens = number(&m[INPUT]);
	c->output_tokens = number(&m[OUTPUT]);
	c->cached_tokens = detail(&m[INPUT_DETAILS], PH_STR("cached_tokens"));
	c->reasoning_tokens = detail(&m[OUTPUT_DETAILS], PH_STR("reasoning_tokens"));
}

struct ph_str ph_collect_envelope(struct ph_collect *c)
{
	struct ph_str object = ph_buf_str(&c->response);
	size_t at = (size_t)(c->output_value.p - object.p);

	if (!c->output_value.p)
		return object;
	ph_buf_reset(&c->envelope);
	ph_buf_puts(&c->envelope, ph_str(object.p, at));
	ph_buf_puts(&c->envelope, PH_STR("[]"));
	ph_buf_puts(&c->envelope, ph_str_from(object, at + c->output_value.n));
	return ph_buf_str(&c->envelope);
}

static void join_items(struct ph_collect *c)
{
	for (size_t i = 0; i < c->item_count; i++) {
		if (c->items[i].n == 0)
			continue;
		if (c->joined.n)
			ph_buf_putc(&c->joined, ',');
		ph_buf_puts(&c->joined, c->items[i]);
	}
}

static void take(struct ph_collect *c, const struct ph_json_member *m)
{
	c->id = text_of(c, &m[R_ID]);
	c->status = text_of(c, &m[R_STATUS]);
	c->model = text_of(c, &m[R_MODEL]);
	c->output = m[R_OUTPUT].kind == PH_JSON_ARRAY ? inside(m[R_OUTPUT].value) : PH_STR_NONE;
	read_usage(c, &m[R_USAGE]);
	c->output_value = m[R_OUTPUT].value;
	if (c->output.n == 0 && c->item_count) {
		join_items(c);
		c->output = ph_buf_str(&c->joined);
		c->output_missing = true;
	}
}

bool ph_collect_response(struct ph_collect *c, struct ph_str response)
{
	struct ph_json_member m[R_NR];

	if (ph_buf_puts(&c->response, response) ||
		!ph_json_find(ph_buf_str(&c->response), response_names, R_NR, m))
		return false;
	take(c, m);
	return true;
}

bool ph_collect_answer(struct ph_collect *c, struct ph_str answer)
{
	struct ph_json_member m[R_NR];

	if (ph_buf_puts(&c->response, answer) ||
		ph_json_scan(ph_buf_str(&c->response), response_names, R_NR, m, NULL))
		return false;
	take(c, m);
	return true;
}

void ph_collect_filled(const struct ph_collect *c, struct ph_str response, struct ph_buf *out)
{
	struct ph_json_member m;
	size_t at;

	if (!ph_json_find(response, &response_names[R_OUTPUT], 1, &m)) {
		ph_buf_puts(out, response);
		return;
	}
	if (m.kind == PH_JSON_ABSENT) {
		struct ph_str rest = ph_str_trim(ph_str_from(response, 1));

		ph_buf_puts(out, PH_STR("{\"output\":["));
		ph_buf_puts(out, c->output);
		ph_buf_puts(out, rest.n && rest.p[0] == '}' ? PH_STR("]") : PH_STR("],"));
		ph_buf_puts(out, rest);
		return;
	}
	at = (size_t)(m.value.p - response.p);
	ph_buf_puts(out, ph_str(response.p, at));
	ph_buf_putc(out, '[');
	ph_buf_puts(out, c->output);
	ph_buf_putc(out, ']');
	ph_buf_puts(out, ph_str_from(response, at + m.value.n));
}
