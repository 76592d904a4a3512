/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_GATEWAY_REPORT_H
#define POSTHOUSE_GATEWAY_REPORT_H

#include "gateway_priv.h"

/* What this node finds out about itself, written to the database when it changes. Owner: the gateway. */
struct ph_node_report *ph_node_report_new(struct ph_gateway *g);
void ph_node_report_start(struct ph_node_report *r); /* the node is registered */
int64_t ph_node_report_clock_ms(
	const struct ph_node_report *r); /* the database's clock less ours; 0 before */
/* What the database said last. */
struct ph_node_facts {
	bool known;
	int days_ahead;      /* after today, that have their partitions; negative: not even today */
	double notify_queue; /* how full the queue of notifications is: 0 to 1 */
};
const struct ph_node_facts *ph_node_report_facts(const struct ph_node_report *r);
struct ph_node_report *ph_node_report_free(struct ph_node_report *r);

#endif
