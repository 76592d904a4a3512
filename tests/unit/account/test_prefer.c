/* SPDX-License-Identifier: Apache-2.0 */
/* When a node asks where a conversation stays, what it says of itself, and what becomes of the answer. */
#include "account_test.h"

#include "posthouse/prefer.h"

enum {
	P_SCOPE,
	P_SIGNAL,
	P_ABLE,
	P_CHOICE
};

static const struct ph_choice any = {.model = PH_STR_INIT("m"), .fresh = true};

struct turn {
	struct ph_prefer_wait wait;
	int calls;
	struct turn *stops; /* what it does when it is called */
};

static void on_answer(void *arg)
{
	struct turn *t = arg;

	t->calls++;
	if (t->stops)
		ph_prefer_wait_stop(&t->stops->wait);
}

static bool ask_as(
	struct world *w, struct turn *t, int64_t scope, const char *name, const struct ph_choice *c)
{
	*t = (struct turn){.calls = 0};
	ph_prefer_wait_init(&t->wait, on_answer, t);
	return ph_prefer(w->r, &t->wait, scope, PH_NAMED_THREAD, ph_str_c(name), c);
}

static bool ask(struct world *w, struct turn *t)
{
	return ask_as(w, t, 7, "thread-1", &any);
}

static void say(const char *account, const char *was)
{
	const struct ph_str cells[] = {ph_str_c(account), ph_str_c(was)};

	fake_pg_rows(cells, 1, 2);
}

static void assert_text(int i, const char *expected)
{
	ph_assert_str(fake_pg_first()->text[i], ph_str_c(expected));
}

static void one_call_for_a_conversation(void **state)
{
	struct world w;
	struct turn a, b, c, other;

	(void)state;
	world_open(&w, 2);
	assert_false(ask(&w, &a));
	assert_false(ask(&w, &b));
	assert_false(ask(&w, &c));
	assert_int_equal(fake_pg_waiting(), 1);
	assert_text(P_SCOPE, "7");
	assert_text(P_ABLE, "{1,2}");
	assert_text(P_CHOICE, "1");
	assert_int_equal(fake_pg_first()->text[P_SIGNAL].n, 16);
	assert_false(ask_as(&w, &other, 8, "thread-1", &any)); /* another key's of the same name */
	assert_int_equal(fake_pg_waiting(), 2);
	a.stops = &b;
	ph_prefer_wait_stop(&c.wait);
	say("2", NULL);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls + c.calls + other.calls, 0);
	assert_int_equal(a.wait.account, 2);
	assert_int_equal(a.wait.was, 0);
	say("1", "1");
	assert_int_equal(other.wait.account, 1);
	assert_int_equal(other.wait.was, 1);
	world_close(&w);
}

/* It is not asked again for a while, unless that account cannot serve, or the accounts were read again. */
static void an_answer_is_kept(void **state)
{
	struct world w;
	struct turn t;
	struct ph_choice tried = any;

	(void)state;
	world_open(&w, 3);
	assert_false(ask(&w, &t));
	say("2", NULL);
	assert_true(ask(&w, &t));
	assert_int_equal(t.wait.account, 2);
	assert_int_equal(t.wait.was, 2);
	w.a[1]->state = PH_ACCOUNT_PAUSED;
	assert_false(ask(&w, &t));
	assert_text(P_ABLE, "{3,1}");
	say("3", "2");
	assert_int_equal(t.wait.account, 3);
	w.a[1]->state = PH_ACCOUNT_ACTIVE; /* it stays moved */
	assert_true(ask(&w, &t));
	assert_int_equal(t.wait.account, 3);
	tried.tried[tried.tried_count++] = 3;
	assert_false(ask_as(&w, &t, 7, "thread-1", &tried));
	say("1", "3");
	ph_prefer_forget(w.r->prefer);
	assert_false(ask(&w, &t));
	ph_prefer_forget(w.r->prefer); /* what is under way may be of before */
	say("1", "1");
	assert_int_equal(t.wait.account, 1);
	assert_false(ask(&w, &t));
	say("1", "1");
	world_close(&w);
}

/* Who is told: all that could take the turn, whatever their slots; the worse ones only where nobody is
 * better. */
static void who_is_able(void **state)
{
	struct world w;
	struct turn t;
	struct ph_choice c = any;

	(void)state;
	world_open(&w, 4);
	grant(w.a[0], 1, 1);
	w.a[0]->running = 1;
	w.a[1]->state = PH_ACCOUNT_COOLING;
	w.a[1]->health.until_ms = ph_loop_now_ms(w.loop) + 60000;
	w.a[2]->max_used_percent = 50;
	w.a[2]->health.used_percent = 80;
	assert_false(ask(&w, &t));
	assert_text(P_ABLE, "{1,4}"); /* a busy one keeps its conversations, */
	assert_text(P_CHOICE, "4");   /* but gets no new one */
	say("4", NULL);
	c.tried[c.tried_count++] = 1;
	c.tried[c.tried_count++] = 4;
	assert_false(ask_as(&w, &t, 7, "thread-2", &c));
	assert_text(P_ABLE, "{3}");
	assert_null(fake_pg_first()->text[P_CHOICE].p); /* no new conversation above the bound */
	say(NULL, NULL);
	assert_int_equal(t.wait.account, 0);
	c.tried[c.tried_count++] = 3;
	assert_true(ask_as(&w, &t, 7, "thread-3", &c)); /* nobody: nothing to ask */
	assert_int_equal(t.wait.account, 0);
	w.a[0]->running = 0;
	world_close(&w);
}

static void without_the_database(void **state)
{
	struct world w;
	struct turn t;

	(void)state;
	world_open(&w, 2);
	assert_false(ask(&w, &t));
	fake_pg_fails(PH_E_DATABASE_AWAY);
	assert_int_equal(t.calls, 1);
	assert_int_equal(t.wait.account, 0);
	assert_false(ask(&w, &t)); /* the node goes while it waits */
	world_close(&w);
	assert_int_equal(t.calls, 0);
}

static void when_it_matters(void **state)
{
	struct world w;
	struct ph_choice c = any;
	const int64_t one = 1;

	(void)state;
	world_open(&w, 2);
	assert_true(ph_prefer_matters(w.r, &c));
	w.a[1]->state = PH_ACCOUNT_PAUSED; /* it comes back, and must not take back what moved */
	assert_true(ph_prefer_matters(w.r, &c));
	c.allowed = &one;
	c.allowed_count = 1;
	assert_false(ph_prefer_matters(w.r, &c));
	c.allowed_count = 0;
	c.kinds = 1 << PH_CODEX;
	w.a[1]->kind = PH_CODEX;
	assert_false(ph_prefer_matters(w.r, &c));
	c.kinds = 0;
	assert_true(ph_prefer_stands(w.r, &c, 1));
	assert_false(ph_prefer_stands(w.r, &c, 2));
	assert_false(ph_prefer_stands(w.r, &c, 3));
	ph_account_rest(w.r, w.a[0], PH_REST_ACCOUNT, PH_STR_NONE, 5000);
	assert_false(ph_prefer_stands(w.r, &c, 1));
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_call_for_a_conversation),
		cmocka_unit_test(an_answer_is_kept),
		cmocka_unit_test(who_is_able),
		cmocka_unit_test(without_the_database),
		cmocka_unit_test(when_it_matters),
	};

	return cmocka_run_group_tests_name("account.prefer", tests, NULL, NULL);
}
