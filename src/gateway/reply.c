/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of our own: OpenAI's envelope, the headers that every answer carries, and what may pass of an
 * upstream's. */
#include <stdio.h>

#include "gateway_priv.h"
#include "posthouse/clock.h"

#define HEADERS_MAX (64 * 1024)
#define ANSWER_MAX  (64 * 1024)
/* Beyond this wait clients of the OpenAI SDKs come back at once unless they are told not to. */
#define RETRY_SOON_MS   60000
#define RETRY_DEFAULT_S 2

void ph_reply_common(struct ph_gateway *g, const struct ph_exchange *x, struct ph_buf *headers)
{
	ph_http_put_header(headers, PH_STR("x-request-id"), ph_str_c(x->request_id));
	ph_http_put_header(headers, PH_STR("x-posthouse-node"), ph_str_c(g->node));
	ph_buf_puts(headers, x->marks);
}

void ph_reply_continuity(struct ph_buf *headers, const char *continuity)
{
	if (continuity)
		ph_http_put_header(headers, PH_STR("x-posthouse-continuity"), ph_str_c(continuity));
}

static void send_whole(struct ph_exchange *x, int status, struct ph_buf *headers, struct ph_str body)
{
	x->ops->head(x->end, status, headers, (int64_t)body.n);
	x->ops->push(x->end, body);
	x->ops->finish(x->end);
}

void ph_reply_json(struct ph_gateway *g, struct ph_exchange *x, int status, struct ph_str json)
{
	struct ph_buf headers;

	ph_buf_init(&headers, HEADERS_MAX);
	ph_http_put_header(&headers, PH_STR("content-type"), PH_STR("application/json"));
	ph_reply_common(g, x, &headers);
	send_whole(x, status, &headers, json);
	ph_buf_deinit(&headers);
}

static void put_string_or_null(struct ph_buf *b, const char *name, const char *value)
{
	ph_buf_puts(b, PH_STR(",\""));
	ph_buf_puts(b, ph_str_c(name));
	ph_buf_puts(b, PH_STR("\":"));
	if (!value || !value[0]) {
		ph_buf_puts(b, PH_STR("null"));
		return;
	}
	ph_buf_putc(b, '"');
	ph_buf_json(b, ph_str_c(value));
	ph_buf_putc(b, '"');
}

static bool is_bare(int code)
{
	code = code < 0 ? -code : code;
	return code == PH_E_ANCHOR_UNKNOWN || code == PH_E_RESPONSE_UNKNOWN || code == PH_E_ITEM_UNKNOWN ||
	       code == PH_E_RESOURCE_UNKNOWN;
}

/* When a usage limit ends, as clients read it of upstreams. */
static void put_reset(struct ph_buf *out, int code, uint64_t after_ms)
{
	const struct ph_err_info *info = ph_err_info(code);

	if ((info != ph_err_info(PH_E_ACCOUNTS_EXHAUSTED) && info != ph_err_info(PH_E_KEY_QUOTA)) ||
		!after_ms)
		return;
	ph_buf_printf(out, ",\"resets_at\":%llu,\"resets_in_seconds\":%llu",
		(unsigned long long)((ph_clock_unix_ms() + after_ms + 999) / 1000),
		(unsigned long long)((after_ms + 999) / 1000));
}

static void envelope(
	struct ph_buf *out, int code, const struct ph_err *err, uint64_t after_ms, const char *request_id)
{
	const struct ph_err_info *info = ph_err_info(code);
	/* These answers must not tell one request from another (a foreign id from an unknown one), beyond the
	 * id that the client itself sent. */
	bool bare = is_bare(code);
	/* Of our own faults and of upstreams' only the fixed text is told: details name hosts and accounts,
	 * also where an upstream says that the client is to blame. */
	bool detail = err && err->detail[0] && info->blames == PH_CLIENT &&
		      info != ph_err_info(PH_E_UPSTREAM_REFUSED);

	ph_buf_puts(out, PH_STR("{\"error\":{\"message\":\""));
	if (!bare || !detail)
		ph_buf_json(out, ph_str_c(info->text));
	if (detail && !bare)
		ph_buf_putc(out, ' ');
	if (detail)
		ph_buf_json(out, ph_str_c(err->detail));
	if (!bare && request_id) {
		ph_buf_puts(out, PH_STR(" (request "));
		ph_buf_puts(out, ph_str_c(request_id));
		ph_buf_putc(out, ')');
	}
	ph_buf_putc(out, '"');
	put_string_or_null(out, "type", info->type);
	put_string_or_null(out, "param", err ? err->param : NULL);
	put_string_or_null(out, "code", info->ocode);
	put_reset(out, code, after_ms);
	ph_buf_puts(out, PH_STR("}}"));
}

void ph_reply_quote(struct ph_buf *out, const char *message, const char *param, const char *word)
{
	ph_buf_puts(out, PH_STR("{\"error\":{\"message\":\""));
	ph_buf_json(out, ph_str_c(message));
	ph_buf_puts(out, PH_STR("\",\"type\":\"invalid_request_error\""));
	put_string_or_null(out, "param", param);
	put_string_or_null(out, "code", word);
	ph_buf_puts(out, PH_STR("}}"));
}

static void put_retry(struct ph_buf *headers, int status, uint64_t after_ms)
{
	uint64_t seconds = after_ms ? (after_ms + 999) / 1000 : RETRY_DEFAULT_S;
	char text[24];

	if (status != 429 && status != 503)
		return;
	snprintf(text, sizeof text, "%llu", (unsigned long long)seconds);
	ph_http_put_header(headers, PH_STR("retry-after"), ph_str_c(text));
	if (after_ms > RETRY_SOON_MS)
		ph_http_put_header(headers, PH_STR("x-should-retry"), PH_STR("false"));
}

static void put_error_headers(struct ph_buf *headers, int code, uint64_t after_ms)
{
	const struct ph_err_info *info = ph_err_info(code);

	ph_http_put_header(headers, PH_STR("content-type"), PH_STR("application/json"));
	put_retry(headers, info->http, after_ms);
	if (info->http == 426)
		ph_http_put_header(headers, PH_STR("upgrade"), PH_STR("websocket"));
	if (info->http == 401)
		ph_http_put_header(headers, PH_STR("www-authenticate"), PH_STR("Bearer"));
}

void ph_reply_error(struct ph_gateway *g, struct ph_exchange *x, int code, const struct ph_err *err,
	uint64_t after_ms, const char *continuity)
{
	struct ph_buf headers, body;

	ph_buf_init(&headers, HEADERS_MAX);
	ph_buf_init(&body, ANSWER_MAX);
	put_error_headers(&headers, code, after_ms);
	ph_reply_common(g, x, &headers);
	ph_reply_continuity(&headers, continuity);
	envelope(&body, code, err, after_ms, x->request_id);
	send_whole(x, ph_err_info(code)->http, &headers, ph_buf_str(&body));
	ph_buf_deinit(&headers);
	ph_buf_deinit(&body);
}

void ph_gateway_refuse(struct ph_gateway *g, struct ph_exchange *x, int code, const struct ph_err *err)
{
	ph_reply_error(g, x, code, err, 0, NULL);
}

void ph_gateway_refusal(struct ph_gateway *g, int code, const struct ph_err *err, struct ph_buf *out)
{
	struct ph_buf body;
	char request_id[29];

	ph_buf_init(&body, ANSWER_MAX);
	memcpy(request_id, "req_", 4);
	ph_rand_id(request_id + 4, sizeof request_id - 5);
	envelope(&body, code, err, 0, request_id);
	ph_http_put_status(out, ph_err_info(code)->http);
	put_error_headers(out, code, 0);
	ph_http_put_header(out, PH_STR("x-request-id"), ph_str_c(request_id));
	ph_http_put_header(out, PH_STR("x-posthouse-node"), ph_str_c(g->node));
	ph_http_put_header(out, PH_STR("connection"), PH_STR("close"));
	ph_http_put_length(out, body.n);
	ph_http_put_end(out);
	ph_buf_puts(out, ph_buf_str(&body));
	ph_buf_deinit(&body);
}

/* ---- an upstream's headers ---- */

/* Framing and the connection are ours; the rest describes one account, or its vendor's view of it. */
static const struct ph_str never[] = {
	PH_STR_INIT("connection"),
	PH_STR_INIT("keep-alive"),
	PH_STR_INIT("proxy-authenticate"),
	PH_STR_INIT("proxy-connection"),
	PH_STR_INIT("te"),
	PH_STR_INIT("trailer"),
	PH_STR_INIT("transfer-encoding"),
	PH_STR_INIT("upgrade"),
	PH_STR_INIT("content-length"),
	PH_STR_INIT("set-cookie"),
	PH_STR_INIT("alt-svc"),
	PH_STR_INIT("server"),
	PH_STR_INIT("date"),
	PH_STR_INIT("x-request-id"),
	PH_STR_INIT("cf-ray"),
	PH_STR_INIT("openai-organization"),
	PH_STR_INIT("openai-project"),
	PH_STR_INIT("openai-model"),
	PH_STR_INIT("x-models-etag"), /* of one account's list */
	PH_STR_INIT("retry-after"),
	PH_STR_INIT("retry-after-ms"),
	PH_STR_INIT("x-should-retry"),
	PH_STR_INIT("strict-transport-security"),
	PH_STR_INIT("via"),
	PH_STR_INIT("location"),
	PH_STR_INIT("nel"),
	PH_STR_INIT("report-to"),
	PH_STR_INIT("x-served-by"),
	PH_STR_INIT("x-cache"),
};
static const struct ph_str never_with[] = {
	PH_STR_INIT("x-ratelimit-"),
	PH_STR_INIT("x-codex-"),
	PH_STR_INIT("x-posthouse-"),
	PH_STR_INIT("cf-"),
	PH_STR_INIT("x-envoy-"),
	PH_STR_INIT("x-amz-"),
	PH_STR_INIT("x-ms-"),
	PH_STR_INIT("apim-"),
	PH_STR_INIT("azureml-"),
};

static bool may_pass(struct ph_str name)
{
	for (size_t i = 0; i < sizeof never / sizeof *never; i++)
		if (name.n == never[i].n && ph_str_eq_nocase(name, never[i]))
			return false;
	for (size_t i = 0; i < sizeof never_with / sizeof *never_with; i++)
		if (name.n >= never_with[i].n &&
			ph_str_eq_nocase(ph_str(name.p, never_with[i].n), never_with[i]))
			return false;
	return true;
}

static bool is_connection(const struct ph_header *h)
{
	return h->name.n == 10 && ph_str_eq_nocase(h->name, PH_STR("connection"));
}

/* Almost always Connection says no more than this. */
static bool is_plain(struct ph_str options)
{
	return ph_str_eq_nocase(options, PH_STR("keep-alive")) || ph_str_eq_nocase(options, PH_STR("close"));
}

static bool names_fields(const struct ph_head *head)
{
	for (size_t i = 0; i < head->header_count; i++)
		if (is_connection(&head->headers[i]) && !is_plain(head->headers[i].value))
			return true;
	return false;
}

/* What Connection names is for the next hop only: RFC 9110, 7.6.1. */
static bool is_for_this_hop(const struct ph_head *head, struct ph_str name)
{
	for (size_t i = 0; i < head->header_count; i++) {
		struct ph_str options = head->headers[i].value;

		while (is_connection(&head->headers[i]) && options.n)
			if (ph_str_eq_nocase(ph_str_trim(ph_str_split(&options, ',')), name))
				return true;
	}
	return false;
}

void ph_reply_pass_headers(const struct ph_head *head, struct ph_buf *headers)
{
	bool some_stay = names_fields(head);

	for (size_t i = 0; i < head->header_count; i++) {
		struct ph_str name = head->headers[i].name;

		if (may_pass(name) && !(some_stay && is_for_this_hop(head, name)))
			ph_http_put_header(headers, name, head->headers[i].value);
	}
}
