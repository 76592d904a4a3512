/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that are made, shaken hands over, and closed. The client says goodbye at once and waits for the
 * server's end, so that each has cost the server all that it costs: tickets too, and the closing. With
 * --resume the first connection fetches a ticket, and all others must be resumed with it; without it none may
 * be.
 */
#include <stdio.h>

#include "bench.h"

#define GRACE (5 * SECOND) /* for what is under way at the end */

static uint64_t whole; /* handshakes that resumed nothing */
static bool fetching;  /* the first connection waits for a ticket, which comes behind its handshake */

static void start(struct bench *b)
{
	b->ends = b->started + (uint64_t)(b->o.seconds * 1e9);
	fetching = b->o.resume;
	if (fetching)
		b->conn_target = 1;
}

static void on_open(struct conn *c)
{
	struct bench *b = c->bench;

	b->sent++;
	whole += !tls_resumed(c);
	if (fetching)
		return;
	hist_add(&b->latency, b->now - c->from_ns);
	tls_goodbye(c);
}

static void on_body(void *conn, const char *p, size_t n)
{
	(void)conn;
	(void)p;
	(void)n;
}

static void on_answer(struct conn *c)
{
	c->bench->wrong++; /* nobody asked */
}

static void on_end(struct conn *c)
{
	struct bench *b = c->bench;

	b->answered++;
	if (b->now < b->ends)
		conn_renew(c);
}

static uint64_t tick(struct bench *b)
{
	if (fetching && tls_has_session()) {
		fetching = false;
		tls_goodbye(&b->conns[0]);
		b->conn_target = b->o.connections;
		return b->now;
	}
	if (b->now >= b->ends && (b->answered + b->lost >= b->sent || b->now >= b->ends + GRACE))
		b->stop = true;
	return b->now < b->ends ? b->ends : b->ends + GRACE;
}

static void report(struct bench *b)
{
	uint64_t right = b->o.resume ? 1 : b->sent;

	b->wrong += whole > right ? whole - right : right - whole;
	b->lost += b->sent - b->answered > b->lost ? b->sent - b->answered - b->lost : 0;
	bench_print(b);
	puts("}");
}

const struct mode mode_shakes = {.name = "shakes",
	.start = start,
	.on_open = on_open,
	.on_body = on_body,
	.on_answer = on_answer,
	.on_end = on_end,
	.tick = tick,
	.report = report};
