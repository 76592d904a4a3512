/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSockets. A request is one message of text, and what comes back is believed as a stream's events are. The
 * frames are the gateway's own (codec/ws): other tests know whether those are right.
 *
 * Pings are answered; a close frame, like any other end, is a loss: nobody but us ends a socket here.
 */
#include <stdlib.h>

#include "bench.h"
#include "posthouse/ws.h"

#define MESSAGE_MAX    ((size_t)16 << 20)
#define FRAME_HEAD_MAX 14

static struct ph_buf pong; /* made once: it says nothing */

void socket_start(struct options *o)
{
	struct ph_buf frame;

	ph_buf_init(&pong, FRAME_HEAD_MAX);
	ph_ws_put_pong(&pong, PH_WS_CLIENT, PH_STR_NONE);
	if (!o->request)
		return;
	ph_buf_init(&frame, o->request_n + FRAME_HEAD_MAX);
	ph_ws_put_text(&frame, PH_WS_CLIENT, ph_str(o->request, o->request_n));
	free(o->request);
	o->request = frame.p;
	o->request_n = frame.n;
}

static void on_text(void *owner, struct ph_str message)
{
	struct conn *c = owner;
	struct bench *b = c->bench;

	if (c->fd < 0)
		return;
	if (!c->busy) { /* nobody asked for it */
		conn_fail(c);
		return;
	}
	b->mode->on_body(c, message.p, message.n);
	if (!c->events.terminal && !c->events.failed)
		return;
	c->busy = false;
	b->answered++;
	b->mode->on_answer(c);
}

static void on_too_large(void *owner)
{
	conn_fail(owner);
}

static void on_ping(void *owner, struct ph_str payload)
{
	struct conn *c = owner;

	(void)payload;
	if (c->fd >= 0 && c->out_n == 0) /* else other bytes of ours tell as much */
		conn_write(c, pong.p, pong.n);
}

static void on_pong(void *owner, struct ph_str payload)
{
	(void)owner;
	(void)payload;
}

static void on_close(void *owner, int code, struct ph_str reason)
{
	(void)code;
	(void)reason;
	conn_fail(owner);
}

static const struct ph_ws_events events = {on_text, on_too_large, on_ping, on_pong, on_close};

void socket_open(struct conn *c)
{
	socket_free(c);
	c->busy = true; /* until its answer is here */
	answer_reset(&c->answer);
	conn_write(c, c->bench->o.upgrade, c->bench->o.upgrade_n);
}

/* The head that makes it a WebSocket: how many bytes it took, or -1. */
static ssize_t upgrade(struct conn *c, const char *p, size_t n)
{
	ssize_t used = answer_head(&c->answer, p, n);

	if (used < 0 || c->answer.state != ANSWER_DONE)
		return used;
	if (c->answer.status != 101)
		return -1;
	c->busy = false;
	c->events.messages = true;
	c->ws = ph_ws_new(PH_WS_CLIENT, MESSAGE_MAX, &events, c);
	c->bench->mode->on_open(c);
	return used;
}

bool socket_feed(struct conn *c, const char *p, size_t n)
{
	ssize_t used = c->ws ? 0 : upgrade(c, p, n);

	if (used < 0)
		return false;
	return !c->ws || ph_ws_feed(c->ws, ph_str(p + used, n - (size_t)used)) >= 0;
}

void socket_free(struct conn *c)
{
	c->ws = ph_ws_free(c->ws);
}
