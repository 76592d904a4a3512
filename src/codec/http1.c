/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One direction of an HTTP/1.1 connection: bytes in, events out. It owns the current head, and nothing of a
 * body.
 *
 * A head is gathered whole under the guard's eyes (http1_guard.c), read by us (http1_head.c), and then read
 * by llhttp, which must find the same framing; from there llhttp leads through the body, and the guard checks
 * what of it is not payload. llhttp stops at each message's end, so that verdict is given before a byte of
 * the next message is looked at.
 *
 *     AT_HEAD --head whole--> AT_BODY --message whole--> AT_END --ph_http_next()--> AT_HEAD
 *        |                       |
 *        +-----------------------+--> BROKEN: every further call says the same error
 *
 * AT_BODY is also where a message without a body waits for on_done while the owner has paused in on_head.
 */
#include "codec_priv.h"

#include <llhttp.h>
#include <stdlib.h>

#define INTERIM_MAX 8 /* 1xx answers before the one that counts */

enum state {
	AT_HEAD,
	AT_BODY,
	AT_END,
	BROKEN,
};

struct ph_http {
	const struct ph_http_events *events;
	void *owner;
	enum ph_http_side side;
	enum state state;
	int error;          /* BROKEN: what was said */
	int interim;        /* 1xx answers skipped so far */
	bool blank_skipped; /* the one empty line before a request */
	bool no_body;
	bool paused;
	bool complete; /* llhttp has seen the message's end */
	struct ph_guard guard;
	struct ph_framing framing;
	struct ph_buf text; /* the head as it came */
	struct ph_header *fields;
	struct ph_head head;
	const char *gap; /* within llhttp_execute(): behind the last payload, where framing begins */
	llhttp_t llhttp;
};

/* ---- llhttp's side ---- */

/* 1: whatever the head says, no body follows. Else llhttp must agree with what we read. */
static int on_headers_complete(llhttp_t *l)
{
	const struct ph_http *h = l->data;
	bool chunked = (l->flags & F_CHUNKED) != 0;
	int64_t length = (l->flags & F_CONTENT_LENGTH) ? (int64_t)l->content_length : -1;

	if (chunked != h->head.chunked || length != h->head.length || l->http_minor != h->head.minor)
		return -1;
	return h->side == PH_HTTP_ANSWERS && !h->head.has_body;
}

static int on_body(llhttp_t *l, const char *at, size_t n)
{
	struct ph_http *h = l->data;

	if (h->head.chunked && !ph_framing_ok(&h->framing, h->gap, (size_t)(at - h->gap)))
		return HPE_USER;
	ph_framing_payload(&h->framing, n);
	h->gap = at + n;
	if (n > 0)
		h->events->on_body(h->owner, ph_str(at, n));
	return h->paused ? HPE_PAUSED : HPE_OK;
}

static int on_message_complete(llhttp_t *l)
{
	struct ph_http *h = l->data;

	h->complete = true;
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* Runs llhttp over bytes. Returns how many it took, or -1 on its error. */
static long execute(struct ph_http *h, struct ph_str bytes)
{
	llhttp_errno_t e;

	h->gap = bytes.p;
	e = llhttp_execute(&h->llhttp, bytes.p, bytes.n);
	if (e == HPE_OK)
		return (long)bytes.n;
	if (e != HPE_PAUSED)
		return -1;
	llhttp_resume(&h->llhttp);
	return llhttp_get_error_pos(&h->llhttp) - bytes.p;
}

/* ---- a message ---- */

static int broken(struct ph_http *h, int code)
{
	h->state = BROKEN;
	h->error = code;
	return code;
}

void ph_http_drop_head(struct ph_http *h)
{
	free(h->fields);
	h->fields = h->head.headers = NULL;
	h->head.header_count = 0;
	h->head.method = h->head.target = PH_STR_NONE;
	ph_buf_deinit(&h->text);
}

static void forget_head(struct ph_http *h)
{
	ph_http_drop_head(h);
	h->head = (struct ph_head){0};
	h->guard = (struct ph_guard){0};
	h->framing = (struct ph_framing){.per_gap = h->side == PH_HTTP_ANSWERS};
	h->complete = false;
	h->state = AT_HEAD;
	llhttp_reset(&h->llhttp);
}

static bool is_interim(const struct ph_http *h)
{
	return h->side == PH_HTTP_ANSWERS && h->head.status < 200 && h->head.status != 101;
}

/* The guard has passed h->text as a whole head: both readers take it. */
static int read_head(struct ph_http *h)
{
	struct ph_str text = ph_buf_str(&h->text);
	int r;

	h->fields = ph_alloc(h->guard.lines * sizeof(*h->fields));
	r = ph_head_parse(&h->head, h->side, h->no_body, text, h->fields);
	if (r < 0)
		return r;
	if (execute(h, text) != (long)text.n || h->complete == h->head.has_body)
		return -PH_E_HEAD_BAD;
	return 0;
}

static int head_complete(struct ph_http *h)
{
	int r;

	if (h->guard.lines == 0) { /* an empty line: some clients send one behind a body */
		if (h->side == PH_HTTP_ANSWERS || h->blank_skipped)
			return -PH_E_HEAD_BAD;
		h->blank_skipped = true;
		forget_head(h);
		return 0;
	}
	r = read_head(h);
	if (r < 0)
		return r;
	if (is_interim(h)) {
		forget_head(h);
		return ++h->interim > INTERIM_MAX ? -PH_E_HEAD_BAD : 0;
	}
	h->state = AT_BODY;
	h->events->on_head(h->owner, &h->head);
	return 0;
}

static int take_head(struct ph_http *h, struct ph_str bytes, size_t *used)
{
	long end = ph_guard_head(&h->guard, bytes.p, bytes.n);
	size_t n = end > 0 ? (size_t)end : bytes.n;

	if (end < 0)
		return (int)end;
	ph_buf_append(&h->text, bytes.p, n); /* the guard has counted: it fits */
	*used += n;
	return end > 0 ? head_complete(h) : 0;
}

static int take_body(struct ph_http *h, struct ph_str bytes, size_t *used)
{
	long n = execute(h, bytes);

	if (n < 0)
		return -PH_E_BODY_BAD;
	if (h->head.chunked && !ph_framing_ok(&h->framing, h->gap, (size_t)(bytes.p + n - h->gap)))
		return -PH_E_BODY_BAD;
	*used += (size_t)n;
	return 0;
}

long ph_http_feed(struct ph_http *h, struct ph_str bytes)
{
	size_t used = 0;
	int r = 0;

	if (h->state == BROKEN)
		return h->error;
	if (bytes.n == 0)
		bytes = PH_STR(""); /* to go on after a pause; llhttp's arithmetic wants an address */
	h->paused = false;
	while (r == 0 && h->state == AT_HEAD && used < bytes.n)
		r = take_head(h, ph_str_from(bytes, used), &used);
	if (r == 0 && h->state == AT_BODY && !h->complete && !h->paused)
		r = take_body(h, ph_str_from(bytes, used), &used);
	if (r < 0)
		return broken(h, r);
	if (h->state == AT_BODY && h->complete && !h->paused) {
		h->state = AT_END;
		h->events->on_done(h->owner); /* last: the owner may call ph_http_next() */
	}
	return (long)used;
}

static bool lasts_until_end(const struct ph_http *h)
{
	return h->head.has_body && !h->head.chunked && h->head.length < 0;
}

int ph_http_finish(struct ph_http *h)
{
	if (h->state == AT_END || ph_http_idle(h))
		return 0;
	if (h->state != AT_BODY || !(h->complete || lasts_until_end(h)))
		return -PH_E_CLOSED;
	h->state = AT_END;
	h->events->on_done(h->owner);
	return 0;
}

void ph_http_pause(struct ph_http *h)
{
	h->paused = true;
}

void ph_http_next(struct ph_http *h)
{
	h->interim = 0;
	h->blank_skipped = false;
	h->no_body = false;
	forget_head(h);
}

void ph_http_no_body(struct ph_http *h)
{
	h->no_body = true;
}

bool ph_http_idle(const struct ph_http *h)
{
	return h->state == AT_HEAD && h->guard.seen == 0 && h->interim == 0;
}

bool ph_http_in_body(const struct ph_http *h)
{
	return h->state == AT_BODY;
}

struct ph_http *ph_http_new(enum ph_http_side side, const struct ph_http_events *events, void *owner)
{
	struct ph_http *h = ph_alloc(sizeof(*h));

	h->side = side;
	h->events = events;
	h->owner = owner;
	ph_buf_init(&h->text, PH_HEAD_MAX);
	llhttp_init(&h->llhttp, side == PH_HTTP_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	h->llhttp.data = h;
	forget_head(h);
	return h;
}

struct ph_http *ph_http_free(struct ph_http *h)
{
	if (h == NULL)
		return NULL;
	free(h->fields);
	ph_buf_deinit(&h->text);
	free(h);
	return NULL;
}
