/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what is stored: one response by its id, and items by theirs. */
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/json.h"

#define DECODED_MAX (256 * 1024 * 1024)

struct ph_response_read {
	struct ph_pg_call *call;
	bool hide;
	ph_response_cb cb;
	void *arg;
};

struct ph_items_read {
	struct ph_pg_call *call;
	ph_items_cb cb;
	void *arg;
};

/* ---- one response ---- */

static int fill_response(struct ph_response *ret, const struct ph_pg_result *r, struct ph_arena *a)
{
	enum {
		RESPONSE_ID,
		PARENT_ID,
		ACCOUNT,
		DAY,
		CLASS,
		FLAGS,
		TURN_STATUS,
		CREATED,
		CODEC,
		INPUT,
		OUTPUT,
		ENVELOPE
	};
	int64_t codec = ph_pg_int(r, 0, CODEC);
	int rc;

	ret->id = ph_pg_str(r, 0, RESPONSE_ID);
	ret->account = ph_pg_int(r, 0, ACCOUNT);
	ret->day = (int32_t)ph_pg_int(r, 0, DAY);
	ret->class = (int32_t)ph_pg_int(r, 0, CLASS);
	ret->flags = (int)ph_pg_int(r, 0, FLAGS);
	rc = ph_body_decode(a, codec, ph_pg_str(r, 0, INPUT), &ret->input);
	if (rc == 0)
		rc = ph_body_decode(a, codec, ph_pg_str(r, 0, OUTPUT), &ret->output);
	if (rc == 0)
		rc = ph_body_decode(a, codec, ph_pg_str(r, 0, ENVELOPE), &ret->envelope);
	return rc;
}

static void on_response(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_response_read *read = arg;
	struct ph_response response = {.account = 0};
	struct ph_err unreadable = {.code = PH_E_INTERNAL, .detail = "a stored response cannot be decoded"};
	struct ph_arena arena;
	bool there = !err && ph_pg_rows(r) > 0;

	ph_arena_init(&arena, DECODED_MAX);
	if (there && read->hide) {
		response.account = ph_pg_int(r, 0, 0);
		response.flags = (int)ph_pg_int(r, 0, 1);
	} else if (there && fill_response(&response, r, &arena)) {
		err = &unreadable;
	}
	read->cb(read->arg, there && !err ? &response : NULL, err);
	ph_arena_deinit(&arena);
	free(read);
}

static struct ph_response_read *read_new(bool hide, ph_response_cb cb, void *arg)
{
	struct ph_response_read *read = ph_alloc(sizeof *read);

	read->hide = hide;
	read->cb = cb;
	read->arg = arg;
	return read;
}

struct ph_response_read *ph_response_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_response_cb cb, void *arg)
{
	struct ph_response_read *read = read_new(false, cb, arg);

	read->call = ph_snapshot_store_read(c, scope, id, on_response, read);
	return read;
}

struct ph_response_read *ph_response_hide(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_response_cb cb, void *arg)
{
	struct ph_response_read *read = read_new(true, cb, arg);

	read->call = ph_snapshot_store_hide(c, scope, id, on_response, read);
	return read;
}

void ph_response_cancel(struct ph_response_read *read)
{
	ph_pg_abandon(read->call);
	free(read);
}

/* ---- items ---- */

static struct ph_str item_at(struct ph_str items, int64_t position)
{
	struct ph_str item;
	size_t at = 0;

	for (int64_t i = 0; ph_items_next(items, &at, &item); i++)
		if (i == position)
			return item;
	return PH_STR_NONE;
}

/* A row without output is one that only has an owner: the account that minted the item keeps it. */
static int fill_item(struct ph_found_item *ret, const struct ph_pg_result *r, int row, struct ph_arena *a)
{
	enum {
		ITEM_ID,
		ACCOUNT,
		FLAGS,
		POSITION,
		CODEC,
		OUTPUT
	};
	struct ph_str output;
	int rc;

	ret->id = ph_pg_str(r, row, ITEM_ID);
	ret->account = ph_pg_int(r, row, ACCOUNT);
	ret->stored = (ph_pg_int(r, row, FLAGS) & PH_TURN_STORED) != 0;
	if (ph_pg_is_null(r, row, OUTPUT))
		return 0;
	rc = ph_body_decode(a, ph_pg_int(r, row, CODEC), ph_pg_str(r, row, OUTPUT), &output);
	if (rc)
		return rc;
	ret->item = item_at(output, ph_pg_int(r, row, POSITION));
	return ret->item.n ? 0 : -PH_E_INTERNAL;
}

static void on_items(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_items_read *read = arg;
	struct ph_found_item *table = NULL;
	struct ph_err unreadable = {.code = PH_E_DATABASE_ERROR, .detail = "a stored item cannot be read"};
	struct ph_arena arena;
	size_t n = err ? 0 : (size_t)ph_pg_rows(r);

	ph_arena_init(&arena, DECODED_MAX);
	table = ph_alloc((n + 1) * sizeof *table);
	for (size_t i = 0; !err && i < n; i++)
		if (fill_item(&table[i], r, (int)i, &arena))
			err = &unreadable;
	read->cb(read->arg, err ? NULL : table, err ? 0 : n, err);
	free(table);
	ph_arena_deinit(&arena);
	free(read);
}

/* Ids that may be in the index: see put_ids() in snapshot.c. */
static size_t askable(const struct ph_str *ids, size_t n, struct ph_str *ret)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		if (ids[i].n && ids[i].n <= PH_ITEM_ID_MAX && !memchr(ids[i].p, '\0', ids[i].n))
			ret[count++] = ids[i];
	return count;
}

struct ph_items_read *ph_items_read(
	struct ph_continuity *c, int64_t scope, const struct ph_str *ids, size_t n, ph_items_cb cb, void *arg)
{
	struct ph_items_read *read = ph_alloc(sizeof *read);
	struct ph_str *asked = ph_alloc((n + 1) * sizeof *asked);

	read->cb = cb;
	read->arg = arg;
	read->call = ph_snapshot_store_items(c, scope, asked, askable(ids, n, asked), on_items, read);
	free(asked);
	return read;
}

void ph_items_cancel(struct ph_items_read *read)
{
	ph_pg_abandon(read->call);
	free(read);
}
