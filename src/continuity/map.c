/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of 64-bit hashes: open addressing, at most half full, nothing is ever removed. Keys are hashes
 * already, so their low bits are the place; two texts with one hash are taken for the same.
 */
#include <stdlib.h>

#include "continuity_priv.h"

struct ph_map_slot {
	uint64_t key; /* 0: free; a hash of 0 is stored as 1 */
	uint64_t value;
};

void ph_map_deinit(struct ph_map *m)
{
	free(m->v);
	*m = (struct ph_map){.v = NULL};
}

/* The key's slot, or the free one where it belongs. */
static struct ph_map_slot *slot(const struct ph_map *m, uint64_t key)
{
	size_t i = (size_t)key & (m->cap - 1);

	while (m->v[i].key && m->v[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->v[i];
}

static void grow(struct ph_map *m)
{
	struct ph_map larger = {.n = m->n, .cap = m->cap ? 2 * m->cap : 64};

	larger.v = ph_alloc(larger.cap * sizeof *larger.v);
	for (size_t i = 0; i < m->cap; i++)
		if (m->v[i].key)
			*slot(&larger, m->v[i].key) = m->v[i];
	free(m->v);
	*m = larger;
}

uint64_t *ph_map_at(struct ph_map *m, uint64_t key)
{
	struct ph_map_slot *s;

	if (2 * m->n >= m->cap)
		grow(m);
	s = slot(m, key ? key : 1);
	if (!s->key) {
		s->key = key ? key : 1;
		m->n++;
	}
	return &s->value;
}

uint64_t ph_map_get(const struct ph_map *m, uint64_t key)
{
	return m->cap ? slot(m, key ? key : 1)->value : 0;
}
