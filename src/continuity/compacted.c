/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a chain begins for the account that compacted it: at the last compaction item that this account made,
 * which stands for all before it. Sent in front of it, the old items would fill the very context that was to
 * be made shorter. What stands behind it may still answer a call from before it; then everything goes.
 */
#include "continuity_priv.h"

/* Places are counted over the chain's runs: the run, and the offset in its items. */
static bool find_last(const struct ph_chain *chain, int64_t account, size_t *ret_run, size_t *ret_at)
{
	struct ph_item it;
	bool found = false;

	for (size_t i = 0; i < chain->run_count; i++) {
		const struct ph_chain_run *run = &chain->runs[i];

		if (!run->minted || run->account != account ||
			ph_str_find(run->items, PH_STR("compaction")) < 0)
			continue;
		for (size_t at = 0; ph_items_look_next(run->items, &at, &it);) {
			if (!ph_item_is_compaction(&it))
				continue;
			found = true;
			*ret_run = i;
			*ret_at = (size_t)(it.bytes.p - run->items.p);
		}
	}
	return found;
}

/* An output among the items whose call is none of those that were seen. */
static bool answers_other(struct ph_map *calls, struct ph_str items)
{
	struct ph_item it;

	for (size_t at = 0; ph_items_look_next(items, &at, &it);) {
		if (ph_item_is_output(&it) || ph_item_is(&it, PH_STR("mcp_approval_response"))) {
			if (!ph_map_get(calls, ph_call_hash(&it)))
				return true;
		} else if (ph_item_is_call(&it) || ph_item_is(&it, PH_STR("mcp_approval_request"))) {
			*ph_map_at(calls, ph_call_hash(&it)) = 1;
		}
	}
	return false;
}

bool ph_chain_compacted(const struct ph_chain *chain, struct ph_str new_items, const struct ph_target *target,
	size_t *ret_run, size_t *ret_at)
{
	struct ph_map calls = {.v = NULL};
	bool reaches = false;

	if (target->plain || !find_last(chain, target->account, ret_run, ret_at))
		return false;
	for (size_t i = *ret_run; !reaches && i < chain->run_count; i++)
		reaches =
			answers_other(&calls, ph_str_from(chain->runs[i].items, i == *ret_run ? *ret_at : 0));
	reaches = reaches || answers_other(&calls, new_items);
	ph_map_deinit(&calls);
	return !reaches;
}
