/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rests: what went wrong at one place, for one model or one family of clients, and is no account's fault. A
 * rest only demotes, so that losing one costs a try, and this node alone knows of it. The table is bounded;
 * the oldest makes room.
 */
#include <stdlib.h>

#include "account_priv.h"

#define WORD_MAX 256 /* a longer one is not remembered */

static bool has_base(enum ph_rest rest)
{
	return rest == PH_REST_BUSY || rest == PH_REST_PLACE;
}

static bool same_base(const struct ph_url *a, const struct ph_url *b)
{
	return a->tls == b->tls && a->port == b->port && strcmp(a->host, b->host) == 0 &&
	       strcmp(a->path, b->path) == 0;
}

static bool is_of(const struct ph_rest_entry *e, const struct ph_account *a)
{
	return e->base ? same_base(e->base, &a->base) : e->account == a->id;
}

static void clear(struct ph_rest_entry *e)
{
	free(e->base);
	free((void *)(uintptr_t)e->word.p);
	*e = (struct ph_rest_entry){0};
}

/* Keeps those that the condition keeps, in their order. */
static void keep(
	struct ph_accounts *r, bool (*keeps)(const struct ph_rest_entry *e, const void *arg), const void *arg)
{
	size_t n = 0;

	for (size_t i = 0; i < r->rest_count; i++) {
		if (keeps(&r->rests[i], arg))
			r->rests[n++] = r->rests[i];
		else
			clear(&r->rests[i]);
	}
	r->rest_count = n;
}

static bool is_running(const struct ph_rest_entry *e, const void *now_ms)
{
	return e->until_ms > *(const uint64_t *)now_ms;
}

static bool is_elsewhere(const struct ph_rest_entry *e, const void *account)
{
	return (e->rest != PH_REST_ACCOUNT && e->rest != PH_REST_PLACE) || !is_of(e, account);
}

static struct ph_rest_entry *find(
	struct ph_accounts *r, const struct ph_account *a, enum ph_rest rest, struct ph_str word)
{
	for (size_t i = 0; i < r->rest_count; i++) {
		struct ph_rest_entry *e = &r->rests[i];

		if (e->rest == rest && ph_str_eq(e->word, word) && is_of(e, a))
			return e;
	}
	return NULL;
}

static struct ph_rest_entry *add(
	struct ph_accounts *r, const struct ph_account *a, enum ph_rest rest, struct ph_str word)
{
	struct ph_rest_entry *e;

	if (r->rest_count == PH_RESTS_MAX) {
		clear(&r->rests[0]);
		memmove(&r->rests[0], &r->rests[1], (PH_RESTS_MAX - 1) * sizeof r->rests[0]);
		r->rest_count--;
	}
	e = &r->rests[r->rest_count++];
	*e = (struct ph_rest_entry){.rest = rest, .account = a->id, .word = ph_str_dup(word)};
	if (has_base(rest)) {
		e->base = ph_alloc(sizeof *e->base);
		*e->base = a->base;
	}
	return e;
}

void ph_account_rest(
	struct ph_accounts *r, const struct ph_account *a, enum ph_rest rest, struct ph_str word, uint64_t ms)
{
	uint64_t now = ph_loop_now_ms(r->loop), until_ms = now + ms;
	struct ph_rest_entry *e;

	if (word.n > WORD_MAX)
		return;
	keep(r, is_running, &now);
	e = find(r, a, rest, word);
	if (!e)
		e = add(r, a, rest, word);
	if (until_ms > e->until_ms)
		e->until_ms = until_ms;
}

void ph_account_rested(struct ph_accounts *r, const struct ph_account *a)
{
	if (r->rest_count)
		keep(r, is_elsewhere, a);
}

void ph_rests_drop(struct ph_accounts *r)
{
	for (size_t i = 0; i < r->rest_count; i++)
		clear(&r->rests[i]);
	r->rest_count = 0;
}

static bool concerns(const struct ph_rest_entry *e, const struct ph_choice *c)
{
	if (e->rest == PH_REST_MODEL || e->rest == PH_REST_BUSY)
		return ph_str_eq(e->word, c->model);
	return e->rest != PH_REST_CLIENT || ph_str_eq(e->word, c->client);
}

bool ph_account_rests(const struct ph_accounts *r, const struct ph_account *a, const struct ph_choice *c)
{
	uint64_t now = ph_loop_now_ms(r->loop);

	for (size_t i = 0; i < r->rest_count; i++) {
		const struct ph_rest_entry *e = &r->rests[i];

		if (e->until_ms > now && concerns(e, c) && is_of(e, a))
			return true;
	}
	return false;
}
