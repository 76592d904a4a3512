/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_GATEWAY_TRACE_H
#define POSTHOUSE_GATEWAY_TRACE_H

#include "posthouse/gateway.h"

#define PH_TRACE_ID_N 32

/* The trace's id within a `traceparent`; false where that is not well-formed. */
bool ph_trace_read(struct ph_str parent, struct ph_str *ret_id);
bool ph_trace_known(const struct ph_exchange *x); /* the client told one */
/* Its id, or an empty text. While x->head is valid. */
void ph_trace_note(char dst[PH_TRACE_ID_N + 1], const struct ph_exchange *x);

#endif
