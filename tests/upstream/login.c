/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An account's login: access tokens that expire, and a token URL whose refresh tokens work once. Using one
 * again, or one that was never issued, revokes all of it, as upstream does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "fake.h"
#include "posthouse/clock.h"
#include "posthouse/crypt.h"
#include "posthouse/url.h"

/* A JSON web token of these claims. Nobody checks its signature. */
static void put_token(struct ph_buf *b, const char *claims)
{
	ph_buf_puts(b, PH_STR("e30."));
	ph_base64url(b, ph_str_c(claims));
	ph_buf_puts(b, PH_STR(".sig"));
}

/* The next pair of tokens. The access token is a JSON web token that says when it ends. */
static void mint(struct fake_account *a)
{
	struct fake_login *l = &a->login;
	unsigned long long now_s = ph_clock_unix_ms() / 1000;
	struct ph_buf b;
	char claims[128];

	l->issued++;
	l->before = l->now;
	snprintf(claims, sizeof(claims), "{\"iat\":%llu,\"exp\":%llu,\"sub\":\"%s\",\"jti\":%llu}", now_s,
		now_s + (unsigned long long)l->lives_s, a->name, (unsigned long long)l->issued);
	ph_buf_init(&b, sizeof(l->now.access) - 1);
	put_token(&b, claims);
	ph_str_copy(l->now.access, sizeof(l->now.access), ph_buf_str(&b));
	ph_buf_deinit(&b);
	l->now.expires_ms = fake_now_ms() + (double)l->lives_s * 1000;
	snprintf(l->refresh, sizeof(l->refresh), "rt-canary-%s-%llu", a->name, (unsigned long long)l->issued);
}

void fake_login_start(struct fake_account *a, uint64_t lives_s)
{
	memset(&a->login, 0, sizeof(a->login));
	a->login.lives_s = lives_s;
	if (lives_s)
		mint(a);
}

void fake_login_expire(struct fake_account *a)
{
	a->login.now.expires_ms = a->login.before.expires_ms = 0;
}

const char *fake_login_refuses(const struct fake_account *a, struct ph_str authorization)
{
	const struct fake_login *l = &a->login;
	struct ph_str token =
		ph_str_starts(authorization, PH_STR("Bearer ")) ? ph_str_from(authorization, 7) : PH_STR_NONE;
	const struct fake_token *t = ph_str_eq(token, ph_str_c(l->now.access)) ? &l->now : &l->before;

	if (!l->lives_s)
		return NULL;
	if (l->revoked)
		return "token_revoked";
	if (!ph_str_eq(token, ph_str_c(t->access)) || t->expires_ms <= fake_now_ms())
		return "token_expired";
	return NULL;
}

void fake_login_put(const struct fake_account *a, struct ph_buf *b)
{
	const struct fake_login *l = &a->login;

	ph_buf_printf(b,
		"{\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"renewed\":%llu,\"reused\":%llu,"
		"\"revoked\":%s,\"expires\":%.3f}",
		l->now.access, l->refresh, (unsigned long long)l->renewed, (unsigned long long)l->reused,
		l->revoked ? "true" : "false", l->now.expires_ms);
}

/* The text of the body's refresh_token, if it asks for that. */
static bool read_grant(struct fake_exchange *x, struct ph_str *ret)
{
	static const struct ph_str names[] = {{"grant_type", 10}, {"refresh_token", 13}, {"client_id", 9}};
	struct ph_json_member m[3];

	return !ph_json_scan(x->body, names, 3, m, NULL) &&
	       ph_json_text_is(m[0].value, PH_STR("refresh_token")) && m[2].kind == PH_JSON_STRING &&
	       ph_json_text(m[1].value, &x->arena, ret);
}

static void answer_tokens(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;

	l->renewed++;
	mint(x->account);
	ph_buf_printf(&x->play.payload,
		"{\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"token_type\":\"Bearer\",\"expires_in\":%"
		"llu}",
		l->now.access, l->refresh, (unsigned long long)l->lives_s);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

static void refuse(struct fake_exchange *x, int status, const char *word)
{
	fake_answer_error(x, status, "invalid_request_error", word, NULL, "The login says no: %s.", word);
}

static void renew(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;
	struct ph_str token = PH_STR_NONE;

	if (!read_grant(x, &token)) {
		refuse(x, 400, "invalid_request");
	} else if (!l->revoked && ph_str_eq(token, ph_str_c(l->refresh))) {
		answer_tokens(x);
	} else {
		l->reused++;
		l->revoked = true;
		fake_answer_error(x, 401, "invalid_request_error", "refresh_token_reused", NULL,
			"Your refresh token has already been used to generate a new access token.");
	}
}

/* ---- a person's login ---- */

#define FIRST_LIFE_S 86400

static bool form_text(struct ph_str form, const char *name, char *dst, size_t size)
{
	struct ph_str raw;
	size_t n;

	dst[0] = '\0';
	return ph_query_get(form, ph_str_c(name), &raw) && !ph_percent_decode(raw, true, dst, size, &n);
}

static bool form_is(struct ph_str form, const char *name, const char *value)
{
	char text[256];

	return form_text(form, name, text, sizeof(text)) && strcmp(text, value) == 0;
}

/* The page on which a person says yes: here everybody does. */
static void authorize(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;
	char state[256], head[1400];
	struct ph_buf location;

	if (!form_is(x->query, "response_type", "code") ||
		!form_is(x->query, "code_challenge_method", "S256") ||
		!form_is(x->query, "client_id", "app_EMoamEEZ73f0CkXaXp7hrann") ||
		!form_text(x->query, "code_challenge", l->coming.challenge, sizeof(l->coming.challenge)) ||
		!form_text(x->query, "redirect_uri", l->coming.redirect, sizeof(l->coming.redirect)) ||
		!form_text(x->query, "state", state, sizeof(state))) {
		refuse(x, 400, "invalid_request");
		return;
	}
	snprintf(l->coming.code, sizeof(l->coming.code), "code-canary-%s-%llu", x->account->name,
		(unsigned long long)++l->coming.begun);
	ph_buf_init(&location, sizeof(head));
	ph_buf_printf(&location, "%s?code=%s&scope=openid&state=", l->coming.redirect, l->coming.code);
	ph_percent_encode(&location, ph_str_c(state));
	snprintf(head, sizeof(head), "{\"headers\":{\"location\":\"%.*s\"}}",
		PH_STR_ARG(ph_buf_str(&location)));
	ph_buf_deinit(&location);
	fake_do_unref(x->todo);
	x->todo = fake_do_parse(ph_str_c(head), NULL);
	fake_answer(x, 302, "text/html", FAKE_LENGTH);
}

static bool proves(const struct fake_login *l, const char *verifier)
{
	uint8_t digest[32];
	struct ph_buf b;
	bool ok;

	ph_sha256(ph_str_c(verifier), digest);
	ph_buf_init(&b, 64);
	ph_base64url(&b, ph_str((const char *)digest, sizeof(digest)));
	ok = ph_str_eq(ph_buf_str(&b), ph_str_c(l->coming.challenge));
	ph_buf_deinit(&b);
	return ok;
}

static void answer_first_tokens(struct fake_exchange *x)
{
	struct fake_account *a = x->account;
	uint64_t begun = a->login.coming.begun;
	struct ph_buf *b = &x->play.payload;
	char claims[512];

	fake_login_start(a, a->login.lives_s ? a->login.lives_s : FIRST_LIFE_S);
	a->login.coming.begun = begun;
	snprintf(claims, sizeof(claims),
		"{\"email\":\"%s@example.com\",\"sub\":\"%s\",\"https://api.openai.com/auth\":{"
		"\"chatgpt_account_id\":\"acc-%s\",\"chatgpt_plan_type\":\"plus\"}}",
		a->name, a->name, a->name);
	ph_buf_puts(b, PH_STR("{\"id_token\":\""));
	put_token(b, claims);
	ph_buf_printf(b, "\",\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"token_type\":\"Bearer\"}",
		a->login.now.access, a->login.refresh);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

static void redeem(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;
	char code[64], verifier[256], redirect[512];
	bool good = form_text(x->body, "code", code, sizeof(code)) &&
		    form_text(x->body, "code_verifier", verifier, sizeof(verifier)) &&
		    form_text(x->body, "redirect_uri", redirect, sizeof(redirect)) && l->coming.code[0] &&
		    strcmp(code, l->coming.code) == 0 && strcmp(redirect, l->coming.redirect) == 0 &&
		    form_is(x->body, "client_id", "app_EMoamEEZ73f0CkXaXp7hrann") && proves(l, verifier);

	l->coming.code[0] = '\0';
	if (good)
		answer_first_tokens(x);
	else
		refuse(x, 400, "invalid_grant");
}

static void token(struct fake_exchange *x)
{
	x->todo = x->account->granting ? fake_do_ref(x->account->granting) : NULL;
	if (fake_exchange_overridden(x))
		return;
	if (form_is(x->body, "grant_type", "authorization_code"))
		redeem(x);
	else
		renew(x);
}

static void begin_device(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;

	l->coming.begun++;
	l->coming.code[0] = '\0';
	snprintf(l->coming.user_code, sizeof(l->coming.user_code), "CODE-%04llu",
		(unsigned long long)l->coming.begun);
	snprintf(l->coming.device_id, sizeof(l->coming.device_id), "device-%s-%llu", x->account->name,
		(unsigned long long)l->coming.begun);
	ph_buf_printf(&x->play.payload, "{\"device_auth_id\":\"%s\",\"user_code\":\"%s\",\"interval\":\"1\"}",
		l->coming.device_id, l->coming.user_code);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}

/* GET /codex/device?user_code=..: the person enters it. */
static void enter_code(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;
	uint8_t digest[32];
	struct ph_buf b;

	if (!l->coming.user_code[0] || !form_is(x->query, "user_code", l->coming.user_code)) {
		refuse(x, 404, "unknown_code");
		return;
	}
	snprintf(l->coming.code, sizeof(l->coming.code), "code-canary-%s-%llu", x->account->name,
		(unsigned long long)l->coming.begun);
	snprintf(l->coming.verifier, sizeof(l->coming.verifier),
		"verifier-canary-%llu-of-the-device-and-long-enough", (unsigned long long)l->coming.begun);
	ph_sha256(ph_str_c(l->coming.verifier), digest);
	ph_buf_init(&b, sizeof(l->coming.challenge) - 1);
	ph_base64url(&b, ph_str((const char *)digest, sizeof(digest)));
	ph_str_copy(l->coming.challenge, sizeof(l->coming.challenge), ph_buf_str(&b));
	ph_buf_deinit(&b);
	snprintf(l->coming.redirect, sizeof(l->coming.redirect), "http://%.*s/a/%s/deviceauth/callback",
		PH_STR_ARG(ph_head_get(x->head, PH_STR("host"))), x->account->name);
	fake_answer_json(x, 200, PH_STR("{}"));
}

static void poll_device(struct fake_exchange *x)
{
	static const struct ph_str names[] = {{"device_auth_id", 14}, {"user_code", 9}};
	struct fake_login *l = &x->account->login;
	struct ph_json_member m[2];

	if (ph_json_scan(x->body, names, 2, m, NULL) || !l->coming.device_id[0] ||
		!ph_json_text_is(m[0].value, ph_str_c(l->coming.device_id)) ||
		!ph_json_text_is(m[1].value, ph_str_c(l->coming.user_code))) {
		refuse(x, 404, "unknown_device");
	} else if (!l->coming.code[0]) {
		refuse(x, 403, "authorization_pending");
	} else {
		ph_buf_printf(&x->play.payload,
			"{\"authorization_code\":\"%s\",\"code_challenge\":\"%s\",\"code_verifier\":\"%s\"}",
			l->coming.code, l->coming.challenge, l->coming.verifier);
		fake_answer(x, 200, "application/json", FAKE_LENGTH);
	}
}

bool fake_login_serve(struct fake_exchange *x)
{
	static const struct {
		const char *path;
		void (*serve)(struct fake_exchange *x);
	} paths[] = {
		{"/oauth/token", token},
		{"/oauth/authorize", authorize},
		{"/codex/device", enter_code},
		{"/api/accounts/deviceauth/usercode", begin_device},
		{"/api/accounts/deviceauth/token", poll_device},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		if (!ph_str_eq(x->path, ph_str_c(paths[i].path)))
			continue;
		paths[i].serve(x);
		return true;
	}
	return false;
}

/* ---- what the login has left ---- */

void fake_usage_start(struct fake_exchange *x)
{
	unsigned long long now_s = ph_clock_unix_ms() / 1000;

	x->todo = x->account->polling ? fake_do_ref(x->account->polling) : NULL;
	if (fake_exchange_overridden(x))
		return;
	ph_buf_printf(&x->play.payload,
		"{\"plan_type\":\"plus\",\"email\":\"%s@example.com\",\"rate_limit\":{\"allowed\":true,"
		"\"limit_reached\":false,\"primary_window\":{\"used_percent\":10,\"limit_window_seconds\":"
		"18000,"
		"\"reset_after_seconds\":3600,\"reset_at\":%llu},\"secondary_window\":{\"used_percent\":20,"
		"\"limit_window_seconds\":604800,\"reset_after_seconds\":86400,\"reset_at\":%llu}},"
		"\"credits\":{\"has_credits\":false,\"unlimited\":false,\"balance\":null}}",
		x->account->name, now_s + 3600, now_s + 86400);
	fake_answer(x, 200, "application/json", FAKE_LENGTH);
}
