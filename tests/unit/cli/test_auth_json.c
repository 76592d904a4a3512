/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken from an auth.json: the document that is sealed, the labels, and every way to be refused. */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "posthouse/crypt.h"

#include "cli/cli_priv.h"

#define AUTH "https://api.openai.com/auth"

static struct ph_cli_login login;
static struct ph_err err;

static int teardown(void **state)
{
	(void)state;
	ph_cli_login_free(&login);
	return 0;
}

/* A JWT with this payload. Static storage, two at a time. */
static const char *jwt(const char *claims)
{
	static char text[2][4096];
	static unsigned turn;
	char *p = text[turn++ % 2];
	struct ph_buf b;

	ph_buf_init(&b, 4096);
	ph_base64(&b, ph_str_c(claims));
	while (b.p[b.n - 1] == '=')
		b.n--;
	for (size_t i = 0; i < b.n; i++)
		b.p[i] = (char)(b.p[i] == '+' ? '-' : b.p[i] == '/' ? '_' : b.p[i]);
	snprintf(p, sizeof(text[0]), "eyJhbGciOiJub25lIn0.%.*s.c2ln", (int)b.n, b.p);
	ph_buf_deinit(&b);
	return p;
}

static int read_text(const char *text)
{
	ph_cli_login_free(&login);
	memset(&err, 0, sizeof(err));
	return ph_cli_login_read(&login, ph_str_c(text), "file", &err);
}

static int read_format(const char *format, const char *a, const char *b)
{
	char text[16384];

	snprintf(text, sizeof(text), format, a, b);
	return read_text(text);
}

static void assert_document(const char *expected)
{
	struct ph_str document = ph_buf_str(&login.document);

	if (!ph_str_eq(document, ph_str_c(expected)))
		fail_msg("%.*s instead of %s", PH_STR_ARG(document), expected);
}

static void refused(const char *text, const char *says)
{
	assert_int_equal(read_text(text), -PH_E_CONFIG);
	if (strstr(err.detail, says) == NULL || strncmp(err.detail, "file", 4) != 0)
		fail_msg("%s: \"%s\" lacks \"%s\"", text, err.detail, says);
	assert_null(strstr(err.detail, "secret"));
}

static void test_whole(void **state)
{
	char expected[8192];
	const char *id =
		jwt("{\"email\":\"Ann@Example.com\",\"sub\":\"google|1\",\"exp\":1,\"" AUTH "\":{"
		    "\"chatgpt_account_id\":\"other\",\"chatgpt_plan_type\":\"plus\",\"user_id\":\"u1\"}}");

	(void)state;
	assert_int_equal(
		read_format(
			"{\"auth_mode\":\"chatgpt\",\"OPENAI_API_KEY\":null,\"tokens\":{\"id_token\":\"%s\","
			"\"access_token\":\"at-1\",\"refresh_token\":\"rt\\/1\",\"account_id\":\"acc-1\","
			"\"more\":[1]},\"last_refresh\":\"2026-11-22T10:00:00Z\",\"agent\":{}}%s",
			id, "\n"),
		0);
	snprintf(expected, sizeof(expected),
		"{\"access_token\":\"at-1\",\"refresh_token\":\"rt\\/1\",\"id_token\":\"%s\","
		"\"account_id\":\"acc-1\",\"last_refresh\":\"2026-11-22T10:00:00Z\"}",
		id);
	assert_document(expected);
	assert_string_equal(login.identity, "acc-1 ann@example.com");
	assert_string_equal(login.email, "Ann@Example.com");
	assert_string_equal(login.plan, "plus");
}

static void test_other_spellings(void **state)
{
	(void)state;
	assert_int_equal(
		read_text("{\"tokens\":{\"accessToken\":\"a\",\"refreshToken\":\"r\",\"idToken\":\"i\","
			  "\"accountId\":\"acc\"},\"lastRefresh\":\"t\"}"),
		0);
	assert_document(
		"{\"access_token\":\"a\",\"refresh_token\":\"r\",\"id_token\":\"i\",\"account_id\":\"acc\","
		"\"last_refresh\":\"t\"}");
	assert_int_equal(read_text(" {\"access_token\":\"a\",\"tokens\":null,\"accountId\":\"acc\",\"refresh_"
				   "token\":\"\"}"),
		0);
	assert_document("{\"access_token\":\"a\",\"account_id\":\"acc\"}");
	assert_string_equal(login.identity, "acc");
	assert_int_equal(
		read_text(
			"{\"tokens\":{\"access_token\":\"in\",\"last_refresh\":\"t\",\"refresh_token\":null},"
			"\"access_token\":\"out\",\"refreshToken\":7}"),
		0);
	assert_document("{\"access_token\":\"in\",\"last_refresh\":\"t\"}");
	assert_string_equal(login.identity, "");
}

static void identity_is(const char *claims, const char *expected)
{
	assert_int_equal(read_format("{\"access_token\":\"a\",\"id_token\":\"%s\"%s}", jwt(claims), ""), 0);
	assert_string_equal(login.identity, expected);
}

static void test_identity(void **state)
{
	(void)state;
	identity_is("{\"email\":\"a@b\",\"" AUTH "\":{\"chatgpt_account_id\":\"acc\"}}", "acc a@b");
	identity_is("{\"email\":\"a@b\",\"" AUTH
		    "\":{\"chatgpt_account_id\":\"acc\",\"workspace_id\":\"w\"}}",
		"acc w a@b");
	identity_is("{\"" AUTH
		    "\":{\"chatgpt_account_id\":\"acc\",\"organization_id\":\"org-1\",\"user_id\":\"u\"}}",
		"acc org-1 u");
	identity_is("{\"sub\":\"s\",\"" AUTH
		    "\":{\"chatgpt_account_id\":\"acc\",\"organizations\":[{\"id\":\"org-2\"},7,"
		    "{\"id\":\"org-1\",\"is_default\":true}]}}",
		"acc org-1 s");
	identity_is("{\"email\":\"a@b\",\"chatgpt_account_id\":\"top\"}", "top a@b");
	identity_is("{\"email\":\"a@b\"}", "");
	assert_string_equal(login.email, "a@b");
}

/* The document names the account wherever it was found: what sends requests reads nothing else. */
static void test_account_of_the_claims(void **state)
{
	char expected[4096];
	const char *token = jwt("{\"https://api.openai.com/profile\":{\"email\":\"a@b\"},\"" AUTH
				"\":{\"chatgpt_account_id\":\"acc\",\"chatgpt_plan_type\":\"team\"}}");

	(void)state;
	assert_int_equal(
		read_format("{\"tokens\":{\"id_token\":\"x.y.z\",\"access_token\":\"%s\"%s}}", token, ""), 0);
	snprintf(expected, sizeof(expected),
		"{\"access_token\":\"%s\",\"id_token\":\"x.y.z\",\"account_id\":\"acc\"}", token);
	assert_document(expected);
	assert_string_equal(login.identity, "acc a@b");
	assert_string_equal(login.plan, "team");
}

static void test_unreadable_claims(void **state)
{
	static const char *const payloads[] = {"[1]", "7", "{\"email\":7,\"" AUTH "\":[]}", "{",
		"{\"email\":\"a b\"}", "{\"email\":\"a\\u0000b\"}", "{\"email\":\"a\\u001b[31m\"}",
		"{\"" AUTH "\":{\"organizations\":{}}}"};
	static const char *const tokens[] = {"", ".", "..", "a.!.c", "a.e30", "no dots", "a.\\u00e9.c"};

	(void)state;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		assert_int_equal(
			read_format("{\"access_token\":\"a\",\"account_id\":\"acc\",\"id_token\":\"%s\"%s}",
				jwt(payloads[i]), ""),
			0);
		assert_string_equal(login.identity, "acc");
		assert_string_equal(login.email, "");
	}
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		assert_int_equal(
			read_format("{\"access_token\":\"a\",\"account_id\":\"acc\",\"id_token\":\"%s\"%s}",
				tokens[i], ""),
			0);
		assert_string_equal(login.identity, "acc");
	}
	identity_is("{\"email\":\"x\",\"" AUTH "\":{\"chatgpt_account_id\":\"a b\"}}", "");
}

static void test_refusals(void **state)
{
	(void)state;
	refused("", "no JSON object");
	refused("[]", "no JSON object");
	refused("\"secret\"", "no JSON object");
	refused("{\"access_token\":\"secret\"", "no JSON object");
	refused("{\"access_token\":\"secret\"} x", "no JSON object");
	refused("{}", "no access token");
	refused("{\"tokens\":{\"refresh_token\":\"secret\"}}", "no access token");
	refused("{\"tokens\":{\"access_token\":{\"a\":\"secret\"}}}", "no access token");
	refused("{\"OPENAI_API_KEY\":\"secret\",\"tokens\":null}", "--kind platform --api-key-file");
	refused("{\"OPENAI_API_KEY\":\"\"}", "no access token");
	refused("{\"access_token\":\"secret secret\"}", "one word");
	refused("{\"access_token\":\"secret\\r\\nx-evil: 1\"}", "one word");
	refused("{\"access_token\":\"secret\\u00e9\"}", "one word");
	refused("{\"access_token\":\"secret\",\"account_id\":\"a\\nb\"}", "one word");
	refused("{\"access_token\":\"secret\",\"account_id\":\"a\\u00e9\"}", "one word");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_whole, teardown),
		cmocka_unit_test_teardown(test_other_spellings, teardown),
		cmocka_unit_test_teardown(test_identity, teardown),
		cmocka_unit_test_teardown(test_account_of_the_claims, teardown),
		cmocka_unit_test_teardown(test_unreadable_claims, teardown),
		cmocka_unit_test_teardown(test_refusals, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
