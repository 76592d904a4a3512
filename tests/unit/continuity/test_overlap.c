/* SPDX-License-Identifier: Apache-2.0 */
/* History that a client sends together with an anchor counts once; what it says twice counts twice. */
#include "continuity_test.h"
#include "posthouse/clock.h"

#define U1 "{'role':'user','content':'one'}"
#define U2 "{'role':'user','content':'two'}"
#define U3 "{'role':'user','content':'three'}"
#define D1 "{'role':'developer','content':'be brief'}"
#define D2 "{'role':'system','content':'be kind'}"
#define R1 "{'id':'r1','type':'reasoning','encrypted_content':'c','summary':[]}"
#define A1                                                                                                   \
	"{'id':'m1','type':'message','role':'assistant','status':'completed','content':[{'type':'output_"    \
	"text','text':'uno','annotations':[]}]}"
#define A1_ "{'role':'assistant','content':[{'type':'output_text','text':'uno'}]}"
#define A1S "{'role':'assistant','content':'\\u0075no'}"
#define A2                                                                                                   \
	"{'id':'m2','type':'message','role':'assistant','status':'completed','content':[{'type':'output_"    \
	"text','text':'dos','annotations':[]}]}"
#define A2_ "{'content':[{'text':'dos','type':'output_text'}],'role':'assistant','type':'message'}"
#define C1                                                                                                   \
	"{'id':'f1','type':'function_call','call_id':'c1','name':'f','arguments':'{\\\"a\\\":1}','status':'" \
	"completed'}"
#define C1_ "{'type':'function_call','call_id':'c1','name':'f','arguments':'{\\\"a\\\":1}'}"
#define C2  "{'id':'f2','type':'function_call','call_id':'c2','name':'f','arguments':'{}'}"
#define C1_STAYS                                                                                             \
	"{'type':'function_call','call_id':'c1','name':'f','arguments':'{\\\"a\\\":1}','status':'completed'" \
	"}"
#define A1_NEUTRAL                                                                                           \
	"{'type':'message','role':'assistant','status':'completed','content':[{'type':'output_text','text':" \
	"'uno','annotations':[]}]}"
#define A2_NEUTRAL                                                                                           \
	"{'type':'message','role':'assistant','status':'completed','content':[{'type':'output_text','text':" \
	"'dos','annotations':[]}]}"
#define O1 "{'type':'function_call_output','call_id':'c1','output':'10'}"
#define O2 "{'type':'function_call_output','call_id':'c2','output':'20'}"

/* Two turns of account A: one, uno, two, dos. */
#define TWO_TURNS CHAIN(CLIENT(A, U1), STORED(A, A1), CLIENT(A, U2), STORED(A, R1 "," A2))
#define TWO_SENT  U1 "," A1 "," U2 "," R1 "," A2

/* ---- 4.4, sentence by sentence ---- */

static void test_nothing_sent_along(void **state)
{
	struct ph_chain chain = TWO_TURNS;

	(void)state;
	assert_replay(&chain, A, "", TWO_SENT);
	assert_replay(&chain, A, U3, TWO_SENT "," U3);
}

static void test_full_history(void **state)
{
	struct ph_chain chain = TWO_TURNS;

	(void)state;
	assert_replay(&chain, A, TWO_SENT "," U3, TWO_SENT "," U3);
	assert_replay(
		&chain, A, U1 "," A1_ "," U2 "," A2_ "," U3, TWO_SENT "," U3); /* without ids, no reasoning */
	assert_replay(&chain, A, U1 "," A1S " , " U2 ",\n" A2 "\t," U3, TWO_SENT "," U3);
	assert_replay(&chain, A, TWO_SENT, TWO_SENT); /* and nothing new */
	/* By id, though the text was changed. */
	assert_replay(&chain, A,
		U1 "," A1 "," U2
		   ",{'id':'m2','type':'message','role':'assistant','content':'cut by the client'}," U3,
		TWO_SENT "," U3);
}

static void test_end_of_history(void **state)
{
	struct ph_chain chain = TWO_TURNS;

	(void)state;
	assert_replay(&chain, A, A2 "," U3, TWO_SENT "," U3);
	assert_replay(&chain, A, U2 "," A2_ "," U3, TWO_SENT "," U3);
	assert_replay(&chain, A, R1 "," A2 "," U3, TWO_SENT "," U3);
}

/* What does not end where the chain ends is not its end: both are sent, as upstream would. */
static void test_edited_history(void **state)
{
	struct ph_chain chain = TWO_TURNS;

	(void)state;
	assert_replay(&chain, A, U1 "," A1_ "," U3, TWO_SENT "," U1 "," A1_ "," U3);
	assert_replay(
		&chain, A, U1 "," A1_ "," U3 "," A2_ "," U2, TWO_SENT "," U1 "," A1_ "," U3 "," A2_ "," U2);
	assert_replay(&chain, A, A2_ "," A2_ "," U3, TWO_SENT "," A2_ "," U3);
}

/* A call that has its answer is part of a history that differs; neither half goes without the other. */
static void test_edited_calls(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, C1), CLIENT(A, O1), STORED(A, A1));

	(void)state;
	assert_replay(&chain, A, U2 "," C1_ "," O1 "," A2_ "," U3,
		U1 "," C1 "," O1 "," A1 "," U2 "," C1_ "," O1 "," A2_ "," U3);
}

/* Items of hosted tools stay behind when a conversation moves: a history may hold them or not. */
static void test_hosted_items(void **state)
{
	static const char *const search = "{'id':'w1','type':'web_search_call','action':{'n':1}}";
	const char *made = ph_arena_printf(&memory, "%s," A1, search);
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, made));
	const char *with = ph_arena_printf(&memory, U1 ",%s," A1_ "," U2, search);
	struct ph_chain moved = CHAIN(CLIENT(A, U1), STORED(A, made), HISTORY(B, U1 "," A1_ "," U2));

	(void)state;
	assert_replay(&chain, A, with, ph_arena_printf(&memory, U1 ",%s," U2, made));
	assert_replay(&chain, A, U1 "," A1_ "," U2, ph_arena_printf(&memory, U1 ",%s," U2, made));
	assert_replay(&chain, B, with, U1 "," A1_NEUTRAL "," U2);
	/* As the turn was stored that came with it to another account. */
	assert_replay(&moved, A, U3, ph_arena_printf(&memory, U1 ",%s," U2 "," U3, made));
	assert_replay(&moved, B, U3, U1 "," A1_NEUTRAL "," U2 "," U3);
	/* In a history that was edited it is not sent twice. */
	assert_replay(&chain, A, ph_arena_printf(&memory, U2 ",%s," U3, search),
		ph_arena_printf(&memory, U1 ",%s," U2 "," U3, made));
}

/* A history may name what it repeats. */
static void test_references_repeat(void **state)
{
	struct ph_chain chain = TWO_TURNS;
	struct ph_found found = FOUND(
		{PH_STR("m1"), q(A1), A, true, NULL}, {PH_STR("m2"), q(A2), A, true, NULL}, MADE("r1", A));
	static const struct {
		const char *sent, *left;
	} cases[] = {
		{U1 ",{'id':'m1'}," U2 ",{'type':'item_reference','id':'r1'},{'id':'m2'}," U3, U3},
		{"{'id':'r1'},{'id':'m2'}," U3, U3},
		{"{'id':'m1'}," U3, "{'id':'m1'}," U3},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_target target = {.account = A};
		struct ph_bound bound;
		struct ph_str is;

		assert_int_equal(replay_with(&chain, target, q(cases[i].sent), &found, &is, &bound), 0);
		ph_assert_str(is, q(ph_arena_printf(&memory, TWO_SENT ",%s", cases[i].left)));
		target.account = B;
		assert_int_equal(replay_with(&chain, target, q(cases[i].sent), &found, &is, &bound), 0);
		assert_true(ph_str_find(is, PH_STR("\"id\"")) < 0);
	}
}

static void test_developer_items(void **state)
{
	struct ph_chain chain = TWO_TURNS;
	struct ph_chain told = CHAIN(CLIENT(A, D1 "," U1), STORED(A, A1));

	(void)state;
	/* Slipped in: they do not disturb the match, and the new ones stay. */
	assert_replay(
		&chain, A, D1 "," U1 "," A1_ "," D2 "," U2 "," A2_ "," U3, TWO_SENT "," D1 "," D2 "," U3);
	assert_replay(&chain, A, U1 "," A1_ "," U2 "," A2_ "," D1 "," U3, TWO_SENT "," D1 "," U3);
	/* Those that the chain holds count once, left out they do not disturb. */
	assert_replay(&told, A, D1 "," U1 "," A1_ "," U2, D1 "," U1 "," A1 "," U2);
	assert_replay(
		&told, A, D2 "," D1 "," U1 "," A1_ "," D2 "," U2, D1 "," U1 "," A1 "," D2 "," D2 "," U2);
	assert_replay(&told, A, U1 "," A1_ "," U2, D1 "," U1 "," A1 "," U2);
	/* Said again on purpose, behind the history. */
	assert_replay(&told, A, D1 "," U1 "," A1_ "," D1 "," U2, D1 "," U1 "," A1 "," D1 "," U2);
}

static void test_developer_item_at_the_end(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, A1), CLIENT(A, D1), CLIENT(A, D2));

	(void)state;
	assert_replay(&chain, A, U1 "," A1_ "," D1 "," D2 "," U2, U1 "," A1 "," D1 "," D2 "," U2);
	assert_replay(&chain, A, U1 "," A1_ "," D2 "," U2, U1 "," A1 "," D1 "," D2 "," U2);
	assert_replay(&chain, A, U1 "," A1_ "," U2, U1 "," A1 "," D1 "," D2 "," U2);
}

static void test_the_same_short_text(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, A1));
	struct ph_chain pending = CHAIN(CLIENT(A, U1));

	(void)state;
	assert_replay(&chain, A, U1, U1 "," A1 "," U1);
	assert_replay(&chain, A, U1 "," U1, U1 "," A1 "," U1 "," U1);
	/* Without output: the whole of the context with more behind it is history, less or just as much is
	 * not. */
	assert_replay(&pending, A, U1, U1 "," U1);
	assert_replay(&pending, A, U1 "," U2, U1 "," U2);
	assert_replay(&pending, A, U1 "," U1, U1 "," U1);
	assert_replay(&pending, A, U2 "," U1, U1 "," U2 "," U1);
}

/* A warm-up holds instructions only; a client starts with them once more. */
static void test_warm_up(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, D1 "," D2 "," U1));
	struct ph_chain words = CHAIN(CLIENT(A, D1));

	(void)state;
	assert_replay(&chain, A, U2, D1 "," D2 "," U1 "," U2);
	assert_replay(&chain, A, D1 "," D2 "," U1 "," U2, D1 "," D2 "," U1 "," U2);
	assert_replay(&chain, A, U1 "," U2, D1 "," D2 "," U1 "," U1 "," U2);
	assert_replay(&words, A, D1 "," U1, D1 "," U1);
	assert_replay(&words, A, D2 "," U1, D1 "," D2 "," U1);
	assert_replay(&words, A, "", D1);
}

/* ---- calls ---- */

static void test_calls(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, R1 "," C1));
	struct ph_chain two = CHAIN(CLIENT(A, U1), STORED(A, C1 "," C2));

	(void)state;
	assert_replay(&chain, A, O1, U1 "," R1 "," C1 "," O1);
	assert_replay(&chain, A, C1_ "," O1 "," U2, U1 "," R1 "," C1 "," O1 "," U2);
	assert_replay(&chain, A, R1 "," C1 "," O1 "," U2, U1 "," R1 "," C1 "," O1 "," U2);
	assert_replay(&two, A, C1_ "," C2 "," O1 "," O2, U1 "," C1 "," C2 "," O1 "," O2);
	/* Each call before its output. */
	assert_replay(&two, A, C1_ "," O1 "," C2 "," O2 "," U2, U1 "," C1 "," C2 "," O1 "," O2 "," U2);
	/* A call of the same id that is another call is not ours to judge. */
	assert_replay(&chain, A, "{'type':'function_call','call_id':'c1','name':'g','arguments':''}," O1,
		U1 "," R1 "," C1 ",{'type':'function_call','call_id':'c1','name':'g','arguments':''}," O1);
}

/* Reasoning that the chain holds is not sent a second time, wherever the client puts it. */
static void test_reasoning_again(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, R1 "," C1));

	(void)state;
	assert_replay(&chain, A, R1 "," O1, U1 "," R1 "," C1 "," O1);
	assert_replay(&chain, B, R1 "," O1, U1 "," C1_STAYS "," O1);
}

/* ---- at every hop ---- */

/* Turns that went live or forwarded stored the whole history that came with them, uncompared. */
static void test_every_hop(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, A1), HISTORY(A, U1 "," A1_ "," U2),
		STORED(A, A2), HISTORY(A, U1 "," A1_ "," U2 "," A2_ "," C1 "," O1 "," U3), STORED(A, C2));

	(void)state;
	assert_replay(&chain, A, O2, U1 "," A1 "," U2 "," A2 "," C1 "," O1 "," U3 "," C2 "," O2);
	assert_replay(&chain, A, U1 "," A1 "," U2 "," A2 "," C1_ "," O1 "," U3 "," C2 "," O2,
		U1 "," A1 "," U2 "," A2 "," C1 "," O1 "," U3 "," C2 "," O2);
	/* Unflagged, they would not be looked at; the flag is written with the turn. */
	for (size_t i = 0; i < chain.run_count; i++)
		chain.runs[i].outputs = false;
	assert_int_not_equal(replayed(&chain, A, q(O2)).n, 0);
	assert_true(ph_str_find(replayed(&chain, A, q(O2)), q(U1 "," A1 "," U1)) >= 0);
}

/* Cut by what was said, sent by who made it: another account gets no id of the first, in whatever order. */
static void test_moved(void **state)
{
	struct ph_chain chain = CHAIN(
		CLIENT(A, U1), STORED(A, R1 "," A1), HISTORY(B, U1 "," R1 "," A1 "," U2), STORED(B, A2));

	(void)state;
	assert_replay(&chain, B, U3, U1 "," A1_NEUTRAL "," U2 "," A2 "," U3);
	assert_replay(&chain, A, U3, U1 "," R1 "," A1 "," U2 "," A2_NEUTRAL "," U3);
	assert_replay(&chain, C, U3, U1 "," A1_NEUTRAL "," U2 "," A2_NEUTRAL "," U3);
}

/* An edited history matches nothing, but an id in it tells whose it is. */
static void test_edited_and_moved(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, U1), STORED(A, R1 "," A1), CLIENT(A, U2), STORED(A, A2));
	struct ph_chain stored =
		CHAIN(CLIENT(A, U1), STORED(A, A1), HISTORY(B, U2 "," A1 "," U3), STORED(B, A2));
	struct ph_str sent = replayed(&chain, B, q(U2 "," R1 "," A1 "," U3));

	(void)state;
	ph_assert_str(sent, q(U1 "," A1_NEUTRAL "," U2 "," A2_NEUTRAL "," U2 "," A1_NEUTRAL "," U3));
	ph_assert_str(
		replayed(&stored, B, PH_STR_NONE), q(U1 "," A1_NEUTRAL "," U2 "," A1_NEUTRAL "," U3 "," A2));
}

/* Ids that clients give may be anything, also the same for every item. */
static void test_clients_ids(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, "{'id':'1','role':'user','content':'one'}"));

	(void)state;
	assert_replay(&chain, A, "{'id':'1','role':'user','content':'two'}," U3,
		"{'id':'1','role':'user','content':'one'},{'id':'1','role':'user','content':'two'}," U3);
}

/* ---- what is the same ---- */

static uint64_t substance(const char *item)
{
	struct ph_item it;

	assert_true(ph_item_look(q(item), &it));
	return ph_item_substance(&it);
}

static void test_substance(void **state)
{
	static const char *const same[][2] = {
		{A1, A1_},
		{A1, A1S},
		{C1, C1_},
		{"{'role':'user','content':'a\\/b'}",
			"{ 'content' : [ {'type':'input_text','text':'a/b'} ],\n'role':'user' }"},
		{"{'role':'user','content':[{'text':'a'},{'text':'b'}]}",
			"{'role':'user','content':[{'text':'a','x':1},{'text':'b'}]}"},
		{"{'type':'message','role':'user','phase':'x','content':''}",
			"{'role':'user','content':null}"},
		{"{'type':'x_call','call_id':'c','input':{'a':[1,2]}}",
			"{'type':'x_call','call_id':'c','input':{ 'a' : [ 1 , 2 ] }}"},
		{"{'type':'web_search_call','id':'w','status':'completed','action':{'query':'a'}}",
			"{'type':'web_search_call','action':{'query':'a'}}"},
	};
	static const char *const different[][2] = {
		{A1, A2},
		{A1, "{'role':'user','content':'uno'}"},
		{C1, C2},
		{C1, "{'type':'custom_tool_call','call_id':'c1','name':'f','arguments':'{\\\"a\\\":1}'}"},
		{O1, "{'type':'function_call_output','call_id':'c1','output':'11'}"},
		{"{'role':'user','content':'a'}", "{'role':'user','content':'a '}"},
		{"{'role':'user','content':[{'type':'input_image','image_url':'a'}]}",
			"{'role':'user','content':[{'type':'input_image','image_url':'b'}]}"},
		{"{'type':'x_call','call_id':'c','input':{'a':[1,2]}}",
			"{'type':'x_call','call_id':'c','input':{'a':[12]}}"},
		{"{'type':'web_search_call','action':{'query':'a'}}",
			"{'type':'web_search_call','action':{'query':'b'}}"},
		{"{'role':'user','name':'a','content':''}", "{'role':'user','content':'a'}"},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(same); i++)
		if (substance(same[i][0]) != substance(same[i][1]))
			fail_msg("%s\n%s", same[i][0], same[i][1]);
	for (size_t i = 0; i < PH_COUNT(different); i++)
		if (substance(different[i][0]) == substance(different[i][1]))
			fail_msg("%s\n%s", different[i][0], different[i][1]);
}

static void test_map(void **state)
{
	struct ph_map m = {.v = NULL};

	(void)state;
	assert_int_equal(ph_map_get(&m, 5), 0);
	for (uint64_t k = 0; k < 10000; k += 2)
		*ph_map_at(&m, k * 64) = k + 1;
	for (uint64_t k = 0; k < 10000; k++)
		assert_int_equal(ph_map_get(&m, k * 64), k % 2 ? 0 : k + 1);
	*ph_map_at(&m, 4 * 64) = 7;
	assert_int_equal(ph_map_get(&m, 4 * 64), 7);
	assert_int_equal(m.n, 5000);
	ph_map_deinit(&m);
}

/* ---- the match against the rule, in its plainest form ---- */

enum {
	ALPHABET = 3
};

/* Letters are items: a and b the user's, c the assistant's. Returns what the rule leaves of `fresh`. */
static const char *by_rule(const char *context, const char *fresh)
{
	size_t c = strlen(context), f = strlen(fresh);

	for (size_t k = c < f ? c : f; k > 0; k--) {
		bool same = memcmp(context + c - k, fresh, k) == 0;
		bool output = memchr(context + c - k, 'c', k) != NULL;

		if (same && (output || (k == c && f > k)))
			return fresh + k;
	}
	return fresh;
}

static void put_letters(struct ph_buf *b, const char *letters)
{
	for (; *letters; letters++)
		ph_buf_printf(b, "%s{\"role\":\"%s\",\"content\":\"%c\"}", b->n ? "," : "",
			*letters == 'c' ? "assistant" : "user", *letters);
}

static struct ph_str letters(const char *text)
{
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	put_letters(&b, text);
	return take(&b);
}

static void random_letters(uint64_t *seed, char *dst, size_t max)
{
	size_t n = ph_test_below(seed, max);

	for (size_t i = 0; i < n; i++)
		dst[i] = (char)('a' + ph_test_below(seed, ALPHABET));
	dst[n] = '\0';
}

static void test_against_the_rule(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		char context[12], fresh[16], expected[32];
		struct ph_chain_run run;
		struct ph_chain chain = {.runs = &run, .run_count = 1};

		random_letters(&seed, context, sizeof context);
		random_letters(&seed, fresh, sizeof fresh);
		run = (struct ph_chain_run){
			.items = letters(context), .account = A, .outputs = strchr(context, 'c') != NULL};
		chain.run_count = context[0] ? 1 : 0;
		/* The comparison is made only where output is sent along, or the context has none. */
		snprintf(expected, sizeof expected, "%s%s", context,
			strchr(fresh, 'c') || !strchr(context, 'c') ? by_rule(context, fresh) : fresh);
		ph_assert_str(replayed(&chain, A, letters(fresh)), letters(expected));
		if (round % 100 == 0) {
			memory_teardown(NULL);
			memory_setup(NULL);
		}
	}
}

/* ---- bounds ---- */

/* n items in turns of two; alike: they all say the same. */
static struct ph_chain long_chain(size_t n, size_t size, bool alike)
{
	struct ph_chain chain = {.runs = ph_arena_alloc(&memory, n * sizeof *chain.runs), .run_count = n};
	char *filling = ph_arena_alloc(&memory, size + 1);

	memset(filling, 'x', size);
	for (size_t i = 0; i < n; i++) {
		bool user = i % 2 == 0;
		const char *text = ph_arena_printf(&memory, "{\"role\":\"%s\",\"content\":\"%zu\\n%s\"}",
			user ? "user" : "assistant", alike ? 0 : i, filling);

		chain.runs[i] = (struct ph_chain_run){ph_str_c(text), A, !user, true, false};
	}
	return chain;
}

static struct ph_str joined(const struct ph_chain *chain, size_t from, struct ph_str more)
{
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	for (size_t i = from; i < chain->run_count; i++)
		assert_int_equal(ph_items_append(&b, chain->runs[i].items), 0);
	assert_int_equal(ph_items_append(&b, more), 0);
	return take(&b);
}

static void timed(const char *what, const struct ph_chain *chain, struct ph_str sent, struct ph_str expected)
{
	uint64_t start = ph_clock_ns();
	struct ph_str is = replayed(chain, A, sent);
	uint64_t took = ph_clock_ns() - start;

	print_message("%s: %zu items, %zu KiB sent: %.1f ms\n", what, chain->run_count, sent.n / 1024,
		(double)took / 1e6);
	assert_true(ph_str_eq(is, expected));
	assert_true(took < UINT64_C(5000000000)); /* quadratic, it would be minutes */
}

/* In proportion to what is sent, also where nothing tells the items apart and nothing matches. */
static void test_time(void **state)
{
	struct ph_chain plain = long_chain(4000, 200, false), large = long_chain(4000, 1000, false),
			alike = long_chain(4000, 10, true), many = long_chain(40000, 10, true);
	struct ph_str next = q(U3);

	(void)state;
	timed("full history", &plain, joined(&plain, 0, next), joined(&plain, 0, next));
	timed("full history, 1 KB each", &large, joined(&large, 0, next), joined(&large, 0, next));
	timed("all alike", &alike, joined(&alike, 0, next), joined(&alike, 0, next));
	timed("all alike", &many, joined(&many, 0, next), joined(&many, 0, next));
	/* Out of step by one: the end matches, less one. */
	timed("all alike, one left out", &many, joined(&many, 1, next), joined(&many, 0, next));
}

/* A chain of turns that each stored the whole history before them. */
static void test_history_in_each_turn(void **state)
{
	struct ph_chain plain = long_chain(300, 50, false);
	struct ph_chain chain = {.runs = ph_arena_alloc(&memory, 300 * sizeof *chain.runs), .run_count = 300};
	struct ph_str next = q(U3);

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		chain.runs[i] = plain.runs[i];
		if (i % 2 || i == 0)
			continue;
		plain.run_count = i;
		chain.runs[i].items = joined(&plain, 0, plain.runs[i].items);
		chain.runs[i].outputs = true;
	}
	plain.run_count = 300;
	timed("history in each of 150 turns", &chain, joined(&plain, 0, next), joined(&plain, 0, next));
	timed("history in each of 150 turns", &chain, next, joined(&plain, 0, next));
}

static void test_too_many_items(void **state)
{
	struct ph_chain_run run = {.account = A, .minted = true};
	struct ph_chain chain = {.runs = &run, .run_count = 1};
	struct ph_buf b;
	struct ph_bound bound;
	struct ph_str ret;

	(void)state;
	ph_buf_init(&b, SIZE_MAX);
	for (size_t i = 0; i < PH_ITEMS_MAX - 1; i++)
		ph_buf_puts(&b, i ? PH_STR(",{}") : PH_STR("{}"));
	run.items = ph_buf_str(&b);
	assert_int_equal(replay_to(&chain, A, q(A1), &ret, &bound), 0);
	assert_int_equal(replay_to(&chain, A, q(A1 "," A2), &ret, &bound), -PH_E_CHAIN_TOO_LARGE);
	assert_int_equal(replay_to(&chain, A, q(U1 "," U2), &ret, &bound), 0); /* nothing to compare */
	ph_buf_deinit(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_sent_along),
		TEST(test_full_history),
		TEST(test_end_of_history),
		TEST(test_edited_history),
		TEST(test_edited_calls),
		TEST(test_hosted_items),
		TEST(test_references_repeat),
		TEST(test_developer_items),
		TEST(test_developer_item_at_the_end),
		TEST(test_the_same_short_text),
		TEST(test_warm_up),
		TEST(test_calls),
		TEST(test_reasoning_again),
		TEST(test_every_hop),
		TEST(test_moved),
		TEST(test_edited_and_moved),
		TEST(test_clients_ids),
		TEST(test_substance),
		TEST(test_map),
		TEST(test_against_the_rule),
		TEST(test_time),
		TEST(test_history_in_each_turn),
		TEST(test_too_many_items),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
