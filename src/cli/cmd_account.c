/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse account list, show, pause, resume, drain, remove: upstream accounts that are there. */
#include "cli_priv.h"

/* ---- list, show ---- */

static int list(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_cli_store_list(s->pg, PH_CLI_ACCOUNTS, NULL, &rows, err);

	(void)arg;
	if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows),
			"name kind state health weight priority max_streams models base_url", err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_account_list(const struct ph_cli *c)
{
	return ph_cli_with_session(c, list, NULL);
}

static int show(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_cli_store_list(s->pg, PH_CLI_ACCOUNTS, c->args[0], &rows, err);

	(void)arg;
	if (r == 0 && ph_str_eq(ph_buf_str(&rows), PH_STR("[]")))
		r = ph_fail(err, PH_E_CONFIG,
			"there is no account named \"%.128s\"; `posthouse account list` shows them",
			c->args[0]);
	else if (r == 0 && ph_cli_has(c, "json"))
		ph_cli_say("%.*s", (int)rows.n - 2, rows.p + 1); /* the one object, without the array */
	else if (r == 0)
		r = ph_cli_card(ph_buf_str(&rows), err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_account_show(const struct ph_cli *c)
{
	return ph_cli_with_session(c, show, NULL);
}

/* ---- pause, resume, drain, remove ---- */

static int verb(const struct ph_cli *c, struct ph_cli_session *s, enum ph_cli_verb v, const char *done,
	struct ph_err *err)
{
	int r = ph_cli_store_verb(s->pg, v, c->args[0], ph_cli_option(c, "reason"), err);

	if (r == 0)
		ph_cli_say("account \"%s\" %s", c->args[0], done);
	return r;
}

static int pause_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_PAUSE, "paused", err);
}

int ph_cmd_account_pause(const struct ph_cli *c)
{
	return ph_cli_with_session(c, pause_account, NULL);
}

static int resume_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_RESUME, "resumed", err);
}

int ph_cmd_account_resume(const struct ph_cli *c)
{
	return ph_cli_with_session(c, resume_account, NULL);
}

static int drain_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_DRAIN, "draining: running turns end, no new ones begin", err);
}

int ph_cmd_account_drain(const struct ph_cli *c)
{
	return ph_cli_with_session(c, drain_account, NULL);
}

static int remove_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_REMOVE, "removed", err);
}

int ph_cmd_account_remove(const struct ph_cli *c)
{
	return ph_cli_with_session(c, remove_account, NULL);
}
