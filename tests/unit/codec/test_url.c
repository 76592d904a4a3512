/* SPDX-License-Identifier: Apache-2.0 */
/* URLs that are right come out taken apart; each that is wrong is refused in words that name what is. */
#include "ph_test.h"

#include "posthouse/url.h"

struct good {
	const char *text;
	bool tls;
	const char *host;
	unsigned port;
	const char *path, *origin;
};

static const struct good good[] = {
	{"https://api.openai.com/v1", true, "api.openai.com", 443, "/v1", "api.openai.com"},
	{"https://chatgpt.com/backend-api/codex/", true, "chatgpt.com", 443, "/backend-api/codex",
		"chatgpt.com"},
	{"http://127.0.0.1:11434/v1", false, "127.0.0.1", 11434, "/v1", "127.0.0.1:11434"},
	{"http://a", false, "a", 80, "", "a"},
	{"http://a/", false, "a", 80, "", "a"},
	{"http://a///", false, "a", 80, "", "a"},
	{"HTTPS://API.Example:443/V1", true, "api.example", 443, "/V1", "api.example"},
	{"http://a:443/x", false, "a", 443, "/x", "a:443"},
	{"https://a:80", true, "a", 80, "", "a:80"},
	{"http://[::1]:8080/v1", false, "::1", 8080, "/v1", "[::1]:8080"},
	{"https://[2001:DB8::1]", true, "2001:db8::1", 443, "", "[2001:db8::1]"},
	{"http://my_host-1.local:65535/a/b%20c", false, "my_host-1.local", 65535, "/a/b%20c",
		"my_host-1.local:65535"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(good); i++) {
		struct ph_err err = {0};
		struct ph_url url;

		assert_int_equal(ph_url_parse(&url, ph_str_c(good[i].text), &err), 0);
		assert_int_equal(url.tls, good[i].tls);
		assert_string_equal(url.host, good[i].host);
		assert_int_equal(url.port, good[i].port);
		assert_string_equal(url.path, good[i].path);
		assert_string_equal(url.origin, good[i].origin);
		assert_int_equal(err.code, 0);
	}
}

static const struct {
	const char *text, *says;
} bad[] = {
	{"", "http:// or https://"},
	{"api.openai.com/v1", "http:// or https://"},
	{"ftp://a", "http:// or https://"},
	{"https:/a", "http:// or https://"},
	{" https://a", "http:// or https://"},
	{"https://", "host name"},
	{"https:///v1", "host name"},
	{"https://:443", "host name"},
	{"https://a b", "host name"},
	{"https://a\tb", "host name"},
	{"https://ä.de", "host name"},
	{"https://a%2eb", "host name"},
	{"http://[::1", "host name"},
	{"http://[]", "host name"},
	{"http://[g::1]", "host name"},
	{"http://::1/", "host name"},
	{"http://[::1]x", "port"},
	{"http://a:", "port"},
	{"http://a:0", "port"},
	{"http://a:65536", "port"},
	{"http://a:+80", "port"},
	{"http://a:8o", "port"},
	{"https://user:secret@a/v1", "user or a password"},
	{"https://user@a/v1", "user or a password"},
	{"https://a/v1?x=y", "query or a fragment"},
	{"https://a?x", "query or a fragment"},
	{"https://a/v1#x", "query or a fragment"},
	{"https://a/v 1", "percent-encoded"},
	{"https://a/v\\1", "percent-encoded"},
	{"https://a/\xc3\xa4", "percent-encoded"},
	{"https://a/v1\r\nx: y", "percent-encoded"},
};

static void test_bad(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		struct ph_err err = {0};
		struct ph_url url = {.port = 7};

		assert_int_equal(ph_url_parse(&url, ph_str_c(bad[i].text), &err), -PH_E_PARAM_BAD);
		assert_int_equal(url.port, 7); /* untouched on failure */
		if (strstr(err.detail, bad[i].says) == NULL)
			fail_msg("%s: says \"%s\"", bad[i].text, err.detail);
		assert_null(strstr(err.detail, "secret"));
		assert_int_equal(ph_url_parse(&url, ph_str_c(bad[i].text), NULL), -PH_E_PARAM_BAD);
	}
}

static void test_nul_is_no_end(void **state)
{
	struct ph_url url;

	(void)state;
	assert_int_equal(ph_url_parse(&url, PH_STR("http://a\0.evil/"), NULL), -PH_E_PARAM_BAD);
	assert_int_equal(ph_url_parse(&url, PH_STR("http://a/\0"), NULL), -PH_E_PARAM_BAD);
}

static void test_lengths(void **state)
{
	struct ph_buf b;
	struct ph_url url;

	(void)state;
	ph_buf_init(&b, 4096);
	for (size_t over = 0; over < 2; over++) {
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR("http://"));
		for (size_t i = 0; i < sizeof(url.host) - 1 + over; i++)
			ph_buf_putc(&b, 'h');
		ph_buf_puts(&b, PH_STR(":12345/"));
		for (size_t i = 0; i < sizeof(url.path) - 2; i++)
			ph_buf_putc(&b, 'p');
		assert_int_equal(ph_url_parse(&url, ph_buf_str(&b), NULL), over ? -PH_E_PARAM_BAD : 0);
		ph_buf_reset(&b);
		ph_buf_puts(&b, PH_STR("http://h/"));
		for (size_t i = 0; i < sizeof(url.path) - 2 + over; i++)
			ph_buf_putc(&b, 'p');
		assert_int_equal(ph_url_parse(&url, ph_buf_str(&b), NULL), over ? -PH_E_PARAM_BAD : 0);
	}
	ph_buf_deinit(&b);
}

static const struct {
	struct ph_str target, path, query;
} targets[] = {
	{PH_STR("/"), PH_STR("/"), PH_STR("")},
	{PH_STR("/v1/responses"), PH_STR("/v1/responses"), PH_STR("")},
	{PH_STR("/v1/responses?a=b&c"), PH_STR("/v1/responses"), PH_STR("a=b&c")},
	{PH_STR("/v1?"), PH_STR("/v1"), PH_STR("")},
	{PH_STR("/v1?a?b/../c\\"), PH_STR("/v1"), PH_STR("a?b/../c\\")},
	{PH_STR("/?x"), PH_STR("/"), PH_STR("x")},
	{PH_STR("//a/b"), PH_STR("//a/b"), PH_STR("")},
	{PH_STR("/a/.../.b/..c/d."), PH_STR("/a/.../.b/..c/d."), PH_STR("")},
	{PH_STR("/a%2Fb"), PH_STR("/a%2Fb"), PH_STR("")},
	{PH_STR("http://host/v1?x"), PH_STR("/v1"), PH_STR("x")},
	{PH_STR("HTTPS://user@host:8080/v1"), PH_STR("/v1"), PH_STR("")},
	{PH_STR("http://host"), PH_STR("/"), PH_STR("")},
	{PH_STR("http://host?x"), PH_STR("/"), PH_STR("x")},
};

static const struct ph_str bad_targets[] = {
	PH_STR(""),
	PH_STR("*"),
	PH_STR("v1/responses"),
	PH_STR("?x"),
	PH_STR("host:443"),
	PH_STR("http:///v1"),
	PH_STR("http://"),
	PH_STR("http://?x"),
	PH_STR("ws://host/"),
	PH_STR("/a b"),
	PH_STR("/a\tb"),
	PH_STR("/a\0"),
	PH_STR("/a\x7f"),
	PH_STR("/a\xc3\xa4"),
	PH_STR("/a#b"),
	PH_STR("/a?b#c"),
	PH_STR("/a?b c"),
	PH_STR("/a?\r\n"),
	PH_STR("/a\\b"),
	PH_STR("/.."),
	PH_STR("/v1/../admin"),
	PH_STR("/./v1"),
	PH_STR("/v1/%2e%2E/x"),
	PH_STR("/v1/.%2e"),
	PH_STR("/v1/%2e"),
	PH_STR("http://host/../x"),
};

static void test_targets(void **state)
{
	(void)state;
	for (size_t i = 0; i < PH_COUNT(targets); i++) {
		struct ph_str path, query;

		assert_int_equal(ph_target_split(targets[i].target, &path, &query), 0);
		ph_assert_str(path, targets[i].path);
		ph_assert_str(query, targets[i].query);
	}
	for (size_t i = 0; i < PH_COUNT(bad_targets); i++) {
		struct ph_str path, query;

		if (ph_target_split(bad_targets[i], &path, &query) != -PH_E_HEAD_BAD)
			fail_msg("accepted: %.*s", PH_STR_ARG(bad_targets[i]));
	}
}

static void test_decode(void **state)
{
	char dst[8];
	size_t n = 99;

	(void)state;
	assert_int_equal(ph_percent_decode(PH_STR("a%20b%2fC"), false, dst, sizeof(dst), &n), 0);
	assert_string_equal(dst, "a b/C");
	assert_int_equal(n, 5);
	assert_int_equal(ph_percent_decode(PH_STR("a+b"), true, dst, sizeof(dst), &n), 0);
	assert_string_equal(dst, "a b");
	assert_int_equal(ph_percent_decode(PH_STR("a+b"), false, dst, sizeof(dst), &n), 0);
	assert_string_equal(dst, "a+b");
	assert_int_equal(ph_percent_decode(PH_STR_NONE, false, dst, sizeof(dst), &n), 0);
	assert_string_equal(dst, "");
	assert_int_equal(n, 0);
	assert_int_equal(ph_percent_decode(PH_STR("1234567"), false, dst, sizeof(dst), &n), 0);
	assert_int_equal(ph_percent_decode(PH_STR("%FF%80"), false, dst, sizeof(dst), &n), 0);
	assert_string_equal(dst, "\xff\x80");
	n = 99;
	assert_int_equal(ph_percent_decode(PH_STR("12345678"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR("%"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR("%4"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR("%4g"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR("%-1"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR("%00"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR("a\0"), false, dst, sizeof(dst), &n), -PH_E_PARAM_BAD);
	assert_int_equal(ph_percent_decode(PH_STR_NONE, false, dst, 0, &n), -PH_E_PARAM_BAD);
	assert_int_equal(n, 99);
}

/* Whatever is encoded decodes to itself, and is safe in a path. */
static void test_encode(void **state)
{
	struct ph_buf b;
	char all[255], back[256];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)(i + 1);
	ph_buf_init(&b, 4096);
	ph_percent_encode(&b, PH_STR("aZ09-._~ /%\xff"));
	ph_assert_str(ph_buf_str(&b), PH_STR("aZ09-._~%20%2F%25%FF"));
	ph_buf_reset(&b);
	ph_percent_encode(&b, ph_str(all, sizeof(all)));
	assert_int_equal(ph_percent_decode(ph_buf_str(&b), true, back, sizeof(back), &n), 0);
	assert_int_equal(n, sizeof(all));
	assert_memory_equal(back, all, sizeof(all));
	ph_buf_deinit(&b);
}

static void test_query(void **state)
{
	struct ph_str v = PH_STR("before");
	struct ph_str q = PH_STR("a=1&&b&c=&a=2&d=x=y&=z&e%20=1");

	(void)state;
	assert_true(ph_query_get(q, PH_STR("a"), &v));
	ph_assert_str(v, PH_STR("1"));
	assert_true(ph_query_get(q, PH_STR("b"), &v));
	ph_assert_str(v, PH_STR(""));
	assert_true(ph_query_get(q, PH_STR("c"), &v));
	ph_assert_str(v, PH_STR(""));
	assert_true(ph_query_get(q, PH_STR("d"), &v));
	ph_assert_str(v, PH_STR("x=y"));
	assert_true(ph_query_get(q, PH_STR("e%20"), &v));
	ph_assert_str(v, PH_STR("1"));
	assert_false(ph_query_get(q, PH_STR("f"), &v));
	assert_false(ph_query_get(q, PH_STR("A"), &v));
	assert_false(ph_query_get(PH_STR_NONE, PH_STR("a"), &v));
	ph_assert_str(v, PH_STR("1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_nul_is_no_end),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
