/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LEASE: an account for the turn, or the pool's own answer if none can serve. A turn tries at most three
 * accounts; where the pool is smaller than that and what went wrong may pass, it goes round once more after a
 * short rest.
 */
#include "posthouse/clock.h"
#include "request_priv.h"

#define ACCOUNTS_PER_TURN 3
#define ROUNDS            3     /* beyond the first */
#define REST_MS           200   /* doubles with each round */
#define RENEW_MS          12000 /* for another token: its exchange, and the claim on it */
#define ATTEMPTS_NS       (UINT64_C(240) * 1000000000) /* no new attempt after this */

void ph_lease_release(struct ph_request *r)
{
	if (!r->account)
		return;
	ph_account_release(r->g->accounts, r->account);
	r->account = NULL;
}

/* Not every kind of account can do what every request asks. */
static bool is_able_kind(const struct ph_request *r, const struct ph_account *a)
{
	int kinds = ph_ask_kinds(r);

	return kinds == 0 || kinds & 1 << a->kind;
}

bool ph_lease_eligible(const struct ph_request *r, const struct ph_account *a)
{
	for (size_t i = 0; i < r->choice.tried_count; i++)
		if (r->choice.tried[i] == a->id)
			return false;
	return ph_account_usable(a) && ph_key_allows_account(r->door.key, a->id) &&
	       ph_account_serves(a, r->body.model) && is_able_kind(r, a);
}

uint64_t ph_lease_returns_ms(const struct ph_request *r, const struct ph_account *a)
{
	uint64_t now = ph_loop_now_ms(r->g->loop);

	return ph_account_blocked(a) && a->health.until_ms > now ? a->health.until_ms - now : 0;
}

/* No answer, or none that could be read: nobody's fault, and not counted as one. */
static bool is_unreached(int code)
{
	return code == PH_E_UPSTREAM_CONNECT || code == PH_E_UPSTREAM_DROPPED ||
	       code == PH_E_UPSTREAM_SILENT || code == PH_E_UPSTREAM_BAD;
}

/* It is at a limit, or its plan has none of this: no failure of the pool's, which says how things stand. */
static bool is_used_up(const struct ph_request *r)
{
	return r->err == -PH_E_UPSTREAM_LIMITED ||
	       (r->err == -PH_E_UPSTREAM_DENIED && r->account->health.state == PH_ACCOUNT_EXHAUSTED);
}

void ph_lease_failed(struct ph_request *r)
{
	struct ph_choice *c = &r->choice;

	r->stay = 0;
	if (!r->account) { /* an owner that could go on alone, but cannot now: the turn is replayed */
		r->owner_away = true;
		return;
	}
	if (c->tried_count < PH_TRIED_MAX)
		c->tried[c->tried_count++] = r->account->id;
	r->failed |= !is_used_up(r);
	if (is_unreached(-r->err))
		ph_health_unreached(r->g, r->account);
}

/* ---- the pool's own answers ---- */

/* Computed over the pool, never the last account's own words; but what a model or a client cannot have is
 * told as upstream told it. */
static int all_failed(struct ph_request *r)
{
	int code = r->fault.code == PH_E_UPSTREAM_CANNOT ? PH_E_UPSTREAM_CANNOT : PH_E_UPSTREAM_FAILED;

	r->left[PH_OTHER_ACCOUNT] = 0;
	return ph_fail(&r->fault, code, "%u attempts failed", r->attempts);
}

/* The turn depends on one account, and nothing else can stand in for it. */
static bool is_tied(const struct ph_request *r)
{
	return r->bound_to || (r->mode == PH_MODE_FORWARDED && r->choice.required);
}

/* An owner that a whole chain could also do without. */
static bool replaceable(const struct ph_request *r)
{
	if (r->mode == PH_MODE_LIVE)
		return true;
	return r->mode == PH_MODE_FORWARDED && !r->unknown && !(r->chain->flags & PH_TURN_PARTIAL);
}

static int blocked(struct ph_request *r, enum ph_choice_verdict verdict, uint64_t after_ms)
{
	r->after_ms = after_ms;
	if (replaceable(r))
		return ph_fail(&r->fault, PH_E_OWNER_AWAY, "the owner is blocked");
	if (is_tied(r))
		return ph_fail(&r->fault, PH_E_ACCOUNT_AWAY, "the account that the turn needs is blocked");
	if (r->failed)
		return all_failed(r);
	r->left[PH_OTHER_ACCOUNT] = 0;
	return ph_fail(&r->fault,
		verdict == PH_CHOICE_EXHAUSTED ? PH_E_ACCOUNTS_EXHAUSTED : PH_E_ACCOUNTS_BUSY,
		"every account is blocked");
}

/* Nobody serves it, not when the others are back either. */
static bool is_model_unknown(const struct ph_request *r)
{
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (ph_key_allows_account(r->door.key, a->id) && ph_account_serves(a, r->body.model) &&
			is_able_kind(r, a))
			return false;
	}
	return true;
}

static int none(struct ph_request *r, enum ph_choice_verdict verdict)
{
	if (replaceable(r))
		return ph_fail(&r->fault, PH_E_OWNER_AWAY, "the owner went away meanwhile");
	if (is_tied(r))
		return ph_fail(&r->fault, PH_E_ACCOUNT_AWAY, "the account that the turn needs is not usable");
	if (verdict == PH_CHOICE_MODEL && is_model_unknown(r))
		return ph_fail_param(&r->fault, PH_E_MODEL_UNKNOWN, "model", "%s", "");
	if (verdict == PH_CHOICE_MODEL)
		return ph_fail(&r->fault, PH_E_NO_ACCOUNTS, "no account that serves the model is usable");
	return ph_fail(&r->fault, PH_E_NO_ACCOUNTS, "no account is usable");
}

/* ---- waiting ---- */

/* The account's token had expired, and there is no other yet: somebody else's turn. */
static void not_renewed(struct ph_request *r)
{
	struct ph_choice *c = &r->choice;

	if (c->tried_count < PH_TRIED_MAX)
		c->tried[c->tried_count++] = r->account_id;
	r->stay = 0;
	r->failed = true;
	r->left[PH_RENEW] = 1;
	ph_fail(&r->fault, PH_E_UPSTREAM_DENIED, "the account's token could not be renewed");
}

/* Whether the account's new token is still to be waited for. */
static bool waits_for_token(struct ph_request *r)
{
	const struct ph_account *a = ph_accounts_find(r->g->accounts, r->account_id);

	if (!r->expired)
		return false;
	if (a && a->secret_version == r->expired && ph_renew_wait(r->g, a->id, &r->renewal)) {
		if (!ph_timer_active(&r->timer))
			ph_timer_start(&r->timer, RENEW_MS);
		return true;
	}
	if (!a || a->secret_version == r->expired)
		not_renewed(r);
	r->expired = 0;
	ph_timer_stop(&r->timer);
	return false;
}

static void on_rested(struct ph_request *r)
{
	r->resting = false;
	r->choice.tried_count = 0;
}

/* All that could serve were tried. */
static int next_round(struct ph_request *r)
{
	bool may_pass = r->fault.code != PH_E_UPSTREAM_LIMITED && r->fault.code != PH_E_UPSTREAM_DENIED &&
			r->fault.code != PH_E_UPSTREAM_CANNOT;

	if (!may_pass || r->rounds >= ROUNDS || r->choice.tried_count >= ACCOUNTS_PER_TURN)
		return all_failed(r);
	r->resting = true;
	ph_timer_start(&r->timer, (uint64_t)REST_MS << r->rounds++);
	return 0;
}

/* account: that may have a slot for it, or 0: all are busy. A busy owner does not make the turn wait while
 * another account may have a slot. */
static int wait_for_slot(struct ph_request *r, int64_t account)
{
	if (!account && replaceable(r))
		return ph_fail(&r->fault, PH_E_OWNER_AWAY, "the owner is busy");
	ph_account_wait(r->g->accounts, &r->wait, &r->choice, account);
	if (!r->queued_since_ns)
		r->queued_since_ns = ph_clock_ns();
	if (!ph_timer_active(&r->timer))
		ph_timer_start(&r->timer, r->g->config->queue_timeout_ms);
	return 0;
}

static void stop_waiting(struct ph_request *r)
{
	ph_account_wait_stop(&r->wait);
	if (r->queued_since_ns)
		r->queued_ns += ph_clock_ns() - r->queued_since_ns;
	r->queued_since_ns = 0;
}

/* Slots are the database's to give, and nothing can be said of them without it. */
static int away(struct ph_request *r)
{
	if (replaceable(r))
		return ph_fail(&r->fault, PH_E_OWNER_AWAY, "no slot of the owner can be had");
	return ph_fail(&r->fault, PH_E_DATABASE_AWAY, "slots of accounts cannot be had");
}

static int take(struct ph_request *r, struct ph_account *a)
{
	r->account = ph_account_take(a);
	if (!r->account)
		return wait_for_slot(r, a->id);
	r->chosen = ph_prefer_why(r, a);
	r->account_id = a->id;
	return 1;
}

static int choose(struct ph_request *r)
{
	enum ph_choice_verdict verdict;
	struct ph_chosen chosen;

	if (r->resting)
		on_rested(r);
	if (ph_clock_ns() - r->body_ns > ATTEMPTS_NS || r->choice.tried_count >= ACCOUNTS_PER_TURN)
		return all_failed(r);
	r->choice.queued = ph_account_waits(&r->wait);
	verdict = ph_account_choose(r->g->accounts, &r->choice, &chosen);
	switch (verdict) {
	case PH_CHOSEN:
		return take(r, chosen.account);
	case PH_CHOICE_BUSY:
		return wait_for_slot(r, 0);
	case PH_CHOICE_AWAY:
		return away(r);
	case PH_CHOICE_TRIED:
		return next_round(r);
	case PH_CHOICE_COOLING:
	case PH_CHOICE_EXHAUSTED:
		return blocked(r, verdict, chosen.after_ms);
	default:
		return none(r, verdict);
	}
}

int ph_lease_start(struct ph_request *r)
{
	int rc;

	if (waits_for_token(r) || !ph_prefer_start(r))
		return 0;
	rc = choose(r);
	if (rc || r->resting)
		stop_waiting(r);
	return rc;
}

int ph_lease_late(struct ph_request *r)
{
	if (r->expired) {
		ph_renew_wait_stop(&r->renewal);
		r->expired = 0;
		not_renewed(r);
	} else if (!r->resting) {
		return ph_fail(&r->fault, PH_E_ACCOUNTS_BUSY, "%s", "");
	}
	return ph_lease_start(r);
}

void ph_lease_cancel(struct ph_request *r)
{
	ph_renew_wait_stop(&r->renewal);
	stop_waiting(r);
	ph_prefer_wait_stop(&r->preference);
	r->resting = false;
}
