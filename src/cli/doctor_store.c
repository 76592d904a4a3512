/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of the doctor's questions to the database. */
#include "posthouse/pg.h"

#include "doctor.h"

#define FACTS                                                                                                \
	"SELECT current_user::text, r.rolsuper, r.rolbypassrls, "                                            \
	"EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = 'posthouse' "                                  \
	"AND pg_has_role(n.nspowner, 'USAGE')), "                                                            \
	"to_regrole('posthouse_node') IS NOT NULL AND pg_has_role('posthouse_node', 'USAGE'), "              \
	"(SELECT coalesce(string_agg(m.name, ', '), '') FROM unnest(ARRAY['posthouse_owner', "               \
	"'posthouse_node', 'posthouse_operator', 'posthouse_viewer']) AS m (name) "                          \
	"WHERE to_regrole(m.name) IS NULL), "                                                                \
	"current_setting('statement_timeout'), "                                                             \
	"(SELECT count(*) FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace "                    \
	"WHERE n.nspname = 'posthouse' AND t.relname IN ('snapshots', 'snapshot_items', 'resource_owners', " \
	"'preferences') AND t.relrowsecurity AND t.relforcerowsecurity), "                                   \
	"(SELECT count(*) FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace "                    \
	"WHERE n.nspname = 'posthouse' AND t.relname IN ('snapshots', 'snapshot_items', 'resource_owners', " \
	"'preferences')), "                                                                                  \
	"current_setting('max_connections')::int8 "                                                          \
	"- current_setting('superuser_reserved_connections')::int8, "                                        \
	"(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "                    \
	"(SELECT count(*) FROM posthouse_admin.nodes WHERE state <> 'silent') "                              \
	"FROM pg_roles r WHERE r.rolname = current_user"

int ph_doctor_store_facts(struct ph_pgs *pg, struct ph_doctor_facts *ret, struct ph_err *err)
{
	enum {
		USER,
		SUPERUSER,
		BYPASSES,
		OWNS,
		IS_NODE,
		MISSING,
		STATEMENT_TIMEOUT,
		WALLS,
		WALLS_WANTED,
		MAX_CONNECTIONS,
		USED,
		NODES
	};
	struct ph_pg_result *r = ph_pgs_query(pg, FACTS, NULL, 0, err);

	memset(ret, 0, sizeof(*ret));
	if (r == NULL)
		return -err->code;
	ph_str_copy(ret->user, sizeof(ret->user), ph_pg_str(r, 0, USER));
	ret->superuser = ph_pg_int(r, 0, SUPERUSER);
	ret->bypasses = ph_pg_int(r, 0, BYPASSES);
	ret->owns = ph_pg_int(r, 0, OWNS);
	ret->is_node = ph_pg_int(r, 0, IS_NODE);
	ph_str_copy(ret->missing, sizeof(ret->missing), ph_pg_str(r, 0, MISSING));
	ph_str_copy(
		ret->statement_timeout, sizeof(ret->statement_timeout), ph_pg_str(r, 0, STATEMENT_TIMEOUT));
	ret->walls = ph_pg_int(r, 0, WALLS);
	ret->walls_wanted = ph_pg_int(r, 0, WALLS_WANTED);
	ret->max_connections = ph_pg_int(r, 0, MAX_CONNECTIONS);
	ret->used = ph_pg_int(r, 0, USED);
	ret->nodes = ph_pg_int(r, 0, NODES);
	ph_pg_result_free(r);
	return 0;
}

int ph_doctor_store_clock(struct ph_pgs *pg, int64_t *ret_us, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(
		pg, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", NULL, 0, err);

	if (r == NULL)
		return -err->code;
	*ret_us = ph_pg_int(r, 0, 0);
	ph_pg_result_free(r);
	return 0;
}

struct ph_pg_result *ph_doctor_store_accounts(struct ph_pgs *pg, struct ph_err *err)
{
	return ph_pgs_query(pg, "SELECT * FROM posthouse.load_accounts()", NULL, 0, err);
}
