/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server of the embedded PostgreSQL: which programs, how a cluster comes to be, how it starts and stops.
 * Callers hold start.lock. The server is started directly, not by pg_ctl, whose shell would have to be quoted
 * for.
 */
#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "embedded_priv.h"
#include "posthouse/clock.h"

enum {
	STEP_MS = 20,
	TRIES = 20,            /* to start, while children of a killed server hold its memory */
	TRY_MS = 250,          /* between them */
	READY_MS = 300 * 1000, /* recovery after a crash takes what it takes */
	STOP_MS = 60 * 1000,   /* a fast stop writes a checkpoint */
	QUIT_MS = 10 * 1000,
};

struct programs {
	char bin[EMBEDDED_PATH_MAX]; /* "" = none */
	int major;
	char seen[128]; /* every major version that was found, for errors */
};

static void sleep_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

/* The digits that text begins with; 0 where there are none. */
static int leading_number(const char *text)
{
	uint64_t n = 0;

	ph_str_u64(ph_str(text, strspn(text, "0123456789")), INT_MAX, &n);
	return (int)n;
}

/* ---- programs ---- */

static int major_of(const char *bin)
{
	char path[EMBEDDED_PATH_MAX], line[128];
	const char *digits;

	if (ph_embedded_join_path(path, bin, "initdb", NULL) || access(path, X_OK) != 0 ||
		ph_embedded_join_path(path, bin, "postgres", NULL) || access(path, X_OK) != 0 ||
		ph_embedded_version_line(path, line, sizeof(line)))
		return 0;
	digits = strpbrk(line, "0123456789"); /* "postgres (PostgreSQL) 15.20 (Debian ...)" */
	return digits ? leading_number(digits) : 0;
}

/* want 0: the newest. */
static void consider(struct programs *best, const char *bin, int want)
{
	int major = major_of(bin);
	size_t n = strlen(best->seen);

	if (major == 0)
		return;
	snprintf(best->seen + n, sizeof(best->seen) - n, "%s%d", n ? ", " : "", major);
	if (want ? major != want : major < EMBEDDED_MAJOR_MIN || major <= best->major)
		return;
	best->major = major;
	ph_str_copy(best->bin, sizeof(best->bin), ph_str_c(bin));
}

static void find_programs(struct programs *best, int want)
{
	struct ph_str path = ph_str_c(getenv("PATH"));
	glob_t found = {0};
	char bin[EMBEDDED_PATH_MAX];

	*best = (struct programs){0};
	while (path.n) {
		ph_str_copy(bin, sizeof(bin), ph_str_split(&path, ':'));
		if (bin[0] == '/')
			consider(best, bin, want);
	}
	/* Debian and its kin, then Red Hat and its kin. */
	if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0 || found.gl_pathc == 0)
		glob("/usr/pgsql-*/bin", found.gl_pathc ? GLOB_APPEND : 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		consider(best, found.gl_pathv[i], want);
	globfree(&found);
}

/* 0: there is no cluster. */
static int cluster_major(const struct ph_embedded_place *p)
{
	char path[EMBEDDED_PATH_MAX];
	int major = 0;
	FILE *f;

	if (ph_embedded_join_path(path, p->pg, "PG_VERSION", NULL))
		return 0;
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%d", &major) != 1)
		major = 0;
	fclose(f);
	return major;
}

static int fail_none(const struct programs *found, struct ph_err *err)
{
	if (found->seen[0])
		return ph_fail(err, PH_E_CONFIG,
			"the installed PostgreSQL server is too old (%s): install version %d or newer, or "
			"set "
			"POSTHOUSE_DATABASE_URL",
			found->seen, EMBEDDED_MAJOR_MIN);
	return ph_fail(err, PH_E_CONFIG,
		"no PostgreSQL server is installed here: apt-get install postgresql, or set "
		"POSTHOUSE_DATABASE_URL");
}

static int programs_for(const struct ph_embedded_place *p, struct programs *ret, struct ph_err *err)
{
	int major = cluster_major(p);

	find_programs(ret, major);
	if (ret->major)
		return 0;
	if (!major)
		return fail_none(ret, err);
	return ph_fail(err, PH_E_CONFIG,
		"the cluster in %.100s was made by PostgreSQL %d, which is not installed (found: %s): "
		"apt-get install "
		"postgresql-%d, or bring the cluster to another version with pg_upgrade",
		p->pg, major, ret->seen[0] ? ret->seen : "none", major);
}

/* ---- the cluster ---- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	return at->level == 0 ? 0 : remove(path); /* the top goes with its owner's help */
}

static int remove_inside(void *path)
{
	return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0;
}

/* With the last complaint of the log: it is the reason. */
static int fail_log(const struct ph_embedded_place *p, const char *what, struct ph_err *err)
{
	char path[EMBEDDED_PATH_MAX], line[512], last[160] = "";
	FILE *f;

	if (ph_embedded_join_path(path, p->dir, "pg.log", err))
		return -PH_E_CONFIG;
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "FATAL") || strstr(line, "rror") || strstr(line, "could not"))
			ph_str_copy(last, sizeof(last), ph_str_trim(ph_str_c(line)));
	if (f)
		fclose(f);
	return ph_fail(err, PH_E_CONFIG, "%s; see %.80s%s%s", what, path, last[0] ? ": " : "", last);
}

static int run_initdb(const struct ph_embedded_place *p, const char *fresh, struct ph_err *err)
{
	char initdb[EMBEDDED_PATH_MAX];
	const char *argv[] = {initdb, "-D", fresh, "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C", "--no-instructions", NULL};
	struct programs programs;
	int rc = programs_for(p, &programs, err);

	if (!rc)
		rc = ph_embedded_join_path(initdb, programs.bin, "initdb", err);
	if (rc)
		return rc;
	ph_embedded_tell(p, "creating the embedded PostgreSQL (once)");
	return ph_embedded_run(p, argv) == 0 ? 0 : fail_log(p, "initdb failed", err);
}

static int fail_dir(const char *what, const char *path, struct ph_err *err)
{
	return ph_fail(err, PH_E_SYSTEM, "%s %.200s: %s", what, path, strerror(errno));
}

/* Into pg.new, then renamed: a crash in between leaves nothing that looks like a cluster. */
int ph_embedded_create(const struct ph_embedded_place *p, struct ph_err *err)
{
	char fresh[EMBEDDED_PATH_MAX];
	struct stat st;
	int rc = ph_embedded_join_path(fresh, p->dir, "pg.new", err);

	if (rc)
		return rc;
	if (stat(p->pg, &st) == 0) {
		if (st.st_uid == p->uid)
			return 0;
		return ph_fail(err, PH_E_CONFIG,
			"%.120s belongs to another user (%u): run posthouse as that user", p->pg,
			(unsigned)st.st_uid);
	}
	if (access(fresh, F_OK) == 0 && (ph_embedded_call(p, remove_inside, fresh) != 0 || rmdir(fresh) != 0))
		return fail_dir("cannot remove", fresh, err);
	if (mkdir(fresh, 0700) != 0 || (p->uid != geteuid() && chown(fresh, p->uid, p->gid) != 0))
		return fail_dir("cannot make", fresh, err);
	rc = run_initdb(p, fresh, err);
	if (!rc && rename(fresh, p->pg) != 0)
		rc = fail_dir("cannot rename", fresh, err);
	return rc;
}

/* ---- the running server ---- */

/* The first and the eighth line of postmaster.pid. 0: there is none. */
static pid_t read_pid(const struct ph_embedded_place *p, bool *ret_ready)
{
	char path[EMBEDDED_PATH_MAX], line[EMBEDDED_PATH_MAX] = "";
	pid_t pid = 0;
	FILE *f = NULL;

	*ret_ready = false;
	if (ph_embedded_join_path(path, p->pg, "postmaster.pid", NULL) == 0)
		f = fopen(path, "re");
	for (int i = 1; f && i <= 8 && fgets(line, sizeof(line), f); i++) {
		if (i == 1)
			pid = (pid_t)leading_number(line);
		if (i == 8)
			*ret_ready = strncmp(line, "ready", 5) == 0;
	}
	if (f)
		fclose(f);
	return pid > 0 ? pid : 0;
}

/* A number that another program has got since (after a restart of a container, always the same few) is no
 * server. */
static bool is_postgres(pid_t pid)
{
	char path[64], name[64] = "";
	FILE *f;

	if (!ph_embedded_alive(pid))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (!fgets(name, sizeof(name), f))
		name[0] = '\0';
	fclose(f);
	return strncmp(name, "postgres", 8) == 0;
}

static pid_t server_pid(const struct ph_embedded_place *p, bool *ret_ready)
{
	pid_t pid = read_pid(p, ret_ready);

	return pid && is_postgres(pid) ? pid : 0;
}

bool ph_embedded_running(const struct ph_embedded_place *p)
{
	bool ready;

	return server_pid(p, &ready) != 0 && ready;
}

/* PostgreSQL itself clears a file whose process is gone, and looks at shared memory before it does. */
static void clear_stale_pid(const struct ph_embedded_place *p)
{
	char path[EMBEDDED_PATH_MAX];
	bool ready;
	pid_t pid = read_pid(p, &ready);

	if (pid && ph_embedded_alive(pid) && !is_postgres(pid) &&
		ph_embedded_join_path(path, p->pg, "postmaster.pid", NULL) == 0)
		unlink(path);
}

/* 1 = ready, 0 = it ended, negative = too slow. */
static int wait_ready(const struct ph_embedded_place *p, pid_t pid, struct ph_err *err)
{
	uint64_t until = ph_clock_ms() + READY_MS, told = ph_clock_ms() + 2000;

	while (ph_clock_ms() < until) {
		bool ready;

		if (server_pid(p, &ready) == pid && ready)
			return 1;
		if (!ph_embedded_alive(pid))
			return 0;
		if (ph_clock_ms() >= told) {
			ph_embedded_tell(p, "waiting for the embedded PostgreSQL: it recovers");
			told = until;
		}
		sleep_ms(STEP_MS);
	}
	return fail_log(p, "the embedded PostgreSQL is not ready after 300 s", err);
}

static pid_t spawn_server(const struct ph_embedded_place *p, const char *postgres)
{
	char socket[EMBEDDED_PATH_MAX + 32];
	const char *argv[] = {postgres, "-D", p->pg, "-c", socket, "-c", "unix_socket_permissions=0700", "-c",
		"listen_addresses=", "-c", "port=5432", "-c", "cluster_name=posthouse", "-c", "fsync=on",
		"-c",
		/* A worker takes four to six. One turn may look at every partition, and locks each. */
		"max_connections=200", "-c", "max_locks_per_transaction=256", "-c", "shared_buffers=128MB",
		"-c", "jit=off", "-c", "logging_collector=off", "-c", "log_destination=stderr", "-c",
		"log_checkpoints=off", NULL};

	snprintf(socket, sizeof(socket), "unix_socket_directories=%s", p->socket);
	return ph_embedded_spawn(p, argv);
}

/* One that is starting or stopping on somebody else's behalf: nobody holds our lock, so it ends one way or
 * the other. */
static bool settle(const struct ph_embedded_place *p)
{
	uint64_t until = ph_clock_ms() + READY_MS;
	bool ready = false;

	while (server_pid(p, &ready) != 0 && !ready && ph_clock_ms() < until)
		sleep_ms(STEP_MS);
	return ph_embedded_running(p);
}

int ph_embedded_start(const struct ph_embedded_place *p, struct ph_err *err)
{
	char postgres[EMBEDDED_PATH_MAX];
	struct programs programs;
	int rc;

	if (settle(p))
		return 0;
	rc = programs_for(p, &programs, err);
	if (!rc)
		rc = ph_embedded_join_path(postgres, programs.bin, "postgres", err);
	if (rc)
		return rc;
	clear_stale_pid(p);
	for (int i = 0; i < TRIES; i++) {
		pid_t pid = spawn_server(p, postgres);

		rc = pid > 0 ? wait_ready(p, pid, err) : 0;
		if (rc)
			return rc;
		sleep_ms(TRY_MS);
	}
	return fail_log(p, "the embedded PostgreSQL does not start", err);
}

static bool gone_within(pid_t pid, uint64_t ms)
{
	uint64_t until = ph_clock_ms() + ms;

	while (ph_embedded_alive(pid) && ph_clock_ms() < until)
		sleep_ms(STEP_MS);
	return !ph_embedded_alive(pid);
}

void ph_embedded_stop(const struct ph_embedded_place *p)
{
	bool ready;
	pid_t pid = server_pid(p, &ready);

	if (!pid || kill(pid, SIGINT) != 0 || gone_within(pid, STOP_MS))
		return;
	kill(pid, SIGQUIT);
	gone_within(pid, QUIT_MS);
}
