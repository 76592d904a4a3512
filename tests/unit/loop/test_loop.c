/* SPDX-License-Identifier: Apache-2.0 */
/* Turns, deferred calls, the graveyard, the thread pool, signals, the log, and what a loop refuses to forget.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "loop_test.h"

#include "posthouse/buf.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"

/* ---- deferred calls ---- */
struct call {
	struct ph_defer defer;
	struct ph_loop *loop;
	int called;
	int order;
	int again;
	struct call *victim;
};

static int calls_so_far;

static void on_call(void *arg)
{
	struct call *c = arg;

	c->called++;
	c->order = ++calls_so_far;
	if (c->victim)
		ph_defer_cancel(&c->victim->defer);
	if (c->again-- > 0)
		ph_defer_call(c->loop, &c->defer);
}

static void call_init(struct call *c, struct ph_loop *loop)
{
	*c = (struct call){.loop = loop};
	ph_defer_init(&c->defer, on_call, c);
}

static void test_defer(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct call c[4];

	(void)state;
	calls_so_far = 0;
	for (int i = 0; i < 4; i++)
		call_init(&c[i], loop);
	ph_defer_call(loop, &c[1].defer);
	ph_defer_call(loop, &c[0].defer);
	ph_defer_call(loop, &c[1].defer); /* twice is once */
	ph_defer_call(loop, &c[2].defer);
	ph_defer_call(loop, &c[3].defer);
	c[0].victim = &c[2]; /* cancelled from inside */
	ph_defer_cancel(&c[3].defer);
	ph_defer_cancel(&c[3].defer);
	assert_int_equal(calls_so_far, 0);
	ph_loop_run(loop); /* a deferred call keeps the loop alive, and then no more */
	assert_int_equal(c[1].order, 1);
	assert_int_equal(c[0].order, 2);
	assert_int_equal(c[1].called, 1);
	assert_int_equal(c[2].called + c[3].called, 0);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* One that defers itself for ever must not keep timers from their turn. */
static void on_timer_stop(void *arg)
{
	struct call *c = arg;

	c->again = 0;
}

static void test_defer_is_fair(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_timer timer;
	struct call c;

	(void)state;
	call_init(&c, loop);
	c.again = INT32_MAX;
	ph_timer_init(&timer, loop, on_timer_stop, &c);
	ph_timer_start(&timer, 10);
	ph_defer_call(loop, &c.defer);
	ph_loop_run(loop);
	assert_true(c.called > 10);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- the graveyard ---- */
struct body {
	struct ph_loop *loop;
	struct body *inner; /* buried by the burial of this one */
	int *buried;
	bool *on_stack;
};

static void bury(void *obj)
{
	struct body *b = obj;

	assert_false(*b->on_stack);
	++*b->buried;
	if (b->inner)
		ph_loop_bury(b->loop, b->inner, bury);
	free(b);
}

static struct body *body_new(struct ph_loop *loop, int *buried, bool *on_stack)
{
	struct body *b = calloc(1, sizeof(*b));

	*b = (struct body){.loop = loop, .buried = buried, .on_stack = on_stack};
	return b;
}

struct chain {
	struct ph_timer timer;
	struct ph_defer defer;
	struct ph_loop *loop;
	struct body *body;
	bool on_stack;
	int buried;
};

static void on_chain_defer(void *arg)
{
	struct chain *c = arg;

	c->on_stack = true;
	ph_loop_bury(c->loop, c->body, bury);
	assert_int_equal(c->buried, 0);
	assert_ptr_equal(c->body->loop, c->loop); /* still there */
	c->on_stack = false;
}

static void on_chain_timer(void *arg)
{
	struct chain *c = arg;

	ph_defer_call(c->loop, &c->defer);
}

static void test_bury(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct chain c = {.loop = loop};

	(void)state;
	c.body = body_new(loop, &c.buried, &c.on_stack);
	c.body->inner = body_new(loop, &c.buried, &c.on_stack);
	ph_timer_init(&c.timer, loop, on_chain_timer, &c);
	ph_defer_init(&c.defer, on_chain_defer, &c);
	ph_timer_start(&c.timer, 10);
	ph_loop_run(loop);
	assert_int_equal(c.buried, 2);
	for (int i = 0; i < 1000; i++)
		ph_loop_bury(loop, body_new(loop, &c.buried, &c.on_stack), bury);
	assert_int_equal(c.buried, 2);
	assert_int_equal(ph_loop_free(loop), 0); /* empties it */
	assert_int_equal(c.buried, 1002);
}

/* ---- the thread pool ---- */
struct job {
	struct ph_loop *loop;
	pthread_t worker;
	int done;
	int rounds;
};

static void work(void *arg)
{
	struct job *j = arg;

	j->worker = pthread_self();
}

static void on_work_done(void *arg)
{
	struct job *j = arg;

	assert_false(pthread_equal(j->worker, pthread_self()));
	j->done++;
	if (--j->rounds > 0)
		ph_work_start(j->loop, work, on_work_done, j);
}

static void test_work(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct job j = {.loop = loop, .rounds = 3};

	(void)state;
	ph_work_start(loop, work, on_work_done, &j);
	assert_int_equal(j.done, 0);
	ph_loop_run(loop);
	assert_int_equal(j.done, 3);
	j.rounds = 1;
	ph_work_start(loop, work, on_work_done, &j);
	assert_int_equal(ph_loop_free(loop), 0); /* waits for it */
	assert_int_equal(j.done, 4);
}

/* ---- signals ---- */
static void on_signal(void *arg, int signum)
{
	int *seen = arg;

	*seen = signum;
}

static void test_signal(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	int seen = 0;
	struct ph_signal *s = ph_signal_open(loop, SIGUSR1, on_signal, &seen);

	(void)state;
	assert_non_null(s);
	assert_null(ph_signal_open(loop, SIGKILL, on_signal, &seen));
	raise(SIGUSR1);
	turn_until(loop, &seen);
	assert_int_equal(seen, SIGUSR1);
	assert_int_equal(ph_loop_free(loop), 1); /* still open */
	ph_signal_close(s);
	ph_signal_close(NULL);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- run, stop, now, beat ---- */
static void on_stop(void *arg)
{
	ph_loop_stop(arg);
}

static void test_run_and_stop(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_timer stop, other;
	uint64_t before = ph_loop_now_ms(loop);

	(void)state;
	assert_false(ph_loop_turn(loop));
	ph_timer_init(&stop, loop, on_stop, loop);
	ph_timer_init(&other, loop, on_stop, loop);
	ph_timer_start(&stop, 20);
	ph_timer_start(&other, 3600000);
	ph_loop_run(loop);
	assert_true(ph_timer_active(&other));
	assert_true(ph_loop_turn(loop));
	assert_true(ph_loop_now_ms(loop) >= before + 20);
	ph_timer_stop(&other);
	assert_int_equal(ph_loop_free(loop), 0);
	assert_int_equal(ph_loop_free(NULL), 0);
}

static void test_beat(void **state)
{
	struct ph_loop *loop = ph_loop_new();

	(void)state;
	ph_metrics_init(1);
	ph_metrics_worker(0);
	turn_for(loop, 20);
	assert_true(ph_metrics_oldest_beat_ms() < 1000);
	usleep(1100000);
	turn_for(loop, 20);
	assert_true(ph_metrics_oldest_beat_ms() < 1000); /* it would be 1,100 without another beat */
	assert_int_equal(ph_loop_free(loop), 0);
}

static void dawdle(void *arg)
{
	(void)arg;
	usleep(30000);
}

static double printed(const struct ph_buf *metrics, const char *name)
{
	const char *at = strstr(metrics->p, name);

	assert_non_null(at);
	return strtod(at + strlen(name), NULL);
}

/* Turns are measured from their first callback to the moment before the loop waits: the wait does not count.
 */
static void test_lag(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_timer stop, slow;
	struct ph_buf out;

	(void)state;
	ph_timer_init(&stop, loop, on_stop, loop);
	ph_timer_init(&slow, loop, dawdle, NULL);
	ph_timer_start(&slow, 10);
	ph_timer_start(&stop, 1500);
	ph_loop_run(loop);
	ph_loop_turn(loop); /* ends the turn that was stopped */
	ph_buf_init(&out, 1 << 20);
	ph_metrics_print(&out);
	ph_buf_putc(&out, '\0');
	assert_false(out.failed);
	assert_true(printed(&out, "\nposthouse_loop_lag_seconds_count ") >= 2);
	assert_true(printed(&out, "\nposthouse_loop_lag_seconds_sum ") >= 0.03);
	assert_true(printed(&out, "\nposthouse_loop_lag_seconds_sum ") < 1.4);
	ph_buf_deinit(&out);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- the log ---- */
struct reading {
	int fd;
	struct ph_timer next;
	char same_turn[4096], next_turn[4096];
};

static void read_lines(int fd, char *dst, size_t size)
{
	ssize_t n = read(fd, dst, size - 1);

	dst[n > 0 ? n : 0] = '\0';
}

static void on_logging(void *arg)
{
	struct reading *r = arg;

	ph_log(PH_LOG_INFO, "one");
	ph_log(PH_LOG_INFO, "two");
	read_lines(r->fd, r->same_turn, sizeof(r->same_turn));
	ph_timer_start(&r->next, 20);
}

static void on_reading(void *arg)
{
	struct reading *r = arg;

	read_lines(r->fd, r->next_turn, sizeof(r->next_turn));
}

/* The lines of one turn leave before the loop waits; without a loop that runs they leave at once. */
static void test_log(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	int standard_error = dup(STDERR_FILENO), fd[2];
	struct reading r = {0};
	struct ph_timer first;
	char after[4096];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	dup2(fd[1], STDERR_FILENO);
	ph_log_init(PH_LOG_INFO, PH_LOG_TEXT, "test");
	r.fd = fd[0];
	ph_timer_init(&r.next, loop, on_reading, &r);
	ph_timer_init(&first, loop, on_logging, &r);
	ph_timer_start(&first, 10);
	ph_loop_run(loop);
	ph_log(PH_LOG_INFO, "three");
	read_lines(fd[0], after, sizeof(after));
	dup2(standard_error, STDERR_FILENO);
	close(standard_error);
	close(fd[0]);
	close(fd[1]);
	assert_string_equal(r.same_turn, "");
	assert_non_null(strstr(r.next_turn, "one"));
	assert_non_null(strstr(r.next_turn, "two"));
	assert_non_null(strstr(after, "three"));
	assert_int_equal(ph_loop_free(loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defer),
		cmocka_unit_test(test_defer_is_fair),
		cmocka_unit_test(test_bury),
		cmocka_unit_test(test_work),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_run_and_stop),
		cmocka_unit_test(test_beat),
		cmocka_unit_test(test_lag),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
