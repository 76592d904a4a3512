/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that one node does for all, whichever comes first when it is due: one call of an SQL function each, in
 * the table below. What is done again and again for each account is in poll.c and renew.c.
 */
#include "chores.h"

#include <stdlib.h>

#include "gateway_priv.h"
#include "posthouse/log.h"

#define AGAIN_MS         (1000)      /* there was more of it than one call does */
#define HOLD_MS          (60 * 1000) /* a node that is not done by then has lost the work */
#define MINUTE           (60 * 1000)

#define PREFERENCES_MOST 10000 /* that one sweep deletes */

struct kind {
	const char *name; /* of the job */
	struct ph_pg_call *(*call)(struct ph_pg *pg, ph_pg_cb cb, void *arg);
	bool (*more)(const struct ph_pg_result *r); /* or NULL */
	uint64_t every_ms;
	const char *failed; /* for the log */
};

static bool more_partitions(const struct ph_pg_result *r)
{
	int64_t made = ph_pg_int(r, 0, 0), dropped = ph_pg_int(r, 0, 1);

	if (made + dropped > 0)
		ph_log(PH_LOG_INFO, "partitions: %d made, %d dropped", (int)made, (int)dropped);
	return dropped > 0;
}

static bool more_figures(const struct ph_pg_result *r)
{
	return ph_pg_int(r, 0, 1) != 0;
}

static struct ph_pg_call *sweep_preferences(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_follow_store_sweep_preferences(pg, PREFERENCES_MOST, cb, arg);
}

static bool more_preferences(const struct ph_pg_result *r)
{
	return ph_pg_int(r, 0, 0) == PREFERENCES_MOST;
}

static const struct kind kinds[] = {
	{"partitions", ph_follow_store_maintain, more_partitions, 10 * MINUTE,
		"partitions could not be looked after"},
	{"sweep", ph_follow_store_sweep, NULL, MINUTE, "nodes that are gone could not be swept"},
	{"usage", ph_follow_store_roll_up, more_figures, 15 * 1000,
		"the figures by hour could not be added up"},
	{"preferences", sweep_preferences, more_preferences, 60 * MINUTE,
		"old preferences could not be swept"},
};
#define KINDS (sizeof kinds / sizeof *kinds)

struct chore {
	struct ph_chores *all;
	const struct kind *kind;
	struct ph_job job;
	struct ph_pg_call *call;
};

/* Owner: the gateway. */
struct ph_chores {
	struct ph_gateway *g;
	struct chore chore[KINDS];
};

static void on_done(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct chore *c = arg;
	bool more = !err && ph_pg_rows(r) && c->kind->more && c->kind->more(r);

	c->call = NULL;
	if (err)
		ph_log(PH_LOG_WARN, "%s: %s; tried again in %llu s", c->kind->failed, err->detail,
			(unsigned long long)c->kind->every_ms / 1000);
	ph_job_done(&c->job, more ? AGAIN_MS : c->kind->every_ms);
}

static void work(void *arg)
{
	struct chore *c = arg;

	c->call = c->kind->call(c->all->g->pg, on_done, c);
}

struct ph_chores *ph_chores_new(struct ph_gateway *g)
{
	struct ph_chores *all = ph_alloc(sizeof *all);

	all->g = g;
	for (size_t i = 0; i < KINDS; i++) {
		struct chore *c = &all->chore[i];

		c->all = all;
		c->kind = &kinds[i];
		ph_job_init(&c->job, g->member, kinds[i].name, HOLD_MS, work, c);
	}
	return all;
}

void ph_chores_start(struct ph_chores *all)
{
	for (size_t i = 0; i < KINDS; i++)
		ph_job_start(&all->chore[i].job);
}

struct ph_chores *ph_chores_free(struct ph_chores *all)
{
	for (size_t i = 0; i < KINDS; i++) {
		ph_job_stop(&all->chore[i].job);
		if (all->chore[i].call)
			ph_pg_abandon(all->chore[i].call);
	}
	free(all);
	return NULL;
}
