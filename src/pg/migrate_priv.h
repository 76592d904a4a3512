/* SPDX-License-Identifier: Apache-2.0 */
/* What schema.c and migrate.c share: how the compiled-in SQL files are told apart. */
#ifndef POSTHOUSE_PG_MIGRATE_PRIV_H
#define POSTHOUSE_PG_MIGRATE_PRIV_H

#include "pg_priv.h"
#include "posthouse/migrate.h"

/* The number of "0001_first.sql"; 0: a file that is replaced as a whole when its text changes. */
int ph_sql_number(const struct ph_sql_file *f);
/* "0007_contract_x.sql": programs that do not know it cannot go on with the schema. */
bool ph_sql_contracting(const struct ph_sql_file *f);
void ph_sql_checksum(const struct ph_sql_file *f, uint8_t ret[32]);

int ph_schema_too_old(const struct ph_pgs *s, struct ph_err *err) PH_WARN_UNUSED; /* PostgreSQL itself */

#endif
