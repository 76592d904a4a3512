/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's connection over HTTP/1.1: requests in order, one at a time, answers that arrive. Reading goes on
 * while a request is served, so that a client that leaves is noticed at once; what a client sends ahead
 * waits, up to a bound.
 */
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "posthouse/url.h"
#include "server_priv.h"

#define HEAD_MS     10000 /* a head must be complete within */
#define IDLE_MS     75000
#define LINGER_MS   5000
#define DISCARD_MAX 8 /* times max_body: a WebSocket's message is refused where it exceeds four times */
#define WAITING_MAX (256 * 1024) /* bytes that came before their time; beyond, reading stops */

#define B(n)        PH_SM_BIT(CLIENT_##n)
static const struct ph_sm_state client_states[CLIENT_NR] = {
	[CLIENT_IDLE] = {"IDLE", B(HEAD) | B(CLOSED)},
	[CLIENT_HEAD] = {"HEAD", B(BUSY) | B(IDLE) | B(LINGER) | B(CLOSED)},
	[CLIENT_BUSY] = {"BUSY", B(IDLE) | B(SKIP) | B(SOCKET) | B(LINGER) | B(CLOSED)},
	[CLIENT_SKIP] = {"SKIP", B(IDLE) | B(LINGER) | B(CLOSED)},
	[CLIENT_SOCKET] = {"SOCKET", B(FAREWELL) | B(LINGER) | B(CLOSED)},
	[CLIENT_FAREWELL] = {"FAREWELL", B(LINGER) | B(CLOSED)},
	[CLIENT_LINGER] = {"LINGER", B(CLOSED)},
	[CLIENT_CLOSED] = {"CLOSED", 0},
};

/* Where the keeper counts those in this state, or NULL. */
static size_t *count_of(struct ph_door_keeper *k, unsigned state)
{
	if (state == CLIENT_BUSY)
		return &k->busy;
	return state == CLIENT_SOCKET || state == CLIENT_FAREWELL ? &k->sockets : NULL;
}

void ph_client_move(struct ph_client *c, enum ph_client_state to)
{
	size_t *left = count_of(c->keeper, c->sm.state), *entered = count_of(c->keeper, to);

	if (left)
		--*left;
	if (entered)
		++*entered;
	if (c->keeper->counted)
		ph_metric_set(PH_M_WEBSOCKETS, 0, 0, (int64_t)c->keeper->sockets);
	ph_sm_move(&c->sm, to);
}

void ph_client_later(struct ph_client *c)
{
	if (c->sm.state != CLIENT_CLOSED)
		ph_defer_call(c->keeper->loop, &c->later);
}

/* ---- the end ---- */

static void client_free(void *arg)
{
	struct ph_client *c = arg;

	ph_socket_free(c->socket);
	ph_http_free(c->http);
	ph_body_forget(c);
	ph_buf_deinit(&c->waiting);
	free(c);
}

static void on_closed(void *owner)
{
	struct ph_client *c = owner;
	struct ph_door_keeper *k = c->keeper;

	ph_list_remove(&c->node);
	k->client_count--;
	if (k->counted)
		ph_metric_add(PH_M_CONNECTIONS, 0, 0, -1);
	ph_loop_bury(k->loop, c, client_free);
	if (k->client_count == 0 && k->on_empty)
		k->on_empty(k->arg);
}

/* Tells the handler, or the session, that nobody listens any more. */
static void leave_handler(struct ph_client *c)
{
	const struct ph_handler *handler = c->x.handler;

	c->x.handler = NULL;
	if (handler)
		handler->on_gone(c->x.h);
	if (c->socket)
		ph_socket_leave(c->socket);
}

void ph_client_close(struct ph_client *c, bool abort)
{
	if (c->sm.state == CLIENT_CLOSED)
		return;
	ph_client_move(c, CLIENT_CLOSED);
	ph_timer_stop(&c->timer);
	ph_defer_cancel(&c->later);
	leave_handler(c);
	ph_stream_close(c->stream, abort);
}

/* Ends the connection so that the answer arrives: stop writing, then read and discard for a while (a reset
 * would take back what the client has not read yet). */
void ph_client_linger(struct ph_client *c)
{
	ph_client_move(c, CLIENT_LINGER);
	leave_handler(c);
	ph_buf_deinit(&c->waiting);
	ph_body_forget(c);
	ph_stream_shutdown(c->stream);
	ph_stream_read(c->stream, true);
	ph_timer_start(&c->timer, LINGER_MS);
}

/* ---- requests ---- */

static bool id_char(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
	       ch == '.' || ch == '_' || ch == '-';
}

static void set_request_id(struct ph_exchange *x)
{
	struct ph_str sent = ph_head_get(x->head, PH_STR("x-request-id"));
	bool good = sent.n > 0 && sent.n <= 128;

	for (size_t i = 0; good && i < sent.n; i++)
		good = id_char(sent.p[i]);
	if (good) {
		ph_str_copy(x->request_id, sizeof x->request_id, sent);
		return;
	}
	memcpy(x->request_id, "req_", 4);
	ph_rand_id(x->request_id + 4, 24);
}

/* Inside the parser: only notes. The request is handled when the parser has returned. */
static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_client *c = owner;

	c->x = (struct ph_exchange){
		.head = head, .started_ns = ph_clock_ns(), .ops = &ph_client_ops, .end = c};
	ph_buf_init(&c->x.body, c->keeper->max_body);
	c->head_seen = true;
	if (head->has_body)
		ph_http_pause(c->http);
}

static void on_body(void *owner, struct ph_str bytes)
{
	ph_body_take(owner, bytes);
}

static void on_done(void *owner)
{
	ph_body_end(owner);
}

static const struct ph_http_events http_events = {on_head, on_body, on_done};

static void handle(struct ph_client *c)
{
	struct ph_door_keeper *k = c->keeper;

	c->head_seen = false;
	c->answering = c->chunked = c->silent = c->finished = false;
	c->close = false;
	c->served++;
	ph_timer_stop(&c->timer);
	ph_client_move(c, CLIENT_BUSY);
	set_request_id(&c->x);
	if (ph_target_split(c->x.head->target, &c->x.path, &c->x.query)) {
		k->refuse(k->arg, &c->x, PH_E_HEAD_BAD, NULL);
	} else if (k->draining && c->x.head->upgrade) {
		ph_metric_add(PH_M_SHED, 2, 0, 1);
		k->refuse(k->arg, &c->x, PH_E_DRAINING, NULL);
	} else if (k->max_streams && k->busy > k->max_streams) {
		ph_metric_add(PH_M_SHED, 0, 0, 1);
		k->refuse(k->arg, &c->x, PH_E_TOO_MANY, NULL);
	} else {
		k->handle(k->arg, &c->x);
	}
}

/* No request can be told from these bytes: answer once, in full, and close. */
static void refuse_bytes(struct ph_client *c, int code)
{
	struct ph_buf out;

	ph_buf_init(&out, 64 * 1024);
	c->keeper->refusal(c->keeper->arg, code, NULL, &out);
	ph_stream_push(c->stream, ph_buf_str(&out));
	ph_buf_deinit(&out);
	ph_client_linger(c);
}

static void on_bad_bytes(struct ph_client *c, int code)
{
	if (c->sm.state == CLIENT_BUSY) {
		/* Bad framing inside a body: its handler answers, if it has not. */
		c->close = true;
		ph_body_fail(c, code);
		return;
	}
	if (c->sm.state == CLIENT_SKIP)
		ph_client_linger(c);
	else
		refuse_bytes(c, code);
}

struct ph_str ph_client_bytes(const struct ph_client *c)
{
	return c->waiting.n ? ph_buf_str(&c->waiting) : c->arrived;
}

void ph_client_used(struct ph_client *c, size_t n)
{
	if (c->waiting.n)
		ph_buf_consume(&c->waiting, n);
	else
		c->arrived = ph_str_from(c->arrived, n);
	if (c->waiting.n == 0)
		ph_buf_deinit(&c->waiting);
	if (c->waiting.n <= WAITING_MAX)
		ph_stream_read(c->stream, true);
}

/* Feeds what came, as far as the state allows. Returns whether anything moved. */
static bool feed(struct ph_client *c)
{
	struct ph_str bytes = ph_client_bytes(c);
	long used;

	if (c->sm.state == CLIENT_BUSY && (!c->body_wanted || c->body_done || c->body_fault || c->body_held))
		return false;
	if (bytes.n == 0)
		return false;
	if (c->sm.state == CLIENT_IDLE) {
		ph_client_move(c, CLIENT_HEAD);
		ph_timer_start(&c->timer, HEAD_MS);
	}
	used = ph_http_feed(c->http, bytes);
	if (used < 0) {
		on_bad_bytes(c, (int)used);
		return false;
	}
	ph_client_used(c, (size_t)used);
	if (c->head_seen)
		handle(c);
	else if (c->sm.state == CLIENT_BUSY && !c->body_held)
		ph_timer_start(&c->timer, PH_BODY_MS);
	return used > 0 || c->sm.state == CLIENT_BUSY;
}

/* The answer is written and its body was read: the connection may carry another request. */
static void next_request(struct ph_client *c)
{
	ph_client_move(c, CLIENT_IDLE);
	ph_body_forget(c);
	ph_http_next(c->http);
	ph_stream_read(c->stream, true);
	ph_timer_start(&c->timer, IDLE_MS);
}

void ph_client_count(const struct ph_client *c)
{
	unsigned class = c->status >= 100 && c->status < 600 ? (unsigned)c->status / 100 - 1 : 5;

	if (!c->keeper->counted)
		return;
	ph_metric_add(PH_M_REQUESTS, c->x.route, class, 1);
	ph_metric_observe(PH_M_REQUEST_SECONDS, ph_clock_ns() - c->x.started_ns);
}

static void tell_body_fault(struct ph_client *c)
{
	const struct ph_handler *handler = c->x.handler;
	int code = c->body_fault;
	struct ph_err err = {.code = -code};

	ph_timer_stop(&c->timer);
	if (code == -PH_E_BODY_TOO_LARGE)
		ph_fail_param(&err, PH_E_BODY_TOO_LARGE, "input",
			"At most %llu bytes are accepted, after decompression.",
			(unsigned long long)c->keeper->max_body);
	c->body_fault = -PH_E_CANCELLED; /* told; nothing more of the body is read */
	handler->on_body_failed(c->x.h, code, &err);
}

static void tell_body(struct ph_client *c)
{
	ph_timer_stop(&c->timer);
	c->body_wanted = false; /* told once */
	ph_unzip_free(c->unzip);
	c->unzip = NULL;
	c->x.handler->on_body(c->x.h);
}

/* What is left of a small body is read first, within the time that lingering has. */
static void after_answer(struct ph_client *c)
{
	ph_client_count(c);
	c->finished = false;
	if (c->close) {
		ph_client_linger(c);
	} else if (c->x.head->has_body && !c->body_done) {
		ph_client_move(c, CLIENT_SKIP);
		ph_timer_start(&c->timer, LINGER_MS);
	} else {
		next_request(c);
	}
}

/* Runs outside every callback of the parser, the stream and the handlers. */
static void on_later(void *arg)
{
	struct ph_client *c = arg;

	for (;;) {
		if (c->sm.state >= CLIENT_LINGER)
			return;
		if (c->socket) {
			ph_socket_go_on(c);
			return;
		}
		if (c->finished) {
			after_answer(c);
			continue;
		}
		if (c->sm.state == CLIENT_SKIP && c->body_done) {
			next_request(c);
			continue;
		}
		if (c->sm.state == CLIENT_BUSY && c->x.handler && c->body_wanted) {
			if (c->body_fault && c->body_fault != -PH_E_CANCELLED) {
				tell_body_fault(c);
				continue;
			}
			if (c->body_done && !c->body_fault) {
				tell_body(c);
				continue;
			}
		}
		if (!feed(c))
			return;
	}
}

/* ---- the stream ---- */

static void on_data(void *owner, struct ph_str bytes)
{
	struct ph_client *c = owner;

	if (c->sm.state == CLIENT_LINGER) {
		c->discarded += bytes.n;
		if (c->discarded / DISCARD_MAX > c->keeper->max_body)
			ph_client_close(c, false);
		return;
	}
	if (c->sm.state == CLIENT_BUSY && c->body_fault) {
		c->discarded += bytes.n; /* the answer to it is on its way */
		return;
	}
	if (c->socket)
		ph_socket_heard(c);
	if (c->waiting.n) {
		ph_buf_puts(&c->waiting, bytes);
		on_later(c);
	} else {
		c->arrived = bytes;
		on_later(c);
		if (c->sm.state < CLIENT_LINGER)
			ph_buf_puts(&c->waiting, c->arrived);
		c->arrived = PH_STR_NONE;
	}
	if (c->sm.state < CLIENT_LINGER && c->waiting.n > WAITING_MAX)
		ph_stream_read(c->stream, false);
}

static void on_end(void *owner, int status)
{
	struct ph_client *c = owner;

	/* A fault of TLS ends with FIN, so that the alert arrives that names it. */
	ph_client_close(c, status < 0 && status != -PH_E_TLS);
}

static void on_drain(void *owner)
{
	struct ph_client *c = owner;

	if (c->socket)
		ph_socket_drained(c);
	else if (c->x.handler)
		c->x.handler->on_drain(c->x.h);
}

static const struct ph_stream_events stream_events = {NULL, on_data, on_end, on_drain, on_closed};

bool ph_client_stuck(struct ph_client *c)
{
	uint64_t idle = ph_loop_now_ms(c->keeper->loop) - ph_stream_progress_ms(c->stream);

	return ph_stream_queued(c->stream) && idle >= c->keeper->idle_timeout_ms;
}

static void check_progress(struct ph_client *c)
{
	if (ph_client_stuck(c))
		ph_client_close(c, true);
	else
		ph_timer_start(&c->timer, c->keeper->idle_timeout_ms);
}

static void on_timer(void *arg)
{
	struct ph_client *c = arg;

	switch (c->sm.state) {
	case CLIENT_HEAD:
		refuse_bytes(c, -PH_E_HEAD_SLOW);
		return;
	case CLIENT_BUSY:
		if (c->answering)
			check_progress(c);
		else
			ph_body_fail(c, -PH_E_BODY_SLOW);
		return;
	case CLIENT_SOCKET:
	case CLIENT_FAREWELL:
		ph_socket_timer(c);
		return;
	default:
		ph_client_close(c, false);
	}
}

void ph_client_open(struct ph_door_keeper *k, struct ph_stream *s)
{
	struct ph_client *c = ph_alloc(sizeof *c);

	c->keeper = k;
	c->stream = s;
	c->http = ph_http_new(PH_HTTP_REQUESTS, &http_events, c);
	ph_buf_init(&c->waiting, WAITING_MAX + 1024 * 1024);
	ph_timer_init(&c->timer, k->loop, on_timer, c);
	ph_defer_init(&c->later, on_later, c);
	ph_sm_init(&c->sm, "client", client_states, CLIENT_NR, CLIENT_IDLE);
	ph_list_push_back(&k->clients, &c->node);
	k->client_count++;
	if (k->counted)
		ph_metric_add(PH_M_CONNECTIONS, 0, 0, 1);
	ph_stream_set_owner(s, &stream_events, c);
	ph_stream_read(s, true);
	ph_timer_start(&c->timer, HEAD_MS);
}

/* ---- all of them ---- */

void ph_keeper_init(struct ph_door_keeper *k)
{
	ph_list_init(&k->clients);
	k->client_count = 0;
	k->busy = k->sockets = 0;
}

void ph_keeper_close_idle(struct ph_door_keeper *k)
{
	PH_LIST_EACH_SAFE (it, &k->clients) {
		struct ph_client *c = PH_CONTAINER(it, struct ph_client, node);

		if (c->sm.state == CLIENT_IDLE && c->served)
			ph_client_close(c, false);
	}
}

void ph_keeper_drain(struct ph_door_keeper *k)
{
	k->draining = true;
	ph_keeper_close_idle(k);
	PH_LIST_EACH (it, &k->clients) {
		struct ph_client *c = PH_CONTAINER(it, struct ph_client, node);

		if (c->socket)
			ph_client_later(c); /* its session is told there */
	}
}

void ph_keeper_close_all(struct ph_door_keeper *k)
{
	PH_LIST_EACH_SAFE (it, &k->clients) {
		struct ph_client *c = PH_CONTAINER(it, struct ph_client, node);

		/* What was just answered goes out with its end; the rest is cut. */
		ph_client_close(c, false);
	}
}
