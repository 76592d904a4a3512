/* SPDX-License-Identifier: Apache-2.0 */
/* What a turn adds to the metrics, and to the picture of this minute, when it has ended. */
#include "posthouse/clock.h"
#include "posthouse/metrics.h"
#include "request_priv.h"
#include "traffic.h"

/* Values of the label `phase` of posthouse_phase_seconds, in their order. */
enum phase {
	RECEIVE,
	PREPARE,
	AWAIT,
	RELAY,
	COMMIT
};

static unsigned outcome_index(const char *outcome)
{
	static const char *const names[] = {"completed", "incomplete", "failed", "cancelled", "client_gone"};

	for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
		if (outcome && strcmp(outcome, names[i]) == 0)
			return i;
	return 3;
}

/* 0 where the turn did not come that far. */
static uint64_t between(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? to_ns - from_ns : 0;
}

static void observe_phase(enum phase phase, uint64_t from_ns, uint64_t to_ns)
{
	uint64_t ns = between(from_ns, to_ns);

	if (ns)
		ph_metric_observe_in(PH_M_PHASE_SECONDS, phase, ns);
}

static void observe_phases(const struct ph_request *r, uint64_t now)
{
	observe_phase(RECEIVE, r->started_ns, r->body_ns);
	observe_phase(PREPARE, r->body_ns, r->attempt.sent_ns);
	observe_phase(AWAIT, r->attempt.sent_ns, r->first_event_ns);
	observe_phase(RELAY, r->first_event_ns, r->terminal_ns);
	observe_phase(COMMIT, r->terminal_ns, now);
	if (r->attempt.sent_ns > r->body_ns && r->terminal_ns)
		ph_metric_observe(
			PH_M_ADDED_SECONDS, r->attempt.sent_ns - r->body_ns + (now - r->terminal_ns));
}

static void observe_model(const struct ph_request *r, uint64_t first_ns, uint64_t now)
{
	const struct ph_model_turn t = {
		.failed = r->err != 0,
		.duration_ns = between(r->body_ns, now),
		.first_chunk_ns = r->body.stream ? first_ns : 0,
		.input_tokens = r->collect.input_tokens,
		.cached_tokens = r->collect.cached_tokens,
		.output_tokens = r->collect.output_tokens,
		.reasoning_tokens = r->collect.reasoning_tokens,
	};

	if (t.duration_ns)
		ph_metrics_model_turn(r->account_id ? r->body.model : PH_STR_NONE, &t);
	ph_metric_add(PH_M_INPUT_TOKENS, 0, 0, (int64_t)t.input_tokens);
	ph_metric_add(PH_M_CACHED_TOKENS, 0, 0, (int64_t)t.cached_tokens);
	ph_metric_add(PH_M_OUTPUT_TOKENS, 0, 0, (int64_t)t.output_tokens);
}

void ph_observe_turn(const struct ph_request *r)
{
	uint64_t now = ph_clock_ns(), first_ns = between(r->body_ns, r->first_event_ns);

	ph_metric_add(PH_M_TURNS, r->mode, outcome_index(r->outcome), 1);
	ph_traffic_turn(r->g->traffic, r->mode, r->err != 0, first_ns, now - r->started_ns);
	if (first_ns)
		ph_metric_observe(PH_M_FIRST_EVENT_SECONDS, first_ns);
	if (r->account_id || r->queued_ns)
		ph_metric_observe(PH_M_LEASE_WAIT_SECONDS, r->queued_ns);
	observe_phases(r, now);
	observe_model(r, first_ns, now);
}
