/* SPDX-License-Identifier: Apache-2.0 */
/* What remains of a turn: its row in the store, its line in the log. Its share of the metrics: observe.c. */
#include "chat.h"
#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "prices.h"
#include "request_priv.h"

#define HELD_MAX (8 * 1024 * 1024) /* of a context that a lane keeps in memory */

bool ph_record_keeps(const struct ph_request *r)
{
	enum ph_snapshots policy = r->g->config->snapshots;

	if (r->body.dropped)
		return false; /* by the policy of a moment ago */
	if (r->chat)
		return false; /* it has no id that a later one could go on from */
	if (r->ask == PH_ASK_TOKENS)
		return false;
	switch (r->door.key->snapshots) {
	case PH_KEY_SNAPSHOTS_ALL:
		policy = PH_SNAPSHOTS_ALL;
		break;
	case PH_KEY_SNAPSHOTS_STORED:
		policy = PH_SNAPSHOTS_STORED;
		break;
	case PH_KEY_SNAPSHOTS_NONE:
		policy = PH_SNAPSHOTS_NONE;
		break;
	default:
		break;
	}
	return policy == PH_SNAPSHOTS_ALL || (policy == PH_SNAPSHOTS_STORED && r->body.store);
}

static uint64_t since_us(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

/* This turn's items as they are stored: references replaced by what they name, fit for the account that
 * served the turn, because a replay will send it these items as they are. */
static struct ph_str stored_items(struct ph_request *r)
{
	struct ph_target served = {.account = r->account_id, .client_ids = true};
	struct ph_bound bound;

	if (!r->found || !r->found->n)
		return r->body.items;
	if (r->account)
		served.client_ids = r->account->kind == PH_CODEX;
	ph_buf_reset(&r->stored_items);
	if (ph_items_resolve(r->body.items, r->found, &served, &r->stored_items, &bound))
		return r->body.items;
	return ph_buf_str(&r->stored_items);
}

static bool chain_known(const struct ph_request *r)
{
	return r->chain && (r->chain->status == PH_CHAIN_OK || r->chain->status == PH_CHAIN_TIP);
}

/* There are rows behind the anchor that this turn's row can be read with. */
static bool chain_linked(const struct ph_request *r)
{
	return chain_known(r) && !r->chain->held;
}

static void fill_log(const struct ph_request *r, struct ph_turn_record *t)
{
	const struct ph_tokens used = {
		r->collect.input_tokens, r->collect.cached_tokens, r->collect.output_tokens};
	uint64_t now = ph_clock_ns();

	memcpy(t->turn, r->turn, sizeof t->turn);
	t->node = r->g->node;
	t->scope = r->door.key->id;
	t->request_id = r->request_id;
	t->route = r->chat ? "chat" : ph_ask_name(r);
	t->model = r->body.model;
	t->account = r->account_id;
	t->continuity = ph_request_mode(r);
	t->outcome = r->outcome ? r->outcome : "cancelled";
	t->status = r->http_status ? r->http_status : r->attempt.status;
	t->error = r->err ? ph_err_info(r->err)->metric : NULL;
	t->attempts = (int)r->attempts;
	t->hops = chain_known(r) ? r->chain->depth : 0;
	t->chain_bytes = chain_known(r) ? r->chain->bytes : 0;
	t->stream = r->body.stream;
	t->duration_us = since_us(r->started_ns, now);
	t->first_event_us = since_us(r->body_ns, r->first_event_ns);
	t->bytes_in = r->bytes_in;
	t->bytes_out = r->bytes_out;
	t->input_tokens = r->collect.input_tokens;
	t->cached_tokens = r->collect.cached_tokens;
	t->output_tokens = r->collect.output_tokens;
	t->reasoning_tokens = r->collect.reasoning_tokens;
	t->cost_nanos = ph_price_of(r->g->prices, r->body.model.n ? r->body.model : r->collect.model, &used);
	t->queued_us = r->queued_ns / 1000;
	t->transport = r->dress.framing == PH_FRAMING_WS ? "websocket" : "http";
	t->chosen = r->account_id ? r->chosen : NULL;
	t->anchor = r->body.previous;
	t->limited = r->reserved ? r->reserver : NULL;
}

static void fill_parent(const struct ph_request *r, struct ph_turn_record *t)
{
	bool linked = chain_linked(r);

	t->parent = linked ? r->chain : NULL;
	t->fold = linked && r->fold && r->chain->status == PH_CHAIN_OK;
	t->partial = r->body.upstreams || (r->body.previous.n && !linked);
}

static void fill_snapshot(struct ph_request *r, struct ph_turn_record *t)
{
	struct ph_collect *c = &r->collect;

	t->response_id = c->id;
	t->compaction = r->ask == PH_ASK_COMPACT;
	t->stored_upstream =
		r->ask == PH_ASK_RESPONSE && r->account && r->account->kind == PH_PLATFORM && r->body.store;
	t->class = r->body.store ? 0 : 1;
	/* The event says it; some upstreams leave it out of the response. */
	t->turn_status =
		r->relay.ended == PH_TERMINAL_INCOMPLETE ? PH_STR("incomplete") : PH_STR("completed");
	fill_parent(r, t);
	if (t->keep || t->stored_upstream)
		t->output = c->output; /* whose ids its items have */
	if (!t->keep)
		return;
	t->input = stored_items(r);
	t->envelope = ph_collect_envelope(c);
}

/* What the lane's next turn continues from: the row to come, or, where none is kept, the context itself. */
static void tell_lane(struct ph_request *r, const struct ph_turn_record *t)
{
	bool whole = !r->body.upstreams &&
		     (r->body.previous.n == 0 || (r->chain && r->chain->status == PH_CHAIN_OK));
	struct ph_turn_record unkept = *t;
	struct ph_chain *known = NULL;

	if (t->keep) {
		known = ph_chain_tip(r->g->continuity, t);
	} else if (whole && t->response_id.n) {
		unkept.input = stored_items(r);
		unkept.output = r->collect.output;
		known = ph_chain_hold(&unkept, r->chain, HELD_MAX);
	}
	ph_lane_set_last(r->lane, t->response_id, known);
}

void ph_record_commit(struct ph_request *r, bool keep, void (*cb)(void *arg, int status))
{
	struct ph_turn_record t = {.account = 0};
	bool answered = !r->chat && (r->account || !r->body.generate) && r->collect.id.n &&
			r->collect.id.n <= PH_RESPONSE_ID_MAX && r->relay.ended != PH_TERMINAL_FAILED &&
			r->sm.state == REQ_COMMIT;

	fill_log(r, &t);
	t.keep = keep && answered;
	if (answered) {
		fill_snapshot(r, &t);
		ph_turn_own(r);
	}
	if (r->sm.state == REQ_COMMIT && ph_chat_is_stored(r))
		ph_turn_own_chat(r);
	if (r->lane && r->sm.state == REQ_COMMIT) {
		tell_lane(r, &t);
		ph_steer_plan_successor(r);
	}
	ph_continuity_commit(r->g->continuity, &t, cb, r, NULL);
	if (r->body.background && t.keep)
		ph_background_over(r->g->continuity, t.scope, t.response_id);
}

void ph_record_begin(struct ph_request *r, struct ph_str id, void (*cb)(void *arg, int status))
{
	struct ph_turn_record t = {.account = 0};

	fill_log(r, &t);
	t.response_id = id;
	t.keep = ph_record_keeps(r);
	t.stored_upstream = true;
	fill_parent(r, &t);
	if (t.keep)
		t.input = stored_items(r);
	r->pending_commit++;
	ph_background_begin(r->g->continuity, &t, cb, r);
}

/* ---- the log line ---- */

void ph_record_log(struct ph_request *r)
{
	uint64_t now = ph_clock_ns();
	const struct ph_field fields[] = {
		PH_F_C("request_id", r->request_id),
		PH_F_C("trace_id", r->trace_id),
		PH_F_C("key", r->door.key ? r->door.key->name : ""),
		PH_F_C("account", r->account ? r->account->name : ""),
		PH_F_STR("model", r->body.model),
		PH_F_C("continuity", ph_request_mode(r)),
		PH_F_C("chosen", r->account_id && r->chosen ? r->chosen : ""),
		PH_F_C("outcome", r->outcome ? r->outcome : "cancelled"),
		PH_F_INT("status", r->http_status),
		PH_F_C("err", r->err ? ph_err_info(r->err)->metric : ""),
		PH_F_C("detail", r->err ? r->fault.detail : ""),
		PH_F_INT("attempts", r->attempts),
		PH_F_INT("hops", chain_known(r) ? r->chain->depth : 0),
		PH_F_BOOL("stream", r->body.stream),
		PH_F_MS("ms", now - r->started_ns),
		PH_F_MS("first_event_ms",
			r->first_event_ns > r->body_ns ? r->first_event_ns - r->body_ns : 0),
		PH_F_MS("queued_ms", r->queued_ns),
		PH_F_INT("in", r->bytes_in),
		PH_F_INT("out", r->bytes_out),
		PH_F_INT("input_tokens", r->collect.input_tokens),
		PH_F_INT("output_tokens", r->collect.output_tokens),
	};

	ph_observe_turn(r);
	ph_log_fields(PH_LOG_INFO, "turn", fields, sizeof fields / sizeof *fields);
}
