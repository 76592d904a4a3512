/* SPDX-License-Identifier: Apache-2.0 */
/* Hexadecimal and base64, by hand: OpenSSL's base64 decoder accepts white space and wrong padding. */
#include "posthouse/crypt.h"

#include "base_priv.h"

static const char alphabet[64 + 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void ph_hex(char *dst, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = '\0';
}

bool ph_unhex(uint8_t *dst, size_t n, struct ph_str hex)
{
	if (hex.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = ph_hex_digit(hex.p[2 * i]), low = ph_hex_digit(hex.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		dst[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

int ph_base64(struct ph_buf *b, struct ph_str s)
{
	int result = 0;

	while (s.n > 0 && result == 0) {
		size_t n = s.n < 3 ? s.n : 3;
		uint32_t v = 0;
		char out[4];

		for (size_t i = 0; i < 3; i++)
			v = v << 8 | (i < n ? (uint8_t)s.p[i] : 0);
		for (size_t i = 0; i < 4; i++)
			out[i] = i <= n ? alphabet[v >> (18 - 6 * i) & 63] : '=';
		result = ph_buf_append(b, out, 4);
		s = ph_str_from(s, n);
	}
	return result;
}

int ph_base64url(struct ph_buf *b, struct ph_str s)
{
	size_t from = b->n;

	if (ph_base64(b, s))
		return -1;
	while (b->n > from && b->p[b->n - 1] == '=')
		b->n--;
	for (char *p = b->p + from; p < b->p + b->n; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return 0;
}

static int value_of(char c)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	return at ? (int)(at - alphabet) : -1;
}

/* Padding: none, or exactly what fills the last group of four. */
static bool strip_padding(struct ph_str *s)
{
	size_t padding = 0;

	while (padding < 2 && s->n > padding && s->p[s->n - 1 - padding] == '=')
		padding++;
	if (padding && s->n % 4 != 0)
		return false;
	s->n -= padding;
	return s->n % 4 != 1;
}

bool ph_unbase64(struct ph_str s, uint8_t *dst, size_t max, size_t *ret_n)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	if (!strip_padding(&s))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		int v = value_of(s.p[i]);

		if (v < 0)
			return false;
		bits = (bits << 6 | (uint32_t)v) & 0xfff;
		held += 6;
		if (held < 8)
			continue;
		if (n == max)
			return false;
		held -= 8;
		dst[n++] = (uint8_t)(bits >> held);
	}
	if (bits & ((1u << held) - 1)) /* bits that belong to no byte: two texts would mean the same */
		return false;
	*ret_n = n;
	return true;
}
