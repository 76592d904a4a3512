/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The present minute: turns by how they were continued, and by how long they took, in steps of half an
 * octave. It is written while it goes on, every few seconds and only where something changed, so that a look
 * at the cluster is never older than that; a write that fails is made good by the next one. With it go the
 * turns that last (running.c), each time while there are any: nobody believes what was said of them long ago.
 */
#include "traffic.h"

#include <stdlib.h>

#define WRITE_MS  5000
#define STEPS     40 /* the last one has all above 9 minutes */
#define TURNS_MAX (64 * 1024)

enum {
	FAILED = 4, /* behind the four modes */
	COUNTS
};

struct ph_traffic {
	struct ph_gateway *g;
	struct ph_timer timer;
	struct ph_pg_call *call;
	uint64_t minute; /* since 1970, on the database's clock; 0 = none began yet */
	uint32_t counts[COUNTS], first_event[STEPS], duration[STEPS];
	uint32_t running; /* as it was written last */
	bool lasting;     /* likewise: turns that last were among it */
	bool changed;
};

/* Step 0 ends at 1 ms, each further one at 1.41 times the one before. */
static unsigned step_of(uint64_t ns)
{
	uint64_t end = 1000000;
	unsigned i = 0;

	while (i + 1 < STEPS && ns >= end) {
		uint64_t half = end / 1000 * 1414;

		if (ns < half)
			return i + 1;
		i += 2;
		end *= 2;
	}
	return i < STEPS ? i : STEPS - 1;
}

static uint32_t running(const struct ph_traffic *t)
{
	return (uint32_t)t->g->turns;
}

static void put_array(struct ph_buf *b, const uint32_t *n, size_t count, struct ph_str *ret)
{
	size_t from = b->n;

	for (size_t i = 0; i < count; i++)
		ph_buf_printf(b, "%s%u", i ? "," : "{", n[i]);
	ph_buf_putc(b, '}');
	*ret = ph_str_from(ph_buf_str(b), from);
}

static void on_written(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_traffic *t = arg;

	(void)r;
	t->call = NULL;
	t->changed = t->changed || err;
}

static void put_minute(struct ph_traffic *t, struct ph_minute *m)
{
	struct ph_buf b;

	ph_buf_init(&b, 4096);
	if (!ph_buf_room(&b, 2048)) /* once: the arrays point into it */
		return;
	put_array(&b, t->counts, COUNTS, &m->counts);
	put_array(&b, t->first_event, STEPS, &m->first_event);
	put_array(&b, t->duration, STEPS, &m->duration);
	t->call = ph_traffic_store_put(t->g->pg, ph_member_id(t->g->member), t->g->node, m, on_written, t);
	t->running = m->running;
	t->lasting = m->turns.n > 0;
	t->changed = false;
	ph_buf_deinit(&b);
}

static void write_minute(struct ph_traffic *t)
{
	struct ph_minute m = {.minute_s = t->minute * 60, .running = running(t)};
	struct ph_buf turns;

	if (t->call || !t->minute)
		return;
	ph_buf_init(&turns, TURNS_MAX);
	ph_running_put(t->g, &turns);
	m.turns = ph_buf_str(&turns);
	if (t->changed || t->lasting || m.turns.n || m.running != t->running)
		put_minute(t, &m);
	ph_buf_deinit(&turns);
}

static void begin(struct ph_traffic *t, uint64_t minute)
{
	memset(t->counts, 0, sizeof t->counts);
	memset(t->first_event, 0, sizeof t->first_event);
	memset(t->duration, 0, sizeof t->duration);
	t->minute = minute;
	t->changed = t->running > 0;
}

/* What ended in the minute before and was not written yet counts there; what ended before the clock was
 * known, in the first one. */
static void follow_clock(struct ph_traffic *t)
{
	uint64_t now = ph_accounts_unix_s(t->g->accounts) / 60;

	if (now == t->minute || t->call)
		return;
	if (!t->minute) {
		t->minute = now;
		return;
	}
	write_minute(t);
	begin(t, now);
}

static void on_timer(void *arg)
{
	struct ph_traffic *t = arg;

	follow_clock(t);
	write_minute(t);
	ph_timer_start(&t->timer, WRITE_MS);
}

void ph_traffic_turn(
	struct ph_traffic *t, unsigned mode, bool failed, uint64_t first_event_ns, uint64_t duration_ns)
{
	t->counts[mode]++;
	t->counts[FAILED] += failed;
	if (first_event_ns)
		t->first_event[step_of(first_event_ns)]++;
	t->duration[step_of(duration_ns)]++;
	t->changed = true;
}

struct ph_traffic *ph_traffic_new(struct ph_gateway *g)
{
	struct ph_traffic *t = ph_alloc(sizeof *t);

	t->g = g;
	ph_timer_init(&t->timer, g->loop, on_timer, t);
	return t;
}

void ph_traffic_start(struct ph_traffic *t)
{
	ph_timer_start(&t->timer, WRITE_MS);
}

struct ph_traffic *ph_traffic_free(struct ph_traffic *t)
{
	ph_timer_stop(&t->timer);
	if (t->call)
		ph_pg_abandon(t->call);
	free(t);
	return NULL;
}
