/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversations at random, and what each account must be told of them, worked out from how they were made and
 * not from their bytes. Turns form a tree; each was served by one of three accounts, the third of which keeps
 * nothing. Some clients send the whole history along, printed anew.
 */
#ifndef MODEL_H
#define MODEL_H

#include "continuity_test.h"

enum {
	MODEL_TURNS = 24,
	MODEL_ITEMS = 8,
	MODEL_MEMBERS = 6,
	MODEL_ACCOUNTS = 3,
};

enum model_kind {
	SAYS, /* the user */
	DEVELOPER,
	RETURNS, /* a function's output */
	ANSWERS, /* the assistant */
	CALLS,
	SEARCHES, /* a hosted tool */
	THINKS,   /* with ciphertext */
	MUSES,    /* without */
	WONDERS,  /* a type that nobody knows */
};

struct model_item {
	enum model_kind kind;
	struct ph_str name[MODEL_MEMBERS], value[MODEL_MEMBERS];
	size_t members;
	int style; /* of the white space */
};

struct model_turn {
	int parent; /* or -1 */
	int64_t account;
	bool stored;
	bool along; /* the whole history came with the input */
	struct model_item in[MODEL_ITEMS], out[MODEL_ITEMS];
	size_t in_n, out_n;
};

struct model {
	uint64_t seed;
	unsigned next; /* makes every text and id one of its kind */
	struct model_turn turn[MODEL_TURNS];
	int turns;
};

/* ---- items ---- */

static inline void model_member(struct model_item *it, const char *name, const char *value)
{
	it->name[it->members] = ph_str_c(name);
	it->value[it->members++] = q(value);
}

/* Words that a careless hand would change, and a number that makes them unique. */
static inline const char *model_words(struct model *m)
{
	static const char *const odd[] = {
		"\\u0000", "\\ud83d\\ude00", "\xc3\xa9", "\\\\\\\"", "\\/", "}],{[", "\\n", "\\ud800"};

	return ph_arena_printf(&memory, "'%s %u'", odd[ph_test_below(&m->seed, PH_COUNT(odd))], m->next++);
}

static inline const char *model_id(struct model *m, const char *prefix)
{
	return ph_arena_printf(&memory, "'%s_%u'", prefix, m->next++);
}

static inline void model_message(struct model *m, struct model_item *it, const char *role)
{
	const char *words = model_words(m);

	model_member(it, "role", role);
	if (ph_test_below(&m->seed, 2))
		words = ph_arena_printf(
			&memory, "[ {'type':'text','text':%s,'n':[1e400,01,18446744073709551617]} ]", words);
	model_member(it, "content", words);
}

static inline struct model_item model_item(struct model *m, enum model_kind kind)
{
	static const char *const ids[] = {"u", "d", "o", "msg", "fc", "ws", "rs", "rs", "x"};
	struct model_item it = {.kind = kind, .style = (int)ph_test_below(&m->seed, 3)};
	bool minted = kind >= ANSWERS, first = ph_test_below(&m->seed, 2);

	if (minted ? first : ph_test_below(&m->seed, 4) == 0)
		model_member(&it, "id", model_id(m, ids[kind]));
	switch (kind) {
	case SAYS:
		model_message(m, &it, "'user'");
		break;
	case DEVELOPER:
		model_message(m, &it, "'developer'");
		break;
	case ANSWERS:
		model_message(m, &it, "'assistant'");
		break;
	case RETURNS:
		model_member(&it, "type", "'function_call_output'");
		model_member(&it, "output", model_words(m));
		break;
	case CALLS:
		model_member(&it, "type", "'function_call'");
		model_member(&it, "call_id", model_id(m, "call"));
		model_member(&it, "arguments", "'{\\\"file_id\\\":1}'");
		break;
	case SEARCHES:
		model_member(&it, "type", "'web_search_call'");
		model_member(&it, "action", model_words(m));
		break;
	case THINKS:
		model_member(&it, "type", "'reasoning'");
		model_member(&it, "encrypted_content", model_words(m));
		break;
	case MUSES:
		model_member(&it, "type", "'reasoning'");
		model_member(&it, "summary", "[ ]");
		break;
	case WONDERS:
		model_member(&it, "type", "'from_the_future'");
		model_member(&it, "wonder", model_words(m));
		break;
	}
	if (minted && ph_test_below(&m->seed, 2))
		model_member(&it, "status", "'completed'");
	if (minted && !first)
		model_member(&it, "id", model_id(m, ids[kind]));
	return it;
}

enum {
	NO_ID = 1,
	NO_STATUS = 2
};

static inline void model_put(struct ph_buf *b, const struct model_item *it, int style, int less)
{
	static const char *const marks[3][4] = {
		{"{", ",", ":", "}"}, {"{ ", " , ", " : ", " }"}, {"{\n\t", ",\n\t", ": ", "\n}"}};
	bool first = true;

	if (b->n)
		ph_buf_putc(b, ',');
	ph_buf_puts(b, ph_str_c(marks[style][0]));
	for (size_t i = 0; i < it->members; i++) {
		if ((less & NO_ID && ph_str_eq(it->name[i], PH_STR("id"))) ||
			(less & NO_STATUS && ph_str_eq(it->name[i], PH_STR("status"))))
			continue;
		ph_buf_printf(b, "%s\"%.*s\"%s%.*s", first ? "" : marks[style][1], PH_STR_ARG(it->name[i]),
			marks[style][2], PH_STR_ARG(it->value[i]));
		first = false;
	}
	ph_buf_puts(b, ph_str_c(marks[style][3]));
}

/* ---- turns ---- */

/* A call's output names the call. */
static inline void model_answer_calls(struct model *m, struct model_turn *t)
{
	const struct model_turn *parent = t->parent < 0 ? NULL : &m->turn[t->parent];

	for (size_t i = 0; parent && i < parent->out_n && t->in_n < MODEL_ITEMS - 2; i++) {
		const struct model_item *call = &parent->out[i];

		if (call->kind != CALLS || ph_test_below(&m->seed, 4) == 0)
			continue;
		t->in[t->in_n] = model_item(m, RETURNS);
		for (size_t k = 0; k < call->members; k++) {
			if (!ph_str_eq(call->name[k], PH_STR("call_id")))
				continue;
			t->in[t->in_n].name[t->in[t->in_n].members] = call->name[k];
			t->in[t->in_n].value[t->in[t->in_n].members++] = call->value[k];
		}
		t->in_n++;
	}
}

static inline int model_grow(struct model *m)
{
	struct model_turn *t = &m->turn[m->turns];

	*t = (struct model_turn){.parent = m->turns ? m->turns - 1 : -1};
	if (m->turns > 2 && ph_test_below(&m->seed, 5) == 0)
		t->parent = (int)ph_test_below(&m->seed, (uint64_t)m->turns); /* a branch */
	t->account = 1 + (int64_t)ph_test_below(&m->seed, MODEL_ACCOUNTS);
	t->stored = t->account != 3 && ph_test_below(&m->seed, 2);
	t->along = t->parent >= 0 && ph_test_below(&m->seed, 4) == 0;
	model_answer_calls(m, t);
	if (ph_test_below(&m->seed, 4) == 0)
		t->in[t->in_n++] = model_item(m, DEVELOPER);
	t->in[t->in_n++] = model_item(m, SAYS);
	for (size_t n = 1 + ph_test_below(&m->seed, 5); t->out_n < n; t->out_n++)
		t->out[t->out_n] = model_item(
			m, ANSWERS + (enum model_kind)ph_test_below(&m->seed, WONDERS - ANSWERS + 1));
	t->out[t->out_n++] = model_item(m, ANSWERS);
	return m->turns++;
}

/* Turns from the root to this one. */
static inline size_t model_path(const struct model *m, int turn, int path[MODEL_TURNS])
{
	size_t n = 0;

	for (int i = turn; i >= 0; i = m->turn[i].parent)
		n++;
	for (int i = turn, k = (int)n; i >= 0; i = m->turn[i].parent)
		path[--k] = i;
	return n;
}

/* The history up to a turn as a client prints it that has no use for ids, status and the white space of
 * others. */
static inline void model_history(struct model *m, struct ph_buf *b, int turn)
{
	int path[MODEL_TURNS], less = ph_test_below(&m->seed, 2) ? NO_ID | NO_STATUS : 0;
	bool thoughts = ph_test_below(&m->seed, 2);
	size_t n = model_path(m, turn, path);

	for (size_t i = 0; i < n; i++) {
		const struct model_turn *t = &m->turn[path[i]];

		for (size_t k = 0; k < t->in_n; k++)
			model_put(b, &t->in[k], 0, 0);
		for (size_t k = 0; k < t->out_n; k++)
			if (thoughts || (t->out[k].kind != THINKS && t->out[k].kind != MUSES))
				model_put(b, &t->out[k], 1, less);
	}
}

static inline struct ph_str model_input(struct model *m, int turn)
{
	const struct model_turn *t = &m->turn[turn];
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	if (t->along)
		model_history(m, &b, t->parent);
	for (size_t i = 0; i < t->in_n; i++)
		model_put(&b, &t->in[i], t->in[i].style, 0);
	return take(&b);
}

static inline struct ph_str model_output(const struct model *m, int turn)
{
	const struct model_turn *t = &m->turn[turn];
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < t->out_n; i++)
		model_put(&b, &t->out[i], t->out[i].style, 0);
	return take(&b);
}

/* ---- what an account must be told ---- */

static inline void model_expect_in(struct ph_buf *b, const struct model_turn *t, int64_t account)
{
	for (size_t i = 0; i < t->in_n; i++)
		model_put(b, &t->in[i], t->in[i].style, t->account == account ? 0 : NO_ID);
}

static inline void model_expect_out(struct ph_buf *b, const struct model_turn *t, int64_t account)
{
	bool own = t->account == account, orphan = false;

	for (size_t i = 0; i < t->out_n; i++) {
		const struct model_item *it = &t->out[i];
		bool thought = it->kind == THINKS || it->kind == MUSES;

		if (own ? it->kind == MUSES && !t->stored : thought || it->kind == SEARCHES) {
			orphan |= thought;
			continue;
		}
		if (own)
			model_put(b, it, it->style, (orphan ? NO_ID : 0) | (thought ? NO_STATUS : 0));
		else
			model_put(b, it, it->style, NO_ID | (it->kind == WONDERS ? NO_STATUS : 0));
		orphan = false;
	}
}

/* The conversation that ends with `turn`, and then `more`. */
static inline struct ph_str model_expected(
	const struct model *m, int turn, int64_t account, struct ph_str more)
{
	int path[MODEL_TURNS];
	size_t n = model_path(m, turn, path);
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < n; i++) {
		model_expect_in(&b, &m->turn[path[i]], account);
		model_expect_out(&b, &m->turn[path[i]], account);
	}
	assert_int_equal(ph_items_append(&b, more), 0);
	return take(&b);
}

#endif
