/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_ACCOUNT_PRIV_H
#define POSTHOUSE_ACCOUNT_PRIV_H

#include "posthouse/account.h"

#define PH_RESTS_MAX 256

/* Who rests, and until when (loop time). */
struct ph_rest_entry {
	enum ph_rest rest;
	int64_t account;
	struct ph_url *base; /* owned; NULL where the kind is of one account */
	struct ph_str word;  /* owned */
	uint64_t until_ms;
};

/* Owner: the node. */
struct ph_accounts {
	struct ph_loop *loop;
	struct ph_pg *pg;
	const struct ph_master_keys *keys;
	const char *node;   /* its name */
	struct ph_list all; /* of struct ph_account: everything that the last reload brought */
	struct ph_list
		waiting; /* of struct ph_account_wait: turns for which no account had a slot, longest first */
	struct ph_defer wake;
	struct ph_timer due; /* the next end of a block or a usage window, or usage to be written */
	struct ph_rest_entry rests[PH_RESTS_MAX]; /* oldest first */
	size_t rest_count;
	struct ph_pg_call *reload;
	bool again; /* a reload was asked for while one ran */
	bool loaded;
	void (*done)(void *arg, int status);
	void *done_arg;
};

void ph_accounts_wake(struct ph_accounts *r); /* all that wait, later in this turn of the loop */

/* account.c: what a row says. An account with a secret that does not open is kept, marked, and never usable.
 */
struct ph_account *ph_account_new(void);
int ph_account_fill(struct ph_account *a, const struct ph_pg_result *r, int row,
	const struct ph_master_keys *keys, struct ph_err *err) PH_WARN_UNUSED;

/* ---- health.c: how an account stands on this node ---- */

/* A row of the database, as every function that tells of health returns it. */
struct ph_health_row {
	enum ph_account_state state; /* as it is now: ACTIVE where the time of a block has passed */
	uint64_t remaining_ms;       /* of cooling and exhausted */
	int64_t version;
	int strikes;
};
enum ph_account_state ph_health_state(struct ph_str name);
const char *ph_health_name(enum ph_account_state state);
/* An answer; one that is older than what is known is passed over. */
void ph_health_learn(struct ph_accounts *r, struct ph_account *a, const struct ph_health_row *row);
/* Whether a block of that kind and end would change anything that matters. */
bool ph_health_adds(const struct ph_account_health *h, enum ph_account_state state, uint64_t until_ms);
/* The graver state and the later end stay. */
void ph_health_raise(struct ph_account *a, enum ph_account_state state, uint64_t until_ms);
void ph_health_reloaded(
	struct ph_accounts *r, struct ph_account *a, const struct ph_pg_result *rows, int row);
void ph_health_drop(struct ph_account *a); /* the account goes: nothing of it is written any more */
void ph_health_due(struct ph_accounts *r); /* an end has moved: sets the timer */
void ph_health_on_due(void *arg);          /* of struct ph_accounts: the timer */

/* ---- report.c: a finding on its way to the database ---- */
void ph_report_write(struct ph_accounts *r, struct ph_account *a, const struct ph_account_finding *f,
	uint64_t until_ms, bool strike);
void ph_report_hold(struct ph_account *a); /* what is not written yet holds on top of what was read */
void ph_report_drop(struct ph_account *a);

/* ---- usage.c ---- */
uint64_t ph_usage_due(
	const struct ph_account *a); /* loop time at which something is to be written; 0 = nothing */
bool ph_usage_ahead(const struct ph_account *a); /* of what the database knows */
void ph_usage_flush(struct ph_account *a);
void ph_usage_forget(struct ph_account *a); /* what was seen counts no more */
void ph_usage_drop(struct ph_account *a);
void ph_usage_note(struct ph_accounts *r, struct ph_account *a, int64_t percent, uint64_t remaining_ms);

/* ---- rest.c ---- */
bool ph_account_rests(const struct ph_accounts *r, const struct ph_account *a, const struct ph_choice *c);
void ph_account_rested(struct ph_accounts *r, const struct ph_account *a); /* it worked */
void ph_rests_drop(struct ph_accounts *r);

/* ---- account_store.c ---- */
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
	PH_ACCOUNT_STATE, /* what the operator said */
	PH_ACCOUNT_HEADERS,
	PH_ACCOUNT_HEALTH,
	PH_ACCOUNT_REMAINING_MS,
	PH_ACCOUNT_VERSION,
	PH_ACCOUNT_STRIKES,
	PH_ACCOUNT_USED_PERCENT,
	PH_ACCOUNT_USED_MS,
	PH_ACCOUNT_COLUMNS
};
struct ph_pg_call *ph_account_store_load(struct ph_pg *pg, ph_pg_cb cb, void *arg);

/* Rows of report_health() and report_usage(): 0 where the account is gone, else 1. */
enum {
	PH_HEALTH_RESULT,
	PH_HEALTH_STATE,
	PH_HEALTH_REMAINING_MS,
	PH_HEALTH_VERSION,
	PH_HEALTH_STRIKES,
	PH_HEALTH_COLUMNS
};
struct ph_health_row ph_account_store_health(const struct ph_pg_result *r);

struct ph_health_write {
	int64_t account, version;
	const struct ph_account_finding *finding;
	bool strike;
	uint64_t age_ms;
	const char *node;
};
struct ph_pg_call *ph_account_store_report(
	struct ph_pg *pg, const struct ph_health_write *w, ph_pg_cb cb, void *arg);

struct ph_usage_write {
	int64_t account, version;
	const struct ph_usage *usage;
	uint64_t age_ms;
	const char *node;
};
struct ph_pg_call *ph_account_store_usage(
	struct ph_pg *pg, const struct ph_usage_write *w, ph_pg_cb cb, void *arg);

/* Nobody waits for it: strikes that stay are ended by the next answer that works. */
void ph_account_store_end_strikes(struct ph_pg *pg, int64_t account, int64_t version);

#endif
