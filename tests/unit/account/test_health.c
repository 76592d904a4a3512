/* SPDX-License-Identifier: Apache-2.0 */
/* What a node finds out, in every order in which the database, other nodes and time can answer. */
#include "account_test.h"

static struct ph_account_finding span(enum ph_account_state state, uint64_t ms)
{
	return (struct ph_account_finding){
		.state = state, .after_ms = ms, .reason = "signal", .evidence = PH_STR("said")};
}

static struct ph_account_finding timeless(void)
{
	return (struct ph_account_finding){.state = PH_ACCOUNT_COOLING,
		.floor_ms = 40000,
		.most_ms = 100000,
		.reason = "signal",
		.evidence = PH_STR("said")};
}

static void found(struct world *w, struct ph_account_finding f)
{
	ph_account_found(w->r, w->a[0], &f);
}

static void assert_blocked(const struct world *w, enum ph_account_state state, uint64_t ms)
{
	assert_int_equal(w->a[0]->state, state);
	assert_in_range(left_ms(w, 0), ms - ms / 10, ms);
}

/* A reload brings this row for account 1. */
static void reload(
	struct world *w, const char *state, const char *health, const char *remaining, const char *version)
{
	const char *text[PH_ACCOUNT_COLUMNS] = {"1", "name", "stateless", "http://x", "", "", "1", "0", "",
		state, "", health, remaining, version, "0", "0", "0"};
	struct ph_str c[PH_ACCOUNT_COLUMNS];

	for (int i = 0; i < PH_ACCOUNT_COLUMNS; i++)
		c[i] = ph_str_c(text[i]);
	fake_pg_rows(c, 1, PH_ACCOUNT_COLUMNS);
	assert_int_equal(w->a[0]->id, 1);
}

static void on_reload(void *arg, int status)
{
	(void)arg;
	(void)status;
}

static void holds_at_once_and_is_written(void **state)
{
	struct world w;
	struct ph_account_finding f = span(PH_ACCOUNT_EXHAUSTED, 60000);

	(void)state;
	world_open(&w, 1);
	w.a[0]->health.version = 5;
	f.evidence = PH_STR("Bearer abcdefghijklmnop\nsaid \xff no");
	found(&w, f);
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 60000);
	assert_false(ph_account_usable(w.a[0]));
	assert_int_equal(fake_pg_waiting(), 1);
	assert_param(P_ACCOUNT, "1");
	assert_param(P_VERSION, "5");
	assert_param(P_STATE, "exhausted");
	assert_param(P_UNTIL_S, "0");
	assert_param(P_AFTER_MS, "60000");
	assert_param(P_STRIKE, "0");
	assert_param(P_REASON, "signal");
	assert_param(P_EVIDENCE, "Bearer *** said \xef\xbf\xbd no"); /* as a column takes it */
	assert_param(P_NODE, "node-1");
	answer("done", "exhausted", "58000", "6", "0");
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 58000); /* the database's clock counts */
	assert_int_equal(w.a[0]->health.version, 6);
	assert_int_equal(fake_pg_waiting(), 0);
	world_close(&w);
}

static void the_stronger_stays(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	found(&w, span(PH_ACCOUNT_COOLING, 60000));
	answer("done", "cooling", "60000", "1", "0");
	found(&w, span(PH_ACCOUNT_COOLING, 5000));
	found(&w, span(PH_ACCOUNT_COOLING, 60000));
	assert_int_equal(fake_pg_waiting(), 0); /* nothing that another node need hear */
	found(&w, span(PH_ACCOUNT_COOLING, 90000));
	assert_blocked(&w, PH_ACCOUNT_COOLING, 90000);
	answer("done", "cooling", "90000", "2", "0");
	found(&w, span(PH_ACCOUNT_EXHAUSTED, 1000));
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 90000); /* the graver state, the later end */
	answer("done", "exhausted", "90000", "3", "0");
	found(&w, span(PH_ACCOUNT_REAUTH, 0));
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_REAUTH);
	assert_int_equal(w.a[0]->health.until_ms, 0);
	answer("done", "reauth", "0", "4", "0");
	found(&w, span(PH_ACCOUNT_EXHAUSTED, 999999));
	assert_int_equal(fake_pg_waiting(), 0);
	found(&w, span(PH_ACCOUNT_DISABLED, 0));
	answer("done", "disabled", "0", "5", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_DISABLED);
	world_close(&w);
}

/* Two findings while one is being written: the second, if it adds something, goes out after the first. */
static void one_at_a_time(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	found(&w, span(PH_ACCOUNT_COOLING, 10000));
	found(&w, span(PH_ACCOUNT_COOLING, 20000));
	found(&w, span(PH_ACCOUNT_COOLING, 30000));
	assert_int_equal(fake_pg_waiting(), 1);
	answer("done", "cooling", "10000", "1", "0");
	assert_blocked(&w, PH_ACCOUNT_COOLING, 30000);
	assert_int_equal(fake_pg_waiting(), 1);
	assert_param(P_VERSION, "1");
	assert_param(P_AFTER_MS, "30000");
	answer("done", "cooling", "30000", "2", "0");
	assert_int_equal(fake_pg_waiting(), 0);
	world_close(&w);
}

/* Another node was first. */
static void losing(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	/* and its block is the longer one: */
	found(&w, timeless());
	assert_param(P_STRIKE, "1");
	answer("lost", "exhausted", "70000", "3", "2");
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 70000);
	assert_int_equal(w.a[0]->health.strikes, 2);
	assert_int_equal(fake_pg_waiting(), 0);
	/* the shorter one: mine is decided again, on what stands, and is no second strike */
	found(&w, span(PH_ACCOUNT_EXHAUSTED, 100000));
	answer("lost", "exhausted", "80000", "4", "3");
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 100000);
	assert_param(P_VERSION, "4");
	assert_param(P_STRIKE, "0");
	answer("done", "exhausted", "100000", "5", "3");
	/* cleared: mine speaks of what was before */
	found(&w, span(PH_ACCOUNT_DISABLED, 0));
	answer("cleared", "active", "0", "6", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	assert_int_equal(w.a[0]->health.version, 6);
	/* ended by itself meanwhile: mine still says something */
	found(&w, timeless());
	answer("lost", "active", "0", "7", "1");
	assert_blocked(&w, PH_ACCOUNT_COOLING, 40000);
	assert_param(P_VERSION, "7");
	assert_param(P_STRIKE, "0");
	answer("done", "cooling", "40000", "8", "1");
	/* and the account is gone */
	found(&w, span(PH_ACCOUNT_DISABLED, 0));
	fake_pg_rows(NULL, 0, PH_HEALTH_COLUMNS);
	assert_int_equal(fake_pg_waiting(), 0);
	world_close(&w);
}

static void strikes(void **state)
{
	struct world w;
	struct ph_account_finding f = timeless();

	(void)state;
	world_open(&w, 1);
	found(&w, f);
	assert_blocked(&w, PH_ACCOUNT_COOLING, 40000);
	assert_int_equal(w.a[0]->health.strikes, 1);
	assert_param(P_STRIKE, "1");
	assert_param(P_FLOOR_MS, "40000");
	assert_param(P_MOST_MS, "100000");
	answer("done", "cooling", "40000", "1", "1");
	ph_account_worked(w.r, w.a[0]); /* a turn that ran beside: the block says more */
	found(&w, f);                   /* likewise */
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(w.a[0]->health.strikes, 1);
	for (int i = 2; i < 5; i++) {
		w.a[0]->health.state = w.a[0]->state = PH_ACCOUNT_ACTIVE; /* its time has come */
		w.a[0]->health.until_ms = 0;
		found(&w, f);
		assert_int_equal(w.a[0]->health.strikes, i);
		assert_blocked(&w, PH_ACCOUNT_COOLING, i == 2 ? 80000 : 100000);
		assert_param(P_STRIKE, "1");
		answer("done", "cooling", "100000", "9", i == 2 ? "2" : i == 3 ? "3" : "4");
	}
	/* An answer that works ends them, once. */
	w.a[0]->health.state = w.a[0]->state = PH_ACCOUNT_ACTIVE;
	w.a[0]->health.until_ms = 0;
	ph_account_worked(w.r, w.a[0]);
	ph_account_worked(w.r, w.a[0]);
	assert_int_equal(fake_pg_waiting(), 1);
	assert_param(P_ACCOUNT, "1");
	assert_param(P_VERSION, "9");
	fake_pg_rows(NULL, 0, 1);
	assert_int_equal(w.a[0]->health.strikes, 0);
	/* An attempt that began before the block, and failed after its end, is of the same strike. */
	f.version = 8;
	found(&w, f);
	assert_param(P_STRIKE, "0");
	assert_blocked(&w, PH_ACCOUNT_COOLING, 40000);
	world_close(&w);
}

/* A refusal of a secret that was replaced since the attempt began. */
static void of_an_older_secret(void **state)
{
	struct world w;
	struct ph_account_finding f = span(PH_ACCOUNT_DISABLED, 0);

	(void)state;
	world_open(&w, 1);
	w.a[0]->health.version = 5;
	f.version = 4;
	found(&w, f);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	assert_int_equal(fake_pg_waiting(), 0);
	f.version = 5;
	found(&w, f);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_DISABLED);
	world_close(&w);
}

static void faults_in_a_row(void **state)
{
	struct world w;
	const uint64_t ms[] = {30000, 60000, 120000, 240000, 300000, 300000};

	(void)state;
	world_open(&w, 1);
	ph_account_fault(w.r, w.a[0], "server_error", PH_STR("500"));
	ph_account_fault(w.r, w.a[0], "server_error", PH_STR("500"));
	ph_account_worked(w.r, w.a[0]); /* not in a row */
	for (size_t i = 0; i < PH_COUNT(ms) + 2; i++) {
		ph_account_fault(w.r, w.a[0], "server_error", PH_STR("500"));
		if (i < 2) {
			assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
			assert_int_equal(fake_pg_waiting(), 0);
			continue;
		}
		assert_blocked(&w, PH_ACCOUNT_COOLING, ms[i - 2]);
		assert_param(P_REASON, "server_error");
		assert_param(P_STRIKE, "0");
		ph_account_fault(w.r, w.a[0], "server_error", PH_STR("500")); /* of a turn that ran beside */
		assert_int_equal(fake_pg_waiting(), 1);
		answer("done", "active", "0", "1", "0"); /* and its time has come */
	}
	world_close(&w);
}

static void wakes(void *arg)
{
	++*(int *)arg;
}

/* The node's own timer ends a block: no read is needed, and whoever waits hears of it. */
static void time_ends_a_block(void **state)
{
	struct world w;
	struct ph_account_wait wait;
	int woken = 0;

	(void)state;
	world_open(&w, 2);
	ph_account_wait_init(&wait, wakes, &woken);
	ph_account_wait(w.r, &wait, NULL, 0);
	found(&w, span(PH_ACCOUNT_COOLING, 1)); /* at least a second */
	assert_blocked(&w, PH_ACCOUNT_COOLING, 1000);
	answer("done", "cooling", "800", "1", "0");
	w.a[1]->state = w.a[1]->health.state = PH_ACCOUNT_EXHAUSTED;
	w.a[1]->health.until_ms = ph_loop_now_ms(w.loop) + 2500;
	run_for(&w, 100);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_COOLING);
	assert_int_equal(woken, 0);
	run_for(&w, 900);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	assert_int_equal(w.a[0]->health.version, 1);
	assert_int_equal(w.a[1]->state, PH_ACCOUNT_EXHAUSTED);
	assert_int_equal(woken, 1);
	run_for(&w, 1700);
	assert_int_equal(w.a[1]->state, PH_ACCOUNT_ACTIVE);
	world_close(&w);
}

/* The database is away: the finding holds, is tried again, and a reload in between does not lift it. */
static void database_away(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	found(&w, timeless());
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_blocked(&w, PH_ACCOUNT_COOLING, 40000);
	found(&w, span(PH_ACCOUNT_EXHAUSTED, 60000)); /* takes its place, and its strike */
	assert_int_equal(fake_pg_waiting(), 0);
	run_for(&w, 600);
	assert_int_equal(fake_pg_waiting(), 1);
	fake_pg_fails(PH_E_DATABASE_ERROR);
	ph_accounts_reload(w.r, on_reload, NULL);
	reload(&w, "active", "active", "0", "3"); /* resumed meanwhile, or lifted */
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 60000 - 600);
	run_for(&w, 1000);
	assert_param(P_VERSION, "0"); /* it still speaks of what it saw then, and will lose */
	assert_param(P_STATE, "exhausted");
	assert_param(P_STRIKE, "1");
	assert_in_range(strtoull(fake_pg_first()->text[P_AGE_MS].p, NULL, 10), 600, 5000);
	answer("cleared", "active", "0", "3", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	world_close(&w);
}

/* What could not be written before its time has passed is not written. */
static void too_late(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	found(&w, span(PH_ACCOUNT_COOLING, 2000));
	for (int i = 0; i < 2; i++) {
		fake_pg_fails(PH_E_DATABASE_AWAY);
		run_for(&w, 600);
		assert_int_equal(fake_pg_waiting(), 1);
	}
	fake_pg_fails(PH_E_DATABASE_AWAY);
	run_for(&w, 1500);
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	ph_accounts_reload(w.r, on_reload, NULL);
	reload(&w, "active", "active", "0", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	world_close(&w);
}

/* A reload that began before an answer may have read before it. */
static void an_older_read(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	w.a[0]->health.version = 5;
	found(&w, span(PH_ACCOUNT_COOLING, 60000));
	ph_accounts_reload(w.r, on_reload, NULL);
	answer("done", "cooling", "60000", "6", "0");
	reload(&w, "active", "active", "0", "5");
	assert_blocked(&w, PH_ACCOUNT_COOLING, 60000);
	assert_int_equal(w.a[0]->health.version, 6);
	/* One that began after it is the truth, also where the database was put back to an older day. */
	ph_accounts_reload(w.r, on_reload, NULL);
	reload(&w, "active", "active", "0", "2");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	assert_int_equal(w.a[0]->health.version, 2);
	/* Another node's block, and its lifting. */
	ph_accounts_reload(w.r, on_reload, NULL);
	reload(&w, "active", "exhausted", "9000", "3");
	assert_blocked(&w, PH_ACCOUNT_EXHAUSTED, 9000);
	ph_accounts_reload(w.r, on_reload, NULL);
	reload(&w, "active", "active", "0", "4");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_ACTIVE);
	assert_int_equal(w.a[0]->health.until_ms, 0);
	world_close(&w);
}

/* Findings about an account that was paused are written; the operator's word stands. */
static void while_paused(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	w.a[0]->state = PH_ACCOUNT_PAUSED;
	found(&w, span(PH_ACCOUNT_REAUTH, 0));
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_PAUSED);
	assert_param(P_STATE, "reauth");
	answer("done", "reauth", "0", "1", "0");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_PAUSED);
	ph_accounts_reload(w.r, on_reload, NULL);
	reload(&w, "active", "reauth", "0", "1");
	assert_int_equal(w.a[0]->state, PH_ACCOUNT_REAUTH);
	world_close(&w);
}

/* Turns outlive their account; what they find then is nobody's. */
static void gone(void **state)
{
	struct world w;
	struct ph_account *a;
	struct ph_usage u = {.window = {{.known = true, .used_percent = 100}}};

	(void)state;
	world_open(&w, 1);
	a = ph_account_take(w.a[0]);
	ph_accounts_reload(w.r, on_reload, NULL);
	found(&w, span(PH_ACCOUNT_EXHAUSTED, 60000));
	ph_account_usage(w.r, a, &u);
	assert_int_equal(fake_pg_waiting(), 3);
	fake_pg_rows(NULL, 0, PH_ACCOUNT_COLUMNS); /* removed: its calls are abandoned */
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(a->state, PH_ACCOUNT_GONE);
	found(&w, span(PH_ACCOUNT_DISABLED, 0));
	ph_account_fault(w.r, a, "server_error", PH_STR_NONE);
	ph_account_usage(w.r, a, &u);
	a->health.strikes = 1;
	ph_account_worked(w.r, a);
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(a->state, PH_ACCOUNT_GONE);
	ph_account_release(w.r, a);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_at_once_and_is_written),
		cmocka_unit_test(the_stronger_stays),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(losing),
		cmocka_unit_test(strikes),
		cmocka_unit_test(of_an_older_secret),
		cmocka_unit_test(faults_in_a_row),
		cmocka_unit_test(time_ends_a_block),
		cmocka_unit_test(database_away),
		cmocka_unit_test(too_late),
		cmocka_unit_test(an_older_read),
		cmocka_unit_test(while_paused),
		cmocka_unit_test(gone),
	};

	return cmocka_run_group_tests_name("account.health", tests, NULL, NULL);
}
