/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zstd: decoding of request bodies, and both ways for snapshots.
 *
 * Debian's libzstd also decodes the formats of zstd 0.5 to 0.7, with decoders that nobody looks after and
 * that see the same bytes differently when they are cut. So the first four bytes of every frame are checked
 * here: only the data frames of RFC 8878 are let in.
 */
#include "codec_priv.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#define WINDOW_LOG_MAX 27 /* 128 MiB of address space at most; pages are only touched by what comes out */
#define PACK_LEVEL     1

static const unsigned char magic[4] = {0x28, 0xb5, 0x2f, 0xfd};

struct ph_unzstd {
	ZSTD_DCtx *z;
	size_t magic_n; /* bytes of the frame's magic number that were seen */
	bool whole;
};

struct ph_unzstd *ph_unzstd_new(void)
{
	struct ph_unzstd *u = ph_alloc(sizeof(*u));

	u->z = ZSTD_createDCtx();
	if (u->z == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(u->z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		ph_die("zstd cannot start");
	return u;
}

struct ph_unzstd *ph_unzstd_free(struct ph_unzstd *u)
{
	if (u == NULL)
		return NULL;
	ZSTD_freeDCtx(u->z);
	free(u);
	return NULL;
}

/* The input up to the frame's fifth byte, before the decoder sees it. */
static bool magic_ok(struct ph_unzstd *u, const ZSTD_inBuffer *in)
{
	const unsigned char *p = in->src;

	for (size_t i = in->pos; i < in->size && u->magic_n < sizeof(magic); i++) {
		if (p[i] != magic[u->magic_n++])
			return false;
	}
	return true;
}

int ph_unzstd_feed(struct ph_unzstd *u, struct ph_str bytes, struct ph_buf *out)
{
	ZSTD_inBuffer in = {bytes.p, bytes.n, 0};
	bool full = false; /* the last call filled its window: more may wait inside */

	while (in.pos < in.size || full) {
		struct ph_window w;
		ZSTD_outBuffer to;
		size_t r;
		int e;

		if (!magic_ok(u, &in))
			return -PH_E_ENCODING_BAD;
		ph_window_open(&w, out);
		to = (ZSTD_outBuffer){w.p, w.n, 0};
		r = ZSTD_decompressStream(u->z, &to, &in);
		if (ZSTD_isError(r))
			return -PH_E_ENCODING_BAD;
		e = ph_window_close(&w, out, to.pos);
		if (e < 0)
			return e;
		u->whole = r == 0;
		if (u->whole)
			u->magic_n = 0;
		full = to.pos == to.size && !u->whole;
	}
	return 0;
}

bool ph_unzstd_whole(const struct ph_unzstd *u)
{
	return u->whole;
}

/* ---- snapshots ---- */

/*
 * One pair of contexts a thread, kept: to make them costs more than to pack a turn (15 us against 3 for 1
 * KB), and a replay unpacks hundreds. Threads, because large bodies are packed off the loop.
 */
struct contexts {
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;

static void free_contexts(void *arg)
{
	struct contexts *c = arg;

	ZSTD_freeCCtx(c->pack);
	ZSTD_freeDCtx(c->unpack);
	free(c);
}

static void make_key(void)
{
	if (pthread_key_create(&contexts_key, free_contexts) != 0)
		ph_die("no thread-specific key is left");
}

static struct contexts *contexts(void)
{
	struct contexts *c;

	pthread_once(&contexts_once, make_key);
	c = pthread_getspecific(contexts_key);
	if (c != NULL)
		return c;
	c = ph_alloc(sizeof(*c));
	c->pack = ZSTD_createCCtx();
	c->unpack = ZSTD_createDCtx();
	if (c->pack == NULL || c->unpack == NULL || pthread_setspecific(contexts_key, c) != 0)
		ph_die("zstd cannot start");
	return c;
}

size_t ph_zstd_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

int ph_zstd_pack(struct ph_str plain, struct ph_buf *out)
{
	size_t bound = ZSTD_compressBound(plain.n);
	char *to = ph_buf_room(out, bound);
	size_t n;

	if (to == NULL)
		return -PH_E_BODY_TOO_LARGE;
	n = ZSTD_compressCCtx(contexts()->pack, to, bound, plain.p, plain.n, PACK_LEVEL);
	if (ZSTD_isError(n))
		return -PH_E_INTERNAL;
	ph_buf_wrote(out, n);
	return 0;
}

/* Only what ph_zstd_pack() wrote: one frame that says how long its content is. */
int ph_zstd_unpack(struct ph_str packed, struct ph_buf *out)
{
	unsigned long long size;
	char *to;

	if (packed.n < sizeof(magic) || memcmp(packed.p, magic, sizeof(magic)) != 0)
		return -PH_E_ENCODING_BAD;
	size = ZSTD_getFrameContentSize(packed.p, packed.n);
	if (size == ZSTD_CONTENTSIZE_UNKNOWN || size == ZSTD_CONTENTSIZE_ERROR)
		return -PH_E_ENCODING_BAD;
	if (out->failed || size > out->max - out->n)
		return -PH_E_BODY_TOO_LARGE;
	if (ZSTD_findFrameCompressedSize(packed.p, packed.n) != packed.n)
		return -PH_E_ENCODING_BAD;
	to = ph_buf_room(out, (size_t)size);
	if (to == NULL)
		return -PH_E_BODY_TOO_LARGE;
	if (ZSTD_decompressDCtx(contexts()->unpack, to, (size_t)size, packed.p, packed.n) != size)
		return -PH_E_ENCODING_BAD;
	ph_buf_wrote(out, (size_t)size);
	return 0;
}
