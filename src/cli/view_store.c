/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL of the listings. Rows are made into JSON by PostgreSQL with all columns that a view has, so that a
 * new one shows up without a change here.
 */
#include "view.h"

#include <stdio.h>

#include "cli_priv.h"

#define LIST_MAX      (64u << 20)

#define AS_JSON(from) "SELECT coalesce(json_agg(v), '[]')::text FROM (" from ") v"

/* The log has a partition for each day, of the row's writing, and an index on `started`. What took longer
 * than an hour is not looked for among what ended lately. */
#define STARTED_SINCE(when) "day >= ((" when ") AT TIME ZONE 'UTC')::date AND started >= " when
#define ENDED_SINCE(when)   STARTED_SINCE(when " - interval '1 hour'") " AND ended > " when

/* What was written since is found by who wrote it, however long it took. The time bounds what a transaction
 * that never ends, or one of another server, could bring. */
#define LOGGED_SINCE(when, mark)                                                                             \
	"logged >= " mark " AND day >= ((" when ") AT TIME ZONE 'UTC')::date AND ended > " when

/* $1 to $6. */
#define FILTER                                                                                               \
	"($1::text IS NULL OR key_name = $1) AND ($2::text IS NULL OR account = $2) "                        \
	"AND ($3::int = 0 OR status BETWEEN $3 AND $4::int) "                                                \
	"AND (NOT $5::bool OR outcome NOT IN ('completed', 'incomplete')) "                                  \
	"AND coalesce(duration_ms, 0) >= $6::bigint"

#define TRAFFIC                                                                                              \
	"SELECT count(*) AS turns, count(*) FILTER (WHERE continuity = 'replayed') AS replayed, "            \
	"count(*) FILTER (WHERE outcome NOT IN ('completed', 'incomplete')) AS failed, "                     \
	"percentile_cont(0.5) WITHIN GROUP (ORDER BY first_event_ms) AS first_event_ms, "                    \
	"percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS duration_ms "                           \
	"FROM posthouse_admin.requests WHERE " ENDED_SINCE("now() - interval '1 minute'")

#define SLOWEST                                                                                              \
	"SELECT * FROM posthouse_admin.requests WHERE " ENDED_SINCE(                                         \
		"now() - $1::bigint * interval '1 second'") " ORDER BY duration_ms DESC LIMIT $2::bigint"

#define BY_HOUR(view, what)                                                                                  \
	AS_JSON("SELECT * FROM posthouse_admin." view                                                        \
		" WHERE hour >= date_trunc('hour', now() - $1::bigint * interval '1 second') ORDER BY "      \
		"hour, " what)
#define BY_DAY(view, what)                                                                                   \
	AS_JSON("SELECT (hour AT TIME ZONE 'UTC')::date AS day, " what                                       \
		", sum(requests)::bigint AS requests, sum(failed)::bigint AS failed, "                       \
		"sum(replayed)::bigint AS replayed, sum(input_tokens)::bigint AS input_tokens, "             \
		"sum(cached_tokens)::bigint AS cached_tokens, sum(output_tokens)::bigint AS output_tokens, " \
		"sum(reasoning_tokens)::bigint AS reasoning_tokens, sum(cost) AS cost, "                     \
		"sum(unpriced)::bigint AS unpriced, "                                                        \
		"round(sum(mean_ms * requests) / sum(requests), 3) AS mean_ms FROM posthouse_admin." view    \
		" WHERE hour >= date_trunc('day', now() - $1::bigint * interval '1 second', 'UTC') "         \
		"GROUP BY 1, 2 ORDER BY 1, 2")

static const char *const usage[][2] = {
	[PH_USAGE_BY_KEY] = {BY_HOUR("usage_by_key", "key_name"), BY_DAY("usage_by_key", "key_name")},
	[PH_USAGE_BY_ACCOUNT] = {BY_HOUR("usage_by_account", "account"),
		BY_DAY("usage_by_account", "account")},
	[PH_USAGE_BY_MODEL] = {BY_HOUR("usage_by_model", "model"), BY_DAY("usage_by_model", "model")},
};

static const char *const views[] = {
	[PH_VIEW_ACCOUNTS] = AS_JSON("SELECT * FROM posthouse_admin.accounts ORDER BY name"),
	[PH_VIEW_NODES] = AS_JSON("SELECT * FROM posthouse_admin.nodes ORDER BY name, started"),
	[PH_VIEW_LEASES] = AS_JSON("SELECT * FROM posthouse_admin.leases"),
	[PH_VIEW_SETTINGS] = AS_JSON("SELECT * FROM posthouse_admin.settings ORDER BY name"),
	[PH_VIEW_AUDIT] = AS_JSON(
		"SELECT * FROM posthouse_admin.audit WHERE $2::text IS NULL OR object = $2 ORDER BY audit_id "
		"DESC LIMIT $1::bigint"),
	[PH_VIEW_REQUESTS] =
		AS_JSON("SELECT * FROM (SELECT * FROM posthouse_admin.requests WHERE " STARTED_SINCE(
			"now() - $7::bigint * interval '1 second'") " AND " FILTER
								    " ORDER BY started DESC LIMIT "
								    "$8::bigint) n ORDER BY started"),
	[PH_VIEW_FOLLOW] = AS_JSON("SELECT * FROM posthouse_admin.requests WHERE " LOGGED_SINCE(
		"$7::timestamptz - interval '10 minutes'", "$8::bigint") " AND " FILTER " ORDER BY ended"),
	[PH_VIEW_DOCTOR] = AS_JSON("SELECT * FROM posthouse_admin.doctor"),
	[PH_VIEW_TRAFFIC] = AS_JSON(TRAFFIC),
	[PH_VIEW_RUNNING] =
		AS_JSON("SELECT * FROM posthouse_admin.running_turns ORDER BY started LIMIT $1::bigint"),
	[PH_VIEW_SLOWEST] = AS_JSON(SLOWEST),
};

static int read_json(struct ph_pgs *pg, const char *sql, const struct ph_pg_param *params, int count,
	struct ph_buf *out, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(pg, sql, params, count, err);

	ph_buf_init(out, LIST_MAX);
	if (r == NULL)
		return -err->code;
	ph_buf_puts(out, ph_pg_str(r, 0, 0));
	ph_pg_result_free(r);
	return out->failed ? ph_fail(err, PH_E_TOO_MANY,
				     "the listing is larger than 64 MiB; ask for less, or read the view with "
				     "psql")
			   : 0;
}

int ph_view_read(struct ph_pgs *pg, enum ph_view view, const struct ph_pg_param *params, int count,
	struct ph_buf *out, struct ph_err *err)
{
	return read_json(pg, views[view], params, count, out, err);
}

int ph_view_read_usage(struct ph_pgs *pg, enum ph_usage_by by, bool daily, int64_t since_s,
	struct ph_buf *out, struct ph_err *err)
{
	const struct ph_pg_param p = PH_P_INT(since_s);

	return read_json(pg, usage[by][daily], &p, 1, out, err);
}

bool ph_view_exists(struct ph_pgs *pg, const char *name)
{
	const struct ph_pg_param p = PH_P_STR(ph_str_c(name));
	struct ph_err err;
	struct ph_pg_result *r = ph_pgs_query(pg, "SELECT to_regclass($1) IS NOT NULL", &p, 1, &err);
	bool there = r && ph_pg_int(r, 0, 0) != 0;

	ph_pg_result_free(r);
	return there;
}

/* ---- requests ---- */

enum {
	FILTERS = 6
};

static struct ph_pg_param text_or_null(const char *text)
{
	if (!text)
		return PH_P_NULL;
	return PH_P_STR(ph_str_c(text));
}

static void put_filter(struct ph_pg_param *p, const struct ph_view_requests *q)
{
	p[0] = text_or_null(q->key);
	p[1] = text_or_null(q->account);
	p[2] = PH_P_INT(q->status_from);
	p[3] = PH_P_INT(q->status_to);
	p[4] = PH_P_BOOL(q->failed);
	p[5] = PH_P_INT(q->slow_ms);
}

int ph_view_read_requests(
	struct ph_pgs *pg, const struct ph_view_requests *q, struct ph_buf *out, struct ph_err *err)
{
	struct ph_pg_param p[FILTERS + 2];

	put_filter(p, q);
	p[FILTERS] = PH_P_INT(q->since_s);
	p[FILTERS + 1] = PH_P_INT(q->limit);
	return ph_view_read(pg, PH_VIEW_REQUESTS, p, FILTERS + 2, out, err);
}

int ph_view_now(struct ph_pgs *pg, char *dst, size_t size, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(pg, "SELECT to_json(clock_timestamp()) #>> '{}'", NULL, 0, err);

	if (r == NULL)
		return -err->code;
	ph_str_copy(dst, size, ph_pg_str(r, 0, 0));
	ph_pg_result_free(r);
	return 0;
}

int ph_view_mark(struct ph_pgs *pg, struct ph_view_mark *ret, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(pg,
		"SELECT to_json(clock_timestamp()) #>> '{}', pg_snapshot_xmin(pg_current_snapshot())::text",
		NULL, 0, err);

	if (r == NULL)
		return -err->code;
	ph_str_copy(ret->clock, sizeof(ret->clock), ph_pg_str(r, 0, 0));
	ph_str_copy(ret->logged, sizeof(ret->logged), ph_pg_str(r, 0, 1));
	ph_pg_result_free(r);
	return 0;
}

int ph_view_follow_requests(struct ph_pgs *pg, const struct ph_view_requests *q,
	const struct ph_view_mark *since, struct ph_buf *out, struct ph_err *err)
{
	struct ph_pg_param p[FILTERS + 2];

	put_filter(p, q);
	p[FILTERS] = PH_P_STR(ph_str_c(since->clock));
	p[FILTERS + 1] = PH_P_STR(ph_str_c(since->logged));
	return ph_view_read(pg, PH_VIEW_FOLLOW, p, FILTERS + 2, out, err);
}

/* ---- settings ---- */

int ph_view_set_setting(
	struct ph_pgs *pg, const char *name, const char *value, const char *reason, struct ph_err *err)
{
	const struct ph_pg_param p[] = {
		PH_P_STR(ph_str_c(name)), PH_P_STR(ph_str_c(value)), text_or_null(reason)};
	struct ph_pg_result *r =
		ph_pgs_query(pg, "SELECT true FROM posthouse_admin.set_setting($1, $2, $3)", p, 3, err);
	size_t n = strlen(err->detail);

	if (r == NULL && strcmp(err->sqlstate, "P0001") == 0)
		snprintf(err->detail + n, sizeof(err->detail) - n, "; `posthouse settings list` shows them");
	if (r == NULL)
		return -err->code;
	ph_pg_result_free(r);
	return 0;
}
