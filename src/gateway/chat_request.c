/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request for a chat completion in the words of the Responses API. Pure, and without a tree: values are
 * copied as the bytes that they are. `members` says what becomes of each member, and docs/chat.md says it to
 * users; what has no place over there is refused by name, never dropped in silence.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chat_priv.h"

/* What becomes of a member. */
enum fate {
	READ,    /* below */
	COPIED,  /* under the same name */
	IGNORED, /* it asks for nothing that the answer shows, or only as far as possible */
	REFUSED, /* but null, false, empty, and where `idle` is that number, say nothing and may stand there
		  */
};

enum member {
	M_MODEL,
	M_MESSAGES,
	M_STREAM,
	M_STREAM_OPTIONS,
	M_TOOLS,
	M_TOOL_CHOICE,
	M_RESPONSE_FORMAT,
	M_VERBOSITY,
	M_REASONING_EFFORT,
	M_MAX_COMPLETION_TOKENS,
	M_MAX_TOKENS,
	M_MODALITIES,
	M_TEMPERATURE,
	M_TOP_P,
	M_PARALLEL_TOOL_CALLS,
	M_METADATA,
	M_SERVICE_TIER,
	M_USER,
	M_SAFETY_IDENTIFIER,
	M_CACHE_KEY,
	M_CACHE_RETENTION,
	M_CACHE_OPTIONS,
	M_STORE,
	M_SEED,
	M_PREDICTION,
	M_N,
	M_LOGPROBS,
	M_TOP_LOGPROBS,
	M_FREQUENCY_PENALTY,
	M_PRESENCE_PENALTY,
	M_LOGIT_BIAS,
	M_STOP,
	M_AUDIO,
	M_FUNCTIONS,
	M_FUNCTION_CALL,
	M_WEB_SEARCH_OPTIONS,
	M_NR,
};

static const struct ph_str names[M_NR] = {
	[M_MODEL] = PH_STR_INIT("model"),
	[M_MESSAGES] = PH_STR_INIT("messages"),
	[M_STREAM] = PH_STR_INIT("stream"),
	[M_STREAM_OPTIONS] = PH_STR_INIT("stream_options"),
	[M_TOOLS] = PH_STR_INIT("tools"),
	[M_TOOL_CHOICE] = PH_STR_INIT("tool_choice"),
	[M_RESPONSE_FORMAT] = PH_STR_INIT("response_format"),
	[M_VERBOSITY] = PH_STR_INIT("verbosity"),
	[M_REASONING_EFFORT] = PH_STR_INIT("reasoning_effort"),
	[M_MAX_COMPLETION_TOKENS] = PH_STR_INIT("max_completion_tokens"),
	[M_MAX_TOKENS] = PH_STR_INIT("max_tokens"),
	[M_MODALITIES] = PH_STR_INIT("modalities"),
	[M_TEMPERATURE] = PH_STR_INIT("temperature"),
	[M_TOP_P] = PH_STR_INIT("top_p"),
	[M_PARALLEL_TOOL_CALLS] = PH_STR_INIT("parallel_tool_calls"),
	[M_METADATA] = PH_STR_INIT("metadata"),
	[M_SERVICE_TIER] = PH_STR_INIT("service_tier"),
	[M_USER] = PH_STR_INIT("user"),
	[M_SAFETY_IDENTIFIER] = PH_STR_INIT("safety_identifier"),
	[M_CACHE_KEY] = PH_STR_INIT("prompt_cache_key"),
	[M_CACHE_RETENTION] = PH_STR_INIT("prompt_cache_retention"),
	[M_CACHE_OPTIONS] = PH_STR_INIT("prompt_cache_options"),
	[M_STORE] = PH_STR_INIT("store"),
	[M_SEED] = PH_STR_INIT("seed"),
	[M_PREDICTION] = PH_STR_INIT("prediction"),
	[M_N] = PH_STR_INIT("n"),
	[M_LOGPROBS] = PH_STR_INIT("logprobs"),
	[M_TOP_LOGPROBS] = PH_STR_INIT("top_logprobs"),
	[M_FREQUENCY_PENALTY] = PH_STR_INIT("frequency_penalty"),
	[M_PRESENCE_PENALTY] = PH_STR_INIT("presence_penalty"),
	[M_LOGIT_BIAS] = PH_STR_INIT("logit_bias"),
	[M_STOP] = PH_STR_INIT("stop"),
	[M_AUDIO] = PH_STR_INIT("audio"),
	[M_FUNCTIONS] = PH_STR_INIT("functions"),
	[M_FUNCTION_CALL] = PH_STR_INIT("function_call"),
	[M_WEB_SEARCH_OPTIONS] = PH_STR_INIT("web_search_options"),
};

/* Those that are not here are READ. */
static const struct {
	enum fate fate;
	double idle;
	const char *why; /* it is refused */
} members[M_NR] = {
	[M_TEMPERATURE] = {COPIED, 0, NULL},
	[M_TOP_P] = {COPIED, 0, NULL},
	[M_PARALLEL_TOOL_CALLS] = {COPIED, 0, NULL},
	[M_METADATA] = {COPIED, 0, NULL},
	[M_SERVICE_TIER] = {COPIED, 0, NULL},
	[M_USER] = {COPIED, 0, NULL},
	[M_SAFETY_IDENTIFIER] = {COPIED, 0, NULL},
	[M_CACHE_KEY] = {COPIED, 0, NULL},
	[M_CACHE_RETENTION] = {COPIED, 0, NULL},
	[M_CACHE_OPTIONS] = {COPIED, 0, NULL},
	[M_STORE] = {IGNORED, 0, NULL},
	[M_SEED] = {IGNORED, 0, NULL},
	[M_PREDICTION] = {IGNORED, 0, NULL},
	[M_N] = {REFUSED, 1, "One choice is all that it gives."},
	[M_LOGPROBS] = {REFUSED, 0, "Leave it out."},
	[M_TOP_LOGPROBS] = {REFUSED, 0, "Leave it out."},
	[M_FREQUENCY_PENALTY] = {REFUSED, 0, "Leave it out."},
	[M_PRESENCE_PENALTY] = {REFUSED, 0, "Leave it out."},
	[M_LOGIT_BIAS] = {REFUSED, 0, "Leave it out."},
	[M_STOP] = {REFUSED, 0, "Leave it out, and cut the text where it is read."},
	[M_AUDIO] = {REFUSED, 0, "Audio is not spoken there."},
	[M_FUNCTIONS] = {REFUSED, 0, "Use 'tools'."},
	[M_FUNCTION_CALL] = {REFUSED, 0, "Use 'tool_choice'."},
	[M_WEB_SEARCH_OPTIONS] = {REFUSED, 0, "Leave it out."},
};

/* ---- tools ---- */

/* `strict` is off in a chat unless it is asked for, and on over there unless it is refused. */
static int put_tool(struct ph_chat_writing *w, const struct ph_json_member *tool, size_t index)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("function")};
	static const struct ph_str of_function[] = {PH_STR_INIT("name"), PH_STR_INIT("description"),
		PH_STR_INIT("parameters"), PH_STR_INIT("strict")};
	struct ph_json_member m[2], f[4];
	char path[64];

	snprintf(path, sizeof path, "tools[%zu]", index);
	ph_chat_look(tool, wanted, 2, m);
	ph_chat_look(&m[1], of_function, 4, f);
	if (m[0].kind == PH_JSON_STRING && !ph_chat_is_word(&m[0], "function"))
		return ph_chat_cannot(w, path, "Only functions can be sent.");
	if (f[0].kind != PH_JSON_STRING)
		return ph_chat_bad(w, path, "must have a 'function' with a 'name'.");
	ph_chat_put(w, index ? ",{\"type\":\"function\"" : "{\"type\":\"function\"");
	ph_chat_put_pair(w, ",\"name\":", &f[0]);
	ph_chat_put_pair(w, ",\"description\":", &f[1]);
	if (ph_chat_given(&f[2]))
		ph_chat_put_pair(w, ",\"parameters\":", &f[2]);
	else
		ph_chat_put(w, ",\"parameters\":{\"type\":\"object\",\"properties\":{}}");
	if (ph_chat_given(&f[3]))
		ph_chat_put_pair(w, ",\"strict\":", &f[3]);
	else
		ph_chat_put(w, ",\"strict\":false");
	ph_chat_put(w, "}");
	return 0;
}

static int put_tools(struct ph_chat_writing *w, const struct ph_json_member *tools)
{
	int rc;

	if (!ph_chat_given(tools))
		return 0;
	if (tools->kind != PH_JSON_ARRAY)
		return ph_chat_bad(w, "tools", "must be a list.");
	ph_chat_put(w, ",\"tools\":[");
	rc = ph_chat_each(w, tools, put_tool);
	ph_chat_put(w, "]");
	return rc;
}

/* {"type":"function","function":{"name":N}} */
static int put_named(struct ph_chat_writing *w, const struct ph_json_member *tool, size_t index)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("function")};
	static const struct ph_str name = PH_STR_INIT("name");
	struct ph_json_member m[2], n;

	ph_chat_look(tool, wanted, 2, m);
	ph_chat_look(&m[1], &name, 1, &n);
	if (m[0].kind == PH_JSON_STRING && !ph_chat_is_word(&m[0], "function"))
		return ph_chat_cannot(w, "tool_choice", "Only functions can be named.");
	if (n.kind != PH_JSON_STRING)
		return ph_chat_bad(w, "tool_choice", "must name a function.");
	ph_chat_put(w, index ? ",{\"type\":\"function\"" : "{\"type\":\"function\"");
	ph_chat_put_pair(w, ",\"name\":", &n);
	ph_chat_put(w, "}");
	return 0;
}

static int put_allowed(struct ph_chat_writing *w, const struct ph_json_member *allowed)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("mode"), PH_STR_INIT("tools")};
	struct ph_json_member m[2];
	int rc;

	ph_chat_look(allowed, wanted, 2, m);
	if (m[0].kind != PH_JSON_STRING || m[1].kind != PH_JSON_ARRAY)
		return ph_chat_bad(w, "tool_choice", "must have 'allowed_tools' with 'mode' and 'tools'.");
	ph_chat_put(w, "{\"type\":\"allowed_tools\"");
	ph_chat_put_pair(w, ",\"mode\":", &m[0]);
	ph_chat_put(w, ",\"tools\":[");
	rc = ph_chat_each(w, &m[1], put_named);
	ph_chat_put(w, "]}");
	return rc;
}

static int put_tool_choice(struct ph_chat_writing *w, const struct ph_json_member *choice)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("allowed_tools")};
	struct ph_json_member m[2];

	if (!ph_chat_given(choice))
		return 0;
	ph_chat_put(w, ",\"tool_choice\":");
	if (choice->kind == PH_JSON_STRING) {
		ph_buf_puts(w->out, choice->value);
		return 0;
	}
	ph_chat_look(choice, wanted, 2, m);
	return ph_chat_is_word(&m[0], "allowed_tools") ? put_allowed(w, &m[1]) : put_named(w, choice, 0);
}

/* ---- the look of the text ---- */

static int put_schema(struct ph_chat_writing *w, const struct ph_json_member *schema)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("name"), PH_STR_INIT("description"),
		PH_STR_INIT("schema"), PH_STR_INIT("strict")};
	struct ph_json_member m[4];

	ph_chat_look(schema, wanted, 4, m);
	if (m[0].kind != PH_JSON_STRING)
		return ph_chat_bad(w, "response_format", "must have a 'json_schema' with a 'name'.");
	ph_chat_put(w, "\"format\":{\"type\":\"json_schema\"");
	ph_chat_put_pair(w, ",\"name\":", &m[0]);
	ph_chat_put_pair(w, ",\"description\":", &m[1]);
	if (ph_chat_given(&m[2]))
		ph_chat_put_pair(w, ",\"schema\":", &m[2]);
	else
		ph_chat_put(w, ",\"schema\":{}");
	ph_chat_put_pair(w, ",\"strict\":", &m[3]);
	ph_chat_put(w, "}");
	return 0;
}

static int put_format(struct ph_chat_writing *w, const struct ph_json_member *format)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("json_schema")};
	struct ph_json_member m[2];

	ph_chat_look(format, wanted, 2, m);
	if (ph_chat_is_word(&m[0], "json_schema"))
		return put_schema(w, &m[1]);
	if (m[0].kind != PH_JSON_STRING)
		return ph_chat_bad(w, "response_format", "must be an object with a 'type'.");
	if (!ph_chat_is_word(&m[0], "text") && !ph_chat_is_word(&m[0], "json_object"))
		return ph_chat_cannot(
			w, "response_format", "Only text, json_object and json_schema can be sent.");
	ph_chat_put_pair(w, "\"format\":{\"type\":", &m[0]);
	ph_chat_put(w, "}");
	return 0;
}

static int put_text(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	bool formatted = ph_chat_given(&m[M_RESPONSE_FORMAT]);
	int rc = 0;

	if (!formatted && !ph_chat_given(&m[M_VERBOSITY]))
		return 0;
	ph_chat_put(w, ",\"text\":{");
	if (formatted)
		rc = put_format(w, &m[M_RESPONSE_FORMAT]);
	ph_chat_put_pair(w, formatted ? ",\"verbosity\":" : "\"verbosity\":", &m[M_VERBOSITY]);
	ph_chat_put(w, "}");
	return rc;
}

/* ---- the rest of the top level ---- */

static bool says_nothing(const struct ph_json_member *m, double idle)
{
	char text[32];

	if (ph_chat_is_empty(m) || m->kind == PH_JSON_FALSE)
		return true;
	if (m->kind != PH_JSON_NUMBER || m->value.n >= sizeof text)
		return false;
	ph_str_copy(text, sizeof text, m->value);
	return strtod(text, NULL) == idle;
}

static int check_refused(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	for (size_t i = 0; i < M_NR; i++)
		if (members[i].fate == REFUSED && !says_nothing(&m[i], members[i].idle))
			return ph_chat_cannot(w, names[i].p, members[i].why);
	return 0;
}

static bool is_known(struct ph_str name)
{
	for (size_t i = 0; i < M_NR; i++)
		if (ph_json_text_is(name, names[i]))
			return true;
	return false;
}

static int check_unknown(struct ph_chat_writing *w, struct ph_str text)
{
	struct ph_str name, value;
	size_t offset = 0;
	char cut[64];

	while (ph_json_pair(text, &offset, &name, &value)) {
		if (is_known(name) || ph_json_kind(value) == PH_JSON_NULL)
			continue;
		ph_str_copy(cut, sizeof cut, ph_str(name.p + 1, name.n - 2));
		return ph_chat_cannot(w, cut, "It is not known there.");
	}
	return 0;
}

static int check_modalities(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	struct ph_str element;
	size_t offset = 0;

	if (m->kind != PH_JSON_ARRAY)
		return ph_chat_given(m) ? ph_chat_bad(w, "modalities", "must be a list.") : 0;
	while (ph_json_next(m->value, &offset, &element))
		if (!ph_json_text_is(element, PH_STR("text")))
			return ph_chat_cannot(w, "modalities", "Text is all that is spoken there.");
	return 0;
}

static void put_copied(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	for (size_t i = 0; i < M_NR; i++) {
		if (members[i].fate != COPIED || !ph_chat_given(&m[i]))
			continue;
		ph_buf_printf(w->out, ",\"%s\":", names[i].p);
		ph_buf_puts(w->out, m[i].value);
	}
}

static void put_limits(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	bool newer = ph_chat_given(&m[M_MAX_COMPLETION_TOKENS]);

	ph_chat_put_pair(w, ",\"max_output_tokens\":", &m[newer ? M_MAX_COMPLETION_TOKENS : M_MAX_TOKENS]);
	if (!ph_chat_given(&m[M_REASONING_EFFORT]))
		return;
	ph_chat_put_pair(w, ",\"reasoning\":{\"effort\":", &m[M_REASONING_EFFORT]);
	ph_chat_put(w, "}");
}

static int put_all(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	int rc;

	ph_chat_put(w, "{\"store\":false");
	ph_chat_put_pair(w, ",\"model\":", &m[M_MODEL]);
	ph_chat_put_pair(w, ",\"stream\":", &m[M_STREAM]);
	ph_chat_put(w, ",\"input\":[");
	rc = ph_chat_each(w, &m[M_MESSAGES], ph_chat_put_message);
	ph_chat_put(w, "]");
	if (rc == 0)
		rc = put_tools(w, &m[M_TOOLS]);
	if (rc == 0)
		rc = put_tool_choice(w, &m[M_TOOL_CHOICE]);
	if (rc == 0)
		rc = put_text(w, m);
	put_limits(w, m);
	put_copied(w, m);
	ph_chat_put(w, "}");
	return rc;
}

/* ---- the whole ---- */

static int read_asked(const struct ph_json_member *m, struct ph_chat_asked *asked, struct ph_err *err)
{
	static const struct ph_str usage = PH_STR_INIT("include_usage");
	struct ph_json_member wanted;

	if (ph_chat_given(&m[M_STREAM]) && m[M_STREAM].kind > PH_JSON_TRUE)
		return ph_fail_param(err, PH_E_PARAM_BAD, "stream", "'stream' must be a boolean.");
	if (ph_chat_given(&m[M_MODEL]) && m[M_MODEL].kind != PH_JSON_STRING)
		return ph_fail_param(err, PH_E_PARAM_BAD, "model", "'model' must be a string.");
	if (!ph_chat_given(&m[M_MESSAGES]))
		return ph_fail_param(err, PH_E_PARAM_MISSING, "messages", "It is 'messages'.");
	if (m[M_MESSAGES].kind != PH_JSON_ARRAY || ph_chat_is_empty(&m[M_MESSAGES]))
		return ph_fail_param(err, PH_E_PARAM_BAD, "messages",
			"'messages' must be a list of at least one message.");
	ph_chat_look(&m[M_STREAM_OPTIONS], &usage, 1, &wanted);
	asked->model = ph_chat_given(&m[M_MODEL]) ? m[M_MODEL].value : PH_STR_NONE;
	asked->stream = m[M_STREAM].kind == PH_JSON_TRUE;
	asked->usage = wanted.kind == PH_JSON_TRUE;
	asked->store = m[M_STORE].kind == PH_JSON_TRUE;
	asked->valid = true;
	return 0;
}

int ph_chat_request_write(
	struct ph_str text, struct ph_buf *out, struct ph_chat_asked *asked, struct ph_err *err)
{
	struct ph_json_member m[M_NR];
	struct ph_chat_writing w = {.out = out, .err = err};
	int rc = ph_json_scan(text, names, M_NR, m, err);

	if (rc == 0)
		rc = read_asked(m, asked, err);
	if (rc)
		return rc;
	rc = check_refused(&w, m);
	if (rc == 0)
		rc = check_modalities(&w, &m[M_MODALITIES]);
	if (rc == 0)
		rc = check_unknown(&w, text);
	return rc ? rc : put_all(&w, m);
}
