/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse doctor: one line per check, in the order in which one depends on another, each with what to do
 * about it. A check that cannot be made because an earlier one failed is left out: the earlier one says what
 * to do.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "doctor.h"
#include "posthouse/account.h"

enum {
	CONFIGURED = 1,
	CONNECTED = 2,
	MIGRATED = 4,
	KEYED = 8,
};

static const struct {
	const char *name;
	int needs;
	void (*run)(struct ph_doctor *d);
} checks[] = {
	{"configuration", 0, ph_doctor_configuration},
	{"certificate", CONFIGURED, ph_doctor_certificate},
	{"listener", CONFIGURED, ph_doctor_listeners},
	{"database", CONFIGURED, ph_doctor_database},
	{"master key", CONFIGURED, ph_doctor_master_key},
	{"schema", CONNECTED, ph_doctor_schema},
	{"roles", CONNECTED | MIGRATED, ph_doctor_roles},
	{"row security", CONNECTED | MIGRATED, ph_doctor_walls},
	{"notifications", CONNECTED, ph_doctor_pooler},
	{"clock", CONNECTED, ph_doctor_clock},
	{"latency", CONNECTED, ph_doctor_latency},
	{"connections", CONNECTED | MIGRATED, ph_doctor_connections},
	{"secrets", CONNECTED | MIGRATED | KEYED, ph_doctor_secrets},
	{"account", CONNECTED | MIGRATED, ph_doctor_accounts},
	{"upstream", CONNECTED | MIGRATED | KEYED, ph_doctor_upstreams},
	{"node", CONNECTED | MIGRATED, ph_doctor_nodes},
	{"database view", CONNECTED | MIGRATED, ph_doctor_view},
	{"turn", CONFIGURED, ph_doctor_turn},
};

/* ---- lines ---- */

static void print_row(const char *check, const char *status, const char *detail, const char *remedy)
{
	ph_cli_say("%-5s %-14s %s", status, check, detail);
	if (remedy)
		ph_cli_say("%-20s -> %s", "", remedy);
	fflush(stdout);
}

/* What others wrote must not reach a terminal with control characters in it; and it may have been cut inside
 * of a character. */
static void clean(char *dst, size_t size, const char *text)
{
	size_t n;

	ph_str_copy(dst, size, ph_str_c(text));
	for (n = 0; dst[n]; n++)
		if ((unsigned char)dst[n] < ' ' || dst[n] == 0x7f)
			dst[n] = ' ';
	while (n > 0 && !ph_utf8_valid(ph_str(dst, n)))
		dst[--n] = '\0';
}

void ph_doctor_row(
	struct ph_doctor *d, const char *check, const char *status, const char *detail, const char *remedy)
{
	char what[240], why[700], advice[700];

	clean(what, sizeof(what), check);
	clean(why, sizeof(why), detail);
	clean(advice, sizeof(advice), remedy ? remedy : "");
	d->failed += strcmp(status, "fail") == 0;
	d->warned += strcmp(status, "warn") == 0;
	json_array_append_new(d->rows, json_pack("{s:s, s:s, s:s, s:s?}", "check", what, "status", status,
					       "detail", why, "remedy", advice[0] ? advice : NULL));
	if (!ph_cli_has(d->c, "json"))
		print_row(what, status, why, advice[0] ? advice : NULL);
}

static void tell(struct ph_doctor *d, const char *status, const char *remedy, const char *fmt, va_list ap)
{
	char detail[700];

	vsnprintf(detail, sizeof(detail), fmt, ap);
	ph_doctor_row(d, d->check, status, detail, remedy);
}

void ph_doctor_ok(struct ph_doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(d, "ok", NULL, fmt, ap);
	va_end(ap);
}

void ph_doctor_warn(struct ph_doctor *d, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(d, "warn", remedy, fmt, ap);
	va_end(ap);
}

void ph_doctor_fail(struct ph_doctor *d, const char *remedy, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tell(d, "fail", remedy, fmt, ap);
	va_end(ap);
}

/* ---- the round ---- */

static int state(const struct ph_doctor *d)
{
	return (d->configured ? CONFIGURED : 0) | (d->session.pg ? CONNECTED : 0) |
	       (d->schema ? MIGRATED : 0) | (d->keyed ? KEYED : 0);
}

static void examine(struct ph_doctor *d)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if ((state(d) & checks[i].needs) != checks[i].needs)
			continue;
		d->check = checks[i].name;
		ph_cli_progress(NULL, checks[i].name);
		checks[i].run(d);
	}
}

static void report(const struct ph_doctor *d)
{
	size_t all = json_array_size(d->rows);
	char *text;

	if (ph_cli_has(d->c, "json")) {
		text = json_dumps(d->rows, JSON_INDENT(1));
		ph_cli_say("%s", text ? text : "[]");
		free(text);
		return;
	}
	ph_cli_say("%zu ok, %zu to look at, %zu failed", all - d->warned - d->failed, d->warned, d->failed);
}

static int check_options(const struct ph_cli *c, struct ph_err *err)
{
	if (ph_cli_has(c, "turn") == ph_cli_has(c, "key-file"))
		return 0;
	return ph_fail(err, PH_E_USAGE,
		"--turn and --key-file belong together: a turn needs a model and an API key, and costs "
		"tokens");
}

int ph_cmd_doctor(const struct ph_cli *c)
{
	struct ph_doctor *d;
	struct ph_err err = {0};
	int status;

	if (check_options(c, &err) < 0)
		return ph_cli_fail(&err);
	d = ph_alloc(sizeof(*d));
	d->c = c;
	d->rows = json_array();
	examine(d);
	report(d);
	status = d->failed > 0;
	for (size_t i = 0; i < d->account_count; i++)
		d->accounts[i] = ph_account_unref(d->accounts[i]);
	if (d->configured)
		ph_cli_session_close(&d->session);
	explicit_bzero(&d->keys, sizeof(d->keys));
	json_decref(d->rows);
	free(d);
	return status;
}
