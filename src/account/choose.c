/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which account takes a turn. One pass over the accounts; each is either out for a reason, which is
 * remembered for the answer to the client, or compared with the best so far.
 */
#include "account_priv.h"

struct candidate {
	struct ph_account *a;
	bool rests;
	bool unlisted; /* its own list lacks the model: a list may be old, so it is only chosen late */
	bool last;     /* near its limit, and the conversation is new */
	bool ready;    /* without asking for a slot */
};

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

	return a->max_streams && ph_lease_room(a) == 0 &&
	       (l->starved || l->over || a->running >= a->max_streams);
}

/* Whether a slot can be had, or asked for. What is free belongs to those who came before. */
static enum ph_choice_verdict judge_slots(
	const struct ph_accounts *r, const struct ph_choice *c, const struct ph_account *a)
{
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
	return PH_CHOSEN;
}

bool ph_choice_allows(const struct ph_choice *c, const struct ph_account *a)
{
	return judge(c, a) == PH_CHOSEN;
}

/* Load per weight, compared without division. */
static int compare_load(const struct ph_account *a, const struct ph_account *b)
{
	uint64_t la = (uint64_t)a->running * b->weight, lb = (uint64_t)b->running * a->weight;

	return (la > lb) - (la < lb);
}

static bool better(const struct candidate *x, const struct candidate *best)
{
	const struct ph_account *a = x->a, *b = best->a;
	int load = compare_load(a, b);

	if (x->rests != best->rests)
		return best->rests;
	if (x->unlisted != best->unlisted)
		return best->unlisted;
	if (x->last != best->last)
		return best->last;
	if (a->priority != b->priority)
		return a->priority < b->priority;
	if (load)
		return load < 0;
	if (x->ready != best->ready)
		return x->ready;
	return a->health.used_percent < b->health.used_percent;
}

/* Milliseconds until a block ends, at least 1: the timer may be a grain behind. */
static uint64_t remaining(const struct ph_accounts *r, const struct ph_account *a)
{
	uint64_t now = ph_loop_now_ms(r->loop);

	return a->health.until_ms > now ? a->health.until_ms - now : 1;
}

enum ph_choice_verdict ph_account_choose(
	struct ph_accounts *r, const struct ph_choice *c, struct ph_chosen *ret)
{
	enum ph_choice_verdict verdict = PH_CHOICE_NONE;
	struct candidate best = {0};
	uint64_t after_ms = UINT64_MAX;

	*ret = (struct ph_chosen){0};
	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);
		enum ph_choice_verdict v = judge(c, a);
		struct candidate x = {.a = a};

		if (v == PH_CHOSEN)
			v = judge_slots(r, c, a);
		if (v > verdict)
			verdict = v;
		if ((v == PH_CHOICE_COOLING || v == PH_CHOICE_EXHAUSTED) && remaining(r, a) < after_ms)
			after_ms = remaining(r, a);
		if (v != PH_CHOSEN)
			continue;
		x.rests = ph_account_rests(r, a, c);
		x.unlisted = !ph_account_lists(a, c->model);
		x.last = c->fresh && a->health.nearly_exhausted;
		x.ready = !a->max_streams || ph_lease_room(a);
		if (a->id == c->preferred && !x.rests) {
			best = x;
			break;
		}
		if (!best.a || better(&x, &best))
			best = x;
	}
	if (verdict == PH_CHOICE_COOLING || verdict == PH_CHOICE_EXHAUSTED)
		ret->after_ms = after_ms;
	if (verdict != PH_CHOSEN)
		return verdict;
	/* Ties go round: whoever is chosen stands last next time. */
	ph_list_move(&best.a->node, &r->all);
	ret->account = best.a;
	return PH_CHOSEN;
}
