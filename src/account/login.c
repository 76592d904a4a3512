/* SPDX-License-Identifier: Apache-2.0 */
/* A login, and its renewal, as bytes: nothing here knows a clock, a key or a connection. */
#include "posthouse/login.h"

#include <stdio.h>
#include <time.h>

#include "posthouse/json.h"
#include "posthouse/jwt.h"

#define SCOPE      "openid profile email"

#define DAY_S      UINT64_C(86400)
#define OLDEST_S   (8 * DAY_S) /* a login that is not renewed for longer may be forgotten upstream */
#define YEARS_S    (UINT64_C(100) * 366 * DAY_S)
#define AHEAD_S    300 /* before a token's end, and as much again at the most */
#define SHORT_LIFE 8   /* but not before seven eighths of its life have passed, and as much again */
#define JITTER     1000

enum {
	M_ACCESS,
	M_REFRESH,
	M_ID,
	M_ACCOUNT,
	M_EXPIRES_AT, /* where the access token does not say it itself */
	M_EXPIRES_IN, /* of an answer */
	M_NR
};
static const struct ph_str names[M_NR] = {
	[M_ACCESS] = PH_STR_INIT("access_token"),
	[M_REFRESH] = PH_STR_INIT("refresh_token"),
	[M_ID] = PH_STR_INIT("id_token"),
	[M_ACCOUNT] = PH_STR_INIT("account_id"),
	[M_EXPIRES_AT] = PH_STR_INIT("expires_at"),
	[M_EXPIRES_IN] = PH_STR_INIT("expires_in"),
};

/* It becomes a header's value. */
static bool is_word(struct ph_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

/* The text of a member replaces *ret, where there is one. False: it is there and no text. */
static bool take(const struct ph_json_member *m, struct ph_arena *a, struct ph_str *ret)
{
	if (m->kind == PH_JSON_ABSENT || m->kind == PH_JSON_NULL)
		return true;
	return ph_json_text(m->value, a, ret);
}

/* A time, or 0. */
static uint64_t seconds(struct ph_str number)
{
	uint64_t s;

	return ph_json_u64(number, &s) && s < YEARS_S ? s : 0;
}

static void read_times(struct ph_login *l, struct ph_arena *a, uint64_t otherwise_s)
{
	static const struct ph_str times[] = {PH_STR_INIT("iat"), PH_STR_INIT("exp")};
	struct ph_str claims = ph_jwt_claims(l->access, a);
	struct ph_json_member m[2];

	l->issued_s = 0;
	l->expires_s = otherwise_s;
	if (claims.n == 0 || !ph_json_find(claims, times, 2, m))
		return;
	l->issued_s = seconds(m[0].value);
	if (seconds(m[1].value))
		l->expires_s = seconds(m[1].value);
}

static bool read_texts(const struct ph_json_member *m, struct ph_arena *a, struct ph_login *l)
{
	return take(&m[M_ACCESS], a, &l->access) && take(&m[M_REFRESH], a, &l->refresh) &&
	       take(&m[M_ID], a, &l->id) && take(&m[M_ACCOUNT], a, &l->account) && l->access.n > 0 &&
	       is_word(l->access) && is_word(l->account);
}

int ph_login_read(struct ph_str json, struct ph_arena *a, struct ph_login *ret)
{
	struct ph_json_member m[M_NR];

	memset(ret, 0, sizeof *ret);
	if (ph_json_scan(json, names, M_NR, m, NULL) || !read_texts(m, a, ret))
		return -PH_E_CONFIG;
	read_times(ret, a, seconds(m[M_EXPIRES_AT].value));
	return 0;
}

static void put(struct ph_buf *b, int member, struct ph_str text)
{
	if (text.n == 0)
		return;
	ph_buf_printf(b, "%s\"%s\":\"", b->n > 1 ? "," : "", names[member].p);
	ph_buf_json(b, text);
	ph_buf_putc(b, '"');
}

void ph_login_write(const struct ph_login *l, uint64_t now_s, struct ph_buf *out)
{
	char text[32];
	time_t now = (time_t)now_s;
	struct tm tm;

	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	ph_buf_putc(out, '{');
	put(out, M_ACCESS, l->access);
	put(out, M_REFRESH, l->refresh);
	put(out, M_ID, l->id);
	put(out, M_ACCOUNT, l->account);
	if (l->expires_s)
		ph_buf_printf(out, ",\"expires_at\":%llu", (unsigned long long)l->expires_s);
	ph_buf_printf(out, ",\"last_refresh\":\"%s\"}", text);
}

uint64_t ph_login_due_s(uint64_t issued_s, uint64_t expires_s, unsigned jitter)
{
	uint64_t due = issued_s + OLDEST_S - OLDEST_S / 100 * jitter / JITTER, ahead = AHEAD_S;

	if (expires_s <= issued_s)
		return due;
	if ((expires_s - issued_s) / SHORT_LIFE < ahead)
		ahead = (expires_s - issued_s) / SHORT_LIFE;
	ahead += ahead * jitter / JITTER;
	return expires_s - ahead < due ? expires_s - ahead : due;
}

void ph_grant_ask(struct ph_str refresh_token, struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("{\"client_id\":\"" PH_LOGIN_CLIENT_ID "\",\"grant_type\":\"refresh_token\","
				"\"refresh_token\":\""));
	ph_buf_json(out, refresh_token);
	ph_buf_puts(out, PH_STR("\",\"scope\":\"" SCOPE "\"}"));
}

static enum ph_grant read_tokens(
	const struct ph_json_member *m, uint64_t now_s, struct ph_arena *a, struct ph_login *l)
{
	uint64_t lasts_s = seconds(m[M_EXPIRES_IN].value);
	struct ph_login new = *l;

	new.access = PH_STR_NONE;
	if (!take(&m[M_ACCESS], a, &new.access) || !take(&m[M_REFRESH], a, &new.refresh) ||
		!take(&m[M_ID], a, &new.id) || new.access.n == 0 || !is_word(new.access))
		return PH_GRANT_LATER;
	*l = new;
	read_times(l, a, lasts_s ? now_s + lasts_s : 0);
	return PH_GRANT_NEW;
}

/* {"error":{"code":".."}} and {"error":".."}, which RFC 6749 has. */
static const char *final_word(struct ph_str body)
{
	static const char *const words[] = {"invalid_grant", "refresh_token_expired", "refresh_token_reused",
		"refresh_token_invalidated"};
	static const struct ph_str error = PH_STR_INIT("error"), code = PH_STR_INIT("code");
	struct ph_json_member m;

	if (!ph_json_find(body, &error, 1, &m))
		return NULL;
	if (m.kind == PH_JSON_OBJECT && !ph_json_find(m.value, &code, 1, &m))
		return NULL;
	for (size_t i = 0; m.kind == PH_JSON_STRING && i < sizeof words / sizeof *words; i++)
		if (ph_json_text_is(m.value, ph_str_c(words[i])))
			return words[i];
	return NULL;
}

enum ph_grant ph_grant_read(int status, struct ph_str body, uint64_t now_s, struct ph_arena *a,
	struct ph_login *l, const char **word)
{
	struct ph_json_member m[M_NR];

	*word = NULL;
	if (ph_json_scan(body, names, M_NR, m, NULL))
		return PH_GRANT_LATER;
	if (status == 200)
		return read_tokens(m, now_s, a, l);
	if (status / 100 == 4)
		*word = final_word(body);
	return *word ? PH_GRANT_NEVER : PH_GRANT_LATER;
}
