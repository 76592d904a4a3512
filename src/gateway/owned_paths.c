/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which paths carry ids where: one table of what upstreams keep. Behind a collection stands the id of a
 * resource, and whoever owns that owns what stands behind it. All other paths are relayed only where they can
 * neither name nor show what another key has made: POSTs, of plain words.
 */
#include "owned.h"

#define WORD_MAX 40

/* clang-format off */
static const struct ph_collection collections[] = {
	{PH_STR_INIT("files"),            "File",            true,  false, PH_STR_INIT("purpose")},
	{PH_STR_INIT("batches"),          "Batch",           true,  true,  {NULL, 0}},
	{PH_STR_INIT("vector_stores"),    "Vector store",    true,  false, {NULL, 0}},
	{PH_STR_INIT("containers"),       "Container",       true,  false, PH_STR_INIT("name")},
	{PH_STR_INIT("conversations"),    "Conversation",    false, false, {NULL, 0}},
	{PH_STR_INIT("uploads"),          "Upload",          false, false, {NULL, 0}},
	{PH_STR_INIT("evals"),            "Eval",            true,  true,  {NULL, 0}},
	{PH_STR_INIT("fine_tuning/jobs"), "Fine-tuning job", true,  true,  {NULL, 0}},
	{PH_STR_INIT("videos"),           "Video",           true,  true,  {NULL, 0}},
	{PH_STR_INIT("skills"),           "Skill",           true,  false, {NULL, 0}},
	{PH_STR_INIT("chat/completions"), "Chat completion", true,  false, PH_STR_INIT("model")},
};
/* clang-format on */

/* Answered here, or handing out what reaches past a key's scope: the administration of an account,
 * credentials for sessions with it, lists of what all its users stored. */
static const struct ph_str closed[] = {
	PH_STR_INIT("responses"),
	PH_STR_INIT("models"),
	PH_STR_INIT("chat"),
	PH_STR_INIT("organization"),
	PH_STR_INIT("projects"),
	PH_STR_INIT("dashboard"),
	PH_STR_INIT("realtime"),
	PH_STR_INIT("chatkit"),
	PH_STR_INIT("assistants"),
	PH_STR_INIT("threads"),
};

const struct ph_collection *ph_collection_of(struct ph_str kind)
{
	for (size_t i = 0; i < sizeof collections / sizeof *collections; i++)
		if (ph_str_eq(collections[i].kind, kind))
			return &collections[i];
	return NULL;
}

/* Lower-case letters, and what joins them: no id looks so, for ids have digits or capitals. */
static bool is_word(struct ph_str s)
{
	if (s.n == 0 || s.n > WORD_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if ((s.p[i] < 'a' || s.p[i] > 'z') && s.p[i] != '_' && s.p[i] != '-')
			return false;
	return true;
}

static bool are_words(struct ph_str path)
{
	while (path.n)
		if (!is_word(ph_str_split(&path, '/')))
			return false;
	return true;
}

static bool is_closed(struct ph_str path)
{
	struct ph_str first = ph_str_split(&path, '/');

	for (size_t i = 0; i < sizeof closed / sizeof *closed; i++)
		if (ph_str_eq(first, closed[i]))
			return true;
	return false;
}

/* A slash, or what an upstream might take for one, where a segment should be. */
static bool is_crooked(struct ph_str rest)
{
	return ph_str_starts(rest, PH_STR("/")) || ph_str_find(rest, PH_STR("//")) >= 0 ||
	       ph_str_find_nocase(rest, PH_STR("%2f")) >= 0 || ph_str_find_nocase(rest, PH_STR("%5c")) >= 0;
}

static bool is_get(struct ph_str method)
{
	return ph_str_eq(method, PH_STR("GET")) || ph_str_eq(method, PH_STR("HEAD"));
}

static void read_collection(struct ph_str method, struct ph_path *p)
{
	if (ph_str_eq(method, PH_STR("POST"))) {
		p->use = PH_PATH_RELAY;
		p->creates = p->object = true;
		p->runs = p->collection->runs;
	} else {
		p->use = ph_str_eq(method, PH_STR("GET")) && p->collection->listed ? PH_PATH_LIST
										   : PH_PATH_NO_METHOD;
	}
}

/* rest: what stands behind the id. A remix of a video is another video. */
static void read_resource(struct ph_str method, struct ph_str rest, struct ph_path *p)
{
	bool post = ph_str_eq(method, PH_STR("POST"));

	p->use = is_crooked(rest) ? PH_PATH_CLOSED : PH_PATH_RELAY;
	p->object = post || (rest.n == 0 && !ph_str_eq(method, PH_STR("HEAD")));
	p->runs = post && p->collection->runs;
	p->removes = rest.n == 0 && ph_str_eq(method, PH_STR("DELETE"));
	p->creates =
		post && ph_str_eq(p->collection->kind, PH_STR("videos")) && ph_str_eq(rest, PH_STR("remix"));
	if (!post && !is_get(method) && !ph_str_eq(method, PH_STR("DELETE")))
		p->use = PH_PATH_NO_METHOD;
}

void ph_path_read(struct ph_str method, struct ph_str path, struct ph_path *ret)
{
	struct ph_str rest = ph_str_from(path, 1);

	*ret = (struct ph_path){.use = PH_PATH_CLOSED};
	for (size_t i = 0; i < sizeof collections / sizeof *collections; i++) {
		struct ph_str kind = collections[i].kind;

		if (!ph_str_starts(rest, kind) || (rest.n > kind.n && rest.p[kind.n] != '/'))
			continue;
		ret->collection = &collections[i];
		if (rest.n == kind.n) {
			read_collection(method, ret);
			return;
		}
		rest = ph_str_from(rest, kind.n + 1);
		ret->id = ph_str_split(&rest, '/');
		if (ret->id.n)
			read_resource(method, rest, ret);
		return;
	}
	if (ph_str_eq(method, PH_STR("POST")) && rest.n && are_words(rest) && !is_closed(rest))
		*ret = (struct ph_path){.use = PH_PATH_RELAY, .runs = true};
}
