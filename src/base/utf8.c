/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether text is UTF-8. Most of what passes is ASCII: that is skipped in blocks, and only what is not is
 * judged character by character.
 */
#include "base_priv.h"

/* Behind ASCII: the first byte above 0x7f, or the end. */
static const char *skip_ascii(const char *p, const char *end)
{
#ifdef PH_BLOCK
	for (; end - p >= PH_BLOCK; p += PH_BLOCK) {
		const __m128i *v = (const __m128i *)(const void *)p;
		__m128i all = _mm_or_si128(_mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1)),
			_mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3)));

		if (ph_mask(all))
			break;
	}
#endif
	for (; end - p >= 8; p += 8) {
		uint64_t x;

		memcpy(&x, p, 8);
		if (x & PH_SWAR_HIGHS)
			break;
	}
	while (p < end && (unsigned char)*p < 0x80)
		p++;
	return p;
}

bool ph_utf8_valid(struct ph_str s)
{
	const char *p = s.p, *end;
	size_t n;

	if (s.n == 0)
		return true;
	end = p + s.n;
	while ((p = skip_ascii(p, end)) < end) {
		do {
			n = ph_utf8_len(p, (size_t)(end - p));
			if (n == 0)
				return false;
			p += n;
		} while (p < end && (unsigned char)*p >= 0x80);
	}
	return true;
}
