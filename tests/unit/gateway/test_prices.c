/* SPDX-License-Identifier: Apache-2.0 */
/* Prices: which row a model has, and what a turn costs, to the billionth. */
#include "fake_pg.h"

#include "gateway/prices.c"

/* prices.c asks for its rows here. */
struct ph_pg_call *ph_limit_store_prices(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "prices", NULL, 0, 0, cb, arg);
}

static int calls, status;

static void on_done(void *arg, int s)
{
	(void)arg;
	calls++;
	status = s;
}

/* As load_prices() has them: the longest first. */
static const struct ph_str rows[][4] = {
	{PH_STR_INIT("gpt-5-mini"), PH_STR_INIT("250000000"), PH_STR_INIT("25000000"),
		PH_STR_INIT("2000000000")},
	{PH_STR_INIT("gpt-5"), PH_STR_INIT("1250000000"), PH_STR_INIT("125000000"),
		PH_STR_INIT("10000000000")},
	{PH_STR_INIT("dear"), PH_STR_INIT("9000000000000"), PH_STR_INIT("9000000000000"),
		PH_STR_INIT("9000000000000")},
	{PH_STR_INIT("odd"), PH_STR_INIT("1499999"), PH_STR_INIT("500000"), PH_STR_INIT("1")},
};

static struct ph_prices *loaded(struct ph_gateway *g)
{
	struct ph_prices *p = ph_prices_new(g);

	calls = 0;
	ph_prices_reload(p, on_done, NULL);
	fake_pg_rows(rows[0], 4, 4);
	assert_int_equal(calls, 1);
	assert_int_equal(status, 0);
	return p;
}

static int64_t cost_of(
	const struct ph_prices *p, const char *model, uint64_t in, uint64_t cached, uint64_t out)
{
	const struct ph_tokens t = {in, cached, out};

	return ph_price_of(p, ph_str_c(model), &t);
}

static void the_row(void **state)
{
	struct ph_gateway g = {.pg = NULL};
	struct ph_prices *p = loaded(&g);

	(void)state;
	assert_int_equal(cost_of(p, "gpt-5", 1000000, 0, 0), 1250000000);
	assert_int_equal(cost_of(p, "gpt-5-2025-08-07", 1000000, 0, 0), 1250000000);
	assert_int_equal(cost_of(p, "gpt-5-mini-2025", 1000000, 0, 0), 250000000);
	assert_int_equal(cost_of(p, "gpt-5-mini", 1000000, 0, 0), 250000000);
	assert_int_equal(cost_of(p, "gpt-4", 1, 1, 1), -1);
	assert_int_equal(cost_of(p, "gpt", 1, 1, 1), -1);
	assert_int_equal(cost_of(p, "", 1, 1, 1), -1);
	ph_prices_free(p);
}

static void the_sum(void **state)
{
	struct ph_gateway g = {.pg = NULL};
	struct ph_prices *p = loaded(&g);

	(void)state;
	assert_int_equal(cost_of(p, "gpt-5", 0, 0, 0), 0);
	assert_int_equal(cost_of(p, "gpt-5", 1000, 600, 50), 400 * 1250 + 600 * 125 + 50 * 10000);
	assert_int_equal(cost_of(p, "gpt-5", 10, 600, 0), 10 * 125); /* more cached than there is */
	assert_int_equal(cost_of(p, "odd", 1, 0, 0), 1);             /* 1.499999 */
	assert_int_equal(cost_of(p, "odd", 1, 1, 0), 1);             /* 0.5 */
	assert_int_equal(cost_of(p, "odd", 0, 0, 499999), 0);
	assert_int_equal(cost_of(p, "odd", 2000001, 0, 0), 2 * 1499999 + 1);
	/* no number of tokens leaves the range of the sum */
	assert_int_equal(cost_of(p, "dear", UINT64_MAX, 0, UINT64_MAX), INT64_C(18000000000000000));
	ph_prices_free(p);
}

static void reading(void **state)
{
	struct ph_gateway g = {.pg = NULL};
	struct ph_prices *p = ph_prices_new(&g);

	(void)state;
	calls = 0;
	assert_false(ph_prices_loaded(p));
	assert_int_equal(cost_of(p, "gpt-5", 1, 0, 0), -1);
	ph_prices_reload(p, on_done, NULL);
	ph_prices_reload(p, on_done, NULL); /* moved meanwhile: read again */
	fake_pg_rows(rows[0], 4, 4);
	assert_int_equal(calls, 0);
	fake_pg_rows(rows[1], 1, 4);
	assert_int_equal(calls, 1);
	assert_true(ph_prices_loaded(p));
	assert_int_equal(cost_of(p, "gpt-5-mini", 1000000, 0, 0), 1250000000);
	/* what fails leaves what was known */
	ph_prices_reload(p, on_done, NULL);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(status, -PH_E_DATABASE_AWAY);
	assert_int_equal(cost_of(p, "gpt-5", 1000000, 0, 0), 1250000000);
	ph_prices_reload(p, on_done, NULL);
	ph_prices_free(p);
	assert_int_equal(fake_pg_waiting(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_row),
		cmocka_unit_test(the_sum),
		cmocka_unit_test(reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
