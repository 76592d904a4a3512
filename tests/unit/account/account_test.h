/* SPDX-License-Identifier: Apache-2.0 */
/* A registry with accounts that no database named, on a loop, with a database that answers as it is told. */
#ifndef ACCOUNT_TEST_H
#define ACCOUNT_TEST_H

#include "fake_pg.h"

#include "account/account_priv.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"

struct world {
	struct ph_loop *loop;
	struct ph_accounts *r;
	struct ph_account *a[8]; /* borrowed; a[i]->id is i + 1 */
};

static inline void world_open(struct world *w, size_t n)
{
	ph_log_init(PH_LOG_ERROR, PH_LOG_TEXT, "test"); /* blocks are what these tests are about */
	w->loop = ph_loop_new();
	w->r = ph_accounts_new(w->loop, NULL, NULL, "node-1");
	for (size_t i = 0; i < n; i++) {
		char url[64];

		snprintf(url, sizeof url, "https://host-%zu.example/v1", i);
		w->a[i] = ph_account_new();
		assert_int_equal(ph_url_parse(&w->a[i]->base, ph_str_c(url), NULL), 0);
		w->a[i]->id = (int64_t)i + 1;
		w->a[i]->weight = 1;
		w->a[i]->name = ph_strdup("name");
		ph_lease_open(w->r, w->a[i]);
		ph_list_push_back(ph_accounts_list(w->r), &w->a[i]->node);
	}
}

/* A limit, and slots for some turns, as if the database had granted them for a minute. */
static inline void grant(struct ph_account *a, uint32_t max_streams, uint32_t slots)
{
	a->max_streams = max_streams;
	a->lease.slots = slots;
	a->lease.version = 1;
	a->lease.valid_ms = ph_clock_boot_ms() + 60000;
}

static inline void world_close(struct world *w)
{
	ph_accounts_free(w->r);
	assert_int_equal(fake_pg_waiting(), 0);
	assert_int_equal(ph_loop_free(w->loop), 0);
}

static inline void stop_loop(void *arg)
{
	ph_loop_stop(arg);
}

/* The loop runs on, with its timers. */
static inline void run_for(struct world *w, uint64_t ms)
{
	struct ph_timer t;

	ph_timer_init(&t, w->loop, stop_loop, w->loop);
	ph_timer_start(&t, ms);
	ph_loop_run(w->loop);
}

/* How long the account stays blocked, in the eyes of this node. */
static inline uint64_t left_ms(const struct world *w, int i)
{
	uint64_t now = ph_loop_now_ms(w->loop), until = w->a[i]->health.until_ms;

	return until > now ? until - now : 0;
}

/* The database answers the oldest call of report_health() or report_usage(). */
static inline void answer(const char *result, const char *health, const char *remaining_ms,
	const char *version, const char *strikes)
{
	const struct ph_str cells[PH_HEALTH_COLUMNS] = {ph_str_c(result), ph_str_c(health),
		ph_str_c(remaining_ms), ph_str_c(version), ph_str_c(strikes)};

	fake_pg_rows(cells, 1, PH_HEALTH_COLUMNS);
}

/* Parameters of report_health(). */
enum {
	P_ACCOUNT,
	P_VERSION,
	P_STATE,
	P_UNTIL_S,
	P_AFTER_MS,
	P_FLOOR_MS,
	P_MOST_MS,
	P_STRIKE,
	P_AGE_MS,
	P_REASON,
	P_EVIDENCE,
	P_NODE
};
static inline void assert_param(int i, const char *expected)
{
	ph_assert_str(fake_pg_first()->text[i], ph_str_c(expected));
}

#endif
