/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS for clients: one certificate with its key. Sessions are resumed by tickets alone (tls_tickets.c);
 * nothing is remembered here about a client that left. Which name a client asks for (SNI) makes no
 * difference.
 */
#include <stdlib.h>
#include <time.h>

#include "tls_priv.h"

/* For TLS 1.2: forward secrecy and authenticated encryption. TLS 1.3 has nothing else. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

/* ---- the pair ---- */
/* Notes that somebody asked: without this OpenSSL would ask whoever sits at the terminal. */
static int on_passphrase(char *dst, int size, int writing, void *arg)
{
	(void)dst;
	(void)size;
	(void)writing;
	*(bool *)arg = true;
	return -1;
}

static int load_certificate(SSL_CTX *ctx, const char *file, struct ph_err *err)
{
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, file) == 1)
		return 0;
	return ph_fail(err, PH_E_TLS,
		"no certificate can be read from %.120s (%s): it must hold the chain in PEM, the server's "
		"own certificate first",
		file, ph_tls_reason());
}

static int load_key(SSL_CTX *ctx, const struct ph_tls_server_options *o, struct ph_err *err)
{
	bool encrypted = false;
	int rc;

	SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &encrypted);
	ERR_clear_error();
	rc = SSL_CTX_use_PrivateKey_file(ctx, o->key_file, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	if (encrypted)
		return ph_fail(err, PH_E_TLS,
			"the private key in %.120s is encrypted with a passphrase; write it without one: "
			"openssl pkey -in KEY -out NEW",
			o->key_file);
	if (rc == 1 && SSL_CTX_check_private_key(ctx) == 1)
		return 0;
	/* a key of another type is only noticed by the check; one of the same type at once */
	if (rc == 1 || ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH)
		return ph_fail(err, PH_E_TLS,
			"the private key in %.100s does not belong to the certificate in %.100s; give the "
			"two files that were made together",
			o->key_file, o->cert_file);
	return ph_fail(err, PH_E_TLS, "no private key can be read from %.120s (%s): it must be in PEM",
		o->key_file, ph_tls_reason());
}

/* ---- the context ---- */
/* Without ALPN a client speaks HTTP/1; one that names other protocols only cannot be served. */
static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_n, const unsigned char *offered,
	unsigned n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1\x08http/1.0"; /* the first is preferred */
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, ret_n, ours, sizeof(ours) - 1, offered, n) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int set_up(struct ph_tls *tls, const struct ph_tls_server_options *o, struct ph_err *err)
{
	int rc = load_certificate(tls->ctx, o->cert_file, err);

	if (rc == 0)
		rc = load_key(tls->ctx, o, err);
	if (rc < 0)
		return rc;
	tls->plain_answer = o->plain_answer;
	SSL_CTX_set_options(tls->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(tls->ctx, on_alpn, NULL);
	ph_tls_tickets_use(o->tickets, tls->ctx);
	if (SSL_CTX_set_cipher_list(tls->ctx, CIPHERS) != 1)
		return ph_fail(err, PH_E_TLS, "OpenSSL has no cipher for TLS: %s", ph_tls_reason());
	return 0;
}

struct ph_tls *ph_tls_server_new(const struct ph_tls_server_options *o, struct ph_err *err)
{
	struct ph_tls *tls = ph_tls_new(TLS_server_method());

	if (!tls)
		ph_fail(err, PH_E_TLS, "OpenSSL cannot be used: %s", ph_tls_reason());
	else if (set_up(tls, o, err) < 0)
		tls = ph_tls_free(tls);
	return tls;
}

int64_t ph_tls_server_valid_until(const struct ph_tls *tls)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(tls->ctx)), &tm))
		return 0;
	return timegm(&tm);
}

/* ---- a connection ---- */
struct ph_tls_conn *ph_tls_conn_accept(
	struct ph_tls *tls, struct ph_loop *loop, const char *peer, struct ph_queue *wire)
{
	struct ph_tls_conn *c = ph_tls_conn_new(tls, loop, peer, wire);

	if (!c)
		ph_die("out of memory");
	SSL_set_accept_state(c->ssl);
	return c;
}
