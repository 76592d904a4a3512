/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's life, and which handler serves which path. */
#include <stdlib.h>

#include "lane.h"
#include "models.h"
#include "renew.h"
#include "request_priv.h"
#include "side.h"
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
	g->follow = ph_follow_new(g);
	g->upkeep = ph_upkeep_new(g, o->keys);
	g->renewals = ph_renewals_new(g);
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
	ph_upkeep_free(g->upkeep);
	ph_follow_free(g->follow);
	ph_renewals_free(g->renewals);
	ph_models_free(g->models);
	ph_auth_free(g->auth);
	ph_member_free(g->member);
	ph_accounts_free(g->accounts);
	ph_continuity_free(g->continuity);
	ph_upstream_close(g->upstream, on_upstream_closed, g);
}

/* ---- routes ---- */

/* Paths that name no id that somebody owns and list no stored collection. The rest is 404 until its owner is
 * checked. */
static const struct ph_str relayed[] = {
	PH_STR_INIT("/embeddings"),
	PH_STR_INIT("/moderations"),
	PH_STR_INIT("/audio/speech"),
	PH_STR_INIT("/audio/transcriptions"),
	PH_STR_INIT("/audio/translations"),
	PH_STR_INIT("/images/generations"),
	PH_STR_INIT("/images/edits"),
	PH_STR_INIT("/images/variations"),
	PH_STR_INIT("/completions"),
};

static bool is_relayed(struct ph_str path)
{
	for (size_t i = 0; i < sizeof relayed / sizeof *relayed; i++)
		if (ph_str_eq(path, relayed[i]))
			return true;
	return false;
}

/* What stands behind /v1, /backend-api/codex or /backend-api/codex/v1; false for other paths. */
static bool api_path(struct ph_str path, struct ph_str *ret)
{
	static const struct ph_str bases[] = {PH_STR_INIT("/backend-api/codex/v1/"),
		PH_STR_INIT("/backend-api/codex/"), PH_STR_INIT("/v1/")};

	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		if (!ph_str_starts(path, bases[i]))
			continue;
		*ret = ph_str_from(path, bases[i].n - 1);
		if (ret->n > 1 && ret->p[ret->n - 1] == '/')
			ret->n--;
		return true;
	}
	return false;
}

static bool is(const struct ph_exchange *x, const char *method)
{
	return ph_str_eq(x->head->method, ph_str_c(method));
}

static void refuse(struct ph_gateway *g, struct ph_exchange *x, int code)
{
	struct ph_err err = {.code = code};

	if (code == PH_E_METHOD_BAD || code == PH_E_ROUTE_UNKNOWN)
		ph_fail(&err, code, "(%.*s %.*s)",
			PH_STR_ARG(
				ph_str(x->head->method.p, x->head->method.n < 16 ? x->head->method.n : 16)),
			PH_STR_ARG(ph_str(x->path.p, x->path.n < 128 ? x->path.n : 128)));
	ph_reply_error(g, x, code, &err, 0, NULL);
}

/* An id is one path segment. -1: the path goes deeper than anything known here. */
static int split_id(struct ph_str rest, struct ph_str *ret_id, char *space, size_t size)
{
	struct ph_str segment = ph_str_split(&rest, '/');

	if (ph_percent_decode(segment, false, space, size, &ret_id->n))
		ret_id->n = 0; /* no id of ours: as unknown as any */
	ret_id->p = space;
	if (rest.n == 0)
		return 0;
	return ph_str_eq(rest, PH_STR("input_items")) ? 1 : -1;
}

static void route_response(struct ph_gateway *g, struct ph_exchange *x, struct ph_str rest)
{
	char space[2 * PH_RESPONSE_ID_MAX];
	struct ph_str id;
	int items = split_id(rest, &id, space, sizeof space);

	if (items < 0)
		refuse(g, x, PH_E_ROUTE_UNKNOWN);
	else if (items && is(x, "GET"))
		ph_responses_items(g, x, id);
	else if (!items && is(x, "GET"))
		ph_responses_get(g, x, id);
	else if (!items && is(x, "DELETE"))
		ph_responses_delete(g, x, id);
	else
		refuse(g, x, PH_E_METHOD_BAD);
}

static void route_models(struct ph_gateway *g, struct ph_exchange *x, struct ph_str rest)
{
	char space[512];
	struct ph_str id = PH_STR_NONE;

	if (!is(x, "GET")) {
		refuse(g, x, PH_E_METHOD_BAD);
		return;
	}
	if (rest.n && ph_percent_decode(rest, false, space, sizeof space, &id.n)) {
		refuse(g, x, PH_E_MODEL_UNKNOWN);
		return;
	}
	id.p = space;
	ph_models_list(g, x, id);
}

void ph_gateway_handle(struct ph_gateway *g, struct ph_exchange *x)
{
	struct ph_str path = PH_STR_NONE;

	x->route = PH_ROUTE_OTHER;
	if (x->head->upgrade && !g->config->websocket) {
		refuse(g, x, PH_E_UPGRADE_REFUSED);
		return;
	}
	if (!g->ready) {
		refuse(g, x, PH_E_DATABASE_AWAY);
		return;
	}
	if (!api_path(x->path, &path)) {
		refuse(g, x, PH_E_ROUTE_UNKNOWN);
	} else if (x->head->upgrade) {
		x->route = PH_ROUTE_RESPONSES;
		if (is(x, "GET") && ph_str_eq(path, PH_STR("/responses")))
			ph_session_open(g, x);
		else
			refuse(g, x, PH_E_UPGRADE_REFUSED);
	} else if (ph_str_eq(path, PH_STR("/responses"))) {
		x->route = PH_ROUTE_RESPONSES;
		if (is(x, "POST"))
			ph_request_open(g, x);
		else
			refuse(g, x, PH_E_METHOD_BAD);
	} else if (ph_str_starts(path, PH_STR("/responses/"))) {
		route_response(g, x, ph_str_from(path, 11));
	} else if (ph_str_eq(path, PH_STR("/models"))) {
		route_models(g, x, PH_STR_NONE);
	} else if (ph_str_starts(path, PH_STR("/models/"))) {
		route_models(g, x, ph_str_from(path, 8));
	} else if (is_relayed(path)) {
		if (is(x, "POST"))
			ph_pass_open(g, x, path);
		else
			refuse(g, x, PH_E_METHOD_BAD);
	} else {
		refuse(g, x, PH_E_ROUTE_UNKNOWN);
	}
}
