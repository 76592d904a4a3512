/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of slots. */
#include "account_priv.h"

static void on_asked(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	(void)arg;
	(void)r;
	(void)err;
}

struct ph_pg_call *ph_lease_store_slots(
	struct ph_pg *pg, const struct ph_slots_call *c, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_INT8(c->account),
		PH_P_UUID(c->node),
		PH_P_INT8(c->version),
		PH_P_INT8(c->life),
		PH_P_INT4(c->running),
		PH_P_INT4(c->needed),
		PH_P_INT4(c->wanted),
	};

	return ph_pg_query(pg, "SELECT * FROM posthouse.lease_slots($1, $2, $3, $4, $5, $6, $7)", p,
		sizeof p / sizeof *p, 0, cb, arg);
}

/* Nobody waits for it: a node that is starved asks again. */
void ph_lease_store_ask(struct ph_pg *pg, int64_t account, const char *node)
{
	struct ph_pg_param p[] = {PH_P_INT8(account), PH_P_UUID(node)};

	ph_pg_query(pg, "SELECT posthouse.ask_slots($1, $2)", p, 2, 0, on_asked, NULL);
}
