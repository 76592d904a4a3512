/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which account takes a turn. One pass over the accounts; each is either out for a reason, which is
 * remembered for the answer to the client, or compared with the best so far (strategy.c).
 */
#include "account_priv.h"

#define NO_RESET_MS 60000 /* an account above its bound, and nobody knows when its window ends */

static bool tried(const struct ph_choice *c, int64_t id)
{
	for (size_t i = 0; i < c->tried_count; i++)
		if (c->tried[i] == id)
			return true;
	return false;
}

static bool allowed(const struct ph_choice *c, int64_t id)
{
	for (size_t i = 0; i < c->allowed_count; i++)
		if (c->allowed[i] == id)
			return true;
	return c->allowed_count == 0;
}

bool ph_account_full(const struct ph_account *a)
{
	const struct ph_lease *l = &a->lease;

	return ph_probe_holds(a) || (a->max_streams && ph_lease_room(a) == 0 &&
					    (l->starved || l->over || a->running >= a->max_streams));
}

bool ph_account_over(const struct ph_account *a)
{
	return a->max_used_percent && a->health.used_percent > a->max_used_percent;
}

/* Whether a slot can be had, or asked for. What is free belongs to those who came before. */
static enum ph_choice_verdict judge_slots(
	const struct ph_accounts *r, const struct ph_choice *c, const struct ph_account *a)
{
	if (ph_probe_holds(a))
		return PH_CHOICE_BUSY;
	if (!a->max_streams)
		return PH_CHOSEN;
	if (ph_lease_room(a) == 0 && (!r->member || ph_member_away(r->member)))
		return a->running && !a->lease.excess ? PH_CHOICE_BUSY : PH_CHOICE_AWAY;
	if (ph_account_full(a) || (!c->queued && ph_accounts_waiting(r, a, 1)))
		return PH_CHOICE_BUSY;
	return PH_CHOSEN;
}

/* Why this account cannot take the turn whatever its slots, or PH_CHOSEN. A block that ends tells the client
 * more than that the account was tried. */
static enum ph_choice_verdict judge(const struct ph_choice *c, const struct ph_account *a)
{
	bool blocked = ph_account_blocked(a) && !a->sealed_badly;

	if (!(ph_account_usable(a) || blocked) || !allowed(c, a->id) ||
		(c->required && c->required != a->id) || (c->kinds && !(c->kinds & 1 << a->kind)))
		return PH_CHOICE_NONE;
	if (!ph_account_serves(a, c->model))
		return PH_CHOICE_MODEL;
	if (blocked)
		return a->state == PH_ACCOUNT_COOLING ? PH_CHOICE_COOLING : PH_CHOICE_EXHAUSTED;
	if (tried(c, a->id))
		return PH_CHOICE_TRIED;
	return c->fresh && ph_account_over(a) ? PH_CHOICE_EXHAUSTED : PH_CHOSEN;
}

bool ph_choice_allows(const struct ph_choice *c, const struct ph_account *a)
{
	return judge(c, a) == PH_CHOSEN;
}

bool ph_account_spared(struct ph_accounts *r, const struct ph_choice *c, const struct ph_account *a)
{
	struct ph_choice other = *c;

	if (!ph_account_over(a))
		return false;
	other.required = 0;
	other.kinds = 0;
	PH_LIST_EACH (it, &r->all) {
		const struct ph_account *b = PH_CONTAINER(it, struct ph_account, node);

		if (!ph_account_over(b) && judge(&other, b) == PH_CHOSEN)
			return true;
	}
	return false;
}

/* Milliseconds until it can be used again, at least 1: the timer may be a grain behind. */
static uint64_t remaining(const struct ph_accounts *r, const struct ph_account *a)
{
	uint64_t now = ph_loop_now_ms(r->loop), until = a->health.until_ms;

	if (!ph_account_blocked(a))
		until = a->health.used_until_ms ? a->health.used_until_ms : now + NO_RESET_MS;
	return until > now ? until - now : 1;
}

static bool is_preferred(const struct ph_choice *c, const struct ph_candidate *x)
{
	return x->a->id == c->preferred && !x->rests && !ph_account_over(x->a);
}

static struct ph_candidate candidate(
	const struct ph_accounts *r, const struct ph_choice *c, struct ph_account *a)
{
	return (struct ph_candidate){
		.a = a,
		.rests = ph_account_rests(r, a, c),
		.unlisted = !ph_account_lists(a, c->model),
		.last = ph_account_over(a) || (c->fresh && a->health.nearly_exhausted),
		.ready = !a->max_streams || ph_lease_room(a),
	};
}

enum ph_choice_verdict ph_account_choose(
	struct ph_accounts *r, const struct ph_choice *c, struct ph_chosen *ret)
{
	enum ph_choice_verdict verdict = PH_CHOICE_NONE;
	struct ph_candidate best = {0};
	uint64_t after_ms = UINT64_MAX;

	*ret = (struct ph_chosen){0};
	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);
		enum ph_choice_verdict v = judge(c, a);
		struct ph_candidate x;

		if (v == PH_CHOSEN)
			v = judge_slots(r, c, a);
		if (v > verdict)
			verdict = v;
		if ((v == PH_CHOICE_COOLING || v == PH_CHOICE_EXHAUSTED) && remaining(r, a) < after_ms)
			after_ms = remaining(r, a);
		if (v != PH_CHOSEN)
			continue;
		x = candidate(r, c, a);
		if (is_preferred(c, &x)) {
			best = x;
			break;
		}
		if (!best.a || ph_strategy_better(r, &x, &best))
			best = x;
	}
	if (verdict == PH_CHOICE_COOLING || verdict == PH_CHOICE_EXHAUSTED)
		ret->after_ms = after_ms;
	if (verdict != PH_CHOSEN)
		return verdict;
	if (!is_preferred(c, &best))
		ph_strategy_took(r, best.a);
	/* Ties go round: whoever is chosen stands last next time. */
	ph_list_move(&best.a->node, &r->all);
	ret->account = best.a;
	return PH_CHOSEN;
}
