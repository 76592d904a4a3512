/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One WebSocket to an upstream, for whoever has it now: its beginning and its end, whole text messages both
 * ways, pings, back-pressure. What the messages mean is the owner's; frames are codec/ws's, the handshake is
 * upgrade.c's, and a socket that nobody uses is kept by its owner, not here.
 *
 *     DIAL -> UPGRADE -> OPEN -> LEFT
 *
 * LEFT is reached once, from anywhere: the connection is of no use any more. It may still be saying goodbye,
 * and the end may still wait for an owner to whom it can be told. The socket itself goes when both are done.
 * Memory is freed at the end of the turn of the loop, so a callback may close the socket it came from.
 */
#include <assert.h>
#include <stdlib.h>

#include "posthouse/json.h"
#include "posthouse/metrics.h"
#include "posthouse/sm.h"
#include "upstream_priv.h"

#define SILENCE_MS     20000
#define GOODBYE_MS     1000
#define FRAME_HEAD_MAX 14
#define REST_MAX       (4 * 1024 * 1024) /* more than one read brings */
#define PONGS_MAX      (64 * 1024)

enum {
	SOCKET_DIAL,
	SOCKET_UPGRADE,
	SOCKET_OPEN,
	SOCKET_LEFT,
	SOCKET_NR,
};

#define B(state) PH_SM_BIT(SOCKET_##state)
static const struct ph_sm_state states[SOCKET_NR] = {
	[SOCKET_DIAL] = {"DIAL", B(UPGRADE) | B(LEFT)},
	[SOCKET_UPGRADE] = {"UPGRADE", B(OPEN) | B(LEFT)},
	[SOCKET_OPEN] = {"OPEN", B(LEFT)},
	[SOCKET_LEFT] = {"LEFT", 0},
};
#undef B

/* A message on its way out. The stream borrows its bytes; it may outlive the socket. */
struct frame {
	struct ph_list node; /* while the socket is not open */
	struct ph_buf bytes;
	struct ph_upsocket *socket; /* who wants to know when it was written, or NULL */
};

struct ph_upsocket {
	struct ph_list node; /* of the upstream's sockets, until it is released */
	struct ph_upstream *up;
	const struct ph_upsocket_events *events; /* NULL: nobody has it */
	void *owner;
	struct ph_sm sm;
	struct ph_dial *dial;       /* DIAL */
	struct ph_upgrade *upgrade; /* until it is over, then NULL */
	struct ph_stream *stream;   /* from UPGRADE until it is closed */
	size_t max_message;
	struct ph_ws *ws;       /* from OPEN */
	struct ph_timer timer;  /* UPGRADE: the deadline. OPEN: silence. LEFT: the goodbye */
	struct ph_defer later;  /* reads the rest; tells the end to a new owner */
	struct ph_list waiting; /* of struct frame, before OPEN */
	struct frame *last;     /* sent last by this owner, until it was written */
	struct ph_buf rest;     /* paused: of one read, what the codec did not take */
	struct ph_err *why;     /* it has ended: so, as its owner will be told; or NULL */
	uint64_t deadline_ms, progress_ms, opened_ms;
	size_t pong_bytes; /* since the queue was last empty */
	bool reading;      /* the owner wants messages */
	bool feeding;      /* the codec is on the stack */
	bool paused;       /* the codec was stopped: it and the rest may hold messages */
	bool pinged;       /* and heard nothing since */
	bool ended;        /* OPEN: the stream has ended, but the owner has not had all yet */
	bool released;     /* no owner names it any more */
};

/* ---- the end ---- */

static void frame_free(struct frame *f)
{
	ph_buf_deinit(&f->bytes);
	free(f);
}

static void forget_last(struct ph_upsocket *s)
{
	if (s->last)
		s->last->socket = NULL;
	s->last = NULL;
}

static void count(const struct ph_upsocket *s, int n)
{
	ph_metric_add(PH_M_UPSTREAM_CONNECTIONS, s->events ? PH_GAUGE_BUSY : PH_GAUGE_IDLE, 0, n);
}

static void upgrade_free(struct ph_upsocket *s)
{
	if (s->upgrade)
		ph_upgrade_deinit(s->upgrade);
	free(s->upgrade), s->upgrade = NULL;
}

static void socket_free(void *arg)
{
	struct ph_upsocket *s = arg;

	s->ws = ph_ws_free(s->ws);
	upgrade_free(s);
	free(s->why);
	ph_buf_deinit(&s->rest);
	free(s);
}

static void bury(struct ph_upsocket *s)
{
	ph_upstream_drop(s->up);
	ph_loop_bury(s->up->loop, s, socket_free);
}

/* The owner gives it up, or is told that it is gone. */
static void release(struct ph_upsocket *s)
{
	s->released = true;
	ph_defer_cancel(&s->later);
	ph_list_remove(&s->node);
	if (!s->stream)
		bury(s);
}

/* Reads on only to see the peer's end. */
static void say_goodbye(struct ph_upsocket *s, int code)
{
	struct ph_buf out;

	ph_buf_init(&out, FRAME_HEAD_MAX + PH_WS_CONTROL_MAX);
	ph_ws_put_close(&out, PH_WS_CLIENT, code, PH_STR_NONE);
	ph_stream_push(s->stream, ph_buf_str(&out));
	ph_buf_deinit(&out);
	ph_stream_shutdown(s->stream);
	ph_stream_read(s->stream, true);
	ph_timer_start(&s->timer, GOODBYE_MS);
}

/* code: of the close frame, where one can still be sent; 0 = none. */
static void leave(struct ph_upsocket *s, int code)
{
	bool polite = code && s->sm.state == SOCKET_OPEN && !s->ended;

	if (s->sm.state == SOCKET_LEFT)
		return;
	ph_sm_move(&s->sm, SOCKET_LEFT);
	count(s, -1);
	ph_timer_stop(&s->timer);
	ph_defer_cancel(&s->later);
	forget_last(s);
	for (struct ph_list *n; (n = ph_list_pop(&s->waiting));)
		frame_free(PH_CONTAINER(n, struct frame, node));
	if (s->feeding)
		ph_ws_pause(s->ws); /* no more of it */
	if (s->dial) {
		ph_dial_cancel(s->dial);
		s->dial = NULL;
	}
	if (polite)
		say_goodbye(s, code);
	else if (s->stream)
		ph_stream_close(s->stream, false);
}

/* Without an owner the end is kept for the next one. */
static void tell_end(struct ph_upsocket *s)
{
	if (!s->events)
		return;
	release(s);
	s->events->on_end(s->owner, -s->why->code, s->why);
}

static void keep_why(struct ph_upsocket *s, const struct ph_err *why)
{
	if (!s->why)
		s->why = ph_alloc(sizeof *s->why);
	*s->why = *why;
}

static void end(struct ph_upsocket *s, int code, const struct ph_err *why)
{
	keep_why(s, why);
	leave(s, code);
	tell_end(s);
}

static void on_closed(void *owner)
{
	struct ph_upsocket *s = owner;

	s->stream = NULL;
	ph_timer_stop(&s->timer);
	if (s->released)
		bury(s);
}

/* ---- sending ---- */

static void on_written(void *arg)
{
	struct frame *f = arg;
	struct ph_upsocket *s = f->socket;

	frame_free(f);
	if (!s)
		return;
	s->last = NULL;
	s->progress_ms = ph_loop_now_ms(s->up->loop);
	if (s->events)
		s->events->on_sent(s->owner);
}

static void push(struct ph_upsocket *s, struct frame *f)
{
	ph_stream_push_ref(s->stream, ph_buf_str(&f->bytes), on_written, f);
}

void ph_upsocket_send(struct ph_upsocket *s, struct ph_buf *text)
{
	struct frame *f;

	if (s->sm.state == SOCKET_LEFT) {
		ph_buf_deinit(text);
		return;
	}
	f = ph_alloc(sizeof *f);
	ph_list_init(&f->node);
	ph_buf_init(&f->bytes, text->n + FRAME_HEAD_MAX);
	ph_ws_put_text(&f->bytes, PH_WS_CLIENT, ph_buf_str(text));
	ph_buf_deinit(text);
	forget_last(s);
	f->socket = s;
	s->last = f;
	if (s->sm.state == SOCKET_OPEN)
		push(s, f);
	else
		ph_list_push_back(&s->waiting, &f->node);
}

/* ---- frames that came ---- */

/* What nobody reads cannot be missed: silence counts only while we read. */
static void update_reading(struct ph_upsocket *s)
{
	bool on = s->reading && !s->paused;

	ph_stream_read(s->stream, on);
	if (!on) {
		ph_timer_stop(&s->timer);
	} else if (!ph_timer_active(&s->timer)) {
		s->pinged = false;
		ph_timer_start(&s->timer, SILENCE_MS);
	}
}

/* How much was used up: all, unless the owner paused or the socket ended on the way. */
static size_t feed(struct ph_upsocket *s, struct ph_str bytes)
{
	struct ph_err err = {0};
	size_t used = 0;
	long n;

	do {
		s->paused = false;
		s->feeding = true;
		n = ph_ws_feed(s->ws, ph_str_from(bytes, used));
		s->feeding = false;
		used += n > 0 ? (size_t)n : 0;
	} while (n >= 0 && s->paused && s->reading && s->sm.state == SOCKET_OPEN);
	if (!ph_ws_idle(s->ws))
		s->progress_ms = ph_loop_now_ms(s->up->loop);
	if (n < 0) {
		ph_fail(&err, PH_E_UPSTREAM_BAD, "the upstream's frames are not valid (%ld)", -n);
		end(s, (int)-n, &err);
	}
	return used;
}

static void take(struct ph_upsocket *s, struct ph_str bytes)
{
	size_t used = 0;

	if (s->reading)
		used = feed(s, bytes);
	else
		s->paused = true;
	if (s->sm.state != SOCKET_OPEN)
		return;
	ph_buf_puts(&s->rest, ph_str_from(bytes, used));
	update_reading(s);
}

/* After a pause: what is left of the read that it fell into. */
static void take_rest(struct ph_upsocket *s)
{
	size_t used = feed(s, ph_buf_str(&s->rest));

	if (s->sm.state != SOCKET_OPEN)
		return;
	ph_buf_consume(&s->rest, used);
	if (s->rest.n == 0)
		ph_buf_deinit(&s->rest);
	if (s->ended && !s->paused)
		end(s, 0, s->why);
	else
		update_reading(s);
}

static void on_later(void *arg)
{
	struct ph_upsocket *s = arg;

	if (s->sm.state == SOCKET_LEFT)
		tell_end(s);
	else if (s->reading && s->paused)
		take_rest(s);
}

void ph_upsocket_read(struct ph_upsocket *s, bool on)
{
	s->reading = on;
	if (s->sm.state != SOCKET_OPEN)
		return;
	if (!on && s->feeding) {
		s->paused = true;
		ph_ws_pause(s->ws);
	}
	if (on && s->paused && !s->feeding)
		ph_defer_call(s->up->loop, &s->later);
	update_reading(s);
}

static bool is_codex_event(struct ph_str message)
{
	const struct ph_str name = PH_STR("type");
	struct ph_json_member type;

	return ph_json_find(message, &name, 1, &type) && ph_str_starts(type.value, PH_STR("\"codex."));
}

static void on_text(void *owner, struct ph_str message)
{
	struct ph_upsocket *s = owner;
	struct ph_err err = {0};

	s->progress_ms = ph_loop_now_ms(s->up->loop);
	if (s->events) {
		s->events->on_text(s->owner, message);
	} else if (!is_codex_event(message)) {
		ph_fail(&err, PH_E_UPSTREAM_BAD, "the upstream sent what nobody had asked for");
		end(s, PH_WS_NORMAL, &err);
	}
}

static void on_too_large(void *owner)
{
	struct ph_upsocket *s = owner;
	struct ph_err err = {0};

	ph_fail(&err, PH_E_UPSTREAM_BAD, "the upstream sent a message of more than %zu bytes",
		s->max_message);
	end(s, PH_WS_TOO_LARGE, &err);
}

/* A peer that pings and does not read is not answered for ever. */
static void on_ping(void *owner, struct ph_str payload)
{
	struct ph_upsocket *s = owner;
	struct ph_buf out;

	if (ph_stream_queued(s->stream) == 0)
		s->pong_bytes = 0;
	if (s->pong_bytes > PONGS_MAX)
		return;
	ph_buf_init(&out, FRAME_HEAD_MAX + PH_WS_CONTROL_MAX);
	ph_ws_put_pong(&out, PH_WS_CLIENT, payload);
	s->pong_bytes += out.n;
	ph_stream_push(s->stream, ph_buf_str(&out));
	ph_buf_deinit(&out);
}

/* That bytes came is all that it says. */
static void on_pong(void *owner, struct ph_str payload)
{
	(void)owner;
	(void)payload;
}

static void on_close(void *owner, int code, struct ph_str reason)
{
	struct ph_upsocket *s = owner;
	struct ph_err err = {0};

	if (code == PH_WS_NO_CODE)
		ph_fail(&err, PH_E_UPSTREAM_DROPPED, "closed without a code");
	else
		ph_fail(&err, PH_E_UPSTREAM_DROPPED, "closed with %d%s%.*s", code, reason.n ? " " : "",
			PH_STR_ARG(reason));
	end(s, code, &err);
}

static const struct ph_ws_events ws_events = {on_text, on_too_large, on_ping, on_pong, on_close};

/* ---- the beginning ---- */

static void opened(struct ph_upsocket *s, struct ph_str behind)
{
	ph_sm_move(&s->sm, SOCKET_OPEN);
	s->opened_ms = s->progress_ms = ph_loop_now_ms(s->up->loop);
	ph_timer_start(&s->timer, SILENCE_MS);
	s->ws = ph_ws_new(PH_WS_CLIENT, s->max_message, &ws_events, s);
	for (struct ph_list *n; (n = ph_list_pop(&s->waiting));)
		push(s, PH_CONTAINER(n, struct frame, node));
	if (s->events)
		s->events->on_open(s->owner, s->upgrade->head);
	if (s->sm.state != SOCKET_OPEN)
		return;
	upgrade_free(s);
	take(s, behind);
}

static void refused(struct ph_upsocket *s)
{
	struct ph_err why = {0};

	ph_fail(&why, PH_E_UPSTREAM_DROPPED, "the upgrade was refused with %d", s->upgrade->head->status);
	keep_why(s, &why);
	leave(s, 0);
	if (!s->events)
		return;
	release(s);
	s->events->on_refused(s->owner, s->upgrade->head, ph_buf_str(&s->upgrade->body));
}

static void on_verdict(
	struct ph_upsocket *s, enum ph_upgrade_verdict v, struct ph_str behind, const struct ph_err *err)
{
	switch (v) {
	case PH_UPGRADE_MORE:
		break;
	case PH_UPGRADE_OPEN:
		opened(s, behind);
		break;
	case PH_UPGRADE_REFUSED:
		refused(s);
		break;
	case PH_UPGRADE_BAD:
		end(s, 0, err);
		break;
	}
}

static void on_data(void *owner, struct ph_str bytes)
{
	struct ph_upsocket *s = owner;
	struct ph_err err = {0};
	enum ph_upgrade_verdict v;
	size_t used = 0;

	if (s->sm.state == SOCKET_UPGRADE) {
		s->progress_ms = ph_loop_now_ms(s->up->loop);
		v = ph_upgrade_feed(s->upgrade, bytes, &used, &err);
		on_verdict(s, v, ph_str_from(bytes, used), &err);
	} else if (s->sm.state == SOCKET_OPEN) {
		s->pinged = false;
		ph_timer_start(&s->timer, SILENCE_MS);
		take(s, bytes);
	}
}

static void on_end(void *owner, int status)
{
	struct ph_upsocket *s = owner;
	struct ph_err err = {0};

	if (s->sm.state == SOCKET_LEFT) {
		ph_stream_close(s->stream, false);
		return;
	}
	if (s->sm.state == SOCKET_UPGRADE && status == 0) {
		on_verdict(s, ph_upgrade_finish(s->upgrade, &err), PH_STR_NONE, &err);
		if (s->sm.state == SOCKET_LEFT)
			return;
	}
	ph_fail(&err, PH_E_UPSTREAM_DROPPED, "the upstream %s the connection", status ? "reset" : "closed");
	keep_why(s, &err);
	s->ended = true;
	if (!s->paused)
		end(s, 0, &err);
}

static const struct ph_stream_events stream_events = {NULL, on_data, on_end, NULL, on_closed};

static void on_dialled(void *owner, struct ph_stream *stream, const struct ph_err *err)
{
	struct ph_upsocket *s = owner;
	uint64_t now = ph_loop_now_ms(s->up->loop);
	struct ph_err why;

	s->dial = NULL;
	if (!stream) {
		why = *err;
		why.code = PH_E_UPSTREAM_CONNECT;
		end(s, 0, &why);
		return;
	}
	ph_sm_move(&s->sm, SOCKET_UPGRADE);
	s->stream = stream;
	ph_stream_set_owner(stream, &stream_events, s);
	ph_stream_push(stream, ph_buf_str(&s->upgrade->request));
	ph_buf_deinit(&s->upgrade->request);
	ph_stream_read(stream, true);
	ph_timer_start(&s->timer, s->deadline_ms > now ? s->deadline_ms - now : 0);
}

/* ---- time ---- */

static void ping(struct ph_upsocket *s)
{
	struct ph_buf out;

	ph_buf_init(&out, FRAME_HEAD_MAX);
	ph_ws_put_ping(&out, PH_WS_CLIENT, PH_STR_NONE);
	ph_stream_push(s->stream, ph_buf_str(&out));
	ph_buf_deinit(&out);
	s->pinged = true;
	ph_timer_start(&s->timer, SILENCE_MS);
}

static void on_timer(void *arg)
{
	struct ph_upsocket *s = arg;
	struct ph_err err = {0};

	if (s->sm.state == SOCKET_LEFT) {
		ph_stream_close(s->stream, false);
	} else if (s->sm.state == SOCKET_UPGRADE) {
		ph_fail(&err, PH_E_UPSTREAM_CONNECT, "no answer to the upgrade in time");
		end(s, 0, &err);
	} else if (s->pinged) {
		ph_fail(&err, PH_E_UPSTREAM_DROPPED, "no answer to a ping in time");
		end(s, 0, &err);
	} else {
		ping(s);
	}
}

/* ---- what an owner asks ---- */

struct ph_upsocket *ph_upsocket_open(struct ph_upstream *u, const struct ph_upsocket_request *r,
	const struct ph_upsocket_events *events, void *owner)
{
	struct ph_upsocket *s = ph_alloc(sizeof *s);

	s->up = u;
	s->events = events;
	s->owner = owner;
	s->reading = true;
	s->max_message = r->max_message;
	s->progress_ms = ph_loop_now_ms(u->loop);
	s->deadline_ms = s->progress_ms + u->connect_timeout_ms;
	ph_sm_init(&s->sm, "upsocket", states, SOCKET_NR, SOCKET_DIAL);
	ph_timer_init(&s->timer, u->loop, on_timer, s);
	ph_defer_init(&s->later, on_later, s);
	ph_list_init(&s->waiting);
	ph_buf_init(&s->rest, REST_MAX);
	s->upgrade = ph_alloc(sizeof *s->upgrade);
	ph_upgrade_init(s->upgrade, r);
	ph_list_push_back(&u->sockets, &s->node);
	ph_upstream_hold(u);
	count(s, 1);
	s->dial = ph_dial_start(u, r->base->tls, r->base->host, r->base->port, on_dialled, s);
	return s;
}

void ph_upsocket_set_owner(struct ph_upsocket *s, const struct ph_upsocket_events *events, void *owner)
{
	bool left = s->sm.state == SOCKET_LEFT;

	if (!left)
		count(s, -1);
	s->events = events;
	s->owner = owner;
	if (!left)
		count(s, 1);
	forget_last(s);
	if (!events)
		ph_upsocket_read(s, true);
	else if (left)
		ph_defer_call(s->up->loop, &s->later);
}

bool ph_upsocket_alive(const struct ph_upsocket *s)
{
	return s->sm.state == SOCKET_OPEN && !s->ended;
}

uint64_t ph_upsocket_progress_ms(const struct ph_upsocket *s)
{
	uint64_t written = s->last && s->sm.state == SOCKET_OPEN ? ph_stream_progress_ms(s->stream) : 0;

	return written > s->progress_ms ? written : s->progress_ms;
}

uint64_t ph_upsocket_opened_ms(const struct ph_upsocket *s)
{
	return s->opened_ms;
}

void ph_upsocket_close(struct ph_upsocket *s)
{
	if (s->released)
		return;
	leave(s, PH_WS_NORMAL);
	release(s);
}

void ph_upsocket_close_all(struct ph_upstream *u)
{
	PH_LIST_EACH_SAFE (it, &u->sockets)
		ph_upsocket_close(PH_CONTAINER(it, struct ph_upsocket, node));
}
