/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An attempt on a WebSocket: the lane's, where it is open to that account, else a new one, which becomes the
 * lane's. The answer is a stream of messages. After a whole answer the socket stays with the lane; in every
 * other case it is closed, so that nothing of this turn can be booked to the next one.
 */
#include "posthouse/clock.h"
#include "request_priv.h"

#define BETA PH_STR("responses_websockets=2026-02-06")

/* Ready to send. */
static void on_open(void *owner, const struct ph_head *head)
{
	struct ph_request *r = owner;

	ph_health_head(r->g, r->account, head);
	ph_turn_state_note(r, ph_head_get(head, PH_STR("x-codex-turn-state")));
	if (r->sm.state == REQ_CONNECT)
		ph_request_event(r, 1);
}

static void on_sent(void *owner)
{
	ph_attempt_catch_up(owner);
}

/* These statuses say that the path takes no upgrade, and nothing of the account. */
static bool has_no_sockets(int status)
{
	return status == 426 || status == 404 || status == 405 || status == 501;
}

static void on_refused(void *owner, const struct ph_head *head, struct ph_str body)
{
	struct ph_request *r = owner;
	int rc;

	r->lane->socket = NULL;
	r->attempt.socket = false;
	if (has_no_sockets(head->status)) {
		ph_lane_not_there(r->g, r->account);
		rc = ph_attempt_without_socket(r);
		if (rc)
			ph_request_event(r, rc);
		return;
	}
	r->attempt.after_ms = ph_retry_after_ms(head);
	ph_health_head(r->g, r->account, head);
	ph_request_event(r, ph_attempt_failure(r, body, head->status));
}

/* Whoever reads the answer over HTTP gets a head. */
static void first_message(struct ph_request *r)
{
	struct ph_attempt *a = &r->attempt;

	a->status = 200;
	a->events = true;
	ph_http_put_header(&a->headers, PH_STR("content-type"),
		a->collected ? PH_STR("application/json") : PH_STR("text/event-stream"));
}

static void on_text(void *owner, struct ph_str message)
{
	struct ph_request *r = owner;
	int rc;

	if (r->relay.ended) { /* of a steered response the socket is not read on */
		ph_lane_hear(r->lane, message);
		r->attempt.socket = r->lane->socket != NULL;
		return;
	}
	ph_attempt_catch_up(r);
	if (!r->attempt.status)
		first_message(r);
	rc = ph_relay_message(r, message);
	if (rc && r->sm.state <= REQ_RELAY && r->attempt.socket) {
		ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "an event above the limit");
		ph_request_event(r, rc);
	}
}

/* The turn that upstream began by itself: its create is not sent, its answer is on its way. */
static bool is_successor(const struct ph_request *r)
{
	return r->x->successor && r->mode == PH_MODE_LIVE && r->attempts == 1;
}

/* A socket that ended between turns is found out by the next one. */
static int ended(struct ph_request *r, int status, const struct ph_err *err)
{
	if (r->attempt.reused && !r->attempt.status)
		return ph_fail(&r->fault, PH_E_UPSTREAM_STALE, "%s", err->detail);
	if (status == -PH_E_UPSTREAM_DROPPED)
		ph_attempt_ended_early(r);
	r->fault = *err;
	return status;
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_request *r = owner;

	r->lane->socket = NULL;
	r->lane->remembers = false;
	r->attempt.socket = false;
	if (r->sm.state < REQ_CONNECT || r->sm.state > REQ_RELAY)
		return; /* the answer was whole */
	if (status != -PH_E_UPSTREAM_CONNECT)
		ph_attempt_catch_up(r);
	ph_request_event(r, ended(r, status, err));
}

static const struct ph_upsocket_events events = {on_open, on_refused, on_sent, on_text, on_end};

static void open_socket(struct ph_request *r, struct ph_buf *head, bool moved)
{
	const struct ph_account *a = r->account;
	const struct ph_upsocket_request request = {
		.base = &a->base,
		.path = PH_STR("/responses"),
		.head = head,
		.max_message = r->g->config->max_body,
	};

	ph_account_headers(head, a, r->x, PH_STR_NONE, false, moved);
	if (a->kind == PH_CODEX || !ph_head_get(r->x->head, PH_STR("openai-beta")).n)
		ph_http_put_header(head, PH_STR("openai-beta"), BETA);
	r->lane->account = a->id;
	r->lane->socket = ph_upsocket_open(r->g->upstream, &request, &events, r);
}

void ph_attempt_start_socket(struct ph_request *r, struct ph_buf *head, struct ph_buf *body, bool moved)
{
	struct ph_lane *lane = r->lane;

	r->attempt.reused = !r->fresh && ph_lane_fits(lane, r->account->id);
	r->attempt.collected = !r->body.stream;
	ph_relay_open(r, true);
	if (r->attempt.reused) {
		ph_upsocket_set_owner(lane->socket, &events, r);
		ph_upsocket_read(lane->socket, true);
	} else {
		ph_lane_drop_socket(lane);
		open_socket(r, head, moved);
	}
	lane->remembers = false; /* until this answer is whole */
	if (!is_successor(r))
		ph_upsocket_send(lane->socket, body);
}

void ph_attempt_read_socket(struct ph_request *r, bool on)
{
	ph_upsocket_read(r->lane->socket, on);
}

uint64_t ph_attempt_progress_socket(const struct ph_request *r)
{
	return ph_upsocket_progress_ms(r->lane->socket);
}

void ph_attempt_drop_socket(struct ph_request *r)
{
	r->attempt.socket = false;
	ph_lane_drop_socket(r->lane);
}

/* The socket is the lane's again, and knows the response that it just sent. One that failed is none to go on
 * from. */
void ph_attempt_finish_socket(struct ph_request *r)
{
	r->attempt.socket = false;
	r->lane->remembers =
		r->relay.ended == PH_TERMINAL_COMPLETED || r->relay.ended == PH_TERMINAL_INCOMPLETE;
	ph_lane_rest_socket(r->lane);
}
