/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard: finds where a head ends and judges line ends before llhttp sees them, and does the same for the
 * framing bytes of a chunked body.
 *
 * Why llhttp is not enough: 8.1.0 of Debian 12 takes any byte behind a CR for its LF. A value
 * `x\rZTransfer-Encoding: chunked` becomes a second field (CVE-2023-30589), `\r\n\rZGET /` ends a head and
 * starts a request (CVE-2025-23167), `1\rZ` is a chunk's size line, and nothing has a limit. Whoever stands
 * in front of us may read the same bytes another way, and that difference is how a request is smuggled. Here
 * a CR has its LF and an LF its CR, or the connection ends.
 *
 * Both automata see each byte once and give the same verdict however the bytes are cut.
 */
#include <endian.h>

#include "codec_priv.h"

#define FRAMING_FREE (16 * 1024) /* of a request's body, plus an eighth of its payload */
#define FRAMING_GAP                                                                                          \
	(8 * 1024) /* of an answer's body, between two payloads: a stream of small events is honest */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many of eight bytes stand before the first control character or DEL. One word at a time: bytes one by
 * one were a third of the whole cost of a head. The lowest mark is exact; above it a borrow may have left
 * others. */
static size_t ordinary_of_eight(const char *p)
{
	const uint64_t ones = UINT64_MAX / 255, high = ones * 0x80;
	uint64_t v, low, del, marks;

	memcpy(&v, p, sizeof(v));
	v = le64toh(v);
	low = (v - ones * 0x20) & ~v;
	v ^= ones * 0x7f;
	del = (v - ones) & ~v;
	marks = (low | del) & high;
	return marks ? (size_t)__builtin_ctzll(marks) / 8 : 8;
}

/* How many of p's bytes from i on are ordinary: no control character but a tab, no DEL. */
static size_t run_of(const char *p, size_t i, size_t stop)
{
	size_t from = i;

	while (i < stop) {
		size_t ordinary = stop - i >= 8 ? ordinary_of_eight(p + i) : 0;
		unsigned char c;

		i += ordinary;
		if (ordinary == 8)
			continue;
		c = (unsigned char)p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			break;
		i++;
	}
	return i - from;
}

/* The first byte of a line: no folded line, no field too many. */
static int begin_line(const struct ph_guard *g, char c)
{
	if (c == ' ' || c == '\t')
		return -PH_E_HEAD_BAD;
	return g->lines > PH_HEADERS_MAX ? -PH_E_HEAD_TOO_LARGE : 0;
}

long ph_guard_head(struct ph_guard *g, const char *p, size_t n)
{
	size_t stop = least(n, PH_HEAD_MAX - g->seen);
	size_t i = 0;

	while (i < stop) {
		if (g->cr) {
			if (p[i++] != '\n')
				return -PH_E_HEAD_BAD;
			if (g->line == 0)
				return (long)i;
			g->cr = false;
			g->line = 0;
			g->lines++;
			continue;
		}
		if (p[i] == '\r') {
			g->cr = true;
			i++;
			continue;
		}
		if (g->line == 0) {
			int r = begin_line(g, p[i]);
			if (r < 0)
				return r;
		}
		/* One byte past the field's maximum is looked at, so that a bad byte before it is told from
		 * its length. */
		size_t run = run_of(p, i, i + least(stop - i, PH_FIELD_MAX + 1 - g->line));
		if (run == 0)
			return -PH_E_HEAD_BAD;
		g->line += run;
		i += run;
		if (g->line > PH_FIELD_MAX)
			return -PH_E_HEAD_TOO_LARGE;
	}
	g->seen += i;
	return g->seen == PH_HEAD_MAX ? -PH_E_HEAD_TOO_LARGE : 0;
}

bool ph_framing_ok(struct ph_framing *f, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((p[i] == '\n') != f->cr || p[i] == '\0') /* LF behind CR and nowhere else */
			return false;
		f->cr = p[i] == '\r';
	}
	f->wire += n;
	return f->wire <= (f->per_gap ? FRAMING_GAP : FRAMING_FREE + f->payload / 8);
}

void ph_framing_payload(struct ph_framing *f, size_t n)
{
	f->payload += n;
	if (f->per_gap)
		f->wire = 0;
}
