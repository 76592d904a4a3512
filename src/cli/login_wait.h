/* SPDX-License-Identifier: Apache-2.0 */
#ifndef POSTHOUSE_LOGIN_WAIT_H
#define POSTHOUSE_LOGIN_WAIT_H

#include "login_flow.h"

#define PH_WAIT_CLIENTS 8 /* browsers open connections that they do not use */

struct ph_cli_wait_client {
	int fd; /* -1: none */
	size_t n;
	uint64_t until_ms;
	char head[8192];
};

/* Owner: the command. */
struct ph_cli_wait {
	int listener[2]; /* -1: none */
	bool taken;      /* somebody else has the port, or one half of it */
	bool input;      /* standard input has not ended */
	size_t line_n;
	char line[8192];
	struct ph_cli_wait_client client[PH_WAIT_CLIENTS];
};

/* Where the port is taken, lines of standard input are read all the same. To be closed in any case. */
void ph_cli_wait_open(struct ph_cli_wait *w, unsigned port);
bool ph_cli_wait_listens(const struct ph_cli_wait *w);
void ph_cli_wait_close(struct ph_cli_wait *w);
/* Waits so long at the most. NONE: nothing came that ends the waiting. */
enum ph_cli_redirect ph_cli_wait_redirect(struct ph_cli_wait *w, const struct ph_cli_flow *f, uint64_t ms,
	char code[PH_CODE_MAX], struct ph_err *err);

#endif
