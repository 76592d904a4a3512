/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_MODELS_H
#define POSTHOUSE_MODELS_H

#include "gateway_priv.h"

#define PH_MODELS_LIST_MAX (4 * 1024 * 1024)

/* What the accounts serve, as the database knows it. Owner: the gateway. */
struct ph_models *ph_models_new(struct ph_gateway *g);
struct ph_models *ph_models_free(struct ph_models *ms); /* no request may wait any more */
/* As ph_auth_reload(). */
void ph_models_reload(struct ph_models *ms, void (*done)(void *arg, int status), void *arg);

bool ph_models_known(const struct ph_models *ms, int64_t account); /* it was asked, or need not be */
bool ph_models_awaited(
	const struct ph_models *ms); /* a client waits for lists that nobody has asked for yet */
void ph_models_apply(struct ph_models *ms, struct ph_account *a); /* what it lists, for the choice */

/* The elements of an account's answer that name a model, as a JSON array. False: it is no list. */
bool ph_models_take(struct ph_str answer, bool codex, struct ph_buf *out);

#endif
