/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of what a key has upstream: a page of our rows, each read from the account that keeps it. An
 * account's own list would show what other keys made there, and a page of it could be empty after the filter;
 * this way a page costs as many small reads as it shows, and cursors, order and has_more are the key's own.
 */
#include "owned.h"
#include "side.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     100
#define LIMIT_TAKEN   10000 /* what the API allows for files: pages are shorter here */
#define AT_ONCE       8
#define OBJECT_MAX    (1024 * 1024)
#define ANSWER_MAX    ((LIMIT_MAX + 1) * OBJECT_MAX)
#define ROUNDS        10 /* of reading on, where what was read is not to be shown */
#define READ_MS       30000

/* One resource that is read. */
struct entry {
	struct ph_side *s;
	struct ph_str id;
	int64_t account;
	struct ph_call *call;
	int status;
	struct ph_buf body;
	struct ph_owned_write *writing;
};

struct list {
	const struct ph_collection *collection;
	struct ph_owned_page page;
	struct ph_str filter; /* value that what is shown must have; .p NULL = any */
	size_t limit;
	struct ph_pg_call *asked;
	struct entry entries[LIMIT_MAX];
	size_t n, started, running, writing;
	struct ph_buf data;
	struct ph_str first, last;
	size_t shown;
	bool more;
	unsigned rounds;
	struct ph_timer timer;
};

static void entries_free(struct list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		if (l->entries[i].call)
			ph_call_cancel(l->entries[i].call);
		l->entries[i].call = NULL;
		if (l->entries[i].writing)
			ph_owned_write_cancel(l->entries[i].writing);
		l->entries[i].writing = NULL;
		ph_buf_deinit(&l->entries[i].body);
	}
	l->n = l->started = l->running = l->writing = 0;
}

static void stop(struct ph_side *s)
{
	struct list *l = s->data;

	if (l->asked)
		ph_pg_abandon(l->asked);
	l->asked = NULL;
	ph_timer_stop(&l->timer);
	entries_free(l);
	ph_buf_deinit(&l->data);
}

static void fail(struct ph_side *s, int code, const struct ph_err *err)
{
	stop(s);
	ph_side_error(s, code, err, 0);
}

/* ---- the answer ---- */

static void put_id(struct ph_buf *b, const char *name, struct ph_str id)
{
	ph_buf_printf(b, ",\"%s\":", name);
	if (!id.p) {
		ph_buf_puts(b, PH_STR("null"));
		return;
	}
	ph_buf_putc(b, '"');
	ph_buf_json(b, id);
	ph_buf_putc(b, '"');
}

static void reply(struct ph_side *s)
{
	struct list *l = s->data;
	struct ph_buf body;

	ph_buf_init(&body, ANSWER_MAX + OBJECT_MAX);
	ph_buf_puts(&body, PH_STR("{\"object\":\"list\",\"data\":["));
	ph_buf_puts(&body, ph_buf_str(&l->data));
	ph_buf_putc(&body, ']');
	put_id(&body, "first_id", l->first);
	put_id(&body, "last_id", l->last);
	ph_buf_printf(&body, ",\"has_more\":%s}", l->more ? "true" : "false");
	stop(s);
	ph_side_json(s, 200, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

/* ---- what was read ---- */

static bool passes(struct ph_side *s, struct ph_str object)
{
	struct list *l = s->data;
	struct ph_json_member m;

	if (!l->filter.p)
		return true;
	return ph_json_find(object, &l->collection->filter, 1, &m) && m.kind == PH_JSON_STRING &&
	       ph_json_text_is(m.value, l->filter);
}

static void next_page(struct ph_side *s);

static void on_written(void *arg, int status)
{
	struct entry *e = arg;
	struct ph_side *s = e->s;
	struct list *l = s->data;

	e->writing = NULL;
	l->writing--;
	if (status)
		fail(s, status, NULL);
	else if (l->writing == 0)
		next_page(s);
}

static void write_owner(struct entry *e, int64_t account, const struct ph_minted *ids, size_t n)
{
	struct ph_side *s = e->s;
	struct list *l = s->data;

	l->writing++;
	e->writing = ph_owned_write(s->g, s->door.key->id, account, ids, n, on_written, e);
}

/* A batch that ended tells of files that are this key's from now on. */
static void own_more(struct entry *e)
{
	struct ph_minted ids[PH_MINTED_MAX];
	size_t n = ph_owned_minted(ph_buf_str(&e->body), &e->s->arena, ids);

	if (n)
		write_owner(e, e->account, ids, n);
}

/* 0, or why the list cannot be shown. */
static int show(struct ph_side *s, struct entry *e)
{
	struct list *l = s->data;
	struct ph_str object = ph_str_trim(ph_buf_str(&e->body));

	if (e->status == 404) { /* upstream has let it go, or its time was over */
		write_owner(e, 0, &(struct ph_minted){.id = e->id}, 1);
		return 0;
	}
	if (e->status != 200 || e->body.failed || ph_json_check(object, NULL) ||
		ph_json_kind(object) != PH_JSON_OBJECT)
		return e->status / 100 == 4 ? PH_E_ACCOUNT_AWAY : PH_E_UPSTREAM_FAILED;
	own_more(e);
	if (!passes(s, object))
		return 0;
	if (l->shown++)
		ph_buf_putc(&l->data, ',');
	else
		l->first = e->id;
	l->last = e->id;
	ph_buf_puts(&l->data, object);
	return 0;
}

static void ask(struct ph_side *s);

static void all_read(struct ph_side *s)
{
	struct list *l = s->data;
	int rc = 0;

	for (size_t i = 0; i < l->n && rc == 0; i++)
		rc = show(s, &l->entries[i]);
	if (rc) {
		fail(s, rc, NULL);
		return;
	}
	if (l->writing == 0)
		next_page(s);
}

/* What was read is in the answer, and its ids are written. */
static void next_page(struct ph_side *s)
{
	struct list *l = s->data;

	if (l->n)
		l->page.after = l->entries[l->n - 1].id;
	entries_free(l);
	if (l->more && l->shown < l->limit && !l->page.before.p && ++l->rounds < ROUNDS)
		ask(s);
	else
		reply(s);
}

/* ---- reading ---- */

static void read_some(struct ph_side *s);

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	((struct entry *)owner)->status = head->status;
}

static void on_body(void *owner, struct ph_str bytes)
{
	ph_buf_puts(&((struct entry *)owner)->body, bytes);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct entry *e = owner;
	struct ph_side *s = e->s;
	struct list *l = s->data;

	e->call = NULL;
	l->running--;
	if (status)
		fail(s, status, err);
	else
		read_some(s);
}

static bool read_one(struct ph_side *s, struct entry *e)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct list *l = s->data;
	const struct ph_account *a = ph_accounts_find(s->g->accounts, e->account);
	struct ph_buf head, path;

	if (!a || !ph_account_usable(a))
		return false;
	ph_buf_init(&head, PH_HEAD_MAX);
	ph_buf_init(&path, PH_HEAD_MAX);
	ph_account_headers(&head, a, s->x, PH_STR("application/json"), false, false);
	ph_buf_printf(&path, "/%.*s/", PH_STR_ARG(l->collection->kind));
	ph_percent_encode(&path, e->id);
	struct ph_call_request r = {&a->base, PH_STR("GET"), ph_buf_str(&path), &head, NULL, false};
	e->call = ph_call_start(s->g->upstream, &r, &events, e);
	l->running++;
	ph_buf_deinit(&head);
	ph_buf_deinit(&path);
	return true;
}

static void read_some(struct ph_side *s)
{
	struct list *l = s->data;

	while (l->started < l->n && l->running < AT_ONCE)
		if (!read_one(s, &l->entries[l->started++])) {
			fail(s, PH_E_ACCOUNT_AWAY, NULL);
			return;
		}
	if (l->running == 0)
		all_read(s);
}

/* ---- our rows ---- */

static void take_rows(struct ph_side *s, const struct ph_pg_result *r)
{
	enum {
		ID,
		ACCOUNT
	};
	struct list *l = s->data;
	size_t rows = (size_t)ph_pg_rows(r), want = l->page.limit - 1;
	/* Before a cursor the one too many is the farthest from it, which comes first. */
	size_t from = l->page.before.p && rows > want ? rows - want : 0;

	l->more = rows > want;
	for (size_t i = from; i < rows && l->n < want; i++) {
		struct entry *e = &l->entries[l->n++];

		*e = (struct entry){.s = s,
			.id = ph_arena_dup(&s->arena, ph_pg_str(r, (int)i, ID)),
			.account = ph_pg_int(r, (int)i, ACCOUNT)};
		ph_buf_init(&e->body, OBJECT_MAX);
	}
}

static void on_rows(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct list *l = s->data;
	struct ph_err why = {0};

	l->asked = NULL;
	if (err) {
		fail(s, err->code, err);
	} else if (ph_pg_rows(r) && ph_pg_is_null(r, 0, 0)) {
		ph_fail_param(&why, PH_E_PARAM_BAD, l->page.before.p ? "before" : "after",
			"There is no such %s.", l->collection->noun);
		fail(s, PH_E_PARAM_BAD, &why);
	} else {
		take_rows(s, r);
		read_some(s);
	}
}

static void ask(struct ph_side *s)
{
	struct list *l = s->data;

	l->page.limit = l->limit - l->shown + 1;
	l->asked = ph_owned_store_list(s->g->pg, s->door.key->id, &l->page, on_rows, s);
}

/* ---- the request ---- */

static struct ph_str text_of(struct ph_side *s, const char *name)
{
	struct ph_str value, text = PH_STR_NONE;
	char *space;

	if (!ph_query_get(s->x->query, ph_str_c(name), &value) || !value.n)
		return PH_STR_NONE;
	space = ph_arena_alloc(&s->arena, value.n + 1);
	if (space && ph_percent_decode(value, true, space, value.n + 1, &text.n) == 0)
		text.p = space;
	else
		text = value; /* then it names nothing */
	return text;
}

static int read_query(struct ph_side *s, struct ph_err *err)
{
	struct list *l = s->data;
	struct ph_str limit = text_of(s, "limit"), order = text_of(s, "order");
	uint64_t n = ph_str_eq(l->collection->kind, PH_STR("files")) ? LIMIT_MAX : LIMIT_DEFAULT;

	if (limit.p && (!ph_str_u64(limit, LIMIT_TAKEN, &n) || n < 1))
		return ph_fail_param(
			err, PH_E_PARAM_BAD, "limit", "It must be a whole number from 1 to %d.", LIMIT_TAKEN);
	if (order.p && !ph_str_eq(order, PH_STR("asc")) && !ph_str_eq(order, PH_STR("desc")))
		return ph_fail_param(err, PH_E_PARAM_BAD, "order", "It must be 'asc' or 'desc'.");
	l->limit = n < LIMIT_MAX ? (size_t)n : LIMIT_MAX;
	l->page.rising = ph_str_eq(order, PH_STR("asc"));
	l->page.after = text_of(s, "after");
	l->page.before = l->page.after.p ? PH_STR_NONE : text_of(s, "before");
	if (l->collection->filter.n)
		l->filter = text_of(s, l->collection->filter.p);
	return 0;
}

/* Those that the key may use: what is elsewhere it cannot reach. */
static void find_accounts(struct ph_side *s)
{
	struct list *l = s->data;
	size_t n = 0;
	int64_t *ids;

	PH_LIST_EACH (it, ph_accounts_list(s->g->accounts))
		n++;
	ids = ph_arena_alloc(&s->arena, (n + 1) * sizeof *ids);
	l->page.accounts = ids;
	PH_LIST_EACH (it, ph_accounts_list(s->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (ids && a->state != PH_ACCOUNT_DISABLED && ph_key_allows_account(s->door.key, a->id))
			ids[l->page.account_count++] = a->id;
	}
}

static void serve(struct ph_side *s)
{
	struct list *l = s->data;
	struct ph_err err = {0};
	int rc = read_query(s, &err);

	if (rc) {
		ph_side_error(s, rc, &err, 0);
		return;
	}
	find_accounts(s);
	ph_timer_start(&l->timer, READ_MS);
	ask(s);
}

static void on_timer(void *arg)
{
	fail(arg, PH_E_UPSTREAM_SILENT, NULL);
}

static const struct ph_side_ops ops = {PH_ROUTE_RELAY, serve, stop, NULL};

void ph_owned_list_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(struct list));
	struct list *l = s->data;

	l->collection = ph_collection_of(ph_str_from(path, 1));
	l->page.kind = l->collection->kind;
	ph_buf_init(&l->data, ANSWER_MAX);
	ph_timer_init(&l->timer, g->loop, on_timer, s);
	ph_side_start(s);
}
