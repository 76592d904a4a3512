/* SPDX-License-Identifier: Apache-2.0 */
/* One stored response, as its client may read it. */
#ifndef POSTHOUSE_GATEWAY_STORED_H
#define POSTHOUSE_GATEWAY_STORED_H

#include <stdio.h>

#include "posthouse/continuity.h"
#include "posthouse/sse.h"
#include "side.h"

#define PH_STORED_ANSWER_MAX (256u * 1024 * 1024)

/* stored.c */
/* The envelope with the items back where they stood. */
void ph_stored_put_object(struct ph_buf *out, const struct ph_response *r);
/* Whether a key may read it: a response, of a turn that its client asked to have stored. */
bool ph_stored_is_readable(const struct ph_response *r);
/* One answer for unknown, foreign, hidden and not retrievable. */
void ph_stored_unknown(struct ph_side *s, struct ph_str id);

/* stored_events.c: the whole stream, from behind event number `after` on; -1: from its start. False: out is
 * full. */
bool ph_stored_put_events(struct ph_buf *out, const struct ph_response *r, int64_t after) PH_WARN_UNUSED;

/* resume.c: GET with stream=true */
void ph_resume_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str id);

#endif
