/* SPDX-License-Identifier: Apache-2.0 */
/* The blocking twin, for the command line and for starts: one connection, one statement at a time, no loop.
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"

struct ph_pgs {
	struct ph_pg_dsn *dsn;
	PGconn *pq;
};

static void drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

/* Until libpq wants something of its socket, at most until `until`. False: time is over. */
static bool wait_socket(PGconn *pq, short events, uint64_t until)
{
	uint64_t now = ph_clock_ms();
	struct pollfd p = {.fd = PQsocket(pq), .events = events};

	if (now >= until)
		return false;
	return poll(&p, 1, (int)(until - now)) != 0; /* an interrupted wait only asks libpq once more */
}

/* One round over the hosts. True: done, well or badly; false: a host was silent until the round's end. */
static bool connect_round(PGconn *pq, uint64_t until)
{
	PostgresPollingStatusType want = PGRES_POLLING_WRITING;

	if (PQstatus(pq) == CONNECTION_BAD)
		return true;
	while (want != PGRES_POLLING_OK && want != PGRES_POLLING_FAILED) {
		if (!wait_socket(pq, want == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
			return false;
		want = PQconnectPoll(pq);
	}
	return true;
}

static void fail_connect(struct ph_err *err, PGconn *pq, bool silent, int timeout_s)
{
	char line[256];

	ph_pg_one_line(line, sizeof(line), PQerrorMessage(pq));
	if (silent)
		ph_fail(err, PH_E_DATABASE_AWAY, "the database at %s does not answer within %d s", PQhost(pq),
			timeout_s);
	else
		ph_fail(err, PH_E_DATABASE_AWAY, "%s", line);
}

/* A silent host gets its share of the time, then the round begins with its neighbour. */
static PGconn *connect_within(const struct ph_pg_dsn *d, int timeout_s, struct ph_err *err)
{
	uint64_t share = (uint64_t)timeout_s * 1000 / (uint64_t)d->place_count;

	for (unsigned first = 0;; first++) {
		PGconn *pq = ph_pg_dsn_connect(d, d->place, d->place_count, first);
		bool done;

		PQsetNoticeReceiver(pq, drop_notice, NULL);
		done = connect_round(pq, ph_clock_ms() + share);
		if (done && PQstatus(pq) == CONNECTION_OK)
			return pq;
		if (done || first + 1 >= (unsigned)d->place_count) {
			fail_connect(err, pq, !done, timeout_s);
			PQfinish(pq);
			return NULL;
		}
		PQfinish(pq);
	}
}

struct ph_pgs *ph_pgs_open(const char *dsn, int timeout_s, struct ph_err *err)
{
	struct ph_pg_dsn *d = ph_pg_dsn_new(dsn, "posthouse", err);
	struct ph_pgs *s;
	PGconn *pq;

	if (!d)
		return NULL;
	pq = connect_within(d, timeout_s < 1 ? 1 : timeout_s, err);
	if (!pq) {
		ph_pg_dsn_free(d);
		return NULL;
	}
	s = ph_alloc(sizeof(*s));
	s->dsn = d;
	s->pq = pq;
	return s;
}

struct ph_pgs *ph_pgs_close(struct ph_pgs *s)
{
	if (s) {
		PQfinish(s->pq);
		ph_pg_dsn_free(s->dsn);
		free(s);
	}
	return NULL;
}

struct ph_pg_result *ph_pgs_query(
	struct ph_pgs *s, const char *sql, const struct ph_pg_param *params, int count, struct ph_err *err)
{
	struct ph_pg_statement *st = ph_pg_statement_new(sql, params, count);
	bool has_nul = st->has_nul;
	PGresult *r = NULL;

	if (!has_nul)
		r = PQexecParams(s->pq, sql, count, st->type, st->value, st->length, st->format, 1);
	ph_pg_statement_free(st);
	if (has_nul) {
		ph_fail(err, PH_E_DATABASE_ERROR, PG_NUL_TEXT);
		if (err)
			ph_str_copy(err->sqlstate, sizeof(err->sqlstate), PH_STR(PG_NUL_STATE));
		return NULL;
	}
	if (ph_pg_is_error(r)) {
		ph_pg_err_result(err, r, true);
		PQclear(r);
		return NULL;
	}
	return ph_pg_result_new(r);
}

int ph_pgs_script(struct ph_pgs *s, const char *sql, struct ph_err *err)
{
	PGresult *r = PQexec(s->pq, sql);
	struct ph_err local;
	int rc = 0;

	if (ph_pg_is_error(r) && PQresultStatus(r) != PGRES_EMPTY_QUERY) {
		ph_pg_err_result(&local, r, true);
		rc = -local.code;
		if (err)
			*err = local;
	}
	PQclear(r);
	return rc;
}

int ph_pgs_server_version(const struct ph_pgs *s)
{
	return PQserverVersion(s->pq);
}

/* ---- LISTEN, tried ---- */

static bool heard(PGconn *pq, const char *channel)
{
	bool found = false;

	for (PGnotify *n = PQnotifies(pq); n; n = PQnotifies(pq)) {
		found = found || strcmp(n->relname, channel) == 0;
		PQfreemem(n);
	}
	return found;
}

static bool wait_heard(PGconn *pq, const char *channel, uint64_t until)
{
	while (!heard(pq, channel))
		if (!wait_socket(pq, POLLIN, until) || !PQconsumeInput(pq))
			return false;
	return true;
}

int ph_pgs_hears(struct ph_pgs *s, struct ph_pgs *other, uint64_t timeout_ms, struct ph_err *err)
{
	char channel[] = "posthouse_probe_0123456789abcdef", sql[80];
	int rc;

	ph_rand_id(channel + strlen("posthouse_probe_"), 16);
	snprintf(sql, sizeof(sql), "LISTEN \"%s\"", channel);
	rc = ph_pgs_script(s, sql, err);
	snprintf(sql, sizeof(sql), "NOTIFY \"%s\"", channel);
	if (rc == 0)
		rc = ph_pgs_script(other, sql, err);
	if (rc == 0)
		rc = wait_heard(s->pq, channel, ph_clock_ms() + timeout_ms);
	snprintf(sql, sizeof(sql), "UNLISTEN \"%s\"", channel);
	if (rc == 1 && ph_pgs_script(s, sql, err) < 0)
		return -err->code;
	return rc;
}
