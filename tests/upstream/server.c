/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listeners and connections. A connection has one exchange at a time; what a peer pipelines waits. It is read
 * also while an answer goes out, because that is how one learns that the peer has left.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "socket.h"

#define LINGER_MS 5000 /* from our FIN to the peer's */

/* ---- the end of a connection ---- */

static void conn_free(void *arg)
{
	struct fake_conn *c = arg;

	ph_http_free(c->http);
	fake_socket_free(c->socket);
	ph_buf_deinit(&c->pending);
	ph_buf_deinit(&c->body);
	fake_play_deinit(&c->exchange);
	free(c);
}

static void on_closed(void *owner)
{
	struct fake_conn *c = owner;

	c->server->connections_open--;
	ph_list_remove(&c->node);
	ph_loop_bury(c->server->loop, c, conn_free);
}

void fake_conn_close(struct fake_conn *c, bool abort)
{
	if (c->closing)
		return;
	c->closing = true;
	ph_timer_stop(&c->linger);
	if (c->busy) {
		c->busy = false;
		fake_exchange_end(&c->exchange, !c->server->stopping);
	}
	if (c->socket)
		fake_socket_stop(c->socket, !c->server->stopping);
	ph_stream_close(c->stream, abort);
}

static void on_linger(void *arg)
{
	fake_conn_close(arg, false);
}

void fake_conn_fin(struct fake_conn *c)
{
	c->busy = false;
	c->fin_sent = true;
	ph_stream_shutdown(c->stream);
	ph_stream_read(c->stream, true);
	ph_timer_start(&c->linger, LINGER_MS);
}

static void on_end(void *owner, int status)
{
	struct fake_conn *c = owner;

	if (c->socket && !c->socket->closing)
		fake_socket_left(c->socket, 1006);
	fake_conn_close(c, status < 0);
}

static void on_drain(void *owner)
{
	struct fake_conn *c = owner;

	if (c->socket)
		fake_socket_drained(c->socket);
	if (!c->busy || c->exchange.play.waits != FAKE_WAITS_DRAIN)
		return;
	c->exchange.play.waits = FAKE_WAITS_NOT;
	fake_play_run(&c->exchange);
}

/* ---- requests ---- */

static void on_head(void *owner, const struct ph_head *head)
{
	struct fake_conn *c = owner;

	c->arrived = fake_now_ms();
	c->exchange.head = head;
	if (head->expect_continue)
		ph_stream_push(c->stream, PH_STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct fake_conn *c = owner;

	ph_buf_puts(&c->body, bytes);
}

static void on_done(void *owner)
{
	struct fake_conn *c = owner;

	c->request_done = true;
}

static const struct ph_http_events http_events = {on_head, on_body, on_done};

static void answer_bad(struct fake_conn *c, struct ph_str text)
{
	ph_stream_push(c->stream, text);
	fake_conn_fin(c);
}

static void request_start(struct fake_conn *c)
{
	if (c->body.failed) {
		answer_bad(c, PH_STR("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\nconnection: "
				     "close\r\n\r\n"));
		return;
	}
	c->request_done = false;
	c->busy = true;
	fake_exchange_start(&c->exchange, c->of_port);
}

/* Feeds bytes until they are used up or an exchange is busy; returns how many were taken. */
static size_t feed(struct fake_conn *c, struct ph_str bytes)
{
	size_t taken = 0;

	while (taken < bytes.n && !c->busy && !c->socket && !c->closing && !c->fin_sent) {
		long n = ph_http_feed(c->http, ph_str_from(bytes, taken));

		if (n < 0) {
			c->server->bad_http++;
			answer_bad(c, PH_STR("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: "
					     "close\r\n\r\n"));
			break;
		}
		taken += (size_t)n;
		if (c->request_done)
			request_start(c);
		else if (n == 0)
			break;
	}
	return taken;
}

static size_t to_socket(struct fake_conn *c)
{
	fake_socket_data(c->socket, ph_buf_str(&c->pending));
	return c->pending.n;
}

static void pump(struct fake_conn *c)
{
	if (c->pumping)
		return;
	c->pumping = true;
	while (c->pending.n && !c->busy && !c->closing && !c->fin_sent) {
		size_t taken = c->socket ? to_socket(c) : feed(c, ph_buf_str(&c->pending));

		if (taken == 0)
			break;
		ph_buf_consume(&c->pending, taken);
	}
	c->pumping = false;
	if (!c->closing)
		ph_stream_read(c->stream, c->pending.n < FAKE_PENDING_MAX);
}

void fake_conn_switched(struct fake_conn *c)
{
	struct fake_account *a = c->exchange.account;
	bool deaf = FAKE_DO(c->exchange.todo, deaf, false);

	fake_exchange_end(&c->exchange, false);
	c->busy = false;
	c->socket = fake_socket_new(c, a);
	c->socket->deaf = deaf;
	pump(c);
}

void fake_conn_finished(struct fake_conn *c)
{
	c->busy = false;
	if (c->body.cap > PH_STREAM_HIGH)
		ph_buf_deinit(&c->body);
	ph_buf_reset(&c->body);
	ph_http_next(c->http);
	pump(c);
}

static void on_data(void *owner, struct ph_str bytes)
{
	struct fake_conn *c = owner;
	size_t taken = 0;

	if (c->fin_sent)
		return;
	if (c->socket && !c->pending.n) {
		fake_socket_data(c->socket, bytes);
		return;
	}
	if (!c->busy && !c->pending.n) {
		c->pumping = true;
		taken = feed(c, bytes);
		c->pumping = false;
	}
	if (c->closing || taken == bytes.n)
		return;
	if (ph_buf_puts(&c->pending, ph_str_from(bytes, taken))) {
		fake_conn_close(c, true);
		return;
	}
	pump(c);
}

static const struct ph_stream_events stream_events = {NULL, on_data, on_end, on_drain, on_closed};

/* ---- listeners ---- */

static void on_accept(void *owner, struct ph_stream *stream)
{
	struct fake_listener *l = owner;
	struct fake_server *s = l->server;
	struct fake_conn *c = ph_alloc(sizeof(*c));

	c->server = s;
	c->of_port = l->account;
	c->stream = stream;
	c->number = ++s->last_conn;
	s->connections++;
	s->connections_open++;
	c->http = ph_http_new(PH_HTTP_REQUESTS, &http_events, c);
	ph_buf_init(&c->pending, FAKE_PENDING_MAX * 2);
	ph_buf_init(&c->body, FAKE_BODY_MAX);
	ph_timer_init(&c->linger, s->loop, on_linger, c);
	c->exchange.server = s;
	c->exchange.conn = c;
	ph_buf_init(&c->exchange.plain, FAKE_BODY_MAX);
	fake_play_init(&c->exchange);
	ph_list_push_back(&s->conns, &c->node);
	ph_stream_set_owner(stream, &stream_events, c);
	ph_stream_read(stream, true);
}

static int resolve(struct ph_str hostport, struct ph_addr *ret, struct ph_err *err)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char host[256], service[8];
	uint16_t port;
	int result = ph_hostport_parse(hostport, host, sizeof(host), &port, err);

	if (result)
		return result;
	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(host, service, &hints, &found))
		return ph_fail(err, PH_E_USAGE, "\"%.*s\": a literal address is needed, such as 127.0.0.1:0",
			PH_STR_ARG(hostport));
	memcpy(&ret->sa, found->ai_addr, found->ai_addrlen);
	ret->len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

int fake_server_listen(
	struct fake_server *s, struct fake_account *of, struct ph_str hostport, struct ph_err *err)
{
	struct fake_listener *l = ph_alloc(sizeof(*l));
	int result = resolve(hostport, &l->addr, err);

	l->server = s;
	l->account = of;
	ph_list_push_back(&s->listeners, &l->node);
	if (!result)
		result = ph_listener_probe(&l->addr, err);
	if (result)
		return result;
	if (of)
		of->listener = l;
	return fake_listener_refuse(l, false, err);
}

int fake_listener_refuse(struct fake_listener *l, bool refuse, struct ph_err *err)
{
	if (!refuse && !l->listener) {
		l->listener = ph_listener_open(l->server->loop, &l->addr, on_accept, l, err);
		return l->listener ? 0 : -PH_E_SOCKET;
	}
	if (!refuse || !l->listener)
		return 0;
	ph_listener_close(l->listener), l->listener = NULL;
	PH_LIST_EACH_SAFE (n, &l->server->conns) {
		struct fake_conn *c = PH_CONTAINER(n, struct fake_conn, node);

		if (c->of_port == l->account)
			fake_conn_close(c, true);
	}
	return 0;
}

void fake_server_close_idle(struct fake_server *s, const struct fake_account *a, bool abort)
{
	PH_LIST_EACH_SAFE (n, &s->conns) {
		struct fake_conn *c = PH_CONTAINER(n, struct fake_conn, node);

		if (!c->busy && (!c->socket || !c->socket->running) && (!a || c->last == a))
			fake_conn_close(c, abort);
	}
}

void fake_server_stop(struct fake_server *s)
{
	s->stopping = true;
	PH_LIST_EACH (n, &s->listeners) {
		struct fake_listener *l = PH_CONTAINER(n, struct fake_listener, node);

		ph_listener_close(l->listener), l->listener = NULL;
	}
	PH_LIST_EACH_SAFE (n, &s->conns)
		fake_conn_close(PH_CONTAINER(n, struct fake_conn, node), false);
	ph_watch_drop(&s->tick);
	if (s->tick_fd >= 0)
		close(s->tick_fd), s->tick_fd = -1;
	ph_signal_close(s->term), s->term = NULL;
	ph_signal_close(s->intr), s->intr = NULL;
}
