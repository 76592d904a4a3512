/* SPDX-License-Identifier: Apache-2.0 */
/* Which account takes a turn: every reason for and against one, and that load spreads. */
#include "account_test.h"

/* The id that is chosen, or minus the verdict. */
static int choose(struct world *w, const struct ph_choice *c)
{
	struct ph_chosen chosen = {.after_ms = 7};
	enum ph_choice_verdict v = ph_account_choose(w->r, c, &chosen);

	if (v != PH_CHOSEN) {
		assert_null(chosen.account);
		assert_int_equal(chosen.after_ms != 0, v == PH_CHOICE_COOLING || v == PH_CHOICE_EXHAUSTED);
		return -(int)v;
	}
	assert_int_equal(chosen.after_ms, 0);
	return (int)chosen.account->id;
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
	for (int s = PH_ACCOUNT_REAUTH; s <= PH_ACCOUNT_GONE; s++) {
		w.a[0]->state = (enum ph_account_state)s;
		assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
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
	grant(w.a[0], 2, 2);
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
	grant(w.a[3], 1, 1);
	w.a[3]->running = 1;
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
	ph_account_rest(w.r, w.a[2], PH_REST_ACCOUNT, PH_STR_NONE, 5000); /* before any priority */
	assert_int_equal(choose(&w, &c), 1);
	c.preferred = 2; /* before load */
	assert_int_equal(choose(&w, &c), 2);
	ph_account_rest(w.r, w.a[1], PH_REST_ACCOUNT, PH_STR_NONE, 5000);
	assert_int_equal(choose(&w, &c), 1); /* but not while it rests */
	ph_account_rest(w.r, w.a[0], PH_REST_ACCOUNT, PH_STR_NONE, 5000);
	assert_int_equal(choose(&w, &c), 3); /* all do: then they count again */
	c.tried[c.tried_count++] = 3;
	c.tried[c.tried_count++] = 1;
	assert_int_equal(choose(&w, &c), 2); /* the only one: a rest only demotes */
	ph_account_worked(w.r, w.a[2]);
	c.tried_count = 0;
	c.preferred = 0;
	assert_int_equal(choose(&w, &c), 3);
	world_close(&w);
}

static void block(struct world *w, int i, enum ph_account_state state, uint64_t ms)
{
	w->a[i]->state = w->a[i]->health.state = state;
	w->a[i]->health.until_ms = ph_loop_now_ms(w->loop) + ms;
}

/* Until when all that could are blocked; who could not anyway does not count. */
static void blocked(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m"), .kinds = 1 << PH_PLATFORM};
	const int64_t keys[] = {1, 2, 3, 4};
	struct ph_chosen ret;

	(void)state;
	world_open(&w, 6);
	c.allowed = keys;
	c.allowed_count = PH_COUNT(keys);
	block(&w, 0, PH_ACCOUNT_EXHAUSTED, 60000);
	block(&w, 1, PH_ACCOUNT_EXHAUSTED, 50000);
	block(&w, 2, PH_ACCOUNT_COOLING, 1000);
	models(w.a[2], "other");
	block(&w, 3, PH_ACCOUNT_COOLING, 1000);
	w.a[3]->kind = PH_CODEX;
	block(&w, 4, PH_ACCOUNT_COOLING, 1000); /* not allowed */
	w.a[5]->state = PH_ACCOUNT_DISABLED;
	assert_int_equal(ph_account_choose(w.r, &c, &ret), PH_CHOICE_EXHAUSTED);
	assert_int_equal(ret.after_ms, 50000);
	c.kinds = 0;
	assert_int_equal(ph_account_choose(w.r, &c, &ret), PH_CHOICE_COOLING);
	assert_int_equal(ret.after_ms, 1000);
	c.required = 1;
	assert_int_equal(ph_account_choose(w.r, &c, &ret), PH_CHOICE_EXHAUSTED);
	assert_int_equal(ret.after_ms, 60000);
	c.tried[c.tried_count++] = 1; /* that it was tried tells less */
	assert_int_equal(choose(&w, &c), -PH_CHOICE_EXHAUSTED);
	w.a[0]->sealed_badly = true; /* it will not do when the block ends either */
	assert_int_equal(choose(&w, &c), -PH_CHOICE_NONE);
	w.a[0]->sealed_badly = false;
	c.required = 0;
	w.a[1]->state = w.a[1]->health.state = PH_ACCOUNT_ACTIVE;
	assert_int_equal(choose(&w, &c), 2);
	c.tried[c.tried_count++] = 2;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_TRIED);
	c.tried_count = 0;
	grant(w.a[1], 1, 1);
	w.a[1]->running = 1;
	assert_int_equal(choose(&w, &c), -PH_CHOICE_BUSY);
	w.a[1]->running = 0;
	world_close(&w);
}

/* What an account has left breaks ties; near its limit it is left to the conversations that it has. */
static void quota(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m")};

	(void)state;
	world_open(&w, 3);
	w.a[0]->health.used_percent = 50;
	w.a[1]->health.used_percent = 20;
	w.a[2]->health.used_percent = 90;
	assert_int_equal(choose(&w, &c), 2);
	w.a[1]->running = 1; /* load comes first */
	assert_int_equal(choose(&w, &c), 1);
	w.a[0]->health.nearly_exhausted = true;
	assert_int_equal(choose(&w, &c), 1);
	c.fresh = true;
	assert_int_equal(choose(&w, &c), 3);
	w.a[0]->priority = -1;
	assert_int_equal(choose(&w, &c), 3);
	c.tried[c.tried_count++] = 3;
	assert_int_equal(choose(&w, &c), 2); /* before load and priority */
	c.preferred = 1;
	assert_int_equal(choose(&w, &c), 1);
	w.a[1]->running = 0;
	world_close(&w);
}

/* Each rest is of one place, one model, one family; it demotes there and nowhere else. */
static void rests(void **state)
{
	struct world w;
	struct ph_choice m = {.model = PH_STR("m"), .client = PH_STR("codex")};
	struct ph_choice n = {.model = PH_STR("n")};

	(void)state;
	world_open(&w, 3);
	w.a[1]->base = w.a[0]->base;
	w.a[0]->priority = -2;
	w.a[1]->priority = -1;
	ph_account_rest(w.r, w.a[0], PH_REST_MODEL, PH_STR("m"), 5000);
	assert_int_equal(choose(&w, &m), 2);
	assert_int_equal(choose(&w, &n), 1);
	ph_account_rest(w.r, w.a[0], PH_REST_CLIENT, PH_STR(""), 5000);
	assert_int_equal(choose(&w, &n), 2);
	ph_account_rest(w.r, w.a[1], PH_REST_BUSY, PH_STR("m"), 5000);
	assert_int_equal(choose(&w, &m), 3); /* the URL of both */
	assert_int_equal(choose(&w, &n), 2);
	ph_account_rest(w.r, w.a[0], PH_REST_PLACE, PH_STR_NONE, 5000);
	assert_int_equal(choose(&w, &n), 3);
	ph_account_worked(
		w.r, w.a[1]); /* the place is not refused; nothing is said about models and clients */
	assert_int_equal(choose(&w, &n), 2);
	assert_int_equal(choose(&w, &m), 3);
	world_close(&w);
}

static void rests_end(void **state)
{
	struct world w;
	struct ph_choice c = {.model = PH_STR("m")};
	char word[300];

	(void)state;
	world_open(&w, 2);
	w.a[0]->priority = -1;
	ph_account_rest(w.r, w.a[0], PH_REST_ACCOUNT, PH_STR_NONE, 100);
	ph_account_rest(w.r, w.a[0], PH_REST_ACCOUNT, PH_STR_NONE, 10); /* the longer one stays */
	assert_int_equal(w.r->rest_count, 1);
	run_for(&w, 30);
	assert_int_equal(choose(&w, &c), 2);
	run_for(&w, 100);
	assert_int_equal(choose(&w, &c), 1);
	/* Bounded: the oldest makes room, and those that have ended do not count. */
	for (int i = 0; i < PH_RESTS_MAX + 1; i++) {
		snprintf(word, sizeof word, "model-%d", i);
		ph_account_rest(w.r, w.a[0], PH_REST_MODEL, ph_str_c(word), 60000);
	}
	assert_int_equal(w.r->rest_count, PH_RESTS_MAX);
	c.model = PH_STR("model-0");
	assert_int_equal(choose(&w, &c), 1);
	c.model = PH_STR("model-1");
	assert_int_equal(choose(&w, &c), 2);
	memset(word, 'x', sizeof word);
	c.model = ph_str(word, sizeof word); /* a client's word: too long to be kept */
	ph_account_rest(w.r, w.a[0], PH_REST_MODEL, c.model, 60000);
	assert_int_equal(choose(&w, &c), 1);
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
		struct ph_chosen ret;

		assert_int_equal(ph_account_choose(w.r, &c, &ret), PH_CHOSEN);
		ph_account_take(ret.account);
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
	struct ph_choice choice;
	int order, calls;
};
static int order;

static void on_slot(void *arg)
{
	struct waiter *x = arg;
	struct ph_chosen chosen;

	x->calls++;
	x->choice.queued = true;
	if (ph_account_choose(x->w->r, &x->choice, &chosen) == PH_CHOSEN) {
		assert_non_null(ph_account_take(chosen.account));
		ph_account_wait_stop(&x->wait);
		x->order = ++order;
	} else {
		ph_account_wait(x->w->r, &x->wait, &x->choice, 0); /* where it stands */
	}
}

static void start_waiting(struct world *w, struct waiter *x, void (*cb)(void *arg))
{
	*x = (struct waiter){.w = w, .choice = {.model = PH_STR("m")}};
	ph_account_wait_init(&x->wait, cb, x);
	ph_account_wait(w->r, &x->wait, &x->choice, 0);
}

static void waiters_in_their_order(void **state)
{
	struct world w;
	struct waiter x[5];
	struct ph_choice late = {.model = PH_STR("m")};

	(void)state;
	order = 0;
	world_open(&w, 1);
	grant(w.a[0], 1, 1);
	ph_account_take(w.a[0]);
	for (int i = 0; i < 5; i++)
		start_waiting(&w, &x[i], on_slot);
	ph_account_wait_stop(&x[2].wait); /* leaves the queue */
	ph_account_wait_stop(&x[2].wait);
	for (int i = 0, n = 0; i < 5; i++) {
		if (i == 2)
			continue;
		ph_account_release(w.r, w.a[0]);
		assert_int_equal(order, n); /* later in this turn of the loop, not at once */
		assert_int_equal(
			choose(&w, &late), -PH_CHOICE_BUSY); /* who comes now does not get past them */
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
	grant(w.a[0], 1, 1);
	ph_account_take(w.a[0]);
	for (int i = 0; i < 3; i++)
		start_waiting(&w, &x[i], i ? on_slot : stops_everybody);
	ph_account_release(w.r, w.a[0]);
	ph_loop_turn(w.loop);
	assert_int_equal(x[0].calls, 1);
	assert_int_equal(x[1].calls + x[2].calls, 0);
	world_close(&w);
}

/* A list of the account's own only puts it behind others; what the operator named decides alone. */
static void own_lists(void **state)
{
	struct ph_choice c = {.model = PH_STR("m")};
	uint64_t ids[] = {ph_hash64(PH_STR("z"), 0), ph_hash64(PH_STR("m"), 0), ph_hash64(PH_STR("a"), 0)};
	struct world w;

	(void)state;
	world_open(&w, 2);
	ph_account_list_models(w.a[0], ids, 1);
	for (int i = 0; i < 4; i++)
		assert_int_equal(choose(&w, &c), 2);
	w.a[0]->priority = -1;
	assert_int_equal(choose(&w, &c), 2); /* the list counts more */
	ph_account_list_models(w.a[0], ids, 3);
	assert_int_equal(choose(&w, &c), 1);
	w.a[0]->priority = 0;
	ph_account_list_models(w.a[0], ids, 1);
	w.a[1]->state = PH_ACCOUNT_PAUSED;
	assert_int_equal(choose(&w, &c), 1); /* and is no refusal */
	w.a[1]->state = PH_ACCOUNT_ACTIVE;
	c.preferred = 1;
	assert_int_equal(choose(&w, &c), 1); /* what goes on there goes on there */
	c.preferred = 0;
	models(w.a[0], "m");
	assert_true(ph_account_lists(w.a[0], PH_STR("m")));
	ph_account_list_models(w.a[0], NULL, 0);
	assert_true(ph_account_lists(w.a[0], PH_STR("m")));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons_against),
		cmocka_unit_test(the_reason_that_is_told),
		cmocka_unit_test(the_best_of_several),
		cmocka_unit_test(blocked),
		cmocka_unit_test(quota),
		cmocka_unit_test(rests),
		cmocka_unit_test(rests_end),
		cmocka_unit_test(own_lists),
		cmocka_unit_test(load_spreads),
		cmocka_unit_test(waiters_in_their_order),
		cmocka_unit_test(a_waiter_ends_others),
	};

	return cmocka_run_group_tests_name("account.choose", tests, NULL, NULL);
}
