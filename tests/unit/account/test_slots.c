/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of one account, on three nodes of one loop, with a real database between them. */
#include <stdio.h>
#include <stdlib.h>

#include "account/account_priv.h"
#include "pg_server.h"
#include "ph_test.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "posthouse/migrate.h"

#define NODES     3
#define LIMIT     3
#define TTL_MS    3000
#define WITHIN_MS 20000
#define TURNS     3000

struct node {
	struct ph_pg *pg;
	struct ph_accounts *r;
	struct ph_member *member;
	struct ph_account *a;
	bool registered, loaded, listening, closed;
};

static struct ph_test_server *server;
static struct ph_loop *loop;
static struct ph_timer ticker;
static uint64_t deadline;
static struct node nodes[NODES];
static char dsn[192];

/* ---- waiting ---- */

struct until {
	bool (*holds)(void *arg);
	void *arg;
	bool held;
};

static void tick(void *arg)
{
	struct until *u = arg;

	u->held = u->holds(u->arg);
	if (u->held || ph_clock_ms() > deadline)
		ph_loop_stop(loop);
	else
		ph_timer_start(&ticker, 2);
}

static void run_until(bool (*holds)(void *arg), void *arg)
{
	struct until u = {holds, arg, false};

	deadline = ph_clock_ms() + WITHIN_MS;
	ph_timer_init(&ticker, loop, tick, &u);
	ph_timer_start(&ticker, 0);
	ph_loop_run(loop);
	ph_timer_stop(&ticker);
	assert_true(u.held);
}

static bool is_past(void *arg)
{
	return ph_clock_ms() >= *(uint64_t *)arg;
}

static void run_for(uint64_t ms)
{
	uint64_t until = ph_clock_ms() + ms;

	run_until(is_past, &until);
}

static bool is_ready(void *arg)
{
	struct node *n = arg;

	return n->registered && n->loaded && n->listening;
}

static bool is_closed(void *arg)
{
	return ((struct node *)arg)->closed;
}

/* ---- the database, in other hands ---- */

static int64_t value(const char *text)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 5, &err);
	struct ph_pg_result *r = s ? ph_pgs_query(s, text, NULL, 0, &err) : NULL;
	int64_t ret;

	if (!r)
		fail_msg("%s: %s", text, err.detail);
	ret = ph_pg_rows(r) ? ph_pg_int(r, 0, 0) : 0;
	ph_pg_result_free(r);
	ph_pgs_close(s);
	return ret;
}

static int64_t slots_held(void)
{
	return value("SELECT coalesce(sum(slots), 0) FROM posthouse_admin.leases WHERE remaining > '0 s'");
}

/* ---- nodes ---- */

static void on_registered(void *arg, const struct ph_err *err)
{
	assert_null(err);
	((struct node *)arg)->registered = true;
}

static void on_loaded(void *arg, int status)
{
	struct node *n = arg;

	assert_int_equal(status, 0);
	n->loaded = true;
	n->a = PH_CONTAINER(ph_accounts_list(n->r)->next, struct ph_account, node);
}

static void on_follow(void *arg)
{
	((struct node *)arg)->listening = true;
}

static void on_notify(void *arg, struct ph_str payload)
{
	ph_account_heard(((struct node *)arg)->r, payload);
}

static void on_poll(void *arg, const struct ph_pg_result *rows)
{
	(void)arg;
	(void)rows;
}

static void on_lost(void *arg)
{
	((struct node *)arg)->listening = false;
}

static void on_closed(void *arg)
{
	((struct node *)arg)->closed = true;
}

static void node_open(struct node *n, const char *name)
{
	struct ph_pg_options options = {.dsn = dsn, .readers = 1, .application = "posthouse test"};
	struct ph_pg_listen listen = {
		"posthouse", "SELECT 1", 200, on_follow, on_notify, on_poll, on_lost, n};

	*n = (struct node){.pg = ph_pg_open(loop, &options)};
	assert_non_null(n->pg);
	ph_pg_listen(n->pg, &listen);
	n->r = ph_accounts_new(loop, n->pg, NULL, name);
	n->member = ph_member_new(loop, n->pg, name, TTL_MS);
	ph_member_join(n->member, n->r);
	ph_member_register(n->member, on_registered, n);
	ph_accounts_reload(n->r, on_loaded, n);
	run_until(is_ready, n);
}

/* Without a word: as if it were killed. */
static void node_die(struct node *n)
{
	n->member = ph_member_free(n->member);
	n->r = ph_accounts_free(n->r);
	ph_pg_close(n->pg, 0, on_closed, n);
	run_until(is_closed, n);
}

static void node_leave(struct node *n)
{
	ph_member_leave(n->member);
	ph_pg_close(n->pg, 2000, on_closed, n);
	run_until(is_closed, n);
	n->member = ph_member_free(n->member);
	n->r = ph_accounts_free(n->r);
}

static int setup(void **state)
{
	struct ph_err err = {0};

	(void)state;
	ph_log_init(PH_LOG_ERROR, PH_LOG_TEXT, "test");
	server = ph_test_server_new();
	if (!server)
		return 0;
	snprintf(dsn, sizeof dsn, "%s", ph_test_server_dsn(server));
	if (ph_migrate(dsn, NULL, NULL, &err))
		fail_msg("%s", err.detail);
	value("SELECT 1 FROM posthouse.put_account(posthouse.account_id_for('a', 'stateless'), 'a', "
	      "'stateless', 'http://a', NULL, NULL, 3, NULL, NULL, NULL, NULL)");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	server = ph_test_server_free(server);
	return 0;
}

static int nodes_open(void **state)
{
	static const char *const names[NODES] = {"n1", "n2", "n3"};

	(void)state;
	if (!server)
		return 0;
	loop = ph_loop_new();
	for (int i = 0; i < NODES; i++)
		node_open(&nodes[i], names[i]);
	return 0;
}

static int nodes_close(void **state)
{
	(void)state;
	if (!server)
		return 0;
	for (int i = 0; i < NODES; i++)
		if (nodes[i].r)
			ph_list_init(&nodes[i].r->waiting); /* of a test that failed */
	for (int i = 0; i < NODES; i++)
		if (nodes[i].r)
			node_leave(&nodes[i]);
	assert_int_equal(ph_loop_free(loop), 0);
	assert_int_equal(value("SELECT count(*) FROM posthouse.nodes"), 0);
	assert_int_equal(value("SELECT count(*) FROM posthouse.account_leases"), 0);
	return 0;
}

#define NEED_SERVER()                                                                                        \
	do {                                                                                                 \
		if (!server)                                                                                 \
			skip();                                                                              \
	} while (0)

/* ---- turns ---- */

struct turn {
	struct node *n;
	struct ph_account_wait wait;
	struct ph_choice choice;
	struct ph_account *account;
	struct ph_timer end;
	uint64_t came_ms, began_ms;
	int verdict;
};

static int running, most_running, ended;

static void try_turn(struct turn *t)
{
	struct ph_chosen chosen;

	t->choice.queued = ph_account_waits(&t->wait);
	t->verdict = (int)ph_account_choose(t->n->r, &t->choice, &chosen);
	if (t->verdict == PH_CHOSEN)
		t->account = ph_account_take(chosen.account);
	if (!t->account) {
		ph_account_wait(t->n->r, &t->wait, &t->choice, chosen.account ? chosen.account->id : 0);
		return;
	}
	ph_account_wait_stop(&t->wait);
	t->began_ms = ph_clock_ms();
	if (++running > most_running)
		most_running = running;
}

static void on_woken(void *arg)
{
	try_turn(arg);
}

static void start(struct turn *t, struct node *n)
{
	*t = (struct turn){.n = n, .choice = {.model = PH_STR("m")}, .came_ms = ph_clock_ms()};
	ph_account_wait_init(&t->wait, on_woken, t);
	try_turn(t);
}

static void end(struct turn *t)
{
	running--;
	ended++;
	ph_account_release(t->n->r, t->account);
	t->account = NULL;
}

static bool runs(void *arg)
{
	return ((struct turn *)arg)->account;
}

static void begin_count(void)
{
	running = most_running = ended = 0;
}

/* ---- the tests ---- */

static void a_slot_crosses(void **state)
{
	struct turn t[LIMIT], other;
	uint64_t begun;

	(void)state;
	NEED_SERVER();
	begin_count();
	for (int i = 0; i < LIMIT; i++) {
		start(&t[i], &nodes[0]);
		run_until(runs, &t[i]);
	}
	start(&other, &nodes[1]);
	run_for(300);
	assert_null(other.account);
	begun = ph_clock_ms();
	end(&t[0]);
	run_until(runs, &other);
	print_message("a slot crossed in %d ms\n", (int)(ph_clock_ms() - begun));
	assert_in_range(ph_clock_ms() - begun, 0, 1000);
	assert_int_equal(slots_held(), LIMIT);
	end(&t[1]);
	end(&t[2]);
	end(&other);
	run_for(400);
	assert_int_equal(slots_held(), 0); /* idle slots went back */
	assert_int_equal(most_running, LIMIT);
}

/* Three nodes, each with more turns than there are slots; never more at once than there are slots, and all
 * get their turn. */
struct storm {
	struct turn t[4 * NODES];
	uint64_t seed;
	int left, waited_ms;
};

static void on_end(void *arg);

static void storm_next(struct storm *s, struct turn *t)
{
	struct node *n = t->n;

	if (s->left-- <= 0)
		return;
	start(t, n);
	ph_timer_init(&t->end, loop, on_end, t);
	ph_timer_start(&t->end, ph_test_below(&s->seed, 15));
}

static struct storm storm;

static void on_end(void *arg)
{
	struct turn *t = arg;

	if (!t->account) {
		ph_timer_start(&t->end, 5 + ph_test_below(&storm.seed, 10));
		return;
	}
	if (t->began_ms - t->came_ms > (uint64_t)storm.waited_ms)
		storm.waited_ms = (int)(t->began_ms - t->came_ms);
	end(t);
	storm_next(&storm, t);
}

static bool storm_is_over(void *arg)
{
	(void)arg;
	deadline = ph_clock_ms() + WITHIN_MS; /* as long as it goes on */
	return ended == TURNS;
}

static void never_more_than_the_limit(void **state)
{
	(void)state;
	NEED_SERVER();
	begin_count();
	storm = (struct storm){.seed = 20261122, .left = TURNS};
	for (size_t i = 0; i < PH_COUNT(storm.t); i++) {
		storm.t[i].n = &nodes[i % NODES];
		storm_next(&storm, &storm.t[i]);
	}
	run_until(storm_is_over, NULL);
	print_message("%d turns on %d nodes: at most %d at once, the longest wait %d ms\n", ended, NODES,
		most_running, storm.waited_ms);
	assert_int_equal(most_running, LIMIT);
	assert_int_equal(running, 0);
}

static void a_dead_nodes_slots(void **state)
{
	struct turn t[LIMIT], other;
	uint64_t begun;

	(void)state;
	NEED_SERVER();
	begin_count();
	for (int i = 0; i < LIMIT; i++) {
		start(&t[i], &nodes[0]);
		run_until(runs, &t[i]);
	}
	node_die(&nodes[0]);
	begun = ph_clock_ms();
	start(&other, &nodes[1]);
	run_until(runs, &other);
	print_message("slots of a dead node were back after %d ms, TTL %d ms\n", (int)(ph_clock_ms() - begun),
		TTL_MS);
	assert_in_range(ph_clock_ms() - begun, 0, TTL_MS + 1000);
	end(&other);
	for (int i = 0; i < LIMIT; i++)
		ph_account_unref(t[i].account);
	value("SELECT 1 FROM posthouse_admin.forget_node('n1')");
}

static void a_node_that_leaves(void **state)
{
	struct turn t[LIMIT], other;
	uint64_t begun;

	(void)state;
	NEED_SERVER();
	begin_count();
	for (int i = 0; i < LIMIT; i++) {
		start(&t[i], &nodes[0]);
		run_until(runs, &t[i]);
	}
	start(&other, &nodes[1]);
	run_for(100);
	assert_null(other.account);
	for (int i = 0; i < LIMIT; i++) {
		ph_account_wait_stop(&other.wait); /* so that nobody asks: the last word alone must do */
		end(&t[i]);
	}
	ph_account_wait(other.n->r, &other.wait, &other.choice, 0);
	begun = ph_clock_ms();
	node_leave(&nodes[0]);
	run_until(runs, &other);
	assert_in_range(ph_clock_ms() - begun, 0, TTL_MS / 2);
	end(&other);
	assert_int_equal(value("SELECT count(*) FROM posthouse_admin.nodes"), NODES - 1);
}

/* Every node has told what it runs, in another life than that one. */
static bool is_told(void *arg)
{
	if (value("SELECT life FROM posthouse.server_life") == *(int64_t *)arg)
		return false;
	for (int i = 0; i < NODES; i++)
		if (!nodes[i].listening || !ph_leases_told(nodes[i].r))
			return false;
	return value("SELECT count(DISTINCT n.life) FROM posthouse.nodes n") == 1 &&
	       value("SELECT count(*) FROM posthouse.nodes n JOIN posthouse.server_life USING (life)") ==
		       NODES;
}

static bool server_is_up(void *arg)
{
	(void)arg;
	for (int i = 0; i < NODES; i++)
		if (!ph_pg_up(nodes[i].pg))
			return false;
	return true;
}

/* What ran before a crash of the database is told before anybody gets a new slot. */
static void the_server_crashes(void **state)
{
	struct turn t[LIMIT], other[NODES];
	uint64_t begun;
	int64_t life;

	(void)state;
	NEED_SERVER();
	for (int round = 0; round < 3; round++) {
		begin_count();
		for (int i = 0; i < LIMIT - 1; i++) {
			start(&t[i], &nodes[i]);
			run_until(runs, &t[i]);
		}
		life = value("SELECT life FROM posthouse.server_life");
		ph_test_server_stop(server);
		ph_test_server_start(server);
		for (int i = 0; i < NODES; i++)
			start(&other[i], &nodes[i]);
		run_until(server_is_up, NULL);
		begun = ph_clock_ms();
		run_until(is_told, &life);
		print_message("told again after %d ms\n", (int)(ph_clock_ms() - begun));
		for (int i = 0; i < LIMIT - 1; i++)
			end(&t[i]);
		for (int i = 0; i < NODES; i++)
			run_until(runs, &other[i]);
		assert_int_equal(most_running, LIMIT);
		for (int i = 0; i < NODES; i++)
			end(&other[i]);
		run_for(400);
	}
}

/* ---- periodic work ---- */

struct worker {
	struct ph_job job;
	struct node *n;
	int done;
	bool holds;
};
static int at_once;

static void work(void *arg)
{
	struct worker *x = arg;

	assert_int_equal(++at_once, 1);
	x->done++;
	if (x->holds)
		return;
	at_once--;
	ph_job_done(&x->job, 20);
}

static bool all_worked(void *arg)
{
	const struct worker *x = arg;

	return x[0].done + x[1].done + x[2].done >= 5;
}

static bool has_worked(void *arg)
{
	return ((struct worker *)arg)->done > 0;
}

static void periodic_work(void **state)
{
	struct worker x[NODES] = {{.done = 0}};
	uint64_t begun;

	(void)state;
	NEED_SERVER();
	at_once = 0;
	for (int i = 0; i < NODES; i++) {
		ph_job_init(&x[i].job, nodes[i].member, "test", 1500, work, &x[i]);
		ph_job_start(&x[i].job);
	}
	run_until(all_worked, x);
	assert_int_equal(value("SELECT count(*) FROM posthouse.jobs WHERE name = 'test'"), 1);
	/* One that has it dies: the work goes to another when its time is over. */
	for (int i = 0; i < NODES; i++)
		ph_job_stop(&x[i].job);
	value("DELETE FROM posthouse.jobs");
	x[0].done = x[1].done = 0;
	x[0].holds = true;
	ph_job_start(&x[0].job);
	run_until(has_worked, &x[0]);
	begun = ph_clock_ms();
	ph_job_stop(&x[0].job);
	at_once--;
	ph_job_start(&x[1].job);
	run_until(has_worked, &x[1]);
	assert_in_range(ph_clock_ms() - begun, 1000, 10000);
	ph_job_stop(&x[1].job);
	value("DELETE FROM posthouse.jobs");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nodes_open, nodes_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_slot_crosses),
		TEST(never_more_than_the_limit),
		TEST(a_dead_nodes_slots),
		TEST(a_node_that_leaves),
		TEST(the_server_crashes),
		TEST(periodic_work),
	};

	return cmocka_run_group_tests_name("account.slots", tests, setup, teardown);
}
