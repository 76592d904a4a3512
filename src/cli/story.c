/* SPDX-License-Identifier: Apache-2.0 */
#include "story.h"

#include <stdio.h>

#define WORD 160
#define WIDE 140

static double number_of(const json_t *row, const char *name)
{
	return json_number_value(json_object_get(row, name));
}

static bool has(const json_t *row, const char *name)
{
	const json_t *v = json_object_get(row, name);

	return v && !json_is_null(v);
}

static const char *text_of(const json_t *row, const char *name)
{
	const char *text = json_string_value(json_object_get(row, name));

	return text ? text : "-";
}

void ph_story_span(double ms, char *dst, size_t size)
{
	if (ms < 999.5)
		snprintf(dst, size, "%.0f ms", ms);
	else if (ms < 99950)
		snprintf(dst, size, ms < 9995 ? "%.2f s" : "%.1f s", ms / 1000);
	else
		snprintf(dst, size, "%.1f min", ms / 60000);
}

void ph_story_count(double n, char *dst, size_t size)
{
	if (n < 10000)
		snprintf(dst, size, "%.0f", n);
	else if (n < 999500)
		snprintf(dst, size, "%.1fk", n / 1000);
	else
		snprintf(dst, size, "%.1fM", n / 1000000);
}

static void put_span(json_t *out, const char *as, const json_t *row, const char *name)
{
	char text[WORD] = "-";

	if (has(row, name))
		ph_story_span(number_of(row, name), text, sizeof(text));
	json_object_set_new(out, as, json_string(text));
}

/* "main (owner)": which account, and why. */
static void put_account(json_t *out, const json_t *row)
{
	char text[WORD];
	double attempts = number_of(row, "attempts");
	int n = snprintf(text, sizeof(text), "%.120s", text_of(row, "account"));

	if (has(row, "chosen"))
		n += snprintf(text + n, sizeof(text) - (size_t)n, " (%.12s)", text_of(row, "chosen"));
	if (attempts > 1 && n < WORD)
		snprintf(text + n, sizeof(text) - (size_t)n, " try %.0f", attempts);
	json_object_set_new(out, "account", json_string(text));
}

/* "replayed 12": how the conversation went on, and how many turns were sent again for it. */
static void put_continuity(json_t *out, const json_t *row)
{
	char text[WORD];

	if (number_of(row, "hops") > 0)
		snprintf(
			text, sizeof(text), "%.40s %.0f", text_of(row, "continuity"), number_of(row, "hops"));
	else
		snprintf(text, sizeof(text), "%.40s", text_of(row, "continuity"));
	json_object_set_new(out, "goes_on", json_string(text));
}

static void put_tokens(json_t *out, const json_t *row)
{
	char in[WORD] = "-", part[32], answer[WORD] = "-";
	double cached = number_of(row, "cached_tokens");

	if (has(row, "input_tokens"))
		ph_story_count(number_of(row, "input_tokens"), in, sizeof(in));
	if (cached > 0) {
		ph_story_count(cached, part, sizeof(part));
		snprintf(in + strlen(in), sizeof(in) - strlen(in), " (%s cached)", part);
	}
	if (has(row, "output_tokens"))
		ph_story_count(number_of(row, "output_tokens"), answer, sizeof(answer));
	json_object_set_new(out, "in", json_string(in));
	json_object_set_new(out, "out", json_string(answer));
}

static void put_cost(json_t *out, const json_t *row)
{
	char text[WORD] = "-";

	if (has(row, "cost_usd"))
		snprintf(text, sizeof(text), "$%.4f", number_of(row, "cost_usd"));
	else if (has(row, "cost"))
		snprintf(text, sizeof(text), "$%.4f", number_of(row, "cost"));
	else if (has(row, "cost_nanos"))
		snprintf(text, sizeof(text), "$%.4f", number_of(row, "cost_nanos") / 1e9);
	json_object_set_new(out, "cost", json_string(text));
}

static void put_end(json_t *out, const json_t *row)
{
	char text[WORD];

	if (has(row, "error"))
		snprintf(text, sizeof(text), "%.40s %.0f: %.60s", text_of(row, "outcome"),
			number_of(row, "status"), text_of(row, "error"));
	else
		snprintf(text, sizeof(text), "%.40s", text_of(row, "outcome"));
	json_object_set_new(out, "end", json_string(text));
}

json_t *ph_story(const json_t *row)
{
	const char *started = text_of(row, "started");
	size_t n = strnlen(started, 19);
	json_t *out = json_object();

	json_object_set_new(out, "when", json_stringn(started, n));
	json_object_set_new(out, "time", json_stringn(started + (n > 11 ? 11 : n), n > 11 ? n - 11 : 0));
	json_object_set_new(out, "key", json_string(text_of(row, "key_name")));
	json_object_set_new(out, "model", json_string(text_of(row, "model")));
	put_account(out, row);
	put_continuity(out, row);
	put_span(out, "waited", row, "queued_ms");
	put_span(out, "first", row, "first_event_ms");
	put_span(out, "total", row, "duration_ms");
	put_tokens(out, row);
	put_cost(out, row);
	put_end(out, row);
	return out;
}

json_t *ph_story_rows(const json_t *rows)
{
	json_t *out = json_array();
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)rows, i, row) json_array_append_new(out, ph_story(row));
	return out;
}

static const struct {
	const char *name;
	size_t usual;
} columns[] = {
	{"when", 19},
	{"time", 8},
	{"key", 8},
	{"model", 10},
	{"account", 18},
	{"goes_on", 11},
	{"waited", 7},
	{"first", 7},
	{"total", 7},
	{"in", 5},
	{"out", 5},
	{"cost", 7},
	{"end", 9},
};

void ph_story_widths(struct ph_table *t)
{
	for (size_t c = 0; c < t->columns; c++)
		for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
			if (strcmp(t->name[c], columns[i].name) == 0 && t->width[c] < columns[i].usual)
				t->width[c] = columns[i].usual;
}

const char *ph_story_columns(size_t terminal)
{
	if (terminal == 0 || terminal >= WIDE)
		return "when key model account goes_on waited first total in out cost end";
	return "time key account goes_on first total cost end";
}
