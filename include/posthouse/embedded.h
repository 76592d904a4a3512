/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded PostgreSQL: a server of the data directory's own, on a UNIX socket only, run by whichever
 * processes use it. Each holds a shared lock; the last one out stops it. Blocking, before any fork or loop.
 */
#ifndef POSTHOUSE_EMBEDDED_H
#define POSTHOUSE_EMBEDDED_H

#include "posthouse/err.h"
#include "posthouse/str.h"

struct ph_embedded;

/* Creates the cluster once, starts the server if it does not run, takes a share in it. err says what to
 * install, chmod or upgrade. progress(arg, line) may be NULL. */
struct ph_embedded *ph_embedded_join(
	const char *data_dir, void (*progress)(void *arg, const char *line), void *arg, struct ph_err *err);
/* Conninfo of a superuser, for migrate and the command line; and of the role posthouse_node, for serve. */
const char *ph_embedded_dsn(const struct ph_embedded *e);
const char *ph_embedded_node_dsn(const struct ph_embedded *e);
/* Starts the server again if it has died. 1 = it had to, 0 = it ran, negative = it cannot. */
int ph_embedded_revive(struct ph_embedded *e, struct ph_err *err) PH_WARN_UNUSED;
/* Gives the share back; the last one stops the server (fast). Returns NULL. Not for a forked child. */
struct ph_embedded *ph_embedded_leave(struct ph_embedded *e);

/* The master key of the data dir: read, or made once (mode 0600) where there is none and no cluster either.
 * The result is a base64 text to be freed by the caller, or NULL with err. */
char *ph_embedded_master_key(const char *data_dir, struct ph_err *err);

#endif
