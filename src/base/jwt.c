/* SPDX-License-Identifier: Apache-2.0 */
/* The second of a JSON web token's three parts, base64url. */
#include "posthouse/jwt.h"

#include "posthouse/crypt.h"
#include "posthouse/json.h"

struct ph_str ph_jwt_claims(struct ph_str token, struct ph_arena *a)
{
	struct ph_err ignored;
	struct ph_str part, copy;
	uint8_t *bytes;
	size_t n;

	ph_str_split(&token, '.');
	part = ph_str_split(&token, '.');
	if (part.n == 0)
		return PH_STR_NONE;
	copy = ph_arena_dup(a, part);
	bytes = ph_arena_alloc(a, part.n);
	if (copy.p == NULL || bytes == NULL)
		return PH_STR_NONE;
	for (char *p = (char *)(uintptr_t)copy.p; *p; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	if (!ph_unbase64(copy, bytes, part.n, &n))
		return PH_STR_NONE;
	part = ph_str((const char *)bytes, n);
	return ph_json_check(part, &ignored) == 0 ? part : PH_STR_NONE;
}
