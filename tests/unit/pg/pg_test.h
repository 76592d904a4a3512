/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/pg share: a loop with a clock, answers that are counted, and one server per
 * executable. */
#ifndef PG_TEST_H
#define PG_TEST_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg/pg_priv.h"
#include "pg_server.h"
#include "ph_test.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "posthouse/loop.h"

static struct ph_test_server *server;

static inline int server_setup(void **state)
{
	(void)state;
	ph_log_init(PH_LOG_ERROR, PH_LOG_TEXT, "test"); /* connections are lost on purpose, by the hundred */
	server = ph_test_server_new();
	return 0;
}

static inline int server_teardown(void **state)
{
	(void)state;
	server = ph_test_server_free(server);
	return 0;
}

/* ---- a loop that runs until a condition holds ---- */

struct bench {
	struct ph_loop *loop;
	struct ph_pg *pg;
	struct ph_timer tick;
	bool (*until)(void *arg);
	void *arg;
	uint64_t deadline;
	bool held;
	bool closed;
};

static inline void bench_tick(void *arg)
{
	struct bench *b = arg;

	b->held = b->until(b->arg);
	if (b->held || ph_clock_ms() > b->deadline)
		ph_loop_stop(b->loop);
	else
		ph_timer_start(&b->tick, 5);
}

/* Fails the test when until(arg) does not hold within within_ms. Returns the milliseconds it took. */
static inline uint64_t bench_run(struct bench *b, bool (*until)(void *arg), void *arg, uint64_t within_ms)
{
	uint64_t start = ph_clock_ms();

	b->until = until;
	b->arg = arg;
	b->deadline = start + within_ms;
	b->held = false;
	ph_timer_start(&b->tick, 0);
	ph_loop_run(b->loop);
	ph_timer_stop(&b->tick);
	assert_true(b->held);
	return ph_clock_ms() - start;
}

static inline bool never(void *arg)
{
	(void)arg;
	return false;
}

static inline bool past(void *arg)
{
	return ph_clock_ms() >= *(uint64_t *)arg;
}

static inline void bench_wait(struct bench *b, uint64_t ms)
{
	uint64_t until = ph_clock_ms() + ms;

	bench_run(b, past, &until, ms + 5000);
}

static inline bool is_up(void *arg)
{
	return ph_pg_up(((struct bench *)arg)->pg);
}

static inline void bench_loop(struct bench *b)
{
	*b = (struct bench){.loop = ph_loop_new()};
	ph_timer_init(&b->tick, b->loop, bench_tick, b);
}

static inline void bench_open(struct bench *b, const char *dsn, int readers)
{
	struct ph_pg_options options = {.dsn = dsn, .readers = readers, .application = "posthouse test"};

	bench_loop(b);
	b->pg = ph_pg_open(b->loop, &options);
	assert_non_null(b->pg);
}

static inline void on_bench_closed(void *arg)
{
	((struct bench *)arg)->closed = true;
}

static inline bool is_closed(void *arg)
{
	return ((struct bench *)arg)->closed;
}

/* Everything closes, and nothing is left on the loop. */
static inline void bench_close(struct bench *b, uint64_t grace_ms)
{
	ph_pg_close(b->pg, grace_ms, on_bench_closed, b);
	assert_false(b->closed);
	bench_run(b, is_closed, b, grace_ms + 5000);
	assert_int_equal(ph_loop_free(b->loop), 0);
}

/* ---- answers ---- */

struct answer {
	int count; /* how often the callback came */
	int code;  /* PH_E_x; 0 = rows */
	char sqlstate[6];
	char detail[320];
	int rows;
	bool not_int;  /* set by the test: the first column is no integer */
	int64_t first; /* row 0, column 0 */
	uint64_t at_ms;
	int *order; /* shared: counts callbacks */
	int place;  /* this one's number */
};

static inline void on_answer(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct answer *a = arg;

	a->count++;
	a->at_ms = ph_clock_ms();
	if (a->order)
		a->place = (*a->order)++;
	a->code = err ? err->code : 0;
	if (err) {
		snprintf(a->sqlstate, sizeof(a->sqlstate), "%s", err->sqlstate);
		snprintf(a->detail, sizeof(a->detail), "%s", err->detail);
		assert_null(r);
		return;
	}
	a->rows = ph_pg_rows(r);
	if (a->rows > 0 && !a->not_int)
		a->first = ph_pg_int(r, 0, 0);
}

static inline bool answered(void *arg)
{
	return ((struct answer *)arg)->count > 0;
}

struct answers {
	struct answer *a;
	size_t n;
};

static inline bool all_answered(void *arg)
{
	struct answers *all = arg;

	for (size_t i = 0; i < all->n; i++)
		if (all->a[i].count == 0)
			return false;
	return true;
}

/* Accepts, and says nothing. */
static inline int silent_listener(int *ret_port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* ---- straight to the server, past the loop ---- */

static inline int64_t ask(const char *sql)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(ph_test_server_dsn(server), 5, &err);
	struct ph_pg_result *r;
	int64_t n = 0;

	if (!s)
		fail_msg("%s", err.detail);
	r = ph_pgs_query(s, sql, NULL, 0, &err);
	if (!r)
		fail_msg("%s: %s", sql, err.detail);
	if (ph_pg_rows(r) > 0)
		n = ph_pg_int(r, 0, 0);
	ph_pg_result_free(r);
	ph_pgs_close(s);
	return n;
}

static inline void run_script(const char *sql)
{
	struct ph_err err = {0};
	struct ph_pgs *s = ph_pgs_open(ph_test_server_dsn(server), 5, &err);

	if (!s)
		fail_msg("%s", err.detail);
	if (ph_pgs_script(s, sql, &err) < 0)
		fail_msg("%s", err.detail);
	ph_pgs_close(s);
}

#define NEED_SERVER()                                                                                        \
	do {                                                                                                 \
		if (!server)                                                                                 \
			skip();                                                                              \
	} while (0)

#endif
