/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that are well-formed: what is said about them, however the bytes are cut and wherever the owner
 * pauses. */
#include "ph_test.h"

#include "http1_log.h"

#include <stdio.h>
#include <stdlib.h>

struct vector {
	struct ph_str input;
	struct ph_str events;
};

/* Whole, cut at every byte, and the same with a pause at every event, and with heads that are given back. */
static void check(const struct vector *v, struct http1_how how)
{
	struct ph_buf log;

	for (int run = 0; run < 4; run++) {
		how.pause = run & 1;
		how.drop = run & 2;
		ph_buf_init(&log, 1 << 20);
		http1_run(&v->input, 1, &log, &how);
		ph_assert_str(ph_buf_str(&log), v->events);
		ph_buf_deinit(&log);
		ph_test_cuts(v->input, http1_run, &how);
	}
}

#define V(in, out) {PH_STR(in), PH_STR(out)}

static const struct vector requests[] = {
	V("", "end\n"),
	V("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 length=-1 keep-alive\n  Host=[a]\ndone\nend\n"),
	/* one empty line is forgiven, also between messages */
	V("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 length=-1 keep-alive\n  Host=[a]\ndone\nend\n"),
	V("\r\n", "end\n"),
	V("GET /a HTTP/1.0\r\n\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
		"GET /a 1.0 length=-1\ndone\nGET /b 1.0 length=-1\ndone\nend\n"),
	/* blanks around a value are not of it, blanks inside are; a value may be empty, or hold bytes above
	   0x7f */
	V("GET / HTTP/1.1\r\nHost:a\r\nx: \t b  c\t \r\ny:\r\nz:   \r\nw: \xe4\xff\r\n\r\n",
		"GET / 1.1 length=-1 keep-alive\n  Host=[a]\n  x=[b  c]\n  y=[]\n  z=[]\n  "
		"w=[\xe4\xff]\ndone\nend\n"),
	/* any token is a field's name */
	V("GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09aZ: v\r\n\r\n",
		"GET / 1.1 length=-1 keep-alive\n  Host=[a]\n  !#$%&'*+-.^_`|~09aZ=[v]\ndone\nend\n"),
	/* bodies */
	V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST / 1.1 length=5 body keep-alive\n  Host=[a]\n  Content-Length=[5]\nbody "
		"hello\ndone\nend\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"POST / 1.1 length=0 keep-alive\n  Host=[a]\n  Content-Length=[0]\ndone\nend\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 005\r\n\r\nhello",
		"POST / 1.1 length=5 body keep-alive\n  Host=[a]\n  content-length=[005]\nbody "
		"hello\ndone\nend\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"POST / 1.1 length=-1 chunked body keep-alive\n  Host=[a]\n  Transfer-Encoding=[chunked]\n"
		"body hello\ndone\nend\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: "
	  "CHUNKED\r\n\r\n1\r\n\r\r\n00A;x=\"y\"\r\n\r\n\r\n234567\r\n0\r\n"
	  "Trailer: gone\r\n\r\n",
		"POST / 1.1 length=-1 chunked body keep-alive\n  Host=[a]\n  transfer-encoding=[CHUNKED]\n"
		"body \r\r\n\r\n234567\ndone\nend\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST / 1.1 length=-1 chunked body keep-alive\n  Host=[a]\n  "
		"Transfer-Encoding=[chunked]\ndone\nend\n"),
	/* keep-alive by version and Connection */
	V("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"GET / 1.1 length=-1\n  Host=[a]\n  Connection=[close]\ndone\nend\n"),
	V("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo ,\tCLOSE\r\n\r\n",
		"GET / 1.1 length=-1\n  Host=[a]\n  Connection=[foo ,\tCLOSE]\ndone\nend\n"),
	V("GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
		"GET / 1.1 length=-1 keep-alive\n  Host=[a]\n  Connection=[closed]\ndone\nend\n"),
	V("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
		"GET / 1.0 length=-1 keep-alive\n  Connection=[Keep-Alive]\ndone\nend\n"),
	V("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
		"GET / 1.0 length=-1\n  Connection=[keep-alive, close]\ndone\nend\n"),
	/* Expect: worth an answer only where a body waits for it */
	V("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\nx",
		"POST / 1.1 length=1 body keep-alive expect\n  Host=[a]\n  Expect=[100-Continue]\n  "
		"Content-Length=[1]\n"
		"body x\ndone\nend\n"),
	V("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
		"GET / 1.1 length=-1 keep-alive\n  Host=[a]\n  Expect=[100-continue]\ndone\nend\n"),
	/* an upgrade is a whole message; what follows is not HTTP */
	V("GET /v1/responses HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: "
	  "websocket\r\n\r\n\x81\x05hello",
		"GET /v1/responses 1.1 length=-1 keep-alive upgrade\n  Host=[a]\n  Connection=[keep-alive, "
		"Upgrade]\n"
		"  Upgrade=[websocket]\ndone\n\x81\x05hello\n"),
	/* ... and one with a body is none (curl --http2 sends such) */
	V("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: "
	  "2\r\n\r\nhiGET / HTTP/1.0\r\n\r\n",
		"POST / 1.1 length=2 body keep-alive\n  Host=[a]\n  Connection=[Upgrade]\n  Upgrade=[h2c]\n"
		"  Content-Length=[2]\nbody hi\ndone\nGET / 1.0 length=-1\ndone\nend\n"),
	/* ... and an offer of HTTP/2 is none */
	V("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\nGET / "
	  "HTTP/1.0\r\n\r\n",
		"GET / 1.1 length=-1 keep-alive\n  Host=[a]\n  Connection=[Upgrade, HTTP2-Settings]\n  "
		"Upgrade=[h2c]\ndone\n"
		"GET / 1.0 length=-1\ndone\nend\n"),
	V("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
		"GET / 1.1 length=-1 keep-alive\n  Host=[a]\n  Upgrade=[websocket]\ndone\nend\n"),
	/* the stream ends inside a message */
	V("GET / HT", "cut\n"),
	V("\r", "cut\n"),
	V("GET / HTTP/1.1\r\nHost: a\r\n\r", "cut\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
		"POST / 1.1 length=5 body keep-alive\n  Host=[a]\n  Content-Length=[5]\nbody hell\ncut\n"),
	V("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"POST / 1.1 length=-1 chunked body keep-alive\n  Host=[a]\n  "
		"Transfer-Encoding=[chunked]\nbody hello\ncut\n"),
};

static const struct vector answers[] = {
	V("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"200 1.1 length=2 body keep-alive\nbody hi\ndone\nend\n"),
	V("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 1.1 length=0 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 1.1 length=0 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 404 Nicht gefunden: \xfc\r\nContent-Length: 0\r\n\r\n",
		"404 1.1 length=0 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
		"200 1.1 length=-1 chunked body keep-alive\nbody abc\ndone\n204 1.1 length=-1 "
		"keep-alive\ndone\nend\n"),
	/* until the end of the stream: never kept alive */
	V("HTTP/1.1 200 OK\r\n\r\nhello\r\n\r\nHTTP/1.1 200",
		"200 1.1 length=-1 body\nbody hello\r\n\r\nHTTP/1.1 200\ndone\nend\n"),
	V("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "200 1.0 length=-1 body\ndone\nend\n"),
	/* no body, whatever the head says */
	V("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"204 1.1 length=5 keep-alive\ndone\n200 1.1 length=0 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
		"304 1.1 length=-1 chunked keep-alive\ndone\n204 1.1 length=-1 keep-alive\ndone\nend\n"),
	/* interim answers are skipped */
	V("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
		"204 1.1 length=-1 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 100 Continue\r\n\r\n", "cut\n"), /* the request was seen: no idle connection */
	V("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi",
		"101 1.1 length=-1 keep-alive upgrade\ndone\n\x81\x02hi\n"),
	/* an offer to upgrade is not one */
	V("HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
		"200 1.1 length=0 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
		"200 1.1 length=3 body keep-alive\nbody hi\ncut\n"),
	V("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
		"200 1.1 length=-1 chunked body keep-alive\nbody ab\ncut\n"),
	V("HTTP/1.1 200 OK\r\n", "cut\n"),
};

static const struct vector answers_to_head[] = {
	V("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
		"200 1.1 length=5 keep-alive\ndone\n200 1.1 length=2 body keep-alive\nbody hi\ndone\nend\n"),
	V("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 204 x\r\n\r\n",
		"200 1.1 length=-1 chunked keep-alive\ndone\n204 1.1 length=-1 keep-alive\ndone\nend\n"),
	V("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"200 1.1 length=-1 keep-alive\ndone\nend\n"),
};

static void test_requests(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(requests); i++)
		check(&requests[i], (struct http1_how){.side = PH_HTTP_REQUESTS, .headers = true});
}

static void test_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++)
		check(&answers[i], (struct http1_how){.side = PH_HTTP_ANSWERS});
}

static void test_answers_to_head(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers_to_head); i++)
		check(&answers_to_head[i], (struct http1_how){.side = PH_HTTP_ANSWERS, .no_body = true});
}

/* ---- the contract of the calls ---- */

struct watcher {
	struct ph_http *h;
	const struct ph_head *head;
	struct ph_buf body;
	int heads, bodies, dones;
	bool pause_head, pause_body, next_inside;
};

static void on_head(void *owner, const struct ph_head *head)
{
	struct watcher *w = owner;

	w->head = head;
	w->heads++;
	if (w->pause_head)
		ph_http_pause(w->h);
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct watcher *w = owner;

	w->bodies++;
	ph_buf_puts(&w->body, bytes);
	if (w->pause_body)
		ph_http_pause(w->h);
}

static void on_done(void *owner)
{
	struct watcher *w = owner;

	w->dones++;
	if (w->next_inside)
		ph_http_next(w->h);
}

static const struct ph_http_events watching = {on_head, on_body, on_done};

static void watch(struct watcher *w, enum ph_http_side side)
{
	*w = (struct watcher){0};
	ph_buf_init(&w->body, 1 << 20);
	w->h = ph_http_new(side, &watching, w);
}

static void unwatch(struct watcher *w)
{
	w->h = ph_http_free(w->h);
	assert_null(w->h);
	ph_buf_deinit(&w->body);
}

#define FIRST  "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
#define SECOND "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"

static void test_pipelined(void **state)
{
	struct watcher w;
	struct ph_str in = PH_STR(FIRST SECOND);
	long n;

	(void)state;
	watch(&w, PH_HTTP_REQUESTS);
	assert_true(ph_http_idle(w.h));
	n = ph_http_feed(w.h, in);
	assert_int_equal(n, sizeof(FIRST) - 1);
	assert_int_equal(w.dones, 1);
	assert_false(ph_http_idle(w.h));
	/* Until ph_http_next() nothing is taken, and the head stays readable. */
	in = ph_str_from(in, (size_t)n);
	assert_int_equal(ph_http_feed(w.h, in), 0);
	assert_int_equal(w.heads, 1);
	ph_assert_str(w.head->target, PH_STR("/1"));
	ph_assert_str(ph_head_get(w.head, PH_STR("HOST")), PH_STR("a"));
	assert_null(ph_head_get(w.head, PH_STR("cookie")).p);
	assert_int_equal(ph_http_finish(w.h), 0);
	ph_http_drop_head(w.h);
	assert_int_equal(w.head->header_count, 0);
	assert_null(w.head->target.p);
	assert_int_equal(w.head->length, 3);
	ph_http_next(w.h);
	assert_true(ph_http_idle(w.h));
	assert_int_equal(ph_http_feed(w.h, in), sizeof(SECOND) - 1);
	ph_assert_str(w.head->target, PH_STR("/2"));
	assert_int_equal(w.dones, 2);
	unwatch(&w);
}

static void test_next_from_inside_done(void **state)
{
	struct watcher w;
	struct ph_str in = PH_STR(SECOND SECOND SECOND);

	(void)state;
	watch(&w, PH_HTTP_REQUESTS);
	w.next_inside = true;
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(ph_http_feed(w.h, in), sizeof(SECOND) - 1);
		assert_int_equal(w.dones, i);
		in = ph_str_from(in, sizeof(SECOND) - 1);
	}
	assert_true(ph_http_idle(w.h));
	unwatch(&w);
}

static void test_pause(void **state)
{
	struct watcher w;
	struct ph_str in = PH_STR(FIRST);
	long n;

	(void)state;
	watch(&w, PH_HTTP_REQUESTS);
	w.pause_head = w.pause_body = true;
	n = ph_http_feed(w.h, in);
	assert_int_equal(n, sizeof(FIRST) - 1 - 3); /* the head alone */
	assert_int_equal(w.bodies, 0);
	assert_true(ph_http_in_body(w.h));
	in = ph_str_from(in, (size_t)n);
	assert_int_equal(ph_http_feed(w.h, in), 3);
	ph_assert_str(ph_buf_str(&w.body), PH_STR("abc"));
	assert_int_equal(w.dones, 0); /* on_done waits as well */
	assert_int_equal(ph_http_feed(w.h, PH_STR_NONE), 0);
	assert_int_equal(w.dones, 1);
	assert_false(ph_http_in_body(w.h));
	unwatch(&w);
}

static void test_pause_between_chunks(void **state)
{
	struct watcher w;
	struct ph_str in = PH_STR("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
				  "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n");

	(void)state;
	watch(&w, PH_HTTP_ANSWERS);
	w.pause_body = true;
	for (int i = 1; i <= 3; i++) {
		long n = ph_http_feed(w.h, in);

		assert_true(n > 0);
		assert_int_equal(w.bodies, i);
		in = ph_str_from(in, (size_t)n);
	}
	assert_int_equal(w.dones, 0);
	assert_int_equal(ph_http_feed(w.h, in), in.n);
	assert_int_equal(w.dones, 1);
	unwatch(&w);
}

static void test_refused_upgrade_goes_on(void **state)
{
	struct watcher w;
	struct ph_str in = PH_STR(
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n" SECOND);
	long n;

	(void)state;
	watch(&w, PH_HTTP_REQUESTS);
	n = ph_http_feed(w.h, in);
	assert_int_equal(n, in.n - (sizeof(SECOND) - 1));
	assert_true(w.head->upgrade);
	assert_int_equal(w.dones, 1);
	ph_http_next(w.h);
	in = ph_str_from(in, (size_t)n);
	assert_int_equal(ph_http_feed(w.h, in), in.n);
	assert_false(w.head->upgrade);
	assert_int_equal(w.dones, 2);
	unwatch(&w);
}

static void test_errors_stay(void **state)
{
	struct watcher w;

	(void)state;
	watch(&w, PH_HTTP_REQUESTS);
	assert_int_equal(ph_http_feed(w.h, PH_STR("GET / HTTP/2.0\r\n\r\n")), -PH_E_HEAD_BAD);
	assert_int_equal(ph_http_feed(w.h, PH_STR(SECOND)), -PH_E_HEAD_BAD);
	assert_int_equal(ph_http_feed(w.h, PH_STR_NONE), -PH_E_HEAD_BAD);
	assert_int_equal(ph_http_finish(w.h), -PH_E_CLOSED);
	assert_int_equal(w.heads, 0);
	unwatch(&w);
}

static void test_interim_answers_are_bounded(void **state)
{
	struct watcher w;

	(void)state;
	watch(&w, PH_HTTP_ANSWERS);
	for (int i = 0; i < 8; i++)
		assert_true(ph_http_feed(w.h, PH_STR("HTTP/1.1 100 Continue\r\n\r\n")) > 0);
	assert_int_equal(ph_http_feed(w.h, PH_STR("HTTP/1.1 100 Continue\r\n\r\n")), -PH_E_HEAD_BAD);
	unwatch(&w);

	watch(&w, PH_HTTP_ANSWERS);
	for (int message = 0; message < 2; message++) { /* counted per message */
		for (int i = 0; i < 8; i++)
			assert_true(ph_http_feed(w.h, PH_STR("HTTP/1.1 102 Processing\r\n\r\n")) > 0);
		assert_true(ph_http_feed(w.h, PH_STR("HTTP/1.1 204 x\r\n\r\n")) > 0);
		ph_http_next(w.h);
	}
	assert_int_equal(w.heads, 2);
	unwatch(&w);
}

/* A body of many reads passes through without being gathered, byte for byte. */
static void test_large_bodies(void **state)
{
	static char block[64 * 1024];
	struct watcher w;
	uint64_t seed = 7;
	size_t total = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)ph_test_random(&seed);
	watch(&w, PH_HTTP_REQUESTS);
	assert_true(ph_http_feed(
			    w.h, PH_STR("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 640000\r\n\r\n")) > 0);
	while (total < 640000) {
		size_t n = 1 + (size_t)ph_test_below(&seed, sizeof(block));

		n = n < 640000 - total ? n : 640000 - total;
		assert_int_equal(ph_http_feed(w.h, ph_str(block, n)), n);
		assert_memory_equal(w.body.p + total, block, n);
		total += n;
	}
	assert_int_equal(w.body.n, 640000);
	assert_int_equal(w.dones, 1);
	unwatch(&w);
}

/* No byte sequence may crash it, and none may make two runs differ. */
static void test_garbage(void **state)
{
	static const char alphabet[] = "GET POST/ HTTP/1.1\r\n\r\n\r\nHost:a;=,\t\0\xff"
				       "0123456789abcdef";
	uint64_t seed = 42;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		char bytes[80];
		size_t n = (size_t)ph_test_below(&seed, sizeof(bytes));
		struct http1_how how = {.side = round & 1 ? PH_HTTP_REQUESTS : PH_HTTP_ANSWERS};
		struct ph_buf whole, pieces;
		struct ph_str cut[80];

		for (size_t i = 0; i < n; i++)
			bytes[i] = alphabet[ph_test_below(&seed, sizeof(alphabet))];
		for (size_t i = 0; i < n; i++)
			cut[i] = ph_str(bytes + i, 1);
		ph_buf_init(&whole, 1 << 20);
		ph_buf_init(&pieces, 1 << 20);
		http1_run(&(struct ph_str){bytes, n}, 1, &whole, &how);
		http1_run(cut, n, &pieces, &how);
		ph_assert_str(ph_buf_str(&pieces), ph_buf_str(&whole));
		ph_buf_deinit(&whole);
		ph_buf_deinit(&pieces);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_answers_to_head),
		cmocka_unit_test(test_pipelined),
		cmocka_unit_test(test_next_from_inside_done),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_pause_between_chunks),
		cmocka_unit_test(test_refused_upgrade_goes_on),
		cmocka_unit_test(test_errors_stay),
		cmocka_unit_test(test_interim_answers_are_bounded),
		cmocka_unit_test(test_large_bodies),
		cmocka_unit_test(test_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
