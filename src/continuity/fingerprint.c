/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes two items the same, as a number. Clients print anew what they got: white space, escapes, ids and
 * status change, content may come as a string or as parts. So strings count by their text, parts by theirs,
 * and only the members that carry the conversation count at all. By spans: reading a history of a megabyte
 * into trees takes 15 ms.
 */
#include "continuity_priv.h"
#include "posthouse/crypt.h"

#define SEED 3

uint64_t ph_text_hash(struct ph_str value, uint64_t seed)
{
	struct ph_arena scratch;
	struct ph_str text;
	uint64_t h;

	ph_arena_init(&scratch, value.n + 64);
	h = ph_json_text(value, &scratch, &text) ? ph_hash64(text, seed) : ph_hash64(value, ~seed);
	ph_arena_deinit(&scratch);
	return h;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Behind the token at `at`: a string, a mark, a number or a literal. */
static size_t token_end(struct ph_str json, size_t at)
{
	if (json.p[at] == '"')
		return ph_string_end(json, at);
	if (strchr("{}[]:,", json.p[at]))
		return at + 1;
	while (at < json.n && !is_space(json.p[at]) && !strchr("{}[]:,\"", json.p[at]))
		at++;
	return at;
}

/* Any value, whatever the white space between its tokens. */
static uint64_t hash_tokens(struct ph_str json, uint64_t h)
{
	size_t at = 0;

	while (at < json.n) {
		size_t from = at;

		if (is_space(json.p[at])) {
			at++;
			continue;
		}
		at = token_end(json, at);
		h = ph_text_hash(ph_str(json.p + from, at - from), h);
	}
	return h;
}

/* A content part by its text, if it has one. */
static uint64_t hash_part(struct ph_str part, uint64_t h)
{
	static const struct ph_str name = PH_STR_INIT("text");
	struct ph_json_member text;

	if (ph_json_kind(part) == PH_JSON_OBJECT && ph_json_find(part, &name, 1, &text) &&
		text.kind == PH_JSON_STRING)
		return ph_text_hash(text.value, h);
	return hash_tokens(part, h);
}

static uint64_t hash_value(struct ph_str value, uint64_t h)
{
	struct ph_str part;

	switch (ph_json_kind(value)) {
	case PH_JSON_ABSENT:
	case PH_JSON_NULL:
		return ph_hash64(PH_STR(""), h);
	case PH_JSON_STRING:
		return ph_text_hash(value, h);
	case PH_JSON_ARRAY:
		for (size_t at = 0; ph_json_next(value, &at, &part);)
			h = hash_part(part, h);
		return h;
	default:
		return hash_tokens(value, h);
	}
}

/* Of types that carry none of the members that we know: all they have, but for what is given anew each time.
 */
static uint64_t hash_unknown(struct ph_str item, uint64_t h)
{
	static const struct ph_str passing[] = {PH_STR_INIT("id"), PH_STR_INIT("status")};
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	ph_item_without(&b, item, passing, 2);
	h = hash_tokens(ph_buf_str(&b), h);
	ph_buf_deinit(&b);
	return h;
}

uint64_t ph_item_substance(const struct ph_item *it)
{
	static const int members[] = {PH_ITEM_CALL_ID, PH_ITEM_NAME, PH_ITEM_ARGUMENTS, PH_ITEM_INPUT,
		PH_ITEM_OUTPUT, PH_ITEM_ROLE, PH_ITEM_CONTENT};
	bool typed = ph_item_kind(it, PH_ITEM_TYPE) == PH_JSON_STRING, any = false;
	uint64_t h;

	h = ph_text_hash(typed ? it->m[PH_ITEM_TYPE] : PH_STR("\"message\""), SEED);
	for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
		any |= it->m[members[i]].n != 0;
		h = hash_value(it->m[members[i]], h);
	}
	return any ? h : hash_unknown(it->bytes, h);
}
