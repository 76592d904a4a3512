/* SPDX-License-Identifier: Apache-2.0 */
/* Events that the relay writes: upstream's with spans of their JSON replaced, in the framing that the client
 * reads, and the end of a broken answer. */
#include "posthouse/ws.h"
#include "request_priv.h"

#define FAILED_MAX (16 * 1024 * 1024)

struct ph_patch ph_patch_of(const struct ph_sse_unit *u, const struct ph_json_member *m, struct ph_str with)
{
	size_t from = (size_t)(m->value.p - u->data.p);

	return (struct ph_patch){from, from + m->value.n, with};
}

/* A line end in JSON is only white space, but it ends a field of SSE. */
static void join_lines(struct ph_buf *b, size_t from)
{
	for (size_t i = from; i < b->n; i++)
		if (b->p[i] == '\n' || b->p[i] == '\r')
			b->p[i] = ' ';
}

static void put_json(struct ph_buf *out, struct ph_str json, const struct ph_patch *p, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		ph_buf_puts(out, ph_str(json.p + at, p[i].from - at));
		ph_buf_puts(out, p[i].with);
		at = p[i].to;
	}
	ph_buf_puts(out, ph_str_from(json, at));
}

/* Data of several lines is joined into one. */
void ph_patch_put(struct ph_buf *out, const struct ph_sse_unit *u, const struct ph_patch *p, size_t n)
{
	size_t start;

	if (u->data_offset != SIZE_MAX) {
		ph_buf_puts(out, ph_str(u->raw.p, u->data_offset));
		put_json(out, u->data, p, n);
		ph_buf_puts(out, ph_str_from(u->raw, u->data_offset + u->data.n));
		return;
	}
	if (u->event.n)
		ph_buf_printf(out, "event: %.*s\n", PH_STR_ARG(u->event));
	ph_buf_puts(out, PH_STR("data: "));
	start = out->n;
	put_json(out, u->data, p, n);
	join_lines(out, start);
	ph_buf_puts(out, PH_STR("\n\n"));
}

/* ---- in another framing ---- */

/* As a frame, whose size is known before its bytes are written. The stream_id becomes the last member. */
static void put_message(
	struct ph_buf *out, const struct ph_dress *d, struct ph_str json, const struct ph_patch *p, size_t n)
{
	static const struct ph_str name = PH_STR_INIT(",\"stream_id\":");
	struct ph_str object = ph_str_trim(json);
	size_t size;

	if (d->stream_id.n) /* no event of ours or an upstream's is empty */
		json.n = (size_t)(object.p - json.p) + object.n - 1;
	size = json.n + (d->stream_id.n ? name.n + d->stream_id.n + 1 : 0);
	for (size_t i = 0; i < n; i++)
		size += p[i].with.n - (p[i].to - p[i].from);
	ph_ws_put_text_head(out, size);
	put_json(out, json, p, n);
	if (!d->stream_id.n)
		return;
	ph_buf_puts(out, name);
	ph_buf_puts(out, d->stream_id);
	ph_buf_putc(out, '}');
}

void ph_put_event(struct ph_buf *out, const struct ph_dress *d, struct ph_str type, struct ph_str json)
{
	if (d->framing == PH_FRAMING_WS)
		put_message(out, d, json, NULL, 0);
	else
		ph_sse_put(out, type, json);
}

void ph_patch_put_dressed(struct ph_buf *out, const struct ph_dress *d, const struct ph_event *e,
	const struct ph_patch *p, size_t n)
{
	struct ph_buf json;

	if (d->framing == PH_FRAMING_WS) {
		put_message(out, d, e->unit->data, p, n);
		return;
	}
	ph_buf_init(&json, out->max);
	put_json(&json, e->unit->data, p, n);
	join_lines(&json, 0);
	ph_sse_put(out, e->name, ph_buf_str(&json));
	ph_buf_deinit(&json);
}

/* ---- the end of a broken answer ---- */

#define FAILED_ERROR                                                                                         \
	PH_STR("{\"code\":\"server_error\",\"message\":\"The upstream failed while it answered. Retry the "  \
	       "request.\"}")

/* The response object that was shown in `created`, with status failed and an error. */
static void put_failed_response(struct ph_buf *out, struct ph_str created)
{
	static const struct ph_str names[2] = {PH_STR_INIT("status"), PH_STR_INIT("error")};
	const struct ph_str values[2] = {PH_STR("\"failed\""), FAILED_ERROR};
	struct ph_json_member m[2];
	size_t at = 0;

	if (!ph_json_find(created, names, 2, m)) {
		ph_buf_puts(out, PH_STR("{\"object\":\"response\",\"status\":\"failed\",\"error\":"));
		ph_buf_puts(out, values[1]);
		ph_buf_putc(out, '}');
		return;
	}
	ph_buf_putc(out, '{');
	for (size_t i = 0; i < 2; i++) {
		if (m[i].kind != PH_JSON_ABSENT)
			continue;
		ph_buf_printf(out, "\"%.*s\":%.*s,", PH_STR_ARG(names[i]), PH_STR_ARG(values[i]));
	}
	at = 1;
	for (size_t i = 0; i < 2; i++) {
		size_t k =
			m[0].kind != PH_JSON_ABSENT && m[1].kind != PH_JSON_ABSENT && m[0].start > m[1].start
				? 1 - i
				: i;

		if (m[k].kind == PH_JSON_ABSENT)
			continue;
		ph_buf_puts(out, ph_str(created.p + at, (size_t)(m[k].value.p - created.p) - at));
		ph_buf_puts(out, values[k]);
		at = (size_t)(m[k].value.p - created.p) + m[k].value.n;
	}
	ph_buf_puts(out, ph_str_from(created, at));
}

void ph_put_failed_event(struct ph_buf *out, const struct ph_dress *d, struct ph_str created, int64_t number)
{
	struct ph_buf json;

	ph_buf_init(&json, FAILED_MAX);
	ph_buf_printf(&json,
		"{\"type\":\"response.failed\",\"sequence_number\":%lld,\"response\":", (long long)number);
	put_failed_response(&json, created);
	ph_buf_putc(&json, '}');
	join_lines(&json, 0);
	ph_put_event(out, d, PH_STR("response.failed"), ph_buf_str(&json));
	ph_buf_deinit(&json);
}
