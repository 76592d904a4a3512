/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log writer. Lines are composed one behind the other in one buffer, and leave by a single write() of at
 * most PIPE_BUF bytes if the descriptor takes it at once. PIPE_BUF, because a pipe that polls as writable
 * takes that much without blocking and without mixing it with the lines of another worker. Standard error
 * itself is never made non-blocking: it is shared with whoever started us.
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
/* What waits, the line behind it, and a field that turns out too long; names of fields are ours and short. */
#define OUT_MAX (2 * LINE_SIZE + 7 * VALUE_MAX)

static struct {
	enum ph_log_level level;
	enum ph_log_format format;
	char node[128];
	bool hold;
	struct ph_buf
		out; /* `held` bytes of whole lines, at most LINE_SIZE; behind them the line in the making */
	size_t held;
	unsigned lines; /* in these bytes */
	uint64_t dropped;
} state = {.level = PH_LOG_INFO, .format = PH_LOG_JSON, .out = {.max = OUT_MAX}};

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

void ph_log_flush(void)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
	size_t n = state.held;
	bool room;

	if (n == 0)
		return;
	room = poll(&fd, 1, 0) == 1 && (fd.revents & POLLOUT) != 0;
	if (!room || write(STDERR_FILENO, state.out.p, n) != (ssize_t)n) {
		state.dropped += state.lines;
		ph_metric_add(PH_M_LOG_DROPPED, 0, 0, state.lines);
	}
	ph_buf_consume(&state.out, n);
	state.held = 0;
	state.lines = 0;
}

void ph_log_hold(bool hold)
{
	state.hold = hold;
	if (!hold)
		ph_log_flush();
}

/* ---- a line ---- */

/* The text of a second serves all lines of that second. */
static void put_time(struct ph_buf *b)
{
	static char text[sizeof("2024-02-29T12:00:00.")];
	static time_t second = -1;
	struct timespec t;
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &t);
	if (t.tv_sec != second) {
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.", gmtime_r(&t.tv_sec, &tm));
		second = t.tv_sec;
	}
	ph_buf_append(b, text, sizeof(text) - 1);
	ph_buf_padded(b, (uint64_t)t.tv_nsec / 1000, 6);
	ph_buf_putc(b, 'Z');
}

/* What stands before the fields: in text the message itself, in JSON members like the others. */
static void put_start(struct ph_buf *line, enum ph_log_level level, struct ph_str msg)
{
	static const struct ph_str json[] = {PH_STR_INIT("\",\"level\":\"error\",\"msg\":\""),
		PH_STR_INIT("\",\"level\":\"warn\",\"msg\":\""),
		PH_STR_INIT("\",\"level\":\"info\",\"msg\":\""),
		PH_STR_INIT("\",\"level\":\"debug\",\"msg\":\"")};
	static const struct ph_str text[] = {PH_STR_INIT(" error "), PH_STR_INIT(" warn  "),
		PH_STR_INIT(" info  "), PH_STR_INIT(" debug ")};
	char clean[MSG_MAX];

	ph_log_redact(clean, sizeof(clean), msg);
	if (state.format == PH_LOG_JSON)
		ph_buf_puts(line, PH_STR("{\"ts\":\""));
	put_time(line);
	ph_buf_puts(line, state.format == PH_LOG_JSON ? json[level] : text[level]);
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
	switch (f->kind) {
	case PH_FIELD_STR:
		put_text(b, f->s);
		break;
	case PH_FIELD_INT:
		ph_buf_i64(b, f->i);
		break;
	case PH_FIELD_MS:
		ph_buf_ms(b, f->i);
		break;
	case PH_FIELD_BOOL:
		ph_buf_puts(b, f->i ? PH_STR("true") : PH_STR("false"));
		break;
	}
}

static void put_name(struct ph_buf *b, const char *name)
{
	bool json = state.format == PH_LOG_JSON;

	ph_buf_puts(b, json ? PH_STR(",\"") : PH_STR(" "));
	ph_buf_puts(b, ph_str_c(name));
	ph_buf_puts(b, json ? PH_STR("\":") : PH_STR("="));
}

/* Appends a field, and takes it back if the line has no room for it and for its own end. */
static bool put_field(struct ph_buf *b, const struct ph_field *f)
{
	size_t before = b->n;

	if (f->kind == PH_FIELD_STR && f->s.n == 0)
		return true;
	put_name(b, f->name);
	put_value(b, f);
	if (b->n - state.held + RESERVE <= LINE_SIZE)
		return true;
	b->n = before;
	return false;
}

static void compose(
	struct ph_buf *b, enum ph_log_level level, struct ph_str msg, const struct ph_field *fields, size_t n)
{
	const struct ph_field node = PH_F_C("node", state.node);
	bool json = state.format == PH_LOG_JSON, whole;

	put_start(b, level, msg);
	whole = put_field(b, &node);
	for (size_t i = 0; i < n; i++)
		whole = put_field(b, &fields[i]) && whole;
	if (!whole)
		ph_buf_puts(b, json ? PH_STR(",\"cut\":true") : PH_STR(" cut=true"));
	ph_buf_puts(b, json ? PH_STR("}\n") : PH_STR("\n"));
}

static void emit(enum ph_log_level level, struct ph_str msg, const struct ph_field *fields, size_t n)
{
	if (!ph_log_on(level))
		return;
	compose(&state.out, level, msg, fields, n);
	if (state.out.n > LINE_SIZE)
		ph_log_flush(); /* the lines before this one */
	state.held = state.out.n;
	state.lines++;
	if (!state.hold || level == PH_LOG_ERROR)
		ph_log_flush();
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
