/* SPDX-License-Identifier: Apache-2.0 */
/* Text to value and back: durations, sizes, counts, words. Knows nothing of settings. */
#include <inttypes.h>
#include <stdio.h>

#include "config_priv.h"

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first, so that printing finds the largest that divides. */
static const struct unit durations[] = {
	{"d", UINT64_C(86400000)},
	{"h", UINT64_C(3600000)},
	{"m", UINT64_C(60000)},
	{"s", UINT64_C(1000)},
	{"ms", 1},
	{NULL, 0},
};
static const struct unit sizes[] = {
	{"GiB", UINT64_C(1) << 30},
	{"MiB", UINT64_C(1) << 20},
	{"KiB", UINT64_C(1) << 10},
	{"", 1},
	{NULL, 0},
};

/* Digits, then one of the units; no unit at all means `bare`. */
static const char *read_units(
	const char *text, const struct unit *units, uint64_t bare, const char *wrong, uint64_t *ret)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t n, factor = text[digits] == '\0' ? bare : 0;

	for (const struct unit *u = units; u->suffix != NULL; u++)
		if (text[digits] != '\0' && strcmp(text + digits, u->suffix) == 0)
			factor = u->factor;
	if (digits == 0 || factor == 0)
		return wrong;
	if (!ph_str_u64(ph_str(text, digits), UINT64_MAX / factor, &n))
		return "is too large";
	*ret = n * factor;
	return NULL;
}

const char *ph_duration_read(const char *text, uint64_t *ret_ms)
{
	return read_units(text, durations, 1000, "is not a duration", ret_ms);
}

const char *ph_size_read(const char *text, uint64_t *ret)
{
	return read_units(text, sizes, 1, "is not a size", ret);
}

const char *ph_count_read(const char *text, uint64_t *ret)
{
	static const struct unit none[] = {{NULL, 0}};

	return read_units(text, none, 1, "is not a whole number", ret);
}

int ph_config_duration(const char *text, uint64_t *ret_ms, struct ph_err *err)
{
	const char *wrong = ph_duration_read(text, ret_ms);

	if (wrong == NULL)
		return 0;
	return ph_fail(err, PH_E_CONFIG, "\"%.60s\" %s: write 250ms, 5s, 2m, 1h or 30d", text, wrong);
}

int ph_config_size(const char *text, uint64_t *ret, struct ph_err *err)
{
	const char *wrong = ph_size_read(text, ret);

	if (wrong == NULL)
		return 0;
	return ph_fail(
		err, PH_E_CONFIG, "\"%.60s\" %s: write 64KiB, 64MiB, 1GiB or a number of bytes", text, wrong);
}

static void print_units(uint64_t n, const struct unit *u, char *dst, size_t size)
{
	while (n % u->factor != 0)
		u++;
	snprintf(dst, size, "%" PRIu64 "%s", n / u->factor, u->suffix);
}

void ph_config_duration_text(uint64_t ms, char *dst, size_t size)
{
	print_units(ms, ms == 0 ? &durations[3] : durations, dst, size);
}

void ph_size_text(uint64_t n, char *dst, size_t size)
{
	print_units(n, n == 0 ? &sizes[3] : sizes, dst, size);
}

int ph_word_find(const char *words, const char *word)
{
	struct ph_str rest = ph_str_c(words);

	for (int i = 0; rest.n > 0; i++)
		if (ph_str_eq(ph_str_split(&rest, '|'), ph_str_c(word)))
			return i;
	return -1;
}

struct ph_str ph_word_at(const char *words, unsigned place)
{
	struct ph_str rest = ph_str_c(words), word = ph_str_split(&rest, '|');

	while (place-- > 0)
		word = ph_str_split(&rest, '|');
	return word;
}
