/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bump allocation. Chunks double from 512 bytes to 64 KiB; what is larger than a quarter of the next chunk
 * gets one of its own, behind the newest, so that the room left in the newest is not lost.
 */
#include "posthouse/arena.h"

#include "posthouse/err.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_CHUNK 512
#define LAST_CHUNK  65536
#define ALIGN       _Alignof(max_align_t)

struct ph_arena_chunk {
	struct ph_arena_chunk *next;
	size_t size, used;
	_Alignas(max_align_t) char bytes[];
};

struct ph_arena_defer {
	struct ph_arena_defer *next;
	void (*fn)(void *);
	void *arg;
};

void ph_arena_init(struct ph_arena *a, size_t max)
{
	*a = (struct ph_arena){.max = max};
}

void ph_arena_deinit(struct ph_arena *a)
{
	while (a->defers) {
		struct ph_arena_defer *d = a->defers;

		a->defers = d->next; /* first: the call may defer another */
		d->fn(d->arg);
		free(d);
	}
	while (a->chunks) {
		struct ph_arena_chunk *c = a->chunks;

		a->chunks = c->next;
		free(c);
	}
	ph_arena_init(a, a->max);
}

static struct ph_arena_chunk *chunk_new(size_t size)
{
	struct ph_arena_chunk *c = ph_alloc(sizeof(*c) + size);

	c->size = size;
	return c;
}

/* A chunk with room for size bytes. */
static struct ph_arena_chunk *chunk_for(struct ph_arena *a, size_t size)
{
	struct ph_arena_chunk *newest = a->chunks, *c;
	size_t next = newest && newest->size >= FIRST_CHUNK ? newest->size * 2 : FIRST_CHUNK;

	if (newest && size <= newest->size - newest->used)
		return newest;
	if (next > LAST_CHUNK)
		next = LAST_CHUNK;
	if (newest && size > next / 4) {
		c = chunk_new(size);
		c->next = newest->next;
		newest->next = c;
		return c;
	}
	c = chunk_new(size > next ? size : next);
	c->next = newest;
	a->chunks = c;
	return c;
}

void *ph_arena_alloc(struct ph_arena *a, size_t size)
{
	struct ph_arena_chunk *c;
	void *p;

	if (size > a->max - a->used)
		return NULL;
	size = (size + ALIGN - 1) / ALIGN * ALIGN;
	if (size == 0)
		size = ALIGN;
	if (size > a->max - a->used)
		return NULL;
	c = chunk_for(a, size);
	p = c->bytes + c->used;
	c->used += size;
	a->used += size;
	return p;
}

struct ph_str ph_arena_dup(struct ph_arena *a, struct ph_str s)
{
	char *p;

	if (s.n == 0)
		return PH_STR("");
	p = s.n < SIZE_MAX ? ph_arena_alloc(a, s.n + 1) : NULL;
	if (!p)
		return PH_STR_NONE;
	memcpy(p, s.p, s.n);
	return ph_str(p, s.n);
}

char *ph_arena_printf(struct ph_arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p = NULL;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0)
		p = ph_arena_alloc(a, (size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

void ph_arena_defer(struct ph_arena *a, void (*fn)(void *), void *arg)
{
	struct ph_arena_defer *d = ph_alloc(sizeof(*d));

	d->fn = fn;
	d->arg = arg;
	d->next = a->defers;
	a->defers = d;
}
