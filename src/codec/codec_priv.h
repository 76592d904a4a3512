/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of codec share: the HTTP/1 guard, the head's parser, and the two decoders behind ph_unzip.
 */
#ifndef CODEC_PRIV_H
#define CODEC_PRIV_H

#include "posthouse/http1.h"
#include "posthouse/zip.h"

/* Frames a head byte by byte, however it is cut. Zeroed at the start of each. */
struct ph_guard {
	size_t seen;  /* bytes judged */
	size_t line;  /* bytes in this line, its end not counted */
	size_t lines; /* complete lines: the start line and the fields */
	bool cr;      /* the last byte was a CR */
};

/* Judges the next n bytes. Returns how many of them end the head (its empty line included), 0 for more, or a
 * code. */
long ph_guard_head(struct ph_guard *g, const char *p, size_t n);

/* The bytes of a chunked body that are not payload. Zeroed at the start of each body. */
struct ph_framing {
	bool cr;
	bool per_gap;  /* answers: the allowance is for each gap between two payloads, else for the whole body
			*/
	uint64_t wire; /* framing bytes of the gap, or of the body */
	uint64_t payload; /* payload of the body */
};

bool ph_framing_ok(struct ph_framing *f, const char *p, size_t n); /* the next n framing bytes */
void ph_framing_payload(struct ph_framing *f, size_t n);           /* n bytes of payload came */

bool ph_is_token(struct ph_str s); /* RFC 9110: one or more tchar */

/*
 * Reads a head that the guard has passed. `fields` has room for every line but the first and the empty one.
 * no_body: the answer to a HEAD request. 0 or -PH_E_HEAD_BAD.
 */
int ph_head_parse(struct ph_head *ret, enum ph_http_side side, bool no_body, struct ph_str text,
	struct ph_header *fields) PH_WARN_UNUSED;

struct ph_gunzip;
struct ph_gunzip *ph_gunzip_new(void);
struct ph_gunzip *ph_gunzip_free(struct ph_gunzip *z);
int ph_gunzip_feed(struct ph_gunzip *z, struct ph_str bytes, struct ph_buf *out) PH_WARN_UNUSED;
bool ph_gunzip_whole(const struct ph_gunzip *z); /* the last byte ended a member */

struct ph_unzstd;
struct ph_unzstd *ph_unzstd_new(void);
struct ph_unzstd *ph_unzstd_free(struct ph_unzstd *z);
int ph_unzstd_feed(struct ph_unzstd *z, struct ph_str bytes, struct ph_buf *out) PH_WARN_UNUSED;
bool ph_unzstd_whole(const struct ph_unzstd *z); /* the last byte ended a frame */

/* Where a decoder writes next: into `out`, or, when out is full, into one byte of its own that shows whether
 * there is more than the cap allows. */
struct ph_window {
	char *p;
	size_t n;
	char spill;
};

void ph_window_open(struct ph_window *w, struct ph_buf *out);
/* n bytes were written. 0, or -PH_E_BODY_TOO_LARGE if they were more than out may hold. */
int ph_window_close(struct ph_window *w, struct ph_buf *out, size_t n) PH_WARN_UNUSED;

#endif
