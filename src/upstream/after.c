/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an upstream may be asked again, read from the many ways in which it says so. Clocks differ, so a date
 * is believed only against a date of the same sender.
 */
#include <stdio.h>
#include <time.h>

#include "upstream_priv.h"

#define DAY_MS 86400000

uint64_t ph_after_cap(uint64_t ms)
{
	const uint64_t most = UINT64_C(366) * DAY_MS;

	return ms < most ? ms : most;
}

bool ph_after_thousandths(struct ph_str text, uint64_t *ret)
{
	struct ph_str rest = text, whole = ph_str_split(&rest, '.');
	uint64_t n = 0;

	if (!ph_str_u64(whole, UINT64_MAX / 2000, &n))
		return false;
	*ret = n * 1000;
	n = 100;
	for (size_t i = 0; i < rest.n; i++, n /= 10) {
		if (rest.p[i] < '0' || rest.p[i] > '9')
			return false;
		*ret += n * (uint64_t)(rest.p[i] - '0');
	}
	return true;
}

/* The unit at the front of text, in milliseconds, and how many bytes it takes; 0 = none. */
static uint64_t unit_of(const char *text, size_t *ret_n)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", DAY_MS}};

	for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
		*ret_n = strlen(units[i].name);
		if (strncmp(text, units[i].name, *ret_n) == 0)
			return units[i].ms;
	}
	return 0;
}

/* Go's durations: "12ms", "1.5s", "6m0s", "1h2m3s"; and "20 seconds", whose first letter is the unit. */
uint64_t ph_after_duration(const char *text)
{
	uint64_t sum = 0;

	for (;;) {
		size_t digits = strspn(text, "0123456789."), n;
		const char *unit = text + digits + (text[digits] == ' ');
		uint64_t value, ms;

		if (digits && text[digits - 1] == '.')
			digits--; /* the end of a sentence */
		ms = unit_of(unit, &n);
		if (digits == 0 || ms == 0 || !ph_after_thousandths(ph_str(text, digits), &value))
			return ph_after_cap(sum);
		sum += ph_after_cap(value / 1000) * ms + value % 1000 * ms / 1000;
		if (unit != text + digits)
			return ph_after_cap(sum); /* words: one number only */
		text = unit + n;
	}
}

static bool date_of(struct ph_str value, time_t *ret)
{
	struct tm tm = {0};
	char text[64];

	ph_str_copy(text, sizeof text, value);
	if (!strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		return false;
	*ret = timegm(&tm);
	return true;
}

static uint64_t retry_after(const struct ph_head *head)
{
	struct ph_str value = ph_head_get(head, PH_STR("retry-after"));
	uint64_t ms;
	time_t then, now;

	if (value.n == 0)
		return 0;
	if (ph_after_thousandths(value, &ms))
		return ph_after_cap(ms);
	if (date_of(value, &then) && date_of(ph_head_get(head, PH_STR("date")), &now) && then > now)
		return ph_after_cap((uint64_t)(then - now) * 1000);
	return 0;
}

/* The reset of each dimension of which nothing remains; some vendors send 0 and -1 where they do not count.
 */
static uint64_t rate_limit_reset(const struct ph_head *head)
{
	static const char *const dimensions[] = {
		"requests", "tokens", "project-tokens", "tokens_usage_based"};
	uint64_t longest = 0;

	for (size_t i = 0; i < sizeof dimensions / sizeof *dimensions; i++) {
		struct ph_str v[3];
		static const char *const kinds[3] = {"limit", "remaining", "reset"};
		char name[64], text[32];
		uint64_t limit, ms;

		for (size_t k = 0; k < 3; k++) {
			snprintf(name, sizeof name, "x-ratelimit-%s-%s", kinds[k], dimensions[i]);
			v[k] = ph_head_get(head, ph_str_c(name));
		}
		if (!ph_str_eq(v[1], PH_STR("0")))
			continue;
		if (v[0].n && (!ph_str_u64(v[0], UINT64_MAX, &limit) || limit == 0))
			continue;
		ph_str_copy(text, sizeof text, v[2]);
		ms = ph_after_duration(text);
		longest = ms > longest ? ms : longest;
	}
	return longest;
}

uint64_t ph_retry_after_ms(const struct ph_head *head)
{
	uint64_t ms;

	if (ph_after_thousandths(ph_head_get(head, PH_STR("retry-after-ms")), &ms) && ms >= 1000)
		return ph_after_cap(ms / 1000);
	ms = retry_after(head);
	return ms ? ms : rate_limit_reset(head);
}
