/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the frames of a socket mean: creates become turns, one at a time in each lane, in the order in which
 * they came, at most FAKE_FLIGHT_MAX over all. A lane remembers its most recent response, stored or not,
 * until a refused turn that named it takes it away. What is no turn is answered with an error frame, and
 * counted.
 */
#include <stdio.h>
#include <stdlib.h>

#include "socket.h"

/* A create that waits for its lane. Owner: its socket. */
struct create {
	struct ph_list node;
	struct fake_lane *lane;
	struct ph_buf text;
	double arrived;
	bool successor;
};

static const struct ph_str names[FAKE_FRAME_NR] = {
	[FAKE_FRAME_TYPE] = {"type", 4},
	[FAKE_FRAME_LANE] = {"stream_id", 9},
	[FAKE_FRAME_PREVIOUS] = {"previous_response_id", 20},
	[FAKE_FRAME_INPUT] = {"input", 5},
};

/* ---- memory ---- */

const struct fake_stored *fake_lane_recall(const struct fake_lane *l, struct ph_str id)
{
	PH_LIST_EACH (n, &l->socket->lanes) {
		const struct fake_stored *r = PH_CONTAINER(n, struct fake_lane, node)->last;

		if (r && ph_str_eq(id, ph_str_c(r->id)))
			return r;
	}
	return NULL;
}

static void forget(struct fake_socket *s, struct ph_str id)
{
	PH_LIST_EACH (n, &s->lanes) {
		struct fake_lane *l = PH_CONTAINER(n, struct fake_lane, node);

		if (l->last && ph_str_eq(id, ph_str_c(l->last->id)))
			l->last = fake_stored_free(l->last);
	}
}

void fake_lane_settle(struct fake_exchange *x, bool cancelled)
{
	if (x->refused && x->anchor[0])
		forget(x->lane->socket, ph_str_c(x->anchor));
	if (!x->kept)
		return;
	if (!cancelled) {
		fake_stored_free(x->lane->last);
		x->lane->last = x->kept;
		x->kept = NULL;
	}
	x->kept = fake_stored_free(x->kept);
}

/* ---- turns ---- */

static struct fake_exchange *exchange_new(struct fake_lane *l)
{
	struct fake_exchange *x = ph_alloc(sizeof(*x));

	x->server = l->socket->conn->server;
	x->conn = l->socket->conn;
	x->lane = l;
	ph_buf_init(&x->plain, FAKE_BODY_MAX);
	ph_buf_init(&x->next, FAKE_BODY_MAX);
	fake_play_init(x);
	return x;
}

static void exchange_free(void *arg)
{
	struct fake_exchange *x = arg;

	fake_play_deinit(x);
	ph_buf_deinit(&x->next);
	free(x);
}

static void create_free(struct fake_socket *s, struct create *w)
{
	s->waiting_bytes -= w->text.cap;
	ph_list_remove(&w->node);
	ph_buf_deinit(&w->text);
	free(w);
}

static struct create *create_new(struct fake_lane *l, struct ph_str text)
{
	struct create *w = ph_alloc(sizeof(*w));

	w->lane = l;
	w->arrived = fake_now_ms();
	ph_buf_init(&w->text, FAKE_BODY_MAX);
	ph_buf_puts(&w->text, text);
	l->socket->waiting_bytes += w->text.cap;
	ph_list_push_back(&l->socket->waiting, &w->node);
	return w;
}

static void start(struct fake_socket *s, struct create *w)
{
	struct fake_conn *c = s->conn;
	struct fake_exchange *x = exchange_new(w->lane);

	w->lane->x = x;
	s->running++;
	s->turns++;
	c->arrived = w->arrived;
	ph_buf_reset(&c->body);
	ph_buf_puts(&c->body, ph_buf_str(&w->text));
	x->successor = w->successor;
	create_free(s, w);
	fake_exchange_create(x);
}

static struct create *next_of(const struct fake_socket *s)
{
	PH_LIST_EACH (n, &s->waiting) {
		struct create *w = PH_CONTAINER(n, struct create, node);

		if (!w->lane->x)
			return w;
	}
	return NULL;
}

void fake_lanes_pump(struct fake_socket *s)
{
	struct create *w;

	if (s->pumping)
		return;
	s->pumping = true;
	while (!s->closing && s->running < FAKE_FLIGHT_MAX && (w = next_of(s)))
		start(s, w);
	s->pumping = false;
}

void fake_lane_played(struct fake_exchange *x, enum fake_ending ending)
{
	struct fake_lane *l = x->lane;
	struct fake_socket *s = l->socket;
	uint16_t code = (uint16_t)FAKE_DO(x->todo, close_code, 1000);
	char reason[FAKE_REASON_MAX + 1] = "";

	if (x->todo && x->todo->close_reason.p)
		ph_str_copy(reason, sizeof(reason), x->todo->close_reason);
	fake_exchange_end(x, false);
	l->x = NULL;
	s->running--;
	if (x->next.n) {
		struct create *w = create_new(l, ph_buf_str(&x->next));

		w->successor = true;
		ph_list_remove(&w->node);
		ph_list_push_front(&s->waiting, &w->node);
	}
	ph_loop_bury(s->conn->server->loop, x, exchange_free);
	if (ending == FAKE_KEEP)
		fake_lanes_pump(s);
	else if (ending == FAKE_CLOSE)
		fake_socket_close(s, code, ph_str_c(reason));
	else
		fake_socket_cut(s, ending == FAKE_ABORT);
}

void fake_lanes_stop(struct fake_socket *s, bool cancelled)
{
	PH_LIST_EACH_SAFE (n, &s->waiting)
		create_free(s, PH_CONTAINER(n, struct create, node));
	PH_LIST_EACH (n, &s->lanes) {
		struct fake_lane *l = PH_CONTAINER(n, struct fake_lane, node);
		struct fake_exchange *x = l->x;

		if (!x)
			continue;
		l->x = NULL;
		s->running--;
		x->faulted = true;
		fake_exchange_end(x, cancelled);
		ph_loop_bury(s->conn->server->loop, x, exchange_free);
	}
}

void fake_lanes_free(struct fake_socket *s)
{
	struct ph_list *n;

	while ((n = ph_list_pop(&s->lanes))) {
		struct fake_lane *l = PH_CONTAINER(n, struct fake_lane, node);

		fake_stored_free(l->last);
		free(l);
	}
}

/* ---- messages ---- */

void fake_lane_refuse(struct fake_socket *s, const char *stream_id, const char *code, const char *param,
	const char *message)
{
	struct ph_buf b;

	ph_buf_init(&b, 65536);
	ph_buf_puts(&b, PH_STR("{\"type\":\"error\",\"status\":400,"));
	if (stream_id[0])
		ph_buf_printf(&b, "\"stream_id\":\"%s\",", stream_id);
	ph_buf_puts(&b, PH_STR("\"error\":{\"type\":\"invalid_request_error\",\"code\":"));
	fake_put_string(&b, ph_str_c(code));
	ph_buf_puts(&b, PH_STR(",\"message\":"));
	fake_put_string(&b, ph_str_c(message));
	ph_buf_puts(&b, PH_STR(",\"param\":"));
	fake_put_string(&b, ph_str_c(param));
	ph_buf_puts(&b, PH_STR("}}"));
	fake_socket_say(s, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static void refuse(struct fake_socket *s, enum fake_finding f, const char *stream_id, const char *code,
	const char *param, const char *message)
{
	s->account->found[f]++;
	fake_lane_refuse(s, stream_id, code, param, message);
}

static struct fake_lane *lane_find(struct fake_socket *s, struct ph_str id)
{
	PH_LIST_EACH (n, &s->lanes) {
		struct fake_lane *l = PH_CONTAINER(n, struct fake_lane, node);

		if (ph_str_eq(id, ph_str_c(l->id)))
			return l;
	}
	return NULL;
}

static struct fake_lane *lane_new(struct fake_socket *s, struct ph_str id)
{
	struct fake_lane *l = ph_alloc(sizeof(*l));

	l->socket = s;
	s->named += id.n > 0;
	ph_str_copy(l->id, sizeof(l->id), id);
	ph_list_push_back(&s->lanes, &l->node);
	return l;
}

static bool is_stream_id(struct ph_str id)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	if (id.n == 0 || id.n > FAKE_STREAM_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++)
		if (!id.p[i] || !strchr(allowed, id.p[i]))
			return false;
	return true;
}

/* The lane of a frame, or NULL: refused. */
static struct fake_lane *find_lane(
	struct fake_socket *s, struct ph_arena *arena, const struct ph_json_member *m)
{
	bool named = m->kind != PH_JSON_ABSENT && m->kind != PH_JSON_NULL;
	struct ph_str id = PH_STR("");
	char name[FAKE_STREAM_ID_MAX + 1];

	if (named && (!ph_json_text(m->value, arena, &id) || !is_stream_id(id))) {
		refuse(s, FAKE_FRAME, "", "invalid_stream_id", "stream_id",
			"Invalid 'stream_id': 1 to 256 of letters, digits, '_', '.' and '-'.");
		return NULL;
	}
	struct fake_lane *l = lane_find(s, id);
	if (!l && named && s->named >= FAKE_LANES_MAX) {
		ph_str_copy(name, sizeof(name), id);
		refuse(s, FAKE_FRAME, name, "websocket_stream_limit_reached", "stream_id",
			"This websocket connection has reached its limit of 32 streams.");
		return NULL;
	}
	return l ? l : lane_new(s, id);
}

/* A create that never became a turn fails its continuation all the same. */
static void forget_named(struct fake_socket *s, struct ph_arena *arena, const struct ph_json_member *m)
{
	struct ph_str id;

	if (m->kind == PH_JSON_STRING && ph_json_text(m->value, arena, &id))
		forget(s, id);
}

static void take_create(struct fake_socket *s, struct ph_arena *arena, struct ph_str text,
	const struct ph_json_member m[FAKE_FRAME_NR])
{
	struct fake_lane *l = find_lane(s, arena, &m[FAKE_FRAME_LANE]);

	if (!l) {
		forget_named(s, arena, &m[FAKE_FRAME_PREVIOUS]);
		return;
	}
	create_new(l, text);
	if (s->waiting_bytes > FAKE_WAITING_MAX)
		fake_socket_close(s, 1008, PH_STR("too much waits"));
}

void fake_lane_message(struct fake_socket *s, struct ph_str text)
{
	struct ph_json_member m[FAKE_FRAME_NR];
	const struct ph_json_member *type = &m[FAKE_FRAME_TYPE];
	struct ph_arena arena;
	struct ph_err err = {0};

	ph_arena_init(&arena, FAKE_MESSAGE_MAX);
	if (ph_json_scan(text, names, FAKE_FRAME_NR, m, &err))
		refuse(s, FAKE_JSON, "", NULL, NULL, "The frame is not a JSON object.");
	else if (type->kind != PH_JSON_STRING)
		refuse(s, FAKE_FRAME, "", "missing_required_parameter", "type",
			"Missing required parameter: 'type'.");
	else if (ph_json_text_is(type->value, PH_STR("response.create")))
		take_create(s, &arena, text, m);
	else if (ph_json_text_is(type->value, PH_STR("response.steer")))
		fake_steer_message(s, m);
	else
		refuse(s, FAKE_FRAME, "", "invalid_value", "type", "Unknown type of frame.");
	ph_arena_deinit(&arena);
}
