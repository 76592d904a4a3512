/* SPDX-License-Identifier: Apache-2.0 */
/* Requests over the client that turns use: the same TLS, the same limits, the same words for what fails. */
#include "ask.h"

#include <stdio.h>

#include "posthouse/clock.h"

#define ANSWER_MAX (8u << 20)

struct ph_asks {
	struct ph_ask *list;
	size_t n;
	struct ph_loop *loop;
	struct ph_upstream *upstream;
	struct ph_timer timer;
	size_t running;
	uint64_t began_ms;
	bool closed;
};

void ph_ask_init(struct ph_ask *a, const char *method, const char *path)
{
	memset(a, 0, sizeof(*a));
	a->method = method;
	a->path = path;
	ph_buf_init(&a->head, 2 * PH_HEAD_MAX);
	ph_buf_init(&a->body, ANSWER_MAX);
	ph_buf_init(&a->answer, ANSWER_MAX);
}

static void wipe(struct ph_buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->n);
	ph_buf_deinit(b);
}

void ph_ask_free(struct ph_ask *a)
{
	wipe(&a->head);
	ph_buf_deinit(&a->body);
	ph_buf_deinit(&a->answer);
}

int ph_ask_listener(struct ph_ask *a, const char *listen, struct ph_err *err)
{
	char place[80], url[96];
	struct ph_addr addr;
	int r = ph_cli_address(listen, &addr, err);

	if (r < 0)
		return r;
	ph_cli_reachable(&addr);
	ph_addr_text(&addr, place, sizeof(place));
	snprintf(url, sizeof(url), "http://%s", place);
	return ph_url_parse(&a->base, ph_str_c(url), err);
}

/* ---- one request ---- */

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	struct ph_ask *a = owner;
	struct ph_str node = ph_head_get(head, PH_STR("x-posthouse-node"));

	a->status = head->status;
	a->ours = node.n > 0;
	ph_str_copy(a->node, sizeof(a->node), node);
	ph_str_copy(
		a->continuity, sizeof(a->continuity), ph_head_get(head, PH_STR("x-posthouse-continuity")));
}

static void on_body(void *owner, struct ph_str bytes)
{
	struct ph_ask *a = owner;

	if (a->answer.n + bytes.n <= a->answer.max)
		ph_buf_puts(&a->answer, bytes);
}

static void over(void *arg)
{
	((struct ph_asks *)arg)->closed = true;
	ph_loop_stop(((struct ph_asks *)arg)->loop);
}

static void ended(struct ph_ask *a, const char *why)
{
	struct ph_asks *all = a->asks;
	char line[480];

	a->call = NULL;
	a->ms = ph_clock_ms() - all->began_ms;
	if (why) {
		a->status = 0;
		ph_str_copy(a->why, sizeof(a->why), ph_str_c(why));
	}
	snprintf(line, sizeof(line), "%s: %s after %llu ms", a->name ? a->name : "", why ? why : "answered",
		(unsigned long long)a->ms);
	if (a->name)
		ph_cli_progress(NULL, line);
	if (--all->running > 0)
		return;
	ph_timer_stop(&all->timer);
	ph_upstream_close(all->upstream, over, all);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct ph_ask *a = owner;

	ended(a, status < 0 ? (err && err->detail[0] ? err->detail : ph_err_info(status)->text) : NULL);
}

static void start(struct ph_ask *a, struct ph_asks *all)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	const struct ph_call_request r = {&a->base, ph_str_c(a->method), ph_str_c(a->path), &a->head,
		a->has_body ? &a->body : NULL, true};

	a->asks = all;
	a->call = ph_call_start(all->upstream, &r, &events, a);
}

/* ---- all of them ---- */

static void on_late(void *arg)
{
	struct ph_asks *all = arg;

	for (size_t i = 0; i < all->n; i++) {
		if (!all->list[i].call)
			continue;
		ph_call_cancel(all->list[i].call);
		ended(&all->list[i], "no answer in time");
	}
}

static void run(struct ph_asks *all, uint64_t timeout_ms)
{
	all->running = all->n;
	all->began_ms = ph_clock_ms();
	ph_timer_init(&all->timer, all->loop, on_late, all);
	ph_timer_start(&all->timer, timeout_ms);
	for (size_t i = 0; i < all->n; i++)
		start(&all->list[i], all);
	while (!all->closed)
		ph_loop_run(all->loop);
}

int ph_asks_run(struct ph_ask *list, size_t n, const struct ph_config *config, uint64_t timeout_ms,
	struct ph_err *err)
{
	const struct ph_upstream_options options = {config->upstream_ca_file, config->connect_timeout_ms};
	struct ph_asks all = {.list = list, .n = n};

	if (n == 0)
		return 0;
	all.loop = ph_loop_new();
	all.upstream = ph_upstream_new(all.loop, &options, err);
	if (all.upstream)
		run(&all, timeout_ms);
	if (ph_loop_free(all.loop) > 0)
		ph_cli_warn("connections were left open");
	return all.upstream ? 0 : -err->code;
}
