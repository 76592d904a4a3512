/* SPDX-License-Identifier: Apache-2.0 */
/* Drives ph_sse over pieces of input and writes its events as text. Used by the unit tests and by the fuzzer.
 */
#ifndef SSE_LOG_H
#define SSE_LOG_H

#include "posthouse/sse.h"

struct sse_run {
	struct ph_buf *log;
	struct ph_buf raw; /* all units' bytes, joined: the stream */
	bool offsets;      /* every data_offset was right */
};

static inline void sse_on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct sse_run *t = owner;

	ph_buf_puts(&t->raw, u->raw);
	if (u->data_offset != SIZE_MAX)
		t->offsets = t->offsets && u->has_data && u->data_offset + u->data.n <= u->raw.n &&
			     u->data.p == u->raw.p + u->data_offset;
	if (!u->has_data) /* where blank lines are cut from the units around them is no event */
		return;
	ph_buf_puts(t->log, PH_STR("["));
	ph_buf_puts(t->log, u->event);
	ph_buf_puts(t->log, PH_STR("] ["));
	ph_buf_puts(t->log, u->data);
	ph_buf_puts(t->log, PH_STR("]\n"));
}

/* arg: size_t *, the maximum of one unit. */
static inline void sse_run(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg)
{
	struct sse_run t = {.log = log, .offsets = true};
	struct ph_sse *s = ph_sse_new(*(size_t *)arg, sse_on_unit, &t);
	size_t total = 0;
	int r = 0;

	ph_buf_init(&t.raw, 64 << 20);
	for (size_t i = 0; r == 0 && i < count; i++) {
		total += pieces[i].n;
		r = ph_sse_feed(s, pieces[i]);
	}
	ph_sse_finish(s);
	if (r < 0) {
		ph_buf_puts(log, PH_STR("too large\n"));
	} else { /* not a byte is lost, doubled or changed */
		bool same = t.raw.n == total;

		for (size_t i = 0, at = 0; same && i < count; at += pieces[i++].n)
			same = pieces[i].n == 0 || memcmp(t.raw.p + at, pieces[i].p, pieces[i].n) == 0;
		if (!same)
			ph_buf_puts(log, PH_STR("the bytes are not those of the stream\n"));
	}
	if (!t.offsets)
		ph_buf_puts(log, PH_STR("a data_offset is wrong\n"));
	s = ph_sse_free(s);
	ph_buf_deinit(&t.raw);
}

#endif
