/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse key ...: API keys of clients. A key is made here and shown once; the database gets its digest and
 * the first characters, to recognise it by.
 */
#include <stdio.h>

#include "posthouse/crypt.h"

#include "cli_priv.h"

#define PREFIX_LEN    10 /* "ph_" and seven characters: 41 of 256 bits */
#define LIST_ITEMS    256
#define EXPIRES_MAX_S (INT64_C(36500) * 86400)

static int read_expiry(const struct ph_cli *c, int64_t *ret_s, struct ph_err *err)
{
	const char *text = ph_cli_option(c, "expires");
	struct ph_err why = {0};
	uint64_t ms = 0;

	*ret_s = 0;
	if (text == NULL)
		return 0;
	if (ph_config_duration(text, &ms, &why) < 0)
		return ph_fail(err, PH_E_USAGE, "--expires: %s", why.detail);
	if (ms < 1000 || ms / 1000 > EXPIRES_MAX_S)
		return ph_fail(err, PH_E_USAGE,
			"--expires: \"%.40s\" is out of range: at least 1s, at most 36500d; for example "
			"--expires 30d",
			text);
	*ret_s = (int64_t)(ms / 1000);
	return 0;
}

static int read_snapshots(const struct ph_cli *c, const char **ret, struct ph_err *err)
{
	const char *text = ph_cli_option(c, "snapshots");

	*ret = text;
	if (text == NULL || strcmp(text, "all") == 0 || strcmp(text, "stored") == 0 ||
		strcmp(text, "none") == 0)
		return 0;
	return ph_fail(err, PH_E_USAGE,
		"--snapshots: \"%.40s\" is not one of all, stored, none; for example --snapshots all", text);
}

static int read_list(
	const struct ph_cli *c, const char *option, struct ph_str *items, size_t *ret, struct ph_err *err)
{
	*ret = ph_cli_options(c, option, items, LIST_ITEMS);
	if (*ret > LIST_ITEMS)
		return ph_fail(err, PH_E_USAGE, "--%s stands more than %d times; leave it out to allow all",
			option, LIST_ITEMS);
	return 0;
}

struct creation {
	struct ph_cli_key key;
	struct ph_buf limits;
	struct ph_str models[LIST_ITEMS], accounts[LIST_ITEMS];
};

static int read_options(const struct ph_cli *c, struct creation *k, struct ph_err *err)
{
	k->key.name = c->args[0];
	k->key.models = k->models;
	k->key.accounts = k->accounts;
	if (ph_cli_check_name(k->key.name, "laptop", err) < 0 || read_expiry(c, &k->key.expires_s, err) < 0 ||
		read_snapshots(c, &k->key.snapshots, err) < 0 ||
		read_list(c, "model", k->models, &k->key.model_count, err) < 0 ||
		read_list(c, "account", k->accounts, &k->key.account_count, err) < 0 ||
		ph_cli_limits(c, &k->limits, err) < 0)
		return -PH_E_USAGE;
	k->key.limits = ph_buf_str(&k->limits);
	return 0;
}

static int create(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_cli_key *k = &((struct creation *)arg)->key;
	char key[PH_KEY_LEN + 1], prefix[PREFIX_LEN + 1];
	int r;

	(void)c;
	ph_key_make(key);
	ph_sha256(ph_str_c(key), k->hash);
	ph_str_copy(prefix, sizeof(prefix), ph_str_c(key));
	k->prefix = prefix;
	r = ph_cli_store_create_key(s->pg, k, err);
	if (r == 0)
		ph_cli_say("%s", key);
	explicit_bzero(key, sizeof(key));
	return r;
}

int ph_cmd_key_create(const struct ph_cli *c)
{
	struct creation k = {0};
	struct ph_err err = {0};
	int status;

	status = read_options(c, &k, &err) < 0 ? ph_cli_fail(&err) : ph_cli_with_session(c, create, &k);
	ph_buf_deinit(&k.limits);
	return status;
}

static int set(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	int r = ph_cli_store_set_limits(s->pg, c->args[0], ph_buf_str(arg), ph_cli_option(c, "reason"), err);

	if (r == 0)
		ph_cli_say("key \"%s\" %s", c->args[0],
			ph_cli_has(c, "no-limits") ? "has no limits" : "has other limits now");
	return r;
}

/* Nothing to set is a mistake, not "no limits". */
static int read_settings(const struct ph_cli *c, struct ph_buf *limits, struct ph_err *err)
{
	if (ph_cli_has(c, "limit") == ph_cli_has(c, "no-limits"))
		return ph_fail(
			err, PH_E_USAGE, "write --limit, as often as there are limits, or --no-limits");
	return ph_cli_limits(c, limits, err);
}

int ph_cmd_key_set(const struct ph_cli *c)
{
	struct ph_buf limits = {0};
	struct ph_err err = {0};
	int status;

	status = read_settings(c, &limits, &err) < 0 ? ph_cli_fail(&err)
						     : ph_cli_with_session(c, set, &limits);
	ph_buf_deinit(&limits);
	return status;
}

static int list(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_cli_store_list(s->pg, PH_CLI_API_KEYS, NULL, &rows, err);

	(void)arg;
	if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows),
			"name prefix state snapshots models accounts limits created expires", err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_key_list(const struct ph_cli *c)
{
	return ph_cli_with_session(c, list, NULL);
}

static int revoke(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	int r = ph_cli_store_verb(s->pg, PH_CLI_REVOKE, c->args[0], ph_cli_option(c, "reason"), err);

	(void)arg;
	if (r == 0)
		ph_cli_say("key \"%s\" revoked", c->args[0]);
	return r;
}

int ph_cmd_key_revoke(const struct ph_cli *c)
{
	return ph_cli_with_session(c, revoke, NULL);
}
