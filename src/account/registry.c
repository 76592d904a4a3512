/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's copy of the accounts. A reload updates accounts in place, so that running counts and what was
 * found but not written yet survive, and sets aside those that are gone: turns that still run on them hold a
 * reference.
 */
#include <stdlib.h>

#include "account_priv.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"

struct ph_accounts *ph_accounts_new(
	struct ph_loop *loop, struct ph_pg *pg, const struct ph_master_keys *keys, const char *node)
{
	struct ph_accounts *r = ph_alloc(sizeof *r);

	r->loop = loop;
	r->pg = pg;
	r->keys = keys;
	r->node = node;
	ph_list_init(&r->all);
	ph_waiting_init(r);
	r->prefer = ph_prefer_new(r);
	ph_timer_init(&r->due, loop, ph_health_on_due, r);
	return r;
}

static void drop(struct ph_account *a)
{
	ph_health_drop(a);
	ph_lease_close(a);
	a->state = PH_ACCOUNT_GONE;
	ph_list_remove(&a->node);
	ph_account_unref(a);
}

struct ph_accounts *ph_accounts_free(struct ph_accounts *r)
{
	if (!r)
		return NULL;
	if (r->reload)
		ph_pg_abandon(r->reload);
	ph_defer_cancel(&r->wake);
	ph_timer_stop(&r->due);
	ph_rests_drop(r);
	r->prefer = ph_prefer_free(r->prefer);
	PH_LIST_EACH_SAFE (it, &r->all)
		drop(PH_CONTAINER(it, struct ph_account, node));
	free(r);
	return NULL;
}

struct ph_account *ph_accounts_find(struct ph_accounts *r, int64_t id)
{
	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->id == id)
			return a;
	}
	return NULL;
}

struct ph_list *ph_accounts_list(struct ph_accounts *r)
{
	return &r->all;
}

bool ph_accounts_loaded(const struct ph_accounts *r)
{
	return r->loaded;
}

/* How long it took until a change that others made came here. */
static void observe_change(
	const struct ph_accounts *r, const struct ph_account *a, const struct ph_pg_result *rows, int row)
{
	if (ph_pg_int(rows, row, PH_ACCOUNT_VERSION) > a->health.version &&
		!ph_str_eq(ph_pg_str(rows, row, PH_ACCOUNT_CHANGED_BY), ph_str_c(r->node)))
		ph_metric_observe(
			PH_M_HEALTH_SECONDS, (uint64_t)ph_pg_int(rows, row, PH_ACCOUNT_CHANGED_US) * 1000);
}

static void apply_row(struct ph_accounts *r, const struct ph_pg_result *rows, int row)
{
	struct ph_account *a = ph_accounts_find(r, ph_pg_int(rows, row, PH_ACCOUNT_ID));
	int64_t secret = a ? a->secret_version : 0;
	struct ph_err err = {0};

	if (a) {
		observe_change(r, a, rows, row);
	} else {
		a = ph_account_new();
		ph_lease_open(r, a);
		ph_list_push_back(&r->all, &a->node);
	}
	a->seen = true;
	if (ph_account_fill(a, rows, row, r->keys, &err)) {
		a->sealed_badly = true;
		ph_log(PH_LOG_ERROR, "account %s cannot be used: %s", a->name, err.detail);
	}
	if (a->secret_version != secret)
		ph_renew_plan(r, a);
	ph_health_reloaded(r, a, rows, row);
	ph_lease_look(a);
}

static void apply(struct ph_accounts *r, const struct ph_pg_result *rows)
{
	PH_LIST_EACH (it, &r->all)
		PH_CONTAINER(it, struct ph_account, node)->seen = false;
	if (ph_pg_rows(rows))
		ph_renew_clock(r, (uint64_t)ph_pg_int(rows, 0, PH_ACCOUNT_NOW_MS));
	for (int row = 0; row < ph_pg_rows(rows); row++)
		apply_row(r, rows, row);
	PH_LIST_EACH_SAFE (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (!a->seen)
			drop(a);
	}
	r->loaded = true;
	ph_prefer_forget(r->prefer);
	ph_health_due(r);
	ph_accounts_wake(r);
}

static void reload_start(struct ph_accounts *r);

static void on_loaded(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_accounts *r = arg;

	r->reload = NULL;
	if (!err)
		apply(r, rows);
	if (r->again) {
		r->again = false;
		reload_start(r);
		return;
	}
	if (r->done)
		r->done(r->done_arg, err ? -err->code : 0);
}

static void reload_start(struct ph_accounts *r)
{
	PH_LIST_EACH (it, &r->all)
		PH_CONTAINER(it, struct ph_account, node)->health.answered = false;
	r->reload = ph_account_store_load(r->pg, on_loaded, r);
}

void ph_accounts_reload(struct ph_accounts *r, void (*done)(void *arg, int status), void *arg)
{
	r->done = done;
	r->done_arg = arg;
	if (r->reload)
		r->again = true;
	else
		reload_start(r);
}
