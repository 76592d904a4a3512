/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The span scanner: the one parser that we write. It judges bytes and reports offsets; it builds nothing.
 *
 * Nearly all bytes of a request stand inside strings, so the speed is that of ph_plain_run(), which takes 16
 * at a time; what is outside of strings goes byte by byte. Nesting is a bit per level (object or array) in a
 * fixed array, not recursion: a peer chooses the depth.
 *
 * Text that was validated before ("trusted") goes through the same code; only its strings are skipped without
 * a look at their bytes. Bounds are checked all the same, so a caller that is wrong about the validation gets
 * a wrong answer at worst.
 */
#include "posthouse/json.h"

#include "base_priv.h"

#define NONE SIZE_MAX

struct scan {
	const char *p, *end, *start;
	bool trusted;                      /* validated before: strings are skipped, not judged */
	bool escaped;                      /* the string that was skipped last holds a backslash */
	bool strict;                       /* numbers and literals by their grammar: inside wanted members */
	size_t list;                       /* the wanted member whose elements are shown */
	const struct ph_json_watch *watch; /* to whom, or NULL */
	unsigned depth;
	const char *wrong; /* what is wrong at p, or NULL */
	uint64_t objects[PH_JSON_DEPTH / 64];
};

static bool fail(struct scan *s, const char *at, const char *what)
{
	s->p = at;
	s->wrong = what;
	return false;
}

/* The first byte that is no white space, or NUL at the end, which is valid nowhere. */
static inline char peek(struct scan *s)
{
	while (s->p < s->end) {
		char c = *s->p;

		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return c;
		s->p++;
	}
	return '\0';
}

/* ---- strings ---- */

/* Steps over one escape sequence. Text that was validated before needs no look at it. */
static const char *skip_escape(struct scan *s, const char *p)
{
	s->escaped = true;
	if (s->end - p >= 2 && (s->trusted || ph_json_letter(p[1])))
		return p + 2;
	if (s->end - p >= 2 && p[1] == 'u' && ph_hex4(p + 2, s->end) >= 0)
		return p + 6;
	fail(s, p, "a bad escape sequence");
	return NULL;
}

/* Behind a run of characters above U+007F, or where it is wrong. */
static const char *wide_end(const char *p, const char *end)
{
	size_t n;

	while (p < end && (unsigned char)*p >= 0x80 && (n = ph_utf8_len(p, (size_t)(end - p))) > 0)
		p += n;
	return p;
}

/* Steps over what ended a run and is no quote. */
static const char *skip_special(struct scan *s, const char *p)
{
	const char *behind;

	if (*p == '\\')
		return skip_escape(s, p);
	if ((unsigned char)*p < 0x20) {
		fail(s, p, "a control character in a string");
		return NULL;
	}
	behind = wide_end(p, s->end);
	if (behind < s->end && (unsigned char)*behind >= 0x80) {
		fail(s, behind, "invalid UTF-8");
		return NULL;
	}
	return behind;
}

/* To the closing quote, run by run. */
static inline bool skip_runs(struct scan *s, const char *p, bool trusted)
{
	while (p) {
		p += ph_run(p, (size_t)(s->end - p), trusted);
		if (p == s->end)
			return fail(s, s->p, "a string without end");
		if (*p == '"') {
			s->p = p + 1;
			return true;
		}
		p = skip_special(s, p);
	}
	return false;
}

#ifdef PH_BLOCK
static bool escapes_ok(const struct scan *s, const char *block, uint64_t escaped)
{
	for (; escaped; escaped &= escaped - 1) {
		const char *p = block + __builtin_ctzll(escaped);

		if (!ph_json_letter(*p) && (*p != 'u' || ph_hex4(p + 1, s->end) < 0))
			return false;
	}
	return true;
}

/* Bytes of a block that are neither plain nor part of an escape sequence must be UTF-8. *next comes to stand
 * behind the last character that begins in the block. */
static bool wide_ok(const struct scan *s, const char *block, uint64_t judged, const char **next)
{
	while (judged) {
		const char *p = block + __builtin_ctzll(judged), *behind = wide_end(p, s->end);

		if (behind == p || (behind < s->end && (unsigned char)*behind >= 0x80))
			return false;
		if (behind >= *next) {
			*next = behind;
			return true;
		}
		judged &= UINT64_MAX << (behind - block);
	}
	return true;
}

/*
 * The same for whole blocks: bytes become masks, and escape sequences are found without a branch for each,
 * for no processor foresees how long the next run is. Stops on the closing quote, where less than a block is
 * left, or before a block that is not right: skip_runs() says what about it.
 */
static inline const char *skip_blocks(struct scan *s, const char *p, bool trusted)
{
	uint64_t carry = 0;

	while (s->end - p >= PH_BLOCK) {
		struct ph_block b = ph_block_look(p, trusted);
		const char *here = p - carry, *next = p + PH_BLOCK;
		uint64_t escaped = ph_block_escaped(b.backslash, &carry);
		uint64_t quotes = b.quote & ~escaped;
		uint64_t inside = (quotes & (0 - quotes)) - 1; /* the bytes before the first */

		s->escaped |= (b.backslash & inside) != 0;
		if (!trusted && (escaped & inside) && !escapes_ok(s, p, escaped & inside))
			return here;
		if (!trusted && (b.judged & inside) && !wide_ok(s, p, b.judged & inside, &next))
			return here;
		if (quotes)
			return p + __builtin_ctzll(quotes);
		p = next;
	}
	return p - carry;
}
#else
static inline const char *skip_blocks(struct scan *s, const char *p, bool trusted)
{
	(void)s;
	(void)trusted;
	return p;
}
#endif

/* The text was trusted or not: a loop of its own for each. */
static __attribute__((noinline)) bool skip_long_string(struct scan *s)
{
	const char *p = s->p + 1;

	if (s->trusted)
		return skip_runs(s, skip_blocks(s, p, true), true);
	return skip_runs(s, skip_blocks(s, p, false), false);
}

/* s->p stands on the opening quote, and comes to stand behind the closing one. Most strings are short. */
static inline bool skip_string(struct scan *s)
{
	const char *p = s->p + 1;
	size_t n = ph_short_run(p, (size_t)(s->end - p));

	s->escaped = false;
	if (p + n == s->end || p[n] != '"')
		return skip_long_string(s);
	s->p = p + n + 1;
	return true;
}

/* ---- numbers and literals ---- */

static const char *digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static bool number_ok(const char *p, const char *end)
{
	const char *from;

	if (p < end && *p == '-')
		p++;
	from = p;
	p = digits(p, end);
	if (p == from || (*from == '0' && p - from > 1))
		return false;
	if (p < end && *p == '.') {
		from = ++p;
		p = digits(p, end);
		if (p == from)
			return false;
	}
	if (p < end && (*p | 0x20) == 'e') {
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		from = p;
		p = digits(p, end);
		if (p == from)
			return false;
	}
	return p == end;
}

static bool literal_ok(struct ph_str s)
{
	return ph_str_eq(s, PH_STR("true")) || ph_str_eq(s, PH_STR("false")) || ph_str_eq(s, PH_STR("null"));
}

static bool is_number_byte(char c)
{
	return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

static bool skip_number(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && is_number_byte(*s->p))
		s->p++;
	return !s->strict || number_ok(from, s->p) || fail(s, from, "a malformed number");
}

static bool skip_literal(struct scan *s)
{
	const char *from = s->p;

	while (s->p < s->end && *s->p >= 'a' && *s->p <= 'z')
		s->p++;
	return !s->strict || literal_ok(ph_str(from, (size_t)(s->p - from))) ||
	       fail(s, from, "an unknown literal");
}

static const uint8_t kinds[256] = {['{'] = PH_JSON_OBJECT,
	['['] = PH_JSON_ARRAY,
	['"'] = PH_JSON_STRING,
	['t'] = PH_JSON_TRUE,
	['f'] = PH_JSON_FALSE,
	['n'] = PH_JSON_NULL,
	['-'] = PH_JSON_NUMBER,
	['0'] = PH_JSON_NUMBER,
	['1'] = PH_JSON_NUMBER,
	['2'] = PH_JSON_NUMBER,
	['3'] = PH_JSON_NUMBER,
	['4'] = PH_JSON_NUMBER,
	['5'] = PH_JSON_NUMBER,
	['6'] = PH_JSON_NUMBER,
	['7'] = PH_JSON_NUMBER,
	['8'] = PH_JSON_NUMBER,
	['9'] = PH_JSON_NUMBER};

enum ph_json_kind ph_json_kind(struct ph_str value)
{
	return value.n ? (enum ph_json_kind)kinds[(unsigned char)value.p[0]] : PH_JSON_ABSENT;
}

/* A value that holds no others and begins with c. */
static bool skip_scalar(struct scan *s, char c)
{
	if (s->p == s->end)
		return fail(s, s->p, "an end where a value is expected");
	switch (kinds[(unsigned char)c]) {
	case PH_JSON_STRING:
		return skip_string(s);
	case PH_JSON_NUMBER:
		return skip_number(s);
	case PH_JSON_TRUE:
	case PH_JSON_FALSE:
	case PH_JSON_NULL:
		return skip_literal(s);
	default:
		return fail(s, s->p, "something else where a value is expected");
	}
}

/* ---- structure ---- */

static bool push(struct scan *s, bool object)
{
	uint64_t bit = UINT64_C(1) << (s->depth % 64), *word;

	if (s->depth == PH_JSON_DEPTH)
		return fail(s, s->p, "more than 512 levels");
	word = &s->objects[s->depth / 64];
	*word = object ? *word | bit : *word & ~bit;
	s->depth++;
	s->p++;
	return true;
}

static bool in_object(const struct scan *s)
{
	unsigned top = s->depth - 1;

	return (s->objects[top / 64] >> (top % 64)) & 1;
}

/* A member's name, with its quotes, and the colon; what follows is its value. */
static bool take_name(struct scan *s, struct ph_str *ret)
{
	if (peek(s) != '"')
		return fail(s, s->p, "no member name where one is expected");
	ret->p = s->p;
	if (!skip_string(s))
		return false;
	ret->n = (size_t)(s->p - ret->p);
	if (s->watch && s->watch->on_name)
		s->watch->on_name(s->watch->arg, *ret, s->escaped);
	if (peek(s) != ':')
		return fail(s, s->p, "no colon behind a member name");
	s->p++;
	return true;
}

/* A value has ended: closes what ends with it. Stops before the next value, or where depth is back at
 * `floor`. */
static bool after_value(struct scan *s, unsigned floor)
{
	struct ph_str name;

	while (s->depth > floor) {
		bool object = in_object(s);
		char c = peek(s);

		if (c == ',') {
			s->p++;
			return !object || take_name(s, &name);
		}
		if (c != (object ? '}' : ']'))
			return fail(s, s->p, "neither a comma nor the end of an object or array");
		s->p++;
		s->depth--;
	}
	return true;
}

/* Any value, with all that it holds. */
static bool skip_value(struct scan *s)
{
	unsigned floor = s->depth;
	struct ph_str name;

	do {
		char c = peek(s);

		if (c == '{' || c == '[') {
			if (!push(s, c == '{'))
				return false;
			if (peek(s) != (c == '{' ? '}' : ']')) {
				if (c == '{' && !take_name(s, &name))
					return false;
				continue;
			}
			s->p++;
			s->depth--;
		} else if (!skip_scalar(s, c)) {
			return false;
		}
		if (!after_value(s, floor))
			return false;
	} while (s->depth > floor);
	return true;
}

static bool take_value(struct scan *s, struct ph_str *ret)
{
	(void)peek(s);
	ret->p = s->p;
	if (!skip_value(s))
		return false;
	ret->n = (size_t)(s->p - ret->p);
	return true;
}

/* ---- values whose parts are shown as they pass ---- */

static bool comma(struct scan *s)
{
	if (peek(s) != ',')
		return false;
	s->p++;
	return true;
}

static bool closing(struct scan *s, char c)
{
	if (peek(s) != c)
		return fail(s, s->p, "neither a comma nor the end of an object or array");
	s->p++;
	s->depth--;
	return true;
}

static bool show_object(struct scan *s, const struct ph_json_watch *w)
{
	struct ph_str name, value;

	if (!push(s, true))
		return false;
	if (peek(s) == '}')
		return closing(s, '}');
	do {
		if (!take_name(s, &name) || !take_value(s, &value))
			return false;
		w->on_member(w->arg, name, value);
	} while (comma(s));
	return closing(s, '}');
}

static bool show_element(struct scan *s, const struct ph_json_watch *w, struct ph_str *ret)
{
	if (peek(s) != '{')
		return take_value(s, ret);
	ret->p = s->p;
	if (!show_object(s, w))
		return false;
	ret->n = (size_t)(s->p - ret->p);
	return true;
}

static bool show_array(struct scan *s, const struct ph_json_watch *w, struct ph_str *ret)
{
	struct ph_str element;

	ret->p = s->p;
	if (!push(s, false))
		return false;
	if (peek(s) != ']') {
		do {
			if (!show_element(s, w, &element))
				return false;
			w->on_element(w->arg, element);
		} while (comma(s));
	}
	ret->n = (size_t)(s->p + 1 - ret->p);
	return closing(s, ']');
}

/* ---- members of the top level ---- */

/* Which of the names the quoted one is, or `count`. */
static size_t which(struct ph_str quoted, bool escaped, const struct ph_str *names, size_t count)
{
	struct ph_str inner = ph_str(quoted.p + 1, quoted.n - 2);
	size_t i = 0;

	while (i < count && !(escaped ? ph_json_text_is(quoted, names[i]) : ph_str_eq(inner, names[i])))
		i++;
	return i;
}

/* One member, from the white space before its name to the end of its value. */
static bool member(struct scan *s, const struct ph_str *names, size_t count, size_t *ret_which,
	struct ph_json_member *ret)
{
	struct ph_str name;
	size_t i;

	if (!take_name(s, &name))
		return false;
	i = *ret_which = which(name, s->escaped, names, count);
	s->strict = !s->trusted && i < count;
	if (s->watch && i == s->list && peek(s) == '[') {
		if (!show_array(s, s->watch, &ret->value))
			return false;
	} else if (!take_value(s, &ret->value)) {
		return false;
	}
	ret->kind = ph_json_kind(ret->value);
	ret->escaped = ret->kind == PH_JSON_STRING && s->escaped;
	ret->start = (size_t)(name.p - s->start);
	ret->end = (size_t)(s->p - s->start);
	return true;
}

/* All members, with the closing brace. *twice: the first wanted member that came twice, or `count`. */
static bool members(
	struct scan *s, const struct ph_str *names, size_t count, struct ph_json_member *ret, size_t *twice)
{
	size_t comma = NONE;

	for (;;) {
		struct ph_json_member m = {.comma_before = comma};
		size_t i;
		char c;

		if (!member(s, names, count, &i, &m))
			return false;
		c = peek(s);
		if (c != ',' && c != '}')
			return fail(s, s->p, "neither a comma nor the end of an object");
		comma = m.comma_after = c == ',' ? (size_t)(s->p - s->start) : NONE;
		s->p++;
		if (i < count) {
			if (ret[i].kind != PH_JSON_ABSENT && *twice == count)
				*twice = i;
			ret[i] = m;
		}
		if (c == '}')
			return true;
	}
}

static bool at_end(struct scan *s)
{
	peek(s);
	return s->p == s->end || fail(s, s->p, "something behind the value");
}

static bool object(
	struct scan *s, const struct ph_str *names, size_t count, struct ph_json_member *ret, size_t *twice)
{
	*twice = count;
	for (size_t i = 0; i < count; i++)
		ret[i] = (struct ph_json_member){.kind = PH_JSON_ABSENT};
	if (peek(s) != '{')
		return fail(s, s->p, "no object where one is expected");
	push(s, true);
	if (peek(s) == '}')
		s->p++;
	else if (!members(s, names, count, ret, twice))
		return false;
	return at_end(s);
}

static struct scan scan_of(struct ph_str text, bool trusted)
{
	const char *p = text.p ? text.p : "";

	return (struct scan){.p = p, .start = p, .end = p + text.n, .trusted = trusted};
}

static int refuse(const struct scan *s, struct ph_err *err)
{
	return ph_fail(err, PH_E_JSON_BAD, "Byte %zu: %s.", (size_t)(s->p - s->start), s->wrong);
}

int ph_json_scan_list(struct ph_str text, const struct ph_str *names, size_t count, size_t list,
	const struct ph_json_watch *watch, struct ph_json_member *ret, struct ph_err *err)
{
	struct scan s = scan_of(text, false);
	char name[sizeof(err->param)];
	size_t twice;

	s.list = list;
	s.watch = watch;
	if (!object(&s, names, count, ret, &twice))
		return refuse(&s, err);
	if (twice == count)
		return 0;
	ph_str_copy(name, sizeof(name), names[twice]);
	return ph_fail_param(err, PH_E_JSON_BAD, name, "Duplicate member '%s'.", name);
}

int ph_json_scan(struct ph_str text, const struct ph_str *names, size_t count, struct ph_json_member *ret,
	struct ph_err *err)
{
	return ph_json_scan_list(text, names, count, count, NULL, ret, err);
}

bool ph_json_find(struct ph_str text, const struct ph_str *names, size_t count, struct ph_json_member *ret)
{
	struct scan s = scan_of(text, true);
	size_t twice;

	return object(&s, names, count, ret, &twice);
}

int ph_json_check(struct ph_str text, struct ph_err *err)
{
	struct scan s = scan_of(text, false);

	return skip_value(&s) && at_end(&s) ? 0 : refuse(&s, err);
}

bool ph_json_next_bare(
	struct ph_str list, size_t *offset, const struct ph_json_watch *watch, struct ph_str *ret)
{
	struct scan s = scan_of(list, true);

	if (*offset > list.n)
		return false;
	s.p += *offset;
	if (*offset && !comma(&s))
		return false;
	if (!(watch ? show_element(&s, watch, ret) : take_value(&s, ret)))
		return false;
	*offset = (size_t)(s.p - s.start);
	return true;
}

bool ph_json_next(struct ph_str array, size_t *offset, struct ph_str *ret)
{
	struct scan s = scan_of(array, true);
	char c;

	if (*offset > array.n)
		return false;
	s.p += *offset;
	c = peek(&s);
	if (c != (*offset ? ',' : '['))
		return false;
	s.p++;
	if (peek(&s) == ']' || !take_value(&s, ret))
		return false;
	*offset = (size_t)(s.p - s.start);
	return true;
}

bool ph_json_pair(struct ph_str text, size_t *offset, struct ph_str *ret_name, struct ph_str *ret_value)
{
	struct scan s = scan_of(text, true);

	if (*offset > text.n)
		return false;
	s.p += *offset;
	if (peek(&s) != (*offset ? ',' : '{'))
		return false;
	s.p++;
	if (!take_name(&s, ret_name) || !take_value(&s, ret_value))
		return false;
	*offset = (size_t)(s.p - s.start);
	return true;
}
