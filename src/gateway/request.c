/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One turn, as one checked state machine. This is THE file: who reads it knows what happens to a request.
 *
 *     AUTH -> BODY -> RESOLVE -> LIMIT -> LEASE -> CONNECT -> SEND -> AWAIT -> RELAY -> COMMIT -> SETTLE
 *                        ^                  |         ^          |       |       |                  |
 *                        +------------------+---------|----------+-------+-------+                DONE
 *                            other account, replay    +----------+-------+-------+
 *                                                       redial, leave out a parameter
 *     (back only while nothing was shown)
 *     every state before COMMIT -> REJECT -> SETTLE;  a warm-up that is answered here: -> COMMIT
 *
 * Where it may be suspended, and what wakes it:
 *     AUTH     one read of an unknown key              BODY     the client's bytes
 *     RESOLVE  the chain, referenced items             LIMIT    what a limited key has left: once
 *     LEASE    a slot, a new token, the rest before another round
 *     CONNECT  name, TCP, TLS                          SEND     the kernel taking the last byte
 *     AWAIT    the head, or the first event            RELAY    events up to the terminal one
 *     COMMIT   the database, at most 5 s               DONE     a write that is still owed
 *
 * Events never change the state: ph_request_event() does, by request_next(), and that short function is all
 * the failover policy there is. Each state has one start function, which returns 1 (done already), 0 (an
 * event will come) or a negative code. A turn on a client's WebSocket, or on one to an account, is the same
 * machine with other ends: session.c, attempt_socket.c. How it ends, COMMIT, REJECT and SETTLE, is
 * request_end.c's.
 */
#include <stdlib.h>

#include "chat.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

#define ARENA_MAX (160 * 1024 * 1024)
#define OTHER_MAX 3 /* ways back to another account, or to the same after a rest */

#define B(n)      PH_SM_BIT(REQ_##n)
#define S(n, to)  [REQ_##n] = {#n, (to) | B(SETTLE)}
static const struct ph_sm_state request_states[REQ_NR] = {
	S(AUTH, B(BODY) | B(REJECT)),
	S(BODY, B(RESOLVE) | B(REJECT)),
	S(RESOLVE, B(LIMIT) | B(COMMIT) | B(REJECT)),
	S(LIMIT, B(LEASE) | B(COMMIT) | B(REJECT)),
	S(LEASE, B(CONNECT) | B(RESOLVE) | B(COMMIT) | B(REJECT)),
	S(CONNECT, B(SEND) | B(RESOLVE) | B(CONNECT) | B(COMMIT) | B(REJECT)),
	S(SEND, B(AWAIT) | B(RESOLVE) | B(CONNECT) | B(COMMIT) | B(REJECT)),
	S(AWAIT, B(RELAY) | B(RESOLVE) | B(CONNECT) | B(COMMIT) | B(REJECT)),
	S(RELAY, B(COMMIT) | B(RESOLVE) | B(CONNECT) | B(REJECT)),
	S(COMMIT, 0),
	S(REJECT, 0),
	[REQ_SETTLE] = {"SETTLE", B(DONE)},
	[REQ_DONE] = {"DONE", 0},
};

/* RESOLVE, not LEASE: a forwarded anchor must become a replay before another account may see it. */
static const int way_back[PH_REMEDY_NR] = {
	[PH_OTHER_ACCOUNT] = REQ_RESOLVE,
	[PH_REPLAY] = REQ_RESOLVE,
	[PH_STRIP] = REQ_RESOLVE, /* what a compaction item stands for may have to be read */
	[PH_WAIT_FOR] = REQ_RESOLVE,
	[PH_RENEW] = REQ_RESOLVE,
	[PH_REDIAL] = REQ_CONNECT,
	[PH_OMIT] = REQ_CONNECT,
	[PH_TRANSLATE] = REQ_CONNECT,
};

/* Aloud: done goes on, a warm-up that no upstream takes to its commit at once; a client that left settles;
 * once something was shown, or nothing is left to try, we say so; else the error names the way back. */
static int request_next(const struct ph_request *r)
{
	int s = (int)r->sm.state;
	enum ph_remedy remedy = ph_err_info(r->err)->remedy;

	if (s == REQ_COMMIT || s == REQ_REJECT)
		return REQ_SETTLE;
	if (ph_warmup_is_ours(r))
		return REQ_COMMIT;
	if (s == REQ_SETTLE || r->err == 0)
		return s == REQ_SETTLE ? REQ_DONE : s + 1;
	if (r->err == -PH_E_CLIENT_GONE)
		return REQ_SETTLE;
	if (s < REQ_LEASE || r->shown || r->left[remedy] == 0)
		return REQ_REJECT;
	/* What a live socket cannot go on with is looked up like any other. */
	return r->mode == PH_MODE_LIVE ? REQ_RESOLVE : way_back[remedy];
}

/* What a way back costs and changes. */
static void turn_back(struct ph_request *r, int to)
{
	enum ph_remedy remedy = ph_err_info(r->err)->remedy;

	r->left[remedy]--;
	ph_metric_add(PH_M_RETRIES, remedy, 0, 1);
	r->denied |= remedy == PH_REPLAY;
	r->fresh = remedy == PH_REDIAL;
	if (remedy == PH_STRIP) {
		r->strip = true;
		r->looked_behind = false;
		r->stay = r->account_id;
	}
	if (remedy == PH_RENEW)
		r->stay = r->account_id;
	if (remedy == PH_OTHER_ACCOUNT) {
		ph_lease_failed(r);
		r->left[PH_REDIAL] = 1; /* the next one's pooled connections may be stale as well */
		r->left[PH_RENEW] = 1;  /* and its token */
	}
	if (r->mode == PH_MODE_LIVE) {
		r->live_lost = true;
		r->left[PH_REDIAL] = 1; /* it was no connection of the pool's */
	}
	ph_attempt_end(r);
	if (to == REQ_RESOLVE)
		ph_lease_release(r);
	r->err = 0;
}

const char *ph_request_mode(const struct ph_request *r)
{
	static const char *const names[] = {"none", "live", "forwarded", "replayed"};

	return names[r->mode];
}

/* ---- the states ---- */

static int auth_start(struct ph_request *r)
{
	return ph_door_authenticate(&r->door, &r->fault);
}

static void take_body(struct ph_request *r)
{
	struct ph_exchange *x = r->x;

	if (x->scanned) {
		r->body = *x->scanned;
		*x->scanned = (struct ph_turn_body){.m = NULL};
	} else {
		r->body.buf = x->body;
		ph_buf_init(&x->body, r->body.buf.max);
	}
}

static int body_ready(struct ph_request *r)
{
	int rc;

	take_body(r);
	r->body_ns = ph_clock_ns();
	r->bytes_in = r->body.buf.n;
	r->body.frame = r->dress.framing == PH_FRAMING_WS;
	rc = r->chat ? ph_chat_take(r, &r->body.buf) : 0;
	if (rc == 0)
		rc = ph_turn_body_read(&r->body, &r->arena, &r->fault);
	if (rc)
		return rc;
	if (!ph_key_allows_model(r->door.key, r->body.model))
		return ph_fail_param(&r->fault, PH_E_MODEL_DENIED, "model", "%s", "");
	rc = ph_ask_read(r);
	if (rc)
		return rc;
	return r->chat ? ph_chat_choose(r) : 1;
}

static int body_start(struct ph_request *r)
{
	return r->x->ops->read_body(r->x->end) ? body_ready(r) : 0;
}

static int send_start(struct ph_request *r)
{
	ph_timer_start(&r->timer, r->g->config->idle_timeout_ms);
	return 0;
}

static int await_start(struct ph_request *r)
{
	const struct ph_config *c = r->g->config;

	ph_timer_start(&r->timer, r->body.stream ? c->first_event_timeout_ms : c->answer_timeout_ms);
	return 0;
}

/* A whole answer has one deadline, from the moment its request was sent. */
static uint64_t answer_left_ms(const struct ph_request *r)
{
	uint64_t all = r->g->config->answer_timeout_ms, used = (ph_clock_ns() - r->attempt.sent_ns) / 1000000;

	return used < all ? all - used : 1;
}

static int relay_start(struct ph_request *r)
{
	if (r->relay.ended)
		return 1;
	ph_timer_start(&r->timer, r->body.stream ? r->g->config->idle_timeout_ms : answer_left_ms(r));
	return 0;
}

static void request_bury(struct ph_request *r);

static int done_start(struct ph_request *r)
{
	if (!r->pending_commit)
		request_bury(r);
	return 0;
}

static int request_enter(struct ph_request *r, int to)
{
	static int (*const start[REQ_NR])(struct ph_request *) = {
		[REQ_AUTH] = auth_start,
		[REQ_BODY] = body_start,
		[REQ_RESOLVE] = ph_resolve_start_turn,
		[REQ_LIMIT] = ph_limit_start,
		[REQ_LEASE] = ph_lease_start,
		[REQ_CONNECT] = ph_attempt_start,
		[REQ_SEND] = send_start,
		[REQ_AWAIT] = await_start,
		[REQ_RELAY] = relay_start,
		[REQ_COMMIT] = ph_request_commit,
		[REQ_REJECT] = ph_request_reject,
		[REQ_SETTLE] = ph_request_settle,
		[REQ_DONE] = done_start,
	};

	ph_timer_stop(&r->timer);
	ph_sm_move(&r->sm, (unsigned)to);
	return start[to](r);
}

void ph_request_event(struct ph_request *r, int result)
{
	while (r->sm.state != REQ_DONE) {
		int next;

		if (result < 0)
			r->err = result;
		next = request_next(r);
		if (r->sm.state == REQ_COMMIT)
			ph_request_release(r);
		if (next <= (int)r->sm.state && next != REQ_SETTLE)
			turn_back(r, next);
		result = request_enter(r, next);
		if (result == 0)
			return;
	}
}

/* ---- what may happen at any time ---- */

static void on_timer(void *arg)
{
	struct ph_request *r = arg;
	const struct ph_config *c = r->g->config;
	uint64_t idle = ph_attempt_idle_ms(r);
	int rc;

	switch (r->sm.state) {
	case REQ_RESOLVE:
		ph_resolve_again(r);
		return;
	case REQ_LIMIT:
		ph_limit_again(r);
		return;
	case REQ_LEASE:
		rc = ph_lease_late(r);
		if (rc)
			ph_request_event(r, rc);
		return;
	case REQ_COMMIT:
		ph_metric_add(PH_M_UNACKNOWLEDGED, 0, 0, 1);
		ph_request_event(r, 1);
		return;
	case REQ_SEND:
	case REQ_RELAY:
		if (((r->attempt.events && !r->attempt.collected) || r->sm.state == REQ_SEND) &&
			(r->paused || idle < c->idle_timeout_ms)) {
			ph_timer_start(&r->timer, r->paused ? c->idle_timeout_ms : c->idle_timeout_ms - idle);
			return;
		}
		/* fall through */
	default:
		ph_request_event(r, ph_fail(&r->fault, PH_E_UPSTREAM_SILENT, "account %s was silent in %s",
					    r->account ? r->account->name : "-", ph_sm_name(&r->sm)));
	}
}

static void on_slot(void *arg)
{
	struct ph_request *r = arg;
	int rc = ph_lease_start(r);

	if (rc)
		ph_request_event(r, rc);
}

static void on_door(void *arg, int result, const struct ph_err *err)
{
	struct ph_request *r = arg;

	if (err)
		r->fault = *err;
	ph_request_event(r, result);
}

static void on_body(void *h)
{
	struct ph_request *r = h;

	ph_request_event(r, body_ready(r));
}

static void on_body_failed(void *h, int code, const struct ph_err *err)
{
	struct ph_request *r = h;

	if (err)
		r->fault = *err;
	ph_request_event(r, code);
}

static void on_drain(void *h)
{
	struct ph_request *r = h;

	ph_attempt_resume(r);
}

/* The client left. Whatever waits is cancelled; a turn whose terminal event came is finished and counted all
 * the same. */
static void on_gone(void *h)
{
	struct ph_request *r = h;

	r->x = NULL;
	r->door.x = NULL;
	r->client_gone = true;
	if (r->sm.state >= REQ_COMMIT)
		return;
	ph_door_cancel(&r->door);
	ph_resolve_cancel_turn(r);
	ph_limit_cancel(r);
	ph_lease_cancel(r);
	ph_attempt_drop(r);
	ph_request_event(r, -PH_E_CLIENT_GONE);
}

static const struct ph_handler handler = {on_body, on_body_failed, on_drain, on_gone};

/* ---- birth and death ---- */

static void request_free(void *arg)
{
	struct ph_request *r = arg;

	ph_chain_free(r->chain);
	ph_found_free(r->found);
	ph_collect_reset(&r->collect);
	ph_turn_body_free(&r->body);
	ph_chat_free(r->chat);
	ph_buf_deinit(&r->stored_items);
	ph_buf_deinit(&r->steered);
	ph_buf_deinit(&r->words);
	ph_arena_deinit(&r->arena);
	free(r);
}

/* A session keeps its lanes itself; those of HTTP clients wait for the conversation's next turn. */
static void leave_lane(struct ph_request *r)
{
	struct ph_lane *lane = r->lane;

	r->lane = NULL;
	if (lane && r->dress.framing == PH_FRAMING_SSE)
		ph_lane_keep(lane, r->door.key->id);
	else
		ph_lane_unref(lane);
}

static void request_bury(struct ph_request *r)
{
	leave_lane(r);
	ph_door_close(&r->door);
	ph_timer_stop(&r->timer);
	ph_timer_stop(&r->hold);
	ph_account_wait_stop(&r->wait);
	ph_prefer_wait_stop(&r->preference);
	ph_renew_wait_stop(&r->renewal);
	ph_list_remove(&r->node);
	r->g->turns--;
	ph_metric_add(PH_M_STREAMS, r->dress.framing, 0, -1);
	ph_loop_bury(r->g->loop, r, request_free);
}

bool ph_request_owed(struct ph_request *r)
{
	r->pending_commit--;
	if (r->pending_commit || r->sm.state != REQ_DONE)
		return true;
	request_bury(r);
	return false;
}

static void request_open(struct ph_gateway *g, struct ph_exchange *x, enum ph_ask_kind ask)
{
	struct ph_request *r = ph_alloc(sizeof *r);

	r->g = g;
	r->x = x;
	r->ask = ask;
	r->started_ns = x->started_ns;
	r->dress = (struct ph_dress){x->framing, x->stream_id};
	r->lane = ph_lane_ref(x->lane);
	r->chat = x->chat;
	memcpy(r->request_id, x->request_id, sizeof r->request_id);
	ph_trace_note(r->trace_id, x);
	ph_rand(r->turn, sizeof r->turn);
	ph_arena_init(&r->arena, ARENA_MAX);
	ph_buf_init(&r->stored_items, PH_COLLECT_MAX);
	ph_buf_init(&r->words, PH_COLLECT_MAX);
	ph_timer_init(&r->timer, g->loop, on_timer, r);
	ph_timer_init(&r->hold, g->loop, ph_relay_timer, r);
	ph_account_wait_init(&r->wait, on_slot, r);
	ph_prefer_wait_init(&r->preference, ph_prefer_answered, r);
	ph_renew_wait_init(&r->renewal, on_slot, r);
	ph_door_init(&r->door, g, x, on_door, r);
	r->left[PH_OTHER_ACCOUNT] = OTHER_MAX;
	r->left[PH_REPLAY] = 1;
	r->left[PH_REDIAL] = 1;
	r->left[PH_STRIP] = 1;
	r->left[PH_WAIT_FOR] = 1;
	r->left[PH_OMIT] = PH_OMIT_MAX;
	r->left[PH_RENEW] = 1;
	r->left[PH_TRANSLATE] = OTHER_MAX;
	ph_list_push_back(&g->requests, &r->node);
	g->turns++;
	ph_metric_add(PH_M_STREAMS, x->framing, 0, 1);
	x->handler = &handler;
	x->h = r;
	ph_sm_init(&r->sm, "turn", request_states, REQ_NR, REQ_AUTH);
	int rc = auth_start(r);
	if (rc)
		ph_request_event(r, rc);
}

void ph_request_open(struct ph_gateway *g, struct ph_exchange *x)
{
	request_open(g, x, PH_ASK_RESPONSE);
}

void ph_request_open_compact(struct ph_gateway *g, struct ph_exchange *x)
{
	request_open(g, x, PH_ASK_COMPACT);
}

void ph_request_open_tokens(struct ph_gateway *g, struct ph_exchange *x)
{
	request_open(g, x, PH_ASK_TOKENS);
}

/* Drain is over and this turn still runs. */
bool ph_request_cut(struct ph_request *r)
{
	if (r->sm.state >= REQ_COMMIT)
		return false;
	ph_resolve_cancel_turn(r);
	ph_limit_cancel(r);
	ph_lease_cancel(r);
	ph_door_cancel(&r->door);
	ph_attempt_drop(r);
	ph_request_event(r, ph_fail(&r->fault, PH_E_DRAINING, "%s", ""));
	return true;
}
