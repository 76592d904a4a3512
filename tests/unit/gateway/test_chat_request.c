/* SPDX-License-Identifier: Apache-2.0 */
/* A request for a chat completion in the words of the Responses API: what each member becomes, and what is
 * refused under which name. */
#include "ph_test.h"

#include <jansson.h>
#include <stdio.h>

#include "gateway/chat.h"

/* One user message, with more members. */
#define HI       "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define HI_INPUT "\"input\":[{\"type\":\"message\",\"role\":\"user\",\"content\":\"hi\"}]"

static int write(const char *text, struct ph_buf *out, struct ph_chat_asked *asked, struct ph_err *err)
{
	*asked = (struct ph_chat_asked){.valid = false};
	*err = (struct ph_err){.code = 0};
	ph_buf_init(out, 1 << 20);
	return ph_chat_request_write(ph_str_c(text), out, asked, err);
}

static void becomes(const char *text, const char *want)
{
	struct ph_chat_asked asked;
	struct ph_err err;
	struct ph_buf out;
	int rc = write(text, &out, &asked, &err);
	json_t *got, *expected = json_loads(want, 0, NULL);

	if (rc)
		fail_msg("%s: %s %s", text, err.param, err.detail);
	got = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(expected);
	if (!got || !json_equal(got, expected))
		fail_msg("%s\n became %.*s\n not    %s", text, (int)out.n, out.p, want);
	json_decref(got);
	json_decref(expected);
	ph_buf_deinit(&out);
}

/* The same request, of one message, with a member more, and what that adds. */
static void member_becomes(const char *member, const char *want)
{
	char text[1024], all[1024];

	snprintf(text, sizeof text, "{\"model\":\"m\",%s" HI "}", member);
	snprintf(all, sizeof all, "{\"store\":false,\"model\":\"m\",%s" HI_INPUT "}", want);
	becomes(text, all);
}

static void messages_become(const char *messages, const char *input)
{
	char text[2048], all[2048];

	snprintf(text, sizeof text, "{\"messages\":[%s]}", messages);
	snprintf(all, sizeof all, "{\"store\":false,\"input\":[%s]}", input);
	becomes(text, all);
}

static void refused(const char *text, int code, const char *param, bool valid)
{
	struct ph_chat_asked asked;
	struct ph_err err;
	struct ph_buf out;
	int rc = write(text, &out, &asked, &err);

	if (rc != -code || err.code != code || strcmp(err.param, param) != 0 || asked.valid != valid)
		fail_msg("%s: %d %s %s", text, rc, err.param, err.detail);
	ph_buf_deinit(&out);
}

static void member_refused(const char *member, const char *param)
{
	char text[1024];

	snprintf(text, sizeof text, "{%s," HI "}", member);
	refused(text, PH_E_CHAT_MEMBER, param, true);
}

/* ---- members ---- */

static void what_members_become(void **state)
{
	static const struct {
		const char *member, *want;
	} table[] = {
		{"", ""},
		{"\"stream\":true,", "\"stream\":true,"},
		{"\"stream\":false,", "\"stream\":false,"},
		{"\"stream\":true,\"stream_options\":{\"include_usage\":true},", "\"stream\":true,"},
		{"\"temperature\":0.1,", "\"temperature\":0.1,"},
		{"\"top_p\":1,", "\"top_p\":1,"},
		{"\"max_tokens\":7,", "\"max_output_tokens\":7,"},
		{"\"max_completion_tokens\":9,", "\"max_output_tokens\":9,"},
		{"\"max_tokens\":7,\"max_completion_tokens\":9,", "\"max_output_tokens\":9,"},
		{"\"max_tokens\":7,\"max_completion_tokens\":null,", "\"max_output_tokens\":7,"},
		{"\"reasoning_effort\":\"low\",", "\"reasoning\":{\"effort\":\"low\"},"},
		{"\"verbosity\":\"high\",", "\"text\":{\"verbosity\":\"high\"},"},
		{"\"response_format\":{\"type\":\"text\"},", "\"text\":{\"format\":{\"type\":\"text\"}},"},
		{"\"response_format\":{\"type\":\"json_object\"},\"verbosity\":\"low\",",
			"\"text\":{\"format\":{\"type\":\"json_object\"},\"verbosity\":\"low\"},"},
		{"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{"
		 "\"a\":[0."
		 "1]},\"strict\":true,\"description\":\"d\"}},",
			"\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{\"a\":[0."
			"1]},"
			"\"strict\":true,\"description\":\"d\"}},"},
		{"\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\"}},",
			"\"text\":{\"format\":{\"type\":\"json_schema\",\"name\":\"n\",\"schema\":{}}},"},
		{"\"parallel_tool_calls\":false,", "\"parallel_tool_calls\":false,"},
		{"\"metadata\":{\"a\":\"b\"},", "\"metadata\":{\"a\":\"b\"},"},
		{"\"service_tier\":\"flex\",", "\"service_tier\":\"flex\","},
		{"\"user\":\"u\",", "\"user\":\"u\","},
		{"\"safety_identifier\":\"s\",", "\"safety_identifier\":\"s\","},
		{"\"prompt_cache_key\":\"k\",", "\"prompt_cache_key\":\"k\","},
		{"\"prompt_cache_retention\":\"24h\",", "\"prompt_cache_retention\":\"24h\","},
		{"\"prompt_cache_options\":{\"ttl\":\"30m\"},",
			"\"prompt_cache_options\":{\"ttl\":\"30m\"},"},
		/* ignored */
		{"\"store\":true,", ""},
		{"\"seed\":5,", ""},
		{"\"prediction\":{\"type\":\"content\",\"content\":\"x\"},", ""},
		/* what says nothing may stand there */
		{"\"n\":1,\"logprobs\":false,\"top_logprobs\":0,\"frequency_penalty\":0.0,\"presence_"
		 "penalty\":0,"
		 "\"logit_bias\":{},\"stop\":[],\"modalities\":[\"text\"],\"audio\":null,\"functions\":[],",
			""},
		{"\"stop\":null,\"n\":null,\"tools\":null,\"tool_choice\":null,\"unheard\":null,", ""},
		/* tools */
		{"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],",
			"\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"parameters\":{\"type\":"
			"\"object\","
			"\"properties\":{}},\"strict\":false}],"},
		{"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
		 "\"parameters\":{"
		 "\"x\":1},\"strict\":true}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}],",
			"\"tools\":[{\"type\":\"function\",\"name\":\"f\",\"description\":\"d\","
			"\"parameters\":{\"x\":1},"
			"\"strict\":true},{\"type\":\"function\",\"name\":\"g\",\"parameters\":{\"type\":"
			"\"object\","
			"\"properties\":{}},\"strict\":false}],"},
		{"\"tools\":[],", "\"tools\":[],"},
		{"\"tool_choice\":\"none\",", "\"tool_choice\":\"none\","},
		{"\"tool_choice\":\"required\",", "\"tool_choice\":\"required\","},
		{"\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},",
			"\"tool_choice\":{\"type\":\"function\",\"name\":\"f\"},"},
		{"\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\",\"tools\":"
		 "[{\"type\":"
		 "\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":"
		 "\"g\"}}]}},",
			"\"tool_choice\":{\"type\":\"allowed_tools\",\"mode\":\"auto\",\"tools\":[{\"type\":"
			"\"function\","
			"\"name\":\"f\"},{\"type\":\"function\",\"name\":\"g\"}]},"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		member_becomes(table[i].member, table[i].want);
}

static void members_that_are_refused(void **state)
{
	static const struct {
		const char *member, *param;
	} table[] = {
		{"\"n\":2", "n"},
		{"\"logprobs\":true", "logprobs"},
		{"\"top_logprobs\":3", "top_logprobs"},
		{"\"frequency_penalty\":0.5", "frequency_penalty"},
		{"\"presence_penalty\":-1", "presence_penalty"},
		{"\"logit_bias\":{\"50256\":-100}", "logit_bias"},
		{"\"stop\":\"END\"", "stop"},
		{"\"stop\":[\"a\"]", "stop"},
		{"\"audio\":{\"voice\":\"v\"}", "audio"},
		{"\"modalities\":[\"text\",\"audio\"]", "modalities"},
		{"\"functions\":[{\"name\":\"f\"}]", "functions"},
		{"\"function_call\":\"auto\"", "function_call"},
		{"\"web_search_options\":{\"user_location\":{}}", "web_search_options"},
		{"\"top_k\":4", "top_k"},
		{"\"previous_response_id\":\"resp_1\"", "previous_response_id"},
		{"\"input\":\"x\"", "input"},
		{"\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]", "tools[0]"},
		{"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"web_search\"}"
		 "]",
			"tools[1]"},
		{"\"tool_choice\":{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}", "tool_choice"},
		{"\"response_format\":{\"type\":\"grammar\"}", "response_format"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		member_refused(table[i].member, table[i].param);
}

static void what_is_no_request(void **state)
{
	(void)state;
	refused("[]", PH_E_JSON_BAD, "", false);
	refused("{\"model\":\"m\"", PH_E_JSON_BAD, "", false);
	refused("{\"model\":\"m\",\"model\":\"n\"," HI "}", PH_E_JSON_BAD, "model", false);
	refused("{\"model\":\"m\"}", PH_E_PARAM_MISSING, "messages", false);
	refused("{\"messages\":null}", PH_E_PARAM_MISSING, "messages", false);
	refused("{\"messages\":[ ]}", PH_E_PARAM_BAD, "messages", false);
	refused("{\"messages\":\"hi\"}", PH_E_PARAM_BAD, "messages", false);
	refused("{\"model\":5," HI "}", PH_E_PARAM_BAD, "model", false);
	refused("{\"stream\":\"yes\"," HI "}", PH_E_PARAM_BAD, "stream", false);
	refused("{\"tools\":{}," HI "}", PH_E_PARAM_BAD, "tools", true);
	refused("{\"tools\":[5]," HI "}", PH_E_PARAM_BAD, "tools[0]", true);
	refused("{\"tool_choice\":{\"type\":\"function\"}," HI "}", PH_E_PARAM_BAD, "tool_choice", true);
	refused("{\"response_format\":\"json\"," HI "}", PH_E_PARAM_BAD, "response_format", true);
	refused("{\"modalities\":\"text\"," HI "}", PH_E_PARAM_BAD, "modalities", true);
}

/* ---- messages ---- */

#define CALL(id, name)                                                                                       \
	"{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" name "\",\"arguments\":\"{}\"}" \
	"}"
#define ITEM(id, name)                                                                                       \
	"{\"type\":\"function_call\",\"call_id\":\"" id "\",\"name\":\"" name "\",\"arguments\":\"{}\"}"

static void what_messages_become(void **state)
{
	static const struct {
		const char *messages, *input;
	} table[] = {
		{"{\"role\":\"system\",\"content\":\"be\"}",
			"{\"type\":\"message\",\"role\":\"developer\",\"content\":\"be\"}"},
		{"{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"\\u0041\"}]}",
			"{\"type\":\"message\",\"role\":\"developer\",\"content\":[{\"type\":\"input_text\","
			"\"text\":"
			"\"A\"}]}"},
		{"{\"role\":\"user\",\"name\":\"ann\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
		 "\"\"}",
			"{\"type\":\"message\",\"role\":\"user\",\"content\":\"a\"},{\"type\":\"message\","
			"\"role\":\"user\","
			"\"content\":\"\"}"},
		{"{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image_"
		 "url\",\"image_"
		 "url\":{\"url\":\"https://x/"
		 "y.png\",\"detail\":\"low\"}},{\"type\":\"image_url\",\"image_url\":{\"url\":"
		 "\"data:image/"
		 "png;base64,AA\"}},{\"type\":\"file\",\"file\":{\"file_id\":\"file-1\"}},{\"type\":\"file\","
		 "\"file\":{\"filename\":\"f.pdf\",\"file_data\":\"data:,x\"}}]}",
			"{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
			"\"text\":\"see\"},{"
			"\"type\":\"input_image\",\"image_url\":\"https://x/"
			"y.png\",\"detail\":\"low\"},{\"type\":\"input_image\",\"image_url\":\"data:image/"
			"png;base64,AA\"},{\"type\":\"input_file\",\"file_id\":\"file-1\"},{\"type\":\"input_"
			"file\","
			"\"file_data\":\"data:,x\",\"filename\":\"f.pdf\"}]}"},
		{"{\"role\":\"assistant\",\"content\":\"so\"}",
			"{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"so\"}"},
		{"{\"role\":\"assistant\",\"content\":\"\"}",
			"{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"\"}"},
		{"{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
		 "\"refusal\","
		 "\"refusal\":\"no\"}]}",
			"{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
			"\"text\":\"a\"},"
			"{\"type\":\"refusal\",\"refusal\":\"no\"}]}"},
		{"{\"role\":\"assistant\",\"content\":null,\"refusal\":\"never\"}",
			"{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"refusal\","
			"\"refusal\":"
			"\"never\"}]}"},
		/* parallel calls, with and without words, and their outputs */
		{"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[" CALL("c1", "f") "," CALL("c2",
			 "g") "]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"1\"},{\"role\":"
			      "\"tool\","
			      "\"tool_call_id\":\"c2\",\"content\":[{\"type\":\"text\",\"text\":\"2\"}]}",
			ITEM("c1", "f") "," ITEM(
				"c2", "g") ",{\"type\":\"function_call_output\",\"call_id\":\"c1\","
					   "\"output\":\"1\"},{\"type\":\"function_call_output\","
					   "\"call_id\":\"c2\",\"output\":[{\"type\":\"input_text\","
					   "\"text\":\"2\"}]}"},
		{"{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[" CALL("c", "f") "]}",
			ITEM("c", "f")},
		{"{\"role\":\"assistant\",\"content\":\"wait\",\"tool_calls\":[" CALL("c", "f") "]}",
			"{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"wait\"}," ITEM("c", "f")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++)
		messages_become(table[i].messages, table[i].input);
}

static void messages_that_are_refused(void **state)
{
	static const struct {
		const char *messages, *param;
		int code;
	} table[] = {
		{"5", "messages[0]", PH_E_PARAM_BAD},
		{"{\"content\":\"x\"}", "messages[0].role", PH_E_PARAM_BAD},
		{"{\"role\":\"robot\",\"content\":\"x\"}", "messages[0].role", PH_E_PARAM_BAD},
		{"{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}", "messages[0].role",
			PH_E_CHAT_MEMBER},
		{"{\"role\":\"user\"}", "messages[0].content", PH_E_PARAM_BAD},
		{"{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\","
		 "\"text\":"
		 "\"a\"},{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA\",\"format\":\"wav\"}}]}",
			"messages[1].content[1]", PH_E_CHAT_MEMBER},
		{"{\"role\":\"user\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"a\"}]}",
			"messages[0].content[0]", PH_E_CHAT_MEMBER},
		{"{\"role\":\"system\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]}",
			"messages[0].content[0]", PH_E_CHAT_MEMBER},
		{"{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}",
			"messages[0].content[0]", PH_E_PARAM_BAD},
		{"{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{}}]}",
			"messages[0].content[0]", PH_E_PARAM_BAD},
		{"{\"role\":\"user\",\"content\":[\"a\"]}", "messages[0].content[0]", PH_E_PARAM_BAD},
		{"{\"role\":\"assistant\"}", "messages[0].content", PH_E_PARAM_BAD},
		{"{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}", "messages[0].content",
			PH_E_PARAM_BAD},
		{"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"custom\",\"custom\":{}}]}",
			"messages[0].tool_calls[0]", PH_E_CHAT_MEMBER},
		{"{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\"}]}",
			"messages[0].tool_calls[0]", PH_E_PARAM_BAD},
		{"{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}}", "messages[0].function_call",
			PH_E_CHAT_MEMBER},
		{"{\"role\":\"assistant\",\"audio\":{\"id\":\"a\"}}", "messages[0].audio", PH_E_CHAT_MEMBER},
		{"{\"role\":\"tool\",\"content\":\"x\"}", "messages[0].tool_call_id", PH_E_PARAM_BAD},
	};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		snprintf(text, sizeof text, "{\"messages\":[%s]}", table[i].messages);
		refused(text, table[i].code, table[i].param, true);
	}
}

/* Whatever is copied is the client's own bytes: jansson would print these anew. */
static void bytes_stay(void **state)
{
	static const char *const parts[] = {
		"1e400", "0.1000", "12345678901234567890", "\"\\u00e9\\/\"", "[ 1 , 2 ]"};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		struct ph_chat_asked asked;
		struct ph_err err;
		struct ph_buf out;

		snprintf(text, sizeof text,
			"{" HI ",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
			"\"parameters\":{\"x\":%s}}}]}",
			parts[i]);
		assert_int_equal(write(text, &out, &asked, &err), 0);
		assert_true(ph_str_find(ph_buf_str(&out), ph_str_c(parts[i])) > 0);
		ph_buf_deinit(&out);
	}
}

static void what_is_asked(void **state)
{
	struct ph_chat_asked asked;
	struct ph_err err;
	struct ph_buf out;

	(void)state;
	assert_int_equal(write("{\"model\":\"a\\u0062\",\"stream\":true,\"stream_options\":{\"include_"
			       "usage\":true},\"n\":2," HI "}",
				 &out, &asked, &err),
		-PH_E_CHAT_MEMBER);
	assert_true(asked.valid && asked.stream && asked.usage);
	ph_assert_str(asked.model, PH_STR("\"a\\u0062\""));
	ph_buf_deinit(&out);
	assert_int_equal(write("{" HI "}", &out, &asked, &err), 0);
	assert_true(asked.valid && !asked.stream && !asked.usage && asked.model.n == 0);
	ph_buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_members_become),
		cmocka_unit_test(members_that_are_refused),
		cmocka_unit_test(what_is_no_request),
		cmocka_unit_test(what_messages_become),
		cmocka_unit_test(messages_that_are_refused),
		cmocka_unit_test(bytes_stay),
		cmocka_unit_test(what_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
