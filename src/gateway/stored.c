/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and DELETE /v1/responses/{id}, GET .../input_items, POST .../cancel: from the store, on any node,
 * within the key's scope. What still runs in the background is asked of its account (owner.c), and so is what
 * a client wants to have included beyond what its turn asked for; streams are resume.c's.
 */
#include "stored.h"

#include "owner.h"
#include "posthouse/url.h"

#define ANSWER_MAX    PH_STORED_ANSWER_MAX
#define TARGET_MAX    (64 * 1024)
#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100

enum what {
	GET,
	DELETE,
	INPUT_ITEMS,
	CANCEL
};

struct stored {
	enum what what;
	struct ph_str id; /* decoded, in the arena */
	struct ph_response_read *read;
	struct ph_owner_ask *asking;        /* of a background response */
	struct ph_background_read *reading; /* of its input items */
	struct ph_owner_call *including;    /* what was not stored */
	bool again;                         /* the snapshot came to be meanwhile: it was read once more */
	bool included;                      /* the account was asked, and did not say */
};

void ph_stored_unknown(struct ph_side *s, struct ph_str id)
{
	struct ph_err err;

	ph_fail(&err, PH_E_RESPONSE_UNKNOWN, "Response with id '%.*s' not found.", PH_STR_ARG(id));
	ph_side_error(s, PH_E_RESPONSE_UNKNOWN, &err, 0);
}

static void unknown(struct ph_side *s)
{
	ph_stored_unknown(s, ((struct stored *)s->data)->id);
}

/* Turns of store:false can be continued, but not read: that is what the client asked for. */
bool ph_stored_is_readable(const struct ph_response *r)
{
	return r->class == 0 && !(r->flags & PH_TURN_COMPACTION);
}

void ph_stored_put_object(struct ph_buf *out, const struct ph_response *r)
{
	static const struct ph_str name = PH_STR_INIT("output");
	struct ph_str e = r->envelope;
	struct ph_json_member m;
	size_t at;

	if (ph_json_find(e, &name, 1, &m) && m.kind == PH_JSON_ARRAY) {
		at = (size_t)(m.value.p - e.p);
		ph_buf_puts(out, ph_str(e.p, at));
		ph_buf_putc(out, '[');
		ph_buf_puts(out, r->output);
		ph_buf_putc(out, ']');
		ph_buf_puts(out, ph_str_from(e, at + m.value.n));
	} else {
		ph_buf_puts(out, PH_STR("{\"output\":["));
		ph_buf_puts(out, r->output);
		ph_buf_puts(out, ph_str_trim(ph_str_from(e, 1)).p[0] == '}' ? PH_STR("]") : PH_STR("],"));
		ph_buf_puts(out, ph_str_from(e, 1));
	}
}

static void reply_get(struct ph_side *s, const struct ph_response *response)
{
	struct ph_buf body;

	ph_buf_init(&body, ANSWER_MAX);
	ph_stored_put_object(&body, response);
	ph_side_json(s, 200, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

static int read_limit(struct ph_str query, size_t *ret, struct ph_err *err)
{
	struct ph_str value, digits;
	uint64_t limit;

	if (!ph_query_get(query, PH_STR("limit"), &value))
		return 0;
	digits = value.n && value.p[0] == '-' ? ph_str_from(value, 1) : value;
	if (!ph_str_u64(digits, UINT64_MAX, &limit))
		return ph_fail_param(err, PH_E_TYPE_BAD, "limit",
			"Invalid type for 'limit': expected an integer from 1 to %d.", LIMIT_MAX);
	if (digits.n < value.n || limit < 1)
		return ph_fail_param(err, PH_E_VALUE_BELOW, "limit",
			"Invalid 'limit': integer below minimum value. Expected a value >= 1.");
	if (limit > LIMIT_MAX)
		return ph_fail_param(err, PH_E_VALUE_ABOVE, "limit",
			"Invalid 'limit': integer above maximum value. Expected a value <= %d.", LIMIT_MAX);
	*ret = (size_t)limit;
	return 0;
}

static int read_page(struct ph_side *s, struct ph_page *page, struct ph_err *err)
{
	struct ph_str value, query = s->x->query;
	char *after = ph_arena_alloc(&s->arena, PH_RESPONSE_ID_MAX * 2);
	int rc;

	*page = (struct ph_page){PH_STR_NONE, LIMIT_DEFAULT, false};
	rc = read_limit(query, &page->limit, err);
	if (rc)
		return rc;
	if (ph_query_get(query, PH_STR("order"), &value)) {
		page->ascending = ph_str_eq(value, PH_STR("asc"));
		if (!page->ascending && !ph_str_eq(value, PH_STR("desc")))
			return ph_fail_param(err, PH_E_PARAM_BAD, "order",
				"Invalid value for 'order': supported values are 'asc' and 'desc'.");
	}
	if (ph_query_get(query, PH_STR("after"), &value)) {
		if (ph_percent_decode(value, true, after, PH_RESPONSE_ID_MAX * 2, &page->after.n))
			return ph_fail_param(
				err, PH_E_PARAM_BAD, "after", "Invalid value for 'after': it is no item id.");
		page->after.p = after;
	}
	return 0;
}

static void reply_items(struct ph_side *s, struct ph_str id, struct ph_str items)
{
	struct ph_err err = {0};
	struct ph_page page;
	struct ph_buf body;
	int rc = read_page(s, &page, &err);

	ph_buf_init(&body, ANSWER_MAX);
	if (rc == 0)
		rc = ph_items_page(items, id, &page, &body);
	if (rc == -PH_E_ITEM_UNKNOWN)
		ph_fail_param(&err, PH_E_ITEM_UNKNOWN, "after", "Item with id '%.*s' not found.",
			PH_STR_ARG(page.after));
	if (rc)
		ph_side_error(s, rc, &err, 0);
	else
		ph_side_json(s, 200, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

static void reply_deleted(struct ph_side *s)
{
	struct stored *d = s->data;
	struct ph_buf body;

	ph_buf_init(&body, ANSWER_MAX);
	ph_buf_puts(&body, PH_STR("{\"id\":\""));
	ph_buf_json(&body, d->id);
	ph_buf_puts(&body, PH_STR("\",\"object\":\"response\",\"deleted\":true}"));
	ph_side_json(s, 200, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

/* The owner is told too, best effort: nobody waits for it. */
static void delete_upstream(struct ph_side *s, const struct ph_response *response)
{
	struct ph_account *a = ph_accounts_find(s->g->accounts, response->account);
	struct stored *d = s->data;
	struct ph_buf head, path;

	if (!a || a->kind != PH_PLATFORM || !ph_account_usable(a) || !(response->flags & PH_TURN_STORED))
		return;
	ph_buf_init(&head, ANSWER_MAX);
	ph_buf_init(&path, ANSWER_MAX);
	ph_account_headers(&head, a, s->x, PH_STR("application/json"), false, false);
	ph_buf_puts(&path, PH_STR("/responses/"));
	ph_percent_encode(&path, d->id);
	struct ph_call_request r = {&a->base, PH_STR("DELETE"), ph_buf_str(&path), &head, NULL, false};
	ph_call_start(s->g->upstream, &r, NULL, NULL);
	ph_buf_deinit(&head);
	ph_buf_deinit(&path);
}

/* ---- what still runs in the background ---- */

static void read_row(struct ph_side *s);

/* It was not there a moment ago. */
static void read_again(struct ph_side *s)
{
	struct stored *d = s->data;

	if (d->again)
		unknown(s);
	else
		read_row(s);
	d->again = true;
}

static void on_owner(void *arg, const struct ph_owner_answer *answer)
{
	struct ph_side *s = arg;
	struct stored *d = s->data;

	d->asking = NULL;
	if (answer->err)
		ph_side_error(s, answer->err->code, answer->err, 0);
	else if (!answer->known || answer->status == 404)
		unknown(s);
	else if (answer->kept && answer->status == 0)
		read_again(s);
	else if (answer->status == 0)
		ph_side_error(s, PH_E_ACCOUNT_AWAY, NULL, answer->after_ms);
	else
		ph_side_json(s, answer->status, answer->body);
}

static void on_turn(void *arg, struct ph_background *turn, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct stored *d = s->data;

	d->reading = NULL;
	if (err)
		ph_side_error(s, err->code, err, 0);
	else if (turn && turn->ended)
		read_again(s);
	else if (!turn || !turn->turn.keep)
		unknown(s);
	else
		reply_items(s, d->id, turn->turn.input);
	ph_background_free(turn);
}

/* No snapshot: unknown, foreign, hidden, or not finished. */
static void not_there(struct ph_side *s)
{
	struct stored *d = s->data;

	switch (d->what) {
	case GET:
		d->asking = ph_owner_ask(s->g, s->x, s->door.key, d->id, on_owner, s);
		return;
	case CANCEL:
		d->asking = ph_owner_stop(s->g, s->x, s->door.key, d->id, on_owner, s);
		return;
	case INPUT_ITEMS:
		d->reading = ph_background_read(s->g->continuity, s->door.key->id, d->id, on_turn, s);
		return;
	default:
		unknown(s);
	}
}

/* It has ended: a background response is shown as it ended, another was never to be cancelled. */
static void reply_cancel(struct ph_side *s, const struct ph_response *response)
{
	static const struct ph_str name = PH_STR_INIT("background");
	struct ph_json_member m;

	if (ph_json_find(ph_str_trim(response->envelope), &name, 1, &m) && m.kind == PH_JSON_TRUE)
		reply_get(s, response);
	else
		ph_side_error(s, PH_E_NOT_BACKGROUND, NULL, 0);
}

/* ---- what the account alone can include ---- */

static void on_included(void *arg, int status, struct ph_str body)
{
	struct ph_side *s = arg;
	struct stored *d = s->data;

	d->including = NULL;
	d->included = true;
	if (status == 200)
		ph_side_json(s, 200, body);
	else
		read_row(s);
}

/* A client may want what its turn did not ask for, of a response that its account keeps. */
static bool include(struct ph_side *s, const struct ph_response *response)
{
	struct ph_str query = s->x->query, value;
	struct stored *d = s->data;
	struct ph_buf path;

	if (d->included || !(response->flags & PH_TURN_STORED) ||
		!ph_owner_usable(s->g, s->door.key, response->account))
		return false;
	if (!ph_query_get(query, PH_STR("include[]"), &value) &&
		!ph_query_get(query, PH_STR("include"), &value) &&
		!ph_query_get(query, PH_STR("include%5B%5D"), &value))
		return false;
	ph_buf_init(&path, TARGET_MAX);
	ph_owner_path(&path, d->id, PH_STR("?"));
	ph_buf_puts(&path, query);
	d->including = ph_owner_call(s->g, s->x, ph_accounts_find(s->g->accounts, response->account),
		PH_STR("GET"), ph_buf_str(&path), on_included, s);
	ph_buf_deinit(&path);
	return true;
}

/* ---- the row ---- */

static void on_read(void *arg, const struct ph_response *response, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct stored *d = s->data;

	d->read = NULL;
	if (err) {
		ph_side_error(s, err->code, err, 0);
	} else if (!response) {
		not_there(s);
	} else if (d->what == DELETE) {
		delete_upstream(s, response);
		reply_deleted(s);
	} else if (!ph_stored_is_readable(response)) {
		unknown(s);
	} else if (d->what == CANCEL) {
		reply_cancel(s, response);
	} else if (d->what == INPUT_ITEMS) {
		reply_items(s, response->id, response->input);
	} else if (!include(s, response)) {
		reply_get(s, response);
	}
}

static void read_row(struct ph_side *s)
{
	struct stored *d = s->data;

	d->read = ph_response_read(s->g->continuity, s->door.key->id, d->id, on_read, s);
}

static void serve(struct ph_side *s)
{
	struct stored *d = s->data;

	if (d->id.n == 0 || d->id.n > PH_RESPONSE_ID_MAX)
		unknown(s);
	else if (d->what == DELETE)
		d->read = ph_response_hide(s->g->continuity, s->door.key->id, d->id, on_read, s);
	else
		read_row(s);
}

static void cancel(struct ph_side *s)
{
	struct stored *d = s->data;

	if (d->read)
		ph_response_cancel(d->read);
	if (d->asking)
		ph_owner_cancel(d->asking);
	if (d->reading)
		ph_background_cancel(d->reading);
	if (d->including)
		ph_owner_call_cancel(d->including);
	d->read = NULL;
	d->asking = NULL;
	d->reading = NULL;
	d->including = NULL;
}

static const struct ph_side_ops response_ops = {PH_ROUTE_RESPONSE, serve, cancel, NULL};
static const struct ph_side_ops items_ops = {PH_ROUTE_INPUT_ITEMS, serve, cancel, NULL};

static void open_stored(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id, enum what what)
{
	struct ph_side *s =
		ph_side_open(g, x, what == INPUT_ITEMS ? &items_ops : &response_ops, sizeof(struct stored));
	struct stored *d = s->data;

	d->what = what;
	d->id = ph_arena_dup(&s->arena, id);
	ph_side_start(s);
}

void ph_responses_get(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	struct ph_str stream;

	if (ph_query_get(x->query, PH_STR("stream"), &stream) && ph_str_eq(stream, PH_STR("true")))
		ph_resume_open(g, x, id);
	else
		open_stored(g, x, id, GET);
}

void ph_responses_cancel(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	open_stored(g, x, id, CANCEL);
}

void ph_responses_delete(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	open_stored(g, x, id, DELETE);
}

void ph_responses_items(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	open_stored(g, x, id, INPUT_ITEMS);
}
