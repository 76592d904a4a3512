/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about one response to the account that keeps it, or still runs it. */
#ifndef POSTHOUSE_GATEWAY_OWNER_H
#define POSTHOUSE_GATEWAY_OWNER_H

#include "gateway_priv.h"

/* Whether that account may be asked: of this key's, of a kind that keeps responses, and usable. */
bool ph_owner_usable(struct ph_gateway *g, const struct ph_key *key, int64_t account);

/* ---- a small question, and its whole answer ---- */
struct ph_owner_call;
/* status 0: no answer came. body is valid during the call. Once, never before ph_owner_call() returned. */
typedef void (*ph_owner_call_cb)(void *arg, int status, struct ph_str body);
/* path: behind the account's base URL, with its query; copied. x: whose headers go along. */
struct ph_owner_call *ph_owner_call(struct ph_gateway *g, const struct ph_exchange *x, struct ph_account *a,
	struct ph_str method, struct ph_str path, ph_owner_call_cb cb, void *arg);
void ph_owner_call_cancel(struct ph_owner_call *c);
/* "/responses/{id}" and what follows. */
void ph_owner_path(struct ph_buf *out, struct ph_str id, struct ph_str tail);

/* ---- background responses ---- */
struct ph_owner_answer {
	bool known;               /* a background turn of this scope */
	bool kept;                /* it has finished, and its snapshot is there, now or since a moment ago */
	bool over;                /* it has ended in a way that nothing can be continued from */
	int status;               /* of the account's answer; 0: it could not be asked */
	struct ph_str body;       /* of the answer; valid during the call */
	uint64_t after_ms;        /* where it could not be asked: when it may be, or 0 */
	const struct ph_err *err; /* the database could not be asked; or NULL */
};
struct ph_owner_ask;
typedef void (*ph_owner_cb)(void *arg, const struct ph_owner_answer *answer);
/* What became of it. A finished one gets its snapshot before cb fires, once. */
struct ph_owner_ask *ph_owner_ask(struct ph_gateway *g, const struct ph_exchange *x, const struct ph_key *key,
	struct ph_str id, ph_owner_cb cb, void *arg);
/* The same, after it was told to end. */
struct ph_owner_ask *ph_owner_stop(struct ph_gateway *g, const struct ph_exchange *x,
	const struct ph_key *key, struct ph_str id, ph_owner_cb cb, void *arg);
void ph_owner_cancel(struct ph_owner_ask *a);

/* The response object of a finished background turn becomes its snapshot. NULL: it has not finished. cb fires
 * once, later, within 5 s: whether it is written. */
struct ph_owner_keeping;
struct ph_owner_keeping *ph_owner_keep(struct ph_gateway *g, const struct ph_exchange *x,
	struct ph_background *b, struct ph_str response, void (*cb)(void *arg, bool kept), void *arg);
void ph_owner_keep_cancel(struct ph_owner_keeping *k); /* nobody waits for it any more */

#endif
