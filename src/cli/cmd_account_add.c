/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse account add: an upstream account from a key or from logins. A secret is read from a file or
 * standard input, sealed here with the master key, bound to the account's id, and only then given to the
 * database. Of several logins all are read before the first is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "posthouse/crypt.h"
#include "posthouse/url.h"

#include "cli_priv.h"

#define KEY_MAX    16384
#define SEALED_MAX (2 * PH_CLI_AUTH_JSON_MAX)
#define READ_STEP  4096 /* room that reading wants, also where it finds the end */
#define MODELS_MAX 256
#define LOGINS_MAX 99
#define NAME_MAX_N 120 /* of a name that gets numbers */

struct addition {
	struct ph_cli_account account; /* name and settings, the same for all */
	struct ph_str models[MODELS_MAX];
	struct ph_buf key; /* empty: none */
	struct ph_cli_login logins[LOGINS_MAX];
	int login_count;
};

/* ---- what the arguments say ---- */

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
	bool key = ph_cli_has(c, "api-key-file"), login = ph_cli_has(c, "auth-json");
	bool codex = strcmp(kind, "codex") == 0;

	if (key && login)
		return ph_fail(err, PH_E_USAGE,
			"--api-key-file and --auth-json exclude each other; write --auth-json FILE for a "
			"login, "
			"--api-key-file FILE for a token that is sent as it is");
	if (login && !codex)
		return ph_fail(err, PH_E_USAGE,
			"--auth-json is for accounts of kind codex; write --kind codex, or --api-key-file "
			"FILE "
			"with a key");
	if (!key && !login && strcmp(kind, "stateless") != 0)
		return ph_fail(err, PH_E_USAGE,
			"an account of kind %s needs %s; write %s, or - for standard input", kind,
			codex ? "a login" : "a key", codex ? "--auth-json FILE" : "--api-key-file FILE");
	return 0;
}

static int check_logins(const struct ph_cli *c, const char *name, struct ph_err *err)
{
	struct ph_str files[LOGINS_MAX];
	size_t count = ph_cli_options(c, "auth-json", files, LOGINS_MAX), from_stdin = 0;

	if (count > LOGINS_MAX)
		return ph_fail(err, PH_E_USAGE, "more than %d logins; add them in several calls", LOGINS_MAX);
	for (size_t i = 0; i < count; i++)
		from_stdin += ph_str_eq(files[i], PH_STR("-"));
	if (from_stdin > 1)
		return ph_fail(err, PH_E_USAGE,
			"standard input holds one login; write --auth-json - once, and files for the others");
	if (count > 1 && strlen(name) > NAME_MAX_N)
		return ph_fail(err, PH_E_USAGE,
			"a name that is numbered (%.20s...-2) has at most %d characters; write one like main",
			name, NAME_MAX_N);
	return 0;
}

static int read_options(
	const struct ph_cli *c, struct ph_cli_account *a, struct ph_str *models, struct ph_err *err)
{
	ph_str_copy(a->name, sizeof(a->name), ph_str_c(c->args[0]));
	a->kind = ph_cli_option(c, "kind");
	a->base_url = ph_cli_option(c, "base-url");
	a->token_url = ph_cli_option(c, "token-url");
	a->models = models;
	a->model_count = ph_cli_options(c, "model", models, MODELS_MAX);
	if (a->model_count > MODELS_MAX)
		return ph_fail(
			err, PH_E_USAGE, "more than %d models; leave --model out to serve any", MODELS_MAX);
	if (ph_cli_check_name(c->args[0], "main", err) < 0 || check_kind(a->kind, err) < 0 ||
		check_urls(c, err) < 0 || check_secret_options(c, a->kind, err) < 0 ||
		check_logins(c, a->name, err) < 0 ||
		ph_cli_number(c, "max-streams", 1, 1000000, PH_CLI_LEAVE, &a->max_streams, err) < 0 ||
		ph_cli_number(c, "weight", 1, 1000, PH_CLI_LEAVE, &a->weight, err) < 0 ||
		ph_cli_number(c, "priority", -1000000, 1000000, PH_CLI_LEAVE, &a->priority, err) < 0 ||
		ph_cli_number(c, "max-used-percent", 1, 100, PH_CLI_LEAVE, &a->max_used_percent, err) < 0)
		return -PH_E_USAGE;
	return 0;
}

/* ---- the secrets ---- */

static const char *name_of(const char *path)
{
	return strcmp(path, "-") == 0 ? "standard input" : path;
}

static int read_file(
	const char *option, const char *path, const char *advice, struct ph_buf *b, struct ph_err *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	int fd = from_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	if (fd >= 0)
		r = ph_config_read_secret(fd, b);
	if (fd >= 0 && !from_stdin)
		close(fd);
	if (r < 0)
		return ph_fail(err, PH_E_CONFIG,
			"--%s: \"%.120s\" cannot be read (%s); name %s, or - for standard input", option,
			path, strerror(-r), advice);
	return 0;
}

/* It becomes a header's value: one line, visible. */
static int read_key(const char *path, struct ph_buf *key, struct ph_err *err)
{
	ph_buf_init(key, KEY_MAX);
	if (read_file("api-key-file", path, "a file that holds the key", key, err) < 0)
		return -err->code;
	if (key->n == 0)
		return ph_fail(err, PH_E_CONFIG,
			"%.200s is empty; put the upstream's key into it, on one line", name_of(path));
	if (!ph_cli_is_word(ph_buf_str(key)))
		return ph_fail(err, PH_E_CONFIG,
			"%.200s holds a space, a control character or a letter that is not ASCII; an "
			"upstream's key is one word",
			name_of(path));
	return 0;
}

static void wipe(struct ph_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	ph_buf_deinit(b);
}

static int read_login(const char *path, struct ph_cli_login *login, struct ph_err *err)
{
	struct ph_buf text;
	int r;

	ph_buf_init(&text, PH_CLI_AUTH_JSON_MAX + READ_STEP);
	r = read_file(
		"auth-json", path, "the auth.json that `codex login` writes, at most 1 MiB", &text, err);
	if (r == 0)
		r = ph_cli_login_read(login, ph_buf_str(&text), name_of(path), err);
	wipe(&text);
	if (r == 0 && login->identity[0] == '\0')
		ph_cli_warn("%.200s names no account: it is added, but the same login added again would not "
			    "be noticed",
			name_of(path));
	return r;
}

static int read_secrets(const struct ph_cli *c, struct addition *a, struct ph_err *err)
{
	struct ph_str paths[LOGINS_MAX];
	size_t count = ph_cli_options(c, "auth-json", paths, LOGINS_MAX);
	int r = ph_cli_has(c, "api-key-file") ? read_key(ph_cli_option(c, "api-key-file"), &a->key, err) : 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = read_login(paths[i].p, &a->logins[a->login_count++], err);
	return r;
}

/* ---- writing ---- */

static void tell(const struct ph_cli_account *a, bool updated, bool found)
{
	const char *email = a->login ? a->login->email : "", *plan = a->login ? a->login->plan : "";

	if (found)
		ph_cli_say("account \"%s\" updated: it is the same login", a->name);
	else
		ph_cli_say("account \"%s\" %s: %s, %s%s%s%s%s", a->name, updated ? "updated" : "added",
			a->kind, a->base_url ? a->base_url : "its base URL as it was", email[0] ? ", " : "",
			email, plan[0] ? ", " : "", plan);
}

/* The id comes first: what is sealed is bound to it. */
int ph_cli_account_put(struct ph_cli_session *s, struct ph_cli_account a, struct ph_str secret,
	const char *wanted, struct ph_err *err)
{
	uint8_t key_id[8];
	struct ph_buf sealed;
	bool updated = false;
	char row[24];
	int r = 0;

	ph_buf_init(&sealed, SEALED_MAX);
	snprintf(row, sizeof(row), "%lld", (long long)a.id);
	if (secret.n > 0) {
		r = ph_cli_session_seal(s, "accounts", row, secret, &sealed, key_id, err);
		a.sealed = ph_buf_str(&sealed);
		a.key_id = ph_str((const char *)key_id, sizeof(key_id));
	}
	if (r == 0)
		r = ph_cli_store_put_account(s->pg, &a, &updated, err);
	ph_buf_deinit(&sealed);
	if (r == 0)
		tell(&a, updated, updated && strcmp(a.name, wanted) != 0);
	return r;
}

/* One account. number: which of several logins it is, from 1. */
static int add_one(struct ph_cli_session *s, struct ph_cli_account a, struct ph_str secret, int number,
	struct ph_err *err)
{
	char wanted[sizeof(a.name)];
	int r;

	memcpy(wanted, a.name, sizeof(wanted));
	if (number > 1)
		snprintf(wanted, sizeof(wanted), "%.*s-%d", NAME_MAX_N, a.name, number);
	r = ph_cli_store_account_id(s->pg, &a, number, err);
	return r == 0 ? ph_cli_account_put(s, a, secret, wanted, err) : r;
}

static int add(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct addition *add = arg;
	int r = 0;

	(void)c;
	if (add->login_count == 0)
		return add_one(s, add->account, ph_buf_str(&add->key), 1, err);
	for (int i = 0; r == 0 && i < add->login_count; i++) {
		add->account.login = &add->logins[i];
		r = add_one(s, add->account, ph_buf_str(&add->logins[i].document), i + 1, err);
	}
	return r;
}

int ph_cmd_account_add(const struct ph_cli *c)
{
	struct addition a = {0};
	struct ph_err err = {0};
	int r = read_options(c, &a.account, a.models, &err), status;

	if (r == 0)
		r = read_secrets(c, &a, &err);
	status = r < 0 ? ph_cli_fail(&err) : ph_cli_with_session(c, add, &a);
	wipe(&a.key);
	for (int i = 0; i < a.login_count; i++)
		ph_cli_login_free(&a.logins[i]);
	return status;
}
