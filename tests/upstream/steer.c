/* SPDX-License-Identifier: Apache-2.0 */
/*
 * response.steer, as far as a script wants it. Accepted: what of the running answer has not left is thrown
 * away, it ends as incomplete with the items that were finished, and a turn with the new input follows it
 * without having been asked for.
 */
#include "socket.h"
#include "turn.h"

/* ---- refusals ---- */

static void say_failed(struct fake_socket *s, const struct fake_lane *l, const struct ph_json_member *m,
	struct ph_str code, struct ph_str message)
{
	const struct ph_json_member *previous = &m[FAKE_FRAME_PREVIOUS], *input = &m[FAKE_FRAME_INPUT];
	struct ph_buf b;

	ph_buf_init(&b, FAKE_BODY_MAX);
	ph_buf_puts(&b, PH_STR("{\"type\":\"response.steer.failed\","));
	if (l && l->id[0])
		ph_buf_printf(&b, "\"stream_id\":\"%s\",", l->id);
	ph_buf_puts(&b, PH_STR("\"error\":{\"type\":\"invalid_request_error\",\"code\":"));
	fake_put_string(&b, code);
	ph_buf_puts(&b, PH_STR(",\"message\":"));
	fake_put_string(&b, message);
	ph_buf_puts(&b, PH_STR("},\"steer\":{\"previous_response_id\":"));
	fake_put_line(&b, previous->kind ? previous->value : PH_STR("null"));
	ph_buf_puts(&b, PH_STR(",\"input\":"));
	fake_put_line(&b, input->kind ? input->value : PH_STR("null"));
	ph_buf_puts(&b, PH_STR("}}"));
	fake_socket_say(s, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

/* ---- accepted ---- */

/* The first `count` elements of a joined list. */
static void keep_items(struct ph_buf *list, size_t count)
{
	struct ph_str item, all = ph_buf_str(list);
	size_t offset = 0, end = 0;

	while (count > 0 && ph_json_next_bare(all, &offset, NULL, &item)) {
		end = (size_t)(item.p + item.n - all.p);
		count--;
	}
	list->n = end;
}

/* Forgets what has not left, from the next message on. */
static void truncate_play(struct fake_play *p)
{
	const struct fake_step *last = &p->steps[p->step - 1];

	p->step_count = p->step;
	p->wire.n = last->end;
	p->payload.n = last->made;
	p->terminal = p->step_count + 2;
	p->waited = false;
	p->ending = FAKE_KEEP;
	p->progress = last->progress;
}

static void put_accepted(struct fake_exchange *x, const struct fake_turn *t)
{
	struct ph_buf b;

	ph_buf_init(&b, 4096);
	ph_buf_printf(&b,
		"{\"type\":\"response.steer.accepted\",\"steer\":{\"id\":\"steer_%s\","
		"\"previous_response_id\":\"%s\"}}",
		t->tag, t->id);
	fake_frame_put(x, ph_buf_str(&b));
	fake_play_mark(x, 0, 0);
	ph_buf_deinit(&b);
}

static void put_incomplete(struct fake_exchange *x, struct fake_turn *t)
{
	struct ph_buf b;

	ph_buf_init(&b, FAKE_ANSWER_MAX);
	ph_buf_printf(&b, "{\"type\":\"response.incomplete\",\"sequence_number\":%llu,\"response\":",
		(unsigned long long)x->play.progress.number);
	fake_object_put(t, &b, FAKE_STATUS_INCOMPLETE,
		x->account->kind == FAKE_CODEX ? FAKE_OUTPUT_EMPTY : FAKE_OUTPUT_FULL);
	ph_buf_putc(&b, '}');
	fake_frame_put(x, ph_buf_str(&b));
	fake_play_mark(x, 0, 0);
	ph_buf_deinit(&b);
}

/* The create that the client did not send: its last one, with the new input behind what was said. */
static void put_successor(
	struct fake_exchange *x, const struct fake_turn *t, const struct ph_json_member *input)
{
	struct ph_buf *b = &x->next;
	struct ph_str name, value;
	size_t offset = 0;

	ph_buf_printf(b, "{\"type\":\"response.create\",\"previous_response_id\":\"%s\",\"input\":", t->id);
	if (input->kind == PH_JSON_STRING)
		ph_buf_printf(b, "[{\"type\":\"message\",\"role\":\"user\",\"content\":%.*s}]",
			PH_STR_ARG(input->value));
	else
		fake_put_line(b, input->value);
	while (fake_member_next(x->body, &offset, &name, &value)) {
		if (ph_str_eq(name, PH_STR("type")) || ph_str_eq(name, PH_STR("input")) ||
			ph_str_eq(name, PH_STR("previous_response_id")))
			continue;
		ph_buf_printf(b, ",\"%.*s\":", PH_STR_ARG(name));
		fake_put_line(b, value);
	}
	ph_buf_putc(b, '}');
}

static void accept_steer(struct fake_exchange *x, const struct ph_json_member *input)
{
	struct fake_turn *t = x->steerable;
	struct fake_play *p = &x->play;
	size_t from;

	truncate_play(p);
	from = p->step_count;
	keep_items(&t->output, p->progress.items);
	t->reason = "steered";
	t->finished = true;
	put_accepted(x, t);
	put_incomplete(x, t);
	fake_frames_put(x, from);
	put_successor(x, t, input);
	ph_buf_reset(&t->object);
	fake_object_put(t, &t->object, FAKE_STATUS_INCOMPLETE, FAKE_OUTPUT_FULL);
	fake_turn_keep(t);
	if (p->waits == FAKE_WAITS_DELAY) {
		ph_timer_stop(&p->timer);
		p->waits = FAKE_WAITS_NOT;
	}
	fake_play_run(x);
}

/* ---- the frame ---- */

static struct fake_exchange *running(const struct fake_socket *s, struct ph_str quoted)
{
	PH_LIST_EACH (n, &s->lanes) {
		struct fake_exchange *x = PH_CONTAINER(n, struct fake_lane, node)->x;

		if (x && x->steerable && ph_json_text_is(quoted, ph_str_c(x->steerable->id)))
			return x;
	}
	return NULL;
}

static bool remembered(const struct fake_socket *s, struct ph_str quoted)
{
	PH_LIST_EACH (n, &s->lanes) {
		const struct fake_stored *r = PH_CONTAINER(n, struct fake_lane, node)->last;

		if (r && ph_json_text_is(quoted, ph_str_c(r->id)))
			return true;
	}
	return false;
}

/* Nothing of it has left, its terminal event has, or a fault has begun to end the connection. */
static bool too_late(const struct fake_exchange *x)
{
	const struct fake_play *p = &x->play;

	return p->step < 2 || p->waits == FAKE_WAITS_FLUSH || p->steps[p->step - 1].lacks ||
	       (p->terminal && p->step >= p->terminal);
}

static void steer_running(struct fake_exchange *x, const struct ph_json_member m[FAKE_FRAME_NR])
{
	const struct ph_json_member *input = &m[FAKE_FRAME_INPUT];
	struct fake_lane *l = x->lane;
	struct fake_do *d = x->todo;

	if (d->steer == FAKE_STEER_FAILED)
		say_failed(l->socket, l, m, d->code.p ? d->code : PH_STR("steering_not_supported"),
			d->message.p ? d->message : PH_STR("Steering is not supported."));
	else if (input->kind != PH_JSON_STRING && input->kind != PH_JSON_ARRAY)
		say_failed(l->socket, l, m, PH_STR("invalid_input"), PH_STR("The input is no message."));
	else if (too_late(x))
		say_failed(l->socket, l, m, PH_STR("response_not_active"),
			PH_STR("The response cannot be steered any more."));
	else
		accept_steer(x, input);
}

void fake_steer_message(struct fake_socket *s, const struct ph_json_member m[FAKE_FRAME_NR])
{
	const struct ph_json_member *previous = &m[FAKE_FRAME_PREVIOUS];
	const struct fake_do *standing = s->account->standing;
	struct fake_exchange *x = running(s, previous->value);

	if (x)
		steer_running(x, m);
	else if (!standing || !standing->steer || standing->steer == FAKE_STEER_UNSUPPORTED)
		fake_lane_refuse(s, "", "invalid_value", "type", "Unknown type of frame: 'response.steer'.");
	else if (remembered(s, previous->value))
		say_failed(s, NULL, m, PH_STR("response_already_completed"),
			PH_STR("The response is completed already."));
	else
		say_failed(s, NULL, m, PH_STR("response_not_found"), PH_STR("There is no such response."));
}
