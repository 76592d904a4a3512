/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "posthouse/sm.h"

enum {
	RED,
	GREEN,
	YELLOW,
	COLOURS
};

static const struct ph_sm_state table[] = {
	[RED] = {"RED", PH_SM_BIT(GREEN)},
	[GREEN] = {"GREEN", PH_SM_BIT(YELLOW) | PH_SM_BIT(GREEN)},
	[YELLOW] = {"YELLOW", PH_SM_BIT(RED)},
};

static void moves_along_edges(void **state)
{
	struct ph_sm sm;
	uint64_t before = ph_clock_ns();

	(void)state;
	ph_sm_init(&sm, "light", table, COLOURS, RED);
	assert_string_equal(ph_sm_name(&sm), "RED");
	assert_true(ph_sm_may(&sm, GREEN));
	assert_false(ph_sm_may(&sm, YELLOW));
	assert_false(ph_sm_may(&sm, RED));
	assert_false(ph_sm_may(&sm, COLOURS));
	assert_false(ph_sm_may(&sm, 77));
	ph_sm_move(&sm, GREEN);
	assert_int_equal(sm.since_ns, 0); /* nobody is told: the clock is not read */
	ph_log_init(PH_LOG_DEBUG, PH_LOG_TEXT, "test");
	ph_sm_move(&sm, GREEN);
	assert_true(sm.since_ns >= before);
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "test");
	ph_sm_move(&sm, YELLOW);
	ph_sm_move(&sm, RED);
	assert_int_equal(sm.state, RED);
}

static void move_to(void *arg)
{
	struct ph_sm sm;

	ph_sm_init(&sm, "light", table, COLOURS, RED);
	ph_sm_move(&sm, *(unsigned *)arg);
}

static void dies_on_a_missing_edge(void **state)
{
	unsigned to[] = {YELLOW, RED, COLOURS, 77};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(to); i++)
		assert_true(ph_test_dies(move_to, &to[i]));
	assert_false(ph_test_dies(move_to, &(unsigned){GREEN}));
}

static void clocks_agree(void **state)
{
	uint64_t ns = ph_clock_ns(), ms = ph_clock_ms(), boot = ph_clock_boot_ms();

	(void)state;
	assert_true(ph_clock_ns() >= ns);
	assert_in_range(ms, ns / 1000000, ns / 1000000 + 10000);
	assert_true(boot + 1 >= ms);
	assert_true(ph_clock_unix_ms() > UINT64_C(1600000000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves_along_edges),
		cmocka_unit_test(dies_on_a_missing_edge),
		cmocka_unit_test(clocks_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
