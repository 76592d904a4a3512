/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-dimensional arrays: out in text form, as every parameter but bytea, and in from PostgreSQL's binary
 * format: dimensions, has-nulls, element type, size and lower bound, then each element as length and bytes
 * (src/backend/utils/adt/arrayfuncs.c, array_send).
 */
#include "posthouse/pg.h"

#define HEAD (5 * 4)

static int32_t be32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (int32_t)((uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3]);
}

size_t ph_pg_array_count(const struct ph_pg_result *r, int row, int col)
{
	struct ph_str a = ph_pg_is_null(r, row, col) ? PH_STR_NONE : ph_pg_str(r, row, col);

	if (a.n < HEAD || be32(a.p) != 1 || be32(a.p + 12) < 0)
		return 0;
	return (size_t)be32(a.p + 12);
}

struct ph_str ph_pg_array_str(const struct ph_pg_result *r, int row, int col, size_t i)
{
	struct ph_str a = ph_pg_str(r, row, col);
	size_t at = HEAD;

	for (size_t k = 0; at + 4 <= a.n; k++) {
		int32_t n = be32(a.p + at);

		at += 4;
		if (n < 0)
			n = 0;
		if ((size_t)n > a.n - at)
			break;
		if (k == i)
			return ph_str(a.p + at, (size_t)n);
		at += (size_t)n;
	}
	return PH_STR_NONE;
}

int64_t ph_pg_array_int(const struct ph_pg_result *r, int row, int col, size_t i)
{
	struct ph_str s = ph_pg_array_str(r, row, col, i);
	uint64_t v = s.n && (s.p[0] & 0x80) ? UINT64_MAX : 0; /* sign-extends int2 and int4 */

	for (size_t k = 0; k < s.n; k++)
		v = v << 8 | (unsigned char)s.p[k];
	return (int64_t)v;
}

static void put_quoted(struct ph_buf *b, struct ph_str s)
{
	size_t from = 0;

	for (size_t at = 0; at < s.n; at++) {
		if (s.p[at] != '"' && s.p[at] != '\\')
			continue;
		ph_buf_append(b, s.p + from, at - from);
		ph_buf_putc(b, '\\');
		from = at;
	}
	ph_buf_append(b, s.p + from, s.n - from);
}

void ph_pg_text_array(struct ph_buf *b, const struct ph_str *items, size_t n)
{
	ph_buf_putc(b, '{');
	for (size_t i = 0; i < n; i++) {
		ph_buf_puts(b, i ? PH_STR(",\"") : PH_STR("\""));
		put_quoted(b, items[i]);
		ph_buf_putc(b, '"');
	}
	ph_buf_putc(b, '}');
}
