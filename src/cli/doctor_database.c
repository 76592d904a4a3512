/* SPDX-License-Identifier: Apache-2.0 */
/* The database: whether it is there, new enough, ours, and reached without what breaks a node. */
#include <stdio.h>

#include "doctor.h"
#include "posthouse/clock.h"
#include "posthouse/pg.h"
#include "table.h"
#include "view.h"

#define CONNECT_S        5
#define HEAR_MS          1000
#define CLOCK_WARN_US    1000000
#define SLOW_US          20000
#define CLOCK_TRIES      3
#define NODE_CONNECTIONS 4 /* two that read, one that writes, one that listens */
#define ADVISED_VERSION  150000

void ph_doctor_database(struct ph_doctor *d)
{
	struct ph_err err = {0};
	int version;

	d->configured = ph_cli_session_join(&d->session, ph_cli_progress, &err) == 0; /* else it is closed */
	if (d->configured)
		d->session.pg = ph_pgs_open(ph_cli_session_dsn(&d->session, false), CONNECT_S, &err);
	if (d->session.pg == NULL) {
		ph_doctor_fail(d, "see that PostgreSQL runs and that POSTHOUSE_DATABASE_URL is right", "%s",
			err.detail);
		return;
	}
	version = ph_pgs_server_version(d->session.pg);
	if (version < ADVISED_VERSION)
		ph_doctor_warn(d, "plan an upgrade of the server to 15 or later", "PostgreSQL %d.%d",
			version / 10000, version % 10000);
	else
		ph_doctor_ok(d, "PostgreSQL %d.%d", version / 10000, version % 10000);
}

void ph_doctor_schema(struct ph_doctor *d)
{
	enum ph_schema_state state;
	struct ph_err err = {0};
	int version, r = ph_schema_check(d->session.pg, &state, &version, &err);

	if (r == 0)
		r = ph_cli_refuse_schema(state, version, &err);
	if (r < 0) {
		ph_doctor_fail(d,
			state == PH_SCHEMA_BREAKING ? "upgrade posthouse" : "run `posthouse migrate`", "%s",
			err.detail);
		return;
	}
	d->schema = true;
	if (state == PH_SCHEMA_NEWER)
		ph_doctor_warn(d, "upgrade posthouse when the others have been",
			"%d, newer than this program's %d", version, ph_schema_latest());
	else
		ph_doctor_ok(d, "up to date (%d)", version);
}

/* False, and said so: the database does not answer. */
static bool ask_facts(struct ph_doctor *d, struct ph_doctor_facts *f)
{
	struct ph_err err = {0};

	if (ph_doctor_store_facts(d->session.pg, f, &err) == 0)
		return true;
	ph_doctor_fail(
		d, "log in as posthouse_node, posthouse_operator or the schema's owner", "%s", err.detail);
	return false;
}

void ph_doctor_roles(struct ph_doctor *d)
{
	struct ph_doctor_facts f;

	if (!ask_facts(d, &f))
		return;
	if (f.missing[0])
		ph_doctor_warn(d, "let a role with CREATEROLE run `posthouse migrate` once", "there is no %s",
			f.missing);
	if (strcmp(f.user, "posthouse_node") == 0 && strcmp(f.statement_timeout, "0") == 0)
		ph_doctor_warn(d, "let a superuser run `posthouse migrate` once",
			"posthouse_node has none of its settings: a statement may hang for ever");
	ph_doctor_ok(d, "logged in as %s", f.user);
}

void ph_doctor_walls(struct ph_doctor *d)
{
	struct ph_doctor_facts f;

	if (!ask_facts(d, &f))
		return;
	if (f.walls < f.walls_wanted || f.walls_wanted == 0)
		ph_doctor_fail(d, "run `posthouse migrate`; see who changed the tables of schema posthouse",
			"only %lld of %lld tables with content are behind row-level security",
			(long long)f.walls, (long long)f.walls_wanted);
	else if ((f.superuser || f.bypasses) && d->session.embedded)
		ph_doctor_ok(d, "in force; nodes of the embedded database are bound by it");
	else if (f.superuser || f.bypasses)
		ph_doctor_warn(d, "let nodes log in as posthouse_node: name it in POSTHOUSE_DATABASE_URL",
			"%s passes by row-level security", f.user);
	else
		ph_doctor_ok(d, "in force for %s", f.user);
}

void ph_doctor_pooler(struct ph_doctor *d)
{
	const char *dsn = ph_cli_session_direct_dsn(&d->session, false);
	struct ph_err err = {0};
	struct ph_pgs *listener = ph_pgs_open(dsn, CONNECT_S, &err), *other = NULL;
	int r = -1;

	if (listener)
		other = ph_pgs_open(dsn, CONNECT_S, &err);
	if (other)
		r = ph_pgs_hears(listener, other, HEAR_MS, &err);
	ph_pgs_close(listener);
	ph_pgs_close(other);
	if (r > 0)
		ph_doctor_ok(d, "notifications arrive");
	else if (r == 0)
		ph_doctor_fail(d,
			"set POSTHOUSE_DATABASE_DIRECT_URL to the database's own address, without the pooler",
			"LISTEN is answered, but no notification arrives: a pooler that lends connections "
			"per "
			"transaction stands in between");
	else
		ph_doctor_fail(d, "see that POSTHOUSE_DATABASE_DIRECT_URL is right", "%s", err.detail);
}

/* The try with the shortest way there and back counts. False, and said so: the database does not answer. */
static bool ask_clock(struct ph_doctor *d, int64_t *ret_offset_us, int64_t *ret_way_us)
{
	struct ph_err err = {0};
	int64_t there_us;

	*ret_way_us = INT64_MAX;
	for (int i = 0; i < CLOCK_TRIES; i++) {
		uint64_t began_ns = ph_clock_ns(), here_ms = ph_clock_unix_ms();
		int64_t took_us;

		if (ph_doctor_store_clock(d->session.pg, &there_us, &err) < 0) {
			ph_doctor_fail(d, "see the database's log", "%s", err.detail);
			return false;
		}
		took_us = (int64_t)(ph_clock_ns() - began_ns) / 1000;
		if (took_us < *ret_way_us) {
			*ret_way_us = took_us;
			*ret_offset_us = there_us - (int64_t)here_ms * 1000 - took_us / 2;
		}
	}
	return true;
}

void ph_doctor_clock(struct ph_doctor *d)
{
	int64_t offset_us, way_us;

	if (!ask_clock(d, &offset_us, &way_us))
		return;
	if (offset_us > CLOCK_WARN_US || offset_us < -CLOCK_WARN_US)
		ph_doctor_warn(d, "let both machines follow a time server (NTP)",
			"the database's clock is %.1f s %s this machine's", (double)llabs(offset_us) / 1e6,
			offset_us > 0 ? "ahead of" : "behind");
	else
		ph_doctor_ok(d, "%.0f ms from this machine's", (double)offset_us / 1000);
}

/* A turn waits for two to four answers of the database. */
void ph_doctor_latency(struct ph_doctor *d)
{
	int64_t offset_us, way_us;

	if (!ask_clock(d, &offset_us, &way_us))
		return;
	if (way_us > SLOW_US)
		ph_doctor_warn(d,
			"see what the server is busy with (pg_stat_activity), and what lies between",
			"the database takes %.0f ms to answer the shortest question", (double)way_us / 1000);
	else
		ph_doctor_ok(d, "the database answers in %.1f ms", (double)way_us / 1000);
}

void ph_doctor_connections(struct ph_doctor *d)
{
	struct ph_doctor_facts f;
	int64_t wanted;

	if (!ask_facts(d, &f))
		return;
	wanted = f.nodes * NODE_CONNECTIONS;
	if (f.used + NODE_CONNECTIONS > f.max_connections)
		ph_doctor_fail(d, "raise max_connections, or end other clients of the server",
			"%lld of %lld connections are taken: another node finds no room", (long long)f.used,
			(long long)f.max_connections);
	else if (wanted * 10 > f.max_connections * 8)
		ph_doctor_warn(d, "raise max_connections before more nodes come",
			"%lld nodes take %lld of %lld connections", (long long)f.nodes, (long long)wanted,
			(long long)f.max_connections);
	else
		ph_doctor_ok(d, "%lld of %lld taken; a node takes %d", (long long)f.used,
			(long long)f.max_connections, NODE_CONNECTIONS);
}

/* ---- what nodes and the database say themselves ---- */

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static json_t *read_view(struct ph_doctor *d, enum ph_view view)
{
	struct ph_err err = {0};
	struct ph_buf text;
	json_t *rows = NULL;

	if (ph_view_read(d->session.pg, view, NULL, 0, &text, &err) == 0)
		rows = ph_cli_parse_rows(ph_buf_str(&text), &err);
	ph_buf_deinit(&text);
	if (rows == NULL)
		ph_doctor_fail(d, "log in as posthouse_node, posthouse_operator or posthouse_viewer", "%s",
			err.detail);
	return rows;
}

/* True: there is something not well in it. */
static bool tell_report(struct ph_doctor *d, const char *node, const json_t *report)
{
	const json_t *row;
	bool ill = false;
	size_t i;

	json_array_foreach((json_t *)report, i, row)
	{
		char check[200];

		if (strcmp(text_of(row, "status"), "ok") == 0)
			continue;
		snprintf(check, sizeof(check), "node %.100s: %.60s", node, text_of(row, "check"));
		ph_doctor_row(
			d, check, text_of(row, "status"), text_of(row, "detail"), text_of(row, "remedy"));
		ill = true;
	}
	return ill;
}

static bool judge_node(struct ph_doctor *d, const json_t *row)
{
	const char *name = text_of(row, "name"), *state = text_of(row, "state");

	if (strcmp(state, "silent") == 0) {
		ph_doctor_warn(d, "see its log; `posthouse node forget` frees its slots if it is dead",
			"%.100s has not been heard of", name);
		return false;
	}
	if (strcmp(state, "draining") == 0)
		ph_doctor_warn(d, "start it again when the work on it is done", "%.100s is draining", name);
	else if (!tell_report(d, name, json_object_get(row, "report")))
		ph_doctor_ok(d, "%.100s lives, version %.40s", name, text_of(row, "version"));
	return true;
}

void ph_doctor_nodes(struct ph_doctor *d)
{
	json_t *rows = read_view(d, PH_VIEW_NODES), *row;
	size_t i, alive = 0;

	if (rows == NULL)
		return;
	json_array_foreach(rows, i, row) alive += judge_node(d, row);
	if (alive == 0)
		ph_doctor_warn(d, "start one with `posthouse serve`", "no node is alive");
	json_decref(rows);
}

/* What was looked at already, more closely than SQL can. */
static bool is_covered(const char *check)
{
	static const char *const covered[] = {
		"schema", "row-level security", "connections", "nodes", "accounts", "secrets"};

	for (size_t i = 0; i < sizeof(covered) / sizeof(covered[0]); i++)
		if (strcmp(check, covered[i]) == 0)
			return true;
	return strncmp(check, "node ", 5) == 0;
}

void ph_doctor_view(struct ph_doctor *d)
{
	json_t *rows, *row;
	size_t i;

	if (!ph_view_exists(d->session.pg, "posthouse_admin.doctor"))
		return;
	rows = read_view(d, PH_VIEW_DOCTOR);
	json_array_foreach(rows, i, row)
	{
		if (!is_covered(text_of(row, "check")))
			ph_doctor_row(d, text_of(row, "check"), text_of(row, "status"),
				text_of(row, "detail"), text_of(row, "remedy"));
	}
	json_decref(rows);
}
