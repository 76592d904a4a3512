/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors. One table gives the enum, the HTTP status, what a turn may do about it, whom it blames, the metric
 * label and the words for the client.
 *
 * A function that can fail returns 0 or a negated code (-PH_E_x). Where a person needs more, its last
 * parameter is a struct ph_err, which is written on the failing path and untouched otherwise. Whoever handles
 * an error logs it, once; a function logs or returns, never both.
 */
#ifndef POSTHOUSE_ERR_H
#define POSTHOUSE_ERR_H

#include <stdarg.h>
#include <stddef.h>

/* What a turn may do about an error while nothing of an answer was shown. */
enum ph_remedy {
	PH_GIVE_UP,       /* say so to the client */
	PH_OTHER_ACCOUNT, /* the same request on an account that was not tried */
	PH_REDIAL,        /* the same account over a new connection, once */
	PH_REPLAY,        /* the anchor was denied: send the chain instead */
	PH_STRIP,         /* ciphertext was refused: send once more without reasoning */
	PH_OMIT,          /* a parameter was refused: send once more without it */
	PH_WAIT_FOR,      /* only one account will do, and it will have a slot: wait for that one */
	PH_RENEW,         /* the account's token has expired: once more with a new one */
	PH_TRANSLATE, /* the account has no chat completions: once more as a request of the Responses API */
	PH_REMEDY_NR,
};

/* Whose fault an error is. Account health looks at ACCOUNT alone. */
enum ph_blame {
	PH_NOBODY,
	PH_CLIENT,
	PH_ACCOUNT,
	PH_SELF,
};

/* clang-format off */
/*   name                http  remedy         blames   metric               type                     code                           text for the client */
#define PH_ERRORS(X)                                                                                                                                     \
	X(INTERNAL,          500, GIVE_UP,       SELF,    "internal",          "server_error",          "internal_error",              "Something failed inside the gateway.") \
	X(SYSTEM,            500, GIVE_UP,       SELF,    "system",            "server_error",          "internal_error",              "Something failed inside the gateway.") \
	X(CONFIG,            500, GIVE_UP,       SELF,    "config",            "server_error",          "internal_error",              "The gateway is not configured correctly.") \
	X(USAGE,             500, GIVE_UP,       SELF,    "usage",             "server_error",          "internal_error",              "The gateway is not configured correctly.") \
	X(SOCKET,            502, OTHER_ACCOUNT, NOBODY,  "socket",            "server_error",          "server_error",                "A network connection failed.") \
	X(TIMEOUT,           504, OTHER_ACCOUNT, NOBODY,  "timeout",           "server_error",          "server_error",                "Something took too long.") \
	X(CLOSED,            502, OTHER_ACCOUNT, NOBODY,  "closed",            "server_error",          "server_error",                "A network connection was closed.") \
	X(CANCELLED,         499, GIVE_UP,       NOBODY,  "cancelled",         "server_error",          NULL,                          "Cancelled.") \
	X(TLS,               502, OTHER_ACCOUNT, NOBODY,  "tls",               "server_error",          "server_error",                "A TLS connection failed.") \
	X(NAME,              502, OTHER_ACCOUNT, NOBODY,  "name",              "server_error",          "server_error",                "A host name could not be resolved.") \
	X(TOO_MANY,          503, GIVE_UP,       SELF,    "too_many",          "server_error",          "overloaded",                  "The gateway is at its limit of concurrent streams. Retry shortly.") \
	X(DRAINING,          503, GIVE_UP,       SELF,    "draining",          "server_error",          "draining",                    "This gateway node is shutting down. Retry: another node will answer.") \
	X(HEAD_BAD,          400, GIVE_UP,       CLIENT,  "head_bad",          "invalid_request_error", "bad_request",                 "The request is not valid HTTP/1.1.") \
	X(HEAD_TOO_LARGE,    431, GIVE_UP,       CLIENT,  "head_too_large",    "invalid_request_error", "headers_too_large",           "The request's header is too large: at most 64 KiB in all and 16 KiB in one field.") \
	X(HEAD_SLOW,         408, GIVE_UP,       CLIENT,  "head_slow",         "invalid_request_error", "request_timeout",             "The request's header was not complete in time.") \
	X(BODY_BAD,          400, GIVE_UP,       CLIENT,  "body_bad",          "invalid_request_error", "bad_request",                 "The request's body is not valid HTTP/1.1.") \
	X(BODY_SLOW,         408, GIVE_UP,       CLIENT,  "body_slow",         "invalid_request_error", "request_timeout",             "The request's body did not arrive in time.") \
	X(BODY_TOO_LARGE,    400, GIVE_UP,       CLIENT,  "body_too_large",    "invalid_request_error", "payload_too_large",           "The request is too large.") \
	X(ENCODING_UNKNOWN,  415, GIVE_UP,       CLIENT,  "encoding_unknown",  "invalid_request_error", "unsupported_content_encoding", "This content-encoding is not supported: send gzip, zstd or none.") \
	X(ENCODING_BAD,      400, GIVE_UP,       CLIENT,  "encoding_bad",      "invalid_request_error", "bad_content_encoding",        "The compressed body cannot be read.") \
	X(JSON_BAD,          400, GIVE_UP,       CLIENT,  "json_bad",          "invalid_request_error", "invalid_json",                "The body is not valid JSON.") \
	X(PARAM_BAD,         400, GIVE_UP,       CLIENT,  "param_bad",         "invalid_request_error", "invalid_value",               "A parameter is not valid.") \
	X(PARAM_MISSING,     400, GIVE_UP,       CLIENT,  "param_missing",     "invalid_request_error", "missing_required_parameter",  "A required parameter is missing.") \
	X(TYPE_BAD,          400, GIVE_UP,       CLIENT,  "type_bad",          "invalid_request_error", "invalid_type",                "A parameter has the wrong type.") \
	X(VALUE_ABOVE,       400, GIVE_UP,       CLIENT,  "value_above",       "invalid_request_error", "integer_above_max_value",     "A parameter is too large.") \
	X(VALUE_BELOW,       400, GIVE_UP,       CLIENT,  "value_below",       "invalid_request_error", "integer_below_min_value",     "A parameter is too small.") \
	X(NOT_BACKGROUND,    400, GIVE_UP,       CLIENT,  "not_background",    "invalid_request_error", NULL,                          "Cannot cancel a synchronous response.") \
	X(MODE_NONE,         400, GIVE_UP,       CLIENT,  "mode_none",         "invalid_request_error", "unsupported_parameter",       "No upstream account of this key runs responses in the background.") \
	X(ENDPOINT_NONE,     400, GIVE_UP,       CLIENT,  "endpoint_none",     "invalid_request_error", "unsupported_endpoint",        "No upstream account of this key has this endpoint.") \
	X(KEY_BAD,           401, GIVE_UP,       CLIENT,  "key_bad",           "invalid_request_error", "invalid_api_key",             "Incorrect API key provided. Send the key that `posthouse key create` printed as `Authorization: Bearer <key>`.") \
	X(MODEL_DENIED,      403, GIVE_UP,       CLIENT,  "model_denied",      "invalid_request_error", "model_not_allowed",           "This API key may not use that model.") \
	X(ROUTE_UNKNOWN,     404, GIVE_UP,       CLIENT,  "route_unknown",     "invalid_request_error", "unknown_url",                 "Unknown request URL.") \
	X(METHOD_BAD,        405, GIVE_UP,       CLIENT,  "method_bad",        "invalid_request_error", "method_not_supported",        "This method is not allowed for that URL.") \
	X(UPGRADE_REFUSED,   426, GIVE_UP,       CLIENT,  "upgrade_refused",   "invalid_request_error", "websocket_unavailable",       "WebSocket is not available here: send the request over HTTP.") \
	X(FRAME_BAD,         400, GIVE_UP,       CLIENT,  "frame_bad",         "invalid_request_error", "invalid_event",               "Only response.create and response.steer events are understood here.") \
	X(STREAM_ID_BAD,     400, GIVE_UP,       CLIENT,  "stream_id_bad",     "invalid_request_error", "invalid_stream_id",           "A stream_id has 1 to 256 letters, digits, '_', '-' and '.'.") \
	X(STREAMS_FULL,      400, GIVE_UP,       CLIENT,  "streams_full",      "invalid_request_error", "websocket_stream_limit_reached", "A connection has at most 32 named streams.") \
	X(KEY_LIMITED,       429, GIVE_UP,       CLIENT,  "key_limited",       "rate_limit_error",      "rate_limit_exceeded",         "This API key has reached a limit:") \
	X(KEY_QUOTA,         429, GIVE_UP,       CLIENT,  "key_quota",         "insufficient_quota",    "insufficient_quota",          "This API key has used up its quota:") \
	X(RESPONSE_UNKNOWN,  404, GIVE_UP,       CLIENT,  "response_unknown",  "invalid_request_error", NULL,                          "Response not found.") \
	X(ITEM_UNKNOWN,      404, GIVE_UP,       CLIENT,  "item_unknown",      "invalid_request_error", NULL,                          "Item not found.") \
	X(MODEL_UNKNOWN,     404, GIVE_UP,       CLIENT,  "model_unknown",     "invalid_request_error", "model_not_found",             "The model does not exist or no account can serve it.") \
	X(RESOURCE_UNKNOWN,  404, GIVE_UP,       CLIENT,  "resource_unknown",  "invalid_request_error", NULL,                          "Resource not found.") \
	X(IDS_MIXED,         400, GIVE_UP,       CLIENT,  "ids_mixed",         "invalid_request_error", "resources_of_two_accounts",   "The ids in this request are kept by different upstream accounts and cannot be used together.") \
	X(PATH_UNSERVED,     404, GIVE_UP,       CLIENT,  "path_unserved",     "invalid_request_error", "unsupported_endpoint",        "No upstream account that this API key may use can serve this URL: it takes one of kind platform.") \
	X(ANCHOR_BAD,        400, GIVE_UP,       CLIENT,  "anchor_bad",        "invalid_request_error", NULL,                          "Invalid previous_response_id.") \
	X(ANCHOR_UNKNOWN,    400, GIVE_UP,       CLIENT,  "anchor_unknown",    "invalid_request_error", "previous_response_not_found", "Previous response not found.") \
	X(ANCHOR_LOST,       400, REPLAY,        NOBODY,  "anchor_lost",       "invalid_request_error", "previous_response_not_found", "Previous response not found.") \
	X(REASONING_REFUSED, 400, STRIP,         NOBODY,  "reasoning_refused", "invalid_request_error", "invalid_encrypted_content",   "Encrypted reasoning was not accepted.") \
	X(CHAIN_TOO_LARGE,   400, GIVE_UP,       CLIENT,  "chain_too_large",   "invalid_request_error", "payload_too_large",           "The conversation is too large to be continued. Compact it or start a new one.") \
	X(ACCOUNT_BOUND,     400, GIVE_UP,       CLIENT,  "account_bound",     "invalid_request_error", "account_bound_input",         "An item of this conversation belongs to an upstream account that can no longer serve it.") \
	X(ACCOUNT_AWAY,      503, GIVE_UP,       NOBODY,  "account_away",      "server_error",          "account_unavailable",         "The upstream account that this request needs is not available now. Retry later.") \
	X(OWNER_BUSY,        503, WAIT_FOR,      NOBODY,  "owner_busy",        "server_error",          "account_unavailable",         "The upstream account that this request needs is not available now. Retry later.") \
	X(OWNER_AWAY,        503, OTHER_ACCOUNT, NOBODY,  "owner_away",        "server_error",          "account_unavailable",         "The upstream account that this request needs is not available now. Retry later.") \
	X(ACCOUNTS_BUSY,     429, GIVE_UP,       NOBODY,  "accounts_busy",     "rate_limit_error",      "rate_limit_exceeded",         "Every account that can serve this is busy or resting. Retry later.") \
	X(ACCOUNTS_EXHAUSTED, 429, GIVE_UP,      NOBODY,  "accounts_exhausted", "usage_limit_reached",  "usage_limit_reached",         "Every account that can serve this has reached its usage limit. Retry after the reset.") \
	X(NO_ACCOUNTS,       503, GIVE_UP,       SELF,    "no_accounts",       "server_error",          "no_accounts",                 "No upstream account can take this request.") \
	X(UPSTREAM_CONNECT,  503, OTHER_ACCOUNT, NOBODY,  "upstream_connect",  "server_error",          "server_error",                "The upstream could not be reached.") \
	X(UPSTREAM_STALE,    503, REDIAL,        NOBODY,  "upstream_stale",    "server_error",          "server_error",                "The upstream connection ended early.") \
	X(UPSTREAM_DROPPED,  503, OTHER_ACCOUNT, NOBODY,  "upstream_dropped",  "server_error",          "server_error",                "The upstream connection ended early.") \
	X(UPSTREAM_SILENT,   503, OTHER_ACCOUNT, NOBODY,  "upstream_silent",   "server_error",          "server_error",                "The upstream did not answer in time.") \
	X(UPSTREAM_BAD,      503, OTHER_ACCOUNT, NOBODY,  "upstream_bad",      "server_error",          "server_error",                "The upstream's answer could not be understood.") \
	X(UPSTREAM_FAILED,   503, OTHER_ACCOUNT, ACCOUNT, "upstream_failed",   "server_error",          "server_error",                "The upstream failed.") \
	X(UPSTREAM_BUSY,     503, OTHER_ACCOUNT, NOBODY,  "upstream_busy",     "server_error",          "server_error",                "The upstream is overloaded. Retry later.") \
	X(UPSTREAM_LIMITED,  429, OTHER_ACCOUNT, ACCOUNT, "upstream_limited",  "rate_limit_error",      "rate_limit_exceeded",         "Every account that can serve this is at its limit. Retry later.") \
	X(UPSTREAM_DENIED,   503, OTHER_ACCOUNT, ACCOUNT, "upstream_denied",   "server_error",          "no_accounts",                 "No upstream account can take this request.") \
	X(UPSTREAM_EXPIRED,  503, RENEW,         NOBODY,  "upstream_expired",  "server_error",          "no_accounts",                 "No upstream account can take this request.") \
	X(UPSTREAM_CANNOT,   400, OTHER_ACCOUNT, NOBODY,  "upstream_cannot",   "invalid_request_error", NULL,                          "The upstream cannot serve this model.") \
	X(UPSTREAM_PARAMETER, 400, OMIT,         CLIENT,  "upstream_parameter", "invalid_request_error", "unsupported_parameter",      "The upstream does not support a parameter of this request.") \
	X(UPSTREAM_REFUSED,  400, GIVE_UP,       CLIENT,  "upstream_refused",  "invalid_request_error", NULL,                          "The upstream refused the request.") \
	X(CHAT_MISSING,      503, TRANSLATE,     NOBODY,  "chat_missing",      "server_error",          "server_error",                "The upstream has no chat completions.") \
	X(CHAT_MEMBER,       400, GIVE_UP,       CLIENT,  "chat_member",       "invalid_request_error", "unsupported_parameter",       "Chat completions are translated for the account that would serve this, and a part of the request cannot be.") \
	X(DATABASE_AWAY,     503, GIVE_UP,       SELF,    "database_away",     "server_error",          "service_unavailable",         "The gateway's database cannot be reached right now. Retry the same request: a previous_response_id stays valid.") \
	X(DATABASE_ERROR,    503, GIVE_UP,       SELF,    "database_error",    "server_error",          "service_unavailable",         "The gateway's database cannot be reached right now. Retry the same request: a previous_response_id stays valid.") \
	X(CLIENT_GONE,       499, GIVE_UP,       CLIENT,  "client_gone",       "invalid_request_error", NULL,                          "")
/* clang-format on */

enum ph_error {
	PH_OK,
#define X(name, http, remedy, blame, metric, type, code, text) PH_E_##name,
	PH_ERRORS(X)
#undef X
	PH_E_NR,
};

struct ph_err {
	int code;         /* PH_E_x, not negated; 0 = none */
	int sys;          /* errno, or 0 */
	char sqlstate[6]; /* of PostgreSQL, or "" */
	char param[64];   /* request member that is wrong, as OpenAI's `param`, or "" */
	char detail[320]; /* facts for a person: which value, which limit, what to do */
};

/* What the table says. `code` may be negated or not; anything outside the table reads as INTERNAL. */
struct ph_err_info {
	const char *name;
	int http;
	enum ph_remedy remedy;
	enum ph_blame blames;
	const char *metric;
	const char *type;  /* OpenAI's error.type */
	const char *ocode; /* OpenAI's error.code, or NULL */
	const char *text;
};
const struct ph_err_info *ph_err_info(int code);

/* Fills err (may be NULL) and returns -code. */
int ph_fail(struct ph_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same, naming the request member at fault. */
int ph_fail_param(struct ph_err *err, int code, const char *param, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Ends the process after one line on standard error: out of memory, or a broken invariant at start. */
void ph_die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Memory or death: the house does not limp on without memory. Sizes that a peer chooses have a maximum above
 * this. */
void *ph_alloc(size_t size);            /* zeroed */
void *ph_realloc(void *p, size_t size); /* not zeroed */
char *ph_strdup(const char *s);

#define PH_WARN_UNUSED __attribute__((warn_unused_result))

#endif
