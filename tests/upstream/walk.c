/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking JSON objects member by member, which the house's scanner does not do: it looks for names that it
 * knows, while a script must refuse names that nobody knows. No validation: that is ph_json_check()'s.
 */
#include "fake.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_space(struct ph_str t, size_t at)
{
	while (at < t.n && is_space(t.p[at]))
		at++;
	return at;
}

/* Behind the closing quote of the string whose opening quote is at `at`, or 0. */
static size_t string_end(struct ph_str t, size_t at)
{
	for (at++; at < t.n; at++) {
		if (t.p[at] == '\\')
			at++;
		else if (t.p[at] == '"')
			return at + 1;
	}
	return 0;
}

static size_t nest_end(struct ph_str t, size_t at)
{
	size_t depth = 0;

	while (at < t.n) {
		char c = t.p[at];

		if (c == '"') {
			at = string_end(t, at);
			if (at == 0)
				return 0;
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		if ((c == '}' || c == ']') && --depth == 0)
			return at + 1;
		at++;
	}
	return 0;
}

size_t fake_value_end(struct ph_str text, size_t at)
{
	if (at >= text.n)
		return 0;
	if (text.p[at] == '"')
		return string_end(text, at);
	if (text.p[at] == '{' || text.p[at] == '[')
		return nest_end(text, at);
	while (at < text.n && !is_space(text.p[at]) && text.p[at] != ',' && text.p[at] != '}' &&
		text.p[at] != ']')
		at++;
	return at;
}

bool fake_member_next(struct ph_str object, size_t *offset, struct ph_str *name, struct ph_str *value)
{
	size_t at = *offset, end;

	if (at == 0)
		at = skip_space(object, 0) + 1;
	at = skip_space(object, at);
	if (at < object.n && object.p[at] == ',')
		at = skip_space(object, at + 1);
	if (at >= object.n || object.p[at] != '"')
		return false;
	end = string_end(object, at);
	if (end == 0)
		return false;
	*name = ph_str(object.p + at + 1, end - at - 2);
	at = skip_space(object, end);
	if (at >= object.n || object.p[at] != ':')
		return false;
	at = skip_space(object, at + 1);
	end = fake_value_end(object, at);
	if (end == 0)
		return false;
	*value = ph_str(object.p + at, end - at);
	*offset = end;
	return true;
}

/* Raw line ends stand only between tokens of valid JSON, never within its strings. */
void fake_put_line(struct ph_buf *b, struct ph_str json)
{
	size_t at = b->n;

	if (ph_buf_puts(b, json))
		return;
	if (!json.n || (!memchr(json.p, '\n', json.n) && !memchr(json.p, '\r', json.n)))
		return;
	for (; at < b->n; at++)
		if (b->p[at] == '\n' || b->p[at] == '\r')
			b->p[at] = ' ';
}

void fake_put_string(struct ph_buf *b, struct ph_str s)
{
	if (!s.p) {
		ph_buf_puts(b, PH_STR("null"));
		return;
	}
	ph_buf_putc(b, '"');
	ph_buf_json(b, s);
	ph_buf_putc(b, '"');
}
