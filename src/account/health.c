/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an account stands on this node: the database's row as it was last read, under what this node found out
 * itself and could not write yet. Nothing here lifts a block but the database's answer and the block's own
 * end. Ends are kept in loop time: the row brings how long a block still lasts on the database's clock.
 */
#include "account_priv.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"

#define BLOCK_MIN_MS 1000
#define BLOCK_MAX_MS (UINT64_C(366) * 86400 * 1000)
#define FLOOR_MS                                                                                             \
	30000            /* of a block for which upstream named no time: long enough for peers to hear of it \
			  */
#define SLACK_MS     250 /* an end that is later by less is the same end */
#define DOUBLED_MAX  20

#define FAULTS       3 /* in a row cool the account */
#define FAULT_MS     30000
#define FAULT_MAX_MS 300000

static const char *const names[] = {"active", "cooling", "exhausted", "reauth", "disabled"};

static bool returns(enum ph_account_state s)
{
	return s == PH_ACCOUNT_COOLING || s == PH_ACCOUNT_EXHAUSTED;
}

bool ph_account_blocked(const struct ph_account *a)
{
	return returns(a->state);
}

/* A word of a newer release is no reason to use the account. */
enum ph_account_state ph_health_state(struct ph_str name)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (ph_str_eq(name, ph_str_c(names[i])))
			return (enum ph_account_state)i;
	return PH_ACCOUNT_DISABLED;
}

const char *ph_health_name(enum ph_account_state state)
{
	return names[state];
}

/* What an operator said stands before what nodes found. */
static void settle(struct ph_account *a)
{
	if (a->state < PH_ACCOUNT_PAUSED)
		a->state = a->health.state;
}

bool ph_health_adds(const struct ph_account_health *h, enum ph_account_state state, uint64_t until_ms)
{
	return state > h->state || (returns(h->state) && until_ms > h->until_ms + SLACK_MS);
}

void ph_health_raise(struct ph_account *a, enum ph_account_state state, uint64_t until_ms)
{
	struct ph_account_health *h = &a->health;

	if (state > h->state)
		h->state = state;
	if (until_ms > h->until_ms)
		h->until_ms = until_ms;
	if (!returns(h->state))
		h->until_ms = 0;
	ph_probe_end(a);
	settle(a);
}

/* ---- ends ---- */

static void sooner(uint64_t *due, uint64_t at)
{
	if (at && (!*due || at < *due))
		*due = at;
}

void ph_health_due(struct ph_accounts *r)
{
	uint64_t now = ph_loop_now_ms(r->loop), due = 0;

	PH_LIST_EACH (it, &r->all) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		sooner(&due, a->health.until_ms);
		sooner(&due, a->health.used_until_ms);
		sooner(&due, ph_probe_until_ms(a));
		sooner(&due, ph_usage_due(a));
	}
	if (due)
		ph_timer_start(&r->due, due > now ? due - now : 0);
	else
		ph_timer_stop(&r->due);
}

static void end_block(struct ph_account *a)
{
	if (a->health.state == PH_ACCOUNT_COOLING)
		ph_probe_due(a);
	a->health.state = PH_ACCOUNT_ACTIVE;
	a->health.until_ms = 0;
	settle(a);
	ph_log(PH_LOG_INFO, "account %s: its block has ended", a->name);
}

void ph_health_on_due(void *arg)
{
	struct ph_accounts *r = arg;
	uint64_t now = ph_loop_now_ms(r->loop);

	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);
		struct ph_account_health *h = &a->health;

		if (h->until_ms && h->until_ms <= now)
			end_block(a);
		if (ph_probe_until_ms(a) && ph_probe_until_ms(a) <= now)
			ph_probe_end(a);
		if (h->used_until_ms && h->used_until_ms <= now)
			ph_usage_note(r, a, 0, 0);
		if (ph_usage_due(a) && ph_usage_due(a) <= now)
			ph_usage_flush(a);
	}
	ph_accounts_wake(r);
	ph_health_due(r);
}

/* ---- what the database says ---- */

static void take_over(struct ph_accounts *r, struct ph_account *a, const struct ph_health_row *row)
{
	struct ph_account_health *h = &a->health;

	/* What was seen before a block was lifted must not bring it back. */
	if (h->state == PH_ACCOUNT_EXHAUSTED && row->state == PH_ACCOUNT_ACTIVE)
		ph_usage_forget(a);
	if (row->version != h->version) {
		h->blocked_ms = ph_loop_now_ms(r->loop);
		ph_probe_end(a);
	} else if (h->state == PH_ACCOUNT_COOLING && row->state == PH_ACCOUNT_ACTIVE) {
		ph_probe_due(a); /* its end, by the database's clock */
	}
	h->version = row->version;
	h->strikes = row->strikes;
	h->state = row->state;
	h->until_ms = returns(row->state) ? ph_loop_now_ms(r->loop) + row->remaining_ms : 0;
	settle(a);
	ph_report_hold(a);
	if (a->state == PH_ACCOUNT_ACTIVE)
		ph_accounts_wake(r);
	ph_health_due(r);
}

/* Answers come over several connections, and may overtake each other. */
void ph_health_learn(struct ph_accounts *r, struct ph_account *a, const struct ph_health_row *row)
{
	if (row->version < a->health.version)
		return;
	a->health.answered = true;
	take_over(r, a, row);
}

void ph_health_reloaded(struct ph_accounts *r, struct ph_account *a, const struct ph_pg_result *rows, int row)
{
	struct ph_health_row now = {
		.state = ph_health_state(ph_pg_str(rows, row, PH_ACCOUNT_HEALTH)),
		.remaining_ms = (uint64_t)ph_pg_int(rows, row, PH_ACCOUNT_REMAINING_MS),
		.version = ph_pg_int(rows, row, PH_ACCOUNT_VERSION),
		.strikes = (int)ph_pg_int(rows, row, PH_ACCOUNT_STRIKES),
	};
	int64_t used;

	if (now.version > a->health.version && now.state == PH_ACCOUNT_ACTIVE)
		a->health.faults = 0; /* an operator's word forgives */
	if (a->health.answered && now.version < a->health.version)
		settle(a); /* it was read before that answer was written */
	else
		take_over(r, a, &now);
	/* A fuller window is newer, also where this node has not written yet what it saw itself. */
	used = ph_pg_int(rows, row, PH_ACCOUNT_USED_PERCENT);
	if (!ph_usage_ahead(a) || used > a->health.used_percent)
		ph_usage_note(r, a, used, (uint64_t)ph_pg_int(rows, row, PH_ACCOUNT_USED_MS));
}

void ph_health_drop(struct ph_account *a)
{
	ph_report_drop(a);
	ph_usage_drop(a);
	ph_probe_drop(a);
}

/* ---- what this node finds ---- */

/* The database computes the same on its own clock; its answer then counts. */
static uint64_t end_of(const struct ph_accounts *r, const struct ph_account_finding *f, int strikes)
{
	uint64_t unix_ms = ph_clock_unix_ms(), ms = f->floor_ms > FLOOR_MS ? f->floor_ms : FLOOR_MS;

	if (!returns(f->state))
		return 0;
	if (f->until_s) {
		ms = f->until_s < UINT64_MAX / 1000 ? f->until_s * 1000 : UINT64_MAX;
		ms = ms > unix_ms ? ms - unix_ms : 0;
	} else if (f->after_ms) {
		ms = f->after_ms;
	} else {
		uint64_t most = f->most_ms > ms ? f->most_ms : ms;

		for (int i = 1; i < strikes && i < DOUBLED_MAX && ms < most; i++)
			ms *= 2;
		ms = ms < most ? ms : most;
	}
	if (ms < BLOCK_MIN_MS)
		ms = BLOCK_MIN_MS;
	return ph_loop_now_ms(r->loop) + (ms < BLOCK_MAX_MS ? ms : BLOCK_MAX_MS);
}

static void say(const struct ph_accounts *r, const struct ph_account *a, const struct ph_account_finding *f)
{
	const struct ph_account_health *h = &a->health;
	uint64_t now = ph_loop_now_ms(r->loop);
	struct ph_field fields[] = {
		PH_F_C("account", a->name),
		PH_F_C("state", names[h->state]),
		PH_F_C("reason", f->reason),
		PH_F_INT("seconds", h->until_ms > now ? (h->until_ms - now + 999) / 1000 : 0),
		PH_F_STR("evidence", f->evidence),
	};

	ph_log_fields(returns(h->state) ? PH_LOG_INFO : PH_LOG_WARN, "account blocked", fields,
		sizeof fields / sizeof *fields);
}

void ph_account_found(struct ph_accounts *r, struct ph_account *a, const struct ph_account_finding *f)
{
	struct ph_account_health *h = &a->health;
	bool since = f->version && f->version < h->version;
	bool strike =
		returns(f->state) && !f->until_s && !f->after_ms && h->state == PH_ACCOUNT_ACTIVE && !since;
	uint64_t until_ms = end_of(r, f, h->strikes + strike);

	if (a->state == PH_ACCOUNT_GONE || (since && !returns(f->state)) ||
		!ph_health_adds(h, f->state, until_ms))
		return;
	h->strikes += strike;
	a->health.blocked_ms = ph_loop_now_ms(r->loop);
	ph_health_raise(a, f->state, until_ms);
	say(r, a, f);
	ph_report_write(r, a, f, until_ms, strike);
	ph_health_due(r);
}

/* Turns that ran at the same time fail together: once the account is blocked, theirs count no more. */
void ph_account_fault(struct ph_accounts *r, struct ph_account *a, const char *reason, struct ph_str evidence)
{
	struct ph_account_finding f = {
		.state = PH_ACCOUNT_COOLING, .after_ms = FAULT_MS, .reason = reason, .evidence = evidence};
	struct ph_account_health *h = &a->health;

	if (h->state != PH_ACCOUNT_ACTIVE || ++h->faults < FAULTS)
		return;
	for (unsigned n = FAULTS; n < h->faults && f.after_ms < FAULT_MAX_MS; n++)
		f.after_ms *= 2;
	if (f.after_ms > FAULT_MAX_MS)
		f.after_ms = FAULT_MAX_MS;
	ph_account_found(r, a, &f);
}

/* A turn that began before the present block says nothing about the next attempt. */
void ph_account_worked(struct ph_accounts *r, struct ph_account *a)
{
	struct ph_account_health *h = &a->health;

	h->faults = 0;
	ph_account_rested(r, a);
	if (h->strikes == 0 || h->state != PH_ACCOUNT_ACTIVE || a->state == PH_ACCOUNT_GONE)
		return;
	h->strikes = 0;
	ph_account_store_end_strikes(r->pg, a->id, h->version);
}
