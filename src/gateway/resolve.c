/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RESOLVE: what the ids in a request stand for, and so how the turn is continued. Three look-ups, each once:
 * the items that references name, the response that is compared with, and the chain behind the anchor. The
 * decision is the handbook's table (continuity, section 3).
 */
#include <stdlib.h>

#include "request_priv.h"

#define REFERENCES_MAX 1024
#define FORWARD_MAX    256

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

/* After one look-up: the next, or the machine. */
static void go_on(struct ph_request *r)
{
	int rc = ph_resolve_start_turn(r);

	if (rc)
		ph_request_event(r, rc);
}

/* ---- references ---- */

static void on_found(void *arg, const struct ph_found_item *items, size_t n, const struct ph_err *err)
{
	struct ph_request *r = arg;

	r->finding = NULL;
	if (err) {
		ph_request_event(r, away(r, err));
		return;
	}
	r->found = ph_arena_alloc(&r->arena, (n + 1) * sizeof *r->found);
	for (size_t i = 0; r->found && i < n; i++) {
		r->found[i] = items[i];
		r->found[i].id = ph_arena_dup(&r->arena, items[i].id);
		r->found[i].item = ph_arena_dup(&r->arena, items[i].item);
	}
	r->found_count = r->found ? n : 0;
	r->references_known = true;
	go_on(r);
}

/* Every id must be known, before any of them goes anywhere. */
static int check_references(struct ph_request *r, const struct ph_str *ids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < r->found_count && !ph_str_eq(ids[i], r->found[k].id))
			k++;
		if (k == r->found_count)
			return ph_fail_param(&r->fault, PH_E_ITEM_UNKNOWN, "input",
				"Item with id '%.*s' not found.",
				PH_STR_ARG(ids[i].n > 128 ? ph_str(ids[i].p, 128) : ids[i]));
	}
	return 0;
}

static int references(struct ph_request *r)
{
	struct ph_str *ids = ph_arena_alloc(&r->arena, REFERENCES_MAX * sizeof *ids);
	int n = ids ? ph_items_references(r->body.items, &r->arena, ids, REFERENCES_MAX) : -PH_E_PARAM_BAD;

	if (n < 0)
		return ph_fail_param(&r->fault, PH_E_PARAM_BAD, "input",
			"An item_reference needs one string 'id'; at most %d are accepted.", REFERENCES_MAX);
	if (r->references_known) {
		/* Items that only their account can read decide who serves an un-anchored turn, if it can. */
		if (r->found_count && !r->body.previous.n)
			r->choice.preferred = r->found[0].account;
		return check_references(r, ids, (size_t)n);
	}
	r->finding = ph_items_read(r->g->continuity, r->door.key->id, ids, (size_t)n, on_found, r);
	return 1; /* waits */
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
	if (a->kind != PH_PLATFORM || !ph_account_usable(a) || !ph_key_allows_account(r->door.key, a->id) ||
		!ph_account_serves(a, r->body.model))
		return false;
	for (size_t i = 0; i < r->choice.tried_count; i++)
		if (r->choice.tried[i] == a->id)
			return false;
	return true;
}

/* A busy owner does not make the turn wait while another account may have a slot: then it is replayed. */
static bool forwardable(const struct ph_request *r, const struct ph_account *a)
{
	return able(r, a) && !(a->max_streams && a->running >= a->max_streams);
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
	r->choice.required = 0;
	r->choice.kinds = 0;
	r->choice.preferred = r->chain->account;
	return 1;
}

/* Only the account could go on: it is waited for where it is merely busy. */
static int tied(struct ph_request *r, int64_t account, bool stored)
{
	const struct ph_account *a = ph_accounts_find(r->g->accounts, account);

	if (r->denied || !may_return(r, account))
		return anchor_unknown(r);
	if (a && stored && able(r, a))
		return forward_to(r, account);
	return ph_fail_param(&r->fault, PH_E_ACCOUNT_AWAY, "previous_response_id", "%s", "");
}

static int owned(struct ph_request *r)
{
	r->unknown = true;
	return tied(r, r->chain->account, true);
}

/* Nobody knows the id here: a platform account may. Once, to one of them; its "not found" becomes ours. */
static int nobody(struct ph_request *r)
{
	struct ph_account *a;
	enum ph_choice_verdict verdict;

	if (r->unknown && (r->denied || r->fault.code == PH_E_UPSTREAM_SILENT))
		return anchor_unknown(r);
	if (r->unknown)
		return ph_fail(
			&r->fault, r->limited ? PH_E_UPSTREAM_LIMITED : PH_E_UPSTREAM_FAILED, "%s", "");
	r->unknown = true;
	r->choice.kinds = 1 << PH_PLATFORM;
	r->choice.allowed = r->door.key->accounts;
	r->choice.allowed_count = r->door.key->account_count;
	r->choice.model = r->body.model;
	verdict = ph_account_choose(r->g->accounts, &r->choice, &a);
	if (verdict == PH_CHOICE_BUSY) /* no miss: whoever may know it could not be asked */
		return ph_fail(&r->fault, PH_E_ACCOUNTS_BUSY, "%s", "");
	if (verdict != PH_CHOSEN)
		return anchor_unknown(r);
	return forward_to(r, a->id);
}

static int start_reading(struct ph_request *r);

/* The chain was read whole only for the snapshot's sake: its owner could go on alone, and still can. */
static bool owner_goes_on(const struct ph_request *r)
{
	return r->fold_read && !r->denied && !r->failed && !r->owner_away;
}

static int decide(struct ph_request *r)
{
	struct ph_chain *chain = r->chain;

	switch (chain->status) {
	case PH_CHAIN_TIP:
		r->fold = ph_chain_must_fold(r->g->continuity, chain, r->body.store ? 0 : 1);
		if (!r->fold)
			return forward_to(r, chain->account);
		r->fold_read =
			true; /* once per retention and conversation: the snapshot needs the whole context */
		return start_reading(r);
	case PH_CHAIN_OK:
		r->fold = ph_chain_must_fold(r->g->continuity, chain, r->body.store ? 0 : 1);
		return owner_goes_on(r) ? forward_to(r, chain->account) : replay(r);
	case PH_CHAIN_PARTIAL:
		return tied(r, chain->account, (chain->flags & PH_TURN_STORED) != 0);
	case PH_CHAIN_BROKEN: /* it cannot be held whole, but its owner needs nothing of us */
		return owner_goes_on(r) ? forward_to(r, chain->account) : anchor_unknown(r);
	case PH_CHAIN_TOO_LARGE:
		if (owner_goes_on(r))
			return forward_to(r, chain->account);
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
		ph_request_event(r, away(r, err));
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

		if (n < FORWARD_MAX && forwardable(r, a))
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
		go_on(r);
}

/* Coming back here after a failed attempt: what was read whole need not be read again. */
int ph_resolve_start_turn(struct ph_request *r)
{
	int rc;

	if (r->body.references) {
		rc = references(r);
		if (rc)
			return rc < 0 ? rc : 0;
	}
	if (r->body.compared.n && !r->compared_known) {
		r->reading = ph_chain_read(
			r->g->continuity, r->door.key->id, r->body.compared, NULL, 0, on_compared, r);
		return 0;
	}
	if (r->body.previous.n == 0)
		return 1;
	if (r->chain && r->chain->status == PH_CHAIN_OK)
		return decide(r);
	if (r->chain && (r->chain->status == PH_CHAIN_NONE || r->chain->status == PH_CHAIN_OWNED))
		return decide(r);
	return start_reading(r);
}

void ph_resolve_cancel_turn(struct ph_request *r)
{
	if (r->reading) {
		ph_chain_cancel(r->reading);
		r->reading = NULL;
	}
	if (r->finding) {
		ph_items_cancel(r->finding);
		r->finding = NULL;
	}
}
