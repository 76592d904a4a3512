/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of WebSockets, in one loop: a listener with the server's connections behind it and a session that
 * does what a test asks of it, and clients made from a stream and the codec.
 */
#ifndef PH_SOCKET_TEST_H
#define PH_SOCKET_TEST_H

#include "../loop/loop_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/metrics.h"
#include "posthouse/stream.h"
#include "posthouse/ws.h"

#include "server/server_priv.h"

#define MESSAGE_MAX (1024 * 1024)
#define SESSIONS    8
#define LOG_MAX     (1024 * 1024)
#define REQUEST                                                                                              \
	"GET /v1/responses HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

/* What a session does inside a callback. */
enum deed {
	NO_DEED,
	ECHO,
	PAUSE,
	CLOSE,
	CLOSE_TWICE,
	ABORT,
	CLOSE_AND_ABORT,
	PUSH_AND_CLOSE,
	DEEDS,
};

/* Where the deed is done. */
enum place {
	ON_TEXT,
	ON_TOO_LARGE,
	ON_DRAIN,
	ON_DRAINING,
	ON_UPGRADE, /* behind ops->upgrade, inside of handle */
	PLACES,
};

struct scene;
struct session {
	struct scene *scene;
	struct ph_exchange *x;
	struct ph_buf log; /* t:text or L:length of what was said, one after another */
	size_t bytes;
	int texts, too_large, drains, draining, gone;
	int left; /* before the upgrade */
	bool upgraded, calling;
};

struct scene {
	struct ph_loop *loop;
	struct ph_door_keeper keeper;
	struct ph_listener *listener;
	struct ph_addr addr;
	struct ph_tls *tls; /* of clients; NULL = cleartext */
	struct session session[SESSIONS];
	int sessions;
	enum deed deed[PLACES];
	bool late;   /* upgrades wait for upgrade_now() */
	bool refuse; /* upgrades are answered like other requests */
};

/* ---- the session ---- */

static inline void push_text(struct session *s, struct ph_str text)
{
	struct ph_buf b;

	ph_buf_init(&b, text.n + 16);
	ph_ws_put_text(&b, PH_WS_SERVER, text);
	s->calling = true;
	s->x->ops->push(s->x->end, ph_buf_str(&b));
	s->calling = false;
	ph_buf_deinit(&b);
}

static inline void session_read(struct session *s, bool on)
{
	s->calling = true;
	s->x->ops->read(s->x->end, on);
	s->calling = false;
}

static inline void session_close(struct session *s, int code, const char *reason)
{
	s->calling = true;
	s->x->ops->close(s->x->end, code, reason);
	s->calling = false;
}

static inline void session_abort(struct session *s)
{
	s->calling = true;
	s->x->ops->abort(s->x->end);
	s->calling = false;
}

static inline void act(struct session *s, enum place place, struct ph_str text)
{
	switch (s->scene->deed[place]) {
	case ECHO:
		push_text(s, text);
		return;
	case PAUSE:
		session_read(s, false);
		return;
	case PUSH_AND_CLOSE:
		push_text(s, PH_STR("last words"));
		session_close(s, 4000, "enough");
		push_text(s, PH_STR("behind it"));
		return;
	case CLOSE_TWICE:
		session_close(s, 4000, "enough");
		session_close(s, 4001, "again");
		return;
	case CLOSE:
		session_close(s, 4000, "enough");
		return;
	case CLOSE_AND_ABORT:
		session_close(s, 4000, "enough");
		session_abort(s);
		return;
	case ABORT:
		session_abort(s);
		session_read(s, false);
		session_read(s, true);
		session_close(s, 4000, "late");
		return;
	default:
		return;
	}
}

/* Never inside of a call of the session's own, and nothing behind on_gone. */
static inline struct session *heard_by(void *h)
{
	struct session *s = h;

	assert_true(s->upgraded);
	assert_false(s->calling);
	assert_int_equal(s->gone, 0);
	return s;
}

static inline void on_text_(void *h, struct ph_buf *message)
{
	struct session *s = heard_by(h);
	struct ph_buf text = *message; /* taken over, every other time */

	s->texts++;
	s->bytes += text.n;
	if (s->texts % 2)
		ph_buf_init(message, message->max);
	if (text.n <= 64)
		ph_buf_printf(&s->log, "t:%.*s ", PH_STR_ARG(ph_buf_str(&text)));
	else
		ph_buf_printf(&s->log, "L:%zu ", text.n);
	act(s, ON_TEXT, ph_buf_str(&text));
	if (s->texts % 2)
		ph_buf_deinit(&text);
}

static inline void on_too_large_(void *h)
{
	struct session *s = heard_by(h);

	s->too_large++;
	ph_buf_puts(&s->log, PH_STR("too-large "));
	act(s, ON_TOO_LARGE, PH_STR_NONE);
}

static inline void on_drain_(void *h)
{
	struct session *s = heard_by(h);

	s->drains++;
	act(s, ON_DRAIN, PH_STR_NONE);
}

static inline void on_draining_(void *h)
{
	struct session *s = heard_by(h);

	s->draining++;
	act(s, ON_DRAINING, PH_STR_NONE);
}

static inline void on_gone_(void *h)
{
	struct session *s = heard_by(h);

	s->gone++;
	ph_assert_str(s->x->head->target, PH_STR("/v1/responses"));
	s->x->ops->push(s->x->end, PH_STR("nobody hears this"));
	s->x->ops->close(s->x->end, 1000, "nor this");
	s->x->ops->read(s->x->end, true);
	s->x = NULL;
}

static const struct ph_socket_handler socket_handler = {
	on_text_, on_too_large_, on_drain_, on_draining_, on_gone_};

static inline void upgrade_now(struct session *s)
{
	struct ph_buf headers;

	ph_buf_init(&headers, 1024);
	ph_http_put_header(&headers, PH_STR("x-request-id"), ph_str_c(s->x->request_id));
	s->calling = true;
	s->x->ops->upgrade(s->x->end, &headers, &socket_handler, s);
	s->calling = false;
	s->upgraded = true;
	ph_buf_deinit(&headers);
	act(s, ON_UPGRADE, PH_STR_NONE);
}

static inline void on_left(void *h)
{
	struct session *s = h;

	assert_false(s->upgraded);
	s->left++;
	s->x = NULL;
}

static inline void never(void *h)
{
	(void)h;
	fail_msg("not to be called");
}

static inline void never_failed(void *h, int code, const struct ph_err *err)
{
	(void)h;
	(void)code;
	(void)err;
	fail_msg("not to be called");
}

static const struct ph_handler request_handler = {never, never_failed, never, on_left};

static inline void answer(struct ph_exchange *x, int status)
{
	struct ph_buf headers;

	ph_buf_init(&headers, 1024);
	x->ops->head(x->end, status, &headers, 5);
	x->ops->push(x->end, PH_STR("plain"));
	x->ops->finish(x->end);
}

static inline void handle_(void *arg, struct ph_exchange *x)
{
	struct scene *scene = arg;
	struct session *s;

	if (!x->head->upgrade || scene->refuse) {
		answer(x, x->head->upgrade ? 426 : 200);
		return;
	}
	assert_true(scene->sessions < SESSIONS);
	s = &scene->session[scene->sessions++];
	s->scene = scene;
	s->x = x;
	ph_buf_init(&s->log, LOG_MAX);
	if (scene->late) {
		x->handler = &request_handler;
		x->h = s;
	} else {
		upgrade_now(s);
	}
}

/* ---- the scene ---- */

static inline int socket_setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	ph_metrics_init(1);
	ph_metrics_worker(0);
	return 0;
}

static inline void refuse_(void *arg, struct ph_exchange *x, int code, const struct ph_err *err)
{
	(void)arg;
	(void)x;
	(void)err;
	fail_msg("refused with %d", code);
}

static inline void refusal_(void *arg, int code, const struct ph_err *err, struct ph_buf *out)
{
	(void)arg;
	(void)code;
	(void)err;
	ph_buf_puts(out, PH_STR("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
}

static inline void accept_(void *owner, struct ph_stream *s)
{
	ph_client_open(owner, s);
}

static inline void scene_open(struct scene *c)
{
	struct ph_err err = {0};

	memset(c, 0, sizeof(*c));
	c->loop = ph_loop_new();
	c->keeper = (struct ph_door_keeper){
		.loop = c->loop,
		.handle = handle_,
		.refuse = refuse_,
		.refusal = refusal_,
		.arg = c,
		.max_body = MESSAGE_MAX,
		.idle_timeout_ms = PATIENCE_MS,
		.ping_ms = PATIENCE_MS,
		.counted = true,
	};
	ph_keeper_init(&c->keeper);
	c->addr = loopback(0);
	assert_int_equal(ph_listener_probe(&c->addr, &err), 0);
	c->listener = ph_listener_open(c->loop, &c->addr, accept_, &c->keeper, &err);
	assert_non_null(c->listener);
}

static inline struct ph_client *first_client(const struct scene *c)
{
	assert_false(ph_list_empty(&c->keeper.clients));
	return PH_CONTAINER(c->keeper.clients.next, struct ph_client, node);
}

#define UNTIL(scene, condition)                                                                              \
	for (uint64_t until_ = ph_clock_ms() + PATIENCE_MS; !(condition);) {                                 \
		ph_loop_turn((scene)->loop);                                                                 \
		if (ph_clock_ms() > until_)                                                                  \
			fail_msg("waited in vain for: " #condition);                                         \
		usleep(20);                                                                                  \
	}

/* Every session hears exactly one end, and the loop holds nothing. */
static inline void scene_close(struct scene *c)
{
	ph_listener_close(c->listener);
	ph_keeper_close_all(&c->keeper);
	UNTIL(c, c->keeper.client_count == 0);
	assert_int_equal(c->keeper.busy, 0);
	assert_int_equal(c->keeper.sockets, 0);
	for (int i = 0; i < c->sessions; i++) {
		assert_int_equal(c->session[i].gone + c->session[i].left, 1);
		ph_buf_deinit(&c->session[i].log);
	}
	ph_tls_free(c->tls);
	assert_int_equal(ph_loop_free(c->loop), 0);
}

/* ---- the client ---- */

struct peer {
	struct scene *scene;
	struct ph_stream *s;
	struct ph_ws *ws;
	struct ph_buf head; /* of the answer, with its last empty line */
	struct ph_buf log; /* t:text, L:length, pong:payload, close:code:reason, end, reset, in their order */
	size_t bytes;      /* of texts */
	int texts, pings, pongs;
	int close_code, ended, closed;
	bool mute;  /* answers neither pings nor a close frame */
	bool stay;  /* does not end the connection behind a close frame or the server's end */
	bool sips;  /* stops reading when something came */
	bool plain; /* no upgrade: all that comes is head */
	char newest[PH_WS_CONTROL_MAX + 1]; /* pong's payload */
};

static inline void peer_say(struct peer *p,
	void (*writer)(struct ph_buf *out, enum ph_ws_side side, struct ph_str payload),
	struct ph_str payload)
{
	struct ph_buf b;

	ph_buf_init(&b, payload.n + 16);
	writer(&b, PH_WS_CLIENT, payload);
	ph_stream_push(p->s, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static inline void peer_close(struct peer *p, int code, const char *reason)
{
	struct ph_buf b;

	ph_buf_init(&b, 256);
	ph_ws_put_close(&b, PH_WS_CLIENT, code, ph_str_c(reason));
	ph_stream_push(p->s, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static inline void peer_on_text(void *owner, struct ph_str message)
{
	struct peer *p = owner;

	p->texts++;
	p->bytes += message.n;
	if (message.n <= 64)
		ph_buf_printf(&p->log, "t:%.*s ", PH_STR_ARG(message));
	else
		ph_buf_printf(&p->log, "L:%zu ", message.n);
}

static inline void peer_on_ping(void *owner, struct ph_str payload)
{
	struct peer *p = owner;

	p->pings++;
	if (!p->mute)
		peer_say(p, ph_ws_put_pong, payload);
}

static inline void peer_on_pong(void *owner, struct ph_str payload)
{
	struct peer *p = owner;

	p->pongs++;
	ph_str_copy(p->newest, sizeof(p->newest), payload);
	if (p->pongs <= 100)
		ph_buf_printf(&p->log, "pong:%s ", p->newest);
}

static inline void peer_on_close(void *owner, int code, struct ph_str reason)
{
	struct peer *p = owner;

	p->close_code = code;
	ph_buf_printf(&p->log, "close:%d:%.*s ", code, PH_STR_ARG(reason));
	if (!p->mute)
		peer_close(p, code, NULL);
}

static const struct ph_ws_events peer_events = {
	peer_on_text, never, peer_on_ping, peer_on_pong, peer_on_close};

static inline void peer_on_connect(void *owner, int status, const struct ph_err *err)
{
	(void)owner;
	assert_int_equal(status, 0);
	assert_null(err);
}

/* Takes the head's part of the bytes. */
static inline struct ph_str take_head(struct peer *p, struct ph_str bytes)
{
	while (bytes.n && (p->plain || !ph_str_ends(ph_buf_str(&p->head), PH_STR("\r\n\r\n")))) {
		ph_buf_putc(&p->head, bytes.p[0]);
		bytes = ph_str_from(bytes, 1);
	}
	return bytes;
}

static inline void peer_on_data(void *owner, struct ph_str bytes)
{
	struct peer *p = owner;

	bytes = take_head(p, bytes);
	if (p->close_code && bytes.n)
		fail_msg("%zu bytes behind a close frame", bytes.n);
	if (p->sips)
		ph_stream_read(p->s, false);
	if (bytes.n)
		assert_true(ph_ws_feed(p->ws, bytes) == (long)bytes.n);
}

static inline void peer_on_end(void *owner, int status)
{
	struct peer *p = owner;

	p->ended++;
	ph_buf_puts(&p->log, status ? PH_STR("reset ") : PH_STR("end "));
	if (!p->stay)
		ph_stream_close(p->s, false);
}

static inline void peer_on_closed(void *owner)
{
	struct peer *p = owner;

	p->closed++;
	p->s = NULL;
}

static const struct ph_stream_events peer_stream_events = {
	peer_on_connect, peer_on_data, peer_on_end, NULL, peer_on_closed};

/* Connects, and sends nothing. */
static inline void peer_connect(struct peer *p, struct scene *c)
{
	memset(p, 0, sizeof(*p));
	p->scene = c;
	p->ws = ph_ws_new(PH_WS_CLIENT, 64 * MESSAGE_MAX, &peer_events, p);
	ph_buf_init(&p->head, 64 * 1024);
	ph_buf_init(&p->log, LOG_MAX);
	p->s = ph_stream_connect(c->loop, &c->addr, c->tls, "localhost", &peer_stream_events, p);
	ph_stream_read(p->s, true);
}

/* Connects, and is a WebSocket. */
static inline struct session *peer_open(struct peer *p, struct scene *c)
{
	int before = c->sessions;

	peer_connect(p, c);
	ph_stream_push(p->s, PH_STR(REQUEST));
	UNTIL(c, c->sessions > before && (c->late || ph_str_ends(ph_buf_str(&p->head), PH_STR("\r\n\r\n"))));
	return &c->session[before];
}

static inline void peer_text(struct peer *p, const char *text)
{
	peer_say(p, ph_ws_put_text, ph_str_c(text));
}

/* A frame as no writer of ours would make it; masked with zeros, which change nothing. */
static inline void put_frame(
	struct ph_buf *b, int first, bool masked, uint64_t announced, struct ph_str payload)
{
	ph_buf_putc(b, (char)first);
	if (announced < 126) {
		ph_buf_putc(b, (char)((masked ? 0x80 : 0) | (int)announced));
	} else if (announced < 65536) {
		ph_buf_putc(b, (char)((masked ? 0x80 : 0) | 126));
		ph_buf_putc(b, (char)(announced >> 8));
		ph_buf_putc(b, (char)announced);
	} else {
		ph_buf_putc(b, (char)((masked ? 0x80 : 0) | 127));
		for (int shift = 56; shift >= 0; shift -= 8)
			ph_buf_putc(b, (char)(announced >> shift));
	}
	if (masked)
		ph_buf_append(b, "\0\0\0\0", 4);
	ph_buf_puts(b, payload);
}

static inline void peer_frame(struct peer *p, int first, struct ph_str payload)
{
	struct ph_buf b;

	ph_buf_init(&b, payload.n + 16);
	put_frame(&b, first, true, payload.n, payload);
	ph_stream_push(p->s, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static inline void assert_log(const struct ph_buf *log, const char *expected)
{
	ph_assert_str(ph_buf_str(log), ph_str_c(expected));
}

static inline void peer_leave(struct peer *p, bool abort)
{
	if (p->s)
		ph_stream_close(p->s, abort);
	UNTIL(p->scene, p->closed);
}

static inline void peer_free(struct peer *p)
{
	peer_leave(p, false);
	p->ws = ph_ws_free(p->ws);
	ph_buf_deinit(&p->head);
	ph_buf_deinit(&p->log);
}

#endif
