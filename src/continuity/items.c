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

static void note(void *arg, struct ph_str name, struct ph_str value)
{
	struct ph_item *it = arg;
	size_t i = which(name, names, PH_ITEM_NR);

	if (i == PH_ITEM_NR)
		return;
	it->twice |= i <= PH_ITEM_ID && it->m[i].n;
	it->reference |= i == PH_ITEM_TYPE && ph_json_text_is(value, PH_STR("item_reference"));
	it->m[i] = value;
}

/* Its members are noted. */
static bool judge(struct ph_item *it, struct ph_str bytes)
{
	it->bytes = bytes;
	it->reference |= is_bare_reference(it);
	return ph_json_kind(bytes) == PH_JSON_OBJECT;
}

bool ph_item_look(struct ph_str bytes, struct ph_item *ret)
{
	struct ph_str name, value;

	*ret = (struct ph_item){.reference = false};
	for (size_t at = 0; ph_json_pair(bytes, &at, &name, &value);)
		note(ret, name, value);
	return judge(ret, bytes);
}

bool ph_item_is_call(const struct ph_item *it)
{
	return ph_str_ends(it->m[PH_ITEM_TYPE], PH_STR("_call\""));
}

bool ph_item_is_output(const struct ph_item *it)
{
	return ph_str_ends(it->m[PH_ITEM_TYPE], PH_STR("_output\""));
}

bool ph_item_is_compaction(const struct ph_item *it)
{
	return ph_item_is(it, PH_STR("compaction")) || ph_item_is(it, PH_STR("compaction_summary")) ||
	       ph_item_is(it, PH_STR("context_compaction"));
}

bool ph_item_has_ciphertext(const struct ph_item *it)
{
	return ph_item_kind(it, PH_ITEM_ENCRYPTED) == PH_JSON_STRING && it->m[PH_ITEM_ENCRYPTED].n > 2;
}

bool ph_item_output_like(const struct ph_item *it)
{
	return ph_item_is_call(it) || ph_item_is(it, PH_STR("reasoning")) || ph_item_is_compaction(it) ||
	       ph_json_text_is(it->m[PH_ITEM_ROLE], PH_STR("assistant"));
}

/* It has an id, and an account may have made it. Looking for an id that nobody here made opens every
 * partition, so what only clients make is not looked for: their words, and the outputs of their functions. */
static bool is_carried(const struct ph_item *it)
{
	static const struct ph_str clients[] = {
		PH_STR_INIT("function_call_output"),
		PH_STR_INIT("custom_tool_call_output"),
		PH_STR_INIT("local_shell_call_output"),
		PH_STR_INIT("apply_patch_call_output"),
		PH_STR_INIT("computer_call_output"),
		PH_STR_INIT("mcp_approval_response"),
		PH_STR_INIT("additional_tools"),
		PH_STR_INIT("configuration_update"),
		PH_STR_INIT("compaction_trigger"),
	};

	if (it->reference || ph_item_kind(it, PH_ITEM_ID) != PH_JSON_STRING)
		return false;
	if (ph_item_output_like(it) || ph_item_has_ciphertext(it))
		return true;
	for (size_t i = 0; i < sizeof clients / sizeof *clients; i++)
		if (ph_item_is(it, clients[i]))
			return false;
	return ph_item_kind(it, PH_ITEM_TYPE) == PH_JSON_STRING && !ph_item_is(it, PH_STR("message"));
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
	return ph_json_next_bare(items, at, NULL, ret);
}

bool ph_items_look_next(struct ph_str items, size_t *at, struct ph_item *ret)
{
	const struct ph_json_watch watch = {.on_member = note, .arg = ret};
	struct ph_str bytes;

	do {
		*ret = (struct ph_item){.reference = false};
		if (!ph_json_next_bare(items, at, &watch, &bytes))
			return false;
	} while (!judge(ret, bytes));
	return true;
}

struct ph_str ph_items_first(struct ph_str items, int64_t count)
{
	struct ph_str item;
	size_t at = 0, end = 0;

	for (int64_t i = 0; i < count && ph_items_next(items, &at, &item); i++)
		end = (size_t)(item.p + item.n - items.p);
	return ph_str(items.p, end);
}

int ph_items_append(struct ph_buf *out, struct ph_str items)
{
	if (items.n == 0)
		return 0;
	if (out->n)
		ph_buf_putc(out, ',');
	return ph_buf_puts(out, items) ? -PH_E_CHAIN_TOO_LARGE : 0;
}

static void add_facts(struct ph_items_facts *f, const struct ph_item *it)
{
	f->output_like |= ph_item_output_like(it);
	f->references |= it->reference;
	f->carried |= is_carried(it) || ph_item_has_ciphertext(it);
}

void ph_items_look(struct ph_str items, struct ph_items_facts *ret)
{
	struct ph_item it;

	*ret = (struct ph_items_facts){.references = false};
	for (size_t at = 0; ph_items_look_next(items, &at, &it);)
		add_facts(ret, &it);
}

bool ph_items_compacted(struct ph_str items)
{
	struct ph_item it;

	for (size_t at = 0; ph_items_look_next(items, &at, &it);)
		if (ph_item_is_compaction(&it))
			return true;
	return false;
}

/* What has been seen of a list that is scanned: the facts, and of the item that passes its members. */
struct passing {
	struct ph_item it; /* the first: note() knows nothing else */
	struct ph_items_facts *facts;
	bool (*asked)(struct ph_str name, bool escaped);
};

static void on_name(void *arg, struct ph_str name, bool escaped)
{
	struct passing *p = arg;

	if (!p->facts->named)
		p->facts->named = p->asked(name, escaped);
}

static void on_item(void *arg, struct ph_str bytes)
{
	struct passing *p = arg;

	if (judge(&p->it, bytes))
		add_facts(p->facts, &p->it);
	p->it = (struct ph_item){.reference = false};
}

int ph_items_scan(struct ph_str body, const struct ph_str *members, size_t count, size_t list,
	bool (*asked)(struct ph_str name, bool escaped), struct ph_json_member *ret,
	struct ph_items_facts *facts, struct ph_err *err)
{
	struct passing p = {.facts = facts, .asked = asked};
	const struct ph_json_watch watch = {
		.on_member = note, .on_element = on_item, .on_name = asked ? on_name : NULL, .arg = &p};

	*facts = (struct ph_items_facts){.references = false};
	return ph_json_scan_list(body, members, count, list, &watch, ret, err);
}

/* How many of each kind there are, or -PH_E_PARAM_BAD. */
static int count_ids(struct ph_str items, size_t max, size_t *ret_references, size_t *ret_carried)
{
	struct ph_item it;

	*ret_references = *ret_carried = 0;
	for (size_t at = 0; ph_items_look_next(items, &at, &it);) {
		if (it.reference && (it.twice || ph_item_kind(&it, PH_ITEM_ID) != PH_JSON_STRING))
			return -PH_E_PARAM_BAD;
		*ret_references += it.reference;
		*ret_carried += is_carried(&it);
	}
	return *ret_references > max ? -PH_E_PARAM_BAD : 0;
}

int ph_items_ids(struct ph_str items, struct ph_arena *a, struct ph_item_id *ret, size_t max)
{
	size_t references, carried, skip, n = 0;
	struct ph_item it;
	int rc = count_ids(items, max, &references, &carried);

	if (rc)
		return rc;
	skip = references + carried > max ? references + carried - max : 0;
	for (size_t at = 0; ph_items_look_next(items, &at, &it);) {
		if (!it.reference && !is_carried(&it))
			continue;
		if (!it.reference && skip) {
			skip--;
			continue;
		}
		ret[n].reference = it.reference;
		ret[n].compaction = ph_item_is_compaction(&it);
		if (!ph_json_text(it.m[PH_ITEM_ID], a, &ret[n++].id))
			return -PH_E_PARAM_BAD;
	}
	return (int)n;
}
