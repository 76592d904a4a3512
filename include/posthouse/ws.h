/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket (RFC 6455) for both ends: bytes in, messages out. wslay's frame layer reads the frames. Pure: no
 * uv, no log, no clock.
 *
 * Messages are text, and whole: fragments are joined, UTF-8 is checked over their joint. No extension is
 * negotiated, so a reserved bit is a fault. Faults of the peer have the close code that names them: 1002
 * (framing: masked wrongly, reserved bits or opcodes, control frames that are fragmented or above 125 bytes,
 * a close frame of one byte or with a code that may not be sent), 1003 (a binary message), 1007 (no UTF-8),
 * 1009 (a message of more than four times the maximum). A message above the maximum, but not four times, is
 * discarded as it comes, and the connection goes on.
 */
#ifndef POSTHOUSE_WS_H
#define POSTHOUSE_WS_H

#include "posthouse/buf.h"

enum ph_ws_side {
	PH_WS_SERVER, /* we are: frames come masked and go plain */
	PH_WS_CLIENT, /* the other way round */
};

enum {
	PH_WS_NORMAL = 1000,
	PH_WS_GOING_AWAY = 1001,
	PH_WS_PROTOCOL = 1002,
	PH_WS_BINARY = 1003,
	PH_WS_NO_CODE = 1005, /* never sent: a close frame without a code */
	PH_WS_BAD_TEXT = 1007,
	PH_WS_POLICY = 1008,
	PH_WS_TOO_LARGE = 1009,
	PH_WS_INTERNAL = 1011,
	PH_WS_RESTART = 1012,
	PH_WS_OVERLOAD = 1013,
};

#define PH_WS_CONTROL_MAX 125

struct ph_ws;

/* Slices are valid during the call. A callback may pause, but not free. */
struct ph_ws_events {
	void (*on_text)(void *owner, struct ph_str message);
	void (*on_too_large)(void *owner); /* once, when its last byte has been discarded */
	void (*on_ping)(void *owner, struct ph_str payload);
	void (*on_pong)(void *owner, struct ph_str payload);
	void (*on_close)(void *owner, int code, struct ph_str reason); /* nothing is read behind it */
};

/* max: bytes of one message. Memory follows what was really sent, never what a head announces. */
struct ph_ws *ph_ws_new(enum ph_ws_side side, size_t max, const struct ph_ws_events *events, void *owner);
struct ph_ws *ph_ws_free(struct ph_ws *w); /* returns NULL */

/*
 * Returns the number of bytes consumed: less than bytes.n only after ph_ws_pause() or on_close; feed the
 * rest, if need be nothing, to go on: up to 4 KiB behind a pause may have been read ahead and count as
 * consumed. Negative: the negated close code; nothing more may be fed. A frame is judged when its head and
 * one byte of its payload are here.
 */
long ph_ws_feed(struct ph_ws *w, struct ph_str bytes) PH_WARN_UNUSED;
/* From inside a callback: feed returns behind this message or control frame. */
void ph_ws_pause(struct ph_ws *w);
/* Once, from inside on_text: the message is the caller's from now on; uncopied where it had to be gathered.
 */
void ph_ws_take_text(struct ph_ws *w, struct ph_buf *ret);
bool ph_ws_idle(const struct ph_ws *w); /* no byte of a frame or of a message is held */

/* Writers of whole frames. A client's are masked with fresh random keys. Control payloads above
 * PH_WS_CONTROL_MAX are cut (a close frame's reason between characters). */
void ph_ws_put_text(struct ph_buf *out, enum ph_ws_side side, struct ph_str text);
/* A server's frame but for its n bytes of text, which the caller puts behind this. */
void ph_ws_put_text_head(struct ph_buf *out, size_t n);
void ph_ws_put_ping(struct ph_buf *out, enum ph_ws_side side, struct ph_str payload);
void ph_ws_put_pong(struct ph_buf *out, enum ph_ws_side side, struct ph_str payload);
void ph_ws_put_close(struct ph_buf *out, enum ph_ws_side side, int code, struct ph_str reason);

/* ---- handshake ---- */
#define PH_WS_KEY_SIZE    25 /* with its NUL */
#define PH_WS_ACCEPT_SIZE 29
void ph_ws_key_make(char ret[PH_WS_KEY_SIZE]); /* for Sec-WebSocket-Key */
bool ph_ws_key_valid(struct ph_str key);       /* base64 of 16 bytes */
void ph_ws_accept(struct ph_str key, char ret[PH_WS_ACCEPT_SIZE]);

#endif
