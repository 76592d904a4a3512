/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_POOL_H
#define POSTHOUSE_POOL_H

#include "gateway_priv.h"

/* What the accounts of kind codex that a key may use have left together. Owner: the gateway. */
struct ph_pool *ph_pool_new(struct ph_gateway *g);
void ph_pool_start(struct ph_pool *p);
struct ph_pool *ph_pool_free(struct ph_pool *p);

/* Header lines, for Codex clients; none where nothing is known. */
void ph_pool_headers(
	struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key, struct ph_buf *headers);
/* The same as the event codex.rate_limits. False: there is none. */
bool ph_pool_event(
	struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key, struct ph_buf *json);

#endif
