/* SPDX-License-Identifier: Apache-2.0 */
/* /_fake/...: what tests order and what they ask. Every path and member is described in README.md. */
#include <stdio.h>

#include "posthouse/url.h"
#include "socket.h"

static void answer_ok(struct fake_exchange *x)
{
	fake_answer_json(x, 200, PH_STR("{\"ok\":true}"));
}

static void answer_bad(struct fake_exchange *x, const char *what)
{
	fake_answer_error(x, 400, "invalid_request_error", "bad_fake_control", NULL, "%s", what);
}

/* ---- statistics ---- */

static void put_found(struct ph_buf *b, const struct fake_account *a)
{
	uint64_t foreign = 0;

	ph_buf_puts(b, PH_STR(",\"found\":{"));
	for (int f = 0; f < FAKE_FINDINGS_NR; f++) {
		ph_buf_printf(b, "%s\"%s\":%llu", f ? "," : "", fake_finding_word((enum fake_finding)f),
			(unsigned long long)a->found[f]);
		if (fake_finding_foreign((enum fake_finding)f))
			foreign += a->found[f];
	}
	ph_buf_printf(b, "},\"foreign\":%llu", (unsigned long long)foreign);
}

static void put_sockets(struct ph_buf *b, const struct fake_account *a)
{
	ph_buf_printf(b,
		",\"upgrades\":%llu,\"sockets\":%zu,\"warmups\":%llu,\"pings\":%llu,\"pongs\":%llu,\"left\":"
		"{",
		(unsigned long long)a->upgrades, a->sockets, (unsigned long long)a->warmups,
		(unsigned long long)a->pings, (unsigned long long)a->pongs);
	for (size_t i = 0; i < FAKE_CODES_MAX && a->left[i].count; i++)
		ph_buf_printf(b, "%s\"%u\":%llu", i ? "," : "", a->left[i].code,
			(unsigned long long)a->left[i].count);
	ph_buf_putc(b, '}');
}

static void put_account(struct ph_buf *b, const struct fake_account *a)
{
	size_t scripts = 0;

	PH_LIST_EACH (n, &a->scripts)
		scripts += (size_t)PH_CONTAINER(n, struct fake_do, node)->count;
	ph_buf_printf(b,
		"\"%s\":{\"kind\":\"%s\",\"mode\":\"%s\",\"requests\":%llu,\"turns\":%llu,\"running\":%llu,"
		"\"max_running\":%llu,\"completed\":%llu,\"cancelled\":%llu,\"faulted\":%llu,\"connections\":"
		"%llu,"
		"\"stored\":%zu,\"scripts\":%zu",
		a->name, fake_kind_word(a->kind), fake_mode_words[a->mode], (unsigned long long)a->requests,
		(unsigned long long)a->turns, (unsigned long long)a->running,
		(unsigned long long)a->max_running, (unsigned long long)a->completed,
		(unsigned long long)a->cancelled, (unsigned long long)a->faulted,
		(unsigned long long)a->connections, a->stored, scripts);
	if (a->cancelled_at > 0)
		ph_buf_printf(b, ",\"cancelled_at\":%.3f", a->cancelled_at);
	else
		ph_buf_puts(b, PH_STR(",\"cancelled_at\":null"));
	put_sockets(b, a);
	put_found(b, a);
	ph_buf_putc(b, '}');
}

static void answer_stats(struct fake_exchange *x)
{
	struct fake_server *s = x->server;
	struct ph_buf *b = &x->play.payload;

	ph_buf_printf(b,
		"{\"now\":%.3f,\"connections\":%llu,\"connections_open\":%llu,\"unauthorized\":%llu,\"bad_"
		"http\":%llu,\"accounts\":{",
		fake_now_ms(), (unsigned long long)s->connections, (unsigned long long)s->connections_open,
		(unsigned long long)s->unauthorized, (unsigned long long)s->bad_http);
	PH_LIST_EACH (n, &s->accounts) {
		if (n != s->accounts.next)
			ph_buf_putc(b, ',');
		put_account(b, PH_CONTAINER(n, struct fake_account, node));
	}
	ph_buf_puts(b, PH_STR("}}"));
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* ---- requests and contexts ---- */

static bool query_is(struct fake_exchange *x, const char *name, const char *value)
{
	struct ph_str text;

	return ph_query_get(x->query, ph_str_c(name), &text) && ph_str_eq(text, ph_str_c(value));
}

static void answer_requests(struct fake_exchange *x)
{
	struct ph_str account = PH_STR_NONE, text;
	uint64_t last = 1000;

	ph_query_get(x->query, PH_STR("account"), &account);
	if (ph_query_get(x->query, PH_STR("last"), &text) && !ph_str_u64(text, 1000000, &last)) {
		answer_bad(x, "last: a number");
		return;
	}
	fake_log_put(&x->server->log, &x->play.payload, account, last, query_is(x, "body", "base64"),
		query_is(x, "answer", "1"));
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

static struct fake_stored *stored_anywhere(struct fake_server *s, struct ph_str id)
{
	PH_LIST_EACH (n, &s->accounts) {
		struct fake_stored *r =
			fake_store_get(&s->store, PH_CONTAINER(n, struct fake_account, node), id);

		if (r)
			return r;
	}
	return NULL;
}

/* The entries of a stored response's whole context, its own answer included, as far as its ancestors are
 * still kept. */
static void answer_context(struct fake_exchange *x)
{
	enum {
		MAX = 65536
	};
	struct fake_stored *r = NULL, **chain = ph_arena_alloc(&x->arena, MAX * sizeof(*chain));
	struct fake_context c;
	struct ph_buf list;
	struct ph_str id = PH_STR_NONE;
	size_t depth = 0;

	ph_query_get(x->query, PH_STR("id"), &id);
	for (r = stored_anywhere(x->server, id); chain && r && depth < MAX;
		r = stored_anywhere(x->server, ph_str_c(r->parent)))
		chain[depth++] = r;
	if (depth == 0) {
		fake_answer_error(x, 404, "invalid_request_error", NULL, "id", "No such response is stored.");
		return;
	}
	ph_buf_init(&list, FAKE_ANSWER_MAX);
	fake_context_init(&c, chain[0]->account, &x->arena);
	c.own = true;
	c.list = &list;
	while (depth > 0) {
		r = chain[--depth];
		fake_context_items(&c, ph_buf_str(&r->input));
		fake_context_items(&c, ph_buf_str(&r->output));
	}
	ph_buf_puts(&x->play.payload, PH_STR("{\"entries\":["));
	ph_buf_puts(&x->play.payload, ph_buf_str(&list));
	ph_buf_puts(&x->play.payload, PH_STR("]}"));
	fake_context_deinit(&c);
	ph_buf_deinit(&list);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* ---- orders ---- */

enum {
	O_ACCOUNT,
	O_COUNT,
	O_DO,
	O_ANY,
	O_MODE,
	O_RETRY_AFTER,
	O_MODELS,
	O_CHAT,
	O_FORGET,
	O_ABORT,
	O_UPGRADE,
	O_SOCKET,
	O_SEND,
	O_PING,
	O_DEAF,
	O_CLOSE,
	O_REASON,
	O_EOF,
	O_TOKEN,
	O_LIVES,
	O_EXPIRE,
	O_NR
};
static const struct ph_str order_names[O_NR] = {
	[O_ACCOUNT] = {"account", 7},
	[O_COUNT] = {"count", 5},
	[O_DO] = {"do", 2},
	[O_ANY] = {"any", 3},
	[O_MODE] = {"mode", 4},
	[O_RETRY_AFTER] = {"retry_after", 11},
	[O_MODELS] = {"models", 6},
	[O_CHAT] = {"chat", 4},
	[O_FORGET] = {"forget", 6},
	[O_ABORT] = {"abort", 5},
	[O_UPGRADE] = {"upgrade", 7},
	[O_SOCKET] = {"socket", 6},
	[O_SEND] = {"send", 4},
	[O_PING] = {"ping", 4},
	[O_DEAF] = {"deaf", 4},
	[O_CLOSE] = {"close", 5},
	[O_REASON] = {"reason", 6},
	[O_EOF] = {"eof", 3},
	[O_TOKEN] = {"token", 5},
	[O_LIVES] = {"lives", 5},
	[O_EXPIRE] = {"expire", 6},
};

/* Reads the order; *ret is its account, or NULL if it names none. False: refused and answered. */
static bool read_order(struct fake_exchange *x, struct ph_json_member m[O_NR], struct fake_account **ret)
{
	struct ph_err err = {0};
	struct ph_str name, value;
	size_t offset = 0;

	if (ph_json_scan(x->body.n ? x->body : PH_STR("{}"), order_names, O_NR, m, &err)) {
		answer_bad(x, err.detail);
		return false;
	}
	while (x->body.n && fake_member_next(x->body, &offset, &name, &value)) {
		size_t i = 0;

		while (i < O_NR && !ph_str_eq(name, order_names[i]))
			i++;
		if (i == O_NR) {
			answer_bad(x, "unknown member");
			return false;
		}
	}
	*ret = NULL;
	if (m[O_ACCOUNT].kind != PH_JSON_STRING)
		return true;
	if (ph_json_text(m[O_ACCOUNT].value, &x->arena, &name))
		*ret = fake_account_named(x->server, name);
	if (!*ret)
		answer_bad(x, "no such account");
	return *ret != NULL;
}

static void order_script(struct fake_exchange *x)
{
	struct ph_json_member m[O_NR];
	struct ph_err err = {0};
	struct fake_account *a;
	struct fake_do *d;
	uint64_t count = 1;

	if (!read_order(x, m, &a))
		return;
	if (!a || m[O_DO].kind != PH_JSON_OBJECT ||
		(m[O_COUNT].kind && !ph_json_u64(m[O_COUNT].value, &count))) {
		answer_bad(x, "{\"account\":NAME,\"count\":N,\"do\":{..}}");
		return;
	}
	d = fake_do_parse(m[O_DO].value, &err);
	if (!d) {
		answer_bad(x, err.detail);
		return;
	}
	d->count = (int64_t)count;
	d->any = m[O_ANY].kind == PH_JSON_TRUE;
	d->upgrade = m[O_UPGRADE].kind == PH_JSON_TRUE;
	if (count > 0)
		ph_list_push_back(&a->scripts, &d->node);
	else
		fake_do_unref(d);
	answer_ok(x);
}

/* "up" ... or false. */
static bool read_mode(struct ph_str value, enum fake_mode *ret)
{
	for (int i = 0; i < FAKE_MODES_NR; i++) {
		if (!ph_json_text_is(value, ph_str_c(fake_mode_words[i])))
			continue;
		*ret = (enum fake_mode)i;
		return true;
	}
	return false;
}

static bool switch_mode(struct fake_exchange *x, struct fake_account *a, struct ph_str value)
{
	struct ph_err err = {0};

	if (!read_mode(value, &a->mode)) {
		answer_bad(x, "mode: up down limited quota overloaded revoked deactivated refuse silent");
		return false;
	}
	if (a->listener && fake_listener_refuse(a->listener, a->mode == FAKE_REFUSE, &err)) {
		answer_bad(x, err.detail);
		return false;
	}
	return true;
}

/* An object takes the place of what was there, null removes it. */
static int set_standing(struct fake_do **slot, const struct ph_json_member *m, struct ph_err *err)
{
	struct fake_do *d = NULL;

	if (m->kind == PH_JSON_ABSENT)
		return 0;
	if (m->kind != PH_JSON_NULL && !(d = fake_do_parse(m->value, err)))
		return -PH_E_PARAM_BAD;
	fake_do_unref(*slot);
	*slot = d;
	return 0;
}

static void order_account(struct fake_exchange *x)
{
	struct ph_json_member m[O_NR];
	struct ph_err err = {0};
	struct fake_account *a;

	if (!read_order(x, m, &a))
		return;
	if (!a) {
		answer_bad(x, "{\"account\":NAME,\"mode\":..,\"retry_after\":..,\"models\":[..],\"chat\":..,"
			      "\"do\":{..} "
			      "or null,\"upgrade\":{..} or null,\"token\":{..} or null}");
		return;
	}
	if (set_standing(&a->standing, &m[O_DO], &err) || set_standing(&a->upgrading, &m[O_UPGRADE], &err) ||
		set_standing(&a->granting, &m[O_TOKEN], &err)) {
		answer_bad(x, err.detail);
		return;
	}
	if (m[O_RETRY_AFTER].kind && !ph_json_u64(m[O_RETRY_AFTER].value, &a->retry_after)) {
		answer_bad(x, "retry_after: seconds");
		return;
	}
	if (m[O_CHAT].kind)
		a->no_chat = m[O_CHAT].kind == PH_JSON_FALSE;
	if (m[O_MODELS].kind)
		fake_account_set_models(a, m[O_MODELS].value);
	if (m[O_MODE].kind && !switch_mode(x, a, m[O_MODE].value))
		return;
	answer_ok(x);
}

static void order_login(struct fake_exchange *x)
{
	struct ph_json_member m[O_NR];
	struct fake_account *a;
	uint64_t lives_s = 0;

	if (!read_order(x, m, &a))
		return;
	if (!a || (m[O_LIVES].kind && !ph_json_u64(m[O_LIVES].value, &lives_s))) {
		answer_bad(x, "{\"account\":NAME,\"lives\":SECONDS,\"expire\":true}");
		return;
	}
	if (m[O_LIVES].kind)
		fake_login_start(a, lives_s);
	if (m[O_EXPIRE].kind == PH_JSON_TRUE)
		fake_login_expire(a);
	fake_login_put(a, &x->play.payload);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* Back to the beginning: all accounts, or one. Numbers of ids go on, what is stored stays unless `forget`. */
static void order_reset(struct fake_exchange *x)
{
	struct fake_server *s = x->server;
	struct ph_json_member m[O_NR];
	struct fake_account *one;

	if (!read_order(x, m, &one))
		return;
	PH_LIST_EACH (n, &s->accounts) {
		struct fake_account *a = PH_CONTAINER(n, struct fake_account, node);
		struct ph_err err = {0};

		if (one && a != one)
			continue;
		fake_account_reset(a);
		if (a->listener && fake_listener_refuse(a->listener, false, &err)) {
			answer_bad(x, err.detail);
			return;
		}
	}
	PH_LIST_EACH_SAFE (n, &s->store.by_age) {
		struct fake_stored *r = PH_CONTAINER(n, struct fake_stored, by_age);

		if (m[O_FORGET].kind == PH_JSON_TRUE && (!one || r->account == one))
			fake_store_drop(&s->store, r);
	}
	if (!one) {
		memset(s->times, 0, sizeof(s->times));
		fake_log_clear(&s->log);
		s->unauthorized = s->bad_http = 0;
		s->connections = s->connections_open;
	}
	answer_ok(x);
}

static void order_close(struct fake_exchange *x)
{
	struct ph_json_member m[O_NR];
	struct fake_account *a;

	if (!read_order(x, m, &a))
		return;
	fake_server_close_idle(x->server, a, m[O_ABORT].kind == PH_JSON_TRUE);
	answer_ok(x);
}

static bool yes(const struct ph_json_member *m)
{
	return m->kind == PH_JSON_TRUE;
}

static void order_socket(struct fake_exchange *x, struct fake_socket *s, const struct ph_json_member m[O_NR])
{
	struct ph_str send = m[O_SEND].value, reason = PH_STR("");
	uint64_t code = 0;

	if (m[O_DEAF].kind)
		s->deaf = yes(&m[O_DEAF]);
	if (m[O_SEND].kind == PH_JSON_STRING)
		ph_json_text(m[O_SEND].value, &x->arena, &send);
	if (m[O_SEND].kind)
		fake_socket_say(s, send);
	if (yes(&m[O_PING]))
		fake_socket_ping(s);
	if (m[O_REASON].kind == PH_JSON_STRING)
		ph_json_text(m[O_REASON].value, &x->arena, &reason);
	if (ph_json_u64(m[O_CLOSE].value, &code))
		fake_socket_close(s, (uint16_t)code, reason);
	else if (yes(&m[O_EOF]) || yes(&m[O_ABORT]))
		fake_socket_cut(s, yes(&m[O_ABORT]));
}

static bool open_socket(const struct fake_conn *c, const struct fake_account *a)
{
	return c->socket && !c->socket->closing && (!a || c->socket->account == a);
}

static void order_sockets(struct fake_exchange *x)
{
	struct ph_json_member m[O_NR];
	struct fake_account *a;
	uint64_t number = 0, met = 0;

	if (!read_order(x, m, &a))
		return;
	if ((m[O_SOCKET].kind && !ph_json_u64(m[O_SOCKET].value, &number)) ||
		(m[O_CLOSE].kind && m[O_CLOSE].kind != PH_JSON_NUMBER)) {
		answer_bad(x, "socket, close: numbers");
		return;
	}
	PH_LIST_EACH_SAFE (n, &x->server->conns) {
		struct fake_conn *c = PH_CONTAINER(n, struct fake_conn, node);

		if (!open_socket(c, a) || (number && c->number != number))
			continue;
		met++;
		order_socket(x, c->socket, m);
	}
	ph_buf_printf(&x->play.payload, "{\"ok\":true,\"sockets\":%llu}", (unsigned long long)met);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

static void answer_sockets(struct fake_exchange *x)
{
	struct ph_buf *b = &x->play.payload;
	const char *comma = "";

	ph_buf_puts(b, PH_STR("{\"sockets\":["));
	PH_LIST_EACH (n, &x->server->conns) {
		const struct fake_conn *c = PH_CONTAINER(n, struct fake_conn, node);

		if (!open_socket(c, NULL))
			continue;
		ph_buf_printf(b,
			"%s{\"socket\":%llu,\"account\":\"%s\",\"turns\":%llu,\"running\":%zu,"
			"\"lanes\":%zu}",
			comma, (unsigned long long)c->number, c->socket->account->name,
			(unsigned long long)c->socket->turns, c->socket->running, c->socket->named);
		comma = ",";
	}
	ph_buf_puts(b, PH_STR("]}"));
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

void fake_control_start(struct fake_exchange *x)
{
	static const struct {
		const char *method, *path;
		void (*answer)(struct fake_exchange *x);
	} paths[] = {
		{"GET", "/stats", answer_stats},
		{"GET", "/requests", answer_requests},
		{"GET", "/context", answer_context},
		{"POST", "/script", order_script},
		{"POST", "/account", order_account},
		{"POST", "/login", order_login},
		{"POST", "/reset", order_reset},
		{"POST", "/close", order_close},
		{"GET", "/sockets", answer_sockets},
		{"POST", "/sockets", order_sockets},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (ph_str_eq(x->head->method, ph_str_c(paths[i].method)) &&
			ph_str_eq(x->path, ph_str_c(paths[i].path))) {
			paths[i].answer(x);
			return;
		}
	}
	fake_answer_error(x, 404, "invalid_request_error", NULL, NULL, "No such control.");
}
