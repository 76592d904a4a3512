/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP exchange at a WebSocket's beginning (RFC 6455, section 4.1): the request, and a verdict on the
 * answer. Bytes only: connecting, deadlines and frames are the socket's.
 */
#include "upstream_priv.h"

#define BODY_MAX (64 * 1024) /* of an answer that refuses */

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_upgrade *g = owner;

	g->head = head;
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_upgrade *g = owner;
	size_t room = BODY_MAX - g->body.n;

	ph_buf_append(&g->body, bytes.p, bytes.n < room ? bytes.n : room);
	g->whole = bytes.n >= room;
}

static void on_done(void *owner)
{
	struct ph_upgrade *g = owner;

	g->whole = true;
}

void ph_upgrade_init(struct ph_upgrade *g, const struct ph_upsocket_request *r)
{
	static const struct ph_http_events events = {on_head, on_body, on_done};
	char key[PH_WS_KEY_SIZE];

	*g = (struct ph_upgrade){.http = NULL};
	g->http = ph_http_new(PH_HTTP_ANSWERS, &events, g);
	ph_buf_init(&g->body, BODY_MAX);
	ph_buf_init(&g->request, PH_REQUEST_HEAD_MAX);
	ph_ws_key_make(key);
	ph_ws_accept(ph_str_c(key), g->accept);
	ph_call_put_start(&g->request, PH_STR("GET"), r->base, r->path);
	ph_http_put_header(&g->request, PH_STR("connection"), PH_STR("Upgrade"));
	ph_http_put_header(&g->request, PH_STR("upgrade"), PH_STR("websocket"));
	ph_http_put_header(&g->request, PH_STR("sec-websocket-version"), PH_STR("13"));
	ph_http_put_header(&g->request, PH_STR("sec-websocket-key"), ph_str_c(key));
	if (r->head)
		ph_buf_puts(&g->request, ph_buf_str(r->head));
	ph_http_put_end(&g->request);
}

void ph_upgrade_deinit(struct ph_upgrade *g)
{
	g->http = ph_http_free(g->http);
	g->head = NULL;
	ph_buf_deinit(&g->body);
	ph_buf_deinit(&g->request);
}

static bool lists(struct ph_str value, struct ph_str token)
{
	while (value.n)
		if (ph_str_eq_nocase(ph_str_trim(ph_str_split(&value, ',')), token))
			return true;
	return false;
}

/* What is wrong with a 101, or NULL. */
static const char *fault_of(const struct ph_upgrade *g)
{
	const struct ph_head *h = g->head;

	if (!ph_str_eq_nocase(ph_head_get(h, PH_STR("upgrade")), PH_STR("websocket")))
		return "does not name a WebSocket";
	if (!lists(ph_head_get(h, PH_STR("connection")), PH_STR("upgrade")))
		return "does not upgrade the connection";
	if (!ph_str_eq(ph_head_get(h, PH_STR("sec-websocket-accept")), ph_str_c(g->accept)))
		return "has the wrong Sec-WebSocket-Accept";
	if (ph_head_get(h, PH_STR("sec-websocket-extensions")).n)
		return "selects an extension that was not offered";
	if (ph_head_get(h, PH_STR("sec-websocket-protocol")).n)
		return "selects a protocol that was not offered";
	return NULL;
}

static enum ph_upgrade_verdict verdict(const struct ph_upgrade *g, struct ph_err *err)
{
	const char *fault;

	if (!g->whole)
		return PH_UPGRADE_MORE;
	if (g->head->status != 101)
		return PH_UPGRADE_REFUSED;
	fault = fault_of(g);
	if (!fault)
		return PH_UPGRADE_OPEN;
	ph_fail(err, PH_E_UPSTREAM_BAD, "the upstream's answer to the upgrade %s", fault);
	return PH_UPGRADE_BAD;
}

enum ph_upgrade_verdict ph_upgrade_feed(
	struct ph_upgrade *g, struct ph_str bytes, size_t *used, struct ph_err *err)
{
	long n = ph_http_feed(g->http, bytes);

	if (n < 0) {
		ph_fail(err, PH_E_UPSTREAM_BAD, "the upstream's answer is not valid HTTP/1.1");
		return PH_UPGRADE_BAD;
	}
	*used = (size_t)n;
	return verdict(g, err);
}

enum ph_upgrade_verdict ph_upgrade_finish(struct ph_upgrade *g, struct ph_err *err)
{
	if (ph_http_finish(g->http) < 0)
		return PH_UPGRADE_MORE;
	return verdict(g, err);
}
