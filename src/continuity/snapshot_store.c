/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of snapshots: one function of the schema each (sql/README.md). */
#include "continuity_priv.h"

#define CHAIN_TIMEOUT_MS 5000 /* a chain of thousands of turns may take longer than a look-up */

struct ph_pg_call *ph_snapshot_store_resolve(struct ph_continuity *c, int64_t scope, struct ph_str id,
	const int64_t *forward, size_t forward_count, uint64_t max_bytes, ph_pg_cb cb, void *arg)
{
	struct ph_pg_call *call;
	struct ph_buf accounts;

	ph_buf_init(&accounts, 64 * 1024);
	ph_buf_putc(&accounts, '{');
	for (size_t i = 0; i < forward_count; i++)
		ph_buf_printf(&accounts, "%s%lld", i ? "," : "", (long long)forward[i]);
	ph_buf_putc(&accounts, '}');
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(id), PH_P_STR(ph_buf_str(&accounts)),
		PH_P_INT8(max_bytes), PH_P_INT4(PH_HOPS_MAX)};
	call = ph_pg_query(c->pg, "SELECT * FROM posthouse.resolve($1, $2, $3, $4, $5)", p, 5,
		CHAIN_TIMEOUT_MS, cb, arg);
	ph_buf_deinit(&accounts);
	return call;
}

struct ph_pg_call *ph_snapshot_store_read(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(id)};

	return ph_pg_query(c->pg, "SELECT * FROM posthouse.read_response($1, $2)", p, 2, 0, cb, arg);
}

struct ph_pg_call *ph_snapshot_store_hide(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(id)};

	return ph_pg_query(c->pg, "SELECT * FROM posthouse.hide_response($1, $2)", p, 2, 0, cb, arg);
}

struct ph_pg_call *ph_snapshot_store_items(struct ph_continuity *c, int64_t scope, const struct ph_str *ids,
	size_t n, const struct ph_str *bodies, size_t bodies_n, ph_pg_cb cb, void *arg)
{
	struct ph_pg_call *call;
	struct ph_buf all, read;

	ph_buf_init(&all, 4 * 1024 * 1024);
	ph_buf_init(&read, 4 * 1024 * 1024);
	ph_pg_text_array(&all, ids, n);
	ph_pg_text_array(&read, bodies, bodies_n);
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(ph_buf_str(&all)), PH_P_STR(ph_buf_str(&read))};
	call = ph_pg_query(c->pg, "SELECT * FROM posthouse.read_items($1, $2, $3)", p, 3, 0, cb, arg);
	ph_buf_deinit(&all);
	ph_buf_deinit(&read);
	return call;
}

void ph_snapshot_store_commit(
	struct ph_continuity *c, const struct ph_pg_param p[PH_COMMIT_PARAMS], ph_pg_cb cb, void *arg)
{
	ph_pg_write(c->pg,
		"SELECT * FROM posthouse.commit_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
		"$14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, "
		"$32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44, $45, $46)",
		p, PH_COMMIT_PARAMS, cb, arg);
}

void ph_snapshot_store_log(
	struct ph_continuity *c, const struct ph_pg_param p[PH_LOG_PARAMS], ph_pg_cb cb, void *arg)
{
	static const enum ph_pg_kind kinds[PH_LOG_PARAMS] = {PH_PG_UUID, PH_PG_TEXT, PH_PG_INT8, PH_PG_TEXT,
		PH_PG_TEXT, PH_PG_TEXT, PH_PG_INT8, PH_PG_TEXT, PH_PG_TEXT, PH_PG_INT4, PH_PG_TEXT,
		PH_PG_INT4, PH_PG_INT4, PH_PG_INT8, PH_PG_BOOL, PH_PG_INT8, PH_PG_INT8, PH_PG_INT8,
		PH_PG_INT8, PH_PG_INT8, PH_PG_INT8, PH_PG_INT8, PH_PG_INT8, PH_PG_INT8, PH_PG_INT8,
		PH_PG_TEXT, PH_PG_TEXT, PH_PG_TEXT, PH_PG_UUID, PH_PG_TEXT};
	static const struct ph_pg_rows rows = {
		"SELECT posthouse.log_turns($1, $2, $3, $4, $5, $6, $7, $8, "
		"$9, $10, $11, $12, $13, $14, $15, "
		"$16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)",
		PH_LOG_PARAMS, kinds};

	ph_pg_write_row(c->pg, &rows, p, cb, arg);
}

struct ph_pg_call *ph_snapshot_store_background(
	struct ph_continuity *c, int64_t scope, struct ph_str id, ph_pg_cb cb, void *arg)
{
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(id)};

	return ph_pg_query(c->pg, "SELECT * FROM posthouse.find_background($1, $2)", p, 2, 0, cb, arg);
}

void ph_snapshot_store_begin(
	struct ph_continuity *c, const struct ph_pg_param p[PH_BEGIN_PARAMS], ph_pg_cb cb, void *arg)
{
	ph_pg_write(c->pg,
		"SELECT posthouse.begin_background($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
		"$14, $15, $16, $17, $18)",
		p, PH_BEGIN_PARAMS, cb, arg);
}

/* Nobody waits for it. */
void ph_snapshot_store_end(struct ph_continuity *c, int64_t scope, struct ph_str id)
{
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(id)};

	ph_pg_write(c->pg, "SELECT posthouse.end_background($1, $2)", p, 2, NULL, NULL);
}
