/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of an exchange: an answer, framed for HTTP/1.1 or for an older client, or the head of a
 * WebSocket. */
#include <stdio.h>
#include <time.h>

#include "posthouse/clock.h"
#include "posthouse/ws.h"
#include "server_priv.h"

#define HEAD_MAX (160 * 1024)
#define SKIP_MAX (64 * 1024) /* of a body that nobody wants */

static bool read_body(void *end)
{
	return ph_body_want(end);
}

/* RFC 9110, 6.6.1; made once a second. */
static void put_date(struct ph_buf *b)
{
	static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static time_t made;
	static char text[64];
	time_t now = (time_t)(ph_clock_unix_ms() / 1000);

	if (now != made) {
		struct tm tm;

		gmtime_r(&now, &tm);
		snprintf(text, sizeof text, "%s, %02d %s %d %02d:%02d:%02d GMT", days[tm.tm_wday], tm.tm_mday,
			months[tm.tm_mon], 1900 + tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
		made = now;
	}
	ph_http_put_header(b, PH_STR("date"), ph_str_c(text));
}

static bool bodyless(int status)
{
	return status == 204 || status == 304 || status / 100 == 1;
}

/* Framing: a known length; chunks; or, for clients of HTTP/1.0, the end of the connection. */
static void put_framing(struct ph_client *c, struct ph_buf *b, int status, int64_t length)
{
	c->silent = ph_str_eq(c->x.head->method, PH_STR("HEAD")) || bodyless(status);
	c->chunked = length < 0 && c->x.head->minor > 0 && !bodyless(status);
	if (length >= 0 && !bodyless(status))
		ph_http_put_length(b, (uint64_t)length);
	else if (c->chunked)
		ph_http_put_header(b, PH_STR("transfer-encoding"), PH_STR("chunked"));
	else if (!c->silent)
		c->close = true;
}

/* Whether what is left of the request is worth reading, so that the connection can carry another. */
static bool can_skip_body(const struct ph_head *h)
{
	return h->length >= 0 && h->length <= SKIP_MAX && !h->expect_continue;
}

/* The connection ends behind an answer that was given before a large request was read, and while draining. */
static void decide_close(struct ph_client *c)
{
	const struct ph_head *h = c->x.head;
	bool unread = h->has_body && !c->body_done && !can_skip_body(h);

	if (!h->keep_alive || unread || c->keeper->draining || c->body_fault)
		c->close = true;
}

static void head(void *end, int status, const struct ph_buf *headers, int64_t length)
{
	struct ph_client *c = end;
	struct ph_buf b;

	c->answering = true;
	c->status = status;
	decide_close(c);
	ph_buf_init(&b, HEAD_MAX);
	ph_http_put_status(&b, status);
	ph_buf_puts(&b, ph_buf_str(headers));
	put_date(&b);
	put_framing(c, &b, status, length);
	if (c->close)
		ph_http_put_header(&b, PH_STR("connection"), PH_STR("close"));
	else if (c->x.head->minor == 0)
		ph_http_put_header(&b, PH_STR("connection"), PH_STR("keep-alive"));
	ph_http_put_end(&b);
	ph_stream_push(c->stream, ph_buf_str(&b));
	ph_buf_deinit(&b);
	ph_timer_start(&c->timer, c->keeper->idle_timeout_ms);
	ph_http_drop_head(c->http);
}

static long push(void *end, struct ph_str bytes)
{
	struct ph_client *c = end;
	struct ph_buf size;

	if (c->silent || bytes.n == 0)
		return 1;
	if (!c->chunked)
		return ph_stream_push(c->stream, bytes);
	ph_buf_init(&size, 64);
	ph_http_put_chunk_head(&size, bytes.n);
	ph_stream_push(c->stream, ph_buf_str(&size));
	ph_buf_deinit(&size);
	ph_stream_push(c->stream, bytes);
	return ph_stream_push(c->stream, PH_STR("\r\n"));
}

static void finish(void *end)
{
	struct ph_client *c = end;

	if (c->chunked && !c->silent)
		ph_stream_push(c->stream, PH_HTTP_LAST_CHUNK);
	c->x.handler = NULL;
	c->finished = true;
	ph_client_later(c);
}

static void abort_answer(void *end)
{
	struct ph_client *c = end;

	c->x.handler = NULL;
	if (c->socket)
		ph_socket_cut(c);
	else
		ph_client_close(c, true);
}

/* The last chunk never comes. */
static void cut(void *end)
{
	struct ph_client *c = end;

	c->x.handler = NULL;
	c->close = true;
	c->finished = true;
	ph_client_later(c);
}

/* RFC 6455, 4.2.2. */
static void upgrade(void *end, const struct ph_buf *headers, const struct ph_socket_handler *handler, void *h)
{
	struct ph_client *c = end;
	char accept[PH_WS_ACCEPT_SIZE];
	struct ph_buf b;

	ph_ws_accept(ph_head_get(c->x.head, PH_STR("sec-websocket-key")), accept);
	c->status = 101;
	ph_buf_init(&b, HEAD_MAX);
	ph_http_put_status(&b, c->status);
	ph_http_put_header(&b, PH_STR("upgrade"), PH_STR("websocket"));
	ph_http_put_header(&b, PH_STR("connection"), PH_STR("Upgrade"));
	ph_http_put_header(&b, PH_STR("sec-websocket-accept"), ph_str_c(accept));
	ph_buf_puts(&b, ph_buf_str(headers));
	put_date(&b);
	ph_http_put_end(&b);
	ph_stream_push(c->stream, ph_buf_str(&b));
	ph_buf_deinit(&b);
	ph_socket_open(c, handler, h);
}

const struct ph_exchange_ops ph_client_ops = {
	read_body, head, push, finish, abort_answer, cut, upgrade, ph_socket_read, ph_socket_close};
