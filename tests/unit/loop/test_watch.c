/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "loop_test.h"

struct seen {
	struct ph_watch *watch;
	int calls;
	int status;
	int events;
	bool drop_inside;
};

static void on_event(void *owner, int status, int events)
{
	struct seen *s = owner;

	s->calls++;
	s->status = status;
	s->events = events;
	if (s->drop_inside)
		ph_watch_drop(&s->watch);
	else
		ph_watch_pause(s->watch);
}

static void pair(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

static int arm(struct seen *s, struct ph_loop *loop, int fd, int mask, bool fresh)
{
	s->calls = 0;
	return ph_watch_arm(&s->watch, loop, fd, mask, fresh, on_event, s);
}

static void test_events(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct seen s = {0};
	int fd[2];

	(void)state;
	pair(fd);
	assert_int_equal(arm(&s, loop, fd[0], PH_READABLE, false), 0);
	turn_for(loop, 20);
	assert_int_equal(s.calls, 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	turn_until(loop, &s.calls);
	assert_int_equal(s.status, 0);
	assert_int_equal(s.events, PH_READABLE);
	turn_for(loop, 20);
	assert_int_equal(s.calls, 1); /* paused: still readable, and nothing is told */
	assert_int_equal(arm(&s, loop, fd[0], PH_READABLE | PH_WRITABLE, false), 0);
	turn_until(loop, &s.calls);
	assert_int_equal(s.events, PH_READABLE | PH_WRITABLE);
	s.drop_inside = true;
	assert_int_equal(arm(&s, loop, fd[0], PH_WRITABLE, false), 0);
	turn_until(loop, &s.calls);
	assert_null(s.watch);
	turn_for(loop, 20);
	assert_int_equal(s.calls, 1);
	ph_watch_drop(&s.watch);
	ph_watch_pause(NULL);
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* What libpq does when a host refuses: the socket goes and another comes, behind the same number. */
static void test_same_number(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct seen s = {0};
	int old[2], fresh[2];

	(void)state;
	pair(old);
	assert_int_equal(arm(&s, loop, old[0], PH_READABLE, true), 0);
	turn_for(loop, 5); /* it is in epoll now */
	ph_watch_pause(s.watch);
	pair(fresh);
	assert_int_equal(dup2(fresh[0], old[0]), old[0]);
	close(fresh[0]);
	assert_int_equal(arm(&s, loop, old[0], PH_READABLE, true), 0);
	turn_for(loop, 5);
	assert_int_equal(s.calls, 0);
	assert_int_equal(write(fresh[1], "x", 1), 1);
	turn_until(loop, &s.calls);
	assert_int_equal(s.events, PH_READABLE);
	ph_watch_drop(&s.watch);
	close(old[0]);
	close(old[1]);
	close(fresh[1]);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* The same without a pause in between: the old one was never taken out of epoll. */
static void test_same_number_unpaused(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct seen s = {0};
	int old[2], fresh[2];

	(void)state;
	pair(old);
	assert_int_equal(arm(&s, loop, old[0], PH_READABLE, true), 0);
	turn_for(loop, 5);
	close(old[0]);
	pair(fresh);
	assert_int_equal(fresh[0], old[0]);
	assert_int_equal(arm(&s, loop, fresh[0], PH_READABLE, true), 0);
	turn_for(loop, 5);
	assert_int_equal(write(fresh[1], "x", 1), 1);
	turn_until(loop, &s.calls);
	assert_int_equal(s.events, PH_READABLE);
	ph_watch_drop(&s.watch);
	close(old[1]);
	close(fresh[0]);
	close(fresh[1]);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_other_number(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct seen s = {0};
	struct ph_watch *first;
	int a[2], b[2];

	(void)state;
	pair(a);
	pair(b);
	assert_int_equal(arm(&s, loop, a[0], PH_READABLE, true), 0);
	first = s.watch;
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(arm(&s, loop, b[0], PH_READABLE, true), 0);
	assert_ptr_not_equal(s.watch, first);
	turn_for(loop, 20);
	assert_int_equal(s.calls, 0); /* the first one's byte is nobody's business any more */
	assert_int_equal(write(b[1], "x", 1), 1);
	turn_until(loop, &s.calls);
	ph_watch_drop(&s.watch);
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_refused(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct seen s = {0};
	struct ph_addr addr;
	int fd = raw_listen(&addr);

	(void)state;
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&addr.sa, addr.len) < 0)
		assert_int_equal(errno, EINPROGRESS);
	assert_int_equal(arm(&s, loop, fd, PH_WRITABLE, true), 0);
	turn_until(loop, &s.calls); /* whatever it says, it must say something */
	if (s.status < 0)
		assert_int_equal(s.events, 0);
	ph_watch_drop(&s.watch);
	close(fd);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_bad_descriptor(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct seen s = {0};
	int fd[2], file;

	(void)state;
	assert_int_equal(arm(&s, loop, -1, PH_READABLE, false), -PH_E_SOCKET);
	pair(fd);
	assert_int_equal(arm(&s, loop, fd[0], PH_READABLE, true), 0);
	ph_watch_pause(s.watch);
	close(fd[0]);
	assert_int_equal(arm(&s, loop, fd[0], PH_READABLE, true), -PH_E_SOCKET); /* and the process lives */
	ph_watch_drop(&s.watch);
	file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(arm(&s, loop, file, PH_READABLE, true), -PH_E_SOCKET);
	assert_null(s.watch);
	close(file);
	close(fd[1]);
	assert_int_equal(ph_loop_free(loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_same_number),
		cmocka_unit_test(test_same_number_unpaused),
		cmocka_unit_test(test_other_number),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bad_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
