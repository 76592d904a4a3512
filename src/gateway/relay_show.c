/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's side of the relay: when it is shown the first of an answer and with which head, and the events
 * of our own making, which stand before upstream's or between them. What of upstream's passes is relay.c's.
 */
#include <stdio.h>

#include "chat.h"
#include "pool.h"
#include "posthouse/metrics.h"
#include "relay_priv.h"

#define HEADERS_MAX (64 * 1024)

/* ---- bytes ---- */

static void send_head(struct ph_request *r)
{
	struct ph_buf headers;

	if (r->head_sent)
		return;
	r->head_sent = true;
	r->http_status = r->attempt.status;
	ph_buf_init(&headers, HEADERS_MAX);
	ph_buf_puts(&headers, ph_buf_str(&r->attempt.headers));
	ph_pool_headers(r->g, r->x, r->door.key, &headers);
	ph_reply_common(r->g, r->x, &headers);
	ph_reply_continuity(&headers, ph_request_mode(r));
	r->x->ops->head(r->x->end, r->attempt.status, &headers, -1);
	ph_buf_deinit(&headers);
	ph_buf_deinit(&r->attempt.headers);
}

/* From here on nothing is sent again, and a stream may be silent for long. */
static void first_shown(struct ph_request *r)
{
	r->shown = true;
	ph_account_answered(r->g->accounts, r->account, r->attempt.health_version);
	ph_turn_body_shrink(&r->body, r->lane || ph_record_keeps(r));
	ph_chat_forget(r->chat);
	r->choice.model = r->body.model;
}

void ph_relay_push(struct ph_request *r, struct ph_str bytes)
{
	if (!r->x || bytes.n == 0)
		return;
	send_head(r);
	if (!r->shown)
		first_shown(r);
	r->bytes_out += bytes.n;
	if (r->x->ops->push(r->x->end, bytes) <= 0)
		ph_attempt_pause(r);
}

/* ---- events of ours ---- */

void ph_relay_show_turn_state(struct ph_request *r)
{
	struct ph_buf event;

	ph_buf_init(&event, HEADERS_MAX);
	ph_turn_state_put_event(r, &event);
	ph_relay_push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
}

/* A head tells of the pool where there is one; on a WebSocket each turn begins with this. */
static void show_pool(struct ph_request *r)
{
	struct ph_buf event, json;

	if (r->dress.framing != PH_FRAMING_WS || !r->x)
		return;
	ph_buf_init(&event, HEADERS_MAX);
	ph_buf_init(&json, HEADERS_MAX);
	if (ph_pool_event(r->g, r->x, r->door.key, &json))
		ph_put_event(&event, &r->dress, PH_STR_NONE, ph_buf_str(&json));
	ph_relay_push(r, ph_buf_str(&event));
	ph_buf_deinit(&json);
	ph_buf_deinit(&event);
}

void ph_relay_refuse_steer(struct ph_request *r, struct ph_str input)
{
	struct ph_buf event;

	ph_buf_init(&event, 2 * r->g->config->max_body);
	ph_steer_put_failed(&event, &r->dress, input, ph_steer_running_id(r), "steering_not_supported");
	ph_relay_push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
}

void ph_relay_keep_alive(struct ph_request *r)
{
	const struct ph_relay *y = &r->relay;

	/* Who resumes a background response counts in upstream's numbers. */
	if (r->body.background) {
		ph_timer_stop(&r->hold);
		return;
	}
	/* Not between the terminal event and its release: the number of that one is settled. */
	if (y->phase == PH_RELAY_SHOWN && y->open && !y->ended)
		ph_timer_start(&r->hold, r->g->config->keepalive_interval_ms);
}

static void send_keepalive(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	char json[80];
	struct ph_buf event;
	int n = snprintf(json, sizeof json, "{\"type\":\"keepalive\",\"sequence_number\":%lld}",
		(long long)y->next_number);

	y->next_number++;
	y->shift++;
	ph_relay_keep_alive(r);
	ph_buf_init(&event, 1024);
	if (r->attempt.chat)
		ph_buf_puts(&event, PH_CHAT_ALIVE);
	else
		ph_put_event(&event, &r->dress, PH_STR("keepalive"), ph_str(json, (size_t)n));
	ph_relay_push(r, ph_buf_str(&event));
	ph_buf_deinit(&event);
	ph_metric_add(PH_M_KEEPALIVES, 0, 0, 1);
}

/* ---- what is held is let go ---- */

void ph_relay_show_held(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (y->phase != PH_RELAY_HELD || r->attempt.collected)
		return;
	if (y->gated) {
		y->due = true;
		return;
	}
	y->phase = PH_RELAY_SHOWN;
	show_pool(r);
	ph_relay_show_turn_state(r);
	if (y->held.n)
		ph_relay_push(r, ph_buf_str(&y->held));
	ph_buf_deinit(&y->held);
	ph_relay_keep_alive(r);
}

/* ---- a background response: it can be asked for elsewhere as soon as its id is known ---- */

static void open_gate(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;

	if (!y->gated)
		return;
	y->gated = false;
	ph_attempt_resume(r);
	if (y->due)
		ph_relay_show_held(r);
}

static void on_begun(void *arg, int status)
{
	struct ph_request *r = arg;

	(void)status; /* counted and logged where it was written */
	if (ph_request_owed(r) && r->pending_commit == 0)
		open_gate(r);
}

void ph_relay_close_gate(struct ph_request *r)
{
	struct ph_relay *y = &r->relay;
	static const struct ph_str name = PH_STR_INIT("id");
	struct ph_json_member id;
	struct ph_arena texts;
	struct ph_str text;

	ph_arena_init(&texts, PH_CREATED_MAX);
	if (y->created && ph_json_find(ph_str(y->created, y->created_n), &name, 1, &id) &&
		ph_json_text(id.value, &texts, &text)) {
		y->gated = true;
		ph_attempt_pause(r);
		ph_record_begin(r, text, on_begun);
	}
	ph_arena_deinit(&texts);
}

/* ---- time ---- */

/* HOLD_TIMEOUT first; once something is shown, KEEPALIVE_INTERVAL of silence. */
void ph_relay_timer(void *arg)
{
	struct ph_request *r = arg;

	if (r->relay.phase == PH_RELAY_HELD) {
		if (r->relay.gated)
			ph_metric_add(PH_M_UNACKNOWLEDGED, 0, 0, 1);
		open_gate(r);
		ph_relay_show_held(r);
		return;
	}
	if (r->relay.saw_created && r->x)
		send_keepalive(r);
}
