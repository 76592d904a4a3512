/* SPDX-License-Identifier: Apache-2.0 */
/* Streams in cleartext, against each other through a listener, and against raw sockets that misbehave. */
#include <malloc.h>
#include <stdlib.h>

#include "side.h"

struct pair {
	struct ph_loop *loop;
	struct ph_listener *listener;
	struct ph_addr addr;
	struct side client, server;
	struct side *more; /* where further streams are accepted, NULL = in server */
};

static void on_accept(void *owner, struct ph_stream *s)
{
	struct pair *p = owner;
	struct side *side = p->more ? p->more++ : &p->server;

	side->s = s;
	side->loop = p->loop;
	side->connected = 1;
	ph_stream_set_owner(s, &side_events, side);
}

static void pair_listen(struct pair *p)
{
	struct ph_err err = {0};

	memset(p, 0, sizeof(*p));
	p->loop = ph_loop_new();
	p->addr = loopback(0);
	assert_int_equal(ph_listener_probe(&p->addr, &err), 0);
	p->listener = ph_listener_open(p->loop, &p->addr, on_accept, p, &err);
	assert_non_null(p->listener);
}

static void pair_open(struct pair *p)
{
	pair_listen(p);
	side_connect(&p->client, p->loop, &p->addr, NULL, "localhost");
	turn_until(p->loop, &p->client.connected);
	turn_until(p->loop, &p->server.connected);
	assert_int_equal(p->client.connect_status, 0);
}

static void pair_end(struct pair *p)
{
	if (p->client.s)
		side_close(&p->client, false);
	if (p->server.s)
		side_close(&p->server, false);
	ph_listener_close(p->listener);
	assert_int_equal(ph_loop_free(p->loop), 0);
	assert_true(p->client.closed <= 1 && p->server.closed <= 1);
}

/* A client stream whose peer is a raw socket. */
static int raw_pair(struct ph_loop *loop, struct side *client)
{
	struct ph_addr addr;
	int listener = raw_listen(&addr), fd;

	side_connect(client, loop, &addr, NULL, "localhost");
	turn_until(loop, &client->connected);
	assert_int_equal(client->connect_status, 0);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

static int released;

static void on_release(void *arg)
{
	int *count = arg;

	released++;
	++*count;
}

/* ---- what flows ---- */
static void test_echo(void **state)
{
	const size_t size = 20 << 20;
	struct pair p;

	(void)state;
	pair_open(&p);
	p.server.echo = true;
	ph_stream_read(p.server.s, true);
	side_round_trip(&p.client, size);
	assert_int_equal(p.server.bytes, size);
	assert_true(p.server.drained > 0); /* the slow reader was felt */
	assert_true(p.server.most_queued < PH_STREAM_HIGH + 65536);
	assert_true(p.client.most_queued < PH_STREAM_HIGH + 5000);
	assert_int_equal(ph_stream_queued(p.client.s) + ph_stream_queued(p.server.s), 0);
	pair_end(&p);
}

static void test_one_write_per_turn(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	ph_stream_read(p.server.s, true);
	for (int i = 0; i < 100; i++)
		side_push(&p.client, "0123456789");
	assert_int_equal(ph_stream_queued(p.client.s), 1000);
	turn_for(p.loop, 20);
	assert_int_equal(p.server.bytes, 1000);
	assert_int_equal(p.server.pieces, 1);
	assert_int_equal(ph_stream_queued(p.client.s), 0);
	pair_end(&p);
}

static void test_pushed_before_connected(void **state)
{
	struct pair p;

	(void)state;
	pair_listen(&p);
	side_connect(&p.client, p.loop, &p.addr, NULL, "localhost");
	side_push(&p.client, "early");
	ph_stream_read(p.client.s, true);
	assert_false(ph_stream_alive(p.client.s));
	turn_until(p.loop, &p.server.connected);
	assert_true(ph_stream_alive(p.client.s));
	ph_stream_read(p.server.s, true);
	p.server.echo = true;
	turn_until(p.loop, &p.client.pieces);
	assert_string_equal(p.client.first, "early");
	pair_end(&p);
}

static void test_borrowed_bytes(void **state)
{
	enum {
		PIECES = 200,
		SIZE = 30000
	};
	char *bytes = malloc(PIECES * SIZE);
	int count[PIECES + 1] = {0};
	struct pair p;

	(void)state;
	pair_open(&p);
	ph_stream_read(p.server.s, true);
	p.server.pattern = true;
	for (size_t i = 0; i < PIECES * SIZE; i++)
		bytes[i] = pattern_byte(i);
	released = 0;
	for (int i = 0; i < PIECES; i++) {
		struct ph_str piece = ph_str(bytes + (size_t)i * SIZE, SIZE);

		/* copies between them, and one that is empty */
		if (i % 3 == 0)
			ph_stream_push(p.client.s, piece);
		else
			ph_stream_push_ref(p.client.s, piece, on_release, &count[i]);
	}
	ph_stream_push_ref(p.client.s, PH_STR_NONE, on_release, &count[PIECES]);
	assert_int_equal(released, 0);
	while (p.server.bytes < (size_t)PIECES * SIZE)
		turn_for(p.loop, 1);
	turn_for(p.loop, 5);
	for (int i = 0; i < PIECES; i++)
		assert_int_equal(count[i], i % 3 == 0 ? 0 : 1);
	assert_int_equal(count[PIECES], 1);
	free(bytes);
	pair_end(&p);
}

static void test_empty_borrow_alone(void **state)
{
	struct pair p;
	int count = 0;

	(void)state;
	pair_open(&p);
	assert_true(ph_stream_push_ref(p.client.s, PH_STR_NONE, on_release, &count) == PH_STREAM_HIGH);
	assert_true(ph_stream_push(p.client.s, PH_STR_NONE) == PH_STREAM_HIGH);
	assert_int_equal(count, 0);
	turn_for(p.loop, 5);
	assert_int_equal(count, 1);
	pair_end(&p);
}

static void test_reading_off(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	assert_true(ph_stream_alive(p.server.s));
	side_push(&p.client, "wait");
	turn_for(p.loop, 20);
	assert_int_equal(p.server.pieces, 0);
	assert_false(ph_stream_alive(p.server.s)); /* something unread */
	p.server.calling = true;
	ph_stream_read(p.server.s, true);
	ph_stream_read(p.server.s, true);
	p.server.calling = false;
	turn_until(p.loop, &p.server.pieces);
	assert_string_equal(p.server.first, "wait");
	ph_stream_read(p.server.s, false);
	side_push(&p.client, "!");
	turn_for(p.loop, 5);
	side_close(&p.client, false);
	turn_for(p.loop, 20);
	assert_int_equal(p.server.ended, 0);
	ph_stream_read(p.server.s, true);
	turn_until(p.loop, &p.server.ended);
	assert_int_equal(p.server.end_status, 0);
	assert_string_equal(p.server.first, "wait!");
	pair_end(&p);
}

/* ---- how it ends ---- */
static void test_half_close(void **state)
{
	struct pair p;
	int count = 0;

	(void)state;
	pair_open(&p);
	ph_stream_read(p.client.s, true);
	ph_stream_read(p.server.s, true);
	side_push(&p.client, "question");
	ph_stream_shutdown(p.client.s);
	ph_stream_shutdown(p.client.s);
	side_push(&p.client, "too late");
	ph_stream_push_ref(p.client.s, PH_STR("too late"), on_release, &count);
	turn_until(p.loop, &p.server.ended);
	assert_int_equal(p.server.end_status, 0);
	assert_string_equal(p.server.first, "question");
	assert_int_equal(count, 1);
	assert_false(ph_stream_alive(p.server.s));
	side_push(&p.server, "answer");
	turn_until(p.loop, &p.client.pieces);
	assert_string_equal(p.client.first, "answer");
	ph_stream_shutdown(p.server.s);
	turn_until(p.loop, &p.client.ended);
	assert_int_equal(p.client.end_status, 0);
	assert_false(ph_stream_truncated(p.client.s));
	pair_end(&p);
}

static void test_shutdown_after_a_full_queue(void **state)
{
	const size_t size = 3 << 20;
	struct pair p;
	size_t sent = 0;

	(void)state;
	pair_open(&p);
	p.server.pattern = true;
	while (sent < size)
		sent = side_push_pattern(&p.client, sent, size); /* past the high mark: allowed */
	assert_int_equal(ph_stream_queued(p.client.s), size);
	ph_stream_shutdown(p.client.s);
	turn_for(p.loop, 5);
	ph_stream_read(p.server.s, true);
	turn_until(p.loop, &p.server.ended);
	assert_int_equal(p.server.bytes, size);
	assert_int_equal(p.server.end_status, 0);
	pair_end(&p);
}

static void test_reset_by_peer(void **state)
{
	struct pair p;
	int count = 0;

	(void)state;
	pair_open(&p);
	ph_stream_read(p.client.s, true);
	side_close(&p.server, true);
	turn_until(p.loop, &p.client.ended);
	assert_int_equal(p.client.end_status, -PH_E_SOCKET);
	assert_false(ph_stream_alive(p.client.s));
	/* what is pushed now is dropped, released, and told no more */
	side_push(&p.client, "nobody");
	ph_stream_push_ref(p.client.s, PH_STR("nobody"), on_release, &count);
	assert_int_equal(count, 0);
	assert_int_equal(ph_stream_queued(p.client.s), 0);
	turn_for(p.loop, 5);
	assert_int_equal(count, 1);
	ph_stream_shutdown(p.client.s);
	ph_stream_read(p.client.s, true);
	turn_for(p.loop, 5);
	pair_end(&p);
}

/* A client that leaves while it waits, politely or not. */
static void test_leaving_is_noticed(void **state)
{
	(void)state;
	for (int abort = 0; abort < 2; abort++) {
		struct pair p;
		uint64_t left_ns;

		pair_open(&p);
		ph_stream_read(p.server.s, true);
		turn_for(p.loop, 20);
		left_ns = ph_clock_ns();
		ph_stream_close(p.client.s, abort);
		turn_until(p.loop, &p.server.ended);
		print_message("noticed after %.2f ms\n", (double)(ph_clock_ns() - left_ns) / 1e6);
		assert_true(ph_clock_ns() - left_ns < 1000000000); /* ten times the promise */
		assert_int_equal(p.server.end_status, abort ? -PH_E_SOCKET : 0);
		pair_end(&p);
	}
}

/* Not reading, a reset is seen by the next write: from the loop, never from inside push. */
static void test_write_to_reset(void **state)
{
	struct pair p;
	int count = 0;

	(void)state;
	pair_open(&p);
	side_close(&p.server, true);
	turn_for(p.loop, 10);
	assert_int_equal(p.client.ended, 0);
	assert_false(ph_stream_alive(p.client.s)); /* asked, it looks at the socket */
	p.client.calling = true;
	ph_stream_push_ref(p.client.s, PH_STR("x"), on_release, &count);
	p.client.calling = false;
	turn_until(p.loop, &p.client.ended);
	assert_int_equal(p.client.end_status, -PH_E_SOCKET);
	turn_for(p.loop, 5);
	assert_int_equal(count, 1);
	pair_end(&p);
}

/* A server that refuses an upload early answers, and closes with our bytes unread, so that the kernel sends a
 * reset behind the answer. The answer counts. */
static void test_early_answer(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct side client = {0};
	int fd = raw_pair(loop, &client);

	(void)state;
	ph_stream_read(client.s, true);
	side_push(&client, "upload");
	turn_for(loop, 5);
	assert_int_equal(write(fd, "refused", 7), 7);
	close(fd);
	usleep(10000);
	side_push(&client, "more"); /* fails before anybody has looked at what arrived */
	turn_until(loop, &client.ended);
	assert_string_equal(client.first, "refused");
	assert_int_equal(client.end_status, -PH_E_SOCKET);
	side_close(&client, false);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_close_with_a_full_queue(void **state)
{
	char *bytes = calloc(1, 8 << 20);

	(void)state;
	for (int abort = 0; abort < 2; abort++) {
		struct pair p;
		int count[3] = {0};

		pair_open(&p);
		ph_stream_push_ref(p.client.s, ph_str(bytes, 8 << 20), on_release, &count[0]);
		turn_for(p.loop, 5); /* the kernel is full, libuv holds the rest */
		assert_true(ph_stream_queued(p.client.s) > 0);
		ph_stream_push_ref(p.client.s, ph_str(bytes, 100), on_release, &count[1]);
		p.client.calling = true;
		ph_stream_close(p.client.s, abort);
		ph_stream_push_ref(p.client.s, ph_str(bytes, 100), on_release, &count[2]);
		p.client.calling = false;
		assert_int_equal(count[0], 0);
		turn_until(p.loop, &p.client.closed);
		for (int i = 0; i < 3; i++)
			assert_int_equal(count[i], 1);
		if (abort) {
			ph_stream_read(p.server.s, true);
			turn_until(p.loop, &p.server.ended);
			assert_int_equal(p.server.end_status, -PH_E_SOCKET);
		}
		pair_end(&p);
	}
	free(bytes);
}

static void test_connect_refused(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct side client = {0};
	struct ph_addr addr;
	char expected[128], text[64];
	int count = 0;

	(void)state;
	close(raw_listen(&addr));
	side_connect(&client, loop, &addr, NULL, "localhost");
	ph_stream_push_ref(client.s, PH_STR("x"), on_release, &count);
	turn_until(loop, &client.connected);
	assert_int_equal(client.connect_status, -PH_E_SOCKET);
	assert_int_equal(client.err.code, PH_E_SOCKET);
	assert_int_equal(client.err.sys, ECONNREFUSED);
	ph_addr_text(&addr, text, sizeof(text));
	snprintf(expected, sizeof(expected), "cannot connect to %s: connection refused", text);
	assert_string_equal(client.err.detail, expected);
	turn_for(loop, 5);
	assert_int_equal(count, 1);
	assert_int_equal(client.ended, 0);
	side_close(&client, true);
	assert_int_equal(ph_loop_free(loop), 0);
}

/* An address that no socket can be made for: told later as well. */
static void test_connect_impossible(void **state)
{
	struct ph_loop *loop = ph_loop_new();
	struct side client = {0};
	struct ph_addr addr = loopback(80);

	(void)state;
	addr.sa.ss_family = AF_UNIX;
	side_connect(&client, loop, &addr, NULL, "localhost");
	assert_int_equal(client.connected, 0);
	turn_until(loop, &client.connected);
	assert_int_equal(client.connect_status, -PH_E_SOCKET);
	side_close(&client, false);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_close_while_connecting(void **state)
{
	(void)state;
	for (int abort = 0; abort < 2; abort++) {
		struct pair p;

		pair_listen(&p);
		side_connect(&p.client, p.loop, &p.addr, NULL, "localhost");
		side_push(&p.client, "x");
		side_close(&p.client, abort);
		assert_int_equal(p.client.connected, 0);
		pair_end(&p);
	}
}

static void test_close_in_every_callback(void **state)
{
	static const enum side_place places[] = {IN_CONNECT, IN_DATA, IN_END, IN_DRAIN};

	(void)state;
	for (size_t i = 0; i < 2 * PH_COUNT(places); i++) {
		char *bytes = calloc(1, 1 << 20);
		struct pair p;
		int count = 0;

		pair_listen(&p);
		p.server.echo = true;
		side_connect(&p.client, p.loop, &p.addr, NULL, "localhost");
		p.client.close_in = places[i / 2];
		p.client.close_abort = i % 2;
		ph_stream_read(p.client.s, true);
		ph_stream_push_ref(p.client.s, ph_str(bytes, 1 << 20), on_release, &count);
		turn_until(p.loop, &p.server.connected);
		ph_stream_read(p.server.s, true);
		if (places[i / 2] == IN_END)
			ph_stream_shutdown(p.server.s);
		turn_until(p.loop, &p.client.closed);
		assert_int_equal(count, 1);
		if (p.server.s && !p.server.ended)
			turn_until(p.loop, &p.server.ended);
		pair_end(&p);
		free(bytes);
	}
}

static void close_other(void *arg)
{
	struct side *other = arg;

	ph_stream_close(other->s, false);
}

/* release() may close the very stream that calls it. */
static void test_close_in_release(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	ph_stream_push_ref(p.client.s, PH_STR("one"), close_other, &p.client);
	side_push(&p.client, "two");
	turn_until(p.loop, &p.client.closed);
	pair_end(&p);
}

/* ---- what can be asked ---- */
static void test_progress(void **state)
{
	const size_t size = 16 << 20;
	struct ph_loop *loop = ph_loop_new();
	struct side client = {0};
	int fd = raw_pair(loop, &client);
	char *bytes = malloc(size);
	uint64_t stuck_ms, before;
	size_t queued;
	int count = 0;

	(void)state;
	memset(bytes, 'x', size);
	assert_true(ph_stream_push_ref(client.s, ph_str(bytes, size), on_release, &count) <= 0);
	turn_for(loop, 20);
	queued = ph_stream_queued(client.s);
	assert_true(queued > 0 && queued < size); /* the kernel holds some, and takes no more */
	stuck_ms = ph_stream_progress_ms(client.s);
	turn_for(loop, 50);
	assert_int_equal(ph_stream_queued(client.s), queued);
	assert_int_equal(ph_stream_progress_ms(client.s), stuck_ms);
	before = ph_loop_now_ms(loop);
	/* libuv holds one write for all of it: headway inside that write counts */
	for (int i = 0; i < 100000 && ph_stream_queued(client.s) == queued; i++) {
		if (recv(fd, bytes, 65536, MSG_DONTWAIT) < 0)
			assert_int_equal(errno, EAGAIN);
		ph_loop_turn(loop);
	}
	assert_true(ph_stream_queued(client.s) < queued);
	assert_true(ph_stream_queued(client.s) > 0);
	assert_true(ph_stream_progress_ms(client.s) >= before);
	assert_int_equal(client.drained, 0);
	assert_int_equal(count, 0);
	side_close(&client, true);
	assert_int_equal(count, 1);
	close(fd);
	free(bytes);
	assert_int_equal(ph_loop_free(loop), 0);
}

static void test_peer_and_owner(void **state)
{
	struct side other = {0};
	struct ph_addr a;
	struct pair p;

	(void)state;
	pair_open(&p);
	ph_stream_peer(p.client.s, &a);
	assert_int_equal(port_of(&a), port_of(&p.addr));
	ph_stream_peer(p.server.s, &a);
	assert_true(ph_addr_is_loopback(&a));
	assert_true(port_of(&a) != port_of(&p.addr));
	assert_false(ph_stream_tls_resumed(p.client.s));
	/* another owner hears everything from here on */
	other = p.client;
	ph_stream_set_owner(p.client.s, &side_events, &other);
	ph_stream_read(other.s, true);
	side_push(&p.server, "hello");
	turn_until(p.loop, &other.pieces);
	side_close(&other, false);
	assert_int_equal(p.client.pieces + p.client.closed, 0);
	p.client.s = NULL;
	pair_end(&p);
}

static size_t heap_in_use(void)
{
	return mallinfo2().uordblks;
}

/* Streams that have been busy and are idle now hold no buffers. */
static void test_idle_memory(void **state)
{
	enum {
		COUNT = 200
	};
	struct side *client = calloc(COUNT, sizeof(*client));
	struct side *server = calloc(COUNT, sizeof(*server));
	size_t before, each;
	struct pair p;

	(void)state;
	pair_open(&p);
	p.more = server;
	before = heap_in_use();
	for (int i = 0; i < COUNT; i++) {
		side_connect(&client[i], p.loop, &p.addr, NULL, "localhost");
		side_push(&client[i], "hello");
		ph_stream_read(client[i].s, true);
		turn_until(p.loop, &server[i].connected);
		server[i].echo = true;
		ph_stream_read(server[i].s, true);
		turn_until(p.loop, &client[i].pieces);
	}
	each = (heap_in_use() - before) / (2 * COUNT);
	print_message("an idle stream: %zu bytes\n", each);
#if !defined(__SANITIZE_ADDRESS__)
	assert_true(each > 0 && each < 2048);
#endif
	for (int i = 0; i < COUNT; i++) {
		side_close(&client[i], false);
		side_close(&server[i], false);
	}
	free(client);
	free(server);
	pair_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_one_write_per_turn),
		cmocka_unit_test(test_pushed_before_connected),
		cmocka_unit_test(test_borrowed_bytes),
		cmocka_unit_test(test_empty_borrow_alone),
		cmocka_unit_test(test_reading_off),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_shutdown_after_a_full_queue),
		cmocka_unit_test(test_reset_by_peer),
		cmocka_unit_test(test_leaving_is_noticed),
		cmocka_unit_test(test_write_to_reset),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_close_with_a_full_queue),
		cmocka_unit_test(test_connect_refused),
		cmocka_unit_test(test_connect_impossible),
		cmocka_unit_test(test_close_while_connecting),
		cmocka_unit_test(test_close_in_every_callback),
		cmocka_unit_test(test_close_in_release),
		cmocka_unit_test(test_progress),
		cmocka_unit_test(test_peer_and_owner),
		cmocka_unit_test(test_idle_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
