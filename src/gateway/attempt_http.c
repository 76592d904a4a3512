/* SPDX-License-Identifier: Apache-2.0 */
/* An attempt over HTTP: the answer is a stream of events, or collected where it is whole or an error. */
#include "chat.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

/* Both come too late where the answer overtook its request: catch_up() told the machine. */
static void on_connected(void *owner)
{
	struct ph_request *r = owner;

	if (r->sm.state == REQ_CONNECT)
		ph_request_event(r, 1);
}

static void on_sent(void *owner)
{
	struct ph_request *r = owner;

	if (r->sm.state != REQ_SEND)
		return;
	r->attempt.sent_ns = ph_clock_ns();
	ph_request_event(r, 1);
}

static bool is_sse(const struct ph_head *head)
{
	struct ph_str type = ph_head_get(head, PH_STR("content-type"));
	struct ph_str encoding = ph_head_get(head, PH_STR("content-encoding"));

	if (encoding.n && !ph_str_eq_nocase(encoding, PH_STR("identity")))
		return false; /* nobody asked for that */
	return type.n >= 17 && ph_str_eq_nocase(ph_str(type.p, 17), PH_STR("text/event-stream"));
}

/* The Codex backend knows no other answer: for a client that wants one object the events are collected. */
static bool streams_always(const struct ph_account *a)
{
	return a->kind == PH_CODEX;
}

static void put_client_headers(struct ph_request *r, const struct ph_head *head)
{
	struct ph_buf *headers = &r->attempt.headers;

	if (r->attempt.collected && r->attempt.events)
		ph_http_put_header(headers, PH_STR("content-type"), PH_STR("application/json"));
	else
		ph_reply_pass_headers(head, headers);
	ph_turn_state_note(r, ph_head_get(head, PH_STR("x-codex-turn-state")));
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_request *r = owner;
	struct ph_attempt *a = &r->attempt;

	ph_attempt_catch_up(r);
	a->status = head->status;
	a->collected = !r->body.stream && streams_always(r->account);
	a->events = head->status / 100 == 2 && (r->body.stream || a->collected) && is_sse(head);
	a->refused = head->status / 100 != 2 || (r->body.stream && !a->events);
	if (a->refused)
		a->after_ms = ph_retry_after_ms(head);
	ph_health_head(r->g, r->account, head);
	put_client_headers(r, head);
	ph_buf_init(&a->body, a->refused ? PH_REFUSE_MAX : r->g->config->max_body + PH_REFUSE_MAX);
	if (a->events && a->chat)
		ph_chat_relay_open(r);
	else if (a->events)
		ph_relay_open(r, false);
	else if (!a->refused)
		ph_request_event(r, 1); /* AWAIT -> RELAY: a whole answer is on its way */
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_request *r = owner;
	struct ph_attempt *a = &r->attempt;
	int rc;

	if (a->refused) {
		size_t room = PH_REFUSE_MAX - a->body.n;

		ph_buf_puts(&a->body, ph_str(bytes.p, bytes.n < room ? bytes.n : room));
		return;
	}
	if (!a->events) {
		if (ph_buf_puts(&a->body, bytes)) {
			ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "an answer above %zu bytes", a->body.max);
			ph_request_event(r, -PH_E_UPSTREAM_BAD);
		}
		return;
	}
	rc = ph_relay_feed(r, bytes);
	if (rc && r->sm.state <= REQ_RELAY && r->attempt.call) {
		ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "an event above the limit");
		ph_request_event(r, rc);
	}
}

/* A whole answer: a response object, or something that only looks like one. */
static void on_whole(struct ph_request *r)
{
	struct ph_attempt *a = &r->attempt;
	struct ph_str body = ph_str_trim(ph_buf_str(&a->body));

	r->terminal_ns = ph_clock_ns();
	if (!r->first_event_ns)
		r->first_event_ns = r->terminal_ns;
	if (a->chat ? !ph_chat_relay_whole(r, body) : !ph_collect_answer(&r->collect, body)) {
		ph_request_event(r, ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "an answer that is none"));
		return;
	}
	if (a->chat) {
		r->relay.ended = PH_TERMINAL_COMPLETED;
	} else if (ph_str_eq(r->collect.status, PH_STR("failed"))) {
		int code = ph_attempt_failure(r, body, 0);

		if (ph_err_info(code)->remedy != PH_GIVE_UP) {
			ph_request_event(r, code);
			return;
		}
		r->relay.ended = PH_TERMINAL_FAILED;
	} else if (ph_str_eq(r->collect.status, PH_STR("incomplete"))) {
		r->relay.ended = PH_TERMINAL_INCOMPLETE;
	} else if (ph_str_eq(r->collect.status, PH_STR("completed"))) {
		r->relay.ended = PH_TERMINAL_COMPLETED;
	}
	ph_request_event(r, 1);
}

static void on_stream_over(struct ph_request *r)
{
	ph_relay_finish_feed(r);
	if (r->sm.state < REQ_CONNECT || r->sm.state > REQ_RELAY || r->attempt.call)
		return; /* the last unit ended it, one way or another */
	ph_request_event(r, ph_attempt_ended_early(r));
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_request *r = owner;
	struct ph_attempt *a = &r->attempt;

	a->call = NULL;
	if (r->sm.state < REQ_CONNECT || r->sm.state > REQ_RELAY)
		return; /* the rest of an answer whose terminal event was seen */
	ph_attempt_catch_up(r);
	if (status && !a->refused && !(a->events && status == -PH_E_UPSTREAM_DROPPED)) {
		r->fault = *err;
		ph_request_event(r, status);
	} else if (a->refused) {
		ph_request_event(
			r, ph_attempt_failure(r, ph_buf_str(&a->body), a->status / 100 == 2 ? 0 : a->status));
	} else if (a->events) {
		on_stream_over(r);
	} else {
		on_whole(r);
	}
}

static const struct ph_call_events events = {on_connected, on_sent, on_head, on_body, on_end};

void ph_attempt_start_http(struct ph_request *r, struct ph_buf *head, struct ph_buf *body, bool moved)
{
	const struct ph_call_request request = {
		.base = &r->account->base,
		.method = PH_STR("POST"),
		.path = r->attempt.chat ? PH_STR("/chat/completions") : PH_STR("/responses"),
		.head = head,
		.body = body,
		.fresh = r->fresh,
	};
	bool stream = r->body.stream || streams_always(r->account);

	ph_account_headers(head, r->account, r->x,
		stream ? PH_STR("text/event-stream") : PH_STR("application/json"), true, moved);
	r->attempt.call = ph_call_start(r->g->upstream, &request, &events, r);
}
