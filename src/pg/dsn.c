/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conninfo, read by libpq and then taken apart: options on one side, hosts on the other, because host names
 * must be looked up off the loop (PQconnectStart() and PQconnectPoll() call getaddrinfo) and given back as
 * hostaddr beside host, one entry per address. Nothing here opens a connection but ph_pg_dsn_connect().
 *
 * Messages about a conninfo never quote it: what libpq could not read may be a piece of a password.
 */
#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "pg_priv.h"

#define SHAPE                                                                                                \
	"write it as postgresql://user:password@host:5432/database, special characters as %%40, or as "      \
	"host=... dbname=..."

/* ---- reading ---- */

/* What we say unless the conninfo does. A dead peer is known after 3 + 3 * 2 s, unsent bytes after 5 s. */
static const struct ph_pg_setting defaults[] = {
	{(char *)"keepalives_idle", (char *)"3"},
	{(char *)"keepalives_interval", (char *)"2"},
	{(char *)"keepalives_count", (char *)"3"},
	{(char *)"tcp_user_timeout", (char *)"5000"},
};
#define DEFAULT_NR (sizeof(defaults) / sizeof(defaults[0]))

static void drop_notice(void *arg, const PGresult *r)
{
	(void)arg;
	(void)r;
}

/*
 * Everything libpq would use: conninfo or URI, environment, service file, defaults. PQconninfoParse() knows
 * only the first of these and PQconndefaults() no service that the conninfo names, so libpq starts a
 * connection that cannot begin (that gssencmode does not exist) and is asked what it understood.
 */
static PQconninfoOption *read_all(const char *text)
{
	const char *keywords[] = {"dbname", "gssencmode", NULL};
	const char *values[] = {text, "?", NULL};
	PGconn *pq = PQconnectStartParams(keywords, values, 1);
	PQconninfoOption *all;

	if (!pq)
		ph_die("out of memory");
	PQsetNoticeReceiver(pq, drop_notice, NULL);
	all = PQconninfo(pq);
	PQfinish(pq);
	if (!all)
		ph_die("out of memory");
	return all;
}

static const char *option_of(const PQconninfoOption *all, const char *keyword)
{
	for (const PQconninfoOption *o = all; o->keyword; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val ? o->val : "";
	return "";
}

static void set(struct ph_pg_dsn *d, const char *keyword, const char *value)
{
	for (int i = 0; i < d->option_count; i++) {
		if (strcmp(d->options[i].keyword, keyword) != 0)
			continue;
		free(d->options[i].value);
		d->options[i].value = ph_strdup(value);
		return;
	}
	d->options = ph_realloc(d->options, ((size_t)d->option_count + 1) * sizeof(*d->options));
	d->options[d->option_count++] = (struct ph_pg_setting){ph_strdup(keyword), ph_strdup(value)};
}

static bool is_ours(const char *keyword)
{
	/* The places hold three of them, read_all() has followed the service, and no timeout of libpq's works
	 * here. */
	static const char *const ours[] = {
		"host", "hostaddr", "port", "service", "servicefile", "connect_timeout"};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strcmp(keyword, ours[i]) == 0)
			return true;
	return false;
}

/* Unless asked for, libpq must not look for Kerberos credentials on each connect. read_all() has hidden what
 * it found. */
static void take_gssencmode(struct ph_pg_dsn *d, const PQconninfoOption *given)
{
	const char *value = option_of(given, "gssencmode");

	if (!*value)
		value = getenv("PGGSSENCMODE");
	set(d, "gssencmode", value && *value ? value : "disable");
}

static void take_options(struct ph_pg_dsn *d, const PQconninfoOption *all, const char *application)
{
	for (const PQconninfoOption *o = all; o->keyword; o++)
		if (o->val && *o->val && !is_ours(o->keyword))
			set(d, o->keyword, o->val);
	for (size_t i = 0; i < DEFAULT_NR; i++)
		if (!*option_of(all, defaults[i].keyword))
			set(d, defaults[i].keyword, defaults[i].value);
	set(d, "client_encoding", "UTF8");
	if (application)
		set(d, "application_name", application);
}

static bool good_port(struct ph_str port)
{
	uint64_t n;

	return port.n == 0 || (ph_str_u64(port, 65535, &n) && n > 0);
}

static int count_items(const char *list)
{
	int n = 1;

	for (; *list; list++)
		n += *list == ',';
	return n;
}

static char *dup(struct ph_str s)
{
	char *c = ph_alloc(s.n + 1);

	ph_str_copy(c, s.n + 1, s);
	return c;
}

static struct ph_str next_item(struct ph_str *list)
{
	return ph_str_trim(ph_str_split(list, ','));
}

/* Three lists of the same length, hostaddr and port perhaps absent or (port) of one item for all. */
static int take_places(struct ph_pg_dsn *d, const PQconninfoOption *all, struct ph_err *err)
{
	struct ph_str host = ph_str_c(option_of(all, "host"));
	struct ph_str addr = ph_str_c(option_of(all, "hostaddr"));
	struct ph_str port = ph_str_c(option_of(all, "port"));
	int count = count_items(addr.n ? addr.p : host.p);
	bool one_port = count_items(port.p) == 1;
	struct ph_str all_port = ph_str_trim(port);

	if (count > PG_HOSTS_MAX)
		return ph_fail(
			err, PH_E_CONFIG, "the database URL names %d hosts: at most %d", count, PG_HOSTS_MAX);
	if ((addr.n && host.n && count_items(host.p) != count) || (!one_port && count_items(port.p) != count))
		return ph_fail(
			err, PH_E_CONFIG, "the database URL's lists of hosts and ports differ in length");
	for (int i = 0; i < count; i++) {
		struct ph_str h = next_item(&host);
		struct ph_str a = next_item(&addr);
		struct ph_str p = one_port ? all_port : next_item(&port);

		if (!good_port(p) || (h.n && *h.p != '@' && memchr(h.p, '@', h.n)))
			return ph_fail(
				err, PH_E_CONFIG, "the database URL's host or port is not valid: " SHAPE);
		d->place[d->place_count++] = (struct ph_pg_place){dup(h), dup(a), dup(p)};
	}
	return 0;
}

/* A node writes. With several hosts, "any" would mean that it may settle on a standby. */
static void take_attrs(struct ph_pg_dsn *d, const PQconninfoOption *all)
{
	const char *attrs = option_of(all, "target_session_attrs");

	if (d->place_count > 1 && (!*attrs || strcmp(attrs, "any") == 0)) {
		attrs = "read-write";
		set(d, "target_session_attrs", attrs);
	}
	d->want_writable = strcmp(attrs, "read-write") == 0;
	d->want_primary = d->want_writable || strcmp(attrs, "primary") == 0;
}

struct ph_pg_dsn *ph_pg_dsn_new(const char *text, const char *application, struct ph_err *err)
{
	PQconninfoOption *given = PQconninfoParse(text, NULL);
	PQconninfoOption *all;
	struct ph_pg_dsn *d;
	int rc;

	if (!given) {
		ph_fail(err, PH_E_CONFIG, "the database URL cannot be read: " SHAPE);
		return NULL;
	}
	all = read_all(text);
	d = ph_alloc(sizeof(*d));
	ph_list_init(&d->conns);
	take_options(d, all, application);
	take_gssencmode(d, given);
	rc = take_places(d, all, err);
	take_attrs(d, all);
	PQconninfoFree(all);
	PQconninfoFree(given);
	return rc ? ph_pg_dsn_free(d) : d;
}

static void place_deinit(struct ph_pg_place *p)
{
	free(p->host);
	free(p->addr);
	free(p->port);
	*p = (struct ph_pg_place){NULL, NULL, NULL};
}

struct ph_pg_dsn *ph_pg_dsn_free(struct ph_pg_dsn *d)
{
	if (!d)
		return NULL;
	for (int i = 0; i < d->option_count; i++) {
		free(d->options[i].keyword);
		free(d->options[i].value);
	}
	free(d->options);
	for (int i = 0; i < d->place_count; i++)
		place_deinit(&d->place[i]);
	free(d);
	return NULL;
}

/* ---- connecting ---- */

static void list_append(struct ph_buf *b, const char *item, bool first)
{
	if (!first)
		ph_buf_putc(b, ',');
	ph_buf_puts(b, ph_str_c(item));
}

PGconn *ph_pg_dsn_connect(
	const struct ph_pg_dsn *d, const struct ph_pg_place *place, int count, unsigned first)
{
	size_t n = (size_t)d->option_count;
	const char **keywords = ph_alloc((n + 4) * sizeof(*keywords));
	const char **values = ph_alloc((n + 4) * sizeof(*values));
	struct ph_buf list[3];
	PGconn *pq;

	for (size_t i = 0; i < n; i++) {
		keywords[i] = d->options[i].keyword;
		values[i] = d->options[i].value;
	}
	for (int k = 0; k < 3; k++)
		ph_buf_init(&list[k], 1 << 20);
	for (int i = 0; i < count; i++) {
		const struct ph_pg_place *p = &place[((unsigned)i + first) % (unsigned)count];

		list_append(&list[0], p->host, i == 0);
		list_append(&list[1], p->addr, i == 0);
		list_append(&list[2], p->port, i == 0);
	}
	for (int k = 0; k < 3; k++) {
		keywords[n + (size_t)k] = k == 0 ? "host" : k == 1 ? "hostaddr" : "port";
		ph_buf_putc(&list[k], '\0');
		values[n + (size_t)k] = list[k].p;
	}
	pq = PQconnectStartParams(keywords, values, 0);
	for (int k = 0; k < 3; k++)
		ph_buf_deinit(&list[k]);
	free(keywords);
	free(values);
	if (!pq)
		ph_die("out of memory");
	return pq;
}

static bool parameter_on(PGconn *pq, const char *name)
{
	const char *value = PQparameterStatus(pq, name);

	return value && strcmp(value, "on") == 0;
}

bool ph_pg_dsn_unfit(const struct ph_pg_dsn *d, PGconn *pq)
{
	return (d->want_primary && parameter_on(pq, "in_hot_standby")) ||
	       (d->want_writable && parameter_on(pq, "default_transaction_read_only"));
}

/* ---- names ---- */

static bool needs_lookup(const struct ph_pg_place *p)
{
	return !*p->addr && *p->host && *p->host != '/' && *p->host != '@';
}

static void place_add(struct ph_pg_names *n, const struct ph_pg_place *p, const char *addr)
{
	if (n->place_count < PG_PLACES_MAX)
		n->place[n->place_count++] =
			(struct ph_pg_place){ph_strdup(p->host), ph_strdup(addr), ph_strdup(p->port)};
}

static void place_add_found(struct ph_pg_names *n, const struct ph_pg_place *p, const struct ph_addrs *found)
{
	for (int i = 0; i < found->count; i++) {
		const struct ph_addr *a = &found->addr[i];
		char text[NI_MAXHOST];

		if (getnameinfo((const struct sockaddr *)&a->sa, a->len, text, sizeof(text), NULL, 0,
			    NI_NUMERICHOST) == 0)
			place_add(n, p, text);
	}
}

static void collect(struct ph_pg_names *n)
{
	for (int i = 0; i < n->dsn->place_count; i++) {
		const struct ph_pg_place *p = &n->dsn->place[i];

		if (needs_lookup(p))
			place_add_found(n, p, &n->name[i].found);
		else
			place_add(n, p, p->addr);
	}
	free(n->name);
	n->name = NULL;
}

static void on_name(void *arg, int status, const struct ph_addrs *addrs)
{
	struct ph_pg_name *name = arg;
	struct ph_pg_names *n = name->all;

	name->lookup = NULL;
	if (status == 0)
		name->found = *addrs;
	if (--n->pending > 0)
		return;
	collect(n);
	n->done(n->arg);
}

bool ph_pg_names_start(struct ph_pg_names *n, struct ph_loop *loop, const struct ph_pg_dsn *dsn,
	void (*done)(void *arg), void *arg)
{
	*n = (struct ph_pg_names){.dsn = dsn, .done = done, .arg = arg};
	n->name = ph_alloc((size_t)dsn->place_count * sizeof(*n->name));
	for (int i = 0; i < dsn->place_count; i++) {
		const struct ph_pg_place *p = &dsn->place[i];

		n->name[i].all = n;
		if (!needs_lookup(p))
			continue;
		n->pending++;
		n->name[i].lookup = ph_resolve_start(loop, p->host, 0, on_name, &n->name[i]);
	}
	if (n->pending > 0)
		return false;
	collect(n);
	return true;
}

void ph_pg_names_stop(struct ph_pg_names *n)
{
	for (int i = 0; n->name && i < n->dsn->place_count; i++)
		if (n->name[i].lookup)
			ph_resolve_cancel(n->name[i].lookup);
	free(n->name);
	n->name = NULL;
	for (int i = 0; i < n->place_count; i++)
		place_deinit(&n->place[i]);
	n->place_count = n->pending = 0;
}
