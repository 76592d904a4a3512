/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a chain: one call to the database, and the rows put in order as runs of items. */
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/metrics.h"

/* Room that a new turn needs below the hop limit, so that no reader ever meets a chain that is too deep. */
#define FOLD_DEPTH (PH_HOPS_MAX - 8)

enum {
	REPLAY_HIT,
	REPLAY_MISS,
	REPLAY_BROKEN,
	REPLAY_UNAVAILABLE
};

enum {
	STATUS,
	TODAY,
	HOP,
	RESPONSE_ID,
	ACCOUNT,
	DAY,
	CLASS,
	FLAGS,
	DEPTH,
	UNTIL,
	CREATED,
	CODEC,
	INPUT,
	OUTPUT,
	RUNS,
};

enum {
	WHOLE = -1
};

struct ph_chain_read {
	struct ph_continuity *c;
	int64_t scope;
	int64_t position; /* the chain ends before this place of its newest output, or WHOLE */
	struct ph_inside inside;
	struct ph_allowance own;
	struct ph_pg_call *call;       /* first this */
	struct ph_chain *chain;        /* then what was read, */
	struct ph_items_read *finding; /* while what it names is found */
	ph_chain_cb cb;
	void *arg;
};

struct ph_continuity *ph_continuity_new(
	struct ph_loop *loop, struct ph_pg *pg, const struct ph_continuity_options *o)
{
	struct ph_continuity *c = ph_alloc(sizeof *c);

	c->loop = loop;
	c->pg = pg;
	c->max_bytes = o->max_bytes;
	ph_continuity_set_retention(c, o->retention_days, o->retention_unstored_days);
	return c;
}

struct ph_continuity *ph_continuity_free(struct ph_continuity *c)
{
	free(c);
	return NULL;
}

void ph_continuity_set_retention(struct ph_continuity *c, double days, double unstored_days)
{
	c->retention_days[0] = days;
	c->retention_days[1] = unstored_days;
}

bool ph_chain_must_fold(const struct ph_continuity *c, const struct ph_chain *chain, int class)
{
	if (chain->flags & PH_TURN_PARTIAL || chain->status == PH_CHAIN_PARTIAL)
		return false; /* it cannot be held whole, so it stays tied to its account */
	return chain->depth >= FOLD_DEPTH || chain->until < (double)chain->today + c->retention_days[class];
}

struct ph_chain *ph_chain_free(struct ph_chain *chain)
{
	if (!chain)
		return NULL;
	ph_found_free(chain->found);
	ph_pg_result_free(chain->rows);
	ph_arena_deinit(&chain->arena);
	free(chain);
	return NULL;
}

/* ---- rows to runs ---- */

static enum ph_chain_status status_of(struct ph_str s)
{
	static const struct {
		struct ph_str name;
		enum ph_chain_status status;
	} names[] = {
		{PH_STR_INIT("ok"), PH_CHAIN_OK},
		{PH_STR_INIT("tip"), PH_CHAIN_TIP},
		{PH_STR_INIT("partial"), PH_CHAIN_PARTIAL},
		{PH_STR_INIT("too_large"), PH_CHAIN_TOO_LARGE},
		{PH_STR_INIT("too_deep"), PH_CHAIN_TOO_LARGE},
		{PH_STR_INIT("hidden"), PH_CHAIN_HIDDEN},
		{PH_STR_INIT("ambiguous"), PH_CHAIN_HIDDEN},
		{PH_STR_INIT("owned"), PH_CHAIN_OWNED},
		{PH_STR_INIT("foreign"), PH_CHAIN_FOREIGN},
		{PH_STR_INIT("none"), PH_CHAIN_NONE},
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (ph_str_eq(s, names[i].name))
			return names[i].status;
	return PH_CHAIN_BROKEN;
}

static void add_run(struct ph_chain *chain, struct ph_chain_run run)
{
	chain->bytes += run.items.n;
	if (run.items.n)
		chain->runs[chain->run_count++] = run;
}

/* The context that a self-contained row holds before its own turn. It is the oldest row: nothing is there
 * yet. */
static int add_folded(struct ph_chain *chain, struct ph_str context, size_t rows)
{
	struct ph_chain_run *runs;
	size_t n;
	int rc = ph_runs_read(context, &chain->arena, &runs, &n);

	if (rc == 0 && chain->run_count)
		rc = -PH_E_INTERNAL;
	if (rc)
		return rc;
	chain->runs = ph_arena_alloc(&chain->arena, (n + 2 * rows) * sizeof *chain->runs);
	if (!chain->runs)
		return -PH_E_CHAIN_TOO_LARGE;
	for (size_t i = 0; i < n; i++)
		add_run(chain, runs[i]);
	return 0;
}

static int add_row(struct ph_chain *chain, int row, int64_t position)
{
	const struct ph_pg_result *r = chain->rows;
	int64_t account = ph_pg_int(r, row, ACCOUNT), codec = ph_pg_int(r, row, CODEC);
	int flags = (int)ph_pg_int(r, row, FLAGS);
	struct ph_str context, input, output;
	int rc = ph_body_decode(&chain->arena, codec, ph_pg_str(r, row, INPUT), &input);

	if (rc == 0)
		rc = ph_body_decode(&chain->arena, codec, ph_pg_str(r, row, OUTPUT), &output);
	if (rc == 0 && flags & PH_TURN_SELF)
		rc = ph_body_decode(&chain->arena, codec, ph_pg_str(r, row, RUNS), &context);
	if (rc == 0 && flags & PH_TURN_SELF)
		rc = add_folded(chain, context, (size_t)row + 1);
	if (rc)
		return rc;
	/* A compact call repeats what the client said before it. */
	if (position != WHOLE)
		output = flags & PH_TURN_COMPACTION ? PH_STR_NONE : ph_items_first(output, position);
	add_run(chain,
		(struct ph_chain_run){input, account, false, false, (flags & PH_TURN_INPUT_OUTPUTS) != 0});
	add_run(chain, (struct ph_chain_run){output, account, true, (flags & PH_TURN_STORED) != 0, false});
	return 0;
}

/* The database has bounded what is stored; packed rows may hold more. */
static int add_rows(struct ph_chain *chain, int64_t position, uint64_t max_bytes)
{
	int rows = ph_pg_rows(chain->rows);
	int rc = 0;

	chain->runs = ph_arena_alloc(&chain->arena, 2 * (size_t)rows * sizeof *chain->runs);
	if (!chain->runs)
		return -PH_E_CHAIN_TOO_LARGE;
	for (int row = rows - 1; rc == 0 && row >= 0 && chain->bytes <= max_bytes; row--)
		rc = add_row(chain, row, row == 0 ? position : WHOLE);
	return rc == 0 && chain->bytes > max_bytes ? -PH_E_CHAIN_TOO_LARGE : rc;
}

static struct ph_chain *chain_of(const struct ph_chain_read *read, struct ph_pg_result *r)
{
	uint64_t max_bytes = read->inside.left->bytes;
	struct ph_chain *chain = ph_alloc(sizeof *chain);
	int rc;

	chain->rows = ph_pg_keep(r);
	ph_arena_init(&chain->arena, 2 * max_bytes + 16 * 1024 * 1024);
	chain->status = status_of(ph_pg_str(r, 0, STATUS));
	chain->today = (int32_t)ph_pg_int(r, 0, TODAY);
	chain->id = ph_pg_str(r, 0, RESPONSE_ID);
	chain->account = ph_pg_int(r, 0, ACCOUNT);
	chain->day = (int32_t)ph_pg_int(r, 0, DAY);
	chain->class = (int32_t)ph_pg_int(r, 0, CLASS);
	chain->flags = (int)ph_pg_int(r, 0, FLAGS);
	chain->depth = (int)ph_pg_int(r, 0, DEPTH);
	chain->until = (int32_t)ph_pg_int(r, 0, UNTIL);
	if (read->position == WHOLE && chain->flags & PH_TURN_COMPACTION)
		chain->status = PH_CHAIN_HIDDEN;
	if (chain->status != PH_CHAIN_OK)
		return chain;
	chain->root = ph_pg_str(r, ph_pg_rows(r) - 1, RESPONSE_ID);
	rc = add_rows(chain, read->position, max_bytes);
	if (rc)
		chain->status = rc == -PH_E_CHAIN_TOO_LARGE ? PH_CHAIN_TOO_LARGE : PH_CHAIN_BROKEN;
	return chain;
}

static void count(const struct ph_chain *chain)
{
	bool found = chain->status <= PH_CHAIN_TOO_LARGE;

	if (chain->status == PH_CHAIN_BROKEN)
		ph_metric_add(PH_M_CHAINS_BROKEN, 0, 0, 1);
	ph_metric_add(PH_M_REPLAYS,
		chain->status == PH_CHAIN_BROKEN ? REPLAY_BROKEN
		: found                          ? REPLAY_HIT
						 : REPLAY_MISS,
		0, 1);
	if (chain->status == PH_CHAIN_OK) {
		ph_metric_observe(PH_M_CHAIN_DEPTH, (uint64_t)chain->depth);
		ph_metric_observe(PH_M_REPLAY_BYTES, chain->bytes);
	}
}

/* ---- what it names ---- */

/* Compaction items that clients brought: what stands before them is in no row of this chain. */
static size_t compactions(struct ph_chain *chain, struct ph_item_id ids[PH_EXPANSIONS_MAX])
{
	struct ph_item it;
	size_t n = 0;

	for (size_t i = 0; i < chain->run_count; i++) {
		const struct ph_chain_run *run = &chain->runs[i];

		if (run->minted || ph_str_find(run->items, PH_STR("compaction")) < 0)
			continue;
		for (size_t at = 0; n < PH_EXPANSIONS_MAX && ph_items_look_next(run->items, &at, &it);)
			if (ph_item_is_compaction(&it) &&
				ph_json_text(it.m[PH_ITEM_ID], &chain->arena, &ids[n].id))
				ids[n++].compaction = true;
	}
	return n;
}

static void finish(struct ph_chain_read *read, struct ph_chain *chain, const struct ph_err *err)
{
	ph_chain_cb cb = read->cb;
	void *arg = read->arg;

	free(read);
	cb(arg, chain, err);
}

static void on_found(void *arg, struct ph_found *found, const struct ph_err *err)
{
	struct ph_chain_read *read = arg;

	read->chain->found = found;
	finish(read, err ? ph_chain_free(read->chain) : read->chain, err);
}

static void find_compactions(struct ph_chain_read *read, struct ph_chain *chain)
{
	struct ph_item_id ids[PH_EXPANSIONS_MAX] = {{.compaction = true}};
	size_t n = 0;

	if (chain->status == PH_CHAIN_OK && read->inside.depth < PH_EXPANSION_DEPTH)
		n = compactions(chain, ids);
	if (n == 0) {
		finish(read, chain, NULL);
		return;
	}
	read->chain = chain;
	read->finding = ph_items_read_inside(read->c, read->scope, ids, n, read->inside, on_found, read);
}

/* ---- reading ---- */

static void on_rows(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_chain_read *read = arg;
	struct ph_err none = {.code = PH_E_DATABASE_ERROR, .detail = "resolve() returned no row"};
	bool outermost = read->inside.depth == 0;
	struct ph_chain *chain;

	read->call = NULL;
	if (!err && ph_pg_rows(r) == 0)
		err = &none;
	if (err) {
		if (outermost)
			ph_metric_add(PH_M_REPLAYS, REPLAY_UNAVAILABLE, 0, 1);
		finish(read, NULL, err);
		return;
	}
	chain = chain_of(read, r);
	if (outermost)
		count(chain);
	else
		read->inside.left->bytes -=
			chain->bytes < read->inside.left->bytes ? chain->bytes : read->inside.left->bytes;
	find_compactions(read, chain);
}

static struct ph_chain_read *read_new(struct ph_continuity *c, int64_t scope, ph_chain_cb cb, void *arg)
{
	struct ph_chain_read *read = ph_alloc(sizeof *read);

	read->c = c;
	read->scope = scope;
	read->position = WHOLE;
	read->own = (struct ph_allowance){c->max_bytes, PH_EXPANSIONS_MAX};
	read->inside.left = &read->own;
	read->cb = cb;
	read->arg = arg;
	return read;
}

struct ph_chain_read *ph_chain_read(struct ph_continuity *c, int64_t scope, struct ph_str id,
	const int64_t *forward, size_t forward_count, ph_chain_cb cb, void *arg)
{
	struct ph_chain_read *read = read_new(c, scope, cb, arg);

	read->call = ph_snapshot_store_resolve(
		c, scope, id, forward, forward_count, read->own.bytes, on_rows, read);
	return read;
}

struct ph_chain_read *ph_chain_read_before(struct ph_continuity *c, int64_t scope, struct ph_str id,
	int64_t position, struct ph_inside inside, ph_chain_cb cb, void *arg)
{
	struct ph_chain_read *read = read_new(c, scope, cb, arg);

	read->position = position;
	read->inside = inside;
	read->call = ph_snapshot_store_resolve(c, scope, id, NULL, 0, inside.left->bytes, on_rows, read);
	return read;
}

void ph_chain_cancel(struct ph_chain_read *read)
{
	if (read->call)
		ph_pg_abandon(read->call);
	if (read->finding)
		ph_items_cancel(read->finding);
	ph_chain_free(read->chain);
	free(read);
}
