/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse node list, drain, forget: the processes that serve. */
#include "table.h"
#include "view.h"

/* Of what a node says of itself a listing has room for the names of what is not well. */
static void shorten_report(json_t *row)
{
	const json_t *report = json_object_get(row, "report"), *check;
	struct ph_buf names;
	size_t i;

	if (!json_is_array(report))
		return;
	ph_buf_init(&names, 4096);
	json_array_foreach((json_t *)report, i, check)
	{
		const char *status = json_string_value(json_object_get(check, "status"));
		const char *name = json_string_value(json_object_get(check, "check"));

		if (status && name && strcmp(status, "ok") != 0)
			ph_buf_printf(&names, "%s%s", names.n > 0 ? "," : "", name);
	}
	if (names.n == 0)
		ph_buf_puts(&names, PH_STR("ok"));
	json_object_set_new(row, "report", json_stringn(names.p ? names.p : "", names.n));
	ph_buf_deinit(&names);
}

static int print(struct ph_str text, struct ph_err *err)
{
	json_t *rows = ph_cli_parse_rows(text, err), *row;
	size_t i;
	int r;

	if (rows == NULL)
		return -PH_E_INTERNAL;
	json_array_foreach(rows, i, row) shorten_report(row);
	r = ph_table_rows(rows, "name state version running slots silent_for started report", err);
	json_decref(rows);
	return r;
}

static int list(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_view_read(s->pg, PH_VIEW_NODES, NULL, 0, &rows, err);

	(void)arg;
	if (r == 0 && ph_cli_has(c, "json"))
		ph_cli_say("%.*s", PH_STR_ARG(ph_buf_str(&rows)));
	else if (r == 0)
		r = print(ph_buf_str(&rows), err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_node_list(const struct ph_cli *c)
{
	return ph_cli_with_session(c, list, NULL);
}

static int verb(const struct ph_cli *c, struct ph_cli_session *s, enum ph_cli_verb v, const char *done,
	struct ph_err *err)
{
	int r = ph_cli_store_verb(s->pg, v, c->args[0], ph_cli_option(c, "reason"), err);

	if (r == 0)
		ph_cli_say("node \"%s\" %s", c->args[0], done);
	return r;
}

static int drain(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_DRAIN_NODE, "draining", err);
}

int ph_cmd_node_drain(const struct ph_cli *c)
{
	return ph_cli_with_session(c, drain, NULL);
}

static int forget(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_FORGET_NODE, "forgotten", err);
}

int ph_cmd_node_forget(const struct ph_cli *c)
{
	return ph_cli_with_session(c, forget, NULL);
}
