/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an account has left, as the Codex backend says it: in headers of every answer, and in an event of its
 * own. Two windows, and credits that go on where they end. Pure; nothing is concluded here.
 *
 * Limits of other names (of one model, of reviews) come in the same shapes; they are not the account's.
 */
#include <stdio.h>

#include "posthouse/json.h"
#include "upstream_priv.h"

/* The texts of one window, or of the credits: as a header has them, as JSON numbers are, or strings. */
struct said {
	struct ph_str used_percent, minutes, resets;
	struct ph_str has_credits, unlimited, balance;
};

/* A window that is not in force comes as zeros. */
static void take_window(const struct said *s, struct ph_usage_window *ret)
{
	uint64_t thousandths, minutes = 0, resets = 0;

	if (!ph_after_thousandths(s->used_percent, &thousandths))
		return;
	ph_str_u64(s->minutes, UINT32_MAX, &minutes);
	ph_str_u64(s->resets, INT64_MAX, &resets);
	if (thousandths == 0 && minutes == 0 && resets == 0)
		return;
	*ret = (struct ph_usage_window){
		.known = true,
		.used_percent = thousandths < 100000 ? (double)thousandths / 1000 : 100,
		.minutes = (uint32_t)minutes,
		.resets_s = resets,
	};
}

static bool is_true(struct ph_str s)
{
	return ph_str_eq_nocase(s, PH_STR("true")) || ph_str_eq(s, PH_STR("1"));
}

static bool is_bool(struct ph_str s)
{
	return is_true(s) || ph_str_eq_nocase(s, PH_STR("false")) || ph_str_eq(s, PH_STR("0"));
}

static void take_credits(const struct said *s, struct ph_usage *ret)
{
	uint64_t balance = 0;
	bool counted = ph_after_thousandths(s->balance, &balance);

	ret->credits_known = is_bool(s->has_credits) || is_bool(s->unlimited) || counted;
	ret->has_credits = is_true(s->has_credits) || is_true(s->unlimited) || balance > 0;
}

static bool says_usage(const struct ph_usage *u)
{
	return u->window[PH_USAGE_PRIMARY].known || u->window[PH_USAGE_SECONDARY].known || u->credits_known;
}

/* ---- headers ---- */

static struct ph_str field(const struct ph_head *head, const char *middle, const char *last)
{
	char name[64];

	snprintf(name, sizeof name, "x-codex-%s-%s", middle, last);
	return ph_head_get(head, ph_str_c(name));
}

static void window_of_head(const struct ph_head *head, const char *which, struct ph_usage_window *ret)
{
	struct said s = {
		.used_percent = field(head, which, "used-percent"),
		.minutes = field(head, which, "window-minutes"),
		.resets = field(head, which, "reset-at"),
	};

	take_window(&s, ret);
}

bool ph_usage_of_head(const struct ph_head *head, struct ph_usage *ret)
{
	struct said credits = {
		.has_credits = field(head, "credits", "has-credits"),
		.unlimited = field(head, "credits", "unlimited"),
		.balance = field(head, "credits", "balance"),
	};

	*ret = (struct ph_usage){0};
	window_of_head(head, "primary", &ret->window[PH_USAGE_PRIMARY]);
	window_of_head(head, "secondary", &ret->window[PH_USAGE_SECONDARY]);
	take_credits(&credits, ret);
	ph_str_copy(ret->plan, sizeof ret->plan, field(head, "plan", "type"));
	return says_usage(ret);
}

/* ---- the event ---- */

/* A value's text, borrowed: numbers and literals as they stand, strings without quotes. Whatever is escaped
 * is no number. */
static struct ph_str plain(const struct ph_json_member *m)
{
	if (m->kind == PH_JSON_STRING && !m->escaped)
		return ph_str(m->value.p + 1, m->value.n - 2);
	return m->kind == PH_JSON_NUMBER || m->kind == PH_JSON_TRUE || m->kind == PH_JSON_FALSE ? m->value
												: PH_STR_NONE;
}

static void window_of_json(const struct ph_json_member *object, struct ph_usage_window *ret)
{
	static const struct ph_str names[] = {PH_STR_INIT("used_percent"), PH_STR_INIT("window_minutes"),
		PH_STR_INIT("reset_at"), PH_STR_INIT("resets_at")};
	struct ph_json_member m[4];
	struct said s;

	if (object->kind != PH_JSON_OBJECT || !ph_json_find(object->value, names, 4, m))
		return;
	s = (struct said){.used_percent = plain(&m[0]), .minutes = plain(&m[1]), .resets = plain(&m[2])};
	if (s.resets.n == 0)
		s.resets = plain(&m[3]);
	take_window(&s, ret);
}

static void credits_of_json(const struct ph_json_member *object, struct ph_usage *ret)
{
	static const struct ph_str names[] = {
		PH_STR_INIT("has_credits"), PH_STR_INIT("unlimited"), PH_STR_INIT("balance")};
	struct ph_json_member m[3];
	struct said s;

	if (object->kind != PH_JSON_OBJECT || !ph_json_find(object->value, names, 3, m))
		return;
	s = (struct said){.has_credits = plain(&m[0]), .unlimited = plain(&m[1]), .balance = plain(&m[2])};
	take_credits(&s, ret);
}

enum {
	E_TYPE,
	E_PLAN,
	E_LIMITS,
	E_CREDITS,
	E_LIMIT_ID,
	E_METERED,
	E_LIMIT_NAME,
	E_NR
};
static const struct ph_str event_names[E_NR] = {
	[E_TYPE] = PH_STR_INIT("type"),
	[E_PLAN] = PH_STR_INIT("plan_type"),
	[E_LIMITS] = PH_STR_INIT("rate_limits"),
	[E_CREDITS] = PH_STR_INIT("credits"),
	[E_LIMIT_ID] = PH_STR_INIT("limit_id"),
	[E_METERED] = PH_STR_INIT("metered_limit_name"),
	[E_LIMIT_NAME] = PH_STR_INIT("limit_name"),
};

static bool of_the_account(const struct ph_json_member *m)
{
	for (int i = E_LIMIT_ID; i <= E_LIMIT_NAME; i++)
		if (m[i].kind == PH_JSON_STRING && !ph_json_text_is(m[i].value, PH_STR("codex")))
			return false;
	return ph_json_text_is(m[E_TYPE].value, PH_STR("codex.rate_limits"));
}

bool ph_usage_of_event(struct ph_str json, struct ph_usage *ret)
{
	static const struct ph_str windows[] = {
		PH_STR_INIT("primary"), PH_STR_INIT("secondary"), PH_STR_INIT("credits")};
	struct ph_json_member m[E_NR], w[3];

	*ret = (struct ph_usage){0};
	json = ph_str_trim(json);
	if (ph_json_check(json, NULL) || !ph_json_find(json, event_names, E_NR, m) || !of_the_account(m))
		return false;
	if (m[E_PLAN].kind == PH_JSON_STRING)
		ph_str_copy(ret->plan, sizeof ret->plan, plain(&m[E_PLAN]));
	credits_of_json(&m[E_CREDITS], ret);
	if (m[E_LIMITS].kind == PH_JSON_OBJECT && ph_json_find(m[E_LIMITS].value, windows, 3, w)) {
		window_of_json(&w[0], &ret->window[PH_USAGE_PRIMARY]);
		window_of_json(&w[1], &ret->window[PH_USAGE_SECONDARY]);
		if (!ret->credits_known)
			credits_of_json(&w[2], ret);
	}
	return says_usage(ret);
}

/* ---- the usage endpoint ---- */

/* It counts in seconds. */
static void window_of_answer(const struct ph_json_member *object, uint64_t now_s, struct ph_usage_window *ret)
{
	static const struct ph_str names[] = {PH_STR_INIT("used_percent"),
		PH_STR_INIT("limit_window_seconds"), PH_STR_INIT("reset_at"),
		PH_STR_INIT("reset_after_seconds")};
	struct ph_json_member m[4];
	uint64_t after_s;

	if (object->kind != PH_JSON_OBJECT || !ph_json_find(object->value, names, 4, m))
		return;
	take_window(
		&(struct said){.used_percent = plain(&m[0]), .minutes = plain(&m[1]), .resets = plain(&m[2])},
		ret);
	ret->minutes /= 60;
	if (ret->known && ret->resets_s == 0 && now_s && ph_str_u64(plain(&m[3]), UINT32_MAX, &after_s) &&
		after_s)
		ret->resets_s = now_s + after_s;
}

bool ph_usage_of_answer(
	struct ph_str json, uint64_t now_s, struct ph_usage *ret, char *email, size_t email_size)
{
	enum {
		PLAN,
		EMAIL,
		LIMIT,
		CREDITS,
		NR
	};
	static const struct ph_str names[NR] = {PH_STR_INIT("plan_type"), PH_STR_INIT("email"),
		PH_STR_INIT("rate_limit"), PH_STR_INIT("credits")};
	static const struct ph_str windows[] = {
		PH_STR_INIT("primary_window"), PH_STR_INIT("secondary_window")};
	struct ph_json_member m[NR], w[2];

	*ret = (struct ph_usage){0};
	email[0] = '\0';
	json = ph_str_trim(json);
	if (ph_json_check(json, NULL) || !ph_json_find(json, names, NR, m))
		return false;
	if (m[PLAN].kind == PH_JSON_STRING)
		ph_str_copy(ret->plan, sizeof ret->plan, plain(&m[PLAN]));
	if (m[EMAIL].kind == PH_JSON_STRING && plain(&m[EMAIL]).n < email_size)
		ph_str_copy(email, email_size, plain(&m[EMAIL]));
	credits_of_json(&m[CREDITS], ret);
	if (m[LIMIT].kind == PH_JSON_OBJECT && ph_json_find(m[LIMIT].value, windows, 2, w)) {
		window_of_answer(&w[0], now_s, &ret->window[PH_USAGE_PRIMARY]);
		window_of_answer(&w[1], now_s, &ret->window[PH_USAGE_SECONDARY]);
	}
	return says_usage(ret);
}
