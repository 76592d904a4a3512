/* SPDX-License-Identifier: Apache-2.0 */
/* posthouse doctor: what its checks share. */
#ifndef POSTHOUSE_CLI_DOCTOR_H
#define POSTHOUSE_CLI_DOCTOR_H

#include <jansson.h>

#include "cli_priv.h"

#define PH_DOCTOR_ACCOUNTS_MAX 1000

struct ph_account;

struct ph_doctor {
	const struct ph_cli *c;
	struct ph_cli_session session; /* pg is NULL where the database is away */
	struct ph_master_keys keys;
	bool configured, keyed, schema;
	struct ph_account *accounts[PH_DOCTOR_ACCOUNTS_MAX]; /* whose secret opens, and that are not paused */
	size_t account_count;
	const char *check; /* that runs */
	json_t *rows;      /* check, status, detail, remedy */
	size_t warned, failed;
};

/* One line of the report. */
void ph_doctor_ok(struct ph_doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_doctor_warn(struct ph_doctor *d, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ph_doctor_fail(struct ph_doctor *d, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Of somebody else: a node's report, a view. */
void ph_doctor_row(
	struct ph_doctor *d, const char *check, const char *status, const char *detail, const char *remedy);

/* ---- doctor_place.c: configuration and listeners ---- */
void ph_doctor_configuration(struct ph_doctor *d);
void ph_doctor_certificate(struct ph_doctor *d);
void ph_doctor_master_key(struct ph_doctor *d);
void ph_doctor_listeners(struct ph_doctor *d);

/* ---- doctor_database.c ---- */
void ph_doctor_database(struct ph_doctor *d); /* connects */
void ph_doctor_schema(struct ph_doctor *d);
void ph_doctor_roles(struct ph_doctor *d);
void ph_doctor_walls(struct ph_doctor *d); /* row-level security */
void ph_doctor_pooler(struct ph_doctor *d);
void ph_doctor_clock(struct ph_doctor *d);
void ph_doctor_latency(struct ph_doctor *d);
void ph_doctor_connections(struct ph_doctor *d);
void ph_doctor_nodes(struct ph_doctor *d);
void ph_doctor_view(struct ph_doctor *d);

/* ---- doctor_account.c ---- */
void ph_doctor_secrets(struct ph_doctor *d); /* reads the accounts */
void ph_doctor_accounts(struct ph_doctor *d);
void ph_doctor_upstreams(struct ph_doctor *d);

/* ---- doctor_turn.c ---- */
void ph_doctor_turn(struct ph_doctor *d);

/* ---- doctor_store.c ---- */
struct ph_doctor_facts {
	char user[128];
	bool superuser, bypasses, owns; /* the role that is logged in */
	bool is_node;                   /* or a member of posthouse_node */
	char missing[160];              /* roles that are not there, by name */
	char statement_timeout[32];
	int64_t walls, walls_wanted; /* tables with forced row-level security */
	int64_t max_connections, used;
	int64_t nodes; /* that live */
};
int ph_doctor_store_facts(struct ph_pgs *pg, struct ph_doctor_facts *ret, struct ph_err *err) PH_WARN_UNUSED;
int ph_doctor_store_clock(struct ph_pgs *pg, int64_t *ret_us, struct ph_err *err) PH_WARN_UNUSED;
/* Rows of load_accounts(), or NULL. */
struct ph_pg_result *ph_doctor_store_accounts(struct ph_pgs *pg, struct ph_err *err);

#endif
