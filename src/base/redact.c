/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redaction of log values. A net under those who log, not a licence to log secrets: it knows shapes (bearer
 * tokens, our keys and OpenAI's, JWTs, passwords in URLs), not meanings. Each shape keeps its marker, so that
 * a reader sees what was taken out.
 */
#include "posthouse/log.h"

#define KEY_MIN 20 /* characters behind "ph_" */
#define SK_MIN  8  /* behind "sk-": shorter things are words */
#define JWT_MIN 16 /* behind "eyJ", which is how base64 of '{"' starts */

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Characters of tokens: base64 and base64url with padding, and what RFC 6750 adds. */
static bool is_token(char c)
{
	return is_word(c) || c == '-' || c == '_' || c == '.' || c == '~' || c == '+' || c == '/' || c == '=';
}

static size_t run(struct ph_str s, size_t from, bool (*is)(char))
{
	size_t i = from;

	while (i < s.n && is(s.p[i]))
		i++;
	return i - from;
}

/* What stands at the start of s: how many bytes to keep before "***", and how many the secret has; 0 if none.
 */
struct secret {
	size_t keep, size;
};

static struct secret bearer(struct ph_str s)
{
	size_t keep = 6;

	if (s.n < 8 || !ph_str_eq_nocase(ph_str(s.p, 6), PH_STR("bearer")) ||
		(s.p[6] != ' ' && s.p[6] != '\t'))
		return (struct secret){0, 0};
	while (keep < s.n && (s.p[keep] == ' ' || s.p[keep] == '\t'))
		keep++;
	return (struct secret){keep, run(s, keep, is_token)};
}

static struct secret marked(struct ph_str s, struct ph_str marker, size_t min)
{
	size_t n = ph_str_starts(s, marker) ? run(s, marker.n, is_token) : 0;

	return (struct secret){marker.n, n >= min ? n : 0};
}

/* "://user:password@": the last '@' before the path ends the password, which may itself hold one. */
static struct secret password(struct ph_str s)
{
	size_t colon = 0, at = 0;

	if (!ph_str_starts(s, PH_STR("://")))
		return (struct secret){0, 0};
	for (size_t i = 3; i < s.n && s.p[i] != '/' && s.p[i] > ' ' && s.p[i] != '"' && s.p[i] != '\''; i++) {
		if (s.p[i] == ':' && colon == 0)
			colon = i;
		if (s.p[i] == '@')
			at = i;
	}
	return colon && at > colon ? (struct secret){colon + 1, at - colon - 1} : (struct secret){0, 0};
}

/* The bytes that a secret's shape may begin with. */
static bool may_begin(char c)
{
	static const bool first[256] = {
		[':'] = true, ['B'] = true, ['b'] = true, ['s'] = true, ['p'] = true, ['e'] = true};

	return first[(unsigned char)c];
}

static struct secret find(struct ph_str s, bool after_word)
{
	if (s.p[0] == ':')
		return password(s);
	if (after_word)
		return (struct secret){0, 0};
	switch (s.p[0]) {
	case 'B':
	case 'b':
		return bearer(s);
	case 's':
		return marked(s, PH_STR("sk-"), SK_MIN);
	case 'p':
		return marked(s, PH_STR("ph_"), KEY_MIN);
	case 'e':
		return marked(s, PH_STR("eyJ"), JWT_MIN);
	default:
		return (struct secret){0, 0};
	}
}

struct out {
	char *p;
	size_t n, size;
};

static void put(struct out *o, struct ph_str s)
{
	size_t room = o->size - 1 - o->n, n = s.n < room ? s.n : room;

	if (n)
		memcpy(o->p + o->n, s.p, n);
	o->n += n;
}

void ph_log_redact(char *dst, size_t size, struct ph_str s)
{
	struct out o = {dst, 0, size};
	size_t clean = 0; /* bytes at the front of s that are looked at and stay */

	while (clean < s.n && o.n + clean + 1 < size) {
		struct secret found = {0, 0};

		if (may_begin(s.p[clean]))
			found = find(ph_str_from(s, clean), clean > 0 && is_word(s.p[clean - 1]));
		if (!found.size) {
			clean++;
			continue;
		}
		put(&o, ph_str(s.p, clean + found.keep));
		put(&o, PH_STR("***"));
		s = ph_str_from(s, clean + found.keep + found.size);
		clean = 0;
	}
	put(&o, ph_str(s.p, clean));
	dst[o.n] = '\0';
}
