/* SPDX-License-Identifier: Apache-2.0 */
/* What the three files about streams know of each other. */
#ifndef POSTHOUSE_STREAM_PRIV_H
#define POSTHOUSE_STREAM_PRIV_H

#include "posthouse/sm.h"

#include "loop_priv.h"

#define PH_WIRE_MAX ((size_t)128 * 1024) /* encrypted ahead of the kernel */

enum stream_state {
	STREAM_CONNECT,
	STREAM_HANDSHAKE,
	STREAM_OPEN,
	STREAM_FAILED, /* on_connect or on_end has told so */
	STREAM_CLOSING,
	STREAM_NR,
};

enum read_half {
	READ_OFF,
	READ_ON,
	READ_ENDED, /* on_end was called */
};

enum write_half {
	WRITE_OPEN,
	WRITE_ENDING, /* FIN after what is queued */
	WRITE_ENDED,
	WRITE_FAILED, /* what is pushed is dropped */
};

/* Owner: whoever connected or accepted it, until ph_stream_close(); then the graveyard. */
struct ph_stream {
	uv_tcp_t tcp;
	struct ph_loop *loop;
	const struct ph_stream_events *on;
	void *owner;
	struct ph_sm sm;
	enum read_half rd;
	enum write_half wr;
	struct ph_defer flush;
	struct ph_queue queue; /* what the owner pushed */
	struct ph_queue wire;  /* TLS: the same, encrypted */
	size_t in_flight;      /* bytes at the front of the kernel's queue that libuv holds */
	size_t in_libuv;       /* how many of them the kernel had not taken when we last looked */
	uint64_t progress_ms;
	struct ph_tls_conn *tls;
	struct ph_list shaking; /* accepted, HANDSHAKE: in loop->handshakes */
	bool accepted;          /* and not connected by us: there is no on_connect to tell */
	int fault;              /* of a connect that failed before it began */
	int sys;                /* libuv's code of that, or of the write that failed */
	bool blocked;           /* push said stop; on_drain is owed */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
};

static inline uv_stream_t *ph_stream_handle(struct ph_stream *s)
{
	return (uv_stream_t *)&s->tcp;
}

static inline int ph_stream_fd(const struct ph_stream *s)
{
	uv_os_fd_t fd = -1;

	return uv_fileno((const uv_handle_t *)&s->tcp, &fd) < 0 ? -1 : fd;
}

/* ---- stream.c ---- */
/* The end of a stream that was never open: tells the owner, who closes it. */
void ph_stream_never_open(struct ph_stream *s, int status, const struct ph_err *err);
/* The same for one that could not connect: status, and libuv's code or 0. */
void ph_stream_refuse_connect(struct ph_stream *s, int status, int sys);
/* The peer's end (0), or a fault, of one that is. After an end that is clean we may still write. */
void ph_stream_end(struct ph_stream *s, int status);
void ph_stream_opened(struct ph_stream *s); /* bytes can flow: connected, or the handshake is done */
/* A client's handshake: its fault, for the log and the metric. */
void ph_stream_handshake_failed(const struct ph_err *err);
void ph_stream_drop_queues(struct ph_stream *s);

/* ---- stream_read.c ---- */
void ph_stream_update_reading(struct ph_stream *s); /* the one place that turns libuv's reading on and off */
void ph_stream_take(struct ph_stream *s, struct ph_str bytes);
void ph_stream_take_end(struct ph_stream *s, int sys); /* the read side is over: UV_EOF or an error */
/* Decrypts what was fed, and hands it over in one piece. */
void ph_stream_read_records(struct ph_stream *s);
void ph_stream_shake_hands(struct ph_stream *s);

/* ---- stream_write.c ---- */
void ph_stream_flush(void *arg); /* all that a stream has to do at the end of a turn */
void ph_stream_flush_later(struct ph_stream *s);
/* What TLS wants to say before the end: an alert, or close_notify. Best effort, never after half a record. */
void ph_stream_last_words(struct ph_stream *s);

#endif
