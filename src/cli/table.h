/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of JSON as a table for people. */
#ifndef POSTHOUSE_CLI_TABLE_H
#define POSTHOUSE_CLI_TABLE_H

#include <jansson.h>

#include "cli_priv.h"

#define PH_TABLE_COLUMNS_MAX 24

/* Cells one after the other in `text`, row by row; ends[i] is where cell i ends. Widths only grow, so that
 * rows that are printed later stand below those before. */
struct ph_table {
	struct ph_buf text;
	size_t *ends;
	size_t cells, room;
	char *names; /* of the columns */
	size_t columns;
	const char *name[PH_TABLE_COLUMNS_MAX];
	size_t width[PH_TABLE_COLUMNS_MAX];
};

/* Those of the wanted columns ("name kind state") that the rows have; all of them where there is no row. */
void ph_table_init(struct ph_table *t, const json_t *rows, const char *wanted);
void ph_table_add(struct ph_table *t, const json_t *row);
/* What was added since, below the header the first time. On a terminal no line is longer than it is wide. */
int ph_table_print(struct ph_table *t, struct ph_err *err) PH_WARN_UNUSED;
void ph_table_free(struct ph_table *t);
int ph_table_rows(const json_t *rows, const char *wanted, struct ph_err *err) PH_WARN_UNUSED; /* all of it */

/* The widths made smaller, the widest first, until they and the gaps between them fit; where that leaves too
 * little, the last columns get none. terminal 0: any will do. */
void ph_table_fit(size_t *width, size_t columns, size_t terminal);

size_t ph_table_terminal(void); /* how wide the terminal is; 0: standard output is none */

/* ---- output.c ---- */
json_t *ph_cli_parse_rows(struct ph_str rows, struct ph_err *err); /* an array, or NULL */
void ph_cli_put_value(const json_t *v, struct ph_buf *out);        /* as a person reads it */

#endif
