/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor with real processes: each test runs ph_supervise() in a child of its own, whose workers
 * report to a pipe and then do what the test wants of them.
 */
#include "ph_test.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "posthouse/clock.h"
#include "posthouse/embedded.h"

#include "cli/cli_priv.h"

#define PATIENCE_MS 30000

struct report {
	char what; /* 's' started, 't' SIGTERM, 'h' SIGHUP, 'e' embedded server asked for */
	int worker;
	pid_t pid, group;
};

static int pipe_fds[2];
static struct ph_supervisor_options options;
static pid_t supervisor;

/* ---- in the supervisor and its workers ---- */

static void tell(char what, int worker)
{
	struct report r = {what, worker, getpid(), getpgrp()};

	if (write(pipe_fds[1], &r, sizeof(r)) != sizeof(r))
		_exit(99);
}

/* Stands in for the real one. */
int ph_embedded_revive(struct ph_embedded *e, struct ph_err *err)
{
	(void)e;
	(void)err;
	tell('e', -1);
	return 0;
}

static void prepare(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, NULL);
}

/* Ends with status 0 on the first SIGTERM; arg "2": with 1 on the second. */
static int obedient(void *arg, int worker)
{
	int left = arg ? 2 : 1, signum;
	sigset_t set;

	prepare(&set);
	tell('s', worker);
	while (left > 0) {
		sigwait(&set, &signum);
		tell(signum == SIGTERM ? 't' : 'h', worker);
		left -= signum == SIGTERM;
	}
	return arg ? 1 : 0;
}

static int deaf(void *arg, int worker)
{
	sigset_t set;

	(void)arg;
	prepare(&set);
	tell('s', worker);
	while (pause() < 0)
		;
	return 0;
}

/* Worker 1 refuses to start. */
static int one_refuses(void *arg, int worker)
{
	return worker == 1 ? 1 : obedient(arg, worker);
}

/* ---- in the test ---- */

static void supervise(int workers, int (*run)(void *arg, int worker), void *arg)
{
	options =
		(struct ph_supervisor_options){.workers = workers, .drain_ms = 1000, .run = run, .arg = arg};
	assert_int_equal(pipe(pipe_fds), 0);
	supervisor = fork();
	if (supervisor == 0) {
		ph_log_init(PH_LOG_ERROR, PH_LOG_TEXT, "test");
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(98);
		_exit(ph_supervise(&options));
	}
	assert_true(supervisor > 0);
}

static struct report next_report(void)
{
	struct pollfd p = {.fd = pipe_fds[0], .events = POLLIN};
	struct report r;

	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
	assert_int_equal(read(pipe_fds[0], &r, sizeof(r)), sizeof(r));
	return r;
}

static struct report expect(char what)
{
	struct report r = next_report();

	assert_int_equal(r.what, what);
	return r;
}

/* The exit status of the supervisor. */
static int ended(void)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;
	int status;

	while (waitpid(supervisor, &status, WNOHANG) == 0) {
		assert_true(ph_clock_ms() < until);
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool gone(pid_t pid)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;

	while (kill(pid, 0) == 0) {
		if (ph_clock_ms() >= until)
			return false;
		nanosleep(&(struct timespec){0, 5000000}, NULL);
	}
	return errno == ESRCH;
}

static void test_stop_ends_all(void **state)
{
	bool seen[3] = {false};

	(void)state;
	supervise(3, obedient, NULL);
	for (int i = 0; i < 3; i++) {
		struct report r = expect('s');

		seen[r.worker] = true;
		assert_int_equal(r.group, r.pid); /* Ctrl-C in a terminal does not reach it */
	}
	assert_true(seen[0] && seen[1] && seen[2]);
	kill(supervisor, SIGTERM);
	for (int i = 0; i < 3; i++)
		expect('t');
	assert_int_equal(ended(), 0);
}

static void test_interrupt_arrives_once(void **state)
{
	(void)state;
	supervise(1, obedient, NULL);
	expect('s');
	kill(supervisor, SIGINT);
	expect('t');
	assert_int_equal(ended(), 0);
}

static void test_second_signal_is_passed_on(void **state)
{
	(void)state;
	supervise(1, obedient, (void *)"2");
	expect('s');
	kill(supervisor, SIGTERM);
	expect('t');
	kill(supervisor, SIGINT);
	expect('t');
	assert_int_equal(ended(), 1); /* the worker's own status */
}

static void test_reload_is_passed_on(void **state)
{
	(void)state;
	supervise(2, obedient, NULL);
	expect('s');
	expect('s');
	kill(supervisor, SIGHUP);
	expect('h');
	expect('h');
	kill(supervisor, SIGTERM);
	expect('t');
	expect('t');
	assert_int_equal(ended(), 0);
}

static void test_crashed_worker_is_started_again(void **state)
{
	struct report first, again;

	(void)state;
	supervise(2, obedient, NULL);
	first = expect('s');
	expect('s');
	for (int i = 0; i < 3; i++) {
		kill(first.pid, SIGKILL);
		again = expect('s');
		assert_int_equal(again.worker, first.worker);
		assert_int_not_equal(again.pid, first.pid);
		first = again;
	}
	kill(supervisor, SIGTERM);
	expect('t');
	expect('t');
	assert_int_equal(ended(), 0);
}

static void test_drained_worker_is_replaced(void **state)
{
	struct report first;

	(void)state;
	supervise(1, obedient, NULL);
	first = expect('s');
	kill(first.pid, SIGTERM);
	expect('t');
	assert_int_equal(expect('s').worker, 0);
	kill(supervisor, SIGTERM);
	expect('t');
	assert_int_equal(ended(), 0);
}

static void test_refusal_ends_all(void **state)
{
	(void)state;
	supervise(3, one_refuses, NULL);
	assert_int_equal(ended(), 1);
}

static void test_crash_while_stopping_counts(void **state)
{
	struct report r;

	(void)state;
	supervise(1, obedient, (void *)"2");
	r = expect('s');
	kill(supervisor, SIGTERM);
	expect('t');
	kill(r.pid, SIGKILL);
	assert_int_equal(ended(), 1);
}

static void test_deaf_worker_is_killed(void **state)
{
	struct report r;

	(void)state;
	supervise(1, deaf, NULL);
	r = expect('s');
	kill(supervisor, SIGTERM);
	nanosleep(&(struct timespec){0, 50000000}, NULL); /* two equal signals at once would be one */
	kill(supervisor, SIGTERM);
	assert_int_equal(ended(), 1);
	assert_true(gone(r.pid));
}

static void test_workers_die_with_their_parent(void **state)
{
	struct report a, b;
	int status;

	(void)state;
	supervise(2, deaf, NULL);
	a = expect('s');
	b = expect('s');
	kill(supervisor, SIGKILL);
	assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
	assert_true(gone(a.pid));
	assert_true(gone(b.pid));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_embedded_server_is_looked_after(void **state)
{
	int asked = 0;

	(void)state;
	options = (struct ph_supervisor_options){.workers = 1, .run = obedient};
	options.embedded = (struct ph_embedded *)(void *)&options; /* only handed through */
	assert_int_equal(pipe(pipe_fds), 0);
	supervisor = fork();
	if (supervisor == 0)
		_exit(ph_supervise(&options));
	while (asked < 3)
		asked += next_report().what == 'e';
	kill(supervisor, SIGTERM);
	while (next_report().what != 't')
		;
	assert_int_equal(ended(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stop_ends_all),
		cmocka_unit_test(test_interrupt_arrives_once),
		cmocka_unit_test(test_second_signal_is_passed_on),
		cmocka_unit_test(test_reload_is_passed_on),
		cmocka_unit_test(test_crashed_worker_is_started_again),
		cmocka_unit_test(test_drained_worker_is_replaced),
		cmocka_unit_test(test_refusal_ends_all),
		cmocka_unit_test(test_crash_while_stopping_counts),
		cmocka_unit_test(test_deaf_worker_is_killed),
		cmocka_unit_test(test_workers_die_with_their_parent),
		cmocka_unit_test(test_embedded_server_is_looked_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
