/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people: cells are as wide as the widest of their column, and cut where a terminal is too narrow
 * for that. What goes to a file or a pipe is never cut.
 */
#include "table.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TABLE_MAX (64u << 20)
#define GAP       2
#define NARROWEST 5
#define CUT       "\xe2\x80\xa6" /* an ellipsis: one character */

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static size_t characters(struct ph_str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += !continues(s.p[i]);
	return n;
}

/* The bytes of its first n characters. */
static size_t bytes_of(struct ph_str s, size_t n)
{
	size_t i = 0;

	for (; i < s.n; i++)
		if (!continues(s.p[i]) && n-- == 0)
			break;
	return i;
}

static struct ph_str cell(const struct ph_table *t, size_t i)
{
	size_t start = i > 0 ? t->ends[i - 1] : 0;

	return ph_str(t->text.p + start, t->ends[i] - start);
}

static void end_cell(struct ph_table *t)
{
	size_t column = t->cells % t->columns, width;

	if (t->cells == t->room) {
		t->room = t->room ? 2 * t->room : 256;
		t->ends = ph_realloc(t->ends, t->room * sizeof(*t->ends));
	}
	t->ends[t->cells++] = t->text.n;
	width = characters(cell(t, t->cells - 1));
	if (width > t->width[column])
		t->width[column] = width;
}

static void put_header(struct ph_table *t)
{
	for (size_t c = 0; c < t->columns; c++) {
		for (const char *p = t->name[c]; *p; p++)
			ph_buf_putc(&t->text, *p == '_'                ? ' '
					      : *p >= 'a' && *p <= 'z' ? (char)(*p - 32)
								       : *p);
		end_cell(t);
	}
}

void ph_table_init(struct ph_table *t, const json_t *rows, const char *wanted)
{
	const json_t *first = json_array_get(rows, 0);
	char *save;

	memset(t, 0, sizeof(*t));
	ph_buf_init(&t->text, TABLE_MAX);
	t->names = ph_strdup(wanted);
	for (char *name = strtok_r(t->names, " ", &save); name && t->columns < PH_TABLE_COLUMNS_MAX;
		name = strtok_r(NULL, " ", &save))
		if (first == NULL || json_object_get(first, name))
			t->name[t->columns++] = name;
	put_header(t);
}

void ph_table_add(struct ph_table *t, const json_t *row)
{
	for (size_t c = 0; c < t->columns; c++) {
		ph_cli_put_value(json_object_get(row, t->name[c]), &t->text);
		end_cell(t);
	}
}

void ph_table_free(struct ph_table *t)
{
	ph_buf_deinit(&t->text);
	free(t->ends), t->ends = NULL;
	free(t->names), t->names = NULL;
}

/* ---- printing ---- */

size_t ph_table_terminal(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}

/* The last of them: the first says which row it is. */
static size_t leave_out(size_t *width, size_t columns)
{
	width[--columns] = 0;
	return columns;
}

void ph_table_fit(size_t *width, size_t columns, size_t terminal)
{
	for (;;) {
		size_t sum = 0, widest = 0;

		for (size_t c = 0; c < columns; c++) {
			sum += width[c] + (c > 0 ? GAP : 0);
			if (width[c] > width[widest])
				widest = c;
		}
		if (terminal == 0 || sum <= terminal)
			return;
		if (width[widest] > NARROWEST || columns < 2)
			width[widest]--;
		else
			columns = leave_out(width, columns);
	}
}

static void print_cell(struct ph_str s, size_t width, bool last)
{
	size_t n = characters(s);

	if (n > width) {
		printf("%.*s" CUT, (int)bytes_of(s, width - 1), s.p);
		n = width;
	} else {
		printf("%.*s", PH_STR_ARG(s));
	}
	printf("%*s%s", last ? 0 : (int)(width - n + GAP), "", last ? "\n" : "");
}

int ph_table_print(struct ph_table *t, struct ph_err *err)
{
	size_t width[PH_TABLE_COLUMNS_MAX], shown = t->columns;

	if (t->text.failed)
		return ph_fail(
			err, PH_E_TOO_MANY, "the listing is larger than 64 MiB; ask for it with --json");
	memcpy(width, t->width, sizeof(width));
	ph_table_fit(width, t->columns, ph_table_terminal());
	while (shown > 1 && width[shown - 1] == 0)
		shown--;
	for (size_t i = 0; i < t->cells; i++) {
		size_t column = i % t->columns;

		if (column < shown)
			print_cell(cell(t, i), width[column], column + 1 == shown);
	}
	t->cells = 0;
	ph_buf_reset(&t->text);
	return 0;
}

int ph_table_rows(const json_t *rows, const char *wanted, struct ph_err *err)
{
	struct ph_table t;
	const json_t *row;
	size_t i;
	int r;

	ph_table_init(&t, rows, wanted);
	json_array_foreach((json_t *)rows, i, row) ph_table_add(&t, row);
	r = ph_table_print(&t, err);
	ph_table_free(&t);
	return r;
}
