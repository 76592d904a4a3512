/* SPDX-License-Identifier: Apache-2.0 */
/* The block of one account: what it asks for, gives back, loses, and never does. The database says what the
 * test tells it to. */
#include "account_test.h"

#define LIFE "7"

/* Parameters of lease_slots(). */
enum {
	S_ACCOUNT,
	S_NODE,
	S_VERSION,
	S_LIFE,
	S_RUNNING,
	S_NEEDED,
	S_WANTED
};

static struct world w;
static struct ph_member *member;

static void on_registered(void *arg, const struct ph_err *err)
{
	(void)arg;
	assert_null(err);
}

static bool is_next(const char *function)
{
	return fake_pg_waiting() && strstr(fake_pg_first()->sql, function);
}

static void beaten(const char *life, const char *account, const char *slots, const char *version)
{
	const struct ph_str cells[PH_BEAT_COLUMNS] = {
		ph_str_c(life), PH_STR("0"), ph_str_c(account), ph_str_c(slots), ph_str_c(version)};

	assert_true(is_next("heartbeat"));
	fake_pg_rows(cells, 1, PH_BEAT_COLUMNS);
}

/* Two accounts, the first one with a limit of 4; the node is registered and was heard. */
static int setup(void **state)
{
	const struct ph_str life[] = {PH_STR_INIT(LIFE)};

	(void)state;
	world_open(&w, 2);
	w.a[0]->max_streams = 4;
	w.a[1]->state = w.a[1]->health.state = PH_ACCOUNT_PAUSED;
	member = ph_member_new(w.loop, NULL, "n1", 15000);
	ph_member_join(member, w.r);
	ph_member_register(member, on_registered, NULL);
	assert_true(is_next("register_node"));
	fake_pg_rows(life, 1, 1);
	run_for(&w, 20);
	beaten(LIFE, "", "", "");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (fake_pg_waiting() && is_next("ask_slots"))
		fake_pg_fails(PH_E_CANCELLED);
	member = ph_member_free(member);
	for (size_t i = 0; i < 2; i++)
		while (w.a[i]->running)
			ph_account_release(w.r, w.a[i]);
	world_close(&w);
	return 0;
}

/* The oldest call is about slots, and says this. */
static void assert_call(const char *running, const char *needed, const char *wanted)
{
	assert_true(is_next("lease_slots"));
	assert_param(S_ACCOUNT, "1");
	assert_param(S_RUNNING, running);
	assert_param(S_NEEDED, needed);
	assert_param(S_WANTED, wanted);
}

static void answered(const char *result, const char *slots, const char *version, const char *others,
	const char *life, const char *retry_ms)
{
	const struct ph_str cells[PH_SLOTS_COLUMNS] = {ph_str_c(result), ph_str_c(slots), ph_str_c(version),
		PH_STR("4"), ph_str_c(others), ph_str_c(life), ph_str_c(retry_ms)};

	assert_true(is_next("lease_slots"));
	fake_pg_rows(cells, 1, PH_SLOTS_COLUMNS);
}

static void granted(const char *slots, const char *version)
{
	answered("ok", slots, version, "0", LIFE, "");
}

/* ---- turns ---- */

struct turn {
	struct ph_account_wait wait;
	struct ph_choice choice;
	struct ph_account *account; /* that it runs on */
	int verdict, calls;
};

static void try_turn(struct turn *t)
{
	struct ph_chosen chosen;

	t->choice.queued = ph_account_waits(&t->wait);
	t->verdict = (int)ph_account_choose(w.r, &t->choice, &chosen);
	if (t->verdict == PH_CHOSEN)
		t->account = ph_account_take(chosen.account);
	if (t->account)
		ph_account_wait_stop(&t->wait);
	else if (t->verdict == PH_CHOSEN || t->verdict == PH_CHOICE_BUSY)
		ph_account_wait(w.r, &t->wait, &t->choice, chosen.account ? chosen.account->id : 0);
	else
		ph_account_wait_stop(&t->wait);
}

static void on_woken(void *arg)
{
	struct turn *t = arg;

	t->calls++;
	try_turn(t);
}

static void start(struct turn *t)
{
	*t = (struct turn){.choice = {.model = PH_STR("m")}};
	ph_account_wait_init(&t->wait, on_woken, t);
	try_turn(t);
}

static void end(struct turn *t)
{
	assert_non_null(t->account);
	ph_account_release(w.r, t->account);
	t->account = NULL;
	ph_loop_turn(w.loop);
}

static void turns(void)
{
	ph_loop_turn(w.loop);
}

/* ---- tests ---- */

static void a_block_is_used_without_a_round_trip(void **state)
{
	struct turn t[3];

	(void)state;
	w.a[0]->max_streams = 16; /* an eighth of it is taken besides */
	start(&t[0]);
	assert_null(t[0].account);
	assert_call("0", "1", "3");
	assert_param(S_VERSION, "0");
	assert_param(S_LIFE, LIFE);
	granted("3", "11");
	assert_null(t[0].account); /* later in this turn of the loop */
	turns();
	assert_non_null(t[0].account);
	start(&t[1]);
	start(&t[2]);
	assert_non_null(t[1].account);
	assert_non_null(t[2].account);
	end(&t[1]);
	start(&t[1]);
	assert_non_null(t[1].account);
	assert_int_equal(fake_pg_waiting(), 0);
}

static void accounts_without_a_limit_ask_for_nothing(void **state)
{
	struct turn t[2];

	(void)state;
	w.a[1]->state = w.a[1]->health.state = PH_ACCOUNT_ACTIVE;
	w.a[0]->state = w.a[0]->health.state = PH_ACCOUNT_PAUSED;
	start(&t[0]);
	start(&t[1]);
	assert_ptr_equal(t[1].account, w.a[1]);
	assert_int_equal(fake_pg_waiting(), 0);
	end(&t[0]);
	end(&t[1]);
	run_for(&w, 300);
	assert_int_equal(fake_pg_waiting(), 0);
}

/* Turns that come while the call is under way are asked for when it ends; all get what there is, in order. */
static void one_call_at_a_time(void **state)
{
	struct turn t[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		start(&t[i]);
	assert_int_equal(fake_pg_waiting(), 1);
	assert_call("0", "1", "1");
	granted("1", "11");
	assert_call("0", "3", "3");
	turns();
	assert_non_null(t[0].account);
	assert_null(t[1].account);
	granted("3", "12");
	turns();
	assert_non_null(t[1].account);
	assert_non_null(t[2].account);
	assert_int_equal(w.a[0]->running, 3);
}

static void what_is_idle_goes_back(void **state)
{
	struct turn t[3];
	uint64_t start_ms;

	(void)state;
	w.a[0]->max_streams = 16;
	start(&t[0]);
	granted("3", "11");
	turns();
	start_ms = ph_clock_ms();
	while (fake_pg_waiting() == 0 && ph_clock_ms() - start_ms < 5000)
		run_for(&w, 5);
	assert_call("1", "1", "1");
	assert_param(S_VERSION, "11");
	print_message("given back after %d ms\n", (int)(ph_clock_ms() - start_ms));
	assert_in_range(ph_clock_ms() - start_ms, 100, 2500);
	assert_int_equal(ph_lease_room(w.a[0]), 0); /* before it is told */
	granted("1", "12");
	end(&t[0]);
	run_for(&w, 300);
	assert_call("0", "0", "0");
	granted("0", "0");
	run_for(&w, 300);
	assert_int_equal(fake_pg_waiting(), 0);
}

/* What is needed again and again is kept. */
static void what_is_used_stays(void **state)
{
	struct turn t[2];

	(void)state;
	start(&t[0]);
	granted("1", "11");
	turns();
	for (int i = 0; i < 10; i++) {
		end(&t[0]);
		run_for(&w, 30);
		start(&t[0]);
		assert_non_null(t[0].account);
	}
	assert_int_equal(fake_pg_waiting(), 0);
}

static void a_starved_node_asks(void **state)
{
	struct turn t[2];

	(void)state;
	start(&t[0]);
	answered("ok", "0", "11", "4", LIFE, "15000");
	assert_true(is_next("ask_slots"));
	fake_pg_rows(NULL, 0, 0);
	turns();
	assert_int_equal(t[0].verdict, PH_CHOICE_BUSY); /* it may find another account */
	assert_true(ph_account_full(w.a[0]));
	start(&t[1]); /* waits, and does not ask again at once */
	assert_int_equal(t[1].verdict, PH_CHOICE_BUSY);
	assert_int_equal(fake_pg_waiting(), 0);
	run_for(&w, 100);
	assert_call("0", "2", "2");
	answered("ok", "0", "12", "4", LIFE, "15000");
	assert_true(is_next("ask_slots"));
	fake_pg_rows(NULL, 0, 0);
	/* Another node gave one back. */
	assert_true(ph_account_heard(w.r, PH_STR("slots_free 1")));
	assert_call("0", "2", "2");
	answered("ok", "1", "13", "3", LIFE, "15000");
	turns();
	assert_non_null(t[0].account);
	assert_null(t[1].account);
	ph_account_wait_stop(&t[1].wait);
}

/* The news came while a call was under way that had not seen it. */
static void news_during_a_call(void **state)
{
	struct turn t;

	(void)state;
	start(&t);
	assert_true(ph_account_heard(w.r, PH_STR("slots_free 1")));
	assert_int_equal(fake_pg_waiting(), 1);
	answered("ok", "0", "11", "4", LIFE, "15000");
	assert_true(is_next("ask_slots"));
	fake_pg_rows(NULL, 0, 0);
	assert_call("0", "1", "1");
	granted("1", "12");
	turns();
	assert_non_null(t.account);
}

/* Another node is starved: what is idle goes at once, then a slot with each turn that ends, though turns
 * wait. */
static void a_holder_yields(void **state)
{
	struct turn t[4];

	(void)state;
	for (int i = 0; i < 3; i++)
		start(&t[i]);
	granted("1", "11");
	granted("3", "12");
	turns();
	end(&t[2]);
	assert_true(ph_account_heard(w.r, PH_STR("slots_asked 1 another")));
	assert_call("2", "2", "2");
	answered("ok", "2", "13", "2", LIFE, "");
	start(&t[2]);
	assert_call("2", "3", "3");
	answered("ok", "2", "14", "2", LIFE, "15000");
	while (is_next("ask_slots"))
		fake_pg_rows(NULL, 0, 0);
	assert_true(ph_account_heard(w.r, PH_STR("slots_asked 1 another")));
	assert_int_equal(fake_pg_waiting(), 0); /* both run */
	end(&t[0]);
	assert_call("1", "2", "1"); /* given up, and still needed */
	answered("ok", "1", "15", "3", LIFE, "15000");
	while (is_next("ask_slots"))
		fake_pg_rows(NULL, 0, 0);
	turns();
	assert_null(t[2].account);
	ph_account_heard(w.r, PH_STR("slots_free 1")); /* its own, for the other one */
	assert_int_equal(fake_pg_waiting(), 0);
	run_for(&w, 100);
	assert_call("1", "2", "2");
	answered("ok", "2", "16", "2", LIFE, "");
	turns();
	assert_non_null(t[2].account);
	end(&t[1]); /* nobody asked since */
	start(&t[3]);
	assert_non_null(t[3].account);
}

static void ones_own_asking_is_not_heard(void **state)
{
	struct turn t;
	char own[80];

	(void)state;
	start(&t);
	granted("1", "11");
	turns();
	end(&t);
	for (int i = 0; i < 5; i++) {
		char hex[33];

		ph_hex(hex, (const uint8_t *)ph_member_id(member), 16);
		snprintf(own, sizeof own, "slots_asked 1 %.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
			hex + 16, hex + 20);
	}
	assert_true(ph_account_heard(w.r, ph_str_c(own)));
	assert_int_equal(fake_pg_waiting(), 0);
	assert_true(ph_account_heard(w.r, PH_STR("slots_asked 99 another")));
	assert_true(ph_account_heard(w.r, PH_STR("slots_free nonsense")));
	assert_false(ph_account_heard(w.r, PH_STR("accounts 12")));
	assert_false(ph_account_heard(w.r, PH_STR("")));
	assert_int_equal(fake_pg_waiting(), 0);
}

/* Past the time to which it is trusted a block is void, whatever timers ran: what runs is told, and nothing
 * is begun. */
static void a_block_ends(void **state)
{
	struct turn t[3];

	(void)state;
	start(&t[0]);
	start(&t[1]);
	granted("1", "11");
	granted("2", "12");
	turns();
	assert_in_range(w.a[0]->lease.valid_ms - ph_clock_boot_ms(), 13000, 14000);
	end(&t[1]);
	w.a[0]->lease.valid_ms = ph_clock_boot_ms();
	start(&t[1]);
	assert_null(t[1].account);
	assert_int_equal(w.a[0]->lease.excess, 1);
	assert_call("1", "2", "2");
	answered("ok", "1", "13", "3", LIFE, "15000"); /* it still runs, others have the rest */
	assert_int_equal(w.a[0]->lease.excess, 0);
	turns();
	assert_null(t[1].account);
	ph_account_wait_stop(&t[1].wait);
}

/* All nodes together hold more than the limit: no turn follows one that ends. */
static void excess_is_not_used_again(void **state)
{
	struct turn t[3];

	(void)state;
	start(&t[0]);
	start(&t[1]);
	granted("1", "11");
	granted("2", "12");
	turns();
	assert_non_null(t[1].account);
	start(&t[2]);
	assert_null(t[2].account);
	assert_call("2", "3", "3");
	answered("ok", "2", "13", "3", LIFE, "15000");
	while (is_next("ask_slots"))
		fake_pg_rows(NULL, 0, 0);
	end(&t[0]);
	assert_call("1", "2", "1");
	assert_null(t[2].account);
	answered("ok", "1", "14", "3", LIFE, "15000");
	turns();
	assert_null(t[2].account);
	ph_account_wait_stop(&t[2].wait);
}

/* Whatever becomes of a call, the row is not below the block. */
static void calls_that_are_lost(void **state)
{
	struct turn t[2];

	(void)state;
	start(&t[0]);
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(ph_lease_room(w.a[0]), 0);
	turns();
	assert_int_equal(t[0].verdict, PH_CHOICE_BUSY);
	run_for(&w, 20);
	beaten(LIFE, "1", "1", "11"); /* it came through, though nobody heard the answer */
	run_for(&w, 400);
	assert_call("0", "1", "1");
	assert_param(S_VERSION, "11");
	granted("1", "12");
	turns();
	assert_non_null(t[0].account);
	/* Given back, and the answer lost: it is told again, and not used meanwhile. */
	end(&t[0]);
	run_for(&w, 300);
	assert_call("0", "0", "0");
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(ph_lease_room(w.a[0]), 0);
	run_for(&w, 20);
	beaten(LIFE, "1", "1", "12");
	assert_call("0", "0", "0");
	granted("0", "0");
	run_for(&w, 400);
	assert_int_equal(fake_pg_waiting(), 0);
}

/* A call of ours came through late: its row is what we hold, as far as the block goes. */
static void a_stale_answer(void **state)
{
	struct turn t[2];

	(void)state;
	start(&t[0]);
	answered("stale", "2", "21", "0", LIFE, "");
	assert_int_equal(ph_lease_room(w.a[0]), 0);
	assert_call("0", "1", "1");
	assert_param(S_VERSION, "21");
	granted("1", "22");
	turns();
	assert_non_null(t[0].account);
}

/* The heartbeat renews what it names. What it does not name has lapsed, unless that is newer than the beat.
 */
static void heartbeats_renew(void **state)
{
	struct turn t;
	uint64_t before;

	(void)state;
	start(&t);
	granted("1", "11");
	turns();
	before = w.a[0]->lease.valid_ms;
	run_for(&w, 50);
	ph_member_beat(member);
	run_for(&w, 20);
	ph_assert_str(fake_pg_first()->text[2], PH_STR("{1}"));
	ph_assert_str(fake_pg_first()->text[3], PH_STR("{1}"));
	beaten(LIFE, "1", "1", "11");
	assert_in_range(w.a[0]->lease.valid_ms - before, 40, 5000);
	ph_member_beat(member);
	run_for(&w, 20);
	w.a[0]->lease.answered_ms = ph_clock_boot_ms() + 1;
	beaten(LIFE, "", "", "");
	assert_int_equal(w.a[0]->lease.slots, 1);
	w.a[0]->lease.answered_ms = 0;
	ph_member_beat(member);
	run_for(&w, 20);
	beaten(LIFE, "", "", "");
	assert_int_equal(w.a[0]->lease.slots, 0);
	assert_int_equal(w.a[0]->lease.excess, 1);
	assert_call("1", "1", "1");
	assert_param(S_VERSION, "0");
	granted("1", "12");
	assert_int_equal(w.a[0]->lease.excess, 0);
}

/* The server began another life: all is void at once, what runs is told, and the heartbeat says when all of
 * it is. */
static void another_life(void **state)
{
	struct turn t[2];

	(void)state;
	start(&t[0]);
	granted("1", "11");
	turns();
	start(&t[1]);
	answered("life", "0", "0", "0", "8", "");
	assert_int_equal(w.a[0]->lease.slots, 0);
	assert_call("1", "2", "2");
	assert_param(S_LIFE, "8");
	assert_param(S_VERSION, "0");
	ph_member_beat(member);
	assert_false(ph_leases_told(w.r));
	run_for(&w, 20);
	assert_call("1", "2", "2");
	answered("ok", "1", "12", "3", "8", "250");            /* only what runs: others have not told yet */
	ph_assert_str(fake_pg_first()->text[1], PH_STR(LIFE)); /* of the beat that was sent before */
	beaten("8", "1", "1", "12");
	while (is_next("ask_slots"))
		fake_pg_rows(NULL, 0, 0);
	run_for(&w, 30);
	if (is_next("ask_slots"))
		fake_pg_rows(NULL, 0, 0);
	assert_true(is_next("heartbeat"));
	ph_assert_str(fake_pg_first()->text[1], PH_STR("8"));
	beaten("8", "1", "1", "12");
	ph_account_wait_stop(&t[1].wait);
	while (fake_pg_waiting())
		fake_pg_fails(PH_E_CANCELLED);
}

/* An operator, or the sweep, forgot this node: it comes back as another one. */
static void forgotten(void **state)
{
	const struct ph_str life[] = {PH_STR_INIT("9")};
	struct turn t, other;
	char id[16];

	(void)state;
	start(&t);
	granted("1", "11");
	turns();
	start(&other);
	memcpy(id, ph_member_id(member), sizeof id);
	ph_member_beat(member);
	run_for(&w, 20);
	answered("unknown", "0", "0", "0", LIFE, "");
	assert_memory_not_equal(id, ph_member_id(member), sizeof id);
	assert_int_equal(w.a[0]->lease.slots, 0);
	assert_true(is_next("heartbeat")); /* of the former one */
	fake_pg_rows(NULL, 0, PH_BEAT_COLUMNS);
	assert_true(is_next("register_node"));
	fake_pg_rows(life, 1, 1);
	assert_call("1", "2", "2");
	assert_param(S_LIFE, "9");
	ph_account_wait_stop(&other.wait);
	granted("2", "12");
	assert_int_equal(w.a[0]->lease.slots, 2);
	while (fake_pg_waiting())
		fake_pg_fails(PH_E_CANCELLED);
}

/* Also those that a call brings which was under way: its row is gone. */
static void an_operator_takes_slots_back(void **state)
{
	struct turn t;

	(void)state;
	start(&t);
	assert_true(ph_account_heard(w.r, PH_STR("slots_void 1")));
	granted("1", "10");
	assert_int_equal(w.a[0]->lease.slots, 0);
	assert_param(S_VERSION, "0");
	granted("1", "11");
	turns();
	assert_non_null(t.account);
	assert_true(ph_account_heard(w.r, PH_STR("slots_void 1")));
	assert_call("1", "1", "1");
	assert_param(S_VERSION, "0");
	granted("1", "12");
}

static void limits_change(void **state)
{
	struct turn t[2];

	(void)state;
	w.a[0]->lease.limit = 4;
	start(&t[0]);
	start(&t[1]);
	granted("1", "11");
	granted("2", "12");
	turns();
	w.a[0]->max_streams = 1;
	ph_lease_look(w.a[0]);
	assert_call("2", "2", "2"); /* learns that it is above */
	granted("2", "13");
	w.a[0]->max_streams = 0;
	ph_lease_look(w.a[0]);
	assert_call("2", "0", "0");
	answered("none", "0", "0", "0", LIFE, "");
	assert_int_equal(w.a[0]->lease.slots, 0);
	w.a[0]->max_streams = 4; /* and what runs without a slot is told */
	ph_lease_look(w.a[0]);
	assert_int_equal(w.a[0]->lease.excess, 2);
	assert_call("2", "2", "2");
	granted("2", "14");
	assert_int_equal(w.a[0]->lease.excess, 0);
}

/* For two seconds a turn waits for the database; then it is told. */
static void the_database_is_away(void **state)
{
	struct turn t;
	uint64_t start_ms = ph_clock_ms();

	(void)state;
	start(&t);
	while (ph_account_waits(&t.wait) && ph_clock_ms() - start_ms < 20000) {
		while (fake_pg_waiting())
			fake_pg_fails(PH_E_DATABASE_AWAY);
		run_for(&w, 10);
	}
	assert_int_equal(t.verdict, PH_CHOICE_AWAY);
	assert_in_range(ph_clock_ms() - start_ms, 1900, 15000);
	start(&t);
	assert_int_equal(t.verdict, PH_CHOICE_AWAY);
	while (fake_pg_waiting())
		fake_pg_fails(PH_E_DATABASE_AWAY);
	while (!is_next("heartbeat")) {
		while (fake_pg_waiting() && !is_next("heartbeat"))
			fake_pg_fails(PH_E_DATABASE_AWAY);
		run_for(&w, 10);
	}
	beaten(LIFE, "", "", "");
	start(&t);
	assert_int_equal(t.verdict, PH_CHOSEN);
	run_for(&w, 100);
	granted("1", "11");
	turns();
	assert_non_null(t.account);
}

/* A reload took the account away while calls and turns were under way. */
static void the_account_goes(void **state)
{
	struct turn t[2];

	(void)state;
	start(&t[0]);
	granted("1", "11");
	turns();
	start(&t[1]);
	assert_int_equal(fake_pg_waiting(), 1);
	ph_lease_close(w.a[0]);
	assert_int_equal(fake_pg_waiting(), 0);
	ph_account_wait_stop(&t[1].wait);
	end(&t[0]);
	run_for(&w, 300);
	assert_int_equal(fake_pg_waiting(), 0);
}

/* ---- periodic work ---- */

static int worked;

static void work(void *arg)
{
	(void)arg;
	worked++;
}

static void claimed(const char *epoch, const char *wait_ms)
{
	const struct ph_str cells[] = {ph_str_c(epoch), ph_str_c(wait_ms)};

	assert_true(is_next("claim_job"));
	fake_pg_rows(cells, 1, 2);
}

static void periodic_work(void **state)
{
	const struct ph_str yes[] = {PH_STR_INIT("1")};
	struct ph_job j;

	(void)state;
	worked = 0;
	ph_job_init(&j, member, "work", 60000, work, NULL);
	ph_job_start(&j);
	run_for(&w, 20);
	ph_assert_str(fake_pg_first()->text[0], PH_STR("work"));
	ph_assert_str(fake_pg_first()->text[2], PH_STR("60000"));
	claimed("", "100"); /* another node has it */
	assert_int_equal(worked, 0);
	run_for(&w, 400);
	assert_true(is_next("claim_job"));
	fake_pg_fails(PH_E_DATABASE_AWAY);
	run_for(&w, 1400);
	claimed("5", "");
	assert_int_equal(worked, 1);
	assert_int_equal(fake_pg_waiting(), 0); /* until it is done */
	ph_job_done(&j, 100);
	assert_true(is_next("finish_job"));
	ph_assert_str(fake_pg_first()->text[2], PH_STR("5"));
	ph_assert_str(fake_pg_first()->text[3], PH_STR("100"));
	fake_pg_rows(yes, 1, 1);
	run_for(&w, 400);
	claimed("6", "");
	assert_int_equal(worked, 2);
	ph_job_done(&j, 100);
	ph_job_stop(&j);
	ph_job_stop(&j);
	assert_int_equal(fake_pg_waiting(), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_block_is_used_without_a_round_trip),
		TEST(accounts_without_a_limit_ask_for_nothing),
		TEST(one_call_at_a_time),
		TEST(what_is_idle_goes_back),
		TEST(what_is_used_stays),
		TEST(a_starved_node_asks),
		TEST(news_during_a_call),
		TEST(a_holder_yields),
		TEST(ones_own_asking_is_not_heard),
		TEST(a_block_ends),
		TEST(excess_is_not_used_again),
		TEST(calls_that_are_lost),
		TEST(a_stale_answer),
		TEST(heartbeats_renew),
		TEST(another_life),
		TEST(forgotten),
		TEST(an_operator_takes_slots_back),
		TEST(limits_change),
		TEST(the_database_is_away),
		TEST(the_account_goes),
		TEST(periodic_work),
	};

	return cmocka_run_group_tests_name("account.lease", tests, NULL, NULL);
}
