/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Periodic work of the cluster, as one node sees it: it tries to get the work when it is due, and where
 * another node has it, again when that one's time is over. A node that drains leaves the work to others.
 */
#include "account_priv.h"
#include "posthouse/log.h"

#define RETRY_MS  1000
#define MOST_MS   (10 * 60 * 1000) /* a job may become due earlier than it was said */
#define JITTER_MS 250              /* not all nodes at once */

static void try_in(struct ph_job *j, uint64_t ms)
{
	ph_timer_start(&j->timer, (ms < MOST_MS ? ms : MOST_MS) + ph_rand_u64() % JITTER_MS);
}

static void on_claimed(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	enum {
		EPOCH,
		WAIT_MS
	};
	struct ph_job *j = arg;

	j->call = NULL;
	if (err) {
		try_in(j, RETRY_MS);
		return;
	}
	j->epoch = ph_pg_int(rows, 0, EPOCH);
	if (j->epoch)
		j->work(j->arg);
	else
		try_in(j, (uint64_t)ph_pg_int(rows, 0, WAIT_MS));
}

static void on_timer(void *arg)
{
	struct ph_job *j = arg;

	if (ph_member_away(j->member) || ph_member_draining(j->member))
		try_in(j, RETRY_MS);
	else
		j->call = ph_member_store_claim(
			ph_member_pg(j->member), j->name, ph_member_id(j->member), j->hold_ms, on_claimed, j);
}

static void on_finished(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_job *j = arg;

	j->call = NULL;
	if (!err && !ph_pg_int(rows, 0, 0))
		ph_log(PH_LOG_WARN, "the job %s took longer than it may: another node has done it as well",
			j->name);
	try_in(j, j->next_ms);
}

void ph_job_init(struct ph_job *j, struct ph_member *m, const char *name, uint64_t hold_ms,
	void (*work)(void *arg), void *arg)
{
	*j = (struct ph_job){.member = m, .name = name, .hold_ms = hold_ms, .work = work, .arg = arg};
	ph_timer_init(&j->timer, ph_member_loop(m), on_timer, j);
}

void ph_job_start(struct ph_job *j)
{
	ph_timer_start(&j->timer, 0);
}

void ph_job_done(struct ph_job *j, uint64_t next_ms)
{
	int64_t epoch = j->epoch;

	j->epoch = 0;
	j->next_ms = next_ms;
	j->call = ph_member_store_finish(
		ph_member_pg(j->member), j->name, ph_member_id(j->member), epoch, next_ms, on_finished, j);
}

void ph_job_hurry(struct ph_job *j)
{
	if (ph_timer_active(&j->timer))
		try_in(j, 0);
}

void ph_job_stop(struct ph_job *j)
{
	if (j->call)
		ph_pg_abandon(j->call);
	j->call = NULL;
	ph_timer_stop(&j->timer);
}
