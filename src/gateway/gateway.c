/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's life. */
#include <stdlib.h>

#include "chores.h"
#include "lane.h"
#include "limit.h"
#include "models.h"
#include "poll.h"
#include "pool.h"
#include "prices.h"
#include "renew.h"
#include "report.h"
#include "request_priv.h"
#include "side.h"
#include "status.h"
#include "traffic.h"
#include "upkeep.h"

#define DAY_MS 86400000.0

struct ph_gateway *ph_gateway_new(const struct ph_gateway_options *o, struct ph_err *err)
{
	const struct ph_config *c = o->config;
	struct ph_upstream_options up = {c->upstream_ca_file, c->connect_timeout_ms};
	struct ph_continuity_options store = {
		c->max_body, (double)c->retention_ms / DAY_MS, (double)c->retention_unstored_ms / DAY_MS};
	struct ph_upstream *upstream = ph_upstream_new(o->loop, &up, err);
	struct ph_gateway *g;

	if (!upstream)
		return NULL;
	g = ph_alloc(sizeof *g);
	g->loop = o->loop;
	g->pg = o->pg;
	g->config = c;
	g->node = o->node;
	g->upstream = upstream;
	g->auth = ph_auth_new(o->loop, o->pg, c->auth_off);
	g->accounts = ph_accounts_new(o->loop, o->pg, o->keys, o->node);
	g->member = ph_member_new(o->loop, o->pg, o->node, c->lease_ttl_ms);
	ph_member_join(g->member, g->accounts);
	g->continuity = ph_continuity_new(o->loop, o->pg, &store);
	ph_list_init(&g->requests);
	ph_list_init(&g->others);
	ph_list_init(&g->lanes);
	ph_list_init(&g->sessions);
	ph_buf_init(&g->event, 2 * c->max_body);
	g->models = ph_models_new(g);
	g->prices = ph_prices_new(g);
	g->limits = ph_limits_new(g);
	g->follow = ph_follow_new(g);
	g->chores = ph_chores_new(g);
	g->upkeep = ph_upkeep_new(g, o->keys);
	g->renewals = ph_renewals_new(g);
	g->report = ph_node_report_new(g);
	g->traffic = ph_traffic_new(g);
	g->status = ph_status_new(g);
	g->polls = ph_polls_new(g);
	g->pool = ph_pool_new(g);
	return g;
}

void ph_gateway_start(struct ph_gateway *g, void (*ready)(void *arg), void (*fatal)(void *arg), void *arg)
{
	g->on_ready = ready;
	g->on_fatal = fatal;
	g->ready_arg = arg;
	ph_upkeep_start(g->upkeep);
}

const char *ph_gateway_unready(const struct ph_gateway *g)
{
	const char *why = ph_upkeep_unready(g->upkeep);

	return why ? why : ph_follow_unready(g->follow);
}

bool ph_gateway_drained(const struct ph_gateway *g)
{
	return ph_member_draining(g->member);
}

void ph_gateway_certificate(struct ph_gateway *g, int64_t valid_until_s)
{
	g->certificate_s = valid_until_s;
}

void ph_gateway_leave(struct ph_gateway *g)
{
	ph_member_leave(g->member);
}

size_t ph_gateway_turns(const struct ph_gateway *g)
{
	size_t n = g->turns + ph_renewals_running(g->renewals);

	PH_LIST_EACH (it, &g->others)
		n++;
	return n;
}

size_t ph_gateway_cut(struct ph_gateway *g)
{
	size_t n = 0;

	PH_LIST_EACH_SAFE (it, &g->requests) {
		if (ph_request_cut(PH_CONTAINER(it, struct ph_request, node)))
			n++;
	}
	while (!ph_list_empty(&g->others)) {
		ph_side_cut(PH_CONTAINER(g->others.next, struct ph_side, node));
		n++;
	}
	return n;
}

static void on_upstream_closed(void *arg)
{
	struct ph_gateway *g = arg;
	void (*cb)(void *) = g->on_closed;
	void *cb_arg = g->closed_arg;

	ph_buf_deinit(&g->event);
	free(g);
	cb(cb_arg);
}

void ph_gateway_close(struct ph_gateway *g, void (*on_closed)(void *arg), void *arg)
{
	g->on_closed = on_closed;
	g->closed_arg = arg;
	ph_lanes_close(g);
	ph_node_report_free(g->report);
	ph_upkeep_free(g->upkeep);
	ph_chores_free(g->chores);
	ph_follow_free(g->follow);
	ph_limits_free(g->limits);
	ph_prices_free(g->prices);
	ph_renewals_free(g->renewals);
	ph_traffic_free(g->traffic);
	ph_status_free(g->status);
	ph_polls_free(g->polls);
	ph_pool_free(g->pool);
	ph_models_free(g->models);
	ph_auth_free(g->auth);
	ph_member_free(g->member);
	ph_accounts_free(g->accounts);
	ph_continuity_free(g->continuity);
	ph_upstream_close(g->upstream, on_upstream_closed, g);
}
