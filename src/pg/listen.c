/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LISTEN on a connection of its own, over the direct conninfo: through a transaction pooler LISTEN answers OK
 * and nothing ever arrives.
 *
 *     AWAY -> ASK -> FOLLOW <-> POLL        and from anywhere back to AWAY
 *
 * LISTEN is committed first, then on_follow tells the owner to read everything, then notifications follow:
 * any other order loses what changes in between. The poll runs here too, so that it proves the connection
 * alive; where an answer does not come in time the connection is given up, and the whole begins again.
 */
#include <libpq-fe.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/metrics.h"

enum {
	AWAY,
	ASK,
	FOLLOW,
	POLL,
	STATE_NR,
};

#define B(state) PH_SM_BIT(state)
static const struct ph_sm_state states[STATE_NR] = {
	[AWAY] = {"AWAY", B(ASK)},
	[ASK] = {"ASK", B(FOLLOW) | B(AWAY)},
	[FOLLOW] = {"FOLLOW", B(POLL) | B(AWAY)},
	[POLL] = {"POLL", B(FOLLOW) | B(AWAY)},
};
#undef B

static void send_one(struct ph_pg_listener *l, const struct ph_pg_statement *st)
{
	ph_timer_start(&l->timer, PG_LISTEN_MS);
	ph_pg_send(&l->conn, &l->segment, st);
	ph_pg_send_end(&l->conn, &l->segment);
	ph_pg_conn_settle(&l->conn);
}

static void on_result(struct ph_pg_segment *s, int at, PGresult *r)
{
	struct ph_pg_listener *l = PH_CONTAINER(s, struct ph_pg_listener, segment);

	if (l->result && (at < s->statements || !ph_pg_is_error(r))) {
		PQclear(r);
		return;
	}
	PQclear(l->result);
	l->result = r;
}

static void follow(struct ph_pg_listener *l)
{
	ph_sm_move(&l->sm, FOLLOW);
	ph_timer_start(&l->timer, l->want.poll_ms);
}

static void on_listening(struct ph_pg_listener *l)
{
	if (!l->result || ph_pg_is_error(l->result)) {
		ph_pg_conn_leave(&l->conn);
		return;
	}
	follow(l);
	ph_metric_set(PH_M_LISTENING, 0, 0, 1);
	l->want.on_follow(l->want.arg);
}

static void on_polled(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_pg_listener *l = arg;

	if (!err) /* else it was counted, and the next poll will tell */
		l->want.on_poll(l->want.arg, r);
}

static void on_end(struct ph_pg_segment *s, bool synced)
{
	struct ph_pg_listener *l = PH_CONTAINER(s, struct ph_pg_listener, segment);
	PGresult *r = l->result;

	if (synced && l->sm.state == ASK) {
		on_listening(l);
	} else if (synced && l->sm.state == POLL && r) {
		l->result = NULL;
		follow(l);
		ph_pg_answer(on_polled, l, r);
	}
	PQclear(l->result);
	l->result = NULL;
}

static void on_timer(void *arg)
{
	struct ph_pg_listener *l = arg;

	if (l->sm.state != FOLLOW) {
		ph_pg_conn_drop(&l->conn, "an answer is overdue");
	} else if (ph_pg_conn_ready(&l->conn)) {
		ph_sm_move(&l->sm, POLL);
		send_one(l, l->poll);
	}
}

static void on_up(struct ph_pg_conn *c)
{
	struct ph_pg_listener *l = c->owner;

	ph_sm_move(&l->sm, ASK);
	send_one(l, l->listen);
}

static void on_room(struct ph_pg_conn *c)
{
	(void)c; /* one statement at a time, on our own clock */
}

static void on_down(struct ph_pg_conn *c)
{
	struct ph_pg_listener *l = c->owner;
	bool followed = l->sm.state == FOLLOW || l->sm.state == POLL;

	ph_timer_stop(&l->timer);
	if (l->sm.state != AWAY)
		ph_sm_move(&l->sm, AWAY);
	if (!followed)
		return;
	ph_metric_set(PH_M_LISTENING, 0, 0, 0);
	l->want.on_lost(l->want.arg);
}

static void on_notify(struct ph_pg_conn *c, const char *channel, const char *payload)
{
	struct ph_pg_listener *l = c->owner;

	if ((l->sm.state == FOLLOW || l->sm.state == POLL) && strcmp(channel, l->want.channel) == 0)
		l->want.on_notify(l->want.arg, ph_str_c(payload));
}

static const struct ph_pg_conn_ops ops = {
	.on_up = on_up, .on_room = on_room, .on_down = on_down, .on_notify = on_notify};

/* The channel as a quoted identifier. */
static struct ph_pg_statement *listen_statement(const char *channel)
{
	struct ph_pg_statement *st;
	struct ph_buf b;

	ph_buf_init(&b, 4096);
	ph_buf_puts(&b, PH_STR("LISTEN \""));
	for (; *channel; channel++) {
		if (*channel == '"')
			ph_buf_putc(&b, '"');
		ph_buf_putc(&b, *channel);
	}
	ph_buf_append(&b, "\"", 2); /* and the NUL */
	st = ph_pg_statement_new(b.failed ? "" : b.p, NULL, 0);
	ph_buf_deinit(&b);
	return st;
}

void ph_pg_listen(struct ph_pg *pg, const struct ph_pg_listen *listen)
{
	struct ph_pg_listener *l = &pg->listener;

	if (pg->listening || pg->closing)
		return;
	pg->listening = true;
	l->want = *listen;
	l->listen = listen_statement(listen->channel);
	l->poll = ph_pg_statement_new(listen->poll_sql, NULL, 0);
	ph_sm_init(&l->sm, "listen", states, STATE_NR, AWAY);
	ph_pg_segment_init(&l->segment, on_result, on_end);
	ph_timer_init(&l->timer, pg->loop, on_timer, l);
	ph_pg_conn_init(&l->conn, pg->loop, pg->direct, "listener", &ops, l);
	ph_pg_conn_start(&l->conn);
}

void ph_pg_listener_close(struct ph_pg_listener *l)
{
	ph_pg_conn_close(&l->conn);
	ph_timer_stop(&l->timer);
	ph_metric_set(PH_M_LISTENING, 0, 0, 0);
	l->listen = ph_pg_statement_free(l->listen);
	l->poll = ph_pg_statement_free(l->poll);
}
