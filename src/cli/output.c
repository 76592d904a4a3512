/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people and scripts see. Data goes to standard output, everything else to standard error; nothing is
 * coloured. Listings come from the database as one JSON text: --json prints that text as it is, a table is
 * made from it, so the two cannot disagree.
 */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "table.h"

#define CARD_MAX (64u << 20)

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

void ph_cli_put_value(const json_t *v, struct ph_buf *out)
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

/* ---- rows ---- */

json_t *ph_cli_parse_rows(struct ph_str rows, struct ph_err *err)
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

int ph_cli_rows(const struct ph_cli *c, struct ph_str rows, const char *columns, struct ph_err *err)
{
	json_t *array;
	int r;

	if (ph_cli_has(c, "json")) {
		ph_cli_say("%.*s", PH_STR_ARG(rows));
		return 0;
	}
	array = ph_cli_parse_rows(rows, err);
	if (array == NULL)
		return -PH_E_INTERNAL;
	r = ph_table_rows(array, columns, err);
	json_decref(array);
	return r;
}

/* ---- one row ---- */

static void print_card(const json_t *row)
{
	const char *name;
	const json_t *value;
	size_t width = 0;
	struct ph_buf b;

	ph_buf_init(&b, CARD_MAX);
	json_object_foreach((json_t *)row, name, value) width = strlen(name) > width ? strlen(name) : width;
	json_object_foreach((json_t *)row, name, value)
	{
		ph_buf_printf(&b, "%-*s  ", (int)width, name);
		ph_cli_put_value(value, &b);
		ph_buf_putc(&b, '\n');
	}
	ph_cli_print(&b);
	ph_buf_deinit(&b);
}

int ph_cli_card(struct ph_str rows, struct ph_err *err)
{
	json_t *array = ph_cli_parse_rows(rows, err);

	if (array == NULL)
		return -PH_E_INTERNAL;
	print_card(json_array_get(array, 0));
	json_decref(array);
	return 0;
}
