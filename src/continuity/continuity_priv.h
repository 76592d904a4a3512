/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_CONTINUITY_PRIV_H
#define POSTHOUSE_CONTINUITY_PRIV_H

#include "posthouse/continuity.h"
#include "posthouse/json.h"

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
	int64_t account;     /* whose turn they came with */
	bool minted;         /* made by that account, not by the client */
	bool stored;         /* and kept there */
	bool outputs;        /* client's items that look like output: the history may have been sent along */
};

/* items.c: what is read of one item, without understanding it. */
enum { PH_ITEM_TYPE, PH_ITEM_ID, PH_ITEM_ROLE, PH_ITEM_STATUS, PH_ITEM_ENCRYPTED, PH_ITEM_CONTENT, PH_ITEM_NR };
struct ph_item {
	struct ph_str bytes;
	struct ph_json_member m[PH_ITEM_NR];
};
bool ph_item_look(struct ph_str bytes, struct ph_item *ret);
bool ph_item_is(const struct ph_item *it, struct ph_str type);
bool ph_item_is_reference(const struct ph_item *it);
bool ph_item_output_like(const struct ph_item *it);
/* The next item of a comma-joined list. */
bool ph_items_next(struct ph_str items, size_t *at, struct ph_str *ret);
int ph_items_append(struct ph_buf *out, struct ph_str items); /* with a comma where one is due */

/* neutralise.c: one item for an account that did not make it. 1 = written, 0 = dropped, or -PH_E_ACCOUNT_BOUND. */
int ph_item_neutralise(struct ph_str item, const struct ph_chain_run *run, const struct ph_target *target,
	struct ph_buf *out, struct ph_bound *bound);
/* The same for a list. */
int ph_items_neutralise(const struct ph_chain_run *run, const struct ph_target *target, struct ph_buf *out,
	struct ph_bound *bound);
/* The owner's own items: as they are, but for reasoning that nobody kept. */
int ph_items_own(const struct ph_chain_run *run, struct ph_buf *out);

/* overlap.c: cuts from the front of `items` what the context's end holds already. */
struct ph_context;
struct ph_context *ph_context_new(void);
struct ph_context *ph_context_free(struct ph_context *c);
/* Appends the run to the context, less the overlap. *ret: what is left of it, in the context's memory. */
int ph_context_add(struct ph_context *c, const struct ph_chain_run *run, struct ph_chain_run *ret);
bool ph_context_has_outputs(const struct ph_context *c);

/* replay.c: provenance of a self-contained row, "[[account,count,minted,stored],...]", and back. */
int ph_runs_write(const struct ph_chain *chain, struct ph_buf *out) PH_WARN_UNUSED;
int ph_runs_read(struct ph_str text, struct ph_str items, struct ph_arena *a, struct ph_chain_run **ret, size_t *ret_n)
	PH_WARN_UNUSED;

/* snapshot_store.c: the SQL. */
struct ph_pg_call *ph_snapshot_store_resolve(struct ph_continuity *c, int64_t scope, struct ph_str id,
	const int64_t *forward, size_t forward_count, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_snapshot_store_read(struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_snapshot_store_hide(struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_snapshot_store_items(struct ph_continuity *c, int64_t scope, const struct ph_str *ids, size_t n,
	ph_pg_cb cb, void *arg);
enum { PH_COMMIT_PARAMS = 39 };
void ph_snapshot_store_commit(struct ph_continuity *c, const struct ph_pg_param p[PH_COMMIT_PARAMS], ph_pg_cb cb, void *arg);

/* snapshot.c: a stored body, decoded where it is packed. -PH_E_INTERNAL if it cannot be read. */
int ph_body_decode(struct ph_arena *a, int64_t codec, struct ph_str stored, struct ph_str *ret) PH_WARN_UNUSED;

#endif
