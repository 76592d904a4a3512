/* SPDX-License-Identifier: Apache-2.0 */
/* The loop and the connections. Connections are opened 64 at a time, so that no backlog overflows. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define LOT        64
#define LOT_EVERY  (20 * MS)
#define SLOW_RCV   16384 /* so that a slow reader's kernel does not read for it */
#define ROUND_MAX  256
#define PIECE      ((size_t)256 * 1024)
#define LINE_MAX_N 64

uint64_t bench_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bench-client: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static void watch(struct conn *c, int operation, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = c};

	if (epoll_ctl(c->bench->epoll, operation, c->fd, &e))
		bench_die("epoll_ctl: %s", strerror(errno));
}

static void watch_again(struct conn *c)
{
	uint32_t in = c->bench->mode->by_tick && c->open ? 0 : EPOLLIN;

	watch(c, EPOLL_CTL_MOD, in | (c->wants_out ? EPOLLOUT : 0));
}

static void dial(struct conn *c)
{
	struct bench *b = c->bench;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(b->o.port)};
	int one = 1, small = SLOW_RCV;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		bench_die("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (b->mode->by_tick)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (inet_pton(AF_INET, b->o.host, &to.sin_addr) != 1)
		bench_die("%s is no IPv4 address", b->o.host);
	if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) && errno != EINPROGRESS)
		bench_die("connect: %s", strerror(errno));
	c->from_ns = b->now;
	c->wants_out = true;
	watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void conn_open(struct bench *b)
{
	struct conn *c = &b->conns[b->conn_count];

	c->bench = b;
	c->index = b->conn_count++;
	dial(c);
}

void conn_close(struct conn *c)
{
	if (c->fd < 0)
		return;
	tls_close(c);
	close(c->fd);
	c->fd = -1;
	c->open = c->busy = false;
	events_free(&c->events);
}

void conn_renew(struct conn *c)
{
	conn_close(c);
	dial(c);
}

/* Nobody but us ends a socket. */
void conn_fail(struct conn *c)
{
	if (c->fd >= 0 && (c->busy || !c->open || c->ws))
		c->bench->lost++;
	conn_close(c);
}

static void flush_out(struct conn *c)
{
	bool wants;

	while (c->out_n > 0) {
		ssize_t n =
			c->tls ? tls_send(c, c->out, c->out_n) : send(c->fd, c->out, c->out_n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			conn_fail(c);
			return;
		}
		if (n < 0)
			break;
		c->out += n;
		c->out_n -= (size_t)n;
	}
	wants = c->out_n > 0;
	if (wants == c->wants_out)
		return;
	c->wants_out = wants;
	watch_again(c);
}

void conn_write(struct conn *c, const char *p, size_t n)
{
	c->out = p;
	c->out_n = n;
	flush_out(c);
}

void conn_send(struct conn *c, const char *p, size_t n, uint64_t due_ns)
{
	c->busy = true;
	c->from_ns = due_ns;
	c->first_ns = 0;
	answer_reset(&c->answer);
	events_reset(&c->events);
	c->bench->sent++;
	conn_write(c, p, n);
}

static void conn_feed(struct conn *c, const char *p, size_t n)
{
	struct bench *b = c->bench;
	int result;

	if (b->o.upgrade) {
		if (!socket_feed(c, p, n))
			conn_fail(c);
		return;
	}
	result = c->busy ? answer_feed(&c->answer, p, n, b->mode->on_body, c) : -1;
	if (result < 0) {
		b->lost += !c->busy; /* bytes that nobody asked for */
		conn_fail(c);
	} else if (result > 0) {
		c->busy = false;
		b->answered++;
		b->mode->on_answer(c);
	}
}

void conn_read(struct conn *c, size_t max)
{
	static char piece[PIECE];
	size_t want = max && max < PIECE ? max : PIECE;
	ssize_t n = c->tls ? tls_recv(c, piece, want) : recv(c->fd, piece, want, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	c->bench->now = bench_clock();
	if (n == 0 && !c->busy && c->bench->mode->on_end) {
		conn_close(c);
		c->bench->mode->on_end(c);
	} else if (n <= 0)
		conn_fail(c);
	else
		conn_feed(c, piece, (size_t)n);
}

static int connect_error(const struct conn *c)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	return error;
}

/* A connection that is not open yet can go on: it is connected, or its handshake has a further step. */
static void on_opening(struct conn *c)
{
	int ready = 1;

	if (!c->tls && connect_error(c)) {
		conn_fail(c);
		return;
	}
	c->wants_out = false;
	if (c->bench->o.ca) {
		if (!c->tls)
			tls_open(c);
		ready = tls_shake(c);
	}
	if (ready < 0) {
		conn_fail(c);
		return;
	}
	c->open = ready;
	watch_again(c);
	if (c->open && c->bench->o.upgrade)
		socket_open(c);
	else if (c->open)
		c->bench->mode->on_open(c);
}

static void on_event(struct conn *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (!c->open) {
		on_opening(c);
		return;
	}
	if (events & EPOLLOUT)
		flush_out(c);
	if (c->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->bench->mode->by_tick)
		conn_read(c, 0);
}

/* Opens a lot when it is time; when the next one is due, 0: all are there. */
static uint64_t open_some(struct bench *b)
{
	if (b->conn_count == b->conn_target)
		return 0;
	if (b->opened_ns && b->now < b->opened_ns + LOT_EVERY)
		return b->opened_ns + LOT_EVERY;
	for (size_t i = 0; i < LOT && b->conn_count < b->conn_target; i++)
		conn_open(b);
	b->opened_ns = b->now;
	return b->opened_ns + LOT_EVERY;
}

static void read_line(struct bench *b)
{
	static char line[LINE_MAX_N];
	static size_t n;
	ssize_t got = read(STDIN_FILENO, line + n, 1);

	if (got == 1 && line[n] != '\n') {
		n += n + 2 < sizeof(line);
		return;
	}
	line[n] = '\0';
	n = 0;
	b->mode->on_line(b, got == 1 ? line : NULL);
}

static void wait_events(struct bench *b, uint64_t until)
{
	struct epoll_event events[ROUND_MAX];
	struct timespec t = {0, 0};
	uint64_t rest = until > b->now ? until - b->now : 0;
	int n;

	t.tv_sec = (time_t)(rest / SECOND);
	t.tv_nsec = (long)(rest % SECOND);
	n = epoll_pwait2(b->epoll, events, ROUND_MAX, until ? &t : NULL, NULL);
	b->now = bench_clock();
	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr)
			on_event(events[i].data.ptr, events[i].events);
		else
			read_line(b);
	}
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

void bench_run(struct bench *b)
{
	struct epoll_event e = {.events = EPOLLIN};
	uint64_t wake;

	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (b->epoll < 0)
		bench_die("epoll_create1: %s", strerror(errno));
	if (b->mode->on_line && epoll_ctl(b->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &e))
		bench_die("standard input: %s", strerror(errno));
	b->conns = calloc(b->conn_max, sizeof(*b->conns));
	if (!b->conns)
		bench_die("out of memory");
	b->now = b->started = bench_clock();
	b->mode->start(b);
	while (!b->stop) {
		wake = open_some(b);
		wake = sooner(wake, b->mode->tick(b));
		if (!b->stop)
			wait_events(b, wake);
	}
	b->mode->report(b);
	for (size_t i = 0; i < b->conn_count; i++) {
		conn_close(&b->conns[i]);
		socket_free(&b->conns[i]);
	}
	free(b->conns);
	close(b->epoll);
}

void bench_print(const struct bench *b)
{
	printf("{\"sent\":%llu,\"answered\":%llu,\"wrong\":%llu,\"lost\":%llu,\"seconds\":%.3f,",
		(unsigned long long)b->sent, (unsigned long long)b->answered, (unsigned long long)b->wrong,
		(unsigned long long)b->lost, (double)(b->now - b->started) / 1e9);
	hist_print("latency", &b->latency);
}
