/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of this node's place in the cluster, and of periodic work. */
#include "account_priv.h"

struct ph_pg_call *ph_member_store_register(struct ph_pg *pg, const char *node, const char *name,
	uint64_t ttl_ms, uint64_t timeout_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_UUID(node),
		PH_P_STR(ph_str_c(name)),
		PH_P_STR(PH_STR(PH_VERSION)),
		PH_P_INT8(ttl_ms),
	};

	return ph_pg_query(pg, "SELECT posthouse.register_node($1, $2, $3, $4)", p, 4, timeout_ms, cb, arg);
}

struct ph_pg_call *ph_member_store_beat(
	struct ph_pg *pg, const struct ph_beat *b, uint64_t timeout_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_UUID(b->node),
		PH_P_INT8(b->told),
		PH_P_STR(b->accounts),
		PH_P_STR(b->running),
	};

	return ph_pg_query(
		pg, "SELECT * FROM posthouse.heartbeat($1, $2, $3, $4)", p, 4, timeout_ms, cb, arg);
}

/* On the writer: its queue is emptied before a node's connections close. */
void ph_member_store_leave(struct ph_pg *pg, const char *node)
{
	struct ph_pg_param p[] = {PH_P_UUID(node)};

	ph_pg_write(pg, "SELECT posthouse.leave_node($1)", p, 1, NULL, NULL);
}

struct ph_pg_call *ph_member_store_claim(
	struct ph_pg *pg, const char *job, const char *node, uint64_t hold_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_STR(ph_str_c(job)), PH_P_UUID(node), PH_P_INT8(hold_ms)};

	return ph_pg_query(pg, "SELECT * FROM posthouse.claim_job($1, $2, $3)", p, 3, 0, cb, arg);
}

struct ph_pg_call *ph_member_store_finish(struct ph_pg *pg, const char *job, const char *node, int64_t epoch,
	uint64_t next_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_STR(ph_str_c(job)), PH_P_UUID(node), PH_P_INT8(epoch), PH_P_INT8(next_ms)};

	return ph_pg_query(pg, "SELECT posthouse.finish_job($1, $2, $3, $4)", p, 4, 0, cb, arg);
}
