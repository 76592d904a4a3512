/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations: reading a chain, putting it together for an account, and writing what a turn added. Knows
 * nothing of accounts but their ids, and nothing of HTTP.
 */
#ifndef POSTHOUSE_CONTINUITY_H
#define POSTHOUSE_CONTINUITY_H

#include "posthouse/arena.h"
#include "posthouse/json.h"
#include "posthouse/pg.h"

/* Flags of a stored turn: sql/README.md. */
enum {
	PH_TURN_STORED = 1,  /* upstream keeps it as well */
	PH_TURN_PARTIAL = 2, /* something before it is known upstream only */
	PH_TURN_SELF = 4,    /* holds the whole context: has no parent to read */
	PH_TURN_HIDDEN = 8,
	PH_TURN_AMBIGUOUS = 16,
	PH_TURN_INPUT_OUTPUTS =
		32, /* its input holds output-like items: the client may have sent history along */
	PH_TURN_NO_OUTPUT = 64,
	PH_TURN_COMPACTION = 128, /* no response: what the compaction item in its output replaced */
};

#define PH_ITEMS_MAX       100000 /* of a conversation that has to be compared item by item */
#define PH_HOPS_MAX        4096
#define PH_RESPONSE_ID_MAX 256

struct ph_continuity;

struct ph_continuity_options {
	uint64_t max_bytes; /* of a chain's items: POSTHOUSE_MAX_BODY */
	double retention_days, retention_unstored_days;
};
struct ph_continuity *ph_continuity_new(
	struct ph_loop *loop, struct ph_pg *pg, const struct ph_continuity_options *o);
struct ph_continuity *ph_continuity_free(struct ph_continuity *c); /* returns NULL; every call must be over */
void ph_continuity_set_retention(struct ph_continuity *c, double days, double unstored_days);

/* ---- reading a chain ---- */
enum ph_chain_status {
	PH_CHAIN_OK,      /* complete and here */
	PH_CHAIN_TIP,     /* the newest turn only: its account can go on by itself */
	PH_CHAIN_PARTIAL, /* cannot be replayed; only its account could go on */
	PH_CHAIN_BROKEN,  /* a link is missing: never replayed from the middle */
	PH_CHAIN_TOO_LARGE,
	PH_CHAIN_HIDDEN,  /* deleted, or the id stands for two turns */
	PH_CHAIN_OWNED,   /* no snapshot, but this scope owns the id at `account` */
	PH_CHAIN_FOREIGN, /* another scope owns it */
	PH_CHAIN_NONE,    /* nobody knows it */
};

struct ph_chain_run; /* consecutive items of one origin */
struct ph_found;

/* Owner: the turn that asked; freed with ph_chain_free(). */
struct ph_chain {
	enum ph_chain_status status;
	struct ph_pg_result *rows; /* keeps the bytes */
	struct ph_arena arena;     /* decompressed bodies, runs */
	struct ph_chain_run *runs; /* oldest first; OK only */
	size_t run_count;
	struct ph_found *found; /* what compaction items stand for that clients brought; OK only, else NULL */
	/* of the newest turn */
	struct ph_str id;
	struct ph_str root; /* of the oldest row that was read; OK only, empty where it is held */
	int64_t account;
	int32_t day, class; /* days since 2000-01-01 */
	int flags;
	int depth;     /* turns that a replay reads */
	int32_t until; /* last day on which the whole chain is certainly there */
	bool held;     /* in memory alone: no row stands for it that a turn could link to */
	int32_t today; /* of the database */
	size_t bytes;  /* of items */
};

/*
 * forward: accounts that could go on with an id of theirs by themselves; a tip stored at one of them is not
 * read further. cb fires once, later; chain is the callee's to free; NULL with err: -PH_E_DATABASE_AWAY or
 * _ERROR (never taken for "not found"). Several may run at a time.
 */
struct ph_chain_read;
typedef void (*ph_chain_cb)(void *arg, struct ph_chain *chain, const struct ph_err *err);
struct ph_chain_read *ph_chain_read(struct ph_continuity *c, int64_t scope, struct ph_str id,
	const int64_t *forward, size_t forward_count, ph_chain_cb cb, void *arg);
void ph_chain_cancel(struct ph_chain_read *r);
struct ph_chain *ph_chain_free(struct ph_chain *chain); /* returns NULL; NULL is allowed */

/* Whether a turn of this class that continues the chain must hold the whole context itself: an ancestor's
 * partition may go before the turn's own guaranteed end, or the chain would become too deep. */
bool ph_chain_must_fold(const struct ph_continuity *c, const struct ph_chain *chain, int class);

/* ---- items ---- */

/* What an account can be told. */
struct ph_target {
	int64_t account;
	bool client_ids; /* keeps ids that the client made (kind codex) */
	/* It refused ciphertext or an item: no reasoning, no reference, not of its own either, and what
	 * compaction items replaced in their place, where that is known. */
	bool plain;
};

/* Why a replay is impossible: the type of the item that belongs to another account. */
struct ph_bound {
	char type[64];
	int64_t account; /* the one that could take it */
};

/*
 * Writes the chain's items, oldest first, then those of the new input that the chain does not hold already,
 * separated by commas, without brackets. Items that `target` minted go out byte for byte; others are made
 * neutral. new_items: the inside of the request's input array, as the client sent it (what it repeats is
 * found by the client's own words and ids); what is left of it goes out as ph_items_prepare() would write it,
 * with found. 0, -PH_E_CHAIN_TOO_LARGE (out is full, or there are more than PH_ITEMS_MAX items to compare),
 * -PH_E_ACCOUNT_BOUND (bound is set), -PH_E_ITEM_UNKNOWN.
 */
int ph_chain_replay(const struct ph_chain *chain, const struct ph_target *target, struct ph_str new_items,
	const struct ph_found *found, struct ph_buf *out, struct ph_bound *bound) PH_WARN_UNUSED;

/* One pass over a list of items (the inside of an array that was validated). */
struct ph_items_facts {
	bool output_like; /* an assistant message, a call, reasoning: things that upstream makes */
	bool references;  /* item_reference */
	bool carried;     /* output-like items with an id, or ciphertext: whoever made them matters */
	bool named;       /* of ph_items_scan() only: a member was asked for by its name */
};
void ph_items_look(struct ph_str items, struct ph_items_facts *ret);
bool ph_items_compacted(struct ph_str items); /* a compaction item is among them */
/*
 * ph_json_scan() of a request's body that takes the facts of the items in names[list] while it passes them.
 * asked, or NULL: is told the name of each member of the body, at whatever depth, with its quotes, until it
 * says yes.
 */
int ph_items_scan(struct ph_str body, const struct ph_str *names, size_t count, size_t list,
	bool (*asked)(struct ph_str name, bool escaped), struct ph_json_member *ret,
	struct ph_items_facts *facts, struct ph_err *err) PH_WARN_UNUSED;

/*
 * Ids whose makers matter, decoded into the arena: of item_references, and of the items that the client
 * carries along and an account may have made. Returns how many there are, or -PH_E_PARAM_BAD: a reference
 * whose id is no string or comes twice in its item, or more than max references. Of carried items the last
 * max are taken: what is not looked up is treated as the client's own.
 */
struct ph_item_id {
	struct ph_str id;
	bool reference;
	bool compaction;
};
int ph_items_ids(struct ph_str items, struct ph_arena *a, struct ph_item_id *ret, size_t max) PH_WARN_UNUSED;

struct ph_found_item {
	struct ph_str id;
	struct ph_str item; /* its bytes; empty of carried items, and where only its account has them */
	int64_t account;    /* who made it */
	bool stored;        /* that account keeps it */
	const struct ph_chain *before; /* of a compaction item: the items that it replaced; NULL: not read */
};

/* What a scope knows of the ids that a request names. Owner: the turn; freed with ph_found_free(). */
struct ph_found {
	struct ph_found_item *items; /* only what is known */
	size_t n;
	struct ph_arena arena;
};
struct ph_found *ph_found_free(struct ph_found *f); /* returns NULL; NULL is allowed */

/* ids: as ph_items_ids() gave them, in the order of the conversation. able: accounts that can read ciphertext
 * of theirs by themselves, and may get this turn; compaction items of all others come with what they
 * replaced, where that is here (at most 16 in all, 8 within one another). An account that failed is no longer
 * able: read again. cb fires once, later; found is the callee's to free; NULL with err: -PH_E_DATABASE_AWAY
 * or _ERROR. */
struct ph_items_read;
typedef void (*ph_items_cb)(void *arg, struct ph_found *found, const struct ph_err *err);
struct ph_items_read *ph_items_read(struct ph_continuity *c, int64_t scope, const struct ph_item_id *ids,
	size_t n, const int64_t *able, size_t able_count, ph_items_cb cb, void *arg);
void ph_items_cancel(struct ph_items_read *r);

/*
 * A request's own items for an account: references are replaced by what they name, or stay where the target
 * can resolve them itself; carried items that another account made are made neutral; compaction items that
 * the target did not make are replaced by the items before them. found may be NULL. target NULL: references
 * as they were made, all else as it is, which is fit for no account but their own. -PH_E_ITEM_UNKNOWN (a
 * reference that found does not hold), -PH_E_ACCOUNT_BOUND, -PH_E_CHAIN_TOO_LARGE.
 */
int ph_items_prepare(struct ph_str items, const struct ph_found *found, const struct ph_target *target,
	struct ph_buf *out, struct ph_bound *bound) PH_WARN_UNUSED;
/* The same for what is stored of a turn: no reference stays that can be replaced. served: the account that
 * the turn is booked to, which will be sent these items again as they are. */
int ph_items_resolve(struct ph_str items, const struct ph_found *found, const struct ph_target *served,
	struct ph_buf *out, struct ph_bound *bound) PH_WARN_UNUSED;

/* ---- writing a turn ---- */
struct ph_turn_record {
	/* who, where, how: the request log */
	uint8_t turn[16];
	const char *node;
	int64_t scope;
	const char *request_id;
	const char *route;
	struct ph_str model;
	int64_t account; /* 0 = none */
	const char *continuity;
	const char *outcome;
	int status;
	const char *error; /* metric name or NULL */
	int attempts;
	int hops;
	uint64_t chain_bytes;
	bool stream;
	uint64_t duration_us, first_event_us;
	uint64_t bytes_in, bytes_out;
	uint64_t input_tokens, cached_tokens, output_tokens, reasoning_tokens;
	int64_t cost_nanos; /* billionths of a dollar; negative = unknown */
	uint64_t queued_us;
	const char *transport, *chosen; /* chosen may be NULL */
	struct ph_str anchor;           /* the previous_response_id that it named; empty = none */
	const uint8_t *limited; /* id of the node that reserved for it; NULL = its key has no limits */
	/* what it added; response_id empty = only the log */
	struct ph_str response_id;
	bool keep;                     /* a snapshot */
	bool stored_upstream;          /* owner rows */
	int class;                     /* 0 stored, 1 store:false */
	const struct ph_chain *parent; /* NULL = first turn, or one whose parent has no row here */
	bool fold;                     /* write the whole context */
	bool partial;
	bool compaction;           /* the answer of a compact call: its id is no response's */
	struct ph_str turn_status; /* completed, incomplete */
	struct ph_str input;       /* this turn's items, comma-joined */
	struct ph_str output;
	struct ph_str envelope; /* the response object; its output empty */
};

/* Written by the batching writer; everything is copied. cb fires once: 0 (written, or was before), or a
 * negative code (given up). *ret_bytes (may be NULL): bytes of items handed to the database. */
void ph_continuity_commit(struct ph_continuity *c, const struct ph_turn_record *t,
	void (*cb)(void *arg, int status), void *arg, size_t *ret_bytes);

/*
 * What the next turn on the same client's connection continues from, without asking the database. Both copy.
 * A tip: the turn as its row will be, days by this node's clock; good for linking and for going on upstream,
 * not for a replay. A held chain: the whole context in memory, of a turn that is not kept (or whose chain is
 * held itself); NULL where it is unknown, or above max bytes.
 */
struct ph_chain *ph_chain_tip(const struct ph_continuity *c, const struct ph_turn_record *t);
struct ph_chain *ph_chain_hold(const struct ph_turn_record *t, const struct ph_chain *before, size_t max);

/* ---- turns in the background ---- */

/*
 * An account runs such a turn by itself, and what it added is known only once it has finished, perhaps to
 * another node. Until then a row says whose it is, and holds all of the turn but its output. cb as for
 * ph_continuity_commit(); the record's output, envelope and figures are not looked at.
 */
void ph_background_begin(struct ph_continuity *c, const struct ph_turn_record *t,
	void (*cb)(void *arg, int status), void *arg);

/* Owner: whoever asked; freed with ph_background_free(). */
struct ph_background {
	struct ph_turn_record turn; /* as it began: of its figures nothing is filled */
	bool ended; /* a snapshot stands for it now; of the turn little more than account and id is left */
	struct ph_pg_result *rows; /* keeps the bytes */
	struct ph_arena arena;
	struct ph_chain parent; /* what turn.parent points to, where it has one */
};
struct ph_background *ph_background_free(struct ph_background *b); /* returns NULL; NULL is allowed */

/* cb fires once, later; b is the callee's to free. b NULL and err NULL: this scope has no such turn. */
struct ph_background_read;
typedef void (*ph_background_cb)(void *arg, struct ph_background *b, const struct ph_err *err);
struct ph_background_read *ph_background_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_background_cb cb, void *arg);
void ph_background_cancel(struct ph_background_read *r);

/* It has finished: b->turn with its output, envelope, status and figures filled becomes a snapshot, and its
 * row says so. Several nodes may find that out at a time. cb as for ph_continuity_commit(). */
void ph_background_end(
	struct ph_continuity *c, const struct ph_background *b, void (*cb)(void *arg, int status), void *arg);

/* Behind the commit of a turn that was heard to its end by the node that began it. Nobody waits for it. */
void ph_background_over(struct ph_continuity *c, int64_t scope, struct ph_str id);

/* ---- reading one response ---- */
struct ph_response {
	struct ph_str id;
	int64_t account;
	int flags;
	int32_t day, class;                    /* class 1: the turn asked for store:false */
	struct ph_str input, output, envelope; /* decoded */
};
struct ph_response_read;
/* response NULL and err NULL: unknown, foreign, hidden or ambiguous. Valid during the call. */
typedef void (*ph_response_cb)(void *arg, const struct ph_response *response, const struct ph_err *err);
struct ph_response_read *ph_response_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_response_cb cb, void *arg);
/* Hides it; response then has account and flags only. */
struct ph_response_read *ph_response_hide(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_response_cb cb, void *arg);
void ph_response_cancel(struct ph_response_read *r);

/* The list of items as GET .../input_items shows it: every item with an id; those that came without one get a
 * stable one. Page: after = an item's id, or empty. */
struct ph_page {
	struct ph_str after;
	size_t limit;
	bool ascending;
};
/* Writes the JSON of the list object. -PH_E_ITEM_UNKNOWN if `after` names none of them. */
int ph_items_page(struct ph_str items, struct ph_str response_id, const struct ph_page *page,
	struct ph_buf *out) PH_WARN_UNUSED;

#endif
