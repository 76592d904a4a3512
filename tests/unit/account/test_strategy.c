/* SPDX-License-Identifier: Apache-2.0 */
/* What each strategy does among accounts that could all take the turn, and what comes before any strategy. */
#include "account_test.h"

static const struct ph_choice any = {.model = PH_STR_INIT("m")};

static int64_t choose(struct world *w, const struct ph_choice *c)
{
	struct ph_chosen chosen;

	assert_int_equal(ph_account_choose(w->r, c, &chosen), PH_CHOSEN);
	return chosen.account->id;
}

static void open_with(struct world *w, size_t n, const char *strategy)
{
	world_open(w, n);
	assert_true(ph_accounts_set_strategy(w->r, ph_str_c(strategy)));
}

static void names(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	assert_int_equal(w.r->strategy, PH_LEAST_LOADED);
	assert_true(ph_accounts_set_strategy(w.r, PH_STR("fill_first")));
	assert_false(ph_accounts_set_strategy(w.r, PH_STR("of a later release")));
	assert_int_equal(w.r->strategy, PH_FILL_FIRST);
	world_close(&w);
}

/* By weight, in turn, whatever runs; evenly spread, not in runs. */
static void round_robin(void **state)
{
	struct world w;
	int times[4] = {0};
	int64_t last = 0;

	(void)state;
	open_with(&w, 3, "round_robin");
	w.a[0]->running = 100;
	for (int i = 0; i < 30; i++) {
		int64_t id = choose(&w, &any);

		assert_int_not_equal(id, last);
		last = id;
		times[id]++;
	}
	assert_int_equal(times[1], 10);
	assert_int_equal(times[2], 10);
	w.a[2]->weight = 3;
	memset(times, 0, sizeof times);
	for (int i = 0; i < 50; i++)
		times[choose(&w, &any)]++;
	assert_in_range(times[3], 29, 31);
	assert_in_range(times[1], 9, 11);
	w.a[0]->running = 0;
	world_close(&w);
}

/* Whoever was away has nothing to catch up with, and preferred turns count for nothing. */
static void round_robin_owes_nothing(void **state)
{
	struct world w;
	struct ph_choice stays = any;
	int times[4] = {0};

	(void)state;
	open_with(&w, 2, "round_robin");
	w.a[1]->state = PH_ACCOUNT_PAUSED;
	for (int i = 0; i < 100; i++)
		assert_int_equal(choose(&w, &any), 1);
	w.a[1]->state = PH_ACCOUNT_ACTIVE;
	for (int i = 0; i < 20; i++)
		times[choose(&w, &any)]++;
	assert_in_range(times[2], 10, 11);
	stays.preferred = 2;
	for (int i = 0; i < 100; i++)
		assert_int_equal(choose(&w, &stays), 2);
	memset(times, 0, sizeof times);
	for (int i = 0; i < 20; i++)
		times[choose(&w, &any)]++;
	assert_in_range(times[2], 9, 11);
	world_close(&w);
}

/* One after the other, in the order in which they were added. */
static void fill_first(void **state)
{
	struct world w;

	(void)state;
	open_with(&w, 3, "fill_first");
	w.a[0]->running = 50;
	w.a[0]->health.used_percent = 90;
	for (int i = 0; i < 5; i++)
		assert_int_equal(choose(&w, &any), 1);
	w.a[0]->running = 0;
	grant(w.a[0], 1, 1);
	w.a[0]->running = 1;
	assert_int_equal(choose(&w, &any), 2);
	w.a[1]->state = PH_ACCOUNT_PAUSED;
	assert_int_equal(choose(&w, &any), 3);
	w.a[2]->priority = -1;
	w.a[0]->running = 0;
	assert_int_equal(choose(&w, &any), 3); /* priority comes before any strategy */
	world_close(&w);
}

/* By its number alone; of equal ones whoever has most left, else in turn. */
static void priority(void **state)
{
	struct world w;

	(void)state;
	open_with(&w, 3, "priority");
	w.a[0]->priority = 1;
	w.a[1]->running = 70;
	w.a[1]->weight = 1;
	w.a[2]->weight = 9;
	assert_int_equal(choose(&w, &any), 2);
	assert_int_equal(choose(&w, &any), 3);
	assert_int_equal(choose(&w, &any), 2);
	w.a[2]->health.used_percent = 10;
	w.a[1]->health.used_percent = 20;
	assert_int_equal(choose(&w, &any), 3);
	assert_int_equal(choose(&w, &any), 3);
	w.a[1]->running = 0;
	world_close(&w);
}

/* Above its bound: no new conversation ever, no old one while somebody else can. */
static void max_used_percent(void **state)
{
	struct world w;
	struct ph_choice fresh = any, old = any;
	struct ph_chosen chosen;

	(void)state;
	world_open(&w, 2);
	fresh.fresh = true;
	old.preferred = 1;
	w.a[0]->max_used_percent = 60;
	w.a[0]->health.used_percent = 60;
	w.a[1]->running = 5;
	assert_int_equal(choose(&w, &fresh), 1); /* up to it */
	assert_false(ph_account_spared(w.r, &old, w.a[0]));
	w.a[0]->health.used_percent = 61;
	assert_int_equal(choose(&w, &fresh), 2);
	assert_int_equal(choose(&w, &old), 2);
	assert_int_equal(choose(&w, &any), 2);
	assert_true(ph_account_spared(w.r, &old, w.a[0]));
	w.a[1]->max_used_percent = 10;
	w.a[1]->health.used_percent = 11; /* now both are */
	assert_false(ph_account_spared(w.r, &old, w.a[0]));
	assert_int_equal(choose(&w, &any), 1);
	assert_int_equal(ph_account_choose(w.r, &fresh, &chosen), PH_CHOICE_EXHAUSTED);
	assert_int_equal(chosen.after_ms, 60000); /* nobody knows */
	w.a[0]->health.used_until_ms = ph_loop_now_ms(w.loop) + 7000;
	assert_int_equal(ph_account_choose(w.r, &fresh, &chosen), PH_CHOICE_EXHAUSTED);
	assert_int_equal(chosen.after_ms, 7000);
	w.a[1]->running = 0;
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(round_robin),
		cmocka_unit_test(round_robin_owes_nothing),
		cmocka_unit_test(fill_first),
		cmocka_unit_test(priority),
		cmocka_unit_test(max_used_percent),
	};

	return cmocka_run_group_tests_name("account.strategy", tests, NULL, NULL);
}
