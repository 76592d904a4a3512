/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse account ...: upstream accounts. A secret is read from a file or standard input, sealed here with
 * the master key, bound to the account's id, and only then given to the database.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "posthouse/crypt.h"
#include "posthouse/url.h"

#include "cli_priv.h"

#define SECRET_MAX 16384
#define MODELS_MAX 256

/* ---- account add: what the arguments say ---- */

static int check_kind(const char *kind, struct ph_err *err)
{
	if (kind == NULL)
		return ph_fail(
			err, PH_E_USAGE, "--kind is missing; write --kind platform, stateless or codex");
	if (strcmp(kind, "platform") != 0 && strcmp(kind, "stateless") != 0 && strcmp(kind, "codex") != 0)
		return ph_fail(err, PH_E_USAGE,
			"--kind: \"%.40s\" is no kind; write --kind platform, stateless or codex", kind);
	return 0;
}

static int check_url(const char *option, const char *text, struct ph_err *err)
{
	struct ph_err why = {0};
	struct ph_url url;

	if (ph_url_parse(&url, ph_str_c(text), &why) == 0)
		return 0;
	return ph_fail(err, PH_E_USAGE,
		"--%s: \"%.100s\" is no http or https URL (%.100s); for example --%s %s", option, text,
		why.detail, option, "https://api.openai.com/v1");
}

static int check_urls(const struct ph_cli *c, struct ph_err *err)
{
	const char *base = ph_cli_option(c, "base-url"), *token = ph_cli_option(c, "token-url");

	if (base == NULL)
		return ph_fail(err, PH_E_USAGE,
			"--base-url is missing; for example --base-url https://api.openai.com/v1");
	if (check_url("base-url", base, err) < 0 || (token && check_url("token-url", token, err) < 0))
		return -PH_E_USAGE;
	return 0;
}

static int check_secret_options(const struct ph_cli *c, const char *kind, struct ph_err *err)
{
	if (ph_cli_has(c, "auth-json"))
		return ph_fail(err, PH_E_USAGE,
			"--auth-json is not available in this version; write --api-key-file FILE with an "
			"access token, which is sent as it is and not refreshed");
	if (!ph_cli_has(c, "api-key-file") && strcmp(kind, "stateless") != 0)
		return ph_fail(err, PH_E_USAGE,
			"an account of kind %s needs a key; write --api-key-file FILE, or - for standard "
			"input",
			kind);
	return 0;
}

static int read_options(
	const struct ph_cli *c, struct ph_cli_account *a, struct ph_str *models, struct ph_err *err)
{
	a->name = c->args[0];
	a->kind = ph_cli_option(c, "kind");
	a->base_url = ph_cli_option(c, "base-url");
	a->token_url = ph_cli_option(c, "token-url");
	a->models = models;
	a->model_count = ph_cli_options(c, "model", models, MODELS_MAX);
	if (a->model_count > MODELS_MAX)
		return ph_fail(
			err, PH_E_USAGE, "more than %d models; leave --model out to serve any", MODELS_MAX);
	if (ph_cli_check_name(a->name, "main", err) < 0 || check_kind(a->kind, err) < 0 ||
		check_urls(c, err) < 0 || check_secret_options(c, a->kind, err) < 0 ||
		ph_cli_number(c, "max-streams", 1, 1000000, PH_CLI_LEAVE, &a->max_streams, err) < 0 ||
		ph_cli_number(c, "weight", 1, 1000, PH_CLI_LEAVE, &a->weight, err) < 0 ||
		ph_cli_number(c, "priority", -1000000, 1000000, PH_CLI_LEAVE, &a->priority, err) < 0)
		return -PH_E_USAGE;
	return 0;
}

/* ---- account add: the secret ---- */

/* It becomes a header's value: one line, visible. */
static int check_secret(struct ph_buf *b, const char *path, struct ph_err *err)
{
	if (b->n == 0)
		return ph_fail(err, PH_E_CONFIG,
			"%.200s is empty; put the upstream's key into it, on one line", path);
	for (size_t i = 0; i < b->n; i++)
		if (b->p[i] <= ' ' || b->p[i] == 0x7f)
			return ph_fail(err, PH_E_CONFIG,
				"%.200s holds a space, a control character or a letter that is not ASCII; an "
				"upstream's key is one word",
				path);
	return 0;
}

static int read_secret(const char *path, struct ph_buf *secret, struct ph_err *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	if (fd >= 0)
		r = ph_config_read_secret(fd, secret);
	if (fd >= 0 && !from_stdin)
		close(fd);
	if (r < 0)
		return ph_fail(err, PH_E_CONFIG,
			"--api-key-file: \"%.200s\" cannot be read (%s); name a file that holds the key, or "
			"- for standard input",
			path, strerror(-r));
	return check_secret(secret, from_stdin ? "standard input" : path, err);
}

/* The id comes first: what is sealed is bound to it. */
static int seal_secret(const struct ph_cli_session *s, const struct ph_cli_account *a, struct ph_str secret,
	struct ph_buf *sealed, uint8_t key_id[8], struct ph_err *err)
{
	struct ph_master_keys keys;
	char row[24];
	int r = ph_cli_session_keys(s, &keys, err);

	if (r == 0)
		r = ph_cli_store_check_master_key(s->pg, &keys, err);
	if (r == 0) {
		snprintf(row, sizeof(row), "%lld", (long long)a->id);
		memcpy(key_id, keys.id[0], sizeof(keys.id[0]));
		r = ph_seal(&keys, "accounts", row, secret, sealed);
		if (r < 0)
			ph_fail(err, -r, "the key could not be sealed; check the machine's OpenSSL");
	}
	explicit_bzero(&keys, sizeof(keys));
	return r;
}

struct addition {
	struct ph_cli_account account;
	struct ph_str models[MODELS_MAX];
	struct ph_buf secret;
};

static int add(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct addition *add = arg;
	struct ph_cli_account *a = &add->account;
	uint8_t key_id[8];
	struct ph_buf sealed;
	bool updated;
	int r = ph_cli_store_account_id(s->pg, a->name, a->kind, &a->id, err);

	(void)c;
	ph_buf_init(&sealed, 2 * SECRET_MAX);
	if (r == 0 && add->secret.n > 0) {
		r = seal_secret(s, a, ph_buf_str(&add->secret), &sealed, key_id, err);
		a->sealed = ph_buf_str(&sealed);
		a->key_id = ph_str((const char *)key_id, sizeof(key_id));
	}
	if (r == 0)
		r = ph_cli_store_put_account(s->pg, a, &updated, err);
	ph_buf_deinit(&sealed);
	if (r == 0)
		ph_cli_say("account \"%s\" %s: %s, %s", a->name, updated ? "updated" : "added", a->kind,
			a->base_url);
	return r;
}

int ph_cmd_account_add(const struct ph_cli *c)
{
	struct addition a = {0};
	struct ph_err err = {0};
	int r = read_options(c, &a.account, a.models, &err), status;

	ph_buf_init(&a.secret, SECRET_MAX);
	if (r == 0 && ph_cli_has(c, "api-key-file"))
		r = read_secret(ph_cli_option(c, "api-key-file"), &a.secret, &err);
	if (r < 0)
		status = ph_cli_fail(&err);
	else
		status = ph_cli_with_session(c, add, &a);
	if (a.secret.p)
		explicit_bzero(a.secret.p, a.secret.cap);
	ph_buf_deinit(&a.secret);
	return status;
}

/* ---- list, show ---- */

static int list(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_cli_store_list(s->pg, PH_CLI_ACCOUNTS, NULL, &rows, err);

	(void)arg;
	if (r == 0)
		r = ph_cli_rows(c, ph_buf_str(&rows),
			"name kind state health weight priority max_streams models base_url", err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_account_list(const struct ph_cli *c)
{
	return ph_cli_with_session(c, list, NULL);
}

static int show(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct ph_buf rows;
	int r = ph_cli_store_list(s->pg, PH_CLI_ACCOUNTS, c->args[0], &rows, err);

	(void)arg;
	if (r == 0 && ph_str_eq(ph_buf_str(&rows), PH_STR("[]")))
		r = ph_fail(err, PH_E_CONFIG,
			"there is no account named \"%.128s\"; `posthouse account list` shows them",
			c->args[0]);
	else if (r == 0 && ph_cli_has(c, "json"))
		ph_cli_say("%.*s", (int)rows.n - 2, rows.p + 1); /* the one object, without the array */
	else if (r == 0)
		r = ph_cli_card(ph_buf_str(&rows), err);
	ph_buf_deinit(&rows);
	return r;
}

int ph_cmd_account_show(const struct ph_cli *c)
{
	return ph_cli_with_session(c, show, NULL);
}

/* ---- pause, resume, remove ---- */

static int verb(const struct ph_cli *c, struct ph_cli_session *s, enum ph_cli_verb v, const char *done,
	struct ph_err *err)
{
	int r = ph_cli_store_verb(s->pg, v, c->args[0], ph_cli_option(c, "reason"), err);

	if (r == 0)
		ph_cli_say("account \"%s\" %s", c->args[0], done);
	return r;
}

static int pause_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_PAUSE, "paused", err);
}

int ph_cmd_account_pause(const struct ph_cli *c)
{
	return ph_cli_with_session(c, pause_account, NULL);
}

static int resume_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_RESUME, "resumed", err);
}

int ph_cmd_account_resume(const struct ph_cli *c)
{
	return ph_cli_with_session(c, resume_account, NULL);
}

static int remove_account(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	(void)arg;
	return verb(c, s, PH_CLI_REMOVE, "removed", err);
}

int ph_cmd_account_remove(const struct ph_cli *c)
{
	return ph_cli_with_session(c, remove_account, NULL);
}
