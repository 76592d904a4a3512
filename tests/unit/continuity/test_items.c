/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of items: what is read of them, ids whose makers matter, and the page of input_items. */
#include "continuity_test.h"

/* ---- looking ---- */

static struct ph_item look(const char *text)
{
	struct ph_item it;

	assert_true(ph_item_look(q(text), &it));
	return it;
}

static void test_members(void **state)
{
	struct ph_item it =
		look("{\t'ty\\u0070e' : 'message',\n'id':'a', 'x':{'id':'b','type':'c'}, 'id':'d' }");

	(void)state;
	ph_assert_str(it.m[PH_ITEM_TYPE], q("'message'"));
	ph_assert_str(it.m[PH_ITEM_ID], q("'d'"));
	assert_int_equal(ph_item_kind(&it, PH_ITEM_ROLE), PH_JSON_ABSENT);
	assert_true(it.twice);
	assert_false(it.reference);
	assert_false(look("{'x':1,'x':2,'id':'a'}").twice);
	assert_false(ph_item_look(q("'text'"), &it));
	assert_false(ph_item_look(q("[{'id':'a'}]"), &it));
	assert_false(ph_item_look(q("17"), &it));
}

static void test_reference_forms(void **state)
{
	(void)state;
	assert_true(look("{'type':'item_reference','id':'a'}").reference);
	assert_true(look("{'id':'a'}").reference);
	assert_true(look("{'id':'a','type':null}").reference);
	assert_true(look("{'type':'item\\u005freference','id':'a'}").reference);
	assert_true(look("{'type':'item_reference'}").reference);
	assert_false(look("{'id':'a','role':'user','content':'x'}").reference);
	assert_false(look("{'id':'a','content':'x'}").reference);
	assert_false(look("{'id':'a','type':'message'}").reference);
	assert_false(look("{'id':5}").reference);
	assert_false(look("{}").reference);
	/* Readers that take the first of two see a reference here, those that take the last a message. */
	assert_true(look("{'type':'item_reference','id':'a','type':'message','role':'user','content':'x'}")
			.reference);
}

static void test_output_like(void **state)
{
	static const struct {
		const char *item;
		bool is;
	} cases[] = {
		{"{'role':'assistant','content':'x'}", true},
		{"{'type':'message','role':'assistant'}", true},
		{"{'type':'function_call'}", true},
		{"{'type':'web_search_call'}", true},
		{"{'type':'reasoning'}", true},
		{"{'type':'compaction'}", true},
		{"{'type':'function_call_output'}", false},
		{"{'role':'user','content':'function_call'}", false},
		{"{'role':'developer'}", false},
		{"{'content':{'role':'assistant'}}", false},
		{"{}", false},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_item it = look(cases[i].item);

		assert_int_equal(ph_item_output_like(&it), cases[i].is);
	}
}

/* The same facts whether the list is walked or passes in its body. */
static struct ph_items_facts facts_of(const char *items)
{
	static const struct ph_str names[] = {PH_STR("model"), PH_STR("input")};
	struct ph_items_facts walked, passed;
	struct ph_json_member m[2];
	struct ph_buf b;

	ph_items_look(q(items), &walked);
	ph_buf_init(&b, 65536);
	ph_buf_puts(&b, PH_STR("{\"tools\":[{\"type\":\"reasoning\"}],\"input\":["));
	ph_buf_puts(&b, q(items));
	ph_buf_puts(&b, PH_STR("],\"model\":\"m\"}"));
	assert_int_equal(ph_items_scan(ph_buf_str(&b), names, 2, 1, NULL, m, &passed, NULL), 0);
	assert_int_equal(m[0].kind, PH_JSON_STRING);
	assert_int_equal(m[1].kind, PH_JSON_ARRAY);
	assert_memory_equal(&walked, &passed, sizeof walked);
	ph_buf_deinit(&b);
	return walked;
}

static void test_facts(void **state)
{
	static const struct ph_str name = PH_STR_INIT("input");
	struct ph_items_facts f;
	struct ph_json_member m;

	(void)state;
	f = facts_of("");
	assert_false(f.output_like || f.references);
	f = facts_of("1, 'x' ,{'role':'user'}");
	assert_false(f.output_like || f.references);
	f = facts_of("{'role':'user'},{'role':'assistant'}");
	assert_true(f.output_like && !f.references);
	f = facts_of("{'role':'user'},{'id':'a'}");
	assert_true(f.references && !f.output_like && !f.carried);
	f = facts_of("{'role':'user','id':'u'},{'role':'assistant'}");
	assert_false(f.carried);
	f = facts_of("{'role':'assistant','id':'m'}");
	assert_true(f.carried);
	f = facts_of("{'type':'reasoning','encrypted_content':'c'}");
	assert_true(f.carried);
	f = facts_of("{'type':'reasoning'},['encrypted_content','c'],{'id':'a','role':'user'}");
	assert_true(f.output_like && !f.carried && !f.references);
	assert_int_equal(ph_items_scan(q("{'input':'text'}"), &name, 1, 0, NULL, &m, &f, NULL), 0);
	assert_false(f.output_like || f.references || f.carried);
	assert_int_equal(
		ph_items_scan(q("{'input':[{'id':'a'}"), &name, 1, 0, NULL, &m, &f, NULL), -PH_E_JSON_BAD);
}

static bool is_wanted(struct ph_str name, bool escaped)
{
	return escaped || ph_str_eq(name, PH_STR("\"wanted\""));
}

/* At whatever depth, and in whichever member. */
static void test_names_in_passing(void **state)
{
	static const struct {
		const char *body;
		bool named;
	} cases[] = {
		{"{'input':[{'a':[{'wanted':1}]}]}", true},
		{"{'input':[{'wanted':1},{'b':2}]}", true},
		{"{'input':[1,[{'wanted':1}]]}", true},
		{"{'tools':[{'b':{'c':1,'wanted':1}}],'input':[]}", true},
		{"{'input':'text','d':{'wanted':{}}}", true},
		{"{'wanted':1}", true},
		{"{'input':[{'a':{'w\\u0061nted':1}}]}", true},
		{"{'input':[{'a':'wanted'}],'b':['wanted']}", false},
		{"{}", false},
	};
	static const struct ph_str name = PH_STR_INIT("input");
	struct ph_items_facts f;
	struct ph_json_member m;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		assert_int_equal(ph_items_scan(q(cases[i].body), &name, 1, 0, is_wanted, &m, &f, NULL), 0);
		assert_int_equal(f.named, cases[i].named);
	}
}

static void test_without(void **state)
{
	static const struct ph_str drop[] = {PH_STR_INIT("id"), PH_STR_INIT("status")};
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"{}", "{}"},
		{"{ }", "{ }"},
		{"{'id':1}", "{}"},
		{"{ 'id' : 1 }", "{  }"},
		{"{'id':1,'status':2}", "{}"},
		{"{'id':1,'a':2}", "{'a':2}"},
		{"{'a':2,'id':1}", "{'a':2}"},
		{"{ 'a' : 2 , 'id':1 , 'b':3 }", "{ 'a' : 2 , 'b':3 }"},
		{"{'id':1,'a':{'id':2},'id':3,'i\\u0064':4,'b':[{'status':5}]}",
			"{'a':{'id':2},'b':[{'status':5}]}"},
		{"{'a':1e400,'a':01,'n':'\\u0000'}", "{'a':1e400,'a':01,'n':'\\u0000'}"},
		{"'id'", "'id'"},
		{"17", "17"},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_buf b;

		ph_buf_init(&b, SIZE_MAX);
		ph_item_without(&b, q(cases[i].from), drop, 2);
		ph_assert_str(take(&b), q(cases[i].to));
	}
}

static void test_append(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 7);
	assert_int_equal(ph_items_append(&b, PH_STR_NONE), 0);
	assert_int_equal(ph_items_append(&b, PH_STR("{1}")), 0);
	assert_int_equal(ph_items_append(&b, PH_STR("")), 0);
	assert_int_equal(ph_items_append(&b, PH_STR("{2}")), 0);
	ph_assert_str(ph_buf_str(&b), PH_STR("{1},{2}"));
	assert_int_equal(ph_items_append(&b, PH_STR("{3}")), -PH_E_CHAIN_TOO_LARGE);
	ph_buf_deinit(&b);
}

/* ---- what names an account's things ---- */

static void test_names(void **state)
{
	static const struct {
		const char *json;
		int names;
	} cases[] = {
		{"{'file_id':'f'}", PH_NAMES_FILE},
		{"{'a':[{'b':{'file_id' : 'f'}}]}", PH_NAMES_FILE},
		{"{'file\\u005fid':'f'}", PH_NAMES_FILE},
		{"{'file_ids':['f']}", PH_NAMES_FILE},
		{"{'container':'cntr_1'}", PH_NAMES_FILE},
		{"{'container':{'type':'auto','file_ids':[]}}", 0},
		{"{'environment':{'type':'container_reference','container_id':'c'}}", PH_NAMES_FILE},
		{"{'vector_store_ids':[ 'v' ]}", PH_NAMES_FILE},
		{"{'encrypted_content':'x'}", PH_NAMES_CIPHERTEXT},
		{"{'encrypted_content':'x','file_id':'f'}", PH_NAMES_CIPHERTEXT | PH_NAMES_FILE},
		/* Printed by an SDK, and named by nothing. */
		{"{'file_id':null,'encrypted_content':null,'file_ids':null}", 0},
		{"{'file_id':'','encrypted_content':'','file_ids':[ ],'vector_store_ids':[]}", 0},
		/* A schema, a word, an escaped text, a longer name. */
		{"{'properties':{'file_id':{'type':'string'}},'required':['file_id']}", 0},
		{"{'text':'file_id','x':['file_id','f']}", 0},
		{"{'arguments':'{\\\"file_id\\\":\\\"f\\\"}'}", 0},
		{"{'a':'\\\\','file_id':'f'}", PH_NAMES_FILE},
		{"{'a':'\\\\\\\"','b':'\\\"file_id\\\":\\\"f\\\"'}", 0},
		{"{'my_file_id':'f','file_id_':'g'}", 0},
		{"{'file_id'", 0},
		{"{'file_id':", 0},
		{"{'file_id", 0},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++)
		if (ph_item_names(q(cases[i].json)) != cases[i].names)
			fail_msg("%s", cases[i].json);
}

/* ---- ids whose makers matter ---- */

static int ids_of(const char *items, struct ph_item_id *ret, size_t max)
{
	return ph_items_ids(q(items), &memory, ret, max);
}

static void test_ids(void **state)
{
	struct ph_item_id ids[4];
	struct ph_buf b;

	(void)state;
	assert_int_equal(ids_of("", ids, 4), 0);
	assert_int_equal(ids_of("{'role':'user','content':'x','id':'mine'},5", ids, 4), 0);
	assert_int_equal(
		ids_of("{'id':'a'},{'role':'user'},{'type':'item_reference','id':'b\\u0063\\\"'}", ids, 4),
		2);
	ph_assert_str(ids[0].id, PH_STR("a"));
	ph_assert_str(ids[1].id, PH_STR("bc\""));
	assert_true(ids[0].reference && ids[1].reference && !ids[0].compaction);
	assert_int_equal(ids_of("{'type':'item_reference'}", ids, 4), -PH_E_PARAM_BAD);
	assert_int_equal(ids_of("{'type':'item_reference','id':7}", ids, 4), -PH_E_PARAM_BAD);
	assert_int_equal(ids_of("{'id':'a'},{'id':'b'}", ids, 1), -PH_E_PARAM_BAD);
	/* Which of the two counts is upstream's guess. */
	assert_int_equal(ids_of("{'type':'item_reference','id':'a','id':'b'}", ids, 4), -PH_E_PARAM_BAD);
	assert_int_equal(
		ids_of("{'type':'item_reference','id':'a','type':'message'}", ids, 4), -PH_E_PARAM_BAD);
	/* Size hides nothing. */
	ph_buf_init(&b, SIZE_MAX);
	ph_buf_puts(&b, q("{'type':'item_reference',"));
	for (int i = 0; i < 5000; i++)
		ph_buf_putc(&b, ' ');
	ph_buf_puts(&b, q("'id':'a','pad':'"));
	for (int i = 0; i < 5000; i++)
		ph_buf_putc(&b, 'x');
	ph_buf_puts(&b, q("'}"));
	assert_int_equal(ph_items_ids(ph_buf_str(&b), &memory, ids, 4), 1);
	ph_assert_str(ids[0].id, PH_STR("a"));
	ph_buf_deinit(&b);
}

static void test_ids_carried(void **state)
{
	static const struct {
		const char *item;
		bool carried;
	} cases[] = {
		{"{'role':'assistant','id':'a'}", true},
		{"{'type':'message','role':'assistant','id':'a'}", true},
		{"{'type':'reasoning','id':'a'}", true},
		{"{'type':'function_call','id':'a'}", true},
		{"{'type':'compaction','id':'a'}", true},
		{"{'type':'mcp_list_tools','id':'a'}", true},
		{"{'type':'tool_search_output','id':'a'}", true},
		{"{'type':'shell_call_output','id':'a'}", true},
		{"{'type':'from_the_future','id':'a'}", true},
		{"{'type':'function_call_output','id':'a','encrypted_content':'c'}", true},
		/* Clients' own, without an id, or with one that is none. */
		{"{'role':'user','id':'a'}", false},
		{"{'type':'message','role':'developer','id':'a'}", false},
		{"{'type':'function_call_output','id':'a'}", false},
		{"{'type':'mcp_approval_response','id':'a'}", false},
		{"{'type':'compaction_trigger','id':'a'}", false},
		{"{'type':'reasoning'}", false},
		{"{'type':'reasoning','id':null}", false},
		{"{'role':'assistant'}", false},
	};
	struct ph_item_id ids[2];

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++)
		if (ids_of(cases[i].item, ids, 2) != (int)cases[i].carried)
			fail_msg("%s", cases[i].item);
	assert_int_equal(ids_of("{'type':'compaction','id':'c'}", ids, 2), 1);
	assert_true(ids[0].compaction && !ids[0].reference);
}

/* Of carried items the last ones count, of references all. */
static void test_ids_bounded(void **state)
{
	static const char *const items =
		"{'type':'reasoning','id':'r1'},{'id':'x1'},{'type':'reasoning','id':'"
		"r2'},{'type':'reasoning','id':'r3'},{'id':'x2'}";
	struct ph_item_id ids[5];

	(void)state;
	assert_int_equal(ids_of(items, ids, 5), 5);
	ph_assert_str(ids[0].id, PH_STR("r1"));
	assert_int_equal(ids_of(items, ids, 3), 3);
	ph_assert_str(ids[0].id, PH_STR("x1"));
	ph_assert_str(ids[1].id, PH_STR("r3"));
	ph_assert_str(ids[2].id, PH_STR("x2"));
	assert_int_equal(ids_of(items, ids, 2), 2);
	ph_assert_str(ids[1].id, PH_STR("x2"));
	assert_int_equal(ids_of(items, ids, 1), -PH_E_PARAM_BAD);
}

/* ---- pages ---- */

static int page(const char *items, const char *id, const char *after, size_t limit, bool ascending,
	struct ph_str *ret)
{
	struct ph_page p = {.after = ph_str_c(after), .limit = limit, .ascending = ascending};
	struct ph_buf out;
	int rc;

	ph_buf_init(&out, 4096);
	rc = ph_items_page(q(items), ph_str_c(id), &p, &out);
	*ret = take(&out);
	return rc;
}

#define assert_page(items, id, after, limit, ascending, expected)                                            \
	do {                                                                                                 \
		struct ph_str is;                                                                            \
		assert_int_equal(page(items, id, after, limit, ascending, &is), 0);                          \
		ph_assert_str(is, q(expected));                                                              \
	} while (0)

#define THREE "{'id':'a','n':1e400},{'role':'user','content':'\\u0000'} ,{'id':'c'}"

/* Content that came as a string is shown as a list. */
#define SHOWN "'content':[{'type':'input_text','text':'\\u0000'}],'type':'message','role':'user'"

static void test_page(void **state)
{
	(void)state;
	assert_page("", "resp_1", "", 20, true,
		"{'object':'list','data':[],'first_id':null,'last_id':null,'has_more':false}");
	assert_page(THREE, "resp_1", "", 20, true,
		"{'object':'list','data':[{'id':'a','n':1e400},{'id':'item_resp_1_1'," SHOWN "},"
		"{'id':'c'}],'first_id':'a','last_id':'c','has_more':false}");
	assert_page(THREE, "resp_1", "", 20, false,
		"{'object':'list','data':[{'id':'c'},{'id':'item_resp_1_1'," SHOWN "},"
		"{'id':'a','n':1e400}],'first_id':'c','last_id':'a','has_more':false}");
	assert_page(THREE, "resp_1", "", 1, true,
		"{'object':'list','data':[{'id':'a','n':1e400}],'first_id':'a','last_id':'a','has_more':"
		"true}");
	assert_page(THREE, "resp_1", "", 1, false,
		"{'object':'list','data':[{'id':'c'}],'first_id':'c','last_id':'c','has_more':true}");
	assert_page(THREE, "resp_1", "a", 1, true,
		"{'object':'list','data':[{'id':'item_resp_1_1'," SHOWN "}],"
		"'first_id':'item_resp_1_1','last_id':'item_resp_1_1','has_more':true}");
	assert_page(THREE, "resp_1", "item_resp_1_1", 5, true,
		"{'object':'list','data':[{'id':'c'}],'first_id':'c','last_id':'c','has_more':false}");
	assert_page(THREE, "resp_1", "item_resp_1_1", 5, false,
		"{'object':'list','data':[{'id':'a','n':1e400}],'first_id':'a','last_id':'a','has_more':"
		"false}");
	assert_page(THREE, "resp_1", "c", 5, true,
		"{'object':'list','data':[],'first_id':null,'last_id':null,'has_more':false}");
	assert_page(THREE, "resp_1", "a", 5, false,
		"{'object':'list','data':[],'first_id':null,'last_id':null,'has_more':false}");
}

static void test_page_unknown(void **state)
{
	struct ph_str is;

	(void)state;
	assert_int_equal(page(THREE, "resp_1", "b", 5, true, &is), -PH_E_ITEM_UNKNOWN);
	assert_int_equal(page(THREE, "resp_1", "item_resp_1_0", 5, true, &is), -PH_E_ITEM_UNKNOWN);
	assert_int_equal(page(THREE, "resp_1", "item_resp_2_1", 5, true, &is), -PH_E_ITEM_UNKNOWN);
	assert_int_equal(page("", "resp_1", "a", 5, false, &is), -PH_E_ITEM_UNKNOWN);
}

/* An id that is null or a number is none; ids may hold anything; what is no object stays what it is. */
static void test_page_odd(void **state)
{
	(void)state;
	assert_page("{'id':null,'role':'user'},{ 'role':'user' , 'id':7}", "r", "", 5, true,
		"{'object':'list','data':[{'id':'item_r_0','role':'user'},{'id':'item_r_1','role':'user'}],"
		"'first_id':'item_r_0','last_id':'item_r_1','has_more':false}");
	assert_page("{},{ 'id' : null }", "r", "", 5, true,
		"{'object':'list','data':[{'id':'item_r_0'},{'id':'item_r_1'}],"
		"'first_id':'item_r_0','last_id':'item_r_1','has_more':false}");
	assert_page("{'a':1}", "r\"\\/\xc3\xa9", "", 5, true,
		"{'object':'list','data':[{'id':'item_r\\\"\\\\/\xc3\xa9_0','a':1}],"
		"'first_id':'item_r\\\"\\\\/\xc3\xa9_0','last_id':'item_r\\\"\\\\/"
		"\xc3\xa9_0','has_more':false}");
	assert_page("{'a':1},{'b':2}", "r\"\\/\xc3\xa9", "item_r\"\\/\xc3\xa9_0", 1, true,
		"{'object':'list','data':[{'id':'item_r\\\"\\\\/\xc3\xa9_1','b':2}],"
		"'first_id':'item_r\\\"\\\\/\xc3\xa9_1','last_id':'item_r\\\"\\\\/"
		"\xc3\xa9_1','has_more':false}");
	assert_page("{'id':'\\u00e9'},{'id':'x'}", "r", "\xc3\xa9", 5, true,
		"{'object':'list','data':[{'id':'x'}],'first_id':'x','last_id':'x','has_more':false}");
	assert_page("'text',5", "r", "", 5, true,
		"{'object':'list','data':['text',5],'first_id':'item_r_0','last_id':'item_r_1','has_more':"
		"false}");
}

/* Page after page, both ways, gives every item once. */
static void test_page_walk(void **state)
{
	struct ph_buf items;
	char after[64];

	(void)state;
	ph_buf_init(&items, 64 * 1024);
	for (int i = 0; i < 50; i++)
		ph_buf_printf(
			&items, i % 3 ? "%s{\"n\":%d}" : "%s{\"n\":%d,\"id\":\"i%d\"}", i ? "," : "", i, i);
	for (int way = 0; way < 2; way++) {
		int seen = 0;

		after[0] = '\0';
		for (bool more = true; more;) {
			static const struct ph_str names[] = {
				PH_STR_INIT("data"), PH_STR_INIT("last_id"), PH_STR_INIT("has_more")};
			struct ph_json_member m[3];
			struct ph_str text, item, last;

			assert_int_equal(page(ph_arena_dup(&memory, ph_buf_str(&items)).p, "r", after, 7,
						 way == 0, &text),
				0);
			assert_true(ph_json_find(text, names, 3, m));
			for (size_t at = 0; ph_json_next(m[0].value, &at, &item); seen++) {
				static const struct ph_str n = PH_STR_INIT("n");
				struct ph_json_member number;
				uint64_t v;

				assert_true(ph_json_find(item, &n, 1, &number));
				assert_true(ph_json_u64(number.value, &v));
				assert_int_equal(v, way == 0 ? seen : 49 - seen);
			}
			assert_true(ph_json_text(m[1].value, &memory, &last));
			ph_str_copy(after, sizeof after, last);
			more = m[2].kind == PH_JSON_TRUE;
		}
		assert_int_equal(seen, 50);
	}
	ph_buf_deinit(&items);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_members),
		TEST(test_reference_forms),
		TEST(test_output_like),
		TEST(test_facts),
		TEST(test_names_in_passing),
		TEST(test_without),
		TEST(test_append),
		TEST(test_names),
		TEST(test_ids),
		TEST(test_ids_carried),
		TEST(test_ids_bounded),
		TEST(test_page),
		TEST(test_page_unknown),
		TEST(test_page_odd),
		TEST(test_page_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
