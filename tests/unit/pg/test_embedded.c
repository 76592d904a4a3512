/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded PostgreSQL. Each scenario is a function that runs in a child process with a data directory of
 * its own: as root, where the tests run as root, and as an ordinary user.
 */
#include "ph_test.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posthouse/embedded.h"
#include "posthouse/pg.h"

#define JOINS 20

/* In a child: cmocka's assertions would jump into the parent's stack. */
#define CHECK(condition)                                                                                     \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			exit(1);                                                                             \
		}                                                                                            \
	} while (0)

static char base[64];    /* holds one directory per scenario */
static int created_seen; /* progress lines that speak of creating */

static void on_progress(void *arg, const char *line)
{
	(void)arg;
	created_seen += strstr(line, "creating") != NULL;
}

static struct ph_embedded *join(const char *dir)
{
	struct ph_err err = {0};
	struct ph_embedded *e = ph_embedded_join(dir, on_progress, NULL, &err);

	if (!e)
		fprintf(stderr, "join: %s\n", err.detail);
	CHECK(e);
	return e;
}

static const char *inside(const char *dir, const char *name)
{
	static char path[4][1024];
	static unsigned turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

/* A zombie is gone too: not every init reaps at once. */
static bool alive(pid_t pid)
{
	char path[64], line[512] = "", *state;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "r");
	if (!f)
		return false;
	state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	return state && state[2] != 'Z' && state[2] != 'X';
}

/* The postmaster's process id, 0 where none runs. */
static pid_t server_pid(const char *dir)
{
	FILE *f = fopen(inside(dir, "pg/postmaster.pid"), "r");
	int pid = 0;

	if (f && fscanf(f, "%d", &pid) != 1)
		pid = 0;
	if (f)
		fclose(f);
	return pid > 0 && alive(pid) ? pid : 0;
}

static bool ended(pid_t pid)
{
	for (int i = 0; i < 500 && alive(pid); i++)
		usleep(10 * 1000);
	return !alive(pid);
}

static int64_t ask(const char *dsn, const char *sql)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(dsn, 10, &err);
	struct ph_pg_result *r = s ? ph_pgs_query(s, sql, NULL, 0, &err) : NULL;
	int64_t n;

	if (!r)
		fprintf(stderr, "%s: %s\n", sql, err.detail);
	CHECK(r);
	n = ph_pg_rows(r) ? ph_pg_int(r, 0, 0) : -1;
	ph_pg_result_free(r);
	ph_pgs_close(s);
	return n;
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	CHECK(stat(path, &st) == 0);
	return st.st_mode & 07777;
}

/* ---- the frame ---- */

typedef void scenario(const char *dir);

static int run_child(scenario *fn, const char *dir, const struct passwd *user)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		alarm(100); /* one that hangs fails */
		if (user && (setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0))
			_exit(3);
		fn(dir);
		exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void run(const char *name, scenario *fn)
{
	char dir[160];

	snprintf(dir, sizeof(dir), "%s/%s", base, name);
	assert_int_equal(run_child(fn, dir, NULL), 0);
}

/* As whoever we are; and, if that is root, as an ordinary user. */
static void run_as_both(const char *name, scenario *fn)
{
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
	char dir[160];

	run(name, fn);
	if (!nobody)
		return;
	snprintf(dir, sizeof(dir), "%s/%s-nobody", base, name);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chown(dir, nobody->pw_uid, nobody->pw_gid), 0);
	assert_int_equal(run_child(fn, dir, nobody), 0);
}

static int setup(void **state)
{
	(void)state;
	snprintf(base, sizeof(base), "/tmp/ph-test-embedded-XXXXXX");
	return mkdtemp(base) && chmod(base, 0711) == 0 ? 0 : -1;
}

/* Servers that a failed scenario left behind end first. */
static int teardown(void **state)
{
	glob_t found = {0};
	pid_t pid;

	(void)state;
	glob(inside(base, "*"), 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		pid = server_pid(found.gl_pathv[i]);
		if (pid && kill(pid, SIGQUIT) == 0)
			ended(pid);
	}
	globfree(&found);
	pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", base, (char *)NULL);
		_exit(127);
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static bool installed(void)
{
	glob_t found = {0};
	bool yes = glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0 ||
		   access("/usr/bin/initdb", X_OK) == 0;

	globfree(&found);
	return yes;
}

#define NEED_PROGRAMS()                                                                                      \
	do {                                                                                                 \
		if (!installed())                                                                            \
			skip();                                                                              \
	} while (0)

/* ---- starts ---- */

static void first_and_later(const char *dir)
{
	struct ph_embedded *e;
	struct stat st;
	pid_t pid;

	setenv("PGPORT", "1", 1); /* of some other server: it is not asked about */
	setenv("PGDATABASE", "elsewhere", 1);
	e = join(dir);
	CHECK(created_seen == 1);
	pid = server_pid(dir);
	CHECK(pid);
	CHECK(getsid(pid) != getsid(0)); /* Ctrl-C does not reach it */
	CHECK(ask(ph_embedded_dsn(e), "SELECT 1 FROM pg_user WHERE usename = current_user AND usesuper"
				      " AND current_database() = 'posthouse'") == 1);
	ask(ph_embedded_dsn(e), "CREATE TABLE kept AS SELECT 42 AS n");
	CHECK(ask(ph_embedded_dsn(e),
		      "SELECT (current_setting('listen_addresses') = '' AND current_setting('jit') ="
		      " 'off' AND current_setting('fsync') = 'on')::int") == 1);
	CHECK(strstr(ph_embedded_node_dsn(e), "user=posthouse_node"));
	CHECK(mode_of(inside(dir, "pg")) == 0700 && mode_of(inside(dir, "run")) == 0700);
	CHECK(stat(inside(dir, "pg"), &st) == 0 &&
		(geteuid() == 0 ? st.st_uid != 0 : st.st_uid == geteuid()));
	CHECK(ph_embedded_leave(e) == NULL);
	CHECK(ended(pid) && server_pid(dir) == 0);

	e = join(dir);
	CHECK(created_seen == 1);
	CHECK(ask(ph_embedded_dsn(e), "SELECT n FROM kept") == 42);
	ph_embedded_leave(e);
	CHECK(server_pid(dir) == 0);
}

static void test_first_and_later(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run_as_both("first", first_and_later);
}

static void interrupted_initdb(const char *dir)
{
	CHECK(mkdir(dir, 0711) == 0 || errno == EEXIST);
	CHECK(mkdir(inside(dir, "pg.new"), 0700) == 0);
	CHECK(mkdir(inside(dir, "pg.new/base"), 0700) == 0);
	write_file(inside(dir, "pg.new/base/1"), "half");
	/* What a half made cluster holds belongs to the server's user. */
	if (geteuid() == 0) {
		const struct passwd *user = getpwnam("postgres");

		CHECK(chown(inside(dir, "pg.new"), user->pw_uid, user->pw_gid) == 0);
		CHECK(chown(inside(dir, "pg.new/base"), user->pw_uid, user->pw_gid) == 0);
	}
	ph_embedded_leave(join(dir));
	CHECK(access(inside(dir, "pg.new"), F_OK) != 0);
	CHECK(access(inside(dir, "pg/base/1"), F_OK) == 0);
}

static void test_interrupted_initdb(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("half", interrupted_initdb);
}

static void long_path(const char *dir)
{
	char deep[512], record[512] = "", again[512] = "";
	struct ph_embedded *e;
	struct stat st;
	FILE *f;

	snprintf(deep, sizeof(deep), "%s/%0120d/it's a place", dir, 0);
	for (int i = 0; i < 2; i++) {
		e = join(deep);
		CHECK(ask(ph_embedded_dsn(e), "SELECT 7") == 7);
		f = fopen(inside(deep, "socket"), "r");
		CHECK(f && fgets(i ? again : record, sizeof(record), f));
		fclose(f);
		ph_embedded_leave(e);
	}
	CHECK(strcmp(record, again) == 0);
	record[strcspn(record, "\n")] = '\0';
	CHECK(strlen(record) < 80 && stat(record, &st) == 0 && (st.st_mode & 07777) == 0700);
	CHECK(access(inside(deep, "run"), F_OK) != 0);
	rmdir(record);
}

static void test_long_path(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run_as_both("long", long_path);
}

static void odd_name(const char *dir)
{
	char odd[256];
	struct ph_embedded *e;

	snprintf(odd, sizeof(odd), "%s/a 'b' \\c", dir);
	e = join(odd);
	CHECK(ask(ph_embedded_dsn(e), "SELECT 8") == 8);
	CHECK(access(inside(odd, "run"), F_OK) == 0);
	ph_embedded_leave(e);
}

static void test_odd_name(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("odd", odd_name);
}

/* ---- refusals ---- */

static void refused(const char *dir, const char *words)
{
	struct ph_err err = {0};

	CHECK(ph_embedded_join(dir, NULL, NULL, &err) == NULL);
	if (!strstr(err.detail, words))
		fprintf(stderr, "refused with: %s\n", err.detail);
	CHECK(strstr(err.detail, words));
}

static void closed_parent(const char *dir)
{
	if (geteuid() != 0)
		return;
	CHECK(mkdir(dir, 0700) == 0);
	refused(inside(dir, "data"), "chmod o+x");
	refused(inside(dir, "data"), dir);
	CHECK(chmod(dir, 0701) == 0);
	ph_embedded_leave(join(inside(dir, "data")));
}

static void test_closed_parent(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("closed", closed_parent);
}

static void other_version(const char *dir)
{
	char was[16];
	FILE *f;

	ph_embedded_leave(join(dir));
	f = fopen(inside(dir, "pg/PG_VERSION"), "r");
	CHECK(f && fgets(was, sizeof(was), f));
	fclose(f);
	write_file(inside(dir, "pg/PG_VERSION"), "99\n");
	refused(dir, "postgresql-99");
	write_file(inside(dir, "pg/PG_VERSION"), was);
	ph_embedded_leave(join(dir));
}

static void test_other_version(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("shared", other_version);
}

static void broken_cluster(const char *dir)
{
	ph_embedded_leave(join(dir));
	CHECK(unlink(inside(dir, "pg/global/pg_control")) == 0);
	refused(dir, "could not"); /* the server's own words */
}

static void test_broken_cluster(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("broken", broken_cluster);
}

/* ---- sharing ---- */

/* Joins when told to, and leaves after its sibling has. */
static pid_t second(const char *dir, int go, int done)
{
	pid_t pid = fork();
	struct ph_embedded *e;
	char byte;

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	CHECK(read(go, &byte, 1) == 1);
	e = join(dir);
	CHECK(created_seen == 0);
	CHECK(write(done, "j", 1) == 1 && read(go, &byte, 1) == 1);
	CHECK(ask(ph_embedded_dsn(e), "SELECT 5") == 5);
	ph_embedded_leave(e);
	exit(0);
}

static void attach(const char *dir)
{
	int go[2], done[2], status;
	struct ph_embedded *e;
	pid_t child, server;
	char byte;

	CHECK(pipe(go) == 0 && pipe(done) == 0);
	child = second(dir, go[0], done[1]);
	e = join(dir);
	server = server_pid(dir);
	CHECK(write(go[1], "1", 1) == 1 && read(done[0], &byte, 1) == 1);
	CHECK(server && server_pid(dir) == server);
	ph_embedded_leave(e);
	CHECK(server_pid(dir) == server);
	CHECK(write(go[1], "2", 1) == 1);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(ended(server));
}

static void test_attach(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("shared", attach);
}

static void many(const char *dir)
{
	pid_t child[JOINS];
	int status;

	CHECK(mkdir(dir, 0711) == 0 || errno == EEXIST);
	for (int i = 0; i < JOINS; i++) {
		child[i] = fork();
		if (child[i] == 0) {
			struct ph_embedded *e = join(dir);

			CHECK(ask(ph_embedded_dsn(e), "SELECT 6") == 6);
			usleep((useconds_t)(i % 5) * 20 * 1000);
			ph_embedded_leave(e);
			exit(0);
		}
	}
	for (int i = 0; i < JOINS; i++)
		CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
	CHECK(server_pid(dir) == 0);
}

static void test_many(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run_as_both("many", many);
}

/* A user that was killed, and its worker: the kernel gives the share back when the last of them is gone. */
static void killed_user(const char *dir)
{
	int tube[2], status;
	char byte;
	pid_t child, server;

	CHECK(pipe(tube) == 0);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		join(dir);
		CHECK(write(tube[1], "j", 1) == 1);
		pause();
	}
	CHECK(read(tube[0], &byte, 1) == 1);
	server = server_pid(dir);
	CHECK(server);
	CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);
	CHECK(server_pid(dir) == server); /* nobody was there to stop it */
	ph_embedded_leave(join(dir));
	CHECK(ended(server));
}

static void test_killed_user(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("shared", killed_user);
}

/* A forked worker holds the share through its parent's file, and has none to give back. */
static void worker_leaves(const char *dir)
{
	struct ph_embedded *e = join(dir);
	pid_t child = fork();
	int status;

	if (child == 0) {
		ph_embedded_leave(e);
		exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(ask(ph_embedded_dsn(e), "SELECT 9") == 9);
	ph_embedded_leave(e);
	CHECK(server_pid(dir) == 0);
}

static void test_worker_leaves(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("shared", worker_leaves);
}

/* ---- crashes ---- */

static void crash(const char *dir)
{
	struct ph_embedded *e = join(dir);
	struct ph_err err = {0};
	pid_t server = server_pid(dir);

	ask(ph_embedded_dsn(e), "CREATE TABLE t AS SELECT 3 AS n");
	CHECK(ph_embedded_revive(e, &err) == 0);
	CHECK(kill(server, SIGKILL) == 0 && ended(server));
	CHECK(ph_embedded_revive(e, &err) == 1);
	CHECK(server_pid(dir) && server_pid(dir) != server);
	CHECK(ask(ph_embedded_dsn(e), "SELECT n FROM t") == 3);
	CHECK(ph_embedded_revive(e, &err) == 0);
	ph_embedded_leave(e);
	CHECK(server_pid(dir) == 0);
}

static void test_crash(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("shared", crash);
}

/* After a restart of a container the dead server's number is some other program's. */
static void reused_pid(const char *dir)
{
	struct ph_embedded *e = join(dir);
	pid_t server = server_pid(dir);
	char text[256];

	CHECK(kill(server, SIGKILL) == 0 && ended(server));
	snprintf(text, sizeof(text), "%d\n%s/pg\n1\n5432\n\n\n\nready   \n", (int)getpid(), dir);
	write_file(inside(dir, "pg/postmaster.pid"), text);
	ph_embedded_leave(e);
	e = join(dir);
	CHECK(server_pid(dir) != getpid());
	CHECK(ask(ph_embedded_dsn(e), "SELECT 4") == 4);
	ph_embedded_leave(e);
}

static void test_reused_pid(void **state)
{
	(void)state;
	NEED_PROGRAMS();
	run("shared", reused_pid);
}

/* ---- the master key ---- */

static void master_key(const char *dir)
{
	struct ph_err err = {0};
	char *first = ph_embedded_master_key(dir, &err), *second;
	struct stat st;

	CHECK(first && strlen(first) == 44); /* 32 bytes */
	CHECK(stat(inside(dir, "master.key"), &st) == 0 && (st.st_mode & 07777) == 0600 &&
		st.st_uid == geteuid());
	second = ph_embedded_master_key(dir, &err);
	CHECK(second && strcmp(first, second) == 0);
	CHECK(mkdir(inside(dir, "pg"), 0700) == 0);
	CHECK(unlink(inside(dir, "master.key")) == 0);
	CHECK(ph_embedded_master_key(dir, &err) == NULL);
	CHECK(strstr(err.detail, "master.key") && strstr(err.detail, "POSTHOUSE_MASTER_KEY"));
	free(first);
	free(second);
}

static void test_master_key(void **state)
{
	(void)state;
	run_as_both("key", master_key);
}

static void one_key(const char *dir)
{
	int tube[2];
	char first[64], other[64];

	CHECK(pipe(tube) == 0);
	for (int i = 0; i < JOINS; i++)
		if (fork() == 0) {
			struct ph_err err = {0};
			char *key = ph_embedded_master_key(dir, &err);

			CHECK(key && strlen(key) == 44 && write(tube[1], key, 44) == 44);
			free(key);
			exit(0);
		}
	for (int i = 0; i < JOINS; i++) {
		CHECK(read(tube[0], i ? other : first, 44) == 44);
		CHECK(i == 0 || memcmp(first, other, 44) == 0);
		CHECK(wait(NULL) > 0);
	}
}

static void test_one_key(void **state)
{
	(void)state;
	run("keys", one_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_and_later),
		cmocka_unit_test(test_interrupted_initdb),
		cmocka_unit_test(test_long_path),
		cmocka_unit_test(test_odd_name),
		cmocka_unit_test(test_closed_parent),
		cmocka_unit_test(test_other_version),
		cmocka_unit_test(test_broken_cluster),
		cmocka_unit_test(test_attach),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_killed_user),
		cmocka_unit_test(test_worker_leaves),
		cmocka_unit_test(test_crash),
		cmocka_unit_test(test_reused_pid),
		cmocka_unit_test(test_master_key),
		cmocka_unit_test(test_one_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
