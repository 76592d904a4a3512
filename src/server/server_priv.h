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
	size_t max_streams;       /* requests at a time; 0 = no limit */
	struct ph_list clients;   /* of struct ph_client */
	size_t client_count;
	size_t busy;
	bool draining;               /* answers close their connection */
	bool counted;                /* in the metrics of clients */
	void (*on_empty)(void *arg); /* the last client went; set while closing */
};

/*
 * A client's connection. The state says what its bytes are:
 *     IDLE    between requests, none of the next one's bytes seen
 *     HEAD    bytes of a head
 *     BUSY    a request is being served; bytes are its body, or wait behind it
 *     SKIP    the answer is written; bytes are the rest of its request's body, and are discarded
 *     LINGER  the last answer is written; bytes are discarded, so that the answer arrives
 *     CLOSED  waiting for the stream's last callback
 */
enum ph_client_state {
	CLIENT_IDLE,
	CLIENT_HEAD,
	CLIENT_BUSY,
	CLIENT_SKIP,
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
	struct ph_buf
		waiting; /* bytes that came before their time: pipelined requests, a body nobody wants yet */
	struct ph_str arrived; /* the rest of the read that is being fed, if nothing waits before it */
	struct ph_timer timer; /* of the state: head, body silence, answer's progress, idle, linger */
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
	bool silent; /* HEAD: no body is written */
	bool close;  /* the connection ends behind it */
	bool finished;
	int status;
};

/* client.c */
void ph_client_open(struct ph_door_keeper *k, struct ph_stream *s);
void ph_client_close(struct ph_client *c, bool abort);
void ph_client_later(struct ph_client *c);
void ph_keeper_init(struct ph_door_keeper *k);
void ph_keeper_close_idle(struct ph_door_keeper *k); /* those that wait for a next request */
void ph_keeper_close_all(struct ph_door_keeper *k);

/* answer.c */
extern const struct ph_exchange_ops ph_client_ops;

/* body.c */
bool ph_body_want(struct ph_client *c); /* ph_exchange_ops.read_body */
void ph_body_take(struct ph_client *c, struct ph_str bytes);
void ph_body_end(struct ph_client *c);
void ph_body_fail(struct ph_client *c, int code); /* told to the handler outside the parser */
void ph_body_forget(struct ph_client *c);

#endif
