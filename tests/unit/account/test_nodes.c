/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes and a real database: who blocks, who loses, who learns what from whom. Each node is a registry
 * with connections of its own; a reload stands for the notification that makes a node read again.
 */
#include "ph_test.h"

#include <stdio.h>

#include "account/account_priv.h"
#include "pg_server.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "posthouse/migrate.h"

#define WITHIN_MS 20000

struct node {
	struct ph_pg *pg;
	struct ph_accounts *r;
	const struct ph_account *a; /* the account "a" */
	bool loaded, closed;
};

static struct ph_test_server *server;
static struct ph_loop *loop;
static struct ph_timer ticker;
static uint64_t deadline;
static struct node one, two;
static char dsn[192];

/* ---- waiting ---- */

struct until {
	bool (*holds)(void *arg);
	void *arg;
};

static void tick(void *arg)
{
	struct until *u = arg;

	if (u->holds(u->arg) || ph_clock_ms() > deadline)
		ph_loop_stop(loop);
	else
		ph_timer_start(&ticker, 5);
}

static void run_until(bool (*holds)(void *arg), void *arg)
{
	struct until u = {holds, arg};

	deadline = ph_clock_ms() + WITHIN_MS;
	ph_timer_init(&ticker, loop, tick, &u);
	ph_timer_start(&ticker, 0);
	ph_loop_run(loop);
	ph_timer_stop(&ticker);
	assert_true(holds(arg));
}

static bool is_loaded(void *arg)
{
	return ((struct node *)arg)->loaded;
}

static bool is_closed(void *arg)
{
	return ((struct node *)arg)->closed;
}

static bool is_up(void *arg)
{
	return ph_pg_up(((struct node *)arg)->pg);
}

static bool is_written(void *arg)
{
	return !((struct node *)arg)->a->health.report;
}

static bool is_active(void *arg)
{
	return ((struct node *)arg)->a->state == PH_ACCOUNT_ACTIVE;
}

/* ---- the database, in other hands ---- */

static void sql(const char *text)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 5, &err);

	if (!s || ph_pgs_script(s, text, &err))
		fail_msg("%s: %s", text, err.detail);
	ph_pgs_close(s);
}

/* The first column of the only row. */
static int64_t value(const char *text)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 5, &err);
	struct ph_pg_result *r = s ? ph_pgs_query(s, text, NULL, 0, &err) : NULL;
	int64_t ret;

	if (!r)
		fail_msg("%s: %s", text, err.detail);
	ret = ph_pg_int(r, 0, 0);
	ph_pg_result_free(r);
	ph_pgs_close(s);
	return ret;
}

static void assert_row(const char *condition)
{
	char text[512];

	snprintf(text, sizeof text, "SELECT (%s) FROM posthouse_admin.account_health", condition);
	if (value(text) != 1)
		fail_msg("not so: %s", condition);
}

static bool agree(void *arg)
{
	(void)arg;
	return one.a->health.version == two.a->health.version;
}

/* Within one millisecond nothing is newer than anything. */
static bool is_later(void *arg)
{
	return ph_loop_now_ms(loop) > *(uint64_t *)arg;
}

static bool no_strikes(void *arg)
{
	(void)arg;
	return value("SELECT strikes FROM posthouse.account_health") == 0;
}

/* ---- nodes ---- */

static void on_loaded(void *arg, int status)
{
	assert_int_equal(status, 0);
	((struct node *)arg)->loaded = true;
}

static void reload(struct node *n)
{
	n->loaded = false;
	ph_accounts_reload(n->r, on_loaded, n);
	run_until(is_loaded, n);
	n->a = PH_CONTAINER(ph_accounts_list(n->r)->next, struct ph_account, node);
	assert_string_equal(n->a->name, "a");
}

static void on_closed(void *arg)
{
	((struct node *)arg)->closed = true;
}

static void node_open(struct node *n, const char *name)
{
	struct ph_pg_options options = {.dsn = dsn, .readers = 1, .application = "posthouse test"};

	*n = (struct node){.pg = ph_pg_open(loop, &options)};
	assert_non_null(n->pg);
	n->r = ph_accounts_new(loop, n->pg, NULL, name);
	run_until(is_up, n);
	reload(n);
}

static void node_close(struct node *n)
{
	n->r = ph_accounts_free(n->r);
	ph_pg_close(n->pg, 0, on_closed, n);
	run_until(is_closed, n);
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
	(void)state;
	if (!server)
		return 0;
	sql("SELECT posthouse.remove_account('a', 'test');"
	    "SELECT posthouse.put_account(posthouse.account_id_for('a', 'stateless'), 'a', 'stateless', "
	    "'http://a', NULL, "
	    "NULL, NULL, NULL, NULL, NULL, NULL)");
	loop = ph_loop_new();
	node_open(&one, "node-1");
	node_open(&two, "node-2");
	return 0;
}

static int nodes_close(void **state)
{
	(void)state;
	if (!server)
		return 0;
	node_close(&one);
	node_close(&two);
	assert_int_equal(ph_loop_free(loop), 0);
	return 0;
}

#define NEED_SERVER()                                                                                        \
	do {                                                                                                 \
		if (!server)                                                                                 \
			skip();                                                                              \
	} while (0)

static struct ph_account *own(struct node *n)
{
	return ph_accounts_find(n->r, n->a->id);
}

static void find(struct node *n, enum ph_account_state state, uint64_t ms)
{
	struct ph_account_finding f = {
		.state = state, .after_ms = ms, .reason = "signal", .evidence = PH_STR("said")};

	ph_account_found(n->r, own(n), &f);
}

static void strike(struct node *n)
{
	struct ph_account_finding f = {
		.state = PH_ACCOUNT_COOLING, .floor_ms = 60000, .most_ms = 3600000, .reason = "signal"};

	ph_account_found(n->r, own(n), &f);
}

static void assert_left(const struct node *n, enum ph_account_state state, uint64_t ms)
{
	assert_int_equal(n->a->state, state);
	assert_in_range(n->a->health.until_ms - ph_loop_now_ms(loop), ms - ms / 10, ms + 1000);
}

/* ---- the tests ---- */

static void a_block_is_known_to_all(void **state)
{
	(void)state;
	NEED_SERVER();
	find(&one, PH_ACCOUNT_EXHAUSTED, 600000);
	run_until(is_written, &one);
	assert_row("state = 'exhausted' AND reason = 'signal' AND evidence = 'said' AND node = 'node-1' AND "
		   "version = 2");
	assert_int_equal(two.a->state, PH_ACCOUNT_ACTIVE);
	reload(&two);
	assert_left(&two, PH_ACCOUNT_EXHAUSTED, 600000);
	assert_int_equal(two.a->health.version, one.a->health.version);
}

/* The second node has not heard of the first one's block. */
static void the_longer_block_stays(void **state)
{
	(void)state;
	NEED_SERVER();
	find(&one, PH_ACCOUNT_COOLING, 600000);
	run_until(is_written, &one);
	find(&two, PH_ACCOUNT_COOLING, 60000);
	assert_left(&two, PH_ACCOUNT_COOLING, 60000);
	run_until(is_written, &two);
	assert_left(&two, PH_ACCOUNT_COOLING, 600000);
	assert_row("state = 'cooling' AND remaining > '500 s' AND version = 2 AND node = 'node-1'");
	find(&one, PH_ACCOUNT_COOLING, 3000000);
	run_until(is_written, &one);
	find(&two, PH_ACCOUNT_EXHAUSTED, 60000); /* two has seen the version before */
	run_until(is_written, &two);
	assert_left(&two, PH_ACCOUNT_EXHAUSTED, 3000000);
	assert_row("state = 'exhausted' AND remaining > '2500 s' AND version = 4 AND node = 'node-2'");
}

/* Evidence of a node that does not know the newer block lifts nothing. */
static void an_older_view_lifts_nothing(void **state)
{
	struct ph_usage u = {.window = {{.known = true, .used_percent = 10}}};
	uint64_t now;

	(void)state;
	NEED_SERVER();
	find(&one, PH_ACCOUNT_EXHAUSTED, 600000);
	run_until(is_written, &one);
	reload(&two);
	find(&one, PH_ACCOUNT_EXHAUSTED, 6000000);
	run_until(is_written, &one);
	ph_account_usage(two.r, own(&two), &u);
	run_until(agree, NULL);
	assert_left(&two, PH_ACCOUNT_EXHAUSTED, 6000000);
	assert_row("state = 'exhausted' AND primary_used_percent = 10");
	/* It has read the block now; the next evidence is newer than that. */
	now = ph_loop_now_ms(loop);
	run_until(is_later, &now);
	ph_account_usage(two.r, own(&two), &u);
	run_until(is_active, &two);
	assert_row("state = 'active' AND reason = 'usage' AND node = 'node-2'");
	reload(&one);
	assert_int_equal(one.a->state, PH_ACCOUNT_ACTIVE);
}

/* Findings of turns that ran at the same time on two nodes are one strike; the next one doubles. */
static void strikes_of_two_nodes(void **state)
{
	(void)state;
	NEED_SERVER();
	strike(&one);
	strike(&two);
	run_until(is_written, &one);
	run_until(is_written, &two);
	assert_row("strikes = 1 AND remaining BETWEEN '50 s' AND '61 s'");
	sql("UPDATE posthouse.account_health SET until = now() - interval '1 s'");
	reload(&one);
	reload(&two);
	assert_int_equal(one.a->state, PH_ACCOUNT_ACTIVE);
	strike(&two);
	assert_left(&two, PH_ACCOUNT_COOLING, 120000);
	run_until(is_written, &two);
	assert_row("strikes = 2 AND remaining BETWEEN '110 s' AND '121 s'");
	sql("UPDATE posthouse.account_health SET until = now() - interval '1 s'");
	reload(&one);
	ph_account_worked(one.r, own(&one));
	run_until(no_strikes, NULL);
	strike(&one);
	run_until(is_written, &one);
	assert_row("strikes = 1 AND remaining BETWEEN '50 s' AND '61 s'");
}

/* What was found before an operator cleared the account loses, and the version never falls. */
static void a_resume_stands(void **state)
{
	int64_t version = 0;

	(void)state;
	NEED_SERVER();
	for (int i = 0; i < 3; i++) {
		find(&one, PH_ACCOUNT_DISABLED, 0);
		run_until(is_written, &one);
		assert_true(one.a->health.version > version);
		version = one.a->health.version;
		sql(i ? "SELECT posthouse_admin.resume_account('a')"
		      : "SELECT posthouse.put_account(account_id, 'a', 'stateless', NULL, '\\x00', "
			"'\\x0102030405060708', NULL, NULL, NULL, NULL, NULL) FROM posthouse.accounts WHERE "
			"name = "
			"'a' AND state <> 'removed'; DELETE FROM posthouse.account_secrets");
		find(&two, PH_ACCOUNT_REAUTH, 0); /* it has not heard of anything since */
		run_until(is_written, &two);
		assert_int_equal(two.a->state, PH_ACCOUNT_ACTIVE);
		assert_int_equal(two.a->health.version, version + 1);
		assert_row("state = 'active' AND until IS NULL");
		reload(&one);
		assert_int_equal(one.a->state, PH_ACCOUNT_ACTIVE);
		version = one.a->health.version;
	}
}

/* Neither node reads anything: the block's own time ends it. */
static void time_ends_it_everywhere(void **state)
{
	uint64_t start = ph_clock_ms();

	(void)state;
	NEED_SERVER();
	find(&one, PH_ACCOUNT_COOLING, 1500);
	run_until(is_written, &one);
	reload(&two);
	assert_int_equal(two.a->state, PH_ACCOUNT_COOLING);
	run_until(is_active, &two);
	run_until(is_active, &one);
	assert_in_range(ph_clock_ms() - start, 1400, 15000);
	assert_row("state = 'active' AND version = 2");
}

/* The database is away: the finding holds here, and is written when it is back. */
static void database_away(void **state)
{
	(void)state;
	NEED_SERVER();
	ph_test_server_stop(server);
	find(&one, PH_ACCOUNT_COOLING, 600000);
	for (int i = 0; i < 50; i++)
		ph_loop_turn(loop);
	assert_left(&one, PH_ACCOUNT_COOLING, 600000);
	ph_test_server_start(server);
	run_until(is_up, &two);
	run_until(is_written, &one);
	assert_row("state = 'cooling' AND remaining BETWEEN '500 s' AND '601 s' AND node = 'node-1'");
	reload(&two);
	assert_left(&two, PH_ACCOUNT_COOLING, 600000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, nodes_open, nodes_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_block_is_known_to_all),
		TEST(the_longer_block_stays),
		TEST(an_older_view_lifts_nothing),
		TEST(strikes_of_two_nodes),
		TEST(a_resume_stands),
		TEST(time_ends_it_everywhere),
		TEST(database_away),
	};

	return cmocka_run_group_tests_name("account.nodes", tests, setup, teardown);
}
