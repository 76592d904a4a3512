/* SPDX-License-Identifier: Apache-2.0 */
/* A server with the real schema, a node's store on a loop, and calls that wait for their answer. */
#ifndef STORE_TEST_H
#define STORE_TEST_H

#include "continuity_test.h"
#include "pg_server.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"
#include "posthouse/log.h"
#include "posthouse/migrate.h"

enum {
	SCOPE = 7,
	OTHERS = 8, /* another key's scope */
	MAX_BYTES = 4 * 1024 * 1024,
	WAIT_MS = 20000,
};

static struct ph_test_server *server;
static struct ph_loop *loop;
static struct ph_pg *pg;
static struct ph_continuity *store;
static struct ph_timer ticker;
static bool answered;
static uint64_t deadline;

/* ---- waiting ---- */

static inline void tick(void *arg)
{
	bool (*done)(void) = NULL;

	memcpy(&done, &arg, sizeof done);
	if (done() || ph_clock_ms() > deadline)
		ph_loop_stop(loop);
	else
		ph_timer_start(&ticker, 1);
}

static inline void run_until(bool (*done)(void))
{
	void *arg = NULL;

	memcpy(&arg, &done, sizeof done);
	deadline = ph_clock_ms() + WAIT_MS;
	ph_timer_init(&ticker, loop, tick, arg);
	ph_timer_start(&ticker, 0);
	ph_loop_run(loop);
	ph_timer_stop(&ticker);
	assert_true(done());
}

static inline bool is_answered(void)
{
	return answered;
}

static inline bool is_up(void)
{
	return ph_pg_up(pg);
}

static inline void on_closed(void *arg)
{
	(void)arg;
	answered = true;
}

/* ---- setup ---- */

static inline int store_setup(void **state)
{
	struct ph_err err = {.code = 0};
	struct ph_continuity_options options = {
		.max_bytes = MAX_BYTES, .retention_days = 30, .retention_unstored_days = 1};
	struct ph_pg_options pg_options = {.readers = 2, .application = "posthouse test"};

	(void)state;
	ph_log_init(PH_LOG_ERROR, PH_LOG_TEXT, "test");
	server = ph_test_server_new();
	if (!server)
		return 0;
	if (ph_migrate(ph_test_server_dsn(server), NULL, NULL, &err))
		fail_msg("%s", err.detail);
	pg_options.dsn = ph_test_server_dsn(server);
	loop = ph_loop_new();
	pg = ph_pg_open(loop, &pg_options);
	store = ph_continuity_new(loop, pg, &options);
	run_until(is_up);
	return 0;
}

static inline int store_teardown(void **state)
{
	(void)state;
	if (!server)
		return 0;
	answered = false;
	ph_pg_close(pg, 0, on_closed, NULL);
	run_until(is_answered);
	store = ph_continuity_free(store);
	assert_int_equal(ph_loop_free(loop), 0);
	server = ph_test_server_free(server);
	return 0;
}

#define NEED_SERVER()                                                                                        \
	do {                                                                                                 \
		(void)state;                                                                                 \
		if (!server)                                                                                 \
			skip();                                                                              \
	} while (0)

/* ---- straight to the server ---- */

static inline int64_t ask(const char *sql)
{
	struct ph_err err = {.code = 0};
	struct ph_pgs *s = ph_pgs_open(ph_test_server_dsn(server), 5, &err);
	struct ph_pg_result *r = s ? ph_pgs_query(s, sql, NULL, 0, &err) : NULL;
	int64_t n;

	if (!r)
		fail_msg("%s: %s", sql, err.detail);
	n = ph_pg_rows(r) ? ph_pg_int(r, 0, 0) : -1;
	ph_pg_result_free(r);
	ph_pgs_close(s);
	return n;
}

/* ---- reading ---- */

static struct {
	struct ph_chain *chain;
	int code;
} read_answer;

static inline void on_chain(void *arg, struct ph_chain *chain, const struct ph_err *err)
{
	(void)arg;
	assert_int_equal(!chain, !!err);
	answered = true;
	read_answer.chain = chain;
	read_answer.code = err ? err->code : 0;
}

static inline struct ph_chain *read_forward(int64_t scope, struct ph_str id, const int64_t *forward, size_t n)
{
	answered = false;
	(void)ph_chain_read(store, scope, id, forward, n, on_chain, NULL);
	assert_false(answered);
	run_until(is_answered);
	return read_answer.chain;
}

static inline struct ph_chain *read_chain(struct ph_str id)
{
	struct ph_chain *chain = read_forward(SCOPE, id, NULL, 0);

	assert_non_null(chain);
	return chain;
}

static inline enum ph_chain_status status_of(int64_t scope, const char *id)
{
	struct ph_chain *chain = read_forward(scope, ph_str_c(id), NULL, 0);
	enum ph_chain_status status;

	assert_non_null(chain);
	status = chain->status;
	ph_chain_free(chain);
	return status;
}

/* ---- writing ---- */

static int written_status;
static size_t written_bytes;

static inline void on_written(void *arg, int status)
{
	(void)arg;
	answered = true;
	written_status = status;
}

static inline int commit(const struct ph_turn_record *t)
{
	answered = false;
	ph_continuity_commit(store, t, on_written, NULL, &written_bytes);
	assert_false(answered);
	run_until(is_answered);
	return written_status;
}

/* A turn of account A, stored, that begins a conversation. */
static inline struct ph_turn_record turn_of(struct ph_str id, struct ph_str input, struct ph_str output)
{
	struct ph_turn_record t = {
		.node = "test",
		.scope = SCOPE,
		.request_id = "req_1",
		.route = "responses",
		.model = PH_STR("demo"),
		.account = A,
		.continuity = "none",
		.outcome = "completed",
		.status = 200,
		.attempts = 1,
		.response_id = id,
		.keep = true,
		.stored_upstream = true,
		.turn_status = PH_STR("completed"),
		.input = input,
		.output = output,
		.envelope = PH_STR("{\"object\":\"response\",\"output\":[]}"),
	};

	ph_rand(t.turn, sizeof t.turn);
	return t;
}

/* "resp_000000000000000000<n>": long enough to be looked for where it most likely is. */
static inline struct ph_str id_of(const char *name)
{
	return ph_str_c(ph_arena_printf(&memory, "resp_%020d_%s", 0, name));
}

/* Writes a turn behind the one that `parent` names, or a first one. */
static inline void write_turn(const char *parent, const char *name, const char *input, const char *output)
{
	struct ph_turn_record t = turn_of(id_of(name), q(input), q(output));
	struct ph_chain *chain = parent ? read_chain(id_of(parent)) : NULL;

	t.parent = chain;
	assert_int_equal(commit(&t), 0);
	ph_chain_free(chain);
}

#endif
