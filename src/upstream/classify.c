/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an upstream's failure means: one pure function from the bytes that it sent to an error code of ours.
 * It reads error objects only, never output text. The shapes are those of the handbook's classifier: an
 * `error` object, the frame itself, `detail` as text or object, or a body that is no JSON; codes beat the
 * status.
 *
 * What the vendors send is hearsay until observed, so words and codes stand in tables that are easy to
 * change.
 */
#include <ctype.h>
#include <stdlib.h>

#include "posthouse/json.h"
#include "upstream_priv.h"

#define TEXT_MAX 512

/* What was found in the answer, decoded and cut; empty where absent. */
struct facts {
	char code[96];
	char type[96];
	char param[96];
	char message[TEXT_MAX]; /* lower case */
	uint64_t resets_in_ms;  /* from the error object; 0 = not said */
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
	M_RESETS_IN,
	M_NR
};
static const struct ph_str member_names[M_NR] = {
	[M_CODE] = PH_STR_INIT("code"),
	[M_TYPE] = PH_STR_INIT("type"),
	[M_ERROR_TYPE] = PH_STR_INIT("error_type"),
	[M_PARAM] = PH_STR_INIT("param"),
	[M_MESSAGE] = PH_STR_INIT("message"),
	[M_RESETS_IN] = PH_STR_INIT("resets_in_seconds"),
};

static void read_error_object(struct facts *f, struct ph_str object)
{
	struct ph_json_member m[M_NR];
	uint64_t seconds;

	if (!ph_json_find(object, member_names, M_NR, m))
		return;
	copy_text(f->code, sizeof f->code, m[M_CODE].value);
	copy_text(f->type, sizeof f->type, m[M_TYPE].value);
	if (!f->type[0])
		copy_text(f->type, sizeof f->type, m[M_ERROR_TYPE].value);
	copy_text(f->param, sizeof f->param, m[M_PARAM].value);
	copy_text(f->message, sizeof f->message, m[M_MESSAGE].value);
	if (ph_json_u64(m[M_RESETS_IN].value, &seconds) && seconds <= UINT64_C(366) * 86400)
		f->resets_in_ms = seconds * 1000;
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
	if (ph_json_kind(error) == PH_JSON_OBJECT) {
		read_error_object(f, error);
		return error;
	}
	if (ph_json_kind(error) == PH_JSON_STRING) {
		copy_text(f->message, sizeof f->message, error);
		copy_text(f->code, sizeof f->code, error);
		return PH_STR_NONE;
	}
	detail = member(body, PH_STR("detail"));
	if (ph_json_kind(detail) == PH_JSON_STRING)
		copy_text(f->message, sizeof f->message, detail);
	else if (ph_json_kind(detail) == PH_JSON_OBJECT)
		read_error_object(f, detail);
	else
		read_error_object(f, body); /* flat: the frame itself */
	return PH_STR_NONE;
}

static struct ph_str read_facts(struct facts *f, struct ph_str body)
{
	struct ph_str trimmed = ph_str_trim(body);
	struct ph_str error = PH_STR_NONE;

	if (ph_json_kind(trimmed) == PH_JSON_OBJECT && ph_json_check(trimmed, NULL) == 0)
		error = find_error(f, trimmed);
	else
		ph_str_copy(f->message, sizeof f->message, trimmed);
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
	{"server_error", PH_E_UPSTREAM_FAILED},
	{"invalid_api_key", PH_E_UPSTREAM_DENIED},
	{"account_deactivated", PH_E_UPSTREAM_DENIED},
	{"account_suspended", PH_E_UPSTREAM_DENIED},
	{"account_deleted", PH_E_UPSTREAM_DENIED},
	{"deactivated_workspace", PH_E_UPSTREAM_DENIED},
	{"token_expired", PH_E_UPSTREAM_DENIED},
	{"token_invalidated", PH_E_UPSTREAM_DENIED},
	{"token_revoked", PH_E_UPSTREAM_DENIED},
	{"model_not_found", PH_E_UPSTREAM_CANNOT},
	{"access_program_not_enabled", PH_E_UPSTREAM_CANNOT},
	{"context_length_exceeded", PH_E_UPSTREAM_REFUSED},
	{"invalid_prompt", PH_E_UPSTREAM_REFUSED},
	{"cyber_policy", PH_E_UPSTREAM_REFUSED},
	{"bio_policy", PH_E_UPSTREAM_REFUSED},
	{"misalignment_policy_violation", PH_E_UPSTREAM_REFUSED},
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

/* "previous response ... not found" and its kin; not "No tool output found", which is the client's to mend.
 */
static bool anchor_lost(const struct facts *f, int status)
{
	if (strcmp(f->param, "previous_response_id") == 0 && (status == 0 || status == 400 || status == 404))
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
	if (says(f, "items are not persisted when") || says(f, "item with id '"))
		return true;
	if (!says(f, "encrypted content") && !says(f, "encrypted_content"))
		return false;
	return says(f, "could not be verified") || says(f, "could not be decrypted") ||
	       says(f, "could not be parsed") || says(f, "organization_id did not match") ||
	       says(f, "invalid");
}

static int by_status(int status)
{
	switch (status) {
	case 401:
	case 402:
	case 403:
		return PH_E_UPSTREAM_DENIED;
	case 408:
	case 409:
	case 425:
		return PH_E_UPSTREAM_FAILED;
	case 429:
		return PH_E_UPSTREAM_LIMITED;
	default:
		if (status >= 400 && status < 500)
			return PH_E_UPSTREAM_REFUSED;
		return PH_E_UPSTREAM_FAILED;
	}
}

static int judge(const struct ph_failed_answer *a, const struct facts *f)
{
	int code = by_word(f->code);

	if (!code)
		code = by_word(f->type);
	if (code == PH_E_ANCHOR_LOST)
		return a->had_anchor ? code : PH_E_UPSTREAM_REFUSED;
	if (code == PH_E_REASONING_REFUSED)
		return a->had_reasoning ? code : PH_E_UPSTREAM_REFUSED;
	if (a->had_anchor && (!code || code == PH_E_UPSTREAM_REFUSED) && anchor_lost(f, a->status))
		return PH_E_ANCHOR_LOST;
	if (a->had_reasoning && !code && ciphertext_refused(f))
		return PH_E_REASONING_REFUSED;
	if (code)
		return code;
	if (says(f, "selected model is at capacity"))
		return PH_E_UPSTREAM_FAILED;
	if (a->status == 404 && says(f, "model"))
		return PH_E_UPSTREAM_CANNOT;
	return a->status ? by_status(a->status) : PH_E_UPSTREAM_FAILED;
}

/* "1.5" seconds or whole ones, as milliseconds. Dates are not believed: clocks differ. */
static uint64_t seconds_ms(struct ph_str value)
{
	struct ph_str rest = value, whole = ph_str_split(&rest, '.');
	uint64_t s = 0, tenths = 0;

	if (!ph_str_u64(whole, UINT64_C(366) * 86400, &s))
		return 0;
	if (rest.n)
		(void)!ph_str_u64(ph_str(rest.p, 1), 9, &tenths);
	return s * 1000 + tenths * 100;
}

uint64_t ph_retry_after_ms(const struct ph_head *head)
{
	uint64_t ms;

	if (ph_str_u64(ph_head_get(head, PH_STR("retry-after-ms")), UINT64_C(366) * 86400000, &ms))
		return ms;
	return seconds_ms(ph_head_get(head, PH_STR("retry-after")));
}

void ph_classify(const struct ph_failed_answer *a, struct ph_failure *ret)
{
	struct facts f = {.code = ""};

	ret->error = read_facts(&f, a->body);
	ret->code = judge(a, &f);
	ret->after_ms = f.resets_in_ms ? f.resets_in_ms : a->head_after_ms;
}
