/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls were answered. Needed where a call may only go along with its answer: an unfinished one, and an
 * approval that its account waits for. Answers are the client's, so only what clients sent is looked at.
 */
#include "continuity_priv.h"

enum {
	SEED_CALL = 21,
	SEED_APPROVAL,
};

void ph_pairs_init(struct ph_pairs *p, const struct ph_chain *chain, struct ph_str new_items)
{
	*p = (struct ph_pairs){.chain = chain, .new_items = new_items};
}

void ph_pairs_deinit(struct ph_pairs *p)
{
	ph_map_deinit(&p->answers);
}

static void look(struct ph_pairs *p, struct ph_str items, bool approvals)
{
	struct ph_str bytes;
	struct ph_item it;

	for (size_t at = 0; ph_items_next(items, &at, &bytes);) {
		if (!ph_item_look(bytes, &it))
			continue;
		if (ph_str_ends(it.m[PH_ITEM_TYPE], PH_STR("_output\"")))
			*ph_map_at(&p->answers, ph_text_hash(it.m[PH_ITEM_CALL_ID], SEED_CALL)) = 1;
		if (approvals && ph_item_is(&it, PH_STR("mcp_approval_response")))
			*ph_map_at(&p->answers, ph_text_hash(it.m[PH_ITEM_APPROVAL], SEED_APPROVAL)) = 1;
	}
}

static bool has(struct ph_pairs *p, struct ph_str value, uint64_t seed)
{
	if (!p->looked) {
		p->looked = true;
		for (size_t i = 0; i < p->chain->run_count; i++)
			if (!p->chain->runs[i].minted)
				look(p, p->chain->runs[i].items, true);
		look(p, p->new_items, false);
	}
	return ph_map_get(&p->answers, ph_text_hash(value, seed)) != 0;
}

bool ph_pairs_answered(struct ph_pairs *p, struct ph_str call_id)
{
	return has(p, call_id, SEED_CALL);
}

bool ph_pairs_settled(struct ph_pairs *p, struct ph_str approval_request_id)
{
	return has(p, approval_request_id, SEED_APPROVAL);
}
