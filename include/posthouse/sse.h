/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events (WHATWG HTML, section 9.2), as a scanner beside the relay: it cuts the byte stream into
 * units and says what each holds; the raw bytes of all units, joined, are the stream. Pure.
 *
 * A unit reaches from behind the previous unit's blank line to behind its own. LF, CR and CRLF end lines; a
 * CRLF whose LF comes in a later read leaves that LF at the front of the next unit's raw bytes. A BOM at the
 * start is skipped.
 */
#ifndef POSTHOUSE_SSE_H
#define POSTHOUSE_SSE_H

#include "posthouse/buf.h"

struct ph_sse_unit {
	struct ph_str raw;   /* the unit's bytes as they came */
	struct ph_str event; /* last `event:` value, or empty */
	struct ph_str data;  /* `data:` values joined by LF; see has_data */
	bool has_data;       /* false: only comments, other fields or blank lines; relay it, it is no event */
	/* Where `data` stands within `raw` when it is one line as it came, so that spans of it can be
	 * replaced; else SIZE_MAX (also for a bare `data` without a colon). */
	size_t data_offset;
};

struct ph_sse;
/* max: bytes of one unit. */
struct ph_sse *ph_sse_new(
	size_t max, void (*on_unit)(void *owner, const struct ph_sse_unit *unit), void *owner);
struct ph_sse *ph_sse_free(struct ph_sse *s); /* returns NULL. Not from inside on_unit */
/* Calls on_unit for each unit that ends in these bytes; slices are valid during the call. 0, or
 * -PH_E_BODY_TOO_LARGE for a unit above max: the stream cannot be scanned further. */
int ph_sse_feed(struct ph_sse *s, struct ph_str bytes) PH_WARN_UNUSED;
/* From inside on_unit: deliver nothing more, of this feed or later ones; what is left is discarded. */
void ph_sse_stop(struct ph_sse *s);
/* The end of the stream: a last unit without its blank line is delivered (has_data as found). */
void ph_sse_finish(struct ph_sse *s);

/* "event: TYPE\ndata: JSON\n\n"; json must hold no line end. */
void ph_sse_put(struct ph_buf *b, struct ph_str type, struct ph_str json);
#define PH_SSE_DONE PH_STR("data: [DONE]\n\n")

#endif
