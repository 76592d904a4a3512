/* SPDX-License-Identifier: Apache-2.0 */
/* The table of edge cases, row by row, each at every cut; bounds; and that a long event costs linear time. */
#include "ph_test.h"

#include "sse_log.h"

#include <stdlib.h>
#include <time.h>

#define MAX ((size_t)16 << 20)

struct vector {
	struct ph_str input;
	struct ph_str events; /* "[event] [data]" */
};

#define V(in, out) {PH_STR(in), PH_STR(out)}

static const struct vector table[] = {
	V("", ""),
	V("event: a\ndata: {}\n\n", "[a] [{}]\n"),
	/* LF, CR, CRLF, mixed */
	V("event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", "[a] [1]\n[] [2]\n"),
	V("event: a\rdata: 1\r\rdata: 2\r\r", "[a] [1]\n[] [2]\n"),
	V("event: a\rdata: 1\n\rdata: 2\r\n\ndata: 3\n\r\ndata: 4\r\r\n",
		"[a] [1]\n[] [2]\n[] [3]\n[] [4]\n"),
	V("data: 1\r\n\r\r\n\n\rdata: 2\n\n", "[] [1]\n[] [2]\n"),
	/* cut in a name, in a UTF-8 sequence, before the blank line: every cut is tried */
	V("event: \xc3\xa4\ndata: \xf0\x9f\x90\x8e\n\n", "[\xc3\xa4] [\xf0\x9f\x90\x8e]\n"),
	/* not line ends: U+2028, U+2029, U+0085, NUL, VT, FF; invalid UTF-8 passes */
	V("data: a\xe2\x80\xa8"
	  "b\xe2\x80\xa9"
	  "c\xc2\x85"
	  "d\x85"
	  "e\0f\x0b"
	  "g\x0c"
	  "h\xff\n\n",
		"[] [a\xe2\x80\xa8"
		"b\xe2\x80\xa9"
		"c\xc2\x85"
		"d\x85"
		"e\0f\x0b"
		"g\x0c"
		"h\xff]\n"),
	/* a BOM at the start only */
	V("\xef\xbb\xbf"
	  "data: 1\n\n",
		"[] [1]\n"),
	V("\xef\xbb\xbf\n\n"
	  "data: 1\n\n",
		"[] [1]\n"),
	V("\xef\xbb\xbf\xef\xbb\xbf"
	  "data: 1\n\ndata: 2\n\n",
		"[] [2]\n"),
	V("data: 1\n\n\xef\xbb\xbf"
	  "data: 2\n\ndata: 3\n\n",
		"[] [1]\n[] [3]\n"),
	V("\xef\xbb", ""),
	V("\xef\xbb\xbf"
	  "data: 1",
		"[] [1]\n"),
	/* one optional space */
	V("data:x\n\ndata: x\n\ndata:  x\n\ndata: \n\ndata:\tx\n\n",
		"[] [x]\n[] [x]\n[] [ x]\n[] []\n[] [\tx]\n"),
	V("data\n\ndata:\n\n", "[] []\n[] []\n"),
	V("data: x\ndata\ndata:\ndata: y\n\n", "[] [x\n\n\ny]\n"),
	V("event:a\ndata:b\n\nevent\ndata:c\n\n", "[a] [b]\n[] [c]\n"),
	V("data: a: b\n\ndata:: c\n\n", "[] [a: b]\n[] [: c]\n"),
	/* several data lines */
	V("data: {\ndata:   \"a\": 1\r\ndata: }\r\r", "[] [{\n  \"a\": 1\n}]\n"),
	V("data: a\n: between\nevent: e\ndata: b\n\ndata: c\n\n", "[e] [a\nb]\n[] [c]\n"),
	/* comments, other fields, unknown fields, names that only begin alike; blank lines */
	V(": hello\n\n:\n\nid: 7\nretry: 10\nfoo: bar\nbar\n\n\n\n\n", ""),
	V("datax: 1\nxdata: 2\n data: 3\nDATA: 4\ndat: 5\nevents: 6\n\ndata: 7\n\n", "[] [7]\n"),
	V(":data: 1\nid: 1\ndata: 2\n\n", "[] [2]\n"),
	/* event missing, twice, after data */
	V("data: 1\n\n", "[] [1]\n"),
	V("event: a\nevent: b\ndata: 1\n\n", "[b] [1]\n"),
	V("event: a\nevent:\ndata: 1\n\n", "[] [1]\n"),
	V("data: 1\nevent: late\n\ndata: 2\n\n", "[late] [1]\n[] [2]\n"),
	V("event: a\n\ndata: 1\n\n", "[] [1]\n"),
	/* the end without a blank line, or in mid-line */
	V("data: 1\n\nevent: b\ndata: 2\n", "[] [1]\n[b] [2]\n"),
	V("data: 1\n\nevent: b\ndata: 2", "[] [1]\n[b] [2]\n"),
	V("data: 1\r", "[] [1]\n"),
	V("data: 1\r\n", "[] [1]\n"),
	V("data: 1\n\ndat", "[] [1]\n"),
	V("data: 1\n\n:", "[] [1]\n"),
	/* what a stream looks like */
	V("event: response.created\ndata: {\"type\":\"response.created\"}\n\ndata: [DONE]\n\n",
		"[response.created] [{\"type\":\"response.created\"}]\n[] [[DONE]]\n"),
};

static void test_table(void **state)
{
	size_t max = MAX;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++) {
		struct ph_buf log;

		ph_buf_init(&log, 1 << 20);
		sse_run(&table[i].input, 1, &log, &max);
		ph_assert_str(ph_buf_str(&log), table[i].events);
		ph_buf_deinit(&log);
		ph_test_cuts(table[i].input, sse_run, &max);
	}
}

/* ---- what a unit holds ---- */

struct watcher {
	struct ph_sse *s;
	const char *read; /* the bytes that are fed */
	size_t units, events;
	size_t borrowed; /* units that lie in the read */
	size_t data_n;   /* of the last event */
	size_t data_offset;
	size_t stop_at; /* stop at this event */
	char raw[64], data[64];
};

static void on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct watcher *w = owner;

	w->units++;
	w->events += u->has_data;
	w->borrowed +=
		(uintptr_t)u->raw.p >= (uintptr_t)w->read && (uintptr_t)u->raw.p < (uintptr_t)w->read + 4096;
	w->data_n = u->data.n;
	w->data_offset = u->data_offset;
	ph_str_copy(w->raw, sizeof(w->raw), u->raw);
	ph_str_copy(w->data, sizeof(w->data), u->data);
	if (w->stop_at > 0 && w->events == w->stop_at)
		ph_sse_stop(w->s);
}

static void feed(struct watcher *w, const char *text)
{
	w->read = text;
	assert_int_equal(ph_sse_feed(w->s, ph_str_c(text)), 0);
}

static void test_borrowed(void **state)
{
	struct watcher w = {0};

	(void)state;
	w.s = ph_sse_new(MAX, on_unit, &w);
	feed(&w, "event: a\ndata: 1\n\ndata: 2\n\n: c\n\ndata: 3");
	assert_int_equal(w.units, 3);
	assert_int_equal(w.borrowed, 3);
	assert_string_equal(w.raw, ": c\n\n");
	feed(&w, "4\n\ndata: 5\n\n");
	assert_int_equal(w.units, 5);
	assert_int_equal(w.borrowed, 4); /* the open one was copied, the next is borrowed again */
	assert_string_equal(w.raw, "data: 5\n\n");
	w.s = ph_sse_free(w.s);
}

static void test_data_offset(void **state)
{
	struct watcher w = {0};

	(void)state;
	w.s = ph_sse_new(MAX, on_unit, &w);
	feed(&w, "event: a\ndata: 1\n\n");
	assert_int_equal(w.data_offset, 15);
	feed(&w, "data:\n\n");
	assert_int_equal(w.data_offset, 5);
	feed(&w, "data\n\n");
	assert_int_equal(w.data_offset, SIZE_MAX);
	feed(&w, "data: 1\ndata: 2\n\n");
	assert_int_equal(w.data_offset, SIZE_MAX);
	feed(&w, ": c\n\n");
	assert_int_equal(w.data_offset, SIZE_MAX);
	w.s = ph_sse_free(w.s);
}

/* The LF of a CRLF that was cut belongs to the bytes of the next unit. */
static void test_late_lf(void **state)
{
	struct watcher w = {0};

	(void)state;
	w.s = ph_sse_new(MAX, on_unit, &w);
	feed(&w, "data: 1\r\n\r");
	assert_int_equal(w.units, 1); /* at once: an event is not held back for an LF that may never come */
	assert_string_equal(w.raw, "data: 1\r\n\r");
	feed(&w, "\ndata: 2\r\n\r\n");
	assert_int_equal(w.units, 2);
	assert_string_equal(w.raw, "\ndata: 2\r\n\r\n");
	assert_int_equal(w.data_offset, 7);
	w.s = ph_sse_free(w.s);
}

static void test_units_without_data(void **state)
{
	struct watcher w = {0};

	(void)state;
	w.s = ph_sse_new(MAX, on_unit, &w);
	feed(&w, "\n\n: c\n\n");
	assert_int_equal(w.units, 3);
	assert_int_equal(w.events, 0);
	ph_sse_finish(w.s); /* nothing is open */
	assert_int_equal(w.units, 3);
	feed(&w, "id: 1");
	ph_sse_finish(w.s);
	assert_int_equal(w.units, 4);
	assert_int_equal(w.events, 0);
	w.s = ph_sse_free(w.s);
}

static void test_stop(void **state)
{
	struct watcher w = {.stop_at = 2};

	(void)state;
	w.s = ph_sse_new(MAX, on_unit, &w);
	feed(&w, "data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4");
	assert_int_equal(w.units, 2);
	feed(&w, "data: 5\n\n");
	ph_sse_finish(w.s);
	assert_int_equal(w.units, 2);
	w.s = ph_sse_free(w.s);
}

/* ---- bounds ---- */

static void test_maximum(void **state)
{
	static const struct ph_str inputs[] = {PH_STR("data: 34567890\n\ndata: 34567890\n\n"),
		PH_STR("data: 345678901\n\n"), PH_STR("data: 345678901234567890"),
		PH_STR("data: 1\n\n: 34567890123456789012"), PH_STR("\r\n\r\n\r\n")};
	static const struct ph_str events[] = {PH_STR("[] [34567890]\n[] [34567890]\n"),
		PH_STR("too large\n"), PH_STR("too large\n"), PH_STR("[] [1]\ntoo large\n"), PH_STR("")};
	size_t max = 16;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(inputs); i++) {
		struct ph_buf log;

		ph_buf_init(&log, 4096);
		sse_run(&inputs[i], 1, &log, &max);
		ph_assert_str(ph_buf_str(&log), events[i]);
		ph_buf_deinit(&log);
		ph_test_cuts(inputs[i], sse_run, &max);
	}
}

static void test_failure_stays(void **state)
{
	struct watcher w = {0};

	(void)state;
	w.s = ph_sse_new(8, on_unit, &w);
	assert_int_equal(ph_sse_feed(w.s, PH_STR("data: 34567")), -PH_E_BODY_TOO_LARGE);
	assert_int_equal(ph_sse_feed(w.s, PH_STR("\n\ndata:1\n\n")), -PH_E_BODY_TOO_LARGE);
	ph_sse_finish(w.s);
	assert_int_equal(w.units, 0);
	w.s = ph_sse_free(w.s);
}

static double cpu_seconds(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* 12 MiB of one event in pieces of `step`: each byte is looked at a bounded number of times. */
static void big_event(char fill, size_t step)
{
	const size_t size = (size_t)12 << 20;
	char *bytes = malloc(size);
	struct watcher w = {0};
	double start = cpu_seconds(), took;

	memset(bytes, fill, size);
	memcpy(bytes, "data:", 5);
	w.s = ph_sse_new(MAX, on_unit, &w);
	for (size_t at = 0; at < size; at += step)
		assert_int_equal(
			ph_sse_feed(w.s, ph_str(bytes + at, step < size - at ? step : size - at)), 0);
	assert_int_equal(w.events, 0);
	assert_int_equal(ph_sse_feed(w.s, PH_STR("\n\n")), 0);
	assert_int_equal(w.events, 1);
	assert_int_equal(w.data_n, size - 5);
	took = cpu_seconds() - start;
	print_message("12 MiB in pieces of %zu: %.3f s\n", step, took);
	assert_true(took < 20); /* quadratic would be hours */
	w.s = ph_sse_free(w.s);
	free(bytes);
}

static void test_big_event(void **state)
{
	(void)state;
	big_event('x', 1);
	big_event('x', 4096);
	big_event('x', (size_t)12 << 20);
}

/* 6 million lines of every kind of end, in one read: no line's end is searched to the end of the read again.
 */
static void test_many_lines(void **state)
{
	static const char *const ends[] = {"\n", "\r", ":\r\n"};
	const size_t size = (size_t)6 << 20;
	char *bytes = malloc(size);

	(void)state;
	for (size_t e = 0; e < PH_COUNT(ends); e++) {
		size_t n = strlen(ends[e]);
		struct watcher w = {0};
		double start = cpu_seconds(), took;

		for (size_t i = 0; i < size; i++)
			bytes[i] = ends[e][i % n];
		w.s = ph_sse_new(MAX, on_unit, &w);
		assert_int_equal(ph_sse_feed(w.s, ph_str(bytes, size)), 0);
		assert_int_equal(w.units, n == 1 ? size : 0);
		took = cpu_seconds() - start;
		print_message("%zu MiB of lines: %.3f s\n", size >> 20, took);
		assert_true(took < 20);
		w.s = ph_sse_free(w.s);
	}
	free(bytes);
}

static void test_random(void **state)
{
	static const char alphabet[] = "data: event:x\n\r\n\r\n\r: ";
	uint64_t seed = 11;
	size_t max = 40;

	(void)state;
	for (int round = 0; round < 300; round++) {
		char bytes[64];
		size_t n = (size_t)ph_test_below(&seed, sizeof(bytes));

		for (size_t i = 0; i < n; i++)
			bytes[i] = alphabet[ph_test_below(&seed, sizeof(alphabet) - 1)];
		max = n; /* a cut CRLF moves an LF from one unit to the next, so a maximum in between is no
			    event */
		ph_test_cuts(ph_str(bytes, n), sse_run, &max);
	}
}

static void test_put(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 4096);
	ph_sse_put(&b, PH_STR("keepalive"), PH_STR("{\"type\":\"keepalive\"}"));
	ph_buf_puts(&b, PH_SSE_DONE);
	ph_assert_str(ph_buf_str(&b),
		PH_STR("event: keepalive\ndata: {\"type\":\"keepalive\"}\n\ndata: [DONE]\n\n"));
	ph_buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_borrowed),
		cmocka_unit_test(test_data_offset),
		cmocka_unit_test(test_late_lf),
		cmocka_unit_test(test_units_without_data),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_failure_stays),
		cmocka_unit_test(test_big_event),
		cmocka_unit_test(test_many_lines),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_put),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
