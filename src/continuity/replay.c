/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain as one list of items for one account. The usual chain is copied run by run, unread: the owner's own
 * items go out byte for byte. Only where items of another account are in it, or where a client may have sent
 * its history along, is it looked at item by item. What stands in the place of a compaction item is a chain
 * like any other, written into the one that it is found in.
 */
#include "continuity_priv.h"

/* One chain on its way, and the request's own items behind it, if it is the outermost. */
struct replay {
	struct ph_transfer *t;
	const struct ph_chain *chain;
	struct ph_known chains, requests;
	const struct ph_chain_run *last; /* NULL: none */
	bool plain_copy;                 /* the last may be copied as it is */
};

static int put_request(struct replay *r, const struct ph_chain_run *run)
{
	struct ph_transfer *t = r->t;
	int rc;

	if (r->plain_copy && t->dropped.n == 0 && !t->orphaned)
		return ph_items_append(t->out, run->items);
	t->known = &r->requests;
	t->whole = false;
	rc = ph_transfer_request(t, run->items);
	t->known = &r->chains;
	t->whole = true;
	return rc;
}

/* The client's words for the account that they came to, or now come to; else its own, or made neutral. */
static int put_run(struct replay *r, const struct ph_chain_run *run)
{
	if (run->account == r->t->target->account)
		return ph_transfer_own(r->t, run);
	if (!run->minted && run->account == 0)
		return put_request(r, run);
	return ph_transfer_neutral(r->t, run);
}

static size_t run_count(const struct replay *r)
{
	return r->chain->run_count + (r->last != NULL);
}

static const struct ph_chain_run *run_at(const struct replay *r, size_t i)
{
	return i < r->chain->run_count ? &r->chain->runs[i] : r->last;
}

/* Whether the comparison of 4.4 can find anything: a run of client's items that look like output, or client's
 * items behind a context without output (a warm-up's input, sent once more). */
static bool may_overlap(const struct replay *r)
{
	bool outputs = false, any = false;

	for (size_t i = 0; i < run_count(r); i++) {
		const struct ph_chain_run *run = run_at(r, i);

		if (run->items.n == 0)
			continue;
		if (!run->minted && any && (run->outputs || !outputs))
			return true;
		any = true;
		outputs |= run->minted || run->outputs;
	}
	return false;
}

static int put_compared(struct replay *r, struct ph_context *context, const struct ph_chain_run *run)
{
	const struct ph_chain_run *left;
	size_t n;
	int rc = ph_context_add(context, run, &left, &n);

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = put_run(r, &left[i]);
	return rc;
}

/* The target's own compaction item, and what came behind it. */
static int put_compacted(struct replay *r, size_t from, size_t at)
{
	struct ph_chain_run run = r->chain->runs[from];
	int rc;

	run.items = ph_str_from(run.items, at);
	rc = put_run(r, &run);
	for (size_t i = from + 1; rc == 0 && i < run_count(r); i++) {
		r->t->orphaned = false;
		rc = put_run(r, run_at(r, i));
	}
	return rc;
}

static int put_runs(struct replay *r)
{
	struct ph_context *context = may_overlap(r) ? ph_context_new() : NULL;
	size_t from, at;
	int rc = 0;

	if (!context && ph_chain_compacted(
				r->chain, r->last ? r->last->items : PH_STR_NONE, r->t->target, &from, &at))
		return put_compacted(r, from, at);
	for (size_t i = 0; rc == 0 && i < run_count(r); i++) {
		r->t->orphaned = false;
		rc = context ? put_compared(r, context, run_at(r, i)) : put_run(r, run_at(r, i));
	}
	if (context)
		ph_context_free(context);
	return rc;
}

/* Only clients' outputs are ever omitted. */
static bool may_omit(const struct ph_chain *chain)
{
	for (size_t i = 0; i < chain->run_count; i++)
		if (!chain->runs[i].minted && ph_items_suspect_omitted(chain->runs[i].items))
			return true;
	return false;
}

/* With t set up for this chain. */
static int put_chain(struct replay *r, struct ph_str new_items)
{
	struct ph_transfer *t = r->t;
	struct ph_pairs pairs;
	int rc;

	ph_known_init(&r->chains, r->chain->found);
	ph_pairs_init(&pairs, r->chain, new_items);
	t->known = &r->chains;
	t->pairs = &pairs;
	t->whole = true;
	t->omits = may_omit(r->chain);
	rc = put_runs(r);
	ph_pairs_deinit(&pairs);
	ph_known_deinit(&r->chains);
	return rc;
}

int ph_transfer_expand(struct ph_transfer *t, const struct ph_chain *before)
{
	struct ph_transfer inner = *t;
	struct replay r = {.t = &inner, .chain = before};
	int rc;

	if (t->expansions == PH_EXPANSIONS_MAX)
		return -PH_E_CHAIN_TOO_LARGE;
	inner.expansions++;
	rc = put_chain(&r, t->pairs->new_items);
	t->dropped = inner.dropped;
	t->expansions = inner.expansions;
	t->orphaned = false;
	return rc;
}

int ph_chain_replay(const struct ph_chain *chain, const struct ph_target *target, struct ph_str new_items,
	const struct ph_found *found, struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_transfer t = {.target = target, .out = out, .bound = bound};
	struct ph_chain_run last = {.items = new_items};
	struct replay r = {.t = &t, .chain = chain, .last = &last};
	struct ph_items_facts facts;
	int rc;

	ph_items_look(new_items, &facts);
	last.outputs = facts.output_like || facts.references;
	r.plain_copy = !facts.references && (!found || found->n == 0) && !target->plain;
	ph_known_init(&r.requests, found);
	rc = put_chain(&r, new_items);
	ph_known_deinit(&r.requests);
	ph_map_deinit(&t.dropped);
	return rc;
}
