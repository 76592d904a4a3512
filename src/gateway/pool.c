/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool's own numbers, for the status line of Codex clients: what one account has left is nobody's
 * business and would be wrong for the next turn. A window's figure is the mean over the accounts that the key
 * may use and that are not out of service; it begins anew when the first of them does. Windows are told apart
 * by their length: a plan with a weekly window alone has it in the place of the short one (handbook,
 * protocol 6.7).
 *
 * The figures are read from the database, where the polls and all nodes' answers meet.
 */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>

#include "posthouse/clock.h"
#include "side.h"

#define READ_MS      10000
#define LONG_MINUTES (24 * 60) /* a window above that is the long one */
#define WINDOWS_MAX  4096
#define EVENT_MAX    1024

struct window {
	int64_t account;
	bool is_long;
	double used;
	uint32_t minutes;
	uint64_t ends_ms; /* loop time; 0 = unknown, or it has begun anew */
};

/* Owner: the gateway. */
struct ph_pool {
	struct ph_gateway *g;
	struct ph_timer timer;
	struct ph_pg_call *reading;
	struct window *windows;
	size_t count;
};

struct figures {
	struct {
		bool known;
		double used;
		uint32_t minutes;
		uint64_t resets_s; /* unix; 0 = not said */
		uint64_t after_s;
	} window[PH_USAGE_WINDOWS];
	bool limit_reached; /* no account can serve, and some will by themselves */
};

/* ---- reading ---- */

static void on_read(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	enum {
		ACCOUNT,
		WINDOW,
		USED,
		MINUTES,
		REMAINING_MS
	};
	struct ph_pool *p = arg;
	uint64_t now = ph_loop_now_ms(p->g->loop);
	int n = err ? 0 : ph_pg_rows(rows);

	p->reading = NULL;
	ph_timer_start(&p->timer, READ_MS);
	if (err)
		return;
	p->count = n < WINDOWS_MAX ? (size_t)n : WINDOWS_MAX;
	p->windows = ph_realloc(p->windows, (p->count + 1) * sizeof *p->windows);
	for (size_t i = 0; i < p->count; i++) {
		uint64_t remaining = (uint64_t)ph_pg_int(rows, (int)i, REMAINING_MS);
		uint32_t minutes = (uint32_t)ph_pg_int(rows, (int)i, MINUTES);

		p->windows[i] = (struct window){
			.account = ph_pg_int(rows, (int)i, ACCOUNT),
			.is_long = minutes ? minutes > LONG_MINUTES
					   : ph_str_eq(ph_pg_str(rows, (int)i, WINDOW), PH_STR("secondary")),
			.used = ph_pg_float(rows, (int)i, USED),
			.minutes = minutes,
			.ends_ms = remaining ? now + remaining : 0,
		};
	}
}

static bool has_logins(struct ph_gateway *g)
{
	PH_LIST_EACH (it, ph_accounts_list(g->accounts))
		if (PH_CONTAINER(it, struct ph_account, node)->kind == PH_CODEX)
			return true;
	return false;
}

static void on_timer(void *arg)
{
	struct ph_pool *p = arg;

	if (has_logins(p->g))
		p->reading = ph_poll_store_usage(p->g->pg, on_read, p);
	else
		ph_timer_start(&p->timer, READ_MS);
}

/* ---- adding up ---- */

static bool counts(struct ph_gateway *g, const struct ph_key *key, int64_t account)
{
	const struct ph_account *a = ph_accounts_find(g->accounts, account);

	return a && a->kind == PH_CODEX && (ph_account_usable(a) || ph_account_blocked(a)) &&
	       !a->sealed_badly && ph_key_allows_account(key, account);
}

static bool all_blocked(struct ph_gateway *g, const struct ph_key *key)
{
	bool blocked = false;

	PH_LIST_EACH (it, ph_accounts_list(g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (!ph_key_allows_account(key, a->id))
			continue;
		if (ph_account_usable(a))
			return false;
		blocked |= ph_account_blocked(a);
	}
	return blocked;
}

static void add_up(struct ph_gateway *g, const struct ph_key *key, struct figures *ret)
{
	const struct ph_pool *p = g->pool;
	uint64_t now = ph_loop_now_ms(g->loop), first[PH_USAGE_WINDOWS] = {0};
	size_t n[PH_USAGE_WINDOWS] = {0};

	memset(ret, 0, sizeof *ret);
	ret->limit_reached = all_blocked(g, key);
	for (size_t i = 0; i < p->count; i++) {
		const struct window *w = &p->windows[i];
		int k = w->is_long ? PH_USAGE_SECONDARY : PH_USAGE_PRIMARY;
		bool over = w->ends_ms && w->ends_ms <= now;

		if (!counts(g, key, w->account))
			continue;
		n[k]++;
		ret->window[k].used += over ? 0 : w->used < 100 ? w->used : 100;
		if (w->minutes > ret->window[k].minutes)
			ret->window[k].minutes = w->minutes;
		if (w->ends_ms > now && (!first[k] || w->ends_ms < first[k]))
			first[k] = w->ends_ms;
	}
	for (int k = 0; k < PH_USAGE_WINDOWS; k++) {
		ret->window[k].known = n[k] > 0;
		if (n[k])
			ret->window[k].used /= (double)n[k];
		if (!first[k])
			continue;
		ret->window[k].after_s = (first[k] - now + 999) / 1000;
		ret->window[k].resets_s = (ph_clock_unix_ms() + first[k] - now + 999) / 1000;
	}
}

static bool read_figures(struct ph_gateway *g, const struct ph_key *key, struct figures *ret)
{
	add_up(g, key, ret);
	return ret->window[PH_USAGE_PRIMARY].known || ret->window[PH_USAGE_SECONDARY].known;
}

/* ---- telling ---- */

/* codex_cli_rs, codex_exec, codex_vscode, Codex Desktop ...: others that say who they are show no status
 * line. */
static bool shows_figures(const struct ph_exchange *x)
{
	static const struct ph_str codex = PH_STR_INIT("codex");
	struct ph_str originator = ph_head_get(x->head, PH_STR("originator"));

	return originator.n >= codex.n && ph_str_eq_nocase(ph_str(originator.p, codex.n), codex);
}

static const char *const slots[PH_USAGE_WINDOWS] = {"primary", "secondary"};

static void put_field(struct ph_buf *headers, int k, const char *last, const char *value)
{
	char name[64];

	snprintf(name, sizeof name, "x-codex-%s-%s", slots[k], last);
	ph_http_put_header(headers, ph_str_c(name), ph_str_c(value));
}

void ph_pool_headers(
	struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key, struct ph_buf *headers)
{
	struct figures f;
	char text[32];

	if (!shows_figures(x) || !read_figures(g, key, &f))
		return;
	for (int k = 0; k < PH_USAGE_WINDOWS; k++) {
		if (!f.window[k].known)
			continue;
		snprintf(text, sizeof text, "%.1f", f.window[k].used);
		put_field(headers, k, "used-percent", text);
		if (f.window[k].minutes) {
			snprintf(text, sizeof text, "%u", f.window[k].minutes);
			put_field(headers, k, "window-minutes", text);
		}
		if (f.window[k].resets_s) {
			snprintf(text, sizeof text, "%llu", (unsigned long long)f.window[k].resets_s);
			put_field(headers, k, "reset-at", text);
		}
	}
}

bool ph_pool_event(
	struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key, struct ph_buf *json)
{
	struct figures f;

	if (!shows_figures(x) || !read_figures(g, key, &f))
		return false;
	ph_buf_printf(json,
		"{\"type\":\"codex.rate_limits\",\"rate_limits\":{\"allowed\":%s,\"limit_reached\":%s",
		f.limit_reached ? "false" : "true", f.limit_reached ? "true" : "false");
	for (int k = 0; k < PH_USAGE_WINDOWS; k++) {
		if (!f.window[k].known) {
			ph_buf_printf(json, ",\"%s\":null", slots[k]);
			continue;
		}
		ph_buf_printf(json, ",\"%s\":{\"used_percent\":%.1f,\"window_minutes\":%u", slots[k],
			f.window[k].used, f.window[k].minutes);
		if (f.window[k].resets_s)
			ph_buf_printf(json, ",\"reset_at\":%llu", (unsigned long long)f.window[k].resets_s);
		ph_buf_putc(json, '}');
	}
	ph_buf_puts(json, PH_STR("}}"));
	return true;
}

/* ---- the usage endpoint, as clients of the Codex backend read it ---- */

/* Whole numbers: clients read no others here. */
static void put_window(struct ph_buf *b, const struct figures *f, int k)
{
	if (!f->window[k].known) {
		ph_buf_printf(b, ",\"%s_window\":null", slots[k]);
		return;
	}
	ph_buf_printf(b,
		",\"%s_window\":{\"used_percent\":%d,\"limit_window_seconds\":%llu,\"reset_after_seconds\":%"
		"llu,"
		"\"reset_at\":%llu}",
		slots[k], (int)(f->window[k].used + 0.5), 60ULL * f->window[k].minutes,
		(unsigned long long)f->window[k].after_s, (unsigned long long)f->window[k].resets_s);
}

/* The plan is a word that every client knows; the pool has none. */
static void serve(struct ph_side *s)
{
	struct figures f;
	struct ph_buf b;
	bool known = read_figures(s->g, s->door.key, &f);

	ph_buf_init(&b, EVENT_MAX);
	ph_buf_puts(&b, PH_STR("{\"plan_type\":\"business\",\"rate_limit\":"));
	if (known) {
		ph_buf_printf(&b, "{\"allowed\":%s,\"limit_reached\":%s", f.limit_reached ? "false" : "true",
			f.limit_reached ? "true" : "false");
		for (int k = 0; k < PH_USAGE_WINDOWS; k++)
			put_window(&b, &f, k);
		ph_buf_putc(&b, '}');
	} else {
		ph_buf_puts(&b, PH_STR("null"));
	}
	ph_buf_puts(&b, PH_STR(",\"credits\":null,\"additional_rate_limits\":null}"));
	ph_side_json(s, 200, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static void cancel(struct ph_side *s)
{
	(void)s; /* nothing waits */
}

static const struct ph_side_ops ops = {PH_ROUTE_OTHER, serve, cancel, NULL};

void ph_pool_usage(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	(void)path;
	ph_side_start(ph_side_open(g, x, &ops, 0));
}

struct ph_pool *ph_pool_new(struct ph_gateway *g)
{
	struct ph_pool *p = ph_alloc(sizeof *p);

	p->g = g;
	ph_timer_init(&p->timer, g->loop, on_timer, p);
	return p;
}

void ph_pool_start(struct ph_pool *p)
{
	on_timer(p);
}

struct ph_pool *ph_pool_free(struct ph_pool *p)
{
	ph_timer_stop(&p->timer);
	if (p->reading)
		ph_pg_abandon(p->reading);
	free(p->windows);
	free(p);
	return NULL;
}
