/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration: one table (name, type, default, minimum, maximum, secret, doc) gives environment variables,
 * flags, NAME_FILE, `check-config`, help texts and the README's table. A flag wins over the environment, the
 * environment over the default. Durations are kept in milliseconds, sizes in bytes.
 */
#ifndef POSTHOUSE_CONFIG_H
#define POSTHOUSE_CONFIG_H

#include "posthouse/crypt.h"
#include "posthouse/log.h"

enum ph_snapshots {
	PH_SNAPSHOTS_ALL,
	PH_SNAPSHOTS_STORED,
	PH_SNAPSHOTS_NONE,
};

#define PH_CONFIG_SETTINGS_MAX 48

struct ph_config {
	char *database_url;        /* "" = libpq's own variables; NULL = embedded */
	char *database_direct_url; /* NULL = the same as database_url */
	char *data_dir;
	char *listen;
	char *admin_listen;
	uint64_t workers;
	char *node_name;
	char *master_key; /* NULL where none is set (embedded: read from the data dir) */
	bool auth_off;
	enum ph_snapshots snapshots;
	uint64_t retention_ms;
	uint64_t retention_unstored_ms;
	uint64_t max_body;
	uint64_t connect_timeout_ms;
	uint64_t first_event_timeout_ms;
	uint64_t idle_timeout_ms;
	uint64_t answer_timeout_ms;
	uint64_t queue_timeout_ms;
	uint64_t drain_timeout_ms;
	uint64_t keepalive_interval_ms;
	uint64_t hold_timeout_ms;
	uint64_t poll_interval_ms;
	uint64_t lease_ttl_ms;
	uint64_t usage_interval_ms;  /* 0 = never */
	uint64_t models_interval_ms; /* likewise */
	char *upstream_transport;    /* auto, http, websocket */
	bool websocket;
	char *tls_cert_file;
	char *tls_key_file;
	char *upstream_ca_file;
	enum ph_log_level log_level;
	enum ph_log_format log_format;
	/* Of each row of the table, as ph_config_each() tells it; private. */
	const char *origin[PH_CONFIG_SETTINGS_MAX];
};

/* One flag as the command line found it: "--listen" "A". */
struct ph_config_flag {
	const char *name; /* without dashes */
	const char *value;
};

/* Whether the table has this flag (without dashes). `everywhere`: a flag of every command, such as
 * --database-url and --data-dir; without it all of them, which are those of `serve`. */
bool ph_config_is_flag(const char *name, bool everywhere);

/*
 * Reads flags, then the process's environment, then defaults. The first fault stops: err names the variable
 * or flag, says what is wrong and gives a valid example; its code is PH_E_USAGE for a flag, PH_E_CONFIG for
 * anything else, and ret holds nothing. A later flag of the same name wins. Warnings (unknown POSTHOUSE_
 * variables with the nearest known name) go to warn(arg, text), which may be NULL. Opens the files that
 * settings name, and no network.
 */
int ph_config_load(struct ph_config *ret, const struct ph_config_flag *flags, size_t flag_count,
	void (*warn)(void *arg, const char *text), void *arg, struct ph_err *err) PH_WARN_UNUSED;
void ph_config_free(struct ph_config *c); /* wipes secrets; may be repeated */

/* Each setting with its effective value and where it came from: "default", "environment", "flag", "file",
 * "DATABASE_URL", "PGHOST" or "PGSERVICE". Secrets and what has no value read "set" or "unset". */
typedef void (*ph_config_visit)(void *arg, const char *variable, const char *value, const char *origin);
void ph_config_each(const struct ph_config *c, ph_config_visit visit, void *arg);

/* The table as a GitHub-flavoured Markdown table (README), and as help text: all flags, or those of every
 * command. */
void ph_config_markdown(struct ph_buf *out);
void ph_config_help(struct ph_buf *out, bool everywhere);
/* Each of these flags, without dashes; its value as a placeholder, or as "a|b|c". */
typedef void (*ph_config_flag_visit)(void *arg, const char *flag, const char *value, const char *doc);
void ph_config_flags(bool everywhere, ph_config_flag_visit visit, void *arg);
/* One row of help: a head, and beside it what it means, wrapped. */
void ph_config_help_row(struct ph_buf *out, const char *head, const char *doc);

/* All of fd, without one trailing newline: how every secret is read. 0, or a negated errno: EFBIG past b's
 * maximum. The caller wipes b. */
int ph_config_read_secret(int fd, struct ph_buf *b) PH_WARN_UNUSED;

/* "250ms" "5s" "2m" "1h" "30d", a bare number means seconds. "64KiB" "64MiB" "1GiB", a bare number means
 * bytes. */
int ph_config_duration(const char *text, uint64_t *ret_ms, struct ph_err *err) PH_WARN_UNUSED;
int ph_config_size(const char *text, uint64_t *ret, struct ph_err *err) PH_WARN_UNUSED;
void ph_config_duration_text(uint64_t ms, char *dst, size_t size);

#endif
