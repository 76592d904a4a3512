/* SPDX-License-Identifier: Apache-2.0 */
/* A turn's body: what it is read as. */
#include "ph_test.h"

#include <stdio.h>

#include "body_test.h"

static void refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *param;
	} bad[] = {
		{"", PH_E_JSON_BAD, ""},
		{"[]", PH_E_JSON_BAD, ""},
		{"{\"model\":\"m\"", PH_E_JSON_BAD, ""},
		{"{} x", PH_E_JSON_BAD, ""},
		{"{\"model\":1}", PH_E_TYPE_BAD, "model"},
		{"{\"model\":[\"m\"]}", PH_E_TYPE_BAD, "model"},
		{"{\"model\":\"a\",\"model\":\"b\"}", PH_E_JSON_BAD, "model"},
		{"{\"input\":1}", PH_E_TYPE_BAD, "input"},
		{"{\"input\":{}}", PH_E_TYPE_BAD, "input"},
		{"{\"input\":[],\"in\\u0070ut\":[]}", PH_E_JSON_BAD, "input"},
		{"{\"stream\":\"true\"}", PH_E_TYPE_BAD, "stream"},
		{"{\"stream\":1}", PH_E_TYPE_BAD, "stream"},
		{"{\"store\":\"no\"}", PH_E_TYPE_BAD, "store"},
		{"{\"background\":0}", PH_E_TYPE_BAD, "background"},
		{"{\"generate\":0}", PH_E_TYPE_BAD, "generate"},
		{"{\"temperature\":1,\"temperature\":2}", PH_E_JSON_BAD, "temperature"},
		{"{\"previous_response_id\":5}", PH_E_ANCHOR_BAD, "previous_response_id"},
		{"{\"previous_response_id\":{}}", PH_E_ANCHOR_BAD, "previous_response_id"},
		{"{\"previous_response_id\":\"a\\u0000b\"}", PH_E_ANCHOR_BAD, "previous_response_id"},
		{"{\"previous_response_id\":\"a\",\"previous_response_id\":\"b\"}", PH_E_JSON_BAD,
			"previous_response_id"},
		{"{\"previous_response_id\":\"a\",\"conversation\":\"c\"}", PH_E_ANCHOR_BAD,
			"previous_response_id"},
		{"{\"conversation\":5}", PH_E_TYPE_BAD, "conversation"},
		{"{\"conversation\":[]}", PH_E_TYPE_BAD, "conversation"},
		{"{\"conversation\":{}}", PH_E_PARAM_BAD, "conversation"},
		{"{\"conversation\":{\"id\":5}}", PH_E_PARAM_BAD, "conversation"},
		{"{\"conversation\":\"a\\u0000b\"}", PH_E_PARAM_BAD, "conversation"},
		{"{\"prompt_cache_options\":{\"comparison_response_id\":5}}", PH_E_PARAM_BAD,
			"prompt_cache_options"},
	};
	struct world w;
	struct ph_buf b;

	(void)state;
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		read_body(&w, ph_str_c(bad[i].text));
		if (w.rc != -bad[i].code || strcmp(w.err.param, bad[i].param) != 0)
			fail_msg("%s: %d, param '%s'", bad[i].text, w.rc, w.err.param);
		done(&w);
	}
	ph_buf_init(&b, 4096);
	for (int n = PH_RESPONSE_ID_MAX; n <= PH_RESPONSE_ID_MAX + 1; n++) {
		ph_buf_reset(&b);
		ph_buf_printf(&b, "{\"previous_response_id\":\"%0*d\"}", n, 7);
		read_body(&w, ph_buf_str(&b));
		assert_int_equal(w.rc, n > PH_RESPONSE_ID_MAX ? -PH_E_ANCHOR_BAD : 0);
		done(&w);
	}
	ph_buf_deinit(&b);
}

static void understood(void **state)
{
	struct world w;

	(void)state;
	read_body(&w, PH_STR("{}"));
	assert_int_equal(w.rc, 0);
	assert_true(w.b.store); /* unless it says no */
	assert_false(w.b.stream);
	assert_false(w.b.background);
	assert_true(w.b.generate);
	assert_int_equal(w.b.model.n + w.b.previous.n + w.b.items.n + w.b.compared.n, 0);
	done(&w);
	read_body(&w, PH_STR("{\"model\":\"g\\u0070t\",\"stream\":true,\"store\":false,\"background\":null,"
			     "\"previous_response_id\":\"  resp_1\\n\",\"input\":\"h\\\"i\\n\"}"));
	assert_int_equal(w.rc, 0);
	ph_assert_str(w.b.model, PH_STR("gpt"));
	ph_assert_str(w.b.previous, PH_STR("resp_1"));
	assert_true(w.b.stream);
	assert_false(w.b.store);
	ph_assert_str(w.b.items, PH_STR("{\"role\":\"user\",\"content\":\"h\\\"i\\n\"}"));
	done(&w);
	const char *blank[] = {"null", "\"\"", "\"  \\t\""};
	for (size_t i = 0; i < PH_COUNT(blank); i++) {
		char text[128];

		snprintf(text, sizeof text, "{\"previous_response_id\":%s,\"conversation\":null}", blank[i]);
		read_body(&w, ph_str_c(text));
		assert_int_equal(w.rc, 0);
		assert_int_equal(w.b.previous.n, 0);
		done(&w);
	}
	read_body(&w, PH_STR("{\"input\":[ {\"type\":\"item_reference\",\"id\":\"i\"} ],"
			     "\"prompt_cache_options\":{\"comparison_response_id\":\"resp_2\"}}"));
	assert_true(w.b.references);
	ph_assert_str(w.b.items, PH_STR("{\"type\":\"item_reference\",\"id\":\"i\"}"));
	ph_assert_str(w.b.compared, PH_STR("resp_2"));
	done(&w);
	read_body(&w, PH_STR("{\"input\":[\n]}"));
	assert_int_equal(w.rc, 0);
	assert_int_equal(w.b.items.n, 0);
	done(&w);
}

static void shrunk(void **state)
{
	static const struct {
		const char *text, *items;
	} bodies[] = {
		{"{\"model\":\"m\",\"previous_response_id\":\"r\",\"input\":\"hi\"}",
			"{\"role\":\"user\",\"content\":\"hi\"}"},
		{"{\"model\":\"\\u006d\",\"previous_response_id\":\" \\u0072\",\"input\":[ {\"a\":1} , 2 ]}",
			"{\"a\":1} , 2"},
		{"{\"model\":\"m\",\"previous_response_id\":\"r\"}", ""},
	};
	struct world w;

	(void)state;
	for (size_t i = 0; i < 2 * sizeof bodies / sizeof *bodies; i++) {
		bool items = i % 2;

		read_body(&w, ph_str_c(bodies[i / 2].text));
		assert_int_equal(w.rc, 0);
		ph_turn_body_shrink(&w.b, items);
		assert_null(w.b.buf.p);
		assert_int_equal(w.b.dropped, !items);
		ph_assert_str(w.b.model, PH_STR("m"));
		ph_assert_str(w.b.previous, PH_STR("r"));
		ph_assert_str(w.b.items, ph_str_c(items ? bodies[i / 2].items : ""));
		done(&w);
	}
}

/* Nothing is gained by a copy of nearly all. */
static void not_shrunk(void **state)
{
	struct world w;
	char text[40000];
	int n = snprintf(text, sizeof text, "{\"input\":[\"%030000d\"]}", 0);

	(void)state;
	read_body(&w, ph_str(text, (size_t)n));
	ph_turn_body_shrink(&w.b, true);
	assert_non_null(w.b.buf.p);
	assert_int_equal(w.b.items.n, 30002);
	assert_false(w.b.dropped);
	ph_turn_body_shrink(&w.b, false);
	assert_null(w.b.buf.p);
	assert_int_equal(w.b.items.n, 0);
	done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(understood),
		cmocka_unit_test(shrunk),
		cmocka_unit_test(not_shrunk),
	};

	return cmocka_run_group_tests_name("gateway.turn_body", tests, NULL, NULL);
}
