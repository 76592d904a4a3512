/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each value comes from: flag, then environment, then default; for a secret NAME or NAME_FILE, never
 * both at one level. The file of a secret is read here, and what was read does not outlive its setting.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config_priv.h"

#define SECRET_FILE_MAX 16384

struct source {
	char label[64]; /* what the user wrote: "--listen", "POSTHOUSE_LISTEN", "POSTHOUSE_MASTER_KEY_FILE" */
	const char *text;   /* NULL: nowhere */
	const char *origin; /* as ph_config_each() tells it */
	bool file;          /* text is a path */
};

struct flags {
	const struct ph_config_flag *list;
	size_t count;
};

static const char *flag_value(const struct flags *f, const char *name)
{
	for (size_t i = f->count; i-- > 0;) /* a later one wins */
		if (strcmp(f->list[i].name, name) == 0)
			return f->list[i].value;
	return NULL;
}

/* Of a value and a path to it, given at the same level, there may be one. */
static int take(struct source *ret, const char *name, const char *suffix, const char *plain, const char *path,
	const char *origin, struct ph_err *err)
{
	if (plain && path)
		return ph_fail(err, name[0] == '-' ? PH_E_USAGE : PH_E_CONFIG,
			"both %s and %s%s are set; keep one of them, for example %s%s", name, name, suffix,
			name, suffix);
	ret->text = plain ? plain : path;
	ret->file = path != NULL;
	ret->origin = path ? "file" : origin;
	snprintf(ret->label, sizeof(ret->label), "%s%s", name, path ? suffix : "");
	return 0;
}

static int from_flags(
	const struct ph_setting *s, const struct flags *f, struct source *ret, struct ph_err *err)
{
	char name[2 + PH_FLAG_MAX], path[PH_FLAG_MAX + 8];

	name[0] = name[1] = '-';
	ph_setting_flag(s, name + 2);
	snprintf(path, sizeof(path), "%s-file", name + 2);
	return take(ret, name, "-file", flag_value(f, name + 2), s->secret ? flag_value(f, path) : NULL,
		"flag", err);
}

static int from_environment(const struct ph_setting *s, struct source *ret, struct ph_err *err)
{
	char path[64];

	snprintf(path, sizeof(path), "%s_FILE", s->variable);
	return take(ret, s->variable, "_FILE", getenv(s->variable), s->secret ? getenv(path) : NULL,
		"environment", err);
}

static void from_alias(const struct ph_setting *s, struct source *ret)
{
	if (strcmp(s->variable, "POSTHOUSE_DATABASE_URL") != 0 || getenv("DATABASE_URL") == NULL)
		return;
	*ret = (struct source){
		.label = "DATABASE_URL", .text = getenv("DATABASE_URL"), .origin = "DATABASE_URL"};
}

static int find(const struct ph_setting *s, const struct flags *f, struct source *ret, struct ph_err *err)
{
	int r = from_flags(s, f, ret, err);

	if (r == 0 && ret->text == NULL)
		r = from_environment(s, ret, err);
	if (r == 0 && ret->text == NULL)
		from_alias(s, ret);
	return r;
}

/* ---- NAME_FILE ---- */

int ph_config_read_secret(int fd, struct ph_buf *b)
{
	ssize_t n = 1;

	while (n != 0) {
		char *room = ph_buf_room(b, 4096);

		n = room ? read(fd, room, 4096) : -1;
		if (room == NULL)
			return -EFBIG;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			ph_buf_wrote(b, (size_t)n);
	}
	if (b->n > 0 && b->p[b->n - 1] == '\n')
		b->n--;
	return 0;
}

/* The file's text, in memory that the caller wipes and frees. */
static char *read_secret(const struct source *src, struct ph_err *err)
{
	struct ph_buf b;
	int fd = open(src->text, O_RDONLY | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	ph_buf_init(&b, SECRET_FILE_MAX);
	if (fd >= 0) {
		r = ph_config_read_secret(fd, &b);
		close(fd);
	}
	if (r == 0 && b.n > 0 && memchr(b.p, '\0', b.n) != NULL)
		r = -EILSEQ;
	if (r < 0) {
		ph_buf_deinit(&b);
		ph_fail(err, src->label[0] == '-' ? PH_E_USAGE : PH_E_CONFIG,
			"%s: \"%.100s\" cannot be read (%s); name a file that holds the secret, for example "
			"/run/secrets/posthouse",
			src->label, src->text, strerror(-r));
		return NULL;
	}
	ph_buf_putc(&b, '\0');
	return b.p;
}

static int store_file(
	const struct ph_setting *s, struct ph_config *c, const struct source *src, struct ph_err *err)
{
	char *text = read_secret(src, err);
	int r;

	if (text == NULL)
		return -PH_E_CONFIG;
	r = ph_setting_store(s, c, src->label, text, err);
	explicit_bzero(text, strlen(text));
	free(text);
	return r;
}

/* ---- defaults that the machine decides ---- */

static char *default_data_dir(void)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct passwd *user = home && home[0] == '/' ? NULL : getpwuid(geteuid());
	char path[PATH_MAX];

	if (user)
		home = user->pw_dir;
	if (geteuid() == 0)
		snprintf(path, sizeof(path), "/var/lib/posthouse");
	else if (state && state[0] == '/') /* a relative one is to be ignored, says the standard */
		snprintf(path, sizeof(path), "%s/posthouse", state);
	else
		snprintf(path, sizeof(path), "%s/.local/state/posthouse", home ? home : "");
	return ph_strdup(path);
}

static char *default_node_name(void)
{
	char name[201];

	if (gethostname(name, sizeof(name)) < 0 || name[0] == '\0')
		return ph_strdup("localhost");
	name[sizeof(name) - 1] = '\0';
	return ph_strdup(name);
}

/* libpq reads its own variables when the conninfo is empty. */
static const char *default_database(struct ph_config *c)
{
	const char *origin = getenv("PGHOST") ? "PGHOST" : getenv("PGSERVICE") ? "PGSERVICE" : NULL;

	if (origin == NULL)
		return "default";
	c->database_url = ph_strdup("");
	return origin;
}

static int store_default(
	const struct ph_setting *s, struct ph_config *c, const char **origin, struct ph_err *err)
{
	*origin = "default";
	if (s->fallback)
		return ph_setting_store(s, c, s->variable, s->fallback, err);
	if (s->offset == offsetof(struct ph_config, database_url))
		*origin = default_database(c);
	else if (s->type == PH_SET_DIR)
		c->data_dir = default_data_dir();
	else if (s->type == PH_SET_NODE)
		c->node_name = default_node_name();
	return 0;
}

static int load_one(struct ph_config *c, size_t i, const struct flags *f, struct ph_err *err)
{
	const struct ph_setting *s = &ph_settings[i];
	struct source src = {0};
	int r = find(s, f, &src, err);

	if (r < 0)
		return r;
	if (src.text == NULL)
		return store_default(s, c, &c->origin[i], err);
	c->origin[i] = src.origin;
	return src.file ? store_file(s, c, &src, err) : ph_setting_store(s, c, src.label, src.text, err);
}

static int check_flags(const struct flags *f, struct ph_err *err)
{
	for (size_t i = 0; i < f->count; i++)
		if (!ph_config_is_flag(f->list[i].name, false))
			return ph_fail(err, PH_E_USAGE,
				"--%.60s is no setting; `posthouse check-config` lists them",
				f->list[i].name);
	return 0;
}

/* What is allowed and yet seldom meant. */
static void warn_database(const struct ph_config *c, const struct flags *f,
	void (*warn)(void *arg, const char *text), void *arg)
{
	const char *alias = getenv("DATABASE_URL"), *flag = flag_value(f, "database-url");
	char redacted[2048];

	if (alias && c->database_url && strcmp(alias, c->database_url) != 0)
		warn(arg, "DATABASE_URL is ignored, because another database is set");
	ph_log_redact(redacted, sizeof(redacted), ph_str_c(flag));
	if (flag && strlen(flag) < sizeof(redacted) && strcmp(flag, redacted) != 0)
		warn(arg, "every user of this machine can read the password in --database-url: write "
			  "--database-url-file");
}

int ph_config_load(struct ph_config *ret, const struct ph_config_flag *flags, size_t flag_count,
	void (*warn)(void *arg, const char *text), void *arg, struct ph_err *err)
{
	struct flags f = {flags, flag_count};
	int r = check_flags(&f, err);

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < ph_setting_count && r == 0; i++)
		r = load_one(ret, i, &f, err);
	if (r == 0)
		r = ph_config_cross_check(ret, err);
	if (r < 0) {
		ph_config_free(ret);
		return r;
	}
	if (warn) {
		warn_database(ret, &f, warn, arg);
		ph_config_unknown(environ, warn, arg);
	}
	return 0;
}

void ph_config_free(struct ph_config *c)
{
	for (size_t i = 0; i < ph_setting_count; i++) {
		char **member = ph_setting_at(&ph_settings[i], c);

		if (!ph_setting_is_text(&ph_settings[i]) || *member == NULL)
			continue;
		if (ph_settings[i].secret)
			explicit_bzero(*member, strlen(*member));
		free(*member), *member = NULL;
	}
}
