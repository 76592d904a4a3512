/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two tables of what a replay sends (protocol, 7.1 and 7.2), row by row: to the account that the item
 * belongs to, to another of kind codex, and to another that keeps no client's ids (platform, stateless).
 */
#include "continuity_test.h"
#include "posthouse/metrics.h"

#define SAME  "same"
#define GONE  ""
#define BOUND NULL

enum from {
	MADE_BY_IT,  /* by the account, which keeps it */
	MADE_UNKEPT, /* by the account, which keeps nothing */
	SENT_TO_IT,  /* by the client */
};

struct row {
	enum from from;
	const char *item, *owner, *codex, *other;
};

static struct ph_str sent(const struct row *row, struct ph_target target, bool *ret_bound)
{
	struct ph_chain_run run = {q(row->item), A, row->from != SENT_TO_IT, row->from == MADE_BY_IT, false};
	struct ph_chain chain = {.runs = &run, .run_count = 1};
	struct ph_bound bound = {.account = 0};
	struct ph_str is;
	int rc = replay_with(&chain, target, PH_STR_NONE, NULL, &is, &bound);

	*ret_bound = rc == -PH_E_ACCOUNT_BOUND && bound.account == A;
	if (rc && !*ret_bound)
		fail_msg("%s: %d", row->item, rc);
	return is;
}

static void check(const struct row *row, struct ph_target target, const char *expected, const char *column)
{
	bool bound;
	struct ph_str is = sent(row, target, &bound);

	if (expected && strcmp(expected, SAME) == 0)
		expected = row->item;
	if (bound != !expected || (expected && !ph_str_eq(is, q(expected))))
		fail_msg("%s, %s: %.*s%s", row->item, column, PH_STR_ARG(is), bound ? "(bound)" : "");
}

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		check(&rows[i], (struct ph_target){.account = A}, rows[i].owner, "owner");
		check(&rows[i], (struct ph_target){.account = A, .client_ids = true}, rows[i].owner,
			"owner (codex)");
		check(&rows[i], (struct ph_target){.account = B, .client_ids = true}, rows[i].codex, "codex");
		check(&rows[i], (struct ph_target){.account = B}, rows[i].other, "other");
	}
}

#define MESSAGE(more)  "{" more "'type':'message','role':'assistant','phase':'final_answer','content':[]}"
#define REASONING      "{'id':'r','type':'reasoning','encrypted_content':'c','summary':[]}"
#define BARE           "{'id':'r','type':'reasoning','summary':[]}"
#define FOLLOWED(item) item "," MESSAGE("'id':'m',")
#define HOSTED(type)   {MADE_BY_IT, "{'id':'h','type':'" type "','status':'completed'}", SAME, GONE, GONE}
#define PAIRED(type, sent_to_codex)                                                                          \
	{MADE_BY_IT, "{'id':'x','type':'" type "','call_id':'c'}", SAME,                                     \
		"{'type':'" type "','call_id':'c'}", "{'type':'" type "','call_id':'c'}"},                   \
		{SENT_TO_IT, "{'id':'x','type':'" type "','call_id':'c'}", SAME, sent_to_codex,              \
			"{'type':'" type "','call_id':'c'}"}
/* A call was made by an account, whoever sends it; its output by the client. */
#define PAIRED_CALL(type)   PAIRED(type, "{'type':'" type "','call_id':'c'}")
#define PAIRED_OUTPUT(type) PAIRED(type, SAME)
#define WITH_ID(type)                                                                                        \
	{MADE_BY_IT, "{'id':'x','type':'" type "','call_id':'c'}", SAME, SAME, SAME},                        \
	{                                                                                                    \
		SENT_TO_IT, "{'id':'x','type':'" type "','call_id':'c'}", SAME, SAME, SAME                   \
	}

static const struct row table[] = {
	/* reasoning, with and without ciphertext, kept there or not; the id of what follows it */
	{MADE_BY_IT, REASONING, SAME, GONE, GONE},
	{MADE_UNKEPT, REASONING, SAME, GONE, GONE},
	{SENT_TO_IT, REASONING, SAME, GONE, GONE},
	{MADE_BY_IT, BARE, SAME, GONE, GONE},
	{MADE_UNKEPT, BARE, GONE, GONE, GONE},
	{SENT_TO_IT, BARE, SAME, GONE, GONE},
	{MADE_BY_IT, "{'id':'r','type':'reasoning','status':'completed','encrypted_content':'c'}",
		"{'id':'r','type':'reasoning','encrypted_content':'c'}", GONE, GONE},
	{MADE_UNKEPT, FOLLOWED(REASONING), SAME, MESSAGE(""), MESSAGE("")},
	{MADE_UNKEPT, FOLLOWED(BARE), MESSAGE(""), MESSAGE(""), MESSAGE("")},
	{SENT_TO_IT, FOLLOWED(REASONING), SAME, MESSAGE(""), MESSAGE("")},
	/* ids, the server's and the client's */
	{MADE_BY_IT, MESSAGE("'id':'m',"), SAME, MESSAGE(""), MESSAGE("")},
	{SENT_TO_IT, MESSAGE("'id':'m',"), SAME, MESSAGE(""),
		MESSAGE("")}, /* carried along: the account's own id */
	{SENT_TO_IT, "{'role':'user','id':'u','content':'x'}", SAME, SAME, "{'role':'user','content':'x'}"},
	{SENT_TO_IT, "{'type':'item_reference','id':'x'}", SAME, BOUND, BOUND},
	/* pairs */
	PAIRED_CALL("function_call"),
	PAIRED_OUTPUT("function_call_output"),
	PAIRED_CALL("custom_tool_call"),
	PAIRED_OUTPUT("custom_tool_call_output"),
	PAIRED_CALL("shell_call"),
	PAIRED_OUTPUT("shell_call_output"),
	PAIRED_CALL("apply_patch_call"),
	PAIRED_OUTPUT("apply_patch_call_output"),
	PAIRED_CALL("computer_call"),
	PAIRED_OUTPUT("computer_call_output"),
	WITH_ID("local_shell_call"),
	WITH_ID("local_shell_call_output"),
	/* compaction: what is before it is sent with what the account compacted, and is not known of a
	   client's */
	{MADE_BY_IT, "{'id':'k','type':'compaction','encrypted_content':'c'}", SAME, GONE, GONE},
	{SENT_TO_IT, "{'id':'k','type':'compaction','encrypted_content':'c'}", SAME, BOUND, BOUND},
	{MADE_BY_IT, "{'id':'k','type':'context_compaction','encrypted_content':'c'}", SAME, GONE, GONE},
	{SENT_TO_IT, "{'id':'k','type':'compaction_summary','encrypted_content':'c'}", SAME, BOUND, BOUND},
	{SENT_TO_IT, "{'type':'compaction_trigger'}", GONE, GONE, GONE},
	/* hosted tools, by name and by family */
	HOSTED("web_search_call"),
	HOSTED("file_search_call"),
	HOSTED("code_interpreter_call"),
	HOSTED("image_generation_call"),
	HOSTED("tool_search_call"),
	HOSTED("tool_search_output"),
	HOSTED("tool_search_thing"),
	HOSTED("mcp_list_tools"),
	HOSTED("mcp_call"),
	HOSTED("mcp_thing"),
	HOSTED("program"),
	HOSTED("program_output"),
	{MADE_BY_IT, "{'id':'a','type':'mcp_approval_request'}", SAME, BOUND, BOUND},
	{SENT_TO_IT, "{'type':'mcp_approval_response','approval_request_id':'a'}", SAME, GONE, GONE},
	/* files, containers, vector stores; addresses and data are everybody's */
	{SENT_TO_IT, "{'role':'user','content':[{'type':'input_file','file_id':'f'}]}", SAME, BOUND, BOUND},
	{SENT_TO_IT, "{'role':'user','content':[{'type':'input_image','file_id':'f'}]}", SAME, BOUND, BOUND},
	{SENT_TO_IT, "{'role':'user','content':[{'type':'input_image','image_url':'data:x'}]}", SAME, SAME,
		SAME},
	{SENT_TO_IT, "{'role':'user','content':[{'type':'input_file','file_url':'https://x'}]}", SAME, SAME,
		SAME},
	{MADE_BY_IT, "{'type':'shell_call','call_id':'c','environment':{'container_id':'c'}}", SAME, BOUND,
		BOUND},
	{SENT_TO_IT, "{'type':'additional_tools','role':'developer','tools':[{'vector_store_ids':['v']}]}",
		SAME, BOUND, BOUND},
	{SENT_TO_IT, "{'type':'additional_tools','role':'developer','tools':[{'type':'function'}]}", SAME,
		SAME, SAME},
	{SENT_TO_IT, "{'type':'configuration_update','x':1}", SAME, SAME, SAME},
	/* Codex's own members */
	{SENT_TO_IT, "{'role':'user','client_metadata':{},'content':'x'}", SAME, SAME,
		"{'role':'user','content':'x'}"},
	{SENT_TO_IT, "{'role':'user','internal_chat_message_metadata_passthrough':1,'content':'x'}", SAME,
		SAME, "{'role':'user','content':'x'}"},
	/* types that nobody knows */
	{MADE_BY_IT, "{'id':'x','type':'new','status':'completed','n':1}", SAME, "{'type':'new','n':1}",
		"{'type':'new','n':1}"},
	{MADE_BY_IT, "{'id':'x','type':'new','encrypted_content':'c'}", SAME, GONE, GONE},
	{MADE_BY_IT, "{'id':'x','type':'new','file_id':'f'}", SAME, BOUND, BOUND},
};

static void test_rows(void **state)
{
	(void)state;
	check_rows(table, PH_COUNT(table));
}

/* ---- 7.1: on every replay, to the owner as well ---- */

#define CALL(type) "{'type':'" type "','call_id':'c'}"

static const struct row given[] = {
	{MADE_BY_IT, "{'type':'message','created_by':'u','role':'assistant'}",
		"{'type':'message','role':'assistant'}", "{'type':'message','role':'assistant'}",
		"{'type':'message','role':'assistant'}"},
	{SENT_TO_IT, "{'type':'new','n':1,'created_by':{'a':1}}", "{'type':'new','n':1}",
		"{'type':'new','n':1}", "{'type':'new','n':1}"},
	{MADE_BY_IT,
		"{'type':'shell_call_output','call_id':'c','output':[{'stdout':'created_by', "
		"'created_by':'u'} , "
		"{'stdout':'2'}],'max_output_length':1}",
		"{'type':'shell_call_output','call_id':'c','output':[{'stdout':'created_by'},{'stdout':'2'}],"
		"'max_"
		"output_length':1}",
		"{'type':'shell_call_output','call_id':'c','output':[{'stdout':'created_by'},{'stdout':'2'}],"
		"'max_"
		"output_length':1}",
		"{'type':'shell_call_output','call_id':'c','output':[{'stdout':'created_by'},{'stdout':'2'}],"
		"'max_"
		"output_length':1}"},
	/* Only there: a function's own output may say such a thing. */
	{SENT_TO_IT, "{'type':'function_call_output','call_id':'c','output':[{'created_by':'u','type':'x'}]}",
		SAME, SAME, SAME},
	{MADE_BY_IT, "{'type':'function_call','call_id':'c','arguments':'{}','parsed_arguments':{'a':1}}",
		"{'type':'function_call','call_id':'c','arguments':'{}'}",
		"{'type':'function_call','call_id':'c','arguments':'{}'}",
		"{'type':'function_call','call_id':'c','arguments':'{}'}"},
	{MADE_BY_IT,
		"{'type':'message','role':'assistant','content':[{'type':'output_text','text':'{}','parsed':{"
		"'x':"
		"1}}]}",
		"{'type':'message','role':'assistant','content':[{'type':'output_text','text':'{}'}]}",
		"{'type':'message','role':'assistant','content':[{'type':'output_text','text':'{}'}]}",
		"{'type':'message','role':'assistant','content':[{'type':'output_text','text':'{}'}]}"},
	/* Files and SDK's members together. */
	{MADE_BY_IT,
		"{'type':'message','role':'assistant','content':[{'text':'x','parsed':null,'annotations':[{'"
		"file_"
		"id':'f'}]}]}",
		"{'type':'message','role':'assistant','content':[{'text':'x','annotations':[{'file_id':'f'}]}"
		"]}",
		"{'type':'message','role':'assistant','content':[{'text':'x','annotations':[]}]}",
		"{'type':'message','role':'assistant','content':[{'text':'x','annotations':[]}]}"},
	/* Byte for byte otherwise, types that nobody knows too. */
	{MADE_BY_IT, "{ 'type' : 'new', 'parsed':1 , 'content' : [ {'parsed':1} ] }", SAME, SAME, SAME},
	{MADE_BY_IT,
		"{ 'type':'message','role' : 'assistant', 'content' : [ {'text':'a \\'parsed\\': "
		"b'},{'text':'parsed', 'type' : 'parsed'} ] }",
		SAME, SAME, SAME},
	{SENT_TO_IT, "{'type':'additional_tools','role':'user','tools':[]}", GONE, GONE, GONE},
	{SENT_TO_IT, "{'type':'additional_tools','tools':[]}", GONE, GONE, GONE},
	{SENT_TO_IT, "{'type':'custom_tool_call_output','call_id':'c','status':'completed','output':'x'}",
		"{'type':'custom_tool_call_output','call_id':'c','output':'x'}",
		"{'type':'custom_tool_call_output','call_id':'c','output':'x'}",
		"{'type':'custom_tool_call_output','call_id':'c','output':'x'}"},
	/* An output that is not sent takes its call along. */
	{SENT_TO_IT,
		"{'role':'user'}," CALL(
			"custom_tool_call") ",{'type':'custom_tool_call_output','call_id':'c','"
					    "status':'incomplete'},{'role':'user'}",
		"{'role':'user'},{'role':'user'}", "{'role':'user'},{'role':'user'}",
		"{'role':'user'},{'role':'user'}"},
	{SENT_TO_IT, CALL("computer_call") ",{'type':'computer_call_output','call_id':'c','status':'failed'}",
		GONE, GONE, GONE},
	{SENT_TO_IT,
		CALL("computer_call") ",{'type':'computer_call_output','call_id':'c','status':'completed'}",
		SAME, SAME, SAME},
	/* But for another that answers it. */
	{SENT_TO_IT,
		CALL("custom_tool_call") ",{'type':'custom_tool_call_output','call_id':'c','status':'"
					 "incomplete'},"
					 "{'type':'custom_tool_call_output','call_id':'c','output':'x'}",
		CALL("custom_tool_call") ",{'type':'custom_tool_call_output','call_id':'c','output':'x'}",
		CALL("custom_tool_call") ",{'type':'custom_tool_call_output','call_id':'c','output':'x'}",
		CALL("custom_tool_call") ",{'type':'custom_tool_call_output','call_id':'c','output':'x'}"},
};

static void test_given(void **state)
{
	(void)state;
	check_rows(given, PH_COUNT(given));
}

/* The call stands in another turn than its output; what the request itself brings is the client's. */
static void test_given_over_turns(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, "{'role':'user'}"), STORED(A, CALL("computer_call")),
		CLIENT(A, "{'type':'computer_call_output','call_id':'c','status':'failed'}"),
		STORED(A, "{'role':'assistant','id':'m'}"));

	(void)state;
	assert_replay(&chain, A, "", "{'role':'user'},{'role':'assistant','id':'m'}");
	assert_replay(&chain, B, "", "{'role':'user'},{'role':'assistant'}");
	assert_replay(&chain, A, "{'type':'computer_call_output','call_id':'c','created_by':'me'}",
		"{'role':'user'}," CALL(
			"computer_call") ",{'role':'assistant','id':'m'},"
					 "{'type':'computer_call_output','call_id':'c','created_"
					 "by':'me'}");
}

/* ---- pairs over accounts ---- */

#define FOUND_TOOLS "{'id':'t','type':'tool_search_call','call_id':'s','execution':'client'}"
#define TOOLS       "{'type':'tool_search_output','call_id':'s','tools':[]}"

/* The client answers what A asked, while B serves: B is told of neither, A of both, whichever way it goes. */
static void test_answers_follow(void **state)
{
	struct ph_chain asked = CHAIN(CLIENT(A, "{'role':'user'}"), STORED(A, FOUND_TOOLS));
	struct ph_chain answered = CHAIN(CLIENT(A, "{'role':'user'}"), STORED(A, FOUND_TOOLS),
		CLIENT(B, TOOLS), MINTED(B, "{'role':'assistant','id':'m'}"));

	(void)state;
	assert_replay(&asked, A, TOOLS, "{'role':'user'}," FOUND_TOOLS "," TOOLS);
	assert_replay(&asked, B, TOOLS ",{'role':'user'}", "{'role':'user'},{'role':'user'}");
	assert_replay(&answered, A, "", "{'role':'user'}," FOUND_TOOLS "," TOOLS ",{'role':'assistant'}");
	assert_replay(&answered, B, "", "{'role':'user'},{'role':'assistant','id':'m'}");
	assert_replay(&answered, C, "", "{'role':'user'},{'role':'assistant'}");
}

/* A hosted shell answers itself, in the same turn; a local one is joined by its id. */
static void test_unfinished(void **state)
{
	struct ph_chain hosted =
		CHAIN(STORED(A, "{'type':'shell_call','id':'x','call_id':'c','status':'incomplete'},"
				"{'type':'shell_call_output','id':'y','call_id':'c','output':[]}"));
	struct ph_chain local =
		CHAIN(STORED(A, "{'type':'local_shell_call','id':'l','call_id':'c','status':'incomplete'}"));
	struct ph_chain done =
		CHAIN(STORED(A, "{'type':'local_shell_call','id':'l','call_id':'c','status':'incomplete'}"),
			CLIENT(A, "{'type':'local_shell_call_output','id':'l','output':'x'}"));

	(void)state;
	assert_replay(&hosted, B, "",
		"{'type':'shell_call','call_id':'c','status':'incomplete'},"
		"{'type':'shell_call_output','call_id':'c','output':[]}");
	assert_replay(
		&local, A, "", "{'type':'local_shell_call','id':'l','call_id':'c','status':'incomplete'}");
	assert_replay(&local, B, "", "");
	assert_replay(&done, B, "",
		"{'type':'local_shell_call','id':'l','call_id':'c','status':'incomplete'},"
		"{'type':'local_shell_call_output','id':'l','output':'x'}");
}

/* ---- counting ---- */

static int64_t dropped(unsigned type)
{
	return ph_metric_get(PH_M_ITEMS_DROPPED, type, 0);
}

static void test_counted(void **state)
{
	enum {
		REASONS,
		SEARCHES,
		MCPS = 6,
		OTHERS = 9
	};
	struct ph_chain chain =
		CHAIN(STORED(A, REASONING ",{'type':'web_search_call'},{'type':'web_search_call'},"
					  "{'type':'mcp_call'},{'type':'new','encrypted_"
					  "content':'c'},{'role':'assistant'}"));

	(void)state;
	ph_metrics_init(1);
	ph_metrics_worker(0);
	(void)replayed(&chain, A, PH_STR_NONE);
	for (unsigned type = 0; type <= OTHERS; type++)
		assert_int_equal(dropped(type), 0);
	(void)replayed(&chain, B, PH_STR_NONE);
	assert_int_equal(dropped(REASONS), 1);
	assert_int_equal(dropped(SEARCHES), 2);
	assert_int_equal(dropped(MCPS), 1);
	assert_int_equal(dropped(OTHERS), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows),
		TEST(test_given),
		TEST(test_given_over_turns),
		TEST(test_answers_follow),
		TEST(test_unfinished),
		TEST(test_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
