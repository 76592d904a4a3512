/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse requests: what became of each turn, as a line of its story: who asked, which account took it and
 * why, how the conversation went on, how long it waited and took, what it cost, how it ended. With --json the
 * rows are those of the view.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "story.h"
#include "table.h"
#include "view.h"

#define ROWS     50
#define ROWS_MAX 100000
#define MINUTE_S INT64_C(60)
#define DAY_S    INT64_C(86400)
#define EVER_S   (3660 * DAY_S)
#define POLL_MS  1000

/* ---- options ---- */

/* "429", or "4xx". */
static int read_status(const struct ph_cli *c, struct ph_view_requests *q, struct ph_err *err)
{
	const char *text = ph_cli_option(c, "status");
	uint64_t n;

	if (text == NULL)
		return 0;
	if (strlen(text) == 3 && text[0] >= '1' && text[0] <= '5' && strcmp(text + 1, "xx") == 0) {
		q->status_from = 100 * (text[0] - '0');
		q->status_to = q->status_from + 99;
		return 0;
	}
	if (!ph_str_u64(ph_str_c(text), 599, &n) || n < 100)
		return ph_fail(err, PH_E_USAGE,
			"--status: \"%.40s\" is no HTTP status; for example --status 429, or --status 5xx",
			text);
	q->status_from = q->status_to = (int)n;
	return 0;
}

static int read_span(
	const struct ph_cli *c, const char *option, uint64_t min_ms, uint64_t *ret_ms, struct ph_err *err)
{
	const char *text = ph_cli_option(c, option);
	struct ph_err why = {0};

	*ret_ms = 0;
	if (text == NULL)
		return 0;
	if (ph_config_duration(text, ret_ms, &why) < 0)
		return ph_fail(err, PH_E_USAGE, "--%s: %s", option, why.detail);
	if (*ret_ms < min_ms || *ret_ms > (uint64_t)EVER_S * 1000)
		return ph_fail(err, PH_E_USAGE, "--%s: \"%.40s\" is out of range; for example --%s %s",
			option, text, option, min_ms < 1000 ? "10s" : "1h");
	return 0;
}

int ph_cli_since(const struct ph_cli *c, int64_t fallback_s, int64_t *ret_s, struct ph_err *err)
{
	uint64_t ms;

	if (read_span(c, "since", 1000, &ms, err) < 0)
		return -PH_E_USAGE;
	*ret_s = ms ? (int64_t)(ms / 1000) : fallback_s;
	return 0;
}

static int read_options(const struct ph_cli *c, struct ph_view_requests *q, struct ph_err *err)
{
	uint64_t slow_ms;

	q->key = ph_cli_option(c, "key");
	q->account = ph_cli_option(c, "account");
	q->failed = ph_cli_has(c, "failed");
	if (read_status(c, q, err) < 0 || read_span(c, "slow", 1, &slow_ms, err) < 0 ||
		ph_cli_since(c, 0, &q->since_s, err) < 0 ||
		ph_cli_number(c, "limit", 1, ROWS_MAX, ROWS, &q->limit, err) < 0)
		return -PH_E_USAGE;
	q->slow_ms = (int64_t)slow_ms;
	if (ph_cli_has(c, "follow") && (ph_cli_has(c, "since") || ph_cli_has(c, "limit")))
		return ph_fail(err, PH_E_USAGE,
			"--follow shows what comes from now on; leave --since and --limit out");
	return 0;
}

/* ---- what was ---- */

/* The newest rows, without reading more of the log than they fill: back in steps, where no time was said. */
static int read_newest(struct ph_pgs *pg, struct ph_view_requests q, json_t **ret, struct ph_err *err)
{
	static const int64_t steps[] = {5 * MINUTE_S, 60 * MINUTE_S, DAY_S, EVER_S};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct ph_view_requests step = q;
		struct ph_buf text;
		int r;

		step.since_s = q.since_s ? q.since_s : steps[i];
		r = ph_view_read_requests(pg, &step, &text, err);
		*ret = r == 0 ? ph_cli_parse_rows(ph_buf_str(&text), err) : NULL;
		ph_buf_deinit(&text);
		if (*ret == NULL)
			return r < 0 ? r : -PH_E_INTERNAL;
		if (q.since_s || step.since_s == EVER_S || (int64_t)json_array_size(*ret) >= q.limit)
			break;
		json_decref(*ret);
	}
	return 0;
}

static void print_json(const json_t *v)
{
	char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);

	ph_cli_say("%s", text ? text : "");
	free(text);
}

static int show(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	json_t *rows, *told;
	int r = read_newest(s->pg, *(struct ph_view_requests *)arg, &rows, err);

	if (r < 0)
		return r;
	if (ph_cli_has(c, "json")) {
		print_json(rows);
	} else {
		told = ph_story_rows(rows);
		r = ph_table_rows(told, ph_story_columns(ph_table_terminal()), err);
		json_decref(told);
	}
	json_decref(rows);
	return r;
}

/* ---- what comes ---- */

/* What was written first may be seen last: every read begins where the one before began to see all. */
struct follower {
	const struct ph_view_requests *q;
	bool json;
	struct ph_table table;
	json_t *before;           /* what the last read brought: a set of turns */
	bool began;               /* the first read only says what was there already */
	struct ph_view_mark mark; /* taken before the last read */
};

static void tell(struct follower *f, const json_t *row)
{
	json_t *told;

	if (f->json) {
		print_json(row);
		return;
	}
	told = ph_story(row);
	ph_table_add(&f->table, told);
	json_decref(told);
}

static void take_rows(struct follower *f, const json_t *rows)
{
	json_t *seen = json_object();
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i, row)
	{
		const char *turn = json_string_value(json_object_get(row, "turn"));

		if (turn == NULL)
			continue;
		if (f->began && !json_object_get(f->before, turn))
			tell(f, row);
		json_object_set_new(seen, turn, json_true());
	}
	json_decref(f->before);
	f->before = seen;
	f->began = true;
}

static int poll_log(struct follower *f, struct ph_pgs *pg, struct ph_err *err)
{
	struct ph_view_mark now;
	struct ph_buf text;
	json_t *rows;
	int r = ph_view_mark(pg, &now, err);

	if (r < 0)
		return r;
	r = ph_view_follow_requests(pg, f->q, f->began ? &f->mark : &now, &text, err);
	rows = r == 0 ? ph_cli_parse_rows(ph_buf_str(&text), err) : NULL;
	ph_buf_deinit(&text);
	if (rows == NULL)
		return r < 0 ? r : -PH_E_INTERNAL;
	take_rows(f, rows);
	f->mark = now;
	json_decref(rows);
	return f->json ? 0 : ph_table_print(&f->table, err);
}

/* Until interrupted, or nobody reads any more. */
static int follow(const struct ph_cli *c, struct ph_cli_session *s, void *arg, struct ph_err *err)
{
	const struct timespec pause = {.tv_sec = POLL_MS / 1000, .tv_nsec = POLL_MS % 1000 * 1000000};
	struct follower f = {.q = arg, .json = ph_cli_has(c, "json"), .before = json_object()};
	int r = 0;

	ph_table_init(&f.table, NULL, ph_story_columns(ph_table_terminal()));
	ph_story_widths(&f.table);
	while (r == 0) {
		r = poll_log(&f, s->pg, err);
		if (r == 0 && (fflush(stdout) != 0 || ferror(stdout)))
			break;
		nanosleep(&pause, NULL);
	}
	ph_table_free(&f.table);
	json_decref(f.before);
	return r;
}

int ph_cmd_requests(const struct ph_cli *c)
{
	struct ph_view_requests q = {0};
	struct ph_err err = {0};

	if (read_options(c, &q, &err) < 0)
		return ph_cli_fail(&err);
	return ph_cli_with_session(c, ph_cli_has(c, "follow") ? follow : show, &q);
}
