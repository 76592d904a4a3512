/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, and the way from argv to one of them. */
#include "posthouse/cli.h"

#include <stdio.h>

#include "cli_priv.h"

#define HELP_MAX 65536

static const struct ph_cli_option migrate_options[] = {
	{"wait", NULL, "Change nothing: wait until the schema is up to date"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option account_add_options[] = {
	{"kind", "KIND", "platform (api.openai.com and its like), stateless (any other server) or codex"},
	{"base-url", "URL", "What stands before /responses: https://api.openai.com/v1"},
	{"api-key-file", "FILE",
		"File with the upstream's key, - for standard input; stateless accounts may go without"},
	{"auth-json", "FILE",
		"For kind codex: the auth.json that `codex login` wrote, - for standard input; may be "
		"repeated: the second login gets NAME-2, the third NAME-3"},
	{"max-streams", "N", "Turns that may run at once, in the whole cluster (new accounts: no limit)"},
	{"weight", "N", "Share of the load among accounts, 1 to 1000 (new accounts: 1)"},
	{"priority", "N", "Lower is preferred; equal ones share (new accounts: 0)"},
	{"max-used-percent", "N",
		"Above this part of its quota, 1 to 100, it gets no new conversation, and no other turn "
		"that another account can take (new accounts: no bound)"},
	{"model", "MODEL", "A model that it serves; may be repeated (default: any)"},
	{"token-url", "URL", "Where a codex account's tokens are refreshed"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option account_login_options[] = {
	{"device", NULL, "With a code that is entered in a browser on any machine"},
	{"base-url", "URL", "Of a new account (default: https://chatgpt.com/backend-api/codex)"},
	{"issuer", "URL",
		"Who logs people in (default: what stands before /oauth/token in the account's token URL, "
		"else "
		"https://auth.openai.com)"},
	{"token-url", "URL", "Where tokens are had and refreshed (default: ISSUER/oauth/token)"},
	{"port", "N",
		"Where the browser's redirect arrives on loopback (default: 1455, which that issuer knows)"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option list_options[] = {{"json", NULL, "Print JSON"}, {NULL, NULL, NULL}};
static const struct ph_cli_option usage_options[] = {
	{"by", "key|account|model|hour|day",
		"What to add up, and how long; may be repeated (default: by key, by day)"},
	{"since", "TIME", "How far back: 12h, 30d (default: 7d, by hour 24h)"},
	{"json", NULL, "Print JSON"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option requests_options[] = {
	{"follow", NULL, "Show what comes, until interrupted"},
	{"key", "NAME", "Of this API key"},
	{"account", "NAME", "That this account answered"},
	{"status", "STATUS", "With this HTTP status: 429, 5xx"},
	{"failed", NULL, "That were not completed"},
	{"slow", "TIME", "That took at least that long: 10s"},
	{"since", "TIME", "Begun in that time: 30m, 2h"},
	{"limit", "N", "The newest N (default: 50)"},
	{"json", NULL, "Print JSON; with --follow one object in a line"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option audit_options[] = {
	{"object", "NAME", "Of this account, key, node or setting"},
	{"limit", "N", "The newest N (default: 50)"},
	{"json", NULL, "Print JSON"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option doctor_options[] = {
	{"turn", "MODEL", "Have a conversation of two turns with this model, which costs some tokens"},
	{"key-file", "FILE", "File with the API key for it, - for standard input"},
	{"url", "URL", "Where a node answers; a second one gets the second turn (default: POSTHOUSE_LISTEN)"},
	{"json", NULL, "Print JSON"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option top_options[] = {
	{"admin", "URL", "Admin listener of a node, for its figures; may be repeated"},
	{"interval", "TIME", "Between two looks (default: 2s)"},
	{"once", NULL, "Print one look and end"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option reason_options[] = {
	{"reason", "TEXT", "Why; kept in the audit log"}, {NULL, NULL, NULL}};
static const struct ph_cli_option key_create_options[] = {
	{"snapshots", "all|stored|none", "Which turns are kept, instead of POSTHOUSE_SNAPSHOTS"},
	{"expires", "TIME", "How long the key is valid: 30d, 12h (default: for ever)"},
	{"model", "MODEL", "A model that it may use; may be repeated (default: all)"},
	{"account", "NAME", "An account that it may use; may be repeated (default: all)"},
	{"limit", "LIMIT",
		"What it may use: requests:1000/day, tokens:1M/hour; may be repeated (default: no limits)"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option key_set_options[] = {
	{"limit", "LIMIT", "What it may use from now on: requests:1000/day, tokens:1M/hour; may be repeated"},
	{"no-limits", NULL, "It has no limits any more"},
	{"reason", "TEXT", "Why; kept in the audit log"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option snapshot_options[] = {
	{"key", "NAME", "The API key whose conversation it is"},
	{"json", NULL, "Print JSON"},
	{NULL, NULL, NULL},
};
static const struct ph_cli_option check_config_options[] = {
	{"json", NULL, "Print JSON"},
	{"markdown", NULL, NULL}, /* the table of README.md */
	{NULL, NULL, NULL},
};

static int version(const struct ph_cli *c);
static int help(const struct ph_cli *c);

static const struct ph_cli_command commands[] = {
	{
		.name = "serve",
		.args = "",
		.settings = PH_CLI_ALL_SETTINGS,
		.summary = "Run a node",
		.details = "SIGTERM or Ctrl-C drains: running turns end first. A second one ends at once.\n"
			   "Without a database URL it runs a PostgreSQL of its own in the data directory.",
		.run = ph_cmd_serve,
	},
	{
		.name = "migrate",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Bring the database's schema up to date",
		.options = migrate_options,
		.run = ph_cmd_migrate,
	},
	{
		.name = "account add",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Add an upstream account, or update the one of that name",
		.details =
			"The secret is sealed with the master key before it leaves this process.\n"
			"A login that is there already under another name is updated there, not added "
			"twice.\n\n"
			"  posthouse account add main --kind platform --base-url https://api.openai.com/v1 "
			"--api-key-file key.txt\n"
			"  posthouse account add local --kind stateless --base-url "
			"http://127.0.0.1:11434/v1\n"
			"  posthouse account add me --kind codex --base-url "
			"https://chatgpt.com/backend-api/codex "
			"\\\n      --auth-json ~/.codex/auth.json",
		.options = account_add_options,
		.run = ph_cmd_account_add,
	},
	{
		.name = "account login",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Log in for an account of kind codex, and add it or renew its login",
		.details = "Prints the page to open, and waits for 15 minutes at the most. Where the browser "
			   "runs on "
			   "another machine, paste\nthe address that it ends at. A second run, on any "
			   "machine, goes on with "
			   "the same login.\n\n"
			   "  posthouse account login me\n"
			   "  posthouse account login me --device",
		.options = account_login_options,
		.run = ph_cmd_account_login,
	},
	{
		.name = "account list",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "List the upstream accounts",
		.options = list_options,
		.run = ph_cmd_account_list,
	},
	{
		.name = "account show",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Show one upstream account",
		.options = list_options,
		.run = ph_cmd_account_show,
	},
	{
		.name = "account pause",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Send an account no new turns",
		.options = reason_options,
		.run = ph_cmd_account_pause,
	},
	{
		.name = "account resume",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Use an account again, and forget its faults",
		.options = reason_options,
		.run = ph_cmd_account_resume,
	},
	{
		.name = "account drain",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Let an account's running turns end and send it no new ones, before it is removed",
		.options = reason_options,
		.run = ph_cmd_account_drain,
	},
	{
		.name = "account remove",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Remove an account; its conversations stay replayable",
		.options = reason_options,
		.run = ph_cmd_account_remove,
	},
	{
		.name = "key create",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Make an API key and print it, once",
		.details = "Standard output gets the key and nothing else; the database keeps only its "
			   "digest.\n\n" PH_CLI_LIMITS_HELP,
		.options = key_create_options,
		.run = ph_cmd_key_create,
	},
	{
		.name = "key set",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Change what an API key may use",
		.details = "The limits given take the place of all that it had; what it used goes on to "
			   "count.\n\n" PH_CLI_LIMITS_HELP,
		.options = key_set_options,
		.run = ph_cmd_key_set,
	},
	{
		.name = "key list",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "List the API keys",
		.options = list_options,
		.run = ph_cmd_key_list,
	},
	{
		.name = "key revoke",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "End an API key",
		.options = reason_options,
		.run = ph_cmd_key_revoke,
	},
	{
		.name = "node list",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "List the nodes, and what they find amiss with themselves",
		.options = list_options,
		.run = ph_cmd_node_list,
	},
	{
		.name = "node drain",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Make a node say that it is not ready, until it is started again",
		.options = reason_options,
		.run = ph_cmd_node_drain,
	},
	{
		.name = "node forget",
		.args = "NAME",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Free what a dead node held, at once",
		.options = reason_options,
		.run = ph_cmd_node_forget,
	},
	{
		.name = "requests",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Tell what became of requests: who asked, which account took them and why, how "
			   "they ended",
		.details =
			"Newest last. ACCOUNT says in brackets why it was that one: live (its socket had the "
			"conversation),\nowner (it served the turn before), bound (only that one could), "
			"preferred (the conversation's),\nchosen (by load), moved (the owner could not).\n\n"
			"  posthouse requests --failed --since 1h\n"
			"  posthouse requests --follow --key laptop",
		.options = requests_options,
		.run = ph_cmd_requests,
	},
	{
		.name = "usage",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Add up turns, tokens and cost by key, account or model",
		.details = "  posthouse usage --by model --by hour --since 12h",
		.options = usage_options,
		.run = ph_cmd_usage,
	},
	{
		.name = "settings list",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "List the settings that hold for the whole cluster",
		.options = list_options,
		.run = ph_cmd_settings_list,
	},
	{
		.name = "settings set",
		.args = "NAME VALUE",
		.arg_count = 2,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Change a setting of the whole cluster",
		.options = reason_options,
		.run = ph_cmd_settings_set,
	},
	{
		.name = "audit",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Show who changed what, newest first",
		.options = audit_options,
		.run = ph_cmd_audit,
	},
	{
		.name = "snapshot show",
		.args = "RESPONSE_ID",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Show what one turn added to a conversation",
		.options = snapshot_options,
		.run = ph_cmd_snapshot_show,
	},
	{
		.name = "snapshot chain",
		.args = "RESPONSE_ID",
		.arg_count = 1,
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "List a turn and those before it, newest first",
		.options = snapshot_options,
		.run = ph_cmd_snapshot_chain,
	},
	{
		.name = "doctor",
		.args = "",
		.settings = PH_CLI_ALL_SETTINGS,
		.summary = "Check everything that a node needs, and say what to do about what is amiss",
		.details = "Each line is ok, warn or fail; exit status 1 when one failed.",
		.options = doctor_options,
		.run = ph_cmd_doctor,
	},
	{
		.name = "top",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Watch nodes, accounts and turns",
		.details =
			"Keys: a and t change the order of accounts and turns, p pauses, h helps, q ends.\n"
			"Rates are of the last minute, turns of the last ten.",
		.options = top_options,
		.run = ph_cmd_top,
	},
	{
		.name = "check-config",
		.args = "",
		.settings = PH_CLI_ALL_SETTINGS,
		.summary = "Show every setting, its value and where it comes from",
		.details = "Touches no network. Secrets read \"set\" or \"unset\".",
		.options = check_config_options,
		.run = ph_cmd_check_config,
	},
	{
		.name = "healthcheck",
		.args = "",
		.settings = PH_CLI_COMMON_SETTINGS,
		.summary = "Ask the node on this machine whether it is ready",
		.details = "GET /readyz on the admin listener, answered within two seconds.",
		.run = ph_cmd_healthcheck,
	},
	{
		.name = "completion",
		.args = "SHELL",
		.arg_count = 1,
		.summary = "Print what a shell needs to complete commands: bash, zsh or fish",
		.run = ph_cmd_completion,
	},
	{
		.name = "manual",
		.args = "",
		.summary = "Print the manual page, for man -l",
		.run = ph_cmd_manual,
	},
	{
		.name = "version",
		.args = "",
		.summary = "Print the version",
		.run = version,
	},
	{
		.name = "help",
		.args = "[COMMAND]",
		.summary = "Print this, or what COMMAND takes",
		.run = help,
	},
	{.name = NULL},
};

static int version(const struct ph_cli *c)
{
	(void)c;
	ph_cli_say("posthouse %s", PH_VERSION);
	return 0;
}

static int print_help(const struct ph_cli *c)
{
	struct ph_buf b;

	ph_buf_init(&b, HELP_MAX);
	ph_cli_help(c, &b);
	ph_cli_print(&b);
	ph_buf_deinit(&b);
	return 0;
}

static int help(const struct ph_cli *c)
{
	const struct ph_cli all = {.commands = c->commands};

	return print_help(&all);
}

static int run(const struct ph_cli *c)
{
	if (c->help)
		return print_help(c);
	if (c->version)
		return version(c);
	return c->command->run(c);
}

int ph_cli_main(int argc, char **argv)
{
	struct ph_err err = {0};
	struct ph_cli c;
	int status;

	if (ph_cli_parse(&c, commands, argc, argv, &err) < 0)
		return ph_cli_fail(&err);
	status = run(&c);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		ph_fail(&err, PH_E_SYSTEM,
			"standard output cannot be written to; what was printed is incomplete");
		return ph_cli_fail(&err);
	}
	return status;
}
