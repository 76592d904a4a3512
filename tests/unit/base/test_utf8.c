/* SPDX-License-Identifier: Apache-2.0 */
/* ph_utf8_valid(): the borders of each length, and every sequence at every place in blocks of ASCII. */
#include "ph_test.h"

#include <stdlib.h>

static const struct ph_str good[] = {PH_STR_INIT(""), PH_STR_INIT("\0"), PH_STR_INIT("\x7f"),
	PH_STR_INIT("\xc2\x80"), PH_STR_INIT("\xdf\xbf"), PH_STR_INIT("\xe0\xa0\x80"),
	PH_STR_INIT("\xed\x9f\xbf"), PH_STR_INIT("\xee\x80\x80"), PH_STR_INIT("\xef\xbf\xbf"),
	PH_STR_INIT("\xf0\x90\x80\x80"), PH_STR_INIT("\xf4\x8f\xbf\xbf"),
	PH_STR_INIT("\xc3\xa4\xe2\x82\xac")};
static const struct ph_str bad[] = {PH_STR_INIT("\x80"), PH_STR_INIT("\xbf"),
	PH_STR_INIT("\xc1\xbf"), /* could be shorter */
	PH_STR_INIT("\xe0\x9f\xbf"), PH_STR_INIT("\xf0\x8f\xbf\xbf"), PH_STR_INIT("\xed\xa0\x80"),
	PH_STR_INIT("\xed\xbf\xbf"), /* surrogates */
	PH_STR_INIT("\xf4\x90\x80\x80"), PH_STR_INIT("\xf5\x80\x80\x80"), PH_STR_INIT("\xff"),
	PH_STR_INIT("\xc3"), PH_STR_INIT("\xe2\x82"), PH_STR_INIT("\xf0\x9f\x90"), /* cut */
	PH_STR_INIT("\xc3\xc3"), PH_STR_INIT("\xe2\x28\xa1"), PH_STR_INIT("\xf0\x9f\x28\x8e"),
	PH_STR_INIT("\xf0\x9f\x90\x28"), PH_STR_INIT("\xc3\xa4\x80")};

/* In a heap block of the exact size, so that AddressSanitizer sees a read past it. */
static bool valid_within(struct ph_str s, size_t before, size_t behind)
{
	size_t n = before + s.n + behind;
	char *text = malloc(n);
	bool valid;

	memset(text, 'a', n);
	if (s.n > 0)
		memcpy(text + before, s.p, s.n);
	valid = ph_utf8_valid(ph_str(text, n));
	free(text);
	return valid;
}

static void sequences(void **state)
{
	static const size_t behind[] = {0, 1, 7, 8, 15, 63, 64, 150};

	(void)state;
	assert_true(ph_utf8_valid(PH_STR_NONE));
	for (size_t before = 0; before < 150; before++) {
		for (size_t k = 0; k < PH_COUNT(behind); k++) {
			for (size_t i = 0; i < PH_COUNT(good); i++)
				assert_true(valid_within(good[i], before, behind[k]));
			for (size_t i = 0; i < PH_COUNT(bad); i++)
				assert_false(valid_within(bad[i], before, behind[k]));
		}
	}
}

/* A second sequence behind the first: both are looked at. */
static void two_sequences(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		for (size_t gap = 0; gap < 80; gap++) {
			char text[100];

			memset(text, 'a', sizeof(text));
			memcpy(text, "\xe2\x82\xac", 3);
			memcpy(text + 3 + gap, bad[i].p, bad[i].n);
			assert_true(ph_utf8_valid(ph_str(text, 3 + gap)));
			assert_false(ph_utf8_valid(ph_str(text, 3 + gap + bad[i].n)));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences),
		cmocka_unit_test(two_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
