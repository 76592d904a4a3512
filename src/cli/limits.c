/* SPDX-License-Identifier: Apache-2.0 */
/* --limit requests:1000/day: what a key may use, from flags to the JSON that the database takes. */
#include <stdio.h>

#include "cli_priv.h"

#define LIMITS   64
#define JSON_MAX 8192

/* The words are those of the database; `usd` alone has no other spelling there. */
static const char *const whats[] = {
	"requests", "tokens", "input_tokens", "output_tokens", "cost", "concurrent"};
static const char *const windows[] = {"minute", "hour", "day", "week", "month"};
enum {
	WHATS = sizeof whats / sizeof *whats,
	WINDOWS = sizeof windows / sizeof *windows
};

struct limit {
	const char *what, *window; /* window NULL: at a time */
	char size[40];             /* a JSON number */
};

static const char *word(const char *const *words, size_t n, struct ph_str s)
{
	for (size_t i = 0; i < n; i++)
		if (ph_str_eq(s, ph_str_c(words[i])))
			return words[i];
	return NULL;
}

/* 1000, 10k, 1M, 2G */
static bool read_count(struct ph_str s, char *ret, size_t size)
{
	static const struct {
		const char *suffix;
		uint64_t times;
	} units[] = {{"k", 1000}, {"K", 1000}, {"M", 1000000}, {"G", 1000000000}};
	uint64_t times = 1, n;

	for (size_t i = 0; i < sizeof units / sizeof *units; i++)
		if (ph_str_ends(s, ph_str_c(units[i].suffix)))
			times = units[i].times;
	if (times > 1)
		s.n--;
	if (!ph_str_u64(s, UINT64_C(1000000000000000000) / times, &n) || n == 0)
		return false;
	snprintf(ret, size, "%llu", (unsigned long long)(n * times));
	return true;
}

/* 5usd, 0.50, 5.5usd */
static bool read_money(struct ph_str s, char *ret, size_t size)
{
	struct ph_str rest = s, whole, part;
	uint64_t dollars, fraction = 0;

	if (ph_str_ends(s, PH_STR("usd")))
		rest = s = ph_str(s.p, s.n - 3);
	whole = ph_str_split(&rest, '.');
	part = rest;
	if (!ph_str_u64(whole, 1000000000, &dollars) || part.n > 9 || s.n == whole.n + 1)
		return false;
	if (part.n && !ph_str_u64(part, UINT64_MAX, &fraction))
		return false;
	snprintf(ret, size, "%.*s", PH_STR_ARG(s));
	return dollars + fraction > 0;
}

static bool read_limit(struct ph_str text, struct limit *ret)
{
	struct ph_str rest = text, what = ph_str_split(&rest, ':'), size = ph_str_split(&rest, '/');
	bool at_a_time = ph_str_eq(what, PH_STR("concurrent"));

	ret->what = word(whats, WHATS, what);
	ret->window = word(windows, WINDOWS, rest);
	if (!ret->what || size.n >= sizeof ret->size || (at_a_time ? rest.n > 0 : !ret->window))
		return false;
	return strcmp(ret->what, "cost") == 0 ? read_money(size, ret->size, sizeof ret->size)
					      : read_count(size, ret->size, sizeof ret->size);
}

/* Those of one kind, as a member of the object. */
static void put_kind(struct ph_buf *json, const char *what, const struct limit *limits, size_t n)
{
	bool found = false;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(limits[i].what, what) != 0)
			continue;
		if (!found)
			ph_buf_printf(json, "%s\"%s\":%s", json->n > 1 ? "," : "", what,
				limits[i].window ? "{" : "");
		if (limits[i].window)
			ph_buf_printf(json, "%s\"%s\":", found ? "," : "", limits[i].window);
		ph_buf_puts(json, ph_str_c(limits[i].size));
		found = true;
	}
	if (found && strcmp(what, "concurrent") != 0)
		ph_buf_putc(json, '}');
}

static bool same(const struct limit *a, const struct limit *b)
{
	return a->what == b->what && a->window == b->window;
}

int ph_cli_limits(const struct ph_cli *c, struct ph_buf *json, struct ph_err *err)
{
	struct ph_str texts[LIMITS];
	struct limit limits[LIMITS];
	size_t n = ph_cli_options(c, "limit", texts, LIMITS);

	ph_buf_init(json, JSON_MAX);
	if (n > LIMITS)
		return ph_fail(err, PH_E_USAGE, "--limit stands more than %d times", LIMITS);
	for (size_t i = 0; i < n; i++) {
		if (!read_limit(texts[i], &limits[i]))
			return ph_fail(err, PH_E_USAGE,
				"--limit: \"%.60s\" is no limit; write one like requests:1000/day, "
				"tokens:1M/hour, cost:5usd/month or concurrent:4",
				texts[i].p);
		for (size_t before = 0; before < i; before++)
			if (same(&limits[before], &limits[i]))
				return ph_fail(err, PH_E_USAGE,
					"--limit: \"%.60s\" is the second of its kind", texts[i].p);
	}
	ph_buf_putc(json, '{');
	for (size_t i = 0; i < WHATS; i++)
		put_kind(json, whats[i], limits, n);
	ph_buf_putc(json, '}');
	return 0;
}
