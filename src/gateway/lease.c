/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LEASE: an account for the turn. A turn tries at most three accounts; where the pool is smaller than that
 * and what went wrong may pass, it goes round once more after a short rest.
 */
#include "posthouse/clock.h"
#include "request_priv.h"

#define ACCOUNTS_PER_TURN 3
#define ROUNDS            3                            /* beyond the first */
#define REST_MS           200                          /* doubles with each round */
#define ATTEMPTS_NS       (UINT64_C(240) * 1000000000) /* no new attempt after this */

void ph_lease_release(struct ph_request *r)
{
	if (!r->account)
		return;
	ph_account_release(r->g->accounts, r->account);
	r->account = NULL;
}

void ph_lease_failed(struct ph_request *r)
{
	struct ph_choice *c = &r->choice;

	if (!r->account) { /* an owner that could go on alone, but cannot now: the turn is replayed */
		r->owner_away = true;
		return;
	}
	if (c->tried_count < PH_TRIED_MAX)
		c->tried[c->tried_count++] = r->account->id;
	r->failed++;
	if (r->err == -PH_E_UPSTREAM_LIMITED) {
		r->limited++;
		if (r->attempt.after_ms && (!r->after_ms || r->attempt.after_ms < r->after_ms))
			r->after_ms = r->attempt.after_ms;
	}
	ph_account_failed(r->g->accounts, r->account, r->attempt.after_ms);
}

/* The answer is computed over the pool, never the last account's own words. */
static int exhausted(struct ph_request *r)
{
	int code = r->limited == r->failed ? PH_E_UPSTREAM_LIMITED : PH_E_UPSTREAM_FAILED;

	if (r->fault.code == PH_E_UPSTREAM_CANNOT)
		code = PH_E_UPSTREAM_CANNOT;
	r->left[PH_OTHER_ACCOUNT] = 0;
	return ph_fail(&r->fault, code, "%u attempts failed", r->attempts);
}

static void on_rested(struct ph_request *r)
{
	r->resting = false;
	r->choice.tried_count = 0;
}

/* The whole pool was tried. */
static int next_round(struct ph_request *r)
{
	bool may_pass = r->limited == 0 && r->fault.code != PH_E_UPSTREAM_DENIED &&
			r->fault.code != PH_E_UPSTREAM_CANNOT;

	if (!may_pass || r->rounds >= ROUNDS || r->choice.tried_count >= ACCOUNTS_PER_TURN)
		return exhausted(r);
	r->resting = true;
	ph_timer_start(&r->timer, (uint64_t)REST_MS << r->rounds++);
	return 0;
}

/* An owner that a whole chain could also do without. */
static bool replaceable(const struct ph_request *r)
{
	return r->mode == PH_MODE_FORWARDED && !r->unknown && !(r->chain->flags & PH_TURN_PARTIAL);
}

static int none(struct ph_request *r, enum ph_choice_verdict verdict)
{
	if (verdict == PH_CHOICE_MODEL)
		return ph_fail(&r->fault, PH_E_NO_ACCOUNTS, "no account serves the model");
	if (replaceable(r))
		return ph_fail(&r->fault, PH_E_OWNER_AWAY, "the owner went away meanwhile");
	if (r->choice.required && r->mode == PH_MODE_FORWARDED)
		return ph_fail(&r->fault, PH_E_ACCOUNT_AWAY,
			"the account that holds the conversation is not usable");
	return ph_fail(&r->fault, PH_E_NO_ACCOUNTS, "no account is usable");
}

static int take(struct ph_request *r, struct ph_account *a)
{
	ph_account_wait_stop(&r->wait);
	r->account = ph_account_take(a);
	r->account_id = a->id;
	return 1;
}

int ph_lease_start(struct ph_request *r)
{
	struct ph_account *a;
	enum ph_choice_verdict verdict;

	if (r->resting)
		on_rested(r);
	if (ph_clock_ns() - r->body_ns > ATTEMPTS_NS)
		return exhausted(r);
	if (r->choice.tried_count >= ACCOUNTS_PER_TURN)
		return exhausted(r);
	r->choice.allowed = r->door.key->accounts;
	r->choice.allowed_count = r->door.key->account_count;
	r->choice.model = r->body.model;
	verdict = ph_account_choose(r->g->accounts, &r->choice, &a);
	switch (verdict) {
	case PH_CHOSEN:
		return take(r, a);
	case PH_CHOICE_BUSY:
		if (replaceable(r))
			return ph_fail(&r->fault, PH_E_OWNER_AWAY, "the owner is busy");
		ph_account_wait(r->g->accounts, &r->wait);
		if (!ph_timer_active(&r->timer))
			ph_timer_start(&r->timer, r->g->config->queue_timeout_ms);
		return 0;
	case PH_CHOICE_TRIED:
		return next_round(r);
	default:
		return none(r, verdict);
	}
}

void ph_lease_cancel(struct ph_request *r)
{
	ph_account_wait_stop(&r->wait);
	r->resting = false;
}
