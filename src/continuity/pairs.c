/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls and their answers. Needed where a call may only go along with its answer (an unfinished one, an
 * approval that its account waits for), where an answer goes with its call, and where the only answer is not
 * sent. Joined by call_id; a local shell's call also by its id.
 */
#include "continuity_priv.h"

enum {
	SEED_CALL = 21,
	SEED_APPROVAL,
};

enum {
	ANSWERED = 1, /* by an output that is sent */
	OMITTED = 2,  /* by one that is not (7.1) */
};

void ph_pairs_init(struct ph_pairs *p, const struct ph_chain *chain, struct ph_str new_items)
{
	*p = (struct ph_pairs){.chain = chain, .new_items = new_items};
}

void ph_pairs_deinit(struct ph_pairs *p)
{
	ph_map_deinit(&p->answers);
	ph_map_deinit(&p->makers);
}

uint64_t ph_call_hash(const struct ph_item *it)
{
	if (ph_item_is(it, PH_STR("mcp_approval_request")))
		return ph_text_hash(it->m[PH_ITEM_ID], SEED_APPROVAL);
	if (ph_item_is(it, PH_STR("mcp_approval_response")))
		return ph_text_hash(it->m[PH_ITEM_APPROVAL], SEED_APPROVAL);
	if (ph_item_kind(it, PH_ITEM_CALL_ID) == PH_JSON_STRING)
		return ph_text_hash(it->m[PH_ITEM_CALL_ID], SEED_CALL);
	return ph_text_hash(it->m[PH_ITEM_ID], SEED_CALL);
}

static void look_at(
	struct ph_pairs *p, const struct ph_item *it, const struct ph_chain_run *run, bool settles)
{
	bool asks = ph_item_is_call(it) || ph_item_is(it, PH_STR("mcp_approval_request"));

	if (ph_item_is_output(it))
		*ph_map_at(&p->answers, ph_call_hash(it)) |= run && ph_item_omitted(it) ? OMITTED : ANSWERED;
	else if (settles && ph_item_is(it, PH_STR("mcp_approval_response")))
		*ph_map_at(&p->answers, ph_call_hash(it)) |= ANSWERED;
	else if (asks && run && run->minted)
		*ph_map_at(&p->makers, ph_call_hash(it)) = (uint64_t)run->account;
}

/* Offset behind the list's last item that an account made, in a list that a client carries along. */
static size_t last_made(struct ph_str items)
{
	struct ph_item it;
	size_t last = 0;

	for (size_t at = 0; ph_items_look_next(items, &at, &it);)
		if (ph_item_output_like(&it))
			last = at;
	return last;
}

/* An approval of the chain was taken long ago; one of the request's own only if its account went on behind
 * it: else the account still waits for it. */
static void look(struct ph_pairs *p, struct ph_str items, const struct ph_chain_run *run)
{
	size_t settled = run ? SIZE_MAX : last_made(items);
	struct ph_item it;

	for (size_t at = 0; ph_items_look_next(items, &at, &it);)
		look_at(p, &it, run, at < settled);
}

static void look_once(struct ph_pairs *p)
{
	if (p->looked)
		return;
	p->looked = true;
	for (size_t i = 0; p->chain && i < p->chain->run_count; i++)
		look(p, p->chain->runs[i].items, &p->chain->runs[i]);
	look(p, p->new_items, NULL);
}

static uint64_t answers(struct ph_pairs *p, const struct ph_item *call)
{
	uint64_t found;

	look_once(p);
	found = ph_map_get(&p->answers, ph_call_hash(call));
	if (ph_item_is(call, PH_STR("local_shell_call")))
		found |= ph_map_get(&p->answers, ph_text_hash(call->m[PH_ITEM_ID], SEED_CALL));
	return found;
}

bool ph_pairs_answered(struct ph_pairs *p, const struct ph_item *call)
{
	return answers(p, call) & ANSWERED;
}

bool ph_pairs_omitted(struct ph_pairs *p, const struct ph_item *call)
{
	return answers(p, call) == OMITTED;
}

bool ph_pairs_settled(struct ph_pairs *p, const struct ph_item *approval_request)
{
	return answers(p, approval_request) != 0;
}

int64_t ph_pairs_maker(struct ph_pairs *p, const struct ph_item *answer)
{
	look_once(p);
	return (int64_t)ph_map_get(&p->makers, ph_call_hash(answer));
}
