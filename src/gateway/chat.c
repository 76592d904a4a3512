/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a chat. To the turn it is an exchange like any other: the machine answers as it would
 * answer a request of the Responses API, and what it says becomes chunks, or one completion, on its way out.
 * What an account says that has chat completions itself passes as it is. An answer that breaks off ends in an
 * error, without finish_reason and [DONE], and takes the connection with it.
 */
#include <stdlib.h>

#include "chat.h"
#include "posthouse/clock.h"
#include "request_priv.h"

#define HEADERS_MAX (128 * 1024)
#define MORE_MAX    (16 * 1024 * 1024) /* that a translation may be longer */
#define MISSING_MS  (10 * 60 * 1000)   /* before an account is asked again whether it has the path */

/* Owner: the turn. */
struct ph_chat {
	struct ph_exchange x;    /* the turn's end */
	struct ph_exchange *out; /* the client's; dead once the turn has let go of its own */
	struct ph_gateway *g;
	struct ph_buf text; /* the client's body */
	struct ph_chat_asked asked;
	struct ph_err refusal; /* why it cannot be translated; code 0: it can */
	bool native;           /* what comes is a chat's answer already */

	/* One that is told whole: kept until it can be translated. */
	int status; /* 0: chunks */
	struct ph_buf headers, whole;

	struct ph_sse *sse; /* events that become chunks */
	struct ph_chat_answer answer;
	struct ph_buf chunks; /* of one push */
};

static struct ph_chat_names names_of(const struct ph_chat *c)
{
	return (struct ph_chat_names){c->x.request_id, c->asked.model, ph_clock_unix_ms() / 1000};
}

/* ---- the answer ---- */

static void on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct ph_chat *c = owner;

	if (u->has_data)
		ph_chat_answer_event(&c->answer, u->data, &c->chunks);
}

static void open_chunks(struct ph_chat *c)
{
	struct ph_chat_names names = names_of(c);

	ph_chat_answer_init(&c->answer, c->asked.usage, &names);
	c->sse = ph_sse_new(2 * PH_COLLECT_MAX, on_unit, c);
}

static void head(void *end, int status, const struct ph_buf *headers, int64_t length)
{
	struct ph_chat *c = end;

	if (c->native || length < 0) {
		if (!c->native)
			open_chunks(c);
		c->out->ops->head(c->out->end, status, headers, length);
		return;
	}
	c->status = status;
	ph_buf_puts(&c->headers, ph_buf_str(headers));
}

static long push(void *end, struct ph_str bytes)
{
	struct ph_chat *c = end;

	if (c->native)
		return c->out->ops->push(c->out->end, bytes);
	if (c->status) {
		ph_buf_puts(&c->whole, bytes);
		return 1;
	}
	ph_buf_reset(&c->chunks);
	(void)!ph_sse_feed(c->sse, bytes); /* units of the relay's, who keeps to the same maximum */
	return c->chunks.n ? c->out->ops->push(c->out->end, ph_buf_str(&c->chunks)) : 1;
}

static void finish_whole(struct ph_chat *c)
{
	const struct ph_exchange_ops *ops = c->out->ops;
	struct ph_chat_names names = names_of(c);
	struct ph_str whole = ph_str_trim(ph_buf_str(&c->whole));
	struct ph_buf body;

	ph_buf_init(&body, 2 * PH_COLLECT_MAX);
	if (c->status / 100 == 2)
		c->status = ph_chat_answer_whole(whole, &names, &body);
	else
		ph_chat_answer_error(whole, &body);
	ops->head(c->out->end, c->status, &c->headers, (int64_t)body.n);
	ops->push(c->out->end, ph_buf_str(&body));
	ops->finish(c->out->end);
	ph_buf_deinit(&body);
}

static void finish(void *end)
{
	struct ph_chat *c = end;

	if (c->native)
		c->out->ops->finish(c->out->end);
	else if (c->status)
		finish_whole(c);
	else if (c->answer.ended)
		c->out->ops->finish(c->out->end);
	else
		c->out->ops->cut(c->out->end);
}

static void abort_answer(void *end)
{
	struct ph_chat *c = end;

	c->out->ops->abort(c->out->end);
}

static void cut(void *end)
{
	struct ph_chat *c = end;

	c->out->ops->cut(c->out->end);
}

/* ---- the request ---- */

static void take_body(struct ph_chat *c)
{
	c->x.body = c->out->body;
	ph_buf_init(&c->out->body, c->x.body.max);
}

static bool read_body(void *end)
{
	struct ph_chat *c = end;

	if (!c->out->ops->read_body(c->out->end))
		return false;
	take_body(c);
	return true;
}

static const struct ph_exchange_ops turn_ops = {.read_body = read_body,
	.head = head,
	.push = push,
	.finish = finish,
	.abort = abort_answer,
	.cut = cut};

static void on_body(void *h)
{
	struct ph_chat *c = h;

	take_body(c);
	c->x.handler->on_body(c->x.h);
}

static void on_body_failed(void *h, int code, const struct ph_err *err)
{
	struct ph_chat *c = h;

	c->x.handler->on_body_failed(c->x.h, code, err);
}

static void on_drain(void *h)
{
	struct ph_chat *c = h;

	c->x.handler->on_drain(c->x.h);
}

static void on_gone(void *h)
{
	struct ph_chat *c = h;

	c->x.handler->on_gone(c->x.h);
}

static const struct ph_handler handler = {on_body, on_body_failed, on_drain, on_gone};

void ph_chat_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	struct ph_chat *c = ph_alloc(sizeof *c);

	(void)path;
	c->g = g;
	c->out = x;
	c->x = *x;
	c->x.ops = &turn_ops;
	c->x.end = c;
	c->x.chat = c;
	ph_buf_init(&c->x.body, x->body.max);
	ph_buf_init(&c->text, x->body.max);
	ph_buf_init(&c->headers, HEADERS_MAX);
	ph_buf_init(&c->whole, 2 * PH_COLLECT_MAX);
	ph_buf_init(&c->chunks, 2 * PH_COLLECT_MAX);
	x->handler = &handler;
	x->h = c;
	ph_request_open(g, &c->x);
}

struct ph_chat *ph_chat_free(struct ph_chat *c)
{
	if (!c)
		return NULL;
	ph_buf_deinit(&c->x.body);
	ph_buf_deinit(&c->text);
	ph_buf_deinit(&c->headers);
	ph_buf_deinit(&c->whole);
	ph_buf_deinit(&c->chunks);
	ph_chat_answer_deinit(&c->answer);
	ph_sse_free(c->sse);
	free(c);
	return NULL;
}

/* ---- what the turn asks ---- */

/* Could answer it itself, now or when its block has ended. */
static bool may_serve(const struct ph_request *r, const struct ph_account *a)
{
	return ph_chat_is_native(r, a) && (ph_account_usable(a) || ph_account_blocked(a)) &&
	       ph_key_allows_account(r->door.key, a->id) && ph_account_serves(a, r->body.model);
}

bool ph_chat_is_native(const struct ph_request *r, const struct ph_account *a)
{
	return r->chat && a->kind != PH_CODEX && ph_loop_now_ms(r->g->loop) >= a->no_chat_until_ms;
}

/* What cannot be translated is for accounts that have the path, and refused where there are none. */
int ph_chat_choose(struct ph_request *r)
{
	if (!r->chat || !r->chat->refusal.code)
		return 1;
	r->choice.kinds = 1 << PH_PLATFORM | 1 << PH_STATELESS;
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts))
		if (may_serve(r, PH_CONTAINER(it, struct ph_account, node)))
			return 1;
	r->fault = r->chat->refusal;
	return -r->fault.code;
}

/* As far as the turn must know it, where it cannot be translated. */
static void put_outline(const struct ph_chat_asked *asked, struct ph_buf *out)
{
	ph_buf_printf(out, "{\"stream\":%s,\"store\":false", asked->stream ? "true" : "false");
	if (asked->model.n) {
		ph_buf_puts(out, PH_STR(",\"model\":"));
		ph_buf_puts(out, asked->model);
	}
	ph_buf_putc(out, '}');
}

int ph_chat_take(struct ph_request *r, struct ph_buf *body)
{
	struct ph_chat *c = r->chat;
	int rc;

	c->text = *body;
	ph_buf_init(body, c->text.max + MORE_MAX);
	rc = ph_chat_request_write(ph_buf_str(&c->text), body, &c->asked, &c->refusal);
	if (rc && !c->asked.valid) {
		r->fault = c->refusal;
		return rc;
	}
	if (rc) {
		ph_buf_reset(body);
		put_outline(&c->asked, body);
	}
	if (!body->failed)
		return 0;
	return ph_fail_param(&r->fault, PH_E_BODY_TOO_LARGE, "messages", "%s", "");
}

struct ph_str ph_chat_text(const struct ph_chat *c)
{
	return ph_buf_str(&c->text);
}

void ph_chat_forget(struct ph_chat *c)
{
	if (!c)
		return;
	c->asked.model = PH_STR_NONE;
	ph_buf_deinit(&c->text);
}

void ph_chat_native(struct ph_chat *c, bool native)
{
	c->native = native;
}

/* It was chosen because it might have had the path; others may. */
int ph_chat_refused(struct ph_request *r)
{
	const struct ph_err *why = &r->chat->refusal;

	if (!why->code)
		return 0;
	ph_buf_reset(&r->words);
	ph_reply_quote(&r->words, why->detail, why->param, ph_err_info(why->code)->ocode);
	r->words_status = ph_err_info(why->code)->http;
	return ph_fail(
		&r->fault, PH_E_UPSTREAM_CANNOT, "account %s has no chat completions", r->account->name);
}

bool ph_chat_is_stored(const struct ph_request *r)
{
	return r->chat && r->attempt.chat && r->chat->asked.store && r->account &&
	       r->account->kind == PH_PLATFORM && r->collect.id.n;
}

bool ph_chat_missing(struct ph_request *r, int status, const struct ph_failure *f)
{
	if (!ph_path_missing(status, f))
		return false;
	r->account->no_chat_until_ms = ph_loop_now_ms(r->g->loop) + MISSING_MS;
	return true;
}
