/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conversation as an account sees it: one canonical text ("entry") per item, chained into a hash that a
 * test can compute itself, and what is wrong with the items: ciphertext, files and ids of another account,
 * calls without output, outputs without call. README.md, "The context", describes the entries; both change
 * together.
 *
 * A stored turn keeps count and hash behind it, so continuing a chain costs what the new items cost.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/crypt.h"
#include "turn.h"

#define CALLS_MAX 65536

enum {
	TYPE,
	ROLE,
	CONTENT,
	ID,
	CALL_ID,
	NAME,
	ARGUMENTS,
	INPUT,
	OUTPUT,
	ENCRYPTED,
	MEMBERS
};
static const struct ph_str names[MEMBERS] = {
	[TYPE] = {"type", 4},
	[ROLE] = {"role", 4},
	[CONTENT] = {"content", 7},
	[ID] = {"id", 2},
	[CALL_ID] = {"call_id", 7},
	[NAME] = {"name", 4},
	[ARGUMENTS] = {"arguments", 9},
	[INPUT] = {"input", 5},
	[OUTPUT] = {"output", 6},
	[ENCRYPTED] = {"encrypted_content", 17},
};

struct item {
	struct ph_json_member member[MEMBERS];
	struct ph_str type, id, call_id;
};

static void add_item(struct fake_context *c, struct ph_str json);

void fake_context_init(struct fake_context *c, struct fake_account *a, struct ph_arena *arena)
{
	memset(c, 0, sizeof(*c));
	c->account = a;
	c->arena = arena;
	ph_buf_init(&c->scratch, FAKE_BODY_MAX * 2);
}

void fake_context_deinit(struct fake_context *c)
{
	ph_buf_deinit(&c->scratch);
	free(c->calls), c->calls = NULL;
}

void fake_found(struct fake_context *c, enum fake_finding f)
{
	c->account->found[f]++;
}

void fake_refuse(struct fake_context *c, enum fake_finding f, int status, const char *code, const char *param,
	const char *fmt, ...)
{
	va_list args;

	fake_found(c, f);
	if (c->refusal.set)
		return;
	c->refusal = (struct fake_refusal){.set = true, .status = status, .code = code, .param = param};
	va_start(args, fmt);
	vsnprintf(c->refusal.message, sizeof(c->refusal.message), fmt, args);
	va_end(args);
}

/* The decoded text of a member, or empty. */
static struct ph_str text_of(struct fake_context *c, const struct ph_json_member *m)
{
	struct ph_str text;

	if (m->kind != PH_JSON_STRING || !ph_json_text(m->value, c->arena, &text))
		return PH_STR("");
	return text;
}

/* ---- entries ---- */

static struct ph_buf *entry_begin(struct fake_context *c)
{
	ph_buf_reset(&c->scratch);
	ph_buf_append(&c->scratch, c->hash, sizeof(c->hash));
	return &c->scratch;
}

static void entry_end(struct fake_context *c)
{
	struct ph_str entry = ph_str_from(ph_buf_str(&c->scratch), sizeof(c->hash));

	ph_sha256(ph_buf_str(&c->scratch), c->hash);
	c->count++;
	c->bytes += entry.n;
	if (!c->list)
		return;
	if (c->list->n)
		ph_buf_putc(c->list, ',');
	fake_put_string(c->list, entry);
}

/* ---- whose is it ---- */

static bool foreign(struct fake_context *c, struct ph_str id)
{
	const struct fake_account *a = fake_account_of_id(c->account->server, id);

	return a && a != c->account;
}

static void check_encrypted(struct fake_context *c, struct ph_str text)
{
	if (c->own || fake_encrypted_by(c->account, text))
		return;
	fake_refuse(c, foreign(c, text) ? FAKE_FOREIGN_CIPHERTEXT : FAKE_UNKNOWN_CIPHERTEXT, 400,
		"invalid_encrypted_content", NULL,
		"The encrypted content %.12s... could not be verified. Reason: Encrypted content "
		"organization_id did not match "
		"the target organization.",
		text.n >= 12 ? text.p : "?");
}

static void refuse_item(struct fake_context *c, struct ph_str id)
{
	fake_refuse(c, foreign(c, id) ? FAKE_FOREIGN_ITEM : FAKE_UNKNOWN_ITEM, 404, NULL, "input",
		"Item with id '%.*s' not found. Items are not persisted when `store` is set to false. Try "
		"again with `store` "
		"set to true, or remove this item from your input.",
		(int)(id.n < 100 ? id.n : 100), id.p);
}

static void check_file(struct fake_context *c, struct ph_str id)
{
	if (c->own || fake_account_of_id(c->account->server, id) == c->account)
		return;
	fake_refuse(c, foreign(c, id) ? FAKE_FOREIGN_FILE : FAKE_UNKNOWN_FILE, 404, NULL, "input",
		"File with id '%.*s' not found.", (int)(id.n < 100 ? id.n : 100), id.p);
}

/* ---- content ---- */

enum {
	P_TYPE,
	P_TEXT,
	P_REFUSAL,
	P_IMAGE,
	P_FILE_ID,
	P_FILE_URL,
	P_FILE_NAME,
	P_MEMBERS
};
static const struct ph_str part_names[P_MEMBERS] = {
	[P_TYPE] = {"type", 4},
	[P_TEXT] = {"text", 4},
	[P_REFUSAL] = {"refusal", 7},
	[P_IMAGE] = {"image_url", 9},
	[P_FILE_ID] = {"file_id", 7},
	[P_FILE_URL] = {"file_url", 8},
	[P_FILE_NAME] = {"filename", 8},
};

static void put_part(struct fake_context *c, struct ph_buf *b, struct ph_str json)
{
	static const int in_brackets[] = {P_IMAGE, P_FILE_ID, P_FILE_URL, P_FILE_NAME};
	struct ph_json_member m[P_MEMBERS];

	if (!ph_json_find(json, part_names, P_MEMBERS, m))
		return;
	if (m[P_FILE_ID].kind == PH_JSON_STRING)
		check_file(c, text_of(c, &m[P_FILE_ID]));
	if (m[P_TEXT].kind == PH_JSON_STRING || m[P_REFUSAL].kind == PH_JSON_STRING) {
		ph_buf_puts(b, text_of(c, m[P_TEXT].kind == PH_JSON_STRING ? &m[P_TEXT] : &m[P_REFUSAL]));
		return;
	}
	ph_buf_putc(b, '[');
	ph_buf_puts(b, text_of(c, &m[P_TYPE]));
	for (size_t i = 0; i < sizeof(in_brackets) / sizeof(*in_brackets); i++) {
		if (m[in_brackets[i]].kind != PH_JSON_STRING)
			continue;
		ph_buf_putc(b, ' ');
		ph_buf_puts(b, text_of(c, &m[in_brackets[i]]));
		break;
	}
	ph_buf_putc(b, ']');
}

/* A string, or a list of parts, as text. */
static void put_content(struct fake_context *c, struct ph_buf *b, const struct ph_json_member *m)
{
	struct ph_str part;
	size_t offset = 0;

	if (m->kind == PH_JSON_STRING)
		ph_buf_puts(b, text_of(c, m));
	else if (m->kind == PH_JSON_ARRAY)
		while (ph_json_next(m->value, &offset, &part))
			put_part(c, b, part);
}

/* ---- calls and their outputs ---- */

static void call_open(struct fake_context *c, struct ph_str id, struct ph_str type)
{
	if (c->call_count >= CALLS_MAX)
		return;
	if (c->call_count == c->call_max) {
		c->call_max = c->call_max ? c->call_max * 2 : 8;
		c->calls = ph_realloc(c->calls, c->call_max * sizeof(*c->calls));
	}
	c->calls[c->call_count++] = (struct fake_call){id, type};
}

static bool call_answer(struct fake_context *c, struct ph_str id)
{
	for (size_t i = 0; i < c->call_count; i++) {
		if (!ph_str_eq(c->calls[i].id, id))
			continue;
		c->calls[i] = c->calls[--c->call_count];
		return true;
	}
	return false;
}

/* "custom_tool_call" in words. */
static const char *call_words(struct fake_context *c, struct ph_str type)
{
	char *words = ph_arena_printf(c->arena, "%.*s", (int)(type.n < 60 ? type.n : 60), type.p);

	for (char *p = words; p && *p; p++)
		if (*p == '_')
			*p = ' ';
	return words ? words : "call";
}

void fake_context_finish(struct fake_context *c)
{
	if (c->call_count > 0)
		fake_refuse(c, FAKE_TOOL_PAIR, 400, NULL, "input", "No tool output found for %s %.*s.",
			call_words(c, c->calls[0].type),
			(int)(c->calls[0].id.n < 100 ? c->calls[0].id.n : 100), c->calls[0].id.p);
	if (c->after_reasoning)
		fake_refuse(c, FAKE_REASONING_PAIR, 400, NULL, "input",
			"Item '%.*s' of type 'reasoning' was provided without its required following item.",
			(int)(c->reasoning.n < 100 ? c->reasoning.n : 100), c->reasoning.p);
}

/* ---- items ---- */

static void add_message(struct fake_context *c, struct item *it)
{
	struct ph_str role = text_of(c, &it->member[ROLE]);
	struct ph_buf *b = entry_begin(c);
	size_t from;

	ph_buf_puts(b, role);
	ph_buf_putc(b, ':');
	from = b->n;
	put_content(c, b, &it->member[CONTENT]);
	if (ph_str_eq(role, PH_STR("user"))) {
		c->user_text = ph_arena_dup(c->arena, ph_str_from(ph_buf_str(b), from));
		c->last_user = c->user_text;
		if (c->last_user.n > FAKE_ECHO_MAX)
			c->last_user.n = FAKE_ECHO_MAX;
		while (c->last_user.n < c->user_text.n && c->last_user.n > 0 &&
			((unsigned char)c->user_text.p[c->last_user.n] & 0xc0) == 0x80)
			c->last_user.n--;
	} else if (ph_str_eq(role, PH_STR("assistant"))) {
		c->user_text = PH_STR("");
	}
	entry_end(c);
}

static void add_call(struct fake_context *c, struct item *it)
{
	struct ph_buf *b = entry_begin(c);

	ph_buf_puts(b, PH_STR("call:"));
	ph_buf_puts(b, it->call_id);
	ph_buf_putc(b, ':');
	ph_buf_puts(b, text_of(c, &it->member[NAME]));
	ph_buf_putc(b, ':');
	ph_buf_puts(b, text_of(c, &it->member[it->member[ARGUMENTS].kind ? ARGUMENTS : INPUT]));
	entry_end(c);
	c->user_text = PH_STR("");
	call_open(c, it->call_id, it->type);
}

static void add_output(struct fake_context *c, struct item *it)
{
	struct ph_buf *b = entry_begin(c);

	ph_buf_puts(b, PH_STR("output:"));
	ph_buf_puts(b, it->call_id);
	ph_buf_putc(b, ':');
	put_content(c, b, &it->member[OUTPUT]);
	entry_end(c);
	c->user_text = PH_STR("");
	if (!call_answer(c, it->call_id) && !c->own)
		fake_refuse(c, FAKE_TOOL_PAIR, 400, NULL, "input",
			"No tool call found for %s output with call_id %.*s.",
			call_words(c, ph_str(it->type.p, it->type.n - strlen("_output"))),
			(int)(it->call_id.n < 100 ? it->call_id.n : 100), it->call_id.p);
}

static void add_reasoning(struct fake_context *c, struct item *it)
{
	struct ph_str text = text_of(c, &it->member[ENCRYPTED]);
	struct ph_str item;

	if (text.n)
		check_encrypted(c, text);
	else if (!c->own && !fake_store_item(&c->account->server->store, c->account, it->id, &item))
		refuse_item(c, it->id);
	c->reasoning = it->id;
	c->after_reasoning = true;
}

static void add_reference(struct fake_context *c, struct item *it)
{
	struct ph_str item;

	if (c->own || !fake_store_item(&c->account->server->store, c->account, it->id, &item)) {
		refuse_item(c, it->id);
		return;
	}
	c->own = true;
	add_item(c, ph_arena_dup(c->arena, item));
	c->own = false;
}

static void add_other(struct fake_context *c, struct item *it)
{
	struct ph_str text = text_of(c, &it->member[ENCRYPTED]);
	struct ph_buf *b = entry_begin(c);

	if (text.n)
		check_encrypted(c, text);
	ph_buf_puts(b, it->type);
	ph_buf_putc(b, ':');
	ph_buf_puts(b, text.n ? text : it->call_id);
	entry_end(c);
}

/* An item that this account minted right behind a reasoning item (its id ends with 'r') must follow that one
 * again. */
static void check_pair(struct fake_context *c, const struct item *it)
{
	if (c->own || !ph_str_ends(it->id, PH_STR("_1r")) ||
		fake_account_of_id(c->account->server, it->id) != c->account)
		return;
	struct ph_str tag = ph_str(it->id.p, it->id.n - strlen("1r"));
	ptrdiff_t mark = ph_str_find(tag, PH_STR("_"));
	const char *need = ph_arena_printf(c->arena, "rs%.*s0", (int)(tag.n - (size_t)mark), tag.p + mark);

	if (c->after_reasoning && (ph_str_eq(c->reasoning, ph_str_c(need)) || c->reasoning.n == 0))
		return;
	fake_refuse(c, FAKE_REASONING_PAIR, 400, NULL, "input",
		"Item '%.*s' of type '%.*s' was provided without its required 'reasoning' item: '%s'.",
		(int)(it->id.n < 90 ? it->id.n : 90), it->id.p, (int)(it->type.n < 40 ? it->type.n : 40),
		it->type.p, need);
}

static void item_read(struct fake_context *c, struct item *it, struct ph_str json)
{
	if (!ph_json_find(json, names, MEMBERS, it->member))
		memset(it, 0, sizeof(*it));
	it->type = text_of(c, &it->member[TYPE]);
	it->id = text_of(c, &it->member[ID]);
	it->call_id = text_of(c, &it->member[CALL_ID]);
	if (it->type.n)
		return;
	it->type = it->member[ROLE].kind == PH_JSON_STRING ? PH_STR("message") : PH_STR("item_reference");
}

static void add_item(struct fake_context *c, struct ph_str json)
{
	struct item it;

	item_read(c, &it, json);
	if (ph_str_eq(it.type, PH_STR("reasoning"))) {
		add_reasoning(c, &it);
		return;
	}
	if (ph_str_eq(it.type, PH_STR("item_reference"))) {
		add_reference(c, &it);
		return;
	}
	if (!c->own && it.id.n && foreign(c, it.id))
		fake_found(c, FAKE_FOREIGN_ID);
	check_pair(c, &it);
	c->after_reasoning = false;
	if (ph_str_eq(it.type, PH_STR("message")))
		add_message(c, &it);
	else if (it.call_id.n && ph_str_ends(it.type, PH_STR("_output")))
		add_output(c, &it);
	else if (it.call_id.n && ph_str_ends(it.type, PH_STR("_call")))
		add_call(c, &it);
	else
		add_other(c, &it);
}

void fake_context_items(struct fake_context *c, struct ph_str elements)
{
	struct ph_str array, item;
	size_t offset = 0;
	char *p;

	if (!elements.n)
		return;
	p = ph_arena_alloc(c->arena, elements.n + 2);
	if (!p)
		return;
	p[0] = '[';
	memcpy(p + 1, elements.p, elements.n);
	p[elements.n + 1] = ']';
	array = ph_str(p, elements.n + 2);
	while (ph_json_next(array, &offset, &item))
		add_item(c, item);
}

void fake_context_input(struct fake_context *c, struct ph_str input)
{
	struct item it = {.member = {[CONTENT] = {.kind = PH_JSON_STRING, .value = input},
				  [ROLE] = {.kind = PH_JSON_STRING, .value = PH_STR("\"user\"")}}};
	struct ph_str item;
	size_t offset = 0;

	if (!input.n)
		return;
	if (ph_json_kind(input) == PH_JSON_STRING)
		add_message(c, &it);
	else if (ph_json_kind(input) == PH_JSON_ARRAY)
		while (ph_json_next(input, &offset, &item))
			add_item(c, item);
}

/* Goes on behind a stored turn. Its calls are read again from its output: they alone can be open there. */
void fake_context_resume(struct fake_context *c, const struct fake_stored *parent)
{
	c->own = true;
	fake_context_items(c, ph_buf_str(&parent->output));
	c->own = c->after_reasoning = false;
	c->count = parent->count;
	c->bytes = parent->bytes;
	memcpy(c->hash, parent->hash, sizeof(c->hash));
	c->user_text = PH_STR("");
	c->last_user = ph_arena_dup(c->arena, ph_str(parent->last_user, parent->last_user_n));
}
