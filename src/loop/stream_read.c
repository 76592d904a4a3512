/* SPDX-License-Identifier: Apache-2.0 */
/* The read half of streams: from the kernel, through TLS, to the owner; and the handshake, which is driven by
 * what arrives. */
#include <assert.h>
#include <errno.h>

#include "stream_priv.h"

/* What is encrypted ahead is at most PH_WIRE_MAX and a record. More is answers of the protocol itself, to a
 * peer that asks for them and does not read. */
#define WIRE_ABUSE (3 * PH_WIRE_MAX)

static void on_alloc(uv_handle_t *tcp, size_t suggested, uv_buf_t *ret)
{
	struct ph_stream *s = tcp->data;

	(void)suggested;
	ph_loop_woke(s->loop);
	ret->base = s->loop->read_buf;
	ret->len = PH_READ_SIZE;
}

void ph_stream_read_records(struct ph_stream *s)
{
	char *plain = s->loop->plain_buf;
	size_t n = 0;
	long r = PH_TLS_MORE;

	if (s->sm.state != STREAM_OPEN || s->rd == READ_ENDED)
		return;
	if (s->rd == READ_OFF) {
		ph_tls_conn_hold(s->tls);
		ph_stream_update_reading(s);
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
		ph_stream_flush_later(s); /* an answer of the protocol itself */
	if (n > 0)
		s->on->on_data(s->owner, ph_str(plain, n));
	if (s->wire.bytes > WIRE_ABUSE)
		ph_stream_end(s, -PH_E_TLS);
	/* an owner that stopped reading hears of the end when it reads again: it is still pending then */
	if (r < 0 && s->rd == READ_ON)
		ph_stream_end(s, r == PH_TLS_END ? 0 : -PH_E_TLS);
}

void ph_stream_shake_hands(struct ph_stream *s)
{
	struct ph_err err = {0};
	int rc = ph_tls_conn_handshake(s->tls, &err);

	ph_stream_flush_later(s);
	if (rc < 0) {
		if (s->accepted)
			ph_stream_handshake_failed(&err);
		ph_stream_never_open(s, rc, &err);
	} else if (rc > 0) {
		ph_stream_opened(s);
	}
}

void ph_stream_take(struct ph_stream *s, struct ph_str bytes)
{
	if (!s->tls) {
		s->on->on_data(s->owner, bytes);
		return;
	}
	ph_tls_conn_feed(s->tls, bytes);
	if (s->sm.state == STREAM_HANDSHAKE)
		ph_stream_shake_hands(s);
	ph_stream_read_records(s);
}

void ph_stream_take_end(struct ph_stream *s, int sys)
{
	struct ph_err err = {0};

	if (s->sm.state != STREAM_HANDSHAKE) {
		ph_stream_end(s, sys == UV_EOF && s->wr != WRITE_FAILED ? 0 : -PH_E_SOCKET);
		return;
	}
	ph_fail(&err, PH_E_TLS, "the connection ended during the TLS handshake: %s", uv_strerror(sys));
	ph_stream_never_open(s, -PH_E_TLS, &err);
}

/* libuv 1.44: a short read of a socket that has hung up is followed by UV_EOF without another look, also
 * after a reset, which must not pass for a clean end. */
static int true_end(const struct ph_stream *s, ssize_t n)
{
	char byte;

	if (n == UV_EOF && recv(ph_stream_fd(s), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		return -errno;
	return (int)n;
}

static void on_read(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf)
{
	struct ph_stream *s = tcp->data;

	if (n > 0)
		ph_stream_take(s, ph_str(buf->base, (size_t)n));
	else if (n < 0)
		ph_stream_take_end(s, true_end(s, n));
}

void ph_stream_update_reading(struct ph_stream *s)
{
	bool owed = s->tls && ph_tls_conn_pending(s->tls); /* these come first */
	int rc;

	if (s->sm.state == STREAM_HANDSHAKE || (s->sm.state == STREAM_OPEN && s->rd == READ_ON && !owed)) {
		rc = uv_read_start(ph_stream_handle(s), on_alloc, on_read);
		assert(rc == 0 || rc == UV_EALREADY);
		(void)rc;
	} else if (s->sm.state != STREAM_CLOSING) {
		uv_read_stop(ph_stream_handle(s));
	}
}

void ph_stream_read(struct ph_stream *s, bool on)
{
	if (s->rd == READ_ENDED || s->sm.state == STREAM_CLOSING)
		return;
	s->rd = on ? READ_ON : READ_OFF;
	if (on && s->tls && ph_tls_conn_pending(s->tls))
		ph_stream_flush_later(s);
	ph_stream_update_reading(s);
}

bool ph_stream_reading(const struct ph_stream *s)
{
	return s->rd == READ_ON;
}
