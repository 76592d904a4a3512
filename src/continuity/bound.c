/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an item names that only one account can read: files, containers, vector stores, skills, ciphertext.
 * One pass over the item's strings: a string with a colon behind it is a member's name, at whatever depth,
 * and what stands behind the colon tells whether it names something (a schema has objects there, an SDK
 * prints null).
 */
#include "continuity_priv.h"

#define SHORTEST 9 /* "file_id" with its quotes */

static const struct {
	struct ph_str name;
	char first; /* of the value: a string or a list */
	int means;
} bound[] = {
	{PH_STR_INIT("file_id"), '"', PH_NAMES_FILE},
	{PH_STR_INIT("file_ids"), '[', PH_NAMES_FILE},
	{PH_STR_INIT("container"), '"', PH_NAMES_FILE},
	{PH_STR_INIT("container_id"), '"', PH_NAMES_FILE},
	{PH_STR_INIT("vector_store_id"), '"', PH_NAMES_FILE},
	{PH_STR_INIT("vector_store_ids"), '[', PH_NAMES_FILE},
	{PH_STR_INIT("skill_id"), '"', PH_NAMES_FILE},
	{PH_STR_INIT("encrypted_content"), '"', PH_NAMES_CIPHERTEXT},
};

size_t ph_string_end(struct ph_str json, size_t at)
{
	for (at++; at < json.n; at++) {
		const char *quote = memchr(json.p + at, '"', json.n - at);
		size_t backslashes = 0;

		if (!quote)
			return json.n;
		while (quote - backslashes > json.p + at && quote[-1 - (ptrdiff_t)backslashes] == '\\')
			backslashes++;
		at = (size_t)(quote - json.p);
		if (backslashes % 2 == 0)
			return at + 1;
	}
	return json.n;
}

/* A string or a list with nothing in it. */
static bool is_empty(struct ph_str value)
{
	if (value.p[0] == '"')
		return value.n < 2 || value.p[1] == '"';
	value = ph_str_trim(ph_str_from(value, 1));
	return value.n == 0 || value.p[0] == ']';
}

/* What the member means whose name is quoted and whose value begins the rest. */
static int meaning(struct ph_str quoted, struct ph_str rest)
{
	if (quoted.n < SHORTEST || rest.n == 0)
		return 0;
	for (size_t i = 0; i < sizeof bound / sizeof *bound; i++)
		if (rest.p[0] == bound[i].first && ph_json_text_is(quoted, bound[i].name))
			return is_empty(rest) ? 0 : bound[i].means;
	return 0;
}

int ph_item_names(struct ph_str json)
{
	int names = 0;

	for (size_t at = 0; at < json.n;) {
		const char *quote = memchr(json.p + at, '"', json.n - at);
		struct ph_str quoted, rest;

		if (!quote)
			break;
		at = ph_string_end(json, (size_t)(quote - json.p));
		quoted = ph_str(quote, (size_t)(json.p + at - quote));
		rest = ph_str_trim(ph_str_from(json, at));
		if (rest.n == 0 || rest.p[0] != ':')
			continue;
		names |= meaning(quoted, ph_str_trim(ph_str_from(rest, 1)));
	}
	return names;
}
