/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/ws.h"

static void keys(void **state)
{
	char a[PH_WS_KEY_SIZE], b[PH_WS_KEY_SIZE];

	(void)state;
	ph_ws_key_make(a);
	ph_ws_key_make(b);
	assert_int_equal(strlen(a), PH_WS_KEY_SIZE - 1);
	assert_true(ph_ws_key_valid(ph_str_c(a)));
	assert_string_not_equal(a, b);
}

static void what_is_no_key(void **state)
{
	static const struct ph_str bad[] = {PH_STR_INIT(""), PH_STR_INIT("dGhlIHNhbXBsZSBub25jZQ"),
		PH_STR_INIT("dGhlIHNhbXBsZSBub25jZQ="), PH_STR_INIT("dGhlIHNhbXBsZSBub25jZWE="),
		PH_STR_INIT("dGhlIHNhbXBsZSBub25jZWFi"), PH_STR_INIT("dGhlIHNhbXBsZSBub25j"),
		PH_STR_INIT(" GhlIHNhbXBsZSBub25jZQ=="), PH_STR_INIT("dGhlIHNhbXBsZSBub25jZQ== "),
		PH_STR_INIT("dGhlIHNhbXBsZSBub25jZR==")};

	(void)state;
	assert_true(ph_ws_key_valid(PH_STR("dGhlIHNhbXBsZSBub25jZQ==")));
	for (size_t i = 0; i < PH_COUNT(bad); i++)
		assert_false(ph_ws_key_valid(bad[i]));
	assert_false(ph_ws_key_valid(PH_STR_NONE));
}

/* The example of RFC 6455, 1.3. */
static void accept_value(void **state)
{
	char value[PH_WS_ACCEPT_SIZE];

	(void)state;
	ph_ws_accept(PH_STR("dGhlIHNhbXBsZSBub25jZQ=="), value);
	assert_string_equal(value, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys),
		cmocka_unit_test(what_is_no_key),
		cmocka_unit_test(accept_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
