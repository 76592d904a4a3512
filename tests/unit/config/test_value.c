/* SPDX-License-Identifier: Apache-2.0 */
/* Durations and sizes: every unit, every refusal, overflow, and text that reads back. */
#include "ph_test.h"

#include "posthouse/config.h"

struct reading {
	const char *text;
	uint64_t value;
};

static void test_durations(void **state)
{
	static const struct reading good[] = {
		{"250ms", 250},
		{"5s", 5000},
		{"2m", 120000},
		{"1h", 3600000},
		{"30d", UINT64_C(2592000000)},
		{"7", 7000},
		{"0", 0},
		{"0ms", 0},
		{"18446744073709551615ms", UINT64_MAX},
		{"18446744073709551", UINT64_C(18446744073709551000)},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		uint64_t ms = 1;

		assert_int_equal(ph_config_duration(good[i].text, &ms, NULL), 0);
		assert_int_equal(ms, good[i].value);
	}
}

static void test_durations_refused(void **state)
{
	static const char *const bad[] = {"", "s", "5 s", " 5s", "5S", "5sec", "-5s", "+5s", "1.5s", "5s ",
		"0x5", "5w", "18446744073709551616ms", "18446744073709552", "213503982335d",
		"99999999999999999999d"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct ph_err err = {0};
		uint64_t ms;

		assert_int_equal(ph_config_duration(bad[i], &ms, &err), -PH_E_CONFIG);
		assert_non_null(strstr(err.detail, bad[i]));
		assert_non_null(strstr(err.detail, "250ms"));
	}
}

static void test_sizes(void **state)
{
	static const struct reading good[] = {
		{"64KiB", 65536},
		{"64MiB", UINT64_C(67108864)},
		{"1GiB", UINT64_C(1073741824)},
		{"4096", 4096},
		{"0", 0},
		{"18446744073709551615", UINT64_MAX},
	};
	static const char *const bad[] = {"", "MiB", "64MB", "64M", "64 MiB", "64mib", "-1", "1.5GiB",
		"17179869184GiB", "18446744073709551616"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		uint64_t n = 1;

		assert_int_equal(ph_config_size(good[i].text, &n, NULL), 0);
		assert_int_equal(n, good[i].value);
	}
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct ph_err err = {0};
		uint64_t n;

		assert_int_equal(ph_config_size(bad[i], &n, &err), -PH_E_CONFIG);
		assert_non_null(strstr(err.detail, "64MiB"));
	}
}

static void test_text_reads_back(void **state)
{
	static const struct reading texts[] = {
		{"0s", 0},
		{"1ms", 1},
		{"1500ms", 1500},
		{"2s", 2000},
		{"2m", 120000},
		{"90s", 90000},
		{"3h", 10800000},
		{"30d", UINT64_C(2592000000)},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(texts); i++) {
		char text[32];
		uint64_t ms;

		ph_config_duration_text(texts[i].value, text, sizeof(text));
		assert_string_equal(text, texts[i].text);
		assert_int_equal(ph_config_duration(text, &ms, NULL), 0);
		assert_int_equal(ms, texts[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_durations_refused),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_text_reads_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
