/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probes and metrics. Live: every worker's loop turned lately. Ready: the node knows what it must, does not
 * drain and is not drained by an operator; losing the database does not unready a node that was ready,
 * because all nodes share it and ejecting all helps nobody. The status page is page.c.
 */
#include "admin_priv.h"
#include "posthouse/metrics.h"

#define BEAT_MAX_MS 10000 /* a loop that did not turn for so long is stuck */
#define METRICS_MAX (4 * 1024 * 1024)

void ph_admin_reply(struct ph_exchange *x, int status, struct ph_str type, struct ph_str body)
{
	struct ph_buf headers;

	ph_buf_init(&headers, 2048);
	ph_http_put_header(&headers, PH_STR("content-type"), type);
	ph_http_put_header(&headers, PH_STR("cache-control"), PH_STR("no-store"));
	ph_http_put_header(&headers, PH_STR("content-security-policy"),
		PH_STR("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
		       "data:; "
		       "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
	ph_http_put_header(&headers, PH_STR("x-content-type-options"), PH_STR("nosniff"));
	ph_http_put_header(&headers, PH_STR("referrer-policy"), PH_STR("no-referrer"));
	if (status == 405)
		ph_http_put_header(&headers, PH_STR("allow"), PH_STR("GET, HEAD"));
	x->ops->head(x->end, status, &headers, (int64_t)body.n);
	x->ops->push(x->end, body);
	x->ops->finish(x->end);
	ph_buf_deinit(&headers);
}

static void reply_text(struct ph_exchange *x, int status, const char *text)
{
	struct ph_buf body;

	ph_buf_init(&body, 4096);
	ph_buf_printf(&body, "%s\n", text);
	ph_admin_reply(x, status, PH_STR("text/plain; charset=utf-8"), ph_buf_str(&body));
	ph_buf_deinit(&body);
}

static void live(struct ph_exchange *x)
{
	if (ph_metrics_oldest_beat_ms() > BEAT_MAX_MS)
		reply_text(x, 503, "a worker's event loop is stuck");
	else
		reply_text(x, 200, "ok");
}

/* What a request could still run into, or NULL. */
static const char *not_started(const struct ph_node_view *node)
{
	if (!node->started) {
		const char *why = ph_gateway_unready(node->gateway);

		return why ? why : "starting";
	}
	if (ph_metric_get(PH_M_READY, 0, 0) < (int64_t)node->workers)
		return "waiting for another worker of this node";
	return NULL;
}

static void reply_unless(struct ph_exchange *x, const char *why)
{
	reply_text(x, why ? 503 : 200, why ? why : "ok");
}

static void metrics(const struct ph_node_view *node, struct ph_exchange *x)
{
	struct ph_buf body;

	ph_buf_init(&body, METRICS_MAX);
	ph_metrics_print(&body);
	ph_gateway_metrics(node->gateway, &body);
	ph_admin_reply(x, 200, PH_STR("text/plain; version=0.0.4; charset=utf-8"), ph_buf_str(&body));
	ph_buf_deinit(&body);
}

void ph_admin_handle(const struct ph_node_view *node, struct ph_exchange *x)
{
	bool get = ph_str_eq(x->head->method, PH_STR("GET")) || ph_str_eq(x->head->method, PH_STR("HEAD"));

	if (!get)
		reply_text(x, 405, "only GET is allowed here");
	else if (ph_str_eq(x->path, PH_STR("/livez")))
		live(x);
	else if (ph_str_eq(x->path, PH_STR("/readyz")))
		reply_unless(x,
			node->draining || ph_gateway_drained(node->gateway) ? "draining" : not_started(node));
	else if (ph_str_eq(x->path, PH_STR("/startupz")))
		reply_unless(x, not_started(node));
	else if (ph_str_eq(x->path, PH_STR("/metrics")))
		metrics(node, x);
	else if (!ph_page_handle(node, x))
		reply_text(x, 404, "there are / (the status page), /livez, /readyz, /startupz and /metrics");
}
