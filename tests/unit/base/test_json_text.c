/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/json.h"

static const struct {
	struct ph_str value, text;
} texts[] = {
	{PH_STR("\"\""), PH_STR("")},
	{PH_STR("\"plain\""), PH_STR("plain")},
	{PH_STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), PH_STR("\"\\/\b\f\n\r\t")},
	{PH_STR("\"\\u006dodel\""), PH_STR("model")},
	{PH_STR("\"a\\u0000b\""), PH_STR("a\0b")},
	{PH_STR("\"\\u00e4\\u20AC\\ud83d\\udc0e\""), PH_STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8e")},
	{PH_STR("\"\\ud83d\""), PH_STR("\xef\xbf\xbd")},
	{PH_STR("\"\\udc0e\\ud83d\""), PH_STR("\xef\xbf\xbd\xef\xbf\xbd")},
	{PH_STR("\"\\ud83dx\\ud83d\\u0041\""), PH_STR("\xef\xbf\xbdx\xef\xbf\xbd"
						      "A")},
	{PH_STR("\"\\ud83d\\ud83d\\udc0e\""), PH_STR("\xef\xbf\xbd\xf0\x9f\x90\x8e")},
	{PH_STR("\"\\uffff\\u07ff\\u0800\""), PH_STR("\xef\xbf\xbf\xdf\xbf\xe0\xa0\x80")},
};

static void strings_are_decoded(void **state)
{
	struct ph_arena a;
	struct ph_str text;

	(void)state;
	ph_arena_init(&a, 10000);
	for (size_t i = 0; i < PH_COUNT(texts); i++) {
		assert_true(ph_json_text(texts[i].value, &a, &text));
		ph_assert_str(text, texts[i].text);
		assert_true(ph_json_text_is(texts[i].value, texts[i].text));
		for (size_t j = 0; j < PH_COUNT(texts); j++) {
			if (i != j)
				assert_false(ph_json_text_is(texts[i].value, texts[j].text));
		}
	}
	assert_false(ph_json_text_is(PH_STR("\"model\""), PH_STR("mode")));
	assert_false(ph_json_text_is(PH_STR("\"mode\""), PH_STR("model")));
	ph_arena_deinit(&a);
}

static void plain_text_is_borrowed(void **state)
{
	struct ph_str value = PH_STR("\"plain\""), text;
	struct ph_arena none;

	(void)state;
	ph_arena_init(&none, 0);
	assert_true(ph_json_text(value, &none, &text));
	assert_ptr_equal(text.p, value.p + 1);
	assert_false(ph_json_text(PH_STR("\"\\n\""), &none, &text));
	ph_arena_deinit(&none);
}

static void what_is_no_string_has_no_text(void **state)
{
	static const char *const bad[] = {
		"", "\"", "1", "null", "[\"a\"]", "\"a", "\"\\u00\"", "\"\\x\"", "\"\\\""};
	struct ph_arena a;
	struct ph_str text = PH_STR("before");

	(void)state;
	ph_arena_init(&a, 10000);
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		assert_false(ph_json_text(ph_str_c(bad[i]), &a, &text));
		assert_false(ph_json_text_is(ph_str_c(bad[i]), PH_STR("")));
	}
	ph_assert_str(text, PH_STR("before"));
	ph_arena_deinit(&a);
}

static void numbers(void **state)
{
	static const char *const bad[] = {
		"", "-1", "1.0", "1e3", "01", "00", "\"1\"", "18446744073709551616", "null"};
	uint64_t v = 5;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		assert_false(ph_json_u64(ph_str_c(bad[i]), &v));
	assert_int_equal(v, 5);
	assert_true(ph_json_u64(PH_STR("0"), &v));
	assert_int_equal(v, 0);
	assert_true(ph_json_u64(PH_STR("18446744073709551615"), &v));
	assert_true(v == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_decoded),
		cmocka_unit_test(plain_text_is_borrowed),
		cmocka_unit_test(what_is_no_string_has_no_text),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
