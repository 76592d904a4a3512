/* SPDX-License-Identifier: Apache-2.0 */
/* Calls on the pool: order, errors, deadlines, abandoning, many at once, large ones. */
#include "pg_test.h"
#include "posthouse/metrics.h"

static void test_one_call(void **state)
{
	struct ph_pg_param p = PH_P_INT(41);
	struct answer a = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 2);
	ph_pg_query(b.pg, "select $1::int + 1", &p, 1, 0, on_answer, &a);
	assert_int_equal(a.count, 0);
	bench_run(&b, answered, &a, 5000);
	assert_int_equal(a.code, 0);
	assert_true(a.first == 42);
	bench_close(&b, 0);
	assert_int_equal(a.count, 1);
}

/* One connection, one after the other, and a failing neighbour harms nobody. */
static void test_order_and_errors_in_a_pipeline(void **state)
{
	struct answer a[20] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		struct ph_pg_param p = PH_P_INT(i % 5 == 3 ? 0 : i + 1);

		a[i].order = &order;
		ph_pg_query(b.pg, "select 1000 / $1::int", &p, 1, 0, on_answer, &a[i]);
	}
	bench_run(&b, all_answered, &all, 5000);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		assert_int_equal(a[i].place, i);
		assert_int_equal(a[i].code, i % 5 == 3 ? PH_E_DATABASE_ERROR : 0);
		assert_string_equal(a[i].sqlstate, i % 5 == 3 ? "22012" : "");
		assert_true(a[i].first == (i % 5 == 3 ? 0 : 1000 / (i + 1)));
	}
	bench_close(&b, 0);
}

/* The error comes with the sync, after the rows: they are not an answer. */
static void test_an_error_of_the_commit(void **state)
{
	struct answer a[2] = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script(
		"create table late (id int, constraint late_once unique (id) deferrable initially deferred)");
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_query(b.pg, "insert into late values (1), (1) returning id", NULL, 0, 0, on_answer, &a[0]);
	ph_pg_query(b.pg, "select count(*) from late", NULL, 0, 0, on_answer, &a[1]);
	bench_run(&b, answered, &a[1], 5000);
	assert_int_equal(a[0].code, PH_E_DATABASE_ERROR);
	assert_string_equal(a[0].sqlstate, "23505");
	assert_int_equal(a[1].code, 0);
	assert_true(a[1].first == 0);
	bench_close(&b, 0);
}

static void test_a_thousand_at_once(void **state)
{
	static struct answer a[1000];
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	memset(a, 0, sizeof(a));
	bench_open(&b, ph_test_server_dsn(server), 2);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		struct ph_pg_param p = PH_P_INT(i);

		ph_pg_query(b.pg, "select $1::int", &p, 1, 20000, on_answer, &a[i]);
	}
	took = bench_run(&b, all_answered, &all, 20000);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		assert_int_equal(a[i].code, 0);
		assert_true(a[i].first == i);
	}
	print_message("1,000 calls on 2 connections: %d ms\n", (int)took);
	bench_close(&b, 0);
	for (int i = 0; i < (int)PH_COUNT(a); i++)
		assert_int_equal(a[i].count, 1);
}

static void test_the_queue_is_bounded(void **state)
{
	static struct answer a[PG_CALLS_MAX + 100];
	struct answers all = {a, PH_COUNT(a)};
	struct answer first = {0};
	struct bench b;
	int refused = 0;

	(void)state;
	NEED_SERVER();
	memset(a, 0, sizeof(a));
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_query(b.pg, "select 1", NULL, 0, 0, on_answer, &first);
	bench_run(&b, answered, &first, 5000); /* its name takes no place of a call any more */
	for (size_t i = 0; i < PH_COUNT(a); i++)
		ph_pg_query(b.pg, "select 1", NULL, 0, 60000, on_answer, &a[i]);
	bench_run(&b, all_answered, &all, 60000);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		refused += a[i].code == PH_E_DATABASE_AWAY;
	assert_int_equal(refused, 100 - PG_DEPTH_MAX); /* those that were sent at once made room */
	assert_int_equal(a[PH_COUNT(a) - 1].code, PH_E_DATABASE_AWAY);
	bench_close(&b, 0);
}

/* The slow one is answered at its deadline; its husk drains, and the connection lives. */
static void test_a_deadline(void **state)
{
	struct answer slow = {.not_int = true}, next = {0};
	struct bench b;
	int64_t backend;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_query(b.pg, "select pg_backend_pid()", NULL, 0, 0, on_answer, &next);
	bench_run(&b, answered, &next, 5000);
	backend = next.first;
	ph_pg_query(b.pg, "select pg_sleep(1)", NULL, 0, 200, on_answer, &slow);
	took = bench_run(&b, answered, &slow, 5000);
	assert_in_range(took, 190, 1000);
	assert_int_equal(slow.code, PH_E_DATABASE_AWAY);
	next = (struct answer){0};
	ph_pg_query(b.pg, "select pg_backend_pid()", NULL, 0, 5000, on_answer, &next);
	bench_run(&b, answered, &next, 5000);
	assert_int_equal(next.code, 0);
	assert_true(next.first == backend);
	assert_int_equal(slow.count, 1);
	bench_close(&b, 0);
}

/* Nothing drains for two seconds after the deadline: the connection goes, a new one comes. */
static void test_a_stalled_connection_is_replaced(void **state)
{
	struct answer slow = {.not_int = true}, next = {0};
	struct bench b;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	ph_pg_query(b.pg, "select pg_sleep(60)", NULL, 0, 200, on_answer, &slow);
	bench_run(&b, answered, &slow, 5000);
	ph_pg_query(b.pg, "select 1", NULL, 0, 10000, on_answer, &next);
	took = bench_run(&b, answered, &next, 10000);
	assert_int_equal(next.code, 0);
	assert_in_range(took, PG_STALL_MS - 100, PG_STALL_MS + 3000);
	bench_close(&b, 0);
}

static void test_abandon(void **state)
{
	struct answer a[4] = {{0}, {.not_int = true}, {0}, {0}};
	struct ph_pg_call *call[3];
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	call[0] = ph_pg_query(b.pg, "select 1", NULL, 0, 0, on_answer, &a[0]); /* not yet sent */
	ph_pg_abandon(call[0]);
	bench_run(&b, is_up, &b, 5000);
	call[1] = ph_pg_query(b.pg, "select pg_sleep(0.2)", NULL, 0, 0, on_answer, &a[1]);
	call[2] = ph_pg_query(b.pg, "select 2", NULL, 0, 0, on_answer, &a[2]);
	bench_wait(&b, 50); /* both in flight */
	ph_pg_abandon(call[1]);
	ph_pg_abandon(call[2]);
	ph_pg_query(b.pg, "select 3", NULL, 0, 0, on_answer, &a[3]);
	bench_run(&b, answered, &a[3], 5000);
	assert_true(a[3].first == 3);
	bench_close(&b, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(a[i].count, 0);
}

/* libpq's buffers only grow: what carried much is replaced, once it is idle. */
static void test_a_large_result_replaces_the_connection(void **state)
{
	struct answer big = {.not_int = true}, a[2] = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_query(b.pg, "select pg_backend_pid()", NULL, 0, 0, on_answer, &a[0]);
	ph_pg_query(b.pg, "select repeat('x', 12 * 1024 * 1024)", NULL, 0, 20000, on_answer, &big);
	bench_run(&b, answered, &big, 20000);
	assert_int_equal(big.code, 0);
	assert_int_equal(big.rows, 1);
	ph_pg_query(b.pg, "select pg_backend_pid()", NULL, 0, 20000, on_answer, &a[1]);
	bench_run(&b, answered, &a[1], 20000);
	assert_int_equal(a[1].code, 0);
	assert_true(a[0].first != a[1].first);
	bench_close(&b, 0);
}

/* Both directions are full: what is sent is more than the socket takes, and so is what comes. */
static void test_large_both_ways(void **state)
{
	static struct answer a[6];
	struct answers all = {a, PH_COUNT(a)};
	struct ph_pg_param p;
	struct bench b;
	char *text;
	size_t n = 4 * 1024 * 1024;

	(void)state;
	NEED_SERVER();
	memset(a, 0, sizeof(a));
	text = malloc(n);
	memset(text, 'y', n);
	p = PH_P_BYTES(ph_str(text, n));
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		a[i].not_int = true;
		ph_pg_query(b.pg, "select $1", &p, 1, 30000, on_answer, &a[i]);
	}
	free(text);
	bench_run(&b, all_answered, &all, 30000);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		assert_int_equal(a[i].code, 0);
	bench_close(&b, 0);
}

static void on_kept(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	assert_null(err);
	*(struct ph_pg_result **)arg = ph_pg_keep(r);
}

static bool is_kept(void *arg)
{
	return *(struct ph_pg_result **)arg != NULL;
}

static void test_keep(void **state)
{
	struct ph_pg_result *kept = NULL;
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_query(b.pg, "select 'still here'", NULL, 0, 0, on_kept, &kept);
	bench_run(&b, is_kept, &kept, 5000);
	bench_close(&b, 0);
	ph_assert_str(ph_pg_str(kept, 0, 0), PH_STR("still here"));
	assert_null(ph_pg_result_free(kept));
}

static void test_nul_is_refused(void **state)
{
	struct ph_pg_param p = PH_P_STR(ph_str("a\0b", 3));
	struct answer a = {0}, w = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_query(b.pg, "select length($1::text)", &p, 1, 0, on_answer, &a);
	ph_pg_write(b.pg, "select length($1::text)", &p, 1, on_answer, &w);
	assert_int_equal(a.count + w.count, 0);
	bench_run(&b, answered, &a, 5000);
	assert_string_equal(a.sqlstate, "22021");
	assert_int_equal(w.code, PH_E_DATABASE_ERROR);
	assert_string_equal(w.sqlstate, "22021");
	bench_close(&b, 0);
}

/* A callback may ask again and again: the next call is one more, not a loop in the same turn. */
struct chain {
	struct ph_pg *pg;
	int left;
};

static void on_link(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct chain *c = arg;

	assert_null(err);
	assert_int_equal(ph_pg_rows(r), 1);
	if (--c->left > 0)
		ph_pg_query(c->pg, "select 1", NULL, 0, 0, on_link, c);
}

static bool chain_done(void *arg)
{
	return ((struct chain *)arg)->left == 0;
}

static void test_a_chain_of_calls(void **state)
{
	struct chain c = {.left = 500};
	struct bench b;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 2);
	bench_run(&b, is_up, &b, 5000);
	c.pg = b.pg;
	ph_pg_query(c.pg, "select 1", NULL, 0, 0, on_link, &c);
	took = bench_run(&b, chain_done, &c, 20000);
	print_message("500 calls one after the other: %d us each\n", (int)(took * 1000 / 500));
	bench_close(&b, 0);
}

static void test_close_cancels(void **state)
{
	struct answer a[20] = {0};
	struct answer late = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		a[i].not_int = true;
		ph_pg_query(b.pg, "select pg_sleep(5)", NULL, 0, 0, on_answer, &a[i]);
	}
	bench_wait(&b, 50);
	ph_pg_close(b.pg, 0, on_bench_closed, &b);
	ph_pg_query(b.pg, "select 1", NULL, 0, 0, on_answer, &late);
	assert_int_equal(late.count, 0);
	bench_run(&b, is_closed, &b, 5000);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].code, PH_E_CANCELLED);
	}
	assert_int_equal(late.count, 1);
	assert_int_equal(late.code, PH_E_CANCELLED);
	assert_int_equal(ph_loop_free(b.loop), 0);
}

static int64_t connections(unsigned down)
{
	return ph_metric_get(PH_M_PG_CONNECTIONS, down, 0);
}

static bool all_four_up(void *arg)
{
	(void)arg;
	return connections(0) == 4;
}

static void test_figures(void **state)
{
	struct answer a = {0}, bad = {0}, w = {0};
	struct bench b;
	int64_t errors;

	(void)state;
	NEED_SERVER();
	ph_metrics_init(1);
	ph_metrics_worker(0);
	bench_open(&b, ph_test_server_dsn(server), 3);
	assert_int_equal(connections(1), 4);
	bench_run(&b, all_four_up, &b, 5000);
	assert_int_equal(connections(1), 0);
	errors = ph_metric_get(PH_M_PG_ERRORS, 0, 0);
	ph_pg_query(b.pg, "select 1", NULL, 0, 0, on_answer, &a);
	ph_pg_query(b.pg, "select 1/0", NULL, 0, 0, on_answer, &bad);
	ph_pg_write(b.pg, "select 1", NULL, 0, on_answer, &w);
	assert_int_equal(ph_metric_get(PH_M_WRITE_QUEUE, 0, 0), 1);
	bench_run(&b, answered, &a, 5000);
	bench_run(&b, answered, &bad, 5000);
	bench_run(&b, answered, &w, 5000);
	assert_int_equal(ph_metric_get(PH_M_WRITE_QUEUE, 0, 0), 0);
	assert_int_equal(ph_metric_get(PH_M_PG_BATCHES, 0, 0), 1);
	assert_int_equal(ph_metric_get(PH_M_PG_ERRORS, 0, 0), errors + 1);
	bench_close(&b, 0);
	assert_int_equal(connections(0), 0);
	assert_int_equal(connections(1), 0);
}

static void close_from_inside(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct bench *b = arg;

	assert_null(err);
	assert_int_equal(ph_pg_rows(r), 1);
	ph_pg_close(b->pg, 1000, on_bench_closed, b);
}

static void test_close_from_inside_a_callback(void **state)
{
	struct answer a[3] = {0}, w = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	ph_pg_query(b.pg, "select 1", NULL, 0, 0, close_from_inside, &b);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		ph_pg_query(b.pg, "select 1 from pg_sleep(1)", NULL, 0, 0, on_answer, &a[i]);
	ph_pg_write(b.pg, "select 4 from pg_sleep(0.1)", NULL, 0, on_answer, &w);
	bench_run(&b, is_closed, &b, 5000);
	assert_int_equal(ph_loop_free(b.loop), 0);
	assert_int_equal(w.code, 0);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].code, PH_E_CANCELLED);
	}
}

/* Whatever is called back may abandon its neighbour, waiting or in flight. */
struct pair {
	struct ph_pg_call *other[2];
	int count;
};

static void on_first_of_pair(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct pair *p = arg;

	(void)r;
	(void)err;
	p->count++;
	for (int i = 0; i < 2; i++)
		ph_pg_abandon(p->other[i]);
}

static void test_abandon_from_inside_a_callback(void **state)
{
	struct answer a[2] = {0}, last = {0};
	struct pair p = {0};
	struct bench b;
	char dsn[96];

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	ph_pg_query(b.pg, "select 1", NULL, 0, 0, on_first_of_pair, &p);
	for (int i = 0; i < 2; i++)
		p.other[i] = ph_pg_query(b.pg, "select 2", NULL, 0, 0, on_answer, &a[i]);
	ph_pg_query(b.pg, "select 3", NULL, 0, 0, on_answer, &last);
	bench_run(&b, answered, &last, 5000);
	bench_close(&b, 0);
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=x dbname=x", ph_test_free_port());
	bench_open(&b, dsn, 1); /* all three fail in one go */
	ph_pg_query(b.pg, "select 1", NULL, 0, 0, on_first_of_pair, &p);
	for (int i = 0; i < 2; i++)
		p.other[i] = ph_pg_query(b.pg, "select 2", NULL, 0, 0, on_answer, &a[i]);
	last = (struct answer){0};
	ph_pg_query(b.pg, "select 3", NULL, 0, 0, on_answer, &last);
	bench_run(&b, answered, &last, 5000);
	bench_close(&b, 0);
	assert_int_equal(p.count, 2);
	assert_int_equal(a[0].count + a[1].count, 0);
}

static void test_close_at_once(void **state)
{
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_tcp_dsn(server), 2); /* still connecting */
	bench_close(&b, 0);
	bench_open(&b, "host=localhost port=1 user=x dbname=x", 2); /* still looking the name up */
	bench_close(&b, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_call),
		cmocka_unit_test(test_order_and_errors_in_a_pipeline),
		cmocka_unit_test(test_an_error_of_the_commit),
		cmocka_unit_test(test_a_thousand_at_once),
		cmocka_unit_test(test_the_queue_is_bounded),
		cmocka_unit_test(test_a_deadline),
		cmocka_unit_test(test_a_stalled_connection_is_replaced),
		cmocka_unit_test(test_abandon),
		cmocka_unit_test(test_a_large_result_replaces_the_connection),
		cmocka_unit_test(test_large_both_ways),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_nul_is_refused),
		cmocka_unit_test(test_a_chain_of_calls),
		cmocka_unit_test(test_close_cancels),
		cmocka_unit_test(test_figures),
		cmocka_unit_test(test_close_from_inside_a_callback),
		cmocka_unit_test(test_abandon_from_inside_a_callback),
		cmocka_unit_test(test_close_at_once),
	};

	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
