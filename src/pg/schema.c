/* SPDX-License-Identifier: Apache-2.0 */
/* Which schema the database has, seen from this binary. Reads only; any role that serves may ask. */
#include <limits.h>
#include <time.h>

#include "migrate_priv.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"

enum {
	POSTGRES_MIN = 140000,
	OPEN_S = 5,         /* one try to connect while waiting */
	WAIT_STEP_MS = 500, /* between two looks */
};

int ph_sql_number(const struct ph_sql_file *f)
{
	uint64_t n = 0;

	ph_str_u64(ph_str(f->name, strspn(f->name, "0123456789")), INT_MAX, &n);
	return (int)n;
}

bool ph_sql_contracting(const struct ph_sql_file *f)
{
	return ph_sql_number(f) && ph_str_find(ph_str_c(f->name), PH_STR("_contract_")) >= 0;
}

void ph_sql_checksum(const struct ph_sql_file *f, uint8_t ret[32])
{
	ph_sha256(ph_str_c(f->text), ret);
}

int ph_schema_latest(void)
{
	int latest = 0;

	for (const struct ph_sql_file *f = ph_sql_files; f->name; f++)
		latest = ph_sql_number(f) > latest ? ph_sql_number(f) : latest;
	return latest;
}

int ph_schema_too_old(const struct ph_pgs *s, struct ph_err *err)
{
	int version = ph_pgs_server_version(s);

	if (version >= POSTGRES_MIN)
		return 0;
	return ph_fail(err, PH_E_CONFIG, "PostgreSQL %d.%d is too old: posthouse needs 14 or newer",
		version / 10000, version % 10000);
}

/* By the catalogue: a role without rights in the schema gets an answer too. */
static int schema_exists(struct ph_pgs *s, bool *ret, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(s,
		"SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
		" WHERE n.nspname = 'posthouse' AND c.relname = 'schema_files'",
		NULL, 0, err);

	if (!r)
		return -PH_E_DATABASE_ERROR;
	*ret = ph_pg_rows(r) > 0;
	ph_pg_result_free(r);
	return 0;
}

static bool listed(const struct ph_pg_result *r, const struct ph_sql_file *f)
{
	uint8_t sum[32];

	ph_sql_checksum(f, sum);
	for (int row = 0; row < ph_pg_rows(r); row++)
		if (ph_str_eq(ph_pg_str(r, row, 0), ph_str_c(f->name)))
			return ph_str_eq(ph_pg_str(r, row, 1), ph_str((const char *)sum, sizeof(sum)));
	return false;
}

/* A schema of our number whose functions have another text: half done, or from a working copy. */
static int files_current(struct ph_pgs *s, bool *ret, struct ph_err *err)
{
	struct ph_pg_result *r =
		ph_pgs_query(s, "SELECT name, checksum FROM posthouse.schema_files", NULL, 0, err);

	if (!r)
		return -PH_E_DATABASE_ERROR;
	*ret = true;
	for (const struct ph_sql_file *f = ph_sql_files; f->name; f++)
		*ret = *ret && (ph_sql_number(f) || listed(r, f));
	ph_pg_result_free(r);
	return 0;
}

static int read_versions(struct ph_pgs *s, int *ret_version, int *ret_contracting, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(s,
		"SELECT coalesce(max(version), 0), coalesce(max(version) FILTER (WHERE contracting), 0)"
		" FROM posthouse.schema_migrations",
		NULL, 0, err);

	if (!r)
		return -PH_E_DATABASE_ERROR;
	*ret_version = (int)ph_pg_int(r, 0, 0);
	*ret_contracting = (int)ph_pg_int(r, 0, 1);
	ph_pg_result_free(r);
	return 0;
}

static int judge(struct ph_pgs *s, enum ph_schema_state *ret, int *ret_version, struct ph_err *err)
{
	int version, contracting, rc = read_versions(s, &version, &contracting, err);
	bool same = false;

	if (!rc && version == ph_schema_latest())
		rc = files_current(s, &same, err);
	if (rc)
		return rc;
	*ret_version = version;
	if (contracting > ph_schema_latest())
		*ret = PH_SCHEMA_BREAKING;
	else if (version > ph_schema_latest())
		*ret = PH_SCHEMA_NEWER;
	else
		*ret = same ? PH_SCHEMA_CURRENT : PH_SCHEMA_OLDER;
	return 0;
}

/* PostgreSQL's "permission denied for ..." does not say what to do. */
static int explain(struct ph_err *err)
{
	struct ph_err was = *err;

	if (strcmp(was.sqlstate, "42501") == 0) {
		ph_fail(err, was.code,
			"%s: connect as posthouse_node, or as the user that ran `posthouse migrate`",
			was.detail);
		ph_str_copy(err->sqlstate, sizeof(err->sqlstate), ph_str_c(was.sqlstate));
	}
	return -was.code;
}

int ph_schema_check(struct ph_pgs *s, enum ph_schema_state *ret, int *ret_version, struct ph_err *err)
{
	struct ph_err local = {0};
	bool exists = false;
	int rc = ph_schema_too_old(s, &local);

	if (!rc)
		rc = schema_exists(s, &exists, &local);
	if (!rc && exists)
		rc = judge(s, ret, ret_version, &local);
	if (rc) {
		rc = explain(&local);
		if (err)
			*err = local;
		return rc;
	}
	if (!exists) {
		*ret = PH_SCHEMA_EMPTY;
		*ret_version = 0;
	}
	return 0;
}

/* ---- waiting ---- */

static int look(const char *dsn, int timeout_s, enum ph_schema_state *ret, struct ph_err *err)
{
	struct ph_pgs *s = ph_pgs_open(dsn, timeout_s < OPEN_S ? timeout_s : OPEN_S, err);
	int version, rc;

	if (!s)
		return -err->code;
	rc = ph_schema_check(s, ret, &version, err);
	ph_pgs_close(s);
	return rc;
}

static int still_waiting(enum ph_schema_state state, int timeout_s, struct ph_err *err)
{
	return ph_fail(err, PH_E_TIMEOUT,
		"the schema was not brought up to date within %d s (%s): run `posthouse migrate`", timeout_s,
		state == PH_SCHEMA_EMPTY ? "there is none yet" : "it is older than this program");
}

int ph_migrate_wait(const char *dsn, int timeout_s, struct ph_err *err)
{
	const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};
	uint64_t until = ph_clock_ms() + (uint64_t)timeout_s * 1000;

	for (;;) {
		enum ph_schema_state state = PH_SCHEMA_EMPTY;
		struct ph_err local = {0};
		uint64_t now = ph_clock_ms();
		int left_s = now < until ? (int)((until - now) / 1000) : 0;
		int rc = look(dsn, left_s < 1 ? 1 : left_s, &state, &local);

		if (!rc && (state == PH_SCHEMA_CURRENT || state == PH_SCHEMA_NEWER))
			return 0;
		if (!rc && state == PH_SCHEMA_BREAKING)
			return ph_fail(err, PH_E_CONFIG,
				"the database's schema is too new for this program: upgrade posthouse");
		if ((rc && rc != -PH_E_DATABASE_AWAY) || (rc && ph_clock_ms() >= until)) {
			if (err)
				*err = local;
			return rc;
		}
		if (ph_clock_ms() >= until)
			return still_waiting(state, timeout_s, err);
		nanosleep(&step, NULL);
	}
}
