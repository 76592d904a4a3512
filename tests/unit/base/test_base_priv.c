/* SPDX-License-Identifier: Apache-2.0 */
/* The portable form of the run, which machines without SSE2 use; test_json.c sees the other. */
#define PH_NO_SIMD

#include "ph_test.h"

#include "base/base_priv.h"

static size_t by_byte(const char *p, size_t n, bool trusted)
{
	size_t i = 0;

	while (i < n && (trusted ? p[i] != '"' && p[i] != '\\' : ph_is_plain((unsigned char)p[i])))
		i++;
	return i;
}

static void runs_end_where_they_should(void **state)
{
	char text[64];

	(void)state;
	for (size_t n = 0; n < 40; n++) {
		for (size_t at = 0; at <= n; at++) {
			memset(text, 'x', sizeof(text));
			for (int c = 0; c < 256; c++) {
				text[at] = (char)c;
				assert_int_equal(ph_run(text, n, false), by_byte(text, n, false));
				assert_int_equal(ph_run(text, n, true), by_byte(text, n, true));
			}
		}
	}
}

static void random_bytes(void **state)
{
	uint64_t seed = 3;
	char text[40];

	(void)state;
	for (int round = 0; round < 100000; round++) {
		uint64_t n = ph_test_below(&seed, sizeof(text)), mask = ph_test_below(&seed, 2) ? 0xff : 0x7f;

		for (size_t i = 0; i < n; i++)
			text[i] = (char)((ph_test_random(&seed) & mask) | (mask == 0x7f ? 0x20 : 0));
		assert_int_equal(ph_run(text, n, false), by_byte(text, n, false));
		assert_int_equal(ph_run(text, n, true), by_byte(text, n, true));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_end_where_they_should),
		cmocka_unit_test(random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
