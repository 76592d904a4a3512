/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner on written cases: what it accepts, what it refuses and where, and what it reports. */
#include "ph_test.h"

#include "posthouse/json.h"

#include <stdio.h>
#include <stdlib.h>

/* In a heap block of its exact size, so that AddressSanitizer sees a read past it. */
static int check(struct ph_str text, struct ph_err *err)
{
	char *p = malloc(text.n);
	int result;

	if (text.n)
		memcpy(p, text.p, text.n);
	result = ph_json_check(ph_str(p, text.n), err);
	free(p);
	return result;
}

static void good_values(void **state)
{
	static const struct ph_str good[] = {
		PH_STR("{}"),
		PH_STR("[]"),
		PH_STR(" \t\r\n{ } \n"),
		PH_STR("\"\""),
		PH_STR("0"),
		PH_STR("-1.5e+3"),
		PH_STR("true"),
		PH_STR("false"),
		PH_STR("null"),
		PH_STR("[1,[2,[3,{}],[]],{\"a\":{\"b\":[]}}]"),
		PH_STR("{\"a\" : 1 , \"b\" : [ 1 , 2 ] }"),
		PH_STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\""),
		PH_STR("\"\x7f \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\""),
		PH_STR("\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\""),
		PH_STR("\"\\ud800\""),
		/* number and literal bytes by their set only */
		PH_STR("01"),
		PH_STR("1.e"),
		PH_STR("[--1]"),
		PH_STR("nulls"),
		PH_STR("[t]"),
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		struct ph_err err = {.detail = ""};

		if (check(good[i], &err))
			fail_msg("refused: %.*s: %s", PH_STR_ARG(good[i]), err.detail);
	}
}

static void bad_values(void **state)
{
	static const struct {
		struct ph_str text;
		const char *detail;
	} bad[] = {
		{PH_STR(""), "Byte 0: an end where a value is expected."},
		{PH_STR(" \n"), "Byte 2: an end where a value is expected."},
		{PH_STR("\0"), "Byte 0: something else where a value is expected."},
		{PH_STR("\xef\xbb\xbf{}"), "Byte 0: something else where a value is expected."},
		{PH_STR("{\"a\":}"), "Byte 5: something else where a value is expected."},
		{PH_STR("{\"a\":1,}"), "Byte 7: no member name where one is expected."},
		{PH_STR("{,}"), "Byte 1: no member name where one is expected."},
		{PH_STR("{a:1}"), "Byte 1: no member name where one is expected."},
		{PH_STR("{\"a\" 1}"), "Byte 5: no colon behind a member name."},
		{PH_STR("{\"a\"}"), "Byte 4: no colon behind a member name."},
		{PH_STR("[1,]"), "Byte 3: something else where a value is expected."},
		{PH_STR("[1 2]"), "Byte 3: neither a comma nor the end of an object or array."},
		{PH_STR("[1}"), "Byte 2: neither a comma nor the end of an object or array."},
		{PH_STR("{\"a\":1]"), "Byte 6: neither a comma nor the end of an object or array."},
		{PH_STR("[[]"), "Byte 3: neither a comma nor the end of an object or array."},
		{PH_STR("]"), "Byte 0: something else where a value is expected."},
		{PH_STR("{} {}"), "Byte 3: something behind the value."},
		{PH_STR("{}\0"), "Byte 2: something behind the value."},
		{PH_STR("1 x"), "Byte 2: something behind the value."},
		{PH_STR("\"abc"), "Byte 0: a string without end."},
		{PH_STR("\"abc\\\""), "Byte 0: a string without end."},
		{PH_STR("\"a\nb\""), "Byte 2: a control character in a string."},
		{PH_STR("\"a\0b\""), "Byte 2: a control character in a string."},
		{PH_STR("\"a long enough run of text\x1f\""), "Byte 26: a control character in a string."},
		{PH_STR("\"\\x\""), "Byte 1: a bad escape sequence."},
		{PH_STR("\"\\u12g4\""), "Byte 1: a bad escape sequence."},
		{PH_STR("\"\\u123\""), "Byte 1: a bad escape sequence."},
		{PH_STR("\"\\"), "Byte 1: a bad escape sequence."},
		{PH_STR("Infinity"), "Byte 0: something else where a value is expected."},
		{PH_STR("'a'"), "Byte 0: something else where a value is expected."},
		{PH_STR("[1] // no"), "Byte 4: something behind the value."},
		{PH_STR("TRUE"), "Byte 0: something else where a value is expected."},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct ph_err err = {.detail = "accepted"};

		if (check(bad[i].text, &err) != -PH_E_JSON_BAD || strcmp(err.detail, bad[i].detail) != 0)
			fail_msg("%.*s: %s, not %s", PH_STR_ARG(bad[i].text), err.detail, bad[i].detail);
		assert_int_equal(check(bad[i].text, NULL), -PH_E_JSON_BAD);
	}
}

static void invalid_utf8(void **state)
{
	static const struct ph_str bad[] = {
		PH_STR("\x80"),
		PH_STR("\xbf"),
		PH_STR("\xc0\x80"),
		PH_STR("\xc1\xbf"),
		PH_STR("\xc2"),
		PH_STR("\xc2x"),
		PH_STR("\xe0\x9f\xbf"),
		PH_STR("\xe2\x82"),
		PH_STR("\xe2\x82x"),
		PH_STR("\xed\xa0\x80"),
		PH_STR("\xed\xbf\xbf"),
		PH_STR("\xf0\x8f\xbf\xbf"),
		PH_STR("\xf0\x9f\x90"),
		PH_STR("\xf0\x9f\x90x"),
		PH_STR("\xf4\x90\x80\x80"),
		PH_STR("\xf5\x80\x80\x80"),
		PH_STR("\xfe"),
		PH_STR("\xff"),
	};

	(void)state;
	/* At every place relative to the 16 bytes that are taken at once. */
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		for (int before = 0; before < 34; before++) {
			struct ph_err err;
			char text[128];
			int n = snprintf(text, sizeof(text), "\"%.*s%.*saaaaaaaaaaaaaaaaaaaa\"", before,
				"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", PH_STR_ARG(bad[i]));

			assert_int_equal(check(ph_str(text, (size_t)n), &err), -PH_E_JSON_BAD);
			assert_non_null(strstr(err.detail, "invalid UTF-8"));
			n = snprintf(text, sizeof(text), "Byte %d:", before + 1);
			assert_memory_equal(err.detail, text, (size_t)n);
		}
	}
}

/* A quote, a backslash or a control character is seen at every offset of a run. */
static void every_place_of_a_special_byte(void **state)
{
	(void)state;
	for (size_t n = 0; n < 70; n++) {
		for (size_t at = 0; at < n; at++) {
			char text[80];

			memset(text, 'x', sizeof(text));
			text[0] = text[n + 1] = '"';
			for (int c = 0; c < 256; c++) {
				bool fine = c >= 0x20 && c < 0x80 && c != '\\' && c != '"';

				text[at + 1] = (char)c;
				assert_int_equal(check(ph_str(text, n + 2), NULL) == 0, fine);
			}
		}
	}
}

/* `levels` arrays around an object, and the same number of levels as a member's value; the outer object is
 * one. */
static void depth(void **state)
{
	(void)state;
	for (size_t levels = PH_JSON_DEPTH - 1; levels <= PH_JSON_DEPTH + 1; levels++) {
		int expected = levels > PH_JSON_DEPTH ? -PH_E_JSON_BAD : 0;
		struct ph_json_member m;
		struct ph_err err = {.detail = ""};
		char text[2 * PH_JSON_DEPTH + 20];
		char *half = text + levels - 1;

		memset(text, '[', levels - 1);
		memcpy(half, "{}", 2);
		memset(half + 2, ']', levels - 1);
		assert_int_equal(check(ph_str(text, 2 * levels), &err), expected);
		assert_int_equal(strstr(err.detail, "more than 512 levels") != NULL, expected != 0);
		memcpy(text, "{\"a\":", 5);
		memset(text + 5, '[', levels - 1);
		memset(text + 4 + levels, ']', levels - 1);
		text[3 + 2 * levels] = '}';
		assert_int_equal(
			ph_json_scan(ph_str(text, 4 + 2 * levels), &PH_STR("a"), 1, &m, &err), expected);
	}
}

static const struct ph_str names[] = {PH_STR("model"), PH_STR("input"), PH_STR("store"), PH_STR("")};
enum {
	MODEL,
	INPUT,
	STORE,
	EMPTY,
	NAMES
};

static void members_are_reported(void **state)
{
	struct ph_str text =
		PH_STR(" { \"x\":[{\"model\":0}], \"model\" : \"a\\nb\" ,\"input\":[1, 2],\"\":{}} ");
	struct ph_json_member m[NAMES];
	struct ph_err err;

	(void)state;
	assert_int_equal(ph_json_scan(text, names, NAMES, m, &err), 0);
	ph_assert_str(m[MODEL].value, PH_STR("\"a\\nb\""));
	assert_int_equal(m[MODEL].kind, PH_JSON_STRING);
	assert_true(m[MODEL].escaped);
	ph_assert_str(ph_str(text.p + m[MODEL].start, m[MODEL].end - m[MODEL].start),
		PH_STR("\"model\" : \"a\\nb\""));
	assert_int_equal(text.p[m[MODEL].comma_before], ',');
	assert_int_equal(m[MODEL].comma_before, 20);
	assert_int_equal(text.p[m[MODEL].comma_after], ',');
	assert_int_equal(m[MODEL].comma_after, m[INPUT].comma_before);
	assert_int_equal(m[INPUT].kind, PH_JSON_ARRAY);
	assert_false(m[INPUT].escaped);
	ph_assert_str(m[INPUT].value, PH_STR("[1, 2]"));
	assert_int_equal(m[STORE].kind, PH_JSON_ABSENT);
	assert_null(m[STORE].value.p);
	assert_int_equal(m[EMPTY].kind, PH_JSON_OBJECT);
	assert_true(m[EMPTY].comma_after == SIZE_MAX);
	assert_int_equal(ph_json_scan(PH_STR("{\"model\":true}"), names, NAMES, m, &err), 0);
	assert_true(m[MODEL].comma_before == SIZE_MAX && m[MODEL].comma_after == SIZE_MAX);
	assert_int_equal(m[MODEL].kind, PH_JSON_TRUE);
}

static void names_may_be_escaped(void **state)
{
	struct ph_json_member m[NAMES];
	struct ph_err err;

	(void)state;
	assert_int_equal(
		ph_json_scan(PH_STR("{\"\\u006dodel\":1,\"in\\u0070ut\":2,\"mode\\n\":3,\"\\\"\":4}"), names,
			NAMES, m, &err),
		0);
	ph_assert_str(m[MODEL].value, PH_STR("1"));
	ph_assert_str(m[INPUT].value, PH_STR("2"));
	assert_int_equal(m[EMPTY].kind, PH_JSON_ABSENT);
}

static void duplicates_of_wanted_members_are_refused(void **state)
{
	struct ph_str text = PH_STR("{\"model\":1,\"y\":{\"model\":2},\"\\u006dodel\":3}");
	struct ph_json_member m[NAMES];
	struct ph_err err;

	(void)state;
	assert_int_equal(ph_json_scan(text, names, NAMES, m, &err), -PH_E_JSON_BAD);
	assert_string_equal(err.param, "model");
	assert_int_equal(ph_json_scan(PH_STR("{\"a\":1,\"a\":2}"), names, NAMES, m, &err), 0);
	assert_int_equal(ph_json_scan(PH_STR("{\"input\":1,\"model\":2,\"model\":3,\"input\":4}"), names,
				 NAMES, m, &err),
		-PH_E_JSON_BAD);
	assert_string_equal(err.param, "model");
	/* Malformed wins over duplicate. */
	assert_int_equal(
		ph_json_scan(PH_STR("{\"model\":2,\"model\":3"), names, NAMES, m, &err), -PH_E_JSON_BAD);
	assert_string_equal(err.param, "");
	/* What was validated elsewhere: the last one, as most readers of JSON have it. */
	assert_true(ph_json_find(text, names, NAMES, m));
	ph_assert_str(m[MODEL].value, PH_STR("3"));
}

static void only_objects_have_members(void **state)
{
	static const char *const bad[] = {"", "[]", "\"model\"", "1", "{", "{}}", "{} 1"};
	struct ph_json_member m[NAMES];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		assert_int_equal(ph_json_scan(ph_str_c(bad[i]), names, NAMES, m, NULL), -PH_E_JSON_BAD);
		assert_false(ph_json_find(ph_str_c(bad[i]), names, NAMES, m));
	}
	assert_int_equal(ph_json_scan(PH_STR_NONE, names, NAMES, m, NULL), -PH_E_JSON_BAD);
	assert_int_equal(ph_json_scan(PH_STR("{}"), NULL, 0, NULL, NULL), 0);
	assert_true(ph_json_find(PH_STR(" {} "), names, NAMES, m));
	assert_int_equal(m[MODEL].kind, PH_JSON_ABSENT);
}

static void wanted_members_have_grammar(void **state)
{
	static const char *const bad[] = {"01", "-", "1.", ".5", "1e", "1e+", "+1", "--1", "1.5.5", "tru",
		"nulls", "f", "[1,[02]]", "{\"a\":[nul]}"};
	static const char *const good[] = {"0", "-0", "10", "-1.50", "1e5", "1E-05", "0.0e+00", "true",
		"false", "null", "[{\"a\":-1},null]"};
	struct ph_json_member m[NAMES];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		char text[100];

		snprintf(text, sizeof(text), "{\"a\":1,\"input\":%s,\"b\":2}", bad[i]);
		assert_int_equal(ph_json_scan(ph_str_c(text), names, NAMES, m, NULL), -PH_E_JSON_BAD);
		snprintf(text, sizeof(text), "{\"input\":1,\"other\":%s,\"b\":2}", bad[i]);
		assert_int_equal(ph_json_scan(ph_str_c(text), names, NAMES, m, NULL),
			bad[i][0] == '.' || bad[i][0] == '+' ? -PH_E_JSON_BAD : 0);
	}
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		char text[100];

		snprintf(text, sizeof(text), "{\"input\": %s }", good[i]);
		assert_int_equal(ph_json_scan(ph_str_c(text), names, NAMES, m, NULL), 0);
		ph_assert_str(m[INPUT].value, ph_str_c(good[i]));
	}
}

static void elements_come_one_by_one(void **state)
{
	static const struct ph_str elements[] = {PH_STR("1"), PH_STR("[2,[\"]\"]]"), PH_STR("{\"a\":\",]\"}"),
		PH_STR("\"\xc3\xa4\\\"]\""), PH_STR("null")};
	struct ph_str array = PH_STR("[1 ,[2,[\"]\"]],\n{\"a\":\",]\"}, \"\xc3\xa4\\\"]\" , null ]"), one;
	size_t offset = 0;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(elements); i++) {
		assert_true(ph_json_next(array, &offset, &one));
		ph_assert_str(one, elements[i]);
	}
	assert_false(ph_json_next(array, &offset, &one));
	assert_false(ph_json_next(array, &offset, &one));
	offset = 0;
	assert_false(ph_json_next(PH_STR("[ ]"), &offset, &one));
	assert_false(ph_json_next(PH_STR("{}"), &offset, &one));
	assert_false(ph_json_next(PH_STR("\"[]\""), &offset, &one));
	assert_false(ph_json_next(PH_STR_NONE, &offset, &one));
	offset = 100;
	assert_false(ph_json_next(PH_STR("[1]"), &offset, &one));
}

static void kinds(void **state)
{
	(void)state;
	assert_int_equal(ph_json_kind(PH_STR("{}")), PH_JSON_OBJECT);
	assert_int_equal(ph_json_kind(PH_STR("[")), PH_JSON_ARRAY);
	assert_int_equal(ph_json_kind(PH_STR("\"")), PH_JSON_STRING);
	assert_int_equal(ph_json_kind(PH_STR("-1")), PH_JSON_NUMBER);
	assert_int_equal(ph_json_kind(PH_STR("9")), PH_JSON_NUMBER);
	assert_int_equal(ph_json_kind(PH_STR("true")), PH_JSON_TRUE);
	assert_int_equal(ph_json_kind(PH_STR("false")), PH_JSON_FALSE);
	assert_int_equal(ph_json_kind(PH_STR("null")), PH_JSON_NULL);
	assert_int_equal(ph_json_kind(PH_STR("x")), PH_JSON_ABSENT);
	assert_int_equal(ph_json_kind(PH_STR_NONE), PH_JSON_ABSENT);
}

static void a_string_of_a_megabyte(void **state)
{
	size_t n = 1u << 20;
	char *text = malloc(n + 40);
	struct ph_json_member m[NAMES];
	size_t at;

	(void)state;
	memcpy(text, "{\"model\":1,\"input\":\"", 20);
	memset(text + 20, 'x', n);
	at = 20 + n / 2;
	memcpy(text + at, "\\\"\xf0\x9f\x90\x8e", 6);
	memcpy(text + 20 + n, "\"}", 2);
	assert_int_equal(ph_json_scan(ph_str(text, n + 22), names, NAMES, m, NULL), 0);
	assert_int_equal(m[INPUT].value.n, n + 2);
	assert_true(m[INPUT].escaped);
	assert_true(ph_json_find(ph_str(text, n + 22), names, NAMES, m));
	assert_int_equal(m[INPUT].value.n, n + 2);
	text[at + 3] = 'x';
	assert_int_equal(ph_json_scan(ph_str(text, n + 22), names, NAMES, m, NULL), -PH_E_JSON_BAD);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_values),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(invalid_utf8),
		cmocka_unit_test(every_place_of_a_special_byte),
		cmocka_unit_test(depth),
		cmocka_unit_test(members_are_reported),
		cmocka_unit_test(names_may_be_escaped),
		cmocka_unit_test(duplicates_of_wanted_members_are_refused),
		cmocka_unit_test(only_objects_have_members),
		cmocka_unit_test(wanted_members_have_grammar),
		cmocka_unit_test(elements_come_one_by_one),
		cmocka_unit_test(kinds),
		cmocka_unit_test(a_string_of_a_megabyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
