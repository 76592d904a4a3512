/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway of a node: takes a client's request from the server, serves it, and hands the answer back
 * through the client's end. The only module that knows both continuity and account.
 */
#ifndef POSTHOUSE_GATEWAY_H
#define POSTHOUSE_GATEWAY_H

#include "posthouse/account.h"
#include "posthouse/auth.h"
#include "posthouse/config.h"
#include "posthouse/continuity.h"
#include "posthouse/http1.h"
#include "posthouse/upstream.h"

struct ph_gateway;
struct ph_lane;
struct ph_chat;
struct ph_turn_body;

#define PH_TURNS_MAX 10000 /* at a time, of a node */

struct ph_gateway_options {
	struct ph_loop *loop;
	struct ph_pg *pg;
	const struct ph_config *config;
	const struct ph_master_keys *keys;
	const char *node; /* NAME, or NAME/n */
};
/* For ph_pg_options.warm_sql. */
extern const char *const ph_gateway_warm_sql;
struct ph_gateway *ph_gateway_new(const struct ph_gateway_options *options, struct ph_err *err);
/* Settles with the database what a node must know, then reads accounts and keys, and again whenever their
 * topics move. ready(arg) fires once, when the node knows enough to serve; fatal(arg) when it never will
 * (logged). */
void ph_gateway_start(struct ph_gateway *g, void (*ready)(void *arg), void (*fatal)(void *arg), void *arg);
size_t ph_gateway_turns(const struct ph_gateway *g); /* that run, commits included */
/* Ends the turns that still run: those shown get a failed terminal event, the others 503. Returns how many.
 */
size_t ph_gateway_cut(struct ph_gateway *g);
/* No turn runs any more: what the node held in the cluster is free at once. Before ph_pg_close(), whose grace
 * waits for it. */
void ph_gateway_leave(struct ph_gateway *g);
/* No turn may run any more. on_closed(arg) is the last callback. */
void ph_gateway_close(struct ph_gateway *g, void (*on_closed)(void *arg), void *arg);
/* Why the node is not ready, for /readyz: a short text, or NULL. */
const char *ph_gateway_unready(const struct ph_gateway *g);

/* Until when the listener's certificate is valid, in seconds of UNIX time: for the node's report on itself.
 */
void ph_gateway_certificate(struct ph_gateway *g, int64_t valid_until_s);
bool ph_gateway_drained(const struct ph_gateway *g); /* an operator drains this node */

/* What the probes may know of the node around a gateway. */
struct ph_node_view {
	struct ph_gateway *gateway;
	uint64_t workers; /* that share the listener: a request may reach any */
	bool started;     /* was ready once */
	bool draining;
};

/* The whole cluster as an operator wants to see it (posthouse.status()), for the status page. */
struct ph_picture {
	struct ph_str json; /* valid during the call; empty: the database has not answered yet */
	uint64_t age_ms;
	bool stale;          /* the database is away: it is as old as that */
	char write_state[6]; /* the SQLSTATE with which it refuses this node's writes; or empty */
	uint64_t commit_ms;  /* what it takes to commit one */
};
struct ph_status_wait {
	struct ph_list node;
	void (*cb)(struct ph_status_wait *w,
		const struct ph_picture *p); /* once, perhaps before the call returns */
};
void ph_gateway_status(struct ph_gateway *g, struct ph_status_wait *w);
void ph_gateway_status_cancel(struct ph_status_wait *w); /* only before cb */

/* What metrics cannot hold in fixed families: the accounts by name, and what program this is. */
void ph_gateway_metrics(const struct ph_gateway *g, struct ph_buf *out);

/* ---- one request and its answer ---- */

/* What a handler wants to hear. After finish, abort or on_gone the exchange is dead for the handler. */
struct ph_handler {
	void (*on_body)(void *h); /* x->body is complete */
	void (*on_body_failed)(
		void *h, int code, const struct ph_err *err); /* code negated; the client is still there */
	void (*on_drain)(void *h);                            /* the client took what was queued */
	void (*on_gone)(void *h);                             /* the client left */
};

/* A client's WebSocket: what its session wants to hear. The server answers pings, sends its own, and closes
 * on the peer's faults of framing. */
struct ph_socket_handler {
	void (*on_text)(void *h, struct ph_buf *message); /* may be taken over */
	void (*on_too_large)(void *h);                    /* a message above the maximum was discarded */
	void (*on_drain)(void *h);                        /* the client took what was queued */
	void (*on_draining)(void *h); /* the node ends: close with PH_WS_RESTART as soon as no turn runs */
	void (*on_gone)(void *h);     /* the last one, always: the connection ended, however it did */
};

/* How the events of an answer are written. */
enum ph_framing {
	PH_FRAMING_SSE,
	PH_FRAMING_WS, /* each push holds whole text frames */
};

/* The client's end, given by the server, or for a turn on a WebSocket by its session. */
struct ph_exchange_ops {
	/* Lets the body come (answers Expect). True: it is complete already. With x->on_piece set before, it
	 * is told as it comes, neither decoded nor bounded, and not kept; on_body says that it is complete.
	 */
	bool (*read_body)(void *end);
	/* Status and header lines (without framing and Connection). length -1: streamed. */
	void (*head)(void *end, int status, const struct ph_buf *headers, int64_t length);
	long (*push)(void *end, struct ph_str bytes); /* the room left; zero or less: stop until on_drain */
	void (*finish)(void *end);                    /* the answer is complete */
	void (*abort)(void *end); /* cut the connection: nothing well-formed can be said */
	void (*cut)(void *end); /* the same behind what was pushed, of an answer whose length was not told */
	/* For requests with head->upgrade, instead of head: 101, after which the connection is a WebSocket
	 * with this handler, and x->head stays valid until on_gone. */
	void (*upgrade)(
		void *end, const struct ph_buf *headers, const struct ph_socket_handler *handler, void *h);
	/* Back-pressure on a body that is told piece by piece; on a WebSocket on its messages: pings are read
	 * all the same. */
	void (*read)(void *end, bool on);
	/* On a WebSocket alone. */
	void (*close)(void *end, int code, const char *reason); /* behind what was pushed; then on_gone */
};

/* Owner: the server's connection. */
struct ph_exchange {
	const struct ph_head *head; /* its texts, path and query: valid until the answer's head is written */
	struct ph_str path, query;
	char request_id[136];
	uint64_t started_ns;
	struct ph_buf body; /* decoded */
	/* A piece of the body, valid during the call, which must not end the exchange. NULL: it is collected.
	 */
	void (*on_piece)(void *h, struct ph_str bytes);
	const struct ph_exchange_ops *ops;
	void *end;
	const struct ph_handler *handler; /* NULL until a handler took it */
	void *h;
	unsigned route;      /* index of the metric's first label, set by ph_gateway_handle() */
	struct ph_str marks; /* header lines that its answer carries besides; the handler's */

	/* Turns on a WebSocket. */
	enum ph_framing framing;
	struct ph_str stream_id; /* that its events carry, as JSON with quotes; empty = none */
	struct ph_lane *lane;    /* whose turn it is; NULL over HTTP */
	bool successor;          /* upstream began it by itself, on the lane's socket */
	struct ph_turn_body
		*scanned; /* its body, in place of the one above, as its session has it; or NULL */

	struct ph_chat *chat; /* it is a turn's end within a chat completion; or NULL */
};

/* Serves a request whose head is complete. Every request gets an answer or an abort. */
void ph_gateway_handle(struct ph_gateway *g, struct ph_exchange *x);
/* Answers with an error of ours at once, for faults that the server finds itself. err may be NULL. */
void ph_gateway_refuse(struct ph_gateway *g, struct ph_exchange *x, int code, const struct ph_err *err);
/* The same answer as bytes of a whole HTTP message that closes the connection: for heads that could not be
 * read. */
void ph_gateway_refusal(struct ph_gateway *g, int code, const struct ph_err *err, struct ph_buf *out);

#endif
