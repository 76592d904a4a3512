/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a single JSON value whose span the scanner found: the text of a string, the value of a number. */
#include "posthouse/json.h"

#include "base_priv.h"

#define REPLACEMENT 0xfffd

/* Joins a high surrogate with the low one at *p, which it steps over; a lone surrogate is a replacement
 * character. */
static int32_t join_surrogates(int32_t first, const char **p, const char *end)
{
	int32_t second = -1;

	if (first < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u')
		second = ph_hex4(*p + 2, end);
	if (second < 0xdc00 || second > 0xdfff)
		return REPLACEMENT;
	*p += 6;
	return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
}

static size_t put_utf8(char out[4], int32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Decodes the escape sequence at *p and steps over it. Returns its length in UTF-8, or 0 if it is none. */
static size_t unescape(const char **p, const char *end, char out[4])
{
	const char *letter = *p + 1;
	int32_t c;

	if (letter == end)
		return 0;
	out[0] = ph_json_letter(*letter);
	if (out[0]) {
		*p = letter + 1;
		return 1;
	}
	c = *letter == 'u' ? ph_hex4(letter + 1, end) : -1;
	if (c < 0)
		return 0;
	*p = letter + 5;
	if (c >= 0xd800 && c <= 0xdfff)
		c = join_surrogates(c, p, end);
	return put_utf8(out, c);
}

/* What stands between the quotes. */
static bool unquote(struct ph_str value, struct ph_str *ret)
{
	if (value.n < 2 || value.p[0] != '"' || value.p[value.n - 1] != '"')
		return false;
	*ret = ph_str(value.p + 1, value.n - 2);
	return true;
}

/* Length of the run before the next backslash. */
static size_t raw_run(const char *p, const char *end)
{
	const char *backslash = memchr(p, '\\', (size_t)(end - p));

	return (size_t)((backslash ? backslash : end) - p);
}

bool ph_json_text(struct ph_str value, struct ph_arena *a, struct ph_str *ret)
{
	const char *p, *end;
	struct ph_str in;
	char *out;
	size_t n = 0;

	if (!unquote(value, &in))
		return false;
	p = in.p;
	end = in.p + in.n;
	if (raw_run(p, end) == in.n) {
		*ret = in;
		return true;
	}
	out = ph_arena_alloc(a, in.n); /* no escape is shorter than its text */
	while (out && p < end) {
		size_t run = raw_run(p, end);
		char c[4];

		memcpy(out + n, p, run);
		n += run;
		p += run;
		if (p < end) {
			size_t size = unescape(&p, end, c);

			if (size == 0)
				return false;
			memcpy(out + n, c, size);
			n += size;
		}
	}
	if (out)
		*ret = ph_str(out, n);
	return out != NULL;
}

bool ph_json_text_is(struct ph_str value, struct ph_str s)
{
	const char *p, *end;
	struct ph_str in;

	/* No escape is shorter than its text: of the same length it is the same bytes, and no escape. */
	if (!unquote(value, &in) || in.n < s.n)
		return false;
	p = in.p;
	end = in.p + in.n;
	if (in.n == s.n)
		return ph_str_eq(in, s) && raw_run(p, end) == in.n;
	while (p < end) {
		size_t n = raw_run(p, end);
		const char *from = p;
		char c[4];

		p += n;
		if (n == 0) {
			n = unescape(&p, end, c);
			from = c;
			if (n == 0)
				return false;
		}
		if (!ph_str_starts(s, ph_str(from, n)))
			return false;
		s = ph_str_from(s, n);
	}
	return s.n == 0;
}

bool ph_json_u64(struct ph_str value, uint64_t *ret)
{
	if (value.n > 1 && value.p[0] == '0')
		return false;
	return ph_str_u64(value, UINT64_MAX, ret);
}
