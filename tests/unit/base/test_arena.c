/* SPDX-License-Identifier: Apache-2.0 */
#include "ph_test.h"

#include "posthouse/arena.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
	struct ph_arena a;
	unsigned char *blocks[300];
	uint64_t seed = 1;

	(void)state;
	ph_arena_init(&a, 4u << 20);
	assert_null(a.chunks);
	for (size_t i = 0; i < PH_COUNT(blocks); i++) {
		size_t size = 1 + ph_test_below(&seed, i % 10 == 0 ? 40000 : 300);

		blocks[i] = ph_arena_alloc(&a, size);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
		for (size_t j = 0; j < size; j++)
			assert_int_equal(blocks[i][j], 0);
		memset(blocks[i], (int)(i % 255) + 1, size);
	}
	for (size_t i = 0; i < PH_COUNT(blocks); i++)
		assert_int_equal(blocks[i][0], i % 255 + 1);
	ph_arena_deinit(&a);
	ph_arena_deinit(&a);
	assert_int_equal(a.used, 0);
}

static void the_cap_holds(void **state)
{
	struct ph_arena a;
	size_t got = 0;

	(void)state;
	ph_arena_init(&a, 1000);
	while (ph_arena_alloc(&a, 10))
		got += 10;
	assert_in_range(got, 500, 1000);
	assert_true(a.used <= 1000);
	assert_null(ph_arena_alloc(&a, SIZE_MAX));
	assert_null(ph_arena_dup(&a, ph_str("x", 1)).p);
	assert_null(ph_arena_printf(&a, "%d", 1));
	ph_arena_deinit(&a);
	assert_non_null(ph_arena_alloc(&a, 900));
	ph_arena_deinit(&a);
}

static void texts_end_with_nul(void **state)
{
	struct ph_arena a;
	struct ph_str s;

	(void)state;
	ph_arena_init(&a, 1000);
	s = ph_arena_dup(&a, ph_str("abcdef", 3));
	ph_assert_str(s, PH_STR("abc"));
	assert_int_equal(s.p[3], '\0');
	s = ph_arena_dup(&a, PH_STR_NONE);
	assert_non_null(s.p);
	assert_int_equal(s.n, 0);
	assert_string_equal(ph_arena_printf(&a, "%s-%03d", "x", 7), "x-007");
	ph_arena_deinit(&a);
	assert_int_equal(ph_arena_dup(&a, PH_STR("")).n, 0);
	assert_null(a.chunks); /* an empty text costs nothing */
}

struct note {
	char *log;
	char letter;
	struct ph_arena *again;
};

static void note(void *arg)
{
	struct note *n = arg;
	size_t end = strlen(n->log);

	n->log[end] = n->letter;
	n->log[end + 1] = '\0';
	if (n->again) {
		static struct note late;

		late = (struct note){n->log, 'L', NULL};
		ph_arena_defer(n->again, note, &late);
	}
}

static void defers_run_in_reverse_once(void **state)
{
	char log[16] = "";
	struct ph_arena a;
	struct note one = {log, '1', NULL}, two = {log, '2', &a}, three = {log, '3', NULL};

	(void)state;
	ph_arena_init(&a, 0);
	ph_arena_defer(&a, note, &one);
	ph_arena_defer(&a, note, &two);
	ph_arena_defer(&a, note, &three);
	ph_arena_deinit(&a);
	assert_string_equal(log, "32L1");
	ph_arena_deinit(&a);
	assert_string_equal(log, "32L1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
		cmocka_unit_test(the_cap_holds),
		cmocka_unit_test(texts_end_with_nul),
		cmocka_unit_test(defers_run_in_reverse_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
