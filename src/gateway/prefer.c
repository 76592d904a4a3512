/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which account a turn's conversation stays on: whether it has to be asked, what names the conversation, and
 * the word for the log. A conversation whose owner is known from its chain or its items and can serve it
 * needs no answer; nor does one without a name.
 */
#include "request_priv.h"

struct signal {
	enum ph_named_by by;
	struct ph_str text; /* empty: nothing names it */
};

static bool whole_chain(const struct ph_request *r)
{
	return r->chain && r->chain->status == PH_CHAIN_OK;
}

static struct ph_str header(const struct ph_request *r, struct ph_str name)
{
	return r->x ? ph_str_trim(ph_head_get(r->x->head, name)) : PH_STR_NONE;
}

static struct signal signal_of(const struct ph_request *r)
{
	const struct ph_json_member *key = &r->body.m[PH_B_CACHE_KEY];
	const struct signal signals[] = {
		{PH_NAMED_ROOT, whole_chain(r) ? r->chain->root : PH_STR_NONE},
		{PH_NAMED_THREAD, header(r, PH_STR("thread-id"))},
		{PH_NAMED_SESSION, header(r, PH_STR("session-id"))},
		{PH_NAMED_CACHE_KEY, key->kind == PH_JSON_STRING ? key->value : PH_STR_NONE},
	};

	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (signals[i].text.n)
			return signals[i];
	return (struct signal){PH_NAMED_ROOT, PH_STR_NONE};
}

static bool must_ask(const struct ph_request *r)
{
	const struct ph_choice *c = &r->choice;

	if (c->required || r->resting || r->asked > c->tried_count || ph_account_waits(&r->wait))
		return false;
	if (c->preferred && ph_prefer_stands(r->g->accounts, c, c->preferred))
		return false;
	return ph_prefer_matters(r->g->accounts, c);
}

static void take_answer(struct ph_request *r)
{
	const struct ph_prefer_wait *w = &r->preference;

	if (w->was)
		r->choice.fresh = false;
	if (!r->home)
		r->home = w->was;
	if (!w->account)
		return;
	r->choice.preferred = w->account;
	r->prefers = true;
}

bool ph_prefer_start(struct ph_request *r)
{
	struct signal s;

	if (!r->home && !r->account_id)
		r->home = r->choice.preferred;
	if (!must_ask(r))
		return true;
	s = signal_of(r);
	r->asked = r->choice.tried_count + 1;
	if (!s.text.n)
		return true;
	if (!ph_prefer(r->g->accounts, &r->preference, r->door.key->id, s.by, s.text, &r->choice))
		return false;
	take_answer(r);
	return true;
}

void ph_prefer_answered(void *arg)
{
	struct ph_request *r = arg;
	int rc;

	take_answer(r);
	rc = ph_lease_start(r);
	if (rc)
		ph_request_event(r, rc);
}

int64_t ph_prefer_home(const struct ph_request *r)
{
	return whole_chain(r) ? r->chain->account : r->home;
}

const char *ph_prefer_why(const struct ph_request *r, const struct ph_account *a)
{
	int64_t home = ph_prefer_home(r);

	if (r->mode == PH_MODE_LIVE)
		return "live";
	if (r->choice.required && r->mode != PH_MODE_FORWARDED)
		return "bound";
	if (r->chosen && a->id == r->account_id)
		return r->chosen; /* the same turn once more */
	if (r->choice.required && r->chain && r->chain->status == PH_CHAIN_NONE)
		return "chosen"; /* whoever may know an id that nobody knows here */
	if (r->choice.required)
		return "owner";
	if (!home)
		return "chosen";
	if (a->id != home)
		return "moved";
	return r->prefers && !whole_chain(r) ? "preferred" : "owner";
}
