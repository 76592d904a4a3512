/* SPDX-License-Identifier: Apache-2.0 */
/* The write half of streams: queues, what of them is encrypted, and what the kernel and libuv take. */
#include <assert.h>
#include <stdlib.h>

#include "stream_priv.h"

#define BUFS_MAX 64

/* What goes to the kernel. */
static struct ph_queue *outgoing(struct ph_stream *s)
{
	return s->tls ? &s->wire : &s->queue;
}

void ph_stream_flush_later(struct ph_stream *s)
{
	if (s->sm.state != STREAM_CLOSING)
		ph_loop_late(s->loop, &s->flush);
}

/* Brings in_libuv up to date; a write that makes headway is progress. */
static void look_at_libuv(struct ph_stream *s)
{
	size_t left = s->in_flight > 0 ? uv_stream_get_write_queue_size(ph_stream_handle(s)) : 0;

	if (left < s->in_libuv)
		s->progress_ms = ph_loop_now_ms(s->loop);
	s->in_libuv = left;
}

static void taken(struct ph_stream *s, size_t n)
{
	if (n == 0)
		return;
	s->progress_ms = ph_loop_now_ms(s->loop);
	ph_queue_drop(outgoing(s), s->loop, n);
}

/* A peer that answers early and goes away has left that answer in the kernel: the owner hears it before the
 * end. */
static void write_failed(struct ph_stream *s, int sys)
{
	s->wr = WRITE_FAILED;
	ph_stream_drop_queues(s);
	while (s->sm.state == STREAM_HANDSHAKE || (s->sm.state == STREAM_OPEN && s->rd == READ_ON)) {
		ssize_t n = recv(ph_stream_fd(s), s->loop->read_buf, PH_READ_SIZE, MSG_DONTWAIT);

		if (n <= 0)
			break;
		ph_stream_take(s, ph_str(s->loop->read_buf, (size_t)n));
	}
	if (s->sm.state == STREAM_OPEN || s->sm.state == STREAM_HANDSHAKE)
		ph_stream_take_end(s, sys);
}

static void on_written(uv_write_t *req, int status)
{
	struct ph_stream *s = req->handle->data;
	size_t n = s->in_flight;

	free(req);
	ph_loop_woke(s->loop);
	s->in_flight = s->in_libuv = 0;
	if (s->sm.state == STREAM_CLOSING)
		return;
	if (status == 0) {
		taken(s, n);
	} else {
		s->wr = WRITE_FAILED;
		s->sys = status;
	}
	ph_stream_flush_later(s);
}

/* Moves what was pushed through TLS, up to what the kernel may soon want. */
static int encrypt(struct ph_stream *s)
{
	while (s->queue.bytes > 0 && s->wire.bytes < PH_WIRE_MAX) {
		long n = ph_tls_conn_write(s->tls, ph_queue_front(&s->queue));

		if (n < 0)
			return (int)n;
		ph_queue_drop(&s->queue, s->loop, (size_t)n);
	}
	if (s->queue.bytes == 0 && s->wr == WRITE_ENDING)
		ph_tls_conn_notify(s->tls);
	return 0;
}

/* What the kernel does not take now. */
static int leave_to_libuv(struct ph_stream *s)
{
	uv_write_t *req = ph_alloc(sizeof(*req));
	uv_buf_t bufs[BUFS_MAX];
	size_t bytes;
	unsigned count = ph_queue_gather(outgoing(s), bufs, BUFS_MAX, &bytes);
	int rc = uv_write(req, ph_stream_handle(s), bufs, count, on_written);

	if (rc < 0)
		free(req);
	else
		s->in_flight = s->in_libuv = bytes;
	return rc;
}

/* Gives the kernel what it takes, and libuv the rest. */
static int write_some(struct ph_stream *s)
{
	uv_buf_t bufs[BUFS_MAX];
	size_t bytes;
	unsigned count = ph_queue_gather(outgoing(s), bufs, BUFS_MAX, &bytes);
	int n = uv_try_write(ph_stream_handle(s), bufs, count);

	if (n < 0 && n != UV_EAGAIN)
		return n;
	if (n > 0)
		taken(s, (size_t)n); /* releases borrowed bytes, whose owner may close us */
	if ((n > 0 && (size_t)n == bytes) || s->sm.state == STREAM_CLOSING)
		return 0;
	return leave_to_libuv(s);
}

/* One round of writing. Returns whether there is more to do, or a code. */
static int write_round(struct ph_stream *s)
{
	int rc = 0;

	if (s->sm.state != STREAM_OPEN && s->sm.state != STREAM_HANDSHAKE)
		return 0;
	if (s->tls && s->sm.state == STREAM_OPEN)
		rc = encrypt(s);
	if (rc < 0 || outgoing(s)->bytes == 0 || s->sm.state == STREAM_CLOSING)
		return rc;
	rc = write_some(s);
	return rc < 0 ? rc : s->in_flight == 0;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	struct ph_stream *s = req->handle->data;

	free(req);
	ph_loop_woke(s->loop);
	if (status < 0) {
		s->wr = WRITE_FAILED;
		s->sys = status;
	}
	ph_stream_flush_later(s);
}

static void send_fin(struct ph_stream *s)
{
	uv_shutdown_t *req = ph_alloc(sizeof(*req));
	int rc = uv_shutdown(req, ph_stream_handle(s), on_shutdown);

	s->wr = WRITE_ENDED;
	if (rc < 0) {
		free(req);
		write_failed(s, rc);
	}
}

static void after_writing(struct ph_stream *s)
{
	if (s->sm.state != STREAM_OPEN || s->in_flight > 0)
		return;
	if (s->wr == WRITE_ENDING && ph_stream_queued(s) == 0) {
		send_fin(s);
	} else if (s->blocked && s->wr == WRITE_OPEN && ph_stream_queued(s) <= PH_STREAM_LOW) {
		s->blocked = false;
		if (s->on->on_drain)
			s->on->on_drain(s->owner);
	}
}

void ph_stream_flush(void *arg)
{
	struct ph_stream *s = arg;
	int more = 1;

	if (s->sm.state == STREAM_CONNECT && s->fault) {
		ph_stream_refuse_connect(s, s->fault, s->sys);
		return;
	}
	if (s->sm.state == STREAM_OPEN && s->rd == READ_ON && s->tls && ph_tls_conn_pending(s->tls)) {
		ph_stream_read_records(s);
		ph_stream_update_reading(s);
	}
	while (more > 0 && s->in_flight == 0 && s->wr != WRITE_FAILED)
		more = write_round(s);
	if (s->queue.bytes == 0)
		ph_queue_drop(
			&s->queue, s->loop, 0); /* empty borrowed slices want their release all the same */
	if (s->sm.state == STREAM_CLOSING)
		return;
	if (more < 0)
		write_failed(s, more);
	else if (s->wr == WRITE_FAILED && s->in_flight == 0)
		write_failed(s, s->sys);
	else
		after_writing(s);
}

void ph_stream_last_words(struct ph_stream *s)
{
	uv_buf_t bufs[BUFS_MAX];
	size_t bytes;

	if (s->in_flight == 0 && s->wire.bytes > 0)
		uv_try_write(ph_stream_handle(s), bufs, ph_queue_gather(&s->wire, bufs, BUFS_MAX, &bytes));
}

/* Room below the high mark, after a push. */
static long room(struct ph_stream *s)
{
	long left = PH_STREAM_HIGH - (long)ph_stream_queued(s);

	ph_stream_flush_later(s);
	if (left <= 0)
		s->blocked = true;
	return left;
}

/* Waiting for the peer begins when there is something to wait with. */
static void begin_waiting(struct ph_stream *s)
{
	if (ph_stream_queued(s) == 0)
		s->progress_ms = ph_loop_now_ms(s->loop);
}

long ph_stream_push(struct ph_stream *s, struct ph_str bytes)
{
	begin_waiting(s);
	if (s->wr == WRITE_OPEN && s->sm.state != STREAM_CLOSING)
		ph_queue_copy(&s->queue, s->loop, bytes);
	return room(s);
}

long ph_stream_push_ref(struct ph_stream *s, struct ph_str bytes, void (*release)(void *arg), void *arg)
{
	begin_waiting(s);
	/* nobody will write it, but it has to be released, and not from in here */
	if (s->wr != WRITE_OPEN || s->sm.state == STREAM_CLOSING)
		bytes = PH_STR_NONE;
	ph_queue_ref(&s->queue, bytes, release, arg);
	return room(s);
}

size_t ph_stream_queued(const struct ph_stream *s)
{
	size_t all = s->queue.bytes + s->wire.bytes;

	if (s->in_flight == 0 || s->sm.state == STREAM_CLOSING)
		return all;
	return all - s->in_flight + uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}

uint64_t ph_stream_progress_ms(struct ph_stream *s)
{
	look_at_libuv(s);
	return s->progress_ms;
}

void ph_stream_shutdown(struct ph_stream *s)
{
	if (s->wr != WRITE_OPEN)
		return;
	s->wr = WRITE_ENDING;
	ph_stream_flush_later(s);
}
