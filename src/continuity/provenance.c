/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context that a self-contained row holds before its own turn: where its items came from, as one line
 * "[[account,count,flags],...]" with an element for each run, and behind it the items, in that order.
 */
#include "continuity_priv.h"

enum {
	RUN_MINTED = 1,
	RUN_STORED = 2,
	RUN_OUTPUTS = 4,
};

static size_t count_items(struct ph_str items)
{
	struct ph_str item;
	size_t n = 0;

	for (size_t at = 0; ph_items_next(items, &at, &item);)
		n++;
	return n;
}

static void put_runs(const struct ph_chain *chain, struct ph_buf *out)
{
	ph_buf_putc(out, '[');
	for (size_t i = 0; i < chain->run_count; i++) {
		const struct ph_chain_run *run = &chain->runs[i];
		int flags = (run->minted ? RUN_MINTED : 0) | (run->stored ? RUN_STORED : 0) |
			    (run->outputs ? RUN_OUTPUTS : 0);

		ph_buf_printf(out, "%s[%lld,%zu,%d]", i ? "," : "", (long long)run->account,
			count_items(run->items), flags);
	}
	ph_buf_puts(out, PH_STR("]\n"));
}

int ph_runs_write(const struct ph_chain *chain, struct ph_buf *out)
{
	size_t start;

	put_runs(chain, out);
	start = out->n;
	for (size_t i = 0; i < chain->run_count; i++) {
		if (out->n > start)
			ph_buf_putc(out, ',');
		ph_buf_puts(out, chain->runs[i].items);
	}
	return out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}

/* Cuts the next `count` items off the list; false if there are fewer. */
static bool cut_items(struct ph_str items, size_t *at, uint64_t count, struct ph_str *ret)
{
	struct ph_str item;

	*ret = PH_STR_NONE;
	for (uint64_t i = 0; i < count; i++) {
		if (!ph_items_next(items, at, &item))
			return false;
		if (!ret->p)
			ret->p = item.p;
		ret->n = (size_t)(item.p + item.n - ret->p);
	}
	return true;
}

static bool read_run(struct ph_str triple, struct ph_str items, size_t *at, struct ph_chain_run *ret)
{
	uint64_t v[3];
	struct ph_str value;
	size_t place = 0;

	for (int i = 0; i < 3; i++)
		if (!ph_json_next(triple, &place, &value) || !ph_json_u64(value, &v[i]))
			return false;
	*ret = (struct ph_chain_run){
		.account = (int64_t)v[0],
		.minted = v[2] & RUN_MINTED,
		.stored = v[2] & RUN_STORED,
		.outputs = v[2] & RUN_OUTPUTS,
	};
	return cut_items(items, at, v[1], &ret->items);
}

int ph_runs_read(struct ph_str context, struct ph_arena *a, struct ph_chain_run **ret, size_t *ret_n)
{
	struct ph_str items = context, text = ph_str_split(&items, '\n'), triple;
	size_t n = 0, at = 0, place = 0;
	struct ph_chain_run *runs;

	while (ph_json_next(text, &place, &triple))
		n++;
	runs = ph_arena_alloc(a, n * sizeof *runs);
	if (!runs)
		return -PH_E_CHAIN_TOO_LARGE;
	place = 0;
	for (size_t i = 0; i < n; i++)
		if (!ph_json_next(text, &place, &triple) || !read_run(triple, items, &at, &runs[i]))
			return -PH_E_INTERNAL;
	if (at < items.n || !ph_str_starts(text, PH_STR("[")))
		return -PH_E_INTERNAL;
	*ret = runs;
	*ret_n = n;
	return 0;
}
