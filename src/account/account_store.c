/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of accounts. */
#include <stdio.h>

#include "account_priv.h"

#define YEARS_MS (UINT64_C(1000) * 86400 * 366) /* the functions cap what is longer */
#define YEARS_S  UINT64_C(100000000000)
#define PROBE_MS 500 /* a turn waits for it */

struct ph_pg_call *ph_account_store_load(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.load_accounts()", NULL, 0, 0, cb, arg);
}

struct ph_health_row ph_account_store_health(const struct ph_pg_result *r)
{
	return (struct ph_health_row){
		.state = ph_health_state(ph_pg_str(r, 0, PH_HEALTH_STATE)),
		.remaining_ms = (uint64_t)ph_pg_int(r, 0, PH_HEALTH_REMAINING_MS),
		.version = ph_pg_int(r, 0, PH_HEALTH_VERSION),
		.strikes = (int)ph_pg_int(r, 0, PH_HEALTH_STRIKES),
	};
}

static struct ph_pg_param number(uint64_t n, uint64_t max)
{
	return PH_P_INT(n < max ? n : max);
}

struct ph_pg_call *ph_account_store_report(
	struct ph_pg *pg, const struct ph_health_write *w, ph_pg_cb cb, void *arg)
{
	const struct ph_account_finding *f = w->finding;
	struct ph_pg_param p[] = {
		PH_P_INT(w->account),
		PH_P_INT(w->version),
		PH_P_STR(ph_str_c(ph_health_name(f->state))),
		number(f->until_s, YEARS_S),
		number(f->after_ms, YEARS_MS),
		number(f->floor_ms, YEARS_MS),
		number(f->most_ms, YEARS_MS),
		PH_P_BOOL(w->strike),
		number(w->age_ms, YEARS_MS),
		PH_P_STR(ph_str_c(f->reason)),
		PH_P_STR(f->evidence),
		PH_P_STR(ph_str_c(w->node)),
	};

	return ph_pg_query(pg,
		"SELECT * FROM posthouse.report_health($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", p,
		sizeof p / sizeof *p, 0, cb, arg);
}

/* Three parameters of a window; all NULL where it is not known. text is to outlive them. */
static void put_window(struct ph_pg_param *p, const struct ph_usage_window *w, char *text, size_t size)
{
	p[0] = p[1] = p[2] = PH_P_NULL;
	if (!w->known)
		return;
	snprintf(text, size, "%.2f", w->used_percent);
	p[0] = PH_P_STR(ph_str_c(text));
	if (w->minutes)
		p[1] = number(w->minutes, INT32_MAX);
	if (w->resets_s)
		p[2] = number(w->resets_s, YEARS_S);
}

struct ph_pg_call *ph_account_store_usage(
	struct ph_pg *pg, const struct ph_usage_write *w, ph_pg_cb cb, void *arg)
{
	char percent[PH_USAGE_WINDOWS][32];
	struct ph_pg_param p[] = {
		PH_P_INT(w->account),
		PH_P_INT(w->version),
		PH_P_NULL,
		PH_P_NULL,
		PH_P_NULL,
		PH_P_NULL,
		PH_P_NULL,
		PH_P_NULL,
		PH_P_BOOL(w->usage->has_credits),
		PH_P_STR(ph_str_c(w->usage->plan)),
		number(w->age_ms, YEARS_MS),
		PH_P_STR(ph_str_c(w->node)),
	};

	for (int i = 0; i < PH_USAGE_WINDOWS; i++)
		put_window(&p[2 + 3 * i], &w->usage->window[i], percent[i], sizeof percent[i]);
	return ph_pg_query(pg,
		"SELECT * FROM posthouse.report_usage($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", p,
		sizeof p / sizeof *p, 0, cb, arg);
}

struct ph_pg_call *ph_account_store_probe(
	struct ph_pg *pg, int64_t account, int64_t version, uint64_t hold_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(account), PH_P_INT8(version), PH_P_INT8(hold_ms)};

	return ph_pg_query(pg, "SELECT * FROM posthouse.claim_probe($1, $2, $3)", p, 3, PROBE_MS, cb, arg);
}

struct ph_pg_call *ph_account_store_end_probe(
	struct ph_pg *pg, int64_t account, int64_t version, const char *node, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(account), PH_P_INT8(version), PH_P_STR(ph_str_c(node))};

	return ph_pg_query(pg, "SELECT * FROM posthouse.end_probe($1, $2, $3)", p, 3, 0, cb, arg);
}

static void on_ended(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	(void)arg;
	(void)r;
	(void)err;
}

void ph_account_store_end_strikes(struct ph_pg *pg, int64_t account, int64_t version)
{
	struct ph_pg_param p[] = {PH_P_INT(account), PH_P_INT(version)};

	ph_pg_query(pg, "SELECT posthouse.end_strikes($1, $2)", p, 2, 0, on_ended, NULL);
}

#define REST_MS UINT64_C(5000)   /* after a renewal that failed; doubles ... */
#define MOST_MS UINT64_C(300000) /* ... up to this */

struct ph_pg_call *ph_account_store_claim(struct ph_pg *pg, const struct ph_renewing *n, const char *node,
	uint64_t hold_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_INT8(n->account), PH_P_INT8(n->version), PH_P_UUID(node), PH_P_INT8(hold_ms)};

	return ph_pg_query(pg, "SELECT * FROM posthouse.claim_refresh($1, $2, $3, $4)", p, 4, 0, cb, arg);
}

struct ph_pg_call *ph_account_store_renewed(struct ph_pg *pg, const struct ph_renewing *n, const char *node,
	struct ph_str sealed, struct ph_str key_id, uint64_t rest_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(n->account), PH_P_INT8(n->version), PH_P_UUID(node),
		PH_P_INT8(n->epoch), PH_P_BYTES(sealed), PH_P_BYTES(key_id), PH_P_INT8(rest_ms)};

	return ph_pg_query(pg, "SELECT posthouse.finish_refresh($1, $2, $3, $4, $5, $6, $7)", p,
		sizeof p / sizeof *p, 0, cb, arg);
}

struct ph_pg_call *ph_account_store_not_renewed(struct ph_pg *pg, const struct ph_renewing *n,
	const char *node, const char *reason, const char *name, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_INT8(n->account),
		PH_P_INT8(n->version),
		PH_P_UUID(node),
		PH_P_INT8(n->epoch),
		reason ? PH_P_STR(ph_str_c(reason)) : PH_P_NULL,
		PH_P_STR(ph_str_c(name)),
		PH_P_INT8(REST_MS),
		PH_P_INT8(MOST_MS),
	};

	return ph_pg_query(pg, "SELECT posthouse.fail_refresh($1, $2, $3, $4, $5, $6, $7, $8)", p,
		sizeof p / sizeof *p, 0, cb, arg);
}
