/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in, results out, and what an SQLSTATE asks of us; over the blocking twin, which uses the same
 * code. */
#include "pg_test.h"

static struct ph_pgs *session;

static int setup(void **state)
{
	struct ph_err err = {0};

	server_setup(state);
	if (server)
		session = ph_pgs_open(ph_test_server_dsn(server), 5, &err);
	return server && !session;
}

static int teardown(void **state)
{
	session = ph_pgs_close(session);
	return server_teardown(state);
}

static struct ph_pg_result *query(const char *sql, const struct ph_pg_param *params, int count)
{
	struct ph_err err = {0};
	struct ph_pg_result *r = ph_pgs_query(session, sql, params, count, &err);

	if (!r)
		fail_msg("%s: %s %s", sql, err.sqlstate, err.detail);
	return r;
}

static void test_int(void **state)
{
	static const int64_t numbers[] = {
		0, 1, -1, 32767, -32768, 2147483647, -2147483647 - 1, INT64_MAX, INT64_MIN};

	(void)state;
	NEED_SERVER();
	for (size_t i = 0; i < PH_COUNT(numbers); i++) {
		struct ph_pg_param p = PH_P_INT(numbers[i]);
		struct ph_pg_result *r = query("select $1::int8", &p, 1);

		assert_int_equal(ph_pg_rows(r), 1);
		assert_true(ph_pg_int(r, 0, 0) == numbers[i]);
		ph_pg_result_free(r);
	}
}

/* Those that go in binary form: what the server understands is what was meant. */
static void test_numbers_with_a_type(void **state)
{
	static const uint8_t uuid[16] = {
		0, 1, 2, 3, 4, 5, 6, 7, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	static const int64_t numbers[] = {0, 1, -1, 255, 256, -32769, 2147483647, -2147483647 - 1};

	(void)state;
	NEED_SERVER();
	for (size_t i = 0; i < PH_COUNT(numbers); i++) {
		struct ph_pg_param p[] = {PH_P_INT4(numbers[i]), PH_P_INT8(numbers[i] * 4294967296 + 7),
			PH_P_DATE(numbers[i] / 1024), PH_P_BOOL(numbers[i]), PH_P_UUID(uuid),
			PH_P_INT(numbers[i])};
		struct ph_pg_result *r =
			query("select $1, $2, $3, $4, $5::text, $1 = $6::int4, pg_typeof($1)::text, "
			      "$2 = $6::int8 * 4294967296 + 7, date '2000-01-01' + $6 / 1024 = $3",
				p, 6);

		assert_true(ph_pg_int(r, 0, 0) == numbers[i]);
		assert_true(ph_pg_int(r, 0, 1) == numbers[i] * 4294967296 + 7);
		assert_true(ph_pg_int(r, 0, 2) == numbers[i] / 1024);
		assert_true(ph_pg_int(r, 0, 3) == (numbers[i] != 0));
		ph_assert_str(ph_pg_str(r, 0, 4), PH_STR("00010203-0405-0607-8899-aabbccddeeff"));
		assert_true(ph_pg_int(r, 0, 5) == 1);
		ph_assert_str(ph_pg_str(r, 0, 6), PH_STR("integer"));
		assert_true(ph_pg_int(r, 0, 7) == 1);
		assert_true(ph_pg_int(r, 0, 8) == 1);
		ph_pg_result_free(r);
	}
}

static void test_every_integer_type(void **state)
{
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	r = query("select (-2)::int2, (-3)::int4, (-4)::int8, true, false, date '2000-01-31', date "
		  "'1999-12-31', 7::oid, "
		  "null::int4, timestamptz '2000-01-01 00:00:01+00'",
		NULL, 0);
	assert_true(ph_pg_int(r, 0, 0) == -2);
	assert_true(ph_pg_int(r, 0, 1) == -3);
	assert_true(ph_pg_int(r, 0, 2) == -4);
	assert_true(ph_pg_int(r, 0, 3) == 1);
	assert_true(ph_pg_int(r, 0, 4) == 0);
	assert_true(ph_pg_int(r, 0, 5) == 30);
	assert_true(ph_pg_int(r, 0, 6) == -1);
	assert_true(ph_pg_int(r, 0, 7) == 7);
	assert_true(ph_pg_is_null(r, 0, 8));
	assert_true(ph_pg_int(r, 0, 8) == 0);
	assert_true(ph_pg_int(r, 0, 9) == 1000000);
	ph_pg_result_free(r);
}

static void test_float(void **state)
{
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	r = query("select 1.5::float4, -2.25::float8, null::float8", NULL, 0);
	assert_true(ph_pg_float(r, 0, 0) == 1.5);
	assert_true(ph_pg_float(r, 0, 1) == -2.25);
	assert_true(ph_pg_float(r, 0, 2) == 0);
	ph_pg_result_free(r);
}

static void test_wrong_type_reads_as_zero(void **state)
{
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	r = query("select 'seven'::text, 7::int4", NULL, 0);
	assert_true(ph_pg_int(r, 0, 0) == 0);
	assert_true(ph_pg_float(r, 0, 1) == 0);
	ph_pg_result_free(r);
}

static void test_text_and_bytes(void **state)
{
	static const char bytes[] = "\0\1\xff'\\\0";
	struct ph_pg_param p[] = {PH_P_STR(PH_STR("h\xc3\xa4 '\"\\ {}")), PH_P_BYTES(ph_str(bytes, 6)),
		PH_P_STR(PH_STR("")), PH_P_BYTES(PH_STR("")), PH_P_NULL, PH_P_BOOL(true), PH_P_BOOL(false)};
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	r = query("select $1::text, $2, $3::text, $4, $5::text, $6::bool, $7::bool", p, 7);
	ph_assert_str(ph_pg_str(r, 0, 0), p[0].s);
	ph_assert_str(ph_pg_str(r, 0, 1), p[1].s);
	assert_false(ph_pg_is_null(r, 0, 2));
	assert_int_equal(ph_pg_str(r, 0, 2).n, 0);
	assert_false(ph_pg_is_null(r, 0, 3));
	assert_int_equal(ph_pg_str(r, 0, 3).n, 0);
	assert_true(ph_pg_is_null(r, 0, 4));
	assert_null(ph_pg_str(r, 0, 4).p);
	assert_true(ph_pg_int(r, 0, 5) == 1);
	assert_true(ph_pg_int(r, 0, 6) == 0);
	ph_pg_result_free(r);
}

static void test_json(void **state)
{
	struct ph_pg_param p = PH_P_STR(PH_STR("{\"a\": 1}"));
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	r = query("select $1::jsonb, $1::text::json", &p, 1);
	ph_assert_str(ph_pg_str(r, 0, 0), p.s);
	ph_assert_str(ph_pg_str(r, 0, 1), p.s);
	ph_pg_result_free(r);
}

/* An int8 parameter would not find a function of int4: numbers of no certain size carry no type. */
static void test_functions_of_every_type_are_found(void **state)
{
	struct ph_pg_param p[] = {PH_P_INT(4), PH_P_INT(8), PH_P_BOOL(true), PH_P_STR(PH_STR("2001-02-03")),
		PH_P_STR(PH_STR("t")), PH_P_BYTES(PH_STR("b")), PH_P_STR(PH_STR("{\"x\",\"y\"}"))};
	struct ph_err err = {0};
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	assert_int_equal(
		ph_pgs_script(session,
			"create function every(int4, int8, bool, date, text, bytea, text[]) returns int4 "
			"language sql as 'select array_length($7, 1) + $1'",
			&err),
		0);
	r = query("select every($1, $2, $3, $4, $5, $6, $7)", p, 7);
	assert_true(ph_pg_int(r, 0, 0) == 6);
	ph_pg_result_free(r);
}

static void test_text_array(void **state)
{
	struct ph_str items[] = {PH_STR("plain"), PH_STR(""), PH_STR("NULL"), PH_STR("a,b"),
		PH_STR("say \"hi\""), PH_STR("back\\slash"), PH_STR("{}"), PH_STR(" spaces "),
		PH_STR("\xe2\x82\xac\n")};
	struct ph_pg_param p;
	struct ph_pg_result *r;
	struct ph_buf b;

	(void)state;
	NEED_SERVER();
	ph_buf_init(&b, 1024);
	ph_pg_text_array(&b, items, PH_COUNT(items));
	p = PH_P_STR(ph_buf_str(&b));
	r = query(
		"select x, $1::text[] from unnest($1::text[]) with ordinality as u(x, n) order by n", &p, 1);
	assert_int_equal(ph_pg_rows(r), PH_COUNT(items));
	assert_int_equal(ph_pg_array_count(r, 0, 1), PH_COUNT(items));
	for (int i = 0; i < (int)PH_COUNT(items); i++) {
		assert_false(ph_pg_is_null(r, i, 0));
		ph_assert_str(ph_pg_str(r, i, 0), items[i]);
		ph_assert_str(ph_pg_array_str(r, 0, 1, (size_t)i), items[i]);
	}
	ph_pg_result_free(r);
	ph_buf_reset(&b);
	ph_pg_text_array(&b, NULL, 0);
	ph_assert_str(ph_buf_str(&b), PH_STR("{}"));
	ph_buf_deinit(&b);
}

static void test_arrays_of_integers_and_empty_ones(void **state)
{
	struct ph_pg_result *r;

	(void)state;
	NEED_SERVER();
	r = query("select array[-1, 2, 2147483647]::int4[], array[-5, 9223372036854775807]::int8[], "
		  "'{}'::text[], "
		  "null::text[], array['a', null, 'c']",
		NULL, 0);
	assert_int_equal(ph_pg_array_count(r, 0, 0), 3);
	assert_true(ph_pg_array_int(r, 0, 0, 0) == -1);
	assert_true(ph_pg_array_int(r, 0, 0, 2) == 2147483647);
	assert_true(ph_pg_array_int(r, 0, 1, 0) == -5);
	assert_true(ph_pg_array_int(r, 0, 1, 1) == INT64_MAX);
	assert_int_equal(ph_pg_array_count(r, 0, 2), 0);
	assert_int_equal(ph_pg_array_count(r, 0, 3), 0);
	assert_int_equal(ph_pg_array_count(r, 0, 4), 3);
	assert_int_equal(ph_pg_array_str(r, 0, 4, 1).n, 0);
	ph_assert_str(ph_pg_array_str(r, 0, 4, 2), PH_STR("c"));
	assert_null(ph_pg_array_str(r, 0, 4, 3).p);
	ph_pg_result_free(r);
}

/* libpq cuts a text at a NUL: "ab\0cd" would have found the row of "ab". */
static void test_nul_in_text_is_refused(void **state)
{
	struct ph_pg_param p = PH_P_STR(ph_str("ab\0cd", 5));
	struct ph_err err = {0};

	(void)state;
	NEED_SERVER();
	assert_null(ph_pgs_query(session, "select $1::text", &p, 1, &err));
	assert_int_equal(err.code, PH_E_DATABASE_ERROR);
	assert_string_equal(err.sqlstate, "22021");
}

static void test_errors_carry_state_and_words(void **state)
{
	struct ph_err err = {0};

	(void)state;
	NEED_SERVER();
	assert_null(ph_pgs_query(session, "select 1/0", NULL, 0, &err));
	assert_int_equal(err.code, PH_E_DATABASE_ERROR);
	assert_string_equal(err.sqlstate, "22012");
	assert_string_equal(err.detail, "division by zero");
	assert_int_equal(ph_pgs_script(session,
				 "create table k (id int primary key); insert into k values (1), (1)", &err),
		-PH_E_DATABASE_ERROR);
	assert_string_equal(err.sqlstate, "23505");
	assert_non_null(strstr(err.detail, "k_pkey"));
	assert_non_null(strstr(err.detail, "(id)=(1)"));
	assert_int_equal(
		ph_pgs_script(session, "do $$begin raise exception 'no\nway' using hint = 'go\n home'; end$$",
			&err),
		-PH_E_DATABASE_ERROR);
	assert_string_equal(err.detail, "no way Hint: go home");
	assert_int_equal(ph_pgs_script(session, "", &err), 0);
	assert_in_range(ph_pgs_server_version(session), 140000, 300000);
}

static void test_classes(void **state)
{
	(void)state;
	assert_int_equal(ph_pg_classify("23505"), PG_REFUSED);
	assert_int_equal(ph_pg_classify("42601"), PG_REFUSED);
	assert_int_equal(ph_pg_classify("40001"), PG_AGAIN);
	assert_int_equal(ph_pg_classify("40P01"), PG_AGAIN);
	assert_int_equal(ph_pg_classify("55P03"), PG_AGAIN);
	assert_int_equal(ph_pg_classify("53100"), PG_AGAIN);
	assert_int_equal(ph_pg_classify("57014"), PG_AGAIN);
	assert_int_equal(ph_pg_classify("57P01"), PG_ELSEWHERE);
	assert_int_equal(ph_pg_classify("57P03"), PG_ELSEWHERE);
	assert_int_equal(ph_pg_classify("08006"), PG_ELSEWHERE);
	assert_int_equal(ph_pg_classify("25006"), PG_ELSEWHERE);
}

static void test_one_line(void **state)
{
	char line[12];

	(void)state;
	ph_pg_one_line(line, sizeof(line), " a\n\t b  \n");
	assert_string_equal(line, "a b");
	ph_pg_one_line(line, sizeof(line), "0123456789abcdef");
	assert_string_equal(line, "0123456789a");
	ph_pg_one_line(line, sizeof(line), NULL);
	assert_string_equal(line, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_int),
		cmocka_unit_test(test_numbers_with_a_type),
		cmocka_unit_test(test_every_integer_type),
		cmocka_unit_test(test_float),
		cmocka_unit_test(test_wrong_type_reads_as_zero),
		cmocka_unit_test(test_text_and_bytes),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_functions_of_every_type_are_found),
		cmocka_unit_test(test_text_array),
		cmocka_unit_test(test_arrays_of_integers_and_empty_ones),
		cmocka_unit_test(test_nul_in_text_is_refused),
		cmocka_unit_test(test_errors_carry_state_and_words),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_one_line),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
