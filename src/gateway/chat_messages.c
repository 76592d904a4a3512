/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of a chat as items of the Responses API (chat_request.c has the rest of the request). */
#include <stdio.h>

#include "chat_priv.h"

static int bad_in_message(struct ph_chat_writing *w, const char *member, const char *what)
{
	char path[64];

	snprintf(path, sizeof path, "messages[%zu]%s%s", w->message, member[0] ? "." : "", member);
	return ph_chat_bad(w, path, what);
}

static int cannot_in_message(struct ph_chat_writing *w, const char *member, const char *why)
{
	char path[64];

	snprintf(path, sizeof path, "messages[%zu]%s%s", w->message, member[0] ? "." : "", member);
	return ph_chat_cannot(w, path, why);
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

static bool put_input_text(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	ph_chat_put_pair(w, "{\"type\":\"input_text\",\"text\":", &m[P_TEXT]);
	return m[P_TEXT].kind == PH_JSON_STRING;
}

static bool put_output_text(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	ph_chat_put_pair(w, "{\"type\":\"output_text\",\"text\":", &m[P_TEXT]);
	return m[P_TEXT].kind == PH_JSON_STRING;
}

static bool put_refusal(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	ph_chat_put_pair(w, "{\"type\":\"refusal\",\"refusal\":", &m[P_REFUSAL]);
	return m[P_REFUSAL].kind == PH_JSON_STRING;
}

static bool put_image(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("url"), PH_STR_INIT("detail")};
	struct ph_json_member image[2];

	ph_chat_look(&m[P_IMAGE_URL], wanted, 2, image);
	ph_chat_put_pair(w, "{\"type\":\"input_image\",\"image_url\":", &image[0]);
	ph_chat_put_pair(w, ",\"detail\":", &image[1]);
	return image[0].kind == PH_JSON_STRING;
}

static bool put_file(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	static const struct ph_str wanted[] = {
		PH_STR_INIT("file_id"), PH_STR_INIT("file_data"), PH_STR_INIT("filename")};
	struct ph_json_member file[3];

	ph_chat_look(&m[P_FILE], wanted, 3, file);
	ph_chat_put(w, "{\"type\":\"input_file\"");
	ph_chat_put_pair(w, ",\"file_id\":", &file[0]);
	ph_chat_put_pair(w, ",\"file_data\":", &file[1]);
	ph_chat_put_pair(w, ",\"filename\":", &file[2]);
	return file[0].kind == PH_JSON_STRING || file[1].kind == PH_JSON_STRING;
}

/* put leaves the object open. False: the part lacks what its type is about. */
static const struct {
	const char *type;
	int where;
	bool (*put)(struct ph_chat_writing *w, const struct ph_json_member *m);
} parts[] = {
	{"text", OF_INPUT | OF_USER, put_input_text},
	{"text", OF_OUTPUT, put_output_text},
	{"refusal", OF_OUTPUT, put_refusal},
	{"image_url", OF_USER, put_image},
	{"file", OF_USER, put_file},
};

static int put_part(struct ph_chat_writing *w, const struct ph_json_member *part, size_t index, int where)
{
	struct ph_json_member m[P_NR];
	char path[48];

	snprintf(path, sizeof path, "content[%zu]", index);
	ph_chat_look(part, part_names, P_NR, m);
	if (m[P_TYPE].kind != PH_JSON_STRING)
		return bad_in_message(w, path, "must be an object with a 'type'.");
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		if (!(parts[i].where & where) || !ph_chat_is_word(&m[P_TYPE], parts[i].type))
			continue;
		if (index)
			ph_chat_put(w, ",");
		if (!parts[i].put(w, m))
			return bad_in_message(w, path, "lacks what its type is about.");
		ph_chat_put(w, "}");
		return 0;
	}
	return cannot_in_message(w, path, "A part of this type cannot be sent.");
}

static int put_input_part(struct ph_chat_writing *w, const struct ph_json_member *part, size_t index)
{
	return put_part(w, part, index, OF_INPUT);
}

static int put_user_part(struct ph_chat_writing *w, const struct ph_json_member *part, size_t index)
{
	return put_part(w, part, index, OF_USER);
}

static int put_output_part(struct ph_chat_writing *w, const struct ph_json_member *part, size_t index)
{
	return put_part(w, part, index, OF_OUTPUT);
}

/* A string stays one; parts become parts. */
static int put_content(struct ph_chat_writing *w, const struct ph_json_member *content,
	int (*part)(struct ph_chat_writing *w, const struct ph_json_member *part, size_t index))
{
	int rc;

	if (content->kind == PH_JSON_STRING) {
		ph_buf_puts(w->out, content->value);
		return 0;
	}
	if (content->kind != PH_JSON_ARRAY)
		return bad_in_message(w, "content", "must be a string or a list of parts.");
	ph_chat_put(w, "[");
	rc = ph_chat_each(w, content, part);
	ph_chat_put(w, "]");
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

static void begin_item(struct ph_chat_writing *w, const char *text)
{
	if (w->items++)
		ph_chat_put(w, ",");
	ph_chat_put(w, text);
}

/* One word for both: models of OpenAI take `system` for `developer`, and the Codex backend refuses it. */
static int put_instruction(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	int rc;

	begin_item(w, "{\"type\":\"message\",\"role\":\"developer\",\"content\":");
	rc = put_content(w, &m[G_CONTENT], put_input_part);
	ph_chat_put(w, "}");
	return rc;
}

static int put_user(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	int rc;

	begin_item(w, "{\"type\":\"message\",\"role\":\"user\",\"content\":");
	rc = put_content(w, &m[G_CONTENT], put_user_part);
	ph_chat_put(w, "}");
	return rc;
}

static int put_call(struct ph_chat_writing *w, const struct ph_json_member *call, size_t index)
{
	static const struct ph_str wanted[] = {
		PH_STR_INIT("type"), PH_STR_INIT("id"), PH_STR_INIT("function")};
	static const struct ph_str of_function[] = {PH_STR_INIT("name"), PH_STR_INIT("arguments")};
	struct ph_json_member m[3], f[2];
	char path[48];

	snprintf(path, sizeof path, "tool_calls[%zu]", index);
	ph_chat_look(call, wanted, 3, m);
	ph_chat_look(&m[2], of_function, 2, f);
	if (ph_chat_given(&m[0]) && !ph_chat_is_word(&m[0], "function"))
		return cannot_in_message(w, path, "Only calls of functions can be sent.");
	if (m[1].kind != PH_JSON_STRING || f[0].kind != PH_JSON_STRING || f[1].kind != PH_JSON_STRING)
		return bad_in_message(
			w, path, "must have an 'id', and a 'function' with 'name' and 'arguments'.");
	begin_item(w, "{\"type\":\"function_call\"");
	ph_chat_put_pair(w, ",\"call_id\":", &m[1]);
	ph_chat_put_pair(w, ",\"name\":", &f[0]);
	ph_chat_put_pair(w, ",\"arguments\":", &f[1]);
	ph_chat_put(w, "}");
	return 0;
}

/* What it said, before what it called. */
static int put_said(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	int rc = 0;

	if (!ph_chat_is_empty(&m[G_CONTENT]) ||
		(ph_chat_given(&m[G_CONTENT]) && !ph_chat_given(&m[G_TOOL_CALLS]))) {
		begin_item(w, "{\"type\":\"message\",\"role\":\"assistant\",\"content\":");
		rc = put_content(w, &m[G_CONTENT], put_output_part);
		ph_chat_put(w, "}");
	}
	if (rc == 0 && m[G_REFUSAL].kind == PH_JSON_STRING) {
		begin_item(w, "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[");
		put_refusal(w, m);
		ph_chat_put(w, "}]}");
	}
	return rc;
}

static int put_assistant(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	size_t before = w->items;
	int rc;

	if (ph_chat_given(&m[G_FUNCTION_CALL]))
		return cannot_in_message(w, "function_call", "Use 'tool_calls'.");
	if (ph_chat_given(&m[G_AUDIO]))
		return cannot_in_message(w, "audio", "Audio is not spoken there.");
	if (ph_chat_given(&m[G_TOOL_CALLS]) && m[G_TOOL_CALLS].kind != PH_JSON_ARRAY)
		return bad_in_message(w, "tool_calls", "must be a list.");
	rc = put_said(w, m);
	if (rc == 0 && ph_chat_given(&m[G_TOOL_CALLS]))
		rc = ph_chat_each(w, &m[G_TOOL_CALLS], put_call);
	if (rc == 0 && w->items == before)
		return bad_in_message(w, "content", "is required where there are no tool calls.");
	return rc;
}

static int put_output(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	int rc;

	if (m[G_TOOL_CALL_ID].kind != PH_JSON_STRING)
		return bad_in_message(w, "tool_call_id", "must be a string.");
	begin_item(w, "{\"type\":\"function_call_output\"");
	ph_chat_put_pair(w, ",\"call_id\":", &m[G_TOOL_CALL_ID]);
	ph_chat_put(w, ",\"output\":");
	rc = put_content(w, &m[G_CONTENT], put_input_part);
	ph_chat_put(w, "}");
	return rc;
}

static int put_function_output(struct ph_chat_writing *w, const struct ph_json_member *m)
{
	(void)m;
	return cannot_in_message(w, "role", "Use 'tool' with a 'tool_call_id'.");
}

static const struct {
	const char *role;
	int (*put)(struct ph_chat_writing *w, const struct ph_json_member *m);
} roles[] = {
	{"system", put_instruction},
	{"developer", put_instruction},
	{"user", put_user},
	{"assistant", put_assistant},
	{"tool", put_output},
	{"function", put_function_output},
};

int ph_chat_put_message(struct ph_chat_writing *w, const struct ph_json_member *message, size_t index)
{
	struct ph_json_member m[G_NR];

	w->message = index;
	if (message->kind != PH_JSON_OBJECT)
		return bad_in_message(w, "", "must be an object.");
	ph_chat_look(message, message_names, G_NR, m);
	for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
		if (ph_chat_is_word(&m[G_ROLE], roles[i].role))
			return roles[i].put(w, m);
	return bad_in_message(w, "role", "must be 'system', 'developer', 'user', 'assistant' or 'tool'.");
}
