/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which account takes a turn. One pass over the accounts; each is either out for a reason, which is
 * remembered for the answer to the client, or compared with the best so far.
 */
#include "account_priv.h"

#define DEMOTED_MS     1000
#define DEMOTED_MAX_MS 30000

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

static bool full(const struct ph_account *a)
{
	return a->max_streams && a->running >= a->max_streams;
}

static bool demoted(const struct ph_accounts *r, const struct ph_account *a)
{
	return a->demoted_until_ms > ph_loop_now_ms(r->loop);
}

/* Why this account cannot take the turn now, or PH_CHOSEN. */
static enum ph_choice_verdict judge(const struct ph_choice *c, const struct ph_account *a)
{
	if (!ph_account_usable(a) || !allowed(c, a->id) || (c->required && c->required != a->id) ||
		(c->kinds && !(c->kinds & 1 << a->kind)))
		return PH_CHOICE_NONE;
	if (!ph_account_serves(a, c->model))
		return PH_CHOICE_MODEL;
	if (tried(c, a->id))
		return PH_CHOICE_TRIED;
	return full(a) ? PH_CHOICE_BUSY : PH_CHOSEN;
}

/* Load per weight, compared without division. */
static bool lighter(const struct ph_account *a, const struct ph_account *b)
{
	return (uint64_t)a->running * b->weight < (uint64_t)b->running * a->weight;
}

static bool better(const struct ph_accounts *r, const struct ph_account *a, const struct ph_account *best)
{
	bool da = demoted(r, a), db = demoted(r, best);

	if (da != db)
		return db;
	if (a->priority != best->priority)
		return a->priority < best->priority;
	return lighter(a, best);
}

/* Of several reasons the one that tells the client most: waiting helps before trying, trying before knowing
 * nothing. */
static int weight_of(enum ph_choice_verdict v)
{
	static const int order[] = {[PH_CHOICE_NONE] = 0,
		[PH_CHOICE_MODEL] = 1,
		[PH_CHOICE_TRIED] = 2,
		[PH_CHOICE_BUSY] = 3,
		[PH_CHOSEN] = 4};

	return order[v];
}

enum ph_choice_verdict ph_account_choose(
	struct ph_accounts *r, const struct ph_choice *c, struct ph_account **ret)
{
	enum ph_choice_verdict verdict = PH_CHOICE_NONE;
	struct ph_account *best = NULL;

	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);
		enum ph_choice_verdict v = judge(c, a);

		if (weight_of(v) > weight_of(verdict))
			verdict = v;
		if (v != PH_CHOSEN)
			continue;
		if (a->id == c->preferred && !demoted(r, a)) {
			best = a;
			break;
		}
		if (!best || better(r, a, best))
			best = a;
	}
	if (verdict != PH_CHOSEN)
		return verdict;
	/* Ties go round: whoever is chosen stands last next time. */
	ph_list_move(&best->node, &r->all);
	*ret = best;
	return PH_CHOSEN;
}

void ph_account_failed(struct ph_accounts *r, struct ph_account *a, uint64_t after_ms)
{
	unsigned n = a->failures < 5 ? a->failures : 5;

	a->failures++;
	if (after_ms == 0)
		after_ms = (uint64_t)DEMOTED_MS << n;
	if (after_ms > DEMOTED_MAX_MS)
		after_ms = DEMOTED_MAX_MS;
	a->demoted_until_ms = ph_loop_now_ms(r->loop) + after_ms;
}

void ph_account_worked(struct ph_account *a)
{
	a->failures = 0;
	a->demoted_until_ms = 0;
}
