/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/list.h"

struct thing {
	char name;
	struct ph_list in;
};

static void expect(struct ph_list *head, const char *names)
{
	char is[16] = "";
	size_t n = 0;

	PH_LIST_EACH (it, head)
		is[n++] = PH_CONTAINER(it, struct thing, in)->name;
	assert_string_equal(is, names);
}

static void lists(void **state)
{
	struct thing a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
	struct ph_list head, other;

	(void)state;
	ph_list_init(&head);
	ph_list_init(&other);
	ph_list_init(&a.in);
	ph_list_init(&b.in);
	ph_list_init(&c.in);
	assert_true(ph_list_empty(&head));
	assert_null(ph_list_pop(&head));
	ph_list_push_back(&head, &b.in);
	ph_list_push_back(&head, &c.in);
	ph_list_push_front(&head, &a.in);
	expect(&head, "abc");
	ph_list_move(&a.in, &head);
	expect(&head, "bca");
	ph_list_move(&c.in, &other);
	expect(&head, "ba");
	expect(&other, "c");
	ph_list_remove(&b.in);
	ph_list_remove(&b.in);
	expect(&head, "a");
	ph_list_push_back(&head, &b.in);
	PH_LIST_EACH_SAFE (it, &head)
		ph_list_move(it, &other);
	assert_true(ph_list_empty(&head));
	expect(&other, "cab");
	assert_ptr_equal(ph_list_pop(&other), &c.in);
	assert_true(ph_list_empty(&c.in));
	expect(&other, "ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lists)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
