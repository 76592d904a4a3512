/* SPDX-License-Identifier: Apache-2.0 */
/* Calls against a server that misbehaves in every way that bytes and ends allow. */
#include "fake.h"

#define SMALL  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
#define CHUNKS "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
#define TO_END "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
#define NO_END "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"

struct world {
	struct ph_loop *loop;
	struct fake f;
	struct ph_upstream *u;
	struct probe p;
};

static void world_open(struct world *w, const char *answer)
{
	w->loop = ph_loop_new();
	fake_open(&w->f, w->loop, answer);
	w->u = upstream_open(w->loop, 5000);
	probe_init(&w->p, w->u);
}

static void world_close(struct world *w)
{
	upstream_close(w->u, w->loop);
	fake_close(&w->f);
	probe_done(&w->p);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

/* The next call of the same world. */
static void again(struct world *w)
{
	probe_done(&w->p);
	probe_init(&w->p, w->u);
}

static void a_whole_answer_and_the_pool(void **state)
{
	const char *answers[] = {SMALL, CHUNKS};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++) {
		struct world w;

		world_open(&w, answers[i]);
		for (int round = 0; round < 3; round++) {
			size_t body = round == 1 ? SIZE_MAX : (size_t)round * 100;

			probe_run(&w.p, &w.f, body);
			assert_int_equal(w.p.status, 0);
			assert_int_equal(w.p.http_status, 200);
			assert_int_equal(w.p.sent, 1);
			ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
			assert_int_equal(w.p.bodies, 1);   /* of one read, however it is framed */
			assert_int_equal(w.f.accepted, 1); /* the same connection, each time */
			again(&w);
		}
		assert_int_equal(w.f.requests, 3);
		probe_start(&w.p, &w.f, 0, true);
		turn_until(w.loop, &w.p.ended);
		assert_int_equal(w.f.accepted, 2); /* a fresh one was asked for */
		world_close(&w);
	}
}

static void what_is_sent(void **state)
{
	struct world w;
	char want[256];

	(void)state;
	world_open(&w, SMALL);
	probe_run(&w.p, &w.f, 7);
	snprintf(want, sizeof want,
		"POST /base/v1/responses?x=1 HTTP/1.1\r\nhost: 127.0.0.1:%u\r\nx-test: yes\r\n"
		"content-length: 7\r\n\r\n",
		(unsigned)port_of(&w.f.addr));
	assert_true(ph_str_eq_nocase(ph_buf_str(&w.f.head), ph_str_c(want)));
	assert_int_equal(w.f.body, 7);
	again(&w);
	probe_run(&w.p, &w.f, 0);
	assert_true(ph_str_find_nocase(ph_buf_str(&w.f.head), PH_STR("content-length: 0\r\n")) > 0);
	again(&w);
	probe_run(&w.p, &w.f, SIZE_MAX);
	assert_true(ph_str_starts(ph_buf_str(&w.f.head), PH_STR("GET ")));
	assert_true(ph_str_find_nocase(ph_buf_str(&w.f.head), PH_STR("content-length")) < 0);
	world_close(&w);
}

/* Every position at which an answer can break off, by FIN and by RST, on a new and on a used connection. */
static void cut_at(const char *answer, size_t cut, enum then then, bool used, bool until_end)
{
	struct world w;
	size_t head = (size_t)(ph_str_find(ph_str_c(answer), PH_STR("\r\n\r\n")) + 4);
	bool whole = (cut == strlen(answer) && !until_end) || (until_end && cut >= head && then == THEN_FIN);

	world_open(&w, SMALL);
	if (used) {
		probe_run(&w.p, &w.f, 3);
		assert_int_equal(w.p.status, 0);
		again(&w);
	}
	w.f.answer = ph_str_c(answer);
	w.f.cut = cut;
	w.f.then = then;
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.f.accepted, 1);
	if (whole)
		assert_int_equal(w.p.status, 0);
	else if (cut == 0 && used)
		assert_int_equal(w.p.status, -PH_E_UPSTREAM_STALE);
	else if (then == THEN_RESET && used) /* the reset may have overtaken the bytes */
		assert_true(w.p.status == -PH_E_UPSTREAM_DROPPED || w.p.status == -PH_E_UPSTREAM_STALE);
	else
		assert_int_equal(w.p.status, -PH_E_UPSTREAM_DROPPED);
	if (then == THEN_FIN)
		assert_int_equal(w.p.bytes, cut < head || !until_end ? w.p.bytes : cut - head);
	world_close(&w);
}

static void broken_off_at_every_byte(void **state)
{
	const char *answers[] = {SMALL, CHUNKS, TO_END};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++)
		for (size_t cut = 0; cut <= strlen(answers[i]); cut++)
			for (int used = 0; used < 2; used++) {
				cut_at(answers[i], cut, THEN_FIN, used, i == 2);
				if (cut < strlen(answers[i])) /* a reset at the end may overtake the end */
					cut_at(answers[i], cut, THEN_RESET, used, i == 2);
			}
}

/* Bytes come one read at a time: callbacks come in the same order, and bodies join to the same bytes. */
static void slowly(void **state)
{
	const char *answers[] = {SMALL, CHUNKS};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++) {
		struct world w;

		world_open(&w, "");
		w.f.mute = true;
		probe_start(&w.p, &w.f, 3, false);
		while (!w.f.requests)
			ph_loop_turn(w.loop);
		for (const char *p = answers[i]; *p; p++) {
			assert_int_equal(w.p.ended, 0);
			fake_push(&w.f, ph_str(p, 1));
			for (int turn = 0; turn < 5; turn++)
				ph_loop_turn(w.loop);
		}
		turn_until(w.loop, &w.p.ended);
		assert_int_equal(w.p.status, 0);
		ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
		world_close(&w);
	}
}

static void a_stale_connection(void **state)
{
	(void)state;
	for (int reset = 0; reset < 2; reset++) {
		struct world w;

		world_open(&w, SMALL);
		probe_run(&w.p, &w.f, 3);
		again(&w);
		/* It ends while it idles: seen, and never lent again. */
		fake_hang_up(&w.f, reset);
		turn_for(w.loop, 20);
		assert_int_equal(w.f.open, 0);
		probe_run(&w.p, &w.f, 3);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.f.accepted, 2);
		again(&w);
		/* It ends in the very turn in which it is lent. */
		fake_hang_up(&w.f, reset);
		probe_run(&w.p, &w.f, 3);
		assert_true(w.p.status == -PH_E_UPSTREAM_STALE || (w.p.status == 0 && w.f.accepted == 3));
		world_close(&w);
	}
}

static void an_answer_before_the_request_was_sent(void **state)
{
	struct world w;

	(void)state;
	for (int used = 0; used < 2; used++) {
		world_open(&w, SMALL);
		if (used) {
			probe_run(&w.p, &w.f, 3);
			again(&w);
		}
		w.f.answer = PH_STR("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
		w.f.early = true;
		probe_run(&w.p, &w.f, 20 << 20);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.p.http_status, 413);
		assert_int_equal(w.p.sent, 0);
		again(&w);
		w.f.early = false;
		w.f.answer = PH_STR(SMALL);
		probe_run(&w.p, &w.f, 3); /* on another connection: half a request stands in the first */
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.f.accepted, 2);
		world_close(&w);
	}
}

static void interim_answers(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" SMALL);
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, 0);
	assert_int_equal(w.p.http_status, 200);
	ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
	again(&w);
	/* Only an interim one, then the end: the exchange had begun. */
	w.f.answer = PH_STR("HTTP/1.1 100 Continue\r\n\r\n");
	w.f.then = THEN_FIN;
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, -PH_E_UPSTREAM_DROPPED);
	again(&w);
	/* A switch of protocols that nobody asked for: told, and the connection never lent again. */
	w.f.answer = PH_STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
	w.f.then = THEN_STAY;
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.http_status, 101);
	again(&w);
	w.f.answer = PH_STR(SMALL);
	w.f.accepted = 0;
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, 0);
	assert_int_equal(w.f.accepted, 1);
	world_close(&w);
}

static void not_http(void **state)
{
	const char *answers[] = {"SSH-2.0-x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++) {
		struct world w;

		world_open(&w, answers[i]);
		probe_run(&w.p, &w.f, 3);
		assert_int_equal(w.p.status, -PH_E_UPSTREAM_BAD);
		world_close(&w);
	}
}

/* Bytes behind the answer never reach another call. */
static void extra_bytes(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, SMALL "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad");
	probe_run(&w.p, &w.f, 3);
	ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
	again(&w);
	w.f.answer = PH_STR(SMALL);
	probe_run(&w.p, &w.f, 3);
	ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
	assert_int_equal(w.f.accepted, 2);
	again(&w);
	/* and those that come while it idles end it */
	fake_push(&w.f, PH_STR("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"));
	turn_for(w.loop, 20);
	probe_run(&w.p, &w.f, 3);
	ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
	assert_int_equal(w.f.accepted, 3);
	world_close(&w);
}

static void answers_that_close(void **state)
{
	const char *answers[] = {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(answers); i++) {
		struct world w;

		world_open(&w, answers[i]);
		for (int round = 1; round <= 2; round++) {
			probe_run(&w.p, &w.f, 3);
			assert_int_equal(w.p.status, 0);
			assert_int_equal(w.f.accepted, round);
			again(&w);
		}
		world_close(&w);
	}
}

static void a_large_body_by_reference(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, SMALL);
	for (int round = 0; round < 2; round++) {
		probe_run(&w.p, &w.f, 20 << 20);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.p.sent, 1);
		assert_int_equal(w.f.body, 20 << 20);
		again(&w);
	}
	/* the sizes around the one that is copied */
	for (size_t n = 16 * 1024 - 1; n <= 16 * 1024 + 1; n++) {
		probe_run(&w.p, &w.f, n);
		assert_int_equal(w.p.status, 0);
		assert_int_equal(w.p.sent, 1);
		assert_int_equal(w.f.body, n);
		again(&w);
	}
	assert_int_equal(w.f.accepted, 1);
	world_close(&w);
}

/* From inside every callback, on new and used connections, with small and large bodies. */
static void cancel_in(enum place place, bool used, size_t body, bool abandon)
{
	struct world w;

	world_open(&w, SMALL);
	if (used) {
		probe_run(&w.p, &w.f, 3);
		again(&w);
	}
	*(abandon ? &w.p.abandon_in : &w.p.cancel_in) = place;
	probe_start(&w.p, &w.f, body, false);
	while (!w.p.over)
		ph_loop_turn(w.loop);
	turn_for(w.loop, 5);
	if (!abandon)
		fake_wait_empty(&w.f);
	assert_int_equal(w.p.ended, 0);
	again(&w);
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, 0);
	ph_assert_str(ph_buf_str(&w.p.body), PH_STR("hello"));
	world_close(&w);
}

static void cancelled_everywhere(void **state)
{
	(void)state;
	for (int place = IN_CONNECTED; place < PLACES; place++)
		for (int used = 0; used < 2; used++)
			for (int large = 0; large < 2; large++) {
				cancel_in((enum place)place, used, large ? 4 << 20 : 3, false);
				cancel_in((enum place)place, used, large ? 4 << 20 : 3, true);
			}
}

/* After any number of turns of the loop. */
static void cancelled_at_any_time(void **state)
{
	(void)state;
	for (int used = 0; used < 2; used++)
		for (int large = 0; large < 2; large++)
			for (int turns = 0; turns < 12; turns++) {
				struct world w;

				world_open(&w, SMALL);
				if (used) {
					probe_run(&w.p, &w.f, 3);
					again(&w);
				}
				probe_start(&w.p, &w.f, large ? 4 << 20 : 3, false);
				for (int i = 0; i < turns; i++)
					ph_loop_turn(w.loop);
				if (!w.p.ended) {
					w.p.over = true;
					ph_call_cancel(w.p.call);
					turn_for(w.loop, 5); /* a connect may be under way */
					fake_wait_empty(&w.f);
				}
				world_close(&w);
			}
}

static void an_abandoned_answer_ends(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NO_END);
	w.p.abandon_in = IN_BODY;
	probe_start(&w.p, &w.f, 3, false);
	while (!w.p.over)
		ph_loop_turn(w.loop);
	for (int i = 0; i < 95; i++)
		fake_push(&w.f, PH_STR("x"));
	turn_for(w.loop, 30);
	again(&w);
	w.f.answer = PH_STR(SMALL);
	probe_run(&w.p, &w.f, 3);
	assert_int_equal(w.p.status, 0);
	assert_int_equal(w.f.accepted, 1); /* its end came in time: the connection lives on */
	world_close(&w);
}

static void an_abandoned_answer_goes_on(void **state)
{
	struct world w;
	uint64_t from;

	(void)state;
	world_open(&w, NO_END);
	w.p.abandon_in = IN_BODY;
	probe_start(&w.p, &w.f, 3, false);
	while (!w.p.over)
		ph_loop_turn(w.loop);
	from = ph_clock_ms();
	fake_wait_empty(&w.f);
	assert_true(ph_clock_ms() - from >= 900);
	world_close(&w);
}

/* The pool waits for abandoned calls when it closes. */
static void closing_with_an_abandoned_call(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, NO_END);
	w.p.abandon_in = IN_HEAD;
	probe_start(&w.p, &w.f, 3, false);
	while (!w.p.over)
		ph_loop_turn(w.loop);
	world_close(&w);
}

static void back_pressure(void **state)
{
	const size_t total = 8 << 20;
	struct world w;
	struct ph_buf answer;
	size_t seen;

	(void)state;
	ph_buf_init(&answer, 64 << 20);
	ph_buf_printf(&answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", total);
	for (size_t i = 0; i < total; i++)
		ph_buf_putc(&answer, 'x');
	world_open(&w, "");
	w.f.answer = ph_buf_str(&answer);
	w.p.pause_in_head = true;
	w.p.keep_body = false;
	probe_start(&w.p, &w.f, 3, false);
	while (!w.p.heads)
		ph_loop_turn(w.loop);
	turn_for(w.loop, 100);
	seen = w.p.bytes;
	assert_true(seen < total / 4); /* what one read had brought */
	turn_for(w.loop, 50);
	assert_int_equal(w.p.bytes, seen);
	ph_call_read(w.p.call, true);
	turn_until(w.loop, &w.p.ended);
	assert_int_equal(w.p.bytes, total);
	ph_buf_deinit(&answer);
	world_close(&w);
}

/* Many calls at once, some of which end badly: each hears of its own answer only. */
static void many_at_once(void **state)
{
	enum {
		CALLS = 64
	};
	struct world w;
	struct probe p[CALLS];
	int left = CALLS;

	(void)state;
	world_open(&w, SMALL);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < CALLS; i++) {
			probe_init(&p[i], w.u);
			p[i].cancel_in = i % 8 == 1 ? IN_HEAD : i % 8 == 2 ? IN_SENT : NOWHERE_AT_ALL;
			probe_start(&p[i], &w.f, (size_t)i * 700, false);
		}
		do {
			ph_loop_turn(w.loop);
			left = 0;
			for (int i = 0; i < CALLS; i++)
				left += !p[i].ended && !p[i].over;
		} while (left);
		for (int i = 0; i < CALLS; i++) {
			if (p[i].ended) {
				assert_int_equal(p[i].status, 0);
				ph_assert_str(ph_buf_str(&p[i].body), PH_STR("hello"));
			}
			probe_done(&p[i]);
		}
	}
	assert_true(w.f.accepted < 3 * CALLS); /* the pool was of use */
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_and_the_pool),
		cmocka_unit_test(what_is_sent),
		cmocka_unit_test(broken_off_at_every_byte),
		cmocka_unit_test(slowly),
		cmocka_unit_test(a_stale_connection),
		cmocka_unit_test(an_answer_before_the_request_was_sent),
		cmocka_unit_test(interim_answers),
		cmocka_unit_test(not_http),
		cmocka_unit_test(extra_bytes),
		cmocka_unit_test(answers_that_close),
		cmocka_unit_test(a_large_body_by_reference),
		cmocka_unit_test(cancelled_everywhere),
		cmocka_unit_test(cancelled_at_any_time),
		cmocka_unit_test(an_abandoned_answer_ends),
		cmocka_unit_test(an_abandoned_answer_goes_on),
		cmocka_unit_test(closing_with_an_abandoned_call),
		cmocka_unit_test(back_pressure),
		cmocka_unit_test(many_at_once),
	};

	return cmocka_run_group_tests_name("upstream.call", tests, NULL, NULL);
}
