/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: comparing, cutting, searching. No locale: what the wire calls a letter is ASCII. */
#include "posthouse/str.h"

#include "posthouse/err.h"

#include "base_priv.h"

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool ph_bytes_eq_nocase(const char *a, const char *b, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

bool ph_str_ends(struct ph_str s, struct ph_str suffix)
{
	return s.n >= suffix.n && ph_str_eq(ph_str_from(s, s.n - suffix.n), suffix);
}

struct ph_str ph_str_trim(struct ph_str s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = ph_str_from(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct ph_str ph_str_split(struct ph_str *s, char sep)
{
	const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
	struct ph_str head = *s;

	if (!at) {
		*s = ph_str_from(*s, s->n);
		return head;
	}
	head.n = (size_t)(at - s->p);
	*s = ph_str_from(*s, head.n + 1);
	return head;
}

#ifdef PH_BLOCK
/*
 * Sixteen places at a time, a look only at those where the needle's first and last byte both stand: a chain
 * is searched for a few words that it seldom holds, and memmem() goes byte by byte. *at comes to stand on the
 * needle, or where fewer places are left.
 */
static bool find_in_blocks(struct ph_str s, struct ph_str needle, size_t *at)
{
	const __m128i first = _mm_set1_epi8(needle.p[0]), last = _mm_set1_epi8(needle.p[needle.n - 1]);

	for (size_t i = 0; i + needle.n + 15 <= s.n; *at = i += 16) {
		const char *p = s.p + i;
		__m128i begins = _mm_cmpeq_epi8(first, ph_load16(p));
		__m128i ends = _mm_cmpeq_epi8(last, ph_load16(p + needle.n - 1));

		for (uint64_t both = ph_mask(_mm_and_si128(begins, ends)); both; both &= both - 1) {
			*at = i + (size_t)__builtin_ctzll(both);
			if (memcmp(s.p + *at, needle.p, needle.n) == 0)
				return true;
		}
	}
	return false;
}
#endif

ptrdiff_t ph_str_find(struct ph_str s, struct ph_str needle)
{
	size_t from = 0;
	const char *at;

	if (needle.n == 0)
		return 0;
#ifdef PH_BLOCK
	if (find_in_blocks(s, needle, &from))
		return (ptrdiff_t)from;
#endif
	if (s.n - from < needle.n)
		return -1;
	at = memmem(s.p + from, s.n - from, needle.p, needle.n);
	return at ? at - s.p : -1;
}

ptrdiff_t ph_str_find_nocase(struct ph_str s, struct ph_str needle)
{
	for (size_t i = 0; i + needle.n <= s.n; i++) {
		if (ph_str_eq_nocase(ph_str(s.p + i, needle.n), needle))
			return (ptrdiff_t)i;
	}
	return -1;
}

bool ph_str_u64(struct ph_str s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(s.p[i] - '0');

		if (s.p[i] < '0' || digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

size_t ph_u64_text(char *dst, uint64_t n)
{
	size_t size = 1, i;

	for (uint64_t rest = n; rest > 9; rest /= 10)
		size++;
	dst[size] = '\0';
	for (i = size; i-- > 0; n /= 10)
		dst[i] = (char)('0' + n % 10);
	return size;
}

size_t ph_i64_text(char *dst, int64_t n)
{
	if (n >= 0)
		return ph_u64_text(dst, (uint64_t)n);
	dst[0] = '-';
	return 1 + ph_u64_text(dst + 1, 0 - (uint64_t)n);
}

void ph_str_copy(char *dst, size_t size, struct ph_str s)
{
	size_t n = s.n < size ? s.n : size - 1;

	if (n)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
}

struct ph_str ph_str_dup(struct ph_str s)
{
	char *p = ph_alloc(s.n + 1);

	if (s.n)
		memcpy(p, s.p, s.n);
	return ph_str(p, s.n);
}
