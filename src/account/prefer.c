/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where conversations stay, as this node knows it: calls that are under way, one per conversation, and the
 * last answers, in a table of fixed size in which a newer one takes the place of an older one.
 */
#include <stdlib.h>

#include "account_priv.h"
#include "posthouse/metrics.h"
#include "posthouse/prefer.h"

#define SIGNAL_N   16
#define KNOWN_MAX  4096 /* a power of two */
#define KNOWN_MS   5000
#define CALLS_MAX  1024
#define TIMEOUT_MS 500
#define ABLE_MAX   256 /* accounts that are told; a conversation on another one moves */

enum {
	OUTCOME_NEW,
	OUTCOME_KEPT,
	OUTCOME_MOVED,
	OUTCOME_NONE,
	OUTCOME_FAILED,
	OUTCOME_KNOWN
};

struct name {
	int64_t scope;
	uint8_t signal[SIGNAL_N];
};

struct known {
	struct name name;
	int64_t account;
	uint64_t until_ms; /* loop time; 0 = the place is free */
};

struct call {
	struct ph_list node;
	struct ph_list waiting; /* of struct ph_prefer_wait; may be empty: the answer is kept all the same */
	struct ph_prefer *p;
	struct name name;
	struct ph_pg_call *pg;
	bool late; /* the accounts were read again meanwhile */
};

/* Owner: the registry. */
struct ph_prefer {
	struct ph_accounts *r;
	struct ph_list calls;
	size_t call_count;
	struct known known[KNOWN_MAX];
};

struct ph_prefer *ph_prefer_new(struct ph_accounts *r)
{
	struct ph_prefer *p = ph_alloc(sizeof *p);

	p->r = r;
	ph_list_init(&p->calls);
	return p;
}

static void call_free(struct call *c)
{
	ph_list_remove(&c->node);
	c->p->call_count--;
	free(c);
}

struct ph_prefer *ph_prefer_free(struct ph_prefer *p)
{
	if (!p)
		return NULL;
	PH_LIST_EACH_SAFE (it, &p->calls) {
		struct call *c = PH_CONTAINER(it, struct call, node);

		while (ph_list_pop(&c->waiting))
			;
		ph_pg_abandon(c->pg);
		call_free(c);
	}
	free(p);
	return NULL;
}

void ph_prefer_forget(struct ph_prefer *p)
{
	for (size_t i = 0; i < KNOWN_MAX; i++)
		p->known[i].until_ms = 0;
	PH_LIST_EACH (it, &p->calls)
		PH_CONTAINER(it, struct call, node)->late = true;
}

/* ---- names ---- */

static struct name name_of(int64_t scope, enum ph_named_by by, struct ph_str text)
{
	struct name ret = {.scope = scope, .signal = {(uint8_t)by}};
	uint8_t digest[32];

	ph_sha256(text, digest);
	memcpy(ret.signal + 1, digest, SIGNAL_N - 1);
	return ret;
}

static bool same(const struct name *a, const struct name *b)
{
	return a->scope == b->scope && memcmp(a->signal, b->signal, SIGNAL_N) == 0;
}

static struct known *place_of(struct ph_prefer *p, const struct name *name)
{
	uint64_t bits;

	memcpy(&bits, name->signal + SIGNAL_N - sizeof bits, sizeof bits);
	return &p->known[(bits ^ (uint64_t)name->scope) % KNOWN_MAX];
}

static struct call *call_of(struct ph_prefer *p, const struct name *name)
{
	PH_LIST_EACH (it, &p->calls) {
		struct call *c = PH_CONTAINER(it, struct call, node);

		if (same(&c->name, name))
			return c;
	}
	return NULL;
}

/* ---- who is able ---- */

/* Any account that may serve such a turn, now or later: one that is paused or blocked comes back. */
static bool belongs(const struct ph_choice *c, const struct ph_account *a)
{
	bool allowed = c->allowed_count == 0;

	for (size_t i = 0; i < c->allowed_count && !allowed; i++)
		allowed = c->allowed[i] == a->id;
	return allowed && (!c->kinds || c->kinds & 1 << a->kind) && ph_account_serves(a, c->model);
}

bool ph_prefer_matters(struct ph_accounts *r, const struct ph_choice *c)
{
	int n = 0;

	PH_LIST_EACH (it, &r->all)
		n += belongs(c, PH_CONTAINER(it, struct ph_account, node));
	return n > 1;
}

/* As an old conversation: of a new one nobody knows yet that it is. */
static struct ph_choice as_old(const struct ph_choice *c)
{
	struct ph_choice ret = *c;

	ret.fresh = false;
	return ret;
}

static bool at_its_best(const struct ph_accounts *r, const struct ph_choice *c, const struct ph_account *a)
{
	return ph_choice_allows(c, a) && !ph_account_rests(r, a, c) && !ph_account_over(a);
}

bool ph_prefer_stands(struct ph_accounts *r, const struct ph_choice *c, int64_t account)
{
	const struct ph_account *a = ph_accounts_find(r, account);
	struct ph_choice old = as_old(c);

	return a && ph_choice_allows(&old, a) && !ph_account_rests(r, a, &old) &&
	       !ph_account_spared(r, &old, a);
}

/* All that can take the turn, whatever their slots; those that rest or are above their bound only where there
 * is nobody else. False: there is none. */
static bool put_able(struct ph_accounts *r, const struct ph_choice *c, struct ph_buf *b)
{
	struct ph_choice old = as_old(c);
	int n = 0;

	for (int best = 1; best >= 0 && n == 0; best--) {
		PH_LIST_EACH (it, &r->all) {
			const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

			if (n == ABLE_MAX || !(best ? at_its_best(r, &old, a) : ph_choice_allows(&old, a)))
				continue;
			ph_buf_putc(b, n++ ? ',' : '{');
			ph_buf_i64(b, a->id);
		}
	}
	ph_buf_putc(b, '}');
	return n > 0;
}

/* ---- asking ---- */

static void count(unsigned outcome)
{
	ph_metric_add(PH_M_PREFERENCES, outcome, 0, 1);
}

static unsigned outcome_of(int64_t account, int64_t was)
{
	if (!account)
		return OUTCOME_NONE;
	if (!was)
		return OUTCOME_NEW;
	return account == was ? OUTCOME_KEPT : OUTCOME_MOVED;
}

static void keep(struct ph_prefer *p, const struct call *c, int64_t account)
{
	if (account && !c->late)
		*place_of(p, &c->name) =
			(struct known){c->name, account, ph_loop_now_ms(p->r->loop) + KNOWN_MS};
}

static void on_answer(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct call *c = arg;
	int64_t account = err ? 0 : ph_pg_int(rows, 0, PH_PREFER_ACCOUNT);
	int64_t was = err ? 0 : ph_pg_int(rows, 0, PH_PREFER_WAS);
	struct ph_list told, *it;

	count(err ? OUTCOME_FAILED : outcome_of(account, was));
	keep(c->p, c, account);
	ph_list_init(&told);
	while ((it = ph_list_pop(&c->waiting)))
		ph_list_push_back(&told, it);
	call_free(c);
	/* Whoever is called may stop others that wait here. */
	while ((it = ph_list_pop(&told))) {
		struct ph_prefer_wait *w = PH_CONTAINER(it, struct ph_prefer_wait, node);

		w->account = account;
		w->was = was;
		w->cb(w->arg);
	}
}

static struct call *call_new(struct ph_prefer *p, const struct name *name, const struct ph_choice *choice)
{
	struct ph_chosen chosen;
	struct ph_buf able;
	struct call *c = NULL;

	ph_buf_init(&able, ABLE_MAX * PH_INT_TEXT + 2);
	if (p->call_count < CALLS_MAX && put_able(p->r, choice, &able)) {
		c = ph_alloc(sizeof *c);
		*c = (struct call){.p = p, .name = *name};
		ph_list_init(&c->waiting);
		ph_list_push_back(&p->calls, &c->node);
		p->call_count++;
		ph_account_choose(p->r, choice, &chosen);
		c->pg = ph_prefer_store_call(p->r->pg, name->scope,
			ph_str((const char *)name->signal, SIGNAL_N), ph_buf_str(&able),
			chosen.account ? chosen.account->id : 0, TIMEOUT_MS, on_answer, c);
	}
	ph_buf_deinit(&able);
	return c;
}

bool ph_prefer(struct ph_accounts *r, struct ph_prefer_wait *w, int64_t scope, enum ph_named_by by,
	struct ph_str text, const struct ph_choice *c)
{
	struct name name = name_of(scope, by, text);
	const struct known *k = place_of(r->prefer, &name);
	struct call *call;

	w->account = w->was = 0;
	if (k->until_ms > ph_loop_now_ms(r->loop) && same(&k->name, &name) &&
		ph_prefer_stands(r, c, k->account)) {
		count(OUTCOME_KNOWN);
		w->account = w->was = k->account;
		return true;
	}
	call = call_of(r->prefer, &name);
	if (!call)
		call = call_new(r->prefer, &name, c);
	if (!call)
		return true;
	ph_list_push_back(&call->waiting, &w->node);
	return false;
}

void ph_prefer_wait_init(struct ph_prefer_wait *w, void (*cb)(void *arg), void *arg)
{
	*w = (struct ph_prefer_wait){.cb = cb, .arg = arg};
	ph_list_init(&w->node);
}

void ph_prefer_wait_stop(struct ph_prefer_wait *w)
{
	ph_list_remove(&w->node);
}
