/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short calls on a few connections. A call waits in one queue for the least busy connection, is sent as a
 * segment of its own, so that no neighbour's error can touch it, and is answered once its sync has come:
 * before that, what a function wrote is not committed.
 *
 * A call that is past its time is answered, and stays in flight as a husk until its result has drained:
 * results carry no name, only an order. Everything is decided in the pump, once per turn of the loop and
 * never inside the asking call.
 */
#include <libpq-fe.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"

/* Owner: the pool while it waits, then the connection as the owner of its segment. */
struct ph_pg_call {
	struct ph_list node; /* pool->waiting */
	struct ph_pg_pool *pool;
	struct ph_pg_segment segment; /* segment.conn is NULL while it waits */
	struct ph_pg_statement *statement;
	PGresult *result;
	struct ph_timer timer;
	uint64_t asked_ns;
	ph_pg_cb cb; /* NULL: answered or abandoned */
	void *arg;
};

static void call_free(struct ph_pg_call *call)
{
	ph_timer_stop(&call->timer);
	ph_pg_statement_free(call->statement);
	PQclear(call->result);
	free(call);
}

static ph_pg_cb take_cb(struct ph_pg_call *call)
{
	ph_pg_cb cb = call->cb;

	call->cb = NULL;
	return cb;
}

/* ---- calls that wait ---- */

static void leave_queue(struct ph_pg_call *call)
{
	ph_list_remove(&call->node);
	call->pool->waiting_count--;
}

static void refuse(struct ph_pg_call *call, int code, const char *sqlstate, const char *why)
{
	ph_pg_cb cb = take_cb(call);
	void *arg = call->arg;

	leave_queue(call);
	call_free(call);
	ph_pg_answer_code(cb, arg, code, sqlstate, why);
}

/* Those that wait now; a callback may ask again, and that call waits for the next round. */
static void refuse_all(struct ph_pg_pool *p, int code, const char *why)
{
	for (int n = p->waiting_count; n > 0 && !ph_list_empty(&p->waiting); n--)
		refuse(PH_CONTAINER(p->waiting.next, struct ph_pg_call, node), code, NULL, why);
}

static bool all_away(const struct ph_pg_pool *p)
{
	for (int i = 0; i < p->conn_count; i++)
		if (ph_pg_conn_alive(&p->conn[i]))
			return false;
	return p->pg->dsn->failed;
}

/* ---- calls in flight ---- */

static void on_result(struct ph_pg_segment *s, int at, PGresult *r)
{
	struct ph_pg_call *call = PH_CONTAINER(s, struct ph_pg_call, segment);

	/* An error of the commit stands above the rows that came before it. */
	if (call->result && (at < s->statements || !ph_pg_is_error(r))) {
		PQclear(r);
		return;
	}
	PQclear(call->result);
	call->result = r;
}

/* It has the oldest claim. */
static void send_again(struct ph_pg_call *call)
{
	struct ph_pg_pool *p = call->pool;

	call->segment.conn = NULL;
	ph_list_push_front(&p->waiting, &call->node);
	p->waiting_count++;
	ph_defer_call(p->pg->loop, &p->pump);
}

static void on_end(struct ph_pg_segment *s, bool synced)
{
	struct ph_pg_call *call = PH_CONTAINER(s, struct ph_pg_call, segment);
	bool closing = call->pool->pg->closing;
	PGresult *r = call->result;
	ph_pg_cb cb;

	call->result = NULL;
	if (s->again && call->cb && !closing) {
		PQclear(r);
		send_again(call);
		return;
	}
	cb = take_cb(call);
	if (cb && synced && r) {
		ph_metric_observe(PH_M_PG_WAIT_SECONDS, ph_clock_ns() - call->asked_ns);
		ph_pg_answer(cb, call->arg, r);
		r = NULL;
	} else if (cb) {
		ph_pg_answer_code(cb, call->arg, closing ? PH_E_CANCELLED : PH_E_DATABASE_AWAY, NULL,
			"the connection to the database was lost");
	}
	PQclear(r);
	call_free(call);
}

static void on_timer(void *arg)
{
	struct ph_pg_call *call = arg;
	ph_pg_cb cb;

	if (!call->segment.conn) {
		refuse(call, PH_E_DATABASE_AWAY, NULL, "no connection to the database was free in time");
		return;
	}
	ph_pg_conn_late(call->segment.conn, &call->segment);
	cb = take_cb(call);
	if (cb) {
		ph_metric_observe(PH_M_PG_WAIT_SECONDS, ph_clock_ns() - call->asked_ns);
		ph_pg_answer_code(
			cb, call->arg, PH_E_DATABASE_AWAY, NULL, "the database did not answer in time");
	}
}

/* ---- the pump ---- */

static struct ph_pg_conn *least_busy(struct ph_pg_pool *p)
{
	struct ph_pg_conn *best = NULL;

	for (int i = 0; i < p->conn_count; i++) {
		struct ph_pg_conn *c = &p->conn[i];

		if (ph_pg_conn_ready(c) && c->depth < PG_DEPTH_MAX && (!best || c->depth < best->depth))
			best = c;
	}
	return best;
}

static void send_call(struct ph_pg_conn *c, struct ph_pg_call *call)
{
	if (call->statement->has_nul) {
		refuse(call, PH_E_DATABASE_ERROR, PG_NUL_STATE, PG_NUL_TEXT);
		return;
	}
	leave_queue(call);
	ph_pg_send(c, &call->segment, call->statement);
	ph_pg_send_end(c, &call->segment);
}

static void pump(void *arg)
{
	struct ph_pg_pool *p = arg;
	struct ph_pg_conn *c;

	if (p->pg->closing)
		refuse_all(p, PH_E_CANCELLED, "the node is closing its database connections");
	else if (all_away(p))
		refuse_all(p, PH_E_DATABASE_AWAY, "the database cannot be reached");
	while (!ph_list_empty(&p->waiting) && (c = least_busy(p)) != NULL)
		send_call(c, PH_CONTAINER(p->waiting.next, struct ph_pg_call, node));
	while (p->waiting_count > PG_CALLS_MAX)
		refuse(PH_CONTAINER(p->waiting.prev, struct ph_pg_call, node), PH_E_DATABASE_AWAY, NULL,
			"too many calls wait for the database");
	for (int i = 0; i < p->conn_count; i++)
		ph_pg_conn_settle(&p->conn[i]);
}

static void wake(struct ph_pg_conn *c)
{
	struct ph_pg_pool *p = c->owner;

	ph_defer_call(c->loop, &p->pump);
}

static void on_up(struct ph_pg_conn *c)
{
	struct ph_pg_pool *p = c->owner;

	ph_pg_warm(c, p->pg->warm_sql);
	wake(c);
}

static const struct ph_pg_conn_ops ops = {.on_up = on_up, .on_room = wake, .on_down = wake};

/* ---- the interface ---- */

struct ph_pg_call *ph_pg_query(struct ph_pg *pg, const char *sql, const struct ph_pg_param *params, int count,
	uint64_t timeout_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_pool *p = &pg->pool;
	struct ph_pg_call *call = ph_alloc(sizeof(*call));

	call->pool = p;
	call->statement = ph_pg_statement_new(sql, params, count);
	call->asked_ns = ph_clock_ns();
	call->cb = cb;
	call->arg = arg;
	ph_pg_segment_init(&call->segment, on_result, on_end);
	ph_timer_init(&call->timer, pg->loop, on_timer, call);
	ph_timer_start(&call->timer, timeout_ms ? timeout_ms : PG_TIMEOUT_MS);
	ph_list_push_back(&p->waiting, &call->node);
	p->waiting_count++;
	ph_defer_call(pg->loop, &p->pump);
	return call;
}

void ph_pg_abandon(struct ph_pg_call *call)
{
	take_cb(call);
	if (call->segment.conn)
		return; /* its timer goes on, for the connection's sake */
	leave_queue(call);
	call_free(call);
}

bool ph_pg_up(const struct ph_pg *pg)
{
	for (int i = 0; i < pg->pool.conn_count; i++)
		if (ph_pg_conn_ready(&pg->pool.conn[i]))
			return true;
	return false;
}

bool ph_pg_just_back(const struct ph_pg *pg, uint64_t within_ms)
{
	uint64_t back = pg->dsn->back_ms;

	return back && ph_loop_now_ms(pg->loop) - back < within_ms;
}

void ph_pg_pool_init(struct ph_pg_pool *p, struct ph_pg *pg, int readers)
{
	p->pg = pg;
	p->conn_count = readers < 1 ? 1 : readers > PG_READERS_MAX ? PG_READERS_MAX : readers;
	ph_list_init(&p->waiting);
	ph_defer_init(&p->pump, pump, p);
	for (int i = 0; i < p->conn_count; i++)
		ph_pg_conn_init(&p->conn[i], pg->loop, pg->dsn, "reader", &ops, p);
}

void ph_pg_pool_start(struct ph_pg_pool *p)
{
	for (int i = 0; i < p->conn_count; i++)
		ph_pg_conn_start(&p->conn[i]);
}

void ph_pg_pool_close(struct ph_pg_pool *p)
{
	ph_defer_cancel(&p->pump);
	for (int i = 0; i < p->conn_count; i++)
		ph_pg_conn_close(&p->conn[i]);
	while (!ph_list_empty(&p->waiting))
		refuse_all(p, PH_E_CANCELLED, "the node is closing its database connections");
	ph_defer_cancel(&p->pump); /* a callback may have asked again */
}
