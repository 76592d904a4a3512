/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POST /responses: reads the request, refuses what its kind of account refuses in the words of the real one,
 * sees the conversation, and makes the answer. What a platform account stores, it stores here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "posthouse/clock.h"
#include "posthouse/crypt.h"
#include "socket.h"
#include "turn.h"

#define N(ask, name) [FAKE_ASK_##ask] = {name, sizeof(name) - 1}
static const struct ph_str ask_names[FAKE_ASK_NR] = {
	N(MODEL, "model"),
	N(INPUT, "input"),
	N(PREVIOUS, "previous_response_id"),
	N(STREAM, "stream"),
	N(STORE, "store"),
	N(INCLUDE, "include"),
	N(CONVERSATION, "conversation"),
	N(INSTRUCTIONS, "instructions"),
	N(TOOLS, "tools"),
	N(TOOL_CHOICE, "tool_choice"),
	N(TRUNCATION, "truncation"),
	N(PARALLEL, "parallel_tool_calls"),
	N(TEXT, "text"),
	N(TOP_P, "top_p"),
	N(TEMPERATURE, "temperature"),
	N(TOP_LOGPROBS, "top_logprobs"),
	N(REASONING, "reasoning"),
	N(MAX_OUTPUT, "max_output_tokens"),
	N(MAX_CALLS, "max_tool_calls"),
	N(BACKGROUND, "background"),
	N(TIER, "service_tier"),
	N(METADATA, "metadata"),
	N(SAFETY, "safety_identifier"),
	N(CACHE_KEY, "prompt_cache_key"),
	N(PENALTY_P, "presence_penalty"),
	N(PENALTY_F, "frequency_penalty"),
	N(USER, "user"),
	N(CACHE_RETENTION, "prompt_cache_retention"),
	N(CACHE_OPTIONS, "prompt_cache_options"),
	N(CLIENT_METADATA, "client_metadata"),
	N(GENERATE, "generate"),
};
#undef N

static bool given(const struct fake_turn *t, enum fake_ask ask)
{
	return t->ask[ask].kind != PH_JSON_ABSENT && t->ask[ask].kind != PH_JSON_NULL;
}

static struct ph_str asked_text(struct fake_turn *t, enum fake_ask ask)
{
	struct ph_str text;

	if (t->ask[ask].kind != PH_JSON_STRING || !ph_json_text(t->ask[ask].value, &t->x->arena, &text))
		return PH_STR("");
	return text;
}

/* ---- what each kind refuses ---- */

/* As the Codex backend says it: {"detail":"..."} */
static void refuse_detail(struct fake_turn *t, const char *text, const char *name)
{
	if (t->context.refusal.set)
		return;
	fake_refuse(&t->context, FAKE_PARAMETER, 400, NULL, NULL, "%s%s", text, name);
	t->context.refusal.detail = true;
}

static void check_codex(struct fake_turn *t)
{
	static const enum fake_ask unsupported[] = {FAKE_ASK_PREVIOUS, FAKE_ASK_BACKGROUND,
		FAKE_ASK_MAX_OUTPUT, FAKE_ASK_METADATA, FAKE_ASK_CACHE_RETENTION, FAKE_ASK_CACHE_OPTIONS,
		FAKE_ASK_SAFETY, FAKE_ASK_TEMPERATURE, FAKE_ASK_TOP_P, FAKE_ASK_TRUNCATION, FAKE_ASK_USER,
		FAKE_ASK_CONVERSATION};
	bool on_socket =
		t->x->lane != NULL; /* knows what it said itself, and has other words for the second */

	for (size_t i = on_socket ? 2 : 0; i < sizeof(unsupported) / sizeof(*unsupported); i++)
		if (given(t, unsupported[i]))
			refuse_detail(t, "Unsupported parameter: ", ask_names[unsupported[i]].p);
	if (t->ask[FAKE_ASK_STORE].kind != PH_JSON_FALSE)
		refuse_detail(t, "Store must be set to false", "");
	if (!on_socket && t->ask[FAKE_ASK_STREAM].kind != PH_JSON_TRUE)
		refuse_detail(t, "Stream must be set to true", "");
	if (t->ask[FAKE_ASK_INPUT].kind != PH_JSON_ARRAY)
		refuse_detail(t, "Input must be a list", "");
}

/* What HTTP asks for and a frame must not. */
static void check_frame(struct fake_turn *t)
{
	static const enum fake_ask forbidden[] = {FAKE_ASK_STREAM, FAKE_ASK_BACKGROUND};

	for (size_t i = 0; i < 2; i++)
		if (t->ask[forbidden[i]].kind != PH_JSON_ABSENT)
			fake_refuse(&t->context, FAKE_PARAMETER, 400, "unknown_parameter",
				ask_names[forbidden[i]].p, "Unknown parameter: '%s'.",
				ask_names[forbidden[i]].p);
}

static void count_foreign_response(struct fake_turn *t, struct ph_str id)
{
	const struct fake_account *owner = fake_account_of_id(t->x->server, id);

	if (id.n)
		fake_found(&t->context,
			owner && owner != t->x->account ? FAKE_FOREIGN_RESPONSE : FAKE_UNKNOWN_RESPONSE);
}

/* What the socket remembers, and what the account stores. */
static const struct fake_stored *find_parent(const struct fake_turn *t, struct ph_str id)
{
	const struct fake_exchange *x = t->x;
	const struct fake_stored *r = x->lane ? fake_lane_recall(x->lane, id) : NULL;

	if (!r && x->account->kind == FAKE_PLATFORM)
		r = fake_store_get(&x->server->store, x->account, id);
	return r;
}

static void continue_from(struct fake_turn *t, const struct fake_stored *parent)
{
	memcpy(t->parent, parent->id, sizeof(t->parent));
	t->parent_bytes = parent->bytes;
	fake_context_resume(&t->context, parent);
}

static void check_anchor(struct fake_turn *t)
{
	struct ph_str id = asked_text(t, FAKE_ASK_PREVIOUS);
	const struct fake_stored *parent;

	if (given(t, FAKE_ASK_CONVERSATION))
		fake_refuse(
			&t->context, FAKE_PARAMETER, 404, NULL, "conversation", "Conversation not found.");
	if (!id.n)
		return;
	ph_str_copy(t->x->anchor, sizeof(t->x->anchor), id);
	parent = find_parent(t, id);
	if (parent) {
		continue_from(t, parent);
		return;
	}
	count_foreign_response(t, id);
	if ((t->x->account->kind == FAKE_CODEX && !t->x->lane) || t->context.refusal.set)
		return;
	t->context.refusal =
		(struct fake_refusal){.set = true, .status = 400, .param = "previous_response_id"};
	if (t->x->account->kind == FAKE_STATELESS) {
		t->x->account->found[FAKE_PARAMETER]++;
		t->context.refusal.code = "unsupported_parameter";
		snprintf(t->context.refusal.message, sizeof(t->context.refusal.message),
			"Unsupported parameter: 'previous_response_id': this server keeps nothing.");
		return;
	}
	t->context.refusal.code = "previous_response_not_found";
	snprintf(t->context.refusal.message, sizeof(t->context.refusal.message),
		"Previous response with id '%.*s' not found.", (int)(id.n < 300 ? id.n : 300), id.p);
}

static void check_model(struct fake_turn *t)
{
	struct ph_str model = asked_text(t, FAKE_ASK_MODEL);
	int n = (int)(model.n < 100 ? model.n : 100);

	if (!model.n) {
		fake_refuse(&t->context, FAKE_PARAMETER, 400, "missing_required_parameter", "model",
			"Missing required parameter: 'model'.");
		return;
	}
	if (fake_account_serves(t->x->account, model))
		return;
	if (t->x->account->kind != FAKE_CODEX) {
		fake_refuse(&t->context, FAKE_MODEL, 404, "model_not_found", NULL,
			"The model '%.*s' does not exist or you do not have access to it.", n, model.p);
		return;
	}
	fake_refuse(&t->context, FAKE_MODEL, 400, NULL, NULL,
		"The '%.*s' model is not supported when using Codex with a ChatGPT account.", n, model.p);
	t->context.refusal.detail = true;
}

/* Routing state of another account, in the header or in client_metadata. */
static void check_turn_state(struct fake_turn *t)
{
	struct ph_str places[] = {ph_head_get(t->x->head, PH_STR("x-codex-turn-state")),
		t->ask[FAKE_ASK_CLIENT_METADATA].value};

	for (size_t i = 0; i < 2; i++) {
		ptrdiff_t at = places[i].n ? ph_str_find(places[i], PH_STR("ts:")) : -1;
		const struct fake_account *a =
			at < 0 ? NULL : fake_account_of_id(t->x->server, ph_str_from(places[i], (size_t)at));

		if (a && a != t->x->account)
			fake_found(&t->context, FAKE_FOREIGN_TURN_STATE);
	}
}

/* ---- seeing ---- */

static void put_seen(struct fake_turn *t, const struct ph_buf *entries)
{
	struct fake_record *r = t->x->record;
	char hex[65];

	if (!r)
		return;
	ph_hex(hex, t->context.hash, 32);
	ph_buf_printf(&r->seen, "{\"count\":%llu,\"sha256\":\"%s\",\"previous_response_id\":",
		(unsigned long long)t->context.count, hex);
	fake_put_string(
		&r->seen, given(t, FAKE_ASK_PREVIOUS) ? asked_text(t, FAKE_ASK_PREVIOUS) : PH_STR_NONE);
	ph_buf_puts(&r->seen, PH_STR(",\"entries\":["));
	ph_buf_puts(&r->seen, ph_buf_str(entries));
	ph_buf_puts(&r->seen, PH_STR("]}"));
}

static void see(struct fake_turn *t)
{
	struct ph_buf entries;

	ph_buf_init(&entries, FAKE_ANSWER_MAX);
	check_model(t);
	if (t->x->lane)
		check_frame(t);
	if (t->x->account->kind == FAKE_CODEX)
		check_codex(t);
	check_anchor(t);
	check_turn_state(t);
	t->context.list = t->x->record ? &entries : NULL;
	fake_context_input(&t->context, t->ask[FAKE_ASK_INPUT].value);
	fake_context_finish(&t->context);
	t->context.list = NULL;
	put_seen(t, &entries);
	ph_buf_deinit(&entries);
}

/* ---- answering ---- */

static const char filler[] = " the fast brown horse carries the mail from one house to another";

static void pad(struct ph_buf *b, size_t size)
{
	while (b->n < size) {
		size_t n = size - b->n < sizeof(filler) - 1 ? size - b->n : sizeof(filler) - 1;

		ph_buf_append(b, filler, n);
	}
}

static size_t wanted_bytes(const struct fake_do *d)
{
	if (d && d->text_bytes != FAKE_UNSET)
		return (size_t)d->text_bytes;
	if (d && d->deltas > 0 && d->delta_bytes > 0)
		return (size_t)(d->deltas * d->delta_bytes);
	return 0;
}

/* What the message says: the context seen, unless the script has other words. */
static void make_text(struct fake_turn *t)
{
	struct fake_do *d = t->todo;
	struct ph_buf b;
	char hex[65];

	ph_buf_init(&b, FAKE_BODY_MAX);
	if (d && d->text.p) {
		ph_buf_puts(&b, d->text);
	} else {
		ph_hex(hex, t->context.hash, 32);
		ph_buf_printf(&b, "seen %llu %s: ", (unsigned long long)t->context.count, hex);
		ph_buf_puts(&b, t->context.last_user);
	}
	pad(&b, wanted_bytes(d));
	t->text = ph_arena_dup(&t->x->arena, ph_buf_str(&b));
	t->output_tokens = b.n / 4 + 1;
	ph_buf_deinit(&b);
}

static bool include_has_ciphertext(const struct fake_turn *t)
{
	struct ph_str element;
	size_t offset = 0;

	if (t->ask[FAKE_ASK_INCLUDE].kind != PH_JSON_ARRAY)
		return false;
	while (ph_json_next(t->ask[FAKE_ASK_INCLUDE].value, &offset, &element))
		if (ph_json_text_is(element, PH_STR("reasoning.encrypted_content")))
			return true;
	return false;
}

static void prepare(struct fake_turn *t)
{
	struct fake_do *d = t->todo;
	bool asked = include_has_ciphertext(t);
	char tag[sizeof(t->tag)];

	fake_account_mint(t->x->account, tag, sizeof(tag));
	memcpy(t->tag, tag, sizeof(tag));
	if (FAKE_DO(d, canned, false))
		memcpy(t->x->tag, tag, sizeof(tag));
	snprintf(t->id, sizeof(t->id), "resp_%s", tag);
	if (d && d->id.p)
		ph_str_copy(t->id, sizeof(t->id), d->id);
	t->stream = t->x->lane || t->ask[FAKE_ASK_STREAM].kind == PH_JSON_TRUE;
	t->warm = t->x->lane && t->ask[FAKE_ASK_GENERATE].kind == PH_JSON_FALSE;
	t->x->account->warmups += t->warm;
	t->store = t->x->account->kind == FAKE_PLATFORM && t->ask[FAKE_ASK_STORE].kind != PH_JSON_FALSE;
	t->reasoning = FAKE_DO(d, reasoning,
		t->x->account->kind != FAKE_STATELESS &&
			(asked || t->ask[FAKE_ASK_REASONING].kind == PH_JSON_OBJECT));
	t->reasoning = t->reasoning && !t->warm;
	t->sealed = t->x->account->kind != FAKE_STATELESS && asked;
	t->created_at = ph_clock_unix_ms() / 1000;
	make_text(t);
	fake_object_members(t);
}

/* The input as a list without brackets; a string becomes the message that it stands for. */
static void keep_input(struct fake_turn *t, struct ph_buf *b)
{
	struct ph_str input = t->ask[FAKE_ASK_INPUT].value;

	if (t->ask[FAKE_ASK_INPUT].kind == PH_JSON_STRING) {
		ph_buf_puts(b, PH_STR("{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":"
				      "\"input_text\",\"text\":"));
		ph_buf_puts(b, input);
		ph_buf_puts(b, PH_STR("}]}"));
	} else if (t->ask[FAKE_ASK_INPUT].kind == PH_JSON_ARRAY) {
		fake_put_line(b, ph_str_trim(ph_str(input.p + 1, input.n - 2)));
	}
}

/* The context behind the answer. The turn's own stays before it: a steered answer is kept once more. */
static void keep_context(struct fake_turn *t, struct fake_stored *r)
{
	struct fake_context *c = &t->context;
	const struct fake_context before = *c;

	c->own = true;
	fake_context_items(c, ph_buf_str(&r->output));
	r->count = c->count;
	r->bytes = c->bytes;
	memcpy(r->hash, c->hash, sizeof(r->hash));
	c->count = before.count;
	c->bytes = before.bytes;
	memcpy(c->hash, before.hash, sizeof(c->hash));
	ph_str_copy(r->last_user, sizeof(r->last_user), c->last_user);
	r->last_user_n = c->last_user.n;
}

static void keep_in(struct fake_turn *t, struct fake_stored *r)
{
	memcpy(r->parent, t->parent, sizeof(r->parent));
	keep_input(t, &r->input);
	ph_buf_puts(&r->output, ph_buf_str(&t->output));
	ph_buf_puts(&r->object, ph_buf_str(&t->object));
	keep_context(t, r);
}

void fake_turn_keep(struct fake_turn *t)
{
	struct fake_exchange *x = t->x;
	struct fake_store *store = &x->server->store;

	if (!t->finished)
		return;
	if (x->lane) {
		fake_stored_free(x->kept);
		x->kept = fake_stored_new(x->account, ph_str_c(t->id));
		keep_in(t, x->kept);
	}
	if (t->store) {
		struct fake_stored *r = fake_store_add(store, x->account, ph_str_c(t->id));

		keep_in(t, r);
		memcpy(x->stored, r->id, sizeof(r->id));
		fake_store_added(store, r);
	}
}

static void answer_json(struct fake_turn *t)
{
	enum fake_fault fault = t->todo ? (enum fake_fault)t->todo->fault : FAKE_NO_FAULT;
	struct fake_exchange *x = t->x;

	if (fault == FAKE_ERROR || fault == FAKE_ERROR_NESTED) {
		fake_answer_scripted_error(x, 500);
		return;
	}
	ph_buf_puts(&x->play.payload, ph_buf_str(&t->object));
	fake_answer_plain(x, 200, "application/json");
}

/* The final object, and whether the turn counts as finished. Streams know that already. */
static void make_object(struct fake_turn *t)
{
	enum fake_fault fault = t->todo ? (enum fake_fault)t->todo->fault : FAKE_NO_FAULT;
	enum fake_output output =
		t->todo && t->todo->output ? (enum fake_output)t->todo->output : FAKE_OUTPUT_FULL;
	bool failed = fault == FAKE_FAILED || fault == FAKE_FAILED_BARE;

	if (!t->stream)
		t->finished = fault == FAKE_NO_FAULT || fault == FAKE_INCOMPLETE;
	fake_object_put(t, &t->object,
		failed                     ? FAKE_STATUS_FAILED
		: fault == FAKE_INCOMPLETE ? FAKE_STATUS_INCOMPLETE
					   : FAKE_COMPLETED,
		t->stream ? FAKE_OUTPUT_FULL : output);
}

/* Whether the exchange owns the turn from now on: it may have to end in another way. */
static bool hand_over(struct fake_turn *t)
{
	struct fake_exchange *x = t->x;
	int64_t steer = x->lane && t->todo ? t->todo->steer : FAKE_STEER_DEFAULT;

	if (steer != FAKE_STEER_ACCEPTED && steer != FAKE_STEER_FAILED)
		return false;
	x->steerable = t;
	return true;
}

/* Returns whether the turn is still the caller's. */
static bool answer(struct fake_turn *t)
{
	struct fake_exchange *x = t->x;
	bool mine;

	prepare(t);
	if (x->chat.on) {
		fake_chat_answer(t);
		return true;
	}
	fake_events_make(t);
	if (!t->stream || t->store || x->lane)
		make_object(t);
	fake_turn_keep(t);
	mine = !hand_over(t);
	if (t->stream)
		fake_answer(x, 200, "text/event-stream; charset=utf-8", FAKE_CHUNKED);
	else
		answer_json(t);
	return mine;
}

static void count_running(struct fake_exchange *x)
{
	struct fake_account *a = x->account;

	x->turn = true;
	a->turns++;
	if (++a->running > a->max_running)
		a->max_running = a->running;
}

/* Marker, mode and script are looked at only behind the checks, so that what was wrong is counted also where
 * a fault is the answer. Returns whether the turn is still the caller's. */
static bool go_on(struct fake_turn *t, struct ph_err *err)
{
	struct fake_exchange *x = t->x;

	if (fake_do_choose(x, t->context.user_text, FAKE_FOR_TURN, &x->todo, err)) {
		fake_answer_error(
			x, 400, "invalid_request_error", "bad_fake_script", "input", "%s", err->detail);
		return true;
	}
	t->todo = x->todo;
	if (x->lane && FAKE_DO(t->todo, deaf, false))
		x->lane->socket->deaf = true;
	if (fake_exchange_overridden(x))
		return true;
	if (!t->context.refusal.set)
		return answer(t);
	fake_answer_refusal(x, &t->context.refusal);
	return true;
}

struct fake_turn *fake_turn_free(struct fake_turn *t)
{
	if (!t)
		return NULL;
	fake_context_deinit(&t->context);
	ph_buf_deinit(&t->members);
	ph_buf_deinit(&t->output);
	ph_buf_deinit(&t->object);
	free(t);
	return NULL;
}

void fake_turn_start(struct fake_exchange *x)
{
	struct fake_turn *t;
	struct ph_err err = {0};

	count_running(x);
	if (x->chat.on)
		fake_chat_read(x);
	else if (fake_canned_answer(x))
		return;
	t = ph_alloc(sizeof(*t));
	t->x = x;
	ph_buf_init(&t->members, FAKE_BODY_MAX);
	ph_buf_init(&t->output, FAKE_ANSWER_MAX);
	ph_buf_init(&t->object, FAKE_ANSWER_MAX);
	fake_context_init(&t->context, x->account, &x->arena);
	if (ph_json_scan(x->body, ask_names, FAKE_ASK_NR, t->ask, &err)) {
		fake_refuse(&t->context, FAKE_JSON, 400, NULL, NULL,
			"We could not parse the JSON body of your request. (%s)", err.detail);
	} else {
		see(t);
	}
	if (go_on(t, &err))
		fake_turn_free(t);
}
