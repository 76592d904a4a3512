/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns in the background, between their beginning, which snapshot.c writes, and their end: what is read back
 * of one is a record that lacks nothing but what the account made of it.
 */
#include <stdlib.h>

#include "continuity_priv.h"

#define DECODED_MAX (256 * 1024 * 1024)

enum {
	ACCOUNT,
	TURN,
	KEEP,
	CLASS,
	MODEL,
	PARENT_ID,
	PARENT_DAY,
	PARENT_CLASS,
	PARENT_UNTIL,
	PARENT_FLAGS,
	PARENT_DEPTH,
	FOLD,
	PARTIAL,
	CODEC,
	INPUT,
	RUNS,
	ENDED,
};

struct ph_background_read {
	struct ph_pg_call *call;
	int64_t scope;
	struct ph_str id;
	ph_background_cb cb;
	void *arg;
};

struct ph_background *ph_background_free(struct ph_background *b)
{
	if (!b)
		return NULL;
	ph_pg_result_free(b->rows);
	ph_arena_deinit(&b->arena);
	free(b);
	return NULL;
}

/* ---- reading ---- */

static int fill_parent(struct ph_background *b, const struct ph_pg_result *r, int64_t codec)
{
	struct ph_chain *parent = &b->parent;
	struct ph_str context;
	int rc;

	b->turn.fold = ph_pg_int(r, 0, FOLD) != 0;
	if (ph_pg_is_null(r, 0, PARENT_ID) && !b->turn.fold)
		return 0;
	b->turn.parent = parent;
	parent->status = PH_CHAIN_OK;
	parent->id = ph_pg_str(r, 0, PARENT_ID);
	parent->day = ph_pg_is_null(r, 0, PARENT_DAY) ? PH_DAY_UNKNOWN : (int32_t)ph_pg_int(r, 0, PARENT_DAY);
	parent->class = (int32_t)ph_pg_int(r, 0, PARENT_CLASS);
	parent->until = (int32_t)ph_pg_int(r, 0, PARENT_UNTIL);
	parent->flags = (int)ph_pg_int(r, 0, PARENT_FLAGS);
	parent->depth = (int)ph_pg_int(r, 0, PARENT_DEPTH);
	if (!b->turn.fold)
		return 0;
	rc = ph_body_decode(&b->arena, codec, ph_pg_str(r, 0, RUNS), &context);
	return rc ? rc : ph_runs_read(context, &b->arena, &parent->runs, &parent->run_count);
}

static int fill(struct ph_background *b, const struct ph_pg_result *r)
{
	struct ph_turn_record *t = &b->turn;
	struct ph_str turn = ph_pg_str(r, 0, TURN);
	int64_t codec = ph_pg_int(r, 0, CODEC);

	if (turn.n == sizeof t->turn)
		memcpy(t->turn, turn.p, sizeof t->turn);
	t->account = ph_pg_int(r, 0, ACCOUNT);
	t->keep = ph_pg_int(r, 0, KEEP) != 0;
	t->class = (int)ph_pg_int(r, 0, CLASS);
	t->model = ph_pg_str(r, 0, MODEL);
	t->partial = ph_pg_int(r, 0, PARTIAL) != 0;
	t->stored_upstream = true;
	b->ended = ph_pg_int(r, 0, ENDED) != 0;
	if (b->ended)
		return 0;
	if (ph_body_decode(&b->arena, codec, ph_pg_str(r, 0, INPUT), &t->input))
		return -PH_E_INTERNAL;
	return fill_parent(b, r, codec);
}

static void on_row(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_background_read *read = arg;
	struct ph_err unreadable = {
		.code = PH_E_DATABASE_ERROR, .detail = "a background turn cannot be read"};
	struct ph_background *b = NULL;

	if (!err && ph_pg_rows(r)) {
		b = ph_alloc(sizeof *b);
		ph_arena_init(&b->arena, DECODED_MAX);
		b->rows = ph_pg_keep(r);
		b->turn.scope = read->scope;
		b->turn.response_id = ph_arena_dup(&b->arena, read->id);
		if (fill(b, r)) {
			b = ph_background_free(b);
			err = &unreadable;
		}
	}
	read->cb(read->arg, b, err);
	free((void *)(uintptr_t)read->id.p);
	free(read);
}

struct ph_background_read *ph_background_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_background_cb cb, void *arg)
{
	struct ph_background_read *read = ph_alloc(sizeof *read);

	read->scope = scope;
	read->id = ph_str_dup(id);
	read->cb = cb;
	read->arg = arg;
	read->call = ph_snapshot_store_background(c, scope, id, on_row, read);
	return read;
}

void ph_background_cancel(struct ph_background_read *read)
{
	ph_pg_abandon(read->call);
	free((void *)(uintptr_t)read->id.p);
	free(read);
}

/* ---- its end ---- */

void ph_background_over(struct ph_continuity *c, int64_t scope, struct ph_str id)
{
	ph_snapshot_store_end(c, scope, id);
}

/* The writer keeps the order: the row says so when the snapshot is there. */
void ph_background_end(
	struct ph_continuity *c, const struct ph_background *b, void (*cb)(void *arg, int status), void *arg)
{
	ph_continuity_commit(c, &b->turn, cb, arg, NULL);
	if (b->turn.keep)
		ph_background_over(c, b->turn.scope, b->turn.response_id);
}
