/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip and zstd: nothing passes the cap, what comes out does not depend on where the bytes were cut, and what
 * is packed unpacks to itself. The first byte says which encoding, the second the cap, the third how to cut.
 *
 * libzstd 1.5.4 decodes a small frame that lies whole in its input another way than one that comes in pieces,
 * and only the second lets a compressed block of no bytes pass. So with zstd one way may refuse what the
 * other takes.
 */
#include "fuzz.h"

#include "posthouse/zip.h"

static int unzip(const struct ph_str *pieces, size_t count, struct ph_buf *out, enum ph_encoding encoding)
{
	struct ph_unzip *u = ph_unzip_new(encoding, out);
	int r = 0;

	for (size_t i = 0; r == 0 && i < count; i++)
		r = ph_unzip_feed(u, pieces[i]);
	if (r == 0)
		r = ph_unzip_finish(u);
	u = ph_unzip_free(u);
	REQUIRE(out->n <= out->max);
	REQUIRE(r == 0 || r == -PH_E_ENCODING_BAD || r == -PH_E_BODY_TOO_LARGE);
	return r;
}

static void check_body(struct ph_str s, enum ph_encoding encoding, size_t max, uint8_t how)
{
	struct ph_buf whole, cut;
	struct ph_str *pieces;
	size_t count = fuzz_cut(s, how, &pieces);
	int w, c;

	ph_buf_init(&whole, max);
	ph_buf_init(&cut, max);
	w = unzip(&s, 1, &whole, encoding);
	c = unzip(pieces, count, &cut, encoding);
	REQUIRE(w == c || (encoding == PH_ZSTD && (w == -PH_E_ENCODING_BAD || c == -PH_E_ENCODING_BAD)));
	REQUIRE(w < 0 || c < 0 || ph_str_eq(ph_buf_str(&whole), ph_buf_str(&cut)));
	ph_buf_deinit(&whole);
	ph_buf_deinit(&cut);
	fuzz_uncut(pieces, count);
}

static void check_snapshot(struct ph_str s)
{
	struct ph_buf packed, out;

	ph_buf_init(&packed, ph_zstd_bound(s.n));
	ph_buf_init(&out, s.n + 1);
	REQUIRE(ph_zstd_pack(s, &packed) == 0);
	REQUIRE(ph_zstd_unpack(ph_buf_str(&packed), &out) == 0);
	REQUIRE(ph_str_eq(ph_buf_str(&out), s));
	ph_buf_deinit(&packed);
	ph_buf_deinit(&out);
	ph_buf_init(&out, (size_t)1 << 20);
	if (ph_zstd_unpack(s, &out) == 0)
		REQUIRE(out.n <= out.max);
	ph_buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};
	enum ph_encoding encoding = (enum ph_encoding)(fuzz_byte(&s) % 3);
	size_t max = (size_t)fuzz_byte(&s) * 64;
	uint8_t cut = fuzz_byte(&s);

	check_body(s, encoding, max, cut);
	check_snapshot(s);
	return 0;
}
