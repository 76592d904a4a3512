/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first turn after a block of cooling: one in the whole cluster, and the others follow once it was
 * answered. account.h says who waits, and for how long at most; what is agreed on is claim_probe() and
 * end_probe() in sql/functions/choice.sql. Nobody probes an account that no turn wants.
 */
#include "account_priv.h"
#include "posthouse/log.h"

#define HOLD_MS UINT64_C(10000)

void ph_probe_drop(struct ph_account *a)
{
	struct ph_probe *p = &a->health.probe;

	if (p->call)
		ph_pg_abandon(p->call);
	*p = (struct ph_probe){.state = PH_PROBE_NONE};
}

void ph_probe_due(struct ph_account *a)
{
	ph_probe_drop(a);
	/* A block that the database was not told of is this node's alone. */
	if (a->health.version && !a->health.report && a->lease.r)
		a->health.probe.state = PH_PROBE_DUE;
}

/* Whoever waited for it chooses again. */
void ph_probe_end(struct ph_account *a)
{
	bool waited = a->health.probe.state != PH_PROBE_NONE;

	ph_probe_drop(a);
	if (waited && a->lease.r)
		ph_accounts_wake(a->lease.r);
}

bool ph_probe_holds(const struct ph_account *a)
{
	enum ph_probe_state s = a->health.probe.state;

	return s == PH_PROBE_ASKED || s == PH_PROBE_RUNS || s == PH_PROBE_ELSEWHERE;
}

uint64_t ph_probe_until_ms(const struct ph_account *a)
{
	return a->health.probe.until_ms;
}

/* ---- who goes ---- */

static void on_claimed(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_account *a = arg;
	struct ph_accounts *r = a->lease.r;
	struct ph_probe *p = &a->health.probe;
	struct ph_str result = err ? PH_STR("over") : ph_pg_str(rows, 0, PH_PROBE_RESULT);

	p->call = NULL;
	if (ph_str_eq(result, PH_STR("ours")))
		p->state = PH_PROBE_OURS;
	else if (ph_str_eq(result, PH_STR("held")))
		p->state = PH_PROBE_ELSEWHERE;
	else
		p->state = PH_PROBE_NONE;
	p->until_ms = p->state ? ph_loop_now_ms(r->loop) + (uint64_t)ph_pg_int(rows, 0, PH_PROBE_WAIT_MS) : 0;
	ph_accounts_wake(r);
	ph_health_due(r);
}

static void ask(struct ph_account *a)
{
	struct ph_probe *p = &a->health.probe;

	p->state = PH_PROBE_ASKED;
	p->call = ph_account_store_probe(a->lease.r->pg, a->id, a->health.version, HOLD_MS, on_claimed, a);
}

bool ph_probe_take(struct ph_account *a)
{
	struct ph_probe *p = &a->health.probe;

	if (p->state == PH_PROBE_DUE)
		ask(a);
	if (ph_probe_holds(a))
		return false;
	if (p->state == PH_PROBE_OURS) {
		p->state = PH_PROBE_RUNS;
		p->before = a->running;
	}
	return true;
}

/* ---- how it went ---- */

static void on_ended(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_account *a = arg;

	a->health.probe.call = NULL;
	if (!err && ph_pg_rows(rows)) {
		struct ph_health_row row = ph_account_store_health(rows);

		ph_health_learn(a->lease.r, a, &row);
	}
}

static void end(struct ph_accounts *r, struct ph_account *a)
{
	ph_probe_end(a);
	a->health.probe.call =
		ph_account_store_end_probe(r->pg, a->id, a->health.version, r->node, on_ended, a);
}

void ph_account_answered(struct ph_accounts *r, struct ph_account *a, int64_t version)
{
	if (a->health.probe.state != PH_PROBE_RUNS || version != a->health.version ||
		a->state == PH_ACCOUNT_GONE)
		return;
	ph_log(PH_LOG_INFO, "account %s: the first turn after its block was answered", a->name);
	end(r, a);
}

/* Ends without a verdict count as one: no limit was met. Turns that ran before are taken to end first. */
void ph_probe_release(struct ph_accounts *r, struct ph_account *a)
{
	struct ph_probe *p = &a->health.probe;

	if (p->state != PH_PROBE_RUNS || a->state == PH_ACCOUNT_GONE)
		return;
	if (p->before)
		p->before--;
	else
		end(r, a);
}
