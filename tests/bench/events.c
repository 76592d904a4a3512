/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of events. Each must carry the sequence number that follows, exactly one terminal event must come,
 * and [DONE] behind it. Deltas that the fake upstream stamped tell how long they were on their way.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define PART_MAX ((size_t)32 << 20)

static const char number_mark[] = "\"sequence_number\":", stamp_mark[] = "\"fake_ns\":\"";

void events_reset(struct events *e)
{
	e->count = e->deltas = e->next = e->broken = 0;
	e->terminal = e->done = e->failed = false;
	e->part_n = 0;
}

void events_free(struct events *e)
{
	free(e->part);
	e->part = NULL;
	e->part_n = e->part_max = 0;
}

static const char *behind(const char *p, size_t n, const char *mark, size_t mark_n)
{
	const char *at = memmem(p, n, mark, mark_n);

	return at ? at + mark_n : NULL;
}

static bool begins(const char *p, size_t n, const char *word)
{
	size_t word_n = strlen(word);

	return n >= word_n && memcmp(p, word, word_n) == 0;
}

static uint64_t number(const char *p, const char *end)
{
	uint64_t v = 0;

	while (p < end && *p >= '0' && *p <= '9')
		v = v * 10 + (uint64_t)(*p++ - '0');
	return v;
}

/* The JSON of one event. */
static void take_data(struct events *e, const char *p, size_t n, uint64_t now, struct hist *h)
{
	static const char type[] = "{\"type\":\"response.", error[] = "{\"type\":\"error\"";
	const char *at, *end = p + n;

	if (begins(p, n, "[DONE]")) {
		e->done = true;
		return;
	}
	at = behind(p, n < 256 ? n : 256, number_mark, sizeof(number_mark) - 1);
	if (e->terminal || e->done || !at || number(at, end) != e->next)
		e->broken++;
	e->next = at ? number(at, end) + 1 : e->next + 1;
	e->count++;
	e->failed = begins(p, n, error);
	if (!begins(p, n, type))
		return;
	p += sizeof(type) - 1;
	n -= sizeof(type) - 1;
	if (begins(p, n, "output_text.delta\"")) {
		e->deltas++;
		at = behind(p, n, stamp_mark, sizeof(stamp_mark) - 1);
		if (at && now > number(at, end))
			hist_add(h, now - number(at, end));
	} else if (begins(p, n, "completed\"")) {
		e->terminal = true;
	} else {
		e->failed = begins(p, n, "failed\"") || begins(p, n, "incomplete\"");
	}
}

/* An event with its blank line. */
static void take_event(struct events *e, const char *p, size_t n, uint64_t now, struct hist *h)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t line = end ? (size_t)(end - p) : n;

		if (begins(p, line, "data: "))
			take_data(e, p + 6, line - 6, now, h);
		if (!end)
			return;
		n -= line + 1;
		p = end + 1;
	}
}

static void keep(struct events *e, const char *p, size_t n)
{
	if (e->part_n + n > e->part_max) {
		e->part_max = (e->part_n + n) * 2;
		if (e->part_max > PART_MAX)
			bench_die("an event of more than %zu bytes", PART_MAX / 2);
		e->part = realloc(e->part, e->part_max);
		if (!e->part)
			bench_die("out of memory");
	}
	memcpy(e->part + e->part_n, p, n);
	e->part_n += n;
}

void events_feed(struct events *e, const char *p, size_t n, uint64_t now, struct hist *h)
{
	const char *end;

	if (e->messages) {
		take_data(e, p, n, now, h);
		return;
	}
	/* What is kept may end in the first of the two line ends. */
	if (e->part_n && n && e->part[e->part_n - 1] == '\n' && p[0] == '\n') {
		take_event(e, e->part, e->part_n, now, h);
		e->part_n = 0;
		p++;
		n--;
	}
	while ((end = n ? memmem(p, n, "\n\n", 2) : NULL)) {
		size_t whole = (size_t)(end - p) + 2;

		if (e->part_n) {
			keep(e, p, whole);
			take_event(e, e->part, e->part_n, now, h);
			e->part_n = 0;
		} else {
			take_event(e, p, whole, now, h);
		}
		p += whole;
		n -= whole;
	}
	if (n)
		keep(e, p, n);
	else if (!e->part_n)
		events_free(e);
}
