/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse serve: everything that must be right before the first worker runs. What can only get better by
 * waiting (a database that is away, a schema that somebody is about to bring up) is logged and left to the
 * nodes, which stay unready; what a person has to repair ends the start with one line.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <sys/resource.h>

#include "posthouse/admin.h"
#include "posthouse/crypt.h"
#include "posthouse/embedded.h"
#include "posthouse/metrics.h"
#include "posthouse/server.h"
#include "posthouse/stream.h"

#include "cli_priv.h"

#define CONNECT_S 5

struct serve {
	struct ph_cli_session session;
	struct ph_master_keys keys;
	struct ph_addr listen, admin;
	struct ph_tls *tls; /* NULL: clients speak cleartext */
	struct ph_tls_tickets *tickets;
	struct ph_buf warnings; /* lines, until there is a log */
};

/* ---- configuration ---- */

static void keep_warning(void *arg, const char *text)
{
	struct ph_buf *lines = arg;

	ph_buf_printf(lines, "%s\n", text);
}

#define FIELD_TEXT 300

struct config_line {
	struct ph_field field[PH_CONFIG_SETTINGS_MAX];
	char text[PH_CONFIG_SETTINGS_MAX][FIELD_TEXT];
	size_t n;
};

static void add_field(void *arg, const char *variable, const char *value, const char *origin)
{
	struct config_line *line = arg;

	snprintf(line->text[line->n], FIELD_TEXT, "%s (%s)", value, origin);
	line->field[line->n] = PH_F_C(variable, line->text[line->n]);
	line->n++;
}

static void log_config(struct serve *s)
{
	struct config_line line = {.n = 0};
	struct ph_str rest = ph_buf_str(&s->warnings);

	ph_config_each(&s->session.config, add_field, &line);
	ph_log_fields(PH_LOG_INFO, "configuration", line.field, line.n);
	while (rest.n > 0) {
		struct ph_str warning = ph_str_split(&rest, '\n');

		ph_log(PH_LOG_WARN, "%.*s", PH_STR_ARG(warning));
	}
}

static int load(struct serve *s, const struct ph_cli *c, struct ph_err *err)
{
	int r = ph_cli_session_load(&s->session, c, keep_warning, &s->warnings, err);

	if (r == 0)
		r = ph_cli_tls(&s->session.config, &s->tls, &s->tickets, err);
	if (r == 0)
		ph_log_init(s->session.config.log_level, s->session.config.log_format,
			s->session.config.node_name);
	return r;
}

/* A stream is two descriptors and the default soft limit is 1024. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		ph_log(PH_LOG_WARN, "the limit of open files cannot be raised to %llu",
			(unsigned long long)limit.rlim_max);
}

/* ---- listeners ---- */

static int probe(const char *variable, const char *text, struct ph_addr *ret, struct ph_err *err)
{
	struct ph_err why = {0};
	int r = ph_cli_address(text, ret, err);

	if (r < 0)
		return r;
	r = ph_listener_probe(ret, &why);
	if (r == 0)
		r = ph_listener_claim(ret, &why);
	if (r < 0)
		return ph_fail(err, -r, "%.200s; choose another address in %s", why.detail, variable);
	return 0;
}

static int probe_both(struct serve *s, struct ph_err *err)
{
	char client[80], admin[80];

	if (probe("POSTHOUSE_LISTEN", s->session.config.listen, &s->listen, err) < 0 ||
		probe("POSTHOUSE_ADMIN_LISTEN", s->session.config.admin_listen, &s->admin, err) < 0)
		return -err->code;
	ph_addr_text(&s->listen, client, sizeof(client));
	ph_addr_text(&s->admin, admin, sizeof(admin));
	if (strcmp(client, admin) == 0)
		return ph_fail(err, PH_E_CONFIG,
			"POSTHOUSE_LISTEN and POSTHOUSE_ADMIN_LISTEN are both %s; give the second another "
			"port, for example 127.0.0.1:9090",
			client);
	return 0;
}

/* ---- database ---- */

static void log_progress(void *arg, const char *line)
{
	(void)arg;
	ph_log(PH_LOG_INFO, "%s", line);
}

/* The embedded database is nobody else's: its schema follows the binary. */
static int prepare_embedded(struct serve *s, struct ph_err *err)
{
	const char *dsn = ph_cli_session_dsn(&s->session, false);
	enum ph_schema_state state = PH_SCHEMA_EMPTY;
	struct ph_pgs *pg;
	int version = 0, r;

	ph_log(PH_LOG_WARN, "the database is the embedded PostgreSQL in %s: other machines cannot share it",
		s->session.config.data_dir);
	pg = ph_pgs_open(dsn, CONNECT_S, err);
	r = pg ? ph_schema_check(pg, &state, &version, err) : -err->code;
	if (r == 0 && state == PH_SCHEMA_BREAKING)
		r = ph_cli_refuse_schema(state, version, err);
	if (r == 0 && (state == PH_SCHEMA_EMPTY || state == PH_SCHEMA_OLDER))
		r = ph_migrate(dsn, log_progress, NULL, err);
	if (r == 0)
		r = ph_cli_store_check_master_key(pg, &s->keys, err);
	ph_pgs_close(pg);
	return r;
}

static int judge_schema(
	struct serve *s, struct ph_pgs *pg, enum ph_schema_state state, int version, struct ph_err *err)
{
	if (state == PH_SCHEMA_BREAKING)
		return ph_cli_refuse_schema(state, version, err);
	if (state == PH_SCHEMA_CURRENT || state == PH_SCHEMA_NEWER)
		return ph_cli_store_check_master_key(pg, &s->keys, err);
	if (ph_cli_refuse_schema(state, version, err) < 0)
		ph_log(PH_LOG_WARN, "unready until the schema is there: %s", err->detail);
	return 0;
}

/* Locks, shutdowns, a full server: waiting may cure them. Missing rights and missing objects it does not. */
static bool may_pass(const struct ph_err *err)
{
	return err->code == PH_E_DATABASE_AWAY ||
	       (err->code == PH_E_DATABASE_ERROR && strncmp(err->sqlstate, "42", 2) != 0);
}

/* What the database's absence prevents here, the nodes do when it is back. */
static int prepare_database(struct serve *s, struct ph_err *err)
{
	enum ph_schema_state state;
	struct ph_pgs *pg = ph_pgs_open(ph_cli_session_dsn(&s->session, true), CONNECT_S, err);
	int version, r = pg ? 0 : -err->code;

	if (pg) {
		r = ph_schema_check(pg, &state, &version, err);
		if (r == 0)
			r = judge_schema(s, pg, state, version, err);
		ph_pgs_close(pg);
	}
	if (r < 0 && may_pass(err)) {
		ph_log(PH_LOG_WARN, "the database is away, unready until it is back: %s", err->detail);
		r = 0;
	}
	return r;
}

static int prepare(struct serve *s, struct ph_err *err)
{
	int r = ph_cli_session_join(&s->session, log_progress, err);

	if (r == 0)
		r = ph_cli_session_keys(&s->session, &s->keys, err);
	if (r == 0)
		r = s->session.embedded ? prepare_embedded(s, err) : prepare_database(s, err);
	return r;
}

/* ---- workers ---- */

static int run_worker(void *arg, int worker)
{
	const struct serve *s = arg;
	const struct ph_config *c = &s->session.config;
	struct ph_node_options options = {
		.config = c,
		.keys = &s->keys,
		.dsn = ph_cli_session_dsn(&s->session, true),
		.direct_dsn = ph_cli_session_direct_dsn(&s->session, true),
		.listen = s->listen,
		.admin = s->admin,
		.tls = s->tls,
		.tickets = s->tickets,
		.worker = worker,
		.admin_handle = ph_admin_handle,
	};

	if (c->workers > 1)
		snprintf(options.name, sizeof(options.name), "%s/%d", c->node_name, worker);
	else
		snprintf(options.name, sizeof(options.name), "%s", c->node_name);
	ph_log_init(c->log_level, c->log_format, options.name);
	return ph_node_run(&options);
}

static int run(struct serve *s)
{
	const struct ph_supervisor_options options = {
		.workers = (int)s->session.config.workers,
		.drain_ms = s->session.config.drain_timeout_ms,
		.embedded = s->session.embedded,
		.run = run_worker,
		.arg = s,
	};

	ph_metrics_init(options.workers);
	return ph_supervise(&options);
}

int ph_cmd_serve(const struct ph_cli *c)
{
	struct serve s = {0};
	struct ph_err err = {0};
	int r, status;

	ph_buf_init(&s.warnings, 65536);
	r = load(&s, c, &err);
	if (r == 0) {
		log_config(&s);
		raise_descriptor_limit();
		r = probe_both(&s, &err); /* before a cluster is made for a node that cannot listen */
	}
	if (r == 0)
		r = prepare(&s, &err);
	status = r == 0 ? run(&s) : ph_cli_fail(&err);
	ph_cli_session_close(&s.session);
	explicit_bzero(&s.keys, sizeof(s.keys));
	s.tls = ph_tls_free(s.tls);
	s.tickets = ph_tls_tickets_free(s.tickets);
	ph_buf_deinit(&s.warnings);
	return status;
}
