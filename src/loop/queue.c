/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes on their way out, in order: blocks of our own, into which small pushes are copied one behind the
 * other, and borrowed slices. Blocks come with the first byte and go with the last; the loop keeps a few
 * spare ones warm.
 */
#include <assert.h>
#include <stdlib.h>

#include "loop_priv.h"

#define BLOCK_ROOM ((size_t)PH_BLOCK_SIZE - sizeof(struct ph_chunk))
#define SPARES_MAX 32

void ph_queue_init(struct ph_queue *q)
{
	ph_list_init(&q->chunks);
	q->bytes = 0;
}

static struct ph_chunk *chunk_of(struct ph_list *node)
{
	return PH_CONTAINER(node, struct ph_chunk, node);
}

static struct ph_chunk *block_new(struct ph_loop *loop, size_t size)
{
	struct ph_list *spare = size <= BLOCK_ROOM ? ph_list_pop(&loop->blocks) : NULL;
	struct ph_chunk *c;

	if (spare) {
		loop->block_count--;
		c = chunk_of(spare);
	} else {
		c = ph_realloc(NULL, sizeof(*c) + (size > BLOCK_ROOM ? size : BLOCK_ROOM));
	}
	*c = (struct ph_chunk){.p = c->own, .size = size > BLOCK_ROOM ? size : BLOCK_ROOM};
	return c;
}

static void chunk_free(struct ph_chunk *c, struct ph_loop *loop)
{
	if (c->size == BLOCK_ROOM && loop->block_count < SPARES_MAX) {
		ph_list_push_front(&loop->blocks, &c->node);
		loop->block_count++;
	} else {
		free(c);
	}
}

void ph_queue_free_spares(struct ph_loop *loop)
{
	struct ph_list *node;

	while ((node = ph_list_pop(&loop->blocks)) != NULL)
		free(chunk_of(node));
	loop->block_count = 0;
}

/* Where bytes can be added behind c's, and how many. */
static size_t room_behind(struct ph_chunk *c, char **ret_at)
{
	if (c->size == 0)
		return 0;
	*ret_at = c->own + (c->p - c->own) + c->n;
	return (size_t)(c->own + c->size - *ret_at);
}

static void append(struct ph_queue *q, struct ph_chunk *c, struct ph_str bytes)
{
	char *at = NULL;
	size_t room = room_behind(c, &at);

	assert(room >= bytes.n);
	(void)room;
	memcpy(at, bytes.p, bytes.n);
	c->n += bytes.n;
	q->bytes += bytes.n;
}

void ph_queue_copy(struct ph_queue *q, struct ph_loop *loop, struct ph_str bytes)
{
	char *at = NULL;
	struct ph_chunk *c;

	if (bytes.n > 0 && !ph_list_empty(&q->chunks)) {
		struct ph_chunk *last = chunk_of(q->chunks.prev);
		size_t room = room_behind(last, &at);
		size_t n = room < bytes.n ? room : bytes.n;

		if (n > 0)
			append(q, last, ph_str(bytes.p, n));
		bytes = ph_str(bytes.p + n, bytes.n - n);
	}
	if (bytes.n == 0)
		return;
	c = block_new(loop, bytes.n);
	ph_list_push_back(&q->chunks, &c->node);
	append(q, c, bytes);
}

void ph_queue_ref(struct ph_queue *q, struct ph_str bytes, void (*release)(void *arg), void *arg)
{
	struct ph_chunk *c = ph_alloc(sizeof(*c));

	c->p = bytes.p;
	c->n = bytes.n;
	c->release = release;
	c->arg = arg;
	ph_list_push_back(&q->chunks, &c->node);
	q->bytes += bytes.n;
}

/* Unlinks and frees the first chunk, whatever it still holds. */
static void drop_first(struct ph_queue *q, struct ph_loop *loop)
{
	struct ph_chunk *c = chunk_of(ph_list_pop(&q->chunks));
	void (*release)(void *arg) = c->release;
	void *arg = c->arg;

	q->bytes -= c->n;
	chunk_free(c, loop);
	if (release)
		release(arg);
}

void ph_queue_drop(struct ph_queue *q, struct ph_loop *loop, size_t n)
{
	assert(n <= q->bytes);
	while (!ph_list_empty(&q->chunks)) {
		struct ph_chunk *c = chunk_of(q->chunks.next);

		if (n < c->n) {
			c->p += n;
			c->n -= n;
			q->bytes -= n;
			return;
		}
		n -= c->n;
		drop_first(q, loop);
	}
}

void ph_queue_clear(struct ph_queue *q, struct ph_loop *loop)
{
	while (!ph_list_empty(&q->chunks))
		drop_first(q, loop);
}

unsigned ph_queue_gather(const struct ph_queue *q, uv_buf_t *bufs, unsigned max, size_t *ret_bytes)
{
	unsigned count = 0;
	size_t bytes = 0;

	PH_LIST_EACH (node, &q->chunks) {
		struct ph_chunk *c = chunk_of(node);

		if (count == max)
			break;
		if (c->n == 0)
			continue;
		/* libuv's buffers are not const, but a write only reads them */
		bufs[count++] = (uv_buf_t){.base = (char *)(uintptr_t)c->p, .len = c->n};
		bytes += c->n;
	}
	*ret_bytes = bytes;
	return count;
}

struct ph_str ph_queue_front(const struct ph_queue *q)
{
	PH_LIST_EACH (node, &q->chunks) {
		struct ph_chunk *c = chunk_of(node);

		if (c->n > 0)
			return ph_str(c->p, c->n);
	}
	return PH_STR_NONE;
}
