/* SPDX-License-Identifier: Apache-2.0 */
/* A listener with TLS against clients made with OpenSSL: who is let in, what is resumed and where, what a
 * reload changes, and what bad peers cost. Clients take their steps in turn with the loop, in one thread. */
#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <sys/wait.h>

#include "side.h"
#include "tls_server.h"

#include "loop/loop_priv.h"

#define PLAIN_ANSWER "HTTP/1.1 400 Bad Request\r\n\r\nTLS, please."
#define SIDES        16

static struct tls_files files;
static char good_cert[128], other_cert[128], good_key[128], other_key[128], sealed_key[128], rubbish[128];

static void write_key(const char *path, EVP_PKEY *key, const char *passphrase)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0,
				 NULL, (void *)(uintptr_t)passphrase),
		1);
	fclose(file);
}

static void make_rubbish(void)
{
	FILE *file = fopen(rubbish, "w");

	assert_non_null(file);
	fputs("not PEM\n", file);
	fclose(file);
}

static int make_files(void **state)
{
	EVP_PKEY *other = EVP_EC_gen("P-256");

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	tls_files_make(&files);
	snprintf(good_cert, sizeof(good_cert), "%s/good.crt", files.dir);
	snprintf(other_cert, sizeof(other_cert), "%s/other.crt", files.dir);
	snprintf(good_key, sizeof(good_key), "%s/good.key", files.dir);
	snprintf(other_key, sizeof(other_key), "%s/other.key", files.dir);
	snprintf(sealed_key, sizeof(sealed_key), "%s/sealed.key", files.dir);
	snprintf(rubbish, sizeof(rubbish), "%s/rubbish", files.dir);
	write_cert(good_cert, files.good);
	write_cert(other_cert, files.wrong);
	write_key(good_key, files.key, NULL);
	write_key(other_key, other, NULL);
	write_key(sealed_key, files.key, "secret");
	make_rubbish();
	EVP_PKEY_free(other);
	return 0;
}

static int free_files(void **state)
{
	const char *const paths[] = {good_cert, other_cert, good_key, other_key, sealed_key, rubbish};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(paths); i++)
		unlink(paths[i]);
	tls_files_free(&files);
	return 0;
}

/* ---- the listener ---- */
struct scene {
	struct ph_loop *loop;
	struct ph_listener *listener;
	struct ph_tls_tickets *tickets;
	struct ph_addr addr;
	struct side side[SIDES];
	int accepted;
	SSL_CTX *ctx;  /* of clients */
	uint64_t days; /* that passed for the keys of tickets */
};

static void on_accept(void *owner, struct ph_stream *s)
{
	struct scene *c = owner;
	struct side *x = &c->side[c->accepted++];

	assert_true(c->accepted <= SIDES);
	x->loop = c->loop;
	x->s = s;
	x->echo = true;
	ph_stream_set_owner(s, &side_events, x);
	ph_stream_read(s, true);
}

static struct ph_tls *server_tls(const char *cert, const char *key, struct ph_tls_tickets *tickets)
{
	const struct ph_tls_server_options options = {cert, key, tickets, PLAIN_ANSWER};
	struct ph_err err = {0};
	struct ph_tls *tls = ph_tls_server_new(&options, &err);

	if (!tls)
		fail_msg("%s", err.detail);
	return tls;
}

/* What a reload does: new connections are served with this pair. */
static void scene_use(struct scene *c, const char *cert)
{
	struct ph_tls *tls = server_tls(cert, good_key, c->tickets);

	ph_listener_tls(c->listener, tls);
	assert_null(ph_tls_free(tls));
}

static void scene_open(struct scene *c, int version)
{
	struct ph_err err = {0};

	memset(c, 0, sizeof(*c));
	c->loop = ph_loop_new();
	c->addr = loopback(0);
	assert_int_equal(ph_listener_probe(&c->addr, &err), 0);
	c->listener = ph_listener_open(c->loop, &c->addr, on_accept, c, &err);
	assert_non_null(c->listener);
	c->tickets = ph_tls_tickets_new();
	scene_use(c, good_cert);
	c->ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_load_verify_file(c->ctx, files.ca);
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_max_proto_version(c->ctx, version);
}

static void scene_end(struct scene *c)
{
	ph_listener_close(c->listener);
	for (int i = 0; i < c->accepted; i++) {
		if (c->side[i].s)
			side_close(&c->side[i], false);
	}
	assert_int_equal(c->loop->handshake_count, 0);
	assert_int_equal(ph_loop_free(c->loop), 0);
	assert_null(ph_tls_tickets_free(c->tickets));
	SSL_CTX_free(c->ctx);
	ERR_clear_error();
}

/* ---- a client ---- */
struct peer {
	int fd;
	SSL *ssl;
};

static void peer_open(struct scene *c, struct peer *p)
{
	p->fd = raw_connect(&c->addr);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	p->ssl = SSL_new(c->ctx);
	SSL_set_fd(p->ssl, p->fd);
	SSL_set_connect_state(p->ssl);
}

static void peer_close(struct peer *p)
{
	SSL_free(p->ssl);
	close(p->fd);
}

/* Whether rc of a call only means "later"; lets the loop take its turn then. */
static bool again(struct scene *c, struct peer *p, int rc, uint64_t until)
{
	int why = SSL_get_error(p->ssl, rc);

	if (rc > 0 || (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE))
		return false;
	if (ph_clock_ms() > until)
		fail_msg("waited in vain");
	ph_loop_turn(c->loop);
	usleep(50);
	return true;
}

static bool peer_shake(struct scene *c, struct peer *p)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;
	int rc;

	do {
		ERR_clear_error();
		rc = SSL_do_handshake(p->ssl);
	} while (again(c, p, rc, until));
	return rc == 1;
}

static int peer_read(struct scene *c, struct peer *p, char *dst, int size)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;
	int rc;

	do {
		ERR_clear_error();
		rc = SSL_read(p->ssl, dst, size);
	} while (again(c, p, rc, until));
	return rc;
}

/* One word there and back; a client of TLS 1.3 has its tickets then. */
static void peer_echo(struct scene *c, struct peer *p)
{
	char word[8] = "";

	assert_int_equal(SSL_write(p->ssl, "word", 4), 4);
	assert_int_equal(peer_read(c, p, word, sizeof(word)), 4);
	assert_string_equal(word, "word");
}

/* All that comes on a raw socket until it ends. */
static size_t raw_rest(struct scene *c, int fd, char *dst, size_t size)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;
	size_t n = 0;
	ssize_t r;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while ((r = recv(fd, dst + n, size - n, 0)) != 0) {
		if (r > 0)
			n += (size_t)r;
		else if (errno != EAGAIN)
			break;
		ph_loop_turn(c->loop);
		assert_true(ph_clock_ms() < until);
	}
	return n;
}

/* ---- who is let in ---- */
static void test_versions(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(versions); i++) {
		struct scene c;
		struct peer p;

		scene_open(&c, versions[i]);
		peer_open(&c, &p);
		assert_true(peer_shake(&c, &p));
		assert_int_equal(SSL_version(p.ssl), versions[i]);
		assert_int_equal(SSL_get_verify_result(p.ssl), X509_V_OK);
		peer_echo(&c, &p);
		assert_int_equal(c.loop->handshake_count, 0);
		assert_int_equal(c.side[0].connected, 0); /* accepted streams have no on_connect */
		peer_close(&p);
		scene_end(&c);
	}
}

static void test_too_old(void **state)
{
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c, TLS1_1_VERSION);
	SSL_CTX_set_min_proto_version(c.ctx, TLS1_VERSION);
	SSL_CTX_set_security_level(c.ctx, 0);
	peer_open(&c, &p);
	assert_false(peer_shake(&c, &p));
	turn_until(c.loop, &c.side[0].ended);
	assert_int_equal(c.side[0].end_status, -PH_E_TLS);
	peer_close(&p);
	scene_end(&c);
}

static void expect_alpn(const char *offer, const char *chosen)
{
	const unsigned char *name = NULL;
	struct scene c;
	struct peer p;
	unsigned n = 0;

	scene_open(&c, 0);
	SSL_CTX_set_alpn_protos(c.ctx, (const unsigned char *)offer, (unsigned)strlen(offer));
	peer_open(&c, &p);
	if (chosen) {
		assert_true(peer_shake(&c, &p));
		SSL_get0_alpn_selected(p.ssl, &name, &n);
		ph_assert_str(ph_str((const char *)name, n), ph_str_c(chosen));
		peer_echo(&c, &p);
	} else {
		assert_false(peer_shake(&c, &p));
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
		turn_until(c.loop, &c.side[0].ended);
		assert_int_equal(c.side[0].end_status, -PH_E_TLS);
	}
	peer_close(&p);
	scene_end(&c);
}

static void test_alpn(void **state)
{
	(void)state;
	expect_alpn("", "");
	expect_alpn("\x08http/1.1", "http/1.1");
	expect_alpn("\x02h2\x08http/1.1", "http/1.1");
	expect_alpn("\x08http/1.0", "http/1.0");
	expect_alpn("\x02h2", NULL);
}

static void test_plain_http(void **state)
{
	char answer[256];
	struct scene c;
	size_t n;
	int fd;

	(void)state;
	scene_open(&c, 0);
	fd = raw_connect(&c.addr);
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	turn_until(c.loop, &c.accepted);
	turn_until(c.loop, &c.side[0].ended);
	assert_int_equal(c.side[0].end_status, -PH_E_TLS);
	side_close(&c.side[0], false);
	n = raw_rest(&c, fd, answer, sizeof(answer));
	ph_assert_str(ph_str(answer, n), PH_STR(PLAIN_ANSWER));
	close(fd);
	scene_end(&c);
}

/* Peers that never get as far as a handshake. */
static void test_bad_peers(void **state)
{
	static const struct {
		const char *bytes;
		bool reset;
	} cases[] = {
		{"", false},
		{"", true},
		{"rubbish that is no record of TLS at all, whoever reads it", false},
		{"\x16\x03\x01", false},
		{"\x16\x03\x01", true},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		const struct linger none = {.l_onoff = 1, .l_linger = 0};
		struct scene c;
		int fd;

		scene_open(&c, 0);
		fd = raw_connect(&c.addr);
		say(fd, cases[i].bytes);
		turn_until(c.loop, &c.accepted);
		if (cases[i].reset)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(fd);
		turn_until(c.loop, &c.side[0].ended);
		assert_int_equal(c.side[0].end_status, -PH_E_TLS);
		assert_int_equal(c.side[0].pieces, 0);
		assert_int_equal(c.loop->handshake_count, 0);
		scene_end(&c);
	}
}

/* A bound on what half-open connections can hold: the oldest goes, the newest is served. */
static void test_many_handshakes(void **state)
{
	enum {
		MAX = 4
	};
	struct scene c;
	struct peer p;
	int fd[MAX + 2];

	(void)state;
	scene_open(&c, 0);
	c.loop->handshakes_max = MAX;
	for (int i = 0; i < MAX + 2; i++) {
		fd[i] = raw_connect(&c.addr);
		while (c.accepted <= i)
			ph_loop_turn(c.loop);
	}
	assert_int_equal(c.loop->handshake_count, MAX);
	for (int i = 0; i < MAX + 2; i++)
		assert_int_equal(c.side[i].ended, i < 2);
	assert_int_equal(c.side[0].end_status, -PH_E_TLS);
	peer_open(&c, &p);
	assert_true(peer_shake(&c, &p));
	peer_echo(&c, &p);
	assert_int_equal(c.side[2].ended, 1);
	assert_int_equal(c.loop->handshake_count, MAX - 1);
	peer_close(&p);
	for (int i = 0; i < MAX + 2; i++)
		close(fd[i]);
	scene_end(&c);
}

/* The first flight comes byte by byte. */
static void test_slow_handshake(void **state)
{
	char flight[4096];
	struct scene c;
	struct peer p;
	BIO *out;
	int n;

	(void)state;
	scene_open(&c, 0);
	peer_open(&c, &p);
	out = BIO_new(BIO_s_mem());
	SSL_set0_wbio(p.ssl, out);
	assert_int_equal(SSL_do_handshake(p.ssl), -1);
	n = BIO_read(out, flight, sizeof(flight));
	assert_true(n > 100);
	for (int i = 0; i < n; i++) {
		assert_int_equal(send(p.fd, &flight[i], 1, 0), 1);
		turn_for(c.loop, 0);
	}
	SSL_set0_wbio(p.ssl, BIO_new_socket(p.fd, BIO_NOCLOSE));
	assert_true(peer_shake(&c, &p));
	peer_echo(&c, &p);
	peer_close(&p);
	scene_end(&c);
}

static void test_close_during_handshake(void **state)
{
	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		struct scene c;
		struct peer p;

		scene_open(&c, 0);
		peer_open(&c, &p);
		for (int i = 0; i < turns; i++) {
			SSL_do_handshake(p.ssl);
			turn_for(c.loop, 0);
		}
		turn_until(c.loop, &c.accepted);
		side_close(&c.side[0], turns % 2);
		assert_int_equal(c.loop->handshake_count, 0);
		peer_close(&p);
		scene_end(&c);
	}
}

/* A second handshake on a connection is refused; TLS 1.3 has none. */
static void test_renegotiation(void **state)
{
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c, TLS1_2_VERSION);
	peer_open(&c, &p);
	assert_true(peer_shake(&c, &p));
	peer_echo(&c, &p);
	assert_int_equal(SSL_renegotiate(p.ssl), 1);
	assert_false(peer_shake(&c, &p));
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	peer_close(&p);
	scene_end(&c);
}

/* A peer that asks for new keys for ever and never reads: what we owe it stays small. */
static void test_key_updates(void **state)
{
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c, TLS1_3_VERSION);
	peer_open(&c, &p);
	assert_true(peer_shake(&c, &p));
	peer_echo(&c, &p);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(SSL_key_update(p.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_true(peer_shake(&c, &p));
		if (i % 10 == 0)
			ph_loop_turn(c.loop);
		assert_true(ph_stream_queued(c.side[0].s) < 65536);
	}
	assert_int_equal(c.side[0].ended, 0);
	peer_echo(&c, &p);
	peer_close(&p);
	scene_end(&c);
}

/* ---- bytes and ends ---- */
/* Both ends are ours: the far one echoes and is held back by the one that reads slowly. */
static void test_round_trip(void **state)
{
	struct ph_err err = {0};
	struct side client = {0};
	struct ph_tls *tls;
	struct scene c;

	(void)state;
	scene_open(&c, 0);
	tls = ph_tls_client_new(files.ca, &err);
	side_connect(&client, c.loop, &c.addr, tls, "localhost");
	turn_until(c.loop, &client.connected);
	assert_int_equal(client.connect_status, 0);
	side_round_trip(&client, 20 << 20);
	assert_true(c.side[0].most_queued < PH_STREAM_HIGH + PH_PLAIN_SIZE);
	side_close(&client, false);
	turn_until(c.loop, &c.side[0].ended);
	assert_int_equal(c.side[0].end_status, 0);
	assert_false(ph_stream_truncated(c.side[0].s));
	ph_tls_free(tls);
	scene_end(&c);
}

enum leave {
	BY_NOTIFY,
	BY_FIN,
	BY_RESET,
	BY_GARBAGE,
};

static void leave(struct peer *p, enum leave how)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	if (how == BY_NOTIFY)
		SSL_shutdown(p->ssl);
	else if (how == BY_GARBAGE)
		garble(p->fd);
	else if (how == BY_RESET)
		setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	if (how == BY_FIN)
		shutdown(p->fd, SHUT_WR);
	if (how == BY_RESET)
		close(p->fd);
}

static void test_ends(void **state)
{
	static const struct {
		enum leave how;
		int status;
		bool truncated;
	} cases[] = {
		{BY_NOTIFY, 0, false},
		{BY_FIN, 0, true},
		{BY_RESET, -PH_E_SOCKET, true},
		{BY_GARBAGE, -PH_E_TLS, true},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		struct scene c;
		struct peer p;
		char byte;

		scene_open(&c, 0);
		peer_open(&c, &p);
		assert_true(peer_shake(&c, &p));
		peer_echo(&c, &p);
		leave(&p, cases[i].how);
		turn_until(c.loop, &c.side[0].ended);
		assert_int_equal(c.side[0].end_status, cases[i].status);
		assert_int_equal(ph_stream_truncated(c.side[0].s), cases[i].truncated);
		side_close(&c.side[0], false);
		if (cases[i].how == BY_NOTIFY || cases[i].how == BY_FIN) {
			assert_true(peer_read(&c, &p, &byte, 1) <= 0);
			assert_true(SSL_get_shutdown(p.ssl) & SSL_RECEIVED_SHUTDOWN);
		} else if (cases[i].how == BY_GARBAGE) {
			assert_true(peer_read(&c, &p, &byte, 1) <= 0);
			assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
		}
		SSL_free(p.ssl);
		if (cases[i].how != BY_RESET)
			close(p.fd);
		scene_end(&c);
	}
}

/* ---- sessions ---- */
/* One visit, with the session of an earlier one or none. Returns whether it was resumed; *session is then the
 * newest. */
static bool visit(struct scene *c, SSL_SESSION **session)
{
	struct peer p;
	bool resumed;

	peer_open(c, &p);
	if (*session)
		SSL_set_session(p.ssl, *session);
	assert_true(peer_shake(c, &p));
	peer_echo(c, &p);
	resumed = SSL_session_reused(p.ssl);
	assert_int_equal(ph_stream_tls_resumed(c->side[c->accepted - 1].s), resumed);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(p.ssl);
	SSL_shutdown(p.ssl);
	peer_close(&p);
	return resumed;
}

/* The keys have to change: days pass. */
static void pass_time(struct scene *c)
{
	ph_tls_tickets_renew(c->tickets, ph_clock_boot_ms() + ++c->days * 86400000);
}

static void each_version(void (*test)(struct scene *c, SSL_SESSION **session))
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	for (size_t i = 0; i < PH_COUNT(versions); i++) {
		SSL_SESSION *session = NULL;
		struct scene c;

		scene_open(&c, versions[i]);
		assert_false(visit(&c, &session));
		test(&c, &session);
		SSL_SESSION_free(session);
		scene_end(&c);
	}
}

static void resumed_again_and_after_a_reload(struct scene *c, SSL_SESSION **session)
{
	assert_true(visit(c, session));
	assert_true(visit(c, session));
	scene_use(c, other_cert);
	assert_true(visit(c, session)); /* by its ticket: the new certificate is not even shown */
}

static void resumed_over_one_change(struct scene *c, SSL_SESSION **session)
{
	ph_tls_tickets_renew(c->tickets, ph_clock_boot_ms()); /* not due: nothing changes */
	ph_tls_tickets_renew(c->tickets, ph_clock_boot_ms());
	assert_true(visit(c, session));
	for (int i = 0; i < 5; i++) { /* each visit brings a ticket of the newest key */
		pass_time(c);
		assert_true(visit(c, session));
	}
}

static void refused_after_two_changes(struct scene *c, SSL_SESSION **session)
{
	pass_time(c);
	pass_time(c);
	assert_false(visit(c, session)); /* a whole handshake instead, and no fault */
	assert_true(visit(c, session));
}

/* Keys that another process makes are in force here: the memory is shared. */
static void refused_after_two_changes_elsewhere(struct scene *c, SSL_SESSION **session)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		pass_time(c);
		pass_time(c);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_false(visit(c, session));
	assert_true(visit(c, session));
}

static void test_resumption(void **state)
{
	(void)state;
	each_version(resumed_again_and_after_a_reload);
	each_version(resumed_over_one_change);
	each_version(refused_after_two_changes);
	each_version(refused_after_two_changes_elsewhere);
}

/* A ticket that was tampered with, or comes from a server with other keys, is no ticket. */
static void test_foreign_ticket(void **state)
{
	SSL_SESSION *session = NULL;
	struct scene c;

	(void)state;
	for (int i = 0; i < 2; i++) {
		scene_open(&c, 0);
		assert_false(visit(&c, &session));
		scene_end(&c);
	}
	SSL_SESSION_free(session);
}

/* ---- certificates ---- */
static void expect_name(struct peer *p, const char *name)
{
	X509 *cert = SSL_get1_peer_certificate(p->ssl);
	char found[64];

	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, found, sizeof(found));
	assert_string_equal(found, name);
	X509_free(cert);
}

static void test_reload(void **state)
{
	struct peer before, during, after;
	struct scene c;

	(void)state;
	scene_open(&c, 0);
	peer_open(&c, &before);
	assert_true(peer_shake(&c, &before));
	peer_open(&c, &during);
	while (c.accepted < 2)
		ph_loop_turn(c.loop);
	scene_use(&c, other_cert);
	peer_open(&c, &after);
	assert_true(peer_shake(&c, &after));
	assert_true(peer_shake(&c, &during));
	expect_name(&before, "good");
	expect_name(&during, "good");
	expect_name(&after, "localhost");
	peer_echo(&c, &before);
	peer_echo(&c, &during);
	peer_echo(&c, &after);
	peer_close(&before);
	peer_close(&during);
	peer_close(&after);
	scene_end(&c);
}

/* A listener can be told to go back to cleartext. */
static void test_no_tls(void **state)
{
	char word[8] = "";
	struct scene c;
	int fd;

	(void)state;
	scene_open(&c, 0);
	ph_listener_tls(c.listener, NULL);
	fd = raw_connect(&c.addr);
	say(fd, "word");
	turn_until(c.loop, &c.accepted);
	turn_until(c.loop, &c.side[0].pieces);
	turn_for(c.loop, 5);
	assert_int_equal(recv(fd, word, sizeof(word), MSG_DONTWAIT), 4);
	assert_string_equal(word, "word");
	close(fd);
	scene_end(&c);
}

static void test_bad_files(void **state)
{
	struct ph_tls_tickets *tickets = ph_tls_tickets_new();
	const struct {
		const char *cert, *key, *file, *why;
	} cases[] = {
		{"/nowhere/x", good_key, "/nowhere/x", "No such file"},
		{good_cert, "/nowhere/x", "/nowhere/x", "No such file"},
		{rubbish, good_key, rubbish, "chain in PEM"},
		{good_key, good_key, good_key, "chain in PEM"},
		{good_cert, rubbish, rubbish, "must be in PEM"},
		{good_cert, sealed_key, sealed_key, "passphrase"},
		{good_cert, other_key, other_key, "does not belong"},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(cases); i++) {
		const struct ph_tls_server_options options = {cases[i].cert, cases[i].key, tickets, NULL};
		struct ph_err err = {0};

		assert_null(ph_tls_server_new(&options, &err));
		assert_int_equal(err.code, PH_E_TLS);
		if (!strstr(err.detail, cases[i].why) || !strstr(err.detail, cases[i].file))
			fail_msg("\"%s\" does not say \"%s\"", err.detail, cases[i].why);
	}
	ph_tls_tickets_free(tickets);
}

static void test_valid_until(void **state)
{
	struct ph_tls_tickets *tickets = ph_tls_tickets_new();
	struct ph_tls *tls = server_tls(good_cert, good_key, tickets);
	int64_t left_s = ph_tls_server_valid_until(tls) - (int64_t)(ph_clock_unix_ms() / 1000);

	(void)state;
	assert_true(left_s > 3000 && left_s <= 3600);
	ph_tls_free(tls);
	ph_tls_tickets_free(tickets);
}

/* ---- memory ---- */
static void test_idle_memory(void **state)
{
	enum {
		COUNT = 14
	};
	struct mallinfo2 before, after;
	struct peer p[COUNT + 1];
	struct scene c;

	(void)state;
	scene_open(&c, 0);
	for (int i = 0; i < COUNT + 1; i++) {
		peer_open(&c, &p[i]);
		assert_true(peer_shake(&c, &p[i]));
		peer_echo(&c, &p[i]);
	}
	before = mallinfo2();
	for (int i = 1; i < COUNT + 1; i++)
		side_close(&c.side[i], true);
	turn_for(c.loop, 5);
	after = mallinfo2();
	print_message("an idle stream with TLS: %zu bytes\n", (before.uordblks - after.uordblks) / COUNT);
#if !defined(__SANITIZE_ADDRESS__)
	assert_true(before.uordblks - after.uordblks > COUNT * 1024);
	assert_true(before.uordblks - after.uordblks < COUNT * 30 * 1024);
#endif
	for (int i = 0; i < COUNT + 1; i++)
		peer_close(&p[i]);
	scene_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_too_old),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_plain_http),
		cmocka_unit_test(test_bad_peers),
		cmocka_unit_test(test_many_handshakes),
		cmocka_unit_test(test_slow_handshake),
		cmocka_unit_test(test_close_during_handshake),
		cmocka_unit_test(test_renegotiation),
		cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_resumption),
		cmocka_unit_test(test_foreign_ticket),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_no_tls),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_valid_until),
		cmocka_unit_test(test_idle_memory),
	};

	return cmocka_run_group_tests(tests, make_files, free_files);
}
