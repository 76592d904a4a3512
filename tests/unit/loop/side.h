/* SPDX-License-Identifier: Apache-2.0 */
/* One end of a stream under test: counts what it is told, and does on the way what a test asks it to do. */
#ifndef PH_LOOP_TEST_SIDE_H
#define PH_LOOP_TEST_SIDE_H

#include "loop_test.h"

#include "posthouse/stream.h"

enum side_place {
	NOWHERE,
	IN_CONNECT,
	IN_DATA,
	IN_END,
	IN_DRAIN
};

struct side {
	struct ph_loop *loop;
	struct ph_stream *s;
	int connected, connect_status;
	struct ph_err err;
	int pieces; /* calls of on_data */
	size_t bytes;
	uint8_t sum; /* of what came: see pattern_byte() */
	char first[64];
	bool pattern; /* what comes has to be the pattern, from its first byte */
	bool echo;    /* pushes back what comes, and stops reading while there is no room */
	int ended, end_status;
	int drained;
	int closed;
	bool calling; /* set by the test around calls that must not call back */
	bool pause;   /* stops reading when something came */
	enum side_place close_in;
	bool close_abort;
	size_t most_queued;
};

static inline char pattern_byte(size_t at)
{
	return (char)(at * 7 + (at >> 9) * 13 + (at >> 17));
}

static inline void side_close_if(struct side *x, enum side_place place)
{
	assert_false(x->calling);
	assert_int_equal(x->closed, 0);
	if (x->close_in == place)
		ph_stream_close(x->s, x->close_abort);
}

static inline void side_on_connect(void *owner, int status, const struct ph_err *err)
{
	struct side *x = owner;

	assert_true(x->s != NULL);
	assert_true((status == 0) == (err == NULL));
	x->connected++;
	x->connect_status = status;
	if (err)
		x->err = *err;
	side_close_if(x, IN_CONNECT);
}

static inline void side_echo(struct side *x, struct ph_str bytes)
{
	long room = ph_stream_push(x->s, bytes);

	if (ph_stream_queued(x->s) > x->most_queued)
		x->most_queued = ph_stream_queued(x->s);
	if (room <= 0)
		ph_stream_read(x->s, false);
}

static inline void side_on_data(void *owner, struct ph_str bytes)
{
	struct side *x = owner;

	assert_true(bytes.n > 0);
	assert_int_equal(x->ended, 0);
	assert_true(ph_stream_reading(x->s));
	x->pieces++;
	for (size_t i = 0; x->pattern && i < bytes.n; i++) {
		if (bytes.p[i] != pattern_byte(x->bytes + i))
			fail_msg("byte %zu is not what was sent", x->bytes + i);
	}
	for (size_t i = 0; i < bytes.n && x->bytes + i < sizeof(x->first) - 1; i++)
		x->first[x->bytes + i] = bytes.p[i];
	x->bytes += bytes.n;
	if (x->echo)
		side_echo(x, bytes);
	if (x->pause)
		ph_stream_read(x->s, false);
	side_close_if(x, IN_DATA);
}

static inline void side_on_end(void *owner, int status)
{
	struct side *x = owner;

	x->ended++;
	x->end_status = status;
	assert_int_equal(x->ended, 1);
	assert_false(ph_stream_reading(x->s));
	side_close_if(x, IN_END);
}

static inline void side_on_drain(void *owner)
{
	struct side *x = owner;

	x->drained++;
	assert_true(ph_stream_queued(x->s) <= PH_STREAM_LOW);
	if (x->echo && !x->ended)
		ph_stream_read(x->s, true);
	side_close_if(x, IN_DRAIN);
}

static inline void side_on_closed(void *owner)
{
	struct side *x = owner;

	assert_false(x->calling);
	x->closed++;
	x->s = NULL;
}

static const struct ph_stream_events side_events = {
	side_on_connect,
	side_on_data,
	side_on_end,
	side_on_drain,
	side_on_closed,
};

static inline void side_connect(struct side *x, struct ph_loop *loop, const struct ph_addr *addr,
	struct ph_tls *tls, const char *host)
{
	x->loop = loop;
	x->calling = true;
	x->s = ph_stream_connect(loop, addr, tls, host, &side_events, x);
	x->calling = false;
}

static inline void side_push(struct side *x, const char *text)
{
	x->calling = true;
	ph_stream_push(x->s, ph_str_c(text));
	x->calling = false;
}

static inline void side_close(struct side *x, bool abort)
{
	x->calling = true;
	ph_stream_close(x->s, abort);
	ph_stream_close(x->s, abort);
	x->calling = false;
	turn_until(x->loop, &x->closed);
}

/* Pushes the pattern from `from` to `to`, until there is no room. Returns how far it came. */
static inline size_t side_push_pattern(struct side *x, size_t from, size_t to)
{
	char piece[5000];
	long room = 1;

	while (from < to && room > 0) {
		size_t n = to - from < sizeof(piece) ? to - from : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = pattern_byte(from + i);
		x->calling = true;
		room = ph_stream_push(x->s, ph_str(piece, n));
		x->calling = false;
		from += n;
	}
	if (ph_stream_queued(x->s) > x->most_queued)
		x->most_queued = ph_stream_queued(x->s);
	return from;
}

/* Sends `size` bytes of the pattern through x, whose peer echoes, and reads them back slowly: after every
 * megabyte x does not read for a moment. */
static inline void side_round_trip(struct side *x, size_t size)
{
	const size_t stretch = 1 << 20;
	size_t sent = 0, rest_at = stretch;
	uint64_t until = ph_clock_ms() + 4 * PATIENCE_MS;
	int drained = x->drained;

	x->pattern = true;
	ph_stream_read(x->s, true);
	sent = side_push_pattern(x, 0, size);
	while (x->bytes < size) {
		ph_loop_turn(x->loop);
		if (x->drained > drained) {
			drained = x->drained;
			sent = side_push_pattern(x, sent, size);
		}
		if (x->bytes >= rest_at) {
			rest_at += stretch;
			ph_stream_read(x->s, false);
			turn_for(x->loop, 5);
			ph_stream_read(x->s, true);
		}
		assert_true(ph_clock_ms() < until);
	}
	assert_int_equal(sent, size);
	assert_int_equal(x->bytes, size);
	assert_true(x->drained > 0);
}

#endif
