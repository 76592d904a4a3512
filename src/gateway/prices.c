/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prices of models. A turn's model is looked up by its whole name, else by the longest name in the table that
 * it begins with; the rows come longest first, so that the first match is the one.
 */
#include "prices.h"

#include <stdlib.h>

#define MILLION UINT64_C(1000000)
#define TOKENS_MAX                                                                                           \
	UINT64_C(1000000000) /* of a turn: with the greatest price the sum stays within 64 bits              \
			      */

/* Billionths of a dollar per million tokens; at most 9e12 (the table's checks). */
struct price {
	struct ph_str model;
	uint64_t input, cached, output;
};

struct ph_prices {
	struct ph_gateway *g;
	struct price *rows;
	size_t count;
	struct ph_pg_call *reading;
	bool again, loaded;
	void (*done)(void *arg, int status);
	void *done_arg;
};

static void clear(struct ph_prices *p)
{
	for (size_t i = 0; i < p->count; i++)
		free((void *)(uintptr_t)p->rows[i].model.p);
	free(p->rows);
	p->rows = NULL;
	p->count = 0;
}

static void take(struct ph_prices *p, const struct ph_pg_result *r)
{
	enum {
		MODEL,
		INPUT,
		CACHED,
		OUTPUT
	};
	size_t n = (size_t)ph_pg_rows(r);

	clear(p);
	p->rows = n ? ph_alloc(n * sizeof *p->rows) : NULL;
	for (int row = 0; row < (int)n; row++)
		p->rows[row] = (struct price){ph_str_dup(ph_pg_str(r, row, MODEL)),
			(uint64_t)ph_pg_int(r, row, INPUT), (uint64_t)ph_pg_int(r, row, CACHED),
			(uint64_t)ph_pg_int(r, row, OUTPUT)};
	p->count = n;
	p->loaded = true;
}

static void on_read(void *arg, struct ph_pg_result *r, const struct ph_err *err);

static void read_prices(struct ph_prices *p)
{
	p->reading = ph_limit_store_prices(p->g->pg, on_read, p);
}

static void on_read(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_prices *p = arg;

	p->reading = NULL;
	if (!err)
		take(p, r);
	if (p->again) {
		p->again = false;
		read_prices(p);
		return;
	}
	p->done(p->done_arg, err ? -err->code : 0);
}

void ph_prices_reload(struct ph_prices *p, void (*done)(void *arg, int status), void *arg)
{
	p->done = done;
	p->done_arg = arg;
	if (p->reading)
		p->again = true;
	else
		read_prices(p);
}

bool ph_prices_loaded(const struct ph_prices *p)
{
	return p->loaded;
}

static const struct price *find(const struct ph_prices *p, struct ph_str model)
{
	for (size_t i = 0; i < p->count; i++)
		if (ph_str_starts(model, p->rows[i].model))
			return &p->rows[i];
	return NULL;
}

/* Rounded to the nearest; tokens up to TOKENS_MAX. */
static uint64_t cost(uint64_t tokens, uint64_t price)
{
	return tokens / MILLION * price + (tokens % MILLION * price + MILLION / 2) / MILLION;
}

static uint64_t bounded(uint64_t tokens)
{
	return tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
}

int64_t ph_price_of(const struct ph_prices *p, struct ph_str model, const struct ph_tokens *used)
{
	const struct price *price = find(p, model);
	uint64_t input = bounded(used->input), cached = used->cached < input ? used->cached : input;

	if (!price)
		return -1;
	return (int64_t)(cost(input - cached, price->input) + cost(cached, price->cached) +
			 cost(bounded(used->output), price->output));
}

struct ph_prices *ph_prices_new(struct ph_gateway *g)
{
	struct ph_prices *p = ph_alloc(sizeof *p);

	p->g = g;
	return p;
}

struct ph_prices *ph_prices_free(struct ph_prices *p)
{
	if (!p)
		return NULL;
	if (p->reading)
		ph_pg_abandon(p->reading);
	clear(p);
	free(p);
	return NULL;
}
