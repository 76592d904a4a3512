/* SPDX-License-Identifier: Apache-2.0 */
/* A row of posthouse_admin.requests as the line that a person reads. */
#ifndef POSTHOUSE_CLI_STORY_H
#define POSTHOUSE_CLI_STORY_H

#include "table.h"

/* Members of a story, as columns: those that such a terminal has room for, all where it is 0. */
const char *ph_story_columns(size_t terminal);
json_t *ph_story(const json_t *row);       /* an object with these members, all of them texts */
json_t *ph_story_rows(const json_t *rows); /* of each */
void ph_story_widths(struct ph_table *t);  /* room for what later rows will usually bring */
/* "12 ms", "3.4 s", "5 min": at least three digits where there are any. */
void ph_story_span(double ms, char *dst, size_t size);
/* "950", "12.3k", "4.5M" */
void ph_story_count(double n, char *dst, size_t size);

/* --since, in seconds. */
int ph_cli_since(
	const struct ph_cli *c, int64_t fallback_s, int64_t *ret_s, struct ph_err *err) PH_WARN_UNUSED;

#endif
