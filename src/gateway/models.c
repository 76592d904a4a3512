/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/models: the union over the accounts that a key may use. Accounts with a list of models of their own
 * speak for themselves; the others are asked, all at once, and what they said is kept for a few minutes, or
 * until there is another to ask.
 */
#include "models.h"

#include <stdlib.h>

#include "side.h"

#define FRESH_MS   (5 * 60 * 1000)
#define ASK_MS     5000
#define LIST_MAX   (8 * 1024 * 1024)
#define MODELS_MAX 10000

/* One model at one account. */
struct model {
	struct ph_list node;
	int64_t account;
	struct ph_str id;     /* text */
	struct ph_str object; /* JSON, as the account described it */
};

/* A question to one account. */
struct ask {
	struct ph_list node;
	struct ph_models *models;
	int64_t account;
	struct ph_call *call;
	int status;
	struct ph_buf body;
};

/* Owner: the gateway. */
struct ph_models {
	struct ph_gateway *g;
	struct ph_list list; /* of struct model */
	size_t count;
	struct ph_list fresh;   /* what the running round brought so far */
	struct ph_list asks;    /* questions in flight */
	struct ph_list waiting; /* of struct waiter: requests that wait for the round */
	struct ph_timer timer;  /* the round's deadline */
	uint64_t read_ms;       /* loop time of the last round; 0 = never, or it brought nothing */
	uint64_t asked_of;      /* digest of the accounts that it asked */
	bool running;
};

struct waiter {
	struct ph_list node;
	struct ph_side *side;
	struct ph_str id; /* one model, or empty for all */
};

static void model_free(struct model *m)
{
	ph_list_remove(&m->node);
	free((void *)(uintptr_t)m->id.p);
	free((void *)(uintptr_t)m->object.p);
	free(m);
}

static void list_clear(struct ph_list *l)
{
	while (!ph_list_empty(l))
		model_free(PH_CONTAINER(l->next, struct model, node));
}

static void add(struct ph_models *ms, int64_t account, struct ph_str id, struct ph_str object)
{
	struct model *m;

	if (ms->count >= MODELS_MAX)
		return;
	m = ph_alloc(sizeof *m);
	m->account = account;
	m->id = ph_str_dup(id);
	m->object = ph_str_dup(object);
	ms->count++;
	ph_list_push_back(&ms->fresh, &m->node);
}

/* ---- asking ---- */

static void add_named(struct ph_models *ms, const struct ph_account *a)
{
	for (size_t i = 0; i < a->model_count; i++) {
		struct ph_buf object;

		ph_buf_init(&object, LIST_MAX);
		ph_buf_puts(&object, PH_STR("{\"id\":\""));
		ph_buf_json(&object, a->models[i]);
		ph_buf_puts(
			&object, PH_STR("\",\"object\":\"model\",\"created\":0,\"owned_by\":\"posthouse\"}"));
		add(ms, a->id, a->models[i], ph_buf_str(&object));
		ph_buf_deinit(&object);
	}
}

static void add_answer(struct ph_models *ms, int64_t account, struct ph_str body)
{
	static const struct ph_str data = PH_STR_INIT("data"), id = PH_STR_INIT("id");
	struct ph_json_member m;
	struct ph_arena scratch;
	struct ph_str object, text;

	if (ph_json_check(body, NULL) || !ph_json_find(body, &data, 1, &m) || m.kind != PH_JSON_ARRAY)
		return;
	ph_arena_init(&scratch, LIST_MAX);
	struct ph_str list = m.value;
	for (size_t at = 0; ph_json_next(list, &at, &object);)
		if (ph_json_find(object, &id, 1, &m) && ph_json_text(m.value, &scratch, &text))
			add(ms, account, text, object);
	ph_arena_deinit(&scratch);
}

static void round_over(struct ph_models *ms);

static void ask_free(struct ask *k)
{
	ph_list_remove(&k->node);
	ph_buf_deinit(&k->body);
	free(k);
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	((struct ask *)owner)->status = head->status;
}

static void on_body(void *owner, struct ph_str bytes)
{
	ph_buf_puts(&((struct ask *)owner)->body, bytes);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ask *k = owner;
	struct ph_models *ms = k->models;

	(void)err;
	if (status == 0 && k->status == 200 && !k->body.failed)
		add_answer(ms, k->account, ph_buf_str(&k->body));
	ask_free(k);
	if (ph_list_empty(&ms->asks))
		round_over(ms);
}

static void ask(struct ph_models *ms, const struct ph_account *a, const struct ph_exchange *x)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct ask *k = ph_alloc(sizeof *k);
	struct ph_buf head;

	k->models = ms;
	k->account = a->id;
	ph_buf_init(&k->body, LIST_MAX);
	ph_list_push_back(&ms->asks, &k->node);
	ph_buf_init(&head, PH_HEAD_MAX);
	ph_account_headers(&head, a, x, PH_STR("application/json"), false, false);
	struct ph_call_request r = {&a->base, PH_STR("GET"), PH_STR("/models"), &head, NULL, false};
	k->call = ph_call_start(ms->g->upstream, &r, &events, k);
	ph_buf_deinit(&head);
}

static void asks_cancel(struct ph_models *ms)
{
	while (!ph_list_empty(&ms->asks)) {
		struct ask *k = PH_CONTAINER(ms->asks.next, struct ask, node);

		ph_call_cancel(k->call);
		ask_free(k);
	}
}

/* Of whom a round asks, where, and with which credential. The accounts are read anew more often than they
 * change. */
static uint64_t digest(const struct ph_models *ms)
{
	uint64_t h = 0;

	PH_LIST_EACH (it, ph_accounts_list(ms->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		const uint64_t numbers[] = {(uint64_t)a->id, a->base.port};

		if (!ph_account_usable(a))
			continue;
		h = ph_hash64(ph_str((const char *)numbers, sizeof numbers), h);
		h = ph_hash64(ph_str_c(a->base.host), h);
		h = ph_hash64(ph_str_c(a->base.path), h);
		h = ph_hash64(a->secret, h);
		for (size_t i = 0; i < a->model_count; i++)
			h = ph_hash64(a->models[i], h);
	}
	return h;
}

/* Whether what the last round brought still holds. */
static bool holds(const struct ph_models *ms)
{
	return ms->read_ms && ph_loop_now_ms(ms->g->loop) - ms->read_ms < FRESH_MS &&
	       digest(ms) == ms->asked_of;
}

static void round_start(struct ph_models *ms, const struct ph_exchange *x)
{
	ms->running = true;
	ms->asked_of = digest(ms);
	ms->count = 0;
	PH_LIST_EACH (it, ph_accounts_list(ms->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (!ph_account_usable(a))
			continue;
		if (a->model_count)
			add_named(ms, a);
		else
			ask(ms, a, x);
	}
	if (!ph_list_empty(&ms->asks))
		ph_timer_start(&ms->timer, ASK_MS);
}

/* ---- answering ---- */

static bool visible(const struct model *m, const struct ph_side *s)
{
	struct ph_account *a = ph_accounts_find(s->g->accounts, m->account);

	return a && ph_account_usable(a) && ph_key_allows_account(s->door.key, m->account) &&
	       ph_key_allows_model(s->door.key, m->id);
}

static bool first_of_its_id(const struct ph_models *ms, const struct model *m, const struct ph_side *s)
{
	PH_LIST_EACH (it, &ms->list) {
		const struct model *other = PH_CONTAINER(it, struct model, node);

		if (other == m)
			return true;
		if (ph_str_eq(other->id, m->id) && visible(other, s))
			return false;
	}
	return true;
}

static void reply_all(struct ph_models *ms, struct ph_side *s)
{
	struct ph_buf body;
	bool first = true;

	ph_buf_init(&body, 2 * LIST_MAX);
	ph_buf_puts(&body, PH_STR("{\"object\":\"list\",\"data\":["));
	PH_LIST_EACH (it, &ms->list) {
		const struct model *m = PH_CONTAINER(it, struct model, node);

		if (!visible(m, s) || !first_of_its_id(ms, m, s))
			continue;
		if (!first)
			ph_buf_putc(&body, ',');
		ph_buf_puts(&body, m->object);
		first = false;
	}
	ph_buf_puts(&body, PH_STR("]}"));
	ph_side_json(s, 200, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

static void reply_one(struct ph_models *ms, struct ph_side *s, struct ph_str id)
{
	struct ph_err err;

	PH_LIST_EACH (it, &ms->list) {
		const struct model *m = PH_CONTAINER(it, struct model, node);

		if (ph_str_eq(m->id, id) && visible(m, s)) {
			ph_side_json(s, 200, m->object);
			return;
		}
	}
	ph_fail_param(&err, PH_E_MODEL_UNKNOWN, "model", "Model: '%.*s'.", PH_STR_ARG(id));
	ph_side_error(s, PH_E_MODEL_UNKNOWN, &err, 0);
}

static void reply(struct ph_models *ms, struct waiter *w)
{
	ph_list_remove(&w->node);
	if (w->id.n)
		reply_one(ms, w->side, w->id);
	else
		reply_all(ms, w->side);
}

static void round_over(struct ph_models *ms)
{
	ph_timer_stop(&ms->timer);
	asks_cancel(ms);
	list_clear(&ms->list);
	while (!ph_list_empty(&ms->fresh))
		ph_list_move(ms->fresh.next, &ms->list);
	ms->running = false;
	ms->read_ms = ph_list_empty(&ms->list) ? 0 : ph_loop_now_ms(ms->g->loop);
	while (!ph_list_empty(&ms->waiting))
		reply(ms, PH_CONTAINER(ms->waiting.next, struct waiter, node));
}

static void on_timer(void *arg)
{
	round_over(arg);
}

static void serve(struct ph_side *s)
{
	struct ph_models *ms = s->g->models;
	struct waiter *w = s->data;

	ph_list_push_back(&ms->waiting, &w->node);
	if (holds(ms)) {
		reply(ms, w);
		return;
	}
	if (ms->running)
		return;
	round_start(ms, s->x);
	if (ph_list_empty(&ms->asks))
		round_over(ms);
}

static void cancel(struct ph_side *s)
{
	struct waiter *w = s->data;

	ph_list_remove(&w->node);
}

static const struct ph_side_ops ops = {PH_ROUTE_MODELS, serve, cancel, NULL};

void ph_models_list(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(struct waiter));
	struct waiter *w = s->data;

	ph_list_init(&w->node);
	w->side = s;
	w->id = ph_arena_dup(&s->arena, id);
	ph_side_start(s);
}

struct ph_models *ph_models_new(struct ph_gateway *g)
{
	struct ph_models *ms = ph_alloc(sizeof *ms);

	ms->g = g;
	ph_list_init(&ms->list);
	ph_list_init(&ms->fresh);
	ph_list_init(&ms->asks);
	ph_list_init(&ms->waiting);
	ph_timer_init(&ms->timer, g->loop, on_timer, ms);
	return ms;
}

struct ph_models *ph_models_free(struct ph_models *ms)
{
	ph_timer_stop(&ms->timer);
	asks_cancel(ms);
	list_clear(&ms->list);
	list_clear(&ms->fresh);
	free(ms);
	return NULL;
}
