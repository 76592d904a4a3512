/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two ways to a login's first tokens (handbook, protocol 6.6): a browser that is redirected with a code
 * (OAuth with PKCE), and a code that a person enters on any machine. Bytes in, bytes out: who listens, asks
 * and stores is elsewhere.
 */
#include "login_flow.h"

#include <stdio.h>

#include "posthouse/json.h"
#include "posthouse/login.h"
#include "posthouse/url.h"

#define SCOPE           "openid profile email offline_access"
#define DEVICE_REDIRECT "/deviceauth/callback" /* registered at the issuer; nobody is sent there */
#define DEVICE_PAGE     "/codex/device"
#define INTERVAL_S      5
#define INTERVAL_MOST_S 60
#define RANDOM_BYTES    64 /* of the verifier: 86 characters, of which the standard allows 43 to 128 */
#define STATE_BYTES     32

static void put_random(char *dst, size_t size, size_t bytes)
{
	uint8_t random[RANDOM_BYTES];
	struct ph_buf b;

	ph_rand(random, bytes);
	ph_buf_init(&b, PH_FLOW_WORD_MAX);
	ph_base64url(&b, ph_str((const char *)random, bytes));
	ph_str_copy(dst, size, ph_buf_str(&b));
	explicit_bzero(random, sizeof random);
	explicit_bzero(b.p, b.n);
	ph_buf_deinit(&b);
}

static void begin(struct ph_cli_flow *f, const char *issuer, bool device)
{
	memset(f, 0, sizeof *f);
	ph_rand(f->id, sizeof f->id);
	f->device = device;
	ph_str_copy(f->issuer, sizeof f->issuer, ph_str_c(issuer));
	f->interval_s = INTERVAL_S;
}

void ph_cli_flow_browser(struct ph_cli_flow *f, const char *issuer, unsigned port)
{
	begin(f, issuer, false);
	put_random(f->verifier, sizeof f->verifier, RANDOM_BYTES);
	put_random(f->state, sizeof f->state, STATE_BYTES);
	snprintf(f->redirect, sizeof f->redirect, "http://localhost:%u/auth/callback", port);
}

void ph_cli_flow_device(struct ph_cli_flow *f, const char *issuer)
{
	begin(f, issuer, true);
	snprintf(f->redirect, sizeof f->redirect, "%s%s", f->issuer, DEVICE_REDIRECT);
}

static void put_pair(struct ph_buf *out, const char *name, struct ph_str value)
{
	char last = out->n ? out->p[out->n - 1] : '?';

	if (last != '?')
		ph_buf_putc(out, '&');
	ph_buf_puts(out, ph_str_c(name));
	ph_buf_putc(out, '=');
	ph_percent_encode(out, value);
}

void ph_cli_flow_page(const struct ph_cli_flow *f, struct ph_buf *out)
{
	uint8_t digest[32];
	struct ph_buf challenge;

	ph_buf_puts(out, ph_str_c(f->issuer));
	if (f->device) {
		ph_buf_puts(out, PH_STR(DEVICE_PAGE));
		return;
	}
	ph_sha256(ph_str_c(f->verifier), digest);
	ph_buf_init(&challenge, PH_FLOW_WORD_MAX);
	ph_base64url(&challenge, ph_str((const char *)digest, sizeof digest));
	ph_buf_puts(out, PH_STR("/oauth/authorize?"));
	put_pair(out, "response_type", PH_STR("code"));
	put_pair(out, "client_id", PH_STR(PH_LOGIN_CLIENT_ID));
	put_pair(out, "redirect_uri", ph_str_c(f->redirect));
	put_pair(out, "scope", PH_STR(SCOPE));
	put_pair(out, "code_challenge", ph_buf_str(&challenge));
	put_pair(out, "code_challenge_method", PH_STR("S256"));
	put_pair(out, "id_token_add_organizations", PH_STR("true"));
	put_pair(out, "codex_cli_simplified_flow", PH_STR("true"));
	put_pair(out, "state", ph_str_c(f->state));
	ph_buf_deinit(&challenge);
}

/* ---- what is kept ---- */

enum {
	K_STATE,
	K_VERIFIER,
	K_REDIRECT,
	K_DEVICE_ID,
	K_USER_CODE,
	K_INTERVAL,
	K_NR
};
static const struct ph_str kept[K_NR] = {
	[K_STATE] = PH_STR_INIT("state"),
	[K_VERIFIER] = PH_STR_INIT("verifier"),
	[K_REDIRECT] = PH_STR_INIT("redirect"),
	[K_DEVICE_ID] = PH_STR_INIT("device_auth_id"),
	[K_USER_CODE] = PH_STR_INIT("user_code"),
	[K_INTERVAL] = PH_STR_INIT("interval"),
};

static void put_text(struct ph_buf *out, struct ph_str name, const char *value)
{
	if (!value[0])
		return;
	ph_buf_puts(out, out->n > 1 ? PH_STR(",\"") : PH_STR("\""));
	ph_buf_puts(out, name);
	ph_buf_puts(out, PH_STR("\":\""));
	ph_buf_json(out, ph_str_c(value));
	ph_buf_putc(out, '"');
}

void ph_cli_flow_write(const struct ph_cli_flow *f, struct ph_buf *out)
{
	ph_buf_putc(out, '{');
	put_text(out, kept[K_STATE], f->state);
	put_text(out, kept[K_VERIFIER], f->verifier);
	put_text(out, kept[K_REDIRECT], f->redirect);
	put_text(out, kept[K_DEVICE_ID], f->device_id);
	put_text(out, kept[K_USER_CODE], f->user_code);
	ph_buf_printf(out, ",\"interval\":%llu}", (unsigned long long)f->interval_s);
}

/* The text of a member, where there is one that fits; else "". */
static void take_text(const struct ph_json_member *m, char *dst, size_t size)
{
	struct ph_arena a;
	struct ph_str text;

	dst[0] = '\0';
	if (m->kind != PH_JSON_STRING || m->value.n >= size)
		return;
	ph_arena_init(&a, PH_FLOW_TEXT_MAX);
	if (ph_json_text(m->value, &a, &text) && text.n < size)
		ph_str_copy(dst, size, text);
	ph_arena_deinit(&a);
}

/* A number, or one in quotes. */
static void take_interval(const struct ph_json_member *m, uint64_t *ret_s)
{
	struct ph_str digits = m->value;
	uint64_t s;

	if (m->kind == PH_JSON_STRING)
		digits = ph_str(m->value.p + 1, m->value.n - 2);
	if ((m->kind == PH_JSON_STRING || m->kind == PH_JSON_NUMBER) && ph_str_u64(digits, UINT32_MAX, &s) &&
		s > 0)
		*ret_s = s < INTERVAL_MOST_S ? s : INTERVAL_MOST_S;
}

bool ph_cli_flow_read(struct ph_cli_flow *f, struct ph_str document)
{
	struct ph_json_member m[K_NR];

	if (ph_json_scan(document, kept, K_NR, m, NULL))
		return false;
	take_text(&m[K_STATE], f->state, sizeof f->state);
	take_text(&m[K_VERIFIER], f->verifier, sizeof f->verifier);
	take_text(&m[K_REDIRECT], f->redirect, sizeof f->redirect);
	take_text(&m[K_DEVICE_ID], f->device_id, sizeof f->device_id);
	take_text(&m[K_USER_CODE], f->user_code, sizeof f->user_code);
	f->interval_s = INTERVAL_S;
	take_interval(&m[K_INTERVAL], &f->interval_s);
	f->device = f->device_id[0] != '\0';
	return f->redirect[0] && (f->device ? f->user_code[0] : f->state[0] && f->verifier[0]);
}

/* ---- the redirect ---- */

static bool query_text(struct ph_str query, const char *name, char *dst, size_t size)
{
	struct ph_str raw;
	size_t n;

	dst[0] = '\0';
	return ph_query_get(query, ph_str_c(name), &raw) && !ph_percent_decode(raw, true, dst, size, &n);
}

/* It is shown on a terminal, and came from a stranger. */
static void refused(struct ph_str query, struct ph_err *err)
{
	char word[128], text[512];

	query_text(query, "error", word, sizeof word);
	query_text(query, "error_description", text, sizeof text);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	for (char *p = word; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			*p = '_';
	ph_fail(err, PH_E_CONFIG, "the login was refused (%s)%s%.200s; run the command again", word,
		text[0] ? ": " : "", text);
}

enum ph_cli_redirect ph_cli_flow_redirected(
	const struct ph_cli_flow *f, struct ph_str text, char code[PH_CODE_MAX], struct ph_err *err)
{
	ptrdiff_t mark = ph_str_find(text, PH_STR("?")), hash;
	char state[PH_FLOW_WORD_MAX];
	struct ph_str query = ph_str_trim(mark >= 0 ? ph_str_from(text, (size_t)mark + 1) : text), raw;

	hash = ph_str_find(query, PH_STR("#"));
	if (hash >= 0)
		query.n = (size_t)hash;
	if (!query_text(query, "state", state, sizeof state))
		return PH_REDIRECT_NONE;
	if (strlen(state) != strlen(f->state) || !ph_equal(state, f->state, strlen(state)))
		return PH_REDIRECT_FOREIGN;
	if (ph_query_get(query, PH_STR("error"), &raw)) {
		refused(query, err);
		return PH_REDIRECT_REFUSED;
	}
	return query_text(query, "code", code, PH_CODE_MAX) && code[0] ? PH_REDIRECT_CODE : PH_REDIRECT_NONE;
}

/* ---- bodies ---- */

void ph_cli_flow_ask_device(struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("{\"client_id\":\"" PH_LOGIN_CLIENT_ID "\"}"));
}

void ph_cli_flow_poll(const struct ph_cli_flow *f, struct ph_buf *out)
{
	ph_buf_putc(out, '{');
	put_text(out, kept[K_DEVICE_ID], f->device_id);
	put_text(out, kept[K_USER_CODE], f->user_code);
	ph_buf_putc(out, '}');
}

void ph_cli_flow_exchange(const struct ph_cli_flow *f, const char *code, struct ph_buf *out)
{
	put_pair(out, "grant_type", PH_STR("authorization_code"));
	put_pair(out, "code", ph_str_c(code));
	put_pair(out, "redirect_uri", ph_str_c(f->redirect));
	put_pair(out, "client_id", PH_STR(PH_LOGIN_CLIENT_ID));
	put_pair(out, "code_verifier", ph_str_c(f->verifier));
}

/* ---- answers ---- */

bool ph_cli_flow_take_device(struct ph_cli_flow *f, struct ph_str json)
{
	static const struct ph_str names[] = {PH_STR_INIT("device_auth_id"), PH_STR_INIT("user_code"),
		PH_STR_INIT("usercode"), PH_STR_INIT("interval")};
	struct ph_json_member m[4];

	if (ph_json_scan(json, names, 4, m, NULL))
		return false;
	take_text(&m[0], f->device_id, sizeof f->device_id);
	take_text(m[1].kind == PH_JSON_STRING ? &m[1] : &m[2], f->user_code, sizeof f->user_code);
	take_interval(&m[3], &f->interval_s);
	return ph_cli_is_word(ph_str_c(f->device_id)) && ph_cli_is_word(ph_str_c(f->user_code));
}

/* {"error":"slow_down"} and {"error":{"code":"slow_down"}}. */
static bool error_is(struct ph_str json, const char *word)
{
	static const struct ph_str error = PH_STR_INIT("error"), code = PH_STR_INIT("code");
	struct ph_json_member m;

	if (ph_json_scan(json, &error, 1, &m, NULL))
		return false;
	if (m.kind == PH_JSON_OBJECT && !ph_json_find(m.value, &code, 1, &m))
		return false;
	return m.kind == PH_JSON_STRING && ph_json_text_is(m.value, ph_str_c(word));
}

static bool take_code(struct ph_cli_flow *f, struct ph_str json, char *code)
{
	static const struct ph_str names[] = {
		PH_STR_INIT("authorization_code"), PH_STR_INIT("code_verifier")};
	struct ph_json_member m[2];

	if (ph_json_scan(json, names, 2, m, NULL))
		return false;
	take_text(&m[0], code, PH_CODE_MAX);
	take_text(&m[1], f->verifier, sizeof f->verifier);
	return code[0] && f->verifier[0];
}

/* What is no clear end may pass: the flow's own deadline ends the waiting. */
enum ph_cli_polled ph_cli_flow_polled(
	struct ph_cli_flow *f, int status, struct ph_str json, char code[PH_CODE_MAX], struct ph_err *err)
{
	static const char *const ends[] = {"expired_token", "access_denied", "invalid_grant"};

	if (status == 200 && take_code(f, json, code))
		return PH_POLLED_CODE;
	if (status == 429 || error_is(json, "slow_down"))
		f->interval_s = f->interval_s + INTERVAL_S < INTERVAL_MOST_S ? f->interval_s + INTERVAL_S
									     : INTERVAL_MOST_S;
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		if (status / 100 == 4 && error_is(json, ends[i])) {
			ph_fail(err, PH_E_CONFIG, "the login was refused (%s); run the command again",
				ends[i]);
			return PH_POLLED_OVER;
		}
	}
	return PH_POLLED_WAIT;
}
