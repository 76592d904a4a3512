/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an answer ends, for the relay: upstream's terminal event, which is held until the commit and then let
 * go; a failure that is told, or that sends the turn to another account; and the end that we write for an
 * answer that broke off.
 */
#include "chat.h"
#include "posthouse/clock.h"
#include "relay_priv.h"

/* ---- the terminal event ---- */

/* With the output filled in if it was empty. */
static void hold_terminal(struct ph_request *r, const struct ph_event *e)
{
	struct ph_str response = PH_STR_NONE;
	struct ph_buf filled;

	ph_buf_init(&filled, 2 * PH_COLLECT_MAX);
	if (r->collect.output_missing) {
		ph_collect_filled(&r->collect, e->m[PH_EV_RESPONSE].value, &filled);
		response = ph_buf_str(&filled);
	}
	ph_relay_put_unit(r, &r->relay.terminal, e, response);
	ph_buf_deinit(&filled);
}

/* What is ours follows the terminal event: its blank line must be whole, also where upstream ended without
 * it, or where the LF of a CRLF comes with the next read. */
static void complete_unit(struct ph_relay *y)
{
	if (!y->raw)
		return;
	if (y->finishing)
		ph_buf_puts(&y->terminal, PH_STR("\n\n"));
	else if (ph_str_ends(ph_buf_str(&y->terminal), PH_STR("\n\r")))
		ph_buf_putc(&y->terminal, '\n');
}

/* ---- an attempt ends ---- */

/* Nothing that comes behind this event is an event of this turn. */
static void stop(struct ph_request *r)
{
	r->relay.open = false;
	if (r->relay.sse)
		ph_sse_stop(r->relay.sse);
}

/* The attempt succeeded, as far as upstream is concerned. */
static void end_with(struct ph_request *r, enum ph_terminal terminal)
{
	ph_relay_flush(r);
	ph_timer_stop(&r->hold);
	complete_unit(&r->relay);
	r->relay.ended = terminal;
	r->terminal_ns = ph_clock_ns();
	stop(r);
	ph_request_event(r, 1);
}

/* The attempt failed: another account, or a well-formed end. */
static void fall(struct ph_request *r, int code)
{
	ph_relay_flush(r);
	stop(r);
	ph_request_event(r, code);
}

void ph_relay_end(struct ph_request *r)
{
	end_with(r, PH_TERMINAL_COMPLETED);
}

void ph_relay_fault(struct ph_request *r, struct ph_str json)
{
	fall(r, ph_attempt_failure(r, json, 0));
}

/* What cannot be read cannot be relayed either. */
void ph_relay_break(struct ph_request *r, const char *why)
{
	fall(r, ph_fail(&r->fault, PH_E_UPSTREAM_BAD, "%s", why));
}

void ph_relay_on_finished(struct ph_request *r, enum ph_terminal terminal, const struct ph_event *e)
{
	if (e->m[PH_EV_RESPONSE].kind != PH_JSON_OBJECT ||
		!ph_collect_response(&r->collect, e->m[PH_EV_RESPONSE].value)) {
		ph_relay_break(r, "a terminal event without a response");
		return;
	}
	if (!ph_ask_answered(r)) {
		ph_relay_break(r, "not the answer to what was asked");
		return;
	}
	if (r->attempt.collected)
		ph_buf_puts(&r->attempt.body, e->m[PH_EV_RESPONSE].value);
	else
		hold_terminal(r, e);
	end_with(r, terminal);
}

void ph_relay_on_failed(struct ph_request *r, enum ph_terminal terminal, const struct ph_event *e)
{
	int code = ph_attempt_failure(r, e->unit->data, 0);
	bool told = ph_err_info(code)->remedy == PH_GIVE_UP && terminal == PH_TERMINAL_FAILED &&
		    r->relay.saw_created && !r->attempt.collected;

	if (told) {
		if (e->m[PH_EV_RESPONSE].kind == PH_JSON_OBJECT)
			(void)!ph_collect_response(&r->collect, e->m[PH_EV_RESPONSE].value);
		ph_relay_put_unit(r, &r->relay.terminal, e, PH_STR_NONE);
		end_with(r, terminal);
		return;
	}
	fall(r, code);
}

/* ---- the answer ends ---- */

static void finish(struct ph_request *r)
{
	struct ph_exchange *x = r->x;

	ph_timer_stop(&r->hold);
	r->x = NULL;
	x->ops->finish(x->end);
}

static void put_done(const struct ph_request *r, struct ph_buf *out)
{
	if (r->dress.framing == PH_FRAMING_SSE)
		ph_buf_puts(out, PH_SSE_DONE);
}

void ph_relay_release(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (!r->x)
		return;
	y->gated = false;
	ph_relay_show_held(r);
	y->phase = PH_RELAY_ENDED;
	put_done(r, &y->terminal);
	ph_relay_push(r, ph_buf_str(&y->terminal));
	finish(r);
}

/* A chat has no well-formed end for a broken answer but to end. */
static void fail_chat(struct ph_request *r)
{
	struct ph_exchange *x = r->x;

	ph_timer_stop(&r->hold);
	ph_relay_push(r, PH_CHAT_BROKEN);
	r->x = NULL;
	x->ops->cut(x->end);
}

void ph_relay_fail(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	struct ph_buf event;

	if (!r->x)
		return;
	ph_relay_flush(r);
	if (r->attempt.chat) {
		fail_chat(r);
		return;
	}
	ph_buf_init(&event, 3 * PH_CREATED_MAX);
	ph_put_failed_event(&event, &r->dress, ph_str(y->created, y->created_n), y->next_number);
	put_done(r, &event);
	ph_relay_push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
	finish(r);
}
