/* SPDX-License-Identifier: Apache-2.0 */
/* The header lines of a request to an account: an allow-list of the client's, and the account's own. */
#include "request_priv.h"

#define SECRET_LINE_MAX (80 * 1024)
#define CODEX_PREFIX    PH_STR("x-codex-")

enum {
	ALL = 1 << PH_PLATFORM | 1 << PH_CODEX | 1 << PH_STATELESS,
	BUT_CODEX = 1 << PH_PLATFORM | 1 << PH_STATELESS,
};

/* The client's identity and its marks of the conversation are passed on; Posthouse never pretends to be
 * another. */
static const struct {
	struct ph_str name;
	int kinds;
	bool marks; /* the conversation: stays behind where the account changes */
} passed[] = {
	{PH_STR_INIT("user-agent"), ALL, false},
	{PH_STR_INIT("originator"), ALL, false},
	{PH_STR_INIT("version"), ALL, false},
	{PH_STR_INIT("session-id"), ALL, true},
	{PH_STR_INIT("thread-id"), ALL, true},
	{PH_STR_INIT("x-client-request-id"), ALL, true}, /* Codex: the thread's id */
	{PH_STR_INIT("openai-beta"), BUT_CODEX, false},
	{PH_STR_INIT("idempotency-key"), BUT_CODEX, false},
};

/* The client's trace, where it is well-formed: trace.c. */
static const struct ph_str traced[] = {PH_STR_INIT("traceparent"), PH_STR_INIT("tracestate")};

/* Of x-codex-* those that are one account's, or one login's, or ours to translate. */
static const struct ph_str codex_own[] = {
	PH_STR_INIT("x-codex-turn-state"),
	PH_STR_INIT("x-codex-routing-hint"),
	PH_STR_INIT("x-codex-conversation-id"),
	PH_STR_INIT("x-codex-session-id"),
};

static bool is_codex_header(struct ph_str name)
{
	if (name.n < CODEX_PREFIX.n || !ph_str_eq_nocase(ph_str(name.p, CODEX_PREFIX.n), CODEX_PREFIX))
		return false;
	for (size_t i = 0; i < sizeof codex_own / sizeof *codex_own; i++)
		if (ph_str_eq_nocase(name, codex_own[i]))
			return false;
	return true;
}

static bool is_passed(struct ph_str name, enum ph_account_kind kind, bool moved)
{
	for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
		if (ph_str_eq_nocase(name, passed[i].name))
			return passed[i].kinds & 1 << kind && !(moved && passed[i].marks);
	return kind == PH_CODEX && is_codex_header(name);
}

static bool is_traced(struct ph_str name)
{
	for (size_t i = 0; i < sizeof traced / sizeof *traced; i++)
		if (ph_str_eq_nocase(name, traced[i]))
			return true;
	return false;
}

bool ph_is_codex_client(const struct ph_exchange *x)
{
	return ph_head_get(x->head, PH_STR("originator")).n > 0;
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

static void put_account_id(struct ph_buf *out, const struct ph_account *a)
{
	if (a->kind == PH_CODEX && a->upstream_id.n)
		put(out, a, PH_STR("chatgpt-account-id"), a->upstream_id);
}

static void put_own(struct ph_buf *out, const struct ph_account *a)
{
	for (size_t i = 0; i < a->header_count; i++)
		ph_http_put_header(out, a->headers[2 * i], a->headers[2 * i + 1]);
}

void ph_account_own_headers(struct ph_buf *out, const struct ph_account *a, struct ph_str accept)
{
	put_secret(out, a);
	put(out, a, PH_STR("accept"), accept);
	put(out, a, PH_STR("user-agent"), PH_STR("posthouse/" PH_VERSION));
	put_account_id(out, a);
	put_own(out, a);
}

/* What only the Codex backend knows. */
static void put_codex(struct ph_buf *out, const struct ph_account *a, const struct ph_exchange *x)
{
	struct ph_str state = ph_head_get(x->head, PH_STR("x-codex-turn-state")), own;

	put_account_id(out, a);
	if (ph_turn_state_of(state, a->id, &own))
		put(out, a, PH_STR("x-codex-turn-state"), own);
}

void ph_account_headers(struct ph_buf *out, const struct ph_account *a, const struct ph_exchange *x,
	struct ph_str accept, bool json_body, bool moved)
{
	bool trace = ph_trace_known(x);

	put_secret(out, a);
	put(out, a, PH_STR("accept"), accept);
	if (json_body)
		put(out, a, PH_STR("content-type"), PH_STR("application/json"));
	put(out, a, PH_STR("x-request-id"), ph_str_c(x->request_id));
	if (a->kind == PH_CODEX)
		put_codex(out, a, x);
	for (size_t i = 0; i < x->head->header_count; i++) {
		struct ph_str name = x->head->headers[i].name;

		if (is_passed(name, a->kind, moved) || (trace && is_traced(name)))
			put(out, a, name, x->head->headers[i].value);
	}
	put_own(out, a);
}
