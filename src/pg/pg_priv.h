/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of src/pg share, and nobody else sees. */
#ifndef POSTHOUSE_PG_PRIV_H
#define POSTHOUSE_PG_PRIV_H

/* ---- the SQL files, compiled in by cmake/sql_to_c.py, sorted by path; { NULL, NULL } ends ---- */
struct ph_sql_file {
	const char *name; /* relative to sql/: "0001_first.sql", "functions/commit.sql" */
	const char *text;
};
extern const struct ph_sql_file ph_sql_files[];

#endif
