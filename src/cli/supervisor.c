/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent of the workers. It serves nothing: it forks them, passes signals on, starts a crashed one again,
 * brings the embedded PostgreSQL back when that died, and ends with the status that its workers deserve.
 *
 * Signals are blocked and taken one at a time with sigtimedwait(), so there are no handlers and no races; the
 * same wait paces what is polled. Workers have process groups of their own: Ctrl-C in a terminal reaches the
 * parent alone, which passes it on once. They die with the parent, whatever kills it (PR_SET_PDEATHSIG). As
 * process 1 of a container the parent reaps whatever else ends up as its child.
 *
 *     RUN   --SIGTERM, SIGINT-->  STOP: workers drain        --again-->  STOP: workers end at once
 *     STOP  --deadline-->         workers that are left are killed
 *
 * A worker that gives up within seconds of its first start will not do better the next time: then all of them
 * end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posthouse/clock.h"
#include "posthouse/embedded.h"
#include "posthouse/metrics.h"

#include "cli_priv.h"

#define POLL_MS        500 /* embedded server */
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define STEADY_MS      60000 /* a worker that lived that long starts with a short back-off again */
#define FIRST_LIFE_MS  10000
#define STOP_GRACE_MS  15000 /* beyond the drain: accepting goes on for a while, and ends are flushed */
#define ABRUPT_MS      5000  /* after a second signal */

struct worker {
	pid_t pid; /* 0: none runs */
	uint64_t started_ms;
	uint64_t due_ms; /* when to start it, where none runs */
	uint64_t backoff_ms;
	int lives;
};

struct supervisor {
	const struct ph_supervisor_options *options;
	struct worker worker[PH_WORKERS_MAX];
	sigset_t signals, before; /* ours; what children get back */
	pid_t pid;
	int stops;           /* signals that asked to end */
	uint64_t stop_by_ms; /* then workers are killed; 0: not yet asked to end */
	bool embedded_down;
	int status;
};

/* ---- children ---- */

static void become_worker(const struct supervisor *s, int n)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != s->pid)
		_exit(1);        /* the parent died before it was asked for its death */
	signal(SIGHUP, SIG_IGN); /* until the node watches it */
	sigprocmask(SIG_SETMASK, &s->before, NULL);
	exit(s->options->run(s->options->arg, n));
}

static void start_worker(struct supervisor *s, int n)
{
	struct worker *w = &s->worker[n];
	pid_t pid = fork();

	if (pid == 0)
		become_worker(s, n);
	w->started_ms = ph_clock_ms();
	if (pid < 0) {
		ph_log(PH_LOG_ERROR, "worker %d cannot be started: %s", n, strerror(errno));
		w->due_ms = w->started_ms + BACKOFF_MAX_MS;
		return;
	}
	setpgid(pid, pid); /* here too: whichever of the two runs first */
	w->pid = pid;
	w->lives++;
}

static void start_due(struct supervisor *s)
{
	uint64_t now = ph_clock_ms();

	for (int i = 0; i < s->options->workers; i++)
		if (s->worker[i].pid == 0 && s->worker[i].due_ms <= now)
			start_worker(s, i);
}

static int running(const struct supervisor *s)
{
	int n = 0;

	for (int i = 0; i < s->options->workers; i++)
		n += s->worker[i].pid != 0;
	return n;
}

static void pass_on(const struct supervisor *s, int signum)
{
	for (int i = 0; i < s->options->workers; i++)
		if (s->worker[i].pid != 0)
			kill(s->worker[i].pid, signum);
}

/* ---- ends ---- */

static void stop(struct supervisor *s, uint64_t within_ms)
{
	uint64_t by = ph_clock_ms() + within_ms;

	s->stops++;
	if (s->stop_by_ms == 0 || by < s->stop_by_ms)
		s->stop_by_ms = by;
	pass_on(s, SIGTERM);
}

static void how_it_ended(int wait_status, char *dst, size_t size)
{
	if (WIFSIGNALED(wait_status))
		snprintf(
			dst, size, "signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
	else
		snprintf(dst, size, "status %d", WEXITSTATUS(wait_status));
}

static void start_again(struct worker *w, int n, uint64_t lived_ms, const char *how)
{
	if (lived_ms >= STEADY_MS || w->backoff_ms == 0)
		w->backoff_ms = BACKOFF_MIN_MS;
	else
		w->backoff_ms = w->backoff_ms * 2 < BACKOFF_MAX_MS ? w->backoff_ms * 2 : BACKOFF_MAX_MS;
	w->due_ms = ph_clock_ms() + w->backoff_ms;
	ph_log_fields(PH_LOG_ERROR, "worker ended and is started again",
		(const struct ph_field[]){
			PH_F_INT("worker", n), PH_F_C("end", how), PH_F_INT("in_ms", w->backoff_ms)},
		3);
}

static void worker_ended(struct supervisor *s, int n, int wait_status)
{
	struct worker *w = &s->worker[n];
	uint64_t lived_ms = ph_clock_ms() - w->started_ms;
	bool refused = WIFEXITED(wait_status) && WEXITSTATUS(wait_status) != 0;
	char how[64];

	w->pid = 0;
	ph_metrics_worker_gone(n);
	how_it_ended(wait_status, how, sizeof(how));
	if (s->stops > 0) {
		/* Killed by the very signal: it had not come as far as to watch for it, and had nothing to
		 * lose. */
		if (!(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGTERM) && wait_status != 0)
			s->status = 1;
	} else if (refused && w->lives == 1 && lived_ms < FIRST_LIFE_MS) {
		s->status = 1;
		stop(s, ABRUPT_MS);
	} else {
		start_again(w, n, lived_ms, how);
	}
}

static void reap(struct supervisor *s)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		for (int i = 0; i < s->options->workers; i++)
			if (s->worker[i].pid == pid)
				worker_ended(s, i, wait_status);
}

/* ---- what time brings ---- */

static void revive_embedded(struct supervisor *s)
{
	struct ph_err err = {0};
	int r;

	if (s->options->embedded == NULL)
		return;
	r = ph_embedded_revive(s->options->embedded, &err);
	if (r < 0 && !s->embedded_down)
		ph_log(PH_LOG_ERROR, "the embedded PostgreSQL has died and cannot be started: %s",
			err.detail);
	else if (r > 0)
		ph_log(PH_LOG_WARN, "the embedded PostgreSQL had died and was started again");
	s->embedded_down = r < 0;
}

static int wait_ms(const struct supervisor *s)
{
	uint64_t now = ph_clock_ms(), least = POLL_MS;

	for (int i = 0; i < s->options->workers && s->stops == 0; i++) {
		const struct worker *w = &s->worker[i];

		if (w->pid == 0)
			least = w->due_ms <= now ? 0 : w->due_ms - now < least ? w->due_ms - now : least;
	}
	return (int)least;
}

static void on_time(struct supervisor *s)
{
	revive_embedded(s);
	if (s->stops == 0) {
		start_due(s);
	} else if (ph_clock_ms() >= s->stop_by_ms && running(s) > 0) {
		ph_log(PH_LOG_ERROR, "%d workers did not end in time and are killed", running(s));
		s->status = 1;
		s->stop_by_ms = UINT64_MAX;
		pass_on(s, SIGKILL);
	}
}

static void on_signal(struct supervisor *s, int signum)
{
	if (signum == SIGHUP)
		pass_on(s, SIGHUP);
	else if (signum == SIGTERM || signum == SIGINT)
		stop(s, s->stops == 0 ? s->options->drain_ms + STOP_GRACE_MS : ABRUPT_MS);
}

static void block_signals(struct supervisor *s)
{
	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGTERM);
	sigaddset(&s->signals, SIGINT);
	sigaddset(&s->signals, SIGHUP);
	sigaddset(&s->signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &s->signals, &s->before);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it: then nothing could be reaped */
}

int ph_supervise(const struct ph_supervisor_options *options)
{
	struct supervisor s = {.options = options, .pid = getpid()};

	block_signals(&s);
	start_due(&s);
	while (s.stops == 0 || running(&s) > 0) {
		int ms = wait_ms(&s);
		const struct timespec wait = {ms / 1000, (ms % 1000) * 1000000L};
		int signum = sigtimedwait(&s.signals, NULL, &wait);

		if (signum > 0)
			on_signal(&s, signum);
		reap(&s);
		on_time(&s);
	}
	sigprocmask(SIG_SETMASK, &s.before, NULL);
	return s.status;
}
