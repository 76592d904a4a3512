/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item_reference: items that a request names by the id that upstream gave them. They are looked up within the
 * caller's scope, so that no id reaches an account that other keys share before it is known to be the
 * caller's; then a reference goes out only to the account that keeps the item, and its bytes to the others.
 */
#include "continuity_priv.h"
#include "posthouse/crypt.h"

#define SEED 11

int ph_items_references(struct ph_str items, struct ph_arena *a, struct ph_str *ret, size_t max)
{
	struct ph_str bytes;
	struct ph_item it;
	size_t n = 0;

	for (size_t at = 0; ph_items_next(items, &at, &bytes);) {
		if (!ph_item_look(bytes, &it) || !it.reference)
			continue;
		if (n == max || it.twice || !ph_json_text(it.m[PH_ITEM_ID], a, &ret[n]))
			return -PH_E_PARAM_BAD;
		n++;
	}
	return (int)n;
}

/* What becomes of references, and what was found of them. */
struct lookup {
	const struct ph_found_item *table;
	struct ph_map places; /* hash of an id -> place in the table + 1 */
	bool resolve;         /* the target's own are replaced as well */
	struct ph_transfer transfer;
};

static const struct ph_found_item *found(const struct lookup *l, struct ph_str id)
{
	uint64_t place = ph_map_get(&l->places, ph_text_hash(id, SEED));

	return place && ph_json_text_is(id, l->table[place - 1].id) ? &l->table[place - 1] : NULL;
}

/* An item whose bytes only its account has. */
static int put_unknown(struct lookup *l, const struct ph_found_item *f, struct ph_str reference)
{
	if (!l->transfer.target || f->account == l->transfer.target->account)
		return ph_items_append(l->transfer.out, reference);
	ph_str_copy(l->transfer.bound->type, sizeof l->transfer.bound->type, PH_STR("item_reference"));
	l->transfer.bound->account = f->account;
	return -PH_E_ACCOUNT_BOUND;
}

static int put_found(struct lookup *l, const struct ph_found_item *f, struct ph_str reference)
{
	struct ph_chain_run run = {f->item, f->account, true, f->stored, false};
	const struct ph_target *target = l->transfer.target;

	if (f->item.n == 0)
		return put_unknown(l, f, reference);
	if (!target)
		return ph_items_append(l->transfer.out, f->item);
	if (f->account != target->account)
		return ph_transfer_neutral(&l->transfer, &run);
	if (f->stored && !l->resolve)
		return ph_items_append(l->transfer.out, reference);
	return ph_transfer_own(&l->transfer, &run);
}

static int put_items(struct lookup *l, struct ph_str items)
{
	struct ph_str bytes;
	struct ph_item it;
	int rc = 0;

	for (size_t at = 0; rc == 0 && ph_items_next(items, &at, &bytes);) {
		const struct ph_found_item *f = NULL;

		if (ph_item_look(bytes, &it) && it.reference) {
			f = it.twice ? NULL : found(l, it.m[PH_ITEM_ID]);
			if (!f)
				return -PH_E_ITEM_UNKNOWN;
			rc = put_found(l, f, bytes);
		} else {
			l->transfer.orphaned = false;
			rc = ph_items_append(l->transfer.out, bytes);
		}
	}
	return rc;
}

static int dereference(struct lookup *l, struct ph_str items, size_t n)
{
	int rc;

	for (size_t i = 0; i < n; i++)
		*ph_map_at(&l->places, ph_hash64(l->table[i].id, SEED)) = i + 1;
	rc = put_items(l, items);
	ph_map_deinit(&l->places);
	return rc;
}

int ph_items_dereference(struct ph_str items, const struct ph_found_item *table, size_t n,
	const struct ph_target *target, struct ph_buf *out, struct ph_bound *bound)
{
	struct lookup l = {.table = table, .transfer = {.target = target, .out = out, .bound = bound}};

	return dereference(&l, items, n);
}

int ph_items_resolve(struct ph_str items, const struct ph_found_item *table, size_t n,
	const struct ph_target *served, struct ph_buf *out, struct ph_bound *bound)
{
	struct lookup l = {
		.table = table, .resolve = true, .transfer = {.target = served, .out = out, .bound = bound}};

	return dereference(&l, items, n);
}
