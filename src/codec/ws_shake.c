/* SPDX-License-Identifier: Apache-2.0 */
/* The WebSocket handshake's two values: the client's key, and the server's answer to it (RFC 6455, 4.2.2). */
#include "posthouse/crypt.h"
#include "posthouse/ws.h"

#define KEY_BYTES  16
#define SHA1_BYTES 20

static void put_base64(char *dst, size_t size, const uint8_t *p, size_t n)
{
	struct ph_buf text;

	ph_buf_init(&text, size - 1);
	ph_base64(&text, ph_str((const char *)p, n));
	ph_str_copy(dst, size, ph_buf_str(&text));
	ph_buf_deinit(&text);
}

void ph_ws_key_make(char ret[PH_WS_KEY_SIZE])
{
	uint8_t bytes[KEY_BYTES];

	ph_rand(bytes, sizeof(bytes));
	put_base64(ret, PH_WS_KEY_SIZE, bytes, sizeof(bytes));
}

bool ph_ws_key_valid(struct ph_str key)
{
	uint8_t bytes[KEY_BYTES];
	size_t n;

	return key.n == PH_WS_KEY_SIZE - 1 && ph_unbase64(key, bytes, sizeof(bytes), &n) &&
	       n == sizeof(bytes);
}

void ph_ws_accept(struct ph_str key, char ret[PH_WS_ACCEPT_SIZE])
{
	const struct ph_str guid = PH_STR("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
	uint8_t digest[SHA1_BYTES];
	struct ph_buf text;

	ph_buf_init(&text, key.n + guid.n);
	ph_buf_puts(&text, key);
	ph_buf_puts(&text, guid);
	ph_sha1(ph_buf_str(&text), digest);
	ph_buf_deinit(&text);
	put_base64(ret, PH_WS_ACCEPT_SIZE, digest, sizeof(digest));
}
