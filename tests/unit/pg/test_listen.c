/* SPDX-License-Identifier: Apache-2.0 */
/* LISTEN: order, latency, the poll, and what happens when the connection or the server goes. */
#include "pg_test.h"

struct listener {
	struct bench b;
	int follows, notifies, polls, losts;
	bool following;
	int64_t polled;
	uint64_t notified_ms;
	char payload[64];
};

static void on_follow(void *arg)
{
	struct listener *l = arg;

	assert_false(l->following);
	l->following = true;
	l->follows++;
}

static void on_notify(void *arg, struct ph_str payload)
{
	struct listener *l = arg;

	assert_true(l->following);
	l->notifies++;
	l->notified_ms = ph_clock_ms();
	ph_str_copy(l->payload, sizeof(l->payload), payload);
}

static void on_poll(void *arg, const struct ph_pg_result *r)
{
	struct listener *l = arg;

	assert_true(l->following);
	l->polls++;
	l->polled = ph_pg_int(r, 0, 0);
}

static void on_lost(void *arg)
{
	struct listener *l = arg;

	assert_true(l->following);
	l->following = false;
	l->losts++;
}

static void start_listening(struct listener *l, const char *dsn, const char *channel, uint64_t poll_ms)
{
	struct ph_pg_listen listen = {
		channel, "select 40 + 2", poll_ms, on_follow, on_notify, on_poll, on_lost, l};

	*l = (struct listener){0};
	bench_open(&l->b, dsn, 1);
	ph_pg_listen(l->b.pg, &listen);
	assert_int_equal(l->follows, 0);
}

static bool is_following(void *arg)
{
	return ((struct listener *)arg)->following;
}

static bool is_lost(void *arg)
{
	return !((struct listener *)arg)->following;
}

static bool has_notify(void *arg)
{
	return ((struct listener *)arg)->notifies > 0;
}

static bool has_polls(void *arg)
{
	return ((struct listener *)arg)->polls >= 3;
}

/* From another connection, so that the time is the listener's own. */
static void notify_now(struct listener *l, const char *sql)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(ph_test_server_dsn(server), 5, &err);
	uint64_t start;

	assert_non_null(s);
	l->notifies = 0;
	start = ph_clock_ms();
	assert_int_equal(ph_pgs_script(s, sql, &err), 0);
	bench_run(&l->b, has_notify, l, 5000);
	assert_in_range(l->notified_ms - start, 0, 500);
	print_message("notified within %d ms\n", (int)(l->notified_ms - start));
	ph_pgs_close(s);
}

static void test_notify(void **state)
{
	struct listener l;

	(void)state;
	NEED_SERVER();
	start_listening(&l, ph_test_server_dsn(server), "posthouse", 60000);
	bench_run(&l.b, is_following, &l, 5000);
	assert_int_equal(l.notifies, 0);
	notify_now(&l, "notify posthouse, 'accounts 17'");
	assert_int_equal(l.notifies, 1);
	assert_string_equal(l.payload, "accounts 17");
	l.notifies = 0;
	run_script("notify elsewhere, 'x'; notify posthouse; notify posthouse, 'y'");
	bench_wait(&l.b, 200);
	assert_int_equal(l.notifies, 2);
	assert_int_equal(l.follows, 1);
	assert_int_equal(l.polls, 0);
	bench_close(&l.b, 0);
	assert_int_equal(l.losts, 0); /* closing is not losing */
}

static void test_a_channel_of_any_name(void **state)
{
	struct listener l;

	(void)state;
	NEED_SERVER();
	start_listening(&l, ph_test_server_dsn(server), "a \"strange\" Name", 60000);
	bench_run(&l.b, is_following, &l, 5000);
	notify_now(&l, "notify \"a \"\"strange\"\" Name\", 'z'");
	assert_string_equal(l.payload, "z");
	bench_close(&l.b, 0);
}

static void test_polls(void **state)
{
	struct listener l;

	(void)state;
	NEED_SERVER();
	start_listening(&l, ph_test_server_dsn(server), "posthouse", 100);
	bench_run(&l.b, has_polls, &l, 5000);
	assert_true(l.polled == 42);
	notify_now(&l, "notify posthouse, 'between polls'");
	assert_int_equal(l.follows, 1);
	bench_close(&l.b, 0);
}

static void test_a_killed_listener_comes_back(void **state)
{
	struct listener l;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	start_listening(&l, ph_test_server_dsn(server), "posthouse", 60000);
	bench_run(&l.b, is_following, &l, 5000);
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(ask("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
				     "query like 'LISTEN%'"),
			1);
		took = bench_run(&l.b, is_lost, &l, 5000);
		took += bench_run(&l.b, is_following, &l, 5000);
		assert_int_equal(l.losts, i);
		assert_int_equal(l.follows, i + 1);
		notify_now(&l, "notify posthouse, 'again'");
	}
	print_message("following again within %d ms\n", (int)took);
	bench_close(&l.b, 0);
}

static void test_a_server_that_restarts(void **state)
{
	struct listener l;

	(void)state;
	NEED_SERVER();
	start_listening(&l, ph_test_server_dsn(server), "posthouse", 200);
	bench_run(&l.b, is_following, &l, 5000);
	ph_test_server_stop(server);
	bench_run(&l.b, is_lost, &l, 5000);
	bench_wait(&l.b, 500);
	ph_test_server_start(server);
	bench_run(&l.b, is_following, &l, 5000);
	assert_int_equal(l.losts, 1);
	assert_int_equal(l.follows, 2);
	notify_now(&l, "notify posthouse, 'back'");
	bench_close(&l.b, 0);
}

/* No FIN, no RST: only the poll can tell. */
static void test_a_frozen_server(void **state)
{
	struct listener l;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	start_listening(&l, ph_test_server_dsn(server), "posthouse", 200);
	bench_run(&l.b, is_following, &l, 5000);
	ph_test_server_freeze(server, true);
	took = bench_run(&l.b, is_lost, &l, 200 + PG_LISTEN_MS + 3000);
	print_message("a frozen server is noticed after %d ms\n", (int)took);
	ph_test_server_freeze(server, false);
	bench_run(&l.b, is_following, &l, PG_CONNECT_MS + 5000);
	assert_int_equal(l.follows, 2);
	bench_close(&l.b, 0);
}

/* The rest goes through one conninfo, LISTEN through the other. */
static void test_the_direct_conninfo(void **state)
{
	struct listener l = {0};
	struct ph_pg_listen listen = {
		"posthouse", "select 1", 60000, on_follow, on_notify, on_poll, on_lost, &l};
	struct ph_pg_options options = {
		"host=127.0.0.1 port=1 user=x dbname=x", NULL, 1, "posthouse test", NULL};

	(void)state;
	NEED_SERVER();
	options.direct_dsn = ph_test_server_dsn(server);
	bench_loop(&l.b);
	l.b.pg = ph_pg_open(l.b.loop, &options);
	ph_pg_listen(l.b.pg, &listen);
	bench_run(&l.b, is_following, &l, 5000);
	assert_false(ph_pg_up(l.b.pg));
	bench_close(&l.b, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_a_channel_of_any_name),
		cmocka_unit_test(test_polls),
		cmocka_unit_test(test_a_killed_listener_comes_back),
		cmocka_unit_test(test_a_server_that_restarts),
		cmocka_unit_test(test_a_frozen_server),
		cmocka_unit_test(test_the_direct_conninfo),
	};

	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
