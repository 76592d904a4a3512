/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives ph_ws over pieces of input and writes what it says as text, one line per event. Used by the unit
 * tests and by the fuzzer. Watches on the way what holds for any input: what is consumed, that a pause is
 * kept, and that no more memory is in use than the bytes that came can account for.
 */
#ifndef WS_LOG_H
#define WS_LOG_H

#include "posthouse/ws.h"

#include <malloc.h>

/* How to run; `arg` of ph_test_cuts(). */
struct ws_how {
	enum ph_ws_side side;
	size_t max;
	bool pause; /* in every callback */
};

struct ws_run {
	const struct ws_how *how;
	struct ph_ws *ws;
	struct ph_buf *log;
	bool paused, closed;
};

/* Bytes of the heap in use; under AddressSanitizer mallinfo2() knows nothing. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static inline size_t ws_heap(void)
{
	struct mallinfo2 m;

	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

static inline void ws_say(struct ws_run *t, const char *what, struct ph_str bytes)
{
	if (t->paused)
		ph_buf_puts(t->log, PH_STR("after a pause: "));
	ph_buf_puts(t->log, ph_str_c(what));
	ph_buf_puts(t->log, PH_STR(" ["));
	ph_buf_puts(t->log, bytes);
	ph_buf_puts(t->log, PH_STR("]\n"));
	if (t->how->pause) {
		ph_ws_pause(t->ws);
		t->paused = true;
	}
}

static inline void ws_on_text(void *owner, struct ph_str message)
{
	ws_say(owner, "text", message);
}

static inline void ws_on_too_large(void *owner)
{
	ws_say(owner, "too large", PH_STR_NONE);
}

static inline void ws_on_ping(void *owner, struct ph_str payload)
{
	ws_say(owner, "ping", payload);
}

static inline void ws_on_pong(void *owner, struct ph_str payload)
{
	ws_say(owner, "pong", payload);
}

static inline void ws_on_close(void *owner, int code, struct ph_str reason)
{
	struct ws_run *t = owner;

	ph_buf_printf(t->log, "%d ", code);
	ws_say(t, "close", reason);
	t->closed = true;
}

static const struct ph_ws_events ws_events = {
	ws_on_text, ws_on_too_large, ws_on_ping, ws_on_pong, ws_on_close};

/* All of one piece, over its pauses. 0 or the close code. */
static inline int ws_feed(struct ws_run *t, struct ph_str piece)
{
	do {
		long n;

		t->paused = false;
		n = ph_ws_feed(t->ws, piece);
		if (n < 0)
			return (int)-n;
		if ((size_t)n > piece.n || ((size_t)n < piece.n && !t->paused && !t->closed))
			ph_buf_puts(t->log, PH_STR("not all was consumed\n"));
		piece = ph_str_from(piece, (size_t)n);
	} while (t->paused && !t->closed);
	return 0;
}

/* arg: struct ws_how *. */
static inline void ws_run(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg)
{
	struct ws_run t = {.how = arg, .log = log};
	size_t before, fed = 0;
	int fault = 0;

	t.ws = ph_ws_new(t.how->side, t.how->max, &ws_events, &t);
	before = ws_heap() - log->cap;
	for (size_t i = 0; i < count && fault == 0; i++) {
		fault = ws_feed(&t, pieces[i]);
		fed += pieces[i].n;
		if (ws_heap() - log->cap > before + 2 * fed + 16384) /* wslay's 4 KiB, and what malloc adds */
			ph_buf_puts(log, PH_STR("too much memory\n"));
	}
	if (fault && ph_ws_feed(t.ws, PH_STR("\x81\x01x")) != -fault)
		ph_buf_puts(log, PH_STR("the fault is forgotten\n"));
	if (t.closed && ph_ws_feed(t.ws, PH_STR("\x81\x01x")) != 0)
		ph_buf_puts(log, PH_STR("read behind a close\n"));
	if (fault)
		ph_buf_printf(log, "fault %d\n", fault);
	ph_buf_puts(log, ph_ws_idle(t.ws) ? PH_STR("idle\n") : PH_STR("open\n"));
	t.ws = ph_ws_free(t.ws);
}

#endif
