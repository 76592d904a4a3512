/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of events, or turns on WebSockets, read as fast as they come: every number is checked, and the
 * delay of every stamped delta. */
#include <stdio.h>

#include "bench.h"

#define PATIENCE (30 * SECOND) /* without a byte, behind the end */

static uint64_t event_count, delta_count, broken;

static bool more(const struct bench *b)
{
	return b->o.repeat ? b->sent < b->o.repeat * b->o.connections : b->now < b->ends;
}

static void start(struct bench *b)
{
	b->ends = b->started + (uint64_t)(b->o.seconds * 1e9);
}

static void send_one(struct conn *c)
{
	if (more(c->bench))
		conn_send(c, c->bench->o.request, c->bench->o.request_n, c->bench->now);
}

static void on_body(void *arg, const char *p, size_t n)
{
	struct conn *c = arg;
	struct bench *b = c->bench;

	events_feed(&c->events, p, n, b->now, &b->latency);
	if (!c->first_ns && c->events.deltas) {
		c->first_ns = b->now;
		hist_add(&b->first, b->now - c->from_ns);
	}
}

static void on_answer(struct conn *c)
{
	struct bench *b = c->bench;
	const struct events *e = &c->events;

	event_count += e->count;
	delta_count += e->deltas;
	broken += e->broken;
	if ((c->answer.status != 200 && !c->ws) || !e->terminal || (!e->done && !e->messages) || e->part_n ||
		(b->o.events && e->deltas != b->o.events))
		b->wrong++;
	send_one(c);
}

static uint64_t tick(struct bench *b)
{
	bool all = b->conn_count == b->conn_target;

	if (all && !more(b) && b->answered + b->lost >= b->sent)
		b->stop = true;
	if (b->now >= b->ends + PATIENCE) {
		b->lost = b->sent - b->answered;
		b->stop = true;
	}
	return b->ends + PATIENCE;
}

static void report(struct bench *b)
{
	bench_print(b);
	putchar(',');
	hist_print("first", &b->first);
	printf(",\"events\":%llu,\"deltas\":%llu,\"broken\":%llu}\n", (unsigned long long)event_count,
		(unsigned long long)delta_count, (unsigned long long)broken);
}

const struct mode mode_streams = {.name = "streams",
	.start = start,
	.on_open = send_one,
	.on_body = on_body,
	.on_answer = on_answer,
	.tick = tick,
	.report = report};
