/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what follows a conversation to another account, row by row, and what goes back to its own. */
#include "continuity_test.h"

#define assert_minted(from, to)                                                                              \
	do {                                                                                                 \
		struct ph_chain made = CHAIN(STORED(A, from));                                               \
		assert_replay(&made, B, "", to);                                                             \
		assert_replay(&made, A, "", from);                                                           \
	} while (0)
#define assert_client(from, to)                                                                              \
	do {                                                                                                 \
		struct ph_chain sent = CHAIN(CLIENT(A, from));                                               \
		assert_replay(&sent, B, "", to);                                                             \
		assert_replay(&sent, A, "", from);                                                           \
	} while (0)
#define assert_bound(from, type)                                                                             \
	do {                                                                                                 \
		struct ph_chain tied = CHAIN(CLIENT(A, "{'role':'user','content':'x'}"), STORED(A, from));   \
		assert_int_equal(refused(&tied, B, "", type), A);                                            \
		assert_replay(&tied, A, "", "{'role':'user','content':'x'}," from);                          \
	} while (0)

static void test_messages(void **state)
{
	(void)state;
	assert_minted(
		"{'id':'m1','type':'message','role':'assistant','status':'completed','phase':'commentary',"
		"'content':[{'type':'output_text','text':'\\u0000 "
		"\\ud83d\\ude00','annotations':[],'logprobs':[]}]}",
		"{'type':'message','role':'assistant','status':'completed','phase':'commentary',"
		"'content':[{'type':'output_text','text':'\\u0000 "
		"\\ud83d\\ude00','annotations':[],'logprobs':[]}]}");
	assert_client("{'role':'user','content':'x','id':'mine'}", "{'role':'user','content':'x'}");
	assert_client("{ 'role' : 'user' , 'content' : [ { 'type':'input_text', 'text':'x' } ] }",
		"{ 'role' : 'user' , 'content' : [ { 'type':'input_text', 'text':'x' } ] }");
	assert_client("{'role':'user','content':[{'type':'input_image','file_id':null,'image_url':'data:x'},"
		      "{'type':'input_file','file_url':'https://x'}]}",
		"{'role':'user','content':[{'type':'input_image','file_id':null,'image_url':'data:x'},"
		"{'type':'input_file','file_url':'https://x'}]}");
}

static void test_calls_in_pairs(void **state)
{
	(void)state;
	assert_minted("{'id':'f','type':'function_call','call_id':'c','name':'n','arguments':'{}','status':'"
		      "completed'}",
		"{'type':'function_call','call_id':'c','name':'n','arguments':'{}','status':'completed'}");
	assert_client("{'type':'function_call_output','call_id':'c','output':'{\\\"file_id\\\":1}'}",
		"{'type':'function_call_output','call_id':'c','output':'{\\\"file_id\\\":1}'}");
	assert_minted("{'id':'f','type':'custom_tool_call','call_id':'c','name':'n','input':'x'}",
		"{'type':'custom_tool_call','call_id':'c','name':'n','input':'x'}");
	assert_client("{'type':'custom_tool_call_output','call_id':'c','output':'x','id':'o'}",
		"{'type':'custom_tool_call_output','call_id':'c','output':'x'}");
	assert_minted("{'id':'f','type':'shell_call','call_id':'c','action':{'commands':['ls']}}",
		"{'type':'shell_call','call_id':'c','action':{'commands':['ls']}}");
	assert_client("{'type':'shell_call_output','call_id':'c','output':[]}",
		"{'type':'shell_call_output','call_id':'c','output':[]}");
	assert_minted("{'id':'f','type':'apply_patch_call','call_id':'c','operation':{}}",
		"{'type':'apply_patch_call','call_id':'c','operation':{}}");
	assert_client("{'type':'apply_patch_call_output','call_id':'c','status':'completed'}",
		"{'type':'apply_patch_call_output','call_id':'c','status':'completed'}");
	assert_minted("{'id':'f','type':'computer_call','call_id':'c','action':{}}",
		"{'type':'computer_call','call_id':'c','action':{}}");
	assert_client("{'type':'computer_call_output','call_id':'c','output':{'type':'computer_screenshot',"
		      "'image_url':'data:x'}}",
		"{'type':'computer_call_output','call_id':'c','output':{'type':'computer_screenshot','image_"
		"url':'data:x'}}");
	/* These demand their ids: they are the join. */
	assert_minted("{'id':'l','type':'local_shell_call','call_id':'c','action':{}}",
		"{'id':'l','type':'local_shell_call','call_id':'c','action':{}}");
	assert_client("{'id':'l','type':'local_shell_call_output','output':'x'}",
		"{'id':'l','type':'local_shell_call_output','output':'x'}");
	assert_client(
		"{'type':'additional_tools','role':'developer','tools':[{'type':'function','parameters':"
		"{'properties':{'file_id':{'type':'string'}}}}]}",
		"{'type':'additional_tools','role':'developer','tools':[{'type':'function','parameters':"
		"{'properties':{'file_id':{'type':'string'}}}}]}");
	assert_client(
		"{'type':'configuration_update','id':'c','x':1}", "{'type':'configuration_update','x':1}");
}

/* Each of them alone, and between two that stay. */
static void test_dropped(void **state)
{
	static const char *const types[] = {"web_search_call", "file_search_call", "code_interpreter_call",
		"image_generation_call", "tool_search_call", "tool_search_output", "mcp_list_tools",
		"mcp_call", "mcp_approval_response", "program", "program_output", "reasoning"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(types); i++) {
		const char *one =
			ph_arena_printf(&memory, "{'type':'%s','id':'x','encrypted_content':'c'}", types[i]);
		const char *three =
			ph_arena_printf(&memory, "{'role':'user'},%s,{'id':'m','role':'assistant'}", one);

		assert_minted(one, "");
		assert_client(one, "");
		assert_minted(three, "{'role':'user'},{'role':'assistant'}");
	}
}

static void test_unknown_types(void **state)
{
	(void)state;
	assert_minted("{'id':'x','type':'from_the_future','status':'completed','n':1e400,'deep':{'id':'y','"
		      "status':'z'}}",
		"{'type':'from_the_future','n':1e400,'deep':{'id':'y','status':'z'}}");
	assert_minted("{'id':'x','type':'from_the_future','encrypted_content':'c'}", "");
	assert_minted("{'id':'x','type':'from_the_future','deep':[{'encrypted_content':'c'}]}", "");
	assert_minted("{'id':'x','type':'from_the_future','encrypted_content':null}",
		"{'type':'from_the_future','encrypted_content':null}");
	assert_bound("{'id':'x','type':'from_the_future','file_id':'f'}", "from_the_future");
	assert_minted("'text'", "'text'");
	assert_minted("[1,2]", "[1,2]");
}

static void test_account_metadata(void **state)
{
	struct ph_chain chain =
		CHAIN(STORED(A, "{'type':'message','created_by':'u','role':'assistant','id':'m'}"));

	(void)state;
	assert_replay(&chain, B, "", "{'type':'message','role':'assistant'}");
	assert_replay(&chain, A, "",
		"{'type':'message','role':'assistant','id':'m'}"); /* given, and refused back */
	assert_client("{'role':'user','client_metadata':{'a':1},'internal_chat_message_metadata_passthrough':"
		      "{},'content':'x'}",
		"{'role':'user','content':'x'}");
}

/* ---- files ---- */

static void test_annotations(void **state)
{
	(void)state;
	assert_minted(
		"{'id':'m','type':'message','role':'assistant','content':[{'type':'output_text','annotations'"
		":["
		"{'type':'file_citation','file_id':'f','index':1},{'type':'url_citation','url':'https://x'},"
		"{'type':'container_file_citation','container_id':'c','file_id':'f'},{'type':'file_path','"
		"file_id':'f'}"
		"],'text':'see'} , {'type':'refusal','refusal':'no'}]}",
		"{'type':'message','role':'assistant','content':[{'type':'output_text','annotations':["
		"{'type':'url_citation','url':'https://"
		"x'}],'text':'see'},{'type':'refusal','refusal':'no'}]}");
}

static void test_files(void **state)
{
	(void)state;
	assert_bound("{'role':'user','content':[{'type':'input_file','file_id':'f'}]}", "message");
	assert_bound("{'type':'message','role':'user','content':[{'type':'input_image','file_id':'f'}]}",
		"message");
	assert_bound("{'role':'user','content':[{'type':'input_file','file\\u005fid':'f'}]}", "message");
	assert_bound("{'type':'function_call_output','call_id':'c','output':[{'type':'input_file','file_id':'"
		     "f'}]}",
		"function_call_output");
	assert_bound("{'type':'computer_call_output','call_id':'c','output':{'file_id':'f'}}",
		"computer_call_output");
	assert_bound("{'type':'shell_call','call_id':'c','environment':{'type':'container_reference','"
		     "container_id':'c'}}",
		"shell_call");
	assert_bound("{'type':'additional_tools','role':'developer','tools':[{'type':'file_search','vector_"
		     "store_ids':['v']}]}",
		"additional_tools");
	assert_bound("{'type':'additional_tools','role':'developer','tools':[{'type':'code_interpreter','"
		     "container':'cntr_1'}]}",
		"additional_tools");
	/* Both a citation and a file: the citation can go, the file cannot. */
	assert_bound("{'role':'assistant','content':[{'type':'output_text','annotations':[{'file_id':'f'}],'"
		     "file_id':'g'}]}",
		"message");
	/* An item named twice is not cleaned in one place only. */
	assert_bound(
		"{'role':'user','content':[{'type':'input_file','file_id':'f'}],'content':[]}", "message");
}

/* Ciphertext where it cannot be left out: half a pair would be refused. */
static void test_ciphertext_elsewhere(void **state)
{
	(void)state;
	assert_bound("{'type':'function_call_output','call_id':'c','output':[{'type':'x','encrypted_content':"
		     "'c'}]}",
		"function_call_output");
	assert_bound("{'role':'assistant','content':[{'type':'x','encrypted_content':'c'}]}", "message");
}

/* ---- what stands for something else ---- */

static void test_references_bind(void **state)
{
	(void)state;
	assert_bound("{'type':'item_reference','id':'x'}", "item_reference");
	assert_bound("{'id':'x'}", "item_reference");
	assert_bound("{'type':'item_reference','id':'x','type':'message','role':'user','content':'y'}",
		"item_reference");
}

/* What an account compacted is all there, in front of it; what a client brought is not. */
static void test_compaction(void **state)
{
	struct ph_chain made = CHAIN(CLIENT(A, "{'role':'user','content':'1'}"),
		STORED(A, "{'id':'c','type':'compaction','encrypted_content':'e'},{'id':'m','role':'"
			  "assistant'}"),
		CLIENT(A, "{'role':'user','content':'2'}"));
	struct ph_chain brought = CHAIN(CLIENT(A, "{'id':'c','type':'compaction','encrypted_content':'e'}"));

	(void)state;
	assert_replay(&made, A, "",
		"{'id':'c','type':'compaction','encrypted_content':'e'},"
		"{'id':'m','role':'assistant'},{'role':'user','content':'2'}");
	assert_replay(&made, B, "",
		"{'role':'user','content':'1'},{'role':'assistant'},{'role':'user','content':'2'}");
	assert_int_equal(refused(&brought, B, "", "compaction"), A);
	assert_replay(&brought, A, "", "{'id':'c','type':'compaction','encrypted_content':'e'}");
}

#define ASKED    "{'id':'ap','type':'mcp_approval_request','name':'n','arguments':'{}'}"
#define ALLOWED  "{'type':'mcp_approval_response','approval_request_id':'ap','approve':true}"
#define APPROVED ASKED "," ALLOWED

static void test_approvals(void **state)
{
	struct ph_chain open = CHAIN(CLIENT(A, "{'role':'user','content':'1'}"), STORED(A, ASKED));
	struct ph_chain settled =
		CHAIN(STORED(A, ASKED), CLIENT(A, ALLOWED), STORED(A, "{'type':'mcp_call','id':'k'}"));

	(void)state;
	/* The account waits for it, also when the answer comes just now. */
	assert_int_equal(refused(&open, B, "{'role':'user','content':'2'}", "mcp_approval_request"), A);
	assert_int_equal(refused(&open, B, ALLOWED, "mcp_approval_request"), A);
	assert_replay(&open, A, ALLOWED, "{'role':'user','content':'1'}," APPROVED);
	assert_replay(&settled, B, "{'role':'user','content':'2'}", "{'role':'user','content':'2'}");
	assert_replay(&settled, A, "", APPROVED ",{'type':'mcp_call','id':'k'}");
}

#define CUT "{'id':'f','type':'function_call','call_id':'c','name':'n','arguments':'{','status':'incomplete'}"

/* A call that was cut short goes elsewhere only with an output. */
static void test_unfinished_calls(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, "{'role':'user','content':'1'}"), STORED(A, CUT));
	struct ph_chain whole =
		CHAIN(STORED(A, "{'type':'function_call','call_id':'c','status':'completed'}"));

	(void)state;
	assert_replay(&chain, A, "{'role':'user','content':'2'}",
		"{'role':'user','content':'1'}," CUT ",{'role':'user','content':'2'}");
	assert_replay(&chain, B, "{'role':'user','content':'2'}",
		"{'role':'user','content':'1'},{'role':'user','content':'2'}");
	assert_replay(&chain, B, "{'type':'function_call_output','call_id':'c','output':'o'}",
		"{'role':'user','content':'1'},{'type':'function_call','call_id':'c','name':'n','arguments':'"
		"{',"
		"'status':'incomplete'},{'type':'function_call_output','call_id':'c','output':'o'}");
	/* A pending call is the client's: it is sent as it is. */
	assert_replay(&whole, B, "{'role':'user','content':'2'}",
		"{'type':'function_call','call_id':'c','status':'completed'},{'role':'user','content':'2'}");
}

/* ---- reasoning, and the id behind it ---- */

static void test_reasoning(void **state)
{
	static const char *const sealed =
		"{'id':'r','type':'reasoning','encrypted_content':'c','summary':[]}";
	static const char *const bare = "{'id':'r','type':'reasoning','summary':[]}";
	static const char *const empty = "{'id':'r','type':'reasoning','encrypted_content':''}";
	static const char *const behind = "{'id':'m_1','role':'assistant'},{'id':'m_2','role':'assistant'}";
	const struct {
		const char *reasoning;
		bool stored, kept;
	} cases[] = {{sealed, true, true}, {sealed, false, true}, {bare, true, true}, {bare, false, false},
		{empty, false, false}};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_chain_run run =
			MINTED(A, ph_arena_printf(&memory, "%s,%s", cases[i].reasoning, behind));
		struct ph_chain chain = {.runs = &run, .run_count = 1};

		run.stored = cases[i].stored;
		ph_assert_str(replayed(&chain, A, PH_STR_NONE),
			cases[i].kept ? run.items
				      : q("{'role':'assistant'},{'id':'m_2','role':'assistant'}"));
		assert_replay(&chain, B, "", "{'role':'assistant'},{'role':'assistant'}");
	}
}

static void test_reasoning_status(void **state)
{
	struct ph_chain chain =
		CHAIN(STORED(A, "{'id':'r','type':'reasoning','status':'completed','summary':[]},"
				"{'id':'m','role':'assistant','status':'completed'}"));

	(void)state;
	assert_replay(&chain, A, "",
		"{'id':'r','type':'reasoning','summary':[]},{'id':'m','role':'assistant','status':'completed'"
		"}");
}

/* The follower of one run's reasoning is not the first item of the next run. */
static void test_reasoning_at_the_end(void **state)
{
	struct ph_chain chain =
		CHAIN(MINTED(A, "{'id':'r','type':'reasoning'}"), MINTED(A, "{'id':'m','role':'assistant'}"));

	(void)state;
	assert_replay(&chain, A, "", "{'id':'m','role':'assistant'}");
}

/* ---- whose ids ---- */

static void test_client_ids(void **state)
{
	struct ph_chain chain =
		CHAIN(CLIENT(A, "{'id':'mine','role':'user','client_metadata':1},"
				"{'id':'r','type':'reasoning'},{'id':'behind','role':'assistant'}"),
			STORED(A, "{'id':'m','role':'assistant'}"));
	struct ph_target codex = {.account = B, .client_ids = true};
	struct ph_bound bound;
	struct ph_buf out;

	(void)state;
	ph_buf_init(&out, 4096);
	assert_int_equal(ph_chain_replay(&chain, &codex, PH_STR_NONE, NULL, &out, &bound), 0);
	ph_assert_str(take(&out), q("{'id':'mine','role':'user','client_metadata':1},{'role':'assistant'},{'"
				    "role':'assistant'}"));
	assert_replay(&chain, B, "", "{'role':'user'},{'role':'assistant'},{'role':'assistant'}");
}

static void test_ids_everywhere(void **state)
{
	(void)state;
	assert_minted("{'id':'a','role':'assistant','i\\u0064':'b','id':null}", "{'role':'assistant'}");
	assert_minted("{'id':'a','type':'function_call'}", "{'type':'function_call'}");
	assert_minted("{ 'type':'function_call' , 'id' : 'a' }", "{ 'type':'function_call' }");
}

/* A row whose account is not known belongs to nobody, so nobody gets its ids. */
static void test_nobodys(void **state)
{
	struct ph_chain chain =
		CHAIN(MINTED(0, "{'id':'r','type':'reasoning'},{'id':'m','role':'assistant'}"));

	(void)state;
	assert_replay(&chain, A, "", "{'role':'assistant'}");
}

static void test_full(void **state)
{
	struct ph_chain chain = CHAIN(STORED(A, "{'id':'m','role':'assistant'}"));
	struct ph_target target = {.account = B};
	struct ph_bound bound;
	struct ph_buf out;

	(void)state;
	for (size_t room = 0; room < strlen("{'role':'assistant'},{}"); room++) {
		ph_buf_init(&out, room);
		assert_int_equal(
			ph_chain_replay(&chain, &target, q("{}"), NULL, &out, &bound), -PH_E_CHAIN_TOO_LARGE);
		ph_buf_deinit(&out);
	}
	ph_buf_init(&out, strlen("{'role':'assistant'},{}"));
	assert_int_equal(ph_chain_replay(&chain, &target, q("{}"), NULL, &out, &bound), 0);
	ph_assert_str(take(&out), q("{'role':'assistant'},{}"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages),
		TEST(test_calls_in_pairs),
		TEST(test_dropped),
		TEST(test_unknown_types),
		TEST(test_account_metadata),
		TEST(test_annotations),
		TEST(test_files),
		TEST(test_ciphertext_elsewhere),
		TEST(test_references_bind),
		TEST(test_compaction),
		TEST(test_approvals),
		TEST(test_unfinished_calls),
		TEST(test_reasoning),
		TEST(test_reasoning_status),
		TEST(test_reasoning_at_the_end),
		TEST(test_client_ids),
		TEST(test_ids_everywhere),
		TEST(test_nobodys),
		TEST(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
