/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/buf.h"

static void grows_to_its_maximum(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1000);
	assert_null(b.p);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(ph_buf_putc(&b, (char)('a' + i % 26)), 0);
	assert_int_equal(b.n, 1000);
	assert_true(b.cap <= 1000);
	assert_int_equal(b.p[999], 'a' + 999 % 26);
	assert_int_equal(ph_buf_append(&b, "", 0), 0);
	ph_buf_deinit(&b);
	ph_buf_deinit(&b);
	assert_int_equal(b.max, 1000);
}

static void past_the_maximum_it_stays_failed(void **state)
{
	volatile size_t huge = SIZE_MAX; /* as the compiler must not know */
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 10);
	assert_int_equal(ph_buf_puts(&b, PH_STR("0123456789")), 0);
	assert_int_equal(ph_buf_putc(&b, 'x'), -PH_E_BODY_TOO_LARGE);
	assert_true(b.failed);
	assert_null(b.p);
	assert_int_equal(b.n, 0);
	assert_int_equal(ph_buf_append(&b, "y", 1), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_buf_json(&b, PH_STR("y")), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_buf_printf(&b, "y"), -PH_E_BODY_TOO_LARGE);
	assert_null(ph_buf_room(&b, 1));
	ph_buf_reset(&b);
	assert_int_equal(ph_buf_putc(&b, 'z'), 0);
	ph_assert_str(ph_buf_str(&b), PH_STR("z"));
	assert_int_equal(ph_buf_append(&b, "", huge), -PH_E_BODY_TOO_LARGE);
	ph_buf_deinit(&b);
	assert_false(b.failed);
}

static void numbers(void **state)
{
	static const struct {
		int64_t ns;
		const char *ms;
	} times[] = {{0, "0.000"}, {499, "0.000"}, {500, "0.001"}, {1234567, "1.235"},
		{999999500, "1000.000"}, {-1234567, "-1.235"}, {INT64_MAX, "9223372036854.776"},
		{INT64_MIN, "-9223372036854.776"}};
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 100);
	assert_int_equal(ph_buf_u64(&b, UINT64_MAX), 0);
	assert_int_equal(ph_buf_putc(&b, ' '), 0);
	assert_int_equal(ph_buf_i64(&b, INT64_MIN), 0);
	assert_int_equal(ph_buf_putc(&b, ' '), 0);
	assert_int_equal(ph_buf_padded(&b, 42, 6), 0);
	assert_int_equal(ph_buf_padded(&b, 1234, 2), 0);
	assert_int_equal(ph_buf_padded(&b, 0, 20), 0);
	ph_assert_str(ph_buf_str(&b),
		PH_STR("18446744073709551615 -9223372036854775808 000042123400000000000000000000"));
	for (size_t i = 0; i < PH_COUNT(times); i++) {
		ph_buf_reset(&b);
		assert_int_equal(ph_buf_ms(&b, times[i].ns), 0);
		ph_assert_str(ph_buf_str(&b), ph_str_c(times[i].ms));
	}
	ph_buf_deinit(&b);
	ph_buf_init(&b, 3);
	assert_int_equal(ph_buf_ms(&b, 1234567), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_buf_u64(&b, 1), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_buf_i64(&b, -1), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_buf_padded(&b, 1, 2), -PH_E_BODY_TOO_LARGE);
	ph_buf_deinit(&b);
}

static void printf_fills_to_the_last_byte(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 8);
	assert_int_equal(ph_buf_printf(&b, "%d", 1234), 0);
	assert_int_equal(ph_buf_printf(&b, "%s", ""), 0);
	assert_int_equal(ph_buf_printf(&b, "%04d", 5), 0);
	ph_assert_str(ph_buf_str(&b), PH_STR("12340005"));
	assert_int_equal(ph_buf_printf(&b, "%s", ""), 0);
	assert_int_equal(ph_buf_printf(&b, "x"), -PH_E_BODY_TOO_LARGE);
	ph_buf_deinit(&b);
	ph_buf_init(&b, 4096);
	for (int i = 0; i < 400; i++)
		ph_buf_printf(&b, "%09d,", i);
	assert_int_equal(b.n, 4000);
	assert_memory_equal(b.p + 3990, "000000399,", 10);
	ph_buf_deinit(&b);
}

static void room_and_consume(void **state)
{
	struct ph_buf b;
	char *p;

	(void)state;
	ph_buf_init(&b, 100);
	assert_non_null(ph_buf_room(&b, 0));
	p = ph_buf_room(&b, 60);
	memset(p, 'a', 60);
	ph_buf_wrote(&b, 30);
	p = ph_buf_room(&b, 70);
	assert_non_null(p);
	memset(p, 'b', 70);
	ph_buf_wrote(&b, 70);
	ph_buf_consume(&b, 29);
	ph_buf_consume(&b, 0);
	assert_int_equal(b.n, 71);
	assert_memory_equal(b.p, "abb", 3);
	ph_buf_consume(&b, 71);
	assert_int_equal(b.n, 0);
	assert_null(ph_buf_room(&b, 101));
	ph_buf_deinit(&b);
}

static void json_escapes(void **state)
{
	static const struct {
		struct ph_str in, out;
	} cases[] = {
		{PH_STR("plain \x7f /"), PH_STR("plain \x7f /")},
		{PH_STR("\"\\\b\f\n\r\t"), PH_STR("\\\"\\\\\\b\\f\\n\\r\\t")},
		{PH_STR("a\0b\x1f"), PH_STR("a\\u0000b\\u001f")},
		{PH_STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8e"),
			PH_STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8e")},
		{PH_STR("\xff"), PH_STR("\xef\xbf\xbd")},
		{PH_STR("x\xe2\x82"), PH_STR("x\xef\xbf\xbd\xef\xbf\xbd")},
		{PH_STR("\xc0\xafz"), PH_STR("\xef\xbf\xbd\xef\xbf\xbdz")},
		{PH_STR(""), PH_STR("")},
		{PH_STR("a long run of plain text, and then \"a quote\""),
			PH_STR("a long run of plain text, and then \\\"a quote\\\"")},
	};
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1000);
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		ph_buf_reset(&b);
		assert_int_equal(ph_buf_json(&b, cases[i].in), 0);
		ph_assert_str(ph_buf_str(&b), cases[i].out);
	}
	ph_buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_to_its_maximum),
		cmocka_unit_test(past_the_maximum_it_stays_failed),
		cmocka_unit_test(numbers),
		cmocka_unit_test(printf_fills_to_the_last_byte),
		cmocka_unit_test(room_and_consume),
		cmocka_unit_test(json_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
