/* SPDX-License-Identifier: Apache-2.0 */
/* Readers that take --rate bytes a second each, ten times a second, from streams that could go a thousand
 * times as fast. */
#include <stdio.h>

#include "bench.h"

#define EVERY (100 * MS)

static uint64_t next_ns, byte_count, event_count, broken;

static void start(struct bench *b)
{
	b->ends = b->started + (uint64_t)(b->o.seconds * 1e9);
	next_ns = b->started + EVERY;
}

static void on_open(struct conn *c)
{
	conn_send(c, c->bench->o.request, c->bench->o.request_n, c->bench->now);
}

static void on_body(void *arg, const char *p, size_t n)
{
	struct conn *c = arg;
	uint64_t was = c->events.count;

	byte_count += n;
	events_feed(&c->events, p, n, c->bench->now, &c->bench->latency);
	event_count += c->events.count - was;
	broken += c->events.broken;
	c->events.broken = 0;
}

/* The streams are meant to outlast the measurement. */
static void on_answer(struct conn *c)
{
	c->bench->wrong++;
}

static uint64_t tick(struct bench *b)
{
	if (b->now >= b->ends)
		b->stop = true;
	if (b->now < next_ns)
		return next_ns;
	for (size_t i = 0; i < b->conn_count; i++)
		if (b->conns[i].open)
			conn_read(&b->conns[i], b->o.rate / 10);
	while (next_ns <= b->now)
		next_ns += EVERY;
	return next_ns;
}

static void report(struct bench *b)
{
	bench_print(b);
	printf(",\"events\":%llu,\"bytes\":%llu,\"broken\":%llu}\n", (unsigned long long)event_count,
		(unsigned long long)byte_count, (unsigned long long)broken);
}

const struct mode mode_slow = {.name = "slow",
	.start = start,
	.on_open = on_open,
	.on_body = on_body,
	.on_answer = on_answer,
	.tick = tick,
	.report = report,
	.by_tick = true};
