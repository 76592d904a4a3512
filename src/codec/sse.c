/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SSE scanner. It never changes a byte: it says where units end and what they hold, for a relay that
 * passes the bytes on.
 *
 * A unit that lies in one read is borrowed from it. Only a unit that is still open at the end of a read is
 * copied, into `held`, and goes on there, so that its lines are contiguous. Every byte is looked for as LF
 * once and as CR once, whatever the reads' sizes: a 12 MiB event in one-byte reads costs what it costs whole,
 * and the copy.
 *
 * Everything about the open unit is kept as offsets from its first byte, because `held` moves when it grows.
 */
#include "posthouse/sse.h"

#include <stdlib.h>

#define HELD_KEEP 2048 /* bytes of memory that an idle stream may keep for its next open unit */
#define NOWHERE   SIZE_MAX

/* What the lines of the open unit have said so far. */
struct unit {
	size_t line; /* where the current line begins */
	size_t event, event_n;
	size_t data, data_n; /* the first data line's value */
	size_t data_lines;
	bool data_bare; /* that line is `data` without a colon: nothing can be put in its place */
};

struct ph_sse {
	void (*on_unit)(void *owner, const struct ph_sse_unit *unit);
	void *owner;
	struct unit unit;
	struct ph_buf held;   /* the open unit's bytes, if it was not whole in one read */
	struct ph_buf joined; /* its data, once it has more than one line */
	bool after_cr;        /* a read ended with a CR: an LF at the front of the next belongs to it */
	bool began;           /* the stream's first line has passed: no BOM any more */
	bool stopped, failed;
};

/* One feed. next_lf and next_cr are where the next of each stands at or behind `at`, or n: looked for only
 * once. */
struct reading {
	const char *p;
	size_t n;
	size_t from; /* where the open unit begins; 0 where it is held */
	size_t at;   /* behind what was taken */
	size_t next_lf, next_cr;
};

static size_t find(const struct reading *r, char c)
{
	const char *hit = r->at < r->n ? memchr(r->p + r->at, c, r->n - r->at) : NULL;

	return hit ? (size_t)(hit - r->p) : r->n;
}

/* The end of the line at r->at, or r->n where it is not in this read. */
static size_t find_line_end(struct reading *r)
{
	if (r->next_lf < r->at)
		r->next_lf = find(r, '\n');
	if (r->next_cr < r->at)
		r->next_cr = find(r, '\r');
	return r->next_lf < r->next_cr ? r->next_lf : r->next_cr;
}

/* The open unit's bytes so far. */
static struct ph_str unit_bytes(const struct ph_sse *s, const struct reading *r)
{
	return s->held.n > 0 ? ph_buf_str(&s->held) : ph_str(r->p + r->from, r->at - r->from);
}

/* Takes the read's bytes up to `to` into the open unit. */
static int take(struct ph_sse *s, struct reading *r, size_t to)
{
	size_t from = r->at;

	r->at = to;
	if (s->held.n > 0)
		return ph_buf_append(&s->held, r->p + from, to - from);
	return to - r->from > s->held.max ? -PH_E_BODY_TOO_LARGE : 0;
}

/* Whether the line is the field `name`; then ret_value is the offset of its value within the line. */
static bool is_field(struct ph_str line, struct ph_str name, size_t *ret_value)
{
	size_t i = name.n;

	if (!ph_str_starts(line, name) || (line.n > i && line.p[i] != ':'))
		return false;
	if (line.n > i)
		i++;
	if (line.n > i && line.p[i] == ' ')
		i++;
	*ret_value = i;
	return true;
}

/* One line of data. A second one, and all that follow, are joined aside. */
static void add_data(struct ph_sse *s, struct ph_str raw, size_t offset, size_t n, bool bare)
{
	struct unit *u = &s->unit;

	if (u->data_lines == 0) {
		u->data = offset;
		u->data_n = n;
		u->data_bare = bare;
	} else {
		if (u->data_lines == 1)
			ph_buf_append(&s->joined, raw.p + u->data, u->data_n);
		ph_buf_putc(&s->joined, '\n');
		ph_buf_append(&s->joined, raw.p + offset, n);
	}
	u->data_lines++;
}

/* A line of the open unit, without its end. */
static void read_line(struct ph_sse *s, struct ph_str raw, size_t n)
{
	struct ph_str line = ph_str(raw.p + s->unit.line, n);
	size_t value;

	if (is_field(line, PH_STR("data"), &value)) {
		add_data(s, raw, s->unit.line + value, line.n - value, line.n == 4);
	} else if (is_field(line, PH_STR("event"), &value)) {
		s->unit.event = s->unit.line + value;
		s->unit.event_n = line.n - value;
	}
}

/* A BOM in front of the stream's first line is none of its bytes. */
static void skip_bom(struct ph_sse *s, struct ph_str raw)
{
	if (!s->began && ph_str_starts(ph_str_from(raw, s->unit.line), PH_STR("\xef\xbb\xbf")))
		s->unit.line += 3;
	s->began = true;
}

/* Delivers the open unit and begins the next. */
static void dispatch(struct ph_sse *s, struct ph_str raw)
{
	const struct unit *u = &s->unit;
	struct ph_sse_unit unit = {.raw = raw, .data_offset = NOWHERE, .has_data = u->data_lines > 0};

	unit.event = ph_str(raw.p + u->event, u->event_n);
	if (u->data_lines > 1) {
		unit.data = ph_buf_str(&s->joined);
	} else if (u->data_lines == 1) {
		unit.data = ph_str(raw.p + u->data, u->data_n);
		unit.data_offset = u->data_bare ? NOWHERE : u->data;
	}
	s->on_unit(s->owner, &unit);
}

static void drop(struct ph_buf *b)
{
	if (b->cap > HELD_KEEP)
		ph_buf_deinit(b);
	else
		ph_buf_reset(b);
}

static void begin_unit(struct ph_sse *s, struct reading *r)
{
	s->unit = (struct unit){0};
	drop(&s->held);
	drop(&s->joined);
	r->from = r->at;
}

/* A line ends at `end` of the read. */
static int end_line(struct ph_sse *s, struct reading *r, size_t end)
{
	size_t behind = end + 1;
	struct ph_str raw;
	size_t n;

	if (r->p[end] == '\r') {
		s->after_cr = behind == r->n;
		if (behind < r->n && r->p[behind] == '\n')
			behind++;
	}
	if (take(s, r, behind) < 0)
		return -PH_E_BODY_TOO_LARGE;
	raw = unit_bytes(s, r);
	skip_bom(s, raw);
	n = raw.n - (behind - end) - s->unit.line;
	if (n > 0)
		read_line(s, raw, n);
	s->unit.line = raw.n;
	if (n == 0) {
		dispatch(s, raw);
		begin_unit(s, r);
	}
	return 0;
}

/* The LF of a CR that ended the read before. Its line is over: it only belongs to what stands in front of the
 * next. */
static int take_late_lf(struct ph_sse *s, struct reading *r)
{
	s->after_cr = false;
	if (r->p[0] != '\n')
		return 0;
	s->unit.line++;
	return take(s, r, 1);
}

static int scan(struct ph_sse *s, struct reading *r)
{
	int e = s->after_cr && r->n > 0 ? take_late_lf(s, r) : 0;

	r->next_lf = find(r, '\n');
	r->next_cr = find(r, '\r');
	while (e == 0 && !s->stopped) {
		size_t end = find_line_end(r);

		if (end == r->n)
			break;
		e = end_line(s, r, end);
	}
	if (e < 0 || s->stopped)
		return e;
	if (s->held.n > 0)
		return ph_buf_append(&s->held, r->p + r->at, r->n - r->at);
	return ph_buf_append(&s->held, r->p + r->from, r->n - r->from);
}

int ph_sse_feed(struct ph_sse *s, struct ph_str bytes)
{
	struct reading r = {.p = bytes.p, .n = bytes.n};

	if (s->stopped || bytes.n == 0)
		return 0;
	if (s->failed || scan(s, &r) < 0) {
		s->failed = true;
		return -PH_E_BODY_TOO_LARGE;
	}
	return 0;
}

void ph_sse_stop(struct ph_sse *s)
{
	s->stopped = true;
}

void ph_sse_finish(struct ph_sse *s)
{
	struct ph_str raw = ph_buf_str(&s->held);
	struct reading end = {0};

	if (s->stopped || s->failed || raw.n == 0)
		return;
	skip_bom(s, raw);
	if (raw.n > s->unit.line)
		read_line(s, raw, raw.n - s->unit.line);
	dispatch(s, raw);
	begin_unit(s, &end);
}

struct ph_sse *ph_sse_new(
	size_t max, void (*on_unit)(void *owner, const struct ph_sse_unit *unit), void *owner)
{
	struct ph_sse *s = ph_alloc(sizeof(*s));

	s->on_unit = on_unit;
	s->owner = owner;
	ph_buf_init(&s->held, max);
	ph_buf_init(&s->joined, max);
	return s;
}

struct ph_sse *ph_sse_free(struct ph_sse *s)
{
	if (s == NULL)
		return NULL;
	ph_buf_deinit(&s->held);
	ph_buf_deinit(&s->joined);
	free(s);
	return NULL;
}

void ph_sse_put(struct ph_buf *b, struct ph_str type, struct ph_str json)
{
	ph_buf_puts(b, PH_STR("event: "));
	ph_buf_puts(b, type);
	ph_buf_puts(b, PH_STR("\ndata: "));
	ph_buf_puts(b, json);
	ph_buf_puts(b, PH_STR("\n\n"));
}
