/* SPDX-License-Identifier: Apache-2.0 */
/* TLS of the listener as the configuration asks for it: read before anything runs, so that a pair that cannot
 * be used ends the start, and the check of a configuration, with one line. */
#include "posthouse/server.h"
#include "posthouse/stream.h"

#include "cli_priv.h"

int ph_cli_tls(const struct ph_config *config, struct ph_tls **ret, struct ph_tls_tickets **ret_tickets,
	struct ph_err *err)
{
	struct ph_err why = {0};
	struct ph_tls_tickets *tickets;
	struct ph_tls *tls;

	if (!config->tls_cert_file)
		return 0;
	tickets = ph_tls_tickets_new();
	tls = ph_node_tls_new(config, tickets, &why);
	if (!tls) {
		ph_tls_tickets_free(tickets);
		return ph_fail(
			err, PH_E_CONFIG, "POSTHOUSE_TLS_CERT_FILE, POSTHOUSE_TLS_KEY_FILE: %s", why.detail);
	}
	*ret = tls;
	*ret_tickets = tickets;
	return 0;
}
