/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answer to a relayed request. Most pass by as they come. Kept back are those that may speak of the
 * account rather than of the request, until they are understood; and those that hand out an id, until it is
 * known whose it is.
 */
#include "pass.h"

#define WITHHELD_MAX (64 * 1024)
#define OBJECT_MAX   (16 * 1024 * 1024)
#define COMMIT_MS    5000 /* as for a turn: then it is told, and the write goes on */

static void on_connected(void *owner)
{
	ph_pass_connected(owner);
}

static void on_sent(void *owner)
{
	(void)owner;
}

/* Statuses under which an upstream judges its caller's credential or limits: the account's, not the client's;
 * and under which a server of a kind that need not have such a path says so. */
static bool speaks_of_account(const struct ph_pass *p, int status)
{
	if (status == 404 || status == 405 || status == 501)
		return p->account->kind == PH_STATELESS && !p->pinned;
	return status == 401 || status == 402 || status == 403 || status == 429;
}

static bool tells_ids(const struct ph_pass *p, const struct ph_head *head)
{
	bool json = ph_str_find_nocase(
			    ph_head_get(head, PH_STR("content-type")), PH_STR("application/json")) == 0;
	bool good = head->status / 100 == 2 || (p->route.removes && head->status == 404);

	return p->route.collection && p->route.object && json && good;
}

static void keep_back(struct ph_pass *p, const struct ph_head *head, bool withheld)
{
	p->status = head->status;
	p->withheld = withheld;
	p->after_ms = ph_retry_after_ms(head);
	ph_buf_reset(&p->headers);
	ph_buf_deinit(&p->words);
	ph_buf_init(&p->words, withheld ? WITHHELD_MAX : OBJECT_MAX);
	ph_reply_pass_headers(head, &p->headers);
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_side *s = owner;
	struct ph_pass *p = s->data;
	struct ph_buf headers;
	bool length_known = !head->chunked && head->length >= 0;

	ph_timer_start(&p->timer, s->g->config->idle_timeout_ms);
	if (speaks_of_account(p, head->status) || tells_ids(p, head)) {
		keep_back(p, head, speaks_of_account(p, head->status));
		return;
	}
	ph_buf_init(&headers, PH_HEAD_MAX);
	ph_reply_pass_headers(head, &headers);
	ph_reply_common(s->g, s->x, &headers);
	p->head_sent = s->shown = true;
	p->told = head->status;
	s->x->ops->head(s->x->end, head->status, &headers, length_known ? head->length : -1);
	ph_buf_deinit(&headers);
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_side *s = owner;
	struct ph_pass *p = s->data;

	ph_timer_start(&p->timer, s->g->config->idle_timeout_ms);
	if (p->withheld) {
		size_t room = p->words.max - p->words.n;

		ph_buf_puts(&p->words, ph_str(bytes.p, bytes.n < room ? bytes.n : room));
	} else if (p->status) {
		ph_buf_puts(&p->words, bytes);
	} else {
		p->bytes_out += bytes.n;
		if (s->x->ops->push(s->x->end, bytes) > 0)
			return;
		p->paused = true;
		ph_call_read(p->call, false);
	}
}

void ph_pass_drain(struct ph_side *s)
{
	struct ph_pass *p = s->data;

	p->paused = false;
	if (p->call)
		ph_call_read(p->call, true);
}

/* What was kept back is the client's after all. */
static void tell(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_exchange *x = s->x;

	ph_reply_common(s->g, x, &p->headers);
	p->head_sent = s->shown = true;
	p->told = p->status;
	p->bytes_out = p->words.n;
	x->ops->head(x->end, p->status, &p->headers, (int64_t)p->words.n);
	x->ops->push(x->end, ph_buf_str(&p->words));
	ph_pass_over(s);
}

/* ---- ids that it hands out ---- */

static void on_written(struct ph_side *s, size_t which, int status)
{
	struct ph_pass *p = s->data;
	struct ph_err err = {.code = PH_E_DATABASE_AWAY, .detail = "the owner could not be written"};

	p->writing[which] = NULL;
	if (status)
		ph_pass_fail(s, err.code, &err);
	else if (!p->writing[0] && !p->writing[1])
		tell(s);
}

static void on_owned(void *arg, int status)
{
	on_written(arg, 0, status);
}

static void on_disowned(void *arg, int status)
{
	on_written(arg, 1, status);
}

void ph_pass_answer_cancel(struct ph_pass *p)
{
	for (size_t i = 0; i < 2; i++) {
		if (p->writing[i])
			ph_owned_write_cancel(p->writing[i]);
		p->writing[i] = NULL;
	}
}

void ph_pass_answer_late(struct ph_side *s)
{
	ph_pass_answer_cancel(s->data);
	tell(s);
}

/* Those of the answer: of the resource itself, where it is a new one, and of what came about with it. */
static size_t minted(struct ph_side *s, struct ph_minted ids[PH_MINTED_MAX])
{
	static const struct ph_str name = PH_STR_INIT("id");
	struct ph_pass *p = s->data;
	struct ph_str body = ph_buf_str(&p->words);
	struct ph_json_member m;
	size_t n;

	if (p->status / 100 != 2 || ph_json_check(body, NULL) ||
		ph_json_kind(ph_str_trim(body)) != PH_JSON_OBJECT)
		return 0;
	n = ph_owned_minted(body, &s->arena, ids);
	if (p->route.creates && n < PH_MINTED_MAX && ph_json_find(body, &name, 1, &m) &&
		ph_json_text(m.value, &s->arena, &ids[n].id))
		ids[n++].kind = p->route.collection->kind;
	return n;
}

static void on_object(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_minted ids[PH_MINTED_MAX];
	int64_t scope = s->door.key->id;
	size_t n;

	if (p->words.failed) {
		ph_pass_fail(s, -PH_E_UPSTREAM_BAD, NULL);
		return;
	}
	n = minted(s, ids);
	if (n)
		p->writing[0] = ph_owned_write(s->g, scope, p->account->id, ids, n, on_owned, s);
	ids[0].id = p->ids.list[0].id; /* that the path names */
	if (p->route.removes)
		p->writing[1] = ph_owned_write(s->g, scope, 0, ids, 1, on_disowned, s);
	if (p->writing[0] || p->writing[1])
		ph_timer_start(&p->timer, COMMIT_MS);
	else
		tell(s);
}

/* ---- the end ---- */

/* The upstream refused before it did anything. What it said of this account stays here; another may be asked,
 * if there is still something to send. */
static void on_withheld(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_failed_answer a = {.status = p->status,
		.body = ph_buf_str(&p->words),
		.head_after_ms = p->after_ms,
		.renewable = p->account->kind == PH_CODEX};
	struct ph_asked asked = {
		p->choice.model, PH_STR_NONE, p->health_version, false, p->account->secret_version};
	struct ph_failure f;

	ph_classify(&a, &f);
	if (ph_path_missing(p->status, &f))
		f.code = PH_E_PATH_UNSERVED;
	else
		ph_health_failure(s->g, p->account, &f, &asked);
	if (f.code == PH_E_UPSTREAM_CANNOT || f.code == PH_E_UPSTREAM_REFUSED) {
		tell(s);
		return;
	}
	p->status = 0;
	p->withheld = false;
	p->last = f.code;
	if (ph_pass_again(p))
		ph_pass_next(s);
	else
		ph_pass_fail(s, f.code == PH_E_PATH_UNSERVED ? -f.code : -PH_E_ACCOUNT_AWAY, NULL);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_side *s = owner;
	struct ph_pass *p = s->data;

	p->call = NULL;
	p->connected = false; /* what still comes of the body is nobody's */
	if (status == 0 && p->withheld) {
		on_withheld(s);
	} else if (status == 0) {
		ph_account_worked(s->g->accounts, p->account);
		if (p->status)
			on_object(s);
		else
			ph_pass_over(s);
	} else {
		p->last = PH_E_UPSTREAM_CONNECT;
		ph_health_unreached(s->g, p->account);
		if (status == -PH_E_UPSTREAM_CONNECT)
			ph_pass_next(s);
		else if (status == -PH_E_UPSTREAM_STALE)
			ph_pass_redial(s);
		else
			ph_pass_fail(s, status, err);
	}
}

const struct ph_call_events ph_pass_events = {on_connected, on_sent, on_head, on_body, on_end};
