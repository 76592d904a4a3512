/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WebSocket reader. wslay's frame layer reads the heads and takes the mask off; this file judges what a
 * head may say, joins fragments into messages, and checks their text. wslay's event layer is not used: its
 * check of UTF-8 alone takes nearly four times as long as all that is done here, and it allocates what a head
 * announces.
 *
 * wslay reads ahead, up to 4 KiB. So a pause may leave whole frames inside of it, and a connection is idle
 * only when it holds nothing either: `ahead` counts what it was given and has not handed out. An idle
 * connection has no frame context at all. A context has a buffer of those 4 KiB, which are cleared as it is
 * made; so one that becomes idle is kept for whoever reads next, and most readings make none.
 *
 * What wslay hands out lies in its buffer until it is called again. A message or control frame that comes in
 * one piece is passed on from there; any other is gathered first.
 */
#include "posthouse/ws.h"

#include <stdlib.h>
#include <wslay/wslay.h>

/* wslay's context. Between frames it knows nothing of whose it is. */
struct frames {
	wslay_frame_context_ptr context;
	struct ph_ws *reader;
};

static struct frames *spare; /* idle, or NULL */

struct ph_ws {
	enum ph_ws_side side;
	size_t max;
	const struct ph_ws_events *events;
	void *owner;
	struct frames *frames; /* NULL while idle */
	struct ph_str input;   /* of this feed, not yet taken by wslay */
	size_t ahead;
	uint64_t left;         /* payload of the open frame that is still to come */
	uint64_t size;         /* of the open message, its frames' heads believed */
	struct ph_buf text;    /* the open message, as far as it was gathered */
	struct ph_str message; /* while it is told */
	struct ph_buf control; /* the open control frame's payload */
	int fault;             /* a close code */
	bool in_frame;
	bool in_message; /* a data frame began, and the last one of its message has not ended */
	bool too_large;  /* the open message is discarded */
	bool paused, closed;
};

/* ---- wslay's side ---- */

static ssize_t give(uint8_t *buf, size_t n, int flags, void *arg)
{
	struct ph_ws *w = ((const struct frames *)arg)->reader;

	(void)flags;
	if (w->input.n == 0)
		return -1;
	if (n > w->input.n)
		n = w->input.n;
	memcpy(buf, w->input.p, n);
	w->input = ph_str_from(w->input, n);
	w->ahead += n;
	return (ssize_t)n;
}

static struct frames *frames_new(void)
{
	static const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
	struct frames *f = ph_alloc(sizeof(*f));

	if (wslay_frame_context_init(&f->context, &callbacks, f))
		ph_die("out of memory for a WebSocket's frames");
	return f;
}

static void frames_free(struct frames *f)
{
	wslay_frame_context_free(f->context);
	free(f);
}

static void open_frames(struct ph_ws *w)
{
	w->frames = spare ? spare : frames_new();
	w->frames->reader = w;
	spare = NULL;
}

/* clean: between two frames. */
static void close_frames(struct ph_ws *w, bool clean)
{
	if (clean && !spare)
		spare = w->frames;
	else if (w->frames)
		frames_free(w->frames);
	w->frames = NULL;
	w->ahead = 0;
}

/* A length is written in as few bytes as hold it: wslay refuses any other head. */
static size_t head_size(const struct wslay_frame_iocb *f)
{
	size_t length = f->payload_length > UINT16_MAX ? 8 : f->payload_length > 125 ? 2 : 0;

	return 2 + length + (f->mask ? 4 : 0);
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

/* ---- frames ---- */

/* What a head may say at this place: 0 or the close code. */
static int judge(const struct ph_ws *w, const struct wslay_frame_iocb *f)
{
	uint64_t limit = w->max > UINT64_MAX / 4 ? UINT64_MAX : (uint64_t)w->max * 4;

	if (f->rsv != WSLAY_RSV_NONE || (f->mask != 0) != (w->side == PH_WS_SERVER))
		return PH_WS_PROTOCOL;
	switch (f->opcode) {
	case WSLAY_CONNECTION_CLOSE:
	case WSLAY_PING:
	case WSLAY_PONG:
		return 0;
	case WSLAY_CONTINUATION_FRAME:
		if (!w->in_message)
			return PH_WS_PROTOCOL;
		break;
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		if (w->in_message)
			return PH_WS_PROTOCOL;
		if (f->opcode == WSLAY_BINARY_FRAME)
			return PH_WS_BINARY;
		break;
	default:
		return PH_WS_PROTOCOL;
	}
	return f->payload_length > limit - w->size ? PH_WS_TOO_LARGE : 0;
}

static int begin_frame(struct ph_ws *w, const struct wslay_frame_iocb *f)
{
	int fault = judge(w, f);

	if (fault)
		return fault;
	w->in_frame = true;
	w->left = f->payload_length;
	w->ahead -= head_size(f);
	if (wslay_is_ctrl_frame(f->opcode))
		return 0;
	w->in_message = true;
	w->size += f->payload_length;
	if (w->size > w->max && !w->too_large) {
		w->too_large = true;
		ph_buf_deinit(&w->text);
	}
	return 0;
}

static int end_control(struct ph_ws *w, uint8_t opcode, struct ph_str payload)
{
	if (opcode == WSLAY_CONNECTION_CLOSE)
		return end_close(w, payload);
	if (opcode == WSLAY_PING)
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
	else {
		w->message = message;
		w->events->on_text(w->owner, message);
	}
	return 0;
}

/* A piece of the open frame. What it completes is passed on: from where it lies, if this piece is all. */
static int take_payload(struct ph_ws *w, const struct wslay_frame_iocb *f)
{
	bool control = wslay_is_ctrl_frame(f->opcode);
	struct ph_buf *gathered = control ? &w->control : &w->text;
	struct ph_str payload = ph_str((const char *)f->data, f->data_length);
	bool whole;
	int fault;

	w->ahead -= payload.n;
	w->left -= payload.n;
	w->in_frame = w->left > 0;
	whole = !w->in_frame && (control || f->fin);
	if (!control && w->too_large) {
		payload = PH_STR_NONE;
	} else if (gathered->n > 0 || !whole) {
		if (!control) /* once for each feed: wslay gives pieces of its own size */
			ph_buf_room(gathered, payload.n + (w->left < w->input.n ? w->left : w->input.n));
		ph_buf_puts(gathered, payload); /* fits: wslay or begin_frame() has seen to it */
		payload = ph_buf_str(gathered);
	}
	if (!whole)
		return 0;
	fault = control ? end_control(w, f->opcode, payload) : end_message(w, payload);
	ph_buf_deinit(gathered);
	return fault;
}

static int read_frames(struct ph_ws *w)
{
	struct wslay_frame_iocb f;
	int fault = 0;

	while (fault == 0 && !w->paused && !w->closed) {
		ssize_t n = wslay_frame_recv(w->frames->context, &f);

		if (n == WSLAY_ERR_WANT_READ)
			break;
		if (n < 0)
			return PH_WS_PROTOCOL;
		if (!w->in_frame)
			fault = begin_frame(w, &f);
		if (fault == 0)
			fault = take_payload(w, &f);
	}
	return fault;
}

/* ---- the reader ---- */

long ph_ws_feed(struct ph_ws *w, struct ph_str bytes)
{
	size_t rest;

	if (w->fault || w->closed)
		return -w->fault;
	if (!w->frames && bytes.n == 0)
		return 0;
	if (!w->frames)
		open_frames(w);
	w->paused = false;
	w->input = bytes;
	w->fault = read_frames(w);
	rest = w->input.n;
	w->input = PH_STR_NONE;
	if (w->fault || w->closed) {
		ph_buf_deinit(&w->text);
		ph_buf_deinit(&w->control);
	}
	if (w->fault || w->closed)
		close_frames(w, false);
	else if (ph_ws_idle(w))
		close_frames(w, true);
	return w->fault ? -w->fault : (long)(bytes.n - rest);
}

void ph_ws_take_text(struct ph_ws *w, struct ph_buf *ret)
{
	if (w->text.n > 0) {
		*ret = w->text;
		ph_buf_init(&w->text, w->max);
		return;
	}
	ph_buf_init(ret, w->max);
	ph_buf_puts(ret, w->message);
}

void ph_ws_pause(struct ph_ws *w)
{
	w->paused = true;
}

bool ph_ws_idle(const struct ph_ws *w)
{
	return w->fault || w->closed || (w->ahead == 0 && !w->in_frame && !w->in_message);
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
	close_frames(w, false);
	ph_buf_deinit(&w->text);
	ph_buf_deinit(&w->control);
	free(w);
	return NULL;
}
