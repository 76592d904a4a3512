/* SPDX-License-Identifier: Apache-2.0 */
/*
 * History that a client sends together with an anchor counts once. The context so far is kept as a list of
 * items with two fingerprints each, id and substance; new items are compared with its end, and what stands
 * there already is cut.
 *
 * Rules (handbook, continuity 4.4): the longest k such that the last k items of the context equal the first k
 * of the new ones. Reasoning is skipped on both sides; developer items that a client slips between are
 * skipped in the match and kept. The cut counts only if the run holds an item that upstream made, or is the
 * whole context with more behind it: a user may say the same short thing twice.
 */
#include <jansson.h>
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/crypt.h"

struct entry {
	uint64_t id;        /* 0 = none */
	uint64_t substance; /* type, call_id, name, arguments, output, role and text */
	bool output_like;
	bool developer;
	bool reasoning;
};

/* Owner: one replay. */
struct ph_context {
	struct entry *v;
	size_t n, cap;
	bool outputs;
	struct ph_arena arena; /* items that were left of an overlap */
};

struct ph_context *ph_context_new(void)
{
	struct ph_context *c = ph_alloc(sizeof *c);

	ph_arena_init(&c->arena, SIZE_MAX);
	return c;
}

struct ph_context *ph_context_free(struct ph_context *c)
{
	ph_arena_deinit(&c->arena);
	free(c->v);
	free(c);
	return NULL;
}

bool ph_context_has_outputs(const struct ph_context *c)
{
	return c->outputs;
}

/* ---- fingerprints ---- */

static uint64_t mix(uint64_t h, const char *s, size_t n)
{
	return ph_hash64(ph_str(s, n), h);
}

/* A value by its substance: strings as text, arrays of parts by the text of each, the rest as printed. */
static uint64_t mix_value(uint64_t h, const json_t *v)
{
	const json_t *part, *text;
	size_t i;
	char *printed;

	if (!v || json_is_null(v))
		return mix(h, "", 0);
	if (json_is_string(v))
		return mix(h, json_string_value(v), json_string_length(v));
	if (json_is_array(v)) {
		json_array_foreach(v, i, part)
		{
			text = json_object_get(part, "text");
			h = mix_value(h, text ? text : part);
		}
		return h;
	}
	printed = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (printed)
		h = mix(h, printed, strlen(printed));
	free(printed);
	return h;
}

static uint64_t substance(struct ph_str item)
{
	static const char *const members[] = {
		"call_id", "name", "arguments", "input", "output", "role", "content"};
	json_t *j = json_loadb(item.p, item.n, JSON_ALLOW_NUL, NULL);
	const char *type = json_string_value(json_object_get(j, "type"));
	uint64_t h;

	if (!j)
		return mix(1, item.p, item.n); /* what jansson does not read equals only itself */
	h = mix(2, type ? type : "message", strlen(type ? type : "message"));
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		h = mix_value(h, json_object_get(j, members[i]));
	json_decref(j);
	return h;
}

static struct entry entry_of(struct ph_str item)
{
	struct entry e = {0, 0, false, false, false};
	struct ph_item it;

	if (ph_item_look(item, &it)) {
		if (it.m[PH_ITEM_ID].kind == PH_JSON_STRING)
			e.id = mix(3, it.m[PH_ITEM_ID].value.p, it.m[PH_ITEM_ID].value.n) | 1;
		e.output_like = ph_item_output_like(&it);
		e.reasoning = ph_item_is(&it, PH_STR("reasoning"));
		e.developer = it.m[PH_ITEM_ROLE].kind == PH_JSON_STRING &&
			      (ph_json_text_is(it.m[PH_ITEM_ROLE].value, PH_STR("developer")) ||
				      ph_json_text_is(it.m[PH_ITEM_ROLE].value, PH_STR("system")));
	}
	e.substance = substance(item);
	return e;
}

static bool same(const struct entry *a, const struct entry *b)
{
	return (a->id && a->id == b->id) || a->substance == b->substance;
}

/* ---- the match ---- */

static void push(struct entry **v, size_t *n, size_t *cap, struct entry e)
{
	if (*n == *cap) {
		*cap = *cap ? 2 * *cap : 32;
		*v = ph_realloc(*v, *cap * sizeof **v);
	}
	(*v)[(*n)++] = e;
}

struct fresh {
	struct entry *v;
	struct ph_str *bytes;
	size_t n, cap;
};

static void read_fresh(struct fresh *f, struct ph_str items)
{
	struct ph_str item;

	for (size_t at = 0; ph_items_next(items, &at, &item);) {
		push(&f->v, &f->n, &f->cap, entry_of(item));
		f->bytes = ph_realloc(f->bytes, f->cap * sizeof *f->bytes);
		f->bytes[f->n - 1] = item;
	}
}

/* How many of the new items the context's entries from `from` on cover, or 0 if they do not match to the end.
 */
static size_t match_from(const struct ph_context *c, size_t from, const struct fresh *f, bool *ret_output)
{
	size_t i = 0;

	*ret_output = false;
	for (size_t k = from; k < c->n; k++) {
		if (c->v[k].reasoning)
			continue;
		while (i < f->n && !same(&c->v[k], &f->v[i]) && (f->v[i].developer || f->v[i].reasoning))
			i++;
		if (i == f->n || !same(&c->v[k], &f->v[i]))
			return 0;
		*ret_output |= c->v[k].output_like;
		i++;
	}
	return i;
}

static size_t overlap(const struct ph_context *c, const struct fresh *f)
{
	bool output;

	for (size_t from = 0; from < c->n; from++) {
		size_t covered;

		if (c->v[from].reasoning && from > 0)
			continue;
		covered = match_from(c, from, f, &output);
		if (covered && (output || (from == 0 && f->n > covered)))
			return covered;
	}
	return 0;
}

/* Within the covered items only developer ones that the context lacks stay. */
static bool known(const struct ph_context *c, const struct entry *e)
{
	for (size_t i = 0; i < c->n; i++)
		if (same(&c->v[i], e))
			return true;
	return false;
}

static struct ph_str rest(struct ph_context *c, const struct fresh *f, size_t covered)
{
	struct ph_str kept = PH_STR_NONE;
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < f->n; i++)
		if (i >= covered || (f->v[i].developer && !known(c, &f->v[i])))
			(void)!ph_items_append(&b, f->bytes[i]);
	kept = ph_arena_dup(&c->arena, ph_buf_str(&b));
	ph_buf_deinit(&b);
	return kept;
}

int ph_context_add(struct ph_context *c, const struct ph_chain_run *run, struct ph_chain_run *ret)
{
	struct fresh f = {NULL, NULL, 0, 0};
	size_t covered;

	read_fresh(&f, run->items);
	covered = run->minted ? 0 : overlap(c, &f);
	*ret = *run;
	if (covered)
		ret->items = rest(c, &f, covered);
	for (size_t i = 0; i < f.n; i++) {
		if (i < covered && !(f.v[i].developer && !known(c, &f.v[i])))
			continue;
		push(&c->v, &c->n, &c->cap, f.v[i]);
		c->outputs |= f.v[i].output_like;
	}
	free(f.v);
	free(f.bytes);
	return 0;
}
