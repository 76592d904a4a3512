/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that their owner sends as they come. */
#include "fake.h"

#define SMALL "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

struct world {
	struct ph_loop *loop;
	struct fake f;
	struct ph_upstream *u;
	struct probe p;
	int drained;
};

static void world_open(struct world *w)
{
	w->loop = ph_loop_new();
	fake_open(&w->f, w->loop, SMALL);
	w->u = upstream_open(w->loop, 5000);
	probe_init(&w->p, w->u);
	w->drained = 0;
}

static void world_close(struct world *w)
{
	upstream_close(w->u, w->loop);
	fake_close(&w->f);
	probe_done(&w->p);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

static void on_drain(void *owner)
{
	struct probe *p = owner;

	PH_CONTAINER(p, struct world, p)->drained++;
}

static void begin(struct world *w, int64_t length)
{
	const struct ph_call_upload upload = {length, on_drain};
	struct ph_call_request r = {&w->f.url, PH_STR("POST"), PH_STR("/files"), NULL, NULL, false};

	w->p.call = ph_call_upload(w->u, &r, &upload, &probe_events, &w->p);
	turn_until(w->loop, &w->p.connected);
	assert_int_equal(w->p.sent, 0);
}

/* Pushes on only while there is room; what the peer has read so far never trails by more than the marks. */
static void push_all(struct world *w, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t from = at % PATTERN_N, piece = PATTERN_N - from < n - at ? PATTERN_N - from : n - at;
		long room = ph_call_push(w->p.call, ph_str(pattern() + from, piece));

		at += piece;
		if (room > 0)
			continue;
		w->drained = 0;
		turn_until(w->loop, &w->drained);
	}
	ph_call_push_end(w->p.call);
}

static void whole_bodies(void **state)
{
	static const size_t sizes[] = {0, 1, 1000, 8 << 20};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(sizes); i++) {
		struct world w;
		char line[64];

		world_open(&w);
		begin(&w, (int64_t)sizes[i]);
		push_all(&w, sizes[i]);
		turn_until(w.loop, &w.p.ended);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.f.body, sizes[i]);
		ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
		snprintf(line, sizeof line, "content-length: %zu\r\n", sizes[i]);
		assert_true(ph_str_find_nocase(ph_buf_str(&w.f.head), ph_str_c(line)) > 0);
		/* complete: the connection carries another call, though never another upload */
		probe_done(&w.p);
		probe_init(&w.p, w.u);
		probe_run(&w.p, &w.f, SIZE_MAX);
		assert_int_equal(w.f.accepted, 1);
		probe_done(&w.p);
		probe_init(&w.p, w.u);
		begin(&w, 1);
		assert_int_equal(w.f.accepted, 2);
		ph_call_cancel(w.p.call);
		world_close(&w);
	}
}

static void in_chunks(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	w.f.early = true; /* the server of these tests reads no chunks */
	w.f.mute = true;
	w.f.answer = PH_STR("");
	begin(&w, -1);
	assert_true(ph_call_push(w.p.call, PH_STR("abc")) > 0);
	assert_true(ph_call_push(w.p.call, PH_STR("")) > 0); /* no last chunk */
	ph_call_push_end(w.p.call);
	while (w.f.requests == 0)
		ph_loop_turn(w.loop);
	assert_true(ph_str_find_nocase(ph_buf_str(&w.f.head), PH_STR("transfer-encoding: chunked\r\n")) > 0);
	assert_true(ph_str_find_nocase(ph_buf_str(&w.f.head), PH_STR("content-length")) < 0);
	ph_call_cancel(w.p.call);
	world_close(&w);
}

/* The answer overtakes the body: the connection carries nothing more, and nobody waits for the rest. */
static void an_early_answer(void **state)
{
	struct world w;

	(void)state;
	world_open(&w);
	w.f.early = true;
	begin(&w, 1 << 20);
	ph_call_push(w.p.call, PH_STR("abc"));
	turn_until(w.loop, &w.p.ended);
	assert_int_equal(w.p.status, 0);
	ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
	fake_hang_up(&w.f, false);
	fake_wait_empty(&w.f);
	w.f.early = false;
	probe_done(&w.p);
	probe_init(&w.p, w.u);
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, 0);
	assert_int_equal(w.f.accepted, 2);
	world_close(&w);
}

static void broken_off(void **state)
{
	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct world w;

		world_open(&w);
		begin(&w, 1 << 20);
		ph_call_push(w.p.call, ph_str(pattern(), 1000));
		while (w.f.body < 1000)
			ph_loop_turn(w.loop);
		fake_hang_up(&w.f, reset);
		turn_until(w.loop, &w.p.ended);
		assert_int_equal(w.p.status, -PH_E_UPSTREAM_DROPPED);
		world_close(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_bodies),
		cmocka_unit_test(in_chunks),
		cmocka_unit_test(an_early_answer),
		cmocka_unit_test(broken_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
