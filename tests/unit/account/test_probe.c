/* SPDX-License-Identifier: Apache-2.0 */
/* After a block one turn goes first; who waits, for what, and that nobody waits for ever. */
#include "account_test.h"

static const struct ph_choice any = {.model = PH_STR_INIT("m")};

static enum ph_choice_verdict verdict(struct world *w, struct ph_account **ret)
{
	struct ph_chosen chosen;
	enum ph_choice_verdict v = ph_account_choose(w->r, &any, &chosen);

	if (ret)
		*ret = chosen.account;
	return v;
}

/* A row that the database tells; the block of version 3 lasts a moment. */
static void learn(struct world *w, enum ph_account_state state, uint64_t ms, int64_t version)
{
	const struct ph_health_row row = {state, ms, version, 0};

	ph_health_learn(w->r, w->a[0], &row);
}

static void block_and_wait(struct world *w, size_t accounts)
{
	world_open(w, accounts);
	learn(w, PH_ACCOUNT_COOLING, 20, 3);
	assert_int_equal(verdict(w, NULL), accounts > 1 ? PH_CHOSEN : PH_CHOICE_COOLING);
	run_for(w, 60);
	assert_int_equal(w->a[0]->state, PH_ACCOUNT_ACTIVE);
	assert_int_equal(w->a[0]->health.probe.state, PH_PROBE_DUE);
}

static void say(const char *result, const char *wait_ms)
{
	const struct ph_str cells[] = {ph_str_c(result), ph_str_c(wait_ms)};

	fake_pg_rows(cells, 1, 2);
}

/* The first turn that wants it asks, and goes. */
static void ours(struct world *w)
{
	assert_null(ph_account_take(w->a[0]));
	assert_int_equal(fake_pg_waiting(), 1);
	ph_assert_str(fake_pg_first()->text[1], PH_STR("3"));
	assert_int_equal(verdict(w, NULL), PH_CHOICE_BUSY);
	assert_null(ph_account_take(w->a[0]));
	assert_int_equal(fake_pg_waiting(), 1);
	say("ours", "10000");
	assert_int_equal(verdict(w, NULL), PH_CHOSEN);
	assert_non_null(ph_account_take(w->a[0]));
	assert_int_equal(verdict(w, NULL), PH_CHOICE_BUSY);
}

static void one_goes_first(void **state)
{
	struct world w;

	(void)state;
	block_and_wait(&w, 1);
	ours(&w);
	ph_account_answered(w.r, w.a[0], 2); /* of an attempt that began before */
	assert_int_equal(verdict(&w, NULL), PH_CHOICE_BUSY);
	ph_account_answered(w.r, w.a[0], 3);
	assert_int_equal(verdict(&w, NULL), PH_CHOSEN);
	ph_account_answered(w.r, w.a[0], 3); /* told once */
	assert_int_equal(fake_pg_waiting(), 1);
	answer("done", "active", "0", "4", "0");
	assert_int_equal(w.a[0]->health.version, 4);
	ph_account_release(w.r, w.a[0]);
	assert_int_equal(fake_pg_waiting(), 0);
	world_close(&w);
}

static void it_meets_the_limit_again(void **state)
{
	struct world w;
	const struct ph_account_finding f = {
		.state = PH_ACCOUNT_COOLING, .after_ms = 60000, .reason = "limit", .version = 3};

	(void)state;
	block_and_wait(&w, 1);
	ours(&w);
	ph_account_found(w.r, w.a[0], &f);
	assert_int_equal(verdict(&w, NULL), PH_CHOICE_COOLING);
	assert_int_equal(w.a[0]->health.probe.state, PH_PROBE_NONE);
	ph_account_release(w.r, w.a[0]);
	assert_int_equal(fake_pg_waiting(), 1); /* the finding alone */
	answer("done", "cooling", "60000", "4", "0");
	world_close(&w);
}

/* A turn that ran before the block may end meanwhile; the end of the probe itself lets the others go. */
static void it_ends_without_a_verdict(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	assert_non_null(ph_account_take(w.a[0]));
	learn(&w, PH_ACCOUNT_COOLING, 20, 3);
	run_for(&w, 60);
	ours(&w);
	ph_account_release(w.r, w.a[0]);
	assert_int_equal(verdict(&w, NULL), PH_CHOICE_BUSY);
	ph_account_release(w.r, w.a[0]);
	assert_int_equal(verdict(&w, NULL), PH_CHOSEN);
	answer("done", "active", "0", "4", "0");
	world_close(&w);
}

static void another_node_goes(void **state)
{
	struct world w;
	struct ph_account *other;

	(void)state;
	block_and_wait(&w, 2);
	assert_null(ph_account_take(w.a[0]));
	say("held", "120");
	assert_int_equal(verdict(&w, &other), PH_CHOSEN);
	assert_int_equal(other->id, 2);
	w.a[1]->state = PH_ACCOUNT_PAUSED;
	assert_int_equal(verdict(&w, NULL), PH_CHOICE_BUSY);
	learn(&w, PH_ACCOUNT_ACTIVE, 0, 3); /* read again: nothing new */
	assert_int_equal(verdict(&w, NULL), PH_CHOICE_BUSY);
	run_for(&w, 250); /* it hung */
	assert_int_equal(verdict(&w, NULL), PH_CHOSEN);
	world_close(&w);

	block_and_wait(&w, 1);
	assert_null(ph_account_take(w.a[0]));
	say("held", "9000");
	assert_int_equal(verdict(&w, NULL), PH_CHOICE_BUSY);
	learn(&w, PH_ACCOUNT_ACTIVE, 0, 4); /* it worked there, or an operator spoke */
	assert_int_equal(verdict(&w, NULL), PH_CHOSEN);
	assert_non_null(ph_account_take(w.a[0]));
	ph_account_release(w.r, w.a[0]);
	world_close(&w);
}

static void nobody_waits_without_a_database(void **state)
{
	struct world w;

	(void)state;
	block_and_wait(&w, 1);
	assert_null(ph_account_take(w.a[0]));
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_non_null(ph_account_take(w.a[0]));
	assert_int_equal(verdict(&w, NULL), PH_CHOSEN);
	ph_account_release(w.r, w.a[0]);
	world_close(&w);

	block_and_wait(&w, 1);
	assert_null(ph_account_take(w.a[0]));
	world_close(&w); /* the question is dropped */
}

/* The end of a quota is known, and needs no trial. */
static void other_blocks_end_at_once(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	learn(&w, PH_ACCOUNT_EXHAUSTED, 20, 3);
	run_for(&w, 60);
	assert_non_null(ph_account_take(w.a[0]));
	ph_account_release(w.r, w.a[0]);
	learn(&w, PH_ACCOUNT_COOLING, 60000, 4);
	learn(&w, PH_ACCOUNT_ACTIVE, 0, 5); /* lifted */
	assert_non_null(ph_account_take(w.a[0]));
	ph_account_release(w.r, w.a[0]);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_goes_first),
		cmocka_unit_test(it_meets_the_limit_again),
		cmocka_unit_test(it_ends_without_a_verdict),
		cmocka_unit_test(another_node_goes),
		cmocka_unit_test(nobody_waits_without_a_database),
		cmocka_unit_test(other_blocks_end_at_once),
	};

	return cmocka_run_group_tests_name("account.probe", tests, NULL, NULL);
}
