/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upstream accounts: the node's copy of the registry, the choice of one for a turn, and their health. The
 * database decides what an account is; this decides which one is taken. lease.h has the turns that run or
 * wait.
 */
#ifndef POSTHOUSE_ACCOUNT_H
#define POSTHOUSE_ACCOUNT_H

#include "posthouse/crypt.h"
#include "posthouse/lease.h"
#include "posthouse/pg.h"
#include "posthouse/url.h"
#include "posthouse/usage.h"

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

/*
 * After a block of cooling one turn of the whole cluster goes first, and the others follow once it was
 * answered: the first turn that wants the account asks the database whether it may be that one. The others
 * take other accounts, or wait in the queue, for 10 s from then at most, whatever becomes of it; without a
 * database nobody waits.
 */
enum ph_probe_state {
	PH_PROBE_NONE,
	PH_PROBE_DUE,       /* the block has ended; nobody asked yet */
	PH_PROBE_ASKED,     /* the database, whether a turn of ours may go */
	PH_PROBE_OURS,      /* it may */
	PH_PROBE_RUNS,      /* it does */
	PH_PROBE_ELSEWHERE, /* another node's goes */
};
struct ph_probe {
	enum ph_probe_state state;
	uint32_t before;   /* RUNS: turns that ran when it began, and still may */
	uint64_t until_ms; /* loop time at which nobody waits for it any more; 0 = not known yet */
	struct ph_pg_call *call;
};

/* What this node knows of an account's health: a copy of the database's row, ahead of it only by findings of
 * its own that are still being written. */
struct ph_account_health {
	enum ph_account_state
		state;          /* ACTIVE, COOLING, EXHAUSTED, REAUTH or DISABLED: the graver the higher */
	int64_t version;        /* of the row that this is a copy of; 0 = there is none */
	int strikes;            /* blocks in a row for which no time was given: each doubles the next */
	uint64_t until_ms;      /* loop time at which cooling or exhausted ends; else 0 */
	uint64_t blocked_ms;    /* loop time at which this node found or learned of the last change */
	unsigned faults;        /* answers of 5xx in a row, seen by this node */
	uint8_t used_percent;   /* of the fullest usage window; 0 = unknown */
	bool nearly_exhausted;  /* chosen last for new conversations */
	uint64_t used_until_ms; /* loop time at which that window ends; 0 = unknown */
	bool answered;          /* by the database while a reload ran, which may have read before that */
	struct ph_probe probe;  /* after a block of cooling */
	struct ph_health_report *report; /* the finding that is not written yet, or NULL */
	struct ph_usage_report *usage;   /* what is to be written of its usage, or NULL */
};

/* Owner: the registry and every turn that uses it, by reference count. A reload updates it in place. */
struct ph_account {
	int refs;
	struct ph_list node;
	int64_t id;
	char *name; /* for operators; never shown to clients */
	enum ph_account_kind kind;
	enum ph_account_state state; /* health.state, unless an operator said something else. COOLING and
					EXHAUSTED end by themselves, when their time has come */
	struct ph_url base;
	struct ph_str secret; /* bearer, in the clear; may be empty */
	struct ph_str
		upstream_id; /* kind codex: what goes with the bearer as chatgpt-account-id; may be empty */
	bool sealed_badly;   /* the secret could not be opened with this node's keys */
	int64_t secret_version;       /* of the stored secret; 0 = it has none */
	bool renewable;               /* a login with a refresh token */
	uint64_t issued_s, expires_s; /* of its access token, on the database's clock; 0 = unknown */
	uint64_t renew_ms;            /* loop time at which it is to be renewed; 0 = never */
	uint32_t max_streams;         /* 0 = no limit */
	uint32_t weight;
	int priority;             /* lower is preferred */
	uint8_t max_used_percent; /* of its fullest usage window; 0 = no bound */
	uint64_t turn;            /* round_robin: when its next one is due, in turns of the node */
	struct ph_str *models;    /* that it serves; none = all */
	size_t model_count;
	uint64_t *listed;            /* ph_hash64() of the models that it lists itself, sorted; owned */
	size_t listed_count;         /* 0 = it lists none, or was not asked yet */
	struct ph_str *headers;      /* extra request headers, name and value in turn */
	size_t header_count;         /* pairs */
	uint32_t running;            /* turns of this node */
	struct ph_lease lease;       /* slots for them, where there is a limit */
	bool seen;                   /* mark of a reload */
	uint64_t no_socket_until_ms; /* loop time; the gateway's: it answered as one without WebSocket */
	uint64_t no_chat_until_ms;   /* likewise: as one without chat completions */
	uint64_t unreached_ms; /* loop time; the gateway's: no connection came about then; 0 = it answered
				  since */
	struct ph_account_health health;
};

struct ph_account *ph_account_ref(struct ph_account *a);
struct ph_account *ph_account_unref(struct ph_account *a);               /* returns NULL; NULL is allowed */
bool ph_account_serves(const struct ph_account *a, struct ph_str model); /* as the operator named them */
/* Its own list: ids are hashes in any order, copied. */
void ph_account_list_models(struct ph_account *a, const uint64_t *ids, size_t count);
/* Whether it may have the model, as far as its own list can tell. */
bool ph_account_lists(const struct ph_account *a, struct ph_str model);
bool ph_account_usable(const struct ph_account *a);  /* active, with a secret that opens */
bool ph_account_blocked(const struct ph_account *a); /* cooling or exhausted: it returns by itself */

/* A row of load_accounts(), where there is no registry: a reference, never NULL. err: why its secret cannot
 * be opened; then sealed_badly is set. */
struct ph_account *ph_account_read(
	const struct ph_pg_result *rows, int row, const struct ph_master_keys *keys, struct ph_err *err);

struct ph_accounts;
/* node: its name, for the rows it writes; outlives the registry. */
struct ph_accounts *ph_accounts_new(
	struct ph_loop *loop, struct ph_pg *pg, const struct ph_master_keys *keys, const char *node);
struct ph_accounts *ph_accounts_free(struct ph_accounts *r); /* returns NULL; no callback afterwards */
/* As ph_auth_reload(). */
void ph_accounts_reload(struct ph_accounts *r, void (*done)(void *arg, int status), void *arg);
bool ph_accounts_loaded(const struct ph_accounts *r);
struct ph_list *ph_accounts_list(struct ph_accounts *r); /* of struct ph_account, node; all but those gone */
struct ph_account *ph_accounts_find(struct ph_accounts *r, int64_t id); /* borrowed, or NULL */

uint64_t ph_accounts_unix_s(const struct ph_accounts *r); /* the database's clock; 0 = not heard yet */

/* ---- renewing a login's tokens (login.h has what they are) ---- */
enum ph_claim {
	PH_CLAIM_GONE,    /* the account, or its secret */
	PH_CLAIM_CHANGED, /* the secret is a newer one: it was taken over */
	PH_CLAIM_HELD,    /* by another node */
	PH_CLAIM_RESTING, /* it failed, or is brand new */
	PH_CLAIM_OURS,
};
struct ph_claimed {
	enum ph_claim result;
	int64_t epoch;                   /* OURS */
	uint64_t wait_ms;                /* HELD, RESTING: ask again after that */
	struct ph_str sealed, token_url; /* OURS; as long as the answer; token_url may be empty */
};
/* The calls of one renewal, each answered once or abandoned. version: of the secret that is renewed. */
struct ph_renewing {
	int64_t account, version, epoch;
};
/* Asks for the claim; `a` takes a newer secret over. */
struct ph_pg_call *ph_account_claim(
	struct ph_accounts *r, const struct ph_renewing *n, ph_pg_cb cb, void *arg);
struct ph_claimed ph_account_claimed(
	struct ph_accounts *r, struct ph_account *a, const struct ph_pg_result *rows);
struct ph_pg_call *ph_account_renewed(struct ph_accounts *r, const struct ph_renewing *n,
	struct ph_str sealed, uint64_t rest_ms, ph_pg_cb cb, void *arg);
/* reason NULL: it may pass. */
struct ph_pg_call *ph_account_not_renewed(
	struct ph_accounts *r, const struct ph_renewing *n, const char *reason, ph_pg_cb cb, void *arg);
/* The login that was sealed with the account, opened: into plain, which is to be cleansed. And the way back.
 */
int ph_account_unseal(struct ph_accounts *r, const struct ph_account *a, struct ph_str sealed,
	struct ph_buf *plain, struct ph_err *err) PH_WARN_UNUSED;
int ph_account_seal(struct ph_accounts *r, const struct ph_account *a, struct ph_str plain,
	struct ph_buf *sealed) PH_WARN_UNUSED;

/* ---- the choice ---- */
#define PH_TRIED_MAX 8

struct ph_choice {
	const int64_t *allowed; /* account ids that the key may use */
	size_t allowed_count;   /* 0 = all */
	struct ph_str model;
	struct ph_str client; /* family of the client, as its `originator` says; may be empty */
	int64_t preferred;    /* account id that is taken if it can be; 0 = none */
	int64_t required;     /* the only one that will do; 0 = any */
	int kinds;            /* bit set of 1 << kind; 0 = all */
	bool fresh;           /* a new conversation: accounts near their limit are left to the old ones */
	bool queued;          /* it waits: nobody who came before it wants what is free */
	int64_t tried[PH_TRIED_MAX]; /* by this turn */
	size_t tried_count;
};

/* In the order of what they tell the client: of several reasons the last one counts. */
enum ph_choice_verdict {
	PH_CHOICE_NONE,      /* nothing usable serves this */
	PH_CHOICE_MODEL,     /* usable ones exist, none serves the model */
	PH_CHOICE_EXHAUSTED, /* all that could are exhausted until a time */
	PH_CHOICE_COOLING,   /* all that could are blocked until a time, at least one merely cooling */
	PH_CHOICE_TRIED,     /* all that could were tried */
	PH_CHOICE_AWAY,      /* some could, but the database, which grants their slots, is away */
	PH_CHOICE_BUSY,      /* some could, all at max_streams */
	PH_CHOSEN,
};

/* How one of several accounts that could serve a turn is taken; below. A setting of the cluster. */
enum ph_strategy {
	PH_LEAST_LOADED,
	PH_ROUND_ROBIN,
	PH_FILL_FIRST,
	PH_PRIORITY,
	PH_STRATEGY_NR
};
/* By name, as the setting says it. One that this program does not know leaves things as they are: false. */
bool ph_accounts_set_strategy(struct ph_accounts *r, struct ph_str name);

/* The outcome. account is borrowed, set with CHOSEN; the caller takes it with ph_account_take(), or waits for
 * it where that gives none. after_ms: with EXHAUSTED and COOLING the earliest end of a block. */
struct ph_chosen {
	struct ph_account *account;
	uint64_t after_ms;
};

/* Whether this account could serve it but for a slot. */
bool ph_choice_allows(const struct ph_choice *c, const struct ph_account *a);
/* No slot of it is free, and none can be had by asking; or another turn tries it first after a block. */
bool ph_account_full(const struct ph_account *a);
/* Its usage has passed its max_used_percent, and another account could take the turn. */
bool ph_account_spared(struct ph_accounts *r, const struct ph_choice *c, const struct ph_account *a);
/*
 * A preferred account is taken before all others, unless it rests or is spared. Of the others come first
 * those that do not rest; then those whose own list has the model; then those that are neither above their
 * max_used_percent (a new conversation never goes there) nor, for a new conversation, near the end of their
 * quota; then the lowest priority number; and of those that are still equal, by strategy:
 *
 *   least_loaded  lowest running turns of this node per weight; then a slot at hand, then most quota left
 *   round_robin   each in turn, and of weight 3 three times as often, whatever runs; what went to a preferred
 *                 account does not count
 *   fill_first    the oldest, until it has no slot, is blocked, or is passed over for one of the reasons
 * above priority      most quota left; neither load nor weight counts
 *
 * Ties go round.
 */
enum ph_choice_verdict ph_account_choose(
	struct ph_accounts *r, const struct ph_choice *c, struct ph_chosen *ret);

/* ---- health (design, section 7) ---- */

/*
 * What a node found out about an account. It holds on this node at once and is written as one compare-and-set
 * on the version that the node has seen; whoever loses reads again, and the longer block stays. While the
 * database is away it is kept, and written when it can be, if it still holds then.
 */
struct ph_account_finding {
	enum ph_account_state state; /* COOLING, EXHAUSTED, REAUTH or DISABLED */
	uint64_t until_s;            /* unix seconds, in upstream's words; 0 = it named none */
	uint64_t after_ms;           /* a span in upstream's words; until_s wins; 0 = it named none */
	uint64_t floor_ms;           /* where it named neither: this, doubled by each strike ... */
	uint64_t most_ms;            /* ... up to this */
	const char *reason;          /* the signal, one word, for operators */
	struct ph_str evidence;      /* what upstream said; cut to 512 bytes, secrets taken out */
	/* health.version when the attempt began; 0 = not said. A block that came since then is the same
	 * strike; a REAUTH or DISABLED is dropped, since it speaks of a secret that may have been replaced.
	 */
	int64_t version;
};
void ph_account_found(struct ph_accounts *r, struct ph_account *a, const struct ph_account_finding *f);
/* An answer of 5xx: neutral until the third in a row, which cools the account (30 s, doubling, at most 300
 * s). */
void ph_account_fault(
	struct ph_accounts *r, struct ph_account *a, const char *reason, struct ph_str evidence);
/* An answer that was none of these: ends the count of faults, the account's own rest and, once, the strikes.
 */
void ph_account_worked(struct ph_accounts *r, struct ph_account *a);

/* Something of an answer was shown, or it came whole: of an attempt that began with health.version `version`.
 * The turn that went first after a block has worked then. */
void ph_account_answered(struct ph_accounts *r, struct ph_account *a, int64_t version);

/* Written at most once in 5 s per account and node, at once where a window ends or a block could be lifted. A
 * window at 100 % exhausts the account until its reset; evidence newer than an `exhausted` lifts it. */
void ph_account_usage(struct ph_accounts *r, struct ph_account *a, const struct ph_usage *u);

/* A rest only demotes: who rests is chosen after everybody else, and is still tried. Known to this node
 * alone. */
enum ph_rest {
	PH_REST_ACCOUNT, /* failed in a way that is nobody's fault */
	PH_REST_MODEL,   /* this account, for one model: it does not have it */
	PH_REST_CLIENT,  /* this account, for one family of clients */
	PH_REST_BUSY,    /* this base URL, for one model: overloaded */
	PH_REST_PLACE,   /* this base URL: it refuses this node's address */
};
/* word: the model or the client's family, empty for the others. */
void ph_account_rest(struct ph_accounts *r, const struct ph_account *a, enum ph_rest rest, struct ph_str word,
	uint64_t ms);

#endif
