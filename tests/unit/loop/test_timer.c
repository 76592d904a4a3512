/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "loop_test.h"

#include "loop/loop_priv.h"

struct probe {
	struct ph_timer timer;
	struct ph_loop *loop;
	uint64_t asked_ns;
	uint64_t after_ms;
	int fired;
	int order; /* when it fired among all */
	struct probe *victim;
	int again; /* how often it starts itself */
};

static int fired_so_far;

static void on_fire(void *arg)
{
	struct probe *p = arg;

	p->fired++;
	p->order = ++fired_so_far;
	assert_false(ph_timer_active(&p->timer));
	assert_true(ph_clock_ns() - p->asked_ns >= p->after_ms * 1000000);
	if (p->victim)
		ph_timer_stop(&p->victim->timer);
	if (p->again > 0) {
		p->again--;
		ph_timer_start(&p->timer, p->after_ms);
	}
}

static void start(struct probe *p, struct ph_loop *loop, uint64_t after_ms)
{
	ph_timer_init(&p->timer, loop, on_fire, p);
	p->loop = loop;
	p->after_ms = after_ms;
	p->asked_ns = ph_clock_ns();
	ph_timer_start(&p->timer, after_ms);
	assert_true(ph_timer_active(&p->timer));
}

static void test_order(void **state)
{
	static const uint64_t after[] = {120, 30, 700, 60, 0, 1};
	struct ph_loop *loop = ph_loop_new();
	struct probe p[PH_COUNT(after)] = {0};

	(void)state;
	fired_so_far = 0;
	for (size_t i = 0; i < PH_COUNT(after); i++)
		start(&p[i], loop, after[i]);
	assert_int_equal(fired_so_far, 0);
	ph_loop_run(loop); /* ends by itself when the last has fired */
	for (size_t i = 0; i < PH_COUNT(after); i++) {
		assert_int_equal(p[i].fired, 1);
		for (size_t k = 0; k < PH_COUNT(after); k++) {
			if (after[i] + 20 < after[k])
				assert_true(p[i].order < p[k].order);
		}
	}
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_restart_postpones(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct probe p = {0};

	(void)state;
	start(&p, loop, 2000);
	for (int i = 0; i < 5; i++) {
		turn_for(loop, 20);
		assert_int_equal(p.fired, 0);
		p.asked_ns = ph_clock_ns();
		ph_timer_start(&p.timer, p.after_ms = 2000);
	}
	p.asked_ns = ph_clock_ns();
	ph_timer_start(&p.timer, p.after_ms = 10); /* and brings forward */
	turn_until(loop, &p.fired);
	ph_loop_run(loop);
	assert_int_equal(p.fired, 1);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_inside_a_callback(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct probe p[3] = {0};

	(void)state;
	/* the same tick: whichever comes first stops the other */
	start(&p[0], loop, 25);
	start(&p[1], loop, 25);
	p[0].victim = &p[1];
	p[1].victim = &p[0];
	start(&p[2], loop, 0);
	p[2].again = 5;
	ph_loop_run(loop);
	assert_int_equal(p[0].fired + p[1].fired, 1);
	assert_int_equal(p[2].fired, 6);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_stop_lets_the_loop_end(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct probe p[3] = {0};

	(void)state;
	start(&p[0], loop, UINT64_MAX);
	start(&p[1], loop, UINT64_C(86400000) * 365);
	start(&p[2], loop, 30);
	p[2].victim = &p[0];
	turn_until(loop, &p[2].fired);
	assert_false(ph_timer_active(&p[0].timer));
	assert_true(ph_timer_active(&p[1].timer));
	assert_int_equal(ph_loop_free(loop), 1); /* one still runs */
	ph_timer_stop(&p[1].timer);
	ph_timer_stop(&p[1].timer);
	ph_loop_run(loop);
	assert_int_equal(p[0].fired + p[1].fired, 0);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* A callback that takes long makes the loop's cached time old; timers count from the clock all the same. */
static void test_not_early_after_long_work(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct probe p = {0};

	(void)state;
	ph_loop_turn(loop);
	usleep(60000);
	start(&p, loop, 50);
	ph_loop_run(loop);
	assert_int_equal(p.fired, 1);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- days in a moment: the loop's time is set by hand, from one wake of the wheel to the next ---- */
struct model {
	struct ph_timer timer;
	struct ph_loop *loop;
	int fired;
};

static void on_model(void *arg)
{
	struct model *m = arg;
	uint64_t now = uv_now(&m->loop->uv);

	m->fired++;
	assert_true(now >= m->timer.due_ms);
	assert_true(now < m->timer.due_ms + 20);
}

static void test_cascade(void **state)
{
	enum {
		COUNT = 3000
	};
	struct ph_loop *loop = ph_loop_new();
	struct model *m = calloc(COUNT, sizeof(*m));
	unsigned left = COUNT;
	uint64_t started_ms;

	(void)state;
	srand(7);
	started_ms = uv_now(&loop->uv);
	for (int i = 0; i < COUNT; i++) {
		uint64_t scale = UINT64_C(10) << (i % 27); /* up to two weeks */

		ph_timer_init(&m[i].timer, loop, on_model, &m[i]);
		m[i].loop = loop;
		ph_timer_start(&m[i].timer, (uint64_t)rand() % scale);
	}
	for (int i = 0; i < COUNT; i += 10) { /* some stop */
		ph_timer_stop(&m[i].timer);
		left--;
	}
	assert_int_equal(loop->wheel.count, left);
	while (loop->wheel.count > 0) {
		assert_true(loop->wheel.armed != UINT64_MAX);
		loop->uv.time = loop->wheel.armed * 10;
		loop->wheel.timer.timer_cb(&loop->wheel.timer);
	}
	assert_true(loop->uv.time > started_ms + 86400000);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(m[i].fired, i % 10 == 0 ? 0 : 1);
	free(m);
	assert_int_equal(ph_loop_free(loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_restart_postpones),
		cmocka_unit_test(test_inside_a_callback),
		cmocka_unit_test(test_stop_lets_the_loop_end),
		cmocka_unit_test(test_not_early_after_long_work),
		cmocka_unit_test(test_cascade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
