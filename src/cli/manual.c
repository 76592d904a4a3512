/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse manual: posthouse(1) in mdoc, made from the table of commands and the table of settings. */
#include <stdio.h>

#include "cli_priv.h"

#define PAGE_MAX (1u << 20)
#define DATE     "November 23, 2026"

static const char head[] =
	".Dd " DATE "\n"
	".Dt POSTHOUSE 1\n"
	".Os\n"
	".Sh NAME\n"
	".Nm posthouse\n"
	".Nd gateway for the OpenAI Responses API\n"
	".Sh SYNOPSIS\n"
	".Nm\n"
	".Ar command\n"
	".Op Ar argument ...\n"
	".Op Fl Fl option Ar value ...\n"
	".Sh DESCRIPTION\n"
	".Nm\n"
	"stands between clients of the OpenAI Responses API and the accounts that serve them.\n"
	"A conversation goes on, whichever node it reaches and whichever account carries it: every turn is "
	"kept in\n"
	"PostgreSQL before the client sees its end, and sent again to another account where that is needed.\n"
	".Pp\n"
	"Without a database URL,\n"
	".Nm\n"
	"runs a PostgreSQL of its own in its data directory.\n"
	"Data goes to standard output, everything else to standard error.\n"
	".Sh COMMANDS\n";

static const char tail[] = ".Sh ENVIRONMENT\n"
			   "Every setting is an environment variable; its name stands in brackets above.\n"
			   "A flag wins over the variable, the variable over the default.\n"
			   "A secret may be given as a file: the name of the variable followed by\n"
			   ".Ev _FILE .\n"
			   "Where no database is set,\n"
			   ".Ev DATABASE_URL\n"
			   "and the variables of\n"
			   ".Xr psql 1\n"
			   "count.\n"
			   ".Ev NO_COLOR\n"
			   "takes the colours away from\n"
			   ".Nm posthouse top .\n"
			   ".Sh EXIT STATUS\n"
			   "0: done.\n"
			   "1: refused or failed; one line on standard error says what, and what to do.\n"
			   "2: bad usage.\n"
			   ".Sh EXAMPLES\n"
			   "A node with everything of its own, an account, and a key for a client:\n"
			   ".Bd -literal -offset indent\n"
			   "posthouse account add main --kind platform \\e\n"
			   "    --base-url https://api.openai.com/v1 --api-key-file key.txt\n"
			   "posthouse key create laptop\n"
			   "posthouse serve\n"
			   ".Ed\n"
			   ".Pp\n"
			   "What is amiss, and what failed in the last hour:\n"
			   ".Bd -literal -offset indent\n"
			   "posthouse doctor\n"
			   "posthouse requests --failed --since 1h\n"
			   ".Ed\n"
			   ".Sh SEE ALSO\n"
			   ".Xr psql 1\n";

/* A sentence begins a line, that formatters know where one ends. */
static bool ends_sentence(const char *text)
{
	return strchr(".!?", text[0]) && text[1] == ' ' && text[2] >= 'A' && text[2] <= 'Z';
}

/* Text is not to be taken for a request, nor a backslash for an escape. */
static void put_text(struct ph_buf *out, const char *text)
{
	bool start = true;

	for (; *text; text++) {
		if (start && (*text == '.' || *text == '\''))
			ph_buf_puts(out, PH_STR("\\&"));
		if (*text == '\\')
			ph_buf_puts(out, PH_STR("\\e"));
		else
			ph_buf_putc(out, *text);
		start = *text == '\n' || ends_sentence(text);
		if (ends_sentence(text)) {
			ph_buf_putc(out, '\n');
			text++;
		}
	}
}

/* An argument of a macro: quoted, so that no word of it is a macro. */
static void put_argument(struct ph_buf *out, const char *text)
{
	ph_buf_puts(out, PH_STR(" \""));
	for (; *text; text++) {
		if (*text == '"')
			ph_buf_puts(out, PH_STR("\\(dq"));
		else if (*text == '\\')
			ph_buf_puts(out, PH_STR("\\e"));
		else
			ph_buf_putc(out, *text);
	}
	ph_buf_putc(out, '"');
}

static void put_option(void *arg, const char *name, const char *value, const char *doc)
{
	struct ph_buf *out = arg;

	ph_buf_printf(out, ".It Fl Fl %s", name);
	if (value) {
		ph_buf_puts(out, PH_STR(" Ar"));
		put_argument(out, value);
	}
	ph_buf_putc(out, '\n');
	put_text(out, doc);
	ph_buf_puts(out, PH_STR(".\n"));
}

/* Lines that begin with a blank are to be typed, others are prose. */
static void put_details(struct ph_buf *out, const char *details)
{
	struct ph_str rest = ph_str_c(details);
	bool literal = false;

	if (details[0] != ' ')
		ph_buf_puts(out, PH_STR(".Pp\n"));
	while (rest.n > 0) {
		struct ph_str line = ph_str_split(&rest, '\n');
		bool typed = line.n > 0 && line.p[0] == ' ';
		char text[400];

		if (typed != literal && line.n > 0) {
			ph_buf_puts(out, typed ? PH_STR(".Bd -literal\n") : PH_STR(".Ed\n"));
			literal = typed;
		}
		ph_str_copy(text, sizeof(text), line);
		if (line.n > 0) {
			put_text(out, text);
			ph_buf_putc(out, '\n');
		}
	}
	if (literal)
		ph_buf_puts(out, PH_STR(".Ed\n"));
}

static void put_command(struct ph_buf *out, const struct ph_cli_command *c)
{
	bool any = c->options && c->options->name;

	ph_buf_printf(out, ".Ss %s%s%s\n", c->name, c->args[0] ? " " : "", c->args);
	put_text(out, c->summary);
	ph_buf_puts(out, PH_STR(".\n"));
	if (c->details)
		put_details(out, c->details);
	if (!any)
		return;
	ph_buf_puts(out, PH_STR(".Bl -tag -width Ds\n"));
	for (const struct ph_cli_option *o = c->options; o->name; o++)
		if (o->doc)
			put_option(out, o->name, o->value, o->doc);
	ph_buf_puts(out, PH_STR(".El\n"));
}

int ph_cmd_manual(const struct ph_cli *c)
{
	struct ph_buf page;

	ph_buf_init(&page, PAGE_MAX);
	ph_buf_puts(&page, ph_str_c(head));
	for (const struct ph_cli_command *command = c->commands; command->name; command++)
		put_command(&page, command);
	ph_buf_puts(&page,
		PH_STR(".Sh SETTINGS\nThese are flags of serve, check-config and doctor, the first ones "
		       "of every command that uses a\ndatabase.\n.Bl -tag -width Ds\n"));
	ph_config_flags(false, put_option, &page);
	ph_buf_puts(&page, PH_STR(".El\n"));
	ph_buf_puts(&page, ph_str_c(tail));
	ph_cli_print(&page);
	ph_buf_deinit(&page);
	return 0;
}
