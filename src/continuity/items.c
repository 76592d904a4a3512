/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items and lists of items: what can be told by looking at each item's own members, and nothing deeper. Lists
 * are the inside of a JSON array that was validated before.
 */
#include "continuity_priv.h"

static const struct ph_str names[PH_ITEM_NR] = {
	[PH_ITEM_TYPE] = PH_STR_INIT("type"),
	[PH_ITEM_ID] = PH_STR_INIT("id"),
	[PH_ITEM_ROLE] = PH_STR_INIT("role"),
	[PH_ITEM_STATUS] = PH_STR_INIT("status"),
	[PH_ITEM_CONTENT] = PH_STR_INIT("content"),
	[PH_ITEM_CALL_ID] = PH_STR_INIT("call_id"),
	[PH_ITEM_NAME] = PH_STR_INIT("name"),
	[PH_ITEM_ARGUMENTS] = PH_STR_INIT("arguments"),
	[PH_ITEM_INPUT] = PH_STR_INIT("input"),
	[PH_ITEM_OUTPUT] = PH_STR_INIT("output"),
	[PH_ITEM_ENCRYPTED] = PH_STR_INIT("encrypted_content"),
	[PH_ITEM_APPROVAL] = PH_STR_INIT("approval_request_id"),
};

/* Which of the names the quoted one is, or `count`. */
static size_t which(struct ph_str quoted, const struct ph_str *of, size_t count)
{
	struct ph_str inner = ph_str(quoted.p + 1, quoted.n - 2);
	bool escaped = memchr(inner.p, '\\', inner.n) != NULL;
	size_t i = 0;

	while (i < count && !(escaped ? ph_json_text_is(quoted, of[i]) : ph_str_eq(inner, of[i])))
		i++;
	return i;
}

enum ph_json_kind ph_item_kind(const struct ph_item *it, int member)
{
	return ph_json_kind(it->m[member]);
}

bool ph_item_is(const struct ph_item *it, struct ph_str type)
{
	return ph_json_text_is(it->m[PH_ITEM_TYPE], type);
}

/* {"id":".."} without a type, and nothing else that would make it an item. */
static bool is_bare_reference(const struct ph_item *it)
{
	return ph_item_kind(it, PH_ITEM_TYPE) <= PH_JSON_NULL &&
	       ph_item_kind(it, PH_ITEM_ID) == PH_JSON_STRING &&
	       ph_item_kind(it, PH_ITEM_ROLE) == PH_JSON_ABSENT &&
	       ph_item_kind(it, PH_ITEM_CONTENT) == PH_JSON_ABSENT;
}

bool ph_item_look(struct ph_str bytes, struct ph_item *ret)
{
	struct ph_str name, value;
	size_t at = 0;

	*ret = (struct ph_item){.bytes = bytes};
	while (ph_json_pair(bytes, &at, &name, &value)) {
		size_t i = which(name, names, PH_ITEM_NR);

		if (i == PH_ITEM_NR)
			continue;
		ret->twice |= i <= PH_ITEM_ID && ret->m[i].n;
		ret->reference |= i == PH_ITEM_TYPE && ph_json_text_is(value, PH_STR("item_reference"));
		ret->m[i] = value;
	}
	ret->reference |= is_bare_reference(ret);
	return ph_json_kind(bytes) == PH_JSON_OBJECT;
}

bool ph_item_output_like(const struct ph_item *it)
{
	return ph_str_ends(it->m[PH_ITEM_TYPE], PH_STR("_call\"")) || ph_item_is(it, PH_STR("reasoning")) ||
	       ph_item_is(it, PH_STR("compaction")) ||
	       ph_json_text_is(it->m[PH_ITEM_ROLE], PH_STR("assistant"));
}

void ph_item_without(struct ph_buf *out, struct ph_str object, const struct ph_str *drop, size_t count)
{
	struct ph_str name, value;
	size_t at = 0, end = 0; /* of the member before, kept or not */
	bool first = true, kept = false;

	while (ph_json_pair(object, &at, &name, &value)) {
		size_t start = (size_t)(name.p - object.p);

		if (first)
			ph_buf_puts(out, ph_str(object.p, start));
		first = false;
		if (which(name, drop, count) == count) {
			size_t from = kept ? end : start;

			ph_buf_puts(out, ph_str(object.p + from, at - from));
			kept = true;
		}
		end = at;
	}
	ph_buf_puts(out, ph_str_from(object, end));
}

/* ---- lists ---- */

bool ph_items_next(struct ph_str items, size_t *at, struct ph_str *ret)
{
	return ph_json_next_bare(items, at, ret);
}

int ph_items_append(struct ph_buf *out, struct ph_str items)
{
	if (items.n == 0)
		return 0;
	if (out->n)
		ph_buf_putc(out, ',');
	return ph_buf_puts(out, items) ? -PH_E_CHAIN_TOO_LARGE : 0;
}

void ph_items_look(struct ph_str items, struct ph_items_facts *ret)
{
	struct ph_str bytes;
	struct ph_item it;
	size_t at = 0;

	*ret = (struct ph_items_facts){.references = false};
	while (ph_items_next(items, &at, &bytes)) {
		if (!ph_item_look(bytes, &it))
			continue;
		ret->output_like |= ph_item_output_like(&it);
		ret->references |= it.reference;
	}
}

int ph_items_strip_reasoning(struct ph_str items, struct ph_buf *out)
{
	struct ph_str item;
	struct ph_item it;
	bool orphaned = false;
	int rc = 0;

	for (size_t at = 0; rc == 0 && ph_items_next(items, &at, &item);) {
		bool object = ph_item_look(item, &it);

		if (object && ph_item_is(&it, PH_STR("reasoning"))) {
			orphaned = true;
			continue;
		}
		if (out->n)
			ph_buf_putc(out, ',');
		ph_item_without(out, item, &names[PH_ITEM_ID], orphaned && object);
		rc = out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
		orphaned = false;
	}
	return rc;
}
