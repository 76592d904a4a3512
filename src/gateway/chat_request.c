/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request for a chat completion in the words of the Responses API. Pure, and without a tree: values are
 * copied as the bytes that they are. `members` says what becomes of each member, and docs/chat.md says it to
 * users; what has no place over there is refused by name, never dropped in silence.
 */
#include <stdio.h>
#include <stdlib.h>

#include "chat.h"

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

struct writing {
	struct ph_buf *out;
	struct ph_err *err;
	size_t message; /* the one that is written */
	size_t items;   /* written so far */
};

/* ---- small things ---- */

static bool given(const struct ph_json_member *m)
{
	return m->kind > PH_JSON_NULL;
}

/* An object's members; of anything else there are none. */
static void look(const struct ph_json_member *object, const struct ph_str *wanted, size_t n,
	struct ph_json_member *ret)
{
	if (object->kind != PH_JSON_OBJECT || !ph_json_find(object->value, wanted, n, ret))
		memset(ret, 0, n * sizeof *ret);
}

static struct ph_json_member value_of(struct ph_str value)
{
	return (struct ph_json_member){.kind = ph_json_kind(value), .value = value};
}

static bool is_word(const struct ph_json_member *m, const char *word)
{
	return m->kind == PH_JSON_STRING && ph_json_text_is(m->value, ph_str_c(word));
}

static void put(struct writing *w, const char *text)
{
	ph_buf_puts(w->out, ph_str_c(text));
}

static void put_pair(struct writing *w, const char *before, const struct ph_json_member *m)
{
	if (!given(m))
		return;
	put(w, before);
	ph_buf_puts(w->out, m->value);
}

/* A part of a message, by its path: "messages[2].content[0]" and so on. */
static int bad(struct writing *w, const char *path, const char *what)
{
	return ph_fail_param(w->err, PH_E_PARAM_BAD, path, "'%s' %s", path, what);
}

static int cannot(struct writing *w, const char *path, const char *why)
{
	return ph_fail_param(w->err, PH_E_CHAT_MEMBER, path, "'%s': %s", path, why);
}

static int bad_in_message(struct writing *w, const char *member, const char *what)
{
	char path[64];

	snprintf(path, sizeof path, "messages[%zu]%s%s", w->message, member[0] ? "." : "", member);
	return bad(w, path, what);
}

static int cannot_in_message(struct writing *w, const char *member, const char *why)
{
	char path[64];

	snprintf(path, sizeof path, "messages[%zu]%s%s", w->message, member[0] ? "." : "", member);
	return cannot(w, path, why);
}

/* Each element of an array, until one is refused. */
static int each(struct writing *w, const struct ph_json_member *array,
	int (*write)(struct writing *w, const struct ph_json_member *element, size_t index))
{
	struct ph_str element;
	size_t offset = 0, i = 0;
	int rc = 0;

	while (rc == 0 && ph_json_next(array->value, &offset, &element)) {
		struct ph_json_member m = value_of(element);

		rc = write(w, &m, i++);
	}
	return rc;
}

/* ---- parts of content ---- */

enum {
	P_TYPE,
	P_TEXT,
	P_REFUSAL,
	P_IMAGE_URL,
	P_FILE,
	P_NR
};
static const struct ph_str part_names[P_NR] = {PH_STR_INIT("type"), PH_STR_INIT("text"),
	PH_STR_INIT("refusal"), PH_STR_INIT("image_url"), PH_STR_INIT("file")};

enum {
	OF_INPUT = 1,  /* what a person says, or a tool */
	OF_USER = 2,   /* a person alone */
	OF_OUTPUT = 4, /* what a model said */
};

static bool put_input_text(struct writing *w, const struct ph_json_member *m)
{
	put_pair(w, "{\"type\":\"input_text\",\"text\":", &m[P_TEXT]);
	return m[P_TEXT].kind == PH_JSON_STRING;
}

static bool put_output_text(struct writing *w, const struct ph_json_member *m)
{
	put_pair(w, "{\"type\":\"output_text\",\"text\":", &m[P_TEXT]);
	return m[P_TEXT].kind == PH_JSON_STRING;
}

static bool put_refusal(struct writing *w, const struct ph_json_member *m)
{
	put_pair(w, "{\"type\":\"refusal\",\"refusal\":", &m[P_REFUSAL]);
	return m[P_REFUSAL].kind == PH_JSON_STRING;
}

static bool put_image(struct writing *w, const struct ph_json_member *m)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("url"), PH_STR_INIT("detail")};
	struct ph_json_member image[2];

	look(&m[P_IMAGE_URL], wanted, 2, image);
	put_pair(w, "{\"type\":\"input_image\",\"image_url\":", &image[0]);
	put_pair(w, ",\"detail\":", &image[1]);
	return image[0].kind == PH_JSON_STRING;
}

static bool put_file(struct writing *w, const struct ph_json_member *m)
{
	static const struct ph_str wanted[] = {
		PH_STR_INIT("file_id"), PH_STR_INIT("file_data"), PH_STR_INIT("filename")};
	struct ph_json_member file[3];

	look(&m[P_FILE], wanted, 3, file);
	put(w, "{\"type\":\"input_file\"");
	put_pair(w, ",\"file_id\":", &file[0]);
	put_pair(w, ",\"file_data\":", &file[1]);
	put_pair(w, ",\"filename\":", &file[2]);
	return file[0].kind == PH_JSON_STRING || file[1].kind == PH_JSON_STRING;
}

/* put leaves the object open. False: the part lacks what its type is about. */
static const struct {
	const char *type;
	int where;
	bool (*put)(struct writing *w, const struct ph_json_member *m);
} parts[] = {
	{"text", OF_INPUT | OF_USER, put_input_text},
	{"text", OF_OUTPUT, put_output_text},
	{"refusal", OF_OUTPUT, put_refusal},
	{"image_url", OF_USER, put_image},
	{"file", OF_USER, put_file},
};

static int put_part(struct writing *w, const struct ph_json_member *part, size_t index, int where)
{
	struct ph_json_member m[P_NR];
	char path[48];

	snprintf(path, sizeof path, "content[%zu]", index);
	look(part, part_names, P_NR, m);
	if (m[P_TYPE].kind != PH_JSON_STRING)
		return bad_in_message(w, path, "must be an object with a 'type'.");
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (!(parts[i].where & where) || !is_word(&m[P_TYPE], parts[i].type))
			continue;
		if (index)
			put(w, ",");
		if (!parts[i].put(w, m))
			return bad_in_message(w, path, "lacks what its type is about.");
		put(w, "}");
		return 0;
	}
	return cannot_in_message(w, path, "A part of this type cannot be sent.");
}

static int put_input_part(struct writing *w, const struct ph_json_member *part, size_t index)
{
	return put_part(w, part, index, OF_INPUT);
}

static int put_user_part(struct writing *w, const struct ph_json_member *part, size_t index)
{
	return put_part(w, part, index, OF_USER);
}

static int put_output_part(struct writing *w, const struct ph_json_member *part, size_t index)
{
	return put_part(w, part, index, OF_OUTPUT);
}

/* A string stays one; parts become parts. */
static int put_content(struct writing *w, const struct ph_json_member *content,
	int (*part)(struct writing *w, const struct ph_json_member *part, size_t index))
{
	int rc;

	if (content->kind == PH_JSON_STRING) {
		ph_buf_puts(w->out, content->value);
		return 0;
	}
	if (content->kind != PH_JSON_ARRAY)
		return bad_in_message(w, "content", "must be a string or a list of parts.");
	put(w, "[");
	rc = each(w, content, part);
	put(w, "]");
	return rc;
}

/* ---- messages ---- */

enum {
	G_ROLE,
	G_CONTENT,
	G_REFUSAL,
	G_TOOL_CALLS,
	G_TOOL_CALL_ID,
	G_FUNCTION_CALL,
	G_AUDIO,
	G_NR
};
static const struct ph_str message_names[G_NR] = {PH_STR_INIT("role"), PH_STR_INIT("content"),
	PH_STR_INIT("refusal"), PH_STR_INIT("tool_calls"), PH_STR_INIT("tool_call_id"),
	PH_STR_INIT("function_call"), PH_STR_INIT("audio")};

static void begin_item(struct writing *w, const char *text)
{
	if (w->items++)
		put(w, ",");
	put(w, text);
}

/* One word for both: models of OpenAI take `system` for `developer`, and the Codex backend refuses it. */
static int put_instruction(struct writing *w, const struct ph_json_member *m)
{
	int rc;

	begin_item(w, "{\"type\":\"message\",\"role\":\"developer\",\"content\":");
	rc = put_content(w, &m[G_CONTENT], put_input_part);
	put(w, "}");
	return rc;
}

static int put_user(struct writing *w, const struct ph_json_member *m)
{
	int rc;

	begin_item(w, "{\"type\":\"message\",\"role\":\"user\",\"content\":");
	rc = put_content(w, &m[G_CONTENT], put_user_part);
	put(w, "}");
	return rc;
}

static int put_call(struct writing *w, const struct ph_json_member *call, size_t index)
{
	static const struct ph_str wanted[] = {
		PH_STR_INIT("type"), PH_STR_INIT("id"), PH_STR_INIT("function")};
	static const struct ph_str of_function[] = {PH_STR_INIT("name"), PH_STR_INIT("arguments")};
	struct ph_json_member m[3], f[2];
	char path[48];

	snprintf(path, sizeof path, "tool_calls[%zu]", index);
	look(call, wanted, 3, m);
	look(&m[2], of_function, 2, f);
	if (given(&m[0]) && !is_word(&m[0], "function"))
		return cannot_in_message(w, path, "Only calls of functions can be sent.");
	if (m[1].kind != PH_JSON_STRING || f[0].kind != PH_JSON_STRING || f[1].kind != PH_JSON_STRING)
		return bad_in_message(
			w, path, "must have an 'id', and a 'function' with 'name' and 'arguments'.");
	begin_item(w, "{\"type\":\"function_call\"");
	put_pair(w, ",\"call_id\":", &m[1]);
	put_pair(w, ",\"name\":", &f[0]);
	put_pair(w, ",\"arguments\":", &f[1]);
	put(w, "}");
	return 0;
}

static bool is_empty(const struct ph_json_member *m)
{
	return m->kind <= PH_JSON_NULL ||
	       ((m->kind == PH_JSON_STRING || m->kind == PH_JSON_ARRAY || m->kind == PH_JSON_OBJECT) &&
		       ph_str_trim(ph_str(m->value.p + 1, m->value.n - 2)).n == 0);
}

/* What it said, before what it called. */
static int put_said(struct writing *w, const struct ph_json_member *m)
{
	int rc = 0;

	if (!is_empty(&m[G_CONTENT]) || (given(&m[G_CONTENT]) && !given(&m[G_TOOL_CALLS]))) {
		begin_item(w, "{\"type\":\"message\",\"role\":\"assistant\",\"content\":");
		rc = put_content(w, &m[G_CONTENT], put_output_part);
		put(w, "}");
	}
	if (rc == 0 && m[G_REFUSAL].kind == PH_JSON_STRING) {
		begin_item(w, "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
		put_refusal(w, m);
		put(w, "}]}");
	}
	return rc;
}

static int put_assistant(struct writing *w, const struct ph_json_member *m)
{
	size_t before = w->items;
	int rc;

	if (given(&m[G_FUNCTION_CALL]))
		return cannot_in_message(w, "function_call", "Use 'tool_calls'.");
	if (given(&m[G_AUDIO]))
		return cannot_in_message(w, "audio", "Audio is not spoken there.");
	if (given(&m[G_TOOL_CALLS]) && m[G_TOOL_CALLS].kind != PH_JSON_ARRAY)
		return bad_in_message(w, "tool_calls", "must be a list.");
	rc = put_said(w, m);
	if (rc == 0 && given(&m[G_TOOL_CALLS]))
		rc = each(w, &m[G_TOOL_CALLS], put_call);
	if (rc == 0 && w->items == before)
		return bad_in_message(w, "content", "is required where there are no tool calls.");
	return rc;
}

static int put_output(struct writing *w, const struct ph_json_member *m)
{
	int rc;

	if (m[G_TOOL_CALL_ID].kind != PH_JSON_STRING)
		return bad_in_message(w, "tool_call_id", "must be a string.");
	begin_item(w, "{\"type\":\"function_call_output\"");
	put_pair(w, ",\"call_id\":", &m[G_TOOL_CALL_ID]);
	put(w, ",\"output\":");
	rc = put_content(w, &m[G_CONTENT], put_input_part);
	put(w, "}");
	return rc;
}

static int put_function_output(struct writing *w, const struct ph_json_member *m)
{
	(void)m;
	return cannot_in_message(w, "role", "Use 'tool' with a 'tool_call_id'.");
}

static const struct {
	const char *role;
	int (*put)(struct writing *w, const struct ph_json_member *m);
} roles[] = {
	{"system", put_instruction},
	{"developer", put_instruction},
	{"user", put_user},
	{"assistant", put_assistant},
	{"tool", put_output},
	{"function", put_function_output},
};

static int put_message(struct writing *w, const struct ph_json_member *message, size_t index)
{
	struct ph_json_member m[G_NR];

	w->message = index;
	if (message->kind != PH_JSON_OBJECT)
		return bad_in_message(w, "", "must be an object.");
	look(message, message_names, G_NR, m);
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (is_word(&m[G_ROLE], roles[i].role))
			return roles[i].put(w, m);
	return bad_in_message(w, "role", "must be 'system', 'developer', 'user', 'assistant' or 'tool'.");
}

/* ---- tools ---- */

/* `strict` is off in a chat unless it is asked for, and on over there unless it is refused. */
static int put_tool(struct writing *w, const struct ph_json_member *tool, size_t index)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("function")};
	static const struct ph_str of_function[] = {PH_STR_INIT("name"), PH_STR_INIT("description"),
		PH_STR_INIT("parameters"), PH_STR_INIT("strict")};
	struct ph_json_member m[2], f[4];
	char path[64];

	snprintf(path, sizeof path, "tools[%zu]", index);
	look(tool, wanted, 2, m);
	look(&m[1], of_function, 4, f);
	if (m[0].kind == PH_JSON_STRING && !is_word(&m[0], "function"))
		return cannot(w, path, "Only functions can be sent.");
	if (f[0].kind != PH_JSON_STRING)
		return bad(w, path, "must have a 'function' with a 'name'.");
	put(w, index ? ",{\"type\":\"function\"" : "{\"type\":\"function\"");
	put_pair(w, ",\"name\":", &f[0]);
	put_pair(w, ",\"description\":", &f[1]);
	if (given(&f[2]))
		put_pair(w, ",\"parameters\":", &f[2]);
	else
		put(w, ",\"parameters\":{\"type\":\"object\",\"properties\":{}}");
	if (given(&f[3]))
		put_pair(w, ",\"strict\":", &f[3]);
	else
		put(w, ",\"strict\":false");
	put(w, "}");
	return 0;
}

static int put_tools(struct writing *w, const struct ph_json_member *tools)
{
	int rc;

	if (!given(tools))
		return 0;
	if (tools->kind != PH_JSON_ARRAY)
		return bad(w, "tools", "must be a list.");
	put(w, ",\"tools\":[");
	rc = each(w, tools, put_tool);
	put(w, "]");
	return rc;
}

/* {"type":"function","function":{"name":N}} */
static int put_named(struct writing *w, const struct ph_json_member *tool, size_t index)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("function")};
	static const struct ph_str name = PH_STR_INIT("name");
	struct ph_json_member m[2], n;

	look(tool, wanted, 2, m);
	look(&m[1], &name, 1, &n);
	if (m[0].kind == PH_JSON_STRING && !is_word(&m[0], "function"))
		return cannot(w, "tool_choice", "Only functions can be named.");
	if (n.kind != PH_JSON_STRING)
		return bad(w, "tool_choice", "must name a function.");
	put(w, index ? ",{\"type\":\"function\"" : "{\"type\":\"function\"");
	put_pair(w, ",\"name\":", &n);
	put(w, "}");
	return 0;
}

static int put_allowed(struct writing *w, const struct ph_json_member *allowed)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("mode"), PH_STR_INIT("tools")};
	struct ph_json_member m[2];
	int rc;

	look(allowed, wanted, 2, m);
	if (m[0].kind != PH_JSON_STRING || m[1].kind != PH_JSON_ARRAY)
		return bad(w, "tool_choice", "must have 'allowed_tools' with 'mode' and 'tools'.");
	put(w, "{\"type\":\"allowed_tools\"");
	put_pair(w, ",\"mode\":", &m[0]);
	put(w, ",\"tools\":[");
	rc = each(w, &m[1], put_named);
	put(w, "]}");
	return rc;
}

static int put_tool_choice(struct writing *w, const struct ph_json_member *choice)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("allowed_tools")};
	struct ph_json_member m[2];

	if (!given(choice))
		return 0;
	put(w, ",\"tool_choice\":");
	if (choice->kind == PH_JSON_STRING) {
		ph_buf_puts(w->out, choice->value);
		return 0;
	}
	look(choice, wanted, 2, m);
	return is_word(&m[0], "allowed_tools") ? put_allowed(w, &m[1]) : put_named(w, choice, 0);
}

/* ---- the look of the text ---- */

static int put_schema(struct writing *w, const struct ph_json_member *schema)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("name"), PH_STR_INIT("description"),
		PH_STR_INIT("schema"), PH_STR_INIT("strict")};
	struct ph_json_member m[4];

	look(schema, wanted, 4, m);
	if (m[0].kind != PH_JSON_STRING)
		return bad(w, "response_format", "must have a 'json_schema' with a 'name'.");
	put(w, "\"format\":{\"type\":\"json_schema\"");
	put_pair(w, ",\"name\":", &m[0]);
	put_pair(w, ",\"description\":", &m[1]);
	if (given(&m[2]))
		put_pair(w, ",\"schema\":", &m[2]);
	else
		put(w, ",\"schema\":{}");
	put_pair(w, ",\"strict\":", &m[3]);
	put(w, "}");
	return 0;
}

static int put_format(struct writing *w, const struct ph_json_member *format)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("json_schema")};
	struct ph_json_member m[2];

	look(format, wanted, 2, m);
	if (is_word(&m[0], "json_schema"))
		return put_schema(w, &m[1]);
	if (m[0].kind != PH_JSON_STRING)
		return bad(w, "response_format", "must be an object with a 'type'.");
	if (!is_word(&m[0], "text") && !is_word(&m[0], "json_object"))
		return cannot(w, "response_format", "Only text, json_object and json_schema can be sent.");
	put_pair(w, "\"format\":{\"type\":", &m[0]);
	put(w, "}");
	return 0;
}

static int put_text(struct writing *w, const struct ph_json_member *m)
{
	bool formatted = given(&m[M_RESPONSE_FORMAT]);
	int rc = 0;

	if (!formatted && !given(&m[M_VERBOSITY]))
		return 0;
	put(w, ",\"text\":{");
	if (formatted)
		rc = put_format(w, &m[M_RESPONSE_FORMAT]);
	put_pair(w, formatted ? ",\"verbosity\":" : "\"verbosity\":", &m[M_VERBOSITY]);
	put(w, "}");
	return rc;
}

/* ---- the rest of the top level ---- */

static bool says_nothing(const struct ph_json_member *m, double idle)
{
	char text[32];

	if (is_empty(m) || m->kind == PH_JSON_FALSE)
		return true;
	if (m->kind != PH_JSON_NUMBER || m->value.n >= sizeof text)
		return false;
	ph_str_copy(text, sizeof text, m->value);
	return strtod(text, NULL) == idle;
}

static int check_refused(struct writing *w, const struct ph_json_member *m)
{
	for (size_t i = 0; i < M_NR; i++)
		if (members[i].fate == REFUSED && !says_nothing(&m[i], members[i].idle))
			return cannot(w, names[i].p, members[i].why);
	return 0;
}

static bool is_known(struct ph_str name)
{
	for (size_t i = 0; i < M_NR; i++)
		if (ph_json_text_is(name, names[i]))
			return true;
	return false;
}

static int check_unknown(struct writing *w, struct ph_str text)
{
	struct ph_str name, value;
	size_t offset = 0;
	char cut[64];

	while (ph_json_pair(text, &offset, &name, &value)) {
		if (is_known(name) || ph_json_kind(value) == PH_JSON_NULL)
			continue;
		ph_str_copy(cut, sizeof cut, ph_str(name.p + 1, name.n - 2));
		return cannot(w, cut, "It is not known there.");
	}
	return 0;
}

static int check_modalities(struct writing *w, const struct ph_json_member *m)
{
	struct ph_str element;
	size_t offset = 0;

	if (m->kind != PH_JSON_ARRAY)
		return given(m) ? bad(w, "modalities", "must be a list.") : 0;
	while (ph_json_next(m->value, &offset, &element))
		if (!ph_json_text_is(element, PH_STR("text")))
			return cannot(w, "modalities", "Text is all that is spoken there.");
	return 0;
}

static void put_copied(struct writing *w, const struct ph_json_member *m)
{
	for (size_t i = 0; i < M_NR; i++) {
		if (members[i].fate != COPIED || !given(&m[i]))
			continue;
		ph_buf_printf(w->out, ",\"%s\":", names[i].p);
		ph_buf_puts(w->out, m[i].value);
	}
}

static void put_limits(struct writing *w, const struct ph_json_member *m)
{
	bool newer = given(&m[M_MAX_COMPLETION_TOKENS]);

	put_pair(w, ",\"max_output_tokens\":", &m[newer ? M_MAX_COMPLETION_TOKENS : M_MAX_TOKENS]);
	if (!given(&m[M_REASONING_EFFORT]))
		return;
	put_pair(w, ",\"reasoning\":{\"effort\":", &m[M_REASONING_EFFORT]);
	put(w, "}");
}

static int put_all(struct writing *w, const struct ph_json_member *m)
{
	int rc;

	put(w, "{\"store\":false");
	put_pair(w, ",\"model\":", &m[M_MODEL]);
	put_pair(w, ",\"stream\":", &m[M_STREAM]);
	put(w, ",\"input\":[");
	rc = each(w, &m[M_MESSAGES], put_message);
	put(w, "]");
	if (rc == 0)
		rc = put_tools(w, &m[M_TOOLS]);
	if (rc == 0)
		rc = put_tool_choice(w, &m[M_TOOL_CHOICE]);
	if (rc == 0)
		rc = put_text(w, m);
	put_limits(w, m);
	put_copied(w, m);
	put(w, "}");
	return rc;
}

/* ---- the whole ---- */

static int read_asked(const struct ph_json_member *m, struct ph_chat_asked *asked, struct ph_err *err)
{
	static const struct ph_str usage = PH_STR_INIT("include_usage");
	struct ph_json_member wanted;

	if (given(&m[M_STREAM]) && m[M_STREAM].kind > PH_JSON_TRUE)
		return ph_fail_param(err, PH_E_PARAM_BAD, "stream", "'stream' must be a boolean.");
	if (given(&m[M_MODEL]) && m[M_MODEL].kind != PH_JSON_STRING)
		return ph_fail_param(err, PH_E_PARAM_BAD, "model", "'model' must be a string.");
	if (!given(&m[M_MESSAGES]))
		return ph_fail_param(err, PH_E_PARAM_MISSING, "messages", "It is 'messages'.");
	if (m[M_MESSAGES].kind != PH_JSON_ARRAY || is_empty(&m[M_MESSAGES]))
		return ph_fail_param(err, PH_E_PARAM_BAD, "messages",
			"'messages' must be a list of at least one message.");
	look(&m[M_STREAM_OPTIONS], &usage, 1, &wanted);
	asked->model = given(&m[M_MODEL]) ? m[M_MODEL].value : PH_STR_NONE;
	asked->stream = m[M_STREAM].kind == PH_JSON_TRUE;
	asked->usage = wanted.kind == PH_JSON_TRUE;
	asked->valid = true;
	return 0;
}

int ph_chat_request_write(
	struct ph_str text, struct ph_buf *out, struct ph_chat_asked *asked, struct ph_err *err)
{
	struct ph_json_member m[M_NR];
	struct writing w = {.out = out, .err = err};
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
