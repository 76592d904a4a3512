/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse top: the views of the database, and what the admin listeners of nodes that were named say, looked
 * at every few seconds. Without a terminal, --once prints one look.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ask.h"
#include "posthouse/clock.h"
#include "posthouse/pg.h"
#include "table.h"
#include "top.h"
#include "view.h"

#define ADMIN_MS          1000
#define RECONNECT_S       2
#define RECENT_S          600
#define TURNS             50
#define FRAME_MAX         (1u << 20)
#define WIDTH             100 /* of a look that goes to a pipe */
#define INTERVAL_MS       2000
#define INTERVAL_LEAST_MS 500
#define INTERVAL_MOST_MS  600000

/* ---- looking ---- */

static int read_rows(struct ph_pgs *pg, enum ph_view view, const struct ph_pg_param *params, int count,
	json_t **rows, struct ph_err *err)
{
	struct ph_buf text;
	json_t *found = NULL;

	if (ph_view_read(pg, view, params, count, &text, err) == 0)
		found = ph_cli_parse_rows(ph_buf_str(&text), err);
	ph_buf_deinit(&text);
	if (found == NULL)
		return -PH_E_DATABASE_AWAY;
	json_decref(*rows);
	*rows = found;
	return 0;
}

static int look_at_database(struct ph_top *t, struct ph_pgs *pg, struct ph_err *err)
{
	const struct ph_pg_param recent[] = {PH_P_INT(RECENT_S), PH_P_INT(TURNS)}, most = PH_P_INT(TURNS);
	uint64_t began_ns = ph_clock_ns();

	if (ph_view_now(pg, t->clock, sizeof(t->clock), err) < 0)
		return -PH_E_DATABASE_AWAY;
	t->lag_ms = (double)(ph_clock_ns() - began_ns) / 1e6;
	if (read_rows(pg, PH_VIEW_NODES, NULL, 0, &t->nodes, err) < 0 ||
		read_rows(pg, PH_VIEW_ACCOUNTS, NULL, 0, &t->accounts, err) < 0 ||
		read_rows(pg, PH_VIEW_LEASES, NULL, 0, &t->leases, err) < 0 ||
		read_rows(pg, PH_VIEW_TRAFFIC, NULL, 0, &t->traffic, err) < 0 ||
		read_rows(pg, PH_VIEW_RUNNING, &most, 1, &t->running, err) < 0)
		return -PH_E_DATABASE_AWAY;
	return read_rows(pg, PH_VIEW_SLOWEST, recent, 2, &t->slowest, err);
}

/* A database that went away is looked for anew at the next look; the old picture stays, and says so. */
static void look(struct ph_top *t, struct ph_cli_session *s)
{
	struct ph_err err = {0};

	if (s->pg == NULL)
		s->pg = ph_pgs_open(ph_cli_session_dsn(s, false), RECONNECT_S, &err);
	t->fault[0] = '\0';
	if (s->pg && look_at_database(t, s->pg, &err) == 0)
		return;
	ph_str_copy(t->fault, sizeof(t->fault), ph_str_c(err.detail));
	s->pg = ph_pgs_close(s->pg);
}

static void take_metrics(struct ph_top_admin *a, const struct ph_ask *q)
{
	struct ph_str text = ph_buf_str(&q->answer);

	a->reached = q->status == 200;
	a->ready = ph_top_metric(text, "posthouse_ready");
	a->streams = ph_top_metric(text, "posthouse_streams_active");
	a->connections = ph_top_metric(text, "posthouse_client_connections");
	a->queue = ph_top_metric(text, "posthouse_write_queue_turns");
}

static void look_at_admins(struct ph_top *t, const struct ph_config *config)
{
	struct ph_ask list[PH_TOP_ADMINS_MAX];
	struct ph_err err = {0};

	for (size_t i = 0; i < t->admins; i++) {
		ph_ask_init(&list[i], "GET", "/metrics");
		if (ph_url_parse(&list[i].base, ph_str_c(t->admin[i].url), &err) < 0)
			ph_str_copy(t->fault, sizeof(t->fault), ph_str_c(err.detail));
	}
	if (ph_asks_run(list, t->admins, config, ADMIN_MS, &err) == 0)
		for (size_t i = 0; i < t->admins; i++)
			take_metrics(&t->admin[i], &list[i]);
	for (size_t i = 0; i < t->admins; i++)
		ph_ask_free(&list[i]);
}

/* ---- showing ---- */

static void print_once(struct ph_top *t)
{
	size_t rows = 0, columns = WIDTH;
	struct ph_buf frame;

	if (isatty(STDOUT_FILENO))
		ph_terminal_size(&rows, &columns);
	ph_buf_init(&frame, FRAME_MAX);
	ph_top_draw(t, 0, columns, &frame);
	ph_cli_print(&frame);
	ph_buf_deinit(&frame);
}

static void show(const struct ph_top *t)
{
	size_t rows, columns;
	struct ph_buf frame;

	ph_terminal_size(&rows, &columns);
	ph_buf_init(&frame, FRAME_MAX);
	ph_top_draw(t, rows, columns, &frame);
	ph_terminal_show(&frame);
	ph_buf_deinit(&frame);
}

/* False: it is to end. */
static bool obey(struct ph_top *t, int key)
{
	switch (key) {
	case 'a':
		t->accounts_by = (t->accounts_by + 1) % PH_TOP_ACCOUNT_SORTS;
		break;
	case 't':
		t->turns_by = (ph_top_turns_shown(t) + 1) % PH_TOP_TURN_SORTS;
		break;
	case 'p':
	case ' ':
		t->paused = !t->paused;
		break;
	case 'h':
	case '?':
		t->help = !t->help;
		break;
	case 'q':
	case PH_KEY_END:
		return false;
	default:
		break;
	}
	return true;
}

/* Keys are obeyed at once; what is looked at changes with the interval. */
static void watch(struct ph_top *t, struct ph_cli_session *s, uint64_t interval_ms)
{
	uint64_t next_ms = 0;
	int key = PH_KEY_NONE;

	while (obey(t, key)) {
		uint64_t now_ms = ph_clock_ms();

		if (now_ms >= next_ms && !t->paused) {
			look(t, s);
			look_at_admins(t, &s->config);
			now_ms = ph_clock_ms();
			next_ms = now_ms + interval_ms;
		}
		show(t);
		key = ph_terminal_key(t->paused ? interval_ms : next_ms - now_ms);
	}
}

struct plan {
	struct ph_top top;
	uint64_t interval_ms;
	bool once;
};

static int run(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	struct plan *p = arg;
	int r = 0;

	(void)c;
	if (p->once) {
		look(&p->top, s);
		look_at_admins(&p->top, &s->config);
		if (p->top.fault[0])
			return ph_fail(err, PH_E_DATABASE_AWAY, "%s", p->top.fault);
		print_once(&p->top);
		return 0;
	}
	r = ph_terminal_open(err);
	if (r == 0)
		watch(&p->top, s, p->interval_ms);
	ph_terminal_close();
	return r;
}

static int read_interval(const struct ph_cli *c, uint64_t *ret_ms, struct ph_err *err)
{
	const char *text = ph_cli_option(c, "interval");
	struct ph_err why = {0};

	*ret_ms = INTERVAL_MS;
	if (text == NULL)
		return 0;
	if (ph_config_duration(text, ret_ms, &why) < 0)
		return ph_fail(err, PH_E_USAGE, "--interval: %s", why.detail);
	if (*ret_ms < INTERVAL_LEAST_MS || *ret_ms > INTERVAL_MOST_MS)
		return ph_fail(err, PH_E_USAGE,
			"--interval: \"%.40s\" is out of range: 500ms to 10m; for example --interval 2s",
			text);
	return 0;
}

static int read_admins(const struct ph_cli *c, struct ph_top *t, struct ph_err *err)
{
	struct ph_str urls[PH_TOP_ADMINS_MAX];
	struct ph_err why = {0};
	struct ph_url url;

	t->admins = ph_cli_options(c, "admin", urls, PH_TOP_ADMINS_MAX);
	if (t->admins > PH_TOP_ADMINS_MAX)
		return ph_fail(err, PH_E_USAGE, "--admin stands more than %d times", PH_TOP_ADMINS_MAX);
	for (size_t i = 0; i < t->admins; i++) {
		if (ph_url_parse(&url, urls[i], &why) < 0)
			return ph_fail(err, PH_E_USAGE,
				"--admin: %s; for example --admin http://127.0.0.1:9090", why.detail);
		t->admin[i].url = urls[i].p;
	}
	return 0;
}

static void top_free(struct ph_top *t)
{
	json_decref(t->nodes);
	json_decref(t->accounts);
	json_decref(t->leases);
	json_decref(t->traffic);
	json_decref(t->running);
	json_decref(t->slowest);
}

int ph_cmd_top(const struct ph_cli *c)
{
	struct plan p = {.once = ph_cli_has(c, "once")};
	struct ph_err err = {0};
	int status, by;

	if (read_interval(c, &p.interval_ms, &err) < 0 || read_admins(c, &p.top, &err) < 0)
		return ph_cli_fail(&err);
	p.top.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	status = ph_cli_with_session(c, run, &p);
	top_free(&p.top);
	by = ph_terminal_signal();
	return by && by != SIGINT ? 128 + by : status;
}
