/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_UPKEEP_H
#define POSTHOUSE_UPKEEP_H

#include "gateway_priv.h"

/* Owner: the gateway. Starts to follow changes once the database has answered everything. */
struct ph_upkeep *ph_upkeep_new(struct ph_gateway *g, const struct ph_master_keys *keys);
void ph_upkeep_start(struct ph_upkeep *u);
const char *ph_upkeep_unready(const struct ph_upkeep *u); /* what it waits for, or NULL */
struct ph_upkeep *ph_upkeep_free(struct ph_upkeep *u);

#endif
