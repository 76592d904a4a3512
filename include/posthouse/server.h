/* SPDX-License-Identifier: Apache-2.0 */
/* A node: everything that one event loop runs, from its listener to its drain. */
#ifndef POSTHOUSE_SERVER_H
#define POSTHOUSE_SERVER_H

#include "posthouse/gateway.h"
#include "posthouse/loop.h"

struct ph_tls;
struct ph_tls_tickets;

/* TLS of the clients' listener, with the pair of files that the configuration names. Two calls with the same
 * tickets give contexts that accept each other's sessions. */
struct ph_tls *ph_node_tls_new(
	const struct ph_config *config, struct ph_tls_tickets *tickets, struct ph_err *err);

struct ph_node_options {
	const struct ph_config *config;
	const struct ph_master_keys *keys;
	const char *dsn;        /* of the node role */
	const char *direct_dsn; /* for LISTEN */
	char name[256];         /* NAME, or NAME/n with several workers */
	struct ph_addr listen;  /* probed: the port is known */
	struct ph_addr admin;
	struct ph_tls
		*tls; /* of ph_node_tls_new(), or NULL: in force until the node has read the files itself */
	struct ph_tls_tickets *tickets; /* made before the fork; NULL without TLS */
	int worker;
	/* Answers the admin listener's requests (ph_admin_handle). */
	void (*admin_handle)(const struct ph_node_view *node, struct ph_exchange *x);
};

/* Runs a node in the calling process until it has drained. The exit status: 0, or 1 if turns were cut, a
 * second signal came or the node could not start. SIGTERM and SIGINT drain, SIGHUP reads the certificate and
 * its key again. */
int ph_node_run(const struct ph_node_options *options);

#endif
