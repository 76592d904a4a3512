/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preference: a conversation stays on the account that has it in its prompt cache, softly. All nodes agree on
 * it by one call of prefer(), which holds the conversation's advisory lock: those that choose at the same
 * moment choose the same account. A conversation moves when its account cannot serve it, and stays moved; an
 * account that is merely busy keeps it.
 *
 * The round trip is spared where there is nothing to agree on, while another turn of the conversation waits
 * for the same answer, and for some seconds after one: until then a turn may still go to an account that the
 * conversation left on another node, never to one that cannot serve. Without an answer within half a second
 * the turn chooses alone: only the cache suffers.
 */
#ifndef POSTHOUSE_PREFER_H
#define POSTHOUSE_PREFER_H

#include "posthouse/account.h"

/* What names a conversation, best first. They stand in the first byte of preferences.signal. */
enum ph_named_by {
	PH_NAMED_ROOT, /* the first response of its chain */
	PH_NAMED_THREAD,
	PH_NAMED_SESSION,
	PH_NAMED_CACHE_KEY,
};

/* A turn that asks. */
struct ph_prefer_wait {
	struct ph_list node;
	void (*cb)(void *arg);
	void *arg;
	/* the answer */
	int64_t account; /* where it stays from now on; 0 = nobody said */
	int64_t was;     /* where it stayed until now; 0 = it is new, or nobody said */
};
void ph_prefer_wait_init(struct ph_prefer_wait *w, void (*cb)(void *arg), void *arg);
/* True: answered at once. Else cb fires once, later. scope: of the key. */
bool ph_prefer(struct ph_accounts *r, struct ph_prefer_wait *w, int64_t scope, enum ph_named_by by,
	struct ph_str name, const struct ph_choice *c);
void ph_prefer_wait_stop(struct ph_prefer_wait *w); /* may be repeated */

/* Whether the choice leaves anything to agree on: more than one account may serve such turns, now or later.
 */
bool ph_prefer_matters(struct ph_accounts *r, const struct ph_choice *c);
/* Whether a turn that prefers this account can go there, if it has a slot. */
bool ph_prefer_stands(struct ph_accounts *r, const struct ph_choice *c, int64_t account);

#endif
