/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LIMIT: what a key may use. A turn of a key that has limits reserves what it may need, in one call, before
 * an account is chosen; all its attempts share that, and its end is settled in the transaction that writes it
 * (record.c). Keys without limits pass without a word. The database judges (sql/functions/limits.sql); here
 * the estimate is made, and the words for the client.
 *
 * A reservation whose call is under way when its turn ends is given back when the answer comes. What is left
 * of calls whose outcome nobody knows, and of turns whose end could not be written, is found by telling the
 * database from time to time which turns run.
 */
#include "limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "prices.h"
#include "request_priv.h"

#define BYTES_PER_TOKEN 4    /* of input */
#define OUTPUT_TOKENS   1024 /* where the turn names no max_output_tokens */
#define TOKENS_MAX      UINT64_C(1000000000)
#define LOOKS           3  /* again, where turns that run stand in the way: one of them may just have ended */
#define LOOK_MS         50 /* doubles */
#define BUSY_MS         1000
#define OLDER_MS        5000 /* than any call that may still come through */
#define MARKS_MAX       4096
#define LIST_MAX        (1024 * 1024)

/* From the asking until the answer. Owner: the gateway. */
struct ph_reservation {
	struct ph_list node; /* in ph_limits.asked */
	struct ph_gateway *g;
	struct ph_request *r; /* NULL: the turn ended meanwhile */
	struct ph_pg_call *call;
	uint8_t turn[16];
};

struct ph_limits {
	struct ph_gateway *g;
	struct ph_list asked;
	struct ph_timer timer; /* the next look at what was left behind */
	struct ph_pg_call *keeping;
	bool made; /* since the last look */
};

/* ---- what was left behind ---- */

static bool may_hold(const struct ph_request *r)
{
	return r->reserved || r->reserving;
}

/* The turns of this node that have a reservation, or are about to. */
static void list_turns(const struct ph_gateway *g, struct ph_buf *out)
{
	char hex[33];

	ph_buf_putc(out, '{');
	PH_LIST_EACH (it, &g->requests) {
		const struct ph_request *r = PH_CONTAINER(it, struct ph_request, node);

		if (!may_hold(r))
			continue;
		ph_hex(hex, r->turn, sizeof r->turn);
		ph_buf_printf(out, "%s%s", out->n > 1 ? "," : "", hex);
	}
	ph_buf_putc(out, '}');
}

static void on_kept(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_limits *l = arg;

	l->keeping = NULL;
	if (!err && ph_pg_int(rows, 0, 0) > 0)
		ph_log(PH_LOG_INFO, "limits: %lld reservations of turns that had ended were given back",
			(long long)ph_pg_int(rows, 0, 0));
	if (err || l->made)
		ph_timer_start(&l->timer, l->g->config->lease_ttl_ms);
}

static void on_timer(void *arg)
{
	struct ph_limits *l = arg;
	struct ph_buf turns;

	ph_buf_init(&turns, LIST_MAX);
	list_turns(l->g, &turns);
	l->made = turns.n > 2;
	l->keeping = ph_limit_store_keep(
		l->g->pg, ph_member_id(l->g->member), ph_buf_str(&turns), OLDER_MS, on_kept, l);
	ph_buf_deinit(&turns);
}

static void note_made(struct ph_limits *l)
{
	l->made = true;
	if (!l->keeping && !ph_timer_active(&l->timer))
		ph_timer_start(&l->timer, l->g->config->lease_ttl_ms);
}

/* ---- what a turn may need ---- */

static uint64_t bounded(uint64_t n)
{
	return n < TOKENS_MAX ? n : TOKENS_MAX;
}

static uint64_t output_tokens(const struct ph_request *r)
{
	const struct ph_json_member *m = &r->body.m[PH_B_MAX_OUTPUT_TOKENS];
	uint64_t n;

	if (!r->body.generate)
		return 0;
	return m->kind == PH_JSON_NUMBER && ph_json_u64(m->value, &n) ? n : OUTPUT_TOKENS;
}

static struct ph_estimate estimate(const struct ph_request *r)
{
	uint64_t bytes = r->bytes_in;
	struct ph_tokens t = {.cached = 0};

	if (r->chain && r->chain->status == PH_CHAIN_OK)
		bytes += r->chain->bytes;
	t.input = bounded(bytes / BYTES_PER_TOKEN + 1);
	t.output = bounded(output_tokens(r));
	int64_t cost = ph_price_of(r->g->prices, r->body.model, &t);
	return (struct ph_estimate){t.input, t.output, cost < 0 ? 0 : cost};
}

/* ---- the answer, in words ---- */

/* One row of reserve_turn(). */
struct limit {
	struct ph_str result, what, per;
	uint64_t size, taken, resets_ms; /* taken: used, or reserved by others */
};

static struct limit read_limit(const struct ph_pg_result *rows, int row)
{
	return (struct limit){
		.result = ph_pg_str(rows, row, PH_LIMIT_RESULT),
		.what = ph_pg_str(rows, row, PH_LIMIT_WHAT),
		.per = ph_pg_str(rows, row, PH_LIMIT_PER),
		.size = (uint64_t)ph_pg_int(rows, row, PH_LIMIT_SIZE),
		.taken = (uint64_t)(ph_pg_int(rows, row, PH_LIMIT_USED) +
				    ph_pg_int(rows, row, PH_LIMIT_RESERVED)),
		.resets_ms = (uint64_t)ph_pg_int(rows, row, PH_LIMIT_RESETS_MS),
	};
}

static bool is(struct ph_str s, const char *word)
{
	return ph_str_eq(s, ph_str_c(word));
}

/* "5.5 US dollars", "1000 input tokens", "4 turns" */
static void put_size(struct ph_buf *out, const struct limit *l)
{
	char text[40];
	size_t n;

	if (!is(l->what, "cost")) {
		ph_buf_printf(out, "%llu %s", (unsigned long long)l->size,
			is(l->what, "concurrent")      ? "turns"
			: is(l->what, "input_tokens")  ? "input tokens"
			: is(l->what, "output_tokens") ? "output tokens"
			: is(l->what, "tokens")        ? "tokens"
						       : "requests");
		return;
	}
	n = (size_t)snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(l->size / 1000000000),
		(unsigned long long)(l->size % 1000000000));
	while (text[n - 1] == '0')
		n--;
	n -= text[n - 1] == '.';
	ph_buf_printf(out, "%.*s US dollars", (int)n, text);
}

/* "1h2m3s", as OpenAI writes it in headers */
static void put_span(struct ph_buf *out, uint64_t ms)
{
	unsigned long long s = (ms + 999) / 1000;

	if (s >= 3600)
		ph_buf_printf(out, "%lluh", s / 3600);
	if (s >= 60)
		ph_buf_printf(out, "%llum", s / 60 % 60);
	ph_buf_printf(out, "%llus", s % 60);
}

static void put_reset(struct ph_buf *out, uint64_t ms)
{
	time_t at = (time_t)((ph_clock_unix_ms() + ms + 500) / 1000);
	struct tm utc;

	gmtime_r(&at, &utc);
	ph_buf_printf(out, "it resets at %04d-%02d-%02dT%02d:%02d:%02dZ, in ", utc.tm_year + 1900,
		utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
	put_span(out, ms);
}

/* Money, and windows of a day or more: nothing that a client waits for. */
static int code_of(const struct limit *l)
{
	return is(l->what, "cost") || is(l->per, "day") || is(l->per, "week") || is(l->per, "month")
		       ? PH_E_KEY_QUOTA
		       : PH_E_KEY_LIMITED;
}

static int refuse(struct ph_request *r, const struct limit *l)
{
	bool spent = is(l->result, "spent");
	struct ph_buf text;
	int rc;

	ph_buf_init(&text, MARKS_MAX);
	put_size(&text, l);
	ph_buf_printf(&text, l->per.n ? " per %.*s" : " at a time%.*s", PH_STR_ARG(l->per));
	if (spent) {
		ph_buf_puts(&text, PH_STR("; "));
		put_reset(&text, l->resets_ms);
	} else {
		ph_buf_puts(&text, PH_STR("; turns that run now take up the rest. Retry when one has ended"));
	}
	r->after_ms = spent ? l->resets_ms : BUSY_MS;
	rc = ph_fail(
		&r->fault, spent ? code_of(l) : PH_E_KEY_LIMITED, "%.*s.", PH_STR_ARG(ph_buf_str(&text)));
	ph_buf_deinit(&text);
	return rc;
}

/* ---- the headers of limited keys ---- */

static uint64_t left(const struct limit *l, uint64_t need)
{
	return l->size > l->taken + need ? l->size - l->taken - need : 0;
}

static void put_marks(struct ph_buf *out, const char *name, const struct limit *l, uint64_t need)
{
	ph_buf_printf(out, "x-ratelimit-limit-%s: %llu\r\nx-ratelimit-remaining-%s: %llu\r\n", name,
		(unsigned long long)l->size, name, (unsigned long long)left(l, need));
	ph_buf_printf(out, "x-ratelimit-reset-%s: ", name);
	put_span(out, l->resets_ms);
	ph_buf_puts(out, PH_STR("\r\n"));
}

/* Of several limits of one kind the one that has the least left. */
static void mark(struct ph_request *r, const struct ph_pg_result *rows, bool granted)
{
	struct limit requests = {.size = 0}, tokens = {.size = 0};
	struct ph_estimate e = estimate(r);
	uint64_t needed = 0;
	struct ph_buf out;

	for (int row = 0; row < ph_pg_rows(rows); row++) {
		struct limit l = read_limit(rows, row);
		uint64_t need = is(l.what, "input_tokens")    ? e.input_tokens
				: is(l.what, "output_tokens") ? e.output_tokens
							      : e.input_tokens + e.output_tokens;

		if (is(l.what, "requests") && (!requests.size || left(&l, 0) < left(&requests, 0)))
			requests = l;
		if (!ph_str_ends(l.what, PH_STR("tokens")) ||
			(tokens.size && left(&l, need) >= left(&tokens, needed)))
			continue;
		tokens = l;
		needed = need;
	}
	ph_buf_init(&out, MARKS_MAX);
	if (requests.size)
		put_marks(&out, "requests", &requests, granted ? 1 : 0);
	if (tokens.size)
		put_marks(&out, "tokens", &tokens, granted ? needed : 0);
	if (r->x && out.n)
		r->x->marks = ph_arena_dup(&r->arena, ph_buf_str(&out));
	ph_buf_deinit(&out);
}

/* ---- the judgement ---- */

/* The refusal that lasts longest is the one to tell. False: there is none. */
static bool worst(const struct ph_pg_result *rows, struct limit *ret)
{
	bool found = false;

	for (int row = 0; row < ph_pg_rows(rows); row++) {
		struct limit l = read_limit(rows, row);
		bool spent = is(l.result, "spent");

		if (is(l.result, "ok"))
			continue;
		if (!found || (spent && (!is(ret->result, "spent") || l.resets_ms > ret->resets_ms)))
			*ret = l;
		found = true;
	}
	return found;
}

static int forgotten(struct ph_request *r)
{
	ph_member_beat(r->g->member);
	return ph_fail(&r->fault, PH_E_DATABASE_AWAY, "the node was forgotten, and comes back");
}

static int judge(struct ph_request *r, const struct ph_pg_result *rows)
{
	struct limit l = {.size = 0};

	if (ph_pg_rows(rows) && is(ph_pg_str(rows, 0, PH_LIMIT_RESULT), "unknown"))
		return forgotten(r);
	if (worst(rows, &l)) {
		if (is(l.result, "busy") && r->looks < LOOKS) {
			ph_timer_start(&r->timer, (uint64_t)LOOK_MS << r->looks++);
			return 0;
		}
		mark(r, rows, false);
		return refuse(r, &l);
	}
	if (ph_pg_rows(rows)) {
		r->reserved = true;
		mark(r, rows, true);
	}
	return 1;
}

static void answered(struct ph_reservation *v)
{
	ph_list_remove(&v->node);
	if (v->r)
		v->r->reserving = NULL;
	free(v);
}

static void on_reserved(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_reservation *v = arg;
	struct ph_gateway *g = v->g;
	struct ph_request *r = v->r;
	int rc;

	if (!r && !err)
		ph_limit_store_release(g->pg, v->turn);
	answered(v);
	if (!r)
		return;
	if (err)
		rc = ph_fail(&r->fault,
			err->code == PH_E_DATABASE_ERROR ? PH_E_DATABASE_ERROR : PH_E_DATABASE_AWAY, "%s",
			err->detail);
	else
		rc = judge(r, rows);
	if (rc)
		ph_request_event(r, rc);
}

static void ask(struct ph_request *r)
{
	struct ph_reservation *v = ph_alloc(sizeof *v);
	struct ph_estimate e = estimate(r);

	v->g = r->g;
	v->r = r;
	memcpy(v->turn, r->turn, sizeof v->turn);
	memcpy(r->reserver, ph_member_id(r->g->member), sizeof r->reserver);
	ph_list_push_back(&r->g->limits->asked, &v->node);
	r->reserving = v;
	note_made(r->g->limits);
	v->call = ph_limit_store_reserve(
		r->g->pg, r->turn, r->door.key->id, ph_member_id(r->g->member), &e, on_reserved, v);
}

int ph_limit_start(struct ph_request *r)
{
	if (!r->door.key->limited || r->reserved)
		return 1;
	/* Upstream has begun it already: all that can be done is to count it. */
	if (r->x && r->x->successor) {
		memcpy(r->reserver, ph_member_id(r->g->member), sizeof r->reserver);
		r->reserved = true;
		return 1;
	}
	ask(r);
	return 0;
}

void ph_limit_again(struct ph_request *r)
{
	ask(r);
}

void ph_limit_cancel(struct ph_request *r)
{
	if (r->reserving)
		r->reserving->r = NULL;
	r->reserving = NULL;
}

/* ---- life ---- */

struct ph_limits *ph_limits_new(struct ph_gateway *g)
{
	struct ph_limits *l = ph_alloc(sizeof *l);

	l->g = g;
	ph_list_init(&l->asked);
	ph_timer_init(&l->timer, g->loop, on_timer, l);
	return l;
}

struct ph_limits *ph_limits_free(struct ph_limits *l)
{
	if (!l)
		return NULL;
	ph_timer_stop(&l->timer);
	if (l->keeping)
		ph_pg_abandon(l->keeping);
	PH_LIST_EACH_SAFE (it, &l->asked) {
		struct ph_reservation *v = PH_CONTAINER(it, struct ph_reservation, node);

		ph_pg_abandon(v->call);
		answered(v);
	}
	free(l);
	return NULL;
}
