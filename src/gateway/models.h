/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_MODELS_H
#define POSTHOUSE_MODELS_H

#include "gateway_priv.h"

/* What the accounts serve, as they said. Owner: the gateway. */
struct ph_models *ph_models_new(struct ph_gateway *g);
struct ph_models *ph_models_free(struct ph_models *ms); /* no request may wait any more */

#endif
