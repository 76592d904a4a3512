/* SPDX-License-Identifier: Apache-2.0 */
/* Chains read from PostgreSQL with the real schema: whole or not at all, folded where they must be. */
#include "model.h"
#include "store_test.h"

#define USER(text)   "{'role':'user','content':'" text "'}"
#define ANSWER(text) "{'id':'" text "','role':'assistant','content':'" text "'}"

static void assert_told(struct ph_str id, int64_t account, const char *expected)
{
	struct ph_chain *chain = read_chain(id);

	assert_int_equal(chain->status, PH_CHAIN_OK);
	ph_assert_str(replayed(chain, account, PH_STR_NONE), q(expected));
	ph_chain_free(chain);
}

/* ---- what is read ---- */

static void test_order(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_turn(NULL, "one", USER("1"), ANSWER("m1"));
	write_turn("one", "two", USER("2"), ANSWER("m2"));
	write_turn("two", "three", USER("3"), ANSWER("m3"));
	chain = read_chain(id_of("three"));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	assert_int_equal(chain->depth, 3);
	assert_int_equal(chain->account, A);
	assert_int_equal(chain->class, 0);
	assert_int_equal(chain->flags, PH_TURN_STORED);
	assert_int_equal(chain->day, chain->today);
	assert_int_equal(chain->until, chain->today + 60);
	assert_int_equal(chain->run_count, 6);
	ph_assert_str(chain->id, id_of("three"));
	assert_int_equal(chain->bytes, replayed(chain, A, PH_STR_NONE).n - 5);
	ph_chain_free(chain);
	assert_told(id_of("three"), A,
		USER("1") "," ANSWER("m1") "," USER("2") "," ANSWER("m2") "," USER("3") "," ANSWER("m3"));
	assert_told(id_of("one"), A, USER("1") "," ANSWER("m1"));
}

static void test_branches(void **state)
{
	NEED_SERVER();
	write_turn(NULL, "root", USER("1"), ANSWER("m1"));
	write_turn("root", "left", USER("l"), ANSWER("m2"));
	write_turn("root", "right", USER("r"), ANSWER("m3"));
	assert_told(id_of("left"), A, USER("1") "," ANSWER("m1") "," USER("l") "," ANSWER("m2"));
	assert_told(id_of("right"), A, USER("1") "," ANSWER("m1") "," USER("r") "," ANSWER("m3"));
}

/* Turns that add nothing on one side or on both. */
static void test_empty_sides(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_turn(NULL, "e1", USER("warm-up"), "");
	write_turn("e1", "e2", "", ANSWER("m"));
	write_turn("e2", "e3", "", "");
	chain = read_chain(id_of("e3"));
	assert_int_equal(chain->run_count, 2);
	assert_int_equal(chain->flags & PH_TURN_NO_OUTPUT, PH_TURN_NO_OUTPUT);
	ph_chain_free(chain);
	assert_told(id_of("e3"), A, USER("warm-up") "," ANSWER("m"));
	write_turn(NULL, "nothing", "", "");
	chain = read_chain(id_of("nothing"));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	assert_int_equal(chain->run_count, 0);
	ph_chain_free(chain);
}

static void test_tip(void **state)
{
	NEED_SERVER();
	static const int64_t forward[] = {B, A};
	struct ph_turn_record t = turn_of(id_of("unstored tip"), q(USER("1")), q(ANSWER("m")));
	struct ph_chain *chain;

	write_turn(NULL, "tip", USER("1"), ANSWER("m1"));
	chain = read_forward(SCOPE, id_of("tip"), forward, 2);
	assert_int_equal(chain->status, PH_CHAIN_TIP);
	assert_int_equal(chain->run_count, 0);
	assert_int_equal(chain->account, A);
	assert_int_equal(chain->depth, 1);
	ph_chain_free(chain);
	chain = read_forward(SCOPE, id_of("tip"), forward, 1);
	assert_int_equal(chain->status, PH_CHAIN_OK);
	ph_chain_free(chain);
	t.stored_upstream = false;
	assert_int_equal(commit(&t), 0);
	chain = read_forward(SCOPE, t.response_id, forward, 2);
	assert_int_equal(chain->status, PH_CHAIN_OK);
	ph_chain_free(chain);
}

static void test_scopes(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t;
	struct ph_chain *chain;

	write_turn(NULL, "mine", USER("1"), ANSWER("m1"));
	write_turn("mine", "child", USER("2"), ANSWER("m2"));
	assert_int_equal(status_of(OTHERS, id_of("mine").p), PH_CHAIN_FOREIGN);
	assert_int_equal(status_of(OTHERS, id_of("child").p), PH_CHAIN_FOREIGN);
	/* A row of another scope under the same ids is another conversation. */
	t = turn_of(id_of("child"), q(USER("theirs")), q(ANSWER("m3")));
	t.scope = OTHERS;
	assert_int_equal(commit(&t), 0);
	assert_told(id_of("child"), A, USER("1") "," ANSWER("m1") "," USER("2") "," ANSWER("m2"));
	chain = read_forward(OTHERS, id_of("child"), NULL, 0);
	ph_assert_str(replayed(chain, A, PH_STR_NONE), q(USER("theirs") "," ANSWER("m3")));
	ph_chain_free(chain);
}

/* ---- never from the middle ---- */

static void test_partial(void **state)
{
	NEED_SERVER();
	static const int64_t forward[] = {A};
	struct ph_turn_record t = turn_of(id_of("partial"), q(USER("2")), q(ANSWER("m2")));
	struct ph_chain *chain;

	t.partial = true; /* what is before it is known upstream only */
	assert_int_equal(commit(&t), 0);
	chain = read_chain(id_of("partial"));
	assert_int_equal(chain->status, PH_CHAIN_PARTIAL);
	assert_int_equal(chain->account, A);
	assert_int_equal(chain->run_count, 0);
	assert_false(ph_chain_must_fold(store, chain, 0));
	/* It is handed down. */
	t = turn_of(id_of("partial child"), q(USER("3")), q(ANSWER("m3")));
	t.parent = chain;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
	chain = read_chain(id_of("partial child"));
	assert_int_equal(chain->status, PH_CHAIN_PARTIAL);
	assert_int_equal(chain->flags & PH_TURN_PARTIAL, PH_TURN_PARTIAL);
	ph_chain_free(chain);
	chain = read_forward(SCOPE, id_of("partial child"), forward, 1);
	assert_int_equal(chain->status, PH_CHAIN_TIP);
	chain->depth = PH_HOPS_MAX;
	assert_false(ph_chain_must_fold(store, chain, 0));
	ph_chain_free(chain);
}

static void test_broken(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_turn(NULL, "b1", USER("1"), ANSWER("m1"));
	write_turn("b1", "b2", USER("2"), ANSWER("m2"));
	write_turn("b2", "b3", USER("3"), ANSWER("m3"));
	(void)ask("DELETE FROM posthouse.snapshots WHERE response_id LIKE '%_b2' RETURNING 1");
	chain = read_chain(id_of("b3"));
	assert_int_equal(chain->status, PH_CHAIN_BROKEN);
	assert_int_equal(chain->run_count, 0);
	ph_chain_free(chain);
	assert_told(id_of("b1"), A, USER("1") "," ANSWER("m1"));
}

static void test_unreadable(void **state)
{
	NEED_SERVER();
	static const char *const damage[] = {"codec = 2, input = '7'", "codec = 2, output = '7'", "codec = 1",
		"codec = 9", "flags = flags | 4", "flags = flags | 4, runs = '[[1,2,0]]\n1'",
		"flags = flags | 4, runs = '7'"};

	for (size_t i = 0; i < PH_COUNT(damage); i++) {
		const char *name = ph_arena_printf(&memory, "damage%zu", i);

		write_turn(NULL, name, USER("1"), ANSWER("m1"));
		assert_int_equal(status_of(SCOPE, id_of(name).p), PH_CHAIN_OK);
		(void)ask(ph_arena_printf(&memory,
			"UPDATE posthouse.snapshots SET %s WHERE response_id LIKE '%%_%s' RETURNING 1",
			damage[i], name));
		assert_int_equal(status_of(SCOPE, id_of(name).p), PH_CHAIN_BROKEN);
	}
}

/* ---- bounds ---- */

static struct ph_str filling(size_t n, uint64_t noise)
{
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	ph_buf_puts(&b, q("{'role':'user','content':'"));
	while (b.n < n)
		ph_buf_printf(&b, "%016llx", (unsigned long long)(noise ? ph_test_random(&noise) : 0));
	ph_buf_puts(&b, q("'}"));
	return take(&b);
}

/* The bound is on what is told, not on what is stored: a packed row may be a thousand times as large. */
static void test_too_large(void **state)
{
	NEED_SERVER();
	static const uint64_t noise[] = {0, 99};

	for (size_t i = 0; i < PH_COUNT(noise); i++) {
		struct ph_str one = filling(MAX_BYTES / 2 - 1000, noise[i]),
			      two = filling(MAX_BYTES / 2, noise[i]);
		const char *a = ph_arena_printf(&memory, "large%zu", i),
			   *b = ph_arena_printf(&memory, "larger%zu", i);
		struct ph_turn_record t = turn_of(id_of(a), one, two);

		assert_int_equal(commit(&t), 0);
		assert_int_equal(status_of(SCOPE, id_of(a).p), PH_CHAIN_OK);
		t = turn_of(id_of(b), filling(1000, 0), PH_STR_NONE);
		t.parent = read_chain(id_of(a));
		assert_int_equal(commit(&t), 0);
		ph_chain_free((struct ph_chain *)(uintptr_t)t.parent);
		assert_int_equal(status_of(SCOPE, id_of(b).p), PH_CHAIN_TOO_LARGE);
	}
}

/* A row that unpacks to more than there is room for. */
static void test_bomb(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("bomb"), filling(64 * 1024 * 1024, 0), PH_STR_NONE);

	assert_int_equal(commit(&t), 0);
	assert_true(written_bytes < 64 * 1024);
	assert_int_equal(status_of(SCOPE, id_of("bomb").p), PH_CHAIN_TOO_LARGE);
}

/* A chain as long as may be, made by the server itself. */
static void make_deep(int turns)
{
	(void)ask(ph_arena_printf(&memory,
		"INSERT INTO posthouse.snapshots (scope, account_id, created, day, parent_day, chain_until, "
		"depth, class, "
		"parent_class, flags, codec, turn, response_id, parent_id, turn_status, input, output) "
		"SELECT 7, 1, now(), d, CASE WHEN n > 1 THEN d END, d + 60, n, 0, CASE WHEN n > 1 THEN 0 "
		"END, 0, 0, "
		"gen_random_uuid(), 'resp_deep_00000000000000000_' || n, "
		"CASE WHEN n > 1 THEN 'resp_deep_00000000000000000_' || n - 1 END, 'completed', "
		"convert_to(n::text, 'UTF8'), convert_to('-' || n, 'UTF8') "
		"FROM generate_series(1, %d) n, (SELECT (now() AT TIME ZONE 'UTC')::date AS d) x RETURNING 1",
		turns));
}

static struct ph_str deep(int n)
{
	return ph_str_c(ph_arena_printf(&memory, "resp_deep_00000000000000000_%d", n));
}

static void test_deep(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;
	struct ph_buf expected;
	uint64_t start;

	make_deep(PH_HOPS_MAX + 1);
	ph_buf_init(&expected, SIZE_MAX);
	for (int i = 1; i <= PH_HOPS_MAX; i++)
		ph_buf_printf(&expected, "%s%d,-%d", i > 1 ? "," : "", i, i);
	start = ph_clock_ms();
	chain = read_chain(deep(PH_HOPS_MAX));
	print_message("%d turns: %llu ms\n", PH_HOPS_MAX, (unsigned long long)(ph_clock_ms() - start));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	assert_int_equal(chain->depth, PH_HOPS_MAX);
	assert_true(ph_chain_must_fold(store, chain, 0));
	ph_assert_str(replayed(chain, A, PH_STR_NONE), take(&expected));
	ph_chain_free(chain);
	assert_int_equal(status_of(SCOPE, deep(PH_HOPS_MAX + 1).p), PH_CHAIN_TOO_LARGE);
}

/* Whoever continues turn by turn never comes near the limit: a row folds in time, and its depth is 1 again.
 */
static void test_fold_in_time(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain = read_chain(deep(PH_HOPS_MAX - 10));
	struct ph_turn_record t = turn_of(id_of("folded deep"), q(USER("new")), q(ANSWER("m")));
	struct ph_str before;

	assert_false(ph_chain_must_fold(store, chain, 0));
	ph_chain_free(chain);
	chain = read_chain(deep(PH_HOPS_MAX - 8));
	assert_true(ph_chain_must_fold(store, chain, 0));
	before = replayed(chain, A, PH_STR_NONE);
	t.parent = chain;
	t.fold = true;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
	chain = read_chain(t.response_id);
	assert_int_equal(chain->depth, 1);
	assert_int_equal(chain->flags & PH_TURN_SELF, PH_TURN_SELF);
	assert_false(ph_chain_must_fold(store, chain, 0));
	ph_assert_str(replayed(chain, A, PH_STR_NONE),
		ph_str_c(ph_arena_printf(&memory, "%.*s,%.*s,%.*s", PH_STR_ARG(before), PH_STR_ARG(t.input),
			PH_STR_ARG(t.output))));
	ph_chain_free(chain);
}

/* ---- self-contained rows ---- */

static struct ph_str own_input;

static void on_own(void *arg, const struct ph_response *r, const struct ph_err *err)
{
	(void)arg;
	(void)err;
	answered = true;
	own_input = r ? ph_arena_dup(&memory, r->input) : PH_STR_NONE;
}

/* Writes a turn that holds all that was before it. */
static void write_folded(
	const char *parent, const char *name, int64_t account, const char *input, const char *output)
{
	struct ph_turn_record t = turn_of(id_of(name), q(input), q(output));
	struct ph_chain *chain = read_chain(id_of(parent));

	t.account = account;
	t.parent = chain;
	t.fold = true;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
}

static void forget(const char *name)
{
	(void)ask(ph_arena_printf(&memory,
		"DELETE FROM posthouse.snapshots WHERE response_id = '%s' RETURNING 1", id_of(name).p));
}

/* In the middle of a chain, twice, without the rows it came from, and still each item with its maker. */
static void test_folds(void **state)
{
	NEED_SERVER();
	write_turn(NULL, "f1", "{'id':'u1','role':'user','content':'1'}", ANSWER("f_m1"));
	write_folded("f1", "f2", B, "{'id':'u2','role':'user','content':'2'}", ANSWER("f_m2"));
	write_turn("f2", "f3", "{'id':'u3','role':'user','content':'3'}", ANSWER("f_m3"));
	write_folded("f3", "f4", C, "{'id':'u4','role':'user','content':'4'}", ANSWER("f_m4"));
	write_turn("f4", "f5", USER("5"), ANSWER("f_m5"));
	forget("f1");
	forget("f2");
	forget("f3");
	assert_told(id_of("f5"), A,
		"{'id':'u1','role':'user','content':'1'}," ANSWER(
			"f_m1") ",{'role':'user','content':'2'},"
				"{'role':'assistant','content':'f_m2'},{'id':'u3','role':'user','content':'3'"
				"}," ANSWER("f_m3") ","
						    "{'role':'user','content':'4'},{'role':'assistant','"
						    "content':'f_m4'}," USER("5") "," ANSWER("f_m5"));
	assert_told(id_of("f5"), B,
		"{'role':'user','content':'1'},{'role':'assistant','content':'f_m1'},"
		"{'id':'u2','role':'user','content':'2'}," ANSWER(
			"f_m2") ",{'role':'user','content':'3'},"
				"{'role':'assistant','content':'f_m3'},{'role':'user','content':'4'},{'role':"
				"'assistant','content':'f_m4'}," USER(
					"5") ",{'role':'assistant','content':'f_m5'}");
	assert_told(id_of("f4"), C,
		"{'role':'user','content':'1'},{'role':'assistant','content':'f_m1'},{'role':'user','content'"
		":'2'},"
		"{'role':'assistant','content':'f_m2'},{'role':'user','content':'3'},{'role':'assistant','"
		"content':'f_m3'},"
		"{'id':'u4','role':'user','content':'4'}," ANSWER("f_m4"));
	/* As a resource it is its own turn and no more. */
	answered = false;
	(void)ph_response_read(store, SCOPE, id_of("f4"), on_own, NULL);
	run_until(is_answered);
	ph_assert_str(own_input, q("{'id':'u4','role':'user','content':'4'}"));
}

static void test_fold_large(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("big1"), filling(300000, 5), q(ANSWER("m")));
	struct ph_chain *chain;
	struct ph_str all;

	assert_int_equal(commit(&t), 0);
	write_folded("big1", "big2", A, USER("2"), ANSWER("m2"));
	forget("big1");
	chain = read_chain(id_of("big2"));
	all = replayed(chain, A, PH_STR_NONE);
	assert_true(ph_str_starts(all, t.input));
	assert_int_equal(all.n, t.input.n + strlen("," ANSWER("m") "," USER("2") "," ANSWER("m2")));
	ph_chain_free(chain);
}

static void test_fold_of_nothing(void **state)
{
	NEED_SERVER();
	write_turn(NULL, "n1", "", "");
	write_folded("n1", "n2", A, "", "");
	write_folded("n2", "n3", A, USER("1"), "");
	forget("n1");
	forget("n2");
	assert_told(id_of("n3"), A, USER("1"));
}

/* History that was sent along is still known as such behind a fold, and in the fold itself. */
static void test_fold_of_history(void **state)
{
	NEED_SERVER();
	write_turn(NULL, "h1", USER("1"), ANSWER("h_m1"));
	write_turn("h1", "h2", USER("1") "," ANSWER("h_m1") "," USER("2"), ANSWER("h_m2"));
	write_folded("h2", "h3", A,
		USER("1") "," ANSWER("h_m1") "," USER("2") "," ANSWER("h_m2") "," USER("3"), ANSWER("h_m3"));
	write_folded("h3", "h4", B, ANSWER("h_m3") "," USER("4"), ANSWER("h_m4"));
	assert_told(id_of("h3"), A,
		USER("1") "," ANSWER("h_m1") "," USER("2") "," ANSWER("h_m2") "," USER("3") "," ANSWER(
			"h_m3"));
	assert_told(id_of("h4"), A,
		USER("1") "," ANSWER("h_m1") "," USER("2") "," ANSWER("h_m2") "," USER("3") "," ANSWER(
			"h_m3") "," USER("4") ",{'role':'assistant','content':'h_m4'}");
}

/* ---- when a turn must hold all ---- */

static void test_must_fold(void **state)
{
	NEED_SERVER();
	static const struct {
		int until, depth, class;
		bool fold;
	} cases[] = {
		{60, 1, 0, false},
		{30, 1, 0, false},
		{29, 1, 0, true},
		{2, 1, 0, true}, /* stored, on one that is not: at once */
		{60, 1, 1, false},
		{1, 1, 1, false},
		{0, 1, 1, true},
		{60, PH_HOPS_MAX - 9, 0, false},
		{60, PH_HOPS_MAX - 8, 0, true},
		{60, PH_HOPS_MAX, 1, true},
	};

	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_chain chain = {
			.today = 9000, .until = 9000 + cases[i].until, .depth = cases[i].depth};

		assert_int_equal(ph_chain_must_fold(store, &chain, cases[i].class), cases[i].fold);
	}
	struct ph_chain chain = {.today = 9000, .until = 9002, .depth = 1};
	ph_continuity_set_retention(store, 2, 0.5);
	assert_false(ph_chain_must_fold(store, &chain, 0));
	ph_continuity_set_retention(store, 30, 1);
	assert_true(ph_chain_must_fold(store, &chain, 0));
}

static void test_classes(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("unstored"), q(USER("1")), q(ANSWER("c_m1")));
	struct ph_chain *chain;

	t.class = 1;
	t.stored_upstream = false;
	assert_int_equal(commit(&t), 0);
	chain = read_chain(t.response_id);
	assert_int_equal(chain->class, 1);
	assert_int_equal(chain->until, chain->today + 2);
	assert_true(ph_chain_must_fold(store, chain, 0));
	assert_false(ph_chain_must_fold(store, chain, 1));
	/* An unstored child leans on it and lives no longer; a stored one stands alone. */
	t = turn_of(id_of("unstored child"), q(USER("2")), q(ANSWER("c_m2")));
	t.class = 1;
	t.parent = chain;
	assert_int_equal(commit(&t), 0);
	t = turn_of(id_of("stored child"), q(USER("2")), q(ANSWER("c_m3")));
	t.parent = chain;
	t.fold = true;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
	chain = read_chain(id_of("unstored child"));
	assert_int_equal(chain->until, chain->today + 2);
	ph_chain_free(chain);
	forget("unstored");
	chain = read_chain(id_of("stored child"));
	assert_int_equal(chain->until, chain->today + 60);
	assert_int_equal(chain->class, 0);
	ph_assert_str(replayed(chain, A, PH_STR_NONE),
		q(USER("1") ",{'id':'c_m1','role':'assistant','content':'c_m1'}," USER("2") "," ANSWER(
			"c_m3")));
	ph_chain_free(chain);
	/* A stored chain carries an unstored child for as long as the child lives. */
	write_turn(NULL, "stored root", USER("1"), ANSWER("c_m4"));
	chain = read_chain(id_of("stored root"));
	assert_false(ph_chain_must_fold(store, chain, 1));
	ph_chain_free(chain);
}

/* ---- conversations at random ---- */

static struct ph_str model_name(uint64_t round, int turn)
{
	return id_of(ph_arena_printf(&memory, "model_%llu_%d", (unsigned long long)round, turn));
}

static void write_model_turn(struct model *m, uint64_t round, int turn)
{
	const struct model_turn *mt = &m->turn[turn];
	struct ph_turn_record t =
		turn_of(model_name(round, turn), model_input(m, turn), model_output(m, turn));
	struct ph_chain *chain = mt->parent < 0 ? NULL : read_chain(model_name(round, mt->parent));

	t.account = mt->account;
	t.stored_upstream = mt->stored;
	t.class = (int)ph_test_below(&m->seed, 2);
	t.parent = chain;
	t.fold = chain && (ph_chain_must_fold(store, chain, t.class) || ph_test_below(&m->seed, 4) == 0);
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
}

static void test_random_conversations(void **state)
{
	NEED_SERVER();
	for (uint64_t round = 0; round < 8; round++) {
		struct model *m = ph_alloc(sizeof *m);
		struct ph_str said;

		m->seed = round + 1000;
		memory_setup(NULL);
		said = q(USER("next"));
		while (m->turns < MODEL_TURNS) {
			int turn = model_grow(m);
			struct ph_chain *chain;

			write_model_turn(m, round, turn);
			chain = read_chain(model_name(round, turn));
			assert_int_equal(chain->status, PH_CHAIN_OK);
			for (int64_t account = 1; account <= MODEL_ACCOUNTS + 1; account++)
				ph_assert_str(replayed(chain, account, said),
					model_expected(m, turn, account, said));
			ph_chain_free(chain);
		}
		memory_teardown(NULL);
		free(m);
	}
}

/* ---- many at a time, cancelled, and the database away ---- */

static int over;

static void on_one(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	const char *name = arg;

	assert_null(err);
	assert_int_equal(chain->status, PH_CHAIN_OK);
	ph_assert_str(chain->id, id_of(name));
	ph_chain_free(chain);
	over++;
}

static bool all_over(void)
{
	return over == 60;
}

static void never(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	(void)arg;
	(void)chain;
	(void)err;
	fail();
}

static void test_many_at_a_time(void **state)
{
	NEED_SERVER();
	static const char *const names[] = {"one", "two", "three"};

	over = 0;
	for (int i = 0; i < 60; i++) {
		struct ph_chain_read *cancelled =
			ph_chain_read(store, SCOPE, id_of("one"), NULL, 0, never, NULL);

		(void)ph_chain_read(
			store, SCOPE, id_of(names[i % 3]), NULL, 0, on_one, (void *)(uintptr_t)names[i % 3]);
		ph_chain_cancel(cancelled);
	}
	run_until(all_over);
}

static bool is_down(void)
{
	return !ph_pg_up(pg);
}

/* Last: away is an error, and never "nobody knows it". What was committed is there when the server is back.
 */
static void test_away(void **state)
{
	NEED_SERVER();
	ph_test_server_stop(server);
	run_until(is_down);
	assert_null(read_forward(SCOPE, id_of("one"), NULL, 0));
	assert_int_equal(read_answer.code, PH_E_DATABASE_AWAY);
	ph_test_server_start(server);
	run_until(is_up);
	assert_int_equal(status_of(SCOPE, id_of("one").p), PH_CHAIN_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_branches),
		TEST(test_empty_sides),
		TEST(test_tip),
		TEST(test_scopes),
		TEST(test_partial),
		TEST(test_broken),
		TEST(test_unreadable),
		TEST(test_too_large),
		TEST(test_bomb),
		TEST(test_deep),
		TEST(test_fold_in_time),
		TEST(test_folds),
		TEST(test_fold_large),
		TEST(test_fold_of_nothing),
		TEST(test_fold_of_history),
		TEST(test_must_fold),
		TEST(test_classes),
		cmocka_unit_test(test_random_conversations),
		TEST(test_many_at_a_time),
		TEST(test_away),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
