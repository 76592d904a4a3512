/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_AUTH_PRIV_H
#define POSTHOUSE_AUTH_PRIV_H

#include "posthouse/auth.h"

/* auth_store.c: the SQL of this module. Rows are those of posthouse.load_api_keys(). */
struct ph_pg_call *ph_auth_store_load(struct ph_pg *pg, ph_pg_cb cb, void *arg);
struct ph_pg_call *ph_auth_store_find(struct ph_pg *pg, const uint8_t hash[32], ph_pg_cb cb, void *arg);
struct ph_key *ph_auth_store_key(const struct ph_pg_result *r, int row);

#endif
