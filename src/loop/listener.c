/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener. It has its own accept loop on a watched descriptor, since libuv's cannot be told when to
 * stop: it spins where descriptors run out and cannot empty its queue before a close (which would reset what
 * waits there).
 *
 * Out of descriptors: one is kept in reserve. It is given up to accept the next in line and turn it away at
 * once, so that clients hear of it and the loop does not wake for the same one for ever. Where that does not
 * help either (the system's table is full), the listener looks away for a moment.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "posthouse/clock.h"
#include "posthouse/log.h"
#include "posthouse/metrics.h"

#include "loop_priv.h"

#define ACCEPTS_MAX   64 /* in one turn of the loop */
#define REST_MS       100
#define COMPLAIN_MS   10000
#define PROBE_MS      500
#define PROBE_EACH_NS 20000000

enum listener_state {
	LISTENING,
	LEAVING, /* accepts what waits */
	LEFT,
};

/* Owner: whoever opened it, until ph_listener_close(); then its close callback. */
struct ph_listener {
	uv_poll_t poll;
	struct ph_loop *loop;
	enum listener_state state;
	int fd;
	int reserve;        /* a descriptor of nothing, or -1 */
	struct ph_tls *tls; /* of what it accepts; NULL: cleartext */
	struct ph_timer rest;
	uint64_t complained_ms; /* when the log was last told of the shortage; 0 = never */
	void (*on_accept)(void *owner, struct ph_stream *s);
	void *owner;
};

/* ---- sockets ---- */
static int cannot_listen(const struct ph_addr *addr, int sys, struct ph_err *err)
{
	char text[64];

	ph_addr_text(addr, text, sizeof(text));
	ph_fail(err, PH_E_SOCKET, "cannot listen on %s: %s", text, uv_strerror(-sys));
	if (err)
		err->sys = sys;
	return -PH_E_SOCKET;
}

/* A bound socket, or a negative errno. */
static int bound_socket(const struct ph_addr *addr, bool share)
{
	const int on = 1;
	int fd = socket(addr->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int sys;

	if (fd < 0)
		return -errno;
	/* sockets of a predecessor that are in TIME_WAIT are no hindrance */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if ((!share || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
		bind(fd, (const struct sockaddr *)&addr->sa, addr->len) == 0)
		return fd;
	sys = errno;
	close(fd);
	return -sys;
}

static int probe_once(const struct ph_addr *addr)
{
	return bound_socket(addr, false);
}

/* A name in the abstract namespace, which belongs to the network namespace as ports do and goes with its
 * owner. */
static int claim_once(const struct ph_addr *addr)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char text[80];
	socklen_t len;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int sys;

	if (fd < 0)
		return -errno;
	ph_addr_text(addr, text, sizeof(text));
	len = (socklen_t)snprintf(un.sun_path + 1, sizeof(un.sun_path) - 1, "posthouse listens on %s", text);
	if (bind(fd, (struct sockaddr *)&un, (socklen_t)offsetof(struct sockaddr_un, sun_path) + 1 + len) ==
		0)
		return fd;
	sys = errno;
	close(fd);
	return -sys;
}

/* A predecessor that was just killed may still be closing. */
static int patiently(int (*once)(const struct ph_addr *addr), const struct ph_addr *addr)
{
	const struct timespec pause = {.tv_nsec = PROBE_EACH_NS};
	uint64_t until = ph_clock_ms() + PROBE_MS;
	int fd = once(addr);

	while (fd == -EADDRINUSE && ph_clock_ms() < until) {
		nanosleep(&pause, NULL);
		fd = once(addr);
	}
	return fd;
}

int ph_listener_probe(struct ph_addr *addr, struct ph_err *err)
{
	int fd = patiently(probe_once, addr);

	if (fd < 0)
		return cannot_listen(addr, -fd, err);
	addr->len = sizeof(addr->sa);
	getsockname(fd, (struct sockaddr *)&addr->sa, &addr->len);
	close(fd);
	return 0;
}

int ph_listener_claim(const struct ph_addr *addr, struct ph_err *err)
{
	int fd = patiently(claim_once, addr);

	return fd < 0 ? cannot_listen(addr, -fd, err) : 0;
}

/* ---- accepting ---- */
static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void complain(struct ph_listener *l, int sys)
{
	const struct ph_field fields[] = {PH_F_C("error", uv_strerror(-sys))};
	uint64_t now = ph_loop_now_ms(l->loop);

	if (l->complained_ms != 0 && now < l->complained_ms + COMPLAIN_MS)
		return;
	l->complained_ms = now;
	ph_log_fields(
		PH_LOG_WARN, "connections cannot be accepted: raise the limit of open files", fields, 1);
}

/* Accepts one with the reserve and turns it away. False if that is impossible, or if none waits. */
static bool turn_away(struct ph_listener *l)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};
	int fd;

	if (l->reserve < 0)
		l->reserve = open_reserve();
	if (l->reserve < 0)
		return false;
	close(l->reserve);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
		close(fd);
		ph_metric_add(PH_M_SHED, 1, 0, 1);
	}
	l->reserve = open_reserve();
	return fd >= 0;
}

static void look_away(struct ph_listener *l)
{
	uv_poll_stop(&l->poll);
	ph_timer_start(&l->rest, REST_MS);
}

/* What an error of accept() means: true to try the next one. */
static bool go_on_after(struct ph_listener *l, int sys)
{
	switch (sys) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		complain(l, sys);
		if (turn_away(l))
			return true;
		break;
	case ENOBUFS:
	case ENOMEM:
		complain(l, sys);
		break;
	default: /* EINTR, and the network's errors about that one connection */
		return true;
	}
	if (l->state == LISTENING)
		look_away(l);
	return false;
}

static void accept_waiting(struct ph_listener *l, int max)
{
	for (int i = 0; i < max && l->state != LEFT; i++) {
		struct ph_addr peer = {.len = sizeof(peer.sa)};
		int fd = accept4(l->fd, (struct sockaddr *)&peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct ph_stream *s;

		if (fd < 0) {
			if (!go_on_after(l, errno))
				return;
			continue;
		}
		s = ph_stream_accepted(l->loop, fd, &peer, l->tls);
		if (s)
			l->on_accept(l->owner, s);
	}
}

static void on_waiting(uv_poll_t *poll, int status, int events)
{
	struct ph_listener *l = poll->data;

	(void)events;
	ph_loop_woke(l->loop);
	if (status < 0)
		look_away(l); /* libuv 1.44: status < 0 has stopped the handle */
	else
		accept_waiting(l, ACCEPTS_MAX);
}

static void on_rested(void *arg)
{
	struct ph_listener *l = arg;

	uv_poll_start(&l->poll, UV_READABLE, on_waiting);
}

/* ---- open and close ---- */
static void on_poll_closed(uv_handle_t *handle)
{
	free(handle->data);
}

struct ph_listener *ph_listener_open(struct ph_loop *loop, const struct ph_addr *addr,
	void (*on_accept)(void *owner, struct ph_stream *s), void *owner, struct ph_err *err)
{
	struct ph_listener *l;
	int fd = bound_socket(addr, true);

	assert(on_accept);
	if (fd < 0) {
		cannot_listen(addr, -fd, err);
		return NULL;
	}
	ph_socket_options(fd);
	if (listen(fd, SOMAXCONN) < 0) {
		cannot_listen(addr, errno, err);
		close(fd);
		return NULL;
	}
	l = ph_alloc(sizeof(*l));
	l->loop = loop;
	l->fd = fd;
	l->reserve = open_reserve();
	l->on_accept = on_accept;
	l->owner = owner;
	ph_timer_init(&l->rest, loop, on_rested, l);
	if (uv_poll_init(&loop->uv, &l->poll, fd) < 0)
		ph_die("cannot watch a listening socket");
	l->poll.data = l;
	on_rested(l);
	return l;
}

void ph_listener_tls(struct ph_listener *l, struct ph_tls *tls)
{
	struct ph_tls *before = l->tls;

	l->tls = ph_tls_ref(tls);
	ph_tls_free(before);
}

void ph_listener_close(struct ph_listener *l)
{
	if (!l || l->state != LISTENING)
		return;
	l->state = LEAVING;
	ph_timer_stop(&l->rest);
	accept_waiting(l, SOMAXCONN);
	l->state = LEFT;
	ph_listener_tls(l, NULL);
	uv_close((uv_handle_t *)&l->poll, on_poll_closed);
	close(l->fd);
	if (l->reserve >= 0)
		close(l->reserve);
}
