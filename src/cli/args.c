/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser: argv against a table of commands. It prints nothing and runs nothing. The command's words come
 * first; after them options and arguments in any order, "--name value" or "--name=value", and "--" ends the
 * options.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli_priv.h"

static bool is_help(const char *word)
{
	return strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0;
}

/* ---- which command ---- */

static const struct ph_cli_command *find_command(
	const struct ph_cli_command *commands, const char *first, const char *second)
{
	char name[64];

	snprintf(name, sizeof(name), "%.30s%s%.30s", first, second ? " " : "", second ? second : "");
	for (; commands->name; commands++)
		if (strcmp(commands->name, name) == 0)
			return commands;
	return NULL;
}

/* "account" is the group of "account add". */
static bool in_group(const struct ph_cli_command *command, const char *group)
{
	size_t n = strlen(group);

	return strncmp(command->name, group, n) == 0 && command->name[n] == ' ';
}

static bool is_group(const struct ph_cli_command *commands, const char *word)
{
	for (; commands->name; commands++)
		if (in_group(commands, word))
			return true;
	return false;
}

/* "add, list, show" of a group; every command, groups once, where group is NULL. */
static void list_names(const struct ph_cli_command *commands, const char *group, char *dst, size_t size)
{
	const char *last = "";
	size_t n = 0;

	dst[0] = '\0';
	for (; commands->name && n < size; commands++) {
		const char *word = commands->name;
		size_t len;

		if (group && !in_group(commands, group))
			continue;
		if (group)
			word += strlen(group) + 1;
		len = strcspn(word, " ");
		if (strncmp(last, word, len) == 0 && last[len] == ' ') /* another command of the same group */
			continue;
		n += (size_t)snprintf(dst + n, size - n, "%s%.*s", n > 0 ? ", " : "", (int)len, word);
		last = word;
	}
}

static int refuse_command(const struct ph_cli *c, const char *group, const char *word, struct ph_err *err)
{
	char names[200];

	list_names(c->commands, group, names, sizeof(names));
	if (word == NULL)
		return ph_fail(err, PH_E_USAGE, "`posthouse%s%s` needs a command: %s", group ? " " : "",
			group ? group : "", names);
	if (word[0] == '-')
		return ph_fail(err, PH_E_USAGE,
			"\"%.40s\" stands before the command: write the command first (%s)", word, names);
	return ph_fail(err, PH_E_USAGE, "unknown command \"%s%s%.40s\"; there are %s", group ? group : "",
		group ? " " : "", word, names);
}

/* How many words named the command; 0: none did, and that is all right because help or the version was asked
 * for. */
static int take_command(struct ph_cli *c, int argc, char **argv, struct ph_err *err)
{
	const char *first = argc > 1 ? argv[1] : NULL, *second = argc > 2 ? argv[2] : NULL;

	if (first == NULL)
		return refuse_command(c, NULL, NULL, err);
	c->help = is_help(first);
	c->version = strcmp(first, "--version") == 0;
	if (c->help || c->version)
		return 0;
	if (!is_group(c->commands, first)) {
		c->command = find_command(c->commands, first, NULL);
		return c->command ? 1 : refuse_command(c, NULL, first, err);
	}
	c->group = first;
	c->help = second && is_help(second);
	c->version = second && strcmp(second, "--version") == 0;
	if (c->help || c->version)
		return 0;
	c->command = second ? find_command(c->commands, first, second) : NULL;
	return c->command ? 2 : refuse_command(c, first, second, err);
}

/* ---- options and arguments ---- */

static const struct ph_cli_option *find_option(const struct ph_cli_command *command, const char *name)
{
	for (const struct ph_cli_option *o = command->options; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static bool is_setting(const struct ph_cli_command *command, const char *name)
{
	if (command->settings == PH_CLI_NO_SETTINGS)
		return false;
	return ph_config_is_flag(name, command->settings == PH_CLI_COMMON_SETTINGS);
}

static int refuse_option(const struct ph_cli *c, const char *word, struct ph_err *err)
{
	const char *name = c->command->name;

	if (strcmp(word, "--master-key") == 0)
		return ph_fail(err, PH_E_USAGE,
			"--master-key would be visible to every user of this machine; write "
			"--master-key-file FILE");
	return ph_fail(err, PH_E_USAGE, "unknown option %.60s; `posthouse %s --help` lists them", word, name);
}

static int keep(
	struct ph_config_flag *list, size_t *count, const char *name, const char *value, struct ph_err *err)
{
	if (*count == PH_CLI_OPTIONS_MAX)
		return ph_fail(err, PH_E_USAGE, "more than %d options", PH_CLI_OPTIONS_MAX);
	list[(*count)++] = (struct ph_config_flag){name, value};
	return 0;
}

/* One "--name", with its value behind '=' or in the next word. Cuts argv's word at the '='. */
static int take_option(struct ph_cli *c, char *word, const char *next, bool *took_next, struct ph_err *err)
{
	char *equals = strchr(word, '=');
	const char *name = word + 2, *value = equals ? equals + 1 : NULL;
	const struct ph_cli_option *own;

	if (equals)
		*equals = '\0';
	own = strncmp(word, "--", 2) == 0 ? find_option(c->command, name) : NULL;
	if (own == NULL && (strncmp(word, "--", 2) != 0 || !is_setting(c->command, name)))
		return refuse_option(c, word, err);
	if (own && own->value == NULL) {
		if (value)
			return ph_fail(err, PH_E_USAGE, "%s takes no value", word);
		return keep(c->options, &c->option_count, name, NULL, err);
	}
	if (value == NULL && (next == NULL || strncmp(next, "--", 2) == 0))
		return ph_fail(err, PH_E_USAGE, "%s needs a value; `posthouse %s --help` shows which", word,
			c->command->name);
	*took_next = value == NULL;
	if (value == NULL)
		value = next;
	return own ? keep(c->options, &c->option_count, name, value, err)
		   : keep(c->settings, &c->setting_count, name, value, err);
}

static int take_argument(struct ph_cli *c, const char *word, struct ph_err *err)
{
	if (c->arg_count == c->command->arg_count)
		return ph_fail(err, PH_E_USAGE,
			"\"%.60s\" is one argument too many; `posthouse %s --help` shows what it takes", word,
			c->command->name);
	c->args[c->arg_count++] = word;
	return 0;
}

static int take_rest(struct ph_cli *c, int argc, char **argv, struct ph_err *err)
{
	bool options = true;

	for (int i = 0; i < argc; i++) {
		bool took_next = false;
		int r = 0;

		if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && is_help(argv[i]))
			c->help = true;
		else if (options && strcmp(argv[i], "--version") == 0)
			c->version = true;
		else if (options && argv[i][0] == '-' && argv[i][1] != '\0')
			r = take_option(c, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &took_next, err);
		else
			r = take_argument(c, argv[i], err);
		if (r < 0 || c->help || c->version)
			return r;
		i += took_next;
	}
	return 0;
}

/* "help account add" is "account add --help", and "help account" is "account --help". */
static int explain(struct ph_cli *c, int argc, char **argv, struct ph_err *err)
{
	int words = 0;

	if (argc == 2 && is_group(c->commands, argv[1]))
		c->group = argv[1];
	else
		words = take_command(c, argc, argv, err);
	c->help = true;
	return words < 0 ? words : 0;
}

int ph_cli_parse(
	struct ph_cli *ret, const struct ph_cli_command *commands, int argc, char **argv, struct ph_err *err)
{
	int words, r;

	memset(ret, 0, sizeof(*ret));
	ret->commands = commands;
	if (argc > 2 && strcmp(argv[1], "help") == 0 && argv[2][0] != '-')
		return explain(ret, argc - 1, argv + 1, err);
	words = take_command(ret, argc, argv, err);
	if (words <= 0)
		return words;
	r = take_rest(ret, argc - 1 - words, argv + 1 + words, err);
	if (r < 0 || ret->help || ret->version || ret->arg_count == ret->command->arg_count)
		return r;
	return ph_fail(err, PH_E_USAGE, "`posthouse %s` needs %s; `posthouse %s --help` shows an example",
		ret->command->name, ret->command->args, ret->command->name);
}

/* ---- asking ---- */

bool ph_cli_has(const struct ph_cli *c, const char *option)
{
	for (size_t i = 0; i < c->option_count; i++)
		if (strcmp(c->options[i].name, option) == 0)
			return true;
	return false;
}

const char *ph_cli_option(const struct ph_cli *c, const char *option)
{
	for (size_t i = c->option_count; i-- > 0;)
		if (strcmp(c->options[i].name, option) == 0)
			return c->options[i].value;
	return NULL;
}

size_t ph_cli_options(const struct ph_cli *c, const char *option, struct ph_str *ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < c->option_count; i++) {
		if (strcmp(c->options[i].name, option) != 0)
			continue;
		if (n < max)
			ret[n] = ph_str_c(c->options[i].value);
		n++;
	}
	return n;
}

int ph_cli_number(const struct ph_cli *c, const char *option, int64_t min, int64_t max, int64_t fallback,
	int64_t *ret, struct ph_err *err)
{
	const char *text = ph_cli_option(c, option);
	struct ph_str digits = ph_str_c(text);
	bool minus = digits.n > 0 && digits.p[0] == '-';
	uint64_t n;

	*ret = fallback;
	if (text == NULL)
		return 0;
	if (minus)
		digits = ph_str_from(digits, 1);
	if (ph_str_u64(digits, INT64_MAX, &n)) {
		*ret = minus ? -(int64_t)n : (int64_t)n;
		if (*ret >= min && *ret <= max)
			return 0;
	}
	return ph_fail(err, PH_E_USAGE,
		"--%s: \"%.60s\" is no whole number from %" PRId64 " to %" PRId64
		"; for example --%s %" PRId64,
		option, text, min, max, option, min > 1 ? min : 1);
}

int ph_cli_check_name(const char *name, const char *example, struct ph_err *err)
{
	for (const char *p = name; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return ph_fail(err, PH_E_USAGE,
				"the name holds a control character; write one like %s", example);
	if (name[0] == '\0' || strlen(name) > 128)
		return ph_fail(err, PH_E_USAGE, "a name has 1 to 128 characters; write one like %s", example);
	return 0;
}

bool ph_cli_is_word(struct ph_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}
