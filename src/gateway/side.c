/* SPDX-License-Identifier: Apache-2.0 */
#include "side.h"

#include <stdlib.h>

#define ARENA_MAX (64 * 1024 * 1024)

static void side_free(void *arg)
{
	struct ph_side *s = arg;

	ph_arena_deinit(&s->arena);
	free(s);
}

void ph_side_close(struct ph_side *s)
{
	s->x = NULL;
	ph_door_close(&s->door);
	ph_list_remove(&s->node);
	ph_loop_bury(s->g->loop, s, side_free);
}

void ph_side_error(struct ph_side *s, int code, const struct ph_err *err, uint64_t after_ms)
{
	ph_reply_error(s->g, s->x, code, err, after_ms, NULL);
	ph_side_close(s);
}

void ph_side_json(struct ph_side *s, int status, struct ph_str json)
{
	ph_reply_json(s->g, s->x, status, json);
	ph_side_close(s);
}

static void authenticated(struct ph_side *s, int result, const struct ph_err *err)
{
	if (result < 0)
		ph_side_error(s, result, err, 0);
	else if (s->admitted)
		s->admitted(s);
	else if (s->x->ops->read_body(s->x->end))
		s->ops->serve(s);
}

static void on_door(void *arg, int result, const struct ph_err *err)
{
	authenticated(arg, result, err);
}

static void on_body(void *h)
{
	struct ph_side *s = h;

	s->ops->serve(s);
}

/* The error, or where the answer has begun, its end. */
static void give_up(struct ph_side *s, int code, const struct ph_err *err)
{
	if (!s->shown) {
		ph_side_error(s, code, err, 0);
		return;
	}
	s->x->ops->abort(s->x->end);
	ph_side_close(s);
}

static void on_body_failed(void *h, int code, const struct ph_err *err)
{
	struct ph_side *s = h;

	if (s->admitted)
		s->ops->cancel(s);
	give_up(s, code, err);
}

static void on_drain(void *h)
{
	struct ph_side *s = h;

	if (s->ops->drain)
		s->ops->drain(s);
}

static void on_gone(void *h)
{
	struct ph_side *s = h;

	s->ops->cancel(s);
	ph_side_close(s);
}

static const struct ph_handler handler = {on_body, on_body_failed, on_drain, on_gone};

struct ph_side *ph_side_open(
	struct ph_gateway *g, struct ph_exchange *x, const struct ph_side_ops *ops, size_t data_size)
{
	struct ph_side *s = ph_alloc(sizeof *s);

	s->g = g;
	s->x = x;
	s->ops = ops;
	ph_arena_init(&s->arena, ARENA_MAX);
	s->data = ph_arena_alloc(&s->arena, data_size + 1);
	ph_door_init(&s->door, g, x, on_door, s);
	ph_list_push_back(&g->others, &s->node);
	x->handler = &handler;
	x->h = s;
	x->route = ops->route;
	return s;
}

void ph_side_start(struct ph_side *s)
{
	struct ph_err err = {0};
	int rc = ph_door_authenticate(&s->door, &err);

	if (rc)
		authenticated(s, rc, &err);
}

void ph_side_cut(struct ph_side *s)
{
	s->ops->cancel(s);
	give_up(s, PH_E_DRAINING, NULL);
}
