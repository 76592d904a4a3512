/* SPDX-License-Identifier: Apache-2.0 */
#include "login_store.h"

#include "posthouse/pg.h"

int ph_cli_store_login_target(
	struct ph_pgs *pg, const char *name, struct ph_cli_target *ret, struct ph_err *err)
{
	const struct ph_pg_param p = PH_P_STR(ph_str_c(name));
	struct ph_pg_result *r = ph_pgs_query(pg, "SELECT * FROM posthouse.login_target($1)", &p, 1, err);

	if (r == NULL)
		return -err->code;
	memset(ret, 0, sizeof *ret);
	ret->known = ph_pg_rows(r) > 0;
	if (ret->known) {
		ph_str_copy(ret->kind, sizeof ret->kind, ph_pg_str(r, 0, 0));
		ph_str_copy(ret->base_url, sizeof ret->base_url, ph_pg_str(r, 0, 1));
		ph_str_copy(ret->token_url, sizeof ret->token_url, ph_pg_str(r, 0, 2));
	}
	ph_pg_result_free(r);
	return 0;
}

/* A uuid as text. */
static bool read_id(struct ph_str text, uint8_t id[16])
{
	char hex[33];
	size_t n = 0;

	for (size_t i = 0; i < text.n && n < 32; i++)
		if (text.p[i] != '-')
			hex[n++] = text.p[i];
	return ph_unhex(id, 16, ph_str(hex, n));
}

int ph_cli_store_open_login(
	struct ph_pgs *pg, struct ph_cli_login_row *row, struct ph_buf *out, struct ph_err *err)
{
	bool make = row->sealed.n > 0;
	const struct ph_pg_param p[] = {
		make ? PH_P_UUID(row->id) : PH_P_NULL,
		PH_P_STR(ph_str_c(row->name)),
		PH_P_STR(ph_str_c(row->method)),
		PH_P_STR(ph_str_c(row->issuer)),
		make ? PH_P_BYTES(row->sealed) : PH_P_NULL,
		make ? PH_P_BYTES(row->key_id) : PH_P_NULL,
		PH_P_INT(row->lasts_ms),
	};
	struct ph_pg_result *r =
		ph_pgs_query(pg, "SELECT * FROM posthouse.open_login($1, $2, $3, $4, $5, $6, $7)", p, 7, err);
	int found;

	if (r == NULL)
		return -err->code;
	found = ph_pg_rows(r) > 0 && read_id(ph_pg_str(r, 0, 0), row->id);
	if (found) {
		ph_buf_puts(out, ph_pg_str(r, 0, 1));
		row->remaining_ms = (uint64_t)ph_pg_int(r, 0, 2);
	}
	ph_pg_result_free(r);
	return found;
}

int ph_cli_store_look_login(
	struct ph_pgs *pg, const uint8_t id[16], enum ph_cli_stands *ret, struct ph_err *err)
{
	static const char *const words[] = {"open", "taken", "done", "failed", "expired"};
	const struct ph_pg_param p = PH_P_UUID(id);
	struct ph_pg_result *r = ph_pgs_query(pg, "SELECT posthouse.look_login($1)", &p, 1, err);

	if (r == NULL)
		return -err->code;
	*ret = PH_LOGIN_GONE;
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (ph_str_eq(ph_pg_str(r, 0, 0), ph_str_c(words[i])))
			*ret = (enum ph_cli_stands)i;
	ph_pg_result_free(r);
	return 0;
}

int ph_cli_store_take_login(struct ph_pgs *pg, const uint8_t id[16], bool *ret, struct ph_err *err)
{
	const struct ph_pg_param p = PH_P_UUID(id);
	struct ph_pg_result *r = ph_pgs_query(pg, "SELECT posthouse.take_login($1)", &p, 1, err);

	if (r == NULL)
		return -err->code;
	*ret = ph_pg_int(r, 0, 0) != 0;
	ph_pg_result_free(r);
	return 0;
}

int ph_cli_store_end_login(struct ph_pgs *pg, const uint8_t id[16], bool done, struct ph_err *err)
{
	const struct ph_pg_param p[] = {PH_P_UUID(id), PH_P_BOOL(done)};
	struct ph_pg_result *r = ph_pgs_query(pg, "SELECT true FROM posthouse.end_login($1, $2)", p, 2, err);

	if (r == NULL)
		return -err->code;
	ph_pg_result_free(r);
	return 0;
}
