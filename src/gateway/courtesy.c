/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that Codex clients make beside their turns, to the backend that they take this for: figures of their
 * use, plugins, settings, who one is. None of it is relayed, for it would speak of one account; each gets the
 * emptiest answer that its client goes on with. One table.
 */
#include "side.h"

static const struct answer {
	struct ph_str path; /* behind /backend-api, or behind a base of the API */
	struct ph_str json;
} answers[] = {
	{PH_STR_INIT("/codex/analytics-events/events"), PH_STR_INIT("{}")},
	{PH_STR_INIT("/analytics-events/events"), PH_STR_INIT("{}")},
	{PH_STR_INIT("/ps/plugins/installed"),
		PH_STR_INIT("{\"plugins\":[],\"pagination\":{\"next_page_token\":null}}")},
	{PH_STR_INIT("/plugins/featured"), PH_STR_INIT("[]")},
	{PH_STR_INIT("/wham/settings/user"), PH_STR_INIT("{}")},
	{PH_STR_INIT("/wham/accounts/check"),
		PH_STR_INIT("{\"accounts\":[],\"account_ordering\":[],\"default_account_id\":null}")},
	{PH_STR_INIT("/wham/rate-limit-reset-credits"), PH_STR_INIT("{\"credits\":[]}")},
};

static void serve(struct ph_side *s)
{
	const struct answer *a = *(const struct answer **)s->data;

	ph_side_json(s, 200, a->json);
}

static void cancel(struct ph_side *s)
{
	(void)s; /* nothing waits */
}

static const struct ph_side_ops ops = {PH_ROUTE_OTHER, serve, cancel, NULL};

bool ph_courtesy_has(struct ph_str path)
{
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		if (ph_str_eq(path, answers[i].path))
			return true;
	return false;
}

void ph_courtesy_open(struct ph_gateway *g, struct ph_exchange *x, struct ph_str path)
{
	struct ph_side *s = ph_side_open(g, x, &ops, sizeof(const struct answer *));

	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		if (ph_str_eq(path, answers[i].path))
			*(const struct answer **)s->data = &answers[i];
	ph_side_start(s);
}
