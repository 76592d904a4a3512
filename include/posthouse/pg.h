/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL on the loop: the only module that knows libpq. A node has a small pool of connections for short
 * reads and calls, one connection that batches writes, and one that listens. All are opened at ph_pg_open(),
 * re-opened with back-off (at most 1 s between tries), and resolve names off the loop.
 *
 * Statements are single calls with bound parameters (a transaction is one SQL function), sent in pipeline
 * mode. A connection prepares a text that it meets for the first time and sends it by name from then on, so
 * the same text always comes with the same kinds of parameters (or NULL). Behind a transaction pooler names
 * do not hold: that is noticed, and no call fails for it. Results come in binary format.
 */
#ifndef POSTHOUSE_PG_H
#define POSTHOUSE_PG_H

#include "posthouse/buf.h"
#include "posthouse/loop.h"

struct ph_pg;
struct ph_pg_result;
struct ph_pg_call;

struct ph_pg_options {
	/* Conninfo or URI; "" = libpq's own variables. Several hosts: target_session_attrs=read-write. */
	const char *dsn;
	/* For LISTEN; NULL = dsn. Another one than dsn says that a pooler stands behind dsn: no names there.
	 */
	const char *direct_dsn;
	int readers;             /* connections of the pool: 2 */
	const char *application; /* application_name: "posthouse node NAME" */
	/* Run once on each pooled and on the writing connection when it opens, before anything else, whatever
	 * comes of it; NULL = nothing. Stays the caller's. */
	const char *warm_sql;
};

/* NULL where a conninfo cannot be read; the log says why. A database that is away is no error. */
struct ph_pg *ph_pg_open(struct ph_loop *loop, const struct ph_pg_options *options);
/* Lets nothing new in, waits up to grace_ms for the writer's queue, fails the rest with -PH_E_CANCELLED,
 * closes; on_closed(arg) is the last callback. Once; also from inside a callback of this module. */
void ph_pg_close(struct ph_pg *pg, uint64_t grace_ms, void (*on_closed)(void *arg), void *arg);
bool ph_pg_up(const struct ph_pg *pg); /* at least one pooled connection is ready */
/* A connection that was lost came back so short a time ago: other nodes may still be writing what they kept.
 */
bool ph_pg_just_back(const struct ph_pg *pg, uint64_t within_ms);

/* ---- parameters: borrowed until the call returns ---- */
enum ph_pg_kind {
	PH_PG_NULL,
	PH_PG_TEXT,
	PH_PG_BYTES,
	PH_PG_INT, /* in text form: for an integer of any size */
	PH_PG_INT4,
	PH_PG_INT8,
	PH_PG_BOOL,
	PH_PG_DATE,
	PH_PG_UUID
};
struct ph_pg_param {
	enum ph_pg_kind kind;
	struct ph_str s; /* TEXT (any type's text form, arrays too), BYTES (bytea), UUID (16 bytes) */
	int64_t i;       /* the numbers, BOOL, DATE (days since 2000-01-01) */
};
#define PH_P_NULL       ((struct ph_pg_param){PH_PG_NULL, PH_STR_NONE, 0})
#define PH_P_STR(str)   ((struct ph_pg_param){PH_PG_TEXT, str, 0})
#define PH_P_BYTES(str) ((struct ph_pg_param){PH_PG_BYTES, str, 0})
#define PH_P_INT(n)     ((struct ph_pg_param){PH_PG_INT, PH_STR_NONE, (int64_t)(n)})
/* For a call that comes with every turn: no digits are made and read again. The type must be the very one. */
#define PH_P_INT4(n)   ((struct ph_pg_param){PH_PG_INT4, PH_STR_NONE, (int32_t)(n)})
#define PH_P_INT8(n)   ((struct ph_pg_param){PH_PG_INT8, PH_STR_NONE, (int64_t)(n)})
#define PH_P_BOOL(yes) ((struct ph_pg_param){PH_PG_BOOL, PH_STR_NONE, (yes) ? 1 : 0})
#define PH_P_DATE(day) ((struct ph_pg_param){PH_PG_DATE, PH_STR_NONE, (int32_t)(day)})
#define PH_P_UUID(p)   ((struct ph_pg_param){PH_PG_UUID, ph_str((const char *)(p), 16), 0})
/* Builds the text form of a text[] (quoted and escaped) in b. */
void ph_pg_text_array(struct ph_buf *b, const struct ph_str *items, size_t n);

/*
 * The one callback form. Exactly once, never before the asking call has returned. err NULL: r holds the rows.
 * Else r is NULL and err says why: -PH_E_DATABASE_AWAY (no connection, lost, timed out: nothing is known),
 * -PH_E_DATABASE_ERROR (PostgreSQL refused: sqlstate is set), -PH_E_CANCELLED (closing). r is valid during
 * the call, unless kept.
 */
typedef void (*ph_pg_cb)(void *arg, struct ph_pg_result *r, const struct ph_err *err);

/* On the pool. Waits for a connection and the answer at most timeout_ms together (0 = 2,000). When every
 * connection is known to be away, fails with DATABASE_AWAY in the next turn of the loop instead. */
struct ph_pg_call *ph_pg_query(struct ph_pg *pg, const char *sql, const struct ph_pg_param *params, int count,
	uint64_t timeout_ms, ph_pg_cb cb, void *arg);
void ph_pg_abandon(struct ph_pg_call *call); /* cb will not fire; only before it did */

/*
 * On the writer. The statement must be idempotent: it is sent again after a lost connection. Whatever queued
 * while the last batch was in flight goes out as one implicit transaction (at most 64 statements or 1 MiB); a
 * batch that fails is sent again one by one, so that one bad row harms nobody else. What was not acknowledged
 * is kept at most 5 minutes or 64 MiB, then cb gets DATABASE_AWAY. Parameters are copied. Order of acceptance
 * is kept, except that rows (below) may be overtaken. An error that may pass
 * (deadlock, serialization, lock or statement time-out, disk full) is tried a few times before cb gets it. cb
 * may be NULL.
 */
void ph_pg_write(struct ph_pg *pg, const char *sql, const struct ph_pg_param *params, int count, ph_pg_cb cb,
	void *arg);
/*
 * Rows that nobody waits for, on the writer, under the same terms. Those that wait together go out as one
 * call of sql, whose parameters are arrays with one element per row; so sql must be idempotent row by row,
 * and returns nothing: a good answer has no rows. They leave three quarters of each batch to what somebody
 * waits for, and go first where there are more than 64 MiB.
 */
struct ph_pg_rows {
	const char *sql;
	int count;                    /* of parameters */
	const enum ph_pg_kind *kinds; /* of each one's elements: all but NULL and INT */
};
/* rows stays the caller's, for good; params are of its kinds, or NULL. */
void ph_pg_write_row(struct ph_pg *pg, const struct ph_pg_rows *rows, const struct ph_pg_param *params,
	ph_pg_cb cb, void *arg);
size_t ph_pg_write_queued(const struct ph_pg *pg); /* statements not yet acknowledged */
/* How writing goes, for who watches over the node. Of the last ten minutes alone: what is older is not known
 * any more. */
struct ph_pg_writing {
	/* Why PostgreSQL could write nothing the last time (class 53: disk full and the like, 58: of the
	 * system); empty where it could. */
	char sqlstate[6];
	/* From a batch sent to its commit, smoothed; of the one in flight, if that takes longer already. */
	uint64_t commit_ms;
};
void ph_pg_writing(const struct ph_pg *pg, struct ph_pg_writing *ret);

/*
 * LISTEN on a connection of its own. on_follow fires after each LISTEN was committed: read everything now,
 * then follow. on_notify brings a hint (payload at most 8,000 bytes). on_lost tells that hints stop. All
 * three run on the loop. poll_sql runs there every poll_ms as well and its rows go to on_poll: the safety
 * net, and the liveness probe.
 */
struct ph_pg_listen {
	const char *channel;
	const char *poll_sql;
	uint64_t poll_ms;
	void (*on_follow)(void *arg);
	void (*on_notify)(void *arg, struct ph_str payload);
	void (*on_poll)(void *arg, const struct ph_pg_result *r);
	void (*on_lost)(void *arg);
	void *arg;
};
/* Once. listen is copied; its strings stay the caller's. */
void ph_pg_listen(struct ph_pg *pg, const struct ph_pg_listen *listen);

/* ---- results ---- */
int ph_pg_rows(const struct ph_pg_result *r);
bool ph_pg_is_null(const struct ph_pg_result *r, int row, int col);
/* text, bytea, name, json: the bytes */
struct ph_str ph_pg_str(const struct ph_pg_result *r, int row, int col);
/* int2, int4, int8, oid, bool, date (days since 2000-01-01), timestamp (microseconds since then); NULL = 0 */
int64_t ph_pg_int(const struct ph_pg_result *r, int row, int col);
/* float4, float8; NULL = 0 */
double ph_pg_float(const struct ph_pg_result *r, int row, int col);
/* One-dimensional arrays of text, or of integers; NULL = none. */
size_t ph_pg_array_count(const struct ph_pg_result *r, int row, int col);
struct ph_str ph_pg_array_str(const struct ph_pg_result *r, int row, int col, size_t i);
int64_t ph_pg_array_int(const struct ph_pg_result *r, int row, int col, size_t i);
/* Inside the callback: takes the result over, to be freed with ph_pg_result_free(). */
struct ph_pg_result *ph_pg_keep(struct ph_pg_result *r);
struct ph_pg_result *ph_pg_result_free(struct ph_pg_result *r); /* returns NULL */

/* ---- blocking, for the command line and for starts: never on a loop ---- */
struct ph_pgs;
/* Connects within timeout_s. err->detail names host and reason, never a password. */
struct ph_pgs *ph_pgs_open(const char *dsn, int timeout_s, struct ph_err *err);
struct ph_pgs *ph_pgs_close(struct ph_pgs *s); /* returns NULL */
/* Rows in binary format, or NULL with err (sqlstate set, message of the server in detail). */
struct ph_pg_result *ph_pgs_query(
	struct ph_pgs *s, const char *sql, const struct ph_pg_param *params, int count, struct ph_err *err);
/* Several statements in one string, no parameters, no rows: scripts. */
int ph_pgs_script(struct ph_pgs *s, const char *sql, struct ph_err *err) PH_WARN_UNUSED;
int ph_pgs_server_version(const struct ph_pgs *s); /* 150020 = 15.20 */
/* Whether a notification that `other` sends reaches s, which is asked to LISTEN for it: not through a pooler
 * that lends connections per transaction. 1, 0, or negative. */
int ph_pgs_hears(
	struct ph_pgs *s, struct ph_pgs *other, uint64_t timeout_ms, struct ph_err *err) PH_WARN_UNUSED;

#endif
