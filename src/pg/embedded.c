/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sharing the embedded PostgreSQL. Two files are locked with flock():
 *
 *     start.lock   exclusive, for the moments in which somebody joins, revives or leaves
 *     use.lock     shared, for as long as somebody uses the server
 *
 * Whoever leaves gives its share back and then asks for all of use.lock: got, it was the last, and stops the
 * server. The kernel gives locks back when a process dies, however it dies. What is killed stops nothing, so
 * the server then runs on until somebody joins and leaves again.
 *
 * A lock belongs to the open file, which forked children share: the share lasts until the last of them has
 * ended. Workers die with their parent (PR_SET_PDEATHSIG), so that is soon; and the server, which is forked
 * here as well, has closed what it inherited before it runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "embedded_priv.h"
#include "posthouse/clock.h"
#include "posthouse/pg.h"

enum {
	LOCK_MS = 360 * 1000, /* longer than anything that is done under start.lock */
	LOCK_STEP_MS = 10,
	CONNECT_S = 30,
};

/* Owner: whoever joined. */
struct ph_embedded {
	struct ph_embedded_place place;
	pid_t pid;  /* who joined: a forked child has no share of its own */
	int use_fd; /* use.lock, shared */
	char *dsn;
	char *node_dsn;
};

/* ---- locks ---- */

static int open_lock(const struct ph_embedded_place *p, const char *name, struct ph_err *err)
{
	char path[EMBEDDED_PATH_MAX];
	int fd;

	if (ph_embedded_join_path(path, p->dir, name, err))
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		ph_fail(err, PH_E_SYSTEM, "cannot open %.200s: %s", path, strerror(errno));
	return fd;
}

/* start.lock; -1 with err. */
static int lock_start(const struct ph_embedded_place *p, struct ph_err *err)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};
	uint64_t until = ph_clock_ms() + LOCK_MS;
	int fd = open_lock(p, "start.lock", err);

	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (ph_clock_ms() >= until) {
			ph_fail(err, PH_E_TIMEOUT,
				"another process has been starting the embedded PostgreSQL in %.100s for %d "
				"s",
				p->dir, LOCK_MS / 1000);
			close(fd);
			return -1;
		}
		nanosleep(&step, NULL);
	}
	return fd;
}

static int take_share(struct ph_embedded *e, struct ph_err *err)
{
	e->use_fd = open_lock(&e->place, "use.lock", err);
	if (e->use_fd < 0)
		return -PH_E_SYSTEM;
	if (flock(e->use_fd, LOCK_SH | LOCK_NB) ==
		0) /* all of it is only taken under start.lock, which is ours now */
		return 0;
	return ph_fail(err, PH_E_SYSTEM, "cannot lock use.lock in %.200s: %s", e->place.dir, strerror(errno));
}

/* Nobody else has a share: asked with start.lock held, and after giving back one's own. */
static bool was_last(const struct ph_embedded_place *p)
{
	int fd = open_lock(p, "use.lock", NULL);
	bool last = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;

	if (fd >= 0)
		close(fd);
	return last;
}

/* ---- connecting ---- */

/* A conninfo in which the directory may hold spaces and quotes. */
static char *make_dsn(const struct ph_embedded_place *p, const char *user, const char *dbname)
{
	struct ph_buf b;
	char *text;

	ph_buf_init(&b, 2 * EMBEDDED_PATH_MAX);
	ph_buf_puts(&b, PH_STR("host='"));
	for (const char *c = p->socket; *c; c++) {
		if (*c == '\'' || *c == '\\')
			ph_buf_putc(&b, '\\');
		ph_buf_putc(&b, *c);
	}
	ph_buf_printf(&b, "' port=%d user=%s dbname=%s", EMBEDDED_PORT, user, dbname);
	text = ph_alloc(b.n + 1);
	ph_str_copy(text, b.n + 1, ph_buf_str(&b));
	ph_buf_deinit(&b);
	return text;
}

static int create_database(struct ph_pgs *s, struct ph_err *err)
{
	struct ph_pg_result *r =
		ph_pgs_query(s, "SELECT FROM pg_database WHERE datname = 'posthouse'", NULL, 0, err);
	int rows;

	if (!r)
		return -PH_E_DATABASE_ERROR;
	rows = ph_pg_rows(r);
	ph_pg_result_free(r);
	return rows ? 0 : ph_pgs_script(s, "CREATE DATABASE posthouse", err);
}

/* Also proves that the server answers. */
static int ensure_database(const struct ph_embedded_place *p, struct ph_err *err)
{
	char *dsn = make_dsn(p, "postgres", "postgres");
	struct ph_pgs *s = ph_pgs_open(dsn, CONNECT_S, err);
	int rc = s ? create_database(s, err) : -PH_E_DATABASE_AWAY;

	ph_pgs_close(s);
	free(dsn);
	return rc;
}

/* ---- joining, reviving, leaving ---- */

static int start_server(struct ph_embedded *e, struct ph_err *err)
{
	int rc = ph_embedded_place_socket(&e->place, false, err);

	if (!rc)
		rc = ph_embedded_create(&e->place, err);
	if (!rc)
		rc = ph_embedded_start(&e->place, err);
	return rc < 0 ? rc : ensure_database(&e->place, err);
}

static int join(struct ph_embedded *e, struct ph_err *err)
{
	int start_fd = lock_start(&e->place, err), rc;

	if (start_fd < 0)
		return -PH_E_SYSTEM;
	rc = take_share(e, err);
	if (!rc)
		rc = start_server(e, err);
	close(start_fd);
	return rc;
}

static struct ph_embedded *embedded_free(struct ph_embedded *e)
{
	free(e->dsn);
	free(e->node_dsn);
	free(e);
	return NULL;
}

struct ph_embedded *ph_embedded_join(
	const char *data_dir, void (*progress)(void *arg, const char *line), void *arg, struct ph_err *err)
{
	struct ph_embedded *e = ph_alloc(sizeof(*e));

	e->pid = getpid();
	e->use_fd = -1;
	e->place.progress = progress;
	e->place.arg = arg;
	if (ph_embedded_place_init(&e->place, data_dir, err))
		return embedded_free(e);
	if (join(e, err))
		return ph_embedded_leave(e);
	e->dsn = make_dsn(&e->place, "postgres", "posthouse");
	e->node_dsn = make_dsn(&e->place, "posthouse_node", "posthouse");
	return e;
}

const char *ph_embedded_dsn(const struct ph_embedded *e)
{
	return e->dsn;
}

const char *ph_embedded_node_dsn(const struct ph_embedded *e)
{
	return e->node_dsn;
}

/* Asked twice a second: without a lock as long as all is well. */
int ph_embedded_revive(struct ph_embedded *e, struct ph_err *err)
{
	int start_fd, rc;

	if (ph_embedded_running(&e->place))
		return 0;
	start_fd = lock_start(&e->place, err);
	if (start_fd < 0)
		return -PH_E_SYSTEM;
	rc = ph_embedded_place_socket(&e->place, true, err);
	if (!rc)
		rc = ph_embedded_start(&e->place, err);
	close(start_fd);
	return rc;
}

struct ph_embedded *ph_embedded_leave(struct ph_embedded *e)
{
	int start_fd;

	if (!e)
		return NULL;
	start_fd = lock_start(&e->place, NULL);
	if (e->use_fd >= 0)
		close(e->use_fd);
	if (start_fd >= 0) {
		if (e->pid == getpid() && was_last(&e->place))
			ph_embedded_stop(&e->place);
		close(start_fd);
	}
	return embedded_free(e);
}
