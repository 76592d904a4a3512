/* SPDX-License-Identifier: Apache-2.0 */
/* What was found of the ids that a list of items names, by id. */
#include "continuity_priv.h"
#include "posthouse/crypt.h"

#define SEED 11

void ph_known_init(struct ph_known *k, const struct ph_found *found)
{
	*k = (struct ph_known){.found = found};
	for (size_t i = 0; found && i < found->n; i++)
		*ph_map_at(&k->places, ph_hash64(found->items[i].id, SEED)) = i + 1;
}

void ph_known_deinit(struct ph_known *k)
{
	ph_map_deinit(&k->places);
}

const struct ph_found_item *ph_known_item(const struct ph_known *k, const struct ph_item *it)
{
	struct ph_str id = it->m[PH_ITEM_ID];
	uint64_t place;

	if (!k || !k->found || k->found->n == 0 || ph_json_kind(id) != PH_JSON_STRING)
		return NULL;
	place = ph_map_get(&k->places, ph_text_hash(id, SEED));
	if (!place || !ph_json_text_is(id, k->found->items[place - 1].id))
		return NULL;
	return &k->found->items[place - 1];
}
