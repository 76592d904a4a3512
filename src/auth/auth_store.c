/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of API keys, and keys made from its rows. */
#include <stdlib.h>

#include "auth_priv.h"

struct ph_pg_call *ph_auth_store_load(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.load_api_keys()", NULL, 0, 0, cb, arg);
}

struct ph_pg_call *ph_auth_store_find(struct ph_pg *pg, const uint8_t hash[32], ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_BYTES(ph_str((const char *)hash, 32))};

	return ph_pg_query(pg, "SELECT * FROM posthouse.find_api_key($1)", p, 1, 0, cb, arg);
}

static enum ph_key_snapshots policy(struct ph_str s)
{
	if (ph_str_eq(s, PH_STR("all")))
		return PH_KEY_SNAPSHOTS_ALL;
	if (ph_str_eq(s, PH_STR("stored")))
		return PH_KEY_SNAPSHOTS_STORED;
	if (ph_str_eq(s, PH_STR("none")))
		return PH_KEY_SNAPSHOTS_NONE;
	return PH_KEY_SNAPSHOTS_DEFAULT;
}

static void read_models(struct ph_key *k, const struct ph_pg_result *r, int row, int col)
{
	size_t n = ph_pg_array_count(r, row, col);

	k->models = n ? ph_alloc(n * sizeof *k->models) : NULL;
	for (size_t i = 0; i < n; i++)
		k->models[i] = ph_str_dup(ph_pg_array_str(r, row, col, i));
	k->model_count = n;
}

struct ph_key *ph_auth_store_key(const struct ph_pg_result *r, int row)
{
	enum {
		KEY_ID,
		NAME,
		HASH,
		SNAPSHOTS,
		MODELS,
		ACCOUNTS,
		EXPIRES,
		LIMITED
	};
	struct ph_str name = ph_pg_str(r, row, NAME), hash = ph_pg_str(r, row, HASH);
	struct ph_key *k = ph_alloc(sizeof *k);
	size_t n = ph_pg_array_count(r, row, ACCOUNTS);

	k->refs = 1;
	k->id = ph_pg_int(r, row, KEY_ID);
	k->name = ph_alloc(name.n + 1);
	ph_str_copy(k->name, name.n + 1, name);
	if (hash.n == sizeof k->hash)
		memcpy(k->hash, hash.p, sizeof k->hash);
	k->snapshots = policy(ph_pg_str(r, row, SNAPSHOTS));
	read_models(k, r, row, MODELS);
	k->accounts = n ? ph_alloc(n * sizeof *k->accounts) : NULL;
	for (size_t i = 0; i < n; i++)
		k->accounts[i] = ph_pg_array_int(r, row, ACCOUNTS, i);
	k->account_count = n;
	k->expires_ms = (uint64_t)ph_pg_int(r, row, EXPIRES);
	k->limited = ph_pg_int(r, row, LIMITED) != 0;
	return k;
}
