/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn's body: scanned once for the members that the gateway acts on, never parsed as a whole. What goes
 * upstream is the client's bytes with spans replaced.
 */
#include "request_priv.h"

#define MODEL_MAX 512

static const struct ph_str names[PH_B_NR] = {
	[PH_B_MODEL] = PH_STR_INIT("model"),
	[PH_B_INPUT] = PH_STR_INIT("input"),
	[PH_B_STREAM] = PH_STR_INIT("stream"),
	[PH_B_STORE] = PH_STR_INIT("store"),
	[PH_B_PREVIOUS] = PH_STR_INIT("previous_response_id"),
	[PH_B_CONVERSATION] = PH_STR_INIT("conversation"),
	[PH_B_BACKGROUND] = PH_STR_INIT("background"),
	[PH_B_CACHE_KEY] = PH_STR_INIT("prompt_cache_key"),
	[PH_B_CACHE_OPTIONS] = PH_STR_INIT("prompt_cache_options"),
};

static int wrong_type(struct ph_err *err, int member, const char *expected)
{
	return ph_fail_param(
		err, PH_E_PARAM_BAD, names[member].p, "'%s' must be %s.", names[member].p, expected);
}

static int read_flag(const struct ph_turn_body *b, int member, bool absent, bool *ret, struct ph_err *err)
{
	switch (b->m[member].kind) {
	case PH_JSON_ABSENT:
	case PH_JSON_NULL:
		*ret = absent;
		return 0;
	case PH_JSON_TRUE:
	case PH_JSON_FALSE:
		*ret = b->m[member].kind == PH_JSON_TRUE;
		return 0;
	default:
		return wrong_type(err, member, "a boolean");
	}
}

static int read_model(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	if (b->m[PH_B_MODEL].kind <= PH_JSON_NULL)
		return 0;
	if (b->m[PH_B_MODEL].kind != PH_JSON_STRING || !ph_json_text(b->m[PH_B_MODEL].value, a, &b->model))
		return wrong_type(err, PH_B_MODEL, "a string");
	if (b->model.n > MODEL_MAX || memchr(b->model.p, '\0', b->model.n))
		return wrong_type(err, PH_B_MODEL, "a model's name");
	return 0;
}

/* Null or blank is no anchor at all. */
static int read_anchor(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	const char *name = names[PH_B_PREVIOUS].p;

	if (b->m[PH_B_PREVIOUS].kind <= PH_JSON_NULL)
		return 0;
	if (b->m[PH_B_PREVIOUS].kind != PH_JSON_STRING ||
		!ph_json_text(b->m[PH_B_PREVIOUS].value, a, &b->previous))
		return ph_fail_param(err, PH_E_ANCHOR_BAD, name, "It must be a string.");
	b->previous = ph_str_trim(b->previous);
	if (b->previous.n > PH_RESPONSE_ID_MAX)
		return ph_fail_param(
			err, PH_E_ANCHOR_BAD, name, "It is longer than %d bytes.", PH_RESPONSE_ID_MAX);
	if (b->previous.n && memchr(b->previous.p, '\0', b->previous.n))
		return ph_fail_param(err, PH_E_ANCHOR_BAD, name, "It holds a NUL.");
	return 0;
}

/* Conversations are created through a gateway or not at all: none can belong to this key yet. */
static int read_conversation(struct ph_turn_body *b, struct ph_err *err)
{
	if (b->m[PH_B_CONVERSATION].kind <= PH_JSON_NULL)
		return 0;
	if (b->previous.n)
		return ph_fail_param(err, PH_E_ANCHOR_BAD, names[PH_B_PREVIOUS].p,
			"Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Provide "
			"one of them.");
	return ph_fail_param(err, PH_E_PARAM_BAD, names[PH_B_CONVERSATION].p,
		"Conversation not found. Continue with 'previous_response_id' instead.");
}

static int read_compared(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	static const struct ph_str name = PH_STR_INIT("comparison_response_id");
	struct ph_json_member m;

	if (b->m[PH_B_CACHE_OPTIONS].kind != PH_JSON_OBJECT)
		return 0;
	if (!ph_json_find(b->m[PH_B_CACHE_OPTIONS].value, &name, 1, &m) || m.kind <= PH_JSON_NULL)
		return 0;
	if (m.kind != PH_JSON_STRING || !ph_json_text(m.value, a, &b->compared) ||
		b->compared.n > PH_RESPONSE_ID_MAX)
		return wrong_type(
			err, PH_B_CACHE_OPTIONS, "an object whose comparison_response_id is a response id");
	return 0;
}

/* A string is one user message, made of the client's own string bytes. */
static int read_items(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	struct ph_str value = b->m[PH_B_INPUT].value;
	struct ph_items_facts facts;

	switch (b->m[PH_B_INPUT].kind) {
	case PH_JSON_ABSENT:
	case PH_JSON_NULL:
		return 0;
	case PH_JSON_STRING: {
		char *text = ph_arena_printf(a, "{\"role\":\"user\",\"content\":%.*s}", PH_STR_ARG(value));

		if (!text)
			return ph_fail(err, PH_E_BODY_TOO_LARGE, "%s", "");
		b->items = ph_str_c(text);
		return 0;
	}
	case PH_JSON_ARRAY:
		b->items = ph_str_trim(ph_str(value.p + 1, value.n - 2));
		ph_items_look(b->items, &facts);
		b->references = facts.references;
		return 0;
	default:
		return wrong_type(err, PH_B_INPUT, "a string or an array of items");
	}
}

int ph_turn_body_read(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	int rc = ph_json_scan(ph_buf_str(&b->buf), names, PH_B_NR, b->m, err);

	if (rc == 0)
		rc = read_model(b, a, err);
	if (rc == 0)
		rc = read_flag(b, PH_B_STREAM, false, &b->stream, err);
	if (rc == 0)
		rc = read_flag(b, PH_B_STORE, true, &b->store, err);
	if (rc == 0)
		rc = read_flag(b, PH_B_BACKGROUND, false, &b->background, err);
	if (rc == 0)
		rc = read_anchor(b, a, err);
	if (rc == 0)
		rc = read_conversation(b, err);
	if (rc == 0)
		rc = read_compared(b, a, err);
	if (rc == 0)
		rc = read_items(b, a, err);
	return rc;
}

/* ---- the body for an account ---- */

struct edit {
	size_t from, to;
	struct ph_str put; /* items of an input array: brackets and, if named, the member's name are added */
	bool items, named;
};

static void put_edit(struct ph_buf *out, const struct edit *e)
{
	if (!e->items)
		return;
	if (e->named)
		ph_buf_puts(out, PH_STR("\"input\":"));
	ph_buf_putc(out, '[');
	ph_buf_puts(out, e->put);
	ph_buf_putc(out, ']');
}

static struct edit cut(const struct ph_json_member *m)
{
	struct edit e = {m->start, m->end, PH_STR_NONE, false, false};

	if (m->comma_before != SIZE_MAX)
		e.from = m->comma_before;
	else if (m->comma_after != SIZE_MAX)
		e.to = m->comma_after + 1;
	return e;
}

/* At most two edits: the anchor goes, the input is replaced. Where there is no input its place is the
 * anchor's. */
static size_t plan(const struct ph_turn_body *b, bool anchor, struct ph_str items, struct edit e[2])
{
	const struct ph_json_member *input = &b->m[PH_B_INPUT], *previous = &b->m[PH_B_PREVIOUS];
	bool drop = !anchor && previous->kind != PH_JSON_ABSENT;
	size_t n = 0;

	if (items.p && input->kind == PH_JSON_ABSENT && drop) {
		e[n++] = (struct edit){previous->start, previous->end, items, true, true};
		return n;
	}
	if (drop)
		e[n++] = cut(previous);
	if (items.p && input->kind != PH_JSON_ABSENT) {
		size_t from = (size_t)(input->value.p - b->buf.p);

		e[n++] = (struct edit){from, from + input->value.n, items, true, false};
	}
	if (n == 2 && e[0].from > e[1].from) {
		struct edit swap = e[0];

		e[0] = e[1];
		e[1] = swap;
	}
	return n;
}

int ph_turn_body_write(const struct ph_turn_body *b, bool anchor, struct ph_str items, struct ph_buf *out)
{
	struct ph_str text = ph_buf_str(&b->buf);
	struct edit e[2];
	size_t n = plan(b, anchor, items, e), at = 0;

	for (size_t i = 0; i < n; i++) {
		ph_buf_puts(out, ph_str(text.p + at, e[i].from - at));
		put_edit(out, &e[i]);
		at = e[i].to;
	}
	ph_buf_puts(out, ph_str_from(text, at));
	return out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}
