/* SPDX-License-Identifier: Apache-2.0 */
/* Content encodings: which one, and one door to the decoders of zip_gzip.c and zip_zstd.c. */
#include "codec_priv.h"

#include <stdlib.h>

#define STEP (64 * 1024) /* room that a decoder gets at a time */

struct ph_unzip {
	enum ph_encoding encoding;
	struct ph_buf *out;
	struct ph_gunzip *gzip;
	struct ph_unzstd *zstd;
	int error; /* what was said; it is said again */
};

int ph_encoding_parse(struct ph_str value, enum ph_encoding *ret)
{
	value = ph_str_trim(value);
	if (value.n == 0 || ph_str_eq_nocase(value, PH_STR("identity")))
		*ret = PH_IDENTITY;
	else if (ph_str_eq_nocase(value, PH_STR("gzip")) || ph_str_eq_nocase(value, PH_STR("x-gzip")))
		*ret = PH_GZIP;
	else if (ph_str_eq_nocase(value, PH_STR("zstd")))
		*ret = PH_ZSTD;
	else
		return -PH_E_ENCODING_UNKNOWN;
	return 0;
}

/* The buffer is asked for no more than its maximum: one that overflows would free what it holds. */
void ph_window_open(struct ph_window *w, struct ph_buf *out)
{
	size_t left = out->failed ? 0 : out->max - out->n;

	w->p = &w->spill;
	w->n = 1;
	if (left > 0) {
		w->n = left < STEP ? left : STEP;
		w->p = ph_buf_room(out, w->n);
	}
}

int ph_window_close(struct ph_window *w, struct ph_buf *out, size_t n)
{
	if (w->p == &w->spill)
		return n > 0 ? -PH_E_BODY_TOO_LARGE : 0;
	ph_buf_wrote(out, n);
	return 0;
}

struct ph_unzip *ph_unzip_new(enum ph_encoding encoding, struct ph_buf *out)
{
	struct ph_unzip *u = ph_alloc(sizeof(*u));

	u->encoding = encoding;
	u->out = out;
	if (encoding == PH_GZIP)
		u->gzip = ph_gunzip_new();
	if (encoding == PH_ZSTD)
		u->zstd = ph_unzstd_new();
	return u;
}

struct ph_unzip *ph_unzip_free(struct ph_unzip *u)
{
	if (u == NULL)
		return NULL;
	u->gzip = ph_gunzip_free(u->gzip);
	u->zstd = ph_unzstd_free(u->zstd);
	free(u);
	return NULL;
}

int ph_unzip_feed(struct ph_unzip *u, struct ph_str bytes)
{
	if (u->error < 0 || bytes.n == 0)
		return u->error;
	if (u->gzip)
		u->error = ph_gunzip_feed(u->gzip, bytes, u->out);
	else if (u->zstd)
		u->error = ph_unzstd_feed(u->zstd, bytes, u->out);
	else
		u->error = ph_buf_puts(u->out, bytes);
	return u->error;
}

int ph_unzip_finish(struct ph_unzip *u)
{
	bool whole = u->gzip ? ph_gunzip_whole(u->gzip) : u->zstd ? ph_unzstd_whole(u->zstd) : true;

	if (u->error == 0 && !whole)
		u->error = -PH_E_ENCODING_BAD;
	return u->error;
}
