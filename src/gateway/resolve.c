/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESOLVE: what the ids in a request stand for, and so how the turn is continued. Four look-ups, each once:
 * what an upstream keeps of what it names (owned_turn.c), the items that references name, the response that
 * is compared with, and the chain behind the anchor. The decision is the handbook's table (continuity,
 * section 3).
 */
#include <stdlib.h>

#include "owner.h"
#include "request_priv.h"

#define IDS_MAX     1024
#define FORWARD_MAX 256
#define ABLE_MAX    256
/* After an outage nodes write what they acknowledged meanwhile; they connect again within a second. */
#define BACK_MS   5000
#define BACK_EACH 250

static int anchor_unknown(struct ph_request *r)
{
	return ph_fail_param(&r->fault, PH_E_ANCHOR_UNKNOWN, "previous_response_id",
		"Previous response with id '%.*s' not found.", PH_STR_ARG(r->body.previous));
}

static int away(struct ph_request *r, const struct ph_err *err)
{
	return ph_fail(&r->fault, err->code == PH_E_DATABASE_ERROR ? PH_E_DATABASE_ERROR : PH_E_DATABASE_AWAY,
		"%s", err->detail);
}

void ph_resolve_go_on(struct ph_request *r)
{
	int rc = ph_resolve_start_turn(r);

	if (rc)
		ph_request_event(r, rc);
}

/* ---- the ids that the input names or carries ---- */

static const struct ph_found_item *found_of(const struct ph_request *r, struct ph_str id)
{
	for (size_t i = 0; r->found && i < r->found->n; i++)
		if (ph_str_eq(r->found->items[i].id, id))
			return &r->found->items[i];
	return NULL;
}

static void on_found(void *arg, struct ph_found *found, const struct ph_err *err)
{
	struct ph_request *r = arg;

	r->finding = NULL;
	if (err && r->body.references) {
		ph_request_event(r, away(r, err));
		return;
	}
	/* Without the store a history goes out as it was sent; what upstream refuses of it is repaired. */
	r->ids_known = true;
	r->found = ph_found_free(r->found);
	r->found = found;
	ph_resolve_go_on(r);
}

/* Compaction items of accounts that can take them need not be looked behind; none can once one refused. */
static int find(struct ph_request *r)
{
	int64_t able[ABLE_MAX];
	size_t n = 0;

	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (n < ABLE_MAX && !r->strip && ph_lease_eligible(r, a))
			able[n++] = a->id;
	}
	r->finding =
		ph_items_read(r->g->continuity, r->door.key->id, r->ids, r->id_count, able, n, on_found, r);
	return 0;
}

/* Whether a compaction item's account dropped out, and what it stands for was not read. */
static bool must_look_behind(const struct ph_request *r)
{
	for (size_t i = 0; i < r->id_count; i++) {
		const struct ph_found_item *f = r->ids[i].compaction ? found_of(r, r->ids[i].id) : NULL;
		const struct ph_account *a = f ? ph_accounts_find(r->g->accounts, f->account) : NULL;

		if (f && !f->before && (r->strip || !a || !ph_lease_eligible(r, a)))
			return !r->looked_behind;
	}
	return false;
}

/* Every reference must be known, before any of them goes anywhere. */
static int check_references(struct ph_request *r)
{
	for (size_t i = 0; i < r->id_count; i++) {
		struct ph_str id = r->ids[i].id;

		if (r->ids[i].reference && !found_of(r, id))
			return ph_fail_param(&r->fault, PH_E_ITEM_UNKNOWN, "input",
				"Item with id '%.*s' not found.",
				PH_STR_ARG(id.n > 128 ? ph_str(id.p, 128) : id));
	}
	return 1;
}

/* Whoever made the newest of them can read its own, and has the rest in its prompt cache. */
static void prefer_maker(struct ph_request *r)
{
	for (size_t i = r->id_count; i > 0; i--) {
		const struct ph_found_item *f = found_of(r, r->ids[i - 1].id);

		if (f) {
			r->choice.preferred = f->account;
			return;
		}
	}
}

static int read_ids(struct ph_request *r)
{
	int n;

	r->ids = ph_arena_alloc(&r->arena, IDS_MAX * sizeof *r->ids);
	n = r->ids ? ph_items_ids(r->body.items, &r->arena, r->ids, IDS_MAX) : -PH_E_PARAM_BAD;
	if (n < 0)
		return ph_fail_param(&r->fault, PH_E_PARAM_BAD, "input",
			"An item_reference needs one string 'id'; at most %d are accepted.", IDS_MAX);
	r->id_count = (size_t)n;
	return 1;
}

/* 1: known; 0: waits. */
static int ids(struct ph_request *r)
{
	int rc = r->ids ? 1 : read_ids(r);

	if (rc < 0 || r->id_count == 0)
		return rc;
	if (!r->ids_known)
		return find(r);
	if (must_look_behind(r)) {
		r->looked_behind = true;
		return find(r);
	}
	if (r->body.previous.n == 0)
		prefer_maker(r);
	return check_references(r);
}

/* ---- the decision ---- */

static bool may_return(struct ph_request *r, int64_t account)
{
	struct ph_account *a = ph_accounts_find(r->g->accounts, account);

	return a && a->state != PH_ACCOUNT_DISABLED && ph_key_allows_account(r->door.key, account);
}

/* Could go on with an id of its own, if it has a slot. */
static bool able(const struct ph_request *r, const struct ph_account *a)
{
	return a->kind == PH_PLATFORM && ph_lease_eligible(r, a);
}

/* A busy owner does not make the turn wait while another account may have a slot: then it is replayed; nor
 * does one that is to be spared get it. */
static bool forwardable(const struct ph_request *r, const struct ph_account *a)
{
	return able(r, a) && !ph_account_full(a) && !ph_account_spared(r->g->accounts, &r->choice, a);
}

static int forward_to(struct ph_request *r, int64_t account)
{
	r->mode = PH_MODE_FORWARDED;
	r->choice.required = account;
	r->choice.preferred = 0;
	return 1;
}

static int replay(struct ph_request *r)
{
	r->mode = PH_MODE_REPLAYED;
	r->choice.required = r->bound_to;
	r->choice.kinds = ph_ask_kinds(r);
	r->choice.preferred = r->stay ? r->stay : r->chain->account;
	return 1;
}

/* On the socket that has the anchor as its latest response, without a word to the database. */
static int go_live(struct ph_request *r)
{
	r->mode = PH_MODE_LIVE;
	r->choice.required = r->lane->account;
	r->choice.preferred = 0;
	r->choice.kinds = 0;
	return 1;
}

/* Only the account could go on: it is waited for where it is merely busy. */
static int tied(struct ph_request *r, int64_t account, bool stored)
{
	const struct ph_account *a = ph_accounts_find(r->g->accounts, account);

	if (r->bound_to && r->bound_to != account)
		return ph_fail_param(&r->fault, PH_E_IDS_MIXED, "previous_response_id", "%s", "");
	if (r->denied || !may_return(r, account))
		return anchor_unknown(r);
	if (a && stored && able(r, a))
		return forward_to(r, account);
	r->after_ms = a ? ph_lease_returns_ms(r, a) : 0;
	return ph_fail_param(&r->fault, PH_E_ACCOUNT_AWAY, "previous_response_id", "%s", "");
}

static int start_reading(struct ph_request *r);

/* A background response that has finished has a row now. */
static void on_owner(void *arg, const struct ph_owner_answer *answer)
{
	struct ph_request *r = arg;
	int rc;

	r->asking = NULL;
	if (answer->kept) {
		r->chain = ph_chain_free(r->chain);
		rc = start_reading(r);
	} else if (answer->over) {
		rc = anchor_unknown(r);
	} else {
		r->unknown = true;
		rc = tied(r, r->chain->account, true);
	}
	if (rc)
		ph_request_event(r, rc);
}

/* Only its account knows what stands behind the id; it is asked once whether that is a response which ran in
 * the background and is over by now. */
static int owned(struct ph_request *r)
{
	if (r->asked_owner || !r->x) {
		r->unknown = true;
		return tied(r, r->chain->account, true);
	}
	r->asked_owner = true;
	r->asking = ph_owner_ask(r->g, r->x, r->door.key, r->body.previous, on_owner, r);
	return 0;
}

/* Nobody knows the id here: a platform account may. Once, to one of them; its "not found" becomes ours. Where
 * the database was away, the row may be on its way: looked for again, for a while. */
static int nobody(struct ph_request *r)
{
	enum ph_choice_verdict verdict;
	struct ph_chosen chosen;

	if (!r->unknown && ph_pg_just_back(r->g->pg, BACK_MS)) {
		ph_timer_start(&r->timer, BACK_EACH);
		return 0;
	}
	if (r->unknown && (r->denied || r->fault.code == PH_E_UPSTREAM_SILENT))
		return anchor_unknown(r);
	if (r->unknown)
		return ph_fail(&r->fault, r->failed ? PH_E_UPSTREAM_FAILED : PH_E_ACCOUNTS_BUSY, "%s", "");
	r->unknown = true;
	r->choice.kinds = 1 << PH_PLATFORM;
	r->choice.required = r->bound_to;
	verdict = ph_account_choose(r->g->accounts, &r->choice, &chosen);
	switch (verdict) {
	case PH_CHOSEN:
		return forward_to(r, chosen.account->id);
	case PH_CHOICE_BUSY: /* no miss: whoever may know it could not be asked */
	case PH_CHOICE_COOLING:
	case PH_CHOICE_EXHAUSTED:
		r->after_ms = chosen.after_ms;
		return ph_fail(&r->fault, PH_E_ACCOUNTS_BUSY, "%s", "");
	default:
		return anchor_unknown(r);
	}
}

/* The chain was read whole only for the turns to come: its owner could go on alone, and still can. */
static bool owner_goes_on(const struct ph_request *r)
{
	return r->fold_read && !r->denied && !r->failed && !r->owner_away && !r->live_lost;
}

static int go_on(struct ph_request *r)
{
	return r->live ? go_live(r) : forward_to(r, r->chain->account);
}

/* Its owner could go on by the tip alone. But once per retention and conversation the snapshot needs the
 * whole context, and a lane does where this turn leaves no row. */
static bool wants_whole(struct ph_request *r)
{
	r->fold = r->ask != PH_ASK_TOKENS &&
		  ph_chain_must_fold(r->g->continuity, r->chain, r->body.store ? 0 : 1);
	r->fold_read = r->fold || (r->lane && !ph_record_keeps(r));
	return r->fold_read;
}

static int decide(struct ph_request *r)
{
	struct ph_chain *chain = r->chain;

	switch (chain->status) {
	case PH_CHAIN_TIP:
		return wants_whole(r) ? start_reading(r) : forward_to(r, chain->account);
	case PH_CHAIN_OK:
		r->fold = ph_chain_must_fold(r->g->continuity, chain, r->body.store ? 0 : 1);
		return owner_goes_on(r) ? go_on(r) : replay(r);
	case PH_CHAIN_PARTIAL:
		return tied(r, chain->account, (chain->flags & PH_TURN_STORED) != 0);
	case PH_CHAIN_BROKEN: /* it cannot be held whole, but its owner needs nothing of us */
		return owner_goes_on(r) ? go_on(r) : anchor_unknown(r);
	case PH_CHAIN_TOO_LARGE:
		if (owner_goes_on(r))
			return go_on(r);
		return ph_fail_param(&r->fault, PH_E_CHAIN_TOO_LARGE, "input", "%s", "");
	case PH_CHAIN_OWNED:
		return owned(r);
	case PH_CHAIN_NONE:
		return nobody(r);
	default:
		return anchor_unknown(r);
	}
}

/* ---- the chain ---- */

static void on_chain(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	struct ph_request *r = arg;

	r->reading = NULL;
	if (err) {
		/* What was read for the snapshot's sake alone can wait for another turn. */
		ph_request_event(r, r->live ? go_live(r) : away(r, err));
		return;
	}
	r->chain = ph_chain_free(r->chain);
	r->chain = chain;
	int rc = decide(r);
	if (rc)
		ph_request_event(r, rc);
}

/* Accounts that could go on with an id of theirs. None once one denied its own. */
static size_t forward_list(struct ph_request *r, int64_t ids[FORWARD_MAX])
{
	size_t n = 0;

	if (r->denied || r->owner_away || r->fold_read)
		return 0;
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts)) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (n < FORWARD_MAX && forwardable(r, a) && (!r->bound_to || r->bound_to == a->id))
			ids[n++] = a->id;
	}
	return n;
}

static int start_reading(struct ph_request *r)
{
	int64_t forward[FORWARD_MAX];
	size_t n = forward_list(r, forward);

	r->reading =
		ph_chain_read(r->g->continuity, r->door.key->id, r->body.previous, forward, n, on_chain, r);
	return 0;
}

static void on_compared(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	struct ph_request *r = arg;
	bool own = chain && chain->status <= PH_CHAIN_OWNED && chain->status != PH_CHAIN_HIDDEN;

	r->reading = NULL;
	r->compared_known = true;
	ph_chain_free(chain);
	if (err)
		ph_request_event(r, away(r, err));
	else if (!own)
		ph_request_event(
			r, ph_fail_param(&r->fault, PH_E_RESPONSE_UNKNOWN, "prompt_cache_options",
				   "Response with id '%.*s' not found.", PH_STR_ARG(r->body.compared)));
	else
		ph_resolve_go_on(r);
}

static void prepare_choice(struct ph_request *r)
{
	r->choice.allowed = r->door.key->accounts;
	r->choice.allowed_count = r->door.key->account_count;
	r->choice.model = r->body.model;
	r->choice.kinds = ph_ask_kinds(r);
	if (r->x && !r->choice.client.p)
		r->choice.client = ph_arena_dup(&r->arena, ph_head_get(r->x->head, PH_STR("originator")));
}

/* No anchor: any account will do, but for what the input itself binds. */
static int unanchored(struct ph_request *r)
{
	r->choice.required = r->bound_to;
	if (r->stay)
		r->choice.preferred = r->stay;
	r->choice.fresh = r->choice.preferred == 0;
	return 1;
}

/* ---- the lane ---- */

/* Row A1 of the table; and what the lane remembers of a turn that left no row (A4). */
static bool lane_goes_on(struct ph_request *r)
{
	struct ph_lane *lane = r->lane;

	r->live = ph_lane_live(r) && (!r->bound_to || r->bound_to == lane->account);
	if (!r->chain && lane && (r->live || (lane->known && lane->known->held)))
		r->chain = ph_lane_take_known(lane, r->body.previous);
	return r->live;
}

static int live(struct ph_request *r)
{
	struct ph_chain *chain = r->chain;

	if (!chain || chain->status != PH_CHAIN_TIP || r->fold_read || !wants_whole(r))
		return go_live(r);
	return start_reading(r);
}

/* Coming back here after a failed attempt: what was read whole need not be read again. */
int ph_resolve_start_turn(struct ph_request *r)
{
	int rc;

	prepare_choice(r);
	rc = ph_ask_possible(r);
	if (rc)
		return rc;
	rc = ph_turn_owned(r);
	if (rc <= 0)
		return rc;
	if (r->body.references || r->body.carried) {
		rc = ids(r);
		if (rc <= 0)
			return rc;
	}
	if (r->body.compared.n && !r->compared_known) {
		r->reading = ph_chain_read(
			r->g->continuity, r->door.key->id, r->body.compared, NULL, 0, on_compared, r);
		return 0;
	}
	if (r->body.previous.n == 0)
		return unanchored(r);
	if (!r->lane && r->ask == PH_ASK_RESPONSE)
		r->lane = ph_lane_find(r->g, r->door.key->id, r->body.previous);
	if (lane_goes_on(r))
		return live(r);
	if (r->chain && r->chain->status == PH_CHAIN_OK)
		return decide(r);
	if (r->chain && (r->chain->status == PH_CHAIN_NONE || r->chain->status == PH_CHAIN_OWNED))
		return decide(r);
	return start_reading(r);
}

void ph_resolve_again(struct ph_request *r)
{
	r->chain = ph_chain_free(r->chain);
	ph_resolve_go_on(r);
}

void ph_resolve_cancel_turn(struct ph_request *r)
{
	ph_turn_owned_cancel(r);
	if (r->reading) {
		ph_chain_cancel(r->reading);
		r->reading = NULL;
	}
	if (r->finding) {
		ph_items_cancel(r->finding);
		r->finding = NULL;
	}
	if (r->asking) {
		ph_owner_cancel(r->asking);
		r->asking = NULL;
	}
}
