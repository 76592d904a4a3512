/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSTHOUSE_ variables that nothing reads: one warning each, with the nearest name, because a misspelt
 * setting is otherwise a default that nobody chose. Kubernetes puts variables of the same prefix into every
 * pod of a namespace with a service called posthouse; those are nobody's mistake.
 */
#include <ctype.h>
#include <stdio.h>

#include "config_priv.h"

#define NAME_MAX_LEN 64

/* "_TCP", "_UDP_ADDR" ... behind POSTHOUSE_PORT_8080 */
static bool is_port_detail(struct ph_str s)
{
	static const char *const protocols[] = {"_TCP", "_UDP", "_SCTP"};
	size_t digits = 0;

	while (digits < s.n && isdigit((unsigned char)s.p[digits]))
		digits++;
	for (size_t i = 0; digits > 0 && i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (ph_str_starts(ph_str_from(s, digits), ph_str_c(protocols[i])))
			return true;
	return false;
}

/* Services posthouse, posthouse-admin ...: the shapes of kubelet's environment and of Docker's old links. */
static bool is_service_variable(struct ph_str name, struct ph_str value)
{
	ptrdiff_t port = ph_str_find(name, PH_STR("_PORT_"));

	if (ph_str_eq(name, PH_STR("POSTHOUSE_PORT")) || ph_str_ends(name, PH_STR("_SERVICE_HOST")) ||
		ph_str_ends(name, PH_STR("_SERVICE_PORT")) ||
		ph_str_find(name, PH_STR("_SERVICE_PORT_")) >= 0)
		return true;
	if (ph_str_ends(name, PH_STR("_PORT")) && ph_str_find(value, PH_STR("://")) >= 0)
		return true;
	return port >= 0 && is_port_detail(ph_str_from(name, (size_t)port + strlen("_PORT_")));
}

static bool is_known(struct ph_str name)
{
	for (size_t i = 0; i < ph_setting_count; i++) {
		struct ph_str variable = ph_str_c(ph_settings[i].variable);

		if (ph_str_eq(name, variable))
			return true;
		if (ph_settings[i].secret && ph_str_starts(name, variable) &&
			ph_str_eq(ph_str_from(name, variable.n), PH_STR("_FILE")))
			return true;
	}
	return false;
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Levenshtein's distance, one row at a time; names are cut to what a row holds. */
static size_t distance(struct ph_str a, struct ph_str b)
{
	size_t row[NAME_MAX_LEN + 1], bn = least(b.n, NAME_MAX_LEN);

	for (size_t j = 0; j <= bn; j++)
		row[j] = j;
	for (size_t i = 0; i < a.n; i++) {
		size_t diagonal = row[0];

		row[0] = i + 1;
		for (size_t j = 0; j < bn; j++) {
			size_t change = diagonal + (a.p[i] != b.p[j]);

			diagonal = row[j + 1];
			row[j + 1] = least(change, least(row[j], row[j + 1]) + 1);
		}
	}
	return row[bn];
}

static const char *nearest(struct ph_str name)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;

	for (size_t i = 0; i < ph_setting_count; i++) {
		size_t d = distance(
			ph_str(name.p, least(name.n, NAME_MAX_LEN)), ph_str_c(ph_settings[i].variable));

		if (d < best_distance) {
			best_distance = d;
			best = ph_settings[i].variable;
		}
	}
	return best;
}

void ph_config_unknown(char *const *env, void (*warn)(void *arg, const char *text), void *arg)
{
	for (; *env; env++) {
		struct ph_str value = ph_str_c(*env), name = ph_str_split(&value, '=');
		char text[256];

		if (!ph_str_starts(name, PH_STR("POSTHOUSE_")) || is_known(name) ||
			is_service_variable(name, value))
			continue;
		snprintf(text, sizeof(text), "%.*s is not a setting; the nearest one is %s",
			(int)least(name.n, NAME_MAX_LEN), name.p, nearest(name));
		warn(arg, text);
	}
}
