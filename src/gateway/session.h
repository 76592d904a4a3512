/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's WebSocket: its frames become turns, in order within a lane and side by side across lanes.
 * session.c has the connection and the lanes, session_turn.c the client's end of one turn.
 */
#ifndef POSTHOUSE_GATEWAY_SESSION_H
#define POSTHOUSE_GATEWAY_SESSION_H

#include "request_priv.h"

/* Owner: itself, from the upgrade request until the connection is gone. */
struct ph_session {
	struct ph_list node; /* in ph_gateway.sessions */
	struct ph_gateway *g;
	struct ph_exchange *x; /* the handshake's; its head and end serve every turn */
	struct ph_door door;
	struct ph_list lanes; /* of struct ph_session_lane; the last to begin a turn stands last */
	size_t named;         /* of them that have a name */
	size_t running;       /* turns */
	size_t waiting_bytes; /* of frames whose turn has not begun */
	bool paused;          /* reading stopped: too much waits */
	bool draining;
	struct ph_defer next; /* begins what may begin, outside every callback */
};

struct ph_session_turn;

/* Owner: the session. */
struct ph_session_lane {
	struct ph_list node;
	struct ph_session *s;
	struct ph_str name; /* as JSON with quotes; empty: the default lane */
	struct ph_lane *lane;
	struct ph_list frames;        /* that wait, oldest first */
	struct ph_session_turn *turn; /* that runs; or NULL */
};

/* ---- session_turn.c ---- */

/* The client's end of one turn. Owner: the session. */
struct ph_session_turn {
	struct ph_exchange x;
	struct ph_session *s;
	struct ph_session_lane *lane; /* NULL: an answer of ours to a frame that is no turn */
	struct ph_turn_body body;     /* until the turn takes it */
	int status;                   /* of an error that is being answered; 0 = none */
	struct ph_buf
		told; /* of the headers that HTTP would have had, those that clients wait by; JSON members */
	struct ph_buf error; /* its body */
};
/* body is taken over. successor: upstream began it by itself. The turn may be over when this returns. */
void ph_session_turn_start(struct ph_session_lane *lane, struct ph_turn_body *body, bool successor);
void ph_session_turn_gone(struct ph_session_turn *t); /* the client left */
/* An error about a frame that is no turn. stream_id: as JSON, or empty. */
void ph_session_refuse(struct ph_session *s, struct ph_str stream_id, int code, const struct ph_err *err);

/* ---- session.c ---- */
void ph_session_turn_over(struct ph_session_lane *lane);

#endif
