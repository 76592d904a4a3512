/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of items: what can be told of them by looking at each item's own members, and nothing deeper. Lists
 * are the inside of a JSON array that was validated before.
 */
#include <stdio.h>
#include <stdlib.h>

#include "continuity_priv.h"
#include "posthouse/json.h"

#define REFERENCE_MAX 1024 /* bytes of an item that is only a reference */

static const struct ph_str names[PH_ITEM_NR] = {
	[PH_ITEM_TYPE] = PH_STR_INIT("type"),
	[PH_ITEM_ID] = PH_STR_INIT("id"),
	[PH_ITEM_ROLE] = PH_STR_INIT("role"),
	[PH_ITEM_STATUS] = PH_STR_INIT("status"),
	[PH_ITEM_ENCRYPTED] = PH_STR_INIT("encrypted_content"),
	[PH_ITEM_CONTENT] = PH_STR_INIT("content"),
};

bool ph_item_look(struct ph_str bytes, struct ph_item *ret)
{
	ret->bytes = bytes;
	return ph_json_find(bytes, names, PH_ITEM_NR, ret->m);
}

bool ph_item_is(const struct ph_item *it, struct ph_str type)
{
	return it->m[PH_ITEM_TYPE].kind == PH_JSON_STRING && ph_json_text_is(it->m[PH_ITEM_TYPE].value, type);
}

/* {"type":"item_reference","id":".."}; the type may be absent or null, and then nothing else makes it an
 * item. */
bool ph_item_is_reference(const struct ph_item *it)
{
	if (ph_item_is(it, PH_STR("item_reference")))
		return true;
	return it->m[PH_ITEM_TYPE].kind <= PH_JSON_NULL && it->m[PH_ITEM_ID].kind == PH_JSON_STRING &&
	       it->m[PH_ITEM_ROLE].kind == PH_JSON_ABSENT && it->m[PH_ITEM_CONTENT].kind == PH_JSON_ABSENT;
}

bool ph_item_output_like(const struct ph_item *it)
{
	struct ph_str type = it->m[PH_ITEM_TYPE].value;

	if (it->m[PH_ITEM_TYPE].kind == PH_JSON_STRING &&
		(ph_str_ends(type, PH_STR("_call\"")) || ph_item_is(it, PH_STR("reasoning")) ||
			ph_item_is(it, PH_STR("compaction"))))
		return true;
	return it->m[PH_ITEM_ROLE].kind == PH_JSON_STRING &&
	       ph_json_text_is(it->m[PH_ITEM_ROLE].value, PH_STR("assistant"));
}

/* A list has no brackets, ph_json_next() wants none either: it reads on from any offset inside an array. */
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

	*ret = (struct ph_items_facts){.count = 0};
	for (size_t at = 0; ph_items_next(items, &at, &bytes); ret->count++) {
		if (!ph_item_look(bytes, &it))
			continue;
		ret->output_like |= ph_item_output_like(&it);
		ret->reasoning |=
			ph_item_is(&it, PH_STR("reasoning")) || ph_item_is(&it, PH_STR("compaction"));
		ret->references |= ph_item_is_reference(&it);
	}
	ret->files = ph_str_find(items, PH_STR("\"file_id\"")) >= 0;
}

int ph_items_references(struct ph_str items, struct ph_arena *a, struct ph_str *ret, size_t max)
{
	struct ph_str bytes;
	struct ph_item it;
	size_t n = 0;

	for (size_t at = 0; n < max && ph_items_next(items, &at, &bytes);) {
		if (bytes.n > REFERENCE_MAX || !ph_item_look(bytes, &it) || !ph_item_is_reference(&it))
			continue;
		if (it.m[PH_ITEM_ID].kind != PH_JSON_STRING ||
			!ph_json_text(it.m[PH_ITEM_ID].value, a, &ret[n]))
			return -PH_E_PARAM_BAD;
		n++;
	}
	return (int)n;
}

static const struct ph_found_item *found(const struct ph_found_item *table, size_t n, struct ph_str id)
{
	for (size_t i = 0; i < n; i++)
		if (ph_json_text_is(id, table[i].id))
			return &table[i];
	return NULL;
}

static int put_found(const struct ph_found_item *f, struct ph_str reference, const struct ph_target *target,
	struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_chain_run run = {f->item, f->account, true, f->stored, false};

	if (!target)
		return ph_items_append(out, f->item);
	if (f->account == target->account)
		return ph_items_append(out, f->stored ? reference : f->item);
	return ph_items_neutralise(&run, target, out, bound);
}

int ph_items_dereference(struct ph_str items, const struct ph_found_item *table, size_t n,
	const struct ph_target *target, struct ph_buf *out, struct ph_bound *bound)
{
	struct ph_str bytes;
	struct ph_item it;

	for (size_t at = 0; ph_items_next(items, &at, &bytes);) {
		const struct ph_found_item *f = NULL;
		int rc;

		if (bytes.n <= REFERENCE_MAX && ph_item_look(bytes, &it) && ph_item_is_reference(&it)) {
			f = found(table, n, it.m[PH_ITEM_ID].value);
			if (!f)
				return -PH_E_ITEM_UNKNOWN;
		}
		rc = f ? put_found(f, bytes, target, out, bound) : ph_items_append(out, bytes);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- the page of GET .../input_items ---- */

/* The item's bytes with an id: its own, or one made of the response's id and the item's place, hence stable.
 */
static void put_with_id(struct ph_buf *b, const struct ph_item *it, struct ph_str response_id, size_t place)
{
	struct ph_str inside = ph_str_from(it->bytes, 1);

	if (it->m[PH_ITEM_ID].kind == PH_JSON_STRING) {
		ph_buf_puts(b, it->bytes);
		return;
	}
	ph_buf_puts(b, PH_STR("{\"id\":\"item_"));
	ph_buf_json(b, response_id);
	ph_buf_printf(b, "_%zu\"", place);
	if (ph_str_trim(inside).p[0] != '}')
		ph_buf_putc(b, ',');
	ph_buf_puts(b, inside);
}

static bool id_is(const struct ph_item *it, struct ph_str id, struct ph_str response_id, size_t place)
{
	char made[PH_RESPONSE_ID_MAX + 32];

	if (it->m[PH_ITEM_ID].kind == PH_JSON_STRING)
		return ph_json_text_is(it->m[PH_ITEM_ID].value, id);
	snprintf(made, sizeof made, "item_%.*s_%zu", PH_STR_ARG(response_id), place);
	return ph_str_eq(id, ph_str_c(made));
}

static void put_id(struct ph_buf *b, const struct ph_item *it, struct ph_str response_id, size_t place)
{
	if (it->m[PH_ITEM_ID].kind == PH_JSON_STRING) {
		ph_buf_puts(b, it->m[PH_ITEM_ID].value);
		return;
	}
	ph_buf_puts(b, PH_STR("\"item_"));
	ph_buf_json(b, response_id);
	ph_buf_printf(b, "_%zu\"", place);
}

/* Places of the first and the last item of a page, in the list's own order; count 0 = an empty page. */
struct span {
	size_t first, count;
	bool more;
};

static int find_span(const struct ph_item *list, size_t n, struct ph_str response_id,
	const struct ph_page *page, struct span *ret)
{
	size_t start = page->ascending ? 0 : n; /* descending pages end before `start` */
	size_t left;

	if (page->after.n) {
		size_t i = 0;

		while (i < n && !id_is(&list[i], page->after, response_id, i))
			i++;
		if (i == n)
			return -PH_E_ITEM_UNKNOWN;
		start = page->ascending ? i + 1 : i;
	}
	left = page->ascending ? n - start : start;
	ret->count = left < page->limit ? left : page->limit;
	ret->more = left > page->limit;
	ret->first = page->ascending ? start : start - ret->count;
	return 0;
}

static void put_page(struct ph_buf *out, const struct ph_item *list, struct ph_str response_id,
	const struct ph_page *page, const struct span *s)
{
	size_t first = page->ascending ? s->first : s->first + s->count - 1;
	size_t last = page->ascending ? s->first + s->count - 1 : s->first;

	ph_buf_puts(out, PH_STR("{\"object\":\"list\",\"data\":["));
	for (size_t k = 0; k < s->count; k++) {
		size_t place = page->ascending ? s->first + k : s->first + s->count - 1 - k;

		if (k)
			ph_buf_putc(out, ',');
		put_with_id(out, &list[place], response_id, place);
	}
	ph_buf_puts(out, PH_STR("],\"first_id\":"));
	if (s->count)
		put_id(out, &list[first], response_id, first);
	else
		ph_buf_puts(out, PH_STR("null"));
	ph_buf_puts(out, PH_STR(",\"last_id\":"));
	if (s->count)
		put_id(out, &list[last], response_id, last);
	else
		ph_buf_puts(out, PH_STR("null"));
	ph_buf_printf(out, ",\"has_more\":%s}", s->more ? "true" : "false");
}

int ph_items_page(
	struct ph_str items, struct ph_str response_id, const struct ph_page *page, struct ph_buf *out)
{
	struct ph_str bytes;
	struct ph_item *list = NULL;
	struct span span;
	size_t n = 0;
	int rc;

	for (size_t at = 0; ph_items_next(items, &at, &bytes); n++) {
		if ((n & (n - 1)) == 0) /* doubles at each power of two */
			list = ph_realloc(list, (n ? 2 * n : 1) * sizeof *list);
		if (!ph_item_look(bytes, &list[n]))
			memset(&list[n].m, 0, sizeof list[n].m);
	}
	rc = find_span(list, n, response_id, page, &span);
	if (rc == 0)
		put_page(out, list, response_id, page, &span);
	free(list);
	if (rc)
		return rc;
	return out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}
