/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TLS connection as a filter between bytes and bytes; which end it is, and what both ends' contexts hold,
 * is in tls_client.c and tls_server.c.
 *
 * A connection reads from the slice that was fed and writes to a queue of the stream, through a BIO of our
 * own, so that nothing unbounded hides inside the library. Our BIO takes whatever it is given:
 * SSL_ERROR_WANT_WRITE cannot happen, and back-pressure stands above, at the marks of the stream.
 *
 * OpenSSL's error queue belongs to the thread, that is to all our connections: it is cleared before every
 * call, or an innocent connection answers for another's error.
 */
#include <assert.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "tls_priv.h"

#define RECORD_MAX SSL3_RT_MAX_PLAIN_LENGTH

/* ---- the BIO ---- */
static int bio_read(BIO *bio, char *dst, int size)
{
	struct ph_tls_conn *c = BIO_get_data(bio);
	size_t n = c->in.n < (size_t)size ? c->in.n : (size_t)size;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(dst, c->in.p, n);
	c->in = ph_str(c->in.p + n, c->in.n - n);
	return (int)n;
}

static int bio_write(BIO *bio, const char *src, int size)
{
	struct ph_tls_conn *c = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	ph_queue_copy(c->wire, c->loop, ph_str(src, (size_t)size));
	return size;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

/* One for the process, made by the first connection and never freed. */
static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (!method) {
		method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "posthouse stream");
		if (!method)
			ph_die("out of memory");
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_ctrl);
	}
	return method;
}

static bool attach_bio(struct ph_tls_conn *c)
{
	BIO *bio = BIO_new(bio_method());

	if (!bio)
		return false;
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	return true;
}

/* ---- the context ---- */
struct ph_tls *ph_tls_new(const SSL_METHOD *method)
{
	struct ph_tls *tls = ph_alloc(sizeof(*tls));

	tls->refs = 1;
	ERR_clear_error();
	tls->ctx = SSL_CTX_new(method);
	if (!tls->ctx)
		return ph_tls_free(tls);
	SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
					   SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (!SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION))
		return ph_tls_free(tls);
	return tls;
}

struct ph_tls *ph_tls_ref(struct ph_tls *tls)
{
	if (tls)
		tls->refs++;
	return tls;
}

struct ph_tls *ph_tls_free(struct ph_tls *tls)
{
	if (!tls || --tls->refs > 0)
		return NULL;
	ph_sessions_free(tls->sessions);
	SSL_CTX_free(tls->ctx);
	free(tls);
	return NULL;
}

const char *ph_tls_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *text = ERR_reason_error_string(code);

	if (code != 0 && ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	return text ? text : "unknown error";
}

/* ---- a connection ---- */
struct ph_tls_conn *ph_tls_conn_new(
	struct ph_tls *tls, struct ph_loop *loop, const char *name, struct ph_queue *wire)
{
	size_t size = strlen(name) + 1;
	struct ph_tls_conn *c = ph_alloc(sizeof(*c) + size);

	memcpy(c->name, name, size);
	c->tls = ph_tls_ref(tls);
	c->loop = loop;
	c->wire = wire;
	ERR_clear_error();
	c->ssl = SSL_new(tls->ctx);
	if (!c->ssl || !attach_bio(c))
		return ph_tls_conn_free(c);
	SSL_set_app_data(c->ssl, c);
	if (!loop->plain_buf)
		loop->plain_buf = ph_alloc(PH_PLAIN_SIZE);
	return c;
}

struct ph_tls_conn *ph_tls_conn_free(struct ph_tls_conn *c)
{
	if (!c)
		return NULL;
	/* else OpenSSL takes the end without close_notify for an attack, and spoils the sessions that came
	 * over it */
	if (c->ssl && !c->faulty)
		SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(c->ssl);
	c->tls = ph_tls_free(c->tls);
	free(c->held);
	free(c);
	return NULL;
}

void ph_tls_conn_feed(struct ph_tls_conn *c, struct ph_str bytes)
{
	assert(c->in.n == 0 && !c->held);
	c->in = bytes;
}

void ph_tls_conn_hold(struct ph_tls_conn *c)
{
	if (c->in.n == 0 || c->held)
		return;
	c->held = ph_realloc(NULL, c->in.n);
	memcpy(c->held, c->in.p, c->in.n);
	c->in.p = c->held;
}

bool ph_tls_conn_pending(const struct ph_tls_conn *c)
{
	return c->held || c->ended || c->faulty;
}

/* A call that did not succeed: 0 where it only waits for bytes. */
static int judge(struct ph_tls_conn *c, int rc)
{
	switch (SSL_get_error(c->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return PH_TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		c->ended = true;
		return PH_TLS_END;
	default:
		c->faulty = true;
		c->in = PH_STR_NONE;
		return -PH_E_TLS;
	}
}

/* A peer that takes us for an HTTP server in cleartext is told so in its own language. */
static void answer_plainly(struct ph_tls_conn *c)
{
	if (c->tls->plain_answer && ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
		ph_queue_copy(c->wire, c->loop, ph_str_c(c->tls->plain_answer));
}

static int explain(struct ph_tls_conn *c, struct ph_err *err)
{
	long verdict = SSL_get_verify_result(c->ssl);

	return ph_fail(err, PH_E_TLS, "TLS with %s failed: %s", c->name,
		verdict == X509_V_OK ? ph_tls_reason() : X509_verify_cert_error_string(verdict));
}

/* A server that picks a protocol which was not offered speaks something that we do not. */
static bool alpn_ok(const SSL *ssl)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

	if (SSL_is_server(ssl))
		return true; /* chosen by ourselves */
	SSL_get0_alpn_selected(ssl, &name, &n);
	return n == 0 || ph_str_eq(ph_str((const char *)name, n), PH_STR("http/1.1"));
}

int ph_tls_conn_handshake(struct ph_tls_conn *c, struct ph_err *err)
{
	int rc;

	ERR_clear_error();
	rc = SSL_do_handshake(c->ssl);
	if (rc <= 0) {
		rc = judge(c, rc);
		if (rc == PH_TLS_MORE)
			return 0;
		answer_plainly(c);
		return explain(c, err);
	}
	if (alpn_ok(c->ssl))
		return 1;
	c->faulty = true;
	return ph_fail(err, PH_E_TLS, "TLS with %s failed: it does not speak HTTP/1.1", c->name);
}

/*
 * A ticket makes OpenSSL get a write buffer of 16 KiB, which it frees behind the next write, and a stream may
 * be silent for long. Between records alone: SSL_free_buffers() of some releases takes the one that is half
 * read (CVE-2024-4741).
 */
static void free_buffers(struct ph_tls_conn *c)
{
	if (strcmp(SSL_rstate_string(c->ssl), "RH") == 0 && SSL_free_buffers(c->ssl))
		c->ticketed = false;
}

long ph_tls_conn_read(struct ph_tls_conn *c, char *dst, size_t size)
{
	int rc;

	if (c->faulty)
		return -PH_E_TLS;
	ERR_clear_error();
	rc = SSL_read(c->ssl, dst, size > INT32_MAX ? INT32_MAX : (int)size);
	if (rc > 0)
		return rc;
	rc = judge(c, rc);
	assert(rc < 0 || c->in.n == 0);
	free(c->held);
	c->held = NULL;
	c->in = PH_STR_NONE;
	if (rc == PH_TLS_MORE && c->ticketed)
		free_buffers(c);
	return rc;
}

long ph_tls_conn_write(struct ph_tls_conn *c, struct ph_str bytes)
{
	int rc;

	if (c->faulty)
		return -PH_E_TLS;
	ERR_clear_error();
	rc = SSL_write(c->ssl, bytes.p, bytes.n > RECORD_MAX ? RECORD_MAX : (int)bytes.n);
	if (rc > 0)
		return rc;
	judge(c, rc);
	c->faulty = true;
	return -PH_E_TLS;
}

void ph_tls_conn_notify(struct ph_tls_conn *c)
{
	if (c->notified || c->faulty)
		return;
	c->notified = true;
	ERR_clear_error();
	SSL_shutdown(c->ssl); /* its answer only says whether the peer has sent its own */
}

bool ph_tls_conn_ended(const struct ph_tls_conn *c)
{
	return c->ended;
}

bool ph_tls_conn_resumed(const struct ph_tls_conn *c)
{
	return SSL_session_reused(c->ssl);
}
