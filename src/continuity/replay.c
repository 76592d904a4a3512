/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain as one list of items for one account. The usual chain is copied run by run, unread: the owner's own
 * items go out byte for byte. Only where items of another account are in it, or where a client may have sent
 * its history along, is it looked at item by item.
 */
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/json.h"

/* One run for one account: its own, made neutral, or the client's words. */
static int put_run(const struct ph_chain_run *run, const struct ph_target *target, struct ph_buf *out,
	struct ph_bound *bound)
{
	if (run->account == 0)
		return ph_items_append(out, run->items); /* the request's own */
	if (run->account == target->account)
		return run->minted ? ph_items_own(run, out) : ph_items_append(out, run->items);
	return ph_items_neutralise(run, target, out, bound);
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

static int replay_compared(const struct ph_chain *chain, const struct ph_chain_run *last,
	const struct ph_target *target, struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_context *context = ph_context_new();
	int rc = 0;

	for (size_t i = 0; rc == 0 && i <= chain->run_count; i++) {
		struct ph_chain_run left;

		rc = ph_context_add(context, i < chain->run_count ? &chain->runs[i] : last, &left);
		if (rc == 0)
			rc = put_run(&left, target, out, bound);
	}
	ph_context_free(context);
	return rc;
}

int ph_chain_replay(const struct ph_chain *chain, const struct ph_target *target, struct ph_str new_items,
	struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_chain_run last = {new_items, 0, false, false, false};
	struct ph_items_facts facts;
	int rc = 0;

	ph_items_look(new_items, &facts);
	last.outputs = facts.output_like;
	if (may_overlap(chain, &last))
		return replay_compared(chain, &last, target, out, bound);
	for (size_t i = 0; rc == 0 && i < chain->run_count; i++)
		rc = put_run(&chain->runs[i], target, out, bound);
	return rc ? rc : put_run(&last, target, out, bound);
}

/* ---- provenance of a self-contained row ---- */

static size_t count_items(struct ph_str items)
{
	struct ph_str item;
	size_t n = 0;

	for (size_t at = 0; ph_items_next(items, &at, &item);)
		n++;
	return n;
}

int ph_runs_write(const struct ph_chain *chain, struct ph_buf *out)
{
	ph_buf_putc(out, '[');
	for (size_t i = 0; i < chain->run_count; i++) {
		const struct ph_chain_run *run = &chain->runs[i];

		ph_buf_printf(out, "%s[%lld,%zu,%d,%d]", i ? "," : "", (long long)run->account,
			count_items(run->items), run->minted, run->stored);
	}
	return ph_buf_putc(out, ']');
}

/* Cuts the next `count` items off the list. */
static struct ph_str cut_items(struct ph_str items, size_t *at, uint64_t count)
{
	struct ph_str item, run = PH_STR_NONE;

	for (uint64_t i = 0; i < count && ph_items_next(items, at, &item); i++) {
		if (!run.p)
			run.p = item.p;
		run.n = (size_t)(item.p + item.n - run.p);
	}
	return run;
}

static bool read_run(struct ph_str quad, struct ph_str items, size_t *at, struct ph_chain_run *ret)
{
	uint64_t v[4];
	struct ph_str value;
	size_t place = 0;

	for (int i = 0; i < 4; i++)
		if (!ph_json_next(quad, &place, &value) || !ph_json_u64(value, &v[i]))
			return false;
	*ret = (struct ph_chain_run){cut_items(items, at, v[1]), (int64_t)v[0], v[2] != 0, v[3] != 0, false};
	return true;
}

int ph_runs_read(
	struct ph_str text, struct ph_str items, struct ph_arena *a, struct ph_chain_run **ret, size_t *ret_n)
{
	struct ph_str quad;
	size_t n = 0, at = 0, place = 0;
	struct ph_chain_run *runs;

	while (ph_json_next(text, &place, &quad))
		n++;
	runs = ph_arena_alloc(a, (n + 1) * sizeof *runs);
	if (!runs)
		return -PH_E_CHAIN_TOO_LARGE;
	place = 0;
	for (size_t i = 0; i < n; i++)
		if (!ph_json_next(text, &place, &quad) || !read_run(quad, items, &at, &runs[i]))
			return -PH_E_INTERNAL;
	/* What is left is the row's own input. */
	runs[n].items = cut_items(items, &at, UINT64_MAX);
	*ret = runs;
	*ret_n = n + 1;
	return 0;
}
