/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The renewal of logins' tokens, before they expire and when upstream says that they have. One node at a time
 * asks the token URL, for a refresh token works once; the claim and its terms are the database's
 * (sql/functions/refresh.sql). The new token is stored before anybody uses it, this node included: it takes
 * it from the database, as the others do.
 *
 *     look: claimed -> exchange -> store -> look: changed -> over
 *           held    -> look again, as long as a turn waits
 *           resting, gone -> over
 */
#include "renew.h"

#include <stdio.h>
#include <stdlib.h>

#include "posthouse/log.h"
#include "posthouse/login.h"
#include "posthouse/metrics.h"

#define TICK_MS     1000
#define LOOK_MS     250   /* what another node has claimed, while a turn waits */
#define EXCHANGE_MS 8000  /* the whole of it */
#define STORE_MS    500   /* until the next try to store what must not be lost */
#define REST_MS     5000  /* nothing came of it */
#define FRESH_MS    30000 /* a token that is refused so soon is not renewed again ... */
#define FRESH_PART  4     /* ... or a part of its life, where that is short */
#define REFUSED_MS  30000 /* others are asked first */
#define HEAD_MAX    1024

/* Label values of PH_M_RENEWALS. */
enum {
	WAS_RENEWED,
	WAS_ENDED,
	WAS_FAILED
};

/* Owner: the gateway. */
struct ph_renewals {
	struct ph_gateway *g;
	struct ph_list running; /* of struct renewal */
	struct ph_timer tick;
};

/* One account's. */
struct renewal {
	struct ph_list node;
	struct ph_renewals *rs;
	struct ph_account *a; /* a reference */
	struct ph_renewing id;
	struct ph_list waiting;   /* of struct ph_renew_wait */
	struct ph_pg_call *query; /* the one that runs */
	struct ph_call *call;
	struct ph_timer timer;           /* the next look, the exchange's deadline, the next try to store */
	void (*then)(struct renewal *n); /* what the timer does */
	bool refused;                    /* a turn's token was */
	int status;                      /* of the answer */
	struct ph_buf body, plain, sealed;
	struct ph_arena arena;
	struct ph_login login;
	uint64_t rest_ms;
};

static void look(struct renewal *n);

static void in_ms(struct renewal *n, uint64_t ms, void (*then)(struct renewal *n))
{
	n->then = then;
	ph_timer_start(&n->timer, ms);
}

/* ---- the end ---- */

static void wipe(struct ph_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	ph_buf_deinit(b);
}

static void wipe_text(struct ph_str *s)
{
	if (s->n)
		explicit_bzero((void *)(uintptr_t)s->p, s->n);
	*s = PH_STR_NONE;
}

static void forget(struct renewal *n)
{
	wipe_text(&n->login.access);
	wipe_text(&n->login.refresh);
	wipe_text(&n->login.id);
	wipe(&n->body);
	wipe(&n->plain);
	ph_arena_deinit(&n->arena);
}

static void renewal_free(void *arg)
{
	struct renewal *n = arg;

	ph_account_unref(n->a);
	free(n);
}

static void stop(struct renewal *n)
{
	if (n->query)
		ph_pg_abandon(n->query);
	if (n->call)
		ph_call_cancel(n->call);
	ph_timer_stop(&n->timer);
	ph_list_remove(&n->node);
	forget(n);
	ph_buf_deinit(&n->sealed);
}

/* again_ms: when it is tried again, unless the token is another one now. */
static void over(struct renewal *n, uint64_t again_ms)
{
	struct ph_gateway *g = n->rs->g;

	stop(n);
	if (n->a->secret_version == n->id.version) {
		n->a->renew_ms = ph_loop_now_ms(g->loop) + again_ms + ph_rand_u64() % TICK_MS;
		if (n->refused)
			ph_account_rest(g->accounts, n->a, PH_REST_ACCOUNT, PH_STR_NONE, REFUSED_MS);
	}
	while (!ph_list_empty(&n->waiting)) {
		struct ph_renew_wait *w = PH_CONTAINER(n->waiting.next, struct ph_renew_wait, node);

		ph_renew_wait_stop(w);
		w->done(w->arg);
	}
	ph_loop_bury(g->loop, n, renewal_free);
}

/* ---- what came of it ---- */

static void store(struct renewal *n);

static void on_stored(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct renewal *n = arg;

	n->query = NULL;
	if (err && err->code == PH_E_CANCELLED) {
		ph_log(PH_LOG_ERROR, "account %s: its new token could not be stored before the end",
			n->a->name);
		return;
	}
	if (err) {
		ph_log(PH_LOG_WARN, "account %s: its new token is not stored yet: %s", n->a->name,
			err->detail);
		in_ms(n, STORE_MS, store);
		return;
	}
	ph_metric_add(PH_M_RENEWALS, WAS_RENEWED, 0, 1);
	ph_log(PH_LOG_INFO, "account %s: %s", n->a->name,
		ph_pg_int(rows, 0, 0) ? "its token was renewed"
				      : "its token was renewed, but its login replaced meanwhile");
	look(n);
}

static void store(struct renewal *n)
{
	n->query = ph_account_renewed(
		n->rs->g->accounts, &n->id, ph_buf_str(&n->sealed), n->rest_ms, on_stored, n);
}

static void on_told(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct renewal *n = arg;

	(void)rows;
	n->query = NULL;
	if (err && err->code == PH_E_CANCELLED)
		return;
	over(n, REST_MS); /* what was not heard ends with the claim */
}

static void fail(struct renewal *n, const char *reason, const char *why)
{
	struct ph_gateway *g = n->rs->g;

	ph_metric_add(PH_M_RENEWALS, reason ? WAS_ENDED : WAS_FAILED, 0, 1);
	ph_log(PH_LOG_WARN, "account %s: its token was not renewed: %s", n->a->name, why);
	forget(n);
	n->query = ph_account_not_renewed(g->accounts, &n->id, reason, on_told, n);
}

static void keep(struct renewal *n)
{
	struct ph_gateway *g = n->rs->g;
	uint64_t now_s = ph_accounts_unix_s(g->accounts), expires_s = n->login.expires_s;
	struct ph_buf document;
	int rc;

	ph_buf_init(&document, PH_LOGIN_MAX);
	ph_login_write(&n->login, now_s, &document);
	rc = document.failed ? -PH_E_CONFIG
			     : ph_account_seal(g->accounts, n->a, ph_buf_str(&document), &n->sealed);
	wipe(&document);
	forget(n);
	if (rc) {
		fail(n, NULL, "the new one could not be sealed");
		return;
	}
	n->rest_ms = FRESH_MS;
	if (expires_s > now_s && (expires_s - now_s) * 1000 / FRESH_PART < n->rest_ms)
		n->rest_ms = (expires_s - now_s) * 1000 / FRESH_PART;
	store(n);
}

/* ---- asking upstream ---- */

static void judge(struct renewal *n)
{
	const char *reason;
	char why[64];

	ph_timer_stop(&n->timer);
	switch (ph_grant_read(n->body.failed ? 0 : n->status, ph_buf_str(&n->body),
		ph_accounts_unix_s(n->rs->g->accounts), &n->arena, &n->login, &reason)) {
	case PH_GRANT_NEW:
		keep(n);
		return;
	case PH_GRANT_NEVER:
		fail(n, reason, reason);
		return;
	default:
		snprintf(why, sizeof why, "the token URL answered with status %d", n->status);
		fail(n, NULL, why);
	}
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	((struct renewal *)owner)->status = head->status;
}

static void on_body(void *owner, struct ph_str bytes)
{
	ph_buf_puts(&((struct renewal *)owner)->body, bytes);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct renewal *n = owner;

	n->call = NULL;
	if (status == 0) {
		judge(n);
		return;
	}
	ph_timer_stop(&n->timer);
	fail(n, NULL, err->detail);
}

static void on_late(struct renewal *n)
{
	ph_call_cancel(n->call);
	n->call = NULL;
	fail(n, NULL, "the token URL was silent");
}

static void ask(struct renewal *n, const struct ph_url *url)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct ph_call_request r = {.base = url, .method = PH_STR("POST"), .fresh = true};
	struct ph_buf head, body;

	ph_buf_init(&head, HEAD_MAX);
	ph_buf_init(&body, PH_LOGIN_MAX);
	ph_http_put_header(&head, PH_STR("accept"), PH_STR("application/json"));
	ph_http_put_header(&head, PH_STR("content-type"), PH_STR("application/json"));
	ph_grant_ask(n->login.refresh, &body);
	r.head = &head;
	r.body = &body;
	n->call = ph_call_start(n->rs->g->upstream, &r, &events, n);
	in_ms(n, EXCHANGE_MS, on_late);
	ph_buf_deinit(&head);
	wipe(&body);
}

static void exchange(struct renewal *n, const struct ph_claimed *c)
{
	struct ph_str text = c->token_url.n ? c->token_url : PH_STR(PH_TOKEN_URL);
	struct ph_err err = {0};
	struct ph_url url;

	n->id.epoch = c->epoch;
	ph_arena_init(&n->arena, 4 * PH_LOGIN_MAX);
	if (ph_account_unseal(n->rs->g->accounts, n->a, c->sealed, &n->plain, &err) ||
		ph_login_read(ph_buf_str(&n->plain), &n->arena, &n->login) || n->login.refresh.n == 0)
		fail(n, NULL, "the stored login cannot be read");
	else if (ph_url_parse(&url, text, &err))
		fail(n, NULL, "its token URL is none");
	else
		ask(n, &url);
}

/* ---- the claim ---- */

static bool is_done(const struct renewal *n)
{
	return n->a->secret_version != n->id.version || n->a->state == PH_ACCOUNT_GONE;
}

static void look_again(struct renewal *n)
{
	if (is_done(n) || ph_list_empty(&n->waiting))
		over(n, REST_MS);
	else
		look(n);
}

static void on_looked(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct renewal *n = arg;
	struct ph_claimed c;

	n->query = NULL;
	if (err && err->code == PH_E_CANCELLED)
		return;
	if (err) {
		in_ms(n, LOOK_MS, look_again);
		return;
	}
	c = ph_account_claimed(n->rs->g->accounts, n->a, rows);
	if (c.result == PH_CLAIM_OURS)
		exchange(n, &c);
	else if (c.result == PH_CLAIM_HELD && !ph_list_empty(&n->waiting))
		in_ms(n, c.wait_ms < LOOK_MS ? c.wait_ms : LOOK_MS, look_again);
	else
		over(n, c.wait_ms);
}

static void look(struct renewal *n)
{
	n->query = ph_account_claim(n->rs->g->accounts, &n->id, on_looked, n);
}

static void on_timer(void *arg)
{
	struct renewal *n = arg;

	n->then(n);
}

static struct renewal *find(const struct ph_renewals *rs, int64_t account)
{
	PH_LIST_EACH (it, &rs->running) {
		struct renewal *n = PH_CONTAINER(it, struct renewal, node);

		if (n->id.account == account)
			return n;
	}
	return NULL;
}

static struct renewal *begin(struct ph_renewals *rs, struct ph_account *a)
{
	struct renewal *n = ph_alloc(sizeof *n);

	n->rs = rs;
	n->a = ph_account_ref(a);
	n->id.account = a->id;
	n->id.version = a->secret_version;
	ph_list_init(&n->waiting);
	ph_buf_init(&n->body, PH_LOGIN_MAX);
	ph_buf_init(&n->plain, 2 * PH_LOGIN_MAX);
	ph_buf_init(&n->sealed, 2 * PH_LOGIN_MAX);
	ph_timer_init(&n->timer, rs->g->loop, on_timer, n);
	ph_list_push_back(&rs->running, &n->node);
	look(n);
	return n;
}

/* ---- who asks for it ---- */

/* What a person must mend is left alone. */
static bool may_renew(const struct ph_account *a)
{
	return a->renewable && !a->sealed_badly && a->state != PH_ACCOUNT_GONE &&
	       a->health.state < PH_ACCOUNT_REAUTH;
}

/* Every account, used or not: logins that rest too long die. */
static void on_tick(void *arg)
{
	struct ph_renewals *rs = arg;
	uint64_t now = ph_loop_now_ms(rs->g->loop);

	ph_timer_start(&rs->tick, TICK_MS);
	if (ph_member_away(rs->g->member) || ph_member_draining(rs->g->member))
		return;
	PH_LIST_EACH (it, ph_accounts_list(rs->g->accounts)) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->renew_ms && a->renew_ms <= now && may_renew(a) && !find(rs, a->id))
			begin(rs, a);
	}
}

bool ph_renew_ask(struct ph_gateway *g, struct ph_account *a, int64_t version)
{
	struct renewal *n = find(g->renewals, a->id);

	if (!may_renew(a))
		return false;
	if (a->secret_version != version)
		return true;
	if (!n)
		n = begin(g->renewals, a);
	n->refused = true;
	return true;
}

void ph_renew_wait_init(struct ph_renew_wait *w, void (*done)(void *arg), void *arg)
{
	ph_list_init(&w->node);
	w->done = done;
	w->arg = arg;
}

bool ph_renew_wait(struct ph_gateway *g, int64_t account, struct ph_renew_wait *w)
{
	struct renewal *n = find(g->renewals, account);

	if (n)
		ph_list_move(&w->node, &n->waiting);
	return n != NULL;
}

void ph_renew_wait_stop(struct ph_renew_wait *w)
{
	ph_list_remove(&w->node);
}

struct ph_renewals *ph_renewals_new(struct ph_gateway *g)
{
	struct ph_renewals *rs = ph_alloc(sizeof *rs);

	rs->g = g;
	ph_list_init(&rs->running);
	ph_timer_init(&rs->tick, g->loop, on_tick, rs);
	return rs;
}

void ph_renewals_start(struct ph_renewals *rs)
{
	on_tick(rs);
}

size_t ph_renewals_running(const struct ph_renewals *rs)
{
	size_t n = 0;

	PH_LIST_EACH (it, &rs->running)
		n++;
	return n;
}

struct ph_renewals *ph_renewals_free(struct ph_renewals *rs)
{
	ph_timer_stop(&rs->tick);
	while (!ph_list_empty(&rs->running)) {
		struct renewal *n = PH_CONTAINER(rs->running.next, struct renewal, node);

		stop(n);
		renewal_free(n);
	}
	free(rs);
	return NULL;
}
