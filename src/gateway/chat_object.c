/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A response of the Responses API as a chat completion, and what such an answer says of itself, its usage and
 * its faults, which chunks say in the same words (chat_answer.c).
 */
#include "chat_priv.h"

#define TEXT_MAX (256u * 1024 * 1024)

const struct ph_str ph_chat_response_names[PH_CHAT_R_NR] = {
	[PH_CHAT_R_ID] = PH_STR_INIT("id"),
	[PH_CHAT_R_CREATED] = PH_STR_INIT("created_at"),
	[PH_CHAT_R_MODEL] = PH_STR_INIT("model"),
	[PH_CHAT_R_STATUS] = PH_STR_INIT("status"),
	[PH_CHAT_R_OUTPUT] = PH_STR_INIT("output"),
	[PH_CHAT_R_USAGE] = PH_STR_INIT("usage"),
	[PH_CHAT_R_ERROR] = PH_STR_INIT("error"),
	[PH_CHAT_R_INCOMPLETE] = PH_STR_INIT("incomplete_details"),
	[PH_CHAT_R_TIER] = PH_STR_INIT("service_tier"),
};

const struct ph_str ph_chat_item_names[PH_CHAT_I_NR] = {PH_STR_INIT("type"), PH_STR_INIT("content"),
	PH_STR_INIT("call_id"), PH_STR_INIT("name"), PH_STR_INIT("arguments")};

/* ---- what an answer says of itself ---- */

/* Some tell the time with a fraction. */
static struct ph_str whole_seconds(const struct ph_json_member *m)
{
	size_t n = 0;

	while (m->kind == PH_JSON_NUMBER && n < m->value.n && m->value.p[n] >= '0' && m->value.p[n] <= '9')
		n++;
	return ph_str(m->value.p, n);
}

void ph_chat_put_head(struct ph_buf *out, const char *object, const struct ph_chat_names *names,
	const struct ph_json_member *m)
{
	struct ph_str id = m ? ph_chat_inside(&m[PH_CHAT_R_ID]) : PH_STR("");
	struct ph_str created = m ? whole_seconds(&m[PH_CHAT_R_CREATED]) : PH_STR("");
	struct ph_str model =
		m && m[PH_CHAT_R_MODEL].kind == PH_JSON_STRING ? m[PH_CHAT_R_MODEL].value : names->model;

	if (ph_str_starts(id, PH_STR("resp_")))
		id = ph_str_from(id, 5);
	ph_buf_puts(out, PH_STR("{\"id\":\"chatcmpl-"));
	ph_buf_puts(out, id.n ? id : ph_str_c(names->id));
	ph_buf_puts(out, PH_STR("\",\"object\":\""));
	ph_buf_puts(out, ph_str_c(object));
	ph_buf_puts(out, PH_STR("\",\"created\":"));
	if (created.n)
		ph_buf_puts(out, created);
	else
		ph_buf_u64(out, names->created_s);
	ph_buf_puts(out, PH_STR(",\"model\":"));
	ph_buf_puts(out, model.n ? model : PH_STR("\"\""));
	ph_buf_puts(out, PH_STR(",\"choices\":["));
}

void ph_chat_put_usage(struct ph_buf *out, const struct ph_json_member *usage)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("input_tokens"), PH_STR_INIT("output_tokens"),
		PH_STR_INIT("total_tokens"), PH_STR_INIT("input_tokens_details"),
		PH_STR_INIT("output_tokens_details")};
	static const struct ph_str cached = PH_STR_INIT("cached_tokens");
	static const struct ph_str reasoning = PH_STR_INIT("reasoning_tokens");
	struct ph_json_member m[5], in, of;

	ph_chat_look(usage, wanted, 5, m);
	ph_chat_look(&m[3], &cached, 1, &in);
	ph_chat_look(&m[4], &reasoning, 1, &of);
	ph_buf_printf(out,
		"{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
		"\"prompt_tokens_details\":{\"cached_tokens\":%llu,\"audio_tokens\":0},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":%llu,\"audio_tokens\":0,"
		"\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
		(unsigned long long)ph_chat_number(&m[0]), (unsigned long long)ph_chat_number(&m[1]),
		(unsigned long long)(m[2].kind == PH_JSON_NUMBER
					     ? ph_chat_number(&m[2])
					     : ph_chat_number(&m[0]) + ph_chat_number(&m[1])),
		(unsigned long long)ph_chat_number(&in), (unsigned long long)ph_chat_number(&of));
}

/* Cut short is "length", whatever cut it, so that it never looks whole. */
const char *ph_chat_finish_reason(const struct ph_json_member *incomplete, bool cut, unsigned calls)
{
	static const struct ph_str name = PH_STR_INIT("reason");
	struct ph_json_member reason;

	if (!cut)
		return calls ? "tool_calls" : "stop";
	ph_chat_look(incomplete, &name, 1, &reason);
	if (reason.kind == PH_JSON_STRING && ph_json_text_is(reason.value, PH_STR("content_filter")))
		return "content_filter";
	return "length";
}

/* ---- errors ---- */

static const struct {
	const char *code, *type;
	int status;
} errors[] = {
	{"server_error", "server_error", 500},
	{"vector_store_timeout", "server_error", 500},
	{"rate_limit_exceeded", "rate_limit_error", 429},
};

int ph_chat_put_error(struct ph_buf *out, const struct ph_json_member *error)
{
	static const struct ph_str wanted[] = {
		PH_STR_INIT("code"), PH_STR_INIT("message"), PH_STR_INIT("param")};
	struct ph_json_member m[3];
	const char *type = "invalid_request_error";
	int status = 400;

	ph_chat_look(error, wanted, 3, m);
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
		if (m[0].kind == PH_JSON_STRING ? ph_json_text_is(m[0].value, ph_str_c(errors[i].code))
						: i == 0) {
			type = errors[i].type;
			status = errors[i].status;
		}
	}
	ph_buf_puts(out, PH_STR("{\"error\":{\"message\":"));
	ph_buf_puts(out, m[1].kind == PH_JSON_STRING ? m[1].value : PH_STR("\"The upstream failed.\""));
	ph_buf_printf(out, ",\"type\":\"%s\",\"param\":", type);
	ph_buf_puts(out, m[2].kind == PH_JSON_STRING ? m[2].value : PH_STR("null"));
	ph_buf_puts(out, PH_STR(",\"code\":"));
	ph_buf_puts(out, m[0].kind == PH_JSON_STRING ? m[0].value : PH_STR("null"));
	ph_buf_puts(out, PH_STR("}}"));
	return status;
}

/* What the request said in other words. Indices are left out: they count other things. */
static const struct {
	struct ph_str theirs;
	const char *ours;
} renamed[] = {
	{PH_STR_INIT("input"), "messages"},
	{PH_STR_INIT("max_output_tokens"), "max_completion_tokens"},
	{PH_STR_INIT("reasoning"), "reasoning_effort"},
	{PH_STR_INIT("text.verbosity"), "verbosity"},
	{PH_STR_INIT("text"), "response_format"},
};

static const char *renamed_to(struct ph_str param)
{
	for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++) {
		struct ph_str rest = ph_str_from(param, renamed[i].theirs.n);

		if (ph_str_starts(param, renamed[i].theirs) &&
			(rest.n == 0 || rest.p[0] == '.' || rest.p[0] == '['))
			return renamed[i].ours;
	}
	return NULL;
}

void ph_chat_answer_error(struct ph_str envelope, struct ph_buf *out)
{
	static const struct ph_str error = PH_STR_INIT("error"), param = PH_STR_INIT("param");
	struct ph_json_member e, p;
	const char *name;
	size_t at;

	ph_chat_read(envelope, &error, 1, &e);
	ph_chat_look(&e, &param, 1, &p);
	name = renamed_to(ph_chat_inside(&p));
	if (!name) {
		ph_buf_puts(out, envelope);
		return;
	}
	at = (size_t)(p.value.p - envelope.p);
	ph_buf_puts(out, ph_str(envelope.p, at));
	ph_buf_printf(out, "\"%s\"", name);
	ph_buf_puts(out, ph_str_from(envelope, at + p.value.n));
}

/* ---- items ---- */

enum {
	C_TYPE,
	C_TEXT,
	C_REFUSAL,
	C_NR
};

void ph_chat_each_text(const struct ph_json_member *content,
	void (*told)(void *arg, const char *name, const struct ph_json_member *text), void *arg)
{
	static const struct ph_str wanted[C_NR] = {
		PH_STR_INIT("type"), PH_STR_INIT("text"), PH_STR_INIT("refusal")};
	struct ph_json_member m[C_NR];
	struct ph_str part;
	size_t offset = 0;

	if (content->kind != PH_JSON_ARRAY)
		return;
	while (ph_json_next(content->value, &offset, &part)) {
		ph_chat_read(part, wanted, C_NR, m);
		if (ph_chat_is_word(&m[C_TYPE], "output_text") && m[C_TEXT].kind == PH_JSON_STRING)
			told(arg, "content", &m[C_TEXT]);
		else if (ph_chat_is_word(&m[C_TYPE], "refusal") && m[C_REFUSAL].kind == PH_JSON_STRING)
			told(arg, "refusal", &m[C_REFUSAL]);
	}
}

/* ---- a whole answer ---- */

/* Its parts, as the insides of strings and of a list. */
struct message {
	struct ph_buf content, refusal, calls;
	bool said, refused;
	unsigned call_count;
};

static void add_text(void *arg, const char *name, const struct ph_json_member *text)
{
	struct message *g = arg;
	bool refusal = name[0] == 'r';

	g->said |= !refusal;
	g->refused |= refusal;
	ph_buf_puts(refusal ? &g->refusal : &g->content, ph_chat_inside(text));
}

static void add_call(struct message *g, const struct ph_json_member *m)
{
	if (m[PH_CHAT_I_CALL_ID].kind != PH_JSON_STRING || m[PH_CHAT_I_NAME].kind != PH_JSON_STRING)
		return;
	ph_buf_puts(&g->calls, g->call_count++ ? PH_STR(",{\"id\":") : PH_STR("{\"id\":"));
	ph_buf_puts(&g->calls, m[PH_CHAT_I_CALL_ID].value);
	ph_buf_puts(&g->calls, PH_STR(",\"type\":\"function\",\"function\":{\"name\":"));
	ph_buf_puts(&g->calls, m[PH_CHAT_I_NAME].value);
	ph_buf_puts(&g->calls, PH_STR(",\"arguments\":"));
	ph_buf_puts(&g->calls, m[PH_CHAT_I_ARGUMENTS].kind == PH_JSON_STRING ? m[PH_CHAT_I_ARGUMENTS].value
									     : PH_STR("\"\""));
	ph_buf_puts(&g->calls, PH_STR("}}"));
}

static void add_items(struct message *g, struct ph_str output)
{
	struct ph_json_member m[PH_CHAT_I_NR];
	struct ph_str json;
	size_t offset = 0;

	if (ph_json_kind(output) != PH_JSON_ARRAY)
		return;
	while (ph_json_next(output, &offset, &json)) {
		ph_chat_read(json, ph_chat_item_names, PH_CHAT_I_NR, m);
		if (ph_chat_is_word(&m[PH_CHAT_I_TYPE], "message"))
			ph_chat_each_text(&m[PH_CHAT_I_CONTENT], add_text, g);
		else if (ph_chat_is_word(&m[PH_CHAT_I_TYPE], "function_call"))
			add_call(g, m);
	}
}

static void put_string(struct ph_buf *out, const char *name, bool there, const struct ph_buf *text)
{
	ph_buf_printf(out, ",\"%s\":", name);
	if (!there) {
		ph_buf_puts(out, PH_STR("null"));
		return;
	}
	ph_buf_putc(out, '"');
	ph_buf_puts(out, ph_buf_str(text));
	ph_buf_putc(out, '"');
}

static void put_choice(struct ph_buf *out, const struct message *g, const char *finish)
{
	ph_buf_puts(out, PH_STR("{\"index\":0,\"message\":{\"role\":\"assistant\""));
	put_string(out, "content", g->said, &g->content);
	put_string(out, "refusal", g->refused, &g->refusal);
	if (g->call_count) {
		ph_buf_puts(out, PH_STR(",\"tool_calls\":["));
		ph_buf_puts(out, ph_buf_str(&g->calls));
		ph_buf_putc(out, ']');
	}
	ph_buf_printf(out, ",\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"%s\"}]", finish);
}

static void put_completion(
	struct ph_buf *out, const struct ph_json_member *m, const struct ph_chat_names *names)
{
	struct message g = {.said = false};

	ph_buf_init(&g.content, TEXT_MAX);
	ph_buf_init(&g.refusal, TEXT_MAX);
	ph_buf_init(&g.calls, TEXT_MAX);
	add_items(&g, m[PH_CHAT_R_OUTPUT].value);
	ph_chat_put_head(out, "chat.completion", names, m);
	put_choice(out, &g,
		ph_chat_finish_reason(&m[PH_CHAT_R_INCOMPLETE],
			ph_chat_is_word(&m[PH_CHAT_R_STATUS], "incomplete"), g.call_count));
	if (m[PH_CHAT_R_USAGE].kind == PH_JSON_OBJECT) {
		ph_buf_puts(out, PH_STR(",\"usage\":"));
		ph_chat_put_usage(out, &m[PH_CHAT_R_USAGE]);
	}
	if (m[PH_CHAT_R_TIER].kind == PH_JSON_STRING) {
		ph_buf_puts(out, PH_STR(",\"service_tier\":"));
		ph_buf_puts(out, m[PH_CHAT_R_TIER].value);
	}
	ph_buf_putc(out, '}');
	ph_buf_deinit(&g.content);
	ph_buf_deinit(&g.refusal);
	ph_buf_deinit(&g.calls);
}

int ph_chat_answer_whole(struct ph_str response, const struct ph_chat_names *names, struct ph_buf *out)
{
	struct ph_json_member m[PH_CHAT_R_NR];

	ph_chat_read(response, ph_chat_response_names, PH_CHAT_R_NR, m);
	if (ph_chat_is_word(&m[PH_CHAT_R_STATUS], "failed") ||
		ph_chat_is_word(&m[PH_CHAT_R_STATUS], "cancelled"))
		return ph_chat_put_error(out, &m[PH_CHAT_R_ERROR]);
	put_completion(out, m, names);
	return 200;
}
