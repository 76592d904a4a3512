/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and scripts see. Data goes to standard output, everything else to standard error; nothing is
 * coloured. Listings come from the database as one JSON text: --json prints that text as it is, a table is
 * made from it, so the two cannot disagree.
 */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "cli_priv.h"

#define COLUMNS_MAX 16
#define TABLE_MAX   (64u << 20)

int ph_cli_fail(const struct ph_err *err)
{
	fprintf(stderr, "posthouse: %s\n", err->detail[0] ? err->detail : ph_err_info(err->code)->text);
	return err->code == PH_E_USAGE ? 2 : 1;
}

void ph_cli_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("posthouse: warning: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

void ph_cli_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void ph_cli_print(const struct ph_buf *b)
{
	if (b->n > 0)
		fwrite(b->p, 1, b->n, stdout);
}

void ph_cli_progress(void *arg, const char *line)
{
	(void)arg;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "%s\n", line);
}

/* ---- one value as a person reads it ---- */

/* "2031-05-07T12:34:56.789+00:00" loses its fraction and its T. */
static bool put_time(const char *text, struct ph_buf *out)
{
	int year, month, day, hour, minute, second, end = 0;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &year, &month, &day, &hour, &minute, &second, &end) !=
			6 ||
		end != 19)
		return false;
	ph_buf_printf(out, "%.10s %.8s", text, text + 11);
	text += end;
	if (*text == '.')
		text += 1 + strspn(text + 1, "0123456789");
	return ph_buf_puts(out, ph_str_c(strcmp(text, "+00:00") == 0 ? "Z" : text)) == 0;
}

/* Control characters of a stored text must not reach a terminal. */
static void put_text(const char *text, struct ph_buf *out)
{
	if (put_time(text, out))
		return;
	for (; *text; text++)
		ph_buf_putc(out, (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
}

static void put_scalar(const json_t *v, struct ph_buf *out)
{
	if (json_is_string(v))
		put_text(json_string_value(v), out);
	else if (json_is_integer(v))
		ph_buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	else if (json_is_real(v))
		ph_buf_printf(out, "%.6g", json_real_value(v));
	else if (json_is_boolean(v))
		ph_buf_puts(out, json_is_true(v) ? PH_STR("yes") : PH_STR("no"));
	else
		ph_buf_putc(out, '-');
}

static void put_value(const json_t *v, struct ph_buf *out)
{
	size_t start = out->n, i;
	const json_t *item;

	if (json_is_array(v)) {
		json_array_foreach((json_t *)v, i, item)
		{
			if (i > 0)
				ph_buf_putc(out, ',');
			put_scalar(item, out);
		}
		if (out->n == start)
			ph_buf_putc(out, '-');
	} else if (json_is_object(v)) {
		char *text = json_dumps(v, JSON_COMPACT);

		ph_buf_puts(out, ph_str_c(text));
		free(text);
	} else {
		put_scalar(v, out);
	}
}

/* ---- many rows ---- */

/* Cells one after the other in `text`, row by row, header first; ends[i] is where cell i ends. */
struct table {
	struct ph_buf text;
	size_t *ends;
	size_t cells;
	size_t columns;
	const char *name[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
};

static size_t characters(struct ph_str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static struct ph_str cell(const struct table *t, size_t i)
{
	size_t start = i > 0 ? t->ends[i - 1] : 0;

	return ph_str(t->text.p + start, t->ends[i] - start);
}

static void end_cell(struct table *t)
{
	size_t column = t->cells % t->columns, width;

	t->ends[t->cells++] = t->text.n;
	width = characters(cell(t, t->cells - 1));
	if (width > t->width[column])
		t->width[column] = width;
}

/* Those of the wanted columns that the rows have, all where there is no row to ask. */
static void choose_columns(struct table *t, const json_t *rows, char *wanted)
{
	const json_t *first = json_array_get(rows, 0);
	char *save;

	for (char *name = strtok_r(wanted, " ", &save); name && t->columns < COLUMNS_MAX;
		name = strtok_r(NULL, " ", &save))
		if (first == NULL || json_object_get(first, name))
			t->name[t->columns++] = name;
}

static void fill(struct table *t, const json_t *rows)
{
	size_t i;
	const json_t *row;

	t->ends = ph_alloc((json_array_size(rows) + 1) * t->columns * sizeof(*t->ends));
	for (size_t c = 0; c < t->columns; c++) {
		for (const char *p = t->name[c]; *p; p++)
			ph_buf_putc(&t->text, *p == '_'                ? ' '
					      : *p >= 'a' && *p <= 'z' ? (char)(*p - 32)
								       : *p);
		end_cell(t);
	}
	json_array_foreach((json_t *)rows, i, row)
	{
		for (size_t c = 0; c < t->columns; c++) {
			put_value(json_object_get(row, t->name[c]), &t->text);
			end_cell(t);
		}
	}
}

static void print_cells(const struct table *t)
{
	for (size_t i = 0; i < t->cells; i++) {
		struct ph_str s = cell(t, i);
		bool last = (i + 1) % t->columns == 0;
		size_t pad = last ? 0 : t->width[i % t->columns] - characters(s) + 2;

		printf("%.*s%*s%s", PH_STR_ARG(s), (int)pad, "", last ? "\n" : "");
	}
}

static json_t *parse_rows(struct ph_str rows, struct ph_err *err)
{
	json_error_t why;
	json_t *array = json_loadb(rows.p ? rows.p : "", rows.n, 0, &why);

	if (json_is_array(array))
		return array;
	json_decref(array);
	ph_fail(err, PH_E_INTERNAL, "the database sent a listing that is no JSON (%s); upgrade posthouse",
		why.text);
	return NULL;
}

static int print_table(struct ph_str rows, const char *columns, struct ph_err *err)
{
	json_t *array = parse_rows(rows, err);
	struct table t = {0};
	char *wanted;
	int r = 0;

	if (array == NULL)
		return -PH_E_INTERNAL;
	wanted = ph_strdup(columns);
	ph_buf_init(&t.text, TABLE_MAX);
	choose_columns(&t, array, wanted);
	if (t.columns > 0)
		fill(&t, array);
	if (t.text.failed)
		r = ph_fail(err, PH_E_TOO_MANY, "the listing is larger than 64 MiB; ask for it with --json");
	else
		print_cells(&t);
	free(t.ends);
	free(wanted);
	ph_buf_deinit(&t.text);
	json_decref(array);
	return r;
}

int ph_cli_rows(const struct ph_cli *c, struct ph_str rows, const char *columns, struct ph_err *err)
{
	if (!ph_cli_has(c, "json"))
		return print_table(rows, columns, err);
	ph_cli_say("%.*s", PH_STR_ARG(rows));
	return 0;
}

/* ---- one row ---- */

static void print_card(const json_t *row)
{
	const char *name;
	const json_t *value;
	size_t width = 0;
	struct ph_buf b;

	ph_buf_init(&b, TABLE_MAX);
	json_object_foreach((json_t *)row, name, value) width = strlen(name) > width ? strlen(name) : width;
	json_object_foreach((json_t *)row, name, value)
	{
		ph_buf_printf(&b, "%-*s  ", (int)width, name);
		put_value(value, &b);
		ph_buf_putc(&b, '\n');
	}
	ph_cli_print(&b);
	ph_buf_deinit(&b);
}

int ph_cli_card(struct ph_str rows, struct ph_err *err)
{
	json_t *array = parse_rows(rows, err);

	if (array == NULL)
		return -PH_E_INTERNAL;
	print_card(json_array_get(array, 0));
	json_decref(array);
	return 0;
}
