/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other paths under /v1 (embeddings, moderations, audio ...): relayed as they are to an account that has
 * them. Only paths on which no id that somebody owns, and no stored collection, can be named come here;
 * gateway.c holds the list. One try: what these calls do upstream is not known to be repeatable, but where
 * nothing was sent the next account is asked.
 */
#include "posthouse/clock.h"
#include "side.h"

#define TRIES        3
#define WITHHELD_MAX (64 * 1024)

struct pass {
	struct ph_str path; /* behind /v1, with its query */
	struct ph_account *account;
	struct ph_call *call;
	struct ph_choice choice;
	struct ph_timer timer; /* a slot, then the answer's head, then silence */
	struct ph_account_wait wait;
	bool head_sent;
	int tries;
	/* An answer that speaks of the account rather than of the request: kept back until it is understood.
	 */
	int withheld;           /* its status, or 0 */
	int64_t health_version; /* of the account, when it was asked */
	uint64_t after_ms;
	struct ph_buf headers, words;
	int last; /* what went wrong with the last account */
};

static int try_account(struct ph_side *s, struct ph_err *err);

static void release(struct ph_side *s)
{
	struct pass *p = s->data;

	ph_timer_stop(&p->timer);
	ph_account_wait_stop(&p->wait);
	if (p->account)
		ph_account_release(s->g->accounts, p->account);
	p->account = NULL;
}

static void on_nothing(void *owner)
{
	(void)owner;
}

/* Statuses under which an upstream judges its caller's credential or limits: the account's, not the client's.
 */
static bool speaks_of_account(int status)
{
	return status == 401 || status == 402 || status == 403 || status == 429;
}

static void withhold(struct pass *p, const struct ph_head *head)
{
	p->withheld = head->status;
	p->after_ms = ph_retry_after_ms(head);
	ph_buf_reset(&p->headers);
	ph_buf_reset(&p->words);
	ph_reply_pass_headers(head, &p->headers);
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_side *s = owner;
	struct pass *p = s->data;
	struct ph_buf headers;
	bool length_known = !head->chunked && head->length >= 0;

	if (speaks_of_account(head->status)) {
		withhold(p, head);
		return;
	}

	ph_buf_init(&headers, PH_HEAD_MAX);
	ph_reply_pass_headers(head, &headers);
	ph_reply_common(s->g, s->x, &headers);
	p->head_sent = true;
	s->x->ops->head(s->x->end, head->status, &headers, length_known ? head->length : -1);
	ph_buf_deinit(&headers);
	ph_timer_start(&p->timer, s->g->config->idle_timeout_ms);
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_side *s = owner;
	struct pass *p = s->data;

	ph_timer_start(&p->timer, s->g->config->idle_timeout_ms);
	if (p->withheld) {
		size_t room = WITHHELD_MAX - p->words.n;

		ph_buf_puts(&p->words, ph_str(bytes.p, bytes.n < room ? bytes.n : room));
		return;
	}
	if (s->x->ops->push(s->x->end, bytes) <= 0)
		ph_call_read(p->call, false);
}

/* Nothing well-formed can follow half an answer: the connection ends, and the client sees that it was cut. */
static void give_up(struct ph_side *s, int code, const struct ph_err *err)
{
	struct pass *p = s->data;
	struct ph_exchange *x = s->x;

	release(s);
	if (!p->head_sent) {
		ph_side_error(s, code, err, p->after_ms);
		return;
	}
	x->ops->abort(x->end);
	ph_side_close(s);
}

static void next_account(struct ph_side *s)
{
	struct pass *p = s->data;
	struct ph_err why = {0};
	int rc;

	if (p->choice.tried_count < PH_TRIED_MAX)
		p->choice.tried[p->choice.tried_count++] = p->account->id;
	release(s);
	rc = try_account(s, &why);
	if (rc)
		give_up(s, rc, &why);
}

/* A model that is not served, say: what the request asked for. */
static void tell_withheld(struct ph_side *s)
{
	struct pass *p = s->data;
	struct ph_exchange *x = s->x;

	release(s);
	ph_reply_common(s->g, x, &p->headers);
	x->ops->head(x->end, p->withheld, &p->headers, (int64_t)p->words.n);
	x->ops->push(x->end, ph_buf_str(&p->words));
	x->ops->finish(x->end);
	ph_side_close(s);
}

/* The upstream refused before it did anything, so another account may be asked. What it said of this one
 * stays here. */
static void on_withheld(struct ph_side *s)
{
	struct pass *p = s->data;
	struct ph_failed_answer a = {.status = p->withheld,
		.body = ph_buf_str(&p->words),
		.head_after_ms = p->after_ms,
		.renewable = p->account->kind == PH_CODEX};
	struct ph_asked asked = {
		p->choice.model, PH_STR_NONE, p->health_version, false, p->account->secret_version};
	struct ph_failure f;

	ph_classify(&a, &f);
	ph_health_failure(s->g, p->account, &f, &asked);
	if (f.code == PH_E_UPSTREAM_CANNOT || f.code == PH_E_UPSTREAM_REFUSED) {
		tell_withheld(s);
		return;
	}
	p->withheld = 0;
	p->last = f.code;
	next_account(s);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_side *s = owner;
	struct pass *p = s->data;
	struct ph_exchange *x = s->x;
	struct ph_err why = {0};
	int rc;

	p->call = NULL;
	if (status == 0 && p->withheld) {
		on_withheld(s);
		return;
	}
	if (status == 0) {
		ph_account_worked(s->g->accounts, p->account);
		release(s);
		x->ops->finish(x->end);
		ph_side_close(s);
		return;
	}
	p->last = PH_E_UPSTREAM_CONNECT;
	ph_health_unreached(s->g, p->account);
	if (status != -PH_E_UPSTREAM_CONNECT && status != -PH_E_UPSTREAM_STALE) {
		give_up(s, status, err);
		return;
	}
	if (status == -PH_E_UPSTREAM_CONNECT) {
		next_account(s);
		return;
	}
	release(s);
	rc = try_account(s, &why);
	if (rc)
		give_up(s, rc, &why);
}

static void on_timer(void *arg)
{
	struct ph_side *s = arg;
	struct pass *p = s->data;

	if (!p->account) {
		give_up(s, -PH_E_ACCOUNTS_BUSY, NULL);
		return;
	}
	ph_call_cancel(p->call);
	p->call = NULL;
	give_up(s, -PH_E_UPSTREAM_SILENT, NULL);
}

static void start_call(struct ph_side *s, bool fresh)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct pass *p = s->data;
	struct ph_exchange *x = s->x;
	struct ph_str type = ph_head_get(x->head, PH_STR("content-type"));
	struct ph_str accept = ph_head_get(x->head, PH_STR("accept"));
	struct ph_buf head, body;

	ph_buf_init(&head, PH_HEAD_MAX * 2);
	ph_buf_init(&body, x->body.max);
	ph_account_headers(&head, p->account, x, accept.n ? accept : PH_STR("*/*"), false, false);
	if (type.n)
		ph_http_put_header(&head, PH_STR("content-type"), type);
	ph_buf_puts(&body, ph_buf_str(&x->body));
	struct ph_call_request r = {
		&p->account->base, x->head->method, p->path, &head, x->head->has_body ? &body : NULL, fresh};
	ph_timer_start(&p->timer, s->g->config->answer_timeout_ms);
	p->call = ph_call_start(s->g->upstream, &r, &events, s);
	ph_buf_deinit(&head);
	ph_buf_deinit(&body);
}

static int wait_for_slot(struct ph_side *s, int64_t account)
{
	struct pass *p = s->data;

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
		give_up(s, rc, &why);
}

static int try_account(struct ph_side *s, struct ph_err *err)
{
	struct pass *p = s->data;
	enum ph_choice_verdict verdict = PH_CHOICE_TRIED;
	struct ph_chosen chosen;

	p->after_ms = 0;
	p->choice.queued = ph_account_waits(&p->wait);
	if (p->tries < TRIES)
		verdict = ph_account_choose(s->g->accounts, &p->choice, &chosen);
	switch (verdict) {
	case PH_CHOSEN:
		p->account = ph_account_take(chosen.account);
		if (!p->account)
			return wait_for_slot(s, chosen.account->id);
		ph_account_wait_stop(&p->wait);
		p->health_version = p->account->health.version;
		start_call(s, p->tries++ > 0);
		return 0;
	case PH_CHOICE_BUSY:
		return wait_for_slot(s, 0);
	case PH_CHOICE_AWAY:
		return ph_fail(err, PH_E_DATABASE_AWAY, "slots of accounts cannot be had");
	case PH_CHOICE_COOLING:
	case PH_CHOICE_EXHAUSTED:
		p->after_ms = chosen.after_ms;
		return ph_fail(err,
			verdict == PH_CHOICE_EXHAUSTED ? PH_E_ACCOUNTS_EXHAUSTED : PH_E_ACCOUNTS_BUSY, "%s",
			"");
	default:
		return ph_fail(err, p->last, "%s", "");
	}
}

/* The model that a JSON body names decides among the accounts; other bodies go to any. */
static struct ph_str model_of(struct ph_side *s)
{
	static const struct ph_str name = PH_STR_INIT("model");
	struct ph_str body = ph_buf_str(&s->x->body), model = PH_STR_NONE;
	struct ph_json_member m;

	if (body.n == 0 || ph_json_scan(body, &name, 1, &m, NULL) || m.kind != PH_JSON_STRING ||
		!ph_json_text(m.value, &s->arena, &model))
		return PH_STR_NONE;
	return model;
}

static void serve(struct ph_side *s)
{
	struct pass *p = s->data;
	struct ph_err err = {0};
	int rc;

	p->choice.model = model_of(s);
	p->choice.kinds = 1 << PH_PLATFORM | 1 << PH_STATELESS;
	p->choice.allowed = s->door.key->accounts;
	p->choice.allowed_count = s->door.key->account_count;
	if (!ph_key_allows_model(s->door.key, p->choice.model)) {
		ph_side_error(s, PH_E_MODEL_DENIED, NULL, 0);
		return;
	}
	rc = try_account(s, &err);
	if (rc)
		ph_side_error(s, rc, &err, p->after_ms);
}

static void cancel(struct ph_side *s)
{
	struct pass *p = s->data;

	if (p->call)
		ph_call_cancel(p->call);
	p->call = NULL;
	release(s);
}

static void drain(struct ph_side *s)
{
	struct pass *p = s->data;

	if (p->call)
		ph_call_read(p->call, true);
}

static const struct ph_side_ops ops = {PH_ROUTE_RELAY, serve, cancel, drain};

static void free_buf(void *buf)
{
	ph_buf_deinit(buf);
}

void ph_pass_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(struct pass));
	struct pass *p = s->data;
	char *whole = ph_arena_printf(
		&s->arena, "%.*s%s%.*s", PH_STR_ARG(path), x->query.n ? "?" : "", PH_STR_ARG(x->query));

	p->path = ph_str_c(whole);
	p->last = PH_E_NO_ACCOUNTS;
	ph_buf_init(&p->headers, PH_HEAD_MAX);
	ph_buf_init(&p->words, WITHHELD_MAX);
	ph_arena_defer(&s->arena, free_buf, &p->headers);
	ph_arena_defer(&s->arena, free_buf, &p->words);
	ph_timer_init(&p->timer, g->loop, on_timer, s);
	ph_account_wait_init(&p->wait, on_slot, s);
	ph_side_start(s);
}
