/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP request of a command, on a loop of its own, with a deadline for the whole of it. */
#include <stdio.h>

#include "posthouse/upstream.h"

#include "cli_priv.h"

#define DEADLINE_MS 20000
#define HEAD_MAX    1024

struct fetch {
	struct ph_loop *loop;
	struct ph_upstream *upstream;
	struct ph_call *call;
	struct ph_timer timer;
	struct ph_buf *answer;
	struct ph_err *err;
	int status;
	bool failed;
};

static void on_closed(void *arg)
{
	struct fetch *f = arg;

	ph_loop_stop(f->loop);
}

static void over(struct fetch *f)
{
	ph_timer_stop(&f->timer);
	ph_upstream_close(f->upstream, on_closed, f);
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_head(void *owner, const struct ph_head *head)
{
	((struct fetch *)owner)->status = head->status;
}

static void on_body(void *owner, struct ph_str bytes)
{
	ph_buf_puts(((struct fetch *)owner)->answer, bytes);
}

static void on_end(void *owner, int status, const struct ph_err *err)
{
	struct fetch *f = owner;

	f->call = NULL;
	f->failed = status != 0;
	if (f->failed)
		*f->err = *err;
	over(f);
}

static void on_late(void *arg)
{
	struct fetch *f = arg;

	ph_call_cancel(f->call);
	f->call = NULL;
	f->failed = true;
	ph_fail(f->err, PH_E_UPSTREAM_SILENT, "no answer within %d s", DEADLINE_MS / 1000);
	over(f);
}

static void start(struct fetch *f, const struct ph_url *url, const char *type, struct ph_buf *body)
{
	static const struct ph_call_events events = {on_nothing, on_nothing, on_head, on_body, on_end};
	struct ph_call_request r = {.base = url, .method = PH_STR("POST"), .body = body, .fresh = true};
	struct ph_buf head;

	ph_buf_init(&head, HEAD_MAX);
	ph_http_put_header(&head, PH_STR("accept"), PH_STR("application/json"));
	ph_http_put_header(&head, PH_STR("content-type"), ph_str_c(type));
	r.head = &head;
	f->call = ph_call_start(f->upstream, &r, &events, f);
	ph_buf_deinit(&head);
	ph_timer_init(&f->timer, f->loop, on_late, f);
	ph_timer_start(&f->timer, DEADLINE_MS);
}

int ph_cli_post(const struct ph_config *config, const char *url, const char *type, struct ph_buf *body,
	struct ph_buf *answer, struct ph_err *err)
{
	struct ph_upstream_options options = {config->upstream_ca_file, config->connect_timeout_ms};
	struct fetch f = {.answer = answer, .err = err};
	struct ph_url parsed;

	if (ph_url_parse(&parsed, ph_str_c(url), err))
		return -err->code;
	f.loop = ph_loop_new();
	f.upstream = ph_upstream_new(f.loop, &options, err);
	if (f.upstream) {
		start(&f, &parsed, type, body);
		ph_loop_run(f.loop);
	}
	if (ph_loop_free(f.loop))
		return ph_fail(err, PH_E_SYSTEM, "a connection to %s did not close", parsed.origin);
	if (!f.upstream || f.failed)
		return -err->code;
	return answer->failed ? ph_fail(err, PH_E_UPSTREAM_BAD, "its answer is too large") : f.status;
}
