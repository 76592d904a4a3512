/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn names that one account keeps: the conversation that it is a part of, files in its input,
 * containers and vector stores of its tools. All of it must be the key's own, and at one account: the turn
 * goes there.
 */
#include "owned.h"
#include "request_priv.h"

/* Where no account keeps anything, nothing can be named. */
static bool any_keeper(const struct ph_request *r)
{
	PH_LIST_EACH (it, ph_accounts_list(r->g->accounts))
		if (PH_CONTAINER(it, struct ph_account, node)->kind != PH_CODEX)
			return true;
	return false;
}

static void collect(struct ph_request *r)
{
	const struct ph_json_member *m = r->body.m;
	struct ph_owned_ids ids; /* large: not zeroed as a whole */

	ids.n = 0;
	ids.full = ids.forbidden = false;
	if (r->body.conversation.n)
		ph_owned_name(&ids, r->body.conversation, "Conversation", "conversation");
	if (r->body.named && any_keeper(r)) {
		ph_owned_turn_names(m[PH_B_INPUT].value, &r->arena, &ids);
		ph_owned_turn_names(m[PH_B_TOOLS].value, &r->arena, &ids);
	}
	r->owned_known = ids.n == 0;
	if (ids.n && (r->owned = ph_arena_alloc(&r->arena, sizeof ids)))
		*r->owned = ids;
}

static void on_owned(void *arg, const struct ph_owned_place *place, const struct ph_err *err)
{
	struct ph_request *r = arg;

	r->owning = NULL;
	if (err) {
		r->fault = *err;
		ph_request_event(r, -err->code);
		return;
	}
	r->owned_known = true;
	r->bound_to = place->account;
	ph_resolve_go_on(r);
}

int ph_turn_owned(struct ph_request *r)
{
	if (!r->owned && !r->owned_known)
		collect(r);
	if (r->owned_known)
		return 1;
	if (!r->owned || r->owned->full)
		return ph_fail_param(&r->fault, PH_E_PARAM_BAD, "input", "A turn may name at most %d ids.",
			PH_OWNED_IDS_MAX);
	r->owning = ph_owned_find(r->g, r->door.key, r->owned, on_owned, r);
	return 0;
}

void ph_turn_owned_cancel(struct ph_request *r)
{
	if (r->owning)
		ph_owned_find_cancel(r->owning);
	r->owning = NULL;
}

static void written(void *arg, int status)
{
	(void)arg;
	(void)status;
}

/* Whether it is worth reading: answers hold few underscores, so this is quicker than to look for all of the
 * name. */
static bool tells_of_container(struct ph_str output)
{
	static const struct ph_str before = PH_STR_INIT("container"), name = PH_STR_INIT("container_id");

	for (struct ph_str s = output; s.n;) {
		const char *p = memchr(s.p, '_', s.n);

		if (!p)
			return false;
		s = ph_str_from(s, (size_t)(p - s.p) + 1);
		if ((size_t)(p - output.p) >= before.n &&
			ph_str_starts(ph_str_from(output, (size_t)(p - output.p) - before.n), name))
			return true;
	}
	return false;
}

/* The writer keeps its order, so that the commit behind this tells of both. */
static void own(struct ph_request *r, const struct ph_minted *ids, size_t n)
{
	ph_owned_write_cancel(ph_owned_write(r->g, r->door.key->id, r->account_id, ids, n, written, NULL));
}

/* A chat that its account keeps: read, changed and deleted by its id. */
void ph_turn_own_chat(struct ph_request *r)
{
	const struct ph_minted chat = {r->collect.id, PH_STR("chat/completions")};

	own(r, &chat, 1);
}

/* Containers that upstream made for the turn: what is in them is fetched by their id. */
void ph_turn_own(struct ph_request *r)
{
	static const struct ph_str name = PH_STR_INIT("container_id");
	struct ph_minted ids[PH_MINTED_MAX];
	struct ph_str item, output = r->collect.output;
	struct ph_json_member m;
	size_t at = 0, n = 0;

	if (!r->account || r->account->kind == PH_CODEX || !tells_of_container(output))
		return;
	while (n < PH_MINTED_MAX && ph_json_next_bare(output, &at, NULL, &item))
		if (ph_json_find(item, &name, 1, &m) && ph_json_text(m.value, &r->arena, &ids[n].id))
			ids[n++].kind = PH_STR("containers");
	if (n)
		own(r, ids, n);
}
