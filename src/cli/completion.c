/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse completion: what bash, zsh and fish need to know, made from the table of commands and the table
 * of settings. The scripts ask no program and no database: a key press must not wait.
 */
#include <stdio.h>

#include "cli_priv.h"

#define SCRIPT_MAX (1u << 20)

/* One option of a command, of its own or of the configuration. */
typedef void (*visit_option)(void *arg, const char *name, const char *value, const char *doc);

static void each_option(const struct ph_cli_command *command, visit_option visit, void *arg)
{
	for (const struct ph_cli_option *o = command->options; o && o->name; o++)
		if (o->doc)
			visit(arg, o->name, o->value, o->doc);
	visit(arg, "help", NULL, "Print help");
	if (command->settings != PH_CLI_NO_SETTINGS)
		ph_config_flags(command->settings == PH_CLI_COMMON_SETTINGS, visit, arg);
}

static bool is_file(const char *value)
{
	return value && (strcmp(value, "FILE") == 0 || strcmp(value, "DIR") == 0);
}

static bool is_choice(const char *value)
{
	return value && strchr(value, '|') != NULL;
}

/* Of "account add" the length of "account", of "serve" 0. */
static size_t group_of(const struct ph_cli_command *command)
{
	const char *space = strchr(command->name, ' ');

	return space ? (size_t)(space - command->name) : 0;
}

/* Whether it is the first of its group, or of none. */
static bool begins(const struct ph_cli_command *commands, const struct ph_cli_command *command)
{
	size_t n = group_of(command);

	return command == commands || n == 0 || strncmp(command[-1].name, command->name, n + 1) != 0;
}

static struct ph_str first_word(const struct ph_cli_command *command)
{
	size_t n = group_of(command);

	return n > 0 ? ph_str(command->name, n) : ph_str_c(command->name);
}

/* Within single quotes; the characters of `special` get a backslash. */
static void quote(struct ph_buf *out, const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'')
			ph_buf_puts(out, PH_STR("'\\''"));
		else if (strchr(special, *text))
			ph_buf_printf(out, "\\%c", *text);
		else
			ph_buf_putc(out, *text);
	}
}

/* "a|b" as words. */
static void choices(struct ph_buf *out, const char *value)
{
	for (; *value; value++)
		ph_buf_putc(out, *value == '|' ? ' ' : *value);
}

/* ---- bash ---- */

static void bash_word(void *arg, const char *name, const char *value, const char *doc)
{
	(void)value;
	(void)doc;
	ph_buf_printf(arg, " --%s", name);
}

static void bash_value(void *arg, const char *name, const char *value, const char *doc)
{
	struct ph_buf *out = arg;

	(void)doc;
	if (is_file(value)) {
		ph_buf_printf(
			out, "    *' --%s') mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n", name);
	} else if (is_choice(value)) {
		ph_buf_printf(out, "    *' --%s') mapfile -t COMPREPLY < <(compgen -W '", name);
		choices(out, value);
		ph_buf_puts(out, PH_STR("' -- \"$cur\") ;;\n"));
	} else if (value) {
		ph_buf_printf(out, "    *' --%s') ;;\n", name);
	}
}

static bool has_option(const struct ph_cli_command *command, const char *name)
{
	for (const struct ph_cli_option *o = command->options; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return true;
	return false;
}

/* What follows an option; of several commands that have one of a name, the first tells of which sort it is.
 */
static void bash_values(const struct ph_cli_command *commands, struct ph_buf *out)
{
	for (const struct ph_cli_command *c = commands; c->name; c++)
		for (const struct ph_cli_option *o = c->options; o && o->name; o++) {
			const struct ph_cli_command *first = commands;

			while (!has_option(first, o->name))
				first++;
			if (o->doc && first == c)
				bash_value(out, o->name, o->value, o->doc);
		}
	ph_config_flags(false, bash_value, out);
}

static void bash(const struct ph_cli_command *commands, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("# bash completion of posthouse; made by `posthouse completion bash`\n"
				"_posthouse() {\n"
				"    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
				"    local command=\"${COMP_WORDS[1]} ${COMP_WORDS[2]}\"\n"
				"    COMPREPLY=()\n"
				"    if ((COMP_CWORD == 1)); then\n"
				"        words='"));
	for (const struct ph_cli_command *c = commands; c->name; c++)
		if (begins(commands, c))
			ph_buf_printf(out, "%.*s ", PH_STR_ARG(first_word(c)));
	ph_buf_puts(out, PH_STR("'\n    elif ((COMP_CWORD == 2)); then\n        case ${COMP_WORDS[1]} in\n"));
	for (const struct ph_cli_command *c = commands; c->name; c++) {
		size_t n = group_of(c);

		if (n > 0 && begins(commands, c))
			ph_buf_printf(out, "        %.*s) words='", (int)n, c->name);
		if (n > 0)
			ph_buf_printf(out, "%s ", c->name + n + 1);
		if (n > 0 && (c[1].name == NULL || begins(commands, c + 1)))
			ph_buf_puts(out, PH_STR("' ;;\n"));
	}
	ph_buf_puts(out, PH_STR("        esac\n    fi\n"
				"    if [[ -n $words ]]; then\n"
				"        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
				"        return\n"
				"    fi\n"
				"    case \"$command ${COMP_WORDS[COMP_CWORD-1]}\" in\n"));
	bash_values(commands, out);
	ph_buf_puts(out, PH_STR("    *)\n        case $command in\n"));
	for (const struct ph_cli_command *c = commands; c->name; c++) {
		ph_buf_printf(out, "        '%s%s'*) words='", c->name, group_of(c) > 0 ? "" : " ");
		each_option(c, bash_word, out);
		ph_buf_puts(out, PH_STR("' ;;\n"));
	}
	ph_buf_puts(
		out, PH_STR("        esac\n"
			    "        [[ $cur == -* ]] && mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
			    "\"$cur\")\n"
			    "        ;;\n    esac\n}\ncomplete -F _posthouse posthouse\n"));
}

/* ---- zsh ---- */

static void zsh_option(void *arg, const char *name, const char *value, const char *doc)
{
	struct ph_buf *out = arg;

	ph_buf_printf(out, " \\\n            '*--%s[", name);
	quote(out, doc, "[]:\\");
	ph_buf_putc(out, ']');
	if (is_file(value)) {
		ph_buf_printf(out, ":%s:_files", value);
	} else if (is_choice(value)) {
		ph_buf_puts(out, PH_STR(":value:("));
		choices(out, value);
		ph_buf_putc(out, ')');
	} else if (value) {
		ph_buf_putc(out, ':');
		quote(out, value, ":\\");
		ph_buf_putc(out, ':');
	}
	ph_buf_putc(out, '\'');
}

static void zsh_command(struct ph_buf *out, struct ph_str word, const char *summary)
{
	ph_buf_printf(out, " '%.*s:", PH_STR_ARG(word));
	quote(out, summary, ":\\");
	ph_buf_putc(out, '\'');
}

static void zsh(const struct ph_cli_command *commands, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("#compdef posthouse\n# made by `posthouse completion zsh`\n"
				"_posthouse() {\n    local -a words_here\n"
				"    if ((CURRENT == 2)); then\n        words_here=("));
	for (const struct ph_cli_command *c = commands; c->name; c++)
		if (begins(commands, c))
			zsh_command(out, first_word(c), group_of(c) > 0 ? "several commands" : c->summary);
	ph_buf_puts(out, PH_STR(")\n        _describe command words_here\n        return\n    fi\n"
				"    if ((CURRENT == 3)); then\n        case $words[2] in\n"));
	for (const struct ph_cli_command *c = commands; c->name; c++) {
		size_t n = group_of(c);

		if (n > 0 && begins(commands, c))
			ph_buf_printf(out, "        %.*s) words_here=(", (int)n, c->name);
		if (n > 0)
			zsh_command(out, ph_str_c(c->name + n + 1), c->summary);
		if (n > 0 && (c[1].name == NULL || begins(commands, c + 1)))
			ph_buf_puts(out, PH_STR(") ;;\n"));
	}
	ph_buf_puts(out,
		PH_STR("        esac\n        if (($#words_here)); then\n"
		       "            _describe command words_here\n            return\n        fi\n    fi\n"
		       "    case \"$words[2] $words[3]\" in\n"));
	for (const struct ph_cli_command *c = commands; c->name; c++) {
		ph_buf_printf(
			out, "        '%s%s'*)\n            _arguments", c->name, group_of(c) > 0 ? "" : " ");
		each_option(c, zsh_option, out);
		ph_buf_puts(out, PH_STR(" \\\n            '*:argument:' ;;\n"));
	}
	ph_buf_puts(out, PH_STR("    esac\n}\n_posthouse \"$@\"\n"));
}

/* ---- fish ---- */

struct fish {
	struct ph_buf *out;
	const struct ph_cli_command *command;
};

/* As a condition: these words were said. */
static void fish_said(struct ph_buf *out, const struct ph_cli_command *c)
{
	size_t n = group_of(c);

	if (n > 0)
		ph_buf_printf(out, "'__fish_seen_subcommand_from %.*s; and __fish_seen_subcommand_from %s'",
			(int)n, c->name, c->name + n + 1);
	else
		ph_buf_printf(out, "'__fish_seen_subcommand_from %s'", c->name);
}

static void fish_option(void *arg, const char *name, const char *value, const char *doc)
{
	const struct fish *f = arg;

	ph_buf_puts(f->out, PH_STR("complete -c posthouse -n "));
	fish_said(f->out, f->command);
	ph_buf_printf(f->out, " -l %s", name);
	if (is_file(value)) {
		ph_buf_puts(f->out, PH_STR(" -r -F"));
	} else if (is_choice(value)) {
		ph_buf_puts(f->out, PH_STR(" -x -a '"));
		choices(f->out, value);
		ph_buf_putc(f->out, '\'');
	} else if (value) {
		ph_buf_puts(f->out, PH_STR(" -x"));
	}
	ph_buf_puts(f->out, PH_STR(" -d '"));
	quote(f->out, doc, "\\");
	ph_buf_puts(f->out, PH_STR("'\n"));
}

static void fish_command(
	struct ph_buf *out, const struct ph_cli_command *commands, const struct ph_cli_command *c)
{
	size_t n = group_of(c);

	if (begins(commands, c)) {
		ph_buf_printf(out, "complete -c posthouse -n __fish_use_subcommand -a %.*s -d '",
			PH_STR_ARG(first_word(c)));
		quote(out, n > 0 ? "several commands" : c->summary, "\\");
		ph_buf_puts(out, PH_STR("'\n"));
	}
	if (n == 0)
		return;
	ph_buf_printf(out,
		"complete -c posthouse -n '__fish_seen_subcommand_from %.*s; and test (count (commandline "
		"-opc)) -eq 2' -a %s -d '",
		(int)n, c->name, c->name + n + 1);
	quote(out, c->summary, "\\");
	ph_buf_puts(out, PH_STR("'\n"));
}

static void fish(const struct ph_cli_command *commands, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("# made by `posthouse completion fish`\ncomplete -c posthouse -f\n"));
	for (const struct ph_cli_command *c = commands; c->name; c++) {
		struct fish f = {out, c};

		fish_command(out, commands, c);
		each_option(c, fish_option, &f);
	}
}

int ph_cmd_completion(const struct ph_cli *c)
{
	static const struct {
		const char *shell;
		void (*write)(const struct ph_cli_command *commands, struct ph_buf *out);
	} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};
	struct ph_err err = {0};
	struct ph_buf script;

	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (strcmp(c->args[0], shells[i].shell) != 0)
			continue;
		ph_buf_init(&script, SCRIPT_MAX);
		shells[i].write(c->commands, &script);
		ph_cli_print(&script);
		ph_buf_deinit(&script);
		return 0;
	}
	ph_fail(&err, PH_E_USAGE,
		"\"%.40s\" is none of bash, zsh, fish; for example posthouse completion bash", c->args[0]);
	return ph_cli_fail(&err);
}
