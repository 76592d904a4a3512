/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data directory of the embedded PostgreSQL:
 *
 *     master.key   seals upstream credentials; ours, 0600
 *     pg/          the cluster; the server's user's, 0700
 *     run/         its socket; likewise. Elsewhere if the path would be too long for a socket: then
 *     socket       names the directory
 *     pg.log       what the server says
 *     start.lock   use.lock    embedded.c
 *
 * As root the server runs as the user postgres, which must be able to pass through, and nothing more.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embedded_priv.h"
#include "posthouse/crypt.h"

enum {
	SOCKET_PATH_MAX = 100, /* of 107; the name that libpq builds ends in ".s.PGSQL.5432.lock" */
	KEY_TEXT_MAX = 1024,
};
#define SOCKET_NAME "/.s.PGSQL.5432"

static int fail_sys(struct ph_err *err, const char *what, const char *path)
{
	int sys = errno;

	ph_fail(err, PH_E_SYSTEM, "%s %s: %s", what, path, strerror(sys));
	if (err)
		err->sys = sys;
	return -PH_E_SYSTEM;
}

void ph_embedded_tell(const struct ph_embedded_place *p, const char *line)
{
	if (p->progress)
		p->progress(p->arg, line);
}

int ph_embedded_join_path(char *dst, const char *dir, const char *name, struct ph_err *err)
{
	int n = snprintf(dst, EMBEDDED_PATH_MAX, "%s/%s", dir, name);

	if (n < 0 || n >= EMBEDDED_PATH_MAX)
		return ph_fail(err, PH_E_CONFIG, "POSTHOUSE_DATA_DIR is too long: %.60s...", dir);
	return 0;
}

/* ---- directories ---- */

/* What is missing of the path. What root makes, others may pass through, whatever the umask says. */
static int make_parents(const char *path, struct ph_err *err)
{
	char part[EMBEDDED_PATH_MAX];

	ph_str_copy(part, sizeof(part), ph_str_c(path));
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) == 0 && geteuid() == 0)
			chmod(part, 0755);
		else if (errno != EEXIST)
			return fail_sys(err, "cannot make the directory", part);
		*slash = '/';
	}
	return 0;
}

static int make_data_dir(const char *dir, struct ph_err *err)
{
	mode_t mode = geteuid() == 0 ? 0711 : 0700;
	int rc = make_parents(dir, err);

	if (rc)
		return rc;
	if (mkdir(dir, mode) == 0)
		return chmod(dir, mode) == 0 ? 0 : fail_sys(err, "cannot change", dir);
	if (errno != EEXIST)
		return fail_sys(err, "cannot make the data directory", dir);
	if (access(dir, R_OK | W_OK | X_OK) != 0)
		return fail_sys(err, "cannot use the data directory (POSTHOUSE_DATA_DIR)", dir);
	return 0;
}

/* A path that starts at the root, since the server changes its directory. */
static int absolute(char *dst, const char *data_dir, struct ph_err *err)
{
	char cwd[EMBEDDED_PATH_MAX];
	size_t n;

	if (data_dir[0] == '/')
		cwd[0] = '\0';
	else if (!getcwd(cwd, sizeof(cwd)))
		return fail_sys(err, "cannot tell the current directory", ".");
	n = (size_t)snprintf(dst, EMBEDDED_PATH_MAX, "%s%s%s", cwd, cwd[0] ? "/" : "", data_dir);
	if (n >= EMBEDDED_PATH_MAX)
		return ph_fail(err, PH_E_CONFIG, "POSTHOUSE_DATA_DIR is too long: %.60s...", data_dir);
	while (n > 1 && dst[n - 1] == '/')
		dst[--n] = '\0';
	return 0;
}

/* ---- the server's user ---- */

static int find_user(struct ph_embedded_place *p, struct ph_err *err)
{
	const struct passwd *user;

	p->uid = geteuid();
	p->gid = getegid();
	if (p->uid != 0)
		return 0;
	user = getpwnam("postgres");
	if (!user)
		return ph_fail(err, PH_E_CONFIG,
			"PostgreSQL does not run as root, and there is no user postgres to run it as: "
			"install the "
			"package postgresql, start posthouse as an ordinary user, or set "
			"POSTHOUSE_DATABASE_URL");
	p->uid = user->pw_uid;
	p->gid = user->pw_gid;
	ph_str_copy(p->user, sizeof(p->user), ph_str_c(user->pw_name));
	return 0;
}

/* In a child, as the server's user: the number of the first directory of the path that is closed; 0 = none.
 */
static int first_closed(void *arg)
{
	char part[EMBEDDED_PATH_MAX];
	int depth = 1;

	ph_str_copy(part, sizeof(part), ph_str_c(arg));
	for (char *slash = strchr(part + 1, '/'); depth < 100; slash = strchr(slash + 1, '/'), depth++) {
		if (slash)
			*slash = '\0';
		if (access(part, X_OK) != 0)
			return depth;
		if (!slash)
			return 0;
		*slash = '/';
	}
	return 0;
}

static int check_reach(const struct ph_embedded_place *p, struct ph_err *err)
{
	char part[EMBEDDED_PATH_MAX];
	char *slash = part;
	int depth;

	if (p->uid == geteuid())
		return 0;
	ph_str_copy(part, sizeof(part), ph_str_c(p->dir));
	depth = ph_embedded_call(p, first_closed, part);
	if (depth <= 0)
		return 0; /* or the child failed: then starting the server says why */
	for (int i = 0; slash && i < depth; i++)
		slash = strchr(slash + 1, '/');
	if (slash)
		*slash = '\0';
	return ph_fail(err, PH_E_CONFIG,
		"the user %s, whom PostgreSQL runs as, cannot pass through %.120s: chmod o+x %.120s, or set "
		"POSTHOUSE_DATA_DIR to a directory elsewhere, as /var/lib/posthouse",
		p->user, part, part);
}

int ph_embedded_place_init(struct ph_embedded_place *p, const char *data_dir, struct ph_err *err)
{
	int rc = absolute(p->dir, data_dir, err);

	if (!rc)
		rc = ph_embedded_join_path(p->pg, p->dir, "pg", err);
	if (!rc)
		rc = find_user(p, err);
	if (!rc)
		rc = make_data_dir(p->dir, err);
	return rc ? rc : check_reach(p, err);
}

/* ---- the socket's directory ---- */

static bool fits(const char *dir)
{
	return strlen(dir) + sizeof(SOCKET_NAME) - 1 < SOCKET_PATH_MAX;
}

/* A directory, no link to one, the server's own, closed to others: nobody else can put a socket there. */
static bool is_private(const struct ph_embedded_place *p, const char *dir)
{
	struct stat st;

	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == p->uid && (st.st_mode & 077) == 0;
}

static int make_private(const struct ph_embedded_place *p, const char *dir, struct ph_err *err)
{
	if (is_private(p, dir))
		return 0;
	if (mkdir(dir, 0700) != 0)
		return fail_sys(err, "cannot make the socket's directory", dir);
	if (p->uid != geteuid() && chown(dir, p->uid, p->gid) != 0)
		return fail_sys(err, "cannot give away", dir);
	return 0;
}

static void read_line(const char *path, char *dst, size_t size)
{
	FILE *f = fopen(path, "re");

	dst[0] = '\0';
	if (!f)
		return;
	if (!fgets(dst, (int)size, f))
		dst[0] = '\0';
	dst[strcspn(dst, "\n")] = '\0';
	fclose(f);
}

/* Written beside and renamed: it is there as a whole or not at all. */
static int write_line(const char *path, const char *line, struct ph_err *err)
{
	char fresh[EMBEDDED_PATH_MAX + 8];
	FILE *f;
	int n;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	f = fopen(fresh, "we");
	if (!f)
		return fail_sys(err, "cannot write", fresh);
	n = fprintf(f, "%s\n", line);
	if (fclose(f) != 0 || n < 0 || rename(fresh, path) != 0)
		return fail_sys(err, "cannot write", path);
	return 0;
}

static int socket_elsewhere(struct ph_embedded_place *p, struct ph_err *err)
{
	const char *tmp = getenv("TMPDIR");
	char record[EMBEDDED_PATH_MAX];
	int rc = ph_embedded_join_path(record, p->dir, "socket", err);

	if (rc)
		return rc;
	read_line(record, p->socket, sizeof(p->socket));
	if (p->socket[0] && fits(p->socket) && is_private(p, p->socket))
		return 0;
	snprintf(p->socket, sizeof(p->socket), "%s/posthouse-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
	if (!fits(p->socket))
		snprintf(p->socket, sizeof(p->socket), "/tmp/posthouse-XXXXXX");
	if (!mkdtemp(p->socket))
		return fail_sys(err, "cannot make the socket's directory", p->socket);
	if (p->uid != geteuid() && chown(p->socket, p->uid, p->gid) != 0)
		return fail_sys(err, "cannot give away", p->socket);
	return write_line(record, p->socket, err);
}

int ph_embedded_place_socket(struct ph_embedded_place *p, bool keep, struct ph_err *err)
{
	int rc = keep ? 0 : ph_embedded_join_path(p->socket, p->dir, "run", err);

	if (rc)
		return rc;
	if (keep || fits(p->socket))
		return make_private(p, p->socket, err);
	return socket_elsewhere(p, err);
}

/* ---- the master key ---- */

static char *read_key(const char *path, struct ph_err *err)
{
	char text[KEY_TEXT_MAX];
	struct ph_str key;
	char *copy;

	read_line(path, text, sizeof(text));
	key = ph_str_trim(ph_str_c(text));
	if (key.n == 0) {
		ph_fail(err, PH_E_CONFIG, "the master key cannot be read: %s", path);
		return NULL;
	}
	copy = ph_alloc(key.n + 1);
	ph_str_copy(copy, key.n + 1, key);
	explicit_bzero(text, sizeof(text));
	return copy;
}

/* Linked into place when it is safe on disk: of several that make one at once, one wins, and all read that
 * one. */
static int make_key(const char *path, struct ph_err *err)
{
	char fresh[EMBEDDED_PATH_MAX + 16];
	uint8_t secret[32];
	struct ph_buf text;
	ssize_t wrote;
	int fd;

	snprintf(fresh, sizeof(fresh), "%s.XXXXXX", path);
	fd = mkostemp(fresh, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return fail_sys(err, "cannot write the master key", fresh);
	ph_rand(secret, sizeof(secret));
	ph_buf_init(&text, KEY_TEXT_MAX);
	ph_base64(&text, ph_str((const char *)secret, sizeof(secret)));
	ph_buf_putc(&text, '\n');
	wrote = write(fd, text.p, text.n);
	if (wrote == (ssize_t)text.n && fsync(fd) == 0 && (link(fresh, path) == 0 || errno == EEXIST))
		wrote = 0;
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text.p, text.n);
	ph_buf_deinit(&text);
	close(fd);
	unlink(fresh);
	return wrote == 0 ? 0 : fail_sys(err, "cannot write the master key", path);
}

char *ph_embedded_master_key(const char *data_dir, struct ph_err *err)
{
	char dir[EMBEDDED_PATH_MAX], path[EMBEDDED_PATH_MAX], pg[EMBEDDED_PATH_MAX];
	bool cluster;

	if (absolute(dir, data_dir, err) || make_data_dir(dir, err) ||
		ph_embedded_join_path(path, dir, "master.key", err) ||
		ph_embedded_join_path(pg, dir, "pg", err))
		return NULL;
	/* In this order: whoever made a cluster in between made the key before. */
	cluster = access(pg, F_OK) == 0;
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		if (cluster) {
			ph_fail(err, PH_E_CONFIG,
				"the master key is missing: %s. Put it back, or set POSTHOUSE_MASTER_KEY: "
				"without it the "
				"credentials in the database cannot be read",
				path);
			return NULL;
		}
		if (make_key(path, err))
			return NULL;
	}
	return read_key(path, err);
}
