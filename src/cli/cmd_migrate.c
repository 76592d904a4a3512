/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse migrate: brings the schema up to date, or waits until somebody has. */

#include <stdio.h>

#include "cli_priv.h"

#define WAIT_S 600

static void say_progress(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "%s\n", line);
}

static int migrate(const struct ph_cli *c, const struct ph_cli_session *s, struct ph_err *err)
{
	const char *dsn = ph_cli_session_direct_dsn(s, false);

	int r = ph_cli_has(c, "wait") ? ph_migrate_wait(dsn, WAIT_S, err)
				      : ph_migrate(dsn, say_progress, NULL, err);

	return r < 0 ? ph_cli_session_advise(err) : 0;
}

int ph_cmd_migrate(const struct ph_cli *c)
{
	struct ph_cli_session s;
	struct ph_err err = {0};
	int r = ph_cli_session_load(&s, c, NULL, NULL, &err);

	if (r == 0)
		r = ph_cli_session_join(&s, ph_cli_progress, &err);
	if (r == 0) {
		r = migrate(c, &s, &err);
		ph_cli_session_close(&s);
	}
	if (r < 0)
		return ph_cli_fail(&err);
	ph_cli_say("the schema is up to date (%d)", ph_schema_latest());
	return 0;
}
