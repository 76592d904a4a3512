/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chunks of an account that has chat completions itself, to the client, byte for byte. Held back are
 *
 *   - the head and what tells no more than the role, until the first other chunk, or HOLD_TIMEOUT: meanwhile
 *     a failure is retried and nobody sees it;
 *   - chunks with a finish_reason and the one with the usage, until [DONE] came: a stream that breaks off
 *     before that never looks complete.
 */
#include "chat_priv.h"
#include "posthouse/clock.h"
#include "request_priv.h"

enum {
	K_CHOICES,
	K_USAGE,
	K_ERROR,
	K_ID,
	K_NR
};
static const struct ph_str chunk_names[K_NR] = {
	PH_STR_INIT("choices"), PH_STR_INIT("usage"), PH_STR_INIT("error"), PH_STR_INIT("id")};

/* What a chunk is to the relay. */
enum chunk {
	CHUNK_OPENS, /* tells no more than the role */
	CHUNK_TELLS,
	CHUNK_ENDS, /* a choice, or all of them */
};

static void read_usage(struct ph_collect *c, const struct ph_json_member *usage)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("prompt_tokens"), PH_STR_INIT("completion_tokens"),
		PH_STR_INIT("prompt_tokens_details"), PH_STR_INIT("completion_tokens_details")};
	static const struct ph_str cached = PH_STR_INIT("cached_tokens"),
				   reasoning = PH_STR_INIT("reasoning_tokens");
	struct ph_json_member m[4], read, spent;

	if (usage->kind != PH_JSON_OBJECT)
		return;
	ph_chat_look(usage, wanted, 4, m);
	ph_chat_look(&m[2], &cached, 1, &read);
	ph_chat_look(&m[3], &reasoning, 1, &spent);
	c->input_tokens = ph_chat_number(&m[0]);
	c->output_tokens = ph_chat_number(&m[1]);
	c->cached_tokens = ph_chat_number(&read);
	c->reasoning_tokens = ph_chat_number(&spent);
}

static void read_id(struct ph_collect *c, const struct ph_json_member *id)
{
	if (!c->id.n && id->kind == PH_JSON_STRING)
		ph_json_text(id->value, &c->texts, &c->id);
}

/* ---- one chunk ---- */

/* Members with something in them, besides the role. */
static bool says_something(struct ph_str delta)
{
	struct ph_str name, value;
	size_t offset = 0;

	while (ph_json_pair(delta, &offset, &name, &value))
		if (!ph_str_eq(name, PH_STR("\"role\"")) && ph_json_kind(value) != PH_JSON_NULL &&
			!ph_str_eq(value, PH_STR("\"\"")))
			return true;
	return false;
}

static enum chunk class_of_choice(struct ph_str choice)
{
	static const struct ph_str wanted[] = {PH_STR_INIT("delta"), PH_STR_INIT("finish_reason")};
	struct ph_json_member m[2];

	if (!ph_json_find(choice, wanted, 2, m))
		return CHUNK_TELLS;
	if (m[1].kind > PH_JSON_NULL)
		return CHUNK_ENDS;
	return m[0].kind == PH_JSON_OBJECT && says_something(m[0].value) ? CHUNK_TELLS : CHUNK_OPENS;
}

static enum chunk class_of(const struct ph_json_member *m)
{
	enum chunk class = CHUNK_OPENS;
	struct ph_str choice;
	bool any = false;
	size_t offset = 0;

	while (ph_json_next(m[K_CHOICES].value, &offset, &choice)) {
		enum chunk of_this = class_of_choice(choice);

		any = true;
		if (of_this > class)
			class = of_this;
	}
	return !any && m[K_USAGE].kind == PH_JSON_OBJECT ? CHUNK_ENDS : class;
}

static void on_chunk(struct ph_request *r, const struct ph_sse_unit *u, const struct ph_json_member *m)
{
	enum chunk class = class_of(m);

	read_usage(&r->collect, &m[K_USAGE]);
	read_id(&r->collect, &m[K_ID]);
	if (class == CHUNK_ENDS)
		ph_buf_puts(&r->relay.terminal, u->raw);
	else if (class == CHUNK_OPENS)
		ph_relay_hold(r, u->raw);
	else
		ph_relay_show(r, u->raw);
}

/* ---- the stream ---- */

static void on_done(struct ph_request *r)
{
	if (r->relay.saw_event)
		ph_relay_end(r);
	else
		ph_relay_break(r, "a stream without a chunk");
}

/* A comment, or a vendor's own kind of event: no word of the answer. */
static void pass_by(struct ph_request *r, const struct ph_sse_unit *u)
{
	if (r->relay.phase == PH_RELAY_SHOWN)
		ph_relay_show(r, u->raw);
}

static void on_unit(void *owner, const struct ph_sse_unit *u)
{
	struct ph_request *r = owner;
	struct ph_str data = ph_str_trim(u->data);
	struct ph_json_member m[K_NR];

	if (ph_str_eq(data, PH_STR("[DONE]"))) {
		on_done(r);
		return;
	}
	if (r->relay.finishing)
		return; /* upstream ended inside of it */
	if (data.n == 0) {
		pass_by(r, u);
	} else if (ph_json_scan(data, chunk_names, K_NR, m, NULL)) {
		ph_relay_break(r, "a chunk that is no JSON object");
	} else if (m[K_ERROR].kind > PH_JSON_NULL) {
		ph_relay_fault(r, data);
	} else if (m[K_CHOICES].kind != PH_JSON_ARRAY) {
		pass_by(r, u);
	} else {
		ph_relay_begin(r);
		on_chunk(r, u, m);
	}
}

void ph_chat_relay_open(struct ph_request *r)
{
	ph_relay_open_with(r, on_unit);
}

bool ph_chat_relay_whole(struct ph_request *r, struct ph_str answer)
{
	struct ph_json_member m[K_NR];

	if (ph_json_scan(answer, chunk_names, K_NR, m, NULL) || m[K_CHOICES].kind != PH_JSON_ARRAY)
		return false;
	read_usage(&r->collect, &m[K_USAGE]);
	read_id(&r->collect, &m[K_ID]);
	return true;
}
