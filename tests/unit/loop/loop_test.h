/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the loop share: waiting for something, and raw sockets that stand at the other end. */
#ifndef PH_LOOP_TEST_H
#define PH_LOOP_TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ph_test.h"

#include "posthouse/clock.h"
#include "posthouse/loop.h"

#define PATIENCE_MS 20000

/* Turns the loop until *flag is not zero; fails the test if that takes too long. */
static inline void turn_until(struct ph_loop *loop, const int *flag)
{
	uint64_t until = ph_clock_ms() + PATIENCE_MS;

	while (!*flag) {
		ph_loop_turn(loop);
		if (ph_clock_ms() > until)
			fail_msg("waited in vain");
		usleep(50);
	}
}

static inline void turn_for(struct ph_loop *loop, uint64_t ms)
{
	uint64_t until = ph_clock_ms() + ms;

	do {
		ph_loop_turn(loop);
		usleep(50);
	} while (ph_clock_ms() < until);
}

/* 127.0.0.1:port */
static inline struct ph_addr loopback(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct ph_addr addr = {.len = sizeof(in)};

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	memcpy(&addr.sa, &in, sizeof(in));
	return addr;
}

static inline uint16_t port_of(const struct ph_addr *addr)
{
	return ntohs(((const struct sockaddr_in *)(const void *)&addr->sa)->sin_port);
}

/* A raw listening socket on a free port of 127.0.0.1, which is left in *addr. */
static inline int raw_listen(struct ph_addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr = loopback(0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr->sa, addr->len), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr->sa, &addr->len), 0);
	return fd;
}

static inline int raw_connect(const struct ph_addr *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr->sa, addr->len), 0);
	return fd;
}

#endif
