/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_RENEW_H
#define POSTHOUSE_RENEW_H

#include "gateway_priv.h"

/* Owner: the gateway. */
struct ph_renewals *ph_renewals_new(struct ph_gateway *g);
void ph_renewals_start(struct ph_renewals *rs);
size_t ph_renewals_running(const struct ph_renewals *rs);
struct ph_renewals *ph_renewals_free(
	struct ph_renewals *rs); /* the database and upstream are closed or idle */

/* Upstream refuses the token of that version of the account's secret as expired. False: it cannot be renewed.
 * True: it is being renewed, or has been. */
bool ph_renew_ask(struct ph_gateway *g, struct ph_account *a, int64_t version);

/* Who waits for the end of a renewal, well or not. Owner: the turn. */
struct ph_renew_wait {
	struct ph_list node;
	void (*done)(void *arg);
	void *arg;
};
void ph_renew_wait_init(struct ph_renew_wait *w, void (*done)(void *arg), void *arg);
/* False: none of that account runs. */
bool ph_renew_wait(struct ph_gateway *g, int64_t account, struct ph_renew_wait *w);
void ph_renew_wait_stop(struct ph_renew_wait *w); /* may be repeated */

#endif
