/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket frames, written whole. By hand: wslay's frame layer needs a context for each frame, and masks
 * byte by byte in pieces of 4 KiB, which takes fifteen times as long.
 */
#include "posthouse/crypt.h"
#include "posthouse/ws.h"

#include <endian.h>

enum opcode {
	TEXT = 0x1,
	CLOSE = 0x8,
	PING = 0x9,
	PONG = 0xa,
};

#define FIN      0x80
#define MASKED   0x80
#define HEAD_MAX 10 /* without the key */
#define KEY_SIZE 4

static size_t put_length(uint8_t *head, size_t n)
{
	uint16_t n16 = htobe16((uint16_t)n);
	uint64_t n64 = htobe64(n);

	if (n <= 125) {
		head[1] = (uint8_t)n;
		return 2;
	}
	if (n <= UINT16_MAX) {
		head[1] = 126;
		memcpy(head + 2, &n16, sizeof(n16));
		return 2 + sizeof(n16);
	}
	head[1] = 127;
	memcpy(head + 2, &n64, sizeof(n64));
	return 2 + sizeof(n64);
}

/* Eight bytes at a time: two rounds of the key. */
static void mask(char *dst, struct ph_str s, const uint8_t key[KEY_SIZE])
{
	uint8_t twice[2 * KEY_SIZE];
	uint64_t k, v;
	size_t i = 0;

	memcpy(twice, key, KEY_SIZE);
	memcpy(twice + KEY_SIZE, key, KEY_SIZE);
	memcpy(&k, twice, sizeof(k));
	for (; s.n - i >= sizeof(v); i += sizeof(v)) {
		memcpy(&v, s.p + i, sizeof(v));
		v ^= k;
		memcpy(dst + i, &v, sizeof(v));
	}
	for (; i < s.n; i++)
		dst[i] = (char)((uint8_t)s.p[i] ^ key[i % KEY_SIZE]);
}

static void put_masked(struct ph_buf *out, struct ph_str payload)
{
	uint8_t key[KEY_SIZE];
	char *room;

	ph_rand(key, sizeof(key));
	ph_buf_append(out, key, sizeof(key));
	room = ph_buf_room(out, payload.n);
	if (!room)
		return;
	mask(room, payload, key);
	ph_buf_wrote(out, payload.n);
}

static void put_head(struct ph_buf *out, enum ph_ws_side side, enum opcode opcode, size_t length)
{
	uint8_t head[HEAD_MAX];
	size_t n = put_length(head, length);

	head[0] = (uint8_t)(FIN | opcode);
	if (side == PH_WS_CLIENT)
		head[1] |= MASKED;
	ph_buf_append(out, head, n);
}

static void put(struct ph_buf *out, enum ph_ws_side side, enum opcode opcode, struct ph_str payload)
{
	put_head(out, side, opcode, payload.n);
	if (side == PH_WS_CLIENT)
		put_masked(out, payload);
	else
		ph_buf_puts(out, payload);
}

void ph_ws_put_text(struct ph_buf *out, enum ph_ws_side side, struct ph_str text)
{
	put(out, side, TEXT, text);
}

void ph_ws_put_text_head(struct ph_buf *out, size_t n)
{
	put_head(out, PH_WS_SERVER, TEXT, n);
}

static struct ph_str cut(struct ph_str s, size_t max)
{
	return s.n > max ? ph_str(s.p, max) : s;
}

void ph_ws_put_ping(struct ph_buf *out, enum ph_ws_side side, struct ph_str payload)
{
	put(out, side, PING, cut(payload, PH_WS_CONTROL_MAX));
}

void ph_ws_put_pong(struct ph_buf *out, enum ph_ws_side side, struct ph_str payload)
{
	put(out, side, PONG, cut(payload, PH_WS_CONTROL_MAX));
}

/* Not within a character: back over the bytes that continue one. */
static struct ph_str cut_text(struct ph_str s, size_t max)
{
	size_t n = max;

	if (s.n <= max)
		return s;
	while (n > 0 && ((uint8_t)s.p[n] & 0xc0) == 0x80)
		n--;
	return ph_str(s.p, n);
}

void ph_ws_put_close(struct ph_buf *out, enum ph_ws_side side, int code, struct ph_str reason)
{
	char payload[PH_WS_CONTROL_MAX] = {(char)(code >> 8), (char)code};
	size_t n = 0;

	if (code != PH_WS_NO_CODE) {
		reason = cut_text(reason, sizeof(payload) - 2);
		if (reason.n > 0)
			memcpy(payload + 2, reason.p, reason.n);
		n = 2 + reason.n;
	}
	put(out, side, CLOSE, ph_str(payload, n));
}
