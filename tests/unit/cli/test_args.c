/* SPDX-License-Identifier: Apache-2.0 */
/* The parser against a small table: commands and groups, options in every form, and each way to be wrong. */
#include "ph_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli_priv.h"

static const struct ph_cli_option add_options[] = {
	{"kind", "KIND", "what kind"},
	{"model", "MODEL", "may be repeated"},
	{"priority", "N", "a number"},
	{"force", NULL, "a switch"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_command table[] = {
	{.name = "serve", .args = "", .settings = PH_CLI_ALL_SETTINGS, .summary = "Serve"},
	{.name = "thing add",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.options = add_options,
		.summary = "Add"},
	{.name = "thing list", .args = "", .summary = "List"},
	{.name = "version", .args = "", .summary = "Version"},
	{.name = NULL},
};

static char line[512];
static struct ph_cli cli;
static struct ph_err err;

/* Splits at spaces: "posthouse" and then the words. The words stay where cli points. */
static int parse(const char *words)
{
	char *argv[32] = {(char *)"posthouse"}, *save;
	int argc = 1;

	snprintf(line, sizeof(line), "%s", words);
	memset(&err, 0, sizeof(err));
	for (char *w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return ph_cli_parse(&cli, table, argc, argv, &err);
}

static void refused(const char *words, const char *says)
{
	assert_int_equal(parse(words), -PH_E_USAGE);
	if (strstr(err.detail, says) == NULL)
		fail_msg("%s: \"%s\" lacks \"%s\"", words, err.detail, says);
}

static void test_commands(void **state)
{
	(void)state;
	assert_int_equal(parse("serve"), 0);
	assert_string_equal(cli.command->name, "serve");
	assert_int_equal(parse("thing add a"), 0);
	assert_string_equal(cli.command->name, "thing add");
	assert_string_equal(cli.args[0], "a");
	assert_int_equal(parse("thing list"), 0);
	assert_int_equal(cli.arg_count, 0);
}

static void test_unknown_commands_list_the_known(void **state)
{
	(void)state;
	refused("", "serve, thing, version");
	refused("sevre", "unknown command \"sevre\"; there are serve, thing, version");
	refused("thing", "add, list");
	refused("thing drain x", "unknown command \"thing drain\"; there are add, list");
	refused("add x", "unknown command \"add\"");
	refused("--workers 3 serve", "write the command first");
	refused("serve now", "one argument too many");
	refused("thing add", "needs NAME");
	refused("thing add a b", "\"b\" is one argument too many");
}

static void test_options(void **state)
{
	struct ph_str models[1];

	(void)state;
	assert_int_equal(parse("thing add --kind a x --force --model=m1 --model m2 --priority -5"), 0);
	assert_string_equal(cli.args[0], "x");
	assert_string_equal(ph_cli_option(&cli, "kind"), "a");
	assert_true(ph_cli_has(&cli, "force"));
	assert_false(ph_cli_has(&cli, "json"));
	assert_null(ph_cli_option(&cli, "json"));
	assert_int_equal(
		ph_cli_options(&cli, "model", models, 1), 2); /* more than fit: the caller can tell */
	ph_assert_str(models[0], PH_STR("m1"));
	assert_string_equal(ph_cli_option(&cli, "model"), "m2");
	assert_string_equal(ph_cli_option(&cli, "priority"), "-5");
	assert_int_equal(parse("thing add x --kind="), 0);
	assert_string_equal(ph_cli_option(&cli, "kind"), "");
	assert_int_equal(parse("thing add x --kind=a=b"), 0);
	assert_string_equal(ph_cli_option(&cli, "kind"), "a=b");
}

static void test_double_dash_ends_options(void **state)
{
	(void)state;
	assert_int_equal(parse("thing add -- --kind"), 0);
	assert_string_equal(cli.args[0], "--kind");
	assert_null(ph_cli_option(&cli, "kind"));
	assert_int_equal(parse("thing add -"), 0);
	assert_string_equal(cli.args[0], "-");
}

static void test_options_refused(void **state)
{
	(void)state;
	refused("thing add x --colour", "unknown option --colour; `posthouse thing add --help` lists them");
	refused("thing add x -k", "unknown option -k");
	refused("thing add x --kind", "--kind needs a value");
	refused("thing add x --kind --force", "--kind needs a value");
	refused("thing add x --force=yes", "--force takes no value");
	refused("thing list --kind a", "unknown option --kind");
	refused("serve --kind a", "unknown option --kind");
	refused("serve --master-key x", "--master-key-file");
	refused("serve --master-key=x", "--master-key-file");
}

static void test_settings(void **state)
{
	(void)state;
	assert_int_equal(parse("serve --max-body 1MiB --listen=127.0.0.1:1 --database-url-file f"), 0);
	assert_int_equal(cli.setting_count, 3);
	assert_string_equal(cli.settings[0].name, "max-body");
	assert_string_equal(cli.settings[0].value, "1MiB");
	assert_string_equal(cli.settings[1].value, "127.0.0.1:1");
	assert_int_equal(cli.option_count, 0);
	assert_int_equal(parse("thing add x --data-dir /d"), 0);
	assert_int_equal(cli.setting_count, 1);
	refused("thing add x --max-body 1MiB", "unknown option --max-body"); /* not a flag of every command */
	refused("thing list --data-dir /d", "unknown option --data-dir");
}

static void test_help_and_version(void **state)
{
	static const char *const help[] = {"--help", "-h", "serve --help", "serve -h", "thing --help",
		"thing add --help", "thing add -h x y z", "thing add x --kind a --help",
		"serve --help --nonsense"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(help); i++) {
		assert_int_equal(parse(help[i]), 0);
		assert_true(cli.help);
	}
	assert_int_equal(parse("--version"), 0);
	assert_true(cli.version);
	assert_int_equal(parse("thing list --version"), 0);
	assert_true(cli.version);
	refused("serve --nonsense --help", "unknown option --nonsense");
	assert_int_equal(parse("thing add -- --help"), 0);
	assert_false(cli.help);
}

static void test_too_many_options(void **state)
{
	char *argv[2 * PH_CLI_OPTIONS_MAX + 8] = {
		(char *)"posthouse", (char *)"thing", (char *)"add", (char *)"x"};
	int argc = 4;

	(void)state;
	for (int i = 0; i < PH_CLI_OPTIONS_MAX; i++)
		argv[argc++] = (char *)"--force";
	assert_int_equal(ph_cli_parse(&cli, table, argc, argv, &err), 0);
	argv[argc++] = (char *)"--force";
	assert_int_equal(ph_cli_parse(&cli, table, argc, argv, &err), -PH_E_USAGE);
}

static void test_numbers(void **state)
{
	static const char *const bad[] = {"thing add x --priority 11", "thing add x --priority -11",
		"thing add x --priority 1x", "thing add x --priority=", "thing add x --priority=-",
		"thing add x --priority 99999999999999999999", "thing add x --priority 1.0"};
	int64_t n;

	(void)state;
	assert_int_equal(parse("thing add x --priority -10"), 0);
	assert_int_equal(ph_cli_number(&cli, "priority", -10, 10, 7, &n, &err), 0);
	assert_int_equal(n, -10);
	assert_int_equal(parse("thing add x"), 0);
	assert_int_equal(ph_cli_number(&cli, "priority", -10, 10, 7, &n, &err), 0);
	assert_int_equal(n, 7);
	for (size_t i = 0; i < PH_COUNT(bad); i++) {
		assert_int_equal(parse(bad[i]), 0);
		assert_int_equal(ph_cli_number(&cli, "priority", -10, 10, 7, &n, &err), -PH_E_USAGE);
		assert_non_null(strstr(err.detail, "for example --priority 1"));
	}
}

static void test_names(void **state)
{
	char longest[130];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[128] = '\0';
	assert_int_equal(ph_cli_check_name("main account", "main", &err), 0);
	assert_int_equal(ph_cli_check_name(longest, "main", &err), 0);
	longest[128] = 'a', longest[129] = '\0';
	assert_int_equal(ph_cli_check_name(longest, "main", &err), -PH_E_USAGE);
	assert_int_equal(ph_cli_check_name("", "main", &err), -PH_E_USAGE);
	assert_int_equal(ph_cli_check_name("a\tb", "main", &err), -PH_E_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_unknown_commands_list_the_known),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_double_dash_ends_options),
		cmocka_unit_test(test_options_refused),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_too_many_options),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
