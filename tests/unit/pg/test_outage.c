/* SPDX-License-Identifier: Apache-2.0 */
/* A database that is away, comes back, is frozen, is the wrong one of two, or restarts under load. */
#include <unistd.h>

#include "pg_test.h"

static void refused_dsn(char *dsn, size_t size)
{
	snprintf(dsn, size, "host=127.0.0.1 port=%d user=x dbname=x", ph_test_free_port());
}

static bool has_failed(void *arg)
{
	return ((struct bench *)arg)->pg->dsn->failed;
}

/* Before the first try has failed a call waits; once it has, a call fails in the next turn. */
static void test_a_known_absence_fails_at_once(void **state)
{
	struct answer a[3] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	char dsn[96];
	uint64_t took;

	(void)state;
	refused_dsn(dsn, sizeof(dsn));
	bench_open(&b, dsn, 2);
	ph_pg_query(b.pg, "select 1", NULL, 0, 5000, on_answer, &a[0]);
	bench_run(&b, has_failed, &b, 2000);
	bench_run(&b, answered, &a[0], 2000);
	for (int i = 1; i < 3; i++)
		ph_pg_query(b.pg, "select 1", NULL, 0, 5000, on_answer, &a[i]);
	assert_int_equal(a[1].count, 0);
	took = bench_run(&b, all_answered, &all, 2000);
	assert_in_range(took, 0, 500);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		assert_int_equal(a[i].code, PH_E_DATABASE_AWAY);
	assert_false(ph_pg_up(b.pg));
	bench_close(&b, 0);
}

static void test_a_name_that_does_not_exist(void **state)
{
	struct answer a = {0};
	struct bench b;

	(void)state;
	bench_open(&b, "host=no-such-host.invalid user=x dbname=x", 1);
	ph_pg_query(b.pg, "select 1", NULL, 0, 20000, on_answer, &a);
	bench_run(&b, answered, &a, 20000);
	assert_int_equal(a.code, PH_E_DATABASE_AWAY);
	bench_close(&b, 0);
}

static void test_a_conninfo_that_cannot_be_read(void **state)
{
	struct ph_pg_options options = {.dsn = "postgresql://u:p w@[::1", .readers = 1};
	struct bench b;

	(void)state;
	bench_loop(&b);
	assert_null(ph_pg_open(b.loop, &options));
	options.dsn = "host=127.0.0.1";
	options.direct_dsn = "nonsense=1";
	assert_null(ph_pg_open(b.loop, &options));
	assert_int_equal(ph_loop_free(b.loop), 0);
}

/* The server comes later than the node. */
static void test_stopped_at_the_start(void **state)
{
	struct answer w = {0}, a = {0};
	struct bench b;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	ph_test_server_stop(server);
	bench_open(&b, ph_test_server_dsn(server), 2);
	ph_pg_write(b.pg, "select 5", NULL, 0, on_answer, &w);
	bench_wait(&b, 1500);
	assert_int_equal(w.count, 0);
	ph_test_server_start(server);
	took = bench_run(&b, is_up, &b, 10000);
	print_message("up %d ms after the server\n", (int)took);
	assert_in_range(took, 0, PG_BACKOFF_MAX_MS + 1000);
	ph_pg_query(b.pg, "select 6", NULL, 0, 0, on_answer, &a);
	bench_run(&b, answered, &a, 5000);
	assert_true(a.first == 6);
	bench_run(&b, answered, &w, 5000);
	assert_true(w.first == 5);
	bench_close(&b, 0);
}

struct load {
	struct bench *b;
	struct answer *a;
	int next, total;
	int reads, reads_lost;
};

static void on_read(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct load *l = arg;

	(void)r;
	l->reads++;
	if (err) {
		assert_int_equal(err->code, PH_E_DATABASE_AWAY); /* never "refused": nothing is known */
		l->reads_lost++;
	}
}

static bool load_tick(void *arg)
{
	struct load *l = arg;
	struct answers all = {l->a, (size_t)l->total};

	for (int i = 0; i < 5 && l->next < l->total; i++, l->next++) {
		struct ph_pg_param p = PH_P_INT(l->next);

		ph_pg_write(l->b->pg,
			"insert into restarted values ($1::int) on conflict do nothing returning 1", &p, 1,
			on_answer, &l->a[l->next]);
		ph_pg_query(l->b->pg, "select 1", NULL, 0, 0, on_read, l);
	}
	if (l->next == l->total / 3 || l->next == l->total * 2 / 3) {
		ph_test_server_stop(server);
		l->next++;
		l->a[l->next - 1].count = 1; /* this one is the restart */
	}
	if (!server->pid && l->next % 100 == 0)
		ph_test_server_start(server);
	return l->next == l->total && server->pid && all_answered(&all);
}

static void test_restarts_under_load(void **state)
{
	enum {
		TOTAL = 1500
	};
	struct load l = {.total = TOTAL};
	struct bench b;
	int written = 0;

	(void)state;
	NEED_SERVER();
	run_script("create table restarted (id int primary key)");
	l.a = calloc(TOTAL, sizeof(*l.a));
	l.b = &b;
	bench_open(&b, ph_test_server_dsn(server), 2);
	bench_run(&b, is_up, &b, 5000);
	bench_run(&b, load_tick, &l, 30000);
	for (int i = 0; i < TOTAL; i++) {
		assert_int_equal(l.a[i].count, 1);
		assert_int_equal(l.a[i].code, 0);
		written += l.a[i].at_ms != 0;
	}
	assert_int_equal(ask("select count(*) from restarted"), written);
	print_message("%d writes, all there; %d of %d reads lost\n", written, l.reads_lost, l.reads);
	bench_close(&b, 1000);
	assert_int_equal(l.reads, written);
	free(l.a);
}

/* No FIN, no RST: every call ends at its own deadline all the same. */
static void test_a_frozen_server(void **state)
{
	struct answer a[10] = {0}, w = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	uint64_t took;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_tcp_dsn(server), 2);
	bench_run(&b, is_up, &b, 5000);
	ph_test_server_freeze(server, true);
	ph_pg_write(b.pg, "select 1", NULL, 0, on_answer, &w);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		ph_pg_query(b.pg, "select 1", NULL, 0, 300, on_answer, &a[i]);
	took = bench_run(&b, all_answered, &all, 5000);
	assert_in_range(took, 290, 1500);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		assert_int_equal(a[i].code, PH_E_DATABASE_AWAY);
	bench_wait(&b, PG_BATCH_MS + PG_STALL_MS + 500); /* the connections are given up */
	assert_false(ph_pg_up(b.pg));
	assert_int_equal(w.count, 0);
	ph_test_server_freeze(server, false);
	took = bench_run(&b, answered, &w, PG_CONNECT_MS + 5000);
	print_message("written %d ms after the thaw\n", (int)took);
	assert_int_equal(w.code, 0);
	bench_run(&b, is_up, &b, 5000);
	bench_close(&b, 0);
}

/* ---- several hosts ---- */

static void test_the_first_host_refuses(void **state)
{
	struct answer a = {0};
	struct bench b;
	char dsn[160];

	(void)state;
	NEED_SERVER();
	snprintf(dsn, sizeof(dsn),
		"postgresql://postgres@127.0.0.1:%d,localhost:%d/postgres?target_session_attrs=read-write",
		ph_test_free_port(), server->port);
	bench_open(&b, dsn, 2);
	ph_pg_query(b.pg, "select 8", NULL, 0, 5000, on_answer, &a);
	bench_run(&b, answered, &a, 5000);
	assert_int_equal(a.code, 0);
	assert_true(a.first == 8);
	bench_close(&b, 0);
}

/* A host that accepts and says nothing: the round ends, the next begins with its neighbour. */
static void test_the_first_host_is_silent(void **state)
{
	struct answer a = {0};
	struct bench b;
	char dsn[160];
	int port, fd;

	(void)state;
	NEED_SERVER();
	fd = silent_listener(&port);
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1,127.0.0.1 port=%d,%d user=postgres dbname=postgres", port,
		server->port);
	bench_open(&b, dsn, 1);
	bench_run(&b, is_up, &b, PG_CONNECT_MS + 3000);
	ph_pg_query(b.pg, "select 9", NULL, 0, 0, on_answer, &a);
	bench_run(&b, answered, &a, 5000);
	assert_true(a.first == 9);
	bench_close(&b, 0);
	close(fd);
}

static void make_read_only(struct ph_test_server *s)
{
	struct ph_test_server *keep = server;

	server = s;
	run_script("alter system set default_transaction_read_only = on");
	run_script("select pg_reload_conf()");
	while (!ask("select (current_setting('default_transaction_read_only') = 'on')::int"))
		usleep(10 * 1000); /* a new backend knows it: the older ones were told before */
	server = keep;
}

static struct ph_test_server *start_read_only(void)
{
	struct ph_test_server *s = ph_test_server_new();

	make_read_only(s);
	return s;
}

static void two_hosts(char *dsn, size_t size, const struct ph_test_server *x, const struct ph_test_server *y)
{
	snprintf(dsn, size, "host=%s,%s port=%d,%d user=postgres dbname=postgres", x->dir, y->dir, x->port,
		y->port);
}

static void test_a_read_only_host_is_passed_by(void **state)
{
	struct ph_test_server *standby;
	struct answer a = {0}, w = {0};
	struct bench b;
	char dsn[320];

	(void)state;
	NEED_SERVER();
	standby = start_read_only();
	two_hosts(dsn, sizeof(dsn), standby, server); /* and no word of target_session_attrs: a node writes */
	bench_open(&b, dsn, 1);
	ph_pg_query(b.pg, "select current_setting('port')::int", NULL, 0, 5000, on_answer, &a);
	ph_pg_write(b.pg, "create table if not exists passed_by ()", NULL, 0, on_answer, &w);
	bench_run(&b, answered, &a, 5000);
	bench_run(&b, answered, &w, 5000);
	assert_int_equal(w.code, 0);
	assert_true(a.first == server->port);
	bench_close(&b, 0);
	ph_test_server_free(standby);
}

/* The primary is demoted under us: the connections leave it, the writes follow. */
static void test_a_primary_is_demoted(void **state)
{
	struct ph_test_server *other;
	struct answer a = {0}, w = {0};
	struct bench b;
	char dsn[320];
	uint64_t took;

	(void)state;
	NEED_SERVER();
	other = ph_test_server_new();
	two_hosts(dsn, sizeof(dsn), other, server);
	bench_open(&b, dsn, 2);
	ph_pg_query(b.pg, "select current_setting('port')::int", NULL, 0, 5000, on_answer, &a);
	bench_run(&b, answered, &a, 5000);
	assert_true(a.first == other->port);
	make_read_only(other);
	ph_pg_write(b.pg, "create table if not exists demoted ()", NULL, 0, on_answer, &w);
	took = bench_run(&b, answered, &w, 10000);
	print_message("written elsewhere %d ms after the demotion\n", (int)took);
	assert_int_equal(w.code, 0);
	assert_int_equal(ask("select count(*) from pg_class where relname = 'demoted'"), 1);
	/* An idle server does not say that it has changed: each reader may bring one more answer from there.
	 */
	for (int i = 0; i < 4; i++) {
		a = (struct answer){0};
		ph_pg_query(b.pg, "select current_setting('port')::int", NULL, 0, 5000, on_answer, &a);
		bench_run(&b, answered, &a, 5000);
	}
	assert_true(a.first == server->port);
	bench_close(&b, 0);
	ph_test_server_free(other);
}

/* One host only, and it is read-only: writes wait, tries back off, nothing spins. */
static void test_a_single_read_only_host(void **state)
{
	struct ph_test_server *standby;
	struct answer w = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	standby = start_read_only();
	bench_open(&b, ph_test_server_dsn(standby), 1);
	bench_run(&b, is_up, &b, 5000);
	ph_pg_write(b.pg, "create table never_here ()", NULL, 0, on_answer, &w);
	bench_wait(&b, 1000);
	assert_int_equal(w.count, 0);
	assert_in_range(b.pg->writer.conn.backoff_ms, 2 * PG_BACKOFF_MIN_MS, PG_BACKOFF_MAX_MS);
	bench_close(&b, 100);
	assert_int_equal(w.code, PH_E_CANCELLED);
	ph_test_server_free(standby);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_known_absence_fails_at_once),
		cmocka_unit_test(test_a_name_that_does_not_exist),
		cmocka_unit_test(test_a_conninfo_that_cannot_be_read),
		cmocka_unit_test(test_stopped_at_the_start),
		cmocka_unit_test(test_restarts_under_load),
		cmocka_unit_test(test_a_frozen_server),
		cmocka_unit_test(test_the_first_host_refuses),
		cmocka_unit_test(test_the_first_host_is_silent),
		cmocka_unit_test(test_a_read_only_host_is_passed_by),
		cmocka_unit_test(test_a_primary_is_demoted),
		cmocka_unit_test(test_a_single_read_only_host),
	};

	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
