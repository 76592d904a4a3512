/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_POLL_H
#define POSTHOUSE_POLL_H

#include "gateway_priv.h"

/* What is asked of accounts in the background, by one node for all. Owner: the gateway. */
struct ph_polls *ph_polls_new(struct ph_gateway *g);
void ph_polls_start(struct ph_polls *ps);
struct ph_polls *ph_polls_free(struct ph_polls *ps); /* upstream is still open */

/* Somebody waits for what is polled: whatever may be asked now is asked. */
void ph_polls_look(struct ph_polls *ps);

#endif
