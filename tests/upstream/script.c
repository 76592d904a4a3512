/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts: what a test ordered for an answer. One table says which members there are, of which type, and
 * where they go. A script comes from a marker {{fake: {..}}} in the last user text, from an account's queue,
 * or stands for all of an account's requests.
 */
#include <stddef.h>
#include <stdlib.h>

#include "fake.h"
#include "posthouse/crypt.h"

enum type {
	NUMBER,
	YES_NO,
	TEXT,
	TEXT_OR_JSON,
	OBJECT,
	ARRAY,
	WORD
};

struct member {
	const char *name;
	enum type type;
	size_t offset;
	const char *const *words; /* WORD: the value is the index + 1 */
};

static const char *const points[] = {
	"head", "open", "created", "added", "item", "item_done", "output", "cut", "terminal", "body", NULL};
static const char *const faults[] = {"end", "eof", "reset", "silence", "close", "failed", "failed_bare",
	"incomplete", "error", "error_nested", "error_wrapped", NULL};
static const char *const framings[] = {"chunked", "length", "eof", NULL};
static const char *const outputs[] = {"full", "empty", "null", "absent", NULL};
static const char *const shapes[] = {"wrapped", "flat", "alias", "typed", "untyped", "bare", NULL};
static const char *const steers[] = {"accepted", "failed", "unsupported", NULL};
static const char *const line_ends[] = {"lf", "crlf", "cr", NULL};

#define M(name, type, words) {#name, type, offsetof(struct fake_do, name), words}
static const struct member members[] = {
	M(status, NUMBER, NULL),
	M(retry_after, NUMBER, NULL),
	M(html, YES_NO, NULL),
	M(close, YES_NO, NULL),
	M(first_delay_ms, NUMBER, NULL),
	M(body, TEXT_OR_JSON, NULL),
	M(headers, OBJECT, NULL),
	M(informational, ARRAY, NULL),
	M(raw, TEXT, NULL),
	M(content_type, TEXT, NULL),
	M(framing, WORD, framings),
	M(slice, NUMBER, NULL),
	M(slice_delay_ms, NUMBER, NULL),
	M(code, TEXT, NULL),
	M(message, TEXT, NULL),
	M(type, TEXT, NULL),
	M(param, TEXT, NULL),
	M(reason, TEXT, NULL),
	M(error, OBJECT, NULL),
	M(text, TEXT, NULL),
	M(id, TEXT, NULL),
	M(items, ARRAY, NULL),
	M(calls, ARRAY, NULL),
	M(usage, OBJECT, NULL),
	M(text_bytes, NUMBER, NULL),
	M(reasoning, YES_NO, NULL),
	M(say, YES_NO, NULL),
	M(odd, YES_NO, NULL),
	M(deltas, NUMBER, NULL),
	M(delta_bytes, NUMBER, NULL),
	M(delay_ms, NUMBER, NULL),
	M(stamp, YES_NO, NULL),
	M(obfuscation, YES_NO, NULL),
	M(output, WORD, outputs),
	M(sequence, NUMBER, NULL),
	M(queued, YES_NO, NULL),
	M(work_ms, NUMBER, NULL),
	M(before, ARRAY, NULL),
	M(events, ARRAY, NULL),
	M(after, ARRAY, NULL),
	M(skip, ARRAY, NULL),
	M(done, NUMBER, NULL),
	M(line_end, WORD, line_ends),
	M(comments, YES_NO, NULL),
	M(pretty, YES_NO, NULL),
	M(no_event, YES_NO, NULL),
	M(bom, YES_NO, NULL),
	M(at, WORD, points),
	M(at_event, NUMBER, NULL),
	M(fault, WORD, faults),
	M(for_ms, NUMBER, NULL),
	M(then, WORD, faults),
	M(shape, WORD, shapes),
	M(error_status, NUMBER, NULL),
	M(fragment, NUMBER, NULL),
	M(pings, YES_NO, NULL),
	M(deaf, YES_NO, NULL),
	M(max_turns, NUMBER, NULL),
	M(steer, WORD, steers),
	M(close_code, NUMBER, NULL),
	M(close_reason, TEXT, NULL),
	M(canned, YES_NO, NULL),
	M(on, ARRAY, NULL),
	M(times, NUMBER, NULL),
};
#undef M

static bool is_number(enum type type)
{
	return type == NUMBER || type == YES_NO;
}

static struct fake_do *do_new(void)
{
	struct fake_do *d = ph_alloc(sizeof(*d));

	d->refs = 1;
	ph_list_init(&d->node);
	ph_arena_init(&d->arena, FAKE_BODY_MAX);
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		if (is_number(members[i].type))
			*(int64_t *)(void *)((char *)d + members[i].offset) = FAKE_UNSET;
	return d;
}

struct fake_do *fake_do_ref(struct fake_do *d)
{
	d->refs++;
	return d;
}

struct fake_do *fake_do_unref(struct fake_do *d)
{
	if (!d || --d->refs > 0)
		return NULL;
	ph_list_remove(&d->node);
	for (size_t i = 0; i < sizeof(d->cans) / sizeof(*d->cans); i++)
		d->cans[i] = fake_canned_free(d->cans[i]);
	ph_arena_deinit(&d->arena);
	free(d);
	return NULL;
}

static bool read_number(struct ph_str value, int64_t *ret)
{
	uint64_t n;

	if (!ph_json_u64(value, &n) || n > INT64_MAX)
		return false;
	*ret = (int64_t)n;
	return true;
}

static bool read_word(struct ph_str value, const char *const *words, int64_t *ret)
{
	for (int64_t i = 0; words[i]; i++) {
		if (ph_json_text_is(value, ph_str_c(words[i]))) {
			*ret = i + 1;
			return true;
		}
	}
	return false;
}

static bool read_yes(enum ph_json_kind kind, int64_t *ret)
{
	*ret = kind == PH_JSON_TRUE;
	return kind == PH_JSON_TRUE || kind == PH_JSON_FALSE;
}

static bool read_text(struct fake_do *d, struct ph_str value, struct ph_str *ret)
{
	struct ph_str text;

	if (!ph_json_text(value, &d->arena, &text))
		return false;
	*ret = text.p ? text : PH_STR("");
	return true;
}

static bool read_value(struct fake_do *d, const struct member *m, struct ph_str value)
{
	enum ph_json_kind kind = ph_json_kind(value);
	void *to = (char *)d + m->offset;

	switch (m->type) {
	case NUMBER:
		return read_number(value, to);
	case YES_NO:
		return read_yes(kind, to);
	case WORD:
		return kind == PH_JSON_STRING && read_word(value, m->words, to);
	case TEXT:
		return read_text(d, value, to);
	case TEXT_OR_JSON:
		if (kind == PH_JSON_STRING)
			return read_text(d, value, to);
		break;
	case OBJECT:
		if (kind != PH_JSON_OBJECT)
			return false;
		break;
	case ARRAY:
		if (kind != PH_JSON_ARRAY)
			return false;
		break;
	}
	*(struct ph_str *)to = value;
	return true;
}

static int read_member(struct fake_do *d, struct ph_str name, struct ph_str value, struct ph_err *err)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++) {
		if (!ph_str_eq(name, ph_str_c(members[i].name)))
			continue;
		if (read_value(d, &members[i], value))
			return 0;
		return ph_fail(err, PH_E_PARAM_BAD, "fake script: bad value of \"%.*s\": %.*s",
			PH_STR_ARG(name), (int)(value.n < 100 ? value.n : 100), value.p);
	}
	return ph_fail(err, PH_E_PARAM_BAD, "fake script: unknown member \"%.*s\"", PH_STR_ARG(name));
}

/* A fault that could never happen is an error like any other. */
static int check_fault(const struct fake_do *d, struct ph_err *err)
{
	if ((d->at || d->at_event != FAKE_UNSET || d->for_ms != FAKE_UNSET) && !d->fault)
		return ph_fail(err, PH_E_PARAM_BAD, "fake script: a point without \"fault\"");
	if (d->then && d->fault != FAKE_SILENCE)
		return ph_fail(err, PH_E_PARAM_BAD, "fake script: \"then\" follows a silence");
	if (d->at == FAKE_AT_HEAD && (d->fault > FAKE_SHUT || d->then > FAKE_SHUT))
		return ph_fail(err, PH_E_PARAM_BAD,
			"fake script: at \"head\" only end, eof, reset, silence and close");
	return 0;
}

struct fake_do *fake_do_parse(struct ph_str json, struct ph_err *err)
{
	struct fake_do *d = do_new();
	struct ph_str text = ph_arena_dup(&d->arena, json), name, value;
	size_t offset = 0;
	int result = ph_json_check(text, err);

	if (!result && ph_json_kind(ph_str_trim(text)) != PH_JSON_OBJECT)
		result = ph_fail(err, PH_E_PARAM_BAD, "fake script: not an object");
	while (!result && fake_member_next(text, &offset, &name, &value))
		result = read_member(d, name, value, err);
	if (!result)
		result = check_fault(d, err);
	return result ? fake_do_unref(d) : d;
}

/* ---- choosing ---- */

/* The object within {{fake: OBJECT}}, or PH_STR_NONE. */
static struct ph_str marker_find(struct ph_str text)
{
	static const struct ph_str mark = {"{{fake:", 7};
	ptrdiff_t at = ph_str_find(text, mark);

	if (at < 0)
		return PH_STR_NONE;
	struct ph_str rest = ph_str_trim(ph_str_from(text, (size_t)at + mark.n));
	size_t end = rest.n && rest.p[0] == '{' ? fake_value_end(rest, 0) : 0;

	return end ? ph_str(rest.p, end) : PH_STR("?");
}

static bool listed(struct ph_str array, const char *name)
{
	struct ph_str element;
	size_t offset = 0;

	while (ph_json_next(array, &offset, &element))
		if (ph_json_text_is(element, ph_str_c(name)))
			return true;
	return false;
}

/* Whether a marker that holds only so many times is still good; counts this one. */
static bool times_left(struct fake_server *s, struct ph_str text, int64_t times)
{
	uint64_t hash = ph_hash64(text, 0x66616b65) | 1;

	for (size_t i = 0; i < FAKE_TIMES; i++) {
		struct fake_times *t = &s->times[(hash + i) % FAKE_TIMES];

		if (t->hash == 0)
			*t = (struct fake_times){hash, times};
		if (t->hash == hash)
			return t->left-- > 0;
	}
	return false;
}

static bool is_for(const struct fake_do *d, enum fake_for what)
{
	return d->any || what == (d->upgrade ? FAKE_FOR_UPGRADE : FAKE_FOR_TURN);
}

static struct fake_do *queue_take(struct fake_account *a, enum fake_for what)
{
	PH_LIST_EACH (n, &a->scripts) {
		struct fake_do *d = PH_CONTAINER(n, struct fake_do, node);

		if (!is_for(d, what))
			continue;
		fake_do_ref(d);
		if (--d->count <= 0) {
			ph_list_remove(&d->node);
			fake_do_unref(d);
		}
		return d;
	}
	return NULL;
}

int fake_do_choose(struct fake_exchange *x, struct ph_str user_text, enum fake_for what, struct fake_do **ret,
	struct ph_err *err)
{
	struct ph_str marker = marker_find(user_text);
	struct fake_do *d;

	if (marker.n) {
		d = fake_do_parse(marker, err);
		if (!d)
			return -PH_E_PARAM_BAD;
		bool here = !d->on.p || listed(d->on, x->account->name);
		if (here && (d->times == FAKE_UNSET || times_left(x->server, user_text, d->times))) {
			*ret = d;
			return 0;
		}
		fake_do_unref(d);
	}
	d = queue_take(x->account, what);
	struct fake_do *standing = what == FAKE_FOR_TURN      ? x->account->standing
				   : what == FAKE_FOR_UPGRADE ? x->account->upgrading
							      : NULL;
	if (!d && standing)
		d = fake_do_ref(standing);
	*ret = d;
	return 0;
}
