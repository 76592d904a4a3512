/* SPDX-License-Identifier: Apache-2.0 */
/* Whose an id is and who keeps it: one look-up for all ids of a request; and the writing of new ones. */
#include "owned.h"

#include <stdlib.h>

#include "posthouse/log.h"

struct ph_owned_find {
	struct ph_gateway *g;
	const struct ph_key *key;
	const struct ph_owned_ids *ids;
	struct ph_pg_call *call;
	ph_owned_cb cb;
	void *arg;
};

/* One answer for what is not there and for what is not this scope's. */
static int unknown(struct ph_err *err, const struct ph_owned_id *id)
{
	struct ph_str shown = id->id.n > 128 ? ph_str(id->id.p, 128) : id->id;

	return ph_fail_param(err, PH_E_RESOURCE_UNKNOWN, id->param, "%s with id '%.*s' not found.", id->noun,
		PH_STR_ARG(shown));
}

static int64_t account_of(const struct ph_pg_result *r, struct ph_str id)
{
	enum {
		ID,
		ACCOUNT
	};

	for (int row = 0; row < ph_pg_rows(r); row++)
		if (!ph_pg_is_null(r, row, ID) && ph_str_eq(ph_pg_str(r, row, ID), id))
			return ph_pg_int(r, row, ACCOUNT);
	return 0;
}

/* It is there, and for this key. */
static bool is_reachable(const struct ph_owned_find *f, int64_t account)
{
	const struct ph_account *a = ph_accounts_find(f->g->accounts, account);

	return a && a->state != PH_ACCOUNT_DISABLED && ph_key_allows_account(f->key, account);
}

static int place_of(const struct ph_owned_find *f, const struct ph_pg_result *r, struct ph_owned_place *place,
	struct ph_err *err)
{
	place->home = ph_pg_rows(r) ? ph_pg_int(r, 0, 1) : 0;
	for (size_t i = 0; i < f->ids->n; i++) {
		int64_t account = account_of(r, f->ids->list[i].id);

		if (!account || !is_reachable(f, account))
			return unknown(err, &f->ids->list[i]);
		if (place->account && place->account != account)
			return ph_fail_param(err, PH_E_IDS_MIXED, f->ids->list[i].param, "%s", "");
		place->account = account;
	}
	return 0;
}

static void on_found(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_owned_find *f = arg;
	struct ph_owned_place place = {0};
	struct ph_err why = {0};

	if (!err && place_of(f, r, &place, &why))
		err = &why;
	f->cb(f->arg, &place, err);
	free(f);
}

struct ph_owned_find *ph_owned_find(struct ph_gateway *g, const struct ph_key *key,
	const struct ph_owned_ids *ids, ph_owned_cb cb, void *arg)
{
	struct ph_owned_find *f = ph_alloc(sizeof *f);

	*f = (struct ph_owned_find){.g = g, .key = key, .ids = ids, .cb = cb, .arg = arg};
	f->call = ph_owned_store_find(g->pg, key->id, ids, on_found, f);
	return f;
}

void ph_owned_find_cancel(struct ph_owned_find *f)
{
	ph_pg_abandon(f->call);
	free(f);
}

/* ---- writing ---- */

struct ph_owned_write {
	void (*cb)(void *arg, int status); /* NULL: nobody waits any more */
	void *arg;
};

static void on_written(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_owned_write *w = arg;

	(void)r;
	if (err && !w->cb)
		ph_log(PH_LOG_ERROR, "the owner of an upstream's resource could not be written: %s",
			err->detail);
	else if (w->cb)
		w->cb(w->arg, err ? -err->code : 0);
	free(w);
}

struct ph_owned_write *ph_owned_write(struct ph_gateway *g, int64_t scope, int64_t account,
	const struct ph_minted *ids, size_t n, void (*cb)(void *arg, int status), void *arg)
{
	struct ph_owned_write *w = ph_alloc(sizeof *w);

	*w = (struct ph_owned_write){cb, arg};
	if (account)
		ph_owned_store_add(g->pg, scope, account, ids, n, on_written, w);
	else
		ph_owned_store_remove(g->pg, scope, ids, n, on_written, w);
	return w;
}

void ph_owned_write_cancel(struct ph_owned_write *w)
{
	w->cb = NULL;
}
