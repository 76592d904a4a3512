/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's own items for an account. They are the client's words, and go out as they came, but for what
 * somebody here knows to be an account's: items that the client names by reference, and items that it carries
 * along because it sends its whole history. Both are looked up within the caller's scope, so that no id
 * reaches an account that other keys share before it is known to be the caller's.
 */
#include "continuity_priv.h"

static int put_bytes(struct ph_transfer *t, struct ph_str bytes)
{
	t->orphaned = false;
	return ph_items_append(t->out, bytes);
}

static int refuse_reference(struct ph_transfer *t, int64_t account)
{
	ph_str_copy(t->bound->type, sizeof t->bound->type, PH_STR("item_reference"));
	t->bound->account = account;
	return -PH_E_ACCOUNT_BOUND;
}

/* A reference that its account resolves itself stays, but where it is to be replaced, or has said that it
 * cannot. */
static int put_reference(struct ph_transfer *t, const struct ph_found_item *f, struct ph_str reference)
{
	struct ph_chain_run run = {f->item, f->account, true, f->stored, false};
	bool own = t->target && f->account == t->target->account;

	if (f->item.n == 0)
		return own || !t->target ? put_bytes(t, reference) : refuse_reference(t, f->account);
	if (!t->target)
		return put_bytes(t, f->item);
	if (!own)
		return ph_transfer_neutral(t, &run);
	if (f->stored && !t->resolve && !t->target->plain)
		return put_bytes(t, reference);
	return ph_transfer_own(t, &run);
}

static int put_without_id(struct ph_transfer *t, struct ph_str bytes)
{
	static const struct ph_str name = PH_STR_INIT("id");

	if (t->out->n)
		ph_buf_putc(t->out, ',');
	ph_item_without(t->out, bytes, &name, 1);
	t->orphaned = false;
	return t->out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}

/* Reasoning that its account has forgotten: without ciphertext it leads to "not found". */
static bool is_lost(const struct ph_item *it, const struct ph_found_item *f)
{
	return f && !f->stored && !ph_item_has_ciphertext(it);
}

/* Of the target's own making, or of nobody's that is known. A compaction item is one with its id. */
static int put_as_it_came(struct ph_transfer *t, const struct ph_item *it, const struct ph_found_item *f)
{
	bool plain = t->target && t->target->plain, compaction = ph_item_is_compaction(it);

	if (ph_transfer_call_dropped(t, it))
		return 0;
	if (ph_item_is(it, PH_STR("reasoning")) && (plain || (t->target && is_lost(it, f)))) {
		t->orphaned = true;
		return 0;
	}
	if (plain && compaction && f && f->before)
		return ph_transfer_expand(t, f->before);
	ph_transfer_call_kept(t, it);
	return t->orphaned && !compaction ? put_without_id(t, it->bytes) : put_bytes(t, it->bytes);
}

static int put_item(struct ph_transfer *t, struct ph_str bytes)
{
	const struct ph_found_item *f;
	struct ph_chain_run run = {.items = bytes, .minted = true};
	struct ph_item it;

	if (!ph_item_look(bytes, &it))
		return put_bytes(t, bytes);
	f = ph_known_item(t->known, &it);
	if (it.reference)
		return it.twice || !f ? -PH_E_ITEM_UNKNOWN : put_reference(t, f, bytes);
	if (!f || !t->target || f->account == t->target->account)
		return put_as_it_came(t, &it, f);
	run.account = f->account;
	run.stored = f->stored;
	return ph_transfer_neutral(t, &run);
}

int ph_transfer_request(struct ph_transfer *t, struct ph_str items)
{
	struct ph_retained retained;
	struct ph_str bytes;
	int rc = 0;

	ph_retained_init(&retained, t, items);
	for (size_t at = 0; rc == 0 && ph_items_next(items, &at, &bytes);)
		if (!ph_retained_has(&retained, items, bytes))
			rc = put_item(t, bytes);
	ph_retained_deinit(&retained);
	return rc;
}

static int prepare(struct ph_str items, const struct ph_found *found, struct ph_transfer *t)
{
	struct ph_known known;
	struct ph_pairs pairs;
	int rc;

	ph_known_init(&known, found);
	ph_pairs_init(&pairs, NULL, items);
	t->known = &known;
	t->pairs = &pairs;
	rc = ph_transfer_request(t, items);
	ph_map_deinit(&t->dropped);
	ph_pairs_deinit(&pairs);
	ph_known_deinit(&known);
	return rc;
}

int ph_items_prepare(struct ph_str items, const struct ph_found *found, const struct ph_target *target,
	struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_transfer t = {.target = target, .out = out, .bound = bound};

	return prepare(items, found, &t);
}

int ph_items_resolve(struct ph_str items, const struct ph_found *found, const struct ph_target *served,
	struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_transfer t = {.target = served, .out = out, .bound = bound, .resolve = true};

	return prepare(items, found, &t);
}
