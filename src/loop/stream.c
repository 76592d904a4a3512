/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams over TCP. TLS stands between the owner and the socket as a filter (tls.c) that knows no
 * socket; everything that touches the handle is here.
 *
 *     push -> queue ------------------> kernel        cleartext
 *     push -> queue -> TLS -> wire ---> kernel        TLS: encrypted when it is written, at most WIRE_MAX
 * ahead
 *
 *     CONNECT -> [HANDSHAKE ->] OPEN -> FAILED -> CLOSING
 *
 * The two directions of an OPEN stream end separately: see enum read_half and enum write_half.
 *
 * Writing happens in on_flush(), a late call of the loop: what was pushed in a turn leaves with one system
 * call, and nothing is called back from inside push. What the kernel does not take goes to libuv, one request
 * at a time.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "posthouse/log.h"
#include "posthouse/metrics.h"
#include "posthouse/sm.h"

#include "loop_priv.h"

#define BUFS_MAX 64
#define WIRE_MAX (128 * 1024)
/* Of wire, beyond which only answers of the protocol itself bring it, to a peer that asks without reading */
#define WIRE_ABUSE ((size_t)3 * WIRE_MAX)

/* Results of a client's handshake, as PH_M_HANDSHAKES counts them; the first two by whether it was resumed.
 */
#define FAILED_HANDSHAKE 2

enum {
	CONNECT,
	HANDSHAKE,
	OPEN,
	FAILED,
	CLOSING,
	STATE_NR
};

#define B(state) PH_SM_BIT(state)
static const struct ph_sm_state states[STATE_NR] = {
	[CONNECT] = {"CONNECT", B(HANDSHAKE) | B(OPEN) | B(FAILED) | B(CLOSING)},
	[HANDSHAKE] = {"HANDSHAKE", B(OPEN) | B(FAILED) | B(CLOSING)},
	[OPEN] = {"OPEN", B(FAILED) | B(CLOSING)},
	[FAILED] = {"FAILED", B(CLOSING)}, /* on_connect or on_end has told so */
	[CLOSING] = {"CLOSING", 0},
};
#undef B

enum read_half {
	READ_OFF,
	READ_ON,
	READ_ENDED, /* on_end was called */
};

enum write_half {
	WRITE_OPEN,
	WRITE_ENDING, /* FIN after what is queued */
	WRITE_ENDED,
	WRITE_FAILED, /* what is pushed is dropped */
};

/* Owner: whoever connected or accepted it, until ph_stream_close(); then the graveyard. */
struct ph_stream {
	uv_tcp_t tcp;
	union { /* never two at a time */
		uv_connect_t connect;
		uv_write_t write;
		uv_shutdown_t shutdown;
	} req;
	struct ph_loop *loop;
	const struct ph_stream_events *on;
	void *owner;
	struct ph_sm sm;
	enum read_half rd;
	enum write_half wr;
	struct ph_defer flush;
	struct ph_queue queue; /* what the owner pushed */
	struct ph_queue wire;  /* TLS: the same, encrypted */
	size_t in_flight;      /* bytes at the front of the kernel's queue that libuv holds */
	size_t in_libuv;       /* how many of them the kernel had not taken when we last looked */
	uint64_t progress_ms;
	struct ph_tls_conn *tls;
	struct ph_list shaking; /* accepted, HANDSHAKE: in loop->handshakes */
	bool accepted;          /* and not connected by us: there is no on_connect to tell */
	int fault;              /* of a connect that failed before it began */
	int sys;                /* libuv's code of that, or of the write that failed */
	bool blocked;           /* push said stop; on_drain is owed */
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
};

static void on_flush(void *arg);

static uv_stream_t *handle(struct ph_stream *s)
{
	return (uv_stream_t *)&s->tcp;
}

static void flush_later(struct ph_stream *s)
{
	if (s->sm.state != CLOSING)
		ph_loop_late(s->loop, &s->flush);
}

static int descriptor(const struct ph_stream *s)
{
	uv_os_fd_t fd = -1;

	return uv_fileno((const uv_handle_t *)&s->tcp, &fd) < 0 ? -1 : fd;
}

/* What goes to the kernel. */
static struct ph_queue *outgoing(struct ph_stream *s)
{
	return s->tls ? &s->wire : &s->queue;
}

static void drop_queues(struct ph_stream *s)
{
	ph_queue_clear(&s->queue, s->loop);
	ph_queue_clear(&s->wire, s->loop);
}

/* ---- ends ---- */
static void on_alloc(uv_handle_t *tcp, size_t suggested, uv_buf_t *ret);
static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf);

/* The one place that turns libuv's reading on and off. */
static void update_reading(struct ph_stream *s)
{
	bool owed = s->tls && ph_tls_conn_pending(s->tls); /* these come first */
	int rc;

	if (s->sm.state == HANDSHAKE || (s->sm.state == OPEN && s->rd == READ_ON && !owed)) {
		rc = uv_read_start(handle(s), on_alloc, on_read);
		assert(rc == 0 || rc == UV_EALREADY);
		(void)rc;
	} else if (s->sm.state != CLOSING) {
		uv_read_stop(handle(s));
	}
}

/* What TLS wants to say before the end: an alert, or close_notify. Best effort, never after half a record. */
static void last_words(struct ph_stream *s)
{
	uv_buf_t bufs[BUFS_MAX];
	size_t bytes;

	if (s->in_flight == 0 && s->wire.bytes > 0)
		uv_try_write(handle(s), bufs, ph_queue_gather(&s->wire, bufs, BUFS_MAX, &bytes));
}

/* An accepted stream leaves its handshake, one way or the other. */
static void handshake_over(struct ph_stream *s)
{
	if (ph_list_empty(&s->shaking))
		return;
	ph_list_remove(&s->shaking);
	s->loop->handshake_count--;
}

static void note_failed_handshake(const struct ph_err *err)
{
	const struct ph_field fields[] = {PH_F_C("error", err->detail)};

	ph_metric_add(PH_M_HANDSHAKES, FAILED_HANDSHAKE, 0, 1);
	ph_log_fields(PH_LOG_DEBUG, "a client's TLS handshake failed", fields, 1);
}

/* It ends before it was open. */
static void connect_failed(struct ph_stream *s, int status, const struct ph_err *err)
{
	last_words(s);
	handshake_over(s);
	ph_sm_move(&s->sm, FAILED);
	s->rd = READ_ENDED;
	s->wr = WRITE_FAILED;
	update_reading(s);
	flush_later(s);
	if (s->accepted)
		s->on->on_end(s->owner, status);
	else
		s->on->on_connect(s->owner, status, err);
}

/* The peer's end, or a fault. After an end that is clean we may still write. */
static void end(struct ph_stream *s, int status)
{
	if (s->sm.state != OPEN)
		return;
	if (status < 0) {
		last_words(s);
		ph_sm_move(&s->sm, FAILED);
		s->wr = WRITE_FAILED;
		flush_later(s);
	}
	if (s->rd == READ_ENDED)
		return;
	s->rd = READ_ENDED;
	update_reading(s);
	s->on->on_end(s->owner, status);
}

/* ---- reading ---- */
static void on_alloc(uv_handle_t *tcp, size_t suggested, uv_buf_t *ret)
{
	struct ph_stream *s = tcp->data;

	(void)suggested;
	ph_loop_woke(s->loop);
	ret->base = s->loop->read_buf;
	ret->len = PH_READ_SIZE;
}

/* Decrypts what was fed, and hands it over in one piece. */
static void read_records(struct ph_stream *s)
{
	char *plain = s->loop->plain_buf;
	size_t n = 0;
	long r = PH_TLS_MORE;

	if (s->sm.state != OPEN || s->rd == READ_ENDED)
		return;
	if (s->rd == READ_OFF) {
		ph_tls_conn_hold(s->tls);
		update_reading(s);
		return;
	}
	while (n < PH_PLAIN_SIZE) {
		r = ph_tls_conn_read(s->tls, plain + n, PH_PLAIN_SIZE - n);
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	assert(r <= 0); /* PH_PLAIN_SIZE is larger than what a read can decrypt to */
	if (s->wire.bytes > 0)
		flush_later(s); /* an answer of the protocol itself */
	if (n > 0)
		s->on->on_data(s->owner, ph_str(plain, n));
	if (s->wire.bytes > WIRE_ABUSE)
		end(s, -PH_E_TLS);
	/* an owner that stopped reading hears of the end when it reads again: it is still pending then */
	if (r < 0 && s->rd == READ_ON)
		end(s, r == PH_TLS_END ? 0 : -PH_E_TLS);
}

static void shake_hands(struct ph_stream *s)
{
	struct ph_err err = {0};
	int rc = ph_tls_conn_handshake(s->tls, &err);

	flush_later(s);
	if (rc < 0) {
		if (s->accepted)
			note_failed_handshake(&err);
		connect_failed(s, rc, &err);
	} else if (rc > 0) {
		handshake_over(s);
		ph_sm_move(&s->sm, OPEN);
		if (s->accepted)
			ph_metric_add(PH_M_HANDSHAKES, ph_tls_conn_resumed(s->tls), 0, 1);
		else
			s->on->on_connect(s->owner, 0, NULL);
	}
}

static void take(struct ph_stream *s, struct ph_str bytes)
{
	if (!s->tls) {
		s->on->on_data(s->owner, bytes);
		return;
	}
	ph_tls_conn_feed(s->tls, bytes);
	if (s->sm.state == HANDSHAKE)
		shake_hands(s);
	read_records(s);
}

/* The read side is over: with UV_EOF or an error. */
static void take_end(struct ph_stream *s, int sys)
{
	struct ph_err err = {0};

	if (s->sm.state != HANDSHAKE) {
		end(s, sys == UV_EOF && s->wr != WRITE_FAILED ? 0 : -PH_E_SOCKET);
		return;
	}
	ph_fail(&err, PH_E_TLS, "the connection ended during the TLS handshake: %s", uv_strerror(sys));
	connect_failed(s, -PH_E_TLS, &err);
}

/* libuv 1.44: a short read of a socket that has hung up is followed by UV_EOF without another look, also
 * after a reset, which must not pass for a clean end. */
static int true_end(const struct ph_stream *s, ssize_t n)
{
	char byte;

	if (n == UV_EOF && recv(descriptor(s), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		return -errno;
	return (int)n;
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
	struct ph_stream *s = tcp->data;

	if (n > 0)
		take(s, ph_str(buf->base, (size_t)n));
	else if (n < 0)
		take_end(s, true_end(s, n));
}

void ph_stream_read(struct ph_stream *s, bool on)
{
	if (s->rd == READ_ENDED || s->sm.state == CLOSING)
		return;
	s->rd = on ? READ_ON : READ_OFF;
	if (on && s->tls && ph_tls_conn_pending(s->tls))
		flush_later(s);
	update_reading(s);
}

bool ph_stream_reading(const struct ph_stream *s)
{
	return s->rd == READ_ON;
}

/* ---- writing ---- */
/* Brings in_libuv up to date; a write that makes headway is progress. */
static void look_at_libuv(struct ph_stream *s)
{
	size_t left = s->in_flight > 0 ? uv_stream_get_write_queue_size(handle(s)) : 0;

	if (left < s->in_libuv)
		s->progress_ms = ph_loop_now_ms(s->loop);
	s->in_libuv = left;
}

static void taken(struct ph_stream *s, size_t n)
{
	if (n == 0)
		return;
	s->progress_ms = ph_loop_now_ms(s->loop);
	ph_queue_drop(outgoing(s), s->loop, n);
}

/* A peer that answers early and goes away has left that answer in the kernel: the owner hears it before the
 * end. */
static void write_failed(struct ph_stream *s, int sys)
{
	s->wr = WRITE_FAILED;
	drop_queues(s);
	while (s->sm.state == HANDSHAKE || (s->sm.state == OPEN && s->rd == READ_ON)) {
		ssize_t n = recv(descriptor(s), s->loop->read_buf, PH_READ_SIZE, MSG_DONTWAIT);

		if (n <= 0)
			break;
		take(s, ph_str(s->loop->read_buf, (size_t)n));
	}
	if (s->sm.state == OPEN || s->sm.state == HANDSHAKE)
		take_end(s, sys);
}

static void on_written(uv_write_t *req, int status)
{
	struct ph_stream *s = req->handle->data;
	size_t n = s->in_flight;

	ph_loop_woke(s->loop);
	s->in_flight = s->in_libuv = 0;
	if (s->sm.state == CLOSING)
		return;
	if (status == 0) {
		taken(s, n);
	} else {
		s->wr = WRITE_FAILED;
		s->sys = status;
	}
	flush_later(s);
}

/* Moves what was pushed through TLS, up to what the kernel may soon want. */
static int encrypt(struct ph_stream *s)
{
	while (s->queue.bytes > 0 && s->wire.bytes < WIRE_MAX) {
		long n = ph_tls_conn_write(s->tls, ph_queue_front(&s->queue));

		if (n < 0)
			return (int)n;
		ph_queue_drop(&s->queue, s->loop, (size_t)n);
	}
	if (s->queue.bytes == 0 && s->wr == WRITE_ENDING)
		ph_tls_conn_notify(s->tls);
	return 0;
}

/* Gives the kernel what it takes, and libuv the rest. */
static int write_some(struct ph_stream *s)
{
	uv_buf_t bufs[BUFS_MAX];
	size_t bytes;
	unsigned count = ph_queue_gather(outgoing(s), bufs, BUFS_MAX, &bytes);
	int n = uv_try_write(handle(s), bufs, count);

	if (n < 0 && n != UV_EAGAIN)
		return n;
	if (n > 0)
		taken(s, (size_t)n); /* releases borrowed bytes, whose owner may close us */
	if ((n > 0 && (size_t)n == bytes) || s->sm.state == CLOSING)
		return 0;
	count = ph_queue_gather(outgoing(s), bufs, BUFS_MAX, &bytes);
	n = uv_write(&s->req.write, handle(s), bufs, count, on_written);
	if (n == 0)
		s->in_flight = s->in_libuv = bytes;
	return n;
}

/* One round of writing. Returns whether there is more to do, or a code. */
static int write_round(struct ph_stream *s)
{
	int rc = 0;

	if (s->sm.state != OPEN && s->sm.state != HANDSHAKE)
		return 0;
	if (s->tls && s->sm.state == OPEN)
		rc = encrypt(s);
	if (rc < 0 || outgoing(s)->bytes == 0 || s->sm.state == CLOSING)
		return rc;
	rc = write_some(s);
	return rc < 0 ? rc : s->in_flight == 0;
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	struct ph_stream *s = req->handle->data;

	ph_loop_woke(s->loop);
	if (status < 0) {
		s->wr = WRITE_FAILED;
		s->sys = status;
	}
	flush_later(s);
}

static void after_writing(struct ph_stream *s)
{
	if (s->sm.state != OPEN || s->in_flight > 0)
		return;
	if (s->wr == WRITE_ENDING && ph_stream_queued(s) == 0) {
		int rc = uv_shutdown(&s->req.shutdown, handle(s), on_shutdown);

		s->wr = WRITE_ENDED;
		if (rc < 0)
			write_failed(s, rc);
	} else if (s->blocked && s->wr == WRITE_OPEN && ph_stream_queued(s) <= PH_STREAM_LOW) {
		s->blocked = false;
		if (s->on->on_drain)
			s->on->on_drain(s->owner);
	}
}

static void refuse_connect(struct ph_stream *s, int status, int sys)
{
	struct ph_err err = {0};
	struct ph_addr peer;
	char text[64];

	ph_stream_peer(s, &peer);
	ph_addr_text(&peer, text, sizeof(text));
	ph_fail(&err, -status, "cannot connect to %s: %s", text,
		sys ? uv_strerror(sys) : "this host name cannot be verified");
	err.sys = -sys;
	connect_failed(s, status, &err);
}

/* All that a stream has to do at the end of a turn. */
static void on_flush(void *arg)
{
	struct ph_stream *s = arg;
	int more = 1;

	if (s->sm.state == CONNECT && s->fault) {
		refuse_connect(s, s->fault, s->sys);
		return;
	}
	if (s->sm.state == OPEN && s->rd == READ_ON && s->tls && ph_tls_conn_pending(s->tls)) {
		read_records(s);
		update_reading(s);
	}
	while (more > 0 && s->in_flight == 0 && s->wr != WRITE_FAILED)
		more = write_round(s);
	if (s->queue.bytes == 0)
		ph_queue_drop(
			&s->queue, s->loop, 0); /* empty borrowed slices want their release all the same */
	if (s->sm.state == CLOSING)
		return;
	if (more < 0)
		write_failed(s, more);
	else if (s->wr == WRITE_FAILED && s->in_flight == 0)
		write_failed(s, s->sys);
	else
		after_writing(s);
}

/* Room below the high mark, after a push. */
static long room(struct ph_stream *s)
{
	long left = PH_STREAM_HIGH - (long)ph_stream_queued(s);

	flush_later(s);
	if (left <= 0)
		s->blocked = true;
	return left;
}

long ph_stream_push(struct ph_stream *s, struct ph_str bytes)
{
	if (s->wr == WRITE_OPEN && s->sm.state != CLOSING)
		ph_queue_copy(&s->queue, s->loop, bytes);
	return room(s);
}

long ph_stream_push_ref(struct ph_stream *s, struct ph_str bytes, void (*release)(void *arg), void *arg)
{
	/* nobody will write it, but it has to be released, and not from in here */
	if (s->wr != WRITE_OPEN || s->sm.state == CLOSING)
		bytes = PH_STR_NONE;
	ph_queue_ref(&s->queue, bytes, release, arg);
	return room(s);
}

size_t ph_stream_queued(const struct ph_stream *s)
{
	size_t all = s->queue.bytes + s->wire.bytes;

	if (s->in_flight == 0 || s->sm.state == CLOSING)
		return all;
	return all - s->in_flight + uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp);
}

uint64_t ph_stream_progress_ms(struct ph_stream *s)
{
	look_at_libuv(s);
	return s->progress_ms;
}

void ph_stream_shutdown(struct ph_stream *s)
{
	if (s->wr != WRITE_OPEN)
		return;
	s->wr = WRITE_ENDING;
	flush_later(s);
}

/* ---- birth ---- */
void ph_socket_options(int fd)
{
	const int on = 1, idle_s = 30, interval_s = 5, probes = 3;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static struct ph_stream *stream_new(struct ph_loop *loop, const struct ph_addr *peer, unsigned state)
{
	struct ph_stream *s = ph_alloc(sizeof(*s));

	uv_tcp_init(&loop->uv, &s->tcp); /* makes no socket, cannot fail */
	s->tcp.data = s;
	s->loop = loop;
	ph_sm_init(&s->sm, "stream", states, STATE_NR, state);
	ph_defer_init(&s->flush, on_flush, s);
	ph_queue_init(&s->queue);
	ph_queue_init(&s->wire);
	ph_list_init(&s->shaking);
	s->progress_ms = ph_loop_now_ms(loop);
	memcpy(&s->peer, &peer->sa, peer->len < sizeof(s->peer) ? peer->len : sizeof(s->peer));
	return s;
}

static void on_connected(uv_connect_t *req, int status)
{
	struct ph_stream *s = req->handle->data;

	ph_loop_woke(s->loop);
	if (s->sm.state == CLOSING)
		return;
	if (status < 0) {
		refuse_connect(s, -PH_E_SOCKET, status);
		return;
	}
	s->progress_ms = ph_loop_now_ms(s->loop);
	flush_later(s);
	ph_sm_move(&s->sm, s->tls ? HANDSHAKE : OPEN);
	update_reading(s);
	if (s->tls)
		shake_hands(s);
	else
		s->on->on_connect(s->owner, 0, NULL);
}

static uint16_t port_of(const struct ph_stream *s)
{
	return ntohs(s->peer.any.sa_family == AF_INET6 ? s->peer.in6.sin6_port : s->peer.in.sin_port);
}

struct ph_stream *ph_stream_connect(struct ph_loop *loop, const struct ph_addr *addr, struct ph_tls *tls,
	const char *host, const struct ph_stream_events *events, void *owner)
{
	struct ph_stream *s = stream_new(loop, addr, CONNECT);

	assert(events && events->on_connect && events->on_data && events->on_end);
	ph_stream_set_owner(s, events, owner);
	if (tls)
		s->tls = ph_tls_conn_connect(tls, loop, host, port_of(s), &s->wire);
	if (tls && !s->tls)
		s->fault = -PH_E_TLS;
	else
		s->sys = uv_tcp_connect(&s->req.connect, &s->tcp, &s->peer.any, on_connected);
	if (s->sys < 0)
		s->fault = -PH_E_SOCKET;
	if (s->fault)
		flush_later(s);
	else
		ph_socket_options(descriptor(s));
	return s;
}

/* Too many are in their handshake. The oldest has had the most time, and is the least likely to go on. */
static void cut_oldest_handshake(struct ph_loop *loop)
{
	struct ph_err err = {0};

	ph_fail(&err, PH_E_TLS, "%u handshakes were going on, and this was the oldest",
		loop->handshake_count);
	note_failed_handshake(&err);
	connect_failed(PH_CONTAINER(loop->handshakes.next, struct ph_stream, shaking), -PH_E_TLS, &err);
}

static void start_accepted_handshake(struct ph_stream *s, struct ph_tls *tls, const struct ph_addr *peer)
{
	char name[64];

	if (s->loop->handshake_count >= s->loop->handshakes_max)
		cut_oldest_handshake(s->loop);
	ph_addr_text(peer, name, sizeof(name));
	s->tls = ph_tls_conn_accept(tls, s->loop, name, &s->wire);
	ph_list_push_back(&s->loop->handshakes, &s->shaking);
	s->loop->handshake_count++;
	update_reading(s);
}

struct ph_stream *ph_stream_accepted(
	struct ph_loop *loop, int fd, const struct ph_addr *peer, struct ph_tls *tls)
{
	struct ph_stream *s = stream_new(loop, peer, tls ? HANDSHAKE : OPEN);

	s->accepted = true;
	if (uv_tcp_open(&s->tcp, fd) < 0) {
		close(fd);
		ph_stream_close(s, false);
		return NULL;
	}
	if (tls)
		start_accepted_handshake(s, tls, peer);
	return s;
}

void ph_stream_set_owner(struct ph_stream *s, const struct ph_stream_events *events, void *owner)
{
	s->on = events;
	s->owner = owner;
}

/* ---- questions ---- */
bool ph_stream_alive(const struct ph_stream *s)
{
	char byte;

	if (s->sm.state != OPEN || s->rd == READ_ENDED || s->wr != WRITE_OPEN)
		return false;
	if (s->tls && ph_tls_conn_pending(s->tls))
		return false;
	if (s->rd == READ_ON)
		return true; /* the loop tells of bytes and of the end */
	return recv(descriptor(s), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	       (errno == EAGAIN || errno == EINTR);
}

void ph_stream_peer(const struct ph_stream *s, struct ph_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->len = s->peer.any.sa_family == AF_INET6 ? sizeof(s->peer.in6) : sizeof(s->peer.in);
	memcpy(&ret->sa, &s->peer, ret->len);
}

bool ph_stream_tls_resumed(const struct ph_stream *s)
{
	return s->tls && ph_tls_conn_resumed(s->tls);
}

bool ph_stream_truncated(const struct ph_stream *s)
{
	return s->tls && s->rd == READ_ENDED && !ph_tls_conn_ended(s->tls);
}

/* ---- death ---- */
static void stream_free(void *obj)
{
	struct ph_stream *s = obj;

	s->tls = ph_tls_conn_free(s->tls);
	free(s);
}

static void on_handle_closed(uv_handle_t *tcp)
{
	struct ph_stream *s = tcp->data;

	ph_loop_woke(s->loop);
	drop_queues(s); /* also what was pushed after the close */
	if (s->on && s->on->on_closed)
		s->on->on_closed(s->owner);
	ph_loop_bury(s->loop, s, stream_free);
}

static void linger_none(const struct ph_stream *s)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	setsockopt(descriptor(s), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void ph_stream_close(struct ph_stream *s, bool abort)
{
	if (s->sm.state == CLOSING)
		return;
	if (abort) {
		linger_none(s);
	} else if (s->tls && s->sm.state == OPEN && ph_stream_queued(s) == 0) {
		ph_tls_conn_notify(s->tls);
		last_words(s);
	}
	handshake_over(s);
	ph_sm_move(&s->sm, CLOSING);
	ph_defer_cancel(&s->flush);
	uv_close((uv_handle_t *)&s->tcp, on_handle_closed);
}
