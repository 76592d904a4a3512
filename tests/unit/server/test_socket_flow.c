/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets of clients: pings of both ends, silence, back-pressure in both directions. */
#include "socket_test.h"

#define WAITING_BOUND                                                                                        \
	(512 * 1024) /* what may wait of a session that does not read: 256 KiB and some reads                \
		      */

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
	c.keeper.ping_ms = c.keeper.idle_timeout_ms = 10 * PATIENCE_MS; /* no timer helps */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pings_of_client),
		cmocka_unit_test(test_ping_flood),
		cmocka_unit_test(test_our_pings),
		cmocka_unit_test(test_silent_inside_message),
		cmocka_unit_test(test_paused),
		cmocka_unit_test(test_paused_much),
		cmocka_unit_test(test_paused_is_no_silence),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_client_takes_nothing),
	};

	return cmocka_run_group_tests(tests, socket_setup, NULL);
}
