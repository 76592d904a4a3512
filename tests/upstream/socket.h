/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket: the turns of POST /responses in frames. What its files share:
 *
 *     upgrade.c  the handshake, and what a script does instead of it
 *     socket.c   one connection: frames in, frames out, how it ends
 *     lane.c     what the frames mean: creates in their order, lanes, what a socket remembers
 *     steer.c    response.steer
 *     frames.c   a turn's answer as text frames, and errors in all their shapes
 *
 * A lane's exchange is like one of HTTP: its answer is made in whole, and play.c knows time. Where several
 * lanes answer at once, one of them has the socket's voice until its message has left.
 */
#ifndef FAKE_SOCKET_H
#define FAKE_SOCKET_H

#include "fake.h"

#define FAKE_MESSAGE_MAX   ((size_t)16 << 20)
#define FAKE_WAITING_MAX   ((size_t)64 << 20) /* bytes of creates that wait for their turn */
#define FAKE_LANES_MAX     32                 /* with a name */
#define FAKE_FLIGHT_MAX    16                 /* turns over all lanes */
#define FAKE_STREAM_ID_MAX 256
#define FAKE_REASON_MAX    123

struct wslay_event_context;

/* Owner: its socket, from its first create to the socket's end. */
struct fake_lane {
	struct ph_list node;
	struct fake_socket *socket;
	char id[FAKE_STREAM_ID_MAX + 1]; /* "" = the default one */
	struct fake_exchange *x;         /* in flight, or NULL */
	struct fake_stored *last;        /* the most recent response, or NULL */
};

/* Owner: its connection. */
struct fake_socket {
	struct fake_conn *conn;
	struct fake_account *account;
	struct wslay_event_context *ws;
	struct ph_str in; /* bytes that wslay has not taken yet */
	struct ph_list lanes;
	struct ph_list waiting; /* creates, oldest first */
	size_t waiting_bytes, named, running;
	uint64_t turns;
	const struct fake_exchange *voice; /* whose message is on its way */
	struct ph_buf held;                /* what must wait for its end */
	struct ph_defer wake;              /* lanes that wait for it */
	uint8_t frame[2];                  /* how the payload of the frame that comes begins */
	size_t frame_n;
	unsigned opcode; /* its */
	bool pumping;
	bool deaf;    /* answers no control frame */
	bool closing; /* nothing more is said or understood */
};

/* ---- socket.c ---- */

struct fake_socket *fake_socket_new(struct fake_conn *c, struct fake_account *a);
void fake_socket_free(void *socket);
void fake_socket_data(struct fake_socket *s, struct ph_str bytes);
void fake_socket_drained(struct fake_socket *s);
/* One text message besides the turns'. */
void fake_socket_say(struct fake_socket *s, struct ph_str text);
void fake_socket_ping(struct fake_socket *s);
/* A close frame, then the end; code 0: a frame without one. */
void fake_socket_close(struct fake_socket *s, uint16_t code, struct ph_str reason);
/* FIN, or RST, without a close frame. */
void fake_socket_cut(struct fake_socket *s, bool abort);
/* Nothing runs on it from now on. cancelled: the peer's doing. */
void fake_socket_stop(struct fake_socket *s, bool cancelled);
/* The peer closed it with that code: 1005 if it said none, 1006 without a close frame. */
void fake_socket_left(struct fake_socket *s, uint16_t code);
/* Whether the exchange may send now; if not, it is called again. */
bool fake_voice_take(struct fake_exchange *x);
void fake_voice_give(struct fake_exchange *x); /* its message is over */

/* ---- lane.c ---- */

void fake_lane_message(struct fake_socket *s, struct ph_str text);
void fake_lanes_pump(struct fake_socket *s);
/* Ends all turns and forgets the creates that wait. */
void fake_lanes_stop(struct fake_socket *s, bool cancelled);
void fake_lanes_free(struct fake_socket *s);
/* The turn was played to the end. */
void fake_lane_played(struct fake_exchange *x, enum fake_ending ending);
/* Its exchange ends: what it leaves in the socket's memory. */
void fake_lane_settle(struct fake_exchange *x, bool cancelled);
const struct fake_stored *fake_lane_recall(const struct fake_lane *l, struct ph_str id);
/* An error frame outside any turn. stream_id "" = none. */
void fake_lane_refuse(struct fake_socket *s, const char *stream_id, const char *code, const char *param,
	const char *message);

/* ---- steer.c ---- */

enum {
	FAKE_FRAME_TYPE,
	FAKE_FRAME_LANE,
	FAKE_FRAME_PREVIOUS,
	FAKE_FRAME_INPUT,
	FAKE_FRAME_NR
};
void fake_steer_message(struct fake_socket *s, const struct ph_json_member m[FAKE_FRAME_NR]);

/* ---- frames.c ---- */

void fake_frame_head(struct ph_buf *b, unsigned opcode, bool fin, uint64_t n);
void fake_close_frame(struct ph_buf *b, uint16_t code, struct ph_str reason);
/* JSON as a line of the payload, with the lane's stream_id. */
void fake_frame_put(struct fake_exchange *x, struct ph_str json);
/* Pretty-printed JSON: a line, with prefix before it, for each member and element. */
void fake_put_pretty(struct ph_buf *b, struct ph_str json, struct ph_str nl, struct ph_str prefix);
/* A payload {"error":..} becomes an error frame in the script's shape, once; the turn is refused. */
void fake_frame_wrap(struct fake_exchange *x, int status);
/* The steps from `from` on, whose payload is ready, in the wire: each is a message. */
void fake_frames_put(struct fake_exchange *x, size_t from);
/* What the Codex backend tells in frames besides the answer: JSON, or false. */
bool fake_telemetry_put(struct fake_exchange *x, struct ph_buf *b, size_t index, struct ph_str *ret_type);

#endif
