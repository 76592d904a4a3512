/* SPDX-License-Identifier: Apache-2.0 */
/* What the translations of chats share: looking into JSON, and writing with what was found. */
#include "chat_priv.h"

bool ph_chat_given(const struct ph_json_member *m)
{
	return m->kind > PH_JSON_NULL;
}

void ph_chat_read(struct ph_str text, const struct ph_str *wanted, size_t n, struct ph_json_member *ret)
{
	if (ph_json_kind(text) != PH_JSON_OBJECT || !ph_json_find(text, wanted, n, ret))
		memset(ret, 0, n * sizeof *ret);
}

void ph_chat_look(const struct ph_json_member *object, const struct ph_str *wanted, size_t n,
	struct ph_json_member *ret)
{
	ph_chat_read(object->value, wanted, n, ret);
}

bool ph_chat_is_word(const struct ph_json_member *m, const char *word)
{
	return m->kind == PH_JSON_STRING && ph_json_text_is(m->value, ph_str_c(word));
}

void ph_chat_put(struct ph_chat_writing *w, const char *text)
{
	ph_buf_puts(w->out, ph_str_c(text));
}

void ph_chat_put_pair(struct ph_chat_writing *w, const char *before, const struct ph_json_member *m)
{
	if (!ph_chat_given(m))
		return;
	ph_chat_put(w, before);
	ph_buf_puts(w->out, m->value);
}

int ph_chat_bad(struct ph_chat_writing *w, const char *path, const char *what)
{
	return ph_fail_param(w->err, PH_E_PARAM_BAD, path, "'%s' %s", path, what);
}

int ph_chat_cannot(struct ph_chat_writing *w, const char *path, const char *why)
{
	return ph_fail_param(w->err, PH_E_CHAT_MEMBER, path, "'%s': %s", path, why);
}

int ph_chat_each(struct ph_chat_writing *w, const struct ph_json_member *array,
	int (*write)(struct ph_chat_writing *w, const struct ph_json_member *element, size_t index))
{
	struct ph_str element;
	size_t offset = 0, i = 0;
	int rc = 0;

	while (rc == 0 && ph_json_next(array->value, &offset, &element)) {
		struct ph_json_member m = {.kind = ph_json_kind(element), .value = element};

		rc = write(w, &m, i++);
	}
	return rc;
}

bool ph_chat_is_empty(const struct ph_json_member *m)
{
	return m->kind <= PH_JSON_NULL ||
	       ((m->kind == PH_JSON_STRING || m->kind == PH_JSON_ARRAY || m->kind == PH_JSON_OBJECT) &&
		       ph_str_trim(ph_str(m->value.p + 1, m->value.n - 2)).n == 0);
}

uint64_t ph_chat_number(const struct ph_json_member *m)
{
	uint64_t n = 0;

	if (m->kind == PH_JSON_NUMBER)
		(void)!ph_json_u64(m->value, &n);
	return n;
}

struct ph_str ph_chat_inside(const struct ph_json_member *m)
{
	return m->kind == PH_JSON_STRING ? ph_str(m->value.p + 1, m->value.n - 2) : PH_STR("");
}
