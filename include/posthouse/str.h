/* SPDX-License-Identifier: Apache-2.0 */
/* Slices of bytes. A ph_str borrows: it owns nothing, need not end with NUL and may hold any byte. */
#ifndef POSTHOUSE_STR_H
#define POSTHOUSE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ph_str {
	const char *p;
	size_t n;
};

#define PH_STR(literal) ((struct ph_str){"" literal, sizeof(literal) - 1})
/* For initialisers of static tables. */
/* clang-format off */
#define PH_STR_INIT(literal) { "" literal, sizeof(literal) - 1 }
/* clang-format on */
#define PH_STR_NONE   ((struct ph_str){NULL, 0})
#define PH_STR_ARG(s) (int)(s).n, (s).p ? (s).p : "" /* for "%.*s" */

static inline struct ph_str ph_str(const char *p, size_t n)
{
	return (struct ph_str){p, n};
}

static inline struct ph_str ph_str_c(const char *c)
{
	return (struct ph_str){c, c ? strlen(c) : 0};
}

static inline bool ph_str_eq(struct ph_str a, struct ph_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool ph_bytes_eq_nocase(const char *a, const char *b, size_t n);

/* ASCII only. The length is compared in line: a turn asks this of hundreds of pairs of header names. */
static inline bool ph_str_eq_nocase(struct ph_str a, struct ph_str b)
{
	return a.n == b.n && ph_bytes_eq_nocase(a.p, b.p, a.n);
}

static inline bool ph_str_starts(struct ph_str s, struct ph_str prefix)
{
	return s.n >= prefix.n && ph_str_eq(ph_str(s.p, prefix.n), prefix);
}

bool ph_str_ends(struct ph_str s, struct ph_str suffix);
struct ph_str ph_str_trim(struct ph_str s); /* spaces, tabs, CR, LF at both ends */

static inline struct ph_str ph_str_from(struct ph_str s, size_t offset)
{
	if (offset > s.n)
		offset = s.n;
	return offset ? ph_str(s.p + offset, s.n - offset) : s;
}

/* Cuts s at the first `sep`: returns what stands before it and leaves the rest in s. Without sep: all of s, s
 * empty. */
struct ph_str ph_str_split(struct ph_str *s, char sep);
/* First place of needle in s, or -1. The nocase form folds ASCII letters. */
ptrdiff_t ph_str_find(struct ph_str s, struct ph_str needle);
ptrdiff_t ph_str_find_nocase(struct ph_str s, struct ph_str needle);
bool ph_utf8_valid(struct ph_str s);
/* Decimal, no sign, no spaces, the whole of s. False on anything else or above max. */
bool ph_str_u64(struct ph_str s, uint64_t max, uint64_t *ret);
/* n in decimal with a NUL behind it; returns the length. dst holds PH_INT_TEXT bytes. */
#define PH_INT_TEXT 21
size_t ph_u64_text(char *dst, uint64_t n);
size_t ph_i64_text(char *dst, int64_t n);
/* Copies s into dst as a C string, cut to size - 1. */
void ph_str_copy(char *dst, size_t size, struct ph_str s);
/* A copy on the heap, with a NUL behind it that is not counted; p is for free(), also where s is empty. */
struct ph_str ph_str_dup(struct ph_str s);

#endif
