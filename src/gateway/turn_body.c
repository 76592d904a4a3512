/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn's body: scanned once for the members that the gateway acts on, never parsed as a whole. What becomes
 * of them on the way to an account is turn_write.c's.
 */
#include <stdlib.h>

#include "owned.h"
#include "request_priv.h"

#define MODEL_MAX 512
#define COPY_MAX  (16 * 1024)

const struct ph_str ph_turn_body_names[PH_B_NR] = {
	[PH_B_MODEL] = PH_STR_INIT("model"),
	[PH_B_INPUT] = PH_STR_INIT("input"),
	[PH_B_STREAM] = PH_STR_INIT("stream"),
	[PH_B_STORE] = PH_STR_INIT("store"),
	[PH_B_PREVIOUS] = PH_STR_INIT("previous_response_id"),
	[PH_B_CONVERSATION] = PH_STR_INIT("conversation"),
	[PH_B_BACKGROUND] = PH_STR_INIT("background"),
	[PH_B_CACHE_KEY] = PH_STR_INIT("prompt_cache_key"),
	[PH_B_CACHE_OPTIONS] = PH_STR_INIT("prompt_cache_options"),
	[PH_B_GENERATE] = PH_STR_INIT("generate"),
	[PH_B_CLIENT_METADATA] = PH_STR_INIT("client_metadata"),
	[PH_B_SERVICE_TIER] = PH_STR_INIT("service_tier"),
	[PH_B_MAX_OUTPUT_TOKENS] = PH_STR_INIT("max_output_tokens"),
	[PH_B_METADATA] = PH_STR_INIT("metadata"),
	[PH_B_CACHE_RETENTION] = PH_STR_INIT("prompt_cache_retention"),
	[PH_B_SAFETY_IDENTIFIER] = PH_STR_INIT("safety_identifier"),
	[PH_B_TEMPERATURE] = PH_STR_INIT("temperature"),
	[PH_B_TOP_P] = PH_STR_INIT("top_p"),
	[PH_B_TRUNCATION] = PH_STR_INIT("truncation"),
	[PH_B_USER] = PH_STR_INIT("user"),
	[PH_B_TYPE] = PH_STR_INIT("type"),
	[PH_B_STREAM_ID] = PH_STR_INIT("stream_id"),
	[PH_B_TOOLS] = PH_STR_INIT("tools"),
	[PH_B_INCLUDE] = PH_STR_INIT("include"),
};

static const char *kind_name(enum ph_json_kind kind)
{
	static const char *const names[] = {[PH_JSON_ABSENT] = "nothing",
		[PH_JSON_NULL] = "null",
		[PH_JSON_FALSE] = "a boolean",
		[PH_JSON_TRUE] = "a boolean",
		[PH_JSON_NUMBER] = "a number",
		[PH_JSON_STRING] = "a string",
		[PH_JSON_ARRAY] = "an array",
		[PH_JSON_OBJECT] = "an object"};

	return names[kind];
}

/* In OpenAI's words. */
static int wrong_type(const struct ph_turn_body *b, int member, const char *expected, struct ph_err *err)
{
	return ph_fail_param(err, PH_E_TYPE_BAD, ph_turn_body_names[member].p,
		"Invalid type for '%s': expected %s, but got %s instead.", ph_turn_body_names[member].p,
		expected, kind_name(b->m[member].kind));
}

static int wrong_value(int member, const char *expected, struct ph_err *err)
{
	return ph_fail_param(err, PH_E_PARAM_BAD, ph_turn_body_names[member].p,
		"Invalid value for '%s': expected %s.", ph_turn_body_names[member].p, expected);
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
		return wrong_type(b, member, "a boolean", err);
	}
}

static int read_model(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	if (b->m[PH_B_MODEL].kind <= PH_JSON_NULL)
		return 0;
	if (b->m[PH_B_MODEL].kind != PH_JSON_STRING || !ph_json_text(b->m[PH_B_MODEL].value, a, &b->model))
		return wrong_type(b, PH_B_MODEL, "a string", err);
	if (b->model.n > MODEL_MAX || memchr(b->model.p, '\0', b->model.n))
		return wrong_value(PH_B_MODEL, "a model's name", err);
	return 0;
}

/* Null or blank is no anchor at all. */
static int read_anchor(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	const char *name = ph_turn_body_names[PH_B_PREVIOUS].p;

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

/* An id, or an object with one. Null or blank is none. */
static int read_conversation(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	static const struct ph_str name = PH_STR_INIT("id");
	struct ph_json_member id = b->m[PH_B_CONVERSATION];

	if (id.kind <= PH_JSON_NULL)
		return 0;
	if (id.kind != PH_JSON_OBJECT && id.kind != PH_JSON_STRING)
		return wrong_type(b, PH_B_CONVERSATION, "a conversation's id, or an object with one", err);
	if (id.kind == PH_JSON_OBJECT && !ph_json_find(b->m[PH_B_CONVERSATION].value, &name, 1, &id))
		id.kind = PH_JSON_ABSENT;
	if (id.kind != PH_JSON_STRING || !ph_json_text(id.value, a, &b->conversation) ||
		b->conversation.n > PH_RESPONSE_ID_MAX || memchr(b->conversation.p, '\0', b->conversation.n))
		return wrong_value(PH_B_CONVERSATION, "a conversation's id, or an object with one", err);
	b->conversation = ph_str_trim(b->conversation);
	b->upstreams = b->conversation.n > 0;
	if (b->upstreams && b->previous.n)
		return ph_fail_param(err, PH_E_ANCHOR_BAD, ph_turn_body_names[PH_B_PREVIOUS].p,
			"Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Provide "
			"one of them.");
	return 0;
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
		return wrong_value(
			PH_B_CACHE_OPTIONS, "an object whose comparison_response_id is a response id", err);
	return 0;
}

static int read_cache_key(const struct ph_turn_body *b, struct ph_err *err)
{
	enum ph_json_kind kind = b->m[PH_B_CACHE_KEY].kind;

	return kind <= PH_JSON_NULL || kind == PH_JSON_STRING
		       ? 0
		       : wrong_type(b, PH_B_CACHE_KEY, "a string", err);
}

/* Which values there are is upstream's to say. */
static int read_include(const struct ph_turn_body *b, struct ph_err *err)
{
	const struct ph_json_member *m = &b->m[PH_B_INCLUDE];
	struct ph_str value;

	if (m->kind <= PH_JSON_NULL)
		return 0;
	if (m->kind != PH_JSON_ARRAY)
		return wrong_type(b, PH_B_INCLUDE, "an array of strings", err);
	for (size_t at = 0; ph_json_next(m->value, &at, &value);)
		if (ph_json_kind(value) != PH_JSON_STRING)
			return ph_fail_param(err, PH_E_TYPE_BAD, ph_turn_body_names[PH_B_INCLUDE].p,
				"Invalid type for 'include': each element must be a string.");
	return 0;
}

/* A string is one user message, made of the client's own string bytes. */
static void read_string(struct ph_turn_body *b, struct ph_str value)
{
	static const struct ph_str before = PH_STR_INIT("{\"role\":\"user\",\"content\":");

	b->own = ph_realloc(NULL, before.n + value.n + 1);
	memcpy(b->own, before.p, before.n);
	memcpy(b->own + before.n, value.p, value.n);
	b->own[before.n + value.n] = '}';
	b->items = ph_str(b->own, before.n + value.n + 1);
}

static int read_items(struct ph_turn_body *b, struct ph_err *err)
{
	struct ph_str value = b->m[PH_B_INPUT].value;

	switch (b->m[PH_B_INPUT].kind) {
	case PH_JSON_ABSENT:
	case PH_JSON_NULL:
		return 0;
	case PH_JSON_STRING:
		read_string(b, value);
		return 0;
	case PH_JSON_ARRAY:
		b->items = ph_str_trim(ph_str(value.p + 1, value.n - 2));
		return 0;
	default:
		return wrong_type(b, PH_B_INPUT, "a string or an array of items", err);
	}
}

/* A frame is answered by a stream, in the foreground, whatever it says of that (protocol, 3.2). */
static int read_manner(struct ph_turn_body *b, struct ph_err *err)
{
	int rc;

	rc = read_flag(b, PH_B_STREAM, false, &b->stream, err);
	if (rc == 0)
		rc = read_flag(b, PH_B_BACKGROUND, false, &b->background, err);
	if (rc == 0 && b->frame) {
		b->stream = true;
		b->background = false;
	}
	return rc;
}

int ph_turn_body_scan(struct ph_turn_body *b, struct ph_err *err)
{
	struct ph_items_facts facts;
	int rc;

	b->m = ph_alloc(PH_B_NR * sizeof *b->m);
	rc = ph_items_scan(ph_buf_str(&b->buf), ph_turn_body_names, PH_B_NR, PH_B_INPUT, ph_owned_may_name,
		b->m, &facts, err);
	b->references = facts.references;
	b->carried = facts.carried;
	b->named = facts.named;
	if (rc) {
		free(b->m);
		b->m = NULL;
	}
	return rc;
}

int ph_turn_body_read(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	int rc = b->m ? 0 : ph_turn_body_scan(b, err);

	if (rc == 0)
		rc = read_model(b, a, err);
	if (rc == 0)
		rc = read_manner(b, err);
	if (rc == 0)
		rc = read_flag(b, PH_B_STORE, true, &b->store, err);
	if (rc == 0)
		rc = read_flag(b, PH_B_GENERATE, true, &b->generate, err);
	if (rc == 0)
		rc = read_anchor(b, a, err);
	if (rc == 0)
		rc = read_conversation(b, a, err);
	if (rc == 0)
		rc = read_compared(b, a, err);
	if (rc == 0)
		rc = read_cache_key(b, err);
	if (rc == 0)
		rc = read_include(b, err);
	if (rc == 0)
		rc = read_items(b, err);
	return rc;
}

/* Copies s to *at, and moves on. */
static struct ph_str keep(char **at, struct ph_str s)
{
	struct ph_str kept = ph_str(*at, s.n);

	if (s.n)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return kept;
}

void ph_turn_body_shrink(struct ph_turn_body *b, bool items)
{
	struct ph_turn_body old = *b;
	char *at;

	if (!items)
		old.items.n = 0;
	if (old.items.n > COPY_MAX && old.items.n > old.buf.n / 2)
		return; /* there is little else in it */
	b->m = NULL;
	b->dropped = !items;
	b->compared = PH_STR_NONE;
	b->conversation = PH_STR_NONE;
	at = b->own = ph_realloc(NULL, old.model.n + old.previous.n + old.items.n + 1);
	b->model = keep(&at, old.model);
	b->previous = keep(&at, old.previous);
	b->items = keep(&at, old.items);
	ph_buf_init(&b->buf, old.buf.max);
	ph_turn_body_free(&old);
}

void ph_turn_body_free(struct ph_turn_body *b)
{
	ph_buf_deinit(&b->buf);
	free(b->m);
	free(b->own);
	b->m = NULL;
	b->own = NULL;
}
