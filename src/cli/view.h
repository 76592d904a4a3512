/* SPDX-License-Identifier: Apache-2.0 */
/* Views of posthouse_admin as the command line reads them: whatever columns they have, as JSON. */
#ifndef POSTHOUSE_CLI_VIEW_H
#define POSTHOUSE_CLI_VIEW_H

#include "posthouse/pg.h"

enum ph_view {
	PH_VIEW_ACCOUNTS,
	PH_VIEW_NODES,
	PH_VIEW_LEASES,
	PH_VIEW_SETTINGS,
	PH_VIEW_AUDIT,    /* how many rows, whose object or NULL */
	PH_VIEW_REQUESTS, /* ph_view_requests() */
	PH_VIEW_FOLLOW,   /* the same, from a mark on */
	PH_VIEW_DOCTOR,
	PH_VIEW_TRAFFIC, /* of the last minute, one row */
	PH_VIEW_RUNNING, /* turns that run: how many rows */
	PH_VIEW_SLOWEST, /* of the last minutes: seconds, how many rows; not what took longer than an hour */
};
/* A JSON array in out, which this initialises. */
int ph_view_read(struct ph_pgs *pg, enum ph_view view, const struct ph_pg_param *params, int count,
	struct ph_buf *out, struct ph_err *err) PH_WARN_UNUSED;
/* Whether the database has it: of another version there may be one less. */
bool ph_view_exists(struct ph_pgs *pg, const char *name);

/* Which requests; NULL, 0 and false: any. */
struct ph_view_requests {
	const char *key, *account;
	int status_from, status_to;
	bool failed;
	int64_t slow_ms;
	int64_t since_s; /* begun in the last so many seconds */
	int64_t limit;   /* the newest of them; oldest first */
};
int ph_view_read_requests(struct ph_pgs *pg, const struct ph_view_requests *q, struct ph_buf *out,
	struct ph_err *err) PH_WARN_UNUSED;
/* The database's clock, as a view says it. */
int ph_view_now(struct ph_pgs *pg, char *dst, size_t size, struct ph_err *err) PH_WARN_UNUSED;
/* How far the log goes: whatever is not to be seen in it yet comes behind the mark. */
struct ph_view_mark {
	char clock[64]; /* as a view says it */
	char logged[32];
};
int ph_view_mark(struct ph_pgs *pg, struct ph_view_mark *ret, struct ph_err *err) PH_WARN_UNUSED;
/* What stands behind the mark: all that is new since, and perhaps some that is not. */
int ph_view_follow_requests(struct ph_pgs *pg, const struct ph_view_requests *q,
	const struct ph_view_mark *since, struct ph_buf *out, struct ph_err *err) PH_WARN_UNUSED;

enum ph_usage_by {
	PH_USAGE_BY_KEY,
	PH_USAGE_BY_ACCOUNT,
	PH_USAGE_BY_MODEL,
};
int ph_view_read_usage(struct ph_pgs *pg, enum ph_usage_by by, bool daily, int64_t since_s,
	struct ph_buf *out, struct ph_err *err) PH_WARN_UNUSED;

int ph_view_set_setting(struct ph_pgs *pg, const char *name, const char *value, const char *reason,
	struct ph_err *err) PH_WARN_UNUSED;

#endif
