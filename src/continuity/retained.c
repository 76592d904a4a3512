/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a client keeps of a conversation beside the item that it was compacted into: a compact call gives back
 * the user's words in front of it, and clients keep some by themselves. Where the item is replaced by all
 * that it stands for, those words would come twice; so what stands in front of it in the same list, and is
 * there as well, is left out.
 */
#include "continuity_priv.h"

/* Whether the item gives way to what is before it, for this target. */
static const struct ph_chain *replaced_by(const struct ph_transfer *t, const struct ph_item *it)
{
	const struct ph_found_item *f = ph_item_is_compaction(it) ? ph_known_item(t->known, it) : NULL;

	if (!f || !f->before || !t->target)
		return NULL;
	return f->account != t->target->account || t->target->plain ? f->before : NULL;
}

static void note(struct ph_retained *r, const struct ph_chain *before)
{
	struct ph_item it;

	for (size_t i = 0; i < before->run_count; i++)
		for (size_t at = 0; ph_items_look_next(before->runs[i].items, &at, &it);)
			*ph_map_at(&r->there, ph_item_substance(&it)) = 1;
}

static bool any_before(const struct ph_transfer *t)
{
	const struct ph_found *found = t->known ? t->known->found : NULL;

	for (size_t i = 0; found && i < found->n; i++)
		if (found->items[i].before)
			return true;
	return false;
}

void ph_retained_init(struct ph_retained *r, const struct ph_transfer *t, struct ph_str items)
{
	const struct ph_chain *before;
	struct ph_item it;

	*r = (struct ph_retained){.upto = 0};
	if (!any_before(t))
		return;
	for (size_t at = 0; ph_items_look_next(items, &at, &it);) {
		before = replaced_by(t, &it);
		if (!before)
			continue;
		note(r, before);
		r->upto = (size_t)(it.bytes.p - items.p);
	}
}

void ph_retained_deinit(struct ph_retained *r)
{
	ph_map_deinit(&r->there);
}

bool ph_retained_has(const struct ph_retained *r, struct ph_str items, struct ph_str bytes)
{
	struct ph_item it;

	if ((size_t)(bytes.p - items.p) >= r->upto || !ph_item_look(bytes, &it) || it.reference ||
		ph_item_is_compaction(&it))
		return false;
	return ph_map_get(&r->there, ph_item_substance(&it)) != 0;
}
