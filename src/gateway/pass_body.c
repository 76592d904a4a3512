/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a relayed request. JSON is collected, decoded and read, for it says which model it wants and
 * may name what an account keeps. All else passes by as it comes, of any size: what has come is held until
 * there is a connection, up to a mark at which the client waits. A form is looked at while it passes: its
 * first bytes are held until they have told what they name, and whatever names an id behind them ends the
 * request before the upstream has all of it.
 */
#include "pass.h"

#define HOLD     (64 * 1024)
#define HELD_MAX (4 * 1024 * 1024) /* above the mark, and what was on its way when the client was told */

void ph_pass_body_free(struct ph_pass *p)
{
	ph_buf_deinit(&p->held);
	p->form = ph_multipart_free(p->form);
}

bool ph_pass_again(const struct ph_pass *p)
{
	return !p->gone;
}

static void block(struct ph_side *s, bool on)
{
	struct ph_pass *p = s->data;

	if (p->blocked == on || p->complete)
		return;
	p->blocked = on;
	s->x->ops->read(s->x->end, !on);
}

/* ---- what comes ---- */

static void refuse_later(struct ph_side *s, int rc)
{
	struct ph_pass *p = s->data;

	p->bad = rc;
	ph_defer_call(s->g->loop, &p->later);
}

/* What the field names, or a part of its name in brackets: "file_ids[]", "input_reference[file_id]". */
static const char *noun_of(struct ph_str name)
{
	const char *noun = NULL;

	while (name.n && !noun) {
		struct ph_str part = ph_str_split(&name, '[');

		if (part.n && part.p[part.n - 1] == ']')
			part.n--;
		noun = ph_owned_noun(part);
	}
	return noun;
}

static void take_model(struct ph_side *s, struct ph_str value)
{
	struct ph_pass *p = s->data;

	if (p->choice.model.n && !ph_str_eq(p->choice.model, value))
		refuse_later(s, ph_fail_param(&p->why, PH_E_PARAM_BAD, "model", "It is there twice."));
	else if (!p->begun)
		p->choice.model = ph_arena_dup(&s->arena, value);
	else if (!ph_pass_allows(s, value))
		refuse_later(s, ph_fail(&p->why, PH_E_MODEL_DENIED, "%s", ""));
}

static void on_field(void *arg, struct ph_str name, struct ph_str value)
{
	struct ph_side *s = arg;
	struct ph_pass *p = s->data;
	const char *noun = noun_of(name);

	if (ph_str_eq(name, PH_STR("model")) && value.p)
		take_model(s, value);
	if (!noun)
		return;
	if (value.p && !p->begun)
		ph_owned_name(&p->ids, ph_arena_dup(&s->arena, value), noun, "");
	else
		refuse_later(s,
			ph_fail(&p->why, PH_E_PARAM_BAD,
				"A form that names what is kept upstream must do so in its first %d bytes.",
				HOLD));
}

static void on_piece(void *h, struct ph_str bytes)
{
	struct ph_side *s = h;
	struct ph_pass *p = s->data;

	if (p->bad)
		return;
	p->bytes_in += bytes.n;
	if (p->form && ph_multipart_feed(p->form, bytes))
		refuse_later(s, ph_fail(&p->why, PH_E_BODY_BAD, "A part's head in the form cannot be read."));
	if (p->bad)
		return;
	if (p->connected) {
		if (ph_call_push(p->call, bytes) <= 0)
			block(s, true);
		return;
	}
	if (ph_buf_puts(&p->held, bytes))
		refuse_later(s, ph_fail(&p->why, PH_E_INTERNAL, "more came than was asked for"));
	if (p->held.n < HOLD)
		return;
	block(s, true);
	if (!p->begun)
		ph_defer_call(s->g->loop, &p->later);
}

static void on_later(void *arg)
{
	struct ph_side *s = arg;
	struct ph_pass *p = s->data;

	if (p->bad)
		ph_pass_fail(s, p->bad, &p->why);
	else if (!p->begun)
		ph_pass_begin(s);
}

/* ---- the way it is read ---- */

static bool is_bytes(struct ph_str type)
{
	static const struct ph_str kinds[] = {PH_STR_INIT("audio/"), PH_STR_INIT("image/"),
		PH_STR_INIT("video/"), PH_STR_INIT("application/octet-stream")};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (ph_str_find_nocase(type, kinds[i]) == 0)
			return true;
	return false;
}

static void stream(struct ph_side *s, struct ph_str type)
{
	struct ph_pass *p = s->data;

	p->form = ph_multipart_new(type, on_field, s);
	if (!p->form && !is_bytes(type))
		return;
	p->streamed = true;
	s->x->on_piece = on_piece;
}

void ph_pass_admit(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	const struct ph_head *head = s->x->head;
	bool encoded = ph_head_get(head, PH_STR("content-encoding")).n > 0;

	ph_buf_init(&p->held, HELD_MAX);
	ph_defer_init(&p->later, on_later, s);
	if (head->has_body && !encoded)
		stream(s, ph_head_get(head, PH_STR("content-type")));
	if (s->x->ops->read_body(s->x->end))
		ph_pass_body_ready(s);
	else if (p->streamed && !p->form)
		ph_pass_begin(s);
}

static void body_sent(struct ph_side *s)
{
	struct ph_pass *p = s->data;

	ph_call_push_end(p->call);
	ph_timer_start(&p->timer, s->g->config->answer_timeout_ms);
}

void ph_pass_body_ready(struct ph_side *s)
{
	struct ph_pass *p = s->data;

	p->complete = true;
	if (!p->streamed)
		p->bytes_in = s->x->body.n;
	if (p->bad)
		return;
	if (!p->begun)
		ph_pass_begin(s);
	else if (p->connected && !p->head_sent)
		body_sent(s);
	else if (p->connected)
		ph_call_push_end(p->call);
}

/* ---- what it names ---- */

/* Query parameters that name ids, too. */
static int query_names(struct ph_side *s, struct ph_err *err)
{
	struct ph_pass *p = s->data;
	struct ph_str query = s->x->query;

	while (query.n) {
		struct ph_str value = ph_str_split(&query, '&'), name = ph_str_split(&value, '='), text;
		char *space = ph_arena_alloc(&s->arena, 2 * (name.n + value.n + 1));

		text = ph_str(space, 0);
		if (!space || ph_percent_decode(name, true, space, name.n + 1, &text.n))
			return ph_fail(err, PH_E_PARAM_BAD, "The query cannot be read.");
		const char *noun = noun_of(text);
		if (!noun)
			continue;
		text.p = space + name.n + 1;
		if (ph_percent_decode(value, true, space + name.n + 1, value.n + 1, &text.n))
			return ph_fail(err, PH_E_PARAM_BAD, "The query cannot be read.");
		ph_owned_name(&p->ids, text, noun, "");
	}
	return 0;
}

static int path_names(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	struct ph_str raw = p->route.id, id;
	char *space;

	if (!raw.n)
		return 0;
	space = ph_arena_alloc(&s->arena, raw.n + 1);
	id = ph_str(space, 0);
	/* What cannot be decoded is an id that nobody owns. */
	if (!space || ph_percent_decode(raw, false, space, raw.n + 1, &id.n) || id.n == 0)
		id = raw;
	ph_owned_name(&p->ids, id, p->route.collection->noun, "");
	return 0;
}

static int json_names(struct ph_side *s, struct ph_err *err)
{
	static const struct ph_str name = PH_STR_INIT("model");
	struct ph_pass *p = s->data;
	struct ph_str body = ph_buf_str(&s->x->body);
	struct ph_json_member m;
	int rc;

	if (p->streamed || body.n == 0)
		return 0;
	rc = ph_json_scan(body, &name, 1, &m, err);
	if (rc)
		return rc;
	if (m.kind == PH_JSON_STRING)
		ph_json_text(m.value, &s->arena, &p->choice.model);
	ph_owned_names(body, &s->arena, &p->ids);
	return 0;
}

int ph_pass_names(struct ph_side *s, struct ph_err *err)
{
	int rc = path_names(s);

	if (rc == 0)
		rc = query_names(s, err);
	return rc ? rc : json_names(s, err);
}

/* ---- sending ---- */

static void on_room(void *owner)
{
	block(owner, false);
}

static void put_type(struct ph_side *s, struct ph_buf *head)
{
	struct ph_str type = ph_head_get(s->x->head, PH_STR("content-type"));

	if (type.n)
		ph_http_put_header(head, PH_STR("content-type"), type);
}

void ph_pass_send(struct ph_side *s, struct ph_call_request *r)
{
	struct ph_pass *p = s->data;
	const struct ph_call_upload upload = {s->x->head->length, on_room};
	struct ph_buf body;

	put_type(s, r->head);
	if (p->streamed && !p->complete) {
		ph_timer_start(&p->timer, s->g->config->idle_timeout_ms);
		p->call = ph_call_upload(s->g->upstream, r, &upload, &ph_pass_events, s);
		return;
	}
	ph_buf_init(&body, p->streamed ? HELD_MAX : s->x->body.max);
	ph_buf_puts(&body, p->streamed ? ph_buf_str(&p->held) : ph_buf_str(&s->x->body));
	if (s->x->head->has_body)
		r->body = &body;
	ph_timer_start(&p->timer, s->g->config->answer_timeout_ms);
	p->call = ph_call_start(s->g->upstream, r, &ph_pass_events, s);
	p->whole = true;
	ph_buf_deinit(&body);
}

void ph_pass_connected(struct ph_side *s)
{
	struct ph_pass *p = s->data;
	long room;

	if (p->whole)
		return;
	p->connected = p->gone = true;
	room = ph_call_push(p->call, ph_buf_str(&p->held));
	ph_buf_deinit(&p->held);
	if (p->complete)
		body_sent(s);
	else if (room > 0)
		block(s, false);
}
