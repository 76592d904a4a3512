/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes: the upstream socket between turns, and whether the next turn may go on with it. */
#include <stdlib.h>

#include "lane.h"
#include "request_priv.h"

#define AGE_MAX_MS   (55 * 60 * 1000) /* upstreams end a connection after 60 minutes */
#define NOT_THERE_MS (10 * 60 * 1000) /* until an account without WebSocket is asked for one again */
#define KEPT_IDLE_MS (5 * 60 * 1000)
#define KEPT_MAX     512

/* ---- the socket between turns ---- */

/* Telemetry comes at any time; anything else would be booked to the next turn. */
void ph_lane_hear(struct ph_lane *lane, struct ph_str message)
{
	struct ph_account *a = ph_accounts_find(lane->g->accounts, lane->account);
	const struct ph_sse_unit u = {.raw = message, .data = message, .has_data = true};
	struct ph_event e;

	if (!ph_event_read(&u, &e) || e.class != PH_EVENT_TELEMETRY)
		ph_lane_drop_socket(lane);
	else if (a)
		ph_health_event(lane->g, a, message);
}

static void on_idle_text(void *owner, struct ph_str message)
{
	ph_lane_hear(owner, message);
}

static void on_idle_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_lane *lane = owner;

	(void)status;
	(void)err; /* an idle end is nobody's fault */
	lane->socket = NULL;
	lane->remembers = false;
}

static void on_idle_open(void *owner, const struct ph_head *head)
{
	(void)owner;
	(void)head;
}

static void on_idle_refused(void *owner, const struct ph_head *head, struct ph_str body)
{
	(void)head;
	(void)body;
	on_idle_end(owner, 0, NULL);
}

static void on_idle_sent(void *owner)
{
	(void)owner;
}

static const struct ph_upsocket_events idle_events = {
	on_idle_open, on_idle_refused, on_idle_sent, on_idle_text, on_idle_end};

void ph_lane_rest_socket(struct ph_lane *lane)
{
	ph_upsocket_set_owner(lane->socket, &idle_events, lane);
	ph_upsocket_read(lane->socket, lane->successor.n == 0);
}

void ph_lane_drop_socket(struct ph_lane *lane)
{
	if (lane->socket)
		ph_upsocket_close(lane->socket);
	lane->socket = NULL;
	lane->remembers = false;
}

/* ---- life ---- */

static void on_kept_too_long(void *arg)
{
	struct ph_lane *lane = arg;

	ph_list_remove(&lane->node);
	lane->g->lane_count--;
	ph_lane_unref(lane);
}

struct ph_lane *ph_lane_new(struct ph_gateway *g)
{
	struct ph_lane *lane = ph_alloc(sizeof *lane);

	lane->refs = 1;
	lane->g = g;
	ph_buf_init(&lane->successor, g->config->max_body);
	ph_list_init(&lane->node);
	ph_timer_init(&lane->idle, g->loop, on_kept_too_long, lane);
	return lane;
}

struct ph_lane *ph_lane_ref(struct ph_lane *lane)
{
	if (lane)
		lane->refs++;
	return lane;
}

static void lane_free(void *arg)
{
	free(arg);
}

static void free_last(struct ph_lane *lane)
{
	free((void *)(uintptr_t)lane->last.p);
	lane->last = PH_STR_NONE;
}

struct ph_lane *ph_lane_unref(struct ph_lane *lane)
{
	if (!lane || --lane->refs > 0)
		return NULL;
	ph_lane_drop_socket(lane);
	lane->known = ph_chain_free(lane->known);
	free_last(lane);
	ph_buf_deinit(&lane->successor);
	ph_timer_stop(&lane->idle);
	ph_loop_bury(lane->g->loop, lane, lane_free);
	return NULL;
}

/* ---- what is known of the last response ---- */

static bool is_last(const struct ph_lane *lane, struct ph_str id)
{
	return id.n > 0 && ph_str_eq(lane->last, id);
}

struct ph_chain *ph_lane_take_known(struct ph_lane *lane, struct ph_str id)
{
	struct ph_chain *known = lane->known;

	if (!is_last(lane, id))
		return NULL;
	lane->known = NULL;
	lane->remembers = false;
	return known;
}

void ph_lane_set_last(struct ph_lane *lane, struct ph_str id, struct ph_chain *known)
{
	ph_chain_free(lane->known);
	lane->known = known;
	lane->remembers = false; /* until the socket turns out to have sent it */
	free_last(lane);
	lane->last = id.n <= PH_RESPONSE_ID_MAX ? ph_str_dup(id) : PH_STR_NONE;
}

/* ---- may a turn use it ---- */

static bool has_sockets(const struct ph_request *r, const struct ph_account *a)
{
	return a->kind != PH_STATELESS && a->no_socket_until_ms <= ph_loop_now_ms(r->g->loop);
}

bool ph_lane_possible(const struct ph_request *r, const struct ph_account *a)
{
	return strcmp(r->g->config->upstream_transport, "http") != 0 && !r->body.background &&
	       r->ask == PH_ASK_RESPONSE && has_sockets(r, a);
}

bool ph_lane_thinkable(const struct ph_request *r)
{
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (ph_lease_eligible(r, a) && ph_lane_possible(r, a))
			return true;
	}
	return false;
}

bool ph_lane_wanted(struct ph_request *r)
{
	bool always = strcmp(r->g->config->upstream_transport, "websocket") == 0;

	if (r->mode == PH_MODE_LIVE) /* also where the account takes no upgrades any more */
		return true;
	if (!ph_lane_possible(r, r->account))
		return false;
	if (!r->lane && always)
		r->lane = ph_lane_new(r->g);
	return r->lane != NULL;
}

void ph_lane_not_there(struct ph_gateway *g, struct ph_account *a)
{
	a->no_socket_until_ms = ph_loop_now_ms(g->loop) + NOT_THERE_MS;
}

bool ph_lane_fits(const struct ph_lane *lane, int64_t account)
{
	return lane->socket && lane->account == account && ph_upsocket_alive(lane->socket) &&
	       ph_loop_now_ms(lane->g->loop) - ph_upsocket_opened_ms(lane->socket) < AGE_MAX_MS;
}

bool ph_lane_live(const struct ph_request *r)
{
	const struct ph_lane *lane = r->lane;
	struct ph_account *a;

	if (!lane || r->live_lost || r->body.background || !lane->remembers ||
		!is_last(lane, r->body.previous))
		return false;
	a = ph_accounts_find(r->g->accounts, lane->account);
	return a && ph_lease_eligible(r, a) && !ph_account_spared(lane->g->accounts, &r->choice, a) &&
	       ph_lane_fits(lane, a->id);
}

/* ---- kept for HTTP clients ---- */

struct ph_lane *ph_lane_find(struct ph_gateway *g, int64_t scope, struct ph_str id)
{
	PH_LIST_EACH (it, &g->lanes) {
		struct ph_lane *lane = PH_CONTAINER(it, struct ph_lane, node);

		if (lane->scope != scope || !is_last(lane, id))
			continue;
		ph_list_remove(&lane->node);
		ph_timer_stop(&lane->idle);
		g->lane_count--;
		return lane;
	}
	return NULL;
}

void ph_lane_keep(struct ph_lane *lane, int64_t scope)
{
	struct ph_gateway *g = lane->g;

	if (!lane->remembers) {
		ph_lane_unref(lane);
		return;
	}
	if (g->lane_count == KEPT_MAX)
		on_kept_too_long(PH_CONTAINER(g->lanes.next, struct ph_lane, node));
	lane->scope = scope;
	ph_list_push_back(&g->lanes, &lane->node);
	g->lane_count++;
	ph_timer_start(&lane->idle, KEPT_IDLE_MS);
}

void ph_lanes_close(struct ph_gateway *g)
{
	while (!ph_list_empty(&g->lanes))
		on_kept_too_long(PH_CONTAINER(g->lanes.next, struct ph_lane, node));
}
