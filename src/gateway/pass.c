/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other paths under /v1: relayed as they are to the account that keeps what they name, or to one that has
 * them. One try: what these calls do upstream is not known to be repeatable, but where nothing was sent, or
 * an upstream refused before it did anything and the body is still here, the next account is asked.
 *
 * What a key makes goes where its newest resource is, so that it can use them together; its first goes to the
 * same account from whichever node. Slots are for what runs a model: the rest is not held up by turns.
 */
#include "pass.h"

#include "posthouse/clock.h"
#include "posthouse/log.h"

#define TRIES 3

static int try_account(struct ph_side *s, struct ph_err *err);

/* The account, and whatever is held of it. */
static void release(struct ph_side *s)
{
	struct ph_pass *p = s->data;

	ph_timer_stop(&p->timer);
	ph_account_wait_stop(&p->wait);
	if (p->account && p->slot)
		ph_account_release(s->g->accounts, p->account);
	else
		ph_account_unref(p->account);
	p->account = NULL;
	p->connected = false;
}

static void log_end(struct ph_side *s)
{
	const struct ph_pass *p = s->data;
	const struct ph_account *a = ph_accounts_find(s->g->accounts, p->account_id);
	const struct ph_field fields[] = {
		PH_F_C("request_id", s->x->request_id),
		PH_F_C("trace_id", p->trace_id),
		PH_F_C("key", s->door.key ? s->door.key->name : ""),
		PH_F_C("account", a ? a->name : ""),
		PH_F_STR("kind", p->route.collection ? p->route.collection->kind : PH_STR("")),
		PH_F_INT("status", p->told),
		PH_F_INT("attempts", p->tries),
		PH_F_MS("ms", ph_clock_ns() - s->x->started_ns),
		PH_F_INT("in", p->bytes_in),
		PH_F_INT("out", p->bytes_out),
	};

	ph_log_fields(PH_LOG_INFO, "relay", fields, sizeof fields / sizeof *fields);
}

/* Once, however it ends. */
static void stop(struct ph_side *s)
{
	struct ph_pass *p = s->data;

	log_end(s);
	if (p->find)
		ph_owned_find_cancel(p->find);
	p->find = NULL;
	if (p->call)
		ph_call_cancel(p->call);
	p->call = NULL;
	ph_defer_cancel(&p->later);
	ph_pass_answer_cancel(p);
	release(s);
	ph_pass_body_free(p);
}

void ph_pass_over(struct ph_side *s)
{
	stop(s);
	s->x->ops->finish(s->x->end);
	ph_side_close(s);
}

/* Nothing well-formed can follow half an answer: the connection ends, and the client sees that it was cut. */
void ph_pass_fail(struct ph_side *s, int code, const struct ph_err *err)
{
	struct ph_pass *p = s->data;
	struct ph_exchange *x = s->x;

	stop(s);
	if (!p->head_sent) {
		ph_side_error(s, code, err, p->after_ms);
		return;
	}
	x->ops->abort(x->end);
	ph_side_close(s);
}

/* ---- the account ---- */

static bool was_tried(const struct ph_choice *c, int64_t id)
{
	for (size_t i = 0; i < c->tried_count; i++)
		if (c->tried[i] == id)
			return true;
	return false;
}

/* Of those that could have it at all: how much this one should. The same on every node. */
static uint64_t rank(const struct ph_pass *p, const struct ph_key *key, const struct ph_account *a)
{
	const int64_t pair[] = {key->id, a->id};
	uint64_t hash = ph_hash64(ph_str((const char *)pair, sizeof pair), 0) >> 2 | 1;

	return (a->id == p->home ? UINT64_C(1) << 63 : 0) | (a->kind == PH_PLATFORM ? UINT64_C(1) << 62 : 0) |
	       hash;
}

/* One that the key may use, and that may have such a path. */
static bool is_keeper(const struct ph_side *s, const struct ph_account *a)
{
	return a->kind != PH_CODEX && ph_key_allows_account(s->door.key, a->id);
}

/* Where a new resource goes. */
static struct ph_account *pick(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_account *best = NULL;

	PH_LIST_EACH (it, ph_accounts_list(s->g->accounts)) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (!is_keeper(s, a) || !ph_account_usable(a) || was_tried(&p->choice, a->id))
			continue;
		if (!best || rank(p, s->door.key, a) > rank(p, s->door.key, best))
			best = a;
	}
	return best;
}

/* Whether somebody might serve it later. Of those that were asked, all said that they have no such path: then
 * only an account that has every path counts. */
static bool is_served(const struct ph_side *s)
{
	const struct ph_pass *p = s->data;

	PH_LIST_EACH (it, ph_accounts_list(s->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (is_keeper(s, a) && !was_tried(&p->choice, a->id) && (!p->tries || a->kind == PH_PLATFORM))
			return true;
	}
	return false;
}

/* There is none left to ask. */
static int nobody(struct ph_side *s, struct ph_err *err)
{
	struct ph_pass *p = s->data;

	if (p->tries && p->last != PH_E_PATH_UNSERVED)
		return ph_fail(err, p->last, "%s", "");
	return ph_fail(err, is_served(s) ? PH_E_NO_ACCOUNTS : PH_E_PATH_UNSERVED, "%s", "");
}

static uint64_t returns_ms(const struct ph_side *s, const struct ph_account *a)
{
	uint64_t now = ph_loop_now_ms(s->g->loop);

	return ph_account_blocked(a) && a->health.until_ms > now ? a->health.until_ms - now : 0;
}

static int start_call(struct ph_side *s, struct ph_account *a)
{
	struct ph_pass *p = s->data;
	struct ph_exchange *x = s->x;
	struct ph_str accept = ph_head_get(x->head, PH_STR("accept"));
	struct ph_buf head;

	p->account = a;
	p->account_id = a->id;
	p->health_version = a->health.version;
	ph_buf_init(&head, PH_HEAD_MAX * 2);
	ph_account_headers(&head, a, x, accept.n ? accept : PH_STR("*/*"), false, false);
	struct ph_call_request r = {&a->base, x->head->method, p->path, &head, NULL, p->tries++ > 0};
	ph_pass_send(s, &r);
	ph_buf_deinit(&head);
	return 0;
}

/* The account that keeps what the request names, and no other. */
static int try_owner(struct ph_side *s, struct ph_err *err)
{
	struct ph_pass *p = s->data;
	struct ph_account *a = ph_accounts_find(s->g->accounts, p->pinned);

	if (a && ph_account_usable(a) && !was_tried(&p->choice, a->id))
		return start_call(s, ph_account_ref(a));
	p->after_ms = a && returns_ms(s, a) ? returns_ms(s, a) : p->after_ms;
	return ph_fail(err, PH_E_ACCOUNT_AWAY, "%s", "");
}

static int try_home(struct ph_side *s, struct ph_err *err)
{
	struct ph_pass *p = s->data;
	struct ph_account *a = p->tries < TRIES ? pick(s) : NULL;

	return a ? start_call(s, ph_account_ref(a)) : nobody(s, err);
}

static int wait_for_slot(struct ph_side *s, int64_t account)
{
	struct ph_pass *p = s->data;

	if (!ph_account_waits(&p->wait))
		ph_timer_start(&p->timer, s->g->config->queue_timeout_ms);
	ph_account_wait(s->g->accounts, &p->wait, &p->choice, account);
	return 0;
}

static void on_slot(void *arg)
{
	struct ph_side *s = arg;
	struct ph_err why = {0};
	int rc = try_account(s, &why);

	if (rc)
		ph_pass_fail(s, rc, &why);
}

/* Where a model runs, like a turn. */
static int try_pool(struct ph_side *s, struct ph_err *err)
{
	struct ph_pass *p = s->data;
	enum ph_choice_verdict verdict = PH_CHOICE_TRIED;
	struct ph_account *taken;
	struct ph_chosen chosen;

	p->choice.queued = ph_account_waits(&p->wait);
	if (p->tries < TRIES)
		verdict = ph_account_choose(s->g->accounts, &p->choice, &chosen);
	switch (verdict) {
	case PH_CHOSEN:
		taken = ph_account_take(chosen.account);
		if (!taken)
			return wait_for_slot(s, chosen.account->id);
		ph_account_wait_stop(&p->wait);
		p->slot = true;
		return start_call(s, taken);
	case PH_CHOICE_BUSY:
		return wait_for_slot(s, 0);
	case PH_CHOICE_AWAY:
		return ph_fail(err, PH_E_DATABASE_AWAY, "slots of accounts cannot be had");
	case PH_CHOICE_COOLING:
	case PH_CHOICE_EXHAUSTED:
		p->after_ms = chosen.after_ms;
		return ph_fail(err,
			p->pinned                        ? PH_E_ACCOUNT_AWAY
			: verdict == PH_CHOICE_EXHAUSTED ? PH_E_ACCOUNTS_EXHAUSTED
							 : PH_E_ACCOUNTS_BUSY,
			"%s", "");
	default:
		return p->pinned ? ph_fail(err, PH_E_ACCOUNT_AWAY, "%s", "") : nobody(s, err);
	}
}

static int try_account(struct ph_side *s, struct ph_err *err)
{
	struct ph_pass *p = s->data;

	if (!p->route.collection)
		return try_pool(s, err);
	return p->pinned ? try_owner(s, err) : try_home(s, err);
}

void ph_pass_redial(struct ph_side *s)
{
	struct ph_err why = {0};
	int rc;

	release(s);
	rc = try_account(s, &why);
	if (rc)
		ph_pass_fail(s, rc, &why);
}

void ph_pass_next(struct ph_side *s)
{
	struct ph_pass *p = s->data;

	if (p->choice.tried_count < PH_TRIED_MAX)
		p->choice.tried[p->choice.tried_count++] = p->account->id;
	ph_pass_redial(s);
}

/* ---- the way there ---- */

static void go(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_err err = {0};
	int rc;

	p->choice.required = p->pinned;
	p->choice.kinds = 1 << PH_PLATFORM | 1 << PH_STATELESS;
	p->choice.allowed = s->door.key->accounts;
	p->choice.allowed_count = s->door.key->account_count;
	rc = try_account(s, &err);
	if (rc)
		ph_pass_fail(s, rc, &err);
}

static void on_found(void *arg, const struct ph_owned_place *place, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct ph_pass *p = s->data;

	p->find = NULL;
	if (err) {
		ph_pass_fail(s, err->code, err);
		return;
	}
	p->pinned = place->account;
	p->home = place->home;
	go(s);
}

/* What a batch or an evaluation runs stands where nobody here looks: such things are for keys that may use
 * any model. */
bool ph_pass_allows(const struct ph_side *s, struct ph_str model)
{
	const struct ph_pass *p = s->data;

	return !p->route.runs || ph_key_allows_model(s->door.key, model);
}

void ph_pass_begin(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_err err = {0};
	int rc = ph_pass_names(s, &err);

	p->begun = true;
	if (rc) {
		ph_pass_fail(s, rc, &err);
		return;
	}
	if (!ph_pass_allows(s, p->choice.model)) {
		ph_pass_fail(s, PH_E_MODEL_DENIED, NULL);
		return;
	}
	if (p->ids.full || p->ids.forbidden) {
		ph_fail(&err, PH_E_PARAM_BAD,
			p->ids.full ? "A request may name at most %d ids."
				    : "A source of all that an account stored is not available here.",
			PH_OWNED_IDS_MAX);
		ph_pass_fail(s, PH_E_PARAM_BAD, &err);
		return;
	}
	if (p->route.collection || p->ids.n)
		p->find = ph_owned_find(s->g, s->door.key, &p->ids, on_found, s);
	else
		go(s);
}

/* ---- what may happen meanwhile ---- */

/* The upstream takes nothing of the body; or the client gives none, which the server notices. */
static bool body_goes_on(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	uint64_t idle;

	if (!p->connected || !p->streamed || p->complete || p->head_sent)
		return false;
	idle = ph_loop_now_ms(s->g->loop) - ph_call_progress_ms(p->call);
	return !p->blocked || idle < s->g->config->idle_timeout_ms;
}

static void on_timer(void *arg)
{
	struct ph_side *s = arg;
	struct ph_pass *p = s->data;

	if (p->writing[0] || p->writing[1]) {
		ph_pass_answer_late(s);
	} else if (!p->account) {
		ph_pass_fail(s, -PH_E_ACCOUNTS_BUSY, NULL);
	} else if (p->paused || body_goes_on(s)) {
		ph_timer_start(&p->timer, s->g->config->idle_timeout_ms);
	} else {
		ph_health_unreached(s->g, p->account);
		ph_pass_fail(s, -PH_E_UPSTREAM_SILENT, NULL);
	}
}

static void serve(struct ph_side *s)
{
	ph_pass_body_ready(s);
}

static const struct ph_side_ops ops = {PH_ROUTE_RELAY, serve, stop, ph_pass_drain};

static void free_buf(void *buf)
{
	ph_buf_deinit(buf);
}

void ph_pass_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(struct ph_pass));
	struct ph_pass *p = s->data;
	char *whole = ph_arena_printf(
		&s->arena, "%.*s%s%.*s", PH_STR_ARG(path), x->query.n ? "?" : "", PH_STR_ARG(x->query));

	ph_trace_note(p->trace_id, x);
	p->path = ph_str_c(whole);
	ph_path_read(x->head->method, ph_str(p->path.p, path.n), &p->route);
	p->last = PH_E_NO_ACCOUNTS;
	ph_buf_init(&p->headers, PH_HEAD_MAX);
	ph_buf_init(&p->words, 0);
	ph_arena_defer(&s->arena, free_buf, &p->headers);
	ph_arena_defer(&s->arena, free_buf, &p->words);
	ph_timer_init(&p->timer, g->loop, on_timer, s);
	ph_account_wait_init(&p->wait, on_slot, s);
	s->admitted = ph_pass_admit;
	ph_side_start(s);
}
