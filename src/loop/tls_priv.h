/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about TLS know of each other, and the only place that includes OpenSSL's ssl.h. */
#ifndef POSTHOUSE_TLS_PRIV_H
#define POSTHOUSE_TLS_PRIV_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "loop_priv.h"

struct ph_sessions;

/* Owner: counted, by whoever made it, by every connection and by listeners. */
struct ph_tls {
	unsigned refs;
	SSL_CTX *ctx;
	struct ph_sessions *sessions; /* towards upstreams: what can be resumed; NULL for clients */
	const char *plain_answer;     /* for clients: what one hears that speaks cleartext HTTP, or NULL */
};

/* Owner: the stream. */
struct ph_tls_conn {
	SSL *ssl;
	struct ph_tls *tls;
	struct ph_loop *loop;
	struct ph_queue *wire;
	struct ph_str in; /* fed, and not used up */
	char *held;       /* our copy of it, while the owner does not read */
	bool ended;       /* close_notify was read */
	bool faulty;      /* a fatal error: OpenSSL forbids SSL_shutdown() after it */
	bool notified;    /* close_notify was written */
	bool ticketed;    /* a ticket came, and what it left behind was not freed yet */
	char name[];      /* of the peer, in messages: "host:port" */
};

/* ---- tls.c ---- */
/* A context as both ends want it; the caller sets ctx's own half. NULL without memory for it. */
struct ph_tls *ph_tls_new(const SSL_METHOD *method);
/* A connection that has not chosen its end yet; NULL if OpenSSL refuses. */
struct ph_tls_conn *ph_tls_conn_new(
	struct ph_tls *tls, struct ph_loop *loop, const char *name, struct ph_queue *wire);
/* What OpenSSL complained about first since its queue was cleared, in its words: the cause. What stands
 * behind it are callers that pass it on. */
const char *ph_tls_reason(void);

/* ---- tls_client.c ---- */
void ph_sessions_free(struct ph_sessions *s); /* NULL is allowed */

/* ---- tls_tickets.c ---- */
/* Has ctx seal its tickets with these keys, and accept what they sealed. */
void ph_tls_tickets_use(struct ph_tls_tickets *t, SSL_CTX *ctx);

#endif
