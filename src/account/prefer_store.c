/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of preference. */
#include "account_priv.h"

struct ph_pg_call *ph_prefer_store_call(struct ph_pg *pg, int64_t scope, struct ph_str signal,
	struct ph_str able, int64_t choice, uint64_t timeout_ms, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_INT8(scope), PH_P_BYTES(signal), PH_P_STR(able), choice ? PH_P_INT8(choice) : PH_P_NULL};

	return ph_pg_query(pg, "SELECT * FROM posthouse.prefer($1, $2, $3, $4)", p, 4, timeout_ms, cb, arg);
}
