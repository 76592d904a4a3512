/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What platform accounts keep: responses by id, bounded in number and bytes, the oldest going first. Items
 * are found through the response that their id names, so there is no second index.
 */
#include <stdlib.h>

#include "fake.h"
#include "posthouse/crypt.h"

void fake_store_init(struct fake_store *t, size_t max_count, size_t max_bytes)
{
	*t = (struct fake_store){.max_count = max_count, .max_bytes = max_bytes};
	ph_list_init(&t->by_age);
	t->buckets = ph_alloc(FAKE_BUCKETS * sizeof(*t->buckets));
	for (size_t i = 0; i < FAKE_BUCKETS; i++)
		ph_list_init(&t->buckets[i]);
}

void fake_store_deinit(struct fake_store *t)
{
	while (!ph_list_empty(&t->by_age))
		fake_store_drop(t, PH_CONTAINER(t->by_age.next, struct fake_stored, by_age));
	free(t->buckets), t->buckets = NULL;
}

static size_t stored_bytes(const struct fake_stored *r)
{
	return sizeof(*r) + r->input.cap + r->output.cap + r->object.cap + r->running.cap + r->events.cap;
}

struct fake_stored *fake_stored_new(struct fake_account *a, struct ph_str id)
{
	struct fake_stored *r = ph_alloc(sizeof(*r));

	r->account = a;
	ph_str_copy(r->id, sizeof(r->id), id);
	ph_buf_init(&r->input, FAKE_BODY_MAX);
	ph_buf_init(&r->output, FAKE_ANSWER_MAX);
	ph_buf_init(&r->object, FAKE_ANSWER_MAX);
	ph_buf_init(&r->running, FAKE_ANSWER_MAX);
	ph_buf_init(&r->events, FAKE_ANSWER_MAX);
	return r;
}

struct fake_stored *fake_stored_free(struct fake_stored *r)
{
	if (!r)
		return NULL;
	ph_buf_deinit(&r->input);
	ph_buf_deinit(&r->output);
	ph_buf_deinit(&r->object);
	ph_buf_deinit(&r->running);
	ph_buf_deinit(&r->events);
	free(r);
	return NULL;
}

static struct ph_list *bucket(struct fake_store *t, struct ph_str id)
{
	return &t->buckets[ph_hash64(id, 0) % FAKE_BUCKETS];
}

struct fake_stored *fake_store_add(struct fake_store *t, struct fake_account *a, struct ph_str id)
{
	struct fake_stored *old = fake_store_get(t, a, id);
	struct fake_stored *r = fake_stored_new(a, id);

	if (old)
		fake_store_drop(t, old);
	ph_list_push_back(&t->by_age, &r->by_age);
	ph_list_push_back(bucket(t, id), &r->in_bucket);
	t->count++;
	a->stored++;
	return r;
}

void fake_store_added(struct fake_store *t, struct fake_stored *r)
{
	t->bytes += stored_bytes(r);
	while (t->count > t->max_count || (t->bytes > t->max_bytes && t->count > 1))
		fake_store_drop(t, PH_CONTAINER(t->by_age.next, struct fake_stored, by_age));
}

void fake_store_drop(struct fake_store *t, struct fake_stored *r)
{
	t->bytes -= stored_bytes(r);
	t->count--;
	r->account->stored--;
	ph_list_remove(&r->by_age);
	ph_list_remove(&r->in_bucket);
	fake_stored_free(r);
}

struct fake_stored *fake_store_get(struct fake_store *t, const struct fake_account *a, struct ph_str id)
{
	PH_LIST_EACH (n, bucket(t, id)) {
		struct fake_stored *r = PH_CONTAINER(n, struct fake_stored, in_bucket);

		if (r->account == a && ph_str_eq(id, ph_str_c(r->id)))
			return r;
	}
	return NULL;
}

bool fake_stored_ready(const struct fake_stored *r)
{
	return !r->dead && r->ready_ms <= fake_now_ms();
}

/* Element k of a joined list, or the one with that id where k < 0. */
static bool find_item(const struct ph_buf *list, struct ph_str id, int64_t k, struct ph_str *ret)
{
	static const struct ph_str name = {"id", 2};
	struct ph_json_member m;
	struct ph_str item;
	struct ph_arena arena;
	size_t offset = 0;
	bool found = false;

	if (!list->n)
		return false;
	ph_arena_init(&arena, list->n + 64);
	char *p = ph_arena_alloc(&arena, list->n + 2);
	struct ph_str array = ph_str(p, list->n + 2);

	p[0] = '[';
	memcpy(p + 1, list->p, list->n);
	p[list->n + 1] = ']';
	while (!found && ph_json_next(array, &offset, &item)) {
		found = k < 0 ? ph_json_find(item, &name, 1, &m) && ph_json_text_is(m.value, id) : k-- == 0;
		*ret = ph_str(list->p + (item.p - p - 1), item.n);
	}
	ph_arena_deinit(&arena);
	return found;
}

bool fake_store_item(
	struct fake_store *t, const struct fake_account *a, struct ph_str item_id, struct ph_str *ret)
{
	char response[FAKE_ID_MAX];
	struct ph_buf id;
	struct ph_str rest = item_id, prefix = ph_str_split(&rest, '_'), name = ph_str_split(&rest, '_');
	struct ph_str number = ph_str_split(&rest, '_');
	const struct fake_stored *r;
	uint64_t k;

	if (!prefix.n || !rest.n)
		return false;
	ph_buf_init(&id, FAKE_ID_MAX - 1);
	ph_buf_printf(&id, "resp_%.*s_%.*s", PH_STR_ARG(name), PH_STR_ARG(number));
	ph_str_copy(response, sizeof(response), ph_buf_str(&id));
	ph_buf_deinit(&id);
	r = fake_store_get(t, a, ph_str_c(response));
	if (!r)
		return false;
	if (rest.p[0] == 'i' && ph_str_u64(ph_str_from(rest, 1), 1000000, &k))
		return find_item(&r->input, item_id, (int64_t)k, ret);
	return find_item(&r->output, item_id, -1, ret) || find_item(&r->input, item_id, -1, ret);
}
