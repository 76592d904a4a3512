/* SPDX-License-Identifier: Apache-2.0 */
/* What every unit test includes first: cmocka with the headers that it needs before it, and the helpers of
 * the house. */
#ifndef PH_TEST_H
#define PH_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "posthouse/buf.h"
#include "posthouse/str.h"

#define PH_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/*
 * Split at every byte. `run` starts a fresh parser, feeds it the pieces in order, and appends one line per
 * event to `log`; an error is an event too. Joined slices of one body or value must be logged joined, since
 * where they were cut is not an event. `run` is called with the whole input, with every cut in two, with
 * every cut in three where the input is short, and byte by byte: all logs must equal the first. Every piece
 * is a heap block of its exact size, so that AddressSanitizer sees a read past it.
 */
void ph_test_cuts(struct ph_str input,
	void (*run)(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg), void *arg);

void ph_assert_str(struct ph_str is, struct ph_str expected); /* fails the test and shows both */

/* A seeded generator (splitmix64): the same seed gives the same test on every machine. */
uint64_t ph_test_random(uint64_t *state);
uint64_t ph_test_below(uint64_t *state, uint64_t limit);

/* Runs fn(arg) in a child process: true if the child died by a signal, as ph_die() does. Its standard error
 * is muted. */
bool ph_test_dies(void (*fn)(void *arg), void *arg);

#endif
