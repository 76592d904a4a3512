/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop itself: turns, deferred calls, the graveyard, the measurement of turns and the heartbeat.
 *
 * A turn, as libuv runs it:
 *
 *     wait -> events -> check -> close callbacks -> timers -> prepare -> wait
 *                       settle                               settle
 *
 * settle() runs what was deferred, then what was deferred late (the writes of streams), again while they
 * defer more, and then empties the graveyard. It runs twice: in check, so that what events caused leaves at
 * once, and in prepare, for what close callbacks and timers caused. Neither has a callback of ours below it
 * on the stack. The log lines of a turn leave in prepare, together.
 */
#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "posthouse/log.h"
#include "posthouse/metrics.h"

#include "loop_priv.h"

#define ROUNDS_MAX   8 /* of deferred calls that defer calls, before events get their turn */
#define BEAT_MS      1000
#define SLOW_TURN_NS 50000000
#define FREE_WAIT_MS 5000 /* for jobs on the thread pool, which cannot be interrupted */
#define POOL_THREADS                                                                                         \
	"8" /* libuv lets name look-ups take half of them, so that bodies never wait for a name server */

/* ---- deferred calls ---- */
void ph_defer_init(struct ph_defer *d, void (*cb)(void *arg), void *arg)
{
	assert(cb);
	ph_list_init(&d->node);
	d->cb = cb;
	d->arg = arg;
}

static void on_idle(uv_idle_t *handle)
{
	(void)handle; /* being active is its whole purpose */
}

static void enlist(struct ph_loop *loop, struct ph_list *calls, struct ph_defer *d)
{
	if (!ph_list_empty(&d->node))
		return;
	ph_list_push_back(calls, &d->node);
	uv_idle_start(&loop->idle, on_idle);
}

void ph_defer_call(struct ph_loop *loop, struct ph_defer *d)
{
	enlist(loop, &loop->deferred, d);
}

void ph_loop_late(struct ph_loop *loop, struct ph_defer *d)
{
	enlist(loop, &loop->late, d);
}

void ph_defer_cancel(struct ph_defer *d)
{
	ph_list_remove(&d->node);
}

/* Calls what stands in the list now; what is added meanwhile stands behind the mark and stays. */
static void run_calls(struct ph_list *calls)
{
	struct ph_list mark;
	struct ph_list *node;

	ph_list_push_back(calls, &mark);
	for (node = ph_list_pop(calls); node != &mark; node = ph_list_pop(calls)) {
		struct ph_defer *d = PH_CONTAINER(node, struct ph_defer, node);

		d->cb(d->arg);
	}
}

/* ---- the graveyard ---- */
void ph_loop_bury(struct ph_loop *loop, void *obj, void (*fn)(void *obj))
{
	assert(fn);
	if (loop->grave_count == loop->grave_cap) {
		loop->grave_cap = loop->grave_cap ? 2 * loop->grave_cap : 64;
		loop->graves = ph_realloc(loop->graves, loop->grave_cap * sizeof(*loop->graves));
	}
	loop->graves[loop->grave_count++] = (struct ph_grave){obj, fn};
}

static void empty_graveyard(struct ph_loop *loop)
{
	/* fn may bury more, which may move the array */
	for (size_t i = 0; i < loop->grave_count; i++) {
		struct ph_grave grave = loop->graves[i];

		grave.fn(grave.obj);
	}
	loop->grave_count = 0;
}

/* ---- a turn ---- */
static void settle(struct ph_loop *loop)
{
	for (int round = 0; round < ROUNDS_MAX; round++) {
		if (ph_list_empty(&loop->deferred) && ph_list_empty(&loop->late))
			break;
		run_calls(&loop->deferred);
		run_calls(&loop->late);
	}
	empty_graveyard(loop);
	if (ph_list_empty(&loop->deferred) && ph_list_empty(&loop->late))
		uv_idle_stop(&loop->idle);
}

static void on_check(uv_check_t *handle)
{
	settle(handle->data);
}

static void on_prepare(uv_prepare_t *handle)
{
	struct ph_loop *loop = handle->data;
	uint64_t ns;

	settle(loop);
	ph_log_flush();
	if (loop->woke_ns == 0)
		return;
	ns = uv_hrtime() - loop->woke_ns;
	loop->woke_ns = 0;
	ph_metric_observe(PH_M_LOOP_LAG_SECONDS, ns);
	if (ns > loop->slowest_ns)
		loop->slowest_ns = ns;
}

static void on_beat(uv_timer_t *handle)
{
	struct ph_loop *loop = handle->data;

	ph_metrics_beat();
	if (loop->slowest_ns > SLOW_TURN_NS) {
		const struct ph_field fields[] = {PH_F_MS("longest_ms", loop->slowest_ns)};

		ph_log_fields(
			PH_LOG_WARN, "a turn of the event loop took long: every stream waited", fields, 1);
	}
	loop->slowest_ns = 0;
}

/* ---- birth ---- */
static void init_handles(struct ph_loop *loop)
{
	uv_prepare_init(&loop->uv, &loop->prepare);
	uv_check_init(&loop->uv, &loop->check);
	uv_idle_init(&loop->uv, &loop->idle);
	uv_timer_init(&loop->uv, &loop->beat);
	loop->prepare.data = loop->check.data = loop->beat.data = loop;
	uv_prepare_start(&loop->prepare, on_prepare);
	uv_check_start(&loop->check, on_check);
	uv_timer_start(&loop->beat, on_beat, 0, BEAT_MS);
	/* these three belong to the loop and are no reason to go on */
	uv_unref((uv_handle_t *)&loop->prepare);
	uv_unref((uv_handle_t *)&loop->check);
	uv_unref((uv_handle_t *)&loop->beat);
}

struct ph_loop *ph_loop_new(void)
{
	struct ph_loop *loop;
	int rc;

	signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of a write, not of the process */
	setenv("UV_THREADPOOL_SIZE", POOL_THREADS, 0);
	loop = ph_alloc(sizeof(*loop));
	rc = uv_loop_init(&loop->uv);
	if (rc < 0)
		ph_die("cannot make an event loop: %s", uv_strerror(rc));
	loop->uv.data = loop;
	ph_list_init(&loop->deferred);
	ph_list_init(&loop->late);
	ph_list_init(&loop->names);
	ph_list_init(&loop->blocks);
	ph_list_init(&loop->handshakes);
	loop->handshakes_max = PH_HANDSHAKES_MAX;
	loop->read_buf = ph_alloc(PH_READ_SIZE);
	init_handles(loop);
	ph_wheel_init(loop);
	return loop;
}

/* ---- death ---- */
struct census {
	const struct ph_loop *loop;
	int open;    /* handles that others have not closed */
	int closing; /* handles whose close callback has not run */
};

static void count_handle(uv_handle_t *handle, void *arg)
{
	struct census *census = arg;
	const char *at = (const char *)handle;

	if (uv_is_closing(handle))
		census->closing++;
	else if (at < (const char *)census->loop || at >= (const char *)(census->loop + 1))
		census->open++;
}

static struct census take_census(struct ph_loop *loop)
{
	struct census census = {.loop = loop};

	uv_walk(&loop->uv, count_handle, &census);
	return census;
}

/* Gives closes the turn that they need, and jobs on the thread pool some time. */
static void wind_down(struct ph_loop *loop)
{
	const useconds_t pause_us = 1000;

	settle(loop);
	for (int ms = 0; ms < FREE_WAIT_MS; ms++) {
		if (take_census(loop).closing == 0 && loop->jobs == 0)
			break;
		uv_run(&loop->uv, UV_RUN_NOWAIT);
		if (loop->jobs > 0)
			usleep(pause_us);
	}
	settle(loop);
}

static void close_own(struct ph_loop *loop)
{
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->check, NULL);
	uv_close((uv_handle_t *)&loop->idle, NULL);
	uv_close((uv_handle_t *)&loop->beat, NULL);
	uv_close((uv_handle_t *)&loop->wheel.timer, NULL);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

int ph_loop_free(struct ph_loop *loop)
{
	int left;
	int rc;

	if (!loop)
		return 0;
	wind_down(loop);
	left = take_census(loop).open + (int)loop->wheel.count + (int)loop->jobs;
	if (left > 0)
		return left;
	close_own(loop);
	rc = uv_loop_close(&loop->uv);
	if (rc < 0)
		ph_die("the event loop does not end: %s", uv_strerror(rc));
	ph_resolve_forget(loop);
	ph_queue_free_spares(loop);
	free(loop->graves);
	free(loop->read_buf);
	free(loop->plain_buf);
	free(loop);
	return 0;
}

/* ---- running ---- */
void ph_loop_run(struct ph_loop *loop)
{
	ph_log_hold(true);
	uv_run(&loop->uv, UV_RUN_DEFAULT);
	ph_log_hold(false);
}

void ph_loop_stop(struct ph_loop *loop)
{
	uv_stop(&loop->uv);
}

bool ph_loop_turn(struct ph_loop *loop)
{
	return uv_run(&loop->uv, UV_RUN_NOWAIT) != 0;
}

uint64_t ph_loop_now_ms(const struct ph_loop *loop)
{
	return uv_now(&loop->uv);
}
