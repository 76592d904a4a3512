/* SPDX-License-Identifier: Apache-2.0 */
/* A throw-away PostgreSQL for a test: initdb into a temporary directory, no fsync, trust, on a UNIX socket
 * there and on a free port of 127.0.0.1. As root it runs as the user postgres. It goes when the test's
 * process goes. */
#ifndef PH_TEST_PG_SERVER_H
#define PH_TEST_PG_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct ph_test_server {
	char dir[64]; /* holds the cluster, its socket and its log */
	int port;
	pid_t pid; /* of the postmaster; 0 = it does not run */
};

/* NULL where no server's programs are installed: then the test is to be skipped. Dies where starting fails.
 */
struct ph_test_server *ph_test_server_new(void);
void ph_test_server_start(struct ph_test_server *s); /* until it accepts connections */
void ph_test_server_stop(
	struct ph_test_server *s); /* at once, as after a crash: clients see their connections die */
void ph_test_server_freeze(
	struct ph_test_server *s, bool frozen); /* SIGSTOP or SIGCONT to all its processes */
/* stop, and everything removed. Returns NULL. */
struct ph_test_server *ph_test_server_free(struct ph_test_server *s);

/* "host=... port=... user=postgres dbname=postgres", over the socket or over TCP. Static storage, two at a
 * time. */
const char *ph_test_server_dsn(const struct ph_test_server *s);
const char *ph_test_server_tcp_dsn(const struct ph_test_server *s);

int ph_test_free_port(void); /* nobody listens on it */

#endif
