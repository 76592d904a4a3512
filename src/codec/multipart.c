/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Line by line, since a boundary stands at the beginning of one: the head of a line is kept until it is clear
 * that it is no boundary; the rest of it is passed over.
 */
#include "posthouse/multipart.h"

#include <stdlib.h>

#define BOUNDARY_MAX 200 /* RFC 2046 says 70 */
#define HEAD_MAX     (8 * 1024)

struct ph_multipart {
	ph_multipart_cb on_field;
	void *arg;
	char boundary[BOUNDARY_MAX + 3]; /* with the two dashes */
	size_t boundary_n;
	struct ph_buf line;  /* the beginning of the line, as much as matters */
	struct ph_buf head;  /* of the part */
	struct ph_buf value; /* of a field that is no file */
	bool in_head, in_value;
	bool too_long; /* the value */
	bool skips;    /* the rest of this line is of no interest */
	bool over;
	struct ph_str name; /* within head */
};

/* The value of a parameter: behind `name=`, quoted or not. Quoted pairs stay as they are. */
static bool parameter(struct ph_str field, struct ph_str name, struct ph_str *ret)
{
	while (field.n) {
		struct ph_str piece = ph_str_trim(ph_str_split(&field, ';'));
		struct ph_str key = ph_str_trim(ph_str_split(&piece, '='));

		if (!ph_str_eq_nocase(key, name))
			continue;
		piece = ph_str_trim(piece);
		if (piece.n >= 2 && piece.p[0] == '"' && piece.p[piece.n - 1] == '"')
			piece = ph_str(piece.p + 1, piece.n - 2);
		*ret = piece;
		return true;
	}
	return false;
}

struct ph_multipart *ph_multipart_new(struct ph_str content_type, ph_multipart_cb on_field, void *arg)
{
	struct ph_str rest = content_type, kind = ph_str_trim(ph_str_split(&rest, ';')), boundary;
	struct ph_multipart *m;

	if (!ph_str_eq_nocase(kind, PH_STR("multipart/form-data")) ||
		!parameter(rest, PH_STR("boundary"), &boundary) || !boundary.n || boundary.n > BOUNDARY_MAX)
		return NULL;
	m = ph_alloc(sizeof *m);
	m->on_field = on_field;
	m->arg = arg;
	memcpy(m->boundary, "--", 2);
	memcpy(m->boundary + 2, boundary.p, boundary.n);
	m->boundary_n = boundary.n + 2;
	ph_buf_init(&m->line, HEAD_MAX);
	ph_buf_init(&m->head, HEAD_MAX);
	ph_buf_init(&m->value, PH_FIELD_VALUE_MAX);
	return m;
}

struct ph_multipart *ph_multipart_free(struct ph_multipart *m)
{
	if (!m)
		return NULL;
	ph_buf_deinit(&m->line);
	ph_buf_deinit(&m->head);
	ph_buf_deinit(&m->value);
	free(m);
	return NULL;
}

/* The head is complete: what is the field called, and is it a file? -PH_E_BODY_BAD: that cannot be said. */
static int read_head(struct ph_multipart *m)
{
	struct ph_str rest = ph_buf_str(&m->head), file;
	bool named = false, is_file = false;

	while (rest.n) {
		struct ph_str line = ph_str_split(&rest, '\n'), key = ph_str_split(&line, ':');

		if (!ph_str_eq_nocase(ph_str_trim(key), PH_STR("content-disposition")))
			continue;
		if (named || parameter(line, PH_STR("name*"), &file) ||
			!parameter(line, PH_STR("name"), &m->name))
			return -PH_E_BODY_BAD;
		named = true;
		is_file = parameter(line, PH_STR("filename"), &file);
	}
	if (!named)
		return -PH_E_BODY_BAD;
	m->in_head = false;
	m->in_value = !is_file;
	ph_buf_reset(&m->value);
	m->too_long = false;
	if (is_file)
		m->on_field(m->arg, m->name, PH_STR_NONE);
	return 0;
}

/* The boundary ends the part before it; the line end before the boundary is not the value's. */
static void end_value(struct ph_multipart *m)
{
	struct ph_str value = ph_buf_str(&m->value);

	if (!m->in_value)
		return;
	m->in_value = false;
	if (m->too_long) {
		m->on_field(m->arg, m->name, PH_STR_NONE);
		return;
	}
	if (value.n && value.p[value.n - 1] == '\n')
		value.n--;
	if (value.n && value.p[value.n - 1] == '\r')
		value.n--;
	m->on_field(m->arg, m->name, value.p ? value : PH_STR(""));
}

static bool is_boundary(const struct ph_multipart *m, struct ph_str line)
{
	struct ph_str rest = ph_str_trim(ph_str_from(line, m->boundary_n));

	return ph_str_starts(line, ph_str(m->boundary, m->boundary_n)) &&
	       (rest.n == 0 || ph_str_starts(rest, PH_STR("--")));
}

/* line: to its end, with it. */
static int take_line(struct ph_multipart *m, struct ph_str line)
{
	if (is_boundary(m, line)) {
		end_value(m);
		m->over = ph_str_starts(ph_str_from(line, m->boundary_n), PH_STR("--"));
		m->in_head = !m->over;
		ph_buf_reset(&m->head);
		return 0;
	}
	if (m->in_value && ph_buf_puts(&m->value, line))
		m->too_long = true;
	if (!m->in_head)
		return 0;
	if (ph_str_trim(line).n == 0)
		return read_head(m);
	return ph_buf_puts(&m->head, line) ? -PH_E_BODY_BAD : 0;
}

/* What came of a line that has not ended: whether its end will matter. */
static bool is_open(const struct ph_multipart *m, struct ph_str line)
{
	struct ph_str boundary = ph_str(m->boundary, m->boundary_n);

	return m->in_head || m->in_value || ph_str_starts(boundary, line) || ph_str_starts(line, boundary);
}

/* The last boundary need not end with a line. */
static bool is_last(const struct ph_multipart *m, struct ph_str line)
{
	return ph_str_starts(line, ph_str(m->boundary, m->boundary_n)) &&
	       ph_str_starts(ph_str_from(line, m->boundary_n), PH_STR("--"));
}

static int keep_line(struct ph_multipart *m, struct ph_str piece)
{
	size_t room = HEAD_MAX - m->line.n;
	bool cut = piece.n > room;
	int rc = 0;

	ph_buf_puts(&m->line, cut ? ph_str(piece.p, room) : piece);
	if (is_last(m, ph_buf_str(&m->line)))
		rc = take_line(m, ph_buf_str(&m->line));
	else if (cut && m->in_head)
		rc = -PH_E_BODY_BAD;
	else if (!cut && is_open(m, ph_buf_str(&m->line)))
		return 0;
	else
		m->too_long = m->in_value;
	m->skips = true;
	ph_buf_reset(&m->line);
	return rc;
}

int ph_multipart_feed(struct ph_multipart *m, struct ph_str bytes)
{
	int rc = 0;

	while (bytes.n && rc == 0 && !m->over) {
		const char *lf = memchr(bytes.p, '\n', bytes.n);
		struct ph_str piece = ph_str(bytes.p, lf ? (size_t)(lf - bytes.p) + 1 : bytes.n);

		bytes = ph_str_from(bytes, piece.n);
		if (!m->skips && lf && m->line.n == 0) {
			rc = take_line(m, piece);
		} else if (!m->skips) {
			rc = keep_line(m, piece);
			if (rc == 0 && lf && !m->skips) {
				rc = take_line(m, ph_buf_str(&m->line));
				ph_buf_reset(&m->line);
			}
		}
		if (lf)
			m->skips = false;
	}
	return rc;
}
