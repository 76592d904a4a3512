/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One attempt of a turn at one account: the body is put together and sent, over HTTP (attempt_http.c) or on a
 * WebSocket (attempt_socket.c), which lead the answer to the relay. What the upstream's bytes mean is the
 * classifier's business; what follows from it is the machine's.
 */
#include <stdlib.h>

#include "chat.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"

#define HEADERS_MAX (128 * 1024)
#define MESSAGE_MAX (15 * 1024 * 1024) /* upstreams take 16 MiB in a frame */

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

	if (r->bound_to && r->bound_to != bound->account) {
		ph_fail_param(&r->fault, PH_E_IDS_MIXED, "input", "%s", "");
	} else if (owner && !r->bound_to && ph_lease_eligible(r, owner)) {
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
	int rc;

	if (r->mode == PH_MODE_REPLAYED)
		rc = ph_chain_replay(r->chain, &target, r->body.items, r->found, items, bound);
	else
		rc = ph_items_prepare(r->body.items, r->found, &target, items, bound);
	return rc ? rc : ph_ask_put_trigger(r, items);
}

/* Whether the client's own input is what the account gets. */
static bool input_as_it_is(const struct ph_request *r)
{
	bool list_wanted = r->account->kind == PH_CODEX && r->body.m[PH_B_INPUT].kind != PH_JSON_ARRAY;

	return r->mode != PH_MODE_REPLAYED && !has_found(r) && !r->strip && !list_wanted &&
	       !ph_ask_is_trigger(r);
}

/* The account's own response is what it goes on from. */
static bool anchored(const struct ph_request *r)
{
	return r->mode == PH_MODE_FORWARDED || r->mode == PH_MODE_LIVE;
}

static int build_body(struct ph_request *r, struct ph_buf *out)
{
	uint64_t max = r->g->config->max_body;
	struct ph_body_plan plan = {.account = r->account->id,
		.codex = r->account->kind == PH_CODEX,
		.anchor = anchored(r),
		.socket = r->attempt.socket,
		.omit = r->omit,
		.omit_count = r->omit_count};
	struct ph_bound bound = {.account = 0};
	struct ph_buf items;
	int rc;

	if (r->attempt.chat) {
		ph_buf_puts(out, ph_chat_text(r->chat));
		return 0;
	}
	ph_ask_plan(r, &plan);
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

/* An error frame says the status that HTTP would have had, about the error object within it. 0: it is none.
 */
static int status_of_frame(struct ph_str frame)
{
	enum {
		ERROR,
		STATUS,
		STATUS_CODE,
		NR
	};
	static const struct ph_str names[NR] = {
		PH_STR_INIT("error"), PH_STR_INIT("status"), PH_STR_INIT("status_code")};
	struct ph_json_member m[NR];
	uint64_t status;

	if (!ph_json_find(frame, names, NR, m) || m[ERROR].kind != PH_JSON_OBJECT)
		return 0;
	if (!ph_json_u64(m[STATUS].value, &status) && !ph_json_u64(m[STATUS_CODE].value, &status))
		return 0;
	return status >= 400 && status < 600 ? (int)status : 0;
}

/* What the client may be told of a refusal: its own envelope as it came, or one around its words. */
static void keep_words(struct ph_request *r, struct ph_str body, int status, const struct ph_failure *f)
{
	int framed = status ? 0 : status_of_frame(body);
	bool whole = f->error.n && body.n <= PH_REFUSE_MAX;

	ph_buf_reset(&r->words);
	r->words_status = status ? status : framed;
	if (status && whole)
		ph_buf_puts(&r->words, body);
	else if (framed && whole && f->message[0])
		ph_buf_printf(&r->words, "{\"error\":%.*s}", PH_STR_ARG(f->error));
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
	if (!r->omit && !(r->omit = ph_arena_alloc(&r->arena, PH_OMIT_MAX * sizeof *r->omit)))
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
	struct ph_asked asked = {r->body.model, r->choice.client, r->attempt.health_version, r->rounds > 0,
		r->attempt.secret_version};
	struct ph_failure failure;

	ph_classify(&answer, &failure);
	if (r->attempt.chat && ph_chat_missing(r, status, &failure))
		return ph_fail(
			&r->fault, PH_E_CHAT_MISSING, "account %s: HTTP status %d", r->account->name, status);
	if (failure.code == PH_E_UPSTREAM_PARAMETER && !omit_parameter(r, &failure))
		failure.code = PH_E_UPSTREAM_REFUSED;
	if (ph_health_failure(r->g, r->account, &failure, &asked) && r->left[PH_RENEW]) {
		failure.code = PH_E_UPSTREAM_EXPIRED;
		r->expired = r->attempt.secret_version;
	}
	ph_fail(&r->fault, failure.code, "account %s: HTTP status %d, %s", r->account->name, status,
		failure.word[0] ? failure.word : ph_signal_name(failure.signal));
	keep_words(r, body, status, &failure);
	return -failure.code;
}

void ph_attempt_catch_up(struct ph_request *r)
{
	if (!r->attempt.sent_ns)
		r->attempt.sent_ns = ph_clock_ns();
	while (r->sm.state < REQ_AWAIT && r->sm.state >= REQ_CONNECT)
		ph_request_event(r, 1);
}

int ph_attempt_ended_early(struct ph_request *r)
{
	enum {
		EOF_BEFORE,
		EOF_HELD,
		EOF_SHOWN
	};

	ph_metric_add(PH_M_UPSTREAM_EOF,
		r->shown               ? EOF_SHOWN
		: r->relay.saw_created ? EOF_HELD
				       : EOF_BEFORE,
		0, 1);
	return ph_fail(&r->fault, PH_E_UPSTREAM_DROPPED,
		"account %s ended the stream without a terminal event", r->account->name);
}

/* ---- the whole of it ---- */

/* The conversation comes from another account, as far as is known here. */
static bool moved(const struct ph_request *r)
{
	int64_t before = ph_prefer_home(r);

	return before != 0 && before != r->account->id;
}

static int start(struct ph_request *r)
{
	struct ph_buf body, head;
	bool moving = moved(r);
	int rc;

	if (!r->body.generate && !r->attempt.socket)
		return ph_warmup_needs_socket(r);
	ph_buf_init(&body, r->g->config->max_body + PH_REFUSE_MAX);
	rc = build_body(r, &body);
	if (rc == 0 && r->attempt.socket && body.n > MESSAGE_MAX) {
		ph_buf_deinit(&body);
		return ph_attempt_without_socket(r);
	}
	if (rc == 0) {
		ph_buf_init(&head, HEADERS_MAX);
		r->attempt.open = true;
		r->attempt.health_version = r->account->health.version;
		r->attempt.secret_version = r->account->secret_version;
		if (r->attempt.socket)
			ph_attempt_start_socket(r, &head, &body, moving);
		else
			ph_attempt_start_http(r, &head, &body, moving);
		ph_buf_deinit(&head);
	}
	ph_buf_deinit(&body);
	return rc;
}

/* As it came, or translated; and without a socket, for no other turn will go on from it. */
static int start_chat(struct ph_request *r)
{
	int rc;

	r->attempt.chat = ph_chat_is_native(r, r->account);
	ph_chat_native(r->chat, r->attempt.chat);
	rc = r->attempt.chat ? 0 : ph_chat_refused(r);
	return rc ? rc : start(r);
}

int ph_attempt_start(struct ph_request *r)
{
	ph_attempt_end(r);
	r->attempts++;
	ph_buf_init(&r->attempt.headers, HEADERS_MAX);
	ph_buf_init(&r->attempt.body, PH_REFUSE_MAX);
	ph_collect_reset(&r->collect);
	if (r->mode == PH_MODE_LIVE && !ph_lane_fits(r->lane, r->account->id))
		return ph_fail(&r->fault, PH_E_UPSTREAM_STALE, "the socket ended meanwhile");
	if (r->chat)
		return start_chat(r);
	r->attempt.socket = ph_lane_wanted(r);
	return start(r);
}

int ph_attempt_without_socket(struct ph_request *r)
{
	r->attempt.socket = false;
	if (r->mode == PH_MODE_LIVE)
		return ph_fail(&r->fault, PH_E_UPSTREAM_STALE, "the socket cannot take it");
	return start(r);
}

void ph_attempt_pause(struct ph_request *r)
{
	if (!r->attempt.call && !r->attempt.socket)
		return;
	r->paused = true;
	if (r->attempt.call)
		ph_call_read(r->attempt.call, false);
	else
		ph_attempt_read_socket(r, false);
}

void ph_attempt_resume(struct ph_request *r)
{
	r->paused = false;
	if (r->attempt.call)
		ph_call_read(r->attempt.call, true);
	else if (r->attempt.socket)
		ph_attempt_read_socket(r, true);
}

uint64_t ph_attempt_idle_ms(const struct ph_request *r)
{
	uint64_t now = ph_loop_now_ms(r->g->loop);

	if (r->attempt.call)
		return now - ph_call_progress_ms(r->attempt.call);
	return r->attempt.socket ? now - ph_attempt_progress_socket(r) : 0;
}

void ph_attempt_drop(struct ph_request *r)
{
	if (r->attempt.call)
		ph_call_cancel(r->attempt.call);
	r->attempt.call = NULL;
	if (r->attempt.socket)
		ph_attempt_drop_socket(r);
}

void ph_attempt_end(struct ph_request *r)
{
	ph_attempt_drop(r);
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
	if (r->attempt.socket)
		ph_attempt_finish_socket(r);
}
