/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a call, in one loop: a server that answers as a test tells it to, and an owner that counts
 * what it is told and does on the way what a test asks of it.
 */
#ifndef PH_UPSTREAM_FAKE_H
#define PH_UPSTREAM_FAKE_H

#include "../loop/loop_test.h"

#include <stdio.h>
#include <stdlib.h>

#include "posthouse/stream.h"
#include "posthouse/upstream.h"

enum then {
	THEN_STAY,
	THEN_FIN,
	THEN_RESET,
};

struct fake {
	struct ph_loop *loop;
	struct ph_listener *listener;
	struct ph_addr addr;
	struct ph_url url;
	struct ph_list conns;
	int accepted, requests, open;
	/* what it does with a request */
	struct ph_str answer;
	size_t cut; /* that many bytes of it; SIZE_MAX = all */
	enum then then;
	bool early; /* as soon as the head came, and without reading on */
	bool mute;  /* no answer; answer_all() gives it */
	/* what came last */
	struct ph_buf head;
	size_t body;
};

struct fake_conn {
	struct ph_list node;
	struct fake *f;
	struct ph_stream *s;
	struct ph_buf in;
	size_t head_n, body_n; /* of the request at the front; 0 = head not complete */
	size_t body_seen;
	bool answered;
};

/* Bodies are this pattern, over and over; its length is a prime, so that no block size hides a shift. */
#define PATTERN_N 65521
static inline const char *pattern(void)
{
	static char bytes[PATTERN_N];

	for (size_t i = 0; bytes[1] == 0 && i < PATTERN_N; i++)
		bytes[PATTERN_N - 1 - i] = (char)(i * 7 + (i >> 8) * 13);
	return bytes;
}

static inline void pattern_check(size_t at, struct ph_str bytes)
{
	while (bytes.n) {
		size_t from = at % PATTERN_N, n = PATTERN_N - from < bytes.n ? PATTERN_N - from : bytes.n;

		assert_memory_equal(bytes.p, pattern() + from, n);
		bytes = ph_str_from(bytes, n);
		at += n;
	}
}

static inline void fake_conn_written(void *arg)
{
	struct fake_conn *c = arg;

	if (c->f->then != THEN_STAY && c->s)
		ph_stream_close(c->s, c->f->then == THEN_RESET);
}

static inline void fake_conn_answer(struct fake_conn *c)
{
	struct fake *f = c->f;
	size_t n = f->cut < f->answer.n ? f->cut : f->answer.n;

	c->answered = true;
	if (n || f->then != THEN_STAY)
		ph_stream_push_ref(c->s, ph_str(f->answer.p, n), fake_conn_written, c);
	if (n == 0)
		fake_conn_written(c);
}

static inline void fake_conn_begin(struct fake_conn *c)
{
	ptrdiff_t end = ph_str_find(ph_buf_str(&c->in), PH_STR("\r\n\r\n")), at;
	struct ph_str head;
	uint64_t n = 0;

	if (end < 0)
		return;
	c->head_n = (size_t)end + 4;
	head = ph_str(c->in.p, c->head_n);
	at = ph_str_find_nocase(head, PH_STR("content-length: "));
	if (at >= 0) {
		struct ph_str rest = ph_str_from(head, (size_t)at + 16);

		assert_true(ph_str_u64(ph_str_split(&rest, '\r'), SIZE_MAX, &n));
	}
	c->body_n = (size_t)n;
	c->body_seen = 0;
	c->f->requests++;
	ph_buf_reset(&c->f->head);
	ph_buf_puts(&c->f->head, head);
	c->f->body = 0;
	ph_buf_consume(&c->in, c->head_n);
	if (c->f->early) {
		ph_stream_read(c->s, false);
		fake_conn_answer(c);
	}
}

static inline void fake_conn_data(void *owner, struct ph_str bytes)
{
	struct fake_conn *c = owner;

	ph_buf_puts(&c->in, bytes);
	if (c->head_n == 0)
		fake_conn_begin(c);
	if (c->head_n == 0 || c->f->early)
		return;
	pattern_check(c->body_seen, ph_buf_str(&c->in));
	c->body_seen += c->in.n;
	c->f->body = c->body_seen;
	ph_buf_reset(&c->in);
	assert_true(c->body_seen <= c->body_n); /* nothing behind the request */
	if (c->body_seen < c->body_n)
		return;
	c->head_n = 0;
	if (!c->f->mute)
		fake_conn_answer(c);
}

static inline void fake_conn_end(void *owner, int status)
{
	struct fake_conn *c = owner;

	(void)status;
	ph_stream_close(c->s, false);
}

static inline void fake_conn_free(void *arg)
{
	struct fake_conn *c = arg;

	ph_buf_deinit(&c->in);
	free(c);
}

static inline void fake_conn_closed(void *owner)
{
	struct fake_conn *c = owner;

	c->f->open--;
	ph_list_remove(&c->node);
	c->s = NULL;
	ph_loop_bury(c->f->loop, c, fake_conn_free);
}

static inline void fake_accept(void *owner, struct ph_stream *s)
{
	static const struct ph_stream_events events = {
		NULL, fake_conn_data, fake_conn_end, NULL, fake_conn_closed};
	struct fake *f = owner;
	struct fake_conn *c = ph_alloc(sizeof *c);

	c->f = f;
	c->s = s;
	ph_buf_init(&c->in, 64 << 20);
	ph_list_push_back(&f->conns, &c->node);
	f->accepted++;
	f->open++;
	ph_stream_set_owner(s, &events, c);
	ph_stream_read(s, true);
}

static inline void fake_open(struct fake *f, struct ph_loop *loop, const char *answer)
{
	struct ph_err err = {0};
	char url[64];

	*f = (struct fake){.loop = loop, .answer = ph_str_c(answer), .cut = SIZE_MAX};
	ph_list_init(&f->conns);
	ph_buf_init(&f->head, 1 << 20);
	f->addr = loopback(0);
	assert_int_equal(ph_listener_probe(&f->addr, &err), 0);
	f->listener = ph_listener_open(loop, &f->addr, fake_accept, f, &err);
	assert_non_null(f->listener);
	snprintf(url, sizeof url, "http://127.0.0.1:%u/base/v1", (unsigned)port_of(&f->addr));
	assert_int_equal(ph_url_parse(&f->url, ph_str_c(url), &err), 0);
}

static inline void fake_wait_empty(struct fake *f)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;

	while (f->open) {
		ph_loop_turn(f->loop);
		assert_true(ph_clock_ms() < until);
		usleep(50);
	}
}

static inline void fake_close(struct fake *f)
{
	ph_listener_close(f->listener);
	PH_LIST_EACH_SAFE (it, &f->conns)
		ph_stream_close(PH_CONTAINER(it, struct fake_conn, node)->s, false);
	fake_wait_empty(f);
	ph_buf_deinit(&f->head);
}

/* Ends every connection that it has. */
static inline void fake_hang_up(struct fake *f, bool reset)
{
	PH_LIST_EACH_SAFE (it, &f->conns)
		ph_stream_close(PH_CONTAINER(it, struct fake_conn, node)->s, reset);
}

static inline void fake_push(struct fake *f, struct ph_str bytes)
{
	PH_LIST_EACH (it, &f->conns)
		ph_stream_push(PH_CONTAINER(it, struct fake_conn, node)->s, bytes);
}

/* ---- the owner of a call ---- */

enum place {
	NOWHERE_AT_ALL,
	IN_CONNECTED,
	IN_SENT,
	IN_HEAD,
	IN_BODY,
	PLACES,
};

struct probe {
	struct ph_upstream *u;
	struct ph_call *call;
	int connected, sent, heads, bodies, ended, status, http_status;
	struct ph_err err;
	size_t bytes;
	struct ph_buf body;
	enum place cancel_in, abandon_in;
	bool over;    /* cancelled or abandoned: nothing may come any more */
	bool calling; /* ph_call_start() is on the stack: nothing may come yet */
	bool pause_in_head;
	bool keep_body;
};

static inline void probe_at(struct probe *p, enum place place)
{
	assert_false(p->over);
	assert_false(p->calling);
	assert_int_equal(p->ended, 0);
	if (p->cancel_in != place && p->abandon_in != place)
		return;
	p->over = true;
	if (p->cancel_in == place)
		ph_call_cancel(p->call);
	else
		ph_call_abandon(p->call);
	p->call = NULL;
}

static inline void probe_connected(void *owner)
{
	struct probe *p = owner;

	assert_int_equal(p->connected++, 0);
	assert_int_equal(p->sent + p->heads + p->bodies, 0);
	probe_at(p, IN_CONNECTED);
}

static inline void probe_sent(void *owner)
{
	struct probe *p = owner;

	assert_int_equal(p->connected, 1);
	assert_int_equal(p->sent++, 0);
	probe_at(p, IN_SENT);
}

static inline void probe_head(void *owner, const struct ph_head *head)
{
	struct probe *p = owner;

	assert_int_equal(p->connected, 1);
	assert_int_equal(p->heads++, 0);
	p->http_status = head->status;
	if (p->pause_in_head)
		ph_call_read(p->call, false);
	probe_at(p, IN_HEAD);
}

static inline void probe_body(void *owner, struct ph_str bytes)
{
	struct probe *p = owner;

	assert_int_equal(p->heads, 1);
	p->bodies++;
	p->bytes += bytes.n;
	if (p->keep_body)
		ph_buf_puts(&p->body, bytes);
	probe_at(p, IN_BODY);
}

static inline void probe_end(void *owner, int status, const struct ph_err *err)
{
	struct probe *p = owner;

	assert_false(p->over);
	assert_false(p->calling);
	assert_true((status == 0) == (err == NULL));
	assert_int_equal(p->ended++, 0);
	p->status = status;
	if (err) {
		assert_int_equal(err->code, -status);
		p->err = *err;
	}
	p->call = NULL;
}

static const struct ph_call_events probe_events = {
	probe_connected, probe_sent, probe_head, probe_body, probe_end};

static inline void probe_init(struct probe *p, struct ph_upstream *u)
{
	*p = (struct probe){.u = u, .keep_body = true};
	ph_buf_init(&p->body, 64 << 20);
}

/* A request with a body of so many bytes; SIZE_MAX = without one. */
static inline void probe_start(struct probe *p, const struct fake *f, size_t body_n, bool fresh)
{
	struct ph_buf head, body;
	struct ph_call_request r = {
		.base = &f->url,
		.method = body_n == SIZE_MAX ? PH_STR("GET") : PH_STR("POST"),
		.path = PH_STR("/responses?x=1"),
		.head = &head,
		.body = body_n == SIZE_MAX ? NULL : &body,
		.fresh = fresh,
	};

	ph_buf_init(&head, 1024);
	ph_buf_init(&body, 64 << 20);
	ph_http_put_header(&head, PH_STR("x-test"), PH_STR("yes"));
	while (body_n != SIZE_MAX && body.n < body_n)
		ph_buf_append(&body, pattern(), body_n - body.n < PATTERN_N ? body_n - body.n : PATTERN_N);
	p->calling = true;
	p->call = ph_call_start(p->u, &r, &probe_events, p);
	p->calling = false;
	assert_non_null(p->call);
	if (body_n != SIZE_MAX)
		assert_int_equal(body.n, 0); /* taken over */
	ph_buf_deinit(&head);
	ph_buf_deinit(&body);
}

static inline void probe_run(struct probe *p, const struct fake *f, size_t body_n)
{
	probe_start(p, f, body_n, false);
	turn_until(f->loop, &p->ended);
}

static inline void probe_done(struct probe *p)
{
	ph_buf_deinit(&p->body);
}

static inline struct ph_upstream *upstream_open(struct ph_loop *loop, uint64_t connect_ms)
{
	struct ph_upstream_options o = {.ca_file = NULL, .connect_timeout_ms = connect_ms};
	struct ph_err err = {0};
	struct ph_upstream *u;

	/* The system's certificates take longer to read than most tests here take. */
	setenv("SSL_CERT_FILE", "/dev/null", 1);
	setenv("SSL_CERT_DIR", "/nowhere", 1);
	u = ph_upstream_new(loop, &o, &err);
	assert_non_null(u);
	return u;
}

static inline void on_upstream_closed(void *arg)
{
	(*(int *)arg)++;
}

static inline void upstream_close(struct ph_upstream *u, struct ph_loop *loop)
{
	int closed = 0;

	ph_upstream_close(u, on_upstream_closed, &closed);
	assert_int_equal(closed, 0);
	turn_until(loop, &closed);
	assert_int_equal(closed, 1);
}

#endif
