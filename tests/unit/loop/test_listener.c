/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "loop_test.h"

#include "posthouse/stream.h"

#include "loop/loop_priv.h"

/* What was accepted: greets and stays. */
struct door {
	struct ph_loop *loop;
	struct ph_listener *listener;
	struct ph_stream *s[256];
	int accepted;
	bool close_inside;
};

static void on_data(void *owner, struct ph_str bytes)
{
	(void)owner;
	(void)bytes;
}

static void on_end(void *owner, int status)
{
	(void)owner;
	(void)status;
}

static const struct ph_stream_events events = {NULL, on_data, on_end, NULL, NULL};

static void on_accept(void *owner, struct ph_stream *s)
{
	struct door *d = owner;

	assert_true((size_t)d->accepted < PH_COUNT(d->s));
	d->s[d->accepted++] = s;
	ph_stream_set_owner(s, &events, d);
	ph_stream_push(s, PH_STR("hello"));
	if (d->close_inside) {
		d->close_inside = false;
		ph_listener_close(d->listener);
	}
}

static void door_open(struct door *d, struct ph_loop *loop, const struct ph_addr *addr)
{
	struct ph_err err = {0};

	memset(d, 0, sizeof(*d));
	d->loop = loop;
	d->listener = ph_listener_open(loop, addr, on_accept, d, &err);
	assert_non_null(d->listener);
}

static void door_empty(struct door *d)
{
	for (int i = 0; i < d->accepted; i++)
		ph_stream_close(d->s[i], false);
}

static struct ph_addr free_port(void)
{
	struct ph_addr addr = loopback(0);
	struct ph_err err = {0};

	assert_int_equal(ph_listener_probe(&addr, &err), 0);
	assert_true(port_of(&addr) > 0);
	return addr;
}

/* What a raw client is told, with 5 s of patience: 'h' greeted, '0' ended, 'r' reset, '-' nothing. */
static char heard(int fd, int wait_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;
	ssize_t n;

	if (poll(&p, 1, wait_ms) == 0)
		return '-';
	n = recv(fd, &byte, 1, MSG_DONTWAIT);
	return n > 0 ? byte : n == 0 ? '0' : 'r';
}

static void test_accept(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = free_port();
	struct door d;
	int fd[100];

	(void)state;
	door_open(&d, loop, &addr);
	for (int i = 0; i < 100; i++)
		fd[i] = raw_connect(&addr);
	for (uint64_t until = ph_clock_ms() + PATIENCE_MS; d.accepted < 100 && ph_clock_ms() < until;)
		turn_for(loop, 20);
	assert_int_equal(d.accepted, 100);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(heard(fd[i], 5000), 'h');
		close(fd[i]);
	}
	door_empty(&d);
	ph_listener_close(d.listener);
	ph_listener_close(NULL);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- the probe ---- */
static void test_busy(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = free_port();
	struct ph_err err = {0};
	char expected[128], text[64];
	struct door d;
	uint64_t began;

	(void)state;
	door_open(&d, loop, &addr); /* with SO_REUSEPORT: the probe must see it all the same */
	began = ph_clock_ms();
	assert_int_equal(ph_listener_probe(&addr, &err), -PH_E_SOCKET);
	assert_true(ph_clock_ms() - began >= 450);
	assert_int_equal(err.sys, EADDRINUSE);
	ph_addr_text(&addr, text, sizeof(text));
	snprintf(expected, sizeof(expected), "cannot listen on %s: address already in use", text);
	assert_string_equal(err.detail, expected);
	ph_listener_close(d.listener);
	assert_int_equal(ph_listener_probe(&addr, &err), 0); /* free as soon as close has returned */
	assert_int_equal(ph_loop_free(loop), 0);
}

/* Two processes that probed at the same moment: the claim goes to one, until it is gone. */
static void test_claim(void **state)
{
	struct ph_addr addr = free_port(), other = free_port();
	struct ph_err err = {0};
	int status;
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		if (ph_listener_claim(&addr, NULL))
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ph_listener_probe(&addr, &err), 0);
	assert_int_equal(ph_listener_claim(&addr, &err), -PH_E_SOCKET);
	assert_int_equal(err.sys, EADDRINUSE);
	assert_int_equal(ph_listener_claim(&other, &err), 0);
	kill(child, SIGKILL);
	assert_int_equal(ph_listener_claim(&addr, &err), 0); /* waits for the killed one to be gone */
	assert_int_equal(waitpid(child, &status, 0), child);
}

static void test_bad_address(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = loopback(0);
	struct ph_err err = {0};

	(void)state;
	((struct sockaddr_in *)(void *)&addr.sa)->sin_addr.s_addr =
		htonl(0xc0000201); /* 192.0.2.1 is nobody's */
	assert_int_equal(ph_listener_probe(&addr, &err), -PH_E_SOCKET);
	assert_int_equal(err.sys, EADDRNOTAVAIL);
	assert_null(ph_listener_open(loop, &addr, on_accept, NULL, &err));
	assert_string_equal(err.detail, "cannot listen on 192.0.2.1:0: address not available");
	assert_int_equal(ph_loop_free(loop), 0);
}

static void *close_soon(void *arg)
{
	int *fd = arg;

	usleep(100000);
	close(*fd);
	return NULL;
}

/* A predecessor that was just killed is waited for. */
static void test_probe_waits(void **state)
{
	struct ph_err err = {0};
	struct ph_addr addr;
	int fd = raw_listen(&addr);
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, close_soon, &fd), 0);
	assert_int_equal(ph_listener_probe(&addr, &err), 0);
	pthread_join(thread, NULL);
}

static void test_shared_port(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = free_port();
	struct door a, b;
	int fd[100];

	(void)state;
	door_open(&a, loop, &addr);
	door_open(&b, loop, &addr);
	for (int i = 0; i < 100; i++)
		fd[i] = raw_connect(&addr);
	turn_for(loop, 20);
	assert_int_equal(a.accepted + b.accepted, 100);
	assert_true(a.accepted > 0 && b.accepted > 0); /* 2^-99 to fail by chance */
	for (int i = 0; i < 100; i++)
		close(fd[i]);
	door_empty(&a);
	door_empty(&b);
	ph_listener_close(a.listener);
	ph_listener_close(b.listener);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- closing ---- */
static void test_close_accepts_what_waits(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = free_port();
	struct door d;
	int fd[100];

	(void)state;
	door_open(&d, loop, &addr);
	for (int i = 0; i < 100; i++)
		fd[i] = raw_connect(&addr);
	assert_int_equal(d.accepted, 0);
	ph_listener_close(d.listener);
	assert_int_equal(d.accepted, 100);
	turn_for(loop, 5);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(heard(fd[i], 5000), 'h');
		close(fd[i]);
	}
	door_empty(&d);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_close_inside(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = free_port();
	struct door d;
	int fd[10];

	(void)state;
	door_open(&d, loop, &addr);
	d.close_inside = true;
	for (int i = 0; i < 10; i++)
		fd[i] = raw_connect(&addr);
	turn_until(loop, &d.accepted);
	assert_int_equal(d.accepted, 10);
	door_empty(&d);
	assert_int_equal(ph_loop_free(loop), 0);
	for (int i = 0; i < 10; i++)
		close(fd[i]);
}

/* ---- out of descriptors: in a child, whose limit is its own ---- */
static void limit_to(rlim_t files)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = files;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static double cpu_ms(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e3 +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e3;
}

static void on_stop(void *arg)
{
	ph_loop_stop(arg);
}

/* Really waits, as a node does, and returns the CPU time that took. */
static double run_for(struct ph_loop *loop, uint64_t ms)
{
	double before = cpu_ms();
	struct ph_timer timer;

	ph_timer_init(&timer, loop, on_stop, loop);
	ph_timer_start(&timer, ms);
	ph_loop_run(loop);
	return cpu_ms() - before;
}

/* Returns 0 if all is well, else the number of the step that is not. */
static int starve(bool reserve_helps)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_addr addr = free_port();
	struct door d;
	int fd[4], spare;

	door_open(&d, loop, &addr);
	for (int i = 0; i < 4; i++)
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	run_for(loop, 20); /* whatever is opened late is open now */
	spare = dup(0);
	close(spare);
	/* no free number below the limit, or not even that of the reserve once it is given up */
	limit_to(reserve_helps ? (rlim_t)spare : 3);
	for (int i = 0; i < 3; i++) {
		if (connect(fd[i], (struct sockaddr *)&addr.sa, addr.len) < 0)
			return 1;
	}
	if (run_for(loop, 400) > 150)
		return 2; /* it spins */
	if (d.accepted != 0)
		return 3;
	for (int i = 0; i < 3; i++) {
		/* turned away at once, or left in the queue until there is room */
		if (heard(fd[i], 0) != (reserve_helps ? 'r' : '-'))
			return 4;
	}
	limit_to(1000);
	if (connect(fd[3], (struct sockaddr *)&addr.sa, addr.len) < 0)
		return 5;
	run_for(loop, 300);
	if (d.accepted != (reserve_helps ? 1 : 4) || heard(fd[3], 0) != 'h')
		return 6;
	door_empty(&d);
	ph_listener_close(d.listener);
	return ph_loop_free(loop) == 0 ? 0 : 7;
}

static void in_child(int (*body)(bool arg), bool arg)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(body(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_out_of_descriptors(void **state)
{
	(void)state;
	in_child(starve, true);
}

static void test_out_of_descriptors_and_reserve(void **state)
{
	(void)state;
	in_child(starve, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_claim),
		cmocka_unit_test(test_bad_address),
		cmocka_unit_test(test_probe_waits),
		cmocka_unit_test(test_shared_port),
		cmocka_unit_test(test_close_accepts_what_waits),
		cmocka_unit_test(test_close_inside),
		cmocka_unit_test(test_out_of_descriptors),
		cmocka_unit_test(test_out_of_descriptors_and_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
