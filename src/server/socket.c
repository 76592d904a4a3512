/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's WebSocket behind the 101: frames to messages for its session, and what no session need know of:
 * pings of both ends, faults of framing, the close handshake. What a session writes are whole frames already
 * (answer.c: push).
 *
 *     SOCKET --- the session closes --> FAREWELL ---.
 *        `--- the client's close, a fault ----------+--> LINGER --> CLOSED
 *
 * On the way into LINGER or CLOSED the session hears on_gone, never from inside one of its own calls. An end
 * without a close frame leads to CLOSED at once.
 *
 * What a client can make us hold:
 *  - One message that it has not completed, at most max_body: it grows with what came, and the ping that
 *    silence brings ends it.
 *  - While the session does not read: frames go on being read up to the end of the next message, which is
 *    held; so pings are answered that come before it. What follows waits as bytes, and above WAITING_MAX
 *    (client.c) the connection is not read at all, nor its end noticed.
 *  - Pongs: each ping is answered, while less than PH_STREAM_HIGH is queued for the client; beyond, only the
 *    newest is, once there is room. So pings alone cannot queue more than PH_STREAM_HIGH and one pong.
 */
#include <stdlib.h>

#include "posthouse/ws.h"
#include "server_priv.h"

#define FRAME_MAX (PH_WS_CONTROL_MAX + 2)
#define CLOSE_MS  5000 /* for the client's close frame, since it last took something of ours */

enum held {
	HELD_NOTHING,
	HELD_TEXT,
	HELD_TOO_LARGE, /* the word of it */
};

/* Owner: the client, until it lingers or is freed. */
struct ph_socket {
	struct ph_ws *ws;
	const struct ph_socket_handler *handler; /* NULL: was told on_gone */
	void *h;
	bool paused; /* by the session */
	enum held held;
	struct ph_buf text; /* HELD_TEXT */
	bool told_draining;
	int left_code;     /* of the client's close frame; 0: it has not come */
	bool cut;          /* by the session */
	bool pinged;       /* nothing came since our ping */
	uint64_t since_ms; /* of the last byte or our ping; FAREWELL: of our close frame */
	bool ping_waits;   /* for its pong */
	size_t ping_n;     /* the newest's payload */
	char ping[PH_WS_CONTROL_MAX];
};

static uint64_t now_ms(const struct ph_client *c)
{
	return ph_loop_now_ms(c->keeper->loop);
}

struct ph_socket *ph_socket_free(struct ph_socket *s)
{
	if (s) {
		ph_ws_free(s->ws);
		ph_buf_deinit(&s->text);
		free(s);
	}
	return NULL;
}

void ph_socket_leave(struct ph_socket *s)
{
	const struct ph_socket_handler *handler = s->handler;

	s->handler = NULL;
	if (handler)
		handler->on_gone(s->h);
}

/* ---- the end ---- */

static void put_close(struct ph_client *c, int code, const char *reason)
{
	struct ph_buf b;

	if (c->silent)
		return;
	ph_buf_init(&b, FRAME_MAX);
	ph_ws_put_close(&b, PH_WS_SERVER, code, ph_str_c(reason));
	ph_stream_push(c->stream, ph_buf_str(&b));
	ph_buf_deinit(&b);
	c->silent = true;
}

/* Nothing more is expected of the client, or worth hearing. */
static void over(struct ph_client *c, int code, const char *reason)
{
	put_close(c, code, reason);
	ph_client_linger(c);
	c->socket = ph_socket_free(c->socket);
}

/* FAREWELL. The wait begins anew while the client still takes what was queued before the close frame. */
static void await_close(struct ph_client *c)
{
	uint64_t since = c->socket->since_ms, progress = ph_stream_progress_ms(c->stream);
	uint64_t idle = now_ms(c) - (progress > since ? progress : since);

	if (idle >= CLOSE_MS)
		ph_client_close(c, ph_stream_queued(c->stream) > 0);
	else
		ph_timer_start(&c->timer, CLOSE_MS - idle);
}

void ph_socket_close(void *end, int code, const char *reason)
{
	struct ph_client *c = end;

	if (c->sm.state != CLIENT_SOCKET)
		return;
	put_close(c, code, reason);
	ph_client_move(c, CLIENT_FAREWELL);
	c->socket->since_ms = now_ms(c);
	ph_timer_start(&c->timer, CLOSE_MS);
	ph_client_later(c); /* for what waits: the client's close frame may stand there */
}

void ph_socket_cut(struct ph_client *c)
{
	c->silent = true;
	c->socket->cut = true;
	if (c->sm.state == CLIENT_SOCKET)
		ph_client_move(c, CLIENT_FAREWELL);
	ph_client_later(c);
}

/* ---- pings ---- */

static void put(struct ph_client *c,
	void (*writer)(struct ph_buf *out, enum ph_ws_side side, struct ph_str payload),
	struct ph_str payload)
{
	struct ph_buf b;

	ph_buf_init(&b, FRAME_MAX);
	writer(&b, PH_WS_SERVER, payload);
	ph_stream_push(c->stream, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static void answer_ping(struct ph_client *c)
{
	struct ph_socket *s = c->socket;

	if (!s->ping_waits || c->silent || ph_stream_queued(c->stream) >= PH_STREAM_HIGH)
		return;
	s->ping_waits = false;
	put(c, ph_ws_put_pong, ph_str(s->ping, s->ping_n));
}

/* Any byte shows that the client is there, not only a pong: that may stand behind what the session does not
 * read. */
void ph_socket_heard(struct ph_client *c)
{
	if (c->sm.state != CLIENT_SOCKET)
		return;
	c->socket->pinged = false;
	c->socket->since_ms = now_ms(c);
}

/* SOCKET. Silence says nothing while we do not read, or while a ping would wait behind what the client has
 * yet to take, for which it has the idle timeout. */
static void listen_for(struct ph_client *c)
{
	struct ph_socket *s = c->socket;
	uint64_t ping_ms = c->keeper->ping_ms, wait;

	answer_ping(c);
	if (!ph_stream_reading(c->stream) || ph_stream_queued(c->stream))
		ph_socket_heard(c);
	if (now_ms(c) - s->since_ms >= ping_ms) {
		if (s->pinged) {
			over(c, PH_WS_INTERNAL, "no answer to a ping");
			return;
		}
		put(c, ph_ws_put_ping, PH_STR_NONE);
		s->pinged = true;
		s->since_ms = now_ms(c);
	}
	wait = s->since_ms + ping_ms - now_ms(c);
	ph_timer_start(&c->timer, wait < c->keeper->idle_timeout_ms ? wait : c->keeper->idle_timeout_ms);
}

void ph_socket_timer(struct ph_client *c)
{
	if (c->sm.state == CLIENT_FAREWELL)
		await_close(c);
	else if (ph_client_stuck(c))
		ph_client_close(c, true);
	else
		listen_for(c);
}

/* ---- frames ---- */

static void on_text(void *owner, struct ph_str message)
{
	struct ph_client *c = owner;
	struct ph_socket *s = c->socket;
	struct ph_buf text;

	(void)message; /* the session gets the bytes themselves */
	if (c->sm.state != CLIENT_SOCKET)
		return;
	ph_ws_take_text(s->ws, &text);
	if (!s->paused) {
		s->handler->on_text(s->h, &text);
		ph_buf_deinit(&text);
		return;
	}
	s->held = HELD_TEXT;
	s->text = text;
	ph_ws_pause(s->ws);
}

static void on_too_large(void *owner)
{
	struct ph_client *c = owner;
	struct ph_socket *s = c->socket;

	if (c->sm.state != CLIENT_SOCKET)
		return;
	if (!s->paused) {
		s->handler->on_too_large(s->h);
		return;
	}
	s->held = HELD_TOO_LARGE;
	ph_ws_pause(s->ws);
}

static void on_ping(void *owner, struct ph_str payload)
{
	struct ph_client *c = owner;
	struct ph_socket *s = c->socket;

	s->ping_n = payload.n < sizeof s->ping ? payload.n : sizeof s->ping;
	if (s->ping_n)
		memcpy(s->ping, payload.p, s->ping_n);
	s->ping_waits = true;
	answer_ping(c);
}

/* It was heard as bytes. */
static void on_pong(void *owner, struct ph_str payload)
{
	(void)owner;
	(void)payload;
}

static void on_close(void *owner, int code, struct ph_str reason)
{
	struct ph_client *c = owner;

	(void)reason;
	c->socket->left_code = code;
}

static const struct ph_ws_events ws_events = {on_text, on_too_large, on_ping, on_pong, on_close};

/* Gives the session what was held while it did not read. */
static void deliver(struct ph_client *c)
{
	struct ph_socket *s = c->socket;
	enum held held = s->held;

	if (held == HELD_NOTHING || (s->paused && c->sm.state == CLIENT_SOCKET))
		return;
	s->held = HELD_NOTHING;
	if (c->sm.state == CLIENT_SOCKET && held == HELD_TEXT)
		s->handler->on_text(s->h, &s->text);
	else if (c->sm.state == CLIENT_SOCKET)
		s->handler->on_too_large(s->h);
	ph_buf_deinit(&s->text);
}

/* Feeds what came, up to a message that has to be held. There may be no bytes: frames may wait in the reader.
 */
static void feed(struct ph_client *c)
{
	struct ph_socket *s = c->socket;
	long used;

	if (c->sm.state == CLIENT_CLOSED || s->held || s->cut)
		return;
	used = ph_ws_feed(s->ws, ph_client_bytes(c));
	if (c->sm.state == CLIENT_CLOSED)
		return;
	if (used < 0) {
		over(c, (int)-used, NULL);
		return;
	}
	ph_client_used(c, (size_t)used);
	if (s->left_code)
		over(c, s->left_code, NULL);
}

void ph_socket_go_on(struct ph_client *c)
{
	struct ph_socket *s = c->socket;

	if (s->cut) {
		ph_client_close(c, true);
		return;
	}
	if (c->keeper->draining && !s->told_draining && c->sm.state == CLIENT_SOCKET) {
		s->told_draining = true;
		s->handler->on_draining(s->h);
	}
	deliver(c);
	feed(c);
}

void ph_socket_read(void *end, bool on)
{
	struct ph_client *c = end;

	c->socket->paused = !on;
	if (on)
		ph_client_later(c);
}

void ph_socket_drained(struct ph_client *c)
{
	answer_ping(c);
	if (c->sm.state == CLIENT_SOCKET)
		c->socket->handler->on_drain(c->socket->h);
}

void ph_socket_open(struct ph_client *c, const struct ph_socket_handler *handler, void *h)
{
	struct ph_socket *s = ph_alloc(sizeof *s);
	size_t max = c->keeper->max_body;

	ph_client_count(c);
	s->ws = ph_ws_new(PH_WS_SERVER, max, &ws_events, c);
	s->handler = handler;
	s->h = h;
	ph_buf_init(&s->text, max);
	c->x.handler = NULL;
	c->socket = s;
	ph_client_move(c, CLIENT_SOCKET);
	ph_socket_heard(c);
	listen_for(c);
	ph_client_later(c); /* for bytes that came already, and a drain that began before */
}
