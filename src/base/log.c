/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log writer. A line is composed in memory, at most PIPE_BUF bytes, and written by a single write() if
 * the descriptor takes it at once. PIPE_BUF, because a pipe that polls as writable takes that much without
 * blocking and without mixing it with the line of another worker. Standard error itself is never made
 * non-blocking: it is shared with whoever started us.
 *
 * A field that no longer fits is left out and the line says "cut":true, so that it stays valid JSON.
 */
#include "posthouse/log.h"

#include "posthouse/buf.h"
#include "posthouse/clock.h"
#include "posthouse/metrics.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX 1024 /* bytes of one value, after redaction */
#define MSG_MAX   512  /* of the message: even if each becomes \u00XX, a line has room for it */
#define LINE_SIZE PIPE_BUF
#define RESERVE   32 /* for the mark of a cut line and its end */

static struct {
	enum ph_log_level level;
	enum ph_log_format format;
	char node[128];
	uint64_t dropped;
} state = {.level = PH_LOG_INFO, .format = PH_LOG_JSON};

void ph_log_init(enum ph_log_level level, enum ph_log_format format, const char *node)
{
	state.level = level;
	state.format = format;
	ph_str_copy(state.node, sizeof(state.node), ph_str_c(node));
}

bool ph_log_on(enum ph_log_level level)
{
	return level <= state.level;
}

uint64_t ph_log_dropped(void)
{
	return state.dropped;
}

static void put_time(struct ph_buf *b)
{
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	ph_buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		tm.tm_hour, tm.tm_min, tm.tm_sec, t.tv_nsec / 1000);
}

/* What stands before the fields: in text the message itself, in JSON members like the others. */
static void put_start(struct ph_buf *line, enum ph_log_level level, struct ph_str msg)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	char clean[MSG_MAX];

	ph_log_redact(clean, sizeof(clean), msg);
	if (state.format == PH_LOG_JSON)
		ph_buf_puts(line, PH_STR("{\"ts\":\""));
	put_time(line);
	ph_buf_printf(line, state.format == PH_LOG_JSON ? "\",\"level\":\"%s\",\"msg\":\"" : " %-5s ",
		names[level]);
	ph_buf_json(line, ph_str_c(clean));
	if (state.format == PH_LOG_JSON)
		ph_buf_putc(line, '"');
}

/* A redacted text value; quoted in JSON always, in text where it would not read as one word. */
static void put_text(struct ph_buf *b, struct ph_str s)
{
	char clean[VALUE_MAX];
	bool word = state.format == PH_LOG_TEXT;
	struct ph_str text;

	ph_log_redact(clean, sizeof(clean), s);
	text = ph_str_c(clean);
	for (size_t i = 0; word && i < text.n; i++)
		word = clean[i] > ' ' && clean[i] < 0x7f && clean[i] != '"' && clean[i] != '\\' &&
		       clean[i] != '=';
	if (word && text.n > 0) {
		ph_buf_puts(b, text);
		return;
	}
	ph_buf_putc(b, '"');
	ph_buf_json(b, text);
	ph_buf_putc(b, '"');
}

static void put_value(struct ph_buf *b, const struct ph_field *f)
{
	int64_t i = f->i;

	switch (f->kind) {
	case PH_FIELD_STR:
		put_text(b, f->s);
		break;
	case PH_FIELD_INT:
		ph_buf_printf(b, "%lld", (long long)i);
		break;
	case PH_FIELD_MS:
		ph_buf_printf(b, "%.3f", (double)i / 1e6);
		break;
	case PH_FIELD_BOOL:
		ph_buf_printf(b, "%s", i ? "true" : "false");
		break;
	}
}

/* Appends a field if the line has room for it, with a margin for the line's end. */
static bool put_field(struct ph_buf *line, const struct ph_field *f)
{
	struct ph_buf b;
	bool fits;

	if (f->kind == PH_FIELD_STR && f->s.n == 0)
		return true;
	ph_buf_init(&b, LINE_SIZE);
	ph_buf_printf(&b, state.format == PH_LOG_JSON ? ",\"%s\":" : " %s=", f->name);
	put_value(&b, f);
	fits = !b.failed && line->n + b.n + RESERVE <= LINE_SIZE;
	if (fits)
		ph_buf_puts(line, ph_buf_str(&b));
	ph_buf_deinit(&b);
	return fits;
}

static void compose(struct ph_buf *line, enum ph_log_level level, struct ph_str msg,
	const struct ph_field *fields, size_t n)
{
	const struct ph_field node = PH_F_C("node", state.node);
	bool json = state.format == PH_LOG_JSON, whole;

	put_start(line, level, msg);
	whole = put_field(line, &node);
	for (size_t i = 0; i < n; i++)
		whole = put_field(line, &fields[i]) && whole;
	if (!whole)
		ph_buf_puts(line, json ? PH_STR(",\"cut\":true") : PH_STR(" cut=true"));
	ph_buf_puts(line, json ? PH_STR("}\n") : PH_STR("\n"));
}

static void write_line(struct ph_str line)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
	bool room = poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0;

	if (room && write(STDERR_FILENO, line.p, line.n) == (ssize_t)line.n)
		return;
	state.dropped++;
	ph_metric_add(PH_M_LOG_DROPPED, 0, 0, 1);
}

static void emit(enum ph_log_level level, struct ph_str msg, const struct ph_field *fields, size_t n)
{
	struct ph_buf line;

	if (!ph_log_on(level))
		return;
	ph_buf_init(&line, LINE_SIZE);
	compose(&line, level, msg, fields, n);
	write_line(ph_buf_str(&line));
	ph_buf_deinit(&line);
}

void ph_log(enum ph_log_level level, const char *fmt, ...)
{
	char msg[VALUE_MAX]; /* longer than what is shown, so that a secret at the cut is seen whole */
	va_list ap;

	if (!ph_log_on(level))
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	emit(level, ph_str_c(msg), NULL, 0);
}

void ph_log_fields(enum ph_log_level level, const char *msg, const struct ph_field *fields, size_t n)
{
	emit(level, ph_str_c(msg), fields, n);
}
