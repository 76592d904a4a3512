/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: one hierarchical wheel per loop, driven by one uv_timer. Starting, restarting and stopping take
 * constant time and allocate nothing, so that every wait in the program can afford a deadline.
 *
 * Time is cut into ticks of 10 ms. A timer that is due at tick e stands, while the wheel is at tick c, on the
 * level of the highest group of six bits in which e and c differ, in the slot that e has in that group. So a
 * level holds only slots ahead of the wheel's own, the lowest level that holds any holds the next, and the
 * first bit of its map is that one. When the wheel gets there, what is due fires and the rest falls to a
 * lower level.
 *
 * Never early: a timer's due time is counted from the clock, not from the loop's cached time, and rounded up
 * twice.
 */
#include <assert.h>

#include "loop_priv.h"

#define GRAIN_MS 10
#define UNARMED  UINT64_MAX

struct slot {
	unsigned level;
	unsigned index;
	uint64_t tick; /* when the wheel gets there */
};

static void on_tick(uv_timer_t *handle);

void ph_wheel_init(struct ph_loop *loop)
{
	struct ph_wheel *w = &loop->wheel;

	for (unsigned level = 0; level < PH_WHEEL_LEVELS; level++) {
		for (unsigned i = 0; i < PH_WHEEL_SLOTS; i++)
			ph_list_init(&w->slot[level][i]);
	}
	w->armed = UNARMED;
	uv_timer_init(&loop->uv, &w->timer);
	w->timer.data = loop;
}

static uint64_t due_tick(const struct ph_timer *t)
{
	return t->due_ms / GRAIN_MS + (t->due_ms % GRAIN_MS != 0);
}

/* Returns the tick at which the wheel has to look at t again. */
static uint64_t place(struct ph_wheel *w, struct ph_timer *t)
{
	uint64_t tick = due_tick(t) > w->tick ? due_tick(t) : w->tick + 1;
	unsigned level = (unsigned)(63 - __builtin_clzll(tick ^ w->tick)) / PH_WHEEL_BITS;
	unsigned shift = level * PH_WHEEL_BITS;
	unsigned index = (tick >> shift) % PH_WHEEL_SLOTS;

	ph_list_push_back(&w->slot[level][index], &t->node);
	w->used[level] |= UINT64_C(1) << index;
	return tick >> shift << shift;
}

/* The next slot that is not empty. Forgets the bits of those that have become so. */
static bool next_slot(struct ph_wheel *w, struct slot *ret)
{
	for (unsigned level = 0; level < PH_WHEEL_LEVELS; level++) {
		unsigned shift = level * PH_WHEEL_BITS;

		while (w->used[level]) {
			unsigned index = (unsigned)__builtin_ctzll(w->used[level]);
			uint64_t above =
				level + 1 < PH_WHEEL_LEVELS ? UINT64_MAX << shift << PH_WHEEL_BITS : 0;

			if (!ph_list_empty(&w->slot[level][index])) {
				*ret = (struct slot){
					level, index, (w->tick & above) | (uint64_t)index << shift};
				return true;
			}
			w->used[level] &= w->used[level] - 1;
		}
	}
	return false;
}

static void arm(struct ph_loop *loop, uint64_t tick)
{
	uint64_t now = uv_now(&loop->uv);
	uint64_t at = tick > UINT64_MAX / GRAIN_MS ? UINT64_MAX : tick * GRAIN_MS;

	loop->wheel.armed = tick;
	uv_timer_start(&loop->wheel.timer, on_tick, at > now ? at - now : 0, 0);
}

static void disarm(struct ph_wheel *w)
{
	w->armed = UNARMED;
	uv_timer_stop(&w->timer);
}

static void serve(struct ph_wheel *w, const struct slot *slot)
{
	struct ph_list *node;

	w->tick = slot->tick;
	w->used[slot->level] &= ~(UINT64_C(1) << slot->index);
	/* nothing new gets into this very slot: place() differs from w->tick on every level it chooses */
	while ((node = ph_list_pop(&w->slot[slot->level][slot->index])) != NULL) {
		struct ph_timer *t = PH_CONTAINER(node, struct ph_timer, node);

		if (due_tick(t) > w->tick) {
			place(w, t);
			continue;
		}
		w->count--;
		t->cb(t->arg);
	}
}

static void on_tick(uv_timer_t *handle)
{
	struct ph_loop *loop = handle->data;
	struct ph_wheel *w = &loop->wheel;
	uint64_t now = uv_now(&loop->uv) / GRAIN_MS;
	struct slot slot;

	ph_loop_woke(loop);
	w->armed = 0; /* callbacks that start timers leave the arming to us */
	while (next_slot(w, &slot) && slot.tick <= now)
		serve(w, &slot);
	if (w->tick < now)
		w->tick = now;
	if (next_slot(w, &slot))
		arm(loop, slot.tick);
	else
		disarm(w);
}

void ph_timer_init(struct ph_timer *t, struct ph_loop *loop, void (*cb)(void *arg), void *arg)
{
	assert(loop && cb);
	ph_list_init(&t->node);
	t->loop = loop;
	t->due_ms = 0;
	t->cb = cb;
	t->arg = arg;
}

static bool take_out(struct ph_timer *t)
{
	if (!ph_timer_active(t))
		return false;
	ph_list_remove(&t->node);
	t->loop->wheel.count--;
	return true;
}

void ph_timer_start(struct ph_timer *t, uint64_t after_ms)
{
	const uint64_t ns_per_ms = 1000000;
	struct ph_wheel *w = &t->loop->wheel;
	uint64_t now_ms = (uv_hrtime() + ns_per_ms - 1) / ns_per_ms;
	uint64_t wake;

	take_out(t);
	if (w->count == 0 && w->armed != 0)
		w->tick = uv_now(&t->loop->uv) / GRAIN_MS; /* nothing is in its way */
	t->due_ms = after_ms < UINT64_MAX - now_ms ? now_ms + after_ms : UINT64_MAX;
	w->count++;
	wake = place(w, t);
	if (wake < w->armed)
		arm(t->loop, wake);
}

void ph_timer_stop(struct ph_timer *t)
{
	struct ph_wheel *w = &t->loop->wheel;

	/* the last one lets the loop end; while on_tick() is at work it disarms by itself */
	if (take_out(t) && w->count == 0 && w->armed != 0)
		disarm(w);
}

bool ph_timer_active(const struct ph_timer *t)
{
	return !ph_list_empty(&t->node);
}
