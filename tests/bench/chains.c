/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations, one on each connection, that name the turn before. The fake upstream says how many entries
 * of conversation it was shown; anything but all of them is counted as wrong. Every --step turns all
 * conversations wait for each other, a line tells how it went and where they are, and a line on standard
 * input lets them go on, so that whoever watches can read the database's counters between two depths.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define ID_MAX   128
#define ANSWER_N ((size_t)1 << 20)

struct chain {
	char id[ID_MAX];
	uint64_t depth;
	uint64_t random;
	char *request, *answer;
	size_t answer_n;
};

static uint64_t barrier, waiting;
static bool paused;

static char draw(struct chain *k)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	k->random ^= k->random << 13;
	k->random ^= k->random >> 7;
	k->random ^= k->random << 17;
	return letters[k->random >> 58];
}

/* The next turn: new words that no compressor gains from, and the anchor. */
static size_t build(const struct bench *b, struct chain *k)
{
	size_t max = b->o.bytes + 4096, n, start, body;
	char *p = k->request;
	char digits[8];

	n = (size_t)snprintf(p, max,
		"POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\nContent-Type: "
		"application/json\r\n"
		"Content-Length: ",
		b->o.path, b->o.key);
	start = n;
	n += (size_t)snprintf(p + n, max - n, "0000000\r\n\r\n");
	body = n;
	n += (size_t)snprintf(p + n, max - n, "{\"model\":\"bench\"%s,", b->o.extra);
	if (k->id[0])
		n += (size_t)snprintf(p + n, max - n, "\"previous_response_id\":\"%s\",", k->id);
	n += (size_t)snprintf(p + n, max - n, "\"input\":\"");
	for (uint64_t i = 0; i < b->o.bytes; i++)
		p[n++] = draw(k);
	p[n++] = '"';
	p[n++] = '}';
	snprintf(digits, sizeof(digits), "%07zu", n - body);
	memcpy(p + start, digits, 7);
	return n;
}

static void send_turn(struct conn *c)
{
	struct chain *k = c->own;

	k->answer_n = 0;
	conn_send(c, k->request, build(c->bench, k), c->bench->now);
}

static void start(struct bench *b)
{
	barrier = b->o.step;
	if (b->o.depth % b->o.step)
		bench_die("--depth is no multiple of --step");
}

static void *room(size_t n)
{
	void *p = calloc(1, n);

	if (!p)
		bench_die("out of memory");
	return p;
}

static void on_open(struct conn *c)
{
	struct chain *k = room(sizeof(*k));

	k->random = UINT64_C(0x9e3779b97f4a7c15) * (c->index + 1);
	k->request = room(c->bench->o.bytes + 4096);
	k->answer = room(ANSWER_N);
	c->own = k;
	send_turn(c);
}

static void on_body(void *arg, const char *p, size_t n)
{
	struct conn *c = arg;
	struct chain *k = c->own;

	if (k->answer_n + n >= ANSWER_N)
		bench_die("an answer of more than %zu bytes", ANSWER_N);
	memcpy(k->answer + k->answer_n, p, n);
	k->answer_n += n;
}

/* Takes id and count from the answer; false: it is not what a turn of this depth must be answered. */
static bool understand(struct chain *k, int status)
{
	char *id, *seen, *end;

	k->answer[k->answer_n] = '\0';
	id = strstr(k->answer, "\"id\":\"resp_");
	seen = strstr(k->answer, "\"text\":\"seen ");
	if (status != 200 || !id || !seen || !strstr(k->answer, "\"status\":\"completed\""))
		return false;
	id += 6;
	end = strchr(id, '"');
	if (!end || end - id >= ID_MAX)
		return false;
	memcpy(k->id, id, (size_t)(end - id));
	k->id[end - id] = '\0';
	return strtoull(seen + 13, NULL, 10) == 2 * k->depth + 1;
}

static void on_answer(struct conn *c)
{
	struct bench *b = c->bench;
	struct chain *k = c->own;

	hist_add(&b->latency, b->now - c->from_ns);
	if (!understand(k, c->answer.status)) {
		b->wrong++;
		conn_close(c);
		return;
	}
	if (++k->depth < barrier)
		send_turn(c);
	else
		waiting++;
}

static void print(struct bench *b)
{
	bench_print(b);
	printf(",\"depth\":%llu,\"tips\":[", (unsigned long long)barrier);
	for (size_t i = 0, n = 0; i < b->conn_count; i++) {
		const struct chain *k = b->conns[i].own;

		if (b->conns[i].open && k)
			printf("%s\"%s\"", n++ ? "," : "", k->id);
	}
	puts("]}");
	fflush(stdout);
}

static uint64_t tick(struct bench *b)
{
	if (!paused && b->conn_count == b->conn_target && waiting + b->wrong + b->lost >= b->conn_count) {
		print(b);
		paused = true;
	}
	return 0;
}

static void on_line(struct bench *b, const char *line)
{
	if (!line || barrier >= b->o.depth) {
		b->stop = true;
		return;
	}
	memset(&b->latency, 0, sizeof(b->latency));
	barrier += b->o.step;
	waiting = 0;
	paused = false;
	b->started = b->now;
	for (size_t i = 0; i < b->conn_count; i++)
		if (b->conns[i].open)
			send_turn(&b->conns[i]);
}

static void report(struct bench *b)
{
	for (size_t i = 0; i < b->conn_count; i++) {
		struct chain *k = b->conns[i].own;

		if (!k)
			continue;
		free(k->request);
		free(k->answer);
		free(k);
	}
}

const struct mode mode_chains = {.name = "chains",
	.start = start,
	.on_open = on_open,
	.on_body = on_body,
	.on_answer = on_answer,
	.tick = tick,
	.on_line = on_line,
	.report = report};
