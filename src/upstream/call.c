/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer on a borrowed connection. The call owns its head and body until the stream has
 * let go of them; it hands the parser's events on, and decides whether the connection may carry another call.
 */
#include <stdlib.h>

#include "upstream_priv.h"

#define ABANDONED_MS 1000
#define COPY_MAX     (16 * 1024) /* bodies up to this size travel with the head in one piece */

/* A body that the stream borrows; it may outlive the call. */
struct body {
	struct ph_buf buf;
	struct ph_call *call; /* who wants to know when it was written; NULL once the call is over */
};

struct ph_call {
	struct ph_upstream *up;
	struct ph_upconn *conn;
	const struct ph_call_events *events;
	void *owner;
	struct ph_buf head;
	struct body *body;            /* a large one, until it was written */
	struct ph_timer abandoned;    /* runs once nobody listens any more */
	struct ph_defer started;      /* tells the owner about a pooled connection, which is ready at once */
	struct ph_call_upload upload; /* on_drain set: the owner sends the body */
	bool large;  /* the body is borrowed by the stream, which tells when it was written */
	bool unsent; /* more of the body is to come from the owner */
	bool body_pushed;
	bool no_answer_body;
	bool answered; /* a byte of the answer came */
	bool keep;     /* the connection may be used again once the answer is complete */
	bool done;     /* the answer is complete */
	bool busy; /* a callback of ours or the parser is on the stack: the call must not be freed under it */
	bool over; /* ended or cancelled meanwhile */
	struct ph_str piece; /* of the answer's body, in the read that is being parsed */
	uint64_t progress_ms;
};

static void body_free(void *arg)
{
	struct body *b = arg;

	ph_buf_deinit(&b->buf);
	free(b);
}

static void call_free(struct ph_call *c)
{
	if (c->body && c->body_pushed)
		c->body->call = NULL;
	else if (c->body)
		body_free(c->body);
	ph_buf_deinit(&c->head);
	free(c);
}

/* Drops the call now, or as soon as whoever is on the stack has returned. */
static void retire(struct ph_call *c)
{
	c->over = true;
	ph_defer_cancel(&c->started);
	ph_timer_stop(&c->abandoned);
	if (!c->busy)
		call_free(c);
}

/* Runs a callback that may end or cancel the call. False: it did, and the call is gone. */
static bool tell(struct ph_call *c, void (*fn)(void *owner))
{
	c->busy = true;
	fn(c->owner);
	c->busy = false;
	if (!c->over)
		return true;
	call_free(c);
	return false;
}

static void end(struct ph_call *c, int status, const struct ph_err *err)
{
	const struct ph_call_events *events = c->events;
	void *owner = c->owner;

	if (c->conn) {
		struct ph_upconn *conn = c->conn;

		c->conn = NULL;
		if (status == 0 && c->keep && !c->unsent)
			ph_pool_put(conn);
		else
			ph_upconn_close(conn);
	}
	retire(c);
	events->on_end(owner, status, err);
}

/* ---- sending ---- */

/* False: the owner ended the call. */
static bool start(struct ph_call *c)
{
	/* The kernel takes small requests at once. */
	return tell(c, c->events->on_connected) &&
	       (c->large || c->upload.on_drain || tell(c, c->events->on_sent));
}

static void on_started(void *arg)
{
	(void)!start(arg);
}

/* What comes in the same turn of the loop must not overtake the news that the call began. */
static bool start_first(struct ph_call *c)
{
	if (ph_list_empty(&c->started.node))
		return true;
	ph_defer_cancel(&c->started);
	return start(c);
}

static void on_body_written(void *arg)
{
	struct body *b = arg;
	struct ph_call *c = b->call;

	body_free(b);
	if (!c)
		return;
	c->body = NULL;
	if (start_first(c))
		tell(c, c->events->on_sent);
}

static void send_request(struct ph_call *c)
{
	struct ph_stream *s = c->conn->stream;

	if (c->no_answer_body)
		ph_http_no_body(c->conn->http);
	ph_stream_push(s, ph_buf_str(&c->head));
	if (c->body) {
		c->body_pushed = true;
		ph_stream_push_ref(s, ph_buf_str(&c->body->buf), on_body_written, c->body);
	}
	ph_buf_deinit(&c->head);
	c->progress_ms = ph_loop_now_ms(c->up->loop);
}

void ph_call_on_ready(struct ph_call *c)
{
	send_request(c);
	(void)!start(c);
}

void ph_call_on_unready(struct ph_call *c, const struct ph_err *err)
{
	struct ph_err why = *err;

	c->conn = NULL;
	why.code = PH_E_UPSTREAM_CONNECT;
	end(c, -PH_E_UPSTREAM_CONNECT, &why);
}

void ph_call_put_start(
	struct ph_buf *head, struct ph_str method, const struct ph_url *base, struct ph_str path)
{
	struct ph_buf target;

	ph_buf_init(&target, PH_REQUEST_HEAD_MAX);
	ph_buf_puts(&target, ph_str_c(base->path));
	ph_buf_puts(&target, path);
	ph_http_put_request(head, method, ph_buf_str(&target));
	ph_buf_deinit(&target);
	ph_http_put_header(head, PH_STR("host"), ph_str_c(base->origin));
}

static void write_head(struct ph_call *c, const struct ph_call_request *r)
{
	ph_call_put_start(&c->head, r->method, r->base, r->path);
	if (r->head)
		ph_buf_puts(&c->head, ph_buf_str(r->head));
	if (r->body)
		ph_http_put_length(&c->head, r->body->n);
	else if (c->upload.on_drain && c->upload.length >= 0)
		ph_http_put_length(&c->head, (uint64_t)c->upload.length);
	else if (c->upload.on_drain)
		ph_http_put_header(&c->head, PH_STR("transfer-encoding"), PH_STR("chunked"));
	ph_http_put_end(&c->head);
}

static void take_body(struct ph_call *c, struct ph_buf *from)
{
	if (from->n <= COPY_MAX) {
		ph_buf_puts(&c->head, ph_buf_str(from));
		ph_buf_deinit(from);
		return;
	}
	c->large = true;
	c->body = ph_alloc(sizeof *c->body);
	c->body->call = c;
	c->body->buf = *from;
	ph_buf_init(from, from->max);
}

static void on_abandoned_too_long(void *arg)
{
	ph_call_cancel(arg);
}

static void ignore(void *owner)
{
	(void)owner;
}

static void ignore_head(void *owner, const struct ph_head *head)
{
	(void)owner;
	(void)head;
}

static void ignore_body(void *owner, struct ph_str bytes)
{
	(void)owner;
	(void)bytes;
}

static void ignore_end(void *owner, int status, const struct ph_err *err)
{
	(void)owner;
	(void)status;
	(void)err;
}

void ph_call_abandon(struct ph_call *c)
{
	static const struct ph_call_events nobody = {ignore, ignore, ignore_head, ignore_body, ignore_end};

	if (c->over)
		return;
	c->events = &nobody;
	c->owner = NULL;
	ph_call_read(c, true);
	ph_timer_start(&c->abandoned, ABANDONED_MS);
}

static struct ph_call *call_new(struct ph_upstream *u, const struct ph_call_request *r,
	const struct ph_call_events *events, void *owner)
{
	struct ph_call *c = ph_alloc(sizeof *c);

	c->up = u;
	c->events = events;
	c->owner = owner;
	c->progress_ms = ph_loop_now_ms(u->loop);
	c->no_answer_body = ph_str_eq(r->method, PH_STR("HEAD"));
	ph_defer_init(&c->started, on_started, c);
	ph_timer_init(&c->abandoned, u->loop, on_abandoned_too_long, c);
	ph_buf_init(&c->head, PH_REQUEST_HEAD_MAX + COPY_MAX);
	return c;
}

struct ph_call *ph_call_start(struct ph_upstream *u, const struct ph_call_request *r,
	const struct ph_call_events *events, void *owner)
{
	struct ph_call *c = call_new(u, r, events, owner);

	write_head(c, r);
	if (r->body)
		take_body(c, r->body);
	c->conn = ph_pool_get(u, r->base, r->fresh, c);
	if (c->conn->ready) {
		send_request(c);
		ph_stream_read(c->conn->stream, true);
		ph_defer_call(u->loop, &c->started);
	}
	if (!events)
		ph_call_abandon(c);
	return c;
}

struct ph_call *ph_call_upload(struct ph_upstream *u, const struct ph_call_request *r,
	const struct ph_call_upload *upload, const struct ph_call_events *events, void *owner)
{
	struct ph_call *c = call_new(u, r, events, owner);

	c->upload = *upload;
	c->unsent = true;
	write_head(c, r);
	c->conn = ph_pool_get(u, r->base, true, c);
	return c;
}

long ph_call_push(struct ph_call *c, struct ph_str bytes)
{
	struct ph_stream *s = c->conn->stream;
	struct ph_buf size;

	if (bytes.n == 0 || c->upload.length >= 0)
		return ph_stream_push(s, bytes);
	ph_buf_init(&size, 64);
	ph_http_put_chunk_head(&size, bytes.n);
	ph_stream_push(s, ph_buf_str(&size));
	ph_buf_deinit(&size);
	ph_stream_push(s, bytes);
	return ph_stream_push(s, PH_STR("\r\n"));
}

void ph_call_push_end(struct ph_call *c)
{
	if (c->upload.length < 0)
		ph_stream_push(c->conn->stream, PH_HTTP_LAST_CHUNK);
	c->unsent = false;
}

void ph_call_on_drain(struct ph_call *c)
{
	if (c->upload.on_drain)
		tell(c, c->upload.on_drain);
}

void ph_call_read(struct ph_call *c, bool on)
{
	if (c->conn && c->conn->ready)
		ph_stream_read(c->conn->stream, on);
}

uint64_t ph_call_progress_ms(const struct ph_call *c)
{
	uint64_t written = c->conn && c->conn->ready ? ph_stream_progress_ms(c->conn->stream) : 0;

	return written > c->progress_ms ? written : c->progress_ms;
}

void ph_call_cancel(struct ph_call *c)
{
	if (c->over)
		return;
	if (c->conn) {
		struct ph_upconn *conn = c->conn;

		c->conn = NULL;
		ph_upconn_close(conn);
	}
	retire(c);
}

/* ---- the answer ---- */

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_call *c = ((struct ph_upconn *)owner)->call;

	if (c && !c->over)
		c->events->on_head(c->owner, head);
	if (c && !c->over) {
		c->keep = head->keep_alive && !head->upgrade;
		ph_http_drop_head(c->conn->http);
	}
}

/* An upstream may frame each event as a chunk: what came in one read is told in one piece. */
static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_call *c = ((struct ph_upconn *)owner)->call;
	struct ph_buf *joined;

	if (!c || c->over)
		return;
	if (!c->piece.p) {
		c->piece = bytes;
		return;
	}
	joined = &c->up->joined;
	if (c->piece.p != joined->p) {
		ph_buf_reset(joined);
		ph_buf_puts(joined, c->piece);
	}
	ph_buf_puts(joined, bytes);
	c->piece = ph_buf_str(joined);
}

static void tell_body(struct ph_call *c)
{
	struct ph_str piece = c->piece;

	c->piece = PH_STR_NONE;
	if (piece.p && !c->over)
		c->events->on_body(c->owner, piece);
}

static void on_done(void *owner)
{
	struct ph_call *c = ((struct ph_upconn *)owner)->call;

	if (c)
		c->done = true;
}

const struct ph_http_events ph_call_http_events = {on_head, on_body, on_done};

static int dropped(const struct ph_call *c)
{
	return c->conn->reused && !c->answered ? PH_E_UPSTREAM_STALE : PH_E_UPSTREAM_DROPPED;
}

void ph_call_on_data(struct ph_call *c, struct ph_str bytes)
{
	struct ph_err err = {0};
	struct ph_http *http;
	long used;

	if (!start_first(c))
		return;
	http = c->conn->http;
	c->answered = true;
	c->progress_ms = ph_loop_now_ms(c->up->loop);
	c->busy = true;
	used = ph_http_feed(http, bytes);
	tell_body(c);
	c->busy = false;
	if (c->over) {
		call_free(c);
		return;
	}
	if (used < 0) {
		int rc = ph_fail(&err, PH_E_UPSTREAM_BAD, "the upstream's answer is not valid HTTP/1.1");

		end(c, rc, &err);
		return;
	}
	if (!c->done)
		return;
	/* With bytes behind the answer this connection carries nothing more. */
	if ((size_t)used < bytes.n)
		c->keep = false;
	end(c, 0, NULL);
}

void ph_call_on_eof(struct ph_call *c, int status)
{
	struct ph_err err = {0};
	int rc;

	if (!start_first(c))
		return;
	/* TLS that ends without saying so may have been cut: no proof of a body that only ends so. */
	if (ph_stream_truncated(c->conn->stream))
		status = -PH_E_CLOSED;
	c->busy = true;
	rc = status == 0 ? ph_http_finish(c->conn->http) : -PH_E_CLOSED;
	c->busy = false;
	if (c->over) {
		call_free(c);
		return;
	}
	c->keep = false;
	if (rc == 0 && c->done) {
		end(c, 0, NULL);
		return;
	}
	rc = ph_fail(&err, dropped(c), "the upstream %s the connection", status ? "reset" : "closed");
	end(c, rc, &err);
}
