/* SPDX-License-Identifier: Apache-2.0 */
/* A request's own items for an account: references, items carried along, compaction items, and the same after
 * a refusal. */
#include "continuity_test.h"

/* What the tests' scope knows: things that A made, some of them kept there. */
#define KNOWN                                                                                                \
	FOUND({PH_STR("m"), q("{'id':'m','type':'message','role':'assistant','content':[]}"), A, true,       \
		      NULL},                                                                                 \
		{PH_STR("r"), q("{'id':'r','type':'reasoning','encrypted_content':'c'}"), A, false, NULL},   \
		{PH_STR("bare"), q("{'id':'bare','type':'reasoning','summary':[]}"), A, false, NULL},        \
		{PH_STR("n"), q("{'id':'n','type':'message','role':'assistant','content':[]}"), A, false,    \
			NULL},                                                                               \
		{PH_STR("only"), PH_STR_NONE, A, true, NULL},                                                \
		{PH_STR("k\"1"), q("{'id':'k\\\"1','type':'compaction','encrypted_content':'c'}"), A, false, \
			NULL})

static int prepare(const char *items, const struct ph_found *found, const struct ph_target *target,
	struct ph_str *ret, struct ph_bound *bound)
{
	struct ph_buf out;
	int rc;

	*bound = (struct ph_bound){.account = 0};
	ph_buf_init(&out, 64 * 1024);
	rc = ph_items_prepare(q(items), found, target, &out, bound);
	*ret = take(&out);
	return rc;
}

#define PLAIN(account_id) (&(struct ph_target){.account = account_id, .plain = true})
#define CODEX(account_id) (&(struct ph_target){.account = account_id, .client_ids = true})
#define TO(account_id)    (&(struct ph_target){.account = account_id})

#define assert_prepared(items, found, target, expected)                                                      \
	do {                                                                                                 \
		struct ph_str is;                                                                            \
		struct ph_bound bound;                                                                       \
		assert_int_equal(prepare(items, found, target, &is, &bound), 0);                             \
		ph_assert_str(is, q(expected));                                                              \
	} while (0)
#define assert_same(items, found, target) assert_prepared(items, found, target, items)

/* The account that alone could take it. */
static int64_t refused_of(
	const char *items, const struct ph_found *found, const struct ph_target *target, const char *type)
{
	struct ph_bound bound;
	struct ph_str is;

	assert_int_equal(prepare(items, found, target, &is, &bound), -PH_E_ACCOUNT_BOUND);
	assert_string_equal(bound.type, type);
	return bound.account;
}

/* ---- references ---- */

static void test_references(void **state)
{
	struct ph_found known = KNOWN;

	(void)state;
	assert_prepared("", &known, TO(A), "");
	assert_same("{'role':'user','content':'x'}", NULL, TO(A));
	/* The account that keeps it resolves it; the bytes stay the client's. */
	assert_same("{ 'id' : 'm' },{'role':'user','content':'x'}", &known, TO(A));
	/* What it made and did not keep comes whole; bare reasoning and the id behind it would not be found.
	 */
	assert_prepared("{'id':'r'},{'id':'n'}", &known, TO(A),
		"{'id':'r','type':'reasoning','encrypted_content':'c'},"
		"{'id':'n','type':'message','role':'assistant','content':[]}");
	assert_prepared("{'id':'bare'},{'id':'n'},{'id':'n'}", &known, TO(A),
		"{'type':'message','role':'assistant','content':[]},"
		"{'id':'n','type':'message','role':'assistant','content':[]}");
	/* Another account gets neither ids nor ciphertext. */
	assert_prepared("{'id':'r'},{'type':'item_reference','id':'m'},{'id':'n'},{'role':'user'}", &known,
		TO(B),
		"{'type':'message','role':'assistant','content':[]},"
		"{'type':'message','role':'assistant','content':[]},{'role':'user'}");
	/* For no account: all as it was made, and all else as it came. */
	assert_prepared("{'id':'r'},{'id':'m'},{'id':'only'},{'role':'assistant','id':'n'}", &known, NULL,
		"{'id':'r','type':'reasoning','encrypted_content':'c'},"
		"{'id':'m','type':'message','role':'assistant','content':[]},{'id':'only'},"
		"{'role':'assistant','id':'n'}");
	assert_prepared("{'id':'only'},{'id':'k\\\"1'}", &known, TO(A),
		"{'id':'only'},{'id':'k\\\"1','type':'compaction','encrypted_content':'c'}");
}

static void test_references_refused(void **state)
{
	struct ph_found known = KNOWN;
	struct ph_bound bound;
	struct ph_str is;

	(void)state;
	assert_int_equal(prepare("{'id':'foreign'}", &known, TO(A), &is, &bound), -PH_E_ITEM_UNKNOWN);
	assert_int_equal(prepare("{'id':'m'}", NULL, TO(A), &is, &bound), -PH_E_ITEM_UNKNOWN);
	assert_int_equal(prepare("{'id':'m'},{'type':'item_reference'}", &known, TO(A), &is, &bound),
		-PH_E_ITEM_UNKNOWN);
	assert_int_equal(prepare("{'id':'m','id':'m'}", &known, TO(A), &is, &bound), -PH_E_ITEM_UNKNOWN);
	assert_int_equal(refused_of("{'id':'only'}", &known, TO(B), "item_reference"), A);
	assert_int_equal(refused_of("{'id':'k\\\"1'}", &known, TO(B), "compaction"), A);
}

static void test_thousand_references(void **state)
{
	enum {
		N = 1024
	};
	struct ph_found found = {.items = calloc(N, sizeof *found.items), .n = N};
	struct ph_bound bound;
	struct ph_buf in, out, expected;

	(void)state;
	ph_buf_init(&in, SIZE_MAX);
	ph_buf_init(&out, SIZE_MAX);
	ph_buf_init(&expected, SIZE_MAX);
	for (int i = 0; i < N; i++) {
		found.items[i] = MADE(ph_arena_printf(&memory, "i%d", i), A);
		found.items[i].item = q(ph_arena_printf(
			&memory, "{'id':'i%d','type':'function_call','call_id':'c%d'}", i, i));
		ph_buf_printf(&in, "%s{\"id\":\"i%d\"}", i ? "," : "", N - 1 - i);
		ph_buf_printf(&expected, "%s{\"type\":\"function_call\",\"call_id\":\"c%d\"}", i ? "," : "",
			N - 1 - i);
	}
	assert_int_equal(ph_items_prepare(ph_buf_str(&in), &found, TO(B), &out, &bound), 0);
	ph_assert_str(take(&out), take(&expected));
	ph_buf_deinit(&in);
	free(found.items);
}

/* ---- items that the client carries along ---- */

#define ASKS    "{'role':'user','content':'1','id':'u'}"
#define THINKS  "{'type':'reasoning','id':'r','encrypted_content':'c','content':null}"
#define REASONS "{'type':'reasoning','id':'r7','encrypted_content':'c'}"
#define SAYS    "{'type':'message','role':'assistant','id':'m','created_by':'x','content':'2'}"
#define CALLS                                                                                                \
	"{'type':'function_call','id':'f','call_id':'c1','name':'n','arguments':'{}','status':'completed'}"
#define RETURNS  "{'type':'function_call_output','id':'fco','call_id':'c1','output':'o'}"
#define SEARCHES "{'type':'web_search_call','id':'w','action':{}}"

static void test_carried(void **state)
{
	static const char *const all = ASKS "," THINKS "," SAYS "," SEARCHES "," CALLS "," RETURNS;
	struct ph_found of_a = FOUND(MADE("r", A), MADE("m", A), MADE("w", A), MADE("f", A));
	struct ph_found of_both = FOUND(MADE("r", B), MADE("m", B), MADE("w", A), MADE("f", A));
	struct ph_found none = {.n = 0};

	(void)state;
	/* What the target made, and what nobody made that is known: as it came, byte for byte. */
	assert_same(all, &of_a, TO(A));
	assert_same(all, NULL, TO(A));
	assert_same(all, &none, TO(B));
	assert_same("{ 'role' : 'assistant', 'id':'x','n':1e400 }", &of_a, TO(B));
	/* Another's: neutral; the client's own words and ids stay. */
	assert_prepared(all, &of_a, TO(B),
		ASKS ",{'type':'message','role':'assistant','content':'2'},"
		     "{'type':'function_call','call_id':'c1','name':'n','arguments':'{}','status':'completed'"
		     "}," RETURNS);
	assert_prepared(all, &of_a, CODEX(B),
		ASKS ",{'type':'message','role':'assistant','content':'2'},"
		     "{'type':'function_call','call_id':'c1','name':'n','arguments':'{}','status':'completed'"
		     "}," RETURNS);
	/* Each is judged by its own maker. */
	assert_prepared(all, &of_both, TO(B),
		ASKS "," THINKS "," SAYS ",{'type':'function_call','call_id':'c1','name':'n','arguments':'{}'"
		     ",'status':'completed'}," RETURNS);
	assert_prepared(all, &of_both, TO(A),
		ASKS ",{'type':'message','role':'assistant','content':'2'}," SEARCHES "," CALLS "," RETURNS);
}

/* The follower of reasoning that was left out has no id, though nobody knows it. */
static void test_carried_follower(void **state)
{
	struct ph_found found = FOUND(MADE("r", A));

	(void)state;
	assert_prepared(THINKS ",{'role':'assistant','id':'strange'},{'role':'assistant','id':'next'}",
		&found, TO(B), "{'role':'assistant'},{'role':'assistant','id':'next'}");
	/* A compaction item is one with its id. */
	assert_prepared(THINKS ",{'type':'compaction','id':'strange','encrypted_content':'c'}", &found, TO(B),
		"{'type':'compaction','id':'strange','encrypted_content':'c'}");
}

/* A call that is left out takes its answer along, one that was cut short goes only with one. */
static void test_carried_pairs(void **state)
{
	struct ph_found found = FOUND(MADE("t", A), MADE("f", A), MADE("x", A));
	static const char *const cut =
		"{'type':'function_call','id':'f','call_id':'c1','status':'incomplete'}";

	(void)state;
	assert_prepared("{'type':'tool_search_call','id':'t','call_id':'s'},"
			"{'type':'tool_search_output','call_id':'s','tools':[]},{'role':'user'}",
		&found, TO(B), "{'role':'user'}");
	assert_same("{'type':'tool_search_call','id':'t','call_id':'s'},"
		    "{'type':'tool_search_output','call_id':'s','tools':[]},{'role':'user'}",
		&found, TO(A));
	assert_prepared("{'type':'new_call','id':'x','call_id':'s','encrypted_content':'c'},"
			"{'type':'new_call_output','call_id':'s'},{'type':'new_call_output','call_id':'s2'}",
		&found, TO(B), "{'type':'new_call_output','call_id':'s2'}");
	assert_prepared(
		ph_arena_printf(&memory, "%s,{'role':'user'}", cut), &found, TO(B), "{'role':'user'}");
	assert_same(ph_arena_printf(&memory, "%s,{'role':'user'}", cut), &found, TO(A));
	assert_prepared(ph_arena_printf(&memory, "%s," RETURNS, cut), &found, TO(B),
		"{'type':'function_call','call_id':'c1','status':'incomplete'}," RETURNS);
}

/* An approval that was taken goes as a pair; one that the account waits for cannot. */
static void test_carried_approvals(void **state)
{
	static const char *const asked = "{'id':'ap','type':'mcp_approval_request','name':'n'},"
					 "{'type':'mcp_approval_response','approval_request_id':'ap'}";
	struct ph_found found = FOUND(MADE("ap", A), MADE("k", A));

	(void)state;
	assert_prepared(ph_arena_printf(&memory,
				"{'role':'user'},%s,{'type':'mcp_call','id':'k'},{'role':'user'}", asked),
		&found, TO(B), "{'role':'user'},{'role':'user'}");
	assert_int_equal(refused_of(asked, &found, TO(B), "mcp_approval_request"), A);
	assert_int_equal(refused_of(ph_arena_printf(&memory, "{'type':'mcp_call','id':'k'},%s", asked),
				 &found, TO(B), "mcp_approval_request"),
		A);
	assert_same(asked, &found, TO(A));
}

/* Files of another account are bound; those of nobody known are the client's business. */
static void test_carried_files(void **state)
{
	static const char *const names =
		"{'type':'shell_call','id':'s','call_id':'c','environment':{'container_id':"
		"'cntr'}}";
	struct ph_found found = FOUND(MADE("s", A));

	(void)state;
	assert_int_equal(refused_of(names, &found, TO(B), "shell_call"), A);
	assert_same(names, &found, TO(A));
	assert_same(names, NULL, TO(B));
}

/* ---- compaction items ---- */

#define COMPACTED   "{'id':'k','type':'compaction','encrypted_content':'e'}"
#define U(text)     "{'role':'user','content':'" text "'}"
#define SAID(text)  "{'role':'assistant','content':'" text "'}"
#define SAID_(text) "{'id':'m','role':'assistant','content':'" text "'}"

static void test_compaction(void **state)
{
	struct ph_chain before = CHAIN(CLIENT(A, U("1")), STORED(A, SAID_("2")), CLIENT(B, U("3")),
		MINTED(B, SAID_("4")), CLIENT(A, U("5") ",{'type':'compaction_trigger'}"));
	struct ph_found found = FOUND({.id = PH_STR("k"), .account = A, .before = &before});
	struct ph_found alone = FOUND(MADE("k", A));
	struct ph_found referred =
		FOUND({PH_STR("k"), q(COMPACTED), A, false, &before}, {.id = PH_STR("other"), .account = B});

	(void)state;
	assert_same(COMPACTED "," U("6"), &found, TO(A));
	/* Each of the items by its own maker; the trigger is not replayed. */
	assert_prepared(COMPACTED "," U("6"), &found, TO(B),
		U("1") "," SAID("2") "," U("3") "," SAID_("4") "," U("5") "," U("6"));
	assert_prepared(U("0") "," COMPACTED "," U("6"), &found, TO(C),
		U("0") "," U("1") "," SAID("2") "," U("3") "," SAID("4") "," U("5") "," U("6"));
	assert_prepared(
		"{'id':'k'}", &referred, TO(C), U("1") "," SAID("2") "," U("3") "," SAID("4") "," U("5"));
	assert_prepared("{'id':'k'}", &referred, TO(A), COMPACTED);
	/* Of another account, and nobody knows what it replaced; of nobody's. */
	assert_int_equal(refused_of(U("0") "," COMPACTED, &alone, TO(B), "compaction"), A);
	assert_same(COMPACTED "," U("6"), NULL, TO(B));
	/* A request's trigger is the client's. */
	assert_same(U("0") ",{'type':'compaction_trigger'}", &found, TO(B));
}

/* Compaction items within what a compaction item replaced. */
static void test_compaction_nested(void **state)
{
	struct ph_chain first = CHAIN(CLIENT(A, U("1")), STORED(A, SAID("2")));
	struct ph_found in_second = FOUND({.id = PH_STR("k"), .account = A, .before = &first});
	struct ph_chain second = CHAIN(CLIENT(B, COMPACTED "," U("3")), STORED(B, SAID("4")));
	struct ph_found found = FOUND({.id = PH_STR("k2"), .account = B, .before = &second});
	static const char *const sent = "{'id':'k2','type':'compaction','encrypted_content':'e'}," U("5");

	(void)state;
	second.found = &in_second;
	assert_prepared(sent, &found, TO(C), U("1") "," SAID("2") "," U("3") "," SAID("4") "," U("5"));
	assert_same(sent, &found, TO(B));
	in_second.items[0].before = NULL;
	assert_int_equal(refused_of(sent, &found, TO(C), "compaction"), B);
}

/* A small request must not become any number of bytes, nor take any time. */
static void test_compaction_bounded(void **state)
{
	struct ph_chain empty = {.runs = NULL};
	struct ph_chain before = CHAIN(CLIENT(A, U("1")));
	struct ph_found found = FOUND({.id = PH_STR("k"), .account = A, .before = &empty});
	struct ph_buf in, out;
	struct ph_bound bound;

	(void)state;
	ph_buf_init(&in, SIZE_MAX);
	for (int i = 0; i < PH_EXPANSIONS_MAX; i++)
		assert_int_equal(ph_items_append(&in, q(COMPACTED)), 0);
	ph_buf_init(&out, 1024);
	assert_int_equal(ph_items_prepare(ph_buf_str(&in), &found, TO(B), &out, &bound), 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(ph_items_append(&in, q(COMPACTED)), 0);
	assert_int_equal(
		ph_items_prepare(ph_buf_str(&in), &found, TO(B), &out, &bound), -PH_E_CHAIN_TOO_LARGE);
	ph_buf_deinit(&in);
	ph_buf_deinit(&out);
	found.items[0].before = &before;
	ph_buf_init(&out, 10);
	assert_int_equal(ph_items_prepare(q(COMPACTED), &found, TO(B), &out, &bound), -PH_E_CHAIN_TOO_LARGE);
	ph_buf_deinit(&out);
}

/* In a chain: what an account compacted there is all there; what a client brought is expanded. */
static void test_compaction_in_chains(void **state)
{
	struct ph_chain before = CHAIN(CLIENT(A, U("1")), STORED(A, SAID("2")));
	struct ph_found found = FOUND({.id = PH_STR("k"), .account = A, .before = &before});
	struct ph_chain brought = CHAIN(CLIENT(A, COMPACTED "," U("3")), STORED(A, SAID("4")));
	struct ph_chain made =
		CHAIN(CLIENT(A, U("1") ",{'type':'compaction_trigger'}"), STORED(A, COMPACTED));
	struct ph_str is;
	struct ph_bound bound;

	(void)state;
	brought.found = &found;
	assert_replay(&brought, A, "", COMPACTED "," U("3") "," SAID("4"));
	assert_replay(&brought, B, "", U("1") "," SAID("2") "," U("3") "," SAID("4"));
	/* The trigger was obeyed: it is not sent again, to the owner neither, for whom the chain begins
	 * there. */
	assert_replay(&made, A, U("2"), COMPACTED "," U("2"));
	assert_replay(&made, B, U("2"), U("1") "," U("2"));
	assert_replay(&made, B, U("2") ",{'type':'compaction_trigger'}",
		U("1") "," U("2") ",{'type':'compaction_trigger'}");
	/* Carried along with an anchor: the request's own are expanded by what was found for the request,
	 * those that the chain holds count once. */
	assert_int_equal(replay_with(&made, *TO(B),
				 q("{'id':'k','type':'compaction','encrypted_content':'e'}," U("2")), &found,
				 &is, &bound),
		0);
	ph_assert_str(is, q(U("1") "," U("2")));
	found.items[0].id = PH_STR("k9");
	assert_int_equal(replay_with(&made, *TO(B),
				 q("{'id':'k9','type':'compaction','encrypted_content':'e'}," U("2")), &found,
				 &is, &bound),
		0);
	ph_assert_str(is, q(U("1") "," U("1") "," SAID("2") "," U("2")));
}

/* ---- after a refusal ---- */

static void test_plain(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{"", ""},
		{"{'role':'user','id':'u'}", "{'role':'user','id':'u'}"},
		{"{'type':'reasoning','id':'r'},{'id':'m','type':'message'},{'id':'n','type':'message'}",
			"{'type':'message'},{'id':'n','type':'message'}"},
		{"{'type':'reasoning'},{'type':'reasoning'},{'type':'function_call','id':'f'}",
			"{'type':'function_call'}"},
		{"{'role':'user'},{'type':'reasoning'}", "{'role':'user'}"},
		{"{'type':'reasoning'},{'type':'message','text':'x'}", "{'type':'message','text':'x'}"},
		{"{'type':'reasoning'},7,{'id':'n','role':'user'}", "7,{'id':'n','role':'user'}"},
		{"{'type':'web_search_call','id':'w'},{'type':'compaction','id':'x','encrypted_content':'c'}",
			"{'type':'web_search_call','id':'w'},{'type':'compaction','id':'x','encrypted_"
			"content':"
			"'c'}"},
	};
	struct ph_found known = KNOWN;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		assert_prepared(cases[i].from, NULL, PLAIN(A), cases[i].to);
		assert_prepared(cases[i].from, &known, PLAIN(A), cases[i].to);
	}
	/* References are replaced where that can be, of reasoning nothing is left. */
	assert_prepared("{'id':'m'},{'id':'r'},{'id':'n'},{'id':'only'}", &known, PLAIN(A),
		"{'id':'m','type':'message','role':'assistant','content':[]},"
		"{'type':'message','role':'assistant','content':[]},{'id':'only'}");
}

static void test_plain_compaction(void **state)
{
	struct ph_chain before = CHAIN(CLIENT(A, U("1")), STORED(A, THINKS "," SAID_("2")));
	struct ph_found found = FOUND({.id = PH_STR("k"), .account = A, .before = &before});
	struct ph_found alone = FOUND(MADE("k", A));

	(void)state;
	assert_prepared(COMPACTED "," U("3"), &found, PLAIN(A), U("1") "," SAID("2") "," U("3"));
	assert_same(COMPACTED "," U("3"), &alone, PLAIN(A));
}

static void test_plain_chain(void **state)
{
	struct ph_chain before = CHAIN(CLIENT(A, U("1")), STORED(A, THINKS "," SAID_("2")));
	struct ph_found found = FOUND({.id = PH_STR("k"), .account = A, .before = &before});
	struct ph_chain chain = CHAIN(CLIENT(A, COMPACTED "," U("3") "," THINKS "," SAID_("4")),
		STORED(A,
			THINKS "," SAID_(
				"5") ",{'id':'k5','type':'compaction','encrypted_content':'e'}," SAID_("6")));
	struct ph_bound bound;
	struct ph_str is;

	(void)state;
	assert_int_equal(replay_with(&chain, *PLAIN(A), q(REASONS "," SAID_("7")), NULL, &is, &bound), 0);
	ph_assert_str(is, q(COMPACTED "," U("3") "," SAID("4") "," SAID("5") "," SAID_("6") "," SAID("7")));
	chain.found = &found;
	assert_int_equal(replay_with(&chain, *PLAIN(A), q(U("7")), NULL, &is, &bound), 0);
	ph_assert_str(
		is, q(U("1") "," SAID("2") "," U("3") "," SAID("4") "," SAID("5") "," SAID_("6") "," U("7")));
}

/* ---- what is stored of a turn ---- */

#define assert_resolved(items, found, served, expected)                                                      \
	do {                                                                                                 \
		struct ph_bound bound;                                                                       \
		struct ph_buf out;                                                                           \
		ph_buf_init(&out, 64 * 1024);                                                                \
		assert_int_equal(ph_items_resolve(q(items), found, served, &out, &bound), 0);                \
		ph_assert_str(take(&out), q(expected));                                                      \
	} while (0)

/* A turn is stored with what its account may be sent again. */
static void test_resolve(void **state)
{
	struct ph_chain before = CHAIN(CLIENT(A, U("1")), STORED(A, SAID_("2")));
	struct ph_found known = KNOWN;
	struct ph_found found = FOUND({.id = PH_STR("k"), .account = A, .before = &before}, MADE("r", A));

	(void)state;
	assert_resolved("{'id':'r'},{'id':'m'},{'id':'only'}", &known, TO(A),
		"{'id':'r','type':'reasoning','encrypted_content':'c'},"
		"{'id':'m','type':'message','role':'assistant','content':[]},{'id':'only'}");
	assert_resolved(
		"{'id':'r'},{'id':'m'}", &known, TO(B), "{'type':'message','role':'assistant','content':[]}");
	assert_resolved(COMPACTED "," THINKS "," U("3") ",{'type':'compaction_trigger'}", &found, TO(A),
		COMPACTED "," THINKS "," U("3") ",{'type':'compaction_trigger'}");
	assert_resolved(COMPACTED "," THINKS "," U("3"), &found, TO(B), U("1") "," SAID("2") "," U("3"));
}

/* Stored at B, moved to C, back to A: nothing of A's is in it, though A made some of it. */
static void test_resolve_moves(void **state)
{
	static const char *const sent = ASKS "," THINKS "," SAYS "," SEARCHES "," U("3");
	struct ph_found of_a = FOUND(MADE("r", A), MADE("m", A), MADE("w", A));
	struct ph_chain chain =
		CHAIN(HISTORY(B, ""), MINTED(B, "{'role':'assistant','id':'mb','content':'4'}"));
	struct ph_bound bound;
	struct ph_buf out;

	(void)state;
	ph_buf_init(&out, 4096);
	assert_int_equal(ph_items_resolve(q(sent), &of_a, TO(B), &out, &bound), 0);
	chain.runs[0].items = take(&out);
	assert_replay(&chain, B, "",
		ASKS ",{'type':'message','role':'assistant','content':'2'}," U(
			"3") ",{'role':'assistant','id':'mb','content':'4'}");
	assert_replay(&chain, A, "",
		U("1") ",{'type':'message','role':'assistant','content':'2'}," U("3") "," SAID("4"));
	assert_replay(&chain, C, "",
		U("1") ",{'type':'message','role':'assistant','content':'2'}," U("3") "," SAID("4"));
	/* The same history once more with the anchor, as the client has it: not doubled, on none of them. */
	for (int64_t account = A; account <= C; account++) {
		struct ph_str is;

		assert_int_equal(replay_with(&chain, *TO(account),
					 q(ph_arena_printf(&memory, "%s," SAID_("4") "," U("5"), sent)),
					 &of_a, &is, &bound),
			0);
		ph_assert_str(is, q(ph_arena_printf(&memory, "%.*s," U("5"),
					  PH_STR_ARG(replayed(&chain, account, PH_STR_NONE)))));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_references),
		TEST(test_references_refused),
		TEST(test_thousand_references),
		TEST(test_carried),
		TEST(test_carried_follower),
		TEST(test_carried_pairs),
		TEST(test_carried_approvals),
		TEST(test_carried_files),
		TEST(test_compaction),
		TEST(test_compaction_nested),
		TEST(test_compaction_bounded),
		TEST(test_compaction_in_chains),
		TEST(test_plain),
		TEST(test_plain_compaction),
		TEST(test_plain_chain),
		TEST(test_resolve),
		TEST(test_resolve_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
