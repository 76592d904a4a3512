/* SPDX-License-Identifier: Apache-2.0 */
/* What a login by browser or device code sends, keeps and reads. */
#include "ph_test.h"

#include <stdio.h>

#include "cli/login_flow.h"

static struct ph_err err;
static char code[PH_CODE_MAX];

static const char *text_of(struct ph_buf *b)
{
	ph_buf_putc(b, '\0');
	assert_false(b->failed);
	return b->p;
}

static void the_page(void **state)
{
	struct ph_cli_flow f, g;
	struct ph_buf b;

	(void)state;
	ph_cli_flow_browser(&f, "https://auth.example", 1455);
	ph_cli_flow_browser(&g, "https://auth.example", 1455);
	assert_string_not_equal(f.state, g.state);
	assert_string_not_equal(f.verifier, g.verifier);
	assert_int_equal(strlen(f.verifier), 86);
	/* RFC 7636, appendix B. */
	snprintf(f.verifier, sizeof f.verifier, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	snprintf(f.state, sizeof f.state, "a b");
	ph_buf_init(&b, PH_FLOW_TEXT_MAX);
	ph_cli_flow_page(&f, &b);
	assert_string_equal(text_of(&b),
		"https://auth.example/oauth/"
		"authorize?response_type=code&client_id=app_EMoamEEZ73f0CkXaXp7hrann"
		"&redirect_uri=http%3A%2F%2Flocalhost%3A1455%2Fauth%2Fcallback"
		"&scope=openid%20profile%20email%20offline_access"
		"&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
		"&id_token_add_organizations=true&codex_cli_simplified_flow=true&state=a%20b");
	ph_buf_deinit(&b);
	ph_cli_flow_device(&f, "https://auth.example");
	ph_cli_flow_page(&f, &b);
	assert_string_equal(text_of(&b), "https://auth.example/codex/device");
	assert_string_equal(f.redirect, "https://auth.example/deviceauth/callback");
	ph_buf_deinit(&b);
}

static void what_is_kept(void **state)
{
	struct ph_cli_flow f, g = {0};
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, PH_FLOW_TEXT_MAX);
	ph_cli_flow_browser(&f, "https://auth.example", 7);
	ph_cli_flow_write(&f, &b);
	assert_true(ph_cli_flow_read(&g, ph_buf_str(&b)));
	assert_false(g.device);
	assert_string_equal(g.state, f.state);
	assert_string_equal(g.verifier, f.verifier);
	assert_string_equal(g.redirect, "http://localhost:7/auth/callback");
	ph_buf_deinit(&b);

	ph_cli_flow_device(&f, "https://auth.example");
	assert_true(ph_cli_flow_take_device(
		&f, PH_STR("{\"device_auth_id\":\"d-1\",\"usercode\":\"AB-12\",\"interval\":\"7\"}")));
	ph_cli_flow_write(&f, &b);
	assert_true(ph_cli_flow_read(&g, ph_buf_str(&b)));
	assert_true(g.device);
	assert_string_equal(g.device_id, "d-1");
	assert_string_equal(g.user_code, "AB-12");
	assert_int_equal(g.interval_s, 7);
	ph_buf_deinit(&b);
	assert_false(ph_cli_flow_read(&g, PH_STR("{}")));
	assert_false(ph_cli_flow_read(&g, PH_STR("{\"redirect\":\"x\",\"state\":\"y\"}")));
	assert_false(ph_cli_flow_read(&g, PH_STR("")));
}

static enum ph_cli_redirect redirected(const char *text)
{
	struct ph_cli_flow f = {.state = "s-1"};

	memset(&err, 0, sizeof err);
	memset(code, 0, sizeof code);
	return ph_cli_flow_redirected(&f, ph_str_c(text), code, &err);
}

static void redirects(void **state)
{
	(void)state;
	assert_int_equal(redirected("code=a%2Bb+c&state=s-1"), PH_REDIRECT_CODE);
	assert_string_equal(code, "a+b c");
	assert_int_equal(
		redirected("  http://localhost:1455/auth/callback?scope=x&state=s-1&code=abc#top \r"),
		PH_REDIRECT_CODE);
	assert_string_equal(code, "abc");
	assert_int_equal(redirected("code=abc&state=s-2"), PH_REDIRECT_FOREIGN);
	assert_int_equal(redirected("code=abc&state=s-"), PH_REDIRECT_FOREIGN);
	assert_int_equal(redirected("code=abc&state="), PH_REDIRECT_FOREIGN);
	assert_int_equal(redirected("code=abc"), PH_REDIRECT_NONE);
	assert_int_equal(redirected("state=s-1"), PH_REDIRECT_NONE);
	assert_int_equal(redirected("code=&state=s-1"), PH_REDIRECT_NONE);
	assert_int_equal(redirected("code=%zz&state=s-1"), PH_REDIRECT_NONE);
	assert_int_equal(redirected(""), PH_REDIRECT_NONE);
	assert_int_equal(redirected("hello"), PH_REDIRECT_NONE);
	assert_int_equal(redirected("error=access_denied&state=s-1&error_description=no%1b%0awell"),
		PH_REDIRECT_REFUSED);
	assert_non_null(strstr(err.detail, "access_denied): no  well"));
	assert_int_equal(redirected("error=x&state=s-2"), PH_REDIRECT_FOREIGN);
}

static void bodies(void **state)
{
	struct ph_cli_flow f = {
		.redirect = "http://localhost:1/cb", .verifier = "v", .device_id = "d", .user_code = "u"};
	struct ph_buf b;

	(void)state;
	ph_buf_init(&b, PH_FLOW_TEXT_MAX);
	ph_cli_flow_exchange(&f, "a&b", &b);
	assert_string_equal(text_of(&b),
		"grant_type=authorization_code&code=a%26b&redirect_uri=http%3A%2F%2Flocalhost%3A1%2Fcb"
		"&client_id=app_EMoamEEZ73f0CkXaXp7hrann&code_verifier=v");
	ph_buf_deinit(&b);
	ph_cli_flow_ask_device(&b);
	assert_string_equal(text_of(&b), "{\"client_id\":\"app_EMoamEEZ73f0CkXaXp7hrann\"}");
	ph_buf_deinit(&b);
	ph_cli_flow_poll(&f, &b);
	assert_string_equal(text_of(&b), "{\"device_auth_id\":\"d\",\"user_code\":\"u\"}");
	ph_buf_deinit(&b);
}

static void device_codes(void **state)
{
	struct ph_cli_flow f = {.interval_s = 5};

	(void)state;
	assert_false(ph_cli_flow_take_device(&f, PH_STR("")));
	assert_false(ph_cli_flow_take_device(&f, PH_STR("{\"device_auth_id\":\"d\"}")));
	assert_false(ph_cli_flow_take_device(
		&f, PH_STR("{\"device_auth_id\":\"d\",\"user_code\":\"\\u001b[2J\"}")));
	assert_true(ph_cli_flow_take_device(
		&f, PH_STR("{\"device_auth_id\":\"d\",\"user_code\":\"u\",\"interval\":0}")));
	assert_int_equal(f.interval_s, 5);
	assert_true(ph_cli_flow_take_device(
		&f, PH_STR("{\"device_auth_id\":\"d\",\"user_code\":\"u\",\"interval\":9000}")));
	assert_int_equal(f.interval_s, 60);
}

static enum ph_cli_polled polled(struct ph_cli_flow *f, int status, const char *json)
{
	memset(&err, 0, sizeof err);
	return ph_cli_flow_polled(f, status, ph_str_c(json), code, &err);
}

static void polling(void **state)
{
	struct ph_cli_flow f = {.interval_s = 5};

	(void)state;
	assert_int_equal(polled(&f, 403, "{\"error\":{\"code\":\"authorization_pending\"}}"), PH_POLLED_WAIT);
	assert_int_equal(polled(&f, 404, ""), PH_POLLED_WAIT);
	assert_int_equal(polled(&f, 0, ""), PH_POLLED_WAIT);
	assert_int_equal(polled(&f, 502, "<html>"), PH_POLLED_WAIT);
	assert_int_equal(polled(&f, 200, "{\"authorization_code\":\"a\"}"), PH_POLLED_WAIT);
	assert_int_equal(f.interval_s, 5);
	assert_int_equal(polled(&f, 400, "{\"error\":\"slow_down\"}"), PH_POLLED_WAIT);
	assert_int_equal(f.interval_s, 10);
	for (int i = 0; i < 20; i++)
		polled(&f, 429, "");
	assert_int_equal(f.interval_s, 60);
	assert_int_equal(polled(&f, 400, "{\"error\":\"expired_token\"}"), PH_POLLED_OVER);
	assert_non_null(strstr(err.detail, "expired_token"));
	assert_int_equal(polled(&f, 403, "{\"error\":{\"code\":\"access_denied\"}}"), PH_POLLED_OVER);
	assert_int_equal(polled(&f, 500, "{\"error\":\"access_denied\"}"), PH_POLLED_WAIT);
	assert_int_equal(polled(&f, 200,
				 "{\"authorization_code\":\"a-1\",\"code_challenge\":\"c\",\"code_verifier\":"
				 "\"v-1\"}"),
		PH_POLLED_CODE);
	assert_string_equal(code, "a-1");
	assert_string_equal(f.verifier, "v-1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_page),
		cmocka_unit_test(what_is_kept),
		cmocka_unit_test(redirects),
		cmocka_unit_test(bodies),
		cmocka_unit_test(device_codes),
		cmocka_unit_test(polling),
	};

	return cmocka_run_group_tests_name("cli.login_flow", tests, NULL, NULL);
}
