/* SPDX-License-Identifier: Apache-2.0 */
/* gzip and zstd: request bodies with a cap on what comes out, and snapshot bodies. Pure. */
#ifndef POSTHOUSE_ZIP_H
#define POSTHOUSE_ZIP_H

#include "posthouse/buf.h"

enum ph_encoding {
	PH_IDENTITY, /* also the codec byte of a snapshot that is stored plain */
	PH_GZIP,
	PH_ZSTD,
};

/* A Content-Encoding value. Empty, "identity": PH_IDENTITY; "x-gzip" is gzip. -PH_E_ENCODING_UNKNOWN, lists
 * included. */
int ph_encoding_parse(struct ph_str value, enum ph_encoding *ret) PH_WARN_UNUSED;

struct ph_unzip;
/* Decoded bytes go to out, whose max is the cap. Several gzip members or zstd frames in a row are one body;
 * skippable frames and the formats before zstd 1.0 are refused. */
struct ph_unzip *ph_unzip_new(enum ph_encoding encoding, struct ph_buf *out);
struct ph_unzip *ph_unzip_free(struct ph_unzip *u);
/* 0, -PH_E_ENCODING_BAD, or -PH_E_BODY_TOO_LARGE as soon as out would pass its max (a bomb costs no more than
 * that). */
int ph_unzip_feed(struct ph_unzip *u, struct ph_str bytes) PH_WARN_UNUSED;
int ph_unzip_finish(struct ph_unzip *u) PH_WARN_UNUSED; /* -PH_E_ENCODING_BAD if cut short */

/* zstd, level 1, one frame that says how long its content is. Packing needs room in out for the worst case, a
 * little more than plain.n (ph_zstd_bound), also where less comes out; -PH_E_BODY_TOO_LARGE otherwise. */
size_t ph_zstd_bound(size_t n);
int ph_zstd_pack(struct ph_str plain, struct ph_buf *out) PH_WARN_UNUSED;
/* Takes what ph_zstd_pack() wrote and nothing else. */
int ph_zstd_unpack(struct ph_str packed, struct ph_buf *out) PH_WARN_UNUSED;

#endif
