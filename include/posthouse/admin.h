/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener's answers: liveness, readiness, metrics. */
#ifndef POSTHOUSE_ADMIN_H
#define POSTHOUSE_ADMIN_H

#include "posthouse/gateway.h"

/* GET /livez /readyz /startupz /metrics. None of them asks the database. */
void ph_admin_handle(const struct ph_node_view *node, struct ph_exchange *x);

#endif
