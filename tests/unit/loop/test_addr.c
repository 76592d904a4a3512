/* SPDX-License-Identifier: Apache-2.0 */
#include "loop_test.h"

static struct ph_addr literal(const char *host, uint16_t port)
{
	struct ph_addr a = {0};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
		memcpy(&a.sa, &in, sizeof(in));
		a.len = sizeof(in);
	} else {
		assert_int_equal(inet_pton(AF_INET6, host, &in6.sin6_addr), 1);
		memcpy(&a.sa, &in6, sizeof(in6));
		a.len = sizeof(in6);
	}
	return a;
}

static void test_text(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		const char *text;
		bool loopback;
	} cases[] = {
		{"127.0.0.1", 8080, "127.0.0.1:8080", true},
		{"127.9.9.9", 1, "127.9.9.9:1", true},
		{"128.0.0.1", 1, "128.0.0.1:1", false},
		{"0.0.0.0", 0, "0.0.0.0:0", false},
		{"::1", 443, "[::1]:443", true},
		{"2001:db8::7", 65535, "[2001:db8::7]:65535", false},
		{"::ffff:127.0.0.1", 5, "[::ffff:127.0.0.1]:5", true},
		{"::ffff:10.0.0.1", 5, "[::ffff:10.0.0.1]:5", false},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_addr a = literal(cases[i].host, cases[i].port);
		char text[64];

		ph_addr_text(&a, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
		assert_int_equal(ph_addr_is_loopback(&a), cases[i].loopback);
	}
}

static void test_no_address(void **state)
{
	struct ph_addr a = {0};
	char text[64];

	(void)state;
	ph_addr_text(&a, text, sizeof(text));
	assert_string_equal(text, "unknown address");
	assert_false(ph_addr_is_loopback(&a));
}

static void test_hostport(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL = refused */
		uint16_t port;
	} cases[] = {
		{"127.0.0.1:8080", "127.0.0.1", 8080},
		{"localhost:0", "localhost", 0},
		{"[::1]:443", "::1", 443},
		{"[::]:65535", "::", 65535},
		{"a.example:1", "a.example", 1},
		{"", NULL, 0},
		{":8080", NULL, 0},
		{"localhost", NULL, 0},
		{"localhost:", NULL, 0},
		{"localhost:65536", NULL, 0},
		{"localhost:-1", NULL, 0},
		{"localhost:80 ", NULL, 0},
		{"::1:443", NULL, 0},
		{"[::1]", NULL, 0},
		{"[::1]443", NULL, 0},
		{"[::1:443", NULL, 0},
		{"[]:443", NULL, 0},
		{"a-host-name-that-is-too-long:80", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct ph_err err = {0};
		char host[24] = "untouched";
		uint16_t port = 7;
		int rc = ph_hostport_parse(ph_str_c(cases[i].text), host, sizeof(host), &port, &err);

		if (cases[i].host) {
			assert_int_equal(rc, 0);
			assert_string_equal(host, cases[i].host);
			assert_int_equal(port, cases[i].port);
		} else {
			assert_int_equal(rc, -PH_E_CONFIG);
			assert_int_equal(err.code, PH_E_CONFIG);
			assert_string_equal(host, "untouched");
			assert_int_equal(port, 7);
		}
	}
	assert_int_equal(ph_hostport_parse(PH_STR_NONE, (char[4]){0}, 4, &(uint16_t){0}, NULL), -PH_E_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_no_address),
		cmocka_unit_test(test_hostport),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
