/* SPDX-License-Identifier: Apache-2.0 */
#include "socket_test.h"

#include "../loop/tls_server.h"

#define WAITING_BOUND                                                                                        \
	(512 * 1024) /* what may wait of a session that does not read: 256 KiB and some reads                \
		      */

/* ---- beginnings ---- */

static void test_handshake(void **state)
{
	int64_t requests = ph_metric_get(PH_M_REQUESTS, 0, 0);
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	assert_true(ph_str_starts(ph_buf_str(&p.head), PH_STR("HTTP/1.1 101 Switching Protocols\r\n")));
	assert_true(ph_str_find(ph_buf_str(&p.head), PH_STR("upgrade: websocket\r\n")) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head), PH_STR("connection: Upgrade\r\n")) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head),
			    PH_STR("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head), ph_str_c(s->x->request_id)) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head), PH_STR("\r\ndate: ")) > 0);
	assert_int_equal(ph_str_find_nocase(ph_buf_str(&p.head), PH_STR("extensions")), -1);
	assert_int_equal(c.keeper.busy, 0);
	assert_int_equal(c.keeper.sockets, 1);
	assert_int_equal(ph_metric_get(PH_M_REQUESTS, 0, 0), requests + 1);
	assert_int_equal(ph_metric_get(PH_M_CONNECTIONS, 0, 0), 1);
	peer_free(&p);
	UNTIL(&c, c.keeper.client_count == 0);
	assert_int_equal(s->gone, 1);
	assert_int_equal(ph_metric_get(PH_M_CONNECTIONS, 0, 0), 0);
	scene_close(&c);
}

/* A request to upgrade that is answered as any other leaves the connection as it was. */
static void test_refused(void **state)
{
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.refuse = true;
	peer_connect(&p, &c);
	p.plain = true;
	ph_stream_push(p.s, PH_STR(REQUEST REQUEST "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	UNTIL(&c, ph_str_find(ph_buf_str(&p.head), PH_STR("HTTP/1.1 200")) > 0 &&
			  ph_str_ends(ph_buf_str(&p.head), PH_STR("plain")));
	assert_true(ph_str_starts(ph_buf_str(&p.head), PH_STR("HTTP/1.1 426")));
	peer_free(&p);
	scene_close(&c);
}

/* Upgraded later, with frames that the client did not wait to send. */
static void test_late(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.late = true;
	c.deed[ON_TEXT] = ECHO;
	s = peer_open(&p, &c);
	peer_text(&p, "early");
	turn_for(c.loop, 20);
	assert_int_equal(p.head.n, 0);
	upgrade_now(s);
	UNTIL(&c, p.texts == 1);
	assert_log(&p.log, "t:early ");
	peer_free(&p);
	scene_close(&c);
}

static void test_gone_before_upgrade(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.late = true;
	s = peer_open(&p, &c);
	peer_free(&p);
	UNTIL(&c, s->left == 1);
	scene_close(&c);
}

/* ---- messages ---- */

static void test_echo(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.deed[ON_TEXT] = ECHO;
	s = peer_open(&p, &c);
	peer_text(&p, "");
	peer_text(&p, "one");
	peer_text(&p, "zw\xc3\xb6lf");
	peer_frame(&p, 0x01, PH_STR("fr\xc3"));
	peer_frame(&p, 0x89, PH_STR("between"));
	peer_frame(&p, 0x00, PH_STR(""));
	peer_frame(&p, 0x80, PH_STR("\xb6hlich"));
	UNTIL(&c, p.texts == 4);
	assert_log(&p.log, "t: t:one t:zw\xc3\xb6lf pong:between t:fr\xc3\xb6hlich ");
	assert_int_equal(s->texts, 4);
	peer_free(&p);
	scene_close(&c);
}

/* Sizes around those at which the frame's head changes, and up to the maximum. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = {
		125, 126, 127, 4095, 4096, 4097, 65535, 65536, 65537, MESSAGE_MAX - 1, MESSAGE_MAX};
	char *text = malloc(MESSAGE_MAX);
	struct scene c;
	struct peer p;
	int sent = 0;
	size_t bytes = 0;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	scene_open(&c);
	c.deed[ON_TEXT] = ECHO;
	peer_open(&p, &c);
	for (size_t i = 0; i < PH_COUNT(sizes); i++, sent++) {
		peer_say(&p, ph_ws_put_text, ph_str(text, sizes[i]));
		bytes += sizes[i];
	}
	UNTIL(&c, p.texts == sent);
	assert_int_equal(p.bytes, bytes);
	peer_free(&p);
	scene_close(&c);
	free(text);
}

static void test_too_large(void **state)
{
	char *text = malloc(2 * MESSAGE_MAX);
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', 2 * MESSAGE_MAX);
	scene_open(&c);
	s = peer_open(&p, &c);
	peer_text(&p, "one");
	peer_say(&p, ph_ws_put_text, ph_str(text, MESSAGE_MAX + 1));
	peer_text(&p, "two");
	UNTIL(&c, s->texts == 2);
	assert_log(&s->log, "t:one too-large t:two ");
	/* its word is held like a message */
	c.deed[ON_TEXT] = PAUSE;
	peer_text(&p, "three");
	peer_say(&p, ph_ws_put_text, ph_str(text, 2 * MESSAGE_MAX));
	peer_text(&p, "four");
	UNTIL(&c, s->texts == 3);
	turn_for(c.loop, 50);
	assert_log(&s->log, "t:one too-large t:two t:three ");
	session_read(s, true);
	UNTIL(&c, s->texts == 4);
	assert_log(&s->log, "t:one too-large t:two t:three too-large t:four ");
	peer_free(&p);
	scene_close(&c);
	free(text);
}

/* A whole conversation in two pieces, cut at every byte: both ends hear the same. */
static void one_cut(struct scene *c, struct ph_str all, size_t cut)
{
	struct session *s;
	struct peer p;

	peer_connect(&p, c);
	if (cut) {
		ph_stream_push(p.s, ph_str(all.p, cut));
		for (int i = 0; i < 5; i++)
			ph_loop_turn(c->loop);
	}
	ph_stream_push(p.s, ph_str_from(all, cut));
	UNTIL(c, p.closed);
	UNTIL(c, c->keeper.client_count == 0);
	s = &c->session[0];
	assert_log(&s->log, "t:one t:longer than one ");
	assert_log(&p.log, "t:one pong:p t:longer than one close:1000: end ");
	assert_int_equal(s->gone, 1);
	ph_buf_deinit(&s->log);
	memset(s, 0, sizeof(*s));
	c->sessions = 0;
	peer_free(&p);
}

static void test_every_cut(void **state)
{
	struct ph_buf all;
	struct scene c;

	(void)state;
	ph_buf_init(&all, 4096);
	ph_buf_puts(&all, PH_STR(REQUEST));
	ph_ws_put_text(&all, PH_WS_CLIENT, PH_STR("one"));
	put_frame(&all, 0x01, true, 7, PH_STR("longer "));
	put_frame(&all, 0x89, true, 1, PH_STR("p"));
	put_frame(&all, 0x80, true, 8, PH_STR("than one"));
	ph_ws_put_close(&all, PH_WS_CLIENT, 1000, PH_STR("bye"));
	scene_open(&c);
	c.deed[ON_TEXT] = ECHO;
	for (size_t cut = 0; cut < all.n; cut++)
		one_cut(&c, ph_buf_str(&all), cut);
	scene_close(&c);
	ph_buf_deinit(&all);
}

/* ---- faults ---- */

static void test_faults(void **state)
{
	static const struct {
		const char *what;
		int first;
		bool masked;
		uint64_t announced;
		struct ph_str payload;
		int code;
	} faults[] = {
		{"not masked", 0x81, false, 2, PH_STR_INIT("ab"), 1002},
		{"a reserved bit", 0xc1, true, 2, PH_STR_INIT("ab"), 1002},
		{"a reserved opcode", 0x83, true, 2, PH_STR_INIT("ab"), 1002},
		{"a reserved control opcode", 0x8b, true, 2, PH_STR_INIT("ab"), 1002},
		{"a fragment of nothing", 0x80, true, 2, PH_STR_INIT("ab"), 1002},
		{"a fragmented ping", 0x09, true, 2, PH_STR_INIT("ab"), 1002},
		{"a long ping", 0x89, true, 126, PH_STR_INIT("ab"), 1002},
		{"a close frame of one byte", 0x88, true, 1, PH_STR_INIT("a"), 1002},
		{"a close code that may not be sent", 0x88, true, 2, PH_STR_INIT("\x03\xed"), 1002},
		{"binary", 0x82, true, 2, PH_STR_INIT("ab"), 1003},
		{"no UTF-8", 0x81, true, 2, PH_STR_INIT("a\xff"), 1007},
		{"no UTF-8 as a reason", 0x88, true, 3, PH_STR_INIT("\x03\xe8\xff"), 1007},
		{"four times too large", 0x81, true, 4 * MESSAGE_MAX + 1, PH_STR_INIT("ab"), 1009},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(faults); i++) {
		struct session *s;
		struct ph_buf b;
		struct scene c;
		struct peer p;

		scene_open(&c);
		s = peer_open(&p, &c);
		ph_buf_init(&b, 1024);
		ph_ws_put_text(&b, PH_WS_CLIENT, PH_STR("good"));
		put_frame(&b, faults[i].first, faults[i].masked, faults[i].announced, faults[i].payload);
		ph_ws_put_text(&b, PH_WS_CLIENT, PH_STR("behind it"));
		ph_stream_push(p.s, ph_buf_str(&b));
		UNTIL(&c, p.closed);
		if (p.close_code != faults[i].code)
			fail_msg("%s: closed with %d", faults[i].what, p.close_code);
		assert_log(&s->log, "t:good ");
		assert_int_equal(s->gone, 1);
		UNTIL(&c, c.keeper.client_count == 0);
		ph_buf_deinit(&b);
		peer_free(&p);
		scene_close(&c);
	}
}

/* ---- ends ---- */

static void test_client_closes(void **state)
{
	static const struct {
		int code;
		const char *log;
	} closes[] = {
		{1000, "close:1000: end "}, {4242, "close:4242: end "}, {PH_WS_NO_CODE, "close:1005: end "}};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(closes); i++) {
		struct session *s;
		struct scene c;
		struct peer p;

		scene_open(&c);
		s = peer_open(&p, &c);
		p.mute = true; /* it has said its own */
		peer_close(&p, closes[i].code, NULL);
		peer_text(&p, "behind it");
		UNTIL(&c, p.closed);
		assert_log(&p.log, closes[i].log);
		assert_int_equal(s->gone, 1);
		assert_int_equal(s->texts, 0);
		peer_free(&p);
		scene_close(&c);
	}
}

/* The session hears of it at once, even if the client does not end the connection. */
static void test_client_closes_and_stays(void **state)
{
	uint64_t began = ph_clock_ms();
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	p.mute = p.stay = true;
	peer_close(&p, 1000, NULL);
	UNTIL(&c, s->gone == 1);
	assert_int_equal(c.keeper.sockets, 0);
	assert_int_equal(c.keeper.client_count, 1);
	UNTIL(&c, c.keeper.client_count == 0);
	assert_true(ph_clock_ms() - began >= 4900);
	peer_free(&p);
	scene_close(&c);
}

static void test_session_closes(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	push_text(s, PH_STR("before"));
	session_close(s, PH_WS_RESTART, "the node ends");
	session_close(s, PH_WS_NORMAL, "again");
	push_text(s, PH_STR("behind it"));
	assert_int_equal(s->gone, 0);
	peer_text(&p, "unheard");
	UNTIL(&c, p.closed);
	UNTIL(&c, s->gone == 1);
	assert_log(&p.log, "t:before close:1012:the node ends end ");
	assert_int_equal(s->texts, 0);
	peer_free(&p);
	scene_close(&c);
}

/* Five seconds for the client's close frame; until then its messages and pings are discarded. */
static void test_close_unanswered(void **state)
{
	struct session *s;
	uint64_t began;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	p.mute = true;
	session_close(s, 4000, NULL);
	began = ph_clock_ms();
	while (!s->gone) {
		peer_text(&p, "unheard");
		peer_say(&p, ph_ws_put_ping, PH_STR("unanswered"));
		turn_for(c.loop, 50);
		assert_true(ph_clock_ms() - began < PATIENCE_MS);
	}
	assert_true(ph_clock_ms() - began >= 4900);
	UNTIL(&c, p.closed);
	assert_int_equal(s->texts, 0);
	assert_int_equal(p.pongs, 0);
	peer_free(&p);
	scene_close(&c);
}

/* The close frame stands behind all that was pushed, also where that takes longer than the handshake may. */
static void test_close_behind_much(void **state)
{
	char *text = malloc(MESSAGE_MAX);
	struct session *s;
	uint64_t began;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	scene_open(&c);
	s = peer_open(&p, &c);
	for (int i = 0; i < 48; i++)
		push_text(s, ph_str(text, MESSAGE_MAX));
	session_close(s, 4000, NULL);
	p.sips = true;
	for (began = ph_clock_ms(); ph_clock_ms() - began < 7000;) {
		ph_stream_read(p.s, true);
		ph_loop_turn(c.loop);
		assert_int_equal(s->gone, 0);
		usleep(20000);
	}
	p.sips = false;
	ph_stream_read(p.s, true);
	UNTIL(&c, p.closed);
	UNTIL(&c, s->gone);
	assert_int_equal(p.texts, 48);
	assert_int_equal(p.close_code, 4000);
	peer_free(&p);
	scene_close(&c);
	free(text);
}

static void test_gone_without_close(void **state)
{
	(void)state;
	for (int abort = 0; abort < 2; abort++) {
		for (int paused = 0; paused < 2; paused++) {
			struct session *s;
			struct scene c;
			struct peer p;

			scene_open(&c);
			s = peer_open(&p, &c);
			if (paused)
				session_read(s, false);
			peer_text(&p, "one");
			peer_text(&p, "two");
			turn_for(c.loop, 20);
			assert_int_equal(s->texts, paused ? 0 : 2);
			peer_leave(&p, abort);
			UNTIL(&c, s->gone);
			UNTIL(&c, c.keeper.client_count == 0);
			peer_free(&p);
			scene_close(&c);
		}
	}
}

/* Half a message, and the connection ends. */
static void test_gone_inside_message(void **state)
{
	struct session *s;
	struct ph_buf b;
	struct scene c;
	struct peer p;

	(void)state;
	ph_buf_init(&b, 1024);
	put_frame(&b, 0x81, true, 100, PH_STR("half of it"));
	scene_open(&c);
	s = peer_open(&p, &c);
	ph_stream_push(p.s, ph_buf_str(&b));
	turn_for(c.loop, 20);
	peer_leave(&p, false);
	UNTIL(&c, s->gone);
	assert_int_equal(s->texts, 0);
	peer_free(&p);
	scene_close(&c);
	ph_buf_deinit(&b);
}

static void test_keeper_cuts(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	ph_keeper_close_idle(&c.keeper);
	turn_for(c.loop, 20);
	assert_int_equal(s->gone, 0);
	ph_keeper_close_all(&c.keeper);
	assert_int_equal(s->gone, 1);
	UNTIL(&c, p.closed);
	peer_free(&p);
	scene_close(&c);
}

/* ---- deeds inside callbacks ---- */

/* Brings the session into the callback. */
static void provoke(struct scene *c, struct peer *p, struct session *s, enum place place, struct ph_str large)
{
	switch (place) {
	case ON_TEXT:
		peer_text(p, "one");
		peer_text(p, "two");
		return;
	case ON_TOO_LARGE:
		peer_say(p, ph_ws_put_text, large);
		peer_text(p, "two");
		return;
	case ON_DRAIN:
		push_text(s, large);
		return;
	case ON_DRAINING:
		ph_keeper_drain(&c->keeper);
		assert_int_equal(s->draining, 0);
		return;
	default:
		return;
	}
}

static const char *deed_log(enum deed deed)
{
	switch (deed) {
	case CLOSE:
	case CLOSE_TWICE:
		return "close:4000:enough end ";
	case PUSH_AND_CLOSE:
		return "t:last words close:4000:enough end ";
	default: /* cut */
		return "reset ";
	}
}

static void test_deeds(void **state)
{
	size_t size = MESSAGE_MAX + 1;
	char *text = malloc(size);

	(void)state;
	memset(text, 'x', size);
	for (int place = 0; place < PLACES; place++) {
		for (int deed = CLOSE; deed < DEEDS; deed++) {
			struct session *s;
			struct scene c;
			struct peer p;
			struct ph_str log;

			scene_open(&c);
			c.deed[place] = (enum deed)deed;
			peer_connect(&p, &c);
			ph_stream_push(p.s, PH_STR(REQUEST));
			UNTIL(&c, c.sessions == 1);
			s = &c.session[0];
			provoke(&c, &p, s, (enum place)place, ph_str(text, size));
			UNTIL(&c, s->gone);
			UNTIL(&c, p.closed);
			log = ph_buf_str(&p.log);
			if (!ph_str_ends(log, ph_str_c(deed_log((enum deed)deed))))
				fail_msg("deed %d at %d: %.*s", deed, place, PH_STR_ARG(log));
			assert_true(s->texts + s->too_large + s->draining <= 1);
			peer_free(&p);
			scene_close(&c);
		}
	}
	free(text);
}

/* ---- pings ---- */

static void test_pings_of_client(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	peer_say(&p, ph_ws_put_ping, PH_STR(""));
	peer_say(&p, ph_ws_put_ping, PH_STR("a"));
	peer_say(&p, ph_ws_put_pong, PH_STR("nobody asked"));
	peer_say(&p, ph_ws_put_ping, PH_STR("b"));
	UNTIL(&c, p.pongs == 3);
	assert_log(&p.log, "pong: pong:a pong:b ");
	assert_int_equal(s->texts, 0);
	peer_free(&p);
	scene_close(&c);
}

/* A client that pings and reads nothing: what waits for it stays bounded, and in the end it hears the answer
 * to its newest ping. */
static void test_ping_flood(void **state)
{
	size_t behind = 0, most = 0;
	struct ph_client *client;
	int sent = 0;
	char name[PH_WS_CONTROL_MAX + 1];
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	peer_open(&p, &c);
	client = first_client(&c);
	ph_stream_read(p.s, false);
	while (behind < 4 * 1024 * 1024) { /* since the bound was reached */
		while (ph_stream_queued(p.s) < PH_STREAM_LOW) {
			snprintf(name, sizeof(name), "%0125d", ++sent);
			peer_say(&p, ph_ws_put_ping, ph_str_c(name));
			behind += most >= PH_STREAM_HIGH ? 131 : 0;
		}
		ph_loop_turn(c.loop);
		if (ph_stream_queued(client->stream) > most)
			most = ph_stream_queued(client->stream);
		assert_true(sent < 2000000);
	}
	assert_true(most < PH_STREAM_HIGH + 127);
	assert_true(ph_stream_reading(client->stream));
	UNTIL(&c, ph_stream_queued(p.s) == 0);
	ph_stream_read(p.s, true);
	UNTIL(&c, strcmp(p.newest, name) == 0);
	assert_true(p.pongs < sent - 1000);
	peer_free(&p);
	scene_close(&c);
}

static void test_our_pings(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.keeper.ping_ms = 50;
	s = peer_open(&p, &c);
	UNTIL(&c, p.pings >= 5);
	assert_int_equal(s->gone, 0);
	/* any byte will do */
	p.mute = true;
	for (int i = 0; i < 40; i++) {
		peer_text(&p, "x");
		turn_for(c.loop, 10);
	}
	assert_int_equal(s->gone, 0);
	UNTIL(&c, s->gone);
	UNTIL(&c, p.closed);
	assert_true(ph_str_ends(ph_buf_str(&p.log), PH_STR("close:1011:no answer to a ping end ")));
	peer_free(&p);
	scene_close(&c);
}

/* A message that is begun and not ended holds no memory for ever. */
static void test_silent_inside_message(void **state)
{
	struct session *s;
	struct ph_buf b;
	struct scene c;
	struct peer p;

	(void)state;
	ph_buf_init(&b, 1024);
	put_frame(&b, 0x81, true, MESSAGE_MAX, PH_STR("its beginning"));
	scene_open(&c);
	c.keeper.ping_ms = 50;
	s = peer_open(&p, &c);
	p.mute = true;
	ph_stream_push(p.s, ph_buf_str(&b));
	UNTIL(&c, p.closed);
	assert_int_equal(p.close_code, 1011);
	assert_int_equal(s->gone, 1);
	peer_free(&p);
	scene_close(&c);
	ph_buf_deinit(&b);
}

/* ---- back-pressure ---- */

static void test_paused(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.deed[ON_TEXT] = PAUSE;
	s = peer_open(&p, &c);
	peer_text(&p, "one");
	peer_say(&p, ph_ws_put_ping, PH_STR("1"));
	peer_text(&p, "two");
	peer_say(&p, ph_ws_put_ping, PH_STR("2"));
	peer_text(&p, "three");
	turn_for(c.loop, 50);
	assert_log(&s->log, "t:one ");
	assert_log(&p.log, "pong:1 "); /* the other one waits behind a message */
	session_read(s, true);
	assert_int_equal(s->texts, 1);
	UNTIL(&c, s->texts == 2);
	turn_for(c.loop, 50);
	assert_log(&s->log, "t:one t:two ");
	assert_log(&p.log, "pong:1 pong:2 ");
	/* without a word of the session the last one is never heard */
	session_close(s, 4000, NULL);
	UNTIL(&c, p.closed);
	assert_log(&s->log, "t:one t:two ");
	assert_log(&p.log, "pong:1 pong:2 close:4000: end ");
	peer_free(&p);
	scene_close(&c);
}

/* Read on and off from outside, at random: every message, once, in order, in bounded memory. */
static void test_paused_much(void **state)
{
	uint64_t seed = 7;
	size_t most = 0, bytes = 0;
	struct ph_client *client;
	struct session *s;
	struct scene c;
	struct peer p;
	int sent = 0, stopped = 0;
	char *text = malloc(8192);

	(void)state;
	memset(text, 'y', 8192);
	scene_open(&c);
	s = peer_open(&p, &c);
	client = first_client(&c);
	session_read(s, false);
	for (uint64_t until = ph_clock_ms() + 4 * PATIENCE_MS; s->texts < 3000;) {
		while (sent < 3000 && ph_stream_queued(p.s) < PH_STREAM_HIGH) {
			size_t n = 65 + ph_test_below(&seed, 8192 - 65);

			peer_say(&p, ph_ws_put_text, ph_str(text, n));
			bytes += n;
			sent++;
		}
		ph_loop_turn(c.loop);
		most = client->waiting.n > most ? client->waiting.n : most;
		stopped += !ph_stream_reading(client->stream);
		if (stopped > 20 && ph_test_below(&seed, 4) == 0)
			session_read(s, ph_test_below(&seed, 2) == 0 || sent == 3000);
		assert_true(ph_clock_ms() < until);
	}
	assert_int_equal(s->bytes, bytes);
	assert_true(stopped > 0);
	assert_true(most > 0 && most < WAITING_BOUND);
	UNTIL(&c, client->waiting.cap == 0);
	peer_free(&p);
	scene_close(&c);
	free(text);
}

/* We do not read, so silence is no fault of the client's. */
static void test_paused_is_no_silence(void **state)
{
	char *text = malloc(MESSAGE_MAX);
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	scene_open(&c);
	c.keeper.ping_ms = 50;
	s = peer_open(&p, &c);
	session_read(s, false);
	for (int i = 0; i < 16; i++)
		peer_say(&p, ph_ws_put_text, ph_str(text, MESSAGE_MAX));
	UNTIL(&c, !ph_stream_reading(first_client(&c)->stream));
	turn_for(c.loop, 500);
	assert_int_equal(s->gone, 0);
	session_read(s, true);
	UNTIL(&c, s->texts == 16);
	peer_free(&p);
	scene_close(&c);
	free(text);
}

static void test_drained(void **state)
{
	char *text = malloc(MESSAGE_MAX);
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	scene_open(&c);
	s = peer_open(&p, &c);
	ph_stream_read(p.s, false);
	for (int i = 0; i < 32; i++)
		push_text(s, ph_str(text, MESSAGE_MAX));
	turn_for(c.loop, 50);
	assert_int_equal(s->drains, 0);
	ph_stream_read(p.s, true);
	UNTIL(&c, s->drains == 1);
	UNTIL(&c, p.texts == 32);
	assert_int_equal(s->drains, 1);
	peer_free(&p);
	scene_close(&c);
	free(text);
}

/* A client that takes nothing is cut, whether the session has closed or not. */
static void test_client_takes_nothing(void **state)
{
	char *text = malloc(MESSAGE_MAX);

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	for (int closes = 0; closes < 2; closes++) {
		uint64_t began = ph_clock_ms();
		struct session *s;
		struct scene c;
		struct peer p;

		scene_open(&c);
		c.keeper.idle_timeout_ms = closes ? PATIENCE_MS : 300;
		s = peer_open(&p, &c);
		ph_stream_read(p.s, false);
		for (int i = 0; i < 32; i++)
			push_text(s, ph_str(text, MESSAGE_MAX));
		if (closes)
			session_close(s, 4000, NULL);
		UNTIL(&c, s->gone);
		assert_true(ph_clock_ms() - began >= (closes ? 4900 : 290));
		peer_leave(&p, true);
		peer_free(&p);
		scene_close(&c);
	}
	free(text);
}

/* ---- drain ---- */

static void test_drain(void **state)
{
	struct session *before, *after;
	struct scene c;
	struct peer p, q;

	(void)state;
	scene_open(&c);
	before = peer_open(&p, &c);
	ph_keeper_drain(&c.keeper);
	ph_keeper_drain(&c.keeper);
	UNTIL(&c, before->draining == 1);
	after = peer_open(&q, &c); /* a node still accepts for a while */
	UNTIL(&c, after->draining == 1);
	ph_keeper_close_idle(&c.keeper);
	peer_text(&p, "goes on");
	UNTIL(&c, before->texts == 1);
	assert_int_equal(before->draining, 1);
	assert_int_equal(c.keeper.sockets, 2);
	session_close(before, PH_WS_RESTART, NULL);
	session_close(after, PH_WS_RESTART, NULL);
	UNTIL(&c, c.keeper.sockets == 0);
	UNTIL(&c, p.closed && q.closed);
	assert_log(&p.log, "close:1012: end ");
	assert_log(&q.log, "close:1012: end ");
	peer_free(&p);
	peer_free(&q);
	scene_close(&c);
}

/* A socket that says farewell is not told. */
static void test_drain_of_closing(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	session_close(s, 4000, NULL);
	ph_keeper_drain(&c.keeper);
	UNTIL(&c, s->gone);
	assert_int_equal(s->draining, 0);
	peer_free(&p);
	scene_close(&c);
}

/* ---- TLS ---- */

static void write_key(const char *path, EVP_PKEY *key)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

static void use_tls(struct scene *c, const struct tls_files *files, struct ph_tls_tickets *tickets)
{
	struct ph_tls_server_options options = {.tickets = tickets};
	struct ph_err err = {0};
	char cert[128], key[128];
	struct ph_tls *tls;

	snprintf(cert, sizeof(cert), "%s/cert.pem", files->dir);
	snprintf(key, sizeof(key), "%s/key.pem", files->dir);
	write_cert(cert, files->good);
	write_key(key, files->key);
	options.cert_file = cert;
	options.key_file = key;
	tls = ph_tls_server_new(&options, &err);
	assert_non_null(tls);
	ph_listener_tls(c->listener, tls);
	ph_tls_free(tls);
	c->tls = ph_tls_client_new(files->ca, &err);
	assert_non_null(c->tls);
	unlink(cert);
	unlink(key);
}

static void test_tls(void **state)
{
	char *text = malloc(MESSAGE_MAX);
	struct ph_tls_tickets *tickets;
	struct tls_files files;
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	tls_files_make(&files);
	tickets = ph_tls_tickets_new();
	scene_open(&c);
	use_tls(&c, &files, tickets);
	c.deed[ON_TEXT] = ECHO;
	s = peer_open(&p, &c);
	peer_text(&p, "one");
	peer_say(&p, ph_ws_put_text, ph_str(text, MESSAGE_MAX));
	peer_say(&p, ph_ws_put_ping, PH_STR("p"));
	UNTIL(&c, p.texts == 2 && p.pongs == 1);
	session_close(s, 1012, "restart");
	UNTIL(&c, p.closed);
	UNTIL(&c, s->gone);
	assert_log(&p.log, "t:one L:1048576 pong:p close:1012:restart end ");
	peer_free(&p);
	scene_close(&c);
	ph_tls_tickets_free(tickets);
	tls_files_free(&files);
	free(text);
}

static int setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	ph_metrics_init(1);
	ph_metrics_worker(0);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_gone_before_upgrade),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_client_closes),
		cmocka_unit_test(test_client_closes_and_stays),
		cmocka_unit_test(test_session_closes),
		cmocka_unit_test(test_close_unanswered),
		cmocka_unit_test(test_close_behind_much),
		cmocka_unit_test(test_gone_without_close),
		cmocka_unit_test(test_gone_inside_message),
		cmocka_unit_test(test_keeper_cuts),
		cmocka_unit_test(test_deeds),
		cmocka_unit_test(test_pings_of_client),
		cmocka_unit_test(test_ping_flood),
		cmocka_unit_test(test_our_pings),
		cmocka_unit_test(test_silent_inside_message),
		cmocka_unit_test(test_paused),
		cmocka_unit_test(test_paused_much),
		cmocka_unit_test(test_paused_is_no_silence),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_client_takes_nothing),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_of_closing),
		cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
