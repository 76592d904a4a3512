/* SPDX-License-Identifier: Apache-2.0 */
/* What the command line's files share: the shape of a command, what was parsed, output, the database session.
 */
#ifndef POSTHOUSE_CLI_PRIV_H
#define POSTHOUSE_CLI_PRIV_H

#include "posthouse/config.h"
#include "posthouse/loop.h"
#include "posthouse/migrate.h"

/* ---- commands: one row each in cli.c; parser, help and completion read the rows ---- */
struct ph_cli;

struct ph_cli_option {
	const char *name;  /* without dashes; NULL ends a list */
	const char *value; /* what help calls its value; NULL: a switch */
	const char *doc;   /* NULL: hidden */
};

enum ph_cli_settings {
	PH_CLI_NO_SETTINGS,
	PH_CLI_COMMON_SETTINGS, /* --database-url, --data-dir ... */
	PH_CLI_ALL_SETTINGS,
};

struct ph_cli_command {
	const char *name; /* "serve", "account add"; NULL ends the table */
	const char *args; /* "NAME", "" */
	int arg_count;
	enum ph_cli_settings settings; /* which flags of the configuration it takes */
	const char *summary;
	const char *details; /* NULL, or more for its help */
	const struct ph_cli_option *options;
	int (*run)(const struct ph_cli *c); /* returns the exit status */
};

/* ---- what was parsed; everything borrows from argv ---- */
#define PH_CLI_ARGS_MAX    4
#define PH_CLI_OPTIONS_MAX 128

struct ph_cli {
	const struct ph_cli_command *commands;
	const struct ph_cli_command *command; /* NULL: none was named */
	const char *group;                    /* "account" where only that was named */
	bool help, version;
	const char *args[PH_CLI_ARGS_MAX];
	int arg_count;
	struct ph_config_flag settings[PH_CLI_OPTIONS_MAX]; /* flags of the configuration */
	size_t setting_count;
	struct ph_config_flag options[PH_CLI_OPTIONS_MAX]; /* the command's own; value NULL for a switch */
	size_t option_count;
};

/* 0, or -PH_E_USAGE. --help and --version win over any fault that follows them. */
int ph_cli_parse(struct ph_cli *ret, const struct ph_cli_command *commands, int argc, char **argv,
	struct ph_err *err) PH_WARN_UNUSED;
bool ph_cli_has(const struct ph_cli *c, const char *option);
const char *ph_cli_option(const struct ph_cli *c, const char *option); /* the last one's value, or NULL */
/* Values of an option that may be repeated; how many there were, of which ret holds at most max. */
size_t ph_cli_options(const struct ph_cli *c, const char *option, struct ph_str *ret, size_t max);
/* The value of a numeric option, or fallback where it is absent. */
int ph_cli_number(const struct ph_cli *c, const char *option, int64_t min, int64_t max, int64_t fallback,
	int64_t *ret, struct ph_err *err) PH_WARN_UNUSED;

int ph_cli_check_name(
	const char *name, const char *example, struct ph_err *err) PH_WARN_UNUSED; /* of a key or account */
bool ph_cli_is_word(struct ph_str s); /* visible ASCII without spaces: what a header's value can be */

/* ---- help.c ---- */
void ph_cli_help(const struct ph_cli *c, struct ph_buf *out); /* of the command, the group, or everything */

/* ---- output.c: data on standard output, everything else on standard error ---- */
int ph_cli_fail(const struct ph_err *err); /* "posthouse: ..."; returns 1, or 2 where err is PH_E_USAGE */
void ph_cli_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* "posthouse: warning: ..." */
void ph_cli_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));  /* a line on standard output */
void ph_cli_progress(void *arg, const char *line); /* standard error, when somebody watches */
void ph_cli_print(const struct ph_buf *b);         /* standard output */
/* rows: a JSON array of objects, printed as it is with --json, else as a table of these columns ("name kind
 * state"). */
int ph_cli_rows(
	const struct ph_cli *c, struct ph_str rows, const char *columns, struct ph_err *err) PH_WARN_UNUSED;
/* rows: a JSON array of one object, as lines "name  value". */
int ph_cli_card(struct ph_str rows, struct ph_err *err) PH_WARN_UNUSED;

/* ---- auth_json.c: a login, as `codex login` writes it ---- */
#define PH_CLI_AUTH_JSON_MAX (1u << 20)

struct ph_cli_login {
	struct ph_buf document;    /* what is sealed: access_token, and those of refresh_token, id_token,
				      account_id and last_refresh that there are; JSON */
	char identity[400];        /* account, workspace, person; "" where no account is named */
	char email[160], plan[64]; /* "" where no claim tells */
};
/* text: the file; name: what a person calls it. -PH_E_CONFIG: what is wrong with it, and what to do. To be
 * freed in any case. */
int ph_cli_login_read(
	struct ph_cli_login *ret, struct ph_str text, const char *name, struct ph_err *err) PH_WARN_UNUSED;
void ph_cli_login_free(struct ph_cli_login *l); /* wipes */

/* ---- session.c: the configuration and the database of a short command ---- */
struct ph_embedded;

struct ph_cli_session {
	struct ph_config config;
	struct ph_embedded *embedded;   /* NULL: PostgreSQL is elsewhere */
	char *embedded_key;             /* base64; NULL where there is none */
	struct ph_err embedded_key_err; /* why there is none */
	struct ph_pgs *pg;
};

/* The configuration; then the embedded server where that is the database. What fails leaves nothing open. */
int ph_cli_session_load(struct ph_cli_session *s, const struct ph_cli *c,
	void (*warn)(void *arg, const char *text), void *arg, struct ph_err *err) PH_WARN_UNUSED;
int ph_cli_session_join(struct ph_cli_session *s, void (*progress)(void *arg, const char *line),
	struct ph_err *err) PH_WARN_UNUSED;
void ph_cli_session_close(struct ph_cli_session *s); /* may be repeated */
/* Adds what to do where the database cannot be reached, or the login has no right; its result is err's. */
int ph_cli_session_advise(struct ph_err *err);
/* A whole command: loads, joins, connects, insists on a schema that this binary can work with (an empty
 * embedded database gets one), runs, reports what failed, closes. Returns the exit status. */
int ph_cli_with_session(const struct ph_cli *c,
	int (*run)(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err),
	void *arg);
/* 0 for a schema that this binary can work with, else what to do. */
int ph_cli_refuse_schema(enum ph_schema_state state, int version, struct ph_err *err) PH_WARN_UNUSED;
/* The conninfo for migrate, snapshots and listings; `node`: for serve. "" means libpq's own variables. */
const char *ph_cli_session_dsn(const struct ph_cli_session *s, bool node);
const char *ph_cli_session_direct_dsn(const struct ph_cli_session *s, bool node);
int ph_cli_session_keys(
	const struct ph_cli_session *s, struct ph_master_keys *ret, struct ph_err *err) PH_WARN_UNUSED;

/* Bound to the row; key_id: of the key that sealed it. A master key that the database does not know is
 * refused. */
int ph_cli_session_seal(const struct ph_cli_session *s, const char *table, const char *row,
	struct ph_str plain, struct ph_buf *sealed, uint8_t key_id[8], struct ph_err *err) PH_WARN_UNUSED;
int ph_cli_session_unseal(const struct ph_cli_session *s, const char *table, const char *row,
	struct ph_str sealed, struct ph_buf *plain, struct ph_err *err) PH_WARN_UNUSED;

/* ---- fetch.c ---- */
/* POST; body is taken over, answer gets the body of the answer. The status, or why there is none. */
int ph_cli_post(const struct ph_config *config, const char *url, const char *type, struct ph_buf *body,
	struct ph_buf *answer, struct ph_err *err) PH_WARN_UNUSED;

/* ---- cli_store.c: the SQL of the command line ---- */
enum ph_cli_view {
	PH_CLI_ACCOUNTS,
	PH_CLI_API_KEYS,
};
/* Rows of a view as a JSON array in out; name NULL: all of them. */
int ph_cli_store_list(struct ph_pgs *pg, enum ph_cli_view view, const char *name, struct ph_buf *out,
	struct ph_err *err) PH_WARN_UNUSED;
int ph_cli_store_chain(struct ph_pgs *pg, const char *key, const char *response_id, struct ph_buf *out,
	struct ph_err *err) PH_WARN_UNUSED;

struct ph_cli_account {
	int64_t id;
	char name[160];
	const char *kind, *base_url, *token_url; /* the last two NULL: leave what there is */
	const struct ph_cli_login *login;        /* NULL: a key, or nothing */
	struct ph_str sealed, key_id;            /* empty: leave what there is */
	int64_t max_streams, weight, priority;   /* PH_CLI_LEAVE: leave what there is */
	int64_t max_used_percent;                /* likewise */
	const struct ph_str *models;
	size_t model_count; /* 0: leave what there is */
};
#define PH_CLI_LEAVE INT64_MIN
/* Sets id. Of a login it is the account that has it already, and sets name too; else the number-th of several
 * that bear this name: above 1 the first free one of NAME-number and on. */
int ph_cli_store_account_id(
	struct ph_pgs *pg, struct ph_cli_account *a, int number, struct ph_err *err) PH_WARN_UNUSED;
/* *updated: there was an account of that name. */
int ph_cli_store_put_account(
	struct ph_pgs *pg, const struct ph_cli_account *a, bool *updated, struct ph_err *err) PH_WARN_UNUSED;

/* cmd_account_add.c: seals the secret, where there is one, writes the account, whose id is settled, and
 * tells. wanted: the name that was asked for. */
int ph_cli_account_put(struct ph_cli_session *s, struct ph_cli_account a, struct ph_str secret,
	const char *wanted, struct ph_err *err) PH_WARN_UNUSED;

enum ph_cli_verb {
	PH_CLI_PAUSE,
	PH_CLI_RESUME,
	PH_CLI_DRAIN,
	PH_CLI_REMOVE,
	PH_CLI_DRAIN_NODE,
	PH_CLI_FORGET_NODE,
	PH_CLI_REVOKE,
};
/* Of a name that is known; it may be repeated. */
int ph_cli_store_verb(struct ph_pgs *pg, enum ph_cli_verb verb, const char *name, const char *reason,
	struct ph_err *err) PH_WARN_UNUSED;

struct ph_cli_key {
	const char *name, *prefix, *snapshots; /* snapshots NULL: the node's setting */
	uint8_t hash[32];
	int64_t expires_s; /* 0: never */
	const struct ph_str *models, *accounts;
	size_t model_count, account_count;
	struct ph_str limits; /* JSON */
};
int ph_cli_store_create_key(struct ph_pgs *pg, const struct ph_cli_key *k, struct ph_err *err) PH_WARN_UNUSED;
int ph_cli_store_set_limits(struct ph_pgs *pg, const char *name, struct ph_str limits, const char *reason,
	struct ph_err *err) PH_WARN_UNUSED;

/* Whether the database was used with another master key: then err names what is missing. Registers the first.
 */
int ph_cli_store_check_master_key(
	struct ph_pgs *pg, const struct ph_master_keys *keys, struct ph_err *err) PH_WARN_UNUSED;

/* The turn's own row, its lists unpacked. PH_E_RESPONSE_UNKNOWN where there is none. */
struct ph_cli_snapshot {
	char parent[256], account[160], model[256], status[32];
	int64_t created_ms;
	struct ph_buf input, output, envelope; /* JSON; the lists without their brackets */
};
int ph_cli_store_snapshot(struct ph_pgs *pg, const char *key, const char *response_id,
	struct ph_cli_snapshot *ret, struct ph_err *err) PH_WARN_UNUSED;
void ph_cli_snapshot_free(struct ph_cli_snapshot *s);

/* ---- address.c ---- */
/* "host:port" to the first address behind it; waits for the resolver. */
int ph_cli_address(const char *text, struct ph_addr *ret, struct ph_err *err) PH_WARN_UNUSED;
void ph_cli_reachable(struct ph_addr *addr); /* who listens everywhere is asked on loopback */

/* ---- limits.c: what a key may use, as flags say it ---- */
#define PH_CLI_LIMITS_HELP                                                                                   \
	"A limit is WHAT:SIZE/WINDOW: requests, tokens, input_tokens, output_tokens or cost, per minute, "   \
	"hour,\nday, week or month; or concurrent:SIZE.\n\n"                                                 \
	"  --limit requests:1000/day --limit tokens:1M/hour --limit cost:5usd/month --limit concurrent:4"
/* The flags as posthouse.put_key_limits() takes them; "{}" without any. To be freed in any case. */
int ph_cli_limits(const struct ph_cli *c, struct ph_buf *json, struct ph_err *err) PH_WARN_UNUSED;

/* ---- tls.c ---- */
struct ph_tls;
struct ph_tls_tickets;

/* 0 and both untouched where the listener has no TLS. The caller frees both. */
int ph_cli_tls(const struct ph_config *config, struct ph_tls **ret, struct ph_tls_tickets **ret_tickets,
	struct ph_err *err) PH_WARN_UNUSED;

/* ---- supervisor.c ---- */
struct ph_supervisor_options {
	int workers;
	uint64_t drain_ms;                 /* after which workers that should have ended are killed */
	struct ph_embedded *embedded;      /* revived when it dies; NULL: none */
	int (*run)(void *arg, int worker); /* in the child; its exit status */
	void *arg;
};
/* Forks the workers and waits until all have ended. Returns the exit status. In a child it does not return.
 */
int ph_supervise(const struct ph_supervisor_options *options);

/* ---- the commands ---- */
int ph_cmd_serve(const struct ph_cli *c);
int ph_cmd_migrate(const struct ph_cli *c);
int ph_cmd_account_add(const struct ph_cli *c);
int ph_cmd_account_login(const struct ph_cli *c);
int ph_cmd_account_list(const struct ph_cli *c);
int ph_cmd_account_show(const struct ph_cli *c);
int ph_cmd_account_pause(const struct ph_cli *c);
int ph_cmd_account_resume(const struct ph_cli *c);
int ph_cmd_account_drain(const struct ph_cli *c);
int ph_cmd_account_remove(const struct ph_cli *c);
int ph_cmd_node_list(const struct ph_cli *c);
int ph_cmd_node_drain(const struct ph_cli *c);
int ph_cmd_node_forget(const struct ph_cli *c);
int ph_cmd_requests(const struct ph_cli *c);
int ph_cmd_usage(const struct ph_cli *c);
int ph_cmd_settings_list(const struct ph_cli *c);
int ph_cmd_settings_set(const struct ph_cli *c);
int ph_cmd_audit(const struct ph_cli *c);
int ph_cmd_doctor(const struct ph_cli *c);
int ph_cmd_top(const struct ph_cli *c);
int ph_cmd_completion(const struct ph_cli *c);
int ph_cmd_manual(const struct ph_cli *c);
int ph_cmd_key_create(const struct ph_cli *c);
int ph_cmd_key_list(const struct ph_cli *c);
int ph_cmd_key_set(const struct ph_cli *c);
int ph_cmd_key_revoke(const struct ph_cli *c);
int ph_cmd_snapshot_show(const struct ph_cli *c);
int ph_cmd_snapshot_chain(const struct ph_cli *c);
int ph_cmd_check_config(const struct ph_cli *c);
int ph_cmd_healthcheck(const struct ph_cli *c);

#endif
