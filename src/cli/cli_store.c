/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL of the command line, and nothing but: every statement is one call, what it means stands in
 * sql/README.md. Listings are made into JSON by PostgreSQL, so that a new column of a view shows up without a
 * change here.
 */
#include <stdio.h>

#include "posthouse/pg.h"
#include "posthouse/zip.h"

#include "cli_priv.h"

#define LIST_MAX      (64u << 20)
#define SNAPSHOT_MAX  (1u << 30)

#define AS_JSON(from) "SELECT coalesce(json_agg(v), '[]')::text FROM (" from ") v"

static struct ph_pg_param text_or_null(const char *text)
{
	if (!text)
		return PH_P_NULL;
	return PH_P_STR(ph_str_c(text));
}

static struct ph_pg_param filled_or_null(const char *text)
{
	return text_or_null(text[0] ? text : NULL);
}

/* A refusal of the SQL functions says what; this adds what to do. */
static int advise(struct ph_err *err, const char *advice)
{
	size_t n = strlen(err->detail);

	if (strcmp(err->sqlstate, "P0001") == 0)
		snprintf(err->detail + n, sizeof(err->detail) - n, "; %s", advice);
	return -err->code;
}

/* ---- listings ---- */

static int read_json(struct ph_pgs *pg, const char *sql, const struct ph_pg_param *params, int count,
	struct ph_buf *out, struct ph_err *err)
{
	struct ph_pg_result *r = ph_pgs_query(pg, sql, params, count, err);

	if (r == NULL)
		return -err->code;
	ph_buf_puts(out, ph_pg_str(r, 0, 0));
	ph_pg_result_free(r);
	return out->failed ? ph_fail(err, PH_E_TOO_MANY,
				     "the listing is larger than 64 MiB; read the view with psql")
			   : 0;
}

int ph_cli_store_list(
	struct ph_pgs *pg, enum ph_cli_view view, const char *name, struct ph_buf *out, struct ph_err *err)
{
	static const char *const sql[] = {
		[PH_CLI_ACCOUNTS] =
			AS_JSON("SELECT * FROM posthouse_admin.accounts WHERE $1::text IS NULL OR name = $1 "
				"ORDER BY name"),
		[PH_CLI_API_KEYS] =
			AS_JSON("SELECT * FROM posthouse_admin.api_keys WHERE $1::text IS NULL OR name = $1 "
				"ORDER BY name"),
	};
	struct ph_pg_param p = text_or_null(name);

	ph_buf_init(out, LIST_MAX);
	return read_json(pg, sql[view], &p, 1, out, err);
}

int ph_cli_store_chain(
	struct ph_pgs *pg, const char *key, const char *response_id, struct ph_buf *out, struct ph_err *err)
{
	const struct ph_pg_param p[] = {PH_P_STR(ph_str_c(key)), PH_P_STR(ph_str_c(response_id))};
	int r;

	ph_buf_init(out, LIST_MAX);
	r = read_json(
		pg, AS_JSON("SELECT * FROM posthouse_admin.chain($1, $2) ORDER BY hop"), p, 2, out, err);
	return r < 0 ? advise(err, "`posthouse key list` shows them") : 0;
}

/* ---- accounts ---- */

int ph_cli_store_account_id(struct ph_pgs *pg, struct ph_cli_account *a, int number, struct ph_err *err)
{
	const struct ph_pg_param key[] = {PH_P_STR(ph_str_c(a->name)), PH_P_STR(ph_str_c(a->kind))};
	const struct ph_pg_param login[] = {PH_P_STR(ph_str_c(a->name)), PH_P_INT(number),
		filled_or_null(a->login ? a->login->identity : "")};
	struct ph_pg_result *r =
		a->login ? ph_pgs_query(
				   pg, "SELECT * FROM posthouse.account_for_login($1, $2, $3)", login, 3, err)
			 : ph_pgs_query(pg, "SELECT posthouse.account_id_for($1, $2)", key, 2, err);

	if (r == NULL)
		return -err->code;
	a->id = ph_pg_int(r, 0, 0);
	if (a->login)
		ph_str_copy(a->name, sizeof(a->name), ph_pg_str(r, 0, 1));
	ph_pg_result_free(r);
	return 0;
}

static struct ph_pg_param int_or_null(int64_t n)
{
	return n == PH_CLI_LEAVE ? PH_P_NULL : PH_P_INT(n);
}

static struct ph_pg_param bytes_or_null(struct ph_str s)
{
	return s.n > 0 ? PH_P_BYTES(s) : PH_P_NULL;
}

static struct ph_pg_param array_or_null(struct ph_buf *b, const struct ph_str *items, size_t n)
{
	if (n == 0)
		return PH_P_NULL;
	ph_pg_text_array(b, items, n);
	return PH_P_STR(ph_buf_str(b));
}

int ph_cli_store_put_account(
	struct ph_pgs *pg, const struct ph_cli_account *a, bool *updated, struct ph_err *err)
{
	struct ph_pg_result *r;
	struct ph_buf models;

	ph_buf_init(&models, 1u << 20);
	const struct ph_pg_param p[] = {
		PH_P_INT(a->id),
		PH_P_STR(ph_str_c(a->name)),
		PH_P_STR(ph_str_c(a->kind)),
		text_or_null(a->base_url),
		bytes_or_null(a->sealed),
		bytes_or_null(a->key_id),
		int_or_null(a->max_streams),
		int_or_null(a->weight),
		int_or_null(a->priority),
		array_or_null(&models, a->models, a->model_count),
		text_or_null(a->token_url),
		int_or_null(a->max_used_percent),
		filled_or_null(a->login ? a->login->identity : ""),
		filled_or_null(a->login ? a->login->plan : ""),
	};
	if (a->login)
		r = ph_pgs_query(pg,
			"SELECT posthouse.put_login($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $13, $14, "
			"$12)",
			p, 14, err);
	else
		r = ph_pgs_query(pg,
			"SELECT posthouse.put_account($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", p,
			12, err);
	ph_buf_deinit(&models);
	if (r == NULL)
		return -err->code;
	*updated = ph_str_eq(ph_pg_str(r, 0, 0), PH_STR("updated"));
	ph_pg_result_free(r);
	return 0;
}

/* ---- verbs ---- */

int ph_cli_store_verb(
	struct ph_pgs *pg, enum ph_cli_verb verb, const char *name, const char *reason, struct ph_err *err)
{
	static const struct {
		const char *sql, *noun;
	} verbs[] = {
		[PH_CLI_PAUSE] = {"SELECT true FROM posthouse_admin.pause_account($1, $2)", "account"},
		[PH_CLI_RESUME] = {"SELECT true FROM posthouse_admin.resume_account($1, $2)", "account"},
		[PH_CLI_DRAIN] = {"SELECT true FROM posthouse_admin.drain_account($1, $2)", "account"},
		[PH_CLI_REMOVE] = {"SELECT posthouse.remove_account($1, $2)", "account"},
		[PH_CLI_DRAIN_NODE] = {"SELECT true FROM posthouse_admin.drain_node($1, $2)", "node"},
		[PH_CLI_FORGET_NODE] = {"SELECT processes > 0 FROM posthouse_admin.forget_node($1, $2)",
			"node"},
		[PH_CLI_REVOKE] = {"SELECT true FROM posthouse_admin.revoke_api_key($1, $2)", "key"},
	};
	const struct ph_pg_param p[] = {PH_P_STR(ph_str_c(name)), text_or_null(reason)};
	struct ph_pg_result *r = ph_pgs_query(pg, verbs[verb].sql, p, 2, err);
	char advice[80];
	bool done;

	snprintf(advice, sizeof(advice), "`posthouse %s list` shows them", verbs[verb].noun);
	if (r == NULL)
		return advise(err, advice);
	done = ph_pg_int(r, 0, 0) != 0;
	ph_pg_result_free(r);
	return done ? 0
		    : ph_fail(err, PH_E_CONFIG, "there is no %s named \"%.128s\"; %s", verbs[verb].noun, name,
			      advice);
}

/* ---- keys ---- */

int ph_cli_store_create_key(struct ph_pgs *pg, const struct ph_cli_key *k, struct ph_err *err)
{
	struct ph_buf models, accounts;
	struct ph_pg_result *r;

	ph_buf_init(&models, 1u << 20);
	ph_buf_init(&accounts, 1u << 20);
	const struct ph_pg_param p[] = {
		PH_P_STR(ph_str_c(k->name)),
		PH_P_BYTES(ph_str((const char *)k->hash, sizeof(k->hash))),
		PH_P_STR(ph_str_c(k->prefix)),
		text_or_null(k->snapshots),
		k->expires_s > 0 ? PH_P_INT(k->expires_s) : PH_P_NULL,
		array_or_null(&models, k->models, k->model_count),
		array_or_null(&accounts, k->accounts, k->account_count),
		PH_P_STR(k->limits),
	};
	r = ph_pgs_query(
		pg, "SELECT posthouse.create_limited_key($1, $2, $3, $4, $5, $6, $7, $8)", p, 8, err);
	ph_buf_deinit(&models);
	ph_buf_deinit(&accounts);
	if (r == NULL)
		return advise(err, "`posthouse key list` and `posthouse account list` show what there is");
	ph_pg_result_free(r);
	return 0;
}

int ph_cli_store_set_limits(
	struct ph_pgs *pg, const char *name, struct ph_str limits, const char *reason, struct ph_err *err)
{
	const struct ph_pg_param p[] = {PH_P_STR(ph_str_c(name)), PH_P_STR(limits), text_or_null(reason)};
	struct ph_pg_result *r =
		ph_pgs_query(pg, "SELECT true FROM posthouse_admin.set_key_limits($1, $2, $3)", p, 3, err);

	if (r == NULL)
		return advise(err, "`posthouse key list` shows the keys, `posthouse key set --help` limits");
	ph_pg_result_free(r);
	return 0;
}

int ph_cli_store_check_master_key(struct ph_pgs *pg, const struct ph_master_keys *keys, struct ph_err *err)
{
	char hex[PH_MASTER_KEYS_MAX][2 + 2 * 8 + 1];
	struct ph_str ids[PH_MASTER_KEYS_MAX];
	struct ph_pg_param p;
	struct ph_pg_result *r;
	struct ph_buf array;
	int status = 0;

	for (int i = 0; i < keys->count; i++) {
		memcpy(hex[i], "\\x", 2);
		ph_hex(hex[i] + 2, keys->id[i], sizeof(keys->id[i]));
		ids[i] = ph_str_c(hex[i]);
	}
	ph_buf_init(&array, 4096);
	p = array_or_null(&array, ids, (size_t)keys->count);
	r = ph_pgs_query(pg, "SELECT posthouse.check_master_key($1)", &p, 1, err);
	ph_buf_deinit(&array);
	if (r == NULL)
		return -err->code;
	if (ph_str_starts(ph_pg_str(r, 0, 0), PH_STR("unknown")))
		status = ph_fail(err, PH_E_CONFIG,
			"the master key does not fit this database (it knows other keys than%.*s); set "
			"POSTHOUSE_MASTER_KEY to the one "
			"that it was first used with",
			PH_STR_ARG(ph_str_from(ph_pg_str(r, 0, 0), strlen("unknown"))));
	ph_pg_result_free(r);
	return status;
}

/* ---- snapshots ---- */

static int unpack(struct ph_buf *out, int64_t codec, struct ph_str bytes)
{
	ph_buf_init(out, SNAPSHOT_MAX);
	if (codec == PH_ZSTD && bytes.n > 0)
		return ph_zstd_unpack(bytes, out);
	return ph_buf_puts(out, bytes);
}

static int take_snapshot(const struct ph_pg_result *r, struct ph_cli_snapshot *ret, struct ph_err *err)
{
	int64_t codec = ph_pg_int(r, 0, 5);

	ph_str_copy(ret->parent, sizeof(ret->parent), ph_pg_str(r, 0, 0));
	ph_str_copy(ret->account, sizeof(ret->account), ph_pg_str(r, 0, 1));
	ph_str_copy(ret->model, sizeof(ret->model), ph_pg_str(r, 0, 2));
	ph_str_copy(ret->status, sizeof(ret->status), ph_pg_str(r, 0, 3));
	ret->created_ms = ph_pg_int(r, 0, 4);
	if (unpack(&ret->input, codec, ph_pg_str(r, 0, 6)) < 0 ||
		unpack(&ret->output, codec, ph_pg_str(r, 0, 7)) < 0 ||
		unpack(&ret->envelope, codec, ph_pg_str(r, 0, 8)) < 0)
		return ph_fail(err, PH_E_ENCODING_BAD, "the snapshot cannot be unpacked: its row is damaged");
	return 0;
}

int ph_cli_store_snapshot(struct ph_pgs *pg, const char *key, const char *response_id,
	struct ph_cli_snapshot *ret, struct ph_err *err)
{
	const struct ph_pg_param p[] = {PH_P_STR(ph_str_c(key)), PH_P_STR(ph_str_c(response_id))};
	struct ph_pg_result *r;
	int status;

	memset(ret, 0, sizeof(*ret));
	r = ph_pgs_query(pg,
		"SELECT r.parent_id, a.name, r.model, r.turn_status, r.created_ms, r.codec, r.input, "
		"r.output, "
		"r.envelope FROM posthouse_admin.api_keys k "
		"CROSS JOIN LATERAL posthouse.read_response(k.key_id, $2) r "
		"LEFT JOIN posthouse_admin.accounts a ON a.account_id = r.account_id WHERE k.name = $1",
		p, 2, err);
	if (r == NULL)
		return -err->code;
	if (ph_pg_rows(r) == 0)
		status = ph_fail(err, PH_E_RESPONSE_UNKNOWN,
			"key \"%.100s\" has no response \"%.100s\"; `posthouse key list` shows the keys", key,
			response_id);
	else
		status = take_snapshot(r, ret, err);
	ph_pg_result_free(r);
	if (status < 0)
		ph_cli_snapshot_free(ret);
	return status;
}

void ph_cli_snapshot_free(struct ph_cli_snapshot *s)
{
	ph_buf_deinit(&s->input);
	ph_buf_deinit(&s->output);
	ph_buf_deinit(&s->envelope);
}
