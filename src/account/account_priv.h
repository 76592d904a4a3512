/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_ACCOUNT_PRIV_H
#define POSTHOUSE_ACCOUNT_PRIV_H

#include "posthouse/account.h"

/* Owner: the node. */
struct ph_accounts {
	struct ph_loop *loop;
	struct ph_pg *pg;
	const struct ph_master_keys *keys;
	struct ph_list all; /* of struct ph_account: everything that the last reload brought */
	struct ph_list
		waiting; /* of struct ph_account_wait: turns for which no account had a slot, longest first */
	struct ph_defer wake;
	struct ph_pg_call *reload;
	bool again; /* a reload was asked for while one ran */
	bool loaded;
	void (*done)(void *arg, int status);
	void *done_arg;
};

/* account.c: what a row says. An account with a secret that does not open is kept, marked, and never usable.
 */
struct ph_account *ph_account_new(void);
int ph_account_fill(struct ph_account *a, const struct ph_pg_result *r, int row,
	const struct ph_master_keys *keys, struct ph_err *err) PH_WARN_UNUSED;

/* account_store.c: rows of posthouse.load_accounts(), and its columns. */
enum {
	PH_ACCOUNT_ID,
	PH_ACCOUNT_NAME,
	PH_ACCOUNT_KIND,
	PH_ACCOUNT_BASE_URL,
	PH_ACCOUNT_SEALED,
	PH_ACCOUNT_MAX_STREAMS,
	PH_ACCOUNT_WEIGHT,
	PH_ACCOUNT_PRIORITY,
	PH_ACCOUNT_MODELS,
	PH_ACCOUNT_STATE,
	PH_ACCOUNT_HEADERS,
};
struct ph_pg_call *ph_account_store_load(struct ph_pg *pg, ph_pg_cb cb, void *arg);

#endif
