/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A multipart/form-data body that passes by: tells its small fields, keeps nothing of its files. Pure. What
 * stands at a line's beginning and looks like the boundary is one, whether the line before ended with CRLF or
 * LF: a reader that is more lenient than another must not miss a field that the other sees.
 */
#ifndef POSTHOUSE_MULTIPART_H
#define POSTHOUSE_MULTIPART_H

#include "posthouse/buf.h"

#define PH_FIELD_VALUE_MAX 1024

struct ph_multipart;

/* value.p NULL: it is a file, or longer than PH_FIELD_VALUE_MAX. Valid during the call. */
typedef void (*ph_multipart_cb)(void *arg, struct ph_str name, struct ph_str value);

/* NULL: the content type is not multipart/form-data with a boundary. */
struct ph_multipart *ph_multipart_new(struct ph_str content_type, ph_multipart_cb on_field, void *arg);
struct ph_multipart *ph_multipart_free(struct ph_multipart *m); /* returns NULL; NULL is allowed */
/* 0, or -PH_E_BODY_BAD: a part's head is too long or names its field in a way that cannot be read. A field is
 * told before the bytes behind it are looked at. */
int ph_multipart_feed(struct ph_multipart *m, struct ph_str bytes) PH_WARN_UNUSED;

#endif
