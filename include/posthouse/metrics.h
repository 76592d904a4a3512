/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters, gauges and histograms in one block of shared memory that is mapped before the workers are forked.
 * Worker n writes only its own slots; any worker prints the sum over all. A restarted worker takes its slots
 * as it finds them, so a counter never runs backwards; its gauges go with it.
 *
 * A family has up to two labels, each with a fixed list of values: label sets are bounded by construction.
 */
#ifndef POSTHOUSE_METRICS_H
#define POSTHOUSE_METRICS_H

#include "posthouse/buf.h"

#define PH_WORKERS_MAX 64

enum ph_metric_type {
	PH_COUNTER,
	PH_GAUGE,
	PH_HISTOGRAM_SECONDS, /* observe nanoseconds */
	PH_HISTOGRAM_COUNT,   /* observe plain numbers */
};

/* clang-format off */
/* label values are one string, separated by '|' */
/*   id                    name                                     type               label 1, values                                                       label 2, values                                help */
#define PH_METRICS(X)                                                                                                                                                                                                     \
	X(REQUESTS,            "posthouse_requests_total",              COUNTER,           "route", "responses|response|input_items|models|relay|other|chat",              "code", "1xx|2xx|3xx|4xx|5xx|none",           "Client requests by route and status class.") \
	X(TURNS,               "posthouse_turns_total",                 COUNTER,           "continuity", "none|live|forwarded|replayed",                           "outcome", "completed|incomplete|failed|cancelled|client_gone", "Turns by how they were continued and how they ended.") \
	X(ERRORS,              "posthouse_errors_total",                COUNTER,           "blames", "nobody|client|account|self",                                 NULL, NULL,                                   "Errors by whose fault they were.") \
	X(ATTEMPTS,            "posthouse_upstream_attempts_total",     COUNTER,           "kind", "platform|codex|stateless",                                     "outcome", "ok|failed|cancelled",             "Requests sent to upstream accounts.") \
	X(RETRIES,             "posthouse_retries_total",               COUNTER,           "remedy", "none|other_account|redial|replay|strip|omit|wait_for|renew|translate",       NULL, NULL,                                   "Second requests of a turn, by what made them necessary.") \
	X(UPSTREAM_EOF,        "posthouse_upstream_eof_total",          COUNTER,           "phase", "before_created|held|shown",                                   NULL, NULL,                                   "Upstream answers that ended without a terminal event.") \
	X(REPLAYS,             "posthouse_replay_total",                COUNTER,           "result", "hit|miss|broken_chain|unavailable",                          NULL, NULL,                                   "Look-ups of an anchor in the store.") \
	X(CHAINS_BROKEN,       "posthouse_chains_broken_total",         COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Chains with a missing link.") \
	X(ITEMS_DROPPED,       "posthouse_items_dropped_total",         COUNTER,           "type", "reasoning|web_search|file_search|code_interpreter|image_generation|tool_search|mcp|program|compaction|other", NULL, NULL, "Items left out of what was sent to an account that cannot use them.") \
	X(UNACKNOWLEDGED,      "posthouse_snapshots_unacknowledged_total", COUNTER,        NULL, NULL,                                                             NULL, NULL,                                   "Terminal events released before their commit was acknowledged.") \
	X(SNAPSHOTS_LOST,      "posthouse_snapshots_lost_total",        COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Snapshots given up after the database stayed away too long or refused them.") \
	X(CONFLICTS,           "posthouse_snapshot_conflicts_total",    COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Response ids that upstream used twice in one scope.") \
	X(SNAPSHOT_BYTES,      "posthouse_snapshot_bytes_total",        COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Bytes of items written to the store.") \
	X(KEEPALIVES,          "posthouse_keepalives_sent_total",       COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Keepalive events that the gateway wrote into streams.") \
	X(SHED,                "posthouse_shed_total",                  COUNTER,           "reason", "streams|connections|draining",                               NULL, NULL,                                   "Requests refused because the node was full or draining.") \
	X(HANDSHAKES,          "posthouse_tls_handshakes_total",        COUNTER,           "result", "full|resumed|failed",                                        NULL, NULL,                                   "TLS handshakes of clients; those that a client left are not counted.") \
	X(INPUT_TOKENS,        "posthouse_input_tokens_total",          COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Input tokens as upstream counted them.") \
	X(CACHED_TOKENS,       "posthouse_cached_input_tokens_total",   COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Input tokens that upstream read from its prompt cache.") \
	X(OUTPUT_TOKENS,       "posthouse_output_tokens_total",         COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Output tokens as upstream counted them.") \
	X(NOTIFIES,            "posthouse_notify_received_total",       COUNTER,           "topic", "accounts|api_keys|settings|prices|models|slots|nodes|other",  NULL, NULL,                                   "Notifications received.") \
	X(NOTIFIES_MISSED,     "posthouse_notifications_missed_total",  COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Changes that the poll found before any notification came.") \
	X(RENEWALS,            "posthouse_token_renewals_total",        COUNTER,           "result", "renewed|ended|failed",                                         NULL, NULL,                                   "Renewals of logins' tokens that this node tried, by what came of them.") \
	X(POLLS,               "posthouse_account_polls_total",         COUNTER,           "what", "usage|models",                                                   "result", "ok|refused|failed",                "What accounts were asked in the background, by what came of it.") \
	X(LEASES_LOST,         "posthouse_leases_lost_total",           COUNTER,           "reason", "lapsed|server|operator|forgotten",                           NULL, NULL,                                   "Blocks of slots that were lost while turns ran or might have run on them.") \
	X(SLOTS_ASKED,         "posthouse_slots_asked_total",           COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Times that this node asked others for slots of an account.") \
	X(SLOT_CALLS,          "posthouse_slot_calls_total",            COUNTER,           "result", "ok|starved|void|failed",                                     NULL, NULL,                                   "Calls that took slots or gave them back.") \
	X(PREFERENCES,         "posthouse_preferences_total",           COUNTER,           "outcome", "new|kept|moved|none|failed|known",                          NULL, NULL,                                   "Conversations whose account was asked for, by what the database said; known: it was not asked again.") \
	X(PG_ERRORS,           "posthouse_pg_errors_total",             COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Statements that failed, and connections that were lost.") \
	X(PG_BATCHES,          "posthouse_pg_batches_total",            COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Batches that the writer connection sent.") \
	X(LOG_DROPPED,         "posthouse_log_dropped_total",           COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Log lines dropped because standard error was full.") \
	X(RELOADS_FAILED,     "posthouse_config_reload_failures_total", COUNTER,           NULL, NULL,                                                             NULL, NULL,                                   "Times that what a SIGHUP reads anew could not be used: what was in use stays.") \
	X(STREAMS,             "posthouse_streams_active",              GAUGE,             "transport", "http|websocket",                                          NULL, NULL,                                   "Turns that run now.") \
	X(CONNECTIONS,         "posthouse_client_connections",          GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Client connections that are open.") \
	X(WEBSOCKETS,         "posthouse_websockets_active",           GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "WebSockets of clients that are open.") \
	X(UPSTREAM_CONNECTIONS, "posthouse_upstream_connections",       GAUGE,             "state", "idle|busy",                                                   NULL, NULL,                                   "Connections to upstreams.") \
	X(PG_CONNECTIONS,      "posthouse_pg_connections",              GAUGE,             "state", "up|down",                                                     NULL, NULL,                                   "Connections to PostgreSQL.") \
	X(LISTENING,           "posthouse_listen_connected",            GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Whether LISTEN is in force (summed over workers).") \
	X(READY,               "posthouse_ready",                       GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Workers that know what they must to serve.") \
	X(SLOTS,               "posthouse_slots_held",                  GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Slots of limited accounts that this node holds.") \
	X(EXCESS,              "posthouse_lease_excess_turns",          GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Turns on limited accounts that run without a slot: theirs was lost, or the limit was lowered.") \
	X(WRITE_QUEUE,         "posthouse_write_queue_turns",           GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Turns that wait to be written.") \
	X(FDS_OPEN,            "posthouse_fds_open",                    GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "File descriptors in use (summed over workers).") \
	X(FDS_MAX,             "posthouse_fds_max",                     GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "File descriptors that may be used (summed over workers).") \
	X(MEMORY_BYTES,        "posthouse_memory_bytes",                GAUGE,             NULL, NULL,                                                             NULL, NULL,                                   "Resident memory (summed over workers).") \
	X(REQUEST_SECONDS,     "posthouse_request_duration_seconds",    HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "Client requests, first byte in to last byte out.") \
	X(FIRST_EVENT_SECONDS, "posthouse_time_to_first_event_seconds", HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "Request complete to first event from upstream.") \
	X(ADDED_SECONDS,       "posthouse_added_latency_seconds",       HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "The gateway's own share of a turn: request complete to request sent, plus terminal event received to shown.") \
	X(PHASE_SECONDS,       "posthouse_phase_seconds",               HISTOGRAM_SECONDS, "phase", "receive|prepare|await|relay|commit",                          NULL, NULL,                                   "Where turns spend their time: until the request is complete; until it is sent upstream (the chain, an account, its slot, a connection); until the first event; until the terminal event; until that is shown.") \
	X(LEASE_WAIT_SECONDS, "posthouse_lease_wait_seconds",          HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "Turns that an account was sought for: how long they waited for one with a free slot.") \
	X(HEALTH_SECONDS,      "posthouse_health_propagation_seconds",  HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "A change of an account's health by another node or an operator, until it was known here, on the database's clock.") \
	X(WRITE_SECONDS,       "posthouse_snapshot_write_seconds",      HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "A turn handed to the writer until its commit was acknowledged.") \
	X(PG_WAIT_SECONDS,     "posthouse_pg_wait_seconds",             HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "A statement queued until its result came.") \
	X(LOOP_LAG_SECONDS,    "posthouse_loop_lag_seconds",            HISTOGRAM_SECONDS, NULL, NULL,                                                             NULL, NULL,                                   "Length of one turn of the event loop.") \
	X(CHAIN_DEPTH,         "posthouse_replay_chain_depth",          HISTOGRAM_COUNT,   NULL, NULL,                                                             NULL, NULL,                                   "Turns in a replayed chain.") \
	X(REPLAY_BYTES,        "posthouse_replay_bytes",                HISTOGRAM_COUNT,   NULL, NULL,                                                             NULL, NULL,                                   "Bytes of items in a replayed chain.")
/* clang-format on */

enum ph_metric {
#define X(id, name, type, l1, v1, l2, v2, help) PH_M_##id,
	PH_METRICS(X)
#undef X
	PH_M_NR,
};

/* Maps the block. Before the fork, once; later calls are ignored. Without it, and before ph_metrics_worker(),
 * writing does nothing. */
void ph_metrics_init(int workers);
void ph_metrics_worker(int worker); /* after the fork: whose slots this process writes; zeroes its gauges */
/* By the parent, when a worker has ended: its gauges are zeroed, or it would count as ready until another has
 * taken its place. */
void ph_metrics_worker_gone(int worker);

/* i and j choose the values of the first and second label, 0 where the family has none. */
void ph_metric_add(enum ph_metric m, unsigned i, unsigned j, int64_t n);
void ph_metric_set(enum ph_metric m, unsigned i, unsigned j, int64_t n);
void ph_metric_observe(enum ph_metric m, uint64_t value);
void ph_metric_observe_in(
	enum ph_metric m, unsigned label, uint64_t value);       /* of a histogram with one label */
int64_t ph_metric_get(enum ph_metric m, unsigned i, unsigned j); /* sum over all workers */

/* A turn, for the figures by model (OpenTelemetry's conventions for generative AI). Times in nanoseconds; 0
 * where there is none. model: what was asked for, of a turn that some account was found for, else empty. */
struct ph_model_turn {
	bool failed;
	uint64_t duration_ns, first_chunk_ns;
	uint64_t input_tokens, cached_tokens, output_tokens, reasoning_tokens;
};
void ph_metrics_model_turn(struct ph_str model, const struct ph_model_turn *t);

/* Heartbeat of a worker's loop, for liveness: the parent and any worker may read all. */
void ph_metrics_beat(void);
uint64_t ph_metrics_oldest_beat_ms(void); /* age of the oldest beat among workers that ever beat */

uint64_t ph_metrics_started_s(void); /* when they were mapped, in seconds of UNIX time; 0: they were not */
void ph_metrics_print(struct ph_buf *out); /* Prometheus text format 0.0.4 */

#endif
