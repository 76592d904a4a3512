/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as a filter between bytes and bytes: the only file that knows OpenSSL's ssl.h.
 *
 * A connection reads from the slice that was fed and writes to a queue of the stream, through a BIO of our
 * own, so that nothing unbounded hides inside the library. Our BIO takes whatever it is given:
 * SSL_ERROR_WANT_WRITE cannot happen, and back-pressure stands above, at the marks of the stream.
 *
 * OpenSSL's error queue belongs to the thread, that is to all our connections: it is cleared before every
 * call, or an innocent connection answers for another's error.
 */
#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop_priv.h"

#define HOSTS_MAX    64 /* whose sessions are kept */
#define SESSIONS_MAX 8  /* of one host: TLS 1.3 tickets are for one use */
#define RECORD_MAX   SSL3_RT_MAX_PLAIN_LENGTH

/* Sessions of one "host:port". Owner: tls->hosts, most recently used first. */
struct host {
	struct ph_list node;
	unsigned count;
	SSL_SESSION *session[SESSIONS_MAX]; /* oldest first */
	char name[];
};

/* Owner: counted, by whoever made it and by every connection. */
struct ph_tls {
	unsigned refs;
	SSL_CTX *ctx;
	struct ph_list hosts;
	unsigned host_count;
};

/* Owner: the stream. */
struct ph_tls_conn {
	SSL *ssl;
	struct ph_tls *tls;
	struct ph_loop *loop;
	struct ph_queue *wire;
	struct ph_str in; /* fed, and not used up */
	char *held;       /* our copy of it, while the owner does not read */
	bool ended;       /* close_notify was read */
	bool faulty;      /* a fatal error: OpenSSL forbids SSL_shutdown() after it */
	bool notified;    /* close_notify was written */
	char host[];      /* "host:port" */
};

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

/* ---- sessions ---- */
static void host_free(struct ph_tls *tls, struct host *host)
{
	ph_list_remove(&host->node);
	tls->host_count--;
	for (unsigned i = 0; i < host->count; i++)
		SSL_SESSION_free(host->session[i]);
	free(host);
}

/* The entry of a name, moved to the front. Makes one if asked to, in place of the least recently used. */
static struct host *host_get(struct ph_tls *tls, const char *name, bool make)
{
	struct host *host;

	PH_LIST_EACH (node, &tls->hosts) {
		host = PH_CONTAINER(node, struct host, node);
		if (strcmp(host->name, name) != 0)
			continue;
		ph_list_remove(node);
		ph_list_push_front(&tls->hosts, node);
		return host;
	}
	if (!make)
		return NULL;
	if (tls->host_count == HOSTS_MAX)
		host_free(tls, PH_CONTAINER(tls->hosts.prev, struct host, node));
	host = ph_alloc(sizeof(*host) + strlen(name) + 1);
	memcpy(host->name, name, strlen(name) + 1);
	ph_list_push_front(&tls->hosts, &host->node);
	tls->host_count++;
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
	struct host *host = host_get(c->tls, c->host, true);

	if (host->count == SESSIONS_MAX)
		forget_oldest(host);
	host->session[host->count++] = session;
	return 1;
}

/* A session of 1.3 is taken out, since a second use would let an observer link the two; one of 1.2 is kept.
 */
static void reuse_session(struct ph_tls_conn *c)
{
	struct host *host = host_get(c->tls, c->host, false);
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

/* ---- the context ---- */
/* What OpenSSL says last, in its words. */
static const char *reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = ERR_reason_error_string(code);

	if (code != 0 && ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	return text ? text : "unknown error";
}

static bool set_up(SSL_CTX *ctx, const char *ca_file)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	int ok = ca_file ? SSL_CTX_load_verify_file(ctx, ca_file) : SSL_CTX_set_default_verify_paths(ctx);

	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	return ok && SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) &&
	       SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) == 0;
}

struct ph_tls *ph_tls_client_new(const char *ca_file, struct ph_err *err)
{
	struct ph_tls *tls = ph_alloc(sizeof(*tls));

	tls->refs = 1;
	ph_list_init(&tls->hosts);
	ERR_clear_error();
	tls->ctx = SSL_CTX_new(TLS_client_method());
	if (tls->ctx && set_up(tls->ctx, ca_file))
		return tls;
	ph_fail(err, PH_E_TLS, "cannot load the certificates that upstreams are verified with from %s: %s",
		ca_file ? ca_file : "the system's store", reason());
	return ph_tls_free(tls);
}

struct ph_tls *ph_tls_free(struct ph_tls *tls)
{
	if (!tls || --tls->refs > 0)
		return NULL;
	PH_LIST_EACH_SAFE (node, &tls->hosts)
		host_free(tls, PH_CONTAINER(node, struct host, node));
	SSL_CTX_free(tls->ctx);
	free(tls);
	return NULL;
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

struct ph_tls_conn *ph_tls_conn_new(
	struct ph_tls *tls, struct ph_loop *loop, const char *host, uint16_t port, struct ph_queue *wire)
{
	const size_t port_max = sizeof(":65535");
	size_t size = strlen(host) + port_max;
	struct ph_tls_conn *c = ph_alloc(sizeof(*c) + size);

	snprintf(c->host, size, "%s:%u", host, port);
	c->tls = tls;
	tls->refs++;
	c->loop = loop;
	c->wire = wire;
	ERR_clear_error();
	c->ssl = SSL_new(tls->ctx);
	if (!c->ssl || host[0] == '\0' || !attach_bio(c) || !expect_host(c->ssl, host))
		return ph_tls_conn_free(c);
	SSL_set_app_data(c->ssl, c);
	SSL_set_connect_state(c->ssl);
	reuse_session(c);
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

static int explain(struct ph_tls_conn *c, struct ph_err *err)
{
	long verdict = SSL_get_verify_result(c->ssl);

	return ph_fail(err, PH_E_TLS, "TLS with %s failed: %s", c->host,
		verdict == X509_V_OK ? reason() : X509_verify_cert_error_string(verdict));
}

/* A server that picks a protocol which was not offered speaks something that we do not. */
static bool alpn_ok(const SSL *ssl)
{
	const unsigned char *name = NULL;
	unsigned n = 0;

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
		return rc < 0 ? explain(c, err) : 0;
	}
	if (alpn_ok(c->ssl))
		return 1;
	c->faulty = true;
	return ph_fail(err, PH_E_TLS, "TLS with %s failed: it does not speak HTTP/1.1", c->host);
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
