/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A million random steps of the turn's machine, with organs that do whatever the dice say: no edge that the
 * table lacks (the machine dies on one), every turn ends, is settled once, answers once, and is never sent
 * again after something was shown.
 */
#include "ph_test.h"

#include <stdio.h>

#include "gateway/request.c"

#include "gateway/request_end.c"

/* ---- the dice ---- */

static uint64_t seed;

static bool one_in(uint64_t n)
{
	return ph_test_below(&seed, n) == 0;
}

/* Any error but those that only the client's leaving makes. */
static int any_error(void)
{
	int code;

	do {
		code = 1 + (int)ph_test_below(&seed, PH_E_NR - 1);
	} while (code == PH_E_CLIENT_GONE);
	return -code;
}

/* Done, waiting or failed. */
static int any_result(void)
{
	uint64_t n = ph_test_below(&seed, 8);

	return n < 4 ? 1 : n < 7 ? 0 : any_error();
}

/* ---- the world of one turn ---- */

static struct {
	struct ph_gateway g;
	struct ph_config config;
	struct ph_exchange x;
	struct ph_request *r;
	struct ph_account account;
	struct ph_key key;
	int sends, settled, commits, answers, taken;
	bool answering; /* the client's end is there and not finished */
	bool reserved;
	void (*committed)(void *arg, int status);
} w;

static long steps, turns, ends[REQ_NR];

/* ---- organs ---- */

void ph_door_init(struct ph_door *d, struct ph_gateway *g, struct ph_exchange *x,
	void (*done)(void *arg, int result, const struct ph_err *err), void *arg)
{
	*d = (struct ph_door){.g = g, .x = x, .done = done, .arg = arg};
}

int ph_door_authenticate(struct ph_door *d, struct ph_err *err)
{
	int rc = any_result();

	if (rc < 0)
		err->code = -rc;
	else
		d->key = &w.key;
	return rc;
}

void ph_door_cancel(struct ph_door *d)
{
	(void)d;
}

void ph_door_close(struct ph_door *d)
{
	d->key = NULL;
}

void ph_turn_body_free(struct ph_turn_body *b)
{
	ph_buf_deinit(&b->buf);
}

int ph_turn_body_read(struct ph_turn_body *b, struct ph_arena *a, struct ph_err *err)
{
	(void)a;
	b->stream = one_in(2);
	b->store = one_in(2);
	b->generate = !one_in(10);
	if (!one_in(10))
		return 0;
	return ph_fail(err, PH_E_JSON_BAD, "%s", "");
}

void ph_pool_headers(
	struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key, struct ph_buf *headers)
{
	(void)g;
	(void)x;
	(void)key;
	(void)headers;
}

void ph_trace_note(char dst[PH_TRACE_ID_N + 1], const struct ph_exchange *x)
{
	(void)x;
	dst[0] = '\0';
}

/* ---- chats have another end, and one more way back ---- */

int ph_chat_take(struct ph_request *r, struct ph_buf *body)
{
	(void)body;
	return ph_fail(&r->fault, PH_E_JSON_BAD, "%s", "");
}

int ph_chat_choose(struct ph_request *r)
{
	(void)r;
	return 1;
}

bool ph_chat_is_stored(const struct ph_request *r)
{
	(void)r;
	return false;
}

struct ph_chat *ph_chat_free(struct ph_chat *c)
{
	assert_null(c);
	return NULL;
}

int ph_ask_read(struct ph_request *r)
{
	r->body.background = one_in(8);
	return one_in(20) ? any_error() : 0;
}

void ph_ask_put_compaction(const struct ph_request *r, struct ph_buf *out)
{
	(void)r;
	ph_buf_puts(out, PH_STR("{}"));
}

int ph_resolve_start_turn(struct ph_request *r)
{
	assert_null(r->account); /* a failed account's slot goes back first */
	return any_result();
}

void ph_resolve_again(struct ph_request *r)
{
	(void)r;
}

void ph_resolve_cancel_turn(struct ph_request *r)
{
	(void)r;
}

/* Once for all attempts. */
int ph_limit_start(struct ph_request *r)
{
	int rc = r->reserved ? 1 : any_result();

	assert_int_equal(r->sm.state, REQ_LIMIT);
	if (rc == 1 && one_in(2))
		r->reserved = w.reserved = true;
	if (rc == 0 && one_in(2))
		ph_timer_start(&r->timer, 1000000);
	return rc;
}

void ph_limit_again(struct ph_request *r)
{
	assert_int_equal(r->sm.state, REQ_LIMIT);
}

void ph_limit_cancel(struct ph_request *r)
{
	assert_true(r->sm.state < REQ_COMMIT);
}

static void take(struct ph_request *r)
{
	assert_null(r->account);
	r->account = &w.account;
	w.taken++;
}

/* LEASE fails for good, but for an owner that became busy or went away. */
static int lease_error(struct ph_request *r)
{
	int rc = one_in(2) ? -PH_E_OWNER_AWAY : any_error();

	if (rc != -PH_E_OWNER_AWAY && ph_err_info(rc)->remedy != PH_GIVE_UP) {
		r->left[PH_OTHER_ACCOUNT] = 0;
		rc = -PH_E_UPSTREAM_FAILED;
	}
	return rc;
}

int ph_lease_start(struct ph_request *r)
{
	int rc = any_result();

	assert_int_equal(r->sm.state, REQ_LEASE);
	r->resting = false;
	if (rc < 0)
		return lease_error(r);
	if (rc == 1)
		take(r);
	if (rc == 0 && one_in(2)) {
		r->resting = one_in(2);
		ph_timer_start(&r->timer, 1000000);
	}
	return rc;
}

int ph_lease_late(struct ph_request *r)
{
	return r->resting ? ph_lease_start(r) : ph_fail(&r->fault, PH_E_ACCOUNTS_BUSY, "%s", "");
}

void ph_renew_wait_init(struct ph_renew_wait *wait, void (*done)(void *arg), void *arg)
{
	(void)wait;
	(void)done;
	(void)arg;
}

void ph_renew_wait_stop(struct ph_renew_wait *wait)
{
	(void)wait;
}

void ph_lease_cancel(struct ph_request *r)
{
	r->resting = false;
}

void ph_lease_release(struct ph_request *r)
{
	if (!r->account)
		return;
	r->account = NULL;
	w.taken--;
}

void ph_lease_failed(struct ph_request *r)
{
	assert_true(r->account || r->err == -PH_E_OWNER_AWAY);
}

int ph_attempt_start(struct ph_request *r)
{
	assert_false(r->shown); /* the promise */
	assert_non_null(r->account);
	assert_non_null(r->x);
	ph_attempt_end(r);
	w.sends++;
	r->attempt.open = true;
	r->attempt.events = r->body.stream;
	r->attempt.status = 200;
	ph_buf_init(&r->attempt.body, 4096);
	return one_in(20) ? any_error() : 0;
}

void ph_attempt_end(struct ph_request *r)
{
	assert_true(r->account || !r->attempt.open);
	ph_buf_deinit(&r->attempt.body);
	memset(&r->attempt, 0, sizeof r->attempt);
}

void ph_attempt_finish(struct ph_request *r)
{
	assert_non_null(r->account);
	r->attempt.open = false;
}

/* ---- the transport ---- */

void ph_attempt_drop(struct ph_request *r)
{
	r->attempt.socket = false;
}

void ph_attempt_resume(struct ph_request *r)
{
	r->paused = false;
}

uint64_t ph_attempt_idle_ms(const struct ph_request *r)
{
	(void)r;
	return 0;
}

struct ph_lane *ph_lane_ref(struct ph_lane *lane)
{
	assert_null(lane);
	return NULL;
}

struct ph_lane *ph_lane_unref(struct ph_lane *lane)
{
	assert_null(lane);
	return NULL;
}

void ph_lane_keep(struct ph_lane *lane, int64_t scope)
{
	(void)scope;
	assert_null(lane);
}

static void answered(void);

bool ph_warmup_is_ours(const struct ph_request *r)
{
	int s = (int)r->sm.state;

	if (r->body.generate || s < REQ_RESOLVE || s > REQ_RELAY || r->relay.ended)
		return false;
	if (r->err == 0)
		return s == REQ_RESOLVE && one_in(2);
	return s > REQ_RESOLVE && !r->shown && r->err != -PH_E_CLIENT_GONE && one_in(2);
}

void ph_warmup_start(struct ph_request *r)
{
	ph_attempt_end(r);
	ph_lease_release(r);
	r->err = 0;
	r->answered_here = true;
	r->relay.ended = one_in(10) ? PH_TERMINAL_FAILED : PH_TERMINAL_COMPLETED;
}

void ph_warmup_release(struct ph_request *r)
{
	r->x = NULL;
	answered();
}

static void answered(void)
{
	assert_true(w.answering);
	w.answering = false;
	w.answers++;
}

void ph_relay_release(struct ph_request *r)
{
	assert_true(r->relay.ended != PH_TERMINAL_NONE || !r->body.stream || r->sm.state == REQ_COMMIT);
	r->x = NULL;
	answered();
}

void ph_relay_fail(struct ph_request *r)
{
	assert_true(r->shown);
	r->x = NULL;
	answered();
}

void ph_relay_timer(void *arg)
{
	(void)arg;
}

bool ph_record_keeps(const struct ph_request *r)
{
	(void)r;
	return one_in(2);
}

void ph_record_commit(struct ph_request *r, bool keep, void (*cb)(void *arg, int status))
{
	(void)keep;
	w.commits++;
	if (cb == on_committed) {
		assert_null(w.committed);
		assert_int_equal(r->sm.state, REQ_COMMIT);
		w.committed = cb;
	}
}

/* The writer answers in its order: the commit's answer stands for both. */
void ph_record_begin(struct ph_request *r, struct ph_str id, void (*cb)(void *arg, int status))
{
	(void)id;
	assert_int_equal(r->sm.state, REQ_COMMIT);
	r->pending_commit++;
	cb(r, 0);
}

void ph_record_log(struct ph_request *r)
{
	(void)r;
	w.settled++;
}

void ph_reply_error(struct ph_gateway *g, struct ph_exchange *x, int code, const struct ph_err *err,
	uint64_t after_ms, const char *continuity)
{
	(void)g;
	(void)err;
	(void)after_ms;
	(void)continuity;
	assert_true(code > 0 && code < PH_E_NR);
	assert_false(((struct ph_request *)x->h)->shown); /* never an error status and an event */
	answered();
}

void ph_reply_common(struct ph_gateway *g, const struct ph_exchange *x, struct ph_buf *headers)
{
	(void)g;
	(void)x;
	(void)headers;
}

void ph_reply_continuity(struct ph_buf *headers, const char *continuity)
{
	(void)headers;
	(void)continuity;
}

void ph_collect_reset(struct ph_collect *c)
{
	(void)c;
}

void ph_collect_filled(const struct ph_collect *c, struct ph_str response, struct ph_buf *out)
{
	(void)c;
	(void)response;
	(void)out;
}

static bool end_read_body(void *end)
{
	(void)end;
	return one_in(2);
}

static void end_head(void *end, int status, const struct ph_buf *headers, int64_t length)
{
	(void)end;
	(void)status;
	(void)headers;
	(void)length;
	assert_true(w.answering);
}

static long end_push(void *end, struct ph_str bytes)
{
	(void)end;
	(void)bytes;
	assert_true(w.answering);
	return 1;
}

static void end_finish(void *end)
{
	(void)end;
	answered();
}

static const struct ph_exchange_ops ops = {
	.read_body = end_read_body, .head = end_head, .push = end_push, .finish = end_finish};

/* ---- what may happen next ---- */

static void leave(void)
{
	w.answering = false;
	handler.on_gone(w.r);
}

static void step_relay(struct ph_request *r)
{
	switch (ph_test_below(&seed, 3)) {
	case 0: /* an event passes */
		if (r->attempt.events)
			r->shown = r->head_sent = true;
		return;
	case 1:
		r->relay.ended = (enum ph_terminal)(ph_test_below(&seed, PH_TERMINAL_ERROR));
		if (r->attempt.events && r->relay.ended == PH_TERMINAL_NONE)
			r->relay.ended = PH_TERMINAL_COMPLETED;
		ph_request_event(r, 1);
		return;
	default:
		ph_request_event(r, any_error());
	}
}

/* Something that the state waits for. */
static void step_state(struct ph_request *r)
{
	struct ph_err err = {0};
	int rc = one_in(3) ? any_error() : 1;

	switch (r->sm.state) {
	case REQ_AUTH:
		err.code = rc < 0 ? -rc : 0;
		if (rc > 0)
			r->door.key = &w.key;
		r->door.done(r->door.arg, rc, rc < 0 ? &err : NULL);
		return;
	case REQ_BODY:
		if (rc > 0)
			handler.on_body(r);
		else
			handler.on_body_failed(r, rc, NULL);
		return;
	case REQ_LEASE:
		on_slot(r);
		return;
	case REQ_RELAY:
		step_relay(r);
		return;
	case REQ_COMMIT:
	case REQ_DONE:
		if (w.committed) {
			w.committed = NULL;
			on_committed(r, one_in(5) ? -PH_E_DATABASE_AWAY : 0);
		}
		return;
	default:
		ph_request_event(r, rc);
	}
}

static void step(struct ph_request *r)
{
	bool timer = ph_timer_active(&r->timer);

	steps++;
	if (timer && one_in(6)) {
		ph_timer_stop(&r->timer); /* as the wheel does before it calls */
		on_timer(r);
	} else if (r->x && one_in(40)) {
		leave();
	} else if (one_in(100)) {
		ph_request_cut(r);
	} else if (r->x && one_in(20)) {
		handler.on_drain(r);
	} else {
		step_state(r);
	}
}

static void one_turn(struct ph_loop *loop, struct ph_accounts *accounts)
{
	int guard = 0;

	memset(&w, 0, sizeof w);
	w.config.idle_timeout_ms = one_in(2) ? 0 : 1000000;
	w.g = (struct ph_gateway){.loop = loop, .accounts = accounts, .config = &w.config, .node = "n"};
	ph_list_init(&w.g.requests);
	w.account.kind = (enum ph_account_kind)ph_test_below(&seed, 3);
	w.x = (struct ph_exchange){.ops = &ops};
	w.answering = true;
	ph_request_open(&w.g, &w.x);
	w.r = w.x.h;
	while (w.g.turns) {
		step(w.r);
		assert_true(++guard < 10000); /* it ends */
	}
	assert_true(w.settled <= 1);
	assert_int_equal(w.settled, 1);
	assert_false(w.answering);                  /* the client has its answer, or left */
	assert_true(w.answers <= 1);                /* never two */
	assert_int_equal(w.taken, 0);               /* the slot is back */
	assert_true(w.commits <= 1);                /* and one row at most */
	assert_true(w.commits == 1 || !w.reserved); /* which settles what was reserved */
	assert_null(w.committed);
	/* others, each with a redial; replay; strip; waiting for the one that can; omissions */
	assert_true(w.sends <= 1 + OTHER_MAX * 2 + 1 + 1 + 1 + 1 + PH_OMIT_MAX);
	assert_true(ph_list_empty(&w.g.requests));
	turns++;
	ends[w.sends < REQ_NR ? w.sends : REQ_NR - 1]++;
	ph_loop_turn(loop);
}

static void a_million_steps(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct ph_accounts *accounts = ph_accounts_new(loop, NULL, NULL, "n");

	(void)state;
	seed = 20261122;
	while (steps < 1000000)
		one_turn(loop, accounts);
	print_message("%ld steps, %ld turns; by requests sent:", steps, turns);
	for (int i = 0; i < REQ_NR; i++)
		print_message(" %ld", ends[i]);
	print_message("\n");
	assert_true(ends[1] && ends[4]); /* the walk came about */
	ph_accounts_free(accounts);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* ---- the policy, said aloud ---- */

static int next_of(enum ph_request_state s, int err, bool shown, uint8_t left)
{
	struct ph_request r = {.err = err, .shown = shown, .body.generate = true};

	r.sm.state = s;
	for (int i = 0; i < PH_REMEDY_NR; i++)
		r.left[i] = i == PH_GIVE_UP ? 0 : left;
	return request_next(&r);
}

static void the_policy(void **state)
{
	(void)state;
	for (int s = REQ_AUTH; s < REQ_COMMIT; s++) {
		assert_int_equal(next_of((enum ph_request_state)s, 0, false, 1), s + 1);
		assert_int_equal(next_of((enum ph_request_state)s, -PH_E_CLIENT_GONE, true, 1), REQ_SETTLE);
		for (int e = 1; e < PH_E_NR; e++) {
			if (e == PH_E_CLIENT_GONE)
				continue;
			/* nothing is left, or something was shown: say so */
			assert_int_equal(next_of((enum ph_request_state)s, -e, false, 0), REQ_REJECT);
			assert_int_equal(next_of((enum ph_request_state)s, -e, true, 3), REQ_REJECT);
			if (s < REQ_LEASE || ph_err_info(e)->remedy == PH_GIVE_UP)
				assert_int_equal(next_of((enum ph_request_state)s, -e, false, 3), REQ_REJECT);
		}
	}
	for (int s = REQ_CONNECT; s < REQ_COMMIT; s++) {
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_UPSTREAM_LIMITED, false, 1), REQ_RESOLVE);
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_UPSTREAM_DROPPED, false, 1), REQ_RESOLVE);
		assert_int_equal(next_of((enum ph_request_state)s, -PH_E_ANCHOR_LOST, false, 1), REQ_RESOLVE);
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_UPSTREAM_STALE, false, 1), REQ_CONNECT);
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_REASONING_REFUSED, false, 1), REQ_RESOLVE);
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_UPSTREAM_PARAMETER, false, 1), REQ_CONNECT);
		assert_int_equal(next_of((enum ph_request_state)s, -PH_E_OWNER_BUSY, false, 1), REQ_RESOLVE);
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_UPSTREAM_EXPIRED, false, 1), REQ_RESOLVE);
		assert_int_equal(
			next_of((enum ph_request_state)s, -PH_E_UPSTREAM_REFUSED, false, 1), REQ_REJECT);
	}
	assert_int_equal(next_of(REQ_LEASE, -PH_E_OWNER_AWAY, false, 1), REQ_RESOLVE);
	assert_int_equal(next_of(REQ_LEASE, -PH_E_ACCOUNTS_BUSY, false, 1), REQ_REJECT);
	assert_int_equal(next_of(REQ_COMMIT, -PH_E_TIMEOUT, true, 1), REQ_SETTLE);
	assert_int_equal(next_of(REQ_REJECT, -PH_E_TIMEOUT, false, 1), REQ_SETTLE);
	assert_int_equal(next_of(REQ_SETTLE, -PH_E_TIMEOUT, false, 1), REQ_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_policy),
		cmocka_unit_test(a_million_steps),
	};

	return cmocka_run_group_tests_name("gateway.request", tests, NULL, NULL);
}
