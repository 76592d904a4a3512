/* SPDX-License-Identifier: Apache-2.0 */
/* A request's body: decoded as it comes, never above the maximum, and not before its handler wants it; or
 * told as it comes, to a handler that keeps none of it. */
#include "server_priv.h"

#define ROOM_MAX (256 * 1024)

static void fault(struct ph_client *c, int code)
{
	if (c->body_fault == 0)
		c->body_fault = code;
	ph_client_later(c);
}

void ph_body_fail(struct ph_client *c, int code)
{
	fault(c, code);
}

/* Whether the head alone tells that the body cannot be taken. */
static int refuse_early(struct ph_client *c)
{
	const struct ph_head *h = c->x.head;

	if (ph_encoding_parse(ph_head_get(h, PH_STR("content-encoding")), &c->encoding))
		return -PH_E_ENCODING_UNKNOWN;
	if (h->length > 0 && (uint64_t)h->length > c->keeper->max_body)
		return -PH_E_BODY_TOO_LARGE;
	return 0;
}

/* Room for the whole body spares copies while it comes; nobody gets much of it for a promise alone. */
static size_t at_once(uint64_t length)
{
	return length < ROOM_MAX ? (size_t)length : ROOM_MAX;
}

static void make_room(struct ph_client *c)
{
	if (c->encoding != PH_IDENTITY)
		c->unzip = ph_unzip_new(c->encoding, &c->x.body);
	else if (c->x.head->length > 0)
		ph_buf_room(&c->x.body, at_once((uint64_t)c->x.head->length));
}

bool ph_body_want(struct ph_client *c)
{
	int rc = c->x.on_piece ? 0 : refuse_early(c);

	c->body_wanted = true;
	ph_buf_init(&c->x.body, c->keeper->max_body);
	if (rc) {
		fault(c, rc);
		return false;
	}
	if (!c->x.head->has_body) {
		c->body_wanted = false; /* told here */
		c->body_done = true;
		return true;
	}
	if (!c->x.on_piece)
		make_room(c);
	if (c->x.head->expect_continue && c->waiting.n == 0 && c->arrived.n == 0)
		ph_stream_push(c->stream, PH_STR("HTTP/1.1 100 Continue\r\n\r\n"));
	ph_client_later(c);
	return false;
}

void ph_body_take(struct ph_client *c, struct ph_str bytes)
{
	int rc;

	if (c->body_fault || c->sm.state == CLIENT_SKIP)
		return;
	if (c->x.on_piece) {
		if (c->x.handler)
			c->x.on_piece(c->x.h, bytes);
		return;
	}
	if (c->unzip)
		rc = ph_unzip_feed(c->unzip, bytes);
	else
		rc = ph_buf_puts(&c->x.body, bytes);
	if (rc)
		fault(c, rc);
}

void ph_body_end(struct ph_client *c)
{
	int rc = c->unzip && !c->body_fault ? ph_unzip_finish(c->unzip) : 0;

	c->body_done = true;
	if (rc)
		fault(c, rc);
}

/* While it is held back nobody waits for the client. */
void ph_body_read(struct ph_client *c, bool on)
{
	if (c->body_held == !on)
		return;
	c->body_held = !on;
	if (!c->answering && on)
		ph_timer_start(&c->timer, PH_BODY_MS);
	else if (!c->answering)
		ph_timer_stop(&c->timer);
	if (on)
		ph_client_later(c);
}

void ph_body_forget(struct ph_client *c)
{
	ph_unzip_free(c->unzip);
	c->unzip = NULL;
	ph_buf_deinit(&c->x.body);
	c->body_wanted = false;
	c->body_done = false;
	c->body_held = false;
	c->body_fault = 0;
}
