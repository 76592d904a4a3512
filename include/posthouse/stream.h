/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams over TCP, in cleartext or TLS, and the listener that accepts them.
 *
 * Reading is off until ph_stream_read(s, true). Writing queues: bytes pushed in one turn of the loop leave in
 * one write at its end. At the high mark push says so; on_drain fires once when the queue has fallen below
 * the low mark. Every stream has TCP_NODELAY and TCP keepalive (a peer that vanished is noticed within 45 s
 * of silence).
 *
 * What is noticed: while a stream reads, its peer's end and reset are told at once. While it does not, the
 * kernel is not asked: an end waits until it reads again, a reset until it reads or writes. So whoever wants
 * to know that a client has gone keeps reading.
 */
#ifndef POSTHOUSE_STREAM_H
#define POSTHOUSE_STREAM_H

#include "posthouse/loop.h"

struct ph_stream;
struct ph_tls;

struct ph_stream_events {
	/* Only streams of ph_stream_connect(): 0 when bytes can flow (TLS: verified), or -PH_E_SOCKET,
	 * -PH_E_TLS. After an error the owner closes the stream. */
	void (*on_connect)(void *owner, int status, const struct ph_err *err);
	/* Bytes are valid during the call. The owner may stop reading or close from inside. */
	void (*on_data)(void *owner, struct ph_str bytes);
	/* 0: the peer ended cleanly (TLS: with close_notify, or at least with FIN). Negative: reset, a failed
	 * write (-PH_E_SOCKET) or a TLS fault, for an accepted stream that of its handshake too (-PH_E_TLS);
	 * what the peer had sent before was told first. Reading has stopped; what is queued may still be
	 * written after a clean end. Fires at most once: a write that fails after a clean end is only seen in
	 * ph_stream_alive(). */
	void (*on_end)(void *owner, int status);
	void (*on_drain)(void *owner);  /* may be NULL */
	void (*on_closed)(void *owner); /* the last one. May be NULL */
};

#define PH_STREAM_HIGH (256 * 1024)
#define PH_STREAM_LOW  (64 * 1024)

/* Connects to addr. tls NULL = cleartext; host is used for SNI and verification (a name or a literal
 * address). */
struct ph_stream *ph_stream_connect(struct ph_loop *loop, const struct ph_addr *addr, struct ph_tls *tls,
	const char *host, const struct ph_stream_events *events, void *owner);

void ph_stream_set_owner(struct ph_stream *s, const struct ph_stream_events *events, void *owner);
void ph_stream_read(struct ph_stream *s, bool on); /* may be repeated */
bool ph_stream_reading(const struct ph_stream *s);

/* Copies the bytes to the queue. Returns the room left below the high mark; zero or less: stop pushing until
 * on_drain (pushing on is allowed and grows the queue). Before on_connect bytes wait. After a failed write
 * bytes are discarded and on_end has told so; after ph_stream_shutdown() they are discarded as well. */
long ph_stream_push(struct ph_stream *s, struct ph_str bytes);
/* The same without a copy: bytes stay valid until release(arg), which is called exactly once, from the loop:
 * when they were written (TLS: encrypted) or can no longer be; after a close before on_closed. release may be
 * NULL. */
long ph_stream_push_ref(struct ph_stream *s, struct ph_str bytes, void (*release)(void *arg), void *arg);
size_t ph_stream_queued(const struct ph_stream *s); /* bytes not yet taken by the kernel */
/* Loop time when the kernel last took bytes, or since which bytes wait for it, whichever is later. */
uint64_t ph_stream_progress_ms(struct ph_stream *s);
/* Connected, no end or failure seen, not shut down, nothing unread pending. A stream that does not read looks
 * at its socket for that; one with TLS should read while it is pooled, or tickets that arrive count as
 * unread. */
bool ph_stream_alive(const struct ph_stream *s);
void ph_stream_shutdown(struct ph_stream *s); /* FIN (TLS: close_notify first) after what is queued */
/* TLS: the peer's FIN came without close_notify. on_end(0) was told all the same, since a length or a last
 * chunk proves a whole message; for a body that only ends with the connection this is a truncation. */
bool ph_stream_truncated(const struct ph_stream *s);
/* Drops the queue, also what was pushed in this turn, and ends the connection; on_closed later. abort: RST
 * instead of FIN. May be repeated. */
void ph_stream_close(struct ph_stream *s, bool abort);
void ph_stream_peer(const struct ph_stream *s, struct ph_addr *ret);

bool ph_stream_tls_resumed(const struct ph_stream *s);

/* ---- TLS contexts ---- */
struct ph_tls *ph_tls_free(struct ph_tls *tls); /* returns NULL; streams and listeners keep what they need */

/* Towards upstreams: 1.2+, chain and host name verified, SNI, sessions reused, ALPN offers http/1.1 only.
 * ca_file NULL = the system's. */
struct ph_tls *ph_tls_client_new(const char *ca_file, struct ph_err *err);

/* The keys of session tickets, in memory that processes share which are forked after this: a client may
 * resume at any of them, and after any reload. They change by themselves. */
struct ph_tls_tickets;
struct ph_tls_tickets *ph_tls_tickets_new(void);
struct ph_tls_tickets *ph_tls_tickets_free(struct ph_tls_tickets *t); /* after every context; returns NULL */

/* For clients: 1.2+, no renegotiation, no early data, ALPN http/1.1, http/1.0 or none. */
struct ph_tls_server_options {
	const char *cert_file; /* PEM: the chain, the server's own certificate first */
	const char *key_file;  /* PEM, without a passphrase */
	struct ph_tls_tickets *tickets;
	/* What a peer hears that speaks cleartext HTTP, before it is closed; NULL: nothing. Kept, not copied.
	 */
	const char *plain_answer;
};
/* Reads both files. NULL: err says which file is at fault and what would be right. */
struct ph_tls *ph_tls_server_new(const struct ph_tls_server_options *options, struct ph_err *err);
/* The end of its certificate's validity, in seconds of UNIX time. */
int64_t ph_tls_server_valid_until(const struct ph_tls *tls);

/* ---- listener ---- */
struct ph_listener;
/* Refuses a port on which somebody already listens: probes by binding without SO_REUSEPORT, for up to 500 ms
 * (blocking), since a predecessor that was just killed may still be closing. Call once, before workers are
 * forked. Several addresses behind a name: the first. Port 0 is allowed and resolved into *addr. err: "cannot
 * listen on 127.0.0.1:8080: address already in use"; the caller adds what to do. */
int ph_listener_probe(struct ph_addr *addr, struct ph_err *err) PH_WARN_UNUSED;
/* Two processes that start at the same moment both pass the probe, and SO_REUSEPORT would let them share the
 * port. This claims a probed address for as long as the calling process or a child of it lives. */
int ph_listener_claim(const struct ph_addr *addr, struct ph_err *err) PH_WARN_UNUSED;
/* Accepts with SO_REUSEPORT. on_accept gets a stream whose events it must set before returning. */
struct ph_listener *ph_listener_open(struct ph_loop *loop, const struct ph_addr *addr,
	void (*on_accept)(void *owner, struct ph_stream *s), void *owner, struct ph_err *err);
/* From now on accepts with this context, or in cleartext where it is NULL; streams that were accepted keep
 * theirs. A stream in its handshake is its owner's like any other: bytes come when it is over, on_end if it
 * fails, and its deadline is the owner's. A loop has at most 2000 handshakes: one more, and the oldest ends
 * with -PH_E_TLS. */
void ph_listener_tls(struct ph_listener *l, struct ph_tls *tls);
/* Accepts what already waits, which may call on_accept before this returns, then closes; no callback
 * afterwards. NULL is allowed. */
void ph_listener_close(struct ph_listener *l);

#endif
