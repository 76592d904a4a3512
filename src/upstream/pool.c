/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to upstreams, pooled by origin (scheme, host, port). A connection is made for a call
 * (dial.c), lent to it, and goes back when the exchange was complete; idle ones keep reading, so that an end
 * is seen before anybody uses them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/metrics.h"
#include "upstream_priv.h"

#define IDLE_MS    60000 /* below what common servers and balancers allow */
#define IDLE_MAX   512   /* per origin */

#define JOINED_MAX (4 * 1024 * 1024) /* more than one read brings */

struct ph_origin {
	struct ph_list node;
	bool tls;
	char host[256];
	uint16_t port;
	struct ph_list
		idle; /* of struct ph_upconn: newest first, so that a shrinking load lets the oldest lapse */
	size_t idle_count;
};

static struct ph_origin *origin_get(struct ph_upstream *u, const struct ph_url *base)
{
	struct ph_origin *o;

	PH_LIST_EACH (it, &u->origins) {
		o = PH_CONTAINER(it, struct ph_origin, node);
		if (o->tls == base->tls && o->port == base->port && strcmp(o->host, base->host) == 0)
			return o;
	}
	o = ph_alloc(sizeof *o);
	o->tls = base->tls;
	o->port = base->port;
	snprintf(o->host, sizeof o->host, "%s", base->host);
	ph_list_init(&o->idle);
	ph_list_push_back(&u->origins, &o->node);
	return o;
}

static void on_all_closed(void *arg)
{
	struct ph_upstream *u = arg;
	void (*cb)(void *) = u->on_closed;
	void *cb_arg = u->closed_arg;

	for (struct ph_list *n; (n = ph_list_pop(&u->origins));)
		free(PH_CONTAINER(n, struct ph_origin, node));
	ph_tls_free(u->tls);
	ph_buf_deinit(&u->joined);
	free(u);
	cb(cb_arg);
}

void ph_upstream_hold(struct ph_upstream *u)
{
	u->conns++;
}

void ph_upstream_drop(struct ph_upstream *u)
{
	u->conns--;
	if (u->closing && u->conns == 0)
		ph_defer_call(u->loop, &u->closed);
}

static void upconn_free(void *arg)
{
	struct ph_upconn *c = arg;

	ph_http_free(c->http);
	free(c);
}

static void on_closed(void *owner)
{
	struct ph_upconn *c = owner;

	ph_upstream_drop(c->up);
	ph_loop_bury(c->up->loop, c, upconn_free);
}

static void leave_idle(struct ph_upconn *c)
{
	ph_list_remove(&c->node);
	c->origin->idle_count--;
	ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, PH_GAUGE_IDLE, 0, -1);
}

void ph_upconn_close(struct ph_upconn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	if (!c->call && c->ready)
		leave_idle(c);
	else
		ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, PH_GAUGE_BUSY, 0, -1);
	c->call = NULL;
	ph_timer_stop(&c->idle);
	if (c->dial) {
		ph_dial_cancel(c->dial);
		c->dial = NULL;
	}
	if (c->stream) {
		ph_stream_close(c->stream, false);
		return;
	}
	ph_upstream_drop(c->up);
	ph_loop_bury(c->up->loop, c, upconn_free);
}

static void on_data(void *owner, struct ph_str bytes)
{
	struct ph_upconn *c = owner;

	if (c->call)
		ph_call_on_data(c->call, bytes);
	else
		ph_upconn_close(c); /* bytes that nobody asked for: never book them to the next call */
}

static void on_end(void *owner, int status)
{
	struct ph_upconn *c = owner;

	if (c->call)
		ph_call_on_eof(c->call, status);
	else
		ph_upconn_close(c);
}

static void on_drain(void *owner)
{
	struct ph_upconn *c = owner;

	if (c->call)
		ph_call_on_drain(c->call);
}

static const struct ph_stream_events stream_events = {NULL, on_data, on_end, on_drain, on_closed};

static void on_dialled(void *owner, struct ph_stream *s, const struct ph_err *err)
{
	struct ph_upconn *c = owner;
	struct ph_call *call = c->call;

	c->dial = NULL;
	if (!s) {
		ph_upconn_close(c);
		ph_call_on_unready(call, err);
		return;
	}
	c->ready = true;
	c->stream = s;
	ph_stream_set_owner(s, &stream_events, c);
	ph_stream_read(s, true);
	ph_call_on_ready(call);
}

static void on_idle_too_long(void *arg)
{
	ph_upconn_close(arg);
}

static struct ph_upconn *conn_new(struct ph_upstream *u, struct ph_origin *o, struct ph_call *call)
{
	struct ph_upconn *c = ph_alloc(sizeof *c);

	c->up = u;
	c->origin = o;
	c->call = call;
	c->http = ph_http_new(PH_HTTP_ANSWERS, &ph_call_http_events, c);
	ph_list_init(&c->node);
	ph_timer_init(&c->idle, u->loop, on_idle_too_long, c);
	ph_upstream_hold(u);
	ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, PH_GAUGE_BUSY, 0, 1);
	c->dial = ph_dial_start(u, o->tls, o->host, o->port, on_dialled, c);
	return c;
}

struct ph_upconn *ph_pool_get(
	struct ph_upstream *u, const struct ph_url *base, bool fresh, struct ph_call *call)
{
	struct ph_origin *o = origin_get(u, base);

	while (!fresh && !ph_list_empty(&o->idle)) {
		struct ph_upconn *c = PH_CONTAINER(o->idle.next, struct ph_upconn, node);

		if (!ph_stream_alive(c->stream)) {
			ph_upconn_close(c);
			continue;
		}
		leave_idle(c);
		ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, PH_GAUGE_BUSY, 0, 1);
		ph_timer_stop(&c->idle);
		c->call = call;
		c->reused = true;
		return c;
	}
	return conn_new(u, o, call);
}

void ph_pool_put(struct ph_upconn *c)
{
	struct ph_origin *o = c->origin;

	/* What is queued still is the rest of a request that its answer overtook. */
	if (c->up->closing || o->idle_count >= IDLE_MAX || !ph_stream_alive(c->stream) ||
		ph_stream_queued(c->stream)) {
		ph_upconn_close(c);
		return;
	}
	c->call = NULL;
	ph_http_next(c->http);
	ph_stream_read(c->stream, true);
	ph_list_push_front(&o->idle, &c->node);
	o->idle_count++;
	ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, PH_GAUGE_BUSY, 0, -1);
	ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, PH_GAUGE_IDLE, 0, 1);
	ph_timer_start(&c->idle, IDLE_MS);
}

struct ph_upstream *ph_upstream_new(
	struct ph_loop *loop, const struct ph_upstream_options *options, struct ph_err *err)
{
	struct ph_tls *tls = ph_tls_client_new(options->ca_file, err);
	struct ph_upstream *u;

	if (!tls)
		return NULL;
	u = ph_alloc(sizeof *u);
	u->loop = loop;
	u->tls = tls;
	u->connect_timeout_ms = options->connect_timeout_ms;
	ph_list_init(&u->origins);
	ph_list_init(&u->sockets);
	ph_buf_init(&u->joined, JOINED_MAX);
	ph_defer_init(&u->closed, on_all_closed, u);
	return u;
}

void ph_upstream_close(struct ph_upstream *u, void (*cb)(void *arg), void *arg)
{
	u->closing = true;
	u->on_closed = cb;
	u->closed_arg = arg;
	PH_LIST_EACH (it, &u->origins) {
		struct ph_origin *o = PH_CONTAINER(it, struct ph_origin, node);

		while (!ph_list_empty(&o->idle))
			ph_upconn_close(PH_CONTAINER(o->idle.next, struct ph_upconn, node));
	}
	ph_upsocket_close_all(u);
	if (u->conns == 0)
		ph_defer_call(u->loop, &u->closed);
}
