/* SPDX-License-Identifier: Apache-2.0 */
/* Brings the schema up to date, and tells whether it is. Blocking: for the command line and for starts. */
#ifndef POSTHOUSE_MIGRATE_H
#define POSTHOUSE_MIGRATE_H

#include "posthouse/pg.h"

enum ph_schema_state {
	PH_SCHEMA_EMPTY, /* there is none */
	PH_SCHEMA_OLDER, /* migrate has work */
	PH_SCHEMA_CURRENT,
	PH_SCHEMA_NEWER,    /* newer, nothing contracting: this binary can serve it */
	PH_SCHEMA_BREAKING, /* newer, and this binary cannot */
};

/* Refuses PostgreSQL older than 14 (err says so). */
int ph_schema_check(
	struct ph_pgs *s, enum ph_schema_state *ret, int *ret_version, struct ph_err *err) PH_WARN_UNUSED;
int ph_schema_latest(void); /* the number of the newest migration in this binary */

/* Takes pg_try_advisory_lock by polling, applies what is missing, replaces the functions. Any number of
 * callers at once apply each migration once. progress(arg, line) may be NULL. */
int ph_migrate(const char *direct_dsn, void (*progress)(void *arg, const char *line), void *arg,
	struct ph_err *err) PH_WARN_UNUSED;
/* Until the schema is current or newer, or timeout_s passed. A database that is away is waited for too. */
int ph_migrate_wait(const char *dsn, int timeout_s, struct ph_err *err) PH_WARN_UNUSED;

#endif
