/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements by name: what a connection has sent once is prepared on it, so that PostgreSQL parses, looks up
 * and plans it once and not with every call. Nobody asks for it: a statement is recognised by its text. The
 * first time it goes out without a name, behind the segment that prepares it, so that a text which cannot be
 * prepared fails exactly as it would have failed before.
 *
 * A transaction pooler hands each transaction to another server connection, where a name is unknown (26000)
 * or taken (42P05). Then this connection sends without names from there on, and what was refused is sent
 * again. Two things make that safe: a name is a hash of its text, so that whoever prepared it meant the same
 * statement; and what failed for want of a name has not run.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/crypt.h"
#include "posthouse/log.h"

#define MISSING    "26000" /* invalid_sql_statement_name */
#define TAKEN      "42P05" /* duplicate_prepared_statement */
#define CHANGED    "0A000" /* feature_not_supported; this one if it comes from: */
#define CHANGED_IN "RevalidateCachedQuery"

/* Owner: the connection, until its socket goes. */
struct ph_pg_prepared {
	struct ph_list node; /* conn->prepared */
	enum {
		ASKED,   /* on its way: whoever follows at once goes without a name */
		READY,   /* the server knows it */
		REFUSED, /* the server would not have it: never by name */
	} state;
	char name[24];
	char sql[];
};

/* Owner: itself, until its end. */
struct preparing {
	struct ph_pg_segment segment;
	struct ph_pg_prepared *prepared; /* valid while results come */
};

static bool has_state(const PGresult *r, const char *state)
{
	const char *is = PQresultErrorField(r, PG_DIAG_SQLSTATE);

	return is && strcmp(is, state) == 0;
}

static void stop_naming(struct ph_pg_conn *c)
{
	if (c->unnamed)
		return;
	c->unnamed = true;
	ph_log_fields(PH_LOG_INFO,
		"prepared statements get lost on the way to the database, as through a transaction pooler: "
		"this connection goes on without",
		(struct ph_field[]){PH_F_C("connection", c->what)}, 1);
}

/* ---- preparing ---- */

static void on_result(struct ph_pg_segment *s, int at, PGresult *r)
{
	struct preparing *p = PH_CONTAINER(s, struct preparing, segment);

	(void)at;
	if (!ph_pg_is_error(r))
		p->prepared->state = READY;
	else if (has_state(r, TAKEN))
		stop_naming(s->conn);
	else
		p->prepared->state = REFUSED;
	PQclear(r);
}

static void on_end(struct ph_pg_segment *s, bool synced)
{
	(void)synced;
	free(PH_CONTAINER(s, struct preparing, segment));
}

static bool prepare(struct ph_pg_conn *c, const struct ph_pg_statement *st)
{
	size_t n = strlen(st->sql) + 1;
	struct ph_pg_prepared *p = ph_alloc(sizeof(*p) + n);
	struct preparing *asking = ph_alloc(sizeof(*asking));

	memcpy(p->sql, st->sql, n);
	snprintf(p->name, sizeof(p->name), "ph_%016llx",
		(unsigned long long)ph_hash64(ph_str(st->sql, n - 1), 0));
	ph_list_push_back(&c->prepared, &p->node);
	c->prepared_count++;
	asking->prepared = p;
	ph_pg_segment_init(&asking->segment, on_result, on_end);
	asking->segment.statements = 1;
	asking->segment.aside = true;
	asking->segment.broken = PQsendPrepare(c->pq, p->name, p->sql, st->count, st->type) != 1;
	return ph_pg_send_sync(c, &asking->segment);
}

/* ---- for pipeline.c ---- */

static struct ph_pg_prepared *find(const struct ph_pg_conn *c, const char *sql)
{
	PH_LIST_EACH (it, &c->prepared) {
		struct ph_pg_prepared *p = PH_CONTAINER(it, struct ph_pg_prepared, node);

		if (strcmp(p->sql, sql) == 0)
			return p;
	}
	return NULL;
}

bool ph_pg_prepare(struct ph_pg_conn *c, const struct ph_pg_statement *st)
{
	if (c->unnamed || c->prepared_count >= PG_PREPARED_MAX || find(c, st->sql))
		return true;
	return prepare(c, st);
}

const char *ph_pg_prepared_name(const struct ph_pg_conn *c, const struct ph_pg_statement *st)
{
	const struct ph_pg_prepared *p = c->unnamed ? NULL : find(c, st->sql);

	return p && p->state == READY ? p->name : NULL;
}

bool ph_pg_prepared_lost(struct ph_pg_conn *c, const PGresult *r)
{
	const char *in = PQresultErrorField(r, PG_DIAG_SOURCE_FUNCTION);

	if (has_state(r, MISSING)) {
		stop_naming(c);
		return true;
	}
	if (!has_state(r, CHANGED) || !in || strcmp(in, CHANGED_IN) != 0)
		return false;
	ph_pg_conn_drain(c); /* the next connection prepares anew */
	return true;
}

void ph_pg_prepared_forget(struct ph_pg_conn *c)
{
	PH_LIST_EACH_SAFE (it, &c->prepared) {
		ph_list_remove(it);
		free(PH_CONTAINER(it, struct ph_pg_prepared, node));
	}
	c->prepared_count = 0;
	c->unnamed = c->dsn->pooled;
}
