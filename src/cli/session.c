/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command needs before it can speak with the database: the configuration, the embedded server where
 * that is the database, a connection, and a schema that this binary knows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/embedded.h"

#include "cli_priv.h"

#define CONNECT_S 10

/*
 * The key comes before the server: it is made only where there is no cluster yet, so that a lost key is
 * noticed and not replaced. Most commands work without one; those that cannot say why it is missing.
 */
static int join_embedded(
	struct ph_cli_session *s, void (*progress)(void *arg, const char *line), struct ph_err *err)
{
	if (s->config.master_key == NULL)
		s->embedded_key = ph_embedded_master_key(s->config.data_dir, &s->embedded_key_err);
	s->embedded = ph_embedded_join(s->config.data_dir, progress, NULL, err);
	return s->embedded ? 0 : -PH_E_CONFIG;
}

int ph_cli_session_load(struct ph_cli_session *s, const struct ph_cli *c,
	void (*warn)(void *arg, const char *text), void *arg, struct ph_err *err)
{
	memset(s, 0, sizeof(*s));
	return ph_config_load(&s->config, c->settings, c->setting_count, warn, arg, err);
}

int ph_cli_session_join(
	struct ph_cli_session *s, void (*progress)(void *arg, const char *line), struct ph_err *err)
{
	int r = s->config.database_url ? 0 : join_embedded(s, progress, err);

	if (r < 0)
		ph_cli_session_close(s);
	return r;
}

const char *ph_cli_session_dsn(const struct ph_cli_session *s, bool node)
{
	if (s->embedded == NULL)
		return s->config.database_url;
	return node ? ph_embedded_node_dsn(s->embedded) : ph_embedded_dsn(s->embedded);
}

const char *ph_cli_session_direct_dsn(const struct ph_cli_session *s, bool node)
{
	if (s->embedded == NULL && s->config.database_direct_url)
		return s->config.database_direct_url;
	return ph_cli_session_dsn(s, node);
}

int ph_cli_session_keys(const struct ph_cli_session *s, struct ph_master_keys *ret, struct ph_err *err)
{
	const char *text = s->config.master_key ? s->config.master_key : s->embedded_key;

	if (text)
		return ph_master_keys_parse(ret, ph_str_c(text), err);
	if (s->embedded) {
		*err = s->embedded_key_err;
		return -err->code;
	}
	return ph_fail(err, PH_E_CONFIG,
		"POSTHOUSE_MASTER_KEY is not set; keep 32 random bytes for the whole cluster, made "
		"for example with: head -c 32 /dev/urandom | base64");
}

int ph_cli_session_seal(const struct ph_cli_session *s, const char *table, const char *row,
	struct ph_str plain, struct ph_buf *sealed, uint8_t key_id[8], struct ph_err *err)
{
	struct ph_master_keys keys;
	int r = ph_cli_session_keys(s, &keys, err);

	if (r == 0)
		r = ph_cli_store_check_master_key(s->pg, &keys, err);
	if (r == 0) {
		memcpy(key_id, keys.id[0], sizeof(keys.id[0]));
		r = ph_seal(&keys, table, row, plain, sealed);
		if (r < 0)
			ph_fail(err, -r, "the secret could not be sealed; check the machine's OpenSSL");
	}
	explicit_bzero(&keys, sizeof(keys));
	return r;
}

int ph_cli_session_unseal(const struct ph_cli_session *s, const char *table, const char *row,
	struct ph_str sealed, struct ph_buf *plain, struct ph_err *err)
{
	struct ph_master_keys keys;
	int r = ph_cli_session_keys(s, &keys, err);

	if (r == 0)
		r = ph_unseal(&keys, table, row, sealed, plain, err);
	explicit_bzero(&keys, sizeof(keys));
	return r;
}

/* ---- the schema ---- */

int ph_cli_refuse_schema(enum ph_schema_state state, int version, struct ph_err *err)
{
	switch (state) {
	case PH_SCHEMA_EMPTY:
		return ph_fail(err, PH_E_CONFIG,
			"the database has no schema of posthouse yet; run `posthouse migrate`");
	case PH_SCHEMA_OLDER: /* or its functions are of another build, with the same number */
		return ph_fail(err, PH_E_CONFIG,
			"the database's schema is older than this posthouse; run `posthouse migrate`");
	case PH_SCHEMA_BREAKING:
		return ph_fail(err, PH_E_CONFIG,
			"the database's schema, %d, is newer than this posthouse can work with, %d; upgrade "
			"posthouse",
			version, ph_schema_latest());
	default:
		return 0;
	}
}

/* A data directory that nobody used yet becomes usable with whichever command comes first. An older schema
 * does not change behind its owner's back. */
static int check_schema(struct ph_cli_session *s, struct ph_err *err)
{
	enum ph_schema_state state;
	int version, r;

	r = ph_schema_check(s->pg, &state, &version, err);
	if (r < 0)
		return r;
	if (s->embedded && state == PH_SCHEMA_EMPTY)
		return ph_migrate(ph_cli_session_dsn(s, false), ph_cli_progress, NULL, err);
	return ph_cli_refuse_schema(state, version, err);
}

int ph_cli_session_advise(struct ph_err *err)
{
	size_t n = strlen(err->detail);
	const char *advice = NULL;

	if (err->code == PH_E_DATABASE_AWAY)
		advice = "see that PostgreSQL runs and POSTHOUSE_DATABASE_URL is right";
	else if (strcmp(err->sqlstate, "42501") == 0)
		advice = "name a login in POSTHOUSE_DATABASE_URL that may: posthouse_viewer reads, "
			 "posthouse_operator changes, the owner may all";
	if (advice)
		snprintf(err->detail + n, sizeof(err->detail) - n, "; %s", advice);
	return -err->code;
}

static int connect_session(struct ph_cli_session *s, struct ph_err *err)
{
	int r;

	s->pg = ph_pgs_open(ph_cli_session_dsn(s, false), CONNECT_S, err);
	r = s->pg ? check_schema(s, err) : ph_cli_session_advise(err);
	if (r < 0)
		ph_cli_session_close(s);
	return r;
}

static int open_session(struct ph_cli_session *s, const struct ph_cli *c, struct ph_err *err)
{
	int r = ph_cli_session_load(s, c, NULL, NULL, err);

	if (r == 0)
		r = ph_cli_session_join(s, ph_cli_progress, err);
	return r == 0 ? connect_session(s, err) : r;
}

void ph_cli_session_close(struct ph_cli_session *s)
{
	if (s->embedded_key)
		explicit_bzero(s->embedded_key, strlen(s->embedded_key));
	free(s->embedded_key), s->embedded_key = NULL;
	s->pg = ph_pgs_close(s->pg);
	s->embedded = ph_embedded_leave(s->embedded);
	ph_config_free(&s->config);
}

int ph_cli_with_session(const struct ph_cli *c,
	int (*run)(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err),
	void *arg)
{
	struct ph_cli_session s;
	struct ph_err err = {0};
	int r = open_session(&s, c, &err);

	if (r == 0) {
		r = run(c, &s, arg, &err);
		if (r < 0)
			r = ph_cli_session_advise(&err);
		ph_cli_session_close(&s);
	}
	return r < 0 ? ph_cli_fail(&err) : 0;
}
