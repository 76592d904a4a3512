/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending an answer that is ready: step by step, with the delays between them, in slices where the script
 * wants them, no faster than the peer reads, and with the ending that was planned.
 *
 * Steps without a delay leave together. A slice leaves in a turn of the loop of its own, so that each is a
 * segment: timers have a grain of 10 ms, so there is a descriptor that is always readable, watched while
 * somebody waits for it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "posthouse/clock.h"
#include "socket.h"

#define PIECE    ((size_t)PH_STREAM_HIGH)
#define FLUSH_MS 10 /* how often an abort looks whether all bytes before it have left */

static void on_timer(void *arg)
{
	struct fake_exchange *x = arg;

	if (x->play.waits == FAKE_WAITS_DELAY)
		x->play.waited = true;
	x->play.waits = FAKE_WAITS_NOT;
	fake_play_run(x);
}

void fake_play_init(struct fake_exchange *x)
{
	struct fake_play *p = &x->play;

	ph_buf_init(&p->payload, FAKE_ANSWER_MAX);
	ph_buf_init(&p->wire, FAKE_ANSWER_MAX + (FAKE_ANSWER_MAX >> 3));
	ph_timer_init(&p->timer, x->server->loop, on_timer, x);
	ph_list_init(&p->tick);
	fake_play_reset(x);
}

void fake_play_deinit(struct fake_exchange *x)
{
	struct fake_play *p = &x->play;

	ph_timer_stop(&p->timer);
	ph_list_remove(&p->tick);
	ph_buf_deinit(&p->payload);
	ph_buf_deinit(&p->wire);
	free(p->steps), p->steps = NULL;
}

/* The first step is the head's. What was large is given back, what is usual is kept. */
void fake_play_reset(struct fake_exchange *x)
{
	struct fake_play *p = &x->play;

	ph_timer_stop(&p->timer);
	ph_list_remove(&p->tick);
	if (p->payload.cap > PIECE)
		ph_buf_deinit(&p->payload);
	if (p->wire.cap > PIECE)
		ph_buf_deinit(&p->wire);
	ph_buf_reset(&p->payload);
	ph_buf_reset(&p->wire);
	p->step = p->sent = p->step_count = p->terminal = 0;
	p->progress = (struct fake_progress){0};
	p->waited = false;
	p->waits = FAKE_WAITS_NOT;
	p->ending = FAKE_KEEP;
	fake_play_mark(x, 0, 0);
}

void fake_play_mark(struct fake_exchange *x, uint64_t delay_ms, size_t stamp)
{
	struct fake_play *p = &x->play;

	if (p->step_count == p->step_max) {
		p->step_max = p->step_max ? p->step_max * 2 : 16;
		p->steps = ph_realloc(p->steps, p->step_max * sizeof(*p->steps));
	}
	p->steps[p->step_count++] = (struct fake_step){.end = p->payload.n,
		.made = p->payload.n,
		.delay_ms = delay_ms,
		.stamp = stamp,
		.progress = p->progress};
}

/* ---- waiting for the next turn of the loop ---- */

static void on_tick(void *owner, int status, int events)
{
	(void)status;
	(void)events;
	fake_play_tick(owner);
}

static void wait_tick(struct fake_exchange *x)
{
	struct fake_server *s = x->server;

	x->play.waits = FAKE_WAITS_TICK;
	ph_list_push_back(&s->ticking, &x->play.tick);
	if (s->tick_fd < 0)
		s->tick_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->tick_fd < 0 || ph_watch_arm(&s->tick, s->loop, s->tick_fd, PH_READABLE, false, on_tick, s))
		ph_die("no descriptor for slices");
}

void fake_play_tick(struct fake_server *s)
{
	struct ph_list now, *n;

	ph_list_init(&now);
	while ((n = ph_list_pop(&s->ticking)))
		ph_list_push_back(&now, n);
	while ((n = ph_list_pop(&now))) {
		struct fake_exchange *x = PH_CONTAINER(n, struct fake_exchange, play.tick);

		x->play.waits = FAKE_WAITS_NOT;
		fake_play_run(x);
	}
	if (ph_list_empty(&s->ticking))
		ph_watch_pause(s->tick);
}

static void wait_timer(struct fake_exchange *x, enum fake_wait waits, uint64_t ms)
{
	x->play.waits = waits;
	ph_timer_start(&x->play.timer, ms);
}

/* ---- sending ---- */

static void stamp(struct fake_play *p, size_t at)
{
	char digits[21];

	snprintf(digits, sizeof(digits), "%020llu", (unsigned long long)ph_clock_ns());
	memcpy(p->wire.p + at, digits, 20);
}

/* How far bytes may go now: over all steps whose delay is over. */
static size_t sendable(struct fake_play *p)
{
	size_t end = p->step ? p->steps[p->step - 1].end : 0;

	while (p->step < p->step_count) {
		const struct fake_step *s = &p->steps[p->step];

		if (s->delay_ms && !p->waited)
			break;
		p->waited = false;
		if (s->stamp)
			stamp(p, s->stamp);
		end = s->end;
		p->step++;
	}
	return end;
}

static void end_as_planned(struct fake_exchange *x)
{
	struct fake_conn *c = x->conn;
	enum fake_ending ending = x->play.ending;

	if (ending == FAKE_HOLD)
		return;
	if (ending == FAKE_ABORT && ph_stream_queued(c->stream) > 0) {
		wait_timer(x, FAKE_WAITS_FLUSH, FLUSH_MS);
		return;
	}
	if (x->lane) {
		fake_lane_played(x, ending);
		return;
	}
	if (ending == FAKE_SWITCH) {
		fake_conn_switched(c);
		return;
	}
	fake_exchange_end(x, false);
	if (ending == FAKE_KEEP)
		fake_conn_finished(c);
	else if (ending == FAKE_ABORT)
		fake_conn_close(c, true);
	else
		fake_conn_fin(c);
}

/* Pushes what may go; true if there is more to do at once. */
static bool push(struct fake_exchange *x, size_t end)
{
	struct fake_play *p = &x->play;
	int64_t slice = FAKE_DO(x->todo, slice, 0);
	size_t max = slice > 0 && (size_t)slice < PIECE ? (size_t)slice : PIECE;
	size_t n = end - p->sent < max ? end - p->sent : max;
	long room;

	if (x->lane && !fake_voice_take(x)) {
		p->waits = FAKE_WAITS_VOICE;
		return false;
	}
	room = ph_stream_push(x->conn->stream, ph_str(p->wire.p + p->sent, n));
	p->sent += n;
	if (x->lane && p->sent == end && !p->steps[p->step - 1].lacks)
		fake_voice_give(x);
	if (room <= 0) {
		p->waits = FAKE_WAITS_DRAIN;
		return false;
	}
	if (slice <= 0 || p->sent >= p->wire.n)
		return true;
	if (FAKE_DO(x->todo, slice_delay_ms, 0) > 0)
		wait_timer(x, FAKE_WAITS_SLICE, (uint64_t)x->todo->slice_delay_ms);
	else
		wait_tick(x);
	return false;
}

void fake_play_run(struct fake_exchange *x)
{
	struct fake_play *p = &x->play;
	size_t end;

	if (p->waits != FAKE_WAITS_NOT)
		return;
	for (;;) {
		end = sendable(p);
		if (p->sent < end) {
			if (!push(x, end))
				return;
			continue;
		}
		if (p->step == p->step_count)
			break;
		wait_timer(x, FAKE_WAITS_DELAY, p->steps[p->step].delay_ms);
		return;
	}
	end_as_planned(x);
}

void fake_play_start(struct fake_exchange *x)
{
	x->play.waits = FAKE_WAITS_NOT;
	fake_play_run(x);
}
