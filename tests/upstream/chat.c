/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /chat/completions, for accounts that have it: a turn like any other whose messages are read as items,
 * so that the context, the checks, scripts and statistics are those of a turn, and whose answer is made of
 * chunks. Nothing is kept.
 */
#include <stdio.h>

#include "turn.h"

/* ---- the request, as items ---- */

enum {
	B_MODEL,
	B_MESSAGES,
	B_STREAM,
	B_OPTIONS,
	B_N,
	B_STORE,
	B_METADATA,
	B_NR
};
static const struct ph_str body_names[B_NR] = {{"model", 5}, {"messages", 8}, {"stream", 6},
	{"stream_options", 14}, {"n", 1}, {"store", 5}, {"metadata", 8}};

enum {
	G_ROLE,
	G_CONTENT,
	G_CALLS,
	G_CALL_ID,
	G_NR
};
static const struct ph_str message_names[G_NR] = {
	{"role", 4}, {"content", 7}, {"tool_calls", 10}, {"tool_call_id", 12}};

static bool look(struct ph_str object, const struct ph_str *names, size_t n, struct ph_json_member *m)
{
	if (ph_json_kind(object) == PH_JSON_OBJECT && ph_json_find(object, names, n, m))
		return true;
	memset(m, 0, n * sizeof(*m));
	return false;
}

static void put_value(struct ph_buf *b, const char *before, const struct ph_json_member *m)
{
	ph_buf_puts(b, ph_str_c(before));
	ph_buf_puts(b, m->kind == PH_JSON_ABSENT ? PH_STR("null") : m->value);
}

static void put_part(struct ph_buf *b, struct ph_str part)
{
	static const struct ph_str names[] = {{"type", 4}, {"text", 4}, {"image_url", 9}, {"file", 4}};
	static const struct ph_str of_url[] = {{"url", 3}};
	static const struct ph_str of_file[] = {{"file_id", 7}, {"filename", 8}};
	struct ph_json_member m[4], of[2];

	look(part, names, 4, m);
	if (m[1].kind == PH_JSON_STRING) {
		put_value(b, "{\"type\":\"input_text\",\"text\":", &m[1]);
	} else if (look(m[2].value, of_url, 1, of)) {
		put_value(b, "{\"type\":\"input_image\",\"image_url\":", &of[0]);
	} else if (look(m[3].value, of_file, 2, of)) {
		put_value(b, "{\"type\":\"input_file\",\"file_id\":", &of[0]);
		put_value(b, ",\"filename\":", &of[1]);
	} else {
		put_value(b, "{\"type\":", &m[0]);
	}
	ph_buf_putc(b, '}');
}

static void put_content(struct ph_buf *b, const struct ph_json_member *content)
{
	struct ph_str part;
	size_t offset = 0;
	bool first = true;

	if (content->kind != PH_JSON_ARRAY) {
		put_value(b, "", content);
		return;
	}
	ph_buf_putc(b, '[');
	while (ph_json_next(content->value, &offset, &part)) {
		if (!first)
			ph_buf_putc(b, ',');
		first = false;
		put_part(b, part);
	}
	ph_buf_putc(b, ']');
}

static void put_call(struct ph_buf *b, struct ph_str call)
{
	static const struct ph_str names[] = {{"id", 2}, {"function", 8}};
	static const struct ph_str of_function[] = {{"name", 4}, {"arguments", 9}};
	struct ph_json_member m[2], f[2];

	look(call, names, 2, m);
	look(m[1].value, of_function, 2, f);
	put_value(b, "{\"type\":\"function_call\",\"call_id\":", &m[0]);
	put_value(b, ",\"name\":", &f[0]);
	put_value(b, ",\"arguments\":", &f[1]);
	ph_buf_puts(b, PH_STR("},"));
}

/* Each item with a comma behind it. */
static void put_message(struct ph_buf *b, struct ph_str message)
{
	struct ph_json_member m[G_NR];
	struct ph_str call;
	size_t offset = 0;

	look(message, message_names, G_NR, m);
	if (m[G_CALL_ID].kind == PH_JSON_STRING) {
		put_value(b, "{\"type\":\"function_call_output\",\"call_id\":", &m[G_CALL_ID]);
		ph_buf_puts(b, PH_STR(",\"output\":"));
		put_content(b, &m[G_CONTENT]);
		ph_buf_puts(b, PH_STR("},"));
		return;
	}
	if (m[G_CONTENT].kind > PH_JSON_NULL &&
		!(m[G_CALLS].kind == PH_JSON_ARRAY && ph_str_eq(m[G_CONTENT].value, PH_STR("\"\"")))) {
		put_value(b, "{\"type\":\"message\",\"role\":", &m[G_ROLE]);
		ph_buf_puts(b, PH_STR(",\"content\":"));
		put_content(b, &m[G_CONTENT]);
		ph_buf_puts(b, PH_STR("},"));
	}
	while (m[G_CALLS].kind == PH_JSON_ARRAY && ph_json_next(m[G_CALLS].value, &offset, &call))
		put_call(b, call);
}

void fake_chat_read(struct fake_exchange *x)
{
	static const struct ph_str include = {"include_usage", 13};
	struct ph_json_member m[B_NR], usage;
	struct ph_str message;
	struct ph_buf b;
	size_t offset = 0;

	x->chat = (struct fake_chat){.on = true, .choices = 1};
	if (ph_json_scan(x->body, body_names, B_NR, m, NULL))
		return; /* what reads it as a turn finds the same */
	look(m[B_OPTIONS].value, &include, 1, &usage);
	x->chat.usage = usage.kind == PH_JSON_TRUE;
	x->chat.store = m[B_STORE].kind == PH_JSON_TRUE && x->account->kind == FAKE_PLATFORM;
	x->chat.metadata = ph_arena_dup(&x->arena, m[B_METADATA].value);
	if (!ph_json_u64(m[B_N].value, &x->chat.choices))
		x->chat.choices = 1;
	ph_buf_init(&b, FAKE_BODY_MAX);
	put_value(&b, "{\"store\":false,\"model\":", &m[B_MODEL]);
	put_value(&b, ",\"stream\":", &m[B_STREAM]);
	ph_buf_puts(&b, PH_STR(",\"input\":["));
	while (m[B_MESSAGES].kind == PH_JSON_ARRAY && ph_json_next(m[B_MESSAGES].value, &offset, &message))
		put_message(&b, message);
	if (b.p[b.n - 1] == ',')
		b.n--;
	ph_buf_puts(&b, PH_STR("]}"));
	x->body = ph_arena_dup(&x->arena, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

/* ---- the answer ---- */

struct talk {
	struct fake_turn *t;
	struct fake_do *d;
	struct ph_buf *b;
	bool stopped, struck;
};

static bool incomplete(const struct talk *k)
{
	return k->d && k->d->fault == FAKE_INCOMPLETE;
}

static bool failing(const struct talk *k)
{
	return k->d && k->d->fault >= FAKE_FAILED && k->d->fault != FAKE_INCOMPLETE;
}

static const char *finish_of(const struct talk *k)
{
	bool filtered = incomplete(k) && k->d->reason.p && ph_str_eq(k->d->reason, PH_STR("content_filter"));

	if (filtered)
		return "content_filter";
	if (incomplete(k))
		return "length";
	return k->d && k->d->calls.p ? "tool_calls" : "stop";
}

static void put_head(const struct talk *k, const char *object)
{
	ph_buf_printf(k->b,
		"{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%llu,\"model\":", k->t->tag, object,
		(unsigned long long)k->t->created_at);
	ph_buf_puts(k->b, k->t->ask[FAKE_ASK_MODEL].value);
	ph_buf_puts(k->b, PH_STR(",\"system_fingerprint\":\"fp_fake\",\"choices\":["));
}

static void put_usage(const struct talk *k)
{
	unsigned long long in = k->t->context.bytes / 4 + 1, out = k->t->output_tokens;

	ph_buf_printf(k->b,
		"{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
		"\"prompt_tokens_details\":{\"cached_tokens\":3,\"audio_tokens\":0},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
		in, out, in + out);
}

/* {"id":..,"type":"function","function":{..}}; index only in chunks. */
static void put_scripted_call(const struct talk *k, struct ph_str json, size_t i, bool chunk)
{
	static const struct ph_str names[] = {{"name", 4}, {"arguments", 9}, {"call_id", 7}};
	struct ph_json_member m[3];
	struct ph_str text;

	look(json, names, 3, m);
	ph_buf_putc(k->b, '{');
	if (chunk)
		ph_buf_printf(k->b, "\"index\":%zu,", i);
	if (m[2].kind == PH_JSON_STRING)
		put_value(k->b, "\"id\":", &m[2]);
	else
		ph_buf_printf(k->b, "\"id\":\"call_%s_%zu\"", k->t->tag, i);
	put_value(k->b, ",\"type\":\"function\",\"function\":{\"name\":", &m[0]);
	ph_buf_puts(k->b, PH_STR(",\"arguments\":"));
	text = m[1].kind == PH_JSON_ABSENT ? PH_STR("{}") : m[1].value;
	if (m[1].kind == PH_JSON_STRING)
		ph_buf_puts(k->b, m[1].value);
	else
		fake_put_string(k->b, text);
	ph_buf_puts(k->b, PH_STR("}}"));
}

static void put_calls(const struct talk *k, bool chunk)
{
	struct ph_str call;
	size_t offset = 0;

	ph_buf_puts(k->b, PH_STR("\"tool_calls\":["));
	for (size_t i = 0; ph_json_next(k->d->calls, &offset, &call); i++) {
		if (i)
			ph_buf_putc(k->b, ',');
		put_scripted_call(k, call, i, chunk);
	}
	ph_buf_putc(k->b, ']');
}

static bool says(const struct talk *k)
{
	return FAKE_DO(k->d, say, !(k->d && k->d->calls.p));
}

static void keep(const struct talk *k)
{
	const struct fake_turn *t = k->t;
	char id[FAKE_ID_MAX];
	struct ph_buf b;

	if (!t->x->chat.store)
		return;
	ph_buf_init(&b, FAKE_BODY_MAX);
	ph_buf_printf(&b, ",\"model\":%.*s", PH_STR_ARG(t->ask[FAKE_ASK_MODEL].value));
	if (t->x->chat.metadata.n)
		ph_buf_printf(&b, ",\"metadata\":%.*s", PH_STR_ARG(t->x->chat.metadata));
	ph_buf_puts(
		&b, PH_STR(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"));
	fake_put_string(&b, t->text);
	ph_buf_printf(&b, "},\"finish_reason\":\"%s\"}]", finish_of(k));
	snprintf(id, sizeof(id), "chatcmpl-%s", t->tag);
	fake_chat_keep(t->x, id, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

static void answer_whole(struct talk *k)
{
	struct fake_exchange *x = k->t->x;

	if (failing(k)) {
		fake_answer_scripted_error(x, 500);
		return;
	}
	put_head(k, "chat.completion");
	for (uint64_t i = 0; i < x->chat.choices; i++) {
		ph_buf_printf(k->b,
			"%s{\"index\":%llu,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "",
			(unsigned long long)i);
		fake_put_string(k->b, says(k) ? k->t->text : PH_STR_NONE);
		ph_buf_puts(k->b, PH_STR(",\"refusal\":null,\"annotations\":[]"));
		if (k->d && k->d->calls.p) {
			ph_buf_putc(k->b, ',');
			put_calls(k, false);
		}
		ph_buf_printf(k->b, "},\"logprobs\":null,\"finish_reason\":\"%s\"}", finish_of(k));
	}
	ph_buf_puts(k->b, PH_STR("],\"usage\":"));
	put_usage(k);
	ph_buf_putc(k->b, '}');
	keep(k);
	fake_answer_plain(x, 200, "application/json");
}

/* ---- chunks ---- */

static void stop(struct talk *k, enum fake_ending ending)
{
	k->stopped = true;
	k->t->x->play.ending = ending;
}

static void fail_with(struct talk *k, enum fake_fault fault)
{
	switch (fault) {
	case FAKE_NO_FAULT:
	case FAKE_INCOMPLETE: /* the finish_reason says it */
		return;
	case FAKE_END:
	case FAKE_SHUT:
		stop(k, FAKE_KEEP);
		return;
	case FAKE_EOF:
		stop(k, FAKE_CUT);
		return;
	case FAKE_RESET:
		stop(k, FAKE_ABORT);
		return;
	case FAKE_SILENCE:
		stop(k, FAKE_HOLD);
		return;
	default:
		ph_buf_puts(k->b, PH_STR("data: "));
		fake_put_error(k->d, k->b, 500);
		ph_buf_puts(k->b, PH_STR("\n\n"));
		fake_play_mark(k->t->x, 0, 0);
		stop(k, FAKE_KEEP);
	}
}

static void reach(struct talk *k, enum fake_point point)
{
	enum fake_point at = k->d ? (enum fake_point)k->d->at : FAKE_AT_NONE;

	if (!k->d || !k->d->fault || k->struck || k->stopped)
		return;
	if (at != point && !(at == FAKE_AT_NONE && point == FAKE_AT_OUTPUT) &&
		!(at == FAKE_AT_BODY && point == FAKE_AT_ITEM))
		return;
	k->struck = true;
	if (k->d->fault != FAKE_SILENCE || FAKE_DO(k->d, for_ms, 0) == 0) {
		fail_with(k, (enum fake_fault)k->d->fault);
		return;
	}
	fake_play_mark(k->t->x, (uint64_t)k->d->for_ms, 0);
	fail_with(k, (enum fake_fault)k->d->then);
}

static void begin_chunk(const struct talk *k, uint64_t choice)
{
	ph_buf_puts(k->b, PH_STR("data: "));
	put_head(k, "chat.completion.chunk");
	ph_buf_printf(k->b, "{\"index\":%llu,\"delta\":{", (unsigned long long)choice);
}

static void end_chunk(const struct talk *k, const char *finish, uint64_t delay_ms)
{
	ph_buf_puts(k->b, PH_STR("},\"logprobs\":null,\"finish_reason\":"));
	ph_buf_printf(k->b, finish ? "\"%s\"}]" : "%s}]", finish ? finish : "null");
	ph_buf_puts(k->b, k->t->x->chat.usage ? PH_STR(",\"usage\":null}\n\n") : PH_STR("}\n\n"));
	fake_play_mark(k->t->x, delay_ms, 0);
}

/* At least one character. */
static size_t piece(struct ph_str text, size_t size)
{
	size_t n = size < text.n ? size : text.n;

	while (n < text.n && ((unsigned char)text.p[n] & 0xC0) == 0x80)
		n++;
	return n;
}

static void tell_text(struct talk *k, uint64_t choice)
{
	int64_t deltas = FAKE_DO(k->d, deltas, 0), bytes = FAKE_DO(k->d, delta_bytes, 0);
	struct ph_str text = k->t->text;
	size_t size = bytes > 0    ? (size_t)bytes
		      : deltas > 0 ? (text.n + (size_t)deltas - 1) / (size_t)deltas
				   : 48;

	while (text.n && !k->stopped) {
		struct ph_str part = ph_str(text.p, piece(text, size ? size : 1));

		begin_chunk(k, choice);
		ph_buf_puts(k->b, PH_STR("\"content\":"));
		fake_put_string(k->b, part);
		end_chunk(k, NULL, (uint64_t)FAKE_DO(k->d, delay_ms, 0));
		text = ph_str_from(text, part.n);
		reach(k, FAKE_AT_ITEM);
	}
}

static void tell_choice(struct talk *k, uint64_t choice)
{
	if (!k->stopped) {
		begin_chunk(k, choice);
		ph_buf_printf(k->b, "\"role\":\"assistant\",\"content\":%s,\"refusal\":null",
			says(k) ? "\"\"" : "null");
		end_chunk(k, NULL, 0);
		reach(k, FAKE_AT_CREATED);
	}
	if (says(k))
		tell_text(k, choice);
	if (!k->stopped && k->d && k->d->calls.p) {
		begin_chunk(k, choice);
		put_calls(k, true);
		end_chunk(k, NULL, 0);
	}
	reach(k, FAKE_AT_OUTPUT);
	if (k->stopped)
		return;
	begin_chunk(k, choice);
	end_chunk(k, finish_of(k), 0);
}

static void end_stream(struct talk *k)
{
	if (!k->stopped && k->t->x->chat.usage) {
		ph_buf_puts(k->b, PH_STR("data: "));
		put_head(k, "chat.completion.chunk");
		ph_buf_puts(k->b, PH_STR("],\"usage\":"));
		put_usage(k);
		ph_buf_puts(k->b, PH_STR("}\n\n"));
		fake_play_mark(k->t->x, 0, 0);
	}
	reach(k, FAKE_AT_TERMINAL);
	if (!k->stopped)
		keep(k);
	for (int64_t i = k->stopped ? 0 : FAKE_DO(k->d, done, 1); i > 0; i--) {
		ph_buf_puts(k->b, PH_STR("data: [DONE]\n\n"));
		fake_play_mark(k->t->x, 0, 0);
	}
}

void fake_chat_answer(struct fake_turn *t)
{
	struct talk k = {.t = t, .d = t->todo, .b = &t->x->play.payload};

	if (!t->stream) {
		answer_whole(&k);
		return;
	}
	reach(&k, FAKE_AT_OPEN);
	for (uint64_t i = 0; i < t->x->chat.choices; i++)
		tell_choice(&k, i);
	end_stream(&k);
	fake_answer(t->x, 200, "text/event-stream; charset=utf-8", FAKE_CHUNKED);
}
