/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of one turn on a WebSocket. The machine answers as it would over HTTP: events pass as the
 * frames that they are, and an error's status, headers and body are wrapped into one frame (handbook,
 * protocol 3.5).
 */
#include <stdlib.h>

#include "posthouse/clock.h"
#include "posthouse/ws.h"
#include "session.h"

#define FRAME_MAX (2 * 1024 * 1024)
#define TOLD_MAX  8192

/* ---- an error as a frame ---- */

static void put_error(const struct ph_session_turn *t, struct ph_buf *json)
{
	static const struct ph_str name = PH_STR_INIT("error");
	struct ph_json_member m = {.kind = PH_JSON_ABSENT};

	ph_buf_printf(json, "{\"type\":\"error\",\"status\":%d", t->status);
	if (t->x.stream_id.n)
		ph_buf_printf(json, ",\"stream_id\":%.*s", PH_STR_ARG(t->x.stream_id));
	ph_buf_puts(json, PH_STR(",\"error\":"));
	if (ph_json_find(ph_buf_str(&t->error), &name, 1, &m) && m.kind == PH_JSON_OBJECT)
		ph_buf_puts(json, m.value);
	else
		ph_buf_puts(json, PH_STR("{\"type\":\"server_error\",\"code\":null,\"message\":\"The request "
					 "failed.\",\"param\":null}"));
	ph_buf_printf(json, ",\"headers\":{\"x-request-id\":\"%s\"", t->x.request_id);
	ph_buf_puts(json, ph_buf_str(&t->told));
	ph_buf_puts(json, PH_STR("}}"));
}

static void send_error(struct ph_session_turn *t)
{
	struct ph_exchange *x = t->s->x;
	struct ph_buf json, frame;

	ph_buf_init(&json, FRAME_MAX);
	ph_buf_init(&frame, FRAME_MAX);
	put_error(t, &json);
	ph_ws_put_text(&frame, PH_WS_SERVER, ph_buf_str(&json));
	x->ops->push(x->end, ph_buf_str(&frame));
	ph_buf_deinit(&json);
	ph_buf_deinit(&frame);
}

/* Of the header lines that HTTP would have had, those that clients wait by. They are ours. */
static bool is_told(struct ph_str name)
{
	return ph_str_eq(name, PH_STR("retry-after")) || ph_str_eq(name, PH_STR("x-should-retry")) ||
	       ph_str_starts(name, PH_STR("x-ratelimit-"));
}

static void note_told(struct ph_session_turn *t, struct ph_str lines)
{
	while (lines.n) {
		struct ph_str value = ph_str_split(&lines, '\n'), name = ph_str_split(&value, ':');

		if (is_told(name))
			ph_buf_printf(&t->told, ",\"%.*s\":\"%.*s\"", PH_STR_ARG(name),
				PH_STR_ARG(ph_str_trim(value)));
	}
}

/* ---- the exchange ---- */

static void turn_free(void *arg)
{
	struct ph_session_turn *t = arg;

	ph_turn_body_free(&t->body);
	ph_buf_deinit(&t->told);
	ph_buf_deinit(&t->error);
	free(t);
}

static bool read_body(void *end)
{
	(void)end; /* it came with its frame */
	return true;
}

static void head(void *end, int status, const struct ph_buf *headers, int64_t length)
{
	struct ph_session_turn *t = end;

	if (length < 0)
		return; /* events follow */
	t->status = status;
	note_told(t, ph_buf_str(headers));
}

static long push(void *end, struct ph_str bytes)
{
	struct ph_session_turn *t = end;

	if (!t->status)
		return t->s->x->ops->push(t->s->x->end, bytes);
	ph_buf_puts(&t->error, bytes);
	return 1;
}

static void finish(void *end)
{
	struct ph_session_turn *t = end;
	struct ph_session_lane *lane = t->lane;

	if (t->status)
		send_error(t);
	if (!lane)
		return;
	lane->turn = NULL;
	ph_loop_bury(t->s->g->loop, t, turn_free);
	ph_session_turn_over(lane);
}

/* Nothing well-formed can be said to this turn: then to none behind it either. */
static void cut(void *end)
{
	struct ph_session_turn *t = end;
	struct ph_session *s = t->s;

	t->lane->turn = NULL;
	ph_loop_bury(s->g->loop, t, turn_free);
	s->x->ops->close(s->x->end, PH_WS_INTERNAL, "the answer cannot be completed");
	ph_session_turn_over(t->lane);
}

static const struct ph_exchange_ops turn_ops = {
	.read_body = read_body, .head = head, .push = push, .finish = finish, .abort = cut};

static void turn_init(struct ph_session_turn *t, struct ph_session *s, struct ph_str stream_id)
{
	t->s = s;
	t->x.head = s->x->head;
	t->x.path = s->x->path;
	t->x.query = s->x->query;
	t->x.started_ns = ph_clock_ns();
	t->x.ops = &turn_ops;
	t->x.end = t;
	t->x.route = PH_ROUTE_RESPONSES;
	t->x.framing = PH_FRAMING_WS;
	t->x.stream_id = stream_id;
	memcpy(t->x.request_id, "req_", 4);
	ph_rand_id(t->x.request_id + 4, 24);
	ph_buf_init(&t->told, TOLD_MAX);
	ph_buf_init(&t->error, FRAME_MAX / 2);
}

void ph_session_turn_start(struct ph_session_lane *lane, struct ph_turn_body *body, bool successor)
{
	struct ph_session_turn *t = ph_alloc(sizeof *t);

	turn_init(t, lane->s, lane->name);
	t->lane = lane;
	t->x.lane = lane->lane;
	t->x.successor = successor;
	t->body = *body;
	t->x.scanned = &t->body;
	*body = (struct ph_turn_body){.m = NULL};
	lane->turn = t;
	ph_request_open(lane->s->g, &t->x);
}

void ph_session_turn_gone(struct ph_session_turn *t)
{
	const struct ph_handler *handler = t->x.handler;

	t->lane->turn = NULL;
	t->x.handler = NULL;
	if (handler)
		handler->on_gone(t->x.h);
	ph_loop_bury(t->s->g->loop, t, turn_free);
}

void ph_session_refuse(struct ph_session *s, struct ph_str stream_id, int code, const struct ph_err *err)
{
	struct ph_session_turn t = {.lane = NULL};

	turn_init(&t, s, stream_id);
	ph_reply_error(s->g, &t.x, code, err, 0, NULL);
	ph_buf_deinit(&t.told);
	ph_buf_deinit(&t.error);
}
