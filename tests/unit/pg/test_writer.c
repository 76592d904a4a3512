/* SPDX-License-Identifier: Apache-2.0 */
/* Batched writes: order, one bad row among good ones, lost connections, passing errors, bounds, closing. */
#include <unistd.h>

#include "pg_test.h"

#define INSERT                                                                                               \
	"insert into w (id) values ($1::int) on conflict (id) do update set times = w.times + 1 returning "  \
	"id"

static int setup(void **state)
{
	server_setup(state);
	if (server)
		run_script("create table w (id int primary key check (id < 1000000), times int not null "
			   "default 1, "
			   "seq bigserial); create table d (id int unique deferrable initially deferred)");
	return 0;
}

static void clear(void)
{
	run_script("truncate w, d restart identity");
}

static void write_id(struct bench *b, int id, struct answer *a)
{
	struct ph_pg_param p = PH_P_INT(id);

	ph_pg_write(b->pg, INSERT, &p, 1, on_answer, a);
}

static void row_id(struct bench *b, int id, struct answer *a)
{
	static const enum ph_pg_kind kinds[] = {PH_PG_INT4};
	static const struct ph_pg_rows rows = {"insert into w (id) select unnest($1::int[]) on conflict (id) "
					       "do update set times = w.times + 1",
		1, kinds};
	struct ph_pg_param p = PH_P_INT4(id);

	ph_pg_write_row(b->pg, &rows, &p, on_answer, a);
}

static void assert_all_well(const struct answer *a, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].code, 0);
	}
}

/* ---- batches ---- */

static void test_batches_in_order(void **state)
{
	static struct answer a[1000];
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	clear();
	memset(a, 0, sizeof(a));
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		a[i].order = &order;
		write_id(&b, i, &a[i]);
	}
	assert_int_equal(ph_pg_write_queued(b.pg), PH_COUNT(a));
	bench_run(&b, all_answered, &all, 20000);
	assert_all_well(a, PH_COUNT(a));
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		assert_int_equal(a[i].place, i);
		assert_true(a[i].first == i);
	}
	assert_int_equal(ph_pg_write_queued(b.pg), 0);
	assert_int_equal(ask("select count(*) from w where seq = id + 1"), PH_COUNT(a));
	/* 1,000 statements in batches of 64: one transaction each */
	assert_int_equal(ask("select count(distinct xmin::text) from w"),
		(PH_COUNT(a) + PG_BATCH_MAX - 1) / PG_BATCH_MAX);
	bench_close(&b, 0);
}

static void test_batches_are_bounded_in_bytes(void **state)
{
	static char text[300 * 1024];
	struct answer a[8] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;

	(void)state;
	NEED_SERVER();
	clear();
	memset(text, 'z', sizeof(text));
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		struct ph_pg_param p[] = {PH_P_INT(i), PH_P_BYTES(ph_str(text, sizeof(text)))};

		ph_pg_write(b.pg, "insert into w (id, times) values ($1::int, length($2)) returning times", p,
			2, on_answer, &a[i]);
	}
	bench_run(&b, all_answered, &all, 20000);
	assert_all_well(a, PH_COUNT(a));
	assert_true(a[7].first == sizeof(text));
	assert_int_equal(ask("select count(distinct xmin::text) from w"), 3); /* 3 + 3 + 2 */
	bench_close(&b, 0);
}

static void test_one_bad_row_harms_nobody(void **state)
{
	struct answer a[100] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	clear();
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		a[i].order = &order;
		write_id(&b, i == 17 || i == 80 ? 1000000 + i : i, &a[i]);
	}
	bench_run(&b, all_answered, &all, 20000);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].place, i);
		assert_int_equal(a[i].code, i == 17 || i == 80 ? PH_E_DATABASE_ERROR : 0);
		assert_string_equal(a[i].sqlstate, i == 17 || i == 80 ? "23514" : "");
	}
	assert_int_equal(ask("select count(*) from w where times = 1"), PH_COUNT(a) - 2);
	bench_close(&b, 0);
}

/* Every statement is well, and the commit is not: nobody may be acknowledged. */
static void test_a_commit_that_fails(void **state)
{
	struct answer a[10] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	int failed = 0;

	(void)state;
	NEED_SERVER();
	clear();
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		struct ph_pg_param p = PH_P_INT(i == 7 ? 3 : i);

		ph_pg_write(b.pg, "insert into d values ($1::int) returning id", &p, 1, on_answer, &a[i]);
	}
	bench_run(&b, all_answered, &all, 20000);
	for (int i = 0; i < (int)PH_COUNT(a); i++)
		failed += a[i].code == PH_E_DATABASE_ERROR;
	assert_int_equal(failed, 1);
	assert_int_equal(a[7].code, PH_E_DATABASE_ERROR);
	assert_string_equal(a[7].sqlstate, "23505");
	assert_int_equal(ask("select count(*) from d"), PH_COUNT(a) - 1);
	bench_close(&b, 0);
}

/* A passing error is tried again, and only so often. */
static void test_passing_errors(void **state)
{
	struct answer a[3] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;

	(void)state;
	NEED_SERVER();
	clear();
	run_script("create sequence tries; create or replace function fail_times(n int, state text) returns "
		   "int language "
		   "plpgsql as $$begin if nextval('tries') <= n then raise exception 'try again' using "
		   "errcode = state; "
		   "end if; return 7; end$$");
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_write(b.pg, "select fail_times(3, '40P01')", NULL, 0, on_answer, &a[0]);
	bench_run(&b, answered, &a[0], 10000);
	assert_int_equal(a[0].code, 0);
	assert_true(a[0].first == 7);
	assert_int_equal(ask("select last_value from tries"), 4);
	ph_pg_write(b.pg, "select fail_times(1000, '40001')", NULL, 0, on_answer, &a[1]);
	write_id(&b, 5, &a[2]);
	bench_run(&b, all_answered, &all, 10000);
	assert_int_equal(a[1].code, PH_E_DATABASE_ERROR);
	assert_string_equal(a[1].sqlstate, "40001");
	assert_int_equal(a[2].code, 0);
	assert_int_equal(ask("select last_value from tries"), 4 + 1 + PG_TRIES_MAX);
	bench_close(&b, 0);
}

/* What is wrong with the server is told until something was written; what is wrong with a row is not. */
static void test_how_it_goes(void **state)
{
	struct answer a[4] = {0};
	struct ph_pg_writing w;
	struct bench b;

	(void)state;
	NEED_SERVER();
	clear();
	run_script("create or replace function refuse(state text) returns int language plpgsql as "
		   "$$begin raise exception 'no' using errcode = state; end$$");
	bench_open(&b, ph_test_server_dsn(server), 1);
	ph_pg_writing(b.pg, &w);
	assert_string_equal(w.sqlstate, "");
	assert_int_equal(w.commit_ms, 0);
	ph_pg_write(b.pg, "select refuse('53100')", NULL, 0, on_answer, &a[0]);
	bench_run(&b, answered, &a[0], 10000);
	ph_pg_writing(b.pg, &w);
	assert_string_equal(w.sqlstate, "53100");
	ph_pg_write(b.pg, "select 1 from pg_sleep(0.3)", NULL, 0, on_answer, &a[1]);
	bench_run(&b, answered, &a[1], 10000);
	ph_pg_writing(b.pg, &w);
	assert_string_equal(w.sqlstate, "");
	assert_true(w.commit_ms >= 290 && w.commit_ms < 9000);
	ph_pg_write(b.pg, "select refuse('22012')", NULL, 0, on_answer, &a[2]);
	bench_run(&b, answered, &a[2], 10000);
	ph_pg_writing(b.pg, &w);
	assert_string_equal(w.sqlstate, "");
	ph_pg_write(b.pg, "select 1 from pg_sleep(1)", NULL, 0, on_answer, &a[3]);
	bench_wait(&b, 600); /* in flight */
	ph_pg_writing(b.pg, &w);
	assert_true(a[3].count == 0 && w.commit_ms > 400);
	bench_run(&b, answered, &a[3], 10000);
	bench_close(&b, 0);
}

/* ---- what nobody waits for ---- */

/* Answers in the order of the array. */
static void assert_in_order(const struct answer *a, size_t n)
{
	for (size_t i = 1; i < n; i++)
		assert_true(a[i].place > a[i - 1].place);
}

static void test_one_that_is_waited_for_overtakes(void **state)
{
	static struct answer a[2000];
	struct answers all = {a, PH_COUNT(a)};
	struct answer w = {0};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	clear();
	memset(a, 0, sizeof(a));
	bench_open(&b, ph_test_server_dsn(server), 1);
	w.order = &order;
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		a[i].order = &order;
		row_id(&b, i, &a[i]);
	}
	write_id(&b, 5000, &w);
	assert_int_equal(ph_pg_write_queued(b.pg), PH_COUNT(a) + 1);
	bench_run(&b, all_answered, &all, 20000);
	assert_int_equal(w.place, 0);
	assert_int_equal(w.code, 0);
	assert_all_well(a, PH_COUNT(a));
	assert_in_order(a, PH_COUNT(a));
	/* One batch with a share of them, then whole ones. */
	assert_int_equal(ask("select count(distinct xmin::text) from w"),
		1 + (PH_COUNT(a) - PG_BATCH_SHARE + PG_BATCH_MAX - 1) / PG_BATCH_MAX);
	bench_close(&b, 0);
}

/* However many are waited for, the others get their share, and both keep their order. */
static void test_neither_starves(void **state)
{
	static struct answer w[960], l[160];
	struct answers all = {w, PH_COUNT(w)};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	clear();
	memset(w, 0, sizeof(w));
	memset(l, 0, sizeof(l));
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(w); i++) {
		w[i].order = &order;
		write_id(&b, i, &w[i]);
	}
	for (int i = 0; i < (int)PH_COUNT(l); i++) {
		l[i].order = &order;
		row_id(&b, 2000 + i, &l[i]);
	}
	bench_run(&b, all_answered, &all, 20000);
	assert_all_well(w, PH_COUNT(w));
	assert_all_well(l, PH_COUNT(l));
	assert_in_order(w, PH_COUNT(w));
	assert_in_order(l, PH_COUNT(l));
	for (int i = 0; i < (int)PH_COUNT(l); i++)
		assert_int_equal(l[i].place / PG_BATCH_MAX, i / PG_BATCH_SHARE);
	bench_close(&b, 0);
}

static void test_rows_of_every_kind(void **state)
{
	static const enum ph_pg_kind kinds[] = {
		PH_PG_INT4, PH_PG_INT8, PH_PG_BOOL, PH_PG_DATE, PH_PG_UUID, PH_PG_TEXT, PH_PG_BYTES};
	static const struct ph_pg_rows rows = {
		"insert into every select * from unnest($1, $2, $3, $4, $5, $6, $7)", 7, kinds};
	struct answer a[3] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script("create table every (a int4, b int8, c bool, d date, e uuid, f text, g bytea)");
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		struct ph_pg_param p[] = {PH_P_INT4(-i), PH_P_INT8(i), PH_P_BOOL(i), PH_P_DATE(i),
			PH_P_UUID("0123456789abcde\xff"), PH_P_STR(PH_STR("")),
			PH_P_BYTES(ph_str("\0\xff", (size_t)i))};

		if (i == 1)
			p[0] = p[6] = PH_P_NULL;
		ph_pg_write_row(b.pg, &rows, p, on_answer, &a[i]);
	}
	bench_run(&b, all_answered, &all, 5000);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		assert_string_equal(a[i].detail, "");
		assert_int_equal(a[i].rows, 0);
	}
	assert_int_equal(ask("select count(distinct xmin::text) from every"), 1);
	assert_int_equal(
		ask("select count(*) from every where a = -b and c = (b > 0) and d = date '2000-01-01' + "
		    "b::int and e = '30313233-3435-3637-3839-6162636465ff' and f = '' and g = "
		    "substr('\\x00ff'::bytea, 1, b::int)"),
		2);
	assert_int_equal(ask("select count(*) from every where a is null and b = 1 and g is null"), 1);
	bench_close(&b, 0);
}

/* The batch of both is taken apart, and put together again where the connection is lost meanwhile. */
static void test_a_mixed_batch_fails(void **state)
{
	enum {
		BAD_W = 11,
		BAD_L = 3
	};
	static struct answer w[100], l[100];
	struct answers all = {w, PH_COUNT(w)}, others = {l, PH_COUNT(l)};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	clear();
	memset(w, 0, sizeof(w));
	memset(l, 0, sizeof(l));
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(w); i++) {
		w[i].order = l[i].order = &order;
		write_id(&b, i == BAD_W ? 1000000 : i, &w[i]);
		row_id(&b, i == BAD_L ? 1000001 : 2000 + i, &l[i]);
	}
	bench_run(&b, answered, &w[5], 20000);
	ask("select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = "
	    "'posthouse test'");
	bench_run(&b, all_answered, &all, 20000);
	bench_run(&b, all_answered, &others, 20000);
	for (int i = 0; i < (int)PH_COUNT(w); i++) {
		assert_int_equal(w[i].count, 1);
		assert_int_equal(l[i].count, 1);
		assert_string_equal(w[i].sqlstate, i == BAD_W ? "23514" : "");
		assert_string_equal(l[i].sqlstate, i == BAD_L ? "23514" : "");
	}
	assert_in_order(w, PH_COUNT(w));
	assert_in_order(l, PH_COUNT(l));
	assert_int_equal(ask("select count(*) from w"), PH_COUNT(w) + PH_COUNT(l) - 2);
	bench_close(&b, 0);
}

/* Where memory is short, what nobody waits for goes first, whenever it came; patience ends for both. */
static void test_what_nobody_waits_for_is_shed_first(void **state)
{
	static const enum ph_pg_kind kinds[] = {PH_PG_BYTES};
	static const struct ph_pg_rows rows = {"select $1", 1, kinds};
	static char text[1000];
	struct answer w[15] = {0}, l[15] = {0};
	struct answers all = {w, PH_COUNT(w)};
	struct ph_pg_param p = PH_P_BYTES(ph_str(text, sizeof(text)));
	struct bench b;
	char dsn[64];

	(void)state;
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=x dbname=x", ph_test_free_port());
	memset(text, 'm', sizeof(text));
	bench_open(&b, dsn, 1);
	b.pg->writer.keep_bytes = 20 * 1100;
	b.pg->writer.keep_ms = 1000;
	for (size_t i = 0; i < PH_COUNT(l); i++)
		ph_pg_write_row(b.pg, &rows, &p, on_answer, &l[i]);
	for (size_t i = 0; i < PH_COUNT(w); i++)
		ph_pg_write(b.pg, "select $1", &p, 1, on_answer, &w[i]);
	bench_run(&b, answered, &l[14], 5000);
	assert_true(b.pg->writer.bytes <= b.pg->writer.keep_bytes);
	assert_int_equal(l[0].count, 0);
	for (size_t i = 0; i < PH_COUNT(w); i++)
		assert_int_equal(w[i].count, 0);
	bench_run(&b, all_answered, &all, 5000);
	assert_int_equal(l[0].code, PH_E_DATABASE_AWAY);
	assert_int_equal(w[0].code, PH_E_DATABASE_AWAY);
	assert_int_equal(ph_pg_write_queued(b.pg), 0);
	bench_close(&b, 0);
}

/* ---- lost connections ---- */

#define KILL                                                                                                 \
	"select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'posthouse " \
	"test'"

/* Batches of slow statements, so that the backend dies in the middle of one. */
static void test_the_backend_dies_in_mid_batch(void **state)
{
	static struct answer a[200];
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	int order = 0;

	(void)state;
	NEED_SERVER();
	clear();
	memset(a, 0, sizeof(a));
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	for (int i = 0; i < (int)PH_COUNT(a); i++) {
		struct ph_pg_param p = PH_P_INT(i);

		a[i].order = &order;
		ph_pg_write(b.pg,
			"insert into w (id) select $1::int from pg_sleep(0.005) on conflict (id) do update "
			"set times = w.times + 1 "
			"returning id",
			&p, 1, on_answer, &a[i]);
	}
	bench_wait(&b, 150);
	assert_true(ask(KILL) >= 1);
	bench_run(&b, all_answered, &all, 20000);
	assert_all_well(a, PH_COUNT(a));
	for (int i = 0; i < (int)PH_COUNT(a); i++)
		assert_int_equal(a[i].place, i);
	assert_int_equal(ask("select count(*) from w"), PH_COUNT(a));
	assert_int_equal(ask("select count(*) from w where times = 1"),
		PH_COUNT(a)); /* the half batch was rolled back */
	bench_close(&b, 0);
}

struct load {
	struct bench *b;
	struct answer *a;
	int next, total;
	uint64_t kill_at;
	int kills;
	uint64_t seed;
};

/* A few writes per tick, and now and then every connection dies. */
static bool load_tick(void *arg)
{
	struct load *l = arg;
	struct answers all = {l->a, (size_t)l->total};

	for (int i = 0; i < 7 && l->next < l->total; i++, l->next++)
		write_id(l->b, l->next, &l->a[l->next]);
	if (l->next < l->total && ph_clock_ms() >= l->kill_at) {
		ask(KILL);
		l->kills++;
		l->kill_at = ph_clock_ms() + 10 + ph_test_below(&l->seed, 120);
	}
	return l->next == l->total && all_answered(&all);
}

static void test_a_random_kill_loop(void **state)
{
	enum {
		TOTAL = 3000
	};
	struct load l = {.total = TOTAL, .seed = (uint64_t)getpid()};
	struct bench b;

	(void)state;
	NEED_SERVER();
	clear();
	print_message("seed %d\n", (int)l.seed);
	l.a = calloc(TOTAL, sizeof(*l.a));
	l.b = &b;
	bench_open(&b, ph_test_server_dsn(server), 2);
	bench_run(&b, load_tick, &l, 60000);
	print_message("%d writes, all connections killed %d times\n", TOTAL, l.kills);
	assert_true(l.kills > 5);
	assert_all_well(l.a, TOTAL);
	assert_int_equal(ask("select count(*) from w"), TOTAL);
	bench_close(&b, 0);
	free(l.a);
}

/* ---- bounds ---- */

static void test_patience_ends(void **state)
{
	struct answer a[5] = {0};
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;
	char dsn[64];
	uint64_t took;

	(void)state;
	NEED_SERVER();
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=x dbname=x", ph_test_free_port());
	bench_open(&b, dsn, 1);
	b.pg->writer.keep_ms = 400;
	for (int i = 0; i < (int)PH_COUNT(a); i++)
		write_id(&b, i, &a[i]);
	took = bench_run(&b, all_answered, &all, 5000);
	assert_in_range(took, 400, 2000);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		assert_int_equal(a[i].code, PH_E_DATABASE_AWAY);
	assert_int_equal(ph_pg_write_queued(b.pg), 0);
	bench_close(&b, 0);
}

/* A write that is in flight when its patience ends is answered once. */
static void test_patience_ends_in_flight(void **state)
{
	struct answer slow = {.not_int = true}, a = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	clear();
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	b.pg->writer.keep_ms = 200;
	ph_pg_write(b.pg, "select pg_sleep(0.6)", NULL, 0, on_answer, &slow);
	bench_run(&b, answered, &slow, 5000);
	assert_int_equal(slow.code, PH_E_DATABASE_AWAY);
	b.pg->writer.keep_ms = 5000;
	write_id(&b, 1, &a);
	bench_run(&b, answered, &a, 5000);
	assert_int_equal(a.code, 0);
	assert_int_equal(slow.count, 1);
	bench_close(&b, 0);
}

static void test_memory_is_bounded(void **state)
{
	static char text[1000];
	struct answer a[30] = {0};
	struct bench b;
	char dsn[64];

	(void)state;
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=x dbname=x", ph_test_free_port());
	memset(text, 'm', sizeof(text));
	bench_open(&b, dsn, 1);
	b.pg->writer.keep_bytes = 20 * 1100;
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		struct ph_pg_param p = PH_P_BYTES(ph_str(text, sizeof(text)));

		ph_pg_write(b.pg, "select $1", &p, 1, on_answer, &a[i]);
	}
	bench_run(&b, answered, &a[29], 5000);
	assert_int_equal(a[29].code, PH_E_DATABASE_AWAY);
	assert_int_equal(a[0].count, 0); /* the oldest stay */
	assert_true(b.pg->writer.bytes <= b.pg->writer.keep_bytes);
	assert_in_range(ph_pg_write_queued(b.pg), 15, 25);
	bench_close(&b, 0);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		assert_int_equal(a[i].count, 1);
	assert_int_equal(a[0].code, PH_E_CANCELLED);
}

/* ---- closing ---- */

static void test_close_waits_for_the_queue(void **state)
{
	static struct answer a[500];
	struct answer late = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	clear();
	memset(a, 0, sizeof(a));
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < (int)PH_COUNT(a); i++)
		write_id(&b, i, &a[i]);
	ph_pg_close(b.pg, 10000, on_bench_closed, &b);
	write_id(&b, 5000, &late);
	assert_int_equal(late.count, 0);
	bench_run(&b, is_closed, &b, 10000);
	assert_all_well(a, PH_COUNT(a));
	assert_int_equal(late.count, 1);
	assert_int_equal(late.code, PH_E_CANCELLED);
	assert_int_equal(ph_loop_free(b.loop), 0);
	assert_int_equal(ask("select count(*) from w"), PH_COUNT(a));
}

static void test_close_gives_up_after_the_grace(void **state)
{
	struct answer a[3] = {0};
	struct bench b;
	uint64_t start;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	bench_run(&b, is_up, &b, 5000);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		a[i].not_int = true;
		ph_pg_write(b.pg, "select pg_sleep(3)", NULL, 0, on_answer, &a[i]);
	}
	start = ph_clock_ms();
	bench_close(&b, 300);
	assert_in_range(ph_clock_ms() - start, 300, 2000);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].code, PH_E_CANCELLED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_batches_in_order),
		cmocka_unit_test(test_batches_are_bounded_in_bytes),
		cmocka_unit_test(test_one_bad_row_harms_nobody),
		cmocka_unit_test(test_a_commit_that_fails),
		cmocka_unit_test(test_passing_errors),
		cmocka_unit_test(test_how_it_goes),
		cmocka_unit_test(test_one_that_is_waited_for_overtakes),
		cmocka_unit_test(test_neither_starves),
		cmocka_unit_test(test_rows_of_every_kind),
		cmocka_unit_test(test_a_mixed_batch_fails),
		cmocka_unit_test(test_what_nobody_waits_for_is_shed_first),
		cmocka_unit_test(test_the_backend_dies_in_mid_batch),
		cmocka_unit_test(test_a_random_kill_loop),
		cmocka_unit_test(test_patience_ends),
		cmocka_unit_test(test_patience_ends_in_flight),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_close_waits_for_the_queue),
		cmocka_unit_test(test_close_gives_up_after_the_grace),
	};

	return cmocka_run_group_tests(tests, setup, server_teardown);
}
