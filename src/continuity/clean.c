/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is taken out of the inside of an item, and which items are not sent at all, whoever made them: members
 * that upstreams and SDKs add and that no upstream takes back (protocol, 7.1), and annotations that name an
 * account's files. All other bytes stay.
 */
#include "continuity_priv.h"

/* ---- 7.1: whole items ---- */

static bool status_is(const struct ph_item *it, struct ph_str status)
{
	return ph_json_text_is(it->m[PH_ITEM_STATUS], status);
}

bool ph_item_omitted(const struct ph_item *it)
{
	if (ph_item_is(it, PH_STR("additional_tools")))
		return !ph_json_text_is(it->m[PH_ITEM_ROLE], PH_STR("developer"));
	if (ph_item_is(it, PH_STR("computer_call_output")))
		return status_is(it, PH_STR("failed"));
	if (ph_item_is(it, PH_STR("custom_tool_call_output")))
		return ph_item_kind(it, PH_ITEM_STATUS) == PH_JSON_STRING &&
		       !status_is(it, PH_STR("completed"));
	return false;
}

static bool holds(struct ph_str items, struct ph_str bytes)
{
	return ph_str_find(items, bytes) >= 0;
}

bool ph_items_suspect_omitted(struct ph_str items)
{
	return (holds(items, PH_STR("\"custom_tool_call_output\"")) && holds(items, PH_STR("\"status\""))) ||
	       (holds(items, PH_STR("\"computer_call_output\"")) && holds(items, PH_STR("\"failed\"")));
}

bool ph_items_suspect(struct ph_str items)
{
	return holds(items, PH_STR("\"created_by\"")) || holds(items, PH_STR("\"parsed")) ||
	       holds(items, PH_STR("\"additional_tools\"")) || ph_items_suspect_omitted(items);
}

/* ---- lists inside an item ---- */

/* The annotations that name nothing of the account. */
static void put_annotations(struct ph_buf *out, struct ph_str annotations)
{
	struct ph_str one;
	bool first = true;

	ph_buf_putc(out, '[');
	for (size_t at = 0; ph_json_next(annotations, &at, &one);) {
		if (ph_item_names(one) & PH_NAMES_FILE)
			continue;
		if (!first)
			ph_buf_putc(out, ',');
		ph_buf_puts(out, one);
		first = false;
	}
	ph_buf_putc(out, ']');
}

static void put_without_files(struct ph_buf *out, struct ph_str part)
{
	static const struct ph_str name = PH_STR_INIT("annotations");
	struct ph_json_member m;

	if (!ph_json_find(part, &name, 1, &m) || m.kind != PH_JSON_ARRAY) {
		ph_buf_puts(out, part);
		return;
	}
	ph_buf_puts(out, ph_str(part.p, (size_t)(m.value.p - part.p)));
	put_annotations(out, m.value);
	ph_buf_puts(out, ph_str_from(part, m.end));
}

/* One element: without the members of `drop`, and without files' annotations. */
static void put_part(struct ph_buf *out, struct ph_str part, const struct ph_str *drop, bool files)
{
	struct ph_buf bare;

	ph_buf_init(&bare, SIZE_MAX);
	if (drop) {
		ph_item_without(&bare, part, drop, 1);
		part = ph_buf_str(&bare);
	}
	if (files)
		put_without_files(out, part);
	else
		ph_buf_puts(out, part);
	ph_buf_deinit(&bare);
}

static void put_parts(
	struct ph_buf *out, const struct ph_item *it, int member, const struct ph_str *drop, bool files)
{
	struct ph_str list = it->m[member], part;
	size_t start = (size_t)(list.p - it->bytes.p);
	bool first = true;

	ph_buf_puts(out, ph_str(it->bytes.p, start));
	ph_buf_putc(out, '[');
	for (size_t at = 0; ph_json_next(list, &at, &part); first = false) {
		if (!first)
			ph_buf_putc(out, ',');
		put_part(out, part, drop, files);
	}
	ph_buf_putc(out, ']');
	ph_buf_puts(out, ph_str_from(it->bytes, start + list.n));
}

/* An element of the list has the member; its name alone may stand anywhere. */
static bool any_has(struct ph_str list, const struct ph_str *name)
{
	struct ph_json_member m;
	struct ph_str part;

	if (!holds(list, *name))
		return false;
	for (size_t at = 0; ph_json_next(list, &at, &part);)
		if (ph_json_find(part, name, 1, &m) && m.kind != PH_JSON_ABSENT)
			return true;
	return false;
}

bool ph_item_clean(struct ph_buf *out, const struct ph_item *it, int what)
{
	static const struct ph_str parsed = PH_STR_INIT("parsed"), author = PH_STR_INIT("created_by");
	bool given = what & PH_CLEAN_GIVEN, files = what & PH_CLEAN_FILES, message;

	if (given && ph_item_is(it, PH_STR("shell_call_output")) &&
		ph_item_kind(it, PH_ITEM_OUTPUT) == PH_JSON_ARRAY &&
		any_has(it->m[PH_ITEM_OUTPUT], &author)) {
		put_parts(out, it, PH_ITEM_OUTPUT, &author, false);
		return true;
	}
	if (ph_item_kind(it, PH_ITEM_CONTENT) != PH_JSON_ARRAY)
		return false;
	message = it->m[PH_ITEM_TYPE].n == 0 || ph_item_is(it, PH_STR("message"));
	given = given && message && any_has(it->m[PH_ITEM_CONTENT], &parsed);
	if (given || files)
		put_parts(out, it, PH_ITEM_CONTENT, given ? &parsed : NULL, files);
	return given || files;
}
