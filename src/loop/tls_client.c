/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS towards upstreams: whom it trusts, which name it expects, and the sessions that it can resume, kept for
 * each "host:port".
 */
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "tls_priv.h"

#define HOSTS_MAX    64 /* whose sessions are kept */
#define SESSIONS_MAX 8  /* of one host: TLS 1.3 tickets are for one use */

/* Sessions of one "host:port". Owner: ph_sessions.hosts, most recently used first. */
struct host {
	struct ph_list node;
	unsigned count;
	SSL_SESSION *session[SESSIONS_MAX]; /* oldest first */
	char name[];
};

/* Owner: struct ph_tls. */
struct ph_sessions {
	struct ph_list hosts;
	unsigned host_count;
};

/* ---- sessions ---- */
static void host_free(struct ph_sessions *all, struct host *host)
{
	ph_list_remove(&host->node);
	all->host_count--;
	for (unsigned i = 0; i < host->count; i++)
		SSL_SESSION_free(host->session[i]);
	free(host);
}

/* The entry of a name, moved to the front. Makes one if asked to, in place of the least recently used. */
static struct host *host_get(struct ph_sessions *all, const char *name, bool make)
{
	struct host *host;

	PH_LIST_EACH (node, &all->hosts) {
		host = PH_CONTAINER(node, struct host, node);
		if (strcmp(host->name, name) != 0)
			continue;
		ph_list_remove(node);
		ph_list_push_front(&all->hosts, node);
		return host;
	}
	if (!make)
		return NULL;
	if (all->host_count == HOSTS_MAX)
		host_free(all, PH_CONTAINER(all->hosts.prev, struct host, node));
	host = ph_alloc(sizeof(*host) + strlen(name) + 1);
	memcpy(host->name, name, strlen(name) + 1);
	ph_list_push_front(&all->hosts, &host->node);
	all->host_count++;
	return host;
}

static void forget_oldest(struct host *host)
{
	SSL_SESSION_free(host->session[0]);
	host->count--;
	memmove(&host->session[0], &host->session[1], host->count * sizeof(host->session[0]));
}

/* Tickets of TLS 1.3 come after the handshake, several at a time. Returning 1 keeps the reference. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct ph_tls_conn *c = SSL_get_app_data(ssl);
	struct host *host = host_get(c->tls->sessions, c->name, true);

	if (host->count == SESSIONS_MAX)
		forget_oldest(host);
	host->session[host->count++] = session;
	c->ticketed = true;
	return 1;
}

/* A session of 1.3 is taken out, since a second use would let an observer link the two; one of 1.2 is kept.
 */
static void reuse_session(struct ph_tls_conn *c)
{
	struct host *host = host_get(c->tls->sessions, c->name, false);
	SSL_SESSION *session;

	if (!host || host->count == 0)
		return;
	session = host->session[host->count - 1];
	SSL_set_session(c->ssl, session);
	if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION)
		return;
	host->count--;
	SSL_SESSION_free(session);
}

void ph_sessions_free(struct ph_sessions *all)
{
	if (!all)
		return;
	PH_LIST_EACH_SAFE (node, &all->hosts)
		host_free(all, PH_CONTAINER(node, struct host, node));
	free(all);
}

/* ---- the context ---- */
static bool set_up(struct ph_tls *tls, const char *ca_file)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	SSL_CTX *ctx = tls->ctx;

	tls->sessions = ph_alloc(sizeof(*tls->sessions));
	ph_list_init(&tls->sessions->hosts);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	return (ca_file ? SSL_CTX_load_verify_file(ctx, ca_file) : SSL_CTX_set_default_verify_paths(ctx)) &&
	       SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) == 0;
}

struct ph_tls *ph_tls_client_new(const char *ca_file, struct ph_err *err)
{
	struct ph_tls *tls = ph_tls_new(TLS_client_method());

	if (tls && set_up(tls, ca_file))
		return tls;
	ph_fail(err, PH_E_TLS, "cannot load the certificates that upstreams are verified with from %s: %s",
		ca_file ? ca_file : "the system's store", ph_tls_reason());
	return ph_tls_free(tls);
}

/* ---- a connection ---- */
/* SNI alone verifies nothing, and an address may not stand in it. */
static bool expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, host))
		return true;
	return SSL_set_tlsext_host_name(ssl, host) && SSL_set1_host(ssl, host);
}

struct ph_tls_conn *ph_tls_conn_connect(
	struct ph_tls *tls, struct ph_loop *loop, const char *host, uint16_t port, struct ph_queue *wire)
{
	char name[300]; /* a host name has 253 characters at most; a longer one is refused below */
	struct ph_tls_conn *c;

	if (snprintf(name, sizeof(name), "%s:%u", host, port) >= (int)sizeof(name) || host[0] == '\0')
		return NULL;
	c = ph_tls_conn_new(tls, loop, name, wire);
	if (!c || !expect_host(c->ssl, host))
		return ph_tls_conn_free(c);
	SSL_set_connect_state(c->ssl);
	reuse_session(c);
	return c;
}
