/* SPDX-License-Identifier: Apache-2.0 */
/* Listings as people and as programs see them, and the error line. */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli_priv.h"

static char shown[8192];

/* What fn() prints to the stream, in `shown`. */
static void capture(FILE *stream, void (*fn)(void *arg), void *arg)
{
	FILE *file = tmpfile();
	int fd = fileno(stream), before;
	size_t n;

	assert_non_null(file);
	fflush(stream);
	before = dup(fd);
	dup2(fileno(file), fd);
	fn(arg);
	fflush(stream);
	dup2(before, fd);
	close(before);
	rewind(file);
	n = fread(shown, 1, sizeof(shown) - 1, file);
	shown[n] = '\0';
	fclose(file);
}

struct listing {
	const char *json, *columns;
	bool as_json;
	int result;
	struct ph_err err;
};

static void print_rows(void *arg)
{
	struct listing *l = arg;
	struct ph_cli c = {0};

	if (l->as_json)
		c.options[c.option_count++] = (struct ph_config_flag){"json", NULL};
	l->result = ph_cli_rows(&c, ph_str_c(l->json), l->columns, &l->err);
}

static void print_one(void *arg)
{
	struct listing *l = arg;

	l->result = ph_cli_card(ph_str_c(l->json), &l->err);
}

static void test_table(void **state)
{
	struct listing l = {
		.json = "[{\"name\":\"a\",\"max_streams\":12,\"models\":[\"x\",\"y\"],\"on\":true,\"none\":"
			"null,\"more\":0.25},"
			"{\"name\":\"gr\xc3\xbc\xc3\x9f\x65\",\"max_streams\":3,\"models\":[],\"on\":false,"
			"\"none\":null,\"more\":1}]",
		.columns = "name max_streams models on none absent more",
	};

	(void)state;
	capture(stdout, print_rows, &l);
	assert_int_equal(l.result, 0);
	assert_string_equal(shown, "NAME   MAX STREAMS  MODELS  ON   NONE  MORE\n"
				   "a      12           x,y     yes  -     0.25\n"
				   "gr\xc3\xbc\xc3\x9f\x65  3            -       no   -     1\n");
}

static void test_empty_table_has_its_header(void **state)
{
	struct listing l = {.json = "[]", .columns = "name kind"};

	(void)state;
	capture(stdout, print_rows, &l);
	assert_int_equal(l.result, 0);
	assert_string_equal(shown, "NAME  KIND\n");
}

static void test_times_and_control_characters(void **state)
{
	struct listing l = {
		.json = "[{\"at\":\"2031-05-07T12:34:56.789012+00:00\",\"there\":\"2031-05-07T12:34:56+02:"
			"00\","
			"\"text\":\"2031-05-07 is\\u001b[31m a day\\nnot two\"}]",
		.columns = "at there text",
	};

	(void)state;
	capture(stdout, print_rows, &l);
	assert_non_null(strstr(shown,
		"2031-05-07 12:34:56Z  2031-05-07 12:34:56+02:00  2031-05-07 is [31m a day not two\n"));
}

static void test_json_is_untouched(void **state)
{
	struct listing l = {.json = "[{\"n\":9007199254740993,\"x\":0.1}, \n {\"n\":1e400}]",
		.columns = "n",
		.as_json = true};

	(void)state;
	capture(stdout, print_rows, &l);
	assert_int_equal(l.result, 0);
	assert_string_equal(shown, "[{\"n\":9007199254740993,\"x\":0.1}, \n {\"n\":1e400}]\n");
}

static void test_card(void **state)
{
	struct listing l = {.json = "[{\"name\":\"a\",\"base_url\":\"http://h\",\"headers\":{\"a\": 1}}]"};

	(void)state;
	capture(stdout, print_one, &l);
	assert_int_equal(l.result, 0);
	assert_string_equal(shown, "name      a\nbase_url  http://h\nheaders   {\"a\":1}\n");
}

static void test_broken_json(void **state)
{
	struct listing l = {.json = "[{", .columns = "n"};

	(void)state;
	capture(stdout, print_rows, &l);
	assert_int_equal(l.result, -PH_E_INTERNAL);
	assert_string_equal(shown, "");
	capture(stdout, print_one, &l);
	assert_int_equal(l.result, -PH_E_INTERNAL);
}

static void fail_usage(void *arg)
{
	struct ph_err e = {0};

	ph_fail(&e, PH_E_USAGE, "what; what to do");
	*(int *)arg = ph_cli_fail(&e);
}

static void fail_config(void *arg)
{
	struct ph_err e = {0};

	ph_fail(&e, PH_E_CONFIG, "what; what to do");
	*(int *)arg = ph_cli_fail(&e);
}

static void test_error_line(void **state)
{
	int status;

	(void)state;
	capture(stderr, fail_usage, &status);
	assert_int_equal(status, 2);
	assert_string_equal(shown, "posthouse: what; what to do\n");
	capture(stderr, fail_config, &status);
	assert_int_equal(status, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_empty_table_has_its_header),
		cmocka_unit_test(test_times_and_control_characters),
		cmocka_unit_test(test_json_is_untouched),
		cmocka_unit_test(test_card),
		cmocka_unit_test(test_broken_json),
		cmocka_unit_test(test_error_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
