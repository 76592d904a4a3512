/* SPDX-License-Identifier: Apache-2.0 */
/* The limits of heads and of chunk framing, each at its edge: what fits exactly, and one more. */
#include "ph_test.h"

#include "http1_log.h"

#include <stdlib.h>

/* A request of exactly `size` bytes; no field is above `field` bytes. */
static void build_head(struct ph_buf *b, size_t size, size_t field)
{
	ph_buf_reset(b);
	ph_buf_puts(b, PH_STR("GET / HTTP/1.1\r\nHost: a\r\n"));
	while (size - 2 - b->n > 0) {
		size_t left = size - 2 - b->n, n = left < field + 2 ? left : field + 2;

		if (left > n && left - n < 5) /* leave room for a last field */
			n -= 5;
		ph_buf_puts(b, PH_STR("x:"));
		for (size_t i = 4; i < n; i++)
			ph_buf_putc(b, 'v');
		ph_buf_puts(b, PH_STR("\r\n"));
	}
	ph_buf_puts(b, PH_STR("\r\n"));
	assert_int_equal(b->n, size);
}

/* Feeds in pieces of `step` bytes. Returns the first error, or 0. */
static int feed(enum ph_http_side side, struct ph_str s, size_t step, size_t *ret_used)
{
	struct http1_how how = {.side = side};
	struct ph_buf log;
	struct http1_run t = {.how = &how, .log = &log};
	static const struct ph_http_events events = {http1_on_head, http1_on_body, http1_on_done};
	long n = 0;

	ph_buf_init(&log, 1 << 24);
	t.h = ph_http_new(side, &events, &t);
	for (*ret_used = 0; n >= 0 && *ret_used < s.n && !t.done;) {
		struct ph_str rest = ph_str_from(s, *ret_used);

		n = ph_http_feed(t.h, ph_str(rest.p, rest.n < step ? rest.n : step));
		if (n >= 0)
			*ret_used += (size_t)n;
	}
	t.h = ph_http_free(t.h);
	ph_buf_deinit(&log);
	return n < 0 ? (int)n : 0;
}

static int feed_all(enum ph_http_side side, const struct ph_buf *b)
{
	static const size_t steps[] = {SIZE_MAX, 1, 7, 1000, 16384};
	size_t used;
	int first = feed(side, ph_buf_str(b), steps[0], &used);

	for (size_t i = 1; i < PH_COUNT(steps); i++)
		assert_int_equal(feed(side, ph_buf_str(b), steps[i], &used), first);
	return first;
}

static void test_head(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	build_head(&b, PH_HEAD_MAX, PH_FIELD_MAX);
	assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), 0);
	build_head(&b, PH_HEAD_MAX + 1, PH_FIELD_MAX);
	assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), -PH_E_HEAD_TOO_LARGE);
	build_head(&b, PH_HEAD_MAX * 4, PH_FIELD_MAX);
	assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), -PH_E_HEAD_TOO_LARGE);
	ph_buf_deinit(&b);
}

/* A head without end is refused as soon as its maximum is there, not one read later. */
static void test_endless_head(void **state)
{
	struct ph_buf b;
	size_t used;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	build_head(&b, PH_HEAD_MAX + 2, PH_FIELD_MAX);
	assert_int_equal(feed(PH_HTTP_REQUESTS, ph_str(b.p, PH_HEAD_MAX - 1), 1, &used), 0);
	assert_int_equal(feed(PH_HTTP_REQUESTS, ph_str(b.p, PH_HEAD_MAX), 1, &used), -PH_E_HEAD_TOO_LARGE);
	ph_buf_deinit(&b);
}

static void put_field(struct ph_buf *b, size_t line)
{
	ph_buf_puts(b, PH_STR("x:"));
	for (size_t i = 2; i < line; i++)
		ph_buf_putc(b, 'v');
	ph_buf_puts(b, PH_STR("\r\n"));
}

static void test_field(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	for (size_t over = 0; over < 2; over++) {
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR("GET / HTTP/1.1\r\nHost: a\r\n"));
		put_field(&b, PH_FIELD_MAX + over);
		ph_buf_puts(&b, PH_STR("\r\n"));
		assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), over ? -PH_E_HEAD_TOO_LARGE : 0);
	}
	ph_buf_deinit(&b);
}

static void test_start_line(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	for (size_t over = 0; over < 2; over++) {
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR("GET /"));
		for (size_t n = sizeof("GET / HTTP/1.0") - 1; n < PH_FIELD_MAX + over; n++)
			ph_buf_putc(&b, 'u');
		ph_buf_puts(&b, PH_STR(" HTTP/1.0\r\n\r\n"));
		assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), over ? -PH_E_HEAD_TOO_LARGE : 0);
	}
	ph_buf_deinit(&b);
}

static void test_number_of_fields(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	for (size_t over = 0; over < 2; over++) {
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR("GET / HTTP/1.0\r\n"));
		for (size_t i = 0; i < PH_HEADERS_MAX + over; i++)
			ph_buf_puts(&b, PH_STR("a: b\r\n"));
		ph_buf_puts(&b, PH_STR("\r\n"));
		assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), over ? -PH_E_HEAD_TOO_LARGE : 0);
	}
	ph_buf_deinit(&b);
}

/* A bad byte is told from a long line, also where the two meet. */
static void test_bad_before_large(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 20);
	ph_buf_puts(&b, PH_STR("GET / HTTP/1.0\r\n"));
	put_field(&b, PH_FIELD_MAX);
	b.p[b.n - 3] = '\0'; /* the field's last byte */
	assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), -PH_E_HEAD_BAD);
	ph_buf_deinit(&b);
}

/* Every byte at every place of a value: what is ordinary passes, what is not is refused, whatever stands
 * around it. */
static void test_every_byte(void **state)
{
	struct http1_how how = {.side = PH_HTTP_REQUESTS};

	(void)state;
	for (int c = 0; c < 256; c++) {
		bool ordinary = (c >= 0x20 && c != 0x7f) || c == '\t';

		for (size_t at = 0; at < 20; at++) {
			char text[] = "GET / HTTP/1.0\r\nx:\xff\x80 ~!\t56789abcdefghijk\r\n\r\n";
			struct ph_str input = {text, sizeof(text) - 1};
			struct ph_buf log;

			text[18 + at] = (char)c;
			ph_buf_init(&log, 4096);
			http1_run(&input, 1, &log, &how);
			assert_int_equal(ph_str_ends(ph_buf_str(&log), PH_STR("done\nend\n")), ordinary);
			assert_int_equal(ph_str_ends(ph_buf_str(&log), PH_STR("HEAD_BAD\n")), !ordinary);
			ph_buf_deinit(&log);
		}
	}
}

/* ---- chunk framing ---- */

#define REQUEST "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define ANSWER  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void put_chunks(struct ph_buf *b, size_t count, size_t size)
{
	for (size_t c = 0; c < count; c++) {
		ph_buf_printf(b, "%zx\r\n", size);
		for (size_t i = 0; i < size; i++)
			ph_buf_putc(b, 'p');
		ph_buf_puts(b, PH_STR("\r\n"));
	}
}

/* `extra` bytes of extension in one size line, in front of one byte of payload. */
static void put_extension(struct ph_buf *b, size_t extra)
{
	ph_buf_puts(b, PH_STR("1;"));
	for (size_t i = 1; i < extra; i++)
		ph_buf_putc(b, 'e');
	ph_buf_puts(b, PH_STR("\r\np\r\n"));
}

/* A request's framing in all: 16 KiB and an eighth of the payload. */
static void test_requests_framing(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 24);
	for (size_t over = 0; over < 2; over++) {
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR(REQUEST));
		put_extension(&b, 16 * 1024 - 10 + over); /* 1 CR LF, CR LF, 0 CR LF CR LF */
		ph_buf_puts(&b, PH_STR("0\r\n\r\n"));
		assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), over ? -PH_E_BODY_BAD : 0);
	}
	/* chunks of 48 bytes have 6 of framing, an eighth; chunks of one byte have five times their payload
	 */
	ph_buf_reset(&b);
	ph_buf_puts(&b, PH_STR(REQUEST));
	put_chunks(&b, 10000, 48);
	ph_buf_puts(&b, PH_STR("0\r\n\r\n"));
	assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), 0);
	ph_buf_reset(&b);
	ph_buf_puts(&b, PH_STR(REQUEST));
	put_chunks(&b, 10000, 1);
	ph_buf_puts(&b, PH_STR("0\r\n\r\n"));
	assert_int_equal(feed_all(PH_HTTP_REQUESTS, &b), -PH_E_BODY_BAD);
	ph_buf_deinit(&b);
}

/* An answer's framing between two payloads: 8 KiB, however long the stream. */
static void test_answers_framing(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1 << 24);
	ph_buf_puts(&b, PH_STR(ANSWER));
	put_chunks(&b, 20000, 1);
	ph_buf_puts(&b, PH_STR("0\r\n\r\n"));
	assert_int_equal(feed_all(PH_HTTP_ANSWERS, &b), 0);
	for (size_t over = 0; over < 2; over++) {
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR(ANSWER));
		put_extension(&b, 8 * 1024 - 3 + over); /* 1 CR LF */
		put_extension(&b, 8 * 1024 - 5 + over); /* CR LF 1 CR LF */
		ph_buf_puts(&b, PH_STR("0\r\n\r\n"));
		assert_int_equal(feed_all(PH_HTTP_ANSWERS, &b), over ? -PH_E_BODY_BAD : 0);
	}
	ph_buf_deinit(&b);
}

/* Trailers and extensions without end (the class of CVE-2024-22019) stop at the allowance. */
static void test_endless_framing(void **state)
{
	static const struct ph_str starts[] = {PH_STR("1;"), PH_STR("0\r\nx: "), PH_STR("000")};
	size_t used;

	(void)state;
	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < PH_COUNT(starts); i++) {
			struct ph_str head = side == PH_HTTP_REQUESTS ? PH_STR(REQUEST) : PH_STR(ANSWER);
			struct ph_buf b;

			ph_buf_init(&b, 1 << 20);
			ph_buf_puts(&b, head);
			ph_buf_puts(&b, starts[i]);
			while (b.n < 100 * 1024)
				ph_buf_putc(&b, i == 2 ? '0' : 'e');
			assert_int_equal(
				feed((enum ph_http_side)side, ph_buf_str(&b), 100, &used), -PH_E_BODY_BAD);
			assert_true(used <= head.n + 16 * 1024);
			ph_buf_deinit(&b);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_head),
		cmocka_unit_test(test_endless_head),
		cmocka_unit_test(test_field),
		cmocka_unit_test(test_start_line),
		cmocka_unit_test(test_number_of_fields),
		cmocka_unit_test(test_bad_before_large),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_requests_framing),
		cmocka_unit_test(test_answers_framing),
		cmocka_unit_test(test_endless_framing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
