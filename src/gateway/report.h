/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_GATEWAY_REPORT_H
#define POSTHOUSE_GATEWAY_REPORT_H

#include "gateway_priv.h"

/* What this node finds out about itself, written to the database when it changes. Owner: the gateway. */
struct ph_node_report *ph_node_report_new(struct ph_gateway *g);
void ph_node_report_start(struct ph_node_report *r); /* the node is registered */
int64_t ph_node_report_clock_ms(
	const struct ph_node_report *r); /* the database's clock less ours; 0 before */
/* Days after today that the database has partitions for; negative: not even today. False: it was not asked
 * yet. */
bool ph_node_report_days_ahead(const struct ph_node_report *r, int *ret);
struct ph_node_report *ph_node_report_free(struct ph_node_report *r);

#endif
