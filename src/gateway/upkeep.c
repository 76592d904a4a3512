/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node settles with the database once, before it follows changes: the master key must fit, the
 * settings get their first values, the node is registered; then its periodic work begins. Every step is tried
 * until the database answers: a node that starts before its database waits, unready, and says for what.
 */
#include "upkeep.h"

#include <stdio.h>
#include <stdlib.h>

#include "chores.h"
#include "poll.h"
#include "pool.h"
#include "posthouse/log.h"
#include "renew.h"
#include "report.h"
#include "traffic.h"

#define RETRY_MS 500

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
	bool told;             /* what is waited for was logged */
	char why[256];         /* the last fault, for /readyz */
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
	if (!u->told && strcmp(u->why, err->detail) != 0)
		ph_log(PH_LOG_WARN, "not ready: %s (%s)", u->why, err->detail);
	else if (!u->told)
		ph_log(PH_LOG_WARN, "not ready: %s", u->why);
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
		ph_chores_start(u->g->chores);
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

struct ph_upkeep *ph_upkeep_free(struct ph_upkeep *u)
{
	if (!u)
		return NULL;
	ph_timer_stop(&u->timer);
	if (u->call)
		ph_pg_abandon(u->call);
	free(u);
	return NULL;
}
