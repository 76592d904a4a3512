/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns that run, and turns that wait for a slot. One queue for all accounts of the node, since a turn may be
 * served by several; who came first is woken first, and whoever comes later does not get past it
 * (ph_choice.queued). Nothing here knows where slots come from.
 */
#include "account_priv.h"

/* A place in the queue that is nobody's. */
static bool is_mark(const struct ph_account_wait *w)
{
	return !w->cb;
}

static bool any_room(const struct ph_accounts *r)
{
	PH_LIST_EACH (it, &r->all) {
		const struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->max_streams && ph_lease_room(a))
			return true;
	}
	return false;
}

/* Each waiter chooses again, and stays where it stands, or leaves. The mark goes behind whoever is called. */
static void on_wake(void *arg)
{
	struct ph_accounts *r = arg;
	struct ph_account_wait mark = {.cb = NULL};
	bool all = r->wake_all;

	r->wake_all = false;
	ph_list_init(&mark.node);
	ph_list_push_front(&r->waiting, &mark.node);
	while (mark.node.next != &r->waiting && (all || any_room(r))) {
		struct ph_account_wait *w = PH_CONTAINER(mark.node.next, struct ph_account_wait, node);

		ph_list_remove(&mark.node);
		ph_list_push_front(&w->node, &mark.node);
		w->cb(w->arg);
	}
	ph_list_remove(&mark.node);
}

void ph_waiting_init(struct ph_accounts *r)
{
	ph_list_init(&r->waiting);
	ph_defer_init(&r->wake, on_wake, r);
}

void ph_accounts_wake_some(struct ph_accounts *r)
{
	if (!ph_list_empty(&r->waiting))
		ph_defer_call(r->loop, &r->wake);
}

void ph_accounts_wake(struct ph_accounts *r)
{
	r->wake_all = !ph_list_empty(&r->waiting);
	ph_accounts_wake_some(r);
}

uint32_t ph_accounts_waiting(const struct ph_accounts *r, const struct ph_account *a, uint32_t max)
{
	uint32_t n = 0;

	PH_LIST_EACH (it, &r->waiting) {
		const struct ph_account_wait *w = PH_CONTAINER(it, struct ph_account_wait, node);

		if (n == max)
			break;
		if (is_mark(w) || !w->choice)
			continue;
		n += w->account ? w->account == a->id : ph_choice_allows(w->choice, a);
	}
	return n;
}

void ph_account_wait_init(struct ph_account_wait *w, void (*cb)(void *arg), void *arg)
{
	ph_list_init(&w->node);
	w->cb = cb;
	w->arg = arg;
	w->choice = NULL;
	w->account = 0;
}

void ph_account_wait(
	struct ph_accounts *r, struct ph_account_wait *w, const struct ph_choice *choice, int64_t account)
{
	w->choice = choice;
	w->account = account;
	if (!ph_account_waits(w))
		ph_list_push_back(&r->waiting, &w->node);
	PH_LIST_EACH (it, &r->all) {
		struct ph_account *a = PH_CONTAINER(it, struct ph_account, node);

		if (a->max_streams && choice && (account ? account == a->id : ph_choice_allows(choice, a)))
			ph_lease_hurry(a);
	}
	if (any_room(r))
		ph_accounts_wake_some(r);
}

void ph_account_wait_stop(struct ph_account_wait *w)
{
	ph_list_remove(&w->node);
}

bool ph_account_waits(const struct ph_account_wait *w)
{
	return !ph_list_empty(&w->node);
}

struct ph_account *ph_account_take(struct ph_account *a)
{
	if ((a->max_streams && ph_lease_room(a) == 0) || !ph_probe_take(a))
		return NULL;
	a->running++;
	ph_lease_began(a);
	return ph_account_ref(a);
}

void ph_account_release(struct ph_accounts *r, struct ph_account *a)
{
	a->running--;
	ph_probe_release(r, a);
	ph_lease_ended(a);
	ph_accounts_wake_some(r);
	ph_account_unref(a);
}
