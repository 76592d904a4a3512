/* SPDX-License-Identifier: Apache-2.0 */
/* What an account has left, in headers and in the event. */
#include "ph_test.h"

#include <stdio.h>

#include "posthouse/http1.h"
#include "posthouse/upstream.h"

static struct ph_usage u;

static bool head(const char *const *pairs)
{
	struct ph_header fields[16];
	struct ph_head h = {.headers = fields};

	for (size_t i = 0; pairs[i]; i += 2)
		fields[h.header_count++] = (struct ph_header){ph_str_c(pairs[i]), ph_str_c(pairs[i + 1])};
	memset(&u, 0xa5, sizeof u);
	return ph_usage_of_head(&h, &u);
}
#define HEAD(...) head((const char *const[]){__VA_ARGS__, NULL})

static bool event(const char *json)
{
	memset(&u, 0xa5, sizeof u);
	return ph_usage_of_event(ph_str_c(json), &u);
}

/* The event's frame around one window. */
static bool primary(const char *window)
{
	char json[256];

	snprintf(json, sizeof json, "{\"type\":\"codex.rate_limits\",\"rate_limits\":{\"primary\":%s}}",
		window);
	return event(json);
}

static void assert_window(int which, double used, uint32_t minutes, uint64_t resets_s)
{
	const struct ph_usage_window *w = &u.window[which];

	assert_true(w->known);
	assert_float_equal(w->used_percent, used, 0.0001);
	assert_int_equal(w->minutes, minutes);
	assert_int_equal(w->resets_s, resets_s);
}

static void both_windows_of_a_head(void **state)
{
	(void)state;
	assert_true(HEAD("X-Codex-Primary-Used-Percent", "42.5", "x-codex-primary-window-minutes", "300",
		"x-codex-primary-reset-at", "1700000000", "x-codex-secondary-used-percent", "7",
		"x-codex-secondary-window-minutes", "10080", "x-codex-secondary-reset-at", "1700009999",
		"x-codex-plan-type", "pro"));
	assert_window(PH_USAGE_PRIMARY, 42.5, 300, 1700000000);
	assert_window(PH_USAGE_SECONDARY, 7, 10080, 1700009999);
	assert_string_equal(u.plan, "pro");
	assert_false(u.credits_known);
}

static void one_window_of_a_head(void **state)
{
	(void)state;
	assert_true(HEAD("x-codex-primary-used-percent", "12", "x-codex-primary-window-minutes", "300"));
	assert_window(PH_USAGE_PRIMARY, 12, 300, 0);
	assert_false(u.window[PH_USAGE_SECONDARY].known);
	assert_string_equal(u.plan, "");
	/* zeros stand for a window that is not in force; a fresh one has a length or a reset */
	assert_true(HEAD("x-codex-primary-used-percent", "0", "x-codex-primary-window-minutes", "300",
		"x-codex-secondary-used-percent", "0", "x-codex-secondary-window-minutes", "0"));
	assert_window(PH_USAGE_PRIMARY, 0, 300, 0);
	assert_false(u.window[PH_USAGE_SECONDARY].known);
}

static void heads_that_say_nothing(void **state)
{
	(void)state;
	assert_false(HEAD("x-request-id", "1"));
	assert_false(HEAD("x-codex-turn-state", "x", "x-codex-plan-type", "pro"));
	assert_false(HEAD("x-codex-primary-window-minutes", "300", "x-codex-primary-reset-at", "1700000000"));
	assert_false(HEAD("x-codex-primary-used-percent", "NaN", "x-codex-primary-window-minutes", "300"));
	assert_false(HEAD("x-codex-primary-used-percent", "-1", "x-codex-primary-window-minutes", "300"));
	assert_false(HEAD("x-codex-primary-used-percent", ""));
	/* another limit's */
	assert_false(HEAD("x-codex-other-primary-used-percent", "99"));
}

static void numbers_out_of_range(void **state)
{
	(void)state;
	assert_true(HEAD("x-codex-primary-used-percent", "250", "x-codex-primary-window-minutes",
		"99999999999", "x-codex-primary-reset-at", "soon"));
	assert_window(PH_USAGE_PRIMARY, 100, 0, 0);
	assert_true(HEAD("x-codex-primary-used-percent", "99.999"));
	assert_window(PH_USAGE_PRIMARY, 99.999, 0, 0);
	assert_true(HEAD(
		"x-codex-primary-used-percent", "1", "x-codex-primary-reset-at", "18446744073709551615"));
	assert_window(PH_USAGE_PRIMARY, 1, 0, 0);
}

static void credits(void **state)
{
	(void)state;
	assert_true(HEAD("x-codex-credits-has-credits", "false", "x-codex-credits-unlimited", "False"));
	assert_true(u.credits_known && !u.has_credits);
	assert_true(HEAD("x-codex-credits-has-credits", "True"));
	assert_true(u.credits_known && u.has_credits);
	assert_true(HEAD("x-codex-credits-has-credits", "false", "x-codex-credits-unlimited", "true"));
	assert_true(u.credits_known && u.has_credits);
	assert_true(HEAD("x-codex-credits-has-credits", "false", "x-codex-credits-balance", "4.25"));
	assert_true(u.credits_known && u.has_credits);
	assert_true(HEAD("x-codex-credits-balance", "0.00"));
	assert_true(u.credits_known && !u.has_credits);
	assert_false(HEAD("x-codex-credits-has-credits", "maybe", "x-codex-credits-balance", ""));
	assert_false(u.credits_known || u.has_credits);
}

static void the_event(void **state)
{
	(void)state;
	assert_true(
		event("{\"type\":\"codex.rate_limits\",\"plan_type\":\"pro\",\"rate_limits\":{\"allowed\":"
		      "true,\"limit_reached\":false,\"primary\":{\"used_percent\":42,\"window_minutes\":300,"
		      "\"reset_at\":1700000000},\"secondary\":null},\"credits\":{\"has_credits\":false,"
		      "\"unlimited\":false,\"balance\":\"0\"}}"));
	assert_window(PH_USAGE_PRIMARY, 42, 300, 1700000000);
	assert_false(u.window[PH_USAGE_SECONDARY].known);
	assert_string_equal(u.plan, "pro");
	assert_true(u.credits_known && !u.has_credits);
	/* pretty-printed, the other window, credits inside */
	assert_true(
		event("\n{\n \"type\": \"codex.rate_limits\",\n \"rate_limits\": {\n \"primary\": null,\n "
		      "\"secondary\": {\"used_percent\": 100.0, \"resets_at\": 1700000001},\n \"credits\": "
		      "{\"balance\": 3}}}\n"));
	assert_false(u.window[PH_USAGE_PRIMARY].known);
	assert_window(PH_USAGE_SECONDARY, 100, 0, 1700000001);
	assert_true(u.credits_known && u.has_credits);
	assert_true(event("{\"type\":\"codex.rate_limits\",\"metered_limit_name\":\"codex\",\"limit_name\":"
			  "null,\"rate_limits\":{\"primary\":{\"used_percent\":1}}}"));
}

static void events_that_say_nothing(void **state)
{
	static const char *const events[] = {
		"",
		"{}",
		"[]",
		"x",
		"{\"type\":\"codex.rate_limits\"}",
		"{\"type\":\"codex.rate_limits\",\"plan_type\":\"pro\"}",
		"{\"type\":\"codex.rate_limits\",\"rate_limits\":null,\"credits\":null}",
		"{\"type\":\"codex.rate_limits\",\"rate_limits\":[{\"primary\":{\"used_percent\":1}}]}",
		"{\"type\":\"codex.rate_limits\",\"rate_limits\":{\"primary\":[1],\"secondary\":\"x\"}}",
		/* cut off */
		"{\"type\":\"codex.rate_limits\",\"rate_limits\":{\"primary\":{\"used_percent\":1}}",
		/* another type, or none: text of the model */
		"{\"rate_limits\":{\"primary\":{\"used_percent\":1}}}",
		"{\"type\":\"response.created\",\"rate_limits\":{\"primary\":{\"used_percent\":1}}}",
		/* another limit */
		"{\"type\":\"codex.rate_limits\",\"metered_limit_name\":\"codex_spark\",\"rate_limits\":"
		"{\"primary\":{\"used_percent\":1}}}",
		"{\"type\":\"codex.rate_limits\",\"limit_name\":\"Spark\",\"rate_limits\":{\"primary\":{"
		"\"used_percent\":1}}}",
		"{\"type\":\"codex.rate_limits\",\"limit_id\":\"spark\",\"rate_limits\":{\"primary\":{"
		"\"used_percent\":1}}}",
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(events); i++)
		if (event(events[i]))
			fail_msg("said something: %s", events[i]);
}

static void members_of_the_wrong_type(void **state)
{
	(void)state;
	assert_true(primary("{\"used_percent\":\"42\",\"window_minutes\":\"300\",\"reset_at\":null}"));
	assert_window(PH_USAGE_PRIMARY, 42, 300, 0);
	assert_true(primary("{\"used_percent\":1,\"window_minutes\":[300],\"reset_at\":{}}"));
	assert_window(PH_USAGE_PRIMARY, 1, 0, 0);
	assert_false(primary("{\"used_percent\":true,\"window_minutes\":300}"));
	assert_false(primary("{\"used_percent\":null,\"window_minutes\":300}"));
	assert_false(primary("{\"used_percent\":-5,\"window_minutes\":300}"));
	assert_false(primary("{\"used_percent\":\"\\u0034\",\"window_minutes\":300}"));
	assert_false(primary("{\"used_percent\":0,\"window_minutes\":0,\"reset_at\":0}"));
}

static bool answer(const char *json, uint64_t now_s, char *email)
{
	memset(&u, 0xa5, sizeof u);
	return ph_usage_of_answer(ph_str_c(json), now_s, &u, email, 32);
}

static void the_usage_endpoint(void **state)
{
	char email[32];

	(void)state;
	assert_true(
		answer("{\"plan_type\":\"team\",\"email\":\"a@b.example\",\"rate_limit\":{\"allowed\":true,"
		       "\"primary_window\":{\"used_percent\":12,\"limit_window_seconds\":18000,\"reset_at\":"
		       "1700000000,"
		       "\"reset_after_seconds\":5},\"secondary_window\":{\"used_percent\":3.5,"
		       "\"limit_window_seconds\":604800,\"reset_after_seconds\":60}},\"credits\":{\"has_"
		       "credits\":true}}",
			1000, email));
	assert_window(PH_USAGE_PRIMARY, 12, 300, 1700000000);
	assert_window(PH_USAGE_SECONDARY, 3.5, 10080, 1060);
	assert_string_equal(u.plan, "team");
	assert_string_equal(email, "a@b.example");
	assert_true(u.credits_known && u.has_credits);

	/* One window, no e-mail, no clock. */
	assert_true(answer(
		"{\"rate_limit\":{\"primary_window\":{\"used_percent\":40,\"limit_window_seconds\":604800,"
		"\"reset_after_seconds\":60},\"secondary_window\":null}}",
		0, email));
	assert_window(PH_USAGE_PRIMARY, 40, 10080, 0);
	assert_false(u.window[PH_USAGE_SECONDARY].known);
	assert_string_equal(email, "");
	assert_false(u.credits_known);
}

static void answers_that_say_nothing(void **state)
{
	static const char *const answers[] = {"", "[]", "{}", "{\"rate_limit\":null}", "{\"rate_limit\":[]}",
		"{\"rate_limit\":{\"primary_window\":{}}}", "{\"rate_limit\":{\"primary_window\":5}}",
		"{\"plan_type\":\"plus\"}", "{\"rate_limit\":{\"primary_window\":{\"used_percent\":\"x\"}}}",
		"{\"rate_limit\":{\"primary_window\":{\"used_percent\":1}}"};
	char email[32];

	(void)state;
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
		assert_false(answer(answers[i], 1000, email));
	assert_true(answer("{\"email\":\"longer-than-what-there-is-room-for@example.com\",\"rate_limit\":{"
			   "\"primary_window\":{\"used_percent\":1}}}",
		0, email));
	assert_string_equal(email, "");
}

static void a_plan_is_cut(void **state)
{
	(void)state;
	assert_true(HEAD("x-codex-primary-used-percent", "1", "x-codex-plan-type",
		"a-plan-with-a-name-that-is-longer-than-any-that-is-known"));
	assert_int_equal(strlen(u.plan), sizeof u.plan - 1);
	assert_true(event("{\"type\":\"codex.rate_limits\",\"plan_type\":5,\"rate_limits\":{\"primary\":{"
			  "\"used_percent\":1}}}"));
	assert_string_equal(u.plan, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_windows_of_a_head),
		cmocka_unit_test(one_window_of_a_head),
		cmocka_unit_test(heads_that_say_nothing),
		cmocka_unit_test(numbers_out_of_range),
		cmocka_unit_test(credits),
		cmocka_unit_test(the_event),
		cmocka_unit_test(events_that_say_nothing),
		cmocka_unit_test(members_of_the_wrong_type),
		cmocka_unit_test(the_usage_endpoint),
		cmocka_unit_test(answers_that_say_nothing),
		cmocka_unit_test(a_plan_is_cut),
	};

	return cmocka_run_group_tests_name("upstream.usage", tests, NULL, NULL);
}
