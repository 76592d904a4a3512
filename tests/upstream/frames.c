/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A turn's answer as text frames, and errors as frames in all the shapes that were seen in the wild. Frames
 * are written here by hand, not by wslay, since a script may cut them, or announce what never comes.
 */
#include <stdio.h>
#include <wslay/wslay.h>

#include "posthouse/clock.h"
#include "socket.h"

/* ---- frames ---- */

void fake_frame_head(struct ph_buf *b, unsigned opcode, bool fin, uint64_t n)
{
	int bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;

	ph_buf_putc(b, (char)(opcode | (fin ? 0x80u : 0u)));
	ph_buf_putc(b, bytes == 0 ? (char)n : bytes == 2 ? 126 : 127);
	while (bytes-- > 0)
		ph_buf_putc(b, (char)(n >> (8 * bytes)));
}

void fake_close_frame(struct ph_buf *b, uint16_t code, struct ph_str reason)
{
	if (reason.n > FAKE_REASON_MAX)
		reason.n = FAKE_REASON_MAX;
	fake_frame_head(b, WSLAY_CONNECTION_CLOSE, true, code ? 2 + reason.n : 0);
	if (code == 0)
		return;
	ph_buf_putc(b, (char)(code >> 8));
	ph_buf_putc(b, (char)(code & 0xff));
	ph_buf_puts(b, reason);
}

/* ---- messages in the payload ---- */

void fake_put_pretty(struct ph_buf *b, struct ph_str json, struct ph_str nl, struct ph_str prefix)
{
	bool quoted = false;

	ph_buf_puts(b, prefix);
	for (size_t i = 0; i < json.n; i++) {
		ph_buf_putc(b, json.p[i]);
		if (json.p[i] == '"')
			quoted = !quoted;
		else if (quoted && json.p[i] == '\\' && i + 1 < json.n)
			ph_buf_putc(b, json.p[++i]);
		else if (!quoted && strchr("{[,", json.p[i])) {
			ph_buf_puts(b, nl);
			ph_buf_puts(b, prefix);
			ph_buf_puts(b, PH_STR("  "));
		}
	}
}

/* The object with the lane's name as its last member. */
static void put_named(const struct fake_lane *l, struct ph_buf *b, struct ph_str json)
{
	if (!l->id[0] || json.n < 2 || json.p[json.n - 1] != '}') {
		ph_buf_puts(b, json);
		return;
	}
	ph_buf_puts(b, ph_str(json.p, json.n - 1));
	ph_buf_printf(b, "%s\"stream_id\":\"%s\"}", json.n == 2 ? "" : ",", l->id);
}

void fake_frame_put(struct fake_exchange *x, struct ph_str json)
{
	struct ph_buf *b = &x->play.payload, named;

	if (FAKE_DO(x->todo, pretty, false)) {
		ph_buf_init(&named, FAKE_ANSWER_MAX);
		put_named(x->lane, &named, json);
		fake_put_pretty(b, ph_buf_str(&named), PH_STR("\n"), PH_STR(""));
		ph_buf_deinit(&named);
	} else {
		put_named(x->lane, b, json);
	}
	ph_buf_putc(b, '\n');
}

/* ---- errors ---- */

/* The error's members at the top level, where `type` is the frame's own. */
static void put_flat(struct ph_buf *b, struct ph_str error)
{
	struct ph_str name, value;
	size_t offset = 0;

	while (fake_member_next(error, &offset, &name, &value)) {
		ph_buf_printf(
			b, ",\"%s%.*s\":", ph_str_eq(name, PH_STR("type")) ? "error_" : "", PH_STR_ARG(name));
		fake_put_line(b, value);
	}
}

/* The error with its code where its type should be. */
static void put_typed(struct ph_buf *b, struct ph_str error)
{
	static const struct ph_str code = {"code", 4};
	struct ph_json_member m;
	struct ph_str name, value;
	size_t offset = 0;
	bool has_code = ph_json_find(error, &code, 1, &m) && m.kind == PH_JSON_STRING;

	ph_buf_puts(b, PH_STR(",\"error\":{\"type\":"));
	ph_buf_puts(b, has_code ? m.value : PH_STR("\"invalid_request_error\""));
	while (fake_member_next(error, &offset, &name, &value)) {
		if (ph_str_eq(name, PH_STR("type")) || ph_str_eq(name, PH_STR("code")))
			continue;
		ph_buf_printf(b, ",\"%.*s\":", PH_STR_ARG(name));
		fake_put_line(b, value);
	}
	ph_buf_putc(b, '}');
}

static void put_shaped(struct fake_exchange *x, struct ph_buf *b, int status, struct ph_str error)
{
	enum fake_shape shape = x->todo && x->todo->shape ? (enum fake_shape)x->todo->shape : FAKE_WRAPPED;

	ph_buf_putc(b, '{');
	if (shape != FAKE_UNTYPED && shape != FAKE_BARE)
		ph_buf_puts(b, PH_STR("\"type\":\"error\","));
	if (shape != FAKE_BARE)
		ph_buf_printf(b, "\"%s\":%d", shape == FAKE_ALIAS ? "status_code" : "status", status);
	if (shape == FAKE_FLAT) {
		put_flat(b, error);
	} else if (shape == FAKE_TYPED) {
		put_typed(b, error);
	} else {
		ph_buf_puts(b, shape == FAKE_BARE ? PH_STR("\"error\":") : PH_STR(",\"error\":"));
		fake_put_line(b, error);
	}
	if (shape != FAKE_BARE) {
		ph_buf_puts(b, PH_STR(",\"headers\":{"));
		fake_put_error_headers(x, b);
		ph_buf_putc(b, '}');
	}
	ph_buf_putc(b, '}');
}

void fake_frame_wrap(struct fake_exchange *x, int status)
{
	static const struct ph_str head = {"{\"error\":", 9};
	struct fake_play *p = &x->play;
	size_t from = p->steps[p->step_count - 1].end;
	struct ph_str made = ph_str_from(ph_buf_str(&p->payload), from);
	struct ph_buf b;

	if (x->refused || !ph_str_starts(made, head) || (x->todo && x->todo->body.p))
		return;
	x->refused = true;
	ph_buf_init(&b, FAKE_ANSWER_MAX);
	put_shaped(x, &b, status, ph_str(made.p + head.n, made.n - head.n - 1));
	p->payload.n = from;
	fake_frame_put(x, ph_buf_str(&b));
	ph_buf_deinit(&b);
}

/* ---- messages in the wire ---- */

/* Returns where the text begins, or 0 if it is in pieces. */
static size_t put_message(struct fake_exchange *x, struct ph_str text, size_t lacks)
{
	struct ph_buf *b = &x->play.wire;
	int64_t fragment = FAKE_DO(x->todo, fragment, 0);
	size_t max = fragment > 0 ? (size_t)fragment : SIZE_MAX, at = 0, n, begins;
	bool last;

	do {
		n = text.n - at < max ? text.n - at : max;
		last = at + n == text.n;
		if (FAKE_DO(x->todo, pings, false))
			fake_frame_head(b, WSLAY_PING, true, 0);
		fake_frame_head(
			b, at ? WSLAY_CONTINUATION_FRAME : WSLAY_TEXT_FRAME, last, n + (last ? lacks : 0));
		begins = b->n;
		ph_buf_puts(b, ph_str(text.p + at, n));
		at += n;
	} while (!last);
	return text.n <= max ? begins : 0;
}

void fake_frames_put(struct fake_exchange *x, size_t from)
{
	struct fake_play *p = &x->play;
	size_t at = p->steps[from - 1].made;

	for (size_t i = from; i < p->step_count; i++) {
		struct fake_step *s = &p->steps[i];
		struct ph_str text = ph_str(p->payload.p + at, s->made - at);

		if (text.n) {
			if (text.p[text.n - 1] == '\n' && !s->lacks)
				text.n--;
			size_t begins = put_message(x, text, s->lacks);

			s->stamp = s->stamp && begins ? s->stamp - at + begins : 0;
		}
		at = s->made;
		s->end = p->wire.n;
	}
}

/* ---- besides the answer ---- */

bool fake_telemetry_put(struct fake_exchange *x, struct ph_buf *b, size_t index, struct ph_str *ret_type)
{
	static const struct ph_str types[] = {{"codex.rate_limits", 17}, {"response.metadata", 17}};

	if (!x->lane || x->account->kind != FAKE_CODEX || index >= sizeof(types) / sizeof(*types))
		return false;
	*ret_type = types[index];
	ph_buf_printf(b, "{\"type\":\"%s\",", types[index].p);
	if (index == 0)
		ph_buf_printf(b,
			"\"plan_type\":\"pro\",\"rate_limits\":{\"allowed\":true,\"limit_reached\":false,"
			"\"primary\":{\"used_percent\":12,\"window_minutes\":300,\"reset_at\":%llu},"
			"\"secondary\":null},\"credits\":{\"has_credits\":false,\"unlimited\":false,"
			"\"balance\":\"0\"}}",
			(unsigned long long)(ph_clock_unix_ms() / 1000 + 3600));
	else
		ph_buf_printf(b, "\"headers\":{\"x-codex-turn-state\":\"ts:%s:%llu\"}}", x->account->name,
			(unsigned long long)x->account->last_id);
	return true;
}
