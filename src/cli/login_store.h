/* SPDX-License-Identifier: Apache-2.0 */
/* The SQL of logins that wait for a person (sql/functions/login_flows.sql). */
#ifndef POSTHOUSE_LOGIN_STORE_H
#define POSTHOUSE_LOGIN_STORE_H

#include "cli_priv.h"

struct ph_cli_target {
	bool known; /* there is an account of that name */
	char kind[16], base_url[1024], token_url[1024];
};
int ph_cli_store_login_target(
	struct ph_pgs *pg, const char *name, struct ph_cli_target *ret, struct ph_err *err) PH_WARN_UNUSED;

/* sealed empty: looks alone. The flow that is in force: 1, or 0 where there is none. out gets what is sealed
 * with it; id and remaining_ms are set. */
struct ph_cli_login_row {
	uint8_t id[16];
	const char *name, *method, *issuer;
	struct ph_str sealed, key_id;
	uint64_t lasts_ms, remaining_ms;
};
int ph_cli_store_open_login(struct ph_pgs *pg, struct ph_cli_login_row *row, struct ph_buf *out,
	struct ph_err *err) PH_WARN_UNUSED;

enum ph_cli_stands {
	PH_LOGIN_OPEN,
	PH_LOGIN_TAKEN,
	PH_LOGIN_DONE,
	PH_LOGIN_FAILED,
	PH_LOGIN_EXPIRED,
	PH_LOGIN_GONE,
};
int ph_cli_store_look_login(
	struct ph_pgs *pg, const uint8_t id[16], enum ph_cli_stands *ret, struct ph_err *err) PH_WARN_UNUSED;
int ph_cli_store_take_login(
	struct ph_pgs *pg, const uint8_t id[16], bool *ret, struct ph_err *err) PH_WARN_UNUSED;
int ph_cli_store_end_login(
	struct ph_pgs *pg, const uint8_t id[16], bool done, struct ph_err *err) PH_WARN_UNUSED;

#endif
