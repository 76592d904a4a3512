/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_LIMIT_H
#define POSTHOUSE_LIMIT_H

#include "gateway_priv.h"

/* Reservations of this node's turns. Owner: the gateway. */
struct ph_limits *ph_limits_new(struct ph_gateway *g);
struct ph_limits *ph_limits_free(struct ph_limits *l); /* returns NULL; no turn may run any more */

#endif
