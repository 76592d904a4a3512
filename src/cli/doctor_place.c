/* SPDX-License-Identifier: Apache-2.0 */
/* What can be known without a database: the configuration, the keys, and what answers where a node listens.
 */
#include <stdio.h>

#include "ask.h"
#include "doctor.h"
#include "posthouse/clock.h"

#define LISTEN_MS 3000
#define SOON_S    (14 * 86400)

static void on_warning(void *arg, const char *text)
{
	ph_doctor_warn(arg, "correct its name, or take it away", "%s", text);
}

void ph_doctor_configuration(struct ph_doctor *d)
{
	struct ph_err err = {0};

	if (ph_cli_session_load(&d->session, d->c, on_warning, d, &err) < 0) {
		ph_doctor_fail(d, "`posthouse check-config` shows every setting", "%s", err.detail);
		return;
	}
	d->configured = true;
	if (d->session.config.database_url == NULL)
		ph_doctor_ok(d,
			"the database is the embedded PostgreSQL in %.200s; other machines cannot share it",
			d->session.config.data_dir);
	else
		ph_doctor_ok(d, "complete, node name %.100s", d->session.config.node_name);
}

void ph_doctor_certificate(struct ph_doctor *d)
{
	static const char renew[] = "renew it and send the node SIGHUP";
	struct ph_tls_tickets *tickets = NULL;
	struct ph_tls *tls = NULL;
	struct ph_err err = {0};
	int64_t left_s;

	if (ph_cli_tls(&d->session.config, &tls, &tickets, &err) < 0) {
		ph_doctor_fail(d, "give it a pair of files that belong together, then send the node SIGHUP",
			"%s", err.detail);
		return;
	}
	if (tls == NULL)
		return;
	left_s = ph_tls_server_valid_until(tls) - (int64_t)(ph_clock_unix_ms() / 1000);
	if (left_s < 0)
		ph_doctor_fail(d, renew, "the listener's certificate has expired");
	else if (left_s < SOON_S)
		ph_doctor_warn(d, renew, "the listener's certificate expires in %lld hours",
			(long long)(left_s / 3600));
	else
		ph_doctor_ok(
			d, "the listener's certificate is valid for %lld days", (long long)(left_s / 86400));
	ph_tls_free(tls);
	ph_tls_tickets_free(tickets);
}

void ph_doctor_master_key(struct ph_doctor *d)
{
	struct ph_err err = {0};
	char id[17];

	if (ph_cli_session_keys(&d->session, &d->keys, &err) < 0) {
		ph_doctor_fail(d, "set POSTHOUSE_MASTER_KEY to the key that the accounts were added with",
			"%s", err.detail);
		return;
	}
	d->keyed = true;
	ph_hex(id, d->keys.id[0], sizeof(d->keys.id[0]));
	ph_doctor_ok(d, "set, id %s", id);
}

/* ---- listeners ---- */

static void judge_admin(struct ph_doctor *d, const struct ph_ask *a)
{
	struct ph_str text = ph_str_trim(ph_buf_str(&a->answer));
	const char *listen = d->session.config.admin_listen;

	if (a->status == 0)
		ph_doctor_warn(d,
			"start a node here with `posthouse serve`, or run the doctor where one runs",
			"no node answers at %.80s (%.120s)", listen, a->why);
	else if (a->status == 200 && ph_str_eq(text, PH_STR("ok")))
		ph_doctor_ok(d, "the node at %.80s is ready", listen);
	else if (a->status == 503 && ph_str_starts(text, PH_STR("draining")))
		ph_doctor_warn(d, "start it again when the work on it is done",
			"the node at %.80s is draining", listen);
	else if (a->status == 503)
		ph_doctor_fail(d, "see to what it waits for; its log has more",
			"the node at %.80s is not ready: %.*s", listen, (int)(text.n < 160 ? text.n : 160),
			text.p);
	else
		ph_doctor_fail(d, "stop that program, or choose another POSTHOUSE_ADMIN_LISTEN",
			"what answers at %.80s is no node of posthouse (status %d)", listen, a->status);
}

static void judge_client(struct ph_doctor *d, const struct ph_ask *a)
{
	const char *listen = d->session.config.listen;

	if (a->status == 0)
		ph_doctor_warn(d,
			"start a node here with `posthouse serve`, or run the doctor where one runs",
			"nothing answers clients at %.80s (%.120s)", listen, a->why);
	else if (a->ours || ph_str_find(ph_buf_str(&a->answer), PH_STR("This port speaks TLS")) >= 0)
		ph_doctor_ok(d, "clients are answered at %.80s%s", listen, a->ours ? "" : ", over TLS");
	else
		ph_doctor_fail(d, "stop that program, or choose another POSTHOUSE_LISTEN",
			"what answers at %.80s is no node of posthouse (status %d)", listen, a->status);
}

void ph_doctor_listeners(struct ph_doctor *d)
{
	const struct ph_config *c = &d->session.config;
	struct ph_ask list[2];
	struct ph_err err = {0};

	ph_ask_init(&list[0], "GET", "/v1/models");
	ph_ask_init(&list[1], "GET", "/readyz");
	if (ph_ask_listener(&list[0], c->listen, &err) < 0 ||
		ph_ask_listener(&list[1], c->admin_listen, &err) < 0 ||
		ph_asks_run(list, 2, c, LISTEN_MS, &err) < 0) {
		ph_doctor_fail(d, "correct POSTHOUSE_LISTEN and POSTHOUSE_ADMIN_LISTEN", "%s", err.detail);
	} else {
		judge_client(d, &list[0]);
		judge_admin(d, &list[1]);
	}
	ph_ask_free(&list[0]);
	ph_ask_free(&list[1]);
}
