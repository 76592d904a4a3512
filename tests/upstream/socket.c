/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WebSocket: bytes in, messages out, and how it ends. wslay judges what comes: frames without mask,
 * reserved bits, long control frames, bad UTF-8, a message above FAKE_MESSAGE_MAX; binary messages are judged
 * here. Whatever is wrong is counted as `protocol` and closes the socket with the code that says so.
 */
#include <stdlib.h>
#include <wslay/wslay.h>

#include "socket.h"

#define CLOSE_MS   5000               /* for the peer's close frame, after ours */
#define QUEUED_MAX ((size_t)16 << 20) /* of pongs that the peer does not read; turns keep far below */

/* ---- out ---- */

/* No byte may come between those of a message that is on its way. */
static void out(struct fake_socket *s, struct ph_str bytes)
{
	if (s->voice)
		ph_buf_puts(&s->held, bytes);
	else
		ph_stream_push(s->conn->stream, bytes);
}

void fake_socket_say(struct fake_socket *s, struct ph_str text)
{
	struct ph_buf b;

	if (s->closing)
		return;
	ph_buf_init(&b, FAKE_BODY_MAX);
	fake_frame_head(&b, WSLAY_TEXT_FRAME, true, text.n);
	ph_buf_puts(&b, text);
	out(s, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

void fake_socket_ping(struct fake_socket *s)
{
	if (!s->closing)
		out(s, PH_STR("\x89\x00"));
}

bool fake_voice_take(struct fake_exchange *x)
{
	struct fake_socket *s = x->lane->socket;

	if (s->voice && s->voice != x)
		return false;
	s->voice = x;
	return true;
}

void fake_voice_give(struct fake_exchange *x)
{
	struct fake_socket *s = x->lane->socket;

	s->voice = NULL;
	if (s->held.n)
		ph_stream_push(s->conn->stream, ph_buf_str(&s->held));
	ph_buf_reset(&s->held);
	ph_defer_call(s->conn->server->loop, &s->wake);
}

static void resume(struct fake_socket *s, enum fake_wait waits)
{
	PH_LIST_EACH (n, &s->lanes) {
		struct fake_exchange *x = PH_CONTAINER(n, struct fake_lane, node)->x;

		if (s->closing)
			return;
		if (!x || x->play.waits != waits)
			continue;
		x->play.waits = FAKE_WAITS_NOT;
		fake_play_run(x);
	}
}

static void on_wake(void *arg)
{
	resume(arg, FAKE_WAITS_VOICE);
}

void fake_socket_drained(struct fake_socket *s)
{
	ph_stream_read(s->conn->stream, true);
	resume(s, FAKE_WAITS_DRAIN);
}

/* ---- the end ---- */

void fake_socket_stop(struct fake_socket *s, bool cancelled)
{
	if (!s->closing)
		s->account->sockets--;
	s->closing = true;
	fake_lanes_stop(s, cancelled);
	s->voice = NULL;
	ph_defer_cancel(&s->wake);
}

static void shut(struct fake_socket *s, uint16_t code, struct ph_str reason, bool cancelled)
{
	bool in_message = s->voice != NULL;
	struct ph_buf b;

	if (s->closing)
		return;
	fake_socket_stop(s, cancelled);
	if (in_message) {
		fake_conn_fin(s->conn);
		return;
	}
	ph_buf_init(&b, 4096);
	fake_close_frame(&b, code, reason);
	ph_stream_push(s->conn->stream, ph_buf_str(&b));
	ph_buf_deinit(&b);
	ph_timer_start(&s->conn->linger, CLOSE_MS);
}

void fake_socket_close(struct fake_socket *s, uint16_t code, struct ph_str reason)
{
	shut(s, code, reason, false);
}

void fake_socket_cut(struct fake_socket *s, bool abort)
{
	fake_socket_stop(s, false);
	if (abort)
		fake_conn_close(s->conn, true);
	else
		fake_conn_fin(s->conn);
}

void fake_socket_left(struct fake_socket *s, uint16_t code)
{
	struct fake_account *a = s->account;

	for (size_t i = 0; i < FAKE_CODES_MAX; i++) {
		if (a->left[i].count && a->left[i].code != code)
			continue;
		a->left[i].code = code;
		a->left[i].count++;
		return;
	}
}

/* ---- in ---- */

static ssize_t on_recv(struct wslay_event_context *ws, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct fake_socket *s = arg;
	size_t n = s->in.n < len ? s->in.n : len;

	(void)flags;
	if (n == 0) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(buf, s->in.p, n);
	s->in = ph_str_from(s->in, n);
	return (ssize_t)n;
}

static ssize_t on_send(struct wslay_event_context *ws, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct fake_socket *s = arg;

	(void)ws;
	(void)flags;
	if (!s->deaf && !s->closing)
		out(s, ph_str((const char *)data, len));
	return (ssize_t)len;
}

static void violated(struct fake_socket *s, uint16_t code, struct ph_str reason)
{
	s->account->found[FAKE_PROTOCOL]++;
	shut(s, code, reason, true);
}

static void on_frame(
	struct wslay_event_context *ws, const struct wslay_event_on_frame_recv_start_arg *f, void *arg)
{
	struct fake_socket *s = arg;

	(void)ws;
	s->opcode = f->opcode;
	s->frame_n = 0;
}

static void on_chunk(
	struct wslay_event_context *ws, const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *arg)
{
	struct fake_socket *s = arg;

	(void)ws;
	for (size_t i = 0; i < chunk->data_length && s->frame_n < sizeof(s->frame); i++)
		s->frame[s->frame_n++] = chunk->data[i];
}

static void on_message(struct wslay_event_context *ws, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct fake_socket *s = arg;

	(void)ws;
	if (s->closing)
		return;
	if (m->opcode == WSLAY_PING)
		s->account->pings++;
	else if (m->opcode == WSLAY_PONG)
		s->account->pongs++;
	else if (m->opcode == WSLAY_TEXT_FRAME)
		fake_lane_message(s, ph_str((const char *)m->msg, m->msg_length));
	else if (m->opcode == WSLAY_BINARY_FRAME)
		violated(s, WSLAY_CODE_UNSUPPORTED_DATA, PH_STR("text only"));
	else if (m->opcode == WSLAY_CONNECTION_CLOSE && m->msg_length == 1) /* wslay lets it pass */
		violated(s, WSLAY_CODE_PROTOCOL_ERROR, PH_STR("half a code"));
}

/* The peer's close frame, of which ours is the echo. */
static void left_by_peer(struct fake_socket *s, uint16_t code)
{
	fake_socket_left(s, code);
	if (s->deaf)
		fake_socket_stop(s, true);
	else
		shut(s, code == WSLAY_CODE_NO_STATUS_RCVD ? 0 : code, PH_STR(""), true);
}

/* wslay has its verdict in its queue, in some cases without a code: it is asked for it, and ours is sent. */
static void refused_by_wslay(struct fake_socket *s)
{
	unsigned said = s->frame_n == 2 ? (unsigned)s->frame[0] << 8 | s->frame[1] : 0;
	uint16_t code;

	if (s->opcode == WSLAY_CONNECTION_CLOSE && said >= 1012 && said <= 1014) {
		left_by_peer(s, (uint16_t)said); /* registered since, and unknown to wslay 1.1.1 */
		return;
	}
	s->deaf = true;
	wslay_event_send(s->ws);
	code = wslay_event_get_status_code_sent(s->ws);
	if (code == WSLAY_CODE_NO_STATUS_RCVD || code == WSLAY_CODE_ABNORMAL_CLOSURE)
		code = WSLAY_CODE_PROTOCOL_ERROR;
	violated(s, code, PH_STR(""));
}

void fake_socket_data(struct fake_socket *s, struct ph_str bytes)
{
	int result;

	s->in = bytes;
	result = wslay_event_recv(s->ws);
	s->in = PH_STR_NONE;
	bool over = result || !wslay_event_get_read_enabled(s->ws);

	if (!s->closing && wslay_event_get_close_received(s->ws))
		left_by_peer(s, wslay_event_get_status_code_received(s->ws));
	else if (!s->closing && over)
		refused_by_wslay(s);
	if (over && !s->conn->closing && !s->conn->fin_sent)
		fake_conn_fin(s->conn);
	if (s->closing)
		return;
	wslay_event_send(s->ws);
	if (ph_stream_queued(s->conn->stream) > QUEUED_MAX)
		ph_stream_read(s->conn->stream, false);
	fake_lanes_pump(s);
}

/* ---- life ---- */

struct fake_socket *fake_socket_new(struct fake_conn *c, struct fake_account *a)
{
	static const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
		.send_callback = on_send,
		.on_frame_recv_start_callback = on_frame,
		.on_frame_recv_chunk_callback = on_chunk,
		.on_msg_recv_callback = on_message};
	struct fake_socket *s = ph_alloc(sizeof(*s));

	s->conn = c;
	s->account = a;
	a->upgrades++;
	a->sockets++;
	ph_list_init(&s->lanes);
	ph_list_init(&s->waiting);
	ph_buf_init(&s->held, FAKE_BODY_MAX);
	ph_defer_init(&s->wake, on_wake, s);
	if (wslay_event_context_server_init(&s->ws, &callbacks, s))
		ph_die("no memory for a socket");
	wslay_event_config_set_max_recv_msg_length(s->ws, FAKE_MESSAGE_MAX);
	return s;
}

void fake_socket_free(void *socket)
{
	struct fake_socket *s = socket;

	if (!s)
		return;
	fake_lanes_free(s);
	wslay_event_context_free(s->ws);
	ph_buf_deinit(&s->held);
	free(s);
}
