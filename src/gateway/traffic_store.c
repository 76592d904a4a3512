/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of traffic and of the status page. */
#include "traffic.h"

struct ph_pg_call *ph_traffic_store_put(struct ph_pg *pg, const char *node_id, const char *node,
	const struct ph_minute *m, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_UUID(node_id), PH_P_STR(ph_str_c(node)), PH_P_INT(m->minute_s),
		PH_P_INT(m->running), PH_P_STR(m->counts), PH_P_STR(m->first_event), PH_P_STR(m->duration),
		m->turns.n ? PH_P_STR(m->turns) : PH_P_NULL};

	return ph_pg_query(
		pg, "SELECT posthouse.put_traffic($1, $2, $3, $4, $5, $6, $7, $8)", p, 8, 0, cb, arg);
}

struct ph_pg_call *ph_traffic_store_status(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT posthouse.status()", NULL, 0, 0, cb, arg);
}
