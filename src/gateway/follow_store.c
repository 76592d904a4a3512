/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of following: settings, versions of topics, and the store's upkeep. */
#include "gateway_priv.h"

#define UPKEEP_TIMEOUT_MS 30000

const char *const ph_gateway_warm_sql = "SELECT posthouse.warm()";
const char *const ph_follow_store_poll = "SELECT * FROM posthouse.topics()";

struct ph_pg_call *ph_follow_store_topics(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, ph_follow_store_poll, NULL, 0, 0, cb, arg);
}

struct ph_pg_call *ph_follow_store_hello(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.hello()", NULL, 0, 0, cb, arg);
}

struct ph_pg_call *ph_follow_store_roll_up(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.roll_up()", NULL, 0, UPKEEP_TIMEOUT_MS, cb, arg);
}

struct ph_pg_call *ph_follow_store_maintain(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.maintain()", NULL, 0, UPKEEP_TIMEOUT_MS, cb, arg);
}

struct ph_pg_call *ph_follow_store_sweep(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT posthouse.sweep_nodes()", NULL, 0, 0, cb, arg);
}

struct ph_pg_call *ph_follow_store_sweep_preferences(struct ph_pg *pg, int64_t most, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT(most)};

	return ph_pg_query(pg, "SELECT posthouse.sweep_preferences($1)", p, 1, UPKEEP_TIMEOUT_MS, cb, arg);
}

struct ph_pg_call *ph_follow_store_facts(struct ph_pg *pg, const char *node, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_UUID(node)};

	return ph_pg_query(pg, "SELECT * FROM posthouse.node_facts($1)", p, 1, 0, cb, arg);
}

struct ph_pg_call *ph_follow_store_report(
	struct ph_pg *pg, const char *node, struct ph_str report, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_UUID(node), PH_P_STR(report)};

	return ph_pg_query(pg, "SELECT posthouse.report_node($1, $2)", p, 2, 0, cb, arg);
}

struct ph_pg_call *ph_follow_store_setting(
	struct ph_pg *pg, const char *name, const char *value, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_STR(ph_str_c(name)), PH_P_STR(ph_str_c(value))};

	return ph_pg_query(pg, "SELECT posthouse.init_setting($1, $2)", p, 2, 0, cb, arg);
}

struct ph_pg_call *ph_follow_store_master_key(struct ph_pg *pg, struct ph_str ids, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_STR(ids)};

	return ph_pg_query(pg, "SELECT posthouse.check_master_key($1)", p, 1, 0, cb, arg);
}
