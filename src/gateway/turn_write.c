/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn's body for one account: the client's bytes with spans replaced. What the kinds of account demand
 * stands in two short tables (handbook, protocol 6.2); everything else goes out as it came.
 */
#include <stdlib.h>

#include "request_priv.h"

/* The Codex backend refuses these. */
static const int refused_by_codex[] = {
	PH_B_PREVIOUS,
	PH_B_CONVERSATION,
	PH_B_BACKGROUND,
	PH_B_CACHE_OPTIONS,
	PH_B_MAX_OUTPUT_TOKENS,
	PH_B_METADATA,
	PH_B_CACHE_RETENTION,
	PH_B_SAFETY_IDENTIFIER,
	PH_B_TEMPERATURE,
	PH_B_TOP_P,
	PH_B_TRUNCATION,
	PH_B_USER,
};

/* What must be said, whatever the client said. A frame says nothing of its manner, and is one by its type. */
static const struct forced {
	int member;
	struct ph_str value;
	bool codex;        /* by the Codex backend alone; a stream also of what came as a frame */
	bool http, socket; /* in what is sent over HTTP, on a WebSocket */
} forced[] = {
	{PH_B_STORE, PH_STR_INIT("false"), true, true, true},
	{PH_B_STREAM, PH_STR_INIT("true"), true, true, false},
	{PH_B_TYPE, PH_STR_INIT("\"response.create\""), false, false, true},
};

#define EDITS_MAX (PH_B_NR + PH_OMIT_MAX)

/* A span of the text that changes. */
struct edit {
	size_t from, to;
	struct ph_str put;                /* stands there instead */
	bool list;                        /* in brackets */
	const struct ph_json_member *cut; /* the member goes, with one comma */
};

struct writing {
	const struct ph_turn_body *b;
	const struct ph_body_plan *plan;
	struct edit edits[EDITS_MAX];
	size_t n;
	struct ph_json_member omitted[PH_OMIT_MAX];
	struct ph_buf metadata; /* client_metadata without what is another account's */
};

static void cut(struct writing *w, const struct ph_json_member *m)
{
	if (m->kind == PH_JSON_ABSENT)
		return;
	for (size_t i = 0; i < w->n; i++)
		if (w->edits[i].from == m->start)
			return;
	w->edits[w->n++] = (struct edit){.from = m->start, .to = m->end, .cut = m};
}

static void replace(struct writing *w, int member, struct ph_str with, bool list)
{
	const struct ph_json_member *m = &w->b->m[member];
	size_t from = (size_t)(m->value.p - w->b->buf.p);

	w->edits[w->n++] = (struct edit){from, from + m->value.n, with, list, NULL};
}

/* ---- what changes ---- */

static void plan_codex(struct writing *w)
{
	const struct ph_json_member *tier = &w->b->m[PH_B_SERVICE_TIER];

	for (size_t i = 0; i < sizeof refused_by_codex / sizeof *refused_by_codex; i++)
		if (refused_by_codex[i] != PH_B_PREVIOUS || !w->plan->anchor || !w->plan->socket)
			cut(w, &w->b->m[refused_by_codex[i]]);
	if (tier->kind == PH_JSON_STRING && ph_json_text_is(tier->value, PH_STR("fast")))
		replace(w, PH_B_SERVICE_TIER, PH_STR("\"priority\""), false);
}

/* A routing mark in there is one account's: it goes back to that one alone, as that one gave it. */
static void plan_metadata(struct writing *w)
{
	static const struct ph_str name = PH_STR_INIT("x-codex-turn-state");
	const struct ph_json_member *metadata = &w->b->m[PH_B_CLIENT_METADATA];
	struct ph_json_member state;
	struct ph_str object = metadata->value, own;

	if (!w->plan->codex) {
		cut(w, metadata);
		return;
	}
	if (metadata->kind != PH_JSON_OBJECT || !ph_json_find(object, &name, 1, &state) ||
		state.kind == PH_JSON_ABSENT)
		return;
	if (state.kind == PH_JSON_STRING && !state.escaped &&
		ph_turn_state_of(ph_str(state.value.p + 1, state.value.n - 2), w->plan->account, &own)) {
		ph_buf_puts(&w->metadata, ph_str(object.p, (size_t)(state.value.p - object.p) + 1));
		ph_buf_puts(&w->metadata, own);
		ph_buf_puts(&w->metadata, ph_str_from(object, (size_t)(own.p + own.n - object.p)));
	} else {
		struct ph_str before = ph_str(object.p, state.start);
		struct ph_str after = ph_str_from(object, state.end);

		if (state.comma_before != SIZE_MAX)
			before.n = state.comma_before;
		else if (state.comma_after != SIZE_MAX)
			after = ph_str_from(object, state.comma_after + 1);
		ph_buf_puts(&w->metadata, before);
		ph_buf_puts(&w->metadata, after);
	}
	replace(w, PH_B_CLIENT_METADATA, ph_buf_str(&w->metadata), false);
}

static void plan_omitted(struct writing *w)
{
	const struct ph_body_plan *p = w->plan;

	if (p->omit_count && ph_json_find(ph_buf_str(&w->b->buf), p->omit, p->omit_count, w->omitted))
		for (size_t i = 0; i < p->omit_count; i++)
			cut(w, &w->omitted[i]);
}

/* Members that only frames have, and those that frames may not have. */
static void plan_frame(struct writing *w)
{
	const struct ph_json_member *m = w->b->m;

	if (w->b->frame)
		cut(w, &m[PH_B_STREAM_ID]); /* each lane has a socket of its own */
	if (w->b->frame && !w->plan->socket)
		cut(w, &m[PH_B_TYPE]);
	if (!w->plan->socket)
		cut(w, &m[PH_B_GENERATE]);
	if (w->plan->socket)
		cut(w, &m[PH_B_STREAM]);
	if (w->b->frame || w->plan->socket)
		cut(w, &m[PH_B_BACKGROUND]);
}

static bool is_forced(const struct writing *w, const struct forced *f)
{
	if (w->plan->socket)
		return f->socket && (w->plan->codex || !f->codex);
	return f->http && (w->plan->codex || (w->b->frame && f->member == PH_B_STREAM));
}

static void plan_forced(struct writing *w)
{
	for (size_t i = 0; i < sizeof forced / sizeof *forced; i++)
		if (is_forced(w, &forced[i]) && w->b->m[forced[i].member].kind != PH_JSON_ABSENT)
			replace(w, forced[i].member, forced[i].value, false);
}

static void plan_edits(struct writing *w)
{
	const struct ph_turn_body *b = w->b;

	if (!w->plan->anchor)
		cut(w, &b->m[PH_B_PREVIOUS]);
	if (b->m[PH_B_CONVERSATION].kind > PH_JSON_NULL && !b->upstreams)
		cut(w, &b->m[PH_B_CONVERSATION]); /* blank: none was meant */
	plan_frame(w);
	plan_forced(w);
	if (w->plan->items.p && b->m[PH_B_INPUT].kind != PH_JSON_ABSENT)
		replace(w, PH_B_INPUT, w->plan->items, true);
	plan_metadata(w);
	if (w->plan->codex)
		plan_codex(w);
	plan_omitted(w);
}

/* ---- writing ---- */

static int by_place(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

/* A member goes with the comma behind it. Where the last ones go, the comma before them goes instead. */
static void take_commas(struct writing *w)
{
	struct edit *e = w->edits;

	for (size_t i = 0; i < w->n; i++) {
		if (!e[i].cut)
			continue;
		if (e[i].cut->comma_after != SIZE_MAX) {
			e[i].to = e[i].cut->comma_after + 1;
			continue;
		}
		size_t first = i;

		while (first > 0 && e[first - 1].cut &&
			e[first - 1].cut->comma_after == e[first].cut->comma_before)
			first--;
		if (e[first].cut->comma_before != SIZE_MAX)
			e[first].from = e[first].cut->comma_before;
	}
}

static void put_edited(const struct writing *w, struct ph_str text, struct ph_buf *out)
{
	size_t at = 0;

	for (size_t i = 0; i < w->n; i++) {
		const struct edit *e = &w->edits[i];

		if (e->from > at)
			ph_buf_puts(out, ph_str(text.p + at, e->from - at));
		if (e->list)
			ph_buf_putc(out, '[');
		ph_buf_puts(out, e->put);
		if (e->list)
			ph_buf_putc(out, ']');
		at = e->to;
	}
	ph_buf_puts(out, ph_str_from(text, at));
}

static const char *comma(const struct ph_buf *out)
{
	struct ph_str so_far = ph_str_trim(ph_buf_str(out));

	return so_far.n && so_far.p[so_far.n - 1] == '{' ? "" : ",";
}

static void put_member(struct ph_buf *out, int member, struct ph_str value, bool list)
{
	ph_buf_printf(out, "%s\"%s\":%s", comma(out), ph_turn_body_names[member].p, list ? "[" : "");
	ph_buf_puts(out, value);
	if (list)
		ph_buf_putc(out, ']');
}

/* What the client left out and the account must have. */
static void put_missing(const struct writing *w, struct ph_buf *out)
{
	const struct ph_turn_body *b = w->b;

	if (w->plan->items.p && b->m[PH_B_INPUT].kind == PH_JSON_ABSENT)
		put_member(out, PH_B_INPUT, w->plan->items, true);
	for (size_t i = 0; i < sizeof forced / sizeof *forced; i++)
		if (is_forced(w, &forced[i]) && b->m[forced[i].member].kind == PH_JSON_ABSENT)
			put_member(out, forced[i].member, forced[i].value, false);
	if (w->plan->also.n)
		ph_buf_printf(out, "%s%.*s", comma(out), PH_STR_ARG(w->plan->also));
}

int ph_turn_body_write(const struct ph_turn_body *b, const struct ph_body_plan *plan, struct ph_buf *out)
{
	struct ph_str text = ph_buf_str(&b->buf), object = ph_str_trim(text);
	size_t close = (size_t)(object.p - text.p) + object.n - 1;
	struct writing w = {.b = b, .plan = plan};

	ph_buf_init(&w.metadata, b->buf.max);
	plan_edits(&w);
	qsort(w.edits, w.n, sizeof *w.edits, by_place);
	take_commas(&w);
	put_edited(&w, ph_str(text.p, close), out);
	put_missing(&w, out);
	ph_buf_puts(out, ph_str_from(text, close));
	ph_buf_deinit(&w.metadata);
	return out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}
