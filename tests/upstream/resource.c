/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a platform account keeps besides responses: files, conversations, vector stores, containers, batches,
 * uploads ... Each is a small JSON object in a collection; what stands behind it (items, files, parts) is an
 * object whose parent it is. README.md says what each of them does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fake.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"
#include "posthouse/url.h"

#define OBJECT_MAX ((size_t)64 << 20)
#define LIMIT_MAX  10000

/* Owner: the server's list. */
struct fake_resource {
	struct ph_list node;
	struct fake_account *account;
	struct fake_resource *parent; /* NULL: of a collection of its own */
	const struct kind *kind;
	char id[FAKE_ID_MAX];
	struct ph_buf
		members; /* of its object, behind id, object and created_at: each with a comma before it */
	struct ph_buf content; /* of a file */
};

static const struct kind {
	struct ph_str path, under; /* the collection; and behind the id of one of it */
	const char *prefix, *object;
} kinds[] = {
	{PH_STR_INIT("files"), {NULL, 0}, "file-", "file"},
	{PH_STR_INIT("batches"), {NULL, 0}, "batch_", "batch"},
	{PH_STR_INIT("vector_stores"), {NULL, 0}, "vs_", "vector_store"},
	{PH_STR_INIT("containers"), {NULL, 0}, "cntr_", "container"},
	{PH_STR_INIT("conversations"), {NULL, 0}, "conv_", "conversation"},
	{PH_STR_INIT("uploads"), {NULL, 0}, "upload_", "upload"},
	{PH_STR_INIT("evals"), {NULL, 0}, "eval_", "eval"},
	{PH_STR_INIT("fine_tuning/jobs"), {NULL, 0}, "ftjob_", "fine_tuning.job"},
	{PH_STR_INIT("chat/completions"), {NULL, 0}, "chatcmpl-", "chat.completion"},
	{PH_STR_INIT("conversations"), PH_STR_INIT("items"), "msg_", "conversation.item"},
	{PH_STR_INIT("vector_stores"), PH_STR_INIT("files"), "vsf_", "vector_store.file"},
	{PH_STR_INIT("containers"), PH_STR_INIT("files"), "cfile_", "container.file"},
	{PH_STR_INIT("uploads"), PH_STR_INIT("parts"), "part_", "upload.part"},
};
enum {
	FILES,
	BATCHES,
	VECTOR_STORES,
	CONTAINERS,
	CONVERSATIONS,
	UPLOADS,
	EVALS,
	JOBS,
	CHATS,
	ITEMS,
	STORE_FILES,
	CONTAINER_FILES,
	PARTS,
	KINDS
};

static bool method_is(const struct fake_exchange *x, const char *method)
{
	return ph_str_eq(x->head->method, ph_str_c(method));
}

/* ---- the objects ---- */

static struct fake_resource *resource_new(
	struct fake_account *a, const struct kind *kind, struct fake_resource *parent)
{
	struct fake_resource *r = ph_alloc(sizeof(*r));
	char number[64];

	snprintf(number, sizeof(number), "%s%08llx", a->server->run, (unsigned long long)++a->last_id);
	r->account = a;
	r->kind = kind;
	r->parent = parent;
	snprintf(r->id, sizeof(r->id), "%s%s%c%s%s", kind->prefix, a->name,
		kind->prefix[strlen(kind->prefix) - 1], kind == &kinds[ITEMS] ? "c" : "", number);
	ph_buf_init(&r->members, OBJECT_MAX);
	ph_buf_init(&r->content, OBJECT_MAX);
	ph_list_push_back(&a->server->resources, &r->node);
	return r;
}

static void resource_free(struct fake_resource *r)
{
	ph_list_remove(&r->node);
	ph_buf_deinit(&r->members);
	ph_buf_deinit(&r->content);
	free(r);
}

/* With what stands behind it. */
static void resource_drop(struct fake_server *s, struct fake_resource *r)
{
	PH_LIST_EACH_SAFE (it, &s->resources) {
		struct fake_resource *child = PH_CONTAINER(it, struct fake_resource, node);

		if (child->parent == r)
			resource_free(child);
	}
	resource_free(r);
}

void fake_resources_free(struct fake_server *s)
{
	while (!ph_list_empty(&s->resources))
		resource_free(PH_CONTAINER(s->resources.next, struct fake_resource, node));
}

static struct fake_resource *find(const struct fake_exchange *x, const struct kind *kind,
	const struct fake_resource *parent, struct ph_str id)
{
	PH_LIST_EACH (it, &x->server->resources) {
		struct fake_resource *r = PH_CONTAINER(it, struct fake_resource, node);

		if (r->account == x->account && r->kind == kind && r->parent == parent &&
			ph_str_eq(id, ph_str_c(r->id)))
			return r;
	}
	return NULL;
}

static void put(struct ph_buf *b, const struct fake_resource *r)
{
	ph_buf_printf(b, "{\"id\":\"%s\"", r->id);
	if (r->kind != &kinds[ITEMS])
		ph_buf_printf(b, ",\"object\":\"%s\",\"created_at\":%llu", r->kind->object, 1700000000ULL);
	ph_buf_puts(b, ph_buf_str(&r->members));
	ph_buf_putc(b, '}');
}

static void answer_one(struct fake_exchange *x, const struct fake_resource *r)
{
	put(&x->play.payload, r);
	fake_answer_plain(x, 200, "application/json");
}

/* Members of the request's object, but those that are the resource's own. */
static void take_members(struct fake_resource *r, struct ph_str object)
{
	struct ph_str name, value;
	size_t at = 0;

	if (ph_json_kind(ph_str_trim(object)) != PH_JSON_OBJECT)
		return;
	while (fake_member_next(object, &at, &name, &value))
		if (!ph_str_eq(name, PH_STR("id")) && !ph_str_eq(name, PH_STR("object")) &&
			!ph_str_eq(name, PH_STR("items")))
			ph_buf_printf(&r->members, ",\"%.*s\":%.*s", PH_STR_ARG(name), PH_STR_ARG(value));
}

/* ---- what they name ---- */

static bool refuse_file(struct fake_exchange *x, struct ph_str id)
{
	const struct fake_account *owner = fake_account_of_id(x->server, id);

	if (owner == x->account)
		return false;
	x->account->found[owner ? FAKE_FOREIGN_FILE : FAKE_UNKNOWN_FILE]++;
	fake_answer_error(x, 404, "invalid_request_error", NULL, NULL, "No such File object: %.*s",
		(int)(id.n < 100 ? id.n : 100), id.p);
	return true;
}

/* Whether a file that the request names is not this account's, which then is the answer. */
static bool names_badly(struct fake_exchange *x)
{
	static const struct ph_str names[] = {PH_STR_INIT("input_file_id"), PH_STR_INIT("file_id"),
		PH_STR_INIT("training_file"), PH_STR_INIT("file_ids")};
	struct ph_json_member m[4];
	struct ph_str element, id;
	size_t at = 0;

	if (ph_json_check(x->body, NULL) || !ph_json_find(x->body, names, 4, m))
		return false;
	for (size_t i = 0; i < 3; i++)
		if (m[i].kind == PH_JSON_STRING && ph_json_text(m[i].value, &x->arena, &id) &&
			refuse_file(x, id))
			return true;
	while (m[3].kind == PH_JSON_ARRAY && ph_json_next(m[3].value, &at, &element))
		if (ph_json_text(element, &x->arena, &id) && refuse_file(x, id))
			return true;
	return false;
}

/* ---- forms ---- */

/* A field of a form, as the bytes between its head and the next boundary. */
static struct ph_str field(struct ph_str body, const char *name)
{
	char head[64];
	ptrdiff_t at, from, to;
	struct ph_str rest;

	snprintf(head, sizeof(head), "name=\"%s\"", name);
	at = ph_str_find(body, ph_str_c(head));
	if (at < 0)
		return PH_STR_NONE;
	rest = ph_str_from(body, (size_t)at);
	from = ph_str_find(rest, PH_STR("\r\n\r\n"));
	rest = ph_str_from(rest, from < 0 ? rest.n : (size_t)from + 4);
	to = ph_str_find(rest, PH_STR("\r\n--"));
	return to < 0 ? rest : ph_str(rest.p, (size_t)to);
}

static void file_made(struct fake_resource *r, struct ph_str purpose, struct ph_str content)
{
	uint8_t hash[32];
	char hex[65];

	ph_sha256(content, hash);
	ph_hex(hex, hash, sizeof(hash));
	ph_buf_puts(&r->content, content);
	ph_buf_printf(&r->members,
		",\"bytes\":%zu,\"sha256\":\"%s\",\"filename\":\"fake.txt\",\"status\":\"processed\"",
		content.n, hex);
	ph_buf_puts(&r->members, PH_STR(",\"purpose\":"));
	fake_put_string(&r->members, purpose.n ? purpose : PH_STR("user_data"));
}

/* ---- making ---- */

static void batch_made(struct fake_resource *r)
{
	struct fake_resource *out = resource_new(r->account, &kinds[FILES], NULL);

	file_made(out, PH_STR("batch_output"), PH_STR("{\"fake\":\"batch\"}\n"));
	ph_buf_printf(&r->members,
		",\"status\":\"completed\",\"output_file_id\":\"%s\",\"error_file_id\":null", out->id);
}

static void add_item(struct fake_resource *conversation, struct ph_str item)
{
	struct fake_resource *r = resource_new(conversation->account, &kinds[ITEMS], conversation);
	static const struct ph_str type = PH_STR_INIT("type"), id = PH_STR_INIT("id");
	struct ph_json_member m;
	char given[FAKE_ID_MAX] = "";

	if (ph_json_find(item, &id, 1, &m) && m.kind == PH_JSON_STRING)
		ph_str_copy(given, sizeof(given), ph_str(m.value.p + 1, m.value.n - 2));
	if (given[0])
		memcpy(r->id, given, sizeof(r->id));
	if (ph_json_find(item, &type, 1, &m) && m.kind == PH_JSON_ABSENT)
		ph_buf_puts(&r->members, PH_STR(",\"type\":\"message\""));
	take_members(r, item);
}

void fake_conversation_add(struct fake_resource *conversation, struct ph_str items)
{
	struct ph_str item;
	size_t at = 0;

	while (ph_json_next_bare(items, &at, NULL, &item))
		add_item(conversation, item);
}

static void conversation_made(struct fake_exchange *x, struct fake_resource *r)
{
	static const struct ph_str name = PH_STR_INIT("items");
	struct ph_json_member m;

	if (!ph_json_check(x->body, NULL) && ph_json_find(x->body, &name, 1, &m) && m.kind == PH_JSON_ARRAY)
		fake_conversation_add(r, ph_str(m.value.p + 1, m.value.n - 2));
}

static void create(struct fake_exchange *x, const struct kind *kind, struct fake_resource *parent)
{
	struct fake_resource *r;

	if (names_badly(x))
		return;
	r = resource_new(x->account, kind, parent);
	if (kind == &kinds[FILES])
		file_made(r, field(x->body, "purpose"), field(x->body, "file"));
	else if (kind == &kinds[PARTS])
		ph_buf_puts(&r->content, field(x->body, "data"));
	else if (!ph_json_check(x->body, NULL))
		take_members(r, x->body);
	if (kind == &kinds[BATCHES])
		batch_made(r);
	if (kind == &kinds[CONVERSATIONS])
		conversation_made(x, r);
	answer_one(x, r);
}

/* ---- lists ---- */

static void put_id(struct ph_buf *b, const char *name, const struct fake_resource *r)
{
	ph_buf_printf(b, ",\"%s\":", name);
	fake_put_string(b, r ? ph_str_c(r->id) : PH_STR_NONE);
}

static bool is_listed(const struct fake_exchange *x, const struct fake_resource *r, const struct kind *kind,
	const struct fake_resource *parent)
{
	return r->account == x->account && r->kind == kind && r->parent == parent;
}

static void answer_list(struct fake_exchange *x, const struct kind *kind, const struct fake_resource *parent)
{
	struct ph_str order = PH_STR_NONE, after = PH_STR_NONE, limit = PH_STR_NONE;
	const struct fake_resource *first = NULL, *last = NULL;
	struct ph_buf *b = &x->play.payload;
	uint64_t left = 20;
	bool rising, started, more = false;

	ph_query_get(x->query, PH_STR("order"), &order);
	ph_query_get(x->query, PH_STR("after"), &after);
	if (ph_query_get(x->query, PH_STR("limit"), &limit) && !ph_str_u64(limit, LIMIT_MAX, &left))
		left = 20;
	rising = ph_str_eq(order, PH_STR("asc"));
	started = after.n == 0;
	ph_buf_puts(b, PH_STR("{\"object\":\"list\",\"data\":["));
	for (struct ph_list *it = rising ? x->server->resources.next : x->server->resources.prev;
		it != &x->server->resources; it = rising ? it->next : it->prev) {
		const struct fake_resource *r = PH_CONTAINER(it, struct fake_resource, node);

		if (!is_listed(x, r, kind, parent))
			continue;
		if (!started) {
			started = ph_str_eq(after, ph_str_c(r->id));
			continue;
		}
		if (left == 0) {
			more = true;
			break;
		}
		if (first)
			ph_buf_putc(b, ',');
		else
			first = r;
		put(b, r);
		last = r;
		left--;
	}
	ph_buf_putc(b, ']');
	put_id(b, "first_id", first);
	put_id(b, "last_id", last);
	ph_buf_printf(b, ",\"has_more\":%s}", more ? "true" : "false");
	fake_answer_plain(x, 200, "application/json");
}

/* ---- one of them ---- */

static void answer_unknown(struct fake_exchange *x, const struct kind *kind, struct ph_str id)
{
	const struct fake_account *owner = fake_account_of_id(x->server, id);

	x->account->found[owner && owner != x->account ? FAKE_FOREIGN_FILE : FAKE_UNKNOWN_FILE]++;
	fake_answer_error(x, 404, "invalid_request_error", NULL, NULL, "No such %s object: %.*s",
		kind->object, (int)(id.n < 100 ? id.n : 100), id.p);
}

static void delete(struct fake_exchange *x, struct fake_resource *r)
{
	ph_buf_printf(&x->play.payload, "{\"id\":\"%s\",\"object\":\"%s%s\",\"deleted\":true}", r->id,
		r->kind->object, r->kind == &kinds[FILES] ? "" : ".deleted");
	resource_drop(x->server, r);
	fake_answer_plain(x, 200, "application/json");
}

/* The parts in their order are the file. */
static void upload_complete(struct fake_exchange *x, struct fake_resource *upload)
{
	struct fake_resource *file = resource_new(x->account, &kinds[FILES], NULL);
	struct ph_buf content;

	ph_buf_init(&content, OBJECT_MAX);
	PH_LIST_EACH (it, &x->server->resources) {
		const struct fake_resource *r = PH_CONTAINER(it, struct fake_resource, node);

		if (r->parent == upload)
			ph_buf_puts(&content, ph_buf_str(&r->content));
	}
	file_made(file, PH_STR_NONE, ph_buf_str(&content));
	ph_buf_deinit(&content);
	ph_buf_puts(&upload->members, PH_STR(",\"status\":\"completed\",\"file\":"));
	put(&upload->members, file);
	answer_one(x, upload);
}

/* Behind a resource: what it holds. rest: "items", "items/ID" ... */
static bool answer_under(
	struct fake_exchange *x, const struct kind *of, struct fake_resource *parent, struct ph_str rest)
{
	struct ph_str name = ph_str_split(&rest, '/');
	struct fake_resource *r;

	for (size_t i = ITEMS; i < KINDS; i++) {
		const struct kind *kind = &kinds[i];

		if (!ph_str_eq(kind->path, of->path) || !ph_str_eq(kind->under, name))
			continue;
		r = rest.n ? find(x, kind, parent, rest) : NULL;
		if (rest.n && !r)
			answer_unknown(x, kind, rest);
		else if (r && method_is(x, "DELETE"))
			delete (x, r);
		else if (r)
			answer_one(x, r);
		else if (method_is(x, "GET"))
			answer_list(x, kind, parent);
		else if (kind == &kinds[ITEMS]) {
			conversation_made(x, parent);
			answer_list(x, kind, parent);
		} else
			create(x, kind, parent);
		return true;
	}
	return false;
}

static bool answer_behind(struct fake_exchange *x, struct fake_resource *r, struct ph_str rest)
{
	if (r->kind == &kinds[FILES] && ph_str_eq(rest, PH_STR("content"))) {
		ph_buf_puts(&x->play.payload, ph_buf_str(&r->content));
		fake_answer_plain(x, 200, "application/octet-stream");
		return true;
	}
	if (r->kind == &kinds[UPLOADS] && ph_str_eq(rest, PH_STR("complete"))) {
		upload_complete(x, r);
		return true;
	}
	if (ph_str_eq(rest, PH_STR("cancel")) ||
		(r->kind == &kinds[CHATS] && ph_str_eq(rest, PH_STR("messages")))) {
		answer_one(x, r);
		return true;
	}
	return answer_under(x, r->kind, r, rest);
}

/* A chat that was asked to be kept: what was said, and its messages behind it. */
void fake_chat_keep(struct fake_exchange *x, const char *id, struct ph_str members)
{
	struct fake_resource *r = resource_new(x->account, &kinds[CHATS], NULL);

	snprintf(r->id, sizeof(r->id), "%s", id);
	ph_buf_puts(&r->members, members);
}

bool fake_resource_answer(struct fake_exchange *x)
{
	for (size_t i = 0; i < ITEMS && x->account->kind == FAKE_PLATFORM; i++) {
		struct fake_resource *r;
		struct ph_str rest, id;
		char path[64];

		snprintf(path, sizeof(path), "/%.*s", PH_STR_ARG(kinds[i].path));
		if (!fake_path_under(x->path, ph_str_c(path), &rest))
			continue;
		rest = ph_str_from(rest, 1);
		id = ph_str_split(&rest, '/');
		r = find(x, &kinds[i], NULL, id);
		if (!id.n && i == CHATS && method_is(x, "POST"))
			return false; /* a turn, where the account has it */
		if (!id.n && method_is(x, "POST"))
			create(x, &kinds[i], NULL);
		else if (!id.n)
			answer_list(x, &kinds[i], NULL);
		else if (!r)
			answer_unknown(x, &kinds[i], id);
		else if (rest.n)
			return answer_behind(x, r, rest);
		else if (method_is(x, "DELETE"))
			delete (x, r);
		else
			answer_one(x, r);
		return true;
	}
	return false;
}

/* ---- conversations in turns ---- */

struct fake_resource *fake_conversation(struct fake_exchange *x, struct ph_str id)
{
	return find(x, &kinds[CONVERSATIONS], NULL, id);
}

void fake_conversation_put(
	struct fake_exchange *x, const struct fake_resource *conversation, struct ph_buf *items)
{
	PH_LIST_EACH (it, &x->server->resources) {
		const struct fake_resource *r = PH_CONTAINER(it, struct fake_resource, node);

		if (r->parent != conversation)
			continue;
		if (items->n)
			ph_buf_putc(items, ',');
		put(items, r);
	}
}
