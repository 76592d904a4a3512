/* SPDX-License-Identifier: Apache-2.0 */
/* Work on the thread pool: for bodies that are too large to parse or to compress on the loop. */
#include <assert.h>
#include <stdlib.h>

#include "loop_priv.h"

/* Owner: libuv, until on_done(). */
struct ph_work {
	uv_work_t req;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void on_work(uv_work_t *req)
{
	struct ph_work *w = req->data;

	w->work(w->arg);
}

static void on_done(uv_work_t *req, int status)
{
	struct ph_work *w = req->data;
	struct ph_loop *loop = req->loop->data;
	void (*done)(void *arg) = w->done;
	void *arg = w->arg;

	assert(status == 0); /* nobody cancels */
	(void)status;
	ph_loop_woke(loop);
	loop->jobs--;
	free(w);
	done(arg);
}

void ph_work_start(struct ph_loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct ph_work *w = ph_alloc(sizeof(*w));
	int rc;

	assert(work && done);
	w->work = work;
	w->done = done;
	w->arg = arg;
	w->req.data = w;
	loop->jobs++;
	rc = uv_queue_work(&loop->uv, &w->req, on_work, on_done);
	if (rc < 0)
		ph_die("cannot use the thread pool: %s", uv_strerror(rc));
}
