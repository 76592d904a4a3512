/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a WebSocket, in one loop: a server that answers the upgrade as a test tells it to and speaks
 * frames from then on, and an owner that writes down what it is told and does on the way what a test asks of
 * it.
 */
#ifndef PH_UPSTREAM_FAKE_SOCKET_H
#define PH_UPSTREAM_FAKE_SOCKET_H

#include "fake.h"

#include "posthouse/ws.h"

#define AMPLE  ((size_t)256 << 20)

#define SWITCH "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define ACCEPT "Sec-WebSocket-Accept: $\r\n\r\n"
#define GOOD   SWITCH "X-A: b\r\n" ACCEPT

struct server {
	struct ph_loop *loop;
	struct ph_listener *listener;
	struct ph_url url;
	struct ph_stream *s; /* the connection that came last */
	int accepted, open;
	/* what it does with an upgrade */
	const char *answer;   /* '$' stands for the accept that the key asks for */
	struct ph_buf behind; /* goes out with the answer */
	enum then then;       /* after the answer */
	bool mute;            /* no answer; server_trickle() gives it */
	bool deaf;            /* answers no ping and no close frame */
	/* what it got */
	struct ph_buf head;
	struct ph_ws *ws;
	struct ph_buf texts; /* with a line end behind each */
	int count, pings, pongs, closes, close_code, ended;
	struct ph_buf pong;
};

/* ---- the server's frames ---- */

static inline void server_push(struct server *v, struct ph_buf *frames)
{
	ph_stream_push(v->s, ph_buf_str(frames));
	ph_buf_deinit(frames);
}

static inline void server_text(struct server *v, struct ph_str text)
{
	struct ph_buf b;

	ph_buf_init(&b, AMPLE);
	ph_ws_put_text(&b, PH_WS_SERVER, text);
	server_push(v, &b);
}

static inline void server_close(struct server *v, int code, const char *reason)
{
	struct ph_buf b;

	ph_buf_init(&b, AMPLE);
	ph_ws_put_close(&b, PH_WS_SERVER, code, ph_str_c(reason));
	server_push(v, &b);
}

static inline void server_on_text(void *owner, struct ph_str message)
{
	struct server *v = owner;

	v->count++;
	ph_buf_puts(&v->texts, message);
	ph_buf_putc(&v->texts, '\n');
}

static inline void server_on_too_large(void *owner)
{
	(void)owner;
	fail();
}

static inline void server_on_ping(void *owner, struct ph_str payload)
{
	struct server *v = owner;
	struct ph_buf b;

	v->pings++;
	if (v->deaf)
		return;
	ph_buf_init(&b, AMPLE);
	ph_ws_put_pong(&b, PH_WS_SERVER, payload);
	server_push(v, &b);
}

static inline void server_on_pong(void *owner, struct ph_str payload)
{
	struct server *v = owner;

	v->pongs++;
	ph_buf_reset(&v->pong);
	ph_buf_puts(&v->pong, payload);
}

static inline void server_on_close(void *owner, int code, struct ph_str reason)
{
	struct server *v = owner;

	assert_int_equal(reason.n, 0);
	v->closes++;
	v->close_code = code;
}

/* ---- the server's connections ---- */

static inline void server_then(void *arg)
{
	struct server *v = arg;

	if (v->then != THEN_STAY && v->s)
		ph_stream_close(v->s, v->then == THEN_RESET);
}

static inline void server_compose(struct server *v, struct ph_buf *ret)
{
	static const struct ph_ws_events events = {
		server_on_text, server_on_too_large, server_on_ping, server_on_pong, server_on_close};
	ptrdiff_t at = ph_str_find_nocase(ph_buf_str(&v->head), PH_STR("sec-websocket-key: "));
	struct ph_str key = ph_str(v->head.p + at + 19, PH_WS_KEY_SIZE - 1);
	char accept[PH_WS_ACCEPT_SIZE];

	assert_true(at > 0);
	assert_true(ph_ws_key_valid(key));
	ph_ws_accept(key, accept);
	v->ws = ph_ws_new(PH_WS_SERVER, AMPLE, &events, v);
	ph_buf_init(ret, AMPLE);
	for (const char *p = v->answer; *p; p++)
		ph_buf_puts(ret, *p == '$' ? ph_str_c(accept) : ph_str(p, 1));
	ph_buf_puts(ret, ph_buf_str(&v->behind));
}

static inline void server_answer(struct server *v)
{
	struct ph_buf b;

	server_compose(v, &b);
	server_push(v, &b);
	ph_stream_push_ref(v->s, PH_STR_NONE, server_then, v);
}

/* The answer and what is behind it, a byte at a time, as far as `n`. */
static inline void server_trickle(struct server *v, size_t n)
{
	struct ph_buf b;

	while (ph_str_find(ph_buf_str(&v->head), PH_STR("\r\n\r\n")) < 0)
		ph_loop_turn(v->loop);
	server_compose(v, &b);
	for (size_t i = 0; i < n && i < b.n && v->s; i++) {
		ph_stream_push(v->s, ph_str(b.p + i, 1));
		for (int turn = 0; turn < 4; turn++)
			ph_loop_turn(v->loop);
	}
	ph_buf_deinit(&b);
	server_then(v);
}

static inline void server_frames(struct server *v, struct ph_str bytes)
{
	if (v->closes || bytes.n == 0)
		return;
	assert_int_equal(ph_ws_feed(v->ws, bytes), (long)bytes.n);
}

static inline void server_data(void *owner, struct ph_str bytes)
{
	struct server *v = owner;
	ptrdiff_t end;

	if (v->ws) {
		server_frames(v, bytes);
		return;
	}
	ph_buf_puts(&v->head, bytes);
	end = ph_str_find(ph_buf_str(&v->head), PH_STR("\r\n\r\n"));
	if (end < 0)
		return;
	assert_int_equal(end + 4, v->head.n); /* nothing is said before the answer */
	if (!v->mute)
		server_answer(v);
}

static inline void server_end(void *owner, int status)
{
	struct server *v = owner;

	(void)status;
	v->ended++;
	if (!v->deaf)
		ph_stream_close(v->s, false);
}

static inline void server_closed(void *owner)
{
	struct server *v = owner;

	v->open--;
	v->s = NULL;
}

static inline void server_accept(void *owner, struct ph_stream *s)
{
	static const struct ph_stream_events events = {NULL, server_data, server_end, NULL, server_closed};
	struct server *v = owner;

	assert_null(v->s);
	v->s = s;
	v->accepted++;
	v->open++;
	v->closes = 0;
	v->ws = ph_ws_free(v->ws);
	ph_buf_reset(&v->head);
	ph_stream_set_owner(s, &events, v);
	ph_stream_read(s, true);
}

static inline void server_open(struct server *v, struct ph_loop *loop, struct ph_tls *tls)
{
	struct ph_addr addr = loopback(0);
	struct ph_err err = {0};
	char url[64];

	*v = (struct server){.loop = loop, .answer = GOOD};
	ph_buf_init(&v->behind, AMPLE);
	ph_buf_init(&v->head, 1 << 20);
	ph_buf_init(&v->texts, AMPLE);
	ph_buf_init(&v->pong, 1024);
	assert_int_equal(ph_listener_probe(&addr, &err), 0);
	v->listener = ph_listener_open(loop, &addr, server_accept, v, &err);
	assert_non_null(v->listener);
	if (tls)
		ph_listener_tls(v->listener, tls);
	snprintf(url, sizeof url, "http%s://127.0.0.1:%u/base/v1", tls ? "s" : "", (unsigned)port_of(&addr));
	assert_int_equal(ph_url_parse(&v->url, ph_str_c(url), &err), 0);
}

static inline void server_done(struct server *v)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;

	ph_listener_close(v->listener);
	if (v->s)
		ph_stream_close(v->s, false);
	while (v->open) {
		ph_loop_turn(v->loop);
		assert_true(ph_clock_ms() < until);
	}
	v->ws = ph_ws_free(v->ws);
	ph_buf_deinit(&v->behind);
	ph_buf_deinit(&v->head);
	ph_buf_deinit(&v->texts);
	ph_buf_deinit(&v->pong);
}

/* ---- the owner of a socket ---- */

enum moment {
	NEVER,
	AT_OPEN,
	AT_REFUSED,
	AT_SENT,
	AT_TEXT,
	AT_END,
	MOMENTS,
};

struct holder {
	struct ph_upstream *u;
	struct ph_upsocket *s;
	int opened, refused, sent, texts, ended, status, http_status;
	struct ph_err err;
	struct ph_buf said; /* messages with a line end behind each, or the body of a refusal */
	enum moment close_in, pause_in, blink_in;
	bool over;    /* closed: nothing may come any more */
	bool calling; /* a call into the socket is on the stack: nothing may come */
	bool paused;
};

static inline void holder_at(struct holder *o, enum moment moment)
{
	assert_false(o->over);
	assert_false(o->calling);
	assert_int_equal(o->ended + o->refused, moment == AT_END || moment == AT_REFUSED);
	if (o->pause_in == moment) {
		o->paused = true;
		ph_upsocket_read(o->s, false);
	}
	if (o->blink_in == moment) {
		ph_upsocket_read(o->s, false);
		ph_upsocket_read(o->s, true);
	}
	if (o->close_in == moment) {
		o->over = true;
		ph_upsocket_close(o->s);
	}
}

static inline void holder_open(void *owner, const struct ph_head *head)
{
	struct holder *o = owner;

	assert_int_equal(o->opened++, 0);
	assert_int_equal(o->sent + o->texts, 0);
	o->http_status = head->status;
	ph_assert_str(ph_head_get(head, PH_STR("upgrade")), PH_STR("websocket"));
	assert_true(ph_upsocket_alive(o->s));
	holder_at(o, AT_OPEN);
}

static inline void holder_refused(void *owner, const struct ph_head *head, struct ph_str body)
{
	struct holder *o = owner;

	assert_int_equal(o->opened + o->sent + o->texts, 0);
	assert_int_equal(o->refused++, 0);
	o->http_status = head->status;
	ph_buf_puts(&o->said, body);
	holder_at(o, AT_REFUSED);
}

static inline void holder_sent(void *owner)
{
	struct holder *o = owner;

	o->sent++;
	holder_at(o, AT_SENT);
}

static inline void holder_text(void *owner, struct ph_str message)
{
	struct holder *o = owner;

	assert_false(o->paused);
	o->texts++;
	ph_buf_puts(&o->said, message);
	ph_buf_putc(&o->said, '\n');
	holder_at(o, AT_TEXT);
}

static inline void holder_end(void *owner, int status, const struct ph_err *err)
{
	struct holder *o = owner;

	assert_int_equal(o->ended++, 0);
	assert_int_equal(err->code, -status);
	assert_true(err->detail[0]);
	o->status = status;
	o->err = *err;
	holder_at(o, AT_END);
}

static const struct ph_upsocket_events holder_events = {
	holder_open, holder_refused, holder_sent, holder_text, holder_end};

static inline void holder_init(struct holder *o, struct ph_upstream *u)
{
	*o = (struct holder){.u = u};
	ph_buf_init(&o->said, AMPLE);
}

static inline void holder_done(struct holder *o)
{
	ph_buf_deinit(&o->said);
}

static inline void holder_start(struct holder *o, const struct server *v, size_t max_message)
{
	struct ph_buf head;
	struct ph_upsocket_request r = {
		.base = &v->url,
		.path = PH_STR("/responses?x=1"),
		.head = &head,
		.max_message = max_message,
	};

	ph_buf_init(&head, 1024);
	ph_http_put_header(&head, PH_STR("x-test"), PH_STR("yes"));
	o->calling = true;
	o->s = ph_upsocket_open(o->u, &r, &holder_events, o);
	o->calling = false;
	assert_non_null(o->s);
	ph_buf_deinit(&head);
}

static inline void holder_send(struct holder *o, struct ph_str text)
{
	struct ph_buf b;

	ph_buf_init(&b, AMPLE);
	ph_buf_puts(&b, text);
	o->calling = true;
	ph_upsocket_send(o->s, &b);
	o->calling = false;
	assert_int_equal(b.n, 0); /* taken over */
	ph_buf_deinit(&b);
}

static inline void holder_resume(struct holder *o)
{
	o->paused = false;
	o->calling = true;
	ph_upsocket_read(o->s, true);
	o->calling = false;
}

/* It hears nothing any more. */
static inline void holder_close(struct holder *o)
{
	o->over = true;
	ph_upsocket_close(o->s);
}

#endif
