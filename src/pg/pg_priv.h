/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of src/pg share, and nobody else sees.
 *
 *     dsn.c       conninfo -> options and hosts; names -> addresses; PQconnectStartParams
 *     conn.c      one connection: from DOWN to READY and back, on a watcher and a timer
 *     pipeline.c  what is in flight on a connection: segments, each ended by one sync
 *     prepared.c  which statements a connection knows by name
 *     pool.c      short calls on a few connections        \
 *     writer.c    batches of writes on one connection      > users of conn and pipeline
 *     listen.c    LISTEN, and the poll, on one connection /
 *     pg.c        opens and closes all of that
 *     warm.c      the first statement of a new connection
 *     value.c     parameters, results, errors
 *     sync.c      the blocking twin, without any of the above but dsn and value
 */
#ifndef POSTHOUSE_PG_PRIV_H
#define POSTHOUSE_PG_PRIV_H

#include "posthouse/pg.h"
#include "posthouse/sm.h"

/* libpq's names, as libpq-fe.h has them, so that a test can see this header without it. */
typedef struct pg_conn PGconn;
typedef struct pg_result PGresult;
typedef unsigned int Oid;

/* ---- the SQL files, compiled in by cmake/sql_to_c.py, sorted by path; { NULL, NULL } ends ---- */
struct ph_sql_file {
	const char *name; /* relative to sql/: "0001_first.sql", "functions/commit.sql" */
	const char *text;
};
extern const struct ph_sql_file ph_sql_files[];

/* ---- limits ---- */
enum {
	PG_HOSTS_MAX = 16,      /* in a conninfo */
	PG_PLACES_MAX = 64,     /* addresses of all hosts */
	PG_TIMEOUT_MS = 2000,   /* of a call that names none */
	PG_CONNECT_MS = 5000,   /* one round over the hosts: names, TCP, TLS, login */
	PG_STALL_MS = 2000,     /* without an answer after a deadline: the connection is given up */
	PG_BACKOFF_MIN_MS = 50, /* between tries, doubled up to the maximum */
	PG_BACKOFF_MAX_MS = 1000,
	PG_DEPTH_MAX = 8,         /* calls in flight on one pooled connection */
	PG_PREPARED_MAX = 64,     /* statements that one connection knows by name */
	PG_CALLS_MAX = 4096,      /* calls that wait for the pool */
	PG_READERS_MAX = 16,      /* connections of the pool */
	PG_BATCH_MAX = 64,        /* statements of a batch */
	PG_BATCH_BYTES = 1 << 20, /* and their bytes */
	PG_BATCH_SHARE = 16,      /* places in a batch for rows that nobody waits for */
	PG_SHARE_BYTES = PG_BATCH_BYTES / 4,
	PG_BATCH_MS = 4000,         /* until a batch is late */
	PG_KEEP_MS = 5 * 60 * 1000, /* how long a write that nobody acknowledged is kept */
	PG_KEEP_BYTES = 64 << 20,   /* and how much of them */
	PG_TRIES_MAX = 6,           /* of a write that PostgreSQL refuses for a passing reason */
	PG_BIG = 8 << 20,    /* a connection that carried more is replaced: libpq's buffers only grow */
	PG_LISTEN_MS = 3000, /* until LISTEN or a poll is taken for dead */
};

/* ---- value.c ---- */
struct ph_pg_result {
	PGresult *pq;
	int refs; /* the callback's, and that of whoever kept it */
};

/* A statement with its parameters, in one allocation, ready for PQsendQueryParams(). Owner: whoever made it.
 */
struct ph_pg_statement {
	size_t bytes; /* of sql and parameters, for the bounds of queues */
	int count;
	bool has_nul; /* a text with a NUL inside: libpq would cut it there and PostgreSQL has no such text */
	const char *sql;
	const char **value;
	int *length, *format;
	Oid *type;
};
struct ph_pg_statement *ph_pg_statement_new(const char *sql, const struct ph_pg_param *params, int count);
/* One call for many rows, whose values are copied. */
struct ph_pg_statement *ph_pg_statement_rows(
	const struct ph_pg_rows *what, struct ph_pg_statement *const *rows, size_t n);
struct ph_pg_statement *ph_pg_statement_free(struct ph_pg_statement *st); /* returns NULL */

/* Takes pq over. */
struct ph_pg_result *ph_pg_result_new(PGresult *pq);
/* Calls cb with pq's rows, or with the error that pq is; takes pq over. cb may be NULL. */
void ph_pg_answer(ph_pg_cb cb, void *arg, PGresult *pq);
void ph_pg_answer_done(ph_pg_cb cb, void *arg); /* well, and without rows */
/* The same with an error of ours; sqlstate may be NULL. */
void ph_pg_answer_code(ph_pg_cb cb, void *arg, int code, const char *sqlstate, const char *detail);
/* To a statement with has_nul, in PostgreSQL's own words. */
#define PG_NUL_STATE "22021"
#define PG_NUL_TEXT  "a text parameter holds a NUL byte"

bool ph_pg_is_error(const PGresult *pq);
/* What an SQLSTATE asks of us. */
enum ph_pg_class {
	PG_REFUSED,   /* the statement is at fault */
	PG_AGAIN,     /* the same may succeed in a moment */
	PG_ELSEWHERE, /* this server is going down, or cannot write: connect again */
};
enum ph_pg_class ph_pg_classify(const char *sqlstate);
enum ph_pg_class ph_pg_classify_result(const PGresult *pq);
/* The server's words; full: with detail and hint, which may quote rows, so never for a log. */
void ph_pg_err_result(struct ph_err *err, const PGresult *pq, bool full);
/* A message of libpq on one line, cut to size. */
void ph_pg_one_line(char *dst, size_t size, const char *message);

/* ---- dsn.c ---- */
struct ph_pg_place {
	char *host; /* name, address, UNIX socket directory, or "" */
	char *addr; /* hostaddr, or "" */
	char *port;
};
struct ph_pg_setting {
	char *keyword, *value;
};
/* A conninfo, read once. Shared by the connections that use it. Owner: struct ph_pg or struct ph_pgs. */
struct ph_pg_dsn {
	struct ph_pg_setting *options; /* all but host, hostaddr and port */
	int option_count;
	int place_count;
	struct ph_pg_place place[PG_HOSTS_MAX];
	bool want_writable; /* target_session_attrs=read-write */
	bool want_primary;  /* target_session_attrs=primary or read-write */
	bool pooled;        /* a transaction pooler stands in between: no statement has a name */
	struct ph_list conns;
	int trying;       /* connections that are in RESOLVE or CONNECT */
	bool failed;      /* a try failed since the last one that succeeded */
	uint64_t back_ms; /* by the loop's clock: when a connection that was lost came back last; 0: never */
};
struct ph_pg_dsn *ph_pg_dsn_new(const char *text, const char *application, struct ph_err *err);
struct ph_pg_dsn *ph_pg_dsn_free(struct ph_pg_dsn *d); /* returns NULL */
/* PQconnectStartParams() over the places, beginning with the one numbered `first` (modulo count). Never NULL.
 */
PGconn *ph_pg_dsn_connect(
	const struct ph_pg_dsn *d, const struct ph_pg_place *place, int count, unsigned first);
/* The server behind pq does not, or no longer, fit target_session_attrs. */
bool ph_pg_dsn_unfit(const struct ph_pg_dsn *d, PGconn *pq);

/* The addresses of a dsn's hosts, looked up off the loop. Owner: one connection. */
struct ph_pg_names;
struct ph_pg_name {
	struct ph_pg_names *all;
	struct ph_resolve *lookup; /* NULL: done */
	struct ph_addrs found;
};
struct ph_pg_names {
	const struct ph_pg_dsn *dsn;
	int pending;
	struct ph_pg_name *name; /* one per host while lookups run, else NULL */
	struct ph_pg_place place[PG_PLACES_MAX];
	int place_count;
	void (*done)(void *arg);
	void *arg;
};
/* done(arg) when every host was looked up: never before this call returns, unless it returns true: nothing to
 * look up. A host without an address is left out. */
bool ph_pg_names_start(struct ph_pg_names *n, struct ph_loop *loop, const struct ph_pg_dsn *dsn,
	void (*done)(void *arg), void *arg);
void ph_pg_names_stop(struct ph_pg_names *n); /* cancels, frees; may be repeated */

/* ---- conn.c ---- */
struct ph_pg_conn;
struct ph_pg_segment;
struct ph_pg_conn_ops {
	void (*on_up)(struct ph_pg_conn *c);   /* READY: segments may be sent */
	void (*on_room)(struct ph_pg_conn *c); /* READY, and a segment has ended */
	/* A try failed, or the connection is gone. Its segments have ended before. */
	void (*on_down)(struct ph_pg_conn *c);
	void (*on_notify)(struct ph_pg_conn *c, const char *channel, const char *payload);
};

/* Owner: the pool, the writer or the listener, embedded there. */
struct ph_pg_conn {
	struct ph_sm sm;
	const char *what; /* "reader", "writer", "listener": for the log */
	struct ph_loop *loop;
	struct ph_pg_dsn *dsn;
	struct ph_list in_dsn;
	const struct ph_pg_conn_ops *ops;
	void *owner;
	PGconn *pq; /* CONNECT to DRAIN */
	struct ph_watch *watch;
	struct ph_timer timer; /* the state's: back-off, connect deadline, stall */
	struct ph_pg_names names;
	unsigned first;          /* place to begin with */
	uint64_t backoff_ms;     /* 0: the next try comes at once */
	struct ph_list sent;     /* segments in flight, oldest first */
	int depth;               /* their number */
	size_t bytes;            /* of their statements: libpq may hold them all */
	int late;                /* those past their deadline */
	struct ph_list prepared; /* statements by name, of this socket */
	int prepared_count;
	bool unnamed;       /* names do not hold here */
	bool lost;          /* it was up, and not closed by us */
	char farewell[128]; /* what the server said when it hung up */
};

enum ph_pg_conn_state {
	PG_DOWN,    /* no socket; the timer brings the next try */
	PG_RESOLVE, /* host names are looked up */
	PG_CONNECT, /* libpq connects: every event goes to PQconnectPoll() */
	PG_READY,   /* takes segments */
	PG_STALLED, /* a deadline passed: takes nothing until what is late has drained */
	PG_DRAIN,   /* to be replaced as soon as nothing is in flight */
	PG_CLOSED,
	PG_CONN_NR,
};

void ph_pg_conn_init(struct ph_pg_conn *c, struct ph_loop *loop, struct ph_pg_dsn *dsn, const char *what,
	const struct ph_pg_conn_ops *ops, void *owner);
void ph_pg_conn_start(struct ph_pg_conn *c);
/* Ends at once: segments end unsynced, no other callback. May be repeated, and may follow init directly. */
void ph_pg_conn_close(struct ph_pg_conn *c);
bool ph_pg_conn_ready(const struct ph_pg_conn *c);
bool ph_pg_conn_alive(const struct ph_pg_conn *c); /* READY, STALLED or DRAIN: something may still come */
void ph_pg_conn_drain(struct ph_pg_conn *c); /* replaces it once what is in flight has ended; in any state */
void ph_pg_conn_leave(struct ph_pg_conn *c); /* the same, with back-off: this server cannot help us */
void ph_pg_conn_drop(struct ph_pg_conn *c, const char *why); /* gives the connection up now, and reconnects */
/* A segment in flight is past its deadline: if nothing drains soon, the connection is given up. */
void ph_pg_conn_late(struct ph_pg_conn *c, struct ph_pg_segment *s);
/* A segment has ended; helped: the server did what was asked of it. */
void ph_pg_conn_progress(struct ph_pg_conn *c, bool helped);
/* After reading or writing: arms the watcher for what libpq waits for, or loses the connection. */
void ph_pg_conn_settle(struct ph_pg_conn *c);

/* ---- pipeline.c ---- */
/*
 * What stands between two syncs: an implicit transaction. Owner: a call, the writer, the listener. From
 * ph_pg_send_end() until on_end() it belongs to the connection.
 */
struct ph_pg_segment {
	struct ph_list node; /* conn->sent */
	struct ph_pg_conn *conn;
	size_t bytes; /* of its statements */
	int statements;
	int at;          /* whose results come now; == statements: what comes is the commit's */
	bool had_result; /* of statement `at` */
	bool late;       /* its deadline has passed */
	bool broken;     /* libpq did not take all of it */
	bool named;      /* some of it went by name */
	bool aside;      /* nobody asked for it: that it went well does not say that the server can help */
	bool again;      /* at its end: a name was not known, nothing of it was done, send it once more */
	/* r is taken over. */
	void (*on_result)(struct ph_pg_segment *s, int at, PGresult *r);
	/* synced: the server has committed or rolled back all of it. Else the connection is gone and nothing
	 * is known. */
	void (*on_end)(struct ph_pg_segment *s, bool synced);
};
void ph_pg_segment_init(struct ph_pg_segment *s,
	void (*on_result)(struct ph_pg_segment *s, int at, PGresult *r),
	void (*on_end)(struct ph_pg_segment *s, bool synced));
/* Statements, then the end, without anything between. A connection that breaks ends all its segments, this
 * one too. */
void ph_pg_send(struct ph_pg_conn *c, struct ph_pg_segment *s, const struct ph_pg_statement *st);
void ph_pg_send_end(struct ph_pg_conn *c, struct ph_pg_segment *s);
/* The same, but false where the connection broke: it is the caller's to drop. */
bool ph_pg_send_sync(struct ph_pg_conn *c, struct ph_pg_segment *s) PH_WARN_UNUSED;
void ph_pg_read(struct ph_pg_conn *c);      /* hands out what has arrived */
void ph_pg_fail_sent(struct ph_pg_conn *c); /* ends every segment unsynced */

/* ---- prepared.c ---- */
/* Between two segments: has a statement that is new to the connection prepared. False: the connection broke.
 */
bool ph_pg_prepare(struct ph_pg_conn *c, const struct ph_pg_statement *st) PH_WARN_UNUSED;
const char *ph_pg_prepared_name(const struct ph_pg_conn *c, const struct ph_pg_statement *st); /* or NULL */
/* Whether an error means that a name does not hold: then the same may be sent again. */
bool ph_pg_prepared_lost(struct ph_pg_conn *c, const PGresult *r);
void ph_pg_prepared_forget(struct ph_pg_conn *c); /* the socket goes, or was never there */

/* ---- warm.c ---- */
void ph_pg_warm(struct ph_pg_conn *c, const char *sql); /* READY; sql may be NULL */

/* ---- pool.c ---- */
struct ph_pg_pool {
	struct ph_pg *pg;
	int conn_count;
	struct ph_pg_conn conn[PG_READERS_MAX];
	struct ph_list waiting; /* calls that no connection took yet; the rest hang on their connection */
	int waiting_count;
	struct ph_defer pump;
};
void ph_pg_pool_init(struct ph_pg_pool *p, struct ph_pg *pg, int readers);
void ph_pg_pool_start(struct ph_pg_pool *p);
void ph_pg_pool_close(struct ph_pg_pool *p); /* everything pending fails with CANCELLED */

/* ---- writer.c ---- */
struct ph_pg_writer {
	struct ph_pg *pg;
	struct ph_pg_conn conn;
	struct ph_pg_segment segment;
	struct ph_list single;  /* their batch failed: to be sent one by one, before all others */
	struct ph_list queue;   /* not sent, or to be sent again; oldest first */
	struct ph_list rows;    /* the same, of rows */
	struct ph_list batch;   /* in flight */
	struct ph_list refused; /* asked in vain: fail in the next turn */
	size_t count;           /* in all of these */
	size_t bytes;
	PGresult *error;  /* the first of the batch in flight */
	uint64_t sent_ns; /* the batch in flight */
	uint64_t took_ns; /* smoothed, of batches that were written; the last one ended at: */
	uint64_t took_at_ns;
	char state[6]; /* why the last batch could not be written, if not for what was in it; since: */
	uint64_t state_at_ns;
	uint64_t keep_ms; /* PG_KEEP_MS and PG_KEEP_BYTES, unless a test says otherwise */
	size_t keep_bytes;
	struct ph_timer late;   /* the batch's deadline */
	struct ph_timer pause;  /* before the next try */
	struct ph_timer expire; /* the oldest write's end of patience */
	struct ph_defer pump;
};
void ph_pg_writer_init(struct ph_pg_writer *w, struct ph_pg *pg);
void ph_pg_writer_start(struct ph_pg_writer *w);
void ph_pg_writer_close(struct ph_pg_writer *w); /* everything pending fails with CANCELLED */

/* ---- listen.c ---- */
struct ph_pg_listener {
	struct ph_sm sm;
	struct ph_pg_listen want;
	struct ph_pg_conn conn;
	struct ph_pg_segment segment;
	struct ph_pg_statement *listen, *poll;
	PGresult *result;      /* of the statement in flight */
	struct ph_timer timer; /* FOLLOW: the next poll. ASK, POLL: the deadline */
};
void ph_pg_listener_close(struct ph_pg_listener *l);

/* ---- pg.c ---- */
struct ph_pg {
	struct ph_loop *loop;
	struct ph_pg_dsn *dsn;
	struct ph_pg_dsn *direct; /* may be dsn */
	struct ph_pg_pool pool;
	struct ph_pg_writer writer;
	struct ph_pg_listener listener;
	bool listening;
	bool closing;
	const char *warm_sql; /* NULL = none */
	struct ph_timer grace;
	struct ph_defer close_defer;
	void (*on_closed)(void *arg);
	void *on_closed_arg;
};
void ph_pg_writer_empty(struct ph_pg *pg); /* the writer has nothing left: a close may go on */

#endif
