/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "loop_test.h"

#include "loop/loop_priv.h"

struct question {
	struct ph_resolve *pending;
	struct ph_loop *loop;
	int answered;
	int status;
	struct ph_addrs addrs;
	struct question *victim; /* cancelled from inside the callback */
	struct question *next;   /* asked from inside */
	const char *next_host;
};

static void ask(struct question *q, struct ph_loop *loop, const char *host);

static void on_answer(void *arg, int status, const struct ph_addrs *addrs)
{
	struct question *q = arg;

	q->answered++;
	q->status = status;
	q->addrs = *addrs;
	q->pending = NULL;
	if (q->victim) {
		ph_resolve_cancel(q->victim->pending);
		q->victim->pending = NULL;
	}
	if (q->next)
		ask(q->next, q->loop, q->next_host);
}

static void ask(struct question *q, struct ph_loop *loop, const char *host)
{
	q->loop = loop;
	q->pending = ph_resolve_start(loop, host, 8080, on_answer, q);
	assert_non_null(q->pending);
	assert_int_equal(q->answered, 0); /* never before the call returns */
}

static void expect_text(const struct ph_addr *addr, const char *expected)
{
	char text[64];

	ph_addr_text(addr, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void test_literal(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct question v4 = {0}, v6 = {0};

	(void)state;
	ask(&v4, loop, "127.0.0.1");
	ask(&v6, loop, "::1");
	assert_int_equal(loop->jobs, 0); /* no thread is asked */
	ph_loop_run(loop);
	assert_int_equal(v4.answered + v6.answered, 2);
	assert_int_equal(v4.status + v6.status, 0);
	assert_int_equal(v4.addrs.count + v6.addrs.count, 2);
	expect_text(&v4.addrs.addr[0], "127.0.0.1:8080");
	expect_text(&v6.addrs.addr[0], "[::1]:8080");
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_localhost(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct question a = {0}, b = {0}, c = {0};

	(void)state;
	ask(&a, loop, "localhost");
	ask(&b, loop, "localhost");
	assert_int_equal(loop->jobs, 1); /* two who ask at the same time share one look-up */
	ph_loop_run(loop);
	assert_int_equal(a.answered + b.answered, 2);
	assert_int_equal(a.status, 0);
	assert_true(a.addrs.count >= 1 && a.addrs.count <= PH_ADDRS_MAX);
	for (int i = 0; i < a.addrs.count; i++) {
		assert_true(ph_addr_is_loopback(&a.addrs.addr[i]));
		assert_true(a.addrs.addr[i].len > 0);
	}
	ask(&c, loop, "localhost");
	assert_int_equal(loop->jobs, 0); /* from the cache */
	ph_loop_run(loop);
	assert_int_equal(c.status, 0);
	assert_int_equal(c.addrs.count, a.addrs.count);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_failure(void **state)
{
	static const char *const hosts[] = {"no-such-host.invalid", "", "a b c", "999.999.999.999"};
	struct ph_loop *loop = ph_loop_new();
	char longest[1000];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	for (size_t i = 0; i <= PH_COUNT(hosts); i++) {
		struct question q = {0};

		ask(&q, loop, i < PH_COUNT(hosts) ? hosts[i] : longest);
		turn_until(loop, &q.answered);
		assert_int_equal(q.status, -PH_E_NAME);
		assert_int_equal(q.addrs.count, 0);
	}
	assert_int_equal(loop->name_count, 0); /* failures are not kept */
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_cancel(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct question literal = {0}, name = {0}, other = {0}, inside = {0};

	(void)state;
	ask(&literal, loop, "127.0.0.1");
	ask(&name, loop, "localhost");
	ask(&other, loop, "localhost");
	ask(&inside, loop, "localhost");
	other.victim = &inside;
	ph_resolve_cancel(literal.pending);
	ph_resolve_cancel(name.pending);
	ph_loop_run(loop);
	assert_int_equal(literal.answered + name.answered + inside.answered, 0);
	assert_int_equal(other.answered, 1);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* The last waiter leaves: the look-up goes on, and a loop that ends waits for it. */
static void test_cancel_all(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct question q = {0};

	(void)state;
	ask(&q, loop, "localhost");
	ph_resolve_cancel(q.pending);
	assert_int_equal(ph_loop_free(loop), 0);
	assert_int_equal(q.answered, 0);
}

static void test_ask_inside(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct question bad = {0}, again = {0}, good = {0}, more = {0};

	(void)state;
	bad.next = &again;
	bad.next_host = "no-such-host.invalid";
	good.next = &more;
	good.next_host = "localhost";
	ask(&bad, loop, "no-such-host.invalid");
	ask(&good, loop, "localhost");
	turn_until(loop, &again.answered);
	turn_until(loop, &more.answered);
	assert_int_equal(again.status, -PH_E_NAME);
	assert_int_equal(more.status, 0);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_cache_is_bounded(void **state)
{
	enum {
		NAMES = 300
	};
	struct ph_loop *loop = ph_loop_new();
	struct question q[NAMES] = {0};

	(void)state;
	for (int i = 0; i < NAMES; i++) {
		char host[32];

		/* 127.0.0.1 and up as plain numbers: names to us, which the resolver reads without a name
		 * server */
		snprintf(host, sizeof(host), "%u", 2130706433u + (unsigned)i);
		ask(&q[i], loop, host);
		turn_until(loop, &q[i].answered);
		assert_int_equal(q[i].status, 0);
		assert_int_equal(loop->name_count, i < 256 ? i + 1 : 256);
	}
	assert_int_equal(ph_loop_free(loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_literal),
		cmocka_unit_test(test_localhost),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_cancel_all),
		cmocka_unit_test(test_ask_inside),
		cmocka_unit_test(test_cache_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
