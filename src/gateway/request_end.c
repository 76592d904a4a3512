/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a turn ends: COMMIT, where what it produced is recorded and the client gets the end of its answer;
 * REJECT, where the client is told why there is none, or no whole one; SETTLE, where its account is free
 * again and it is counted. Which of these comes when is the machine's (request.c), the bytes of a stream's
 * end are the relay's (relay_end.c).
 */
#include "chat.h"
#include "pool.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

#define COMMIT_MS 5000

/* ---- COMMIT ---- */

static void release_whole(struct ph_request *r)
{
	struct ph_exchange *x = r->x;
	struct ph_buf headers;
	struct ph_buf filled;
	struct ph_str body = ph_buf_str(&r->attempt.body);

	ph_buf_init(&headers, PH_HEAD_MAX);
	ph_buf_init(&filled, PH_COLLECT_MAX);
	if (r->ask == PH_ASK_COMPACT && r->attempt.collected) {
		ph_ask_put_compaction(r, &filled);
		body = ph_buf_str(&filled);
	} else if (r->collect.output_missing) {
		ph_collect_filled(&r->collect, ph_str_trim(body), &filled);
		body = ph_buf_str(&filled);
	}
	ph_buf_puts(&headers, ph_buf_str(&r->attempt.headers));
	ph_pool_headers(r->g, x, r->door.key, &headers);
	ph_reply_common(r->g, x, &headers);
	ph_reply_continuity(&headers, ph_request_mode(r));
	r->shown = true;
	r->http_status = r->attempt.status;
	r->bytes_out += body.n;
	r->x = NULL;
	x->ops->head(x->end, r->attempt.status, &headers, (int64_t)body.n);
	x->ops->push(x->end, body);
	x->ops->finish(x->end);
	ph_buf_deinit(&headers);
	ph_buf_deinit(&filled);
}

void ph_request_release(struct ph_request *r)
{
	if (r->released)
		return;
	r->released = true;
	ph_timer_stop(&r->timer);
	if (!r->x)
		return;
	if (r->answered_here)
		ph_warmup_release(r);
	else if (r->attempt.events && !r->attempt.collected)
		ph_relay_release(r);
	else
		release_whole(r);
}

static void on_committed(void *arg, int status)
{
	struct ph_request *r = arg;

	(void)status; /* counted and logged where it was written; never shown as a failure of the turn */
	if (ph_request_owed(r) && r->sm.state == REQ_COMMIT)
		ph_request_event(r, 1);
}

static void on_begun(void *arg, int status)
{
	(void)status;
	(void)ph_request_owed(arg);
}

static void on_logged(void *arg, int status)
{
	(void)arg;
	(void)status;
}

static const char *outcome_of(enum ph_terminal ended)
{
	if (ended == PH_TERMINAL_FAILED)
		return "failed";
	return ended == PH_TERMINAL_INCOMPLETE ? "incomplete" : "completed";
}

int ph_request_commit(struct ph_request *r)
{
	bool finished, keep, owned;

	if (!r->body.generate && !r->relay.ended)
		ph_warmup_start(r);
	finished = r->relay.ended == PH_TERMINAL_COMPLETED || r->relay.ended == PH_TERMINAL_INCOMPLETE;
	keep = finished && ph_record_keeps(r);
	/* Whose id it is must be known before anybody can use it: upstream would answer for it to any key. */
	owned = r->ask == PH_ASK_RESPONSE && r->relay.ended != PH_TERMINAL_FAILED && r->account &&
		r->account->kind == PH_PLATFORM && (r->chat ? ph_chat_is_stored(r) : r->body.store);
	if (r->account) {
		ph_account_answered(r->g->accounts, r->account, r->attempt.health_version);
		ph_account_worked(r->g->accounts, r->account);
	}
	r->outcome = outcome_of(r->relay.ended);
	/* A client of a limited key may come back at once, and must not meet its own reservation. */
	if (!keep && !owned && !r->reserved) {
		ph_record_commit(r, false, on_logged);
		ph_request_release(r);
		return 1;
	}
	/* Not finished: the account goes on with it in the background. */
	if (owned && r->body.background && !r->relay.ended)
		ph_record_begin(r, r->collect.id, on_begun);
	r->pending_commit++;
	ph_record_commit(r, keep, on_committed);
	ph_timer_start(&r->timer, COMMIT_MS);
	return 0;
}

/* ---- REJECT ---- */

/* What the upstream said of the request itself goes to the client as it came. */
static bool reject_in_upstreams_words(struct ph_request *r)
{
	struct ph_str body = ph_str_trim(ph_buf_str(&r->words));
	int code = -r->err, status = r->words_status >= 400 ? r->words_status : 400;
	struct ph_exchange *x = r->x;
	struct ph_buf headers;
	struct ph_json_member m;
	struct ph_str name = PH_STR("error");

	if (code != PH_E_UPSTREAM_REFUSED && code != PH_E_UPSTREAM_CANNOT && code != PH_E_REASONING_REFUSED)
		return false;
	if (status == 413 || ph_json_kind(body) != PH_JSON_OBJECT || ph_json_check(body, NULL) ||
		!ph_json_find(body, &name, 1, &m) || m.kind != PH_JSON_OBJECT || m.value.n + 1 >= body.n)
		return false;
	ph_buf_init(&headers, PH_HEAD_MAX);
	ph_http_put_header(&headers, PH_STR("content-type"), PH_STR("application/json"));
	ph_reply_common(r->g, x, &headers);
	ph_reply_continuity(&headers, ph_request_mode(r));
	r->http_status = status;
	x->ops->head(x->end, status, &headers, (int64_t)body.n);
	x->ops->push(x->end, body);
	x->ops->finish(x->end);
	ph_buf_deinit(&headers);
	return true;
}

static void reject_in_ours(struct ph_request *r)
{
	int code = -r->err;

	if (code == PH_E_ANCHOR_LOST) {
		code = PH_E_ANCHOR_UNKNOWN;
		ph_fail_param(&r->fault, code, "previous_response_id",
			"Previous response with id '%.*s' not found.", PH_STR_ARG(r->body.previous));
	}
	if (code == PH_E_UPSTREAM_REFUSED && r->words_status == 413) {
		code = PH_E_BODY_TOO_LARGE;
		ph_fail(&r->fault, code, "%s", ""); /* not which account said so */
	}
	r->http_status = ph_err_info(code)->http;
	/* Always "none": how far an anchor came must not tell whose it is. */
	ph_reply_error(r->g, r->x, code, &r->fault, r->after_ms, "none");
}

int ph_request_reject(struct ph_request *r)
{
	ph_timer_stop(&r->timer);
	ph_timer_stop(&r->hold);
	r->outcome = "failed";
	ph_metric_add(PH_M_ERRORS, ph_err_info(r->err)->blames, 0, 1);
	if (!r->x)
		return 1;
	if (r->shown) {
		ph_relay_fail(r);
	} else if (!reject_in_upstreams_words(r)) {
		reject_in_ours(r);
	}
	r->x = NULL;
	return 1;
}

/* ---- SETTLE ---- */

int ph_request_settle(struct ph_request *r)
{
	ph_timer_stop(&r->timer);
	ph_timer_stop(&r->hold);
	if (r->client_gone && !r->outcome)
		r->outcome = "client_gone";
	if (r->account && r->relay.ended)
		ph_attempt_finish(r);
	ph_record_log(r);
	if (!r->released && r->body_ns && r->door.key)
		ph_record_commit(r, false, on_logged);
	ph_attempt_end(r);
	ph_lease_release(r);
	return 1;
}
