/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growing buffer. One byte more than `cap` is always allocated, so that printf's NUL has a place even in
 * a buffer that is filled to its maximum.
 */
#include "posthouse/buf.h"

#include "posthouse/crypt.h"

#include "base_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAP 256

void ph_buf_init(struct ph_buf *b, size_t max)
{
	*b = (struct ph_buf){.max = max};
}

void ph_buf_deinit(struct ph_buf *b)
{
	free(b->p);
	ph_buf_init(b, b->max);
}

void ph_buf_reset(struct ph_buf *b)
{
	b->n = 0;
	b->failed = false;
}

static int fail(struct ph_buf *b)
{
	ph_buf_deinit(b);
	b->failed = true;
	return -PH_E_BODY_TOO_LARGE;
}

/* Room for n more bytes, by doubling. */
static int grow(struct ph_buf *b, size_t n)
{
	size_t need = b->n + n, cap = b->cap ? b->cap : FIRST_CAP;

	if (n <= b->cap - b->n && !b->failed)
		return 0;
	if (b->failed || n > b->max - b->n)
		return fail(b);
	while (cap < need)
		cap = cap > b->max / 2 ? b->max : cap * 2;
	if (cap > b->max)
		cap = b->max;
	b->p = ph_realloc(b->p, cap + 1);
	b->cap = cap;
	return 0;
}

int ph_buf_append_slow(struct ph_buf *b, const void *p, size_t n)
{
	int result = grow(b, n);

	if (result == 0 && n > 0) {
		memcpy(b->p + b->n, p, n);
		b->n += n;
	}
	return result;
}

int ph_buf_u64(struct ph_buf *b, uint64_t n)
{
	return ph_buf_padded(b, n, 0);
}

int ph_buf_i64(struct ph_buf *b, int64_t n)
{
	char text[PH_INT_TEXT];

	return ph_buf_append(b, text, ph_i64_text(text, n));
}

int ph_buf_padded(struct ph_buf *b, uint64_t n, size_t width)
{
	static const char zeros[PH_INT_TEXT - 1 + 1] = "00000000000000000000";
	char text[PH_INT_TEXT];
	size_t size = ph_u64_text(text, n);

	assert(width < sizeof(zeros));
	if (size < width)
		(void)ph_buf_append(b, zeros, width - size);
	return ph_buf_append(b, text, size);
}

int ph_buf_ms(struct ph_buf *b, int64_t ns)
{
	uint64_t size = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t us = size / 1000 + (size % 1000 >= 500);

	if (ns < 0)
		(void)ph_buf_putc(b, '-');
	(void)ph_buf_u64(b, us / 1000);
	(void)ph_buf_putc(b, '.');
	return ph_buf_padded(b, us % 1000, 3);
}

int ph_buf_printf(struct ph_buf *b, const char *fmt, ...)
{
	size_t room = b->p ? b->cap - b->n + 1 : 0;
	va_list ap, again;
	int n, result;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
	va_end(ap);
	result = n < 0 ? fail(b) : grow(b, (size_t)n);
	if (result == 0) {
		if ((size_t)n >= room)
			vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
	return result;
}

/* What a byte that is not plain becomes inside a JSON string. */
static int put_special(struct ph_buf *b, char c)
{
	static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: the byte, its letter */

	for (size_t i = 0; i + 1 < sizeof(short_form); i += 2) {
		if (short_form[i] == c)
			return ph_buf_append(b, (char[]){'\\', short_form[i + 1]}, 2);
	}
	if ((unsigned char)c < 0x20) {
		char text[] = "\\u00xx";

		ph_hex(text + 4, (const uint8_t *)&c, 1);
		return ph_buf_append(b, text, sizeof(text) - 1);
	}
	return ph_buf_puts(b, PH_STR("\xef\xbf\xbd"));
}

int ph_buf_json(struct ph_buf *b, struct ph_str s)
{
	int result = b->failed ? -PH_E_BODY_TOO_LARGE : 0;

	while (s.n > 0 && result == 0) {
		size_t n = ph_plain_run(s.p, s.n);

		if (n == 0 && (unsigned char)s.p[0] >= 0x80)
			n = ph_utf8_len(s.p, s.n);
		result = n ? ph_buf_append(b, s.p, n) : put_special(b, s.p[0]);
		s = ph_str_from(s, n ? n : 1);
	}
	return result;
}

char *ph_buf_room(struct ph_buf *b, size_t n)
{
	/* At least one byte, so that the answer to "no room needed" is not mistaken for failure. */
	if (grow(b, n))
		return NULL;
	if (!b->p) {
		b->p = ph_alloc(1);
		b->cap = 0;
	}
	return b->p + b->n;
}

void ph_buf_wrote(struct ph_buf *b, size_t n)
{
	assert(n <= b->cap - b->n);
	b->n += n;
}

void ph_buf_consume(struct ph_buf *b, size_t n)
{
	assert(n <= b->n);
	b->n -= n;
	if (b->n > 0 && n > 0)
		memmove(b->p, b->p + n, b->n);
}
