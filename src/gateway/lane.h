/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the turns share that follow one another on a client's WebSocket (one lane for each stream_id), or that
 * an HTTP client's conversation makes on a WebSocket kept for it: the upstream socket with its account, and
 * what is known of the last response. It all stands in this one struct, so that the socket a retried turn
 * ended up with is the one that the next turn uses. Its loss costs a replay, and nothing else.
 */
#ifndef POSTHOUSE_GATEWAY_LANE_H
#define POSTHOUSE_GATEWAY_LANE_H

#include "gateway_priv.h"

struct ph_request;

/* Owners: the client's session, or the list of kept ones; and the turn that runs, if any. */
struct ph_lane {
	unsigned refs;
	struct ph_gateway *g;
	struct ph_upsocket *socket; /* NULL: none; the next turn opens one */
	int64_t account;            /* whose socket it is */
	bool remembers; /* upstream's end of it has `last` as its latest response, and nothing failed since */
	struct ph_str last; /* a copy; empty: no response yet */
	/* The create of a response that upstream already sends on the socket, unasked (steer.c); else empty.
	 * The socket is not read until its turn has begun. */
	struct ph_buf successor;
	struct ph_chain *known; /* of `last`: its tip, or its whole context where no row is kept; or NULL */

	/* kept for an HTTP client's conversation */
	struct ph_list node; /* in ph_gateway.lanes */
	int64_t scope;
	struct ph_timer idle;
};

struct ph_lane *ph_lane_new(struct ph_gateway *g);
struct ph_lane *ph_lane_ref(struct ph_lane *lane); /* NULL is allowed */
struct ph_lane *ph_lane_unref(
	struct ph_lane *lane); /* returns NULL; NULL is allowed. The last closes the socket */

/* Whether the turn may go to that account on a WebSocket, or to any that could serve it. */
bool ph_lane_possible(const struct ph_request *r, const struct ph_account *a);
bool ph_lane_thinkable(const struct ph_request *r);
/* Whether this turn goes to its account on a WebSocket. A turn that needs a lane for it gets one. */
bool ph_lane_wanted(struct ph_request *r);
/* The account answered the upgrade as one that has none. */
void ph_lane_not_there(struct ph_gateway *g, struct ph_account *a);
/* Whether the lane's socket can go on from the turn's anchor (handbook, continuity 3, row A1). */
bool ph_lane_live(const struct ph_request *r);
bool ph_lane_fits(const struct ph_lane *lane, int64_t account); /* an open socket there, young enough */
/* The turn continues from what the lane knows of `last`, and neither the lane nor its socket does so any
 * longer: a continuation that fails evicts what it named. NULL: nothing, or it is another response. */
struct ph_chain *ph_lane_take_known(struct ph_lane *lane, struct ph_str id);
/* The turn's response is the lane's last, wherever it came from: if from the lane's socket, it remembers it
 * as soon as the attempt is finished. known is taken over. */
void ph_lane_set_last(struct ph_lane *lane, struct ph_str id, struct ph_chain *known);
void ph_lane_drop_socket(struct ph_lane *lane);
/* A message that belongs to no turn: the last one's answer is whole. It may cost the socket. */
void ph_lane_hear(struct ph_lane *lane, struct ph_str message);
/* The socket is between turns. */
void ph_lane_rest_socket(struct ph_lane *lane);

/* For HTTP clients: the kept lane whose last response that is; it is the turn's then. NULL: none. */
struct ph_lane *ph_lane_find(struct ph_gateway *g, int64_t scope, struct ph_str id);
/* Takes over the reference. */
void ph_lane_keep(struct ph_lane *lane, int64_t scope);
void ph_lanes_close(struct ph_gateway *g); /* all that are kept */

#endif
