/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/usage: what the calling key may use, and has used. The database makes the answer (docs/limits.md).
 */
#include "side.h"

struct usage {
	struct ph_pg_call *call;
};

static void on_read(void *arg, struct ph_pg_result *r, const struct ph_err *err)
{
	struct ph_side *s = arg;
	struct usage *u = s->data;

	u->call = NULL;
	if (err)
		ph_side_error(s, err->code, NULL, 0);
	else
		ph_side_json(s, 200, ph_pg_str(r, 0, 0));
}

static void serve(struct ph_side *s)
{
	struct usage *u = s->data;

	u->call = ph_limit_store_usage(s->g->pg, s->door.key->id, on_read, s);
}

static void cancel(struct ph_side *s)
{
	struct usage *u = s->data;

	if (u->call)
		ph_pg_abandon(u->call);
	u->call = NULL;
}

static const struct ph_side_ops ops = {PH_ROUTE_OTHER, serve, cancel, NULL};

void ph_usage_get(struct ph_gateway *g, struct ph_exchange *x)
{
	ph_side_start(ph_side_open(g, x, &ops, sizeof(struct usage)));
}
