/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_UPSTREAM_PRIV_H
#define POSTHOUSE_UPSTREAM_PRIV_H

#include "posthouse/upstream.h"
#include "posthouse/ws.h"

/* Owner: the node. */
struct ph_upstream {
	struct ph_loop *loop;
	struct ph_tls *tls;
	uint64_t connect_timeout_ms;
	struct ph_list origins; /* of struct ph_origin (pool.c) */
	struct ph_list sockets; /* of struct ph_upsocket (socket.c): all that an owner may still name */
	size_t conns;           /* connections and sockets that are not gone yet */
	struct ph_buf joined;   /* of one read: the pieces of an answer's body */
	bool closing;
	struct ph_defer closed;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

/* The values of PH_M_UPSTREAM_CONNECTIONS. */
enum {
	PH_GAUGE_IDLE,
	PH_GAUGE_BUSY
};

/* One connection to an upstream. The state is the list it stands in: idle ones in their origin's list, busy
 * ones in none, closing ones nowhere but in the count of the pool. Owner: the pool; a busy one is lent to its
 * call. */
struct ph_upconn {
	struct ph_list node;
	struct ph_upstream *up;
	struct ph_origin *origin;
	struct ph_stream *stream;
	struct ph_dial *dial; /* while it connects */
	struct ph_http *http;
	struct ph_call *call; /* while busy */
	struct ph_timer idle;
	bool ready;  /* connected */
	bool reused; /* carried a call before */
	bool closing;
};

/* dial.c */
struct ph_dial;
/* on_dialled, once and never before this returns: a stream, whose events the owner must set before it
 * returns, or NULL and why. */
struct ph_dial *ph_dial_start(struct ph_upstream *u, bool tls, const char *host, uint16_t port,
	void (*on_dialled)(void *owner, struct ph_stream *s, const struct ph_err *err), void *owner);
void ph_dial_cancel(struct ph_dial *d); /* only before on_dialled */

/* pool.c */
void ph_upstream_hold(struct ph_upstream *u); /* one more that a closing upstream waits for */
void ph_upstream_drop(struct ph_upstream *u);
struct ph_upconn *ph_pool_get(
	struct ph_upstream *u, const struct ph_url *base, bool fresh, struct ph_call *call);
void ph_pool_put(struct ph_upconn *c);     /* the exchange is complete and the connection may live on */
void ph_upconn_close(struct ph_upconn *c); /* in any state; its call gets no callback */

/* call.c: what a connection tells its call. None of these is called after the call let the connection go. */
void ph_call_on_ready(struct ph_call *c);
void ph_call_on_unready(
	struct ph_call *c, const struct ph_err *err); /* connecting failed; the connection is gone */
void ph_call_on_data(struct ph_call *c, struct ph_str bytes);
void ph_call_on_eof(struct ph_call *c, int status);
void ph_call_on_drain(struct ph_call *c);
/* The request line and Host. */
void ph_call_put_start(
	struct ph_buf *head, struct ph_str method, const struct ph_url *base, struct ph_str path);
#define PH_REQUEST_HEAD_MAX                                                                                  \
	(256 * 1024) /* more than a client's head, a secret and an account's own lines                       \
		      */

/* upgrade.c: the HTTP exchange at a WebSocket's beginning */
struct ph_upgrade {
	struct ph_buf request; /* to be sent */
	char accept[PH_WS_ACCEPT_SIZE];
	struct ph_http *http;
	const struct ph_head *head; /* of the answer, in the parser; NULL = not seen yet */
	struct ph_buf body;         /* of an answer that refuses */
	bool whole;                 /* the answer, or as much of it as anybody wants */
};
enum ph_upgrade_verdict {
	PH_UPGRADE_MORE,
	PH_UPGRADE_OPEN, /* the bytes behind *used are the WebSocket's */
	PH_UPGRADE_REFUSED,
	PH_UPGRADE_BAD, /* err says why */
};
void ph_upgrade_init(struct ph_upgrade *g, const struct ph_upsocket_request *r);
void ph_upgrade_deinit(struct ph_upgrade *g); /* may be repeated */
enum ph_upgrade_verdict ph_upgrade_feed(
	struct ph_upgrade *g, struct ph_str bytes, size_t *used, struct ph_err *err);
/* The peer ended. PH_UPGRADE_MORE: inside the answer. */
enum ph_upgrade_verdict ph_upgrade_finish(struct ph_upgrade *g, struct ph_err *err);

/* socket.c */
void ph_upsocket_close_all(struct ph_upstream *u);

/* after.c: times to come back, in milliseconds */
uint64_t ph_after_cap(uint64_t ms);           /* at most 366 days: more is a mistake of the sender */
uint64_t ph_after_duration(const char *text); /* at the front of text; 0 = none */
/* "1.25" as 1250. False on anything that is no decimal number, or has no digit before the point. */
bool ph_after_thousandths(struct ph_str text, uint64_t *ret);

/* classify_words.c: what is known of words and phrases */
struct ph_verdict {
	int code; /* PH_E_x, not negated */
	enum ph_health_signal signal;
	bool renews; /* of an account whose token is renewed it says no more than PH_SIGNAL_EXPIRED */
};
const struct ph_verdict *ph_words_of(const char *word);                      /* NULL = not known */
const struct ph_verdict *ph_words_in(int status, const char *lower_message); /* NULL = nothing known */
bool ph_words_deny_path(const char *word);

extern const struct ph_http_events ph_call_http_events; /* owner: the struct ph_upconn */

#endif
