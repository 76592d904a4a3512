/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing buffer that is born with its maximum. Growing past it is an error: the buffer frees what it
 * holds, and every later append fails as well, so one check at the end of a series is enough.
 *
 * Appending is inline: a turn appends some 250 times, mostly a few bytes whose number the compiler knows.
 */
#ifndef POSTHOUSE_BUF_H
#define POSTHOUSE_BUF_H

#include "posthouse/err.h"
#include "posthouse/str.h"

struct ph_buf {
	char *p;
	size_t n;   /* bytes held */
	size_t cap; /* bytes allocated */
	size_t max;
	bool failed; /* grew past max; only ph_buf_reset() or ph_buf_deinit() leave this state */
};

void ph_buf_init(struct ph_buf *b, size_t max); /* allocates nothing */
void ph_buf_deinit(struct ph_buf *b); /* may be repeated; leaves an empty buffer with the same max */
void ph_buf_reset(struct ph_buf *b);  /* empties, keeps the memory, clears `failed` */

/* 0 or -PH_E_BODY_TOO_LARGE. The result may be ignored where the caller checks `failed` at the end. */
int ph_buf_append_slow(struct ph_buf *b, const void *p, size_t n); /* what append does where it must grow */

static inline int ph_buf_append(struct ph_buf *b, const void *p, size_t n)
{
	if (n - 1 >= b->cap - b->n) /* no room, failed, or n is 0 */
		return ph_buf_append_slow(b, p, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
	return 0;
}

static inline int ph_buf_puts(struct ph_buf *b, struct ph_str s)
{
	return ph_buf_append(b, s.p, s.n);
}

static inline int ph_buf_putc(struct ph_buf *b, char c)
{
	return ph_buf_append(b, &c, 1);
}

int ph_buf_u64(struct ph_buf *b, uint64_t n);
int ph_buf_i64(struct ph_buf *b, int64_t n);
int ph_buf_padded(struct ph_buf *b, uint64_t n, size_t width); /* with leading zeros to width, at most 20 */
int ph_buf_ms(struct ph_buf *b, int64_t ns); /* nanoseconds, as milliseconds with three decimals */
/* For what is rare: the functions above cost a quarter of it. */
int ph_buf_printf(struct ph_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Appends s as the inside of a JSON string (no quotes). Invalid UTF-8 becomes U+FFFD. */
int ph_buf_json(struct ph_buf *b, struct ph_str s);

/* Room for at least n more bytes: returns where to write, or NULL past max. ph_buf_wrote() then says how many
 * came. */
char *ph_buf_room(struct ph_buf *b, size_t n);
void ph_buf_wrote(struct ph_buf *b, size_t n);

void ph_buf_consume(struct ph_buf *b, size_t n); /* drops n bytes from the front */

static inline struct ph_str ph_buf_str(const struct ph_buf *b)
{
	return (struct ph_str){b->p, b->n};
}

#endif
