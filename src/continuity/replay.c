/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain as one list of items for one account. The usual chain is copied run by run, unread: the owner's own
 * items go out byte for byte. Only where items of another account are in it, or where a client may have sent
 * its history along, is it looked at item by item.
 */
#include "continuity_priv.h"

/* The client's words for the account that they came to, or now come to; else its own, or made neutral. */
static int put_run(struct ph_transfer *t, const struct ph_chain_run *run)
{
	bool here = run->account == t->target->account;

	t->orphaned = false;
	if (!run->minted && (here || run->account == 0))
		return ph_items_append(t->out, run->items);
	return here ? ph_transfer_own(t, run) : ph_transfer_neutral(t, run);
}

/* Whether the comparison of 4.4 can find anything: a run of client's items that look like output, or client's
 * items behind a context without output (a warm-up's input, sent once more). */
static bool may_overlap(const struct ph_chain *chain, const struct ph_chain_run *last)
{
	bool outputs = false, any = false;

	for (size_t i = 0; i <= chain->run_count; i++) {
		const struct ph_chain_run *run = i < chain->run_count ? &chain->runs[i] : last;

		if (run->items.n == 0)
			continue;
		if (!run->minted && any && (run->outputs || !outputs))
			return true;
		any = true;
		outputs |= run->minted || run->outputs;
	}
	return false;
}

static int put_compared(struct ph_transfer *t, struct ph_context *context, const struct ph_chain_run *run)
{
	const struct ph_chain_run *left;
	size_t n;
	int rc = ph_context_add(context, run, &left, &n);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_run(t, &left[i]);
	return rc;
}

static int replay(struct ph_transfer *t, const struct ph_chain *chain, const struct ph_chain_run *last)
{
	struct ph_context *context = may_overlap(chain, last) ? ph_context_new() : NULL;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i <= chain->run_count; i++) {
		const struct ph_chain_run *run = i < chain->run_count ? &chain->runs[i] : last;

		rc = context ? put_compared(t, context, run) : put_run(t, run);
	}
	if (context)
		ph_context_free(context);
	return rc;
}

int ph_chain_replay(const struct ph_chain *chain, const struct ph_target *target, struct ph_str new_items,
	struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_chain_run last = {.items = new_items};
	struct ph_items_facts facts;
	struct ph_pairs pairs;
	struct ph_transfer t = {.target = target, .out = out, .bound = bound, .pairs = &pairs};
	int rc;

	ph_items_look(new_items, &facts);
	last.outputs = facts.output_like;
	ph_pairs_init(&pairs, chain, new_items);
	rc = replay(&t, chain, &last);
	ph_pairs_deinit(&pairs);
	return rc;
}
