/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an upstream's words to an account's health: the table of signals (handbook, protocol 5.1), and nothing
 * else. What a failure means for the turn is the machine's; how health is kept is the registry's.
 */
#include "posthouse/log.h"
#include "renew.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

/* Blocks: until upstream's own time; where it gave none, for `floor`, doubled by each strike up to `most`. */
static const struct {
	enum ph_health_signal signal;
	enum ph_account_state state;
	uint64_t floor_ms, most_ms;
} blocks[] = {
	{PH_SIGNAL_LIMIT, PH_ACCOUNT_COOLING, 30 * SECOND, 300 * SECOND},
	{PH_SIGNAL_SLOW_DOWN, PH_ACCOUNT_COOLING, 5 * SECOND, 60 * SECOND},
	{PH_SIGNAL_QUOTA, PH_ACCOUNT_EXHAUSTED, HOUR, HOUR},
	{PH_SIGNAL_PLAN, PH_ACCOUNT_EXHAUSTED, HOUR, HOUR},
	{PH_SIGNAL_SUSPENDED, PH_ACCOUNT_COOLING, HOUR, 24 * HOUR},
	{PH_SIGNAL_REAUTH, PH_ACCOUNT_REAUTH, 0, 0},
	{PH_SIGNAL_DISABLED, PH_ACCOUNT_DISABLED, 0, 0},
};

/* Rests: others are asked first. */
static const struct {
	enum ph_health_signal signal;
	enum ph_rest rest;
	uint64_t ms;
} rests[] = {
	{PH_SIGNAL_EXPIRED, PH_REST_ACCOUNT, 30 * SECOND},
	{PH_SIGNAL_OVERLOAD, PH_REST_BUSY, 5 * SECOND},
	{PH_SIGNAL_MODEL, PH_REST_MODEL, 10 * MINUTE},
	{PH_SIGNAL_CLIENT, PH_REST_CLIENT, 10 * MINUTE},
	{PH_SIGNAL_PLACE, PH_REST_PLACE, MINUTE},
};

#define UNREACHED_MS (5 * SECOND)

static void block(struct ph_gateway *g, struct ph_account *a, const struct ph_failure *f,
	const struct ph_asked *asked, const char *reason)
{
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		struct ph_account_finding finding = {
			.state = blocks[i].state,
			.until_s = f->resets_s,
			.after_ms = f->after_ms,
			.floor_ms = blocks[i].floor_ms,
			.most_ms = blocks[i].most_ms,
			.reason = reason,
			.evidence = ph_str_c(f->message),
			.version = asked->version,
		};

		if (blocks[i].signal == f->signal)
			ph_account_found(g->accounts, a, &finding);
	}
}

static void rest(
	struct ph_gateway *g, struct ph_account *a, const struct ph_failure *f, const struct ph_asked *asked)
{
	for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
		enum ph_rest r = rests[i].rest;
		struct ph_str word = PH_STR_NONE;

		if (rests[i].signal != f->signal)
			continue;
		if (r == PH_REST_CLIENT)
			word = asked->family;
		else if (r == PH_REST_MODEL || r == PH_REST_BUSY)
			word = asked->model;
		ph_account_rest(g->accounts, a, r, word, f->after_ms ? f->after_ms : rests[i].ms);
	}
}

bool ph_health_failure(
	struct ph_gateway *g, struct ph_account *a, const struct ph_failure *f, const struct ph_asked *asked)
{
	const char *reason = f->word[0] ? f->word : ph_signal_name(f->signal);

	if (f->signal == PH_SIGNAL_FAULT && !asked->again)
		ph_account_fault(g->accounts, a, reason, ph_str_c(f->message));
	if (f->signal == PH_SIGNAL_PLACE)
		ph_log(PH_LOG_ERROR,
			"%s refuses this node's address (account %s): is the node behind a proxy, or in a "
			"country that the upstream does not serve?",
			a->base.origin, a->name);
	block(g, a, f, asked, reason);
	if (f->signal == PH_SIGNAL_EXPIRED && ph_renew_ask(g, a, asked->secret))
		return true;
	rest(g, a, f, asked);
	return false;
}

void ph_health_unreached(struct ph_gateway *g, struct ph_account *a)
{
	a->unreached_ms = ph_loop_now_ms(g->loop);
	ph_account_rest(g->accounts, a, PH_REST_ACCOUNT, PH_STR_NONE, UNREACHED_MS);
}

void ph_health_head(struct ph_gateway *g, struct ph_account *a, const struct ph_head *head)
{
	struct ph_usage usage;

	a->unreached_ms = 0;
	if (a->kind == PH_CODEX && ph_usage_of_head(head, &usage))
		ph_account_usage(g->accounts, a, &usage);
}

void ph_health_event(struct ph_gateway *g, struct ph_account *a, struct ph_str json)
{
	struct ph_usage usage;

	if (a->kind == PH_CODEX && ph_usage_of_event(json, &usage))
		ph_account_usage(g->accounts, a, &usage);
}
