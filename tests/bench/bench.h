/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load clients of the benchmark: one program, one mode for each thing that wrk cannot do. But for the
 * frames of WebSockets it shares no code with the gateway, so that neither can hide the other's fault, and it
 * checks what it reads: a figure of answers that were wrong is worth nothing.
 *
 * One thread, one epoll, plain sockets. A mode is a table of functions; net.c calls them.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECOND UINT64_C(1000000000)
#define MS     UINT64_C(1000000)

/* ---- hist.c: latencies in nanoseconds, exact to 1 % ---- */

#define HIST_BUCKETS (64 * 128)

struct hist {
	uint64_t count, max, sum;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);
uint64_t hist_at(const struct hist *h, double share); /* the value below which that share lies */
/* "name":{"count":..,"mean":..,"p50":..,"p90":..,"p99":..,"p999":..,"max":..} in microseconds */
void hist_print(const char *name, const struct hist *h);

/* ---- answer.c: HTTP answers as they come ---- */

#define HEAD_MAX 8192

enum answer_state {
	ANSWER_HEAD,
	ANSWER_BODY,
	ANSWER_CHUNK,
	ANSWER_DATA,
	ANSWER_DATA_END,
	ANSWER_TRAILER,
	ANSWER_DONE
};

struct answer {
	enum answer_state state;
	int status;
	bool closes;    /* the server has no more to say on this connection */
	uint64_t left;  /* of the body, or of the chunk */
	uint64_t bytes; /* of the body so far */
	size_t head_n;
	char head[HEAD_MAX]; /* the head; later the line of a chunk's size */
};

typedef void (*answer_body)(void *arg, const char *p, size_t n);

void answer_reset(struct answer *a);
/* Takes bytes; 0: more are needed, 1: the answer is whole, -1: this is no answer (or something follows it).
 */
int answer_feed(struct answer *a, const char *p, size_t n, answer_body body, void *arg);
/* A head alone, of an answer to an upgrade: how many bytes it took, or -1. ANSWER_DONE: it is whole. */
ssize_t answer_head(struct answer *a, const char *p, size_t n);

/* ---- events.c: a stream of events, believed only when every number follows ---- */

struct events {
	uint64_t count; /* events with data, [DONE] not counted */
	uint64_t deltas;
	uint64_t next;   /* the sequence number that must come */
	uint64_t broken; /* numbers that did not follow, events without one, data behind the end */
	bool terminal, done;
	bool failed;   /* an event said so, and is the last one */
	bool messages; /* each piece that comes is one event's JSON; there is no [DONE] */
	char *part;    /* of an event whose blank line has not come */
	size_t part_n, part_max;
};

void events_reset(struct events *e);
/* now_ns is when the bytes were read; delays of stamped deltas go to h. */
void events_feed(struct events *e, const char *p, size_t n, uint64_t now_ns, struct hist *h);
void events_free(struct events *e);

/* ---- net.c: connections ---- */

struct bench;

struct conn {
	struct bench *bench;
	size_t index;
	int fd;
	bool open, busy, wants_out;
	const char *out; /* what is still to be sent; owned by the mode */
	size_t out_n;
	uint64_t from_ns; /* when the request was due; before that: when the connection was begun */
	uint64_t first_ns;
	struct ssl_st *tls; /* NULL: cleartext */
	struct ph_ws *ws;   /* NULL: HTTP, or not upgraded yet */
	struct answer answer;
	struct events events;
	void *own; /* the mode's */
};

struct mode {
	const char *name;
	void (*start)(struct bench *b);
	void (*on_open)(struct conn *c); /* also: it is a WebSocket now */
	void (*on_body)(void *conn, const char *p, size_t n);
	void (*on_answer)(struct conn *c); /* whole, and the connection is free */
	void (*on_end)(struct conn *c);    /* the server closed it where no answer was due; may be NULL */
	uint64_t (*tick)(
		struct bench *b); /* after each round of the loop; when to be called again, 0: no matter */
	void (*on_line)(struct bench *b, const char *line); /* of standard input; NULL: it ended */
	void (*report)(struct bench *b);
	bool by_tick; /* reads only when the mode asks for it */
};

extern const struct mode mode_turns, mode_streams, mode_hold, mode_slow, mode_chains, mode_shakes;

struct options {
	const char *host, *path, *key, *extra, *ca;
	uint16_t port;
	char *request; /* head and body, or a frame, ready to be sent; NULL: none */
	size_t request_n;
	char *upgrade; /* the head that makes a connection a WebSocket, or NULL */
	size_t upgrade_n;
	uint64_t connections, repeat, depth, step, bytes, rate, events, resume;
	double seconds;
	int status;
};

struct bench {
	const struct mode *mode;
	struct options o;
	int epoll;
	struct conn *conns;
	size_t conn_count;  /* made so far */
	size_t conn_target; /* wanted */
	size_t conn_max;
	uint64_t opened_ns; /* when the last lot was opened */
	uint64_t now, started, ends;
	bool stop;
	uint64_t sent, answered, wrong, lost; /* lost: connections that ended in the middle of an answer */
	struct hist latency, first;
};

/* ---- tls.c: the same over TLS 1.3, where --ca is given ---- */

void tls_start(const char *ca);
void tls_end(void);
bool tls_has_session(void);    /* a ticket came, which --resume resumes */
void tls_open(struct conn *c); /* behind connect() */
int tls_shake(struct conn *c); /* 1: done, 0: go on when it is ready again, -1: failed */
bool tls_resumed(const struct conn *c);
void tls_goodbye(struct conn *c);                    /* nothing more will be sent */
ssize_t tls_recv(struct conn *c, char *p, size_t n); /* as of a socket; errno is EAGAIN or EPROTO */
ssize_t tls_send(struct conn *c, const char *p, size_t n);
void tls_close(struct conn *c);

/* ---- socket.c: the same on WebSockets, where --upgrade is given. An answer ends with its last event. ----
 */

void socket_start(struct options *o);                      /* makes a frame of the request */
void socket_open(struct conn *c);                          /* behind connect() */
bool socket_feed(struct conn *c, const char *p, size_t n); /* false: it has ended, or what came is wrong */
void socket_free(struct conn *c);

/* ---- the frame of all modes ---- */

uint64_t bench_clock(void);
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void bench_run(struct bench *b);
void conn_send(struct conn *c, const char *p, size_t n, uint64_t due_ns);
void conn_write(struct conn *c, const char *p, size_t n); /* no request: nothing is counted or awaited */
void conn_fail(struct conn *c);                           /* closes it; what it owed is lost */
/* Reads at most max bytes, 0: all there is. */
void conn_read(struct conn *c, size_t max);
void conn_close(struct conn *c);
void conn_renew(struct conn *c); /* closes it and opens another in its place; then on_open */
/* {"sent":..,"answered":..,.. with latencies, and no closing brace */
void bench_print(const struct bench *b);

#endif
