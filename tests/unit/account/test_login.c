/* SPDX-License-Identifier: Apache-2.0 */
/* A login as bytes: what is sealed, when it is to be renewed, and what a token URL's answer means. */
#include "ph_test.h"

#include <stdio.h>

#include "posthouse/crypt.h"
#include "posthouse/login.h"

static struct ph_arena arena;
static struct ph_login login;

static int setup(void **state)
{
	(void)state;
	ph_arena_init(&arena, 1 << 20);
	memset(&login, 0, sizeof login);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	ph_arena_deinit(&arena);
	return 0;
}

/* A token with these claims. */
static const char *jwt(const char *claims)
{
	static char text[512];
	struct ph_buf b;

	ph_buf_init(&b, 400);
	ph_base64(&b, ph_str_c(claims));
	snprintf(text, sizeof text, "e30.%.*s.sig", (int)b.n, b.p);
	ph_buf_deinit(&b);
	return text;
}

static int read_text(const char *text)
{
	return ph_login_read(ph_str_c(text), &arena, &login);
}

static void assert_text(struct ph_str s, const char *expected)
{
	assert_true(ph_str_eq(s, ph_str_c(expected)));
}

static void what_is_sealed(void **state)
{
	char text[1024];

	(void)state;
	assert_int_equal(
		read_text("{\"access_token\":\"a\",\"refresh_token\":\"r\\/\\u0031\",\"id_token\":\"i\","
			  "\"account_id\":\"acc\",\"last_refresh\":\"2026-11-22T10:00:00Z\"}"),
		0);
	assert_text(login.access, "a");
	assert_text(login.refresh, "r/1");
	assert_text(login.id, "i");
	assert_text(login.account, "acc");
	assert_int_equal(login.issued_s, 0);
	assert_int_equal(login.expires_s, 0);
	assert_int_equal(read_text("{\"access_token\":\"a\",\"expires_at\":1700000000}"), 0);
	assert_int_equal(login.expires_s, 1700000000);
	assert_int_equal(login.refresh.n, 0);
	snprintf(text, sizeof text, "{\"access_token\":\"%s\",\"expires_at\":7}",
		jwt("{\"iat\":1000,\"exp\":2000,\"sub\":\"x\"}"));
	assert_int_equal(read_text(text), 0);
	assert_int_equal(login.issued_s, 1000);
	assert_int_equal(login.expires_s, 2000); /* the token's own word counts */
}

static void what_is_no_login(void **state)
{
	static const char *const bad[] = {"", "[]", "{}", "{\"access_token\":\"\"}", "{\"access_token\":1}",
		"{\"access_token\":\"a b\"}", "{\"access_token\":\"a\\nb\"}",
		"{\"access_token\":\"a\",\"account_id\":\"x\\r\"}",
		"{\"access_token\":\"a\",\"refresh_token\":{}}",
		"{\"access_token\":\"a\",\"access_token\":\"b\"}", "{\"access_token\":\"a\"} x"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(read_text(bad[i]), -PH_E_CONFIG);
}

static void written_and_read(void **state)
{
	struct ph_login all = {PH_STR("a"), PH_STR("r\"\\"), PH_STR("i"), PH_STR("acc"), 0, 1700000000};
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 4096);
	ph_login_write(&all, 0, &b);
	assert_true(ph_str_eq(ph_buf_str(&b),
		PH_STR("{\"access_token\":\"a\",\"refresh_token\":\"r\\\"\\\\\",\"id_token\":\"i\",\"account_"
		       "id\":\"acc\","
		       "\"expires_at\":1700000000,\"last_refresh\":\"1970-01-01T00:00:00Z\"}")));
	assert_int_equal(ph_login_read(ph_buf_str(&b), &arena, &login), 0);
	assert_text(login.refresh, "r\"\\");
	assert_int_equal(login.expires_s, 1700000000);
	ph_buf_reset(&b);
	ph_login_write(&(struct ph_login){.access = PH_STR("a")}, 0, &b);
	assert_true(ph_str_eq(ph_buf_str(&b),
		PH_STR("{\"access_token\":\"a\",\"last_refresh\":\"1970-01-01T00:00:00Z\"}")));
	ph_buf_deinit(&b);
}

static void when_it_is_due(void **state)
{
	const uint64_t day = 86400, at = 1700000000;

	(void)state;
	/* minutes ahead, and spread over as many */
	assert_int_equal(ph_login_due_s(at, at + day, 0), at + day - 300);
	assert_int_equal(ph_login_due_s(at, at + day, 999), at + day - 599);
	/* a short life leaves most of it */
	assert_int_equal(ph_login_due_s(at, at + 80, 0), at + 70);
	assert_int_equal(ph_login_due_s(at, at + 80, 500), at + 65);
	/* a long one, or an unknown one, is renewed by its age */
	assert_int_equal(ph_login_due_s(at, at + 30 * day, 0), at + 8 * day);
	assert_int_equal(ph_login_due_s(at, 0, 0), at + 8 * day);
	assert_true(ph_login_due_s(at, 0, 999) < at + 8 * day && ph_login_due_s(at, 0, 999) > at + 7 * day);
	assert_true(ph_login_due_s(at, at - 5, 0) > at); /* nonsense */
}

static enum ph_grant answer(int status, const char *body, const char **word)
{
	return ph_grant_read(status, ph_str_c(body), 5000, &arena, &login, word);
}

static void what_an_answer_brings(void **state)
{
	const char *word;

	(void)state;
	login = (struct ph_login){PH_STR("a"), PH_STR("r"), PH_STR("i"), PH_STR("acc"), 1, 2};
	assert_int_equal(
		answer(200, "{\"access_token\":\"b\",\"expires_in\":60,\"token_type\":\"Bearer\"}", &word),
		PH_GRANT_NEW);
	assert_text(login.access, "b");
	assert_text(login.refresh, "r"); /* it brought none: the old one stays */
	assert_text(login.id, "i");
	assert_text(login.account, "acc");
	assert_int_equal(login.expires_s, 5060);
	assert_int_equal(login.issued_s, 0);
	assert_int_equal(
		answer(200, "{\"access_token\":\"c\",\"refresh_token\":\"s\",\"id_token\":\"j\"}", &word),
		PH_GRANT_NEW);
	assert_text(login.refresh, "s");
	assert_text(login.id, "j");
	assert_int_equal(login.expires_s, 0);
	assert_null(word);
}

static void what_ends_a_login(void **state)
{
	static const struct {
		int status;
		const char *body, *word;
	} rows[] = {
		{400, "{\"error\":\"invalid_grant\",\"error_description\":\"x\"}", "invalid_grant"},
		{401, "{\"error\":{\"code\":\"refresh_token_reused\",\"message\":\"x\"}}",
			"refresh_token_reused"},
		{401, "{\"error\":{\"code\":\"refresh_token_expired\"}}", "refresh_token_expired"},
		{401, "{\"error\":{\"code\":\"refresh_token_invalidated\"}}", "refresh_token_invalidated"},
		/* all that may pass */
		{500, "{\"error\":\"invalid_grant\"}", NULL},
		{0, "{\"error\":\"invalid_grant\"}", NULL},
		{400, "{\"error\":\"invalid_request\"}", NULL},
		{401, "{\"error\":{\"message\":\"invalid_grant\"}}", NULL},
		{401, "{\"error\":{\"code\":7}}", NULL},
		{401, "invalid_grant", NULL},
		{403, "<html>invalid_grant</html>", NULL},
		{429, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", NULL},
		{200, "", NULL},
		{200, "{}", NULL},
		{200, "{\"access_token\":\"\"}", NULL},
		{200, "{\"access_token\":\"a b\"}", NULL},
		{200, "{\"access_token\":\"b\",\"refresh_token\":1}", NULL},
		{204, "{\"access_token\":\"b\"}", NULL},
	};
	const char *word;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		login = (struct ph_login){.access = PH_STR("a"), .refresh = PH_STR("r")};
		assert_int_equal(answer(rows[i].status, rows[i].body, &word),
			rows[i].word ? PH_GRANT_NEVER : PH_GRANT_LATER);
		if (rows[i].word)
			assert_string_equal(word, rows[i].word);
		assert_text(login.access, "a");
		assert_text(login.refresh, "r");
	}
}

static void what_is_asked(void **state)
{
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, 4096);
	ph_grant_ask(PH_STR("r\""), &b);
	assert_true(ph_str_eq(ph_buf_str(&b),
		PH_STR("{\"client_id\":\"app_EMoamEEZ73f0CkXaXp7hrann\",\"grant_type\":\"refresh_token\","
		       "\"refresh_token\":\"r\\\"\",\"scope\":\"openid profile email\"}")));
	ph_buf_deinit(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_sealed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_login, setup, teardown),
		cmocka_unit_test_setup_teardown(written_and_read, setup, teardown),
		cmocka_unit_test(when_it_is_due),
		cmocka_unit_test_setup_teardown(what_an_answer_brings, setup, teardown),
		cmocka_unit_test_setup_teardown(what_ends_a_login, setup, teardown),
		cmocka_unit_test(what_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
