/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_STATUS_H
#define POSTHOUSE_STATUS_H

#include "gateway_priv.h"

/* What ph_gateway_status() answers from. Nobody waits any more when it is freed: the listeners are closed
 * first. */
struct ph_status;
struct ph_status *ph_status_new(struct ph_gateway *g);
struct ph_status *ph_status_free(struct ph_status *s); /* returns NULL */

#endif
