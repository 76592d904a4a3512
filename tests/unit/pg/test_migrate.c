/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations: from nothing, by whom, by how many at once, and over what somebody else has done. */
#include "pg_test.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posthouse/migrate.h"

#define MIGRATORS 20
#define OWNED_BY(role)                                                                                       \
	"SELECT count(*) FROM pg_namespace WHERE nspname = 'posthouse' AND nspowner = '" role "'::regrole"

/* A database of the test's own, and conninfos that lead there. Two at a time. */
static const char *dsn_of(const char *database, const char *user)
{
	static char text[2][256];
	static unsigned turn;
	char *p = text[turn++ % 2];

	snprintf(p, sizeof(text[0]), "host=%s port=%d user=%s dbname=%s", server->dir, server->port, user,
		database);
	return p;
}

static int64_t ask_in(const char *dsn, const char *sql)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 5, &err);
	struct ph_pg_result *r = s ? ph_pgs_query(s, sql, NULL, 0, &err) : NULL;
	int64_t n;

	if (!r)
		fail_msg("%s: %s", sql, err.detail);
	n = ph_pg_rows(r) ? ph_pg_int(r, 0, 0) : -1;
	ph_pg_result_free(r);
	ph_pgs_close(s);
	return n;
}

/* The SQLSTATE with which a statement fails, "" if it does not. Static storage. */
static const char *state_of(const char *dsn, const char *sql)
{
	static char state[6];
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 5, &err);

	if (!s)
		fail_msg("%s", err.detail);
	state[0] = '\0';
	if (ph_pgs_script(s, sql, &err))
		memcpy(state, err.sqlstate, sizeof(state));
	ph_pgs_close(s);
	return state;
}

static enum ph_schema_state check(const char *dsn, int *ret_version)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 5, &err);
	enum ph_schema_state state = PH_SCHEMA_EMPTY;

	if (!s || ph_schema_check(s, &state, ret_version, &err))
		fail_msg("%s", err.detail);
	ph_pgs_close(s);
	return state;
}

static void migrate(const char *dsn)
{
	struct ph_err err = {0};

	if (ph_migrate(dsn, NULL, NULL, &err))
		fail_msg("%s", err.detail);
}

/* The whole schema is there, and it works for that user: a turn goes in and comes out. */
static void assert_works(const char *dsn)
{
	static int times;
	char turn[512], items[256];

	times++;
	snprintf(turn, sizeof(turn),
		"SELECT 1 FROM posthouse.commit_turn(gen_random_uuid(), 'n', 3, 'req_1', '/', 'm', 7, 'none',"
		" 'completed', 200, NULL, 1, 0, 0, true, 5, 5, 5, 5, 1, 1, 1, 'resp_0123456789abcdef0123%d',"
		" true, true, 0, NULL, NULL, NULL, NULL, 1, 'completed', 1, 0, 'in', 'out', NULL, '{}',"
		" '{msg_%d}') WHERE result = 'ok'",
		times, times);
	assert_int_equal(ask_in(dsn, turn), 1);
	snprintf(items, sizeof(items),
		"SELECT count(*) FROM posthouse.read_items(3, '{msg_%d}', '{msg_%d}') r"
		" JOIN posthouse.find_items(3, '{msg_%d}') f USING (item_id, output) WHERE output = 'out'",
		times, times, times);
	assert_int_equal(ask_in(dsn, items), 1);
	assert_int_equal(ask_in(dsn, "SELECT created + dropped FROM posthouse.maintain()"), 0);
	assert_int_equal(
		ask_in(dsn,
			"SELECT (count(*) > 0)::int FROM posthouse_admin.requests WHERE day = current_date"),
		1);
}

/* ---- who ---- */

static void test_superuser(void **state)
{
	const char *dsn = dsn_of("m_super", "postgres"), *node = dsn_of("m_super", "posthouse_node");
	int version = -1;

	(void)state;
	NEED_SERVER();
	run_script("CREATE DATABASE m_super");
	assert_int_equal(check(dsn, &version), PH_SCHEMA_EMPTY);
	assert_int_equal(version, 0);
	migrate(dsn);
	assert_int_equal(check(dsn, &version), PH_SCHEMA_CURRENT);
	assert_int_equal(version, ph_schema_latest());
	assert_int_equal(check(node, &version), PH_SCHEMA_CURRENT);
	assert_works(dsn);
	run_script("CREATE DATABASE m_node");
	migrate(dsn_of("m_node", "postgres"));
	assert_works(dsn_of("m_node", "posthouse_node"));
	migrate(dsn);
}

/* Two users that own their databases: one may make roles, one may not. */
static void test_owners(void **state)
{
	const char *plain = dsn_of("m_plain", "plain"), *maker = dsn_of("m_maker", "maker");
	int version;

	(void)state;
	NEED_SERVER();
	run_script("DROP DATABASE IF EXISTS m_super");
	run_script("DROP DATABASE IF EXISTS m_node");
	run_script(
		"DROP ROLE IF EXISTS posthouse_owner, posthouse_node, posthouse_operator, posthouse_viewer");
	run_script("CREATE ROLE plain LOGIN");
	run_script("CREATE ROLE maker LOGIN CREATEROLE");
	run_script("CREATE DATABASE m_plain OWNER plain");
	run_script("CREATE DATABASE m_maker OWNER maker");
	migrate(plain);
	assert_int_equal(check(plain, &version), PH_SCHEMA_CURRENT);
	assert_works(plain);
	assert_int_equal(ask("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'posthouse%'"), 0);
	migrate(maker);
	assert_works(maker);
	assert_int_equal(ask("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'posthouse%'"), 4);
	assert_works(dsn_of("m_maker", "posthouse_node"));
	assert_int_equal(ask_in(maker, OWNED_BY("posthouse_owner")), 1);
	/* Roles that came later change nothing for a schema that has its owner. */
	migrate(dsn_of("m_plain", "postgres"));
	assert_works(plain);
}

/* The roles are there, made by somebody else: whoever may not become their member goes on without. */
static void test_owners_after(void **state)
{
	const char *line[] = {"late LOGIN", "late_maker LOGIN CREATEROLE",
		"late_apart LOGIN CREATEROLE NOINHERIT", "late_member LOGIN IN ROLE posthouse_owner"};
	char sql[128], user[32], database[40];

	(void)state;
	NEED_SERVER();
	assert_int_equal(ask("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'posthouse%'"), 4);
	for (size_t i = 0; i < PH_COUNT(line); i++) {
		ph_str_copy(user, sizeof(user), ph_str(line[i], strcspn(line[i], " ")));
		snprintf(database, sizeof(database), "m_%s", user);
		snprintf(sql, sizeof(sql), "CREATE ROLE %s", line[i]);
		run_script(sql);
		snprintf(sql, sizeof(sql), "CREATE DATABASE %s OWNER %s", database, user);
		run_script(sql);
		migrate(dsn_of(database, user));
		assert_string_equal(
			state_of(dsn_of(database, user), "UPDATE posthouse.schema_files SET checksum = 'x'"
							 " WHERE name = 'bootstrap.sql'"),
			"");
		migrate(dsn_of(database, user));
		assert_works(dsn_of(database, user));
		assert_works(dsn_of(database, "posthouse_node"));
	}
	assert_int_equal(ask_in(dsn_of("m_late", "late"), OWNED_BY("late")), 1);
	assert_int_equal(ask_in(dsn_of("m_late_apart", "late_apart"), OWNED_BY("late_apart")), 1);
	assert_int_equal(ask_in(dsn_of("m_late_member", "late_member"), OWNED_BY("posthouse_owner")), 1);
}

static void test_no_rights(void **state)
{
	struct ph_err err = {0};

	(void)state;
	NEED_SERVER();
	run_script("CREATE ROLE stranger LOGIN");
	run_script("CREATE DATABASE m_strange");
	assert_true(ph_migrate(dsn_of("m_strange", "stranger"), NULL, NULL, &err) < 0);
	assert_string_equal(err.sqlstate, "42501");
	assert_non_null(strstr(err.detail, "owner of the database"));
	migrate(dsn_of("m_strange", "postgres"));
	assert_true(ph_migrate(dsn_of("m_strange", "stranger"), NULL, NULL, &err) < 0);
	assert_non_null(strstr(err.detail, "posthouse_node"));
	assert_true(ph_migrate(dsn_of("m_nowhere", "postgres"), NULL, NULL, &err) < 0);
	assert_int_equal(err.code, PH_E_DATABASE_AWAY);
	assert_non_null(strstr(err.detail, "m_nowhere"));
}

/* ---- how many ---- */

static int in_child(const char *dsn)
{
	struct ph_err err = {0};

	if (ph_migrate(dsn, NULL, NULL, &err) == 0)
		return 0;
	fprintf(stderr, "migrate: %s\n", err.detail);
	return 1;
}

static void test_twenty(void **state)
{
	const char *dsn = dsn_of("m_twenty", "postgres");
	pid_t child[MIGRATORS];
	int status;

	(void)state;
	NEED_SERVER();
	run_script("CREATE DATABASE m_twenty");
	for (int i = 0; i < MIGRATORS; i++) {
		child[i] = fork();
		if (child[i] == 0)
			_exit(in_child(dsn));
	}
	for (int i = 0; i < MIGRATORS; i++) {
		assert_int_equal(waitpid(child[i], &status, 0), child[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(
		ask_in(dsn, "SELECT max(version) FROM posthouse.schema_migrations"), ph_schema_latest());
	assert_int_equal(
		ask_in(dsn, "SELECT count(*) - count(DISTINCT version) FROM posthouse.schema_migrations"), 0);
	/* Each of the six parents got its four days, once. */
	assert_int_equal(ask_in(dsn, "SELECT count(*) FROM posthouse.partitions"), 24);
	assert_int_equal(ask_in(dsn, "SELECT count(DISTINCT applied_at) FROM posthouse.schema_files"), 2);
}

/* ---- over what ---- */

static void test_changed(void **state)
{
	const char *dsn = dsn_of("m_changed", "postgres");
	struct ph_err err = {0};
	int version;

	(void)state;
	NEED_SERVER();
	run_script("CREATE DATABASE m_changed");
	migrate(dsn);
	/* Functions of another text are put right. */
	assert_string_equal(
		state_of(dsn, "UPDATE posthouse.schema_files SET checksum = 'x'"
			      " WHERE name = 'functions/resolve.sql';"
			      "CREATE OR REPLACE FUNCTION posthouse.is_foreign(p_scope bigint, p_id text)"
			      " RETURNS bool LANGUAGE sql AS 'SELECT NULL::bool'"),
		"");
	assert_int_equal(check(dsn, &version), PH_SCHEMA_OLDER);
	migrate(dsn);
	assert_int_equal(check(dsn, &version), PH_SCHEMA_CURRENT);
	assert_int_equal(ask_in(dsn, "SELECT posthouse.is_foreign(1, 'x')::int"), 0);
	assert_int_equal(
		ask_in(dsn, "SELECT prosecdef::int FROM pg_proc WHERE oid = 'posthouse.is_foreign'::regproc"),
		1);
	/* A migration of another text is not. */
	assert_string_equal(state_of(dsn, "UPDATE posthouse.schema_migrations SET checksum = 'x'"), "");
	assert_int_equal(ph_migrate(dsn, NULL, NULL, &err), -PH_E_CONFIG);
	assert_non_null(strstr(err.detail, "0001_first.sql"));
}

static void test_newer(void **state)
{
	const char *dsn = dsn_of("m_newer", "postgres");
	struct ph_err err = {0};
	int version;

	(void)state;
	NEED_SERVER();
	run_script("CREATE DATABASE m_newer");
	migrate(dsn);
	assert_string_equal(
		state_of(dsn, "INSERT INTO posthouse.schema_migrations VALUES (900, 'x', 'x', false)"),
		"23502");
	assert_string_equal(
		state_of(dsn,
			"INSERT INTO posthouse.schema_migrations (version, name, checksum, contracting, ms)"
			" VALUES (900, '0900_x.sql', 'x', false, 1)"),
		"");
	assert_int_equal(check(dsn, &version), PH_SCHEMA_NEWER);
	assert_int_equal(version, 900);
	migrate(dsn);
	assert_int_equal(ph_migrate_wait(dsn, 2, &err), 0);
	assert_string_equal(
		state_of(
			dsn, "UPDATE posthouse.schema_migrations SET contracting = true WHERE version = 900"),
		"");
	assert_int_equal(check(dsn, &version), PH_SCHEMA_BREAKING);
	assert_int_equal(ph_migrate(dsn, NULL, NULL, &err), -PH_E_CONFIG);
	assert_non_null(strstr(err.detail, "upgrade posthouse"));
	assert_int_equal(ph_migrate_wait(dsn, 60, &err), -PH_E_CONFIG);
}

/* A reader that holds a table: the file is tried again, and nobody queues behind it for long. */
static void test_locked(void **state)
{
	const char *dsn = dsn_of("m_locked", "postgres");
	struct ph_err err = {0};
	struct ph_pgs *holder;
	pid_t child;
	int status;

	(void)state;
	NEED_SERVER();
	run_script("CREATE DATABASE m_locked");
	migrate(dsn);
	assert_string_equal(
		state_of(dsn, "UPDATE posthouse.schema_files SET checksum = 'x' WHERE name LIKE 'admin/%'"),
		"");
	holder = ph_pgs_open(dsn, 5, &err);
	assert_non_null(holder);
	assert_int_equal(ph_pgs_script(holder, "BEGIN; SELECT FROM posthouse_admin.accounts", &err), 0);
	child = fork();
	if (child == 0)
		_exit(in_child(dsn));
	sleep(3); /* longer than one lock_timeout */
	assert_int_equal(waitpid(child, &status, WNOHANG), 0);
	assert_int_equal(ph_pgs_script(holder, "COMMIT", &err), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	ph_pgs_close(holder);
}

static void test_wait(void **state)
{
	const char *dsn = dsn_of("m_wait", "postgres");
	struct ph_err err = {0};
	pid_t child;
	int status;

	(void)state;
	NEED_SERVER();
	/* Nothing there to begin with, not even the database. */
	child = fork();
	if (child == 0)
		_exit(ph_migrate_wait(dsn, 60, NULL) != 0);
	run_script("CREATE DATABASE m_wait");
	assert_int_equal(ph_migrate_wait(dsn, 1, &err), -PH_E_TIMEOUT);
	assert_non_null(strstr(err.detail, "posthouse migrate"));
	migrate(dsn);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* ---- through what ---- */

static const char *pgbouncer_path(void)
{
	const char *places[] = {"/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"};

	for (size_t i = 0; i < PH_COUNT(places); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

/* In front of the test's server, on a socket and a port of its own; as the server's user, since it refuses
 * root. */
static pid_t start_pgbouncer(int port, const char *mode)
{
	char ini[128], users[128];
	struct stat st;
	pid_t pid;
	FILE *f;

	snprintf(ini, sizeof(ini), "%s/pgbouncer.ini", server->dir);
	snprintf(users, sizeof(users), "%s/pgbouncer.users", server->dir);
	f = fopen(users, "w");
	assert_non_null(f);
	fputs("\"postgres\" \"\"\n", f);
	fclose(f);
	f = fopen(ini, "w");
	assert_non_null(f);
	fprintf(f,
		"[databases]\n* = host=%s port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"
		"unix_socket_dir = \nauth_type = trust\nauth_file = %s\npool_mode = %s\n",
		server->dir, server->port, port, users, mode);
	fclose(f);
	assert_int_equal(stat(server->dir, &st), 0);
	assert_int_equal(chmod(ini, 0644) + chmod(users, 0644), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (geteuid() == 0 && (setgroups(0, NULL) || setgid(st.st_gid) || setuid(st.st_uid)))
			_exit(126);
		execl(pgbouncer_path(), "pgbouncer", "-q", ini, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static void wait_up(const char *dsn)
{
	struct ph_pgs *s = NULL;

	for (int i = 0; i < 500 && !s; i++) {
		s = ph_pgs_open(dsn, 1, NULL);
		if (!s)
			usleep(10 * 1000);
	}
	assert_non_null(s);
	ph_pgs_close(s);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_pooler(void **state)
{
	int port = ph_test_free_port();
	struct ph_err err = {0};
	char dsn[128];
	pid_t pid;

	(void)state;
	NEED_SERVER();
	if (!pgbouncer_path())
		skip();
	run_script("CREATE DATABASE m_pooler");
	snprintf(dsn, sizeof(dsn), "host=127.0.0.1 port=%d user=postgres dbname=m_pooler", port);
	pid = start_pgbouncer(port, "transaction");
	wait_up(dsn);
	assert_int_equal(ph_migrate(dsn, NULL, NULL, &err), -PH_E_CONFIG);
	assert_non_null(strstr(err.detail, "POSTHOUSE_DATABASE_DIRECT_URL"));
	/* Nothing was left behind that would stop the next. */
	migrate(dsn_of("m_pooler", "postgres"));
	end(pid);
	pid = start_pgbouncer(port, "session");
	wait_up(dsn);
	migrate(dsn);
	end(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_superuser),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_owners_after),
		cmocka_unit_test(test_no_rights),
		cmocka_unit_test(test_twenty),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_newer),
		cmocka_unit_test(test_locked),
		cmocka_unit_test(test_wait),
		cmocka_unit_test(test_pooler),
	};

	return cmocka_run_group_tests(tests, server_setup, server_teardown);
}
