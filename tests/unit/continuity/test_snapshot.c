/* SPDX-License-Identifier: Apache-2.0 */
/* What a turn writes and what is read of it again, on PostgreSQL with the real schema. */
#include "store_test.h"

/* ---- one response ---- */

static struct {
	bool there;
	int code;
	int64_t account;
	int flags, class;
	struct ph_str id, input, output, envelope;
} response;

static void on_response(void *arg, const struct ph_response *r, const struct ph_err *err)
{
	(void)arg;
	answered = true;
	response.there = r != NULL;
	response.code = err ? err->code : 0;
	if (!r)
		return;
	response.account = r->account;
	response.flags = r->flags;
	response.class = r->class;
	response.id = ph_arena_dup(&memory, r->id);
	response.input = ph_arena_dup(&memory, r->input);
	response.output = ph_arena_dup(&memory, r->output);
	response.envelope = ph_arena_dup(&memory, r->envelope);
}

static bool read_response(int64_t scope, struct ph_str id)
{
	answered = false;
	(void)ph_response_read(store, scope, id, on_response, NULL);
	run_until(is_answered);
	assert_int_equal(response.code, 0);
	return response.there;
}

static bool hide_response(int64_t scope, struct ph_str id)
{
	answered = false;
	(void)ph_response_hide(store, scope, id, on_response, NULL);
	run_until(is_answered);
	assert_int_equal(response.code, 0);
	return response.there;
}

#define ODD                                                                                                  \
	"{'role':'user','n':[1e400,12345678901234567890],'twice':1,'twice':2,'t':'\\u0000\\ud800 "           \
	"\xc3\xa9\\\\'},\n\t7"

static void test_round_trip(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("round"), q(ODD), q("{'id':'m',\r\n'role':'assistant'}"));

	t.envelope = q("{ 'id':'x', 'output' : [] , 'usage':null }");
	t.account = B;
	t.class = 1;
	t.stored_upstream = false;
	assert_int_equal(commit(&t), 0);
	assert_int_equal(written_bytes, t.input.n + t.output.n);
	assert_true(read_response(SCOPE, t.response_id));
	ph_assert_str(response.id, t.response_id);
	ph_assert_str(response.input, t.input);
	ph_assert_str(response.output, t.output);
	ph_assert_str(response.envelope, t.envelope);
	assert_int_equal(response.account, B);
	assert_int_equal(response.class, 1);
	assert_int_equal(response.flags, 0);
	assert_false(read_response(OTHERS, t.response_id));
	assert_false(read_response(SCOPE, id_of("nobody's")));
}

static struct ph_str long_text(size_t n, uint64_t noise)
{
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	ph_buf_puts(&b, q("{'role':'user','content':'"));
	while (b.n < n)
		ph_buf_printf(&b, "%llu ", (unsigned long long)(noise ? ph_test_random(&noise) : 7));
	ph_buf_puts(&b, q("'}"));
	return take(&b);
}

/* Large bodies are packed; small ones are not worth it. Both come back as they were. */
static void test_packed(void **state)
{
	NEED_SERVER();
	static const size_t sizes[] = {100, 15 * 1024, 17 * 1024, 3 * 1024 * 1024};

	for (size_t i = 0; i < PH_COUNT(sizes); i++) {
		const char *name = ph_arena_printf(&memory, "packed%zu", i);
		struct ph_turn_record t = turn_of(id_of(name), long_text(sizes[i], i % 2), q("{'id':'m'}"));

		assert_int_equal(commit(&t), 0);
		assert_true(read_response(SCOPE, t.response_id));
		assert_true(ph_str_eq(response.input, t.input));
		ph_assert_str(response.output, t.output);
		ph_assert_str(response.envelope, t.envelope);
		assert_int_equal(ask(ph_arena_printf(&memory,
					 "SELECT codec FROM posthouse.snapshots WHERE response_id = '%.*s'",
					 PH_STR_ARG(t.response_id))),
			sizes[i] < 16 * 1024 ? 0 : 2);
		if (sizes[i] > 1024 * 1024)
			assert_true(written_bytes < sizes[i] / 2);
	}
}

/* Ids are upstream's: they may look like anything. */
static void test_odd_ids(void **state)
{
	NEED_SERVER();
	static const char *const ids[] = {"r", "resp_'; DROP TABLE x; --", "resp_\"quoted\"", "resp_{a,b}",
		"NULL", "resp_\\x41\\", "resp_\xc3\xa9\xf0\x9f\x98\x80", "resp_%s%n", "resp with spaces ",
		"resp_\n\t", "0",
		"resp_"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		"23456789"
		"01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		"23456789"
		"0123456789012345678901234567890123456789012345"};

	for (size_t i = 0; i < PH_COUNT(ids); i++) {
		struct ph_turn_record t = turn_of(ph_str_c(ids[i]), q("{'role':'user'}"), q("{'id':'m'}"));
		struct ph_chain *chain;

		assert_int_equal(commit(&t), 0);
		assert_true(read_response(SCOPE, t.response_id));
		ph_assert_str(response.id, t.response_id);
		chain = read_chain(t.response_id);
		assert_int_equal(chain->status, PH_CHAIN_OK);
		ph_assert_str(chain->id, t.response_id);
		/* And as a parent. */
		t = turn_of(id_of(ph_arena_printf(&memory, "odd%zu", i)), q("{'role':'user','n':2}"),
			q("{'id':'n'}"));
		t.parent = chain;
		assert_int_equal(commit(&t), 0);
		ph_chain_free(chain);
		chain = read_chain(t.response_id);
		assert_int_equal(chain->status, PH_CHAIN_OK);
		assert_int_equal(chain->depth, 2);
		ph_chain_free(chain);
	}
}

static void test_missing_status(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("no status"), q("1"), q("2"));

	t.turn_status = PH_STR_NONE;
	t.model = PH_STR_NONE;
	t.envelope = PH_STR_NONE;
	assert_int_equal(commit(&t), 0);
	assert_true(read_response(SCOPE, t.response_id));
	assert_int_equal(response.envelope.n, 0);
}

/* ---- what is there already ---- */

static void test_same_turn_twice(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("twice"), q("1"), q("{'id':'twice_m'}"));
	const char *count = "SELECT count(*) FROM posthouse.request_log WHERE response_id LIKE '%twice'";

	assert_int_equal(commit(&t), 0);
	t.input = q("3");
	assert_int_equal(commit(&t), 0); /* sent again after an outcome that was not known */
	assert_true(read_response(SCOPE, t.response_id));
	ph_assert_str(response.input, q("1"));
	assert_int_equal(ask(count), 1);
}

static void test_same_id_twice(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("again"), q("1"), q("{'id':'again_m'}")), other = t;

	other.turn[0] ^= 1;
	other.input = q("2");
	assert_int_equal(commit(&t), 0);
	assert_int_equal(commit(&other), 0);
	assert_int_equal(status_of(SCOPE, (char *)(uintptr_t)t.response_id.p), PH_CHAIN_HIDDEN);
	assert_false(read_response(SCOPE, t.response_id));
	/* In another scope it is another id. */
	other.scope = OTHERS;
	other.turn[0] ^= 2;
	assert_int_equal(commit(&other), 0);
	assert_true(read_response(OTHERS, t.response_id));
	ph_assert_str(response.input, q("2"));
}

static void test_hidden(void **state)
{
	NEED_SERVER();
	struct ph_chain *chain;

	write_turn(NULL, "hide", "1", "{'id':'hide_m'}");
	write_turn("hide", "child", "2", "3");
	assert_false(hide_response(OTHERS, id_of("hide")));
	assert_true(read_response(SCOPE, id_of("hide")));
	assert_true(hide_response(SCOPE, id_of("hide")));
	assert_int_equal(response.account, A);
	assert_int_equal(response.flags & PH_TURN_STORED, PH_TURN_STORED);
	assert_false(hide_response(SCOPE, id_of("hide")));
	assert_false(read_response(SCOPE, id_of("hide")));
	assert_int_equal(status_of(SCOPE, id_of("hide").p), PH_CHAIN_HIDDEN);
	chain = read_chain(id_of("child"));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	ph_assert_str(replayed(chain, A, PH_STR_NONE), q("1,{'id':'hide_m'},2,3"));
	ph_chain_free(chain);
}

/* ---- kept and not kept ---- */

static void test_log_only(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(PH_STR_NONE, PH_STR_NONE, PH_STR_NONE);

	t.keep = false;
	t.account = 0;
	t.request_id = "req_log_only";
	t.outcome = "failed";
	t.error = "upstream_silent";
	assert_int_equal(commit(&t), 0);
	assert_int_equal(ask("SELECT count(*) FROM posthouse.request_log WHERE request_id = 'req_log_only' "
			     "AND account_id IS NULL"),
		1);
	assert_int_equal(written_bytes, 0);
}

/* Policy none: who owns the id is known, what it says is not. */
static int log_left, log_lost;

static void on_logged(void *arg, int status)
{
	(void)arg;
	log_lost += status != 0;
	answered = --log_left == 0;
}

/* Many at once are one call; one that PostgreSQL does not take harms none of the others. */
static void test_many_log_rows(void **state)
{
	NEED_SERVER();
	answered = false;
	log_lost = 0;
	for (log_left = 0; log_left < 200; log_left++) {
		struct ph_turn_record t = turn_of(PH_STR_NONE, PH_STR_NONE, PH_STR_NONE);

		t.keep = t.stored_upstream = false;
		t.request_id = "req_many";
		t.account = log_left % 2 ? A : 0;
		t.error = log_left % 3 ? "upstream_error" : NULL;
		t.model = log_left == 77 ? PH_STR("not UTF-8: \xff") : PH_STR("demo");
		ph_continuity_commit(store, &t, on_logged, NULL, NULL);
	}
	run_until(is_answered);
	assert_int_equal(log_lost, 1);
	assert_int_equal(ask("SELECT count(*) FROM posthouse.request_log WHERE request_id = 'req_many' AND "
			     "model = 'demo'"),
		199);
	assert_int_equal(
		ask("SELECT count(account_id) * 1000 + count(error) FROM posthouse.request_log WHERE "
		    "request_id = 'req_many'"),
		99 * 1000 + 132);
}

static void test_owner_only(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("owned"), q("1"), q("{'id':'owned_m'}"));
	struct ph_chain *chain;

	t.keep = false;
	assert_int_equal(commit(&t), 0);
	assert_int_equal(written_bytes, 0);
	assert_false(read_response(SCOPE, t.response_id));
	chain = read_chain(t.response_id);
	assert_int_equal(chain->status, PH_CHAIN_OWNED);
	assert_int_equal(chain->account, A);
	ph_chain_free(chain);
	assert_int_equal(status_of(OTHERS, t.response_id.p), PH_CHAIN_FOREIGN);
	assert_int_equal(status_of(SCOPE, id_of("nobody's").p), PH_CHAIN_NONE);
	assert_true(hide_response(SCOPE, t.response_id));
	assert_int_equal(status_of(SCOPE, t.response_id.p), PH_CHAIN_HIDDEN);
}

/* ---- items by their ids ---- */

static struct {
	struct ph_found_item item[8];
	size_t n;
	int code;
} finds;

static void on_items(void *arg, struct ph_found *found, const struct ph_err *err)
{
	(void)arg;
	answered = true;
	assert_int_equal(!found, !!err);
	finds.code = err ? err->code : 0;
	finds.n = found ? found->n : 0;
	for (size_t i = 0; i < finds.n && i < PH_COUNT(finds.item); i++) {
		finds.item[i] = found->items[i];
		finds.item[i].id = ph_arena_dup(&memory, found->items[i].id);
		finds.item[i].item = ph_arena_dup(&memory, found->items[i].item);
	}
	ph_found_free(found);
}

static size_t find_as(int64_t scope, const struct ph_str *ids, size_t n, bool reference)
{
	struct ph_item_id asked[8];

	for (size_t i = 0; i < n; i++)
		asked[i] = (struct ph_item_id){.id = ids[i], .reference = reference};
	answered = false;
	(void)ph_items_read(store, scope, asked, n, NULL, 0, on_items, NULL);
	assert_false(answered);
	run_until(is_answered);
	return finds.n;
}

static size_t find(int64_t scope, const struct ph_str *ids, size_t n)
{
	return find_as(scope, ids, n, true);
}

static struct ph_str find_one(struct ph_str id)
{
	assert_int_equal(find(SCOPE, &id, 1), 1);
	ph_assert_str(finds.item[0].id, id);
	return finds.item[0].item;
}

/* Items without an id, with one that cannot be looked for, and what is no item: the others stay where they
 * are. */
static void test_items(void **state)
{
	NEED_SERVER();
	struct ph_str nul = ph_str("nul\0id", 6), long_id = ph_arena_dup(&memory, long_text(600, 0)), ids[2];
	struct ph_turn_record t = turn_of(id_of("items"), q("{'id':'input_id'}"), PH_STR_NONE);
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	ph_buf_puts(&b, q("{'type':'reasoning'},7,{'id':'first','n':1},{'id':null},{'id':'nul\\u0000id'},"
			  "{'id':'q\\\"\\\\{},\\u00e9','n':2} ,{'id':'"));
	for (int i = 0; i < 600; i++)
		ph_buf_putc(&b, 'x');
	ph_buf_puts(&b, q("'},{'id':''},{ 'n':3 , 'id':'last' },{}"));
	t.output = take(&b);
	assert_int_equal(commit(&t), 0);
	ph_assert_str(find_one(PH_STR("first")), q("{'id':'first','n':1}"));
	ph_assert_str(find_one(PH_STR("q\"\\{},\xc3\xa9")), q("{'id':'q\\\"\\\\{},\\u00e9','n':2}"));
	ph_assert_str(find_one(PH_STR("last")), q("{ 'n':3 , 'id':'last' }"));
	assert_int_equal(finds.item[0].account, A);
	assert_true(finds.item[0].stored);
	ids[0] = PH_STR("first");
	assert_int_equal(find(OTHERS, ids, 1), 0);
	ids[0] = nul;
	ids[1] = long_id;
	assert_int_equal(find(SCOPE, ids, 2), 0);
	assert_int_equal(finds.code, 0);
	ids[0] = PH_STR("");
	assert_int_equal(find(SCOPE, ids, 1), 0);
	assert_int_equal(find(SCOPE, NULL, 0), 0);
	ids[0] = PH_STR("last");
	ids[1] = PH_STR("first");
	assert_int_equal(find(SCOPE, ids, 2), 2);
}

static void test_items_of_others(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("stateless"), q("1"), q("{'id':'unkept','n':1}"));
	struct ph_str id = PH_STR("only_owned");

	t.stored_upstream = false;
	t.account = C;
	assert_int_equal(commit(&t), 0);
	(void)find_one(PH_STR("unkept"));
	assert_int_equal(finds.item[0].account, C);
	assert_false(finds.item[0].stored);
	/* Known by its owner row only: no bytes, but an account that has them. */
	t = turn_of(id_of("policy none"), q("1"), q("{'id':'only_owned'}"));
	t.keep = false;
	assert_int_equal(commit(&t), 0);
	assert_int_equal(find(SCOPE, &id, 1), 1);
	assert_int_equal(finds.item[0].item.n, 0);
	assert_int_equal(finds.item[0].account, A);
	assert_true(finds.item[0].stored);
	assert_int_equal(find(OTHERS, &id, 1), 0);
	/* A hidden response's items are not there. */
	id = PH_STR("unkept");
	assert_true(hide_response(SCOPE, id_of("stateless")));
	assert_int_equal(find(SCOPE, &id, 1), 0);
}

static void test_many_items(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("many"), q("1"), PH_STR_NONE);
	struct ph_str beyond = PH_STR("many_39999");
	struct ph_buf b;

	ph_buf_init(&b, SIZE_MAX);
	for (int i = 0; i < 40000; i++)
		ph_buf_printf(&b, "%s{\"id\":\"many_%d\"}", i ? "," : "", i);
	t.output = take(&b);
	assert_int_equal(commit(&t), 0);
	ph_assert_str(find_one(PH_STR("many_32766")), q("{'id':'many_32766'}"));
	assert_int_equal(find(SCOPE, &beyond, 1), 0);
	assert_true(read_response(SCOPE, t.response_id));
	assert_true(ph_str_eq(response.output, t.output));
}

/* A row that cannot be read is no proof that there is none. */
static void test_items_damaged(void **state)
{
	NEED_SERVER();
	struct ph_str id = PH_STR("damaged_m");

	write_turn(NULL, "damaged", "1", "{'id':'damaged_m'}");
	(void)ask(
		"UPDATE posthouse.snapshots SET output = '7' WHERE response_id LIKE '%damaged' RETURNING 1");
	(void)find_one(id); /* another item than it was, but an item */
	(void)ask("UPDATE posthouse.snapshots SET output = '' WHERE response_id LIKE '%damaged' RETURNING 1");
	assert_int_equal(find(SCOPE, &id, 1), 0);
	assert_int_equal(finds.code, PH_E_DATABASE_ERROR);
	(void)ask("UPDATE posthouse.snapshots SET codec = 2, output = '7' WHERE response_id LIKE '%damaged' "
		  "RETURNING 1");
	assert_int_equal(find(SCOPE, &id, 1), 0);
	assert_int_equal(finds.code, PH_E_DATABASE_ERROR);
}

/* ---- days ---- */

/* The day that a child notes of its parent is the parent's, over leap years and ends of months. */
static void test_days(void **state)
{
	NEED_SERVER();
	static const int days[] = {0, 1, 58, 59, 60, 365, 366, 1460, 1461, 7304, 8825, 8826, 9190, 9191,
		36523, 36524, 36525, 73048, 100000, -1, -10957};

	for (size_t i = 0; i < PH_COUNT(days); i++) {
		struct ph_chain parent = {.id = PH_STR("parent"), .day = days[i], .until = days[i] + 31};
		struct ph_turn_record t =
			turn_of(id_of(ph_arena_printf(&memory, "day%zu", i)), q("1"), q("2"));

		t.parent = &parent;
		assert_int_equal(commit(&t), 0);
		assert_int_equal(
			ask(ph_arena_printf(&memory,
				"SELECT parent_day FROM posthouse.snapshots WHERE response_id = '%.*s'",
				PH_STR_ARG(t.response_id))),
			days[i]);
		if (days[i] < 9000)
			assert_int_equal(ask(ph_arena_printf(&memory,
						 "SELECT chain_until FROM posthouse.snapshots WHERE "
						 "response_id = '%.*s'",
						 PH_STR_ARG(t.response_id))),
				days[i] + 31);
	}
}

/* ---- cancelling, and the database away ---- */

static void never(void *arg, const struct ph_response *r, const struct ph_err *err)
{
	(void)arg;
	(void)r;
	(void)err;
	fail();
}

static void never_items(void *arg, struct ph_found *found, const struct ph_err *err)
{
	(void)arg;
	(void)found;
	(void)err;
	fail();
}

static void test_cancelled(void **state)
{
	NEED_SERVER();
	struct ph_item_id id = {.id = PH_STR("first"), .reference = true};

	ph_response_cancel(ph_response_read(store, SCOPE, id_of("round"), never, NULL));
	ph_items_cancel(ph_items_read(store, SCOPE, &id, 1, NULL, 0, never_items, NULL));
	assert_true(read_response(SCOPE, id_of("round"))); /* behind them */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_packed),
		TEST(test_odd_ids),
		TEST(test_missing_status),
		TEST(test_same_turn_twice),
		TEST(test_same_id_twice),
		TEST(test_hidden),
		TEST(test_log_only),
		TEST(test_many_log_rows),
		TEST(test_owner_only),
		TEST(test_items),
		TEST(test_items_of_others),
		TEST(test_many_items),
		TEST(test_items_damaged),
		TEST(test_days),
		TEST(test_cancelled),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
