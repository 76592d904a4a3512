/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items made fit for an account. For another than made them, what only their maker can read or resolve is
 * taken out; nothing is printed anew. The table is the handbook's (protocol, 7.2).
 *
 * Calls and their outputs stay in pairs, joined by call_id. Reasoning goes whole: its ciphertext is bound to
 * the account, its id leads nowhere. Ids that an account minted go, because another would look them up.
 */
#include "continuity_priv.h"

enum treatment {
	UNKNOWN,  /* kept, without ciphertext */
	KEEP,     /* as it is, without an id that the account minted */
	KEEP_ID,  /* the type demands its id */
	DROP,     /* of no use elsewhere */
	EXPAND,   /* stands for what is before it: dropped where that is sent as well */
	APPROVAL, /* dropped with its answer; an open one binds */
	BOUND,    /* cannot be left out, and only its account can read it */
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
	{PH_STR_INIT("mcp_approval_request"), APPROVAL},
	{PH_STR_INIT("mcp_approval_response"), DROP},
	{PH_STR_INIT("program"), DROP},
	{PH_STR_INIT("program_output"), DROP},
	{PH_STR_INIT("compaction"), EXPAND},
	{PH_STR_INIT("compaction_summary"), EXPAND},
	{PH_STR_INIT("context_compaction"), EXPAND},
	{PH_STR_INIT("item_reference"), BOUND},
};

static enum treatment by_type(const struct ph_item *it)
{
	if (it->reference)
		return BOUND;
	if (ph_item_kind(it, PH_ITEM_TYPE) != PH_JSON_STRING)
		return KEEP; /* the easy message */
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (ph_item_is(it, types[i].type))
			return types[i].treatment;
	return UNKNOWN;
}

/* A call that was cut short, and that no output was sent for. */
static bool is_unfinished(const struct ph_transfer *t, const struct ph_item *it)
{
	return t->pairs && ph_str_ends(it->m[PH_ITEM_TYPE], PH_STR("_call\"")) &&
	       ph_item_kind(it, PH_ITEM_STATUS) == PH_JSON_STRING &&
	       !ph_json_text_is(it->m[PH_ITEM_STATUS], PH_STR("completed")) &&
	       !ph_pairs_answered(t->pairs, it->m[PH_ITEM_CALL_ID]);
}

static enum treatment treatment_of(
	const struct ph_transfer *t, const struct ph_chain_run *run, const struct ph_item *it, int bonds)
{
	enum treatment treatment = by_type(it);

	switch (treatment) {
	case UNKNOWN:
		return bonds & PH_NAMES_CIPHERTEXT ? DROP : UNKNOWN;
	case KEEP:
		return is_unfinished(t, it) ? DROP : KEEP;
	case EXPAND:
		return run->minted && t->pairs ? DROP : BOUND;
	case APPROVAL:
		return t->pairs && ph_pairs_settled(t->pairs, it->m[PH_ITEM_ID]) ? DROP : BOUND;
	default:
		return treatment;
	}
}

/* ---- what is cut out of an item ---- */

enum {
	CUT_ID = 1,
	CUT_STATUS = 2,
	CUT_AUTHOR = 4,
	CUT_METADATA = 8,
};

static const struct {
	struct ph_str name;
	int cut;
} members[] = {
	{PH_STR_INIT("id"), CUT_ID},
	{PH_STR_INIT("status"), CUT_STATUS},
	{PH_STR_INIT("created_by"), CUT_AUTHOR},
	{PH_STR_INIT("client_metadata"), CUT_METADATA},
	{PH_STR_INIT("internal_chat_message_metadata_passthrough"), CUT_METADATA},
};

static int put_cut(struct ph_transfer *t, struct ph_str item, int cut)
{
	struct ph_str names[sizeof members / sizeof *members];
	size_t n = 0;

	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (members[i].cut & cut)
			names[n++] = members[i].name;
	if (t->out->n)
		ph_buf_putc(t->out, ',');
	ph_item_without(t->out, item, names, n);
	t->orphaned = false;
	return t->out->failed ? -PH_E_CHAIN_TOO_LARGE : 0;
}

/* The annotations that name nothing of the account; the text stays. */
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

static void put_part(struct ph_buf *out, struct ph_str part)
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

/* The item with each part of its content cleaned. */
static void put_clean(struct ph_buf *out, const struct ph_item *it)
{
	struct ph_str content = it->m[PH_ITEM_CONTENT], part;
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

/* ---- one item ---- */

static int refuse(struct ph_transfer *t, const struct ph_item *it, int64_t account)
{
	struct ph_str type = it->m[PH_ITEM_TYPE];

	if (it->reference)
		type = PH_STR("\"item_reference\"");
	if (type.n <= 2 || type.p[0] != '"')
		type = PH_STR("\"message\"");
	ph_str_copy(t->bound->type, sizeof t->bound->type, ph_str(type.p + 1, type.n - 2));
	t->bound->account = account;
	return -PH_E_ACCOUNT_BOUND;
}

/* Files of an answer's annotations can be left out; files of a question cannot, nor can ciphertext in an item
 * that belongs to a pair. */
static int put_unbound(struct ph_transfer *t, const struct ph_item *it, int64_t account, int bonds, int cut)
{
	struct ph_buf clean;
	int rc;

	if (bonds == 0)
		return put_cut(t, it->bytes, cut);
	ph_buf_init(&clean, SIZE_MAX);
	if (ph_item_kind(it, PH_ITEM_CONTENT) == PH_JSON_ARRAY)
		put_clean(&clean, it);
	if (clean.n && ph_item_names(ph_buf_str(&clean)) == 0)
		rc = put_cut(t, ph_buf_str(&clean), cut);
	else
		rc = refuse(t, it, account);
	ph_buf_deinit(&clean);
	return rc;
}

static int put_neutral(struct ph_transfer *t, const struct ph_chain_run *run, struct ph_str bytes)
{
	struct ph_item it;
	bool keeps_id, object = ph_item_look(bytes, &it);
	int bonds = ph_item_names(bytes), cut = CUT_AUTHOR;
	enum treatment treatment = treatment_of(t, run, &it, bonds);

	if (!object)
		return put_cut(t, bytes, 0);
	if (treatment == BOUND)
		return refuse(t, &it, run->account);
	if (treatment == DROP) {
		t->orphaned |= ph_item_is(&it, PH_STR("reasoning"));
		return 0;
	}
	keeps_id = treatment == KEEP_ID || (!run->minted && t->target->client_ids && !t->orphaned);
	cut |= keeps_id ? 0 : CUT_ID;
	cut |= treatment == UNKNOWN ? CUT_STATUS : 0;
	cut |= t->target->client_ids ? 0 : CUT_METADATA;
	return put_unbound(t, &it, run->account, bonds, cut);
}

int ph_transfer_neutral(struct ph_transfer *t, const struct ph_chain_run *run)
{
	struct ph_str item;
	int rc = 0;

	for (size_t at = 0; rc == 0 && ph_items_next(run->items, &at, &item);)
		rc = put_neutral(t, run, item);
	return rc;
}

/* ---- the owner's own ---- */

static bool has_ciphertext(const struct ph_item *it)
{
	return ph_item_kind(it, PH_ITEM_ENCRYPTED) == PH_JSON_STRING && it->m[PH_ITEM_ENCRYPTED].n > 2;
}

/* Reasoning without ciphertext, that its account did not keep, would lead it to "not found"; a reasoning
 * item's status and an item's author are members that it gives and refuses. */
static int put_own(struct ph_transfer *t, const struct ph_chain_run *run, struct ph_str bytes)
{
	struct ph_item it;
	bool reasoning = ph_item_look(bytes, &it) && ph_item_is(&it, PH_STR("reasoning"));
	int cut = CUT_AUTHOR | (t->orphaned ? CUT_ID : 0) | (reasoning ? CUT_STATUS : 0);

	if (reasoning && !run->stored && !has_ciphertext(&it)) {
		t->orphaned = true;
		return 0;
	}
	return put_cut(t, bytes, cut);
}

int ph_transfer_own(struct ph_transfer *t, const struct ph_chain_run *run)
{
	struct ph_str item;
	int rc = 0;

	if (!t->orphaned && ph_str_find(run->items, PH_STR("\"reasoning\"")) < 0 &&
		ph_str_find(run->items, PH_STR("\"created_by\"")) < 0)
		return ph_items_append(t->out, run->items);
	for (size_t at = 0; rc == 0 && ph_items_next(run->items, &at, &item);)
		rc = put_own(t, run, item);
	return rc;
}
