/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_UPSTREAM_PRIV_H
#define POSTHOUSE_UPSTREAM_PRIV_H

#include "posthouse/upstream.h"

/* Owner: the node. */
struct ph_upstream {
	struct ph_loop *loop;
	struct ph_tls *tls;
	uint64_t connect_timeout_ms;
	struct ph_list origins; /* of struct origin (pool.c) */
	size_t conns;           /* connections that are not closed yet */
	struct ph_buf joined;   /* of one read: the pieces of an answer's body */
	bool closing;
	struct ph_defer closed;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

/* One connection to an upstream. The state is the list it stands in: idle ones in their origin's list, busy
 * ones in none, closing ones nowhere but in the count of the pool. Owner: the pool; a busy one is lent to its
 * call. */
struct ph_upconn {
	struct ph_list node;
	struct ph_upstream *up;
	struct ph_origin *origin;
	struct ph_stream *stream;
	struct ph_resolve *resolve;
	struct ph_http *http;
	struct ph_call *call;   /* while busy */
	struct ph_timer timer;  /* connect deadline; then how long it may idle */
	struct ph_addrs *addrs; /* while it connects */
	int next_addr;
	bool ready;  /* connected */
	bool reused; /* carried a call before */
	bool closing;
};

/* pool.c */
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

extern const struct ph_http_events ph_call_http_events; /* owner: the struct ph_upconn */

#endif
