/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the Responses API as chunks, and a response as a completion. */
#include "ph_test.h"

#include <jansson.h>
#include <stdio.h>

#include "gateway/chat.h"

static const struct ph_chat_names names = {"req_1", PH_STR_INIT("\"asked\""), 1700000000};

#define CREATED                                                                                              \
	"{\"type\":\"response.created\",\"response\":{\"id\":\"resp_a1\",\"created_at\":1700000001.5,"       \
	"\"model\":"                                                                                         \
	"\"told\",\"output\":[]}}"
#define USAGE                                                                                                \
	"\"usage\":{\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":4},\"output_tokens\":5," \
	"\"output_tokens_details\":{\"reasoning_tokens\":2},\"total_tokens\":16}"
#define COMPLETED                                                                                            \
	"{\"type\":\"response.completed\",\"response\":{\"id\":\"resp_a1\",\"status\":\"completed\","        \
	"\"output\":[]," USAGE "}}"

/* What a client hears of a stream. */
struct heard {
	size_t chunks;
	char text[256], refusal[256], finish[32], error[64];
	char calls[512]; /* "[index id name arguments]", arguments joined */
	bool role_first, done, alive;
	json_t *usage;
};

static void add(char *dst, size_t size, const char *text)
{
	size_t n = strlen(dst);

	snprintf(dst + n, size - n, "%s", text);
}

static void hear_call(struct heard *h, json_t *call)
{
	json_t *function = json_object_get(call, "function");
	const char *id = json_string_value(json_object_get(call, "id"));
	char text[128];

	if (id) {
		assert_string_equal(json_string_value(json_object_get(call, "type")), "function");
		snprintf(text, sizeof text, "|%lld %s %s ",
			(long long)json_integer_value(json_object_get(call, "index")), id,
			json_string_value(json_object_get(function, "name")));
		add(h->calls, sizeof h->calls, text);
	} else {
		snprintf(text, sizeof text, "(%lld)",
			(long long)json_integer_value(json_object_get(call, "index")));
		add(h->calls, sizeof h->calls, text);
	}
	add(h->calls, sizeof h->calls, json_string_value(json_object_get(function, "arguments")));
}

static void hear_delta(struct heard *h, json_t *delta)
{
	const char *text = json_string_value(json_object_get(delta, "content"));
	const char *refusal = json_string_value(json_object_get(delta, "refusal"));
	json_t *calls = json_object_get(delta, "tool_calls");

	if (h->chunks == 1)
		h->role_first = json_object_get(delta, "role") != NULL;
	else
		assert_null(json_object_get(delta, "role"));
	add(h->text, sizeof h->text, text ? text : "");
	add(h->refusal, sizeof h->refusal, refusal ? refusal : "");
	for (size_t i = 0; i < json_array_size(calls); i++)
		hear_call(h, json_array_get(calls, i));
}

static void hear_chunk(struct heard *h, json_t *chunk, bool usage)
{
	json_t *choices = json_object_get(chunk, "choices");
	json_t *choice = json_array_get(choices, 0);
	const char *finish = json_string_value(json_object_get(choice, "finish_reason"));

	h->chunks++;
	assert_string_equal(json_string_value(json_object_get(chunk, "object")), "chat.completion.chunk");
	if (!choice) {
		h->usage = json_incref(json_object_get(chunk, "usage"));
		return;
	}
	assert_string_equal(h->finish, ""); /* nothing behind it */
	assert_true(!usage || json_is_null(json_object_get(chunk, "usage")));
	assert_true(usage || !json_object_get(chunk, "usage"));
	hear_delta(h, json_object_get(choice, "delta"));
	if (finish)
		add(h->finish, sizeof h->finish, finish);
}

/* One line of data. */
static void hear(struct heard *h, const char *line, bool usage, const char *id)
{
	json_t *chunk;

	assert_false(h->done);
	if (strcmp(line, "[DONE]") == 0) {
		h->done = true;
		return;
	}
	chunk = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	if (!chunk)
		fail_msg("no JSON: %s", line);
	if (json_object_get(chunk, "error")) {
		json_t *error = json_object_get(chunk, "error");

		assert_int_equal(json_object_size(error), 4);
		add(h->error, sizeof h->error, json_string_value(json_object_get(error, "type")));
	} else {
		assert_string_equal(json_string_value(json_object_get(chunk, "id")), id);
		hear_chunk(h, chunk, usage);
	}
	json_decref(chunk);
}

static struct heard play_as(const char *const *events, bool usage, const char *id)
{
	struct heard h = {.chunks = 0};
	struct ph_chat_answer a;
	struct ph_buf out;
	struct ph_str rest, line;

	ph_chat_answer_init(&a, usage, &names);
	ph_buf_init(&out, 1 << 20);
	for (; *events; events++)
		ph_chat_answer_event(&a, ph_str_c(*events), &out);
	assert_true(!a.ended || h.error[0] == '\0');
	rest = ph_buf_str(&out);
	while (rest.n) {
		char text[2048];

		line = ph_str_split(&rest, '\n');
		ph_str_copy(text, sizeof text, line);
		if (strncmp(text, "data: ", 6) == 0)
			hear(&h, text + 6, usage, id);
		else if (text[0])
			h.alive = text[0] == ':';
	}
	assert_int_equal(a.ended, h.done);
	ph_buf_deinit(&out);
	ph_chat_answer_deinit(&a);
	return h;
}

#define PLAY(usage, ...) play_as((const char *const[]){__VA_ARGS__, NULL}, usage, "chatcmpl-a1")

#define TEXT(i, t)       "{\"type\":\"response.output_text.delta\",\"output_index\":" #i ",\"delta\":\"" t "\"}"
#define ARGS(i, t)                                                                                           \
	"{\"type\":\"response.function_call_arguments.delta\",\"output_index\":" #i ",\"delta\":\"" t "\"}"
#define MESSAGE(t) "{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"" t "\"}]}"
#define CALL(id, args)                                                                                       \
	"{\"type\":\"function_call\",\"call_id\":\"" id "\",\"name\":\"f\",\"arguments\":\"" args "\"}"
#define ADDED(i, item) "{\"type\":\"response.output_item.added\",\"output_index\":" #i ",\"item\":" item "}"
#define DONE(i, item)  "{\"type\":\"response.output_item.done\",\"output_index\":" #i ",\"item\":" item "}"

static void text_in_chunks(void **state)
{
	struct heard h = PLAY(false, CREATED, "{\"type\":\"response.in_progress\"}", TEXT(0, "a\\u00e9"),
		TEXT(0, "\\n"), DONE(0, MESSAGE("a\\u00e9\\n")), COMPLETED);

	(void)state;
	assert_string_equal(h.text, "a\xc3\xa9\n");
	assert_string_equal(h.finish, "stop");
	assert_true(h.role_first && h.done);
	assert_null(h.usage);
	assert_int_equal(h.chunks, 4);
}

static void usage_before_the_end(void **state)
{
	struct heard h = PLAY(true, CREATED, TEXT(0, "a"), COMPLETED);
	json_t *want = json_loads("{\"prompt_tokens\":11,\"completion_tokens\":5,\"total_tokens\":16,"
				  "\"prompt_tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":0},"
				  "\"completion_tokens_details\":{\"reasoning_tokens\":2,\"audio_tokens\":0,"
				  "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
		0, NULL);

	(void)state;
	assert_true(json_equal(h.usage, want));
	assert_true(h.done);
	json_decref(want);
	json_decref(h.usage);
}

static void calls_in_chunks(void **state)
{
	struct heard h = PLAY(false, CREATED, ADDED(0, "{\"type\":\"reasoning\"}"),
		"{\"type\":\"response.reasoning_summary_text.delta\",\"output_index\":0,\"delta\":\"hm\"}",
		ADDED(1, CALL("c1", "")), ARGS(1, "{"), ADDED(2, CALL("c2", "")), ARGS(2, "[]"), ARGS(1, "}"),
		DONE(1, CALL("c1", "{}")), DONE(2, CALL("c2", "[]")), COMPLETED);

	(void)state;
	assert_string_equal(h.calls, "|0 c1 f (0){|1 c2 f (1)[](0)}");
	assert_string_equal(h.text, "");
	assert_string_equal(h.finish, "tool_calls");
}

/* Some tell an item only when it is finished, or only in the terminal event. */
static void what_came_late_is_told(void **state)
{
	struct heard h = PLAY(false, CREATED, DONE(0, MESSAGE("late")), DONE(1, CALL("c", "{}")), COMPLETED);

	(void)state;
	assert_string_equal(h.text, "late");
	assert_string_equal(h.calls, "|0 c f (0){}");
	assert_string_equal(h.finish, "tool_calls");
	h = PLAY(false, CREATED,
		"{\"type\":\"response.completed\",\"response\":{\"output\":[" MESSAGE("end") "," CALL(
			"c", "1") "]}}");
	assert_string_equal(h.text, "end");
	assert_string_equal(h.calls, "|0 c f (0)1");
	/* told once only */
	h = PLAY(false, CREATED, TEXT(0, "once"), DONE(0, MESSAGE("once")),
		"{\"type\":\"response.completed\",\"response\":{\"output\":[" MESSAGE("once") "]}}");
	assert_string_equal(h.text, "once");
}

static void refusals_and_cuts(void **state)
{
	struct heard h = PLAY(false, CREATED,
		"{\"type\":\"response.refusal.delta\",\"output_index\":0,\"delta\":\"no\"}", COMPLETED);

	(void)state;
	assert_string_equal(h.refusal, "no");
	assert_string_equal(h.finish, "stop");
	h = PLAY(false, CREATED, TEXT(0, "a"),
		"{\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":{\"reason\":\"max_"
		"output_tokens\"}}}");
	assert_string_equal(h.finish, "length");
	h = PLAY(false, CREATED,
		"{\"type\":\"response.incomplete\",\"response\":{\"incomplete_details\":{\"reason\":"
		"\"content_filter\"}}}");
	assert_string_equal(h.finish, "content_filter");
	h = PLAY(false, CREATED, "{\"type\":\"response.incomplete\",\"response\":{}}");
	assert_string_equal(h.finish, "length");
}

/* It never looks complete. */
static void failures(void **state)
{
	struct heard h = PLAY(true, CREATED, TEXT(0, "a"),
		"{\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":"
		"\"server_error\","
		"\"message\":\"x\"}}}");

	(void)state;
	assert_string_equal(h.error, "server_error");
	assert_string_equal(h.finish, "");
	assert_false(h.done);
	assert_null(h.usage);
	h = PLAY(false, CREATED,
		"{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"rate_limit_exceeded\","
		"\"message\":"
		"\"x\"}}}");
	assert_string_equal(h.error, "rate_limit_error");
	h = PLAY(false, CREATED, TEXT(0, "a"), "{\"type\":\"keepalive\"}");
	assert_false(h.done);
	assert_true(h.alive);
}

/* Nothing is known of the answer but what was asked. */
static void without_created(void **state)
{
	const char *const events[] = {TEXT(0, "a"), COMPLETED, TEXT(0, "b"), NULL};
	struct heard h = play_as(events, false, "chatcmpl-req_1");

	(void)state;
	assert_string_equal(h.text, "a");
	assert_true(h.role_first && h.done);
}

static void odd_events(void **state)
{
	struct heard h = PLAY(false, CREATED, "[DONE]", "5", "{}", "{\"type\":7}",
		"{\"type\":\"response.output_text.delta\",\"output_index\":70000,\"delta\":\"x\"}",
		"{\"type\":\"response.output_text.delta\",\"delta\":5}", ARGS(3, "x"),
		ADDED(4, "{\"type\":\"function_call\"}"), TEXT(9, "y"), COMPLETED);

	(void)state;
	assert_string_equal(h.text, "y");
	assert_string_equal(h.calls, "");
	assert_true(h.done);
}

/* ---- whole ---- */

static void whole(const char *response, int status, const char *want)
{
	json_t *got, *expected = json_loads(want, 0, NULL);
	struct ph_buf out;

	ph_buf_init(&out, 1 << 20);
	assert_int_equal(ph_chat_answer_whole(ph_str_c(response), &names, &out), status);
	got = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(expected);
	if (!got || !json_equal(got, expected))
		fail_msg("%s\n became %.*s\n not    %s", response, (int)out.n, out.p, want);
	json_decref(got);
	json_decref(expected);
	ph_buf_deinit(&out);
}

#define HEAD "\"id\":\"chatcmpl-a1\",\"object\":\"chat.completion\",\"created\":1700000001,\"model\":\"told\""
#define SAYS "\"id\":\"resp_a1\",\"created_at\":1700000001,\"model\":\"told\""

static void whole_answers(void **state)
{
	(void)state;
	whole("{" SAYS ",\"status\":\"completed\",\"output\":[{\"type\":\"reasoning\"}," MESSAGE(
		      "a\\\"b") "," MESSAGE("c") "]," USAGE ",\"service_tier\":\"flex\"}",
		200,
		"{" HEAD
		",\"service_tier\":\"flex\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
		"\"content\":\"a\\\"bc\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_"
		"reason\":\"stop\"}],"
		"\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":5,\"total_tokens\":16,\"prompt_tokens_"
		"details\":{"
		"\"cached_tokens\":4,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":"
		"2,\"audio_"
		"tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}");
	whole("{" SAYS ",\"status\":\"completed\",\"output\":[" CALL("c1", "{}") "," CALL("c2", "1") "]}",
		200,
		"{" HEAD ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
		"\"refusal\":null,"
		"\"annotations\":[],\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":{"
		"\"name\":\"f\","
		"\"arguments\":\"{}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"f\","
		"\"arguments\":"
		"\"1\"}}]},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]}");
	whole("{" SAYS ",\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"content_filter\"},"
	      "\"output\":[{"
	      "\"type\":\"message\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}]}",
		200,
		"{" HEAD ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
		"\"refusal\":\"no\","
		"\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"content_filter\"}]}");
	whole("{\"status\":\"completed\",\"output\":null}", 200,
		"{\"id\":\"chatcmpl-req_1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":"
		"\"asked\","
		"\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"refusal\":"
		"null,"
		"\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}]}");
}

static void whole_failures(void **state)
{
	(void)state;
	whole("{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"m\"}}", 500,
		"{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,\"code\":\"server_"
		"error\"}}");
	whole("{\"status\":\"failed\",\"error\":{\"code\":\"invalid_prompt\",\"message\":\"m\",\"param\":"
	      "\"p\"}}",
		400,
		"{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":\"p\",\"code\":"
		"\"invalid_prompt\"}}");
	whole("{\"status\":\"failed\",\"error\":null}", 500,
		"{\"error\":{\"message\":\"The upstream "
		"failed.\",\"type\":\"server_error\",\"param\":null,\"code\":null}}");
}

static void errors_name_what_was_asked(void **state)
{
	static const struct {
		const char *theirs, *ours;
	} table[] = {
		{"\"input[2].content\"", "\"messages\""},
		{"\"input\"", "\"messages\""},
		{"\"inputs\"", "\"inputs\""},
		{"\"max_output_tokens\"", "\"max_completion_tokens\""},
		{"\"reasoning.effort\"", "\"reasoning_effort\""},
		{"\"text.format.schema\"", "\"response_format\""},
		{"\"text.verbosity\"", "\"verbosity\""},
		{"\"tools[0].name\"", "\"tools[0].name\""},
		{"null", "null"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		char before[128], want[128];
		struct ph_buf out;

		snprintf(before, sizeof before, "{\"error\":{\"message\":\"m\",\"param\":%s,\"code\":null}}",
			table[i].theirs);
		snprintf(want, sizeof want, "{\"error\":{\"message\":\"m\",\"param\":%s,\"code\":null}}",
			table[i].ours);
		ph_buf_init(&out, 4096);
		ph_chat_answer_error(ph_str_c(before), &out);
		ph_assert_str(ph_buf_str(&out), ph_str_c(want));
		ph_buf_deinit(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_in_chunks),
		cmocka_unit_test(usage_before_the_end),
		cmocka_unit_test(calls_in_chunks),
		cmocka_unit_test(what_came_late_is_told),
		cmocka_unit_test(refusals_and_cuts),
		cmocka_unit_test(failures),
		cmocka_unit_test(without_created),
		cmocka_unit_test(odd_events),
		cmocka_unit_test(whole_answers),
		cmocka_unit_test(whole_failures),
		cmocka_unit_test(errors_name_what_was_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
