/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this module know of each other. Nobody else includes it. */
#ifndef POSTHOUSE_LOOP_PRIV_H
#define POSTHOUSE_LOOP_PRIV_H

#include <netinet/in.h>
#include <uv.h>

#include "posthouse/loop.h"
#include "posthouse/stream.h"

/* ---- the timer wheel (timer.c) ---- */
#define PH_WHEEL_BITS   6
#define PH_WHEEL_SLOTS  (1 << PH_WHEEL_BITS)
#define PH_WHEEL_LEVELS 11 /* covers every 64-bit tick, so nothing has to be clamped */

struct ph_wheel {
	struct ph_list slot[PH_WHEEL_LEVELS][PH_WHEEL_SLOTS];
	uint64_t used[PH_WHEEL_LEVELS]; /* one bit per slot; may stand for a slot that has become empty */
	uint64_t tick;                  /* the last one that was served */
	uint64_t armed;                 /* the tick that `timer` waits for */
	unsigned count;                 /* running timers */
	uv_timer_t timer;
};

void ph_wheel_init(struct ph_loop *loop);

/* ---- the loop (loop.c) ---- */
#define PH_READ_SIZE (64 * 1024) /* one read of any stream */
#define PH_PLAIN_SIZE                                                                                        \
	(96 * 1024) /* what one read can decrypt to, with the record that was incomplete before it */

struct ph_grave {
	void *obj;
	void (*fn)(void *obj);
};

/* Each costs about as much memory as an open stream. */
#define PH_HANDSHAKES_MAX 2000

struct ph_loop {
	uv_loop_t uv;
	uv_prepare_t prepare; /* the end of a turn: the last thing before the loop waits */
	uv_check_t check;     /* right after the events of a turn */
	uv_idle_t idle;       /* runs while deferred calls wait, so that the loop neither sleeps nor ends */
	uv_timer_t beat;
	struct ph_wheel wheel;
	struct ph_list deferred; /* ph_defer_call() */
	struct ph_list late;     /* ph_loop_late(): after these */
	struct ph_grave *graves;
	size_t grave_count, grave_cap;
	struct ph_list names; /* resolve.c: look-ups, newest first */
	unsigned name_count;
	unsigned jobs;         /* on the thread pool */
	uint64_t woke_ns;      /* first callback of this turn, 0 before it */
	uint64_t slowest_ns;   /* longest turn since the last beat */
	char *read_buf;        /* PH_READ_SIZE; contents live for one callback */
	char *plain_buf;       /* PH_PLAIN_SIZE, made by the first TLS stream */
	struct ph_list blocks; /* spare blocks of queues */
	unsigned block_count;
	struct ph_list handshakes; /* accepted streams that have not agreed on TLS yet, oldest first */
	unsigned handshake_count, handshakes_max; /* one more, and the oldest is cut */
};

/* Every callback of libuv begins with this: the loop's turn is measured from the first of them. */
static inline void ph_loop_woke(struct ph_loop *loop)
{
	if (loop->woke_ns == 0)
		loop->woke_ns = uv_hrtime();
}

/* Like ph_defer_call(), after all of these: what streams write waits until everybody has pushed. */
void ph_loop_late(struct ph_loop *loop, struct ph_defer *d);

void ph_resolve_forget(struct ph_loop *loop); /* frees the cache; nothing is in flight any more */

/* ---- queues of bytes on their way out (queue.c) ---- */
#define PH_BLOCK_SIZE 16384

struct ph_chunk {
	struct ph_list node;
	const char *p; /* first byte that was not taken yet */
	size_t n;      /* bytes from there */
	size_t size;   /* own bytes behind this struct; 0 = borrowed */
	void (*release)(void *arg);
	void *arg;
	char own[];
};

struct ph_queue {
	struct ph_list chunks;
	size_t bytes;
};

void ph_queue_init(struct ph_queue *q);
void ph_queue_copy(struct ph_queue *q, struct ph_loop *loop, struct ph_str bytes);
void ph_queue_ref(struct ph_queue *q, struct ph_str bytes, void (*release)(void *arg), void *arg);
/* Drops n bytes from the front. Calls release() of what is done with, when the queue is consistent again. */
void ph_queue_drop(struct ph_queue *q, struct ph_loop *loop, size_t n);
void ph_queue_clear(struct ph_queue *q, struct ph_loop *loop);
/* The front of the queue as at most max buffers; *ret_bytes is their sum. */
unsigned ph_queue_gather(const struct ph_queue *q, uv_buf_t *bufs, unsigned max, size_t *ret_bytes);
struct ph_str ph_queue_front(const struct ph_queue *q);
void ph_queue_free_spares(struct ph_loop *loop);

/* ---- streams (stream.c) ---- */
/* Options of every TCP socket of ours; a listener's are inherited by what it accepts. */
void ph_socket_options(int fd);
/* A connected stream on fd, which it owns from here on; NULL (and fd closed) if libuv refuses it. tls NULL =
 * cleartext. */
struct ph_stream *ph_stream_accepted(
	struct ph_loop *loop, int fd, const struct ph_addr *peer, struct ph_tls *tls);

/* ---- TLS contexts (tls.c, tls_client.c, tls_server.c, tls_tickets.c) ---- */
struct ph_tls *ph_tls_ref(struct ph_tls *tls); /* one more owner; NULL is allowed. Returns tls */
/* Makes a new key if one is due at now_ms (ph_clock_boot_ms()); the one before the last is forgotten. */
void ph_tls_tickets_renew(struct ph_tls_tickets *t, uint64_t now_ms);

/* ---- one TLS connection (tls.c): knows no socket. Bytes come by feed, and go to the queue `wire` ---- */
struct ph_tls_conn;

/* What ph_tls_conn_read() returns besides a length. */
#define PH_TLS_MORE 0 /* everything that was fed is used up */
#define PH_TLS_END  (-PH_E_CLOSED)

/* NULL if host is neither a name nor an address that can be verified. */
struct ph_tls_conn *ph_tls_conn_connect(
	struct ph_tls *tls, struct ph_loop *loop, const char *host, uint16_t port, struct ph_queue *wire);
/* peer: its name in messages. */
struct ph_tls_conn *ph_tls_conn_accept(
	struct ph_tls *tls, struct ph_loop *loop, const char *peer, struct ph_queue *wire);
struct ph_tls_conn *ph_tls_conn_free(struct ph_tls_conn *c); /* returns NULL */
void ph_tls_conn_feed(
	struct ph_tls_conn *c, struct ph_str bytes);   /* valid until the next call of hold or feed */
void ph_tls_conn_hold(struct ph_tls_conn *c);          /* keeps a copy of what was not used up */
bool ph_tls_conn_pending(const struct ph_tls_conn *c); /* bytes are held, or the end was read already */
/* 1 done, 0 more bytes needed, or -PH_E_TLS. */
int ph_tls_conn_handshake(struct ph_tls_conn *c, struct ph_err *err);
long ph_tls_conn_read(struct ph_tls_conn *c, char *dst, size_t size); /* a length, PH_TLS_x or -PH_E_TLS */
long ph_tls_conn_write(
	struct ph_tls_conn *c, struct ph_str bytes); /* bytes taken, at least one, or -PH_E_TLS */
void ph_tls_conn_notify(struct ph_tls_conn *c);      /* close_notify, once, and not after a fault */
bool ph_tls_conn_ended(const struct ph_tls_conn *c); /* the peer's close_notify was read */
bool ph_tls_conn_resumed(const struct ph_tls_conn *c);

#endif
