/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to PostgreSQL. It keeps itself connected; what is sent over it is its owner's business
 * (pool, writer, listener), and what is in flight is pipeline.c's.
 *
 *     DOWN -> RESOLVE -> CONNECT -> READY <-> STALLED
 *                                     |          |
 *                                     +-> DRAIN <+      and from each of them back to DOWN, or to CLOSED
 *
 * There is no state for a set-up after the login: through a transaction pooler nothing may be set for a
 * session, so settings belong to the role. What the server reported at login is checked on the way to READY.
 *
 * The watcher knows no libpq and this file knows no libuv. The rules, each learned the hard way by somebody:
 * while connecting, every event goes to PQconnectPoll(), a failed poll too, and afterwards the socket may be
 * another one behind the same number; the watcher is paused or dropped before libpq may close the descriptor;
 * nothing is ever reset, a dead connection is finished and a new one started; the connect timer is ours,
 * because libpq never leaves a silent host by itself.
 *
 * Of the connections that share a conninfo, one at a time tries a database that is away; its success wakes
 * the others.
 */
#include <assert.h>
#include <libpq-fe.h>

#include "pg_priv.h"
#include "posthouse/crypt.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"

#define B(state)        PH_SM_BIT(PG_##state)
#define S(state, edges) [PG_##state] = {#state, (edges)}
static const struct ph_sm_state states[PG_CONN_NR] = {
	S(DOWN, B(RESOLVE) | B(CLOSED)),
	S(RESOLVE, B(CONNECT) | B(DOWN) | B(CLOSED)),
	S(CONNECT, B(READY) | B(DOWN) | B(CLOSED)),
	S(READY, B(STALLED) | B(DRAIN) | B(DOWN) | B(CLOSED)),
	S(STALLED, B(READY) | B(DRAIN) | B(DOWN) | B(CLOSED)),
	S(DRAIN, B(DOWN) | B(CLOSED)),
	S(CLOSED, 0),
};
#undef B
#undef S

static void attempt(struct ph_pg_conn *c);
static void lose(struct ph_pg_conn *c, const char *why);

bool ph_pg_conn_ready(const struct ph_pg_conn *c)
{
	return c->sm.state == PG_READY;
}

bool ph_pg_conn_alive(const struct ph_pg_conn *c)
{
	return c->sm.state == PG_READY || c->sm.state == PG_STALLED || c->sm.state == PG_DRAIN;
}

static bool trying(const struct ph_pg_conn *c)
{
	return c->sm.state == PG_RESOLVE || c->sm.state == PG_CONNECT;
}

/* The only writer of the state, and of what is counted by it. */
static void move(struct ph_pg_conn *c, enum ph_pg_conn_state to)
{
	int was_alive = ph_pg_conn_alive(c);
	int was_trying = trying(c);

	ph_sm_move(&c->sm, to);
	ph_metric_add(PH_M_PG_CONNECTIONS, 0, 0, ph_pg_conn_alive(c) - was_alive);
	ph_metric_add(PH_M_PG_CONNECTIONS, 1, 0, was_alive - (to == PG_CLOSED || ph_pg_conn_alive(c)));
	c->dsn->trying += trying(c) - was_trying;
}

/* ---- the way up ---- */

/* FATAL messages that come while nothing is asked arrive as notices: they tell why the connection is about to
 * end. */
static void on_notice(void *arg, const PGresult *r)
{
	struct ph_pg_conn *c = arg;
	const char *severity = PQresultErrorField(r, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (!severity || strcmp(severity, "FATAL") != 0)
		return;
	ph_pg_one_line(c->farewell, sizeof(c->farewell), PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY));
	ph_pg_conn_drain(c); /* nothing more goes there */
}

/* Wakes those that waited for this one to find out whether the database is there. */
static void wake_others(struct ph_pg_conn *c)
{
	PH_LIST_EACH (it, &c->dsn->conns) {
		struct ph_pg_conn *other = PH_CONTAINER(it, struct ph_pg_conn, in_dsn);

		if (other->sm.state == PG_DOWN && ph_timer_active(&other->timer))
			ph_timer_start(&other->timer, 0);
	}
}

static void ready(struct ph_pg_conn *c)
{
	ph_timer_stop(&c->timer);
	if (ph_pg_dsn_unfit(c->dsn, c->pq)) {
		lose(c, "the server is read-only");
		return;
	}
	if (PQsetnonblocking(c->pq, 1) != 0 || !PQenterPipelineMode(c->pq)) {
		lose(c, PQerrorMessage(c->pq));
		return;
	}
	move(c, PG_READY);
	if (c->dsn->failed)
		ph_log_fields(PH_LOG_INFO, "the database answers again",
			(struct ph_field[]){PH_F_C("connection", c->what), PH_F_C("host", PQhost(c->pq))}, 2);
	c->dsn->failed = false;
	if (c->lost)
		c->dsn->back_ms = ph_loop_now_ms(c->loop);
	c->lost = false;
	wake_others(c);
	ph_pg_conn_settle(c);
	if (ph_pg_conn_ready(c))
		c->ops->on_up(c);
}

static void on_event(void *owner, int status, int events);

static void arm_connecting(struct ph_pg_conn *c, int mask)
{
	if (ph_watch_arm(&c->watch, c->loop, PQsocket(c->pq), mask, true, on_event, c) < 0)
		lose(c, PQstatus(c->pq) == CONNECTION_BAD ? PQerrorMessage(c->pq)
							  : "its socket cannot be watched");
}

static void step(struct ph_pg_conn *c)
{
	ph_watch_pause(c->watch); /* libpq may close this socket now */
	switch (PQconnectPoll(c->pq)) {
	case PGRES_POLLING_READING:
		arm_connecting(c, PH_READABLE);
		break;
	case PGRES_POLLING_WRITING:
		arm_connecting(c, PH_WRITABLE);
		break;
	case PGRES_POLLING_OK:
		ready(c);
		break;
	default:
		lose(c, PQerrorMessage(c->pq));
		break;
	}
}

static void on_names(void *arg)
{
	struct ph_pg_conn *c = arg;

	if (c->names.place_count == 0) {
		lose(c, "no host name has an address");
		return;
	}
	move(c, PG_CONNECT);
	c->farewell[0] = '\0';
	c->pq = ph_pg_dsn_connect(c->dsn, c->names.place, c->names.place_count, c->first);
	ph_pg_names_stop(&c->names);
	PQsetNoticeReceiver(c->pq, on_notice, c);
	if (PQstatus(c->pq) == CONNECTION_BAD)
		lose(c, PQerrorMessage(c->pq));
	else
		arm_connecting(c, PH_WRITABLE); /* as if PQconnectPoll() had said so */
}

static uint64_t jitter(uint64_t ms)
{
	return ms / 2 + ph_rand_u64() % (ms / 2 + 1);
}

static void attempt(struct ph_pg_conn *c)
{
	if (c->dsn->failed && c->dsn->trying > 0) {
		ph_timer_start(&c->timer, jitter(PG_BACKOFF_MAX_MS));
		return;
	}
	assert(c->depth == 0 && c->bytes == 0 && c->late == 0);
	move(c, PG_RESOLVE);
	ph_timer_start(&c->timer, PG_CONNECT_MS);
	if (ph_pg_names_start(&c->names, c->loop, c->dsn, on_names, c))
		on_names(c);
}

/* ---- the way down ---- */

static void release(struct ph_pg_conn *c)
{
	ph_timer_stop(&c->timer);
	ph_pg_names_stop(&c->names);
	ph_watch_drop(&c->watch);
	PQfinish(c->pq);
	c->pq = NULL;
	ph_pg_prepared_forget(c);
}

/* One line when it is lost or cannot be reached, not one per try. */
static void tell(struct ph_pg_conn *c, const char *msg, const char *why)
{
	char line[256];

	ph_pg_one_line(line, sizeof(line), c->farewell[0] ? c->farewell : why);
	ph_log_fields(PH_LOG_WARN, msg,
		(struct ph_field[]){PH_F_C("connection", c->what), PH_F_C("reason", line)}, 2);
}

static void back_off(struct ph_pg_conn *c)
{
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : PG_BACKOFF_MIN_MS;
	if (c->backoff_ms > PG_BACKOFF_MAX_MS)
		c->backoff_ms = PG_BACKOFF_MAX_MS;
}

static void lose(struct ph_pg_conn *c, const char *why)
{
	bool was_up = ph_pg_conn_alive(c);
	uint64_t wait = c->backoff_ms;

	c->lost |= was_up;
	if (was_up)
		tell(c, "database connection lost", why);
	else if (!c->dsn->failed)
		tell(c, "cannot connect to the database", why);
	if (!was_up)
		c->dsn->failed = true;
	ph_metric_add(PH_M_PG_ERRORS, 0, 0, 1);
	release(c);
	move(c, PG_DOWN);
	ph_timer_start(&c->timer, wait ? jitter(wait) : 0);
	back_off(c);
	ph_pg_fail_sent(c);
	c->ops->on_down(c);
}

void ph_pg_conn_drop(struct ph_pg_conn *c, const char *why)
{
	if (ph_pg_conn_alive(c))
		lose(c, why);
}

void ph_pg_conn_drain(struct ph_pg_conn *c)
{
	if (c->sm.state == PG_READY || c->sm.state == PG_STALLED)
		move(c, PG_DRAIN);
}

void ph_pg_conn_leave(struct ph_pg_conn *c)
{
	if (c->sm.state != PG_DRAIN)
		back_off(c);
	ph_pg_conn_drain(c);
}

/* Replaced on purpose: no failure, nothing to tell. */
static void replace(struct ph_pg_conn *c)
{
	release(c);
	move(c, PG_DOWN);
	ph_timer_start(&c->timer, c->backoff_ms ? jitter(c->backoff_ms) : 0);
	c->ops->on_down(c);
}

static void on_timer(void *arg)
{
	struct ph_pg_conn *c = arg;

	switch ((enum ph_pg_conn_state)c->sm.state) {
	case PG_DOWN:
		attempt(c);
		break;
	case PG_RESOLVE:
	case PG_CONNECT:
		c->first++; /* a silent host: begin with its neighbour */
		c->backoff_ms = 0;
		lose(c, "it took too long");
		break;
	case PG_STALLED:
	case PG_DRAIN:
		lose(c, "an answer is overdue");
		break;
	default:
		break;
	}
}

/* ---- while up ---- */

void ph_pg_conn_late(struct ph_pg_conn *c, struct ph_pg_segment *s)
{
	if (s->late || !ph_pg_conn_alive(c))
		return;
	s->late = true;
	c->late++;
	if (c->sm.state == PG_READY)
		move(c, PG_STALLED);
	if (!ph_timer_active(&c->timer))
		ph_timer_start(&c->timer, PG_STALL_MS);
}

void ph_pg_conn_progress(struct ph_pg_conn *c, bool helped)
{
	if (helped && c->sm.state != PG_DRAIN)
		c->backoff_ms = 0; /* it works: should it break now, the next try comes at once */
	if (c->late > 0) {
		ph_timer_start(&c->timer, PG_STALL_MS);
		return;
	}
	ph_timer_stop(&c->timer);
	if (c->sm.state == PG_STALLED)
		move(c, PG_READY);
	if (c->sm.state == PG_READY)
		c->ops->on_room(c);
}

static void drain_notifies(struct ph_pg_conn *c)
{
	PGnotify *n;

	while (c->pq && (n = PQnotifies(c->pq)) != NULL) {
		if (c->ops->on_notify)
			c->ops->on_notify(c, n->relname, n->extra);
		PQfreemem(n);
	}
}

void ph_pg_conn_settle(struct ph_pg_conn *c)
{
	int rest;

	if (!ph_pg_conn_alive(c))
		return;
	rest = PQstatus(c->pq) == CONNECTION_OK ? PQflush(c->pq) : -1;
	if (rest < 0) {
		lose(c, PQerrorMessage(c->pq));
		return;
	}
	/* Readable always: reading while a flush waits keeps two full directions from locking up, and reading
	 * while idle finds a dead connection before the next call does. */
	if (ph_watch_arm(&c->watch, c->loop, PQsocket(c->pq), rest ? PH_READABLE | PH_WRITABLE : PH_READABLE,
		    false, on_event, c) < 0) {
		lose(c, "its socket cannot be watched");
		return;
	}
	if (ph_pg_dsn_unfit(c->dsn, c->pq))
		ph_pg_conn_drain(c);
	if (c->sm.state != PG_DRAIN || c->depth > 0)
		return;
	if (c->farewell[0])
		lose(c, c->farewell);
	else
		replace(c);
}

static void on_event(void *owner, int status, int events)
{
	struct ph_pg_conn *c = owner;
	int heard = 1;

	if (c->sm.state == PG_CONNECT) {
		step(c);
		return;
	}
	/* A poll that fails is a peer that reset: what it said before may still be there to read. */
	if (status < 0 || (events & PH_READABLE))
		heard = PQconsumeInput(c->pq);
	ph_pg_read(c);
	drain_notifies(c);
	if (status < 0 || !heard)
		lose(c, PQerrorMessage(c->pq));
	else
		ph_pg_conn_settle(c);
}

/* ---- for the owner ---- */

void ph_pg_conn_init(struct ph_pg_conn *c, struct ph_loop *loop, struct ph_pg_dsn *dsn, const char *what,
	const struct ph_pg_conn_ops *ops, void *owner)
{
	*c = (struct ph_pg_conn){.what = what, .loop = loop, .dsn = dsn, .ops = ops, .owner = owner};
	ph_sm_init(&c->sm, "pg", states, PG_CONN_NR, PG_DOWN);
	ph_timer_init(&c->timer, loop, on_timer, c);
	ph_list_init(&c->sent);
	ph_list_init(&c->prepared);
	ph_pg_prepared_forget(c);
	ph_list_push_back(&dsn->conns, &c->in_dsn);
	ph_metric_add(PH_M_PG_CONNECTIONS, 1, 0, 1);
}

void ph_pg_conn_start(struct ph_pg_conn *c)
{
	attempt(c);
}

void ph_pg_conn_close(struct ph_pg_conn *c)
{
	if (c->sm.state == PG_CLOSED)
		return;
	release(c);
	move(c, PG_CLOSED);
	ph_list_remove(&c->in_dsn);
	ph_pg_fail_sent(c);
}
