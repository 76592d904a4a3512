/* SPDX-License-Identifier: Apache-2.0 */
/* What a node still knows of the turn that it has just finished: the tip of a chain whose rows are in the
 * database, or the whole context of one that leaves no rows. */
#include "continuity_priv.h"
#include "posthouse/clock.h"

#define DAY_MS     (UINT64_C(24) * 60 * 60 * 1000)
#define EPOCH_DAYS 10957 /* from 1970 to 2000, where the days of rows are counted from */

static struct ph_chain *chain_new(const struct ph_turn_record *t, size_t max)
{
	struct ph_chain *chain = ph_alloc(sizeof *chain);

	ph_arena_init(&chain->arena, max);
	chain->id = ph_arena_dup(&chain->arena, t->response_id);
	chain->account = t->account;
	chain->class = t->class;
	chain->flags = ph_turn_flags(t);
	chain->depth = t->parent && !t->fold ? t->parent->depth + 1 : 1;
	chain->day = PH_DAY_UNKNOWN;
	chain->today = (int32_t)(ph_clock_unix_ms() / DAY_MS) - EPOCH_DAYS;
	return chain;
}

/* As commit_turn() sets it: no row outlives the one it is read with. */
static int32_t until_of(const struct ph_continuity *c, const struct ph_turn_record *t, int32_t today)
{
	int32_t own = today + (int32_t)(2 * c->retention_days[t->class]);

	if (!t->parent || t->fold || t->parent->until > own)
		return own;
	return t->parent->until;
}

struct ph_chain *ph_chain_tip(const struct ph_continuity *c, const struct ph_turn_record *t)
{
	struct ph_chain *chain = chain_new(t, 64 * 1024);

	chain->status = chain->flags & PH_TURN_PARTIAL ? PH_CHAIN_PARTIAL : PH_CHAIN_TIP;
	chain->until = until_of(c, t, chain->today);
	return chain;
}

static void add_run(struct ph_chain *chain, const struct ph_chain_run *run)
{
	struct ph_chain_run *copy = &chain->runs[chain->run_count];

	if (run->items.n == 0)
		return;
	*copy = *run;
	copy->items = ph_arena_dup(&chain->arena, run->items);
	chain->bytes += copy->items.n;
	chain->run_count++;
}

struct ph_chain *ph_chain_hold(const struct ph_turn_record *t, const struct ph_chain *before, size_t max)
{
	size_t runs = before ? before->run_count : 0;
	struct ph_items_facts facts;
	struct ph_chain *chain;

	if (before && before->status != PH_CHAIN_OK)
		return NULL;
	if ((before ? before->bytes : 0) + t->input.n + t->output.n > max)
		return NULL;
	chain = chain_new(t, 2 * max + 64 * 1024);
	chain->status = PH_CHAIN_OK;
	chain->held = true;
	chain->runs = ph_arena_alloc(&chain->arena, (runs + 2) * sizeof *chain->runs);
	for (size_t i = 0; i < runs; i++)
		add_run(chain, &before->runs[i]);
	ph_items_look(t->input, &facts);
	add_run(chain, &(struct ph_chain_run){t->input, t->account, false, false, facts.output_like});
	add_run(chain, &(struct ph_chain_run){t->output, t->account, true, t->stored_upstream, false});
	return chain;
}
