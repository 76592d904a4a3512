/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters into libpq's arrays, results and errors out of its results.
 *
 * Text and numbers of no certain size are sent without a type, in text form, so that PostgreSQL infers it
 * from the function or column they meet: an int8 parameter would not match an int4 argument. All others go in
 * binary form with their type: the text of a bytea is twice as long, and making and reading the digits of the
 * twenty numbers of a turn costs the node more than sending them. Results come in binary form and are read by
 * the type that the server names.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg_priv.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"

/* Of the server's catalog/pg_type.dat: these never change. */
enum {
	OID_BOOL = 16,
	OID_BYTEA = 17,
	OID_INT8 = 20,
	OID_INT2 = 21,
	OID_INT4 = 23,
	OID_TEXT = 25,
	OID_OID = 26,
	OID_FLOAT4 = 700,
	OID_FLOAT8 = 701,
	OID_DATE = 1082,
	OID_TIMESTAMP = 1114,
	OID_TIMESTAMPTZ = 1184,
	OID_UUID = 2950,
	OID_JSONB = 3802,
};

/* ---- parameters ---- */

enum {
	INT_TEXT = 21
}; /* "-9223372036854775808" and its NUL */

/* Their binary form: the size where all have the same, the type, and that of an array of them. */
static const struct {
	int size;
	Oid type, array;
} kinds[] = {
	[PH_PG_TEXT] = {0, OID_TEXT, 1009},
	[PH_PG_BYTES] = {0, OID_BYTEA, 1001},
	[PH_PG_INT4] = {4, OID_INT4, 1007},
	[PH_PG_INT8] = {8, OID_INT8, 1016},
	[PH_PG_BOOL] = {1, OID_BOOL, 1000},
	[PH_PG_DATE] = {4, OID_DATE, 1182},
	[PH_PG_UUID] = {16, OID_UUID, 2951},
};

static size_t param_room(const struct ph_pg_param *p)
{
	switch (p->kind) {
	case PH_PG_TEXT:
	case PH_PG_BYTES:
		return p->s.n + 1;
	case PH_PG_INT:
		return INT_TEXT;
	case PH_PG_NULL:
		return 0;
	default:
		return (size_t)kinds[p->kind].size;
	}
}

static void put_big_endian(char *to, int size, int64_t n)
{
	for (uint64_t rest = (uint64_t)n; size > 0; rest >>= 8)
		to[--size] = (char)(rest & 0xff);
}

static void fill_fixed(struct ph_pg_statement *st, int i, const struct ph_pg_param *p, char *to)
{
	st->type[i] = kinds[p->kind].type;
	st->length[i] = kinds[p->kind].size;
	st->format[i] = 1;
	if (p->kind == PH_PG_UUID)
		memcpy(to, p->s.p, p->s.n);
	else
		put_big_endian(to, st->length[i], p->i);
}

static void fill_bytes(struct ph_pg_statement *st, int i, const struct ph_pg_param *p, char *to)
{
	if (p->s.n)
		memcpy(to, p->s.p, p->s.n);
	to[p->s.n] = '\0';
	st->length[i] = (int)p->s.n;
	if (p->kind == PH_PG_BYTES) {
		st->format[i] = 1;
		st->type[i] = OID_BYTEA;
	} else if (p->s.n && memchr(p->s.p, '\0', p->s.n)) {
		st->has_nul = true;
	}
}

/* Writes the value at `to`, which has param_room() bytes. */
static void param_fill(struct ph_pg_statement *st, int i, const struct ph_pg_param *p, char *to)
{
	if (p->kind == PH_PG_NULL)
		return;
	st->value[i] = to;
	if (p->kind == PH_PG_INT)
		snprintf(to, INT_TEXT, "%" PRId64, p->i);
	else if (p->kind == PH_PG_TEXT || p->kind == PH_PG_BYTES)
		fill_bytes(st, i, p, to);
	else
		fill_fixed(st, i, p, to);
}

/* With room for so many bytes of text and values; sql goes first. *ret_room: where the values go. */
static struct ph_pg_statement *new_statement(const char *sql, size_t n, size_t room, char **ret_room)
{
	size_t sql_room = strlen(sql) + 1;
	struct ph_pg_statement *st;
	size_t arrays =
		n * (sizeof(*st->value) + sizeof(*st->length) + sizeof(*st->format) + sizeof(*st->type));

	/* Not zeroed as a whole: bodies are large. */
	st = ph_realloc(NULL, sizeof(*st) + arrays + sql_room + room);
	memset(st, 0, sizeof(*st) + arrays);
	st->bytes = sql_room + room;
	st->count = (int)n;
	st->value = (const char **)(st + 1);
	st->length = (int *)(st->value + n);
	st->format = st->length + n;
	st->type = (Oid *)(st->format + n);
	st->sql = memcpy(st->type + n, sql, sql_room);
	*ret_room = (char *)(st->type + n) + sql_room;
	return st;
}

struct ph_pg_statement *ph_pg_statement_new(const char *sql, const struct ph_pg_param *params, int count)
{
	struct ph_pg_statement *st;
	size_t room = 0;
	char *to;

	assert(count >= 0);
	for (int i = 0; i < count; i++)
		room += param_room(&params[i]);
	st = new_statement(sql, (size_t)count, room, &to);
	for (int i = 0; i < count; i++) {
		param_fill(st, i, &params[i], to);
		to += param_room(&params[i]);
	}
	return st;
}

/* ---- rows ---- */

enum {
	ARRAY_HEAD = 5 * 4 /* dimensions, has-nulls, type of an element, size, lower bound (array.c) */
};

static size_t array_room(struct ph_pg_statement *const *rows, size_t n, int column)
{
	size_t room = ARRAY_HEAD;

	for (size_t i = 0; i < n; i++)
		room += 4 + (rows[i]->value[column] ? (size_t)rows[i]->length[column] : 0);
	return room;
}

static char *put_int4(char *to, int64_t n)
{
	put_big_endian(to, 4, n);
	return to + 4;
}

/* Returns its end. */
static char *put_array(char *to, struct ph_pg_statement *const *rows, size_t n, int column, Oid type)
{
	char *nulls = put_int4(to, 1);
	char *at = put_int4(put_int4(put_int4(put_int4(nulls, 0), type), (int64_t)n), 1);

	for (size_t i = 0; i < n; i++) {
		const char *value = rows[i]->value[column];
		int length = rows[i]->length[column];

		at = put_int4(at, value ? length : -1);
		if (value)
			at = (char *)memcpy(at, value, (size_t)length) + length;
		else
			put_int4(nulls, 1);
	}
	return at;
}

struct ph_pg_statement *ph_pg_statement_rows(
	const struct ph_pg_rows *what, struct ph_pg_statement *const *rows, size_t n)
{
	struct ph_pg_statement *st;
	size_t room = 0;
	char *to;

	for (int i = 0; i < what->count; i++)
		room += array_room(rows, n, i);
	st = new_statement(what->sql, (size_t)what->count, room, &to);
	for (int i = 0; i < what->count; i++) {
		char *end = put_array(to, rows, n, i, kinds[what->kinds[i]].type);

		st->value[i] = to;
		st->length[i] = (int)(end - to);
		st->format[i] = 1;
		st->type[i] = kinds[what->kinds[i]].array;
		to = end;
	}
	return st;
}

struct ph_pg_statement *ph_pg_statement_free(struct ph_pg_statement *st)
{
	free(st);
	return NULL;
}

/* ---- results ---- */

struct ph_pg_result *ph_pg_result_new(PGresult *pq)
{
	struct ph_pg_result *r = ph_alloc(sizeof(*r));

	r->pq = pq;
	r->refs = 1;
	return r;
}

struct ph_pg_result *ph_pg_keep(struct ph_pg_result *r)
{
	r->refs++;
	return r;
}

struct ph_pg_result *ph_pg_result_free(struct ph_pg_result *r)
{
	if (r && --r->refs == 0) {
		PQclear(r->pq);
		free(r);
	}
	return NULL;
}

int ph_pg_rows(const struct ph_pg_result *r)
{
	return PQntuples(r->pq);
}

bool ph_pg_is_null(const struct ph_pg_result *r, int row, int col)
{
	return PQgetisnull(r->pq, row, col);
}

/* The value's bytes as the server sent them. A row or column that is not there is the caller's mistake. */
static struct ph_str raw(const struct ph_pg_result *r, int row, int col)
{
	assert(row >= 0 && row < PQntuples(r->pq) && col >= 0 && col < PQnfields(r->pq));
	return ph_str(PQgetvalue(r->pq, row, col), (size_t)PQgetlength(r->pq, row, col));
}

struct ph_str ph_pg_str(const struct ph_pg_result *r, int row, int col)
{
	struct ph_str s = raw(r, row, col);

	if (PQgetisnull(r->pq, row, col))
		return PH_STR_NONE;
	if (PQftype(r->pq, col) == OID_JSONB) /* one byte of format version before the text */
		return ph_str_from(s, 1);
	return s;
}

static uint64_t big_endian(struct ph_str s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n = n << 8 | (unsigned char)s.p[i];
	return n;
}

static void complain(const struct ph_pg_result *r, int col, const char *wanted)
{
	ph_log_fields(PH_LOG_ERROR, "a column has not the type that was expected",
		(struct ph_field[]){PH_F_C("column", PQfname(r->pq, col)), PH_F_C("wanted", wanted),
			PH_F_INT("type", PQftype(r->pq, col))},
		3);
}

int64_t ph_pg_int(const struct ph_pg_result *r, int row, int col)
{
	struct ph_str s = raw(r, row, col);
	uint64_t n;

	if (PQgetisnull(r->pq, row, col))
		return 0;
	n = s.n <= 8 ? big_endian(s) : 0;
	switch (PQftype(r->pq, col)) {
	case OID_BOOL:
		return n != 0;
	case OID_INT2:
		return (int16_t)n;
	case OID_INT4:
	case OID_DATE:
		return (int32_t)n;
	case OID_OID:
		return (int64_t)n;
	case OID_INT8:
	case OID_TIMESTAMP:
	case OID_TIMESTAMPTZ:
		return (int64_t)n;
	default:
		complain(r, col, "integer");
		return 0;
	}
}

double ph_pg_float(const struct ph_pg_result *r, int row, int col)
{
	struct ph_str s = raw(r, row, col);
	uint64_t n;
	uint32_t n32;
	float f;
	double d;

	if (PQgetisnull(r->pq, row, col))
		return 0;
	n = s.n <= 8 ? big_endian(s) : 0;
	switch (PQftype(r->pq, col)) {
	case OID_FLOAT8:
		memcpy(&d, &n, sizeof(d));
		return d;
	case OID_FLOAT4:
		n32 = (uint32_t)n;
		memcpy(&f, &n32, sizeof(f));
		return (double)f;
	default:
		complain(r, col, "float");
		return 0;
	}
}

/* ---- errors ---- */

bool ph_pg_is_error(const PGresult *pq)
{
	ExecStatusType status = PQresultStatus(pq);

	return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

enum ph_pg_class ph_pg_classify(const char *sqlstate)
{
	static const struct {
		const char *prefix;
		enum ph_pg_class class;
	} classes[] = {
		{"08", PG_ELSEWHERE},    /* connection exceptions, of a pooler for one */
		{"25006", PG_ELSEWHERE}, /* read_only_sql_transaction: a primary that was demoted */
		{"57P", PG_ELSEWHERE},   /* shutdown, crash, starting, database dropped, idle session ended */
		{"40001", PG_AGAIN},     /* serialization_failure */
		{"40P01", PG_AGAIN},     /* deadlock_detected */
		{"55P03", PG_AGAIN},     /* lock_not_available: lock_timeout */
		{"57014", PG_AGAIN},     /* query_canceled: statement_timeout */
		{"53", PG_AGAIN},        /* disk full, out of memory, too many connections */
		{"58", PG_AGAIN},        /* the server's own input and output */
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
			return classes[i].class;
	return PG_REFUSED;
}

enum ph_pg_class ph_pg_classify_result(const PGresult *pq)
{
	const char *state = PQresultErrorField(pq, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(pq, PG_DIAG_SEVERITY_NONLOCALIZED);

	/* libpq's own errors have no SQLSTATE, and after FATAL there is no connection. */
	if (!state || (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0)))
		return PG_ELSEWHERE;
	return ph_pg_classify(state);
}

void ph_pg_one_line(char *dst, size_t size, const char *message)
{
	struct ph_str s = ph_str_trim(ph_str_c(message));
	size_t n = 0;

	for (size_t i = 0; i < s.n && n + 1 < size; i++) {
		bool space = s.p[i] == '\n' || s.p[i] == '\t' || s.p[i] == '\r' || s.p[i] == ' ';

		if (!space)
			dst[n++] = s.p[i];
		else if (n && dst[n - 1] != ' ')
			dst[n++] = ' ';
	}
	dst[n] = '\0';
}

static void field_append(char *dst, size_t size, const char *before, const char *text)
{
	size_t n = strlen(dst);

	if (text && n + 1 < size)
		snprintf(dst + n, size - n, "%s%s", before, text);
}

void ph_pg_err_result(struct ph_err *err, const PGresult *pq, bool full)
{
	const char *state = PQresultErrorField(pq, PG_DIAG_SQLSTATE);
	const char *primary = PQresultErrorField(pq, PG_DIAG_MESSAGE_PRIMARY);
	char text[sizeof(err->detail)] = "";

	if (!err)
		return;
	field_append(text, sizeof(text), "", primary ? primary : PQresultErrorMessage(pq));
	if (full) {
		field_append(text, sizeof(text), ". ", PQresultErrorField(pq, PG_DIAG_MESSAGE_DETAIL));
		field_append(text, sizeof(text), " Hint: ", PQresultErrorField(pq, PG_DIAG_MESSAGE_HINT));
	}
	*err = (struct ph_err){
		.code = ph_pg_classify_result(pq) == PG_ELSEWHERE ? PH_E_DATABASE_AWAY : PH_E_DATABASE_ERROR,
	};
	ph_str_copy(err->sqlstate, sizeof(err->sqlstate), ph_str_c(state));
	ph_pg_one_line(err->detail, sizeof(err->detail), text);
}

/* ---- answers ---- */

void ph_pg_answer(ph_pg_cb cb, void *arg, PGresult *pq)
{
	struct ph_pg_result *r;
	struct ph_err err;

	if (ph_pg_is_error(pq)) {
		ph_metric_add(PH_M_PG_ERRORS, 0, 0, 1);
		ph_pg_err_result(&err, pq, false);
		PQclear(pq);
		if (cb)
			cb(arg, NULL, &err);
		return;
	}
	r = ph_pg_result_new(pq);
	if (cb)
		cb(arg, r, NULL);
	ph_pg_result_free(r);
}

void ph_pg_answer_done(ph_pg_cb cb, void *arg)
{
	struct ph_pg_result *r = ph_pg_result_new(NULL);

	if (cb)
		cb(arg, r, NULL);
	ph_pg_result_free(r);
}

void ph_pg_answer_code(ph_pg_cb cb, void *arg, int code, const char *sqlstate, const char *detail)
{
	struct ph_err err = {0};

	if (code != PH_E_CANCELLED)
		ph_metric_add(PH_M_PG_ERRORS, 0, 0, 1);
	ph_fail(&err, code, "%s", detail);
	ph_str_copy(err.sqlstate, sizeof(err.sqlstate), ph_str_c(sqlstate));
	if (cb)
		cb(arg, NULL, &err);
}
