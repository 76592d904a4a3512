/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse settings list, set: what holds for the whole cluster; posthouse audit: who changed what. */
#include "posthouse/pg.h"

#include "cli_priv.h"
#include "view.h"

#define AUDIT_ROWS     50
#define AUDIT_ROWS_MAX 100000

static int list(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_view_read(s->pg, PH_VIEW_SETTINGS, NULL, 0, &rows, err);

	(void)arg;
	if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows), "name value unit default updated meaning doc", err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_settings_list(const struct ph_cli *c)
{
	return ph_cli_with_session(c, list, NULL);
}

static int set(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	int r = ph_view_set_setting(s->pg, c->args[0], c->args[1], ph_cli_option(c, "reason"), err);

	(void)arg;
	if (r == 0)
		ph_cli_say("setting \"%s\" is %s", c->args[0], c->args[1]);
	return r;
}

int ph_cmd_settings_set(const struct ph_cli *c)
{
	return ph_cli_with_session(c, set, NULL);
}

/* ---- audit ---- */

static int audit(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	const char *object = ph_cli_option(c, "object");
	const struct ph_pg_param p[] = {
		PH_P_INT(*(int64_t *)arg), object ? PH_P_STR(ph_str_c(object)) : PH_P_NULL};
	struct ph_buf rows;
	int r = ph_view_read(s->pg, PH_VIEW_AUDIT, p, 2, &rows, err);

	if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows), "at actor verb object reason", err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_audit(const struct ph_cli *c)
{
	struct ph_err err = {0};
	int64_t limit;

	if (ph_cli_number(c, "limit", 1, AUDIT_ROWS_MAX, AUDIT_ROWS, &limit, &err) < 0)
		return ph_cli_fail(&err);
	return ph_cli_with_session(c, audit, &limit);
}
