/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Child processes of the embedded PostgreSQL. They run as the server's user, with a bare environment (PGPORT
 * and its kin would change the server), default signals, no descriptor but the log, and no privilege to take
 * back.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "embedded_priv.h"

enum {
	LOG_MAX = 8 << 20, /* then it becomes pg.log.1 */
	EXIT_USER = 126,   /* the child could not become what it should be */
	EXIT_EXEC = 127,
};

static char *const bare_environment[] = {
	(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"LC_ALL=C"},
	(char[]){"TZ=UTC"}, NULL};

/* Opened by us, not by the server's user: the file lies in a directory where that user cannot write. */
static int open_log(const struct ph_embedded_place *p)
{
	char path[EMBEDDED_PATH_MAX], old[EMBEDDED_PATH_MAX + 2];
	struct stat st;

	if (ph_embedded_join_path(path, p->dir, "pg.log", NULL))
		return -1;
	snprintf(old, sizeof(old), "%s.1", path);
	if (stat(path, &st) == 0 && st.st_size > LOG_MAX)
		rename(path, old);
	return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Whatever fails here ends it: nothing may go on with the wrong user. */
static void become_server_user(const struct ph_embedded_place *p)
{
	reset_signals();
	umask(077);
	if (geteuid() != p->uid &&
		(initgroups(p->user, p->gid) || setgid(p->gid) || setuid(p->uid) || setuid(0) == 0))
		_exit(EXIT_USER);
}

static void use_descriptors(int log)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || chdir("/") != 0)
		_exit(EXIT_USER);
	close_range(3, ~0U, 0);
}

static void run_program(const struct ph_embedded_place *p, int log, const char *const *argv)
{
	become_server_user(p);
	use_descriptors(log);
	execve(argv[0], (char *const *)(uintptr_t)argv, bare_environment);
	_exit(EXIT_EXEC);
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno; /* somebody else reaped it: its fate is not known */
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int ph_embedded_run(const struct ph_embedded_place *p, const char *const *argv)
{
	int log = open_log(p);
	pid_t pid;

	if (log < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		run_program(p, log, argv);
	close(log);
	return pid < 0 ? -errno : wait_for(pid);
}

/* Two forks: the server is nobody's child, so that whoever stays does not have to reap it. */
pid_t ph_embedded_spawn(const struct ph_embedded_place *p, const char *const *argv)
{
	int log = open_log(p), tube[2];
	pid_t pid, server = -1;

	if (log < 0 || pipe2(tube, O_CLOEXEC) != 0) {
		if (log >= 0)
			close(log);
		return -errno;
	}
	pid = fork();
	if (pid == 0) {
		setsid();
		server = fork();
		if (server == 0)
			run_program(p, log, argv);
		_exit(write(tube[1], &server, sizeof(server)) == sizeof(server) ? 0 : EXIT_USER);
	}
	close(tube[1]);
	close(log);
	if (pid < 0 || read(tube[0], &server, sizeof(server)) != sizeof(server))
		server = -1;
	close(tube[0]);
	if (pid > 0)
		wait_for(pid);
	return server;
}

int ph_embedded_call(const struct ph_embedded_place *p, int (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		become_server_user(p);
		_exit(fn(arg));
	}
	return pid < 0 ? -errno : wait_for(pid);
}

static size_t read_all(int fd, char *p, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n < size && ((got = read(fd, p + n, size - n)) > 0 || (got < 0 && errno == EINTR)))
		n += got > 0 ? (size_t)got : 0;
	return n;
}

int ph_embedded_version_line(const char *program, char *line, size_t size)
{
	int tube[2], status;
	size_t n;
	pid_t pid;

	if (pipe2(tube, O_CLOEXEC) != 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		reset_signals();
		if (dup2(tube[1], 1) >= 0)
			execle(program, program, "--version", (char *)NULL, bare_environment);
		_exit(EXIT_EXEC);
	}
	close(tube[1]);
	n = read_all(tube[0], line, size - 1);
	close(tube[0]);
	status = pid < 0 ? -errno : wait_for(pid);
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return status == 0 || (status < 0 && n) ? 0 : -ECHILD;
}

bool ph_embedded_alive(pid_t pid)
{
	char path[64], line[512] = "";
	const char *state;
	FILE *f;

	if (pid <= 0 || (kill(pid, 0) != 0 && errno == ESRCH))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return access("/proc/self", F_OK) != 0; /* without /proc: as the signal said */
	state = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	return state && state[1] == ' ' && state[2] != 'Z' && state[2] != 'X';
}
