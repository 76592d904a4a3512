/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings the schema up to date: bootstrap.sql, the numbered migrations that are missing, then the files that
 * are replaced as a whole, grants.sql last. One caller at a time, by a session's advisory lock that is
 * polled: waiting in pg_advisory_lock() holds a snapshot, on which the holder's own DDL may wait in turn.
 *
 * Each file is one transaction with a short lock_timeout, tried again: an ALTER that queues behind a long
 * reader makes every later reader queue behind the ALTER.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "migrate_priv.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"

enum {
	OPEN_S = 10,
	LOCK_WAIT_MS = 10 * 60 * 1000, /* for another migration */
	LOCK_STEP_MS = 100,
	TRIES_MAX = 20, /* of one file, while somebody holds a table */
	TRY_MS = 250,   /* between them, and as much again at random */
	SCRIPT_MAX = 4 << 20,
};

struct migration {
	struct ph_pgs *s;
	const char *dsn;
	void (*progress)(void *arg, const char *line);
	void *arg;
	char *owner; /* of the schema, quoted; NULL until it exists */
};

__attribute__((format(printf, 2, 3))) static void tell(struct migration *m, const char *fmt, ...)
{
	char line[256];
	va_list args;

	if (!m->progress)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	m->progress(m->arg, line);
}

static void sleep_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&t, NULL);
}

/* The first column of the first row, as text to be freed; NULL with err, or where there is no row or value.
 */
static char *ask_text(struct ph_pgs *s, const char *sql, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(s, sql, NULL, 0, err);
	char *text = NULL;

	if (r && ph_pg_rows(r) && !ph_pg_is_null(r, 0, 0)) {
		struct ph_str value = ph_pg_str(r, 0, 0);

		text = ph_alloc(value.n + 1);
		ph_str_copy(text, value.n + 1, value);
	}
	if (r)
		ph_pg_result_free(r);
	return text;
}

static int ask_int(struct ph_pgs *s, const char *sql, const struct ph_pg_param *params, int count,
	int64_t *ret, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(s, sql, params, count, err);

	if (!r)
		return err ? -err->code : -PH_E_DATABASE_ERROR;
	*ret = ph_pg_rows(r) ? ph_pg_int(r, 0, 0) : 0;
	ph_pg_result_free(r);
	return 0;
}

/* ---- the lock ---- */

static int64_t lock_key(void)
{
	uint8_t sum[32];
	uint64_t key = 0;

	ph_sha256(PH_STR("posthouse:5:migrate"), sum);
	for (int i = 0; i < 8; i++)
		key = key << 8 | sum[i];
	return (int64_t)key;
}

static int take_lock(struct migration *m, struct ph_err *err)
{
	struct ph_pg_param key = PH_P_INT(lock_key());
	uint64_t until = ph_clock_ms() + LOCK_WAIT_MS;
	int64_t taken = 0;
	bool told = false;

	for (;;) {
		int rc = ask_int(m->s, "SELECT pg_try_advisory_lock($1)", &key, 1, &taken, err);

		if (rc || taken)
			return rc;
		if (ph_clock_ms() >= until)
			return ph_fail(err, PH_E_TIMEOUT,
				"another migration has been running for %d min: see pg_stat_activity",
				LOCK_WAIT_MS / 60000);
		if (!told)
			tell(m, "waiting for another migration");
		told = true;
		sleep_ms(LOCK_STEP_MS);
	}
}

/* ---- a pooler in between ---- */

/*
 * A pooler that lends connections per transaction answers OK to LISTEN and to a session's lock, and keeps
 * neither. So before anything is left behind on a connection that is not ours, another client begins a
 * transaction, which takes the server process that we were lent, if we were; and then we look whether ours is
 * still ours. The other's transaction ends by itself, should the pooler have only one to lend.
 */
static int check_pooler(struct migration *m, struct ph_err *err)
{
	int64_t pid = 0, other_pid = 0, pid_now = 0;
	struct ph_pgs *other = NULL;
	int rc = ask_int(m->s, "SELECT pg_backend_pid()", NULL, 0, &pid, err);

	if (!rc) {
		other = ph_pgs_open(m->dsn, OPEN_S, err);
		rc = other ? 0 : -PH_E_DATABASE_AWAY;
	}
	if (!rc)
		rc = ph_pgs_script(other, "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '2s'", err);
	if (!rc)
		rc = ask_int(other, "SELECT pg_backend_pid()", NULL, 0, &other_pid, err);
	if (!rc)
		rc = ask_int(m->s, "SELECT pg_backend_pid()", NULL, 0, &pid_now, err);
	ph_pgs_close(other);
	if (!rc && (pid == other_pid || pid != pid_now))
		rc = ph_fail(err, PH_E_CONFIG,
			"a connection pooler stands before the database and lends connections per "
			"transaction: set "
			"POSTHOUSE_DATABASE_DIRECT_URL to the database's own address");
	return rc;
}

/* ---- applying ---- */

static int find_owner(struct migration *m, struct ph_err *err)
{
	struct ph_err local = {0};

	free(m->owner);
	m->owner = ask_text(m->s,
		"SELECT quote_ident(pg_get_userbyid(nspowner)) FROM pg_namespace WHERE nspname = 'posthouse'",
		&local);
	if (m->owner || !local.code)
		return 0;
	if (err)
		*err = local;
	return -local.code;
}

static bool is_bootstrap(const struct ph_sql_file *f)
{
	return ph_str_eq(ph_str_c(f->name), PH_STR("bootstrap.sql"));
}

static void script_begin(struct migration *m, struct ph_buf *b)
{
	ph_buf_init(b, SCRIPT_MAX);
	/* SQL functions name each other, in whatever order the files come. */
	ph_buf_puts(b,
		PH_STR("BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10min';"
		       " SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning;\n"));
	if (m->owner)
		ph_buf_printf(b, "SET LOCAL ROLE %s;\n", m->owner);
}

/* Two words on what failed in front of the server's own, and what to do where it only says "permission
 * denied". */
static int explain(struct migration *m, const char *what, const struct ph_err *was, struct ph_err *err)
{
	const char *advice = "";

	if (strcmp(was->sqlstate, "42501") == 0)
		advice = m->owner ? ": migrate as the owner of the schema posthouse, or as a member of that "
				    "role"
				  : ": migrate as the owner of the database, or GRANT CREATE ON DATABASE to "
				    "this user";
	ph_fail(err, was->code, "%s: %s%s", what, was->detail, advice);
	if (err)
		ph_str_copy(err->sqlstate, sizeof(err->sqlstate), ph_str_c(was->sqlstate));
	return -was->code;
}

/* lock_not_available, deadlock_detected, and two sessions at one row of the catalogue (roles belong to all
 * databases). */
static bool passing(const struct ph_err *e)
{
	return strcmp(e->sqlstate, "55P03") == 0 || strcmp(e->sqlstate, "40P01") == 0 ||
	       (strcmp(e->sqlstate, "XX000") == 0 && strstr(e->detail, "concurrently"));
}

/* Ends the script, runs it until it finds its locks, frees it. */
static int script_run(struct migration *m, struct ph_buf *b, const char *what, struct ph_err *err)
{
	struct ph_err local = {0};
	int rc = -PH_E_INTERNAL;

	ph_buf_puts(b, PH_STR("\nCOMMIT"));
	ph_buf_putc(b, '\0');
	if (b->failed)
		return ph_fail(err, PH_E_INTERNAL, "%s: the migration is too long", what);
	for (int i = 0; i < TRIES_MAX; i++) {
		rc = ph_pgs_script(m->s, b->p, &local);
		if (rc && ph_pgs_script(m->s, "ROLLBACK", NULL) == 0 && passing(&local)) {
			tell(m, "%s: waiting for a lock", what);
			sleep_ms(TRY_MS + ph_rand_u64() % TRY_MS);
			continue;
		}
		break;
	}
	ph_buf_deinit(b);
	return rc ? explain(m, what, &local, err) : 0;
}

static void put_checksum(struct ph_buf *b, const struct ph_sql_file *f)
{
	uint8_t sum[32];
	char hex[65];

	ph_sql_checksum(f, sum);
	ph_hex(hex, sum, sizeof(sum));
	ph_buf_printf(b, "'\\x%s'", hex);
}

static void put_file_row(struct ph_buf *b, const struct ph_sql_file *f)
{
	ph_buf_printf(b, "\nINSERT INTO posthouse.schema_files (name, checksum) VALUES ('%s', ", f->name);
	put_checksum(b, f);
	ph_buf_puts(b, PH_STR(") ON CONFLICT (name) DO UPDATE SET checksum = excluded.checksum, applied_at = "
			      "now();\n"));
}

static int apply_bootstrap(struct migration *m, const struct ph_sql_file *f, struct ph_err *err)
{
	char *owner = m->owner;
	struct ph_buf b;
	int rc;

	m->owner = NULL; /* as who we are: it is about roles, and takes the owner's itself */
	script_begin(m, &b);
	m->owner = owner;
	ph_buf_puts(&b, ph_str_c(f->text));
	put_file_row(&b, f);
	rc = script_run(m, &b, f->name, err);
	return rc ? rc : find_owner(m, err);
}

static int apply_numbered(struct migration *m, const struct ph_sql_file *f, struct ph_err *err)
{
	struct ph_buf b;

	script_begin(m, &b);
	ph_buf_puts(&b, ph_str_c(f->text));
	ph_buf_printf(&b,
		"\nINSERT INTO posthouse.schema_migrations (version, name, checksum, contracting, ms) VALUES "
		"(%d, '%s', ",
		ph_sql_number(f), f->name);
	put_checksum(&b, f);
	ph_buf_printf(&b, ", %s, (extract(epoch FROM clock_timestamp() - now()) * 1000)::int);\n",
		ph_sql_contracting(f) ? "true" : "false");
	return script_run(m, &b, f->name, err);
}

/* ---- what is missing ---- */

enum applied {
	ABSENT,
	SAME,
	OTHER, /* applied with another text */
};

static int look_up(struct migration *m, const struct ph_sql_file *f, enum applied *ret, struct ph_err *err)
{
	struct ph_pg_param name = PH_P_STR(ph_str_c(f->name)), number = PH_P_INT(ph_sql_number(f));
	struct ph_pg_result *r;
	uint8_t sum[32];

	if (ph_sql_number(f))
		r = ph_pgs_query(m->s, "SELECT checksum FROM posthouse.schema_migrations WHERE version = $1",
			&number, 1, err);
	else
		r = ph_pgs_query(
			m->s, "SELECT checksum FROM posthouse.schema_files WHERE name = $1", &name, 1, err);
	if (!r)
		return -PH_E_DATABASE_ERROR;
	ph_sql_checksum(f, sum);
	*ret = !ph_pg_rows(r)                                                          ? ABSENT
	       : ph_str_eq(ph_pg_str(r, 0, 0), ph_str((const char *)sum, sizeof(sum))) ? SAME
										       : OTHER;
	ph_pg_result_free(r);
	return 0;
}

static int migrate_numbered(struct migration *m, const struct ph_sql_file *f, struct ph_err *err)
{
	enum applied applied = ABSENT;
	int rc = look_up(m, f, &applied, err);

	if (rc || applied == SAME)
		return rc;
	if (applied == OTHER)
		return ph_fail(err, PH_E_CONFIG,
			"migration %s was applied to this database with another text: this is not the "
			"program, or not "
			"the database, that it belongs to",
			f->name);
	rc = apply_numbered(m, f, err);
	if (!rc)
		tell(m, "applied %s", f->name);
	return rc;
}

/* grants.sql runs whenever another of them has changed: it speaks of all functions. */
static int migrate_replaced(struct migration *m, struct ph_err *err)
{
	const struct ph_sql_file *grants = NULL;
	enum applied applied = ABSENT;
	int changed = 0, rc = 0;
	struct ph_buf b;

	script_begin(m, &b);
	for (const struct ph_sql_file *f = ph_sql_files; f->name && !rc; f++) {
		if (ph_sql_number(f) || is_bootstrap(f))
			continue;
		rc = look_up(m, f, &applied, err);
		if (ph_str_eq(ph_str_c(f->name), PH_STR("grants.sql")))
			grants = f;
		if (rc || applied == SAME)
			continue;
		changed++;
		if (f != grants) {
			ph_buf_puts(&b, ph_str_c(f->text));
			put_file_row(&b, f);
		}
	}
	if (rc || !changed) {
		ph_buf_deinit(&b);
		return rc;
	}
	ph_buf_puts(&b, ph_str_c(grants->text));
	put_file_row(&b, grants);
	rc = script_run(m, &b, "functions", err);
	if (!rc)
		tell(m, "replaced functions, views and grants");
	return rc;
}

static int migrate_bootstrap(struct migration *m, bool exists, struct ph_err *err)
{
	for (const struct ph_sql_file *f = ph_sql_files; f->name; f++) {
		enum applied applied = ABSENT;
		int rc;

		if (!is_bootstrap(f))
			continue;
		rc = exists ? look_up(m, f, &applied, err) : 0;
		return rc || applied == SAME ? rc : apply_bootstrap(m, f, err);
	}
	return 0;
}

/* Roles are not needed to work; what is lost without them is a wall. */
static void tell_missing_roles(struct migration *m)
{
	char *missing = ask_text(m->s,
		"SELECT string_agg(r, ', ') FROM unnest(ARRAY['posthouse_owner', 'posthouse_node', "
		"'posthouse_operator',"
		" 'posthouse_viewer']) AS r WHERE to_regrole(r) IS NULL",
		NULL);

	if (missing)
		tell(m, "roles are missing: %s (this user may not create them); everything belongs to %s",
			missing, m->owner ? m->owner : "this user");
	free(missing);
}

static int migrate_all(struct migration *m, struct ph_err *err)
{
	enum ph_schema_state state;
	int version, rc = ph_schema_check(m->s, &state, &version, err);

	if (rc)
		return rc;
	if (state == PH_SCHEMA_BREAKING)
		return ph_fail(err, PH_E_CONFIG,
			"the database's schema (%d) is too new for this program (%d): upgrade posthouse",
			version, ph_schema_latest());
	if (state == PH_SCHEMA_NEWER) {
		tell(m, "the database's schema (%d) is newer than this program (%d): nothing to do", version,
			ph_schema_latest());
		return 0;
	}
	if (state != PH_SCHEMA_EMPTY)
		rc = find_owner(m, err);
	if (!rc)
		rc = migrate_bootstrap(m, state != PH_SCHEMA_EMPTY, err);
	for (const struct ph_sql_file *f = ph_sql_files; f->name && !rc; f++)
		if (ph_sql_number(f))
			rc = migrate_numbered(m, f, err);
	if (!rc)
		rc = migrate_replaced(m, err);
	if (!rc && state != PH_SCHEMA_CURRENT)
		tell_missing_roles(m);
	return rc;
}

int ph_migrate(
	const char *direct_dsn, void (*progress)(void *arg, const char *line), void *arg, struct ph_err *err)
{
	struct migration m = {.dsn = direct_dsn, .progress = progress, .arg = arg};
	struct ph_err local = {0};
	int rc;

	m.s = ph_pgs_open(direct_dsn, OPEN_S, &local);
	rc = m.s ? ph_schema_too_old(m.s, &local) : -local.code;
	if (!rc)
		rc = check_pooler(&m, &local);
	if (!rc)
		rc = take_lock(&m, &local);
	if (!rc)
		rc = migrate_all(&m, &local);
	free(m.owner);
	m.s = ph_pgs_close(m.s); /* and with it the lock */
	if (rc && err)
		*err = local;
	return rc;
}
