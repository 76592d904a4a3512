/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of accounts. */
#include "account_priv.h"

struct ph_pg_call *ph_account_store_load(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.load_accounts()", NULL, 0, 0, cb, arg);
}
