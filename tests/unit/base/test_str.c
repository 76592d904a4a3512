/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>

static void equality(void **state)
{
	(void)state;
	assert_true(ph_str_eq(PH_STR("ab\0c"), ph_str("ab\0cd", 4)));
	assert_false(ph_str_eq(PH_STR("ab"), PH_STR("abc")));
	assert_true(ph_str_eq(PH_STR_NONE, PH_STR("")));
	assert_true(ph_str_eq(ph_str_c(NULL), ph_str_c("")));
	assert_true(ph_str_eq_nocase(PH_STR("Content-LENGTH"), PH_STR("content-length")));
	assert_false(ph_str_eq_nocase(PH_STR("@[`{"), PH_STR("`{@["))); /* neighbours of the letters */
	assert_false(ph_str_eq_nocase(PH_STR("\xc4"), PH_STR("\xe4"))); /* not ASCII */
	assert_false(ph_str_eq_nocase(PH_STR("a"), PH_STR("ab")));
}

static void ends(void **state)
{
	(void)state;
	assert_true(ph_str_starts(PH_STR("/v1/x"), PH_STR("/v1/")));
	assert_false(ph_str_starts(PH_STR("/v"), PH_STR("/v1")));
	assert_true(ph_str_starts(PH_STR_NONE, PH_STR_NONE));
	assert_true(ph_str_ends(PH_STR("a.json"), PH_STR(".json")));
	assert_false(ph_str_ends(PH_STR("json"), PH_STR(".json")));
	assert_true(ph_str_ends(PH_STR("x"), PH_STR("")));
}

static void trimming(void **state)
{
	(void)state;
	ph_assert_str(ph_str_trim(PH_STR(" \t\r\n a b \n")), PH_STR("a b"));
	ph_assert_str(ph_str_trim(PH_STR(" \t ")), PH_STR(""));
	ph_assert_str(ph_str_trim(PH_STR_NONE), PH_STR(""));
	ph_assert_str(ph_str_from(PH_STR("abc"), 1), PH_STR("bc"));
	ph_assert_str(ph_str_from(PH_STR("abc"), 9), PH_STR(""));
}

static void splitting(void **state)
{
	struct ph_str s = PH_STR("a,,b"), none = PH_STR_NONE;

	(void)state;
	ph_assert_str(ph_str_split(&s, ','), PH_STR("a"));
	ph_assert_str(ph_str_split(&s, ','), PH_STR(""));
	ph_assert_str(ph_str_split(&s, ','), PH_STR("b"));
	assert_int_equal(s.n, 0);
	ph_assert_str(ph_str_split(&s, ','), PH_STR(""));
	ph_assert_str(ph_str_split(&none, ','), PH_STR(""));
}

static void searching(void **state)
{
	(void)state;
	assert_int_equal(ph_str_find(PH_STR("ababc"), PH_STR("abc")), 2);
	assert_int_equal(ph_str_find(PH_STR("ab"), PH_STR("abc")), -1);
	assert_int_equal(ph_str_find(PH_STR("ab"), PH_STR("")), 0);
	assert_int_equal(ph_str_find(PH_STR_NONE, PH_STR("a")), -1);
	assert_int_equal(ph_str_find(PH_STR("a\0b"), PH_STR("\0b")), 1);
	assert_int_equal(ph_str_find_nocase(PH_STR("xUpGrade"), PH_STR("upgrade")), 1);
	assert_int_equal(ph_str_find_nocase(PH_STR("upgrad"), PH_STR("upgrade")), -1);
	assert_int_equal(ph_str_find_nocase(PH_STR_NONE, PH_STR_NONE), 0);
}

static ptrdiff_t naive_find(struct ph_str s, struct ph_str needle)
{
	for (size_t i = 0; i + needle.n <= s.n; i++)
		if (memcmp(s.p + i, needle.p, needle.n) == 0)
			return (ptrdiff_t)i;
	return -1;
}

/* Every length of text and needle, with many near misses; the text ends where its memory does. */
static void searching_as_byte_by_byte(void **state)
{
	char needle[20];
	unsigned seed = 7;

	(void)state;
	for (size_t round = 0; round < 20000; round++) {
		struct ph_str s, n = ph_str(needle, 1 + round % sizeof(needle));
		size_t size = (round / sizeof(needle)) % 80;
		char *text = ph_alloc(size + 1);

		for (size_t i = 0; i < size; i++)
			text[i] = (seed = seed * 1103515245 + 12345) & 0x30000 ? 'a' : 'b';
		for (size_t i = 0; i < n.n; i++)
			needle[i] = (seed = seed * 1103515245 + 12345) & 0x30000 ? 'a' : 'b';
		text = ph_realloc(text, size ? size : 1);
		s = ph_str(text, size);
		assert_int_equal(ph_str_find(s, n), naive_find(s, n));
		free(text);
	}
}

static void numbers(void **state)
{
	const char *bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1a", "18446744073709551616",
		"99999999999999999999", "/", ":"};
	uint64_t v = 7;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		assert_false(ph_str_u64(ph_str_c(bad[i]), UINT64_MAX, &v));
	assert_false(ph_str_u64(PH_STR("11"), 10, &v));
	assert_int_equal(v, 7);
	assert_true(ph_str_u64(PH_STR("18446744073709551615"), UINT64_MAX, &v));
	assert_true(v == UINT64_MAX);
	assert_true(ph_str_u64(PH_STR("0010"), 10, &v));
	assert_int_equal(v, 10);
}

static void copying(void **state)
{
	char dst[4] = "zzz";

	(void)state;
	ph_str_copy(dst, sizeof(dst), PH_STR("abcdef"));
	assert_string_equal(dst, "abc");
	ph_str_copy(dst, sizeof(dst), PH_STR("abc"));
	assert_string_equal(dst, "abc");
	ph_str_copy(dst, sizeof(dst), PH_STR_NONE);
	assert_string_equal(dst, "");
	ph_str_copy(dst, 1, PH_STR("abc"));
	assert_string_equal(dst, "");
}

static void numbers_as_text(void **state)
{
	static const int64_t n[] = {0, 7, 10, 99, 100, 1234567890, INT64_MAX, -1, -10, INT64_MIN};
	char is[PH_INT_TEXT], expected[PH_INT_TEXT];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(n); i++) {
		snprintf(expected, sizeof(expected), "%lld", (long long)n[i]);
		assert_int_equal(ph_i64_text(is, n[i]), strlen(expected));
		assert_string_equal(is, expected);
		snprintf(expected, sizeof(expected), "%llu", (unsigned long long)n[i]);
		assert_int_equal(ph_u64_text(is, (uint64_t)n[i]), strlen(expected));
		assert_string_equal(is, expected);
	}
}

static void copies_on_the_heap(void **state)
{
	const struct ph_str from[] = {PH_STR("a\0b"), PH_STR(""), PH_STR_NONE};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(from); i++) {
		struct ph_str s = ph_str_dup(from[i]);

		ph_assert_str(s, from[i]);
		assert_non_null(s.p);
		assert_ptr_not_equal(s.p, from[i].p);
		assert_int_equal(s.p[s.n], 0);
		free((void *)(uintptr_t)s.p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equality),
		cmocka_unit_test(ends),
		cmocka_unit_test(trimming),
		cmocka_unit_test(splitting),
		cmocka_unit_test(searching),
		cmocka_unit_test(searching_as_byte_by_byte),
		cmocka_unit_test(numbers),
		cmocka_unit_test(numbers_as_text),
		cmocka_unit_test(copying),
		cmocka_unit_test(copies_on_the_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
