/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. Each fuzz_<name>.c is one libFuzzer entry point; linked with run_corpus.c
 * instead it is an ordinary program that runs the seeds of corpus/<name>/, so that ctest keeps every finding
 * found.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "posthouse/buf.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program, as a crash: libFuzzer keeps the input. */
#define REQUIRE(condition)                                                                                   \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

static inline uint8_t fuzz_byte(struct ph_str *s)
{
	uint8_t c = s->n > 0 ? (uint8_t)s->p[0] : 0;

	*s = ph_str_from(*s, 1);
	return c;
}

/*
 * Cuts s into heap blocks of their exact sizes: of 1 to `how` bytes, at places that the content decides.
 * Returns their number; fuzz_uncut() frees them.
 */
static inline size_t fuzz_cut(struct ph_str s, uint8_t how, struct ph_str **ret)
{
	struct ph_str *pieces = calloc(s.n + 1, sizeof(*pieces));
	uint32_t state = how;
	size_t count = 0;

	REQUIRE(pieces != NULL);
	while (s.n > 0) {
		size_t n;
		char *p;

		state = state * 1664525 + 1013904223 + (uint8_t)s.p[0];
		n = 1 + (state >> 16) % (how + 1U);
		n = n < s.n ? n : s.n;
		p = malloc(n);
		REQUIRE(p != NULL);
		memcpy(p, s.p, n);
		pieces[count++] = ph_str(p, n);
		s = ph_str_from(s, n);
	}
	*ret = pieces;
	return count;
}

static inline void fuzz_uncut(struct ph_str *pieces, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)pieces[i].p);
	free(pieces);
}

typedef void fuzz_run(const struct ph_str *pieces, size_t count, struct ph_buf *log, void *arg);

/* Both ways of feeding the same bytes say the same. */
static inline void fuzz_compare(struct ph_str s, uint8_t how, fuzz_run *run, void *whole_arg, void *cut_arg)
{
	struct ph_buf whole, cut;
	struct ph_str *pieces;
	size_t count = fuzz_cut(s, how, &pieces);

	ph_buf_init(&whole, (size_t)64 << 20);
	ph_buf_init(&cut, (size_t)64 << 20);
	run(&s, 1, &whole, whole_arg);
	run(pieces, count, &cut, cut_arg);
	if (!ph_str_eq(ph_buf_str(&whole), ph_buf_str(&cut)))
		fprintf(stderr, "whole:\n%.*s\ncut:\n%.*s\n", PH_STR_ARG(ph_buf_str(&whole)),
			PH_STR_ARG(ph_buf_str(&cut)));
	REQUIRE(ph_str_eq(ph_buf_str(&whole), ph_buf_str(&cut)));
	ph_buf_deinit(&whole);
	ph_buf_deinit(&cut);
	fuzz_uncut(pieces, count);
}

#endif
