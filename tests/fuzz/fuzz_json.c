/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one-pass JSON scanner beside jansson: what jansson accepts the scanner accepts; where both do, they see
 * the same members; and a member that is cut out where the scanner says it stands leaves valid JSON.
 */
#include "fuzz.h"

#include "posthouse/json.h"

#include <jansson.h>

static const struct ph_str names[] = {PH_STR("model"), PH_STR("input"), PH_STR("stream"), PH_STR("a")};
#define NAMES (sizeof(names) / sizeof(names[0]))

static size_t depth_of(const json_t *j)
{
	size_t deepest = 0, i;
	const char *key;
	json_t *v;

	if (json_is_array(j)) {
		json_array_foreach(j, i, v)
		{
			size_t d = depth_of(v);
			deepest = d > deepest ? d : deepest;
		}
	} else if (json_is_object(j)) {
		json_object_foreach((json_t *)(uintptr_t)j, key, v)
		{
			size_t d = depth_of(v);
			deepest = d > deepest ? d : deepest;
		}
	}
	return 1 + deepest;
}

static enum ph_json_kind kind_of(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return PH_JSON_OBJECT;
	case JSON_ARRAY:
		return PH_JSON_ARRAY;
	case JSON_STRING:
		return PH_JSON_STRING;
	case JSON_INTEGER:
	case JSON_REAL:
		return PH_JSON_NUMBER;
	case JSON_TRUE:
		return PH_JSON_TRUE;
	case JSON_FALSE:
		return PH_JSON_FALSE;
	default:
		return PH_JSON_NULL;
	}
}

/* The object without the member, by the offsets that the scanner gave. */
static void check_cut(struct ph_str s, const struct ph_json_member *m)
{
	size_t from = m->start, to = m->end;
	struct ph_json_member left[1];
	struct ph_buf b;

	if (m->comma_after != SIZE_MAX)
		to = m->comma_after + 1;
	else if (m->comma_before != SIZE_MAX)
		from = m->comma_before;
	ph_buf_init(&b, s.n + 1);
	ph_buf_append(&b, s.p, from);
	ph_buf_append(&b, s.p + to, s.n - to);
	REQUIRE(ph_json_scan(ph_buf_str(&b), names, 0, left, NULL) == 0);
	ph_buf_deinit(&b);
}

static void check_member(struct ph_str s, const struct ph_json_member *m)
{
	if (m->kind == PH_JSON_ABSENT)
		return;
	REQUIRE(m->start < m->end && m->end <= s.n && s.p[m->start] == '"');
	REQUIRE(m->value.n > 0 && m->value.p + m->value.n == s.p + m->end);
	REQUIRE(ph_json_kind(m->value) == m->kind);
	REQUIRE(ph_json_check(m->value, NULL) == 0);
	REQUIRE(m->comma_before == SIZE_MAX || (m->comma_before < m->start && s.p[m->comma_before] == ','));
	REQUIRE(m->comma_after == SIZE_MAX || (m->comma_after >= m->end && s.p[m->comma_after] == ','));
	check_cut(s, m);
}

static void check_text(struct ph_str value, const char *expected, size_t n)
{
	struct ph_arena a;
	struct ph_str text;

	ph_arena_init(&a, (size_t)8 << 20);
	REQUIRE(ph_json_text(value, &a, &text));
	REQUIRE(ph_str_eq(text, ph_str(expected, n)));
	REQUIRE(ph_json_text_is(value, text));
	ph_arena_deinit(&a);
}

static void on_member(void *arg, struct ph_str name, struct ph_str value)
{
	(void)arg;
	REQUIRE(name.n >= 2 && name.p[0] == '"' && value.n > 0);
}

static void on_element(void *arg, struct ph_str element)
{
	REQUIRE(ph_json_check(element, NULL) == 0);
	++*(size_t *)arg;
}

/* Showing a list changes no verdict, and leaves nothing out. */
static void check_list(struct ph_str s, int verdict)
{
	struct ph_json_member found[NAMES];
	size_t shown = 0, count = 0, offset = 0;
	const struct ph_json_watch watch = {.on_member = on_member, .on_element = on_element, .arg = &shown};
	struct ph_str element;

	REQUIRE(ph_json_scan_list(s, names, NAMES, 1, &watch, found, NULL) == verdict);
	if (verdict)
		return;
	while (found[1].kind == PH_JSON_ARRAY && ph_json_next(found[1].value, &offset, &element))
		count++;
	REQUIRE(shown == count);
}

static void check_object(struct ph_str s, const json_t *j)
{
	struct ph_json_member found[NAMES];
	struct ph_err err = {0};
	int rc = ph_json_scan(s, names, NAMES, found, &err);

	check_list(s, rc);
	if (rc < 0) {
		REQUIRE(err.code == PH_E_JSON_BAD);
		return;
	}
	for (size_t i = 0; i < NAMES; i++) {
		const json_t *v = json_object_get(j, names[i].p);

		check_member(s, &found[i]);
		if (j == NULL)
			continue;
		REQUIRE((v != NULL) == (found[i].kind != PH_JSON_ABSENT));
		if (v != NULL)
			REQUIRE(kind_of(v) == found[i].kind);
		if (json_is_string(v))
			check_text(found[i].value, json_string_value(v), json_string_length(v));
	}
}

static void check_array(struct ph_str s, const json_t *j)
{
	struct ph_str element;
	size_t offset = 0, count = 0;

	while (ph_json_next(s, &offset, &element)) {
		REQUIRE(element.n > 0 && element.p >= s.p && element.p + element.n <= s.p + s.n);
		REQUIRE(ph_json_check(element, NULL) == 0);
		count++;
	}
	if (j != NULL)
		REQUIRE(count == json_array_size(j));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};
	/* jansson 2.14 takes a NUL between tokens for white space: no guide there */
	bool nul = s.n > 0 && memchr(s.p, 0, s.n) != NULL;
	json_t *j = nul ? NULL : json_loadb(s.p, s.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	struct ph_err err = {0};
	int r = ph_json_check(s, &err);

	REQUIRE(r == 0 || (r == -PH_E_JSON_BAD && err.code == PH_E_JSON_BAD));
	if (j != NULL && depth_of(j) <= PH_JSON_DEPTH)
		REQUIRE(r == 0);
	check_object(s, json_is_object(j) ? j : NULL);
	if (r == 0 && ph_json_kind(ph_str_trim(s)) == PH_JSON_ARRAY)
		check_array(ph_str_trim(s), j);
	json_decref(j);
	return 0;
}
