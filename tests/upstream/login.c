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

static void put_base64url(struct ph_buf *b, struct ph_str s)
{
	size_t from = b->n;

	ph_base64(b, s);
	while (b->n > from && b->p[b->n - 1] == '=')
		b->n--;
	for (size_t i = from; i < b->n; i++)
		b->p[i] = b->p[i] == '+' ? '-' : b->p[i] == '/' ? '_' : b->p[i];
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
	ph_buf_puts(&b, PH_STR("e30."));
	put_base64url(&b, ph_str_c(claims));
	ph_buf_puts(&b, PH_STR(".sig"));
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

void fake_login_exchange(struct fake_exchange *x)
{
	struct fake_login *l = &x->account->login;
	struct ph_str token = PH_STR_NONE;

	x->todo = x->account->granting ? fake_do_ref(x->account->granting) : NULL;
	if (fake_exchange_overridden(x))
		return;
	if (!read_grant(x, &token)) {
		fake_answer_error(x, 400, "invalid_request_error", "invalid_request", NULL, "No such grant.");
	} else if (!l->revoked && ph_str_eq(token, ph_str_c(l->refresh))) {
		answer_tokens(x);
	} else {
		l->reused++;
		l->revoked = true;
		fake_answer_error(x, 401, "invalid_request_error", "refresh_token_reused", NULL,
			"Your refresh token has already been used to generate a new access token.");
	}
}
