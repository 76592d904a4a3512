/* SPDX-License-Identifier: Apache-2.0 */
/* A turn's body, read from text. */
#ifndef BODY_TEST_H
#define BODY_TEST_H

#include "gateway/request_priv.h"

struct world {
	struct ph_arena arena;
	struct ph_turn_body b;
	struct ph_err err;
	int rc;
};

static void read_body(struct world *w, struct ph_str text)
{
	memset(w, 0, sizeof *w);
	ph_arena_init(&w->arena, 1 << 20);
	ph_buf_init(&w->b.buf, 1 << 20);
	ph_buf_puts(&w->b.buf, text);
	w->rc = ph_turn_body_read(&w->b, &w->arena, &w->err);
}

static void done(struct world *w)
{
	ph_turn_body_free(&w->b);
	ph_arena_deinit(&w->arena);
}

#endif
