/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: an account's base URL, a request's target, queries. Pure. */
#ifndef POSTHOUSE_URL_H
#define POSTHOUSE_URL_H

#include "posthouse/buf.h"

struct ph_url {
	bool tls;       /* https */
	char host[256]; /* without brackets */
	uint16_t port;
	char path[512];   /* begins with '/' or is empty; no trailing slash */
	char origin[300]; /* for a Host field: the port only where it is not the scheme's own */
};

/* http or https, host, optional port and path. No user, password, query or fragment: err says which.
 * 0 or -PH_E_PARAM_BAD. The host comes out in lower case. */
int ph_url_parse(struct ph_url *ret, struct ph_str text, struct ph_err *err) PH_WARN_UNUSED;

/* Splits a request target in origin form ("/path?query"), or absolute form, into path and query (without
 * '?'). Refuses anything else, targets with blanks, control characters, bytes above 0x7e or '#', and paths
 * with a backslash or a segment "." or ".." (also as %2e): a relayed path cannot climb out of a base URL. 0
 * or -PH_E_HEAD_BAD. */
int ph_target_split(struct ph_str target, struct ph_str *path, struct ph_str *query) PH_WARN_UNUSED;

/* Percent-decoding of one path segment or query value ('+' is a space only where `plus`). -PH_E_PARAM_BAD on
 * a bad escape, or a decoded NUL, or more than size - 1 bytes. dst ends with NUL. */
int ph_percent_decode(struct ph_str s, bool plus, char *dst, size_t size, size_t *ret_n) PH_WARN_UNUSED;
void ph_percent_encode(struct ph_buf *b, struct ph_str s); /* everything but unreserved characters */

/* The first value of `name` in a query, undecoded. False if absent. */
bool ph_query_get(struct ph_str query, struct ph_str name, struct ph_str *ret);

#endif
