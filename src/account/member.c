/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This node's place in the cluster: registration, heartbeats, and the life of the server that all grants
 * belong to. A server that was restarted, or a standby that was promoted, may have forgotten the last grants:
 * then every block is void at once, what runs is told again, and when all of it is told the heartbeat says
 * so.
 */
#include <stdio.h>
#include <stdlib.h>

#include "account_priv.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"

#define TIMEOUT_MS    2000
#define RETRY_MS      250
#define AWAY_MS       2000
#define MARGIN_MS     1000
#define LIST_MAX      (1024 * 1024)
#define BEATS_PER_TTL 3

/* Owner: the gateway. */
struct ph_member {
	struct ph_loop *loop;
	struct ph_pg *pg;
	const char *name;
	uint64_t ttl_ms;
	struct ph_accounts *accounts; /* NULL: none joined yet */
	char id[16];
	char id_text[40];
	int64_t life; /* of the server; 0 = not registered */
	int64_t told; /* the life in which all that runs was told */
	bool draining, left;
	bool again;              /* something is to be said once the call is over */
	struct ph_pg_call *call; /* registration or heartbeat */
	uint64_t sent_ms;        /* boot clock */
	uint64_t failing_ms;     /* loop time since which the database does not answer; 0 = it does */
	struct ph_timer timer;
	void (*done)(void *arg, const struct ph_err *err);
	void *done_arg;
};

/* A random UUID, as RFC 9562 marks it. */
static void draw_id(struct ph_member *m)
{
	uint8_t id[16];
	char hex[33];

	ph_rand(id, sizeof id);
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	memcpy(m->id, id, sizeof id);
	ph_hex(hex, id, sizeof id);
	snprintf(m->id_text, sizeof m->id_text, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
		hex + 20);
}

static uint64_t timeout_ms(const struct ph_member *m)
{
	return m->ttl_ms / BEATS_PER_TTL < TIMEOUT_MS ? m->ttl_ms / BEATS_PER_TTL : TIMEOUT_MS;
}

static void on_silence(struct ph_member *m)
{
	if (!m->failing_ms)
		m->failing_ms = ph_loop_now_ms(m->loop);
	ph_timer_start(&m->timer, RETRY_MS);
	if (!m->accounts)
		return;
	ph_leases_settle(m->accounts); /* a block may have run out */
	ph_accounts_wake(m->accounts);
}

/* ---- registration ---- */

static void on_registered(void *arg, struct ph_pg_result *rows, const struct ph_err *err);

static void send_registration(struct ph_member *m)
{
	m->call = ph_member_store_register(m->pg, m->id, m->name, m->ttl_ms, timeout_ms(m), on_registered, m);
}

static void on_registered(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_member *m = arg;
	void (*done)(void *, const struct ph_err *) = m->done;

	m->call = NULL;
	m->done = NULL;
	if (!err) {
		m->life = m->told = ph_pg_int(rows, 0, 0);
		m->failing_ms = 0;
		m->draining = false;
		if (m->accounts)
			ph_leases_settle(m->accounts);
		ph_timer_start(&m->timer, 0);
	} else if (!done) {
		on_silence(m);
	}
	if (done)
		done(m->done_arg, err);
}

void ph_member_register(struct ph_member *m, void (*done)(void *arg, const struct ph_err *err), void *arg)
{
	m->done = done;
	m->done_arg = arg;
	send_registration(m);
}

void ph_member_forgotten(struct ph_member *m)
{
	if (!m->life || m->left)
		return;
	ph_log(PH_LOG_WARN, "this node was forgotten: it comes back under a new id");
	m->life = 0;
	draw_id(m);
	if (m->accounts)
		ph_leases_void(m->accounts, PH_LOST_FORGOTTEN);
	if (!m->call)
		send_registration(m);
}

/* ---- heartbeats ---- */

static void next_beat(struct ph_member *m)
{
	uint64_t interval = m->ttl_ms / BEATS_PER_TTL;

	ph_timer_start(&m->timer, m->again ? 0 : interval - ph_rand_u64() % (interval / 10 + 1));
}

static void on_beaten(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_member *m = arg;
	bool silent = m->failing_ms;
	int64_t life;

	m->call = NULL;
	if (!m->life) { /* forgotten meanwhile */
		send_registration(m);
		return;
	}
	if (err) {
		on_silence(m);
		return;
	}
	m->failing_ms = 0;
	if (ph_pg_rows(rows) == 0) {
		ph_member_forgotten(m);
		return;
	}
	if (ph_pg_int(rows, 0, PH_BEAT_DRAINING) && !m->draining)
		ph_log(PH_LOG_WARN,
			"an operator drains this node: it is not ready, and serves what still arrives");
	m->draining = ph_pg_int(rows, 0, PH_BEAT_DRAINING);
	life = ph_pg_int(rows, 0, PH_BEAT_LIFE);
	if (life != m->life)
		ph_member_heard(m, life);
	else if (m->accounts)
		ph_leases_renewed(m->accounts, rows, m->sent_ms);
	if (silent && m->accounts)
		ph_accounts_wake(m->accounts);
	next_beat(m);
}

static void beat(struct ph_member *m)
{
	struct ph_buf accounts, running;
	struct ph_beat b = {.node = m->id, .told = m->told};

	ph_buf_init(&accounts, LIST_MAX);
	ph_buf_init(&running, LIST_MAX);
	if (m->accounts) {
		ph_leases_list(m->accounts, &accounts, &running);
	} else {
		ph_buf_puts(&accounts, PH_STR("{}"));
		ph_buf_puts(&running, PH_STR("{}"));
	}
	b.accounts = ph_buf_str(&accounts);
	b.running = ph_buf_str(&running);
	m->again = false;
	m->sent_ms = ph_clock_boot_ms();
	m->call = ph_member_store_beat(m->pg, &b, timeout_ms(m), on_beaten, m);
	ph_buf_deinit(&accounts);
	ph_buf_deinit(&running);
}

static void on_timer(void *arg)
{
	struct ph_member *m = arg;

	if (m->call || m->left)
		return;
	if (m->life)
		beat(m);
	else
		send_registration(m);
}

void ph_member_beat(struct ph_member *m)
{
	m->again = true;
	if (!m->call && m->life && !m->failing_ms && !m->left)
		ph_timer_start(&m->timer, 0);
}

void ph_member_heard(struct ph_member *m, int64_t life)
{
	if (life == m->life || !m->life)
		return;
	ph_log(PH_LOG_INFO, "the database's server was restarted or replaced: slots are granted anew");
	m->life = life;
	if (!m->accounts)
		return;
	ph_leases_void(m->accounts, PH_LOST_SERVER);
	ph_leases_settle(m->accounts);
	ph_member_told(m);
}

void ph_member_told(struct ph_member *m)
{
	if (m->told == m->life || !ph_leases_told(m->accounts))
		return;
	m->told = m->life;
	ph_member_beat(m);
}

/* ---- life ---- */

struct ph_member *ph_member_new(
	struct ph_loop *loop, struct ph_pg *pg, const char *name, uint64_t lease_ttl_ms)
{
	struct ph_member *m = ph_alloc(sizeof *m);

	m->loop = loop;
	m->pg = pg;
	m->name = name;
	m->ttl_ms = lease_ttl_ms;
	draw_id(m);
	ph_timer_init(&m->timer, loop, on_timer, m);
	return m;
}

void ph_member_join(struct ph_member *m, struct ph_accounts *accounts)
{
	m->accounts = accounts;
	accounts->member = m;
}

struct ph_member *ph_member_free(struct ph_member *m)
{
	if (!m)
		return NULL;
	ph_timer_stop(&m->timer);
	if (m->call)
		ph_pg_abandon(m->call);
	if (m->accounts)
		m->accounts->member = NULL;
	free(m);
	return NULL;
}

void ph_member_leave(struct ph_member *m)
{
	if (m->life && !m->left)
		ph_member_store_leave(m->pg, m->id);
	m->left = true;
	ph_timer_stop(&m->timer);
}

/* ---- what others ask ---- */

bool ph_member_draining(const struct ph_member *m)
{
	return m->draining;
}

bool ph_member_away(const struct ph_member *m)
{
	return m->failing_ms && ph_loop_now_ms(m->loop) - m->failing_ms >= AWAY_MS;
}

struct ph_loop *ph_member_loop(const struct ph_member *m)
{
	return m->loop;
}

struct ph_pg *ph_member_pg(const struct ph_member *m)
{
	return m->pg;
}

const char *ph_member_id(const struct ph_member *m)
{
	return m->id;
}

bool ph_member_is(const struct ph_member *m, struct ph_str id)
{
	return ph_str_eq(id, ph_str_c(m->id_text));
}

int64_t ph_member_life(const struct ph_member *m)
{
	return m->left ? 0 : m->life;
}

uint64_t ph_member_trust_ms(const struct ph_member *m)
{
	uint64_t margin = m->ttl_ms / 4 < MARGIN_MS ? m->ttl_ms / 4 : MARGIN_MS;

	return m->ttl_ms - margin;
}
