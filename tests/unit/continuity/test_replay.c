/* SPDX-License-Identifier: Apache-2.0 */
/* A chain as one list: order, the owner's bytes, provenance kept over folds, and conversations at random. */
#include "model.h"

/* ---- order and bytes ---- */

static void test_order(void **state)
{
	struct ph_chain empty = {.runs = NULL},
			chain = CHAIN(CLIENT(A, "1,2"), STORED(A, "3"), CLIENT(A, ""), MINTED(A, "4,5"));

	(void)state;
	assert_replay(&empty, A, "", "");
	assert_replay(&empty, A, "{'role':'user'}", "{'role':'user'}");
	assert_replay(&chain, A, "", "1,2,3,4,5");
	assert_replay(&chain, A, "6", "1,2,3,4,5,6");
}

/* What a parser that prints anew would change. */
static void test_owner_bytes(void **state)
{
	static const char *const odd =
		" { 'type' :\t'message' ,\r\n 'role' : 'assistant','n':[1e400,-0,1.0,1E+2,"
		"12345678901234567890,0.1000000000000000055511151231257827],'twice':1,'twice':2,"
		"'nul\\u0000':'\\u0000','lone':'\\ud800','slash':'\\/','sp\xc3\xa9\xe2\x80\xa8':'\x7f',"
		"'':{'id':'deep','deep':[[],{}]} } ,\n{'type':'from_the_future','id':'x','status':3}";
	struct ph_chain chain = CHAIN(
		CLIENT(A, odd), STORED(A, odd), CLIENT(A, "{'role':'user','content':'x'}"), MINTED(A, odd));

	(void)state;
	ph_assert_str(replayed(&chain, A, PH_STR_NONE),
		q(ph_arena_printf(&memory, "%s,%s,{'role':'user','content':'x'},%s", odd, odd, odd)));
	/* Looked at item by item, only the white space between items is not kept. */
	chain.runs[0].outputs = chain.runs[2].outputs = true;
	ph_assert_str(replayed(&chain, A, PH_STR_NONE),
		q(ph_arena_printf(
			&memory, "%s,%s,{'role':'user','content':'x'},%s", odd + 1, odd + 1, odd + 1)));
}

/* Elsewhere the same, without the members that are an account's. */
static void test_bytes_elsewhere(void **state)
{
	struct ph_chain chain = CHAIN(STORED(A,
		" {'id' : 'x' , 'type':'x', 'n' : [ 1e400, 12345678901234567890 ],\n'twice':1,'twice':2,"
		"'text':'\\u0000\\ud800\\/'} "));

	(void)state;
	assert_replay(&chain, B, "",
		"{'type':'x', 'n' : [ 1e400, 12345678901234567890 "
		"],\n'twice':1,'twice':2,'text':'\\u0000\\ud800\\/'}");
}

static void test_own_words(void **state)
{
	struct ph_chain chain =
		CHAIN(CLIENT(A, "{'role':'user','content':'x'}"), STORED(A, "{'id':'m','role':'assistant'}"));

	(void)state;
	/* The request's own items are the client's business, wherever they go. */
	assert_replay(&chain, B,
		"{'id':'mine','role':'user','created_by':'me','content':[{'type':'input_file','file_id':'f'}]"
		"}",
		"{'role':'user','content':'x'},{'role':'assistant'},"
		"{'id':'mine','role':'user','created_by':'me','content':[{'type':'input_file','file_id':'f'}]"
		"}");
}

/* There and back: each account gets its own turns as they were. */
static void test_there_and_back(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, "{'role':'user','content':'1','id':'u1'}"),
		STORED(A, "{'type':'reasoning','id':'r1','encrypted_content':'c'},{'role':'assistant','id':'"
			  "m1'}"),
		CLIENT(B, "{'role':'user','content':'2','id':'u2'}"),
		STORED(B, "{'role':'assistant','id':'m2'}"),
		CLIENT(A, "{'role':'user','content':'3','id':'u3'}"),
		STORED(A, "{'role':'assistant','id':'m3'}"));

	(void)state;
	assert_replay(&chain, A, "",
		"{'role':'user','content':'1','id':'u1'},{'type':'reasoning','id':'r1','encrypted_content':'"
		"c'},"
		"{'role':'assistant','id':'m1'},{'role':'user','content':'2'},{'role':'assistant'},"
		"{'role':'user','content':'3','id':'u3'},{'role':'assistant','id':'m3'}");
	assert_replay(&chain, B, "",
		"{'role':'user','content':'1'},{'role':'assistant'},{'role':'user','content':'2','id':'u2'},"
		"{'role':'assistant','id':'m2'},{'role':'user','content':'3'},{'role':'assistant'}");
	assert_replay(&chain, C, "",
		"{'role':'user','content':'1'},{'role':'assistant'},{'role':'user','content':'2'},"
		"{'role':'assistant'},{'role':'user','content':'3'},{'role':'assistant'}");
}

/* ---- provenance ---- */

/* The chain as a self-contained row holds it, read back. */
static struct ph_chain folded(const struct ph_chain *chain)
{
	struct ph_chain ret = {.runs = NULL};
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	assert_int_equal(ph_runs_write(chain, &b), 0);
	assert_int_equal(ph_runs_read(take(&b), &memory, &ret.runs, &ret.run_count), 0);
	return ret;
}

static void test_provenance(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(INT64_MAX, "{'a':1} , {'b':'x\\ny'}"), STORED(INT64_MAX, "1"),
		HISTORY(2, "[2],\n{}"), MINTED(3, "'\\n'"));
	struct ph_chain back = folded(&chain), empty = {.runs = NULL};

	(void)state;
	assert_int_equal(back.run_count, chain.run_count);
	for (size_t i = 0; i < chain.run_count; i++) {
		ph_assert_str(back.runs[i].items, chain.runs[i].items);
		assert_int_equal(back.runs[i].account, chain.runs[i].account);
		assert_int_equal(back.runs[i].minted, chain.runs[i].minted);
		assert_int_equal(back.runs[i].stored, chain.runs[i].stored);
		assert_int_equal(back.runs[i].outputs, chain.runs[i].outputs);
	}
	assert_int_equal(folded(&empty).run_count, 0);
}

/* A damaged row is never taken for a shorter conversation. */
static void test_provenance_damaged(void **state)
{
	static const char *const damaged[] = {"", "\n", "{}\n1", "[[1,2,0]]\n1", "[[1,1,0]]\n1,2",
		"[[1,1]]\n1", "[[1,1,0]]", "[[1,-1,0]]\n1", "[['1',1,0]]\n1", "[[1,1,0],[1,1,1]]\n1", "1,2",
		"[]\n1", "[7]\n1"};
	struct ph_chain_run *runs;
	size_t n;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(damaged); i++)
		if (ph_runs_read(q(damaged[i]), &memory, &runs, &n) != -PH_E_INTERNAL)
			fail_msg("%s", damaged[i]);
}

static void test_provenance_full(void **state)
{
	struct ph_chain chain = CHAIN(CLIENT(A, "{'a':1}"));
	struct ph_arena small;
	struct ph_chain_run *runs;
	struct ph_buf b;
	size_t n;

	(void)state;
	ph_buf_init(&b, 12);
	assert_int_equal(ph_runs_write(&chain, &b), -PH_E_CHAIN_TOO_LARGE);
	ph_buf_deinit(&b);
	ph_arena_init(&small, 16);
	assert_int_equal(ph_runs_read(q("[[1,1,0]]\n1"), &small, &runs, &n), -PH_E_CHAIN_TOO_LARGE);
	ph_arena_deinit(&small);
}

/* ---- conversations at random ---- */

/* As chain.c makes it of rows. */
static struct ph_chain chain_of(struct model *m, int turn)
{
	int path[MODEL_TURNS];
	size_t n = model_path(m, turn, path);
	struct ph_chain chain = {.runs = ph_arena_alloc(&memory, 2 * n * sizeof *chain.runs)};

	for (size_t i = 0; i < n; i++) {
		const struct model_turn *t = &m->turn[path[i]];

		chain.runs[chain.run_count++] =
			(struct ph_chain_run){model_input(m, path[i]), t->account, false, false, t->along};
		chain.runs[chain.run_count++] =
			(struct ph_chain_run){model_output(m, path[i]), t->account, true, t->stored, false};
	}
	return chain;
}

static void check(struct model *m, const struct ph_chain *chain, int turn)
{
	for (int64_t account = 1; account <= MODEL_ACCOUNTS + 1; account++) {
		struct ph_str said = q("{'role':'user','content':'next'}");
		struct ph_buf b;

		ph_assert_str(replayed(chain, account, said), model_expected(m, turn, account, said));
		ph_buf_init(&b, SIZE_MAX);
		model_history(m, &b, turn);
		assert_int_equal(ph_items_append(&b, said), 0);
		ph_assert_str(replayed(chain, account, take(&b)), model_expected(m, turn, account, said));
	}
}

static void test_random_conversations(void **state)
{
	(void)state;
	for (uint64_t round = 0; round < 40; round++) {
		struct model *m = ph_alloc(sizeof *m);
		struct ph_chain chain;

		m->seed = round;
		memory_setup(NULL);
		while (m->turns < MODEL_TURNS) {
			int turn = model_grow(m);

			chain = chain_of(m, turn);
			check(m, &chain, turn);
		}
		/* Provenance holds over two folds, and comparison after them. */
		chain = folded(&chain);
		check(m, &chain, MODEL_TURNS - 1);
		chain = folded(&chain);
		check(m, &chain, MODEL_TURNS - 1);
		memory_teardown(NULL);
		free(m);
	}
}

/* ---- what no input may do ---- */

/* Bytes at random that are JSON: nothing crashes, what comes out is a list of items, and for the owner all of
 * it. */
static void random_value(uint64_t *seed, struct ph_buf *b, int depth)
{
	static const char *const words[] = {"id", "type", "role", "content", "item_reference", "reasoning",
		"file_id", "call_id", "function_call", "annotations", "status", "encrypted_content", "text",
		"user", "assistant", "developer", "\\u0069d"};
	uint64_t kind = ph_test_below(seed, depth > 4 ? 3 : 5);

	if (kind < 2) {
		ph_buf_printf(b, "\"%s\"", words[ph_test_below(seed, PH_COUNT(words))]);
	} else if (kind == 2) {
		ph_buf_puts(b, ph_test_below(seed, 2) ? PH_STR("null") : PH_STR("-1e400"));
	} else {
		bool object = kind == 4;

		ph_buf_putc(b, object ? '{' : '[');
		for (uint64_t n = ph_test_below(seed, 5), i = 0; i < n; i++) {
			if (i)
				ph_buf_puts(b, PH_STR(" ,"));
			if (object)
				ph_buf_printf(b, "\"%s\" : ", words[ph_test_below(seed, PH_COUNT(words))]);
			random_value(seed, b, depth + 1);
		}
		ph_buf_putc(b, object ? '}' : ']');
	}
}

static struct ph_str random_items(uint64_t *seed)
{
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	for (uint64_t n = ph_test_below(seed, 6), i = 0; i < n; i++) {
		if (i)
			ph_buf_putc(&b, ',');
		random_value(seed, &b, 0);
	}
	return take(&b);
}

static bool is_list(struct ph_str items)
{
	return ph_json_check(ph_str_c(ph_arena_printf(&memory, "[%.*s]", PH_STR_ARG(items))), NULL) == 0;
}

static void test_random_items(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct ph_chain_run runs[3] = {{random_items(&seed), A, false, false, true},
			{random_items(&seed), A, true, true, false},
			{random_items(&seed), B, round % 2, false, true}};
		struct ph_chain chain = {.runs = runs, .run_count = 3};
		struct ph_found found = FOUND(MADE("user", A), MADE("reasoning", B), MADE("id", C));
		struct ph_page page = {.limit = 3, .ascending = round % 3};
		struct ph_str out, said = random_items(&seed);
		struct ph_bound bound;
		struct ph_buf b;

		for (int64_t account = A; account <= C; account++) {
			struct ph_target target = {
				.account = account, .client_ids = round % 5 == 0, .plain = round % 7 == 0};
			int rc = replay_with(&chain, target, said, &found, &out, &bound);

			if (rc == -PH_E_ACCOUNT_BOUND)
				assert_true(bound.account > 0 && bound.type[0]);
			else if (rc != -PH_E_ITEM_UNKNOWN)
				assert_true(rc == 0 && is_list(out));
			ph_buf_init(&b, SIZE_MAX);
			if (ph_items_prepare(said, &found, &target, &b, &bound) == 0)
				assert_true(is_list(ph_buf_str(&b)));
			ph_buf_deinit(&b);
		}
		ph_buf_init(&b, SIZE_MAX);
		assert_int_equal(ph_items_page(said, PH_STR("r"), &page, &b), 0);
		assert_int_equal(ph_json_check(take(&b), NULL), 0);
		if (round % 50 == 0) {
			memory_teardown(NULL);
			memory_setup(NULL);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_owner_bytes),
		TEST(test_bytes_elsewhere),
		TEST(test_own_words),
		TEST(test_there_and_back),
		TEST(test_provenance),
		TEST(test_provenance_damaged),
		TEST(test_provenance_full),
		cmocka_unit_test(test_random_conversations),
		TEST(test_random_items),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
