/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an upstream's failure means: one pure function from the bytes that it sent to an error code of ours,
 * which decides what the turn does, and a signal, which says what the account is like. It reads error objects
 * only, never output text. The shapes are those of the handbook's classifier: an `error` object, the frame
 * itself, `detail` as text or object, or a body that is no JSON; codes beat the status.
 *
 * The words themselves stand in classify_words.c; every shape is a line of tests/unit/upstream/classify.txt.
 */
#include <ctype.h>

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
	uint64_t resets_s;              /* as upstream said it */
	uint64_t span_ms;               /* resets_in_seconds */
	uint64_t headers_ms;            /* what headers inside a frame say */
	const char *word;               /* its code or its type, whichever counts */
	const struct ph_verdict *known; /* what that stands for, or NULL */
	char unsupported[96];           /* the member, or the path, that it says it does not support */
};

static const struct ph_verdict refused = {PH_E_UPSTREAM_REFUSED, PH_SIGNAL_NONE, false};

static void lower(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

/* ---- finding the error ---- */

/* The text of a string, unless an earlier place gave one. */
static void fill(char *dst, size_t size, struct ph_str value)
{
	struct ph_arena a;
	struct ph_str text;

	if (dst[0])
		return;
	ph_arena_init(&a, 64 * 1024);
	if (ph_json_text(value, &a, &text))
		ph_str_copy(dst, size, text);
	ph_arena_deinit(&a);
}

/* A text with spaces in it is no code. */
static void fill_word(char *dst, size_t size, struct ph_str value)
{
	fill(dst, size, value);
	for (const char *p = dst; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-.", *p))
			dst[0] = '\0';
}

/* What a JSON object of headers says of coming back. */
static uint64_t headers_after_ms(struct ph_str object)
{
	struct ph_header fields[64];
	struct ph_head head = {.headers = fields};
	struct ph_str name, value;
	struct ph_arena a;
	size_t offset = 0;
	uint64_t ms;

	if (ph_json_kind(object) != PH_JSON_OBJECT)
		return 0;
	ph_arena_init(&a, 64 * 1024);
	while (head.header_count < sizeof fields / sizeof *fields &&
		ph_json_pair(object, &offset, &name, &value)) {
		struct ph_header *h = &fields[head.header_count];

		if (!ph_json_text(name, &a, &h->name))
			continue;
		h->value = value;
		if (ph_json_kind(value) == PH_JSON_NUMBER || ph_json_text(value, &a, &h->value))
			head.header_count++;
	}
	ms = ph_retry_after_ms(&head);
	ph_arena_deinit(&a);
	return ms;
}

enum {
	M_CODE,
	M_TYPE,
	M_ERROR_TYPE,
	M_PARAM,
	M_MESSAGE,
	M_RESETS_AT,
	M_RESETS_IN,
	M_HEADERS,
	M_NR
};
static const struct ph_str member_names[M_NR] = {
	[M_CODE] = PH_STR_INIT("code"),
	[M_TYPE] = PH_STR_INIT("type"),
	[M_ERROR_TYPE] = PH_STR_INIT("error_type"),
	[M_PARAM] = PH_STR_INIT("param"),
	[M_MESSAGE] = PH_STR_INIT("message"),
	[M_RESETS_AT] = PH_STR_INIT("resets_at"),
	[M_RESETS_IN] = PH_STR_INIT("resets_in_seconds"),
	[M_HEADERS] = PH_STR_INIT("headers"),
};

/* Takes what earlier places left out. `error_type` first: beside it `type` is the frame's. */
static void read_members(struct facts *f, struct ph_str object)
{
	struct ph_json_member m[M_NR];

	if (!ph_json_find(object, member_names, M_NR, m))
		return;
	fill_word(f->code, sizeof f->code, m[M_CODE].value);
	fill_word(f->type, sizeof f->type, m[M_ERROR_TYPE].value);
	fill_word(f->type, sizeof f->type, m[M_TYPE].value);
	fill(f->param, sizeof f->param, m[M_PARAM].value);
	fill(f->said, sizeof f->said, m[M_MESSAGE].value);
	if (!f->resets_s)
		ph_json_u64(m[M_RESETS_AT].value, &f->resets_s);
	if (!f->span_ms && ph_after_thousandths(m[M_RESETS_IN].value, &f->span_ms))
		f->span_ms = ph_after_cap(f->span_ms);
	if (!f->headers_ms)
		f->headers_ms = headers_after_ms(m[M_HEADERS].value);
}

static struct ph_str member(struct ph_str object, struct ph_str name)
{
	struct ph_json_member m;

	if (!ph_json_find(object, &name, 1, &m) || m.kind == PH_JSON_ABSENT)
		return PH_STR_NONE;
	return m.value;
}

/* A text instead of an object: the message, and where it looks like one, the code. */
static void read_error_text(struct facts *f, struct ph_str text)
{
	fill(f->said, sizeof f->said, text);
	if (strchr(f->said, '_'))
		fill_word(f->code, sizeof f->code, text);
}

/* The first shape that fits, then the frame itself; returns the error object's bytes, or none. */
static struct ph_str find_error(struct facts *f, struct ph_str body)
{
	struct ph_str response = member(body, PH_STR("response")), detail = member(body, PH_STR("detail"));
	struct ph_str error = response.n ? member(response, PH_STR("error")) : PH_STR_NONE;
	enum ph_json_kind kind;

	if (ph_json_kind(error) != PH_JSON_OBJECT)
		error = member(body, PH_STR("error"));
	kind = ph_json_kind(error);
	if (kind == PH_JSON_OBJECT)
		read_members(f, error);
	else if (kind == PH_JSON_STRING)
		read_error_text(f, error);
	else if (ph_json_kind(detail) == PH_JSON_OBJECT)
		read_members(f, detail);
	else
		fill(f->said, sizeof f->said, detail);
	read_members(f, body);
	f->named = kind == PH_JSON_OBJECT || kind == PH_JSON_STRING || f->code[0];
	return kind == PH_JSON_OBJECT ? error : PH_STR_NONE;
}

/* The status that HTTP would have had. */
static void read_status(struct facts *f, struct ph_str body)
{
	uint64_t n = 0;

	if (!f->status && (ph_json_u64(member(body, PH_STR("status")), &n) ||
				  ph_json_u64(member(body, PH_STR("status_code")), &n)))
		f->status = n >= 400 && n < 600 ? (int)n : 0;
}

/* usage_limit_reached is known by either of the two; else the code counts. */
static void find_word(struct facts *f)
{
	const struct ph_verdict *code = ph_words_of(f->code), *type = ph_words_of(f->type);
	bool by_type =
		type && (!code || (code->signal == PH_SIGNAL_LIMIT && type->signal == PH_SIGNAL_QUOTA));

	f->known = by_type ? type : code;
	f->word = by_type ? f->type : f->code;
}

/* "Unsupported parameter: 'X' ..": X, which may be a path. */
static void find_unsupported(struct facts *f)
{
	static const char path[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.[]";
	static const char *const before[] = {"unsupported parameter: ", "unknown parameter: "};

	if (f->known && f->known->code == PH_E_UPSTREAM_PARAMETER)
		memcpy(f->unsupported, f->param, sizeof f->unsupported);
	for (size_t i = 0; !f->unsupported[0] && i < sizeof before / sizeof *before; i++) {
		const char *at = strstr(f->message, before[i]), *name;
		size_t n;

		if (!at)
			continue;
		name = f->said + (at - f->message) + strlen(before[i]);
		name += strspn(name, "'\"`");
		n = strspn(name, path);
		if (n >= sizeof f->unsupported || !strchr("'\"` ,;", name[n])) /* or the end */
			continue;
		while (n > 0 && name[n - 1] == '.')
			n--; /* of a sentence */
		ph_str_copy(f->unsupported, sizeof f->unsupported, ph_str(name, n));
	}
}

static struct ph_str read_facts(struct facts *f, struct ph_str body)
{
	struct ph_str trimmed = ph_str_trim(body);
	struct ph_str error = PH_STR_NONE;

	f->json = ph_json_kind(trimmed) == PH_JSON_OBJECT && ph_json_check(trimmed, NULL) == 0;
	if (f->json) {
		error = find_error(f, trimmed);
		read_status(f, trimmed);
	} else {
		ph_str_copy(f->said, sizeof f->said, trimmed);
	}
	memcpy(f->message, f->said, sizeof f->message);
	lower(f->message);
	find_word(f);
	find_unsupported(f);
	return error;
}

/* ---- what it means ---- */

static bool says(const struct facts *f, const char *text)
{
	return strstr(f->message, text) != NULL;
}

/* A call without its output, or the other way round: the client's to mend, and no lost anchor. */
static bool pair_missing(const struct facts *f)
{
	return says(f, "no tool output found for") || says(f, "no tool call found for");
}

/* "previous response ... not found" and its kin. */
static bool anchor_lost(const struct facts *f)
{
	if (strcmp(f->unsupported, "previous_response_id") == 0)
		return true;
	if (strcmp(f->param, "previous_response_id") == 0 &&
		(f->status == 0 || f->status == 400 || f->status == 404))
		return true;
	if (!says(f, "previous response") && !says(f, "previous_response_id"))
		return false;
	return says(f, "not found") || says(f, "invalid") || says(f, "unknown") || says(f, "expired") ||
	       says(f, "does not exist");
}

/* "input[3].status": some backends emit it in reasoning items, and others refuse it there. */
static bool is_item_status(const char *path)
{
	size_t digits;

	if (strncmp(path, "input[", 6) != 0)
		return false;
	digits = strspn(path + 6, "0123456789");
	return digits > 0 && strcmp(path + 6 + digits, "].status") == 0;
}

static bool ciphertext_refused(const struct facts *f)
{
	if (is_item_status(f->unsupported))
		return true;
	if (says(f, "required following item") || says(f, "required reasoning item"))
		return true;
	if (says(f, "items are not persisted when") || (says(f, "item with id '") && says(f, "not found")))
		return true;
	if (!says(f, "encrypted content") && !says(f, "encrypted_content"))
		return false;
	return says(f, "could not be verified") || says(f, "could not be decrypted") ||
	       says(f, "could not be parsed") || says(f, "organization_id did not match") ||
	       says(f, "invalid");
}

/* A top-level member, and one that the request means the same without: never the anchor, for the bare delta
 * would be sent. */
static bool can_be_omitted(const struct facts *f)
{
	if (!f->known && f->status != 0 && f->status != 400 && f->status != 422)
		return false;
	return f->unsupported[0] && !strpbrk(f->unsupported, "[]") &&
	       strcmp(f->unsupported, "previous_response_id") != 0;
}

/* An event without a status: a code that nobody knows says nothing of the account. */
static struct ph_verdict by_no_status(const struct facts *f)
{
	struct ph_verdict failed = {PH_E_UPSTREAM_FAILED, PH_SIGNAL_FAULT, false};

	if (strcmp(f->type, "invalid_request_error") == 0 || strcmp(f->code, "invalid_request_error") == 0)
		return refused;
	if (f->code[0])
		failed.signal = PH_SIGNAL_NONE;
	return failed;
}

static struct ph_verdict by_status(const struct facts *f)
{
	struct ph_verdict denied = {PH_E_UPSTREAM_DENIED, PH_SIGNAL_NONE, false};
	struct ph_verdict failed = {PH_E_UPSTREAM_FAILED, PH_SIGNAL_NONE, false};

	switch (f->status) {
	case 0:
		return by_no_status(f);
	case 401:
		denied.renews = !f->code[0];
		return denied;
	case 402:
	case 403:
		return denied;
	case 404:
		/* Not the API's own words: that path does not exist there, which is no fault of the
		 * request. */
		return f->named ? refused : failed;
	case 408:
	case 409:
	case 425:
		return failed;
	case 429:
		return (struct ph_verdict){PH_E_UPSTREAM_LIMITED, PH_SIGNAL_LIMIT, false};
	case 529:
		return (struct ph_verdict){PH_E_UPSTREAM_BUSY, PH_SIGNAL_OVERLOAD, false};
	default:
		failed.signal = PH_SIGNAL_FAULT;
		return f->status >= 400 && f->status < 500 ? refused : failed;
	}
}

/* Words that leave room for a more exact reading of the message. */
static bool vague(int code)
{
	return code == 0 || code == PH_E_UPSTREAM_REFUSED || code == PH_E_UPSTREAM_PARAMETER ||
	       code == PH_E_UPSTREAM_FAILED;
}

static struct ph_verdict neutral(int code)
{
	return (struct ph_verdict){code, PH_SIGNAL_NONE, false};
}

/* What is wrong with the request's content, or 0: those are no account's fault. */
static int by_content(const struct ph_failed_answer *a, const struct facts *f)
{
	int code = f->known ? f->known->code : 0;

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
	if (code && code != PH_E_UPSTREAM_PARAMETER)
		return 0;
	if (can_be_omitted(f))
		return PH_E_UPSTREAM_PARAMETER;
	return code ? PH_E_UPSTREAM_REFUSED : 0;
}

static struct ph_verdict judge(const struct ph_failed_answer *a, const struct facts *f)
{
	int content = by_content(a, f);
	const struct ph_verdict *phrase = NULL;

	if (content)
		return neutral(content);
	if (!f->known || f->known->code == PH_E_UPSTREAM_FAILED)
		phrase = ph_words_in(f->status, f->message);
	if (phrase)
		return *phrase;
	return f->known ? *f->known : by_status(f);
}

/* The first that was said: a span, headers, the head's, words. */
static uint64_t when(const struct ph_failed_answer *a, const struct facts *f)
{
	static const char before[] = "try again in ";
	const char *words_at = strstr(f->message, before);

	if (f->span_ms)
		return f->span_ms;
	if (f->headers_ms)
		return f->headers_ms;
	if (a->head_after_ms)
		return a->head_after_ms;
	return words_at ? ph_after_duration(words_at + sizeof before - 1) : 0;
}

void ph_classify(const struct ph_failed_answer *a, struct ph_failure *ret)
{
	struct facts f = {.status = a->status};
	struct ph_verdict v;

	*ret = (struct ph_failure){.error = read_facts(&f, a->body)};
	v = judge(a, &f);
	ret->code = v.code;
	ret->signal = v.renews && a->renewable ? PH_SIGNAL_EXPIRED : v.signal;
	ret->resets_s = f.resets_s;
	ret->after_ms = when(a, &f);
	if (f.json) {
		memcpy(ret->message, f.said, sizeof ret->message);
		memcpy(ret->word, f.word, sizeof ret->word);
		memcpy(ret->param, f.param, sizeof ret->param);
	}
	if (v.code == PH_E_UPSTREAM_PARAMETER)
		memcpy(ret->param, f.unsupported, sizeof ret->param);
}

/* Any other code, a member or a model: it is the path that speaks. */
bool ph_path_missing(int status, const struct ph_failure *f)
{
	if ((status != 404 && status != 405 && status != 501) || f->signal == PH_SIGNAL_MODEL || f->param[0])
		return false;
	return !f->error.n || !f->word[0] || ph_words_deny_path(f->word);
}
