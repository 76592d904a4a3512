/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket writers: their bytes, and that the reader of the other side reads what they wrote. */
#include "ph_test.h"

#include "ws_log.h"

#include <stdlib.h>

#define SIZE_TOP 70000

static void a_server_writes_plainly(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1024);
	ph_ws_put_text(&b, PH_WS_SERVER, PH_STR("Hello"));
	ph_ws_put_text(&b, PH_WS_SERVER, PH_STR_NONE);
	ph_ws_put_ping(&b, PH_WS_SERVER, PH_STR("a"));
	ph_ws_put_pong(&b, PH_WS_SERVER, PH_STR_NONE);
	ph_ws_put_close(&b, PH_WS_SERVER, PH_WS_RESTART, PH_STR("drain"));
	ph_assert_str(ph_buf_str(&b), PH_STR("\x81\x05Hello\x81\x00\x89\x01"
					     "a\x8a\x00\x88\x07\x03\xf4"
					     "drain"));
	ph_buf_reset(&b);
	ph_ws_put_close(&b, PH_WS_SERVER, PH_WS_NO_CODE, PH_STR("no code, no reason"));
	ph_assert_str(ph_buf_str(&b), PH_STR("\x88\x00"));
	ph_buf_deinit(&b);
}

static void a_client_masks_with_fresh_keys(void **state)
{
	const struct ph_str text = PH_STR("Hello");
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 1024);
	for (int i = 0; i < 2; i++)
		ph_ws_put_text(&b, PH_WS_CLIENT, text);
	assert_int_equal(b.n, 2 * (2 + 4 + text.n));
	for (size_t at = 0; at < b.n; at += 2 + 4 + text.n) {
		assert_memory_equal(b.p + at, "\x81\x85", 2);
		for (size_t i = 0; i < text.n; i++)
			assert_int_equal(b.p[at + 6 + i] ^ b.p[at + 2 + i % 4], text.p[i]);
	}
	assert_memory_not_equal(b.p + 2, b.p + 2 + 6 + text.n, 4); /* once in four thousand million runs */
	ph_buf_deinit(&b);
}

static void lengths(void **state)
{
	static const struct {
		size_t n;
		struct ph_str head;
	} table[] = {
		{125, PH_STR_INIT("\x81\x7d")},
		{126, PH_STR_INIT("\x81\x7e\x00\x7e")},
		{65535, PH_STR_INIT("\x81\x7e\xff\xff")},
		{65536, PH_STR_INIT("\x81\x7f\0\0\0\0\0\x01\0\0")},
	};
	char *text = calloc(1, SIZE_TOP);

	(void)state;
	for (size_t i = 0; i < PH_COUNT(table); i++) {
		struct ph_buf b;

		ph_buf_init(&b, SIZE_TOP);
		ph_ws_put_text(&b, PH_WS_SERVER, ph_str(text, table[i].n));
		assert_int_equal(b.n, table[i].head.n + table[i].n);
		assert_memory_equal(b.p, table[i].head.p, table[i].head.n);
		ph_buf_reset(&b);
		ph_ws_put_text_head(&b, table[i].n);
		ph_assert_str(ph_buf_str(&b), table[i].head);
		ph_buf_deinit(&b);
	}
	free(text);
}

static void control_frames_are_cut(void **state)
{
	char longer[PH_WS_CONTROL_MAX + 1];
	struct ph_buf b;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	ph_buf_init(&b, 1024);
	ph_ws_put_ping(&b, PH_WS_SERVER, ph_str(longer, sizeof(longer)));
	assert_int_equal(b.n, 2 + PH_WS_CONTROL_MAX);
	ph_buf_reset(&b);
	ph_ws_put_pong(&b, PH_WS_SERVER, ph_str(longer, sizeof(longer)));
	assert_int_equal(b.n, 2 + PH_WS_CONTROL_MAX);
	ph_buf_reset(&b);
	ph_ws_put_close(&b, PH_WS_SERVER, PH_WS_NORMAL, ph_str(longer, sizeof(longer)));
	assert_int_equal(b.n, 2 + PH_WS_CONTROL_MAX);
	/* a character of four bytes that begins with the last, the last but one, ... that has room */
	for (size_t inside = 0; inside <= 4; inside++) {
		size_t before = PH_WS_CONTROL_MAX - 2 - inside;

		memset(longer, 'x', sizeof(longer));
		memcpy(longer + before, "\xf0\x9f\x90\x8e",
			sizeof(longer) - before < 4 ? sizeof(longer) - before : 4);
		ph_buf_reset(&b);
		ph_ws_put_close(&b, PH_WS_SERVER, PH_WS_NORMAL, ph_str(longer, before + 4));
		assert_int_equal(b.n, 2 + 2 + before + (inside == 4 ? 4 : 0));
	}
	ph_buf_deinit(&b);
}

static void a_full_buffer_fails(void **state)
{
	struct ph_buf b;

	(void)state;
	for (size_t max = 0; max < 11; max++) {
		ph_buf_init(&b, max);
		ph_ws_put_text(&b, PH_WS_CLIENT, PH_STR("Hello"));
		assert_true(b.failed);
		assert_int_equal(b.n, 0);
		ph_buf_deinit(&b);
	}
	ph_buf_init(&b, 11);
	ph_ws_put_text(&b, PH_WS_CLIENT, PH_STR("Hello"));
	assert_false(b.failed);
	ph_buf_deinit(&b);
}

/* Reads in pieces of random sizes. */
static void check_read(enum ph_ws_side reader, struct ph_str wire, struct ph_str expected, uint64_t *seed)
{
	struct ws_how how = {.side = reader, .max = SIZE_TOP, .pause = ph_test_below(seed, 2) == 1};
	size_t limit = 1 + ph_test_below(seed, 3000), count = 0;
	struct ph_str *pieces = calloc(wire.n, sizeof(*pieces));
	struct ph_buf log;

	while (wire.n > 0) {
		size_t n = 1 + ph_test_below(seed, limit);

		pieces[count++] = ph_str(wire.p, n < wire.n ? n : wire.n);
		wire = ph_str_from(wire, n);
	}
	ph_buf_init(&log, 1 << 20);
	ws_run(pieces, count, &log, &how);
	ph_assert_str(ph_buf_str(&log), expected);
	ph_buf_deinit(&log);
	free(pieces);
}

static void round_trips(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 124, 125, 126, 127, 4082, 4095,
		4096, 4097, 65535, 65536, SIZE_TOP};
	char *text = malloc(SIZE_TOP);
	uint64_t seed = 1;

	(void)state;
	for (size_t i = 0; i < SIZE_TOP; i++)
		text[i] = (char)(' ' + i % 95);
	for (size_t i = 0; i < 2 * PH_COUNT(sizes); i++) {
		enum ph_ws_side writer = i % 2 ? PH_WS_CLIENT : PH_WS_SERVER;
		struct ph_str s = ph_str(text, sizes[i / 2]), payload = s.n > 125 ? ph_str(s.p, 125) : s;
		struct ph_buf wire, log;

		ph_buf_init(&wire, 1 << 20);
		ph_buf_init(&log, 1 << 20);
		ph_ws_put_text(&wire, writer, s);
		ph_ws_put_ping(&wire, writer, s);
		ph_ws_put_pong(&wire, writer, s);
		ph_ws_put_text(&wire, writer, s);
		ph_ws_put_close(&wire, writer, PH_WS_OVERLOAD, PH_STR("later"));
		ph_buf_printf(&log,
			"text [%.*s]\nping [%.*s]\npong [%.*s]\ntext [%.*s]\n1013 close [later]\nidle\n",
			PH_STR_ARG(s), PH_STR_ARG(payload), PH_STR_ARG(payload), PH_STR_ARG(s));
		for (int k = 0; k < 20; k++)
			check_read(i % 2 ? PH_WS_SERVER : PH_WS_CLIENT, ph_buf_str(&wire), ph_buf_str(&log),
				&seed);
		ph_buf_deinit(&wire);
		ph_buf_deinit(&log);
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_server_writes_plainly),
		cmocka_unit_test(a_client_masks_with_fresh_keys),
		cmocka_unit_test(lengths),
		cmocka_unit_test(control_frames_are_cut),
		cmocka_unit_test(a_full_buffer_fails),
		cmocka_unit_test(round_trips),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
