/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in flight on a connection. A segment is what stands between two syncs: the server treats it as one
 * transaction, and an error in it skips the rest of it and nothing else. Results come in the order of
 * sending.
 *
 * What PQgetResult() returns in pipeline mode (libpq 15 to 17): a statement's result, then NULL; the next
 * one's, then NULL; PIPELINE_SYNC, and no NULL after it. After an error PIPELINE_ABORTED stands for each
 * statement that was skipped. An error of the commit itself comes after the last statement and before the
 * sync. With nothing in flight it returns NULL for ever. When the backend dies the sync never comes.
 */
#include <libpq-fe.h>

#include "pg_priv.h"
#include "posthouse/err.h"

void ph_pg_segment_init(struct ph_pg_segment *s,
	void (*on_result)(struct ph_pg_segment *s, int at, PGresult *r),
	void (*on_end)(struct ph_pg_segment *s, bool synced))
{
	*s = (struct ph_pg_segment){.on_result = on_result, .on_end = on_end};
	ph_list_init(&s->node);
}

/* ---- sending ---- */

void ph_pg_send(struct ph_pg_conn *c, struct ph_pg_segment *s, const struct ph_pg_statement *st)
{
	const char *name;
	int taken;

	if (s->statements == 0 && !ph_pg_prepare(c, st))
		s->broken = true;
	s->statements++;
	s->bytes += st->bytes;
	name = ph_pg_prepared_name(c, st);
	if (name)
		taken = PQsendQueryPrepared(c->pq, name, st->count, st->value, st->length, st->format, 1);
	else
		taken = PQsendQueryParams(
			c->pq, st->sql, st->count, st->type, st->value, st->length, st->format, 1);
	s->named |= name != NULL;
	s->broken |= taken != 1;
}

bool ph_pg_send_sync(struct ph_pg_conn *c, struct ph_pg_segment *s)
{
	s->conn = c;
	s->at = 0;
	s->had_result = s->late = s->again = false;
	ph_list_push_back(&c->sent, &s->node);
	c->depth++;
	c->bytes += s->bytes;
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC /* 17: the older call writes to the socket each time */
	if (!s->broken && PQsendPipelineSync(c->pq) != 1)
#else
	if (!s->broken && PQpipelineSync(c->pq) != 1)
#endif
		s->broken = true;
	return !s->broken;
}

void ph_pg_send_end(struct ph_pg_conn *c, struct ph_pg_segment *s)
{
	if (!ph_pg_send_sync(c, s))
		ph_pg_conn_drop(c, PQerrorMessage(c->pq));
	else if (c->bytes > PG_BIG)
		ph_pg_conn_drain(c);
}

/* ---- the end of a segment ---- */

static void end(struct ph_pg_conn *c, struct ph_pg_segment *s, bool synced)
{
	ph_list_remove(&s->node);
	c->depth--;
	c->bytes -= s->bytes;
	if (s->late)
		c->late--;
	s->bytes = 0;
	s->statements = 0;
	s->broken = s->late = s->named = false;
	s->on_end(s, synced);
}

void ph_pg_fail_sent(struct ph_pg_conn *c)
{
	struct ph_list dead;

	ph_list_init(&dead);
	PH_LIST_EACH_SAFE (it, &c->sent)
		ph_list_move(it, &dead);
	while (!ph_list_empty(&dead))
		end(c, PH_CONTAINER(dead.next, struct ph_pg_segment, node), false);
}

/* ---- receiving ---- */

static void take_result(struct ph_pg_conn *c, struct ph_pg_segment *s, PGresult *r)
{
	s->had_result = true;
	if (PQresultMemorySize(r) > PG_BIG)
		ph_pg_conn_drain(c);
	if (PQresultStatus(r) == PGRES_FATAL_ERROR && ph_pg_classify_result(r) == PG_ELSEWHERE)
		ph_pg_conn_leave(c);
	if (s->named && ph_pg_prepared_lost(c, r))
		s->again = true;
	s->on_result(s, s->at, r);
}

void ph_pg_read(struct ph_pg_conn *c)
{
	while (c->pq && !ph_list_empty(&c->sent) && !PQisBusy(c->pq)) {
		struct ph_pg_segment *s = PH_CONTAINER(c->sent.next, struct ph_pg_segment, node);
		PGresult *r = PQgetResult(c->pq);

		if (!r) {
			if (!s->had_result)
				break;
			s->had_result = false;
			if (s->at < s->statements)
				s->at++;
		} else if (PQresultStatus(r) == PGRES_PIPELINE_SYNC) {
			bool helped = !s->aside;

			PQclear(r);
			end(c, s, true);
			ph_pg_conn_progress(c, helped);
		} else {
			take_result(c, s, r);
		}
	}
}
