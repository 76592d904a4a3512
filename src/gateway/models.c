/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/models: the union over the accounts that a key may use. Accounts with models that the operator
 * named speak through these; the others through the list that they gave when they were last asked (poll.c),
 * which the database keeps for all nodes. Codex clients, which say their version, get the catalogue that they
 * want: the entries of accounts of that kind, as they came.
 *
 * A list may be incomplete or old: what it lacks is asked of that account last, and never refused for it.
 */
#include "models.h"

#include <stdio.h>
#include <stdlib.h>

#include "poll.h"
#include "side.h"

#define UNION_MAX  2000
#define ANSWER_MAX (8 * 1024 * 1024)
#define WAIT_MS    3000 /* for an account that was never asked */
#define TAG_MAX    20

/* A model as one account lists it: slices of the entry's text. */
struct model {
	struct ph_str id; /* undecoded: JSON without the quotes */
	struct ph_str object;
};

/* One account's list. */
struct entry {
	struct ph_list node;
	int64_t account;
	bool codex;
	struct ph_str text; /* owned */
	struct model *models;
	uint64_t *ids; /* hashes */
	size_t count;
};

/* Owner: the gateway. */
struct ph_models {
	struct ph_gateway *g;
	struct ph_list list;    /* of struct entry, by account */
	struct ph_list waiting; /* of struct waiter: requests that wait for an account's first list */
	struct ph_pg_call *reading;
	bool again, loaded;
	void (*done)(void *arg, int status);
	void *done_arg;
};

struct waiter {
	struct ph_list node;
	struct ph_side *side;
	struct ph_timer timer;
	struct ph_str id; /* one model, or empty for all */
	bool catalogue;
};

/* ---- lists ---- */

static struct ph_str id_name(bool codex)
{
	return codex ? PH_STR("slug") : PH_STR("id");
}

/* Names with escapes are left out: no model has one, and text with a NUL could not be stored. */
static bool read_model(struct ph_str object, bool codex, struct model *ret)
{
	struct ph_str name = id_name(codex);
	struct ph_json_member m;

	if (!ph_json_find(object, &name, 1, &m) || m.kind != PH_JSON_STRING || m.escaped || m.value.n <= 2)
		return false;
	ret->id = ph_str(m.value.p + 1, m.value.n - 2);
	ret->object = object;
	return true;
}

bool ph_models_take(struct ph_str answer, bool codex, struct ph_buf *out)
{
	struct ph_str name = codex ? PH_STR("models") : PH_STR("data"), object;
	struct ph_json_member m;
	struct model model;

	answer = ph_str_trim(answer);
	if (ph_json_check(answer, NULL) || !ph_json_find(answer, &name, 1, &m) || m.kind != PH_JSON_ARRAY)
		return false;
	ph_buf_putc(out, '[');
	for (size_t at = 0; ph_json_next(m.value, &at, &object);) {
		if (ph_json_kind(object) != PH_JSON_OBJECT || !read_model(object, codex, &model) ||
			ph_str_find(object, PH_STR("\\u0000")) >= 0)
			continue;
		if (out->n > 1)
			ph_buf_putc(out, ',');
		ph_buf_puts(out, object);
	}
	return ph_buf_putc(out, ']') == 0;
}

static void entry_free(struct entry *e)
{
	ph_list_remove(&e->node);
	free((void *)(uintptr_t)e->text.p);
	free(e->models);
	free(e->ids);
	free(e);
}

static void entry_fill(struct entry *e)
{
	struct ph_str object;
	struct model m;

	for (size_t at = 0; e->text.n && ph_json_next(e->text, &at, &object);) {
		if (!read_model(object, e->codex, &m))
			continue;
		e->models = ph_realloc(e->models, (e->count + 1) * sizeof *e->models);
		e->ids = ph_realloc(e->ids, (e->count + 1) * sizeof *e->ids);
		e->ids[e->count] = ph_hash64(m.id, 0);
		e->models[e->count++] = m;
	}
}

static struct entry *find(const struct ph_models *ms, int64_t account)
{
	PH_LIST_EACH (it, &ms->list) {
		struct entry *e = PH_CONTAINER(it, struct entry, node);

		if (e->account == account)
			return e;
	}
	return NULL;
}

bool ph_models_known(const struct ph_models *ms, int64_t account)
{
	return !ms->loaded || !ms->g->config->models_interval_ms || find(ms, account);
}

bool ph_models_awaited(const struct ph_models *ms)
{
	return !ph_list_empty(&ms->waiting);
}

void ph_models_apply(struct ph_models *ms, struct ph_account *a)
{
	const struct entry *e = find(ms, a->id);

	ph_account_list_models(a, e ? e->ids : NULL, e ? e->count : 0);
}

/* ---- reading ---- */

static void apply(struct ph_models *ms, const struct ph_pg_result *rows)
{
	enum {
		ACCOUNT,
		FORMAT,
		LIST
	};

	while (!ph_list_empty(&ms->list))
		entry_free(PH_CONTAINER(ms->list.next, struct entry, node));
	for (int i = 0; i < ph_pg_rows(rows); i++) {
		struct entry *e = ph_alloc(sizeof *e);

		e->account = ph_pg_int(rows, i, ACCOUNT);
		e->codex = ph_str_eq(ph_pg_str(rows, i, FORMAT), PH_STR("codex"));
		e->text = ph_str_dup(ph_pg_str(rows, i, LIST));
		entry_fill(e);
		ph_list_push_back(&ms->list, &e->node);
	}
	PH_LIST_EACH (it, ph_accounts_list(ms->g->accounts))
		ph_models_apply(ms, PH_CONTAINER(it, struct ph_account, node));
	ms->loaded = true;
}

static void serve_waiting(struct ph_models *ms);

static void on_read(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_models *ms = arg;

	ms->reading = NULL;
	if (!err)
		apply(ms, rows);
	if (ms->again) {
		ms->again = false;
		ms->reading = ph_poll_store_load_models(ms->g->pg, on_read, ms);
		return;
	}
	serve_waiting(ms);
	if (ms->done)
		ms->done(ms->done_arg, err ? -err->code : 0);
}

void ph_models_reload(struct ph_models *ms, void (*done)(void *arg, int status), void *arg)
{
	ms->done = done;
	ms->done_arg = arg;
	if (ms->reading)
		ms->again = true;
	else
		ms->reading = ph_poll_store_load_models(ms->g->pg, on_read, ms);
}

/* ---- the union ---- */

/* What the client is shown, each model once: the first account that has it describes it. */
struct shown {
	struct ph_buf *out;
	const struct ph_key *key;
	struct ph_str only; /* one model, or empty */
	bool catalogue;
	size_t from; /* of out: where the list begins */
	uint64_t seen[UNION_MAX];
	size_t count;
};

static bool is_new(struct shown *u, struct ph_str id)
{
	uint64_t hash = ph_hash64(id, 0);

	if (u->count == UNION_MAX || (u->only.n && !ph_str_eq(id, u->only)) ||
		!ph_key_allows_model(u->key, id))
		return false;
	for (size_t i = 0; i < u->count; i++)
		if (u->seen[i] == hash)
			return false;
	u->seen[u->count++] = hash;
	if (u->out->n > u->from)
		ph_buf_putc(u->out, ',');
	return true;
}

static void put_made_up(struct ph_buf *out, struct ph_str id, const char *owner)
{
	ph_buf_puts(out, PH_STR("{\"id\":\""));
	ph_buf_json(out, id);
	ph_buf_printf(out, "\",\"object\":\"model\",\"created\":0,\"owned_by\":\"%s\"}", owner);
}

static void show(struct shown *u, const struct entry *e, const struct model *m)
{
	if ((u->catalogue && !e->codex) || !is_new(u, m->id))
		return;
	if (e->codex && !u->catalogue)
		put_made_up(u->out, m->id, "openai");
	else
		ph_buf_puts(u->out, m->object);
}

static void show_account(struct shown *u, const struct ph_account *a, const struct entry *e)
{
	for (size_t i = 0; e && i < e->count; i++)
		if (a->model_count == 0 || ph_account_serves(a, e->models[i].id))
			show(u, e, &e->models[i]);
	for (size_t i = 0; i < a->model_count && !u->catalogue; i++)
		if (is_new(u, a->models[i]))
			put_made_up(u->out, a->models[i], "posthouse");
}

/* Accounts by their number: the registry's own order changes with every turn, and with it would the tag. */
static struct ph_account *next_account(struct ph_side *s, int64_t after)
{
	struct ph_account *best = NULL;

	PH_LIST_EACH (it, ph_accounts_list(s->g->accounts)) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->id > after && (!best || a->id < best->id) &&
			ph_key_allows_account(s->door.key, a->id) &&
			(ph_account_usable(a) || ph_account_blocked(a)))
			best = a;
	}
	return best;
}

static size_t put_union(struct ph_models *ms, struct waiter *w, struct ph_buf *out)
{
	struct shown *u = ph_alloc(sizeof *u);
	size_t count;

	u->out = out;
	u->key = w->side->door.key;
	u->only = w->id;
	u->catalogue = w->catalogue;
	u->from = out->n;
	for (struct ph_account *a = next_account(w->side, INT64_MIN); a; a = next_account(w->side, a->id))
		show_account(u, a, find(ms, a->id));
	count = u->count;
	free(u);
	return count;
}

/* ---- answering ---- */

static bool has_tag(struct ph_str header, struct ph_str tag)
{
	return ph_str_eq(header, PH_STR("*")) || ph_str_find(header, tag) >= 0;
}

static void reply_list(struct ph_side *s, struct ph_str body)
{
	struct ph_exchange *x = s->x;
	struct ph_buf headers;
	char tag[TAG_MAX];
	bool same;

	snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)ph_hash64(body, 0));
	same = has_tag(ph_head_get(x->head, PH_STR("if-none-match")), ph_str_c(tag));
	ph_buf_init(&headers, PH_HEAD_MAX);
	ph_http_put_header(&headers, PH_STR("etag"), ph_str_c(tag));
	if (!same)
		ph_http_put_header(&headers, PH_STR("content-type"), PH_STR("application/json"));
	ph_reply_common(s->g, x, &headers);
	x->ops->head(x->end, same ? 304 : 200, &headers, same ? 0 : (int64_t)body.n);
	if (!same)
		x->ops->push(x->end, body);
	x->ops->finish(x->end);
	ph_buf_deinit(&headers);
	ph_side_close(s);
}

static void reply_all(struct ph_models *ms, struct waiter *w)
{
	struct ph_buf body;

	ph_buf_init(&body, ANSWER_MAX);
	ph_buf_puts(
		&body, w->catalogue ? PH_STR("{\"models\":[") : PH_STR("{\"object\":\"list\",\"data\":["));
	put_union(ms, w, &body);
	ph_buf_puts(&body, PH_STR("]}"));
	if (body.failed)
		ph_side_error(w->side, PH_E_UPSTREAM_BAD, NULL, 0);
	else
		reply_list(w->side, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

static void reply_one(struct ph_models *ms, struct waiter *w)
{
	struct ph_buf body;
	struct ph_err err;

	ph_buf_init(&body, ANSWER_MAX);
	if (put_union(ms, w, &body)) {
		ph_side_json(w->side, 200, ph_buf_str(&body));
	} else {
		ph_fail_param(&err, PH_E_MODEL_UNKNOWN, "model", "Model: '%.*s'.", PH_STR_ARG(w->id));
		ph_side_error(w->side, PH_E_MODEL_UNKNOWN, &err, 0);
	}
	ph_buf_deinit(&body);
}

static void reply(struct ph_models *ms, struct waiter *w)
{
	ph_list_remove(&w->node);
	ph_timer_stop(&w->timer);
	if (w->id.n)
		reply_one(ms, w);
	else
		reply_all(ms, w);
}

/* Every account that it may see was asked once; one that names its models need not be. */
static bool is_complete(struct ph_models *ms, struct waiter *w)
{
	if (!ms->loaded)
		return false;
	for (struct ph_account *a = next_account(w->side, INT64_MIN); a; a = next_account(w->side, a->id))
		if (!a->model_count && !ph_models_known(ms, a->id))
			return false;
	return true;
}

static void serve_waiting(struct ph_models *ms)
{
	PH_LIST_EACH_SAFE (it, &ms->waiting) {
		struct waiter *w = PH_CONTAINER(it, struct waiter, node);

		if (is_complete(ms, w))
			reply(ms, w);
	}
}

static void on_late(void *arg)
{
	struct waiter *w = arg;

	reply(w->side->g->models, w);
}

static void serve(struct ph_side *s)
{
	struct waiter *w = s->data;

	ph_list_push_back(&s->g->models->waiting, &w->node);
	ph_timer_start(&w->timer, WAIT_MS);
	if (is_complete(s->g->models, w))
		reply(s->g->models, w);
	else
		ph_polls_look(s->g->polls);
}

static void cancel(struct ph_side *s)
{
	struct waiter *w = s->data;

	ph_list_remove(&w->node);
	ph_timer_stop(&w->timer);
}

static const struct ph_side_ops ops = {PH_ROUTE_MODELS, serve, cancel, NULL};

void ph_models_list(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(struct waiter));
	struct waiter *w = s->data;
	struct ph_str version;

	ph_list_init(&w->node);
	ph_timer_init(&w->timer, g->loop, on_late, w);
	w->side = s;
	w->id = ph_arena_dup(&s->arena, id);
	w->catalogue = ph_query_get(x->query, PH_STR("client_version"), &version);
	ph_side_start(s);
}

struct ph_models *ph_models_new(struct ph_gateway *g)
{
	struct ph_models *ms = ph_alloc(sizeof *ms);

	ms->g = g;
	ph_list_init(&ms->list);
	ph_list_init(&ms->waiting);
	return ms;
}

struct ph_models *ph_models_free(struct ph_models *ms)
{
	if (ms->reading)
		ph_pg_abandon(ms->reading);
	while (!ph_list_empty(&ms->list))
		entry_free(PH_CONTAINER(ms->list.next, struct entry, node));
	free(ms);
	return NULL;
}
