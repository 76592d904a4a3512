/* SPDX-License-Identifier: Apache-2.0 */
/* GET and DELETE /v1/responses/{id}, GET .../input_items: from the store, on any node, within the key's
 * scope. */
#include "posthouse/url.h"
#include "side.h"

#define ANSWER_MAX    (256u * 1024 * 1024)
#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100

enum what {
	GET,
	DELETE,
	INPUT_ITEMS
};

struct stored {
	enum what what;
	struct ph_str id; /* decoded, in the arena */
	struct ph_response_read *read;
};

/* One answer for unknown, foreign, hidden and not retrievable. */
static void unknown(struct ph_side *s)
{
	struct stored *d = s->data;
	struct ph_err err;

	ph_fail(&err, PH_E_RESPONSE_UNKNOWN, "Response with id '%.*s' not found.", PH_STR_ARG(d->id));
	ph_side_error(s, PH_E_RESPONSE_UNKNOWN, &err, 0);
}

/* The envelope with the items back where they stood. */
static void reply_get(struct ph_side *s, const struct ph_response *response)
{
	static const struct ph_str name = PH_STR_INIT("output");
	struct ph_str e = response->envelope;
	struct ph_json_member m;
	struct ph_buf body;
	size_t at;

	ph_buf_init(&body, ANSWER_MAX);
	if (ph_json_find(e, &name, 1, &m) && m.kind == PH_JSON_ARRAY) {
		at = (size_t)(m.value.p - e.p);
		ph_buf_puts(&body, ph_str(e.p, at));
		ph_buf_putc(&body, '[');
		ph_buf_puts(&body, response->output);
		ph_buf_putc(&body, ']');
		ph_buf_puts(&body, ph_str_from(e, at + m.value.n));
	} else {
		ph_buf_puts(&body, PH_STR("{\"output\":["));
		ph_buf_puts(&body, response->output);
		ph_buf_puts(&body, ph_str_trim(ph_str_from(e, 1)).p[0] == '}' ? PH_STR("]") : PH_STR("],"));
		ph_buf_puts(&body, ph_str_from(e, 1));
	}
	ph_side_json(s, 200, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

static int read_page(struct ph_side *s, struct ph_page *page, struct ph_err *err)
{
	struct ph_str value, query = s->x->query;
	char *after = ph_arena_alloc(&s->arena, PH_RESPONSE_ID_MAX * 2);
	uint64_t limit = LIMIT_DEFAULT;

	*page = (struct ph_page){PH_STR_NONE, LIMIT_DEFAULT, false};
	if (ph_query_get(query, PH_STR("limit"), &value) &&
		(!ph_str_u64(value, LIMIT_MAX, &limit) || limit < 1))
		return ph_fail_param(
			err, PH_E_PARAM_BAD, "limit", "It must be a whole number from 1 to %d.", LIMIT_MAX);
	page->limit = (size_t)limit;
	if (ph_query_get(query, PH_STR("order"), &value)) {
		page->ascending = ph_str_eq(value, PH_STR("asc"));
		if (!page->ascending && !ph_str_eq(value, PH_STR("desc")))
			return ph_fail_param(err, PH_E_PARAM_BAD, "order", "It must be 'asc' or 'desc'.");
	}
	if (ph_query_get(query, PH_STR("after"), &value)) {
		if (ph_percent_decode(value, true, after, PH_RESPONSE_ID_MAX * 2, &page->after.n))
			return ph_fail_param(err, PH_E_PARAM_BAD, "after", "It is no item id.");
		page->after.p = after;
	}
	return 0;
}

static void reply_items(struct ph_side *s, const struct ph_response *response)
{
	struct ph_err err = {0};
	struct ph_page page;
	struct ph_buf body;
	int rc = read_page(s, &page, &err);

	ph_buf_init(&body, ANSWER_MAX);
	if (rc == 0)
		rc = ph_items_page(response->input, response->id, &page, &body);
	if (rc == -PH_E_ITEM_UNKNOWN)
		ph_fail(&err, PH_E_ITEM_UNKNOWN, "Item with id '%.*s' not found.", PH_STR_ARG(page.after));
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

static void on_read(void *arg, const struct ph_response *response, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct stored *d = s->data;

	d->read = NULL;
	if (err) {
		ph_side_error(s, err->code, err, 0);
		return;
	}
	/* Turns of store:false can be continued, but not read: that is what the client asked for. */
	if (!response || (d->what != DELETE && response->class != 0)) {
		unknown(s);
		return;
	}
	switch (d->what) {
	case GET:
		reply_get(s, response);
		return;
	case INPUT_ITEMS:
		reply_items(s, response);
		return;
	default:
		delete_upstream(s, response);
		reply_deleted(s);
	}
}

static void serve(struct ph_side *s)
{
	struct stored *d = s->data;
	int64_t scope = s->door.key->id;

	if (d->id.n == 0 || d->id.n > PH_RESPONSE_ID_MAX) {
		unknown(s);
		return;
	}
	if (d->what == DELETE)
		d->read = ph_response_hide(s->g->continuity, scope, d->id, on_read, s);
	else
		d->read = ph_response_read(s->g->continuity, scope, d->id, on_read, s);
}

static void cancel(struct ph_side *s)
{
	struct stored *d = s->data;

	if (d->read)
		ph_response_cancel(d->read);
	d->read = NULL;
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
	open_stored(g, x, id, GET);
}

void ph_responses_delete(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	open_stored(g, x, id, DELETE);
}

void ph_responses_items(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id)
{
	open_stored(g, x, id, INPUT_ITEMS);
}
