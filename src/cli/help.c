/* SPDX-License-Identifier: Apache-2.0 */
/* Help, made from the table of commands and the table of settings; nothing is told twice. */
#include <stdio.h>

#include "cli_priv.h"

static void usage_line(const struct ph_cli_command *command, struct ph_buf *out)
{
	ph_buf_printf(out, "posthouse %s", command->name);
	if (command->args[0] != '\0')
		ph_buf_printf(out, " %s", command->args);
	if (command->options || command->settings != PH_CLI_NO_SETTINGS)
		ph_buf_puts(out, PH_STR(" [OPTION]..."));
}

static void command_row(const struct ph_cli_command *command, struct ph_buf *out)
{
	char head[96];

	snprintf(head, sizeof(head), "%s%s%s", command->name, command->args[0] ? " " : "", command->args);
	ph_config_help_row(out, head, command->summary);
}

static void option_rows(const struct ph_cli_option *options, struct ph_buf *out)
{
	char head[96];

	for (; options && options->name; options++) {
		if (options->doc == NULL)
			continue;
		snprintf(head, sizeof(head), "--%s%s%s", options->name, options->value ? " " : "",
			options->value ? options->value : "");
		ph_config_help_row(out, head, options->doc);
	}
	ph_config_help_row(out, "-h, --help", "Print this");
}

static void command_help(const struct ph_cli_command *command, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("Usage: "));
	usage_line(command, out);
	ph_buf_printf(out, "\n\n%s.\n", command->summary);
	if (command->details)
		ph_buf_printf(out, "\n%s\n", command->details);
	ph_buf_puts(out, PH_STR("\nOptions:\n"));
	option_rows(command->options, out);
	if (command->settings == PH_CLI_NO_SETTINGS)
		return;
	ph_buf_puts(
		out, PH_STR("\nSettings (a flag wins over the environment variable of the same name):\n"));
	ph_config_help(out, command->settings == PH_CLI_COMMON_SETTINGS);
}

static void group_help(const struct ph_cli *c, struct ph_buf *out)
{
	size_t n = strlen(c->group);

	ph_buf_printf(out, "Usage: posthouse %s COMMAND [OPTION]...\n\nCommands:\n", c->group);
	for (const struct ph_cli_command *command = c->commands; command->name; command++)
		if (strncmp(command->name, c->group, n) == 0 && command->name[n] == ' ')
			command_row(command, out);
	ph_buf_printf(out, "\n`posthouse %s COMMAND --help` explains one of them.\n", c->group);
}

static void main_help(const struct ph_cli *c, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("Usage: posthouse COMMAND [OPTION]...\n\n"
				"A gateway for the OpenAI Responses API: a conversation goes on, whichever "
				"node it reaches and\n"
				"whichever upstream account carries it.\n\nCommands:\n"));
	for (const struct ph_cli_command *command = c->commands; command->name; command++)
		command_row(command, out);
	ph_buf_puts(out, PH_STR("\n`posthouse COMMAND --help` explains one of them; `posthouse check-config` "
				"shows the settings.\n"
				"Exit status: 0 done, 1 refused or failed, 2 bad usage.\n"));
}

void ph_cli_help(const struct ph_cli *c, struct ph_buf *out)
{
	if (c->command)
		command_help(c->command, out);
	else if (c->group)
		group_help(c, out);
	else
		main_help(c, out);
}
