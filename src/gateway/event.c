/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One event of an answer, as any upstream told it: its class, and where the few members stand that the relay
 * acts on. Whether it came as a unit of an SSE stream or as a message of a WebSocket is no matter here.
 */
#include "request_priv.h"

#define NAMES_MAX 4096
#define TYPE_MAX  128

static const struct ph_str member_names[PH_EV_NR] = {
	[PH_EV_TYPE] = PH_STR_INIT("type"),
	[PH_EV_NUMBER] = PH_STR_INIT("sequence_number"),
	[PH_EV_RESPONSE] = PH_STR_INIT("response"),
	[PH_EV_INDEX] = PH_STR_INIT("output_index"),
	[PH_EV_ITEM] = PH_STR_INIT("item"),
};

static const struct {
	struct ph_str type;
	enum ph_event_class class;
} classes[] = {
	{PH_STR_INIT("response.output_item.done"), PH_EVENT_ITEM_DONE},
	{PH_STR_INIT("response.created"), PH_EVENT_CREATED},
	{PH_STR_INIT("response.queued"), PH_EVENT_LIFECYCLE},
	{PH_STR_INIT("response.in_progress"), PH_EVENT_LIFECYCLE},
	{PH_STR_INIT("response.completed"), PH_EVENT_COMPLETED},
	{PH_STR_INIT("response.incomplete"), PH_EVENT_INCOMPLETE},
	{PH_STR_INIT("response.failed"), PH_EVENT_FAILED},
	{PH_STR_INIT("error"), PH_EVENT_ERROR},
	{PH_STR_INIT("keepalive"), PH_EVENT_KEEPALIVE},
	{PH_STR_INIT("response.metadata"), PH_EVENT_TELEMETRY},
};

/* Some send their errors without a type, and some without an error object; the Codex backend says `detail`.
 */
static bool is_bare_error(struct ph_str json)
{
	enum {
		ERROR,
		DETAIL,
		CODE,
		STATUS,
		NR
	};
	static const struct ph_str names[NR] = {
		PH_STR_INIT("error"), PH_STR_INIT("detail"), PH_STR_INIT("code"), PH_STR_INIT("status")};
	struct ph_json_member m[NR];

	if (!ph_json_find(json, names, NR, m))
		return false;
	return m[ERROR].kind == PH_JSON_OBJECT || m[DETAIL].kind > PH_JSON_NULL ||
	       (m[CODE].kind == PH_JSON_STRING && m[STATUS].kind == PH_JSON_NUMBER);
}

static enum ph_event_class class_of(struct ph_str type)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
		if (ph_str_eq(type, classes[i].type))
			return classes[i].class;
	return ph_str_starts(type, PH_STR("codex.")) ? PH_EVENT_TELEMETRY : PH_EVENT_OTHER;
}

static enum ph_event_class class_of_untyped(const struct ph_sse_unit *u)
{
	return u->event.n == 0 && is_bare_error(u->data) ? PH_EVENT_ERROR : class_of(u->event);
}

/* What is wanted of one event. */
struct reading {
	struct ph_event *e;
	struct ph_arena texts; /* of names and types that hold escapes */
	bool typed;
};

/* The type itself, where it stands in the bytes as it reads. */
static struct ph_str plain_text(struct ph_str quoted)
{
	struct ph_str text = ph_str(quoted.p + 1, quoted.n - 2);

	return memchr(text.p, '\\', text.n) ? PH_STR_NONE : text;
}

static void take_member(struct reading *g, struct ph_str quoted, struct ph_str value)
{
	struct ph_event *e = g->e;
	struct ph_str name, type;
	size_t i = 0;

	if (!ph_json_text(quoted, &g->texts, &name))
		return;
	while (i < PH_EV_NR && !ph_str_eq(name, member_names[i]))
		i++;
	if (i == PH_EV_NR)
		return;
	e->m[i] = (struct ph_json_member){.kind = ph_json_kind(value), .value = value};
	if (i != PH_EV_TYPE || e->m[i].kind != PH_JSON_STRING)
		return;
	g->typed = true;
	e->name = plain_text(value);
	e->class = ph_json_text(value, &g->texts, &type) ? class_of(type) : PH_EVENT_OTHER;
}

/* Nothing else is wanted of an event that passes as it is. */
static bool knows_enough(const struct reading *g)
{
	return g->typed && g->e->class == PH_EVENT_OTHER && g->e->m[PH_EV_NUMBER].kind != PH_JSON_ABSENT;
}

/* Member by member, and only as far as anything is wanted: type and number stand in front. False: no object.
 */
static bool read_members(struct reading *g, struct ph_str json)
{
	size_t at = 0, end = 0;
	struct ph_str name, value;

	while (!knows_enough(g)) {
		if (!ph_json_pair(json, &at, &name, &value)) {
			json = ph_str_trim(ph_str_from(json, end));
			return ph_str_eq(json, PH_STR("}")) ||
			       (end == 0 && ph_str_starts(json, PH_STR("{")) &&
				       ph_str_eq(ph_str_trim(ph_str_from(json, 1)), PH_STR("}")));
		}
		take_member(g, name, value);
		end = at;
	}
	return true;
}

static bool take_word(struct ph_str *rest, struct ph_str word)
{
	if (!ph_str_starts(*rest, word))
		return false;
	*rest = ph_str_from(*rest, word.n);
	return true;
}

static bool take_type(struct ph_str *rest, struct ph_str event, struct ph_str *ret)
{
	const char *quote = memchr(rest->p, '"', rest->n < TYPE_MAX ? rest->n : TYPE_MAX);

	if (!quote)
		return false;
	*ret = ph_str(rest->p, (size_t)(quote - rest->p));
	*rest = ph_str_from(*rest, ret->n);
	/* A backslash is in no event's name: such a type is read with care. */
	return event.n ? ph_str_eq(*ret, event) : !memchr(ret->p, '\\', ret->n);
}

/* What nearly every event is: {"type":"EVENT","sequence_number":N and something behind it, EVENT being one of
 * those that pass as they are, and where there is a name in front of the JSON, that name. */
static bool is_plain(const struct ph_sse_unit *u, struct ph_event *e)
{
	struct ph_str rest = u->data;
	size_t n = 0;

	if (!take_word(&rest, PH_STR("{\"type\":\"")) || !take_type(&rest, u->event, &e->name) ||
		!take_word(&rest, PH_STR("\",\"sequence_number\":")))
		return false;
	while (n < rest.n && rest.p[n] >= '0' && rest.p[n] <= '9')
		n++;
	if (n == 0 || n == rest.n || rest.p[n] != ',' || class_of(e->name) != PH_EVENT_OTHER)
		return false;
	e->m[PH_EV_NUMBER] = (struct ph_json_member){.kind = PH_JSON_NUMBER, .value = ph_str(rest.p, n)};
	return true;
}

bool ph_event_read(const struct ph_sse_unit *u, struct ph_event *e)
{
	struct reading g = {.e = e};
	bool read;

	memset(e, 0, sizeof *e);
	e->unit = u;
	if (is_plain(u, e))
		return true;
	e->name = u->event;
	ph_arena_init(&g.texts, NAMES_MAX);
	read = read_members(&g, u->data);
	ph_arena_deinit(&g.texts);
	if (read && !g.typed)
		e->class = class_of_untyped(u);
	return read;
}
