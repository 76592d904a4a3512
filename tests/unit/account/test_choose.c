/* SPDX-License-Identifier: Apache-2.0 */
/* Which account takes a turn: every reason for and against one, and that load spreads. */
#include "ph_test.h"

#include <stdlib.h>

#include "account/account_priv.h"

struct world {
	struct ph_loop *loop;
	struct ph_accounts *r;
	struct ph_account *a[8]; /* borrowed; a[i]->id is i + 1 */
};

static void world_open(struct world *w, size_t n)
{
	w->loop = ph_loop_new();
	w->r = ph_accounts_new(w->loop, NULL, NULL);
	for (size_t i = 0; i < n; i++) {
		w->a[i] = ph_account_new();
		w->a[i]->id = (int64_t)i + 1;
		w->a[i]->weight = 1;
		w->a[i]->name = ph_strdup("name");
		ph_list_push_back(ph_accounts_list(w->r), &w->a[i]->node);
	}
}

static void world_close(struct world *w)
{
	ph_accounts_free(w->r);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

/* The id that is chosen, or minus the verdict. */
static int choose(struct world *w, const struct ph_choice *c)
{
	struct ph_account *a = NULL;
	enum ph_choice_verdict v = ph_account_choose(w->r, c, &a);

	if (v != PH_CHOSEN) {
		assert_null(a);
		return -(int)v;
	}
	return (int)a->id;
}

static void models(struct ph_account *a, const char *model)
{
	a->models = ph_alloc(sizeof *a->models);
	a->models[0] = ph_str(ph_strdup(model), strlen(model));
	a->model_count = 1;
}

static void reasons_against(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m")};
	int64_t two = 2;

	(void)state;
	world_open(&w, 0);
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE); /* nobody at all */
	world_close(&w);

	world_open(&w, 1);
	assert_int_equal(choose(&w, &c), 1);
	for (int s = PH_ACCOUNT_ACTIVE; s <= PH_ACCOUNT_GONE; s++) {
		w.a[0]->state = (enum ph_account_state)s;
		assert_int_equal(choose(&w, &c), s == PH_ACCOUNT_ACTIVE ? 1 : -PH_CHOICE_NONE);
	}
	w.a[0]->state = PH_ACCOUNT_ACTIVE;
	w.a[0]->sealed_badly = true;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
	w.a[0]->sealed_badly = false;
	c.allowed = &two;
	c.allowed_count = 1;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
	c.allowed_count = 0;
	c.required = 2;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
	c.required = 1;
	assert_int_equal(choose(&w, &c), 1);
	c.kinds = 1 << PH_CODEX | 1 << PH_STATELESS;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
	c.kinds |= 1 << PH_PLATFORM;
	assert_int_equal(choose(&w, &c), 1);
	models(w.a[0], "other");
	assert_int_equal(choose(&w, &c), -PH_CHOICE_MODEL);
	c.model = PH_STR("other");
	assert_int_equal(choose(&w, &c), 1);
	w.a[0]->max_streams = 2;
	w.a[0]->running = 1;
	assert_int_equal(choose(&w, &c), 1);
	w.a[0]->running = 2;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_BUSY);
	c.tried[c.tried_count++] = 1;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_TRIED);
	world_close(&w);
}

/* Of several reasons the one that tells the client most. */
static void the_reason_that_is_told(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m")};

	(void)state;
	world_open(&w, 4);
	w.a[0]->state = PH_ACCOUNT_DISABLED;
	models(w.a[1], "x");
	models(w.a[2], "m");
	models(w.a[3], "m");
	c.tried[c.tried_count++] = 3;
	w.a[3]->max_streams = w.a[3]->running = 1;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_BUSY);
	w.a[3]->state = PH_ACCOUNT_PAUSED;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_TRIED);
	w.a[2]->state = PH_ACCOUNT_PAUSED;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_MODEL);
	w.a[1]->state = PH_ACCOUNT_PAUSED;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
	world_close(&w);
}

static void the_best_of_several(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m")};

	(void)state;
	world_open(&w, 3);
	w.a[0]->running = 4;
	w.a[1]->running = 2;
	w.a[2]->running = 3;
	assert_int_equal(choose(&w, &c), 2);
	w.a[0]->weight = 4; /* 1 per weight */
	assert_int_equal(choose(&w, &c), 1);
	w.a[2]->priority = -1; /* before any load */
	assert_int_equal(choose(&w, &c), 3);
	ph_account_failed(w.r, w.a[2], 0); /* before any priority */
	assert_int_equal(choose(&w, &c), 1);
	c.preferred = 2; /* before load */
	assert_int_equal(choose(&w, &c), 2);
	ph_account_failed(w.r, w.a[1], 0);
	assert_int_equal(choose(&w, &c), 1); /* but not while it is demoted */
	ph_account_failed(w.r, w.a[0], 0);
	assert_int_equal(choose(&w, &c), 3); /* all are: then they count again */
	c.tried[c.tried_count++] = 3;
	c.tried[c.tried_count++] = 1;
	assert_int_equal(choose(&w, &c), 2); /* the only one: a rest only demotes */
	ph_account_worked(w.a[2]);
	c.tried_count = 0;
	c.preferred = 0;
	assert_int_equal(choose(&w, &c), 3);
	world_close(&w);
}

static void demotion_grows_and_ends(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 1);
	for (int i = 0; i < 10; i++) {
		uint64_t now = ph_loop_now_ms(w.loop), rest;

		ph_account_failed(w.r, w.a[0], 0);
		rest = w.a[0]->demoted_until_ms - now;
		assert_true(rest >= 1000 && rest <= 30000);
		assert_int_equal(rest, i < 5 ? 1000u << i : 30000);
	}
	ph_account_failed(w.r, w.a[0], 86400000); /* hours are the database's business */
	assert_int_equal(w.a[0]->demoted_until_ms - ph_loop_now_ms(w.loop), 30000);
	ph_account_failed(w.r, w.a[0], 10);
	assert_int_equal(w.a[0]->demoted_until_ms - ph_loop_now_ms(w.loop), 10);
	ph_account_worked(w.a[0]);
	assert_int_equal(w.a[0]->demoted_until_ms, 0);
	assert_int_equal(w.a[0]->failures, 0);
	world_close(&w);
}

/* Idle accounts take turns; running turns spread by weight. */
static void load_spreads(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m")};
	int chosen[4] = {0};

	(void)state;
	world_open(&w, 3);
	for (int i = 0; i < 30; i++)
		chosen[choose(&w, &c)]++;
	for (int i = 1; i <= 3; i++)
		assert_int_equal(chosen[i], 10);
	w.a[2]->weight = 3;
	for (int i = 0; i < 100; i++) {
		struct ph_account *a;

		assert_int_equal(ph_account_choose(w.r, &c, &a), PH_CHOSEN);
		ph_account_take(a);
	}
	assert_int_equal(w.a[0]->running, 20);
	assert_int_equal(w.a[1]->running, 20);
	assert_int_equal(w.a[2]->running, 60);
	for (int i = 0; i < 3; i++)
		while (w.a[i]->running)
			ph_account_release(w.r, w.a[i]);
	world_close(&w);
}

/* ---- waiting ---- */

struct waiter {
	struct world *w;
	struct ph_account_wait wait;
	struct ph_account *got;
	int order, calls;
};
static int order;

static void on_slot(void *arg)
{
	struct waiter *x = arg;
	struct ph_choice c = {.model = PH_STR("m")};

	x->calls++;
	if (ph_account_choose(x->w->r, &c, &x->got) == PH_CHOSEN) {
		ph_account_take(x->got);
		x->order = ++order;
	} else {
		ph_account_wait(x->w->r, &x->wait);
	}
}

static void waiters_in_their_order(void **state)
{
	struct world w;
	struct waiter x[5];

	(void)state;
	order = 0;
	world_open(&w, 1);
	w.a[0]->max_streams = 1;
	ph_account_take(w.a[0]);
	for (int i = 0; i < 5; i++) {
		x[i] = (struct waiter){.w = &w};
		ph_account_wait_init(&x[i].wait, on_slot, &x[i]);
		ph_account_wait(w.r, &x[i].wait);
	}
	ph_account_wait_stop(&x[2].wait); /* leaves the queue */
	ph_account_wait_stop(&x[2].wait);
	for (int i = 0, n = 0; i < 5; i++) {
		if (i == 2)
			continue;
		ph_account_release(w.r, w.a[0]);
		assert_int_equal(order, n); /* later in this turn of the loop, not at once */
		ph_loop_turn(w.loop);
		assert_int_equal(order, ++n);
		assert_int_equal(x[i].order, n);
	}
	assert_int_equal(x[2].calls, 0);
	ph_account_release(w.r, w.a[0]);
	ph_loop_turn(w.loop);
	world_close(&w);
}

static void stops_everybody(void *arg)
{
	struct waiter *x = arg;

	x->calls++;
	for (int i = 0; i < 3; i++)
		ph_account_wait_stop(&x[i].wait);
}

/* A waiter that is woken may end others that were woken with it. */
static void a_waiter_ends_others(void **state)
{
	struct world w;
	struct waiter x[3];

	(void)state;
	world_open(&w, 1);
	ph_account_take(w.a[0]);
	for (int i = 0; i < 3; i++) {
		x[i] = (struct waiter){.w = &w};
		ph_account_wait_init(&x[i].wait, i ? on_slot : stops_everybody, &x[i]);
		ph_account_wait(w.r, &x[i].wait);
	}
	ph_account_release(w.r, w.a[0]);
	ph_loop_turn(w.loop);
	assert_int_equal(x[0].calls, 1);
	assert_int_equal(x[1].calls + x[2].calls, 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_against),
		cmocka_unit_test(the_reason_that_is_told),
		cmocka_unit_test(the_best_of_several),
		cmocka_unit_test(demotion_grows_and_ends),
		cmocka_unit_test(load_spreads),
		cmocka_unit_test(waiters_in_their_order),
		cmocka_unit_test(a_waiter_ends_others),
	};

	return cmocka_run_group_tests_name("account.choose", tests, NULL, NULL);
}
