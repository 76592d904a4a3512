/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finding on its way to the database: one per account, the strongest that was not written yet. It is one
 * compare-and-set on the version that this node has seen. Whoever loses reads the row from the answer: where
 * a block stands there, the finding is written again if it adds to it; where the account was cleared
 * meanwhile, the finding is void. While the database is away it is tried again until it has no meaning.
 */
#include <stdlib.h>

#include "account_priv.h"
#include "posthouse/json.h"
#include "posthouse/log.h"

#define EVIDENCE_MAX 512
#define RETRY_MS     250
#define RETRY_MAX_MS 10000

/* Owner: the account. */
struct ph_health_report {
	struct ph_accounts *r;
	struct ph_account *a;
	struct ph_pg_call *call; /* running */
	struct ph_timer retry;   /* else */
	unsigned tries;
	struct ph_account_finding f;
	char reason[64];
	char *evidence;
	int64_t version;   /* of the row, as it was known when this was found */
	uint64_t found_ms; /* loop time */
	uint64_t until_ms; /* loop time; 0 = it has no end */
	bool strike;
	bool newer; /* it came while a call with an older one ran */
};

/* What upstream said, as a column takes it: secrets taken out, one line, valid UTF-8 (by way of JSON). */
static char *clean(struct ph_str evidence)
{
	struct ph_str cut = ph_str(evidence.p, evidence.n < EVIDENCE_MAX ? evidence.n : EVIDENCE_MAX);
	char redacted[EVIDENCE_MAX + 1], *ret;
	struct ph_arena arena;
	struct ph_str text;
	struct ph_buf b;

	ph_log_redact(redacted, sizeof redacted, cut);
	for (char *p = redacted; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	ph_arena_init(&arena, sizeof redacted * 8);
	ph_buf_init(&b, sizeof redacted * 8);
	ph_buf_putc(&b, '"');
	ph_buf_json(&b, ph_str_c(redacted));
	ph_buf_putc(&b, '"');
	if (!ph_json_text(ph_buf_str(&b), &arena, &text))
		text = PH_STR_NONE;
	ret = ph_alloc(text.n + 1);
	ph_str_copy(ret, text.n + 1, text);
	ph_arena_deinit(&arena);
	ph_buf_deinit(&b);
	return ret;
}

void ph_report_drop(struct ph_account *a)
{
	struct ph_health_report *p = a->health.report;

	if (!p)
		return;
	a->health.report = NULL;
	if (p->call)
		ph_pg_abandon(p->call);
	ph_timer_stop(&p->retry);
	free(p->evidence);
	free(p);
}

static bool is_past(const struct ph_health_report *p)
{
	return p->until_ms && p->until_ms <= ph_loop_now_ms(p->r->loop);
}

void ph_report_hold(struct ph_account *a)
{
	const struct ph_health_report *p = a->health.report;

	if (p && !is_past(p) && ph_health_adds(&a->health, p->f.state, p->until_ms))
		ph_health_raise(a, p->f.state, p->until_ms);
}

static void on_answer(void *arg, struct ph_pg_result *rows, const struct ph_err *err);

static void post(struct ph_health_report *p)
{
	struct ph_health_write w = {
		.account = p->a->id,
		.version = p->version,
		.finding = &p->f,
		.strike = p->strike,
		.age_ms = ph_loop_now_ms(p->r->loop) - p->found_ms,
		.node = p->r->node,
	};

	p->newer = false;
	p->call = ph_account_store_report(p->r->pg, &w, on_answer, p);
}

/* After another node's write was read: it has been counted as a strike there. */
static void post_again(struct ph_health_report *p)
{
	p->version = p->a->health.version;
	p->tries = 0;
	p->strike = false;
	post(p);
}

static void on_retry(void *arg)
{
	struct ph_health_report *p = arg;

	if (is_past(p))
		ph_report_drop(p->a);
	else
		post(p);
}

static void failed(struct ph_health_report *p, const struct ph_err *err)
{
	uint64_t ms = (uint64_t)RETRY_MS << (p->tries < 6 ? p->tries : 6);

	if (err->code == PH_E_CANCELLED) {
		ph_report_drop(p->a);
		return;
	}
	if (p->tries++ == 0)
		ph_log(PH_LOG_WARN, "account %s: its health could not be written, trying again: %s",
			p->a->name, err->detail);
	ph_timer_start(&p->retry, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
}

/* The row is as the database has it now; what is still to be written, if anything, adds to it. */
static void on_answer(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_health_report *p = arg;
	struct ph_account *a = p->a;
	struct ph_accounts *r = p->r;
	struct ph_account_health read = {0}; /* what the row says, without the finding */
	struct ph_health_row row;
	struct ph_str result;
	bool again;

	p->call = NULL;
	if (err) {
		failed(p, err);
		return;
	}
	if (ph_pg_rows(rows) == 0) {
		ph_report_drop(a); /* removed: the reload that follows takes it away */
		return;
	}
	row = ph_account_store_health(rows);
	read.state = row.state;
	read.until_ms = ph_loop_now_ms(r->loop) + row.remaining_ms;
	result = ph_pg_str(rows, 0, PH_HEALTH_RESULT);
	again = ph_str_eq(result, PH_STR("lost")) || (p->newer && !ph_str_eq(result, PH_STR("cleared")));
	if (!again || !ph_health_adds(&read, p->f.state, p->until_ms))
		ph_report_drop(a);
	ph_health_learn(r, a, &row);
	if (a->health.report)
		post_again(a->health.report);
}

/* Takes the place of a weaker one; a strike that was not counted yet goes on to it. */
void ph_report_write(struct ph_accounts *r, struct ph_account *a, const struct ph_account_finding *f,
	uint64_t until_ms, bool strike)
{
	struct ph_health_report *p = a->health.report;

	if (!p) {
		p = a->health.report = ph_alloc(sizeof *p);
		p->r = r;
		p->a = a;
		ph_timer_init(&p->retry, r->loop, on_retry, p);
	}
	free(p->evidence);
	p->f = *f;
	ph_str_copy(p->reason, sizeof p->reason, ph_str_c(f->reason));
	p->f.reason = p->reason;
	p->evidence = clean(f->evidence);
	p->f.evidence = ph_str_c(p->evidence);
	p->version = a->health.version;
	p->found_ms = ph_loop_now_ms(r->loop);
	p->until_ms = until_ms;
	p->strike |= strike;
	if (p->call)
		p->newer = true;
	else if (!ph_timer_active(&p->retry))
		post(p);
}
