/* SPDX-License-Identifier: Apache-2.0 */
/* Work on the thread pool: for bodies that are too large to parse or to compress on the loop. */
#include <assert.h>
#include <stdlib.h>

#include "loop_priv.h"

/* Owner: libuv, until on_done(). */
struct job {
	uv_work_t req;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void on_work(uv_work_t *req)
{
	struct job *j = req->data;

	j->work(j->arg);
}

static void on_done(uv_work_t *req, int status)
{
	struct job *j = req->data;
	struct ph_loop *loop = req->loop->data;
	void (*done)(void *arg) = j->done;
	void *arg = j->arg;

	assert(status == 0); /* nobody cancels */
	(void)status;
	ph_loop_woke(loop);
	loop->jobs--;
	free(j);
	done(arg);
}

void ph_work_start(struct ph_loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *j = ph_alloc(sizeof(*j));
	int rc;

	assert(work && done);
	j->work = work;
	j->done = done;
	j->arg = arg;
	j->req.data = j;
	loop->jobs++;
	rc = uv_queue_work(&loop->uv, &j->req, on_work, on_done);
	if (rc < 0)
		ph_die("cannot use the thread pool: %s", uv_strerror(rc));
}
