/* SPDX-License-Identifier: Apache-2.0 */
/* What the status page says of errors speaks of errors that exist, and of all that an operator can do
 * something about. */
#include <stdio.h>

#include "ph_test.h"

#include "admin/admin_priv.h"
#include "posthouse/json.h"

static struct ph_buf told;

static bool has(const char *metric)
{
	char needle[80];

	snprintf(needle, sizeof needle, "\"%s\":\"", metric);
	return ph_str_find(ph_buf_str(&told), ph_str_c(needle)) >= 0;
}

static int open_all(void **state)
{
	(void)state;
	ph_buf_init(&told, 65536);
	ph_remedies_put(&told);
	return told.failed;
}

static int close_all(void **state)
{
	(void)state;
	ph_buf_deinit(&told);
	return 0;
}

/* Of the client's own mistakes only those matter that an operator can mend; of remedies for the turn none is
 * seen in the log when it worked. */
static void test_every_fault_of_ours_or_of_an_account_has_one(void **state)
{
	static const char *const inner[] = {
		"config", "usage", "socket", "timeout", "closed", "cancelled", "tls", "name", "owner_away"};

	(void)state;
	for (int i = 1; i < PH_E_NR; i++) {
		const struct ph_err_info *e = ph_err_info(i);
		bool skip = e->blames == PH_CLIENT || e->remedy == PH_REDIAL || e->remedy == PH_REPLAY ||
			    e->remedy == PH_STRIP || e->remedy == PH_WAIT_FOR || e->remedy == PH_TRANSLATE;

		for (size_t k = 0; k < sizeof inner / sizeof *inner; k++)
			skip = skip || strcmp(e->metric, inner[k]) == 0;
		if (!skip && !has(e->metric))
			fail_msg("nothing is said of %s", e->metric);
	}
}

static void test_none_speaks_of_an_error_that_is_not(void **state)
{
	struct ph_str rest = ph_buf_str(&told);

	(void)state;
	while (ph_str_find(rest, PH_STR("\":\"")) >= 0) {
		size_t end = (size_t)ph_str_find(rest, PH_STR("\":\"")), start = end;
		bool known = false;

		while (rest.p[start - 1] != '"')
			start--;
		for (int i = 1; i < PH_E_NR; i++)
			known = known || ph_str_eq(ph_str(rest.p + start, end - start),
						 ph_str_c(ph_err_info(i)->metric));
		if (!known)
			fail_msg("%.*s is no error", (int)(end - start), rest.p + start);
		rest = ph_str_from(rest, end + 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_fault_of_ours_or_of_an_account_has_one),
		cmocka_unit_test(test_none_speaks_of_an_error_that_is_not),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
