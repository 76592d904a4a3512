/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an upstream's failure means: one pure function from the bytes that it sent to an error code of ours.
 * It reads error objects only, never output text. The shapes are those of the handbook's classifier: an
 * `error` object, the frame itself, `detail` as text or object, or a body that is no JSON; codes beat the
 * status.
 *
 * What the vendors send is hearsay until observed, so words and phrases stand in tables that are easy to
 * change, and every shape is a line of tests/unit/upstream/classify.txt.
 */
#include <ctype.h>
#include <stdlib.h>

#include "posthouse/json.h"
#include "upstream_priv.h"

/* What was found in the answer, decoded and cut; empty where absent. */
struct facts {
	int status;
	char code[96];
	char type[96];
	char param[96];
	char said[PH_SAID_MAX];
	char message[PH_SAID_MAX]; /* the same in lower case */
	bool named;                /* an error object, or an error's text: it is the API that speaks */
	bool json;
	uint64_t resets_at; /* unix seconds */
	uint64_t after_ms;  /* from the error object or the frame; 0 = not said */
};

static void copy_text(char *dst, size_t size, struct ph_str value)
{
	struct ph_arena a;
	struct ph_str text;

	ph_arena_init(&a, 64 * 1024);
	if (ph_json_text(value, &a, &text))
		ph_str_copy(dst, size, text);
	ph_arena_deinit(&a);
}

static void lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

/* ---- finding the error ---- */

enum {
	M_CODE,
	M_TYPE,
	M_ERROR_TYPE,
	M_PARAM,
	M_MESSAGE,
	M_RESETS_AT,
	M_RESETS_IN,
	M_NR
};
static const struct ph_str error_names[M_NR] = {
	[M_CODE] = PH_STR_INIT("code"),
	[M_TYPE] = PH_STR_INIT("type"),
	[M_ERROR_TYPE] = PH_STR_INIT("error_type"),
	[M_PARAM] = PH_STR_INIT("param"),
	[M_MESSAGE] = PH_STR_INIT("message"),
	[M_RESETS_AT] = PH_STR_INIT("resets_at"),
	[M_RESETS_IN] = PH_STR_INIT("resets_in_seconds"),
};

static void read_error_object(struct facts *f, struct ph_str object)
{
	struct ph_json_member m[M_NR];
	uint64_t seconds;

	if (!ph_json_find(object, error_names, M_NR, m))
		return;
	copy_text(f->code, sizeof f->code, m[M_CODE].value);
	copy_text(f->type, sizeof f->type, m[M_TYPE].value);
	if (!f->type[0])
		copy_text(f->type, sizeof f->type, m[M_ERROR_TYPE].value);
	copy_text(f->param, sizeof f->param, m[M_PARAM].value);
	copy_text(f->said, sizeof f->said, m[M_MESSAGE].value);
	if (ph_json_u64(m[M_RESETS_AT].value, &seconds) && seconds < UINT64_MAX / 1000)
		f->resets_at = seconds;
	if (ph_json_u64(m[M_RESETS_IN].value, &seconds) && seconds < UINT64_MAX / 1000)
		f->after_ms = ph_after_cap(seconds * 1000);
}

static struct ph_str member(struct ph_str object, struct ph_str name)
{
	struct ph_json_member m;

	if (!ph_json_find(object, &name, 1, &m) || m.kind == PH_JSON_ABSENT)
		return PH_STR_NONE;
	return m.value;
}

/* The first shape that fits; returns the error object's bytes, or none. */
static struct ph_str find_error(struct facts *f, struct ph_str body)
{
	struct ph_str response = member(body, PH_STR("response"));
	struct ph_str error = response.n ? member(response, PH_STR("error")) : PH_STR_NONE;
	struct ph_str detail;

	if (ph_json_kind(error) != PH_JSON_OBJECT)
		error = member(body, PH_STR("error"));
	f->named = true;
	if (ph_json_kind(error) == PH_JSON_OBJECT) {
		read_error_object(f, error);
		return error;
	}
	if (ph_json_kind(error) == PH_JSON_STRING) {
		copy_text(f->said, sizeof f->said, error);
		copy_text(f->code, sizeof f->code, error);
		return PH_STR_NONE;
	}
	detail = member(body, PH_STR("detail"));
	if (ph_json_kind(detail) == PH_JSON_STRING)
		copy_text(f->said, sizeof f->said, detail);
	else if (ph_json_kind(detail) == PH_JSON_OBJECT)
		read_error_object(f, detail);
	else
		read_error_object(f, body); /* flat: the frame itself */
	f->named = f->code[0] != '\0';
	return PH_STR_NONE;
}

/* What stands around the error in a frame: the status that HTTP would have had, and headers. */
static void read_frame(struct facts *f, struct ph_str body)
{
	enum {
		F_STATUS,
		F_STATUS_CODE,
		F_HEADERS,
		F_NR
	};
	static const struct ph_str names[F_NR] = {
		PH_STR_INIT("status"), PH_STR_INIT("status_code"), PH_STR_INIT("headers")};
	struct ph_json_member m[F_NR];
	struct ph_str after;
	uint64_t n = 0;
	char text[32] = "";

	if (!ph_json_find(body, names, F_NR, m))
		return;
	if (!f->status && (ph_json_u64(m[F_STATUS].value, &n) || ph_json_u64(m[F_STATUS_CODE].value, &n)))
		f->status = n >= 400 && n < 600 ? (int)n : 0;
	if (f->after_ms || m[F_HEADERS].kind != PH_JSON_OBJECT)
		return;
	after = member(m[F_HEADERS].value, PH_STR("retry-after"));
	if (ph_json_kind(after) == PH_JSON_STRING)
		copy_text(text, sizeof text, after);
	else
		ph_str_copy(text, sizeof text, after);
	if (ph_str_u64(ph_str_c(text), UINT64_MAX / 1000, &n))
		f->after_ms = ph_after_cap(n * 1000);
}

static struct ph_str read_facts(struct facts *f, struct ph_str body)
{
	struct ph_str trimmed = ph_str_trim(body);
	struct ph_str error = PH_STR_NONE;

	f->json = ph_json_kind(trimmed) == PH_JSON_OBJECT && ph_json_check(trimmed, NULL) == 0;
	if (f->json) {
		error = find_error(f, trimmed);
		read_frame(f, trimmed);
	} else {
		ph_str_copy(f->said, sizeof f->said, trimmed);
	}
	memcpy(f->message, f->said, sizeof f->message);
	lower(f->message);
	return error;
}

/* ---- what it means ---- */

/* A code, or a type that is used as one, and what it stands for, whatever the status says. */
static const struct {
	const char *word;
	int code;
} words[] = {
	{"previous_response_not_found", PH_E_ANCHOR_LOST},
	{"invalid_encrypted_content", PH_E_REASONING_REFUSED},
	{"rate_limit_exceeded", PH_E_UPSTREAM_LIMITED},
	{"rate_limit_error", PH_E_UPSTREAM_LIMITED},
	{"requests", PH_E_UPSTREAM_LIMITED},
	{"tokens", PH_E_UPSTREAM_LIMITED},
	{"slow_down", PH_E_UPSTREAM_LIMITED},
	{"usage_limit_reached", PH_E_UPSTREAM_LIMITED},
	{"usage_not_included", PH_E_UPSTREAM_LIMITED},
	{"insufficient_quota", PH_E_UPSTREAM_LIMITED},
	{"quota_exceeded", PH_E_UPSTREAM_LIMITED},
	{"credit_balance_exhausted", PH_E_UPSTREAM_LIMITED},
	{"organization_spend_limit_exceeded", PH_E_UPSTREAM_LIMITED},
	{"project_spend_limit_exceeded", PH_E_UPSTREAM_LIMITED},
	{"organization_usage_limit_exceeded", PH_E_UPSTREAM_LIMITED},
	{"server_is_overloaded", PH_E_UPSTREAM_FAILED},
	{"overloaded_error", PH_E_UPSTREAM_FAILED},
	{"service_unavailable_error", PH_E_UPSTREAM_FAILED},
	{"server_error", PH_E_UPSTREAM_FAILED},
	{"invalid_api_key", PH_E_UPSTREAM_DENIED},
	{"account_deactivated", PH_E_UPSTREAM_DENIED},
	{"account_suspended", PH_E_UPSTREAM_DENIED},
	{"account_deleted", PH_E_UPSTREAM_DENIED},
	{"deactivated_workspace", PH_E_UPSTREAM_DENIED},
	{"token_expired", PH_E_UPSTREAM_DENIED},
	{"token_invalidated", PH_E_UPSTREAM_DENIED},
	{"token_revoked", PH_E_UPSTREAM_DENIED},
	{"app_session_terminated", PH_E_UPSTREAM_DENIED},
	{"account_session_expired", PH_E_UPSTREAM_DENIED},
	{"account_auth_invalidated", PH_E_UPSTREAM_DENIED},
	{"unsupported_country_region_territory", PH_E_UPSTREAM_CONNECT},
	{"websocket_connection_limit_reached", PH_E_UPSTREAM_STALE},
	{"model_not_found", PH_E_UPSTREAM_CANNOT},
	{"access_program_not_enabled", PH_E_UPSTREAM_CANNOT},
	{"context_length_exceeded", PH_E_UPSTREAM_REFUSED},
	{"invalid_prompt", PH_E_UPSTREAM_REFUSED},
	{"cyber_policy", PH_E_UPSTREAM_REFUSED},
	{"bio_policy", PH_E_UPSTREAM_REFUSED},
	{"misalignment_policy_violation", PH_E_UPSTREAM_REFUSED},
};

/* Where there is no such word: what the message (lower case) says, by status; 0 = any. The node's own place
 * in the network is refused with CONNECT: nobody's account is at fault, and another base URL may be open. */
static const struct {
	int status;
	const char *phrase;
	int code;
} phrases[] = {
	{0, "selected model is at capacity", PH_E_UPSTREAM_FAILED},
	{0, "model is not supported when using codex", PH_E_UPSTREAM_CANNOT},
	{0, "only allows codex official clients", PH_E_UPSTREAM_CANNOT},
	{401, "ip not authorized", PH_E_UPSTREAM_CONNECT},
	{401, "<html", PH_E_UPSTREAM_CONNECT},
	{403, "<html", PH_E_UPSTREAM_CONNECT},
	{403, "model", PH_E_UPSTREAM_CANNOT},
	{404, "model", PH_E_UPSTREAM_CANNOT},
};

static int by_word(const char *word)
{
	for (size_t i = 0; word[0] && i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].code;
	return 0;
}

static bool says(const struct facts *f, const char *text)
{
	return strstr(f->message, text) != NULL;
}

static int by_phrase(const struct facts *f)
{
	for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
		if ((!phrases[i].status || phrases[i].status == f->status) && says(f, phrases[i].phrase))
			return phrases[i].code;
	return 0;
}

/* A call without its output, or the other way round: the client's to mend, and no lost anchor. */
static bool pair_missing(const struct facts *f)
{
	return says(f, "no tool output found for") || says(f, "no tool call found for");
}

/* "previous response ... not found" and its kin. */
static bool anchor_lost(const struct facts *f)
{
	if (strcmp(f->param, "previous_response_id") == 0 &&
		(f->status == 0 || f->status == 400 || f->status == 404))
		return true;
	if (!says(f, "previous response") && !says(f, "previous_response_id"))
		return false;
	return says(f, "not found") || says(f, "invalid") || says(f, "unknown") || says(f, "expired") ||
	       says(f, "does not exist") || says(f, "unsupported parameter");
}

static bool ciphertext_refused(const struct facts *f)
{
	if (says(f, "required following item") || says(f, "required reasoning item"))
		return true;
	if (says(f, "items are not persisted when") || (says(f, "item with id '") && says(f, "not found")))
		return true;
	if (says(f, "unknown parameter: 'input[") && says(f, "].status'"))
		return true;
	if (!says(f, "encrypted content") && !says(f, "encrypted_content"))
		return false;
	return says(f, "could not be verified") || says(f, "could not be decrypted") ||
	       says(f, "could not be parsed") || says(f, "organization_id did not match") ||
	       says(f, "invalid");
}

static int by_status(const struct facts *f)
{
	switch (f->status) {
	case 0:
		return strcmp(f->type, "invalid_request_error") == 0 ||
				       strcmp(f->code, "invalid_request_error") == 0
			       ? PH_E_UPSTREAM_REFUSED
			       : PH_E_UPSTREAM_FAILED;
	case 401:
	case 402:
	case 403:
		return PH_E_UPSTREAM_DENIED;
	case 404:
		/* Not the API's own words: that path does not exist there, which is no fault of the request.
		 */
		return f->named ? PH_E_UPSTREAM_REFUSED : PH_E_UPSTREAM_FAILED;
	case 408:
	case 409:
	case 425:
		return PH_E_UPSTREAM_FAILED;
	case 429:
		return PH_E_UPSTREAM_LIMITED;
	default:
		return f->status >= 400 && f->status < 500 ? PH_E_UPSTREAM_REFUSED : PH_E_UPSTREAM_FAILED;
	}
}

/* Words that leave room for a more exact reading of the message. */
static bool vague(int code)
{
	return code == 0 || code == PH_E_UPSTREAM_REFUSED || code == PH_E_UPSTREAM_FAILED;
}

static int judge(const struct ph_failed_answer *a, const struct facts *f)
{
	int code = by_word(f->code);

	if (!code)
		code = by_word(f->type);
	if (pair_missing(f))
		return PH_E_UPSTREAM_REFUSED;
	if (code == PH_E_ANCHOR_LOST)
		return a->had_anchor ? code : PH_E_UPSTREAM_REFUSED;
	if (code == PH_E_REASONING_REFUSED)
		return a->had_reasoning ? code : PH_E_UPSTREAM_REFUSED;
	if (a->had_anchor && vague(code) && anchor_lost(f))
		return PH_E_ANCHOR_LOST;
	if (a->had_reasoning && vague(code) && ciphertext_refused(f))
		return PH_E_REASONING_REFUSED;
	if (!code)
		code = by_phrase(f);
	return code ? code : by_status(f);
}

/* The first that was said: a time, a span, the head's, words. */
static uint64_t when(const struct ph_failed_answer *a, const struct facts *f)
{
	uint64_t now_s = a->unix_ms / 1000;
	const char *words_at = strstr(f->message, "try again in ");

	if (now_s && f->resets_at > now_s)
		return ph_after_cap((f->resets_at - now_s) * 1000);
	if (f->after_ms)
		return f->after_ms;
	if (a->head_after_ms)
		return a->head_after_ms;
	return words_at ? ph_after_duration(words_at + sizeof "try again in " - 1) : 0;
}

void ph_classify(const struct ph_failed_answer *a, struct ph_failure *ret)
{
	struct facts f = {.status = a->status};

	*ret = (struct ph_failure){.error = read_facts(&f, a->body)};
	ret->code = judge(a, &f);
	ret->after_ms = when(a, &f);
	if (f.json) {
		memcpy(ret->message, f.said, sizeof ret->message);
		memcpy(ret->word, f.code, sizeof ret->word);
		memcpy(ret->param, f.param, sizeof ret->param);
	}
}
