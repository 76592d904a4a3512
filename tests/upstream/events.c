/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stream of a turn: events in the order that OpenAI sends them, in the look that the script wants, up to
 * the point where the script lets it fail. Without streaming nothing is emitted, and what stays is the list
 * of items.
 */
#include <stdlib.h>

#include "socket.h"
#include "turn.h"

static void strike(struct fake_emitter *e);

/* ---- one event ---- */

static struct ph_str line_end(const struct fake_do *d)
{
	int64_t which = d ? d->line_end - 1 : FAKE_LF;

	return which == FAKE_CRLF ? PH_STR("\r\n") : which == FAKE_CR ? PH_STR("\r") : PH_STR("\n");
}

static void put_event(struct fake_emitter *e, struct ph_str type, struct ph_str json)
{
	struct ph_buf *b = &e->play->payload;
	struct ph_str nl = line_end(e->d);

	if (e->t->x->lane) {
		fake_frame_put(e->t->x, json);
		return;
	}
	if (FAKE_DO(e->d, comments, false)) {
		ph_buf_printf(b, ": comment %llu", (unsigned long long)e->emitted);
		ph_buf_puts(b, nl);
	}
	if (!FAKE_DO(e->d, no_event, false)) {
		ph_buf_puts(b, PH_STR("event: "));
		ph_buf_puts(b, type);
		ph_buf_puts(b, nl);
	}
	if (FAKE_DO(e->d, pretty, false)) {
		fake_put_pretty(b, json, nl, PH_STR("data: "));
	} else {
		ph_buf_puts(b, PH_STR("data: "));
		ph_buf_puts(b, json);
	}
	ph_buf_puts(b, nl);
	ph_buf_puts(b, nl);
}

static bool is_skipped(const struct fake_emitter *e, struct ph_str type)
{
	struct ph_str element;
	size_t offset = 0;

	if (!e->d || !e->d->skip.p)
		return false;
	while (ph_json_next(e->d->skip, &offset, &element))
		if (ph_json_text_is(element, type))
			return true;
	return false;
}

void fake_event_progress(struct fake_emitter *e)
{
	struct fake_play *p = e->play;

	p->progress = (struct fake_progress){e->t->items, e->number};
	p->steps[p->step_count - 1].progress = p->progress;
}

static void emit(struct fake_emitter *e, struct ph_str type, struct ph_str json)
{
	static const struct ph_str mark = {"\"fake_ns\":\"", 11};
	size_t from = e->play->payload.n, stamp = 0;

	if (e->stopped || !e->t->stream || is_skipped(e, type))
		return;
	put_event(e, type, json);
	if (FAKE_DO(e->d, stamp, false)) {
		ptrdiff_t at = ph_str_find(ph_str_from(ph_buf_str(&e->play->payload), from), mark);

		stamp = at < 0 ? 0 : from + (size_t)at + mark.n;
	}
	fake_play_mark(e->t->x, e->delay_ms, stamp);
	e->delay_ms = 0;
	e->number++;
	e->emitted++;
	fake_event_progress(e);
	if (e->d && e->d->at_event != FAKE_UNSET && (int64_t)e->emitted == e->d->at_event)
		strike(e);
}

bool fake_event_begin(struct fake_emitter *e, const char *type)
{
	if (e->stopped || !e->t->stream)
		return false;
	ph_buf_reset(&e->event);
	ph_buf_puts(&e->event, PH_STR("{\"type\":\""));
	ph_buf_puts(&e->event, ph_str_c(type));
	ph_buf_printf(&e->event, "\",\"sequence_number\":%llu", (unsigned long long)e->number);
	return true;
}

void fake_event_finish(struct fake_emitter *e, const char *type)
{
	ph_buf_putc(&e->event, '}');
	emit(e, ph_str_c(type), ph_buf_str(&e->event));
}

static void emit_lifecycle(
	struct fake_emitter *e, const char *type, enum fake_status status, enum fake_output output)
{
	if (!fake_event_begin(e, type))
		return;
	ph_buf_puts(&e->event, PH_STR(",\"response\":"));
	fake_object_put(e->t, &e->event, status, output);
	fake_event_finish(e, type);
}

/* Events of the script: objects are events under their own type, strings go out as they are. */
static void emit_scripted(struct fake_emitter *e, struct ph_str events)
{
	static const struct ph_str name = {"type", 4};
	struct ph_json_member type;
	struct ph_str event, text;
	size_t offset = 0;

	if (!events.p || e->stopped || !e->t->stream)
		return;
	while (ph_json_next(events, &offset, &event)) {
		if (ph_json_kind(event) == PH_JSON_STRING && ph_json_text(event, &e->t->x->arena, &text)) {
			ph_buf_puts(&e->play->payload, text);
			if (e->t->x->lane)
				ph_buf_putc(&e->play->payload, '\n');
			fake_play_mark(e->t->x, e->delay_ms, 0);
			e->delay_ms = 0;
			continue;
		}
		if (!ph_json_find(event, &name, 1, &type) ||
			!ph_json_text(type.value, &e->t->x->arena, &text))
			text = PH_STR("message");
		ph_buf_reset(&e->event);
		fake_put_line(&e->event, event);
		emit(e, text, ph_buf_str(&e->event));
	}
}

static void emit_done(struct fake_emitter *e)
{
	struct ph_str nl = line_end(e->d);

	if (!e->t->stream || e->t->x->lane)
		return;
	for (int64_t i = FAKE_DO(e->d, done, 1); i > 0; i--) {
		ph_buf_puts(&e->play->payload, PH_STR("data: [DONE]"));
		ph_buf_puts(&e->play->payload, nl);
		ph_buf_puts(&e->play->payload, nl);
		fake_play_mark(e->t->x, 0, 0);
	}
}

/* ---- faults ---- */

static void stop(struct fake_emitter *e, enum fake_ending ending)
{
	e->stopped = true;
	e->play->ending = ending;
}

/* The members of the script's error object, flat: its type gives way to the event's own. */
static void put_flat(struct fake_emitter *e, struct ph_str error)
{
	struct ph_str name, value;
	size_t offset = 0;

	while (fake_member_next(error, &offset, &name, &value)) {
		ph_buf_printf(&e->event, ",\"%s%.*s\":", ph_str_eq(name, PH_STR("type")) ? "error_" : "",
			PH_STR_ARG(name));
		fake_put_line(&e->event, value);
	}
}

static void emit_error(struct fake_emitter *e, bool nested)
{
	struct fake_do *d = e->d;

	if (!fake_event_begin(e, "error"))
		return;
	if (d->error.p) {
		if (nested) {
			ph_buf_puts(&e->event, PH_STR(",\"error\":"));
			fake_put_line(&e->event, d->error);
		} else {
			put_flat(e, d->error);
		}
		fake_event_finish(e, "error");
		return;
	}
	if (nested) {
		ph_buf_puts(&e->event, PH_STR(",\"error\":{\"type\":"));
		fake_put_string(&e->event, d->type.p ? d->type : PH_STR("server_error"));
	}
	ph_buf_puts(&e->event, PH_STR(",\"code\":"));
	fake_put_string(&e->event, d->code.p ? d->code : PH_STR("server_error"));
	ph_buf_puts(&e->event, PH_STR(",\"message\":"));
	fake_put_string(
		&e->event, d->message.p ? d->message : PH_STR("The fake upstream failed as it was told."));
	ph_buf_puts(&e->event, PH_STR(",\"param\":"));
	fake_put_string(&e->event, d->param);
	if (nested)
		ph_buf_putc(&e->event, '}');
	fake_event_finish(e, "error");
}

/* As the answer to a refused turn, but in the midst of one that runs. */
static void emit_error_wrapped(struct fake_emitter *e)
{
	struct fake_exchange *x = e->t->x;

	if (!x->lane) {
		emit_error(e, true);
		return;
	}
	fake_put_error(e->d, &e->play->payload, (int)FAKE_DO(e->d, error_status, 500));
	fake_frame_wrap(x, (int)FAKE_DO(e->d, error_status, 500));
	fake_play_mark(x, e->delay_ms, 0);
}

/* response.failed without response id and without number. */
static void emit_failed_bare(struct fake_emitter *e)
{
	ph_buf_reset(&e->event);
	ph_buf_puts(&e->event, PH_STR("{\"type\":\"response.failed\",\"response\":{\"status\":\"failed\","
				      "\"error\":"));
	fake_object_failure(e->d, &e->event);
	ph_buf_puts(&e->event, PH_STR("}}"));
	emit(e, PH_STR("response.failed"), ph_buf_str(&e->event));
}

static void fail_with(struct fake_emitter *e, enum fake_fault fault)
{
	switch (fault) {
	case FAKE_NO_FAULT:
		return;
	case FAKE_END:
	case FAKE_SHUT:
		stop(e, e->t->x->lane ? FAKE_CLOSE : FAKE_KEEP);
		return;
	case FAKE_EOF:
		stop(e, FAKE_CUT);
		return;
	case FAKE_RESET:
		stop(e, FAKE_ABORT);
		return;
	case FAKE_SILENCE:
		stop(e, FAKE_HOLD);
		return;
	case FAKE_FAILED:
		emit_lifecycle(e, "response.failed", FAKE_STATUS_FAILED, FAKE_OUTPUT_FULL);
		break;
	case FAKE_FAILED_BARE:
		emit_failed_bare(e);
		break;
	case FAKE_INCOMPLETE:
		emit_lifecycle(e, "response.incomplete", FAKE_STATUS_INCOMPLETE, FAKE_OUTPUT_FULL);
		e->t->finished = true;
		break;
	case FAKE_ERROR:
	case FAKE_ERROR_NESTED:
		emit_error(e, fault == FAKE_ERROR_NESTED);
		break;
	case FAKE_ERROR_WRAPPED:
		emit_error_wrapped(e);
		break;
	}
	emit_done(e);
	stop(e, FAKE_KEEP);
}

/* The fault, now. A silence of some time is a delay, with what comes then. */
static void strike(struct fake_emitter *e)
{
	enum fake_fault fault = (enum fake_fault)e->d->fault;

	if (e->struck || e->stopped)
		return;
	e->struck = true;
	if (fault != FAKE_SILENCE || FAKE_DO(e->d, for_ms, 0) == 0) {
		fail_with(e, fault);
		return;
	}
	fake_play_mark(e->t->x, (uint64_t)e->d->for_ms, 0);
	fail_with(e, (enum fake_fault)e->d->then);
}

void fake_event_reach(struct fake_emitter *e, enum fake_point point)
{
	if (!e->d || !e->d->fault || !e->t->stream)
		return;
	if (!e->d->at && e->d->at_event == FAKE_UNSET && point == FAKE_AT_OUTPUT)
		strike(e);
	if (e->d->at == (int64_t)point || (e->d->at == FAKE_AT_BODY && point == FAKE_AT_ITEM))
		strike(e);
}

/* ---- the whole ---- */

/* What the Codex backend says in headers over HTTP, it says on a socket in frames. They are no events: they
 * have no number, and a script does not count them. */
static void emit_telemetry(struct fake_emitter *e)
{
	struct ph_str type;

	ph_buf_reset(&e->event);
	for (size_t i = 0; fake_telemetry_put(e->t->x, &e->event, i, &type); i++) {
		if (!is_skipped(e, type)) {
			fake_frame_put(e->t->x, ph_buf_str(&e->event));
			fake_play_mark(e->t->x, 0, 0);
		}
		ph_buf_reset(&e->event);
	}
}

static void open_stream(struct fake_emitter *e)
{
	struct fake_do *d = e->d;

	if (FAKE_DO(d, bom, false) && !e->t->x->lane)
		ph_buf_puts(&e->play->payload, PH_STR("\xef\xbb\xbf"));
	emit_telemetry(e);
	fake_event_reach(e, FAKE_AT_OPEN);
	if (d)
		emit_scripted(e, d->before);
	emit_lifecycle(e, "response.created", FAKE_IN_PROGRESS, FAKE_OUTPUT_EMPTY);
	if (FAKE_DO(d, queued, false))
		emit_lifecycle(e, "response.queued", FAKE_QUEUED, FAKE_OUTPUT_EMPTY);
	if (!e->t->warm)
		emit_lifecycle(e, "response.in_progress", FAKE_IN_PROGRESS, FAKE_OUTPUT_EMPTY);
	if (d)
		emit_scripted(e, d->events);
	if (FAKE_DO(d, odd, false) && fake_event_begin(e, "response.fake_unknown"))
		fake_event_finish(e, "response.fake_unknown");
	fake_event_reach(e, FAKE_AT_CREATED);
}

/* The event that begins at `from` loses its second half. */
static void cut_last(struct fake_emitter *e, size_t from)
{
	struct fake_play *p = e->play;
	struct fake_step *s = &p->steps[p->step_count - 1];
	size_t lost = (p->payload.n - from) / 2;

	p->payload.n -= lost;
	s->end = s->made = p->payload.n;
	if (e->t->x->lane)
		s->lacks = lost - 1; /* the line end was never part of the frame */
}

static void close_stream(struct fake_emitter *e)
{
	struct fake_turn *t = e->t;
	size_t from;

	fake_event_reach(e, FAKE_AT_OUTPUT);
	if (e->stopped)
		return;
	from = e->play->payload.n;
	t->finished = true;
	if (t->background)
		e->delay_ms += (uint64_t)FAKE_DO(e->d, work_ms, 0);
	emit_lifecycle(e, "response.completed", FAKE_COMPLETED,
		e->d && e->d->output                ? (enum fake_output)(e->d->output)
		: t->x->account->kind == FAKE_CODEX ? FAKE_OUTPUT_EMPTY
						    : FAKE_OUTPUT_FULL);
	e->play->terminal = e->play->step_count;
	if (e->d && e->d->fault && e->d->at == FAKE_AT_CUT && !e->stopped && t->stream) {
		t->finished = false;
		cut_last(e, from);
		strike(e);
	}
	fake_event_reach(e, FAKE_AT_TERMINAL);
	if (e->d)
		emit_scripted(e, e->d->after);
	if (!e->stopped)
		emit_done(e);
}

void fake_events_make(struct fake_turn *t)
{
	struct fake_emitter e = {.t = t, .d = t->todo, .play = &t->x->play};

	ph_buf_init(&e.event, FAKE_ANSWER_MAX);
	e.number = (uint64_t)FAKE_DO(e.d, sequence, 0);
	open_stream(&e);
	fake_items_make(&e);
	close_stream(&e);
	ph_buf_deinit(&e.event);
}
