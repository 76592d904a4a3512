/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's WebSocket: the handshake, its lanes, and the frames that wait. A lane runs one turn at a time,
 * in the order of its frames; lanes run side by side, up to a limit. A frame that is no turn is answered by
 * an error, and the connection stays.
 */
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "posthouse/ws.h"
#include "session.h"

#define RUNNING_MAX 16 /* of one connection, as OpenAI has it (protocol, 3.4) */
#define NAMED_MAX   32
#define NAME_MAX    256
#define HEADERS_MAX (64 * 1024)

struct frame {
	struct ph_list node; /* in ph_session_lane.frames */
	struct ph_buf text;
};

/* ---- lanes ---- */

static struct ph_session_lane *lane_new(struct ph_session *s, struct ph_str name)
{
	struct ph_session_lane *l = ph_alloc(sizeof *l + name.n);

	l->s = s;
	l->name = ph_str((char *)(l + 1), name.n);
	if (name.n)
		memcpy(l + 1, name.p, name.n);
	l->lane = ph_lane_new(s->g);
	ph_list_init(&l->frames);
	ph_list_push_back(&s->lanes, &l->node);
	s->named += name.n > 0;
	return l;
}

static struct ph_session_lane *lane_find(struct ph_session *s, struct ph_str name)
{
	PH_LIST_EACH (it, &s->lanes) {
		struct ph_session_lane *l = PH_CONTAINER(it, struct ph_session_lane, node);

		if (ph_str_eq(l->name, name))
			return l;
	}
	return NULL;
}

/* NULL: there are too many already. */
static struct ph_session_lane *lane_get(struct ph_session *s, struct ph_str name)
{
	struct ph_session_lane *l = lane_find(s, name);

	if (l)
		return l;
	return name.n && s->named == NAMED_MAX ? NULL : lane_new(s, name);
}

static void frame_free(struct frame *f)
{
	ph_buf_deinit(&f->text);
	free(f);
}

static void lane_free(void *arg)
{
	free(arg);
}

static void lane_close(struct ph_session_lane *l)
{
	if (l->turn)
		ph_session_turn_gone(l->turn);
	for (struct ph_list *n; (n = ph_list_pop(&l->frames));)
		frame_free(PH_CONTAINER(n, struct frame, node));
	l->lane = ph_lane_unref(l->lane);
	ph_list_remove(&l->node);
	ph_loop_bury(l->s->g->loop, l, lane_free);
}

/* ---- what may begin ---- */

/* A client may send ahead, up to the size of one message. */
static void set_reading(struct ph_session *s)
{
	uint64_t max = s->g->config->max_body;
	bool too_much = s->waiting_bytes > (s->paused ? max / 2 : max);

	if (too_much == s->paused)
		return;
	s->paused = too_much;
	s->x->ops->read(s->x->end, !too_much);
}

static bool may_begin(const struct ph_session_lane *l)
{
	return l->s->running < RUNNING_MAX && !l->turn;
}

static void begin(struct ph_session_lane *l, struct ph_turn_body *body)
{
	ph_list_move(&l->node, &l->s->lanes);
	l->s->running++;
	ph_session_turn_start(l, body, false);
}

static void begin_oldest(struct ph_session_lane *l)
{
	struct frame *f = PH_CONTAINER(ph_list_pop(&l->frames), struct frame, node);
	struct ph_turn_body body = {.buf = f->text};

	l->s->waiting_bytes -= f->text.n;
	free(f);
	begin(l, &body);
}

/* Upstream does not wait for it, so neither do we for the lanes that run. */
static void begin_successor(struct ph_session_lane *l)
{
	struct ph_turn_body body = {.buf = l->lane->successor};

	ph_buf_init(&l->lane->successor, body.buf.max);
	l->s->running++;
	ph_session_turn_start(l, &body, true);
}

/* Between turns, and at once: the client goes on elsewhere by its id. */
static void close_for_drain(struct ph_session *s)
{
	if (s->running == 0)
		s->x->ops->close(s->x->end, PH_WS_RESTART, "this node is shutting down: reconnect");
}

static void on_next(void *arg)
{
	struct ph_session *s = arg;

	if (s->draining) {
		close_for_drain(s);
		return;
	}
	PH_LIST_EACH_SAFE (it, &s->lanes) {
		struct ph_session_lane *l = PH_CONTAINER(it, struct ph_session_lane, node);

		if (!l->turn && l->lane->successor.n)
			begin_successor(l);
		else if (may_begin(l) && !ph_list_empty(&l->frames))
			begin_oldest(l);
	}
	set_reading(s);
}

void ph_session_turn_over(struct ph_session_lane *l)
{
	l->s->running--;
	ph_defer_call(l->s->g->loop, &l->s->next);
}

/* ---- frames ---- */

static bool is_name(struct ph_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '_' || c == '-' || c == '.'))
			return false;
	}
	return s.n > 0 && s.n <= NAME_MAX;
}

/* The name with its quotes, empty for the default lane. False: it is none. */
static bool read_stream_id(const struct ph_json_member *m, struct ph_str *ret)
{
	*ret = PH_STR_NONE;
	if (m->kind <= PH_JSON_NULL)
		return true;
	if (m->kind != PH_JSON_STRING || m->escaped || !is_name(ph_str(m->value.p + 1, m->value.n - 2)))
		return false;
	*ret = m->value;
	return true;
}

/* Only its text: what is known of a frame takes more room than a small one. */
static void wait_in_line(struct ph_session_lane *l, struct ph_turn_body *body)
{
	struct frame *f = ph_alloc(sizeof *f);

	f->text = body->buf;
	ph_buf_init(&body->buf, f->text.max);
	ph_list_push_back(&l->frames, &f->node);
	l->s->waiting_bytes += f->text.n;
}

static void on_create(struct ph_session *s, struct ph_str name, struct ph_turn_body *body)
{
	struct ph_session_lane *l = lane_get(s, name);
	bool at_once;

	if (s->g->turns >= PH_TURNS_MAX) {
		ph_metric_add(PH_M_SHED, 0, 0, 1);
		ph_session_refuse(s, name, PH_E_TOO_MANY, NULL);
		s->x->ops->close(s->x->end, PH_WS_OVERLOAD, "too many turns on this node");
		return;
	}
	if (!l) {
		ph_session_refuse(s, name, PH_E_STREAMS_FULL, &(struct ph_err){.param = "stream_id"});
		return;
	}
	at_once = may_begin(l) && !l->lane->successor.n && !s->draining;
	if (at_once && ph_list_empty(&l->frames)) {
		begin(l, body);
	} else {
		wait_in_line(l, body);
		if (at_once)
			begin_oldest(l);
	}
	set_reading(s);
}

static void on_steer(struct ph_session *s, struct ph_str name, struct ph_str message)
{
	static const struct ph_str names[2] = {PH_STR_INIT("input"), PH_STR_INIT("previous_response_id")};
	const struct ph_dress dress = {PH_FRAMING_WS, name};
	struct ph_session_lane *l = lane_find(s, name);
	const char *code = l && l->turn ? ph_request_steer(l->turn->x.h, message) : "response_not_active";
	struct ph_json_member m[2];
	struct ph_buf frame;

	if (!code || !ph_json_find(message, names, 2, m))
		return;
	ph_buf_init(&frame, 4 * s->g->config->max_body);
	ph_steer_put_failed(&frame, &dress, m[0].value, m[1].value, code);
	s->x->ops->push(s->x->end, ph_buf_str(&frame));
	ph_buf_deinit(&frame);
}

/* What a session must know of a frame. */
enum {
	TYPE,
	STREAM_ID,
	NR
};

/* The scan that its turn needs tells this as well. A frame that fails it for another member is its turn's to
 * refuse, or is no turn. */
static int look_at(struct ph_turn_body *frame, struct ph_json_member ret[NR], struct ph_err *err)
{
	static const struct ph_str names[NR] = {PH_STR_INIT("type"), PH_STR_INIT("stream_id")};

	if (ph_turn_body_scan(frame, NULL))
		return ph_json_scan(ph_buf_str(&frame->buf), names, NR, ret, err);
	ret[TYPE] = frame->m[PH_B_TYPE];
	ret[STREAM_ID] = frame->m[PH_B_STREAM_ID];
	return 0;
}

static void take_frame(struct ph_session *s, struct ph_turn_body *frame)
{
	struct ph_json_member m[NR];
	struct ph_err err = {0};
	struct ph_str name;

	if (look_at(frame, m, &err))
		ph_session_refuse(s, PH_STR_NONE, PH_E_JSON_BAD, &err);
	else if (!read_stream_id(&m[STREAM_ID], &name))
		ph_session_refuse(s, PH_STR_NONE, PH_E_STREAM_ID_BAD, &(struct ph_err){.param = "stream_id"});
	else if (ph_json_text_is(m[TYPE].value, PH_STR("response.create")))
		on_create(s, name, frame);
	else if (ph_json_text_is(m[TYPE].value, PH_STR("response.steer")))
		on_steer(s, name, ph_buf_str(&frame->buf));
	else
		ph_session_refuse(s, name, PH_E_FRAME_BAD, &(struct ph_err){.param = "type"});
}

static void on_text(void *h, struct ph_buf *message)
{
	struct ph_turn_body frame = {.buf = *message};

	ph_buf_init(message, message->max);
	take_frame(h, &frame);
	ph_turn_body_free(&frame);
}

static void on_too_large(void *h)
{
	struct ph_session *s = h;
	struct ph_err err = {0};

	ph_fail_param(&err, PH_E_BODY_TOO_LARGE, "input", "At most %llu bytes are accepted.",
		(unsigned long long)s->g->config->max_body);
	ph_session_refuse(s, PH_STR_NONE, PH_E_BODY_TOO_LARGE, &err);
}

static void on_drain(void *h)
{
	struct ph_session *s = h;

	PH_LIST_EACH_SAFE (it, &s->lanes) {
		struct ph_session_turn *t = PH_CONTAINER(it, struct ph_session_lane, node)->turn;

		if (t && t->x.handler)
			t->x.handler->on_drain(t->x.h);
	}
}

static void on_draining(void *h)
{
	struct ph_session *s = h;

	s->draining = true;
	ph_defer_call(s->g->loop, &s->next);
}

/* ---- life ---- */

static void session_free(void *arg)
{
	free(arg);
}

static void close_session(struct ph_session *s)
{
	ph_door_close(&s->door);
	ph_defer_cancel(&s->next);
	while (!ph_list_empty(&s->lanes))
		lane_close(PH_CONTAINER(s->lanes.next, struct ph_session_lane, node));
	ph_list_remove(&s->node);
	ph_loop_bury(s->g->loop, s, session_free);
}

static void on_gone(void *h)
{
	close_session(h);
}

static const struct ph_socket_handler socket_handler = {
	on_text, on_too_large, on_drain, on_draining, on_gone};

/* ---- the handshake ---- */

static void refuse(struct ph_session *s, int code, const struct ph_err *err)
{
	ph_reply_error(s->g, s->x, code, err, 0, NULL);
	close_session(s);
}

static void upgrade(struct ph_session *s)
{
	struct ph_buf headers;

	ph_buf_init(&headers, HEADERS_MAX);
	ph_reply_common(s->g, s->x, &headers);
	s->x->handler = NULL;
	s->x->ops->upgrade(s->x->end, &headers, &socket_handler, s);
	ph_buf_deinit(&headers);
}

static void on_door(void *arg, int result, const struct ph_err *err)
{
	struct ph_session *s = arg;

	if (result < 0)
		refuse(s, result, err);
	else
		upgrade(s);
}

/* No request for a WebSocket of version 13. */
static int check_handshake(const struct ph_head *head, struct ph_err *err)
{
	if (!ph_str_eq_nocase(ph_head_get(head, PH_STR("upgrade")), PH_STR("websocket")))
		return ph_fail(err, PH_E_UPGRADE_REFUSED, "Only 'Upgrade: websocket' is understood.");
	if (!ph_str_eq(ph_head_get(head, PH_STR("sec-websocket-version")), PH_STR("13")))
		return ph_fail(err, PH_E_UPGRADE_REFUSED, "Only version 13 is understood.");
	if (!ph_ws_key_valid(ph_head_get(head, PH_STR("sec-websocket-key"))))
		return ph_fail(err, PH_E_HEAD_BAD, "The Sec-WebSocket-Key is not 16 bytes in base64.");
	return 0;
}

static void on_nothing(void *h)
{
	(void)h;
}

static void on_no_body(void *h, int code, const struct ph_err *err)
{
	(void)h;
	(void)code;
	(void)err;
}

static const struct ph_handler handshake_handler = {on_nothing, on_no_body, on_nothing, on_gone};

void ph_session_open(struct ph_gateway *g, struct ph_exchange *x)
{
	struct ph_session *s = ph_alloc(sizeof *s);
	struct ph_err err = {0};
	int rc;

	s->g = g;
	s->x = x;
	ph_list_init(&s->lanes);
	ph_defer_init(&s->next, on_next, s);
	ph_list_push_back(&g->sessions, &s->node);
	ph_door_init(&s->door, g, x, on_door, s);
	x->handler = &handshake_handler;
	x->h = s;
	rc = check_handshake(x->head, &err);
	if (rc == 0)
		rc = ph_door_authenticate(&s->door, &err);
	if (rc)
		on_door(s, rc, &err);
}
