/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API keys. All live keys are in memory before a node is ready and are honoured while the database is away;
 * an unknown well-formed key costs one read, then an entry in a bounded negative cache until the topic
 * `api_keys` moves.
 */
#ifndef POSTHOUSE_AUTH_H
#define POSTHOUSE_AUTH_H

#include "posthouse/pg.h"

enum ph_key_snapshots {
	PH_KEY_SNAPSHOTS_DEFAULT, /* the node's setting decides */
	PH_KEY_SNAPSHOTS_ALL,
	PH_KEY_SNAPSHOTS_STORED,
	PH_KEY_SNAPSHOTS_NONE,
};

/* Owner: the table of struct ph_auth and every turn that uses it, by reference count. */
struct ph_key {
	int refs;
	int64_t id; /* the scope of everything stored under this key */
	char *name;
	uint8_t hash[32];
	enum ph_key_snapshots snapshots;
	struct ph_str *models; /* allowed models; none = all */
	size_t model_count;
	int64_t *accounts; /* allowed accounts; none = all */
	size_t account_count;
	uint64_t expires_ms; /* unix time; 0 = never */
	bool limited;        /* what its turns use is reserved before they are sent */
};

struct ph_key *ph_key_ref(struct ph_key *k);
struct ph_key *ph_key_unref(struct ph_key *k); /* returns NULL; NULL is allowed */
bool ph_key_allows_model(const struct ph_key *k, struct ph_str model);
bool ph_key_allows_account(const struct ph_key *k, int64_t account);

struct ph_auth;
/* off: every request is the anonymous key, scope 0. */
struct ph_auth *ph_auth_new(struct ph_loop *loop, struct ph_pg *pg, bool off);
struct ph_auth *ph_auth_free(struct ph_auth *a); /* returns NULL; no callback afterwards */

/* Reads all keys and swaps the table. done(arg, 0 or negative), once; a reload that is asked for while one
 * runs is run once more after it. */
void ph_auth_reload(struct ph_auth *a, void (*done)(void *arg, int status), void *arg);
bool ph_auth_loaded(const struct ph_auth *a);

/*
 * Judges the value of an Authorization header. Returns 1 and a reference in *ret where memory decides; a
 * negative code where it refuses (-PH_E_KEY_BAD, with err's detail); 0 where the database must be asked: then
 * cb fires exactly once, later, with a borrowed key or a code (-PH_E_KEY_BAD, -PH_E_DATABASE_AWAY), unless
 * *ret_wait is cancelled before.
 */
struct ph_auth_wait;
typedef void (*ph_auth_cb)(void *arg, int status, struct ph_key *key);
int ph_auth_check(struct ph_auth *a, struct ph_str authorization, ph_auth_cb cb, void *arg,
	struct ph_key **ret, struct ph_auth_wait **ret_wait, struct ph_err *err) PH_WARN_UNUSED;
void ph_auth_cancel(struct ph_auth_wait *w);

#endif
