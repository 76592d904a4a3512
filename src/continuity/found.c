/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what a scope knows of items by their ids: one call to the database; then, for compaction items that
 * only their account can read, the chain of the response that made each of them, one after the other. Such a
 * chain may hold compaction items in its turn: chain.c asks here for those.
 */
#include <stdlib.h>

#include "continuity_priv.h"

#define DECODED_MAX (256 * 1024 * 1024)

enum {
	ITEM_ID,
	ACCOUNT,
	FLAGS,
	RESPONSE_ID,
	POSITION,
	BODY,
	CODEC,
	OUTPUT,
};

/* Where an item stands that may have to be expanded. */
struct place {
	struct ph_str response_id;
	int64_t position;
	bool compaction;
};

struct ph_items_read {
	struct ph_continuity *c;
	int64_t scope;
	struct ph_inside inside;
	struct ph_allowance own;
	int64_t *able;
	size_t able_count;
	struct ph_str *compactions; /* ids of those that the client carries */
	size_t compaction_count;
	struct ph_pg_call *call;       /* first this */
	struct place *places;          /* of the items that were found */
	size_t at;                     /* of the next to be expanded */
	struct ph_chain_read *reading; /* then one chain after the other */
	struct ph_found *found;        /* owns all of the above */
	ph_items_cb cb;
	void *arg;
};

struct ph_found *ph_found_free(struct ph_found *f)
{
	if (!f)
		return NULL;
	ph_arena_deinit(&f->arena);
	free(f);
	return NULL;
}

static void finish(struct ph_items_read *read, const struct ph_err *err)
{
	struct ph_found *found = err ? ph_found_free(read->found) : read->found;
	ph_items_cb cb = read->cb;
	void *arg = read->arg;

	free(read);
	cb(arg, found, err);
}

/* ---- what compaction items replaced ---- */

static bool is_able(const struct ph_items_read *read, int64_t account)
{
	for (size_t i = 0; i < read->able_count; i++)
		if (read->able[i] == account)
			return true;
	return false;
}

static void expand_next(struct ph_items_read *read);

static void free_before(void *arg)
{
	ph_chain_free(arg);
}

/* A chain that is not whole replaces nothing: then only its account can read the item. */
static void on_before(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	struct ph_items_read *read = arg;

	read->reading = NULL;
	if (err) {
		finish(read, err);
		return;
	}
	if (chain->status == PH_CHAIN_OK) {
		read->found->items[read->at].before = chain;
		ph_arena_defer(&read->found->arena, free_before, chain);
	} else {
		ph_chain_free(chain);
	}
	read->at++;
	expand_next(read);
}

static bool wants_expansion(const struct ph_items_read *read, size_t i)
{
	return read->places[i].compaction && read->places[i].response_id.n &&
	       !is_able(read, read->found->items[i].account) && read->inside.depth < PH_EXPANSION_DEPTH &&
	       read->inside.left->expansions > 0;
}

static void expand_next(struct ph_items_read *read)
{
	struct ph_inside inside = {read->inside.depth + 1, read->inside.left};
	const struct place *place;

	while (read->at < read->found->n && !wants_expansion(read, read->at))
		read->at++;
	if (read->at == read->found->n) {
		finish(read, NULL);
		return;
	}
	inside.left->expansions--;
	place = &read->places[read->at];
	read->reading = ph_chain_read_before(
		read->c, read->scope, place->response_id, place->position, inside, on_before, read);
}

/* ---- rows ---- */

/* The output that the rows of one response are read from, in the order of their places. */
struct output {
	struct ph_arena arena;
	struct ph_str items;
	size_t at;
	int64_t next; /* place of the item that stands there */
};

static int next_output(struct output *o, const struct ph_pg_result *r, int row)
{
	ph_arena_deinit(&o->arena);
	o->at = 0;
	o->next = 0;
	return ph_body_decode(&o->arena, ph_pg_int(r, row, CODEC), ph_pg_str(r, row, OUTPUT), &o->items);
}

static struct ph_str item_at(struct output *o, int64_t position)
{
	struct ph_str item = PH_STR_NONE;

	while (o->next <= position) {
		if (!ph_items_next(o->items, &o->at, &item))
			return PH_STR_NONE;
		o->next++;
	}
	return item;
}

static bool was_carried(const struct ph_items_read *read, struct ph_str id)
{
	for (size_t i = 0; i < read->compaction_count; i++)
		if (ph_str_eq(read->compactions[i], id))
			return true;
	return false;
}

/* A row without a place is one that only has an owner: the account that minted the item keeps it. */
static int fill_item(struct ph_items_read *read, size_t i, const struct ph_pg_result *r, struct output *o)
{
	struct ph_found_item *item = &read->found->items[i];
	struct place *place = &read->places[i];
	struct ph_arena *a = &read->found->arena;
	struct ph_item it;
	int row = (int)i, rc = 0;

	item->id = ph_arena_dup(a, ph_pg_str(r, row, ITEM_ID));
	item->account = ph_pg_int(r, row, ACCOUNT);
	item->stored = (ph_pg_int(r, row, FLAGS) & PH_TURN_STORED) != 0;
	place->response_id = ph_arena_dup(a, ph_pg_str(r, row, RESPONSE_ID));
	place->position = ph_pg_int(r, row, POSITION);
	place->compaction = was_carried(read, item->id);
	if (!ph_pg_int(r, row, BODY) || ph_pg_is_null(r, row, POSITION))
		return 0;
	if (!ph_pg_is_null(r, row, OUTPUT))
		rc = next_output(o, r, row);
	if (rc == 0)
		item->item = ph_arena_dup(a, item_at(o, place->position));
	place->compaction |= ph_item_look(item->item, &it) && ph_item_is_compaction(&it);
	return item->item.n ? rc : -PH_E_INTERNAL;
}

static int fill(struct ph_items_read *read, const struct ph_pg_result *r)
{
	struct ph_found *found = read->found;
	size_t n = (size_t)ph_pg_rows(r);
	struct output o = {.items = PH_STR_NONE};
	int rc = 0;

	found->items = ph_arena_alloc(&found->arena, (n + 1) * sizeof *found->items);
	read->places = ph_arena_alloc(&found->arena, (n + 1) * sizeof *read->places);
	ph_arena_init(&o.arena, DECODED_MAX);
	for (; rc == 0 && found->n < n; found->n++)
		rc = fill_item(read, found->n, r, &o);
	ph_arena_deinit(&o.arena);
	return rc;
}

static void on_rows(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_items_read *read = arg;
	struct ph_err unreadable = {.code = PH_E_DATABASE_ERROR, .detail = "a stored item cannot be read"};

	read->call = NULL;
	if (!err && fill(read, r))
		err = &unreadable;
	if (err)
		finish(read, err);
	else
		expand_next(read);
}

/* ---- asking ---- */

/* Ids that may be in the index: see index_id() in snapshot.c. */
static bool may_be_known(struct ph_str id)
{
	return id.n && id.n <= PH_ITEM_ID_MAX && !memchr(id.p, '\0', id.n);
}

static void ask(struct ph_items_read *read, const struct ph_item_id *ids, size_t n)
{
	struct ph_str *all = ph_alloc(2 * (n + 1) * sizeof *all), *bodies = all + n + 1;
	size_t count = 0, bodies_count = 0;

	read->compactions = ph_arena_alloc(&read->found->arena, (n + 1) * sizeof *read->compactions);
	for (size_t i = 0; i < n; i++) {
		if (!may_be_known(ids[i].id))
			continue;
		all[count++] = ids[i].id;
		if (ids[i].reference)
			bodies[bodies_count++] = ids[i].id;
		if (ids[i].compaction)
			read->compactions[read->compaction_count++] =
				ph_arena_dup(&read->found->arena, ids[i].id);
	}
	read->call = ph_snapshot_store_items(
		read->c, read->scope, all, count, bodies, bodies_count, on_rows, read);
	free(all);
}

static struct ph_items_read *read_new(struct ph_continuity *c, int64_t scope, ph_items_cb cb, void *arg)
{
	struct ph_items_read *read = ph_alloc(sizeof *read);

	read->c = c;
	read->scope = scope;
	read->cb = cb;
	read->arg = arg;
	read->own = (struct ph_allowance){c->max_bytes, PH_EXPANSIONS_MAX};
	read->inside.left = &read->own;
	read->found = ph_alloc(sizeof *read->found);
	ph_arena_init(&read->found->arena, DECODED_MAX);
	return read;
}

struct ph_items_read *ph_items_read(struct ph_continuity *c, int64_t scope, const struct ph_item_id *ids,
	size_t n, const int64_t *able, size_t able_count, ph_items_cb cb, void *arg)
{
	struct ph_items_read *read = read_new(c, scope, cb, arg);

	read->able = ph_arena_alloc(&read->found->arena, (able_count + 1) * sizeof *able);
	read->able_count = able_count;
	if (able_count)
		memcpy(read->able, able, able_count * sizeof *able);
	ask(read, ids, n);
	return read;
}

struct ph_items_read *ph_items_read_inside(struct ph_continuity *c, int64_t scope,
	const struct ph_item_id *ids, size_t n, struct ph_inside inside, ph_items_cb cb, void *arg)
{
	struct ph_items_read *read = read_new(c, scope, cb, arg);

	read->inside = inside;
	ask(read, ids, n);
	return read;
}

void ph_items_cancel(struct ph_items_read *read)
{
	if (read->call)
		ph_pg_abandon(read->call);
	if (read->reading)
		ph_chain_cancel(read->reading);
	ph_found_free(read->found);
	free(read);
}
