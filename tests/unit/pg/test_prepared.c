/* SPDX-License-Identifier: Apache-2.0 */
/* Statements by name: used without being asked for, and never in anybody's way: after a lost connection,
 * where names are gone, taken or out of date, and behind a transaction pooler. */
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pg_test.h"
#include "posthouse/crypt.h"

#define ADD  "select $1::int + 1"
#define SEEN "select count(*) from pg_prepared_statements where statement = '" ADD "'"
#define USED                                                                                                 \
	"select coalesce(sum(generic_plans + custom_plans), 0)::bigint from pg_prepared_statements where "   \
	"statement = '" ADD "'"
#define INSERT                                                                                               \
	"insert into p (id) values ($1::int) on conflict (id) do update set times = p.times + 1 returning "  \
	"id"

static int setup(void **state)
{
	server_setup(state);
	if (server)
		run_script("create table p (id int primary key check (id < 1000000), times int not null "
			   "default 1)");
	return 0;
}

/* One call on the pool, answered well. */
static int64_t call(struct bench *b, const char *sql)
{
	struct answer a = {0};

	ph_pg_query(b->pg, sql, NULL, 0, 0, on_answer, &a);
	bench_run(b, answered, &a, 5000);
	assert_string_equal(a.detail, "");
	assert_int_equal(a.code, 0);
	return a.first;
}

/* n calls at once, each answered with its own number. */
static void add(struct bench *b, int n)
{
	struct answer a[32] = {0};
	struct answers all = {a, (size_t)n};

	assert_in_range(n, 1, PH_COUNT(a));
	for (int i = 0; i < n; i++) {
		struct ph_pg_param p = PH_P_INT(i);

		ph_pg_query(b->pg, ADD, &p, 1, 0, on_answer, &a[i]);
	}
	bench_run(b, all_answered, &all, 5000);
	for (int i = 0; i < n; i++) {
		assert_string_equal(a[i].detail, "");
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].code, 0);
		assert_true(a[i].first == i + 1);
	}
}

static void put(struct bench *b, int from, int n, struct answer *a)
{
	memset(a, 0, (size_t)n * sizeof(*a));
	for (int i = 0; i < n; i++) {
		struct ph_pg_param p = PH_P_INT(from + i);

		ph_pg_write(b->pg, INSERT, &p, 1, on_answer, &a[i]);
	}
}

static void put_all(struct bench *b, int from, int n)
{
	static struct answer a[200];
	struct answers all = {a, (size_t)n};

	assert_in_range(n, 1, PH_COUNT(a));
	put(b, from, n, a);
	bench_run(b, all_answered, &all, 10000);
	for (int i = 0; i < n; i++) {
		assert_string_equal(a[i].detail, "");
		assert_int_equal(a[i].count, 1);
		assert_true(a[i].first == from + i);
	}
}

/* One statement on the writer's connection. */
static int64_t write_one(struct bench *b, const char *sql)
{
	struct answer a = {0};

	ph_pg_write(b->pg, sql, NULL, 0, on_answer, &a);
	bench_run(b, answered, &a, 5000);
	assert_string_equal(a.detail, "");
	return a.first;
}

/* ---- in use ---- */

static void test_a_call_gets_a_name(void **state)
{
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	add(&b, 1);
	assert_true(call(&b, SEEN) == 1);
	assert_true(call(&b, USED) == 0); /* the first went beside it */
	add(&b, 20);
	assert_true(call(&b, USED) == 20);
	assert_true(call(&b, SEEN) == 1);
	bench_close(&b, 0);
}

static void test_a_write_gets_a_name(void **state)
{
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script("truncate p");
	bench_open(&b, ph_test_server_dsn(server), 1);
	put_all(&b, 0, 100);
	put_all(&b, 100, 100);
	assert_true(write_one(&b, "select sum(generic_plans + custom_plans)::bigint from "
				  "pg_prepared_statements where statement like 'insert into p %'") > 100);
	assert_int_equal(ask("select count(*) from p where times = 1"), 200);
	bench_close(&b, 0);
}

/* A batch of which one fails goes again one by one, by name. */
static void test_a_bad_row_by_name(void **state)
{
	struct answer a[20];
	struct answers all = {a, PH_COUNT(a)};
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script("truncate p");
	bench_open(&b, ph_test_server_dsn(server), 1);
	put_all(&b, 0, 10);
	put(&b, 999990, PH_COUNT(a), a); /* the second half is out of range */
	bench_run(&b, all_answered, &all, 10000);
	for (size_t i = 0; i < PH_COUNT(a); i++)
		assert_string_equal(a[i].sqlstate, i < 10 ? "" : "23514");
	assert_int_equal(ask("select count(*) from p where times = 1"), 20);
	bench_close(&b, 0);
}

static void test_names_are_bounded(void **state)
{
	struct bench b;
	char sql[64];

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < 2 * PG_PREPARED_MAX; i++) {
		snprintf(sql, sizeof(sql), "select %d", i);
		assert_true(call(&b, sql) == i);
	}
	assert_true(call(&b, "select count(*) from pg_prepared_statements") == PG_PREPARED_MAX);
	bench_close(&b, 0);
}

static void test_what_cannot_be_prepared_fails_as_ever(void **state)
{
	struct answer a[2] = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (size_t i = 0; i < PH_COUNT(a); i++) {
		ph_pg_query(b.pg, "select id from p_later", NULL, 0, 0, on_answer, &a[i]);
		bench_run(&b, answered, &a[i], 5000);
		assert_int_equal(a[i].code, PH_E_DATABASE_ERROR);
		assert_string_equal(a[i].sqlstate, "42P01");
	}
	run_script("create table p_later (id int); insert into p_later values (9)");
	assert_true(call(&b, "select id from p_later") == 9);
	bench_close(&b, 0);
}

/* ---- names that do not hold ---- */

static void test_a_new_connection_prepares_anew(void **state)
{
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script("truncate p");
	bench_open(&b, ph_test_server_dsn(server), 1);
	add(&b, 20);
	add(&b, 20);
	put_all(&b, 0, 100);
	assert_true(ask("select count(pg_terminate_backend(pid)) from pg_stat_activity where "
			"application_name = 'posthouse test'") == 2);
	bench_wait(&b, 300);
	bench_run(&b, is_up, &b, 5000);
	assert_true(call(&b, SEEN) == 0);
	add(&b, 20);
	add(&b, 20);
	assert_true(call(&b, SEEN) == 1);
	assert_true(call(&b, USED) >= 20);
	put_all(&b, 100, 100);
	assert_int_equal(ask("select count(*) from p where times = 1"), 200);
	bench_close(&b, 0);
}

/* Somebody clears the session: everything is answered all the same, and goes without names from there on. */
static void test_names_are_lost(void **state)
{
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script("truncate p");
	bench_open(&b, ph_test_server_dsn(server), 1);
	add(&b, 8);
	add(&b, 8);
	call(&b, "discard all");
	add(&b, 32); /* eight of them in flight at once */
	assert_true(call(&b, SEEN) == 0);
	add(&b, 8);
	assert_true(call(&b, SEEN) == 0);

	put_all(&b, 0, 100);
	write_one(&b, "deallocate all");
	put_all(&b, 100, 100);
	assert_true(write_one(&b, "select count(*) from pg_prepared_statements") == 0);
	assert_int_equal(ask("select count(*) from p where times = 1"), 200);
	bench_close(&b, 0);
}

/* A pooler's server connection may have met the name before. */
static void test_a_name_is_taken(void **state)
{
	struct bench b;
	char sql[96];

	(void)state;
	NEED_SERVER();
	bench_open(&b, ph_test_server_dsn(server), 1);
	snprintf(sql, sizeof(sql), "prepare ph_%016llx as select 77",
		(unsigned long long)ph_hash64(PH_STR(ADD), 0));
	call(&b, sql);
	add(&b, 8);
	add(&b, 8);
	assert_true(call(&b, SEEN) == 0);
	bench_close(&b, 0);
}

/* What a migration may do: the same text, other columns. The connection is replaced and has names again. */
static void test_a_result_changes_its_type(void **state)
{
	static const char sql[] = "select * from changing";
	struct answer a = {.not_int = true};
	struct bench b;
	int64_t was;

	(void)state;
	NEED_SERVER();
	run_script("create table changing (a int); insert into changing values (1)");
	bench_open(&b, ph_test_server_dsn(server), 1);
	assert_true(call(&b, sql) == 1);
	assert_true(call(&b, sql) == 1);
	was = call(&b, "select pg_backend_pid()");
	run_script("alter table changing drop a; alter table changing add b text default 'x', add c int");
	ph_pg_query(b.pg, sql, NULL, 0, 0, on_answer, &a);
	bench_run(&b, answered, &a, 5000);
	assert_string_equal(a.detail, "");
	assert_int_equal(a.rows, 1);
	add(&b, 8);
	add(&b, 8);
	assert_true(call(&b, "select pg_backend_pid()") != was);
	assert_true(call(&b, SEEN) == 1);
	bench_close(&b, 0);
}

/* An error of the same code that a function raises is an answer, and nothing is run twice for it. */
static void test_an_unsupported_feature_is_an_answer(void **state)
{
	struct answer a = {0};
	struct bench b;

	(void)state;
	NEED_SERVER();
	run_script("create sequence unsupported_calls; create function unsupported() returns int language "
		   "plpgsql as $$begin perform nextval('unsupported_calls'); raise exception 'no' using "
		   "errcode = '0A000'; end$$");
	bench_open(&b, ph_test_server_dsn(server), 1);
	for (int i = 0; i < 3; i++) {
		a.count = 0;
		ph_pg_query(b.pg, "select unsupported()", NULL, 0, 0, on_answer, &a);
		bench_run(&b, answered, &a, 5000);
		assert_string_equal(a.sqlstate, "0A000");
	}
	assert_int_equal(ask("select last_value from unsupported_calls"), 3);
	bench_close(&b, 0);
}

/* ---- poolers ---- */

static void test_none_where_a_direct_url_says_pooler(void **state)
{
	struct ph_pg_options options = {.readers = 1, .application = "posthouse test"};
	struct bench b;

	(void)state;
	NEED_SERVER();
	options.dsn = ph_test_server_dsn(server);
	options.direct_dsn = ph_test_server_tcp_dsn(server);
	bench_loop(&b);
	b.pg = ph_pg_open(b.loop, &options);
	add(&b, 8);
	add(&b, 8);
	assert_true(call(&b, "select count(*) from pg_prepared_statements") == 0);
	bench_close(&b, 0);
}

#define PGBOUNCER "/usr/sbin/pgbouncer"

static void write_ini(char *path, size_t size, int port)
{
	FILE *f;

	snprintf(path, size, "%s/pgbouncer.ini", server->dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f,
		"[databases]\npostgres = host=%s port=%d user=postgres\n[pgbouncer]\nlisten_addr = "
		"127.0.0.1\n"
		"listen_port = %d\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n"
		"default_pool_size = 3\nserver_lifetime = 1\n",
		server->dir, server->port, port);
	fclose(f);
	chmod(path, 0644);
}

/* As the user postgres where this is root: it refuses to be root. */
static pid_t start_pooler(int port)
{
	const struct passwd *user = getpwnam("postgres");
	char path[96];
	pid_t pid;

	write_ini(path, sizeof(path), port);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	if (geteuid() == 0 &&
		(initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(PGBOUNCER, PGBOUNCER, "-q", path, (char *)NULL);
	_exit(127);
}

/* Nobody says that it is there. Several nodes share few server connections, so names get lost and meet. */
static void test_behind_a_transaction_pooler(void **state)
{
	enum {
		NODES = 3,
		ROUNDS = 30
	};
	struct bench b[NODES];
	static struct answer a[NODES][20];
	char dsn[96];
	int port = ph_test_free_port();
	pid_t pid;

	(void)state;
	NEED_SERVER();
	if (access(PGBOUNCER, X_OK) != 0)
		skip();
	run_script("truncate p");
	pid = start_pooler(port);
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=postgres dbname=postgres", port);
	for (int i = 0; i < NODES; i++) {
		bench_open(&b[i], dsn, 2);
		bench_run(&b[i], is_up, &b[i], 10000);
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < NODES; i++)
			put(&b[i], (round * NODES + i) * 20, 20, a[i]);
		for (int i = 0; i < NODES; i++) {
			struct answers all = {a[i], 20};

			add(&b[i], 16);
			bench_run(&b[i], all_answered, &all, 10000);
			for (int k = 0; k < 20; k++)
				assert_string_equal(a[i][k].detail, "");
		}
	}
	for (int i = 0; i < NODES; i++)
		bench_close(&b[i], 0);
	assert_int_equal(ask("select count(*) from p where times = 1"), ROUNDS * NODES * 20);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_call_gets_a_name),
		cmocka_unit_test(test_a_write_gets_a_name),
		cmocka_unit_test(test_a_bad_row_by_name),
		cmocka_unit_test(test_names_are_bounded),
		cmocka_unit_test(test_what_cannot_be_prepared_fails_as_ever),
		cmocka_unit_test(test_a_new_connection_prepares_anew),
		cmocka_unit_test(test_names_are_lost),
		cmocka_unit_test(test_a_name_is_taken),
		cmocka_unit_test(test_a_result_changes_its_type),
		cmocka_unit_test(test_an_unsupported_feature_is_an_answer),
		cmocka_unit_test(test_none_where_a_direct_url_says_pooler),
		cmocka_unit_test(test_behind_a_transaction_pooler),
	};

	return cmocka_run_group_tests(tests, setup, server_teardown);
}
