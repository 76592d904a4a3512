/* SPDX-License-Identifier: Apache-2.0 */
/* The table for people: effective values with their origins, Markdown, help. */
#include <inttypes.h>
#include <stdio.h>

#include "config_priv.h"

#define HELP_COLUMN 34
#define HELP_WIDTH  110

void ph_number_text(const struct ph_setting *s, uint64_t n, char *dst, size_t size)
{
	if (s->type == PH_SET_DURATION)
		ph_config_duration_text(n, dst, size);
	else if (s->type == PH_SET_SIZE)
		ph_size_text(n, dst, size);
	else
		snprintf(dst, size, "%" PRIu64, n);
}

static const char *word_value(const struct ph_setting *s, const struct ph_config *c, char *dst, size_t size)
{
	const void *member = ph_setting_in(s, c);
	unsigned place = s->type == PH_SET_SWITCH ? *(const bool *)member : *(const unsigned *)member;

	ph_str_copy(dst, size, ph_word_at(s->words, place));
	return dst;
}

static const char *value_text(const struct ph_setting *s, const struct ph_config *c, char *dst, size_t size)
{
	if (ph_setting_is_text(s)) {
		const char *text = *(char *const *)ph_setting_in(s, c);

		if (text == NULL)
			return "unset";
		return s->secret ? "set" : text;
	}
	if (s->words)
		return word_value(s, c, dst, size);
	ph_number_text(s, *(const uint64_t *)ph_setting_in(s, c), dst, size);
	return dst;
}

void ph_config_each(const struct ph_config *c, ph_config_visit visit, void *arg)
{
	char text[64];

	for (size_t i = 0; i < ph_setting_count; i++)
		visit(arg, ph_settings[i].variable, value_text(&ph_settings[i], c, text, sizeof(text)),
			c->origin[i]);
}

void ph_config_markdown(struct ph_buf *out)
{
	ph_buf_puts(out, PH_STR("| name | default | |\n|---|---|---|\n"));
	for (size_t i = 0; i < ph_setting_count; i++) {
		const struct ph_setting *s = &ph_settings[i];

		ph_buf_printf(out, "| `%s` | %s | %s |\n", s->variable, s->fallback ? s->fallback : s->unset,
			s->doc);
	}
}

void ph_config_help_row(struct ph_buf *out, const char *head, const char *doc)
{
	struct ph_str rest = ph_str_c(doc);
	int column = (int)strlen(head) + 2;

	ph_buf_printf(out, "  %s", head);
	if (column >= HELP_COLUMN) {
		ph_buf_putc(out, '\n');
		column = 0;
	}
	ph_buf_printf(out, "%*s", HELP_COLUMN - column - 1, "");
	column = HELP_COLUMN - 1;
	while (rest.n > 0) {
		struct ph_str word = ph_str_split(&rest, ' ');

		if (column + 1 + (int)word.n > HELP_WIDTH) {
			ph_buf_printf(out, "\n%*s", HELP_COLUMN - 1, "");
			column = HELP_COLUMN - 1;
		}
		ph_buf_printf(out, " %.*s", PH_STR_ARG(word));
		column += 1 + (int)word.n;
	}
	ph_buf_putc(out, '\n');
}

/* ---- flags ---- */

struct walk {
	ph_config_flag_visit visit;
	void *arg;
};

static void tell_flag(const struct walk *w, const struct ph_setting *s, const char *suffix, const char *value)
{
	char flag[PH_FLAG_MAX], name[PH_FLAG_MAX + 8], doc[400];

	ph_setting_flag(s, flag);
	snprintf(name, sizeof(name), "%s%s", flag, suffix);
	if (suffix[0] != '\0')
		snprintf(doc, sizeof(doc), "A file that holds it (%s_FILE)", s->variable);
	else
		snprintf(doc, sizeof(doc), "%s (%s; default: %s)", s->doc, s->variable,
			s->fallback ? s->fallback : s->unset);
	w->visit(w->arg, name, value, doc);
}

void ph_config_flags(bool everywhere, ph_config_flag_visit visit, void *arg)
{
	static const char *const values[] = {
		[PH_SET_DATABASE] = "URL",
		[PH_SET_DIR] = "DIR",
		[PH_SET_FILE] = "FILE",
		[PH_SET_NODE] = "NAME",
		[PH_SET_ADDRESS] = "HOST:PORT",
		[PH_SET_DURATION] = "TIME",
		[PH_SET_SIZE] = "SIZE",
		[PH_SET_COUNT] = "N",
	};
	const struct walk w = {visit, arg};

	for (size_t i = 0; i < ph_setting_count; i++) {
		const struct ph_setting *s = &ph_settings[i];

		if (everywhere && !s->everywhere)
			continue;
		if (!s->no_flag)
			tell_flag(&w, s, "", s->words ? s->words : values[s->type]);
		if (s->secret)
			tell_flag(&w, s, "-file", "FILE");
	}
}

static void put_help(void *arg, const char *flag, const char *value, const char *doc)
{
	char head[PH_FLAG_MAX + 64];

	snprintf(head, sizeof(head), "--%s %s", flag, value);
	ph_config_help_row(arg, head, doc);
}

void ph_config_help(struct ph_buf *out, bool everywhere)
{
	ph_config_flags(everywhere, put_help, out);
}
