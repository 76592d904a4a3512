/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WebSocket reader: heads are parsed and judged, the mask comes off while the payload is gathered, in the
 * same pass, fragments are joined into messages, and their text is checked. By hand: of libraries wslay has
 * the smallest reader, and that one copies all bytes once more and takes the mask off byte by byte, at 2
 * GB/s.
 *
 * Nothing is read ahead: what was consumed has been told, or is of the open frame or message. An idle
 * connection holds no buffer.
 *
 * What comes without a mask, and whole in one read, is passed on from where it lies.
 */
#include "posthouse/ws.h"

#include "codec_priv.h"

#include <endian.h>
#include <stdlib.h>

#define HEAD_MIN 2
#define HEAD_MAX 14

/* Of a head's first two bytes, besides PH_WS_FIN and PH_WS_MASKED. */
#define RSV    0x70
#define OPCODE 0x0f
#define LENGTH 0x7f

struct ph_ws {
	enum ph_ws_side side;
	size_t max;
	const struct ph_ws_events *events;
	void *owner;
	struct ph_str input;    /* of this feed, not yet taken */
	uint8_t head[HEAD_MAX]; /* of the frame that comes next, as far as it is here */
	uint8_t head_n;
	uint8_t opcode;               /* of the open frame */
	uint8_t key[PH_WS_MASK_SIZE]; /* of its mask, as its next byte needs it */
	bool fin;                     /* it is the last of its message */
	bool in_frame;
	bool in_message; /* a data frame began, and the last one of its message has not ended */
	bool too_large;  /* the open message is discarded */
	bool paused, closed;
	uint64_t left;         /* payload of the open frame that is still to come */
	uint64_t size;         /* of the open message, its frames' heads believed */
	struct ph_buf text;    /* the open message */
	struct ph_buf control; /* the open control frame's payload */
	int fault;             /* a close code */
};

static bool is_control(uint8_t opcode)
{
	return opcode & 0x8;
}

/* ---- heads ---- */

/* How long the head is, as far as its first bytes tell. */
static size_t head_size(const struct ph_ws *w)
{
	uint8_t length = w->head[1] & LENGTH;

	if (w->head_n < HEAD_MIN)
		return HEAD_MIN;
	return HEAD_MIN +
	       (length == 127          ? 8u
		       : length == 126 ? 2u
				       : 0u) +
	       (w->head[1] & PH_WS_MASKED ? PH_WS_MASK_SIZE : 0u);
}

/* False: there is more of it to come. */
static bool take_head(struct ph_ws *w)
{
	while (w->head_n < head_size(w)) {
		size_t n = head_size(w) - w->head_n;

		if (w->input.n == 0)
			return false;
		if (n > w->input.n)
			n = w->input.n;
		memcpy(w->head + w->head_n, w->input.p, n);
		w->head_n = (uint8_t)(w->head_n + n);
		w->input = ph_str_from(w->input, n);
	}
	return true;
}

/* The payload's length. False: not written in as few bytes as hold it, or negative. */
static bool read_length(const struct ph_ws *w, uint64_t *ret)
{
	uint16_t n16;
	uint64_t n64;

	*ret = w->head[1] & LENGTH;
	if (*ret == 126) {
		memcpy(&n16, w->head + HEAD_MIN, sizeof(n16));
		*ret = be16toh(n16);
		return *ret > 125;
	}
	if (*ret == 127) {
		memcpy(&n64, w->head + HEAD_MIN, sizeof(n64));
		*ret = be64toh(n64);
		return *ret > UINT16_MAX && *ret <= INT64_MAX;
	}
	return true;
}

/* What a frame's opcode may be at this place: 0 or the close code. */
static int judge_opcode(const struct ph_ws *w)
{
	switch (w->head[0] & OPCODE) {
	case PH_WS_OP_CLOSE:
	case PH_WS_OP_PING:
	case PH_WS_OP_PONG:
		return w->head[0] & PH_WS_FIN ? 0 : PH_WS_PROTOCOL;
	case PH_WS_OP_MORE:
		return w->in_message ? 0 : PH_WS_PROTOCOL;
	case PH_WS_OP_TEXT:
		return w->in_message ? PH_WS_PROTOCOL : 0;
	case PH_WS_OP_BINARY:
		return w->in_message ? PH_WS_PROTOCOL : PH_WS_BINARY;
	default:
		return PH_WS_PROTOCOL;
	}
}

static int judge(const struct ph_ws *w, uint64_t length)
{
	uint64_t limit = w->max > UINT64_MAX / 4 ? UINT64_MAX : (uint64_t)w->max * 4;
	int fault;

	if (w->head[0] & RSV || ((w->head[1] & PH_WS_MASKED) != 0) != (w->side == PH_WS_SERVER))
		return PH_WS_PROTOCOL;
	fault = judge_opcode(w);
	if (fault)
		return fault;
	if (is_control(w->head[0]))
		return length > PH_WS_CONTROL_MAX ? PH_WS_PROTOCOL : 0;
	return length > limit - w->size ? PH_WS_TOO_LARGE : 0;
}

/* The head is here. 0 or the close code. */
static int begin_frame(struct ph_ws *w)
{
	uint64_t length;
	int fault = read_length(w, &length) ? judge(w, length) : PH_WS_PROTOCOL;

	if (fault)
		return fault;
	w->opcode = w->head[0] & OPCODE;
	w->fin = w->head[0] & PH_WS_FIN;
	if (w->head[1] & PH_WS_MASKED)
		memcpy(w->key, w->head + w->head_n - PH_WS_MASK_SIZE, PH_WS_MASK_SIZE);
	w->head_n = 0;
	w->in_frame = true;
	w->left = length;
	if (is_control(w->opcode))
		return 0;
	w->in_message = true;
	w->size += length;
	if (w->size > w->max && !w->too_large) {
		w->too_large = true;
		ph_buf_deinit(&w->text);
	}
	return 0;
}

/* ---- the peer's close frame ---- */

static bool code_may_be_sent(int code)
{
	if (code >= 3000)
		return code < 5000;
	return code >= 1000 && code <= 1014 && code != 1004 && code != PH_WS_NO_CODE && code != 1006;
}

static int end_close(struct ph_ws *w, struct ph_str payload)
{
	struct ph_str reason = ph_str_from(payload, 2);
	int code = PH_WS_NO_CODE;

	if (payload.n > 0) {
		if (payload.n < 2)
			return PH_WS_PROTOCOL;
		code = (uint8_t)payload.p[0] << 8 | (uint8_t)payload.p[1];
		if (!code_may_be_sent(code))
			return PH_WS_PROTOCOL;
		if (!ph_utf8_valid(reason))
			return PH_WS_BAD_TEXT;
	}
	w->closed = true;
	w->events->on_close(w->owner, code, reason);
	return 0;
}

/* ---- payloads ---- */

static int end_control(struct ph_ws *w, struct ph_str payload)
{
	if (w->opcode == PH_WS_OP_CLOSE)
		return end_close(w, payload);
	if (w->opcode == PH_WS_OP_PING)
		w->events->on_ping(w->owner, payload);
	else
		w->events->on_pong(w->owner, payload);
	return 0;
}

static int end_message(struct ph_ws *w, struct ph_str message)
{
	bool too_large = w->too_large;

	w->in_message = w->too_large = false;
	w->size = 0;
	if (too_large)
		w->events->on_too_large(w->owner);
	else if (!ph_utf8_valid(message))
		return PH_WS_BAD_TEXT;
	else
		w->events->on_text(w->owner, message);
	return 0;
}

/* Of the open frame, what is here. */
static struct ph_str take_piece(struct ph_ws *w)
{
	struct ph_str piece = w->input;

	if (piece.n > w->left)
		piece.n = (size_t)w->left;
	w->input = ph_str_from(w->input, piece.n);
	w->left -= piece.n;
	w->in_frame = w->left > 0;
	return piece;
}

/* The key as it stands n bytes further on. */
static void turn_key(struct ph_ws *w, size_t n)
{
	uint8_t key[PH_WS_MASK_SIZE];

	for (size_t i = 0; i < PH_WS_MASK_SIZE; i++)
		key[i] = w->key[(i + n) % PH_WS_MASK_SIZE];
	memcpy(w->key, key, sizeof(key));
}

/* Appends a piece, without its mask. It fits: begin_frame() has seen to it. */
static void gather(struct ph_ws *w, struct ph_buf *gathered, struct ph_str piece)
{
	char *room;

	if (piece.n == 0)
		return;
	room = ph_buf_room(gathered, piece.n);
	if (w->side == PH_WS_CLIENT) {
		memcpy(room, piece.p, piece.n);
	} else {
		ph_ws_mask(room, piece, w->key);
		turn_key(w, piece.n % PH_WS_MASK_SIZE);
	}
	ph_buf_wrote(gathered, piece.n);
}

/* What the open frame completes is passed on: from where it lies, if it can be. */
static int take_payload(struct ph_ws *w)
{
	struct ph_str piece = take_piece(w);
	bool control = is_control(w->opcode), whole = !w->in_frame && (control || w->fin);
	bool lies = whole && w->side == PH_WS_CLIENT && (control ? w->control.n : w->text.n) == 0;
	struct ph_buf *gathered = control ? &w->control : &w->text;
	int fault;

	if (!lies && (control || !w->too_large))
		gather(w, gathered, piece);
	if (!whole)
		return 0;
	if (!lies)
		piece = ph_buf_str(gathered);
	fault = control ? end_control(w, piece) : end_message(w, piece);
	ph_buf_deinit(gathered);
	return fault;
}

static int read_frames(struct ph_ws *w)
{
	int fault = 0;

	while (fault == 0 && !w->paused && !w->closed) {
		if (!w->in_frame) {
			if (!take_head(w))
				break;
			fault = begin_frame(w);
		} else if (w->input.n == 0) {
			break;
		}
		if (fault == 0)
			fault = take_payload(w);
	}
	return fault;
}

/* ---- the reader ---- */

long ph_ws_feed(struct ph_ws *w, struct ph_str bytes)
{
	size_t rest;

	if (w->fault || w->closed)
		return -w->fault;
	w->paused = false;
	w->input = bytes;
	w->fault = read_frames(w);
	rest = w->input.n;
	w->input = PH_STR_NONE;
	if (w->fault || w->closed) {
		ph_buf_deinit(&w->text);
		ph_buf_deinit(&w->control);
	}
	return w->fault ? -w->fault : (long)(bytes.n - rest);
}

void ph_ws_take_text(struct ph_ws *w, struct ph_buf *ret)
{
	*ret = w->text;
	ph_buf_init(&w->text, w->max);
}

void ph_ws_pause(struct ph_ws *w)
{
	w->paused = true;
}

bool ph_ws_idle(const struct ph_ws *w)
{
	return w->fault || w->closed || (w->head_n == 0 && !w->in_frame && !w->in_message);
}

struct ph_ws *ph_ws_new(enum ph_ws_side side, size_t max, const struct ph_ws_events *events, void *owner)
{
	struct ph_ws *w = ph_alloc(sizeof(*w));

	w->side = side;
	w->max = max;
	w->events = events;
	w->owner = owner;
	ph_buf_init(&w->text, max);
	ph_buf_init(&w->control, PH_WS_CONTROL_MAX);
	return w;
}

struct ph_ws *ph_ws_free(struct ph_ws *w)
{
	if (!w)
		return NULL;
	ph_buf_deinit(&w->text);
	ph_buf_deinit(&w->control);
	free(w);
	return NULL;
}
