/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of the cluster for the status page. It is asked for while somebody looks, by all who look
 * together, and a second old at most; while the database is away the last one stays, and says how old it is.
 */
#include "status.h"

#include <stdlib.h>

#include "posthouse/metrics.h"
#include "report.h"
#include "traffic.h"

#define FRESH_MS    1000
#define PICTURE_MAX (4 * 1024 * 1024)

/* Owner: the gateway. */
struct ph_status {
	struct ph_gateway *g;
	struct ph_pg_call *call;
	struct ph_list waiting; /* of struct ph_status_wait, node */
	struct ph_buf picture;  /* JSON; empty = none yet */
	uint64_t taken_ms;      /* loop time */
	bool stale;             /* the database did not answer */
};

static void answer(struct ph_status *s, struct ph_status_wait *w)
{
	struct ph_picture p = {.json = ph_buf_str(&s->picture),
		.age_ms = ph_loop_now_ms(s->g->loop) - s->taken_ms,
		.stale = s->stale};
	struct ph_pg_writing writing;

	ph_pg_writing(s->g->pg, &writing);
	memcpy(p.write_state, writing.sqlstate, sizeof p.write_state);
	p.commit_ms = writing.commit_ms;
	w->cb(w, &p);
}

static void on_status(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_status *s = arg;

	s->call = NULL;
	s->stale = err != NULL;
	if (!err) {
		ph_buf_reset(&s->picture);
		ph_buf_puts(&s->picture, ph_pg_str(r, 0, 0));
		s->taken_ms = ph_loop_now_ms(s->g->loop);
	}
	while (!ph_list_empty(&s->waiting)) {
		struct ph_status_wait *w = PH_CONTAINER(s->waiting.next, struct ph_status_wait, node);

		ph_list_remove(&w->node);
		answer(s, w);
	}
}

void ph_gateway_status(struct ph_gateway *g, struct ph_status_wait *w)
{
	struct ph_status *s = g->status;

	ph_list_init(&w->node);
	if (s->picture.n && !s->stale && ph_loop_now_ms(g->loop) - s->taken_ms < FRESH_MS) {
		answer(s, w);
		return;
	}
	ph_list_push_back(&s->waiting, &w->node);
	if (!s->call)
		s->call = ph_traffic_store_status(g->pg, on_status, s);
}

void ph_gateway_status_cancel(struct ph_status_wait *w)
{
	ph_list_remove(&w->node);
}

struct ph_status *ph_status_new(struct ph_gateway *g)
{
	struct ph_status *s = ph_alloc(sizeof *s);

	s->g = g;
	ph_list_init(&s->waiting);
	ph_buf_init(&s->picture, PICTURE_MAX);
	return s;
}

struct ph_status *ph_status_free(struct ph_status *s)
{
	if (s->call)
		ph_pg_abandon(s->call);
	ph_buf_deinit(&s->picture);
	free(s);
	return NULL;
}

/* ---- metrics ---- */

/* Of this process: the worker that was asked. All of them began, and have their clock, together. */
static void put_node(const struct ph_gateway *g, struct ph_buf *out)
{
	int64_t ms = ph_node_report_clock_ms(g->report);
	const struct ph_node_facts *facts = ph_node_report_facts(g->report);

	ph_buf_printf(out,
		"# HELP posthouse_start_time_seconds When the node began, in UNIX time.\n"
		"# TYPE posthouse_start_time_seconds gauge\nposthouse_start_time_seconds %llu\n"
		"# HELP posthouse_pg_clock_offset_seconds PostgreSQL's clock less this machine's, as it was "
		"measured "
		"last.\n"
		"# TYPE posthouse_pg_clock_offset_seconds gauge\nposthouse_pg_clock_offset_seconds "
		"%s%lld.%03lld\n",
		(unsigned long long)ph_metrics_started_s(), ms < 0 ? "-" : "", llabs(ms) / 1000,
		llabs(ms) % 1000);
	if (facts->known)
		ph_buf_printf(out,
			"# HELP posthouse_partitions_ahead_seconds For how long after today (UTC) PostgreSQL "
			"has its "
			"partitions.\n# TYPE posthouse_partitions_ahead_seconds gauge\n"
			"posthouse_partitions_ahead_seconds %lld\n"
			"# HELP posthouse_notify_queue_usage How full PostgreSQL's queue of notifications "
			"is, 0 to 1.\n"
			"# TYPE posthouse_notify_queue_usage gauge\nposthouse_notify_queue_usage %g\n",
			facts->days_ahead * 86400LL, facts->notify_queue);
}

void ph_gateway_metrics(const struct ph_gateway *g, struct ph_buf *out)
{
	static const char *const states[] = {
		"active", "cooling", "exhausted", "reauth", "disabled", "paused", "draining"};

	ph_buf_printf(out,
		"# HELP posthouse_build_info What runs here.\n# TYPE posthouse_build_info gauge\n"
		"posthouse_build_info{version=\"%s\"} 1\n"
		"# HELP posthouse_account_state 1 for the state that an account is in, as this node knows "
		"it.\n"
		"# TYPE posthouse_account_state gauge\n",
		PH_VERSION);
	PH_LIST_EACH (it, ph_accounts_list(g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
			ph_buf_puts(out, PH_STR("posthouse_account_state{account=\""));
			ph_buf_json(out, ph_str_c(a->name)); /* escapes what must be, and more */
			ph_buf_printf(out, "\",state=\"%s\"} %d\n", states[i],
				a->state == (enum ph_account_state)i);
		}
	}
	put_node(g, out);
}
