/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction items and what they replaced, read from PostgreSQL with the real schema. */
#include "store_test.h"

#define USER(text)      "{'role':'user','content':'" text "'}"
#define ANSWER(text)    "{'id':'" text "','role':'assistant','content':'" text "'}"
#define NEUTRAL(text)   "{'role':'assistant','content':'" text "'}"
#define COMPACTED(id)   "{'id':'" id "','type':'compaction','encrypted_content':'c'}"
#define TRIGGER         "{'type':'compaction_trigger'}"
#define THINKS(id)      "{'id':'" id "','type':'reasoning','encrypted_content':'c'}"
#define CARRIED(text)   ((struct ph_item_id){.id = PH_STR(text)})
#define COMPACTION(id_) ((struct ph_item_id){.id = PH_STR(id_), .compaction = true})
#define REFERENCE(id_)  ((struct ph_item_id){.id = PH_STR(id_), .reference = true})

static struct {
	struct ph_found *found;
	int code;
} answer;

static void on_found(void *arg, struct ph_found *found, const struct ph_err *err)
{
	(void)arg;
	answered = true;
	assert_int_equal(!found, !!err);
	answer.found = found;
	answer.code = err ? err->code : 0;
}

static struct ph_found *find_able(struct ph_item_id id, int64_t able)
{
	answered = false;
	(void)ph_items_read(store, SCOPE, &id, 1, &able, able != 0, on_found, NULL);
	assert_false(answered);
	run_until(is_answered);
	assert_int_equal(answer.code, 0);
	return answer.found;
}

/* What reaches the account of a request that carries the items, of which one is a compaction item. */
static void assert_told(struct ph_item_id id, const char *items, int64_t account, const char *expected)
{
	struct ph_found *found = find_able(id, 0);
	struct ph_target target = {.account = account};
	struct ph_bound bound;
	struct ph_buf out;

	ph_buf_init(&out, SIZE_MAX);
	assert_int_equal(ph_items_prepare(q(items), found, &target, &out, &bound), 0);
	ph_assert_str(take(&out), q(expected));
	ph_found_free(found);
}

static void assert_alone(struct ph_item_id id)
{
	struct ph_found *found = find_able(id, 0);

	assert_int_equal(found->n, 1);
	assert_null(found->items[0].before);
	ph_found_free(found);
}

/* A turn of another account than A, or one that is not stored upstream. */
static void write_turn_at(
	int64_t account, const char *parent, const char *name, const char *input, const char *output)
{
	struct ph_turn_record t = turn_of(id_of(name), q(input), q(output));
	struct ph_chain *chain = parent ? read_chain(id_of(parent)) : NULL;

	t.account = account;
	t.stored_upstream = false;
	t.parent = chain;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
}

/* ---- found by their ids ---- */

/* Ancestors, the turn's own input without the trigger, and the output before the item; nothing behind it. */
static void test_before(void **state)
{
	NEED_SERVER();
	struct ph_found *found;

	write_turn(NULL, "b1", USER("1"), ANSWER("bm1"));
	write_turn_at(B, "b1", "b2", USER("2"), ANSWER("bm2"));
	write_turn("b2", "b3", USER("3") "," TRIGGER,
		THINKS("br3") "," ANSWER("bm3") "," COMPACTED("bk3") "," ANSWER("bm4"));
	assert_told(COMPACTION("bk3"), COMPACTED("bk3") "," USER("5"), C,
		USER("1") "," NEUTRAL("bm1") "," USER("2") "," NEUTRAL("bm2") "," USER("3") "," NEUTRAL(
			"bm3") "," USER("5"));
	assert_told(COMPACTION("bk3"), COMPACTED("bk3") "," USER("5"), B,
		USER("1") "," NEUTRAL("bm1") "," USER("2") "," ANSWER("bm2") "," USER("3") "," NEUTRAL(
			"bm3") "," USER("5"));
	assert_told(COMPACTION("bk3"), COMPACTED("bk3") "," USER("5"), A, COMPACTED("bk3") "," USER("5"));
	/* By reference, though its id does not tell what it is. */
	assert_told(REFERENCE("bk3"), "{'id':'bk3'}", B,
		USER("1") "," NEUTRAL("bm1") "," USER("2") "," ANSWER("bm2") "," USER("3") "," NEUTRAL(
			"bm3"));
	/* Its account reads it by itself; another account's being able does not help. */
	found = find_able(COMPACTION("bk3"), A);
	assert_null(found->items[0].before);
	ph_found_free(found);
	found = find_able(COMPACTION("bk3"), B);
	assert_non_null(found->items[0].before);
	ph_found_free(found);
}

/* Of the rest of what is carried only the maker is read. */
static void test_makers(void **state)
{
	NEED_SERVER();
	struct ph_item_id ids[] = {CARRIED("mr"), CARRIED("mm"), REFERENCE("mm2"), CARRIED("strange")};

	write_turn(NULL, "m1", USER("1"), THINKS("mr") "," ANSWER("mm") "," ANSWER("mm2"));
	answered = false;
	(void)ph_items_read(store, SCOPE, ids, PH_COUNT(ids), NULL, 0, on_found, NULL);
	run_until(is_answered);
	assert_int_equal(answer.found->n, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct ph_found_item *f = &answer.found->items[i];

		assert_int_equal(f->account, A);
		assert_true(f->stored);
		assert_null(f->before);
		ph_assert_str(f->item, ph_str_eq(f->id, PH_STR("mm2")) ? q(ANSWER("mm2")) : PH_STR(""));
	}
	ph_found_free(answer.found);
}

/* What cannot be read whole stands for nothing. */
static void test_alone(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("partial"), q(USER("1")), q(COMPACTED("ak1")));

	t.partial = true;
	assert_int_equal(commit(&t), 0);
	assert_alone(COMPACTION("ak1"));
	write_turn(NULL, "a2", USER("1"), ANSWER("am2"));
	write_turn("a2", "a3", USER("1"), COMPACTED("ak3"));
	(void)ask("DELETE FROM posthouse.snapshots WHERE response_id LIKE '%_a2' RETURNING 1");
	assert_alone(COMPACTION("ak3"));
	/* Known by its owner only. */
	t = turn_of(id_of("a4"), q(USER("1")), q(COMPACTED("ak4")));
	t.keep = false;
	assert_int_equal(commit(&t), 0);
	assert_alone(COMPACTION("ak4"));
	/* Of a scope that is not the asker's. */
	t = turn_of(id_of("a5"), q(USER("1")), q(COMPACTED("ak5")));
	t.scope = OTHERS;
	assert_int_equal(commit(&t), 0);
	ph_found_free(find_able(COMPACTION("ak5"), 0));
	assert_int_equal(answer.found == NULL, 0);
}

/* ---- within one another ---- */

/* A client that compacts again and again, at one account after the other, without ever naming an anchor. */
static void test_nested(void **state)
{
	NEED_SERVER();
	struct ph_found *found;
	struct ph_buf expected;

	ph_buf_init(&expected, SIZE_MAX);
	write_turn_at(A, NULL, "n0", USER("0") "," TRIGGER, COMPACTED("nk0"));
	ph_buf_puts(&expected, q(USER("0")));
	for (int i = 1; i <= 9; i++) {
		const char *in = ph_arena_printf(&memory,
			"{'id':'nk%d','type':'compaction','encrypted_content':'c'},{'role':'user','content':'"
			"%d'}," TRIGGER,
			i - 1, i);
		const char *out = ph_arena_printf(
			&memory, "{'id':'nk%d','type':'compaction','encrypted_content':'c'}", i);

		write_turn_at(A + i % 3, NULL, ph_arena_printf(&memory, "n%d", i), in, out);
		if (i < 8)
			ph_buf_printf(&expected, ",{\"role\":\"user\",\"content\":\"%d\"}", i);
	}
	/* Eight deep. */
	assert_told(COMPACTION("nk7"), COMPACTED("nk7"), 99, take(&expected).p);
	/* Deeper than that, the innermost stays bound to its account. */
	found = find_able(COMPACTION("nk8"), 0);
	assert_non_null(found->items[0].before);
	struct ph_target target = {.account = 99};
	struct ph_bound bound;
	struct ph_buf out;

	ph_buf_init(&out, SIZE_MAX);
	assert_int_equal(
		ph_items_prepare(q(COMPACTED("nk8")), found, &target, &out, &bound), -PH_E_ACCOUNT_BOUND);
	assert_string_equal(bound.type, "compaction");
	assert_int_equal(bound.account, A + 1);
	ph_buf_deinit(&out);
	ph_found_free(found);
}

/* In a stored turn's input: read with the chain that holds it. */
static void test_in_chains(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_turn(NULL, "c1", USER("1") "," TRIGGER, COMPACTED("ck1"));
	write_turn(NULL, "c2", COMPACTED("ck1") "," USER("2"), ANSWER("cm2"));
	write_turn("c2", "c3", USER("3"), ANSWER("cm3"));
	chain = read_chain(id_of("c3"));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	assert_replay(chain, A, USER("4"),
		COMPACTED("ck1") "," USER("2") "," ANSWER("cm2") "," USER("3") "," ANSWER("cm3") "," USER(
			"4"));
	assert_replay(chain, B, USER("4"),
		USER("1") "," USER("2") "," NEUTRAL("cm2") "," USER("3") "," NEUTRAL("cm3") "," USER("4"));
	ph_chain_free(chain);
	/* What the chain's own account compacted needs no look-up. */
	chain = read_chain(id_of("c1"));
	assert_null(chain->found);
	ph_chain_free(chain);
	/* The expansion was deleted: its account remains. */
	(void)ask(
		"UPDATE posthouse.snapshots SET flags = flags | 8 WHERE response_id LIKE '%_c1' RETURNING 1");
	chain = read_chain(id_of("c3"));
	assert_int_equal(refused(chain, B, USER("4"), "compaction"), A);
	ph_chain_free(chain);
}

/* ---- compact calls ---- */

/* Its answer repeats the user's words before the item: they are not what the item replaced. */
static void write_compact(const char *parent, const char *name, const char *input, const char *output)
{
	struct ph_turn_record t = turn_of(id_of(name), q(input), q(output));
	struct ph_chain *chain = parent ? read_chain(id_of(parent)) : NULL;

	t.compaction = true;
	t.stored_upstream = false;
	t.parent = chain;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
}

#define SAID(id, text)                                                                                       \
	"{'id':'" id "','type':'message','role':'user','content':[{'type':'input_text','text':'" text "'}]}"

static void test_compact_call(void **state)
{
	NEED_SERVER();

	write_turn(NULL, "w1", USER("1"), ANSWER("wm1"));
	write_compact("w1", "w2", USER("2"), SAID("wu1", "1") "," SAID("wu2", "2") "," COMPACTED("wk2"));
	assert_told(COMPACTION("wk2"),
		SAID("wu1", "1") "," SAID("wu2", "2") "," COMPACTED("wk2") "," USER("3"), B,
		USER("1") "," NEUTRAL("wm1") "," USER("2") "," USER("3"));
	assert_told(COMPACTION("wk2"),
		SAID("wu1", "1") "," SAID("wu2", "2") "," COMPACTED("wk2") "," USER("3"), A,
		SAID("wu1", "1") "," SAID("wu2", "2") "," COMPACTED("wk2") "," USER("3"));
	/* What was said besides stays, and so does what is said again behind the item. */
	assert_told(COMPACTION("wk2"), USER("0") "," USER("1") "," COMPACTED("wk2") "," USER("1"), B,
		USER("0") "," USER("1") "," NEUTRAL("wm1") "," USER("2") "," USER("1"));
	/* It is no response. */
	assert_int_equal(status_of(SCOPE, id_of("w2").p), PH_CHAIN_HIDDEN);
	assert_int_equal(ask("SELECT count(*) FROM posthouse.hide_response(7, (SELECT response_id FROM "
			     "posthouse.snapshots WHERE response_id LIKE '%_w2'))"),
		0);
}

/* In a chain: the words that a client kept beside the item. */
static void test_compact_call_in_chains(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_compact(NULL, "v1", USER("1") "," ANSWER("vm0") "," USER("2"),
		SAID("vu1", "1") "," SAID("vu2", "2") "," COMPACTED("vk1"));
	write_turn(NULL, "v2", SAID("vu1", "1") "," SAID("vu2", "2") "," COMPACTED("vk1") "," USER("3"),
		ANSWER("vm2"));
	chain = read_chain(id_of("v2"));
	assert_replay(chain, A, USER("4"),
		SAID("vu1", "1") "," SAID("vu2", "2") "," COMPACTED("vk1") "," USER("3") "," ANSWER(
			"vm2") "," USER("4"));
	assert_replay(chain, B, USER("4"),
		USER("1") "," NEUTRAL("vm0") "," USER("2") "," USER("3") "," NEUTRAL("vm2") "," USER("4"));
	ph_chain_free(chain);
}

/* The account that compacted a conversation gets what it made of it, and what came after. */
static void test_own_chain(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_turn(NULL, "o1", USER("1"), ANSWER("om1"));
	write_turn("o1", "o2", USER("2") "," TRIGGER, ANSWER("om2") "," COMPACTED("ok2") "," ANSWER("om3"));
	write_turn("o2", "o3", USER("3"), ANSWER("om4"));
	chain = read_chain(id_of("o3"));
	assert_replay(chain, A, USER("4"),
		COMPACTED("ok2") "," ANSWER("om3") "," USER("3") "," ANSWER("om4") "," USER("4"));
	assert_replay(chain, B, USER("4"),
		USER("1") "," NEUTRAL("om1") "," USER("2") "," NEUTRAL("om2") "," NEUTRAL("om3") "," USER(
			"3") "," NEUTRAL("om4") "," USER("4"));
	ph_chain_free(chain);
	/* What answers a call from before it needs that call. */
	write_turn(NULL, "o5", USER("5"),
		"{'id':'oc5','type':'function_call','call_id':'c5','name':'f','arguments':'{}'}," COMPACTED(
			"ok5"));
	chain = read_chain(id_of("o5"));
	assert_replay(chain, A, "{'type':'function_call_output','call_id':'c5','output':'x'}",
		USER("5") ",{'id':'oc5','type':'function_call','call_id':'c5','name':'f','arguments':'{}'}"
			  "," COMPACTED(
				  "ok5") ",{'type':'function_call_output','call_id':'c5','output':'x'}");
	assert_replay(chain, A, USER("6"), COMPACTED("ok5") "," USER("6"));
	ph_chain_free(chain);
}

/* All that is read for one request shares the bound of a chain. */
static void test_bytes(void **state)
{
	NEED_SERVER();
	struct ph_item_id ids[] = {COMPACTION("zk0"), COMPACTION("zk1"), COMPACTION("zk2")};
	size_t whole = 0;

	for (int i = 0; i < 3; i++) {
		struct ph_turn_record t = turn_of(id_of(ph_arena_printf(&memory, "z%d", i)), PH_STR_NONE,
			q(ph_arena_printf(
				&memory, "{'id':'zk%d','type':'compaction','encrypted_content':'c'}", i)));
		struct ph_buf b;
		uint64_t noise = (uint64_t)i;

		ph_buf_init(&b, SIZE_MAX);
		ph_buf_puts(&b, PH_STR("{\"role\":\"user\",\"content\":\""));
		for (size_t n = 0; n < MAX_BYTES / 2 / 16; n++)
			ph_buf_printf(&b, "%016llx", (unsigned long long)ph_test_random(&noise));
		ph_buf_puts(&b, PH_STR("\"}"));
		t.input = take(&b);
		assert_int_equal(commit(&t), 0);
	}
	answered = false;
	(void)ph_items_read(store, SCOPE, ids, 3, NULL, 0, on_found, NULL);
	run_until(is_answered);
	assert_int_equal(answer.found->n, 3);
	for (size_t i = 0; i < 3; i++)
		whole += answer.found->items[i].before != NULL;
	assert_int_equal(whole, 1); /* the second is packed, and does not fit behind the first */
	ph_found_free(answer.found);
}

/* ---- going away ---- */

static int pause_ms;

static bool is_late(void)
{
	return pause_ms-- <= 0;
}

static void on_chain_read(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	(void)arg;
	assert_null(err);
	answered = true;
	ph_chain_free(chain);
}

/* Wherever the look-ups stand: in the index, in a chain, in the index again. What has ended needs no
 * cancelling. */
static void test_cancelled(void **state)
{
	NEED_SERVER();
	struct ph_item_id id = COMPACTION("xk3");

	write_turn_at(A, NULL, "x1", USER("1"), COMPACTED("xk1"));
	write_turn_at(A, NULL, "x2", COMPACTED("xk1"), COMPACTED("xk2"));
	write_turn_at(A, NULL, "x3", COMPACTED("xk2"), COMPACTED("xk3"));
	for (int ms = 0; ms < 10; ms++) {
		struct ph_items_read *items;
		struct ph_chain_read *chain;

		answered = false;
		items = ph_items_read(store, SCOPE, &id, 1, NULL, 0, on_found, NULL);
		pause_ms = ms;
		run_until(is_late);
		if (answered)
			ph_found_free(answer.found);
		else
			ph_items_cancel(items);
		answered = false;
		chain = ph_chain_read(store, SCOPE, id_of("x3"), NULL, 0, on_chain_read, NULL);
		pause_ms = ms;
		run_until(is_late);
		if (!answered)
			ph_chain_cancel(chain);
	}
	answered = true;
	assert_told(id, COMPACTED("xk3"), B, USER("1")); /* behind them */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_before),
		TEST(test_makers),
		TEST(test_alone),
		TEST(test_nested),
		TEST(test_in_chains),
		TEST(test_own_chain),
		TEST(test_compact_call),
		TEST(test_compact_call_in_chains),
		TEST(test_bytes),
		TEST(test_cancelled),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
