/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this node did in the present minute, and the picture of the whole cluster that is made from what all
 * nodes wrote of theirs.
 */
#ifndef POSTHOUSE_TRAFFIC_H
#define POSTHOUSE_TRAFFIC_H

#include "gateway_priv.h"

struct ph_traffic; /* owner: the gateway */
struct ph_traffic *ph_traffic_new(struct ph_gateway *g);
struct ph_traffic *ph_traffic_free(struct ph_traffic *t); /* returns NULL */
void ph_traffic_start(struct ph_traffic *t);              /* the node is registered */
/* A turn ended. mode: PH_MODE_x; first_event_ns: 0 = it showed none. */
void ph_traffic_turn(
	struct ph_traffic *t, unsigned mode, bool failed, uint64_t first_event_ns, uint64_t duration_ns);

/* running.c */
/* The turns that have been running longest, as a JSON array; nothing where none lasts. */
void ph_running_put(const struct ph_gateway *g, struct ph_buf *out);

/* traffic_store.c */
struct ph_minute {
	uint64_t minute_s; /* unix */
	uint32_t running;
	struct ph_str counts, first_event, duration; /* int[] in text form */
	struct ph_str turns;                         /* those that have been running longest; or empty */
};
struct ph_pg_call *ph_traffic_store_put(struct ph_pg *pg, const char *node_id, const char *node,
	const struct ph_minute *m, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_traffic_store_status(struct ph_pg *pg, ph_pg_cb cb, void *arg);

#endif
