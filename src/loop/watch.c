/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching a descriptor that somebody else owns: libpq's. libpq may close its socket and open another inside
 * one call, with the same number or a new one, so there is one watcher per generation of the socket, and a
 * number proves nothing.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

#include "loop_priv.h"

static_assert(PH_READABLE == (int)UV_READABLE && PH_WRITABLE == (int)UV_WRITABLE, "the masks are libuv's");

/* Owner: the slot that it was armed in; after ph_watch_drop() its close callback. */
struct ph_watch {
	uv_poll_t poll;
	int fd;
	int mask; /* what is polled for; 0 = paused, or stopped by libuv */
	ph_watch_cb cb;
	void *owner;
};

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct ph_watch *w = handle->data;

	ph_loop_woke(handle->loop->data);
	if (status < 0)
		w->mask = 0; /* libuv 1.44: status < 0 has stopped the handle */
	w->cb(w->owner, status, events);
}

static struct ph_watch *watch_new(struct ph_loop *loop, int fd, ph_watch_cb cb, void *owner)
{
	struct ph_watch *w = ph_alloc(sizeof(*w));

	if (uv_poll_init(&loop->uv, &w->poll, fd) < 0) {
		free(w);
		return NULL;
	}
	w->poll.data = w;
	w->fd = fd;
	w->cb = cb;
	w->owner = owner;
	return w;
}

int ph_watch_arm(struct ph_watch **slot, struct ph_loop *loop, int fd, int mask, bool fresh, ph_watch_cb cb,
	void *owner)
{
	struct ph_watch *w = *slot;

	assert(cb && mask);
	/* libuv 1.44: polling for a descriptor that is closed aborts the process */
	if (fd < 0 || (fresh && fcntl(fd, F_GETFD) < 0))
		return -PH_E_SOCKET;
	if (w && w->fd != fd) {
		ph_watch_drop(slot);
		w = NULL;
	}
	if (!w)
		w = *slot = watch_new(loop, fd, cb, owner);
	if (!w)
		return -PH_E_SOCKET;
	w->cb = cb;
	w->owner = owner;
	if (!fresh && w->mask == mask)
		return 0;
	w->mask = mask;
	return uv_poll_start(&w->poll, mask, on_poll) < 0 ? -PH_E_SOCKET : 0;
}

void ph_watch_pause(struct ph_watch *w)
{
	if (!w)
		return;
	w->mask = 0;
	uv_poll_stop(&w->poll);
}

void ph_watch_drop(struct ph_watch **slot)
{
	struct ph_watch *w = *slot;

	*slot = NULL;
	if (w)
		uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}
