/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as events of the loop. */
#include <assert.h>
#include <stdlib.h>

#include "loop_priv.h"

/* Owner: whoever opened it, until ph_signal_close(); then its close callback. */
struct ph_signal {
	uv_signal_t uv;
	void (*cb)(void *arg, int signum);
	void *arg;
};

static void on_signal(uv_signal_t *handle, int signum)
{
	struct ph_signal *s = handle->data;

	ph_loop_woke(handle->loop->data);
	s->cb(s->arg, signum);
}

static void on_signal_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct ph_signal *ph_signal_open(
	struct ph_loop *loop, int signum, void (*cb)(void *arg, int signum), void *arg)
{
	struct ph_signal *s = ph_alloc(sizeof(*s));

	assert(cb);
	s->cb = cb;
	s->arg = arg;
	if (uv_signal_init(&loop->uv, &s->uv) < 0) {
		free(s);
		return NULL;
	}
	s->uv.data = s;
	if (uv_signal_start(&s->uv, on_signal, signum) < 0) {
		ph_signal_close(s);
		return NULL;
	}
	return s;
}

void ph_signal_close(struct ph_signal *s)
{
	if (s)
		uv_close((uv_handle_t *)&s->uv, on_signal_closed);
}
