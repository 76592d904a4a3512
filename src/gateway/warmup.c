/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn with generate:false asks for no answer: it lays down input that later turns continue from. On a
 * client's WebSocket it goes to an account that has WebSockets, which warms its caches, and the first real
 * turn is live. No upstream over HTTP knows it: then, and where no account takes it, it is answered here,
 * under an id of ours, without account and slot, and its input goes out with the first real turn (handbook,
 * continuity 4.9). One whose anchor is known upstream at best cannot be answered so: nobody could continue
 * it.
 */
#include "posthouse/clock.h"
#include "request_priv.h"

#define ANSWER_MAX (64 * 1024)
#define ID_RANDOM  48

static void put_response(const struct ph_request *r, const char *id, const char *status, struct ph_buf *out)
{
	const struct ph_turn_body *b = &r->body;
	bool done = strcmp(status, "completed") == 0;
	long long now = (long long)(ph_clock_unix_ms() / 1000);
	const struct ph_json_member *key = &b->m[PH_B_CACHE_KEY];

	ph_buf_printf(out, "{\"id\":\"%s\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\"", id,
		now, status);
	if (done)
		ph_buf_printf(out, ",\"completed_at\":%lld", now);
	else
		ph_buf_puts(out, PH_STR(",\"completed_at\":null"));
	ph_buf_puts(out, PH_STR(",\"model\":\""));
	ph_buf_json(out, b->model);
	ph_buf_puts(out, PH_STR("\",\"previous_response_id\":"));
	ph_buf_puts(out, b->previous.n ? b->m[PH_B_PREVIOUS].value : PH_STR("null"));
	ph_buf_puts(out, PH_STR(",\"prompt_cache_key\":"));
	ph_buf_puts(out, key->kind == PH_JSON_STRING ? key->value : PH_STR("null"));
	ph_buf_printf(out, ",\"store\":%s,\"usage\":", b->store ? "true" : "false");
	ph_buf_puts(
		out, done ? PH_STR("{\"input_tokens\":0,\"input_tokens_details\":{\"cached_tokens\":0},"
				   "\"output_tokens\":0,\"output_tokens_details\":{\"reasoning_tokens\":0},"
				   "\"total_tokens\":0}")
			  : PH_STR("null"));
	ph_buf_puts(out,
		PH_STR(",\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"output\":[],"
		       "\"tools\":[],\"tool_choice\":\"auto\",\"parallel_tool_calls\":true,"
		       "\"truncation\":\"disabled\",\"text\":{\"format\":{\"type\":\"text\"}},"
		       "\"temperature\":1.0,\"top_p\":1.0,\"presence_penalty\":0.0,\"frequency_penalty\":0.0,"
		       "\"top_logprobs\":0,\"reasoning\":{\"effort\":null,\"summary\":null},"
		       "\"max_output_tokens\":null,\"max_tool_calls\":null,\"background\":false,"
		       "\"service_tier\":\"default\",\"metadata\":{},\"safety_identifier\":null}"));
}

/* Only a client that stays on its socket gains by it, and only where upstream has one as well. */
static bool goes_upstream(const struct ph_request *r)
{
	if (r->dress.framing != PH_FRAMING_WS)
		return false;
	return r->sm.state == REQ_RESOLVE ? ph_lane_thinkable(r) : ph_lane_possible(r, r->account);
}

/* Whether its input, under an id of ours, can be continued: all behind it is known here. */
static bool continuable(const struct ph_request *r)
{
	return r->body.previous.n == 0 ||
	       (r->chain && (r->chain->status == PH_CHAIN_OK || r->chain->status == PH_CHAIN_TIP));
}

bool ph_warmup_is_ours(const struct ph_request *r)
{
	int s = (int)r->sm.state;

	if (r->body.generate || s < REQ_RESOLVE || s > REQ_RELAY || r->relay.ended || !continuable(r))
		return false;
	if (r->err == 0)
		return (s == REQ_RESOLVE || s == REQ_LEASE) && !goes_upstream(r);
	/* No account's trouble is worth telling, as long as nothing was asked for. */
	return s > REQ_RESOLVE && !r->shown && r->err != -PH_E_CLIENT_GONE &&
	       ph_err_info(r->err)->blames != PH_CLIENT;
}

int ph_warmup_needs_socket(struct ph_request *r)
{
	if (continuable(r))
		return ph_fail(&r->fault, PH_E_UPSTREAM_CANNOT, "a warm-up over HTTP");
	return ph_fail_param(&r->fault, PH_E_ANCHOR_UNKNOWN, "previous_response_id",
		"Previous response with id '%.*s' not found.", PH_STR_ARG(r->body.previous));
}

void ph_warmup_start(struct ph_request *r)
{
	char id[5 + ID_RANDOM + 1] = "resp_";
	struct ph_buf response;

	ph_lease_cancel(r);
	ph_attempt_end(r);
	ph_lease_release(r);
	r->err = 0;
	r->account_id = 0;
	r->answered_here = true;
	ph_rand_id(id + 5, ID_RANDOM);
	ph_buf_init(&response, ANSWER_MAX);
	put_response(r, id, "completed", &response);
	ph_collect_reset(&r->collect);
	r->mode = PH_MODE_NONE;
	r->relay.ended = PH_TERMINAL_COMPLETED;
	if (response.failed || !ph_collect_response(&r->collect, ph_buf_str(&response)))
		r->relay.ended = PH_TERMINAL_FAILED; /* members longer than any that upstreams take */
	r->terminal_ns = r->first_event_ns = ph_clock_ns();
	ph_buf_deinit(&response);
}

static void put_event(
	const struct ph_request *r, const char *type, const char *status, int number, struct ph_buf *out)
{
	char id[5 + ID_RANDOM + 1];
	struct ph_buf json;

	ph_str_copy(id, sizeof id, r->collect.id);
	ph_buf_init(&json, 2 * ANSWER_MAX);
	ph_buf_printf(&json, "{\"type\":\"%s\",\"sequence_number\":%d,\"response\":", type, number);
	put_response(r, id, status, &json);
	ph_buf_putc(&json, '}');
	ph_put_event(out, &r->dress, ph_str_c(type), ph_buf_str(&json));
	ph_buf_deinit(&json);
}

static void put_stream(const struct ph_request *r, struct ph_buf *out)
{
	put_event(r, "response.created", "in_progress", 0, out);
	put_event(r, "response.completed", "completed", 1, out);
	if (r->dress.framing == PH_FRAMING_SSE)
		ph_buf_puts(out, PH_SSE_DONE);
}

void ph_warmup_release(struct ph_request *r)
{
	struct ph_exchange *x = r->x;
	struct ph_buf headers, body;

	if (r->relay.ended != PH_TERMINAL_COMPLETED) {
		ph_fail(&r->fault, PH_E_BODY_TOO_LARGE, "%s", "");
		ph_reply_error(r->g, x, PH_E_BODY_TOO_LARGE, &r->fault, 0, "none");
		r->http_status = ph_err_info(PH_E_BODY_TOO_LARGE)->http;
		r->x = NULL;
		return;
	}
	ph_buf_init(&headers, PH_HEAD_MAX);
	ph_buf_init(&body, 4 * ANSWER_MAX);
	ph_http_put_header(&headers, PH_STR("content-type"),
		r->body.stream ? PH_STR("text/event-stream") : PH_STR("application/json"));
	ph_reply_common(r->g, x, &headers);
	ph_reply_continuity(&headers, ph_request_mode(r));
	if (r->body.stream)
		put_stream(r, &body);
	else
		ph_buf_puts(&body, ph_buf_str(&r->collect.response));
	r->shown = true;
	r->http_status = 200;
	r->bytes_out += body.n;
	r->x = NULL;
	x->ops->head(x->end, 200, &headers, r->body.frame ? -1 : (int64_t)body.n);
	x->ops->push(x->end, ph_buf_str(&body));
	x->ops->finish(x->end);
	ph_buf_deinit(&headers);
	ph_buf_deinit(&body);
}
