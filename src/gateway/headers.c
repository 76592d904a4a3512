/* SPDX-License-Identifier: Apache-2.0 */
/* The header lines of a request to an account: an allow-list of the client's, and the account's own. */
#include "gateway_priv.h"

#define SECRET_LINE_MAX (80 * 1024)

/* The client's identity and its marks of the conversation are passed on; Posthouse never pretends to be
 * another. */
static const struct ph_str passed[] = {
	PH_STR_INIT("user-agent"),
	PH_STR_INIT("originator"),
	PH_STR_INIT("version"),
	PH_STR_INIT("session-id"),
	PH_STR_INIT("thread-id"),
	PH_STR_INIT("x-client-request-id"),
	PH_STR_INIT("openai-beta"),
	PH_STR_INIT("idempotency-key"),
	PH_STR_INIT("traceparent"),
};

static bool is_passed(struct ph_str name)
{
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		if (ph_str_eq_nocase(name, passed[i]))
			return true;
	return false;
}

/* What is set for the account counts, also over the client's: a second line would make the head ambiguous. */
static bool is_set(const struct ph_account *a, struct ph_str name)
{
	for (size_t i = 0; i < a->header_count; i++)
		if (ph_str_eq_nocase(name, a->headers[2 * i]))
			return true;
	return false;
}

static void put(struct ph_buf *out, const struct ph_account *a, struct ph_str name, struct ph_str value)
{
	if (!is_set(a, name))
		ph_http_put_header(out, name, value);
}

static void put_secret(struct ph_buf *out, const struct ph_account *a)
{
	struct ph_buf line;

	if (a->secret.n == 0)
		return;
	ph_buf_init(&line, SECRET_LINE_MAX);
	ph_buf_puts(&line, PH_STR("Bearer "));
	ph_buf_puts(&line, a->secret);
	put(out, a, PH_STR("authorization"), ph_buf_str(&line));
	ph_buf_deinit(&line);
}

void ph_account_headers(struct ph_buf *out, const struct ph_account *a, const struct ph_exchange *x,
	struct ph_str accept, bool json_body)
{
	put_secret(out, a);
	put(out, a, PH_STR("accept"), accept);
	if (json_body)
		put(out, a, PH_STR("content-type"), PH_STR("application/json"));
	put(out, a, PH_STR("x-request-id"), ph_str_c(x->request_id));
	for (size_t i = 0; i < x->head->header_count; i++)
		if (is_passed(x->head->headers[i].name))
			put(out, a, x->head->headers[i].name, x->head->headers[i].value);
	for (size_t i = 0; i < a->header_count; i++)
		ph_http_put_header(out, a->headers[2 * i], a->headers[2 * i + 1]);
}
