/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket: the events of a stream do not depend on where it was cut, nor on pauses, and are those that a
 * plain reading of RFC 6455 gives. What is written is read again. The first byte says which side we are and
 * whether the pieces are read with pauses, the second how to cut, the third how long a message may be.
 */
#include "fuzz.h"

#include "../unit/codec/ws_log.h"

struct plain {
	const struct ws_how *how;
	struct ph_buf *log;
	struct ph_str rest;
	struct ph_buf message;
	uint64_t size; /* of the message, with this frame */
	bool in_message, fin;
	uint8_t opcode;
};

/* One character, strictly: the code point is put together, and its bytes must be the shortest. */
static size_t plain_char(struct ph_str s)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t c = (uint8_t)s.p[0];
	size_t n = c < 0x80 ? 1 : c >> 5 == 6 ? 2 : c >> 4 == 14 ? 3 : c >> 3 == 30 ? 4 : 0;
	uint32_t v = n == 1 ? c : c & (0x7fU >> n);

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (((uint8_t)s.p[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | ((uint8_t)s.p[i] & 0x3f);
	}
	return v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? 0 : n;
}

static bool plain_utf8(struct ph_str s)
{
	while (s.n > 0) {
		size_t n = plain_char(s);

		if (n == 0)
			return false;
		s = ph_str_from(s, n);
	}
	return true;
}

static void plain_say(struct plain *t, const char *what, struct ph_str bytes)
{
	ph_buf_puts(t->log, ph_str_c(what));
	ph_buf_puts(t->log, PH_STR(" ["));
	ph_buf_puts(t->log, bytes);
	ph_buf_puts(t->log, PH_STR("]\n"));
}

enum {
	MORE = -1,
	CLOSED = -2
}; /* other than 0 and the close codes */

static int plain_close(struct plain *t, struct ph_str payload)
{
	int code = PH_WS_NO_CODE;

	if (payload.n == 1)
		return PH_WS_PROTOCOL;
	if (payload.n > 0)
		code = (uint8_t)payload.p[0] * 256 + (uint8_t)payload.p[1];
	if (payload.n > 0 && (code < 1000 || code == 1004 || code == 1005 || code == 1006 ||
				     (code > 1014 && code < 3000) || code > 4999))
		return PH_WS_PROTOCOL;
	if (!plain_utf8(ph_str_from(payload, 2)))
		return PH_WS_BAD_TEXT;
	ph_buf_printf(t->log, "%d ", code);
	plain_say(t, "close", ph_str_from(payload, 2));
	return CLOSED;
}

/* A data frame is whole. */
static int plain_data(struct plain *t, struct ph_str payload)
{
	ph_buf_puts(&t->message, payload);
	t->in_message = !t->fin;
	if (!t->fin)
		return 0;
	if (t->size > t->how->max)
		plain_say(t, "too large", PH_STR_NONE);
	else if (!plain_utf8(ph_buf_str(&t->message)))
		return PH_WS_BAD_TEXT;
	else
		plain_say(t, "text", ph_buf_str(&t->message));
	ph_buf_reset(&t->message);
	t->size = 0;
	return 0;
}

/* What is wrong with a frame whose head, and first byte of payload, are here. */
static int plain_judge(struct plain *t, bool masked, uint64_t n)
{
	bool control = t->opcode >= 8;

	if (masked != (t->how->side == PH_WS_SERVER))
		return PH_WS_PROTOCOL;
	if ((t->opcode > 2 && !control) || t->opcode > 10)
		return PH_WS_PROTOCOL;
	if (control)
		return 0;
	if (t->in_message != (t->opcode == 0))
		return PH_WS_PROTOCOL;
	if (t->opcode == 2)
		return PH_WS_BINARY;
	if (n > 4 * t->how->max - t->size)
		return PH_WS_TOO_LARGE;
	t->size += n;
	return 0;
}

static int plain_frame(struct plain *t)
{
	const uint8_t *p = (const uint8_t *)t->rest.p;
	size_t have = t->rest.n, at = 2, wide;
	static char payload[4 * UINT8_MAX]; /* four times the longest maximum */
	bool masked;
	uint64_t n;
	int fault;

	if (have < 2)
		return MORE;
	t->fin = p[0] >> 7;
	t->opcode = p[0] & 15;
	masked = p[1] >> 7;
	n = p[1] & 127;
	wide = n == 126 ? 2 : n == 127 ? 8 : 0;
	if (t->opcode >= 8 && (n > 125 || !t->fin))
		return PH_WS_PROTOCOL;
	if (have < at + wide)
		return MORE;
	if (wide > 0)
		n = 0;
	for (size_t i = 0; i < wide; i++)
		n = n << 8 | p[at++];
	if ((wide == 2 && n < 126) || (wide == 8 && (n < 65536 || n >> 63)))
		return PH_WS_PROTOCOL;
	at += masked ? 4 : 0;
	if (have < at + (n > 0))
		return MORE;
	fault = (p[0] & 0x70) ? PH_WS_PROTOCOL : plain_judge(t, masked, n);
	if (fault)
		return fault;
	t->in_message = t->in_message || t->opcode < 8;
	if (have - at < n)
		return MORE;
	REQUIRE(n <= sizeof(payload));
	for (size_t i = 0; i < n; i++)
		payload[i] = (char)(p[at + i] ^ (masked ? p[at - 4 + i % 4] : 0));
	t->rest = ph_str_from(t->rest, at + n);
	if (t->opcode < 8)
		return plain_data(t, ph_str(payload, n));
	if (t->opcode == 8)
		return plain_close(t, ph_str(payload, n));
	plain_say(t, t->opcode == 9 ? "ping" : "pong", ph_str(payload, n));
	return 0;
}

static void plain_reading(struct ph_str s, const struct ws_how *how, struct ph_buf *log)
{
	struct plain t = {.how = how, .log = log, .rest = s};
	int end = 0;

	ph_buf_init(&t.message, (size_t)64 << 20);
	while (end == 0)
		end = plain_frame(&t);
	if (end > 0)
		ph_buf_printf(log, "fault %d\n", end);
	ph_buf_puts(log, end == MORE && (t.rest.n > 0 || t.in_message) ? PH_STR("open\n") : PH_STR("idle\n"));
	ph_buf_deinit(&t.message);
}

static void check_plain(struct ph_str s, struct ws_how *how)
{
	struct ph_buf read, plain;

	ph_buf_init(&read, (size_t)64 << 20);
	ph_buf_init(&plain, (size_t)64 << 20);
	ws_run(&s, 1, &read, how);
	plain_reading(s, how, &plain);
	if (!ph_str_eq(ph_buf_str(&read), ph_buf_str(&plain)))
		fprintf(stderr, "read:\n%.*s\nplain:\n%.*s\n", PH_STR_ARG(ph_buf_str(&read)),
			PH_STR_ARG(ph_buf_str(&plain)));
	REQUIRE(ph_str_eq(ph_buf_str(&read), ph_buf_str(&plain)));
	ph_buf_deinit(&read);
	ph_buf_deinit(&plain);
}

static void check_round_trip(struct ph_str s, uint8_t cut, enum ph_ws_side reader)
{
	enum ph_ws_side writer = reader == PH_WS_SERVER ? PH_WS_CLIENT : PH_WS_SERVER;
	struct ws_how how = {.side = reader, .max = s.n};
	struct ph_buf wire, log, expected;

	ph_buf_init(&wire, (size_t)64 << 20);
	ph_buf_init(&log, (size_t)64 << 20);
	ph_buf_init(&expected, (size_t)64 << 20);
	ph_ws_put_ping(&wire, writer, s);
	ph_ws_put_text(&wire, writer, s);
	ws_run(&(struct ph_str){wire.p, wire.n}, 1, &log, &how);
	ph_buf_puts(&expected, PH_STR("ping ["));
	ph_buf_append(&expected, s.p, s.n < PH_WS_CONTROL_MAX ? s.n : PH_WS_CONTROL_MAX);
	ph_buf_puts(&expected, plain_utf8(s) ? PH_STR("]\ntext [") : PH_STR("]\nfault 1007\nidle\n"));
	if (plain_utf8(s)) {
		ph_buf_puts(&expected, s);
		ph_buf_puts(&expected, PH_STR("]\nidle\n"));
	}
	REQUIRE(ph_str_eq(ph_buf_str(&log), ph_buf_str(&expected)));
	fuzz_compare(ph_buf_str(&wire), cut, ws_run, &how, &how);
	ph_buf_deinit(&wire);
	ph_buf_deinit(&log);
	ph_buf_deinit(&expected);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};
	uint8_t mode = fuzz_byte(&s), cut = fuzz_byte(&s), max = fuzz_byte(&s);
	struct ws_how whole = {.side = mode & 1 ? PH_WS_CLIENT : PH_WS_SERVER, .max = max};
	struct ws_how pieces = whole;

	pieces.pause = (mode & 2) != 0;
	fuzz_compare(s, cut, ws_run, &whole, &pieces);
	check_plain(s, &whole);
	check_round_trip(s, cut, whole.side);
	return 0;
}
