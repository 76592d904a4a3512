/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt of a turn at one account: the body is put together, sent, and the answer is led to the relay,
 * or collected where it is whole or an error. What the upstream's bytes mean is the classifier's business;
 * what follows from it is the machine's.
 */
#include <stdlib.h>

#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

#define HEAD_MAX   (128 * 1024)
#define REFUSE_MAX (1024 * 1024) /* of an error's body; the rest is ignored */

enum {
	ATTEMPT_OK,
	ATTEMPT_FAILED,
	ATTEMPT_CANCELLED
};

static void count(struct ph_request *r, unsigned outcome)
{
	ph_metric_add(PH_M_ATTEMPTS, (unsigned)r->account->kind, outcome, 1);
}

/* ---- what is sent ---- */

/* Only one account can read an item. It is waited for if it will have a slot; else the turn ends here. */
static void bound_error(struct ph_request *r, const struct ph_bound *bound)
{
	const struct ph_account *owner = ph_accounts_find(r->g->accounts, bound->account);

	if (owner && !r->bound_to && ph_lease_eligible(r, owner)) {
		r->bound_to = owner->id;
		ph_fail_param(&r->fault, PH_E_OWNER_BUSY, "input", "%s", "");
	} else if (owner && owner->state != PH_ACCOUNT_DISABLED) {
		r->after_ms = ph_lease_returns_ms(r, owner);
		ph_fail_param(&r->fault, PH_E_ACCOUNT_AWAY, "input", "%s", "");
	} else {
		ph_fail_param(
			&r->fault, PH_E_ACCOUNT_BOUND, "input", "The item is of type '%s'.", bound->type);
	}
}

/* Whether anything is known of the ids that the input holds. */
static bool has_found(const struct ph_request *r)
{
	return r->found && r->found->n;
}

/* The items to send in place of the client's input. */
static int put_items(struct ph_request *r, struct ph_buf *items, struct ph_bound *bound)
{
	struct ph_target target = {r->account->id, r->account->kind == PH_CODEX, r->strip};

	if (r->mode == PH_MODE_REPLAYED)
		return ph_chain_replay(r->chain, &target, r->body.items, r->found, items, bound);
	return ph_items_prepare(r->body.items, r->found, &target, items, bound);
}

/* Whether the client's own input is what the account gets. */
static bool input_as_it_is(const struct ph_request *r)
{
	bool list_wanted = r->account->kind == PH_CODEX && r->body.m[PH_B_INPUT].kind != PH_JSON_ARRAY;

	return r->mode != PH_MODE_REPLAYED && !has_found(r) && !r->strip && !list_wanted;
}

static int build_body(struct ph_request *r, struct ph_buf *out)
{
	uint64_t max = r->g->config->max_body;
	struct ph_body_plan plan = {.account = r->account->id,
		.codex = r->account->kind == PH_CODEX,
		.anchor = r->mode == PH_MODE_FORWARDED,
		.omit = r->omit,
		.omit_count = r->omit_count};
	struct ph_bound bound = {.account = 0};
	struct ph_buf items;
	int rc;

	r->attempt.had_anchor = plan.anchor;
	r->attempt.had_reasoning = !r->strip;
	if (input_as_it_is(r))
		return ph_turn_body_write(&r->body, &plan, out);
	ph_buf_init(&items, max);
	rc = put_items(r, &items, &bound);
	plan.items = items.p ? ph_buf_str(&items) : PH_STR("");
	if (rc == 0)
		rc = ph_turn_body_write(&r->body, &plan, out);
	ph_buf_deinit(&items);
	if (rc == -PH_E_ACCOUNT_BOUND)
		bound_error(r, &bound);
	else if (rc)
		ph_fail_param(&r->fault, PH_E_CHAIN_TOO_LARGE, "input", "It holds more than %llu bytes.",
			(unsigned long long)max);
	return rc ? -r->fault.code : 0;
}

/* ---- what comes back ---- */

/* What the client may be told of a refusal: an answer's own envelope as it came, or one around its words. */
static void keep_words(struct ph_request *r, struct ph_str body, int status, const struct ph_failure *f)
{
	bool enveloped = status && f->error.n && body.n <= REFUSE_MAX;

	ph_buf_reset(&r->words);
	r->words_status = status;
	if (enveloped)
		ph_buf_puts(&r->words, body);
	else if (f->message[0])
		ph_reply_quote(&r->words, f->message, f->param, f->word);
}

/* A parameter that the Codex backend refuses is left out, once; elsewhere the client asked for something that
 * the API does not have, and is told. */
static bool omit_parameter(struct ph_request *r, const struct ph_failure *f)
{
	struct ph_str name = ph_str_c(f->param);
	struct ph_json_member m;

	if (r->account->kind != PH_CODEX || r->omit_count == PH_OMIT_MAX ||
		!ph_json_find(ph_buf_str(&r->body.buf), &name, 1, &m) || m.kind == PH_JSON_ABSENT)
		return false;
	for (size_t i = 0; i < r->omit_count; i++)
		if (ph_str_eq(r->omit[i], name))
			return false;
	r->omit[r->omit_count++] = ph_arena_dup(&r->arena, name);
	return true;
}

int ph_attempt_failure(struct ph_request *r, struct ph_str body, int status)
{
	struct ph_failed_answer answer = {
		.status = status,
		.body = body,
		.head_after_ms = r->attempt.after_ms,
		.had_anchor = r->attempt.had_anchor,
		.had_reasoning = r->attempt.had_reasoning,
		.renewable = r->account->kind == PH_CODEX,
	};
	struct ph_asked asked = {r->body.model, r->choice.client, r->attempt.health_version, r->rounds > 0};
	struct ph_failure failure;

	ph_classify(&answer, &failure);
	if (failure.code == PH_E_UPSTREAM_PARAMETER && !omit_parameter(r, &failure))
		failure.code = PH_E_UPSTREAM_REFUSED;
	ph_health_failure(r->g, r->account, &failure, &asked);
	ph_fail(&r->fault, failure.code, "account %s: HTTP status %d, %s", r->account->name, status,
		failure.word[0] ? failure.word : ph_signal_name(failure.signal));
	keep_words(r, body, status, &failure);
	return -failure.code;
}

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

/* An answer can overtake the end of its request: what was waited for has happened. */
static void catch_up(struct ph_request *r)
{
	if (!r->attempt.sent_ns)
		r->attempt.sent_ns = ph_clock_ns();
	while (r->sm.state < REQ_AWAIT && r->sm.state >= REQ_CONNECT)
		ph_request_event(r, 1);
}

/* The Codex backend knows no other answer: for a client that wants one object the events are collected. */
static bool streams_always(const struct ph_account *a)
{
	return a->kind == PH_CODEX;
}

static void put_client_headers(struct ph_request *r, const struct ph_head *head)
{
	struct ph_buf *headers = &r->attempt.headers;

	if (r->attempt.collected && r->attempt.sse)
		ph_http_put_header(headers, PH_STR("content-type"), PH_STR("application/json"));
	else
		ph_reply_pass_headers(head, headers);
	if (r->account->kind == PH_CODEX && r->x && ph_is_codex_client(r->x))
		ph_turn_state_put(headers, head, r->account->id);
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_request *r = owner;
	struct ph_attempt *a = &r->attempt;

	catch_up(r);
	a->status = head->status;
	a->collected = !r->body.stream && streams_always(r->account);
	a->sse = head->status / 100 == 2 && (r->body.stream || a->collected) && is_sse(head);
	a->refused = head->status / 100 != 2 || (r->body.stream && !a->sse);
	if (a->refused)
		a->after_ms = ph_retry_after_ms(head);
	ph_health_head(r->g, r->account, head);
	put_client_headers(r, head);
	ph_buf_init(&a->body, a->refused ? REFUSE_MAX : r->g->config->max_body + REFUSE_MAX);
	if (a->sse)
		ph_relay_open(r);
	else if (!a->refused)
		ph_request_event(r, 1); /* AWAIT -> RELAY: a whole answer is on its way */
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_request *r = owner;
	struct ph_attempt *a = &r->attempt;
	int rc;

	if (a->refused) {
		size_t room = REFUSE_MAX - a->body.n;

		ph_buf_puts(&a->body, ph_str(bytes.p, bytes.n < room ? bytes.n : room));
		return;
	}
	if (!a->sse) {
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
	if (!ph_collect_answer(&r->collect, body)) {
		ph_request_event(
			r, ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "an answer that is no JSON object"));
		return;
	}
	if (ph_str_eq(r->collect.status, PH_STR("failed"))) {
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
	enum {
		EOF_BEFORE,
		EOF_HELD,
		EOF_SHOWN
	};

	ph_relay_finish_feed(r);
	if (r->sm.state < REQ_CONNECT || r->sm.state > REQ_RELAY || r->attempt.call)
		return; /* the last unit ended it, one way or another */
	ph_metric_add(PH_M_UPSTREAM_EOF,
		r->shown               ? EOF_SHOWN
		: r->relay.saw_created ? EOF_HELD
				       : EOF_BEFORE,
		0, 1);
	ph_request_event(
		r, ph_fail(&r->fault, PH_E_UPSTREAM_DROPPED,
			   "account %s ended the stream without a terminal event", r->account->name));
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_request *r = owner;
	struct ph_attempt *a = &r->attempt;

	a->call = NULL;
	if (r->sm.state < REQ_CONNECT || r->sm.state > REQ_RELAY)
		return; /* the rest of an answer whose terminal event was seen */
	catch_up(r);
	if (status && !a->refused && !(a->sse && status == -PH_E_UPSTREAM_DROPPED)) {
		r->fault = *err;
		ph_request_event(r, status);
	} else if (a->refused) {
		ph_request_event(
			r, ph_attempt_failure(r, ph_buf_str(&a->body), a->status / 100 == 2 ? 0 : a->status));
	} else if (a->sse) {
		on_stream_over(r);
	} else {
		on_whole(r);
	}
}

static const struct ph_call_events events = {on_connected, on_sent, on_head, on_body, on_end};

/* The conversation comes from another account, as far as is known here. */
static bool moved(const struct ph_request *r)
{
	int64_t before =
		r->chain && r->chain->status == PH_CHAIN_OK ? r->chain->account : r->choice.preferred;

	return before != 0 && before != r->account->id;
}

int ph_attempt_start(struct ph_request *r)
{
	struct ph_buf head, body;
	struct ph_call_request request = {
		.base = &r->account->base,
		.method = PH_STR("POST"),
		.path = PH_STR("/responses"),
		.head = &head,
		.body = &body,
		.fresh = r->fresh,
	};
	int rc;

	ph_attempt_end(r);
	r->attempts++;
	ph_buf_init(&r->attempt.headers, HEAD_MAX);
	ph_buf_init(&r->attempt.body, REFUSE_MAX);
	ph_buf_init(&body, r->g->config->max_body + REFUSE_MAX);
	ph_collect_reset(&r->collect);
	rc = build_body(r, &body);
	if (rc == 0) {
		ph_buf_init(&head, HEAD_MAX);
		ph_account_headers(&head, r->account, r->x,
			r->body.stream || streams_always(r->account) ? PH_STR("text/event-stream")
								     : PH_STR("application/json"),
			true, moved(r));
		r->attempt.open = true;
		r->attempt.health_version = r->account->health.version;
		r->attempt.call = ph_call_start(r->g->upstream, &request, &events, r);
		ph_buf_deinit(&head);
	}
	ph_buf_deinit(&body);
	return rc;
}

void ph_attempt_end(struct ph_request *r)
{
	if (r->attempt.call) {
		ph_call_cancel(r->attempt.call);
		r->attempt.call = NULL;
	}
	if (r->attempt.open)
		count(r, r->client_gone ? ATTEMPT_CANCELLED : ATTEMPT_FAILED);
	ph_relay_close(r);
	ph_buf_deinit(&r->attempt.headers);
	ph_buf_deinit(&r->attempt.body);
	memset(&r->attempt, 0, sizeof r->attempt);
}

void ph_attempt_finish(struct ph_request *r)
{
	count(r, ATTEMPT_OK);
	r->attempt.open = false;
	if (r->attempt.call)
		ph_call_abandon(r->attempt.call);
	r->attempt.call = NULL;
}
