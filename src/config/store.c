/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One text into one member, with the checks of its type; then the checks across members. Every refusal is one
 * line: what the user wrote it in, the value, what is wrong, and an example that works.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "posthouse/loop.h"

#include "config_priv.h"

#define NODE_NAME_MAX 200 /* "/63" and the limit of the database's names stay below 256 */
#define SHOWN_MAX     72

/* The part of a value that an error shows, on one line. */
static void shown(const char *text, char dst[SHOWN_MAX])
{
	ph_str_copy(dst, SHOWN_MAX, ph_str_c(text));
	for (char *p = dst; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
}

static int code_of(const char *label)
{
	return label[0] == '-' ? PH_E_USAGE : PH_E_CONFIG;
}

static bool is_file_label(const char *label)
{
	struct ph_str l = ph_str_c(label);

	return ph_str_ends(l, PH_STR("_FILE")) || ph_str_ends(l, PH_STR("-file"));
}

/* In the form in which the user wrote the wrong one: "POSTHOUSE_WORKERS=2", "--workers 2". */
static void example_text(const struct ph_setting *s, const char *label, char *dst, size_t size)
{
	char flag[PH_FLAG_MAX];

	ph_setting_flag(s, flag);
	if (s->type == PH_SET_MASTER_KEY) /* never a literal that somebody might keep */
		snprintf(dst, size, "make one with, for example, %s", s->example);
	else if (s->secret && is_file_label(label))
		snprintf(dst, size, "the file holds, for example, %s", s->example);
	else if (label[0] == '-')
		snprintf(dst, size, "for example --%s %s", flag, s->example);
	else
		snprintf(dst, size, "for example %s=%s", s->variable, s->example);
}

static int refuse(const struct ph_setting *s, const char *label, const char *text, const char *wrong,
	struct ph_err *err)
{
	char value[SHOWN_MAX], example[128];

	example_text(s, label, example, sizeof(example));
	if (s->secret)
		return ph_fail(err, code_of(label), "%s %s; %s", label, wrong, example);
	shown(text, value);
	return ph_fail(err, code_of(label), "%s: \"%s\" %s; %s", label, value, wrong, example);
}

/* ---- numbers ---- */

static int store_number(const struct ph_setting *s, struct ph_config *c, const char *label, const char *text,
	struct ph_err *err)
{
	char least[32], most[32], wrong[128];
	const char *bad;
	uint64_t n;

	if (s->type == PH_SET_DURATION)
		bad = ph_duration_read(text, &n);
	else if (s->type == PH_SET_SIZE)
		bad = ph_size_read(text, &n);
	else
		bad = ph_count_read(text, &n);
	if (bad != NULL)
		return refuse(s, label, text, bad, err);
	if (n < s->min || n > s->max) {
		ph_number_text(s, s->min, least, sizeof(least));
		ph_number_text(s, s->max, most, sizeof(most));
		snprintf(wrong, sizeof(wrong), "is out of range: at least %s, at most %s", least, most);
		return refuse(s, label, text, wrong, err);
	}
	*(uint64_t *)ph_setting_at(s, c) = n;
	return 0;
}

/* ---- words ---- */

static int refuse_word(const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	struct ph_str rest = ph_str_c(s->words);
	char wrong[128] = "is not one of";

	while (rest.n > 0) {
		struct ph_str word = ph_str_split(&rest, '|');
		size_t n = strlen(wrong);

		snprintf(wrong + n, sizeof(wrong) - n, " %.*s%s", PH_STR_ARG(word), rest.n > 0 ? "," : "");
	}
	return refuse(s, label, text, wrong, err);
}

static int store_word(const struct ph_setting *s, struct ph_config *c, const char *label, const char *text,
	struct ph_err *err)
{
	int place = ph_word_find(s->words, text);

	if (place < 0)
		return refuse_word(s, label, text, err);
	if (s->type == PH_SET_SWITCH)
		*(bool *)ph_setting_at(s, c) = place == 1;
	else
		*(unsigned *)ph_setting_at(s, c) = (unsigned)place;
	return 0;
}

/* ---- texts ---- */

/* SQLAlchemy names a driver in the scheme; libpq knows two schemes. */
static int check_scheme(const struct ph_setting *s, const char *label, const char *text, struct ph_str scheme,
	struct ph_err *err)
{
	char whole[1024], instead[200];

	if (ph_str_eq(scheme, PH_STR("postgresql")) || ph_str_eq(scheme, PH_STR("postgres")))
		return 0;
	if (!ph_str_starts(scheme, PH_STR("postgresql+")) && !ph_str_starts(scheme, PH_STR("postgres+")))
		return refuse(s, label, text, "is not a PostgreSQL URL", err);
	snprintf(whole, sizeof(whole), "postgresql%s", text + scheme.n);
	ph_log_redact(instead, sizeof(instead), ph_str_c(whole));
	return ph_fail(err, code_of(label), "%s names a driver in its scheme, \"%.*s\"; write %s", label,
		PH_STR_ARG(scheme), instead);
}

static int check_database(const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	size_t n = strcspn(text, ":= /'");

	if (strncmp(text + n, "://", 3) == 0)
		return check_scheme(s, label, text, ph_str(text, n), err);
	if (strchr(text, '=') == NULL)
		return refuse(s, label, text, "is neither a URL nor key=value pairs", err);
	return 0;
}

static int check_master_key(
	const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	struct ph_master_keys keys;
	struct ph_err why = {0};
	int r = ph_master_keys_parse(&keys, ph_str_c(text), &why);
	char wrong[200];

	explicit_bzero(&keys, sizeof(keys));
	if (r == 0)
		return 0;
	snprintf(wrong, sizeof(wrong), "is no master key (%.120s)", why.detail);
	return refuse(s, label, text, wrong, err);
}

static int check_node(const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	for (const char *p = text; *p; p++)
		if (!isgraph((unsigned char)*p))
			return refuse(s, label, text, "holds a space or a character that is not ASCII", err);
	if (strlen(text) > NODE_NAME_MAX)
		return refuse(s, label, text, "is longer than 200 characters", err);
	return 0;
}

static int check_file(const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	char wrong[128];

	if (access(text, R_OK) == 0)
		return 0;
	snprintf(wrong, sizeof(wrong), "cannot be read (%s)", strerror(errno));
	return refuse(s, label, text, wrong, err);
}

static int check_address(const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	char host[256];
	uint16_t port;

	if (ph_hostport_parse(ph_str_c(text), host, sizeof(host), &port, NULL) < 0)
		return refuse(s, label, text, "is not host:port", err);
	return 0;
}

static int check_text(const struct ph_setting *s, const char *label, const char *text, struct ph_err *err)
{
	switch (s->type) {
	case PH_SET_DATABASE:
		return check_database(s, label, text, err);
	case PH_SET_MASTER_KEY:
		return check_master_key(s, label, text, err);
	case PH_SET_NODE:
		return check_node(s, label, text, err);
	case PH_SET_FILE:
		return check_file(s, label, text, err);
	case PH_SET_ADDRESS:
		return check_address(s, label, text, err);
	case PH_SET_WORD:
		return ph_word_find(s->words, text) < 0 ? refuse_word(s, label, text, err) : 0;
	default:
		return 0;
	}
}

static char *absolute(const char *path)
{
	char cwd[PATH_MAX];
	struct ph_buf b;

	if (path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return ph_strdup(path);
	ph_buf_init(&b, 2 * PATH_MAX);
	ph_buf_printf(&b, "%s/%s", cwd, path);
	ph_buf_putc(&b, '\0');
	return b.failed ? ph_strdup(path) : b.p;
}

static int store_text(const struct ph_setting *s, struct ph_config *c, const char *label, const char *text,
	struct ph_err *err)
{
	char **member = ph_setting_at(s, c);
	int r = check_text(s, label, text, err);

	if (r < 0)
		return r;
	*member = s->type == PH_SET_DIR ? absolute(text) : ph_strdup(text);
	return 0;
}

int ph_setting_store(const struct ph_setting *s, struct ph_config *c, const char *label, const char *text,
	struct ph_err *err)
{
	if (text[0] == '\0')
		return refuse(
			s, label, text, s->secret ? "is empty: unset it, or give a value" : "is empty", err);
	if (ph_setting_is_text(s))
		return store_text(s, c, label, text, err);
	if (s->words != NULL)
		return store_word(s, c, label, text, err);
	return store_number(s, c, label, text, err);
}

/* ---- across settings ---- */

/* By its text alone: a name other than localhost could point anywhere tomorrow. */
static bool is_loopback(const char *listen)
{
	char host[256];
	uint16_t port;
	struct in_addr v4;
	struct in6_addr v6;

	if (ph_hostport_parse(ph_str_c(listen), host, sizeof(host), &port, NULL) < 0)
		return false;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return ph_str_eq_nocase(ph_str_c(host), PH_STR("localhost"));
}

int ph_config_cross_check(const struct ph_config *c, struct ph_err *err)
{
	if (c->auth_off && !is_loopback(c->listen))
		return ph_fail(err, PH_E_CONFIG,
			"POSTHOUSE_AUTH=off is accepted only on loopback, and POSTHOUSE_LISTEN is \"%.60s\"; "
			"write "
			"POSTHOUSE_LISTEN=127.0.0.1:8080 or POSTHOUSE_AUTH=required",
			c->listen);
	if ((c->tls_cert_file == NULL) != (c->tls_key_file == NULL))
		return ph_fail(err, PH_E_CONFIG, "%s is set and %s is not; TLS needs both, for example %s",
			c->tls_cert_file ? "POSTHOUSE_TLS_CERT_FILE" : "POSTHOUSE_TLS_KEY_FILE",
			c->tls_cert_file ? "POSTHOUSE_TLS_KEY_FILE" : "POSTHOUSE_TLS_CERT_FILE",
			c->tls_cert_file ? "POSTHOUSE_TLS_KEY_FILE=/etc/posthouse/tls.key"
					 : "POSTHOUSE_TLS_CERT_FILE=/etc/posthouse/tls.crt");
	return 0;
}
