/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /v1/responses/{id}?stream=true&starting_after=n. Of a background response that its account still keeps
 * the stream is the account's own, from wherever the client left it: on any node, since the numbers of events
 * are upstream's. Its end is held until the snapshot is written, as a turn's. Of all others, and where the
 * account cannot be asked, it is told from the store.
 */
#include <stdlib.h>

#include "owner.h"
#include "request_priv.h"
#include "stored.h"

#define WORDS_MAX  (64 * 1024)
#define TARGET_MAX (64 * 1024)

struct resume {
	struct ph_str id; /* decoded, in the arena */
	int64_t after;    /* -1: from the start */
	struct ph_response_read *read;
	struct ph_background_read *reading;
	struct ph_background *turn; /* that has no snapshot yet; or NULL */
	struct ph_account *account; /* a reference */
	struct ph_call *call;
	struct ph_sse *sse;
	struct ph_owner_keeping *keeping; /* of its snapshot */
	struct ph_timer timer;            /* silence */
	struct ph_buf headers;            /* of the account's answer */
	struct ph_buf words;              /* of its refusal */
	struct ph_buf end;                /* the terminal event */
	int status;                       /* of its answer */
	bool stored;                      /* there is a snapshot to tell it from */
	bool head_sent;
	bool again; /* the snapshot was read once more */
	bool ended; /* the terminal event came, and is held until the snapshot is there */
};

static void unknown(struct ph_side *s)
{
	ph_stored_unknown(s, ((struct resume *)s->data)->id);
}

/* ---- from the store ---- */

static void send_head(struct ph_side *s, int64_t length)
{
	struct resume *d = s->data;

	d->head_sent = true;
	ph_reply_common(s->g, s->x, &d->headers);
	s->x->ops->head(s->x->end, 200, &d->headers, length);
}

static void tell(struct ph_side *s, const struct ph_response *response)
{
	struct resume *d = s->data;
	struct ph_exchange *x = s->x;
	struct ph_buf body;

	ph_buf_init(&body, PH_STORED_ANSWER_MAX);
	if (!ph_stored_put_events(&body, response, d->after)) {
		ph_side_error(s, PH_E_CHAIN_TOO_LARGE, NULL, 0);
	} else {
		ph_buf_reset(&d->headers);
		ph_http_put_header(
			&d->headers, PH_STR("content-type"), PH_STR("text/event-stream; charset=utf-8"));
		send_head(s, (int64_t)body.n);
		x->ops->push(x->end, ph_buf_str(&body));
		x->ops->finish(x->end);
		ph_side_close(s);
	}
	ph_buf_deinit(&body);
}

static void on_told(void *arg, const struct ph_response *response, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct resume *d = s->data;

	d->read = NULL;
	if (err)
		ph_side_error(s, err->code, err, 0);
	else if (!response || !ph_stored_is_readable(response))
		unknown(s);
	else
		tell(s, response);
}

/* ---- the account's own ---- */

static void finish(struct ph_side *s)
{
	struct resume *d = s->data;
	struct ph_exchange *x = s->x;

	if (d->call)
		ph_call_abandon(d->call);
	d->call = NULL;
	ph_buf_puts(&d->end, PH_SSE_DONE);
	x->ops->push(x->end, ph_buf_str(&d->end));
	x->ops->finish(x->end);
	s->ops->cancel(s);
	ph_side_close(s);
}

static void on_kept(void *arg, bool kept)
{
	struct ph_side *s = arg;
	struct resume *d = s->data;

	(void)kept; /* counted and logged where it was written */
	d->keeping = NULL;
	finish(s);
}

/* A terminal event. Nothing that comes behind it is of interest. */
static void end_with(struct ph_side *s, const struct ph_event *e)
{
	struct resume *d = s->data;
	struct ph_str response = e->m[PH_EV_RESPONSE].value;

	d->ended = true;
	ph_sse_stop(d->sse);
	ph_timer_stop(&d->timer);
	ph_buf_puts(&d->end, e->unit->raw);
	if (d->turn && e->m[PH_EV_RESPONSE].kind == PH_JSON_OBJECT)
		d->keeping = ph_owner_keep(s->g, s->x, d->turn, response, on_kept, s);
	if (!d->keeping)
		finish(s);
}

static void on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct ph_side *s = owner;
	struct resume *d = s->data;
	struct ph_event e;

	if (ph_str_eq(ph_str_trim(u->data), PH_STR("[DONE]")))
		return;
	if (u->has_data && ph_event_read(u, &e) && e.class >= PH_EVENT_COMPLETED)
		end_with(s, &e);
	else if (s->x->ops->push(s->x->end, u->raw) <= 0)
		ph_call_read(d->call, false);
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_side *s = owner;
	struct resume *d = s->data;
	struct ph_str type = ph_head_get(head, PH_STR("content-type"));

	d->status = head->status;
	if (head->status != 200 || type.n < 17 ||
		!ph_str_eq_nocase(ph_str(type.p, 17), PH_STR("text/event-stream")))
		return;
	ph_reply_pass_headers(head, &d->headers);
	send_head(s, -1);
	d->sse = ph_sse_new(s->g->config->max_body, on_unit, s);
}

/* Half an answer is cut, so that the client comes back for the rest. */
static void cut(struct ph_side *s)
{
	s->x->ops->abort(s->x->end);
	s->ops->cancel(s);
	ph_side_close(s);
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_side *s = owner;
	struct resume *d = s->data;
	size_t room = WORDS_MAX - d->words.n;

	if (!d->head_sent) {
		ph_buf_puts(&d->words, ph_str(bytes.p, bytes.n < room ? bytes.n : room));
		return;
	}
	ph_timer_start(&d->timer, s->g->config->idle_timeout_ms);
	if (!d->ended && ph_sse_feed(d->sse, bytes) && !d->ended)
		cut(s);
}

/* The account did not give the stream. */
static void without_account(struct ph_side *s)
{
	struct resume *d = s->data;
	struct ph_exchange *x = s->x;

	if (d->stored) {
		d->read = ph_response_read(s->g->continuity, s->door.key->id, d->id, on_told, s);
	} else if (d->status == 404) {
		unknown(s);
	} else if (d->status == 400) {
		ph_reply_json(s->g, x, 400, ph_buf_str(&d->words));
		ph_side_close(s);
	} else {
		ph_side_error(s, PH_E_ACCOUNT_AWAY, NULL, 0);
	}
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_side *s = owner;
	struct resume *d = s->data;

	(void)err;
	d->call = NULL;
	ph_timer_stop(&d->timer);
	if (d->ended)
		return;
	if (!d->head_sent)
		without_account(s);
	else if (status == 0)
		finish(s); /* the client had the terminal event already */
	else
		cut(s);
}

static void on_timer(void *arg)
{
	struct ph_side *s = arg;
	struct resume *d = s->data;

	ph_call_cancel(d->call);
	d->call = NULL;
	if (d->head_sent)
		cut(s);
	else
		without_account(s);
}

static void ask(struct ph_side *s, int64_t account)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct resume *d = s->data;
	struct ph_buf head, path;

	d->account = ph_account_ref(ph_accounts_find(s->g->accounts, account));
	ph_buf_init(&head, PH_HEAD_MAX);
	ph_buf_init(&path, TARGET_MAX);
	ph_account_headers(&head, d->account, s->x, PH_STR("text/event-stream"), false, false);
	ph_owner_path(&path, d->id, PH_STR("?"));
	ph_buf_puts(&path, s->x->query);
	struct ph_call_request r = {&d->account->base, PH_STR("GET"), ph_buf_str(&path), &head, NULL, false};
	ph_timer_start(&d->timer, s->g->config->first_event_timeout_ms);
	d->call = ph_call_start(s->g->upstream, &r, &events, s);
	ph_buf_deinit(&head);
	ph_buf_deinit(&path);
}

/* ---- whose stream it is ---- */

static void on_read(void *arg, const struct ph_response *response, const struct ph_err *err);

/* The snapshot came to be meanwhile. */
static void read_again(struct ph_side *s)
{
	struct resume *d = s->data;

	d->again = true;
	d->turn = ph_background_free(d->turn);
	d->read = ph_response_read(s->g->continuity, s->door.key->id, d->id, on_read, s);
}

static void on_turn(void *arg, struct ph_background *turn, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct resume *d = s->data;

	d->reading = NULL;
	d->turn = turn;
	if (err)
		ph_side_error(s, err->code, err, 0);
	else if (!turn || (turn->ended && d->again))
		unknown(s);
	else if (turn->ended)
		read_again(s);
	else if (ph_owner_usable(s->g, s->door.key, turn->turn.account))
		ask(s, turn->turn.account);
	else
		ph_side_error(s, PH_E_ACCOUNT_AWAY, NULL, 0);
}

/* An account keeps the events of what it ran in the background, and of nothing else. */
static bool has_stream(struct ph_side *s, const struct ph_response *response)
{
	static const struct ph_str name = PH_STR_INIT("background");
	struct ph_json_member m;

	return response->flags & PH_TURN_STORED &&
	       ph_json_find(ph_str_trim(response->envelope), &name, 1, &m) && m.kind == PH_JSON_TRUE &&
	       ph_owner_usable(s->g, s->door.key, response->account);
}

static void on_read(void *arg, const struct ph_response *response, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct resume *d = s->data;

	d->read = NULL;
	if (err) {
		ph_side_error(s, err->code, err, 0);
	} else if (!response) {
		d->reading = ph_background_read(s->g->continuity, s->door.key->id, d->id, on_turn, s);
	} else if (!ph_stored_is_readable(response)) {
		unknown(s);
	} else if (has_stream(s, response)) {
		d->stored = true;
		ask(s, response->account);
	} else {
		tell(s, response);
	}
}

static int read_query(struct ph_side *s, struct ph_err *err)
{
	struct resume *d = s->data;
	struct ph_str value;
	uint64_t n;

	d->after = -1;
	if (!ph_query_get(s->x->query, PH_STR("starting_after"), &value))
		return 0;
	if (!ph_str_u64(value, INT64_MAX / 2, &n))
		return ph_fail_param(err, PH_E_TYPE_BAD, "starting_after",
			"Invalid type for 'starting_after': expected the sequence number of an event.");
	d->after = (int64_t)n;
	return 0;
}

static void serve(struct ph_side *s)
{
	struct resume *d = s->data;
	struct ph_err err = {0};

	if (read_query(s, &err))
		ph_side_error(s, err.code, &err, 0);
	else if (d->id.n == 0 || d->id.n > PH_RESPONSE_ID_MAX)
		unknown(s);
	else
		d->read = ph_response_read(s->g->continuity, s->door.key->id, d->id, on_read, s);
}

static void cancel(struct ph_side *s)
{
	struct resume *d = s->data;

	ph_timer_stop(&d->timer);
	if (d->read)
		ph_response_cancel(d->read);
	if (d->reading)
		ph_background_cancel(d->reading);
	if (d->call)
		ph_call_cancel(d->call);
	if (d->keeping)
		ph_owner_keep_cancel(d->keeping);
	d->read = NULL;
	d->reading = NULL;
	d->call = NULL;
	d->keeping = NULL;
}

static void drain(struct ph_side *s)
{
	struct resume *d = s->data;

	if (d->call)
		ph_call_read(d->call, true);
}

static const struct ph_side_ops ops = {PH_ROUTE_RESPONSE, serve, cancel, drain};

static void forget(void *arg)
{
	struct resume *d = arg;

	ph_background_free(d->turn);
	ph_account_unref(d->account);
	ph_sse_free(d->sse);
	ph_buf_deinit(&d->headers);
	ph_buf_deinit(&d->words);
	ph_buf_deinit(&d->end);
}

void ph_resume_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(struct resume));
	struct resume *d = s->data;

	d->id = ph_arena_dup(&s->arena, id);
	ph_buf_init(&d->headers, PH_HEAD_MAX);
	ph_buf_init(&d->words, WORDS_MAX);
	ph_buf_init(&d->end, PH_STORED_ANSWER_MAX);
	ph_timer_init(&d->timer, g->loop, on_timer, s);
	ph_arena_defer(&s->arena, forget, d);
	ph_side_start(s);
}
