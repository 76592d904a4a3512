/* SPDX-License-Identifier: Apache-2.0 */
/* WebSockets of clients: the handshake, messages, faults of framing, TLS. */
#include "socket_test.h"

#include "../loop/tls_server.h"

/* ---- beginnings ---- */

static void test_handshake(void **state)
{
	int64_t requests = ph_metric_get(PH_M_REQUESTS, 0, 0);
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	s = peer_open(&p, &c);
	assert_true(ph_str_starts(ph_buf_str(&p.head), PH_STR("HTTP/1.1 101 Switching Protocols\r\n")));
	assert_true(ph_str_find(ph_buf_str(&p.head), PH_STR("upgrade: websocket\r\n")) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head), PH_STR("connection: Upgrade\r\n")) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head),
			    PH_STR("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head), ph_str_c(s->x->request_id)) > 0);
	assert_true(ph_str_find(ph_buf_str(&p.head), PH_STR("\r\ndate: ")) > 0);
	assert_int_equal(ph_str_find_nocase(ph_buf_str(&p.head), PH_STR("extensions")), -1);
	assert_int_equal(c.keeper.busy, 0);
	assert_int_equal(c.keeper.sockets, 1);
	assert_int_equal(ph_metric_get(PH_M_REQUESTS, 0, 0), requests + 1);
	assert_int_equal(ph_metric_get(PH_M_CONNECTIONS, 0, 0), 1);
	peer_free(&p);
	UNTIL(&c, c.keeper.client_count == 0);
	assert_int_equal(s->gone, 1);
	assert_int_equal(ph_metric_get(PH_M_CONNECTIONS, 0, 0), 0);
	scene_close(&c);
}

/* A request to upgrade that is answered as any other leaves the connection as it was. */
static void test_refused(void **state)
{
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.refuse = true;
	peer_connect(&p, &c);
	p.plain = true;
	ph_stream_push(p.s, PH_STR(REQUEST REQUEST "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
	UNTIL(&c, ph_str_find(ph_buf_str(&p.head), PH_STR("HTTP/1.1 200")) > 0 &&
			  ph_str_ends(ph_buf_str(&p.head), PH_STR("plain")));
	assert_true(ph_str_starts(ph_buf_str(&p.head), PH_STR("HTTP/1.1 426")));
	peer_free(&p);
	scene_close(&c);
}

/* Upgraded later, with frames that the client did not wait to send. */
static void test_late(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.late = true;
	c.deed[ON_TEXT] = ECHO;
	s = peer_open(&p, &c);
	peer_text(&p, "early");
	turn_for(c.loop, 20);
	assert_int_equal(p.head.n, 0);
	upgrade_now(s);
	UNTIL(&c, p.texts == 1);
	assert_log(&p.log, "t:early ");
	peer_free(&p);
	scene_close(&c);
}

static void test_gone_before_upgrade(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.late = true;
	s = peer_open(&p, &c);
	peer_free(&p);
	UNTIL(&c, s->left == 1);
	scene_close(&c);
}

/* ---- messages ---- */

static void test_echo(void **state)
{
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	scene_open(&c);
	c.deed[ON_TEXT] = ECHO;
	s = peer_open(&p, &c);
	peer_text(&p, "");
	peer_text(&p, "one");
	peer_text(&p, "zw\xc3\xb6lf");
	peer_frame(&p, 0x01, PH_STR("fr\xc3"));
	peer_frame(&p, 0x89, PH_STR("between"));
	peer_frame(&p, 0x00, PH_STR(""));
	peer_frame(&p, 0x80, PH_STR("\xb6hlich"));
	UNTIL(&c, p.texts == 4);
	assert_log(&p.log, "t: t:one t:zw\xc3\xb6lf pong:between t:fr\xc3\xb6hlich ");
	assert_int_equal(s->texts, 4);
	peer_free(&p);
	scene_close(&c);
}

/* Sizes around those at which the frame's head changes, and up to the maximum. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = {
		125, 126, 127, 4095, 4096, 4097, 65535, 65536, 65537, MESSAGE_MAX - 1, MESSAGE_MAX};
	char *text = malloc(MESSAGE_MAX);
	struct scene c;
	struct peer p;
	int sent = 0;
	size_t bytes = 0;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	scene_open(&c);
	c.deed[ON_TEXT] = ECHO;
	peer_open(&p, &c);
	for (size_t i = 0; i < PH_COUNT(sizes); i++, sent++) {
		peer_say(&p, ph_ws_put_text, ph_str(text, sizes[i]));
		bytes += sizes[i];
	}
	UNTIL(&c, p.texts == sent);
	assert_int_equal(p.bytes, bytes);
	peer_free(&p);
	scene_close(&c);
	free(text);
}

static void test_too_large(void **state)
{
	char *text = malloc(2 * MESSAGE_MAX);
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', 2 * MESSAGE_MAX);
	scene_open(&c);
	s = peer_open(&p, &c);
	peer_text(&p, "one");
	peer_say(&p, ph_ws_put_text, ph_str(text, MESSAGE_MAX + 1));
	peer_text(&p, "two");
	UNTIL(&c, s->texts == 2);
	assert_log(&s->log, "t:one too-large t:two ");
	/* its word is held like a message */
	c.deed[ON_TEXT] = PAUSE;
	peer_text(&p, "three");
	peer_say(&p, ph_ws_put_text, ph_str(text, 2 * MESSAGE_MAX));
	peer_text(&p, "four");
	UNTIL(&c, s->texts == 3);
	turn_for(c.loop, 50);
	assert_log(&s->log, "t:one too-large t:two t:three ");
	session_read(s, true);
	UNTIL(&c, s->texts == 4);
	assert_log(&s->log, "t:one too-large t:two t:three too-large t:four ");
	peer_free(&p);
	scene_close(&c);
	free(text);
}

/* A whole conversation in two pieces, cut at every byte: both ends hear the same. */
static void one_cut(struct scene *c, struct ph_str all, size_t cut)
{
	struct session *s;
	struct peer p;

	peer_connect(&p, c);
	if (cut) {
		ph_stream_push(p.s, ph_str(all.p, cut));
		for (int i = 0; i < 5; i++)
			ph_loop_turn(c->loop);
	}
	ph_stream_push(p.s, ph_str_from(all, cut));
	UNTIL(c, p.closed);
	UNTIL(c, c->keeper.client_count == 0);
	s = &c->session[0];
	assert_log(&s->log, "t:one t:longer than one ");
	assert_log(&p.log, "t:one pong:p t:longer than one close:1000: end ");
	assert_int_equal(s->gone, 1);
	ph_buf_deinit(&s->log);
	memset(s, 0, sizeof(*s));
	c->sessions = 0;
	peer_free(&p);
}

static void test_every_cut(void **state)
{
	struct ph_buf all;
	struct scene c;

	(void)state;
	ph_buf_init(&all, 4096);
	ph_buf_puts(&all, PH_STR(REQUEST));
	ph_ws_put_text(&all, PH_WS_CLIENT, PH_STR("one"));
	put_frame(&all, 0x01, true, 7, PH_STR("longer "));
	put_frame(&all, 0x89, true, 1, PH_STR("p"));
	put_frame(&all, 0x80, true, 8, PH_STR("than one"));
	ph_ws_put_close(&all, PH_WS_CLIENT, 1000, PH_STR("bye"));
	scene_open(&c);
	c.deed[ON_TEXT] = ECHO;
	for (size_t cut = 0; cut < all.n; cut++)
		one_cut(&c, ph_buf_str(&all), cut);
	scene_close(&c);
	ph_buf_deinit(&all);
}

/* ---- faults ---- */

static void test_faults(void **state)
{
	static const struct {
		const char *what;
		int first;
		bool masked;
		uint64_t announced;
		struct ph_str payload;
		int code;
	} faults[] = {
		{"not masked", 0x81, false, 2, PH_STR_INIT("ab"), 1002},
		{"a reserved bit", 0xc1, true, 2, PH_STR_INIT("ab"), 1002},
		{"a reserved opcode", 0x83, true, 2, PH_STR_INIT("ab"), 1002},
		{"a reserved control opcode", 0x8b, true, 2, PH_STR_INIT("ab"), 1002},
		{"a fragment of nothing", 0x80, true, 2, PH_STR_INIT("ab"), 1002},
		{"a fragmented ping", 0x09, true, 2, PH_STR_INIT("ab"), 1002},
		{"a long ping", 0x89, true, 126, PH_STR_INIT("ab"), 1002},
		{"a close frame of one byte", 0x88, true, 1, PH_STR_INIT("a"), 1002},
		{"a close code that may not be sent", 0x88, true, 2, PH_STR_INIT("\x03\xed"), 1002},
		{"binary", 0x82, true, 2, PH_STR_INIT("ab"), 1003},
		{"no UTF-8", 0x81, true, 2, PH_STR_INIT("a\xff"), 1007},
		{"no UTF-8 as a reason", 0x88, true, 3, PH_STR_INIT("\x03\xe8\xff"), 1007},
		{"four times too large", 0x81, true, 4 * MESSAGE_MAX + 1, PH_STR_INIT("ab"), 1009},
	};

	(void)state;
	for (size_t i = 0; i < PH_COUNT(faults); i++) {
		struct session *s;
		struct ph_buf b;
		struct scene c;
		struct peer p;

		scene_open(&c);
		s = peer_open(&p, &c);
		ph_buf_init(&b, 1024);
		ph_ws_put_text(&b, PH_WS_CLIENT, PH_STR("good"));
		put_frame(&b, faults[i].first, faults[i].masked, faults[i].announced, faults[i].payload);
		ph_ws_put_text(&b, PH_WS_CLIENT, PH_STR("behind it"));
		ph_stream_push(p.s, ph_buf_str(&b));
		UNTIL(&c, p.closed);
		if (p.close_code != faults[i].code)
			fail_msg("%s: closed with %d", faults[i].what, p.close_code);
		assert_log(&s->log, "t:good ");
		assert_int_equal(s->gone, 1);
		UNTIL(&c, c.keeper.client_count == 0);
		ph_buf_deinit(&b);
		peer_free(&p);
		scene_close(&c);
	}
}

/* ---- TLS ---- */

static void write_key(const char *path, EVP_PKEY *key)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

static void use_tls(struct scene *c, const struct tls_files *files, struct ph_tls_tickets *tickets)
{
	struct ph_tls_server_options options = {.tickets = tickets};
	struct ph_err err = {0};
	char cert[128], key[128];
	struct ph_tls *tls;

	snprintf(cert, sizeof(cert), "%s/cert.pem", files->dir);
	snprintf(key, sizeof(key), "%s/key.pem", files->dir);
	write_cert(cert, files->good);
	write_key(key, files->key);
	options.cert_file = cert;
	options.key_file = key;
	tls = ph_tls_server_new(&options, &err);
	assert_non_null(tls);
	ph_listener_tls(c->listener, tls);
	ph_tls_free(tls);
	c->tls = ph_tls_client_new(files->ca, &err);
	assert_non_null(c->tls);
	unlink(cert);
	unlink(key);
}

static void test_tls(void **state)
{
	char *text = malloc(MESSAGE_MAX);
	struct ph_tls_tickets *tickets;
	struct tls_files files;
	struct session *s;
	struct scene c;
	struct peer p;

	(void)state;
	memset(text, 'x', MESSAGE_MAX);
	tls_files_make(&files);
	tickets = ph_tls_tickets_new();
	scene_open(&c);
	use_tls(&c, &files, tickets);
	c.deed[ON_TEXT] = ECHO;
	s = peer_open(&p, &c);
	peer_text(&p, "one");
	peer_say(&p, ph_ws_put_text, ph_str(text, MESSAGE_MAX));
	peer_say(&p, ph_ws_put_ping, PH_STR("p"));
	UNTIL(&c, p.texts == 2 && p.pongs == 1);
	session_close(s, 1012, "restart");
	UNTIL(&c, p.closed);
	UNTIL(&c, s->gone);
	assert_log(&p.log, "t:one L:1048576 pong:p close:1012:restart end ");
	peer_free(&p);
	scene_close(&c);
	ph_tls_tickets_free(tickets);
	tls_files_free(&files);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_gone_before_upgrade),
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_every_cut),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_tls),
	};

	return cmocka_run_group_tests(tests, socket_setup, NULL);
}
