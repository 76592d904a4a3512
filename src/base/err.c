/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error table, the functions that fill a struct ph_err, and the three allocators. Allocation stands here
 * because its failure has one answer in this house: ph_die().
 */
#include "posthouse/err.h"

#include "posthouse/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct ph_err_info table[PH_E_NR] = {
#define X(name, http, remedy, blame, metric, type, code, text)                                               \
	[PH_E_##name] = {#name, http, PH_##remedy, PH_##blame, metric, type, code, text},
	PH_ERRORS(X)
#undef X
};

const struct ph_err_info *ph_err_info(int code)
{
	if (code < 0 && code > -PH_E_NR)
		code = -code;
	return code > PH_OK && code < PH_E_NR ? &table[code] : &table[PH_E_INTERNAL];
}

/* Formats before it clears: an argument may be the detail that stands in err already. */
static void fill(struct ph_err *err, int code, const char *param, const char *fmt, va_list ap)
{
	struct ph_err e;

	memset(&e, 0, sizeof(e));
	e.code = code;
	ph_str_copy(e.param, sizeof(e.param), ph_str_c(param));
	vsnprintf(e.detail, sizeof(e.detail), fmt, ap);
	*err = e;
}

int ph_fail(struct ph_err *err, int code, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		va_start(ap, fmt);
		fill(err, code, "", fmt, ap);
		va_end(ap);
	}
	return -code;
}

int ph_fail_param(struct ph_err *err, int code, const char *param, const char *fmt, ...)
{
	if (err) {
		va_list ap;

		va_start(ap, fmt);
		fill(err, code, param, fmt, ap);
		va_end(ap);
	}
	return -code;
}

void ph_die(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ph_log_flush();
	dprintf(STDERR_FILENO, "posthouse: %s\n", text);
	abort(); /* not exit(): what is broken must not run exit handlers, and a core helps */
}

void *ph_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		ph_die("out of memory: %zu bytes", size);
	return p;
}

void *ph_realloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (!p)
		ph_die("out of memory: %zu bytes", size);
	return p;
}

char *ph_strdup(const char *s)
{
	size_t size = strlen(s) + 1;

	return memcpy(ph_alloc(size), s, size);
}
