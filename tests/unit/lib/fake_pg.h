/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database that says what a test tells it to: defines the reading half of posthouse/pg.h, so that the real
 * one is not linked. Calls wait until the test answers them. For modules whose logic is not in SQL; include
 * it once.
 */
#ifndef PH_TEST_FAKE_PG_H
#define PH_TEST_FAKE_PG_H

#include <stdio.h>
#include <stdlib.h>

#include "ph_test.h"

#include "posthouse/pg.h"

/* Rows of cells. An array's cell is its elements joined by commas; a cell without p is NULL. */
struct ph_pg_result {
	const struct ph_str *cells;
	int rows, cols;
};

#define FAKE_PG_PARAMS 16

struct ph_pg_call {
	struct ph_list node;
	const char *sql;
	char *param; /* the first parameter's bytes */
	size_t param_n;
	struct ph_str text[FAKE_PG_PARAMS]; /* every parameter: bytes, or a number's digits; NULL has no p */
	ph_pg_cb cb;
	void *arg;
};

/* Calls that were neither answered nor abandoned, oldest first. */
static struct ph_list fake_pg_calls = {&fake_pg_calls, &fake_pg_calls};

static inline struct ph_pg_call *fake_pg_first(void)
{
	assert_false(ph_list_empty(&fake_pg_calls));
	return PH_CONTAINER(fake_pg_calls.next, struct ph_pg_call, node);
}

static inline size_t fake_pg_waiting(void)
{
	size_t n = 0;

	PH_LIST_EACH (it, &fake_pg_calls)
		n++;
	return n;
}

static inline void fake_pg_free(struct ph_pg_call *call)
{
	ph_list_remove(&call->node);
	for (int i = 0; i < FAKE_PG_PARAMS; i++)
		free((void *)(uintptr_t)call->text[i].p);
	free(call->param);
	free(call);
}

/* Both answer the oldest call; its callback runs inside. */
static inline void fake_pg_rows(const struct ph_str *cells, int rows, int cols)
{
	struct ph_pg_call *call = fake_pg_first();
	struct ph_pg_result result = {cells, rows, cols};
	ph_pg_cb cb = call->cb;
	void *arg = call->arg;

	fake_pg_free(call);
	cb(arg, &result, NULL);
}

static inline void fake_pg_fails(int code)
{
	struct ph_pg_call *call = fake_pg_first();
	struct ph_err err = {.code = code};
	ph_pg_cb cb = call->cb;
	void *arg = call->arg;

	fake_pg_free(call);
	cb(arg, NULL, &err);
}

static inline struct ph_str fake_pg_text(const struct ph_pg_param *p)
{
	char digits[32];

	if (p->kind == PH_PG_NULL)
		return PH_STR_NONE;
	if (p->kind == PH_PG_TEXT || p->kind == PH_PG_BYTES)
		return ph_str_dup(p->s);
	snprintf(digits, sizeof digits, "%lld", (long long)p->i);
	return ph_str_dup(ph_str_c(digits));
}

/* ---- posthouse/pg.h ---- */

struct ph_pg_call *ph_pg_query(struct ph_pg *pg, const char *sql, const struct ph_pg_param *params, int count,
	uint64_t timeout_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_call *call = ph_alloc(sizeof *call);

	(void)pg;
	(void)timeout_ms;
	call->sql = sql;
	call->cb = cb;
	call->arg = arg;
	if (count && params[0].s.n) {
		call->param = ph_alloc(params[0].s.n);
		memcpy(call->param, params[0].s.p, params[0].s.n);
		call->param_n = params[0].s.n;
	}
	assert_in_range(count, 0, FAKE_PG_PARAMS);
	for (int i = 0; i < count; i++)
		call->text[i] = fake_pg_text(&params[i]);
	ph_list_push_back(&fake_pg_calls, &call->node);
	return call;
}

/* Writes are told apart by nothing but their text. */
void ph_pg_write(struct ph_pg *pg, const char *sql, const struct ph_pg_param *params, int count, ph_pg_cb cb,
	void *arg)
{
	ph_pg_query(pg, sql, params, count, 0, cb, arg);
}

void ph_pg_abandon(struct ph_pg_call *call)
{
	fake_pg_free(call);
}

int ph_pg_rows(const struct ph_pg_result *r)
{
	return r->rows;
}

struct ph_str ph_pg_str(const struct ph_pg_result *r, int row, int col)
{
	assert_true(row >= 0 && row < r->rows && col >= 0 && col < r->cols);
	return r->cells[row * r->cols + col];
}

static inline int64_t fake_pg_number(struct ph_str s)
{
	char text[32];

	ph_str_copy(text, sizeof text, s);
	return strtoll(text, NULL, 10);
}

int64_t ph_pg_int(const struct ph_pg_result *r, int row, int col)
{
	return fake_pg_number(ph_pg_str(r, row, col));
}

size_t ph_pg_array_count(const struct ph_pg_result *r, int row, int col)
{
	struct ph_str s = ph_pg_str(r, row, col);
	size_t n = s.n ? 1 : 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == ',';
	return n;
}

struct ph_str ph_pg_array_str(const struct ph_pg_result *r, int row, int col, size_t i)
{
	struct ph_str rest = ph_pg_str(r, row, col), s = ph_str_split(&rest, ',');

	while (i--)
		s = ph_str_split(&rest, ',');
	return s;
}

int64_t ph_pg_array_int(const struct ph_pg_result *r, int row, int col, size_t i)
{
	return fake_pg_number(ph_pg_array_str(r, row, col, i));
}

#endif
