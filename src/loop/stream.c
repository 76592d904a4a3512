/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams over TCP. TLS stands between the owner and the socket as a filter (tls.c) that knows no
 * socket. Here: how streams begin and end; stream_read.c and stream_write.c have the two directions.
 *
 *     push -> queue ------------------> kernel        cleartext
 *     push -> queue -> TLS -> wire ---> kernel        TLS: encrypted when it is written, at most
 *                                                PH_WIRE_MAX ahead
 *
 *     CONNECT -> [HANDSHAKE ->] OPEN -> FAILED -> CLOSING
 *
 * The two directions of an OPEN stream end separately: see enum read_half and enum write_half.
 *
 * Writing happens in ph_stream_flush(), a late call of the loop: what was pushed in a turn leaves with one
 * system call, and nothing is called back from inside push. What the kernel does not take goes to libuv, one
 * request at a time.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "posthouse/log.h"
#include "posthouse/metrics.h"

#include "stream_priv.h"

/* PH_M_HANDSHAKES counts by result: full, resumed, failed. */
#define FAILED_HANDSHAKE 2

#define B(state)         PH_SM_BIT(STREAM_##state)
static const struct ph_sm_state states[STREAM_NR] = {
	[STREAM_CONNECT] = {"CONNECT", B(HANDSHAKE) | B(OPEN) | B(FAILED) | B(CLOSING)},
	[STREAM_HANDSHAKE] = {"HANDSHAKE", B(OPEN) | B(FAILED) | B(CLOSING)},
	[STREAM_OPEN] = {"OPEN", B(FAILED) | B(CLOSING)},
	[STREAM_FAILED] = {"FAILED", B(CLOSING)},
	[STREAM_CLOSING] = {"CLOSING", 0},
};
#undef B

/* ---- beginnings and ends ---- */
/* An accepted stream leaves its handshake, one way or the other. */
static void handshake_over(struct ph_stream *s)
{
	if (ph_list_empty(&s->shaking))
		return;
	ph_list_remove(&s->shaking);
	s->loop->handshake_count--;
}

void ph_stream_opened(struct ph_stream *s)
{
	handshake_over(s);
	ph_sm_move(&s->sm, STREAM_OPEN);
	ph_stream_update_reading(s);
	if (s->accepted)
		ph_metric_add(PH_M_HANDSHAKES, ph_tls_conn_resumed(s->tls), 0, 1);
	else
		s->on->on_connect(s->owner, 0, NULL);
}

void ph_stream_never_open(struct ph_stream *s, int status, const struct ph_err *err)
{
	ph_stream_last_words(s);
	handshake_over(s);
	ph_sm_move(&s->sm, STREAM_FAILED);
	s->rd = READ_ENDED;
	s->wr = WRITE_FAILED;
	ph_stream_update_reading(s);
	ph_stream_flush_later(s);
	if (s->accepted)
		s->on->on_end(s->owner, status);
	else
		s->on->on_connect(s->owner, status, err);
}

void ph_stream_end(struct ph_stream *s, int status)
{
	if (s->sm.state != STREAM_OPEN)
		return;
	if (status < 0) {
		ph_stream_last_words(s);
		ph_sm_move(&s->sm, STREAM_FAILED);
		s->wr = WRITE_FAILED;
		ph_stream_flush_later(s);
	}
	if (s->rd == READ_ENDED)
		return;
	s->rd = READ_ENDED;
	ph_stream_update_reading(s);
	s->on->on_end(s->owner, status);
}

/* ---- handshakes of clients ---- */
void ph_stream_handshake_failed(const struct ph_err *err)
{
	const struct ph_field fields[] = {PH_F_C("error", err->detail)};

	ph_metric_add(PH_M_HANDSHAKES, FAILED_HANDSHAKE, 0, 1);
	ph_log_fields(PH_LOG_DEBUG, "a client's TLS handshake failed", fields, 1);
}

/* Too many are in their handshake. The oldest has had the most time, and is the least likely to go on. */
static void cut_oldest_handshake(struct ph_loop *loop)
{
	struct ph_err err = {0};

	ph_fail(&err, PH_E_TLS, "%u handshakes were going on, and this was the oldest",
		loop->handshake_count);
	ph_stream_handshake_failed(&err);
	ph_stream_never_open(PH_CONTAINER(loop->handshakes.next, struct ph_stream, shaking), -PH_E_TLS, &err);
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
	ph_stream_update_reading(s);
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
	ph_sm_init(&s->sm, "stream", states, STREAM_NR, state);
	ph_defer_init(&s->flush, ph_stream_flush, s);
	ph_queue_init(&s->queue);
	ph_queue_init(&s->wire);
	ph_list_init(&s->shaking);
	s->progress_ms = ph_loop_now_ms(loop);
	memcpy(&s->peer, &peer->sa, peer->len < sizeof(s->peer) ? peer->len : sizeof(s->peer));
	return s;
}

void ph_stream_refuse_connect(struct ph_stream *s, int status, int sys)
{
	struct ph_err err = {0};
	struct ph_addr peer;
	char text[64];

	ph_stream_peer(s, &peer);
	ph_addr_text(&peer, text, sizeof(text));
	ph_fail(&err, -status, "cannot connect to %s: %s", text,
		sys ? uv_strerror(sys) : "this host name cannot be verified");
	err.sys = -sys;
	ph_stream_never_open(s, status, &err);
}

static void on_connected(uv_connect_t *req, int status)
{
	struct ph_stream *s = req->handle->data;

	free(req);
	ph_loop_woke(s->loop);
	if (s->sm.state == STREAM_CLOSING)
		return;
	if (status < 0) {
		ph_stream_refuse_connect(s, -PH_E_SOCKET, status);
		return;
	}
	s->progress_ms = ph_loop_now_ms(s->loop);
	ph_stream_flush_later(s);
	if (!s->tls) {
		ph_stream_opened(s);
		return;
	}
	ph_sm_move(&s->sm, STREAM_HANDSHAKE);
	ph_stream_update_reading(s);
	ph_stream_shake_hands(s);
}

static int connect_to_peer(struct ph_stream *s)
{
	uv_connect_t *req = ph_alloc(sizeof(*req));
	int rc = uv_tcp_connect(req, &s->tcp, &s->peer.any, on_connected);

	if (rc < 0)
		free(req);
	return rc;
}

static uint16_t port_of(const struct ph_stream *s)
{
	return ntohs(s->peer.any.sa_family == AF_INET6 ? s->peer.in6.sin6_port : s->peer.in.sin_port);
}

struct ph_stream *ph_stream_connect(struct ph_loop *loop, const struct ph_addr *addr, struct ph_tls *tls,
	const char *host, const struct ph_stream_events *events, void *owner)
{
	struct ph_stream *s = stream_new(loop, addr, STREAM_CONNECT);

	assert(events && events->on_connect && events->on_data && events->on_end);
	ph_stream_set_owner(s, events, owner);
	if (tls)
		s->tls = ph_tls_conn_connect(tls, loop, host, port_of(s), &s->wire);
	if (tls && !s->tls)
		s->fault = -PH_E_TLS;
	else
		s->sys = connect_to_peer(s);
	if (s->sys < 0)
		s->fault = -PH_E_SOCKET;
	if (s->fault)
		ph_stream_flush_later(s);
	else
		ph_socket_options(ph_stream_fd(s));
	return s;
}

struct ph_stream *ph_stream_accepted(
	struct ph_loop *loop, int fd, const struct ph_addr *peer, struct ph_tls *tls)
{
	struct ph_stream *s = stream_new(loop, peer, tls ? STREAM_HANDSHAKE : STREAM_OPEN);

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

	if (s->sm.state != STREAM_OPEN || s->rd == READ_ENDED || s->wr != WRITE_OPEN)
		return false;
	if (s->tls && ph_tls_conn_pending(s->tls))
		return false;
	if (s->rd == READ_ON)
		return true; /* the loop tells of bytes and of the end */
	return recv(ph_stream_fd(s), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
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
void ph_stream_drop_queues(struct ph_stream *s)
{
	ph_queue_clear(&s->queue, s->loop);
	ph_queue_clear(&s->wire, s->loop);
}

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
	ph_stream_drop_queues(s); /* also what was pushed after the close */
	if (s->on && s->on->on_closed)
		s->on->on_closed(s->owner);
	ph_loop_bury(s->loop, s, stream_free);
}

static void linger_none(const struct ph_stream *s)
{
	const struct linger none = {.l_onoff = 1, .l_linger = 0};

	setsockopt(ph_stream_fd(s), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

void ph_stream_close(struct ph_stream *s, bool abort)
{
	if (s->sm.state == STREAM_CLOSING)
		return;
	if (abort) {
		linger_none(s);
	} else if (s->tls && s->sm.state == STREAM_OPEN && ph_stream_queued(s) == 0) {
		ph_tls_conn_notify(s->tls);
		ph_stream_last_words(s);
	}
	handshake_over(s);
	ph_sm_move(&s->sm, STREAM_CLOSING);
	ph_defer_cancel(&s->flush);
	uv_close((uv_handle_t *)&s->tcp, on_handle_closed);
}
