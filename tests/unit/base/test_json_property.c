/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner against jansson, on generated documents and on damaged ones. What one accepts and the other
 * refuses must be one of:
 *
 *   accepted by us alone    a number or literal by its character set, outside of wanted members
 *                           a number too large for 64 bits or for a double
 *                           a lone surrogate escape
 *                           "\u0000" in a member name
 *   accepted by jansson     a NUL byte behind a number or literal (it is lost when jansson puts it back)
 *                           nesting of 513 to 2,048 levels (test_json.c)
 *                           a duplicate of a wanted member
 *
 * PH_TEST_SEED in the environment chooses another sequence; PH_TEST_ROUNDS another length.
 */
#include "ph_test.h"

#include "posthouse/clock.h"
#include "posthouse/json.h"

#include "base/base_priv.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL)

static uint64_t seed, rounds;

static const struct ph_str wanted[] = {PH_STR("model"), PH_STR("input"), PH_STR("id")};

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t v;

	return text && ph_str_u64(ph_str_c(text), UINT64_MAX, &v) ? v : otherwise;
}

/* ---- the generator ---- */

static const char *choose(const char *const *from, size_t count)
{
	return from[ph_test_below(&seed, count)];
}

static void put_string(struct ph_buf *b)
{
	static const char *const parts[] = {"a", "word ", "a run of text that is longer than sixteen bytes ",
		"\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\u00e9", "\\uD83D\\uDC0E", "\\u0000", "\\uffff",
		"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x8e", "\xd0\xba\xd0\xbe\xd0\xbd\xd1\x8c", "]", "}",
		",", ":", "{", "[", "\x7f", "/*"};

	ph_buf_putc(b, '"');
	for (uint64_t n = ph_test_below(&seed, 6); n > 0; n--)
		ph_buf_puts(b, ph_str_c(choose(parts, PH_COUNT(parts))));
	ph_buf_putc(b, '"');
}

static void put_space(struct ph_buf *b)
{
	static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t", "\r\n  "};

	ph_buf_puts(b, ph_str_c(choose(spaces, PH_COUNT(spaces))));
}

static void put_value(struct ph_buf *b, int depth);

static void put_members(struct ph_buf *b, int depth, uint64_t count)
{
	static const char *const fixed[] = {
		"\"model\"", "\"input\"", "\"id\"", "\"\\u006dodel\"", "\"i\\u0064\"", "\"other\""};

	ph_buf_putc(b, '{');
	put_space(b);
	for (uint64_t i = 0; i < count; i++) {
		if (ph_test_below(&seed, 2))
			ph_buf_puts(b, ph_str_c(choose(fixed, PH_COUNT(fixed))));
		else
			ph_buf_printf(b, "\"m%llu\"", (unsigned long long)i);
		put_space(b);
		ph_buf_putc(b, ':');
		put_space(b);
		put_value(b, depth - 1);
		put_space(b);
		if (i + 1 < count)
			ph_buf_putc(b, ',');
		put_space(b);
	}
	ph_buf_putc(b, '}');
}

static void put_elements(struct ph_buf *b, int depth, uint64_t count)
{
	ph_buf_putc(b, '[');
	put_space(b);
	for (uint64_t i = 0; i < count; i++) {
		put_value(b, depth - 1);
		put_space(b);
		if (i + 1 < count)
			ph_buf_putc(b, ',');
		put_space(b);
	}
	ph_buf_putc(b, ']');
}

static void put_value(struct ph_buf *b, int depth)
{
	static const char *const scalars[] = {
		"0", "-1", "12345", "1.5", "-0.25e-3", "1E5", "true", "false", "null"};
	uint64_t kind = ph_test_below(&seed, depth > 0 ? 6 : 3);

	if (kind == 0)
		ph_buf_puts(b, ph_str_c(choose(scalars, PH_COUNT(scalars))));
	else if (kind < 3)
		put_string(b);
	else if (kind < 5)
		put_members(b, depth, ph_test_below(&seed, 5));
	else
		put_elements(b, depth, ph_test_below(&seed, 5));
}

static void put_document(struct ph_buf *b)
{
	ph_buf_reset(b);
	put_space(b);
	put_members(b, 4, ph_test_below(&seed, 6));
	put_space(b);
}

/* One to three bytes changed, put in, taken out or doubled. */
static void damage(struct ph_buf *b)
{
	static const char bytes[] =
		"{}[]\",:\\ \n0123456789.-+eEtrufalsn/u\x01\x1f\x7f\x80\xbf\xc3\xe2\xed\xf0\xf4\xff";

	for (uint64_t n = 1 + ph_test_below(&seed, 3); n > 0; n--) {
		size_t at = (size_t)ph_test_below(&seed, b->n);
		char byte = ph_test_below(&seed, 8) ? bytes[ph_test_below(&seed, sizeof(bytes))]
						    : (char)ph_test_random(&seed);

		switch (ph_test_below(&seed, 4)) {
		case 0:
			b->p[at] = byte;
			break;
		case 1:
			ph_buf_putc(b, byte);
			memmove(b->p + at + 1, b->p + at, b->n - 1 - at);
			b->p[at] = byte;
			break;
		case 2:
			memmove(b->p + at, b->p + at + 1, b->n - 1 - at);
			b->n -= b->n > 1;
			break;
		default:
			b->p[at] = b->p[ph_test_below(&seed, b->n)];
			break;
		}
	}
}

/* ---- the comparison ---- */

static const char *complain(struct ph_str text, const char *what)
{
	print_error("%s:\n%.*s\n", what, PH_STR_ARG(text));
	return what;
}

static bool is_documented(const json_error_t *err)
{
	enum json_error_code code = json_error_code(err);

	return code == json_error_numeric_overflow || code == json_error_null_byte_in_key ||
	       strstr(err->text, "invalid Unicode '\\u") != NULL;
}

/* Inside of a wanted member we are as strict as jansson, short of the list above. */
static bool strict(struct ph_str text, struct ph_err *err)
{
	struct ph_json_member m;
	struct ph_buf b;
	int result;

	ph_buf_init(&b, text.n + 20);
	ph_buf_puts(&b, PH_STR("{\"wanted\":"));
	ph_buf_puts(&b, text);
	ph_buf_puts(&b, PH_STR("}"));
	result = ph_json_scan(ph_buf_str(&b), &PH_STR("wanted"), 1, &m, err);
	/* All of it is that member's value: `{},"x":1` would have become two members. */
	result = result == 0 && m.value.n == ph_str_trim(text).n;
	ph_buf_deinit(&b);
	return result;
}

/* Returns whether the document was accepted. */
static bool compare(struct ph_str text)
{
	bool loose = ph_json_check(text, NULL) == 0;
	struct ph_err err = {.detail = ""};
	bool ours = strict(text, &err);
	json_error_t jerr;
	json_t *tree = json_loadb(text.p, text.n, FLAGS, &jerr);

	if (tree && (!ours || !loose) && !memchr(text.p, '\0', text.n))
		fail_msg("%s: %s", complain(text, "jansson alone accepts"), err.detail);
	if (ours && !loose)
		fail_msg("%s", complain(text, "only the strict form accepts"));
	if (ours && !tree && !is_documented(&jerr))
		fail_msg("%s: %s", complain(text, "we alone accept"), jerr.text);
	if (loose && !ours && !strstr(err.detail, "a malformed number") &&
		!strstr(err.detail, "an unknown literal"))
		fail_msg("%s: %s", complain(text, "accepted loosely"), err.detail);
	json_decref(tree);
	return tree != NULL;
}

static void both_agree(void **state)
{
	unsigned accepted = 0, refused = 0;
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1u << 20);
	for (uint64_t i = 0; i < rounds; i++) {
		put_document(&b);
		if (!compare(ph_buf_str(&b)))
			fail_msg("%s", complain(ph_buf_str(&b), "a generated document is bad"));
		damage(&b);
		if (compare(ph_buf_str(&b)))
			accepted++;
		else
			refused++;
	}
	print_message("             damaged documents: %u accepted, %u refused by both\n", accepted, refused);
	assert_true(accepted > rounds / 20 && refused > rounds / 5); /* else the generator tests nothing */
	ph_buf_deinit(&b);
}

static void assert_same(struct ph_str span, json_t *expected)
{
	json_t *tree = json_loadb(span.p, span.n, FLAGS, NULL);

	assert_true(tree && json_equal(tree, expected));
	json_decref(tree);
}

static void assert_elements(struct ph_str array, json_t *expected)
{
	size_t offset = 0, count = 0;
	struct ph_str one;

	while (ph_json_next(array, &offset, &one))
		assert_same(one, json_array_get(expected, count++));
	assert_int_equal(count, json_array_size(expected));
}

static void assert_member(const struct ph_json_member *m, json_t *expected)
{
	struct ph_arena a;
	struct ph_str text;

	assert_int_equal(m->kind == PH_JSON_ABSENT, expected == NULL);
	if (!expected)
		return;
	assert_same(m->value, expected);
	if (m->kind == PH_JSON_ARRAY)
		assert_elements(m->value, expected);
	if (m->kind != PH_JSON_STRING)
		return;
	ph_arena_init(&a, 1u << 20);
	assert_true(ph_json_text(m->value, &a, &text));
	ph_assert_str(text, ph_str(json_string_value(expected), json_string_length(expected)));
	assert_true(ph_json_text_is(m->value, text));
	ph_arena_deinit(&a);
}

/* Without the member, by the rule in the header. */
static void assert_removable(struct ph_str text, const struct ph_json_member *m, const char *name)
{
	size_t from = m->start, to = m->end;
	json_t *tree = json_loadb(text.p, text.n, FLAGS, NULL), *less;
	struct ph_buf b;

	if (m->comma_after != SIZE_MAX)
		to = m->comma_after + 1;
	else if (m->comma_before != SIZE_MAX)
		from = m->comma_before;
	ph_buf_init(&b, text.n);
	ph_buf_append(&b, text.p, from);
	ph_buf_append(&b, text.p + to, text.n - to);
	less = json_loadb(b.p, b.n, FLAGS, NULL);
	json_object_del(tree, name);
	assert_true(less && json_equal(less, tree));
	json_decref(tree);
	json_decref(less);
	ph_buf_deinit(&b);
}

static void members_are_those_of_jansson(void **state)
{
	unsigned duplicates = 0, removed = 0;
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1u << 20);
	for (uint64_t i = 0; i < rounds; i++) {
		struct ph_json_member m[PH_COUNT(wanted)], found[PH_COUNT(wanted)];
		struct ph_err err = {.param = ""};
		struct ph_str text;
		json_t *tree;
		bool unique;

		put_document(&b);
		text = ph_buf_str(&b);
		unique = ph_json_scan(text, wanted, PH_COUNT(wanted), m, &err) == 0;
		tree = json_loadb(text.p, text.n, FLAGS, NULL);
		assert_int_equal(unique, err.param[0] == '\0');
		if (!ph_json_find(text, wanted, PH_COUNT(wanted), found))
			fail_msg("%s", complain(text, "not found"));
		for (size_t w = 0; w < PH_COUNT(wanted); w++) {
			assert_member(&found[w], json_object_get(tree, wanted[w].p));
			if (unique)
				assert_memory_equal(&m[w], &found[w], sizeof(m[w]));
			if (unique && m[w].kind != PH_JSON_ABSENT) {
				assert_removable(text, &m[w], wanted[w].p);
				removed++;
			}
		}
		duplicates += !unique;
		json_decref(tree);
	}
	print_message(
		"             members removed: %u, documents with duplicates: %u\n", removed, duplicates);
	assert_true(removed > rounds / 4 && duplicates > rounds / 50);
	ph_buf_deinit(&b);
}

/* ---- what is shown of a list while it is scanned ---- */

static void log_member(void *arg, struct ph_str name, struct ph_str value)
{
	ph_buf_printf(arg, "%.*s=%.*s;", PH_STR_ARG(name), PH_STR_ARG(value));
}

static void log_element(void *arg, struct ph_str element)
{
	ph_buf_printf(arg, "%.*s\n", PH_STR_ARG(element));
}

static void log_walked(struct ph_buf *log, struct ph_str array)
{
	struct ph_str element, name, value;

	for (size_t at = 0; ph_json_next(array, &at, &element);) {
		for (size_t in = 0; ph_json_pair(element, &in, &name, &value);)
			log_member(log, name, value);
		log_element(log, element);
	}
}

static void log_bare(struct ph_buf *log, struct ph_str array)
{
	const struct ph_json_watch watch = {.on_member = log_member, .arg = log};
	struct ph_str element;

	for (size_t at = 0; ph_json_next_bare(ph_str(array.p + 1, array.n - 2), &at, &watch, &element);)
		log_element(log, element);
}

/* Looking on changes nothing of the verdict. Returns whether elements were shown. */
static bool look_on(struct ph_str text, struct ph_buf shown[3])
{
	const struct ph_json_watch watch = {
		.on_member = log_member, .on_element = log_element, .arg = &shown[0]};
	struct ph_json_member m[PH_COUNT(wanted)], plain[PH_COUNT(wanted)];
	struct ph_err err = {.detail = ""}, plain_err = {.detail = ""};
	const struct ph_json_member *list = &m[1];
	int rc = ph_json_scan_list(text, wanted, PH_COUNT(wanted), 1, &watch, m, &err);

	assert_int_equal(rc, ph_json_scan(text, wanted, PH_COUNT(wanted), plain, &plain_err));
	assert_string_equal(err.detail, plain_err.detail);
	assert_string_equal(err.param, plain_err.param);
	if (rc)
		return false;
	assert_memory_equal(m, plain, sizeof(m));
	if (list->kind == PH_JSON_ARRAY) {
		log_walked(&shown[1], list->value);
		log_bare(&shown[2], list->value);
	}
	ph_assert_str(ph_buf_str(&shown[0]), ph_buf_str(&shown[1]));
	ph_assert_str(ph_buf_str(&shown[0]), ph_buf_str(&shown[2]));
	return shown[0].n > 0;
}

static void a_list_is_shown_as_it_passes(void **state)
{
	struct ph_buf b, shown[3];
	unsigned lists = 0;

	(void)state;
	ph_buf_init(&b, 1u << 20);
	for (int i = 0; i < 3; i++)
		ph_buf_init(&shown[i], 1u << 20);
	for (uint64_t round = 0; round < rounds; round++) {
		if (round % 2)
			damage(&b);
		else
			put_document(&b);
		for (int i = 0; i < 3; i++)
			ph_buf_reset(&shown[i]);
		lists += look_on(ph_buf_str(&b), shown);
	}
	print_message("             lists shown: %u\n", lists);
	assert_true(lists > rounds / 100);
	for (int i = 0; i < 3; i++)
		ph_buf_deinit(&shown[i]);
	ph_buf_deinit(&b);
}

/* ---- long strings: escapes, wide characters and faults at all places of a block ---- */

static void put_long_string(struct ph_buf *b)
{
	static const char *const parts[] = {
		"\\\"", "\\n", "\\u0041", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x90\x8e"};
	static const char *const faults[] = {"\"", "\\x", "\\u00g0", "\x1f", "\xc3", "\xed\xa0\x80", "\xff"};

	ph_buf_reset(b);
	ph_buf_putc(b, '"');
	for (uint64_t n = ph_test_below(&seed, 20); n > 0; n--) {
		uint64_t kind = ph_test_below(&seed, 40), length = ph_test_below(&seed, 70);

		if (kind == 0)
			ph_buf_puts(b, ph_str_c(choose(faults, PH_COUNT(faults))));
		else if (kind < 25)
			ph_buf_puts(b, ph_str_c(choose(parts, PH_COUNT(parts))));
		else if (kind < 28)
			for (uint64_t i = 0; i < length; i++)
				ph_buf_puts(b, PH_STR("\\\\"));
		else
			for (uint64_t i = 0; i < length; i++)
				ph_buf_putc(b, 'x');
	}
	ph_buf_putc(b, '"');
	if (ph_test_below(&seed, 2))
		for (uint64_t i = ph_test_below(&seed, 80); i > 0; i--)
			ph_buf_putc(b, ' ');
}

/* Byte by byte. The length of the string at the front of s, or 0 and where it is wrong. */
static size_t string_size(struct ph_str s, size_t *wrong)
{
	size_t i = 1;

	while (i < s.n && s.p[i] != '"') {
		size_t n = ph_utf8_len(s.p + i, s.n - i);

		if (s.p[i] == '\\' && s.n - i > 1)
			n = ph_json_letter(s.p[i + 1]) ? 2 : 0;
		if (s.p[i] == '\\' && s.n - i > 1 && s.p[i + 1] == 'u')
			n = ph_hex4(s.p + i + 2, s.p + s.n) >= 0 ? 6 : 0;
		*wrong = i;
		if (n == 0 || (unsigned char)s.p[i] < 0x20)
			return 0;
		i += n;
	}
	*wrong = 0;
	return i < s.n ? i + 1 : 0;
}

static void long_strings(void **state)
{
	struct ph_buf b, list;
	size_t good = 0;

	(void)state;
	ph_buf_init(&b, 65536);
	ph_buf_init(&list, 65536);
	for (uint64_t round = 0; round < rounds; round++) {
		struct ph_err err = {0};
		struct ph_str text, first;
		size_t size, wrong, offset = 0;
		char place[40];

		put_long_string(&b);
		text = ph_buf_str(&b);
		size = string_size(text, &wrong);
		if (size == 0 || ph_str_trim(ph_str_from(text, size)).n > 0) {
			assert_int_equal(ph_json_check(text, &err), -PH_E_JSON_BAD);
			snprintf(place, sizeof(place), "Byte %zu:", size ? size : wrong);
			if (!ph_str_starts(ph_str_c(err.detail), ph_str_c(place)))
				fail_msg("%s, not %s, in %.*s", err.detail, place, PH_STR_ARG(text));
			continue;
		}
		good++;
		assert_int_equal(ph_json_check(text, &err), 0);
		ph_buf_reset(&list);
		ph_buf_putc(&list, '[');
		ph_buf_puts(&list, text);
		ph_buf_puts(&list, PH_STR(",1]"));
		assert_true(ph_json_next(ph_buf_str(&list), &offset, &first));
		ph_assert_str(first, ph_str(text.p, size));
	}
	assert_true(good > rounds / 4 && good < rounds);
	ph_buf_deinit(&list);
	ph_buf_deinit(&b);
}

static void every_truncation_is_refused(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1u << 20);
	for (uint64_t i = 0; i < rounds / 20; i++) {
		struct ph_str text;

		put_document(&b);
		text = ph_str_trim(ph_buf_str(&b));
		for (size_t n = 0; n < text.n; n++) {
			struct ph_json_member m[PH_COUNT(wanted)];
			char *p = malloc(n);

			if (n)
				memcpy(p, text.p, n);
			assert_int_equal(ph_json_check(ph_str(p, n), NULL), -PH_E_JSON_BAD);
			assert_int_equal(ph_json_scan(ph_str(p, n), wanted, 3, m, NULL), -PH_E_JSON_BAD);
			assert_false(ph_json_find(ph_str(p, n), wanted, 3, m));
			free(p);
		}
	}
	ph_buf_deinit(&b);
}

/* ---- speed ---- */

/* The shape of a coding agent's request: instructions, tools with schemas, a history of calls with their
 * output. */
static void put_request(struct ph_buf *b)
{
	ph_buf_puts(b, PH_STR("{\"model\":\"gpt-5-codex\",\"instructions\":\""));
	for (int i = 0; i < 130; i++)
		ph_buf_puts(b, PH_STR("- When searching for text or files, prefer using `rg` because it is "
				      "faster.\\n\\n"));
	ph_buf_puts(b, PH_STR("\",\"input\":["));
	for (int i = 0; i < 24; i++) {
		ph_buf_printf(b,
			"%s{\"type\":\"function_call\",\"name\":\"shell\",\"call_id\":\"call_%08d\","
			"\"arguments\":",
			i ? "," : "", i);
		ph_buf_puts(b, PH_STR("\"{\\\"command\\\":[\\\"bash\\\",\\\"-lc\\\",\\\"sed -n 1,80p "
				      "src/main.c\\\"]}\"},"));
		ph_buf_printf(
			b, "{\"type\":\"function_call_output\",\"call_id\":\"call_%08d\",\"output\":\"", i);
		for (int line = 0; line < 25; line++)
			ph_buf_puts(b, PH_STR("\\tif (state->count > 0)\\n\\t\\treturn \\\"more\\\"; /* "
					      "\xe2\x80\x93 */\\n"));
		ph_buf_puts(b, PH_STR("\"}"));
	}
	ph_buf_puts(b,
		PH_STR("],\"tools\":[{\"type\":\"function\",\"name\":\"shell\",\"parameters\":{\"type\":"
		       "\"object\","
		       "\"properties\":{\"command\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}}],"
		       "\"stream\":true,\"store\":false,\"prompt_cache_key\":\"0199\",\"id\":1}"));
}

static void print_speed(const char *what, size_t bytes, uint64_t ns, unsigned times)
{
	print_message("             %-28s %8.1f us, %6.0f MB/s\n", what, (double)ns / times / 1e3,
		(double)bytes * times * 1e3 / (double)ns);
}

static void speed(void **state)
{
	struct ph_json_member m[PH_COUNT(wanted)];
	const unsigned times = 400;
	struct ph_buf b;
	uint64_t start;

	(void)state;
	ph_buf_init(&b, 1u << 20);
	put_request(&b);
	print_message("             a request of %zu bytes\n", b.n);
	start = ph_clock_ns();
	for (unsigned i = 0; i < times; i++)
		assert_int_equal(ph_json_scan(ph_buf_str(&b), wanted, PH_COUNT(wanted), m, NULL), 0);
	print_speed("ph_json_scan", b.n, ph_clock_ns() - start, times);
	start = ph_clock_ns();
	for (unsigned i = 0; i < times; i++)
		assert_true(ph_json_find(ph_buf_str(&b), wanted, PH_COUNT(wanted), m));
	print_speed("ph_json_find", b.n, ph_clock_ns() - start, times);
	start = ph_clock_ns();
	for (unsigned i = 0; i < times / 10; i++)
		json_decref(json_loadb(b.p, b.n, FLAGS, NULL));
	print_speed("jansson, for comparison", b.n, ph_clock_ns() - start, times / 10);
	ph_buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_agree),
		cmocka_unit_test(members_are_those_of_jansson),
		cmocka_unit_test(a_list_is_shown_as_it_passes),
		cmocka_unit_test(long_strings),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(speed),
	};

	seed = from_environment("PH_TEST_SEED", 20240229);
	rounds = from_environment("PH_TEST_ROUNDS", 20000);
	print_message("             seed %llu, %llu rounds\n", (unsigned long long)seed,
		(unsigned long long)rounds);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
