/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of a key's limits, of its usage, and of prices. */
#include "gateway_priv.h"

struct ph_pg_call *ph_limit_store_reserve(struct ph_pg *pg, const uint8_t turn[16], int64_t key,
	const char *node, const struct ph_estimate *e, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_UUID(turn), PH_P_INT8(key), PH_P_UUID(node),
		PH_P_INT8(e->input_tokens), PH_P_INT8(e->output_tokens), PH_P_INT8(e->cost_nanos)};

	return ph_pg_query(
		pg, "SELECT * FROM posthouse.reserve_turn($1, $2, $3, $4, $5, $6)", p, 6, 0, cb, arg);
}

void ph_limit_store_release(struct ph_pg *pg, const uint8_t turn[16])
{
	struct ph_pg_param p[] = {PH_P_UUID(turn)};

	ph_pg_write(pg, "SELECT posthouse.release_turn($1)", p, 1, NULL, NULL);
}

struct ph_pg_call *ph_limit_store_keep(
	struct ph_pg *pg, const char *node, struct ph_str turns, uint64_t older_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_UUID(node), PH_P_STR(turns), PH_P_INT8(older_ms)};

	return ph_pg_query(pg, "SELECT posthouse.keep_reservations($1, $2, $3)", p, 3, 0, cb, arg);
}

struct ph_pg_call *ph_limit_store_usage(struct ph_pg *pg, int64_t key, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(key)};

	return ph_pg_query(pg, "SELECT posthouse.usage_of($1)", p, 1, 0, cb, arg);
}

struct ph_pg_call *ph_limit_store_prices(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.load_prices()", NULL, 0, 0, cb, arg);
}
