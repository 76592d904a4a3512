/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams that are opened and then say nothing. A line "N" on standard input wants N of them; when each has
 * shown a delta, a line is printed. The end of standard input ends it. WebSockets are ready when they are
 * open, or with a request when that was answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"

static uint64_t ready, broken;
static bool told = true;

static void start(struct bench *b)
{
	b->conn_target = 0;
}

static void on_line(struct bench *b, const char *line)
{
	uint64_t n = line ? strtoull(line, NULL, 10) : 0;

	if (!line) {
		b->stop = true;
		return;
	}
	if (n > b->conn_max)
		bench_die("more than --connections %zu", b->conn_max);
	b->conn_target = n > b->conn_count ? n : b->conn_count;
	told = false;
}

static void on_open(struct conn *c)
{
	if (!c->bench->o.request) {
		ready++;
		return;
	}
	conn_send(c, c->bench->o.request, c->bench->o.request_n, c->bench->now);
}

static void on_body(void *arg, const char *p, size_t n)
{
	struct conn *c = arg;
	uint64_t was = c->events.deltas;

	events_feed(&c->events, p, n, c->bench->now, &c->bench->latency);
	ready += was == 0 && c->events.deltas > 0 && !c->ws;
	broken += c->events.broken;
	c->events.broken = 0;
}

/* These streams never end; a turn on a WebSocket does, and leaves it open. */
static void on_answer(struct conn *c)
{
	if (c->ws && c->events.terminal)
		ready++;
	else
		c->bench->wrong++;
}

static void print(const struct bench *b)
{
	printf("{\"open\":%zu,\"ready\":%llu,\"wrong\":%llu,\"lost\":%llu,\"broken\":%llu}\n", b->conn_count,
		(unsigned long long)ready, (unsigned long long)b->wrong, (unsigned long long)b->lost,
		(unsigned long long)broken);
	fflush(stdout);
}

static uint64_t tick(struct bench *b)
{
	if (!told && b->conn_count == b->conn_target && ready + b->wrong + b->lost >= b->conn_target) {
		print(b);
		told = true;
	}
	return 0;
}

static void report(struct bench *b)
{
	print(b);
}

const struct mode mode_hold = {.name = "hold",
	.start = start,
	.on_open = on_open,
	.on_body = on_body,
	.on_answer = on_answer,
	.tick = tick,
	.on_line = on_line,
	.report = report};
