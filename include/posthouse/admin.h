/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener's answers: liveness, readiness, metrics. */
#ifndef POSTHOUSE_ADMIN_H
#define POSTHOUSE_ADMIN_H

#include "posthouse/gateway.h"

struct ph_admin {
	struct ph_gateway *gateway;
	const bool *draining; /* of the node */
	const bool *started;  /* the node was ready once */
};

/* GET /livez /readyz /startupz /metrics. None of them asks the database. */
void ph_admin_handle(struct ph_admin *a, struct ph_exchange *x);

#endif
