/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plain answers. Without a rate: a closed loop, each connection sends when it was answered. With a rate: an
 * open loop, request i is due at i / rate whether or not a connection is free, and its latency counts from
 * then, so that a gateway that stalls is charged for all who waited. What is still due some seconds after the
 * end is not sent any more, and told: it was too much.
 */
#include <stdio.h>

#include "bench.h"

#define GRACE (5 * SECOND) /* for what is under way at the end */

static uint64_t body_bytes; /* of the first answer: all have the same */
static uint64_t due_count;  /* open loop: how many were taken from the schedule */
static size_t *idle;
static size_t idle_count;

static bool over(const struct bench *b)
{
	return b->now >= b->ends;
}

static void send_one(struct conn *c, uint64_t due)
{
	conn_send(c, c->bench->o.request, c->bench->o.request_n, due);
}

static uint64_t due_at(const struct bench *b, uint64_t i)
{
	return b->started + (uint64_t)((double)i * 1e9 / (double)b->o.rate);
}

static void start(struct bench *b)
{
	static size_t free_list[65536];

	if (b->o.connections > sizeof(free_list) / sizeof(*free_list))
		bench_die("too many connections");
	idle = free_list;
	b->ends = b->started + (uint64_t)(b->o.seconds * 1e9);
}

static void on_open(struct conn *c)
{
	struct bench *b = c->bench;

	if (b->o.rate)
		idle[idle_count++] = c->index;
	else if (!over(b))
		send_one(c, b->now);
}

static void on_body(void *conn, const char *p, size_t n)
{
	(void)conn;
	(void)p;
	(void)n;
}

static void on_answer(struct conn *c)
{
	struct bench *b = c->bench;

	hist_add(&b->latency, b->now - c->from_ns);
	if (!body_bytes)
		body_bytes = c->answer.bytes;
	if (c->answer.status != b->o.status || (b->o.status == 200 && c->answer.bytes != body_bytes))
		b->wrong++;
	if (c->answer.closes)
		conn_renew(c);
	else
		on_open(c);
}

/* How many of the schedule were not sent. */
static uint64_t late(const struct bench *b)
{
	uint64_t all = b->o.rate ? (uint64_t)(b->o.seconds * (double)b->o.rate) : 0;

	return all > due_count ? all - due_count : 0;
}

static uint64_t send_due(struct bench *b)
{
	if (b->now >= b->ends + GRACE)
		return b->ends + 2 * GRACE;
	while (idle_count > 0 && due_at(b, due_count) < b->ends && due_at(b, due_count) <= b->now) {
		struct conn *c = &b->conns[idle[--idle_count]];

		if (c->open)
			send_one(c, due_at(b, due_count++));
	}
	return due_at(b, due_count) < b->ends && idle_count ? due_at(b, due_count) : b->ends;
}

static uint64_t tick(struct bench *b)
{
	uint64_t wake = b->ends;

	if (b->o.rate)
		wake = send_due(b);
	if (over(b) && (b->answered + b->lost >= b->sent || b->now >= b->ends + 2 * GRACE))
		b->stop = true;
	return over(b) ? b->ends + 2 * GRACE : wake;
}

static void report(struct bench *b)
{
	b->lost += b->sent - b->answered > b->lost ? b->sent - b->answered - b->lost : 0;
	bench_print(b);
	printf(",\"late\":%llu}\n", (unsigned long long)late(b));
}

const struct mode mode_turns = {.name = "turns",
	.start = start,
	.on_open = on_open,
	.on_body = on_body,
	.on_answer = on_answer,
	.tick = tick,
	.report = report};
