/* SPDX-License-Identifier: Apache-2.0 */
/* What accounts have left: what counts at once, what is written and how often, what blocks and what lifts. */
#include "account_test.h"

/* Parameters of report_usage(). */
enum {
	U_ACCOUNT,
	U_VERSION,
	U_PRIMARY,
	U_PRIMARY_MINUTES,
	U_PRIMARY_RESETS,
	U_SECONDARY,
	U_SECONDARY_MINUTES,
	U_SECONDARY_RESETS,
	U_CREDITS,
	U_PLAN,
	U_AGE_MS,
	U_NODE
};

#define HOUR 3600

static uint64_t in_an_hour(void)
{
	return ph_clock_unix_ms() / 1000 + HOUR;
}

static struct ph_usage primary(double percent)
{
	struct ph_usage u = {.plan = "plus"};

	u.window[PH_USAGE_PRIMARY] = (struct ph_usage_window){true, percent, 300, in_an_hour()};
	return u;
}

static struct ph_usage both(double percent, double secondary)
{
	struct ph_usage u = primary(percent);

	u.window[PH_USAGE_SECONDARY] = (struct ph_usage_window){true, secondary, 10080, in_an_hour() + HOUR};
	return u;
}

static void say(struct world *w, struct ph_usage u)
{
	ph_account_usage(w->r, w->a[0], &u);
}

static void kept(void)
{
	answer("kept", "active", "0", "1", "0");
}

static void counts_at_once_and_is_written(void **state)
{
	struct world w;
	struct ph_usage u = both(12.5, 40);
	const struct ph_account_health *h;
	char resets[32];

	(void)state;
	world_open(&w, 1);
	h = &w.a[0]->health;
	say(&w, u);
	assert_int_equal(h->used_percent, 40);
	assert_false(h->nearly_exhausted);
	assert_in_range(h->used_until_ms - ph_loop_now_ms(w.loop), (2 * HOUR - 60) * 1000, 2 * HOUR * 1000);
	assert_param(U_ACCOUNT, "1");
	assert_param(U_VERSION, "0");
	assert_param(U_PRIMARY, "12.50");
	assert_param(U_PRIMARY_MINUTES, "300");
	snprintf(resets, sizeof resets, "%llu", (unsigned long long)u.window[0].resets_s);
	assert_param(U_PRIMARY_RESETS, resets);
	assert_param(U_SECONDARY, "40.00");
	assert_param(U_SECONDARY_MINUTES, "10080");
	assert_param(U_CREDITS, "0");
	assert_param(U_PLAN, "plus");
	assert_param(U_NODE, "node-1");
	kept();
	assert_int_equal(h->version, 1);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	world_close(&w);
}

/* What was not said is NULL; an event about one window leaves the other. */
static void parts(void **state)
{
	struct world w;
	struct ph_usage u = {0};

	(void)state;
	world_open(&w, 1);
	u.window[PH_USAGE_SECONDARY] = (struct ph_usage_window){true, 30, 0, 0};
	say(&w, u);
	assert_null(fake_pg_first()->text[U_PRIMARY].p);
	assert_null(fake_pg_first()->text[U_PRIMARY_RESETS].p);
	assert_null(fake_pg_first()->text[U_SECONDARY_MINUTES].p);
	assert_null(fake_pg_first()->text[U_SECONDARY_RESETS].p);
	kept();
	say(&w, primary(20));
	assert_int_equal(w.a[0]->health.used_percent, 30);
	assert_int_equal(fake_pg_waiting(), 0);
	ph_usage_flush(w.a[0]);
	assert_param(U_PRIMARY, "20.00");
	assert_param(U_SECONDARY, "30.00");
	kept();
	world_close(&w);
}

/* At most once in 5 s, only what has changed, and the last word is not lost. */
static void seldom(void **state)
{
	struct world w;
	uint64_t due;

	(void)state;
	world_open(&w, 1);
	assert_int_equal(ph_usage_due(w.a[0]), 0);
	say(&w, primary(10));
	say(&w, primary(11)); /* one call at a time */
	assert_int_equal(fake_pg_waiting(), 1);
	kept();
	say(&w, primary(12));
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(w.a[0]->health.used_percent, 12);
	due = ph_usage_due(w.a[0]);
	assert_in_range(due - ph_loop_now_ms(w.loop), 4000, 5000);
	run_for(&w, due - ph_loop_now_ms(w.loop) + 100);
	assert_param(U_PRIMARY, "12.00");
	assert_in_range(strtoull(fake_pg_first()->text[U_AGE_MS].p, NULL, 10), 4000, 20000);
	kept();
	assert_int_equal(ph_usage_due(w.a[0]), 0);
	/* The database is away: when its time has come, once more. */
	say(&w, primary(13));
	ph_usage_flush(w.a[0]);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_in_range(ph_usage_due(w.a[0]), ph_loop_now_ms(w.loop) + 1, ph_loop_now_ms(w.loop) + 5000);
	world_close(&w);
}

static void unchanged(void **state)
{
	struct world w;
	struct ph_usage u = both(10, 20);

	(void)state;
	world_open(&w, 1);
	say(&w, u);
	kept();
	say(&w, u);
	assert_int_equal(ph_usage_due(w.a[0]), 0);
	assert_int_equal(fake_pg_waiting(), 0);
	world_close(&w);
}

/* A window that has ended exhausts the account until its reset, as a finding; it is written at once. */
static void a_window_ends(void **state)
{
	struct world w;
	char resets[32];
	struct ph_usage u = both(50, 60), e = both(100, 60);

	(void)state;
	world_open(&w, 1);
	say(&w, u);
	kept();
	say(&w, e);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_EXHAUSTED);
	assert_in_range(left_ms(&w, 0), (HOUR - 60) * 1000, HOUR * 1000);
	assert_int_equal(fake_pg_waiting(), 2);
	assert_param(P_STATE, "exhausted");
	assert_param(P_REASON, "primary_window");
	snprintf(resets, sizeof resets, "%llu", (unsigned long long)e.window[0].resets_s);
	assert_param(P_UNTIL_S, resets);
	answer("done", "exhausted", "3600000", "2", "0");
	assert_param(U_PRIMARY, "100.00");
	answer("kept", "exhausted", "3600000", "2", "0");
	say(&w, e); /* nothing new */
	assert_int_equal(fake_pg_waiting(), 0);
	world_close(&w);
}

static void which_window_counts(void **state)
{
	struct world w;
	struct ph_usage u = both(50, 100);

	(void)state;
	world_open(&w, 1);
	u.credits_known = u.has_credits = true;
	say(&w, u);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE); /* credits go on */
	assert_true(w.a[0]->health.nearly_exhausted);
	assert_param(U_CREDITS, "1");
	kept();
	u.window[PH_USAGE_PRIMARY].used_percent = 100;
	u.window[PH_USAGE_PRIMARY].resets_s = 1000; /* an hour that is long over */
	say(&w, u);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	u.has_credits = false;
	say(&w, u);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_EXHAUSTED);
	assert_param(P_REASON, "secondary_window");
	assert_in_range(left_ms(&w, 0), (2 * HOUR - 60) * 1000, 2 * HOUR * 1000);
	world_close(&w);
}

/* Numbers that no upstream should say. */
static void strange_numbers(void **state)
{
	struct world w;
	struct ph_usage u = both(__builtin_nan(""), -5);

	(void)state;
	world_open(&w, 1);
	say(&w, u);
	assert_int_equal(w.a[0]->health.used_percent, 0);
	u = primary(1e300);
	u.window[PH_USAGE_PRIMARY].resets_s = UINT64_MAX;
	say(&w, u);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_EXHAUSTED);
	assert_int_equal(w.a[0]->health.used_percent, 255);
	assert_in_range(left_ms(&w, 0), UINT64_C(365) * 86400000, UINT64_C(366) * 86400000);
	world_close(&w);
}

/* Evidence that an exhausted account is not: asked at once, lifted by the answer alone. */
static void lifting(void **state)
{
	struct world w;
	struct ph_usage u = primary(10);
	struct ph_account_finding f = {
		.state = PH_ACCOUNT_EXHAUSTED, .after_ms = 600000, .reason = "usage_limit_reached"};

	(void)state;
	world_open(&w, 1);
	say(&w, u);
	kept();
	ph_account_found(w.r, w.a[0], &f);
	say(&w, u); /* from the head of the very answer, a moment before: nothing of it lifts */
	assert_int_equal(fake_pg_waiting(), 1);
	answer("done", "exhausted", "600000", "2", "0");
	run_for(&w, 20);
	say(&w, u); /* what was said before, but later than the block */
	assert_int_equal(fake_pg_waiting(), 1);
	assert_param(U_VERSION, "2");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_EXHAUSTED);
	answer("kept", "exhausted", "600000", "2", "0");
	say(&w, u); /* once at once, then as seldom as ever */
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_not_equal(ph_usage_due(w.a[0]), 0);
	ph_usage_flush(w.a[0]);
	answer("lifted", "active", "0", "3", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	/* Newer than what the evidence could know: another node's block came in between. */
	ph_account_found(w.r, w.a[0], &f);
	answer("done", "exhausted", "600000", "4", "0");
	run_for(&w, 20);
	say(&w, u);
	answer("kept", "reauth", "0", "5", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_REAUTH);
	world_close(&w);
}

static void not_over_an_own_finding(void **state)
{
	struct world w;
	struct ph_account_finding f = {
		.state = PH_ACCOUNT_EXHAUSTED, .after_ms = 600000, .reason = "usage_limit_reached"};

	(void)state;
	world_open(&w, 1);
	ph_account_found(w.r, w.a[0], &f);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	say(&w, primary(10));
	kept(); /* of a row that does not know the block yet */
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_EXHAUSTED);
	world_close(&w);
}

static void nearly_exhausted_until_the_reset(void **state)
{
	struct world w;
	struct ph_usage u = primary(96);

	(void)state;
	world_open(&w, 1);
	u.window[PH_USAGE_PRIMARY].resets_s = ph_clock_unix_ms() / 1000 + 2;
	say(&w, u);
	kept();
	assert_true(w.a[0]->health.nearly_exhausted);
	run_for(&w, 2500);
	assert_false(w.a[0]->health.nearly_exhausted);
	assert_int_equal(w.a[0]->health.used_percent, 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_at_once_and_is_written),
		cmocka_unit_test(parts),
		cmocka_unit_test(seldom),
		cmocka_unit_test(unchanged),
		cmocka_unit_test(a_window_ends),
		cmocka_unit_test(which_window_counts),
		cmocka_unit_test(strange_numbers),
		cmocka_unit_test(lifting),
		cmocka_unit_test(not_over_an_own_finding),
		cmocka_unit_test(nearly_exhausted_until_the_reset),
	};

	return cmocka_run_group_tests_name("account.usage", tests, NULL, NULL);
}
