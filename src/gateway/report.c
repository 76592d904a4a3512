/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's report on itself: an array of objects `check, status, detail, remedy`, for posthouse_admin.nodes
 * and `posthouse doctor`. Looked at every few seconds and written when it says something new, at most every
 * 30 s. Figures that change all the time (how many, how long) stay out of it unless something is wrong, or it
 * would be new at every look; metrics have them.
 */
#include "report.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "posthouse/clock.h"
#include "posthouse/log.h"

#define LOOK_MS       5000
#define WRITE_MS      30000
#define REPORT_MAX    (256 * 1024)
#define CLOCK_MS      1000   /* off by more than this is worth a word */
#define QUEUE         1000   /* turns that wait to be written */
#define COMMIT_MS     250    /* a commit that takes longer is felt in every turn */
#define UNREACHED_MS  600000 /* nobody tried again since then: it is not known any more */
#define CERTIFICATE_S (14 * 86400)
#define SHARE(n, of)  ((n) * 10 >= (of) * 9) /* nine tenths */

/* Owner: the gateway. */
struct ph_node_report {
	struct ph_gateway *g;
	struct ph_timer timer;
	struct ph_pg_call *call; /* facts, or the writing */
	uint64_t asked_ms;       /* unix time at which the facts were asked for */
	int64_t clock_ms;        /* the database's clock less ours */
	struct ph_node_facts facts;
	struct ph_str versions; /* of other nodes, where they differ; owned */
	struct ph_buf text;     /* what was found now */
	struct ph_str written;  /* what the row says; owned */
	char written_by[16];    /* the node's id at that time: one that was forgotten has a new row */
	uint64_t written_ms;    /* loop time; 0: never */
};

/* ---- one line each ---- */

static void put(struct ph_node_report *r, const char *check, const char *status, const char *remedy,
	const char *detail)
{
	ph_buf_printf(&r->text, "%s{\"check\":\"%s\",\"status\":\"%s\",\"detail\":\"",
		r->text.n > 1 ? "," : "", check, status);
	ph_buf_json(&r->text, ph_str_c(detail));
	ph_buf_puts(&r->text, remedy ? PH_STR("\",\"remedy\":\"") : PH_STR("\",\"remedy\":null}"));
	if (!remedy)
		return;
	ph_buf_json(&r->text, ph_str_c(remedy));
	ph_buf_puts(&r->text, PH_STR("\"}"));
}

static void look_notifications(struct ph_node_report *r)
{
	static const char remedy[] =
		"set POSTHOUSE_DATABASE_DIRECT_URL to the database's own address, without a pooler";

	if (!ph_follow_listening(r->g->follow))
		put(r, "notifications", "fail", remedy,
			"LISTEN is not in force: changes are found by polling");
	else if (ph_follow_misses(r->g->follow))
		put(r, "notifications", "warn", remedy,
			"the last change was found by polling, no notification of it came: a pooler that "
			"lends "
			"connections per transaction does that");
	else
		put(r, "notifications", "ok", NULL, "LISTEN is in force");
}

static void look_clock(struct ph_node_report *r)
{
	char detail[120];

	if (r->clock_ms > -CLOCK_MS && r->clock_ms < CLOCK_MS) {
		put(r, "clock", "ok", NULL, "within a second of the database's");
		return;
	}
	snprintf(detail, sizeof detail, "%lld s %s the database's",
		(long long)(llabs(r->clock_ms) + 500) / 1000, r->clock_ms > 0 ? "behind" : "ahead of");
	put(r, "clock", "warn", "let both machines follow a time server (NTP)", detail);
}

/* Names of the accounts that is() is true of, or an empty text. */
static void list_accounts(struct ph_node_report *r,
	bool (*is)(const struct ph_node_report *, const struct ph_account *), char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts)) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (is(r, a) && n < size)
			n += (size_t)snprintf(dst + n, size - n, "%s%.100s", n ? ", " : "", a->name);
	}
}

static bool is_closed(const struct ph_node_report *r, const struct ph_account *a)
{
	(void)r;
	return a->sealed_badly;
}

static bool is_unreached(const struct ph_node_report *r, const struct ph_account *a)
{
	return a->unreached_ms && ph_loop_now_ms(r->g->loop) - a->unreached_ms < UNREACHED_MS;
}

static void look_accounts(struct ph_node_report *r)
{
	char names[600], detail[700];

	list_accounts(r, is_closed, names, sizeof names);
	snprintf(detail, sizeof detail, "the secrets of these accounts cannot be opened: %s", names);
	put(r, "secrets", names[0] ? "fail" : "ok",
		names[0] ? "give this node the master key that the accounts were added with" : NULL,
		names[0] ? detail : "all open");
	list_accounts(r, is_unreached, names, sizeof names);
	snprintf(detail, sizeof detail, "no connection to the upstream of: %s", names);
	put(r, "upstreams", names[0] ? "warn" : "ok",
		names[0] ? "see that this machine may reach their base URLs: `posthouse doctor` tries each"
			 : NULL,
		names[0] ? detail : "all that were asked answered");
}

static void look_load(struct ph_node_report *r)
{
	bool behind = ph_pg_write_queued(r->g->pg) > QUEUE, full = SHARE(r->g->turns, PH_TURNS_MAX);

	put(r, "write queue", behind ? "warn" : "ok",
		behind ? "see that the database is there, and how fast its disk commits" : NULL,
		behind ? "more than 1000 turns wait to be written" : "short");
	put(r, "streams", full ? "warn" : "ok", full ? "start another node, or more workers" : NULL,
		full ? "more than 9 of 10 of its streams are in use" : "there is room");
}

/* Turns show their end when their commit is acknowledged: what it lacks, their clients lack. */
static void look_writes(struct ph_node_report *r)
{
	struct ph_pg_writing w;
	char detail[120];

	ph_pg_writing(r->g->pg, &w);
	snprintf(detail, sizeof detail, "PostgreSQL refuses to write (SQLSTATE %s): turns cannot be kept",
		w.sqlstate);
	if (strcmp(w.sqlstate, "53100") == 0)
		put(r, "writes", "fail",
			"make room on the disk of PostgreSQL's data, or give it a larger one; nothing need "
			"be started "
			"again",
			"the disk of PostgreSQL is full (SQLSTATE 53100): turns cannot be kept");
	else if (w.sqlstate[0])
		put(r, "writes", "fail", "see PostgreSQL's log", detail);
	else if (w.commit_ms > COMMIT_MS)
		put(r, "writes", "warn",
			"see how fast PostgreSQL's disk commits, what the server is busy with "
			"(pg_stat_activity), and "
			"what "
			"lies between",
			"PostgreSQL is slow: commits take more than 250 ms");
	else
		put(r, "writes", "ok", NULL, "PostgreSQL takes them");
}

static size_t count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static void look_descriptors(struct ph_node_report *r)
{
	struct rlimit limit;
	char detail[120];

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (!SHARE(count_descriptors(), limit.rlim_cur)) {
		put(r, "open files", "ok", NULL, "there is room");
		return;
	}
	snprintf(detail, sizeof detail, "more than 9 of 10 of %llu are open",
		(unsigned long long)limit.rlim_cur);
	put(r, "open files", "fail", "raise the limit of open files (LimitNOFILE in the unit, ulimit -n)",
		detail);
}

static void look_certificate(struct ph_node_report *r)
{
	static const char remedy[] = "renew it and send the node SIGHUP";
	int64_t left_s = r->g->certificate_s - (int64_t)(ph_clock_unix_ms() / 1000);
	char detail[80];

	if (!r->g->certificate_s)
		return;
	snprintf(detail, sizeof detail, "expires in %lld days", (long long)left_s / 86400);
	if (left_s <= 0)
		put(r, "certificate", "fail", remedy, "the listener's certificate has expired");
	else if (left_s < CERTIFICATE_S)
		put(r, "certificate", "warn", remedy, detail);
	else
		put(r, "certificate", "ok", NULL, "valid");
}

static void look_settings(struct ph_node_report *r)
{
	const char *name = ph_follow_overruled(r->g->follow);
	char detail[160];

	if (!name) {
		put(r, "settings", "ok", NULL, "as the database has them");
		return;
	}
	snprintf(detail, sizeof detail,
		"%s is another in the database, which counts, than in this node's environment", name);
	put(r, "settings", "warn",
		"`posthouse settings set`, or correct the environment and start the node again", detail);
}

static void look_versions(struct ph_node_report *r)
{
	char detail[300];

	if (r->versions.n == 0) {
		put(r, "version", "ok", NULL, "the same on all nodes");
		return;
	}
	snprintf(detail, sizeof detail, "this node runs %s, others run %.*s", PH_VERSION,
		(int)(r->versions.n < 200 ? r->versions.n : 200), r->versions.p);
	put(r, "version", "warn", "finish the upgrade: start the older nodes again with the new program",
		detail);
}

static void look(struct ph_node_report *r)
{
	ph_buf_reset(&r->text);
	ph_buf_putc(&r->text, '[');
	look_notifications(r);
	look_clock(r);
	look_accounts(r);
	look_load(r);
	look_writes(r);
	look_descriptors(r);
	look_certificate(r);
	look_settings(r);
	look_versions(r);
	ph_buf_putc(&r->text, ']');
}

/* ---- asking and writing ---- */

static void str_free(struct ph_str *s)
{
	free((void *)(uintptr_t)s->p);
	*s = PH_STR_NONE;
}

static void keep_versions(struct ph_node_report *r, const struct ph_pg_result *rows)
{
	struct ph_buf b;

	ph_buf_init(&b, 4096);
	for (size_t i = 0; i < ph_pg_array_count(rows, 0, 1); i++) {
		struct ph_str version = ph_pg_array_str(rows, 0, 1, i);

		if (!ph_str_eq(version, PH_STR(PH_VERSION)))
			ph_buf_printf(&b, "%s%.*s", b.n ? ", " : "", PH_STR_ARG(version));
	}
	str_free(&r->versions);
	r->versions = ph_str_dup(ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static void on_written(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	struct ph_node_report *r = arg;

	(void)rows;
	r->call = NULL;
	if (err)
		str_free(&r->written); /* whatever became of it: the next look writes again */
	ph_timer_start(&r->timer, LOOK_MS);
}

static bool is_news(const struct ph_node_report *r)
{
	if (memcmp(r->written_by, ph_member_id(r->g->member), sizeof r->written_by) != 0)
		return true;
	return !ph_str_eq(r->written, ph_buf_str(&r->text)) &&
	       ph_loop_now_ms(r->g->loop) - r->written_ms >= WRITE_MS;
}

static void write_report(struct ph_node_report *r)
{
	memcpy(r->written_by, ph_member_id(r->g->member), sizeof r->written_by);
	str_free(&r->written);
	r->written = ph_str_dup(ph_buf_str(&r->text));
	r->written_ms = ph_loop_now_ms(r->g->loop);
	r->call = ph_follow_store_report(r->g->pg, r->written_by, r->written, on_written, r);
}

/* Half the way there and back is taken for the way there. */
static void on_facts(void *arg, struct ph_pg_result *rows, const struct ph_err *err)
{
	enum {
		NOW_US,
		VERSIONS,
		DAYS_AHEAD,
		NOTIFY_QUEUE
	};
	struct ph_node_report *r = arg;
	uint64_t now_ms = ph_clock_unix_ms();

	r->call = NULL;
	if (!err && ph_pg_rows(rows)) {
		r->clock_ms = ph_pg_int(rows, 0, NOW_US) / 1000 - (int64_t)(r->asked_ms + now_ms) / 2;
		r->facts.known = true;
		r->facts.days_ahead = (int)ph_pg_int(rows, 0, DAYS_AHEAD);
		r->facts.notify_queue = ph_pg_float(rows, 0, NOTIFY_QUEUE);
		keep_versions(r, rows);
		look(r);
		if (!r->text.failed && is_news(r)) {
			write_report(r);
			return;
		}
	}
	ph_timer_start(&r->timer, LOOK_MS);
}

static void on_timer(void *arg)
{
	struct ph_node_report *r = arg;

	r->asked_ms = ph_clock_unix_ms();
	r->call = ph_follow_store_facts(r->g->pg, ph_member_id(r->g->member), on_facts, r);
}

/* ---- life ---- */

struct ph_node_report *ph_node_report_new(struct ph_gateway *g)
{
	struct ph_node_report *r = ph_alloc(sizeof *r);

	r->g = g;
	ph_buf_init(&r->text, REPORT_MAX);
	ph_timer_init(&r->timer, g->loop, on_timer, r);
	return r;
}

void ph_node_report_start(struct ph_node_report *r)
{
	ph_timer_start(&r->timer, LOOK_MS);
}

int64_t ph_node_report_clock_ms(const struct ph_node_report *r)
{
	return r->clock_ms;
}

const struct ph_node_facts *ph_node_report_facts(const struct ph_node_report *r)
{
	return &r->facts;
}

struct ph_node_report *ph_node_report_free(struct ph_node_report *r)
{
	if (!r)
		return NULL;
	ph_timer_stop(&r->timer);
	if (r->call)
		ph_pg_abandon(r->call);
	str_free(&r->versions);
	str_free(&r->written);
	ph_buf_deinit(&r->text);
	free(r);
	return NULL;
}
