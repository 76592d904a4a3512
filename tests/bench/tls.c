/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS of the load clients: a server whose certificate is not signed by --ca for its address is a fault. The
 * calls look like those of a socket, so that net.c does the same with both.
 */
#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

#include "bench.h"

static SSL_CTX *context;
static SSL_SESSION *session; /* the first ticket that came */

/* Returning 1 keeps the reference. */
static int on_session(SSL *ssl, SSL_SESSION *got)
{
	(void)ssl;
	if (session)
		return 0;
	session = got;
	return 1;
}

void tls_start(const char *ca)
{
	signal(SIGPIPE, SIG_IGN);
	context = SSL_CTX_new(TLS_client_method());
	if (!context || SSL_CTX_load_verify_file(context, ca) != 1)
		bench_die("%s: no certificate authority can be read", ca);
	SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF); /* HTTP says what is whole */
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_session);
}

void tls_end(void)
{
	SSL_SESSION_free(session);
	SSL_CTX_free(context);
}

bool tls_has_session(void)
{
	return session;
}

/* A copy: OpenSSL lets no ticket of TLS 1.3 be used twice, though servers do. */
static void resume(SSL *ssl)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);

	if (!copy || SSL_set_session(ssl, copy) != 1)
		bench_die("the session cannot be resumed");
	SSL_SESSION_free(copy);
}

void tls_open(struct conn *c)
{
	const struct options *o = &c->bench->o;

	c->tls = SSL_new(context);
	if (!c->tls || SSL_set_fd(c->tls, c->fd) != 1 ||
		X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->tls), o->host) != 1)
		bench_die("no TLS");
	if (o->resume && session)
		resume(c->tls);
	SSL_set_connect_state(c->tls);
}

void tls_close(struct conn *c)
{
	SSL_free(c->tls);
	c->tls = NULL;
}

/* What a call that returned n means to who expects a socket's answer. */
static ssize_t as_socket(struct conn *c, int n)
{
	switch (SSL_get_error(c->tls, n)) {
	case SSL_ERROR_NONE:
		return n;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		return -1;
	default:
		errno = EPROTO;
		return -1;
	}
}

int tls_shake(struct conn *c)
{
	int n = SSL_do_handshake(c->tls);

	if (n == 1)
		return 1;
	n = SSL_get_error(c->tls, n);
	c->wants_out = n == SSL_ERROR_WANT_WRITE;
	return n == SSL_ERROR_WANT_READ || n == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool tls_resumed(const struct conn *c)
{
	return SSL_session_reused(c->tls);
}

void tls_goodbye(struct conn *c)
{
	SSL_shutdown(c->tls);
}

ssize_t tls_recv(struct conn *c, char *p, size_t n)
{
	return as_socket(c, SSL_read(c->tls, p, (int)n));
}

ssize_t tls_send(struct conn *c, const char *p, size_t n)
{
	return as_socket(c, SSL_write(c->tls, p, (int)n));
}
