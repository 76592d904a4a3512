/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives ph_http over pieces of input and writes what it says as text, one line per event, so that two runs
 * can be compared. Used by the unit tests and by the fuzzer. Pieces of one body are joined: where they were
 * cut is no event.
 */
#ifndef HTTP1_LOG_H
#define HTTP1_LOG_H

#include "posthouse/http1.h"

/* How to run; `arg` of ph_test_cuts(). */
struct http1_how {
	enum ph_http_side side;
	bool no_body; /* the first answer is one to HEAD */
	bool pause;   /* pause in every on_head and on_body */
	bool no_eof;  /* do not end the stream behind the input */
	bool headers; /* log the fields as well */
	bool drop;    /* the head, once it is logged */
};

struct http1_run {
	const struct http1_how *how;
	struct ph_http *h;
	struct ph_buf *log;
	bool body_open; /* the line "body ..." is not ended yet */
	bool paused, done, upgraded;
};

static inline void http1_line(struct http1_run *t)
{
	if (t->body_open)
		ph_buf_putc(t->log, '\n');
	t->body_open = false;
}

static inline void http1_on_head(void *owner, const struct ph_head *h)
{
	struct http1_run *t = owner;

	if (t->how->side == PH_HTTP_REQUESTS)
		ph_buf_printf(t->log, "%.*s %.*s", PH_STR_ARG(h->method), PH_STR_ARG(h->target));
	else
		ph_buf_printf(t->log, "%d", h->status);
	ph_buf_printf(t->log, " 1.%d length=%lld%s%s%s%s%s\n", h->minor, (long long)h->length,
		h->chunked ? " chunked" : "", h->has_body ? " body" : "", h->keep_alive ? " keep-alive" : "",
		h->upgrade ? " upgrade" : "", h->expect_continue ? " expect" : "");
	for (size_t i = 0; t->how->headers && i < h->header_count; i++)
		ph_buf_printf(t->log, "  %.*s=[%.*s]\n", PH_STR_ARG(h->headers[i].name),
			PH_STR_ARG(h->headers[i].value));
	t->upgraded = h->upgrade;
	if (t->how->drop)
		ph_http_drop_head(t->h);
	if (t->how->pause) {
		ph_http_pause(t->h);
		t->paused = true;
	}
}

static inline void http1_on_body(void *owner, struct ph_str bytes)
{
	struct http1_run *t = owner;

	if (!t->body_open)
		ph_buf_puts(t->log, PH_STR("body "));
	t->body_open = true;
	ph_buf_puts(t->log, bytes);
	if (t->how->pause) {
		ph_http_pause(t->h);
		t->paused = true;
	}
}

static inline void http1_on_done(void *owner)
{
	struct http1_run *t = owner;

	http1_line(t);
	ph_buf_puts(t->log, PH_STR("done\n"));
	t->done = true;
}

/* Feeds one piece, message after message. False: an error ended it. */
static inline bool http1_drive(struct http1_run *t, struct ph_str s)
{
	do {
		long n;

		if (t->done && t->upgraded) { /* no HTTP any more */
			t->body_open = true;
			ph_buf_puts(t->log, s);
			return true;
		}
		if (t->done)
			ph_http_next(t->h);
		t->done = t->paused = false;
		n = ph_http_feed(t->h, s);
		if (n < 0) {
			http1_line(t);
			ph_buf_printf(t->log, "%s\n", ph_err_info((int)n)->name);
			return false;
		}
		s = ph_str_from(s, (size_t)n);
		if (s.n > 0 && !t->done && !t->paused)
			ph_buf_puts(t->log, PH_STR("stopped without a reason\n"));
	} while (s.n > 0 || t->paused);
	return true;
}

static inline void http1_run(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg)
{
	static const struct ph_http_events events = {http1_on_head, http1_on_body, http1_on_done};
	struct http1_run t = {.how = arg, .log = log};
	bool ok = true;

	t.h = ph_http_new(t.how->side, &events, &t);
	if (t.how->no_body)
		ph_http_no_body(t.h);
	for (size_t i = 0; ok && i < count; i++)
		ok = http1_drive(&t, pieces[i]);
	if (ok && !t.how->no_eof && !(t.done && t.upgraded)) {
		int r = ph_http_finish(t.h);

		http1_line(&t);
		ph_buf_puts(log, r < 0 ? PH_STR("cut\n") : PH_STR("end\n"));
	}
	http1_line(&t);
	t.h = ph_http_free(t.h);
}

#endif
