/* SPDX-License-Identifier: Apache-2.0 */
/* Turns in the background: what is written of one when it begins, and what becomes of it, with the real
 * schema. */
#include "store_test.h"

#define USER(text)   "{'role':'user','content':'" text "'}"
#define ANSWER(text) "{'id':'" text "','role':'assistant','content':'" text "'}"

static struct ph_background *found;

static void on_found(void *arg, struct ph_background *b, const struct ph_err *err)
{
	(void)arg;
	assert_null(err);
	answered = true;
	found = b;
}

/* Or NULL. */
static struct ph_background *find(int64_t scope, const char *name)
{
	answered = false;
	(void)ph_background_read(store, scope, id_of(name), on_found, NULL);
	assert_false(answered);
	run_until(is_answered);
	return found;
}

static bool is_known(int64_t scope, const char *name)
{
	struct ph_background *b = find(scope, name);

	ph_background_free(b);
	return b != NULL;
}

static void begin(const struct ph_turn_record *t)
{
	answered = false;
	ph_background_begin(store, t, on_written, NULL);
	assert_false(answered);
	run_until(is_answered);
	assert_int_equal(written_status, 0);
}

/* Its output, and the figures that it has now. */
static void end(struct ph_background *b, const char *output)
{
	b->turn.node = "other";
	b->turn.request_id = "req_2";
	b->turn.route = "background";
	b->turn.continuity = "none";
	b->turn.outcome = "completed";
	b->turn.turn_status = PH_STR("completed");
	b->turn.output = q(output);
	b->turn.envelope = PH_STR("{\"output\":[]}");
	answered = false;
	ph_background_end(store, b, on_written, NULL);
	run_until(is_answered);
	assert_int_equal(written_status, 0);
}

static bool is_over(void)
{
	return ask("SELECT count(*) FROM posthouse.background_turns b WHERE (b.id LIKE '%_g2' OR b.id LIKE "
		   "'%_f2') AND (NOT b.ended OR b.input IS NOT NULL)") == 0;
}

static void test_a_life(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("g2"), q(USER("2")), PH_STR_NONE);
	struct ph_background *b;
	struct ph_chain *chain;

	write_turn(NULL, "g1", USER("1"), ANSWER("gm1"));
	chain = read_chain(id_of("g1"));
	t.parent = chain;
	begin(&t);
	begin(&t);
	ph_chain_free(chain);
	assert_int_equal(status_of(SCOPE, id_of("g2").p), PH_CHAIN_OWNED);
	assert_int_equal(status_of(OTHERS, id_of("g2").p), PH_CHAIN_FOREIGN);
	assert_false(is_known(OTHERS, "g2"));
	assert_false(is_known(SCOPE, "g1"));
	b = find(SCOPE, "g2");
	assert_non_null(b);
	assert_int_equal(b->turn.account, A);
	assert_true(b->turn.keep);
	assert_memory_equal(b->turn.turn, t.turn, sizeof t.turn);
	ph_assert_str(b->turn.input, q(USER("2")));
	ph_assert_str(b->turn.model, PH_STR("demo"));
	assert_non_null(b->turn.parent);
	end(b, ANSWER("gm2"));
	/* Two nodes may hear of it: the same turn, no conflict. */
	end(b, ANSWER("gm2"));
	ph_background_free(b);
	run_until(is_over);
	b = find(SCOPE, "g2");
	assert_true(b->ended);
	assert_int_equal(b->turn.account, A);
	assert_int_equal(b->turn.input.n, 0);
	ph_background_free(b);
	chain = read_chain(id_of("g2"));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	assert_int_equal(chain->depth, 2);
	assert_int_equal(
		chain->flags & (PH_TURN_STORED | PH_TURN_PARTIAL | PH_TURN_AMBIGUOUS), PH_TURN_STORED);
	assert_replay(chain, A, USER("3"),
		USER("1") "," ANSWER("gm1") "," USER("2") "," ANSWER("gm2") "," USER("3"));
	ph_chain_free(chain);
}

/* A turn that is to hold the whole context holds it from its beginning. */
static void test_folded(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("f2"), q(USER("2")), PH_STR_NONE);
	struct ph_background *b;
	struct ph_chain *chain;

	write_turn(NULL, "f1", USER("1"), ANSWER("fm1"));
	chain = read_chain(id_of("f1"));
	t.parent = chain;
	t.fold = true;
	begin(&t);
	ph_chain_free(chain);
	(void)ask("DELETE FROM posthouse.snapshots WHERE response_id LIKE '%_f1' RETURNING 1");
	b = find(SCOPE, "f2");
	end(b, ANSWER("fm2"));
	ph_background_free(b);
	run_until(is_over);
	chain = read_chain(id_of("f2"));
	assert_int_equal(chain->status, PH_CHAIN_OK);
	assert_int_equal(chain->depth, 1);
	assert_replay(chain, A, USER("3"),
		USER("1") "," ANSWER("fm1") "," USER("2") "," ANSWER("fm2") "," USER("3"));
	ph_chain_free(chain);
}

/* Deleted while it runs; never asked for again; of a key that keeps nothing. */
static void test_other_ends(void **state)
{
	NEED_SERVER();
	struct ph_turn_record t = turn_of(id_of("h1"), q(USER("1")), PH_STR_NONE);
	struct ph_background *b;

	begin(&t);
	assert_int_equal(ask("SELECT count(*) FROM posthouse.background_turns b, posthouse.hide_response(7, "
			     "b.id) WHERE "
			     "b.id LIKE '%_h1'"),
		1);
	assert_false(is_known(SCOPE, "h1"));
	t = turn_of(id_of("h2"), q(USER("1")), PH_STR_NONE);
	begin(&t);
	(void)ask("UPDATE posthouse.background_turns SET day = day - 40 WHERE id LIKE '%_h2' RETURNING 1");
	(void)ask("SELECT created FROM posthouse.maintain()");
	assert_false(is_known(SCOPE, "h2"));
	t = turn_of(id_of("h3"), PH_STR_NONE, PH_STR_NONE);
	t.keep = false;
	begin(&t);
	b = find(SCOPE, "h3");
	assert_false(b->turn.keep);
	end(b, ANSWER("hm3"));
	ph_background_free(b);
	assert_true(is_known(SCOPE, "h3"));
	assert_int_equal(status_of(SCOPE, id_of("h3").p), PH_CHAIN_OWNED);
}

static void test_cancelled(void **state)
{
	NEED_SERVER();
	struct ph_background_read *read = ph_background_read(store, SCOPE, id_of("g1"), on_found, NULL);

	answered = false;
	ph_background_cancel(read);
	assert_false(is_known(SCOPE, "g1")); /* behind it */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, memory_setup, memory_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_life),
		TEST(test_folded),
		TEST(test_other_ends),
		TEST(test_cancelled),
	};

	return cmocka_run_group_tests(tests, store_setup, store_teardown);
}
