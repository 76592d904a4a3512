/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of GET .../input_items. Every item is shown with an id; one that came without gets one made of the
 * response's id and the item's place, hence the same on every node and every time. A message's content is
 * shown as a list of parts, which typed clients read, also where it came as a string.
 */
#include <stdio.h>
#include <stdlib.h>

#include "continuity_priv.h"

/* Places of a page's items in the list's own order; count 0 = an empty page. */
struct span {
	size_t first, count;
	bool more;
};

static void made_id(char *dst, size_t size, struct ph_str response_id, size_t place)
{
	snprintf(dst, size, "item_%.*s_%zu", PH_STR_ARG(response_id), place);
}

static bool has_id(const struct ph_item *it)
{
	return ph_item_kind(it, PH_ITEM_ID) == PH_JSON_STRING;
}

static void put_id(struct ph_buf *b, const struct ph_item *it, struct ph_str response_id, size_t place)
{
	char made[PH_RESPONSE_ID_MAX + 32];

	if (has_id(it)) {
		ph_buf_puts(b, it->m[PH_ITEM_ID]);
		return;
	}
	made_id(made, sizeof made, response_id, place);
	ph_buf_putc(b, '"');
	ph_buf_json(b, ph_str_c(made));
	ph_buf_putc(b, '"');
}

/* A message that came as a string is shown as OpenAI shows it, with a list of parts and its type. */
static bool has_text(const struct ph_item *it)
{
	return ph_item_kind(it, PH_ITEM_ROLE) == PH_JSON_STRING &&
	       ph_item_kind(it, PH_ITEM_CONTENT) == PH_JSON_STRING;
}

static void put_text(struct ph_buf *b, const struct ph_item *it)
{
	if (ph_json_text_is(it->m[PH_ITEM_ROLE], PH_STR("assistant")))
		ph_buf_puts(
			b, PH_STR(",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"text\":"));
	else
		ph_buf_puts(b, PH_STR(",\"content\":[{\"type\":\"input_text\",\"text\":"));
	ph_buf_puts(b, it->m[PH_ITEM_CONTENT]);
	ph_buf_puts(b, PH_STR("}]"));
	if (!it->m[PH_ITEM_TYPE].n)
		ph_buf_puts(b, PH_STR(",\"type\":\"message\""));
}

static void put_item(struct ph_buf *b, struct ph_str bytes, struct ph_str response_id, size_t place)
{
	static const struct ph_str names[] = {PH_STR_INIT("id"), PH_STR_INIT("content")};
	struct ph_item it;
	struct ph_buf rest;
	struct ph_str inside;

	if (!ph_item_look(bytes, &it) || (has_id(&it) && !has_text(&it))) {
		ph_buf_puts(b, bytes);
		return;
	}
	ph_buf_init(&rest, bytes.n);
	ph_item_without(&rest, bytes, names, has_text(&it) ? 2 : 1);
	inside = ph_str_trim(ph_str_from(ph_buf_str(&rest), 1));
	ph_buf_puts(b, PH_STR("{\"id\":"));
	put_id(b, &it, response_id, place);
	if (has_text(&it))
		put_text(b, &it);
	if (inside.p[0] != '}')
		ph_buf_putc(b, ',');
	ph_buf_puts(b, inside);
	ph_buf_deinit(&rest);
}

static bool id_is(struct ph_str bytes, struct ph_str id, struct ph_str response_id, size_t place)
{
	char made[PH_RESPONSE_ID_MAX + 32];
	struct ph_item it;

	if (ph_item_look(bytes, &it) && has_id(&it))
		return ph_json_text_is(it.m[PH_ITEM_ID], id);
	made_id(made, sizeof made, response_id, place);
	return ph_str_eq(id, ph_str_c(made));
}

static int find_span(
	struct ph_str items, struct ph_str response_id, const struct ph_page *page, struct span *ret)
{
	struct ph_str bytes;
	size_t n = 0, after = SIZE_MAX, left;

	for (size_t at = 0; ph_items_next(items, &at, &bytes); n++)
		if (page->after.n && after == SIZE_MAX && id_is(bytes, page->after, response_id, n))
			after = n;
	if (page->after.n && after == SIZE_MAX)
		return -PH_E_ITEM_UNKNOWN;
	if (page->ascending)
		left = after == SIZE_MAX ? n : n - after - 1;
	else
		left = after == SIZE_MAX ? n : after;
	ret->count = left < page->limit ? left : page->limit;
	ret->more = left > page->limit;
	ret->first = page->ascending ? n - left : left - ret->count;
	return 0;
}

static struct ph_str *cut_span(struct ph_str items, const struct span *s)
{
	struct ph_str *list = ph_alloc((s->count + 1) * sizeof *list), bytes;
	size_t n = 0;

	for (size_t at = 0; n < s->first + s->count && ph_items_next(items, &at, &bytes); n++)
		if (n >= s->first)
			list[n - s->first] = bytes;
	return list;
}

static void put_end(struct ph_buf *out, const char *name, const struct ph_str *bytes,
	struct ph_str response_id, size_t place)
{
	struct ph_item it;

	ph_buf_printf(out, ",\"%s\":", name);
	if (!bytes) {
		ph_buf_puts(out, PH_STR("null"));
		return;
	}
	(void)ph_item_look(*bytes, &it);
	put_id(out, &it, response_id, place);
}

static void put_page(struct ph_buf *out, const struct ph_str *list, const struct span *s,
	struct ph_str response_id, bool ascending)
{
	size_t last = s->count ? s->count - 1 : 0;
	size_t from = ascending ? 0 : last, to = ascending ? last : 0;

	ph_buf_puts(out, PH_STR("{\"object\":\"list\",\"data\":["));
	for (size_t k = 0; k < s->count; k++) {
		size_t i = ascending ? k : last - k;

		if (k)
			ph_buf_putc(out, ',');
		put_item(out, list[i], response_id, s->first + i);
	}
	ph_buf_putc(out, ']');
	put_end(out, "first_id", s->count ? &list[from] : NULL, response_id, s->first + from);
	put_end(out, "last_id", s->count ? &list[to] : NULL, response_id, s->first + to);
	ph_buf_printf(out, ",\"has_more\":%s}", s->more ? "true" : "false");
}

int ph_items_page(
	struct ph_str items, struct ph_str response_id, const struct ph_page *page, struct ph_buf *out)
{
	struct span span;
	struct ph_str *list;
	int rc = find_span(items, response_id, page, &span);

	if (rc)
		return rc;
	list = cut_span(items, &span);
	put_page(out, list, &span, response_id, page->ascending);
	free(list);
	return out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}
