/* SPDX-License-Identifier: Apache-2.0 */
/* One account: made from a row of the registry, kept alive by the turns that use it. */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "account_priv.h"
#include "posthouse/json.h"
#include "posthouse/login.h"

#define SECRET_MAX (64 * 1024)

static const char *const kind_names[] = {"platform", "codex", "stateless"};

struct ph_account *ph_account_new(void)
{
	struct ph_account *a = ph_alloc(sizeof *a);

	a->refs = 1;
	ph_list_init(&a->node);
	return a;
}

struct ph_account *ph_account_ref(struct ph_account *a)
{
	a->refs++;
	return a;
}

static void strs_free(struct ph_str *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)list[i].p);
	free(list);
}

static void cleanse(struct ph_str s)
{
	if (s.p)
		OPENSSL_cleanse((void *)(uintptr_t)s.p, s.n);
}

static void secret_free(struct ph_account *a)
{
	cleanse(a->secret);
	free((void *)(uintptr_t)a->secret.p);
	free((void *)(uintptr_t)a->upstream_id.p);
	a->secret = a->upstream_id = PH_STR_NONE;
}

struct ph_account *ph_account_unref(struct ph_account *a)
{
	if (!a || --a->refs > 0)
		return NULL;
	secret_free(a);
	strs_free(a->models, a->model_count);
	strs_free(a->headers, 2 * a->header_count);
	free(a->listed);
	free(a->name);
	free(a);
	return NULL;
}

bool ph_account_serves(const struct ph_account *a, struct ph_str model)
{
	for (size_t i = 0; i < a->model_count; i++)
		if (ph_str_eq(a->models[i], model))
			return true;
	return a->model_count == 0;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void ph_account_list_models(struct ph_account *a, const uint64_t *ids, size_t count)
{
	free(a->listed);
	a->listed = NULL;
	a->listed_count = count;
	if (count == 0)
		return;
	a->listed = ph_alloc(count * sizeof *a->listed);
	memcpy(a->listed, ids, count * sizeof *a->listed);
	qsort(a->listed, count, sizeof *a->listed, compare_ids);
}

/* What the operator named goes before what the account says of itself. */
bool ph_account_lists(const struct ph_account *a, struct ph_str model)
{
	uint64_t id;

	if (a->model_count || a->listed_count == 0 || model.n == 0)
		return true;
	id = ph_hash64(model, 0);
	return bsearch(&id, a->listed, a->listed_count, sizeof id, compare_ids) != NULL;
}

bool ph_account_usable(const struct ph_account *a)
{
	return a->state == PH_ACCOUNT_ACTIVE && !a->sealed_badly;
}

/* Index of s among names, or -1. */
static int index_of(struct ph_str s, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ph_str_eq(s, ph_str_c(names[i])))
			return (int)i;
	return -1;
}

/* What `account add --auth-json` stored, or a renewal. */
static int fill_login(struct ph_account *a, struct ph_str json, uint64_t written_s, struct ph_err *err)
{
	struct ph_arena scratch;
	struct ph_login l;
	int rc;

	ph_arena_init(&scratch, 4 * SECRET_MAX);
	rc = ph_login_read(json, &scratch, &l);
	if (rc == 0) {
		a->secret = ph_str_dup(l.access);
		a->upstream_id = ph_str_dup(l.account);
		a->renewable = l.refresh.n > 0;
		a->issued_s = l.issued_s ? l.issued_s : written_s;
		a->expires_s = l.expires_s;
	} else {
		ph_fail(err, PH_E_CONFIG,
			"its stored login cannot be read; write it again with posthouse account add %s "
			"--auth-json FILE",
			a->name);
	}
	cleanse(l.access);
	cleanse(l.refresh);
	cleanse(l.id);
	ph_arena_deinit(&scratch);
	return rc;
}

int ph_account_fill_secret(struct ph_account *a, struct ph_str sealed, uint64_t written_s,
	const struct ph_master_keys *keys, struct ph_err *err)
{
	struct ph_buf plain;
	char row[24];
	int rc;

	secret_free(a);
	a->sealed_badly = a->renewable = false;
	a->issued_s = a->expires_s = 0;
	if (sealed.n == 0)
		return 0;
	snprintf(row, sizeof row, "%lld", (long long)a->id);
	ph_buf_init(&plain, SECRET_MAX);
	rc = ph_unseal(keys, "accounts", row, sealed, &plain, err);
	if (rc == 0 && a->kind == PH_CODEX && plain.n && plain.p[0] == '{')
		rc = fill_login(a, ph_buf_str(&plain), written_s, err);
	else if (rc == 0)
		a->secret = ph_str_dup(ph_buf_str(&plain));
	if (rc) {
		secret_free(a);
		a->sealed_badly = true;
	}
	cleanse(ph_buf_str(&plain));
	ph_buf_deinit(&plain);
	return rc;
}

static void fill_models(struct ph_account *a, const struct ph_pg_result *r, int row)
{
	size_t n = ph_pg_array_count(r, row, PH_ACCOUNT_MODELS);

	strs_free(a->models, a->model_count);
	a->models = n ? ph_alloc(n * sizeof *a->models) : NULL;
	a->model_count = n;
	for (size_t i = 0; i < n; i++)
		a->models[i] = ph_str_dup(ph_pg_array_str(r, row, PH_ACCOUNT_MODELS, i));
}

/* Extra headers are a JSON object of strings; what is no string is left out. */
static void fill_headers(struct ph_account *a, struct ph_str json)
{
	struct ph_arena scratch;
	size_t at = 0;

	strs_free(a->headers, 2 * a->header_count);
	a->headers = NULL;
	a->header_count = 0;
	if (json.n < 2)
		return;
	ph_arena_init(&scratch, SECRET_MAX);
	for (struct ph_str name, value; ph_json_pair(json, &at, &name, &value);) {
		struct ph_str n, v;

		if (!ph_json_text(name, &scratch, &n) || !ph_json_text(value, &scratch, &v))
			continue;
		a->headers = ph_realloc(a->headers, (2 * a->header_count + 2) * sizeof *a->headers);
		a->headers[2 * a->header_count] = ph_str_dup(n);
		a->headers[2 * a->header_count + 1] = ph_str_dup(v);
		a->header_count++;
	}
	ph_arena_deinit(&scratch);
}

/* What an operator said; the account's health adds the rest. A word of a newer release is no reason to use
 * it. */
static enum ph_account_state state_of(struct ph_str operators)
{
	if (ph_str_eq(operators, PH_STR("active")))
		return PH_ACCOUNT_ACTIVE;
	return ph_str_eq(operators, PH_STR("draining")) ? PH_ACCOUNT_DRAINING : PH_ACCOUNT_PAUSED;
}

int ph_account_fill(struct ph_account *a, const struct ph_pg_result *r, int row,
	const struct ph_master_keys *keys, struct ph_err *err)
{
	struct ph_str name = ph_pg_str(r, row, PH_ACCOUNT_NAME);
	int kind = index_of(ph_pg_str(r, row, PH_ACCOUNT_KIND), kind_names, 3);
	int rc;

	a->id = ph_pg_int(r, row, PH_ACCOUNT_ID);
	free(a->name);
	a->name = ph_alloc(name.n + 1);
	ph_str_copy(a->name, name.n + 1, name);
	a->state = state_of(ph_pg_str(r, row, PH_ACCOUNT_STATE));
	a->max_streams = (uint32_t)ph_pg_int(r, row, PH_ACCOUNT_MAX_STREAMS);
	a->weight = (uint32_t)ph_pg_int(r, row, PH_ACCOUNT_WEIGHT);
	if (a->weight == 0)
		a->weight = 1;
	a->priority = (int)ph_pg_int(r, row, PH_ACCOUNT_PRIORITY);
	a->max_used_percent = (uint8_t)ph_pg_int(r, row, PH_ACCOUNT_MAX_USED_PERCENT);
	fill_models(a, r, row);
	fill_headers(a, ph_pg_str(r, row, PH_ACCOUNT_HEADERS));
	if (kind < 0)
		return ph_fail(err, PH_E_CONFIG, "account %s has an unknown kind", a->name);
	a->kind = (enum ph_account_kind)kind;
	rc = ph_url_parse(&a->base, ph_pg_str(r, row, PH_ACCOUNT_BASE_URL), err);
	if (rc)
		return rc;
	/* What was read before a renewal must not bring the old token back. */
	if (ph_pg_int(r, row, PH_ACCOUNT_SECRET_VERSION) < a->secret_version)
		return 0;
	a->secret_version = ph_pg_int(r, row, PH_ACCOUNT_SECRET_VERSION);
	return ph_account_fill_secret(a, ph_pg_str(r, row, PH_ACCOUNT_SEALED),
		(uint64_t)ph_pg_int(r, row, PH_ACCOUNT_SECRET_MS) / 1000, keys, err);
}

struct ph_account *ph_account_read(
	const struct ph_pg_result *rows, int row, const struct ph_master_keys *keys, struct ph_err *err)
{
	struct ph_account *a = ph_account_new();

	if (ph_account_fill(a, rows, row, keys, err))
		a->sealed_badly = true;
	return a;
}
