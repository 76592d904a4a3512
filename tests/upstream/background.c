/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses that run in the background. All of one is made at once, its stream too; until the time that its
 * script gives it (work_ms) it is shown as running, and its terminal event is held back.
 */
#include "posthouse/url.h"
#include "turn.h"

void fake_background_keep(struct fake_turn *t, bool streamed)
{
	bool dead = !t->finished;
	struct fake_stored *r;

	t->finished = true;
	fake_turn_keep(t);
	t->x->stored[0] = '\0'; /* it goes on when its peer leaves */
	r = fake_store_get(&t->x->server->store, t->x->account, ph_str_c(t->id));
	if (!r)
		return;
	r->background = true;
	r->streamed = streamed;
	r->dead = dead;
	r->ready_ms = fake_now_ms() + (double)FAKE_DO(t->todo, work_ms, 0);
	fake_object_put(t, &r->running, FAKE_IN_PROGRESS, FAKE_OUTPUT_EMPTY);
	ph_buf_puts(&r->events, ph_buf_str(&t->x->play.payload));
}

static bool is_running(const struct fake_stored *r)
{
	return r->background && r->ready_ms > fake_now_ms();
}

void fake_background_get(struct fake_exchange *x, struct fake_stored *r)
{
	fake_answer_json(x, 200, ph_buf_str(is_running(r) ? &r->running : &r->object));
}

/* ---- its stream ---- */

static bool number_of(struct ph_str unit, uint64_t *ret)
{
	static const struct ph_str mark = PH_STR_INIT("\"sequence_number\":");
	ptrdiff_t at = ph_str_find(unit, mark);
	uint64_t n = 0;

	if (at < 0)
		return false;
	for (size_t i = (size_t)at + mark.n; i < unit.n && unit.p[i] >= '0' && unit.p[i] <= '9'; i++)
		n = 10 * n + (uint64_t)(unit.p[i] - '0');
	*ret = n;
	return true;
}

static bool is_terminal(struct ph_str unit)
{
	return ph_str_find(unit, PH_STR("\"type\":\"response.completed\"")) >= 0 ||
	       ph_str_find(unit, PH_STR("\"type\":\"response.incomplete\"")) >= 0 ||
	       ph_str_find(unit, PH_STR("\"type\":\"response.failed\"")) >= 0;
}

static void put_unit(struct fake_exchange *x, const struct fake_stored *r, struct ph_str unit)
{
	double left = r->ready_ms - fake_now_ms();

	if (!is_terminal(unit) || (x->todo && x->todo->fault)) {
		ph_buf_puts(&x->play.payload, unit);
		return;
	}
	fake_play_mark(x, 0, 0);
	ph_buf_puts(&x->play.payload, unit);
	fake_play_mark(x, left > 0 ? (uint64_t)left + 1 : 0, 0);
}

void fake_background_stream(struct fake_exchange *x, struct fake_stored *r)
{
	struct ph_str rest = ph_buf_str(&r->events), value;
	uint64_t after, number;
	bool all = !ph_query_get(x->query, PH_STR("starting_after"), &value) ||
		   !ph_str_u64(value, INT64_MAX, &after);

	if (!r->background || !r->streamed) {
		fake_answer_error(x, 400, "invalid_request_error", NULL, "stream",
			"This response cannot be streamed because it was not created with background=true "
			"and stream=true.");
		return;
	}
	while (rest.n) {
		ptrdiff_t at = ph_str_find(rest, PH_STR("\n\n"));
		size_t n = at < 0 ? rest.n : (size_t)at + 2;
		struct ph_str unit = ph_str(rest.p, n);

		rest = ph_str_from(rest, n);
		if (!number_of(unit, &number) || all || number > after)
			put_unit(x, r, unit);
	}
	if (x->todo && x->todo->fault)
		fake_answer_plain(x, 200, "text/event-stream; charset=utf-8");
	else
		fake_answer(x, 200, "text/event-stream; charset=utf-8", FAKE_CHUNKED);
}

/* ---- its end by order ---- */

static void make_cancelled(struct fake_stored *r)
{
	static const struct ph_str running = PH_STR_INIT("\"status\":\"in_progress\"");
	struct ph_str object = ph_buf_str(&r->running);
	ptrdiff_t at = ph_str_find(object, running);

	if (at < 0)
		return;
	ph_buf_reset(&r->object);
	ph_buf_puts(&r->object, ph_str(object.p, (size_t)at));
	ph_buf_puts(&r->object, PH_STR("\"status\":\"cancelled\""));
	ph_buf_puts(&r->object, ph_str_from(object, (size_t)at + running.n));
	r->dead = true;
	r->ready_ms = 0;
}

void fake_background_cancel(struct fake_exchange *x, struct fake_stored *r)
{
	if (!r->background) {
		fake_answer_error(
			x, 400, "invalid_request_error", NULL, NULL, "Cannot cancel a synchronous response.");
		return;
	}
	if (is_running(r))
		make_cancelled(r);
	fake_answer_json(x, 200, ph_buf_str(&r->object));
}
