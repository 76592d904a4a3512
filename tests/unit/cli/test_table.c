/* SPDX-License-Identifier: Apache-2.0 */
/* Columns that must fit a terminal, and requests as lines of a story. */
#include "ph_test.h"

#include <string.h>

#include "cli/story.h"

static void fit(size_t terminal, const size_t *width, const size_t *expected, size_t n)
{
	size_t w[8];

	memcpy(w, width, n * sizeof(*w));
	ph_table_fit(w, n, terminal);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(w[i], expected[i]);
}

static void test_fit(void **state)
{
	static const size_t wide[] = {10, 40, 30}, at_80[] = {10, 36, 30}, at_60[] = {10, 23, 23};
	static const size_t at_14[] = {5, 5, 0}, at_8[] = {8};

	(void)state;
	fit(0, wide, wide, 3);   /* no terminal: nothing is cut */
	fit(84, wide, wide, 3);  /* 80 and two gaps */
	fit(80, wide, at_80, 3); /* the widest gives first */
	fit(60, wide, at_60, 3); /* then those that are as wide */
	fit(14, wide, at_14, 3); /* but nothing below five: the last one goes */
	fit(8, wide, at_8, 1);
}

static void test_spans_and_counts(void **state)
{
	static const struct {
		double n;
		const char *span, *count;
	} rows[] = {
		{0, "0 ms", "0"},
		{999, "999 ms", "999"},
		{999.7, "1.00 s", "1000"},
		{12345, "12.3 s", "12.3k"},
		{99999, "1.7 min", "100.0k"},
		{4500000, "75.0 min", "4.5M"},
	};
	char text[32];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ph_story_span(rows[i].n, text, sizeof(text));
		assert_string_equal(text, rows[i].span);
		ph_story_count(rows[i].n, text, sizeof(text));
		assert_string_equal(text, rows[i].count);
	}
}

static void tells(const char *row, const char *name, const char *expected)
{
	json_t *in = json_loads(row, 0, NULL), *out;

	assert_non_null(in);
	out = ph_story(in);
	assert_string_equal(json_string_value(json_object_get(out, name)), expected);
	json_decref(out);
	json_decref(in);
}

static void test_story(void **state)
{
	static const char whole[] =
		"{\"started\":\"2031-05-07T12:34:56.789+00:00\",\"key_name\":\"laptop\",\"model\":\"m\","
		"\"account\":\"main\",\"chosen\":\"moved\",\"attempts\":2,\"continuity\":\"replayed\","
		"\"hops\":12,"
		"\"queued_ms\":1500,\"first_event_ms\":210.4,\"duration_ms\":3200,\"input_tokens\":12000,"
		"\"cached_tokens\":8000,\"output_tokens\":350,\"cost\":0.0421,\"outcome\":\"failed\","
		"\"status\":503,\"error\":\"upstream_failed\"}";

	(void)state;
	tells(whole, "when", "2031-05-07T12:34:56");
	tells(whole, "key", "laptop");
	tells(whole, "account", "main (moved) try 2");
	tells(whole, "goes_on", "replayed 12");
	tells(whole, "waited", "1.50 s");
	tells(whole, "first", "210 ms");
	tells(whole, "total", "3.20 s");
	tells(whole, "in", "12.0k (8000 cached)");
	tells(whole, "out", "350");
	tells(whole, "cost", "$0.0421");
	tells(whole, "end", "failed 503: upstream_failed");
}

/* A view of an older schema has fewer columns, a refused request has no account. */
static void test_story_of_little(void **state)
{
	static const char little[] =
		"{\"started\":\"2031-05-07T12:34:56+00:00\",\"account\":null,\"attempts\":0,"
		"\"outcome\":\"completed\",\"error\":null,\"hops\":null}";

	(void)state;
	tells(little, "account", "-");
	tells(little, "goes_on", "-");
	tells(little, "waited", "-");
	tells(little, "in", "-");
	tells(little, "cost", "-");
	tells(little, "end", "completed");
	tells("{\"cost_nanos\":1230000}", "cost", "$0.0012");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_spans_and_counts),
		cmocka_unit_test(test_story),
		cmocka_unit_test(test_story_of_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
