/* SPDX-License-Identifier: Apache-2.0 */
/* gzip, decoding only. Raw deflate and zlib's own wrapping are not accepted: no client of this API sends
 * them. */
#include "codec_priv.h"

#include <stdlib.h>
#include <zlib.h>

#define GZIP_ONLY 16 /* zlib: added to the window's size */

struct ph_gunzip {
	z_stream z;
	bool whole;
};

struct ph_gunzip *ph_gunzip_new(void)
{
	struct ph_gunzip *g = ph_alloc(sizeof(*g));

	if (inflateInit2(&g->z, GZIP_ONLY + MAX_WBITS) != Z_OK)
		ph_die("zlib cannot start");
	return g;
}

struct ph_gunzip *ph_gunzip_free(struct ph_gunzip *g)
{
	if (g == NULL)
		return NULL;
	inflateEnd(&g->z);
	free(g);
	return NULL;
}

/* One call of inflate. 1: go on, 0: all that these bytes give was given, or a code. */
static int step(struct ph_gunzip *g, struct ph_buf *out)
{
	struct ph_window w;
	size_t written;
	int r, e;

	ph_window_open(&w, out);
	g->z.next_out = (Bytef *)w.p;
	g->z.avail_out = (uInt)w.n;
	r = inflate(&g->z, Z_NO_FLUSH);
	written = w.n - g->z.avail_out;
	e = ph_window_close(&w, out, written);
	if (e < 0)
		return e;
	if (r == Z_STREAM_END) {
		g->whole = true;
		return g->z.avail_in > 0;
	}
	if (r != Z_OK && r != Z_BUF_ERROR)
		return -PH_E_ENCODING_BAD;
	return g->z.avail_in > 0 || written == w.n;
}

int ph_gunzip_feed(struct ph_gunzip *g, struct ph_str bytes, struct ph_buf *out)
{
	int r = 1;

	while (bytes.n > 0) {
		size_t n = bytes.n < (1U << 30) ? bytes.n : (1U << 30); /* zlib counts in 32 bits */

		g->z.next_in = (Bytef *)(uintptr_t)bytes.p;
		g->z.avail_in = (uInt)n;
		for (r = 1; r > 0;) {
			if (g->whole && inflateReset(&g->z) != Z_OK) /* another member */
				return -PH_E_ENCODING_BAD;
			g->whole = false;
			r = step(g, out);
		}
		if (r < 0)
			return r;
		bytes = ph_str_from(bytes, n);
	}
	return 0;
}

bool ph_gunzip_whole(const struct ph_gunzip *g)
{
	return g->whole;
}
