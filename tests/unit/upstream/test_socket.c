/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets to accounts against a server that misbehaves. Time passes faster where a test says so: socket.c
 * is built into this test with timers of its own. */
#include "fake_socket.h"

#include "../loop/tls_server.h"
#include "upstream/upstream_priv.h"

static uint64_t hurry = 1; /* how much faster */

static void hurried_start(struct ph_timer *t, uint64_t after_ms)
{
	ph_timer_start(t, after_ms / hurry);
}

#define ph_timer_start hurried_start
#include "upstream/socket.c"
#undef ph_timer_start

#include "posthouse/metrics.h"

#define LARGE (1 << 20)

struct world {
	struct ph_loop *loop;
	struct server v;
	struct ph_upstream *u;
	struct holder o;
};

static void world_open(struct world *w, const char *answer)
{
	hurry = 1;
	w->loop = ph_loop_new();
	server_open(&w->v, w->loop, NULL);
	w->u = upstream_open(w->loop, 5000);
	holder_init(&w->o, w->u);
	if (answer)
		w->v.answer = answer;
	else
		w->v.mute = true;
}

/* Silence and goodbyes; the deadline for connecting stays where it was. */
static void hurry_by(struct world *w, uint64_t times)
{
	hurry = times;
	w->u->connect_timeout_ms *= times;
}

static void world_close(struct world *w)
{
	upstream_close(w->u, w->loop);
	server_done(&w->v);
	holder_done(&w->o);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

static void start(struct world *w)
{
	holder_start(&w->o, &w->v, 4 * LARGE);
}

static void connect_to(struct world *w)
{
	start(w);
	turn_until(w->loop, &w->o.opened);
}

static void turn_to(struct world *w, const int *is, int count)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;

	while (*is < count) {
		ph_loop_turn(w->loop);
		if (ph_clock_ms() > until)
			fail_msg("waited in vain");
		usleep(50);
	}
	assert_int_equal(*is, count);
}

/* A text of n bytes that no shift leaves as it was. */
static struct ph_buf long_text(size_t n)
{
	struct ph_buf b;

	ph_buf_init(&b, AMPLE);
	for (size_t i = 0; b.n < n; i++)
		ph_buf_u64(&b, i * i);
	b.n = n;
	return b;
}

/* ---- the beginning ---- */

static void what_is_asked(void **state)
{
	struct world w;
	struct ph_str head, key;
	char want[256];

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	assert_int_equal(w.o.http_status, 101);
	head = ph_buf_str(&w.v.head);
	snprintf(want, sizeof want,
		"GET /base/v1/responses?x=1 HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nconnection: Upgrade\r\n"
		"upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ",
		(unsigned)w.v.url.port);
	assert_true(ph_str_starts(head, ph_str_c(want)));
	key = ph_str_from(head, strlen(want));
	ph_assert_str(ph_str_from(key, PH_WS_KEY_SIZE - 1), PH_STR("\r\nx-test: yes\r\n\r\n"));
	assert_true(ph_upsocket_alive(w.o.s));
	assert_true(ph_upsocket_opened_ms(w.o.s) > 0);
	holder_close(&w.o);
	turn_until(w.loop, &w.v.ended);
	assert_int_equal(w.v.closes, 1);
	assert_int_equal(w.v.close_code, 1000);
	world_close(&w);
}

static void answers_that_do_not_open(void **state)
{
	static const char *const bad[] = {
		SWITCH "\r\n",
		SWITCH "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
		SWITCH "Sec-WebSocket-Extensions: permessage-deflate\r\n" ACCEPT,
		SWITCH "Sec-WebSocket-Protocol: chat\r\n" ACCEPT,
		"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT,
		"HTTP/1.1 101 x\r\nConnection: Upgrade\r\n" ACCEPT,
		"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: no-upgrade\r\n" ACCEPT,
		"SSH-2.0-OpenSSH_9.2\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct world w;

		world_open(&w, bad[i]);
		start(&w);
		holder_send(&w.o, PH_STR("never said"));
		turn_until(w.loop, &w.o.ended);
		assert_int_equal(w.o.status, -PH_E_UPSTREAM_BAD);
		assert_int_equal(w.o.opened + w.o.refused + w.o.sent, 0);
		assert_int_equal(w.v.count, 0);
		world_close(&w);
	}
}

static void refused_with(const char *answer, enum then then, int status, size_t body)
{
	struct world w;

	world_open(&w, answer);
	w.v.then = then;
	start(&w);
	holder_send(&w.o, PH_STR("never said"));
	turn_until(w.loop, &w.o.refused);
	assert_int_equal(w.o.http_status, status);
	assert_int_equal(w.o.said.n, body);
	turn_for(w.loop, 5);
	assert_int_equal(w.o.ended + w.o.opened + w.o.sent, 0);
	assert_int_equal(w.v.count, 0);
	world_close(&w);
}

static void refused_upgrades(void **state)
{
	struct ph_buf b;

	(void)state;
	refused_with("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n", THEN_STAY, 426, 0);
	refused_with("HTTP/1.1 429 x\r\nContent-Length: 5\r\n\r\nlimit", THEN_STAY, 429, 5);
	refused_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
		THEN_STAY, 200, 3);
	refused_with("HTTP/1.1 503 x\r\n\r\nuntil the end", THEN_FIN, 503, 13);
	ph_buf_init(&b, AMPLE);
	ph_buf_puts(&b, PH_STR("HTTP/1.1 500 x\r\nContent-Length: 900000\r\n\r\n"));
	for (size_t i = 0; i < 100000; i++)
		ph_buf_putc(&b, 'x');
	ph_buf_putc(&b, '\0');
	refused_with(b.p, THEN_STAY, 500, 64 << 10); /* which never ends */
	ph_buf_deinit(&b);
}

static void no_answer_in_time(void **state)
{
	static const char *const starts[] = {"", "HTTP/1.1 429 x\r\nContent-Length: 5\r\n\r\nlim"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(starts); i++) {
		struct world w;
		uint64_t from;

		world_open(&w, starts[i]);
		w.u->connect_timeout_ms = 150;
		from = ph_clock_ms();
		start(&w);
		turn_until(w.loop, &w.o.ended);
		assert_int_equal(w.o.status, -PH_E_UPSTREAM_CONNECT);
		assert_true(ph_clock_ms() - from >= 140);
		world_close(&w);
	}
}

static void nobody_listens(void **state)
{
	struct world w;
	struct ph_addr addr;

	(void)state;
	world_open(&w, GOOD);
	close(raw_listen(&addr));
	w.v.url.port = port_of(&addr);
	start(&w);
	turn_until(w.loop, &w.o.ended);
	assert_int_equal(w.o.status, -PH_E_UPSTREAM_CONNECT);
	world_close(&w);
}

/* ---- messages ---- */

static void texts_both_ways(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	for (int i = 1; i < 4; i++) {
		holder_send(&w.o, PH_STR("ask"));
		turn_to(&w, &w.v.count, i);
		turn_to(&w, &w.o.sent, i);
		server_text(&w.v, PH_STR("answer"));
		turn_to(&w, &w.o.texts, i);
	}
	ph_assert_str(ph_buf_str(&w.v.texts), PH_STR("ask\nask\nask\n"));
	ph_assert_str(ph_buf_str(&w.o.said), PH_STR("answer\nanswer\nanswer\n"));
	world_close(&w);
}

static void sent_before_it_is_open(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NULL);
	start(&w);
	holder_send(&w.o, PH_STR("one"));
	turn_for(w.loop, 20);
	holder_send(&w.o, PH_STR("two"));
	turn_for(w.loop, 20);
	assert_int_equal(w.o.sent, 0);
	assert_false(ph_upsocket_alive(w.o.s));
	w.v.answer = GOOD;
	server_answer(&w.v);
	turn_to(&w, &w.v.count, 2);
	turn_for(w.loop, 5);
	assert_int_equal(w.o.sent, 1); /* of the last one */
	holder_send(&w.o, PH_STR("three"));
	turn_to(&w, &w.o.sent, 2);
	turn_to(&w, &w.v.count, 3);
	ph_assert_str(ph_buf_str(&w.v.texts), PH_STR("one\ntwo\nthree\n"));
	world_close(&w);
}

static void large_messages(void **state)
{
	struct world w;
	struct ph_buf text = long_text(LARGE);

	(void)state;
	world_open(&w, GOOD);
	start(&w);
	holder_send(&w.o, ph_buf_str(&text));
	turn_to(&w, &w.v.count, 1);
	turn_to(&w, &w.o.sent, 1);
	server_text(&w.v, ph_buf_str(&text));
	turn_to(&w, &w.o.texts, 1);
	ph_buf_putc(&text, '\n');
	assert_true(ph_str_eq(ph_buf_str(&w.v.texts), ph_buf_str(&text)));
	assert_true(ph_str_eq(ph_buf_str(&w.o.said), ph_buf_str(&text)));
	ph_buf_deinit(&text);
	world_close(&w);
}

static void on_sent_waits_for_the_kernel(void **state)
{
	struct world w;
	struct ph_buf text = long_text(24 * LARGE);

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	ph_stream_read(w.v.s, false);
	holder_send(&w.o, ph_buf_str(&text));
	turn_for(w.loop, 50);
	assert_int_equal(w.o.sent, 0);
	ph_stream_read(w.v.s, true);
	turn_to(&w, &w.o.sent, 1);
	turn_to(&w, &w.v.count, 1);
	ph_buf_deinit(&text);
	world_close(&w);
}

static void above_the_maximum(void **state)
{
	struct world w;

	(void)state;
	for (size_t n = 100; n < 2000; n *= 10) {
		struct ph_buf text = long_text(n);

		world_open(&w, GOOD);
		holder_start(&w.o, &w.v, 100);
		turn_until(w.loop, &w.o.opened);
		server_text(&w.v, ph_buf_str(&text));
		if (n == 100)
			turn_to(&w, &w.o.texts, 1);
		ph_buf_putc(&text, 'x');
		server_text(&w.v, ph_buf_str(&text));
		turn_until(w.loop, &w.o.ended);
		assert_int_equal(w.o.status, -PH_E_UPSTREAM_BAD);
		turn_until(w.loop, &w.v.closes);
		assert_int_equal(w.v.close_code, 1009);
		ph_buf_deinit(&text);
		world_close(&w);
	}
}

static void frames_that_are_not_valid(void **state)
{
	static const struct {
		struct ph_str frame;
		int code;
	} bad[] = {
		{PH_STR_INIT("\x81\x81xxxxy"), 1002}, /* masked */
		{PH_STR_INIT("\xc1\x01x"), 1002},     /* a reserved bit */
		{PH_STR_INIT("\x82\x01x"), 1003},     /* binary */
		{PH_STR_INIT("\x81\x01\xff"), 1007},  /* no UTF-8 */
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct world w;

		world_open(&w, GOOD);
		ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("good"));
		ph_buf_puts(&w.v.behind, bad[i].frame);
		start(&w);
		turn_until(w.loop, &w.o.ended);
		assert_int_equal(w.o.status, -PH_E_UPSTREAM_BAD);
		ph_assert_str(ph_buf_str(&w.o.said), PH_STR("good\n"));
		turn_until(w.loop, &w.v.closes);
		assert_int_equal(w.v.close_code, bad[i].code);
		world_close(&w);
	}
}

/* ---- ends ---- */

/* The answer, two messages, and between them a ping: broken off at every byte, by FIN and by RST. */
static void cut_at(size_t cut, enum then then, size_t answer_n, size_t first_n)
{
	struct world w;

	world_open(&w, NULL);
	w.v.answer = GOOD;
	w.v.then = then;
	ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("one"));
	ph_ws_put_ping(&w.v.behind, PH_WS_SERVER, PH_STR("p"));
	ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("two"));
	start(&w);
	holder_send(&w.o, PH_STR("ask"));
	server_trickle(&w.v, cut);
	turn_until(w.loop, &w.o.ended);
	assert_int_equal(w.o.status, -PH_E_UPSTREAM_DROPPED);
	assert_int_equal(w.o.opened, cut >= answer_n);
	assert_int_equal(w.o.texts, (cut >= answer_n + first_n) + (cut >= answer_n + w.v.behind.n));
	world_close(&w);
}

static void broken_off_at_every_byte(void **state)
{
	const size_t answer_n = strlen(GOOD) - 1 + PH_WS_ACCEPT_SIZE - 1, first_n = 2 + 3, ping_n = 2 + 1;

	(void)state;
	for (size_t cut = 0; cut <= answer_n + first_n + ping_n + first_n; cut++) {
		cut_at(cut, THEN_FIN, answer_n, first_n);
		cut_at(cut, THEN_RESET, answer_n, first_n);
	}
}

static void a_reset(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	ph_stream_close(w.v.s, true);
	turn_until(w.loop, &w.o.ended);
	assert_int_equal(w.o.status, -PH_E_UPSTREAM_DROPPED);
	assert_non_null(strstr(w.o.err.detail, "reset"));
	world_close(&w);
}

static void a_close_frame(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	server_text(&w.v, PH_STR("last"));
	server_close(&w.v, 1012, "going down");
	server_text(&w.v, PH_STR("never heard"));
	turn_until(w.loop, &w.o.ended);
	assert_int_equal(w.o.status, -PH_E_UPSTREAM_DROPPED);
	assert_string_equal(w.o.err.detail, "closed with 1012 going down");
	ph_assert_str(ph_buf_str(&w.o.said), PH_STR("last\n"));
	turn_until(w.loop, &w.v.closes);
	assert_int_equal(w.v.close_code, 1012);
	world_close(&w);

	world_open(&w, GOOD);
	connect_to(&w);
	server_close(&w.v, PH_WS_NO_CODE, "");
	turn_until(w.loop, &w.o.ended);
	assert_string_equal(w.o.err.detail, "closed without a code");
	turn_until(w.loop, &w.v.closes);
	assert_int_equal(w.v.close_code, PH_WS_NO_CODE);
	world_close(&w);
}

/* From inside every callback. */
static void closed_from_inside(void **state)
{
	static const struct {
		enum moment in;
		const char *answer;
		enum then then;
	} cases[] = {
		{AT_OPEN, GOOD, THEN_STAY},
		{AT_SENT, GOOD, THEN_STAY},
		{AT_TEXT, GOOD, THEN_STAY},
		{AT_REFUSED, "HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n", THEN_STAY},
		{AT_END, GOOD, THEN_FIN},
		{AT_END, SWITCH "\r\n", THEN_STAY},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct world w;

		world_open(&w, cases[i].answer);
		w.v.then = cases[i].then;
		for (int n = 0; n < 3; n++)
			ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("more"));
		w.o.close_in = cases[i].in;
		start(&w);
		holder_send(&w.o, PH_STR("ask"));
		while (!w.o.over)
			ph_loop_turn(w.loop);
		while (w.v.open || !w.v.accepted)
			ph_loop_turn(w.loop);
		assert_int_equal(w.v.closes,
			cases[i].in == AT_OPEN || cases[i].in == AT_TEXT || cases[i].in == AT_SENT);
		assert_true(w.o.texts <= (cases[i].in == AT_TEXT ? 1 : 3));
		world_close(&w);
	}
}

/* By its owner, or with everything, after any number of turns of the loop. */
static void closed_at_any_time(void **state)
{
	(void)state;
	for (int by_owner = 0; by_owner < 2; by_owner++)
		for (int large = 0; large < 2; large++)
			for (int turns = 0; turns < 12; turns++) {
				struct ph_buf text = long_text(large ? 8 * LARGE : 3);
				struct world w;

				world_open(&w, GOOD);
				w.v.deaf = large;
				hurry_by(&w, 20);
				start(&w);
				holder_send(&w.o, ph_buf_str(&text));
				for (int i = 0; i < turns; i++)
					ph_loop_turn(w.loop);
				w.o.over = true;
				if (by_owner)
					ph_upsocket_close(w.o.s);
				ph_buf_deinit(&text);
				world_close(&w);
			}
}

/* A server that says nothing to our close frame has a second. */
static void a_goodbye_without_an_answer(void **state)
{
	struct world w;
	uint64_t from;

	(void)state;
	world_open(&w, GOOD);
	w.v.deaf = true;
	hurry_by(&w, 4);
	connect_to(&w);
	holder_close(&w.o);
	from = ph_clock_ms();
	turn_until(w.loop, &w.v.closes);
	upstream_close(w.u, w.loop);
	assert_true(ph_clock_ms() - from >= 200);
	w.u = upstream_open(w.loop, 5000);
	world_close(&w);
}

/* ---- pings ---- */

static void pings_are_answered(void **state)
{
	struct world w;
	uint64_t before;

	(void)state;
	world_open(&w, GOOD);
	ph_ws_put_ping(&w.v.behind, PH_WS_SERVER, PH_STR("are you there"));
	connect_to(&w);
	before = ph_upsocket_progress_ms(w.o.s);
	turn_for(w.loop, 20);
	turn_to(&w, &w.v.pongs, 1);
	ph_assert_str(ph_buf_str(&w.v.pong), PH_STR("are you there"));
	assert_int_equal(ph_upsocket_progress_ms(w.o.s), before); /* of messages only */
	holder_send(&w.o, PH_STR("ask"));
	turn_to(&w, &w.v.count, 1);
	assert_true(ph_upsocket_progress_ms(w.o.s) > before);
	world_close(&w);
}

/* Every part of a message is progress, long before it is whole. */
static void parts_are_progress(void **state)
{
	struct ph_buf text = long_text(1000), frame;
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	ph_buf_init(&frame, AMPLE);
	ph_ws_put_text(&frame, PH_WS_SERVER, ph_buf_str(&text));
	for (size_t at = 0; at < 1000; at += 100) {
		uint64_t before = ph_upsocket_progress_ms(w.o.s), until = ph_clock_ms() + PATIENCE_MS;

		turn_for(w.loop, 5);
		ph_stream_push(w.v.s, ph_str(frame.p + at, 100));
		while (ph_upsocket_progress_ms(w.o.s) <= before && ph_clock_ms() < until)
			ph_loop_turn(w.loop);
		assert_true(ph_upsocket_progress_ms(w.o.s) > before);
	}
	assert_int_equal(w.o.texts, 0);
	ph_buf_deinit(&frame);
	ph_buf_deinit(&text);
	world_close(&w);
}

static void silence_is_broken_by_a_ping(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	hurry_by(&w, 60); /* 333 ms of silence */
	connect_to(&w);
	turn_to(&w, &w.v.pings, 3);
	assert_int_equal(w.o.ended, 0);
	assert_true(ph_upsocket_alive(w.o.s));
	w.v.deaf = true;
	turn_until(w.loop, &w.o.ended);
	assert_int_equal(w.v.pings, 4);
	assert_int_equal(w.o.status, -PH_E_UPSTREAM_DROPPED);
	assert_non_null(strstr(w.o.err.detail, "ping"));
	world_close(&w);
}

static void no_ping_while_nobody_reads(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	hurry_by(&w, 200);
	w.o.pause_in = AT_OPEN;
	connect_to(&w);
	turn_for(w.loop, 500);
	assert_int_equal(w.v.pings + w.o.ended, 0);
	holder_resume(&w.o);
	turn_until(w.loop, &w.v.pings);
	world_close(&w);
}

/* It pings, and does not read the answers: they do not pile up. */
static void a_flood_of_pings(void **state)
{
	struct world w;
	struct ph_buf pings, payload = long_text(PH_WS_CONTROL_MAX);

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	ph_stream_read(w.v.s, false);
	ph_buf_init(&pings, AMPLE);
	for (int i = 0; i < 2000; i++)
		ph_ws_put_ping(&pings, PH_WS_SERVER, ph_buf_str(&payload));
	for (int i = 0; i < 200; i++) {
		ph_stream_push(w.v.s, ph_buf_str(&pings));
		while (ph_stream_queued(w.v.s))
			ph_loop_turn(w.loop);
		assert_true(ph_stream_queued(w.o.s->stream) < (size_t)2 * PONGS_MAX);
	}
	assert_true(ph_stream_queued(w.o.s->stream) > 0); /* or this was no test */
	ph_stream_read(w.v.s, true);
	server_text(&w.v, PH_STR("done"));
	turn_until(w.loop, &w.o.texts);
	assert_true(w.v.pongs > 0);
	ph_buf_deinit(&pings);
	ph_buf_deinit(&payload);
	world_close(&w);
}

/* ---- back-pressure ---- */

/* Three messages and the end come in one read; the owner stops at each. Small ones and such that the codec
 * does not hold at once. */
static void paused_from_inside(void **state)
{
	(void)state;
	for (size_t n = 3; n < 20000; n += 9000) {
		struct ph_buf text = long_text(n);
		struct world w;

		world_open(&w, GOOD);
		for (int i = 0; i < 3; i++)
			ph_ws_put_text(&w.v.behind, PH_WS_SERVER, ph_buf_str(&text));
		ph_ws_put_close(&w.v.behind, PH_WS_SERVER, 1001, PH_STR("bye"));
		w.o.pause_in = AT_TEXT;
		connect_to(&w);
		for (int i = 1; i <= 3; i++) {
			turn_to(&w, &w.o.texts, i);
			turn_for(w.loop, 20);
			assert_int_equal(w.o.texts, i);
			assert_int_equal(w.o.ended, 0);
			holder_resume(&w.o);
		}
		turn_until(w.loop, &w.o.ended);
		assert_string_equal(w.o.err.detail, "closed with 1001 bye");
		assert_int_equal(w.o.said.n, 3 * (n + 1));
		ph_buf_deinit(&text);
		world_close(&w);
	}
}

static void paused_before_the_first_message(void **state)
{
	struct world w;

	(void)state;
	for (int early = 0; early < 2; early++) {
		world_open(&w, GOOD);
		ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("one"));
		w.o.pause_in = early ? NEVER : AT_OPEN;
		start(&w);
		if (early) {
			ph_upsocket_read(w.o.s, false);
			w.o.paused = true;
		}
		turn_until(w.loop, &w.o.opened);
		turn_for(w.loop, 20);
		assert_int_equal(w.o.texts, 0);
		holder_resume(&w.o);
		turn_until(w.loop, &w.o.texts);
		ph_assert_str(ph_buf_str(&w.o.said), PH_STR("one\n"));
		world_close(&w);
	}
}

static void off_and_on_in_one_callback(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	for (int i = 0; i < 3; i++)
		ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("m"));
	w.o.blink_in = AT_TEXT;
	connect_to(&w);
	turn_to(&w, &w.o.texts, 3);
	server_text(&w.v, PH_STR("m"));
	turn_to(&w, &w.o.texts, 4);
	world_close(&w);
}

/* The connection fails in writing while messages wait for their owner: they come first. */
static void the_end_waits_for_the_rest(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	for (int i = 0; i < 2; i++)
		ph_ws_put_text(&w.v.behind, PH_WS_SERVER, PH_STR("m"));
	w.o.pause_in = AT_TEXT;
	connect_to(&w);
	turn_to(&w, &w.o.texts, 1);
	ph_stream_close(w.v.s, true);
	turn_for(w.loop, 20);
	while (ph_upsocket_alive(w.o.s)) {
		holder_send(&w.o, PH_STR("into the void"));
		ph_loop_turn(w.loop);
	}
	assert_int_equal(w.o.ended, 0);
	w.o.pause_in = NEVER;
	holder_resume(&w.o);
	turn_until(w.loop, &w.o.ended);
	assert_int_equal(w.o.texts, 2);
	assert_int_equal(w.o.status, -PH_E_UPSTREAM_DROPPED);
	world_close(&w);
}

static void the_peer_feels_it(void **state)
{
	const int total = 32;
	struct ph_buf text = long_text(LARGE);
	struct world w;

	(void)state;
	world_open(&w, GOOD);
	w.o.pause_in = AT_OPEN;
	connect_to(&w);
	for (int i = 0; i < total; i++)
		server_text(&w.v, ph_buf_str(&text));
	turn_for(w.loop, 100);
	assert_true(ph_stream_queued(w.v.s) > LARGE);
	assert_int_equal(w.o.texts, 0);
	w.o.pause_in = AT_TEXT;
	for (int i = 1; i <= total; i++) {
		holder_resume(&w.o);
		turn_to(&w, &w.o.texts, i);
	}
	ph_buf_deinit(&text);
	world_close(&w);
}

/* ---- owners ---- */

static void handed_over(void **state)
{
	struct world w;
	struct holder second;

	(void)state;
	world_open(&w, GOOD);
	connect_to(&w);
	holder_send(&w.o, PH_STR("of the first"));
	holder_init(&second, w.u);
	second.s = w.o.s;
	second.opened = 1;
	second.calling = true;
	ph_upsocket_set_owner(second.s, &holder_events, &second);
	second.calling = false;
	turn_to(&w, &w.v.count, 1);
	turn_for(w.loop, 10);
	assert_int_equal(second.sent, 0); /* nothing of it */
	server_text(&w.v, PH_STR("answer"));
	turn_to(&w, &second.texts, 1);
	holder_send(&second, PH_STR("of the second"));
	turn_to(&w, &second.sent, 1);
	ph_stream_close(w.v.s, false);
	turn_until(w.loop, &second.ended);
	assert_int_equal(w.o.sent + w.o.texts + w.o.ended, 0);
	holder_done(&second);
	world_close(&w);
}

static int64_t gauge(unsigned i)
{
	return ph_metric_get(PH_M_UPSTREAM_CONNECTIONS, i, 0);
}

static void nobody_has_it(void **state)
{
	static const struct {
		const char *event;
		bool alive;
	} events[] = {
		{"{\"type\":\"codex.rate_limits\",\"rate_limits\":{}}", true},
		{"{\"a\":{\"type\":\"x\"}, \"type\" : \"codex.anything\"}", true},
		{"{\"type\":\"response.created\"}", false},
		{"{\"a\":\"codex.\"}", false},
		{"{\"type\":7}", false},
		{"codex.", false},
		{"{\"type\":\"codex.rate", false},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(events); i++) {
		struct world w;

		world_open(&w, GOOD);
		connect_to(&w);
		assert_int_equal(gauge(PH_GAUGE_BUSY), 1);
		ph_upsocket_read(w.o.s, false);
		ph_upsocket_set_owner(w.o.s, NULL, NULL);
		assert_int_equal(gauge(PH_GAUGE_IDLE), 1);
		server_text(&w.v, ph_str_c(events[i].event));
		turn_for(w.loop, 20);
		while (!events[i].alive && ph_upsocket_alive(w.o.s))
			ph_loop_turn(w.loop);
		assert_int_equal(ph_upsocket_alive(w.o.s), events[i].alive);
		assert_int_equal(gauge(PH_GAUGE_IDLE), events[i].alive);
		w.o.calling = true;
		ph_upsocket_set_owner(w.o.s, &holder_events, &w.o);
		w.o.calling = false;
		assert_int_equal(gauge(PH_GAUGE_BUSY), events[i].alive);
		if (!events[i].alive)
			turn_until(w.loop, &w.o.ended);
		else
			turn_for(w.loop, 5);
		assert_int_equal(w.o.ended, !events[i].alive);
		assert_int_equal(w.o.texts, 0);
		if (events[i].alive) {
			server_text(&w.v, PH_STR("for its owner"));
			turn_until(w.loop, &w.o.texts);
		}
		world_close(&w);
		assert_int_equal(gauge(PH_GAUGE_BUSY) + gauge(PH_GAUGE_IDLE), 0);
	}
}

/* It ends while nobody has it: whoever keeps it may close it, or take it and be told. */
static void an_end_that_nobody_hears(void **state)
{
	static const char *const answers[] = {
		GOOD, SWITCH "\r\n", "HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++)
		for (int then = 0; then < 3; then++) {
			struct world w;

			world_open(&w, answers[i]);
			w.v.then = THEN_FIN;
			start(&w);
			ph_upsocket_set_owner(w.o.s, NULL, NULL);
			while (w.o.s->sm.state != SOCKET_LEFT || w.o.s->stream)
				ph_loop_turn(w.loop);
			assert_false(ph_upsocket_alive(w.o.s));
			holder_send(&w.o, PH_STR("into the void"));
			if (then == 0) {
				ph_upsocket_set_owner(w.o.s, &holder_events, &w.o);
				assert_int_equal(w.o.ended, 0);
				turn_until(w.loop, &w.o.ended);
				assert_int_equal(
					w.o.status, i == 1 ? -PH_E_UPSTREAM_BAD : -PH_E_UPSTREAM_DROPPED);
			} else if (then == 1) {
				holder_close(&w.o);
			} /* else it is left to ph_upstream_close() */
			world_close(&w);
		}
}

/* ---- TLS ---- */

static void over_tls(void **state)
{
	struct tls_files files;
	struct ph_tls_server_options options;
	struct ph_upstream_options up = {.connect_timeout_ms = 5000};
	struct ph_buf text = long_text(LARGE);
	struct ph_err err = {0};
	char cert[128], key[128];
	struct ph_tls *tls;
	struct world w;
	FILE *file;

	(void)state;
	tls_files_make(&files);
	snprintf(cert, sizeof cert, "%s/cert.pem", files.dir);
	snprintf(key, sizeof key, "%s/key.pem", files.dir);
	write_cert(cert, files.good);
	file = fopen(key, "w");
	assert_int_equal(PEM_write_PrivateKey(file, files.key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	options = (struct ph_tls_server_options){.cert_file = cert, .key_file = key};
	options.tickets = ph_tls_tickets_new();
	tls = ph_tls_server_new(&options, &err);
	assert_non_null(tls);
	w.loop = ph_loop_new();
	server_open(&w.v, w.loop, tls);
	up.ca_file = files.ca;
	w.u = ph_upstream_new(w.loop, &up, &err);
	holder_init(&w.o, w.u);
	w.o.pause_in = AT_TEXT;
	start(&w);
	holder_send(&w.o, ph_buf_str(&text));
	turn_to(&w, &w.v.count, 1);
	for (int i = 0; i < 3; i++)
		server_text(&w.v, ph_buf_str(&text));
	for (int i = 1; i <= 3; i++) {
		turn_to(&w, &w.o.texts, i);
		holder_resume(&w.o);
	}
	holder_close(&w.o);
	turn_until(w.loop, &w.v.ended);
	assert_int_equal(w.v.close_code, 1000);
	ph_buf_deinit(&text);
	world_close(&w);
	ph_tls_free(tls);
	ph_tls_tickets_free(options.tickets);
	unlink(cert);
	unlink(key);
	tls_files_free(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked),
		cmocka_unit_test(answers_that_do_not_open),
		cmocka_unit_test(refused_upgrades),
		cmocka_unit_test(no_answer_in_time),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(texts_both_ways),
		cmocka_unit_test(sent_before_it_is_open),
		cmocka_unit_test(large_messages),
		cmocka_unit_test(on_sent_waits_for_the_kernel),
		cmocka_unit_test(above_the_maximum),
		cmocka_unit_test(frames_that_are_not_valid),
		cmocka_unit_test(broken_off_at_every_byte),
		cmocka_unit_test(a_reset),
		cmocka_unit_test(a_close_frame),
		cmocka_unit_test(closed_from_inside),
		cmocka_unit_test(closed_at_any_time),
		cmocka_unit_test(a_goodbye_without_an_answer),
		cmocka_unit_test(pings_are_answered),
		cmocka_unit_test(parts_are_progress),
		cmocka_unit_test(silence_is_broken_by_a_ping),
		cmocka_unit_test(no_ping_while_nobody_reads),
		cmocka_unit_test(a_flood_of_pings),
		cmocka_unit_test(paused_from_inside),
		cmocka_unit_test(paused_before_the_first_message),
		cmocka_unit_test(off_and_on_in_one_callback),
		cmocka_unit_test(the_end_waits_for_the_rest),
		cmocka_unit_test(the_peer_feels_it),
		cmocka_unit_test(handed_over),
		cmocka_unit_test(nobody_has_it),
		cmocka_unit_test(an_end_that_nobody_hears),
		cmocka_unit_test(over_tls),
	};

	ph_metrics_init(1);
	ph_metrics_worker(0);
	return cmocka_run_group_tests_name("upstream.socket", tests, NULL, NULL);
}
