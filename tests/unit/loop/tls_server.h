/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS server for tests, in a thread of its own with blocking sockets, and the certificates for it: made at
 * run time, written to a temporary directory that goes with tls_files_free().
 */
#ifndef PH_LOOP_TEST_TLS_SERVER_H
#define PH_LOOP_TEST_TLS_SERVER_H

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop_test.h"

struct tls_files {
	char dir[64];
	char ca[96];       /* what clients trust */
	char other_ca[96]; /* another authority's */
	EVP_PKEY *key;     /* of every leaf */
	X509 *good, *expired, *wrong;
};

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

/* Signed by issuer, or by itself if that is NULL. Valid for an hour, which ended long ago if `expired`. */
static inline X509 *make_cert(
	const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key, const char *san, bool expired)
{
	static long serial = 1;
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), expired ? -7200 : -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), expired ? -3600 : 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, issuer ? X509_get_subject_name(issuer) : subject);
	X509_set_pubkey(cert, key);
	add_extension(cert, issuer ? issuer : cert, NID_basic_constraints,
		issuer ? "CA:FALSE" : "critical,CA:TRUE");
	if (san)
		add_extension(cert, issuer, NID_subject_alt_name, san);
	assert_true(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
	return cert;
}

static inline void write_cert(const char *path, X509 *cert)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, cert), 1);
	fclose(file);
}

static inline void tls_files_make(struct tls_files *f)
{
	EVP_PKEY *ca_key = EVP_EC_gen("P-256");
	X509 *ca = make_cert("test authority", ca_key, NULL, ca_key, NULL, false);
	X509 *other = make_cert("another authority", ca_key, NULL, ca_key, NULL, false);

	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "/tmp/ph_tls_XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->ca, sizeof(f->ca), "%s/ca.pem", f->dir);
	snprintf(f->other_ca, sizeof(f->other_ca), "%s/other.pem", f->dir);
	write_cert(f->ca, ca);
	write_cert(f->other_ca, other);
	f->key = EVP_EC_gen("P-256");
	f->good =
		make_cert("good", f->key, ca, ca_key, "DNS:localhost,DNS:second.example,IP:127.0.0.1", false);
	f->expired = make_cert("expired", f->key, ca, ca_key, "DNS:localhost", true);
	f->wrong = make_cert("localhost", f->key, ca, ca_key, "DNS:elsewhere.example,IP:127.0.0.2", false);
	X509_free(ca);
	X509_free(other);
	EVP_PKEY_free(ca_key);
}

static inline void tls_files_free(struct tls_files *f)
{
	unlink(f->ca);
	unlink(f->other_ca);
	rmdir(f->dir);
	X509_free(f->good);
	X509_free(f->expired);
	X509_free(f->wrong);
	EVP_PKEY_free(f->key);
}

/* What the server does with each connection. */
enum tls_script {
	TLS_ECHO,       /* until close_notify, answered with its own */
	TLS_SPEAK,      /* "hello", then echo */
	TLS_TRUNCATE,   /* "partial", then FIN without close_notify */
	TLS_NOTIFY,     /* "whole", then close_notify and FIN */
	TLS_LAST_WORD,  /* waits for close_notify, then "after" and its own */
	TLS_PLAIN,      /* no TLS at all: an answer in cleartext */
	TLS_SILENT_FIN, /* FIN instead of a handshake */
	TLS_GARBLE,     /* "hello", then a record that cannot be authentic */
};

struct tls_server {
	struct ph_addr addr;
	int listener;
	SSL_CTX *ctx;
	enum tls_script script;
	pthread_t thread;
	char sni[64];   /* of the latest connection */
	char alpn[16];  /* what its client offered first */
	int notified;   /* connections that ended with the client's close_notify */
	int unnotified; /* and without */
};

static inline int on_server_alpn(SSL *ssl, const unsigned char **out, unsigned char *outlen,
	const unsigned char *in, unsigned int inlen, void *arg)
{
	struct tls_server *t = arg;

	(void)ssl;
	ph_str_copy(t->alpn, sizeof(t->alpn), ph_str((const char *)in + 1, in[0]));
	assert_int_equal(inlen, in[0] + 1);
	*out = in + 1;
	*outlen = in[0];
	return SSL_TLSEXT_ERR_OK;
}

static inline void echo_until_end(struct tls_server *t, SSL *ssl)
{
	char buf[16384];
	int n;

	while ((n = SSL_read(ssl, buf, sizeof(buf))) > 0) {
		if (SSL_write(ssl, buf, n) <= 0)
			break;
	}
	if (SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN) {
		t->notified++;
		if (t->script == TLS_LAST_WORD)
			SSL_write(ssl, "after", 5);
		SSL_shutdown(ssl);
	} else {
		t->unnotified++;
	}
}

static inline void say(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		perror("write");
}

/* A whole record of application data that nobody encrypted. */
static inline void garble(int fd)
{
	char record[5 + 32] = {0x17, 0x03, 0x03, 0, 32};

	if (write(fd, record, sizeof(record)) < 0)
		perror("write");
}

static inline void tls_serve(struct tls_server *t, int fd)
{
	SSL *ssl = SSL_new(t->ctx);

	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1) {
		const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

		snprintf(t->sni, sizeof(t->sni), "%s", sni ? sni : "");
		if (t->script == TLS_SPEAK || t->script == TLS_GARBLE)
			SSL_write(ssl, "hello", 5);
		if (t->script == TLS_TRUNCATE)
			SSL_write(ssl, "partial", 7);
		if (t->script == TLS_NOTIFY) {
			SSL_write(ssl, "whole", 5);
			SSL_shutdown(ssl);
		}
		if (t->script == TLS_GARBLE)
			garble(fd);
		if (t->script == TLS_ECHO || t->script == TLS_SPEAK || t->script == TLS_LAST_WORD)
			echo_until_end(t, ssl);
	}
	SSL_set_quiet_shutdown(ssl, 1);
	SSL_free(ssl);
}

static inline void *tls_server_main(void *arg)
{
	struct tls_server *t = arg;
	int fd;

	while ((fd = accept(t->listener, NULL, NULL)) >= 0) {
		char drain[4096];

		if (t->script == TLS_PLAIN)
			say(fd, "HTTP/1.1 400 Bad Request\r\n\r\nThis is not TLS.");
		else if (t->script != TLS_SILENT_FIN)
			tls_serve(t, fd);
		/* FIN, and not a reset because of what was not read */
		shutdown(fd, SHUT_WR);
		while (read(fd, drain, sizeof(drain)) > 0)
			;
		close(fd);
	}
	return NULL;
}

static inline void tls_server_start(struct tls_server *t, const struct tls_files *files, X509 *cert,
	enum tls_script script, int max_version)
{
	memset(t, 0, sizeof(*t));
	signal(SIGPIPE, SIG_IGN);
	t->script = script;
	t->ctx = SSL_CTX_new(TLS_server_method());
	assert_int_equal(SSL_CTX_use_certificate(t->ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(t->ctx, files->key), 1);
	SSL_CTX_set_max_proto_version(t->ctx, max_version);
	SSL_CTX_set_alpn_select_cb(t->ctx, on_server_alpn, t);
	t->listener = raw_listen(&t->addr);
	assert_int_equal(pthread_create(&t->thread, NULL, tls_server_main, t), 0);
}

static inline void tls_server_stop(struct tls_server *t)
{
	shutdown(t->listener, SHUT_RDWR); /* ends accept() */
	pthread_join(t->thread, NULL);
	close(t->listener);
	SSL_CTX_free(t->ctx);
}

#endif
