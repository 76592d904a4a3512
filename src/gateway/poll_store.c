/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of what is asked of accounts in the background (sql/functions/polls.sql). */
#include "gateway_priv.h"

struct ph_pg_call *ph_poll_store_note(struct ph_pg *pg, const struct ph_poll_note *n, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_INT8(n->account),
		PH_P_STR(ph_str_c(n->result)),
		PH_P_STR(ph_str_c(n->email)),
		n->renews ? PH_P_INT8(n->renew_ms) : PH_P_NULL,
		PH_P_STR(ph_str_c(n->node)),
	};

	return ph_pg_query(pg, "SELECT true FROM posthouse.note_poll($1, $2, $3, $4, $5)", p, 5, 0, cb, arg);
}

struct ph_pg_call *ph_poll_store_usage(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.load_usage()", NULL, 0, 0, cb, arg);
}

struct ph_pg_call *ph_poll_store_load_models(struct ph_pg *pg, ph_pg_cb cb, void *arg)
{
	return ph_pg_query(pg, "SELECT * FROM posthouse.load_models()", NULL, 0, 0, cb, arg);
}

struct ph_pg_call *ph_poll_store_models(
	struct ph_pg *pg, const struct ph_models_put *m, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {
		PH_P_INT8(m->account),
		PH_P_STR(ph_str_c(m->job)),
		PH_P_UUID(m->node),
		PH_P_INT8(m->epoch),
		PH_P_STR(m->codex ? PH_STR("codex") : PH_STR("openai")),
		m->list.n ? PH_P_STR(m->list) : PH_P_NULL,
		PH_P_STR(ph_str_c(m->node_name)),
	};

	return ph_pg_query(pg, "SELECT posthouse.put_models($1, $2, $3, $4, $5, $6, $7)", p, 7, 0, cb, arg);
}
