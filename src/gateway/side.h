/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are no turns: they pass the door, have their body, and are served by one of a few handlers.
 */
#ifndef POSTHOUSE_SIDE_H
#define POSTHOUSE_SIDE_H

#include "gateway_priv.h"

struct ph_side;
struct ph_side_ops {
	unsigned route;
	void (*serve)(struct ph_side *s); /* authenticated, body complete */
	void (*cancel)(
		struct ph_side *s); /* the client left, or drain is over: stop what waits. Not after close */
	void (*drain)(struct ph_side *s); /* the client took what was queued; may be NULL */
};

/* Owner: itself, from open to close. */
struct ph_side {
	struct ph_list node; /* in ph_gateway.others */
	struct ph_gateway *g;
	struct ph_exchange *x; /* NULL once the answer is complete or the client is gone */
	struct ph_door door;
	const struct ph_side_ops *ops;
	struct ph_arena arena; /* a handler's own data */
	void *data;            /* in the arena */
	/* Set before the start, or NULL: once the client is known, it calls for the body itself, instead of
	 * having it collected before serve(). */
	void (*admitted)(struct ph_side *s);
	bool shown; /* bytes of an answer went out: it can only be cut */
};

/* Takes the exchange; data_size bytes of zeroed memory become s->data, which fill() may write. */
struct ph_side *ph_side_open(
	struct ph_gateway *g, struct ph_exchange *x, const struct ph_side_ops *ops, size_t data_size);
void ph_side_start(struct ph_side *s); /* the door; then serve() */
void ph_side_close(struct ph_side *s); /* after the answer */
/* The answer, and close. */
void ph_side_error(struct ph_side *s, int code, const struct ph_err *err, uint64_t after_ms);
void ph_side_json(struct ph_side *s, int status, struct ph_str json);
void ph_side_cut(struct ph_side *s);

#endif
