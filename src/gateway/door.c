/* SPDX-License-Identifier: Apache-2.0 */
/* The door: who calls. Every handler under /v1 begins here. */
#include "gateway_priv.h"

void ph_door_init(struct ph_door *d, struct ph_gateway *g, struct ph_exchange *x,
	void (*done)(void *arg, int result, const struct ph_err *err), void *arg)
{
	d->g = g;
	d->x = x;
	d->key = NULL;
	d->wait = NULL;
	d->done = done;
	d->arg = arg;
}

static void on_decided(void *arg, int status, struct ph_key *key)
{
	struct ph_door *d = arg;
	struct ph_err err = {0};

	d->wait = NULL;
	if (status == 0)
		d->key = ph_key_ref(key);
	if (status)
		err.code = -status;
	d->done(d->arg, status ? status : 1, status ? &err : NULL);
}

int ph_door_authenticate(struct ph_door *d, struct ph_err *err)
{
	struct ph_str value = ph_head_get(d->x->head, PH_STR("authorization"));

	return ph_auth_check(d->g->auth, value, on_decided, d, &d->key, &d->wait, err);
}

void ph_door_cancel(struct ph_door *d)
{
	if (!d->wait)
		return;
	ph_auth_cancel(d->wait);
	d->wait = NULL;
}

void ph_door_close(struct ph_door *d)
{
	ph_door_cancel(d);
	d->key = ph_key_unref(d->key);
}
