/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of src/continuity share: JSON that can be read in C, and chains made by hand. */
#ifndef CONTINUITY_TEST_H
#define CONTINUITY_TEST_H

#include <stdio.h>
#include <stdlib.h>

#include "continuity/continuity_priv.h"
#include "ph_test.h"

static struct ph_arena memory; /* of one test */

static inline int memory_setup(void **state)
{
	(void)state;
	ph_arena_init(&memory, SIZE_MAX);
	return 0;
}

static inline int memory_teardown(void **state)
{
	(void)state;
	ph_arena_deinit(&memory);
	return 0;
}

/* JSON with ' for ". */
static inline struct ph_str q(const char *text)
{
	struct ph_str s = ph_arena_dup(&memory, ph_str_c(text));

	for (char *p = (char *)(uintptr_t)s.p; *p; p++)
		if (*p == '\'')
			*p = '"';
	return s;
}

/* The buffer's bytes, in the test's memory; the buffer is gone. */
static inline struct ph_str take(struct ph_buf *b)
{
	struct ph_str s = ph_arena_dup(&memory, ph_buf_str(b));

	ph_buf_deinit(b);
	return s;
}

/* What an account's turn added: the client's words, and what the account made of them. */
#define CLIENT(account_id, text)  ((struct ph_chain_run){q(text), account_id, false, false, false})
#define HISTORY(account_id, text) ((struct ph_chain_run){q(text), account_id, false, false, true})
#define MINTED(account_id, text)  ((struct ph_chain_run){q(text), account_id, true, false, false})
#define STORED(account_id, text)  ((struct ph_chain_run){q(text), account_id, true, true, false})

#define CHAIN(...)                                                                                           \
	((struct ph_chain){                                                                                  \
		.runs = (struct ph_chain_run[]){__VA_ARGS__},                                                \
		.run_count = sizeof((struct ph_chain_run[]){__VA_ARGS__}) / sizeof(struct ph_chain_run),     \
	})

enum {
	A = 1,
	B = 2,
	C = 3
};

/* What a scope knows of ids, made by hand. */
#define FOUND(...)                                                                                           \
	((struct ph_found){                                                                                  \
		.items = (struct ph_found_item[]){__VA_ARGS__},                                              \
		.n = sizeof((struct ph_found_item[]){__VA_ARGS__}) / sizeof(struct ph_found_item),           \
	})
#define MADE(text, account_id) ((struct ph_found_item){.id = q(text), .account = account_id})

static inline int replay_with(const struct ph_chain *chain, struct ph_target target, struct ph_str new_items,
	const struct ph_found *found, struct ph_str *ret, struct ph_bound *bound)
{
	struct ph_buf out;
	int rc;

	ph_buf_init(&out, SIZE_MAX);
	rc = ph_chain_replay(chain, &target, new_items, found, &out, bound);
	*ret = take(&out);
	return rc;
}

static inline int replay_to(const struct ph_chain *chain, int64_t account, struct ph_str new_items,
	struct ph_str *ret, struct ph_bound *bound)
{
	return replay_with(chain, (struct ph_target){.account = account}, new_items, NULL, ret, bound);
}

/* What reaches the account. */
static inline struct ph_str replayed(const struct ph_chain *chain, int64_t account, struct ph_str new_items)
{
	struct ph_bound bound;
	struct ph_str ret;

	assert_int_equal(replay_to(chain, account, new_items, &ret, &bound), 0);
	return ret;
}

#define assert_replay(chain, account, new_items, expected)                                                   \
	ph_assert_str(replayed(chain, account, q(new_items)), q(expected))

/* The account that alone could take it, after a refusal. */
static inline int64_t refused(
	const struct ph_chain *chain, int64_t account, const char *new_items, const char *type)
{
	struct ph_bound bound = {.account = 0};
	struct ph_str ret;

	assert_int_equal(replay_to(chain, account, q(new_items), &ret, &bound), -PH_E_ACCOUNT_BOUND);
	assert_string_equal(bound.type, type);
	return bound.account;
}

#endif
