/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer: finds the account, records, lets the account's mode and the scripts answer
 * first, then hands over to the endpoint. Counts what began and how it ended.
 */
#include <stdio.h>

#include "posthouse/clock.h"
#include "posthouse/url.h"
#include "posthouse/zip.h"
#include "socket.h"
#include "turn.h"

bool fake_path_under(struct ph_str path, struct ph_str prefix, struct ph_str *rest)
{
	if (!ph_str_starts(path, prefix))
		return false;
	*rest = ph_str_from(path, prefix.n);
	return rest->n == 0 || rest->p[0] == '/' || rest->p[0] == ':';
}

/* ---- whose request ---- */

/* "/a/NAME/v1/.." names the account and is cut from the path. */
static bool account_of_path(struct fake_exchange *x)
{
	struct ph_str rest;

	if (!fake_path_under(x->path, PH_STR("/a"), &rest) || rest.n < 2)
		return false;
	rest = ph_str_from(rest, 1);
	struct ph_str name = ph_str(rest.p, rest.n);
	ptrdiff_t slash = ph_str_find(rest, PH_STR("/"));

	if (slash >= 0)
		name.n = (size_t)slash;
	x->account = fake_account_named(x->server, name);
	x->path = ph_str_from(rest, name.n);
	x->by_path = true;
	return true;
}

/* False: refused and answered. */
static bool find_account(struct fake_exchange *x, struct fake_account *of_port)
{
	struct ph_str authorization = ph_head_get(x->head, PH_STR("authorization"));

	if (!account_of_path(x))
		x->account = of_port ? of_port : fake_account_by_key(x->server, authorization);
	if (x->account && fake_account_opens(x->account, authorization))
		return true;
	x->account = NULL;
	x->server->unauthorized++;
	fake_record_start(x);
	fake_answer_error(
		x, 401, "invalid_request_error", "invalid_api_key", NULL, "Incorrect API key provided.");
	return false;
}

/* False: refused and answered. */
static bool login_opens(struct fake_exchange *x)
{
	const char *code = fake_login_refuses(x->account, ph_head_get(x->head, PH_STR("authorization")));

	if (!code)
		return true;
	x->server->unauthorized++;
	fake_answer_error(x, 401, "invalid_request_error", code, NULL,
		"Provided authentication token is expired. Please try signing in again.");
	return false;
}

static void count_start(struct fake_exchange *x)
{
	struct fake_account *a = x->account;

	a->requests++;
	if (x->conn->last != a)
		a->connections++;
	x->conn->last = a;
}

/* ---- the answer of a mode or of a script ---- */

static void answer_limited(struct fake_exchange *x)
{
	struct ph_buf *b = &x->play.payload;
	struct fake_account *a = x->account;
	unsigned long long at = ph_clock_unix_ms() / 1000 + a->retry_after;
	char text[400];

	if (a->kind == FAKE_CODEX)
		ph_buf_printf(b,
			"{\"error\":{\"type\":\"usage_limit_reached\",\"message\":\"The usage limit has been "
			"reached\","
			"\"plan_type\":\"pro\",\"resets_at\":%llu,\"resets_in_seconds\":%llu}}",
			at, (unsigned long long)a->retry_after);
	else
		ph_buf_printf(b,
			"{\"error\":{\"message\":\"Rate limit reached for requests. Please try again in "
			"%llus.\","
			"\"type\":\"requests\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}",
			(unsigned long long)a->retry_after);
	snprintf(text, sizeof(text), "{\"headers\":{\"retry-after\":\"%llu\"}}",
		(unsigned long long)a->retry_after);
	fake_do_unref(x->todo);
	x->todo = fake_do_parse(ph_str_c(text), NULL);
	fake_answer(x, 429, "application/json", FAKE_LENGTH);
}

static void answer_mode(struct fake_exchange *x)
{
	x->todo = fake_do_unref(x->todo);
	switch (x->account->mode) {
	case FAKE_DOWN:
		fake_answer_error(x, 503, "server_error", "server_error", NULL,
			"The server had an error. Sorry about that!");
		return;
	case FAKE_OVERLOADED:
		fake_answer_error(x, 503, "service_unavailable_error", "server_is_overloaded", NULL,
			"Our servers are currently overloaded.");
		return;
	case FAKE_QUOTA:
		fake_answer_error(x, 429, "insufficient_quota", "insufficient_quota", NULL,
			"You exceeded your current quota, please check your plan and billing details.");
		return;
	case FAKE_REVOKED:
		fake_answer_error(x, 401, "invalid_request_error",
			x->account->kind == FAKE_CODEX ? "token_revoked" : "invalid_api_key", NULL,
			"Incorrect API key provided: %s.", x->account->name);
		return;
	case FAKE_DEACTIVATED:
		fake_answer_error(x, 403, "invalid_request_error", "account_deactivated", NULL,
			"The OpenAI account associated with this API key has been deactivated.");
		return;
	case FAKE_REFUSE:
		fake_answer_nothing(x, FAKE_ABORT);
		return;
	case FAKE_SILENT:
		fake_answer_nothing(x, FAKE_HOLD);
		return;
	case FAKE_LIMITED:
	case FAKE_UP:
	case FAKE_MODES_NR:
		break;
	}
	answer_limited(x);
}

/* A fault before the first byte. False: it is over with a delay, or there is none. */
static bool strike_at_head(struct fake_exchange *x)
{
	struct fake_do *d = x->todo;
	enum fake_fault fault = (enum fake_fault)d->fault;

	if (d->at != FAKE_AT_HEAD || !fault)
		return false;
	if (fault == FAKE_SILENCE && FAKE_DO(d, for_ms, 0) > 0) {
		x->play.steps[0].delay_ms = (uint64_t)d->for_ms;
		fault = (enum fake_fault)d->then;
	}
	if (!fault || fault > FAKE_SHUT)
		return false;
	x->play.ending = fault == FAKE_RESET                                    ? FAKE_ABORT
			 : fault == FAKE_SILENCE                                ? FAKE_HOLD
			 : x->lane && (fault == FAKE_END || fault == FAKE_SHUT) ? FAKE_CLOSE
										: FAKE_CUT;
	x->play.steps[0].delay_ms += (uint64_t)FAKE_DO(d, first_delay_ms, 0);
	fake_play_start(x);
	return true;
}

/* A socket serves only so many turns. */
static bool answer_worn_out(struct fake_exchange *x)
{
	int64_t max = FAKE_DO(x->todo, max_turns, INT64_MAX);

	if (!x->lane || x->lane->socket->turns <= (uint64_t)max)
		return false;
	x->faulted = true;
	fake_answer_error(x, 400, "invalid_request_error", "websocket_connection_limit_reached", NULL,
		"Responses websocket connection limit reached (60 minutes). Create a new websocket "
		"connection to continue.");
	return true;
}

bool fake_exchange_overridden(struct fake_exchange *x)
{
	struct fake_do *d = x->todo;

	x->faulted = x->account->mode != FAKE_UP ||
		     (d && (d->fault || d->raw.p || d->body.p || FAKE_DO(d, status, 200) != 200));
	if (x->account->mode != FAKE_UP) {
		answer_mode(x);
		return true;
	}
	if (!d)
		return false;
	if (strike_at_head(x) || answer_worn_out(x))
		return true;
	if (!d->raw.p && !d->body.p && FAKE_DO(d, status, 200) == 200 && !FAKE_DO(d, html, false))
		return false;
	fake_answer_scripted(x);
	return true;
}

/* ---- the request ---- */

static bool is_turn(const struct fake_exchange *x)
{
	return ph_str_eq(x->head->method, PH_STR("POST")) &&
	       (ph_str_eq(x->path, PH_STR("/responses")) || ph_str_eq(x->path, PH_STR("/responses/")));
}

static bool is_chat(const struct fake_exchange *x)
{
	return ph_str_eq(x->head->method, PH_STR("POST")) &&
	       ph_str_eq(x->path, PH_STR("/chat/completions")) && x->account->kind != FAKE_CODEX &&
	       !x->account->no_chat;
}

/* Base paths: "/v1", and "/backend-api/codex" for codex accounts; under "/a/NAME" any. */
static bool cut_base(struct fake_exchange *x)
{
	struct ph_str rest;
	bool codex = x->account->kind == FAKE_CODEX;

	if ((x->by_path || !codex) && fake_path_under(x->path, PH_STR("/v1"), &rest)) {
		x->path = rest;
		return true;
	}
	if ((x->by_path || codex) && fake_path_under(x->path, PH_STR("/backend-api/codex"), &rest)) {
		x->path = rest;
		return true;
	}
	return false;
}

/* The body as its account reads it. False: it cannot be decoded. */
static bool decode(struct fake_exchange *x)
{
	enum ph_encoding encoding;
	struct ph_unzip *u;
	bool ok;

	if (ph_encoding_parse(ph_head_get(x->head, PH_STR("content-encoding")), &encoding))
		return false;
	if (encoding == PH_IDENTITY)
		return true;
	u = ph_unzip_new(encoding, &x->plain);
	ok = !ph_unzip_feed(u, x->body) && !ph_unzip_finish(u);
	ph_unzip_free(u);
	x->body = ph_buf_str(&x->plain);
	return ok;
}

static void begin(struct fake_exchange *x)
{
	fake_play_reset(x);
	ph_arena_init(&x->arena, FAKE_ANSWER_MAX);
	x->body = ph_buf_str(&x->conn->body);
	x->account = NULL;
	x->by_path = x->turn = x->faulted = x->refused = false;
	x->chat = (struct fake_chat){0};
	x->stored[0] = x->tag[0] = x->anchor[0] = '\0';
}

void fake_exchange_create(struct fake_exchange *x)
{
	begin(x);
	x->head = x->conn->exchange.head;
	x->account = x->lane->socket->account;
	count_start(x);
	fake_record_start(x);
	if (!x->record) { /* which would hold the body for the whole turn */
		x->plain = x->conn->body;
		ph_buf_init(&x->conn->body, FAKE_BODY_MAX);
	}
	fake_turn_start(x);
}

void fake_exchange_start(struct fake_exchange *x, struct fake_account *of_port)
{
	struct ph_str rest;

	begin(x);
	if (ph_target_split(x->head->target, &x->path, &x->query)) {
		fake_answer_error(x, 400, "invalid_request_error", NULL, NULL, "Bad request target.");
		return;
	}
	if (fake_path_under(x->path, PH_STR("/_fake"), &rest)) {
		x->path = rest;
		fake_control_start(x);
		return;
	}
	if (!find_account(x, of_port))
		return;
	count_start(x);
	fake_record_start(x);
	if (ph_str_eq(x->path, PH_STR("/oauth/token"))) {
		fake_login_exchange(x);
		return;
	}
	if (!login_opens(x))
		return;
	if (!cut_base(x))
		fake_answer_error(x, 404, "invalid_request_error", NULL, NULL, "Invalid URL (%.*s %.*s)",
			PH_STR_ARG(x->head->method), PH_STR_ARG(x->head->target));
	else if (x->head->upgrade)
		fake_upgrade_start(x);
	else if (!decode(x))
		fake_answer_error(x, 400, "invalid_request_error", NULL, NULL, "The body cannot be decoded.");
	else if ((x->chat.on = is_chat(x)) || is_turn(x))
		fake_turn_start(x);
	else
		fake_rest_start(x);
}

static void count_end(struct fake_exchange *x, bool cancelled)
{
	struct fake_account *a = x->account;

	if (!a)
		return;
	if (x->turn)
		a->running--;
	if (cancelled) {
		a->cancelled++;
		a->cancelled_at = fake_now_ms();
	} else if (x->faulted) {
		a->faulted++;
	} else if (x->turn) {
		a->completed++;
	}
}

/* A turn that its peer abandoned cannot be continued. */
static void forget_stored(struct fake_exchange *x)
{
	struct fake_stored *r;

	if (!x->stored[0])
		return;
	r = fake_store_get(&x->server->store, x->account, ph_str_c(x->stored));
	if (r)
		fake_store_drop(&x->server->store, r);
}

void fake_exchange_end(struct fake_exchange *x, bool cancelled)
{
	count_end(x, cancelled);
	if (cancelled)
		forget_stored(x);
	if (x->lane)
		fake_lane_settle(x, cancelled);
	x->steerable = fake_turn_free(x->steerable);
	fake_record_end(x, cancelled);
	x->todo = fake_do_unref(x->todo);
	ph_arena_deinit(&x->arena);
	ph_buf_deinit(&x->plain);
	x->account = NULL;
	x->turn = false;
	fake_play_reset(x);
}
