/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse healthcheck: GET /readyz of the node on this machine, for container runtimes. One blocking
 * connection and one deadline for all of it; the answer's head is only looked at for its status.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "posthouse/clock.h"

#include "cli_priv.h"

#define DEADLINE_MS 2000
#define ANSWER_MAX  16384

static const char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/* 1: the descriptor is ready; 0: the deadline passed; negative: the wait failed. */
static int wait_for(int fd, short events, uint64_t until_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int r;

	do {
		uint64_t now = ph_clock_ms();

		r = poll(&p, 1, now < until_ms ? (int)(until_ms - now) : 0);
	} while (r < 0 && errno == EINTR);
	return r;
}

static int wait_connected(int fd, uint64_t until_ms)
{
	int fault = 0;
	socklen_t size = sizeof(fault);

	if (wait_for(fd, POLLOUT, until_ms) <= 0)
		return -ETIMEDOUT;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &fault, &size);
	return -fault;
}

static int exchange(int fd, const struct ph_addr *addr, uint64_t until_ms, struct ph_buf *answer)
{
	int r = connect(fd, (const struct sockaddr *)&addr->sa, addr->len) == 0 ? 0 : -errno;

	if (r == -EINPROGRESS)
		r = wait_connected(fd, until_ms);
	if (r < 0)
		return r;
	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
		return -EPIPE;
	for (;;) {
		char *room = ph_buf_room(answer, 2048);
		ssize_t n;

		if (room == NULL || wait_for(fd, POLLIN, until_ms) <= 0)
			return room == NULL ? -EMSGSIZE : -ETIMEDOUT;
		n = recv(fd, room, 2048, 0);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		ph_buf_wrote(answer, (size_t)n);
	}
}

static int judge(struct ph_str answer, struct ph_err *err)
{
	ptrdiff_t body = ph_str_find(answer, PH_STR("\r\n\r\n"));
	struct ph_str status = ph_str_from(answer, strlen("HTTP/1.1 ")), reason;

	if (body < 0 || !ph_str_starts(answer, PH_STR("HTTP/1.")))
		return ph_fail(err, PH_E_UPSTREAM_BAD,
			"what listens there is not a node of posthouse; check POSTHOUSE_ADMIN_LISTEN");
	if (ph_str_starts(status, PH_STR("200")))
		return 0;
	reason = ph_str_trim(ph_str_from(answer, (size_t)body + 4));
	reason = ph_str_split(&reason, '\n');
	return ph_fail(err, PH_E_UPSTREAM_FAILED, "the node is not ready: %.*s", PH_STR_ARG(reason));
}

static int ask(const char *listen, struct ph_buf *answer, struct ph_err *err)
{
	uint64_t until_ms = ph_clock_ms() + DEADLINE_MS;
	struct ph_addr addr;
	int fd, r = ph_cli_address(listen, &addr, err);

	if (r < 0)
		return r;
	ph_cli_reachable(&addr);
	fd = socket(addr.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r = fd < 0 ? -errno : exchange(fd, &addr, until_ms, answer);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return ph_fail(err, PH_E_SOCKET,
			"no answer from the node at %s (%s); start it, or check POSTHOUSE_ADMIN_LISTEN",
			listen, strerror(-r));
	return judge(ph_buf_str(answer), err);
}

int ph_cmd_healthcheck(const struct ph_cli *c)
{
	struct ph_config config;
	struct ph_err err = {0};
	struct ph_buf answer;
	int r = ph_config_load(&config, c->settings, c->setting_count, NULL, NULL, &err);

	if (r < 0)
		return ph_cli_fail(&err);
	ph_buf_init(&answer, ANSWER_MAX);
	r = ask(config.admin_listen, &answer, &err);
	ph_buf_deinit(&answer);
	ph_config_free(&config);
	if (r < 0)
		return ph_cli_fail(&err);
	ph_cli_say("ready");
	return 0;
}
