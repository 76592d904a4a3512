/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a conversation shorter: the compaction item that a turn with a trigger ends in, and the answer
 * of a compact call, the user's own words with such an item behind them. And the count of what a turn would
 * hold.
 */
#include "turn.h"

#define DEPTH_MAX 4096

void fake_compact_item(struct fake_turn *t, struct ph_buf *b)
{
	ph_buf_printf(b, "{\"id\":\"cmp_%s_%zu\",\"type\":\"compaction\",\"encrypted_content\":\"", t->tag,
		t->items);
	fake_object_encrypted(t, b);
	ph_buf_puts(b, PH_STR("\"}"));
}

/* Each message of the user's in a list of items, with an id of this account. */
static void put_words(struct fake_turn *t, struct ph_buf *out, struct ph_str items)
{
	enum {
		ROLE,
		CONTENT,
		NR
	};
	static const struct ph_str names[NR] = {[ROLE] = {"role", 4}, [CONTENT] = {"content", 7}};
	char *array = ph_arena_printf(&t->x->arena, "[%.*s]", PH_STR_ARG(items));
	struct ph_json_member m[NR];
	struct ph_str item;
	size_t offset = 0;

	while (ph_json_next(ph_str_c(array), &offset, &item)) {
		if (!ph_json_find(item, names, NR, m) || !ph_json_text_is(m[ROLE].value, PH_STR("user")))
			continue;
		ph_buf_printf(out,
			"{\"id\":\"msg_%s_%zu\",\"type\":\"message\",\"status\":\"completed\",\"role\":"
			"\"user\",\"content\":",
			t->tag, t->items++);
		if (m[CONTENT].kind == PH_JSON_STRING)
			ph_buf_puts(out, PH_STR("[{\"type\":\"input_text\",\"text\":"));
		fake_put_line(out, m[CONTENT].value);
		ph_buf_puts(out, m[CONTENT].kind == PH_JSON_STRING ? PH_STR("}]},") : PH_STR("},"));
	}
}

/* Oldest first. */
static void put_stored_words(struct fake_turn *t, struct ph_buf *out, const char *id)
{
	const struct fake_stored *chain[DEPTH_MAX];
	size_t n = 0;

	while (id[0] && n < DEPTH_MAX) {
		chain[n] = fake_store_get(&t->x->server->store, t->x->account, ph_str_c(id));
		if (!chain[n])
			break;
		id = chain[n++]->parent;
	}
	while (n-- > 0)
		put_words(t, out, ph_buf_str(&chain[n]->input));
}

void fake_compact_answer(struct fake_turn *t)
{
	struct ph_buf *b = &t->x->play.payload, input;

	ph_buf_init(&input, FAKE_BODY_MAX);
	fake_turn_input(t, &input);
	ph_buf_printf(b, "{\"id\":\"%s\",\"object\":\"response.compaction\",\"created_at\":%llu,\"output\":[",
		t->id, (unsigned long long)t->created_at);
	put_stored_words(t, b, t->parent);
	put_words(t, b, ph_buf_str(&input));
	fake_compact_item(t, b);
	ph_buf_printf(b,
		"],\"usage\":{\"input_tokens\":%llu,\"input_tokens_details\":{\"cached_tokens\":0},"
		"\"output_tokens\":4,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%"
		"llu}}",
		(unsigned long long)(t->context.bytes / 4 + 8),
		(unsigned long long)(t->context.bytes / 4 + 12));
	ph_buf_deinit(&input);
	fake_answer_plain(t->x, 200, "application/json");
}

void fake_tokens_answer(struct fake_turn *t)
{
	ph_buf_printf(&t->x->play.payload, "{\"object\":\"response.input_tokens\",\"input_tokens\":%llu}",
		(unsigned long long)(t->context.bytes / 4 + 8));
	fake_answer_plain(t->x, 200, "application/json");
}
