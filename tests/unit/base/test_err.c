/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/err.h"

#include <stdlib.h>

static void table_answers_for_both_signs(void **state)
{
	(void)state;
	assert_string_equal(ph_err_info(PH_E_ACCOUNTS_BUSY)->name, "ACCOUNTS_BUSY");
	assert_ptr_equal(ph_err_info(PH_E_ACCOUNTS_BUSY), ph_err_info(-PH_E_ACCOUNTS_BUSY));
	assert_int_equal(ph_err_info(PH_E_ACCOUNTS_BUSY)->http, 429);
	assert_int_equal(ph_err_info(-PH_E_ANCHOR_LOST)->remedy, PH_REPLAY);
	assert_int_equal(ph_err_info(-PH_E_UPSTREAM_DENIED)->blames, PH_ACCOUNT);
	assert_null(ph_err_info(PH_E_ANCHOR_BAD)->ocode);
}

/* Which way back a turn takes, and whether an account is to blame for it. */
static void remedies_of_failover(void **state)
{
	static const struct {
		int code;
		int http;
		enum ph_remedy remedy;
	} rows[] = {
		{PH_E_OWNER_BUSY, 503, PH_WAIT_FOR},
		{PH_E_OWNER_AWAY, 503, PH_OTHER_ACCOUNT},
		{PH_E_ACCOUNTS_EXHAUSTED, 429, PH_GIVE_UP},
		{PH_E_UPSTREAM_BUSY, 503, PH_OTHER_ACCOUNT},
		{PH_E_UPSTREAM_PARAMETER, 400, PH_OMIT},
		{PH_E_REASONING_REFUSED, 400, PH_STRIP},
		{PH_E_UPSTREAM_STALE, 503, PH_REDIAL},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(rows); i++) {
		const struct ph_err_info *info = ph_err_info(rows[i].code);

		assert_int_equal(info->http, rows[i].http);
		assert_int_equal(info->remedy, rows[i].remedy);
		assert_int_not_equal(info->blames, PH_ACCOUNT);
	}
	assert_string_equal(ph_err_info(PH_E_ACCOUNTS_EXHAUSTED)->type, "usage_limit_reached");
	assert_string_equal(ph_err_info(PH_E_ACCOUNTS_EXHAUSTED)->ocode, "usage_limit_reached");
	assert_string_equal(ph_err_info(PH_E_UPSTREAM_PARAMETER)->ocode, "unsupported_parameter");
}

static void outside_the_table_is_internal(void **state)
{
	const int codes[] = {0, PH_E_NR, -PH_E_NR, 100000, -100000, INT32_MIN, INT32_MAX};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(codes); i++)
		assert_string_equal(ph_err_info(codes[i])->name, "INTERNAL");
}

static void every_row_is_whole(void **state)
{
	(void)state;
	for (int code = 1; code < PH_E_NR; code++) {
		const struct ph_err_info *info = ph_err_info(code);

		assert_non_null(info->name);
		assert_non_null(info->metric);
		assert_non_null(info->type);
		assert_non_null(info->text);
		assert_in_range(info->http, 400, 599);
		assert_true(info->remedy < PH_REMEDY_NR);
		for (int other = 1; other < code; other++)
			assert_string_not_equal(info->metric, ph_err_info(other)->metric);
	}
}

static void fail_fills_and_negates(void **state)
{
	struct ph_err err;

	(void)state;
	memset(&err, 0x55, sizeof(err));
	assert_int_equal(
		ph_fail_param(&err, PH_E_PARAM_BAD, "input[3].id", "at most %d", 64), -PH_E_PARAM_BAD);
	assert_int_equal(err.code, PH_E_PARAM_BAD);
	assert_int_equal(err.sys, 0);
	assert_string_equal(err.sqlstate, "");
	assert_string_equal(err.param, "input[3].id");
	assert_string_equal(err.detail, "at most 64");
	assert_int_equal(ph_fail(&err, PH_E_CONFIG, "in %s: %s", "file", err.detail), -PH_E_CONFIG);
	assert_string_equal(err.detail, "in file: at most 64");
	assert_string_equal(err.param, "");
	assert_int_equal(ph_fail(NULL, PH_E_TIMEOUT, "nobody asks"), -PH_E_TIMEOUT);
}

static void long_details_are_cut(void **state)
{
	struct ph_err err;
	char text[1000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	ph_fail_param(&err, PH_E_PARAM_BAD, text, "%s", text);
	assert_int_equal(strlen(err.detail), sizeof(err.detail) - 1);
	assert_int_equal(strlen(err.param), sizeof(err.param) - 1);
}

static void die(void *arg)
{
	ph_die("because of %s", (const char *)arg);
}

static void allocate_everything(void *arg)
{
	volatile size_t size = SIZE_MAX / 4;

	(void)arg;
	free(ph_realloc(NULL, size));
}

static void die_ends_the_process(void **state)
{
	(void)state;
	assert_true(ph_test_dies(die, "a test"));
#ifndef __SANITIZE_ADDRESS__ /* which ends the process by itself */
	assert_true(ph_test_dies(allocate_everything, NULL));
#else
	(void)allocate_everything;
#endif
}

static void memory(void **state)
{
	unsigned char *p = ph_alloc(100);
	char *copy = ph_strdup("text");

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(p[i], 0);
	p = ph_realloc(p, 200);
	p[199] = 1;
	assert_string_equal(copy, "text");
	free(copy);
	free(p);
	p = ph_alloc(0);
	assert_non_null(p);
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_answers_for_both_signs),
		cmocka_unit_test(remedies_of_failover),
		cmocka_unit_test(outside_the_table_is_internal),
		cmocka_unit_test(every_row_is_whole),
		cmocka_unit_test(fail_fills_and_negates),
		cmocka_unit_test(long_details_are_cut),
		cmocka_unit_test(die_ends_the_process),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
