/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words and phrases of upstreams' failures, and what each stands for: data, for classify.c to weigh. What
 * the vendors send is hearsay until observed, so it stands in tables that are easy to change, and every row
 * has a line of tests/unit/upstream/classify.txt.
 */
#include "upstream_priv.h"

static const char *const names[PH_SIGNAL_NR] = {
	[PH_SIGNAL_NONE] = "none",
	[PH_SIGNAL_LIMIT] = "limit",
	[PH_SIGNAL_SLOW_DOWN] = "slow_down",
	[PH_SIGNAL_QUOTA] = "quota",
	[PH_SIGNAL_PLAN] = "plan",
	[PH_SIGNAL_EXPIRED] = "expired",
	[PH_SIGNAL_REAUTH] = "reauth",
	[PH_SIGNAL_DISABLED] = "disabled",
	[PH_SIGNAL_SUSPENDED] = "suspended",
	[PH_SIGNAL_FAULT] = "fault",
	[PH_SIGNAL_OVERLOAD] = "overload",
	[PH_SIGNAL_MODEL] = "model",
	[PH_SIGNAL_CLIENT] = "client",
	[PH_SIGNAL_PLACE] = "place",
};

const char *ph_signal_name(enum ph_health_signal signal)
{
	return signal < PH_SIGNAL_NR ? names[signal] : names[PH_SIGNAL_NONE];
}

/* clang-format off */
#define LIMIT    {PH_E_UPSTREAM_LIMITED, PH_SIGNAL_LIMIT,     false}
#define SLOW     {PH_E_UPSTREAM_LIMITED, PH_SIGNAL_SLOW_DOWN, false}
#define QUOTA    {PH_E_UPSTREAM_LIMITED, PH_SIGNAL_QUOTA,     false}
#define PLAN     {PH_E_UPSTREAM_DENIED,  PH_SIGNAL_PLAN,      false}
#define KEY      {PH_E_UPSTREAM_DENIED,  PH_SIGNAL_DISABLED,  true}
#define TOKEN    {PH_E_UPSTREAM_DENIED,  PH_SIGNAL_NONE,      true}
#define SESSION  {PH_E_UPSTREAM_DENIED,  PH_SIGNAL_REAUTH,    false}
#define CLOSED   {PH_E_UPSTREAM_DENIED,  PH_SIGNAL_DISABLED,  false}
#define WORKSPACE {PH_E_UPSTREAM_DENIED, PH_SIGNAL_SUSPENDED, false}
#define MODEL    {PH_E_UPSTREAM_CANNOT,  PH_SIGNAL_MODEL,     false}
#define CLIENT   {PH_E_UPSTREAM_CANNOT,  PH_SIGNAL_CLIENT,    false}
#define PLACE    {PH_E_UPSTREAM_CONNECT, PH_SIGNAL_PLACE,     false}
#define OVERLOAD {PH_E_UPSTREAM_BUSY,    PH_SIGNAL_OVERLOAD,  false}
#define FAULT    {PH_E_UPSTREAM_FAILED,  PH_SIGNAL_FAULT,     false}
#define NEUTRAL(error) {error, PH_SIGNAL_NONE, false}
#define REFUSED   NEUTRAL(PH_E_UPSTREAM_REFUSED)
#define PARAMETER NEUTRAL(PH_E_UPSTREAM_PARAMETER)

/* A code, or a type that is used as one, whatever the status says. */
static const struct {
	const char *word;
	struct ph_verdict verdict;
} words[] = {
	{"previous_response_not_found",          NEUTRAL(PH_E_ANCHOR_LOST)},
	{"invalid_encrypted_content",            NEUTRAL(PH_E_REASONING_REFUSED)},
	{"unsupported_parameter",                PARAMETER},
	{"unknown_parameter",                    PARAMETER},
	{"rate_limit_exceeded",                  LIMIT},
	{"rate_limit_error",                     LIMIT},
	{"requests",                             LIMIT},
	{"tokens",                               LIMIT},
	{"slow_down",                            SLOW},
	{"usage_limit_reached",                  QUOTA},
	{"insufficient_quota",                   QUOTA},
	{"quota_exceeded",                       QUOTA},
	{"credit_balance_exhausted",             QUOTA},
	{"organization_spend_limit_exceeded",    QUOTA},
	{"project_spend_limit_exceeded",         QUOTA},
	{"organization_usage_limit_exceeded",    QUOTA},
	{"usage_not_included",                   PLAN},
	{"server_is_overloaded",                 OVERLOAD},
	{"overloaded_error",                     OVERLOAD},
	{"service_unavailable_error",            OVERLOAD},
	{"server_error",                         FAULT},
	{"invalid_api_key",                      KEY},
	{"token_expired",                        TOKEN},
	{"token_invalidated",                    SESSION},
	{"token_revoked",                        SESSION},
	{"app_session_terminated",               SESSION},
	{"account_session_expired",              SESSION},
	{"account_auth_invalidated",             SESSION},
	{"account_deactivated",                  CLOSED},
	{"account_suspended",                    CLOSED},
	{"account_deleted",                      CLOSED},
	{"deactivated_workspace",                WORKSPACE},
	{"unsupported_country_region_territory", PLACE},
	{"model_not_found",                      MODEL},
	{"access_program_not_enabled",           MODEL},
	{"websocket_connection_limit_reached",   NEUTRAL(PH_E_UPSTREAM_STALE)},
	{"context_length_exceeded",              REFUSED},
	{"invalid_prompt",                       REFUSED},
	{"cyber_policy",                         REFUSED},
	{"bio_policy",                           REFUSED},
	{"misalignment_policy_violation",        REFUSED},
	{"invalid_image",                        REFUSED},
	{"invalid_image_format",                 REFUSED},
	{"invalid_image_mode",                   REFUSED},
	{"invalid_image_url",                    REFUSED},
	{"invalid_base64_image",                 REFUSED},
	{"image_too_large",                      REFUSED},
	{"image_too_small",                      REFUSED},
	{"image_file_too_large",                 REFUSED},
	{"image_file_not_found",                 REFUSED},
	{"image_parse_error",                    REFUSED},
	{"image_content_policy_violation",       REFUSED},
	{"empty_image_file",                     REFUSED},
	{"unsupported_image_media_type",         REFUSED},
	{"failed_to_download_image",             REFUSED},
};

/* What the message (lower case) says where no word does, by status; 0 = any. The first row counts. A message
 * may quote the request, so a phrase that blames an account needs a status that no request brings about. */
static const struct {
	int status;
	const char *phrase;
	struct ph_verdict verdict;
} phrases[] = {
	{0,   "model is at capacity",                         OVERLOAD},
	{503, "overloaded",                                   OVERLOAD},
	{0,   "model is not supported when using codex",      MODEL},
	{403, "only allows codex official clients",           CLIENT},
	{401, "incorrect api key",                            KEY},
	{401, "ip not authorized",                            PLACE},
	{403, "country, region, or territory not supported",  PLACE},
	{401, "<html",                                        PLACE},
	{403, "<html",                                        PLACE},
	{401, "<!doctype html",                               PLACE},
	{403, "<!doctype html",                               PLACE},
	{402, "deactivated",                                  WORKSPACE},
	{402, "insufficient balance",                         QUOTA},
	{402, "insufficient credits",                         QUOTA},
	{403, "model",                                        MODEL},
	{404, "model",                                        MODEL},
};

/* Codes that say that there is no such path, or not with that method. */
static const char *const missing[] = {
	"unknown_url",
	"unsupported_endpoint",
	"method_not_supported",
	"method_not_allowed",
	"not_found",
	"not_implemented",
	"invalid_request_error",
};
/* clang-format on */

const struct ph_verdict *ph_words_of(const char *word)
{
	for (size_t i = 0; word[0] && i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i].word, word) == 0)
			return &words[i].verdict;
	return NULL;
}

const struct ph_verdict *ph_words_in(int status, const char *lower_message)
{
	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if ((!phrases[i].status || phrases[i].status == status) &&
			strstr(lower_message, phrases[i].phrase))
			return &phrases[i].verdict;
	return NULL;
}

bool ph_words_deny_path(const char *word)
{
	for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
		if (strcmp(missing[i], word) == 0)
			return true;
	return false;
}
