/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first statement of a connection that was just opened: it lets PostgreSQL plan the functions of the
 * turn's path before a turn waits for them. Whatever comes of it is ignored: a schema that is not there yet
 * has nothing to plan.
 */
#include <libpq-fe.h>
#include <stdlib.h>

#include "pg_priv.h"

static void on_result(struct ph_pg_segment *s, int at, PGresult *r)
{
	(void)s;
	(void)at;
	PQclear(r);
}

static void on_end(struct ph_pg_segment *s, bool synced)
{
	(void)synced;
	free(s);
}

void ph_pg_warm(struct ph_pg_conn *c, const char *sql)
{
	struct ph_pg_statement *statement;
	struct ph_pg_segment *s;

	if (!sql)
		return;
	s = ph_alloc(sizeof(*s));
	statement = ph_pg_statement_new(sql, NULL, 0);
	ph_pg_segment_init(s, on_result, on_end);
	ph_pg_send(c, s, statement);
	ph_pg_statement_free(statement);
	ph_pg_send_end(c, s);
	ph_pg_conn_settle(c);
}
