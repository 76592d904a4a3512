/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a connection to an upstream comes about: its name, each of its addresses in turn, TLS, all under one
 * deadline. A dial ends with a stream, which is then its owner's, or with the reason why there is none. It
 * keeps no connection and knows nothing of what is said on one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "upstream_priv.h"

struct ph_dial {
	struct ph_upstream *up;
	void (*on_dialled)(void *owner, struct ph_stream *s, const struct ph_err *err);
	void *owner;
	bool tls;
	char host[256];
	uint16_t port;
	struct ph_timer deadline;
	struct ph_resolve *resolve; /* until the name is known */
	struct ph_addrs addrs;
	int next_addr;
	struct ph_stream *stream; /* to the address that is tried */
};

static void on_dropped(void *owner)
{
	ph_upstream_drop(owner);
}

/* An attempt that came to nothing closes by itself; only the upstream waits for it. */
static void drop_stream(struct ph_dial *d)
{
	static const struct ph_stream_events none = {NULL, NULL, NULL, NULL, on_dropped};

	if (!d->stream)
		return;
	ph_upstream_hold(d->up);
	ph_stream_set_owner(d->stream, &none, d->up);
	ph_stream_close(d->stream, false);
	d->stream = NULL;
}

void ph_dial_cancel(struct ph_dial *d)
{
	ph_timer_stop(&d->deadline);
	if (d->resolve)
		ph_resolve_cancel(d->resolve);
	drop_stream(d);
	free(d);
}

static void give_up(struct ph_dial *d, const struct ph_err *err)
{
	void (*on_dialled)(void *, struct ph_stream *, const struct ph_err *) = d->on_dialled;
	void *owner = d->owner;

	ph_dial_cancel(d);
	on_dialled(owner, NULL, err);
}

static void succeed(struct ph_dial *d)
{
	void (*on_dialled)(void *, struct ph_stream *, const struct ph_err *) = d->on_dialled;
	void *owner = d->owner;
	struct ph_stream *s = d->stream;

	d->stream = NULL;
	ph_dial_cancel(d);
	on_dialled(owner, s, NULL);
}

static void try_next(struct ph_dial *d);

static void on_connect(void *owner, int status, const struct ph_err *err)
{
	struct ph_dial *d = owner;

	if (status == 0) {
		succeed(d);
	} else if (status != -PH_E_TLS && d->next_addr < d->addrs.count) {
		drop_stream(d);
		try_next(d);
	} else {
		give_up(d, err);
	}
}

/* Nobody reads before on_connect, and after it the stream is somebody else's or closed. */
static void on_early_data(void *owner, struct ph_str bytes)
{
	(void)owner;
	(void)bytes;
}

static void on_early_end(void *owner, int status)
{
	(void)owner;
	(void)status;
}

static void try_next(struct ph_dial *d)
{
	static const struct ph_stream_events events = {on_connect, on_early_data, on_early_end, NULL, NULL};
	const struct ph_addr *addr = &d->addrs.addr[d->next_addr++];

	d->stream = ph_stream_connect(d->up->loop, addr, d->tls ? d->up->tls : NULL, d->host, &events, d);
}

static void on_resolved(void *arg, int status, const struct ph_addrs *addrs)
{
	struct ph_dial *d = arg;
	struct ph_err err = {0};

	d->resolve = NULL;
	if (status || addrs->count == 0) {
		ph_fail(&err, PH_E_NAME, "the name %s cannot be resolved", d->host);
		give_up(d, &err);
		return;
	}
	d->addrs = *addrs;
	try_next(d);
}

static void on_deadline(void *arg)
{
	struct ph_dial *d = arg;
	struct ph_err err = {0};

	ph_fail(&err, PH_E_TIMEOUT, "no connection to %s:%u in time", d->host, (unsigned)d->port);
	give_up(d, &err);
}

struct ph_dial *ph_dial_start(struct ph_upstream *u, bool tls, const char *host, uint16_t port,
	void (*on_dialled)(void *owner, struct ph_stream *s, const struct ph_err *err), void *owner)
{
	struct ph_dial *d = ph_alloc(sizeof *d);

	d->up = u;
	d->on_dialled = on_dialled;
	d->owner = owner;
	d->tls = tls;
	d->port = port;
	snprintf(d->host, sizeof d->host, "%s", host);
	ph_timer_init(&d->deadline, u->loop, on_deadline, d);
	ph_timer_start(&d->deadline, u->connect_timeout_ms);
	d->resolve = ph_resolve_start(u->loop, d->host, port, on_resolved, d);
	return d;
}
