/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of one account made fit for another: what only the account that made an item can read or resolve is
 * taken out, as spans of bytes; nothing is printed anew. The table is the handbook's (protocol, 7.2).
 *
 * Calls and their outputs stay in pairs, joined by call_id. Reasoning goes whole: its ciphertext is bound to
 * the account, its id leads nowhere. Ids that an account minted go, because another would look them up.
 */
#include "continuity_priv.h"
#include "posthouse/json.h"

#define ITEM_MAX SIZE_MAX /* edits only shrink an item */

enum treatment {
	KEEP,    /* as it is, without an id that the account minted */
	KEEP_ID, /* the type demands its id */
	DROP,    /* of no use elsewhere */
	BOUND,   /* cannot be left out, and only its account can read it */
};

static const struct {
	struct ph_str type;
	enum treatment treatment;
} types[] = {
	{PH_STR_INIT("message"), KEEP},
	{PH_STR_INIT("function_call"), KEEP},
	{PH_STR_INIT("function_call_output"), KEEP},
	{PH_STR_INIT("custom_tool_call"), KEEP},
	{PH_STR_INIT("custom_tool_call_output"), KEEP},
	{PH_STR_INIT("local_shell_call"), KEEP_ID},
	{PH_STR_INIT("local_shell_call_output"), KEEP_ID},
	{PH_STR_INIT("shell_call"), KEEP},
	{PH_STR_INIT("shell_call_output"), KEEP},
	{PH_STR_INIT("apply_patch_call"), KEEP},
	{PH_STR_INIT("apply_patch_call_output"), KEEP},
	{PH_STR_INIT("computer_call"), KEEP},
	{PH_STR_INIT("computer_call_output"), KEEP},
	{PH_STR_INIT("additional_tools"), KEEP},
	{PH_STR_INIT("configuration_update"), KEEP},
	{PH_STR_INIT("reasoning"), DROP},
	{PH_STR_INIT("web_search_call"), DROP},
	{PH_STR_INIT("file_search_call"), DROP},
	{PH_STR_INIT("code_interpreter_call"), DROP},
	{PH_STR_INIT("image_generation_call"), DROP},
	{PH_STR_INIT("tool_search_call"), DROP},
	{PH_STR_INIT("tool_search_output"), DROP},
	{PH_STR_INIT("mcp_list_tools"), DROP},
	{PH_STR_INIT("mcp_call"), DROP},
	{PH_STR_INIT("mcp_approval_request"), DROP},
	{PH_STR_INIT("mcp_approval_response"), DROP},
	{PH_STR_INIT("program"), DROP},
	{PH_STR_INIT("program_output"), DROP},
	{PH_STR_INIT("compaction"), BOUND},
	{PH_STR_INIT("item_reference"), BOUND},
};

/* Types unknown to us: kept without id, dropped where they hold ciphertext. */
static enum treatment treatment_of(const struct ph_item *it)
{
	if (it->m[PH_ITEM_TYPE].kind != PH_JSON_STRING)
		return KEEP; /* the easy message */
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (ph_item_is(it, types[i].type))
			return types[i].treatment;
	return it->m[PH_ITEM_ENCRYPTED].kind == PH_JSON_STRING ? DROP : KEEP;
}

/* ---- edits by span ---- */

static void put_without(struct ph_buf *out, struct ph_str text, size_t from, size_t to)
{
	ph_buf_puts(out, ph_str(text.p, from));
	ph_buf_puts(out, ph_str_from(text, to));
}

/* Cuts one member with the comma that belongs to it. */
static void cut_member(struct ph_buf *out, struct ph_str text, const struct ph_json_member *m)
{
	if (m->comma_before != SIZE_MAX)
		put_without(out, text, m->comma_before, m->end);
	else if (m->comma_after != SIZE_MAX)
		put_without(out, text, m->start, m->comma_after + 1);
	else
		put_without(out, text, m->start, m->end);
}

static bool names_file(struct ph_str text)
{
	static const struct ph_str keys[] = {
		{"\"file_id\"", 9},
		{"\"container_id\"", 14},
		{"\"vector_store_ids\"", 18},
	};

	/* Inside a string a quote is escaped, so these bytes can only be a member's name (or a string of just
	 * that word, which then is not followed by a colon). */
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		struct ph_str rest = text;

		for (ptrdiff_t at; (at = ph_str_find(rest, keys[i])) >= 0;) {
			rest = ph_str_from(rest, (size_t)at + keys[i].n);
			if (ph_str_trim(rest).n && ph_str_trim(rest).p[0] == ':')
				return true;
		}
	}
	return false;
}

/* One content part: its annotations go where they name files or containers; the text stays. */
static void put_part(struct ph_buf *out, struct ph_str part)
{
	static const struct ph_str name = PH_STR_INIT("annotations");
	struct ph_json_member m;

	if (!names_file(part) || !ph_json_find(part, &name, 1, &m) || m.kind != PH_JSON_ARRAY) {
		ph_buf_puts(out, part);
		return;
	}
	ph_buf_puts(out, ph_str(part.p, (size_t)(m.value.p - part.p)));
	ph_buf_puts(out, PH_STR("[]"));
	ph_buf_puts(out, ph_str_from(part, (size_t)(m.value.p - part.p) + m.value.n));
}

/* The item with each content part cleaned. */
static void put_clean_content(struct ph_buf *out, const struct ph_item *it)
{
	struct ph_str content = it->m[PH_ITEM_CONTENT].value, part;
	size_t start = (size_t)(content.p - it->bytes.p);
	bool first = true;

	ph_buf_puts(out, ph_str(it->bytes.p, start));
	ph_buf_putc(out, '[');
	for (size_t at = 0; ph_json_next(content, &at, &part); first = false) {
		if (!first)
			ph_buf_putc(out, ',');
		put_part(out, part);
	}
	ph_buf_putc(out, ']');
	ph_buf_puts(out, ph_str_from(it->bytes, start + content.n));
}

static int bound_to(struct ph_bound *bound, const struct ph_item *it, int64_t account)
{
	struct ph_str type = it->m[PH_ITEM_TYPE].value;

	if (type.n > 2 && type.n - 2 < sizeof bound->type)
		ph_str_copy(bound->type, sizeof bound->type, ph_str(type.p + 1, type.n - 2));
	else
		ph_str_copy(bound->type, sizeof bound->type, PH_STR("message"));
	bound->account = account;
	return -PH_E_ACCOUNT_BOUND;
}

/* Files of an answer's annotations can be left out; files of a question cannot. */
static int clean_files(
	struct ph_buf *scratch, struct ph_item *it, const struct ph_chain_run *run, struct ph_bound *bound)
{
	if (!names_file(it->bytes))
		return 0;
	if (it->m[PH_ITEM_CONTENT].kind == PH_JSON_ARRAY) {
		put_clean_content(scratch, it);
		if (!ph_item_look(ph_buf_str(scratch), it))
			return -PH_E_INTERNAL;
	}
	return names_file(it->bytes) ? bound_to(bound, it, run->account) : 0;
}

static int put_without_id(struct ph_buf *out, const struct ph_item *it)
{
	if (out->n)
		ph_buf_putc(out, ',');
	cut_member(out, it->bytes, &it->m[PH_ITEM_ID]);
	return out->failed ? -PH_E_CHAIN_TOO_LARGE : 1;
}

int ph_item_neutralise(struct ph_str item, const struct ph_chain_run *run, const struct ph_target *target,
	struct ph_buf *out, struct ph_bound *bound)
{
	enum treatment treatment;
	struct ph_buf scratch;
	struct ph_item it;
	bool keep_id;
	int rc;

	if (!ph_item_look(item, &it))
		return ph_items_append(out, item) ? -PH_E_CHAIN_TOO_LARGE : 1;
	treatment = treatment_of(&it);
	if (treatment == DROP)
		return 0;
	if (treatment == BOUND)
		return bound_to(bound, &it, run->account);
	ph_buf_init(&scratch, ITEM_MAX);
	rc = clean_files(&scratch, &it, run, bound);
	keep_id = treatment == KEEP_ID || (!run->minted && target->client_ids) ||
		  it.m[PH_ITEM_ID].kind == PH_JSON_ABSENT;
	if (rc == 0 && keep_id)
		rc = ph_items_append(out, it.bytes) ? -PH_E_CHAIN_TOO_LARGE : 1;
	else if (rc == 0)
		rc = put_without_id(out, &it);
	ph_buf_deinit(&scratch);
	return rc;
}

int ph_items_neutralise(const struct ph_chain_run *run, const struct ph_target *target, struct ph_buf *out,
	struct ph_bound *bound)
{
	struct ph_str item;

	for (size_t at = 0; ph_items_next(run->items, &at, &item);) {
		int rc = ph_item_neutralise(item, run, target, out, bound);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Reasoning without ciphertext, that its account did not keep: its id would lead to "not found". */
int ph_items_own(const struct ph_chain_run *run, struct ph_buf *out)
{
	struct ph_str item;
	struct ph_item it;
	int rc = 0;

	if (run->stored || ph_str_find(run->items, PH_STR("\"reasoning\"")) < 0)
		return ph_items_append(out, run->items);
	for (size_t at = 0; rc == 0 && ph_items_next(run->items, &at, &item);) {
		bool bare = ph_item_look(item, &it) && ph_item_is(&it, PH_STR("reasoning")) &&
			    it.m[PH_ITEM_ENCRYPTED].kind != PH_JSON_STRING;

		if (!bare)
			rc = ph_items_append(out, item);
	}
	return rc;
}

int ph_items_strip_reasoning(struct ph_str items, struct ph_buf *out)
{
	struct ph_str item;
	struct ph_item it;
	bool follower = false;
	int rc = 0;

	for (size_t at = 0; rc >= 0 && ph_items_next(items, &at, &item);) {
		bool readable = ph_item_look(item, &it);

		if (readable && ph_item_is(&it, PH_STR("reasoning"))) {
			follower = true;
			continue;
		}
		if (readable && follower && it.m[PH_ITEM_ID].kind != PH_JSON_ABSENT)
			rc = put_without_id(out, &it);
		else
			rc = ph_items_append(out, item);
		follower = false;
	}
	return rc < 0 ? rc : 0;
}
