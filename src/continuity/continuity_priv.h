/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_CONTINUITY_PRIV_H
#define POSTHOUSE_CONTINUITY_PRIV_H

#include "posthouse/continuity.h"

#define PH_ITEM_ID_MAX 512 /* longer ids are neither indexed nor looked for */

/* Owner: the node. */
struct ph_continuity {
	struct ph_loop *loop;
	struct ph_pg *pg;
	uint64_t max_bytes;
	double retention_days[2]; /* by class */
};

/* Consecutive items of one origin. */
struct ph_chain_run {
	struct ph_str items; /* comma-joined */
	int64_t account;     /* whose turn they came with; 0: the request's own */
	bool minted;         /* made by that account, not by the client */
	bool stored;         /* and kept there */
	bool outputs;        /* client's items that look like output: the history may have been sent along */
};

/* ---- items.c: what is read of one item, without understanding it ---- */
enum {
	PH_ITEM_TYPE,
	PH_ITEM_ID,
	PH_ITEM_ROLE,
	PH_ITEM_STATUS,
	PH_ITEM_CONTENT,
	PH_ITEM_CALL_ID,
	PH_ITEM_NAME,
	PH_ITEM_ARGUMENTS,
	PH_ITEM_INPUT,
	PH_ITEM_OUTPUT,
	PH_ITEM_ENCRYPTED,
	PH_ITEM_APPROVAL, /* approval_request_id */
	PH_ITEM_NR
};
struct ph_item {
	struct ph_str bytes;
	struct ph_str m[PH_ITEM_NR]; /* values with their quotes; the last one where a member comes twice */
	bool reference;              /* it may be read as an item_reference */
	bool twice;                  /* its type or its id comes twice: readers disagree on which counts */
};
bool ph_item_look(struct ph_str bytes, struct ph_item *ret); /* false if it is no object */
enum ph_json_kind ph_item_kind(const struct ph_item *it, int member);
bool ph_item_is(const struct ph_item *it, struct ph_str type);
bool ph_item_is_call(const struct ph_item *it);
bool ph_item_is_output(const struct ph_item *it);
bool ph_item_is_compaction(const struct ph_item *it);
bool ph_item_has_ciphertext(const struct ph_item *it); /* its own, not deeper */
bool ph_item_output_like(const struct ph_item *it);
bool ph_items_next(struct ph_str items, size_t *at, struct ph_str *ret); /* of a comma-joined list */
/* The next one that is an object, and what ph_item_look() says of it, in one pass. */
bool ph_items_look_next(struct ph_str items, size_t *at, struct ph_item *ret);
struct ph_str ph_items_first(struct ph_str items, int64_t count); /* or all, if there are fewer */
int ph_items_append(struct ph_buf *out, struct ph_str items);     /* with a comma where one is due */
/* The object without the members of these names, wherever they stand; all other bytes as they are. */
void ph_item_without(struct ph_buf *out, struct ph_str object, const struct ph_str *names, size_t count);

/* ---- bound.c: what an item names that only one account can read, at any depth ---- */
enum {
	PH_NAMES_FILE = 1, /* or a container, a vector store, a skill */
	PH_NAMES_CIPHERTEXT = 2,
};
int ph_item_names(struct ph_str json);
/* Behind the string whose opening quote stands at `at`. */
size_t ph_string_end(struct ph_str json, size_t at);

/* ---- fingerprint.c ---- */
/* Of a JSON string's text, however it is escaped. */
uint64_t ph_text_hash(struct ph_str value, uint64_t seed);
/* Of what makes two items the same: type, call_id, name, arguments, input, output, role, content text. */
uint64_t ph_item_substance(const struct ph_item *it);

/* ---- map.c: 64-bit hashes to numbers ---- */
struct ph_map {
	struct ph_map_slot *v;
	size_t n, cap; /* cap is a power of two */
};
void ph_map_deinit(struct ph_map *m);
/* The value's place, valid until the next call; a new key's value is 0. */
uint64_t *ph_map_at(struct ph_map *m, uint64_t key);
uint64_t ph_map_get(const struct ph_map *m, uint64_t key); /* 0 if the key is not there */

/* ---- clean.c: what is taken out of the inside of an item ---- */
enum {
	PH_CLEAN_GIVEN =
		1, /* what upstreams and SDKs add to an item and no upstream takes back (protocol, 7.1) */
	PH_CLEAN_FILES = 2, /* annotations that name files of an account; the text stays */
};
/* Writes the item without it; false, and nothing is written, where the item has no place for such a thing. */
bool ph_item_clean(struct ph_buf *out, const struct ph_item *it, int what);
/* An item that may not be sent back at all (7.1). */
bool ph_item_omitted(const struct ph_item *it);
/* Whether 7.1 may concern any of these items, by their bytes. */
bool ph_items_suspect(struct ph_str items);
bool ph_items_suspect_omitted(struct ph_str items); /* an output among them may be omitted */

/* ---- pairs.c: calls and their answers. Looks only once it is asked. Owner: one replay. ---- */
struct ph_pairs {
	const struct ph_chain *chain; /* or NULL */
	struct ph_str new_items;
	struct ph_map answers; /* call_id or approval -> how it was answered */
	struct ph_map makers;  /* call_id or approval -> the account that made it, in the chain */
	bool looked;
};
void ph_pairs_init(struct ph_pairs *p, const struct ph_chain *chain, struct ph_str new_items);
void ph_pairs_deinit(struct ph_pairs *p);
bool ph_pairs_answered(struct ph_pairs *p, const struct ph_item *call); /* by an output that is sent */
bool ph_pairs_omitted(struct ph_pairs *p, const struct ph_item *call);  /* only by outputs that are not */
bool ph_pairs_settled(struct ph_pairs *p, const struct ph_item *approval_request);
/* The account that made the call or request which the item answers, 0: none of the chain. */
int64_t ph_pairs_maker(struct ph_pairs *p, const struct ph_item *answer);
uint64_t ph_call_hash(const struct ph_item *it); /* of the call that it is, or answers; approvals too */

/* ---- known.c: what a list's ids stand for ---- */
struct ph_known {
	const struct ph_found *found; /* may be NULL */
	struct ph_map places;         /* hash of an id -> place in found + 1 */
};
void ph_known_init(struct ph_known *k, const struct ph_found *found);
void ph_known_deinit(struct ph_known *k);
const struct ph_found_item *ph_known_item(const struct ph_known *k, const struct ph_item *it);

/* ---- neutralise.c ---- */

/* Whether another account gets anything of it, or it only says how its account came by the rest. */
bool ph_item_stays(const struct ph_item *it);

#define PH_EXPANSIONS_MAX 16 /* compaction items that are replaced in one body */

/* Items on their way to an account. */
struct ph_transfer {
	const struct ph_target *target; /* NULL: for no account, only references are replaced */
	struct ph_buf *out;
	struct ph_bound *bound;
	struct ph_pairs *pairs;       /* of the list that is being written */
	const struct ph_known *known; /* what its ids stand for */
	struct ph_map dropped;        /* calls that were left out: their answers go as well */
	int expansions;
	bool whole;    /* the list is a chain: it holds all that its accounts' compaction items replaced */
	bool omits;    /* some output in it is omitted (7.1) */
	bool resolve;  /* no reference stays that can be replaced */
	bool orphaned; /* reasoning was left out: the id of the item behind it goes too */
};
/* Of another account: made neutral. 0, -PH_E_ACCOUNT_BOUND, -PH_E_CHAIN_TOO_LARGE. */
int ph_transfer_neutral(struct ph_transfer *t, const struct ph_chain_run *run) PH_WARN_UNUSED;
/* Minted by the target, or sent to it before: as they are, but for what it gives and does not take back. */
int ph_transfer_own(struct ph_transfer *t, const struct ph_chain_run *run) PH_WARN_UNUSED;
bool ph_transfer_call_dropped(const struct ph_transfer *t, const struct ph_item *answer);
void ph_transfer_call_kept(struct ph_transfer *t, const struct ph_item *call);

/* ---- retained.c: what stands in front of a compaction item, and in what replaces it ---- */
struct ph_retained {
	struct ph_map there; /* substance of what replaces the list's compaction items */
	size_t upto;         /* where the last of them stands; 0: none is replaced */
};
void ph_retained_init(struct ph_retained *r, const struct ph_transfer *t, struct ph_str items);
void ph_retained_deinit(struct ph_retained *r);
/* Whether that item of the list is left out. */
bool ph_retained_has(const struct ph_retained *r, struct ph_str items, struct ph_str bytes);

/* ---- compacted.c ---- */
/* True: the target has made an item of all that stands before this place of the chain. */
bool ph_chain_compacted(const struct ph_chain *chain, struct ph_str new_items, const struct ph_target *target,
	size_t *ret_run, size_t *ret_at);

/* ---- prepare.c ---- */
/* A request's own items: those that nobody here made go out as they came. Also -PH_E_ITEM_UNKNOWN. */
int ph_transfer_request(struct ph_transfer *t, struct ph_str items) PH_WARN_UNUSED;

/* ---- held.c ---- */
#define PH_DAY_UNKNOWN INT32_MIN /* of a tip: commit_turn() looks for the row */

/* ---- replay.c ---- */
/* In place of a compaction item. */
int ph_transfer_expand(struct ph_transfer *t, const struct ph_chain *before) PH_WARN_UNUSED;

/* ---- overlap.c: the items so far, to compare what a client sends with. Owner: one replay. ---- */
struct ph_context;
struct ph_context *ph_context_new(void);
struct ph_context *ph_context_free(struct ph_context *c); /* returns NULL */
/*
 * Appends the run, less what the context holds already. *ret: what is left of it, in pieces of one origin
 * each (a client may send items that an account of this chain made); valid until the next call.
 * -PH_E_CHAIN_TOO_LARGE above PH_ITEMS_MAX items.
 */
int ph_context_add(struct ph_context *c, const struct ph_chain_run *run, const struct ph_chain_run **ret,
	size_t *ret_n) PH_WARN_UNUSED;

/* ---- provenance.c: the context of a self-contained row, and where its items came from ---- */
int ph_runs_write(const struct ph_chain *chain, struct ph_buf *out) PH_WARN_UNUSED;
/* The items stay in the context's bytes. -PH_E_INTERNAL if it is no such context, -PH_E_CHAIN_TOO_LARGE. */
int ph_runs_read(
	struct ph_str context, struct ph_arena *a, struct ph_chain_run **ret, size_t *ret_n) PH_WARN_UNUSED;

/* ---- chain.c and found.c: what compaction items stand for, and what those in it stand for ---- */
#define PH_EXPANSION_DEPTH 8

/* What may still be read: one for all that a call reads. */
struct ph_allowance {
	uint64_t bytes;
	int expansions;
};
/* Where in it a read stands. */
struct ph_inside {
	int depth; /* compaction items that it is inside of */
	struct ph_allowance *left;
};
/* The items before place `position` of that response's output, as a chain. */
struct ph_chain_read *ph_chain_read_before(struct ph_continuity *c, int64_t scope, struct ph_str id,
	int64_t position, struct ph_inside inside, ph_chain_cb cb, void *arg);
struct ph_items_read *ph_items_read_inside(struct ph_continuity *c, int64_t scope,
	const struct ph_item_id *ids, size_t n, struct ph_inside inside, ph_items_cb cb, void *arg);

/* ---- snapshot_store.c: the SQL ---- */
struct ph_pg_call *ph_snapshot_store_resolve(struct ph_continuity *c, int64_t scope, struct ph_str id,
	const int64_t *forward, size_t forward_count, uint64_t max_bytes, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_snapshot_store_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_snapshot_store_hide(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_snapshot_store_items(struct ph_continuity *c, int64_t scope, const struct ph_str *ids,
	size_t n, const struct ph_str *bodies, size_t bodies_n, ph_pg_cb cb, void *arg);
enum {
	PH_COMMIT_PARAMS = 46,
	PH_LOG_PARAMS = 30,
};
void ph_snapshot_store_commit(
	struct ph_continuity *c, const struct ph_pg_param p[PH_COMMIT_PARAMS], ph_pg_cb cb, void *arg);
/* Only the row in the request log, for which nobody waits. p: the first of commit's. */
void ph_snapshot_store_log(
	struct ph_continuity *c, const struct ph_pg_param p[PH_LOG_PARAMS], ph_pg_cb cb, void *arg);

struct ph_pg_call *ph_snapshot_store_background(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg);
enum {
	PH_BEGIN_PARAMS = 18,
};
void ph_snapshot_store_begin(
	struct ph_continuity *c, const struct ph_pg_param p[PH_BEGIN_PARAMS], ph_pg_cb cb, void *arg);
void ph_snapshot_store_end(struct ph_continuity *c, int64_t scope, struct ph_str id);

/* ---- snapshot.c ---- */
/* Of a turn that is kept. */
int ph_turn_flags(const struct ph_turn_record *t);
/* A stored body, unpacked where it is packed. -PH_E_INTERNAL if it cannot be read, -PH_E_CHAIN_TOO_LARGE. */
int ph_body_decode(
	struct ph_arena *a, int64_t codec, struct ph_str stored, struct ph_str *ret) PH_WARN_UNUSED;

#endif
