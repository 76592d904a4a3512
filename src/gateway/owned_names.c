/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids in JSON: which members name what an upstream keeps. Names are compared decoded, and of a member that
 * comes twice both count, since nobody knows which of them upstream takes.
 */
#include "owned.h"

/* clang-format off */
static const struct {
	struct ph_str name;
	const char *noun;
	bool turn; /* in a turn's input or tools as well; these come first */
} names[] = {
	{PH_STR_INIT("file_id"),              "File",            true},
	{PH_STR_INIT("file_ids"),             "File",            true},
	{PH_STR_INIT("vector_store_id"),      "Vector store",    true},
	{PH_STR_INIT("vector_store_ids"),     "Vector store",    true},
	{PH_STR_INIT("container"),            "Container",       true},
	{PH_STR_INIT("container_id"),         "Container",       true},
	{PH_STR_INIT("skill_id"),             "Skill",           true},
	{PH_STR_INIT("input_file_id"),        "File",            false},
	{PH_STR_INIT("training_file"),        "File",            false},
	{PH_STR_INIT("validation_file"),      "File",            false},
	{PH_STR_INIT("batch_id"),             "Batch",           false},
	{PH_STR_INIT("conversation"),         "Conversation",    false},
	{PH_STR_INIT("conversation_id"),      "Conversation",    false},
	{PH_STR_INIT("upload_id"),            "Upload",          false},
	{PH_STR_INIT("eval_id"),              "Eval",            false},
	{PH_STR_INIT("fine_tuning_job_id"),   "Fine-tuning job", false},
	{PH_STR_INIT("video_id"),             "Video",           false},
	{PH_STR_INIT("response_id"),          "Response",        false},
	{PH_STR_INIT("previous_response_id"), "Response",        false},
};
/* clang-format on */

/* Nothing in there is upstream's to open: what clients note for themselves, and what answers told. */
static const struct ph_str inert[] = {
	PH_STR_INIT("metadata"),
	PH_STR_INIT("client_metadata"),
};
static const struct ph_str inert_in_turns[] = {
	PH_STR_INIT("metadata"),
	PH_STR_INIT("annotations"),
	PH_STR_INIT("parameters"),
	PH_STR_INIT("results"),
};

struct walk {
	struct ph_arena *a;
	struct ph_owned_ids *ids;
	bool turn;
};

void ph_owned_name(struct ph_owned_ids *ids, struct ph_str id, const char *noun, const char *param)
{
	for (size_t i = 0; i < ids->n; i++)
		if (ph_str_eq(ids->list[i].id, id))
			return;
	if (ids->n == PH_OWNED_IDS_MAX)
		ids->full = true;
	else
		ids->list[ids->n++] = (struct ph_owned_id){id, noun, param};
}

const char *ph_owned_noun(struct ph_str name)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (ph_str_eq_nocase(names[i].name, name))
			return names[i].noun;
	return NULL;
}

static int index_of(const struct walk *w, struct ph_str quoted)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if ((names[i].turn || !w->turn) && ph_json_text_is(quoted, names[i].name))
			return (int)i;
	return -1;
}

static bool is_inert(const struct walk *w, struct ph_str quoted)
{
	const struct ph_str *list = w->turn ? inert_in_turns : inert;
	size_t n = w->turn ? sizeof inert_in_turns / sizeof *inert_in_turns : sizeof inert / sizeof *inert;

	for (size_t i = 0; i < n; i++)
		if (ph_json_text_is(quoted, list[i]))
			return true;
	return false;
}

static void add(struct walk *w, struct ph_str value, const char *noun, const char *param)
{
	struct ph_str id;

	if (ph_json_text(value, w->a, &id) && id.n)
		ph_owned_name(w->ids, id, noun, param);
}

static void walk(struct walk *w, struct ph_str value);

/* A string, a list of them, or an object with one; what else there is in it is looked at like all others. */
static void take(struct walk *w, struct ph_str value, int which)
{
	static const struct ph_str id = PH_STR_INIT("id");
	const char *noun = names[which].noun, *param = names[which].name.p;
	struct ph_str element;
	struct ph_json_member m;
	size_t at = 0;

	switch (ph_json_kind(value)) {
	case PH_JSON_STRING:
		add(w, value, noun, param);
		return;
	case PH_JSON_ARRAY:
		while (ph_json_next(value, &at, &element))
			add(w, element, noun, param);
		return;
	case PH_JSON_OBJECT:
		if (ph_json_find(value, &id, 1, &m) && m.kind == PH_JSON_STRING)
			add(w, m.value, noun, param);
		walk(w, value);
		return;
	default:
		return;
	}
}

/* {"type":"file_id","id":".."} names a file too; and some sources are all that an account ever stored. */
static void look_at_type(struct walk *w, struct ph_str object)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("type"), PH_STR_INIT("id")};
	static const struct ph_str all[] = {
		PH_STR_INIT("responses"), PH_STR_INIT("stored_completions"), PH_STR_INIT("logs")};
	struct ph_json_member m[2];

	if (w->turn || !ph_json_find(object, wanted, 2, m) || m[0].kind != PH_JSON_STRING)
		return;
	if (ph_json_text_is(m[0].value, PH_STR("file_id")) && m[1].kind == PH_JSON_STRING)
		add(w, m[1].value, "File", "id");
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		w->ids->forbidden |= ph_json_text_is(m[0].value, all[i]);
}

static void walk_object(struct walk *w, struct ph_str object)
{
	struct ph_str name, value;
	size_t at = 0;

	look_at_type(w, object);
	while (ph_json_pair(object, &at, &name, &value)) {
		int which = index_of(w, name);

		if (which >= 0)
			take(w, value, which);
		else if (!is_inert(w, name))
			walk(w, value);
	}
}

static void walk(struct walk *w, struct ph_str value)
{
	struct ph_str element;
	size_t at = 0;

	if (ph_json_kind(value) == PH_JSON_OBJECT)
		walk_object(w, value);
	else if (ph_json_kind(value) == PH_JSON_ARRAY)
		while (ph_json_next(value, &at, &element))
			walk(w, element);
}

void ph_owned_names(struct ph_str json, struct ph_arena *a, struct ph_owned_ids *ids)
{
	struct walk w = {a, ids, false};

	walk(&w, json);
}

/* ---- turns ---- */

/* "..._id", "..._ids", "container" */
static bool ends_like_one(struct ph_str name)
{
	char last = name.n ? name.p[name.n - 1] : '\0';

	return last == 'd' || last == 's' || last == 'r';
}

static __attribute__((noinline)) bool is_one(struct ph_str name)
{
	for (size_t i = 0; i < sizeof names / sizeof *names && names[i].turn; i++)
		if (ph_str_eq(name, names[i].name))
			return true;
	return false;
}

/* Is asked about every name in every body: the last byte decides nearly always. */
bool ph_owned_may_name(struct ph_str name, bool escaped)
{
	struct ph_str inner = ph_str(name.p + 1, name.n - 2);

	return escaped || (ends_like_one(inner) && is_one(inner));
}

/* A call that upstream made tells what it had; a function's schema may use any word. */
static bool opens_nothing(struct ph_str item)
{
	static const struct ph_str name = PH_STR_INIT("type");
	struct ph_json_member m;
	struct ph_str type;

	if (!ph_json_find(item, &name, 1, &m) || m.kind != PH_JSON_STRING || m.escaped)
		return false;
	type = ph_str(m.value.p + 1, m.value.n - 2);
	return ph_str_ends(type, PH_STR("_call")) || ph_str_eq(type, PH_STR("function")) ||
	       ph_str_eq(type, PH_STR("custom"));
}

void ph_owned_turn_names(struct ph_str json, struct ph_arena *a, struct ph_owned_ids *ids)
{
	struct walk w = {a, ids, true};
	struct ph_str item;
	size_t at = 0;

	while (ph_json_next(json, &at, &item))
		if (ph_json_kind(item) == PH_JSON_OBJECT && !opens_nothing(item))
			walk(&w, item);
}

/* ---- answers ---- */

static const struct {
	struct ph_str name, kind;
} mints[] = {
	{PH_STR_INIT("output_file_id"), PH_STR_INIT("files")}, /* of a batch */
	{PH_STR_INIT("error_file_id"), PH_STR_INIT("files")},
	{PH_STR_INIT("result_files"), PH_STR_INIT("files")}, /* of a fine-tuning job */
	{PH_STR_INIT("file"), PH_STR_INIT("files")},         /* of an upload: an object */
};

static size_t mint(
	struct ph_str value, struct ph_str kind, struct ph_arena *a, struct ph_minted *ret, size_t n)
{
	if (n < PH_MINTED_MAX && ph_json_text(value, a, &ret[n].id) && ret[n].id.n)
		ret[n++].kind = kind;
	return n;
}

size_t ph_owned_minted(struct ph_str json, struct ph_arena *a, struct ph_minted ret[PH_MINTED_MAX])
{
	static const struct ph_str id = PH_STR_INIT("id");
	struct ph_str name, value, element;
	struct ph_json_member m;
	size_t at = 0, n = 0;

	while (ph_json_pair(json, &at, &name, &value))
		for (size_t i = 0; i < sizeof mints / sizeof *mints; i++) {
			size_t in = 0;

			if (!ph_json_text_is(name, mints[i].name))
				continue;
			if (ph_json_kind(value) == PH_JSON_STRING)
				n = mint(value, mints[i].kind, a, ret, n);
			else if (ph_json_kind(value) == PH_JSON_ARRAY)
				while (ph_json_next(value, &in, &element))
					n = mint(element, mints[i].kind, a, ret, n);
			else if (ph_json_kind(value) == PH_JSON_OBJECT && ph_json_find(value, &id, 1, &m))
				n = mint(m.value, mints[i].kind, a, ret, n);
		}
	return n;
}
