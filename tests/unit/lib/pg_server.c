/* SPDX-License-Identifier: Apache-2.0 */
#include "pg_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct ph_test_server *servers[8]; /* for the end of the process */

static void die(const char *what)
{
	fprintf(stderr, "pg_server: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- the programs ---- */

/* The newest of the Debian packages, else whatever stands in PATH. */
static const char *find(const char *program, char *path, size_t size)
{
	char pattern[64];
	glob_t found = {0};

	snprintf(pattern, sizeof(pattern), "/usr/lib/postgresql/*/bin/%s", program);
	if (glob(pattern, 0, NULL, &found) == 0) {
		snprintf(path, size, "%s", found.gl_pathv[found.gl_pathc - 1]);
		globfree(&found);
		return path;
	}
	for (const char *p = getenv("PATH"); p && *p; p += strcspn(p, ":"), p += *p == ':') {
		snprintf(path, size, "%.*s/%s", (int)strcspn(p, ":"), p, program);
		if (access(path, X_OK) == 0)
			return path;
	}
	return NULL;
}

static const struct passwd *server_user(void)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : getpwuid(geteuid());

	if (!user)
		die("no user to run as");
	return user;
}

/* In a child: becomes the server's user, says everything to the log, and goes when the test goes. */
static void become(const struct ph_test_server *s, const struct passwd *user)
{
	char path[96];
	int fd;

	if (geteuid() == 0 &&
		(initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	snprintf(path, sizeof(path), "%s/log", s->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(s->dir) != 0)
		_exit(126);
	setsid();
}

static pid_t run(const struct ph_test_server *s, char *const argv[])
{
	const struct passwd *user = server_user();
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		become(s, user);
		execv(argv[0], argv);
		_exit(127);
	}
	return pid;
}

/* ---- the interface ---- */

int ph_test_free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) || getsockname(fd, (struct sockaddr *)&a, &n))
		die("no free port");
	close(fd);
	return ntohs(a.sin_port);
}

static const char *dsn(const struct ph_test_server *s, const char *host)
{
	static char text[2][192];
	static unsigned turn;
	char *p = text[turn++ % 2];

	snprintf(p, sizeof(text[0]), "host=%s port=%d user=postgres dbname=postgres", host, s->port);
	return p;
}

const char *ph_test_server_dsn(const struct ph_test_server *s)
{
	return dsn(s, s->dir);
}

const char *ph_test_server_tcp_dsn(const struct ph_test_server *s)
{
	return dsn(s, "127.0.0.1");
}

/* The eighth line of postmaster.pid. */
static bool accepts(const struct ph_test_server *s)
{
	char path[96], line[128] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/data/postmaster.pid", s->dir);
	f = fopen(path, "r");
	for (int i = 0; f && i < 8; i++)
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
	if (f)
		fclose(f);
	return strncmp(line, "ready", 5) == 0;
}

static void show_log(const struct ph_test_server *s)
{
	char path[96], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/log", s->dir);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		fputs(line, stderr);
	if (f)
		fclose(f);
}

void ph_test_server_start(struct ph_test_server *s)
{
	char program[256], data[96], port[16];
	char *argv[] = {program, "-D", data, "-k", s->dir, "-p", port, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB", "-c",
		"max_prepared_transactions=0", NULL};

	snprintf(data, sizeof(data), "%s/data", s->dir);
	snprintf(port, sizeof(port), "%d", s->port);
	if (!find("postgres", program, sizeof(program)))
		die("postgres");
	s->pid = run(s, argv);
	for (int i = 0; i < 3000 && !accepts(s); i++) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			break;
		usleep(10 * 1000);
	}
	if (accepts(s))
		return;
	show_log(s);
	s->pid = 0;
	die("the server does not start");
}

/* Its children: backends and helpers have sessions of their own. */
static void signal_all(const struct ph_test_server *s, int signum)
{
	char path[64];
	FILE *f;
	int pid;

	kill(s->pid, signum);
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)s->pid, (int)s->pid);
	f = fopen(path, "r");
	while (f && fscanf(f, "%d", &pid) == 1)
		kill(pid, signum);
	if (f)
		fclose(f);
}

void ph_test_server_freeze(struct ph_test_server *s, bool frozen)
{
	signal_all(s, frozen ? SIGSTOP : SIGCONT);
}

void ph_test_server_stop(struct ph_test_server *s)
{
	char path[96];

	if (!s->pid)
		return;
	signal_all(s, SIGCONT);
	kill(s->pid, SIGQUIT);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
	snprintf(path, sizeof(path), "%s/data/postmaster.pid", s->dir);
	unlink(path);
}

static void remove_dir(const struct ph_test_server *s)
{
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", s->dir, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

struct ph_test_server *ph_test_server_free(struct ph_test_server *s)
{
	if (!s)
		return NULL;
	ph_test_server_stop(s);
	remove_dir(s);
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		if (servers[i] == s)
			servers[i] = NULL;
	free(s);
	return NULL;
}

static void end_all(void)
{
	for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
		ph_test_server_free(servers[i]);
}

static void remember(struct ph_test_server *s)
{
	static bool registered;
	size_t i = 0;

	if (!registered)
		atexit(end_all);
	registered = true;
	while (servers[i])
		i++;
	servers[i] = s;
}

struct ph_test_server *ph_test_server_new(void)
{
	char program[256], data[96];
	char *argv[] = {program, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
		"--no-sync", NULL};
	const struct passwd *user;
	struct ph_test_server *s;
	int status;

	if (!find("initdb", program, sizeof(program)))
		return NULL;
	user = server_user();
	s = calloc(1, sizeof(*s));
	if (!s)
		die("calloc");
	snprintf(s->dir, sizeof(s->dir), "/tmp/ph-test-pg-XXXXXX");
	if (!mkdtemp(s->dir) || (geteuid() == 0 && chown(s->dir, user->pw_uid, user->pw_gid)))
		die(s->dir);
	remember(s);
	s->port = ph_test_free_port();
	snprintf(data, sizeof(data), "%s/data", s->dir);
	if (waitpid(run(s, argv), &status, 0) < 0 || status != 0) {
		show_log(s);
		die("initdb");
	}
	ph_test_server_start(s);
	return s;
}
