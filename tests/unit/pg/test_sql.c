/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL functions. What one session can show stands in tests/sql/, one script per subject, each in a
 * database of its own; what takes several sessions at once stands here.
 */
#include "pg_test.h"

#include <sys/wait.h>
#include <unistd.h>

#include "posthouse/migrate.h"

#define SCRIPT_MAX (1 << 20)
#define RACERS     8
#define ROUNDS     20

static const char *dsn_of(const char *database, const char *user)
{
	static char text[2][256];
	static unsigned turn;
	char *p = text[turn++ % 2];

	snprintf(p, sizeof(text[0]), "host=%s port=%d user=%s dbname=%s", server->dir, server->port, user,
		database);
	return p;
}

static struct ph_pgs *open_in(const char *database, const char *user)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn_of(database, user), 5, &err);

	if (!s)
		fail_msg("%s", err.detail);
	return s;
}

static void script(struct ph_pgs *s, const char *name, const char *sql)
{
	struct ph_err err = {0};

	if (ph_pgs_script(s, sql, &err))
		fail_msg("%s: %s", name, err.detail);
}

static void script_file(struct ph_pgs *s, const char *name)
{
	char *text = calloc(1, SCRIPT_MAX), path[512];
	FILE *f;
	size_t n;

	assert_non_null(text);
	snprintf(path, sizeof(path), "%s/sql/%s.sql", PH_TEST_DATA, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, SCRIPT_MAX - 1, f);
	assert_in_range(n, 1, SCRIPT_MAX - 2);
	fclose(f);
	script(s, name, text);
	free(text);
}

/* A fresh database with the schema and the helpers. */
static struct ph_pgs *database(const char *name)
{
	struct ph_err err = {0};
	struct ph_pgs *s;
	char sql[64];

	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
	run_script(sql);
	if (ph_migrate(dsn_of(name, "postgres"), NULL, NULL, &err))
		fail_msg("%s", err.detail);
	s = open_in(name, "postgres");
	script_file(s, "00_helpers");
	return s;
}

static void test_script(void **state)
{
	char name[64];
	struct ph_pgs *s;

	NEED_SERVER();
	snprintf(name, sizeof(name), "s_%s", (const char *)*state);
	s = database(name);
	script_file(s, *state);
	ph_pgs_close(s);
}

/* ---- several sessions ---- */

static struct ph_str text_of(struct ph_pgs *s, const char *sql, struct ph_pg_result **r)
{
	struct ph_err err = {0};

	*r = ph_pgs_query(s, sql, NULL, 0, &err);
	if (!*r)
		fail_msg("%s: %s", sql, err.detail);
	return ph_pg_rows(*r) ? ph_pg_str(*r, 0, 0) : PH_STR_NONE;
}

static void assert_text(struct ph_pgs *s, const char *sql, const char *expected)
{
	struct ph_pg_result *r;

	ph_assert_str(text_of(s, sql, &r), ph_str_c(expected));
	ph_pg_result_free(r);
}

/* In a child: ROUNDS commits under ids that its rivals use too, in one turn each. Its exit status counts
 * those it won. */
static int race(int racer)
{
	struct ph_pgs *s = open_in("s_race", "posthouse_node");
	int won = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct ph_err err = {0};
		char sql[256];
		struct ph_pg_result *r;

		snprintf(sql, sizeof(sql), "SELECT result FROM test.turn(1, test.id(%d), class => %d)", i,
			racer % 2);
		r = ph_pgs_query(s, sql, NULL, 0, &err);
		if (!r) {
			fprintf(stderr, "race: %s\n", err.detail);
			return 255;
		}
		won += ph_str_eq(ph_pg_str(r, 0, 0), PH_STR("ok"));
		ph_pg_result_free(r);
	}
	ph_pgs_close(s);
	return won;
}

/* Of many turns that bring one id at the same moment, in both classes, one is kept, and the id is ambiguous.
 */
static void test_race(void **state)
{
	struct ph_pgs *s;
	pid_t child[RACERS];
	int status, won = 0;

	(void)state;
	NEED_SERVER();
	s = database("s_race");
	script(s, "grant", "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA test TO posthouse_node");
	for (int i = 0; i < RACERS; i++) {
		child[i] = fork();
		if (child[i] == 0)
			_exit(race(i));
	}
	for (int i = 0; i < RACERS; i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 255);
		won += WEXITSTATUS(status);
	}
	assert_int_equal(won, ROUNDS);
	assert_text(s, "SELECT count(*)::text FROM posthouse.snapshots", "20");
	assert_text(s,
		"SELECT string_agg(DISTINCT test.status(1, test.id(n)), ',') FROM generate_series(0, 19) n",
		"ambiguous");
	assert_text(s, "SELECT count(*)::text FROM posthouse.request_log", "160");
	ph_pgs_close(s);
}

/* A retry that overtakes its first attempt waits for it, and finds it. */
static void test_retry(void **state)
{
	const char *again =
		"SELECT result FROM test.turn(1, test.id(1), turn => '00000000-0000-0000-0000-00000000000a')";
	struct ph_pgs *s, *first, *second;
	struct ph_pg_result *r;
	pid_t child;
	int status;

	(void)state;
	NEED_SERVER();
	s = database("s_retry");
	first = open_in("s_retry", "postgres");
	script(first, "begin", "BEGIN");
	ph_assert_str(text_of(first, again, &r), PH_STR("ok"));
	ph_pg_result_free(r);
	child = fork();
	if (child == 0) {
		second = open_in("s_retry", "postgres");
		_exit(!ph_str_eq(text_of(second, again, &r), PH_STR("duplicate")));
	}
	usleep(300 * 1000);
	assert_int_equal(waitpid(child, &status, WNOHANG), 0);
	script(first, "commit", "COMMIT");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	ph_pgs_close(first);
	ph_pgs_close(s);
}

/* A reader in the way of a drop: nobody waits for long, and the next round gets it. */
static void test_drop_waits(void **state)
{
	struct ph_pgs *s, *reader;
	uint64_t start;

	(void)state;
	NEED_SERVER();
	s = database("s_drop");
	reader = open_in("s_drop", "postgres");
	script(s, "due",
		"UPDATE posthouse.partitions SET keep_until = test.today() + 1000 WHERE day < test.today();"
		"UPDATE posthouse.partitions SET keep_until = test.today() - 1"
		" WHERE parent = 'snapshots_stored' AND day = test.today() - 3");
	script(reader, "read", "BEGIN; SELECT FROM posthouse.snapshots");
	start = ph_clock_ms();
	assert_text(s, "SELECT dropped::text FROM posthouse.maintain()", "0");
	assert_in_range(ph_clock_ms() - start, 150, 5000);
	script(reader, "done", "COMMIT");
	assert_text(s, "SELECT dropped::text FROM posthouse.maintain()", "1");
	ph_pgs_close(reader);
	ph_pgs_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_script, "commit"),
		cmocka_unit_test_prestate(test_script, "log_turns"),
		cmocka_unit_test_prestate(test_script, "resolve"),
		cmocka_unit_test_prestate(test_script, "items"),
		cmocka_unit_test_prestate(test_script, "owned"),
		cmocka_unit_test_prestate(test_script, "scopes"),
		cmocka_unit_test_prestate(test_script, "logins"),
		cmocka_unit_test_prestate(test_script, "retention"),
		cmocka_unit_test_prestate(test_script, "operators"),
		cmocka_unit_test_prestate(test_script, "health"),
		cmocka_unit_test_prestate(test_script, "leases"),
		cmocka_unit_test_prestate(test_script, "nodes"),
		cmocka_unit_test_prestate(test_script, "refresh"),
		cmocka_unit_test_prestate(test_script, "limits"),
		cmocka_unit_test_prestate(test_script, "background"),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_drop_waits),
	};

	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
