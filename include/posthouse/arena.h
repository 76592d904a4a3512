/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that goes with a turn. Bump allocation with a cap; nothing in an arena is freed singly. Foreign
 * objects are tied to it with ph_arena_defer() and released in the reverse order when the arena ends.
 */
#ifndef POSTHOUSE_ARENA_H
#define POSTHOUSE_ARENA_H

#include "posthouse/str.h"

struct ph_arena_chunk;
struct ph_arena_defer;

struct ph_arena {
	struct ph_arena_chunk *chunks; /* newest first */
	struct ph_arena_defer *defers; /* newest first */
	size_t used;                   /* bytes handed out */
	size_t max;
};

void ph_arena_init(struct ph_arena *a, size_t max); /* allocates nothing */
void ph_arena_deinit(struct ph_arena *a);           /* runs the deferred calls, then frees; may be repeated */

/* Zeroed memory aligned for any type, or NULL past the cap. */
void *ph_arena_alloc(struct ph_arena *a, size_t size);
/* A copy of s with a NUL behind it (not counted), or PH_STR_NONE past the cap. */
struct ph_str ph_arena_dup(struct ph_arena *a, struct ph_str s);
char *ph_arena_printf(struct ph_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ph_arena_defer(struct ph_arena *a, void (*fn)(void *), void *arg);

#endif
