/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse check-config: every setting, its value and where it comes from. Touches no network. */
#include <stdio.h>

#include "posthouse/stream.h"

#include "cli_priv.h"

#define OUTPUT_MAX (1u << 20)

static void warn(void *arg, const char *text)
{
	(void)arg;
	ph_cli_warn("%s", text);
}

/* The same shape as the listings of the database, so that one printer serves all. */
static void add_row(void *arg, const char *variable, const char *value, const char *origin)
{
	struct ph_buf *b = arg;

	ph_buf_printf(b, "%s{\"name\":\"%s\",\"value\":\"", b->n > 1 ? ",\n " : "", variable);
	ph_buf_json(b, ph_str_c(value));
	ph_buf_printf(b, "\",\"origin\":\"%s\"}", origin);
}

static int print_settings(const struct ph_cli *c, const struct ph_config *config, struct ph_err *err)
{
	struct ph_buf rows;
	int r;

	ph_buf_init(&rows, OUTPUT_MAX);
	ph_buf_putc(&rows, '[');
	ph_config_each(config, add_row, &rows);
	ph_buf_putc(&rows, ']');
	r = ph_cli_rows(c, ph_buf_str(&rows), "name value origin", err);
	ph_buf_deinit(&rows);
	return r;
}

static void print_markdown(void)
{
	struct ph_buf b;

	ph_buf_init(&b, OUTPUT_MAX);
	ph_config_markdown(&b);
	ph_cli_print(&b);
	ph_buf_deinit(&b);
}

int ph_cmd_check_config(const struct ph_cli *c)
{
	struct ph_tls_tickets *tickets = NULL;
	struct ph_tls *tls = NULL;
	struct ph_config config;
	struct ph_err err = {0};
	int r;

	if (ph_cli_has(c, "markdown")) {
		print_markdown();
		return 0;
	}
	r = ph_config_load(&config, c->settings, c->setting_count, warn, NULL, &err);
	if (r < 0)
		return ph_cli_fail(&err);
	r = ph_cli_tls(&config, &tls, &tickets, &err);
	if (r == 0)
		r = print_settings(c, &config, &err);
	ph_tls_free(tls);
	ph_tls_tickets_free(tickets);
	ph_config_free(&config);
	return r < 0 ? ph_cli_fail(&err) : 0;
}
