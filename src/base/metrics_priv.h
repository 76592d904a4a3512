/* SPDX-License-Identifier: Apache-2.0 */
/* What the two blocks of metrics share: the fixed families, and the figures by model. */
#ifndef POSTHOUSE_METRICS_PRIV_H
#define POSTHOUSE_METRICS_PRIV_H

#include "posthouse/metrics.h"

#include <stdatomic.h>

#define PH_SLOTS_LINE 8 /* slots in a cache line: rows of two workers never share one */

struct ph_bound {
	uint64_t value;
	const char *le;
};
#define PH_BOUNDS_SECONDS 24
extern const struct ph_bound ph_bounds_seconds[PH_BOUNDS_SECONDS]; /* nanoseconds */

/* The first of `n` bounds that the value does not exceed, or `n`. */
unsigned ph_bucket_of(const struct ph_bound *b, unsigned n, uint64_t value);

void *ph_metrics_map(size_t size); /* zeroed, shared with those that are forked later */
void ph_metrics_put_escaped(struct ph_buf *out, struct ph_str s, bool quotes);

/* The writer's alone to write, so that no bus has to be locked for it. */
static inline void ph_slot_add(_Atomic int64_t *slot, int64_t n)
{
	int64_t was = atomic_load_explicit(slot, memory_order_relaxed);

	atomic_store_explicit(slot, was + n, memory_order_relaxed);
}

/* ---- metrics_model.c ---- */
void ph_models_map(int workers);
void ph_models_worker(int worker);
void ph_models_print(struct ph_buf *out);

#endif
