/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of owned resources: one function of the schema each (sql/README.md). */
#include "owned.h"

#define ARRAY_MAX (1024 * 1024)

static struct ph_pg_param text_or_null(struct ph_str s)
{
	return s.p ? PH_P_STR(s) : PH_P_NULL;
}

struct ph_pg_call *ph_owned_store_find(
	struct ph_pg *pg, int64_t scope, const struct ph_owned_ids *ids, ph_pg_cb cb, void *arg)
{
	struct ph_str list[PH_OWNED_IDS_MAX];
	struct ph_pg_call *call;
	struct ph_buf array;

	for (size_t i = 0; i < ids->n; i++)
		list[i] = ids->list[i].id;
	ph_buf_init(&array, ARRAY_MAX);
	ph_pg_text_array(&array, list, ids->n);
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(ph_buf_str(&array))};
	call = ph_pg_query(pg, "SELECT * FROM posthouse.find_owned($1, $2)", p, 2, 0, cb, arg);
	ph_buf_deinit(&array);
	return call;
}

struct ph_pg_call *ph_owned_store_list(
	struct ph_pg *pg, int64_t scope, const struct ph_owned_page *page, ph_pg_cb cb, void *arg)
{
	struct ph_pg_call *call;
	struct ph_buf accounts;

	ph_buf_init(&accounts, ARRAY_MAX);
	ph_buf_putc(&accounts, '{');
	for (size_t i = 0; i < page->account_count; i++)
		ph_buf_printf(&accounts, "%s%lld", i ? "," : "", (long long)page->accounts[i]);
	ph_buf_putc(&accounts, '}');
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(page->kind), PH_P_STR(ph_buf_str(&accounts)),
		text_or_null(page->after), text_or_null(page->before), PH_P_BOOL(page->rising),
		PH_P_INT4(page->limit)};
	call = ph_pg_query(
		pg, "SELECT * FROM posthouse.list_owned($1, $2, $3, $4, $5, $6, $7)", p, 7, 0, cb, arg);
	ph_buf_deinit(&accounts);
	return call;
}

static void put_ids(struct ph_buf *out, const struct ph_minted *ids, size_t n)
{
	struct ph_str list[PH_MINTED_MAX];

	ph_buf_init(out, ARRAY_MAX);
	for (size_t i = 0; i < n; i++)
		list[i] = ids[i].id;
	ph_pg_text_array(out, list, n);
}

void ph_owned_store_add(struct ph_pg *pg, int64_t scope, int64_t account, const struct ph_minted *ids,
	size_t n, ph_pg_cb cb, void *arg)
{
	struct ph_str list[PH_MINTED_MAX];
	struct ph_buf all, kinds;

	put_ids(&all, ids, n);
	ph_buf_init(&kinds, ARRAY_MAX);
	for (size_t i = 0; i < n; i++)
		list[i] = ids[i].kind;
	ph_pg_text_array(&kinds, list, n);
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_INT8(account), PH_P_STR(ph_buf_str(&kinds)),
		PH_P_STR(ph_buf_str(&all))};
	ph_pg_write(pg, "SELECT posthouse.own_ids($1, $2, $3, $4)", p, 4, cb, arg);
	ph_buf_deinit(&all);
	ph_buf_deinit(&kinds);
}

void ph_owned_store_remove(
	struct ph_pg *pg, int64_t scope, const struct ph_minted *ids, size_t n, ph_pg_cb cb, void *arg)
{
	struct ph_buf all;

	put_ids(&all, ids, n);
	struct ph_pg_param p[] = {PH_P_INT8(scope), PH_P_STR(ph_buf_str(&all))};
	ph_pg_write(pg, "SELECT posthouse.disown_ids($1, $2)", p, 2, cb, arg);
	ph_buf_deinit(&all);
}
