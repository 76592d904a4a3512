/* SPDX-License-Identifier: Apache-2.0 */
/* What is picked from an answer: items by index, the response object, and the object made whole again. */
#include "ph_test.h"

#include <jansson.h>
#include <stdio.h>

#include "gateway/request_priv.h"

static void item(struct ph_collect *c, const char *index, const char *text)
{
	ph_collect_item(c, ph_str_c(index), ph_str_c(text));
}

static void what_a_response_says(void **state)
{
	struct ph_collect c = {.items = NULL};

	(void)state;
	ph_collect_reset(&c);
	assert_true(ph_collect_response(
		&c, PH_STR("{\"id\":\"resp_1\",\"model\":\"m-1\",\"status\":\"incomplete\",\"output\":[ "
			   "{\"a\":1} , 2 ],"
			   "\"usage\":{\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":7},"
			   "\"output_tokens\":5,\"output_tokens_details\":{\"reasoning_tokens\":3}},"
			   "\"x\":{\"id\":\"other\"}}")));
	ph_assert_str(c.id, PH_STR("resp_1"));
	ph_assert_str(c.model, PH_STR("m-1"));
	ph_assert_str(c.status, PH_STR("incomplete"));
	ph_assert_str(c.output, PH_STR("{\"a\":1} , 2"));
	assert_int_equal(c.input_tokens, 11);
	assert_int_equal(c.cached_tokens, 7);
	assert_int_equal(c.output_tokens, 5);
	assert_int_equal(c.reasoning_tokens, 3);
	assert_false(c.output_missing);
	ph_assert_str(ph_collect_envelope(&c),
		PH_STR("{\"id\":\"resp_1\",\"model\":\"m-1\",\"status\":\"incomplete\",\"output\":[],"
		       "\"usage\":{\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":7},"
		       "\"output_tokens\":5,\"output_tokens_details\":{\"reasoning_tokens\":3}},"
		       "\"x\":{\"id\":\"other\"}}"));
	ph_collect_reset(&c);
	/* members of the wrong type, or none */
	assert_true(ph_collect_response(
		&c, PH_STR("{\"id\":5,\"status\":null,\"output\":\"x\",\"usage\":[1],\"model\":{}}")));
	assert_int_equal(c.id.n + c.status.n + c.output.n + c.model.n + c.input_tokens, 0);
	ph_collect_reset(&c);
	assert_true(ph_collect_response(&c, PH_STR("{}")));
	assert_int_equal(c.id.n, 0);
	ph_assert_str(ph_collect_envelope(&c), PH_STR("{}"));
	ph_collect_reset(&c);
	assert_false(ph_collect_response(&c, PH_STR("[1]")));
	ph_collect_reset(&c);
	assert_true(ph_collect_response(&c, PH_STR("{\"usage\":{\"input_tokens\":-1,\"output_tokens\":1.5,"
						   "\"input_tokens_details\":null}}")));
	assert_int_equal(c.input_tokens + c.output_tokens + c.cached_tokens, 0);
	ph_collect_reset(&c);
}

static void items_by_index(void **state)
{
	struct ph_collect c = {.items = NULL};

	(void)state;
	ph_collect_reset(&c);
	item(&c, "2", "{\"n\":2}");
	item(&c, "0", "{\"n\":9}");
	item(&c, "0", "{\"n\":0}"); /* the last of an index wins */
	item(&c, "", "{\"n\":3}");  /* without an index: behind the last */
	item(&c, "x", "{\"n\":4}");
	item(&c, "70000", "{\"n\":5}"); /* beyond any answer */
	item(&c, "5", "");              /* no item at all */
	item(&c, "6", "null");
	item(&c, "40", "{\"n\":40}");
	assert_true(ph_collect_response(&c, PH_STR("{\"output\":[]}")));
	assert_true(c.output_missing);
	ph_assert_str(c.output, PH_STR("{\"n\":0},{\"n\":2},{\"n\":3},{\"n\":4},{\"n\":40}"));
	ph_collect_reset(&c);
	assert_int_equal(c.item_count, 0);
	assert_false(c.output_missing);
	/* items do not replace an output that is there */
	item(&c, "0", "{\"n\":0}");
	assert_true(ph_collect_response(&c, PH_STR("{\"output\":[{\"n\":1}]}")));
	assert_false(c.output_missing);
	ph_assert_str(c.output, PH_STR("{\"n\":1}"));
	ph_collect_reset(&c);
}

/* Wherever the output stands, whatever it is: the filled response is the same object with the items. */
static void filled(void **state)
{
	static const char *const outputs[] = {NULL, "null", "[]", "[ \n]"};
	static const char *const before[] = {"", "\"id\":\"r\"", "\"id\":\"r\", \"o\":{\"output\":[1]}"};
	static const char *const behind[] = {"", "\"z\":\"\\\"}\"", "\"y\":[] , \"z\":null "};

	(void)state;
	for (size_t o = 0; o < PH_COUNT(outputs); o++)
		for (size_t b = 0; b < PH_COUNT(before); b++)
			for (size_t e = 0; e < PH_COUNT(behind); e++) {
				struct ph_collect c = {.items = NULL};
				struct ph_buf text, out;
				json_t *is, *want;
				bool first = before[b][0] == '\0';

				ph_collect_reset(&c);
				item(&c, "0", "{\"n\":0}");
				item(&c, "1", "{\"n\":1}");
				ph_buf_init(&text, 4096);
				ph_buf_init(&out, 4096);
				ph_buf_printf(&text, "{ %s", before[b]);
				if (outputs[o])
					ph_buf_printf(
						&text, "%s\"output\": %s", first ? "" : ",", outputs[o]);
				first = first && !outputs[o];
				ph_buf_printf(&text, "%s%s}", behind[e][0] && !first ? "," : "", behind[e]);
				assert_true(ph_collect_response(&c, ph_buf_str(&text)));
				assert_true(c.output_missing);
				ph_collect_filled(&c, ph_buf_str(&text), &out);
				is = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, NULL);
				want = json_loadb(text.p, text.n, 0, NULL);
				assert_non_null(want);
				json_object_set_new(want, "output", json_pack("[{si},{si}]", "n", 0, "n", 1));
				if (!is || !json_equal(is, want))
					fail_msg("%.*s became %.*s", PH_STR_ARG(ph_buf_str(&text)),
						PH_STR_ARG(ph_buf_str(&out)));
				json_decref(is);
				json_decref(want);
				ph_buf_deinit(&text);
				ph_buf_deinit(&out);
				ph_collect_reset(&c);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_response_says),
		cmocka_unit_test(items_by_index),
		cmocka_unit_test(filled),
	};

	return cmocka_run_group_tests_name("gateway.collect", tests, NULL, NULL);
}
