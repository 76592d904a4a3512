/* SPDX-License-Identifier: Apache-2.0 */
/* A stored response told as a stream. */
#include "ph_test.h"

#include "gateway/stored.h"

static struct ph_str told(struct ph_buf *out, const char *envelope, const char *output, int64_t after)
{
	struct ph_response r = {.envelope = ph_str_c(envelope), .output = ph_str_c(output)};

	ph_buf_init(out, 1 << 20);
	assert_true(ph_stored_put_events(out, &r, after));
	return ph_buf_str(out);
}

#define EVENT(type, n, rest)                                                                                 \
	"event: " type "\ndata: {\"type\":\"" type "\",\"sequence_number\":" n "," rest "}\n\n"
#define DONE "data: [DONE]\n\n"

/* Nothing but its beginning and its end; JSON of several lines becomes one. */
static void without_items(void **state)
{
	struct ph_buf out;

	(void)state;
	ph_assert_str(
		told(&out,
			"{\n\"id\":\"r\", \"status\":\"completed\",\r\n\"usage\":{\"n\":1},\"output\":[] }",
			"", -1),
		PH_STR(EVENT("response.created", "0",
			"\"response\":{ \"id\":\"r\", \"status\":\"in_progress\",  "
			"\"usage\":null,\"output\":[] }") EVENT("response.in_progress", "1",
			"\"response\":{ \"id\":\"r\", \"status\":\"in_progress\",  "
			"\"usage\":null,\"output\":[] }") EVENT("response.completed", "2",
			"\"response\":{ \"id\":\"r\", \"status\":\"completed\",  "
			"\"usage\":{\"n\":1},\"output\":[] }") DONE));
	ph_buf_deinit(&out);
	ph_assert_str(told(&out, "{\"status\":\"incomplete\",\"output\":[]}", "", 1),
		PH_STR(EVENT("response.incomplete", "2",
			"\"response\":{\"status\":\"incomplete\",\"output\":[]}") DONE));
	ph_buf_deinit(&out);
	ph_assert_str(told(&out, "{\"output\":[]}", "", 2), PH_STR(DONE));
	ph_buf_deinit(&out);
}

#define BEGIN                                                                                                \
	EVENT("response.created", "0", "\"response\":{\"output\":[]}")                                       \
	EVENT("response.in_progress", "1", "\"response\":{\"output\":[]}")

/* A refusal and a text; bytes of items stay as they are. */
static void message(void **state)
{
	struct ph_buf out;

	(void)state;
	ph_assert_str(told(&out, "{\"output\":[]}",
			      "{\"id\":\"m\",\"type\":\"message\",\"content\":[{\"type\":\"output_text\","
			      "\"text\":\"h\\u0069\"},"
			      "{\"type\":\"refusal\",\"refusal\":\"no\"}],\"n\":1e400}",
			      -1),
		PH_STR(BEGIN EVENT("response.output_item.added", "2",
			"\"output_index\":0,\"item\":{\"id\":\"m\",\"type\":\"message\",\"content\":[],\"n\":"
			"1e400}") EVENT("response.content_part.added", "3",
			"\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":"
			"\"output_text\","
			"\"text\":\"\"}") EVENT("response.output_text.delta", "4",
			"\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"delta\":\"h\\u0069\","
			"\"logprobs\":[]") EVENT("response.output_text.done", "5",
			"\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"text\":"
			"\"h\\u0069\",\"logprobs\":[]") EVENT("response.content_part.done", "6",
			"\"item_id\":\"m\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":"
			"\"output_text\",\"text\":\"h\\u0069\"}") EVENT("response.content_part.added", "7",
			"\"item_id\":\"m\",\"output_index\":0,\"content_index\":1,\"part\":{\"type\":"
			"\"refusal\",\"refusal\":\"\"}") EVENT("response.refusal.delta", "8",
			"\"item_id\":\"m\",\"output_index\":0,\"content_index\":1,\"delta\":\"no\"")
				EVENT("response.refusal.done", "9",
					"\"item_id\":\"m\",\"output_index\":0,\"content_index\":1,"
					"\"refusal\":"
					"\"no\"") EVENT("response.content_part.done", "10",
					"\"item_id\":\"m\",\"output_index\":0,\"content_index\":1,\"part\":{"
					"\"type\":\"refusal\",\"refusal\":\"no\"}") EVENT("response.output_"
											  "item.done",
					"11",
					"\"output_index\":0,\"item\":{\"id\":\"m\",\"type\":\"message\","
					"\"content\":[{\"type\":\"output_text\",\"text\":\"h\\u0069\"},{"
					"\"type\":\"refusal\",\"refusal\":\"no\"}],\"n\":1e400}")
					EVENT("response.completed", "12",
						"\"response\":{\"output\":[{\"id\":\"m\",\"type\":"
						"\"message\",\"content\":[{\"type\":\"output_text\","
						"\"text\":\"h\\u0069\"},{\"type\":\"refusal\","
						"\"refusal\":\"no\"}],\"n\":1e400}]}") DONE));
	ph_buf_deinit(&out);
}

/* Calls have their arguments as a delta; of other items there is nothing to tell between. */
static void calls_and_others(void **state)
{
	struct ph_buf out;

	(void)state;
	ph_assert_str(told(&out, "{\"output\":[]}",
			      "{\"id\":\"c\",\"type\":\"custom_tool_call\",\"input\":\"x\",\"status\":"
			      "\"completed\"},{\"type\":\"new\"}",
			      1),
		PH_STR(EVENT("response.output_item.added", "2",
			"\"output_index\":0,\"item\":{\"id\":\"c\",\"type\":\"custom_tool_call\",\"input\":"
			"\"\",\"status\":"
			"\"in_progress\"}") EVENT("response.custom_tool_call_input.delta", "3",
			"\"item_id\":\"c\",\"output_index\":0,\"delta\":\"x\"") EVENT("response.custom_tool_"
										      "call_input.done",
			"4", "\"item_id\":\"c\",\"output_index\":0,\"input\":\"x\"")
				EVENT("response.output_item.done", "5",
					"\"output_index\":0,\"item\":{\"id\":\"c\",\"type\":\"custom_tool_"
					"call\",\"input\":\"x\",\"status\":"
					"\"completed\"}") EVENT("response.output_item.added", "6",
					"\"output_index\":1,\"item\":{\"type\":\"new\"}")
					EVENT("response.output_item.done", "7",
						"\"output_index\":1,\"item\":{\"type\":\"new\"}")
						EVENT("response.completed", "8",
							"\"response\":{\"output\":[{\"id\":\"c\",\"type\":"
							"\"custom_tool_call\",\"input\":\"x\",\"status\":"
							"\"completed\"},{\"type\":\"new\"}]}") DONE));
	ph_buf_deinit(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_items),
		cmocka_unit_test(message),
		cmocka_unit_test(calls_and_others),
	};

	return cmocka_run_group_tests_name("gateway.stored_events", tests, NULL, NULL);
}
