/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the embedded PostgreSQL share:
 *
 *     embedded.c         sharing and lifetime: locks, join, leave, revive
 *     embedded_dir.c     the data directory: who owns what in it, the socket's place, the master key
 *     embedded_server.c  the server: programs, initdb, start, stop
 *     embedded_child.c   child processes that run as the server's user
 */
#ifndef POSTHOUSE_PG_EMBEDDED_PRIV_H
#define POSTHOUSE_PG_EMBEDDED_PRIV_H

#include <sys/types.h>

#include "posthouse/embedded.h"

enum {
	EMBEDDED_PATH_MAX = 4096,
	EMBEDDED_PORT = 5432, /* names the socket, nothing listens on TCP */
	EMBEDDED_MAJOR_MIN = 14,
};

/* Where things are and whom the server runs as. Owner: struct ph_embedded. */
struct ph_embedded_place {
	char dir[EMBEDDED_PATH_MAX];    /* the data directory */
	char pg[EMBEDDED_PATH_MAX];     /* dir/pg: the cluster */
	char socket[EMBEDDED_PATH_MAX]; /* directory of the socket */
	uid_t uid;                      /* the server's user */
	gid_t gid;
	char user[64];
	void (*progress)(void *arg, const char *line); /* may be NULL */
	void *arg;
};

/* ---- embedded_dir.c ---- */
/* Fills dir, pg and the user, makes the data directory, and makes sure that the server's user can reach it.
 */
int ph_embedded_place_init(
	struct ph_embedded_place *p, const char *data_dir, struct ph_err *err) PH_WARN_UNUSED;
/* Fills socket. With keep, the place that it names already is made again, since others know it by that name.
 */
int ph_embedded_place_socket(struct ph_embedded_place *p, bool keep, struct ph_err *err) PH_WARN_UNUSED;
int ph_embedded_join_path(char *dst, const char *dir, const char *name, struct ph_err *err) PH_WARN_UNUSED;
void ph_embedded_tell(const struct ph_embedded_place *p, const char *line);

/* ---- embedded_child.c ---- */
/* Runs argv as the server's user, its output to the log. Returns the exit status, or negative. */
int ph_embedded_run(const struct ph_embedded_place *p, const char *const *argv);
/* The same, in a session of its own, without waiting. Returns its process id, or negative. */
pid_t ph_embedded_spawn(const struct ph_embedded_place *p, const char *const *argv);
/* fn(arg) as the server's user; returns what it returns (0 to 125), or negative. */
int ph_embedded_call(const struct ph_embedded_place *p, int (*fn)(void *arg), void *arg);
/* The first line that `program --version` prints, as whoever we are. */
int ph_embedded_version_line(const char *program, char *line, size_t size);
bool ph_embedded_alive(pid_t pid); /* and no zombie */

/* ---- embedded_server.c: callers hold start.lock ---- */
int ph_embedded_create(
	const struct ph_embedded_place *p, struct ph_err *err) PH_WARN_UNUSED; /* where there is none */
bool ph_embedded_running(const struct ph_embedded_place *p);
/* 1 = started, 0 = it ran, negative = it cannot. */
int ph_embedded_start(const struct ph_embedded_place *p, struct ph_err *err) PH_WARN_UNUSED;
void ph_embedded_stop(const struct ph_embedded_place *p);

#endif
