/* SPDX-License-Identifier: Apache-2.0 */
/*
 * History that a client sends together with an anchor counts once. The context so far is kept as the
 * substance of its items; new items are compared with its end, and what stands there already is cut.
 *
 * What is cut (handbook, continuity 4.4): the longest beginning of the new items that is the end of the
 * context, if it holds an item that upstream made; or the whole context, with more behind it. A user may say
 * the same short thing twice, so the user's words alone are never cut from the end. Reasoning does not count
 * in the comparison; neither do developer items, which clients slip in and leave out, but those that are new
 * are kept. Two single items are cut besides, which would be refused for being there twice: reasoning that
 * the context holds, and a call that it holds and waits for an answer to.
 *
 * All of it takes time in proportion to the new items, also where they all look alike: a chain of thousands
 * of turns may hold the history in each.
 */
#include <stdlib.h>

#include "continuity_priv.h"

enum {
	SEED_ID = 31,
	SEED_CALL,
};

struct item {
	struct ph_str bytes;
	uint64_t substance;
	uint64_t id, call; /* hashes; 0: none */
	bool output_like, developer, is_call, is_output, reference;
	bool silent; /* it does not count in the comparison */
	bool cut;
	const struct ph_chain_run *maker; /* the run in which an account made an item of that id, or NULL */
};

struct items {
	struct item *v;
	size_t n, cap;
};

/* Numbers that grow in step. */
struct line {
	uint64_t *substance;
	bool *output_like;
	size_t n, cap;
};

/* An id that an account made in this chain. */
struct known {
	uint64_t substance;
	bool silent;
	struct ph_chain_run maker; /* its items are not used */
};

struct ph_context {
	struct line all;    /* but for silent items */
	struct line spoken; /* but for developer items as well */
	size_t tail;        /* all[tail..] are developer items behind the last spoken one */
	struct ph_map ids;  /* -> place in known, + 1 */
	struct known *known;
	size_t known_n, known_cap;
	struct ph_map developers; /* their substances */
	struct ph_map calls;      /* call_id -> substance of the call, 0 once it was answered */
	size_t count;
	struct items fresh; /* of the run that is being added */
	struct ph_chain_run *pieces;
	size_t piece_n, piece_cap;
};

struct ph_context *ph_context_new(void)
{
	return ph_alloc(sizeof(struct ph_context));
}

struct ph_context *ph_context_free(struct ph_context *c)
{
	free(c->all.substance);
	free(c->all.output_like);
	free(c->spoken.substance);
	free(c->spoken.output_like);
	free(c->known);
	free(c->fresh.v);
	free(c->pieces);
	ph_map_deinit(&c->ids);
	ph_map_deinit(&c->developers);
	ph_map_deinit(&c->calls);
	free(c);
	return NULL;
}

/* Room for one more. */
static void *room(void *v, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return v;
	*cap = *cap ? 2 * *cap : 32;
	return ph_realloc(v, *cap * size);
}

/* ---- reading the new items ---- */

static uint64_t hash_or_none(struct ph_str value, uint64_t seed)
{
	return ph_json_kind(value) == PH_JSON_STRING ? ph_text_hash(value, seed) | 1 : 0;
}

static struct item item_of(struct ph_str bytes)
{
	struct item i = {.bytes = bytes};
	struct ph_item it;

	if (!ph_item_look(bytes, &it)) {
		i.substance = ph_text_hash(bytes, 0);
		return i;
	}
	i.substance = ph_item_substance(&it);
	i.id = hash_or_none(it.m[PH_ITEM_ID], SEED_ID);
	i.call = hash_or_none(it.m[PH_ITEM_CALL_ID], SEED_CALL);
	i.output_like = ph_item_output_like(&it);
	i.silent = !ph_item_stays(&it);
	i.reference = it.reference;
	i.developer = ph_json_text_is(it.m[PH_ITEM_ROLE], PH_STR("developer")) ||
		      ph_json_text_is(it.m[PH_ITEM_ROLE], PH_STR("system"));
	i.is_call = i.call && ph_item_is_call(&it);
	i.is_output = i.call && ph_item_is_output(&it);
	return i;
}

/* The same id is the same item, whatever became of the rest. Clients' own ids may be anything. What becomes
 * of a reference that is not cut is for the request's own rules. */
static void recognise(const struct ph_context *c, struct item *i)
{
	uint64_t place = i->id ? ph_map_get(&c->ids, i->id) : 0;

	if (!place)
		return;
	i->substance = c->known[place - 1].substance;
	i->silent = c->known[place - 1].silent;
	if (!i->reference || i->silent)
		i->maker = &c->known[place - 1].maker;
}

static void read_fresh(struct ph_context *c, const struct ph_chain_run *run)
{
	struct items *f = &c->fresh;
	struct ph_str bytes;

	f->n = 0;
	for (size_t at = 0; ph_items_next(run->items, &at, &bytes) && c->count + f->n <= PH_ITEMS_MAX;) {
		f->v = room(f->v, f->n, &f->cap, sizeof *f->v);
		f->v[f->n] = item_of(bytes);
		if (!run->minted)
			recognise(c, &f->v[f->n]);
		f->n++;
	}
}

/* ---- the match ---- */

/*
 * The longest beginning of p that t ends with (Knuth, Morris and Pratt). fail[i]: the longest beginning of p
 * that p[..i] ends with and is not all of it.
 */
static size_t common(const uint64_t *p, size_t p_n, const uint64_t *t, size_t t_n)
{
	size_t *fail = ph_alloc((p_n + 1) * sizeof *fail), k = 0;

	for (size_t i = 1; i < p_n; i++) {
		while (k && p[i] != p[k])
			k = fail[k - 1];
		k += p[i] == p[k];
		fail[i] = k;
	}
	k = 0;
	for (size_t i = t_n > p_n ? t_n - p_n : 0; p_n && i < t_n; i++) {
		while (k && p[k] != t[i])
			k = fail[k - 1];
		k += p[k] == t[i];
	}
	free(fail);
	return k;
}

/* How many of the new items a match of `spoken` ones takes, with the context's last developer items if they
 * follow. */
static size_t taken(const struct ph_context *c, size_t spoken)
{
	const struct items *f = &c->fresh;
	size_t i = 0;

	for (size_t k = 0; k < spoken; i++)
		k += !f->v[i].developer && !f->v[i].silent;
	for (size_t k = c->tail; k < c->all.n && i < f->n && f->v[i].developer; k++)
		i += f->v[i].substance == c->all.substance[k];
	return i;
}

/* The end of the context, if upstream made something of it. */
static size_t match_end(const struct ph_context *c)
{
	const struct items *f = &c->fresh;
	uint64_t *p = ph_alloc((f->n + 1) * sizeof *p);
	size_t n = 0, k;
	bool output = false;

	for (size_t i = 0; i < f->n; i++)
		if (!f->v[i].developer && !f->v[i].silent)
			p[n++] = f->v[i].substance;
	k = common(p, n, c->spoken.substance, c->spoken.n);
	free(p);
	for (size_t i = c->spoken.n - k; i < c->spoken.n; i++)
		output |= c->spoken.output_like[i];
	return output ? taken(c, k) : 0;
}

/* All of the context, with more behind it. */
static size_t match_whole(const struct ph_context *c)
{
	const struct items *f = &c->fresh;
	size_t i = 0;

	if (c->all.n > f->n)
		return 0;
	for (size_t k = 0; k < c->all.n; k++, i++) {
		while (i < f->n && f->v[i].substance != c->all.substance[k] &&
			(f->v[i].developer || f->v[i].silent))
			i++;
		if (i == f->n || f->v[i].substance != c->all.substance[k])
			return 0;
	}
	return i < f->n ? i : 0;
}

static void cut(struct ph_context *c)
{
	struct items *f = &c->fresh;
	size_t covered = match_end(c);

	if (covered == 0)
		covered = match_whole(c);
	for (size_t i = 0; i < f->n; i++) {
		struct item *it = &f->v[i];

		if (i < covered)
			it->cut = !it->developer || ph_map_get(&c->developers, it->substance);
		else if (it->silent)
			it->cut = it->maker != NULL;
		else
			it->cut = it->is_call && ph_map_get(&c->calls, it->call) == it->substance;
	}
}

/* ---- the context grows ---- */

static void push(struct line *l, const struct item *it)
{
	size_t cap = l->cap;

	l->substance = room(l->substance, l->n, &l->cap, sizeof *l->substance);
	l->output_like = room(l->output_like, l->n, &cap, sizeof *l->output_like);
	l->substance[l->n] = it->substance;
	l->output_like[l->n++] = it->output_like;
}

static void learn_id(struct ph_context *c, const struct item *it, const struct ph_chain_run *run)
{
	uint64_t *place = ph_map_at(&c->ids, it->id);

	if (*place)
		return;
	c->known = room(c->known, c->known_n, &c->known_cap, sizeof *c->known);
	c->known[c->known_n] = (struct known){it->substance, it->silent, *run};
	*place = ++c->known_n;
}

static void learn(struct ph_context *c, const struct item *it, const struct ph_chain_run *run)
{
	if (run->minted && it->id)
		learn_id(c, it, run);
	if (it->is_call)
		*ph_map_at(&c->calls, it->call) = it->substance;
	if (it->is_output)
		*ph_map_at(&c->calls, it->call) = 0;
	if (it->silent)
		return;
	push(&c->all, it);
	if (it->developer) {
		*ph_map_at(&c->developers, it->substance) = 1;
		return;
	}
	push(&c->spoken, it);
	c->tail = c->all.n;
}

/* ---- what is left ---- */

static bool same_origin(const struct ph_chain_run *a, const struct ph_chain_run *b)
{
	return a->account == b->account && a->minted == b->minted && a->stored == b->stored;
}

/* Neighbours of one origin stay one piece: they are neighbours in the run's bytes. */
static void put_piece(struct ph_context *c, struct ph_str bytes, const struct ph_chain_run *from, bool joined)
{
	struct ph_chain_run *last = c->piece_n ? &c->pieces[c->piece_n - 1] : NULL;

	if (joined && last && same_origin(last, from)) {
		last->items.n = (size_t)(bytes.p + bytes.n - last->items.p);
		return;
	}
	c->pieces = room(c->pieces, c->piece_n, &c->piece_cap, sizeof *c->pieces);
	c->pieces[c->piece_n] = *from;
	c->pieces[c->piece_n++].items = bytes;
}

int ph_context_add(
	struct ph_context *c, const struct ph_chain_run *run, const struct ph_chain_run **ret, size_t *ret_n)
{
	bool joined = false;

	read_fresh(c, run);
	if (c->count + c->fresh.n > PH_ITEMS_MAX)
		return -PH_E_CHAIN_TOO_LARGE;
	if (!run->minted)
		cut(c);
	c->piece_n = 0;
	for (size_t i = 0; i < c->fresh.n; i++) {
		const struct item *it = &c->fresh.v[i];

		if (!it->cut)
			put_piece(c, it->bytes, it->maker ? it->maker : run, joined);
		joined = !it->cut;
	}
	for (size_t i = 0; i < c->fresh.n; i++)
		if (!c->fresh.v[i].cut)
			learn(c, &c->fresh.v[i], run);
	c->count += c->fresh.n;
	*ret = c->pieces;
	*ret_n = c->piece_n;
	return 0;
}
