/* SPDX-License-Identifier: Apache-2.0 */
/* The admin listener's answers: liveness, readiness, metrics, the status page. */
#ifndef POSTHOUSE_ADMIN_H
#define POSTHOUSE_ADMIN_H

#include "posthouse/gateway.h"

/* GET /livez /readyz /startupz /metrics, none of which asks the database; / and what belongs to it (/page.css
 * /page.js /status.json), where the last one does, at most once a second for all who look. */
void ph_admin_handle(const struct ph_node_view *node, struct ph_exchange *x);

#endif
