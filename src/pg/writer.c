/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes, batched without a timer: whatever queued while the last batch was in flight goes out as the next
 * one, several statements and one sync, one implicit transaction. So an idle writer adds no latency and a
 * busy one shares commits.
 *
 * A write leaves only when the server has acknowledged or refused it. What becomes of a batch:
 *
 *     all well                 each statement gets its rows
 *     one statement failed     all was rolled back: the same go again one by one, in order, so that the bad
 *                              one gets its own error and the others are written
 *     a single one failed      for a passing reason (deadlock, time-out, disk full): a few more tries;
 *                              else its error
 *     the connection was lost  nobody knows: the same again, in order, when a connection is back.
 *                              Statements are idempotent, that is the contract
 *
 * Turns wait for their commit, log rows of other turns come by the thousand. So there are two queues, and
 * rows get a quarter of the places while anybody waits: a turn meets at most the batch in flight and its own.
 * The rows of a batch are one statement.
 *
 * What waits longer than five minutes, or beyond 64 MiB, is given up with DATABASE_AWAY.
 */
#include <libpq-fe.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"

/* Owner: the writer; one of its lists holds it. */
struct ph_pg_write {
	struct ph_list node;
	struct ph_list *home; /* where it waits, unless it is in flight */
	struct ph_pg_statement *statement;
	const struct ph_pg_rows *rows; /* NULL: no row. Else the statement has only its values */
	int at;                        /* in flight: which of the batch's statements it is, or is part of */
	size_t bytes;                  /* counted against keep_bytes */
	PGresult *result;
	uint64_t asked_ns;
	uint64_t expires_ms;
	int tries;
	bool given_up; /* answered already, but still in flight */
	ph_pg_cb cb;
	void *arg;
};

#define RECENT_NS (UINT64_C(600) * 1000 * 1000 * 1000) /* what happened before says nothing of now */
#define CLOSING   "the node is closing its database connections"

static struct ph_pg_write *first(const struct ph_list *list)
{
	return PH_CONTAINER(list->next, struct ph_pg_write, node);
}

/* The lists of those that wait, in the order of sending. */
enum {
	LIST_NR = 3
};
static struct ph_list *list_of(struct ph_pg_writer *w, size_t i)
{
	return (struct ph_list *[LIST_NR]){&w->single, &w->queue, &w->rows}[i];
}

static bool idle(struct ph_pg_writer *w)
{
	return ph_list_empty(&w->single) && ph_list_empty(&w->queue) && ph_list_empty(&w->rows);
}

static void wake(struct ph_pg_writer *w)
{
	ph_defer_call(w->pg->loop, &w->pump);
}

/* Out of its list and out of the figures. */
static void take_out(struct ph_pg_writer *w, struct ph_pg_write *write)
{
	ph_list_remove(&write->node);
	w->count--;
	w->bytes -= write->bytes;
	ph_metric_set(PH_M_WRITE_QUEUE, 0, 0, (int64_t)w->count);
}

static void write_free(struct ph_pg_write *write)
{
	ph_pg_statement_free(write->statement);
	PQclear(write->result);
	free(write);
}

/* The end of a write: r; or where r is NULL an error of ours, or of a row, code 0, that it is written. */
static void finish(struct ph_pg_writer *w, struct ph_pg_write *write, PGresult *r, int code,
	const char *sqlstate, const char *why)
{
	ph_pg_cb cb = write->cb;
	void *arg = write->arg;
	bool given_up = write->given_up;
	bool done = write->rows && code == 0;

	take_out(w, write);
	if (!given_up)
		ph_metric_observe(PH_M_PG_WAIT_SECONDS, ph_clock_ns() - write->asked_ns);
	write_free(write);
	if (given_up)
		PQclear(r);
	else if (r)
		ph_pg_answer(cb, arg, r);
	else if (done)
		ph_pg_answer_done(cb, arg);
	else
		ph_pg_answer_code(cb, arg, code, sqlstate, why);
}

/* ---- patience ---- */

static void watch_oldest(struct ph_pg_writer *w)
{
	uint64_t now = ph_loop_now_ms(w->pg->loop);
	uint64_t at = UINT64_MAX;

	PH_LIST_EACH (it, &w->batch) {
		const struct ph_pg_write *write = PH_CONTAINER(it, struct ph_pg_write, node);

		if (!write->given_up && write->expires_ms < at)
			at = write->expires_ms;
	}
	for (size_t i = 0; i < LIST_NR; i++)
		if (!ph_list_empty(list_of(w, i)) && first(list_of(w, i))->expires_ms < at)
			at = first(list_of(w, i))->expires_ms;
	if (at == UINT64_MAX)
		ph_timer_stop(&w->expire);
	else
		ph_timer_start(&w->expire, at > now ? at - now : 0);
}

static void give_up(struct ph_pg_write *write)
{
	write->given_up = true;
	ph_pg_answer_code(
		write->cb, write->arg, PH_E_DATABASE_AWAY, NULL, "the database stayed away too long");
}

static void on_expire(void *arg)
{
	struct ph_pg_writer *w = arg;
	uint64_t now = ph_loop_now_ms(w->pg->loop);

	PH_LIST_EACH (it, &w->batch) {
		struct ph_pg_write *write = PH_CONTAINER(it, struct ph_pg_write, node);

		if (!write->given_up && write->expires_ms <= now)
			give_up(write);
	}
	for (size_t i = 0; i < LIST_NR; i++)
		while (!ph_list_empty(list_of(w, i)) && first(list_of(w, i))->expires_ms <= now)
			finish(w, first(list_of(w, i)), NULL, PH_E_DATABASE_AWAY, NULL,
				"the database stayed away too long");
	watch_oldest(w);
	ph_pg_writer_empty(w->pg);
}

/* ---- a batch comes back ---- */

/* Everything in the batch to where it came from, in order; what was given up meanwhile is forgotten. */
static void put_back(struct ph_pg_writer *w)
{
	while (!ph_list_empty(&w->batch)) {
		struct ph_pg_write *write = PH_CONTAINER(w->batch.prev, struct ph_pg_write, node);

		PQclear(write->result);
		write->result = NULL;
		if (write->given_up) {
			finish(w, write, NULL, 0, NULL, NULL);
			continue;
		}
		ph_list_remove(&write->node);
		ph_list_push_front(write->home, &write->node);
	}
}

/* The batch failed, or what was alone in it for a reason that may pass. */
static void single_out(struct ph_pg_writer *w)
{
	PH_LIST_EACH (it, &w->batch)
		PH_CONTAINER(it, struct ph_pg_write, node)->home = &w->single;
	put_back(w);
}

static void acknowledge(struct ph_pg_writer *w)
{
	while (!ph_list_empty(&w->batch)) {
		struct ph_pg_write *write = first(&w->batch);
		PGresult *r = write->result;

		write->result = NULL;
		finish(w, write, r, write->rows ? 0 : PH_E_INTERNAL, NULL, "the database sent no result");
	}
}

/* A single write that was refused: its error, or another try. */
static void refuse_single(struct ph_pg_writer *w)
{
	PGresult *error = w->error;
	struct ph_pg_write *write = first(&w->batch);

	if (ph_pg_classify_result(error) == PG_AGAIN && ++write->tries < PG_TRIES_MAX) {
		ph_timer_start(&w->pause, UINT64_C(10) << write->tries);
		single_out(w);
		return;
	}
	w->error = NULL;
	finish(w, write, error, 0, NULL, NULL);
}

static void judge(struct ph_pg_writer *w)
{
	if (ph_pg_classify_result(w->error) == PG_ELSEWHERE)
		put_back(w); /* the connection is being replaced */
	else if (w->batch.next == w->batch.prev)
		refuse_single(w);
	else
		single_out(w);
}

static void on_result(struct ph_pg_segment *s, int at, PGresult *r)
{
	struct ph_pg_writer *w = PH_CONTAINER(s, struct ph_pg_writer, segment);

	if (PQresultStatus(r) == PGRES_PIPELINE_ABORTED) {
		PQclear(r); /* skipped, because of the error that came before */
		return;
	}
	if (ph_pg_is_error(r)) {
		PQclear(w->error);
		w->error = r;
		return;
	}
	PH_LIST_EACH (it, &w->batch) {
		struct ph_pg_write *write = PH_CONTAINER(it, struct ph_pg_write, node);

		if (write->at != at || write->rows)
			continue;
		PQclear(write->result);
		write->result = r;
		return;
	}
	PQclear(r); /* of rows: that it came is all there is to know */
}

/* ---- how it goes ---- */

/* What is wrong with the server, not with the statement: insufficient resources, errors of its system. */
static bool is_of_server(const char *sqlstate)
{
	return sqlstate && (strncmp(sqlstate, "53", 2) == 0 || strncmp(sqlstate, "58", 2) == 0);
}

static void note_refusal(struct ph_pg_writer *w)
{
	const char *sqlstate = PQresultErrorField(w->error, PG_DIAG_SQLSTATE);

	if (!is_of_server(sqlstate))
		return;
	ph_str_copy(w->state, sizeof(w->state), ph_str_c(sqlstate));
	w->state_at_ns = ph_clock_ns();
}

static void note_commit(struct ph_pg_writer *w)
{
	uint64_t now = ph_clock_ns(), took = now - w->sent_ns;

	w->took_ns = now - w->took_at_ns > RECENT_NS ? took : w->took_ns - w->took_ns / 8 + took / 8;
	w->took_at_ns = now;
	w->state[0] = '\0';
}

void ph_pg_writing(const struct ph_pg *pg, struct ph_pg_writing *ret)
{
	const struct ph_pg_writer *w = &pg->writer;
	uint64_t now = ph_clock_ns(), took = 0;

	*ret = (struct ph_pg_writing){.commit_ms = 0};
	if (w->took_at_ns && now - w->took_at_ns < RECENT_NS)
		took = w->took_ns;
	if (!ph_list_empty(&w->batch) && now - w->sent_ns > took)
		took = now - w->sent_ns;
	ret->commit_ms = took / 1000000;
	if (w->state[0] && now - w->state_at_ns < RECENT_NS)
		memcpy(ret->sqlstate, w->state, sizeof(ret->sqlstate));
}

static void on_end(struct ph_pg_segment *s, bool synced)
{
	struct ph_pg_writer *w = PH_CONTAINER(s, struct ph_pg_writer, segment);

	ph_timer_stop(&w->late);
	if (!synced || s->again)
		put_back(w);
	else if (w->error) {
		note_refusal(w);
		judge(w);
	} else {
		note_commit(w);
		acknowledge(w);
	}
	PQclear(w->error);
	w->error = NULL;
	watch_oldest(w);
	wake(w);
}

static void on_late(void *arg)
{
	struct ph_pg_writer *w = arg;

	ph_pg_conn_late(&w->conn, &w->segment);
}

/* ---- a batch goes out ---- */

static void send_rows(
	struct ph_pg_writer *w, const struct ph_pg_rows *what, struct ph_pg_statement *const *rows, size_t n)
{
	struct ph_pg_statement *all = ph_pg_statement_rows(what, rows, n);

	ph_pg_send(&w->conn, &w->segment, all);
	ph_pg_statement_free(all);
}

/* Of one list, at most so many and so much, but at least one. Returns how many. */
static size_t send_some(struct ph_pg_writer *w, struct ph_list *list, size_t most, size_t most_bytes)
{
	const struct ph_pg_rows *what = ph_list_empty(list) ? NULL : first(list)->rows;
	struct ph_pg_statement *rows[PG_BATCH_MAX];
	size_t bytes = 0;
	size_t n = 0;

	while (n < most && !ph_list_empty(list) && first(list)->rows == what) {
		struct ph_pg_write *write = first(list);

		bytes += write->statement->bytes;
		if (n > 0 && bytes > most_bytes)
			break;
		write->at = w->segment.statements;
		ph_list_move(&write->node, &w->batch);
		rows[n++] = write->statement;
		if (!what)
			ph_pg_send(&w->conn, &w->segment, write->statement);
	}
	if (what)
		send_rows(w, what, rows, n);
	return n;
}

static void send_batch(struct ph_pg_writer *w)
{
	size_t share = ph_list_empty(&w->rows) ? 0 : PG_BATCH_SHARE;

	if (send_some(w, &w->single, 1, 0) == 0) {
		if (send_some(w, &w->queue, PG_BATCH_MAX - share, PG_BATCH_BYTES))
			send_some(w, &w->rows, share, PG_SHARE_BYTES);
		else
			send_some(w, &w->rows, PG_BATCH_MAX, PG_BATCH_BYTES);
	}
	ph_metric_add(PH_M_PG_BATCHES, 0, 0, 1);
	w->sent_ns = ph_clock_ns();
	ph_timer_start(&w->late, PG_BATCH_MS);
	ph_pg_send_end(&w->conn, &w->segment);
	ph_pg_conn_settle(&w->conn);
}

static void refuse(struct ph_pg_writer *w, struct ph_pg_write *write)
{
	w->bytes -= write->bytes;
	write->bytes = 0;
	ph_list_move(&write->node, &w->refused);
}

/* What is beyond the bounds, what nobody waits for and the newest first, and what was asked in vain. */
static void shed(struct ph_pg_writer *w)
{
	for (size_t i = LIST_NR; i-- > 0;)
		while (w->bytes > w->keep_bytes && !ph_list_empty(list_of(w, i)))
			refuse(w, PH_CONTAINER(list_of(w, i)->prev, struct ph_pg_write, node));
	while (!ph_list_empty(&w->refused)) {
		struct ph_pg_write *write = first(&w->refused);

		if (write->statement->has_nul)
			finish(w, write, NULL, PH_E_DATABASE_ERROR, PG_NUL_STATE, PG_NUL_TEXT);
		else if (w->pg->closing)
			finish(w, write, NULL, PH_E_CANCELLED, NULL, CLOSING);
		else
			finish(w, write, NULL, PH_E_DATABASE_AWAY, NULL,
				"too many writes wait for the database");
	}
}

static void pump(void *arg)
{
	struct ph_pg_writer *w = arg;

	shed(w);
	if (ph_list_empty(&w->batch) && !idle(w) && ph_pg_conn_ready(&w->conn) && !ph_timer_active(&w->pause))
		send_batch(w);
	if (!ph_timer_active(&w->expire))
		watch_oldest(w);
	ph_pg_writer_empty(w->pg);
}

static void on_pause(void *arg)
{
	wake(arg);
}

static void on_conn(struct ph_pg_conn *c)
{
	wake(c->owner);
}

static void on_up(struct ph_pg_conn *c)
{
	struct ph_pg_writer *w = c->owner;

	ph_pg_warm(c, w->pg->warm_sql);
	wake(w);
}

static const struct ph_pg_conn_ops ops = {.on_up = on_up, .on_room = on_conn, .on_down = on_conn};

/* ---- the interface ---- */

static void accept_write(struct ph_pg *pg, struct ph_pg_write *write, ph_pg_cb cb, void *arg)
{
	struct ph_pg_writer *w = &pg->writer;

	write->asked_ns = ph_clock_ns();
	write->expires_ms = ph_loop_now_ms(pg->loop) + w->keep_ms;
	write->cb = cb;
	write->arg = arg;
	write->bytes = write->statement->bytes;
	ph_list_push_back(write->home, &write->node);
	w->count++;
	w->bytes += write->bytes;
	ph_metric_set(PH_M_WRITE_QUEUE, 0, 0, (int64_t)w->count);
	if (pg->closing || write->statement->has_nul)
		refuse(w, write);
	wake(w);
}

void ph_pg_write(struct ph_pg *pg, const char *sql, const struct ph_pg_param *params, int count, ph_pg_cb cb,
	void *arg)
{
	struct ph_pg_write *write = ph_alloc(sizeof(*write));

	write->home = &pg->writer.queue;
	write->statement = ph_pg_statement_new(sql, params, count);
	accept_write(pg, write, cb, arg);
}

void ph_pg_write_row(struct ph_pg *pg, const struct ph_pg_rows *rows, const struct ph_pg_param *params,
	ph_pg_cb cb, void *arg)
{
	struct ph_pg_write *write = ph_alloc(sizeof(*write));

	write->home = &pg->writer.rows;
	write->rows = rows;
	write->statement = ph_pg_statement_new("", params, rows->count);
	accept_write(pg, write, cb, arg);
}

size_t ph_pg_write_queued(const struct ph_pg *pg)
{
	return pg->writer.count;
}

void ph_pg_writer_init(struct ph_pg_writer *w, struct ph_pg *pg)
{
	w->pg = pg;
	w->keep_ms = PG_KEEP_MS;
	w->keep_bytes = PG_KEEP_BYTES;
	ph_list_init(&w->single);
	ph_list_init(&w->queue);
	ph_list_init(&w->rows);
	ph_list_init(&w->batch);
	ph_list_init(&w->refused);
	ph_pg_segment_init(&w->segment, on_result, on_end);
	ph_timer_init(&w->late, pg->loop, on_late, w);
	ph_timer_init(&w->pause, pg->loop, on_pause, w);
	ph_timer_init(&w->expire, pg->loop, on_expire, w);
	ph_defer_init(&w->pump, pump, w);
	ph_pg_conn_init(&w->conn, pg->loop, pg->dsn, "writer", &ops, w);
}

void ph_pg_writer_start(struct ph_pg_writer *w)
{
	ph_pg_conn_start(&w->conn);
}

void ph_pg_writer_close(struct ph_pg_writer *w)
{
	ph_pg_conn_close(&w->conn); /* what is in flight comes back to the queue */
	for (size_t i = 0; i < LIST_NR; i++)
		while (!ph_list_empty(list_of(w, i)))
			refuse(w, first(list_of(w, i)));
	shed(w);
	ph_timer_stop(&w->late);
	ph_timer_stop(&w->pause);
	ph_timer_stop(&w->expire);
	ph_defer_cancel(&w->pump);
}
