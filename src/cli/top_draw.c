/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture of `top` as text: a headline, the last minute, nodes, accounts, turns, the keys.
 * What does not fit is cut, and said to be.
 */
#include "top.h"

#include <stdio.h>
#include <stdlib.h>

#include "story.h"

#define BAR       8
#define TURNS_MIN 3
#define FIXED     9 /* headline, traffic, three headings with blank lines before them, keys */

struct canvas {
	struct ph_buf *out;
	size_t columns;
	size_t at; /* characters in this line */
	bool colour;
};

/* ---- text within the width ---- */

/* Cut at the edge; control characters become blanks, characters are not cut apart. */
static void put(struct canvas *c, const char *text)
{
	for (; *text; text++) {
		bool goes_on = ((unsigned char)*text & 0xc0) == 0x80;

		if (!goes_on && c->at == c->columns)
			return;
		ph_buf_putc(c->out, (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
		c->at += !goes_on;
	}
}

static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* In so many columns, cut or filled up, and a gap behind. */
static void cell(struct canvas *c, size_t width, const char *text)
{
	size_t edge = c->columns, end = c->at + width;

	c->columns = end < edge ? end : edge;
	put(c, text);
	while (c->at < c->columns)
		put(c, " ");
	c->columns = edge;
	put(c, "  ");
}

static void right(struct canvas *c, size_t width, const char *text)
{
	size_t n = characters(text);

	for (; n < width; n++)
		put(c, " ");
	cell(c, characters(text) < width ? characters(text) : width, text);
}

static void paint(struct canvas *c, const char *sequence)
{
	if (c->colour)
		ph_buf_puts(c->out, ph_str_c(sequence));
}

static void end_line(struct canvas *c)
{
	while (c->out->n > 0 && c->out->p[c->out->n - 1] == ' ')
		c->out->n--;
	ph_buf_putc(c->out, '\n');
	c->at = 0;
}

static void heading(struct canvas *c, const char *text)
{
	end_line(c);
	paint(c, "\033[1m");
	put(c, text);
	paint(c, "\033[0m");
	end_line(c);
}

/* Well, on its way, or ill. */
static void state(struct canvas *c, size_t width, const char *word)
{
	static const char *const good[] = {"active", "alive", "ready", "ok", "completed", "relay"};
	static const char *const bad[] = {"reauth", "disabled", "silent", "away", "failed"};
	const char *colour = "\033[33m";

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strcmp(word, good[i]) == 0)
			colour = "\033[32m";
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strcmp(word, bad[i]) == 0)
			colour = "\033[31m";
	paint(c, colour);
	cell(c, width, word);
	paint(c, "\033[0m");
}

/* ---- values ---- */

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "";
}

static double number_of(const json_t *row, const char *name)
{
	return json_number_value(json_object_get(row, name));
}

static double share(double part, double of)
{
	return of > 0 ? 100 * part / of : 0;
}

static void span(struct canvas *c, size_t width, const json_t *row, const char *name)
{
	char text[32] = "-";

	if (json_is_number(json_object_get(row, name)))
		ph_story_span(number_of(row, name), text, sizeof(text));
	right(c, width, text);
}

static void number(struct canvas *c, size_t width, double n)
{
	char text[32];

	snprintf(text, sizeof(text), "%.0f", n);
	right(c, width, text);
}

/* ---- order ---- */

struct order {
	const struct ph_top *top;
	bool turns;
};

static double running(const struct ph_top *t, const json_t *account)
{
	const json_t *lease;
	double n = 0;
	size_t i;

	if (json_is_number(json_object_get(account, "running")))
		return number_of(account, "running");
	json_array_foreach((json_t *)t->leases, i, lease)
	{
		if (strcmp(text_of(lease, "account"), text_of(account, "name")) == 0)
			n += number_of(lease, "running");
	}
	return n;
}

static double weight(const struct ph_top *t, const json_t *row, bool turns)
{
	if (turns)
		return number_of(row, t->turns_by == PH_TOP_BY_FIRST ? "first_event_ms" : "duration_ms");
	return t->accounts_by == PH_TOP_BY_USED ? number_of(row, "used_percent") : running(t, row);
}

static int compare(const void *a, const void *b, void *arg)
{
	const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
	const struct order *o = arg;
	double d;

	if (o->turns && o->top->turns_by == PH_TOP_BY_TIME)
		return strcmp(text_of(y, "started"), text_of(x, "started"));
	if (!o->turns && o->top->accounts_by == PH_TOP_BY_NAME)
		return strcmp(text_of(x, "name"), text_of(y, "name"));
	d = weight(o->top, y, o->turns) - weight(o->top, x, o->turns);
	return d > 0 ? 1 : d < 0 ? -1 : 0;
}

/* Pointers into rows, in order; to be freed. */
static const json_t **sorted(const struct ph_top *t, const json_t *rows, bool turns)
{
	size_t n = json_array_size(rows);
	const json_t **list = ph_alloc((n + 1) * sizeof(json_t *));
	struct order o = {t, turns};

	for (size_t i = 0; i < n; i++)
		list[i] = json_array_get(rows, i);
	qsort_r(list, n, sizeof(json_t *), compare, &o);
	return list;
}

/* ---- parts ---- */

static void headline(struct canvas *c, const struct ph_top *t)
{
	char text[320];

	paint(c, "\033[1m");
	put(c, "posthouse");
	paint(c, "\033[0m");
	snprintf(text, sizeof(text), "  %.8s  nodes %zu  accounts %zu  ",
		strlen(t->clock) > 11 ? t->clock + 11 : "", json_array_size(t->nodes),
		json_array_size(t->accounts));
	put(c, text);
	if (t->fault[0])
		snprintf(text, sizeof(text), "database: %s", t->fault);
	else
		snprintf(text, sizeof(text), "database %.1f ms", t->lag_ms);
	if (t->paused)
		put(c, "PAUSED  ");
	paint(c, t->fault[0] ? "\033[31m" : "");
	put(c, text);
	paint(c, t->fault[0] ? "\033[0m" : "");
	end_line(c);
}

static void traffic(struct canvas *c, const struct ph_top *t)
{
	const json_t *row = json_array_get(t->traffic, 0);
	double turns = number_of(row, "turns");
	char first[32] = "-", total[32] = "-", text[240];

	if (turns > 0) {
		ph_story_span(number_of(row, "first_event_ms"), first, sizeof(first));
		ph_story_span(number_of(row, "duration_ms"), total, sizeof(total));
	}
	snprintf(text, sizeof(text),
		"%.2f turns/s  %.0f %% replayed  %.0f %% failed  first event %s  total %s", turns / 60,
		share(number_of(row, "replayed"), turns), share(number_of(row, "failed"), turns), first,
		total);
	put(c, text);
	end_line(c);
}

/* How many of the rows fit into `room` lines; where not all do, the last line says so. */
static size_t fitting(size_t n, size_t room)
{
	return n <= room ? n : room > 0 ? room - 1 : 0;
}

static void more(struct canvas *c, size_t n)
{
	char text[40];

	if (n == 0)
		return;
	snprintf(text, sizeof(text), "... %zu more", n);
	put(c, text);
	end_line(c);
}

/* Names of what its own checks find amiss. */
static void put_report(struct canvas *c, const json_t *node)
{
	const json_t *row;
	bool any = false;
	size_t i;

	json_array_foreach((json_t *)json_object_get(node, "report"), i, row)
	{
		if (strcmp(text_of(row, "status"), "ok") == 0)
			continue;
		put(c, any ? ", " : "");
		put(c, text_of(row, "check"));
		any = true;
	}
}

/* Of one that is silent nobody knows. */
static void turns_of(struct canvas *c, const json_t *node)
{
	if (strcmp(text_of(node, "state"), "silent") == 0)
		right(c, 7, "-");
	else
		number(c, 7, number_of(node, "turns"));
}

static void nodes(struct canvas *c, const struct ph_top *t, size_t room)
{
	size_t n = json_array_size(t->nodes), shown = fitting(n, room);

	heading(c, "NODE              STATE     VERSION   RUNNING  SLOTS  SILENT    AMISS");
	for (size_t i = 0; i < shown; i++) {
		const json_t *row = json_array_get(t->nodes, i);

		cell(c, 16, text_of(row, "name"));
		state(c, 8, text_of(row, "state"));
		cell(c, 8, text_of(row, "version"));
		turns_of(c, row);
		number(c, 5, number_of(row, "slots"));
		cell(c, 8, text_of(row, "silent_for"));
		put_report(c, row);
		end_line(c);
	}
	more(c, n - shown);
}

static void admins(struct canvas *c, const struct ph_top *t, size_t room)
{
	for (size_t i = 0; i < t->admins && i < room; i++) {
		const struct ph_top_admin *a = &t->admin[i];
		char text[160];

		cell(c, 28, a->url);
		state(c, 5, !a->reached ? "away" : a->ready > 0 ? "ready" : "unready");
		snprintf(text, sizeof(text), "%.0f streams, %.0f connections, %.0f to write", a->streams,
			a->connections, a->queue);
		put(c, a->reached ? text : "");
		end_line(c);
	}
}

static void bar(struct canvas *c, const json_t *account)
{
	double used = number_of(account, "used_percent");
	char text[BAR + 16];
	int n = 0;

	if (!json_is_number(json_object_get(account, "used_percent"))) {
		cell(c, BAR + 7, "");
		return;
	}
	text[n++] = '[';
	for (int i = 0; i < BAR; i++)
		text[n++] = used >= (i + 0.5) * 100 / BAR ? '#' : '.';
	snprintf(text + n, sizeof(text) - (size_t)n, "] %3.0f%%", used > 999 ? 999 : used);
	paint(c, used >= 95 ? "\033[31m" : used >= 80 ? "\033[33m" : "");
	cell(c, BAR + 7, text);
	paint(c, used >= 80 ? "\033[0m" : "");
}

static void account(struct canvas *c, const struct ph_top *t, const json_t *row)
{
	const char *wish = text_of(row, "state"), *until = text_of(row, "health_until");
	char slots[40], when[8];

	if (json_is_number(json_object_get(row, "max_streams")))
		snprintf(slots, sizeof(slots), "%.0f/%.0f", running(t, row), number_of(row, "max_streams"));
	else
		snprintf(slots, sizeof(slots), "-");
	cell(c, 14, text_of(row, "name"));
	cell(c, 9, text_of(row, "kind"));
	state(c, 9, strcmp(wish, "active") == 0 ? text_of(row, "health") : wish);
	right(c, 5, slots);
	bar(c, row);
	snprintf(when, sizeof(when), "%.5s", strlen(until) >= 19 ? until + 11 : "");
	cell(c, 5, when);
	put(c, text_of(row, "health_reason"));
	end_line(c);
}

static void accounts(struct canvas *c, const struct ph_top *t, size_t room)
{
	static const char *const headings[PH_TOP_ACCOUNT_SORTS] = {
		[PH_TOP_BY_NAME] =
			"ACCOUNT BY NAME KIND       STATE      SLOTS  USED             UNTIL  REASON",
		[PH_TOP_BY_USED] =
			"ACCOUNT BY USED KIND       STATE      SLOTS  USED             UNTIL  REASON",
		[PH_TOP_BY_RUNNING] =
			"ACCOUNT BY LOAD KIND       STATE      SLOTS  USED             UNTIL  REASON",
	};
	size_t n = json_array_size(t->accounts), shown = fitting(n, room);
	const json_t **list = sorted(t, t->accounts, false);

	heading(c, headings[t->accounts_by]);
	for (size_t i = 0; i < shown; i++)
		account(c, t, list[i]);
	more(c, n - shown);
	free(list);
}

static void turn(struct canvas *c, const json_t *row)
{
	const char *started = text_of(row, "started"), *error = text_of(row, "error");
	const char *end = error[0] ? error : text_of(row, "outcome");
	char when[16];

	snprintf(when, sizeof(when), "%.8s", strlen(started) > 11 ? started + 11 : "");
	cell(c, 8, when);
	span(c, 8, row, "duration_ms");
	span(c, 8, row, "first_event_ms");
	cell(c, 8, text_of(row, "key_name"));
	cell(c, 11, text_of(row, "model"));
	cell(c, 9, text_of(row, "account"));
	state(c, 20, end[0] ? end : text_of(row, "state"));
	end_line(c);
}

/* How many lines of the room they took. */
static size_t turn_list(struct canvas *c, const struct ph_top *t, const json_t *rows, size_t room)
{
	const json_t **list = sorted(t, rows, true);
	size_t n = json_array_size(rows), shown = n < room ? n : room;

	for (size_t i = 0; i < shown; i++)
		turn(c, list[i]);
	free(list);
	return shown;
}

enum ph_top_turns ph_top_turns_shown(const struct ph_top *t)
{
	bool none = json_array_size(t->running) == 0;

	return t->turns_by == PH_TOP_RUNNING && none ? PH_TOP_BY_TOTAL : t->turns_by;
}

static void turns(struct canvas *c, const struct ph_top *t, size_t room)
{
	static const char *const headings[PH_TOP_TURN_SORTS] = {
		[PH_TOP_RUNNING] = "RUNNING      TOTAL     FIRST  KEY       MODEL        ACCOUNT    STATE",
		[PH_TOP_BY_TOTAL] = "SLOWEST      TOTAL     FIRST  KEY       MODEL        ACCOUNT    END",
		[PH_TOP_BY_FIRST] = "SLOW START   TOTAL     FIRST  KEY       MODEL        ACCOUNT    END",
		[PH_TOP_BY_TIME] = "LATEST       TOTAL     FIRST  KEY       MODEL        ACCOUNT    END",
	};
	enum ph_top_turns by = ph_top_turns_shown(t);

	heading(c, headings[by]);
	if (by == PH_TOP_RUNNING)
		room -= turn_list(c, t, t->running, room);
	turn_list(c, t, t->slowest, room);
}

static void help(struct canvas *c)
{
	static const char *const lines[] = {
		"",
		"  a   order of the accounts: by name, by used window, by running turns",
		"  t   turns: those that run, then those that ended; those that ended by total",
		"      time, by time to the first event, latest",
		"  p   pause, and go on",
		"  h   this, and back",
		"  q   end",
		"",
		"  Of turns that run each node tells its five longest; those that ended did so in",
		"  the last 10 minutes. Rates are of the last minute.",
		"  SLOTS are turns that run, of those that may run in the whole cluster, where an",
		"  account has a limit. USED is its fullest usage window. AMISS names what a node's",
		"  own checks complain of: `posthouse doctor` says what to do.",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		put(c, lines[i]);
		end_line(c);
	}
}

/* ---- the whole ---- */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Nodes and accounts share what the turns leave, half each or what the other does not need; a few turns are
 * always there. */
static void picture(struct canvas *c, const struct ph_top *t, size_t rows)
{
	size_t n = json_array_size(t->nodes), a = json_array_size(t->accounts);
	size_t all = json_array_size(t->running) + json_array_size(t->slowest);
	size_t room = rows > FIXED + t->admins ? rows - FIXED - t->admins : 0;
	size_t left, for_nodes, for_accounts;

	if (rows == 0)
		room = n + a + all;
	left = room - least(room, least(all, TURNS_MIN));
	for_nodes = least(n, left - least(left / 2, a));
	for_accounts = least(a, left - for_nodes);
	headline(c, t);
	traffic(c, t);
	nodes(c, t, for_nodes);
	admins(c, t, t->admins);
	accounts(c, t, for_accounts);
	turns(c, t, room - for_nodes - for_accounts);
}

/* The first lines of what was drawn. */
static void cut_lines(struct ph_buf *out, size_t lines)
{
	size_t end = 0;

	for (size_t i = 0; i < out->n && lines > 0; i++)
		if (out->p[i] == '\n') {
			end = i + 1;
			lines--;
		}
	out->n = end;
}

void ph_top_draw(const struct ph_top *t, size_t rows, size_t columns, struct ph_buf *out)
{
	struct canvas c = {.out = out, .columns = columns, .colour = t->colour};

	if (t->help) {
		headline(&c, t);
		help(&c);
	} else {
		picture(&c, t, rows);
	}
	if (rows == 0)
		return;
	cut_lines(out, rows - 1);
	put(&c, "a accounts  t turns  p pause  h help  q end");
	end_line(&c);
}

double ph_top_metric(struct ph_str text, const char *name)
{
	size_t n = strlen(name);
	double sum = 0;

	while (text.n > 0) {
		struct ph_str line = ph_str_split(&text, '\n');
		char value[64];

		if (!ph_str_starts(line, ph_str(name, n)) || line.n == n ||
			(line.p[n] != '{' && line.p[n] != ' '))
			continue;
		while (line.n > 0 && ph_str_find(line, PH_STR(" ")) >= 0)
			ph_str_split(&line, ' ');
		ph_str_copy(value, sizeof(value), line);
		sum += strtod(value, NULL);
	}
	return sum;
}
