/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_ACCOUNT_PRIV_H
#define POSTHOUSE_ACCOUNT_PRIV_H

#include "posthouse/account.h"
#include "posthouse/member.h"

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
	const char *node;         /* its name */
	struct ph_list all;       /* of struct ph_account: everything that the last reload brought */
	struct ph_member *member; /* NULL: no slot can be had */
	struct ph_list
		waiting; /* of struct ph_account_wait: turns for which no account had a slot, longest first */
	struct ph_defer wake;
	bool wake_all;       /* not only as far as slots are free */
	struct ph_timer due; /* the next end of a block or a usage window, or usage to be written */
	struct ph_rest_entry rests[PH_RESTS_MAX]; /* oldest first */
	size_t rest_count;
	uint64_t clock_ms; /* loop time at which it was unix_ms on the database's clock; 0 = not heard yet */
	uint64_t unix_ms;
	enum ph_strategy strategy;
	uint64_t turn; /* round_robin: of whoever was taken last */
	struct ph_prefer *prefer;
	struct ph_pg_call *reload;
	bool again; /* a reload was asked for while one ran */
	bool loaded;
	void (*done)(void *arg, int status);
	void *done_arg;
};

/* ---- wait.c ---- */
void ph_waiting_init(struct ph_accounts *r);
void ph_accounts_wake(struct ph_accounts *r);      /* all that wait, later in this turn of the loop */
void ph_accounts_wake_some(struct ph_accounts *r); /* as many as slots are free */
/* Turns that wait for this account, or for any and could use it; counted up to max. */
uint32_t ph_accounts_waiting(const struct ph_accounts *r, const struct ph_account *a, uint32_t max);

/* ---- strategy.c ---- */
#define PH_TURN_SHIFT 20 /* length of a turn of an account of weight 1; of others divided by their weight */

struct ph_candidate {
	struct ph_account *a;
	bool rests;
	bool unlisted; /* its own list lacks the model: a list may be old, so it is only chosen late */
	bool last;     /* above its bound, or near its limit and the conversation is new */
	bool ready;    /* without asking for a slot */
};
/* x is to be taken before best. */
bool ph_strategy_better(
	const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *best);
void ph_strategy_took(struct ph_accounts *r, struct ph_account *a); /* not as the preferred one */

/* ---- choose.c ---- */
bool ph_account_over(const struct ph_account *a); /* its max_used_percent */

/* ---- prefer.c ---- */
struct ph_prefer *ph_prefer_new(struct ph_accounts *r);
void ph_prefer_forget(struct ph_prefer *p); /* the accounts were read again: what stood may have moved */
struct ph_prefer *ph_prefer_free(struct ph_prefer *p); /* returns NULL; nobody waits any more */

/* ---- probe.c ---- */
void ph_probe_due(struct ph_account *a);         /* a block has ended by itself */
void ph_probe_drop(struct ph_account *a);        /* the account goes */
void ph_probe_end(struct ph_account *a);         /* something else is known of it now */
bool ph_probe_holds(const struct ph_account *a); /* it is another turn's to go first */
bool ph_probe_take(struct ph_account *a);        /* a turn begins; false: the database is asked first */
void ph_probe_release(struct ph_accounts *r, struct ph_account *a); /* a turn ended */
uint64_t ph_probe_until_ms(const struct ph_account *a);             /* loop time; 0 = nothing ends */

/* ---- lease.c: the block of an account ---- */
void ph_lease_open(struct ph_accounts *r, struct ph_account *a);
void ph_lease_close(struct ph_account *a);          /* the account goes; running turns run on */
uint32_t ph_lease_room(const struct ph_account *a); /* slots that are free at once */
void ph_lease_began(struct ph_account *a);          /* a turn took one */
void ph_lease_ended(struct ph_account *a);          /* and gives it back */
void ph_lease_settle(struct ph_account *a);         /* takes or gives, where that is due */
void ph_lease_look(struct ph_account *a);           /* the account was read again: its limit may be another */
void ph_lease_hurry(struct ph_account *a);          /* somebody new waits for it */
void ph_lease_free(struct ph_account *a);           /* another node gave some back */
void ph_lease_asked(struct ph_account *a);          /* another node is starved */

/* ---- leases.c: all blocks of the node, as its heartbeat sees them ---- */
enum ph_lease_loss {
	PH_LOST_LAPSED,
	PH_LOST_SERVER,
	PH_LOST_OPERATOR,
	PH_LOST_FORGOTTEN
};
void ph_lease_void(struct ph_account *a, enum ph_lease_loss why); /* what runs is told to the database */
void ph_leases_void(struct ph_accounts *r, enum ph_lease_loss why);
void ph_leases_settle(struct ph_accounts *r);
/* Array literals of the accounts with a limit that are used here, and their turns. */
void ph_leases_list(struct ph_accounts *r, struct ph_buf *accounts, struct ph_buf *running);
/* Whether the database knows of all that runs here, since its present life began. */
bool ph_leases_told(const struct ph_accounts *r);
/* A heartbeat's answer: what it does not name has lapsed. sent_ms: boot clock. */
void ph_leases_renewed(struct ph_accounts *r, const struct ph_pg_result *rows, uint64_t sent_ms);

/* ---- member.c ---- */
struct ph_loop *ph_member_loop(const struct ph_member *m);
struct ph_pg *ph_member_pg(const struct ph_member *m);
bool ph_member_is(const struct ph_member *m, struct ph_str id); /* the same id as text */
int64_t ph_member_life(const struct ph_member *m);              /* of the server; 0 = not registered yet */
uint64_t ph_member_trust_ms(const struct ph_member *m);         /* how long a grant is believed */
void ph_member_heard(struct ph_member *m, int64_t life);        /* the server's life, as an answer told it */
void ph_member_forgotten(struct ph_member *m);
void ph_member_told(struct ph_member *m); /* something that runs was told: perhaps the last */

/* account.c: what a row says. An account with a secret that does not open is kept, marked, and never usable.
 */
struct ph_account *ph_account_new(void);
int ph_account_fill(struct ph_account *a, const struct ph_pg_result *r, int row,
	const struct ph_master_keys *keys, struct ph_err *err) PH_WARN_UNUSED;

/* The same of its secret alone. written_s: when it was stored. */
int ph_account_fill_secret(struct ph_account *a, struct ph_str sealed, uint64_t written_s,
	const struct ph_master_keys *keys, struct ph_err *err) PH_WARN_UNUSED;

/* ---- renew.c ---- */
void ph_renew_clock(struct ph_accounts *r, uint64_t unix_ms);    /* what the database's clock says */
void ph_renew_plan(struct ph_accounts *r, struct ph_account *a); /* the secret is another one */

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
	PH_ACCOUNT_SECRET_VERSION,
	PH_ACCOUNT_SECRET_MS, /* unix time at which it was written */
	PH_ACCOUNT_NOW_MS,    /* unix time there */
	PH_ACCOUNT_MAX_USED_PERCENT,
	PH_ACCOUNT_CHANGED_US, /* age of the last change of its health */
	PH_ACCOUNT_CHANGED_BY, /* the node that made it, by name; empty: an operator */
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

/* Of claim_probe(). */
enum {
	PH_PROBE_RESULT,
	PH_PROBE_WAIT_MS
};
struct ph_pg_call *ph_account_store_probe(
	struct ph_pg *pg, int64_t account, int64_t version, uint64_t hold_ms, ph_pg_cb cb, void *arg);
/* Answers as report_health(). */
struct ph_pg_call *ph_account_store_end_probe(
	struct ph_pg *pg, int64_t account, int64_t version, const char *node, ph_pg_cb cb, void *arg);

/* Nobody waits for it: strikes that stay are ended by the next answer that works. */
void ph_account_store_end_strikes(struct ph_pg *pg, int64_t account, int64_t version);

/* Rows of claim_refresh(): 0 where there is nothing to renew, else 1. */
enum {
	PH_REFRESH_RESULT,
	PH_REFRESH_EPOCH,
	PH_REFRESH_WAIT_MS,
	PH_REFRESH_SEALED,
	PH_REFRESH_VERSION,
	PH_REFRESH_TOKEN_URL
};
struct ph_pg_call *ph_account_store_claim(struct ph_pg *pg, const struct ph_renewing *n, const char *node,
	uint64_t hold_ms, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_account_store_renewed(struct ph_pg *pg, const struct ph_renewing *n, const char *node,
	struct ph_str sealed, struct ph_str key_id, uint64_t rest_ms, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_account_store_not_renewed(struct ph_pg *pg, const struct ph_renewing *n,
	const char *node, const char *reason, const char *name, ph_pg_cb cb, void *arg);

/* ---- lease_store.c ---- */
enum {
	PH_SLOTS_RESULT,
	PH_SLOTS_SLOTS,
	PH_SLOTS_VERSION,
	PH_SLOTS_MAX_STREAMS,
	PH_SLOTS_OTHERS,
	PH_SLOTS_LIFE,
	PH_SLOTS_RETRY_MS,
	PH_SLOTS_COLUMNS
};
struct ph_slots_call {
	int64_t account;
	const char *node; /* 16 bytes */
	int64_t version, life;
	uint32_t running, needed, wanted;
};
struct ph_pg_call *ph_lease_store_slots(
	struct ph_pg *pg, const struct ph_slots_call *c, ph_pg_cb cb, void *arg);
void ph_lease_store_ask(struct ph_pg *pg, int64_t account, const char *node);

/* ---- prefer_store.c ---- */
enum {
	PH_PREFER_ACCOUNT, /* NULL: none */
	PH_PREFER_WAS      /* NULL: the conversation is new */
};
/* able: an array literal; choice 0: none. */
struct ph_pg_call *ph_prefer_store_call(struct ph_pg *pg, int64_t scope, struct ph_str signal,
	struct ph_str able, int64_t choice, uint64_t timeout_ms, ph_pg_cb cb, void *arg);

/* ---- member_store.c ---- */
enum {
	PH_BEAT_LIFE,
	PH_BEAT_DRAINING,
	PH_BEAT_ACCOUNT, /* NULL: the node has no lease */
	PH_BEAT_SLOTS,
	PH_BEAT_VERSION,
	PH_BEAT_COLUMNS
};
struct ph_beat {
	const char *node;
	int64_t told; /* life in which all that runs was told */
	struct ph_str accounts, running;
};
struct ph_pg_call *ph_member_store_register(struct ph_pg *pg, const char *node, const char *name,
	uint64_t ttl_ms, uint64_t timeout_ms, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_member_store_beat(
	struct ph_pg *pg, const struct ph_beat *b, uint64_t timeout_ms, ph_pg_cb cb, void *arg);
void ph_member_store_leave(struct ph_pg *pg, const char *node);
struct ph_pg_call *ph_member_store_claim(
	struct ph_pg *pg, const char *job, const char *node, uint64_t hold_ms, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_member_store_finish(struct ph_pg *pg, const char *job, const char *node, int64_t epoch,
	uint64_t next_ms, ph_pg_cb cb, void *arg);

#endif
