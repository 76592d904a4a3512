/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream accounts: the node's copy of the registry, the choice of one for a turn, and the turns that run or
 * wait. The database decides what an account is; this decides which one is taken.
 */
#ifndef POSTHOUSE_ACCOUNT_H
#define POSTHOUSE_ACCOUNT_H

#include "posthouse/crypt.h"
#include "posthouse/pg.h"
#include "posthouse/url.h"

enum ph_account_kind {
	PH_PLATFORM,
	PH_CODEX,
	PH_STATELESS,
};

enum ph_account_state {
	PH_ACCOUNT_ACTIVE,
	PH_ACCOUNT_COOLING,
	PH_ACCOUNT_EXHAUSTED,
	PH_ACCOUNT_REAUTH,
	PH_ACCOUNT_DISABLED,
	PH_ACCOUNT_PAUSED,
	PH_ACCOUNT_DRAINING,
	PH_ACCOUNT_GONE, /* removed while turns still ran on it */
};

/* Owner: the registry and every turn that uses it, by reference count. A reload updates it in place. */
struct ph_account {
	int refs;
	struct ph_list node;
	int64_t id;
	char *name; /* for operators; never shown to clients */
	enum ph_account_kind kind;
	enum ph_account_state state;
	struct ph_url base;
	struct ph_str secret; /* API key, in the clear; may be empty */
	bool sealed_badly;    /* the secret could not be opened with this node's keys */
	uint32_t max_streams; /* 0 = no limit */
	uint32_t weight;
	int priority;          /* lower is preferred */
	struct ph_str *models; /* that it serves; none = all */
	size_t model_count;
	struct ph_str *headers;    /* extra request headers, name and value in turn */
	size_t header_count;       /* pairs */
	uint32_t running;          /* turns of this node */
	uint64_t demoted_until_ms; /* loop time: failed lately, so chosen last */
	unsigned failures;         /* in a row */
	bool seen;                 /* mark of a reload */
};

struct ph_account *ph_account_ref(struct ph_account *a);
struct ph_account *ph_account_unref(struct ph_account *a); /* returns NULL; NULL is allowed */
bool ph_account_serves(const struct ph_account *a, struct ph_str model);
bool ph_account_usable(const struct ph_account *a); /* active, with a secret that opens */

struct ph_accounts;
struct ph_accounts *ph_accounts_new(
	struct ph_loop *loop, struct ph_pg *pg, const struct ph_master_keys *keys);
struct ph_accounts *ph_accounts_free(struct ph_accounts *r); /* returns NULL; no callback afterwards */
/* As ph_auth_reload(). */
void ph_accounts_reload(struct ph_accounts *r, void (*done)(void *arg, int status), void *arg);
bool ph_accounts_loaded(const struct ph_accounts *r);
struct ph_list *ph_accounts_list(struct ph_accounts *r); /* of struct ph_account, node; all but those gone */
struct ph_account *ph_accounts_find(struct ph_accounts *r, int64_t id); /* borrowed, or NULL */

/* ---- the choice ---- */
#define PH_TRIED_MAX 8

struct ph_choice {
	const int64_t *allowed; /* account ids that the key may use */
	size_t allowed_count;   /* 0 = all */
	struct ph_str model;
	int64_t preferred;           /* account id that is taken if it can be; 0 = none */
	int64_t required;            /* the only one that will do; 0 = any */
	int kinds;                   /* bit set of 1 << kind; 0 = all */
	int64_t tried[PH_TRIED_MAX]; /* by this turn */
	size_t tried_count;
};

enum ph_choice_verdict {
	PH_CHOSEN,
	PH_CHOICE_BUSY,  /* usable ones exist, all at max_streams */
	PH_CHOICE_NONE,  /* nothing usable serves this */
	PH_CHOICE_MODEL, /* usable ones exist, none serves the model */
	PH_CHOICE_TRIED, /* all that could were tried */
};

/* CHOSEN: *ret is borrowed; the caller takes it with ph_account_take(). Strategy least_loaded: lowest running
 * turns per weight among the lowest priority number, demoted ones last; ties go round. */
enum ph_choice_verdict ph_account_choose(
	struct ph_accounts *r, const struct ph_choice *c, struct ph_account **ret);

/* A running turn. release wakes the turn that waits longest, later in this turn of the loop. */
struct ph_account *ph_account_take(struct ph_account *a);
void ph_account_release(struct ph_accounts *r, struct ph_account *a);

/* Waiting for any slot: cb fires once, when something may have changed; the waiter chooses again. */
struct ph_account_wait {
	struct ph_list node;
	void (*cb)(void *arg);
	void *arg;
};
void ph_account_wait_init(struct ph_account_wait *w, void (*cb)(void *arg), void *arg);
void ph_account_wait(struct ph_accounts *r, struct ph_account_wait *w); /* to the end of the queue */
void ph_account_wait_stop(struct ph_account_wait *w);                   /* may be repeated */

/* What a turn learned: demotes for a while after failures, lifts it after a success. Not the account's
 * health, which lives in the database. after_ms 0 = nothing was said: 1 s x 2^n, at most 30 s. */
void ph_account_failed(struct ph_accounts *r, struct ph_account *a, uint64_t after_ms);
void ph_account_worked(struct ph_account *a);

#endif
