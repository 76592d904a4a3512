/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items made fit for an account. For another than made them, what only their maker can read or resolve is
 * taken out; nothing is printed anew. The table is the handbook's (protocol, 7.2).
 *
 * Calls and their outputs stay in pairs, joined by call_id. Reasoning goes whole: its ciphertext is bound to
 * the account, its id leads nowhere. Ids that an account minted go, because another would look them up.
 */
#include "continuity_priv.h"
#include "posthouse/metrics.h"

enum treatment {
	UNKNOWN,  /* kept, without ciphertext */
	KEEP,     /* as it is, without an id that the account minted */
	KEEP_ID,  /* the type demands its id */
	DROP,     /* of no use elsewhere */
	FOLLOW,   /* an answer that a client may have given: goes where its call goes */
	EXPAND,   /* stands for what is before it: dropped where that is sent as well, else replaced by it */
	APPROVAL, /* dropped with its answer; an open one binds */
	BOUND,    /* cannot be left out, and only its account can read it */
};

/* Labels of the metric of what was dropped. */
enum label {
	REASONING,
	WEB_SEARCH,
	FILE_SEARCH,
	CODE_INTERPRETER,
	IMAGE_GENERATION,
	TOOL_SEARCH,
	MCP,
	PROGRAM,
	COMPACTION,
	OTHER,
};

static const struct row {
	struct ph_str type;
	enum treatment treatment;
	enum label label;
} types[] = {
	{PH_STR_INIT("message"), KEEP, OTHER},
	{PH_STR_INIT("function_call"), KEEP, OTHER},
	{PH_STR_INIT("function_call_output"), KEEP, OTHER},
	{PH_STR_INIT("custom_tool_call"), KEEP, OTHER},
	{PH_STR_INIT("custom_tool_call_output"), KEEP, OTHER},
	{PH_STR_INIT("local_shell_call"), KEEP_ID, OTHER},
	{PH_STR_INIT("local_shell_call_output"), KEEP_ID, OTHER},
	{PH_STR_INIT("shell_call"), KEEP, OTHER},
	{PH_STR_INIT("shell_call_output"), KEEP, OTHER},
	{PH_STR_INIT("apply_patch_call"), KEEP, OTHER},
	{PH_STR_INIT("apply_patch_call_output"), KEEP, OTHER},
	{PH_STR_INIT("computer_call"), KEEP, OTHER},
	{PH_STR_INIT("computer_call_output"), KEEP, OTHER},
	{PH_STR_INIT("additional_tools"), KEEP, OTHER},
	{PH_STR_INIT("configuration_update"), KEEP, OTHER},
	{PH_STR_INIT("compaction_trigger"), KEEP, OTHER},
	{PH_STR_INIT("reasoning"), DROP, REASONING},
	{PH_STR_INIT("web_search_call"), DROP, WEB_SEARCH},
	{PH_STR_INIT("file_search_call"), DROP, FILE_SEARCH},
	{PH_STR_INIT("code_interpreter_call"), DROP, CODE_INTERPRETER},
	{PH_STR_INIT("image_generation_call"), DROP, IMAGE_GENERATION},
	{PH_STR_INIT("tool_search_output"), FOLLOW, TOOL_SEARCH},
	{PH_STR_INIT("mcp_approval_request"), APPROVAL, MCP},
	{PH_STR_INIT("mcp_approval_response"), FOLLOW, MCP},
	{PH_STR_INIT("program_output"), FOLLOW, PROGRAM},
	{PH_STR_INIT("compaction"), EXPAND, COMPACTION},
	{PH_STR_INIT("compaction_summary"), EXPAND, COMPACTION},
	{PH_STR_INIT("context_compaction"), EXPAND, COMPACTION},
	{PH_STR_INIT("item_reference"), BOUND, OTHER},
};

/* Families of hosted tools, whatever else they come to be called. */
static const struct row families[] = {
	{PH_STR_INIT("\"tool_search_"), DROP, TOOL_SEARCH},
	{PH_STR_INIT("\"mcp_"), DROP, MCP},
	{PH_STR_INIT("\"program"), DROP, PROGRAM},
};

static const struct row *row_of(const struct ph_item *it)
{
	static const struct row reference = {.treatment = BOUND, .label = OTHER};
	static const struct row easy_message = {.treatment = KEEP, .label = OTHER};
	static const struct row unknown = {.treatment = UNKNOWN, .label = OTHER};

	if (it->reference)
		return &reference;
	if (ph_item_kind(it, PH_ITEM_TYPE) != PH_JSON_STRING)
		return &easy_message;
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (ph_item_is(it, types[i].type))
			return &types[i];
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (ph_str_starts(it->m[PH_ITEM_TYPE], families[i].type))
			return &families[i];
	return &unknown;
}

bool ph_item_stays(const struct ph_item *it)
{
	enum treatment treatment = row_of(it)->treatment;

	return treatment == KEEP || treatment == KEEP_ID || treatment == BOUND || treatment == UNKNOWN;
}

/* A call that was cut short, and that no output was sent for. */
static bool is_unfinished(const struct ph_transfer *t, const struct ph_item *it)
{
	return ph_item_is_call(it) && ph_item_kind(it, PH_ITEM_STATUS) == PH_JSON_STRING &&
	       !ph_json_text_is(it->m[PH_ITEM_STATUS], PH_STR("completed")) &&
	       !ph_pairs_answered(t->pairs, it);
}

/* What becomes of the item: UNKNOWN, KEEP, KEEP_ID, DROP, EXPAND or BOUND. */
static enum treatment treatment_of(
	const struct ph_transfer *t, const struct ph_chain_run *run, const struct ph_item *it, int bonds)
{
	enum treatment treatment = row_of(it)->treatment;

	switch (treatment) {
	case UNKNOWN:
		return bonds & PH_NAMES_CIPHERTEXT ? DROP : UNKNOWN;
	case KEEP:
	case KEEP_ID:
		return is_unfinished(t, it) ? DROP : treatment;
	case FOLLOW:
		return !run->minted && ph_pairs_maker(t->pairs, it) == t->target->account ? KEEP : DROP;
	case EXPAND:
		return run->minted && t->whole ? DROP : EXPAND;
	case APPROVAL:
		return ph_pairs_settled(t->pairs, it) ? DROP : BOUND;
	default:
		return treatment;
	}
}

/* ---- what is left out ---- */

bool ph_transfer_call_dropped(const struct ph_transfer *t, const struct ph_item *answer)
{
	if (t->dropped.n == 0)
		return false;
	if (!ph_item_is_output(answer) && !ph_item_is(answer, PH_STR("mcp_approval_response")))
		return false;
	return ph_map_get(&t->dropped, ph_call_hash(answer)) != 0;
}

/* Some servers use their call ids again. */
void ph_transfer_call_kept(struct ph_transfer *t, const struct ph_item *call)
{
	if (t->dropped.n && ph_item_is_call(call))
		*ph_map_at(&t->dropped, ph_call_hash(call)) = 0;
}

/* Whoever gets it. Neither half of a pair goes without the other. */
static bool is_left_out(const struct ph_transfer *t, const struct ph_chain_run *run, const struct ph_item *it)
{
	if (ph_item_omitted(it) || ph_transfer_call_dropped(t, it))
		return true;
	if (t->omits && ph_item_is_call(it) && ph_pairs_omitted(t->pairs, it))
		return true;
	return t->whole && !run->minted && ph_item_is(it, PH_STR("compaction_trigger"));
}

static int drop(struct ph_transfer *t, const struct ph_item *it)
{
	bool asks = ph_item_kind(it, PH_ITEM_CALL_ID) == PH_JSON_STRING ||
		    ph_item_is(it, PH_STR("mcp_approval_request"));

	t->orphaned |= ph_item_is(it, PH_STR("reasoning"));
	if (asks && !ph_item_is_output(it))
		*ph_map_at(&t->dropped, ph_call_hash(it)) = 1;
	ph_metric_add(PH_M_ITEMS_DROPPED, row_of(it)->label, 0, 1);
	return 0;
}

/* ---- what is cut out of an item ---- */

enum {
	CUT_ID = 1,
	CUT_STATUS = 2,
	CUT_AUTHOR = 4,
	CUT_METADATA = 8,
	CUT_PARSED = 16,
};

static const struct {
	struct ph_str name;
	int cut;
} members[] = {
	{PH_STR_INIT("id"), CUT_ID},
	{PH_STR_INIT("status"), CUT_STATUS},
	{PH_STR_INIT("created_by"), CUT_AUTHOR},
	{PH_STR_INIT("parsed"), CUT_PARSED},
	{PH_STR_INIT("parsed_arguments"), CUT_PARSED},
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

/* What upstream gives and does not take back (protocol, 7.1). */
static int given(const struct ph_item *it)
{
	int cut = CUT_AUTHOR;

	if (ph_item_is(it, PH_STR("function_call")))
		cut |= CUT_PARSED;
	if (ph_item_is(it, PH_STR("custom_tool_call_output")))
		cut |= CUT_STATUS;
	return cut;
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
static int put_clean(struct ph_transfer *t, const struct ph_item *it, int64_t account, int bonds, int cut)
{
	struct ph_str bytes = it->bytes;
	struct ph_buf clean;
	int rc;

	ph_transfer_call_kept(t, it);
	ph_buf_init(&clean, SIZE_MAX);
	if (ph_item_clean(&clean, it, PH_CLEAN_GIVEN | (bonds ? PH_CLEAN_FILES : 0)))
		bytes = ph_buf_str(&clean);
	if (bonds && ph_item_names(bytes))
		rc = refuse(t, it, account);
	else
		rc = put_cut(t, bytes, cut);
	ph_buf_deinit(&clean);
	return rc;
}

/* The items that it replaced, where they are known. */
static const struct ph_chain *before(const struct ph_transfer *t, const struct ph_item *it)
{
	const struct ph_found_item *f = ph_known_item(t->known, it);

	return f ? f->before : NULL;
}

static int put_neutral(struct ph_transfer *t, const struct ph_chain_run *run, struct ph_str bytes)
{
	struct ph_item it;
	bool keeps_id;
	int bonds, cut;
	enum treatment treatment;

	if (!ph_item_look(bytes, &it))
		return put_cut(t, bytes, 0);
	if (is_left_out(t, run, &it))
		return 0;
	bonds = ph_item_names(bytes);
	treatment = treatment_of(t, run, &it, bonds);
	if (treatment == DROP)
		return drop(t, &it);
	if (treatment == EXPAND && before(t, &it))
		return ph_transfer_expand(t, before(t, &it));
	if (treatment == BOUND || treatment == EXPAND)
		return refuse(t, &it, run->account);
	/* What a client carried along has the id that the row's account gave it. */
	keeps_id = treatment == KEEP_ID ||
		   (!run->minted && t->target->client_ids && !t->orphaned && !ph_item_output_like(&it));
	cut = given(&it) | (keeps_id ? 0 : CUT_ID);
	cut |= treatment == UNKNOWN ? CUT_STATUS : 0;
	cut |= t->target->client_ids ? 0 : CUT_METADATA;
	return put_clean(t, &it, run->account, bonds, cut);
}

static int put_each(struct ph_transfer *t, const struct ph_chain_run *run,
	int (*put)(struct ph_transfer *t, const struct ph_chain_run *run, struct ph_str item))
{
	struct ph_retained retained;
	struct ph_str item;
	int rc = 0;

	ph_retained_init(&retained, t, run->items);
	for (size_t at = 0; rc == 0 && ph_items_next(run->items, &at, &item);)
		if (!ph_retained_has(&retained, run->items, item))
			rc = put(t, run, item);
	ph_retained_deinit(&retained);
	return rc;
}

int ph_transfer_neutral(struct ph_transfer *t, const struct ph_chain_run *run)
{
	return put_each(t, run, put_neutral);
}

/* ---- the owner's own ---- */

/* Reasoning that would lead its account to "not found", as it has neither the ciphertext nor kept it. */
static bool is_lost(const struct ph_chain_run *run, const struct ph_item *it)
{
	return run->minted && !run->stored && !ph_item_has_ciphertext(it);
}

/* A reasoning item's status is a member that some accounts give and refuse. */
static int put_own(struct ph_transfer *t, const struct ph_chain_run *run, struct ph_str bytes)
{
	bool plain = t->target->plain, reasoning, compaction;
	struct ph_item it;
	int cut;

	if (!ph_item_look(bytes, &it))
		return put_cut(t, bytes, 0);
	if (is_left_out(t, run, &it))
		return 0;
	reasoning = ph_item_is(&it, PH_STR("reasoning"));
	compaction = ph_item_is_compaction(&it);
	if (reasoning && (plain || is_lost(run, &it)))
		return drop(t, &it);
	if (compaction && plain && run->minted && t->whole)
		return drop(t, &it);
	if (compaction && plain && before(t, &it))
		return ph_transfer_expand(t, before(t, &it));
	cut = given(&it);
	cut |= t->orphaned && !compaction ? CUT_ID : 0;
	cut |= reasoning && run->minted ? CUT_STATUS : 0;
	return put_clean(t, &it, run->account, 0, cut);
}

/* Whether some of its items cannot go out as they are. */
static bool needs_a_look(const struct ph_transfer *t, const struct ph_chain_run *run)
{
	struct ph_str special = run->minted ? PH_STR("\"reasoning\"") : PH_STR("\"compaction_trigger\"");

	return t->orphaned || t->omits || t->dropped.n || t->target->plain ||
	       ph_str_find(run->items, special) >= 0 || ph_items_suspect(run->items);
}

int ph_transfer_own(struct ph_transfer *t, const struct ph_chain_run *run)
{
	if (!needs_a_look(t, run))
		return ph_items_append(t->out, run->items);
	return put_each(t, run, put_own);
}
