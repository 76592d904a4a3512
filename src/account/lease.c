/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block of slots of one account. What this node may run is `slots`, and never more than the database's
 * row says: to give slots back they are first taken from the block, then told; what is asked for is there
 * only with the answer. So whatever becomes of a call, whenever it takes effect, the row is not below the
 * block. One call at a time per account; what changes meanwhile is looked at when it ends (`again`).
 */
#include "account_priv.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"

#define IDLE_MS                                                                                              \
	110 /* a slot that nobody needed for one such span goes back: within 250 ms of its last turn */
#define ASK_MS       50
#define ASK_MOST_MS  1000
#define ASKED_FOR_MS 1500 /* who is still starved has asked again by then */
#define FAILED_MS    250
#define SPARE_PART   8 /* of the limit is taken with what is needed, so that most turns need no round trip */
#define SPARE_MOST   16

enum {
	CALL_OK,
	CALL_STARVED,
	CALL_VOID,
	CALL_FAILED
};

static uint64_t now_ms(const struct ph_lease *l)
{
	return ph_loop_now_ms(l->r->loop);
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t higher(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

uint32_t ph_lease_room(const struct ph_account *a)
{
	const struct ph_lease *l = &a->lease;

	if (l->over || l->slots <= a->running || ph_clock_boot_ms() >= l->valid_ms)
		return 0;
	return l->slots - a->running;
}

static void set_slots(struct ph_lease *l, uint32_t slots)
{
	ph_metric_add(PH_M_SLOTS, 0, 0, (int64_t)slots - l->slots);
	l->slots = slots;
}

static void count_excess(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;
	uint32_t slots = l->r && ph_clock_boot_ms() < l->valid_ms ? l->slots : 0;
	uint32_t excess = l->r && a->max_streams && a->running > slots ? a->running - slots : 0;

	ph_metric_add(PH_M_EXCESS, 0, 0, (int64_t)excess - l->excess);
	l->excess = excess;
}

/* Turns that run, and those that could if there were slots: no more than the limit is of use. */
static uint32_t needed(const struct ph_account *a)
{
	uint32_t room = a->max_streams > a->running ? a->max_streams - a->running : 0;

	return a->running + ph_accounts_waiting(a->lease.r, a, room);
}

/* ---- calls ---- */

static void on_answer(void *arg, struct ph_pg_result *rows, const struct ph_err *err);

static void call(struct ph_account *a, uint32_t need, uint32_t want)
{
	struct ph_lease *l = &a->lease;
	struct ph_member *m = l->r->member;
	struct ph_slots_call c = {
		a->id, ph_member_id(m), l->version, ph_member_life(m), a->running, need, want};

	l->wanted = need;
	l->again = l->voided = false;
	l->sent_ms = ph_clock_boot_ms();
	l->tried_ms = now_ms(l);
	l->call = ph_lease_store_slots(l->r->pg, &c, on_answer, a);
}

static void give(struct ph_account *a, uint32_t keep)
{
	set_slots(&a->lease, keep);
	a->lease.untold = true;
	call(a, needed(a), keep);
}

static void take(struct ph_account *a, uint32_t need)
{
	uint32_t spare = lower(a->max_streams / SPARE_PART, SPARE_MOST);

	a->lease.yielded = false;
	call(a, need, higher(a->lease.slots, need + spare));
}

static void try_at(struct ph_lease *l, uint64_t ms)
{
	uint64_t now = now_ms(l);

	l->try_ms = ms;
	ph_timer_start(&l->retry, ms > now ? ms - now : 0);
}

static void look_at_idle(struct ph_account *a)
{
	if (!ph_timer_active(&a->lease.idle))
		ph_timer_start(&a->lease.idle, IDLE_MS);
}

/* Turns that wait for this account may find a slot of another one. */
static void set_starved(struct ph_lease *l)
{
	if (!l->starved)
		ph_accounts_wake(l->r);
	l->starved = true;
}

static void ask(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (l->others == 0 || now_ms(l) < l->asked_ms + ASK_MS)
		return;
	l->asked_ms = now_ms(l);
	ph_lease_store_ask(l->r->pg, a->id, ph_member_id(l->r->member));
	ph_metric_add(PH_M_SLOTS_ASKED, 0, 0, 1);
}

/* The rest is with other nodes: they are asked, less and less often, and the row is tried again as often: a
 * notification may be lost, and a lease of a node that died ends without one. */
static void be_starved(struct ph_account *a, uint64_t retry_ms)
{
	struct ph_lease *l = &a->lease;

	set_starved(l);
	ask(a);
	l->pause_ms = l->pause_ms ? 2 * l->pause_ms : ASK_MS;
	if (l->pause_ms > ASK_MOST_MS)
		l->pause_ms = ASK_MOST_MS;
	if (retry_ms)
		try_at(l, l->tried_ms + (retry_ms < l->pause_ms ? retry_ms : l->pause_ms));
}

static void on_ok(struct ph_account *a, const struct ph_pg_result *rows)
{
	struct ph_lease *l = &a->lease;
	int64_t max = ph_pg_int(rows, 0, PH_SLOTS_MAX_STREAMS);
	bool starved;

	set_slots(l, (uint32_t)ph_pg_int(rows, 0, PH_SLOTS_SLOTS));
	l->version = ph_pg_int(rows, 0, PH_SLOTS_VERSION);
	l->others = (uint32_t)ph_pg_int(rows, 0, PH_SLOTS_OTHERS);
	l->valid_ms = l->sent_ms + ph_member_trust_ms(l->r->member);
	l->over = (int64_t)l->slots + l->others > max;
	l->again |= l->over && l->slots > a->running;
	l->untold = false;
	starved = l->slots < l->wanted;
	ph_metric_add(PH_M_SLOT_CALLS, starved ? CALL_STARVED : CALL_OK, 0, 1);
	if (starved) {
		be_starved(a, (uint64_t)ph_pg_int(rows, 0, PH_SLOTS_RETRY_MS));
	} else {
		l->starved = false;
		l->pause_ms = 0;
		ph_timer_stop(&l->retry);
	}
	ph_accounts_wake_some(l->r);
	ph_member_told(l->r->member);
}

/* A call of ours that was given up came through: its row is what we hold. */
static void on_stale(struct ph_account *a, const struct ph_pg_result *rows)
{
	struct ph_lease *l = &a->lease;

	set_slots(l, lower(l->slots, (uint32_t)ph_pg_int(rows, 0, PH_SLOTS_SLOTS)));
	l->version = ph_pg_int(rows, 0, PH_SLOTS_VERSION);
	l->untold = true;
}

static void on_result(struct ph_account *a, const struct ph_pg_result *rows)
{
	struct ph_lease *l = &a->lease;
	struct ph_member *m = l->r->member;
	struct ph_str result = ph_pg_str(rows, 0, PH_SLOTS_RESULT);

	if (!l->voided && ph_str_eq(result, PH_STR("ok"))) {
		on_ok(a, rows);
		return;
	}
	ph_metric_add(PH_M_SLOT_CALLS, CALL_VOID, 0, 1);
	if (ph_str_eq(result, PH_STR("none"))) { /* the registry will hear of it */
		set_slots(l, 0);
		l->version = 0;
		return;
	}
	l->again = true;
	if (l->voided)
		return;
	if (ph_str_eq(result, PH_STR("stale")))
		on_stale(a, rows);
	else if (ph_str_eq(result, PH_STR("unknown")))
		ph_member_forgotten(m);
	else
		ph_member_heard(m, ph_pg_int(rows, 0, PH_SLOTS_LIFE));
}

/* Nothing is known of it: the block is what it was, and the heartbeat finds out what is wrong. */
static void on_failed(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	ph_metric_add(PH_M_SLOT_CALLS, CALL_FAILED, 0, 1);
	l->starved = needed(a) > l->slots;
	try_at(l, now_ms(l) + FAILED_MS);
	ph_accounts_wake(l->r); /* with another account, or with the news that the database is away */
	ph_member_beat(l->r->member);
}

static void on_answer(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_account *a = arg;
	struct ph_lease *l = &a->lease;

	l->call = NULL;
	l->answered_ms = ph_clock_boot_ms();
	if (err || ph_pg_rows(rows) == 0)
		on_failed(a);
	else
		on_result(a, rows);
	count_excess(a);
	if (l->freed) /* perhaps behind what the answer saw */
		l->try_ms = 0;
	l->freed = false;
	if (l->again)
		ph_lease_settle(a);
	look_at_idle(a);
}

/* ---- decisions ---- */

/* The time to which the block was trusted is over, perhaps long ago: this process may have been stopped. */
static void lapse(struct ph_account *a)
{
	if (a->lease.slots && ph_clock_boot_ms() >= a->lease.valid_ms)
		ph_lease_void(a, PH_LOST_LAPSED);
}

static bool is_asked(const struct ph_lease *l)
{
	return now_ms(l) < l->asked_until_ms;
}

/* A slot for another node, though turns wait here: they get the next one. */
static void yield(struct ph_account *a)
{
	a->lease.asked_until_ms = 0;
	a->lease.yielded = true;
	give(a, a->lease.slots - 1);
}

/* The server and this node know of each other, and no call is under way. */
static bool may_call(const struct ph_lease *l)
{
	return l->r && l->r->member && ph_member_life(l->r->member) && !l->call;
}

void ph_lease_settle(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;
	uint32_t need;

	l->again = l->call;
	if (!may_call(l))
		return;
	if (!a->max_streams) {
		if (l->version)
			call(a, 0, 0);
		return;
	}
	lapse(a);
	need = needed(a);
	if (l->slots > a->running && (l->over || (is_asked(l) && need == a->running))) {
		give(a, a->running);
	} else if (need > l->slots && now_ms(l) < l->try_ms) {
		set_starved(l);
		try_at(l, l->try_ms);
	} else if (need > l->slots) {
		take(a, need);
	} else if (l->untold) {
		call(a, need, l->slots);
	} else {
		l->starved = false;
	}
}

/* Slots that nobody needed since the last look go back; so does a need that is gone. */
static void on_idle(void *arg)
{
	struct ph_account *a = arg;
	struct ph_lease *l = &a->lease;
	uint32_t need = needed(a), keep = higher(l->peak, need);

	l->peak = a->running;
	if (may_call(l) && l->version && a->max_streams && l->slots > keep)
		give(a, keep);
	else if (may_call(l) && l->version && l->wanted > higher(need, l->slots))
		call(a, need, l->slots);
	if (l->call || l->slots > a->running || l->wanted > l->slots)
		look_at_idle(a);
}

static void on_retry(void *arg)
{
	ph_lease_settle(arg);
}

void ph_lease_began(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	l->peak = higher(l->peak, a->running);
}

void ph_lease_ended(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (!l->r || !a->max_streams)
		return;
	if (l->excess)
		count_excess(a);
	if (is_asked(l) && may_call(l) && l->slots > a->running && ph_accounts_waiting(l->r, a, 1))
		yield(a);
	else if (l->over || is_asked(l))
		ph_lease_settle(a);
	look_at_idle(a);
}

void ph_lease_free(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (!l->r || needed(a) <= l->slots)
		return;
	if (l->yielded) /* what was given up is for another node */
		l->try_ms = l->tried_ms + ASK_MS;
	else
		l->try_ms = 0;
	l->freed = l->call && !l->yielded;
	ph_lease_settle(a);
}

void ph_lease_asked(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (!l->r || l->slots == 0)
		return;
	l->asked_until_ms = now_ms(l) + ASKED_FOR_MS;
	ph_lease_settle(a);
}

void ph_lease_hurry(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (!l->r)
		return;
	lapse(a);
	if (needed(a) <= l->slots)
		return;
	if (l->try_ms > l->tried_ms + ASK_MS) {
		l->pause_ms = 0;
		l->try_ms = l->tried_ms + ASK_MS;
	}
	ph_lease_settle(a);
}

void ph_lease_void(struct ph_account *a, enum ph_lease_loss why)
{
	struct ph_lease *l = &a->lease;

	if (l->slots)
		ph_metric_add(PH_M_LEASES_LOST, why, 0, 1);
	set_slots(l, 0);
	l->valid_ms = 0;
	l->try_ms = 0;
	if (why != PH_LOST_LAPSED) { /* else the row may still be there, and a call speaks of it */
		l->untold = why == PH_LOST_SERVER && l->version; /* it counts for others until it is told */
		l->version = 0;
		l->voided = true;
	}
	count_excess(a);
}

void ph_lease_look(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (l->limit == a->max_streams)
		return;
	l->limit = a->max_streams;
	l->starved = l->over = false;
	l->try_ms = 0;
	count_excess(a);
	if (l->version && a->max_streams && may_call(l))
		call(a, needed(a), higher(l->slots, needed(a))); /* who is above a new limit learns of it */
	else
		ph_lease_settle(a);
}

void ph_lease_open(struct ph_accounts *r, struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	l->r = r;
	ph_timer_init(&l->retry, r->loop, on_retry, a);
	ph_timer_init(&l->idle, r->loop, on_idle, a);
}

void ph_lease_close(struct ph_account *a)
{
	struct ph_lease *l = &a->lease;

	if (!l->r)
		return;
	if (l->call)
		ph_pg_abandon(l->call);
	l->call = NULL;
	ph_timer_stop(&l->retry);
	ph_timer_stop(&l->idle);
	set_slots(l, 0);
	l->r = NULL;
	count_excess(a);
}
