/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_SERVER_PRIV_H
#define POSTHOUSE_SERVER_PRIV_H

#include "posthouse/gateway.h"
#include "posthouse/server.h"
#include "posthouse/sm.h"
#include "posthouse/zip.h"

/* What serves the requests of a set of connections: the gateway's, or the admin's. Owner: the node. */
struct ph_door_keeper {
	struct ph_loop *loop;
	void (*handle)(void *arg, struct ph_exchange *x);
	/* Bytes of a whole answer that closes the connection, for heads that could not be read. */
	void (*refusal)(void *arg, int code, const struct ph_err *err, struct ph_buf *out);
	/* An error in answer to a request whose head was read. */
	void (*refuse)(void *arg, struct ph_exchange *x, int code, const struct ph_err *err);
	void *arg;
	uint64_t max_body;
	uint64_t idle_timeout_ms; /* a client that takes nothing of its answer for so long is cut */
	uint64_t ping_ms;         /* a WebSocket's silence before a ping, and as long again for its answer */
	size_t max_streams;       /* requests at a time; 0 = no limit */
	struct ph_list clients;   /* of struct ph_client */
	size_t client_count;
	size_t busy;                 /* requests that are being served */
	size_t sockets;              /* WebSockets whose session was not told that they are gone */
	bool draining;               /* answers close their connection, sessions are told */
	bool counted;                /* in the metrics of clients */
	void (*on_empty)(void *arg); /* the last client went; set while closing */
};

/*
 * A client's connection. The state says what its bytes are:
 *     IDLE    between requests, none of the next one's bytes seen
 *     HEAD    bytes of a head
 *     BUSY    a request is being served; bytes are its body, or wait behind it
 *     SKIP    the answer is written; bytes are the rest of its request's body, and are discarded
 *     SOCKET  101 is written; bytes are frames of a WebSocket
 *     FAREWELL our close frame is written, or the session cut; of its frames only the client's close matters
 *     LINGER  the last answer is written; bytes are discarded, so that the answer arrives
 *     CLOSED  waiting for the stream's last callback
 */
enum ph_client_state {
	CLIENT_IDLE,
	CLIENT_HEAD,
	CLIENT_BUSY,
	CLIENT_SKIP,
	CLIENT_SOCKET,
	CLIENT_FAREWELL,
	CLIENT_LINGER,
	CLIENT_CLOSED,
	CLIENT_NR,
};

/* Owner: the door keeper's list, until on_closed. */
struct ph_client {
	struct ph_sm sm;
	struct ph_list node;
	struct ph_door_keeper *keeper;
	struct ph_stream *stream;
	struct ph_http *http;
	struct ph_buf waiting; /* bytes that came before their time: pipelined requests, a body nobody wants
				* yet, messages that the session does not read */
	struct ph_str arrived; /* the rest of the read that is being fed, if nothing waits before it */
	struct ph_timer timer; /* of the state: head, body silence, answer's progress, idle, pings, linger */
	struct ph_defer later; /* goes on with waiting bytes, outside every callback */
	struct ph_exchange x;
	uint64_t served;
	size_t discarded; /* LINGER */

	/* BUSY: the request's body */
	bool head_seen;   /* within one feed: a head is ready to be handled */
	bool body_wanted; /* the handler asked for it */
	bool body_done;
	int body_fault; /* negated */
	enum ph_encoding encoding;
	struct ph_unzip *unzip;

	/* BUSY: the answer */
	bool answering; /* its head is written */
	bool chunked;
	bool silent; /* nothing more is written: no body for HEAD, no frame behind a close frame */
	bool close;  /* the connection ends behind it */
	bool finished;
	int status;

	struct ph_socket *socket; /* SOCKET and FAREWELL */
};

/* client.c */
void ph_client_open(struct ph_door_keeper *k, struct ph_stream *s);
void ph_client_close(struct ph_client *c, bool abort);
void ph_client_later(struct ph_client *c);
void ph_client_move(struct ph_client *c, enum ph_client_state to);
void ph_client_linger(struct ph_client *c);
void ph_client_count(const struct ph_client *c);          /* a request that was answered */
bool ph_client_stuck(struct ph_client *c);                /* takes nothing of what is queued for it */
struct ph_str ph_client_bytes(const struct ph_client *c); /* what came and was not used */
void ph_client_used(struct ph_client *c, size_t n);
void ph_keeper_init(struct ph_door_keeper *k);
void ph_keeper_close_idle(struct ph_door_keeper *k); /* those that wait for a next request */
void ph_keeper_drain(struct ph_door_keeper *k);      /* the same, and tells the sessions of sockets */
void ph_keeper_close_all(struct ph_door_keeper *k);

/* answer.c */
extern const struct ph_exchange_ops ph_client_ops;

/* body.c */
bool ph_body_want(struct ph_client *c); /* ph_exchange_ops.read_body */
void ph_body_take(struct ph_client *c, struct ph_str bytes);
void ph_body_end(struct ph_client *c);
void ph_body_fail(struct ph_client *c, int code); /* told to the handler outside the parser */
void ph_body_forget(struct ph_client *c);

/* socket.c */
/* Behind the 101. */
void ph_socket_open(struct ph_client *c, const struct ph_socket_handler *handler, void *h);
void ph_socket_go_on(struct ph_client *c); /* outside every callback; may end the socket */
void ph_socket_heard(struct ph_client *c); /* bytes came */
void ph_socket_drained(struct ph_client *c);
void ph_socket_timer(struct ph_client *c);
void ph_socket_cut(struct ph_client *c);                       /* ph_exchange_ops.abort */
void ph_socket_read(void *end, bool on);                       /* ph_exchange_ops.read */
void ph_socket_close(void *end, int code, const char *reason); /* ph_exchange_ops.close */
void ph_socket_leave(struct ph_socket *s);                     /* on_gone */
struct ph_socket *ph_socket_free(struct ph_socket *s);         /* returns NULL */

/* ---- self.c: what the process uses of its machine, for the metrics ---- */
struct ph_self {
	struct ph_timer timer;
};
void ph_self_start(struct ph_self *s, struct ph_loop *loop);
void ph_self_stop(struct ph_self *s);

#endif
