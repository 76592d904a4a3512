/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every endpoint but the turn: stored responses and their items, models, embeddings, files, and an echo for
 * whatever else is posted, so that a relay can be tested on paths that nobody thought of.
 */
#include <stdio.h>

#include "fake.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"
#include "posthouse/url.h"

static bool method_is(const struct fake_exchange *x, const char *method)
{
	return ph_str_eq(x->head->method, ph_str_c(method));
}

static void not_found(struct fake_exchange *x)
{
	fake_answer_error(x, 404, "invalid_request_error", NULL, NULL, "Invalid URL (%.*s %.*s)",
		PH_STR_ARG(x->head->method), PH_STR_ARG(x->head->target));
}

/* ---- stored responses ---- */

static void response_not_found(struct fake_exchange *x, struct ph_str id)
{
	const struct fake_account *owner = fake_account_of_id(x->server, id);

	x->account->found[owner && owner != x->account ? FAKE_FOREIGN_RESPONSE : FAKE_UNKNOWN_RESPONSE]++;
	fake_answer_error(x, 404, "invalid_request_error", NULL, NULL, "Response with id '%.*s' not found.",
		(int)(id.n < 300 ? id.n : 300), id.p);
}

static void response_delete(struct fake_exchange *x, struct fake_stored *r)
{
	char text[FAKE_ID_MAX + 64];

	snprintf(text, sizeof(text), "{\"id\":\"%s\",\"object\":\"response\",\"deleted\":true}", r->id);
	fake_store_drop(&x->server->store, r);
	fake_answer_json(x, 200, ph_str_c(text));
}

/* One input item as the API shows it: with an id, a minted one where it came without. */
static void put_input_item(
	struct ph_buf *b, const struct fake_stored *r, struct ph_str item, size_t index, struct ph_buf *id)
{
	enum {
		ID,
		TYPE,
		NR
	};
	static const struct ph_str names[NR] = {[ID] = {"id", 2}, [TYPE] = {"type", 4}};
	struct ph_json_member m[NR];

	ph_buf_reset(id);
	if (!ph_json_find(item, names, NR, m) || m[ID].kind == PH_JSON_STRING) {
		ph_buf_puts(b, item);
		ph_buf_puts(id, m[ID].kind == PH_JSON_STRING ? ph_str(m[ID].value.p + 1, m[ID].value.n - 2)
							     : PH_STR(""));
		return;
	}
	ph_buf_printf(id, "%s_%s_i%zu", m[TYPE].kind == PH_JSON_ABSENT ? "msg" : "item",
		r->id + strlen("resp_"), index);
	ph_buf_printf(b, "{\"id\":\"%.*s\",%s", PH_STR_ARG(ph_buf_str(id)),
		m[TYPE].kind == PH_JSON_ABSENT ? "\"type\":\"message\"," : "");
	ph_buf_puts(b, ph_str_from(ph_str_trim(item), 1));
}

struct page {
	struct ph_buf data, id, first, last;
	size_t left;  /* items that still fit */
	bool started; /* `after` was passed */
	bool more;
};

static void page_add(
	struct page *p, const struct fake_stored *r, struct ph_str item, size_t index, struct ph_str after)
{
	size_t from = p->data.n;

	if (p->started && p->data.n)
		ph_buf_putc(&p->data, ',');
	put_input_item(&p->data, r, item, index, &p->id);
	if (p->started && p->left > 0) {
		if (!p->first.n)
			ph_buf_puts(&p->first, ph_buf_str(&p->id));
		ph_buf_reset(&p->last);
		ph_buf_puts(&p->last, ph_buf_str(&p->id));
		p->left--;
		return;
	}
	p->data.n = from;
	if (p->started)
		p->more = true;
	else
		p->started = ph_str_eq(after, ph_buf_str(&p->id));
}

static void page_fill(struct page *p, struct fake_exchange *x, const struct fake_stored *r, bool rising,
	struct ph_str after)
{
	char *array = ph_arena_printf(&x->arena, "[%.*s]", PH_STR_ARG(ph_buf_str(&r->input)));
	struct ph_str list = ph_str_c(array), item;
	size_t offset = 0, count = 0;
	struct ph_str *items;

	while (ph_json_next(list, &offset, &item))
		count++;
	items = ph_arena_alloc(&x->arena, (count + 1) * sizeof(*items));
	offset = 0;
	for (size_t i = 0; items && i < count && ph_json_next(list, &offset, &items[i]); i++)
		continue;
	for (size_t i = 0; items && i < count; i++) {
		size_t at = rising ? i : count - 1 - i;

		page_add(p, r, items[at], at, after);
	}
}

static void response_input_items(struct fake_exchange *x, const struct fake_stored *r)
{
	struct ph_str order = PH_STR_NONE, after = PH_STR_NONE, limit = PH_STR_NONE;
	struct page p = {.left = 20};
	uint64_t n;

	ph_query_get(x->query, PH_STR("order"), &order);
	ph_query_get(x->query, PH_STR("after"), &after);
	if (ph_query_get(x->query, PH_STR("limit"), &limit) && ph_str_u64(limit, 100, &n) && n > 0)
		p.left = n;
	p.started = !after.n;
	ph_buf_init(&p.data, FAKE_ANSWER_MAX);
	ph_buf_init(&p.id, 65536);
	ph_buf_init(&p.first, 65536);
	ph_buf_init(&p.last, 65536);
	page_fill(&p, x, r, ph_str_eq(order, PH_STR("asc")), after);
	struct ph_buf *b = &x->play.payload;
	ph_buf_puts(b, PH_STR("{\"object\":\"list\",\"data\":["));
	ph_buf_puts(b, ph_buf_str(&p.data));
	ph_buf_puts(b, PH_STR("],\"first_id\":"));
	fake_put_string(b, p.first.n ? ph_buf_str(&p.first) : PH_STR_NONE);
	ph_buf_puts(b, PH_STR(",\"last_id\":"));
	fake_put_string(b, p.last.n ? ph_buf_str(&p.last) : PH_STR_NONE);
	ph_buf_printf(b, ",\"has_more\":%s}", p.more ? "true" : "false");
	ph_buf_deinit(&p.data);
	ph_buf_deinit(&p.id);
	ph_buf_deinit(&p.first);
	ph_buf_deinit(&p.last);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* rest: "/{id}..." */
static void answer_response(struct fake_exchange *x, struct ph_str rest)
{
	struct fake_stored *r = NULL;
	struct ph_str id;

	rest = ph_str_from(rest, 1);
	id = ph_str_split(&rest, '/');
	if (x->account->kind == FAKE_PLATFORM)
		r = fake_store_get(&x->server->store, x->account, id);
	if (!r)
		response_not_found(x, id);
	else if (method_is(x, "GET") && !rest.n)
		fake_answer_json(x, 200, ph_buf_str(&r->object));
	else if (method_is(x, "DELETE") && !rest.n)
		response_delete(x, r);
	else if (method_is(x, "GET") && ph_str_eq(rest, PH_STR("input_items")))
		response_input_items(x, r);
	else if (method_is(x, "POST") && ph_str_eq(rest, PH_STR("cancel")))
		fake_answer_error(
			x, 400, "invalid_request_error", NULL, NULL, "Cannot cancel a synchronous response.");
	else
		not_found(x);
}

/* ---- models ---- */

static void put_model(struct fake_exchange *x, struct ph_buf *b, const char *id)
{
	if (x->account->kind == FAKE_CODEX)
		ph_buf_printf(b, "{\"slug\":\"%s\",\"display_name\":\"%s\"}", id, id);
	else
		ph_buf_printf(b,
			"{\"id\":\"%s\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"%s\"}", id,
			x->account->name);
}

static void answer_models(struct fake_exchange *x, struct ph_str rest)
{
	struct ph_buf *b = &x->play.payload;
	const struct fake_account *a = x->account;
	char own[FAKE_NAME_MAX + 16];
	const char *usual[] = {"gpt-fake", "gpt-fake-mini", own};

	snprintf(own, sizeof(own), "gpt-fake-%s", a->name);
	if (rest.n > 1) {
		struct ph_str id = ph_str_from(rest, 1);

		if (!fake_account_serves(a, id))
			fake_answer_error(x, 404, "invalid_request_error", "model_not_found", "model",
				"The model '%.*s' does not exist", (int)(id.n < 100 ? id.n : 100), id.p);
		else {
			put_model(x, b, ph_arena_dup(&x->arena, id).p);
			fake_answer(x, 200, "application/json", FAKE_LENGTH);
		}
		return;
	}
	ph_buf_puts(b,
		a->kind == FAKE_CODEX ? PH_STR("{\"models\":[") : PH_STR("{\"object\":\"list\",\"data\":["));
	for (size_t i = 0; i < (a->models ? a->model_count : 3); i++) {
		if (i)
			ph_buf_putc(b, ',');
		put_model(x, b, a->models ? a->models[i] : usual[i]);
	}
	ph_buf_puts(b, PH_STR("]}"));
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* ---- others ---- */

/* Eight numbers out of the input's hash. */
static void answer_embeddings(struct fake_exchange *x)
{
	struct ph_buf *b = &x->play.payload;
	uint8_t hash[32];

	ph_sha256(x->body, hash);
	ph_buf_puts(b, PH_STR("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
			      "\"embedding\":["));
	for (int i = 0; i < 8; i++)
		ph_buf_printf(b, "%s%.6f", i ? "," : "", (double)hash[i] / 255.0);
	ph_buf_printf(b,
		"]}],\"model\":\"fake-embedding\",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}",
		x->body.n / 4, x->body.n / 4);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

static void put_file(struct ph_buf *b, struct ph_str id)
{
	ph_buf_puts(b, PH_STR("{\"id\":"));
	fake_put_string(b, id);
	ph_buf_puts(b,
		PH_STR(",\"object\":\"file\",\"bytes\":1,\"created_at\":1700000000,\"filename\":\"fake.txt\","
		       "\"purpose\":\"user_data\",\"status\":\"processed\"}"));
}

/* Files are known by their name alone: whatever this account could have minted, it has. */
static void answer_files(struct fake_exchange *x, struct ph_str rest)
{
	struct fake_account *owner;
	struct ph_str id;
	char name[FAKE_ID_MAX];

	if (method_is(x, "POST") && rest.n <= 1) {
		snprintf(name, sizeof(name), "file-%s-%s%llu", x->account->name, x->server->run,
			(unsigned long long)++x->account->last_id);
		put_file(&x->play.payload, ph_str_c(name));
		fake_answer(x, 200, "application/json", FAKE_LENGTH);
		return;
	}
	rest = rest.n ? ph_str_from(rest, 1) : rest;
	id = ph_str_split(&rest, '/');
	owner = fake_account_of_id(x->server, id);
	if (!id.n) {
		fake_answer_json(x, 200, PH_STR("{\"object\":\"list\",\"data\":[],\"has_more\":false}"));
	} else if (owner != x->account) {
		x->account->found[owner ? FAKE_FOREIGN_FILE : FAKE_UNKNOWN_FILE]++;
		fake_answer_error(x, 404, "invalid_request_error", NULL, "id", "No such File object: %.*s",
			(int)(id.n < 100 ? id.n : 100), id.p);
	} else {
		put_file(&x->play.payload, id);
		fake_answer(x, 200, "application/json", FAKE_LENGTH);
	}
}

static void answer_echo(struct fake_exchange *x)
{
	struct ph_buf *b = &x->play.payload;
	uint8_t hash[32];
	char hex[65];

	ph_sha256(x->body, hash);
	ph_hex(hex, hash, sizeof(hash));
	ph_buf_puts(b, PH_STR("{\"object\":\"fake.echo\",\"account\":"));
	fake_put_string(b, ph_str_c(x->account->name));
	ph_buf_puts(b, PH_STR(",\"method\":"));
	fake_put_string(b, x->head->method);
	ph_buf_puts(b, PH_STR(",\"path\":"));
	fake_put_string(b, x->head->target);
	ph_buf_printf(b, ",\"bytes\":%zu,\"sha256\":\"%s\"}", x->body.n, hex);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* ---- the way in ---- */

static void dispatch(struct fake_exchange *x)
{
	struct ph_str rest;

	if (fake_path_under(x->path, PH_STR("/responses/input_tokens"), &rest) && method_is(x, "POST"))
		fake_answer_json(
			x, 200, PH_STR("{\"object\":\"response.input_tokens\",\"input_tokens\":11}"));
	else if (fake_path_under(x->path, PH_STR("/responses"), &rest) && rest.n > 1)
		answer_response(x, rest);
	else if (fake_path_under(x->path, PH_STR("/models"), &rest) &&
		 (method_is(x, "GET") || method_is(x, "HEAD")))
		answer_models(x, rest);
	else if (fake_path_under(x->path, PH_STR("/embeddings"), &rest) && method_is(x, "POST"))
		answer_embeddings(x);
	else if (fake_path_under(x->path, PH_STR("/files"), &rest))
		answer_files(x, rest);
	else if (method_is(x, "POST") && x->path.n > 1 && !ph_str_eq(x->path, PH_STR("/chat/completions")))
		answer_echo(x);
	else
		not_found(x);
}

void fake_rest_start(struct fake_exchange *x)
{
	struct ph_err err = {0};

	if (fake_do_choose(x, PH_STR(""), FAKE_FOR_OTHER, &x->todo, &err) || fake_exchange_overridden(x))
		return;
	dispatch(x);
}
