/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_GATEWAY_PRIV_H
#define POSTHOUSE_GATEWAY_PRIV_H

#include "posthouse/gateway.h"
#include "posthouse/json.h"
#include "posthouse/member.h"

/* Owner: the node. */
struct ph_gateway {
	struct ph_loop *loop;
	struct ph_pg *pg;
	const struct ph_config *config;
	const char *node;
	struct ph_auth *auth;
	struct ph_accounts *accounts;
	struct ph_member *member; /* this node in the cluster */
	struct ph_continuity *continuity;
	struct ph_upstream *upstream;
	struct ph_list requests; /* of struct ph_request: turns from AUTH to DONE */
	size_t turns;
	struct ph_list lanes; /* of struct ph_lane (lane.h): kept for HTTP clients, oldest first */
	size_t lane_count;
	struct ph_list sessions;       /* of struct ph_session (session.c) */
	struct ph_list others;         /* of struct ph_side (side.h): requests that are no turns */
	struct ph_follow *follow;      /* topics (follow.c) */
	struct ph_upkeep *upkeep;      /* upkeep.h */
	struct ph_chores *chores;      /* chores.h */
	struct ph_node_report *report; /* report.h */
	int64_t certificate_s;    /* unix time at which the listener's certificate expires; 0 = it has none */
	struct ph_models *models; /* models.h */
	struct ph_renewals *renewals; /* renew.h */
	struct ph_traffic *traffic;   /* traffic.h */
	struct ph_status *status;     /* status.h */
	struct ph_limits *limits;     /* limit.h */
	struct ph_prices *prices;     /* prices.h */
	struct ph_polls *polls;       /* poll.h */
	struct ph_pool *pool;         /* pool.h */
	struct ph_buf event;          /* relay.c: one that is being changed; empty between them */
	bool ready;
	void (*on_ready)(void *arg);
	void (*on_fatal)(void *arg);
	void *ready_arg;
	void (*on_closed)(void *arg);
	void *closed_arg;
};

/* First label of posthouse_requests_total, in its order. */
enum {
	PH_ROUTE_RESPONSES,
	PH_ROUTE_RESPONSE,
	PH_ROUTE_INPUT_ITEMS,
	PH_ROUTE_MODELS,
	PH_ROUTE_RELAY,
	PH_ROUTE_OTHER,
	PH_ROUTE_CHAT
};

/* ---- reply.c: answers of our own ---- */
/* Header lines that every answer carries: x-request-id, x-posthouse-node. */
void ph_reply_common(struct ph_gateway *g, const struct ph_exchange *x, struct ph_buf *headers);
void ph_reply_json(struct ph_gateway *g, struct ph_exchange *x, int status, struct ph_str json);
/* after_ms: for Retry-After where the error has one. */
void ph_reply_error(struct ph_gateway *g, struct ph_exchange *x, int code, const struct ph_err *err,
	uint64_t after_ms, const char *continuity);
/* An envelope alone, around an upstream's words about the request itself; param and word may be empty. */
void ph_reply_quote(struct ph_buf *out, const char *message, const char *param, const char *word);
void ph_reply_continuity(struct ph_buf *headers, const char *continuity);
/* Copies what a client may see of an upstream's head: no account's headers, no hop-by-hop. */
void ph_reply_pass_headers(const struct ph_head *head, struct ph_buf *headers);

/* ---- door.c: authentication and body, for every handler under /v1 ---- */
/* Owner: the handler. */
struct ph_door {
	struct ph_gateway *g;
	struct ph_exchange *x;
	struct ph_key *key; /* a reference, once authenticated */
	struct ph_auth_wait *wait;
	void (*done)(void *arg, int result, const struct ph_err *err);
	void *arg;
};
void ph_door_init(struct ph_door *d, struct ph_gateway *g, struct ph_exchange *x,
	void (*done)(void *arg, int result, const struct ph_err *err), void *arg);
/* 1 = done, 0 = done() will tell (1 or a negative code), negative = refused. */
int ph_door_authenticate(struct ph_door *d, struct ph_err *err) PH_WARN_UNUSED;
void ph_door_cancel(struct ph_door *d); /* what waits; may be repeated */
void ph_door_close(struct ph_door *d);  /* cancels what waits, drops the key; may be repeated */

/* ---- handlers ---- */
/* request.c: POST /v1/responses, and each response.create on a WebSocket */
void ph_request_open(struct ph_gateway *g, struct ph_exchange *x);
void ph_request_open_compact(struct ph_gateway *g, struct ph_exchange *x);
void ph_request_open_tokens(struct ph_gateway *g, struct ph_exchange *x);
void ph_session_open(struct ph_gateway *g, struct ph_exchange *x); /* session.c: GET, upgraded */
void ph_responses_get(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id); /* stored.c */
void ph_responses_delete(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id);
void ph_responses_items(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id);
void ph_responses_cancel(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id);
void ph_models_list(
	struct ph_gateway *g, struct ph_exchange *x, struct ph_str id); /* models.c; id empty = all */
void ph_usage_get(struct ph_gateway *g, struct ph_exchange *x);         /* usage.c */
void ph_pass_open(
	struct ph_gateway *g, struct ph_exchange *x, struct ph_str path); /* pass.c; path behind /v1 */

void ph_pool_usage(
	struct ph_gateway *g, struct ph_exchange *x, struct ph_str path); /* pool.c; path is of no interest */
bool ph_courtesy_has(struct ph_str path); /* courtesy.c: a side call of Codex clients */
void ph_courtesy_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path);

/* ---- headers.c: the request head for an account ---- */
/* moved: the conversation comes from another account, whose marks of it stay behind. */
void ph_account_headers(struct ph_buf *out, const struct ph_account *a, const struct ph_exchange *x,
	struct ph_str accept, bool json_body, bool moved);
/* Of a request that no client asked for. */
void ph_account_own_headers(struct ph_buf *out, const struct ph_account *a, struct ph_str accept);
bool ph_is_codex_client(const struct ph_exchange *x);

/* ---- health.c: what an upstream said of an account, for the registry ---- */
/* The request that failed. */
struct ph_asked {
	struct ph_str model;
	struct ph_str family; /* of the client; may be empty */
	int64_t version;      /* of the account's health when it began */
	bool again;           /* the turn was there before: its faults count once */
	int64_t secret;       /* version of the account's secret that it went with */
};
/* True: its token had expired, and is being renewed, or has been. */
bool ph_health_failure(
	struct ph_gateway *g, struct ph_account *a, const struct ph_failure *f, const struct ph_asked *asked);
/* No answer at all: nobody's fault, but others are asked first for a while. */
void ph_health_unreached(struct ph_gateway *g, struct ph_account *a);
void ph_health_head(struct ph_gateway *g, struct ph_account *a, const struct ph_head *head);
void ph_health_event(struct ph_gateway *g, struct ph_account *a, struct ph_str json);

/* ---- follow_store.c: the SQL of following and upkeep ---- */
extern const char *const ph_follow_store_poll; /* rows: topic, version */
struct ph_pg_call *ph_follow_store_topics(
	struct ph_pg *pg, ph_pg_cb cb, void *arg); /* the same, on the pool */
struct ph_pg_call *ph_follow_store_hello(struct ph_pg *pg, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_roll_up(struct ph_pg *pg, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_maintain(struct ph_pg *pg, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_sweep(struct ph_pg *pg, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_sweep_preferences(struct ph_pg *pg, int64_t most, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_facts(struct ph_pg *pg, const char *node, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_report(
	struct ph_pg *pg, const char *node, struct ph_str report, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_setting(
	struct ph_pg *pg, const char *name, const char *value, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_follow_store_master_key(struct ph_pg *pg, struct ph_str ids, ph_pg_cb cb, void *arg);

/* ---- limit_store.c: the SQL of limits and prices ---- */
/* What a turn of a limited key may use. */
struct ph_estimate {
	uint64_t input_tokens, output_tokens;
	int64_t cost_nanos;
};
enum { /* columns of reserve_turn() */
	PH_LIMIT_RESULT,
	PH_LIMIT_WHAT,
	PH_LIMIT_PER,
	PH_LIMIT_SIZE,
	PH_LIMIT_USED,
	PH_LIMIT_RESERVED,
	PH_LIMIT_RESETS_MS,
};
struct ph_pg_call *ph_limit_store_reserve(struct ph_pg *pg, const uint8_t turn[16], int64_t key,
	const char *node, const struct ph_estimate *e, ph_pg_cb cb, void *arg);
void ph_limit_store_release(struct ph_pg *pg, const uint8_t turn[16]);
struct ph_pg_call *ph_limit_store_keep(
	struct ph_pg *pg, const char *node, struct ph_str turns, uint64_t older_ms, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_limit_store_usage(struct ph_pg *pg, int64_t key, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_limit_store_prices(struct ph_pg *pg, ph_pg_cb cb, void *arg);

/* ---- poll_store.c: the SQL of what is asked of accounts in the background ---- */
struct ph_poll_note {
	int64_t account;
	const char *result, *email; /* email may be empty */
	bool renews;                /* its token is renewed, in */
	uint64_t renew_ms;
	const char *node; /* its name */
};
struct ph_pg_call *ph_poll_store_note(struct ph_pg *pg, const struct ph_poll_note *n, ph_pg_cb cb, void *arg);
struct ph_models_put {
	int64_t account;
	const char *job;    /* its name */
	const char *node;   /* 16 bytes */
	int64_t epoch;      /* of the job's claim */
	bool codex;         /* the format of list */
	struct ph_str list; /* empty: the account gave none */
	const char *node_name;
};
struct ph_pg_call *ph_poll_store_models(
	struct ph_pg *pg, const struct ph_models_put *m, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_poll_store_load_models(struct ph_pg *pg, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_poll_store_usage(struct ph_pg *pg, ph_pg_cb cb, void *arg);

/* ---- follow.c: accounts and keys as they change ---- */
struct ph_follow *ph_follow_new(struct ph_gateway *g);
void ph_follow_start(struct ph_follow *f);
const char *ph_follow_unready(const struct ph_follow *f);
bool ph_follow_listening(const struct ph_follow *f);        /* LISTEN is in force */
const char *ph_follow_overruled(const struct ph_follow *f); /* by the database: a setting, or NULL */
bool ph_follow_misses(const struct ph_follow *f); /* and yet the last change came without a notification */
struct ph_follow *ph_follow_free(struct ph_follow *f);

#endif
