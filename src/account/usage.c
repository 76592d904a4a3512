/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an account has left. Evidence counts here at once; it is written when it has changed, at most once in
 * 5 s, so that a busy account costs the database nothing. A window that has ended is a finding like any
 * other. Evidence that an exhausted account is not exhausted is written at once: the database lifts the
 * block if the evidence is the newer.
 */
#include <stdlib.h>

#include "account_priv.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"

#define WRITE_MS    5000
#define NEARLY      95
#define ENDED       100
#define NO_RESET_MS 3600000 /* a window that has ended, whose reset was not said */
#define PERCENT_MAX 255

static const char *const window_names[] = {"primary_window", "secondary_window"};

/* Owner: the account. */
struct ph_usage_report {
	struct ph_accounts *r;
	struct ph_account *a;
	struct ph_pg_call *call;
	struct ph_usage seen, written;
	uint64_t seen_ms;    /* loop time */
	uint64_t written_ms; /* loop time of the last try; 0 = never */
	int64_t lifting;     /* version of the block that was last asked to be lifted */
	bool due;            /* seen is to be written */
};

void ph_usage_drop(struct ph_account *a)
{
	struct ph_usage_report *u = a->health.usage;

	if (!u)
		return;
	a->health.usage = NULL;
	if (u->call)
		ph_pg_abandon(u->call);
	free(u);
}

bool ph_usage_ahead(const struct ph_account *a)
{
	const struct ph_usage_report *u = a->health.usage;

	return u && (u->due || u->call);
}

void ph_usage_forget(struct ph_account *a)
{
	struct ph_usage_report *u = a->health.usage;

	if (!u)
		return;
	memset(u->seen.window, 0, sizeof u->seen.window);
	u->due = false;
}

uint64_t ph_usage_due(const struct ph_account *a)
{
	const struct ph_usage_report *u = a->health.usage;

	return u && u->due && !u->call ? u->written_ms + WRITE_MS : 0;
}

/* ---- what evidence says ---- */

static bool window_same(const struct ph_usage_window *a, const struct ph_usage_window *b)
{
	return a->known == b->known && a->minutes == b->minutes && a->resets_s == b->resets_s &&
	       !(a->used_percent < b->used_percent) && !(a->used_percent > b->used_percent);
}

static bool same(const struct ph_usage *a, const struct ph_usage *b)
{
	for (int i = 0; i < PH_USAGE_WINDOWS; i++)
		if (!window_same(&a->window[i], &b->window[i]))
			return false;
	return strcmp(a->plan, b->plan) == 0 && a->credits_known == b->credits_known &&
	       a->has_credits == b->has_credits;
}

/* An event may speak of one window alone. No number of upstream's is beyond doubt. */
static void merge(struct ph_usage *into, const struct ph_usage *u)
{
	for (int i = 0; i < PH_USAGE_WINDOWS; i++) {
		double percent = u->window[i].used_percent;

		if (!u->window[i].known || !(percent >= 0))
			continue;
		into->window[i] = u->window[i];
		if (percent > PERCENT_MAX)
			into->window[i].used_percent = PERCENT_MAX;
	}
	if (u->plan[0])
		memcpy(into->plan, u->plan, sizeof into->plan);
	if (u->credits_known) {
		into->credits_known = true;
		into->has_credits = u->has_credits;
	}
}

/* Milliseconds to a window's reset; 0 = it was not said. Both clocks are wall clocks of strangers: the
 * database decides where it matters. */
static uint64_t reset_ms(const struct ph_usage_window *w)
{
	uint64_t unix_s = ph_clock_unix_ms() / 1000;

	return w->resets_s > unix_s && w->resets_s - unix_s < UINT32_MAX ? (w->resets_s - unix_s) * 1000 : 0;
}

static bool is_over(const struct ph_usage_window *w)
{
	return w->resets_s && w->resets_s <= ph_clock_unix_ms() / 1000;
}

/* The window that has ended and lasts longest, or NULL. Credits go on where the secondary has ended. */
static const struct ph_usage_window *ended(const struct ph_usage *u)
{
	const struct ph_usage_window *ret = NULL;

	for (int i = 0; i < PH_USAGE_WINDOWS; i++) {
		const struct ph_usage_window *w = &u->window[i];

		if (!w->known || w->used_percent < ENDED || is_over(w) ||
			(i == PH_USAGE_SECONDARY && u->has_credits))
			continue;
		if (!ret || w->resets_s > ret->resets_s)
			ret = w;
	}
	return ret;
}

void ph_usage_note(struct ph_accounts *r, struct ph_account *a, int64_t percent, uint64_t remaining_ms)
{
	struct ph_account_health *h = &a->health;

	h->used_percent = (uint8_t)(percent < PERCENT_MAX ? percent : PERCENT_MAX);
	h->nearly_exhausted = percent >= NEARLY;
	h->used_until_ms = remaining_ms ? ph_loop_now_ms(r->loop) + remaining_ms : 0;
}

/* The fullest window is what the account has left. */
static void measure(struct ph_accounts *r, struct ph_account *a, const struct ph_usage *u)
{
	const struct ph_usage_window *fullest = NULL;

	for (int i = 0; i < PH_USAGE_WINDOWS; i++) {
		const struct ph_usage_window *w = &u->window[i];

		if (w->known && !is_over(w) && (!fullest || w->used_percent > fullest->used_percent))
			fullest = w;
	}
	if (fullest)
		ph_usage_note(r, a, (int64_t)fullest->used_percent, reset_ms(fullest));
}

static void block(struct ph_accounts *r, struct ph_account *a, const struct ph_usage *u,
	const struct ph_usage_window *w)
{
	struct ph_account_finding f = {
		.state = PH_ACCOUNT_EXHAUSTED,
		.until_s = w->resets_s,
		.after_ms = w->resets_s ? 0 : NO_RESET_MS,
		.reason = window_names[w - u->window],
	};

	ph_account_found(r, a, &f);
}

/* ---- writing ---- */

static void on_answer(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_usage_report *u = arg;
	struct ph_account *a = u->a;
	struct ph_health_row row;

	u->call = NULL;
	if (err) {
		u->due = true; /* again when its time has come */
		ph_health_due(u->r);
		return;
	}
	if (ph_pg_rows(rows) == 0)
		return;
	row = ph_account_store_health(rows);
	if (ph_str_eq(ph_pg_str(rows, 0, PH_HEALTH_RESULT), PH_STR("lifted")))
		ph_log(PH_LOG_INFO, "account %s: its usage lifted the block", a->name);
	ph_health_learn(u->r, a, &row);
}

/* Evidence lifts only what this node knew of when it came: the head of the very answer that is refused tells
 * its usage a moment before. */
static bool may_lift(const struct ph_usage_report *u)
{
	const struct ph_account_health *h = &u->a->health;

	return h->state == PH_ACCOUNT_EXHAUSTED && u->seen_ms > h->blocked_ms;
}

void ph_usage_flush(struct ph_account *a)
{
	struct ph_usage_report *u = a->health.usage;
	uint64_t now = ph_loop_now_ms(u->r->loop);
	struct ph_usage_write w = {
		.account = a->id,
		.version = may_lift(u) ? a->health.version : 0,
		.usage = &u->seen,
		.age_ms = now - u->seen_ms,
		.node = u->r->node,
	};

	u->due = false;
	u->written = u->seen;
	u->written_ms = now;
	if (w.version)
		u->lifting = w.version;
	u->call = ph_account_store_usage(u->r->pg, &w, on_answer, u);
}

/* Whether it cannot wait: a window ends, or a block that was not asked about yet could be lifted. */
static bool urgent(const struct ph_usage_report *u, const struct ph_usage_window *w)
{
	if (w)
		return !ended(&u->written);
	return may_lift(u) && u->lifting != u->a->health.version;
}

static struct ph_usage_report *report_of(struct ph_accounts *r, struct ph_account *a)
{
	struct ph_usage_report *u = a->health.usage;

	if (!u) {
		u = a->health.usage = ph_alloc(sizeof *u);
		u->r = r;
		u->a = a;
	}
	return u;
}

void ph_account_usage(struct ph_accounts *r, struct ph_account *a, const struct ph_usage *evidence)
{
	uint64_t now = ph_loop_now_ms(r->loop);
	const struct ph_usage_window *w;
	struct ph_usage_report *u;

	if (a->state == PH_ACCOUNT_GONE)
		return;
	u = report_of(r, a);
	merge(&u->seen, evidence);
	u->seen_ms = now;
	measure(r, a, &u->seen);
	w = ended(&u->seen);
	if (w)
		block(r, a, &u->seen, w);
	if (!same(&u->seen, &u->written) || (!w && a->health.state == PH_ACCOUNT_EXHAUSTED))
		u->due = true;
	if (u->due && !u->call && (urgent(u, w) || !u->written_ms || now - u->written_ms >= WRITE_MS))
		ph_usage_flush(a);
	ph_health_due(r);
}
