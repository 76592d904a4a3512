/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads and framing around a payload, and the plain answers: JSON, errors in the shape of the account's kind,
 * and what a script gives as bytes.
 */
#include <stdarg.h>
#include <stdio.h>

#include "posthouse/clock.h"
#include "socket.h"

#define SHORT_BY 4096 /* what a content-length promises beyond what a broken answer sends */

static void put_c(struct ph_buf *b, const char *name, const char *value)
{
	ph_http_put_header(b, ph_str_c(name), ph_str_c(value));
}

static bool is_scripted(struct fake_exchange *x, const char *header)
{
	struct ph_str name, value;
	size_t offset = 0;

	while (x->todo && x->todo->headers.p && fake_member_next(x->todo->headers, &offset, &name, &value))
		if (ph_str_eq_nocase(name, ph_str_c(header)))
			return true;
	return false;
}

/* A field of a head, or on a socket, which has none, a member of an error's `headers`. */
static void put_field(struct fake_exchange *x, struct ph_buf *b, struct ph_str name, struct ph_str value)
{
	if (!x->lane) {
		ph_http_put_header(b, name, value);
		return;
	}
	if (b->n && b->p[b->n - 1] != '{')
		ph_buf_putc(b, ',');
	fake_put_string(b, name);
	ph_buf_putc(b, ':');
	fake_put_string(b, value);
}

/* The script's word stands in its place. */
static void put_own(struct fake_exchange *x, struct ph_buf *b, const char *name, const char *value)
{
	if (!is_scripted(x, name))
		put_field(x, b, ph_str_c(name), ph_str_c(value));
}

/* What describes one account. A gateway keeps all of it from its clients. */
static void put_account_headers(struct fake_exchange *x, struct ph_buf *b)
{
	const struct fake_account *a = x->account;
	char text[160];

	if (!a)
		return;
	snprintf(
		text, sizeof(text), "req_%s%s%llu", a->name, x->server->run, (unsigned long long)a->requests);
	put_own(x, b, "x-request-id", text);
	if (a->kind == FAKE_PLATFORM) {
		snprintf(text, sizeof(text), "org-%s", a->name);
		put_own(x, b, "openai-organization", text);
		put_own(x, b, "openai-version", "2020-10-01");
		put_own(x, b, "openai-processing-ms", "7");
		put_own(x, b, "x-ratelimit-limit-requests", "10000");
		put_own(x, b, "x-ratelimit-remaining-requests", "9999");
		put_own(x, b, "x-ratelimit-reset-requests", "6ms");
		snprintf(text, sizeof(text), "__cf_bm=%s; path=/; HttpOnly", a->name);
		put_own(x, b, "set-cookie", text);
	} else if (a->kind == FAKE_CODEX) {
		put_own(x, b, "x-codex-primary-used-percent", "12");
		put_own(x, b, "x-codex-primary-window-minutes", "300");
		snprintf(text, sizeof(text), "ts:%s:%llu", a->name, (unsigned long long)a->last_id);
		put_own(x, b, "x-codex-turn-state", text);
	}
}

static void put_scripted_headers(struct fake_exchange *x, struct ph_buf *b)
{
	struct ph_str name, value, text;
	size_t offset = 0;

	if (!x->todo)
		return;
	if (x->todo->retry_after != FAKE_UNSET) {
		char seconds[24];

		snprintf(seconds, sizeof(seconds), "%lld", (long long)x->todo->retry_after);
		put_field(x, b, PH_STR("retry-after"), ph_str_c(seconds));
	}
	while (x->todo->headers.p && fake_member_next(x->todo->headers, &offset, &name, &value))
		if (ph_json_text(value, &x->arena, &text))
			put_field(x, b, name, text);
}

void fake_put_error_headers(struct fake_exchange *x, struct ph_buf *b)
{
	put_account_headers(x, b);
	put_scripted_headers(x, b);
}

static void put_informational(struct fake_exchange *x, struct ph_buf *b)
{
	struct ph_str element;
	size_t offset = 0;
	uint64_t status;

	if (!x->todo || !x->todo->informational.p)
		return;
	while (ph_json_next(x->todo->informational, &offset, &element)) {
		if (!ph_json_u64(element, &status) || status < 100 || status > 199)
			continue;
		ph_http_put_status(b, (int)status);
		if (status == 103)
			put_c(b, "link", "</fake>; rel=preload");
		ph_http_put_end(b);
	}
}

static enum fake_framing framing_of(struct fake_exchange *x, enum fake_framing usual)
{
	enum fake_framing f = x->todo && x->todo->framing ? (enum fake_framing)x->todo->framing : usual;

	return f == FAKE_CHUNKED && x->head->minor == 0 ? FAKE_UNTIL_EOF : f;
}

static bool whole(const struct fake_play *p)
{
	return p->ending == FAKE_KEEP || p->ending == FAKE_CLOSE;
}

static void put_framing(struct fake_exchange *x, struct ph_buf *b, enum fake_framing framing)
{
	struct fake_play *p = &x->play;

	if (framing == FAKE_CHUNKED)
		put_c(b, "transfer-encoding", "chunked");
	else if (framing == FAKE_LENGTH)
		ph_http_put_length(b, p->payload.n + (whole(p) ? 0 : SHORT_BY));
	if (p->ending == FAKE_KEEP && (framing == FAKE_UNTIL_EOF || !x->head->keep_alive)) {
		put_c(b, "connection", "close");
		p->ending = FAKE_CLOSE;
	}
	if (p->ending == FAKE_KEEP && FAKE_DO(x->todo, close, false))
		p->ending = FAKE_CLOSE;
}

/* Moves the steps from the payload to the wire form. */
static void put_body(struct fake_exchange *x, struct ph_buf *b, enum fake_framing framing)
{
	struct fake_play *p = &x->play;
	size_t from = 0;

	for (size_t i = 1; i < p->step_count; i++) {
		struct fake_step *s = &p->steps[i];
		struct ph_str part = ph_str(p->payload.p + from, s->end - from);

		if (framing == FAKE_CHUNKED && part.n)
			ph_http_put_chunk_head(b, part.n);
		if (s->stamp)
			s->stamp = s->stamp - from + b->n;
		from = s->end;
		ph_buf_puts(b, part);
		if (framing == FAKE_CHUNKED && part.n)
			ph_buf_puts(b, PH_STR("\r\n"));
		s->end = b->n;
	}
	if (framing == FAKE_CHUNKED && whole(p)) {
		ph_buf_puts(b, PH_HTTP_LAST_CHUNK);
		p->steps[p->step_count - 1].end = b->n;
	}
}

static void put_http(struct fake_exchange *x, int status, const char *content_type, enum fake_framing framing)
{
	struct fake_play *p = &x->play;
	struct ph_buf *b = &p->wire;
	struct ph_str type =
		x->todo && x->todo->content_type.p ? x->todo->content_type : ph_str_c(content_type);

	framing = framing_of(x, framing);
	put_informational(x, b);
	ph_http_put_status(b, status);
	ph_http_put_header(b, PH_STR("content-type"), type);
	put_account_headers(x, b);
	put_scripted_headers(x, b);
	put_framing(x, b, framing);
	ph_http_put_end(b);
	p->steps[0].end = b->n;
	if (!ph_str_eq(x->head->method, PH_STR("HEAD")))
		put_body(x, b, framing);
	else
		p->step_count = 1;
}

static void put_frames(struct fake_exchange *x, int status)
{
	struct fake_play *p = &x->play;
	enum fake_fault fault = x->todo ? (enum fake_fault)x->todo->fault : FAKE_NO_FAULT;

	x->refused = x->refused || status >= 400;
	if (p->ending == FAKE_KEEP && (FAKE_DO(x->todo, close, false) ||
					      (status != 200 && (fault == FAKE_END || fault == FAKE_SHUT))))
		p->ending = FAKE_CLOSE;
	fake_frames_put(x, 1);
}

void fake_answer(struct fake_exchange *x, int status, const char *content_type, enum fake_framing framing)
{
	struct fake_play *p = &x->play;

	if (x->lane)
		fake_frame_wrap(x, status);
	if (p->payload.n > p->steps[p->step_count - 1].end)
		fake_play_mark(x, 0, 0);
	if (x->lane)
		put_frames(x, status);
	else
		put_http(x, status, content_type, framing);
	p->steps[0].delay_ms += (uint64_t)FAKE_DO(x->todo, first_delay_ms, 0);
	if (p->payload.failed || p->wire.failed)
		ph_die("an answer of more than %zu bytes was ordered", FAKE_ANSWER_MAX);
	if (x->record)
		x->record->status = status;
	if (x->tag[0])
		fake_canned_keep(x);
	fake_play_start(x);
}

void fake_answer_json(struct fake_exchange *x, int status, struct ph_str json)
{
	ph_buf_puts(&x->play.payload, json);
	fake_answer(x, status, "application/json", FAKE_LENGTH);
}

void fake_answer_error(struct fake_exchange *x, int status, const char *type, const char *code,
	const char *param, const char *fmt, ...)
{
	struct ph_buf *b = &x->play.payload;
	char message[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	ph_buf_puts(b, PH_STR("{\"error\":{\"message\":"));
	fake_put_string(b, ph_str_c(message));
	ph_buf_puts(b, PH_STR(",\"type\":"));
	fake_put_string(b, ph_str_c(type));
	ph_buf_puts(b, PH_STR(",\"param\":"));
	fake_put_string(b, ph_str_c(param));
	ph_buf_puts(b, PH_STR(",\"code\":"));
	fake_put_string(b, ph_str_c(code));
	ph_buf_puts(b, PH_STR("}}"));
	fake_answer(x, status, "application/json", FAKE_LENGTH);
}

void fake_answer_refusal(struct fake_exchange *x, const struct fake_refusal *r)
{
	struct ph_buf *b = &x->play.payload;

	if (!r->detail || x->lane) {
		fake_answer_error(x, r->status, "invalid_request_error", r->code, r->param, "%s", r->message);
		return;
	}
	ph_buf_puts(b, PH_STR("{\"detail\":"));
	fake_put_string(b, ph_str_c(r->message));
	ph_buf_putc(b, '}');
	fake_answer(x, r->status, "application/json", FAKE_LENGTH);
}

/* ---- what a script gives ---- */

static void put_html(struct ph_buf *b, int status)
{
	ph_buf_printf(b,
		"<html>\r\n<head><title>%d %s</title></head>\r\n<body>\r\n<center><h1>%d %s</h1></center>\r\n"
		"<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n",
		status, ph_http_reason(status), status, ph_http_reason(status));
}

static const char *usual_type(int status)
{
	if (status == 429)
		return "rate_limit_error";
	return status < 500 ? "invalid_request_error" : "server_error";
}

void fake_put_error(struct fake_do *d, struct ph_buf *b, int status)
{
	if (d->error.p) {
		ph_buf_puts(b, PH_STR("{\"error\":"));
		fake_put_line(b, d->error);
		ph_buf_putc(b, '}');
		return;
	}
	ph_buf_puts(b, PH_STR("{\"error\":{\"message\":"));
	fake_put_string(b, d->message.p ? d->message : PH_STR("The fake upstream refuses as it was told."));
	ph_buf_puts(b, PH_STR(",\"type\":"));
	fake_put_string(b, d->type.p ? d->type : ph_str_c(usual_type(status)));
	ph_buf_puts(b, PH_STR(",\"param\":"));
	fake_put_string(b, d->param);
	ph_buf_puts(b, PH_STR(",\"code\":"));
	fake_put_string(b, d->code);
	ph_buf_puts(b, PH_STR("}}"));
}

static enum fake_ending ending_of(enum fake_fault fault)
{
	switch (fault) {
	case FAKE_EOF:
		return FAKE_CUT;
	case FAKE_RESET:
		return FAKE_ABORT;
	case FAKE_SILENCE:
		return FAKE_HOLD;
	default:
		return FAKE_KEEP;
	}
}

/* Cuts the payload at half where the script breaks a plain body. */
static void break_body(struct fake_exchange *x)
{
	struct fake_play *p = &x->play;
	struct fake_do *d = x->todo;
	enum fake_fault fault = d ? (enum fake_fault)d->fault : FAKE_NO_FAULT;

	if (ending_of(fault) == FAKE_KEEP)
		return;
	size_t all = p->payload.n;
	p->payload.n = d->at == FAKE_AT_OPEN ? 0 : all / 2;
	fake_play_mark(x, 0, 0);
	if (x->lane)
		p->steps[p->step_count - 1].lacks = all - p->payload.n;
	if (fault == FAKE_SILENCE && FAKE_DO(d, for_ms, 0) > 0) {
		fault = (enum fake_fault)d->then;
		if (ending_of(fault) == FAKE_KEEP)
			p->payload.n = all;
		fake_play_mark(x, (uint64_t)d->for_ms, 0);
	}
	p->ending = ending_of(fault);
}

void fake_answer_plain(struct fake_exchange *x, int status, const char *content_type)
{
	if (x->lane)
		fake_frame_wrap(x, status);
	break_body(x);
	fake_answer(x, status, content_type, FAKE_LENGTH);
}

static void answer_raw(struct fake_exchange *x)
{
	ph_buf_puts(&x->play.payload, x->todo->raw);
	ph_buf_puts(&x->play.wire, x->todo->raw);
	x->play.steps[0].end = x->play.wire.n;
	x->play.steps[0].delay_ms = (uint64_t)FAKE_DO(x->todo, first_delay_ms, 0);
	x->play.ending = x->lane ? FAKE_CUT : FAKE_CLOSE;
	fake_play_start(x);
}

void fake_answer_scripted(struct fake_exchange *x)
{
	struct fake_do *d = x->todo;
	struct ph_buf *b = &x->play.payload;
	int status = (int)FAKE_DO(d, status, 200);
	const char *type = "application/json";

	if (d->raw.p) {
		answer_raw(x);
		return;
	}
	if (d->body.p) {
		ph_buf_puts(b, d->body);
		if (d->body.n && d->body.p[0] == '<')
			type = "text/html; charset=UTF-8";
	} else if (FAKE_DO(d, html, false)) {
		put_html(b, status);
		type = "text/html; charset=UTF-8";
	} else {
		fake_put_error(d, b, status);
	}
	fake_answer_plain(x, status, type);
}

void fake_answer_scripted_error(struct fake_exchange *x, int status)
{
	fake_put_error(x->todo, &x->play.payload, status);
	fake_answer(x, status, "application/json", FAKE_LENGTH);
}

void fake_answer_switch(struct fake_exchange *x, struct ph_str accept)
{
	struct ph_buf *b = &x->play.wire, head;

	ph_buf_init(&head, FAKE_BODY_MAX);
	ph_http_put_status(&head, 101);
	put_c(&head, "upgrade", "websocket");
	put_c(&head, "connection", "Upgrade");
	ph_http_put_header(&head, PH_STR("sec-websocket-accept"), accept);
	put_account_headers(x, &head);
	put_scripted_headers(x, &head);
	ph_http_put_end(&head);
	ph_buf_puts(&head, ph_buf_str(b));
	ph_buf_reset(b);
	ph_buf_puts(b, ph_buf_str(&head));
	ph_buf_deinit(&head);
	x->play.steps[0].end = b->n;
	x->play.steps[0].delay_ms += (uint64_t)FAKE_DO(x->todo, first_delay_ms, 0);
	if (x->record)
		x->record->status = 101;
	fake_play_start(x);
}

/* Not a byte of an answer. */
void fake_answer_nothing(struct fake_exchange *x, enum fake_ending ending)
{
	x->play.ending = ending;
	x->play.steps[0].delay_ms = (uint64_t)FAKE_DO(x->todo, first_delay_ms, 0);
	fake_play_start(x);
}
