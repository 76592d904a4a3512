/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket reader: messages, every fault with its close code, both sides, each vector at every cut, with
 * and without pauses. */
#include "ph_test.h"

#include "ws_log.h"

#include <stdlib.h>

/* First bytes of frames. */
enum {
	FIN = 0x80,
	RSV1 = 0x40,
	RSV2 = 0x20,
	RSV3 = 0x10,
	MORE = 0x00,
	TEXT = 0x01,
	BINARY = 0x02,
	CLOSE = 0x88,
	PING = 0x89,
	PONG = 0x8a,
	END = FIN | MORE,
	ALL = FIN | TEXT,
};

struct frame {
	int first;
	struct ph_str payload; /* without p: no frame */
};

struct vector {
	struct frame frames[6];
	struct ph_str log;
};

/* clang-format off */
#define F(first, payload) {first, PH_STR_INIT(payload)}
#define LOG(text)         PH_STR_INIT(text)
/* clang-format on */

#define MAX 16

static const struct ph_str key = PH_STR_INIT("\x37\xfa\x21\x3d");

/* Not by the codec's own writers: those are tested with the reader. */
static void put_frame(struct ph_buf *b, enum ph_ws_side reader, const struct frame *f)
{
	size_t n = f->payload.n;
	char masked = reader == PH_WS_SERVER ? (char)0x80 : 0;

	ph_buf_putc(b, (char)f->first);
	if (n < 126)
		ph_buf_putc(b, (char)(masked | (char)n));
	else
		ph_buf_append(b, (char[]){(char)(masked | 126), (char)(n >> 8), (char)n}, 3);
	if (masked)
		ph_buf_puts(b, key);
	for (size_t i = 0; i < n; i++)
		ph_buf_putc(b, (char)(f->payload.p[i] ^ (masked ? key.p[i % 4] : 0)));
}

static void check_bytes(struct ph_str bytes, enum ph_ws_side side, size_t max, struct ph_str expected)
{
	for (int pause = 0; pause < 2; pause++) {
		struct ws_how how = {.side = side, .max = max, .pause = pause};
		struct ph_buf log;

		ph_buf_init(&log, 1 << 20);
		ws_run(&bytes, 1, &log, &how);
		ph_assert_str(ph_buf_str(&log), expected);
		ph_buf_deinit(&log);
		ph_test_cuts(bytes, ws_run, &how);
	}
}

static void check(const struct vector *v, size_t max)
{
	for (enum ph_ws_side side = PH_WS_SERVER; side <= PH_WS_CLIENT; side++) {
		struct ph_buf bytes;

		ph_buf_init(&bytes, 1 << 20);
		for (size_t i = 0; i < PH_COUNT(v->frames) && v->frames[i].payload.p; i++)
			put_frame(&bytes, side, &v->frames[i]);
		check_bytes(ph_buf_str(&bytes), side, max, v->log);
		ph_buf_deinit(&bytes);
	}
}

static void messages(void **state)
{
	static const struct vector table[] = {
		{.log = LOG("idle\n")},
		{{F(ALL, "Hello")}, LOG("text [Hello]\nidle\n")},
		{{F(ALL, "a"), F(ALL, "b")}, LOG("text [a]\ntext [b]\nidle\n")},
		{{F(ALL, "")}, LOG("text []\nidle\n")},
		{{F(ALL, "a\0b")}, LOG("text [a\0b]\nidle\n")},
		/* fragments, some of them empty */
		{{F(TEXT, "Hel"), F(END, "lo")}, LOG("text [Hello]\nidle\n")},
		{{F(TEXT, ""), F(MORE, ""), F(END, "")}, LOG("text []\nidle\n")},
		{{F(TEXT, ""), F(MORE, "a"), F(MORE, ""), F(END, "b"), F(ALL, "c")},
			LOG("text [ab]\ntext [c]\nidle\n")},
		{{F(TEXT, "a")}, LOG("open\n")},
		{{F(TEXT, "")}, LOG("open\n")},
		/* control frames, between messages and between fragments */
		{{F(PING, "a"), F(PONG, ""), F(PING, "")}, LOG("ping [a]\npong []\nping []\nidle\n")},
		{{F(PING, "\xff")}, LOG("ping [\xff]\nidle\n")}, /* any bytes */
		{{F(TEXT, "a"), F(PING, "p"), F(MORE, "b"), F(PONG, "q"), F(END, "c")},
			LOG("ping [p]\npong [q]\ntext [abc]\nidle\n")},
		/* the end; nothing is read behind it */
		{{F(CLOSE, "")}, LOG("1005 close []\nidle\n")},
		{{F(CLOSE, "\x03\xe8")}, LOG("1000 close []\nidle\n")},
		{{F(CLOSE, "\x03\xf4gone \xc3\xa4")}, LOG("1012 close [gone \xc3\xa4]\nidle\n")},
		{{F(ALL, "a"), F(CLOSE, "\x03\xe9"), F(ALL, "b"), F(BINARY, "c")},
			LOG("text [a]\n1001 close []\nidle\n")},
		{{F(TEXT, "a"), F(CLOSE, "\x0f\xa0"), F(END, "b")}, LOG("4000 close []\nidle\n")},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++)
		check(&table[i], MAX);
}

static void faults_of_framing(void **state)
{
	static const struct vector table[] = {
		{{F(FIN | BINARY, "a")}, LOG("fault 1003\nidle\n")},
		{{F(BINARY, "a"), F(END, "b")}, LOG("fault 1003\nidle\n")},
		{{F(ALL | RSV1, "a")}, LOG("fault 1002\nidle\n")},
		{{F(ALL | RSV2, "a")}, LOG("fault 1002\nidle\n")},
		{{F(ALL | RSV3, "a")}, LOG("fault 1002\nidle\n")},
		{{F(TEXT, "a"), F(END | RSV1, "b")}, LOG("fault 1002\nidle\n")},
		{{F(PING | RSV1, "")}, LOG("fault 1002\nidle\n")},
		{{F(FIN | 3, "a")}, LOG("fault 1002\nidle\n")},
		{{F(FIN | 7, "")}, LOG("fault 1002\nidle\n")},
		{{F(FIN | 11, "")}, LOG("fault 1002\nidle\n")},
		{{F(FIN | 15, "a")}, LOG("fault 1002\nidle\n")},
		/* a message in a message, or the end of none */
		{{F(TEXT, "a"), F(ALL, "b")}, LOG("fault 1002\nidle\n")},
		{{F(TEXT, "a"), F(TEXT, "b")}, LOG("fault 1002\nidle\n")},
		{{F(TEXT, "a"), F(BINARY, "b")}, LOG("fault 1002\nidle\n")},
		{{F(END, "a")}, LOG("fault 1002\nidle\n")},
		{{F(MORE, "")}, LOG("fault 1002\nidle\n")},
		{{F(ALL, "a"), F(END, "b")}, LOG("text [a]\nfault 1002\nidle\n")},
		/* control frames in fragments, and close frames */
		{{F(PING & ~FIN, "")}, LOG("fault 1002\nidle\n")},
		{{F(CLOSE & ~FIN, "")}, LOG("fault 1002\nidle\n")},
		{{F(CLOSE, "\x03")}, LOG("fault 1002\nidle\n")},
		{{F(CLOSE, "\x03\xed")}, LOG("fault 1002\nidle\n")},
		{{F(CLOSE, "\x03\xe8\xe2\x82")}, LOG("fault 1007\nidle\n")},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++)
		check(&table[i], MAX);
}

/* What no writer of frames would write. */
static void faults_of_heads(void **state)
{
	static const struct {
		enum ph_ws_side side;
		struct ph_str bytes, log;
	} table[] = {
		/* the example of RFC 6455, 5.7, at either side */
		{PH_WS_SERVER, LOG("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
			LOG("text [Hello]\nidle\n")},
		{PH_WS_CLIENT, LOG("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
			LOG("fault 1002\nidle\n")},
		{PH_WS_SERVER, LOG("\x81\x05Hello"), LOG("fault 1002\nidle\n")},
		{PH_WS_SERVER, LOG("\x89\x00"), LOG("fault 1002\nidle\n")},
		{PH_WS_CLIENT, LOG("\x89\x80\x01\x02\x03\x04"), LOG("fault 1002\nidle\n")},
		/* lengths: too long for a control frame, in more bytes than need be, negative */
		{PH_WS_CLIENT, LOG("\x89\x7e\x00\x7e"), LOG("fault 1002\nidle\n")},
		{PH_WS_CLIENT, LOG("\x81\x7e\x00\x7dx"), LOG("fault 1002\nidle\n")},
		{PH_WS_CLIENT, LOG("\x81\x7f\0\0\0\0\0\0\xff\xffx"), LOG("fault 1002\nidle\n")},
		{PH_WS_CLIENT, LOG("\x81\x7f\x80\0\0\0\0\0\0\0x"), LOG("fault 1002\nidle\n")},
		/* a head alone, and a part of one */
		{PH_WS_CLIENT, LOG("\x81"), LOG("open\n")},
		{PH_WS_CLIENT, LOG("\x81\x05"), LOG("open\n")},
		{PH_WS_CLIENT, LOG("\x81\x05Hell"), LOG("open\n")},
		{PH_WS_CLIENT, LOG("\x89\x01"), LOG("open\n")},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++)
		check_bytes(table[i].bytes, table[i].side, MAX, table[i].log);
}

static void close_codes(void **state)
{
	static const int named[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};

	(void)state;
	for (int code = 0; code <= UINT16_MAX; code++) {
		struct ws_how how = {.side = PH_WS_CLIENT, .max = MAX};
		const char bytes[] = {(char)CLOSE, 2, (char)(code >> 8), (char)code};
		struct ph_str input = ph_str(bytes, sizeof(bytes));
		bool allowed = code >= 3000 && code <= 4999;
		struct ph_buf log;

		for (size_t i = 0; i < PH_COUNT(named); i++)
			allowed = allowed || code == named[i];
		ph_buf_init(&log, 1024);
		ws_run(&input, 1, &log, &how);
		assert_int_equal(ph_str_starts(ph_buf_str(&log), PH_STR("fault 1002\n")), !allowed);
		ph_buf_deinit(&log);
	}
}

/* ---- text ---- */

static void check_text(struct ph_str text, bool good)
{
	struct ph_buf log;

	ph_buf_init(&log, 1024);
	if (good)
		ph_buf_printf(&log, "text [%.*s]\nidle\n", PH_STR_ARG(text));
	else
		ph_buf_puts(&log, PH_STR("fault 1007\nidle\n"));
	check(&(struct vector){{{ALL, text}}, ph_buf_str(&log)}, MAX);
	for (size_t i = 0; i <= text.n; i++)
		check(&(struct vector){{{TEXT, ph_str(text.p, i)}, {END, ph_str_from(text, i)}},
			      ph_buf_str(&log)},
			MAX);
	ph_buf_deinit(&log);
}

static void text_is_utf8(void **state)
{
	static const struct ph_str good[] = {LOG("\xc3\xa4"), LOG("a\xe2\x82\xac"), LOG("\xf0\x9f\x90\x8ez")};
	static const struct ph_str bad[] = {LOG("\xff"), LOG("\x80"), LOG("\xc3"), LOG("a\xe2\x82"),
		LOG("\xf0\x9f\x90"), LOG("\xed\xa0\x80"), LOG("\xc0\xaf"), LOG("\xc3\x28")};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(good); i++)
		check_text(good[i], true);
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		check_text(bad[i], false);
}

/* ---- size and memory ---- */

static void sizes(void **state)
{
	static const struct vector table[] = {
		{{F(ALL, "12345678"), F(ALL, "a")}, LOG("text [12345678]\ntext [a]\nidle\n")},
		{{F(TEXT, "1234"), F(END, "5678")}, LOG("text [12345678]\nidle\n")},
		{{F(ALL, "123456789"), F(ALL, "a")}, LOG("too large []\ntext [a]\nidle\n")},
		{{F(TEXT, "1234"), F(PING, "p"), F(MORE, "56789"), F(END, ""), F(ALL, "a")},
			LOG("ping [p]\ntoo large []\ntext [a]\nidle\n")},
		{{F(TEXT, "123456789"), F(MORE, "0"), F(PING, "p"), F(END, "\xff"), F(ALL, "a")},
			LOG("ping [p]\ntoo large []\ntext [a]\nidle\n")},
		{{F(TEXT, "123456789"), F(PING, "p")}, LOG("ping [p]\nopen\n")},
		/* four times the maximum, and more */
		{{F(ALL, "12345678123456781234567812345678"), F(ALL, "a")},
			LOG("too large []\ntext [a]\nidle\n")},
		{{F(ALL, "123456781234567812345678123456789")}, LOG("fault 1009\nidle\n")},
		{{F(TEXT, "1234567812345678"), F(MORE, "1234567812345678"), F(END, "9")},
			LOG("fault 1009\nidle\n")},
		{{F(TEXT, "1234567812345678"), F(MORE, "1234567812345678"), F(END, "")},
			LOG("too large []\nidle\n")},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++)
		check(&table[i], 8);
}

/* ws_run() watches the memory. */
static void a_head_is_only_a_promise(void **state)
{
	static const struct ph_str large = LOG("\x81\x7f\0\0\0\0\x40\0\0\0abc"); /* 1 GiB */
	static const struct ph_str huge = LOG("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"
					      "abc");

	(void)state;
	check_bytes(large, PH_WS_CLIENT, (size_t)1 << 30, PH_STR("open\n"));
	check_bytes(large, PH_WS_CLIENT, (size_t)1 << 28, PH_STR("open\n"));
	check_bytes(large, PH_WS_CLIENT, ((size_t)1 << 28) - 1, PH_STR("fault 1009\nidle\n"));
	check_bytes(huge, PH_WS_CLIENT, SIZE_MAX, PH_STR("open\n"));
	check_bytes(huge, PH_WS_CLIENT, (size_t)1 << 40, PH_STR("fault 1009\nidle\n"));
}

static void quiet(void *owner, struct ph_str bytes)
{
	(void)bytes;
	(*(size_t *)owner)++;
}

static void quiet_too_large(void *owner)
{
	(*(size_t *)owner)++;
}

static void quiet_close(void *owner, int code, struct ph_str reason)
{
	(void)code;
	(void)reason;
	(*(size_t *)owner)++;
}

static const struct ph_ws_events quiet_events = {quiet, quiet_too_large, quiet, quiet, quiet_close};

/* What all readers share is there. */
static void warm_up(void)
{
	size_t events = 0;
	struct ph_ws *w = ph_ws_new(PH_WS_CLIENT, 16, &quiet_events, &events);

	assert_int_equal(ph_ws_feed(w, PH_STR("\x89\x00")), 2);
	assert_int_equal(events, 1);
	ph_ws_free(w);
}

/* glibc counts small blocks that it keeps for the next call as in use. */
static bool is_back_at(size_t heap)
{
	return ws_heap() < heap + 2048;
}

static void feed_all(struct ph_ws *w, struct ph_str bytes)
{
	assert_int_equal(ph_ws_feed(w, bytes), bytes.n);
}

static void idle_costs_nothing(void **state)
{
	size_t events = 0, before;
	char *many = malloc(60000);
	struct ph_ws *w;

	(void)state;
	memset(many, 'x', 60000);
	warm_up();
	w = ph_ws_new(PH_WS_CLIENT, 1 << 20, &quiet_events, &events);
	before = ws_heap();
	assert_true(ph_ws_idle(w));
	feed_all(w, PH_STR("\x81\x7e\xea\x60")); /* 60000 */
	assert_false(ph_ws_idle(w));
	feed_all(w, ph_str(many, 59999));
	assert_false(ph_ws_idle(w));
	assert_true(ws_heap() >= before + 59999);
	feed_all(w, PH_STR("x\x89"));
	assert_int_equal(events, 1);
	assert_false(ph_ws_idle(w));             /* the ping */
	assert_true(ws_heap() < before + 16384); /* the message is gone */
	feed_all(w, PH_STR("\x01p"));
	assert_int_equal(events, 2);
	assert_true(ph_ws_idle(w));
	assert_true(is_back_at(before));
	feed_all(w, PH_STR_NONE);
	assert_true(is_back_at(before));
	w = ph_ws_free(w);
	free(many);
}

static void what_is_discarded_is_not_held(void **state)
{
	size_t events = 0, before;
	char *many = calloc(1, 50000);
	struct ph_ws *w;

	(void)state;
	warm_up();
	w = ph_ws_new(PH_WS_CLIENT, 60000, &quiet_events, &events);
	before = ws_heap();
	feed_all(w, PH_STR("\x01\x7e\xc3\x50")); /* 50000 */
	feed_all(w, ph_str(many, 50000));
	assert_true(ws_heap() >= before + 50000);
	feed_all(w, PH_STR("\x80\x7e\xc3\x50."));
	assert_true(ws_heap() < before + 16384);
	feed_all(w, ph_str(many, 49999));
	assert_true(is_back_at(before));
	assert_int_equal(events, 1);
	w = ph_ws_free(w);
	free(many);
}

static void what_is_over_holds_nothing(void **state)
{
	static const struct {
		struct ph_str bytes;
		long result;
		bool over;
	} table[] = {{LOG("\x82\x01x"), -PH_WS_PROTOCOL, true}, {LOG("\x88\x00"), 2, true},
		{LOG("\x81"), 1, false}};
	size_t events = 0, start = ws_heap();

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++) {
		struct ph_ws *w = ph_ws_new(PH_WS_CLIENT, 1 << 20, &quiet_events, &events);
		size_t before = ws_heap();

		feed_all(w, PH_STR("\x01\x03yes"));
		assert_int_equal(ph_ws_feed(w, table[i].bytes), table[i].result);
		assert_int_equal(ph_ws_idle(w), table[i].over);
		assert_int_equal(is_back_at(before), table[i].over);
		w = ph_ws_free(w); /* also in the middle of a frame */
		assert_null(w);
	}
	assert_null(ph_ws_free(NULL));
	assert_true(is_back_at(start));
}

/* ---- pauses ---- */

struct pauser {
	struct ph_ws *ws;
	size_t events;
};

static void pausing(void *owner, struct ph_str bytes)
{
	struct pauser *p = owner;

	(void)bytes;
	p->events++;
	ph_ws_pause(p->ws);
}

/* wslay may have read ahead, so what is consumed and what has been told are two things. */
static void a_pause_lasts_until_the_next_feed(void **state)
{
	static const struct ph_ws_events events = {.on_text = pausing, .on_ping = pausing};
	struct pauser p = {0};
	struct ph_buf bytes;
	size_t at = 0;
	char big[5000];

	(void)state;
	ph_buf_init(&bytes, 1 << 20);
	memset(big, 'b', sizeof(big));
	put_frame(&bytes, PH_WS_CLIENT, &(struct frame)F(PING, "1"));
	put_frame(&bytes, PH_WS_CLIENT, &(struct frame){ALL, ph_str(big, sizeof(big))});
	put_frame(&bytes, PH_WS_CLIENT, &(struct frame)F(ALL, "3"));
	p.ws = ph_ws_new(PH_WS_CLIENT, 1 << 20, &events, &p);
	for (size_t i = 1; i <= 3; i++) {
		long n = ph_ws_feed(p.ws, ph_str_from(ph_buf_str(&bytes), at));

		assert_in_range(n, 0, bytes.n - at);
		at += (size_t)n;
		assert_int_equal(p.events, i);
		assert_int_equal(ph_ws_idle(p.ws), i == 3);
		if (i == 1)
			assert_true(at < bytes.n); /* it has not all been read */
	}
	assert_int_equal(at, bytes.n);
	p.ws = ph_ws_free(p.ws);
	ph_buf_deinit(&bytes);
}

/* ---- who takes the text over ---- */

struct taker {
	struct ph_ws *ws;
	struct ph_buf texts[3];
	size_t n;
};

static void taking(void *owner, struct ph_str message)
{
	struct taker *t = owner;

	ph_ws_take_text(t->ws, &t->texts[t->n]);
	ph_assert_str(ph_buf_str(&t->texts[t->n]), message);
	t->n++;
}

/* From the reader's own buffer, empty, and gathered. */
static void a_text_may_be_taken(void **state)
{
	static const struct ph_ws_events events = {.on_text = taking};
	static const struct frame frames[] = {F(ALL, "one"), F(ALL, ""), F(TEXT, "th"), F(END, "ree")};
	static const struct ph_str expected[] = {LOG("one"), LOG(""), LOG("three")};
	struct taker t = {.n = 0};
	struct ph_buf bytes;

	(void)state;
	ph_buf_init(&bytes, 1024);
	for (size_t i = 0; i < PH_COUNT(frames); i++)
		put_frame(&bytes, PH_WS_SERVER, &frames[i]);
	t.ws = ph_ws_new(PH_WS_SERVER, MAX, &events, &t);
	feed_all(t.ws, ph_buf_str(&bytes));
	t.ws = ph_ws_free(t.ws);
	assert_int_equal(t.n, PH_COUNT(expected));
	for (size_t i = 0; i < t.n; i++) {
		ph_assert_str(ph_buf_str(&t.texts[i]), expected[i]);
		ph_buf_deinit(&t.texts[i]);
	}
	ph_buf_deinit(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages),
		cmocka_unit_test(faults_of_framing),
		cmocka_unit_test(faults_of_heads),
		cmocka_unit_test(close_codes),
		cmocka_unit_test(text_is_utf8),
		cmocka_unit_test(sizes),
		cmocka_unit_test(a_head_is_only_a_promise),
		cmocka_unit_test(idle_costs_nothing),
		cmocka_unit_test(what_is_discarded_is_not_held),
		cmocka_unit_test(what_is_over_holds_nothing),
		cmocka_unit_test(a_pause_lasts_until_the_next_feed),
		cmocka_unit_test(a_text_may_be_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
