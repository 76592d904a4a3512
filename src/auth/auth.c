/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is calling. The table of live keys, hashed by the SHA-256 of the whole key (a cache keyed by less has
 * let one tenant be taken for another elsewhere), a negative cache for well-formed keys that the database
 * does not know, and the one read that decides about a key which is in neither.
 */
#include <stdlib.h>
#include <uthash.h>

#include "auth_priv.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"

#define NEGATIVE_MAX 4096 /* entries; when full it is emptied: the price is one read per key */

struct entry {
	struct ph_key *key;
	UT_hash_handle hh;
};

struct negative {
	uint8_t hash[32];
	UT_hash_handle hh;
};

struct ph_auth_wait {
	struct ph_auth *auth;
	struct ph_list node;
	struct ph_pg_call *call;
	uint8_t hash[32];
	ph_auth_cb cb;
	void *arg;
};

/* Owner: the node. */
struct ph_auth {
	struct ph_pg *pg;
	struct entry *table;
	struct negative *negative;
	struct ph_key *anonymous; /* where authentication is off, else NULL */
	struct ph_list waits;     /* reads in flight that a request waits for */
	struct ph_pg_call *reload;
	bool again; /* a reload was asked for while one ran */
	bool loaded;
	void (*done)(void *arg, int status);
	void *done_arg;
};

struct ph_key *ph_key_ref(struct ph_key *k)
{
	k->refs++;
	return k;
}

struct ph_key *ph_key_unref(struct ph_key *k)
{
	if (!k || --k->refs > 0)
		return NULL;
	for (size_t i = 0; i < k->model_count; i++)
		free((void *)(uintptr_t)k->models[i].p);
	free(k->models);
	free(k->accounts);
	free(k->name);
	free(k);
	return NULL;
}

bool ph_key_allows_model(const struct ph_key *k, struct ph_str model)
{
	for (size_t i = 0; i < k->model_count; i++)
		if (ph_str_eq(k->models[i], model))
			return true;
	return k->model_count == 0;
}

bool ph_key_allows_account(const struct ph_key *k, int64_t account)
{
	for (size_t i = 0; i < k->account_count; i++)
		if (k->accounts[i] == account)
			return true;
	return k->account_count == 0;
}

/* ---- the table ---- */

static void table_add(struct entry **table, struct ph_key *key)
{
	struct entry *e = ph_alloc(sizeof *e);

	e->key = key;
	HASH_ADD_KEYPTR(hh, *table, key->hash, sizeof key->hash, e);
}

static void table_clear(struct entry **table)
{
	struct entry *e, *next;

	HASH_ITER(hh, *table, e, next)
	{
		HASH_DEL(*table, e);
		ph_key_unref(e->key);
		free(e);
	}
}

static void negative_clear(struct ph_auth *a)
{
	struct negative *e, *next;

	HASH_ITER(hh, a->negative, e, next)
	{
		HASH_DEL(a->negative, e);
		free(e);
	}
}

static void negative_add(struct ph_auth *a, const uint8_t hash[32])
{
	struct negative *e;

	if (HASH_COUNT(a->negative) >= NEGATIVE_MAX)
		negative_clear(a);
	HASH_FIND(hh, a->negative, hash, 32, e);
	if (e)
		return;
	e = ph_alloc(sizeof *e);
	memcpy(e->hash, hash, 32);
	HASH_ADD(hh, a->negative, hash, sizeof e->hash, e);
}

struct ph_auth *ph_auth_new(struct ph_loop *loop, struct ph_pg *pg, bool off)
{
	struct ph_auth *a = ph_alloc(sizeof *a);

	(void)loop;
	a->pg = pg;
	ph_list_init(&a->waits);
	if (off) {
		a->anonymous = ph_alloc(sizeof *a->anonymous);
		a->anonymous->refs = 1;
		a->anonymous->name = ph_strdup("anonymous");
	}
	return a;
}

static void wait_free(struct ph_auth_wait *w)
{
	ph_list_remove(&w->node);
	free(w);
}

struct ph_auth *ph_auth_free(struct ph_auth *a)
{
	if (!a)
		return NULL;
	if (a->reload)
		ph_pg_abandon(a->reload);
	PH_LIST_EACH_SAFE (it, &a->waits)
		ph_auth_cancel(PH_CONTAINER(it, struct ph_auth_wait, node));
	table_clear(&a->table);
	negative_clear(a);
	ph_key_unref(a->anonymous);
	free(a);
	return NULL;
}

static void reload_start(struct ph_auth *a);

static void on_loaded(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_auth *a = arg;
	struct entry *fresh = NULL;

	a->reload = NULL;
	if (!err) {
		for (int row = 0; row < ph_pg_rows(r); row++)
			table_add(&fresh, ph_auth_store_key(r, row));
		table_clear(&a->table);
		negative_clear(a);
		a->table = fresh;
		a->loaded = true;
	}
	if (a->again) {
		a->again = false;
		reload_start(a);
		return;
	}
	if (a->done)
		a->done(a->done_arg, err ? -err->code : 0);
}

static void reload_start(struct ph_auth *a)
{
	a->reload = ph_auth_store_load(a->pg, on_loaded, a);
}

void ph_auth_reload(struct ph_auth *a, void (*done)(void *arg, int status), void *arg)
{
	a->done = done;
	a->done_arg = arg;
	if (a->reload)
		a->again = true;
	else
		reload_start(a);
}

bool ph_auth_loaded(const struct ph_auth *a)
{
	return a->loaded;
}

/* ---- the judgement ---- */

static struct ph_str bearer(struct ph_str authorization)
{
	struct ph_str scheme = ph_str_trim(authorization);
	size_t n = sizeof "Bearer" - 1;

	if (scheme.n <= n || !ph_str_eq_nocase(ph_str(scheme.p, n), PH_STR("Bearer")) || scheme.p[n] != ' ')
		return PH_STR_NONE;
	return ph_str_trim(ph_str_from(scheme, n));
}

static bool expired(const struct ph_key *k)
{
	return k->expires_ms && ph_clock_unix_ms() >= k->expires_ms;
}

static void on_found(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_auth_wait *w = arg;
	struct ph_key *key = NULL;
	ph_auth_cb cb = w->cb;
	void *cb_arg = w->arg;
	int status = err ? -err->code : -PH_E_KEY_BAD;

	if (!err && ph_pg_rows(r) > 0) {
		key = ph_auth_store_key(r, 0);
		status = expired(key) ? -PH_E_KEY_BAD : 0;
	}
	if (status == -PH_E_KEY_BAD)
		negative_add(w->auth, w->hash);
	wait_free(w);
	cb(cb_arg, status, status == 0 ? key : NULL);
	ph_key_unref(key);
}

static int ask(
	struct ph_auth *a, const uint8_t hash[32], ph_auth_cb cb, void *arg, struct ph_auth_wait **ret_wait)
{
	struct ph_auth_wait *w = ph_alloc(sizeof *w);

	w->auth = a;
	w->cb = cb;
	w->arg = arg;
	memcpy(w->hash, hash, sizeof w->hash);
	ph_list_push_back(&a->waits, &w->node);
	w->call = ph_auth_store_find(a->pg, hash, on_found, w);
	*ret_wait = w;
	return 0;
}

int ph_auth_check(struct ph_auth *a, struct ph_str authorization, ph_auth_cb cb, void *arg,
	struct ph_key **ret, struct ph_auth_wait **ret_wait, struct ph_err *err)
{
	struct ph_str key = bearer(authorization);
	struct negative *known_bad;
	struct entry *e;
	uint8_t hash[32];

	if (a->anonymous) {
		*ret = ph_key_ref(a->anonymous);
		return 1;
	}
	if (key.n == 0)
		return ph_fail(err, PH_E_KEY_BAD, "None was sent.");
	if (!ph_key_well_formed(key))
		return ph_fail(err, PH_E_KEY_BAD, "%s", "");
	ph_sha256(key, hash);
	HASH_FIND(hh, a->table, hash, sizeof hash, e);
	if (e && expired(e->key))
		return ph_fail(err, PH_E_KEY_BAD, "%s", "");
	if (e) {
		*ret = ph_key_ref(e->key);
		return 1;
	}
	HASH_FIND(hh, a->negative, hash, sizeof hash, known_bad);
	if (known_bad)
		return ph_fail(err, PH_E_KEY_BAD, "%s", "");
	return ask(a, hash, cb, arg, ret_wait);
}

void ph_auth_cancel(struct ph_auth_wait *w)
{
	if (w->call)
		ph_pg_abandon(w->call);
	wait_free(w);
}
