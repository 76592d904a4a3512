/* SPDX-License-Identifier: Apache-2.0 */
/* TLS towards a server made with OpenSSL: what is verified, what is reused, and how connections end. */
#include <openssl/err.h>

#include "side.h"
#include "tls_server.h"

static struct tls_files files;

static int make_files(void **state)
{
	(void)state;
	tls_files_make(&files);
	return 0;
}

static int free_files(void **state)
{
	(void)state;
	tls_files_free(&files);
	return 0;
}

struct scene {
	struct tls_server server;
	struct ph_loop *loop;
	struct ph_tls *tls;
	struct side client;
};

static void scene_open(struct scene *c, X509 *cert, enum tls_script script, int version)
{
	struct ph_err err = {0};

	memset(c, 0, sizeof(*c));
	tls_server_start(&c->server, &files, cert, script, version);
	c->loop = ph_loop_new();
	c->tls = ph_tls_client_new(files.ca, &err);
	assert_non_null(c->tls);
}

static void scene_connect(struct scene *c, const char *host)
{
	memset(&c->client, 0, sizeof(c->client));
	side_connect(&c->client, c->loop, &c->server.addr, c->tls, host);
	turn_until(c->loop, &c->client.connected);
}

static void scene_end(struct scene *c)
{
	if (c->client.s)
		side_close(&c->client, false);
	assert_int_equal(ph_loop_free(c->loop), 0);
	assert_null(ph_tls_free(c->tls));
	tls_server_stop(&c->server);
}

/* Connects to host with that certificate and expects to be told why not. */
static void expect_refusal(X509 *cert, const char *ca, const char *host, const char *why)
{
	struct ph_err err = {0};
	struct scene c;

	scene_open(&c, cert, TLS_ECHO, 0);
	c.tls = ph_tls_free(c.tls);
	c.tls = ph_tls_client_new(ca, &err);
	assert_non_null(c.tls);
	scene_connect(&c, host);
	assert_int_equal(c.client.connect_status, -PH_E_TLS);
	assert_int_equal(c.client.err.code, PH_E_TLS);
	if (!strstr(c.client.err.detail, why))
		fail_msg("\"%s\" does not say \"%s\"", c.client.err.detail, why);
	assert_false(ph_stream_alive(c.client.s));
	scene_end(&c);
}

/* ---- verification ---- */
static void test_good(void **state)
{
	static const char *const hosts[] = {"localhost", "second.example", "127.0.0.1"};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(hosts); i++) {
		struct scene c;

		scene_open(&c, files.good, TLS_ECHO, 0);
		scene_connect(&c, hosts[i]);
		assert_int_equal(c.client.connect_status, 0);
		assert_false(ph_stream_tls_resumed(c.client.s));
		ph_stream_read(c.client.s, true);
		turn_for(c.loop, 5); /* tickets come and are taken */
		assert_true(ph_stream_alive(c.client.s));
		side_push(&c.client, "round ");
		side_push(&c.client, "trip");
		while (c.client.bytes < 10)
			turn_for(c.loop, 1);
		assert_string_equal(c.client.first, "round trip");
		assert_int_equal(ph_stream_queued(c.client.s), 0);
		assert_string_equal(c.server.sni, i == 2 ? "" : hosts[i]); /* addresses do not stand in SNI */
		assert_string_equal(c.server.alpn, "http/1.1");
		scene_end(&c);
		assert_int_equal(c.server.notified, 1); /* a plain close says goodbye */
	}
}

static void test_wrong_host(void **state)
{
	(void)state;
	expect_refusal(files.wrong, files.ca, "localhost",
		"ostname mismatch"); /* its CN says localhost: not asked */
	expect_refusal(files.wrong, files.ca, "127.0.0.1", "IP address mismatch");
	expect_refusal(files.good, files.ca, "third.example", "ostname mismatch");
}

static void test_untrusted(void **state)
{
	(void)state;
	expect_refusal(files.good, files.other_ca, "localhost", "certificate");
	expect_refusal(
		files.good, NULL, "localhost", "certificate"); /* the system does not know our authority */
}

static void test_expired(void **state)
{
	(void)state;
	expect_refusal(files.expired, files.ca, "localhost", "certificate has expired");
}

static void test_not_tls(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_PLAIN, 0);
	scene_connect(&c, "localhost");
	assert_int_equal(c.client.connect_status, -PH_E_TLS);
	assert_non_null(strstr(c.client.err.detail, "wrong version number"));
	scene_end(&c);
	scene_open(&c, files.good, TLS_SILENT_FIN, 0);
	scene_connect(&c, "localhost");
	assert_int_equal(c.client.connect_status, -PH_E_TLS);
	assert_non_null(strstr(c.client.err.detail, "during the TLS handshake"));
	scene_end(&c);
}

static void test_too_old(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_ECHO, TLS1_1_VERSION);
	SSL_CTX_set_min_proto_version(c.server.ctx, TLS1_VERSION);
	SSL_CTX_set_security_level(c.server.ctx, 0);
	scene_connect(&c, "localhost");
	assert_int_equal(c.client.connect_status, -PH_E_TLS);
	scene_end(&c);
}

static void test_bad_ca_file(void **state)
{
	struct ph_err err = {0};

	(void)state;
	assert_null(ph_tls_client_new("/nowhere/ca.pem", &err));
	assert_int_equal(err.code, PH_E_TLS);
	assert_non_null(strstr(err.detail, "/nowhere/ca.pem"));
	assert_null(ph_tls_free(NULL));
}

static void test_bad_host(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_ECHO, 0);
	scene_connect(&c, "");
	assert_int_equal(c.client.connect_status, -PH_E_TLS);
	scene_end(&c);
}

/* ---- bytes ---- */
static void test_round_trip(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(versions); i++) {
		struct scene c;

		scene_open(&c, files.good, TLS_ECHO, versions[i]);
		scene_connect(&c, "localhost");
		side_round_trip(&c.client, 20 << 20);
		assert_true(c.client.most_queued < PH_STREAM_HIGH + 5000);
		scene_end(&c);
	}
}

static void on_release(void *arg)
{
	++*(int *)arg;
}

static void test_borrowed(void **state)
{
	const size_t size = 4 << 20;
	char *bytes = malloc(size);
	struct scene c;
	int count = 0;

	(void)state;
	for (size_t i = 0; i < size; i++)
		bytes[i] = pattern_byte(i);
	scene_open(&c, files.good, TLS_ECHO, 0);
	scene_connect(&c, "localhost");
	c.client.pattern = true;
	ph_stream_read(c.client.s, true);
	assert_true(ph_stream_push_ref(c.client.s, ph_str(bytes, size), on_release, &count) <= 0);
	assert_int_equal(count, 0);
	while (c.client.bytes < size)
		turn_for(c.loop, 1);
	assert_int_equal(count, 1);
	assert_int_equal(c.client.drained, 1);
	scene_end(&c);
	free(bytes);
}

/* Lets the peer finish what it has to say before each turn, so that one read brings all of it. */
static void connect_slowly(struct scene *c)
{
	memset(&c->client, 0, sizeof(c->client));
	side_connect(&c->client, c->loop, &c->server.addr, c->tls, "localhost");
	while (!c->client.connected) {
		ph_loop_turn(c->loop);
		usleep(20000);
	}
	assert_int_equal(c->client.connect_status, 0);
}

/* The server speaks first and nobody reads: the bytes wait, and so does what comes behind them. With TLS 1.2
 * they come in one read with the end of the handshake. */
static void test_held(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(versions); i++) {
		struct scene c;

		scene_open(&c, files.good, TLS_SPEAK, versions[i]);
		connect_slowly(&c);
		turn_for(c.loop, 30);
		assert_int_equal(c.client.pieces, 0);
		assert_false(ph_stream_alive(c.client.s)); /* something unread */
		side_push(&c.client, " again");
		turn_for(c.loop, 30);
		assert_int_equal(c.client.pieces, 0);
		c.client.calling = true;
		ph_stream_read(c.client.s, true);
		c.client.calling = false;
		while (c.client.bytes < 11)
			turn_for(c.loop, 1);
		assert_string_equal(c.client.first, "hello again");
		turn_for(c.loop, 5);
		assert_true(ph_stream_alive(c.client.s));
		scene_end(&c);
	}
}

/* ---- ends ---- */
static void test_truncated(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_TRUNCATE, 0);
	scene_connect(&c, "localhost");
	ph_stream_read(c.client.s, true);
	turn_until(c.loop, &c.client.ended);
	assert_int_equal(c.client.end_status, 0);
	assert_string_equal(c.client.first, "partial");
	assert_true(ph_stream_truncated(c.client.s));
	scene_end(&c);
}

static void test_close_notify(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_NOTIFY, 0);
	scene_connect(&c, "localhost");
	ph_stream_read(c.client.s, true);
	turn_until(c.loop, &c.client.ended);
	assert_int_equal(c.client.end_status, 0);
	assert_string_equal(c.client.first, "whole");
	assert_false(ph_stream_truncated(c.client.s));
	assert_false(ph_stream_alive(c.client.s));
	scene_end(&c);
}

/* Everything has arrived, the end with it, before anybody reads. */
static void test_end_is_held_too(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(versions); i++) {
		struct scene c;

		scene_open(&c, files.good, TLS_NOTIFY, versions[i]);
		connect_slowly(&c);
		turn_for(c.loop, 30);
		assert_int_equal(c.client.ended + c.client.pieces, 0);
		ph_stream_read(c.client.s, true);
		turn_until(c.loop, &c.client.ended);
		assert_int_equal(c.client.end_status, 0);
		assert_string_equal(c.client.first, "whole");
		assert_false(ph_stream_truncated(c.client.s));
		scene_end(&c);
	}
}

/* One read brings the bytes and the end, and the owner pauses at the bytes: the end waits for him. */
static void test_end_behind_a_pause(void **state)
{
	static const enum tls_script scripts[] = {TLS_NOTIFY, TLS_GARBLE};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(scripts); i++) {
		struct scene c;

		scene_open(&c, files.good, scripts[i], TLS1_2_VERSION);
		scene_connect(&c, "localhost");
		usleep(50000);
		c.client.pause = true;
		ph_stream_read(c.client.s, true);
		turn_until(c.loop, &c.client.pieces);
		turn_for(c.loop, 20);
		assert_int_equal(c.client.ended, 0);
		assert_false(ph_stream_alive(c.client.s));
		ph_stream_read(c.client.s, true);
		turn_until(c.loop, &c.client.ended);
		assert_int_equal(c.client.end_status, scripts[i] == TLS_NOTIFY ? 0 : -PH_E_TLS);
		scene_end(&c);
	}
}

static void test_half_close(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_LAST_WORD, 0);
	scene_connect(&c, "localhost");
	ph_stream_read(c.client.s, true);
	side_push(&c.client, "before ");
	ph_stream_shutdown(c.client.s);
	turn_until(c.loop, &c.client.ended);
	assert_int_equal(c.client.end_status, 0);
	assert_string_equal(c.client.first, "before after");
	assert_false(ph_stream_truncated(c.client.s));
	scene_end(&c);
	assert_int_equal(c.server.notified, 1);
}

static void test_garbled(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_GARBLE, 0);
	scene_connect(&c, "localhost");
	ph_stream_read(c.client.s, true);
	turn_until(c.loop, &c.client.ended);
	assert_int_equal(c.client.end_status, -PH_E_TLS);
	assert_string_equal(c.client.first, "hello");
	scene_end(&c);
}

static void test_close_in_every_callback(void **state)
{
	static const struct {
		enum side_place place;
		enum tls_script script;
	} cases[] = {
		{IN_CONNECT, TLS_ECHO},
		{IN_CONNECT, TLS_SPEAK},
		{IN_CONNECT, TLS_PLAIN},
		{IN_DATA, TLS_SPEAK},
		{IN_DATA, TLS_NOTIFY},
		{IN_END, TLS_NOTIFY},
		{IN_END, TLS_GARBLE},
		{IN_DRAIN, TLS_ECHO},
	};

	(void)state;
	for (size_t i = 0; i < 2 * PH_COUNT(cases); i++) {
		char *bytes = calloc(1, 1 << 20);
		struct scene c;
		int count = 0;

		scene_open(&c, files.good, cases[i / 2].script, 0);
		c.client.close_in = cases[i / 2].place;
		c.client.close_abort = i % 2;
		side_connect(&c.client, c.loop, &c.server.addr, c.tls, "localhost");
		ph_stream_read(c.client.s, true);
		if (cases[i / 2].place == IN_DRAIN || cases[i / 2].place == IN_CONNECT)
			ph_stream_push_ref(c.client.s, ph_str(bytes, 1 << 20), on_release, &count);
		else
			count = 1;
		turn_until(c.loop, &c.client.closed);
		assert_int_equal(count, 1);
		scene_end(&c);
		free(bytes);
	}
}

static void test_close_during_handshake(void **state)
{
	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		struct scene c;

		scene_open(&c, files.good, TLS_ECHO, 0);
		side_connect(&c.client, c.loop, &c.server.addr, c.tls, "localhost");
		for (int i = 0; i < turns; i++)
			turn_for(c.loop, 0);
		side_close(&c.client, turns % 2);
		scene_end(&c);
	}
}

/* OpenSSL's error queue belongs to the thread: what another connection left there must not become our fault.
 */
static void test_innocent(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_ECHO, 0);
	side_connect(&c.client, c.loop, &c.server.addr, c.tls, "localhost");
	ph_stream_read(c.client.s, true);
	for (int i = 0; i < 50; i++) {
		side_push(&c.client, "x");
		ERR_raise(ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER);
		turn_for(c.loop, 1);
	}
	while (c.client.bytes < 50) {
		ERR_raise(ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER);
		turn_for(c.loop, 0);
	}
	assert_int_equal(c.client.connect_status, 0);
	assert_int_equal(c.client.ended, 0);
	assert_true(ph_stream_alive(c.client.s));
	scene_end(&c);
	ERR_clear_error();
}

/* And the other way round: a fault of one beside another that goes on. */
static void test_guilty_beside_innocent(void **state)
{
	struct side guilty = {0};
	struct tls_server plain;
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_ECHO, 0);
	tls_server_start(&plain, &files, files.good, TLS_PLAIN, 0);
	scene_connect(&c, "localhost");
	ph_stream_read(c.client.s, true);
	side_connect(&guilty, c.loop, &plain.addr, c.tls, "localhost");
	for (int i = 0; i < 50; i++) {
		side_push(&c.client, "x");
		turn_for(c.loop, 1);
	}
	turn_until(c.loop, &guilty.connected);
	assert_int_equal(guilty.connect_status, -PH_E_TLS);
	while (c.client.bytes < 50)
		turn_for(c.loop, 1);
	assert_int_equal(c.client.ended, 0);
	side_close(&guilty, false);
	tls_server_stop(&plain);
	scene_end(&c);
}

/* ---- sessions ---- */
/* One exchange; returns whether the session was reused. Tickets of TLS 1.3 come with the answer at the
 * latest. */
static bool visit(struct scene *c, const char *host, bool abort)
{
	bool resumed;

	scene_connect(c, host);
	assert_int_equal(c->client.connect_status, 0);
	resumed = ph_stream_tls_resumed(c->client.s);
	ph_stream_read(c->client.s, true);
	side_push(&c->client, "x");
	turn_until(c->loop, &c->client.pieces);
	side_close(&c->client, abort);
	return resumed;
}

static void test_sessions(void **state)
{
	static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(versions); i++) {
		struct scene c;

		scene_open(&c, files.good, TLS_ECHO, versions[i]);
		assert_false(visit(&c, "localhost", false));
		assert_true(visit(&c, "localhost", false));
		assert_true(visit(&c, "localhost", true)); /* a reset is no reason to forget */
		assert_true(visit(&c, "localhost", true));
		assert_false(visit(&c, "127.0.0.1", false)); /* another name, another session */
		assert_true(visit(&c, "127.0.0.1", false));
		for (int k = 0; k < 20; k++) /* each brings new tickets: there is a bound */
			assert_true(visit(&c, "localhost", k % 2));
		scene_end(&c);
	}
}

/* A ticket is for one use: of three connections at once after one visit, with two tickets, two are resumed.
 */
static void test_tickets_are_used_once(void **state)
{
	struct side s[3] = {0};
	struct scene c;
	int resumed = 0;

	(void)state;
	scene_open(&c, files.good, TLS_ECHO, TLS1_3_VERSION);
	SSL_CTX_set_num_tickets(c.server.ctx, 2);
	assert_false(visit(&c, "localhost", false));
	for (int i = 0; i < 3; i++)
		side_connect(&s[i], c.loop, &c.server.addr, c.tls, "localhost");
	for (int i = 0; i < 3; i++) {
		/* the server takes one connection after the other */
		turn_until(c.loop, &s[i].connected);
		assert_int_equal(s[i].connect_status, 0);
		resumed += ph_stream_tls_resumed(s[i].s);
		side_close(&s[i], false);
	}
	assert_int_equal(resumed, 2);
	scene_end(&c);
}

/* The context goes first; the stream keeps what it needs. */
static void test_free_before_stream(void **state)
{
	struct scene c;

	(void)state;
	scene_open(&c, files.good, TLS_ECHO, 0);
	side_connect(&c.client, c.loop, &c.server.addr, c.tls, "localhost");
	c.tls = ph_tls_free(c.tls);
	turn_until(c.loop, &c.client.connected);
	assert_int_equal(c.client.connect_status, 0);
	ph_stream_read(c.client.s, true);
	side_push(&c.client, "x");
	turn_until(c.loop, &c.client.pieces);
	scene_end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_wrong_host),
		cmocka_unit_test(test_untrusted),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_not_tls),
		cmocka_unit_test(test_too_old),
		cmocka_unit_test(test_bad_ca_file),
		cmocka_unit_test(test_bad_host),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_borrowed),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_close_notify),
		cmocka_unit_test(test_end_is_held_too),
		cmocka_unit_test(test_end_behind_a_pause),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_garbled),
		cmocka_unit_test(test_close_in_every_callback),
		cmocka_unit_test(test_close_during_handshake),
		cmocka_unit_test(test_innocent),
		cmocka_unit_test(test_guilty_beside_innocent),
		cmocka_unit_test(test_sessions),
		cmocka_unit_test(test_tickets_are_used_once),
		cmocka_unit_test(test_free_before_stream),
	};

	return cmocka_run_group_tests(tests, make_files, free_files);
}
