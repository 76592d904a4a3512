/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests about one response to the account that keeps it, or still runs it. Of a response that runs in the
 * background only its account knows more than its id and its input; whoever hears first that it has finished
 * writes the snapshot, and from then on it is a response like any other.
 */
#include "owner.h"

#include <stdlib.h>

#include "posthouse/metrics.h"
#include "request_priv.h"

#define ANSWER_MAX (256u * 1024 * 1024)
#define TARGET_MAX (8 * PH_RESPONSE_ID_MAX)
#define CALL_MS    30000
#define KEEP_MS    5000 /* as a turn's commit */

bool ph_owner_usable(struct ph_gateway *g, const struct ph_key *key, int64_t account)
{
	const struct ph_account *a = ph_accounts_find(g->accounts, account);

	return a && a->kind == PH_PLATFORM && ph_account_usable(a) && ph_key_allows_account(key, account);
}

void ph_owner_path(struct ph_buf *out, struct ph_str id, struct ph_str tail)
{
	ph_buf_puts(out, PH_STR("/responses/"));
	ph_percent_encode(out, id);
	ph_buf_puts(out, tail);
}

/* ---- a small question, and its whole answer ---- */

struct ph_owner_call {
	struct ph_gateway *g;
	struct ph_account *account; /* a reference */
	struct ph_call *call;
	struct ph_timer timer;
	struct ph_buf body;
	int64_t health_version;
	uint64_t after_ms;
	int status;
	ph_owner_call_cb cb;
	void *arg;
};

static void call_free(void *arg)
{
	struct ph_owner_call *c = arg;

	ph_timer_stop(&c->timer);
	ph_buf_deinit(&c->body);
	ph_account_unref(c->account);
	free(c);
}

void ph_owner_call_cancel(struct ph_owner_call *c)
{
	if (c->call)
		ph_call_cancel(c->call);
	c->call = NULL;
	ph_timer_stop(&c->timer);
	ph_loop_bury(c->g->loop, c, call_free);
}

static void finish(struct ph_owner_call *c, int status)
{
	ph_timer_stop(&c->timer);
	c->cb(c->arg, status, ph_buf_str(&c->body));
	ph_loop_bury(c->g->loop, c, call_free);
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_owner_call *c = owner;

	c->status = head->status;
	c->after_ms = ph_retry_after_ms(head);
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_owner_call *c = owner;

	ph_buf_puts(&c->body, bytes);
}

/* What it says of the account is noted; the answer then speaks of nothing else. */
static bool speaks_of_account(struct ph_owner_call *c)
{
	struct ph_failed_answer answer = {
		.status = c->status, .body = ph_buf_str(&c->body), .head_after_ms = c->after_ms};
	struct ph_asked asked = {
		PH_STR_NONE, PH_STR_NONE, c->health_version, false, c->account->secret_version};
	struct ph_failure failure;

	if (c->status < 500 && c->status != 401 && c->status != 402 && c->status != 403 && c->status != 429)
		return false;
	ph_classify(&answer, &failure);
	ph_health_failure(c->g, c->account, &failure, &asked);
	return true;
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_owner_call *c = owner;

	(void)err;
	c->call = NULL;
	if (status || c->body.failed) {
		ph_health_unreached(c->g, c->account);
		finish(c, 0);
	} else {
		finish(c, speaks_of_account(c) ? 0 : c->status);
	}
}

static void on_late(void *arg)
{
	struct ph_owner_call *c = arg;

	ph_call_cancel(c->call);
	c->call = NULL;
	finish(c, 0);
}

struct ph_owner_call *ph_owner_call(struct ph_gateway *g, const struct ph_exchange *x, struct ph_account *a,
	struct ph_str method, struct ph_str path, ph_owner_call_cb cb, void *arg)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct ph_owner_call *c = ph_alloc(sizeof *c);
	struct ph_buf head;

	c->g = g;
	c->account = ph_account_ref(a);
	c->health_version = a->health.version;
	c->cb = cb;
	c->arg = arg;
	ph_buf_init(&c->body, ANSWER_MAX);
	ph_buf_init(&head, PH_HEAD_MAX);
	ph_timer_init(&c->timer, g->loop, on_late, c);
	ph_timer_start(&c->timer, CALL_MS);
	ph_account_headers(&head, a, x, PH_STR("application/json"), false, false);
	struct ph_call_request r = {&a->base, method, path, &head, NULL, false};
	c->call = ph_call_start(g->upstream, &r, &events, c);
	ph_buf_deinit(&head);
	return c;
}

/* ---- a finished background turn ---- */

static bool has_finished(struct ph_str status)
{
	return ph_str_eq(status, PH_STR("completed")) || ph_str_eq(status, PH_STR("incomplete"));
}

/* What it was is in the row; what it has become, in the response. */
static void complete(
	struct ph_gateway *g, const struct ph_exchange *x, struct ph_background *b, struct ph_collect *c)
{
	struct ph_turn_record *t = &b->turn;

	t->node = g->node;
	t->request_id = x->request_id;
	t->route = "background";
	t->continuity = "none";
	t->outcome = ph_str_eq(c->status, PH_STR("completed")) ? "completed" : "incomplete";
	t->status = 200;
	t->attempts = 1;
	t->input_tokens = c->input_tokens;
	t->cached_tokens = c->cached_tokens;
	t->output_tokens = c->output_tokens;
	t->turn_status = c->status;
	t->output = c->output;
	t->envelope = ph_collect_envelope(c);
}

/* Owner: the writer, until it has answered; and whoever waits, until it did or 5 s are over. */
struct ph_owner_keeping {
	bool keep;
	struct ph_timer timer;
	void (*cb)(void *arg, bool kept); /* NULL: nobody waits */
	void *arg;
};

void ph_owner_keep_cancel(struct ph_owner_keeping *k)
{
	k->cb = NULL;
	ph_timer_stop(&k->timer);
}

static void kept(struct ph_owner_keeping *k, bool yes)
{
	void (*cb)(void *arg, bool kept) = k->cb;

	ph_owner_keep_cancel(k);
	if (cb)
		cb(k->arg, yes);
}

static void on_written(void *arg, int status)
{
	struct ph_owner_keeping *k = arg;

	kept(k, status == 0 && k->keep);
	free(k);
}

static void on_keeping_late(void *arg)
{
	ph_metric_add(PH_M_UNACKNOWLEDGED, 0, 0, 1);
	kept(arg, false);
}

static struct ph_owner_keeping *keeping_new(
	struct ph_gateway *g, bool keep, void (*cb)(void *arg, bool kept), void *arg)
{
	struct ph_owner_keeping *k = ph_alloc(sizeof *k);

	k->keep = keep;
	k->cb = cb;
	k->arg = arg;
	ph_timer_init(&k->timer, g->loop, on_keeping_late, k);
	ph_timer_start(&k->timer, KEEP_MS);
	return k;
}

struct ph_owner_keeping *ph_owner_keep(struct ph_gateway *g, const struct ph_exchange *x,
	struct ph_background *b, struct ph_str response, void (*cb)(void *arg, bool kept), void *arg)
{
	struct ph_collect c = {.items = NULL};
	struct ph_owner_keeping *k = NULL;

	ph_collect_reset(&c);
	if (ph_collect_answer(&c, response) && has_finished(c.status) &&
		ph_str_eq(c.id, b->turn.response_id)) {
		complete(g, x, b, &c);
		k = keeping_new(g, b->turn.keep, cb, arg);
		ph_background_end(g->continuity, b, on_written, k);
	}
	ph_collect_reset(&c);
	return k;
}

/* ---- asking for one ---- */

struct ph_owner_ask {
	struct ph_gateway *g;
	const struct ph_exchange *x;
	const struct ph_key *key;
	bool stop;
	struct ph_str id; /* a copy */
	struct ph_background_read *reading;
	struct ph_background *turn;
	struct ph_owner_call *call;
	struct ph_owner_keeping *keeping;
	struct ph_buf body;
	struct ph_owner_answer answer;
	ph_owner_cb cb;
	void *arg;
};

static void ask_free(void *arg)
{
	struct ph_owner_ask *a = arg;

	ph_background_free(a->turn);
	ph_buf_deinit(&a->body);
	free((void *)(uintptr_t)a->id.p);
	free(a);
}

void ph_owner_cancel(struct ph_owner_ask *a)
{
	if (a->reading)
		ph_background_cancel(a->reading);
	if (a->call)
		ph_owner_call_cancel(a->call);
	if (a->keeping)
		ph_owner_keep_cancel(a->keeping);
	a->reading = NULL;
	a->call = NULL;
	a->keeping = NULL;
	ph_loop_bury(a->g->loop, a, ask_free);
}

static void answer(struct ph_owner_ask *a)
{
	ph_owner_cb cb = a->cb;
	void *arg = a->arg;

	a->answer.body = ph_buf_str(&a->body);
	ph_loop_bury(a->g->loop, a, ask_free);
	cb(arg, &a->answer);
}

static void on_kept(void *arg, bool kept)
{
	struct ph_owner_ask *a = arg;

	a->keeping = NULL;
	a->answer.kept = kept;
	answer(a);
}

static bool is_over(struct ph_str response)
{
	static const struct ph_str name = PH_STR_INIT("status");
	struct ph_json_member m;

	return !ph_json_check(response, NULL) && ph_json_find(response, &name, 1, &m) &&
	       (ph_json_text_is(m.value, PH_STR("failed")) || ph_json_text_is(m.value, PH_STR("cancelled")));
}

static void on_answer(void *arg, int status, struct ph_str body)
{
	struct ph_owner_ask *a = arg;

	a->call = NULL;
	a->answer.status = status;
	ph_buf_puts(&a->body, ph_str_trim(body));
	if (status == 200)
		a->keeping = ph_owner_keep(a->g, a->x, a->turn, ph_buf_str(&a->body), on_kept, a);
	if (a->keeping)
		return;
	a->answer.over = status == 404 || (status == 200 && is_over(ph_buf_str(&a->body)));
	answer(a);
}

static uint64_t returns_ms(const struct ph_owner_ask *a, const struct ph_account *account)
{
	uint64_t now = ph_loop_now_ms(a->g->loop);

	return account && ph_account_blocked(account) && account->health.until_ms > now
		       ? account->health.until_ms - now
		       : 0;
}

static void on_turn(void *arg, struct ph_background *turn, const struct ph_err *err)
{
	struct ph_owner_ask *a = arg;
	struct ph_account *account;
	struct ph_buf path;

	a->reading = NULL;
	a->turn = turn;
	a->answer.err = err;
	a->answer.known = turn != NULL;
	a->answer.kept = turn && turn->ended;
	if (a->answer.kept) {
		answer(a);
		return;
	}
	account = turn ? ph_accounts_find(a->g->accounts, turn->turn.account) : NULL;
	if (!turn || !ph_owner_usable(a->g, a->key, turn->turn.account)) {
		a->answer.after_ms = returns_ms(a, account);
		answer(a);
		return;
	}
	ph_buf_init(&path, TARGET_MAX);
	ph_owner_path(&path, a->id, a->stop ? PH_STR("/cancel") : PH_STR_NONE);
	a->call = ph_owner_call(a->g, a->x, account, a->stop ? PH_STR("POST") : PH_STR("GET"),
		ph_buf_str(&path), on_answer, a);
	ph_buf_deinit(&path);
}

static struct ph_owner_ask *ask_new(struct ph_gateway *g, const struct ph_exchange *x,
	const struct ph_key *key, struct ph_str id, ph_owner_cb cb, void *arg)
{
	struct ph_owner_ask *a = ph_alloc(sizeof *a);

	a->g = g;
	a->x = x;
	a->key = key;
	a->id = ph_str_dup(id);
	a->cb = cb;
	a->arg = arg;
	ph_buf_init(&a->body, ANSWER_MAX);
	a->reading = ph_background_read(g->continuity, key->id, id, on_turn, a);
	return a;
}

struct ph_owner_ask *ph_owner_ask(struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key,
	struct ph_str id, ph_owner_cb cb, void *arg)
{
	return ask_new(g, x, key, id, cb, arg);
}

struct ph_owner_ask *ph_owner_stop(struct ph_gateway *g, const struct ph_exchange *x,
	const struct ph_key *key, struct ph_str id, ph_owner_cb cb, void *arg)
{
	struct ph_owner_ask *a = ask_new(g, x, key, id, cb, arg);

	a->stop = true;
	return a;
}
