/* SPDX-License-Identifier: Apache-2.0 */
/* A client's traceparent: which are well-formed, and which trace they name. */
#include "ph_test.h"

#include "gateway/trace.h"

#define ID   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static bool reads(const char *parent)
{
	struct ph_str id;

	if (!ph_trace_read(ph_str_c(parent), &id))
		return false;
	assert_true(ph_str_eq(id, PH_STR(ID)));
	return true;
}

static void well_formed(void **state)
{
	(void)state;
	assert_true(reads("00-" ID "-" SPAN "-01"));
	assert_true(reads("00-" ID "-" SPAN "-00"));
	assert_true(reads("cc-" ID "-" SPAN "-01"));
	assert_true(reads("cc-" ID "-" SPAN "-01-what-the-future-will-be-like"));
}

static void not_well_formed(void **state)
{
	static const char *const bad[] = {
		"",
		"00",
		"00-" ID "-" SPAN,
		"00-" ID "-" SPAN "-1",
		"00-" ID "-" SPAN "-01-",
		"00-" ID "-" SPAN "-01-more",
		"cc-" ID "-" SPAN "-01.more",
		"ff-" ID "-" SPAN "-01",
		"0-" ID "-" SPAN "-01x",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
		"00-" ID "-00F067AA0BA902B7-01",
		"00-00000000000000000000000000000000-" SPAN "-01",
		"00-" ID "-0000000000000000-01",
		"00_" ID "_" SPAN "_01",
		"00-" ID "0-" SPAN "-01",
		"00-" ID "-" SPAN "-0g",
		"00-" ID " " SPAN "-01",
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		if (reads(bad[i]))
			fail_msg("taken for well-formed: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(well_formed),
		cmocka_unit_test(not_well_formed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
