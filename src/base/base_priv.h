/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text primitives that the buffer's escaping and the JSON scanner share. Inline, because the scanner calls
 * them once per string and most strings are short.
 */
#ifndef PH_BASE_PRIV_H
#define PH_BASE_PRIV_H

#include "posthouse/str.h"

#if defined(__SSE2__) && !defined(PH_NO_SIMD)
#include <emmintrin.h>
#endif

#define PH_SWAR_ONES  UINT64_C(0x0101010101010101)
#define PH_SWAR_HIGHS UINT64_C(0x8080808080808080)

/* Whether a byte may stand inside a JSON string as it is, without a look at its neighbours. */
static inline bool ph_is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Non-zero if one of eight bytes ends a run. Which one, the caller finds out byte by byte. */
static inline uint64_t ph_swar_special(uint64_t x, bool trusted)
{
	uint64_t quote = x ^ (PH_SWAR_ONES * '"');
	uint64_t backslash = x ^ (PH_SWAR_ONES * '\\');
	uint64_t low = (x - PH_SWAR_ONES * 0x20) & ~x;

	quote = (quote - PH_SWAR_ONES) & ~quote;
	backslash = (backslash - PH_SWAR_ONES) & ~backslash;
	return (quote | backslash | (trusted ? 0 : x | low)) & PH_SWAR_HIGHS;
}

#if defined(__SSE2__) && !defined(PH_NO_SIMD)
#define PH_BLOCK 64

static inline uint64_t ph_mask(__m128i v)
{
	return (unsigned)_mm_movemask_epi8(v);
}

static inline __m128i ph_load16(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* A bit for each of sixteen bytes that ends a run. */
static inline uint64_t ph_special16(const char *p, bool trusted)
{
	const __m128i v = ph_load16(p);
	__m128i special =
		_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));

	/* Signed: control characters and all bytes above 0x7f are below the space. */
	if (!trusted)
		special = _mm_or_si128(special, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)));
	return ph_mask(special);
}

/* The bytes of a block by what they mean, a bit each. */
struct ph_block {
	uint64_t quote, backslash;
	uint64_t judged; /* control characters and bytes above 0x7f; not filled for trusted text */
};

static inline struct ph_block ph_block_look(const char *p, bool trusted)
{
	struct ph_block b = {0, 0, 0};

	for (unsigned i = 0; i < PH_BLOCK; i += 16) {
		const __m128i v = ph_load16(p + i);

		b.quote |= ph_mask(_mm_cmpeq_epi8(v, _mm_set1_epi8('"'))) << i;
		b.backslash |= ph_mask(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))) << i;
		if (!trusted)
			b.judged |= ph_mask(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20))) << i;
	}
	return b;
}

/*
 * The bytes that a backslash escapes, and in *carry whether the next block's first is one. A run of
 * backslashes escapes every second byte: subtracting where a run starts carries through it, and leaves a
 * pattern that differs from alternating bits exactly there (the way of simdjson).
 */
static inline uint64_t ph_block_escaped(uint64_t backslash, uint64_t *carry)
{
	const uint64_t odd = UINT64_C(0xaaaaaaaaaaaaaaaa);
	uint64_t first = *carry, starts, pairs;

	if (!backslash) {
		*carry = 0;
		return first;
	}
	starts = backslash & ~first;
	pairs = ((starts << 1 | odd) - starts) ^ odd;
	*carry = (pairs & backslash) >> 63;
	return pairs ^ (backslash | first);
}
#endif

/* The run that ends at a quote or a backslash and, unless the text was validated before, at a byte that needs
 * judging. `trusted` is a constant at every call, so that each gets a loop of its own. */
static inline size_t ph_run(const char *p, size_t n, bool trusted)
{
	size_t i = 0;

#ifdef PH_BLOCK
	for (; n - i >= 16; i += 16) {
		uint64_t mask = ph_special16(p + i, trusted);

		if (mask)
			return i + (size_t)__builtin_ctzll(mask);
	}
#endif
	for (; n - i >= 8; i += 8) {
		uint64_t x;

		memcpy(&x, p + i, 8);
		if (ph_swar_special(x, trusted))
			break;
	}
	while (i < n && (trusted ? p[i] != '"' && p[i] != '\\' : ph_is_plain((unsigned char)p[i])))
		i++;
	return i;
}

/* Where a run of plain bytes ends within the first sixteen, if there are as many; else any place in it. */
static inline size_t ph_short_run(const char *p, size_t n)
{
#ifdef PH_BLOCK
	uint64_t mask = n >= 16 ? ph_special16(p, false) : 0;

	return mask ? (size_t)__builtin_ctzll(mask) : 0;
#else
	return ph_run(p, n < 16 ? n : 16, false);
#endif
}

/* Length of the run of bytes at p that may stand in a JSON string as they are. */
static inline size_t ph_plain_run(const char *p, size_t n)
{
	return ph_run(p, n, false);
}

/* Length of the UTF-8 sequence at p (1 to 4), or 0 where there is none: truncated, overlong, surrogate, past
 * U+10FFFF. */
static inline size_t ph_utf8_len(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;

#define CONTINUES(i) ((p[i] & 0xc0) == 0x80)
	if (n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2)
		return 0;
	if (p[0] < 0xe0)
		return n >= 2 && CONTINUES(1) ? 2 : 0;
	if (p[0] < 0xf0) {
		if (n < 3 || !CONTINUES(1) || !CONTINUES(2))
			return 0;
		return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
	}
	if (p[0] > 0xf4 || n < 4 || !CONTINUES(1) || !CONTINUES(2) || !CONTINUES(3))
		return 0;
	return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
#undef CONTINUES
}

/* What the letter behind a backslash stands for in JSON; NUL for 'u' and for what JSON does not know. A
 * table, because the letters of real text are as good as random to a branch predictor. */
static inline char ph_json_letter(char c)
{
	static const char meaning[256] = {['"'] = '"',
		['\\'] = '\\',
		['/'] = '/',
		['b'] = '\b',
		['f'] = '\f',
		['n'] = '\n',
		['r'] = '\r',
		['t'] = '\t'};

	return meaning[(unsigned char)c];
}

static inline int ph_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of four hexadecimal digits, or -1. */
static inline int32_t ph_hex4(const char *p, const char *end)
{
	int32_t v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = ph_hex_digit(p[i]);

		if (digit < 0)
			return -1;
		v = v * 16 + digit;
	}
	return v;
}

extern const char ph_base62[62 + 1]; /* 0-9 A-Z a-z, in rand.c */

#endif
