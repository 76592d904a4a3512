/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handshake of a WebSocket: GET /responses with an upgrade. What is wrong with it is answered before the
 * 101, as what a script or a mode orders is. A script may also say what becomes of the socket once it is
 * open.
 */
#include <openssl/sha.h>

#include "posthouse/crypt.h"
#include "socket.h"

static bool is_websocket(const struct fake_exchange *x)
{
	return ph_str_eq(x->head->method, PH_STR("GET")) &&
	       (ph_str_eq(x->path, PH_STR("/responses")) || ph_str_eq(x->path, PH_STR("/responses/"))) &&
	       ph_str_eq_nocase(ph_head_get(x->head, PH_STR("upgrade")), PH_STR("websocket"));
}

static bool good_key(struct ph_str key)
{
	uint8_t bytes[16];
	size_t n;

	return key.n == 24 && ph_unbase64(key, bytes, sizeof(bytes), &n) && n == sizeof(bytes);
}

static struct ph_str accept_of(struct fake_exchange *x, struct ph_str key)
{
	struct ph_str whole = ph_str_c(
		ph_arena_printf(&x->arena, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", PH_STR_ARG(key)));
	uint8_t hash[SHA_DIGEST_LENGTH];
	struct ph_buf text;
	struct ph_str accept;

	SHA1((const unsigned char *)whole.p, whole.n, hash);
	ph_buf_init(&text, 64);
	ph_base64(&text, ph_str((const char *)hash, sizeof(hash)));
	accept = ph_arena_dup(&x->arena, ph_buf_str(&text));
	ph_buf_deinit(&text);
	return accept;
}

/* False: refused and answered. */
static bool check(struct fake_exchange *x)
{
	if (!is_websocket(x) || x->account->kind == FAKE_STATELESS) {
		fake_answer_error(x, 426, "invalid_request_error", NULL, NULL,
			"This server does not speak WebSocket here.");
		return false;
	}
	if (!ph_str_eq(ph_head_get(x->head, PH_STR("sec-websocket-version")), PH_STR("13")) ||
		!good_key(ph_head_get(x->head, PH_STR("sec-websocket-key")))) {
		x->account->found[FAKE_PROTOCOL]++;
		fake_answer_error(x, 400, "invalid_request_error", NULL, NULL,
			"Sec-WebSocket-Version must be 13, Sec-WebSocket-Key 16 bytes in base64.");
		return false;
	}
	return true;
}

/* What a script wants behind the 101: unsolicited frames, and an end. */
static void put_script(struct fake_exchange *x, struct fake_do *d)
{
	struct ph_buf *b = &x->play.wire;
	struct ph_str event, text;
	size_t offset = 0;

	while (d->before.p && ph_json_next(d->before, &offset, &event)) {
		if (ph_json_kind(event) != PH_JSON_STRING || !ph_json_text(event, &x->arena, &text))
			text = event;
		fake_frame_head(b, 1, true, text.n);
		ph_buf_puts(b, text);
	}
	switch ((enum fake_fault)d->fault) {
	case FAKE_END:
	case FAKE_SHUT:
		fake_close_frame(b, (uint16_t)FAKE_DO(d, close_code, 1000), d->close_reason);
		x->play.ending = FAKE_CLOSE;
		break;
	case FAKE_EOF:
		x->play.ending = FAKE_CUT;
		break;
	case FAKE_RESET:
		x->play.ending = FAKE_ABORT;
		break;
	case FAKE_SILENCE:
		x->play.ending = FAKE_HOLD;
		break;
	default:
		break;
	}
}

void fake_upgrade_start(struct fake_exchange *x)
{
	struct ph_err err = {0};

	if (fake_do_choose(x, PH_STR(""), FAKE_FOR_UPGRADE, &x->todo, &err) || fake_exchange_overridden(x) ||
		!check(x))
		return;
	x->play.ending = FAKE_SWITCH;
	if (x->todo)
		put_script(x, x->todo);
	fake_answer_switch(x, accept_of(x, ph_head_get(x->head, PH_STR("sec-websocket-key"))));
}
