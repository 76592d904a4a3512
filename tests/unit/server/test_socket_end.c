/* SPDX-License-Identifier: Apache-2.0 */
/* How WebSockets of clients end: by either side, inside of callbacks, without a word, in a drain. */
#include "socket_test.h"

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
	assert_int_equal(c.keeper.sockets, 1); /* a drain waits for it */
	peer_text(&p, "unheard");
	UNTIL(&c, p.closed);
	UNTIL(&c, s->gone == 1);
	assert_log(&p.log, "t:before close:1012:the node ends end ");
	assert_int_equal(s->texts, 0);
	peer_free(&p);
	scene_close(&c);
}

/* The client's close frame came already, behind messages that the session did not read. */
static void test_both_close(void **state)
{
	uint64_t began = ph_clock_ms();
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	session_read(s, false);
	peer_text(&p, "one");
	peer_text(&p, "two");
	peer_close(&p, 1000, NULL);
	p.mute = true;
	turn_for(c.loop, 50);
	assert_int_equal(s->gone, 0);
	session_close(s, 4000, NULL);
	UNTIL(&c, s->gone);
	assert_true(ph_clock_ms() - began < 4000);
	UNTIL(&c, p.closed);
	assert_log(&p.log, "close:4000: end ");
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

/* ---- drain ---- */

static void test_drain(void **state)
{
	struct session *session;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	session = peer_open(&p, &c);
	ph_keeper_drain(&c.keeper);
	ph_keeper_drain(&c.keeper);
	UNTIL(&c, session->draining == 1);
	ph_keeper_close_idle(&c.keeper);
	peer_text(&p, "goes on");
	UNTIL(&c, session->texts == 1);
	assert_int_equal(session->draining, 1);
	assert_int_equal(c.keeper.sockets, 1);
	session_close(session, PH_WS_RESTART, NULL);
	UNTIL(&c, c.keeper.sockets == 0);
	UNTIL(&c, p.closed);
	assert_log(&p.log, "close:1012: end ");
	peer_free(&p);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_client_closes),
		cmocka_unit_test(test_client_closes_and_stays),
		cmocka_unit_test(test_session_closes),
		cmocka_unit_test(test_both_close),
		cmocka_unit_test(test_close_unanswered),
		cmocka_unit_test(test_close_behind_much),
		cmocka_unit_test(test_gone_without_close),
		cmocka_unit_test(test_gone_inside_message),
		cmocka_unit_test(test_keeper_cuts),
		cmocka_unit_test(test_deeds),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_of_closing),
	};

	return cmocka_run_group_tests(tests, socket_setup, NULL);
}
