/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's trace (W3C Trace Context): `traceparent` and `tracestate` are passed on as they are, and the
 * log names the trace, so that a turn is found from the client's side. Posthouse adds no span of its own. A
 * parent that is not well-formed means nothing to whoever reads it next: neither line is passed on then.
 */
#include "trace.h"

#define VERSION_N 2
#define PARENT_N  16
#define FLAGS_N   2
#define FIRST_N   (VERSION_N + 1 + PH_TRACE_ID_N + 1 + PARENT_N + 1 + FLAGS_N) /* of version 00 */

/* n lower-case hexadecimal digits, and what ends them: a dash, or nothing. Takes both off s. */
static bool take_hex(struct ph_str *s, size_t n, bool zero_too, struct ph_str *ret)
{
	bool zero = true;

	if (s->n < n || (s->n > n && s->p[n] != '-'))
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = s->p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		zero = zero && c == '0';
	}
	*ret = ph_str(s->p, n);
	*s = ph_str_from(*s, s->n > n ? n + 1 : n);
	return zero_too || !zero;
}

/* A later version may have more behind the four parts, and must begin as this one does. */
bool ph_trace_read(struct ph_str parent, struct ph_str *ret_id)
{
	struct ph_str rest = parent, version, id, span, flags;

	if (parent.n < FIRST_N)
		return false;
	if (!take_hex(&rest, VERSION_N, true, &version) || ph_str_eq(version, PH_STR("ff")))
		return false;
	if (!take_hex(&rest, PH_TRACE_ID_N, false, &id) || !take_hex(&rest, PARENT_N, false, &span) ||
		!take_hex(&rest, FLAGS_N, true, &flags))
		return false;
	if (ph_str_eq(version, PH_STR("00")) && parent.n != FIRST_N)
		return false;
	*ret_id = id;
	return true;
}

bool ph_trace_known(const struct ph_exchange *x)
{
	struct ph_str id;

	return ph_trace_read(ph_head_get(x->head, PH_STR("traceparent")), &id);
}

void ph_trace_note(char dst[PH_TRACE_ID_N + 1], const struct ph_exchange *x)
{
	struct ph_str id;

	dst[0] = '\0';
	if (ph_trace_read(ph_head_get(x->head, PH_STR("traceparent")), &id))
		ph_str_copy(dst, PH_TRACE_ID_N + 1, id);
}
