/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of two accounts that could both take a turn comes first. What each strategy means stands in
 * account.h; which accounts could take it at all is decided in choose.c.
 */
#include "account_priv.h"

/* Load per weight, compared without division. */
static int by_load(const struct ph_account *a, const struct ph_account *b)
{
	uint64_t la = (uint64_t)a->running * b->weight, lb = (uint64_t)b->running * a->weight;

	return (la > lb) - (la < lb);
}

static int by_quota(const struct ph_account *a, const struct ph_account *b)
{
	return a->health.used_percent - b->health.used_percent;
}

/* An account that could not be taken for a while is due now, and has no turns to catch up with. */
static uint64_t due(const struct ph_accounts *r, const struct ph_account *a)
{
	return a->turn > r->turn ? a->turn : r->turn;
}

/* Below 0: x comes first; 0: both are equal. */
static int least_loaded(
	const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *y)
{
	int load = by_load(x->a, y->a);

	(void)r;
	if (load)
		return load;
	return x->ready != y->ready ? (x->ready ? -1 : 1) : by_quota(x->a, y->a);
}

static int round_robin(
	const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *y)
{
	uint64_t dx = due(r, x->a), dy = due(r, y->a);

	return (dx > dy) - (dx < dy);
}

static int fill_first(const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *y)
{
	(void)r;
	return x->a->id < y->a->id ? -1 : 1;
}

static int priority(const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *y)
{
	(void)r;
	return by_quota(x->a, y->a);
}

static const struct {
	const char *name;
	int (*compare)(
		const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *y);
} strategies[PH_STRATEGY_NR] = {
	[PH_LEAST_LOADED] = {"least_loaded", least_loaded},
	[PH_ROUND_ROBIN] = {"round_robin", round_robin},
	[PH_FILL_FIRST] = {"fill_first", fill_first},
	[PH_PRIORITY] = {"priority", priority},
};

bool ph_accounts_set_strategy(struct ph_accounts *r, struct ph_str name)
{
	for (int i = 0; i < PH_STRATEGY_NR; i++) {
		if (ph_str_eq(name, ph_str_c(strategies[i].name))) {
			r->strategy = (enum ph_strategy)i;
			return true;
		}
	}
	return false;
}

bool ph_strategy_better(
	const struct ph_accounts *r, const struct ph_candidate *x, const struct ph_candidate *best)
{
	if (x->rests != best->rests)
		return best->rests;
	if (x->unlisted != best->unlisted)
		return best->unlisted;
	if (x->last != best->last)
		return best->last;
	if (x->a->priority != best->a->priority)
		return x->a->priority < best->a->priority;
	return strategies[r->strategy].compare(r, x, best) < 0;
}

/* Start-time fair queueing: each turn of an account is as long as its weight is small. */
void ph_strategy_took(struct ph_accounts *r, struct ph_account *a)
{
	r->turn = due(r, a);
	a->turn = r->turn + (UINT64_C(1) << PH_TURN_SHIFT) / a->weight;
}
