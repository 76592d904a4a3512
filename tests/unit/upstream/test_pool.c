/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections come about and how long they are kept: addresses tried in turn, deadlines, idle
 * connections. Names resolve to what a test says: dial.c is built into this test with a resolver of its own.
 */
#include "fake.h"
#include "upstream/upstream_priv.h"

struct fake_resolve;
static struct fake_resolve *fake_resolve_start(struct ph_loop *loop, const char *host, uint16_t port,
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs), void *arg);
static void fake_resolve_cancel(struct fake_resolve *r);

#define ph_resolve        fake_resolve
#define ph_resolve_start  fake_resolve_start
#define ph_resolve_cancel fake_resolve_cancel
#include "upstream/dial.c"

/* ---- the resolver ---- */

struct fake_resolve {
	struct ph_defer later;
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs);
	void *arg;
};

static struct ph_addrs answer;
static int answer_status;
static bool answer_never;
static int resolving, resolves;

static void fake_resolved(void *arg)
{
	struct fake_resolve *r = arg;
	struct fake_resolve copy = *r;

	free(r);
	resolving--;
	copy.cb(copy.arg, answer_status, answer_status ? NULL : &answer);
}

static struct fake_resolve *fake_resolve_start(struct ph_loop *loop, const char *host, uint16_t port,
	void (*cb)(void *arg, int status, const struct ph_addrs *addrs), void *arg)
{
	struct fake_resolve *r = ph_alloc(sizeof *r);

	assert_string_equal(host, "127.0.0.1");
	assert_int_not_equal(port, 0);
	r->cb = cb;
	r->arg = arg;
	ph_defer_init(&r->later, fake_resolved, r);
	if (!answer_never)
		ph_defer_call(loop, &r->later);
	resolving++;
	resolves++;
	return r;
}

static void fake_resolve_cancel(struct fake_resolve *r)
{
	ph_defer_cancel(&r->later);
	free(r);
	resolving--;
}

/* ---- the world ---- */

#define SMALL "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct world {
	struct ph_loop *loop;
	struct fake f;
	struct ph_upstream *u;
	struct probe p;
};

static void world_open(struct world *w, uint64_t connect_ms)
{
	w->loop = ph_loop_new();
	fake_open(&w->f, w->loop, SMALL);
	w->u = upstream_open(w->loop, connect_ms);
	probe_init(&w->p, w->u);
	answer = (struct ph_addrs){.count = 1, .addr = {w->f.addr}};
	answer_status = 0;
	answer_never = false;
	resolves = 0;
}

static void world_close(struct world *w)
{
	upstream_close(w->u, w->loop);
	fake_close(&w->f);
	probe_done(&w->p);
	assert_int_equal(resolving, 0);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

static void again(struct world *w)
{
	probe_done(&w->p);
	probe_init(&w->p, w->u);
}

/* An address on which nobody listens. */
static struct ph_addr refused(void)
{
	struct ph_addr addr;

	close(raw_listen(&addr));
	return addr;
}

static void refused_then_the_next_address(void **state)
{
	struct world w;

	(void)state;
	for (int dead = 1; dead < PH_ADDRS_MAX; dead += 3) {
		world_open(&w, 5000);
		answer.count = dead + 1;
		for (int i = 0; i < dead; i++)
			answer.addr[i] = refused();
		answer.addr[dead] = w.f.addr;
		probe_run(&w.p, &w.f, 100000);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.f.accepted, 1);
		assert_int_equal(w.f.body, 100000);
		world_close(&w);
	}
}

static void nobody_listens(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 5000);
	answer.count = 3;
	for (int i = 0; i < 3; i++)
		answer.addr[i] = refused();
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_CONNECT);
	assert_int_equal(w.p.connected, 0);
	assert_true(w.p.err.detail[0]);
	again(&w);
	answer.count = 0;
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_CONNECT);
	again(&w);
	answer_status = -PH_E_NAME;
	probe_run(&w.p, &w.f, 100000);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_CONNECT);
	world_close(&w);
}

/* One deadline over name, TCP and TLS. */
static void the_connect_deadline(void **state)
{
	struct world w;
	struct ph_addr silent;
	int fd = raw_listen(&silent);
	uint64_t from;

	(void)state;
	world_open(&w, 150);
	answer_never = true;
	from = ph_clock_ms();
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_CONNECT);
	assert_true(ph_clock_ms() - from >= 140);
	again(&w);
	/* A server that takes the connection and never says a word of TLS. */
	answer_never = false;
	answer.addr[0] = silent;
	w.f.url.tls = true;
	from = ph_clock_ms();
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_CONNECT);
	assert_true(ph_clock_ms() - from >= 140);
	close(fd);
	world_close(&w);
}

/* The deadline is for connecting only. */
static void no_deadline_afterwards(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 100);
	w.f.mute = true;
	probe_start(&w.p, &w.f, 3, false);
	turn_for(w.loop, 300);
	assert_int_equal(w.p.ended, 0);
	fake_push(&w.f, PH_STR(SMALL));
	turn_until(w.loop, &w.p.ended);
	assert_int_equal(w.p.status, 0);
	turn_for(w.loop, 300); /* idle, it stays as well */
	again(&w);
	w.f.mute = false;
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.f.accepted, 1);
	world_close(&w);
}

static void cancelled_while_connecting(void **state)
{
	struct world w;

	(void)state;
	for (int turns = 0; turns < 6; turns++) {
		for (int never = 0; never < 2; never++) {
			world_open(&w, 5000);
			answer_never = never;
			answer.count = 2;
			answer.addr[1] = w.f.addr;
			answer.addr[0] = refused();
			probe_start(&w.p, &w.f, 100000, false);
			for (int i = 0; i < turns && !w.p.connected; i++)
				ph_loop_turn(w.loop);
			w.p.over = true;
			ph_call_cancel(w.p.call);
			world_close(&w);
		}
	}
}

/* Schemes, hosts and ports do not mix. */
static void origins_are_kept_apart(void **state)
{
	struct world w, other;

	(void)state;
	world_open(&w, 5000);
	probe_run(&w.p, &w.f, 3);
	again(&w);
	fake_open(&other.f, w.loop, SMALL);
	answer.addr[0] = other.f.addr;
	probe_run(&w.p, &other.f, 3);
	assert_int_equal(other.f.accepted, 1);
	assert_int_equal(w.f.accepted, 1);
	again(&w);
	probe_run(&w.p, &w.f, 3); /* the first one's is still there */
	assert_int_equal(w.f.accepted, 1);
	again(&w);
	w.f.url.tls = true; /* a cleartext connection is none for https */
	answer.addr[0] = refused();
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_CONNECT);
	fake_close(&other.f);
	world_close(&w);
}

/* The answer comes in the very turn of the loop in which a pooled connection was lent: first things first,
 * and the connection, which still holds the request, is not used again. */
static void an_answer_in_the_same_turn(void **state)
{
	struct world w;

	(void)state;
	for (int eof = 0; eof < 2; eof++) {
		world_open(&w, 5000);
		probe_run(&w.p, &w.f, 3);
		again(&w);
		probe_start(&w.p, &w.f, 3, false);
		if (eof)
			ph_call_on_eof(w.p.call, 0);
		else
			ph_call_on_data(w.p.call, PH_STR(SMALL));
		assert_int_equal(w.p.ended, 1);
		assert_int_equal(w.p.connected, 1);
		assert_int_equal(w.p.sent, 1);
		assert_int_equal(w.p.status, eof ? -PH_E_UPSTREAM_STALE : 0);
		again(&w);
		probe_run(&w.p, &w.f, 3);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.f.accepted, 2);
		world_close(&w);
	}
	/* and an owner that ends it at the first of them hears nothing of the rest */
	world_open(&w, 5000);
	probe_run(&w.p, &w.f, 3);
	again(&w);
	w.p.cancel_in = IN_CONNECTED;
	probe_start(&w.p, &w.f, 3, false);
	ph_call_on_data(w.p.call, PH_STR(SMALL));
	assert_true(w.p.over);
	world_close(&w);
}

static void closing_with_idle_ones(void **state)
{
	struct world w;
	struct probe p[20];

	(void)state;
	world_open(&w, 5000);
	for (int i = 0; i < 20; i++) {
		probe_init(&p[i], w.u);
		probe_start(&p[i], &w.f, 3, false);
	}
	for (int i = 0; i < 20; i++) {
		turn_until(w.loop, &p[i].ended);
		assert_int_equal(p[i].status, 0);
		probe_done(&p[i]);
	}
	assert_true(w.f.open > 1);
	assert_int_equal(w.f.open, w.f.accepted);
	assert_int_equal(resolves, w.f.accepted);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_then_the_next_address),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(the_connect_deadline),
		cmocka_unit_test(no_deadline_afterwards),
		cmocka_unit_test(cancelled_while_connecting),
		cmocka_unit_test(origins_are_kept_apart),
		cmocka_unit_test(an_answer_in_the_same_turn),
		cmocka_unit_test(closing_with_idle_ones),
	};

	return cmocka_run_group_tests_name("upstream.pool", tests, NULL, NULL);
}
