/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node settles with the database once, before it follows changes: the master key must fit, the
 * settings get their first values, the node is registered. And what it does for all, where it is the one that
 * does it: partitions are made and dropped, nodes that are gone are swept, figures are added up by hour.
 * Every step is tried until the database answers: a node that starts before its database waits, unready, and
 * says for what.
 */
#include "upkeep.h"

#include <stdio.h>
#include <stdlib.h>

#include "poll.h"
#include "pool.h"
#include "posthouse/log.h"
#include "renew.h"
#include "report.h"
#include "traffic.h"

#define RETRY_MS    500
#define MAINTAIN_MS (10 * 60 * 1000)
#define AGAIN_MS    1000 /* there is more: another partition to drop, turns to add up */
#define SWEEP_MS    (60 * 1000)
#define ROLL_UP_MS  (15 * 1000) /* as old as the figures by hour may be */
#define HOLD_MS     (60 * 1000)
#define PREFER_MS   (60 * 60 * 1000)
#define PREFER_MOST 10000 /* preferences that one sweep deletes */

enum step {
	MASTER_KEY,
	RETENTION,
	RETENTION_UNSTORED,
	REGISTER,
	FOLLOW
};

/* Owner: the gateway. */
struct ph_upkeep {
	struct ph_gateway *g;
	const struct ph_master_keys *keys;
	enum step step;
	struct ph_pg_call *call;
	struct ph_timer timer; /* the next try */
	struct ph_job partitions, sweep, usage, preferences;
	struct ph_pg_call *maintaining, *sweeping, *adding, *forgetting;
	bool told;     /* what is waited for was logged */
	char why[256]; /* the last fault, for /readyz */
};

static void try_step(struct ph_upkeep *u);

static void next_step(struct ph_upkeep *u)
{
	u->told = false;
	u->why[0] = '\0';
	u->step++;
	try_step(u);
}

/* A schema that is not there yet looks like a missing function or schema. */
static bool schema_missing(const struct ph_err *err)
{
	return strcmp(err->sqlstate, "3F000") == 0 || strcmp(err->sqlstate, "42883") == 0 ||
	       strcmp(err->sqlstate, "42P01") == 0;
}

static void wait_and_retry(struct ph_upkeep *u, const struct ph_err *err)
{
	snprintf(u->why, sizeof u->why, "%s",
		schema_missing(err)
			? "the database has no schema for this version yet: run `posthouse migrate`"
			: "the database cannot be reached");
	if (!u->told)
		ph_log(PH_LOG_WARN, "not ready: %s (%s)", u->why, err->detail);
	u->told = true;
	ph_timer_start(&u->timer, RETRY_MS);
}

static void on_master_key(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;
	struct ph_str verdict;

	u->call = NULL;
	if (err) {
		wait_and_retry(u, err);
		return;
	}
	verdict = ph_pg_str(r, 0, 0);
	if (ph_str_starts(verdict, PH_STR("unknown"))) {
		ph_log(PH_LOG_ERROR,
			"the master key does not fit this database, whose secrets were sealed with another "
			"one (%.*s): set "
			"POSTHOUSE_MASTER_KEY to the key that `posthouse account add` was used with",
			PH_STR_ARG(verdict));
		u->g->on_fatal(u->g->ready_arg);
		return;
	}
	next_step(u);
}

static void on_setting(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;
	const struct ph_config *c = u->g->config;
	uint64_t wanted = (u->step == RETENTION ? c->retention_ms : c->retention_unstored_ms) / 1000,
		 in_force;

	u->call = NULL;
	if (err) {
		wait_and_retry(u, err);
		return;
	}
	if (ph_str_u64(ph_pg_str(r, 0, 0), UINT64_MAX, &in_force) && in_force != wanted)
		ph_log(PH_LOG_INFO,
			"the setting %s is %llu s in the database and %llu s in the environment: the "
			"database's is in force",
			u->step == RETENTION ? "retention" : "retention_unstored",
			(unsigned long long)in_force, (unsigned long long)wanted);
	next_step(u);
}

static void on_registered(void *arg, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;

	if (err)
		wait_and_retry(u, err);
	else
		next_step(u);
}

static void on_maintained(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;

	u->maintaining = NULL;
	if (err)
		ph_log(PH_LOG_WARN, "partitions could not be looked after: %s; tried again in 10 minutes",
			err->detail);
	else if (ph_pg_rows(r) && ph_pg_int(r, 0, 0) + ph_pg_int(r, 0, 1) > 0)
		ph_log(PH_LOG_INFO, "partitions: %d made, %d dropped", (int)ph_pg_int(r, 0, 0),
			(int)ph_pg_int(r, 0, 1));
	ph_job_done(&u->partitions, !err && ph_pg_rows(r) && ph_pg_int(r, 0, 1) > 0 ? AGAIN_MS : MAINTAIN_MS);
}

static void maintain(void *arg)
{
	struct ph_upkeep *u = arg;

	u->maintaining = ph_follow_store_maintain(u->g->pg, on_maintained, u);
}

static void on_swept(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;

	(void)r;
	(void)err; /* nothing depends on it */
	u->sweeping = NULL;
	ph_job_done(&u->sweep, SWEEP_MS);
}

static void sweep(void *arg)
{
	struct ph_upkeep *u = arg;

	u->sweeping = ph_follow_store_sweep(u->g->pg, on_swept, u);
}

static void on_added(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;

	u->adding = NULL;
	if (err)
		ph_log(PH_LOG_WARN, "the figures by hour could not be added up: %s; tried again in 15 s",
			err->detail);
	ph_job_done(&u->usage, !err && ph_pg_int(r, 0, 1) ? AGAIN_MS : ROLL_UP_MS);
}

static void add_up(void *arg)
{
	struct ph_upkeep *u = arg;

	u->adding = ph_follow_store_roll_up(u->g->pg, on_added, u);
}

static void on_forgotten(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_upkeep *u = arg;
	bool more = !err && ph_pg_int(r, 0, 0) == PREFER_MOST;

	u->forgetting = NULL;
	if (err)
		ph_log(PH_LOG_WARN, "old preferences could not be swept: %s; tried again in an hour",
			err->detail);
	ph_job_done(&u->preferences, more ? AGAIN_MS : PREFER_MS);
}

static void forget(void *arg)
{
	struct ph_upkeep *u = arg;

	u->forgetting = ph_follow_store_sweep_preferences(u->g->pg, PREFER_MOST, on_forgotten, u);
}

static void check_master_key(struct ph_upkeep *u)
{
	struct ph_buf ids;
	char hex[17];

	ph_buf_init(&ids, 1024);
	ph_buf_putc(&ids, '{');
	for (int i = 0; i < u->keys->count; i++) {
		ph_hex(hex, u->keys->id[i], sizeof u->keys->id[i]);
		ph_buf_printf(&ids, "%s\"\\\\x%s\"", i ? "," : "", hex);
	}
	ph_buf_putc(&ids, '}');
	u->call = ph_follow_store_master_key(u->g->pg, ph_buf_str(&ids), on_master_key, u);
	ph_buf_deinit(&ids);
}

static void init_setting(struct ph_upkeep *u, const char *name, uint64_t ms)
{
	char value[24];

	snprintf(value, sizeof value, "%llu", (unsigned long long)(ms / 1000));
	u->call = ph_follow_store_setting(u->g->pg, name, value, on_setting, u);
}

static void try_step(struct ph_upkeep *u)
{
	const struct ph_config *c = u->g->config;

	switch (u->step) {
	case MASTER_KEY:
		check_master_key(u);
		return;
	case RETENTION:
		init_setting(u, "retention", c->retention_ms);
		return;
	case RETENTION_UNSTORED:
		init_setting(u, "retention_unstored", c->retention_unstored_ms);
		return;
	case REGISTER:
		ph_member_register(u->g->member, on_registered, u);
		return;
	default:
		ph_follow_start(u->g->follow);
		ph_job_start(&u->partitions);
		ph_job_start(&u->sweep);
		ph_job_start(&u->usage);
		ph_job_start(&u->preferences);
		ph_renewals_start(u->g->renewals);
		ph_node_report_start(u->g->report);
		ph_traffic_start(u->g->traffic);
		ph_polls_start(u->g->polls);
		ph_pool_start(u->g->pool);
	}
}

static void on_timer(void *arg)
{
	try_step(arg);
}

struct ph_upkeep *ph_upkeep_new(struct ph_gateway *g, const struct ph_master_keys *keys)
{
	struct ph_upkeep *u = ph_alloc(sizeof *u);

	u->g = g;
	u->keys = keys;
	ph_timer_init(&u->timer, g->loop, on_timer, u);
	ph_job_init(&u->partitions, g->member, "partitions", HOLD_MS, maintain, u);
	ph_job_init(&u->sweep, g->member, "sweep", HOLD_MS, sweep, u);
	ph_job_init(&u->usage, g->member, "usage", HOLD_MS, add_up, u);
	ph_job_init(&u->preferences, g->member, "preferences", HOLD_MS, forget, u);
	return u;
}

void ph_upkeep_start(struct ph_upkeep *u)
{
	try_step(u);
}

const char *ph_upkeep_unready(const struct ph_upkeep *u)
{
	if (u->step == FOLLOW)
		return NULL;
	return u->why[0] ? u->why : "waiting for the database";
}

static void drop(struct ph_pg_call *call)
{
	if (call)
		ph_pg_abandon(call);
}

struct ph_upkeep *ph_upkeep_free(struct ph_upkeep *u)
{
	if (!u)
		return NULL;
	ph_timer_stop(&u->timer);
	ph_job_stop(&u->partitions);
	ph_job_stop(&u->sweep);
	ph_job_stop(&u->usage);
	ph_job_stop(&u->preferences);
	drop(u->call);
	drop(u->maintaining);
	drop(u->sweeping);
	drop(u->adding);
	drop(u->forgetting);
	free(u);
	return NULL;
}
