/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the relay share. What the rest of a turn knows of it stands in request_priv.h. */
#ifndef POSTHOUSE_RELAY_PRIV_H
#define POSTHOUSE_RELAY_PRIV_H

#include "request_priv.h"

#define PH_CREATED_MAX (8 * 1024 * 1024) /* of a response object in response.created */

/* ---- relay.c ---- */
void ph_relay_flush(struct ph_request *r); /* hands on the units of this read that were joined */
/* Appends the event as the client may see it. response: what stands in place of its response, or none. */
void ph_relay_put_unit(
	struct ph_request *r, struct ph_buf *out, const struct ph_event *e, struct ph_str response);

/* ---- relay_show.c ---- */
/* The one place where the client gets bytes of an answer; its head goes before the first. */
void ph_relay_push(struct ph_request *r, struct ph_str bytes);
void ph_relay_show_held(struct ph_request *r);
/* Counts from the last event: comments do not reset the idle timers of clients. */
void ph_relay_keep_alive(struct ph_request *r);
void ph_relay_show_turn_state(struct ph_request *r); /* if there is one that was not shown */
void ph_relay_refuse_steer(struct ph_request *r, struct ph_str input);
/* Nothing is shown before it is written whose the background response is. Upstream is not read meanwhile. */
void ph_relay_close_gate(struct ph_request *r);

/* ---- relay_end.c ---- */
/* response.completed, response.incomplete. */
void ph_relay_on_finished(struct ph_request *r, enum ph_terminal terminal, const struct ph_event *e);
/* response.failed or error. While nothing was shown it is classified first, and may become a retry. After
 * that one account's limit is told as server_error; what concerns the request is told as it came. */
void ph_relay_on_failed(struct ph_request *r, enum ph_terminal terminal, const struct ph_event *e);

#endif
